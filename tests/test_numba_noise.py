"""Noise, latents, penalties, kernels' mathematics and whole models of the numba backend against the reference."""

from __future__ import annotations

import math
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import aefast
from aefast import activations, backends, losses, random, regularizers
from aefast.regularizers import Corruption, Sparsity

DTYPES = ("float32", "float64")
RTOL = {"float32": 3e-6, "float64": 1e-12}
ROWS = np.array([5, 0, 2**32 - 1, 2**31, 7])
SEED, EPOCH = 0xFEDCBA9876543210, 3
SIZES = (1, 3, 4, 16, 17, 31)


@pytest.fixture(scope="module")
def ops() -> Any:
    support = backends.available("numba")
    if not support:
        pytest.skip(f"numba: {support.reason}")
    return backends.get("numba").ops


@pytest.fixture(scope="module")
def reference() -> Any:
    return backends.get("numpy").ops


def values(rng: np.random.Generator, *shape: int) -> Any:
    return rng.standard_normal(shape).astype(np.float32).astype(np.float64)


def close(actual: Any, expected: Any, dtype: str) -> None:
    expected = np.asarray(expected)
    np.testing.assert_allclose(
        actual, expected, rtol=RTOL[dtype], atol=RTOL[dtype] * np.abs(expected).max(initial=1e-30)
    )


@pytest.mark.parametrize("n", [1, 2, 3, 16, 17, 1000, 4097])
def test_permutation_is_the_same(ops: Any, n: int) -> None:
    order = np.full(n, -1)
    ops.permutation(n, SEED, EPOCH, order)
    np.testing.assert_array_equal(order, random.permutation(n, SEED, EPOCH))


@pytest.mark.parametrize("n", SIZES)
@pytest.mark.parametrize("level", [0.0, 0.3, 1.0])
@pytest.mark.parametrize("kind", ["masking", "salt_and_pepper"])
def test_masks_are_the_same_bits(ops: Any, reference: Any, kind: str, level: float, n: int) -> None:
    x = values(np.random.default_rng(0), 5, n)
    for dtype in DTYPES:
        out, expected = np.full((5, n), np.nan, dtype), np.empty((5, n), dtype)
        args = (
            regularizers.CORRUPTION_CODES[kind],
            level,
            -2.0,
            3.0,
            SEED,
            EPOCH,
            random.stream_word(2, 1),
            ROWS,
        )
        ops.corrupt(x.astype(dtype), *args, out)
        reference.corrupt(x.astype(dtype), *args, expected)
        np.testing.assert_array_equal(out, expected)


@pytest.mark.parametrize("n", [*SIZES, 4096])
def test_normals(ops: Any, n: int) -> None:
    exact = random.normals(SEED, ROWS, n, EPOCH, random.stream_word(2))
    for dtype in DTYPES:
        out = np.full((5, n), np.nan, dtype)
        ops.corrupt(np.zeros((5, n), dtype), 0, 1.0, 0.0, 0.0, SEED, EPOCH, random.stream_word(2), ROWS, out)
        rounded = exact.astype(dtype)
        # cos and sin of multiples of pi are zero but for a rounding in the float64 definition.
        tiny = np.abs(exact) < 1e-14
        ulps = np.abs(out - rounded) / np.spacing(np.abs(rounded))
        assert ulps[~tiny].max() <= 2.0
        assert (np.abs(out[tiny]) < 1e-14).all()


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("n", SIZES)
@pytest.mark.parametrize("stream", [random.stream_word(3), -1])
def test_gaussian_latent(ops: Any, reference: Any, stream: int, n: int, dtype: str) -> None:
    rng = np.random.default_rng(1)
    room, z, kl = np.zeros((5, 2 * n + 3)), np.zeros((5, n)), np.zeros(5)
    moments = room[:, : 2 * n]
    moments[...] = values(rng, 5, 2 * n)
    moments[0, n:] = -80.0
    dz, share = values(rng, 5, n), np.abs(values(rng, 5))
    reference.gaussian_latent(moments, SEED, EPOCH, stream, ROWS, z, kl)
    got_z, got_kl = np.full((5, n), np.nan, dtype), np.full(5, np.nan, dtype)
    narrow = room.astype(dtype)[:, : 2 * n]
    ops.gaussian_latent(narrow, SEED, EPOCH, stream, ROWS, got_z, got_kl)
    close(got_z, z, dtype)
    close(got_kl, kl, dtype)
    for free_bits in (0.0, float(np.sort(kl)[1:3].mean())):
        out, got = np.empty((5, 2 * n)), np.full((5, 2 * n), np.nan, dtype)
        args = (0.5, free_bits, SEED, EPOCH, stream, ROWS)
        reference.gaussian_latent_backward(moments, dz, share, *args, out)
        ops.gaussian_latent_backward(narrow, dz.astype(dtype), share.astype(dtype), *args, got)
        close(got, out, dtype)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("n", SIZES)
