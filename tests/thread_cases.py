"""What the tests of threads share: data, the native module, and fresh processes."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest

from aefast import backends, threads
from aefast.testing.require import skip_or_fail

X = np.random.default_rng(0).random((200, 13)).astype(np.float32)
NAMES = ("AEFAST_NUM_THREADS", "OMP_NUM_THREADS")
NATIVE = bool(backends.available("cpu"))
INTERPRETED = [name for name in ("numba", "numpy") if backends.available(name)]


@pytest.fixture(autouse=True)
def nothing_asked_for() -> Iterator[None]:
    threads.set_num_threads(None)
    yield
    threads.set_num_threads(None)


def native() -> Any:
    if not NATIVE:
        skip_or_fail("cpu", backends.available("cpu").reason)
    return threads.load_native()


def python(code: str, **environment: str) -> str:
    """What a fresh process prints in which of the variables for threads only those given are set."""
    inherited = {k: v for k, v in os.environ.items() if not k.endswith("_NUM_THREADS")}
    done = subprocess.run(
        [sys.executable, "-P", "-c", code], env={**inherited, **environment}, capture_output=True, text=True
    )
    return done.stdout.strip() if done.returncode == 0 else done.stderr.strip().splitlines()[-1]


def without_native(code: str) -> str:
    return f"import sys; sys.modules['aefast._cpu'] = None\n{code}"


NUMBER = "from aefast import threads; print(threads.num_threads())"
