// Nestor's side of encode_vs_peers: one loaded model that answers requests, a JSON object a line,
// so that it and its peers can take turns on one machine.
//
//   encode_worker [--precision int8] [--threads 2]     NESTOR_MODEL names another model
//
//   {"op":"load","inputs":FILE}    opens the model anew -> {"load_s", "about", "model_mb", …}
//   {"op":"run","case":C,"indices":[…],"repeat":N}         -> {"seconds":[…], "tokens":[…]}
//   {"op":"vectors","case":C,"indices":[…],"file":FILE}    -> float32 rows, one an index
//   {"op":"memory"}                -> {"peak_rss_mb"}
// FILE of "load" is {CASE: [{"role","title","text",…}]}. Texts go in, not ids: the time of the
// tokenizer is in these figures and not in those of the peers, which are given ids.
#include <iostream>
#include <map>
#include <optional>

#include "benchmarks/benchmark_support.h"
#include "nestor/embedder.h"

namespace {

using nestor::benchmark::must;
using nestor::benchmark::seconds_of;

struct Text {
  std::string title;
  std::string text;
  nestor::Role role = nestor::Role::kDocument;
};

struct Worker {
  nestor::EmbedderOptions options;
  std::optional<nestor::Embedder> embedder;
  std::map<std::string, std::vector<Text>> cases;
};

[[noreturn]] void give_up(const std::string& why) {
  std::fprintf(stderr, "encode_worker: %s\n", why.c_str());
  std::exit(2);
}

// VmHWM: getrusage's peak would hold that of the process that started this one.
std::int64_t peak_memory_mb() {
  std::ifstream status("/proc/self/status");
  for (std::string line; std::getline(status, line);) {
    if (line.starts_with("VmHWM:")) return std::stoll(line.substr(6)) * 1024 / 1'000'000;
  }
  return 0;
}

// Of the packed file, or of the weights in a checkpoint's folder, as they lie on disk.
double model_mb(const std::filesystem::path& folder) {
  if (std::filesystem::is_regular_file(folder)) {
    return static_cast<double>(std::filesystem::file_size(folder)) / 1e6;
  }
  std::uintmax_t bytes = 0;
  for (const auto& entry : std::filesystem::recursive_directory_iterator(
           folder, std::filesystem::directory_options::follow_directory_symlink)) {
    if (entry.path().extension() == ".safetensors") bytes += entry.file_size();
  }
  return static_cast<double>(bytes) / 1e6;
}

void read_inputs(const std::string& path, Worker& worker) {
  std::ifstream file(path);
  const std::string bytes{std::istreambuf_iterator<char>(file), {}};
  worker.cases.clear();
  const nlohmann::json cases = nlohmann::json::parse(bytes);
  for (const auto& [name, texts] : cases.items()) {
    for (const nlohmann::json& text : texts) {
      worker.cases[name].push_back(
          {text.at("title"), text.at("text"),
           text.at("role") == "query" ? nestor::Role::kQuery : nestor::Role::kDocument});
    }
  }
}

nlohmann::ordered_json load(const nlohmann::json& request, Worker& worker) {
  read_inputs(request.at("inputs"), worker);
  worker.embedder.reset();
  const double seconds =
      seconds_of([&] { worker.embedder = must(nestor::Embedder::open(worker.options)); });
  const nestor::ModelInfo& info = worker.embedder->info();
  return {{"load_s", seconds},
          {"about", info.precision + ", " + info.backend},
          {"model_mb", model_mb(info.folder)},
          {"variants", {"one call"}},
          {"machine", nestor::benchmark::machine()},
          {"version", nestor::benchmark::commit()}};
}

struct Call {
  nestor::Role role = nestor::Role::kDocument;
  std::vector<nestor::EmbedInput> inputs;
};

// The texts of a request; all of them have one role, as one call does.
Call call_of(const nlohmann::json& request, const Worker& worker) {
  const auto found = worker.cases.find(request.at("case").get<std::string>());
  if (!worker.embedder || found == worker.cases.end()) give_up("no such case: " + request.dump());
  Call call;
  for (const std::size_t index : request.at("indices").get<std::vector<std::size_t>>()) {
    const Text& text = found->second.at(index);
    call.inputs.push_back({text.text, text.title});
    call.role = text.role;
  }
  return call;
}

nlohmann::ordered_json run(const nlohmann::json& request, const Worker& worker) {
  const Call call = call_of(request, worker);
  std::vector<nestor::Embedding> rows;
  std::vector<double> seconds;
  for (int left = request.value("repeat", 1); left > 0; --left) {
    seconds.push_back(
        seconds_of([&] { rows = must(worker.embedder->embed(call.inputs, call.role)); }));
  }
  std::vector<int> tokens;
  tokens.reserve(rows.size());
  for (const nestor::Embedding& row : rows) tokens.push_back(row.token_count);
  return {{"seconds", seconds}, {"tokens", tokens}};
}

nlohmann::ordered_json vectors(const nlohmann::json& request, const Worker& worker) {
  const Call call = call_of(request, worker);
  std::ofstream file(request.at("file").get<std::string>(), std::ios::binary);
  for (const nestor::Embedding& row : must(worker.embedder->embed(call.inputs, call.role))) {
    file.write(reinterpret_cast<const char*>(row.vector.data()),
               static_cast<std::streamsize>(row.vector.size() * sizeof(float)));
  }
  file.close();
  if (!file) give_up("cannot write " + request.at("file").get<std::string>());
  return {{"rows", call.inputs.size()}};
}

nlohmann::ordered_json answer(const nlohmann::json& request, Worker& worker) {
  const auto op = request.at("op").get<std::string>();
  if (op == "load") return load(request, worker);
  if (op == "run") return run(request, worker);
  if (op == "vectors") return vectors(request, worker);
  if (op == "memory") return {{"peak_rss_mb", peak_memory_mb()}};
  give_up("op " + op + ": expected load, run, vectors or memory");
}

}  // namespace

int main(int argument_count, char** arguments) {
  Worker worker;
  worker.options.model_folder = nestor::environment("NESTOR_MODEL");
  for (int i = 1; i + 1 < argument_count; i += 2) {
    const std::string name = arguments[i];
    if (name == "--precision") {
      worker.options.precision = arguments[i + 1];
    } else if (name == "--threads") {
      worker.options.thread_count = std::atoi(arguments[i + 1]);
    } else {
      give_up(name + ": expected --precision P or --threads N");
    }
  }
  try {
    for (std::string line; std::getline(std::cin, line);) {
      std::puts(answer(nlohmann::json::parse(line), worker).dump().c_str());
      std::fflush(stdout);
    }
  } catch (const std::exception& error) {  // a request that is not what the comment above says
    give_up(error.what());
  }
  return 0;
}
