"""What every op of the functional front checks, and how it finds its backend."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from aefast import backends
from aefast.errors import BackendUnavailableError

Array = NDArray[Any]


def implementation(
    backend: str, op: str, like: Array | np.dtype[Any], act: str | None = None, loss: str | None = None
) -> Any:
    """The ops of the named backend, or of the first that does this op in the dtype of `like`."""
    if not isinstance(like, (np.ndarray, np.dtype)):
        raise TypeError(f"{op} takes NumPy arrays, but its first is {type(like).__name__}; use numpy.asarray")
    dtype = like if isinstance(like, np.dtype) else like.dtype
    reasons = []
    for name in backends.NAMES if backend == "auto" else (backend,):
        runs = backends.available(name)
        if runs:
            candidate = backends.get(name)
            runs = candidate.supports(op, act=act, loss=loss, dtype=dtype.name)
            if runs:
                return candidate.ops
        reasons.append(f"{name}: {runs.reason}")
    raise BackendUnavailableError(f"no backend does {op} in {dtype}: " + "; ".join(reasons))


def check(name: str, array: Array, shape: tuple[int | None, ...], dtype: np.dtype[Any]) -> tuple[int, ...]:
    """The array's shape, checked against the expected one (None: any) and dtype."""
    if not isinstance(array, np.ndarray):
        raise TypeError(f"{name} must be a NumPy array, but is {type(array).__name__}")
    if array.dtype != dtype:
        raise TypeError(f"{name} must have dtype {dtype}, as the first array has, but has {array.dtype}")
    fits = array.ndim == len(shape) and all(
        e is None or e == n for n, e in zip(array.shape, shape, strict=True)
    )
    if not fits or 0 in array.shape:
        wanted = ", ".join("any" if e is None else str(e) for e in shape)
        raise ValueError(
            f"{name} must have shape ({wanted}), without empty dimensions, but has {array.shape}"
        )
    return array.shape


def output(name: str, out: Array | None, shape: tuple[int, ...], dtype: np.dtype[Any]) -> Array:
    """`out` as it was given, checked and writeable, or a new array."""
    if out is None:
        return np.empty(shape, dtype)
    check(name, out, shape, dtype)
    if not out.flags.writeable:
        raise ValueError(f"{name} is read-only")
    return out
