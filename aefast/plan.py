"""What a plan is: phases of op calls, and the memory that they work in. `planner.build` makes it.

A phase ends where a result of the whole batch is needed: statistics of the code, the loss, the weight gradients, the
update. Calls of a "rows" phase are independent per batch row; "reduce" calls run over the batch; "update" over parameters.
A backend binds the plan to memory once and runs it without looking at the model again.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Literal

from aefast import optimizers, regularizers
from aefast.geometry import Geometry
from aefast.topology import Topology

Space = Literal["arena", "params", "grads", "slot0", "slot1", "ema", "stats"]
PhaseKind = Literal["rows", "reduce", "update"]
Purpose = Literal["train", "encode", "decode", "reconstruct", "loss"]


@dataclass(frozen=True)
class Ref:
    """A strided matrix in one of the program's memory spaces; offset and strides in elements.

    `batch` tells which dimension counts batch rows: 0 rows, 1 columns (a per-row vector), None neither; a `vector` has one row.
    """

    space: Space
    offset: int
    rows: int
    cols: int
    row_stride: int
    col_stride: int = 1
    batch: int | None = None
    vector: bool = False

    def columns(self, start: int, stop: int) -> Ref:
        """The columns [start, stop)."""
        return replace(self, offset=self.offset + start * self.col_stride, cols=stop - start)


@dataclass(frozen=True)
class Call:
    """One op with its buffers and its constants; see `aefast.ops` for what each op does."""

    op: str
    args: Mapping[str, Ref | None]
    attrs: Mapping[str, int | float] = field(default_factory=dict)
    geometry: Geometry | None = None
    """Of the ops of images and maps; their argument `geometry`."""


@dataclass(frozen=True)
class Phase:
    """Calls that need no result of the whole batch from each other."""

    kind: PhaseKind
    calls: tuple[Call, ...]


@dataclass(frozen=True)
class Settings:
    """What the plan must know besides layers and batch size; see `Trainer` for the meanings."""

    loss: str = "mse"
    reduction: str = "mean"
    corruption: regularizers.Corruption | None = None
    sparsity: regularizers.Sparsity | None = None
    free_bits: float = 0.0
    feature_weight: bool = False
    optimizer: optimizers.Optimizer = field(default_factory=optimizers.Adam)
    weight_decay: float = 0.0
    ema: float | None = None


@dataclass(frozen=True)
class Plan:
    """The phases, the named buffers (for reading results) and the sizes of the memory spaces, in elements.

    `dtype` is that of the arithmetic: "bfloat16" works on float32 memory.
    """

    topology: Topology
    settings: Settings
    purpose: Purpose
    batch: int
    phases: tuple[Phase, ...]
    buffers: dict[str, Ref]
    arena_size: int
    stats_size: int
    dtype: str = "float32"

    @property
    def calls(self) -> tuple[Call, ...]:
        """Every call in order."""
        return tuple(call for phase in self.phases for call in phase.calls)
