"""JAX's convolution and its gradients, one compiled function."""

from __future__ import annotations

import functools
from typing import Any

import jax
import jax.numpy as jnp
import jaxlib
import numpy as np

from bench import nets
from bench.contenders import jax_layers


class Contender:
    def __init__(self, net: nets.Single, x: Any, option: str, backend: str) -> None:
        self.net, g = net, net.product.geometry
        w, b = nets.initial(net)[0]
        self.arguments = (
            jnp.asarray(x.reshape(net.batch, *jax_layers.shape_of(net))),
            jax_layers.to_jax(net.product, w),
            jnp.asarray(b),
        )
        self.delta = jnp.asarray(net.delta().reshape(net.batch, g.out_height, g.out_width, g.out_channels))
        forward = functools.partial(jax_layers.forward, net.product)

        def step(arguments: Any, delta: Any) -> Any:
            out, pull_back = jax.vjp(forward, *arguments)
            return out, *pull_back(delta)

        self.step = jax.jit(step)

    def versions(self) -> dict[str, str]:
        return {"jax": jax.__version__, "jaxlib": jaxlib.__version__}

    def check(self) -> tuple[list[float], list[tuple[Any, Any]]]:
        out, dx, dw, db = self.step(self.arguments, self.delta)
        sides = tuple(np.asarray(side).reshape(self.net.batch, -1) for side in (out, dx))
        return [], [sides, (jax_layers.from_jax(self.net.product, dw), np.asarray(db))]

    def run(self, n_epochs: int) -> None:
        for _ in range(n_epochs):
            jax.block_until_ready(self.step(self.arguments, self.delta))
