"""The dense layers' operators; see `aefast.ops` for the letters."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from torch import Tensor

from aefast import activations, losses, ops
from aefast.ops.dense import last_layer
from aefast.torch.operators import delta, keeps, matrix, operator, rows, save, vector


def linear_act(
    x: Tensor, w: Tensor, b: Tensor, activation: str = "identity", *, backend: str = "auto"
) -> Tensor:
    """h (B, N) from x (B, M), w (N, M), as torch.nn.Linear has it, and b (N,); differentiable by all three.

    gelu and silu keep their pre-activation (B, N) beside it, unless grad is off (torch.no_grad()). Raises TypeError for
    other dtypes than float32 and float64, ValueError for other shapes, and BackendUnavailableError as `aefast.torch` says.

    act(x @ w.T + b)
    """
    h: Tensor = _linear_act(x, w, b, activation, keeps(activation), backend)[0]
    return h


def linear_loss(
    h: Tensor,
    w: Tensor,
    b: Tensor,
    target: Tensor,
    activation: str = "identity",
    loss: str = "mse",
    *,
    feature_weight: Tensor | None = None,
    backend: str = "auto",
) -> Tensor:
    """Loss per row (B,) of the last layer, summed over its d features; differentiable by h (B, M), w (d, M) and b (d,).

    The reconstruction is never stored: with grad on, the same pass over it makes the losses and their derivatives (B, d) by
    the pre-activation, which the backward pass multiplies by each row's gradient. "bce" takes the "sigmoid" and works on its
    logits. target (B, d) and feature_weight (d,) are data: ValueError where they require grad; TypeError and ValueError for
    wrong dtypes, shapes and names. `.mean() / d` of it is a trainer's reduction="mean", `.mean()` its "sum".

    (f * l(act(h @ w.T + b), target)).sum(1)
    """
    for name, data in (("target", target), ("feature_weight", feature_weight)):
        if data is not None and data.requires_grad and torch.is_grad_enabled():
            raise ValueError(f"{name} requires grad, but linear_loss has no derivative by it; detach it")
    kept = torch.is_grad_enabled()
    arguments = (h, w, b, target, activation, loss, feature_weight, kept, backend)
    row_loss: Tensor = _linear_loss(*arguments)[0]
    return row_loss


def _act(x: Tensor, w: Tensor, b: Tensor, activation: str, keep: bool, backend: str) -> tuple[Tensor, Tensor]:
    """h, and the pre-activation with `keep`, else a tensor of no elements."""
    h, pre = _act_fake(x, w, b, activation, keep, backend)
    op = "linear_act"
    ops.linear_act(
        rows(op, "x", x),
        matrix(op, "w", w),
        vector(op, "b", b),
        activation,
        out=h.numpy(),
        pre=pre.numpy() if keep else None,
        backend=backend,
    )
    return h, pre


def _act_fake(
    x: Tensor, w: Tensor, b: Tensor, activation: str, keep: bool, backend: str
) -> tuple[Tensor, Tensor]:
    shape = (*x.shape[:1], *w.shape[:1])
    return x.new_empty(shape), x.new_empty(shape if keep else (0,))


def _act_setup(ctx: Any, inputs: tuple[Any, ...], output: tuple[Tensor, Tensor]) -> None:
    x, w, _, activation, keep, ctx.backend = inputs
    save(ctx, x, w, activation, output, keep)


def _act_backward(ctx: Any, grad: Tensor | None, _pre: None) -> tuple[Tensor | None, ...]:
    if grad is None:
        return (None,) * 6
    x, w = ctx.saved_tensors[:2]
    return *_gradients(ctx, delta(ctx, grad, ctx.backend), x, w), None, None, None


def _gradients(ctx: Any, by_z: Tensor, x: Tensor, w: Tensor) -> tuple[Tensor | None, ...]:
    by_x, by_w, by_b = ctx.needs_input_grad[:3]
    dx = linear_dgrad(by_z, w, ctx.backend) if by_x else None
    dw, db = linear_wgrad(by_z, x, ctx.backend) if by_w or by_b else (None, None)
    return dx, dw if by_w else None, db if by_b else None


def _dgrad(delta: Tensor, w: Tensor, backend: str) -> Tensor:
    """delta @ w"""
    out = _dgrad_fake(delta, w, backend)
    op = "linear_dgrad"
    ops.linear_dgrad(rows(op, "delta", delta), matrix(op, "w", w), out=out.numpy(), backend=backend)
    return out


def _dgrad_fake(delta: Tensor, w: Tensor, backend: str) -> Tensor:
    return delta.new_empty((*delta.shape[:1], *w.shape[1:]))


def _wgrad(delta: Tensor, a: Tensor, backend: str) -> tuple[Tensor, Tensor]:
    """delta.T @ a, delta.sum(0)"""
    dw, db = _wgrad_fake(delta, a, backend)
    op = "linear_wgrad"
    ops.linear_wgrad(
        rows(op, "delta", delta), rows(op, "a", a), out=(dw.numpy(), db.numpy()), backend=backend
    )
    return dw, db


def _wgrad_fake(delta: Tensor, a: Tensor, backend: str) -> tuple[Tensor, Tensor]:
    return delta.new_empty((*delta.shape[1:], *a.shape[1:])), delta.new_empty(delta.shape[1:])


def _loss(
    h: Tensor,
    w: Tensor,
    b: Tensor,
    target: Tensor,
    activation: str,
    loss: str,
    feature_weight: Tensor | None,
    keep: bool,
    backend: str,
) -> tuple[Tensor, Tensor]:
    """Row losses, and with `keep` each row's derivative by its pre-activation, else a tensor of no elements."""
    row_loss, by_z = _loss_fake(h, w, b, target, activation, loss, feature_weight, keep, backend)
    op = "linear_loss_grad" if keep else "linear_loss"
    x, weight, bias = rows(op, "h", h), matrix(op, "w", w), vector(op, "b", b)
    wanted = rows(op, "target", target)
    features = None if feature_weight is None else vector(op, "feature_weight", feature_weight)
    found, batch, features = last_layer(
        backend, op, x, weight, bias, wanted, activation, loss, features, None
    )
    arguments = (x, weight, bias, activations.CODES[activation], losses.CODES[loss], wanted)
    if keep:
        each = np.ones(batch, x.dtype)
        found.linear_loss_grad(*arguments, each, 1.0, features, row_loss.numpy(), by_z.numpy())
    else:
        found.linear_loss(*arguments, features, row_loss.numpy())
    return row_loss, by_z


