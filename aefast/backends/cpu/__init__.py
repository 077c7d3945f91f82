"""The native CPU backend, `csrc/` compiled as `aefast._cpu`: the same bits for every number of threads."""

from __future__ import annotations

import importlib
import json
from pathlib import Path
from typing import Any

from aefast.backends import Program, State, Support
from aefast.plan import Plan

DTYPES = ("float32", "bfloat16")
# Ops of the contract that csrc/ lacks. Written down, not looked up, so that `supports` needs no native module.
LACKS: frozenset[str] = frozenset()
BUILD_INFO = Path(__file__).resolve().parents[2] / "_build_info.json"


class CpuBackend:
    """Fused kernels by instruction set, a thread pool, and whole runs of steps without Python."""

    name = "cpu"

    @property
    def ops(self) -> Any:
        """The native ops; ImportError without the native module."""
        return importlib.import_module("aefast.backends.cpu.ops")

    def ops_for(self, dtype: str) -> Any:
        """See `aefast.backends.Backend`; ImportError without the native module."""
        return (
            importlib.import_module("aefast.backends.cpu.bfloat16").OPS if dtype == "bfloat16" else self.ops
        )

    def supports(
        self, op: str, *, act: str | None = None, loss: str | None = None, dtype: str = "float32"
    ) -> Support:
        """Every op of the contract in float32 and bfloat16."""
        from aefast.ops import NAMES

        if op not in NAMES or op in LACKS:
            return Support(False, f"no op {op!r}")
        if dtype not in DTYPES:
            return Support(False, f"dtype {dtype} isn't {' or '.join(DTYPES)}")
        return Support(True)

    def bind(self, plan: Plan, state: State, n_threads: int | None) -> Program:
        """A native program on the state's memory."""
        from aefast.backends.cpu.program import CpuProgram

        return CpuProgram(plan, state, n_threads)


def build_info() -> dict[str, str]:
    """What the installation knows of its native build: "cpu" (built, off, failed), "reason", "compiler"."""
    try:
        info: dict[str, str] = json.loads(BUILD_INFO.read_text())
    except (OSError, ValueError):
        return {}
    return info


def available() -> Support:
    """Whether the native module is there and loads; if not, what the build said."""
    try:
        importlib.import_module("aefast._cpu")
    except ImportError as error:
        info = build_info()
        if info.get("cpu") in ("off", "failed"):
            reason = f"the native module wasn't built: {info['reason']}"
            return Support(False, reason, intended=info["cpu"] == "off")
        return Support(False, f"the native module doesn't load: {error}")
    return Support(True)


def backend() -> CpuBackend:
    """The backend."""
    return CpuBackend()
