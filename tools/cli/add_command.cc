// nestor add DB: documents from JSONL, or one from its text
#include <fmt/format.h>

#include <algorithm>
#include <cstdio>
#include <memory>
#include <optional>
#include <utility>
#include <vector>

#include "core/file.h"
#include "core/json.h"
#include "core/macros.h"
#include "core/text.h"
#include "query/add_report.h"
#include "query/input_check.h"
#include "tools/cli/command.h"
#include "tools/cli/database_target.h"
#include "tools/cli/jsonl_documents.h"
#include "tools/cli/language_choice.h"
#include "tools/cli/line_reader.h"
#include "tools/cli/model_choice.h"
#include "tools/cli/number_option.h"
#include "tools/cli/output.h"
#include "tools/cli/progress.h"
#include "tools/cli/standard_input.h"

namespace nestor::cli {
namespace {

constexpr int kUsualBatch = 64;
// A batch also ends when its text comes to this, so that memory stays bounded for any --batch.
constexpr std::size_t kMostBatchBytes = 64 << 20;

struct AddCommandOptions {
  std::string database;
  std::string file = "-";
  std::string collection = kDefaultCollection;
  std::string precision = {};
  std::string key;
  std::string title;
  std::string metadata;
  std::string metric;    // empty: that of the collection, or cosine
  std::string language;  // empty: that of the collection, or auto
  int batch = kUsualBatch;
  int passage_tokens = SplitOptions().passage_tokens;
  bool jsonl = false;
  bool ack = false;
  bool no_split = false;
  bool json = false;
};

// Takes documents in, hands them on in batches, and knows what is safe on disk.
class Adding {
 public:
  Adding(const AddCommandOptions& options, Context& context)
      : options_(options), context_(context), line_(context, "adding") {
    // Several times a batch is in memory until it is committed.
    const auto budget = static_cast<std::size_t>(context.global.memory_bytes);
    if (budget > 0) most_bytes_ = std::min(most_bytes_, budget / 64);
    add_.collection = options.collection;
    add_.split = {!options.no_split, options.passage_tokens};
    add_.stop = context.stop;
    add_.progress = [this](const Progress& progress) { show(progress); };
  }

  Status take(Document document) {
    bytes_ += document.text.size() + document.vector.size() * sizeof(float);
    batch_.push_back(std::move(document));
    const bool full = batch_.size() >= static_cast<std::size_t>(options_.batch);
    return full || bytes_ >= most_bytes_ ? commit() : Status();
  }

  Status commit() {
    if (batch_.empty()) return {};
    if (!database_.has_value()) NESTOR_RETURN_IF_ERROR(open());
    NESTOR_ASSIGN_OR_RETURN(const AddReport report, database_->add(batch_, add_));
    query::accumulate(sum_, report);
    committed_ += static_cast<std::int64_t>(batch_.size());
    if (options_.ack) NESTOR_RETURN_IF_ERROR(acknowledge());
    batch_.clear();
    bytes_ = 0;
    return {};
  }

  // Input without a single document makes the database all the same.
  Status finish() {
    NESTOR_RETURN_IF_ERROR(commit());
    if (!database_.has_value()) NESTOR_RETURN_IF_ERROR(open());
    if (embeds_ || committed_ == 0) {
      precision_ =
          reported_precision(*database_, sum_.passages_embedded > 0, context_, options_.precision);
    }
    return {};
  }

  Status close() { return database_.has_value() ? database_->close() : Status(); }

  [[nodiscard]] std::int64_t committed() const { return committed_; }
  [[nodiscard]] const AddReport& report() const { return sum_; }
  // "int8", …, or "external" where every vector was given; known once all is taken.
  [[nodiscard]] const std::string& precision() const { return precision_; }

