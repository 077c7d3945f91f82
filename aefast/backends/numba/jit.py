"""How everything here is compiled: signatures by dtype, code kept on disk, one note when compiling takes a while.

The only file that meets Numba's untyped decorators.
"""

from __future__ import annotations

import hashlib
import logging
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numba as typed_numba
from numba import extending as typed_extending
from numba.core import event

# Numba's own annotations, where a version has them, reject what its documentation shows.
numba: Any = typed_numba
extending: Any = typed_extending
types = numba.types

# contract: a * b + c may round once. No flag that lets NaN or infinity be lost.
OPTIONS: dict[str, Any] = {"fastmath": {"contract"}, "error_model": "numpy", "nogil": True}
NOTE = "aefast: compiling kernels with numba; kept on disk for the next time."

Function = Callable[..., Any]
Argument = Callable[[Any, Any], Any]
"""From the compute type, and the data's where there is one, to an argument's type."""


def _array(ndim: int, layout: str, readonly: bool, fixed: Any = None) -> Argument:
    return lambda real, data: types.Array(real if fixed is None else fixed, ndim, layout, readonly=readonly)


def _scalar(fixed: Any) -> Argument:
    return lambda real, data: fixed


# Rows may be padded, so matrices have any strides: one compilation serves them all. Inputs may be read-only.
MATRIX, VECTOR = _array(2, "A", True), _array(1, "C", True)
OUT_MATRIX, OUT_VECTOR = _array(2, "A", False), _array(1, "C", False)
DOUBLES, OUT_DOUBLES = _array(1, "C", True, types.float64), _array(1, "C", False, types.float64)
INT32S = _array(1, "C", True, types.int32)
ROWS, OUT_ROWS = _array(1, "C", True, types.int64), _array(1, "C", False, types.int64)
OUT_WORDS = _array(1, "C", False, types.int32)
INT, WORD, FLOAT = _scalar(types.int64), _scalar(types.uint64), _scalar(types.float64)


def VALUES(real: Any, data: Any) -> Any:
    """The stored values of a user's sparse matrix."""
    return types.Array(data, 1, "C", readonly=True)


def DATA(real: Any, data: Any) -> Any:
    """A user's matrix: its own dtype, any strides and alignment."""
    return types.Array(data, 2, "A", readonly=True, aligned=False)


class Kernel(dict[Any, Function]):
    """A compiled function for each dtype, made when first asked for: `kernel[x.dtype](...)`, or `kernel[x.dtype, data.dtype]`.

    `cache` False keeps it off the disk.
    """

    def __init__(self, function: Function, arguments: tuple[Argument, ...], cache: bool = True) -> None:
        super().__init__()
        self._cache = cache
        self._function = function
        self._arguments = arguments

    def __missing__(self, key: Any) -> Function:
        real, data = (numba.from_dtype(dtype) for dtype in (key if isinstance(key, tuple) else (key, key)))
        signature = types.void(*(argument(real, data) for argument in self._arguments))
        compiled = numba.njit(cache=self._cache, **OPTIONS)(self._function)
        _tie_to_sources(compiled)
        with event.install_listener("numba:compile", _Announcer()):
            compiled.compile(signature)
        compiled.disable_compile()
        self[key] = compiled
        return self[key]


def kernel(*arguments: Argument) -> Callable[[Function], Kernel]:
    """Decorates a function (returning nothing) that Python calls."""
    return lambda function: Kernel(function, arguments)


def device(function: Function) -> Function:
    """Decorates a function that only compiled code calls."""
    compiled: Function = numba.njit(**OPTIONS)(function)
    return compiled


def intrinsic(function: Function) -> Function:
    """Decorates a function that types a call and writes its LLVM instructions; see `numba.extending.intrinsic`."""
    compiled: Function = extending.intrinsic(function)
    return compiled


def by_precision(single: Function, double: Function) -> Function:
    """One function for compiled code, by its first argument: `single` on float32 or arrays of it, `double` on float64."""

    def chosen(*arguments: Any) -> Any:
        raise NotImplementedError("for compiled code only")

    def choose(*arguments: Any) -> Function:
        return single if getattr(arguments[0], "dtype", arguments[0]) == types.float32 else double

    extending.overload(chosen, jit_options=OPTIONS, strict=False)(choose)
    return chosen


class _Announcer(event.Listener):
    """Says once a process that something is being compiled: to the log, and on a terminal to the reader."""

    said = False

    def on_start(self, event: Any) -> None:
        if not _Announcer.said:
            _Announcer.said = True
            logging.getLogger("aefast").info(NOTE)
            if sys.stderr is not None and sys.stderr.isatty():
                print(NOTE, file=sys.stderr)

    def on_end(self, event: Any) -> None:
        pass


def _tie_to_sources(compiled: Any) -> None:
    # Numba's cache looks at the kernel's own file only; the functions that it calls stand in others.
    file: Any = getattr(getattr(compiled, "_cache", None), "_cache_file", None)
    if hasattr(file, "_source_stamp"):
        file._source_stamp = _stamp()


def _stamp() -> str:
    global _sources
    if not _sources:
        digest = hashlib.sha256()
        for path in sorted(Path(__file__).parent.glob("*.py")):
            digest.update(path.read_bytes())
        _sources = digest.hexdigest()
    return _sources


_sources = ""
