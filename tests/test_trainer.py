"""The loop: steps and epochs, the rest of an interrupted one, callbacks, parameters in and out."""

from __future__ import annotations

import copy
import pickle
from typing import Any

import numpy as np
import pytest
from models import MODELS, D, data, make

import aefast
from aefast import epochs, optimizers, schedules

X = data(50)
WEIGHT = np.linspace(0.2, 2.0, len(X))


def same(a: aefast.Trainer, b: aefast.Trainer) -> bool:
    return all((flat == b.flat_buffers[name]).all() for name, flat in a.flat_buffers.items())


@pytest.mark.parametrize("model", ["vanilla mse", "tied", "variational", "denoising masking"])
def test_an_epoch_is_its_steps(model: str) -> None:
    whole, manual = make(model, "numpy", shuffle=False), make(model, "numpy", shuffle=False)
    loss = whole.fit(X, epochs=1, sample_weight=WEIGHT).loss[0]
    parts, shares = [], []
    for start in range(0, 50, 16):
        rows = slice(start, start + 16)
        if model in ("vanilla mse", "tied"):
            parts.append(manual.step(X[rows], WEIGHT[rows]))
            shares.append(WEIGHT[rows].sum() / WEIGHT.sum())
    assert whole.n_steps == 4 and whole.epoch == 1 and whole.position == 0
    if parts:
        assert same(whole, manual) and loss == pytest.approx(np.dot(parts, shares), rel=1e-12)


def test_steps_and_epochs_can_be_mixed() -> None:
    made = make("vanilla mse", "numpy")
    for _ in range(3):
        made.step(X[:16])
    history = made.fit(X, epochs=2)
    assert len(history.loss) == 2 and made.n_steps == 3 + 2 * 4 and made.epoch == 2
    plain = make("vanilla mse", "numpy")
    for _ in range(3):
        plain.step(X[:16])
    for epoch in range(2):
        order = plain._order(50)
        plain.epoch = epoch + 1
        for start in range(0, 50, 16):
            plain.step(X[order[start : start + 16]])
    assert same(made, plain)


def test_two_fits_are_one_longer_run() -> None:
    whole, parts = make("variational", "numpy"), make("variational", "numpy")
    loss = whole.fit(X, epochs=4).loss
    assert parts.fit(X, epochs=1).loss + parts.fit(X, epochs=3).loss == loss
    assert same(whole, parts)


def test_the_shuffle_visits_each_row_once_an_epoch() -> None:
    made = make("vanilla mse", "numpy")
    orders = []
    for epoch in range(3):
        made.epoch = epoch
        orders.append(made._order(50))
    assert all((np.sort(order) == np.arange(50)).all() for order in orders)
    assert not (orders[0] == orders[1]).all() and not (orders[1] == orders[2]).all()
    assert (make("vanilla mse", "numpy", shuffle=False)._order(50) == np.arange(50)).all()


def test_a_batch_larger_than_the_data_is_the_data() -> None:
    big, exact = make("vanilla mse", "numpy", batch_size=1000), make("vanilla mse", "numpy", batch_size=50)
    assert big.fit(X, epochs=2).loss == exact.fit(X, epochs=2).loss and big.n_steps == 2


def test_callbacks_all_run_and_any_stops() -> None:
    made, calls = make("vanilla mse", "numpy"), []

    def stop(trainer: aefast.Trainer, history: Any) -> bool:
        calls.append(("stop", len(history.loss), trainer.epoch))
        return len(history.loss) == 2

    def watch(trainer: aefast.Trainer, history: Any) -> None:
        calls.append(("watch", len(history.loss), trainer.epoch))

    history = made.fit(X, epochs=9, callbacks=[stop, watch])
    assert calls == [("stop", 1, 1), ("watch", 1, 1), ("stop", 2, 2), ("watch", 2, 2)]
    assert len(history.loss) == 2


def test_validation_loss_is_the_loss_of_held_out_rows() -> None:
    made = make("sparse kl", "numpy")
    history = made.fit(X[:30], epochs=3, X_val=X[30:])
    assert len(history.validation_loss) == 3 and history.validation_loss[-1] == made.evaluate(X[30:])


@pytest.mark.parametrize("model", MODELS)
def test_evaluate_and_inference_change_nothing(model: str) -> None:
    made = make(model, "numpy")
    made.fit(X, epochs=1)
    before = copy.deepcopy(made.flat_buffers), made.n_steps, made.epoch, made.position
    made.evaluate(X), made.encode(X), made.reconstruct(X), made.sample_losses(X), made.gradients(X, WEIGHT)
    assert (made.n_steps, made.epoch, made.position) == before[1:]
    assert all((flat == before[0][name]).all() for name, flat in made.flat_buffers.items())


@pytest.mark.parametrize(
    "model", ["vanilla bce", "sparse kl", "sparse l1", "variational free bits", "feature weights"]
)
def test_evaluate_is_the_training_loss_of_one_batch(model: str) -> None:
    made = make(model, "numpy", "float64")
    loss = made.gradients(X, WEIGHT)[0]
    if "variational" not in model:  # another stream of noise
        assert made.evaluate(X, WEIGHT) == pytest.approx(loss, rel=1e-12)
    else:
        assert made.evaluate(X, WEIGHT) == pytest.approx(loss, rel=0.1)


