"""The activations: one row each, found by name, numbered by their place in the table.

`function(z)` and `derivative(saved)` are the NumPy reference. `saved` is what a forward pass must keep for the
backward pass: the output h where the derivative follows from it without loss, else the pre-activation z.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from aefast.errors import unknown_name

Array = NDArray[Any]
LEAKY_SLOPE = 0.01
SQRT_HALF = math.sqrt(0.5)
INV_SQRT_2PI = 1.0 / math.sqrt(2.0 * math.pi)
# A ufunc, so that array-likes with rules of their own (`aefast.testing.bounded`) can take part.
_ERFC: Any = np.frompyfunc(math.erfc, 1, 1)


@dataclass(frozen=True)
class Activation:
    """One activation. `low` and `high` bound its open range (for checks such as KL's need of (0, 1))."""

    name: str
    function: Callable[[Array], Any]
    derivative: Callable[[Array], Any]
    saved: Literal["output", "preactivation"] = "output"
    low: float = -math.inf
    high: float = math.inf
    gain: float = 1.0
    """Initial weights are uniform with variance gain^2 / fan_in-average: 2^0.5 for the relu kind (He), 1 else (Glorot)."""


def _sigmoid(z: Array) -> Any:
    e = np.exp(-np.abs(z))
    return np.where(z >= 0, 1, e) / (1 + e)


def _softplus(z: Array) -> Any:
    return np.maximum(z, 0) + np.log1p(np.exp(-np.abs(z)))


def _normal_cdf(z: Array) -> Any:
    # erfc keeps the negative tail, where 1 + erf cancels.
    return 0.5 * _ERFC(-z * SQRT_HALF).astype(z.dtype)


def _gelu(z: Array) -> Any:
    return z * _normal_cdf(z)


def _gelu_derivative(z: Array) -> Any:
    return _normal_cdf(z) + z * INV_SQRT_2PI * np.exp(-0.5 * z * z)


def _silu_derivative(z: Array) -> Any:
    s = _sigmoid(z)
    return s * (1 + z * (1 - s))


_HE = math.sqrt(2.0)

TABLE: tuple[Activation, ...] = (
    Activation("identity", lambda z: z, np.ones_like),
    Activation("relu", lambda z: np.maximum(z, 0), lambda h: (h > 0).astype(h.dtype), low=0.0, gain=_HE),
    Activation(
        "leaky_relu",
        lambda z: np.where(z > 0, z, LEAKY_SLOPE * z),
        lambda h: np.where(h > 0, 1.0, LEAKY_SLOPE).astype(h.dtype),
        gain=_HE,
    ),
    Activation(
        "elu",
        lambda z: np.where(z > 0, z, np.expm1(np.minimum(z, 0))),
        lambda h: np.where(h > 0, 1, h + 1).astype(h.dtype),
        low=-1.0,
        gain=_HE,
    ),
    Activation("gelu", _gelu, _gelu_derivative, saved="preactivation", low=-0.17, gain=_HE),
    Activation(
        "silu", lambda z: z * _sigmoid(z), _silu_derivative, saved="preactivation", low=-0.28, gain=_HE
    ),
    Activation("tanh", np.tanh, lambda h: 1 - h * h, low=-1.0, high=1.0),
    Activation("sigmoid", _sigmoid, lambda h: h * (1 - h), low=0.0, high=1.0),
    Activation("softplus", _softplus, lambda h: -np.expm1(-h), low=0.0),
)
NAMES: tuple[str, ...] = tuple(row.name for row in TABLE)
CODES: dict[str, int] = {name: code for code, name in enumerate(NAMES)}


def get(name: str) -> Activation:
    """The table's row of that name; ValueError with the nearest right name otherwise."""
    if not isinstance(name, str) or name not in CODES:
        raise unknown_name("activation", name, NAMES)
    return TABLE[CODES[name]]
