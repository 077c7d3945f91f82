# Written by tests/native_stub.py from the compiled module.
"""
The cpu backend's native code: ops on NumPy arrays, programs, instruction sets and threads.
"""

from __future__ import annotations
import numpy
import numpy.typing
import typing

__all__: list[str] = [
    "Program",
    "TeamChoice",
    "activate",
    "available_isas",
    "batch_loss",
    "batch_scale",
    "bias_grad",
    "cgroup_quota",
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
    "get_num_threads",
    "isa",
    "limit_this_thread",
    "linear_act",
    "linear_dgrad",
    "linear_loss",
    "linear_loss_grad",
    "linear_wgrad",
    "most_threads",
    "permutation",
    "pool2d",
    "pool2d_dgrad",
    "set_flops_per_thread",
    "set_isa",
    "set_most_stored",
    "set_num_threads",
    "sparsity_penalty",
    "sparsity_penalty_backward",
    "transpose_rows",
    "update",
    "upsample2d",
    "upsample2d_dgrad",
    "vector_math",
    "x86_isas",
]

class TeamChoice:
    """
    How a program chooses the threads of its steps; here for tests.
    """
    def __init__(self) -> None: ...
    def begin(self, flops: float, threads: int) -> None: ...
    def steps(self) -> int:
        """
        Of the next stretch.
        """
    def took(self, seconds: float, steps: int) -> None: ...
    @property
    def size(self) -> int: ...

class Program:
    """
    A plan bound to flat parameter buffers; one run at a time.
    """
    def __init__(
        self,
        phases: list[tuple[str, list[dict[str, typing.Any]]]],
        batch: int,
        arena_size: int,
        stats_size: int,
        params: typing.Any,
        grads: typing.Any = None,
        slot0: typing.Any = None,
        slot1: typing.Any = None,
        ema: typing.Any = None,
        pending: typing.Any = None,
        steps: typing.Any = None,
        bfloat16: bool = False,
    ) -> None:
        """
        pending: a function that tells whether to end a run between two steps. steps: int64 (1,), to which each run adds the steps that it has done. bfloat16: what products read. phases: [(kind, [{'op', 'args': {name: (space, offset, rows, cols, row_stride, col_stride)}, 'attrs'}])].
        """
    def run_phases(
        self,
        data: typing.Any,
        index: typing.Any,
        rows: typing.Any,
        sample_weight: typing.Any,
        shift: typing.Any,
        scale: typing.Any,
        factor: float,
        seed: int,
        epoch: int,
        start: int,
        stop: int,
        beta: float = 1.0,
        repack: bool = True,
        n_threads: int = 0,
    ) -> int:
        """
        All phases but the update on rows index[start:stop]; status as in run_steps. repack=False: the parameters are those of the last run.
        """
    def run_steps(
        self,
        data: typing.Any,
        index: typing.Any,
        rows: typing.Any,
        sample_weight: typing.Any,
        shift: typing.Any,
        scale: typing.Any,
        factor: float,
        seed: int,
        epoch: int,
        batch: int,
        scalars: typing.Any,
        losses: typing.Any,
        nonfinite: int,
        clip_norm: float,
        n_threads: int = 0,
        prefetch: bool = False,
    ) -> tuple[int, int]:
        """
        batch: rows a step, at most the plan's. rows: the noise's addresses, None for index itself. prefetch: a thread has rows to come read from the file that they are mapped from. Returns (steps done, status): 0 done, 1 the next step isn't finite, 2 interrupted (see take_interrupt).
        """
    def take_interrupt(self) -> typing.Any:
        """
        What a signal handler raised during the last run, or None.
        """
    @property
    def arena(self) -> numpy.typing.NDArray[numpy.float32]:
        """
        A view of the arena, float32.
        """
    @property
    def flops(self) -> float: ...
    @property
    def isa(self) -> str: ...
    @property
    def stats(self) -> numpy.typing.NDArray[numpy.float64]:
        """
        A view of the statistics, float64.
        """

