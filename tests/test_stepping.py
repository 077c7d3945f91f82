"""Steps one by one: the bits of a fit, and nothing lost wherever a signal comes."""

from __future__ import annotations

import signal
import sys
import threading
from collections.abc import Callable
from types import FrameType
from typing import Any

import numpy as np
import pytest
from models import MODELS, data, make

import aefast
from aefast import epochs, optimizers, testing

BACKENDS = sorted({target.backend for target in testing.targets()})
X = data(160)
# Those in which a step of `fit` doesn't depend on the epoch: no noise, no schedule, no warm-up of the KL term.
ALIKE = [name for name in MODELS if not name.startswith(("denoising", "variational", "scheduled", "all"))]


def learned(made: aefast.Trainer) -> list[bytes]:
    return [flat.tobytes() for flat in made.flat_buffers.values()]


@pytest.mark.parametrize("model", ALIKE)
def test_steps_by_hand_are_a_fit(model: str) -> None:
    testing.Target("cpu", "float32").open()
    fitted, stepped = (make(model, "cpu", shuffle=False, warmup_steps=7) for _ in range(2))
    losses = [fitted.fit_epoch(X) for _ in range(15)]
    for epoch in range(15):
        by_hand = [stepped.step(X[start : start + 16]) for start in range(0, 160, 16)]
        assert np.mean(by_hand) == pytest.approx(losses[epoch], rel=1e-12)
    assert stepped.n_steps == fitted.n_steps == 150
    assert learned(stepped) == learned(fitted)


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("model", MODELS)
def test_shorter_batches_are_steps_of_the_same_program(model: str, backend: str) -> None:
    """After a whole batch its rows still stand in memory, and must count for nothing."""
    testing.Target(backend, "float32").open()
    sizes = (16, 5, 1, 16, 7)
    mixed, alone = make(model, backend), make(model, backend)
    for size in sizes:
        loss = mixed.step(X[:size])
        alone._programs.clear()  # a program of that size
        assert alone.step(X[:size]) == loss
    assert [batch for _, batch in mixed._programs] == [16]
    assert learned(mixed) == learned(alone)
    whole, gradients = mixed.gradients(X[:9])
    alone._programs.clear()
    assert alone.gradients(X[:9])[0] == whole
    for name, gradient in alone.gradients(X[:9])[1].items():
        np.testing.assert_array_equal(gradients[name], gradient, err_msg=name)


@pytest.mark.parametrize("rule", optimizers.NAMES)
def test_the_numbers_of_a_lone_step_are_those_of_the_formula(rule: str) -> None:
    made = make("relu", "numpy", optimizer=rule, warmup_steps=5)
    lone = epochs.LoneSteps(made.settings.optimizer)
    rng = np.random.default_rng(0)
    for made.n_steps in (*range(200), 3, 4, 5, 150, 10_000, 10_001, 0):
        made.learning_rate, made.beta = rng.uniform(size=2).tolist()
        made.kl_warmup_epochs = float(rng.integers(2))
        expected = epochs.scalars(made, 1, 1, None)
        assert lone.scalars(made, made.n_steps).tobytes() == expected.tobytes(), made.n_steps


def interrupting(at: int) -> tuple[Callable[[FrameType, str, Any], None], list[str]]:
    """A profiler that sends a signal at the place number `at` where Python lets handlers run, and the places so far.

    These are the start of a function and the return of a built-in one.
    """
    places: list[str] = []

    def profile(frame: FrameType, event: str, argument: Any) -> None:
        if event in ("call", "c_return"):
            places.append(f"{frame.f_code.co_filename}:{frame.f_lineno} {event}")
            if len(places) == at:
                signal.raise_signal(signal.SIGINT)

    return profile, places


def interrupted(at: int, work: Callable[[], object]) -> KeyboardInterrupt | None:
    """What `work` raised at that place, with all the frames in its traceback alive; None where it has no so many."""
    profile, places = interrupting(at)
    sys.setprofile(profile)
    try:
        work()
    except KeyboardInterrupt as error:
        return error
    finally:
        sys.setprofile(None)
    assert len(places) < at, f"nothing was raised at {places[at - 1]}"
    return None


