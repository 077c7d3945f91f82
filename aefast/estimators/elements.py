"""The loss value by value: where a model doesn't rebuild a row."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from aefast import losses
from aefast.data.scaling import blocks

Array = NDArray[Any]
# A sigmoid that has been rounded to 0 or 1 was within a float32's half step of it.
NEAREST = 2.0**-25


def losses_of(model: Any, rows: Any) -> Array:
    """l(r_j, x_j) of each value of rows (n, d), dense or CSR, in scaled space: (n, d) in the model's dtype.

    r is what the code, of a variational model its mean, decodes to.
    """
    result = np.empty(rows.shape, np.float64 if model.dtype == "float64" else np.float32)
    for part in blocks(*rows.shape):
        result[part] = _block(model, rows[part])
    return result


def row_losses(model: Any, rows: Any) -> Array:
    """(n,) sums of `losses_of` by the model's reduction: (n,); no (n, d) array is made."""
    settings = model.trainer_.settings
    factor = losses.element_scale(settings.reduction, model.n_features_in_)
    result = np.empty(rows.shape[0], np.float64 if model.dtype == "float64" else np.float32)
    for part in blocks(*rows.shape):
        result[part] = factor * _block(model, rows[part]).sum(axis=1)
    return result


def _block(model: Any, rows: Any) -> NDArray[np.float64]:
    trainer = model.trainer_
    loss = losses.get(trainer.settings.loss)
    x = rows.toarray() if hasattr(rows, "tocsr") else np.asarray(rows)
    r, t = (model.scaling_.forward(values) for values in (trainer.reconstruct(x), x))
    if loss.on_logits:
        r = np.clip(r, NEAREST, 1 - NEAREST)
        r = np.log(r) - np.log1p(-r)
    value: NDArray[np.float64] = loss.value(r, t)
    return value
