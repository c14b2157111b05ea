#include "query/import_documents.h"

#include <fmt/format.h>

#include <optional>
#include <utility>

#include "core/macros.h"
#include "core/option_range.h"

namespace nestor::query {
namespace {

class Import {
 public:
  Import(const LineSource& next, const ImportOptions& options, const ImportSteps& steps)
      : next_(next), options_(options), steps_(steps) {}

  Result<ImportReport> run() {
    const Status done = go();
    if (done.ok()) return std::move(report_);
    const std::int64_t in =
        report_.documents_added + report_.documents_updated + report_.documents_unchanged;
    return Status(done.code(),
                  fmt::format("line {}: {}; {} documents of the lines before are in, whole and "
                              "searchable. Import again once that is put right: what is in is "
                              "passed over",
                              line_number_, done.message(), in));
  }

 private:
  Result<std::optional<std::string_view>> next_line() {
    ++line_number_;
    return next_();
  }

  Status go() {
    NESTOR_ASSIGN_OR_RETURN(const auto first, next_line());
    if (!first.has_value()) {
      return {StatusCode::kInvalidArgument,
              "there is nothing; the header of an export is expected"};
    }
    NESTOR_ASSIGN_OR_RETURN(header_, parse_header_line(*first));
    report_.collection =
        options_.collection.empty() ? header_.collection.name : options_.collection;
    NESTOR_ASSIGN_OR_RETURN(takes_vectors_, steps_.settle(header_, report_));
    for (;;) {
      if (options_.stop.stop_requested()) {
        return {StatusCode::kCancelled, "the import was stopped"};
      }
      NESTOR_ASSIGN_OR_RETURN(const auto line, next_line());
      if (!line.has_value()) {
        NESTOR_RETURN_IF_ERROR(flush());
        return {StatusCode::kInvalidArgument,
                "the file ends without its last line, so it was cut; get the rest of it"};
      }
      NESTOR_ASSIGN_OR_RETURN(const auto end, parse_end_line(*line));
      if (end.has_value()) return finish(*end);
      NESTOR_RETURN_IF_ERROR(take(*line));
    }
  }

  Status take(std::string_view line) {
    NESTOR_ASSIGN_OR_RETURN(storage::DocumentWrite write, parse_document(header_, line));
    ++documents_;
    passages_ += std::ssize(write.rows);
    // Another cut is another call of add.
    const bool other_cut =
        !takes_vectors_ && !batch_.empty() && batch_.front().split_tokens != write.split_tokens;
    if (other_cut) NESTOR_RETURN_IF_ERROR(flush());
    bytes_ += line.size();
    batch_.push_back(std::move(write));
    return std::ssize(batch_) >= options_.batch_documents ||
                   bytes_ >= static_cast<std::size_t>(steps_.batch_bytes)
               ? flush()
               : Status();
  }

  Status flush() {
    if (batch_.empty()) return {};
    bytes_ = 0;
    const auto& step = takes_vectors_ ? steps_.take : steps_.embed;
    NESTOR_RETURN_IF_ERROR(step(header_, std::exchange(batch_, {}), report_));
    if (options_.progress) options_.progress(documents_);
    return {};
  }

  Status finish(const PortableEnd& end) {
    NESTOR_RETURN_IF_ERROR(flush());
    if (end.documents != documents_ || end.passages != passages_) {
      return {StatusCode::kInvalidArgument,
              fmt::format("the last line speaks of {} documents and {} passages, there were {} and "
                          "{}: lines are missing",
                          end.documents, end.passages, documents_, passages_)};
    }
    NESTOR_ASSIGN_OR_RETURN(const auto more, next_line());
    if (!more.has_value()) return {};
    return {StatusCode::kInvalidArgument, "something stands behind the end of the export"};
  }

  const LineSource& next_;
  const ImportOptions& options_;
  const ImportSteps& steps_;
  ImportReport report_;
  PortableHeader header_;
  bool takes_vectors_ = false;
  std::vector<storage::DocumentWrite> batch_;
  std::size_t bytes_ = 0;
  std::int64_t documents_ = 0;
  std::int64_t passages_ = 0;
  std::int64_t line_number_ = 0;
};

}  // namespace

Result<ImportReport> import_lines(const LineSource& next, const ImportOptions& options,
                                  const ImportSteps& steps) {
  NESTOR_RETURN_IF_ERROR(
      check_number("batch_documents", options.batch_documents, ranges::kImportBatch));
  return Import(next, options, steps).run();
}

}  // namespace nestor::query
