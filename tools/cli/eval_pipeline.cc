#include "tools/cli/eval_pipeline.h"

#include <fmt/format.h>

#include <algorithm>
#include <chrono>
#include <unordered_set>
#include <utility>

#include "core/macros.h"
#include "query/add_report.h"
#include "query/icu_text.h"
#include "tools/cli/progress.h"

namespace nestor::cli {
namespace {

constexpr std::size_t kRankingLength = 100;     // recall@100 looks no further
constexpr std::int64_t kShortList = 10;         // what a search returns when nobody asks for more
constexpr std::int64_t kMostPassages = 10'000;  // the API's own limit on k
// Documents an atomic batch: enough to keep the encoder busy, little to lose at Ctrl-C.
constexpr std::size_t kBatchDocuments = 128;

class Timer {
 public:
  [[nodiscard]] double seconds() const {
    return std::chrono::duration<double>(std::chrono::steady_clock::now() - start_).count();
  }

 private:
  std::chrono::steady_clock::time_point start_ = std::chrono::steady_clock::now();
};

// Each way of embedding has a collection of its own, so that a database that is kept serves all of
// them.
std::string collection_name(const EvalSetup& setup, const ModelInfo& model) {
  return fmt::format("eval-{}{}{}", model.precision, setup.join_title ? "-joined" : "",
                     setup.passages ? "-passages" : "");
}

Document to_document(const BeirDocument& read, const EvalSetup& setup) {
  if (!setup.join_title) return {.key = read.key, .title = read.title, .text = read.text};
  // Source: MTEB's retrieval tasks join them so and strip the ends.
  std::string text = read.title.empty() ? read.text : read.title + " " + read.text;
  const std::size_t begin = text.find_first_not_of(" \t\r\n");
  if (begin == std::string::npos) text.clear();
  if (!text.empty()) text = text.substr(begin, text.find_last_not_of(" \t\r\n") + 1 - begin);
  return {.key = read.key, .title = {}, .text = std::move(text)};
}

Status remove_others(Database& database, const std::string& collection, const BeirFolder& folder) {
  std::unordered_set<std::string_view> wanted;
  for (const BeirDocument& document : folder.documents) wanted.insert(document.key);
  std::vector<std::string> others;
  std::string last;
  for (;;) {
    NESTOR_ASSIGN_OR_RETURN(const std::vector<std::string> keys,
                            database.list_keys(collection, last));
    if (keys.empty()) break;
    for (const std::string& key : keys) {
      if (!wanted.contains(key)) others.push_back(key);
    }
    last = keys.back();
  }
  if (others.empty()) return {};
  return database.remove(others, {.collection = collection}).status();
}

Result<AddReport> add_documents(Database& database, const std::string& collection,
                                const BeirFolder& folder, const EvalSetup& setup,
                                Context& context) {
  std::int64_t total_bytes = 0;
  for (const BeirDocument& document : folder.documents) {
    total_bytes += static_cast<std::int64_t>(document.text.size());
  }
  ProgressLine line(context, "embedding documents");
  AddReport report;
  std::int64_t done_bytes = 0;
  for (std::size_t begin = 0; begin < folder.documents.size(); begin += kBatchDocuments) {
    const std::size_t end = std::min(begin + kBatchDocuments, folder.documents.size());
    std::vector<Document> batch;
    std::int64_t batch_bytes = 0;
    for (std::size_t i = begin; i < end; ++i) {
      batch.push_back(to_document(folder.documents[i], setup));
      batch_bytes += static_cast<std::int64_t>(folder.documents[i].text.size());
    }
    AddOptions options{.collection = collection, .split = {}, .stop = context.stop, .progress = {}};
    options.split.enabled = setup.passages;
    options.progress = [&](const Progress& progress) {
      const double share = progress.tokens_total > 0
                               ? static_cast<double>(progress.tokens_done) /
                                     static_cast<double>(progress.tokens_total)
                               : 0.0;
      const auto now =
          done_bytes + static_cast<std::int64_t>(share * static_cast<double>(batch_bytes));
      line.update(now, total_bytes, [](double rate) { return bytes_text(rate) + "/s of text"; });
    };
    NESTOR_ASSIGN_OR_RETURN(const AddReport added, database.add(batch, options));
    query::accumulate(report, added);
    done_bytes += batch_bytes;
  }
  return report;
}

Result<std::vector<Embedding>> embed_queries(const Embedder& embedder, const BeirFolder& folder,
                                             const EvalSetup& setup, Context& context) {
  std::vector<EmbedInput> inputs;
  for (const BeirQuery& query : folder.queries) inputs.push_back({.text = query.text});
  ProgressLine line(context, "embedding queries");
  EmbedOptions options{.width = 0, .stop = context.stop, .progress = {}};
  options.progress = [&](const Progress& progress) {
    line.update(progress.tokens_done, progress.tokens_total,
                [](double rate) { return short_count(rate) + " tokens/s"; });
  };
  return embedder.embed(inputs, setup.role, options);
}

// What the hits come in the order of.
double ranked_by(const Hit& hit) {
  return hit.fused_score > 0 ? hit.fused_score
                             : (hit.keyword_score > 0 ? hit.keyword_score : hit.score);
}

// The documents of `hits`, each as its best passage; hits come best first.
std::vector<RankedDocument> best_of_documents(const std::vector<Hit>& hits) {
  std::vector<RankedDocument> ranking;
  std::unordered_set<std::string_view> seen;
  for (const Hit& hit : hits) {
    if (ranking.size() < kRankingLength && seen.insert(hit.key).second)
      ranking.push_back({hit.key, ranked_by(hit)});
  }
  return ranking;
}

struct EvalQuery {
  std::string_view text;
  std::span<const float> vector;
};

Result<SearchResult> ask(const Database& database, const EvalQuery& query,
                         const SearchOptions& options) {
  // A query of nothing but white space finds nothing by words, and is no mistake of a benchmark.
  if (options.mode != SearchMode::kVector && query::is_blank(query.text)) return SearchResult{};
  return options.mode == SearchMode::kVector ? database.search_vector(query.vector, options)
                                             : database.search(query.text, options);
}

// Asks for more passages until they belong to enough documents or there are no more.
Result<SearchResult> search_documents(const Database& database, const EvalQuery& query,
                                      SearchOptions options, std::size_t document_count) {
  for (;;) {
    NESTOR_ASSIGN_OR_RETURN(SearchResult found, ask(database, query, options));
    const bool all =
        static_cast<std::int64_t>(found.hits.size()) < options.k || options.k == kMostPassages;
    const std::size_t wanted = std::min(kRankingLength, document_count);
    if (all || best_of_documents(found.hits).size() >= wanted) return found;
    options.k = std::min(options.k * 3, kMostPassages);
  }
}

Result<EvalRun> search_all(const Database& database, const BeirFolder& folder,
                           const std::vector<Embedding>& queries, SearchOptions options,
                           Context& context, const std::string& label) {
  ProgressLine line(context, label);
  EvalRun run;
  ScoreAverage average;
  options.stop = context.stop;
  const Timer timer;
  for (std::size_t i = 0; i < queries.size(); ++i) {
    options.k = static_cast<std::int64_t>(kRankingLength);
    const EvalQuery query{folder.queries[i].text, queries[i].vector};
    NESTOR_ASSIGN_OR_RETURN(const SearchResult found,
                            search_documents(database, query, options, folder.documents.size()));
    std::vector<RankedDocument> ranking = best_of_documents(found.hits);
    std::vector<std::string> keys;
    for (const RankedDocument& document : ranking) keys.push_back(document.key);
    average.add(keys, folder.queries[i].judgments);
    run.rankings.push_back(std::move(ranking));

    // Asked again for 10: with k = 100 the planner may look at more candidates than a user's search
    // does.
    options.k = kShortList;
    NESTOR_ASSIGN_OR_RETURN(const SearchResult shortened, ask(database, query, options));
    std::vector<double> scores;
    for (const Hit& hit : shortened.hits) scores.push_back(hit.score);
    run.short_lists.push_back(std::move(scores));
    run.plan = shortened.explain;
    line.update(static_cast<std::int64_t>(i + 1), static_cast<std::int64_t>(queries.size()),
                [](double rate) { return short_count(rate) + " queries/s"; });
  }
  run.seconds = timer.seconds();
  run.scores = average.mean();
  return run;
}

SearchOptions search_options(const std::string& collection, const EvalPlan& plan,
                             const EvalSetup& setup, const ModelInfo& model) {
  SearchOptions options;
  options.mode = plan.mode;
  options.role = setup.role;
  options.collection = collection;
  options.candidate_count = setup.candidate_count;
  if (plan.leave_to_planner) return options;
  options.coarse_width = plan.coarse_width != 0 ? plan.coarse_width : model.widths.back();
  options.rerank_width = plan.rerank_width != 0 ? plan.rerank_width : model.width;
  return options;
}

double mean_recall(const EvalRun& plan, const EvalRun& exact) {
  double sum = 0;
  for (std::size_t i = 0; i < plan.short_lists.size(); ++i) {
    sum += recall_against_exact(plan.short_lists[i], exact.short_lists[i]);
  }
  return plan.short_lists.empty() ? 1 : sum / static_cast<double>(plan.short_lists.size());
}

}  // namespace

Result<EvalReport> evaluate(Database& database, const BeirFolder& folder, const EvalSetup& setup,
                            Context& context) {
  EvalReport report;
  NESTOR_ASSIGN_OR_RETURN(const Embedder embedder, database.embedder());
  report.model = embedder.info();
  const std::string collection = collection_name(setup, report.model);
  NESTOR_RETURN_IF_ERROR(database.create_collection(collection).status());
  NESTOR_RETURN_IF_ERROR(remove_others(database, collection, folder));
  const Timer documents_timer;
  NESTOR_ASSIGN_OR_RETURN(report.added,
                          add_documents(database, collection, folder, setup, context));
  report.embed_documents_seconds = documents_timer.seconds();
  const Timer queries_timer;
  NESTOR_ASSIGN_OR_RETURN(const std::vector<Embedding> queries,
                          embed_queries(embedder, folder, setup, context));
  report.embed_queries_seconds = queries_timer.seconds();
  report.queries_truncated = std::count_if(queries.begin(), queries.end(),
                                           [](const Embedding& one) { return one.truncated; });

  const EvalPlan full{.coarse_width = report.model.width, .rerank_width = report.model.width};
  NESTOR_ASSIGN_OR_RETURN(
      report.exact,
      search_all(database, folder, queries, search_options(collection, full, setup, report.model),
                 context, "searching, exact"));
  for (const EvalPlan& plan : setup.plans) {
    const SearchOptions options = search_options(collection, plan, setup, report.model);
    NESTOR_ASSIGN_OR_RETURN(EvalRun run, search_all(database, folder, queries, options, context,
                                                    "searching, by the plan"));
    run.recall_against_exact = mean_recall(run, report.exact);
    report.runs.push_back(std::move(run));
  }
  report.passages = report.exact.plan.passages;
  return report;
}

}  // namespace nestor::cli
