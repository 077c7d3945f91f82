"""What every estimator does: learns, stops, goes on, and keeps scikit-learn's conventions."""

from __future__ import annotations

import subprocess
import sys

import numpy as np
import pytest
from estimator_cases import X, every_kind, quick
from sklearn.decomposition import PCA

from aefast import Autoencoder
from aefast.callbacks import EarlyStopping


@every_kind
def test_every_kind_learns_and_answers(kind, backend):
    model = kind(backend=backend, random_state=0, epochs=8, batch_size=40, learning_rate=5e-3).fit(X)
    assert model.trainer_.backend_name == backend
    assert model.loss_curve_[-1] < 0.8 * model.loss_curve_[0] and model.n_iter_ == len(model.loss_curve_) == 8
    Z = model.transform(X)
    assert Z.shape == (600, model.n_components_) and Z.dtype == np.float32
    R = model.reconstruct(X)
    np.testing.assert_allclose(R, model.inverse_transform(Z), rtol=1e-4, atol=1e-4)
    residual = model.scaling_.forward(R) - model.scaling_.forward(X)
    assert (
        np.mean(residual**2) < 0.85 * model.scaling_.forward(X).var()
    )  # the mean image would leave all of it
    scores = model.score_samples(X)
    assert scores.shape == (600,) and model.score(X) == pytest.approx(scores.mean(), rel=1e-5)


@pytest.mark.parametrize("reduction", ["mean", "sum"])
@pytest.mark.parametrize("loss", ["mse", "mae", "huber"])
def test_score_samples_is_minus_the_loss_in_scaled_space(loss, reduction):
    model = quick(loss=loss, reduction=reduction).fit(X)
    e = model.scaling_.forward(X) - model.scaling_.forward(model.reconstruct(X))
    value = {"mse": e**2, "mae": np.abs(e), "huber": np.where(np.abs(e) < 1, e**2 / 2, np.abs(e) - 0.5)}[loss]
    expected = -value.mean(axis=1) if reduction == "mean" else -value.sum(axis=1)
    np.testing.assert_allclose(model.score_samples(X), expected, rtol=2e-4)


def test_a_linear_autoencoder_reaches_pca():
    model = quick(
        n_components=3,
        hidden_layer_sizes=(),
        epochs=150,
        learning_rate=1e-2,
        schedule="cosine",
        batch_size=100,
        tol=0,
    ).fit(X)
    scaled = model.scaling_.forward(X)
    pca = PCA(3).fit(scaled)
    optimum = np.mean((pca.inverse_transform(pca.transform(scaled)) - scaled) ** 2)
    assert optimum * 0.9999 <= -model.score(X) <= optimum * 1.01


@every_kind
def test_same_seed_same_bits_other_seed_other_bits(kind):
    a, b, c = (quick(kind, random_state=s).fit(X).transform(X) for s in (1, 1, 2))
    np.testing.assert_array_equal(a, b)
    assert not np.array_equal(a, c)
    with_state = [
        quick(kind, random_state=np.random.RandomState(5), epochs=1).fit(X).transform(X) for _ in range(2)
    ]
    np.testing.assert_array_equal(*with_state)


@every_kind
def test_partial_fit_passes_add_up_to_fit(kind):
    same = {"batch_size": 100, "learning_rate": 1e-3, "weight_decay": 0.0}  # auto: other for a stream
    whole, parts = quick(kind, tol=0, **same).fit(X), quick(kind, **same)
    for _ in range(3):
        parts.partial_fit(X)
    np.testing.assert_array_equal(whole.transform(X), parts.transform(X))
    assert parts.n_iter_ == 3 and parts.loss_curve_ == whole.loss_curve_


def test_partial_fit_keeps_scaling_and_width():
    model = quick().partial_fit(X)
    shift = model.scaling_.shift.copy()
    model.partial_fit(X + 100)
    np.testing.assert_array_equal(model.scaling_.shift, shift)
    with pytest.raises(ValueError, match="features"):
        model.partial_fit(X[:, :5])


def test_warm_start_goes_on_and_cold_start_begins_anew():
    once = quick(epochs=6, tol=0, learning_rate=1e-3).fit(X)
    warm = quick(epochs=3, tol=0, learning_rate=1e-3, warm_start=True).fit(X).fit(X)
    np.testing.assert_array_equal(warm.transform(X), once.transform(X))
    assert warm.n_iter_ == 6
    cold = quick(epochs=3).fit(X[:, :9]).fit(X)
    assert cold.n_iter_ == 3 and cold.n_features_in_ == 64