@pytest.mark.parametrize("kind", regularizers.PENALTIES)
def test_penalties(ops: Any, reference: Any, kind: str, n: int, dtype: str) -> None:
    rng = np.random.default_rng(2)
    h, share = np.float64(np.float32(rng.random((5, n)))), np.float64(np.float32(rng.random(5) / 3))
    h[:, 0] = 0.0  # a dead unit, and sign(0)
    if kind != "kl":
        h -= np.float32(0.5)
    code, results = regularizers.PENALTY_CODES[kind], []
    for backend, real in ((reference, "float64"), (ops, dtype)):
        mean, value, out = np.ones(n, real), np.full(1, np.nan), np.full((5, n), np.nan, real)
        backend.sparsity_penalty(h.astype(real), share.astype(real), code, 0.7, 0.1, mean, value)
        backend.sparsity_penalty_backward(h.astype(real), share.astype(real), code, 0.7, 0.1, mean, out)
        results.append((mean, value, out))
    for expected, got in zip(*results, strict=True):
        close(got, expected, dtype)


@pytest.mark.parametrize("dtype", DTYPES)
def test_batch_loss_and_scale(ops: Any, reference: Any, dtype: str) -> None:
    rng = np.random.default_rng(3)
    losses_, kl, penalty = np.abs(values(rng, 31)), np.abs(values(rng, 31)), np.array([0.25])
    weights, index = rng.random(40), rng.permutation(40)[:31]
    for given in (None, weights, np.zeros(40)):
        share, got = np.empty(31), np.full(31, np.nan, dtype)
        reference.batch_scale(given, index, share)
        ops.batch_scale(given, index, got)
        close(got, share, dtype)
        for parts in ((None, None), (kl, None), (kl, penalty)):
            total, expected = np.empty(1), np.empty(1)
            narrow_kl = None if parts[0] is None else kl.astype(dtype)
            reference.batch_loss(losses_, got, 0.5, parts[0], 2.0, 0.3, parts[1], expected)
            ops.batch_loss(losses_.astype(dtype), got, 0.5, narrow_kl, 2.0, 0.3, parts[1], total)
            np.testing.assert_allclose(total, expected, rtol=1e-13)  # sums are float64 always


@pytest.mark.parametrize(
    ("name", "low", "high", "ulp"),
    [
        ("exp", -103.0, 88.7, 1.1),
        ("exp_negative", -87.3, 0.0, 1.1),
        ("expm1", -30.0, 88.7, 1.5),
        ("log1p_unit", 0.0, 1.0, 1.5),
        ("tanh", -12.0, 12.0, 2.5),
        ("sigmoid", -87.3, 30.0, 2.5),
        ("exp_half_square", 0.0, 13.2, 1.5),
        ("normal_cdf", -13.0, 6.0, 6.0),
    ],
)
def test_stated_errors(ops: Any, name: str, low: float, high: float, ulp: float) -> None:
    """What `vector_math` states of each function in float32, over its range and near zero; NaN stays."""
    from aefast.backends.numba import vector_math
    from aefast.backends.numba.jit import OUT_VECTOR, Kernel

    function = getattr(vector_math, name)

    def apply(x: Any) -> None:
        for i in range(x.size):
            x[i] = function(x[i])

    near = np.geomspace(1e-12, 1e-2, 20_000)
    x = np.concatenate([np.linspace(low, high, 200_001), near * (1 if high > 0 else -1)]).astype(np.float32)
    x = np.append(x[(x >= low) & (x <= high)], np.nan).astype(np.float32)
    exact: dict[str, Any] = {
        "exp": np.exp,
        "exp_negative": np.exp,
        "expm1": np.expm1,
        "log1p_unit": np.log1p,
        "tanh": np.tanh,
        "sigmoid": lambda v: 1 / (1 + np.exp(-v)),
        "exp_half_square": lambda v: np.exp(-v * v / 2),
        "normal_cdf": lambda v: np.array([0.5 * math.erfc(-e / math.sqrt(2)) for e in v]),
    }
    expected = exact[name](x.astype(np.float64))
    Kernel(apply, (OUT_VECTOR,), cache=False)[np.dtype(np.float32)](x)
    assert np.isnan(x[-1])
    # Below the smallest normal number the spacing is constant and results may be flushed.
    spacing = np.spacing(np.maximum(np.abs(expected[:-1]), 2.0**-126).astype(np.float32)).astype(np.float64)
    assert (np.abs(x[:-1] - expected[:-1]) / spacing).max() <= ulp


