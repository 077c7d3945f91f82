"""Planted bugs in the ops of images: each must turn the op suite red."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from test_canaries import OPS, Bug, changed, is_caught, spoiled, without_tail, zero

from aefast import activations, testing
from aefast.geometry import Geometry
from aefast.layers import POOL_CODES

IDENTITY = activations.CODES["identity"]


def moved(**shift: int) -> Callable[[Geometry], Geometry]:
    """The geometry with some fields larger by that much, as far as they can be."""

    def tamper(g: Geometry) -> Geometry:
        lows = {name: 0 if name.startswith("pad") else 1 for name in shift}
        return replace(g, **{name: max(lows[name], getattr(g, name) + by) for name, by in shift.items()})

    return tamper


def reordered(order: Callable[[np.ndarray], np.ndarray]) -> Callable[..., None]:
    """Spoils the call's own weight: a kernel that reads its taps in that order."""

    def tamper(op: str) -> tuple[str, Bug]:
        def bug(**k: Any) -> None:
            w = k["w"]
            k["w"] = order(w.reshape(k["geometry"].weight_shape)).reshape(w.shape)
            getattr(OPS, op)(**k)

        return op, bug

    return tamper


def without_a_tap(w: np.ndarray) -> np.ndarray:
    w = w.copy()
    w[:, -1, -1] = 0
    return w


def columns_first(w: np.ndarray) -> np.ndarray:
    return np.ascontiguousarray(w.transpose(0, 2, 1, 3))


def turned(w: np.ndarray) -> np.ndarray:
    return w[:, ::-1, ::-1]