 private:
  // Only now: a missing model or a mistake in the first batch leaves no empty database behind.
  Status open() {
    NESTOR_RETURN_IF_ERROR(query::check_collection_name(options_.collection));
    NESTOR_RETURN_IF_ERROR(query::check_split(add_.split));
    for (const Document& document : batch_) {
      NESTOR_RETURN_IF_ERROR(query::check_document(document, add_.split.enabled));
      embeds_ |= document.vector.empty();
    }
    if (!options_.metric.empty()) {
      NESTOR_RETURN_IF_ERROR(parse_metric(options_.metric).status());
    }
    NESTOR_RETURN_IF_ERROR(check_language(options_.language));
    if (embeds_ && !is_database(options_.database)) {
      NESTOR_RETURN_IF_ERROR(planned_precision(context_, options_.precision).status());
    }
    NESTOR_ASSIGN_OR_RETURN(
        Database opened,
        Database::open(options_.database, context_.open_options(options_.precision)));
    database_.emplace(std::move(opened));
    bool make = !options_.metric.empty();
    if (!options_.language.empty() && !embeds_ && !batch_.empty()) {
      // The language is set before the first vector comes, which would tell how long vectors are.
      NESTOR_ASSIGN_OR_RETURN(const Stats stats, database_->stats());
      make |= std::none_of(stats.collections.begin(), stats.collections.end(),
                           [&](const auto& one) { return one.name == options_.collection; });
    }
    if (make) NESTOR_RETURN_IF_ERROR(make_collection());
    return set_language(*database_, options_.collection, options_.language);
  }

  // A collection is as wide as its first vector; one that is there must have this metric.
  Status make_collection() {
    Metric metric = Metric::kCosine;
    if (!options_.metric.empty()) {
      NESTOR_ASSIGN_OR_RETURN(metric, parse_metric(options_.metric));
    }
    if (batch_.empty() || embeds_) {
      return {StatusCode::kInvalidArgument,
              "--metric is for documents that bring a vector each; texts are compared by cosine"};
    }
    const int width = static_cast<int>(batch_.front().vector.size());
    return database_->create_collection(options_.collection, {width, metric}).status();
  }

  Status acknowledge() {
    for (const Document& document : batch_) context_.print(json_line(Json(document.key)));
    return context_.flush();
  }

  void show(const Progress& progress) {
    line_.update(sum_.tokens_embedded + progress.tokens_done, 0, [&](double rate) {
      return fmt::format("{}  {}  {} tok/s", counted(committed_, "document"),
                         counted(sum_.passages_embedded + progress.passages_done, "passage"),
                         short_count(rate));
    });
  }

