"""The Triton kernels: on a GPU, or with TRITON_INTERPRET=1 in Triton's interpreter on NumPy arrays.

The interpreter runs one program after the other in Python, so that a part of the contract's cases stands for all: each variant
of each op meets every eighth of them, another eighth for the next variant. It shows indexing and formulas, no races.
"""

from __future__ import annotations

from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from models import CONV_MODELS, MODELS, D, data, make, rows

import aefast
from aefast import activations, backends, losses, optimizers, regularizers, testing
from aefast.backends.numpy import bfloat16
from aefast.testing.compare import reference_ops
from aefast.testing.require import skip_or_fail

if not backends.available("triton"):
    skip_or_fail("triton", f"{backends.available('triton').reason}; or set TRITON_INTERPRET=1")

from aefast.backends.triton import convolutions, launch, memory, program, staging, step, tables

BACKEND: Any = backends.get("triton")
EVERY = 8
# Of the variants of convolutions and pools, whose formulas are the linear ops' own functions; of these twice the cases.
EVERY_VARIANT = 7
MOST = 100_000  # elements of a product: larger cases take the interpreter seconds
PRODUCTS = tuple(op.__name__ for op in bfloat16.PRODUCTS)
LINEAR = tuple(op.__name__ for op in bfloat16.LINEAR)
CALLS = [(op, "float32") for op in testing.ops()] + [(op, "bfloat16") for op in PRODUCTS]


def chosen(op: str, every: int = EVERY) -> Iterator[testing.Case]:
    variants = list(testing.variants(op))
    if op.startswith(("conv", "pool")):
        variants, every = variants[::EVERY_VARIANT], (every + 1) // 2
    for i, variant in enumerate(variants):
        cases = list(testing.for_op(op, variant))
        for k, case in enumerate(cases):
            # The last has NaN in it, where an op's cases do.
            if (k % every == i % every or k == len(cases) - 1) and work(case) < MOST:
                yield case


def work(case: testing.Case) -> int:
    sizes = [x.size for x in case.inputs.values() if x is not None]
    return max([np.prod(out.shape) for out in case.outputs.values()] + sizes)


def failures(op: str, dtype: str, cases: Iterator[testing.Case]) -> list[str]:
    found: list[str] = []
    count = 0
    for case in cases:
        count += 1
        found += testing.check(BACKEND.ops_for(dtype), case, dtype).failures
    assert count
    return found


@pytest.mark.parametrize(("op", "dtype"), CALLS, ids=[f"{op}-{dtype}" for op, dtype in CALLS])
def test_op(op: str, dtype: str) -> None:
    every = EVERY if dtype == "float32" else 5 * EVERY
    found = failures(op, dtype, chosen(op, every))
    assert not found, "\n".join(found[:10])


