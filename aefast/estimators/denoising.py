"""The denoising autoencoder: a preset of `Autoencoder`."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from numpy.typing import ArrayLike, NDArray

from aefast.errors import unknown_name
from aefast.estimators.autoencoder import Autoencoder
from aefast.optimizers import Optimizer
from aefast.regularizers import CORRUPTIONS


class DenoisingAutoencoder(Autoencoder):
    """Sees noisy rows, is asked for the clean ones: loss = l(decoder(encoder(noise(x))), x) (Vincent et al. 2010).

    Parameters are those of `Autoencoder`; of these, the preset is

    corruption : {"gaussian", "masking", "salt_and_pepper"}
        x + level * normal; zero with probability level; one of two extremes with probability level (0 and 1 for
        minmax and pixel scaling, -2 and 2 for standard, else the data's).
    corruption_level : float
        Standard deviation (gaussian) or probability, in scaled space.
    """

    def __init__(
        self,
        n_components: int | str = "auto",
        *,
        hidden_layer_sizes: Sequence[int] | int | str = "auto",
        activation: str = "relu",
        latent_activation: str = "identity",
        output_activation: str = "auto",
        tied_weights: bool = False,
        corruption: str = "gaussian",
        corruption_level: float = 0.3,
        sparsity: str | None = None,
        sparsity_weight: float = 1e-3,
        rho: float = 0.05,
        loss: str = "mse",
        reduction: str = "mean",
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

    def denoise(self, X: ArrayLike) -> NDArray[Any]:
        """Noisy X (n, d) without its noise: (n, d) in X's units; nothing is added to X."""
        return self.reconstruct(X)

    def _check_parameters(self) -> None:
        if self.corruption is None:
            raise unknown_name("corruption of a DenoisingAutoencoder", None, CORRUPTIONS)
        super()._check_parameters()
