"""Images and convolutional models that tests share."""

from __future__ import annotations

import numpy as np
from sklearn.datasets import load_digits

from aefast import ConvAutoencoder

DIGITS = load_digits()
FLAT = np.rint(DIGITS.data[:300] * (255 / 16)).astype(np.uint8)  # (300, 64)
GREY = FLAT.reshape(-1, 1, 8, 8)
# Three channels that differ, 8 x 5 pixels: no axis can be taken for another.
COLOUR = np.stack([FLAT, 255 - FLAT, FLAT // 2], axis=1).reshape(-1, 3, 8, 8)[..., :5].copy()
QUICK = {"channels": (4, 6), "epochs": 2, "backend": "numpy", "random_state": 0, "batch_size": 50}


def quick(n_components=5, **changes):
    """An unfitted estimator whose fit takes some tenths of a second."""
    return ConvAutoencoder(n_components, **{**QUICK, **changes})
