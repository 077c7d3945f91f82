"""Processes that die, disks that are full and writes that fail while a checkpoint is saved.

Each function tries once (or n times) and returns what went wrong, "" for nothing.
"""

from __future__ import annotations

import errno
import multiprocessing
import os
import shutil
import signal
import stat
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from functools import cache
from multiprocessing import forkserver
from pathlib import Path
from typing import Any
from unittest import mock

import numpy as np

from aefast import Topology, Trainer

Rng = np.random.Generator
# Audit events of Python while a file is saved, one of which a victim dies at; more of them than a save has.
MOST_EVENTS = 12
STAGES = ("write", "file sync", "rename", "directory sync")


@cache
def processes() -> Any:
    """A context whose processes are forked from one that has loaded everything and has run no thread."""
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["aefast.testing.crashes", "aefast.testing.resumes"])
    # As this process imports: not from the folder that it happens to stand in.
    before = os.environ.get("PYTHONSAFEPATH")
    os.environ["PYTHONSAFEPATH"] = "1"
    try:
        forkserver.ensure_running()
    finally:
        del os.environ["PYTHONSAFEPATH"]
        if before is not None:
            os.environ["PYTHONSAFEPATH"] = before
    return context


def generation(number: int, width: int = 400) -> Trainer:
    """An untrained trainer (about 3 MB as a file) whose every parameter and step count is `number`."""
    trainer = Trainer(Topology.mlp([width, width, width]), backend="numpy", optimizer="momentum")
    return renumbered(trainer, number)


def renumbered(trainer: Trainer, number: int) -> Trainer:
    """The trainer, all of it `number`."""
    for flat in trainer.flat_buffers.values():
        flat[...] = number
    trainer.n_steps = number
    return trainer


def wrong_generation(path: Path, least: int) -> str:
    """What is wrong with the file of a generation: torn, mixed, or older than `least`."""
    try:
        trainer = Trainer.load_checkpoint(path)
    except (ValueError, OSError) as error:
        return f"lost: {error}"
    mixed = [name for name, x in trainer.parameters.items() if (x != trainer.n_steps).any()]
    if mixed:
        return f"{', '.join(mixed)} are of another generation than {trainer.n_steps}"
    return "" if trainer.n_steps >= least else f"generation {trainer.n_steps}, but {least} had been saved"


def killed_while_saving(path: Path, rng: Rng) -> str:
    """Saves without end in a process that is killed -9: at any moment, or at one of the save's system calls."""
    at = int(rng.integers(MOST_EVENTS)) if rng.integers(2) else None
    saved = processes().Value("q", 0)
    victim = processes().Process(target=_save_without_end, args=(path, saved, at), daemon=True)
    victim.start()
    while victim.is_alive() and saved.value < 1:
        time.sleep(0.001)
    if at is None:
        time.sleep(float(rng.uniform(0, 0.05)))
        victim.kill()
    victim.join(60)
    if victim.exitcode != -signal.SIGKILL:
        return f"the victim ended by itself, with exit code {victim.exitcode}"
    return wrong_generation(path, saved.value)


def _save_without_end(path: Path, saved: Any, at: int | None) -> None:
    trainer, number = generation(1), 1
    trainer.save_checkpoint(path)
    saved.value = 1
    if at is not None:
        _die_at_event(at)
    while True:
        number += 1
        renumbered(trainer, number).save_checkpoint(path)
        saved.value = number


def _die_at_event(at: int) -> None:
    seen = [0]

    def hook(event: str, arguments: object) -> None:
        if event in ("open", "os.rename", "os.remove", "os.scandir", "os.chmod"):
            if seen[0] == at:
                os.kill(os.getpid(), signal.SIGKILL)
            seen[0] += 1

    sys.addaudithook(hook)


def full_disk(folder: Path, n: int, rng: Rng) -> list[str]:
    """n saves into a folder (a filesystem of its own) that is filled first, so that each meets the end of the space."""
    path, filler, failures = folder / "run.safetensors", folder / "filler", []
    trainer, number = generation(1, 100), 1
    trainer.save_checkpoint(path)
    size = path.stat().st_size
    for _ in range(n):
        free = shutil.disk_usage(folder).free
        filler.write_bytes(bytes(max(0, free - int(rng.integers(0, size)))))
        try:
            renumbered(trainer, number + 1).save_checkpoint(path)
            failures.append("the save met no end of the space")
        except OSError as error:
            wrong = "" if error.errno == errno.ENOSPC else f"not ENOSPC, but {error}; "
            failures.append(wrong + wrong_generation(path, number) + _leftovers(folder, path, filler))
        filler.unlink()
        number += 1
        renumbered(trainer, number).save_checkpoint(path)
    return failures


