"""The contract's ops on NumPy arrays, as the native module has them: the same names and arguments."""

import aefast.backends.cpu.native  # noqa: F401 (sets the module up)
from aefast._cpu import (
    batch_loss,
    batch_scale,
    bias_grad,
    corrupt,
    gather,
    gaussian_latent,
    gaussian_latent_backward,
    linear_act,
    linear_dgrad,
    linear_loss,
    linear_loss_grad,
    linear_wgrad,
    permutation,
    sparsity_penalty,
    sparsity_penalty_backward,
    update,
)

SPARSE = frozenset({"linear_act"})
"""The ops that take `SparseRows` as they are, not spread out."""

__all__ = [
    "SPARSE",
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
