"""aefast's kernels as PyTorch operators: on CPU tensors, in their memory, with autograd, and through torch.compile.

Each function here is made of operators `torch.ops.aefast.*`, forward and backward. They take float32 and float64 where a
backend has it (`backend="auto"`, or a name, as in `aefast.ops`), compute without a copy, and copy only what is strided as the
kernels can't read it. A backward pass can't be differentiated again, nor a call by torch.func.grad. Tensors that lie elsewhere
than on the CPU are a BackendUnavailableError; meta tensors have shapes only, as everywhere in PyTorch.
"""

from __future__ import annotations

try:
    import torch  # noqa: F401
except ModuleNotFoundError as error:
    if error.name != "torch":
        raise
    raise ModuleNotFoundError(
        "aefast.torch needs PyTorch, which isn't installed; `pip install torch` brings it", name="torch"
    ) from None

from aefast.torch.conv import conv2d_act, conv_transpose2d_act
from aefast.torch.dense import linear_act, linear_loss

__all__ = ["conv2d_act", "conv_transpose2d_act", "linear_act", "linear_loss"]
