"""Arrays of other libraries at the functional front: PyTorch's, and whatever speaks DLPack, on the CPU, without a copy.

The first array of a call decides what comes back: NumPy's, tensors, or arrays of the first one's namespace
(`__array_namespace__`, as JAX has it; NumPy's of one that has none). What the caller gave as `out` comes back itself.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import Any, TypeVar

import numpy as np

from aefast.errors import BackendUnavailableError
from aefast.ops.checks import Array

R = TypeVar("R")
DLPACK_CPU = 1  # kDLCPU of dlpack.h
GROUPS = ("out", "slots")  # the arguments that may be tuples of arrays


def is_foreign(value: Any) -> bool:
    """Whether it is an array, and not NumPy's."""
    return hasattr(type(value), "__dlpack__") and not isinstance(value, np.ndarray)


def is_tensor(value: Any) -> bool:
    """Whether it is PyTorch's; PyTorch isn't loaded to find out."""
    torch = sys.modules.get("torch")
    return torch is not None and isinstance(value, torch.Tensor)


def tensor_view(op: str, name: str, tensor: Any) -> Array:
    """A tensor's memory as a NumPy array, whether or not it requires grad.

    Raises BackendUnavailableError for one that isn't on the CPU, TypeError for a dtype that NumPy doesn't have.
    """
    if tensor.device.type != "cpu":
        raise BackendUnavailableError(
            f"{op} got {name} on {_shown(tensor.device)}; give {name}.cpu(): on every backend the ops take the CPU's memory"
        )
    try:
        view: Array = tensor.detach().numpy()
    except TypeError as error:
        raise TypeError(
            f"{op} takes {name} as a dense tensor of float32 or float64, but it is one of {tensor.dtype} "
            f"({tensor.layout}); convert it first"
        ) from error
    return view


def _shown(device: Any) -> str:
    return f"device {str(device)!r}"


def _view(op: str, name: str, value: Any) -> Array:
    if is_tensor(value):
        if value.requires_grad and sys.modules["torch"].is_grad_enabled():
            raise TypeError(
                f"{name} requires grad, but aefast.ops has no derivatives; give {name}.detach() to {op}, or take aefast.torch"
            )
        return tensor_view(op, name, value)
    kind = int(value.__dlpack_device__()[0])
    if kind != DLPACK_CPU:
        device = getattr(value, "device", f"DLPack type {kind}")
        raise BackendUnavailableError(
            f"{op} got {name} on {_shown(device)}; copy it to the CPU: on every backend the ops take the CPU's memory"
        )
    return np.from_dlpack(value)


def exchanged(function: Callable[..., R], arguments: dict[str, Any]) -> R:
    """What the op makes of its arguments' views; each op starts with it, where its first array is foreign.

    Raises BackendUnavailableError for an array that isn't on the CPU, TypeError for a dtype that NumPy doesn't have and for a
    tensor that requires grad while grad is on.
    """
    op = function.__name__
    first = next(iter(arguments.values()))
    given: list[tuple[Array, Any]] = []

    def viewed(name: str, value: Any) -> Any:
        if name in GROUPS and isinstance(value, (tuple, list)):
            return tuple(viewed(f"{name}[{i}]", item) for i, item in enumerate(value))
        if not is_foreign(value):
            return value
        view = _view(op, name, value)
        given.append((view, value))
        return view

    def returned(result: Any) -> Any:
        if isinstance(result, tuple):
            return tuple(map(returned, result))
        if not isinstance(result, np.ndarray):
            return result
        for view, value in given:
            if view is result:
                return value
        if is_tensor(first):
            return sys.modules["torch"].from_numpy(result)
        if hasattr(first, "__array_namespace__"):
            return first.__array_namespace__().from_dlpack(result)
        return result

    views = {name: viewed(name, value) for name, value in arguments.items()}
    result: R = returned(function(**views))
    return result