def full_tmpfs(n: int, seed: int) -> list[str] | None:
    """`full_disk` on a small tmpfs of a mount namespace of its own; None where this process may not make one."""
    code = (
        "import numpy, sys, pathlib; from aefast.testing import crashes;"
        "print(*crashes.full_disk(pathlib.Path(sys.argv[1]), int(sys.argv[2]), numpy.random.default_rng(int(sys.argv[3]))),"
        "sep='\\n')"
    )
    if sys.platform != "linux" or shutil.which("unshare") is None:
        return None
    script = 'mount -t tmpfs -o size=1m none "$1" || exit 77; exec "$2" -c "$3" "$1" "$4" "$5"'
    with tempfile.TemporaryDirectory() as folder:
        command = [
            "unshare",
            "-Urm",
            "sh",
            "-c",
            script,
            "sh",
            str(folder),
            sys.executable,
            code,
            str(n),
            str(seed),
        ]
        done = subprocess.run(command, capture_output=True, text=True, check=False)  # noqa: S603
    if done.returncode in (1, 77) and "mount" in done.stderr + "unshare" and "Traceback" not in done.stderr:
        return None
    lines = done.stdout.splitlines()
    return lines if done.returncode == 0 and len(lines) == n else [f"the run failed: {done.stderr[-500:]}"]


def failing_save(path: Path, stage: str, code: int, rng: Rng) -> str:
    """A save whose `stage` fails with the errno `code`: the error arrives, and the old file (or the whole new one) stays."""
    old = generation(1, 100)
    old.save_checkpoint(path)
    new = renumbered(old, 2)
    try:
        with failing(stage, code, after=int(rng.integers(0, path.stat().st_size))):
            new.save_checkpoint(path)
    except OSError as error:
        wrong = "" if error.errno == code else f"not errno {code}, but {error}; "
        after = Trainer.load_checkpoint(path).n_steps if not (lost := wrong_generation(path, 1)) else 0
        kept = "" if lost or after == (2 if stage == "directory sync" else 1) else "the old file went away"
        return wrong + lost + kept + _leftovers(path.parent, path)
    return f"the failed {stage} went unnoticed"


@contextmanager
def failing(stage: str, code: int, after: int = 0) -> Iterator[None]:
    """In the block this stage of a save raises OSError(code); a write does so after so many bytes."""
    real_sync, real_open = os.fsync, Path.open
    error = OSError(code, os.strerror(code))

    def sync(handle: int) -> None:
        if stat.S_ISDIR(os.fstat(handle).st_mode) == (stage == "directory sync"):
            raise error
        real_sync(handle)

    def refuse(*arguments: object) -> None:
        raise error

    def opened(self: Path, mode: str = "r", *rest: Any, **named: Any) -> Any:
        file = real_open(self, mode, *rest, **named)
        return _Faulty(file, after, error) if "w" in mode else file

    patches: dict[str, tuple[Any, str, Callable[..., Any]]] = {
        "write": (Path, "open", opened),
        "file sync": (os, "fsync", sync),
        "rename": (Path, "replace", refuse),
        "directory sync": (os, "fsync", sync),
    }
    with ExitStack() as stack:
        stack.enter_context(mock.patch.object(*patches[stage]))
        yield


class _Faulty:
    """A file that takes so many bytes and then fails."""

    def __init__(self, file: Any, left: int, error: OSError) -> None:
        self.file, self.left, self.error = file, left, error

    def __enter__(self) -> _Faulty:
        return self

    def __exit__(self, *arguments: object) -> None:
        self.file.close()

    def write(self, data: Any) -> int:
        """As much as there is room for."""
        part = memoryview(data)[: self.left]
        self.file.write(part)
        self.left -= len(part)
        if len(part) < len(data):
            raise self.error
        return len(part)


def _leftovers(folder: Path, *known: Path) -> str:
    more = [entry.name for entry in folder.iterdir() if entry not in known]
    return f"left behind: {', '.join(more)}" if more else ""
