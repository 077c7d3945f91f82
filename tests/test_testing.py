"""The tools of the suite itself: error bounds hold and are tight, guards see a stray word, comparisons fail."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from aefast import activations, losses, testing
from aefast.testing import guards
from aefast.testing.bounded import Bounded
from aefast.testing.require import skip_or_fail

RNG = np.random.default_rng(0)


def bounded(x: np.ndarray) -> Bounded:
    rounded = x.astype(np.float32).astype(np.float64)
    return Bounded(rounded, np.zeros(rounded.shape), np.float32)


FORMULAS: dict[str, Any] = {
    **{row.name: row.function for row in activations.TABLE},
    **{f"{row.name} of x and its square": (lambda x, row=row: row.value(x, x * x)) for row in losses.TABLE},
    "cancellation": lambda x: (1 + x) - x,
    "quotient": lambda x: x / (x * x + 1),
    "log": lambda x: np.log(np.abs(x) + 1e-3),
    "where": lambda x: np.where(x * 0.1 > 0.01, x, 100 * x),
}


@pytest.mark.parametrize("name", FORMULAS)
def test_bounds_hold_and_are_of_the_right_size(name: str) -> None:
    x = np.concatenate([RNG.standard_normal(3000) * s for s in (1e-6, 1e-2, 1.0, 10.0, 100.0)])
    bound = FORMULAS[name](bounded(x))
    single = FORMULAS[name](x.astype(np.float32)).astype(np.float64)
    error = np.abs(single - bound.value)
    assert (error <= bound.error).all()
    # not loose: no more than some tens of roundings of the largest intermediate
    scale = np.abs(bound.value) + np.abs(x) + x * x + 2
    assert np.median(bound.error / scale) < 64 * 2.0**-24


@pytest.mark.parametrize("k", [1, 7, 100, 1000])
def test_products_stay_within_gamma(k: int) -> None:
    a, b = RNG.standard_normal((20, k)), RNG.standard_normal((k, 30))
    bound = bounded(a) @ bounded(b)
    error = np.abs(a.astype(np.float32) @ b.astype(np.float32) - bound.value)
    assert (error <= bound.error).all()
    assert (bound.error <= 1.01 * (k + 1) * 2.0**-24 * (np.abs(a) @ np.abs(b)) + 1e-30).all()


def test_a_bound_is_infinite_where_the_precision_overflows_and_only_there() -> None:
    x = bounded(np.array([1e20, 1e10]))
    assert np.isinf((x * x).error).tolist() == [True, False]
    assert np.isinf((x / (x - x)).error).all()


def test_an_uncertain_comparison_counts_both_ways() -> None:
    x = bounded(np.array([1.0, 1.0])) * (1 / 3)
    edge = x - bounded(np.array([1 / 3, 0.1]))
    assert (edge > 0).uncertain.tolist() == [True, False]
    assert np.where(edge > 0, 5.0, edge).error[0] > 4 > np.where(edge > 0, 5.0, edge).error[1]


@pytest.mark.parametrize("layout", guards.LAYOUTS, ids=lambda layout: layout.name)
@pytest.mark.parametrize("transposed", [False, True])
def test_guards(layout: guards.Layout, transposed: bool) -> None:
    content = RNG.standard_normal((5, 7))
    for dtype in (np.float32, np.float64):
        buffer = guards.Buffer(content, dtype, layout, transposed)
        assert (buffer.view == content.astype(dtype)).all() and not buffer.changed()
        assert 1 in {stride // buffer.view.itemsize for stride in buffer.view.strides}
        address = buffer.view.ctypes.data
        assert address % 64 == (layout.offset * buffer.view.itemsize if layout.offset else 0)
        buffer.view[...] = 0
        assert buffer.changed() and not buffer.overrun()
        wide = np.lib.stride_tricks.as_strided(buffer.view, (1,), (8,))
        for off in (-1, 7 if not transposed else 5):
            fresh = guards.Buffer(content, dtype, layout, transposed)
            wide = np.lib.stride_tricks.as_strided(
                fresh.view, (off + 1,) if off > 0 else (1,), (fresh.view.itemsize,)
            )
            if off > 0 and layout.padding:
                wide[off] = 1
                assert fresh.overrun()


def test_guards_of_vectors_and_integers() -> None:
    for content, dtype in ((np.ones(9), np.float32), (np.full(9, -1), np.int64)):
        buffer = guards.Buffer(content, dtype)
        behind = np.lib.stride_tricks.as_strided(buffer.view, (10,), buffer.view.strides)
        behind[9] = 3
        assert buffer.overrun()


def test_every_op_and_variant_has_cases() -> None:
    for op in testing.ops():
        for variant in testing.variants(op):
            labels = [str(case) for case in testing.for_op(op, variant)]
            assert labels and len(set(labels)) == len(labels), (op, variant)


def test_cases_are_the_same_each_time() -> None:
    first, second = (list(testing.for_op("linear_loss_grad", "tanh/mse")) for _ in range(2))
    for a, b in zip(first, second, strict=True):
        for name, x in a.inputs.items():
            assert x is None or np.array_equal(x, b.inputs[name], equal_nan=True)


def test_cases_reach_the_edges() -> None:
    shapes = {out.shape for case in testing.for_op("linear_act", "relu") for out in case.outputs.values()}
    for place in (0, 1):
        sizes = {shape[place] for shape in shapes}
        assert sizes >= {1, 3, 4, 5, 6, 7, 8, 9, 15, 16, 17, 31, 32, 33, 37, 61, 97}
    assert any(case.transposed for case in testing.for_op("linear_wgrad", "accumulate"))
    assert {case.layout.name for case in testing.for_op("linear_act", "relu")} == {"tight", "arena", "odd"}


def test_most_of_what_is_compared_is_demanded() -> None:
    """Infinite bounds are for overflow alone: they must be few."""
    reference = testing.compare.reference_ops()
    for op in ("linear_act", "linear_loss_grad", "linear_dgrad", "linear_wgrad", "update"):
        free = total = 0
        for case in testing.for_op(op, testing.variants(op)[0]):
            for _, allowed in testing.compare.expectation(case, np.float32, reference).values():
                free, total = free + int(np.isinf(allowed).sum()), total + allowed.size
        assert free < 0.01 * total, op


def test_required_skips_are_failures(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AEFAST_REQUIRE", "torch, cuda")
    with pytest.raises(
        pytest.fail.Exception, match="cuda is required by AEFAST_REQUIRE, but there is no device"
    ):
        skip_or_fail("cuda", "there is no device")
    with pytest.raises(pytest.skip.Exception, match="numba: it isn't installed"):
        skip_or_fail("numba", "it isn't installed")


def test_slack_is_stated_once() -> None:
    assert testing.tolerances.SLACK == {"float32": 2.0, "float64": 4.0, "bfloat16": 2.0}


def test_the_command_reports_and_exits_by_failures(capsys: pytest.CaptureFixture[str]) -> None:
    from aefast.testing.__main__ import main

    assert main(["--backend", "numpy", "--op", "bias_grad", "--cases", "100"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == 3 and all(" 170 cases      0 failures  worst 0." in line for line in lines)
