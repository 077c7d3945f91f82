"""Planted bugs: each wrong kernel must turn the op suite red. A test that can't fail is worse than none."""

from __future__ import annotations

from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from aefast import activations, regularizers, testing
from aefast.backends.numpy import backend
from aefast.data.sparse import SparseRows

OPS = backend().ops
Bug = Callable[..., None]


def changed(op: str, **tamper: Callable[[Any], Any]) -> tuple[str, Bug]:
    """The right kernel called with wrong arguments."""

    def bug(**k: Any) -> None:
        k |= {name: f(k[name]) for name, f in tamper.items() if k[name] is not None}
        getattr(OPS, op)(**k)

    return op, bug


def spoiled(op: str, spoil: Callable[[dict[str, Any]], Any]) -> tuple[str, Bug]:
    """The right kernel, and then something else."""

    def bug(**k: Any) -> None:
        getattr(OPS, op)(**k)
        spoil(k)

    return op, bug


def own(op: str) -> Callable[[Bug], tuple[str, Bug]]:
    return lambda bug: (op, bug)


def without_tail(x: np.ndarray) -> np.ndarray:
    """The last column counts as zero."""
    x = x.copy()
    x[..., -1] = 0
    return x


def without_last_row(x: np.ndarray) -> np.ndarray:
    x = x.copy()
    x[-1] = 0
    return x


def past_the_end(array: np.ndarray) -> None:
    """Writes the word behind the last row's last column."""
    itemsize = array.itemsize
    steps = [(size - 1) * stride for size, stride in zip(array.shape, array.strides, strict=True)]
    wide = np.lib.stride_tricks.as_strided(array, (2,), (sum(steps) + itemsize,))
    wide[1] = 7


def zero(x: Any) -> Any:
    return np.zeros_like(x)


def _relu_that_swallows_nan(k: dict[str, Any]) -> None:
    if k["act"] == activations.CODES["relu"]:
        k["out"][...] = np.fmax(k["out"], 0)


def unbounded(op: str) -> tuple[str, Bug]:
    """The right kernel without its bound on the log variance."""

    def bug(**k: Any) -> None:
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(regularizers, "LOGVAR_MAX", np.inf)
            getattr(OPS, op)(**k)

    return op, bug


def _sparse_zeros_unscaled(k: dict[str, Any]) -> None:
    if isinstance(k["data"], SparseRows) and k["shift"] is not None:
        k["out"][k["data"][k["index"]] == 0] = 0


def _assign(name: str, value: Callable[[dict[str, Any]], Any]) -> Callable[[dict[str, Any]], None]:
    def spoil(k: dict[str, Any]) -> None:
        if k[name] is not None:
            k[name][...] = value(k)

    return spoil


def _stale_flag(k: dict[str, Any]) -> None:
    if k["partials"] is not None:
        k["partials"][1] = 0.0


def _norm_of_dw_alone(k: dict[str, Any]) -> None:
    if k["partials"] is not None:
        k["partials"][0] = np.sum(np.square(k["dw"].astype(np.float64)))


def _float32_affine(k: dict[str, Any]) -> None:
    if k["shift"] is not None:
        rows = k["data"][k["index"]].astype(np.float32)
        k["out"][...] = (rows - k["shift"].astype(np.float32)) * k["scale"].astype(np.float32)


def _decay(n: int) -> Callable[[Any], Any]:
    return lambda _: n


def _doubled_logvar(moments: np.ndarray) -> np.ndarray:
    mu, logvar = np.split(moments, 2, axis=1)
    return np.hstack((mu, 2 * logvar))


def _eps_inside(**k: Any) -> None:
    OPS.update(**{**k, "h2": np.sqrt(k["h2"])})


