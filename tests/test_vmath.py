"""Vector math: the errors that csrc/README.md states, over the whole range of float32, on every instruction set.

`AEFAST_VMATH_STRIDE=61 pytest tests/test_vmath.py` walks every 61st float (sin and cos: every input), from which the
stated figures come: minutes for each instruction set. The default stride is for every day.
"""

from __future__ import annotations

import functools
import math
import os
import platform
import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from aefast import activations, backends, testing
from aefast.testing.require import skip_or_fail

if not backends.available("cpu"):
    skip_or_fail("cpu", backends.available("cpu").reason)

from aefast import _cpu

F64 = NDArray[np.float64]
F32 = NDArray[np.float32]

ROOT = Path(__file__).resolve().parents[1]
STRIDE = int(os.environ.get("AEFAST_VMATH_STRIDE", "4099"))
CHUNK = 1 << 22  # numbers at a time
LEAST_NORMAL, LEAST = 2.0**-126, 2.0**-149
# csrc/cpu/kernels.h, VectorFunction
FUNCTIONS = (
    *("exp", "exp_nonpositive", "expm1", "log", "log1p", "tanh", "exp_minus_half_square", "normal_cdf"),
    *("sin_turns", "cos_turns"),
)
ERFC: Any = np.frompyfunc(math.erfc, 1, 1)


def normal_cdf(x: F64) -> F64:
    return 0.5 * ERFC(-x * math.sqrt(0.5)).astype(np.float64)


def gelu(z: F64) -> F64:
    return np.where(np.isneginf(z), 0.0, np.maximum(z, -1e30) * normal_cdf(z))


def sigmoid(z: F64) -> F64:
    e = np.exp(-np.abs(z))
    return np.where(z >= 0, 1.0, e) / (1.0 + e)


def silu(z: F64) -> F64:
    return np.where(np.isneginf(z), 0.0, np.maximum(z, -1e30) * sigmoid(z))


def softplus(z: F64) -> F64:
    return np.maximum(z, 0.0) + np.log1p(np.exp(-np.abs(z)))


def turns(function: Callable[[F64], F64], u: F64) -> F64:
    """function(2 pi u), the quarter turn split off exactly."""
    quarters = 4.0 * u
    turn = np.rint(quarters)
    r = (quarters - turn) * (math.pi / 2)
    step = (int(function is np.cos) + turn.astype(int)) % 4
    return np.choose(step, [np.sin(r), np.cos(r), -np.sin(r), -np.cos(r)])


def flushed(z: F64, _: F64) -> F64:
    """The result may be 0 where it is subnormal."""
    return np.full_like(z, LEAST_NORMAL)


@dataclass(frozen=True)
class Row:
    """A line of the table in csrc/README.md.

    `fused` and `unfused`: the bound in ULP with multiply-adds that round once, and without. It holds for `low` < x <= `high`;
    for lower x the absolute error stays within `below(x, ulp)`.
    """

    name: str
    exact: Callable[[F64], F64]
    fused: float
    unfused: float
    low: float = -math.inf
    high: float = math.inf
    below: Callable[[F64, F64], F64] | None = None

    def evaluate(self, x: F32) -> F32:
        """What the kernels of the instruction set in force make of it."""
        out = np.full_like(x, 7.0)
        if self.name in FUNCTIONS:
            _cpu.vector_math(FUNCTIONS.index(self.name), x, out)
        else:
            _cpu.activate(activations.NAMES.index(self.name), x, out)
        return out


TABLE = (
    Row("exp", np.exp, 1.01, 1.00),
    Row("exp_nonpositive", np.exp, 1.01, 1.00, low=-87.3, high=0.0, below=flushed),
    Row("expm1", np.expm1, 1.49, 1.58),
    Row("elu", lambda z: np.where(z > 0, z, np.expm1(np.minimum(z, 0))), 1.49, 1.58),
    Row("log", lambda x: np.log(np.where(x < 0, np.nan, x)), 0.82, 0.83),
    Row("log1p", np.log1p, 1.38, 1.38, low=-LEAST, high=1.0),
    Row("tanh", np.tanh, 2.49, 2.49),
    Row("sigmoid", sigmoid, 2.31, 2.31, low=-87.3, below=flushed),
    Row("softplus", softplus, 1.63, 1.63, low=-87.3, below=flushed),
    Row("silu", silu, 2.95, 2.95, low=-87.3, below=lambda z, ulp: np.abs(z) * LEAST_NORMAL),
    Row("exp_minus_half_square", lambda x: np.exp(-0.5 * x * x), 2.0, 2.0, low=-13.2, high=13.2),
    Row("normal_cdf", normal_cdf, 5.7, 6.2, low=-12.9, below=lambda z, ulp: 11 * ulp),
    Row("gelu", gelu, 7.1, 6.6, low=-12.9, below=lambda z, ulp: 11 * ulp),
    Row("sin_turns", lambda u: turns(np.sin, u), 0.99, 1.21, low=-LEAST, high=1.0),
    Row("cos_turns", lambda u: turns(np.cos, u), 0.99, 1.21, low=-LEAST, high=1.0),
)
ROWS = [pytest.param(row, id=row.name) for row in TABLE]
SETS = [target for target in testing.targets() if target.backend == "cpu"]


def fuses(target: testing.Target) -> bool:
    return target.isa != "baseline" or platform.machine() in ("aarch64", "arm64")


