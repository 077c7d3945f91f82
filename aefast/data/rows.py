"""Rows as the engine takes them: any 2-D numeric array, memmap or sparse matrix, looked at, never copied whole."""

from __future__ import annotations

import mmap
from typing import Any

import numpy as np
from numpy.typing import NDArray

from aefast.data.sparse import SparseRows

Array = NDArray[Any]
NUMERIC_KINDS = "fiub"
# Between these a sum of any number of weights, and a quotient of two, is an ordinary float64.
SMALLEST, LARGEST = 1e-100, 1e100


def refuse_masked(name: str, value: Any) -> None:
    """ValueError for an array of numpy.ma with masked entries: what lies below a mask would be read as if it were data."""
    if isinstance(value, np.ma.MaskedArray) and np.ma.is_masked(value):
        n = np.count_nonzero(value.mask)
        raise ValueError(
            f"{name} has {n} masked {'entry' if n == 1 else 'entries'}, and masks are not heeded; drop their rows, or fill or "
            f"impute them first ({name}.filled(value), sklearn.impute)"
        )


def as_rows(X: Any, n_features: int | None = None, *, what: str = "X") -> Any:
    """X as a 2-D array (n, d) of a float, integer or boolean dtype; a view where X is an array.

    Of SciPy's sparse matrices, `SparseRows`.

    Raises TypeError for what isn't numeric, ValueError for other than two dimensions, no rows, or a width that isn't
    `n_features`.
    """
    refuse_masked(what, X)
    if hasattr(X, "tocsr"):
        X = SparseRows.from_scipy(X, what)
    rows = X if isinstance(X, SparseRows) else np.asarray(X)
    if rows.dtype.kind not in NUMERIC_KINDS:
        raise TypeError(
            f"{what} must be numeric (float, int, uint8, bool ...), but its dtype is {rows.dtype}"
        )
    if rows.dtype.kind == "f" and rows.dtype.itemsize > 8:
        raise TypeError(f"{what} has dtype {rows.dtype}; convert it to float64 first")
    if rows.ndim != 2:
        hint = (
            f"; reshape it with {what}.reshape(len({what}), -1)"
            if rows.ndim != 1
            else "; one row is X[None, :]"
        )
        raise ValueError(
            f"{what} must have two dimensions (rows, features), but has shape {rows.shape}{hint}"
        )
    if len(rows) == 0 or rows.shape[1] == 0:
        raise ValueError(f"{what} must hold at least one row and one feature, but has shape {rows.shape}")
    if n_features is not None and rows.shape[1] != n_features:
        raise ValueError(f"{what} has {rows.shape[1]} features, but {n_features} were expected")
    if isinstance(rows, SparseRows) or rows.dtype.isnative:
        return rows
    return rows.astype(rows.dtype.newbyteorder("="))


def file_backed(rows: Array | SparseRows) -> bool:
    """Whether the rows, or what sparse ones hold, lie in a memory map: an np.memmap's, or any array's on an mmap."""
    if isinstance(rows, SparseRows):
        return file_backed(rows.values) or file_backed(rows.indices)
    base: Any = rows
    while base is not None:
        if isinstance(base, mmap.mmap):  # not np.memmap: a copy of one is one by type, in memory
            return True
        base = base.obj if isinstance(base, memoryview) else getattr(base, "base", None)
    return False


def as_weights(sample_weight: Any, n: int) -> NDArray[np.float64] | None:
    """Row weights (n,) float64, finite and at least 0, not all 0; one number is every row's, and None stays None.

    Weights so small or large that sums of them would under- or overflow come divided by the largest: only ratios count.
    """
    if sample_weight is None:
        return None
    weights = _reals("sample_weight", sample_weight)
    if weights.ndim == 0:
        weights = np.full(n, float(weights))
    largest = _check_shares("sample_weight", weights, n, "row")
    return weights if SMALLEST <= largest <= LARGEST else weights / largest


def as_feature_weight(feature_weight: Any, d: int) -> NDArray[np.float64] | None:
    """Feature weights (d,) float64, finite and at least 0, not all 0; None stays None."""
    if feature_weight is None:
        return None
    weights = _reals("feature_weight", feature_weight)
    _check_shares("feature_weight", weights, d, "feature")
    return weights


def _reals(name: str, value: Any) -> NDArray[np.float64]:
    """Contiguous float64 of the value's shape; TypeError for what isn't real numbers."""
    refuse_masked(name, value)
    came = type(value).__name__
    if not hasattr(value, "tocsr"):  # NumPy would make one object of a sparse matrix
        try:
            array = np.asarray(value)
            kind = array.dtype.kind
            if kind in NUMERIC_KINDS and array.dtype.itemsize <= 8:
                return np.asarray(array, np.float64, order="C")
            came = f"{came} of dtype {array.dtype}"
            texts = kind == "O" and any(isinstance(x, (str, bytes)) for x in array.flat)
            if kind in "fO" and not texts:
                with np.errstate(over="ignore"):  # a long double beyond float64: infinity is refused
                    return np.asarray(array, np.float64, order="C")
        except (TypeError, ValueError, OverflowError):
            pass
    raise TypeError(f"{name} must hold real numbers, or be None, but is {came}; give an array of float64")


def _check_shares(name: str, weights: NDArray[np.float64], n: int, each: str) -> float:
    """The largest of weights that must be (n,), finite, at least 0 and not all 0."""
    if weights.shape != (n,):
        raise ValueError(f"{name} must have shape ({n},), one per {each}, but has shape {weights.shape}")
    least, largest = float(np.minimum.reduce(weights)), float(np.maximum.reduce(weights))
    if least >= 0 and 0 < largest < np.inf:  # NaN compares false
        return largest
    bad = np.flatnonzero(~(np.isfinite(weights) & (weights >= 0)))
    why = f"that of {each} {bad[0]} is {weights[bad[0]]}" if len(bad) else "all are 0"
    raise ValueError(f"{name} must be finite, at least 0, and not all zero, but {why}")
