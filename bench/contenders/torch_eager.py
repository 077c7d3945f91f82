"""torch, eager: the loop that people write. Batches are cut beforehand, so it pays for no gather."""

from __future__ import annotations

import os
from typing import Any

import torch

from bench import nets


class Contender:
    def __init__(self, net: nets.Net, x: Any, option: str, backend: str) -> None:
        torch.set_num_threads(int(os.environ.get("OMP_NUM_THREADS", "1")))
        self.net, self.option = net, option
        self.batches = list(torch.from_numpy(x).split(net.batch))
        self.model = self.model_of()
        self.reset()

    def model_of(self) -> torch.nn.Sequential:
        modules: list[torch.nn.Module] = []
        for m, n in self.net.layers:
            modules += [torch.nn.Linear(m, n), torch.nn.ReLU()]
        modules[-1] = torch.nn.Sigmoid()
        return torch.nn.Sequential(*modules)

    def reset(self) -> None:
        """Initial weights into the same tensors, and a new optimizer."""
        linear = [module for module in self.model if isinstance(module, torch.nn.Linear)]
        for layer, (w, b) in zip(linear, nets.initial(self.net), strict=True):
            with torch.no_grad():
                layer.weight.copy_(torch.from_numpy(w))
                layer.bias.copy_(torch.from_numpy(b))
        self.optimizer = torch.optim.Adam(
            self.model.parameters(),
            lr=nets.LEARNING_RATE,
            betas=(nets.BETA1, nets.BETA2),
            eps=nets.EPS,
            fused=True if self.option == "fused" else None,
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
        layers = [m for m in self.model if isinstance(m, torch.nn.Linear)]
        params = [(m.weight.detach().numpy().copy(), m.bias.detach().numpy().copy()) for m in layers]
        self.reset()
        return losses, params

    def run(self, n_epochs: int) -> None:
        for _ in range(n_epochs):
            for batch in self.batches:
                self._step(batch)
