"""Scaling of the features: what the gather does to each row, and back again for reconstructions.

Statistics are taken in float64 over blocks of rows, so a memory-mapped or uint8 array is never copied whole.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from aefast.errors import unknown_name

F64 = NDArray[np.float64]
# Values a block may hold: 8 MiB as float64, enough to amortise NumPy's call overhead.
BLOCK_VALUES = 1 << 20
PIXEL_FACTOR = 1.0 / 255.0


@dataclass(frozen=True, eq=False)
class Scaling:
    """x -> (x - shift) * scale in float64, or x -> x * factor in the compute dtype.

    Parameters
    ----------
    shift, scale : (d,) float64 or None
        Both or neither; in X's units and their inverse.
    factor : float
        Used when shift is None; 1 leaves the data alone.
    """

    shift: F64 | None = None
    scale: F64 | None = None
    factor: float = 1.0

    def __post_init__(self) -> None:
        if (self.shift is None) != (self.scale is None):
            raise ValueError("Scaling needs both shift and scale, or neither; leave out both to use factor")

    @classmethod
    def from_data(cls, kind: str | None, X: NDArray[Any], sample_weight: ArrayLike | None = None) -> Scaling:
        """The scaling named `kind`, with statistics of X (n, d), any numeric dtype and strides.

        "standard": mean 0, variance 1 (rows weighted by sample_weight). "minmax": each feature to [0, 1]
        (rows of weight 0 left out). "global": mean 0, variance 1 of all values together, for images. "pixel": x / 255.
        None: as it is. A constant feature is only shifted.
        """
        if kind is None:
            return cls()
        if not isinstance(kind, str) or kind not in TABLE:
            raise unknown_name("scaling", kind, [*TABLE, "None"])
        weight = None if sample_weight is None else np.asarray(sample_weight, np.float64)
        return TABLE[kind](X, weight)

    def forward(self, X: NDArray[Any]) -> F64:
        """X (n, d) in scaled space, float64."""
        if self.shift is None or self.scale is None:
            return np.asarray(X, np.float64) * self.factor
        return (np.asarray(X, np.float64) - self.shift) * self.scale

    def inverse(self, R: NDArray[Any]) -> NDArray[Any]:
        """R (n, d) from scaled space back to X's units, in R's dtype; the arithmetic is float64."""
        if self.shift is None or self.scale is None:
            return R if self.factor == 1.0 else (np.asarray(R, np.float64) / self.factor).astype(R.dtype)
        result = np.empty_like(R)
        for rows in blocks(*R.shape):
            result[rows] = np.asarray(R[rows], np.float64) / self.scale + self.shift
        return result


def blocks(n: int, d: int) -> Iterator[slice]:
    """Slices of rows that hold about BLOCK_VALUES values each."""
    step = max(1, BLOCK_VALUES // max(d, 1))
    for start in range(0, n, step):
        yield slice(start, min(start + step, n))


def column_range(X: NDArray[Any], keep: NDArray[np.bool_] | None = None) -> tuple[F64, F64]:
    """Least and greatest value of each column of X (n, d): two (d,) float64; `keep` (n,) picks rows."""
    low, high = np.full(X.shape[1], np.inf), np.full(X.shape[1], -np.inf)
    for rows in blocks(*X.shape):
        part = X[rows] if keep is None else X[rows][keep[rows]]
        if len(part):
            np.minimum(low, part.min(axis=0), out=low)
            np.maximum(high, part.max(axis=0), out=high)
    return low, high


def mean_and_variance(X: NDArray[Any], weight: F64 | None = None) -> tuple[F64, F64]:
    """Weighted mean and (population) variance of each column: two (d,) float64.

    Blocks are merged by the update of Chan, Golub & LeVeque (1983), which doesn't cancel.
    """
    total, mean, squares = 0.0, np.zeros(X.shape[1]), np.zeros(X.shape[1])
    for rows in blocks(*X.shape):
        part = np.asarray(X[rows], np.float64)
        w = np.ones(len(part)) if weight is None else weight[rows]
        share = float(w.sum())
        if share == 0.0:
            continue
        # Not `w @ part`: BLAS rounds by its number of threads.
        part_mean = np.einsum("i,ij->j", w, part) / share
        part_squares = np.einsum("i,ij->j", w, (part - part_mean) ** 2)
        step = part_mean - mean
        squares += part_squares + step**2 * (total * share / (total + share))
        mean += step * (share / (total + share))
        total += share
    return mean, squares / max(total, np.finfo(np.float64).tiny)


def _check_range(X: NDArray[Any], statistic: F64) -> None:
    """ValueError for a column whose squares or span float64 can't hold."""
    bad = np.flatnonzero(~np.isfinite(statistic))
    if len(bad):
        low, high = column_range(X)
        raise ValueError(
            f"column {bad[0]} reaches from {low[bad[0]]:g} to {high[bad[0]]:g}, too far to be scaled in float64; "
            "divide it by a constant first"
        )


def _standard(X: NDArray[Any], weight: F64 | None) -> Scaling:
    with np.errstate(over="ignore", invalid="ignore"):
        mean, variance = mean_and_variance(X, weight)
    _check_range(X, mean + variance)
    # The rounding error that a constant column of this mean may show as variance.
    noise = len(X) * np.finfo(np.float64).eps
    constant = variance <= noise * variance + (noise * mean) ** 2
    return Scaling(shift=mean, scale=1.0 / np.sqrt(np.where(constant, 1.0, variance)))


def _minmax(X: NDArray[Any], weight: F64 | None) -> Scaling:
    low, high = column_range(X, None if weight is None else weight > 0)
    with np.errstate(over="ignore"):
        span = high - low
    _check_range(X, span)
    tiny = np.finfo(np.float64).tiny
    return Scaling(shift=low, scale=np.where(span > tiny, 1.0 / np.maximum(span, tiny), 1.0))


def _global(X: NDArray[Any], weight: F64 | None) -> Scaling:
    with np.errstate(over="ignore", invalid="ignore"):
        mean, variance = mean_and_variance(X, weight)
        # The columns weigh alike: what lies between their means comes on top of what lies within them.
        middle = float(mean.mean())
        spread = float(variance.mean() + np.mean((mean - middle) ** 2))
    _check_range(X, mean + variance + spread)
    noise = X.shape[0] * np.finfo(np.float64).eps
    constant = spread <= noise * spread + (noise * middle) ** 2
    d = X.shape[1]
    return Scaling(shift=np.full(d, middle), scale=np.full(d, 1.0 if constant else 1.0 / np.sqrt(spread)))


TABLE: dict[str, Callable[[NDArray[Any], F64 | None], Scaling]] = {
    "standard": _standard,
    "minmax": _minmax,
    "global": _global,
    "pixel": lambda X, weight: Scaling(factor=PIXEL_FACTOR),
}
