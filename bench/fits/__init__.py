"""Whole fits that are compared: which data sets, and who fits them.

Each contender's module has a function named by `function`:

    f(data, seed, epochs) -> Fitted

It is called once with one epoch before it is timed, and once a seed afterwards, in a process of its own.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True)
class Data:
    """Rows to learn from (n, d), rows to be judged by (m, d), and of the latter which are anomalies (m,), if any are."""

    train: NDArray[Any]
    test: NDArray[Any]
    anomaly: NDArray[np.bool_] | None = None


@dataclass(frozen=True)
class Fitted:
    """Seconds by what they were spent on, scores by name, versions."""

    seconds: dict[str, float]
    scores: dict[str, float]
    versions: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Entry:
    module: str
    function: str
    requires: str
    what: str
    alike: bool = True  # the same computation as aefast's; others are shown apart


@dataclass(frozen=True)
class Subject:
    """A comparison of fits: its data sets by name, made for a seed; its contenders, the own one first."""

    title: str
    epochs: int
    main: str  # the seconds that the ratio is of
    contenders: dict[str, Entry]
    data: dict[str, Callable[[int], Data]]
    about: str
    fallback: str | None = None  # data used, and said to be, where none of the others is here


def plain_loop(rate: float, batch: int, epochs: int, seed: int) -> dict[str, Any]:
    """Of an estimator that trains like a plain loop: a constant Adam, every epoch."""
    return {
        "learning_rate": rate,
        "schedule": "constant",
        "weight_decay": 0.0,
        "batch_size": batch,
        "epochs": epochs,
        "n_iter_no_change": epochs + 1,
        "random_state": seed,
    }


def autoencoder(*hidden: int, rate: float, batch: int, epochs: int, seed: int, **options: Any) -> Any:
    """An `aefast.Autoencoder` of hidden layers and the code in a `plain_loop`."""
    import aefast

    loop = plain_loop(rate, batch, epochs, seed)
    return aefast.Autoencoder(hidden[-1], hidden_layer_sizes=hidden[:-1], **loop, **options)


def subject(name: str) -> Subject:
    from bench.fits import anomaly, conv_images, images

    return {"pyod": anomaly.SUBJECT, "fashion": images.SUBJECT, "fashion-conv": conv_images.SUBJECT}[name]
