"""Masked arrays: what lies below a mask is never taken for data."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import aefast

X = np.random.default_rng(0).random((40, 16))
MASKED = np.ma.masked_array(X, mask=X > 0.9)
N = int(MASKED.mask.sum())
ONE = np.ma.masked_array(np.ones(40), mask=np.arange(40) == 3)


def fitted() -> aefast.Autoencoder:
    return aefast.Autoencoder(2, epochs=1, random_state=0, backend="numpy").fit(X)


def trainer() -> aefast.Trainer:
    return aefast.Trainer(aefast.Topology.mlp([16, 2, 16]), backend="numpy", batch_size=40)


@pytest.mark.parametrize(
    ("use", "name", "n"),
    [
        (lambda: fitted().fit(MASKED), "X", N),
        (lambda: fitted().partial_fit(MASKED), "X", N),
        (lambda: fitted().fit(X, X_val=MASKED), "X_val", N),
        (lambda: fitted().transform(MASKED), "X", N),
        (lambda: fitted().score_samples(MASKED), "X", N),
        (lambda: fitted().inverse_transform(MASKED[:, :2]), "Z", int(MASKED.mask[:, :2].sum())),
        (lambda: fitted().fit(X, sample_weight=ONE), "sample_weight", 1),
        (lambda: aefast.fit_many([fitted()], MASKED), "X", N),
        (lambda: aefast.ConvAutoencoder(2).fit(MASKED.reshape(40, 4, 4)), "X", N),
        (lambda: trainer().fit(MASKED, epochs=1), "X", N),
        (lambda: trainer().step(MASKED), "batch", N),
        (lambda: trainer().encode(MASKED), "X", N),
    ],
)
def test_masked_entries_are_refused(use: Any, name: str, n: int) -> None:
    entries = "entry" if n == 1 else "entries"
    with pytest.raises(ValueError, match=f"^{name} has {n} masked {entries}, and masks are not heeded"):
        use()


def test_a_masked_array_without_masked_entries_is_an_array() -> None:
    whole = np.ma.masked_array(X, mask=np.zeros(X.shape, bool))
    model = aefast.Autoencoder(2, epochs=1, random_state=0, backend="numpy").fit(
        whole, sample_weight=ONE.data
    )
    expected = aefast.Autoencoder(2, epochs=1, random_state=0, backend="numpy").fit(X, sample_weight=ONE.data)
    assert np.array_equal(model.transform(whole), expected.transform(X))
