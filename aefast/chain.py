"""What makes layers an autoencoder: each takes what the one before it gives, and the last gives what the first takes."""

from __future__ import annotations

import itertools
from typing import TYPE_CHECKING, Any

from aefast import checks
from aefast.layers import AnyLayer, Layer, Shape

if TYPE_CHECKING:
    from aefast.topology import Topology


def check_types(topology: Topology) -> None:
    """TypeError or ValueError where a field isn't of its type, or a layer no layer."""
    given: Any = topology.layers
    if not isinstance(given, (tuple, list)) or not all(isinstance(each, AnyLayer) for each in given):
        raise checks.wrong_type(
            "layers must be a tuple of aefast.topology.Layer (Topology.mlp makes them) or others of aefast.layers",
            given,
        )
    checks.integer(1)("n_encoder", topology.n_encoder)
    checks.boolean("variational", topology.variational)
    checks.integer(0)("channels_first", topology.channels_first)
    for layer in given:
        layer.check()


def check(topology: Topology) -> None:
    """ValueError where the layers don't chain, with both sizes."""
    layers, n_encoder = topology.layers, topology.n_encoder
    if not 1 <= n_encoder < len(layers):
        raise ValueError(
            f"n_encoder must leave at least one layer on both sides of {len(layers)}, but is {n_encoder}"
        )
    code = layers[n_encoder].n_in
    for i, (before, after) in enumerate(itertools.pairwise(layers), 1):
        width = 2 * code if i == n_encoder and topology.variational else after.n_in
        if before.n_out != width:
            raise ValueError(
                f"{before.name} puts out {_size(before.n_out, before.out_shape)}, but {after.name} needs "
                f"{_size(width, after.in_shape)}; widths must chain"
            )
        _check_shapes(before, after)
    first, last = layers[0], layers[-1]
    if last.n_out != first.n_in:
        raise ValueError(
            f"the output has {last.n_out} features, but the input has {first.n_in}; "
            "an autoencoder gives back what it gets"
        )
    _check_shapes(last, first)
    if last.weight_shape is None:
        raise ValueError(
            f"the last layer, {last.name}, has no weights; end with a dense layer or a convolution"
        )
    if topology.variational and layers[n_encoder - 1].out_shape is not None:
        raise ValueError(
            f"a variational code needs a dense layer before it, but {layers[n_encoder - 1].name} puts out a map "
            f"{layers[n_encoder - 1].out_shape}"
        )
    _check_ties(layers)
    _check_channels(topology)


def _check_ties(layers: tuple[AnyLayer, ...]) -> None:
    named = {layer.name: layer for layer in layers}
    if len(named) < len(layers):
        raise ValueError(f"every layer needs a name of its own, but they are {[x.name for x in layers]}")
    for layer in layers:
        if layer.tied_to is None:
            continue
        source = named.get(layer.tied_to)
        if source is None or source.tied_to is not None or source.weight_shape is None:
            raise ValueError(f"{layer.name} is tied to {layer.tied_to!r}, which stores no weight")
        if source.op != Layer.op:
            raise ValueError(
                f"{layer.name} is tied to {source.name}, a convolution; only dense layers can share a weight"
            )
        if (source.n_out, source.n_in) != (layer.n_in, layer.n_out):
            raise ValueError(
                f"{layer.name} is tied to {source.name}, whose weight isn't its transpose: "
                f"({source.n_out}, {source.n_in}) and ({layer.n_out}, {layer.n_in})"
            )


def _check_channels(topology: Topology) -> None:
    n, channels = topology.n_features, topology.channels_first
    if not channels:
        return
    for shape in (topology.layers[0].in_shape, topology.layers[-1].out_shape):
        if shape is not None and shape[2] != channels:
            raise ValueError(
                f"channels_first is {channels}, but images (height, width, channels) are {shape}; "
                f"give {shape[2]}, or 0 for rows that are (height, width, channels)"
            )
    if n % channels:
        raise ValueError(f"channels_first must divide the {n} features, but is {channels}")


def _check_shapes(before: AnyLayer, after: AnyLayer) -> None:
    """ValueError where a map goes to a convolution, of as many elements, of another image."""
    if before.out_shape is not None and after.in_shape not in (None, before.out_shape):
        raise ValueError(
            f"{before.name} puts out a map (height, width, channels) of {before.out_shape}, but {after.name} takes "
            f"{after.in_shape}; the sizes of neighbouring layers must agree"
        )


def _size(width: int, shape: Shape | None) -> str:
    return f"{width} values" if shape is None else f"{width} values, a map {shape}"
