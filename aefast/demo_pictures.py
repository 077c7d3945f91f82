"""The pictures of the demonstration, and what they and its table compare with."""

from __future__ import annotations

from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from aefast import data
from aefast.demo_models import NOISE

Array = NDArray[Any]
SHOWN = 12  # images in a row
SAMPLES = 64  # images in a grid
MAPPED = 2000  # points of the latent map


def draw(fitted: dict[str, Any], images: data.Dataset, folder: Path, seed: int) -> list[Path]:
    """Saves the pictures as PNG files in `folder`; none where matplotlib isn't installed."""
    if find_spec("matplotlib") is None:
        return []
    from aefast import plots

    shape, vanilla, vae = images.image_shape, fitted["autoencoder"], fitted["variational"]
    chosen = _one_a_class(images.y_test, SHOWN)
    clean = images.X_test[chosen] / 255.0
    seen = 255.0 * noisy(clean, seed)
    codes = vae.transform(images.X_test[:MAPPED])
    rebuilt = {
        "original": clean,
        f"PCA, {vanilla.n_components_}": np.clip(pca(images, vanilla.n_components_)(clean), 0, 1),
    }
    denoised = {"clean": clean, "noisy": seen / 255.0}
    for key, label in (("autoencoder", "autoencoder"), ("conv", "convolutional")):
        if key in fitted:
            R = fitted[key].reconstruct(images.X_test[chosen])
            rebuilt[f"{label}, {fitted[key].n_components_}"] = R / 255.0
    for key, label in (("denoising", "denoised"), ("conv_denoising", "denoised, convolutional")):
        if key in fitted:
            denoised[label] = fitted[key].denoise(seen) / 255.0
    pictures = {
        "reconstructions": plots.reconstructions(
            rebuilt, shape, title="Held-out images and their reconstructions"
        ),
        "denoising": plots.reconstructions(denoised, shape, title="Denoising of held-out images"),
        "samples": plots.samples(
            vae.sample(SAMPLES) / 255.0, shape, title="Images that the variational model made up"
        ),
        "filters": plots.filters(
            fitted["sparse"].components_[:SAMPLES], shape, title="What the sparse units look for"
        ),
        "latent_map": plots.latent_map(
            _plane(codes), images.y_test[:MAPPED], title="Held-out images in the variational code", axes="PCA"
        ),
        "loss_curves": plots.loss_curves({key: model.loss_curve_ for key, model in fitted.items()}),
    }
    if "conv_variational" in fitted:
        made_up = fitted["conv_variational"].sample(SAMPLES) / 255.0
        pictures["conv_samples"] = plots.samples(
            made_up, shape, title="Images that the convolutional variational model made up"
        )
    for name, figure in pictures.items():
        figure.savefig(folder / f"{name}.png")
    return [folder / f"{name}.png" for name in pictures]


def noisy(clean: Array, seed: int) -> Array:
    """Pixels 0..1 with Gaussian noise."""
    return clean + NOISE * np.random.default_rng(seed).standard_normal(clean.shape)


def pca(images: data.Dataset, n_components: int) -> Callable[[Array], Array]:
    """Reconstruction, of pixels 0..1 as its input too, by the training images' leading principal components."""
    X = images.X_train.astype(np.float32) / np.float32(255.0)
    mean = X.mean(axis=0)
    X -= mean
    _, vectors = np.linalg.eigh(X.T @ X)
    basis = vectors[:, -n_components:]

    def reconstruct(rows: Array) -> Array:
        result: Array = (rows - mean) @ basis @ basis.T + mean
        return result

    return reconstruct


def _plane(codes: Array) -> Array:
    """Codes (n, L) on their two directions of largest variance: (n, 2)."""
    centred = codes - codes.mean(axis=0)
    plane: Array = centred @ np.linalg.svd(centred, full_matrices=False)[2][:2].T
    return plane


def _one_a_class(y: Array, n: int) -> NDArray[np.int64]:
    """Indices of n images, the classes in turn."""
    seen = dict.fromkeys(np.unique(y), 0)
    turn = np.empty(len(y), np.int64)
    for i, label in enumerate(y):
        turn[i] = seen[label]
        seen[label] += 1
    return np.lexsort((y, turn))[:n]
