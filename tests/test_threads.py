"""How many threads a call uses: who has the last word, what threadpoolctl and joblib see, and that nobody gets more."""

from __future__ import annotations

import os
import threading
from pathlib import Path
from typing import Any

import joblib
import numpy as np
import pytest
import threadpoolctl
from models import make
from thread_cases import NAMES, NUMBER, X, native, nothing_asked_for, python, without_native

import aefast
from aefast import threads

__all__ = ["nothing_asked_for"]  # a fixture of every test here


# Environment, set_num_threads, n_threads -----------------------------------------------------------------------------


@pytest.mark.parametrize("spelled", [str, without_native], ids=["native", "python"])
@pytest.mark.parametrize(
    ("environment", "expected"),
    [
        ({"AEFAST_NUM_THREADS": "3", "OMP_NUM_THREADS": "5"}, "3"),
        ({"AEFAST_NUM_THREADS": "", "OMP_NUM_THREADS": "5"}, "5"),
        ({"OMP_NUM_THREADS": "4,2"}, "4"),  # of nested levels the first
        ({"AEFAST_NUM_THREADS": "9999"}, "1024"),
        (
            {"AEFAST_NUM_THREADS": "abc"},
            "ValueError: AEFAST_NUM_THREADS must be a positive integer, but is 'abc'",
        ),
        (
            {"AEFAST_NUM_THREADS": "0"},
            "ValueError: AEFAST_NUM_THREADS must be a positive integer, but is '0'",
        ),
        (
            {"AEFAST_NUM_THREADS": "-2"},
            "ValueError: AEFAST_NUM_THREADS must be a positive integer, but is '-2'",
        ),
        # Blanks around the digits, of which both readers know the same.
        ({"AEFAST_NUM_THREADS": " 3\t"}, "3"),
        ({"AEFAST_NUM_THREADS": "3 ,2"}, "3"),
        ({"OMP_NUM_THREADS": " 4 , 2"}, "4"),
        ({"AEFAST_NUM_THREADS": "0003"}, "3"),
        ({"AEFAST_NUM_THREADS": "9" * 5000}, "1024"),
        *(
            (
                {"AEFAST_NUM_THREADS": text},
                f"ValueError: AEFAST_NUM_THREADS must be a positive integer, but is '{text}'",
            )
            for text in (" ", "+3", "3 2", "3x", ",3", "\u0663", "\u20033", "3.0")
        ),
    ],
    ids=str,
)
def test_the_environments_number(environment: dict[str, str], expected: str, spelled: Any) -> None:
    if spelled is str:
        native()
    assert python(spelled(NUMBER), **environment) == expected


@pytest.mark.parametrize("spelled", [str, without_native], ids=["native", "python"])
@pytest.mark.parametrize("other", ["abc", "0", ""])
def test_what_others_variables_hold_is_theirs(other: str, spelled: Any) -> None:
    """OMP_NUM_THREADS that is no number is passed over, as OpenMP does."""
    code = f"import os; os.sched_setaffinity(0, {{min(os.sched_getaffinity(0))}})\n{NUMBER}"
    if not hasattr(os, "sched_setaffinity"):
        pytest.skip("no affinity here")
    assert python(spelled(code), OMP_NUM_THREADS=other) == "1"


def test_a_bad_number_is_told_by_the_fit_that_would_use_it() -> None:
    native()
    code = "import aefast; aefast.Autoencoder(epochs=1, backend='cpu').fit([[1.0, 2.0], [3.0, 4.0]])"
    assert python(code, AEFAST_NUM_THREADS="abc") == (
        "ValueError: AEFAST_NUM_THREADS must be a positive integer, but is 'abc'"
    )


def test_arguments_before_settings_before_the_environment() -> None:
    code = (
        "from aefast import threads as t; import aefast\nsaid = [t.num_threads()]\n"
        "aefast.set_num_threads(5); said += [t.num_threads(), t.num_threads(7), t.requested()]\n"
        "aefast.set_num_threads(None); said += [t.num_threads(), t.requested()]\nprint(said)"
    )
    for spelled in (code, without_native(code)):
        assert python(spelled, AEFAST_NUM_THREADS="3") == "[3, 5, 7, 5, 3, None]"


