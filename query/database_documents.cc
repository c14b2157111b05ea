// The calls of Database that ask for documents by filter, or change them without their vectors.
#include <fmt/format.h>

#include "core/macros.h"
#include "query/database_impl.h"
#include "query/expiry.h"

namespace nestor {

Result<std::int64_t> Database::Impl::on_documents(
    const std::string& collection,
    const std::function<Result<std::int64_t>(const query::DocumentSource&)>& work) const {
  const auto seen = current_view();
  NESTOR_ASSIGN_OR_RETURN(const auto found, find(*seen, collection));
  if (!found.has_value()) return 0;
  return work({.store = *store,
               .view = *seen,
               .collection = *found,
               .cache = filters.cache(),
               .now = query::seconds_since_1970()});
}

Result<std::int64_t> Database::Impl::change_documents(
    const std::string& collection,
    const std::function<Result<std::int64_t>(const query::DocumentSource&,
                                             const query::CommitFunction&)>& work) {
  if (store->read_only()) {
    return Status(StatusCode::kFailedPrecondition,
                  store->path() + " was opened read-only; nothing can be changed");
  }
  const std::lock_guard writer(writing);
  const query::CommitFunction commit =
      [this](const storage::Batch& batch) -> Result<storage::Commit> {
    NESTOR_ASSIGN_OR_RETURN(storage::Commit committed, store->commit(batch));
    publish(committed, batch);
    return committed;
  };
  return on_documents(collection,
                      [&](const query::DocumentSource& source) { return work(source, commit); });
}

}  // namespace nestor
