"""The sparse autoencoder: a preset of `Autoencoder`."""

from __future__ import annotations

from aefast.errors import unknown_name
from aefast.estimators import parameters
from aefast.estimators.autoencoder import Autoencoder
from aefast.regularizers import PENALTIES

# An overcomplete code is cheap where few units are active; more than this is a job for a dictionary.
AUTO_COMPONENTS = 256


@parameters.preset(
    hidden_layer_sizes=(),
    latent_activation="auto",
    sparsity="kl",
    sparsity_weight=1.0,
    reduction="sum",
    weight_decay=0.0,
)
class SparseAutoencoder(Autoencoder):
    """A wide code of which a row uses few units: loss = sum_j l(r_j, x_j) + sparsity_weight * penalty(z).

    kl: penalty = sum_j KL(rho || mean of z_j over the batch), for a code in (0, 1) (Ng 2011, "Sparse autoencoder").
    l1: penalty = mean over the batch of sum_j |z_j|.

    Parameters are those of `Autoencoder`; of these, the preset is

    n_components : int or "auto"
        auto: min(256, d).
    hidden_layer_sizes : default (), so that `components_` holds one filter a unit.
    latent_activation : default "auto": sigmoid for kl, else relu.
    sparsity : {"kl", "l1", "l2"}
    sparsity_weight : float, default 1.0
    rho : float, default 0.05
        The wanted mean activation of a unit (kl).
    reduction : default "sum" over features, mean over the batch.
    batch_size : auto with kl: min(256, n), since the penalty needs a batch's mean.
    weight_decay : default 0; the penalty holds the code down instead.
    """

    def _check_parameters(self) -> None:
        if self.sparsity is None:
            raise unknown_name("sparsity of a SparseAutoencoder", None, PENALTIES)
        super()._check_parameters()

    def _auto_components(self, n_features: int) -> int:
        return min(AUTO_COMPONENTS, max(2, n_features))

    def _latent_activation(self) -> str:
        if self.latent_activation == "auto":
            return parameters.sparse_activation(str(self.sparsity))
        return super()._latent_activation()