@pytest.mark.parametrize("op", LINEAR)
def test_large_tiles(op: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """The other tile of the table, on sizes around it."""
    monkeypatch.setattr(launch, "BUSY", 1)
    found = failures(op, "float32", chosen(op, 9 * EVERY + 1))
    assert not found, "\n".join(found[:10])


@pytest.mark.parametrize("op", ["conv2d_act", "conv_transpose2d_act"])
def test_groups_one_by_one(op: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """As wide groups are taken, also on narrow ones."""
    monkeypatch.setattr(convolutions, "FEW", 0)
    cases = [case for case in chosen(op, 1) if case.attrs["geometry"].groups > 1]
    found = failures(op, "float32", iter(cases))
    assert not found, "\n".join(found[:10])


def test_every_row_of_the_tables_is_written() -> None:
    assert (tables.ACTIVATIONS, tables.LOSSES) == (activations.NAMES, losses.NAMES)
    assert (tables.RULES, tables.CORRUPTIONS) == (optimizers.NAMES, regularizers.CORRUPTIONS)
    assert tables.PENALTIES == regularizers.PENALTIES
    assert set(staging.OUTPUTS) == set(testing.ops())


@pytest.mark.parametrize("splits", [1, 3])
def test_a_split_batch_gives_one_gradient(splits: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Shares of the batch with a last one that is shorter, added, with the norm of what was stored; twice the same bits."""
    for least in ("SPLIT_ROWS", "COLUMN_ROWS"):
        monkeypatch.setattr(launch, least, 70 if splits > 1 else 1000)
    rng = np.random.default_rng(0)
    delta, a = (rng.standard_normal((211, n), dtype=np.float32) for n in (5, 37))
    tile = launch.tile_for("ieee", 5, 37)
    assert launch.splits_for(tile, 5, 37, 211)[0] == launch.column_splits_for(211, 5)[0] == splits
    results = []
    for _ in range(2):
        dw, db, partials = np.ones((5, 37), np.float32), np.ones(5, np.float32), np.full(2, np.nan)
        BACKEND.ops.linear_wgrad(delta, a, dw, db, True, partials)
        results.append((dw, db, partials))
    wide = 1 + delta.T.astype(np.float64) @ a.astype(np.float64)
    np.testing.assert_allclose(results[0][0], wide, rtol=1e-5, atol=1e-4)
    np.testing.assert_allclose(results[0][1], 1 + delta.sum(0, np.float64), rtol=1e-5, atol=1e-4)
    stored = np.concatenate([results[0][0].ravel(), results[0][1]]).astype(np.float64)
    np.testing.assert_allclose(results[0][2], [np.square(stored).sum(), 0.0], rtol=1e-13)
    assert all(x.tobytes() == y.tobytes() for x, y in zip(*results, strict=True))


@pytest.mark.parametrize("bad", [np.inf, -np.inf, np.nan])
@pytest.mark.parametrize("place", [(0, 0), (70, 4)])
def test_one_number_that_is_not_finite_raises_the_flag(bad: float, place: tuple[int, int]) -> None:
    delta, a = np.ones((71, 5), np.float32), np.ones((71, 37), np.float32)
    delta[place] = bad
    for db in (None, np.empty(5, np.float32)):
        partials = np.full(2, np.nan)
        BACKEND.ops.linear_wgrad(delta, a, np.empty((5, 37), np.float32), db, False, partials)
        assert partials[1] == 1.0
    BACKEND.ops.bias_grad(delta, np.empty(5, np.float32), partials)
    assert partials[1] == 1.0
    BACKEND.ops.bias_grad(np.full((2, 5), 1e30, np.float32), np.empty(5, np.float32), partials)
    np.testing.assert_allclose(partials, [5 * 4e60, 0.0], rtol=1e-6)


def test_how_a_sum_is_cut_follows_from_shapes() -> None:
    """A tuner may choose among tiles: none of them may change the order of a sum."""
    for tiles in launch.TILES.values():
        assert len({tile.block_k for tile in (*tiles, launch.LOSS_TILE)}) == 1
    for m, n, batch in ((1, 1, 1), (784, 128, 4096), (32, 32, 10**6), (4096, 16384, 8192)):
        splits, rows = launch.splits_for(launch.tile_for("bf16", m, n), m, n, batch)
        assert (splits - 1) * rows < batch <= splits * rows and rows % 32 == 0
        assert splits == 1 or rows >= launch.SPLIT_ROWS


def test_offsets_beyond_2_31_elements(tmp_path: Any) -> None:
    """Rows 2^30 elements apart in a file of holes: their offsets don't fit 32 bits."""
    if BACKEND._memory.xp is not np:
        pytest.skip("the device would need 16 GB for holes")
    stride, rows = 2**30, 4
    path = tmp_path / "holes"
    memory = np.memmap(path, np.float32, "w+", shape=(stride * (rows - 1) + 1024,))
    far = np.lib.stride_tricks.as_strided(memory.view(np.ndarray), (rows, 8), (4 * stride, 4))
    rng = np.random.default_rng(0)
    far[...] = rng.standard_normal((rows, 8))
    w, b = rng.standard_normal((5, 8), dtype=np.float32), np.zeros(5, np.float32)
    out, same = np.empty((rows, 5), np.float32), np.empty((2, 8), np.float32)
    ops = BACKEND.device_ops["float32"]
    ops.linear_act(far, w, b, activations.CODES["identity"], out, None)
    np.testing.assert_allclose(out, far @ w.T, rtol=1e-5, atol=1e-5)
    ops.gather(far, np.array([3, 2]), None, None, 1.0, same)
    assert (same == far[[3, 2]]).all()
    path.unlink()


def test_ops_work_in_place_and_on_shared_memory() -> None:
    """Arguments that overlap on the host do so on the device."""
    rng = np.random.default_rng(1)
    x = rng.standard_normal((5, 7), dtype=np.float32)
    expected = np.empty_like(x)
    call = (1, 0.5, 0.0, 1.0, 3, 1, 2 << 16, np.arange(5))
    reference_ops().corrupt(x, *call, expected)
    BACKEND.ops.corrupt(x, *call, x)
    assert (x == expected).all()
    flat = rng.standard_normal(20, dtype=np.float32)
    before = flat.copy()
    BACKEND.ops.update(0, flat[4:9], flat[9:14], None, None, None, 5, *([0.0] * 4), 0.5, 1.0, 1.0, 1.0, 0.0)
    before[4:9] -= np.float32(0.5) * before[9:14]
    np.testing.assert_allclose(flat, before, rtol=1e-6)


TRAINED = (
    "vanilla bce", "tied", "denoising masking", "sparse kl", "variational free bits", "clipped", "scheduled", "all at once",
    "conv", "conv groups", "conv all at once",
)  # fmt: skip


@pytest.mark.parametrize("name", TRAINED)
def test_training_goes_as_with_the_reference(name: str) -> None:
    """Every loss of eight steps, the short batch among them, and the parameters after them."""
    assert name in MODELS or name in CONV_MODELS
    histories, parameters = [], []
    for backend in ("triton", "numpy"):
        trainer = make(name, backend)
        histories.append(trainer.fit(rows(name, 40), epochs=2))
        parameters.append(trainer.parameters)
    np.testing.assert_allclose(_losses(histories[0]), _losses(histories[1]), rtol=1e-4)
    for key, value in parameters[1].items():
        np.testing.assert_allclose(parameters[0][key], value, rtol=2e-3, atol=2e-4, err_msg=key)


def _losses(history: Any) -> Any:
    return np.asarray(history["loss"] if isinstance(history, dict) else history.loss)


@pytest.mark.parametrize("nonfinite", ["raise", "skip", "propagate"])
def test_a_step_that_is_not_finite(nonfinite: str) -> None:
    """It stops the run before its update, is left out, or spoils everything; the same as the reference does."""
    spoilt = data(80)
    spoilt[35, 4] = np.inf  # in the third of five steps
    results = []
    for backend in ("triton", "numpy"):
        trainer = make("vanilla mse", backend, nonfinite=nonfinite, shuffle=False)
        raised = ""
        try:
            trainer.fit(spoilt, epochs=1)
        except aefast.NonFiniteError as error:
            raised = str(error)
        results.append((raised, trainer.n_steps, trainer.position, trainer.parameters))
    (raised, *counts, parameters), (expected, *expected_counts, reference) = results
    assert raised == expected and bool(raised) == (nonfinite == "raise")
    assert counts == expected_counts
    for key, value in reference.items():
        np.testing.assert_allclose(parameters[key], value, rtol=2e-3, atol=2e-4, err_msg=key)
        assert np.isfinite(value).all() == (nonfinite != "propagate")


def test_a_step_is_recorded_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """Once for each batch size while the data set stays, in all epochs; and it goes when the fit is over."""
    recorded: list[int] = []
    record = program.DeviceProgram._record

    def count(self: Any, feed: Any, batch: int) -> Any:
        recorded.append(batch)
        return record(self, feed, batch)

    monkeypatch.setattr(program.DeviceProgram, "_record", count)
    trainer = make("averaged", "triton")
    trainer.fit(data(40), epochs=3, sample_weight=np.linspace(0.5, 1.5, 40))
    assert recorded == [16, 8]
    (_, bound), *_ = [trainer._programs[key] for key in trainer._programs if key[0] == "train"]
    assert not bound._recorded and not bound._resident
    for _ in range(3):
        trainer.step(data(16))
    assert recorded == [16, 8, 16]


def test_rows_that_are_copied_train_as_those_that_stay(monkeypatch: pytest.MonkeyPatch) -> None:
    """Bit by bit: a few steps' rows at a time, where the data set doesn't fit the device; dense, sparse and strided."""
    import scipy.sparse

    dense = (255 * data(50)).astype(np.uint8)
    for X in (dense, dense[::-1], scipy.sparse.csr_array(np.where(dense > 128, dense, 0).astype(np.float32))):
        trained = []
        for fits in (True, False):
            monkeypatch.setattr(memory.Memory, "fits", lambda self, n_bytes, fits=fits: fits)
            monkeypatch.setattr(program, "STAGED_BYTES", 2 * 16 * D * 4)
            model = make("denoising gaussian", "triton")
            model.fit(X, epochs=2, sample_weight=np.linspace(0.5, 1.5, 50))
            trained.append(model)
        for key, value in trained[0].parameters.items():
            assert (trained[1].parameters[key] == value).all(), key


def test_a_signal_ends_a_run_between_two_goes(monkeypatch: pytest.MonkeyPatch) -> None:
    """What was done stays done, and the next fit goes on from there to the same bits."""
    monkeypatch.setattr(step, "RUN_STEPS", 2)
    whole, cut = make("vanilla mse", "triton"), make("vanilla mse", "triton")
    whole.fit(data(80), epochs=1)
    asked = iter([False, True])
    monkeypatch.setattr(program.interrupts, "pending", lambda: next(asked, False))
    cut.fit(data(80), epochs=1)
    assert whole.n_steps == cut.n_steps == 5
    assert all((cut.parameters[key] == value).all() for key, value in whole.parameters.items())


def test_the_reference_is_missed_by_a_planted_bug() -> None:
    """The suite sees a kernel that drops the last column."""

    def short(x: Any, w: Any, b: Any, act: int, out: Any, pre: Any) -> None:
        BACKEND.ops.linear_act(x, w, b, act, out, pre)
        out[:, -1] = 0.0

    case = next(testing.for_op("linear_act", "sigmoid"))
    assert not testing.check(SimpleNamespace(linear_act=short), case, "float32")