@pytest.mark.parametrize("work", ["step", "fit_epoch", "fit"])
@pytest.mark.parametrize("name", BACKENDS)
def test_wherever_a_signal_comes_every_step_is_whole_and_counted(name: str, work: str) -> None:
    testing.Target(name, "float32").open()
    rows, every = X[:16], 1 if name == "cpu" else 7
    plain = make("clipped", name, optimizer="adam", batch_size=8, shuffle=False)
    made = make("clipped", name, optimizer="adam", batch_size=8, shuffle=False)
    states = [learned(plain)]  # after so many steps
    do: dict[str, Callable[[], object]] = {
        "step": lambda: made.step(rows[8 * (made.n_steps % 2) :][:8]),
        "fit_epoch": lambda: made.fit_epoch(rows),
        "fit": lambda: made.fit(rows, epochs=1),
    }
    at = 1
    while True:
        before = made.n_steps
        came = interrupted(at, do[work])
        while len(states) <= made.n_steps:
            plain.step(rows[8 * (plain.n_steps % 2) :][:8])
            states.append(learned(plain))
        assert learned(made) == states[made.n_steps], at
        assert made.n_steps - before in (0, 1, 2)
        if work != "step":
            assert made.n_steps == 2 * made.epoch + made.position, at
        do[work]()  # nobody else trains
        if came is None:
            break
        at += every
    assert at > 20  # there were places


@pytest.mark.parametrize("name", BACKENDS)
def test_at_any_time_a_signal_leaves_every_step_whole_and_counted(name: str) -> None:
    testing.Target(name, "float32").open()
    made, plain = (make("relu", name, batch_size=8) for _ in range(2))
    made.step(X[:8]), plain.step(X[:8])
    rng = np.random.default_rng(0)

    def stop(*_: object) -> None:
        raise KeyboardInterrupt

    before = signal.signal(signal.SIGALRM, stop)
    try:
        for delay in rng.uniform(1e-6, 3e-4 if name == "cpu" else 3e-3, 200).tolist():
            try:
                signal.setitimer(signal.ITIMER_REAL, delay)
                while True:
                    made.step(X[:8])
            except KeyboardInterrupt:
                pass
    finally:
        signal.signal(signal.SIGALRM, before)
    assert made.n_steps > 1
    for _ in range(made.n_steps - 1):
        plain.step(X[:8])
    assert learned(made) == learned(plain)


def test_a_handler_sees_a_step_together_with_its_count() -> None:
    testing.Target("cpu", "float32").open()
    made, plain = (make("relu", "cpu") for _ in range(2))
    states = [learned(plain)]
    for _ in range(40):
        plain.step(X[:16])
        states.append(learned(plain))
    seen: list[int] = []

    def look(*_: object) -> None:
        assert learned(made) == states[made.n_steps]
        seen.append(made.n_steps)

    before = signal.signal(signal.SIGINT, look)
    try:
        for at in range(1, 41):
            profile, _ = interrupting(at)
            sys.setprofile(profile)
            made.step(X[:16])
            sys.setprofile(None)
    finally:
        sys.setprofile(None)
        signal.signal(signal.SIGINT, before)
    assert made.n_steps == 40 and len(seen) > 20
    assert learned(made) == learned(plain)


def test_gradients_and_training_in_two_threads_are_refused_and_in_a_callback_are_not() -> None:
    topology, x = aefast.Topology.mlp([12, 5, 12]), np.random.default_rng(0).random((64, 12), np.float32)
    made, alone = (aefast.Trainer(topology, batch_size=16, backend="numpy", seed=0) for _ in range(2))
    alone.fit(x, epochs=2)
    refused: list[BaseException] = []

    def ask() -> None:
        try:
            made.gradients(x[:16])
        except RuntimeError as error:
            refused.append(error)

    def between(trainer: Any, *_: Any) -> None:
        assert trainer.gradients(x[:7])[0] > 0
        other = threading.Thread(target=ask)
        other.start()
        other.join()

    made.fit(x, epochs=2, callbacks=[between])
    assert len(refused) == 2 and "being trained" in str(refused[0])
    assert all((flat == alone.flat_buffers[k]).all() for k, flat in made.flat_buffers.items() if k != "grads")
    assert made.claimed == 0 and made.gradients(x[:16])[0] > 0
