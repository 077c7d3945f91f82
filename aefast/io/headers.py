"""What a file's header may hold: dataclasses say it by their annotations, and the tensors must have the shapes it claims.

Without these checks a wrong value would fail somewhere inside, or reach native code as a size.
"""

from __future__ import annotations

import dataclasses
import types
from collections.abc import Mapping
from typing import Any, TypeVar, Union, get_args, get_origin, get_type_hints

import numpy as np
from numpy.typing import NDArray

from aefast.topology import Layer, Topology

T = TypeVar("T")
Shape = tuple[int, ...]
Dtypes = tuple[str, ...]
VERSIONS = (2, 3)
COUNT_LIMIT = 1 << 63


def build(cls: type[T], data: Any, what: str = "the header") -> T:
    """The dataclass `cls` from a JSON object of its fields, checked by their annotations, all the way down.

    Annotations: bool, int, float (integers too), str, None, Any, list[x], tuple[x, ...], dict[str, x], dataclasses, and
    unions of these. Raises TypeError or ValueError for wrong types, unknown and missing fields, and what `cls` refuses.
    """
    if not isinstance(data, dict):
        raise TypeError(f"{what} must be an object, but is {type(data).__name__}")
    fields = {field.name: field for field in dataclasses.fields(cls) if field.init}  # type: ignore[arg-type]
    if unknown := [name for name in data if name not in fields]:
        raise ValueError(f"{what} has unknown fields: {', '.join(map(repr, unknown))}")
    needed = [n for n, f in fields.items() if f.default is f.default_factory is dataclasses.MISSING]
    if missing := [name for name in needed if name not in data]:
        raise ValueError(f"{what} lacks {', '.join(missing)}")
    hints = get_type_hints(cls)
    return cls(**{name: _value(hints[name], value, f"{what}'s {name}") for name, value in data.items()})


def plain(header: Any) -> dict[str, Any]:
    """A header as `build` takes it: its fields, and its topology's own plain data."""
    return {**dataclasses.asdict(header), "topology": header.topology.to_dict()}


def version(topology: Topology) -> int:
    """The first version of both formats that holds it: 3 brought layers other than dense ones."""
    dense = all(isinstance(layer, Layer) for layer in topology.layers) and not topology.channels_first
    return 2 if dense else 3


def check_counts(**counts: int) -> None:
    """ValueError for one that isn't in [0, 2^63)."""
    for name, count in counts.items():
        if not 0 <= count < COUNT_LIMIT:
            raise ValueError(f"{name} must be in [0, 2^63), but is {count}")


def parameter_shapes(topology: Topology) -> dict[str, Shape]:
    """The shape of every stored parameter."""
    return {name: p.shape for name, p in topology.parameters.items() if not p.alias}


def check_tensors(tensors: Mapping[str, NDArray[Any]], expected: Mapping[str, tuple[Shape, Dtypes]]) -> None:
    """ValueError unless the tensors are those of `expected`, name -> (shape, dtypes), no more and no less."""
    for name in sorted({*tensors, *expected}):
        if name not in tensors:
            raise ValueError(f"there is no tensor {name!r}")
        found = tensors[name]
        if name not in expected:
            raise ValueError(f"tensor {name!r} is none of its topology")
        shape, dtypes = expected[name]
        if found.shape != shape or found.dtype not in [np.dtype(dtype) for dtype in dtypes]:
            raise ValueError(
                f"tensor {name!r} must be {' or '.join(dtypes)} {shape}, but is {found.dtype} {found.shape}"
            )


def scaling_tensors(tensors: Mapping[str, Any], d: int) -> dict[str, tuple[Shape, Dtypes]]:
    """Of both, shift and scale, if one is there."""
    names = ("scaling.shift", "scaling.scale")
    return dict.fromkeys(names, ((d,), ("float64",))) if any(name in tensors for name in names) else {}


def _value(hint: Any, value: Any, what: str) -> Any:
    origin, arguments = get_origin(hint), get_args(hint)
    if hint is Any:
        return value
    if origin in (Union, types.UnionType):
        return _either(arguments, value, what)
    if hint is Topology:  # whose layers are of several kinds
        return Topology.from_dict(value)
    if dataclasses.is_dataclass(hint) and isinstance(hint, type):
        return build(hint, value, what)
    if origin in (list, tuple) and isinstance(value, list):
        return origin(_value(arguments[0], item, f"{what}[{i}]") for i, item in enumerate(value))
    if origin is dict and isinstance(value, dict):
        return {name: _value(arguments[1], item, f"{what}'s {name!r}") for name, item in value.items()}
    kinds = {float: (int, float), types.NoneType: (types.NoneType,)}.get(hint, (hint,))
    if origin is None and type(value) in kinds:  # so that a bool is no number
        return value
    raise TypeError(f"{what} must be {getattr(hint, '__name__', hint)}, but is {type(value).__name__}")


def _either(hints: tuple[Any, ...], value: Any, what: str) -> Any:
    """By the one alternative that fits; a None and one other is told as the other."""
    if value is None and types.NoneType in hints:
        return None
    rest = [hint for hint in hints if hint is not types.NoneType]
    for hint in rest[:-1]:
        try:
            return _value(hint, value, what)
        except (TypeError, ValueError):
            continue
    return _value(rest[-1], value, what)
