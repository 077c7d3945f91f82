"""The denoising autoencoder: a preset of `Autoencoder`."""

from __future__ import annotations

from typing import Any

from numpy.typing import ArrayLike, NDArray

from aefast.errors import unknown_name
from aefast.estimators import parameters
from aefast.estimators.autoencoder import Autoencoder
from aefast.regularizers import CORRUPTIONS


@parameters.preset(corruption="gaussian")
class DenoisingAutoencoder(Autoencoder):
    """Sees noisy rows, is asked for the clean ones: loss = l(decoder(encoder(noise(x))), x) (Vincent et al. 2010).

    Parameters are those of `Autoencoder`; of these, the preset is

    corruption : {"gaussian", "masking", "salt_and_pepper"}
        x + level * normal; zero with probability level; one of two extremes with probability level (0 and 1 for
        minmax and pixel scaling, -2 and 2 for standard, else the data's).
    corruption_level : float
        Standard deviation (gaussian) or probability, in scaled space.
    """

    def denoise(self, X: ArrayLike) -> NDArray[Any]:
        """Noisy X (n, d) without its noise: (n, d) in X's units; nothing is added to X."""
        return self.reconstruct(X)

    def _check_parameters(self) -> None:
        if self.corruption is None:
            raise unknown_name("corruption of a DenoisingAutoencoder", None, CORRUPTIONS)
        super()._check_parameters()
