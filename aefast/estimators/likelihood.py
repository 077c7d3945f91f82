"""Importance-weighted likelihood of a variational trainer, in NumPy and float64: a figure of merit, not a hot path."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from aefast import activations, losses, random, regularizers
from aefast.data.scaling import Scaling
from aefast.topology import Layer

F64 = NDArray[np.float64]
# Rows of x times samples that are decoded at once; bounds the memory to a few times this by the layer width.
CHUNK_ROWS = 4096


def importance_weighted(trainer: Any, X: NDArray[Any], n_samples: int) -> NDArray[Any]:
    """(n,) log mean_k w_k, log w_k = log p(x|z_k) + log p(z_k) - log q(z_k|x), in nats; X (n, d) unscaled.

    Sample k has the same noise in every row, so that a row's value doesn't depend on the rows around it.
    Raises ValueError for a loss without likelihood.
    """
    loss = losses.get(trainer.settings.loss)
    if loss.likelihood is None:
        raise ValueError(f"loss={loss.name!r} has no likelihood; choose 'mse', 'mae' or 'bce'")
    topology, scaling = trainer.topology, trainer.scaling or Scaling()
    weights = {name: value.astype(np.float64) for name, value in trainer.ema_parameters.items()}
    encoder, decoder = topology.layers[: topology.n_encoder], topology.layers[topology.n_encoder :]
    noise = random.normals(
        trainer.seed,
        np.arange(n_samples),
        topology.n_components,
        0,
        random.stream_word(random.STREAM_EVALUATE, 1),
    )
    constant = topology.n_features * loss.log_normaliser
    result = np.empty(len(X))
    step = max(1, CHUNK_ROWS // n_samples)
    for start in range(0, len(X), step):
        x = scaling.forward(X[start : start + step])
        mean, logvar = np.split(_forward(encoder, weights, x), 2, axis=1)
        logvar = np.minimum(logvar, regularizers.LOGVAR_MAX)
        z = mean[:, None] + np.exp(0.5 * logvar)[:, None] * noise
        # log p(z) - log q(z|x); the normal's constants cancel.
        log_w = 0.5 * (noise**2 - z**2 + logvar[:, None]).sum(axis=2)
        r = _forward(decoder, weights, z.reshape(-1, topology.n_components), logits=loss.on_logits)
        r = r.reshape(len(x), n_samples, -1)
        log_w -= loss.value(r, np.broadcast_to(x[:, None], r.shape)).sum(axis=2) + constant
        top = log_w.max(axis=1)
        result[start : start + step] = top + np.log(np.exp(log_w - top[:, None]).mean(axis=1))
    return result.astype(np.float64 if trainer.dtype == "float64" else np.float32)


def _forward(layers: Sequence[Layer], weights: Mapping[str, F64], x: F64, *, logits: bool = False) -> F64:
    """The layers in a row on x (n, n_in); `logits` leaves the last activation out."""
    for layer in layers:
        x = x @ weights[f"{layer.name}.weight"].T + weights[f"{layer.name}.bias"]
        if not (logits and layer is layers[-1]):
            x = activations.get(layer.activation).function(x)
    return x
