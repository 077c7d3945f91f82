"""Learning-rate schedules: one row each; a factor on the base rate as a function of training progress.

Progress t is the part of the run's epochs that is done, in [0, 1).
Warm-up multiplies by (step + 1) / warmup_steps while step < warmup_steps.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from aefast.errors import unknown_name

Array = NDArray[np.float64]

TABLE: dict[str, Callable[[Any], Any]] = {
    "constant": np.ones_like,
    "linear": lambda t: 1.0 - t,
    "cosine": lambda t: 0.5 * (1.0 + np.cos(np.pi * t)),  # Loshchilov & Hutter 2017, without restarts
    "exponential": lambda t: 0.01**t,
    "step": lambda t: 0.1 ** np.floor(3.0 * t),  # a tenth after each third
}
NAMES: tuple[str, ...] = tuple(TABLE)


def factors(name: str, progress: Array, steps: NDArray[np.int64], warmup_steps: int = 0) -> Array:
    """(n,) float64 factors on the learning rate: `progress` (n,) of the run, in [0, 1), at the step numbers `steps` (n,)."""
    if not isinstance(name, str) or name not in TABLE:
        raise unknown_name("schedule", name, NAMES)
    result = np.asarray(TABLE[name](np.clip(progress, 0.0, 1.0)), np.float64)
    if warmup_steps > 0:
        result = result * np.minimum((np.asarray(steps, np.float64) + 1.0) / warmup_steps, 1.0)
    return result
