"""Convolutional nets in the comparison: their reference is the definition, their count of operations is one, and what a wrong
contender would hand in is outside of the tolerances."""

from __future__ import annotations

import argparse
import importlib
import itertools
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

conv_nets = pytest.importorskip(
    "bench.conv_nets", reason="bench/ is not in this installation; run from the repository"
)
from bench import compare, data, nets, products, reference, report  # noqa: E402
from bench.contenders import CONTENDERS, of  # noqa: E402

# An even image with "same" padding, an odd one that isn't square, and padding on all sides.
NETS = ("conv:1x12x12:4-8:k3s2:5/16", "conv:3x13x10:4-8-3:k3s2:5/16", "conv:3x16x16:4-8:k4s2p1:5/16")
LAYERS = ("layer:8x11x12:4:k3s1/3", "layer:3x12x12:5:k3s2/3")
NET = nets.find(NETS[0])
X = data.data(NET)
TRUE = reference.truth(NET, X)
CONVOLUTIONS = [p for name in (*NETS, *LAYERS) for p in nets.find(name).products if p.weight_shape[2:]]


def by_definition(product: Any, x: np.ndarray, w: np.ndarray, b: np.ndarray) -> tuple[np.ndarray, int]:
    """The output, a term at a time, and the number of terms."""
    g = product.geometry
    image, mapped = (g.height, g.width, g.channels), (g.out_height, g.out_width, g.out_channels)
    sides = (mapped, image) if product.transposed else (image, mapped)
    x, out = x.reshape(-1, *sides[0]), np.zeros((len(x), *sides[1])) + b
    terms = 0
    for y, u, i, j in itertools.product(*map(range, (*mapped[:2], g.kernel_height, g.kernel_width))):
        row, column = y * g.stride_y + i - g.pad_top, u * g.stride_x + j - g.pad_left
        if not (0 <= row < g.height and 0 <= column < g.width):
            continue
        terms += g.channels * g.out_channels
        if product.transposed:
            out[:, row, column] += x[:, y, u] @ w[:, i, j]
        else:
            out[:, y, u] += x[:, row, column] @ w[:, i, j].T
    return out.reshape(len(x), -1), terms


@pytest.mark.parametrize("product", CONVOLUTIONS, ids=str)
def test_products_are_the_definition_and_its_derivatives(product: products.Convolution) -> None:
    rng = np.random.default_rng(0)
    g = product.geometry
    n_in, n_out = (g.map_size, g.image_size) if product.transposed else (g.image_size, g.map_size)
    x, delta = rng.standard_normal((2, n_in)), rng.standard_normal((2, n_out))
    w, b = rng.standard_normal(product.weight_shape), rng.standard_normal(product.n_bias)
    out, terms = by_definition(product, x, w, b)
    np.testing.assert_allclose(product.forward(x, w, b), out, atol=1e-10)
    assert product.flops == 2 * terms
    # A product is linear in either side, so that a derivative is the adjoint: <delta, f(v)> = <f'(delta), v>.
    other = rng.standard_normal(x.shape), rng.standard_normal(w.shape)
    zero = np.zeros_like(b)
    assert np.sum(delta * product.forward(other[0], w, zero)) == pytest.approx(
        np.sum(product.input_gradient(delta, w) * other[0])
    )
    assert np.sum(delta * product.forward(x, other[1], zero)) == pytest.approx(
        np.sum(product.weight_gradient(delta, x) * other[1])
    )
    np.testing.assert_allclose(product.bias_gradient(delta), delta.reshape(-1, len(b)).sum(axis=0))


def test_step_flops_leave_out_the_first_layers_input_gradient() -> None:
    each = [product.flops for product in NET.products]
    assert len(each) == 6 and NET.flops == NET.batch * (each[0] * 2 + sum(each[1:]) * 3)
    single = nets.find(LAYERS[0])
    assert single.flops == 3 * 3 * single.product.flops


def test_the_decoder_mirrors_the_encoder() -> None:
    made = NET.products
    assert [(p.geometry, p.transposed) for p in made[:2]] == [(p.geometry, False) for p in made[:3:-1]]
    assert [getattr(p, "transposed", None) for p in made] == [False, False, None, None, True, True]
    assert NET.rectified == (True, True, False, True, True, False)


