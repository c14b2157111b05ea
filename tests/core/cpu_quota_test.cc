#include "core/cpu_quota.h"

#include <doctest/doctest.h>

#include <map>
#include <string>

namespace nestor {
namespace {

// Files as the named systems show them, shortened to the lines that matter.
using Files = std::map<std::string, std::string>;

std::optional<double> quota_in(const Files& files) {
  return cpu_quota([&](const std::string& path) -> std::optional<std::string> {
    const auto found = files.find(path);
    if (found == files.end()) return std::nullopt;
    return found->second;
  });
}

const std::string kOtherMounts =
    "21 28 0:20 / /sys rw,nosuid,nodev,noexec,relatime shared:7 - sysfs sysfs rw\n"
    "28 1 254:1 / / rw,relatime shared:1 - ext4 /dev/vda1 rw,errors=remount-ro\n";
const std::string kV2Mount =
    kOtherMounts +
    "29 21 0:25 / /sys/fs/cgroup rw,nosuid,nodev,noexec,relatime shared:9 - cgroup2 cgroup2 "
    "rw,nsdelegate,memory_recursiveprot\n";

TEST_CASE("cgroup v2: the quota of the group itself is found, fractions too") {
  const std::string cpu_max = "/sys/fs/cgroup/system.slice/nestor.service/cpu.max";
  Files files = {{"/proc/self/cgroup", "0::/system.slice/nestor.service\n"},
                 {"/proc/self/mountinfo", kV2Mount}};
  CHECK_FALSE(quota_in(files).has_value());
  files[cpu_max] = "max 100000\n";
  CHECK_FALSE(quota_in(files).has_value());
  files[cpu_max] = "200000 100000\n";
  CHECK(quota_in(files) == 2.0);
  files[cpu_max] = "150000 100000\n";
  CHECK(quota_in(files) == 1.5);
  files[cpu_max] = "5000 50000\n";
  CHECK(quota_in(files) == doctest::Approx(0.1));
  files[cpu_max] = "300000\n";  // the usual period is meant
  CHECK(quota_in(files) == 3.0);
}

TEST_CASE("cgroup v2: the tightest limit of the groups above counts") {
  Files files = {{"/proc/self/cgroup", "0::/a.slice/a-b.slice/c.scope\n"},
                 {"/proc/self/mountinfo", kV2Mount},
                 {"/sys/fs/cgroup/a.slice/cpu.max", "100000 50000\n"},
                 {"/sys/fs/cgroup/a.slice/a-b.slice/cpu.max", "max 100000\n"},
                 {"/sys/fs/cgroup/a.slice/a-b.slice/c.scope/cpu.max", "400000 100000\n"}};
  CHECK(quota_in(files) == 2.0);
  files["/sys/fs/cgroup/a.slice/a-b.slice/cpu.max"] = "90000 100000\n";
  CHECK(quota_in(files) == doctest::Approx(0.9));
}

TEST_CASE("cgroup v2: a container with a namespace of its own sees its limit at the mount point") {
  const Files files = {{"/proc/self/cgroup", "0::/\n"},
                       {"/proc/self/mountinfo",
                        "757 756 0:28 / /sys/fs/cgroup ro,nosuid,nodev,noexec,relatime - cgroup2 "
                        "cgroup rw,nsdelegate\n"},
                       {"/sys/fs/cgroup/cpu.max", "250000 100000\n"}};
  CHECK(quota_in(files) == 2.5);
}

TEST_CASE("cgroup v2: a container in its host's namespace sees its own group alone") {
  const std::string group = "/system.slice/docker-1f3a.scope";
  const Files files = {
      {"/proc/self/cgroup", "0::" + group + "\n"},
      {"/proc/self/mountinfo",
       "757 756 0:28 " + group + " /sys/fs/cgroup ro,relatime - cgroup2 cgroup rw,nsdelegate\n"},
      {"/sys/fs/cgroup/cpu.max", "50000 100000\n"}};
  CHECK(quota_in(files) == 0.5);
}

TEST_CASE("cgroup v1: quota and period are two files, and -1 is no limit") {
  const std::string folder = "/sys/fs/cgroup/cpu,cpuacct/system.slice/nestor.service";
  Files files = {
      {"/proc/self/cgroup",
       "12:memory:/elsewhere\n4:cpu,cpuacct:/system.slice/nestor.service\n1:name=systemd:/\n"},
      {"/proc/self/mountinfo",
       kOtherMounts +
           "33 25 0:29 / /sys/fs/cgroup/memory rw,nosuid shared:13 - cgroup cgroup rw,memory\n"
           "34 25 0:30 / /sys/fs/cgroup/cpu,cpuacct rw,nosuid shared:14 - cgroup cgroup "
           "rw,cpu,cpuacct\n"},
      {folder + "/cpu.cfs_quota_us", "-1\n"},
      {folder + "/cpu.cfs_period_us", "100000\n"}};
  CHECK_FALSE(quota_in(files).has_value());
  files[folder + "/cpu.cfs_quota_us"] = "170000\n";
  CHECK(quota_in(files) == doctest::Approx(1.7));
  const std::string above = "/sys/fs/cgroup/cpu,cpuacct/system.slice";
  files[above + "/cpu.cfs_quota_us"] = "50000\n";
  CHECK(quota_in(files) == doctest::Approx(1.7));  // without its period a quota says nothing
  files[above + "/cpu.cfs_period_us"] = "50000\n";
  CHECK(quota_in(files) == 1.0);
}

TEST_CASE("cgroup v1: a container in its host's namespace, nested as deep as Kubernetes does") {
  const std::string group = "/kubepods/burstable/pod7/1f3a";
  const std::string mount = "900 899 0:30 " + group +
                            " /sys/fs/cgroup/cpu,cpuacct ro,nosuid master:15 - cgroup cgroup "
                            "rw,cpu,cpuacct\n";
  Files files = {{"/proc/self/cgroup", "4:cpu,cpuacct:" + group + "\n"},
                 {"/proc/self/mountinfo", mount},
                 {"/sys/fs/cgroup/cpu,cpuacct/cpu.cfs_quota_us", "400000\n"},
                 {"/sys/fs/cgroup/cpu,cpuacct/cpu.cfs_period_us", "100000\n"}};
  CHECK(quota_in(files) == 4.0);
  files["/proc/self/cgroup"] = "4:cpu,cpuacct:" + group + "/inner\n";
  CHECK(quota_in(files) == 4.0);
  // A mount of another container's group says nothing about this one's.
  files["/proc/self/cgroup"] = "4:cpu,cpuacct:/kubepods/burstable/pod7/1f3abc\n";
  CHECK_FALSE(quota_in(files).has_value());
}

TEST_CASE("hybrid: the version that limits counts, and of both the tighter one") {
  Files files = {
      {"/proc/self/cgroup", "5:cpu,cpuacct:/docker/1f3a\n1:name=systemd:/x\n0::/docker/1f3a\n"},
      {"/proc/self/mountinfo",
       "30 25 0:26 / /sys/fs/cgroup/unified rw shared:10 - cgroup2 cgroup2 rw,nsdelegate\n"
       "34 25 0:30 / /sys/fs/cgroup/cpu,cpuacct rw shared:14 - cgroup cgroup rw,cpu,cpuacct\n"},
      {"/sys/fs/cgroup/cpu,cpuacct/docker/1f3a/cpu.cfs_quota_us", "300000\n"},
      {"/sys/fs/cgroup/cpu,cpuacct/docker/1f3a/cpu.cfs_period_us", "100000\n"}};
  CHECK(quota_in(files) == 3.0);
  files["/sys/fs/cgroup/unified/docker/1f3a/cpu.max"] = "100000 100000\n";
  CHECK(quota_in(files) == 1.0);
}

TEST_CASE("groups and mounts above the namespace's root are read where they can be seen") {
  Files files = {{"/proc/self/cgroup", "0::/../other\n"},
                 {"/proc/self/mountinfo", kV2Mount},
                 {"/sys/fs/cgroup/cpu.max", "600000 100000\n"}};
  CHECK(quota_in(files) == 6.0);
  files["/proc/self/cgroup"] = "0::/inner\n";
  files["/proc/self/mountinfo"] = "29 21 0:25 /../.. /sys/fs/cgroup rw - cgroup2 cgroup2 rw\n";
  CHECK(quota_in(files) == 6.0);
}

TEST_CASE("names with spaces and colons are read as they are meant") {
  const Files files = {
      {"/proc/self/cgroup", "0::/a:b c\n"},
      {"/proc/self/mountinfo", "29 21 0:25 / /mnt/control\\040groups rw - cgroup2 cgroup2 rw\n"},
      {"/mnt/control groups/a:b c/cpu.max", "700000 100000\n"}};
  CHECK(quota_in(files) == 7.0);
}

TEST_CASE("malformed files limit nothing") {
  const std::string cpu_max = "/sys/fs/cgroup/x/cpu.max";
  for (const char* text :
       {"", "\n", "fast 100000", "100000 slow", "100000 0", "0 100000", "-5 100000",
        "9999999999999999999999 100000", "100000 100000 100000", "0x10 100000"}) {
    CAPTURE(text);
    CHECK_FALSE(
        quota_in(
            {{"/proc/self/cgroup", "0::/x\n"}, {"/proc/self/mountinfo", kV2Mount}, {cpu_max, text}})
            .has_value());
  }
  for (const char* cgroup : {"", "0", "0:", "0::", "0::x", ":::", "cpu"}) {
    CAPTURE(cgroup);
    CHECK_FALSE(quota_in({{"/proc/self/cgroup", cgroup},
                          {"/proc/self/mountinfo", kV2Mount},
                          {"/sys/fs/cgroup/cpu.max", "100000 100000"}})
                    .has_value());
  }
  for (const char* mounts :
       {"", "29 21 0:25", "- - - - - - -", "29 21 0:25 / /sys/fs/cgroup rw cgroup2 cgroup2 rw",
        "29 21 0:25 / /sys/fs/cgroup rw - cgroup2", " - cgroup2 cgroup2 rw"}) {
    CAPTURE(mounts);
    CHECK_FALSE(quota_in({{"/proc/self/cgroup", "0::/x\n"},
                          {"/proc/self/mountinfo", mounts},
                          {"/sys/fs/cgroup/cpu.max", "100000 100000"}})
                    .has_value());
  }
  CHECK_FALSE(quota_in({}).has_value());
}

}  // namespace
}  // namespace nestor
