#include "tests/soak/harness.h"

#include <fmt/format.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include <cstdlib>
#include <filesystem>

#include "core/file.h"

namespace nestor::soak {

namespace fs = std::filesystem;

bool HarnessReport::fail(std::string what) {
  constexpr std::size_t kEnough = 10;
  if (failures.size() < kEnough) failures.push_back(std::move(what));
  return failures.size() >= kEnough;
}

std::string make_work_folder() {
  std::string base = environment("NESTOR_SOAK_FOLDER");
  struct statvfs info {};
  constexpr std::uint64_t kRoom = std::uint64_t{2} << 30;
  const bool in_memory = ::statvfs("/dev/shm", &info) == 0 && info.f_bavail * info.f_frsize > kRoom;
  if (base.empty()) base = in_memory ? "/dev/shm" : fs::temp_directory_path().string();
  const std::string path = fmt::format("{}/nestor-soak-{}", base, ::getpid());
  fs::create_directories(path);
  return path;
}

void remove_folder(const std::string& path) {
  std::error_code ignored;
  fs::remove_all(path, ignored);
}

void copy_folder(const std::string& from, const std::string& to) {
  fs::create_directories(to);
  fs::copy(from, to, fs::copy_options::recursive);
}

}  // namespace nestor::soak
