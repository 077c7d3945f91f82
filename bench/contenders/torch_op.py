"""torch's convolution and its gradients, eager."""

from __future__ import annotations

import os
from typing import Any

import torch

from bench import nets
from bench.contenders import torch_layers


class Contender:
    def __init__(self, net: nets.Single, x: Any, option: str, backend: str) -> None:
        torch.set_num_threads(int(os.environ.get("OMP_NUM_THREADS", "1")))
        self.net, g = net, net.product.geometry
        memory_format = torch.channels_last if option == "channels_last" else torch.contiguous_format
        self.x = torch_layers.images(x, (g.height, g.width, g.channels), memory_format).requires_grad_()
        delta_shape = (g.out_height, g.out_width, g.out_channels)
        self.delta = torch_layers.images(net.delta(), delta_shape, memory_format)
        self.conv: Any = torch_layers.module_of(net.product).to(memory_format=memory_format)
        torch_layers.put(self.conv, net.product, *nets.initial(net)[0])

    def versions(self) -> dict[str, str]:
        return {"torch": torch.__version__, "torch threads": str(torch.get_num_threads())}

    def _step(self) -> tuple[torch.Tensor, ...]:
        out = self.conv(self.x)
        return out, *torch.autograd.grad(out, (self.x, self.conv.weight, self.conv.bias), self.delta)

    def check(self) -> tuple[list[float], list[tuple[Any, Any]]]:
        out, dx, dw, db = self._step()
        weight = torch_layers.from_torch(self.net.product, dw.numpy())
        return [], [(torch_layers.rows(out), torch_layers.rows(dx)), (weight, db.numpy())]

    def run(self, n_epochs: int) -> None:
        for _ in range(n_epochs):
            self._step()
