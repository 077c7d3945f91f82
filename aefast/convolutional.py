"""The layers of convolutional autoencoders: an encoder of convolutions, and a decoder that gives back the very size."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from aefast import activations, checks
from aefast.geometry import AXES, Geometry, Padding, Pair
from aefast.layers import POOLS, AnyLayer, Conv2d, ConvTranspose2d, Layer, Pool2d, Upsample2d, widths

DECODERS = ("transpose", "resize")
NAMELESS = ""  # until it is known which number a layer has
LAYOUTS = ("channels_first", "channels_last")


@dataclass
class Choices:
    """The arguments of `Topology.conv`, where they are described."""

    channels: Sequence[int]
    n_components: int | None
    kernel_size: Pair
    stride: Pair
    padding: Padding
    dilation: Pair
    groups: int
    hidden_layer_sizes: Sequence[int]
    decoder: str
    pooling: str | None
    activation: str
    latent_activation: str
    output_activation: str
    variational: bool

    def __post_init__(self) -> None:
        self.channels = widths("channels must be a sequence of integers such as (32, 64)", self.channels)
        self.hidden_layer_sizes = widths(
            "hidden_layer_sizes must be a sequence of integers such as (128,), or ()", self.hidden_layer_sizes
        )
        checks.integer(1, None)("n_components", self.n_components)
        checks.integer(1)("groups", self.groups)
        checks.boolean("variational", self.variational)
        checks.choice(DECODERS)("decoder", self.decoder)
        checks.choice(POOLS, none=True)("pooling", self.pooling)
        for name in (self.activation, self.latent_activation, self.output_activation):
            activations.get(name)
        if not self.channels:
            raise ValueError(
                "channels must hold a number for each convolution, but is empty; Topology.mlp is without any"
            )
        if self.n_components is None and self.hidden_layer_sizes:
            raise ValueError(
                "n_components=None makes the last map the code, so there can be no dense layers before it: "
                f"hidden_layer_sizes must be (), but is {tuple(self.hidden_layer_sizes)}"
            )
        if self.variational and self.n_components is None:
            raise ValueError("a variational code needs a dense layer before it: give n_components, its width")
        if self.variational and self.latent_activation != "identity":
            raise ValueError(
                "a variational code's mean is unbounded: latent_activation must be 'identity', not "
                f"{self.latent_activation!r}"
            )
        if self.groups > 1 and len(self.channels) == 1:
            raise ValueError(
                f"groups ({self.groups}) is for convolutions between maps, but there is only the one at the image"
            )


def layers_of(image_shape: Sequence[int], choices: Choices) -> tuple[list[AnyLayer], int]:
    """The layers, and how many of them are the encoder."""
    geometries = _strided(image_shape, choices)
    encoder, decoder = _encoder(geometries, choices), _decoder(geometries, choices)
    layers = [replace(layer, name=f"encoder.{i}") for i, layer in enumerate(encoder)]
    layers += [replace(layer, name=f"decoder.{i}") for i, layer in enumerate(decoder)]
    return layers, len(encoder)


def _strided(image_shape: Sequence[int], c: Choices) -> list[Geometry]:
    """Each convolution as if it did its stride itself."""
    made: list[Geometry] = []
    shape = image_shape
    for n in c.channels:
        made.append(
            Geometry.of(
                shape,
                n,
                c.kernel_size,
                stride=c.stride,
                padding=c.padding,
                dilation=c.dilation,
                groups=c.groups if made else 1,
            )
        )
        shape = n, made[-1].out_height, made[-1].out_width
    if c.pooling is not None and (made[0].stride_y, made[0].stride_x) == (1, 1):
        raise ValueError("pooling takes windows of `stride` pixels: stride must be above 1 then")
    return made


def _encoder(geometries: list[Geometry], c: Choices) -> list[AnyLayer]:
    """Without their names."""
    made: list[AnyLayer] = []
    for i, g in enumerate(geometries):
        is_code = c.n_components is None and i == len(geometries) - 1
        act = c.latent_activation if is_code else c.activation
        if c.pooling is None:
            made.append(Conv2d(NAMELESS, g, act))
            continue
        shape = g.channels, g.height, g.width
        dense = Geometry.of(
            shape, g.out_channels, c.kernel_size, padding=c.padding, dilation=c.dilation, groups=g.groups
        )
        pool = Geometry.of(
            (dense.out_channels, dense.out_height, dense.out_width),
            dense.out_channels,
            c.stride,
            stride=c.stride,
            padding="same",  # so that its map has the strided convolution's size: ceil
            groups=dense.out_channels,
        )
        made += [Conv2d(NAMELESS, dense, act), Pool2d(NAMELESS, pool, c.pooling)]
    if c.n_components is not None:
        n_in = geometries[-1].map_size
        for n in c.hidden_layer_sizes:
            made.append(Layer(NAMELESS, n_in, n, c.activation))
            n_in = n
        n_out = c.n_components * (2 if c.variational else 1)
        made.append(Layer(NAMELESS, n_in, n_out, c.latent_activation))
    return made


def _decoder(geometries: list[Geometry], c: Choices) -> list[AnyLayer]:
    made: list[AnyLayer] = []
    if c.n_components is not None:
        n_in = c.n_components
        for n in (*reversed(c.hidden_layer_sizes), geometries[-1].map_size):
            made.append(Layer(NAMELESS, n_in, n, c.activation))
            n_in = n
    for g in reversed(geometries):
        act = c.output_activation if g is geometries[0] else c.activation
        if c.decoder == "transpose":
            made.append(ConvTranspose2d(NAMELESS, g, act))
            continue
        stride = g.stride_y, g.stride_x
        n = g.out_channels
        larger = Geometry.of_transposed((n, g.out_height, g.out_width), n, stride, stride=stride, groups=n)
        back = _resized(g, larger)
        if stride != (1, 1):
            made.append(Upsample2d(NAMELESS, larger))
        made.append(Conv2d(NAMELESS, back, act))
    return made


def _resized(g: Geometry, larger: Geometry) -> Geometry:
    """The convolution without a stride from the larger map to exactly the image of `g`."""
    pads = []
    for axis, size, map_size, stride, taps, dilation in (
        (0, g.height, g.out_height, g.stride_y, g.kernel_height, g.dilation_y),
        (1, g.width, g.out_width, g.stride_x, g.kernel_width, g.dilation_x),
    ):
        window = (taps - 1) * dilation + 1
        total = size - map_size * stride + window - 1
        if total < 0:
            raise ValueError(
                f"decoder='resize' can't reach the {AXES[axis]} of {size} pixels: {map_size} * {stride} = "
                f"{map_size * stride} pixels, of which a window of {window} takes off at most {window - 1}, are at least "
                f"{map_size * stride - window + 1}; take a larger kernel_size, another stride or padding, or "
                "decoder='transpose'"
            )
        pads.append((total // 2, total - total // 2))
    return Geometry.of(
        (larger.channels, larger.height, larger.width),
        g.channels,
        (g.kernel_height, g.kernel_width),
        padding=pads,
        dilation=(g.dilation_y, g.dilation_x),
        groups=g.groups,
    )
