#include "core/cpu_quota.h"

#include <algorithm>
#include <charconv>
#include <cstdint>
#include <fstream>
#include <iterator>
#include <string_view>
#include <vector>

namespace nestor {
namespace {

// Quotas that a kernel accepts are below this; anything above is no number of its.
constexpr std::int64_t kMostMicroseconds = std::int64_t{1} << 50;
constexpr std::int64_t kUsualPeriod = 100'000;

// The group of this process in each hierarchy that can limit processor time, from its root on.
struct Groups {
  std::optional<std::string> v1;
  std::optional<std::string> v2;
};

struct Mount {
  bool v2 = false;
  std::string root;   // the group that the mount point shows
  std::string point;  // where
};

std::vector<std::string_view> split(std::string_view text, char separator) {
  std::vector<std::string_view> parts;
  for (std::size_t begin = 0; begin <= text.size();) {
    const std::size_t end = std::min(text.find(separator, begin), text.size());
    parts.push_back(text.substr(begin, end - begin));
    begin = end + 1;
  }
  return parts;
}

bool lists(std::string_view names, std::string_view name) {
  const auto parts = split(names, ',');
  return std::find(parts.begin(), parts.end(), name) != parts.end();
}

// Lines "4:cpu,cpuacct:/docker/1f3a" and "0::/user.slice"; a path may hold colons.
Groups parse_groups(std::string_view text) {
  Groups groups;
  for (const std::string_view line : split(text, '\n')) {
    const std::size_t first = line.find(':');
    if (first == line.npos) continue;
    const std::size_t second = line.find(':', first + 1);
    if (second == line.npos) continue;
    const std::string_view controllers = line.substr(first + 1, second - first - 1);
    const std::string path(line.substr(second + 1));
    if (!path.starts_with('/')) continue;
    if (line.substr(0, first) == "0" && controllers.empty()) groups.v2 = path;
    if (lists(controllers, "cpu")) groups.v1 = path;
  }
  return groups;
}

// mountinfo writes a space as \040, and so on.
std::string unescape(std::string_view text) {
  std::string plain;
  for (std::size_t i = 0; i < text.size(); ++i) {
    int value = 0;
    if (text[i] == '\\' && i + 3 < text.size()) {
      const char* const begin = text.data() + i + 1;
      const auto parsed = std::from_chars(begin, begin + 3, value, 8);
      if (parsed.ec == std::errc() && parsed.ptr == begin + 3) {
        plain += static_cast<char>(value);
        i += 3;
        continue;
      }
    }
    plain += text[i];
  }
  return plain;
}

// Lines "29 23 0:26 ROOT POINT OPTIONS [TAG…] - TYPE SOURCE SUPER_OPTIONS".
std::vector<Mount> parse_mounts(std::string_view text) {
  std::vector<Mount> mounts;
  for (const std::string_view line : split(text, '\n')) {
    const std::vector<std::string_view> fields = split(line, ' ');
    const auto dash = std::find(fields.begin(), fields.end(), "-");
    if (fields.end() - dash < 4 || dash - fields.begin() < 6) continue;
    const std::string_view type = dash[1];
    if (type != "cgroup2" && !(type == "cgroup" && lists(dash[3], "cpu"))) continue;
    mounts.push_back(
        {.v2 = type == "cgroup2", .root = unescape(fields[3]), .point = unescape(fields[4])});
  }
  return mounts;
}

bool is_above_namespace(const std::string& path) { return (path + "/").starts_with("/../"); }

// Folders of `group` and of the groups above it below the mount point, the mount point last; none
// where the mount shows other groups.
std::vector<std::string> folders_of(const Mount& mount, const std::string& group) {
  std::string_view below = group;
  // A mount or a group above the namespace's root is named "/.."; between that root and the group
  // names are hidden, and what can be seen is the mount point.
  if (is_above_namespace(mount.root) || is_above_namespace(group)) {
    below = "/";
  } else if (mount.root != "/") {
    if (!(group + "/").starts_with(mount.root + "/")) return {};
    below.remove_prefix(mount.root.size());
  }
  std::vector<std::string> folders;
  while (!below.empty() && below != "/") {
    folders.push_back(mount.point + std::string(below));
    below = below.substr(0, below.rfind('/'));
  }
  folders.push_back(mount.point);
  return folders;
}

std::optional<std::int64_t> parse_microseconds(std::string_view text) {
  std::int64_t value = 0;
  const auto parsed = std::from_chars(text.data(), text.data() + text.size(), value);
  const std::string_view rest = text.substr(static_cast<std::size_t>(parsed.ptr - text.data()));
  if (parsed.ec != std::errc() || rest.find_first_not_of(" \n") != rest.npos || value <= 0 ||
      value > kMostMicroseconds) {
    return std::nullopt;  // "max" and -1 are no limit, and the rest is not the kernel's
  }
  return value;
}

std::optional<double> ratio(std::optional<std::int64_t> quota, std::optional<std::int64_t> period) {
  if (!quota.has_value() || !period.has_value()) return std::nullopt;
  return static_cast<double>(*quota) / static_cast<double>(*period);
}

std::optional<double> quota_of(const std::string& folder, bool v2, const TextReader& read) {
  if (v2) {  // "200000 100000", "max 100000", "max"
    const std::optional<std::string> text = read(folder + "/cpu.max");
    if (!text.has_value()) return std::nullopt;
    const std::size_t space = text->find(' ');
    if (space == text->npos) return ratio(parse_microseconds(*text), kUsualPeriod);
    return ratio(parse_microseconds(std::string_view(*text).substr(0, space)),
                 parse_microseconds(std::string_view(*text).substr(space + 1)));
  }
  const std::optional<std::string> quota = read(folder + "/cpu.cfs_quota_us");
  const std::optional<std::string> period = read(folder + "/cpu.cfs_period_us");
  if (!quota.has_value() || !period.has_value()) return std::nullopt;
  return ratio(parse_microseconds(*quota), parse_microseconds(*period));
}

std::optional<std::string> read_text(const std::string& path) {
  std::ifstream file(path, std::ios::binary);
  if (!file) return std::nullopt;
  return std::string(std::istreambuf_iterator<char>(file), std::istreambuf_iterator<char>());
}

}  // namespace

std::optional<double> cpu_quota(const TextReader& read) {
  const std::optional<std::string> cgroup = read("/proc/self/cgroup");
  const std::optional<std::string> mountinfo = read("/proc/self/mountinfo");
  if (!cgroup.has_value() || !mountinfo.has_value()) return std::nullopt;
  const Groups groups = parse_groups(*cgroup);
  std::optional<double> tightest;
  for (const Mount& mount : parse_mounts(*mountinfo)) {
    const std::optional<std::string>& group = mount.v2 ? groups.v2 : groups.v1;
    if (!group.has_value()) continue;
    for (const std::string& folder : folders_of(mount, *group)) {
      const std::optional<double> limit = quota_of(folder, mount.v2, read);
      if (limit.has_value()) tightest = std::min(tightest.value_or(*limit), *limit);
    }
  }
  return tightest;
}

std::optional<double> cpu_quota() { return cpu_quota(read_text); }

}  // namespace nestor