def _bias_by_pixel(k: dict[str, Any]) -> None:
    z = np.empty_like(k["out"])
    OPS.conv2d_act(**{**k, "b": np.zeros_like(k["b"]), "act": IDENTITY, "out": z, "pre": None})
    bias = np.repeat(k["b"], z.shape[1] // len(k["b"]))
    k["out"][...] = activations.TABLE[k["act"]].function(z + bias)


def _first_image_alone(x: np.ndarray) -> np.ndarray:
    x = x.copy()
    x[1:] = 0
    return x


def _stale(k: dict[str, Any]) -> None:
    if k["partials"] is not None:
        k["partials"][1] = 1.0


def _taps_turned(k: dict[str, Any]) -> None:
    k["dw"][...] = turned(k["dw"].reshape(k["geometry"].weight_shape)).reshape(k["dw"].shape)


def _zeros_pooled(k: dict[str, Any]) -> None:
    g = k["geometry"]
    if k["kind"] == POOL_CODES["max"] and (g.pad_top or g.pad_left):
        k["out"][...] = np.maximum(k["out"], 0)


def _all_taps_counted(k: dict[str, Any]) -> None:
    if k["kind"] == POOL_CODES["average"]:
        g = k["geometry"]
        counts = np.empty((1, g.map_size))
        no_bias = np.zeros(g.out_channels)
        weight = np.full((g.out_channels, g.kernel_height * g.kernel_width), 1.0)
        OPS.conv2d_act(np.ones((1, g.image_size)), weight, no_bias, IDENTITY, counts, None, geometry=g)
        k["out"][...] = k["out"] * counts / (g.kernel_height * g.kernel_width)


def _last_maximum(**k: Any) -> None:
    x = k["x"]
    tilt = np.linspace(0, 1e-3, x.shape[1], dtype=x.dtype)
    OPS.pool2d_dgrad(**{**k, "x": x + tilt if k["kind"] == POOL_CODES["max"] else x})


def _nan_ignored(**k: Any) -> None:
    OPS.pool2d(**{**k, "x": np.nan_to_num(k["x"], nan=-1e30)})


def _mean_of_block(k: dict[str, Any]) -> None:
    k["out"][...] = k["out"] / (k["geometry"].stride_y * k["geometry"].stride_x)


def _neighbour(k: dict[str, Any]) -> None:
    k["out"][...] = np.roll(k["out"], k["geometry"].channels, axis=1)


def _channels_in_blocks(k: dict[str, Any]) -> None:
    k["db"][...] = k["delta"].reshape(len(k["delta"]), len(k["db"]), -1).sum((0, 2))


def _other_way(**k: Any) -> None:
    OPS.transpose_rows(**{**k, "n": k["x"].shape[1] // k["n"]})


BUGS: dict[str, tuple[str, Bug]] = {}
for kind in ("conv2d", "conv_transpose2d"):
    for part in ("act", "loss_grad", "loss", "dgrad"):
        op = f"{kind}_{part}"
        BUGS |= {
            f"{op}: a tap dropped": reordered(without_a_tap)(op),
            f"{op}: taps column by column": reordered(columns_first)(op),
            f"{op}: taps turned round": reordered(turned)(op),
            f"{op}: next output channel": reordered(lambda w: np.roll(w, 1, axis=0))(op),
            f"{op}: a pixel too far right": changed(op, geometry=moved(pad_left=1)),
            f"{op}: a pixel too far up": changed(op, geometry=moved(pad_top=-1)),
            f"{op}: dilation ignored": changed(op, geometry=lambda g: replace(g, dilation_x=1)),
            f"{op}: one group more": changed(op, w=lambda w: np.roll(w, len(w) // 2, axis=0)),
        }
        if part != "dgrad":
            BUGS[f"{op}: no bias"] = changed(op, b=zero)
    BUGS |= {
        f"{kind}_act: activation of the next row": changed(
            f"{kind}_act", act=lambda act: (act + 1) % len(activations.TABLE)
        ),
        f"{kind}_act: the image's end unread": changed(f"{kind}_act", x=without_tail),
        f"{kind}_act: pre is the output": spoiled(
            f"{kind}_act", lambda k: k["pre"] is None or k["pre"].__setitem__(..., k["out"])
        ),
        f"{kind}_loss_grad: without its scale": changed(f"{kind}_loss_grad", scale=lambda _: 1.0),
        f"{kind}_loss_grad: feature weights ignored": changed(
            f"{kind}_loss_grad", feature_weight=np.ones_like
        ),
        f"{kind}_loss: feature weights of channels": changed(
            f"{kind}_loss", feature_weight=lambda f: np.roll(f, 1)
        ),
        f"{kind}_dgrad: extra forgotten": changed(f"{kind}_dgrad", extra=zero),
        f"{kind}_dgrad: no derivative": changed(f"{kind}_dgrad", act=lambda _: IDENTITY),
        f"{kind}_wgrad: one image": changed(f"{kind}_wgrad", delta=_first_image_alone),
        f"{kind}_wgrad: a pixel too far right": changed(f"{kind}_wgrad", geometry=moved(pad_left=1)),
        f"{kind}_wgrad: taps turned round": spoiled(f"{kind}_wgrad", _taps_turned),
        f"{kind}_wgrad: always accumulates": changed(f"{kind}_wgrad", accumulate=lambda _: 1),
        f"{kind}_wgrad: accumulate ignored": changed(f"{kind}_wgrad", accumulate=lambda _: 0),
        f"{kind}_wgrad: flag stale": spoiled(f"{kind}_wgrad", _stale),
    }
BUGS |= {
    "bias of a pixel, not a channel": spoiled("conv2d_act", _bias_by_pixel),
    "pool: padding is a zero": spoiled("pool2d", _zeros_pooled),
    "pool: padding is counted": spoiled("pool2d", _all_taps_counted),
    "pool: NaN ignored": ("pool2d", _nan_ignored),
    "pool: the other kind": changed("pool2d", kind=lambda kind: 1 - kind),
    "unpool: the last maximum": ("pool2d_dgrad", _last_maximum),
    "unpool: no derivative": changed("pool2d_dgrad", act=lambda _: IDENTITY),
    "unpool: extra forgotten": changed("pool2d_dgrad", extra=zero),
    "upsampling moved": spoiled("upsample2d", _neighbour),
    "mean of a block": spoiled("upsample2d_dgrad", _mean_of_block),
    "transposed the other way": ("transpose_rows", _other_way),
    "last pixel's bias unread": changed("bias_grad", delta=without_tail),
    "channels in blocks": spoiled("bias_grad", _channels_in_blocks),
}


@pytest.mark.parametrize("name", BUGS)
def test_a_wrong_kernel_is_caught(name: str) -> None:
    assert is_caught(*BUGS[name])


def test_a_nan_must_come_out_of_its_windows() -> None:
    """And may in the rest of its image, but of no other."""
    op = "conv2d_act"
    cases = [c for v in testing.variants(op) for c in testing.for_op(op, v) if " nan" in c.label]
    assert cases

    def ops(spoil: Callable[[dict[str, Any]], None]) -> Any:
        return type("Ops", (), {op: staticmethod(spoiled(op, spoil)[1])})

    def whole_image(k: dict[str, Any]) -> None:
        k["out"][np.isnan(k["x"]).any(axis=1)] = np.nan
        if k["pre"] is not None:
            k["pre"][np.isnan(k["x"]).any(axis=1)] = np.nan

    def nowhere(k: dict[str, Any]) -> None:
        k["out"][...] = np.nan_to_num(k["out"])

    def everywhere(k: dict[str, Any]) -> None:
        k["out"][...] = np.nan

    assert all(testing.check(ops(whole_image), case, "float32") for case in cases)
    assert not any(testing.check(ops(nowhere), case, "float32") for case in cases)
    assert not any(
        testing.check(ops(everywhere), case, "float32") for case in cases if len(case.inputs["x"]) > 1
    )
