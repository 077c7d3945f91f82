"""What both directions of a convolution have in common, once it is known which sides they join."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from aefast import activations, checks, losses
from aefast.data.rows import as_weights
from aefast.geometry import Geometry
from aefast.ops.checks import Array, check, check_loss, group, implementation, output
from aefast.ops.images import Images, Side, image_side, map_side, need_saved

CONV2D, CONV_TRANSPOSE2D = "conv2d", "conv_transpose2d"


@dataclass(frozen=True)
class Setting:
    """How a call was made: the op's kind, what it joins, and where it runs."""

    kind: str
    geometry: Geometry
    batch: int
    layout: str
    backend: str
    compute_dtype: str | None

    @property
    def read(self) -> Side:
        """(height, width, channels) of what the forward pass reads."""
        return image_side(self.geometry) if self.kind == CONV2D else map_side(self.geometry)

    @property
    def wrote(self) -> Side:
        """(height, width, channels) of what it writes."""
        return map_side(self.geometry) if self.kind == CONV2D else image_side(self.geometry)

    def images(
        self, op: str, like: Array, act: str | None = None, loss: str | None = None
    ) -> tuple[Any, Images]:
        """A backend's ops, and the call's arrays."""
        name = f"{self.kind}_{op}"
        ops = implementation(self.backend, name, like, act=act, loss=loss, compute_dtype=self.compute_dtype)
        return ops, Images(ops, self.layout, self.batch, like.dtype)

    def weight(self, w: Array) -> Array:
        """(out_channels, K)."""
        return np.ascontiguousarray(w).reshape(self.geometry.out_channels, -1)


def pair(name: str, value: Any, low: int = 1) -> tuple[int, int]:
    """An integer, or two (y, x), of at least `low`."""
    items = (value, value) if checks.is_integer(value) else group(name, value, 2, "two integers (y, x)")
    for item in items:
        checks.integer(low)(name, item)
    return int(items[0]), int(items[1])


def act(
    setting: Setting, x: Array, w: Array, b: Array, activation: str, out: Array | None, pre: Array | None
) -> Array:
    """The forward pass, (B, *wrote)."""
    activations.get(activation)
    ops, arrays = setting.images("act", x, act=activation)
    rows = arrays.rows("x", x, setting.read)
    check("b", b, (setting.wrote[2],), x.dtype)
    result, z = arrays.written("out", out, setting.wrote)
    kept = None if pre is None else arrays.written("pre", pre, setting.wrote)[1]
    arrays.beside(w=w, b=b)
    arrays.apart()
    code = activations.CODES[activation]
    function = getattr(ops, f"{setting.kind}_act")
    function(rows, setting.weight(w), b, code, z, kept, geometry=setting.geometry)
    arrays.deliver()
    return result


def loss_grad(
    setting: Setting,
    h: Array,
    w: Array,
    b: Array,
    target: Array,
    activation: str,
    loss: str,
    reduction: str,
    sample_weight: Any,
    feature_weight: Any,
    out: Array | None,
) -> tuple[float, Array]:
    """(loss, delta)."""
    ops, arrays, shared = _last_layer("loss_grad", setting, h, w, b, target, activation, loss)
    features = arrays.features(feature_weight, setting.wrote)
    height, width, channels = setting.wrote
    scale = losses.element_scale(reduction, height * width * channels)
    weights = np.empty(setting.batch, h.dtype)
    ops.batch_scale(as_weights(sample_weight, setting.batch), np.arange(setting.batch), weights)
    result, delta = arrays.written("out", out, setting.wrote)
    arrays.apart()
    row_loss = np.empty(setting.batch, h.dtype)
    function = getattr(ops, f"{setting.kind}_loss_grad")
    function(*shared, weights, scale, features, row_loss, delta, geometry=setting.geometry)
    arrays.deliver()
    return scale * float(weights.astype(np.float64) @ row_loss.astype(np.float64)), result


def row_losses(
    setting: Setting,
    h: Array,
    w: Array,
    b: Array,
    target: Array,
    activation: str,
    loss: str,
    feature_weight: Any,
    out: Array | None,
) -> Array:
    """(B,)."""
    ops, arrays, shared = _last_layer("loss", setting, h, w, b, target, activation, loss)
    row_loss = output("out", out, (setting.batch,), h.dtype)
    arrays.apart(out=out)
    features = arrays.features(feature_weight, setting.wrote)
    getattr(ops, f"{setting.kind}_loss")(*shared, features, row_loss, geometry=setting.geometry)
    return row_loss


def dgrad(
    setting: Setting,
    delta: Array,
    w: Array,
    saved: Array | None,
    activation: str,
    extra: Array | None,
    out: Array | None,
) -> Array:
    """(product(delta, w) + extra) * act'(saved)."""
    need_saved(f"{setting.kind}_dgrad", activation, saved)
    ops, arrays = setting.images("dgrad", delta, act=activation)
    rows = arrays.rows("delta", delta, setting.wrote)
    kept = arrays.rows_or_none("saved", saved, setting.read)
    more = arrays.rows_or_none("extra", extra, setting.read)
    result, dx = arrays.written("out", out, setting.read)
    arrays.beside(w=w)
    arrays.apart()
    code = activations.CODES[activation]
    function = getattr(ops, f"{setting.kind}_dgrad")
    function(rows, setting.weight(w), code, kept, more, dx, geometry=setting.geometry)
    arrays.deliver()
    return result


def wgrad(
    setting: Setting, delta: Array, a: Array, out: tuple[Array, Array] | None, accumulate: bool
) -> tuple[Array, Array]:
    """(dw, db)."""
    ops, arrays = setting.images("wgrad", delta)
    rows, inputs = arrays.rows("delta", delta, setting.wrote), arrays.rows("a", a, setting.read)
    if accumulate and out is None:
        raise ValueError("accumulate adds to gradients that exist: give out=(dw, db)")
    given: tuple[Array | None, ...] = (
        (None, None) if out is None else group("out", out, 2, "two arrays (dw, db)")
    )
    dw = output("dw", given[0], setting.geometry.weight_shape, delta.dtype)
    db = output("db", given[1], (setting.wrote[2],), delta.dtype)
    arrays.apart(dw=given[0], db=given[1])
    matrix = setting.weight(dw)
    function = getattr(ops, f"{setting.kind}_wgrad")
    function(rows, inputs, matrix, accumulate, None, geometry=setting.geometry)
    if not np.may_share_memory(matrix, dw):
        dw[...] = matrix.reshape(dw.shape)
    share = np.empty_like(db) if accumulate else db
    ops.bias_grad(rows, share, None)
    if accumulate:
        db += share
    return dw, db


def _last_layer(
    op: str,
    setting: Setting,
    h: Array,
    w: Array,
    b: Array,
    target: Array,
    activation: str,
    loss: str,
) -> tuple[Any, Images, tuple[Any, ...]]:
    check_loss(activation, loss)
    ops, arrays = setting.images(op, h, act=activation, loss=loss)
    rows = arrays.rows("h", h, setting.read)
    check("b", b, (setting.wrote[2],), h.dtype)
    wanted = arrays.rows("target", target, setting.wrote)
    arrays.beside(w=w, b=b)
    codes = activations.CODES[activation], losses.CODES[loss]
    return ops, arrays, (rows, setting.weight(w), b, *codes, wanted)
