// A host that counts its threads: the names of those there are and how many were ever started, one
// line of JSON for each phase of a life with Nestor. tests/tools/hidden_threads_test.py says what
// they have to be. usage: thread_host MODEL FOLDER THREADS [PRECISION]
#include <dlfcn.h>
#include <nestor/nestor.h>
#include <pthread.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <string>
#include <vector>

namespace {

std::atomic<int> threads_started = 0;

}  // namespace

// In place of the C library's, for the shared libraries too.
extern "C" int pthread_create(pthread_t* thread, const pthread_attr_t* attributes,
                              void* (*start)(void*), void* argument) {
  using Create = int (*)(pthread_t*, const pthread_attr_t*, void* (*)(void*), void*);
  static const auto kNext = reinterpret_cast<Create>(::dlsym(RTLD_NEXT, "pthread_create"));
  ++threads_started;
  return kNext(thread, attributes, start, argument);
}

namespace {

// The names of the threads of this process but the main one, sorted.
std::vector<std::string> other_threads() {
  std::vector<std::string> names;
  const std::string self = std::to_string(::getpid());
  for (const auto& task : std::filesystem::directory_iterator("/proc/self/task")) {
    std::string name;
    std::ifstream file(task.path() / "comm");
    if (task.path().filename() != self && std::getline(file, name)) names.push_back(name);
  }
  std::sort(names.begin(), names.end());
  return names;
}

void report(const char* phase) {
  std::printf("{\"phase\": \"%s\", \"started\": %d, \"threads\": [", phase, threads_started.load());
  const char* separator = "";
  for (const std::string& name : other_threads()) {
    std::printf("%s\"%s\"", separator, name.c_str());
    separator = ", ";
  }
  std::puts("]}");
  std::fflush(stdout);
}

template <typename T>
T must(nestor::Result<T> result) {
  if (!result.ok()) {
    std::fprintf(stderr, "%s\n", result.status().to_string().c_str());
    std::exit(2);
  }
  return std::move(result).value();
}

std::vector<nestor::Document> documents(int count) {
  std::vector<nestor::Document> made;
  for (int i = 0; i < count; ++i) {
    made.push_back({.key = "d" + std::to_string(i), .text = "sorted run " + std::to_string(i)});
  }
  return made;
}

}  // namespace

int main(int argument_count, char** arguments) {
  if (argument_count < 4)
    return std::puts("usage: thread_host MODEL FOLDER THREADS [PRECISION]"), 2;
  report("start");
  const std::string folder = arguments[2];
  nestor::OpenOptions options;
  options.embedder.model_folder = arguments[1];
  options.embedder.thread_count = std::atoi(arguments[3]);
  options.embedder.allow_unverified_model = true;
  if (argument_count > 4) options.embedder.precision = arguments[4];
  {
    nestor::Database first = must(nestor::Database::open(folder + "/first.nestor", options));
    nestor::Database second = must(nestor::Database::open(folder + "/second.nestor", options));
    report("open");
    // Codes are trained at 1,024 passages.
    must(first.add(documents(1200)));
    must(second.add(documents(20)));
    report("add");
    const std::vector<std::string> queries(8, "sorted run 7");
    for (nestor::Database* db : {&first, &second}) {
      must(db->search(queries.front()));
      must(db->search_batch(queries));
      must(db->search(queries.front(), {.mode = nestor::SearchMode::kHybrid}));
    }
    report("search");
    must(first.measure_recall());
    report("recall");
    must(first.verify());
    must(second.verify());
    report("verify");
    if (!first.close().ok() || !second.close().ok()) return 2;
  }
  report("closed");
  {
    nestor::Database again = must(nestor::Database::open(folder + "/first.nestor", options));
    must(again.search("sorted run 7"));
    report("again");
  }
  report("end");
}
