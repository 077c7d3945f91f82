"""The sparse autoencoder: a preset of `Autoencoder`."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from aefast.errors import unknown_name
from aefast.estimators.autoencoder import Autoencoder
from aefast.optimizers import Optimizer
from aefast.regularizers import PENALTIES

# An overcomplete code is cheap where few units are active; more than this is a job for a dictionary.
AUTO_COMPONENTS = 256


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
    """

    def __init__(
        self,
        n_components: int | str = "auto",
        *,
        hidden_layer_sizes: Sequence[int] | int | str = (),
        activation: str = "relu",
        latent_activation: str = "auto",
        output_activation: str = "auto",
        tied_weights: bool = False,
        corruption: str | None = None,
        corruption_level: float = 0.3,
        sparsity: str = "kl",
        sparsity_weight: float = 1.0,
        rho: float = 0.05,
        loss: str = "mse",
        reduction: str = "sum",
        scaling: str | None = "auto",
        optimizer: str | Optimizer = "adam",
        learning_rate: float = 1e-3,
        schedule: str = "constant",
        warmup_steps: int = 0,
        weight_decay: float = 0.0,
        clip_norm: float | None = None,
        ema: float | None = None,
        batch_size: int | str = "auto",
        epochs: int = 50,
        shuffle: bool = True,
        tol: float = 1e-4,
        early_stopping: bool = False,
        validation_fraction: float = 0.1,
        n_iter_no_change: int = 10,
        backend: str = "auto",
        dtype: str = "float32",
        n_threads: int | None = None,
        warm_start: bool = False,
        random_state: Any = None,
        verbose: int = 0,
    ) -> None:
        super().__init__(
            n_components,
            hidden_layer_sizes=hidden_layer_sizes,
            activation=activation,
            latent_activation=latent_activation,
            output_activation=output_activation,
            tied_weights=tied_weights,
            corruption=corruption,
            corruption_level=corruption_level,
            sparsity=sparsity,
            sparsity_weight=sparsity_weight,
            rho=rho,
            loss=loss,
            reduction=reduction,
            scaling=scaling,
            optimizer=optimizer,
            learning_rate=learning_rate,
            schedule=schedule,
            warmup_steps=warmup_steps,
            weight_decay=weight_decay,
            clip_norm=clip_norm,
            ema=ema,
            batch_size=batch_size,
            epochs=epochs,
            shuffle=shuffle,
            tol=tol,
            early_stopping=early_stopping,
            validation_fraction=validation_fraction,
            n_iter_no_change=n_iter_no_change,
            backend=backend,
            dtype=dtype,
            n_threads=n_threads,
            warm_start=warm_start,
            random_state=random_state,
            verbose=verbose,
        )

    def _check_parameters(self) -> None:
        if self.sparsity is None:
            raise unknown_name("sparsity of a SparseAutoencoder", None, PENALTIES)
        super()._check_parameters()

    def _auto_components(self, n_features: int) -> int:
        return min(AUTO_COMPONENTS, max(2, n_features))

    def _latent_activation(self) -> str:
        if self.latent_activation == "auto":
            return "sigmoid" if self.sparsity == "kl" else "relu"
        return super()._latent_activation()
