"""The reference backend: plain NumPy, float32 and float64. Read `ops.py` first; everything else is measured against it."""

from __future__ import annotations

from types import SimpleNamespace

from aefast.backends import Program, State, Support
from aefast.plan import Plan

DTYPES = ("float32", "float64")


class NumpyBackend:
    """Runs everywhere, does everything, quickly enough for checks."""

    name = "numpy"

    def __init__(self) -> None:
        from aefast.backends.numpy import ops, update

        self.ops = SimpleNamespace(**{**vars(ops), "update": update.update})

    def supports(
        self, op: str, *, act: str | None = None, loss: str | None = None, dtype: str = "float32"
    ) -> Support:
        """Every op of the contract in float32 and float64."""
        if not hasattr(self.ops, op):
            return Support(False, f"no op {op!r}")
        if dtype not in DTYPES:
            return Support(False, f"dtype {dtype} isn't one of {', '.join(DTYPES)}")
        return Support(True)

    def bind(self, plan: Plan, state: State, n_threads: int | None) -> Program:
        """An interpreted program; `n_threads` is the most threads that products use."""
        from aefast.backends.interpreter import InterpretedProgram

        return InterpretedProgram(plan, state, self.ops, n_threads)


def available() -> Support:
    """Always."""
    return Support(True)


def backend() -> NumpyBackend:
    """The backend."""
    return NumpyBackend()
