"""aefast's convolution and its gradients: three calls of `aefast.ops`, into arrays that are there."""

from __future__ import annotations

import os
from typing import Any

import numpy as np

import aefast
from aefast import ops
from bench import nets


class Contender:
    def __init__(self, net: nets.Single, x: Any, option: str, backend: str) -> None:
        aefast.set_num_threads(int(os.environ.get("AEFAST_NUM_THREADS", "1")))
        self.net, self.backend, g = net, backend, net.product.geometry
        image = net.batch, g.height, g.width, g.channels
        mapped = net.batch, g.out_height, g.out_width, g.out_channels
        self.x, self.delta = x.reshape(image), net.delta().reshape(mapped)
        self.w, self.b = nets.initial(net)[0]
        self.options: dict[str, Any] = {
            "stride": net.window.stride,
            "padding": "same" if net.window.padding is None else net.window.padding,
            "backend": backend,
        }
        self.out, self.dx = np.empty(mapped, np.float32), np.empty(image, np.float32)
        self.gradients = np.empty_like(self.w), np.empty_like(self.b)

    def versions(self) -> dict[str, str]:
        said = {"aefast": aefast.__version__, "aefast backend": self.backend}
        if self.backend in ("auto", "cpu") and aefast.backends.available("cpu"):
            from aefast import _cpu

            said["aefast instruction set"] = str(_cpu.isa())
        return said

    def _step(self) -> None:
        g, window = self.net.product.geometry, self.net.window
        ops.conv2d_act(self.x, self.w, self.b, out=self.out, **self.options)
        ops.conv2d_dgrad(self.delta, self.w, (g.height, g.width), out=self.dx, **self.options)
        ops.conv2d_wgrad(self.delta, self.x, window.kernel, out=self.gradients, **self.options)

    def check(self) -> tuple[list[float], list[tuple[Any, Any]]]:
        self._step()
        sides = tuple(side.reshape(self.net.batch, -1).copy() for side in (self.out, self.dx))
        return [], [sides, tuple(array.copy() for array in self.gradients)]

    def run(self, n_epochs: int) -> None:
        for _ in range(n_epochs):
            self._step()
