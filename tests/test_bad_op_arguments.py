"""Arguments of the functional ops that can't be: errors that name them; outputs that overlap inputs."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
import pytest

from aefast import backends, ops


def f32(*shape: int) -> np.ndarray:
    return np.ones(shape, np.float32)


X = np.random.default_rng(0).random((5, 13), np.float32)


@pytest.mark.parametrize(
    ("call", "error", "words"),
    [
        (lambda: ops.linear_act(f32(2, 3), [[1.0]], f32(4)), TypeError, "w must be a NumPy array"),
        (lambda: ops.linear_act(f32(2, 3), f32(3), f32(4)), ValueError, r"w must have shape \(any, any\)"),
        (lambda: ops.linear_dgrad(f32(2, 3), None), TypeError, "w must be a NumPy array"),
        (lambda: ops.linear_loss(f32(2, 3), "w", f32(4), f32(2, 4)), TypeError, "w must be a NumPy array"),
        (
            lambda: ops.linear_act(
                f32(2, 3), f32(4, 3), f32(4), pre=np.broadcast_to(f32(1), (2, 4)), backend="numpy"
            ),
            ValueError,
            "pre is read-only",
        ),
        (
            lambda: ops.linear_loss(f32(2, 3), f32(4, 3), f32(4), f32(2, 4), feature_weight=[1, -1, 1, 1]),
            ValueError,
            "that of feature 1 is -1",
        ),
        (
            lambda: ops.linear_loss_grad(
                f32(2, 3), f32(4, 3), f32(4), f32(2, 4), feature_weight=[math.nan] * 4
            ),
            ValueError,
            "that of feature 0 is nan",
        ),
        (
            lambda: ops.linear_wgrad(f32(2, 3), f32(2, 3), out=f32(3, 3)),
            TypeError,
            r"out must be .*\(dw, db\)",
        ),
        (lambda: ops.linear_wgrad(f32(2, 3), f32(2, 3), out=(f32(3, 3),)), ValueError, "out .* but got 1"),
        (
            lambda: ops.gather(f32(2, 3), [True, False]),
            TypeError,
            "index .* integer dtype, but is of bool.*mask",
        ),
        (lambda: ops.gather(f32(2, 3), [0.0, 1.0]), TypeError, "index must be of an integer dtype"),
        (lambda: ops.gather(f32(2, 3), np.array([2**63], np.uint64)), ValueError, "index must fit int64"),
        (lambda: ops.gather(f32(2, 3), [0], factor="1"), TypeError, "factor must be a finite number"),
        (lambda: ops.gather(f32(2, 3), [0], dtype="float33"), TypeError, "dtype must be 'float32' or"),
        (lambda: ops.gather(f32(2, 3), [0], dtype=None), TypeError, "dtype must be 'float32' or"),
        (
            lambda: ops.gather(f32(2, 3), [0], shift=["a"] * 3, scale=f32(3)),
            TypeError,
            "shift must hold real",
        ),
        (lambda: ops.corrupt(f32(2, 3), seed=-1), ValueError, r"seed must be an integer in \[0, 2\^64\)"),
        (lambda: ops.corrupt(f32(2, 3), seed="1"), TypeError, "seed must be an integer"),
        (
            lambda: ops.corrupt(f32(2, 3), epoch=2**32),
            ValueError,
            r"epoch must be an integer in \[0, 2\^32\)",
        ),
        (lambda: ops.corrupt(f32(2, 3), rows=[0.5, 1.5]), TypeError, "rows must be of an integer dtype"),
        (lambda: ops.gaussian_latent(f32(2, 4), epoch=0.5), TypeError, "epoch must be an integer"),
        (
            lambda: ops.gaussian_latent_backward(f32(2, 4), f32(2, 2), beta="1"),
            TypeError,
            "beta must be a number",
        ),
        (lambda: ops.gaussian_latent_backward(f32(2, 4), f32(2, 2), free_bits=-1), ValueError, "free_bits"),
        (lambda: ops.permutation(0), ValueError, "n must be an integer"),
        (lambda: ops.permutation(2.0), TypeError, "n must be an integer"),
        (lambda: ops.permutation(3, seed=2**64), ValueError, "seed must be an integer"),
        (lambda: ops.update(f32(3), f32(3), None), TypeError, "slots must be a tuple"),
        (lambda: ops.update(f32(3), f32(3), (None, f32(3))), TypeError, r"slots\[0\] must be a NumPy array"),
        (
            lambda: ops.update(f32(3), f32(3), (), "sgd", step=0),
            ValueError,
            "step must be an integer of at least 1",
        ),
        (lambda: ops.update(f32(3), f32(3), (), "sgd", step=1.5), TypeError, "step must be an integer"),
        (lambda: ops.update(f32(3), f32(3), (), "sgd", learning_rate="1"), TypeError, "learning_rate"),
        (lambda: ops.update(f32(3), f32(3), (), "sgd", clip_scale=math.nan), ValueError, "clip_scale"),
        (lambda: ops.update(f32(3), f32(3), (), "sgd", weight_decay=-1), ValueError, "weight_decay"),
    ],
)
def test_what_can_not_be_is_named(call: Callable[[], object], error: type[Exception], words: str) -> None:
    with pytest.raises(error, match=words) as caught:
        call()
    assert type(caught.value) is error


A, W, V, FLAT = f32(4, 4), f32(4, 4), f32(4), f32(40)


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda: ops.linear_act(A, W, V, out=A), "out overlaps x"),
        (lambda: ops.linear_act(A, W, V, out=W[::-1]), "out overlaps w"),
        (lambda: ops.linear_act(A, W, V, pre=A), "pre overlaps x"),
        (lambda: ops.linear_act(A[:2], W, V, out=A[2:], pre=A[2:]), "pre overlaps out"),
        (lambda: ops.linear_loss_grad(A, W, V, f32(4, 4), out=A), "out overlaps h"),
        (lambda: ops.linear_loss(A, W, V, f32(4, 4), out=V), "out overlaps b"),
        (lambda: ops.linear_dgrad(A, W, out=A), "out overlaps delta"),
        (lambda: ops.linear_dgrad(A, W, W, out=W), "out overlaps w"),
        (lambda: ops.linear_wgrad(A, W, out=(A, V)), "dw overlaps delta"),
        (lambda: ops.linear_wgrad(A, W, out=(f32(4, 4), W[0])), "db overlaps a"),
        (lambda: ops.gather(A, [0, 1, 2, 3], out=A), "out overlaps data"),
        (lambda: ops.gaussian_latent(A, out=A[:, :2]), "out overlaps moments"),
        (lambda: ops.gaussian_latent_backward(A, f32(4, 2), out=A), "out overlaps moments"),
        (lambda: ops.corrupt(A, "gaussian", out=A), "out overlaps x"),
        (lambda: ops.corrupt(FLAT[:16].reshape(4, 4), "masking", out=FLAT[4:20].reshape(4, 4)), "overlaps x"),
        (lambda: ops.update(FLAT[:10], FLAT[5:15], (), "sgd"), "w overlaps g"),
        (
            lambda: ops.update(FLAT[:10], f32(10), (FLAT[20:30], FLAT[25:35])),
            r"slots\[1\] overlaps slots\[0\]",
        ),
    ],
)
def test_an_output_has_memory_of_its_own(call: Callable[[], object], words: str) -> None:
    before = A.copy(), W.copy(), V.copy(), FLAT.copy()
    with pytest.raises(ValueError, match=words):
        call()
    for was, now in zip(before, (A, W, V, FLAT), strict=True):
        np.testing.assert_array_equal(now, was)


def test_columns_of_one_buffer_are_apart() -> None:
    wide = np.random.default_rng(1).random((6, 20), np.float32)
    w, b = f32(4, 5), f32(4)
    expected = ops.linear_act(wide[:, :5].copy(), w, b)
    np.testing.assert_array_equal(ops.linear_act(wide[:, :5], w, b, out=wide[:, 5:9]), expected)


@pytest.mark.parametrize("backend", [name for name in backends.NAMES if backends.available(name)])
@pytest.mark.parametrize("kind", ["masking", "salt_and_pepper"])
def test_masks_work_in_place(backend: str, kind: str) -> None:
    x = X.copy()
    assert ops.corrupt(x, kind, 0.5, out=x, backend=backend) is x
    np.testing.assert_array_equal(x, ops.corrupt(X, kind, 0.5, backend=backend))
