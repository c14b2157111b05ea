#include "storage/shadow_collection.h"

#include <fmt/format.h>

#include "core/macros.h"
#include "core/text.h"
#include "storage/key_schema.h"
#include "storage/planned_commit.h"

namespace nestor::storage {
namespace {

// All records of a collection but its catalog entry. The tombstones cover what is there now; ids
// are never used again, so nothing comes to lie under them later.
Status delete_records(std::uint32_t id, rocksdb::WriteBatch& batch) {
  for (const KeyTag tag :
       {KeyTag::kDocument, KeyTag::kField, KeyTag::kContent, KeyTag::kJournal, KeyTag::kTermTotals,
        KeyTag::kPosting, KeyTag::kRow, KeyTag::kDocumentTerms}) {
    const std::string begin = key_prefix(tag, id);
    NESTOR_RETURN_IF_ERROR(
        status_from_rocksdb(batch.DeleteRange(begin, prefix_end(begin)),
                            fmt::format("delete the records of collection {}", id)));
  }
  return {};
}

}  // namespace

std::string shadow_name(const Collection& collection) {
  return fmt::format(".reembed-{}", collection.id);
}

Result<DocumentStore::PreparedPointer> RocksdbStore::prepare_shadow(const std::string& collection) {
  return guarded([&]() -> Result<PreparedPointer> {
    NESTOR_RETURN_IF_ERROR(check_writable());
    NESTOR_ASSIGN_OR_RETURN(const CollectionRecord of, require_collection(collection));
    const std::string name = shadow_name(of.collection);
    NESTOR_ASSIGN_OR_RETURN(const auto existing, newest().find_collection(name));
    if (existing) {
      return Status(StatusCode::kAlreadyExists,
                    "collection '" + collection + "' has a shadow already");
    }
    CollectionDescriptor descriptor = without_model(describe(of.collection));
    descriptor.name = name;
    StoreState state = state_;
    CollectionRecord record = new_record(descriptor, state);
    return plan_commit(std::move(record), state, kAlways, [](CommitPlan& plan) {
      plan.begin_collection();
      return Status();
    });
  });
}

Result<DocumentStore::PreparedPointer> RocksdbStore::prepare_swap(const std::string& collection) {
  return guarded([&]() -> Result<PreparedPointer> {
    NESTOR_RETURN_IF_ERROR(check_writable());
    NESTOR_ASSIGN_OR_RETURN(const CollectionRecord old, require_collection(collection));
    const std::string hidden = shadow_name(old.collection);
    NESTOR_ASSIGN_OR_RETURN(CollectionRecord record, require_collection(hidden));
    set_options(record.collection, describe(old.collection));
    return plan_commit(std::move(record), state_, kAlways, [&](CommitPlan& plan) -> Status {
      NESTOR_RETURN_IF_ERROR(status_from_rocksdb(plan.batch().Delete(catalog_key(hidden)),
                                                 "delete the shadow's own record"));
      return delete_records(old.collection.id, plan.batch());
    });
  });
}

Result<DocumentStore::PreparedPointer> RocksdbStore::prepare_drop_shadow(
    const std::string& collection) {
  return guarded([&]() -> Result<PreparedPointer> {
    NESTOR_RETURN_IF_ERROR(check_writable());
    NESTOR_ASSIGN_OR_RETURN(CollectionRecord record, require_collection(collection));
    const std::string hidden = shadow_name(record.collection);
    NESTOR_ASSIGN_OR_RETURN(const auto shadow, newest().find_collection(hidden));
    // A batch of the collection itself: some collection must end at the store's newest sequence.
    return plan_commit(
        std::move(record), state_, shadow ? kAlways : kUnlessEmpty,
        [&](CommitPlan& plan) -> Status {
          if (!shadow) return {};
          NESTOR_RETURN_IF_ERROR(status_from_rocksdb(plan.batch().Delete(catalog_key(hidden)),
                                                     "delete the shadow's own record"));
          return delete_records(shadow->collection.id, plan.batch());
        });
  });
}

}  // namespace nestor::storage
