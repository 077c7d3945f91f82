"""aefast's Trainer: epochs in native code, or a Python call a step. Both pay for the gather."""

from __future__ import annotations

import itertools
import os
from typing import Any

import aefast
from bench import nets


class Contender:
    def __init__(self, net: nets.Net, option: str, backend: str) -> None:
        self.net, self.option, self.backend = net, option, backend
        self.data = nets.data(net)
        self.batches = [self.data[i : i + net.batch] for i in range(0, len(self.data), net.batch)]
        self.trainer = self.fresh()

    def fresh(self) -> aefast.Trainer:
        topology = aefast.Topology.mlp(
            self.net.widths,
            latent_index=(len(self.net.widths) - 1) // 2,
            activation="relu",
            latent_activation="relu",
            output_activation="sigmoid",
        )
        trainer = aefast.Trainer(
            topology,
            loss="mse",
            reduction="mean",
            optimizer=aefast.optim.Adam(beta1=nets.BETA1, beta2=nets.BETA2, eps=nets.EPS),
            learning_rate=nets.LEARNING_RATE,
            batch_size=self.net.batch,
            backend=self.backend,
            n_threads=int(os.environ["AEFAST_NUM_THREADS"]),
            shuffle=False,
        )
        names = [layer.name for layer in topology.layers]
        layers = zip(names, nets.initial(self.net), strict=True)
        trainer.load_parameters(
            {f"{name}.{part}": pair[i] for name, pair in layers for i, part in enumerate(("weight", "bias"))}
        )
        return trainer

    def versions(self) -> dict[str, str]:
        said = {"aefast": aefast.__version__, "aefast backend": self.trainer.backend_name}
        if self.trainer.backend_name == "cpu":
            from aefast import _cpu

            if hasattr(_cpu, "isa"):
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
        params = trainer.parameters
        return losses, [
            (params[f"{layer.name}.weight"], params[f"{layer.name}.bias"])
            for layer in trainer.topology.layers
        ]

    def run(self, n_epochs: int) -> None:
        if self.option == "epoch":
            self.trainer.fit(self.data, epochs=n_epochs)
            return
        for _ in range(n_epochs):
            for batch in self.batches:
                self.trainer.step(batch)
