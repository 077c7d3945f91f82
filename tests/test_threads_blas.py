"""The BLAS behind the numba and numpy backends: lowered for a run, put back after it, and no bit of a result hangs on it."""

from __future__ import annotations

import threading
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import threadpoolctl
from models import make
from thread_cases import (
    INTERPRETED,
    NATIVE,
    X,
    nothing_asked_for,
    python,
)

import aefast
from aefast import threads
from aefast.backends import blas, interpreter
from aefast.data.scaling import Scaling

__all__ = ["nothing_asked_for"]  # a fixture of every test here


class Library:
    """A BLAS as threadpoolctl shows it."""

    def __init__(self, n: int) -> None:
        self.n = n
        self.history: list[int] = []

    def get_num_threads(self) -> int:
        return self.n

    def set_num_threads(self, n: int) -> None:
        self.n = n
        self.history.append(n)


@pytest.fixture
def libraries(monkeypatch: pytest.MonkeyPatch) -> list[Library]:
    found = [Library(4), Library(2)]
    made = blas._Libraries()
    made._found = found
    monkeypatch.setattr(blas, "_libraries", made)
    return found


def test_blas_is_lowered_and_put_back(libraries: list[Library]) -> None:
    a, b = libraries
    with blas.AtMost(3):
        assert (a.n, b.n) == (3, 2)
        with blas.AtMost(1):
            assert (a.n, b.n) == (1, 1)
            with blas.AtMost(2):
                assert (a.n, b.n) == (1, 1)  # the smallest holds
        assert (a.n, b.n) == (3, 2)
    assert (a.n, b.n) == (4, 2) and a.history == [3, 1, 3, 4]
    with blas.AtMost(8):
        assert (a.n, b.n) == (4, 2)  # it never raises
    with pytest.raises(ZeroDivisionError), blas.AtMost(1):
        raise ZeroDivisionError
    assert (a.n, b.n) == (4, 2)


def test_runs_that_overlap_in_threads_put_back_what_was_there(libraries: list[Library]) -> None:
    first, second = blas.AtMost(1), blas.AtMost(2)
    first.__enter__()
    second.__enter__()
    first.__exit__(None, None, None)
    assert [library.n for library in libraries] == [2, 2]
    second.__exit__(None, None, None)
    assert [library.n for library in libraries] == [4, 2]


@pytest.mark.parametrize("name", INTERPRETED)
def test_runs_heed_arguments_settings_and_limits(
    name: str, libraries: list[Library], monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: set[int] = set()

    def during(work: Any, *arguments: Any, **options: Any) -> set[int]:
        seen.clear()
        work(*arguments, **options)
        return set(seen)

    run = interpreter.BoundCall.run

    def watching(call: Any, step: Any) -> None:
        seen.add(libraries[0].n)
        run(call, step)

    monkeypatch.setattr(interpreter.BoundCall, "run", watching)
    threads.set_num_threads(3)
    for n_threads, expected in ((None, 3), (2, 2), (1, 1), (8, 4)):
        made = make("vanilla mse", name, n_threads=n_threads)
        assert during(made.fit, X, epochs=1) == {expected}
        assert during(made.encode, X) == during(made.step, X[:5]) == {expected}
        with threads.limited(1):
            assert during(made.fit, X, epochs=1) == {1}
    model = aefast.Autoencoder(2, epochs=1, backend=name, n_threads=2)
    assert during(model.fit, X) == {2}
    assert during(aefast.fit_many, [aefast.Autoencoder(2, epochs=1, backend=name)], X, n_threads=2) == {2}
    assert [library.n for library in libraries] == [4, 2]


@pytest.mark.parametrize("name", INTERPRETED)
@pytest.mark.skipif(not Path("/proc/self/task").exists(), reason="no /proc here")
def test_one_thread_is_one_thread(name: str) -> None:
    """No other thread of the process, BLAS's and Numba's included, gets any processor time."""
    code = f"""
import os, numpy as np, aefast
def others():
    ticks = 0
    for task in os.listdir("/proc/self/task"):
        if int(task) != os.getpid():
            fields = open(f"/proc/self/task/{{task}}/stat").read().rpartition(")")[2].split()
            ticks += int(fields[11]) + int(fields[12])
    return ticks
x = np.random.default_rng(0).random((6000, 40)).astype("f")
def model(epochs): return aefast.Autoencoder(8, backend={name!r}, epochs=epochs, batch_size=1000, n_threads=1, random_state=0)
model(1).fit(x[:1000])
before = others()
model(3).fit(x).score(x)
print(others() - before)
"""
    assert python(code, OPENBLAS_NUM_THREADS="4") == "0"


@pytest.mark.skipif(not INTERPRETED, reason="no such backend here")
def test_after_threads_have_trained_any_thread_may_set_the_number_again() -> None:
    before = [i["num_threads"] for i in threadpoolctl.threadpool_info() if i["user_api"] == "blas"]
    crew = [
        threading.Thread(target=lambda: make("vanilla mse", INTERPRETED[0], n_threads=1).fit(X, epochs=3))
        for _ in range(3)
    ]
    for thread in crew:
        thread.start()
    for thread in crew:
        thread.join()
    assert [i["num_threads"] for i in threadpoolctl.threadpool_info() if i["user_api"] == "blas"] == before
    with threadpoolctl.threadpool_limits(1, user_api="blas"):
        inside = [i["num_threads"] for i in threadpoolctl.threadpool_info() if i["user_api"] == "blas"]
    assert set(inside) <= {1}


@pytest.mark.parametrize("kind", ["scaling", "evaluate", "evaluate kl"])
def test_blas_threads_change_no_bit_of_what_is_summed_outside_of_the_backends(kind: str) -> None:
    rows = np.random.default_rng(0).standard_normal((20_000, 30))
    made = aefast.Trainer(
        aefast.Topology.mlp([30, 6, 30], latent_activation="sigmoid"),
        backend="cpu" if NATIVE else "numpy",
        sparsity=aefast.Sparsity("kl", 0.1, 0.2) if kind == "evaluate kl" else None,
        n_threads=1,
    )

    def result() -> Any:
        if kind == "scaling":
            scaling = Scaling.from_data("standard", rows)
            assert scaling.shift is not None and scaling.scale is not None
            return scaling.shift.tobytes(), scaling.scale.tobytes()
        return tuple(made.evaluate(rows[i:]) for i in range(6))  # one alone may round alike by chance

    results = set()
    for n in (1, 2, 3):
        with threadpoolctl.threadpool_limits(n, user_api="blas"):
            results.add(result())
    assert len(results) == 1
