"""Signals held back while a run of steps and its counters belong together, and let through right after."""

from __future__ import annotations

# The module below `signal`: the same functions without the enums, whose making costs more than a small step.
import _signal  # type: ignore[import-not-found]
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType, TracebackType
from typing import Any

# Those by which people and schedulers stop a process, as far as the system has them.
SIGNALS: tuple[int, ...] = tuple(
    getattr(_signal, name)
    for name in ("SIGINT", "SIGTERM", "SIGHUP", "SIGUSR1", "SIGUSR2", "SIGALRM")
    if hasattr(_signal, name)
)


class DeferredSignals:
    """Within it, a signal with a handler in Python is noted only; at its end the handler is called, and raises what it likes.

    Whatever works long in it asks `pending()` now and then, and stops early. One within another does nothing; nor does one in
    another thread than the main one.
    """

    _active: DeferredSignals | None = None

    def __init__(self) -> None:
        self.came: dict[int, FrameType | None] = {}
        self._handlers: dict[int, Any] = {}

    def __enter__(self) -> DeferredSignals:
        if DeferredSignals._active is None and threading.current_thread() is threading.main_thread():
            try:
                for number in SIGNALS:
                    handler = _signal.getsignal(number)
                    if callable(handler):
                        self._handlers[number] = handler
                        _signal.signal(number, self._note)
            except BaseException:  # of a handler whose signal came just before
                self._restore()
                raise
            DeferredSignals._active = self
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if DeferredSignals._active is not self:
            return
        DeferredSignals._active = None  # while no handler can raise
        late, raised = self._restore(), None
        for number, frame in self.came.items():
            try:
                self._handlers[number](number, frame)
            except BaseException as problem:  # noqa: BLE001 (raised when all have been called)
                raised = raised or problem
        if raised or late:
            raise raised or late  # type: ignore[misc]

    def _note(self, number: int, frame: FrameType | None) -> None:
        self.came[number] = frame

    def _restore(self) -> BaseException | None:
        """Puts every handler back; what one of them raised meanwhile."""
        late = None
        left = dict(self._handlers)
        for _ in range(len(SIGNALS) + 1):
            try:
                # Setting a handler first runs those whose signals wait; a loop's end and a call's do so too.
                while left:
                    number = next(iter(left))
                    _signal.signal(number, left[number])
                    del left[number]
                break
            except BaseException as error:  # noqa: BLE001 (kept, and raised when all are back)
                late = error
        return late


class _Stop(threading.local):
    event: threading.Event | None = None


_stop = _Stop()


@contextmanager
def stopped_by(event: threading.Event) -> Iterator[None]:
    """Within it, what this thread trains ends between two steps with a KeyboardInterrupt, once the event is set.

    Signals reach the main thread alone; so it tells the others.
    """
    before, _stop.event = _stop.event, event
    try:
        yield
    finally:
        _stop.event = before


def raise_if_stopped() -> None:
    """KeyboardInterrupt where this thread was told to stop."""
    if _stop.event is not None and _stop.event.is_set():
        raise KeyboardInterrupt


def pending() -> bool:
    """Whether a signal waits to be let through, or this thread was told to stop."""
    if _stop.event is not None and _stop.event.is_set():
        return True
    active = DeferredSignals._active
    return active is not None and bool(active.came) and threading.current_thread() is threading.main_thread()
