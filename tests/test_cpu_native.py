"""The native module by itself: what its bindings refuse, its instruction sets, threads and forks, and programs after errors."""

from __future__ import annotations

import importlib.util
import json
import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import aefast
from aefast import backends
from aefast.testing.require import skip_or_fail

if not backends.available("cpu"):
    skip_or_fail("cpu", backends.available("cpu").reason)

from aefast import _cpu

F = np.float32


@pytest.fixture(autouse=True)
def every_step_on_all_threads() -> Iterator[None]:
    """Small steps would run on one thread and show nothing."""
    isa = _cpu.isa()
    _cpu.set_flops_per_thread(0)
    yield
    _cpu.set_flops_per_thread(1.5e6)
    _cpu.set_num_threads(0)
    _cpu.set_isa(isa)


def trained(n_threads: int, **settings: Any) -> aefast.Trainer:
    x = np.random.default_rng(0).random((130, 37)).astype(F)
    topology = aefast.Topology.mlp([37, 29, 7, 29, 37], tied_weights=settings.pop("tied_weights", False))
    made = aefast.Trainer(topology, backend="cpu", batch_size=50, n_threads=n_threads, **settings)
    made.fit(x, epochs=3)
    return made


def weights(made: aefast.Trainer) -> bytes:
    return made.flat_buffers["params"].tobytes()


@pytest.mark.parametrize("isa", _cpu.available_isas())
@pytest.mark.parametrize("settings", [{}, {"tied_weights": True, "clip_norm": 0.1}], ids=["plain", "tied"])
def test_threads_change_no_bit(isa: str, settings: dict[str, Any]) -> None:
    _cpu.set_isa(isa)
    assert len({weights(trained(n, **settings)) for n in (1, 2, 3, 5, 8)}) == 1


def test_an_unavailable_instruction_set_lists_the_others() -> None:
    with pytest.raises(ValueError, match=r"'mmx', but this build and machine have: .*baseline"):
        _cpu.set_isa("mmx")
    code = "from aefast import _cpu; _cpu.available_isas(); _cpu.isa()"
    done = subprocess.run(
        [sys.executable, "-P", "-c", code],
        env={**os.environ, "AEFAST_ISA": "mmx"},
        capture_output=True,
        text=True,
    )
    assert done.returncode != 0
    assert "AEFAST_ISA asks for the instruction set 'mmx'" in done.stderr


@pytest.mark.parametrize("name", ["AEFAST_NUM_THREADS", "OMP_NUM_THREADS"])
def test_the_environment_sets_the_threads(name: str) -> None:
    environment = {k: v for k, v in os.environ.items() if k not in ("AEFAST_NUM_THREADS", "OMP_NUM_THREADS")}
    code = "from aefast import _cpu; print(_cpu.get_num_threads())"
    command = [sys.executable, "-P", "-c", code]
    assert subprocess.check_output(command, env={**environment, name: "3"}, text=True) == "3\n"


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork here")
def test_a_fork_after_parallel_work_trains_on() -> None:
    expected = weights(trained(4))
    for _ in range(10):
        child = os.fork()
        if child == 0:
            os._exit(int(weights(trained(3)) != expected))
        assert weights(trained(2)) == expected
        assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0


