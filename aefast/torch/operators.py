"""How an operator is registered, and what the operators have in common: views of tensors, and an activation's slope."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from numpy.typing import NDArray
from torch import Tensor

from aefast import activations, ops
from aefast.ops.exchange import tensor_view

Array = NDArray[Any]
PREACTIVATION = "preactivation"
OPERATORS: dict[str, Any] = {}
"""All that are registered, by name."""


def operator(name: str, schema: str, function: Callable[..., Any], fake: Callable[..., Any]) -> Any:
    """Registers torch.ops.aefast.<name>: the function, which makes new tensors, and its twin that makes them empty."""
    made: Any = torch.library.custom_op(f"aefast::{name}", function, mutates_args=(), schema=schema)
    made.register_fake(fake)
    OPERATORS[name] = made
    return made


def rows(op: str, name: str, tensor: Tensor) -> Array:
    """A matrix (B, n) whose rows are contiguous, in the tensor's own memory where they are."""
    return tensor_view(op, name, tensor if _has_rows(tensor) else tensor.contiguous())


def matrix(op: str, name: str, tensor: Tensor) -> Array:
    """A weight: contiguous along one of its dimensions."""
    plain = _has_rows(tensor) or (tensor.dim() == 2 and _has_rows(tensor.t()))
    return tensor_view(op, name, tensor if plain else tensor.contiguous())


def vector(op: str, name: str, tensor: Tensor) -> Array:
    """A contiguous vector."""
    return tensor_view(op, name, tensor.contiguous())


def _has_rows(tensor: Tensor) -> bool:
    if tensor.dim() != 2:
        return True  # the op says what it wants
    n, width = tensor.shape
    return (width == 1 or tensor.stride(1) == 1) and (n == 1 or tensor.stride(0) >= width)


def keeps(activation: str) -> bool:
    """Whether a forward pass must also give its pre-activation: where a backward pass may follow that wants it."""
    return activations.get(activation).saved == PREACTIVATION and torch.is_grad_enabled()


def save(ctx: Any, x: Tensor, w: Tensor, activation: str, output: tuple[Tensor, Tensor], kept: bool) -> None:
    """What `delta` and the gradients need of a forward pass whose output is (h, pre)."""
    h, pre = output
    ctx.mark_non_differentiable(pre)
    ctx.set_materialize_grads(False)
    ctx.activation = activation
    if activations.get(activation).saved == PREACTIVATION:
        if not kept:
            raise RuntimeError(f"{activation!r} has no derivative without the pre-activation; give keep=True")
        h = pre
    ctx.save_for_backward(x, w, *(() if activation == "identity" else (h,)))


def delta(ctx: Any, grad: Tensor, backend: str) -> Tensor:
    """The derivative by the pre-activation."""
    if ctx.activation == "identity":
        return grad
    result: Tensor = act_dgrad(grad, ctx.saved_tensors[2], ctx.activation, backend)
    return result


def memory_order(tensor: Tensor) -> torch.memory_format:
    """channels_last for images that lie in memory that way and no other, else contiguous_format."""
    last = tensor.dim() == 4 and not tensor.is_contiguous()
    if last and tensor.is_contiguous(memory_format=torch.channels_last):
        return torch.channels_last
    return torch.contiguous_format


def _act_dgrad(grad: Tensor, saved: Tensor, activation: str, backend: str) -> Tensor:
    """grad * act'(saved), element by element, in the memory order of saved."""
    order = memory_order(saved)
    out = torch.empty_like(saved, memory_format=order)

    def flat(name: str, tensor: Tensor) -> Array:
        view = tensor_view("act_dgrad", name, tensor.contiguous(memory_format=order))
        view = view.transpose(0, 2, 3, 1) if order == torch.channels_last else view
        return view.reshape(len(view), 1, 1, -1)

    # The op whose product is none: an upsampling that repeats each pixel once.
    ops.upsample2d_dgrad(
        flat("grad", grad), 1, flat("saved", saved), activation, out=flat("out", out), backend=backend
    )
    return out


def _act_dgrad_fake(grad: Tensor, saved: Tensor, activation: str, backend: str) -> Tensor:
    return torch.empty_like(saved, memory_format=memory_order(saved))


act_dgrad = operator(
    "act_dgrad",
    "(Tensor grad, Tensor saved, str activation, str backend) -> Tensor delta",
    _act_dgrad,
    _act_dgrad_fake,
)
