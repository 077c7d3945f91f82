"""The native ops for bfloat16 compute: the products round their operands; all arrays are float32."""

from functools import partial
from types import SimpleNamespace

from aefast.backends.cpu import LACKS, ops
from aefast.ops import NAMES

PRODUCTS = frozenset(
    f"{op}_{part}"
    for op in ("linear", "conv2d", "conv_transpose2d")
    for part in ("act", "loss_grad", "loss", "dgrad", "wgrad")
)

OPS = SimpleNamespace(
    **{
        name: partial(getattr(ops, name), bfloat16=True) if name in PRODUCTS else getattr(ops, name)
        for name in NAMES
        if name not in LACKS
    }
)
