"""Compiles every kernel for a GPU that needn't be there, as the ops launch it, and prints what came out as JSON lines.

`python tests/triton_compile.py 90 bf16 ieee` (a compute capability, then precisions of products; "ieee" also makes all that is
no product, and with "variants" at the end each kernel is made for every activation, dtype and rule). The ops run on NumPy
arrays of real sizes that are never touched: what they would launch is recorded, with its dtypes, strides and tiles.
"""

from __future__ import annotations

import json
import math
import re
import sys
from collections.abc import Iterator
from contextlib import redirect_stdout
from io import StringIO
from typing import Any

import numpy as np
import triton
from triton.backends.compiler import GPUTarget
from triton.compiler import ASTSource

import aefast
from aefast import activations, losses, optimizers, regularizers
from aefast.backends import Feed, State
from aefast.backends.triton.memory import Memory, Pointer
from aefast.backends.triton.ops import Ops
from aefast.backends.triton.program import DeviceProgram
from aefast.data.sparse import SparseRows
from aefast.geometry import Geometry
from aefast.layers import POOLS
from aefast.plan import Settings
from aefast.planner import build

NAMES = {
    "float32": "fp32",
    "float64": "fp64",
    "float16": "fp16",
    "uint8": "u8",
    "int32": "i32",
    "int64": "i64",
}
LAUNCHED = ("num_warps", "num_stages", "enable_fp_fusion")
F32, F64, I64 = np.float32, np.float64, np.int64
BATCH, WIDE, NARROW = 4096, 4096, 96  # a batch, and layers with many tiles and with few, whose batch is split


def recorded(precision: str) -> Iterator[tuple[str, Any, tuple[Any, ...], dict[str, Any]]]:
    """(what, kernel, arguments, constants) of every launch."""
    taken: list[tuple[Any, tuple[Any, ...], dict[str, Any]]] = []

    def run(self: Any, *args: Any, grid: Any, warmup: bool, **kwargs: Any) -> None:
        taken.append((self, args, kwargs))

    triton.runtime.jit.JITFunction.run = run
    ops = Ops(Memory(np), precision)
    for what, call in (products if precision != "ieee" else everything)(ops):
        taken.clear()
        call()
        for kernel, args, kwargs in taken:
            yield f"{what}, {precision}", kernel, args, kwargs


def zeros(*shape: int, dtype: Any = F32) -> Any:
    return np.zeros(shape, dtype)  # pages that nobody touches cost nothing


def products(ops: Ops) -> Iterator[tuple[str, Any]]:
    act, loss = activations.CODES, losses.CODES
    for size, m, n in (("large", WIDE, WIDE), ("code", NARROW, NARROW)):
        x, w, b, out = zeros(BATCH, m), zeros(n, m), zeros(n), zeros(BATCH, n)
        row, pre = zeros(BATCH), zeros(BATCH, n)
        db, norm = zeros(n), zeros(2, dtype=F64)
        yield (
            f"linear_act {size}",
            lambda x=x, w=w, b=b, out=out, pre=pre: ops.linear_act(x, w, b, act["gelu"], out, pre),
        )
        yield (
            f"linear_loss_grad {size}",
            lambda x=x, w=w, b=b, out=out, row=row, db=db: ops.linear_loss_grad(
                x, w, b, act["sigmoid"], loss["bce"], out, row, 1.0, db, row, out
            ),
        )
        yield (
            f"linear_loss {size}",
            lambda x=x, w=w, b=b, out=out, row=row: ops.linear_loss(
                x, w, b, act["gelu"], loss["huber"], out, None, row
            ),
        )
        yield (
            f"linear_dgrad {size}",
            lambda x=x, w=w, out=out: ops.linear_dgrad(out, w, act["gelu"], x, x, x),
        )
        yield (
            f"linear_wgrad {size}",
            lambda x=x, w=w, out=out, db=db, norm=norm: ops.linear_wgrad(out, x, w, db, True, norm),
        )
    yield from convolutions(ops)


