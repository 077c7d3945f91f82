"""Every kind of model that the engine trains, by name, small: for tests that hold for all of them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

import aefast
from aefast import losses, optimizers, regularizers

D = 13
WIDTHS = (D, 9, 4, 9, D)


def _with(**settings: Any) -> Callable[[], dict[str, Any]]:
    shape = {"activation": "tanh", "output_activation": "sigmoid", **settings.pop("shape", {})}
    return lambda: {"topology": aefast.Topology.mlp(WIDTHS, **shape), **settings}


def _sparse(kind: str) -> Callable[[], dict[str, Any]]:
    return _with(
        shape={"latent_activation": "sigmoid"}, sparsity=aefast.Sparsity(kind, 0.05, 0.2), reduction="sum"
    )


VARIATIONAL = {"variational": True, "activation": "softplus"}
MODELS: dict[str, Callable[[], dict[str, Any]]] = {
    **{f"vanilla {name}": _with(loss=name) for name in losses.NAMES},
    "relu": _with(
        shape={"activation": "relu", "latent_activation": "leaky_relu", "output_activation": "identity"}
    ),
    "gelu and silu": _with(
        shape={"activation": "gelu", "latent_activation": "silu", "output_activation": "elu"}
    ),
    "shallow": lambda: {"topology": aefast.Topology.mlp((D, 3, D)), "reduction": "sum"},
    "tied": _with(shape={"tied_weights": True}, loss="bce"),
    **{
        f"denoising {kind}": _with(corruption=aefast.Corruption(kind, 0.3))
        for kind in regularizers.CORRUPTIONS
    },
    **{f"sparse {kind}": _sparse(kind) for kind in regularizers.PENALTIES},
    "variational": _with(shape=VARIATIONAL, reduction="sum", loss="bce", kl_warmup_epochs=3.0),
    "variational free bits": _with(shape=VARIATIONAL, reduction="sum", free_bits=0.4, beta=0.5),
    "feature weights": _with(feature_weight=np.linspace(0.1, 2.0, D)),
    "clipped": _with(clip_norm=0.01, optimizer="sgd", learning_rate=0.5),
    "averaged": _with(ema=0.9),
    "decayed": _with(weight_decay=0.02),
    "scheduled": _with(schedule="cosine", warmup_steps=5),
    **{name: _with(optimizer=name, weight_decay=0.01) for name in optimizers.NAMES},
    "all at once": _with(
        shape={"tied_weights": True, "latent_activation": "sigmoid", "activation": "gelu"},
        loss="bce",
        reduction="sum",
        corruption=aefast.Corruption("masking", 0.2),
        sparsity=aefast.Sparsity("kl", 0.1, 0.2),
        feature_weight=np.linspace(0.5, 1.5, D),
        clip_norm=1.0,
        ema=0.95,
        optimizer="adamw",
        weight_decay=0.05,
        schedule="linear",
    ),
}
IMAGE = (3, 5, 4)  # channels, height, width


def _conv(**settings: Any) -> Callable[[], dict[str, Any]]:
    shape = {
        "channels": (2, 4),
        "n_components": 3,
        "activation": "tanh",
        "output_activation": "sigmoid",
        **settings.pop("shape", {}),
    }
    return lambda: {"topology": aefast.Topology.conv(IMAGE, **shape), **settings}


# Of rows that are images, d = 60. What has no image in it holds for them as for the others.
CONV_MODELS: dict[str, Callable[[], dict[str, Any]]] = {
    "conv": _conv(),
    "conv channels last": _conv(shape={"layout": "channels_last"}, loss="bce"),
    "conv map code": _conv(shape={"n_components": None, "activation": "gelu"}),
    "conv hidden": _conv(
        shape={"hidden_layer_sizes": (7,), "activation": "silu", "padding": "valid", "channels": (3,)}
    ),
    "conv resize": _conv(shape={"decoder": "resize", "kernel_size": (2, 3), "stride": (2, 1)}, loss="huber"),
    "conv max": _conv(shape={"pooling": "max", "decoder": "resize"}),
    "conv average": _conv(shape={"pooling": "average", "stride": 3}),
    "conv groups": _conv(shape={"groups": 2, "dilation": 2, "padding": 2}, loss="bce"),
    "conv denoising": _conv(corruption=aefast.Corruption("masking", 0.3)),
    "conv sparse kl": _conv(
        shape={"n_components": None, "latent_activation": "sigmoid", "pooling": "max"},
        sparsity=aefast.Sparsity("kl", 0.05, 0.2),
    ),
    "conv sparse l2": _conv(
        shape={"n_components": None, "decoder": "resize"}, sparsity=aefast.Sparsity("l2", 0.05)
    ),
    "conv variational": _conv(shape={"variational": True}, reduction="sum", loss="bce", free_bits=0.1),
    "conv all at once": _conv(
        shape={
            "latent_activation": "sigmoid",
            "activation": "gelu",
            "decoder": "resize",
            "pooling": "average",
        },
        loss="bce",
        reduction="sum",
        corruption=aefast.Corruption("salt_and_pepper", 0.2),
        sparsity=aefast.Sparsity("kl", 0.1, 0.2),
        feature_weight=np.linspace(0.5, 1.5, 60),
        clip_norm=1.0,
        ema=0.95,
        optimizer="adamw",
        weight_decay=0.05,
        schedule="linear",
    ),
}
RATES = {"sgd": 0.05, "momentum": 0.02, "nesterov": 0.02, "lion": 3e-4}


def make(name: str, backend: str, dtype: str = "float32", **settings: Any) -> aefast.Trainer:
    """The model on that backend; `settings` override its own."""
    chosen = {
        "learning_rate": RATES.get(name, 2e-3),
        "batch_size": 16,
        "seed": 11,
        **{**MODELS, **CONV_MODELS}[name](),
        **settings,
    }
    return aefast.Trainer(chosen.pop("topology"), backend=backend, dtype=dtype, **chosen)


def data(n: int = 100) -> np.ndarray:
    """(n, D) float32 in (0, 1), three directions of variation and a little noise."""
    rng = np.random.default_rng(2)
    z = rng.standard_normal((n, 3)) @ rng.standard_normal((3, D)) + 0.1 * rng.standard_normal((n, D))
    return np.asarray(1 / (1 + np.exp(-z)), np.float32)


def image_data(n: int = 60) -> np.ndarray:
    """(n, 60) float32 in (0, 1): smooth images (3, 5, 4) of three numbers each, and a little noise."""
    rng = np.random.default_rng(2)
    y, x = np.mgrid[:5, :4] / 4
    waves = np.stack([np.cos(3 * y), np.sin(3 * x), np.cos(2 * (x + y))])[:, None] * np.ones((1, 3, 1, 1))
    z = np.tensordot(2 * rng.standard_normal((n, 3)), waves, 1) + 0.1 * rng.standard_normal((n, *IMAGE))
    return np.asarray(1 / (1 + np.exp(-z)), np.float32).reshape(n, -1)


def rows(name: str, n: int = 100) -> np.ndarray:
    """Data for the model of that name."""
    return image_data(n) if name in CONV_MODELS else data(n)
