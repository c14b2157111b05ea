#include "core/folder.h"

#include <doctest/doctest.h>

#include <filesystem>
#include <fstream>

#include "tests/support/test_paths.h"

namespace nestor {
namespace {

namespace fs = std::filesystem;
using testing::TempFolder;

TEST_CASE("a folder is removed with what is below it, and not with what its links lead to") {
  const TempFolder folder;
  fs::create_directories(folder / "gone/a/b");
  fs::create_directories(folder / "kept");
  std::ofstream(folder / "gone/a/file") << "text";
  std::ofstream(folder / "gone/a/b/.hidden") << "text";
  std::ofstream(folder / "kept/file") << "text";
  fs::create_directory_symlink(folder / "kept", folder / "gone/a/link");
  remove_folder_quietly(folder / "gone");
  CHECK_FALSE(fs::exists(folder / "gone"));
  CHECK(fs::exists(folder / "kept/file"));
  remove_folder_quietly(folder / "never was");
  CHECK(list_folder(folder.path()).value().size() == 1);
}

}  // namespace
}  // namespace nestor
