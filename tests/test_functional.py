"""The functional front of `aefast.ops`: allocation, `out=`, checks. The ops' numbers are tested in test_ops.py."""

import numpy as np
import pytest

from aefast import backends, ops

BACKENDS = [name for name in backends.NAMES if backends.available(name)]
RNG = np.random.default_rng(0)


def draw(*shape):
    return RNG.standard_normal(shape).astype(np.float32)


@pytest.fixture(params=BACKENDS)
def backend(request):
    return request.param


def test_linear_act_and_its_backward_agree_with_the_formulas(backend):
    x, w, b = draw(9, 5), draw(7, 5), draw(7)
    h = ops.linear_act(x, w, b, "tanh", backend=backend)
    np.testing.assert_allclose(h, np.tanh(x @ w.T + b), rtol=1e-5, atol=1e-6)
    delta = draw(9, 7)
    np.testing.assert_allclose(
        ops.linear_dgrad(delta, w, np.tanh(x), "tanh", backend=backend),
        (delta @ w) * (1 - np.tanh(x) ** 2),
        rtol=1e-4,
        atol=1e-5,
    )
    dw, db = ops.linear_wgrad(delta, x, backend=backend)
    np.testing.assert_allclose(dw, delta.T @ x, rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(db, delta.sum(0), rtol=1e-4, atol=1e-5)
    again = ops.linear_wgrad(delta, x, out=(dw.copy(), db.copy()), accumulate=True, backend=backend)
    np.testing.assert_allclose(again[0], 2 * dw, rtol=1e-5)
    np.testing.assert_allclose(again[1], 2 * db, rtol=1e-5)


def test_outputs_go_where_the_caller_says(backend):
    x, w, b = draw(9, 5), draw(7, 5), draw(7)
    out, pre = np.full((9, 7), np.nan, np.float32), np.full((9, 7), np.nan, np.float32)
    assert ops.linear_act(x, w, b, "silu", out=out, pre=pre, backend=backend) is out
    np.testing.assert_allclose(pre, x @ w.T + b, rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(out, pre / (1 + np.exp(-pre)), rtol=1e-5, atol=1e-6)
    wide = np.full((9, 20), 5, np.float32)
    ops.linear_act(x, w, b, out=wide[:, 2:9], backend=backend)
    np.testing.assert_allclose(wide[:, 2:9], pre, rtol=1e-5, atol=1e-6)
    assert (wide[:, :2] == 5).all() and (wide[:, 9:] == 5).all()


@pytest.mark.parametrize("reduction", ["mean", "sum"])
def test_linear_loss_grad_is_the_derivative_of_its_loss(backend, reduction):
    h, w, b = draw(6, 4), draw(5, 4), draw(5)
    target = RNG.random((6, 5), dtype=np.float32)
    weight, feature = RNG.random(6), RNG.random(5)
    options = {"reduction": reduction, "sample_weight": weight, "feature_weight": feature, "backend": backend}
    loss, delta = ops.linear_loss_grad(h, w, b, target, "sigmoid", "bce", **options)
    z = (h @ w.T + b).astype(np.float64)
    element = np.logaddexp(0, z) - z * target
    share = weight[:, None] / weight.sum() * feature / (5 if reduction == "mean" else 1)
    assert loss == pytest.approx((share * element).sum(), rel=1e-5)
    np.testing.assert_allclose(delta, share * (1 / (1 + np.exp(-z)) - target), rtol=1e-4, atol=1e-7)
    rows = ops.linear_loss(h, w, b, target, "sigmoid", "bce", feature_weight=feature, backend=backend)
    np.testing.assert_allclose(rows, (element * feature).sum(1), rtol=1e-5)


def test_code_ops(backend):
    moments = draw(6, 8)
    z, kl = ops.gaussian_latent(moments, seed=3, backend=backend)
    mu, logvar = moments[:, :4].astype(float), moments[:, 4:].astype(float)
    np.testing.assert_allclose(kl, -0.5 * (1 + logvar - mu**2 - np.exp(logvar)).sum(1), rtol=1e-5)
    eps = (z - mu) / np.exp(logvar / 2)
    dz = draw(6, 4)
    grad = ops.gaussian_latent_backward(moments, dz, seed=3, beta=2.0, backend=backend)
    np.testing.assert_allclose(grad[:, :4], dz + 2 / 6 * mu, rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(
        grad[:, 4:],
        dz * eps * np.exp(logvar / 2) / 2 + 2 / 6 * (np.exp(logvar) - 1) / 2,
        rtol=1e-3,
        atol=1e-4,
    )
    code = RNG.random((6, 4), dtype=np.float32)
    value, slope = ops.sparsity_penalty(code, "kl", 0.5, 0.1, backend=backend)
    rho = code.mean(0, dtype=np.float64)
    expected = 0.1 * np.log(0.1 / rho) + 0.9 * np.log(0.9 / (1 - rho))
    assert value == pytest.approx(0.5 * expected.sum(), rel=1e-5)
    np.testing.assert_allclose(slope[0], 0.5 / 6 * (-0.1 / rho + 0.9 / (1 - rho)), rtol=1e-4)
    noisy = ops.corrupt(code, "masking", 0.5, seed=1, backend=backend)
    assert set(np.unique(noisy == 0)) == {False, True}
    np.testing.assert_array_equal(noisy, ops.corrupt(code, "masking", 0.5, seed=1, backend="numpy"))


def test_gather_update_permutation(backend):
    data = RNG.integers(0, 255, (11, 3), dtype=np.uint8)
    rows = ops.gather(data, [3, 0, 10], factor=1 / 255, backend=backend)
    np.testing.assert_array_equal(rows, data[[3, 0, 10]].astype(np.float32) * np.float32(1 / 255))
    w, g = draw(33), draw(33)
    m, v = np.zeros(33, np.float32), np.zeros(33, np.float32)
    expected = w - 0.1 * np.sign(g)  # Adam's first step
    ops.update(w, g, (m, v), "adam", learning_rate=0.1, backend=backend)
    np.testing.assert_allclose(w, expected, rtol=1e-4, atol=1e-5)
    order = ops.permutation(1000, seed=5, backend=backend)
    np.testing.assert_array_equal(np.sort(order), np.arange(1000))
    np.testing.assert_array_equal(order, ops.permutation(1000, seed=5, backend="numpy"))


@pytest.mark.parametrize(
    ("call", "error", "words"),
    [
        (
            lambda: ops.linear_act(draw(2, 3), draw(4, 5), draw(4)),
            ValueError,
            r"x must have shape \(any, 5\)",
        ),
        (lambda: ops.linear_act(draw(2, 3), draw(4, 3), draw(5)), ValueError, r"b must have shape \(4\)"),
        (
            lambda: ops.linear_act(draw(2, 3), draw(4, 3).astype(float), draw(4)),
            TypeError,
            "w must have dtype float32",
        ),
        (lambda: ops.linear_act(draw(2, 3), draw(4, 3), draw(4), "rleu"), ValueError, "Did you mean 'relu'"),
        (lambda: ops.linear_act(draw(0, 3), draw(4, 3), draw(4)), ValueError, "without empty dimensions"),
        (lambda: ops.linear_dgrad(draw(2, 3), draw(3, 4), None, "relu"), ValueError, "needs saved"),
        (
            lambda: ops.linear_loss_grad(draw(2, 3), draw(4, 3), draw(4), draw(2, 4), "tanh", "bce"),
            ValueError,
            "must be 'sigmoid'",
        ),
        (lambda: ops.linear_wgrad(draw(2, 3), draw(2, 3), accumulate=True), ValueError, "give out="),
        (lambda: ops.gather(draw(2, 3), [2]), IndexError, r"\[0, 2\)"),
        (lambda: ops.update(draw(3), draw(3)), ValueError, "adam has 2 slots"),
        (lambda: ops.corrupt(draw(2, 3), "masking", 1.5), ValueError, r"must be a number in \[0, 1\]"),
        (lambda: ops.gaussian_latent(draw(2, 3)), ValueError, "odd width"),
        (lambda: ops.linear_act([[1.0]], draw(4, 3), draw(4)), TypeError, "takes NumPy arrays"),
    ],
)
def test_bad_input_is_named(call, error, words):
    with pytest.raises(error, match=words):
        call()


def test_read_only_output_is_refused():
    out = np.zeros((2, 4), np.float32)
    out.flags.writeable = False
    with pytest.raises(ValueError, match="read-only"):
        ops.linear_act(draw(2, 3), draw(4, 3), draw(4), out=out)
