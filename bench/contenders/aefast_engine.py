"""aefast: epochs in native code, or a Python call a step. Both pay for the gather."""

from __future__ import annotations

import itertools
import os
from typing import Any

import aefast
from aefast.regularizers import Corruption
from bench import nets


def arrays(trainer: aefast.Trainer) -> list[Any]:
    """[W, b, W, b, ...] in the layers' order."""
    params = trainer.parameters
    return [
        params[f"{layer.name}.{part}"] for layer in trainer.topology.layers for part in ("weight", "bias")
    ]


def topology_of(net: nets.Net | nets.ConvNet) -> aefast.Topology:
    if isinstance(net, nets.Net):
        return aefast.Topology.mlp(net.widths, latent_index=net.latent, **nets.KINDS[net.kind].topology)
    return aefast.Topology.conv(
        net.image,
        channels=net.channels,
        n_components=net.latent,
        kernel_size=net.window.kernel,
        stride=net.window.stride,
        padding="same" if net.window.padding is None else net.window.padding,
        activation="relu",
        latent_activation="identity",
        output_activation="sigmoid",
        layout="channels_last",
    )


class Contender:
    def __init__(
        self, net: nets.Net | nets.ConvNet, x: Any, option: str, backend: str, dtype: str = "float32"
    ) -> None:
        self.net, self.data, self.option = net, x, option
        self.backend, self.dtype = backend, dtype
        self.batches = [x[i : i + net.batch] for i in range(0, len(x), net.batch)]
        n = net.n_check_steps
        self.check_steps = n if option == "step" else n * (n + 1) // 2
        self.trainer = self.fresh()

    def fresh(self) -> aefast.Trainer:
        topology, settings = topology_of(self.net), dict(nets.KINDS[self.net.kind].trainer)
        if "corruption" in settings:
            settings["corruption"] = Corruption(*settings["corruption"])
        trainer = aefast.Trainer(
            topology,
            optimizer=aefast.optim.Adam(beta1=nets.BETA1, beta2=nets.BETA2, eps=nets.EPS),
            learning_rate=nets.LEARNING_RATE,
            batch_size=self.net.batch,
            backend=self.backend,
            dtype=self.dtype,
            n_threads=int(os.environ.get("AEFAST_NUM_THREADS", "1")),
            shuffle=False,
            **settings,
        )
        if (
            self.net.kind == nets.PLAIN
        ):  # the others start from the trainer's own weights, the same for a seed
            flat = [array for layer in nets.initial(self.net) for array in layer]
            names = [f"{layer.name}.{part}" for layer in topology.layers for part in ("weight", "bias")]
            trainer.load_parameters(dict(zip(names, flat, strict=True)))
        return trainer

    def versions(self) -> dict[str, str]:
        said = {"aefast": aefast.__version__, "aefast backend": self.trainer.backend_name}
        if self.trainer.backend_name == "cpu":
            from aefast import _cpu

            said["aefast instruction set"] = str(_cpu.isa())
        return said

    def check(self) -> tuple[list[float], list[tuple[Any, Any]]]:
        n, trainer = self.net.n_check_steps, self.fresh()
        if self.option == "step":
            losses = [trainer.step(batch) for batch in self.batches[:n]]
        else:
            # An epoch tells the mean of its losses; one epoch over each prefix tells them all.
            sums = [0.0]
            for k in range(1, n + 1):
                trainer = self.fresh()
                sums.append(k * trainer.fit(self.data[: k * self.net.batch], epochs=1).loss[0])
            losses = [after - before for before, after in itertools.pairwise(sums)]
        flat = arrays(trainer)
        return losses, list(zip(flat[::2], flat[1::2], strict=True))

    def run(self, n_epochs: int) -> None:
        if self.option == "epoch":
            self.trainer.fit(self.data, epochs=n_epochs)
            return
        for _ in range(n_epochs):
            for batch in self.batches:
                self.trainer.step(batch)
