// kill -9 at random moments of a life with the genuine model: texts that it embeds, questions that
// must find them, and vectors that must be those of a fresh embedding, to the last bit where the
// model is in int8. Without weights nothing is done, and a line says so.
#include <fmt/format.h>
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <cstring>
#include <map>
#include <nlohmann/json.hpp>

#include "core/base64.h"
#include "core/macros.h"
#include "nestor/database.h"
#include "nestor/embedder.h"
#include "tests/soak/fault_layer.h"
#include "tests/soak/harness.h"
#include "tests/soak/life.h"

namespace nestor::soak {
namespace {

struct Fact {
  const char* text;
  const char* question;
};

// Far apart, so that which text answers which question is no matter of taste.
constexpr std::array<Fact, 20> kFacts = {{
    {"Bread rises because yeast turns sugar into carbon dioxide, which the dough holds.",
     "why does dough get bigger before baking"},
    {"A write-ahead log lets a database repeat what was committed before a crash.",
     "how does a database survive a sudden crash"},
    {"Emperor penguins keep their eggs warm on their feet through the Antarctic winter.",
     "which birds hatch their young in the cold of Antarctica"},
    {"The violin has four strings, tuned in fifths, and is played with a bow of horsehair.",
     "how is a violin tuned"},
    {"A heart attack is most often a clot in a coronary artery that starves the muscle.",
     "what causes a heart attack"},
    {"Kepler found that planets move on ellipses with the sun in one focus.",
     "what shape is the orbit of a planet"},
    {"Concrete hardens because cement and water form crystals, and it need not dry for that.",
     "why does cement become hard"},
    {"The offside rule asks where an attacker stood at the moment the ball was played.",
     "when is a football player offside"},
    {"Vaccines show the immune system a harmless part of a germ, so that it learns to know it.",
     "how does vaccination protect from disease"},
    {"Glaciers carve wide valleys with steep walls, which the sea fills to make fjords.",
     "how were the fjords of Norway formed"},
    {"A mortgage is a loan for a house, and the house is what the bank takes if it is not paid.",
     "what happens to my home if I cannot pay the bank back"},
    {"Silk is spun by the caterpillar of a moth that eats the leaves of the mulberry tree.",
     "where does silk come from"},
    {"Public-key encryption uses one key to lock a message and another one to open it.",
     "how can strangers exchange secret messages"},
    {"Tomatoes are planted out after the last frost and tied to stakes as they grow.",
     "when should I put tomato plants in the garden"},
    {"The French Revolution began in 1789 with a state that could not pay its debts.",
     "why did the revolution in France break out"},
    {"A diesel engine has no spark plugs: air that is pressed together is hot enough.",
     "how does a diesel engine ignite its fuel"},
    {"Chess players castle to bring the king to safety and the rook into the game.",
     "why would one castle in chess"},
    {"Thunder is the sound of air that lightning heats so fast that it bursts apart.",
     "what makes the noise in a thunderstorm"},
    {"Olive oil of the first pressing is made without heat and tastes of grass and pepper.",
     "what is extra virgin oil"},
    {"Whales sing in low notes that carry through hundreds of kilometres of ocean.",
     "how do large sea mammals talk over great distances"},
}};

// What is stored: for a fact, the number of the operation that wrote its text last.
using Stored = std::map<std::size_t, std::uint64_t>;

struct RealOp {
  std::vector<std::size_t> written;
  std::vector<std::size_t> removed;
};

RealOp plan_real_op(std::uint64_t seed, std::uint64_t number) {
  Random random(seed * 1'000'003 + number);
  RealOp op;
  const std::uint64_t count = 1 + random.below(3);
  for (std::uint64_t i = 0; i < count; ++i) op.written.push_back(random.below(kFacts.size()));
  if (random.one_in(4)) op.removed.push_back(random.below(kFacts.size()));
  std::sort(op.written.begin(), op.written.end());
  op.written.erase(std::unique(op.written.begin(), op.written.end()), op.written.end());
  std::erase_if(op.removed, [&](std::size_t fact) {
    return std::find(op.written.begin(), op.written.end(), fact) != op.written.end();
  });
  return op;
}

void apply(const RealOp& op, std::uint64_t number, Stored& stored) {
  for (const std::size_t fact : op.removed) stored.erase(fact);
  for (const std::size_t fact : op.written) stored[fact] = number;
}

std::string key_of(std::size_t fact) { return fmt::format("fact-{:02}", fact); }

std::string text_of(std::size_t fact, std::uint64_t number) {
  return fmt::format("{} (entry {})", kFacts[fact].text, number);
}

struct StoredText {
  std::string text;
  std::vector<float> vector;
};

// All documents with their vectors, as an export has them.
Result<std::map<std::string, StoredText>> read_everything(const Database& database) {
  std::map<std::string, StoredText> all;
  Status status;
  const auto sink = [&](std::string_view line) -> Status {
    const auto parsed = nlohmann::json::parse(line, nullptr, false);
    if (!parsed.contains("key")) return {};
    const auto& passages = parsed.at("passages");
    if (passages.size() != 1)
      return {StatusCode::kDataLoss, fmt::format("{} passages of a line", passages.size())};
    const auto bytes = base64_decode(passages[0].at("vector").get<std::string>());
    if (!bytes.has_value()) return {StatusCode::kDataLoss, "a vector that is no base64"};
    StoredText& stored = all[parsed.at("key").get<std::string>()];
    stored.text = parsed.at("text").get<std::string>();
    stored.vector.resize(bytes->size() / sizeof(float));
    std::memcpy(stored.vector.data(), bytes->data(), stored.vector.size() * sizeof(float));
    return {};
  };
  NESTOR_RETURN_IF_ERROR(database.export_documents(sink).status());
  return all;
}

// The first difference of what is there and what should be; nothing where there is none.
std::string difference(const std::map<std::string, StoredText>& there, const Stored& wanted) {
  if (there.size() != wanted.size())
    return fmt::format("{} texts are there, {} should be", there.size(), wanted.size());
  for (const auto& [fact, number] : wanted) {
    const auto found = there.find(key_of(fact));
    if (found == there.end()) return key_of(fact) + " is missing";
    if (found->second.text != text_of(fact, number)) return key_of(fact) + " has another text";
  }
  return {};
}

Status check_vector(const Embedder& embedder, std::size_t fact, const StoredText& stored) {
  NESTOR_ASSIGN_OR_RETURN(const Embedding fresh, embedder.embed_document("", stored.text));
  // In f32 the order of a sum may differ from batch to batch.
  const float room = embedder.info().precision == "int8" ? 0.0F : 1e-5F;
  float furthest = fresh.vector.size() == stored.vector.size() ? 0.0F : 2.0F;
  for (std::size_t i = 0; i < fresh.vector.size() && furthest < 2; ++i)
    furthest = std::max(furthest, std::abs(fresh.vector[i] - stored.vector[i]));
  if (furthest <= room) return {};
  return {StatusCode::kDataLoss,
          fmt::format("WRONG: the vector of {} is off by {}", key_of(fact), furthest)};
}

Status check_question(const Database& database, std::size_t fact) {
  NESTOR_ASSIGN_OR_RETURN(const SearchResult found,
                          database.search(kFacts[fact].question, {.k = 3}));
  for (const Hit& hit : found.hits) {
    if (hit.key == key_of(fact)) return {};
  }
  return {StatusCode::kDataLoss,
          fmt::format("WRONG: '{}' does not find {}", kFacts[fact].question, key_of(fact))};
}

struct RealHistory {
  std::uint64_t seed = 1;
  Stored stored;              // all that was acknowledged
  std::uint64_t pending = 0;  // begun, not acknowledged; 0: none
  std::uint64_t next_op = 1;

