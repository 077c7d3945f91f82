"""The backend for NVIDIA GPUs from compute capability 8.0 on: Triton kernels on CuPy arrays, no torch needed.

`kernels/` holds what is compiled, `products.py`, `convolutions.py` (with `walks.py`) and `ops.py` the ops of the contract,
`launch.py` how they are cut, `memory.py` and `driver.py` what Triton is told of CuPy, `staging.py` the ops on NumPy arrays.
`program.py` is a plan on the device: a step is recorded once (`step.py`) and then started from a graph, with nothing on the
host between steps, and the data set stays there while it lasts (`resident.py`). With TRITON_INTERPRET=1, set before, all of it
runs on NumPy arrays in Triton's interpreter, slowly, for checks. Same seed, same bits from run to run on one kind of device:
no atomics, and every sum in an order that follows from shapes.

It has not run on a GPU yet. float32 products are IEEE's unless AEFAST_TRITON_FLOAT32 says "tf32x3" or "tf32" when the backend
is made. Not there: persistent products with tensor descriptors, a tuner, copies that overlap with steps where the data set
doesn't fit, parameters that stay on the device between runs, float64.
"""

from __future__ import annotations

import os
from functools import cached_property
from types import SimpleNamespace
from typing import Any

from aefast.backends import Program, State, Support
from aefast.backends.triton import driver, tables
from aefast.backends.triton.driver import available as available
from aefast.plan import Plan

VARIABLE = "AEFAST_TRITON_FLOAT32"
FLOAT32 = ("ieee", "tf32x3", "tf32")
DTYPES = ("float32", "bfloat16")


class TritonBackend:
    """Compiles on first use and keeps the result in Triton's cache."""

    name = "triton"

    def __init__(self) -> None:
        self._float32 = os.environ.get(VARIABLE, FLOAT32[0])
        if self._float32 not in FLOAT32:
            raise ValueError(f"{VARIABLE} must be one of {', '.join(FLOAT32)}, but is {self._float32!r}")

    @cached_property
    def _memory(self) -> Any:
        from aefast.backends.triton.memory import Memory

        return Memory(driver.array_module())

    @cached_property
    def device_ops(self) -> dict[str, Any]:
        """By dtype, the ops on the device's arrays; for "bfloat16" too these are float32."""
        from aefast.backends.triton.ops import Ops

        products = {
            "float32": self._float32,
            "bfloat16": "bf16_emulated" if driver.interpreting() else "bf16",
        }
        return {dtype: Ops(self._memory, precision) for dtype, precision in products.items()}

    @cached_property
    def _staged(self) -> dict[str, SimpleNamespace]:
        from aefast.backends.triton.staging import staged

        return {dtype: staged(ops, self._memory) for dtype, ops in self.device_ops.items()}

    @property
    def ops(self) -> SimpleNamespace:
        """Every op in float32, on NumPy arrays; see `device_ops` for those on the device's."""
        return self._staged["float32"]

    def ops_for(self, dtype: str) -> SimpleNamespace:
        """See `aefast.backends.Backend`."""
        return self._staged[dtype]

    def supports(
        self, op: str, *, act: str | None = None, loss: str | None = None, dtype: str = "float32"
    ) -> Support:
        """Every op of the contract, for the activations and losses that are written here."""
        from aefast.backends.triton.staging import OUTPUTS

        if op not in OUTPUTS:
            return Support(False, f"no op {op!r}")
        if dtype not in DTYPES:
            return Support(False, f"dtype {dtype} isn't one of {', '.join(DTYPES)}")
        if act is not None and act not in tables.ACTIVATIONS:
            return Support(False, f"no activation {act!r}")
        if loss is not None and loss not in tables.LOSSES:
            return Support(False, f"no loss {loss!r}")
        return Support(True)

    def bind(self, plan: Plan, state: State, n_threads: int | None) -> Program:
        """A program whose memory is on the device; `n_threads` has no meaning there."""
        from aefast.backends.triton.program import DeviceProgram

        return DeviceProgram(plan, state, self.device_ops[plan.dtype], self._memory)


def backend() -> TritonBackend:
    """The backend."""
    global _backend
    if _backend is None:
        _backend = TritonBackend()
    return _backend


_backend: TritonBackend | None = None
