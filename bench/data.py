"""The rows that the nets learn from.

The rows that are checked are clear of the ReLU's kink: no hidden pre-activation z is so close to 0 that float32 may see its
other side; others are replaced. A unit on the other side of its kink for a single row is a wrong step where that row is the
only one that it is alive for: Adam's first steps have the same length for any gradient.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bench import nets, reference

# Rows that are looked at together for kinks: two float64 matrices of them and the widest layer fit into memory.
ROWS_AT_ONCE = 1024
ROUNDING = 2.0**-24
# Of convolutional nets, in which the rounding of earlier layers arrives as well.
MARGIN = 2.0


def data(net: nets.AnyNet) -> NDArray[np.float32]:
    """(n_batches * B, d) float32 in (0, 1) of rank 8, so that the nets have something to learn."""
    rows = _rows(net)
    x = next(rows)
    if isinstance(net, nets.Net) and net.kind == nets.PLAIN:
        layers, checked = nets.initial(net), net.n_check_steps * net.batch
        for start in range(0, checked, ROWS_AT_ONCE):
            part = x[start : min(start + ROWS_AT_ONCE, checked)]
            _replace(part, rows, lambda some: clear_of_kinks(layers, some))
    elif isinstance(net, nets.ConvNet):
        run = reference.Run(net, np.float64)
        for i in range(net.n_check_steps):
            part = x[i * net.batch : (i + 1) * net.batch]
            _replace(part, rows, lambda some: clear_on_the_way(net, run.params, some))
            if i < net.n_check_steps - 1:
                run.step(part)
    return x


def _replace(
    part: NDArray[np.float32],
    rows: Iterator[NDArray[np.float32]],
    clear: Callable[[NDArray[np.float32]], NDArray[np.bool_]],
) -> None:
    """Rows that aren't clear by others that are, in place."""
    bad = np.flatnonzero(~clear(part))
    while len(bad):
        part[bad] = next(rows)[: len(bad)]
        bad = bad[~clear(part[bad])]


def clear_of_kinks(layers: nets.Layers, x: NDArray[Any]) -> NDArray[np.bool_]:
    """(n,): no hidden pre-activation z of the row is so close to 0 that float32 may see its other side.

    A float32 sum of M products errs by about sqrt(M) u (|x| |w| + |b|) at most, u = 2^-24 (Higham & Mary 2019).
    """
    h, clear = x.astype(np.float64), np.ones(len(x), bool)
    for w, b in [(w.astype(np.float64), b.astype(np.float64)) for w, b in layers[:-1]]:
        z = h @ w.T + b
        error = np.sqrt(w.shape[1]) * ROUNDING * (h @ np.abs(w).T + np.abs(b))
        clear &= np.all(np.abs(z) > error, axis=1)
        h = np.maximum(z, 0.0)
    return clear


def clear_on_the_way(net: nets.ConvNet, params: list[Any], x: NDArray[Any]) -> NDArray[np.bool_]:
    """(n,): the same for a convolutional net with any weights [w, b, w, b, ...].

    Its 10^5 units a row would hardly ever all be clear of the bound above: here the rounding is a random walk over the
    partial sums, sqrt(M) u sqrt(x^2 w^2 + b^2), taken `MARGIN` times. Its first steps go farther, so that each batch is
    looked at with the weights that it will meet.
    """
    h, clear = x.astype(np.float64), np.ones(len(x), bool)
    last = max(i for i, rectified in enumerate(net.rectified) if rectified)
    for i, product in enumerate(net.products[: last + 1]):
        w, b = params[2 * i], params[2 * i + 1]
        z = product.forward(h, w, b)
        if net.rectified[i]:
            walk = np.sqrt(product.forward(h * h, w * w, b * b))
            clear &= np.all(np.abs(z) > MARGIN * np.sqrt(product.fan_in) * ROUNDING * walk, axis=1)
            z = np.maximum(z, 0.0)
        h = z
    return clear


def _rows(net: nets.AnyNet) -> Iterator[NDArray[np.float32]]:
    """The data's rows first, then batches of others of the same distribution."""
    rng = np.random.default_rng(1)
    n, d = net.n_batches * net.batch, net.n_features
    factors = rng.standard_normal((n, 8), np.float32)
    basis = rng.standard_normal((8, d), np.float32)
    while True:
        yield (1.0 / (1.0 + np.exp(-(factors @ basis)))).astype(np.float32)
        factors = rng.standard_normal((ROWS_AT_ONCE, 8), np.float32)