MODELS: dict[str, dict[str, Any]] = {
    **{f"{loss}": {"loss": loss, "output_activation": "sigmoid"} for loss in losses.NAMES},
    **{f"hidden {act}": {"activation": act, "latent_activation": act} for act in activations.NAMES},
    "tied": {"tied_weights": True, "weight_decay": 0.01, "clip_norm": 0.1, "ema": 0.9},
    "variational": {"variational": True, "reduction": "sum", "beta": 0.5, "free_bits": 0.1},
    **{f"corruption {kind}": {"corruption": Corruption(kind, 0.3)} for kind in regularizers.CORRUPTIONS},
    **{
        f"sparsity {kind}": {"latent_activation": "sigmoid", "sparsity": Sparsity(kind, 0.1)}
        for kind in regularizers.PENALTIES
    },
    "feature weight": {"feature_weight": np.linspace(0, 2, 19)},
}
TOPOLOGY = ("activation", "latent_activation", "output_activation", "tied_weights", "variational")


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("model", MODELS)
def test_models(ops: Any, model: str, dtype: str) -> None:
    """Gradients of one batch, then 20 epochs, against the reference in float64 from the same parameters."""
    settings = {"activation": "tanh", **MODELS[model]}
    shape = {key: settings.pop(key) for key in TOPOLOGY if key in settings}
    topology = aefast.Topology.mlp([19, 17, 5, 17, 19], **shape)
    X = np.random.default_rng(4).random((50, 19), dtype=np.float32)
    weights = np.random.default_rng(5).random(50)
    trainers = [
        aefast.Trainer(topology, backend=backend, dtype=real, batch_size=16, seed=1, **settings)
        for backend, real in (("numba", dtype), ("numpy", "float64"))
    ]
    assert trainers[0].backend_name == "numba"
    (loss, gradients), (expected_loss, expected) = (t.gradients(X[:16], weights[:16]) for t in trainers)
    close(loss, expected_loss, dtype)
    for name, gradient in expected.items():
        error = np.linalg.norm(gradients[name] - gradient) / max(np.linalg.norm(gradient), 1e-9)
        assert error < 3 * RTOL[dtype], name
    histories = [t.fit(X, epochs=20, sample_weight=weights).loss for t in trainers]
    np.testing.assert_allclose(*histories, rtol=1e-3 if dtype == "float32" else 1e-8)
    np.testing.assert_allclose(
        *(t.reconstruct(X) for t in trainers), atol=2e-2 if dtype == "float32" else 1e-7
    )
    assert trainers[0].evaluate(X) == pytest.approx(
        trainers[1].evaluate(X), rel=1e-2 if dtype == "float32" else 1e-7
    )


def test_same_seed_same_bits(ops: Any) -> None:
    X = np.random.default_rng(6).random((100, 40), dtype=np.float32)
    runs = []
    for _ in range(2):
        trainer = aefast.Trainer(aefast.Topology.mlp([40, 9, 40]), backend="numba", batch_size=32, seed=3)
        trainer.fit(X, epochs=3)
        runs.append(trainer.parameters)
    for name, value in runs[0].items():
        np.testing.assert_array_equal(value, runs[1][name])


def test_cache_outlives_the_process(ops: Any, tmp_path: Path) -> None:
    """A directory of the user's choice is used; the second process compiles nothing, and says nothing."""
    script = (
        "import logging, numpy as np; logging.basicConfig(level=logging.INFO)\n"
        "from aefast import backends\n"
        "backends.get('numba').ops.permutation(5, 0, 0, np.empty(5, np.int64))"
    )
    environment = {**os.environ, "NUMBA_CACHE_DIR": str(tmp_path)}
    said = [
        subprocess.run(
            [sys.executable, "-P", "-c", script], env=environment, capture_output=True, text=True, check=True
        ).stderr
        for _ in range(2)
    ]
    assert said[0].count("compiling") == 1
    assert "compiling" not in said[1]
    assert list(tmp_path.rglob("*.nbc"))
