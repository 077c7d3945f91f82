"""torch.compile: of the loss and its gradient, with the fused Adam beside it; or of the whole step as one graph.

The second is the faster one on small nets, where calls cost more than arithmetic, the first on large ones: torch's own
Adam kernel beats the generated one there. Compilation happens in the check, before the clock runs.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch

from bench import nets
from bench.contenders import torch_eager


class Contender(torch_eager.Contender):
    def __init__(self, net: nets.Net | nets.ConvNet, x: Any, option: str, backend: str) -> None:
        self.compiled: Callable[[torch.Tensor], torch.Tensor] | None = None
        super().__init__(net, x, "channels_last" if option == "channels_last" else "fused", backend)
        if option == "step":
            self._restart()
            self.compiled = torch.compile(self._whole_step, fullgraph=True)
        else:
            self.loss = torch.compile(self.loss, fullgraph=True)

    def _restart(self) -> None:
        """Parameters and moments into the tensors that the graph knows: others would compile it again."""
        values = [torch.from_numpy(array) for layer in nets.initial(self.net) for array in layer]
        if not hasattr(self, "params"):
            self.params = [value.clone() for value in values]
            self.first = [torch.zeros_like(p) for p in self.params]
            self.second = [torch.zeros_like(p) for p in self.params]
            self.t = torch.zeros(())
        for p, value in zip(self.params, values, strict=True):
            p.copy_(value)
        for moment in (*self.first, *self.second, self.t):
            moment.zero_()

    def _whole_step(self, batch: torch.Tensor) -> torch.Tensor:
        def loss_of(params: list[torch.Tensor]) -> torch.Tensor:
            h = batch
            for w, b in zip(params[:-2:2], params[1:-2:2], strict=True):
                h = torch.relu(torch.nn.functional.linear(h, w, b))
            r = torch.sigmoid(torch.nn.functional.linear(h, *params[-2:]))
            return torch.nn.functional.mse_loss(r, batch)

        grads, loss = torch.func.grad_and_value(loss_of)(self.params)
        self.t.add_(1)
        c1, c2 = 1 / (1 - nets.BETA1**self.t), 1 / (1 - nets.BETA2**self.t)
        for p, g, m, v in zip(self.params, grads, self.first, self.second, strict=True):
            m.mul_(nets.BETA1).add_((1 - nets.BETA1) * g)
            v.mul_(nets.BETA2).add_((1 - nets.BETA2) * g * g)
            p.sub_(nets.LEARNING_RATE * (m * c1) / (torch.sqrt(v * c2) + nets.EPS))
        return loss

    def _step(self, batch: torch.Tensor) -> torch.Tensor:
        return self.compiled(batch) if self.compiled else super()._step(batch)

    def check(self) -> tuple[list[float], list[tuple[Any, Any]]]:
        if self.compiled is None:
            return super().check()
        self._restart()
        losses = [self.compiled(self.batches[i]).item() for i in range(self.net.n_check_steps)]
        flat = [p.numpy().copy() for p in self.params]
        self._restart()
        return losses, list(zip(flat[::2], flat[1::2], strict=True))
