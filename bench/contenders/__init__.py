"""Who is compared: name -> module and what it is.

Each module has a class `Contender(net, option, backend)` (the last is aefast's backend) with

    versions() -> dict          what was measured
    check() -> (losses, params) `net.n_check_steps` steps from the start: losses, and [(W, b), ...] after
    run(n_epochs) -> None       n_epochs * net.n_batches steps, finished when it returns
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Entry:
    module: str
    option: str
    requires: str
    what: str


CONTENDERS: dict[str, Entry] = {
    "aefast-epoch": Entry(
        "bench.contenders.aefast_engine", "epoch", "aefast", "Trainer.fit: the epochs in native code"
    ),
    "aefast-step": Entry("bench.contenders.aefast_engine", "step", "aefast", "Trainer.step: a call a step"),
    "torch": Entry("bench.contenders.torch_eager", "default", "torch", "eager, torch.optim.Adam"),
    "torch-fused": Entry(
        "bench.contenders.torch_eager", "fused", "torch", "eager, torch.optim.Adam(fused=True)"
    ),
    "jax-step": Entry(
        "bench.contenders.jax_jit", "step", "jax", "jit, a call a step, dispatched asynchronously, donated"
    ),
    "jax-scan": Entry(
        "bench.contenders.jax_jit", "scan", "jax", "jit, lax.scan over the epoch's stacked batches, donated"
    ),
}
