"""Ctrl-C: answered between two steps, at once, with everything learned so far kept and consistent."""

from __future__ import annotations

import os
import signal
import threading
import time
from typing import Any

import numpy as np
import pytest
from models import data, make

import aefast
from aefast import interrupts, testing

BACKENDS = sorted({target.backend for target in testing.targets()})


def long_data(name: str) -> np.ndarray[Any, Any]:
    """Rows of which an epoch takes some tenths of a second."""
    return (
        np.random.default_rng(0).uniform(0, 1, (400_000 if name == "cpu" else 12_000, 13)).astype(np.float32)
    )


@pytest.mark.parametrize("kind", ["Ctrl-C", "a handler that raises"])
@pytest.mark.parametrize("name", BACKENDS)
def test_a_run_is_interrupted_and_goes_on_bit_by_bit(name: str, kind: str) -> None:
    testing.Target(name, "float32").open()
    rows = long_data(name)
    made, whole = (make("all at once", name, batch_size=4) for _ in range(2))
    made.fit(rows[:8], epochs=1), whole.fit(rows[:8], epochs=1)  # whatever is made at the first call is made
    number, error = (signal.SIGINT, KeyboardInterrupt) if kind == "Ctrl-C" else (signal.SIGTERM, SystemExit)

    def stop(*_: object) -> None:
        raise SystemExit(3)

    before = signal.signal(signal.SIGTERM, stop)
    try:
        timer = threading.Timer(0.15, os.kill, (os.getpid(), number))
        timer.start()
        with pytest.raises(error):
            made.fit(rows, epochs=100_000)
        timer.join()
    finally:
        signal.signal(signal.SIGTERM, before)
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler
    assert made.n_steps == 2 + (made.epoch - 1) * len(rows) // 4 + made.position
    # Of a hundred thousand epochs; mostly within one, but between two is a place to stop as well.
    assert made.epoch < 1000
    total = 1 + 100_000
    for _ in range(made.epoch):
        whole.fit_epoch(rows, total_epochs=total)
    made.fit_epoch(rows, total_epochs=total)
    assert made.n_steps == whole.n_steps
    assert all((flat == whole.flat_buffers[k]).all() for k, flat in made.flat_buffers.items())


@pytest.mark.parametrize("op", ["linear_act", "linear_wgrad", "update", "batch_loss"])
@pytest.mark.parametrize("at", [1, 2, 4, 7])
def test_no_step_is_left_half_done(op: str, at: int, monkeypatch: pytest.MonkeyPatch) -> None:
    x = data(50)
    made, whole = make("all at once", "numpy"), make("all at once", "numpy")
    counted, real = [0], getattr(made._backend.ops, op)

    def interrupting(*args: Any, **kwargs: Any) -> None:
        counted[0] += 1
        if counted[0] == at:
            signal.raise_signal(signal.SIGINT)
        real(*args, **kwargs)

    import inspect

    interrupting.__signature__ = inspect.signature(real)  # type: ignore[attr-defined]
    monkeypatch.setattr(made._backend.ops, op, interrupting)
    with pytest.raises(KeyboardInterrupt):
        made.fit(x, epochs=2)
    while made.epoch < 2:
        made.fit_epoch(x, total_epochs=2)
    losses = whole.fit(x, epochs=2).loss
    assert made.n_steps == whole.n_steps and len(losses) == 2
    assert all((flat == whole.flat_buffers[k]).all() for k, flat in made.flat_buffers.items())


@pytest.mark.parametrize("name", BACKENDS)
def test_a_handler_of_ones_own_is_heard_and_the_run_goes_on(name: str) -> None:
    testing.Target(name, "float32").open()
    rows = long_data(name)
    made, whole = (make("all at once", name, batch_size=4) for _ in range(2))
    total, running = 1000, [False]
    heard: list[bool] = []
    before = signal.signal(signal.SIGINT, lambda *_: heard.append(running[0]))

    def interrupt_twice() -> None:
        while not running[0]:
            time.sleep(0.005)
        for count in (1, 2):
            os.kill(os.getpid(), signal.SIGINT)
            while len(heard) < count:
                time.sleep(0.005)

    interrupting = threading.Thread(target=interrupt_twice, daemon=True)  # or a failure would wait for it
    losses = []
    try:
        interrupting.start()
        while len(heard) < 2 and made.epoch < 200:  # as many epochs as it takes, however fast the machine is
            running[0] = True
            losses.append(made.fit_epoch(rows, total_epochs=total))
            running[0] = False
        assert len(heard) == 2
        interrupting.join()
    finally:
        signal.signal(signal.SIGINT, before)
    assert any(heard)  # within an epoch, and it went on
    assert losses == [whole.fit_epoch(rows, total_epochs=total) for _ in losses]
    assert all((flat == whole.flat_buffers[k]).all() for k, flat in made.flat_buffers.items())