def test_a_warm_starts_schedule_begins_anew_whatever_the_data():
    model = quick(epochs=3, schedule="cosine", learning_rate=1e-2, warm_start=True, tol=0, batch_size=50).fit(
        X
    )
    rates = []

    def listen(est, history):
        rates.append(est.trainer_.epoch - est.trainer_.first_epoch)

    before = model.transform(X)
    model.fit(X[:50], callbacks=[listen])
    assert rates == [1, 2, 3] and not np.allclose(before, model.transform(X), atol=1e-3)


@pytest.mark.parametrize("way", ["warm start", "partial_fit"])
@pytest.mark.parametrize(
    "change", [{"loss": "mae"}, {"n_components": 3}, {"optimizer": "sgd"}, {"ema": 0.9}], ids=str
)
def test_what_a_fitted_model_cannot_take_up_is_told(way, change):
    model = quick(warm_start=True).fit(X)
    codes = model.transform(X)
    model.set_params(**change)
    (name,) = change
    with pytest.raises(ValueError, match=rf"fitted with {name}=.*warm_start=False"):
        model.fit(X) if way == "warm start" else model.partial_fit(X)
    np.testing.assert_array_equal(model.transform(X), codes)
    model.set_params(warm_start=False).fit(X)


def test_what_a_fitted_model_can_take_up_it_does():
    model = quick(warm_start=True, hidden_layer_sizes=[9]).fit(X[:4])
    model.set_params(
        learning_rate=0.5, schedule="constant", batch_size=50, n_threads=1, hidden_layer_sizes=(9,)
    )
    model.fit(X)
    trainer = model.trainer_
    assert (trainer.learning_rate, trainer.batch_size, trainer.n_threads) == (0.5, 50, 1)
    assert len(trainer._programs) > 0


def test_x_val_in_another_order_of_columns_is_refused():
    pandas = pytest.importorskip("pandas")
    frame = pandas.DataFrame(X, columns=[f"p{i}" for i in range(64)])
    with pytest.raises(ValueError, match=r"its column 0 is 'p63', not 'p0'"):
        quick().fit(frame, X_val=frame[frame.columns[::-1]])
    quick().fit(frame, X_val=X)  # without names, by place


def test_epochs_without_x_val_are_gaps_in_the_validation_curve():
    model = quick(warm_start=True).fit(X).fit(X, X_val=X[:50]).fit(X).partial_fit(X)
    curve = model.validation_loss_curve_
    assert len(curve) == len(model.loss_curve_) == 10
    assert list(np.flatnonzero(np.isfinite(curve))) == [3, 4, 5]


def test_a_callback_must_not_train_the_model():
    def trains(est, history):
        est.partial_fit(X)

    model = quick()
    with pytest.raises(RuntimeError, match="a callback, or another thread, must not train it"):
        model.fit(X, callbacks=[trains])
    assert model.n_iter_ == 1
    model.partial_fit(X)
    with pytest.raises(TypeError, match="result must be true"):
        model.fit(X, callbacks=[lambda est, history: est.transform(X)])


def test_threads_share_a_fitted_model(backend):
    from concurrent.futures import ThreadPoolExecutor

    model = quick(backend=backend).fit(X)
    parts = [X[i : i + 200] for i in (0, 200, 400)] * 40
    right = [model.transform(part) for part in parts]
    with ThreadPoolExecutor(4) as pool:
        for expected, found in zip(right, pool.map(model.transform, parts), strict=True):
            np.testing.assert_array_equal(expected, found)


def test_many_sizes_of_input_do_not_pile_up(backend):
    model = quick(backend=backend).fit(X)
    for n in range(1, 120):
        model.transform(X[:n])
        model.reconstruct(X[:n])
        model.partial_fit(X[:n]) if n % 4 == 0 else None
    assert len(model.trainer_._programs) <= 3 * 6
    np.testing.assert_allclose(model.transform(X)[:7], model.transform(X[:7]), rtol=1e-4, atol=1e-5)


def test_a_row_too_far_out_to_score_is_the_least_normal():
    model = quick().fit(X)
    far = np.vstack((X[:3], X[:1].astype(np.float64) * 1e300))
    with np.errstate(all="ignore"):
        scores = model.score_samples(far)
    assert scores[3] == -np.inf and scores.argsort()[0] == 3 and np.isfinite(scores[:3]).all()


def test_columns_too_far_apart_for_float64_are_named():
    far = X.astype(np.float64)
    far[:, 7] *= 1e200
    for scaling in ("standard",):
        with pytest.raises(ValueError, match=r"column 7 reaches from 0 to .*divide it"):
            quick(scaling=scaling).fit(far)


