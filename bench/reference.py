"""What a contender must have computed: the first steps in float64, by the formula that it promises.

The layers' products are those of `bench.products`. Not every library writes the same formula, and each is held to its own:
`FORMULAS`. Nets of a kind that is aefast's alone are held to its own reference backend in float64, which its test suite
checks.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bench import nets

Array = NDArray[Any]
# A contender's losses must follow the reference's within this part of what the loss changed on the way, its
# parameters within this part of the way that they went. On rows clear of kinks (`bench.data`) float32 peers were seen at up to
# 2e-5 and 6e-4 (Keras, whose powers of beta are float32 ones); a forgotten bias correction or bias gradient is beyond 0.1.
LOSS_TOLERANCE, WAY_TOLERANCE = 1e-4, 0.005


@dataclass(frozen=True)
class Formula:
    """Deviations from `bench.nets`: output activation, what loss is told, factor of its gradient, where Adam adds eps.

    `eps_hat` is the order of computation that Kingma & Ba name the more efficient one, sqrt(v) + eps before the bias
    corrections: it costs the same and differs where gradients are small.
    """

    what: str
    sigmoid: bool = True
    loss_factor: float = 1.0
    summed: bool = False  # the gradient is that of the sum over the features
    eps_hat: bool = False


FORMULAS: dict[str, Formula] = {
    f.what: f
    for f in (
        Formula(""),
        Formula("Adam's eps before its bias correction", eps_hat=True),
        Formula("output identity", sigmoid=False),
        Formula(
            "output identity, half the squared error, its gradient summed over the features, Adam's eps before its bias "
            "correction",
            sigmoid=False,
            loss_factor=0.5,
            summed=True,
            eps_hat=True,
        ),
    )
}
USUAL, EPS_HAT, IDENTITY, SKLEARN = FORMULAS.values()


@dataclass(frozen=True)
class Truth:
    """Losses of the first `n_check_steps` steps, and [W, b, W, b, ...] before and after them.

    Of a single layer: no losses, and [output, input gradient, weight gradient, bias gradient] after zeros.
    """

    losses: list[float]
    start: list[Array]
    end: list[Array]

    def errors(self, losses: list[float], end: list[Array]) -> tuple[float, float]:
        """(largest loss error / largest loss change, worst array's error / its way); infinite for other shapes."""
        if len(losses) != len(self.losses) or [a.shape for a in end] != [a.shape for a in self.end]:
            return float("inf"), float("inf")
        change = max((abs(loss - self.losses[0]) for loss in self.losses), default=1.0)
        loss_error = max((abs(a - b) for a, b in zip(self.losses, losses, strict=True)), default=0.0) / change
        way_error = max(
            float(np.linalg.norm(b - a) / np.linalg.norm(a - s))
            for s, a, b in zip(self.start, self.end, end, strict=True)
            if np.any(a != s) or np.any(b != s)
        )
        return loss_error, way_error


def passes(errors: tuple[float, float], part: float = 1.0) -> bool:
    """Within that part of both tolerances; NaN isn't."""
    return bool(errors[0] <= part * LOSS_TOLERANCE and errors[1] <= part * WAY_TOLERANCE)


def truth(
    net: nets.AnyNet, x: NDArray[np.float32], formula: Formula = USUAL, dtype: Any = np.float64
) -> Truth:
    """The steps on the batches of x (n_batches * B, w0), computed in `dtype`."""
    if isinstance(net, nets.Single):
        return _of_a_layer(net, x, dtype)
    if net.kind != nets.PLAIN:
        return _by_own_reference(net, x, dtype)
    run = Run(net, dtype, formula)
    batches = [x[i * net.batch : (i + 1) * net.batch] for i in range(net.n_check_steps)]
    losses = [run.step(batch) for batch in batches]
    return Truth(losses, run.start, run.params)


class Run:
    """Steps from the initial weights, computed in `dtype`; `params` are [w, b, w, b, ...]."""

    def __init__(self, net: nets.Net | nets.ConvNet, dtype: Any, formula: Formula = USUAL) -> None:
        self.net, self.dtype, self.formula, self.t = net, dtype, formula, 0
        self.start = [array for layer in nets.initial(net) for array in layer]
        self.params = [array.astype(dtype) for array in self.start]
        self.first, self.second = ([np.zeros_like(p) for p in self.params] for _ in range(2))

    def step(self, batch: NDArray[np.float32]) -> float:
        """The loss before the step."""
        dtype, first, second = self.dtype, self.first, self.second
        loss, grads = _loss_and_gradients(self.net, self.params, batch.astype(dtype), self.formula)
        self.t += 1
        c1, c2 = 1 - nets.BETA1**self.t, 1 - nets.BETA2**self.t
        for i, g in enumerate(grads):
            first[i] += dtype(1 - nets.BETA1) * (g - first[i])
            second[i] += dtype(1 - nets.BETA2) * (g * g - second[i])
            root = (
                (np.sqrt(second[i]) + dtype(nets.EPS)) / dtype(c2**0.5)
                if self.formula.eps_hat
                else np.sqrt(second[i] / dtype(c2)) + dtype(nets.EPS)
            )
            self.params[i] -= dtype(nets.LEARNING_RATE) * first[i] / dtype(c1) / root
        return loss


def float32_alone(net: nets.AnyNet, x: NDArray[np.float32], true: Truth) -> tuple[float, float]:
    """What float32 makes of the same code: where that isn't far inside of the tolerances, a check says nothing."""
    alone = truth(net, x, dtype=np.float32)
    return true.errors(alone.losses, alone.end)


def _loss_and_gradients(
    net: nets.Net | nets.ConvNet, params: list[Array], x: Array, formula: Formula
) -> tuple[float, list[Array]]:
    activations, products, rectified = [x], net.products, net.rectified
    for i, product in enumerate(products):
        z = product.forward(activations[-1], params[2 * i], params[2 * i + 1])
        if rectified[i]:
            z = np.maximum(z, 0)
        elif i == len(products) - 1 and formula.sigmoid:
            z = 1 / (1 + np.exp(-z))
        activations.append(z)
    r = activations[-1]
    delta = (r - x) / x.dtype.type(len(x) if formula.summed else x.size / 2)
    if formula.sigmoid:
        delta *= r * (1 - r)
    grads: list[Array] = []
    for i, product in reversed(list(enumerate(products))):
        grads = [product.weight_gradient(delta, activations[i]), product.bias_gradient(delta), *grads]
        if i:
            delta = product.input_gradient(delta, params[2 * i])
            if rectified[i - 1]:
                delta = delta * (activations[i] > 0)
    return formula.loss_factor * float(np.mean((r - x) ** 2, dtype=np.float64)), grads


def _of_a_layer(net: nets.Single, x: NDArray[np.float32], dtype: Any) -> Truth:
    w, b = (array.astype(dtype) for array in nets.initial(net)[0])
    rows, delta, product = x[: net.batch].astype(dtype), net.delta().astype(dtype), net.product
    end = [
        product.forward(rows, w, b),
        product.input_gradient(delta, w),
        product.weight_gradient(delta, rows),
        product.bias_gradient(delta),
    ]
    return Truth([], [np.zeros_like(array) for array in end], end)


def _by_own_reference(net: nets.Net, x: NDArray[np.float32], dtype: Any) -> Truth:
    from bench.contenders.aefast_engine import Contender, arrays

    backend, name = ("numpy", "float64") if dtype is np.float64 else ("numpy", "float32")
    contender = Contender(net, x, "epoch", backend, dtype=name)
    start = arrays(contender.trainer)
    losses, pairs = contender.check()
    return Truth(losses, start, [array for pair in pairs for array in pair])


def told(formula: Formula) -> str:
    """How the formula deviates, for the tables; "" for the usual one."""
    return f"not the same computation: {formula.what}" if not formula.sigmoid else formula.what
