// How many threads this process may use, by environment, affinity and cgroup quota.
#pragma once

#include <string>

namespace aefast::cpu {

// AEFAST_NUM_THREADS, else OMP_NUM_THREADS (its first number), else the smaller of affinity and cgroup quota; at
// least 1. Throws std::invalid_argument where AEFAST_NUM_THREADS is no positive integer.
int default_num_threads();

// Processors that the process's control groups (v1 and v2) grant it; 0: no limit. `root` stands before /proc and /sys,
// for tests.
double cgroup_quota(const std::string& root);

}  // namespace aefast::cpu
