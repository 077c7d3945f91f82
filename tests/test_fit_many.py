"""fit_many: the bits of single fits whatever the threads, and what happens to arguments, errors, warnings and Ctrl-C."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import warnings
from pathlib import Path
from typing import Any

import joblib
import numpy as np
import pytest
from scipy.sparse import csr_array

import aefast
from aefast import (
    Autoencoder,
    DenoisingAutoencoder,
    SparseAutoencoder,
    VariationalAutoencoder,
    backends,
    many,
)
from aefast.callbacks import Callback, History
from aefast.data import shared

RNG = np.random.default_rng(3)
X = RNG.standard_normal((501, 3)) @ RNG.standard_normal((3, 11)) + 0.2 * RNG.standard_normal((501, 11))
X_VAL = X[::9] + 0.1
WEIGHTS = np.linspace(0.0, 2.0, len(X))
BACKEND = "cpu" if backends.available("cpu") else "numpy"


def mixed(**changes: Any) -> list[Any]:
    """Kinds, sizes, seeds, batches and penalties; several read alike, and so take turns on shared rows."""
    common = {"epochs": 4, "backend": BACKEND, **changes}
    seeds = np.random.RandomState(7)  # drawn from by several, in their order
    return [
        Autoencoder(2, hidden_layer_sizes=(), random_state=0, batch_size=64, **common),
        Autoencoder(3, hidden_layer_sizes=(7,), random_state=0, batch_size=64, tied_weights=True, **common),
        DenoisingAutoencoder(3, random_state=0, batch_size=64, **common),
        DenoisingAutoencoder(2, random_state=0, batch_size=64, corruption="masking", **common),
        SparseAutoencoder(4, random_state=0, batch_size=64, **common),
        VariationalAutoencoder(2, random_state=0, batch_size=64, **common),
        Autoencoder(4, random_state=0, batch_size=64, scaling="minmax", loss="mae", **common),
        Autoencoder(2, random_state=1, batch_size=500, **common),
        Autoencoder(3, random_state=1, batch_size=500, ema=0.9, clip_norm=0.5, **common),
        Autoencoder(2, random_state=seeds, **common),
        Autoencoder(2, random_state=seeds, shuffle=False, **common),
        Autoencoder(2, random_state=5, early_stopping=True, n_iter_no_change=1, **{**common, "epochs": 9}),
        Autoencoder(3, random_state=5, early_stopping=True, n_iter_no_change=1, **{**common, "epochs": 9}),
        Autoencoder(3, random_state=5, tol=0.5, n_iter_no_change=1, **common),
    ]


def learned(model: Any) -> dict[str, Any]:
    """All that a fit leaves behind, but for who it is."""
    trainer = model.trainer_
    return {
        **{name: flat.tobytes() for name, flat in trainer.flat_buffers.items()},
        "curves": (model.loss_curve_, [repr(v) for v in model.validation_loss_curve_]),
        "counts": (model.n_iter_, trainer.n_steps, trainer.epoch, trainer.position, trainer.seed),
        "names": (model.n_features_in_, list(getattr(model, "feature_names_in_", ()))),
        "scaling": [None if a is None else a.tobytes() for a in (model.scaling_.shift, model.scaling_.scale)],
    }


def one_by_one(models: list[Any], data: Any, **options: Any) -> list[dict[str, Any]]:
    return [learned(model.fit(data, **options)) for model in models]


@pytest.mark.parametrize("piece", [1, 10_000, shared.PIECE_BYTES])
@pytest.mark.parametrize("n_threads", [1, 2, 3, 5])
def test_the_bits_are_those_of_single_fits(
    n_threads: int, piece: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(shared, "PIECE_BYTES", piece)  # a piece of one batch, of some, and the whole epoch
    models = mixed()
    fitted = aefast.fit_many(models, X, n_threads=n_threads)
    assert all(a is b for a, b in zip(fitted, models, strict=True))
    assert [learned(model) for model in fitted] == one_by_one(mixed(), X)
    assert any(model.n_iter_ < 9 for model in fitted[11:13]) and fitted[13].n_iter_ < 4


@pytest.mark.parametrize(
    "options", [{"X_val": X_VAL}, {"sample_weight": WEIGHTS}], ids=lambda o: next(iter(o))
)
def test_with_validation_rows_and_with_weights(options: dict[str, Any]) -> None:
    fitted = aefast.fit_many(mixed(), X, n_threads=2, **options)
    assert [learned(model) for model in fitted] == one_by_one(mixed(), X, **options)


def test_weights_for_each_estimator() -> None:
    models = mixed()
    weights = np.random.default_rng(0).multinomial(len(X), np.full(len(X), 1 / len(X)), size=len(models))
    aefast.fit_many(models, X, sample_weight=weights, n_threads=2)
    single = [learned(m.fit(X, sample_weight=w)) for m, w in zip(mixed(), weights, strict=True)]
    assert [learned(model) for model in models] == single
    with pytest.raises(ValueError, match=r"shape \(n,\) or \(14, n\), .* but has shape \(3, 501\)"):
        aefast.fit_many(mixed(), X, sample_weight=weights[:3])
    weights[2, 4] = -1
    with pytest.raises(ValueError, match="of row 4 is -1") as raised:
        aefast.fit_many(mixed(), X, sample_weight=weights)
    assert raised.value.__notes__ == ["raised by sample_weight[2]"]


@pytest.mark.parametrize("kind", ["float32", "int16", "memmap", "csr", "pandas", "fortran"])
def test_every_kind_of_input(kind: str, tmp_path: Path) -> None:
    data: Any = X
    if kind == "memmap":
        np.save(tmp_path / "x.npy", X)
        data = np.load(tmp_path / "x.npy", mmap_mode="r")
    elif kind == "csr":
        data = csr_array(np.where(X > 0, X, 0))
    elif kind == "pandas":
        data = pytest.importorskip("pandas").DataFrame(X, columns=[f"c{i}" for i in range(X.shape[1])])
    elif kind == "fortran":
        data = np.asfortranarray(X)
    else:
        data = (10 * X).astype(kind)
    fitted = aefast.fit_many(mixed(), data, n_threads=3)
    assert [learned(model) for model in fitted] == one_by_one(mixed(), data)
    assert kind != "pandas" or fitted[0].feature_names_in_[10] == "c10"


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("name", ["numba", "numpy"])
def test_the_other_backends(name: str, dtype: str) -> None:
    if not backends.available(name):
        pytest.skip(backends.available(name).reason)
    fitted = aefast.fit_many(mixed(backend=name, dtype=dtype), X, n_threads=2)
    # One thread for BLAS, as in fit_many: its sums may depend on it.
    assert [learned(m) for m in fitted] == one_by_one(mixed(backend=name, dtype=dtype, n_threads=1), X)


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


# Arguments ------------------------------------------------------------------------------------------------------------


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


# Errors, warnings, Ctrl-C --------------------------------------------------------------------------------------------


class Failure(Callback):
    def on_epoch(self, model: Any, history: History) -> object:
        if len(history.loss) == 2:
            raise OSError("the disk is full")
        return None


@pytest.mark.parametrize("n_threads", [1, 3])
def test_a_failure_leaves_the_others_fitted(n_threads: int) -> None:
    models = mixed()
    models[1] = Autoencoder(0)
    models[4] = Autoencoder(2, loss="bce", backend=BACKEND, random_state=0)
    callbacks = [Failure() if i == 3 else None for i in range(len(models))]
    with pytest.raises(
        ExceptionGroup, match=r"3 of 14 .* fitted: \[1\], \[3\], \[4\]; all others are"
    ) as raised:
        aefast.fit_many(models, X, n_threads=n_threads, callbacks=callbacks)
    kinds = [type(error) for error in raised.value.exceptions]
    assert kinds == [ValueError, OSError, ValueError]
    notes = [error.__notes__ for error in raised.value.exceptions]
    assert notes[1][0].startswith("raised by estimators[3], DenoisingAutoencoder(")
    assert not hasattr(models[1], "trainer_") and not hasattr(models[4], "trainer_")
    assert models[3].n_iter_ == 2  # what it had learned, as after fit
    expected = one_by_one(mixed(), X)
    kept = [i for i in range(len(models)) if i not in (1, 3, 4)]
    assert [learned(models[i]) for i in kept] == [expected[i] for i in kept]


def test_rows_that_cannot_be_held_out_are_each_ones_failure() -> None:
    models = [Autoencoder(1, early_stopping=True, random_state=0, backend=BACKEND) for _ in range(3)]
    with pytest.raises(ExceptionGroup) as raised:
        aefast.fit_many(models, X[:1], n_threads=1)
    assert [str(error) for error in raised.value.exceptions] == [
        "early_stopping needs at least 2 rows, or X_val="
    ] * 3
    assert len({id(error) for error in raised.value.exceptions}) == 3


def test_a_loss_that_is_not_finite_names_the_row_of_the_data() -> None:
    rows = np.ones((300, 3), np.float32)
    rows[217, 1] = 3e38

    def pair() -> list[Any]:
        options = {"random_state": 0, "batch_size": 16, "scaling": None, "epochs": 1, "backend": BACKEND}
        return [Autoencoder(k, **options) for k in (2, 3)]

    with pytest.raises(aefast.NonFiniteError) as single:
        pair()[0].fit(rows)
    with pytest.raises(ExceptionGroup) as raised:
        aefast.fit_many(pair(), rows, n_threads=1)
    assert str(raised.value.exceptions[0]) == str(single.value)


def test_warnings_and_their_filters_reach_the_threads() -> None:
    class Warns(Callback):
        def on_end(self, model: Any, history: History) -> None:
            warnings.warn(f"{threading.current_thread().name} is done", UserWarning, stacklevel=1)

    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        aefast.fit_many(mixed(), X, n_threads=2, callbacks=lambda _: Warns())
    assert [str(w.message) for w in caught] == ["aefast-fit is done"] * 14
    with warnings.catch_warnings():
        warnings.simplefilter("error", UserWarning)
        with pytest.raises(ExceptionGroup, match="14 of 14"):
            aefast.fit_many(mixed(), X, n_threads=2, callbacks=lambda _: Warns())


def long_models() -> list[Any]:
    options: dict[str, Any] = {"epochs": 10**6, "tol": 0, "n_iter_no_change": 10**6, "batch_size": 8}
    options |= {"backend": BACKEND, "schedule": "constant", "hidden_layer_sizes": ()}
    return [Autoencoder(2, random_state=i // 2, **options) for i in range(6)]


@pytest.mark.parametrize("n_threads", [1, 2, 3])
@pytest.mark.parametrize("kind", ["Ctrl-C", "a handler that raises"])
def test_an_interrupt_stops_all_and_keeps_what_was_learned(kind: str, n_threads: int) -> None:
    models = long_models()
    number, error = (signal.SIGINT, KeyboardInterrupt) if kind == "Ctrl-C" else (signal.SIGTERM, SystemExit)
    started = threading.Event()

    def send() -> None:
        assert started.wait(60)
        os.kill(os.getpid(), number)

    class Started(Callback):
        def on_epoch(self, model: Any, history: History) -> None:
            started.set()

    def stop(*_: object) -> None:
        raise SystemExit(3)

    before, sender = signal.signal(signal.SIGTERM, stop), threading.Thread(target=send)
    sender.start()
    try:
        with pytest.raises(error):
            aefast.fit_many(models, X, n_threads=n_threads, callbacks=lambda _: Started())
        sender.join()
    finally:
        signal.signal(signal.SIGTERM, before)
    assert not [
        thread for thread in threading.enumerate() if thread.name == "aefast-fit" and thread.is_alive()
    ]
    begun = [model for model in models if hasattr(model, "trainer_")]
    assert begun and max(model.n_iter_ for model in begun) < 10**5
    for model in begun:  # the epoch is finished, and the model where a single fit would be
        trainer, whole = model.trainer_, long_models()[0]
        n_iter, trainer_epoch = model.n_iter_, trainer.epoch
        assert trainer_epoch == n_iter and trainer.n_steps == n_iter * -(-len(X) // 8) + trainer.position
        whole.set_params(random_state=trainer.seed, epochs=n_iter + 1).fit(X)
        trainer.fit_epoch(X)
        assert (trainer.flat_buffers["params"] == whole.trainer_.flat_buffers["params"]).all()


def test_an_interrupt_that_another_thread_sends_is_heard() -> None:
    """`raise_signal` in a worker wakes nobody: the main thread has to look for itself."""

    class Send(Callback):
        def on_epoch(self, model: Any, history: History) -> None:
            if len(history.loss) == 2:
                signal.raise_signal(signal.SIGINT)

    models = long_models()
    with pytest.raises(KeyboardInterrupt):
        aefast.fit_many(models, X, n_threads=2, callbacks=[Send() if i == 0 else None for i in range(6)])
    assert max(m.n_iter_ for m in models if hasattr(m, "n_iter_")) < 10**5


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


def test_an_interrupt_out_of_a_callback_ends_all() -> None:
    class Leave(Callback):
        def on_epoch(self, model: Any, history: History) -> None:
            raise SystemExit(4)

    models = long_models()
    entries = [Leave() if i == 0 else None for i in range(6)]
    with pytest.raises(SystemExit):
        aefast.fit_many(models, X, n_threads=3, callbacks=entries)
    assert max(m.n_iter_ for m in models if hasattr(m, "n_iter_")) < 10**5


# Together with others ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("joblib_backend", ["loky", "threading"])
def test_inside_joblib(joblib_backend: str) -> None:
    made = joblib.Parallel(n_jobs=2, backend=joblib_backend)(
        joblib.delayed(aefast.fit_many)(mixed(), X, n_threads=2) for _ in range(2)
    )
    expected = one_by_one(mixed(), X)
    assert [[learned(model) for model in models] for models in made] == [expected] * 2


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork here")
def test_a_fork_afterwards_fits_too() -> None:
    expected = one_by_one(mixed(), X)
    aefast.fit_many(mixed(), X, n_threads=3)
    child = os.fork()
    if child == 0:
        same = [learned(model) for model in aefast.fit_many(mixed(), X, n_threads=3)] == expected
        os._exit(not same)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0


def test_it_loads_when_it_is_used() -> None:
    code = "import sys, aefast; assert 'fit_many' in dir(aefast); print('aefast.many' in sys.modules); aefast.fit_many"
    assert subprocess.check_output([sys.executable, "-P", "-c", code], text=True) == "False\n"
