"""`Autoencoder()` without tuning: better than PCA on raw tables, finite on whatever a table may hold."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn.datasets import load_breast_cancer, load_digits, load_wine
from sklearn.decomposition import PCA
from sklearn.model_selection import train_test_split
from sklearn.preprocessing import StandardScaler

from aefast import Autoencoder, DenoisingAutoencoder, SparseAutoencoder, VariationalAutoencoder, optim
from aefast.estimators import parameters
from aefast.estimators.parameters import auto_batch, auto_decay, auto_rate


@pytest.mark.parametrize("seed", [0, 1])
@pytest.mark.parametrize("loader", [load_wine, load_breast_cancer, load_digits])
def test_raw_tables_are_rebuilt_better_than_by_pca(loader, seed):
    train, test = train_test_split(loader().data, test_size=0.2, random_state=seed)
    model = Autoencoder(random_state=seed).fit(train)
    standard = StandardScaler().fit(train)
    held_out = standard.transform(test)
    pca = PCA(model.n_components_, random_state=seed).fit(standard.transform(train))
    error = ((standard.transform(model.reconstruct(test)) - held_out) ** 2).mean()
    linear = ((pca.inverse_transform(pca.transform(held_out)) - held_out) ** 2).mean()
    assert error < linear


def _odd_tables():
    rng = np.random.default_rng(0)
    plain = rng.normal(size=(60, 6))
    outlier = rng.normal(size=(200, 5))
    outlier[17, 2], outlier[90] = 1e9, -1e12
    rare = np.zeros((300, 4))
    rare[5, 1] = 1.0
    return {
        "scales": plain * 10.0 ** np.array([-12, -6, 0, 3, 9, 12]),
        "far from zero": plain + 1e9,
        "constant columns": np.column_stack((plain, np.full(60, 7.3), np.zeros(60))),
        "outliers": outlier,
        "heavy tails": rng.standard_cauchy((400, 8)) ** 3,
        "three features": plain[:, :3],
        "one feature": plain[:, :1],
        "one row": plain[:1],
        "two rows": plain[:2],
        "five rows": plain[:5],
        "one-hot": np.eye(12)[rng.integers(0, 12, 150)],
        "one value in 1200": rare,
        "zeros": np.zeros((40, 5)),
        "2000 columns": rng.normal(size=(30, 2000)),
        "float32 extremes": (plain * 1e30).astype(np.float32),
        "subnormal": plain * 1e-310,
        "huge": plain * 1e150,
    }


@pytest.mark.parametrize("name", list(_odd_tables()))
def test_odd_tables_stay_finite(name):
    X = _odd_tables()[name]
    model = Autoencoder(random_state=0).fit(X)
    assert np.isfinite(model.loss_curve_).all()
    assert all(np.isfinite(p).all() for p in model.trainer_.parameters.values())
    assert np.isfinite(model.transform(X)).all() and np.isfinite(model.score_samples(X)).all()


def test_odd_tables_are_learned_where_there_is_something_to_learn():
    X = _odd_tables()["scales"]
    model = Autoencoder(3, random_state=0).fit(X)
    assert model.loss_curve_[-1] < 0.5 * model.loss_curve_[0]


@pytest.mark.parametrize(
    ("n", "batch"), [(1, 1), (2, 2), (5, 2), (142, 2), (455, 8), (1000, 16), (10_000, 128), (1_000_000, 256)]
)
def test_auto_batch(n, batch):
    assert auto_batch(n) == batch


def test_auto_decay_is_a_constant_beside_the_summed_loss():
    adam, adamw = optim.Adam(), optim.AdamW()
    assert auto_decay(1000, 50, "mean", adam) * 1000 * 50 == pytest.approx(20)
    assert auto_decay(1000, 50, "sum", adam) == pytest.approx(50 * auto_decay(1000, 50, "mean", adam))
    assert auto_decay(3, 2, "mean", adam) == auto_decay(100, 40, "mean", adam)
    assert auto_decay(1000, 50, "mean", adamw) == 0


@pytest.mark.parametrize(
    ("rate", "schedule", "rule", "whole_run", "expected"),
    [
        ("auto", "auto", optim.Adam(), True, (3e-3, "cosine")),
        ("auto", "auto", optim.Adam(), False, (1e-3, "constant")),
        ("auto", "constant", optim.Adam(), True, (1e-3, "constant")),
        ("auto", "linear", optim.Adam(), True, (3e-3, "linear")),
        ("auto", "auto", optim.SGD(), True, (1e-3, "constant")),
        (0.01, "auto", optim.Adam(), True, (0.01, "constant")),
        (0.01, "cosine", optim.Adam(), False, (0.01, "cosine")),
    ],
)
def test_auto_rate(rate, schedule, rule, whole_run, expected):
    assert auto_rate(rate, schedule, rule, whole_run) == expected


def test_an_optimizers_own_rate_stays_constant():
    model = Autoencoder(optimizer=optim.Adam(learning_rate=0.02), epochs=1).fit(np.eye(4))
    assert (model.trainer_.learning_rate, model.trainer_.schedule) == (0.02, "constant")


def test_autos_know_a_run_from_a_stream():
    X = load_wine().data
    trainer = Autoencoder(random_state=0, epochs=2).fit(X).trainer_
    assert (trainer.schedule, trainer.learning_rate, trainer.batch_size) == ("cosine", 3e-3, 2)
    assert trainer.settings.weight_decay == pytest.approx(20 / (178 * 40))
    trainer = Autoencoder(random_state=0).partial_fit(X).trainer_
    assert (trainer.schedule, trainer.learning_rate, trainer.batch_size) == ("constant", 1e-3, 178)
    assert trainer.settings.weight_decay == 0


def test_a_warm_start_goes_on_learning_after_the_rate_has_fallen():
    X = load_wine().data
    model = Autoencoder(random_state=0, epochs=3, warm_start=True).fit(X)
    before = model.loss_curve_[-1]
    model.fit(X)
    assert (model.trainer_.schedule, model.trainer_.learning_rate) == ("constant", 1e-3)
    assert model.loss_curve_[-1] < before
    fixed = Autoencoder(random_state=0, epochs=3, warm_start=True, schedule="linear").fit(X).fit(X)
    assert fixed.trainer_.schedule == "linear"


def test_kinds_with_a_penalty_of_their_own_have_no_decay():
    X = load_wine().data
    for kind in (SparseAutoencoder, VariationalAutoencoder):
        assert kind(epochs=1, random_state=0).fit(X).trainer_.settings.weight_decay == 0
    assert DenoisingAutoencoder(epochs=1, random_state=0).fit(X).trainer_.settings.weight_decay > 0


def test_a_penalty_on_the_mean_of_a_batch_gets_large_batches():
    model = SparseAutoencoder(epochs=1, random_state=0).fit(load_wine().data)
    assert model.trainer_.batch_size == 178


def test_auto_is_a_word_of_three_rates():
    for name in ("learning_rate", "schedule", "weight_decay"):
        parameters.check({name: "auto"})
    with pytest.raises(ValueError, match="schedule"):
        parameters.check({"schedule": "atuo"})
    with pytest.raises(TypeError, match="or 'auto', but is 'atuo'"):
        parameters.check({"learning_rate": "atuo"})
