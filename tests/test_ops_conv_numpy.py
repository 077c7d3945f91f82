"""The reference's ops of images against sums written out term by term."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from aefast import activations
from aefast.backends.numpy import backend
from aefast.geometry import Geometry
from aefast.layers import POOL_CODES
from aefast.testing.__main__ import cases, main
from aefast.testing.geometries import random_geometry
from aefast.testing.images import random_pool, random_upsampling

OPS = backend().ops
IDENTITY = activations.CODES["identity"]
RTOL = 1e-12  # float64 sums of some hundred terms in two orders


def few_terms(
    draw: Callable[[np.random.Generator], tuple[int, Geometry]], n: int
) -> list[tuple[int, Geometry]]:
    rng, found = np.random.default_rng(1), []
    while len(found) < n:
        batch, g = draw(rng)
        if g.map_size * g.kernel_height * g.kernel_width * (g.channels // g.groups) < 6000:
            found.append((batch, g))
    return found


def terms(g: Geometry) -> list[tuple[int, int, int]]:
    """(map element, weight element, image element) of every product, straight from `Geometry`'s formula."""
    depth, share = g.channels // g.groups, g.out_channels // g.groups
    found = []
    for y in range(g.out_height):
        for x in range(g.out_width):
            for n in range(g.out_channels):
                for i in range(g.kernel_height):
                    for j in range(g.kernel_width):
                        row = y * g.stride_y + i * g.dilation_y - g.pad_top
                        column = x * g.stride_x + j * g.dilation_x - g.pad_left
                        if not (0 <= row < g.height and 0 <= column < g.width):
                            continue
                        for c in range(depth):
                            channel = n // share * depth + c
                            found.append(
                                (
                                    (y * g.out_width + x) * g.out_channels + n,
                                    ((n * g.kernel_height + i) * g.kernel_width + j) * depth + c,
                                    (row * g.width + column) * g.channels + channel,
                                )
                            )
    return found


def close(actual: Any, expected: Any) -> None:
    np.testing.assert_allclose(actual, expected, rtol=RTOL, atol=RTOL * max(1.0, np.abs(expected).max()))


@pytest.mark.parametrize("batch_geometry", few_terms(random_geometry, 40), ids=str)
def test_products_are_the_sums_of_their_terms(batch_geometry: tuple[int, Geometry]) -> None:
    batch, g = batch_geometry
    rng = np.random.default_rng(2)
    shape = g.out_channels, g.kernel_height * g.kernel_width * (g.channels // g.groups)
    x, w = rng.standard_normal((batch, g.image_size)), rng.standard_normal(shape)
    delta, b = rng.standard_normal((batch, g.map_size)), rng.standard_normal(g.out_channels)
    back = rng.standard_normal(g.channels)
    maps, images, dw = np.zeros_like(delta), np.zeros_like(x), np.zeros(w.size)
    for m, k, p in terms(g):
        maps[:, m] += w.flat[k] * x[:, p]
        images[:, p] += w.flat[k] * delta[:, m]
        dw[k] += delta[:, m] @ x[:, p]
    out, image, gradient = np.empty_like(delta), np.empty_like(x), np.empty_like(w)
    OPS.conv2d_act(x, w, b, IDENTITY, out, None, geometry=g)
    close(out, maps + np.tile(b, g.out_height * g.out_width))
    OPS.conv2d_dgrad(delta, w, IDENTITY, None, None, image, geometry=g)
    close(image, images)
    OPS.conv2d_wgrad(delta, x, gradient, False, None, geometry=g)
    close(gradient.ravel(), dw)
    OPS.conv_transpose2d_act(delta, w, back, IDENTITY, image, None, geometry=g)
    close(image, images + np.tile(back, g.height * g.width))
    OPS.conv_transpose2d_dgrad(x, w, IDENTITY, None, None, out, geometry=g)
    close(out, maps)
    OPS.conv_transpose2d_wgrad(x, delta, gradient, False, None, geometry=g)
    close(gradient.ravel(), dw)


def windows(g: Geometry) -> dict[int, list[int]]:
    """The image elements that each map element sees, in window order."""
    seen: dict[int, list[int]] = {}
    for m, _, p in terms(g):
        seen.setdefault(m, []).append(p)
    return seen


@pytest.mark.parametrize("batch_geometry", few_terms(random_pool, 30), ids=str)
def test_pools_look_at_each_window(batch_geometry: tuple[int, Geometry]) -> None:
    batch, g = batch_geometry
    rng = np.random.default_rng(3)
    x, delta = rng.integers(-2, 3, (batch, g.image_size)) * 1.0, rng.standard_normal((batch, g.map_size))
    x[rng.random(x.shape) < 0.03] = np.nan
    for kind in POOL_CODES:
        maps, images = np.empty_like(delta), np.zeros_like(x)
        for m, seen in windows(g).items():
            for row in range(batch):
                values = x[row, seen]
                if kind == "average":
                    maps[row, m] = values.mean()
                    images[row, seen] += delta[row, m] / len(seen)
                    continue
                first = np.argmax(np.isnan(values) if np.isnan(values).any() else values)
                maps[row, m] = values[first]
                images[row, seen[first]] += delta[row, m]
        out, image = np.empty_like(delta), np.empty_like(x)
        OPS.pool2d(x, POOL_CODES[kind], out, geometry=g)
        close(out, maps)
        OPS.pool2d_dgrad(delta, x, POOL_CODES[kind], IDENTITY, None, None, image, geometry=g)
        close(image, images)


@pytest.mark.parametrize("batch_geometry", few_terms(random_upsampling, 10), ids=str)
def test_upsampling_repeats_pixels(batch_geometry: tuple[int, Geometry]) -> None:
    batch, g = batch_geometry
    rng = np.random.default_rng(4)
    x, delta = rng.standard_normal((batch, g.map_size)), rng.standard_normal((batch, g.image_size))
    images, sums = np.empty_like(delta), np.zeros_like(x)
    for m, _, p in terms(g):  # each pixel of the image lies in one window
        images[:, p] = x[:, m]
        sums[:, m] += delta[:, p]
    out, back = np.empty_like(delta), np.empty_like(x)
    OPS.upsample2d(x, out, geometry=g)
    np.testing.assert_array_equal(out, images)
    OPS.upsample2d_dgrad(delta, IDENTITY, None, None, back, geometry=g)
    close(back, sums)


def test_the_command_takes_new_geometries(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--backend", "numpy", "--op", "upsample2d", "--op", "transpose_rows", "--cases", "40"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == 6 and all(" 40 cases      0 failures  worst 0." in line for line in lines)
    labels = [str(case) for case in cases("conv2d_wgrad", 200)]
    assert len(labels) == len(set(labels)) == 200


def test_pytorch_agrees(torch: Any, capsys: pytest.CaptureFixture[str]) -> None:
    names = ("conv2d_wgrad", "conv_transpose2d_wgrad", "conv_transpose2d_dgrad", "pool2d_dgrad")
    assert main(["--backend", "torch", *(word for name in names for word in ("--op", name))]) == 0
    assert len(capsys.readouterr().out.splitlines()) == 2 * len(names)
