"""The bounds of sums over windows: the reference's products and sums of images for `Bounded` numbers.

Importing registers them.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from aefast.backends.numpy import conv, images
from aefast.geometry import Geometry
from aefast.testing.bounded import F64, Bounded, bilinear


def linear(f: Callable[[F64], F64], a: Bounded) -> Bounded:
    """Sums of some of a's numbers, each in any order: an error of (n - 1) u sum |x|."""
    n = f(np.ones(a.shape))
    rounding = n * a._roundoff * f(np.abs(a.value))
    return a._checked(f(a.value), f(a.error) + rounding)


@conv.convolved.register
def _(x: Bounded, w: Bounded, g: Geometry) -> Bounded:
    ones = conv.convolved(np.ones((1, g.image_size)), np.ones(w.shape), g)
    return bilinear(lambda a, b: conv.convolved(a, b, g), x, w, ones)


@conv.transposed.register
def _(x: Bounded, w: Bounded, g: Geometry) -> Bounded:
    ones = conv.transposed(np.ones((1, g.map_size)), np.ones(w.shape), g)
    return bilinear(lambda a, b: conv.transposed(a, b, g), x, w, ones)


@conv.weight_gradient.register
def _(map_: Bounded, image: Bounded, g: Geometry) -> Bounded:
    ones = len(map_) * conv.weight_gradient(np.ones((1, g.map_size)), np.ones((1, g.image_size)), g)
    return bilinear(lambda a, b: conv.weight_gradient(a, b, g), map_, image, ones)


@images.window_sums.register
def _(x: Bounded, g: Geometry) -> Bounded:
    return linear(lambda a: images.window_sums(a, g), x)


@images.pixel_sums.register
def _(x: Bounded, g: Geometry) -> Bounded:
    return linear(lambda a: images.pixel_sums(a, g), x)


@images.to_largest.register
def _(x: Bounded, image: Bounded, g: Geometry) -> Bounded:
    return linear(lambda a: images.to_largest(a, image.value, g), x)