def activate(act: int, z: typing.Any, out: typing.Any) -> None:
    """
    out = act(z), element by element; float32 (n,).
    """

def available_isas() -> list[str]:
    """
    Instruction sets that this build has and this machine runs, best first.
    """

def batch_loss(
    row_loss: typing.Any,
    batch_scale: typing.Any,
    scale: float,
    kl: typing.Any,
    beta: float,
    free_bits: float,
    penalty: typing.Any,
    out: typing.Any,
) -> None:
    """
    The batch's loss, float64.
    """

def batch_scale(sample_weight: typing.Any, index: typing.Any, out: typing.Any) -> None:
    """
    out = w[index] / sum(w[index]).
    """

def bias_grad(delta: typing.Any, db: typing.Any, partials: typing.Any) -> None:
    """
    db (n,) = delta.reshape(-1, n).sum(0), delta (B, pixels n); partials as in linear_wgrad.
    """

def cgroup_quota(root: str = "") -> float:
    """
    Processors that the control groups below root grant this process; 0 where they set no limit.
    """

def conv2d_act(
    x: typing.Any,
    w: typing.Any,
    b: typing.Any,
    act: int,
    out: typing.Any,
    pre: typing.Any,
    geometry: typing.Any,
    bfloat16: bool = False,
) -> None:
    """
    out = act(z), pre = z: the convolution (or transposed convolution) of x and w, and a bias per channel. Rows hold images channels last, w is (out_channels, kernel_height kernel_width channels / groups).
    """

def conv2d_dgrad(
    delta: typing.Any,
    w: typing.Any,
    act: int,
    saved: typing.Any,
    extra: typing.Any,
    out: typing.Any,
    geometry: typing.Any,
    bfloat16: bool = False,
) -> None:
    """
    out = (the gradient by the input + extra) act'(saved).
    """

def conv2d_loss(
    h: typing.Any,
    w: typing.Any,
    b: typing.Any,
    act: int,
    loss: int,
    target: typing.Any,
    feature_weight: typing.Any,
    row_loss: typing.Any,
    geometry: typing.Any,
    bfloat16: bool = False,
) -> None:
    """
    row_loss of the last layer.
    """

def conv2d_loss_grad(
    h: typing.Any,
    w: typing.Any,
    b: typing.Any,
    act: int,
    loss: int,
    target: typing.Any,
    batch_scale: typing.Any,
    scale: float,
    feature_weight: typing.Any,
    row_loss: typing.Any,
    delta: typing.Any,
    geometry: typing.Any,
    bfloat16: bool = False,
) -> None:
    """
    row_loss and delta of the last layer in one pass.
    """

def conv2d_wgrad(
    delta: typing.Any,
    a: typing.Any,
    dw: typing.Any,
    accumulate: bool,
    partials: typing.Any,
    geometry: typing.Any,
    bfloat16: bool = False,
) -> None:
    """
    dw (+)= the gradient by the weight; partials = [sum of squares, 1 if not finite].
    """

def conv_transpose2d_act(
    x: typing.Any,
    w: typing.Any,
    b: typing.Any,
    act: int,
    out: typing.Any,
    pre: typing.Any,
    geometry: typing.Any,
    bfloat16: bool = False,
) -> None:
    """
    out = act(z), pre = z: the convolution (or transposed convolution) of x and w, and a bias per channel. Rows hold images channels last, w is (out_channels, kernel_height kernel_width channels / groups).
    """

def conv_transpose2d_dgrad(
    delta: typing.Any,
    w: typing.Any,
    act: int,
    saved: typing.Any,
    extra: typing.Any,
    out: typing.Any,
    geometry: typing.Any,
    bfloat16: bool = False,
) -> None:
    """
    out = (the gradient by the input + extra) act'(saved).
    """

