"""Convolutional nets and single layers that are measured.

conv:CxHxW:N-N-...:kKsS[pP]:L/B   for each N a K x K convolution of stride S, a dense code of L units, the mirror
layer:CxHxW:N:kKsS[pP]/B          one convolution to N channels: output, input gradient, weight and bias gradient

Without P the padding is "same". Rows are channels last.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from aefast.geometry import Geometry
from bench import epochs
from bench.products import Convolution, Dense, Product

WINDOW = r"k([1-9]\d*)s([1-9]\d*)(?:p(\d+))?"
IMAGE = r"([1-9]\d*)x([1-9]\d*)x([1-9]\d*)"
NET = re.compile(rf"conv:{IMAGE}:([1-9]\d*(?:-[1-9]\d*)*):{WINDOW}:([1-9]\d*)/([1-9]\d*)")
LAYER = re.compile(rf"layer:{IMAGE}:([1-9]\d*):{WINDOW}/([1-9]\d*)")


@dataclass(frozen=True)
class Window:
    """Of a square convolution; padding None is "same"."""

    kernel: int
    stride: int
    padding: int | None = None

    @property
    def name(self) -> str:
        return f"k{self.kernel}s{self.stride}" + ("" if self.padding is None else f"p{self.padding}")

    def geometry(self, image: tuple[int, int, int], n: int) -> Geometry:
        """From an image (C, H, W) to n channels."""
        padding = "same" if self.padding is None else self.padding
        return Geometry.of(image, n, self.kernel, stride=self.stride, padding=padding)


@dataclass(frozen=True)
class ConvNet:
    """Convolutions with ReLU, a dense code without activation, a dense ReLU layer to the flat map, and transposed convolutions
    of the encoder's own geometries in reverse order, the last with a sigmoid."""

    image: tuple[int, int, int]
    channels: tuple[int, ...]
    window: Window
    latent: int
    batch: int
    kind: str = ""
    family: str = "conv"
    gain: float = 1.0

    @property
    def name(self) -> str:
        """What `parse` reads."""
        channels = "-".join(map(str, self.channels))
        return f"conv:{_shape(self.image)}:{channels}:{self.window.name}:{self.latent}/{self.batch}"

    @cached_property
    def products(self) -> tuple[Product, ...]:
        geometries, image = [], self.image
        for n in self.channels:
            geometries.append(self.window.geometry(image, n))
            image = n, geometries[-1].out_height, geometries[-1].out_width
        last = geometries[-1]
        reached = last.out_height, last.out_width, last.out_channels
        return (
            *(Convolution(g) for g in geometries),
            Dense(last.map_size, self.latent, reads=reached),
            Dense(self.latent, last.map_size, writes=reached),
            *(Convolution(g, transposed=True) for g in reversed(geometries)),
        )

    @property
    def rectified(self) -> tuple[bool, ...]:
        """Of each layer: a ReLU? The last one has the sigmoid."""
        code = len(self.channels)
        return tuple(i not in (code, 2 * code + 1) for i in range(2 * code + 2))

    @property
    def n_features(self) -> int:
        return int(np.prod(self.image))

    @property
    def flops(self) -> float:
        """Of the products of a step as direct convolutions: forward, weight gradients, and input gradients but for the first
        layer; taps on the padding are not counted."""
        each = [product.flops for product in self.products]
        return self.batch * (3 * sum(each) - each[0])

    @property
    def n_batches(self) -> int:
        return epochs.n_batches(self.batch, self.n_features, self.flops)

    @property
    def n_check_steps(self) -> int:
        """The fewest: rows are clear of kinks for the initial weights, and 13 steps of the smallest net met one."""
        return epochs.FEWEST_STEPS


@dataclass(frozen=True)
class Single:
    """One convolution with bias and without activation; a "step" is its output and the gradients by input, weight and bias."""

    image: tuple[int, int, int]
    channels: int
    window: Window
    batch: int
    kind: str = ""
    family: str = "layer"
    gain: float = 1.0
    n_batches: int = 1
    n_check_steps: int = 1
    rectified: tuple[bool, ...] = (False,)

    @property
    def name(self) -> str:
        return f"layer:{_shape(self.image)}:{self.channels}:{self.window.name}/{self.batch}"

    @cached_property
    def product(self) -> Convolution:
        return Convolution(self.window.geometry(self.image, self.channels))

    @property
    def products(self) -> tuple[Product, ...]:
        return (self.product,)

    @property
    def n_features(self) -> int:
        return self.product.geometry.image_size

    @property
    def flops(self) -> float:
        """Of the three products; taps on the padding are not counted."""
        return 3 * self.batch * self.product.flops

    def delta(self) -> NDArray[np.float32]:
        """(B, map) standard normal: the derivative by the output."""
        shape = self.batch, self.product.geometry.map_size
        return np.random.default_rng(3).standard_normal(shape, np.float32)


def parse(text: str) -> ConvNet | Single | None:
    """None for what is written otherwise, or has a window larger than its image."""
    try:
        if found := NET.fullmatch(text):
            c, h, w, channels, kernel, stride, padding, latent, batch = found.groups()
            net = ConvNet(
                (int(c), int(h), int(w)),
                tuple(map(int, channels.split("-"))),
                _window(kernel, stride, padding),
                int(latent),
                int(batch),
            )
            return net if net.products else None
        if found := LAYER.fullmatch(text):
            c, h, w, n, kernel, stride, padding, batch = found.groups()
            single = Single((int(c), int(h), int(w)), int(n), _window(kernel, stride, padding), int(batch))
            return single if single.product else None
    except ValueError:
        pass
    return None


def _window(kernel: str, stride: str, padding: str | None) -> Window:
    return Window(int(kernel), int(stride), None if padding is None else int(padding))


def _shape(image: tuple[int, int, int]) -> str:
    return "x".join(map(str, image))


NAMES = (
    "conv:1x28x28:32-64:k3s2:32/128",
    "conv:3x32x32:32-64-128:k3s2:64/256",
    "conv:3x64x64:64-128-256-512:k4s2p1:256/64",
    "layer:256x28x28:256:k3s1/64",
)
