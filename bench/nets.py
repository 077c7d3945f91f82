"""The nets of the comparison, their data and initial weights, and what a step must do to them.

A step is forward, backward and Adam (1e-3, 0.9, 0.999, 1e-8) on one batch; hidden layers are ReLU, the output
is a sigmoid, the loss the squared error averaged over batch and features. The code layer is a hidden layer
like the others.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Parameters = list[tuple[NDArray[np.float64], NDArray[np.float64]]]
LEARNING_RATE, BETA1, BETA2, EPS = 1e-3, 0.9, 0.999, 1e-8
# An epoch's batches: enough not to live in the L1 cache, and no epoch so long that turns get rare.
EPOCH_BYTES, EPOCH_FLOPS, MAX_BATCHES = 64e6, 4e11, 512


@dataclass(frozen=True)
class Net:
    """One row: layer widths w0 ... wK and the batch size B."""

    widths: tuple[int, ...]
    batch: int

    @property
    def name(self) -> str:
        return "-".join(map(str, self.widths)) + f"/{self.batch}"

    @property
    def n_weights(self) -> int:
        return sum(a * b for a, b in zip(self.widths, self.widths[1:], strict=False))

    @property
    def flops(self) -> float:
        """Of the matrix products of a step: forward, weight gradients, and input gradients but for the first
        layer."""
        return 2.0 * self.batch * (3 * self.n_weights - self.widths[0] * self.widths[1])

    @property
    def n_batches(self) -> int:
        by_size = EPOCH_BYTES / (4 * self.batch * self.widths[0])
        return int(np.clip(min(by_size, EPOCH_FLOPS / self.flops), 2, MAX_BATCHES))

    @property
    def n_check_steps(self) -> int:
        """Steps compared with the reference before timing: at least 2, so that Adam's moments count."""
        return int(np.clip(2e10 / self.flops, 2, min(20, self.n_batches)))


def _net(widths: str, batch: int) -> Net:
    return Net(tuple(map(int, widths.split("-"))), batch)


TABLE: dict[str, Net] = {
    net.name: net
    for net in (
        _net("64-32-64", 32),
        _net("30-16-8-16-30", 128),
        _net("784-64-784", 128),
        _net("784-256-64-256-784", 256),
        _net("784-512-256-64-256-512-784", 1024),
        _net("4096-1024-4096", 4096),
        _net("2048-2048-256-2048-2048", 2048),
    )
}


def find(text: str) -> Net:
    """A row by its name ("64-32-64/32") or its number from 1; also any other net written like that."""
    if text.isdigit() and 1 <= int(text) <= len(TABLE):
        return list(TABLE.values())[int(text) - 1]
    widths, _, batch = text.partition("/")
    if "-" not in widths or not batch.isdigit():
        raise SystemExit(f"no net {text!r}; write one of {', '.join(TABLE)}, or widths/batch")
    return _net(widths, int(batch))


def data(net: Net) -> NDArray[np.float32]:
    """(n_batches * B, w0) float32 in (0, 1) of rank 8, so that the nets have something to learn."""
    rng = np.random.default_rng(1)
    factors = rng.standard_normal((net.n_batches * net.batch, 8), np.float32)
    z = factors @ rng.standard_normal((8, net.widths[0]), np.float32)
    return (1.0 / (1.0 + np.exp(-z))).astype(np.float32)


def initial(net: Net) -> list[tuple[NDArray[np.float32], NDArray[np.float32]]]:
    """Per layer W (N, M) and b (N,), float32, uniform within +-1/sqrt(M)."""
    rng = np.random.default_rng(2)
    layers = []
    for fan_in, fan_out in zip(net.widths, net.widths[1:], strict=False):
        bound = fan_in**-0.5
        w = rng.uniform(-bound, bound, (fan_out, fan_in)).astype(np.float32)
        layers.append((w, rng.uniform(-bound, bound, fan_out).astype(np.float32)))
    return layers


def reference(net: Net) -> tuple[list[float], Parameters]:
    """Losses of the first `n_check_steps` steps and the parameters after them, float64."""
    x = data(net)
    params = [array.astype(np.float64) for layer in initial(net) for array in layer]
    first, second = [np.zeros_like(p) for p in params], [np.zeros_like(p) for p in params]
    losses = []
    for t in range(1, net.n_check_steps + 1):
        start = (t - 1) % net.n_batches * net.batch
        loss, grads = _loss_and_gradients(params, x[start : start + net.batch].astype(np.float64))
        losses.append(loss)
        for i, g in enumerate(grads):
            first[i] += (1 - BETA1) * (g - first[i])
            second[i] += (1 - BETA2) * (g * g - second[i])
            params[i] -= (
                LEARNING_RATE * first[i] / (1 - BETA1**t) / (np.sqrt(second[i] / (1 - BETA2**t)) + EPS)
            )
    return losses, list(zip(params[::2], params[1::2], strict=True))


def _loss_and_gradients(
    params: list[NDArray[np.float64]], x: NDArray[np.float64]
) -> tuple[float, list[NDArray[np.float64]]]:
    activations = [x]
    n_layers = len(params) // 2
    for i in range(n_layers):
        z = activations[-1] @ params[2 * i].T + params[2 * i + 1]
        activations.append(1.0 / (1.0 + np.exp(-z)) if i == n_layers - 1 else np.maximum(z, 0.0))
    r = activations[-1]
    delta = 2.0 * (r - x) / x.size * r * (1.0 - r)
    grads: list[NDArray[np.float64]] = []
    for i in reversed(range(n_layers)):
        grads = [delta.T @ activations[i], delta.sum(axis=0), *grads]
        if i:
            delta = (delta @ params[2 * i]) * (activations[i] > 0)
    return float(np.mean((r - x) ** 2)), grads
