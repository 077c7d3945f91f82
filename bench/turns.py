"""Processes of their own for whoever is measured, and their turns: while one runs, the others block on a read."""

from __future__ import annotations

import json
import os
import select
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

# Thread pools that spin at the end of a turn must have gone to sleep before the next begins.
PAUSE = 0.02
TIMEOUT = 600.0
ROOT = Path(__file__).parent.parent
# `python -m` with the sources behind everything else, so that an installed aefast goes before them.
RUN_MODULE = (
    f"import runpy, sys; sys.path.append({str(ROOT)!r}); del sys.argv[0]; "
    "runpy.run_module(sys.argv[0], alter_sys=True, run_name='__main__')"
)


class Worker:
    """The driver's end of a measured process."""

    def __init__(self, command: list[str], threads: int, environment: dict[str, str] | None = None) -> None:
        everywhere = os.sched_getaffinity(0)
        cores = sorted(everywhere)[:threads]
        # XLA counts the cores that it may use and takes no other instruction; a child inherits them.
        os.sched_setaffinity(0, cores)
        self.process = subprocess.Popen(
            [sys.executable, "-P", "-c", RUN_MODULE, *command],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env=_environment(len(cores)) | (environment or {}),
        )
        os.sched_setaffinity(0, everywhere)

    def ask(self, **command: Any) -> dict[str, Any]:
        assert self.process.stdin is not None
        try:
            self.process.stdin.write(json.dumps(command) + "\n")
            self.process.stdin.flush()
        except BrokenPipeError:
            pass
        return self.hear()

    def hear(self) -> dict[str, Any]:
        assert self.process.stdout is not None
        if not select.select([self.process.stdout], [], [], TIMEOUT)[0]:
            return {"status": "error", "detail": f"no answer within {TIMEOUT:.0f} s"}
        line = self.process.stdout.readline()
        if not line:
            return {"status": "error", "detail": f"the process ended with code {self.process.wait()}"}
        message: dict[str, Any] = json.loads(line)
        return message

    def close(self) -> None:
        """Ends the process; one that is in the middle of something after two seconds by force."""
        try:
            self.process.communicate(timeout=2)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.communicate()


def rounds(n: int, names: Sequence[str], out_of_time: Callable[[int], bool]) -> Iterator[tuple[int, str]]:
    """(round, name), the names rotated by one from round to round, until a round would begin out of time."""
    for i in range(n):
        if out_of_time(i):
            return
        shift = i % len(names)
        for name in [*names[shift:], *names[:shift]]:
            time.sleep(PAUSE)
            yield i, name


def _environment(threads: int) -> dict[str, str]:
    names = ("OMP", "OPENBLAS", "MKL", "NUMBA", "AEFAST")
    env = {**os.environ, **{f"{name}_NUM_THREADS": str(threads) for name in names}}
    env |= {"JAX_PLATFORMS": "cpu", "CUDA_VISIBLE_DEVICES": "", "NPROC": str(threads)}
    return env