def test_python_threads_train_side_by_side() -> None:
    expected, results = weights(trained(1)), []
    workers = [threading.Thread(target=lambda: results.append(weights(trained(3)))) for _ in range(4)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    assert results == [expected] * 4


def test_bindings_say_what_was_expected_and_what_came() -> None:
    x, w, b, out = np.ones((3, 5), F), np.ones((4, 5), F), np.ones(4, F), np.empty((3, 4), F)
    _cpu.linear_act(x, w, b, 0, out, None)
    cases: list[tuple[type[Exception], str, tuple[Any, ...]]] = [
        (
            TypeError,
            "x must be an array of float32, but is of float64",
            (x.astype(float), w, b, 0, out, None),
        ),
        (TypeError, "x must be a NumPy array of float32, but is list", (x.tolist(), w, b, 0, out, None)),
        (ValueError, r"x must have shape \(any, 5\), but has \(3, 4\)", (x[:, :4], w, b, 0, out, None)),
        (ValueError, "x must be row-major", (np.ones((5, 3), F).T, w, b, 0, out, None)),
        (ValueError, r"b must have shape \(4,\), but has \(3,\)", (x, w, b[:3], 0, out, None)),
        (ValueError, r"act must be a code in \[0, 9\), but is 9", (x, w, b, 9, out, None)),
        (ValueError, "w must be contiguous along one", (x, np.ones((4, 10), F)[:, ::2], b, 0, out, None)),
    ]
    for error, message, arguments in cases:
        with pytest.raises(error, match=message):
            _cpu.linear_act(*arguments)
    out.flags.writeable = False
    with pytest.raises(ValueError, match="out is read-only"):
        _cpu.linear_act(x, w, b, 0, out, None)
    with pytest.raises(TypeError, match="x must be an array of float32, but is of >f4"):
        _cpu.linear_act(x.astype(">f4"), w, b, 0, np.empty((3, 4), F), None)


def test_gather_stays_inside_the_data() -> None:
    data, out = np.ones((5, 2), F), np.empty((2, 2), F)
    for index in ([0, 5], [-1, 0]):
        with pytest.raises(IndexError, match=r"index must be in \[0, 5\)"):
            _cpu.gather(data, np.array(index), None, None, 1.0, out)
    with pytest.raises(ValueError, match="native byte order"):
        _cpu.gather(data.astype(">f4"), np.array([0, 1]), None, None, 1.0, out)
    with pytest.raises(TypeError, match="but is of complex64"):
        _cpu.gather(data.astype(np.complex64), np.array([0, 1]), None, None, 1.0, out)


def test_a_program_is_usable_after_an_error() -> None:
    made = trained(2)
    x = np.random.default_rng(1).random((50, 37)).astype(F)
    before = made.reconstruct(x)
    _, program = made._program("reconstruct", 50)
    bad = backends.Feed(x, np.array([0, 99]))
    with pytest.raises(IndexError):
        program.run_phases(bad, 0, 2)
    with pytest.raises(ValueError, match="gathers 37 features, but data has 36"):
        program.run_phases(backends.Feed(x[:, 1:], np.arange(50)), 0, 50)
    np.testing.assert_array_equal(made.reconstruct(x), before)


def test_a_plan_that_leaves_its_memory_is_refused() -> None:
    call = {"op": "gather", "args": {"out": ("arena", 8, 4, 4, 4, 1)}, "attrs": {}}
    with pytest.raises(ValueError, match="out reaches beyond 'arena'"):
        _cpu.Program([("rows", [call])], 4, 16, 0, np.zeros(4, F))
    with pytest.raises(ValueError, match="unknown op"):
        _cpu.Program([("rows", [{**call, "op": "gathre"}])], 4, 32, 0, np.zeros(4, F))
    with pytest.raises(ValueError, match="takes no attribute factor"):
        _cpu.Program([("rows", [{**call, "attrs": {"factor": 2.0}}])], 4, 32, 0, np.zeros(4, F))


def test_views_of_the_arena_outlive_the_program() -> None:
    call = {"op": "gather", "args": {"out": ("arena", 0, 4, 4, 4, 1)}, "attrs": {}}
    arena = _cpu.Program([("rows", [call])], 4, 16, 0, np.zeros(4, F)).arena
    arena[...] = 7
    assert arena.sum() == 7 * 16


def test_the_stub_is_the_modules() -> None:
    if importlib.util.find_spec("pybind11_stubgen") is None:
        pytest.skip("pybind11-stubgen isn't installed")
    script = Path(__file__).with_name("native_stub.py")
    done = subprocess.run([sys.executable, str(script), "--check"], capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr


def test_the_build_left_word(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from aefast.backends import cpu

    info = tmp_path / "_build_info.json"
    info.write_text(json.dumps({"cpu": "failed", "reason": "no compiler", "compiler": ""}))
    monkeypatch.setattr(cpu, "BUILD_INFO", info)
    monkeypatch.setitem(sys.modules, "aefast._cpu", None)
    assert cpu.available() == (False, "the native module wasn't built: no compiler", False)
    info.write_text(json.dumps({"cpu": "off", "reason": "AEFAST_CPU=off", "compiler": ""}))
    assert cpu.available().intended