  [[nodiscard]] Stored with_pending() const {
    Stored with = stored;
    if (pending != 0) apply(plan_real_op(seed, pending), pending, with);
    return with;
  }
  void learn() {
    const LifePage& page = life_page();
    if (!page.verified) return;
    if (page.matched == 1) stored = with_pending();
    pending = 0;
    for (; next_op <= page.acked; ++next_op) apply(plan_real_op(seed, next_op), next_op, stored);
    if (page.begun > page.acked) {
      pending = page.begun;
      next_op = pending + 1;
    }
  }
};

// Compares everything, and of some facts (or all) questions and vectors as well.
Result<int> compare(const Database& database, const Embedder& embedder, const RealHistory& history,
                    Random random, std::size_t looks) {
  NESTOR_ASSIGN_OR_RETURN(const auto there, read_everything(database));
  Stored wanted = history.stored;
  int matched = 0;
  if (std::string what = difference(there, wanted); !what.empty()) {
    wanted = history.with_pending();
    matched = 1;
    if (!difference(there, wanted).empty())
      return Status(StatusCode::kDataLoss, "WRONG: " + std::move(what));
  }
  NESTOR_ASSIGN_OR_RETURN(const VerifyReport verified, database.verify());
  if (!verified.problems.empty())
    return Status(StatusCode::kDataLoss, "WRONG: verify: " + verified.problems.front());
  for (std::size_t i = 0; i < looks && !wanted.empty(); ++i) {
    const std::uint64_t place = looks < wanted.size() ? random.below(wanted.size()) : i;
    if (place >= wanted.size()) break;
    const std::size_t fact = std::next(wanted.begin(), static_cast<std::ptrdiff_t>(place))->first;
    NESTOR_RETURN_IF_ERROR(check_vector(embedder, fact, there.at(key_of(fact))));
    NESTOR_RETURN_IF_ERROR(check_question(database, fact));
  }
  return matched;
}

Status live(const std::string& path, const RealHistory& history, std::uint64_t random,
            std::uint64_t op_count, std::size_t looks) {
  LifePage& page = life_page();
  set_phase("open");
  NESTOR_ASSIGN_OR_RETURN(Embedder embedder, Embedder::open());
  OpenOptions options;
  options.shared_embedder = embedder;
  NESTOR_ASSIGN_OR_RETURN(Database database, Database::open(path, options));
  set_phase("compare");
  NESTOR_ASSIGN_OR_RETURN(const int matched,
                          compare(database, embedder, history, Random(random), looks));
  page.matched = matched;
  page.begun = history.next_op - 1;
  page.acked = history.next_op - 1;
  page.verified = true;
  set_phase("work");
  for (std::uint64_t number = history.next_op; number < history.next_op + op_count; ++number) {
    const RealOp op = plan_real_op(history.seed, number);
    page.begun = number;
    std::vector<Document> documents;
    for (const std::size_t fact : op.written)
      documents.push_back({.key = key_of(fact), .text = text_of(fact, number)});
    AddOptions add;
    for (const std::size_t fact : op.removed) add.removals.push_back(key_of(fact));
    NESTOR_RETURN_IF_ERROR(database.add(documents, add).status());
    page.acked = number;
  }
  return database.close();
}

int run_real_life(const std::string& path, const RealHistory& history, std::uint64_t random,
                  std::uint64_t op_count, std::size_t looks) {
  const Status status = live(path, history, random, op_count, looks);
  return status.ok() ? 0 : fail_life(status.to_string());
}

constexpr int kNoModel = 11;  // exit code

int look_for_model() {
  const auto embedder = Embedder::open();
  if (embedder.ok()) return 0;
  fail_life(embedder.status().to_string());
  return embedder.status().code() == StatusCode::kModelMissing ? kNoModel : 1;
}

// Until the child is through its check, or dead.
void wait_until_checked(pid_t child) {
  siginfo_t info{};
  while (!life_page().verified && info.si_pid == 0) {
    ::usleep(500);
    if (::waitid(P_PID, static_cast<id_t>(child), &info, WEXITED | WNOHANG | WNOWAIT) != 0) return;
  }
}

}  // namespace

HarnessReport soak_real_model(const HarnessOptions& options, const std::string& folder) {
  HarnessReport report;
  const Death model = wait_for(start_child(look_for_model));
  if (model.exited && model.code == kNoModel) {
    fmt::print("SKIPPED: {}\n", life_page().error.data());
    report.skipped = true;
    return report;
  }
  if (!model.clean()) report.fail("the model: " + model.describe());
  RealHistory history{.seed = options.seed, .stored = {}, .pending = 0};
  Random random(options.seed);
  const std::string path = folder + "/db";
  arm(path, {});
  const std::uint64_t cycles = options.cycles != 0 ? options.cycles : 100;
  constexpr std::size_t kLooks = 4;
  for (std::uint64_t cycle = 1; cycle <= cycles && report.failures.empty(); ++cycle) {
    const std::uint64_t seed = random.next();
    const pid_t child =
        start_child([&] { return run_real_life(path, history, seed, 100'000, kLooks); });
    // One in five while it still opens or compares.
    if (!random.one_in(5)) wait_until_checked(child);
    ::usleep(static_cast<useconds_t>(random.below(300'000)));
    ::kill(child, SIGKILL);
    const Death death = wait_for(child);
    ++report.cycles;
    if (death.signal != SIGKILL) report.fail(fmt::format("cycle {}: {}", cycle, death.describe()));
    if (life_page().verified) ++report.counts["lives checked"];
    const std::uint64_t before = history.next_op;
    history.learn();
    report.counts["calls acknowledged or cut short"] += history.next_op - before;
  }
  if (!report.failures.empty()) return report;
  const Death death =
      wait_for(start_child([&] { return run_real_life(path, history, 1, 0, kFacts.size()); }));
  if (!death.clean()) report.fail("after the last cycle: " + death.describe());
  report.counts["texts at the end, each asked for and embedded anew"] =
      life_page().matched == 1 ? history.with_pending().size() : history.stored.size();
  return report;
}

}  // namespace nestor::soak
