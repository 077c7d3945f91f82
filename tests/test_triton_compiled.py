"""The machine code of every kernel, for GPUs that needn't be there: what `triton_compile.py` prints, held to what is wanted."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from functools import cache
from pathlib import Path
from typing import Any

import pytest

from aefast.testing.require import skip_or_fail

try:
    import triton
except ModuleNotFoundError:
    skip_or_fail("triton", "it isn't installed")

SCRIPT = Path(__file__).parent / "triton_compile.py"
# Compute capability -> bytes of shared memory that a program may have (CUDA C++ Programming Guide, table of capabilities).
SHARED = {80: 163 * 1024, 89: 99 * 1024, 90: 227 * 1024}
PRECISIONS = ("ieee", "tf32", "bf16")
PRODUCTS = {f"{kind}_{part}" for kind in ("linear", "conv") for part in ("act", "loss", "dgrad", "wgrad")}
KERNELS = PRODUCTS | {
    "row_sums", "add_parts", "column_sums", "finish_norm", "gather", "spread_zeros", "spread_values", "batch_weights",
    "corrupt", "permute", "sample", "sample_backward", "penalty", "add_shares", "penalty_backward", "total_loss", "update",
    "begin_step", "judge_step", "image_losses", "pool", "pool_dgrad", "upsample", "upsample_dgrad", "transpose_rows",
}  # fmt: skip


@cache
def compiled(capability: int) -> list[dict[str, Any]]:
    environment = {name: value for name, value in os.environ.items() if name != "TRITON_INTERPRET"}
    command = [sys.executable, str(SCRIPT), str(capability), *PRECISIONS]
    done = subprocess.run(command, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr[-4000:]
    return [json.loads(line) for line in done.stdout.splitlines()]


@pytest.mark.parametrize("capability", SHARED)
def test_every_kernel_fits_its_registers_and_shared_memory(capability: int) -> None:
    found = compiled(capability)
    assert {kernel["kernel"] for kernel in found} == KERNELS, triton.__version__
    for kernel in found:
        assert kernel["spilled"] == 0 and kernel["stack"] == 0, kernel
        assert kernel["shared"] <= SHARED[capability], kernel
        assert kernel["registers"] <= 255 and kernel["registers"] * 32 * kernel["warps"] <= 65536, kernel


@pytest.mark.parametrize("capability", SHARED)
def test_products_run_on_tensor_cores(capability: int) -> None:
    for kernel in compiled(capability):
        if kernel["kernel"] not in PRODUCTS or kernel["grouped"]:
            continue
        if kernel["what"].endswith("ieee"):
            assert kernel["mma"] == kernel["wgmma"] == 0, kernel  # there are none that keep IEEE's float32
        elif capability == 90:
            assert kernel["wgmma"] > 0, kernel
        else:
            assert kernel["mma"] > 0, kernel


@pytest.mark.parametrize("capability", SHARED)
def test_sums_have_an_order_and_offsets_64_bits(capability: int) -> None:
    for kernel in compiled(capability):
        assert kernel["atomics"] == 0, kernel
        assert kernel["narrow_offsets"] == [], kernel
