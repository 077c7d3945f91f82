"""The zoo of arrays that users bring: each is right, unchanged and not copied."""

from __future__ import annotations

import tracemalloc
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from models import D, data, make

import aefast
from aefast import testing
from aefast.data.rows import as_rows, as_weights
from aefast.data.scaling import Scaling


@pytest.fixture(params=testing.targets(), ids=str)
def target(request: pytest.FixtureRequest) -> Any:
    found: testing.Target = request.param
    found.open()
    with found.active():
        yield found


def read_only(x: np.ndarray) -> np.ndarray:
    x = x.copy()
    x.flags.writeable = False
    return x


def misaligned(x: np.ndarray) -> np.ndarray:
    view = np.zeros(x.nbytes + 1, np.uint8)[1:].view(x.dtype).reshape(x.shape)
    view[...] = x
    return view


def inside_a_record(x: np.ndarray) -> np.ndarray:
    records = np.zeros(len(x), [("tag", "u1"), ("x", x.dtype, x.shape[1])])
    records["x"] = x
    return np.asarray(records["x"])


ARRANGEMENTS: dict[str, Any] = {
    "Fortran": np.asfortranarray,
    "reversed rows": lambda x: x[::-1].copy()[::-1],
    "reversed columns": lambda x: x[:, ::-1].copy()[:, ::-1],
    "every third row": lambda x: np.repeat(x, 3, axis=0)[::3],
    "columns of a wider array": lambda x: np.hstack((x, x, x))[:, D : 2 * D],
    "byte-swapped": lambda x: x.astype(x.dtype.newbyteorder("S")),
    "read-only": read_only,
    "misaligned": misaligned,
    "field of a record": inside_a_record,
    "float64": lambda x: x.astype(np.float64),
    "list": lambda x: x.tolist(),
}


def trained(target: testing.Target, x: Any, **settings: Any) -> tuple[list[float], np.ndarray]:
    made = make("vanilla mse", target.backend, target.dtype, **settings)
    loss = made.fit(x, epochs=2).loss
    return loss, made.encode(x)


def test_the_same_rows_in_other_memory_train_the_same_bits(target: testing.Target) -> None:
    expected = trained(target, data())
    for how, arrange in ARRANGEMENTS.items():
        x = arrange(data())
        before = np.array(x).tobytes()
        loss, code = trained(target, x)
        assert loss == expected[0] and (code == expected[1]).all(), how
        assert np.array(x).tobytes() == before, how


def test_memory_maps(target: testing.Target, tmp_path: Path) -> None:
    np.save(tmp_path / "x.npy", data())
    mapped = np.load(tmp_path / "x.npy", mmap_mode="r")
    loss, code = trained(target, mapped)
    expected = trained(target, data())
    assert loss == expected[0] and (code == expected[1]).all()


@pytest.mark.parametrize(
    "dtype", ["uint8", "int8", "int16", "uint16", "int32", "int64", "uint64", "bool", "float16", "float64"]
)
def test_other_dtypes_train_as_their_float_values(target: testing.Target, dtype: str) -> None:
    raw = (data() * (2 if dtype == "bool" else 100)).astype(dtype)
    for scaling in (None, Scaling.from_data("standard", raw), Scaling.from_data("minmax", raw)):
        loss, code = trained(target, raw, scaling=scaling)
        expected = trained(target, raw.astype(np.float64), scaling=scaling)
        assert loss == expected[0] and (code == expected[1]).all()


def test_pixels_are_scaled_by_a_factor(target: testing.Target) -> None:
    raw = (data() * 255).astype(np.uint8)
    made = make("vanilla bce", target.backend, target.dtype, scaling=Scaling.from_data("pixel", raw))
    plain = make("vanilla bce", target.backend, target.dtype)
    factor = target.memory.type(1 / 255)
    scaled = raw.astype(target.memory) * factor
    assert made.fit(raw, epochs=2).loss == plain.fit(scaled, epochs=2).loss
    assert (made.encode(raw) == plain.encode(scaled)).all()
    assert np.allclose(made.reconstruct(raw), plain.reconstruct(scaled) * 255, rtol=1e-5)


def test_the_data_set_is_never_copied_whole(target: testing.Target) -> None:
    x = np.random.default_rng(0).integers(0, 255, (60_000, D * 8), dtype=np.uint8)
    topology = aefast.Topology.mlp([D * 8, 4, D * 8])
    made = aefast.Trainer(topology, backend=target.backend, dtype=target.dtype, batch_size=512)
    made.fit(x[:1024], epochs=1), made.encode(x[:1024])
    tracemalloc.start()
    try:
        made.fit(x, epochs=1)
        made.encode(x)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    as_float = x.size * target.memory.itemsize
    # orders and results are some words a row; batches and arena are small
    assert peak < 0.35 * as_float, (
        f"{peak / 1e6:.1f} MB at the peak; the data as {target.dtype} are {as_float / 1e6:.1f} MB"
    )


def test_sample_weights_equal_repeated_rows(target: testing.Target) -> None:
    x, times = data(24), np.arange(24) % 4
    repeated = np.repeat(x, times, axis=0)
    for model in ("vanilla mse", "sparse kl", "tied", "sparse l1"):
        made = make(model, target.backend, target.dtype)
        loss, gradients = made.gradients(x, times.astype(float))
        expected, same = made.gradients(repeated)
        assert loss == pytest.approx(expected, rel=1e-5)
        norm = np.sqrt(sum(np.sum(g.astype(float) ** 2) for g in same.values()))
        # Three equal deltas are rounded to bfloat16 each, or their sum is.
        tolerance = 2.0**-8 if target.dtype == "bfloat16" else 1e-5
        assert all(np.abs(g - same[name]).max() < tolerance * norm for name, g in gradients.items())


def test_one_row_and_one_feature(target: testing.Target) -> None:
    made = aefast.Trainer(aefast.Topology.mlp([1, 1, 1]), backend=target.backend, dtype=target.dtype)
    assert np.isfinite(made.fit(np.ones((1, 1)), epochs=2).loss).all()
    assert made.reconstruct([[1.0]]).shape == (1, 1)


@pytest.mark.parametrize(
    ("x", "error", "words"),
    [
        (np.zeros(5), ValueError, r"two dimensions.*X\[None, :\]"),
        (np.zeros((2, 3, 4)), ValueError, "reshape"),
        (np.zeros((0, 5)), ValueError, "at least one row"),
        (np.zeros((5, 0)), ValueError, "at least one row and one feature"),
        (np.zeros((4, 6)), ValueError, "6 features, but 5 were expected"),
        (np.array([["a"] * 5]), TypeError, "must be numeric"),
        (np.zeros((2, 5), complex), TypeError, "complex"),
        (np.array([[None] * 5]), TypeError, "object"),
        (np.zeros((2, 5), "M8[s]"), TypeError, "datetime"),
    ],
)
def test_other_things_are_refused_in_words(x: Any, error: type[Exception], words: str) -> None:
    with pytest.raises(error, match=words):
        as_rows(x, 5)


@pytest.mark.parametrize(
    "weights", [np.ones(3), -np.ones(4), np.zeros(4), [1, np.nan, 1, 1], np.ones((4, 1))]
)
def test_weights_that_make_no_sense_are_refused(weights: Any) -> None:
    with pytest.raises(ValueError, match="sample_weight"):
        as_weights(weights, 4)
