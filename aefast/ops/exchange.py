"""Arrays of other libraries at the functional front: PyTorch's, and whatever speaks DLPack, on the CPU, without a copy.

The first array of a call decides what comes back: NumPy's, tensors, or arrays of the first one's namespace
(`__array_namespace__`, as JAX has it; NumPy's of one that has none). What the caller gave as `out` comes back itself.
"""

from __future__ import annotations

import functools
import inspect
import sys
from collections.abc import Callable
from typing import Any, ParamSpec, TypeVar

import numpy as np

from aefast import backends
from aefast.errors import BackendUnavailableError
from aefast.ops.checks import Array

P = ParamSpec("P")
R = TypeVar("R")
DLPACK_CPU = 1  # kDLCPU of dlpack.h
GROUPS = ("out", "slots")  # the arguments that may be tuples of arrays


def any_array(function: Callable[P, R]) -> Callable[P, R]:
    """The op for arrays of every kind; a first argument of NumPy's goes straight to it."""
    names = tuple(inspect.signature(function).parameters)
    ndarray = np.ndarray

    @functools.wraps(function)
    def call(*args: P.args, **kwargs: P.kwargs) -> R:
        if args and type(args[0]) is ndarray:
            return function(*args, **kwargs)
        named = [*zip(names, args, strict=False)]
        if len(args) > len(names) or not any(map(_is_foreign, _flat([*named, *kwargs.items()]))):
            return function(*args, **kwargs)
        result: R = _exchanged(function, named, kwargs)
        return result

    return call


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
            f"{op} got {name} on {_shown(tensor.device)}; give {name}.cpu(), as all backends ({', '.join(backends.NAMES)}) "
            "compute on the CPU"
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
    return f"device {str(device)!r}, for which aefast has no backend"


def _is_foreign(value: Any) -> bool:
    return hasattr(type(value), "__dlpack__") and not isinstance(value, np.ndarray)


def _flat(arguments: list[tuple[str, Any]]) -> list[Any]:
    flat: list[Any] = []
    for name, value in arguments:
        if name in GROUPS and isinstance(value, (tuple, list)):
            flat += value
        else:
            flat.append(value)
    return flat


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
            f"{op} got {name} on {_shown(device)}; copy it to the CPU, where all backends ({', '.join(backends.NAMES)}) compute"
        )
    return np.from_dlpack(value)


def _exchanged(function: Any, named: list[tuple[str, Any]], kwargs: dict[str, Any]) -> Any:
    kind: Any = None
    given: list[tuple[Array, Any]] = []

    def viewed(name: str, value: Any) -> Any:
        nonlocal kind
        if name in GROUPS and isinstance(value, (tuple, list)):
            return tuple(viewed(f"{name}[{i}]", item) for i, item in enumerate(value))
        if not _is_foreign(value):
            return value
        kind = value if kind is None else kind
        view = _view(function.__name__, name, value)
        given.append((view, value))
        return view

    def returned(result: Any) -> Any:
        if isinstance(result, tuple):
            return tuple(returned(item) for item in result)
        if not isinstance(result, np.ndarray):
            return result
        for view, value in given:
            if view is result:
                return value
        if is_tensor(kind):
            return sys.modules["torch"].from_numpy(result)
        if hasattr(kind, "__array_namespace__"):
            return kind.__array_namespace__().from_dlpack(result)
        return result

    args = [viewed(name, value) for name, value in named]
    options = {name: viewed(name, value) for name, value in kwargs.items()}
    return returned(function(*args, **options))
