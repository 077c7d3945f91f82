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
    "clipped": _with(clip_norm=0.05, optimizer="sgd", learning_rate=0.5),
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
RATES = {"sgd": 0.05, "momentum": 0.02, "nesterov": 0.02, "lion": 3e-4}


def make(name: str, backend: str, dtype: str = "float32", **settings: Any) -> aefast.Trainer:
    """The model on that backend; `settings` override its own."""
    chosen = {
        "learning_rate": RATES.get(name, 2e-3),
        "batch_size": 16,
        "seed": 11,
        **MODELS[name](),
        **settings,
    }
    return aefast.Trainer(chosen.pop("topology"), backend=backend, dtype=dtype, **chosen)


def data(n: int = 100) -> np.ndarray:
    """(n, D) float32 in (0, 1), three directions of variation and a little noise."""
    rng = np.random.default_rng(2)
    z = rng.standard_normal((n, 3)) @ rng.standard_normal((3, D)) + 0.1 * rng.standard_normal((n, D))
    return np.asarray(1 / (1 + np.exp(-z)), np.float32)
