"""The threads of a step: guessed by the model, decided by what steps take. The clock here is the test's own."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from aefast import testing

FLOPS = 6e6  # the model guesses 4 threads


@pytest.fixture(autouse=True)
def native() -> None:
    testing.Target("cpu", "float32").open()


def spent(choice, cost: Callable[[int, float], float], seconds: float, run: int = 10**9) -> dict[int, float]:  # type: ignore[no-untyped-def]
    """Seconds by team size of a program whose step takes cost(size, now), in runs of at most `run` steps."""
    total: dict[int, float] = {}
    now = 0.0
    while now < seconds:
        left = run
        while left > 0 and now < seconds:
            size, steps = choice.size, min(left, choice.steps())
            took = cost(size, now) * steps
            choice.took(took, steps)
            total[size] = total.get(size, 0.0) + took
            now, left = now + took, left - steps
    return total


def started(flops: float = FLOPS, threads: int = 8):  # type: ignore[no-untyped-def]
    from aefast import _cpu

    choice = _cpu.TeamChoice()
    choice.begin(flops, threads)
    return choice


@pytest.mark.parametrize("run", [3, 500, 10**9])
@pytest.mark.parametrize("best", [1, 2, 4, 8])
def test_the_best_team_gets_nearly_all_of_the_time(best: int, run: int) -> None:
    total = spent(started(), lambda size, _: 1e-5 * (1 + abs(size - best)), 10.0, run)
    assert sum(total.values()) - total[best] < 0.05 * 10


def test_it_follows_a_machine_that_changes() -> None:
    choice = started()
    alone = spent(choice, lambda size, _: 1e-4 / size, 5.0)
    assert max(alone, key=lambda size: alone[size]) == 8
    crowded = spent(choice, lambda size, _: 1e-4 * size, 8.0)
    assert crowded[1] > 4.0


def test_a_difference_within_the_noise_changes_nothing() -> None:
    total = spent(started(), lambda size, _: 1e-5 * (0.97 if size == 2 else 1.0), 5.0)
    assert total[4] > 0.9 * 5


def test_what_was_learned_stays_until_the_work_or_the_threads_change() -> None:
    choice = started()
    spent(choice, lambda size, _: 1e-5 * size, 1.0)
    assert choice.size in (1, 2)
    choice.begin(FLOPS, 8)
    assert choice.size in (1, 2)
    choice.begin(FLOPS, 4)
    assert choice.size == 4


@pytest.mark.parametrize("threads", [1, 3, 6])
def test_a_team_is_never_larger_than_allowed(threads: int) -> None:
    total = spent(started(threads=threads), lambda size, _: 1e-5 / size, 2.0)
    assert max(total) == threads


def test_large_steps_use_every_thread_at_once() -> None:
    choice = started(1e9, 3)
    assert choice.size == 3
    assert choice.steps() > 10**12
    choice.took(1.0, 10)
    assert choice.size == 3


def test_with_no_arithmetic_a_thread_every_step_uses_all() -> None:
    from aefast import _cpu

    _cpu.set_flops_per_thread(0)
    try:
        total = spent(started(10.0, 5), lambda size, _: 1e-5 * size, 1.0)
    finally:
        _cpu.set_flops_per_thread(1.5e6)
    assert set(total) == {5}