  const AddCommandOptions& options_;
  Context& context_;
  ProgressLine line_;
  AddOptions add_;
  std::optional<Database> database_;
  std::vector<Document> batch_;
  std::size_t bytes_ = 0;
  std::size_t most_bytes_ = kMostBatchBytes;
  std::int64_t committed_ = 0;
  bool embeds_ = false;
  std::string precision_ = "external";
  AddReport sum_;
};

// The whole batch is refused for the sake of one document; its key is in the message.
Status in_batch(const Status& status, const LineReader& reader) {
  if (status.code() != StatusCode::kInvalidArgument) return status;
  return status.with_context(
      fmt::format("in the batch that ends at line {}", reader.line_number()));
}

Status add_lines(LineReader& reader, Adding& adding) {
  for (;;) {
    NESTOR_ASSIGN_OR_RETURN(const std::optional<std::string_view> line, reader.next());
    if (!line.has_value()) return in_batch(adding.finish(), reader);
    if (line->find_first_not_of(" \t") == line->npos) continue;
    Result<Document> document = parse_document_line(*line);
    if (!document.ok()) {
      return document.status().with_context(
          fmt::format("line {}{}", reader.line_number(),
                      reader.was_cut() ? " (the last, without a line end; it may be cut)" : ""));
    }
    NESTOR_RETURN_IF_ERROR(in_batch(adding.take(std::move(document).value()), reader));
  }
}

Status add_text(const AddCommandOptions& options, LineReader& reader, Adding& adding) {
  Document document;
  document.key = options.key;
  document.title = options.title;
  if (!options.metadata.empty()) {
    NESTOR_ASSIGN_OR_RETURN(document.metadata, parse_metadata(options.metadata));
  }
  NESTOR_ASSIGN_OR_RETURN(document.text, reader.rest(query::kMostTextBytes));
  NESTOR_RETURN_IF_ERROR(adding.take(std::move(document)));
  return adding.finish();
}

std::string report_text(const AddCommandOptions& options, const Adding& adding) {
  const AddReport& report = adding.report();
  if (options.json) {
    Json json = new_json();
    json["database"] = json_text(options.database);
    json["collection"] = options.collection;
    json["precision"] = adding.precision();
    json["added"] = report.documents_added;
    json["updated"] = report.documents_updated;
    json["unchanged"] = report.documents_unchanged;
    json["passages_embedded"] = report.passages_embedded;
    json["passages_reused"] = report.passages_reused;
    json["passages_truncated"] = report.passages_truncated;
    json["tokens_embedded"] = report.tokens_embedded;
    return json_line(json);
  }
  return fmt::format(
      "added {}, updated {}, unchanged {}  {} embedded ({} tokens, {})\n",
      with_thousands(report.documents_added), with_thousands(report.documents_updated),
      with_thousands(report.documents_unchanged), counted(report.passages_embedded, "passage"),
      with_thousands(report.tokens_embedded), adding.precision());
}

int run_add(const AddCommandOptions& options, Context& context) {
  if (options.jsonl != options.key.empty()) {
    return context.fail({StatusCode::kInvalidArgument,
                         options.jsonl
                             ? "--key names one document, --jsonl brings many; give one of them"
                             : "say what comes in: --jsonl for documents as JSON lines, or --key K "
                               "for one document whose text is the input"});
  }
  const Result<InputDescriptor> input = open_input(options.file);
  if (!input.ok()) return context.fail(input.status());
  LineReader reader(input.value().get(), context.stop);
  Adding adding(options, context);
  const Status status =
      options.jsonl ? add_lines(reader, adding) : add_text(options, reader, adding);
  const Status closed = adding.close();
  if (!status.ok()) {
    const int code = context.fail(status);
    if (options.jsonl && reader.line_number() > 0) {
      context.note(fmt::format("{} committed before that; nothing after them was added",
                               counted(adding.committed(), "document")));
    }
    return code;
  }
  if (!closed.ok()) return context.fail(closed);
  if (adding.report().passages_truncated > 0) {
    context.warn(fmt::format("{} cut at the model's context; the tail is not searchable",
                             counted(adding.report().passages_truncated, "passage")));
  }
  // With --ack stdout belongs to the keys.
  if (options.ack) {
    std::string text = report_text(options, adding);
    text.pop_back();
    context.note(text);
  } else {
    context.print(report_text(options, adding));
  }
  return kExitOk;
}

}  // namespace

void add_add_command(CLI::App& app, Context& context) {
  CLI::App& command =
      *app.add_subcommand("add", "Add documents to a database, from JSON lines or one by one");
  auto options = std::make_shared<AddCommandOptions>();
  command.add_option("DB", options->database, "The database; made if it is not there")->required();
  command.add_option("FILE", options->file, "What to read; - is standard input")
      ->capture_default_str();
  command.add_flag("--jsonl", options->jsonl,
                   R"(Lines of {"key", "title"?, "text", "metadata"?, "vector"?})");
  command.add_option("--key", options->key, "One document of this key; the input is its text");
  command.add_option("--title", options->title, "Its title");
  command.add_option("--metadata", options->metadata, "Its metadata, a JSON object");
  command.add_option("--collection", options->collection, "The collection to fill")
      ->capture_default_str();
  add_number(command, "--batch", options->batch, ranges::kAddBatch,
             "Documents in one atomic, synced commit, 1 to 100000 (default: 64)");
  CLI::Option* ack =
      command.add_flag("--ack", options->ack,
                       "Print each key as a JSON string and line once its batch is safe on disk");
  command.add_flag("--no-split", options->no_split, "Keep each text as one passage");
  add_number(command, "--passage-tokens", options->passage_tokens, ranges::kPassageTokens,
             "Most model tokens in a passage, 16 to 1800 (default: 256)");
  command.add_option("--metric", options->metric,
                     "For a new collection of given vectors: cosine (default), dot, or l2");
  command.add_option("--language", options->language, kLanguageHelp);
  command.add_option("--precision", options->precision, kPrecisionHelp);
  command.add_flag("--json", options->json, "The report as JSON")->excludes(ack);
  set_action(command, context, [options](Context& c) { return run_add(*options, c); });
}

}  // namespace nestor::cli
