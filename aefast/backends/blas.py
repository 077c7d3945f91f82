"""Threads of the BLAS behind NumPy's products, which knows nothing of `n_threads`: lowered around a run, then put back.

The number is the process's. While several runs want different ones, the smallest holds.
"""

from __future__ import annotations

import os
import threading
from types import TracebackType
from typing import Any

from aefast import threads
from aefast.interrupts import DeferredSignals


class _Libraries:
    """The loaded BLAS libraries, found when first needed (some milliseconds), and who has lowered them."""

    def __init__(self) -> None:
        self.lock = threading.Lock()
        self._lowered: list[int] = []  # what the runs wanted that wanted less than there was
        self._before: list[int] = []
        self._found: list[Any] | None = None

    def most(self) -> int:
        """The largest number that a library has while no run lowers it."""
        with self.lock:
            if self._found is None:
                self._found = _blas_libraries()
            numbers = self._before if self._lowered else self._numbers()
            return max(numbers, default=1)

    def lower(self, n: int) -> None:
        """No library uses more than n threads until `put_back`."""
        with self.lock:
            if not self._lowered:
                self._before = self._numbers()
            self._lowered.append(n)
            self._apply()

    def put_back(self, n: int) -> None:
        """The end of one `lower`."""
        with self.lock:
            self._lowered.remove(n)
            self._apply()

    def _numbers(self) -> list[int]:
        return [library.get_num_threads() for library in self._found or ()]

    def _apply(self) -> None:
        for library, before in zip(self._found or (), self._before, strict=True):
            # From 3.8 on threadpoolctl lets one thread alone set OpenBLAS's number, until that gives it up.
            n = min(before, *self._lowered) if self._lowered else before
            if library.get_num_threads() != n:
                give_up = getattr(library, "clear_controlling_thread", lambda force: None)
                give_up(force=True)
                library.set_num_threads(n)
                give_up(force=True)


def _blas_libraries() -> list[Any]:
    try:
        from threadpoolctl import ThreadpoolController
    except ImportError:
        return []
    found: list[Any] = ThreadpoolController().select(user_api="blas").lib_controllers
    return found


_libraries = _Libraries()


class AtMost:
    """Within it, products use no more threads than `aefast.threads` allows for this `n_threads`."""

    def __init__(self, n_threads: int | None) -> None:
        self.n_threads = n_threads
        self._lowered: tuple[int, DeferredSignals] | None = None

    def __enter__(self) -> None:
        n = threads.num_threads(self.n_threads)
        if _libraries.most() > n:
            signals = DeferredSignals()  # what a handler raised in here would leave BLAS lowered
            signals.__enter__()
            try:
                _libraries.lower(n)
            except BaseException:
                signals.__exit__(None, None, None)
                raise
            self._lowered = n, signals

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._lowered is not None:
            n, signals = self._lowered
            self._lowered = None
            _libraries.put_back(n)
            signals.__exit__(kind, error, trace)


def _after_fork() -> None:
    # A run of the parent's other threads doesn't end here.
    _libraries.lock = threading.Lock()
    if _libraries._lowered:
        _libraries._lowered.clear()
        _libraries._apply()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork)
