// How much processor time the control groups of this process allow: containers and services with a
// quota run on all processors of their host, and are stopped when the quota of a period is used up.
// Sources: cgroups(7), proc(5) for mountinfo, Documentation/admin-guide/cgroup-v2.rst (cpu.max) and
// cgroup-v1/cpusets and sched-bwc.rst (cpu.cfs_quota_us) of the Linux kernel.
// Threads: free functions, safe anywhere.
#pragma once

#include <functional>
#include <optional>
#include <string>

namespace nestor {

// The text of a file, or nothing where it cannot be read.
using TextReader = std::function<std::optional<std::string>(const std::string& path)>;

// Processors' worth of time: the tightest limit of the process's control group and of those above
// it, versions 1 and 2, as far as the mounted hierarchies show them; nothing where there is no
// limit. What is malformed limits nothing. `read` answers for /proc/self/cgroup,
// /proc/self/mountinfo and the files of the control groups.
std::optional<double> cpu_quota(const TextReader& read);
// The same of the machine's own files. Cost: some ten file reads, 0.1 ms.
std::optional<double> cpu_quota();

}  // namespace nestor
