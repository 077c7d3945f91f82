"""The nets that are measured, their data and their initial weights. What a step must do to them: `bench.reference`.

A step is forward, backward and Adam (1e-3, 0.9, 0.999, 1e-8) on one batch; hidden layers are ReLU, the output
is a sigmoid, the loss the squared error averaged over batch and features. The code layer is a hidden layer
like the others. Nets of another kind (`KINDS`) are aefast's alone. Convolutional nets: `bench.conv_nets`.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bench import conv_nets, epochs
from bench.conv_nets import ConvNet, Single
from bench.products import Dense, bound

Layers = list[tuple[NDArray[np.float32], NDArray[np.float32]]]
LEARNING_RATE, BETA1, BETA2, EPS = 1e-3, 0.9, 0.999, 1e-8


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
    family: str = "dense"
    gain: float = 1.0

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
    def products(self) -> tuple[Dense, ...]:
        return tuple(Dense(m, n) for m, n in self.layers)

    @property
    def rectified(self) -> tuple[bool, ...]:
        """Of each layer: a ReLU? The last one has the sigmoid."""
        return (True,) * (len(self.layers) - 1) + (False,)

    @property
    def n_features(self) -> int:
        return self.widths[0]

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
        return epochs.n_batches(self.batch, self.n_features, self.flops)

    @property
    def n_check_steps(self) -> int:
        """Steps compared with the reference before timing."""
        return epochs.n_check_steps(self.flops, self.n_batches)


AnyNet = Net | ConvNet | Single


def parse(text: str) -> AnyNet:
    """The net written as widths/batch, widths/batch:kind, or either with @rows, or as `conv_nets` says; SystemExit for what
    isn't one."""
    net = conv_nets.parse(text) or _parse_dense(text)
    if net is None:
        kinds = ", ".join(filter(None, KINDS))
        known = ", ".join(name for table in SETS.values() for name in table)
        raise SystemExit(
            f"no net {text!r}; write one of {known}, or widths/batch[:kind][@rows] with kind of {kinds}, or "
            "conv:CxHxW:N-...:kKsS[pP]:L/B, or layer:CxHxW:N:kKsS[pP]/B"
        )
    return net


def _parse_dense(text: str) -> Net | None:
    written, _, rows = text.partition("@")
    widths, _, rest = written.partition("/")
    batch, _, kind = rest.partition(":")
    numbers = widths.split("-")
    good = len(numbers) >= 3 and all(
        n.isdigit() and int(n) for n in [*numbers, batch, *([rows] if rows else [])]
    )
    return Net(tuple(map(int, numbers)), int(batch), kind, int(rows or 0)) if good and kind in KINDS else None


SETS: dict[str, dict[str, AnyNet]] = {"dense": {}, "conv": {}}
TABLE = SETS["dense"]
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
SETS["conv"] |= {name: parse(name) for name in conv_nets.NAMES}


def find(text: str, table: str = "dense") -> AnyNet:
    """A row of a set by its name ("64-32-64/32") or its number from 1; also any other net written like that."""
    if text.isdigit() and 1 <= int(text) <= len(SETS[table]):
        return list(SETS[table].values())[int(text) - 1]
    return parse(text)


def initial(net: AnyNet) -> Layers:
    """Per layer w and b, float32, uniform within +-gain/sqrt(fan-in). Dense: (N, M) and (N,)."""
    rng = np.random.default_rng(2)
    layers = []
    for product in net.products:
        limit = bound(product, net.gain)
        w = rng.uniform(-limit, limit, product.weight_shape).astype(np.float32)
        layers.append((w, rng.uniform(-limit, limit, product.n_bias).astype(np.float32)))
    return layers
