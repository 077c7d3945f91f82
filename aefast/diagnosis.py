"""Where the first NaN or infinity of a step stands, in words."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from aefast.backends import Program
from aefast.plan import Plan

# The arguments that an op writes, in the order in which a reader would look.
OUTPUTS = ("out", "pre", "z", "kl", "mean", "row_loss", "delta")
WORDS = {
    "output": "the output of {}",
    "preactivation": "the pre-activation of {}",
    "delta": "the loss gradient by the output of {}",
}


def first_nonfinite(
    plan: Plan, program: Program, index: NDArray[np.int64], gradients: dict[str, NDArray[Any]]
) -> str:
    """Names the input's row and column, the layer, the loss or the gradient, in the order of computation."""
    for call in plan.calls:
        for name, ref in call.args.items():
            if name not in OUTPUTS or ref is None or ref.space != "arena":
                continue
            buffer = next(key for key, value in plan.buffers.items() if value == ref)
            values = program.buffer(buffer)[: len(index)]
            bad = np.argwhere(~np.isfinite(values))
            if len(bad):
                return _words(call.op, buffer, bad[0], index)
    for name, gradient in gradients.items():
        if not np.isfinite(gradient).all():
            return f"the gradient of {name}"
    return "the loss"


def _words(op: str, buffer: str, where: NDArray[np.int64], index: NDArray[np.int64]) -> str:
    if op in ("gather", "corrupt"):
        return f"the {'' if op == 'gather' else 'corrupted '}input (row {index[where[0]]}, column {where[1]})"
    if buffer == "row_loss":
        return f"the reconstruction loss of row {index[where[0]]}"
    layer, _, kind = buffer.rpartition(".")
    return WORDS[kind].format(layer) if kind in WORDS else f"the buffer {buffer!r}"
