"""How many batches an epoch has, and how many steps are checked."""

from __future__ import annotations

import numpy as np

# An epoch's batches: enough not to live in the L1 cache, and no epoch so long that turns get rare.
EPOCH_BYTES, EPOCH_FLOPS, MAX_BATCHES = 64e6, 1e11, 512
# Of an epoch and of a check. Adam's moments count from the second step on; the third lets the loss change by so much that the
# float32 sum of 17 million squares, as which peers tell it, is a small part of the change.
FEWEST_STEPS = 3
CHECK_FLOPS, MOST_CHECKED = 2e10, 20


def n_batches(batch: int, n_features: int, flops: float) -> int:
    """Of batches (batch, n_features) float32, whose step costs `flops`."""
    by_size = EPOCH_BYTES / (4 * batch * n_features)
    return int(np.clip(min(by_size, EPOCH_FLOPS / flops), FEWEST_STEPS, MAX_BATCHES))


def n_check_steps(flops: float, n_batches: int) -> int:
    """Steps compared with the reference before timing."""
    return int(np.clip(CHECK_FLOPS / flops, FEWEST_STEPS, min(MOST_CHECKED, n_batches)))
