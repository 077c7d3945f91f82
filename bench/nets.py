"""The nets that are measured, their data and their initial weights. What a step must do to them: `bench.reference`.

A step is forward, backward and Adam (1e-3, 0.9, 0.999, 1e-8) on one batch; hidden layers are ReLU, the output
is a sigmoid, the loss the squared error averaged over batch and features. The code layer is a hidden layer
like the others. Nets of another kind (`KINDS`) are aefast's alone.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

Layers = list[tuple[NDArray[np.float32], NDArray[np.float32]]]
LEARNING_RATE, BETA1, BETA2, EPS = 1e-3, 0.9, 0.999, 1e-8
# An epoch's batches: enough not to live in the L1 cache, and no epoch so long that turns get rare.
EPOCH_BYTES, EPOCH_FLOPS, MAX_BATCHES = 64e6, 1e11, 512
# Of an epoch and of a check. Adam's moments count from the second step on; the third lets the loss change by so much that the
# float32 sum of 17 million squares, as which peers tell it, is a small part of the change.
FEWEST_STEPS = 3
# Rows that are looked at together for kinks: two float64 matrices of them and the widest layer fit into memory.
ROWS_AT_ONCE = 1024


@dataclass(frozen=True)
class Kind:
    """What is special about a net: arguments of `Topology.mlp` and of `Trainer`."""

    topology: dict[str, Any]
    trainer: dict[str, Any]


PLAIN = ""
_PLAIN = {"activation": "relu", "latent_activation": "relu", "output_activation": "sigmoid"}
KINDS: dict[str, Kind] = {
    PLAIN: Kind(_PLAIN, {"loss": "mse"}),
    "tanh-mae": Kind({"activation": "tanh", "latent_activation": "tanh"}, {"loss": "mae"}),
    "tied": Kind({**_PLAIN, "tied_weights": True}, {"loss": "mse"}),
    "variational": Kind(
        {"activation": "relu", "output_activation": "sigmoid", "variational": True},
        {"loss": "bce", "reduction": "sum"},
    ),
    "denoising": Kind(_PLAIN, {"loss": "mse", "corruption": ("gaussian", 0.3)}),
}


@dataclass(frozen=True)
class Net:
    """One row: layer widths w0 ... wK, the batch size B, the kind, and the epoch's rows if not the usual ones."""

    widths: tuple[int, ...]
    batch: int
    kind: str = PLAIN
    rows: int = 0

    @property
    def name(self) -> str:
        """What `parse` reads."""
        name = "-".join(map(str, self.widths)) + f"/{self.batch}"
        return name + (f":{self.kind}" if self.kind else "") + (f"@{self.rows}" if self.rows else "")

    @property
    def layers(self) -> list[tuple[int, int]]:
        """(M, N) of each layer; a variational encoder puts out two values a code unit."""
        pairs = list(zip(self.widths, self.widths[1:], strict=False))
        if self.kind == "variational":
            last = self.latent - 1
            pairs[last] = (pairs[last][0], 2 * pairs[last][1])
        return pairs

    @property
    def latent(self) -> int:
        return (len(self.widths) - 1) // 2

    @property
    def n_weights(self) -> int:
        return sum(m * n for m, n in self.layers)

    @property
    def flops(self) -> float:
        """Of the matrix products of a step: forward, weight gradients, and input gradients but for the first
        layer."""
        m, n = self.layers[0]
        return 2.0 * self.batch * (3 * self.n_weights - m * n)

    @property
    def n_batches(self) -> int:
        if self.rows:
            return max(2, self.rows // self.batch)
        by_size = EPOCH_BYTES / (4 * self.batch * self.widths[0])
        return int(np.clip(min(by_size, EPOCH_FLOPS / self.flops), FEWEST_STEPS, MAX_BATCHES))

    @property
    def n_check_steps(self) -> int:
        """Steps compared with the reference before timing."""
        return int(np.clip(2e10 / self.flops, FEWEST_STEPS, min(20, self.n_batches)))


def parse(text: str) -> Net:
    """The net written as widths/batch, widths/batch:kind, or either with @rows; SystemExit for what isn't one."""
    written, _, rows = text.partition("@")
    widths, _, rest = written.partition("/")
    batch, _, kind = rest.partition(":")
    numbers = widths.split("-")
    good = len(numbers) >= 3 and all(
        n.isdigit() and int(n) for n in [*numbers, batch, *([rows] if rows else [])]
    )
    if not good or kind not in KINDS:
        kinds = ", ".join(filter(None, KINDS))
        raise SystemExit(
            f"no net {text!r}; write one of {', '.join(TABLE)}, or widths/batch[:kind][@rows] with kind of {kinds}"
        )
    return Net(tuple(map(int, numbers)), int(batch), kind, int(rows or 0))


TABLE: dict[str, Net] = {}
TABLE |= {
    name: parse(name)
    for name in (
        "64-32-64/32",
        "30-16-8-16-30/128",
        "784-64-784/128",
        "784-256-64-256-784/256",
        "784-512-256-64-256-512-784/1024",
        "4096-1024-4096/4096",
        "2048-2048-256-2048-2048/2048",
    )
}


def find(text: str) -> Net:
    """A row by its name ("64-32-64/32") or its number from 1; also any other net written like that."""
    if text.isdigit() and 1 <= int(text) <= len(TABLE):
        return list(TABLE.values())[int(text) - 1]
    return parse(text)


def initial(net: Net) -> Layers:
    """Per layer W (N, M) and b (N,), float32, uniform within +-1/sqrt(M)."""
    rng = np.random.default_rng(2)
    layers = []
    for fan_in, fan_out in net.layers:
        bound = fan_in**-0.5
        w = rng.uniform(-bound, bound, (fan_out, fan_in)).astype(np.float32)
        layers.append((w, rng.uniform(-bound, bound, fan_out).astype(np.float32)))
    return layers


def data(net: Net) -> NDArray[np.float32]:
    """(n_batches * B, w0) float32 in (0, 1) of rank 8, so that the nets have something to learn.

    The rows that are checked are clear of the ReLU's kink (`clear_of_kinks`): others are replaced.
    """
    rows = _rows(net)
    x = next(rows)
    layers = initial(net)
    for start in range(0, net.n_check_steps * net.batch if net.kind == PLAIN else 0, ROWS_AT_ONCE):
        part = x[start : min(start + ROWS_AT_ONCE, net.n_check_steps * net.batch)]
        bad = np.flatnonzero(~clear_of_kinks(layers, part))
        while len(bad):
            part[bad] = next(rows)[: len(bad)]
            bad = bad[~clear_of_kinks(layers, part[bad])]
    return x


def clear_of_kinks(layers: Layers, x: NDArray[Any]) -> NDArray[np.bool_]:
    """(n,): no hidden pre-activation z of the row is so close to 0 that float32 may see its other side.

    A float32 sum of M products errs by about sqrt(M) u (|x| |w| + |b|) at most, u = 2^-24 (Higham & Mary 2019). A unit on
    the other side of its kink for a single row is a wrong step where that row is the only one that it is alive for:
    Adam's first steps have the same length for any gradient.
    """
    h, clear = x.astype(np.float64), np.ones(len(x), bool)
    for w, b in [(w.astype(np.float64), b.astype(np.float64)) for w, b in layers[:-1]]:
        z = h @ w.T + b
        error = np.sqrt(w.shape[1]) * 2.0**-24 * (h @ np.abs(w).T + np.abs(b))
        clear &= np.all(np.abs(z) > error, axis=1)
        h = np.maximum(z, 0.0)
    return clear


def _rows(net: Net) -> Iterator[NDArray[np.float32]]:
    """The data's rows first, then batches of others of the same distribution."""
    rng = np.random.default_rng(1)
    n, d = net.n_batches * net.batch, net.widths[0]
    factors = rng.standard_normal((n, 8), np.float32)
    basis = rng.standard_normal((8, d), np.float32)
    while True:
        yield (1.0 / (1.0 + np.exp(-(factors @ basis)))).astype(np.float32)
        factors = rng.standard_normal((ROWS_AT_ONCE, 8), np.float32)
