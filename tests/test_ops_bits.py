"""The native ops' bits on the cases of the contract: for any number of threads, and on sets whose tiles are the same."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from aefast import backends, testing
from aefast.testing.require import skip_or_fail

if not backends.available("cpu"):
    skip_or_fail("cpu", backends.available("cpu").reason)

from aefast import _cpu

TARGETS = [target for target in testing.targets() if target.backend == "cpu"]
# The same tiles, lanes and order of operations; the first is the one that the others are compared with.
WIDE = ("avx512_emulated", "avx512", "avx512_simde")


@pytest.fixture(autouse=True)
def every_op_on_all_threads() -> Iterator[None]:
    """Small ops would run on one thread and show nothing."""
    _cpu.set_flops_per_thread(0)
    yield
    _cpu.set_flops_per_thread(1.5e6)
    _cpu.set_num_threads(0)


def results(case: testing.Case) -> dict[str, bytes]:
    """What the native op writes, NaN being one number whatever its sign and payload."""
    arrays: dict[str, Any] = {
        name: None if x is None else np.asarray(x, np.float64).astype(np.float32)
        for name, x in case.inputs.items()
    }
    for name, out in case.outputs.items():
        kind = np.int64 if out.integer else np.float64 if out.wide else np.float32
        start: Any = (-1 if out.integer else np.nan) if out.start is None else out.start
        arrays[name] = np.full(out.shape, start, kind)
    for name in case.transposed:
        if arrays[name] is not None:
            arrays[name] = np.asfortranarray(arrays[name])
    getattr(backends.get("cpu").ops, case.op)(**arrays, **case.given, **case.attrs)
    return {name: bits(arrays[name]) for name, out in case.outputs.items() if not out.free}


def bits(x: NDArray[Any]) -> bytes:
    return np.where(np.isnan(x), np.full_like(x, np.nan), x).tobytes() if x.dtype.kind == "f" else x.tobytes()


def cases(op: str) -> Iterator[testing.Case]:
    for variant in testing.variants(op):
        yield from testing.for_op(op, variant)


@pytest.mark.parametrize("op", testing.ops())
@pytest.mark.parametrize("target", TARGETS, ids=str)
def test_the_number_of_threads_changes_no_bit(target: testing.Target, op: str) -> None:
    target.open()
    with target.active():
        for case, threads in zip(cases(op), itertools.cycle((2, 3, 5))):
            _cpu.set_num_threads(1)
            alone = results(case)
            _cpu.set_num_threads(threads)
            assert results(case) == alone, f"{case} on {threads} threads"


@pytest.mark.parametrize("op", testing.ops())
@pytest.mark.parametrize("target", [t for t in TARGETS if t.isa in WIDE[1:]], ids=str)
def test_sets_of_one_tile_shape_agree_in_every_bit(target: testing.Target, op: str) -> None:
    if WIDE[0] not in _cpu.available_isas():
        skip_or_fail(WIDE[0], "this build leaves it out (CMake option AEFAST_EMULATE_AVX512)")
    target.open()
    for case in cases(op):
        with testing.Target("cpu", "float32", WIDE[0]).active():
            expected = results(case)
        with target.active():
            assert results(case) == expected, str(case)
