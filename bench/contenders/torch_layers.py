"""A net as torch modules, and its weights in torch's orders.

torch pads a convolution on all sides alike; "same" padding of an even image at stride 2 has its odd pixel below and right.
So torch gets everything mirrored, images and kernels: then the odd pixel is above and left, and Conv2d(padding=1) and
ConvTranspose2d(padding=1, output_padding=1) compute the same numbers without a copy to pad or to crop. Images become
(C, H, W) and are mirrored before the clock runs.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import torch

from bench import nets
from bench.products import Convolution, Dense, Product, Shape


def images(x: Any, shape: Shape, memory_format: torch.memory_format) -> torch.Tensor:
    """Rows (n, H W C) as mirrored (n, C, H, W)."""
    mirrored = np.ascontiguousarray(x.reshape(-1, *shape)[:, ::-1, ::-1])
    return torch.from_numpy(mirrored).permute(0, 3, 1, 2).contiguous(memory_format=memory_format)


def rows(image: torch.Tensor) -> Any:
    """The inverse of `images`, (n, H W C)."""
    return image.detach().permute(0, 2, 3, 1).numpy()[:, ::-1, ::-1].reshape(len(image), -1)


def batches(x: Any, net: nets.AnyNet, memory_format: torch.memory_format) -> list[torch.Tensor]:
    first = net.products[0]
    if isinstance(first, Dense):
        return list(torch.from_numpy(x).split(net.batch))
    g = first.geometry
    parts = [x[i : i + net.batch] for i in range(0, len(x), net.batch)]
    return [images(part, (g.height, g.width, g.channels), memory_format) for part in parts]


def model_of(net: nets.AnyNet, memory_format: torch.memory_format) -> torch.nn.Sequential:
    """The layers in order, with their activations and the changes of shape between maps and vectors."""
    modules: list[torch.nn.Module] = []
    for product, rectified in zip(net.products, net.rectified, strict=True):
        if isinstance(product, Dense) and product.reads:
            modules.append(torch.nn.Flatten())
        modules.append(module_of(product))
        modules += [torch.nn.ReLU()] * rectified
        if isinstance(product, Dense) and product.writes:
            h, w, c = product.writes
            modules.append(torch.nn.Unflatten(1, (c, h, w)))
    return torch.nn.Sequential(*modules, torch.nn.Sigmoid()).to(memory_format=memory_format)


def module_of(product: Product) -> torch.nn.Module:
    if isinstance(product, Dense):
        return torch.nn.Linear(product.m, product.n)
    g = product.geometry
    padding = symmetric_padding(product)
    kernel, stride = (g.kernel_height, g.kernel_width), (g.stride_y, g.stride_x)
    if not product.transposed:
        return torch.nn.Conv2d(g.channels, g.out_channels, kernel, stride, padding)
    reached = [
        (out - 1) * s - 2 * p + k
        for out, s, p, k in zip((g.out_height, g.out_width), stride, padding, kernel, strict=True)
    ]
    more = (g.height - reached[0], g.width - reached[1])
    return torch.nn.ConvTranspose2d(g.out_channels, g.channels, kernel, stride, padding, more)


def symmetric_padding(product: Convolution) -> tuple[int, int]:
    """Of the mirrored image; ValueError where torch would see one window too many."""
    g = product.geometry
    sides = []
    for size, out, k, s, before in (
        (g.height, g.out_height, g.kernel_height, g.stride_y, g.pad_top),
        (g.width, g.out_width, g.kernel_width, g.stride_x, g.pad_left),
    ):
        after = max((out - 1) * s + k - before - size, 0)
        if (size + 2 * after - k) // s + 1 != out or (out - 1) * s + k - before < size:
            raise ValueError(f"{size} pixels padded by {before} and {after} have no mirror image in torch")
        sides.append(after)
    return sides[0], sides[1]


def put(module: Any, product: Product, w: Any, b: Any) -> None:
    """The net's weights into a module."""
    with torch.no_grad():
        module.weight.copy_(torch.from_numpy(_to_torch(product, w)))
        module.bias.copy_(torch.from_numpy(_bias(product, b, inverse=False)))


def take(module: Any, product: Product) -> tuple[Any, Any]:
    """The net's weights out of a module."""
    w, b = module.weight.detach().numpy(), module.bias.detach().numpy()
    return from_torch(product, w), _bias(product, b, inverse=True)


def linear(model: torch.nn.Sequential) -> list[torch.nn.Module]:
    """The modules with weights, in the layers' order."""
    return [module for module in model if list(module.parameters(recurse=False))]


def _to_torch(product: Product, w: Any) -> Any:
    if isinstance(product, Convolution):
        return np.ascontiguousarray(w[:, ::-1, ::-1].transpose(0, 3, 1, 2))
    if product.reads:
        w = _mirrored(w.T, product.reads, inverse=False).T
    return np.ascontiguousarray(_mirrored(w, product.writes, inverse=False) if product.writes else w)


def from_torch(product: Product, w: Any) -> Any:
    """A weight or its gradient."""
    if isinstance(product, Convolution):
        return w.transpose(0, 2, 3, 1)[:, ::-1, ::-1].copy()
    if product.reads:
        w = _mirrored(w.T, product.reads, inverse=True).T
    return (_mirrored(w, product.writes, inverse=True) if product.writes else w).copy()


def _bias(product: Product, b: Any, inverse: bool) -> Any:
    if isinstance(product, Dense) and product.writes:
        b = _mirrored(b, product.writes, inverse)
    return b.copy()


def _mirrored(a: Any, shape: Shape, inverse: bool) -> Any:
    """The first axis, a map (H, W, C), as a mirrored (C, H, W), or back."""
    h, w, c = shape
    if inverse:
        return a.reshape(c, h, w, -1).transpose(1, 2, 0, 3)[::-1, ::-1].reshape(a.shape)
    return a.reshape(h, w, c, -1)[::-1, ::-1].transpose(2, 0, 1, 3).reshape(a.shape)