BUGS: dict[str, tuple[str, Bug]] = {
    "no bias": changed("linear_act", b=zero),
    "tail of the sum dropped": changed("linear_act", x=without_tail),
    "activation of the next row": changed("linear_act", act=lambda act: (act + 1) % len(activations.TABLE)),
    "NaN swallowed": spoiled("linear_act", _relu_that_swallows_nan),
    "half precision": spoiled("linear_act", _assign("out", lambda k: k["out"].astype(np.float16))),
    "pre is the output": spoiled("linear_act", _assign("pre", lambda k: k["out"])),
    "bias twice": changed("linear_act", b=lambda b: 2 * b),
    "delta without its scale": changed("linear_loss_grad", scale=lambda s: 1.0),
    "delta without its row's weight": changed("linear_loss_grad", batch_scale=np.ones_like),
    "feature weights ignored": changed("linear_loss_grad", feature_weight=np.ones_like),
    "loss scaled twice": spoiled(
        "linear_loss_grad", _assign("row_loss", lambda k: k["row_loss"] * k["scale"])
    ),
    "half a delta": spoiled("linear_loss_grad", _assign("delta", lambda k: k["delta"] / 2)),
    "target's tail": changed("linear_loss_grad", target=without_tail),
    "loss without feature weights": changed("linear_loss", feature_weight=np.ones_like),
    "loss without bias": changed("linear_loss", b=zero),
    "extra forgotten": changed("linear_dgrad", extra=zero),
    "no derivative": changed("linear_dgrad", act=lambda _: 0),
    "delta's tail dropped": changed("linear_dgrad", delta=without_tail),
    "accumulate ignored": changed("linear_wgrad", accumulate=lambda _: 0),
    "always accumulates": changed("linear_wgrad", accumulate=lambda _: 1),
    "last batch row dropped": changed("linear_wgrad", delta=without_last_row),
    "bias gradient zero": spoiled("linear_wgrad", _assign("db", lambda k: 0)),
    "norm without db": spoiled("linear_wgrad", _norm_of_dw_alone),
    "finite flag stale": spoiled("linear_wgrad", _stale_flag),
    "column sums short of a row": changed("bias_grad", delta=without_last_row),
    "flag of the bias stale": spoiled("bias_grad", _stale_flag),
    "next data row": changed("gather", index=lambda i: np.maximum(i - 1, 0)),
    "factor ignored": changed("gather", factor=lambda _: 1.0),
    "shift ignored": changed("gather", shift=zero),
    "affine in float32": spoiled("gather", _float32_affine),
    "weights not normalised": spoiled("batch_scale", _assign("out", lambda k: k["out"] * 1.001)),
    "weights of other rows": changed("batch_scale", index=lambda i: i[::-1]),
    "mask of the next epoch": changed("corrupt", epoch=lambda e: e ^ 1),
    "mask of another stream": changed("corrupt", stream=lambda s: s + 1),
    "seed's high word dropped": changed("corrupt", seed=lambda s: s & 0xFFFFFFFF),
    "batch row instead of data row": changed("corrupt", rows=lambda r: np.arange(len(r))),
    "salt and pepper swapped": changed("corrupt", low=lambda _: 0.1, high=lambda _: -1.5),
    "level off by a hair": changed("corrupt", level=lambda p: p + 1e-3),
    "latent noise at evaluation": changed("gaussian_latent", stream=abs),
    "variance for deviation": changed("gaussian_latent", moments=_doubled_logvar),
    "log variance without bound": unbounded("gaussian_latent"),
    "its gradient without bound": unbounded("gaussian_latent_backward"),
    "sparse zeros not scaled": spoiled("gather", _sparse_zeros_unscaled),
    "KL half": spoiled("gaussian_latent", _assign("kl", lambda k: k["kl"] / 2)),
    "KL without -1": spoiled("gaussian_latent", _assign("kl", lambda k: k["kl"] + 0.5)),
    "KL's gradient missing": changed("gaussian_latent_backward", beta=lambda _: 0.0),
    "free bits ignored": changed("gaussian_latent_backward", free_bits=lambda _: 0.0),
    "noise not that of the forward pass": changed("gaussian_latent_backward", epoch=lambda e: e ^ 1),
    "row weights ignored": changed("gaussian_latent_backward", batch_scale=np.ones_like),
    "penalty without weight": changed("sparsity_penalty", weight=lambda _: 1.0),
    "another target": changed("sparsity_penalty", target=lambda t: 1 - t - 1e-3),
    "plain mean": changed("sparsity_penalty", batch_scale=lambda s: np.full_like(s, 1 / len(s))),
    "penalty's gradient without row weight": changed("sparsity_penalty_backward", batch_scale=np.ones_like),
    "penalty's sign": changed("sparsity_penalty_backward", weight=lambda w: -w),
    "loss without KL": changed("batch_loss", kl=zero),
    "loss without penalty": changed("batch_loss", penalty=zero),
    "loss without scale": changed("batch_loss", scale=lambda _: 1.0),
    "free bits not counted": changed("batch_loss", free_bits=lambda _: 0.0),
    "clip ignored": changed("update", clip_scale=lambda _: 1.0),
    "no decay": changed("update", weight_decay=lambda _: 0.0),
    "decay of the biases": changed("update", n_decay=_decay(10**9)),
    "ema stands still": changed("update", ema_decay=lambda _: 1.0),
    "no bias correction": changed("update", c1=lambda _: 1.0, c2=lambda _: 1.0),
    "eps of another place": ("update", _eps_inside),
    "ascent": changed("update", lr=lambda lr: -lr),
    "adamw's decay coupled": changed("update", rule=lambda rule: 4 if rule == 5 else rule),
    "nesterov is momentum": changed("update", rule=lambda rule: 1 if rule == 2 else rule),
    "same order every epoch": changed("permutation", epoch=lambda _: 0),
    "no shuffle": spoiled("permutation", _assign("out", lambda k: np.arange(k["n"]))),
}


