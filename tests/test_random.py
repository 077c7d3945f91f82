"""The random streams: published answers, bijections, moments, and the same bits from every backend."""

from __future__ import annotations

import numpy as np
import pytest

from aefast import random, testing

# Random123's kat_vectors for philox4x32-10 (Salmon et al. 2011): counter, key, answer.
KNOWN_ANSWERS = (
    ((0, 0, 0, 0), 0, (0x6627E8D5, 0xE169C58D, 0xBC57AC4C, 0x9B00DBD8)),
    ((0xFFFFFFFF,) * 4, 0xFFFFFFFFFFFFFFFF, (0x408F276D, 0x41C83B0E, 0xA20BC7C6, 0x6D5451FD)),
    (
        (0x243F6A88, 0x85A308D3, 0x13198A2E, 0x03707344),
        0x299F31D0_A4093822,
        (0xD16CFE09, 0x94FDCCEB, 0x5001E420, 0x24126EA1),
    ),
)


@pytest.mark.parametrize(("counter", "key", "answer"), KNOWN_ANSWERS)
def test_philox_gives_the_published_answers(
    counter: tuple[int, ...], key: int, answer: tuple[int, ...]
) -> None:
    assert tuple(map(int, random.philox4x32_10(counter, key))) == answer


def test_an_element_is_addressed_by_its_block_row_epoch_and_stream() -> None:
    whole = random.bits(7, np.arange(9), 21, 3, random.stream_word(2, 1))
    assert whole.shape == (9, 21)
    for row, column in ((0, 0), (8, 20), (4, 13)):
        counter = (column // 4, row, 3, 2 << 16 | 1)
        assert whole[row, column] == random.philox4x32_10(counter, 7)[column % 4]
    part = random.bits(7, [8, 4], 5, 3, random.stream_word(2, 1))
    assert (part == whole[[8, 4], :5]).all()


def test_each_address_word_changes_the_numbers() -> None:
    base = (5, [3], 64, 2, 1 << 16)
    first = random.bits(*base)
    for place, other in ((0, 6), (0, 5 + 2**32), (1, [4]), (3, 3), (4, 2 << 16), (4, 1 << 16 | 1)):
        changed = [*base]
        changed[place] = other
        assert (random.bits(*changed) != first).mean() > 0.9


@pytest.mark.parametrize("n", [1, 2, 3, 4, 5, 7, 8, 9, 100, 1023, 1024, 1025, 65537])
def test_a_permutation_holds_every_row_once(n: int) -> None:
    for seed, epoch in ((0, 0), (1, 0), (0, 1), (2**64 - 1, 2**32 - 1)):
        assert (np.sort(random.permutation(n, seed, epoch)) == np.arange(n)).all()


def test_permutations_differ_by_epoch_and_seed_and_look_uniform() -> None:
    n = 12
    orders = np.array([random.permutation(n, seed, epoch) for seed in range(60) for epoch in range(60)])
    assert len(np.unique(orders, axis=0)) > 0.999 * len(orders)
    expected = len(orders) / n
    counts = np.stack([np.bincount(orders[:, place], minlength=n) for place in range(n)])
    # chi-square with (n - 1)^2 degrees of freedom: mean 121, deviation 16
    assert ((counts - expected) ** 2 / expected).sum() < 121 + 6 * 16


def test_uniforms_fill_their_range() -> None:
    u = random.uniforms24(1, np.arange(2000), 100, 0, 0).astype(np.float64) * 2.0**-24
    assert 0 <= u.min() < 1e-4 and 1 - 1e-4 < u.max() < 1
    assert abs(u.mean() - 0.5) < 5 / np.sqrt(12 * u.size)
    counts = np.bincount((u * 64).astype(int).ravel(), minlength=64)
    assert ((counts - u.size / 64) ** 2 / (u.size / 64)).sum() < 63 + 6 * np.sqrt(2 * 63)


def test_normals_have_the_moments_of_normals() -> None:
    x = random.normals(3, np.arange(4000), 100, 1, 2 << 16)
    n = x.size
    assert abs(x.mean()) < 5 / np.sqrt(n)
    assert abs((x**2).mean() - 1) < 5 * np.sqrt(2 / n)
    assert abs((x**3).mean()) < 5 * np.sqrt(15 / n)
    assert abs((x**4).mean() - 3) < 5 * np.sqrt(96 / n)
    # the two of a pair, and neighbours of a block, don't correlate
    for shift in (1, 2, 3):
        assert abs((x[:, shift:] * x[:, :-shift]).mean()) < 5 / np.sqrt(n)


def test_initial_weights_are_addressed_by_logical_index() -> None:
    w = random.initial_weight((5, 7), 0.3, 11, 2)
    assert w.dtype == np.float32 and abs(w).max() <= 0.3
    word = random.philox4x32_10((17 // 4, 0, 0, 2), 11)[17 % 4] >> 8
    assert w[2, 3] == np.float32((2 * float(word) * 2.0**-24 - 1) * 0.3)


@pytest.mark.parametrize("target", testing.targets(), ids=str)
def test_masks_and_normals_of_many_rows(target: testing.Target) -> None:
    """Masks by bits, normals by ULP, over more draws than the op cases hold."""
    ops, dtype = target.open().ops, target.memory
    n, d, seed, epoch, stream = 400, 257, 2**40 + 5, 9, random.stream_word(random.STREAM_CORRUPTION)
    rows, x, out = np.arange(n)[::-1].copy(), np.ones((n, d), dtype), np.empty((n, d), dtype)
    address = {"low": 0.0, "high": 1.0, "seed": seed, "epoch": epoch, "stream": stream, "rows": rows}
    with target.active():
        for level in (0.1, 0.5, 0.9):
            ops.corrupt(x, 1, level, out=out, **address)
            hit = random.uniforms24(seed, rows, d, epoch, stream) < int(level * 2**24)
            assert (out == np.where(hit, 0, 1)).all()
        ops.corrupt(np.zeros_like(x), 0, 1.0, out=out, **address)
    normals = random.normals(seed, rows, d, epoch, stream)
    ulp = np.spacing(np.abs(normals).astype(dtype)).astype(np.float64)
    assert (np.abs(out - normals) <= 2.5 * ulp + testing.tolerances.NORMAL_FLOOR).all()
