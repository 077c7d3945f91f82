"""Errors, warnings and Ctrl-C in fit_many: whose they are, and what the other models keep."""

from __future__ import annotations

import os
import signal
import threading
import warnings
from typing import Any

import numpy as np
import pytest
from fit_many_cases import BACKEND, X, learned, long_models, mixed, one_by_one

import aefast
from aefast import Autoencoder
from aefast.callbacks import Callback, History


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


def test_a_stop_iteration_out_of_a_callback_is_a_failure_and_no_end() -> None:
    class Stops(Callback):
        def on_epoch(self, model: Any, history: History) -> object:
            raise StopIteration("out of a callback")

    models = mixed()
    with pytest.raises(ExceptionGroup, match=r"1 of 14 .* fitted: \[2\]; all others are") as raised:
        aefast.fit_many(models, X, callbacks=[Stops() if i == 2 else None for i in range(14)])
    assert repr(raised.value.exceptions[0].__cause__) == "StopIteration('out of a callback')"


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


def test_an_interrupt_out_of_a_callback_ends_all() -> None:
    class Leave(Callback):
        def on_epoch(self, model: Any, history: History) -> None:
            raise SystemExit(4)

    models = long_models()
    entries = [Leave() if i == 0 else None for i in range(6)]
    with pytest.raises(SystemExit):
        aefast.fit_many(models, X, n_threads=3, callbacks=entries)
    assert max(m.n_iter_ for m in models if hasattr(m, "n_iter_")) < 10**5