@functools.lru_cache(maxsize=1)
def inputs(row: Row) -> list[F32]:
    """Every STRIDEth float of the row's range, the ends of the format, and every float around the range's own ends."""
    if "turns" in row.name:
        whole = np.arange(0, 2**24, max(1, STRIDE // 61), dtype=np.float32) * np.float32(2.0**-24)
        return np.array_split(whole, -(-whole.size // CHUNK))
    ends = np.array([0.0, LEAST, LEAST_NORMAL, 1.0, 3.4028235e38, np.inf], np.float32)
    bounds = [
        e for e in (row.low, row.high, 88.7228, -103.972, -87.336, 0.75, math.sqrt(0.5)) if abs(e) < 1e30
    ]
    around = np.array(bounds, np.float32).view(np.int32)[:, None] + np.arange(-2000, 2000, dtype=np.int32)
    special = np.concatenate([ends, -ends, around.ravel().view(np.float32)])
    pieces = [special]
    for begin in range(0, 2**32, CHUNK * STRIDE):
        words = np.arange(begin, min(begin + CHUNK * STRIDE, 2**32), STRIDE, dtype=np.uint32)
        pieces.append(words.view(np.float32))
    inside = (x[(x <= row.high) & ((x >= row.low) | (row.below is not None))] for x in pieces)
    return [x for x in inside if x.size]


@functools.lru_cache(maxsize=4)
def expected(name: str, piece: int) -> tuple[F32, F64, F64]:
    """Inputs, exact values (float32's overflow threshold for whatever is beyond it) and the size of one ULP there."""
    row = next(row for row in TABLE if row.name == name)
    x = inputs(row)[piece]
    with np.errstate(all="ignore"):
        exact = row.exact(x.astype(np.float64))
    exact = np.where(np.abs(exact) > 2.0**128, np.copysign(2.0**128, exact), exact)
    _, exponent = np.frexp(np.where(np.isfinite(exact), exact, 1.0))
    return x, exact, np.ldexp(1.0, np.clip(exponent - 24, -149, 104))


def errors(row: Row, x: F32, exact: F64, ulp: F64) -> F64:
    """Of the kernels in force, in ULP; what isn't a number, or should be none, counts as infinite where the two differ."""
    got = row.evaluate(x).astype(np.float64)
    got = np.where(np.isinf(got), np.copysign(2.0**128, got), got)
    error = np.abs(got - exact) / ulp
    error[np.isnan(got) & np.isnan(exact)] = 0.0
    return np.where(np.isnan(error), np.inf, error)


def pieces(row: Row) -> range:
    return range(len(inputs(row)))


@pytest.mark.parametrize("target", SETS, ids=str)
@pytest.mark.parametrize("row", ROWS)
def test_stated_errors(target: testing.Target, row: Row) -> None:
    bound = row.fused if fuses(target) else row.unfused
    worst, outside = (0.0, np.float32(0)), (0.0, np.float32(0))
    with target.active():
        for piece in pieces(row):
            x, exact, ulp = expected(row.name, piece)
            error = errors(row, x, exact, ulp)
            if row.below is not None:
                low = x <= row.low
                allowed = row.below(x.astype(np.float64), ulp) / ulp
                part = np.divide(error, allowed, out=np.zeros_like(error), where=low)
                outside = max(outside, (float(part.max()), x[part.argmax()]))
                error[low] = 0.0
            worst = max(worst, (float(error.max()), x[error.argmax()]))
    print(
        f"{target} {row.name}: {worst[0]:.4f} ULP at {worst[1]!r}, below: {outside[0]:.3f} of what is allowed"
    )
    assert worst[0] <= bound, f"{worst[0]:.4f} ULP at {worst[1]!r}"
    assert outside[0] <= 1.0, f"{outside[0]:.3f} of the error allowed below {row.low} at {outside[1]!r}"


@pytest.mark.parametrize("target", SETS, ids=str)
@pytest.mark.parametrize("row", ROWS)
def test_nan_stays_in_its_lane(target: testing.Target, row: Row) -> None:
    """In any lane, of whole vectors and of tails, without a trace in the others."""
    with target.active():
        plain = row.evaluate(np.full(67, 0.5, np.float32))
        assert (plain == plain[0]).all()
        for lane in range(67):
            x = np.full(67, 0.5, np.float32)
            x[lane] = np.nan
            out = row.evaluate(x)
            assert np.isnan(out[lane])
            assert (np.delete(out, lane) == plain[0]).all()


@pytest.mark.parametrize("row", ROWS)
def test_sets_that_fuse_agree_in_every_bit(row: Row) -> None:
    """Lane for lane they do the same IEEE operations; so the error of one is the error of all."""
    fused = [target for target in SETS if fuses(target)]
    if len(fused) < 2:
        pytest.skip("one instruction set with multiply-adds")
    for x in inputs(row):
        outputs = []
        for target in fused:
            with target.active():
                outputs.append(row.evaluate(x).view(np.uint32))
        for target, out in zip(fused[1:], outputs[1:], strict=True):
            differ = np.flatnonzero(out != outputs[0])
            assert differ.size == 0, f"{target} and {fused[0]} differ at {x[differ[:3]]!r}"


def test_the_readme_states_these_bounds() -> None:
    text = (ROOT / "csrc" / "README.md").read_text(encoding="utf-8")
    stated = {
        name: (float(fused), float(unfused))
        for name, fused, unfused in re.findall(r"^\| `(\w+)` \| ([\d.]+) \| ([\d.]+) \|", text, re.MULTILINE)
    }
    assert stated == {row.name: (row.fused, row.unfused) for row in TABLE}
