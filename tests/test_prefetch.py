"""Rows of a memory map, read ahead of the steps: no bit changes, no thread stays, no copy of the file is made."""

from __future__ import annotations

import contextlib
import mmap
import os
import signal
import subprocess
import sys
import threading
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from scipy import sparse

from aefast import Topology, Trainer, backends
from aefast.data.rows import as_rows, file_backed
from aefast.data.sparse import SparseRows
from aefast.testing.require import skip_or_fail

if not backends.available("cpu"):
    skip_or_fail("cpu", backends.available("cpu").reason)

F = np.float32
N, D = 3000, 70
TASKS = Path("/proc/self/task")
linux = pytest.mark.skipif(not TASKS.exists(), reason="there is no /proc to count threads in")


@pytest.fixture
def mapped(tmp_path: Path) -> Any:
    path = tmp_path / "rows.bin"
    np.random.default_rng(0).random((N, D)).astype(F).tofile(path)
    fd = os.open(path, os.O_RDONLY)
    os.fsync(fd)
    if hasattr(os, "posix_fadvise"):
        os.posix_fadvise(fd, 0, 0, os.POSIX_FADV_DONTNEED)
    os.close(fd)
    return np.memmap(path, F, "r", shape=(N, D))


def trainer(**settings: Any) -> Trainer:
    d = settings.pop("width", D)
    return Trainer(Topology.mlp([d, 8, d]), backend="cpu", **{"batch_size": 32, "n_threads": 1, **settings})


def trained(rows: Any, **settings: Any) -> bytes:
    made = trainer(**settings)
    made.fit(rows, epochs=2)
    return made.flat_buffers["params"].tobytes()


def test_what_stands_on_a_map_is_told(mapped: Any, tmp_path: Path) -> None:
    with Path(mapped.filename).open("rb") as file:
        plain = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
    kinds = [
        mapped,
        as_rows(mapped),
        mapped[::2, 3:],
        np.asarray(mapped).T,
        np.frombuffer(plain, F).reshape(N, D),
    ]
    assert all(map(file_backed, kinds)) and file_backed(np.frombuffer(memoryview(plain), F))
    memory = np.ones((3, 4), F)
    assert not any(
        map(file_backed, [memory, memory[1:], mapped.copy().view(np.ndarray), np.frombuffer(b"abcd", F)])
    )
    assert not file_backed(as_rows(sparse.eye(5, format="csr")))
    assert file_backed(SparseRows(np.asarray(mapped[0]), np.arange(D), np.array([0, D]), (1, D)))


@pytest.mark.parametrize("shuffle", [True, False])
@pytest.mark.parametrize("n_threads", [1, 2, 3])
def test_no_bit_changes(mapped: Any, shuffle: bool, n_threads: int) -> None:
    same = {"shuffle": shuffle, "n_threads": n_threads}
    expected = trained(np.array(mapped), **same)
    assert trained(mapped, **same) == expected
    assert trained(mapped[::-1, ::-1], **same) == trained(np.array(mapped[::-1, ::-1]), **same)
    assert trained(mapped[:, ::9].T, **same, width=N) == trained(np.array(mapped[:, ::9].T), **same, width=N)


def test_sparse_rows_of_a_map(tmp_path: Path) -> None:
    m = sparse.random_array((N, D), density=0.05, format="csr", rng=np.random.default_rng(0), dtype=F)
    parts = []
    for name in ("data", "indices", "indptr"):
        np.save(tmp_path / f"{name}.npy", getattr(m, name))
        parts.append(np.load(tmp_path / f"{name}.npy", mmap_mode="r"))
    rows = SparseRows(*parts, m.shape)
    assert file_backed(rows) and trained(rows) == trained(m)


def run_of(rows: Any, index: Any, n: int, prefetch: bool) -> tuple[int, bytes]:
    """A native run of n steps, with the prefetch asked for or not, whatever the rows lie in."""
    made = trainer()
    _, program = made._program("train", 32)
    feed = {"data": rows, "index": index, "rows": None, "sample_weight": None, "shift": None, "scale": None}
    feed |= {
        "factor": 1.0,
        "seed": 0,
        "epoch": 0,
        "batch": 32,
        "scalars": np.tile([1e-3, 0.1, 0.001, 1.0], (n, 1)),
    }
    native: Any = program
    steps, _ = native._native.run_steps(
        **feed, losses=np.zeros(n), nonfinite=0, clip_norm=0.0, n_threads=1, prefetch=prefetch
    )
    return steps, made.flat_buffers["params"].tobytes()