def test_what_was_set_before_the_native_module_loads_holds() -> None:
    native()
    code = "import aefast; aefast.set_num_threads(6)\nfrom aefast.backends.cpu import ops\nfrom aefast import _cpu"
    assert python(f"{code}; print(_cpu.get_num_threads())") == "6"


def test_the_functions_of_ops_heed_it_too() -> None:
    module = native()
    threads.set_num_threads(3)
    assert module.get_num_threads() == 3
    threads.set_num_threads(None)
    assert module.get_num_threads() == module.most_threads(0)


@pytest.mark.parametrize("value", [0, -1, 1025])
def test_the_native_module_refuses_what_is_no_number_of_threads(value: int) -> None:
    module = native()
    if value:
        with pytest.raises(ValueError, match="from 1 to 1024"):
            module.set_num_threads(value)
    else:
        module.set_num_threads(0)  # the environment's
    with pytest.raises(ValueError, match="a limit must be at least 1"):
        module.limit_this_thread(-1)


@pytest.mark.parametrize(
    ("files", "expected"),
    [
        ({"proc/self/cgroup": "0::/a/b\n", "sys/fs/cgroup/a/b/cpu.max": "150000 100000\n"}, 1.5),
        ({"proc/self/cgroup": "0::/a/b\n", "sys/fs/cgroup/a/cpu.max": "300000 100000\n"}, 3.0),
        (
            {
                "proc/self/cgroup": "0::/a/b\n",
                "sys/fs/cgroup/a/cpu.max": "200000 100000\n",
                "sys/fs/cgroup/a/b/cpu.max": "max 100000\n",
            },
            2.0,
        ),
        ({"proc/self/cgroup": "0::/\n", "sys/fs/cgroup/cpu.max": "max 100000\n"}, 0.0),
        (
            {
                "proc/self/cgroup": "12:pids:/x\n4:cpu,cpuacct:/x\n0::/\n",
                "sys/fs/cgroup/cpu/x/cpu.cfs_quota_us": "250000\n",
                "sys/fs/cgroup/cpu/x/cpu.cfs_period_us": "100000\n",
            },
            2.5,
        ),
        (
            {  # the host's path, the container's mount
                "proc/self/cgroup": "4:cpu,cpuacct:/docker/1f\n",
                "sys/fs/cgroup/cpu/cpu.cfs_quota_us": "50000\n",
                "sys/fs/cgroup/cpu/cpu.cfs_period_us": "100000\n",
            },
            0.5,
        ),
        (
            {
                "proc/self/cgroup": "4:cpuset:/x\n3:cpu:/x\n",
                "sys/fs/cgroup/cpu/x/cpu.cfs_quota_us": "-1\n",
                "sys/fs/cgroup/cpu/x/cpu.cfs_period_us": "100000\n",
            },
            0.0,
        ),
        ({"proc/self/cgroup": "nonsense\n"}, 0.0),
        ({}, 0.0),
    ],
)
def test_quotas_of_control_groups(files: dict[str, str], expected: float, tmp_path: Path) -> None:
    for name, text in files.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(text)
    assert native().cgroup_quota(str(tmp_path)) == expected


# Limits --------------------------------------------------------------------------------------------------------------


def pool() -> dict[str, Any]:
    (found,) = [info for info in threadpoolctl.threadpool_info() if info["user_api"] == "aefast"]
    return found


def test_threadpoolctl_sees_the_pool() -> None:
    native()
    threads.set_num_threads(5)
    found = pool()
    assert (found["internal_api"], found["prefix"], found["num_threads"]) == ("aefast", "_cpu", 5)
    assert found["version"] == aefast.__version__ and Path(found["filepath"]).name.startswith("_cpu.")


