"""The numba backend against the NumPy reference in float64: the dense ops, gather and update,
with every row of the tables."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from aefast import activations, backends, losses, optimizers

SIZES = [(1, 1, 1), (3, 1, 16), (16, 3, 1), (17, 16, 17), (31, 17, 3), (5, 31, 31)]  # B, M, N
DTYPES = ("float32", "float64")
# Sums of up to 31 products and polynomials of a few ULP; in float64 only the order of sums and the C library differ.
RTOL = {"float32": 3e-6, "float64": 1e-12}
EXTREMES = (0.0, 1e-30, 1e-4, 0.3, 1.0, 5.0, 17.0, 50.0, 88.0, 100.0)


@pytest.fixture(scope="module")
def ops() -> Any:
    support = backends.available("numba")
    if not support:
        pytest.skip(f"numba: {support.reason}")
    return backends.get("numba").ops


@pytest.fixture(scope="module")
def reference() -> Any:
    return backends.get("numpy").ops


def values(rng: np.random.Generator, *shape: int) -> Any:
    return rng.standard_normal(shape).astype(np.float32).astype(np.float64)


def padded(array: Any, dtype: str) -> Any:
    """A copy whose rows are five elements apart, NaN between them."""
    room = np.full((array.shape[0] + 1, array.shape[1] + 5), np.nan, dtype)
    room[: array.shape[0], : array.shape[1]] = array
    return room[: array.shape[0], : array.shape[1]]


def empty(rows: int, cols: int, dtype: str) -> Any:
    return padded(np.full((rows, cols), np.nan), dtype)


def guarded(view: Any) -> bool:
    return bool(np.isnan(view.base[-1]).all() and np.isnan(view.base[:, view.shape[1] :]).all())


def close(actual: Any, expected: Any, dtype: str, factor: float = 1.0) -> None:
    expected = np.asarray(expected)
    finite = expected[np.isfinite(expected)]
    size = max(1e-30, np.abs(finite).max()) if finite.size else 1.0
    np.testing.assert_allclose(actual, expected, rtol=factor * RTOL[dtype], atol=factor * RTOL[dtype] * size)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("tied", [False, True])
@pytest.mark.parametrize("act", range(len(activations.TABLE)), ids=activations.NAMES)
def test_linear_act_and_dgrad(
    ops: Any, reference: Any, act: int, tied: bool, size: tuple[int, int, int], dtype: str
) -> None:
    rng = np.random.default_rng(0)
    batch, m, n = size
    x, w, b = values(rng, batch, m), values(rng, n, m), values(rng, n)
    stored = (w.T.copy().T if tied else w).astype(dtype, order="K")
    keeps = activations.TABLE[act].saved == "preactivation"
    out, pre = empty(batch, n, dtype), empty(batch, n, dtype) if keeps else None
    expected, expected_pre = np.empty((batch, n)), np.empty((batch, n)) if keeps else None
    ops.linear_act(padded(x, dtype), stored, b.astype(dtype), act, out, pre)
    reference.linear_act(x, w, b, act, expected, expected_pre)
    close(out, expected, dtype)
    assert guarded(out)
    saved, dh, wide = expected if pre is None else expected_pre, values(rng, batch, m), values(rng, m, n)
    if pre is not None:
        close(pre, expected_pre, dtype)
    for extra in (None, values(rng, batch, n)):
        back, expected_back = empty(batch, n, dtype), np.empty((batch, n))
        ops.linear_dgrad(
            padded(dh, dtype),
            (wide.T.copy().T if tied else wide).astype(dtype, order="K"),
            act,
            padded(saved, dtype),
            None if extra is None else padded(extra, dtype),
            back,
        )
        reference.linear_dgrad(dh, wide, act, saved, extra, expected_back)
        close(back, expected_back, dtype, 4)
        assert guarded(back)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("act", range(len(activations.TABLE)), ids=activations.NAMES)
def test_activations_saturated(ops: Any, act: int, dtype: str) -> None:
    """Relative to the exact value, tails included. Below exp(-87.3) float32 may give zero, silu 88 times that."""
    z = np.array([*EXTREMES, *(-v for v in EXTREMES), 1e30, -1e30], np.float32).astype(np.float64)[None, :]
    row = activations.TABLE[act]
    with np.errstate(all="ignore"):
        expected = row.function(z)
        saved = z if row.saved == "preactivation" else expected.astype(np.float32).astype(np.float64)
        slope = row.derivative(saved)
    out, zero = np.empty(z.shape, dtype), np.zeros((z.shape[1], 1), dtype)
    ops.linear_act(np.zeros((1, 1), dtype), zero, z[0].astype(dtype), act, out, np.empty_like(out))
    rtol = 6e-7 if dtype == "float32" else 1e-14
    np.testing.assert_allclose(out, expected, rtol=rtol, atol=1e-36)
    ops.linear_act(
        np.zeros((1, 1), dtype), zero, np.full(z.shape[1], np.nan, dtype), act, out, np.empty_like(out)
    )
    assert np.isnan(out).all()
    ones = np.ones((1, z.shape[1]), dtype)
    ops.linear_dgrad(np.ones((1, 1), dtype), ones, act, saved.astype(dtype), None, out)
    # Where slopes cancel (silu, gelu near their minimum), absolute accuracy is all that float32 has.
    np.testing.assert_allclose(out, slope, rtol=rtol, atol=1e-7 if dtype == "float32" else 1e-16)


def loss_pairs() -> list[tuple[str, str]]:
    return [
        (loss, act) for loss in losses.NAMES for act in activations.NAMES if loss != "bce" or act == "sigmoid"
    ]


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize(("loss", "act"), loss_pairs())
def test_loss(ops: Any, reference: Any, loss: str, act: str, dtype: str) -> None:
    rng = np.random.default_rng(1)
    code = (activations.CODES[act], losses.CODES[loss])
    for batch, m, n in [*SIZES, (4, 2, 70)]:
        for weighted in (False, True):
            h, w, b, share = (
                values(rng, batch, m),
                3 * values(rng, n, m),
                values(rng, n),
                np.abs(values(rng, batch)),
            )
            target = np.float64(np.float32(rng.random((batch, n))))
            f = np.abs(values(rng, n)) if weighted else None
            narrow = [padded(h, dtype), w.astype(dtype), b.astype(dtype), *code, padded(target, dtype)]
            narrow_f = None if f is None else f.astype(dtype)
            row_loss, delta = np.full(batch, np.nan, dtype), empty(batch, n, dtype)
            expected, expected_delta = np.empty(batch), np.empty((batch, n))
            ops.linear_loss_grad(*narrow, share.astype(dtype), 0.25, narrow_f, row_loss, delta)
            reference.linear_loss_grad(h, w, b, *code, target, share, 0.25, f, expected, expected_delta)
            close(row_loss, expected, dtype, 4)
            if loss != "mae":  # a sign may turn where r is t but for a rounding
                close(delta, expected_delta, dtype, 4)
            assert guarded(delta)
            again = np.full(batch, np.nan, dtype)
            ops.linear_loss(*narrow, narrow_f, again)
            np.testing.assert_allclose(again, row_loss, rtol=RTOL[dtype])


def test_loss_is_blocked(ops: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    from aefast.backends.numba import ops as module

    rng = np.random.default_rng(2)
    h, w, t = (rng.random(s, dtype=np.float32) for s in ((23, 4), (7, 4), (23, 7)))
    whole, parts = np.empty(23, np.float32), np.empty(23, np.float32)
    module.linear_loss(h, w, w[:, 0].copy(), 7, 0, t, None, whole)
    monkeypatch.setattr(module, "LOSS_BLOCK", 21)
    module.linear_loss(h, w, w[:, 0].copy(), 7, 0, t, None, parts)
    np.testing.assert_allclose(parts, whole, rtol=1e-6)


def test_bce_saturated(ops: Any, reference: Any) -> None:
    logits = np.array([[-100.0, 100.0, -1e4, 1e4, 0.0, 30.0, -30.0]], np.float32)
    target = np.array([[1.0, 0.0, 0.0, 1.0, 0.5, 1.0, 0.0]], np.float32)
    results = []
    for backend, dtype in ((ops, np.float32), (reference, np.float64)):
        row_loss, delta = np.empty(1, dtype), np.empty((1, 7), dtype)
        zero = np.zeros((7, 1), dtype)
        args = (np.zeros((1, 1), dtype), zero, logits[0].astype(dtype), 7, 1, target.astype(dtype))
        backend.linear_loss_grad(*args, np.ones(1, dtype), 1.0, None, row_loss, delta)
        results.append((row_loss, delta))
    np.testing.assert_allclose(results[0][0], results[1][0], rtol=1e-6)
    np.testing.assert_allclose(results[0][1], results[1][1], rtol=1e-6, atol=1e-7)  # of sigmoid(z) - t


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("transposed", [False, True])
@pytest.mark.parametrize("accumulate", [0, 1])
def test_wgrad(
    ops: Any, reference: Any, accumulate: int, transposed: bool, size: tuple[int, int, int], dtype: str
) -> None:
    rng = np.random.default_rng(3)
    batch, m, n = size
    delta, a, dw, db = values(rng, batch, n), values(rng, batch, m), values(rng, n, m), values(rng, n)
    got_w = np.array((dw.T if transposed else dw), dtype, order="C")
    got_w = got_w.T if transposed else got_w
    got_b, partials, expected_partials = db.astype(dtype), np.full(2, np.nan), np.empty(2)
    ops.linear_wgrad(padded(delta, dtype), padded(a, dtype), got_w, got_b, accumulate, partials)
    reference.linear_wgrad(delta, a, dw, db, bool(accumulate), expected_partials)
    for got, expected in ((got_w, dw), (got_b, db), (partials, expected_partials)):
        close(got, expected, dtype, 4)
    alone, norm = np.full(n, np.nan, dtype), np.empty(2)
    ops.bias_grad(padded(delta, dtype), alone, norm)
    close(alone, delta.sum(0), dtype)
    close(norm, [np.sum(np.square(delta.sum(0))), 0.0], dtype, 4)
    exact = np.square(np.append(got_w, got_b).astype(np.float64)).sum()
    np.testing.assert_allclose(partials[0], exact, rtol=1e-13)  # of what was stored: sums are float64 always
    ops.linear_wgrad(padded(delta, dtype), padded(a, dtype), got_w, None, 0, None)
    close(got_w, delta.T @ a, dtype)
    huge = np.full((batch, n), 1e30 / batch, dtype)  # its squares are beyond float32
    ops.bias_grad(huge, alone, norm)
    np.testing.assert_allclose(norm, [n * 1e60, 0.0], rtol=1e-5)
    for bad in (np.inf, np.nan):
        spoilt = padded(delta, dtype)
        spoilt[-1, -1] = bad
        ops.bias_grad(spoilt, alone, norm)
        assert norm[1] == 1.0


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("ema", [False, True])
@pytest.mark.parametrize("decay", [0.0, 0.1])
@pytest.mark.parametrize("name", optimizers.NAMES)
def test_update(ops: Any, reference: Any, name: str, decay: float, ema: bool, dtype: str) -> None:
    rule, rng = optimizers.get(name), np.random.default_rng(4)
    for n, n_decay in ((1, 1), (37, 16), (5000, 4096), (4099, 0)):
        arrays = [values(rng, n) for _ in range(2)] + [np.abs(values(rng, n)) for _ in range(3)]
        narrow = [a.astype(dtype) for a in arrays]
        for backend, (w, g, *rest) in ((ops, narrow), (reference, arrays)):
            slots = [rest[i] if i < rule.n_slots else None for i in range(2)]
            args = (n_decay, decay, *rule.constants, 0.01, 1.5, 1.2, 0.7, 0.9)
            backend.update(optimizers.CODES[name], w, g, *slots, rest[2] if ema else None, *args)
        for got, expected in zip(narrow, arrays, strict=True):
            close(got, expected, dtype)


@pytest.mark.parametrize(
    "dtype",
    ["float32", "float64", "float16", "uint8", "int8", "int16", "uint32", "int64", "bool", ">f4", ">i2"],
)
@pytest.mark.parametrize("order", ["C", "F", "sliced", "readonly"])
def test_gather(ops: Any, reference: Any, dtype: str, order: str) -> None:
    rng = np.random.default_rng(5)
    data = np.asarray(rng.integers(0, 100, (12, 17)).astype(dtype), order="F" if order == "F" else "C")
    if order == "sliced":
        data = np.repeat(np.repeat(data, 2, 0), 3, 1)[::-2, ::3]
    data.flags.writeable = order != "readonly"
    index = np.array([3, 0, 11, 3])
    for real in DTYPES:
        for shift, scale, factor in (
            (None, None, 1.0),
            (None, None, 1 / 255),
            (rng.random(17), rng.random(17), 1.0),
        ):
            out, expected = empty(4, 17, real), np.empty((4, 17), real)
            ops.gather(data, index, shift, scale, factor, out)
            reference.gather(data, index, shift, scale, factor, expected)
            np.testing.assert_allclose(out, expected, rtol=1e-7 if real == "float32" else 4e-16, atol=1e-14)
            assert guarded(out)
