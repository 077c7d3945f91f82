"""`aefast.ops` on arrays of other libraries: the bits of NumPy's, in the caller's memory, and of the caller's kind."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from conftest import require

from aefast import BackendUnavailableError, ops

RNG = np.random.default_rng(0)


def f32(*shape: int) -> np.ndarray:
    return RNG.standard_normal(shape).astype(np.float32)


X, W, B, DELTA, TARGET = f32(9, 5), f32(7, 5), f32(7), f32(9, 7), f32(9, 7)
IMAGE, KERNEL, MAP = f32(2, 6, 6, 3), f32(4, 3, 3, 3), f32(2, 4, 4, 4)
# Of every op the arrays, and the options.
CALLS: dict[str, tuple[tuple[np.ndarray, ...], dict[str, Any]]] = {
    "linear_act": ((X, W, B), {"activation": "tanh"}),
    "linear_loss_grad": ((X, W, B, TARGET), {"activation": "tanh", "sample_weight": RNG.random(9)}),
    "linear_loss": ((X, W, B, TARGET), {"feature_weight": RNG.random(7)}),
    "linear_dgrad": ((DELTA, W, X), {"activation": "tanh"}),
    "linear_wgrad": ((DELTA, X), {}),
    "conv2d_act": ((IMAGE, KERNEL, f32(4)), {"activation": "relu"}),
    "conv2d_loss_grad": ((IMAGE, KERNEL, f32(4), MAP), {}),
    "conv2d_loss": ((IMAGE, KERNEL, f32(4), MAP), {}),
    "conv2d_dgrad": ((MAP, KERNEL), {"size": (6, 6)}),
    "conv2d_wgrad": ((MAP, IMAGE), {"kernel_size": 3}),
    "conv_transpose2d_act": ((MAP, KERNEL, f32(3)), {}),
    "conv_transpose2d_loss_grad": ((MAP, KERNEL, f32(3), IMAGE), {}),
    "conv_transpose2d_loss": ((MAP, KERNEL, f32(3), IMAGE), {}),
    "conv_transpose2d_dgrad": ((IMAGE, KERNEL), {}),
    "conv_transpose2d_wgrad": ((IMAGE, MAP), {"kernel_size": 3}),
    "pool2d": ((IMAGE,), {"kernel_size": 2}),
    "pool2d_dgrad": ((f32(2, 3, 3, 3), IMAGE), {"kernel_size": 2}),
    "upsample2d": ((MAP,), {"stride": 2}),
    "upsample2d_dgrad": ((IMAGE,), {"stride": 2}),
    "corrupt": ((X,), {"seed": 3}),
    "gaussian_latent": ((f32(9, 6),), {"seed": 3}),
    "gaussian_latent_backward": ((f32(9, 6), f32(9, 3)), {"seed": 3}),
    "sparsity_penalty": ((abs(X) / 10,), {"kind": "l1"}),
    "gather": ((X, np.array([3, 1, 1])), {}),
}


class Foreign:
    """An array that speaks DLPack and no more, with a namespace of its own."""

    def __init__(self, array: np.ndarray, device: tuple[int, int] = (1, 0)) -> None:
        self.array, self.on = array, device

    def __dlpack__(self, **options: Any) -> Any:
        return self.array.__dlpack__(**options)

    def __dlpack_device__(self) -> tuple[int, int]:
        return self.on

    def __array_namespace__(self) -> Any:
        return Namespace

    def __array__(self, *_: Any, **__: Any) -> np.ndarray:
        raise AssertionError("read by __array__, which may copy")


class Namespace:
    @staticmethod
    def from_dlpack(array: np.ndarray) -> Foreign:
        return Foreign(array)


Make = Callable[[np.ndarray], Any]


def foreign() -> tuple[Make, type, Make]:
    return Foreign, Foreign, lambda value: value.array


def torch_kind() -> tuple[Make, type, Make]:
    torch: Any = require("torch")
    return torch.from_numpy, torch.Tensor, lambda tensor: tensor.numpy()


def jax_kind() -> tuple[Make, type, Make]:
    jax: Any = require("jax")
    return jax.numpy.asarray, jax.Array, np.asarray


KINDS = {"dlpack": foreign, "torch": torch_kind, "jax": jax_kind}


def flat(result: Any) -> tuple[Any, ...]:
    return result if isinstance(result, tuple) else (result,)


def takes_arrays(name: str) -> bool:
    first = next(iter(inspect.signature(getattr(ops, name)).parameters))
    return first not in ("n",)


def test_every_op_has_a_call_here() -> None:
    assert set(CALLS) == {name for name in ops.__all__ if name != "NAMES" and takes_arrays(name)} - {"update"}


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("name", CALLS)
@pytest.mark.parametrize("keywords", [False, True], ids=["positional", "keywords"])
def test_the_bits_and_the_kind(kind: str, name: str, keywords: bool) -> None:
    make, type_, back = KINDS[kind]()
    function = getattr(ops, name)
    arrays, options = CALLS[name]
    expected = flat(function(*arrays, **options))
    given = [make(array.copy()) for array in arrays]
    if keywords:
        named = dict(zip(inspect.signature(function).parameters, given, strict=False))
        found = flat(function(**named, **options))
    else:
        found = flat(function(*given, **options))
    assert len(found) == len(expected)
    for one, other in zip(found, expected, strict=True):
        if isinstance(other, float):
            assert one == other
        else:
            assert isinstance(one, type_) and not isinstance(one, np.ndarray)
            np.testing.assert_array_equal(back(one), other)


def test_tensors_are_written_in_place() -> None:
    torch: Any = require("torch")
    x, w, b, delta = (torch.from_numpy(a.copy()) for a in (X, W, B, DELTA))
    out, pre = torch.full((9, 7), torch.nan), torch.full((9, 7), torch.nan)
    assert ops.linear_act(x, w, b, "silu", out=out, pre=pre) is out
    np.testing.assert_array_equal(out, ops.linear_act(X, W, B, "silu"))
    np.testing.assert_array_equal(pre, ops.linear_act(X, W, B))
    dw, db = torch.zeros(7, 5), torch.zeros(7)
    found = ops.linear_wgrad(delta, x, out=(dw, db), accumulate=True)
    assert found[0] is dw and found[1] is db
    for one, other in zip(found, ops.linear_wgrad(DELTA, X), strict=True):
        np.testing.assert_array_equal(one, other)
    flat_w, g, slots = torch.ones(5), torch.ones(5), (torch.zeros(5), torch.zeros(5))
    ops.update(flat_w, g, slots, "adam", learning_rate=0.1)
    w0, s0 = np.ones(5, np.float32), (np.zeros(5, np.float32), np.zeros(5, np.float32))
    ops.update(w0, np.ones(5, np.float32), s0, "adam", learning_rate=0.1)
    for one, other in zip((flat_w, *slots), (w0, *s0), strict=True):
        np.testing.assert_array_equal(one, other)
        assert (other != 0).all()


def test_what_is_read_only_is_not_written() -> None:
    out = f32(9, 7)
    out.flags.writeable = False
    with pytest.raises(ValueError, match="out is read-only"):
        ops.linear_act(Foreign(X), Foreign(W), Foreign(B), out=Foreign(out))


def test_the_first_array_decides() -> None:
    found = ops.linear_act(Foreign(X), W, Foreign(B))
    assert isinstance(found, Foreign)
    with pytest.raises(TypeError, match="w must be a NumPy array, but is Foreign"):
        ops.linear_act(X, Foreign(W), B)


def test_an_array_without_a_namespace_gives_numpys() -> None:
    class Bare(Foreign):
        __array_namespace__ = property()  # type: ignore[assignment]

    found = ops.linear_act(Bare(X), Bare(W), Bare(B))
    assert type(found) is np.ndarray
    np.testing.assert_array_equal(found, ops.linear_act(X, W, B))


def test_arrays_elsewhere_are_refused() -> None:
    with pytest.raises(
        BackendUnavailableError, match="linear_act got w on device 'DLPack type 2'; copy it to the CPU"
    ):
        ops.linear_act(Foreign(X), Foreign(W, (2, 0)), Foreign(B))


def test_tensors_that_require_grad_are_refused() -> None:
    torch: Any = require("torch")
    x, w, b = (torch.from_numpy(a.copy()) for a in (X, W, B))
    w.requires_grad_()
    with pytest.raises(TypeError, match=r"w requires grad, but aefast\.ops has no derivatives"):
        ops.linear_act(x, w, b)
    with torch.no_grad():
        np.testing.assert_array_equal(ops.linear_act(x, w, b), ops.linear_act(X, W, B))


def test_errors_on_tensors_are_those_on_arrays() -> None:
    torch: Any = require("torch")
    x, w, b = (torch.from_numpy(a.copy()) for a in (X, W, B))
    for call, error, words in (
        (lambda: ops.linear_act(x, w, b[:3]), ValueError, r"b must have shape \(7\)"),
        (lambda: ops.linear_act(x, w, b.double()), TypeError, "b must have dtype float32"),
        (lambda: ops.linear_act(x, w, b, out=x), ValueError, "out must have shape"),
        (lambda: ops.linear_act(x.bfloat16(), w, b), TypeError, "torch.bfloat16"),
        (lambda: ops.linear_act(x, w, b, "tanh", 3), TypeError, "positional"),
        (lambda: ops.linear_act(x, w), TypeError, "missing 1 required"),
        (lambda: ops.linear_act(x, w, b, b=b), TypeError, "b"),
    ):
        with pytest.raises(error, match=words):
            call()