# The check ------------------------------------------------------------------------------------------------------------


def _passes(losses: list[float], end: list[np.ndarray]) -> bool:
    return reference.passes(TRUE.errors(losses, [a.astype(np.float32) for a in end]))


@pytest.mark.parametrize("name", NETS)
def test_float32_rounding_is_far_inside_of_the_tolerances(name: str) -> None:
    net = nets.find(name)
    x = data.data(net)
    assert reference.passes(reference.float32_alone(net, x, reference.truth(net, x)), 0.05)


def _method(name: str, wrong: Callable[[Any], Any]) -> Callable[[pytest.MonkeyPatch], None]:
    """A convolution's method whose result is made wrong."""

    def plant(monkeypatch: pytest.MonkeyPatch) -> None:
        real = getattr(products.Convolution, name)
        monkeypatch.setattr(products.Convolution, name, lambda *arguments: wrong(real(*arguments)))

    return plant


def _shifted(rows: np.ndarray) -> np.ndarray:
    return np.roll(rows, 1, axis=1)


def _no_last_row(rows: np.ndarray) -> np.ndarray:
    """Without the map's or the image's last pixels."""
    rows = rows.copy()
    rows[:, -4:] = 0
    return rows


def _other_padding(monkeypatch: pytest.MonkeyPatch) -> None:
    import dataclasses

    def moved(window: Any, image: Any, n: int) -> Any:
        return dataclasses.replace(real(window, image, n), pad_top=1, pad_left=1)

    real = conv_nets.Window.geometry
    monkeypatch.setattr(conv_nets.Window, "geometry", moved)


BUGS = {
    "a mirrored kernel's gradient": _method("weight_gradient", lambda dw: dw[:, ::-1]),
    "a kernel's gradient with its axes exchanged": _method("weight_gradient", lambda dw: dw.transpose(0, 2, 1, 3)),
    "an input gradient a feature aside": _method("input_gradient", _shifted),
    "an input gradient without its end": _method("input_gradient", _no_last_row),
    "an output a feature aside": _method("forward", _shifted),
    "an output without its end": _method("forward", _no_last_row),
    "half of a bias gradient": _method("bias_gradient", lambda db: np.concatenate([db[:-1], [0.0]])),
    "the odd pixel of padding above and left": _other_padding,
}  # fmt: skip


@pytest.mark.parametrize("bug", BUGS)
def test_a_planted_bug_fails(bug: str, monkeypatch: pytest.MonkeyPatch) -> None:
    assert _passes(TRUE.losses, TRUE.end)
    BUGS[bug](monkeypatch)
    wrong = reference.truth(nets.find(NETS[0]), X)
    assert not _passes(wrong.losses, wrong.end)


def test_checked_rows_are_clear_of_the_kinks_that_they_meet() -> None:
    run = reference.Run(NET, np.float64)
    for i in range(NET.n_check_steps):
        batch = X[i * NET.batch : (i + 1) * NET.batch]
        assert data.clear_on_the_way(NET, run.params, batch).all()
        run.step(batch)


@pytest.mark.parametrize("layer", [0, 1, 3, 4])
def test_a_pixel_at_a_kink_is_found(layer: int) -> None:
    params = [a.astype(np.float64) for pair in nets.initial(NET) for a in pair]
    h = X[2:3].astype(np.float64)
    for i in range(layer):
        h = NET.products[i].forward(h, params[2 * i], params[2 * i + 1])
        h = np.maximum(h, 0) if NET.rectified[i] else h
    z = NET.products[layer].forward(h, params[2 * layer], np.zeros_like(params[2 * layer + 1]))
    params[2 * layer + 1][0] = -z[0, 0] * (1 + 1e-9)
    assert not data.clear_on_the_way(NET, params, X[2:3])[0]


# Contenders -----------------------------------------------------------------------------------------------------------


