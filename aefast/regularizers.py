"""Corruption of the input and penalties on the code: the tables and their checked settings."""

from __future__ import annotations

import math
from dataclasses import dataclass

from aefast import checks

CORRUPTIONS: tuple[str, ...] = ("gaussian", "masking", "salt_and_pepper")
CORRUPTION_CODES: dict[str, int] = {name: code for code, name in enumerate(CORRUPTIONS)}
PENALTIES: tuple[str, ...] = ("kl", "l1", "l2")
PENALTY_CODES: dict[str, int] = {name: code for code, name in enumerate(PENALTIES)}
# The batch mean of a unit is clamped to [KL_CLAMP, 1 - KL_CLAMP] in the KL penalty; the gradient uses the clamped mean,
# so that a dead unit is still pulled towards the target.
KL_CLAMP = 1e-6
# A variational code's log variance counts as no larger than this, in the value and in the gradient's formula, which so still
# pulls it down: one odd row would overflow exp(logvar) and end the training. The prior's is 0, a standard deviation of
# 148 no encoder needs.
LOGVAR_MAX = 10.0


@dataclass(frozen=True)
class Corruption:
    """What a denoising autoencoder does to its input, drawn anew each epoch (Vincent et al. 2010).

    Parameters
    ----------
    kind : {"gaussian", "masking", "salt_and_pepper"}
        x + level * normal; zero with probability level; `low` or `high`, each with probability level / 2.
    level : float
        Standard deviation (gaussian, >= 0) or probability (in [0, 1]), in scaled space.
    low, high : float
        The two extremes of salt_and_pepper, in scaled space.
    """

    kind: str = "gaussian"
    level: float = 0.3
    low: float = 0.0
    high: float = 1.0

    def __post_init__(self) -> None:
        checks.choice(CORRUPTIONS)("corruption", self.kind)
        most = math.inf if self.kind == "gaussian" else 1.0
        checks.real(0.0, most)(f"corruption level of {self.kind!r}", self.level)
        checks.finite("corruption low", self.low)
        checks.finite("corruption high", self.high)
        for name in ("level", "low", "high"):
            object.__setattr__(self, name, checks.plain(getattr(self, name)))


@dataclass(frozen=True)
class Sparsity:
    """A penalty on the code h (B, L), rows weighted by w_b / sum w.

    Parameters
    ----------
    kind : {"kl", "l1", "l2"}
        weight * sum_j KL(target || mean_b h_bj) for a code in (0, 1) (Ng 2011);
        weight * mean_b sum_j abs(h_bj); weight * mean_b sum_j h_bj^2.
    weight : float
        At least 0.
    target : float
        rho, the wanted mean activation, in (0, 1); kl only.
    """

    kind: str = "kl"
    weight: float = 1e-3
    target: float = 0.05

    def __post_init__(self) -> None:
        checks.choice(PENALTIES)("sparsity", self.kind)
        checks.real(0.0)("sparsity weight", self.weight)
        in_range = checks.real(0.0, 1.0, above=True, below=True) if self.kind == "kl" else checks.finite
        in_range("the sparsity target rho", self.target)
        for name in ("weight", "target"):
            object.__setattr__(self, name, checks.plain(getattr(self, name)))