@pytest.mark.parametrize("name", BACKENDS)
def test_a_signal_between_the_steps_and_their_counts_loses_nothing(name: str) -> None:
    testing.Target(name, "float32").open()
    made = make("vanilla mse", name, batch_size=10)
    x = data(40)
    made.fit_epoch(x)
    program = made._program("train", 10)[1]
    run_steps = program.run_steps

    def signalled(*arguments: Any) -> Any:
        outcome = run_steps(*arguments)
        signal.raise_signal(signal.SIGINT)  # Python runs the handler before the next line
        return outcome

    program.run_steps = signalled  # type: ignore[method-assign]
    with pytest.raises(KeyboardInterrupt):
        made.fit_epoch(x)
    assert made.n_steps == 8 and made.position == 4
    del program.run_steps  # type: ignore[attr-defined]
    made.fit_epoch(x)
    assert made.n_steps == 8 and made.epoch == 2


def test_in_another_thread_a_run_leaves_signals_alone() -> None:
    result: list[Any] = []
    made = make("vanilla mse", "numpy")
    thread = threading.Thread(target=lambda: result.append(made.fit(data(50), epochs=2)))
    thread.start()
    thread.join()
    assert len(result[0].loss) == 2


def test_nonfinite_and_interrupt_are_different_things() -> None:
    assert not issubclass(aefast.NonFiniteError, KeyboardInterrupt)


def test_signals_that_come_faster_than_steps_do_not_stop_a_run(monkeypatch: pytest.MonkeyPatch) -> None:
    """A step is given up for a signal, but not again for the next one: else a fast timer would keep it from ever ending."""
    testing.Target("cpu", "float32").open()
    x = np.random.default_rng(0).uniform(0, 1, (1600, 1500)).astype(np.float32)
    settings: dict[str, Any] = {"batch_size": 800, "backend": "cpu", "n_threads": 1, "seed": 1}
    topology = aefast.Topology.mlp(
        [1500, 900, 1500]
    )  # a step takes longer than the engine goes without asking
    whole = aefast.Trainer(topology, **settings)
    loss = whole.fit_epoch(x)
    asked = []
    monkeypatch.setattr("aefast.interrupts.pending", lambda: asked.append(1) or True)
    made = aefast.Trainer(topology, **settings)
    assert made.fit_epoch(x) == loss and made.n_steps == 2
    assert all((flat == whole.flat_buffers[k]).all() for k, flat in made.flat_buffers.items())
    assert asked


def test_every_signal_that_came_is_heard_though_the_first_raises() -> None:
    def two_at_once() -> None:
        with interrupts.DeferredSignals():
            signal.raise_signal(signal.SIGINT)
            signal.raise_signal(signal.SIGTERM)

    heard: list[str] = []
    before = signal.signal(signal.SIGTERM, lambda *_: heard.append("SIGTERM"))
    try:
        with pytest.raises(KeyboardInterrupt):
            two_at_once()
    finally:
        signal.signal(signal.SIGTERM, before)
    assert heard == ["SIGTERM"]


def test_a_handler_that_uses_the_model_in_its_own_inference_is_refused() -> None:
    made, x = make("all at once", "numpy"), data(20)
    chunks = made._chunks

    def interrupted(*arguments: Any) -> Any:
        with pytest.raises(RuntimeError, match="in this very thread"):
            made.encode(x)
        return chunks(*arguments)

    made._chunks = interrupted  # type: ignore[method-assign]
    code = made.encode(x)
    made._chunks = chunks  # type: ignore[method-assign]
    assert (made.encode(x) == code).all()
