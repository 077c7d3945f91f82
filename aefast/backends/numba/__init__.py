"""The backend for everywhere that Numba runs: BLAS for the products, one compiled pass for everything around each of them.

`ops.py` holds the dense ops, `conv.py` (on `products.py`) and `image_ops.py` those of convolutional models; `kernels.py`,
`windows.py`, `pixels.py`, `latent.py`, `noise.py` and `update.py` what is compiled; `formulas.py` activations and losses
over a row, `vector_math.py` the functions below them; `jit.py` how it is compiled and kept on disk. Same seed, same bits from
run to run on one machine, as far as NumPy's BLAS keeps that promise.
"""

from __future__ import annotations

import importlib.util
from types import SimpleNamespace

from aefast.backends import Program, State, Support
from aefast.plan import Plan

DTYPES = ("float32", "float64")


class NumbaBackend:
    """Compiles on first use and keeps the result on disk."""

    name = "numba"

    def __init__(self) -> None:
        from aefast.backends.numba import conv, formulas, image_ops, ops, update
        from aefast.ops import NAMES

        functions = {**vars(ops), **vars(conv), **vars(image_ops)}
        self.ops = SimpleNamespace(
            **{name: function for name, function in functions.items() if name in NAMES}, update=update.update
        )
        self._activations, self._losses = formulas.ACTIVATIONS, formulas.LOSSES

    def ops_for(self, dtype: str) -> SimpleNamespace:
        """See `aefast.backends.Backend`."""
        return self.ops

    def supports(
        self, op: str, *, act: str | None = None, loss: str | None = None, dtype: str = "float32"
    ) -> Support:
        """Every op of the contract in float32 and float64, for the activations and losses that are written here."""
        if not hasattr(self.ops, op):
            return Support(False, f"no op {op!r}")
        if dtype not in DTYPES:
            return Support(False, f"dtype {dtype} isn't one of {', '.join(DTYPES)}")
        if act is not None and act not in self._activations:
            return Support(False, f"no activation {act!r}")
        if loss is not None and loss not in self._losses:
            return Support(False, f"no loss {loss!r}")
        return Support(True)

    def bind(self, plan: Plan, state: State, n_threads: int | None) -> Program:
        """An interpreted program. The compiled passes run on the calling thread; `n_threads` is the most that products use."""
        from aefast.backends.interpreter import InterpretedProgram

        return InterpretedProgram(plan, state, self.ops, n_threads)


def available() -> Support:
    """Whether Numba is installed, and imports if that has been tried."""
    if _import_error is not None:
        return Support(False, _import_error)
    if importlib.util.find_spec("numba") is None:
        return Support(False, "numba isn't installed; `pip install numba`")
    return Support(True)


def backend() -> NumbaBackend:
    """The backend. A Numba that can't be imported is a BackendUnavailableError, and `available` tells why from then on."""
    global _backend, _import_error
    if _backend is None:
        try:
            import numba  # noqa: F401
        except Exception as error:  # an extension that doesn't fit raises what it likes
            from aefast.errors import BackendUnavailableError

            _import_error = f"importing numba failed: {type(error).__name__}: {error}"
            raise BackendUnavailableError(f"backend 'numba' can't run here: {_import_error}") from error
        _backend = NumbaBackend()
    return _backend


_import_error: str | None = None
_backend: NumbaBackend | None = None
