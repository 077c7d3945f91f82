"""Convolutions in the native step loop: the ops' composition bit for bit for any number of threads, and what it refuses."""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

import aefast
from aefast import backends, testing
from aefast.backends.interpreter import InterpretedProgram
from aefast.geometry import Geometry
from aefast.ops import NAMES
from aefast.testing.require import skip_or_fail

if not backends.available("cpu"):
    skip_or_fail("cpu", backends.available("cpu").reason)

from aefast import _cpu

F = np.float32
CPU = [target for target in testing.targets() if target.backend == "cpu"]
# image_shape, arguments of Topology.conv, arguments of Trainer
MODELS: dict[str, tuple[tuple[int, int, int], dict[str, Any], dict[str, Any]]] = {
    "transpose": (
        (3, 8, 9),
        {"channels": (4, 18), "n_components": 5, "kernel_size": (3, 4), "stride": (2, 3)},
        {"clip_norm": 0.05},
    ),
    "resize, max pooling": (
        (1, 9, 7),
        {"channels": (8, 16), "hidden_layer_sizes": (11,), "decoder": "resize", "pooling": "max"},
        {"loss": "mae", "optimizer": "lion", "learning_rate": 1e-3},
    ),
    "variational, average pooling": (
        (2, 8, 8),
        {
            "channels": (4, 6),
            "n_components": 3,
            "pooling": "average",
            "variational": True,
            "output_activation": "sigmoid",
        },
        {"reduction": "sum", "loss": "bce", "free_bits": 0.1, "weight_decay": 0.01},
    ),
    "a map as code, groups": (
        (4, 8, 6),
        {
            "channels": (8, 8),
            "n_components": None,
            "groups": 4,
            "dilation": 2,
            "activation": "gelu",
            "latent_activation": "sigmoid",
        },
        {
            "ema": 0.9,
            "feature_weight": np.linspace(0.5, 1.5, 192),
            "sparsity": aefast.Sparsity("kl", 0.1, 0.3),
            "corruption": aefast.Corruption("masking", 0.3),
        },
    ),
}


@pytest.fixture(params=CPU, ids=str)
def cpu(request: pytest.FixtureRequest) -> Iterator[testing.Target]:
    """Every instruction set and dtype; small steps too on all threads."""
    found: testing.Target = request.param
    _cpu.set_flops_per_thread(0)
    with found.active():
        yield found
    _cpu.set_flops_per_thread(1.5e6)
    _cpu.set_num_threads(0)


def data(model: str, n: int = 37) -> NDArray[np.float32]:
    return np.random.default_rng(5).random((n, int(np.prod(MODELS[model][0])))).astype(F)


def make(model: str, dtype: str = "float32", backend: str = "cpu", **more: Any) -> aefast.Trainer:
    shape, layers, settings = MODELS[model]
    topology = aefast.Topology.conv(shape, **layers)
    return aefast.Trainer(
        topology, backend=backend, dtype=dtype, **{"batch_size": 16, "seed": 3, **settings, **more}
    )


def bits(made: aefast.Trainer) -> dict[str, bytes]:
    return {name: flat.tobytes() for name, flat in made.flat_buffers.items()}