def test_threadpool_limits_hold_for_defaults_and_arguments_and_end() -> None:
    native()
    threads.set_num_threads(6)
    with threadpoolctl.threadpool_limits(2):
        assert (threads.num_threads(), threads.num_threads(9), threads.num_threads(1)) == (2, 2, 1)
        with threadpoolctl.threadpool_limits(4, user_api="aefast"):
            assert threads.num_threads(9) == 4
            with threadpoolctl.threadpool_limits(1, user_api="blas"):
                assert threads.num_threads() == 4
        assert threads.num_threads() == 2
    assert (threads.num_threads(), threads.num_threads(9)) == (6, 9)
    with threadpoolctl.threadpool_limits({"_cpu": 3}):
        assert threads.num_threads() == 3
    threads.set_num_threads(None)
    assert threads.num_threads() == native().get_num_threads()


@pytest.mark.parametrize("first", ["threadpoolctl", "aefast"])
def test_either_may_be_imported_first(first: str) -> None:
    native()
    second = {"threadpoolctl": "aefast", "aefast": "threadpoolctl"}[first]
    code = (
        f"import {first}, {second}\nimport aefast, threadpoolctl\nmodel = aefast.Autoencoder(epochs=1)\n"
        + (
            "def number(model, history): return print(aefast.threads.num_threads())\n"
            "with threadpoolctl.threadpool_limits(1): model.fit([[1.0, 2.0], [3.0, 4.0]], callbacks=number)\n"
            "model.fit([[1.0, 2.0], [3.0, 4.0]], callbacks=number)"
        )
    )
    assert python(code, AEFAST_NUM_THREADS="4").split() == ["1", "4"]


def test_importing_aefast_imports_no_threadpoolctl() -> None:
    assert python("import aefast, sys; print({'threadpoolctl', 'aefast._cpu'} & set(sys.modules))") == "set()"


def test_a_bad_environment_breaks_nobody_elses_limits() -> None:
    native()
    code = (
        "import aefast; aefast.Trainer\nfrom threadpoolctl import threadpool_info, threadpool_limits\n"
        "said = lambda: [i['num_threads'] for i in threadpool_info() if i['user_api'] == 'aefast']\n"
        "print(said())\nwith threadpool_limits(1): pass\nprint(said())"
    )
    assert python(code, AEFAST_NUM_THREADS="abc").split() == ["[0]", "[0]"]


def test_another_library_of_the_same_name_is_left_alone(tmp_path: Path) -> None:
    native()
    import ctypes
    import shutil
    import sysconfig

    # Any shared library will do that isn't ours.
    other = next(Path(np.__file__).parent.rglob("_umath_linalg*" + sysconfig.get_config_var("EXT_SUFFIX")))
    copy = tmp_path / "_cpu_of_others.so"
    shutil.copy(other, copy)
    ctypes.CDLL(str(copy))
    assert pool()["prefix"] == "_cpu"  # one, ours
    with threadpoolctl.threadpool_limits(1):
        pass


def test_a_threads_limit_is_its_own_and_only_lowers() -> None:
    for load in (threads.load_native, lambda: None):
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(threads, "load_native", load)
            threads.set_num_threads(6)
            elsewhere: list[int] = []
            with threads.limited(3):
                with threads.limited(5):
                    assert threads.num_threads(9) == 3
                with threads.limited(2):
                    assert threads.num_threads() == 2
                thread = threading.Thread(
                    target=lambda to: to.append(threads.num_threads()), args=(elsewhere,)
                )
                thread.start()
                thread.join()
                assert threads.num_threads() == 3
            assert elsewhere == [6] and threads.num_threads() == 6


@pytest.mark.skipif(not Path("/proc/self/task").exists(), reason="no /proc here")
def test_nobody_starts_more_threads_than_are_allowed() -> None:
    """Threads of the process before and after: several callers, limits, shares."""
    native()
    code = """
import os, threading, time, numpy as np
from aefast import _cpu, threads, Trainer, Topology
from threadpoolctl import threadpool_limits
_cpu.set_flops_per_thread(0)
x = np.random.default_rng(0).random((4000, 40)).astype("f")
def train(n): Trainer(Topology.mlp([40, 60, 40]), backend="cpu", n_threads=n, batch_size=500).fit(x, epochs=30)
def count(): return len(os.listdir("/proc/self/task"))
def left():  # a joined thread may still be on its way out, and takes its own workers along
    for _ in range(1000):
        if count() - start <= 2: break
        time.sleep(0.01)
    return count() - start
def together(work, n):
    crew = [threading.Thread(target=work) for _ in range(n)]
    for t in crew: t.start()
    for t in crew: t.join()
start = count()
with threads.limited(1): train(4)
with threadpool_limits(1): train(4)
print(count() - start)
train(3); print(count() - start)
together(lambda: train(3), 4); print(left())  # who finds the pool busy works alone
def share():
    with threads.limited(2):
        train(5); seen.append(count() - start)
seen = []
together(share, 3)
print(max(seen) <= 2 + 3 * 2, left())  # the pool's two, and two for each; none is left
"""
    numbers = python(code).replace("True", "1").split()
    assert numbers == ["0", "2", "2", "1", "2"]


