"""What every op of the functional front checks, and how it finds its backend."""

from __future__ import annotations

from functools import cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from aefast import activations, backends, losses
from aefast.checks import choice, integer, seed, wrong_type
from aefast.errors import BackendUnavailableError

Array = NDArray[Any]
# Noise has the epoch as one word of its address (`aefast.random`).
epoch_number = integer(0, high=2**32 - 1)
# Work to find out whether two views of one buffer share an element; beyond it they count as sharing.
OVERLAP_WORK = 10_000


def implementation(
    backend: str,
    op: str,
    like: Array | np.dtype[Any],
    act: str | None = None,
    loss: str | None = None,
    compute_dtype: str | None = None,
) -> Any:
    """The ops of the named backend, or of the first that does this op in the dtype of `like`, or in `compute_dtype`."""
    if not isinstance(like, (np.ndarray, np.dtype)):
        raise TypeError(f"{op} takes NumPy arrays, but its first is {type(like).__name__}; use numpy.asarray")
    dtype = like if isinstance(like, np.dtype) else like.dtype
    if dtype.name == "bfloat16":
        raise TypeError(
            f"{op} takes float32 arrays for bfloat16 compute: give those and compute_dtype='bfloat16'"
        )
    choice(("bfloat16",), none=True)("compute_dtype", compute_dtype)
    if compute_dtype is not None and dtype != np.float32:
        raise TypeError(
            f"compute_dtype='bfloat16' works on float32 arrays, but the first of {op} is of {dtype}"
        )
    find = _found if isinstance(backend, str) else _found.__wrapped__
    return find(backend, op, compute_dtype or dtype.name, act, loss)


# What was found stays; only what wasn't is looked for again.
@cache
def _found(backend: str, op: str, computed: str, act: str | None, loss: str | None) -> Any:
    reasons = []
    for name in backends.NAMES if backend == "auto" else (backend,):
        if backend == "auto" and name in backends.BY_NAME:
            reasons.append(f"{name}: {backends.BY_NAME[name]}")
            continue
        runs = backends.available(name)
        if runs:
            candidate = backends.get(name)
            runs = candidate.supports(op, act=act, loss=loss, dtype=computed)
            if runs:
                return candidate.ops_for(computed)
        reasons.append(f"{name}: {runs.reason}")
    raise BackendUnavailableError(f"no backend does {op} in {computed}: " + "; ".join(reasons))


def check(name: str, array: Array, shape: tuple[int | None, ...], dtype: np.dtype[Any]) -> tuple[int, ...]:
    """The array's shape, checked against the expected one (None: any) and dtype."""
    if not isinstance(array, np.ndarray):
        raise TypeError(f"{name} must be a NumPy array, but is {type(array).__name__}")
    if array.dtype != dtype:
        raise TypeError(f"{name} must have dtype {dtype}, as the first array has, but has {array.dtype}")
    came = array.shape
    fits = len(came) == len(shape) and 0 not in came
    if fits:
        for expected, n in zip(shape, came, strict=True):
            if expected != n and expected is not None:
                fits = False
    if not fits:
        wanted = ", ".join("any" if e is None else str(e) for e in shape)
        raise ValueError(f"{name} must have shape ({wanted}), without empty dimensions, but has {came}")
    return came


def output(name: str, out: Array | None, shape: tuple[int, ...], dtype: np.dtype[Any]) -> Array:
    """`out` as it was given, checked and writeable, or a new array."""
    if out is None:
        return np.empty(shape, dtype)
    check(name, out, shape, dtype)
    if not out.flags.writeable:
        raise ValueError(f"{name} is read-only")
    return out


def check_loss(activation: str, loss: str) -> None:
    """ValueError for names that don't exist, or a loss that doesn't work on this activation's output."""
    act, row = activations.get(activation), losses.get(loss)
    if row.on_logits and act.name != "sigmoid":
        raise ValueError(
            f"loss {loss!r} works on a sigmoid's logits: activation must be 'sigmoid', not {activation!r}"
        )


def noise_address(seed_value: Any, epoch: Any) -> None:
    """`seed` in [0, 2^64) and `epoch` in [0, 2^32)."""
    seed("seed", seed_value)
    epoch_number("epoch", epoch)


def integers(name: str, value: Any) -> NDArray[np.int64]:
    """A contiguous int64 array of what holds integers already; floats and masks aren't rounded or looked up."""
    array = np.asarray(value)
    if array.size and array.dtype.kind not in "iu":
        hint = "; numpy.flatnonzero makes one of a mask" if array.dtype.kind == "b" else ""
        raise TypeError(f"{name} must be of an integer dtype, but is of {array.dtype}{hint}")
    if array.size and array.dtype == np.uint64 and array.max() > np.iinfo(np.int64).max:
        raise ValueError(f"{name} must fit int64, but reaches to {array.max()}")
    return np.ascontiguousarray(array, np.int64)


def reals(name: str, value: Any, n: int) -> NDArray[np.float64]:
    """A contiguous float64 array (n,) of what holds real numbers."""
    array = np.asarray(value)
    if array.dtype.kind not in "fiub":
        raise TypeError(f"{name} must hold real numbers, but is of dtype {array.dtype}")
    array = np.ascontiguousarray(array, np.float64)
    check(name, array, (n,), array.dtype)
    return array


def group(name: str, value: Any, n: int, of: str) -> tuple[Any, ...]:
    """A tuple or list of n arrays."""
    if not isinstance(value, (tuple, list)):
        raise wrong_type(f"{name} must be a tuple of {of}", value)
    if len(value) != n:
        raise ValueError(f"{name} must be a tuple of {of}, but got {len(value)}")
    return tuple(value)


def apart(outputs: dict[str, Array | None], inputs: dict[str, Any], in_place: str = "") -> None:
    """ValueError where an output shares memory with an input or another output; None and what is no array share none.

    The outputs are those that the caller gave: a new array (None here) lies apart anyway.
    `in_place` names the one input that an output may be itself, element for element.
    """
    if all(out is None for out in outputs.values()):
        return
    rest = {name: array for name, array in inputs.items() if isinstance(array, np.ndarray)}
    for out_name, out in outputs.items():
        if out is None:
            continue
        for name, array in rest.items():
            if name == in_place and _same(out, array):
                continue
            if np.may_share_memory(out, array, max_work=OVERLAP_WORK):  # type: ignore[arg-type]
                raise ValueError(
                    f"{out_name} overlaps {name} in memory, which would be written while it is read; "
                    f"give {out_name} memory of its own"
                )
        rest[out_name] = out


def _same(a: Array, b: Array) -> bool:
    return a.ctypes.data == b.ctypes.data and a.strides == b.strides and a.shape == b.shape
