"""Data and models that the tests of the estimators share."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn.datasets import load_digits

from aefast import Autoencoder, DenoisingAutoencoder, SparseAutoencoder, VariationalAutoencoder

X = load_digits().data[:600].astype(np.float32)  # 0..16
KINDS = (Autoencoder, DenoisingAutoencoder, SparseAutoencoder, VariationalAutoencoder)
QUICK = {"backend": "numpy", "random_state": 0, "epochs": 3}

every_kind = pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.__name__)


def quick(kind=Autoencoder, **changes):
    """An unfitted estimator whose fit takes some hundredths of a second."""
    return kind(**{**QUICK, **changes})
