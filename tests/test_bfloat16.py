"""bfloat16 compute, op by op: what is rounded, how, and what is not. Models in it: test_bfloat16_models.py."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from conftest import require

import aefast
from aefast import testing
from aefast.backends import numpy as reference
from aefast.backends.numpy.bfloat16 import LINEAR, rounded

TARGETS = [target for target in testing.targets() if target.dtype == "bfloat16"]
OPS = reference.backend().ops_for("bfloat16")
F = np.float32


@pytest.fixture(params=TARGETS, ids=str)
def target(request: pytest.FixtureRequest) -> Any:
    found: testing.Target = request.param
    found.open()
    with found.active():
        yield found


# Rounding --------------------------------------------------------------------------------------------------------


def every_upper_half() -> np.ndarray:
    """All 2^16 upper halves of a float32, with lower halves at, just beside and far from a tie: (393216,)."""
    lower = np.array([0, 1, 0x7FFF, 0x8000, 0x8001, 0xFFFF], np.uint32)
    upper = np.arange(2**16, dtype=np.uint32) << 16
    return (upper[:, None] | lower).ravel().view(F)


def nearest_even(x: np.ndarray) -> np.ndarray:
    """The definition, in float64: 8 significant bits, ties to even, no subnormals, infinity from 2^128 on."""
    with np.errstate(all="ignore"):
        fraction, exponent = np.frexp(x.astype(np.float64))
        value = np.ldexp(np.rint(np.ldexp(fraction, 8)), exponent - 8)
        value = np.where(np.abs(x) < np.finfo(F).tiny, np.copysign(0.0, x), value)
        return np.where(np.abs(value) >= 2.0**128, np.copysign(np.inf, x), value).astype(F)


def same(a: np.ndarray, b: np.ndarray) -> bool:
    return bool(((a == b) | (np.isnan(a) & np.isnan(b))).all())


def test_the_reference_rounds_every_pattern_as_defined() -> None:
    x = every_upper_half()
    got = rounded(x)
    assert same(got, nearest_even(x)) and (np.signbit(got) == np.signbit(x))[~np.isnan(x)].all()
    assert (got.view(np.uint32) & 0xFFFF == 0).all()
    strided = np.lib.stride_tricks.as_strided(x, (1000, 3), (40, 4))
    assert same(rounded(strided), nearest_even(strided)) and rounded(x[:1].reshape(())).shape == ()


def test_the_reference_rounds_as_ml_dtypes_does() -> None:
    x = every_upper_half()
    normal = np.abs(x) >= np.finfo(F).tiny
    with np.errstate(invalid="ignore"):
        theirs = x.astype(require("ml_dtypes").bfloat16).astype(F)
    assert normal.sum() > 3.8e5 and same(rounded(x)[normal], theirs[normal])


def test_kernels_round_every_pattern_in_every_operand(target: testing.Target) -> None:
    """Products with a one: x and w of a forward pass, delta and w of dgrad, delta and a of wgrad."""
    ops, x = target.ops, every_upper_half()
    n, one, none = len(x), np.ones((1, 1), F), np.zeros(1, F)
    column, row, expected = x[:, None].copy(), x[None].copy(), rounded(x)
    by_row, by_column = np.full((n, 1), np.nan, F), np.full((1, n), np.nan, F)
    with np.errstate(all="ignore"):
        ops.linear_act(column, one, none, 0, by_row, None)
        assert same(by_row[:, 0], expected)
        ops.linear_act(one, column, np.zeros(n, F), 0, by_column, None)
        assert same(by_column[0], expected)
        ops.linear_dgrad(column, one, 0, None, None, by_row)
        assert same(by_row[:, 0], expected)
        ops.linear_dgrad(one, row, 0, None, None, by_column)
        assert same(by_column[0], expected)
        ops.linear_wgrad(row, one, by_row, None, False, None)
        assert same(by_row[:, 0], expected)
        ops.linear_wgrad(one, row, by_column, None, False, None)
        assert same(by_column[0], expected)


def test_numbers_that_need_every_digit_are_multiplied_exactly(target: testing.Target) -> None:
    """Integers below 2^8 are bfloat16 numbers, and sums of 61 products are below 2^24: exact in any order."""
    rng = np.random.default_rng(0)
    for b, m, n in ((61, 61, 37), (5, 61, 70), (33, 60, 1)):
        x, w = (rng.integers(-255, 256, shape).astype(F) for shape in ((b, m), (n, m)))
        out, dw = np.empty((b, n), F), np.empty((n, m), F)
        target.ops.linear_act(x, w, np.zeros(n, F), 0, out, None)
        assert (out == x @ w.T).all()
        target.ops.linear_wgrad(out % 256, x, dw, None, False, None)
        assert (dw == (out % 256).T @ x).all()


# Planted bugs ----------------------------------------------------------------------------------------------------


def truncated(x: np.ndarray) -> np.ndarray:
    return (x.view(np.uint32) & 0xFFFF0000).view(F)


def away_from_even(x: np.ndarray) -> np.ndarray:
    """Ties rounded up."""
    return ((x.view(np.uint32) + 0x8000) & 0xFFFF0000).view(F)


def with_arguments(op: str, **tamper: Any) -> tuple[str, Any]:
    """The reference with some arguments changed before it rounds its operands."""

    def bug(**k: Any) -> None:
        for name, change in tamper.items():
            if k[name] is not None:
                k[name] = change(k[name])
        getattr(OPS, op)(**k)

    return op, bug


def unrounded(op: str, **tamper: Any) -> tuple[str, Any]:
    """The float32 op, with operands that `tamper` rounds in its own way."""

    def bug(**k: Any) -> None:
        k |= {name: change(np.ascontiguousarray(k[name])) for name, change in tamper.items()}
        getattr(reference.backend().ops, op)(**k)

    return op, bug


OPERANDS = {
    "linear_act": ("x", "w"),
    "linear_loss_grad": ("h", "w"),
    "linear_loss": ("h", "w"),
    "linear_dgrad": ("delta", "w"),
}
BUGS: dict[str, tuple[str, Any]] = {
    **{f"{op}: nothing rounded": unrounded(op) for op in (*OPERANDS, "linear_wgrad")},
    **{
        f"{op}: only {kept} rounded": unrounded(op, **{kept: rounded})
        for op, names in OPERANDS.items()
        for kept in names
    },
    **{
        f"{op}: truncation": unrounded(op, **dict.fromkeys(names, truncated))
        for op, names in OPERANDS.items()
    },
    "linear_wgrad: truncation": unrounded("linear_wgrad", delta=truncated, a=truncated),
    "linear_wgrad: delta not rounded": unrounded("linear_wgrad", a=rounded),
    "db of the rounded delta": unrounded("linear_wgrad", delta=rounded, a=rounded),
    "target rounded": with_arguments("linear_loss_grad", target=rounded),
    "target of the row loss rounded": with_arguments("linear_loss", target=rounded),
    "bias rounded": with_arguments("linear_act", b=rounded),
    "slope of the rounded output": with_arguments("linear_dgrad", saved=rounded),
    "penalty's gradient rounded": with_arguments("linear_dgrad", extra=rounded),
}


def is_caught(op: str, bug: Any) -> bool:
    ops = SimpleNamespace(**{op: bug})
    cases = (case for variant in testing.variants(op) for case in testing.for_op(op, variant))
    return any(not testing.check(ops, case, "bfloat16") for case in cases)


@pytest.mark.parametrize("name", BUGS)
def test_a_wrong_product_is_caught(name: str) -> None:
    assert is_caught(*BUGS[name])


def test_a_wrong_tie_is_caught() -> None:
    x = every_upper_half()
    assert not same(away_from_even(x), nearest_even(x)) and not same(truncated(x), nearest_even(x))


def test_the_cases_hold_numbers_that_rounding_changes() -> None:
    case = next(iter(testing.for_op("linear_act", "identity")))
    for name in ("x", "w"):
        values = np.asarray(case.inputs[name], F)
        assert (rounded(values) != values).any()


def test_the_functional_front_computes_in_it(target: testing.Target) -> None:
    rng = np.random.default_rng(1)
    x, w, t = (rng.standard_normal(shape).astype(F) for shape in ((6, 9), (5, 9), (6, 5)))
    b, chosen = rng.standard_normal(5).astype(F), {"backend": target.backend, "compute_dtype": "bfloat16"}
    ops, exact = aefast.ops, {"rtol": 1e-6, "atol": 1e-6}
    z = rounded(x) @ rounded(w).T + b
    assert np.allclose(ops.linear_act(x, w, b, **chosen), z, **exact)
    assert not np.allclose(ops.linear_act(x, w, b, backend=target.backend), z, **exact)
    loss, delta = ops.linear_loss_grad(x, w, b, t, **chosen)
    assert np.allclose(delta, 2 * (z - t) / t.size, **exact) and np.isclose(loss, np.mean((z - t) ** 2))
    assert np.allclose(ops.linear_loss(x, w, b, t, **chosen), ((z - t) ** 2).sum(axis=1), **exact)
    assert np.allclose(ops.linear_dgrad(delta, w, **chosen), rounded(delta) @ rounded(w), **exact)
    dw, db = ops.linear_wgrad(delta, x, **chosen)
    assert np.allclose(dw, rounded(delta).T @ rounded(x), **exact) and np.allclose(
        db, delta.sum(axis=0), **exact
    )


def test_the_functional_front_says_what_it_takes() -> None:
    x, w, b = np.ones((2, 3), F), np.ones((4, 3), F), np.ones(4, F)
    with pytest.raises(ValueError, match=r"compute_dtype.*'float16'.*bfloat16"):
        aefast.ops.linear_act(x, w, b, compute_dtype="float16")
    with pytest.raises(TypeError, match="works on float32 arrays, but the first of linear_act is of float64"):
        aefast.ops.linear_act(*(a.astype(float) for a in (x, w, b)), compute_dtype="bfloat16")
    with pytest.raises(TypeError, match="give those and compute_dtype='bfloat16'"):
        aefast.ops.linear_act(x.astype(require("ml_dtypes").bfloat16), w, b)


def test_every_product_is_one_of_the_contract() -> None:
    assert {op.__name__ for op in LINEAR} == {*OPERANDS, "linear_wgrad"} <= set(aefast.ops.NAMES)
