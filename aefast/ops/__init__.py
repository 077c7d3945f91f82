"""The op contract, and its functional front on arrays in the caller's memory.

Letters, here and everywhere: B batch, M fan-in, N fan-out, d features (the N of the last layer), L latents. Matrices are
row-major; weights are (N, M) as in h = act(x Wᵀ + b); a transposed view serves as a tied weight. `delta` is the derivative
of the loss by the pre-activation. `conv.py` has the letters of images. Every backend's `ops` holds these names with outputs as
arguments (the definitions are in `backends/numpy`: `ops.py`, `conv.py`, `images.py`); the functions below check, allocate
what isn't given as `out`, and call one backend.

All take `backend="auto"` (the first of cpu, numba, numpy that can) or a name, and compute in the dtype of their first
array: float32, or float64 where the backend has it; products take `compute_dtype="bfloat16"` with float32 arrays. Arrays of
other dtypes are a TypeError, wrong shapes a ValueError. Inputs are never changed but where the docstring says so.

Arrays are NumPy's; or PyTorch's tensors, or of any library that speaks DLPack (JAX's, read-only there), on the CPU: these
too are read and, as `out`, written in place, and what comes back is of the first array's kind. Arrays on other devices are a
BackendUnavailableError. Derivatives by PyTorch's autograd are in `aefast.torch`.
"""

from __future__ import annotations

from aefast.ops.code import corrupt, gaussian_latent, gaussian_latent_backward, sparsity_penalty
from aefast.ops.conv import conv2d_act, conv2d_dgrad, conv2d_loss, conv2d_loss_grad, conv2d_wgrad
from aefast.ops.conv_transpose import (
    conv_transpose2d_act,
    conv_transpose2d_dgrad,
    conv_transpose2d_loss,
    conv_transpose2d_loss_grad,
    conv_transpose2d_wgrad,
)
from aefast.ops.dense import linear_act, linear_dgrad, linear_loss, linear_loss_grad, linear_wgrad
from aefast.ops.ends import gather, permutation, update
from aefast.ops.pooling import pool2d, pool2d_dgrad, upsample2d, upsample2d_dgrad

# What a backend must hold; each is defined in backends/numpy.
NAMES: tuple[str, ...] = (
    "gather",
    "batch_scale",
    "corrupt",
    "linear_act",
    "linear_loss_grad",
    "linear_loss",
    "linear_dgrad",
    "linear_wgrad",
    "bias_grad",
    "conv2d_act",
    "conv2d_loss_grad",
    "conv2d_loss",
    "conv2d_dgrad",
    "conv2d_wgrad",
    "conv_transpose2d_act",
    "conv_transpose2d_loss_grad",
    "conv_transpose2d_loss",
    "conv_transpose2d_dgrad",
    "conv_transpose2d_wgrad",
    "pool2d",
    "pool2d_dgrad",
    "upsample2d",
    "upsample2d_dgrad",
    "transpose_rows",
    "gaussian_latent",
    "gaussian_latent_backward",
    "sparsity_penalty",
    "sparsity_penalty_backward",
    "batch_loss",
    "update",
    "permutation",
)
__all__ = [
    "NAMES",
    "conv2d_act",
    "conv2d_dgrad",
    "conv2d_loss",
    "conv2d_loss_grad",
    "conv2d_wgrad",
    "conv_transpose2d_act",
    "conv_transpose2d_dgrad",
    "conv_transpose2d_loss",
    "conv_transpose2d_loss_grad",
    "conv_transpose2d_wgrad",
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
    "pool2d",
    "pool2d_dgrad",
    "sparsity_penalty",
    "update",
    "upsample2d",
    "upsample2d_dgrad",
]
