"""What the models of fit_many share: gathered rows, and threads."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from fit_many_cases import BACKEND, WEIGHTS, X, learned, one_by_one

import aefast
from aefast import Autoencoder, many
from aefast.data import shared


def test_models_that_read_alike_share_the_gather(monkeypatch: pytest.MonkeyPatch) -> None:
    gathered: list[int] = []
    real = shared.SharedRows._gather

    def counting(self: Any, trainer: Any, own: Any, place: object) -> None:
        before = self._piece_of
        real(self, trainer, own, place)
        gathered.append(self._piece_of is not before)

    monkeypatch.setattr(shared.SharedRows, "_gather", counting)
    models = [Autoencoder(k, random_state=0, epochs=3, batch_size=50, backend=BACKEND) for k in (2, 3, 4, 5)]
    aefast.fit_many(models, X, n_threads=1)
    # An epoch is one piece; its full batches are a run, its short last one another.
    assert len(gathered) == 4 * 3 * 2 and sum(gathered) == 3


def test_a_model_that_leads_or_learns_on_gets_its_own_rows() -> None:
    def pair() -> list[Any]:
        models = [
            Autoencoder(k, random_state=0, epochs=3, batch_size=50, warm_start=True, backend=BACKEND)
            for k in (2, 3)
        ]
        models[0].fit(X)  # its epochs, and so its orders, are others now
        return models

    fitted = aefast.fit_many(pair(), X, n_threads=1)
    assert [learned(model) for model in fitted] == one_by_one(pair(), X)
    assert fitted[0].n_iter_ == 6


def test_trainers_of_other_epochs_and_scalings_may_share_rows() -> None:
    """What a trainer reads doesn't depend on who read before it."""
    made = [
        Autoencoder(2, random_state=0, epochs=n, batch_size=50, scaling=s, backend=BACKEND).fit(X).trainer_
        for n, s in ((1, "standard"), (2, "standard"), (1, "minmax"))
    ]
    rows = shared.SharedRows(X, WEIGHTS)
    for trainer in (*made, made[0], made[2]):
        feed = rows.feed(trainer, 100, 50)
        own = trainer._feed(X, trainer._order(len(X)), WEIGHTS, trainer.epoch)
        n = len(feed.index)
        expected = ((X[own.index[100 : 100 + n]] - own.shift) * own.scale).astype(np.float32)
        assert feed.rows is not None and (feed.rows == own.index[100 : 100 + n]).all()
        assert (feed.data[feed.index] == expected).all() and feed.epoch == trainer.epoch
        assert feed.sample_weight is not None
        assert (feed.sample_weight[feed.index] == WEIGHTS[feed.rows]).all()


def test_a_large_model_gets_its_share_of_the_threads() -> None:
    def widths(sizes: list[int], n_threads: int) -> list[tuple[int, int]]:
        models = [Autoencoder(2, hidden_layer_sizes=(size,), random_state=0) for size in sizes]
        data = many._data(models, X, None, None)
        tasks = many._tasks(models, X, data, [[] for _ in models], {})
        return sorted((job.width, len(job.tasks)) for job in many._jobs(tasks, n_threads))

    assert widths([100, 100], 8) == [(4, 1), (4, 1)]
    assert widths([8000, 100, 100, 100], 4) == [(1, 1), (1, 1), (1, 1), (3, 1)]
    assert widths([100] * 9, 3) == [(1, 3)] * 3
    assert widths([100] * 40, 2) == [(1, 8)] * 5
    assert widths([100], 6) == [(6, 1)]


def test_several_large_models_run_side_by_side_on_threads_of_their_own() -> None:
    native = pytest.importorskip("aefast._cpu")
    native.set_flops_per_thread(0)
    try:
        wide = [Autoencoder(3, hidden_layer_sizes=(40,), random_state=s, epochs=3) for s in range(3)]
        fitted = aefast.fit_many(wide, X, n_threads=9)
    finally:
        native.set_flops_per_thread(1.5e6)
    again = [Autoencoder(3, hidden_layer_sizes=(40,), random_state=s, epochs=3) for s in range(3)]
    assert [learned(model) for model in fitted] == one_by_one(again, X)
