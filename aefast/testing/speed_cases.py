"""One call of every op at a size worth timing, as cases of the suite."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from aefast import activations, losses, optimizers, random, regularizers
from aefast.testing.cases import Array, Case, Output, normal, rng_of
from aefast.testing.noise import normal_error

# B batch, M fan-in, N fan-out. Weights of the first stay in a core's caches, those of the second don't.
SIZES: dict[str, tuple[int, int, int]] = {"128x784x64": (128, 784, 64), "512x1024x1024": (512, 1024, 1024)}


def _layer(rng: np.random.Generator, m: int, n: int) -> dict[str, Array | None]:
    return {"w": normal(rng, (n, m), m**-0.5), "b": normal(rng, (n,))}


def _linear_act(op: str, b: int, m: int, n: int) -> Case:
    rng = rng_of(op, b, m, n)
    inputs = {"x": normal(rng, (b, m)), **_layer(rng, m, n), "pre": None}
    return Case(op, "sigmoid", {"out": Output((b, n))}, inputs, attrs={"act": activations.CODES["sigmoid"]})


def _linear_loss(op: str, b: int, m: int, n: int) -> Case:
    rng = rng_of(op, b, m, n)
    inputs: dict[str, Array | None] = {"h": normal(rng, (b, m)), **_layer(rng, m, n)}
    inputs |= {"target": normal(rng, (b, n)), "feature_weight": None}
    outputs = {"row_loss": Output((b,))}
    attrs: dict[str, Any] = {"act": activations.CODES["sigmoid"], "loss": losses.CODES["mse"]}
    if op == "linear_loss_grad":
        inputs["batch_scale"] = np.full(b, 1 / b)
        outputs["delta"] = Output((b, n))
        attrs["scale"] = 1 / n
    return Case(op, "sigmoid/mse", outputs, inputs, attrs=attrs)


def _linear_dgrad(op: str, b: int, m: int, n: int) -> Case:
    rng = rng_of(op, b, m, n)
    inputs: dict[str, Array | None] = {"delta": normal(rng, (b, n)), "w": normal(rng, (n, m), n**-0.5)}
    inputs |= {"saved": normal(rng, (b, m)), "extra": None}
    return Case(op, "relu", {"out": Output((b, m))}, inputs, attrs={"act": activations.CODES["relu"]})


def _linear_wgrad(op: str, b: int, m: int, n: int) -> Case:
    rng = rng_of(op, b, m, n)
    outputs = {"dw": Output((n, m)), "db": Output((n,)), "partials": Output((2,), wide=True)}
    inputs: dict[str, Array | None] = {"delta": normal(rng, (b, n)), "a": normal(rng, (b, m))}
    return Case(op, "write", outputs, inputs, attrs={"accumulate": 0})


def _gather(op: str, b: int, m: int, n: int) -> Case:
    rng = rng_of(op, b, m)
    given: dict[str, Array | None] = {
        "data": rng.standard_normal((4 * b, m), np.float32),
        "index": rng.permutation(4 * b)[:b],
        "shift": rng.standard_normal(m),
        "scale": rng.uniform(0.5, 2.0, m),
    }
    return Case(
        op, "float32, affine", {"out": Output((b, m))}, given=given, attrs={"factor": 1.0}, exact=True
    )


def _address(b: int, stream: int) -> tuple[dict[str, int], Array]:
    return {"seed": 1, "epoch": 2, "stream": random.stream_word(stream)}, np.arange(b)


def _corrupt(op: str, b: int, m: int, n: int) -> Case:
    rng = rng_of(op, b, m)
    address, rows = _address(b, random.STREAM_CORRUPTION)
    noise = random.normals(1, rows, m, 2, address["stream"])
    attrs = {
        "kind": regularizers.CORRUPTION_CODES["gaussian"],
        "level": 0.3,
        "low": 0.0,
        "high": 1.0,
        **address,
    }
    return Case(
        op,
        "gaussian",
        {"out": Output((b, m))},
        {"x": normal(rng, (b, m))},
        {"rows": rows},
        attrs,
        extra_error=lambda precision: {"out": 0.3 * normal_error(precision, noise)},
    )


def _latent(op: str, b: int, m: int, n: int) -> Case:
    rng = rng_of(op, b, n)
    address, rows = _address(b, random.STREAM_LATENT)
    noise = random.normals(1, rows, n, 2, address["stream"])
    moments = normal(rng, (b, 2 * n), 0.25)
    deviation = np.exp(0.5 * moments[:, n:])
    if op == "gaussian_latent":
        return Case(
            op,
            "draw",
            {"z": Output((b, n)), "kl": Output((b,))},
            {"moments": moments},
            {"rows": rows},
            dict(address),
            extra_error=lambda precision: {"z": deviation * normal_error(precision, noise)},
        )
    dz = normal(rng, (b, n))

    def extra(precision: np.dtype[Any]) -> dict[str, Array]:
        error = 0.5 * np.abs(dz) * deviation * normal_error(precision, noise)
        return {"out": np.hstack((np.zeros_like(dz), error))}

    return Case(
        op,
        "plain",
        {"out": Output((b, 2 * n))},
        {"moments": moments, "dz": dz, "batch_scale": np.full(b, 1 / b)},
        {"rows": rows},
        {"beta": 1.0, "free_bits": 0.0, **address},
        extra_error=extra,
    )


def _penalty(op: str, b: int, m: int, n: int) -> Case:
    rng = rng_of(op, b, n)
    h = rng.uniform(0.05, 0.95, (b, n))
    inputs: dict[str, Array | None] = {"h": h, "batch_scale": np.full(b, 1 / b)}
    attrs = {"kind": regularizers.PENALTY_CODES["kl"], "weight": 0.1, "target": 0.05}
    if op == "sparsity_penalty":
        return Case(op, "kl", {"mean": Output((n,)), "value": Output((1,), wide=True)}, inputs, attrs=attrs)
    return Case(op, "kl", {"out": Output((b, n))}, {**inputs, "mean": h.mean(axis=0)}, attrs=attrs)


def _update(op: str, b: int, m: int, n: int) -> Case:
    rng, rule = rng_of(op, m, n), optimizers.get("adam")
    size = (n * m,)
    # In place: a small learning rate and settled moments keep it in range for any number of calls.
    attrs: dict[str, Any] = {"rule": optimizers.CODES["adam"], "lr": 1e-6, "c1": 1.0, "c2": 1.0, "n_decay": 0}
    attrs |= {"weight_decay": 0.0, "clip_scale": 1.0, "ema_decay": 0.0}
    attrs |= dict(zip(("h0", "h1", "h2"), rule.constants, strict=True))
    outputs = {
        "w": Output(size, normal(rng, size)),
        "s0": Output(size, 0.1 * normal(rng, size)),
        "s1": Output(size, 0.1 + normal(rng, size) ** 2),
    }
    return Case(op, "adam", outputs, {"g": normal(rng, size), "ema": None}, attrs=attrs)


def _permutation(op: str, b: int, m: int, n: int) -> Case:
    attrs = {"n": n * m, "seed": 1, "epoch": 2}
    return Case(op, "order", {"out": Output((n * m,), integer=True)}, attrs=attrs, exact=True)


OPS: dict[str, Callable[[str, int, int, int], Case]] = {
    "gather": _gather,
    "corrupt": _corrupt,
    "linear_act": _linear_act,
    "linear_loss_grad": _linear_loss,
    "linear_loss": _linear_loss,
    "linear_dgrad": _linear_dgrad,
    "linear_wgrad": _linear_wgrad,
    "gaussian_latent": _latent,
    "gaussian_latent_backward": _latent,
    "sparsity_penalty": _penalty,
    "sparsity_penalty_backward": _penalty,
    "update": _update,
    "permutation": _permutation,
}


def case(op: str, size: str) -> Case:
    """One call of `op`, a name of `OPS`, at `size`, one of `SIZES`."""
    return OPS[op](op, *SIZES[size])
