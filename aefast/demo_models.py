"""The models of the demonstration, and how long they learn."""

from __future__ import annotations

from typing import Any

# Enough for a good picture in a few seconds a model on two cores; an image set of another size does as many steps.
EPOCHS = {"mnist": 20, "digits": 60, "fashion-mnist": 3}
CONVOLUTIONAL = ("conv", "conv_denoising", "conv_variational")
NOISE = 0.5  # standard deviation, pixels being 0..1
LARGE = 256  # pixels


def models(image_shape: tuple[int, int], epochs: int, backend: str, seed: int) -> dict[str, Any]:
    """The estimators, unfitted, for grey images; the name is that of the saved file."""
    from aefast.estimators import (
        Autoencoder,
        ConvAutoencoder,
        DenoisingAutoencoder,
        SparseAutoencoder,
        VariationalAutoencoder,
    )

    large = image_shape[0] * image_shape[1] >= LARGE
    code, hidden = (32, (256,)) if large else (8, (128,))
    same: dict[str, Any] = {
        "loss": "bce",
        "scaling": "pixel",
        "learning_rate": 3e-3,
        "schedule": "cosine",
        "batch_size": 64,
        "epochs": epochs,
        "tol": 0.0,
        "n_iter_no_change": epochs,
        "backend": backend,
        "random_state": seed,
        "verbose": 1,
    }
    # A sigmoid's gradient is small, so the steps are larger; the decay makes strokes of what would be speckles.
    sparse = {
        "rho": 0.1,
        "sparsity_weight": 3.0,
        "learning_rate": 1e-2,
        "optimizer": "adamw",
        "weight_decay": 0.1,
    }
    images: dict[str, Any] = {**same, "image_shape": image_shape, "channels": (16, 32)}
    return {
        "autoencoder": Autoencoder(code, hidden_layer_sizes=hidden, **same),
        "denoising": DenoisingAutoencoder(code, hidden_layer_sizes=hidden, corruption_level=NOISE, **same),
        "sparse": SparseAutoencoder(128 if large else 64, **same | sparse),
        "variational": VariationalAutoencoder(8, hidden_layer_sizes=(*hidden, hidden[-1] // 2), **same),
        "conv": ConvAutoencoder(code, **images),
        "conv_denoising": ConvAutoencoder(code, corruption="gaussian", corruption_level=NOISE, **images),
        "conv_variational": ConvAutoencoder(8, variational=True, hidden_layer_sizes=hidden, **images),
    }
