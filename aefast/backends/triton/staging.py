"""The ops on NumPy arrays: the memory around each argument is copied to the device, and that of outputs comes back."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from aefast.backends.triton.memory import Memory

# What an op writes.
OUTPUTS: dict[str, tuple[str, ...]] = {
    "gather": ("out",),
    "batch_scale": ("out",),
    "corrupt": ("out",),
    "linear_act": ("out", "pre"),
    "linear_loss_grad": ("row_loss", "delta"),
    "linear_loss": ("row_loss",),
    "linear_dgrad": ("out",),
    "linear_wgrad": ("dw", "db", "partials"),
    "bias_grad": ("db", "partials"),
    "conv2d_act": ("out", "pre"),
    "conv2d_loss_grad": ("row_loss", "delta"),
    "conv2d_loss": ("row_loss",),
    "conv2d_dgrad": ("out",),
    "conv2d_wgrad": ("dw", "partials"),
    "conv_transpose2d_act": ("out", "pre"),
    "conv_transpose2d_loss_grad": ("row_loss", "delta"),
    "conv_transpose2d_loss": ("row_loss",),
    "conv_transpose2d_dgrad": ("out",),
    "conv_transpose2d_wgrad": ("dw", "partials"),
    "pool2d": ("out",),
    "pool2d_dgrad": ("out",),
    "upsample2d": ("out",),
    "upsample2d_dgrad": ("out",),
    "transpose_rows": ("out",),
    "gaussian_latent": ("z", "kl"),
    "gaussian_latent_backward": ("out",),
    "sparsity_penalty": ("mean", "value"),
    "sparsity_penalty_backward": ("out",),
    "batch_loss": ("out",),
    "update": ("w", "s0", "s1", "ema"),
    "permutation": ("out",),
}
# What the ops themselves take from the host, as little of it as they need.
FED = frozenset({"data", "index", "rows", "shift", "scale", "sample_weight", "penalty"})


def staged(ops: Any, memory: Memory) -> SimpleNamespace:
    """Every op of `ops`, taking NumPy arrays."""
    return SimpleNamespace(**{name: _staged(getattr(ops, name), OUTPUTS[name], memory) for name in OUTPUTS})


def _staged(op: Callable[..., None], outputs: tuple[str, ...], memory: Memory) -> Callable[..., None]:
    signature = inspect.signature(op)

    def call(*args: Any, **kwargs: Any) -> None:
        arguments = signature.bind(*args, **kwargs).arguments
        regions: dict[int, tuple[NDArray[np.uint8], Any]] = {}
        written = set()
        for name, value in arguments.items():
            if isinstance(value, np.ndarray) and name not in FED:
                begin, end = np.lib.array_utils.byte_bounds(_owner(value))
                if begin not in regions:
                    region = _bytes(begin, end - begin, value)
                    regions[begin] = region, memory.copied(region)
                if name in outputs:
                    written.add(begin)
                offset = value.ctypes.data - begin
                copy = regions[begin][1]
                arguments[name] = memory.strided(copy, offset, value.dtype, value.shape, value.strides)
        op(**arguments)
        for begin in written:
            region, copy = regions[begin]
            region[...] = memory.host(copy)

    call.__name__ = op.__name__
    call.__doc__ = op.__doc__
    call.__signature__ = signature  # type: ignore[attr-defined]
    return call


def _owner(array: NDArray[Any]) -> NDArray[Any]:
    """The array whose memory it is: what overlaps lies in one region."""
    while isinstance(array.base, np.ndarray):
        array = array.base
    return array


class _Region:
    """Raw memory for NumPy, kept alive by the array whose it is."""

    def __init__(self, begin: int, size: int, keep: Any) -> None:
        self.keep = keep
        self.__array_interface__ = {"version": 3, "typestr": "|u1", "shape": (size,), "data": (begin, False)}


def _bytes(begin: int, size: int, keep: Any) -> NDArray[np.uint8]:
    return np.asarray(_Region(begin, size, keep))