def test_a_limit_holds_and_ends_whatever_is_set_within_it() -> None:
    native()
    code = """
import threadpoolctl, aefast
from aefast import threads
aefast.Trainer
def now(): print(threads.num_threads(), threads.num_threads(8))
aefast.set_num_threads(3)
with threadpoolctl.threadpool_limits(1):
    aefast.set_num_threads(2); now()
now()
with threadpoolctl.threadpool_limits(2):
    now()
    with threadpoolctl.threadpool_limits(2): now()
    now()
    with threadpoolctl.threadpool_limits(5): now()
    aefast.set_num_threads(4); now()
now()
aefast.set_num_threads(1)
with threadpoolctl.threadpool_limits(1): aefast.set_num_threads(4)
now()
"""
    assert python(code).replace(" ", "").split() == ["11", "28", "22", "22", "22", "25", "22", "48", "48"]


# Who calls from somewhere else ---------------------------------------------------------------------------------------


def number_in_worker() -> tuple[int, int]:
    aefast.Autoencoder(n_components=2, epochs=1).fit(X)
    numbers = [i["num_threads"] for i in threadpoolctl.threadpool_info() if i["user_api"] == "blas"]
    return threads.num_threads(), max(numbers, default=1)


@pytest.mark.parametrize("n_jobs", [1, 2])
def test_workers_of_joblib_divide_the_processors(n_jobs: int, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in NAMES:
        monkeypatch.delenv(name, raising=False)
    code = f"""
import joblib, sys
sys.path.insert(0, {str(Path(__file__).parent)!r})
from test_threads import number_in_worker
if __name__ == "__main__":
    with joblib.parallel_config("loky", n_jobs={n_jobs}):
        print(*{{n for n, _ in joblib.Parallel()(joblib.delayed(number_in_worker)() for _ in range(4))}})
"""
    assert int(python(code)) == max(1, joblib.cpu_count() // n_jobs)


def test_affinity_divides_them_too() -> None:
    if not hasattr(os, "sched_setaffinity"):
        pytest.skip("no affinity here")
    code = f"import os; os.sched_setaffinity(0, {{max(os.sched_getaffinity(0))}})\n{NUMBER}"
    assert python(code) == "1"


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork here")
def test_a_fork_within_a_share_trains_on() -> None:
    module = native()
    module.set_flops_per_thread(0)
    try:
        results: list[bytes] = []
        held = threading.Event(), threading.Event()

        def other() -> None:  # keeps the pool busy, so that a share's own threads are needed
            def hold(model: Any, steps: Any) -> None:
                held[0].set()
                held[1].wait(30)

            class Hold(aefast.callbacks.Callback):
                every = 1
                on_step = staticmethod(hold)

            make("vanilla mse", "cpu", n_threads=2).fit(X, epochs=1, callbacks=Hold())

        def bits() -> bytes:
            made = make("vanilla mse", "cpu", n_threads=4)
            made.fit(X, epochs=2)
            return made.flat_buffers["params"].tobytes()

        keeper = threading.Thread(target=other)
        keeper.start()
        assert held[0].wait(30)
        with threads.limited(3):
            results.append(bits())
            child = os.fork()
            if child == 0:
                os._exit(bits() != results[0])
            assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
            results.append(bits())
        held[1].set()
        keeper.join()
        assert results[0] == results[1]
    finally:
        module.set_flops_per_thread(1.5e6)
