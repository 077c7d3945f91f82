"""Room to work in, kept from call to call: a buffer for each purpose, dtype and thread, that grows."""

from __future__ import annotations

import threading
from typing import Any

import numpy as np
from numpy.typing import NDArray

Array = NDArray[Any]


class _Buffers(threading.local):
    def __init__(self) -> None:
        self.held: dict[tuple[str, Any], Array] = {}


_buffers = _Buffers()
_ones: dict[Any, Array] = {}


def room(purpose: str, n: int, dtype: Any) -> Array:
    """(>= n,) of that dtype, holding whatever was left there."""
    key = purpose, dtype
    buffer = _buffers.held.get(key)
    if buffer is None or len(buffer) < n:
        buffer = _buffers.held[key] = np.zeros(n, dtype)
    return buffer


def ones(n: int, dtype: Any) -> Array:
    """(>= n,) ones, read-only."""
    buffer = _ones.get(dtype)
    if buffer is None or len(buffer) < n:
        buffer = np.ones(n, dtype)
        buffer.flags.writeable = False
        _ones[dtype] = buffer
    return buffer
