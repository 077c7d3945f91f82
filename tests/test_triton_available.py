"""What is said where Triton kernels can't run, and that nobody who doesn't ask for them pays for that."""

from __future__ import annotations

import importlib.util
import subprocess
import sys
from typing import Any

import pytest

import aefast
from aefast import backends
from aefast.backends import triton
from aefast.backends.triton import driver
from aefast.errors import BackendUnavailableError

INSTALLED = {"triton", "cupy"}
REASONS = [
    (set(), (9, 0), "triton isn't installed"),
    ({"triton"}, "no NVIDIA driver (libcuda.so.1) is installed", "no NVIDIA driver"),
    (INSTALLED, (7, 5), "has compute capability 7.5, but kernels need 8.0"),
    ({"triton"}, (9, 0), "CuPy isn't installed; `pip install"),
    (INSTALLED, (8, 0), ""),
]


@pytest.fixture
def machine(monkeypatch: pytest.MonkeyPatch) -> Any:
    """Replaces what is installed and what the driver says."""
    find = importlib.util.find_spec

    def install(packages: set[str], capability: Any) -> None:
        monkeypatch.delenv("TRITON_INTERPRET", raising=False)
        monkeypatch.setattr(
            importlib.util,
            "find_spec",
            lambda name: (name in packages or None) if name in INSTALLED else find(name),
        )
        monkeypatch.setattr(driver, "capability", lambda: capability)

    return install


@pytest.mark.parametrize(("packages", "capability", "reason"), REASONS)
def test_the_reason_is_told(machine: Any, packages: set[str], capability: Any, reason: str) -> None:
    machine(packages, capability)
    said = backends.available("triton")
    assert bool(said) == (not reason) and reason in said.reason
    if reason:
        with pytest.raises(BackendUnavailableError, match="backend 'triton' can't run here"):
            aefast.Trainer(aefast.Topology.mlp([4, 2, 4]), backend="triton")


def test_a_machine_without_a_driver_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(driver, "LIBRARY", "libno-such-driver.so.1")
    driver.capability.cache_clear()
    try:
        assert "no NVIDIA driver (libno-such-driver.so.1)" in str(driver.capability())
    finally:
        driver.capability.cache_clear()


def test_auto_leaves_it_out_and_imports_nothing_of_it() -> None:
    code = """
import sys, aefast, numpy as np
trainer = aefast.Trainer(aefast.Topology.mlp([4, 2, 4]), seed=0)
x = np.ones((2, 4), np.float32)
aefast.ops.linear_act(x, x[:, :4].copy(), x[0, :2].copy())
aefast.backends()
assert trainer.backend_name != "triton"
print(sorted({"triton", "cupy", "torch"} & set(sys.modules)))
"""
    done = subprocess.run([sys.executable, "-W", "ignore", "-c", code], capture_output=True, text=True)
    assert done.stdout == "[]\n", done.stderr


def test_supports_answers_without_triton(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("triton", "cupy"):
        monkeypatch.setitem(sys.modules, name, None)
    made = triton.TritonBackend()
    assert made.supports("linear_act", act="gelu", dtype="bfloat16")
    for given in (
        {"op": "no op"},
        {"op": "linear_act", "act": "no act"},
        {"op": "linear_loss", "loss": "no"},
    ):
        assert not made.supports(**given)
    assert "float64" in made.supports("update", dtype="float64").reason


def test_a_wrong_precision_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(triton.VARIABLE, "fp32")
    with pytest.raises(
        ValueError, match="AEFAST_TRITON_FLOAT32 must be one of ieee, tf32x3, tf32, but is 'fp32'"
    ):
        triton.TritonBackend()
