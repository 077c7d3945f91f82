"""Data on its way in: checked whole before anything is touched, never converted whole."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import issparse
from sklearn.utils.validation import _get_feature_names, check_array, validate_data

from aefast.data.rows import refuse_masked
from aefast.data.scaling import Scaling, blocks, column_range
from aefast.data.sparse import SparseRows

Array = NDArray[Any]
# Scaled targets may leave [0, 1] by float32's rounding.
UNIT_SLACK = 1e-6


def rows(estimator: Any, X: Any, *, name: str = "X", sparse: bool = True) -> Any:
    """X as a 2-D array (n, d) of a numeric dtype, all values finite; of its own dtype and memory where that is numeric.

    Of sparse input, `SparseRows`; TypeError where `sparse` is false.
    Raises ValueError or TypeError for other shapes, strings, complex and empty input, NaN and infinity.
    """
    refuse_masked(name, X)
    # check_array gives back a numeric matrix as it came, but takes longer than to encode a few rows.
    if type(X) is not np.ndarray or X.ndim != 2 or X.dtype.kind not in "fiu" or 0 in X.shape:
        X = check_array(
            X,
            accept_sparse="csr" if sparse else False,
            dtype="numeric",
            ensure_all_finite=False,
            input_name=name,
            estimator=estimator,
        )
    if issparse(X):
        csr = SparseRows.from_scipy(X, name)
        bad = np.flatnonzero(~np.isfinite(csr.values))
        if len(bad):
            row = np.searchsorted(csr.indptr, bad[0], side="right") - 1
            raise _not_finite(name, csr.values[bad[0]], int(row), int(csr.indices[bad[0]]))
        return csr
    if X.dtype == np.bool_:
        X = X.view(np.uint8)
    if X.dtype.kind not in "fiu":
        raise ValueError(
            f"{name} must hold numbers, but its dtype is {X.dtype}; convert it with astype(float)"
        )
    if not X.dtype.isnative:
        X = X.astype(X.dtype.newbyteorder("="))
    if X.dtype.itemsize > 8:
        X = X.astype(np.float64)
    _check_finite(X, name)
    array: Array = X
    return array


def match(estimator: Any, X: Any, *, reset: bool) -> None:
    """Takes X's number and names of features (reset), or holds them against those of fit; ValueError if they differ."""
    validate_data(estimator, X, reset=reset, skip_check_array=True)


def same_names(X: Any, X_val: Any) -> None:
    """ValueError where both have names of features, and others or in another order."""
    names, others = (_get_feature_names(x) for x in (X, X_val))
    if names is not None and others is not None and list(names) != list(others):
        first = next(i for i, (a, b) in enumerate(zip(names, others, strict=True)) if a != b)
        raise ValueError(
            f"X_val must have the columns of X in the same order, but its column {first} is {others[first]!r}, "
            f"not {names[first]!r}; use X_val[X.columns]"
        )


def same_images(X: Any, X_val: Any) -> None:
    """ValueError where both hold images, and others or in another order of axes."""
    shapes = [getattr(x, "shape", ())[1:] for x in (X, X_val)]
    if min(map(len, shapes)) > 1 and shapes[0] != shapes[1]:
        raise ValueError(f"X_val must hold images of X's shape {shapes[0]}, but they have {shapes[1]}")


def code_rows(estimator: Any, Z: Any, n_components: int) -> Any:
    """Z (n, L) like `rows`, of the fitted code's width."""
    codes = rows(estimator, Z, name="Z")
    if codes.shape[1] != n_components:
        raise ValueError(
            f"Z has {codes.shape[1]} columns, but this {type(estimator).__name__}'s code has {n_components}; "
            "inverse_transform takes what transform gives"
        )
    return codes


def unit_interval(X: Array, scaling: Scaling, *, name: str = "X") -> None:
    """ValueError if a value of X, scaled, leaves [0, 1], which is all that the loss "bce" can reconstruct."""
    low, high = column_range(X)
    low, high = scaling.forward(low[None])[0], scaling.forward(high[None])[0]
    if low.min() >= -UNIT_SLACK and high.max() <= 1 + UNIT_SLACK:
        return
    column = int(np.argmax(np.maximum(-low, high - 1)))
    raise ValueError(
        f"loss='bce' needs targets in [0, 1], but {name} after scaling reaches from {low.min():g} to {high.max():g} "
        f"(worst in column {column}); choose scaling='pixel' for 0..255, scaling='minmax', or loss='mse'"
    )


def _check_finite(X: Array, name: str) -> None:
    if X.dtype.kind != "f":
        return
    for part in blocks(*X.shape):
        block = X[part]
        # One sum answers for a clean block; only a suspicious one is looked at value by value.
        with np.errstate(over="ignore", invalid="ignore"):
            clean = np.isfinite(block.sum())
        if clean:
            continue
        bad = np.argwhere(~np.isfinite(block))
        if len(bad):
            row, column = (int(i) for i in bad[0])
            raise _not_finite(name, block[row, column], part.start + row, column)


def _not_finite(name: str, value: Any, row: int, column: int) -> ValueError:
    what = "NaN" if np.isnan(value) else "inf (infinity)"
    return ValueError(
        f"{name} contains {what} at row {row}, column {column}; drop or impute such values first (sklearn.impute)"
    )
