"""A convolutional autoencoder on Fashion-MNIST in aefast and torch, and what it gains over the dense net and PCA: 1x28x28 ->
32 -> 64 maps (3 x 3, stride 2) -> a linear code of 32 and back, trained as the dense one (`images.py`).
"""

from __future__ import annotations

import time
from typing import Any

import numpy as np

from bench.fits import Data, Entry, Fitted, Subject, images, plain_loop

CHANNELS, KERNEL, STRIDE, LATENT = (32, 64), 3, 2, 32


def aefast(data: Data, seed: int, epochs: int) -> Fitted:
    import aefast as package

    model = package.ConvAutoencoder(
        LATENT,
        channels=CHANNELS,
        kernel_size=KERNEL,
        stride=STRIDE,
        activation="relu",
        latent_activation="identity",
        output_activation="sigmoid",
        loss="mse",
        scaling="pixel",
        **plain_loop(images.RATE, images.BATCH, epochs, seed),
    )
    return images.fit_aefast(model, data)


def torch(data: Data, seed: int, epochs: int) -> Fitted:
    return _torch("contiguous_format", data, seed, epochs)


def torch_channels_last(data: Data, seed: int, epochs: int) -> Fitted:
    return _torch("channels_last", data, seed, epochs)


def _torch(memory_format: str, data: Data, seed: int, epochs: int) -> Fitted:
    import torch as package

    nn = package.nn

    def made() -> Any:
        # Padding on all sides is the mirror image of an odd pixel below and right; 28 and 14 are even, 14 and 7 their halves.
        first, second = CHANNELS
        options: dict[str, Any] = {"kernel_size": KERNEL, "stride": STRIDE, "padding": 1}
        back = {**options, "output_padding": 1}
        side = 28 // STRIDE**2
        flat = second * side**2
        layers = (
            *(nn.Conv2d(1, first, **options), nn.ReLU(), nn.Conv2d(first, second, **options), nn.ReLU()),
            *(nn.Flatten(), nn.Linear(flat, LATENT), nn.Linear(LATENT, flat), nn.ReLU()),
            *(nn.Unflatten(1, (second, side, side)), nn.ConvTranspose2d(second, first, **back), nn.ReLU()),
            *(nn.ConvTranspose2d(first, 1, **back), nn.Sigmoid()),
        )
        return nn.Sequential(*layers).to(memory_format=getattr(package, memory_format))

    return images.fit_torch(made, (1, 28, 28), data, seed, epochs, fused=True)


def pca(data: Data, seed: int, epochs: int) -> Fitted:
    import sklearn
    from sklearn.decomposition import PCA

    start = time.perf_counter()
    model = PCA(LATENT, random_state=seed).fit(data.train / 255.0)
    seconds = time.perf_counter() - start
    test = data.test / 255.0
    error = np.mean((model.inverse_transform(model.transform(test)) - test) ** 2)
    return Fitted({"fit": seconds}, {"test MSE": float(error)}, {"scikit-learn": sklearn.__version__})


SUBJECT = Subject(
    "Fashion-MNIST, a convolutional autoencoder",
    10,
    "fit",
    {
        "aefast": Entry("conv_images", "aefast", "aefast", "`ConvAutoencoder.fit` on uint8 rows"),
        "torch": Entry("conv_images", "torch", "torch", "eager, Adam(fused=True), float32 rows in memory"),
        "torch-channels-last": Entry(
            "conv_images", "torch_channels_last", "torch", "the same with kernels channels last"
        ),
        "dense": Entry(
            "images",
            "aefast",
            "aefast",
            "`Autoencoder.fit`: 784-256-32-256-784, the same code and loop",
            alike=False,
        ),
        "pca": Entry("conv_images", "pca", "sklearn", "scikit-learn's PCA of 32 components", alike=False),
    },
    images.SUBJECT.data,
    "Convolutions to 32 and 64 maps (3 x 3, stride 2), a linear code of 32 and the mirror; ReLU, sigmoid output, squared error "
    "of pixels in [0, 1], Adam 1e-3, batch 128, shuffled; float32. Initial weights and shuffles are each library's own. The "
    "time has the conversion of the uint8 pixels and the shuffle of every epoch in it.",
    fallback="mnist",
)
