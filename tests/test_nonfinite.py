"""What a NaN or infinity does, by policy, on every backend."""

from __future__ import annotations

import pickle
from typing import Any

import numpy as np
import pytest
from models import D, data, make

import aefast
from aefast import testing
from aefast.testing.tolerances import STEP


@pytest.fixture(params=testing.targets(), ids=str)
def target(request: pytest.FixtureRequest) -> Any:
    found: testing.Target = request.param
    found.open()
    with found.active():
        yield found


def with_bad(row: int, column: int, value: float, n: int = 100) -> np.ndarray:
    x = data(n)
    x[row, column] = value
    return x


def snapshot(made: aefast.Trainer) -> dict[str, bytes]:
    return {name: flat.tobytes() for name, flat in made.flat_buffers.items()}


@pytest.mark.parametrize(
    "model", ["vanilla mse", "vanilla bce", "tied", "variational", "sparse kl", "relu", "averaged"]
)
def test_raise_names_row_and_column_and_changes_nothing(target: testing.Target, model: str) -> None:
    for value in (np.nan, np.inf, -np.inf):
        raise_names_row_and_column(target, model, value)


def raise_names_row_and_column(target: testing.Target, model: str, value: float) -> None:
    made = make(model, target.backend, target.dtype)
    made.step(data(40))
    before = snapshot(made)
    with pytest.raises(
        aefast.NonFiniteError, match=r"step 1: the input \(row 17, column 5\) is not finite"
    ) as caught:
        made.step(with_bad(17, 5, value, 40))
    assert snapshot(made) == before and made.n_steps == 1
    assert caught.value.step == 1 and "row 17, column 5" in caught.value.where
    assert pickle.loads(pickle.dumps(caught.value)).where == caught.value.where
    assert np.isfinite(made.step(data(40)))


@pytest.mark.parametrize("shuffle", [False, True])
def test_raise_in_an_epoch_keeps_the_steps_before_it(target: testing.Target, shuffle: bool) -> None:
    x = with_bad(50, 2, np.nan)
    made = make("vanilla mse", target.backend, target.dtype, shuffle=shuffle)
    with pytest.raises(aefast.NonFiniteError, match=r"row 50, column 2"):
        made.fit(x, epochs=2)
    order = np.empty(100, np.int64)
    made._backend.ops.permutation(100, made.seed, 0, order)
    step = (list(order).index(50) if shuffle else 50) // 16
    assert made.n_steps == made.position == step
    clean = make("vanilla mse", target.backend, target.dtype, shuffle=shuffle)
    rows = order if shuffle else np.arange(100)
    for i in range(step):
        clean.step(data()[rows[16 * i : 16 * i + 16]])
    same = {name: np.frombuffer(b, target.memory) for name, b in snapshot(clean).items()}
    assert all(np.allclose(flat, same[name], atol=1e-6) for name, flat in made.flat_buffers.items())


def test_skip_leaves_the_step_out(target: testing.Target) -> None:
    made = make("vanilla mse", target.backend, target.dtype, nonfinite="skip", shuffle=False)
    reference = make("vanilla mse", "numpy", "float64", nonfinite="skip", shuffle=False)
    x = with_bad(50, 2, np.nan)
    curves = [t.fit(x, epochs=2).loss for t in (made, reference)]
    assert made.n_steps == 14 and np.isfinite(made.flat_buffers["params"]).all()
    assert np.allclose(*curves, rtol=max(1e-4, STEP[target.dtype] / 2))
    before = snapshot(made)
    assert not np.isfinite(made.step(with_bad(3, 3, np.inf)))
    assert snapshot(made) == before and made.n_steps == 15


def test_propagate_goes_on(target: testing.Target) -> None:
    made = make("vanilla mse", target.backend, target.dtype, nonfinite="propagate", shuffle=False)
    history = made.fit(with_bad(50, 2, np.nan), epochs=1)
    assert np.isnan(history.loss[0]) and made.n_steps == 7
    assert np.isnan(made.parameters["decoder.1.weight"]).any()


@pytest.mark.parametrize("policy", ["raise", "skip"])
def test_weights_that_overflow(target: testing.Target, policy: str) -> None:
    made = make("relu", target.backend, target.dtype, nonfinite=policy)
    huge = made.parameters
    huge["encoder.0.weight"][0] = np.finfo(target.memory).max
    made.load_parameters(huge)
    before = snapshot(made)
    if policy == "raise":
        with pytest.raises(aefast.NonFiniteError, match=r"encoder\.0"):
            made.step(data())
    else:
        made.step(data())
    assert snapshot(made) == before


def test_clipping_a_gradient_of_infinite_norm(target: testing.Target) -> None:
    made = make("clipped", target.backend, target.dtype, nonfinite="propagate")
    made.step(with_bad(0, 0, np.inf))  # no error: the policy says so
    assert not np.isfinite(made.flat_buffers["params"]).all()


def test_a_dead_row_weight_does_not_hide_a_nan(target: testing.Target) -> None:
    """0 * NaN is NaN: a row of weight 0 still counts as bad input."""
    made = make("vanilla mse", target.backend, target.dtype)
    weight = np.ones(100)
    weight[50] = 0.0
    with pytest.raises(aefast.NonFiniteError, match="row 50"):
        made.step(with_bad(50, 2, np.nan), weight)


def test_every_column_can_be_named(target: testing.Target) -> None:
    made = make("vanilla mse", target.backend, target.dtype)
    for column in range(D):
        with pytest.raises(aefast.NonFiniteError, match=rf"row 9, column {column}\)"):
            made.step(with_bad(9, column, np.nan, 10))


def test_skipped_steps_do_not_count_in_the_epochs_loss() -> None:
    x = data(40).copy()
    made = make("vanilla mse", "numpy", nonfinite="skip", shuffle=False, batch_size=10)
    clean = make("vanilla mse", "numpy", shuffle=False, batch_size=10).fit(x[:20], epochs=1).loss[0]
    x[20:] = np.nan
    assert made.fit(x, epochs=1).loss[0] == pytest.approx(clean, rel=1e-6)
    x[:] = np.nan
    assert np.isnan(made.fit(x, epochs=1).loss[0])