def _loss_fake(
    h: Tensor,
    w: Tensor,
    b: Tensor,
    target: Tensor,
    activation: str,
    loss: str,
    feature_weight: Tensor | None,
    keep: bool,
    backend: str,
) -> tuple[Tensor, Tensor]:
    return h.new_empty(h.shape[:1]), h.new_empty((*h.shape[:1], *w.shape[:1]) if keep else (0,))


def _loss_setup(ctx: Any, inputs: tuple[Any, ...], output: tuple[Tensor, Tensor]) -> None:
    h, w = inputs[:2]
    keep, ctx.backend = inputs[-2:]
    if not keep:
        raise RuntimeError("linear_loss has no derivative without that of its rows; give keep=True")
    _, by_z = output
    ctx.mark_non_differentiable(by_z)
    ctx.set_materialize_grads(False)
    ctx.save_for_backward(h, w, by_z)


def _loss_backward(ctx: Any, grad: Tensor | None, _by_z: None) -> tuple[Tensor | None, ...]:
    if grad is None:
        return (None,) * 9
    h, w, by_z = ctx.saved_tensors
    return *_gradients(ctx, by_z * grad[:, None], h, w), None, None, None, None, None, None


linear_dgrad = operator(
    "linear_dgrad", "(Tensor delta, Tensor w, str backend) -> Tensor dx", _dgrad, _dgrad_fake
)
linear_wgrad = operator(
    "linear_wgrad", "(Tensor delta, Tensor a, str backend) -> (Tensor dw, Tensor db)", _wgrad, _wgrad_fake
)
_linear_act = operator(
    "linear_act",
    "(Tensor x, Tensor w, Tensor b, str activation, bool keep, str backend) -> (Tensor h, Tensor pre)",
    _act,
    _act_fake,
)
_linear_act.register_autograd(_act_backward, setup_context=_act_setup)
_linear_loss = operator(
    "linear_loss",
    "(Tensor h, Tensor w, Tensor b, Tensor target, str activation, str loss, Tensor? feature_weight, bool keep, "
    "str backend) -> (Tensor row_loss, Tensor delta)",
    _loss,
    _loss_fake,
)
_linear_loss.register_autograd(_loss_backward, setup_context=_loss_setup)
