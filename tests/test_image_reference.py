"""The reference's pools, upsampling and orders of channels: by their definitions, central differences and PyTorch."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from conv_cases import check_slope

from aefast import activations, backends
from aefast.geometry import Geometry
from aefast.layers import POOL_CODES, POOLS

OPS = backends.get("numpy").ops
B = 2
IDENTITY, TANH = activations.CODES["identity"], activations.CODES["tanh"]


def windows(shape: tuple[int, int, int], kernel: Any, **settings: Any) -> Geometry:
    return Geometry.of(shape, shape[0], kernel, groups=shape[0], **settings)


POOLED: dict[str, Geometry] = {
    "halves": windows((3, 6, 4), 2, stride=2),
    "an odd size, padded after": windows((2, 7, 5), 2, stride=2, padding="same"),
    "overlapping": windows((2, 6, 7), 3, stride=2, padding=1),
    "odd windows": windows((1, 5, 8), (2, 3), stride=(1, 2), padding=(0, 1)),
    "what is left over": windows((2, 7, 8), 3, stride=3),
    "dilated": windows((2, 7, 6), 2, stride=(2, 1), dilation=2, padding=1),
}
every_pool = pytest.mark.parametrize("g", POOLED.values(), ids=POOLED)
every_kind = pytest.mark.parametrize("kind", POOLS)
REPEATED: dict[str, Geometry] = {
    str(stride): Geometry.of_transposed((3, 2, 4), 3, stride, stride=stride, groups=3)
    for stride in ((2, 2), (1, 3), (3, 2))
}


def inside(g: Geometry, y: int, x: int) -> list[tuple[int, int]]:
    """The pixels of a window, in its order."""
    return [
        (row, col)
        for i in range(g.kernel_height)
        for j in range(g.kernel_width)
        if 0 <= (row := y * g.stride_y + i * g.dilation_y - g.pad_top) < g.height
        and 0 <= (col := x * g.stride_x + j * g.dilation_x - g.pad_left) < g.width
    ]


def pooled(x: np.ndarray, kind: str, g: Geometry) -> np.ndarray:
    out = np.full((len(x), g.map_size), np.nan)
    OPS.pool2d(x, POOL_CODES[kind], out, g)
    return out


def unpooled(delta: np.ndarray, x: np.ndarray, kind: str, g: Geometry, **rest: Any) -> np.ndarray:
    out = np.full(x.shape, np.nan)
    given = {"act": IDENTITY, "saved": None, "extra": None, **rest}
    OPS.pool2d_dgrad(delta, x, POOL_CODES[kind], out=out, geometry=g, **given)
    return out


@every_pool
@every_kind
def test_pools_by_their_definition(g: Geometry, kind: str) -> None:
    rng = np.random.default_rng(0)
    x = rng.standard_normal((B, g.image_size)) - 3  # all below the zeros that padding isn't
    image = x.reshape(B, *g.image_shape)
    wanted = np.empty((B, *g.map_shape))
    for b, y, col, c in np.ndindex(wanted.shape):
        values = [image[b, i, j, c] for i, j in inside(g, y, col)]
        wanted[b, y, col, c] = max(values) if kind == "max" else np.mean(values)
    assert np.allclose(pooled(x, kind, g), wanted.reshape(B, -1), rtol=1e-14)


@every_pool
@every_kind
def test_pools_backward_are_the_slope(g: Geometry, kind: str) -> None:
    rng = np.random.default_rng(1)
    u = (
        rng.permutation(B * g.image_size).reshape(B, -1) / 10 - 2
    )  # no two alike: no window's maximum is at an edge
    u = np.arctanh((u - u.min() + 0.1) / (np.ptp(u) + 0.2))
    delta, extra = rng.standard_normal((B, g.map_size)), rng.standard_normal(u.shape)

    def value() -> float:
        return float(np.sum(delta * pooled(np.tanh(u), kind, g)) + np.sum(extra * np.tanh(u)))

    gradient = unpooled(delta, np.tanh(u), kind, g, act=TANH, saved=np.tanh(u), extra=extra)
    check_slope(value, u, gradient)


@every_pool
def test_of_equal_maxima_the_first_gets_all(g: Geometry) -> None:
    x, delta = np.ones((1, g.image_size)), 1.0 + np.arange(g.map_size, dtype=float)[None]
    wanted = np.zeros(g.image_shape)
    for y, col, c in np.ndindex(*g.map_shape):
        row, column = inside(g, y, col)[0]
        wanted[row, column, c] += delta.reshape(g.map_shape)[y, col, c]
    assert (unpooled(delta, x, "max", g) == wanted.reshape(1, -1)).all()


@every_kind
def test_a_nan_wins_and_gets_the_share(kind: str) -> None:
    g = POOLED["halves"]
    x = np.arange(float(g.image_size))[None]
    image = x.reshape(g.image_shape)
    image[1, 1, 0] = image[1, 0, 0] = np.nan  # two of the first window, which ends in the larger one
    image[4, 0, 1] = -np.inf
    out = pooled(x, kind, g).reshape(g.map_shape)
    assert np.isnan(out[0, 0, 0]) and np.isnan(out).sum() == 1
    assert np.isfinite(out[2, 0, 1]) == (kind == "max")
    share = unpooled(np.ones((1, g.map_size)), x, kind, g).reshape(g.image_shape)
    first = share[:2, :2, 0]
    assert (first == ([[0, 0], [1, 0]] if kind == "max" else 0.25)).all()
    image[4:6, 0:2, 1] = -np.inf  # a window of nothing else
    share = unpooled(np.ones((1, g.map_size)), x, kind, g).reshape(g.image_shape)
    assert share[4:6, 0:2, 1].sum() == 1.0


@every_pool
@every_kind
def test_pytorch_pools_alike(torch: Any, g: Geometry, kind: str) -> None:
    if kind == "average" and (g.dilation_y, g.dilation_x) != (1, 1):
        g = POOLED["overlapping"]  # PyTorch's averages know no dilation
    rng = np.random.default_rng(2)
    x, delta = rng.standard_normal((B, g.image_size)), rng.standard_normal((B, g.map_size))
    t = torch.tensor(x, requires_grad=True)
    image = t.reshape(B, *g.image_shape).permute(0, 3, 1, 2)
    kernel, stride = (g.kernel_height, g.kernel_width), (g.stride_y, g.stride_x)
    if kind == "max":  # the pads after, which it can't pad by itself: far below all
        after = [
            max(
                (g.out_height - 1) * stride[0] + (kernel[0] - 1) * g.dilation_y + 1 - g.pad_top - g.height, 0
            ),
            max((g.out_width - 1) * stride[1] + (kernel[1] - 1) * g.dilation_x + 1 - g.pad_left - g.width, 0),
        ]
        image = torch.nn.functional.pad(image, (g.pad_left, after[1], g.pad_top, after[0]), value=-1e300)
        out = torch.nn.functional.max_pool2d(image, kernel, stride, dilation=(g.dilation_y, g.dilation_x))
    else:
        out = torch.nn.functional.avg_pool2d(
            image, kernel, stride, (g.pad_top, g.pad_left), ceil_mode=True, count_include_pad=False
        )[:, :, : g.out_height, : g.out_width]
    out = out.permute(0, 2, 3, 1).reshape(B, -1)
    (out * torch.tensor(delta)).sum().backward()
    assert np.allclose(pooled(x, kind, g), out.detach().numpy(), rtol=1e-13, atol=1e-14)
    assert np.allclose(unpooled(delta, x, kind, g), t.grad.numpy(), rtol=1e-13, atol=1e-14)


@pytest.mark.parametrize("g", REPEATED.values(), ids=REPEATED)
def test_upsampling_repeats_pixels_and_sums_their_blocks(torch: Any, g: Geometry) -> None:
    rng = np.random.default_rng(3)
    x, delta = rng.standard_normal((B, g.map_size)), rng.standard_normal((B, g.image_size))
    out = np.full((B, g.image_size), np.nan)
    OPS.upsample2d(x, out, g)
    image, map_ = out.reshape(B, *g.image_shape), x.reshape(B, *g.map_shape)
    for y, col in np.ndindex(g.height, g.width):
        assert (image[:, y, col] == map_[:, y // g.stride_y, col // g.stride_x]).all()

    t = torch.tensor(x, requires_grad=True)
    scale = (g.stride_y, g.stride_x)
    larger = torch.nn.functional.interpolate(
        t.reshape(B, *g.map_shape).permute(0, 3, 1, 2), scale_factor=scale, mode="nearest"
    )
    (larger.permute(0, 2, 3, 1).reshape(B, -1) * torch.tensor(delta)).sum().backward()
    assert (larger.permute(0, 2, 3, 1).reshape(B, -1).detach().numpy() == out).all()
    found, saved, extra = np.full_like(x, np.nan), np.tanh(x), rng.standard_normal(x.shape)
    OPS.upsample2d_dgrad(delta, IDENTITY, None, None, found, g)
    assert np.allclose(found, t.grad.numpy(), rtol=1e-13)
    OPS.upsample2d_dgrad(delta, TANH, saved, extra, found, g)
    assert np.allclose(found, (t.grad.numpy() + extra) * (1 - saved**2), rtol=1e-13)


def test_rows_transposed_there_and_back() -> None:
    x = np.arange(2 * 3 * 4 * 5.0).reshape(2, -1)
    out, back = np.empty_like(x), np.full((2, 70), np.nan)[:, :60]
    OPS.transpose_rows(x, 3, out)
    assert (out.reshape(2, 4, 5, 3) == x.reshape(2, 3, 4, 5).transpose(0, 2, 3, 1)).all()
    OPS.transpose_rows(out, 20, back)
    assert (back == x).all()


def test_a_bias_for_each_channel_of_every_pixel() -> None:
    delta = np.random.default_rng(4).standard_normal((3, 2 * 5 * 4))
    db, partials = np.empty(4), np.empty(2)
    OPS.bias_grad(delta, db, partials)
    assert np.allclose(db, delta.reshape(3, 2, 5, 4).sum(axis=(0, 1, 2)))
    assert partials == pytest.approx([np.sum(db**2), 0.0])
