"""Which instruction sets a processor may run: every feature that the compiler's flags allow is asked for by itself."""

from __future__ import annotations

import platform
from pathlib import Path

import pytest

from aefast import backends
from aefast.testing.require import skip_or_fail

if not backends.available("cpu"):
    skip_or_fail("cpu", backends.available("cpu").reason)

from aefast import _cpu

# Intel's and AMD's manuals, instruction CPUID: word, bit, the name in /proc/cpuinfo.
AVX2 = (
    *(("leaf1_c", 0, "pni"), ("leaf1_c", 9, "ssse3"), ("leaf1_c", 12, "fma"), ("leaf1_c", 19, "sse4_1")),
    *(("leaf1_c", 20, "sse4_2"), ("leaf1_c", 23, "popcnt"), ("leaf1_c", 27, "xsave"), ("leaf1_c", 28, "avx")),
    ("leaf7_b", 5, "avx2"),
    *(("xcr0", 1, ""), ("xcr0", 2, "")),
)
AVX512 = (
    *(("leaf1_c", 13, "cx16"), ("leaf1_c", 22, "movbe"), ("leaf1_c", 29, "f16c")),
    *(
        ("leaf7_b", 3, "bmi1"),
        ("leaf7_b", 8, "bmi2"),
        ("leaf7_b", 16, "avx512f"),
        ("leaf7_b", 17, "avx512dq"),
    ),
    *(("leaf7_b", 28, "avx512cd"), ("leaf7_b", 30, "avx512bw"), ("leaf7_b", 31, "avx512vl")),
    *(("extended_c", 0, "lahf_lm"), ("extended_c", 5, "abm")),
    *(("xcr0", 5, ""), ("xcr0", 6, ""), ("xcr0", 7, "")),
)
BF16 = (("leaf7_1_a", 5, "avx512_bf16"),)
NEEDS = {"avx2": AVX2, "avx512": AVX2 + AVX512, "avx512bf16": AVX2 + AVX512 + BF16}
EVERY = {(word, bit) for word, bit, _ in NEEDS["avx512bf16"]}


def isas(bits: set[tuple[str, int]]) -> list[str]:
    words = dict.fromkeys(("leaf1_c", "leaf7_b", "leaf7_1_a", "extended_c", "xcr0"), 0)
    for word, bit in bits:
        words[word] |= 1 << bit
    return _cpu.x86_isas(**words)


def test_each_set_takes_its_own_features_and_no_more() -> None:
    assert isas(set()) == []
    for n, name in enumerate(NEEDS, 1):
        assert isas({(word, bit) for word, bit, _ in NEEDS[name]}) == list(NEEDS)[:n][::-1]


@pytest.mark.parametrize(("word", "bit"), sorted(EVERY))
def test_a_missing_feature_takes_away_the_sets_that_use_it(word: str, bit: int) -> None:
    left = [name for name, needs in NEEDS.items() if (word, bit) not in {(w, b) for w, b, _ in needs}]
    assert isas(EVERY - {(word, bit)}) == left[::-1]


@pytest.mark.parametrize("word", ["leaf1_c", "leaf7_b", "leaf7_1_a", "extended_c", "xcr0"])
def test_other_features_bring_nothing(word: str) -> None:
    others = {(word, bit) for bit in range(32)} - EVERY
    assert isas(others) == []
    assert isas(EVERY | others) == isas(EVERY)


@pytest.mark.skipif(
    platform.machine() != "x86_64" or not Path("/proc/cpuinfo").exists(),
    reason="no list of x86 features here",
)
def test_this_machine_runs_what_its_system_lists() -> None:
    text = Path("/proc/cpuinfo").read_text(encoding="ascii")
    listed = set(next(line for line in text.splitlines() if line.startswith("flags")).split())
    runs = [name for name, needs in NEEDS.items() if {flag for _, _, flag in needs} <= listed | {""}]
    assert [name for name in _cpu.available_isas() if name in NEEDS] == runs[::-1]
    assert "baseline" in _cpu.available_isas()