def conv_transpose2d_loss(
    h: typing.Any,
    w: typing.Any,
    b: typing.Any,
    act: int,
    loss: int,
    target: typing.Any,
    feature_weight: typing.Any,
    row_loss: typing.Any,
    geometry: typing.Any,
    bfloat16: bool = False,
) -> None:
    """
    row_loss of the last layer.
    """

def conv_transpose2d_loss_grad(
    h: typing.Any,
    w: typing.Any,
    b: typing.Any,
    act: int,
    loss: int,
    target: typing.Any,
    batch_scale: typing.Any,
    scale: float,
    feature_weight: typing.Any,
    row_loss: typing.Any,
    delta: typing.Any,
    geometry: typing.Any,
    bfloat16: bool = False,
) -> None:
    """
    row_loss and delta of the last layer in one pass.
    """

def conv_transpose2d_wgrad(
    delta: typing.Any,
    a: typing.Any,
    dw: typing.Any,
    accumulate: bool,
    partials: typing.Any,
    geometry: typing.Any,
    bfloat16: bool = False,
) -> None:
    """
    dw (+)= the gradient by the weight; partials = [sum of squares, 1 if not finite].
    """

def corrupt(
    x: typing.Any,
    kind: int,
    level: float,
    low: float,
    high: float,
    seed: int,
    epoch: int,
    stream: int,
    rows: typing.Any,
    out: typing.Any,
) -> None:
    """
    out = x with addressed noise.
    """

def gather(
    data: typing.Any, index: typing.Any, shift: typing.Any, scale: typing.Any, factor: float, out: typing.Any
) -> None:
    """
    out = (data[index] - shift) * scale in float64, or data[index] * factor.
    """

def gaussian_latent(
    moments: typing.Any, seed: int, epoch: int, stream: int, rows: typing.Any, z: typing.Any, kl: typing.Any
) -> None:
    """
    z = mu + exp(logvar / 2) eps; kl per row.
    """

def gaussian_latent_backward(
    moments: typing.Any,
    dz: typing.Any,
    batch_scale: typing.Any,
    beta: float,
    free_bits: float,
    seed: int,
    epoch: int,
    stream: int,
    rows: typing.Any,
    out: typing.Any,
) -> None:
    """
    Derivatives by [mu | logvar].
    """

def get_num_threads() -> int:
    """
    The most threads that a call uses.
    """

def isa() -> str:
    """
    The instruction set in use (AEFAST_ISA, or the best).
    """

def limit_this_thread(n: int) -> int:
    """
    No call from this thread uses more than n threads; 0: no limit. Returns the limit before.
    """

def linear_act(
    x: typing.Any,
    w: typing.Any,
    b: typing.Any,
    act: int,
    out: typing.Any,
    pre: typing.Any = None,
    bfloat16: bool = False,
) -> None:
    """
    out = act(x w^T + b); pre = x w^T + b. x dense, or sparse rows (then float32). bfloat16: the product's operands are rounded to it, here and below.
    """

def linear_dgrad(
    delta: typing.Any,
    w: typing.Any,
    act: int,
    saved: typing.Any,
    extra: typing.Any,
    out: typing.Any,
    bfloat16: bool = False,
) -> None:
    """
    out = (delta w + extra) act'(saved).
    """

def linear_loss(
    h: typing.Any,
    w: typing.Any,
    b: typing.Any,
    act: int,
    loss: int,
    target: typing.Any,
    feature_weight: typing.Any,
    row_loss: typing.Any,
    bfloat16: bool = False,
) -> None:
    """
    row_loss of the last layer.
    """

def linear_loss_grad(
    h: typing.Any,
    w: typing.Any,
    b: typing.Any,
    act: int,
    loss: int,
    target: typing.Any,
    batch_scale: typing.Any,
    scale: float,
    feature_weight: typing.Any,
    row_loss: typing.Any,
    delta: typing.Any,
    bfloat16: bool = False,
) -> None:
    """
    row_loss and delta of the last layer in one pass.
    """

