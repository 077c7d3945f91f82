"""Who is compared: name -> module and what it is.

Each module has a class `Contender(net, x, option, backend)` (x (n_batches * B, w0) float32 are the epoch's rows in
order, the last is aefast's backend) with

    versions() -> dict          what was measured
    check() -> (losses, params) `net.n_check_steps` steps from the start: losses, and [(W, b), ...] after
    run(n_epochs) -> None       n_epochs * net.n_batches steps, finished when it returns

A contender of single layers hands in no losses, and [(output, input gradient), (weight gradient, bias gradient)].
"""

from __future__ import annotations

from dataclasses import dataclass, field

from bench.reference import EPS_HAT, IDENTITY, SKLEARN, USUAL, Formula


@dataclass(frozen=True)
class Entry:
    module: str
    option: str
    requires: str
    what: str
    formula: Formula = USUAL
    kinds: bool = False  # also does nets of another kind (`bench.nets.KINDS`)
    environment: dict[str, str] = field(default_factory=dict)
    families: tuple[str, ...] = ("dense",)  # of the nets that it can do


BOTH = ("dense", "conv")
LAYER = ("layer",)
CONTENDERS: dict[str, Entry] = {
    "aefast-epoch": Entry(
        "aefast_engine",
        "epoch",
        "aefast",
        "Trainer.fit: the epochs in native code",
        kinds=True,
        families=BOTH,
    ),
    "aefast-step": Entry("aefast_engine", "step", "aefast", "Trainer.step: a call a step", families=BOTH),
    "aefast-op": Entry(
        "aefast_op", "", "aefast", "aefast.ops: conv2d_act, conv2d_dgrad, conv2d_wgrad", families=LAYER
    ),
    "torch": Entry("torch_eager", "default", "torch", "eager, torch.optim.Adam"),
    "torch-fused": Entry(
        "torch_eager", "fused", "torch", "eager, torch.optim.Adam(fused=True)", families=BOTH
    ),
    "torch-channels-last": Entry(
        "torch_eager",
        "channels_last",
        "torch",
        "torch-fused with images and kernels channels last",
        families=("conv",),
    ),
    "torch-compile": Entry(
        "torch_compile",
        "loss",
        "torch",
        "torch.compile of forward, loss and backward, Adam(fused=True) beside it",
        families=BOTH,
    ),
    "torch-compile-channels-last": Entry(
        "torch_compile",
        "channels_last",
        "torch",
        "torch-compile with images and kernels channels last",
        families=("conv",),
    ),
    "torch-graph": Entry(
        "torch_compile", "step", "torch", "torch.compile of the whole step with Adam as one graph"
    ),
    "jax-step": Entry(
        "jax_jit", "step", "jax", "jit, a call a step, dispatched asynchronously, donated", families=BOTH
    ),
    "jax-scan": Entry(
        "jax_jit", "scan", "jax", "jit, lax.scan over the epoch's stacked batches, donated", families=BOTH
    ),
    "torch-op": Entry("torch_op", "", "torch", "eager, Conv2d and its gradients", families=LAYER),
    "torch-op-channels-last": Entry(
        "torch_op", "channels_last", "torch", "the same with images and kernels channels last", families=LAYER
    ),
    "jax-op": Entry("jax_op", "", "jax", "jit of the convolution and its VJP, NHWC", families=LAYER),
    "keras": Entry(
        "keras_jax",
        "fit",
        "keras",
        "Keras 3 on JAX, fit(batch_size=B, shuffle=False) with jit_compile, arrays in memory",
        EPS_HAT,
        environment={"KERAS_BACKEND": "jax"},
    ),
    "sklearn": Entry(
        "sklearn_mlp", "adam", "sklearn", "MLPRegressor(solver='adam').partial_fit, an epoch a call", SKLEARN
    ),
    "pyod": Entry(
        "pyod_autoencoder",
        "plain",
        "pyod",
        "PyOD's AutoEncoder on torch, its own loop over a DataLoader; no batch norm, no dropout",
        IDENTITY,
    ),
}


def of(family: str) -> list[str]:
    """Who can do nets of that family."""
    return [name for name, entry in CONTENDERS.items() if family in entry.families]
