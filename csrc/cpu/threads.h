// How many threads this process may use, by environment, affinity and cgroup quota.
#pragma once

namespace aefast::cpu {

// AEFAST_NUM_THREADS, else OMP_NUM_THREADS (its first number), else the smaller of affinity and cgroup quota; at
// least 1. Throws std::invalid_argument where AEFAST_NUM_THREADS is no positive integer.
int default_num_threads();

}  // namespace aefast::cpu