def _contender(name: str, net: Any, x: np.ndarray) -> Any:
    entry = CONTENDERS[name]
    pytest.importorskip(entry.requires)
    return importlib.import_module(f"bench.contenders.{entry.module}").Contender(net, x, entry.option, "auto")


def _held_to_the_reference(name: str, net: Any) -> None:
    x = data.data(net)
    true, contender = reference.truth(net, x), _contender(name, net, x)
    for _ in range(2):  # a check leaves the contender as it found it
        losses, pairs = contender.check()
        errors = true.errors(losses, [array for pair in pairs for array in pair])
        assert reference.passes(errors, 0.2), errors
    contender.run(1)


@pytest.mark.parametrize("net", NETS)
@pytest.mark.parametrize("name", [name for name in of("conv") if "compile" not in name])
def test_a_contender_is_within_the_tolerances(name: str, net: str) -> None:
    _held_to_the_reference(name, nets.find(net))


@pytest.mark.parametrize("net", LAYERS)
@pytest.mark.parametrize("name", of("layer"))
def test_a_contender_of_layers_is_within_the_tolerances(name: str, net: str) -> None:
    _held_to_the_reference(name, nets.find(net))


def test_padding_that_torch_has_no_mirror_image_of_is_refused() -> None:
    pytest.importorskip("torch")
    from bench.contenders import torch_layers

    # An even kernel at stride 1: the odd pixel stands alone, and all sides alike would make a window too many.
    with pytest.raises(ValueError, match="no mirror image in torch"):
        torch_layers.module_of(nets.find("layer:3x8x8:4:k4s1/2").product)


# Driver ---------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "text",
    [
        *("conv:1x28:4:k3s2:5/16", "conv:1x28x28:k3s2:5/16", "conv:1x28x28:4:k3s0:5/16", "conv:1x28x28:4:k3:5/16"),
        *("conv:1x2x2:4:k9s1p0:5/16", "conv:1x28x28:4:k3s2:5", "layer:1x28x28:4-4:k3s2/16", "layer:1x2x2:4:k5s1p0/1"),
    ],
)  # fmt: skip
def test_what_is_no_net_is_refused(text: str) -> None:
    with pytest.raises(SystemExit, match="no net"):
        nets.find(text)


@pytest.mark.parametrize("name", [*NETS, *LAYERS, *conv_nets.NAMES])
def test_a_name_is_what_is_read(name: str) -> None:
    assert nets.find(name).name == name


def test_rows_of_a_set_by_number() -> None:
    assert [nets.find(str(i + 1), "conv").name for i in range(4)] == list(conv_nets.NAMES)
    assert nets.find("1").name == "64-32-64/32"


def test_who_cannot_do_a_net_is_not_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    options = argparse.Namespace(contenders=["sklearn", "torch-op"], threads=1, backend="auto", rounds=1)
    row = compare.measure(NET, options, 0.1)
    assert row["results"] == []


def test_nets_and_single_layers_have_a_table_each() -> None:
    def row(net: str, names: tuple[str, ...]) -> dict[str, Any]:
        results = [
            {"contender": n, "status": "ok", "detail": "", "seconds_a_step": [1.0], "versions": {}} for n in names
        ]  # fmt: skip
        return {"net": net, "results": results, "flops": 1e9, "peak_gflops": 10.0, "peak_method": "measured"}

    rows = [
        row(NETS[0], ("aefast-epoch", "jax-scan")), row(NETS[1], ("aefast-epoch", "jax-scan")),
        row(LAYERS[0], ("aefast-op", "jax-op")),
    ]  # fmt: skip
    document = {
        **dict.fromkeys(("command", "machine", "cores", "system", "date", "commit", "note", "python"), ""),
        "instruction_sets": [], "load_before": 0.0, "threads": 1, "rounds": 1, "rows": rows,
    }  # fmt: skip
    told = report.markdown(document)
    heads = [line for line in told.splitlines() if line.startswith("| net/batch")]
    assert [head.split(" | ")[1:3] for head in heads] == [
        ["aefast-epoch", "jax-scan"],
        ["aefast-op", "jax-op"],
    ]
    assert "no Adam" in told and told.count("- `jax-op`") == 1
