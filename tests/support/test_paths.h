// Where tests find and leave things: a temporary folder, the fixtures of the repository, the data
// and the genuine model that lie beyond it. Threads: free functions, safe anywhere; a TempFolder
// belongs to one test.
#pragma once

#include <string>
#include <string_view>

namespace nestor::testing {

// A fresh folder below TMPDIR (or /tmp), removed with everything in it at the end of the scope.
class TempFolder {
 public:
  TempFolder();
  ~TempFolder();
  TempFolder(const TempFolder&) = delete;
  TempFolder& operator=(const TempFolder&) = delete;

  [[nodiscard]] const std::string& path() const { return path_; }
  // The path of `name` inside; nothing is made.
  [[nodiscard]] std::string operator/(std::string_view name) const;

 private:
  std::string path_;
};

// tests/fixtures/<name>; ends the program when it is not there, for it is part of the repository.
std::string fixture(std::string_view name);
// tests/<name>: golden files, support files.
std::string tests_path(std::string_view name);
// NESTOR_TEST_DATA (default: shared/data beside the repository) + "/" + name; empty when it is not
// there.
std::string test_data(std::string_view name);
// The folder of the genuine model: NESTOR_MODEL, else Nestor's own model folder. Empty when no
// weights are there, or when NESTOR_TEST_WITHOUT_MODEL is set (the sanitizer runs set it).
std::string genuine_model();

// A folder below the build folder that outlives the run, for what takes long to make (the packed
// genuine model). ctest gives it to all programs as XDG_CACHE_HOME.
std::string scratch_folder();

// Prints "SKIPPED: <reason>". A test that says so returns right after it. With
// NESTOR_REQUIRE_ALL=1, which CI sets, it fails the running test instead: there nothing may be
// missing.
void skip(std::string_view reason);

}  // namespace nestor::testing
