"""fit_many's arguments and callbacks: what it refuses before anything is fitted, and that callbacks are each model's own."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from fit_many_cases import X, learned, mixed
from scipy.sparse import csr_array

import aefast
from aefast import Autoencoder
from aefast.callbacks import Callback, History


def test_arguments_are_checked_before_anything_is_fitted() -> None:
    one = Autoencoder(2, epochs=1)
    cases: list[tuple[type[Exception], str, tuple[Any, ...], dict[str, Any]]] = [
        (
            ValueError,
            r"estimators\[0\] and estimators\[2\] are the same object",
            ([one, Autoencoder(), one], X),
            {},
        ),
        (TypeError, r"estimators\[1\] must be one of aefast's estimators, but is 3", ([one, 3], X), {}),
        (TypeError, r"estimators\[0\] must be .*\(ABCMeta\)|\(type\)", ([Autoencoder], X), {}),
        (ValueError, "n_threads must be an integer", ([one], X), {"n_threads": 0}),
        (TypeError, "verbose", ([one], X), {"verbose": "yes"}),
        (ValueError, "X contains NaN at row 1", ([one], np.array([[1.0], [np.nan]])), {}),
        (ValueError, "X_val has 2 features, but X has 11", ([one], X), {"X_val": X[:, :2]}),
        (
            ValueError,
            "an entry for each of the 1 estimators, but has 2",
            ([one], X),
            {"callbacks": [None, None]},
        ),
        (TypeError, "callbacks must be a function that makes", ([one], X), {"callbacks": Callback()}),
        (TypeError, "a callback must be a function", ([one], X), {"callbacks": [3]}),
    ]
    for error, message, arguments, options in cases:
        with pytest.raises(error, match=message):
            aefast.fit_many(*arguments, **options)
    assert not hasattr(one, "trainer_")
    assert aefast.fit_many([], X) == []
    assert aefast.fit_many(iter([one]), X)[0] is one and one.n_iter_ == 1


@pytest.mark.parametrize(
    ("weights", "error", "message"),
    [
        (
            [[1.0] * 501, [1.0] * 500],
            ValueError,
            r"shape \(n,\) or \(2, n\), .* rows have from 500 to 501 entries",
        ),
        ([[1.0] * 501, 1.0], ValueError, "rows have from 1 to 501 entries"),
        (
            csr_array(np.ones((2, 501))),
            TypeError,
            r"a dense array, but is a sparse csr_array; use its toarray\(\)",
        ),
        (csr_array(np.ones((1, 501))), TypeError, "a dense array, but is a sparse csr_array"),
        (np.ones((2, 501, 1)), ValueError, r"or \(2, n\), .* but has shape \(2, 501, 1\)"),
        (np.ma.masked_less(np.ones((2, 501)), 2.0), ValueError, "sample_weight has 1002 masked entries"),
        ([["a"] * 501] * 2, TypeError, "sample_weight must hold real numbers"),
    ],
    ids=["ragged", "row and number", "sparse", "one sparse row", "three axes", "masked", "texts"],
)
def test_weights_that_are_none_for_each_are_told_apart(
    weights: Any, error: type[Exception], message: str
) -> None:
    models = [Autoencoder(2, epochs=1), Autoencoder(2, epochs=1)]
    with pytest.raises(error, match=message):
        aefast.fit_many(models, X, sample_weight=weights)
    assert not any(hasattr(model, "trainer_") for model in models)


class Heard(Callback):
    every = 3

    def __init__(self) -> None:
        self.said: list[Any] = []

    def on_start(self, model: Any, epochs: int, n_rows: int) -> None:
        self.said.append(("start", epochs, n_rows))

    def on_step(self, model: Any, steps: Any) -> None:
        self.said.append((steps.epoch, steps.losses.tolist(), steps.rows))

    def on_epoch(self, model: Any, history: History) -> object:
        self.said.append(list(history.loss))
        return len(history.loss) == 2

    def on_end(self, model: Any, history: History) -> None:
        self.said.append("end")


@pytest.mark.parametrize("by", ["entries", "function"])
def test_each_model_has_callbacks_of_its_own(by: str) -> None:
    models, heard = mixed(), [Heard() for _ in mixed()]
    of = {id(model): callback for model, callback in zip(models, heard, strict=True)}
    aefast.fit_many(
        models, X, n_threads=2, callbacks=heard if by == "entries" else lambda model: of[id(model)]
    )
    alone = [Heard() for _ in models]
    single = [learned(m.fit(X, callbacks=c)) for m, c in zip(mixed(), alone, strict=True)]
    assert [c.said for c in heard] == [c.said for c in alone]
    assert [learned(model) for model in models] == single and models[0].n_iter_ == 2


def test_the_bar_counts_estimators(capsys: pytest.CaptureFixture[str]) -> None:
    aefast.fit_many(mixed(), X, n_threads=2, verbose=1)
    assert "14/14" in capsys.readouterr().err
    aefast.fit_many(mixed(), X, n_threads=2)
    assert capsys.readouterr().err == ""


def test_a_callback_of_two_models_and_a_fit_of_its_own_are_refused() -> None:
    from aefast.callbacks import EarlyStopping

    class Own(Autoencoder):
        def fit(self, X: Any, y: Any = None, **options: Any) -> Any:
            return super().fit(X * 2, y, **options)

    stop = EarlyStopping(patience=2)
    models = [Autoencoder(2, epochs=1, random_state=i) for i in range(3)]
    for callbacks in ([stop] * 3, lambda _: [stop], [None, [stop], stop]):
        with pytest.raises(ValueError, match=r"share the callback .*EarlyStopping"):
            aefast.fit_many(models, X, X_val=X[:20], callbacks=callbacks)
    with pytest.raises(TypeError, match=r"estimators\[1\] is a Own, whose class has a fit of its own"):
        aefast.fit_many([models[0], Own(2, epochs=1)], X)
    assert not any(hasattr(model, "trainer_") for model in models)
