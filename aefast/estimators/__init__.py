"""The scikit-learn front: one file a model kind."""

from __future__ import annotations

from aefast.estimators.autoencoder import Autoencoder
from aefast.estimators.conv import ConvAutoencoder
from aefast.estimators.denoising import DenoisingAutoencoder
from aefast.estimators.sparse import SparseAutoencoder
from aefast.estimators.variational import VariationalAutoencoder

__all__ = [
    "Autoencoder",
    "ConvAutoencoder",
    "DenoisingAutoencoder",
    "SparseAutoencoder",
    "VariationalAutoencoder",
]