def test_parameters_are_copies_and_load_back() -> None:
    made, other = make("tied", "numpy"), make("tied", "numpy", seed=99)
    parameters = made.parameters
    parameters["encoder.0.weight"][...] = 7
    assert not (made.parameters["encoder.0.weight"] == 7).any()
    other.load_parameters(made.parameters)
    assert (other.encode(X) == made.encode(X)).all()
    assert (made.parameters["decoder.1.weight"] == made.parameters["encoder.0.weight"].T).all()


def test_a_refused_load_changes_nothing() -> None:
    made = make("vanilla mse", "numpy")
    before = made.parameters
    wrong = {**before, "encoder.0.weight": np.zeros((2, 2))}
    with pytest.raises(ValueError, match=r"encoder.0.weight must have shape \(9, 13\), but has \(2, 2\)"):
        made.load_parameters({**wrong, "encoder.0.bias": np.ones(9)})
    with pytest.raises(KeyError, match="lack"):
        made.load_parameters({"encoder.0.weight": before["encoder.0.weight"]})
    with pytest.raises(KeyError, match="unknown parameters surplus"):
        made.load_parameters({**before, "surplus": np.zeros(3)})
    with pytest.raises(TypeError, match=r"decoder.1.bias must hold real numbers, but its dtype is complex"):
        made.load_parameters(
            {name: value + (1j if name == "decoder.1.bias" else 1) for name, value in before.items()}
        )
    assert all((value == before[name]).all() for name, value in made.parameters.items())


@pytest.mark.parametrize(
    "clone", [copy.deepcopy, lambda t: pickle.loads(pickle.dumps(t))], ids=["deepcopy", "pickle"]
)
def test_a_copy_goes_its_own_way_from_the_same_state(clone: Any) -> None:
    made = make("all at once", "numpy")
    made.fit(X, epochs=2)
    twin = clone(made)
    assert twin.fit(X, epochs=2).loss == made.fit(X, epochs=2).loss and same(made, twin)
    twin.fit(X, epochs=1)
    assert not same(made, twin)


def test_the_seed_decides_start_order_and_noise() -> None:
    runs = [make("denoising gaussian", "numpy", seed=seed).fit(X, epochs=1).loss for seed in (1, 1, 2)]
    assert runs[0] == runs[1] != runs[2]


def test_learning_rates_follow_the_schedule_over_the_whole_run() -> None:
    made = make("vanilla mse", "numpy", optimizer="sgd", learning_rate=1.0, schedule="linear", warmup_steps=3)
    rates = []
    for made.epoch, made.n_steps in ((0, 0), (1, 4)):
        rates.append(epochs.scalars(made, 4, 4, 2)[:, 0])
    steps = np.arange(8)
    assert np.allclose(np.concatenate(rates), schedules.factors("linear", steps / 8, steps, 3))


def test_a_schedule_moves_by_epochs_whatever_the_data() -> None:
    made = make("vanilla mse", "numpy", optimizer="sgd", learning_rate=1.0, schedule="linear")
    made.n_steps, made.epoch, made.first_epoch = 5000, 10, 10  # a second run, on other data
    assert np.allclose(epochs.scalars(made, 4, 4, 12)[:, 0], 1 - np.arange(4) / 8)
    made.position = 2  # the rest of the epoch
    assert np.allclose(epochs.scalars(made, 2, 4, 12)[:, 0], [0.75, 0.625])


def test_kl_warm_up_is_linear_in_epochs() -> None:
    made = make("variational", "numpy", kl_warmup_epochs=2.0, beta=3.0)
    betas = np.concatenate([epochs.scalars(made, 4, 4, 3)[:, 3] for made.epoch in (0, 1, 2)])
    assert np.allclose(betas, 3.0 * np.minimum(np.arange(1, 13) / 8, 1))


@pytest.mark.parametrize("rule", optimizers.NAMES)
def test_bias_corrections_go_on_through_epochs(rule: str) -> None:
    made = make(rule, "numpy")
    made.fit(X, epochs=2)
    expected = optimizers.get(rule).bias_corrections(np.array([9]))
    assert np.allclose(epochs.scalars(made, 1, 4, None)[0, 1:3], expected)


def test_optimizer_settings_override_the_trainers() -> None:
    made = make("vanilla mse", "numpy", optimizer=optimizers.AdamW(learning_rate=0.5, weight_decay=0.25))
    assert made.learning_rate == 0.5 and made.settings.weight_decay == 0.25


def test_inference_is_in_chunks_and_in_order() -> None:
    rows = np.random.default_rng(0).uniform(0, 1, (2500, D)).astype(np.float32)
    made = make("vanilla mse", "numpy", "float64")
    whole = made.encode(rows)
    assert np.allclose(whole[[0, 1023, 1024, 2499]], made.encode(rows[[0, 1023, 1024, 2499]]), rtol=1e-12)


def test_inference_works_with_the_averaged_weights() -> None:
    made = make("averaged", "numpy", "float64")
    made.fit(X, epochs=2)
    plain = make("vanilla mse", "numpy", "float64")
    plain.load_parameters(made.ema_parameters)
    assert np.allclose(made.encode(X), plain.encode(X), rtol=1e-12)
    assert not np.allclose(made.parameters["encoder.0.weight"], made.ema_parameters["encoder.0.weight"])


def test_another_data_set_in_the_middle_of_an_epoch_is_noticed() -> None:
    made = make("vanilla mse", "numpy")
    made.position = 4
    with pytest.raises(ValueError, match="4 steps of this epoch are done, but 10 rows make 1 steps"):
        made.fit(X[:10], epochs=1)
