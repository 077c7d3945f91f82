"""How many threads a call uses. From the strongest: a limit, an `n_threads=` argument, `set_num_threads`, the environment.

The environment is AEFAST_NUM_THREADS, else OMP_NUM_THREADS, else the processors that affinity and (with the native module)
the control group's quota leave. Limits only lower: threadpoolctl's, and that of a thread of `fit_many`.
"""

from __future__ import annotations

import importlib
import operator
import os
import re
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from typing import Any

from aefast.checks import integer

# The native pool's bound (csrc/cpu/threads.cpp); no machine that this is for has more processors.
MAX_THREADS = 1024
_DIGITS = re.compile(r"[ \t\n\v\f\r]*([0-9]+)[ \t\n\v\f\r]*(?:,|\Z)")
_requested: int | None = None


class _Limit(threading.local):
    n = 0  # none


_limit = _Limit()


def set_num_threads(n: int | None) -> None:
    """Use n threads, in [1, 1024], from the next call on; None goes back to what the environment says.

    That is AEFAST_NUM_THREADS, else OMP_NUM_THREADS, else the processors that affinity and quota leave. Products of the
    numba and numpy backends use no more threads than that, and no more than their BLAS was started with.
    """
    global _requested
    integer(1, None, high=MAX_THREADS)("the number of threads", n)
    _requested = None if n is None else operator.index(n)
    native = sys.modules.get("aefast._cpu")
    if native is not None:
        native.set_num_threads(_requested or 0)


def requested() -> int | None:
    """What `set_num_threads` asked for; None: nothing."""
    return _requested


def num_threads(n_threads: int | None = None) -> int:
    """The number in force: the argument, else what was set, else the environment's; not above the limits.

    Raises ValueError where AEFAST_NUM_THREADS is no positive integer.
    """
    native = load_native()
    if native is not None:
        most: int = native.most_threads(n_threads or 0)
        return most
    n = n_threads or _requested or _from_environment()
    return min(n, _limit.n or n)


@contextmanager
def limited(n: int) -> Iterator[None]:
    """Within it, no call from this thread uses more than n threads, or than such a limit around it allows."""
    native, before = load_native(), _limit.n
    now = min(n, before or n)
    _limit.n = now
    if native is not None:
        native.limit_this_thread(now)
    try:
        yield
    finally:
        _limit.n = before
        if native is not None:
            native.limit_this_thread(before)


def adopt(native: Any) -> None:
    """For the native module, when it is loaded: gives it what was set before, and lets threadpoolctl know it."""
    if _requested is not None:
        native.set_num_threads(_requested)
    try:
        import threadpoolctl
    except ImportError:
        return
    if hasattr(threadpoolctl, "register"):  # since 3.2
        from aefast.backends.cpu.controller import Controller

        threadpoolctl.register(Controller)


@cache  # where there is none, each look for it would cost more than a small step
def load_native() -> Any:
    """The native module, set up by what was asked for; None where there is none."""
    try:
        return importlib.import_module("aefast.backends.cpu.native").module
    except ImportError:
        return None


def _from_environment() -> int:
    # As csrc/cpu/threads.cpp, without the control group's quota.
    own = os.environ.get("AEFAST_NUM_THREADS", "")
    if own and not _first_integer(own):
        raise ValueError(f"AEFAST_NUM_THREADS must be a positive integer, but is '{own}'")
    n = _first_integer(own) or _first_integer(os.environ.get("OMP_NUM_THREADS", ""))
    if not n:
        n = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return min(n, MAX_THREADS)


def _first_integer(text: str) -> int:
    """The integer before a comma or the end, at most `MAX_THREADS`; 0 where there is none above 0."""
    digits = _DIGITS.match(text)
    # Python reads no integer of more than some thousand digits.
    return min(int(digits[1].lstrip("0")[:5] or "0"), MAX_THREADS) if digits else 0