def linear_wgrad(
    delta: typing.Any,
    a: typing.Any,
    dw: typing.Any,
    db: typing.Any,
    accumulate: bool,
    partials: typing.Any,
    bfloat16: bool = False,
) -> None:
    """
    dw (+)= delta^T a; db (+)= column sums of delta; partials = [sum of squares, 1 if not finite].
    """

def most_threads(wanted: int) -> int:
    """
    Threads that a call which wants so many (0: the default) may use, by the limits of process and thread.
    """

def permutation(n: int, seed: int, epoch: int, out: typing.Any) -> None:
    """
    out = the epoch's order of n rows.
    """

def pool2d(x: typing.Any, kind: int, out: typing.Any, geometry: typing.Any) -> None:
    """
    out = the largest (kind 0) or the mean (1) of the image's pixels in each window.
    """

def pool2d_dgrad(
    delta: typing.Any,
    x: typing.Any,
    kind: int,
    act: int,
    saved: typing.Any,
    extra: typing.Any,
    out: typing.Any,
    geometry: typing.Any,
) -> None:
    """
    out = (the gradient by x + extra) act'(saved); the first of the largest gets it.
    """

def set_flops_per_thread(flops: float) -> None:
    """
    Arithmetic of a step or op that is worth one more thread; 0 always uses all (for tests).
    """

def set_isa(name: str) -> None:
    """
    Changes the instruction set in use; existing programs keep theirs. ValueError where it isn't available.
    """

def set_most_stored(share: float) -> None:
    """
    The share of stored elements up to which a first layer works on sparse rows' entries (0: never, 1: always).
    """

def set_num_threads(n: int) -> None:
    """
    Fixes the most threads that a call uses; 0 goes back to the environment's number.
    """

def sparsity_penalty(
    h: typing.Any,
    batch_scale: typing.Any,
    kind: int,
    weight: float,
    target: float,
    mean: typing.Any,
    value: typing.Any,
) -> None:
    """
    The penalty on a code, and KL's batch means.
    """

def sparsity_penalty_backward(
    h: typing.Any,
    batch_scale: typing.Any,
    kind: int,
    weight: float,
    target: float,
    mean: typing.Any,
    out: typing.Any,
) -> None:
    """
    The penalty's derivative by h.
    """

def transpose_rows(x: typing.Any, n: int, out: typing.Any) -> None:
    """
    Each row, a matrix (n, cols / n), transposed.
    """

def update(
    rule: int,
    w: typing.Any,
    g: typing.Any,
    s0: typing.Any,
    s1: typing.Any,
    ema: typing.Any,
    n_decay: int,
    weight_decay: float,
    h0: float,
    h1: float,
    h2: float,
    lr: float,
    c1: float,
    c2: float,
    clip_scale: float,
    ema_decay: float,
) -> None:
    """
    One optimizer step on flat parameters.
    """

def upsample2d(x: typing.Any, out: typing.Any, geometry: typing.Any) -> None:
    """
    image[y, x] = map[y // stride_y, x // stride_x].
    """

def upsample2d_dgrad(
    delta: typing.Any, act: int, saved: typing.Any, extra: typing.Any, out: typing.Any, geometry: typing.Any
) -> None:
    """
    out = (sums of delta's blocks + extra) act'(saved).
    """

def vector_math(function: int, x: typing.Any, out: typing.Any) -> None:
    """
    out = function(x), element by element; float32 (n,): exp, exp_nonpositive, expm1, log, log1p, tanh, exp_minus_half_square, normal_cdf, sin_turns, cos_turns.
    """

def x86_isas(leaf1_c: int, leaf7_b: int, leaf7_1_a: int, extended_c: int, xcr0: int) -> list[str]:
    """
    Instruction sets of an x86-64 processor and system of which CPUID and XGETBV say this (for tests).
    """
