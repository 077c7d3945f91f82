"""Importance-weighted likelihood of a variational trainer, in NumPy and float64: a figure of merit, not a hot path."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from aefast import activations, losses, random, regularizers
from aefast.backends.numpy import NumpyBackend
from aefast.data.scaling import Scaling
from aefast.layers import POOL_CODES, AnyLayer, Layer, Pool2d

F64 = NDArray[np.float64]
# Rows of x times samples that are decoded at once, and the values of a layer's output for them.
CHUNK_ROWS, CHUNK_VALUES = 4096, 1 << 24


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
    widest = max(layer.n_out for layer in topology.layers)
    noise = random.normals(
        trainer.seed,
        np.arange(n_samples),
        topology.n_components,
        0,
        random.stream_word(random.STREAM_EVALUATE, 1),
    )
    constant = topology.n_features * loss.log_normaliser
    result = np.empty(len(X))
    step = max(1, min(CHUNK_ROWS, CHUNK_VALUES // widest) // n_samples)
    for start in range(0, len(X), step):
        x = topology.channels_last(scaling.forward(X[start : start + step]))
        mean, logvar = np.split(_forward(topology.layers[: topology.n_encoder], weights, x), 2, axis=1)
        logvar = np.minimum(logvar, regularizers.LOGVAR_MAX)
        z = mean[:, None] + np.exp(0.5 * logvar)[:, None] * noise
        # log p(z) - log q(z|x); the normal's constants cancel.
        log_w = 0.5 * (noise**2 - z**2 + logvar[:, None]).sum(axis=2)
        codes = z.reshape(-1, topology.n_components)
        r = _forward(topology.layers[topology.n_encoder :], weights, codes, logits=loss.on_logits)
        r = r.reshape(len(x), n_samples, -1)
        log_w -= loss.value(r, np.broadcast_to(x[:, None], r.shape)).sum(axis=2) + constant
        top = log_w.max(axis=1)
        result[start : start + step] = top + np.log(np.exp(log_w - top[:, None]).mean(axis=1))
    return result.astype(np.float64 if trainer.dtype == "float64" else np.float32)


def _forward(layers: Sequence[AnyLayer], weights: Mapping[str, F64], x: F64, *, logits: bool = False) -> F64:
    """The layers in a row on x (n, n_in), images channels last; `logits` leaves the last activation out."""
    ops = NumpyBackend().ops
    for layer in layers:
        out = np.empty((len(x), layer.n_out))
        if layer.weight_shape is None:
            getattr(ops, layer.op)(x=x, out=out, geometry=layer.geometry, **_kind(layer))
        else:
            w = weights[f"{layer.name}.weight"].reshape(layer.weight_shape[0], -1)
            act = activations.CODES["identity" if logits and layer is layers[-1] else layer.activation]
            joined = {} if isinstance(layer, Layer) else {"geometry": layer.geometry}
            op = getattr(ops, f"{layer.op}_act")
            op(x=x, w=w, b=weights[f"{layer.name}.bias"], act=act, out=out, pre=None, **joined)
        x = out
    return x


def _kind(layer: AnyLayer) -> dict[str, int]:
    return {"kind": POOL_CODES[layer.kind]} if isinstance(layer, Pool2d) else {}
