"""The promise about memory: a fit's peak is the data as given, five times the parameters, two batches of activations, 60 MB."""

from __future__ import annotations

import sys

import pytest

memory = pytest.importorskip(
    "bench.memory", reason="bench/ is not in this installation; run from the repository"
)
pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="/proc/self/status is Linux's")

CASES = {
    "data": memory.Case(40_000, (512, 64, 8, 64, 512), 256, "float64"),
    "memmap": memory.Case(160_000, (512, 64, 8, 64, 512), 256, "uint8", mapped=True),
    "parameters": memory.Case(256, (3000, 3000, 64, 3000, 3000), 128),
    "activations": memory.Case(8192, (256,) * 17, 8192),
}


@pytest.mark.parametrize("name", CASES)
def test_a_fit_stays_within_the_promise(name: str) -> None:
    case = CASES[name]
    said = memory.measure(case, "auto")
    assert said["status"] == "ok", said
    if said["backend"] != "cpu":
        pytest.skip(
            f"the promise is the native backend's; this is {said['backend']}, which compiles into memory"
        )
    assert 0 < said["growth"] <= case.promised, (
        f"{said['growth'] / 1e6:.0f} MB, promised {case.promised / 1e6:.0f}"
    )


def test_the_promise_is_the_formula() -> None:
    case = memory.Case(100, (6, 4, 6), 10, options={"ema": 0.9})
    parameters = 6 * 4 + 4 + 4 * 6 + 6
    assert case.parameters == parameters
    assert case.promised == 100 * 6 * 4 + 6 * 4 * parameters + 2 * 4 * 10 * (6 + 4 + 6) + 60e6


def test_a_copy_of_the_data_would_be_seen() -> None:
    """The measured process counts what is allocated while it fits: a case that promises nothing is over its promise."""
    case = CASES["data"]
    said = memory.measure(case, "auto")
    assert said["growth"] > case.data_bytes, "the data itself isn't in the measured growth"


def test_a_fit_that_fails_is_an_error() -> None:
    said = memory.measure(memory.Case(8, (4, 2, 4), 4, options={"loss": "no such loss"}), "auto")
    assert said["status"] == "error" and "no such loss" in said["detail"]
