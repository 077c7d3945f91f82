"""How the numba backend cuts convolutions into blocks: what they are cut into changes no result, and memory stays small."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from aefast import activations, backends
from aefast.geometry import Geometry
from aefast.testing.require import skip_or_fail

if not backends.available("numba"):
    skip_or_fail("numba", backends.available("numba").reason)

from aefast.backends.numba import products, scratch

OPS = backends.get("numba").ops
TANH = activations.CODES["tanh"]
GEOMETRIES = {
    "strided": Geometry.of((3, 9, 8), 5, 3, stride=2, padding="same"),
    "groups": Geometry.of((4, 7, 10), 6, (3, 2), padding=1, groups=2),
    "dilated": Geometry.of((2, 11, 9), 3, 3, dilation=2, padding=((2, 0), (0, 3))),
    "depthwise": Geometry.of((4, 6, 6), 8, 3, groups=4),
}


def padded(rng: np.random.Generator, *shape: int) -> Any:
    """Rows that don't follow each other: several images are then several products."""
    return rng.standard_normal((shape[0], shape[1] + 5))[:, : shape[1]]


def all_ops(g: Geometry, batch: int, apart: bool) -> dict[str, Any]:
    """What every op writes for the same numbers, with rows apart or one behind the other."""
    rng = np.random.default_rng(0)

    def draw(*shape: int) -> Any:
        x = padded(rng, *shape)
        return x if apart else x.copy()

    w = rng.standard_normal((g.out_channels, int(np.prod(g.weight_shape[1:]))))
    b, back = rng.standard_normal(g.out_channels), rng.standard_normal(g.channels)
    sides = {"image": g.image_size, "map": g.map_size}
    found: dict[str, Any] = {}
    for kind, read, wrote, bias in (
        ("conv2d", "image", "map", b),
        ("conv_transpose2d", "map", "image", back),
    ):
        x, delta, target = draw(batch, sides[read]), draw(batch, sides[wrote]), draw(batch, sides[wrote])
        out, dx, dw = draw(batch, sides[wrote]), draw(batch, sides[read]), np.empty_like(w)
        loss, only, grad = np.empty(batch), np.empty(batch), draw(batch, sides[wrote])
        getattr(OPS, f"{kind}_act")(x, w, bias, TANH, out, None, geometry=g)
        getattr(OPS, f"{kind}_dgrad")(delta, w, TANH, None, None, dx, geometry=g)
        getattr(OPS, f"{kind}_wgrad")(delta, x, dw, False, None, geometry=g)
        shared = x, w, bias, TANH, 0, target
        scales = np.full(batch, 1 / batch), 0.5, None
        getattr(OPS, f"{kind}_loss_grad")(*shared, *scales, loss, grad, geometry=g)
        getattr(OPS, f"{kind}_loss")(*shared, None, only, geometry=g)
        for name, value in (
            ("out", out),
            ("dx", dx),
            ("dw", dw),
            ("loss", loss),
            ("only", only),
            ("grad", grad),
        ):
            found[f"{kind}.{name}"] = value.copy()
    return found


@pytest.mark.parametrize("windows", [1, 300, 5000])
@pytest.mark.parametrize("name", GEOMETRIES)
def test_blocks_change_nothing(name: str, windows: int, monkeypatch: pytest.MonkeyPatch) -> None:
    whole = all_ops(GEOMETRIES[name], 7, apart=False)
    monkeypatch.setattr(products, "WINDOWS", windows)
    monkeypatch.setattr(products, "LEAST_PIXELS", 1)
    for apart in (False, True):
        for key, value in all_ops(GEOMETRIES[name], 7, apart).items():
            np.testing.assert_allclose(value, whole[key], rtol=1e-11, atol=1e-11, err_msg=f"{key}, {apart}")


@pytest.mark.parametrize("name", GEOMETRIES)
def test_the_same_bits_each_time(name: str) -> None:
    first, second = (all_ops(GEOMETRIES[name], 7, apart=False) for _ in range(2))
    assert {key: value.tobytes() for key, value in first.items()} == {
        key: value.tobytes() for key, value in second.items()
    }


def test_no_windows_of_a_whole_batch_are_held(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(scratch._buffers, "held", {})
    g = Geometry.of((8, 40, 40), 8, 3, padding=1)
    all_ops(g, 20, apart=False)
    held = {purpose: buffer.size for (purpose, _), buffer in scratch._buffers.held.items()}
    row = g.out_width * 9 * g.channels  # the windows of one row of the map
    images = max(1, products.WINDOWS // (g.out_height * row))
    assert 0 < held.pop("windows") <= products.WINDOWS + row
    assert max(held.values()) <= images * max(g.image_size, g.map_size)
