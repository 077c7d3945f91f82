"""The reference's convolutions: against the dense layers that they are, against central differences, against PyTorch."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from conv_cases import GEOMETRIES, check_slope, matrix, places

from aefast import activations, backends, losses
from aefast.backends.numpy.bfloat16 import rounded
from aefast.geometry import Geometry

OPS = backends.get("numpy").ops
DIRECTIONS = ("conv2d", "conv_transpose2d")
B = 2
EXACT = {"rtol": 1e-12, "atol": 1e-12}  # float64 sums in another order

every_geometry = pytest.mark.parametrize("g", GEOMETRIES.values(), ids=GEOMETRIES)
both_directions = pytest.mark.parametrize("direction", DIRECTIONS)


class Made:
    """Random arrays of one convolution, in float64."""

    def __init__(self, g: Geometry, direction: str, seed: int = 0) -> None:
        rng = np.random.default_rng(seed)
        back = direction == "conv_transpose2d"
        self.g, self.direction = g, direction
        self.n_in, self.n_out = (g.map_size, g.image_size) if back else (g.image_size, g.map_size)
        self.x = rng.standard_normal((B, self.n_in))
        self.w = 0.5 * rng.standard_normal((g.out_channels, np.prod(g.weight_shape[1:])))
        self.b = rng.standard_normal(g.channels if back else g.out_channels)
        self.target = rng.uniform(0.05, 0.95, (B, self.n_out))
        self.delta = rng.standard_normal((B, self.n_out))
        self.extra = rng.standard_normal((B, self.n_in))
        self.batch_scale = rng.uniform(0.1, 0.5, B)
        self.feature_weight = rng.uniform(0.1, 2.0, self.n_out)
        # The dense layer that this is.
        dense = matrix(self.w, g)
        self.dense = dense.T if back else dense
        self.dense_bias = np.tile(self.b, self.n_out // len(self.b))

    def op(self, part: str) -> Any:
        return getattr(OPS, f"{self.direction}_{part}")

    def loss(self, x: np.ndarray, act: int, kind: int) -> tuple[float, np.ndarray]:
        """The weighted loss, and delta."""
        row_loss, delta = np.empty(B), np.empty((B, self.n_out))
        fixed = self.target, self.batch_scale, 0.7, self.feature_weight, row_loss, delta, self.g
        self.op("loss_grad")(x, self.w, self.b, act, kind, *fixed)
        return float(0.7 * self.batch_scale @ row_loss), delta


@every_geometry
@both_directions
def test_is_a_dense_layer_whose_weights_are_shared(g: Geometry, direction: str) -> None:
    made = Made(g, direction)
    for act in (activations.CODES["identity"], activations.CODES["gelu"]):
        out, pre, wanted, wanted_pre = (np.full((B, made.n_out), np.nan) for _ in range(4))
        made.op("act")(made.x, made.w, made.b, act, out, pre, g)
        OPS.linear_act(made.x, made.dense, made.dense_bias, act, wanted, wanted_pre)
        assert np.allclose(out, wanted, **EXACT) and np.allclose(pre, wanted_pre, **EXACT)

    act, kind = activations.CODES["sigmoid"], losses.CODES["mse"]
    rest = act, kind, made.target
    row_loss, delta, wanted_loss, wanted_delta = (
        np.empty(B),
        np.empty_like(out),
        np.empty(B),
        np.empty_like(out),
    )
    weights = made.batch_scale, 0.7, made.feature_weight
    made.op("loss_grad")(made.x, made.w, made.b, *rest, *weights, row_loss, delta, g)
    OPS.linear_loss_grad(made.x, made.dense, made.dense_bias, *rest, *weights, wanted_loss, wanted_delta)
    assert np.allclose(row_loss, wanted_loss, **EXACT) and np.allclose(delta, wanted_delta, **EXACT)
    made.op("loss")(made.x, made.w, made.b, *rest, None, row_loss, g)
    OPS.linear_loss(made.x, made.dense, made.dense_bias, *rest, None, wanted_loss)
    assert np.allclose(row_loss, wanted_loss, **EXACT)

    for saved, extra in ((None, None), (np.tanh(made.x), None), (np.tanh(made.x), made.extra)):
        out, wanted = np.empty_like(made.x), np.empty_like(made.x)
        act = activations.CODES["tanh"]
        made.op("dgrad")(made.delta, made.w, act, saved, extra, out, g)
        OPS.linear_dgrad(made.delta, made.dense, act, saved, extra, wanted)
        assert np.allclose(out, wanted, **EXACT)


@every_geometry
@both_directions
def test_weight_gradient_sums_the_dense_one_over_what_shares_a_weight(g: Geometry, direction: str) -> None:
    made = Made(g, direction)
    dense = np.empty_like(made.dense)
    OPS.linear_wgrad(made.delta, made.x, dense, None, False, None)
    dense = dense.T if direction == "conv_transpose2d" else dense
    place = places(g)
    wanted = np.bincount(place[place >= 0], dense[place >= 0], made.w.size).reshape(made.w.shape)
    dw, partials = np.full_like(made.w, np.nan), np.empty(2)
    made.op("wgrad")(made.delta, made.x, dw, False, partials, g)
    assert np.allclose(dw, wanted, **EXACT)
    assert partials == pytest.approx([np.sum(wanted**2), 0.0])
    made.op("wgrad")(made.delta, made.x, dw, True, partials, g)
    assert np.allclose(dw, 2 * wanted, **EXACT) and partials[0] == pytest.approx(4 * np.sum(wanted**2))
    made.op("wgrad")(made.delta * np.nan, made.x, dw, False, partials, g)
    assert partials[1] == 1.0


@every_geometry
@both_directions
def test_gradients_are_those_of_the_loss(g: Geometry, direction: str) -> None:
    """d loss by x (through an activation and with an extra gradient), w and b, against central differences."""
    made = Made(g, direction)
    act, kind = activations.CODES["tanh"], losses.CODES["mse"]
    u = made.x.copy()

    def value() -> float:
        x = np.tanh(u)
        return made.loss(x, act, kind)[0] + float(np.sum(made.extra * x))

    x = np.tanh(u)
    _, delta = made.loss(x, act, kind)
    du, dw, db = np.empty_like(u), np.empty_like(made.w), np.empty_like(made.b)
    made.op("dgrad")(delta, made.w, activations.CODES["tanh"], x, made.extra, du, g)
    made.op("wgrad")(delta, x, dw, False, None, g)
    OPS.bias_grad(delta, db, None)
    for array, gradient in ((u, du), (made.w, dw), (made.b, db)):
        check_slope(value, array, gradient)


@both_directions
def test_rows_may_lie_apart(direction: str) -> None:
    g = GEOMETRIES["groups"]
    made = Made(g, direction)
    wide_x, wide_out = np.full((B, made.n_in + 7), np.nan), np.full((B, made.n_out + 5), np.nan)
    wide_x[:, : made.n_in] = made.x
    out, act = np.empty((B, made.n_out)), activations.CODES["relu"]
    made.op("act")(made.x, made.w, made.b, act, out, None, g)
    made.op("act")(wide_x[:, : made.n_in], made.w, made.b, act, wide_out[:, : made.n_out], None, g)
    assert (wide_out[:, : made.n_out] == out).all() and np.isnan(wide_out[:, made.n_out :]).all()
    dw, db = np.empty_like(made.w), np.empty_like(made.b)
    made.op("wgrad")(out, made.x, dw, False, None, g)
    wide = np.empty_like(dw)
    made.op("wgrad")(wide_out[:, : made.n_out], wide_x[:, : made.n_in], wide, False, None, g)
    assert (wide == dw).all()
    OPS.bias_grad(wide_out[:, : made.n_out], db, None)
    assert np.allclose(db, out.reshape(-1, len(db)).sum(axis=0), **EXACT)


@both_directions
def test_bfloat16_rounds_what_is_multiplied_and_nothing_else(direction: str) -> None:
    made, low = Made(GEOMETRIES["all at once"], direction), backends.get("numpy").ops_for("bfloat16")
    f32 = {name: np.asarray(value, np.float32) for name, value in vars(made).items() if name in "xwb"}
    x, w, b = f32["x"], f32["w"], f32["b"]
    delta, saved = made.delta.astype(np.float32), np.tanh(x)
    act, shape = activations.CODES["tanh"], (B, made.n_out)
    target, scale = made.target.astype(np.float32), made.batch_scale.astype(np.float32)

    def results(ops: Any, r: Any) -> list[np.ndarray]:
        """Of every product, its operands passed through r."""
        out = {
            n: np.zeros(s, np.float32)
            for n, s in (("z", shape), ("d", shape), ("x", x.shape), ("w", w.shape))
        }
        rows = [np.zeros(B, np.float32) for _ in range(2)]
        op = {
            part: getattr(ops, f"{direction}_{part}")
            for part in ("act", "loss_grad", "loss", "dgrad", "wgrad")
        }
        op["act"](r(x), r(w), b, act, out["z"], None, made.g)
        op["loss_grad"](r(x), r(w), b, act, 0, target, scale, 0.5, None, rows[0], out["d"], made.g)
        op["loss"](r(x), r(w), b, act, 0, target, None, rows[1], made.g)
        op["dgrad"](r(delta), r(w), act, saved, None, out["x"], made.g)
        op["wgrad"](r(delta), r(x), out["w"], False, None, geometry=made.g)
        return [*out.values(), *rows]

    plain = results(OPS, lambda a: a)
    for wanted, found, unrounded in zip(results(OPS, rounded), results(low, lambda a: a), plain, strict=True):
        assert (found == wanted).all() and (found != unrounded).any()


@every_geometry
@both_directions
def test_pytorch_agrees(torch: Any, g: Geometry, direction: str) -> None:
    """Forward and backward, by its own convolutions; what pads one side alone is padded, or cut, beside them."""
    made = Made(g, direction)
    t = {
        name: torch.tensor(value, dtype=torch.float64, requires_grad=True)
        for name, value in (("x", made.x), ("w", made.w.reshape(g.weight_shape)), ("b", made.b))
    }
    settings = {
        "stride": (g.stride_y, g.stride_x),
        "dilation": (g.dilation_y, g.dilation_x),
        "groups": g.groups,
    }
    kernel = t["w"].permute(0, 3, 1, 2)
    window = [(g.kernel_height - 1) * g.dilation_y + 1, (g.kernel_width - 1) * g.dilation_x + 1]
    seen = [(g.out_height - 1) * g.stride_y + window[0], (g.out_width - 1) * g.stride_x + window[1]]
    # After (negative: pixels that no window reaches), from the pads before.
    after = [seen[0] - g.pad_top - g.height, seen[1] - g.pad_left - g.width]
    if direction == "conv2d":
        image = t["x"].reshape(B, *g.image_shape).permute(0, 3, 1, 2)
        image = torch.nn.functional.pad(image, (g.pad_left, after[1], g.pad_top, after[0]))
        out = torch.nn.functional.conv2d(image, kernel, t["b"], **settings)
    else:
        map_ = t["x"].reshape(B, *g.map_shape).permute(0, 3, 1, 2)
        out = torch.nn.functional.conv_transpose2d(map_, kernel, None, **settings)
        out = torch.nn.functional.pad(out, (-g.pad_left, -after[1], -g.pad_top, -after[0]))
        out = out + t["b"][:, None, None]
    out = out.permute(0, 2, 3, 1).reshape(B, -1)
    (out * torch.tensor(made.delta)).sum().backward()

    z, dx, dw, db = (
        np.empty((B, made.n_out)),
        np.empty_like(made.x),
        np.empty_like(made.w),
        np.empty_like(made.b),
    )
    made.op("act")(made.x, made.w, made.b, 0, z, None, g)
    made.op("dgrad")(made.delta, made.w, 0, None, None, dx, g)
    made.op("wgrad")(made.delta, made.x, dw, False, None, g)
    OPS.bias_grad(made.delta, db, None)
    assert np.allclose(z, out.detach().numpy(), **EXACT)
    for name, found in (("x", dx), ("w", dw.reshape(g.weight_shape)), ("b", db)):
        assert np.allclose(found, t[name].grad.numpy(), **EXACT), name
