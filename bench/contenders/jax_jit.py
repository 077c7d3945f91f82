"""JAX on the CPU: one compiled step a call, or one `lax.scan` over the epoch. Adam is written out."""

from __future__ import annotations

import functools
from collections.abc import Sequence
from typing import Any

import jax
import jax.numpy as jnp
import jaxlib
import numpy as np

from bench import nets
from bench.contenders import jax_layers
from bench.products import Product


def _forward(products: Sequence[Product], rectified: Sequence[bool], params: Any, x: Any) -> Any:
    h = x
    for product, relu, (w, b) in zip(products, rectified, params, strict=True):
        h = jax_layers.forward(product, h, w, b)
        if relu:
            h = jax.nn.relu(h)
    return jax.nn.sigmoid(h)


def _step(net: nets.Net | nets.ConvNet, state: Any, x: Any) -> tuple[Any, Any]:
    def loss_of(params: Any) -> Any:
        return jnp.mean((_forward(net.products, net.rectified, params, x) - x) ** 2)

    params, first, second, t = state
    loss, grads = jax.value_and_grad(loss_of)(params)
    t = t + 1
    first = jax.tree.map(lambda m, g: nets.BETA1 * m + (1 - nets.BETA1) * g, first, grads)
    second = jax.tree.map(lambda v, g: nets.BETA2 * v + (1 - nets.BETA2) * g * g, second, grads)
    c1, c2 = 1 / (1 - nets.BETA1**t), 1 / (1 - nets.BETA2**t)
    params = jax.tree.map(
        lambda p, m, v: p - nets.LEARNING_RATE * (m * c1) / (jnp.sqrt(v * c2) + nets.EPS),
        params,
        first,
        second,
    )
    return (params, first, second, t), loss


class Contender:
    def __init__(self, net: nets.Net | nets.ConvNet, x: Any, option: str, backend: str) -> None:
        self.net, self.option = net, option
        x = x.reshape(net.n_batches, net.batch, *jax_layers.shape_of(net))
        # Batches on the device before the clock runs, one array each for the step, one stacked array for the
        # scan.
        self.batches = jnp.asarray(x) if option == "scan" else [jnp.asarray(batch) for batch in x]
        step = functools.partial(_step, net)
        self.step = jax.jit(step, donate_argnums=0)
        self.epoch = jax.jit(lambda state, xs: jax.lax.scan(step, state, xs), donate_argnums=0)
        self.reset()

    def reset(self) -> None:
        pairs = zip(self.net.products, nets.initial(self.net), strict=True)
        params = [(jax_layers.to_jax(product, w), jnp.asarray(b)) for product, (w, b) in pairs]
        zeros = jax.tree.map(jnp.zeros_like, params)
        self.state = (params, zeros, jax.tree.map(jnp.zeros_like, params), jnp.float32(0))

    def versions(self) -> dict[str, str]:
        return {"jax": jax.__version__, "jaxlib": jaxlib.__version__}

    def check(self) -> tuple[list[float], list[tuple[Any, Any]]]:
        n = self.net.n_check_steps
        if self.option == "scan":
            self.state, losses = self.epoch(self.state, self.batches[:n])
        else:
            losses = []
            for batch in self.batches[:n]:
                self.state, loss = self.step(self.state, batch)
                losses.append(loss)
        pairs = zip(self.net.products, self.state[0], strict=True)
        params = [(jax_layers.from_jax(product, w), np.array(b)) for product, (w, b) in pairs]
        result = [float(loss) for loss in losses], params
        self.reset()
        return result

    def run(self, n_epochs: int) -> None:
        for _ in range(n_epochs):
            if self.option == "scan":
                self.state, _ = self.epoch(self.state, self.batches)
            else:
                for batch in self.batches:
                    self.state, _ = self.step(self.state, batch)
        jax.block_until_ready(self.state)
