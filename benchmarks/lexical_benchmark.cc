// Search by words alone, without a model: how fast texts become terms, what the postings cost on
// disk, how fast queries are answered, and how good the answers are (nDCG@10).
//
//   lexical_benchmark [--queries FILE] [--language NAME] [FOLDER...]
//
// FOLDER: a benchmark in BEIR's form; without one, those of NESTOR_TEST_DATA. FILE gets "folder
// query nDCG@10" a line, for paired comparisons. One passage a document, as `nestor eval` has it.
// Threads: one.
#include <algorithm>
#include <cstring>
#include <fstream>

#include "benchmarks/benchmark_support.h"
#include "nestor/database.h"
#include "query/passage_terms.h"
#include "tools/cli/beir_folder.h"

namespace {

using nestor::Database;
using nestor::Document;
using nestor::SearchMode;
using nestor::benchmark::must;
using nestor::benchmark::rounded;
using nestor::cli::BeirFolder;
using Json = nlohmann::ordered_json;

constexpr int kRounds = 5;
constexpr std::size_t kBatch = 512;
constexpr std::size_t kMostAnalyzedBytes = 4'000'000;

struct Options {
  std::string language = "auto";
  std::string queries_file;
  std::vector<std::string> folders;
};

std::vector<Document> documents_of(const BeirFolder& folder) {
  std::vector<Document> documents;
  for (const auto& read : folder.documents) {
    documents.push_back(
        {.key = read.key, .title = read.title, .text = read.text, .vector = {1, 0}});
  }
  return documents;
}

// Milliseconds a megabyte of text, over the first documents; the median of the rounds.
double analysis_ms(const std::vector<Document>& documents, const std::string& language) {
  std::vector<double> rounds;
  for (int round = 0; round < kRounds; ++round) {
    const auto analyzer = must(nestor::query::TextAnalyzer::make(language));
    std::size_t bytes = 0;
    const double seconds = nestor::benchmark::seconds_of([&] {
      for (const Document& document : documents) {
        nestor::storage::Row row;
        row.passage.bytes = {0, static_cast<std::int64_t>(document.text.size())};
        must(nestor::query::make_document_terms(*analyzer, document, std::span(&row, 1)));
        bytes += document.text.size() + document.title.size();
        if (bytes > kMostAnalyzedBytes) break;
      }
    });
    rounds.push_back(seconds * 1e9 / static_cast<double>(bytes));
  }
  return nestor::benchmark::quantile(rounds, 0.5);
}

void fill(const std::string& path, const std::vector<Document>& documents,
          const std::string& language) {
  Database database = must(Database::open(path));
  must(database.create_collection(nestor::kDefaultCollection, {.vector_width = 2}));
  must(database.set_attribute(nestor::kDefaultCollection, nestor::query::kLanguageAttribute,
                              language));
  for (std::size_t first = 0; first < documents.size(); first += kBatch) {
    const std::size_t count = std::min(kBatch, documents.size() - first);
    must(database.add(std::span(documents).subspan(first, count)));
  }
  must(database.compact());
  must(database.close());
}

struct Answers {
  std::vector<double> ndcg;  // of each query
  double cold_ms = 0;        // a query, each asked for the first time
  double warm_ms = 0;
};

Answers ask(const Database& database, const BeirFolder& folder) {
  Answers answers;
  const auto round = [&](bool keep) {
    for (const auto& query : folder.queries) {
      const auto found = must(database.search(query.text, {.k = 10, .mode = SearchMode::kKeyword}));
      if (!keep) continue;
      std::vector<std::string> keys;
      for (const nestor::Hit& hit : found.hits) keys.push_back(hit.key);
      answers.ndcg.push_back(nestor::cli::ndcg_at(keys, query.judgments, 10));
    }
  };
  const double per_query = 1e3 / static_cast<double>(folder.queries.size());
  answers.cold_ms = nestor::benchmark::seconds_of([&] { round(true); }) * per_query;
  std::vector<double> warm;
  for (int i = 0; i < kRounds; ++i)
    warm.push_back(nestor::benchmark::seconds_of([&] { round(false); }) * per_query);
  answers.warm_ms = nestor::benchmark::quantile(warm, 0.5);
  return answers;
}

Json measure(const std::string& path, const Options& options, std::ofstream& queries_file) {
  const BeirFolder folder = must(nestor::cli::read_beir_folder(path));
  const std::vector<Document> documents = documents_of(folder);
  const nestor::benchmark::ScratchFolder scratch;
  fill(scratch / "db", documents, options.language);
  nestor::OpenOptions read_only;
  read_only.read_only = true;
  const Database database = must(Database::open(scratch / "db", read_only));
  const Answers answers = ask(database, folder);
  const std::string name = std::filesystem::path(path).filename().string();
  double sum = 0;
  for (std::size_t i = 0; i < answers.ndcg.size(); ++i) {
    sum += answers.ndcg[i];
    queries_file << name << ' ' << folder.queries[i].key << ' ' << answers.ndcg[i] << '\n';
  }
  return {{"folder", name},
          {"documents", documents.size()},
          {"queries", folder.queries.size()},
          {"ndcg_at_10", sum / static_cast<double>(answers.ndcg.size())},
          {"analysis_ms_per_mb", rounded(analysis_ms(documents, options.language))},
          {"disk_bytes", must(database.stats()).disk_bytes},
          {"cold_ms", rounded(answers.cold_ms)},
          {"warm_ms", rounded(answers.warm_ms)}};
}

Options parse(int argc, char** argv) {
  Options options;
  for (int i = 1; i < argc; ++i) {
    const std::string word = argv[i];
    if (word == "--language" && i + 1 < argc) {
      options.language = argv[++i];
    } else if (word == "--queries" && i + 1 < argc) {
      options.queries_file = argv[++i];
    } else {
      options.folders.push_back(word);
    }
  }
  if (!options.folders.empty()) return options;
  std::string base = nestor::environment("NESTOR_TEST_DATA");
  if (base.empty()) base = "../shared/data";
  for (const char* folder :
       {"xquad/en", "xquad/de", "xquad/th", "cosqa-dev", "pydocs-faq", "medquad-passages"}) {
    if (std::filesystem::exists(base + "/" + folder + "/corpus.jsonl"))
      options.folders.push_back(base + "/" + folder);
  }
  return options;
}

}  // namespace

int main(int argc, char** argv) {
  const Options options = parse(argc, argv);
  std::ofstream queries_file(options.queries_file);
  Json sets = Json::array();
  for (const std::string& folder : options.folders)
    sets.push_back(measure(folder, options, queries_file));
  nestor::benchmark::report("lexical", {{"language", options.language}, {"sets", sets}});
  return 0;
}