def is_caught(op: str, bug: Bug, variants: tuple[str, ...] | None = None) -> bool:
    ops = SimpleNamespace(**{op: bug})
    cases = (case for variant in variants or testing.variants(op) for case in testing.for_op(op, variant))
    return any(not testing.check(ops, case, "float32") for case in cases)


@pytest.mark.parametrize("name", BUGS)
def test_a_wrong_kernel_is_caught(name: str) -> None:
    assert is_caught(*BUGS[name])


def _outputs(op: str) -> list[str]:
    return sorted(
        {name for v in testing.variants(op) for case in testing.for_op(op, v) for name in case.outputs}
    )


@pytest.mark.parametrize("op", testing.ops())
def test_in_every_variant_and_output_what_goes_wrong_everywhere_is_caught(op: str) -> None:
    for variant in testing.variants(op):
        case = next(iter(testing.for_op(op, variant)))
        written = next(name for name, out in case.outputs.items() if not out.free)

        def off_by_little(k: dict[str, Any], name: str = written) -> None:
            k[name][...] = k[name] * 1.001 + 1 if k[name].dtype.kind == "i" else k[name] * 1.001

        if (op, variant) != ("batch_scale", "zero"):
            assert is_caught(*spoiled(op, off_by_little), (variant,)), (variant, "off by a thousandth")
        assert is_caught(*spoiled(op, lambda k, name=written: past_the_end(k[name])), (variant,)), (
            variant,
            "overrun",
        )
    for name in _outputs(op):

        def last_left_out(k: dict[str, Any], name: str = name) -> None:
            if k[name] is not None:
                k[name].reshape(-1)[-1:] = -1 if k[name].dtype.kind == "i" else np.nan
                if k[name].ndim == 2:
                    k[name][-1, -1] = np.nan

        assert is_caught(*spoiled(op, last_left_out)), f"{name}'s last element never written"


@pytest.mark.parametrize("op", testing.ops())
def test_a_changed_input_is_caught(op: str) -> None:
    case = next(iter(testing.for_op(op, testing.variants(op)[0])))
    arrays = {**case.inputs, **case.given}
    for name in [name for name, x in arrays.items() if x is not None]:

        def scribble(k: dict[str, Any], name: str = name) -> None:
            k[name][...] = k[name] * 0 + 1

        assert is_caught(*spoiled(op, scribble), testing.variants(op)[:1]), name


def test_the_reference_itself_passes() -> None:
    case = next(iter(testing.for_op("linear_act", "tanh")))
    assert testing.check(OPS, case, "float32")