def convolutions(ops: Ops) -> Iterator[tuple[str, Any]]:
    act, loss = activations.CODES, losses.CODES
    for name, g in (
        ("conv", Geometry.of((64, 28, 28), 128, 3, stride=2, padding="same")),
        ("depthwise", Geometry.of((64, 28, 28), 64, 3, padding=1, groups=64)),
    ):
        image, map_ = zeros(BATCH, g.image_size), zeros(BATCH, g.map_size)
        w, row, norm = zeros(g.out_channels, math.prod(g.weight_shape[1:])), zeros(BATCH), zeros(2, dtype=F64)
        b, weight = zeros(g.out_channels), zeros(g.map_size)
        pre, extra = zeros(BATCH, g.map_size), zeros(BATCH, g.image_size)
        yield (
            f"conv2d_act {name}",
            lambda w=w, b=b, x=image, z=map_, p=pre, g=g: ops.conv2d_act(x, w, b, act["gelu"], z, p, g),
        )
        yield (
            f"conv_transpose2d_act {name}",
            lambda w=w, b=b, x=map_, z=image, g=g: ops.conv_transpose2d_act(x, w, b, act["relu"], z, None, g),
        )
        yield (
            f"conv2d_loss_grad {name}",
            lambda w=w, b=b, x=image, z=map_, p=pre, f=weight, r=row, g=g: ops.conv2d_loss_grad(
                x, w, b, act["sigmoid"], loss["bce"], p, r, 1.0, f, r, z, g
            ),
        )
        yield (
            f"conv2d_dgrad {name}",
            lambda w=w, d=map_, z=image, e=extra, g=g: ops.conv2d_dgrad(d, w, act["gelu"], e, e, z, g),
        )
        yield (
            f"conv2d_wgrad {name}",
            lambda w=w, d=map_, x=image, n=norm, g=g: ops.conv2d_wgrad(d, x, w, True, n, g),
        )


def images(ops: Ops) -> Iterator[tuple[str, Any]]:
    act = activations.CODES
    g = Geometry.of((64, 28, 28), 64, 2, stride=2, groups=64)
    image, map_ = zeros(BATCH, g.image_size), zeros(BATCH, g.map_size)
    for kind, name in enumerate(POOLS):
        yield f"pool2d {name}", lambda k=kind: ops.pool2d(image, k, map_, g)
        yield (
            f"pool2d_dgrad {name}",
            lambda k=kind: ops.pool2d_dgrad(map_, image, k, act["gelu"], image, image, image, g),
        )
    yield "upsample2d", lambda: ops.upsample2d(map_, image, g)
    yield "upsample2d_dgrad", lambda: ops.upsample2d_dgrad(image, act["gelu"], map_, map_, map_, g)
    yield "transpose_rows", lambda: ops.transpose_rows(image, 64, image)
    yield "bias_grad of maps", lambda: ops.bias_grad(map_, zeros(64), zeros(2, dtype=F64))


def steps() -> Iterator[tuple[str, Any]]:
    """A recorded step: all of its kernels, those around it among them."""
    settings = Settings(optimizer=optimizers.Adam(), ema=0.9)
    plan = build(aefast.Topology.mlp([96, 32, 96]), settings, 64, "train")
    n = plan.topology.n_flat
    memory, (params, grads, *slots, ema) = Memory(np), (zeros(n) for _ in range(5))
    state = State(params, grads, tuple(slots), ema)
    program = DeviceProgram(plan, state, Ops(memory, "ieee"), memory)
    feed = Feed(zeros(64, 96), zeros(64, dtype=I64))
    # Nothing runs here, so that a run would never end.
    yield "step", lambda: [launched.start() for launched in program._record(feed, 64).launches]


