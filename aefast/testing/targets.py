"""What the suite runs on: every backend in each dtype, the cpu backend on each instruction set."""

from __future__ import annotations

import importlib
import os
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass
from typing import Any

import numpy as np

from aefast import backends
from aefast.testing.compare import memory_dtype
from aefast.testing.require import skip_or_fail

DTYPES = ("float32", "float64", "bfloat16")


@dataclass(frozen=True)
class Target:
    """A backend, a dtype and, where a backend has several, an instruction set."""

    backend: str
    dtype: str
    isa: str | None = None

    def __str__(self) -> str:
        return "-".join(part for part in (self.backend, self.isa, self.dtype) if part)

    def open(self) -> backends.Backend:
        """The backend; skips the test where it can't run (`AEFAST_REQUIRE` turns that into a failure)."""
        support = backends.available(self.backend)
        if not support:
            skip_or_fail(self.backend, support.reason)
        return backends.get(self.backend)

    @property
    def ops(self) -> Any:
        """The backend's ops for the dtype, of this instruction set while `active`."""
        return self.open().ops_for(self.dtype)

    @property
    def memory(self) -> np.dtype[Any]:
        """What the arrays of that dtype are made of."""
        return memory_dtype(self.dtype)

    def active(self) -> AbstractContextManager[None]:
        """Within it, the instruction set is in force."""
        return nullcontext() if self.isa is None else _instruction_set(self.isa)


@contextmanager
def _instruction_set(isa: str) -> Iterator[None]:
    module: Any = importlib.import_module("aefast._cpu")
    before = module.isa()
    module.set_isa(isa)
    try:
        yield
    finally:
        module.set_isa(before)


def _instruction_sets(name: str) -> tuple[str | None, ...]:
    if name == "cpu":
        module: Any = importlib.import_module("aefast._cpu")
        if hasattr(module, "available_isas"):
            return (module.isa(),) if os.environ.get("AEFAST_ISA") else tuple(module.available_isas())
    return (None,)


def targets() -> list[Target]:
    """All of them; of a backend that can't run here, or is broken, one, whose tests then skip or fail with the reason."""
    result = []
    for name in backends.NAMES:
        try:
            found = _found(name)
        except Exception:  # noqa: BLE001 - the tests that open it show what is wrong
            found = []
        result += found or [Target(name, "float32")]
    return result


def _found(name: str) -> list[Target]:
    if not backends.available(name):
        return []
    backend = backends.get(name)
    dtypes = [dtype for dtype in DTYPES if backend.supports("linear_act", act="relu", dtype=dtype)]
    return [Target(name, dtype, isa) for dtype in dtypes for isa in _instruction_sets(name)]