def test_tol_is_relative_and_ends_a_flat_run():
    flat = {"epochs": 40, "learning_rate": 0.0, "n_iter_no_change": 4, "random_state": 0, "backend": "numpy"}
    for reduction in ("mean", "sum"):
        assert Autoencoder(reduction=reduction, **flat).fit(X).n_iter_ == 5  # the first epoch sets the mark
    assert quick(epochs=12, n_iter_no_change=2, tol=0.9).fit(X).n_iter_ < 12


def test_patience_measures_by_the_best_value():
    curve = [10.0, 9.0, 8.9, 8.85, 8.0, 7.9999, 7.9998]
    for scale in (1e-4, 1.0, 1e4):
        stopping, waited = EarlyStopping("loss", tol=0.02, patience=3), []
        for value in curve:
            stopping.improved(scale * value)
            waited.append(stopping.waited)
        assert waited == [0, 0, 1, 2, 0, 1, 2]


def test_early_stopping_keeps_the_best_parameters():
    few = X[:60]
    model = quick(
        epochs=80, learning_rate=0.02, early_stopping=True, n_iter_no_change=6, validation_fraction=0.3
    ).fit(few)
    curve = model.validation_loss_curve_
    assert len(curve) == model.n_iter_ < 80 and int(np.argmin(curve)) < len(curve) - 1
    held_out = quick(epochs=80, learning_rate=0.02, early_stopping=True, n_iter_no_change=6).fit(
        few, X_val=X[300:400]
    )
    assert -held_out.score(X[300:400]) == pytest.approx(min(held_out.validation_loss_curve_), rel=1e-5)


def test_x_val_is_recorded_without_touching_the_training():
    with_val, without = quick().fit(X, X_val=X[:50]), quick().fit(X)
    assert len(with_val.validation_loss_curve_) == 3 and without.validation_loss_curve_ == []
    np.testing.assert_array_equal(with_val.transform(X), without.transform(X))
    assert with_val.validation_loss_curve_[-1] == pytest.approx(-with_val.score(X[:50]), rel=1e-5)


def test_callbacks_all_hear_and_any_stops():
    heard = []
    model = quick(epochs=9)
    callbacks = [
        lambda est, history: len(history.loss) == 2,
        lambda est, history: heard.append((est.n_iter_, history.loss[-1])),
    ]
    model.fit(X, callbacks=callbacks)
    assert model.n_iter_ == 2 and heard == [(1, model.loss_curve_[0]), (2, model.loss_curve_[1])]


def test_an_interrupted_fit_leaves_a_usable_model():
    def interrupt(est, history):
        if est.n_iter_ == 2:
            raise KeyboardInterrupt

    model = quick(epochs=9, schedule="constant")
    with pytest.raises(KeyboardInterrupt):
        model.fit(X, callbacks=[interrupt])
    assert model.n_iter_ == 2 == len(model.loss_curve_)
    twice = quick(epochs=2, schedule="constant").fit(X)
    np.testing.assert_array_equal(model.transform(X), twice.transform(X))


def test_sample_weights_count_and_their_scale_does_not():
    w = np.r_[np.ones(300), np.full(300, 1e-3)]
    weighted, scaled = quick(epochs=10).fit(X, sample_weight=w), quick(epochs=10).fit(X, sample_weight=8 * w)
    np.testing.assert_allclose(weighted.transform(X), scaled.transform(X), rtol=1e-3, atol=1e-4)
    half = X.copy()
    half[300:] = 16 - half[300:]
    error = -quick(epochs=10).fit(half, sample_weight=w).score_samples(half)
    assert error[:300].mean() < 0.8 * error[300:].mean()
    assert weighted.score(X, sample_weight=w) == pytest.approx(
        np.average(weighted.score_samples(X), weights=w), rel=1e-5
    )


def test_verbose_shows_a_bar_and_silence_is_silent(capfd):
    quick(verbose=1).fit(X)
    assert "Autoencoder" in capfd.readouterr().err
    quick().fit(X)
    assert capfd.readouterr() == ("", "")


def test_import_is_light():
    heavy = "sklearn numba tqdm matplotlib safetensors pandas scipy aefast.estimators"
    code = f"import sys, aefast; print(*[m for m in {heavy!r}.split() if m in sys.modules])"
    result = subprocess.run([sys.executable, "-P", "-c", code], capture_output=True, text=True, check=True)
    assert result.stdout.split() == []
