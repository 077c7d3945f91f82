"""The tables of activations, losses, optimizers, penalties and schedules: what every row must keep."""

from __future__ import annotations

import math

import numpy as np
import pytest

import aefast
from aefast import activations, losses, optimizers, regularizers, schedules, testing
from aefast.backends.numpy.update import RULES

Z = np.concatenate([np.linspace(-9, 9, 401), [-40.0, -1e-9, 0.0, 1e-9, 40.0, 700.0, -700.0]])


@pytest.mark.parametrize("row", activations.TABLE, ids=lambda row: row.name)
def test_activations(row: activations.Activation) -> None:
    h = row.function(Z)
    assert h.dtype == np.float64 and h.shape == Z.shape and np.isfinite(h).all()
    assert (h >= row.low).all() and (h <= row.high).all()
    assert row.function(Z.astype(np.float32)).dtype == np.float32
    assert np.isnan(row.function(np.array([np.nan]))).all()
    saved = Z if row.saved == "preactivation" else h
    slope, step = row.derivative(saved), 1e-6
    numeric = (row.function(Z + step) - row.function(Z - step)) / (2 * step)
    away = np.abs(Z) > 1e-5  # from a kink at 0
    assert np.allclose(slope[away], numeric[away], atol=1e-8)
    assert row.derivative(saved.astype(np.float32)).dtype == np.float32


@pytest.mark.parametrize("row", losses.TABLE, ids=lambda row: row.name)
def test_losses(row: losses.Loss) -> None:
    target = np.array([0.0, 0.3, 1.0])[:, None]
    value, slope = row.value(Z, target), row.derivative(Z, target)
    step = 1e-6
    numeric = (row.value(Z + step, target) - row.value(Z - step, target)) / (2 * step)
    smooth = (np.abs(Z - target) > 1e-5) & (np.abs(np.abs(Z - target) - 1) > 1e-5)
    assert np.allclose(slope[smooth], numeric[smooth], atol=1e-7, rtol=1e-7)
    assert (value >= -1e-12).all()
    if not row.on_logits:
        assert (row.value(target, target) == 0).all() and (row.derivative(target, target) == 0).all()
    assert row.value(Z.astype(np.float32), target.astype(np.float32)).dtype == np.float32


@pytest.mark.parametrize("row", [row for row in losses.TABLE if row.likelihood], ids=lambda row: row.name)
def test_likelihoods_are_normalised(row: losses.Loss) -> None:
    """The integral of exp(-loss - log_normaliser) over what can be observed is 1."""
    if row.on_logits:
        total = sum(
            np.exp(-row.value(np.array([0.7]), np.array([t])) - row.log_normaliser) for t in (0.0, 1.0)
        )
    else:
        t = np.linspace(-40, 40, 400_001)
        total = np.sum(np.exp(-row.value(np.zeros(1), t) - row.log_normaliser)) * (t[1] - t[0])
    assert float(np.squeeze(total)) == pytest.approx(1.0, rel=1e-6)


@pytest.mark.parametrize("row", optimizers.TABLE, ids=lambda row: row.name)
def test_optimizers_find_the_bottom_of_a_bowl(row: type[optimizers.Optimizer]) -> None:
    made, update = row(), aefast.backends.get("numpy").ops.update
    w, slots = np.array([3.0, -2.0]), [np.zeros(2) for _ in range(row.n_slots)]
    for t in range(1, 801):
        (c1, c2), (s0, s1) = made.bias_corrections(np.array([t]))[0], [*slots, None, None][:2]
        lr = 0.05 * (1 - t / 801)
        h0, h1, h2 = made.constants
        update(
            optimizers.CODES[row.name],
            w,
            w * [1.0, 4.0],
            s0,
            s1,
            None,
            0,
            0.0,
            h0,
            h1,
            h2,
            lr,
            c1,
            c2,
            1.0,
            0.0,
        )
    assert np.abs(w).max() < 0.05


def test_every_row_of_a_table_is_everywhere_it_must_be() -> None:
    assert set(RULES) == set(optimizers.NAMES)
    for module in (activations, losses, optimizers):
        assert [module.CODES[row.name] for row in module.TABLE] == list(range(len(module.TABLE)))
    from aefast.ops import NAMES

    assert set(testing.ops()) == set(NAMES)
    for name in aefast.backends.NAMES:
        if aefast.backends.available(name):
            backend = aefast.backends.get(name)
            for op in NAMES:
                assert hasattr(backend.ops, op) and backend.supports(op), (name, op)
            for act in activations.NAMES:
                assert backend.supports("linear_act", act=act), (name, act)


@pytest.mark.parametrize("name", schedules.NAMES)
def test_schedules_start_at_one_and_never_grow(name: str) -> None:
    steps = np.arange(100)
    factor = schedules.factors(name, steps / 100, steps)
    assert factor[0] == 1.0 and (np.diff(factor) <= 1e-15).all() and (factor >= 0).all()
    warm = schedules.factors(name, steps / 100, steps, 10)
    assert warm[0] == pytest.approx(0.1) and (warm[10:] == factor[10:]).all()
    assert np.isfinite(schedules.factors(name, steps / 10, steps)).all()


@pytest.mark.parametrize("get", [activations.get, losses.get, optimizers.get], ids=lambda get: get.__module__)
def test_a_wrong_name_is_answered_with_the_nearest_right_one(get: object) -> None:
    near = {activations.get: "sigmid", losses.get: "hubber", optimizers.get: "adm"}[get]  # type: ignore[index]
    with pytest.raises(ValueError, match=r"unknown .* known: .* Did you mean '(sigmoid|huber|adam)'\?"):
        get(near)  # type: ignore[operator]


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda: optimizers.Adam(beta1=1.0), r"beta1 must be a number in \[0, 1\)"),
        (lambda: optimizers.Adam(beta1=math.nan), "beta1"),
        (lambda: optimizers.SGD(learning_rate=-1.0), r"learning_rate must be a number in \[0, inf\) or None"),
        (lambda: optimizers.SGD(learning_rate=math.nan), "learning_rate"),
        (lambda: optimizers.AdamW(weight_decay=-1.0), "weight_decay"),
        (lambda: regularizers.Corruption("masking", 1.5), r"in \[0, 1\], but is 1.5"),
        (lambda: regularizers.Corruption("gaussian", -0.1), "level"),
        (lambda: regularizers.Corruption("gaussian", math.nan), "level"),
        (lambda: regularizers.Corruption("mask"), "Did you mean 'masking'"),
        (lambda: regularizers.Sparsity("kl", target=0.0), r"rho must be a number in \(0, 1\)"),
        (lambda: regularizers.Sparsity("kl", weight=-1.0), "weight"),
        (lambda: regularizers.Sparsity("l3"), "unknown sparsity"),
        (lambda: losses.element_scale("average", 3), "unknown reduction"),
    ],
)
def test_settings_out_of_range_are_refused(make: object, words: str) -> None:
    with pytest.raises(ValueError, match=words):
        make()  # type: ignore[operator]


def test_rows_are_frozen() -> None:
    with pytest.raises(AttributeError):
        optimizers.Adam().beta1 = 0.5  # type: ignore[misc]