def everything(ops: Ops) -> Iterator[tuple[str, Any]]:
    yield from products(ops)
    yield from images(ops)
    yield from steps()
    act = activations.CODES
    x, z, row, index = zeros(BATCH, WIDE), zeros(BATCH, WIDE), zeros(BATCH), zeros(BATCH, dtype=I64)
    norm, wide = zeros(2, dtype=F64), zeros(WIDE, dtype=F64)
    for name in activations.NAMES:
        tied = zeros(WIDE, WIDE).T
        yield f"linear_act {name}", lambda a=act[name], w=tied: ops.linear_act(x, w, x[0], a, z, None)
    yield "bias_grad", lambda: ops.bias_grad(x, x[0], norm)
    for dtype in ("float32", "float64", "float16", "uint8", "int32"):
        data = zeros(BATCH, WIDE, dtype=dtype)
        yield f"gather {dtype}", lambda d=data: ops.gather(d, index, wide, wide, 1.0, z)
    yield "gather factor", lambda: ops.gather(x, index, None, None, 0.5, z)
    sparse = SparseRows(zeros(8), zeros(8, dtype=np.int32), zeros(BATCH + 1, dtype=np.int32), (BATCH, WIDE))
    yield "gather sparse", lambda: ops.gather(sparse, index, wide, wide, 1.0, z)
    yield "batch_scale", lambda: ops.batch_scale(zeros(BATCH, dtype=F64), index, row)
    for kind, name in enumerate(regularizers.CORRUPTIONS):
        yield f"corrupt {name}", lambda k=kind: ops.corrupt(x, k, 0.3, 0.0, 1.0, 7, 1, 2, index, z)
    half = zeros(BATCH, WIDE // 2)
    yield "gaussian_latent", lambda: ops.gaussian_latent(x, 7, 1, 2, index, half, row)
    yield (
        "gaussian_latent_backward",
        lambda: ops.gaussian_latent_backward(x, half, row, 1.0, 0.5, 7, 1, 2, index, z),
    )
    for kind, name in enumerate(regularizers.PENALTIES):
        yield f"penalty {name}", lambda k=kind: ops.sparsity_penalty(x, row, k, 0.1, 0.2, x[0], norm)
        yield (
            f"penalty_backward {name}",
            lambda k=kind: ops.sparsity_penalty_backward(x, row, k, 0.1, 0.2, x[0], z),
        )
    yield "batch_loss", lambda: ops.batch_loss(row, row, 1.0, row, 1.0, 0.5, norm, norm)
    flat = zeros(1 << 20)
    for rule, row_of in enumerate(optimizers.TABLE):
        slots = [flat if i < row_of.n_slots else None for i in range(2)]
        scalars = (0.1, *row_of().constants, 0.01, 1.0, 1.0, 0.5, 0.9)
        yield (
            f"update {row_of.name}",
            lambda r=rule, s=slots, c=scalars: ops.update(r, flat, flat, *s, flat, 1000, *c),
        )
    yield "permutation", lambda: ops.permutation(60000, 7, 1, zeros(60000, dtype=I64))


def source(kernel: Any, args: tuple[Any, ...], constants: dict[str, Any]) -> ASTSource:
    """As Triton's launcher would specialise it: ones and None are constants, multiples of 16 are known as such."""
    signature: dict[str, str] = {}
    fixed: dict[tuple[int, ...], Any] = {}
    attrs: dict[tuple[int, ...], list[list[Any]]] = {}
    values = dict(zip(kernel.arg_names, args, strict=False)) | constants
    for i, name in enumerate(kernel.arg_names):
        value = values[name]
        if isinstance(value, Pointer):
            signature[name] = "*" + NAMES[value.dtype.name]
            attrs[i,] = [["tt.divisibility", 16]]
        elif value is None or value == 1 or name in constants:
            signature[name], fixed[i,] = "constexpr", value
        else:
            signature[name] = "i32" if -(2**31) <= value < 2**31 else "i64"
            if value % 16 == 0:
                attrs[i,] = [["tt.divisibility", 16]]
    return ASTSource(kernel, signature, fixed, attrs)


def compiled(what: str, kernel: Any, args: Any, kwargs: dict[str, Any], capability: int) -> dict[str, Any]:
    options = {name: kwargs[name] for name in LAUNCHED}
    target = GPUTarget("cuda", capability, 32)
    printed = StringIO()
    with redirect_stdout(printed):
        made = triton.compile(source(kernel, args, _constants(kwargs)), target=target, options=options)
    said, ptx = printed.getvalue(), made.asm["ptx"]
    return {
        "what": what,
        "kernel": kernel.__name__,
        "grouped": bool(kwargs.get("GROUPED")),
        "capability": capability,
        "shared": made.metadata.shared,
        "warps": options["num_warps"],
        "registers": int(re.search(r"Used (\d+) registers", said)[1]),
        "spilled": sum(map(int, re.findall(r"(\d+) bytes spill", said))),
        "stack": int(re.search(r"(\d+) bytes stack frame", said)[1]),
        "mma": len(re.findall(r"\bmma\.sync", ptx)),
        "wgmma": len(re.findall(r"\bwgmma\.mma_async", ptx)),
        "atomics": len(re.findall(r"\b(?:atom|red)\.", ptx)),
        "narrow_offsets": sorted(
            set(re.findall(r"tt\.addptr [^\n]*, (tensor<(?:\d+x)+i32>)", made.asm["ttir"]))
        ),
    }


def main(capability: int, precisions: list[str], variants: bool) -> None:
    # What the assembler says of registers and spills is printed while it works, and not where a result was kept.
    triton.knobs.nvidia.dump_ptxas_log = triton.knobs.compilation.always_compile = True
    seen = set()
    for precision in precisions:
        for what, kernel, args, kwargs in recorded(precision):
            key: Any = (
                (kernel.__name__, kwargs.get("GROUPED"))
                if not variants
                else (kernel.__name__, *_told(args), *kwargs.items())
            )
            if (key, precision) not in seen:
                seen.add((key, precision))
                print(json.dumps(compiled(what, kernel, args, kwargs, capability)), flush=True)


def _told(args: tuple[Any, ...]) -> Iterator[Any]:
    """What sets two launches of a kernel apart, but for their sizes."""
    return (arg.dtype.name if isinstance(arg, Pointer) else arg is None or arg == 1 for arg in args)


def _constants(kwargs: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in kwargs.items() if name not in LAUNCHED}


if __name__ == "__main__":
    given = [argument for argument in sys.argv[2:] if argument != "variants"]
    main(int(sys.argv[1]), given, variants=given != sys.argv[2:])