def one_by_one(made: aefast.Trainer, dtype: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Has the model's steps done by the native ops, called one after the other."""
    native, reference = made._backend.ops_for(dtype), backends.get("numpy").ops
    ops = SimpleNamespace(
        **{
            name: functools.wraps(getattr(reference, name))(functools.partial(getattr(native, name)))
            for name in NAMES
        }
    )
    monkeypatch.setattr(made._backend, "bind", lambda plan, state, _: InterpretedProgram(plan, state, ops))


@pytest.mark.parametrize("model", MODELS)
def test_run_steps_is_the_composition_of_the_ops_for_any_number_of_threads(
    cpu: testing.Target, model: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    x = data(model)

    def everything(made: aefast.Trainer) -> Any:
        return made.fit(x, epochs=2).loss, bits(made), made.encode(x).tobytes(), made.reconstruct(x).tobytes()

    fused = [everything(make(model, cpu.dtype, n_threads=n)) for n in (1, 2, 3, 5)]
    composed = make(model, cpu.dtype)
    one_by_one(composed, cpu.dtype, monkeypatch)
    expected = everything(composed)
    assert isinstance(composed._program("train", 16)[1], InterpretedProgram)
    assert all(run == expected for run in fused)


@pytest.mark.parametrize("model", MODELS)
def test_gradients_are_those_of_the_reference_in_float64(model: str) -> None:
    x = data(model, 16)
    loss, found = make(model).gradients(x)
    exact_loss, exact = make(model, "float64", "numpy").gradients(x)
    assert loss == pytest.approx(exact_loss, rel=1e-5)
    assert found.keys() == exact.keys()
    for name, expected in exact.items():
        np.testing.assert_allclose(
            found[name], expected, rtol=0, atol=2e-5 * np.abs(expected).max(), err_msg=name
        )


@pytest.mark.parametrize("policy", ["skip", "propagate"])
def test_a_step_that_is_not_finite_leaves_weights_and_their_packed_copies_alike(
    policy: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    x = data("transpose", 96)
    fused, composed = (make("transpose", nonfinite=policy, shuffle=False) for _ in range(2))
    x[fused._order(96)[20]] = np.inf  # of the second step
    loss = fused.fit(x, epochs=1).loss
    assert np.isfinite(fused.flat_buffers["params"]).all() == (policy == "skip")
    one_by_one(composed, "float32", monkeypatch)
    np.testing.assert_array_equal(loss, composed.fit(x, epochs=1).loss)
    for name, flat in fused.flat_buffers.items():
        np.testing.assert_array_equal(flat, composed.flat_buffers[name])


@pytest.mark.parametrize("model", MODELS)
def test_a_row_is_transformed_alike_in_any_batch(cpu: testing.Target, model: str) -> None:
    made, rows = make(model, cpu.dtype), data(model, 70)
    for transform in (made.encode, made.reconstruct):
        whole = transform(rows)
        for batch in (1, 7, 33):
            parts = np.concatenate([transform(rows[i : i + batch]) for i in range(0, len(rows), batch)])
            assert (parts == whole).all(), batch


LARGE = aefast.Topology.conv((3, 32, 32), channels=(32, 64), n_components=4, stride=1, kernel_size=5)


def large(n: int) -> tuple[aefast.Trainer, NDArray[np.float32]]:
    """Of whose steps one takes longer than the 50 ms after which signals are asked for."""
    made = aefast.Trainer(LARGE, backend="cpu", batch_size=n, n_threads=1, seed=1)
    return made, np.random.default_rng(0).random((n, LARGE.n_features)).astype(F)


@pytest.mark.parametrize("at", [1, 2])
def test_a_step_is_given_up_inside_and_done_again_bit_by_bit(
    at: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    (whole, _), asked = large(24), list[int]()
    monkeypatch.setattr("aefast.interrupts.pending", lambda: asked.append(1) or len(asked) == at)
    made, x = large(24)
    program, outcomes = made._program("train", 24)[1], []
    run_steps = program.run_steps
    monkeypatch.setattr(program, "run_steps", lambda *a: outcomes.append(run_steps(*a)) or outcomes[-1])
    made.fit_epoch(x)
    if len(asked) < at:
        pytest.skip("the whole step took less than 50 ms")
    assert [(o.steps_done, o.interrupted) for o in outcomes] == [(0, True), (1, False)]
    monkeypatch.undo()
    whole.fit_epoch(x)
    assert bits(made) == bits(whole)


def test_inference_is_given_up_between_its_layers(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("aefast.interrupts.pending", lambda: True)
    monkeypatch.setattr("aefast.engine.INFERENCE_ELEMENTS", 2**40)  # all rows in one call
    made, x = large(128)
    with pytest.raises(KeyboardInterrupt):
        made.reconstruct(x)


def test_nothing_is_written_beside_the_buffers() -> None:
    """The arena's words between the rows and behind the buffers keep what they held."""
    made = make("resize, max pooling", n_threads=2)
    made.fit(data("resize, max pooling"), epochs=1)
    plan, program = made._program("train", 16)
    arena = program._native.arena
    written = np.zeros(arena.shape, bool)
    for ref in plan.buffers.values():
        if ref.space == "arena":
            places = (
                ref.offset
                + np.arange(ref.rows)[:, None] * ref.row_stride
                + np.arange(ref.cols) * ref.col_stride
            )
            written[places] = True
    arena[~written] = 123
    made.fit(data("resize, max pooling"), epochs=2)
    assert (~written).any() and (arena[~written] == 123).all()


G = Geometry.of((4, 6, 5), 6, 3, stride=2, padding=1)
BAD: list[tuple[dict[str, int], str]] = [
    ({"stride_y": 0}, r"must be in \[1, 2\^24\], but one is 0"),
    ({"pad_left": -1}, r"padding must be in \[0, 2\^24\], but is -1"),
    ({"groups": 4}, r"channels \(4\) and out_channels \(6\) must be multiples of groups \(4\)"),
    ({"kernel_height": 2**24, "kernel_width": 2**24}, "at most 2\\^40 elements"),
    ({"height": 7}, r"x must have shape \(any, 140\), but has \(2, 120\)"),
    ({"kernel_width": 4}, r"w must have shape \(6, 48\), but has \(6, 36\)"),
    ({"out_height": 9}, r"out must have shape \(2, 162\), but has \(2, 54\)"),
]


def forged(geometry: Geometry, **fields: int) -> Any:
    """What the class itself would refuse."""
    return SimpleNamespace(**{**dataclasses.asdict(geometry), **fields})


@pytest.mark.parametrize(("fields", "message"), BAD)
def test_a_geometry_that_does_not_fit_is_refused(fields: dict[str, int], message: str) -> None:
    x, w, b, out = np.ones((2, 120), F), np.ones((6, 36), F), np.ones(6, F), np.empty((2, 54), F)
    _cpu.conv2d_act(x, w, b, 0, out, None, G)
    padded, again = np.full((6, 40), np.nan, F)[:, :36], np.empty_like(out)
    padded[...] = w
    _cpu.conv2d_act(x, padded, b, 0, again, None, G)
    assert (again == out).all()
    with pytest.raises(ValueError, match=message):
        _cpu.conv2d_act(x, w, b, 0, out, None, forged(G, **fields))
    with pytest.raises(
        TypeError, match=r"must be an aefast.geometry.Geometry, but tuple has no integer height"
    ):
        _cpu.conv2d_act(x, w, b, 0, out, None, (6, 5, 4))
    refs = {"x": ("arena", 0, 2, 120, 120, 1), "out": ("arena", 240, 2, 54, 54, 1)}
    refs |= {"w": ("params", 0, 6, 36, 36, 1), "b": ("params", 216, 1, 6, 6, 1)}
    call: dict[str, Any] = {"op": "conv2d_act", "args": refs}
    attrs = {name: float(value) for name, value in dataclasses.asdict(G).items()}
    _cpu.Program([("rows", [{**call, "attrs": {"act": 0.0, **attrs}}])], 2, 348, 0, np.ones(222, F))
    for changed in (fields, {"pad_top": 0.5}):
        phases = [("rows", [{**call, "attrs": {"act": 0.0, **attrs, **changed}}])]
        with pytest.raises(ValueError, match=r"geometry: |must be|is 2 x|is 6 x"):
            _cpu.Program(phases, 2, 348, 0, np.ones(222, F))


def test_windows_that_pooling_and_upsampling_can_not_do_are_refused() -> None:
    pool = Geometry.of((4, 6, 5), 4, 2, stride=2, groups=4)
    x, out = np.ones((2, 120), F), np.empty((2, pool.map_size), F)
    _cpu.pool2d(x, 0, out, pool)
    with pytest.raises(ValueError, match="window 0 of the height covers no pixel of the image"):
        _cpu.pool2d(x, 0, out, forged(pool, pad_top=2))
    with pytest.raises(ValueError, match=r"pooling works channel by channel: groups \(2\)"):
        _cpu.pool2d(x, 0, out, forged(pool, groups=2))
    with pytest.raises(ValueError, match=r"kind must be a code in \[0, 2\)"):
        _cpu.pool2d(x, 2, out, pool)
    with pytest.raises(ValueError, match="kernel and stride must be equal"):
        _cpu.upsample2d(out, x, forged(pool, kernel_width=3))
    with pytest.raises(ValueError, match="but the image has 6 x 5"):
        _cpu.upsample2d(out, x, pool)
    with pytest.raises(ValueError, match="n must divide x's 120 columns, but is 7"):
        _cpu.transpose_rows(x, 7, np.empty_like(x))
    with pytest.raises(ValueError, match="delta must have a multiple of db's 7 columns, but has 120"):
        _cpu.bias_grad(x, np.empty(7, F), None)


@pytest.mark.parametrize("pixels", [1, 3, 784, 5000])
@pytest.mark.parametrize("channels", [1, 3, 8, 70])
def test_a_bias_gradient_is_the_sum_over_rows_and_pixels_whatever_the_threads(
    cpu: testing.Target, channels: int, pixels: int
) -> None:
    delta = np.random.default_rng(0).standard_normal((9, pixels * channels)).astype(F)
    results = []
    for n in (1, 2, 3, 5):
        _cpu.set_num_threads(n)
        db, partials = np.full(channels, np.nan, F), np.empty(2)
        _cpu.bias_grad(delta, db, partials)
        results.append((db.tobytes(), partials.tobytes()))
    assert len(set(results)) == 1
    exact = delta.astype(np.float64).reshape(-1, channels)
    bound = 2**-24 * (256 + 9 + pixels / 256) * np.abs(exact).sum(0)
    assert (np.abs(db - exact.sum(0)) <= bound).all()
    np.testing.assert_allclose(partials, [np.sum(db.astype(np.float64) ** 2), 0], rtol=1e-12)
