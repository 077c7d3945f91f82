"""Bits: across threads and batch sizes on the cpu backend, and of fused spans against the composition of their ops."""

from __future__ import annotations

import functools
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from models import MODELS, data, make

import aefast
from aefast import backends, testing
from aefast.backends.interpreter import InterpretedProgram
from aefast.ops import NAMES

CPU = [target for target in testing.targets() if target.backend == "cpu"]
X = data(230)


@pytest.fixture(params=CPU, ids=str)
def cpu(request: pytest.FixtureRequest) -> Any:
    found: testing.Target = request.param
    found.open()
    with found.active():
        yield found


def one_by_one(native: Any) -> SimpleNamespace:
    """The native ops under the reference's signatures, from which a program is interpreted."""
    reference = backends.get("numpy").ops

    def op(name: str) -> Any:
        return functools.wraps(getattr(reference, name))(functools.partial(getattr(native, name)))

    return SimpleNamespace(**{name: op(name) for name in NAMES})


def bits(made: aefast.Trainer) -> dict[str, bytes]:
    return {name: flat.tobytes() for name, flat in made.flat_buffers.items()}


@pytest.mark.parametrize("model", MODELS)
def test_the_number_of_threads_changes_no_bit(cpu: testing.Target, model: str) -> None:
    runs = []
    for threads in (1, 2, 3, 5):
        made = make(model, "cpu", cpu.dtype, n_threads=threads, batch_size=101)
        loss = made.fit(X, epochs=3, sample_weight=np.linspace(0.1, 1.0, len(X))).loss
        runs.append((loss, bits(made), made.encode(X).tobytes(), made.evaluate(X)))
    assert all(run == runs[0] for run in runs[1:])


@pytest.mark.parametrize(
    ("widths", "batch"),
    [((301, 130, 33, 130, 301), 200), ((701, 210, 33, 210, 701), 21), ((701, 210, 33, 210, 701), 2)],
    ids=["by rows", "by columns", "fewer rows than threads"],
)
def test_threads_on_a_wide_net(cpu: testing.Target, widths: tuple[int, ...], batch: int) -> None:
    """Wide enough that every phase is shared out."""
    rng = np.random.default_rng(0)
    x = rng.standard_normal((2 * batch, widths[0])).astype(np.float32)
    topology = aefast.Topology.mlp(widths, activation="gelu")
    runs = []
    for threads in (1, 2, 3, 5, 8):
        made = aefast.Trainer(
            topology,
            backend="cpu",
            dtype=cpu.dtype,
            n_threads=threads,
            batch_size=batch,
            seed=3,
            clip_norm=1.0,
        )
        loss = made.fit(x, epochs=2).loss
        runs.append((loss, bits(made), made.reconstruct(x).tobytes()))
    assert all(run == runs[0] for run in runs[1:])


@pytest.mark.parametrize(
    "model", ["vanilla mse", "relu", "gelu and silu", "tied", "variational", "sparse kl"]
)
def test_a_row_is_transformed_alike_in_any_batch(cpu: testing.Target, model: str) -> None:
    made = make(model, "cpu", cpu.dtype)
    rows = np.random.default_rng(5).uniform(0, 1, (2000, X.shape[1])).astype(np.float32)
    for transform in (made.encode, made.reconstruct, made.sample_losses):
        if model == "variational" and transform == made.sample_losses:
            continue  # its noise is addressed by the row's place
        whole = transform(rows)
        for batch in (1, 7, 256):
            n = len(rows) if batch > 1 else 200
            parts = np.concatenate([transform(rows[i : i + batch]) for i in range(0, n, batch)])
            assert (parts == whole[:n]).all(), batch


@pytest.mark.parametrize("model", MODELS)
def test_run_steps_is_the_composition_of_the_ops(
    cpu: testing.Target, model: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = make(model, "cpu", cpu.dtype)
    fused = (made.fit(X, epochs=3).loss, bits(made), made.encode(X).tobytes(), made.reconstruct(X).tobytes())
    composed = make(model, "cpu", cpu.dtype)
    ops = one_by_one(composed._backend.ops_for(cpu.dtype))
    monkeypatch.setattr(
        composed._backend, "bind", lambda plan, state, _: InterpretedProgram(plan, state, ops)
    )
    loss = composed.fit(X, epochs=3).loss
    assert isinstance(composed._program("train", 16)[1], InterpretedProgram)
    assert fused == (loss, bits(composed), composed.encode(X).tobytes(), composed.reconstruct(X).tobytes())


@pytest.mark.parametrize("name", sorted({target.backend for target in testing.targets()}))
def test_twenty_runs_give_one_result(name: str) -> None:
    testing.Target(name, "float32").open()
    results = set()
    for _ in range(20):
        made = make("all at once", name)
        made.fit(X[:64], epochs=2)
        results.add(made.flat_buffers["params"].tobytes())
    assert len(results) == 1


def test_an_interrupted_epoch_goes_on_bit_by_bit() -> None:
    whole = make("variational", "numpy")
    whole.fit(X, epochs=2)
    parts = make("variational", "numpy")
    bad = X.copy()
    bad[parts._order(len(X))[100]] = np.nan
    with pytest.raises(aefast.NonFiniteError):
        parts.fit(bad, epochs=2)
    assert 0 < parts.position < 15
    parts.fit_epoch(X, total_epochs=2)
    parts.fit_epoch(X, total_epochs=2)
    assert bits(whole) == bits(parts)
