// nestor search DB_OR_FOLDER "question", and nestor FOLDER "question"
#include <fmt/format.h>

#include <chrono>
#include <memory>
#include <optional>
#include <utility>

#include "core/file.h"
#include "core/macros.h"
#include "core/text.h"
#include "query/input_check.h"
#include "tools/cli/command.h"
#include "tools/cli/document_key.h"
#include "tools/cli/filter_check.h"
#include "tools/cli/folder_index.h"
#include "tools/cli/jsonl_documents.h"
#include "tools/cli/line_reader.h"
#include "tools/cli/model_choice.h"
#include "tools/cli/number_option.h"
#include "tools/cli/output.h"

namespace nestor::cli {
namespace {

constexpr std::size_t kMostQuestionBytes = 1 << 20;
constexpr std::int64_t kSnippetForPeople = 300;

struct SearchCommandOptions {
  std::string target;
  std::vector<std::string> words;
  std::string database;
  SearchOptions search;
  std::string role = "query";
  std::string mode = "vector";
  std::string fusion = "weighted";
  std::string filter = {};
  std::string precision = {};
  std::string vector;
  std::string vector_file;
  std::vector<std::string> also;
  std::vector<std::string> unlike;
  std::vector<std::string> like_keys;
  std::vector<std::string> unlike_keys;
  double unlike_weight = Query().unlike_weight;
  bool any = false;
  std::optional<double> timeout;  // seconds
  bool index_first = false;
  bool explain = false;
  bool json = false;
  bool jsonl = false;
};

// What was typed; at least one of the two, or keys of documents, makes a question.
struct Question {
  std::string text;
  std::vector<float> vector;
};

Result<std::string> read_input(const std::string& path, Context& context) {
  if (path != "-") return read_file(path, kMostQuestionBytes);
  LineReader reader(0, context.stop);
  return reader.rest(kMostQuestionBytes);
}

Result<Question> question_of(const SearchCommandOptions& options, Context& context) {
  Question question;
  if (!options.vector.empty() || !options.vector_file.empty()) {
    if (!options.words.empty()) {
      return Status(StatusCode::kInvalidArgument, "give a question or a vector, not both: " +
                                                      quote_for_message(options.words.front()));
    }
    std::string text = options.vector;
    if (text.empty()) {
      NESTOR_ASSIGN_OR_RETURN(text, read_input(options.vector_file, context));
    }
    NESTOR_ASSIGN_OR_RETURN(question.vector, parse_vector(text));
    return question;
  }
  if (options.words == std::vector<std::string>{"-"}) {
    NESTOR_ASSIGN_OR_RETURN(question.text, read_input("-", context));
    return question;
  }
  for (const std::string& word : options.words) {
    question.text += (question.text.empty() ? "" : " ") + word;
  }
  if (options.words.empty() && options.like_keys.empty() && options.also.empty()) {
    return Status(StatusCode::kInvalidArgument,
                  fmt::format("there is no question. Ask one: nestor search {} \"…\"",
                              escape_for_terminal(options.target, false)));
  }
  return question;
}

Query query_of(const SearchCommandOptions& options, const Question& question) {
  Query query;
  if (!question.vector.empty()) query.like.vectors.push_back({question.vector});
  const bool has_others =
      !question.vector.empty() || !options.also.empty() || !options.like_keys.empty();
  if (!question.text.empty() || !has_others) query.like.texts.push_back({question.text});
  for (const std::string& text : options.also) query.like.texts.push_back({text});
  for (const std::string& key : options.like_keys) query.like.keys.push_back({key});
  for (const std::string& text : options.unlike) query.unlike.texts.push_back({text});
  for (const std::string& key : options.unlike_keys) query.unlike.keys.push_back({key});
  query.unlike_weight = options.unlike_weight;
  if (options.any) query.combination = Combination::kBest;
  return query;
}

// For `nestor FOLDER "…"`: the index is made or brought up to date, if nobody else is doing it.
Result<Database> open_and_index(const DatabaseTarget& target, const SearchCommandOptions& options,
                                Context& context) {
  FolderIndexOptions index;
  index.collection = options.search.collection;
  index.precision = options.precision;
  Result<Database> opened = open_for_index(target, index, context);
  if (!opened.ok() && opened.status().code() == StatusCode::kLocked &&
      is_database(target.database)) {
    context.note("another process is writing this index; the answer is from what it has committed");
    OpenOptions open = context.open_options(options.precision);
    open.read_only = true;
    return Database::open(target.database, open);
  }
  if (!opened.ok()) return opened;
  NESTOR_ASSIGN_OR_RETURN(const query::SyncReport report,
                          index_folder(opened.value(), target, index, context));
  if (report.interrupted) {
    return Status(StatusCode::kCancelled,
                  fmt::format("stopped ({}); what is indexed is kept. To go on, ask again or type: "
                              "nestor index {}",
                              changes_text(report), escape_for_terminal(target.typed, false)));
  }
  if (!report.missing.empty()) {
    context.warn(
        missing_text(report, target.typed) +
        fmt::format(". The answer is from what was indexed. If they are to go: nestor index "
                    "{} --remove-missing",
                    escape_for_terminal(target.typed, false)));
  }
  const AddReport& documents = report.documents;
  if (documents.documents_added + documents.documents_updated + report.removed > 0) {
    context.note(fmt::format("indexed {}: {}", escape_for_terminal(target.typed, false),
                             changes_text(report)));
  }
  return opened;
}

Result<Database> open_database(const SearchCommandOptions& options, std::string& typed_folder,
                               Context& context) {
  if (options.index_first) {
    NESTOR_ASSIGN_OR_RETURN(const DatabaseTarget target,
                            find_target(options.target, options.database));
    if (!target.folder.empty()) {
      typed_folder = target.typed;
      return open_and_index(target, options, context);
    }
  }
  NESTOR_ASSIGN_OR_RETURN(const DatabaseTarget target,
                          find_existing_target(options.target, options.database));
  if (!target.folder.empty()) typed_folder = target.typed;
  OpenOptions open = context.open_options(options.precision);
  // So that any number of people may ask at once, and beside a writer.
  open.read_only = true;
  return Database::open(target.database, open);
}

void put_texts(Json& json, const char* name, const std::vector<std::string>& texts) {
  for (const std::string& text : texts) json[name].push_back(json_text(text));
}

void print_hits(const SearchCommandOptions& options, const Question& question,
                const SearchResult& found, const PathPrefix& paths, Context& context) {
  // An empty collection needs no embedding; the mode is then the one that would have been used.
  std::string precision = found.explain.precision;
  if (precision.empty()) {
    const Result<std::string> planned = planned_precision(context, options.precision);
    const bool embeds = !question.text.empty() || !options.also.empty() || !options.unlike.empty();
    precision = !embeds ? "external" : planned.ok() ? planned.value() : "";
  }
  if (options.json) {
    Json json = new_json();
    if (question.vector.empty()) json["query"] = json_text(question.text);
    put_texts(json, "also", options.also);
    put_texts(json, "not", options.unlike);
    put_texts(json, "like", options.like_keys);
    put_texts(json, "not_like", options.unlike_keys);
    json["collection"] = options.search.collection;
    json["precision"] = precision;
    json["query_tokens"] = found.query_token_count;
    json["query_truncated"] = found.query_truncated;
    json["hits"] = Json::array();
    for (const Hit& hit : found.hits) json["hits"].push_back(hit_as_json(hit, paths));
    json["explain"] = explanation_as_json(found.explain);
    context.print(json_line(json));
    return;
  }
  const Terminal terminal = terminal_of(1);
  std::int64_t rank = options.search.offset;
  for (const Hit& hit : found.hits) {
    ++rank;
    if (options.jsonl) {
      Json json = new_json();
      json.update(hit_as_json(hit, paths));
      json["precision"] = precision;
      context.print(json_line(json));
    } else {
      context.print(
          hit_for_people(hit, score_for_people(hit, rank, found.explain), paths, terminal));
    }
  }
}

void print_footer(const SearchCommandOptions& options, const SearchResult& found, double seconds,
                  Context& context) {
  const Explanation& explain = found.explain;
  if (found.query_truncated) {
    context.warn(
        fmt::format("the question has {} tokens, more than the model reads; its tail was "
                    "left out",
                    with_thousands(found.query_token_count)));
  }
  const std::string mode =
      explain.precision.empty() ? "stored vectors" : explain.precision + " " + explain.backend;
  context.note(fmt::format("{} in {}  ({}; {})", counted(std::int64_t(found.hits.size()), "result"),
                           seconds_text(seconds), plan_for_people(explain), mode));
  if (!options.explain) return;
  context.note(fmt::format(
      "  embed {}, coarse {}, rerank {}, words {}, fetch {}", seconds_text(explain.embed_seconds),
      seconds_text(explain.coarse_seconds), seconds_text(explain.rerank_seconds),
      seconds_text(explain.keyword_seconds), seconds_text(explain.fetch_seconds)));
}

int run_search(const SearchCommandOptions& options, Context& context) {
  SearchOptions search = options.search;
  search.stop = context.stop;
  const Result<Role> role = parse_role(options.role);
  if (!role.ok()) return context.fail(role.status());
  search.role = role.value();
  const Result<SearchMode> mode = parse_search_mode(options.mode);
  if (!mode.ok()) return context.fail(mode.status());
  search.mode = mode.value();
  Result<Filter> filter = parse_filter(options.filter);
  if (!filter.ok()) return context.fail(filter.status());
  search.filter = std::move(filter).value();
  if (options.fusion == "rrf") {
    search.fusion.method = FusionOptions::Method::kReciprocalRank;
  }
  // People are shown where the words stand.
  if (search.mode != SearchMode::kVector && search.snippet_bytes == 0 && !options.json &&
      !options.jsonl) {
    search.snippet_bytes = kSnippetForPeople;
  }
  if (const Status checked = query::check_search(search); !checked.ok()) {
    return context.fail(checked);
  }
  const Result<Question> question = question_of(options, context);
  if (!question.ok()) return context.fail(question.status());
  // Before anything is opened, indexed or loaded for it.
  Query query = query_of(options, question.value());
  if (const Status checked = query::check_query(query); !checked.ok()) {
    return context.fail(checked);
  }
  std::string typed_folder;
  Result<Database> opened = open_database(options, typed_folder, context);
  if (!opened.ok()) return context.fail(opened.status());
  const Database database = std::move(opened).value();
  for (QueryParts* parts : {&query.like, &query.unlike}) {
    for (auto& part : parts->keys) {
      const Result<std::string> key = find_key(database, part.value, search.collection);
      if (!key.ok()) return context.fail(key.status());
      part.value = key.value();
    }
  }
  if (const Status checked =
          caution_of_unknown_fields(database, search.filter, search.collection, context);
      !checked.ok()) {
    return context.fail(checked);
  }
  // The model is loaded before the clock starts; where that fails, the search says why.
  if (!query.like.texts.empty() || !query.unlike.texts.empty()) {
    [[maybe_unused]] const Result<Embedder> loaded = database.embedder();
  }
  const auto start = std::chrono::steady_clock::now();
  if (options.timeout.has_value()) {
    search.deadline = start + std::chrono::duration_cast<std::chrono::steady_clock::duration>(
                                  std::chrono::duration<double>(*options.timeout));
  }
  const Result<SearchResult> found = database.search(query, search);
  const std::chrono::duration<double> passed = std::chrono::steady_clock::now() - start;
  if (!found.ok()) return context.fail(found.status());
  print_hits(options, question.value(), found.value(),
             path_prefix_of(database, search.collection, typed_folder), context);
  // In JSON they are part of "explain".
  if (const std::string clauses = clauses_for_people(found.value().explain);
      !clauses.empty() && !options.json) {
    context.note(clauses);
  }
  if (!options.json && !options.jsonl) {
    print_footer(options, found.value(), passed.count(), context);
  }
  return found.value().hits.empty() ? kExitNoHits : kExitOk;
}

void add_ranking_options(CLI::App& command, SearchCommandOptions& options) {
  command
      .add_option(
          "--mode", options.mode,
          "vector: by meaning; keyword: by words; hybrid: both. In the last two \"a phrase\" "
          "and \"word\" are required as written, +word is required, -word (three letters "
          "or more, a vowel among them) and -\"a phrase\" are excluded; -f, -rf, -xzf, -O2 "
          "and --amend are text")
      ->capture_default_str();
  command.add_option("--filter", options.filter,
                     "Only documents that match: 'year >= 2020 AND \"rust\" in tags'");
  command
      .add_option("--fusion", options.fusion, "How hybrid joins the two: weighted or rrf (by rank)")
      ->check(CLI::IsMember({"weighted", "rrf"}))
      ->capture_default_str();
  add_number(command, "--vector-weight", options.search.fusion.vector_weight, ranges::kVectorWeight,
             fmt::format("What meaning counts in hybrid, 0 to 1 (default: {}; rrf: {})",
                         FusionOptions::kWeightedVectorWeight, FusionOptions::kRankVectorWeight));
  add_number(command, "--offset", options.search.offset, ranges::kOffset,
             "Leave out so many of the best");
  add_number(command, "--min-score", options.search.min_score, ranges::kMinScore,
             "Leave out passages with a lower score; cosines: -1 to 1");
  add_number(command, "--per-document", options.search.per_document, ranges::kPerDocument,
             "At most so many passages of one document");
  add_number(
      command, "--recall", options.search.recall_target, ranges::kRecallTarget,
      "The share of the exact best to find, above 0 to 1 (default: 0.99); see nestor recall");
  command.add_flag("--exact", options.search.exact, "Compare with every passage");
  add_number(command, "--diversity", options.search.diversity_lambda, ranges::kDiversity,
             "1: the nearest; less: the nearest that say something else (MMR's lambda)");
  add_number(command, "--snippet", options.search.snippet_bytes, ranges::kSnippetBytes,
             "In JSON: where the words stand, in about so many bytes");
}

void add_part_options(CLI::App& command, SearchCommandOptions& options) {
  const auto list = [&](const char* name, std::vector<std::string>& values, const char* help) {
    command.add_option(name, values, help)->allow_extra_args(false);
  };
  list("--also", options.also, "A text more to be near to; as often as needed, as the next three");
  list("--like", options.like_keys, "KEY: more like this document, which is left out itself");
  list("--not", options.unlike, "A text to be away from");
  list("--not-like", options.unlike_keys, "KEY: a document to be away from");
  add_number(command, "--not-weight", options.unlike_weight, ranges::kUnlikeWeight,
             "What those to be away from count, 0 to 10 (default: 0.5)");
  command.add_flag("--any", options.any,
                   "Near to any one of the texts and documents (default: to all of them together)");
  add_number(command, "--timeout", options.timeout, ranges::kTimeoutSeconds,
             "Seconds that the search may take, without loading the model; exit code 124");
}

void add_output_options(CLI::App& command, SearchCommandOptions& options) {
  command.add_flag("--explain", options.explain, "Say what was done and how long it took");
  CLI::Option* json = command.add_flag("--json", options.json, "One JSON object with all hits");
  command.add_flag("--jsonl", options.jsonl, "One JSON object a line and hit")->excludes(json);
}

}  // namespace

void add_search_command(CLI::App& app, Context& context) {
  CLI::App& command =
      *app.add_subcommand("search", "Ask a database or an indexed folder a question");
  auto options = std::make_shared<SearchCommandOptions>();
  add_target_options(command, options->target, options->database, "DB_OR_FOLDER");
  command.add_option("QUESTION", options->words, "The question; - reads it from standard input");
  add_number(command, "-k,--k", options->search.k, ranges::kHits,
             "Passages to show, 1 to 10000 (default: 10)");
  command.add_option("--collection", options->search.collection, "The collection to ask")
      ->capture_default_str();
  command
      .add_option("--role", options->role,
                  "What the question is: query, question-answering, "
                  "fact-checking, code-retrieval, …")
      ->capture_default_str();
  add_number(command, "--coarse-width", options->search.coarse_width, ranges::kDimension,
             "Width of the first pass in full precision: 128, 256, 512 or 768 (default: codes)");
  add_number(command, "--rerank-width", options->search.rerank_width, ranges::kDimension,
             "Width of the second pass (default: chosen)");
  add_number(command, "--candidates", options->search.candidate_count, ranges::kCandidates,
             "Passages that the first pass hands on (default: chosen)");
  add_part_options(command, *options);
  add_ranking_options(command, *options);
  command.add_option("--precision", options->precision, kPrecisionHelp);
  CLI::Option* vector =
      command.add_option("--vector", options->vector,
                         "A vector as a JSON array, for collections that bring their own");
  command
      .add_option("--vector-file", options->vector_file,
                  "The same from a file; - for standard input")
      ->excludes(vector);
  // What main puts in for `nestor FOLDER "…"`.
  command.add_flag("--index-first", options->index_first)->group("");
  add_output_options(command, *options);
  set_action(command, context, [options](Context& c) { return run_search(*options, c); });
}

}  // namespace nestor::cli
