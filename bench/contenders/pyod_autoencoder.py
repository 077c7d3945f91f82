"""PyOD's AutoEncoder with its extras off: batch norm, dropout, weight decay, standardisation, shuffle.

Its own `train` runs over its own data set class, a Python call a row. Its output is the identity.
"""

from __future__ import annotations

import os
from typing import Any

import pyod
import torch
from pyod.models.auto_encoder import AutoEncoder
from pyod.utils.torch_utility import TorchDataset

from bench import nets


class Contender:
    def __init__(self, net: nets.Net, x: Any, option: str, backend: str) -> None:
        torch.set_num_threads(int(os.environ.get("OMP_NUM_THREADS", "1")))
        if net.widths != net.widths[::-1]:
            raise ValueError("PyOD's decoder mirrors the encoder; these widths aren't symmetric")
        self.net = net
        self.batches = list(torch.from_numpy(x).split(net.batch))
        self.model = AutoEncoder(
            preprocessing=False,
            lr=nets.LEARNING_RATE,
            batch_size=net.batch,
            device="cpu",
            verbose=0,
            optimizer_params={
                "weight_decay": 0.0
            },  # betas and eps can't be given; torch's defaults are the same
            hidden_neuron_list=list(net.widths[1 : len(net.widths) // 2 + 1]),
            batch_norm=False,
            dropout_rate=0,
        )
        self.model.feature_size = net.widths[0]
        self.loader = torch.utils.data.DataLoader(TorchDataset(x), batch_size=net.batch, drop_last=True)
        self.reset()

    def reset(self) -> None:
        self.model.build_model()
        for layer, (w, b) in zip(self._linear(), nets.initial(self.net), strict=True):
            with torch.no_grad():
                layer.weight.copy_(torch.from_numpy(w))
                layer.bias.copy_(torch.from_numpy(b))
        self.model.training_prepare()

    def _linear(self) -> list[torch.nn.Linear]:
        return [m for m in self.model.model.modules() if isinstance(m, torch.nn.Linear)]

    def versions(self) -> dict[str, str]:
        return {"pyod": pyod.__version__, "torch": torch.__version__}

    def check(self) -> tuple[list[float], list[tuple[Any, Any]]]:
        batches = self.batches[: self.net.n_check_steps]
        losses = [self.model.training_forward(batch) for batch in batches]
        params = [(m.weight.detach().numpy().copy(), m.bias.detach().numpy().copy()) for m in self._linear()]
        self.reset()
        return losses, params

    def run(self, n_epochs: int) -> None:
        self.model.epoch_num = n_epochs
        self.model.train(self.loader)
