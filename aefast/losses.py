"""The reconstruction losses: one row each, numbered by their place in the table.

`value(r, t)` and `derivative(r, t)` are per element, by the reconstruction r. A loss "on logits" takes the
pre-activation z of a sigmoid instead of r, so that saturation costs no accuracy (Bishop 2006, eq. 4.108).

With row weights w_i and feature weights f_j over a batch, `reduction="sum"` is
sum_i w_i sum_j f_j l_ij / sum_i w_i, and "mean" is that divided by the number of features.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from aefast.errors import unknown_name

Array = NDArray[Any]
HUBER_THRESHOLD = 1.0
REDUCTIONS = ("mean", "sum")


@dataclass(frozen=True)
class Loss:
    """One loss. `log_normaliser` is added per feature to make the loss a negative log-likelihood in nats."""

    name: str
    value: Callable[[Array, Array], Any]
    derivative: Callable[[Array, Array], Any]
    on_logits: bool = False
    likelihood: str | None = None
    log_normaliser: float = 0.0


def _bce(z: Array, t: Array) -> Any:
    return np.maximum(z, 0) - z * t + np.log1p(np.exp(-np.abs(z)))


def _bce_derivative(z: Array, t: Array) -> Any:
    e = np.exp(-np.abs(z))
    return np.where(z >= 0, 1, e) / (1 + e) - t


def _huber(r: Array, t: Array) -> Any:
    e = np.abs(r - t)
    return np.where(e <= HUBER_THRESHOLD, 0.5 * e * e, HUBER_THRESHOLD * (e - 0.5 * HUBER_THRESHOLD))


TABLE: tuple[Loss, ...] = (
    Loss(
        "mse",
        lambda r, t: (r - t) ** 2,
        lambda r, t: 2 * (r - t),
        likelihood="Gaussian, variance 1/2",
        log_normaliser=0.5 * math.log(math.pi),
    ),
    Loss("bce", _bce, _bce_derivative, on_logits=True, likelihood="Bernoulli"),
    Loss(
        "mae",
        lambda r, t: np.abs(r - t),
        lambda r, t: np.sign(r - t),
        likelihood="Laplace(1)",
        log_normaliser=math.log(2.0),
    ),
    Loss("huber", _huber, lambda r, t: np.clip(r - t, -HUBER_THRESHOLD, HUBER_THRESHOLD)),
)
NAMES: tuple[str, ...] = tuple(row.name for row in TABLE)
CODES: dict[str, int] = {name: code for code, name in enumerate(NAMES)}


def get(name: str) -> Loss:
    """The table's row of that name; ValueError with the nearest right name otherwise."""
    if not isinstance(name, str) or name not in CODES:
        raise unknown_name("loss", name, NAMES)
    return TABLE[CODES[name]]


def element_scale(reduction: str, n_features: int) -> float:
    """The factor on a row's summed loss: 1/d for "mean", 1 for "sum"."""
    if not isinstance(reduction, str) or reduction not in REDUCTIONS:
        raise unknown_name("reduction", reduction, REDUCTIONS)
    return 1.0 / n_features if reduction == "mean" else 1.0
