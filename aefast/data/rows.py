"""Rows as the engine takes them: any 2-D numeric array, memmap or sparse matrix, looked at, never copied whole."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from aefast.data.sparse import SparseRows

NUMERIC_KINDS = "fiub"


def as_rows(X: Any, n_features: int | None = None, *, what: str = "X") -> Any:
    """X as a 2-D array (n, d) of a float, integer or boolean dtype; a view where X is an array.

    Of SciPy's sparse matrices, `SparseRows`.

    Raises TypeError for what isn't numeric, ValueError for other than two dimensions, no rows, or a width that isn't
    `n_features`.
    """
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


def as_weights(sample_weight: Any, n: int) -> NDArray[np.float64] | None:
    """Row weights (n,) float64, finite and at least 0, not all 0; None stays None."""
    if sample_weight is None:
        return None
    weights = np.ascontiguousarray(sample_weight, np.float64)
    if weights.ndim == 0:
        weights = np.full(n, float(weights))
    if weights.shape != (n,):
        raise ValueError(f"sample_weight must have shape ({n},), one per row, but has shape {weights.shape}")
    if not np.isfinite(weights).all() or (weights < 0).any() or not weights.any():
        raise ValueError("sample_weight must be finite, at least 0, and not all zero")
    return weights
