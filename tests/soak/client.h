// The program under test: a Database with the hash encoder, the operations of the model put to it,
// and the comparison of the two. Threads: a Client belongs to one thread.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>

#include "nestor/database.h"
#include "tests/soak/model.h"

namespace nestor::soak {

class Client {
 public:
  explicit Client(std::string path) : path_(std::move(path)) {}

  Status open(bool read_only = false);
  Status close();
  // Errors: those of the call; of kSearch and kReopen too.
  Status execute(const PlannedOp& op);
  [[nodiscard]] Database& database() { return *database_; }
  [[nodiscard]] bool is_open() const { return database_.has_value(); }

  // Which of the models (0, or 1 where there is a second) the documents are, each wholly.
  // Errors: kDataLoss says what is missing, torn or wrong; else those of the calls.
  Result<int> match(const Model& first, const Model* second);
  // verify, and the searches against the documents. Errors: kDataLoss names the first thing wrong.
  Status check(const Model& model, std::uint64_t random);

 private:
  Status check_search(std::size_t collection, const Model& model, Random& random);
  Status check_words(const Model& model, Random& random);
  Status search(const PlannedOp& op);

  std::string path_;
  std::optional<Database> database_;
};

// Every document of the database as one number, for two readings that should be the same.
Result<std::uint64_t> fingerprint(const Database& database);

// The options that the operations use: small passages, so that short texts have several.
AddOptions add_options(std::size_t collection);

}  // namespace nestor::soak
