#include "cpu/threads.h"

#include <algorithm>
#include <cstdlib>
#include <cstring>
#include <fstream>
#include <sstream>
#include <stdexcept>
#include <string>
#include <thread>

#ifdef __linux__
#include <sched.h>
#endif

namespace aefast::cpu {
namespace {

constexpr int kMaxThreads = 1024;

// The leading positive integer of an environment variable, at most kMaxThreads, or 0 ("" and unset alike). Digits with
// blanks around them, up to a comma or the end: as aefast/threads.py reads it.
int positive_integer(const char* text) {
  if (text == nullptr) return 0;
  const char* const blanks = " \t\n\v\f\r";
  text += std::strspn(text, blanks);
  const char* const digits = text;
  int value = 0;
  for (; '0' <= *text && *text <= '9'; ++text) value = std::min(10 * value + (*text - '0'), kMaxThreads);
  const bool found = text != digits;
  text += std::strspn(text, blanks);
  return found && (*text == '\0' || *text == ',') ? value : 0;
}

int affinity_count() {
#ifdef __linux__
  // Masks larger than cpu_set_t (1024 CPUs) fail with EINVAL; the hardware's count stands in for them.
  cpu_set_t set;
  CPU_ZERO(&set);
  if (sched_getaffinity(0, sizeof set, &set) == 0) return std::max(1, CPU_COUNT(&set));
#endif
  return std::max(1u, std::thread::hardware_concurrency());
}

#ifdef __linux__
// CPUs granted by one cgroup directory (0: no limit): v2 cpu.max holds "max|quota period", v1 two files.
double directory_quota(const std::string& directory) {
  double quota = -1, period = 0;
  std::ifstream v2(directory + "/cpu.max");
  std::string word;
  if (v2 >> word >> period) {
    quota = word == "max" ? -1 : std::atof(word.c_str());
  } else {
    std::ifstream quota_file(directory + "/cpu.cfs_quota_us"), period_file(directory + "/cpu.cfs_period_us");
    if (!(quota_file >> quota) || !(period_file >> period)) return 0;
  }
  return quota > 0 && period > 0 ? quota / period : 0;
}

// The smallest quota on the path from the process's own group up to the root of the mounted tree.
double path_quota(const std::string& mount, std::string path) {
  double smallest = 0;
  for (;;) {
    const double here = directory_quota(mount + path);
    if (here > 0 && (smallest == 0 || here < smallest)) smallest = here;
    if (path.empty() || path == "/") return smallest;
    path.resize(path.find_last_of('/'));
  }
}
#endif

}  // namespace

double cgroup_quota(const std::string& root) {
  double smallest = 0;
#ifdef __linux__
  std::ifstream groups(root + "/proc/self/cgroup");
  for (std::string line; std::getline(groups, line);) {
    const auto first = line.find(':'), second = line.find(':', first + 1);
    if (first == std::string::npos || second == std::string::npos) continue;
    const std::string controllers = line.substr(first + 1, second - first - 1), path = line.substr(second + 1);
    double here = 0;
    if (controllers.empty()) {
      here = path_quota(root + "/sys/fs/cgroup", path);
    } else if (("," + controllers + ",").find(",cpu,") != std::string::npos) {
      here = path_quota(root + "/sys/fs/cgroup/cpu", path);
      // In a container the path may be the host's while the mount shows the container's own group as its root.
      if (here == 0) here = directory_quota(root + "/sys/fs/cgroup/cpu");
    }
    if (here > 0 && (smallest == 0 || here < smallest)) smallest = here;
  }
#else
  (void)root;
#endif
  return smallest;
}

int default_num_threads() {
  const char* own = std::getenv("AEFAST_NUM_THREADS");
  if (own != nullptr && *own != '\0') {
    const int n = positive_integer(own);
    if (n == 0) {
      throw std::invalid_argument(std::string("AEFAST_NUM_THREADS must be a positive integer, but is '") + own + "'");
    }
    return n;
  }
  if (const int n = positive_integer(std::getenv("OMP_NUM_THREADS"))) return n;
  int n = affinity_count();
  const double quota = cgroup_quota("");
  // Rounded down: a thread more than the quota makes the whole group wait for its next period.
  if (quota > 0) n = std::min(n, std::max(1, static_cast<int>(quota)));
  return std::min(n, kMaxThreads);
}

}  // namespace aefast::cpu
