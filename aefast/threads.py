"""How many threads the kernels use: what was set, else the environment, affinity and quota."""

from __future__ import annotations

import operator
import os

from aefast.checks import integer

# The native pool's bound (csrc/cpu/threads.cpp); no machine that this is for has more processors.
MAX_THREADS = 1024
_requested: int | None = None


def set_num_threads(n: int | None) -> None:
    """Use n threads, in [1, 1024], from the next call on; None goes back to what the environment says.

    That is AEFAST_NUM_THREADS, else OMP_NUM_THREADS, else the processors that affinity leaves.
    """
    global _requested
    integer(1, None, high=MAX_THREADS)("the number of threads", n)
    _requested = None if n is None else operator.index(n)


def requested() -> int | None:
    """What `set_num_threads` asked for; None: nothing."""
    return _requested


def num_threads(n_threads: int | None = None) -> int:
    """The number in force: the argument, else what was set, else the environment, else the usable processors."""
    if n_threads is not None:
        return n_threads
    if _requested is not None:
        return _requested
    for name in ("AEFAST_NUM_THREADS", "OMP_NUM_THREADS"):
        value = os.environ.get(name, "").split(",")[0].strip()
        if value.isdecimal() and int(value) > 0:
            return int(value)
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
