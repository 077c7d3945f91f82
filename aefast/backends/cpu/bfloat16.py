"""The ops of `aefast.backends.cpu.ops`, the products with their operands rounded to bfloat16; all arrays are float32."""

from functools import partial

from aefast.backends.cpu import ops
from aefast.backends.cpu.ops import (
    batch_loss,
    batch_scale,
    bias_grad,
    corrupt,
    gather,
    gaussian_latent,
    gaussian_latent_backward,
    permutation,
    sparsity_penalty,
    sparsity_penalty_backward,
    update,
)

linear_act = partial(ops.linear_act, bfloat16=True)
linear_loss_grad = partial(ops.linear_loss_grad, bfloat16=True)
linear_loss = partial(ops.linear_loss, bfloat16=True)
linear_dgrad = partial(ops.linear_dgrad, bfloat16=True)
linear_wgrad = partial(ops.linear_wgrad, bfloat16=True)

__all__ = [
    "batch_loss",
    "batch_scale",
    "bias_grad",
    "corrupt",
    "gather",
    "gaussian_latent",
    "gaussian_latent_backward",
    "linear_act",
    "linear_dgrad",
    "linear_loss",
    "linear_loss_grad",
    "linear_wgrad",
    "permutation",
    "sparsity_penalty",
    "sparsity_penalty_backward",
    "update",
]