def test_an_index_that_is_wrong_beyond_the_run_is_not_followed(mapped: Any) -> None:
    index = np.arange(N, dtype=np.int64)
    bad = index.copy()
    bad[64:] = 2**60
    bad[65:] = -(2**60)
    assert run_of(mapped, bad, 2, True) == run_of(np.array(mapped), index[:64], 2, False)


def test_memory_that_is_no_map_may_be_asked_for(mapped: Any) -> None:
    index, rows = np.random.default_rng(0).permutation(N), np.array(mapped)
    assert run_of(rows, index, N // 32, True) == run_of(rows, index, N // 32, False)


@linux
def test_a_thread_runs_ahead_during_the_run_and_none_afterwards(mapped: Any) -> None:
    made = trainer(batch_size=2)
    made.fit(np.array(mapped[:64]), epochs=1)
    before = len(list(TASKS.iterdir()))
    counts: set[int] = set()
    done = threading.Event()

    def watch() -> None:
        while not done.is_set():
            counts.add(len(list(TASKS.iterdir())))

    watcher = threading.Thread(target=watch)
    watcher.start()
    made.fit(mapped, epochs=20)
    during, counts = counts, set()
    made.fit(np.array(mapped), epochs=20)
    done.set()
    watcher.join()
    assert max(during) == before + 2 and max(counts) == before + 1
    assert len(list(TASKS.iterdir())) == before


@linux
def test_an_interrupt_ends_the_run_and_the_thread(mapped: Any) -> None:
    made = trainer(batch_size=1)
    before = len(list(TASKS.iterdir()))
    timer = threading.Timer(0.3, signal.raise_signal, [signal.SIGINT])
    timer.start()
    with contextlib.suppress(KeyboardInterrupt):
        made.fit(mapped, epochs=10**6)
    timer.join()
    assert 0 < made.n_steps < N * 10**6 and len(list(TASKS.iterdir())) == before


@linux
def test_a_fork_within_the_run_leaves_the_child_no_thread_to_wait_for(mapped: Any) -> None:
    code = """
import os, signal, sys, numpy as np
from aefast import Topology, Trainer
rows = np.memmap(sys.argv[1], np.float32, "r", shape=(3000, 70))
children = []
def split(*_):
    pid = os.fork()
    children.append(pid)
    signal.setitimer(signal.ITIMER_REAL, 0)
signal.signal(signal.SIGALRM, split)
signal.setitimer(signal.ITIMER_REAL, 0.3)
made = Trainer(Topology.mlp([70, 8, 70]), backend="cpu", batch_size=1, n_threads=1)
while not children:
    made.fit(rows, epochs=5)
made.fit(rows, epochs=1)
if children[0]:
    assert os.waitstatus_to_exitcode(os.waitpid(children[0], 0)[1]) == 0
print("done", flush=True)
os._exit(0)
"""
    done = subprocess.run(
        [sys.executable, "-P", "-c", code, str(mapped.filename)],
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert done.returncode == 0 and done.stdout.split() == ["done", "done"], done.stderr


@linux
def test_a_fit_on_a_map_holds_no_copy_of_the_file(tmp_path: Path) -> None:
    code = """
import sys, numpy as np
from aefast import Autoencoder
def anonymous():
    return next(int(line.split()[1]) for line in open("/proc/self/status") if line.startswith("RssAnon"))
small = np.random.default_rng(0).random((600, 256)).astype(np.float32)
settings = dict(hidden_layer_sizes=(), epochs=1, random_state=0, scaling="standard", backend="cpu", n_threads=1)
model = Autoencoder(2, **settings).fit(small, X_val=small)
model.transform(small)
before = anonymous()
peaks = []
rows = np.memmap(sys.argv[1], np.float32, "r", shape=(40_000, 256))
model = Autoencoder(2, **settings).fit(rows, X_val=rows, callbacks=[lambda *_: peaks.append(anonymous())])
model.transform(rows)
peaks.append(anonymous())
print(max(peaks) - before)
"""
    path = tmp_path / "large.bin"
    block = np.random.default_rng(0).random((10_000, 256)).astype(F)
    with path.open("wb") as file:
        for _ in range(4):
            block.tofile(file)
    done = subprocess.run(
        [sys.executable, "-P", "-c", code, str(path)], capture_output=True, text=True, check=True
    )
    grown = int(done.stdout.split()[0]) * 1024
    assert grown < 40_000 * 256 * 4 / 4, (
        done.stdout
    )  # codes, losses, index and blocks: far less than the file
