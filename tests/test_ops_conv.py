"""The functional front of the ops of images: layouts, sizes, outputs. Their numbers are tested in test_ops.py."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from aefast import backends, ops
from aefast.ops.images import Images

BACKENDS = [
    name
    for name in backends.NAMES
    if backends.available(name) and backends.declared(name).supports("conv2d_act")
]
LAYOUTS = ("channels_last", "channels_first")
RNG = np.random.default_rng(0)


def draw(*shape: int) -> Any:
    return RNG.standard_normal(shape).astype(np.float32)


def laid(x: Any, layout: str) -> Any:
    """(B, H, W, C) in that layout, in memory too."""
    return x if layout == "channels_last" else np.ascontiguousarray(x.transpose(0, 3, 1, 2))


def last(x: Any, layout: str) -> Any:
    return x if layout == "channels_last" else x.transpose(0, 2, 3, 1)


def convolved(x: Any, w: Any, stride: int, pad: int, groups: int = 1) -> Any:
    """In float64, from windows: nothing of the library's."""
    x = np.pad(x.astype(np.float64), ((0, 0), (pad, pad), (pad, pad), (0, 0)))
    seen = np.lib.stride_tricks.sliding_window_view(x, w.shape[1:3], (1, 2))[:, ::stride, ::stride]
    parts = zip(np.split(seen, groups, 3), np.split(w, groups), strict=True)
    return np.concatenate([np.einsum("byxcij,nijc->byxn", a, b.astype(np.float64)) for a, b in parts], 3)


def close(actual: Any, expected: Any) -> None:
    np.testing.assert_allclose(actual, expected, rtol=1e-4, atol=1e-5)


