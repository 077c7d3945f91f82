"""The reference backend: plain NumPy. Read `ops.py` first, then `conv.py`; everything else is measured against them."""

from __future__ import annotations

from types import SimpleNamespace

from aefast.backends import Program, State, Support
from aefast.plan import Plan

DTYPES = ("float32", "float64", "bfloat16")


class NumpyBackend:
    """Runs everywhere, does everything, quickly enough for checks."""

    name = "numpy"

    def __init__(self) -> None:
        from aefast.backends.numpy import bfloat16, conv, images, ops, update
        from aefast.ops import NAMES

        written = {**vars(ops), **vars(conv), **vars(images), **vars(update)}
        self.ops = SimpleNamespace(**{name: written[name] for name in NAMES})
        products = {op.__name__: op for op in bfloat16.PRODUCTS}
        self._ops = {"bfloat16": SimpleNamespace(**{**vars(self.ops), **products})}

    def ops_for(self, dtype: str) -> SimpleNamespace:
        """See `aefast.backends.Backend`."""
        return self._ops.get(dtype, self.ops)

    def supports(
        self, op: str, *, act: str | None = None, loss: str | None = None, dtype: str = "float32"
    ) -> Support:
        """Every op of the contract."""
        if not hasattr(self.ops, op):
            return Support(False, f"no op {op!r}")
        if dtype not in DTYPES:
            return Support(False, f"dtype {dtype} isn't one of {', '.join(DTYPES)}")
        return Support(True)

    def bind(self, plan: Plan, state: State, n_threads: int | None) -> Program:
        """An interpreted program; `n_threads` is the most threads that products use."""
        from aefast.backends.interpreter import InterpretedProgram

        return InterpretedProgram(plan, state, self.ops_for(plan.dtype), n_threads)


def available() -> Support:
    """Always."""
    return Support(True)


def backend() -> NumpyBackend:
    """The backend."""
    return NumpyBackend()
