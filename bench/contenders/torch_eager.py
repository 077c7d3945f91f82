"""torch, eager: the loop that people write. Batches are cut beforehand, so it pays for no gather."""

from __future__ import annotations

import os
from typing import Any

import torch

from bench import nets
from bench.contenders import torch_layers


class Contender:
    def __init__(self, net: nets.Net | nets.ConvNet, x: Any, option: str, backend: str) -> None:
        torch.set_num_threads(int(os.environ.get("OMP_NUM_THREADS", "1")))
        self.net, self.option = net, option
        memory_format = torch.channels_last if option == "channels_last" else torch.contiguous_format
        self.batches = torch_layers.batches(x, net, memory_format)
        self.model = torch_layers.model_of(net, memory_format)
        self.layers: list[Any] = torch_layers.linear(self.model)
        self.reset()

    def reset(self) -> None:
        """Initial weights into the same tensors, and a new optimizer."""
        for layer, product, (w, b) in zip(
            self.layers, self.net.products, nets.initial(self.net), strict=True
        ):
            torch_layers.put(layer, product, w, b)
        self.optimizer = torch.optim.Adam(
            self.model.parameters(),
            lr=nets.LEARNING_RATE,
            betas=(nets.BETA1, nets.BETA2),
            eps=nets.EPS,
            fused=None if self.option == "default" else True,
        )

    def versions(self) -> dict[str, str]:
        return {"torch": torch.__version__, "torch threads": str(torch.get_num_threads())}

    def loss(self, batch: torch.Tensor) -> torch.Tensor:
        return torch.nn.functional.mse_loss(self.model(batch), batch)

    def _step(self, batch: torch.Tensor) -> torch.Tensor:
        self.optimizer.zero_grad(set_to_none=True)
        loss = self.loss(batch)
        loss.backward()
        self.optimizer.step()
        return loss

    def check(self) -> tuple[list[float], list[tuple[Any, Any]]]:
        losses = [self._step(self.batches[i]).item() for i in range(self.net.n_check_steps)]
        pairs = zip(self.layers, self.net.products, strict=True)
        params = [torch_layers.take(layer, product) for layer, product in pairs]
        self.reset()
        return losses, params

    def run(self, n_epochs: int) -> None:
        for _ in range(n_epochs):
            for batch in self.batches:
                self._step(batch)