@pytest.fixture(params=BACKENDS)
def backend(request: pytest.FixtureRequest) -> str:
    name: str = request.param
    return name


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize(("stride", "pad", "groups"), [(1, 0, 1), (2, 1, 1), (3, 2, 2)])
def test_a_convolution_and_its_gradients(
    backend: str, layout: str, stride: int, pad: int, groups: int
) -> None:
    x, w, b = draw(3, 9, 8, 4), draw(6, 3, 3, 4 // groups), draw(6)
    how: Any = {
        "stride": stride,
        "padding": pad,
        "groups": groups,
        "layout": layout,
        "backend": backend,
    }
    z = convolved(x, w, stride, pad, groups) + b
    pre = np.empty_like(laid(z.astype(np.float32), layout))
    h = ops.conv2d_act(laid(x, layout), w, b, "silu", pre=pre, **how)
    close(last(pre, layout), z)
    close(last(h, layout), z / (1 + np.exp(-z)))
    delta = draw(*z.shape)
    linear = z - b
    dx = ops.conv2d_dgrad(laid(delta, layout), w, (9, 8), **how)
    dw, db = ops.conv2d_wgrad(laid(delta, layout), laid(x, layout), (3, 3), **how)
    # <delta, conv(x, w)> is linear in x and in w
    assert np.sum(last(dx, layout) * x) == pytest.approx(np.sum(delta * linear), rel=1e-3, abs=1e-3)
    assert np.sum(dw * w) == pytest.approx(np.sum(delta * linear), rel=1e-3, abs=1e-3)
    close(db, delta.sum((0, 1, 2)))
    saved, extra = np.tanh(draw(3, 9, 8, 4)), draw(3, 9, 8, 4)
    through = ops.conv2d_dgrad(
        laid(delta, layout), w, (9, 8), laid(saved, layout), "tanh", extra=laid(extra, layout), **how
    )
    close(last(through, layout), (last(dx, layout) + extra) * (1 - saved**2))
    again = ops.conv2d_wgrad(
        laid(delta, layout), laid(x, layout), 3, out=(dw.copy(), db.copy()), accumulate=True, **how
    )
    close(again[0], 2 * dw)
    close(again[1], 2 * db)


@pytest.mark.parametrize("layout", LAYOUTS)
def test_a_transposed_convolution_is_the_transpose(backend: str, layout: str) -> None:
    how: Any = {"stride": 2, "padding": 1, "layout": layout, "backend": backend}
    x, w, b = draw(2, 4, 5, 6), draw(6, 3, 3, 4), draw(4)
    image = ops.conv_transpose2d_act(laid(x, layout), w, b, output_padding=(1, 0), **how)
    assert last(image, layout).shape == (2, 8, 9, 4)
    linear, delta = last(image, layout) - b, draw(2, 8, 9, 4)
    back = ops.conv_transpose2d_dgrad(laid(delta, layout), w, output_padding=(1, 0), **how)
    close(last(back, layout), convolved(delta, w, 2, 1))
    assert np.sum(last(back, layout) * x) == pytest.approx(np.sum(delta * linear), rel=1e-3)
    dw, db = ops.conv_transpose2d_wgrad(laid(delta, layout), laid(x, layout), 3, output_padding=(1, 0), **how)
    assert np.sum(dw * w) == pytest.approx(np.sum(delta * linear), rel=1e-3)
    close(db, delta.sum((0, 1, 2)))


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("transposed", [False, True])
def test_the_loss_of_a_last_layer(backend: str, layout: str, transposed: bool) -> None:
    h, w, target = draw(5, 4, 6, 3), draw(3, 3, 3, 3), RNG.random((5, 4, 6, 3), dtype=np.float32)
    b, feature, weight = draw(3), RNG.random((4, 6, 3)), RNG.random(5)
    functions = (
        (ops.conv_transpose2d_act, ops.conv_transpose2d_loss_grad, ops.conv_transpose2d_loss)
        if transposed
        else (ops.conv2d_act, ops.conv2d_loss_grad, ops.conv2d_loss)
    )
    how: Any = {"padding": 1, "layout": layout, "backend": backend}
    features = laid(feature[None], layout)[0]
    given = laid(h, layout), w, b
    z = last(functions[0](*given, **how), layout).astype(np.float64)
    element = (np.logaddexp(0, z) - z * target) * feature
    loss, delta = functions[1](
        *given,
        laid(target, layout),
        "sigmoid",
        "bce",
        sample_weight=weight,
        feature_weight=features,
        **how,
    )
    share = (weight / weight.sum())[:, None, None, None] / 72
    assert loss == pytest.approx((share * element).sum(), rel=1e-5)
    close(last(delta, layout), share * feature * (1 / (1 + np.exp(-z)) - target))
    for form in (features, features.ravel()):
        rows = functions[2](*given, laid(target, layout), "sigmoid", "bce", feature_weight=form, **how)
        close(rows, element.sum((1, 2, 3)))


@pytest.mark.parametrize("layout", LAYOUTS)
def test_pools_and_upsampling(backend: str, layout: str) -> None:
    x, how = draw(3, 7, 6, 5), {"layout": layout, "backend": backend}
    windows = np.lib.stride_tricks.sliding_window_view(x, (3, 2), (1, 2))[:, ::3, ::2]
    for kind, expected in (("max", windows.max((-2, -1))), ("average", windows.mean((-2, -1)))):
        maps = ops.pool2d(laid(x, layout), (3, 2), kind, **how)
        close(last(maps, layout), expected)
        delta = draw(*expected.shape)
        dx = ops.pool2d_dgrad(laid(delta, layout), laid(x, layout), (3, 2), kind, **how)
        assert np.sum(last(dx, layout) * x) == pytest.approx(np.sum(delta * expected), rel=1e-3, abs=1e-4)
        assert (last(dx, layout)[:, 6] == 0).all()  # no window sees it
    image = last(ops.upsample2d(laid(x, layout), (2, 3), **how), layout)
    np.testing.assert_array_equal(image, x.repeat(2, 1).repeat(3, 2))
    blocks = ops.upsample2d_dgrad(laid(np.ascontiguousarray(image), layout), (2, 3), **how)
    close(last(blocks, layout), 6 * x)


def test_images_of_one_row(backend: str) -> None:
    """1-D data: height 1."""
    x, w, b = draw(2, 1, 20, 3), draw(4, 1, 5, 3), draw(4)
    h = ops.conv2d_act(x, w, b, stride=(1, 2), padding=((0, 0), (4, 0)), backend=backend)
    z = np.stack(
        [
            sum(np.pad(x[:, 0], ((0, 0), (4, 0), (0, 0)))[:, t + j] @ w[:, 0, j].T for j in range(5))
            for t in range(0, 20, 2)
        ],
        1,
    )
    close(h[:, 0], z + b)


def test_outputs_go_where_the_caller_says(backend: str) -> None:
    x, w, b = draw(3, 5, 5, 2), draw(4, 3, 3, 2), draw(4)
    expected = ops.conv2d_act(x, w, b, backend="numpy")
    room = np.full((3, 4, 3, 3, 4), 7, np.float32)
    for out in (
        room[:, 1],
        np.empty((3, 3, 3, 9), np.float32)[..., 1:9:2],
        np.empty((3, 4, 3, 3), np.float32).transpose(0, 2, 3, 1),
    ):
        assert ops.conv2d_act(x, w, b, out=out, backend=backend) is out
        close(out, expected)
    assert (room[:, [0, 2, 3]] == 7).all()
    turned = np.empty((3, 3, 3, 4), np.float32).transpose(0, 3, 1, 2)
    ops.conv2d_act(laid(x, "channels_first"), w, b, layout="channels_first", out=turned, backend=backend)
    close(turned, expected.transpose(0, 3, 1, 2))


def test_inputs_of_any_strides(backend: str) -> None:
    x, w, b = draw(6, 10, 5, 4), draw(4, 3, 3, 2), draw(4)
    views = (x[::2, ::2, :, :2], x[:, :, :, 1:3], x[::-1, :5, :, ::2], x.transpose(0, 2, 1, 3)[..., :2])
    for view in views:
        expected = ops.conv2d_act(view.copy(), w, b, backend="numpy")
        close(ops.conv2d_act(view, w, b, backend=backend), expected)
    weights = draw(3, 2, 4, 3).transpose(2, 3, 0, 1)[:, :, ::-1]
    close(
        ops.conv2d_act(x[..., :2], weights, b, backend=backend),
        convolved(x[..., :2], weights, 1, 0) + b,
    )


def test_bfloat16(backend: str) -> None:
    if not backends.get(backend).supports("conv2d_act", dtype="bfloat16"):
        pytest.skip(f"{backend} has no bfloat16")
    x, w, b = draw(2, 6, 6, 3), draw(4, 3, 3, 3), draw(4)
    rounded = [
        (a.view(np.uint32) + np.uint32(0x8000) & np.uint32(0xFFFF0000)).view(np.float32) for a in (x, w)
    ]
    h = ops.conv2d_act(x, w, b, compute_dtype="bfloat16", backend=backend)
    close(h, convolved(*rounded, 1, 0) + b)
    assert np.abs(h - convolved(x, w, 1, 0) - b).max() > 1e-4


def test_channels_last_is_not_copied() -> None:
    class NoOps:
        pass

    for x, layout in (
        (draw(3, 4, 5, 2), "channels_last"),
        (draw(3, 9, 5, 2)[:, 1:5], "channels_last"),
        (draw(3, 4, 5, 2).transpose(0, 3, 1, 2), "channels_first"),  # PyTorch's memory format of that name
    ):
        arrays = Images(NoOps(), layout, 3, x.dtype)
        assert np.shares_memory(arrays.rows("x", x, (4, 5, 2)), x)
        assert np.shares_memory(arrays.written("out", x, (4, 5, 2))[1], x)
        arrays.deliver()
