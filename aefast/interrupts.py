"""Ctrl-C, held back while a run of steps and its counters belong together, and let through right after."""

from __future__ import annotations

import signal
import threading
from types import FrameType, TracebackType
from typing import Any


class Held:
    """Within it, SIGINT is noted only; at its end the handler that was there is called, and raises what it likes.

    Whatever works long in it asks `pending()` now and then, and stops early. One within another does nothing; nor does one in
    another thread than the main one, or where SIGINT has no handler in Python.
    """

    _holding: Held | None = None

    def __init__(self) -> None:
        self.came = False
        self._frame: FrameType | None = None
        self._handler: Any = None

    def __enter__(self) -> Held:
        if threading.current_thread() is threading.main_thread() and Held._holding is None:
            handler = signal.getsignal(signal.SIGINT)
            if callable(handler):
                self._handler, Held._holding = handler, self
                signal.signal(signal.SIGINT, self._note)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if Held._holding is self:
            Held._holding = None
            signal.signal(signal.SIGINT, self._handler)
            if self.came:
                self._handler(signal.SIGINT, self._frame)

    def _note(self, number: int, frame: FrameType | None) -> None:
        self.came, self._frame = True, frame


def pending() -> bool:
    """Whether a Ctrl-C waits to be let through."""
    holding = Held._holding
    return holding is not None and holding.came and threading.current_thread() is threading.main_thread()
