"""Arguments of one call of every op, by the contract's names, for the micro-benchmarks."""

from __future__ import annotations

from typing import Any

import numpy as np

from aefast import activations, losses, optimizers, regularizers

# B batch, M fan-in, N fan-out. Weights of the first stay in a core's caches, those of the second don't.
SIZES = {"128x784x64": (128, 784, 64), "512x1024x1024": (512, 1024, 1024)}
Arguments = dict[str, Any]


def cases(size: tuple[int, int, int]) -> dict[str, tuple[Arguments, tuple[str, ...]]]:
    """By op: (arguments, names of the outputs among them); outputs are filled with NaN."""
    b, m, n = size
    rng = np.random.default_rng(0)

    def normal(*shape: int) -> np.ndarray:
        return rng.standard_normal(shape, np.float32)

    def empty(*shape: int, dtype: Any = np.float32) -> np.ndarray:
        return np.full(shape, np.nan, dtype)

    noise: Arguments = {"seed": 1, "epoch": 2, "stream": 3 << 16, "rows": np.arange(b)}
    shares = np.full(b, 1 / b, np.float32)
    layer: Arguments = {
        "w": normal(n, m) / np.float32(m**0.5),
        "b": normal(n),
        "act": activations.CODES["sigmoid"],
    }
    last = {
        "h": normal(b, m),
        **layer,
        "loss": losses.CODES["mse"],
        "target": normal(b, n),
        "feature_weight": None,
    }
    code = {"h": rng.uniform(0.05, 0.95, (b, n)).astype(np.float32), "batch_scale": shares}
    code |= {"kind": regularizers.PENALTY_CODES["kl"], "weight": 0.1, "target": 0.05}
    adam = optimizers.get("adam")
    h0, h1, h2 = adam.constants
    flat = n * m
    return {
        "gather": (
            {
                "data": normal(4 * b, m),
                "index": rng.permutation(4 * b)[:b],
                "shift": rng.standard_normal(m),
                "scale": rng.uniform(0.5, 2.0, m),
                "factor": 1.0,
                "out": empty(b, m),
            },
            ("out",),
        ),
        "corrupt": (
            {
                "x": normal(b, m),
                "kind": regularizers.CORRUPTION_CODES["gaussian"],
                "level": 0.3,
                "low": 0.0,
                "high": 1.0,
                **noise,
                "out": empty(b, m),
            },
            ("out",),
        ),
        "linear_act": ({"x": normal(b, m), **layer, "out": empty(b, n), "pre": None}, ("out",)),
        "linear_loss_grad": (
            {**last, "batch_scale": shares, "scale": 1 / n, "row_loss": empty(b), "delta": empty(b, n)},
            ("row_loss", "delta"),
        ),
        "linear_loss": ({**last, "row_loss": empty(b)}, ("row_loss",)),
        "linear_dgrad": (
            {
                "delta": normal(b, n),
                "w": layer["w"],
                "act": activations.CODES["relu"],
                "saved": normal(b, m),
                "extra": None,
                "out": empty(b, m),
            },
            ("out",),
        ),
        "linear_wgrad": (
            {
                "delta": normal(b, n),
                "a": normal(b, m),
                "dw": empty(n, m),
                "db": empty(n),
                "accumulate": 0,
                "partials": empty(2, dtype=np.float64),
            },
            ("dw", "db", "partials"),
        ),
        "gaussian_latent": (
            {"moments": normal(b, 2 * n) / 4, **noise, "z": empty(b, n), "kl": empty(b)},
            ("z", "kl"),
        ),
        "gaussian_latent_backward": (
            {
                "moments": normal(b, 2 * n) / 4,
                "dz": normal(b, n),
                "batch_scale": shares,
                "beta": 1.0,
                "free_bits": 0.0,
                **noise,
                "out": empty(b, 2 * n),
            },
            ("out",),
        ),
        "sparsity_penalty": (
            {**code, "mean": empty(n), "value": empty(1, dtype=np.float64)},
            ("mean", "value"),
        ),
        "sparsity_penalty_backward": (
            {**code, "mean": rng.uniform(0.1, 0.9, n).astype(np.float32), "out": empty(b, n)},
            ("out",),
        ),
        # An update in place would drift: a learning rate and moments that keep it in range for any number of
        # calls.
        "update": (
            {
                "rule": optimizers.CODES["adam"],
                "w": normal(flat),
                "g": normal(flat),
                "s0": np.zeros(flat, np.float32),
                "s1": np.zeros(flat, np.float32),
                "ema": None,
                "n_decay": 0,
                "weight_decay": 0.0,
                "h0": h0,
                "h1": h1,
                "h2": h2,
                "lr": 1e-6,
                "c1": 1.0,
                "c2": 1.0,
                "clip_scale": 1.0,
                "ema_decay": 0.0,
            },
            ("w", "s0", "s1"),
        ),
        "permutation": ({"n": flat, "seed": 1, "epoch": 2, "out": np.zeros(flat, np.int64)}, ("out",)),
    }


OPS = tuple(cases((1, 1, 1)))
