"""The optimizers: frozen dataclasses without state; their slots live in the trainer's flat buffers.

Each row names its update rule's code (its place in the table), the number of slots, whether weight decay is decoupled
from the gradient, and how its constants fill the three numbers h0, h1, h2 of the op `update`. Weight decay acts on
weights, never on biases. The rules themselves are written in `backends/numpy/ops.py` (the reference) and `csrc/common/rules.h`.
"""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from aefast.checks import Check, plain, real, shown
from aefast.errors import unknown_name

_decay_rate = real(0.0, 1.0, below=True)
# What each field may be, whichever row has it.
FIELDS: dict[str, Check] = {
    "learning_rate": real(0.0, none=True),
    "weight_decay": real(0.0, none=True),
    "momentum": _decay_rate,
    "alpha": _decay_rate,
    "beta1": _decay_rate,
    "beta2": _decay_rate,
    "eps": real(0.0, above=True),
}


@dataclass(frozen=True)
class Optimizer:
    """Base of the table's rows.

    Parameters
    ----------
    learning_rate : float or None
        Overrides the trainer's when given.
    weight_decay : float or None
        Overrides the trainer's when given.
    """

    learning_rate: float | None = None
    weight_decay: float | None = None

    name: ClassVar[str]
    n_slots: ClassVar[int] = 0
    decoupled_decay: ClassVar[bool] = False

    def __post_init__(self) -> None:
        for field in fields(self):
            if field.name in FIELDS:
                value = getattr(self, field.name)
                FIELDS[field.name](field.name, value)
                object.__setattr__(self, field.name, plain(value))

    @property
    def constants(self) -> tuple[float, float, float]:
        """(h0, h1, h2) of the op `update`."""
        return (0.0, 0.0, 0.0)

    def bias_corrections(self, t: NDArray[np.int64]) -> NDArray[np.float64]:
        """(n, 2): the factors c1, c2 on the moments at update number t = 1, 2, ..."""
        return np.ones((len(t), 2))


@dataclass(frozen=True)
class SGD(Optimizer):
    """w -= lr g."""

    name: ClassVar[str] = "sgd"


@dataclass(frozen=True)
class Momentum(Optimizer):
    """s = momentum s + g; w -= lr s (Polyak 1964)."""

    momentum: float = 0.9
    name: ClassVar[str] = "momentum"
    n_slots: ClassVar[int] = 1

    @property
    def constants(self) -> tuple[float, float, float]:
        """See `Optimizer`."""
        return (self.momentum, 0.0, 0.0)


@dataclass(frozen=True)
class Nesterov(Momentum):
    """s = momentum s + g; w -= lr (g + momentum s) (Sutskever et al. 2013, in the look-ahead form)."""

    name: ClassVar[str] = "nesterov"


@dataclass(frozen=True)
class RMSprop(Optimizer):
    """v = alpha v + (1 - alpha) g^2; w -= lr g / (sqrt(v) + eps) (Tieleman & Hinton 2012)."""

    alpha: float = 0.99
    eps: float = 1e-8
    name: ClassVar[str] = "rmsprop"
    n_slots: ClassVar[int] = 1

    @property
    def constants(self) -> tuple[float, float, float]:
        """See `Optimizer`."""
        return (self.alpha, 0.0, self.eps)


@dataclass(frozen=True)
class Adam(Optimizer):
    """Kingma & Ba 2015, algorithm 1, with bias correction; weight decay is added to the gradient."""

    beta1: float = 0.9
    beta2: float = 0.999
    eps: float = 1e-8
    name: ClassVar[str] = "adam"
    n_slots: ClassVar[int] = 2

    @property
    def constants(self) -> tuple[float, float, float]:
        """See `Optimizer`."""
        return (self.beta1, self.beta2, self.eps)

    def bias_corrections(self, t: NDArray[np.int64]) -> NDArray[np.float64]:
        """See `Optimizer`: 1 / (1 - beta^t)."""
        powers = np.power(np.array([self.beta1, self.beta2]), t[:, None])
        return np.asarray(1.0 / (1.0 - powers), np.float64)


@dataclass(frozen=True)
class AdamW(Adam):
    """Adam with decoupled weight decay, w *= 1 - lr weight_decay first (Loshchilov & Hutter 2019)."""

    name: ClassVar[str] = "adamw"
    decoupled_decay: ClassVar[bool] = True


@dataclass(frozen=True)
class Lion(Optimizer):
    """u = sign(beta1 m + (1 - beta1) g); w -= lr u; m = beta2 m + (1 - beta2) g (Chen et al. 2023); decoupled decay."""

    beta1: float = 0.9
    beta2: float = 0.99
    name: ClassVar[str] = "lion"
    n_slots: ClassVar[int] = 1
    decoupled_decay: ClassVar[bool] = True

    @property
    def constants(self) -> tuple[float, float, float]:
        """See `Optimizer`."""
        return (self.beta1, self.beta2, 0.0)


TABLE: tuple[type[Optimizer], ...] = (SGD, Momentum, Nesterov, RMSprop, Adam, AdamW, Lion)
NAMES: tuple[str, ...] = tuple(row.name for row in TABLE)
CODES: dict[str, int] = {name: code for code, name in enumerate(NAMES)}


def get(optimizer: Any) -> Optimizer:
    """A row by name with its defaults, or the dataclass itself; ValueError or TypeError otherwise."""
    if isinstance(optimizer, str):
        if optimizer not in CODES:
            raise unknown_name("optimizer", optimizer, NAMES)
        return TABLE[CODES[optimizer]]()
    if isinstance(optimizer, TABLE) and type(optimizer) in TABLE:
        return optimizer
    wanted = "optimizer must be a name or an aefast.optim dataclass"
    if isinstance(optimizer, type) and optimizer in TABLE:
        raise TypeError(f"{wanted}, but is the class; write {optimizer.__name__}()")
    if isinstance(optimizer, Optimizer):
        rows = ", ".join(row.__name__ for row in TABLE)
        raise TypeError(f"{wanted} ({rows}), but is {type(optimizer).__name__}, which no backend knows")
    raise TypeError(f"{wanted}, but is {type(optimizer).__name__} {shown(optimizer)}")
