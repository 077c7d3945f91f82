"""Layers and their shapes, and where every parameter lies in one flat buffer."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from numpy.typing import NDArray

from aefast import activations, chain, checks, convolutional, layers
from aefast.geometry import Padding, Pair
from aefast.layers import AnyLayer, Layer

__all__ = ["ALIGNMENT", "Layer", "Parameter", "Topology"]

ALIGNMENT = 16  # elements: every parameter starts on a 64-byte line in float32


@dataclass(frozen=True)
class Parameter:
    """Where a parameter lies in the flat buffer: a matrix (rows, cols) and its strides in elements; a bias has rows 1.

    `shape` is what it is called by: that of the matrix, (cols,) of a vector, or the four dimensions of a convolution's
    weight, whose rows are its first.
    """

    name: str
    offset: int
    rows: int
    cols: int
    row_stride: int
    col_stride: int = 1
    alias: bool = False
    vector: bool = False
    dimensions: tuple[int, ...] = ()

    @property
    def shape(self) -> tuple[int, ...]:
        """The logical shape."""
        return (self.cols,) if self.vector else self.dimensions or (self.rows, self.cols)

    @property
    def transposed(self) -> Parameter:
        """The same storage read as the transposed matrix."""
        return Parameter(
            self.name, self.offset, self.cols, self.rows, self.col_stride, self.row_stride, alias=True
        )


@dataclass(frozen=True)
class Topology:
    """The layers from the input to the code and back.

    Parameters
    ----------
    layers : tuple of layers (`aefast.layers`)
        Encoder layers first. Rows between them are flat; those of images and maps are (height, width, channels).
    n_encoder : int
        How many of them are the encoder; both halves hold at least one.
    variational : bool
        The encoder's last layer, a dense one, puts out [mean | log variance] (width 2 L), from which the code (width L) is
        drawn.
    channels_first : int
        C, where the data's rows are images (C, height, width): they are transposed on their way in, and reconstructions on
        their way out. 0 where they aren't, or where that makes no difference.
    """

    layers: tuple[AnyLayer, ...]
    n_encoder: int
    variational: bool = False
    channels_first: int = 0

    def __post_init__(self) -> None:
        chain.check_types(self)
        # As every copy and every file has them.
        plain = {
            "layers": tuple(self.layers),
            "n_encoder": int(self.n_encoder),
            "variational": bool(self.variational),
            "channels_first": int(self.channels_first),
        }
        for name, value in plain.items():
            object.__setattr__(self, name, value)
        chain.check(self)
        if self.channels_first in (1, self.n_features):  # both orders are the same
            object.__setattr__(self, "channels_first", 0)

    @staticmethod
    def mlp(
        widths: Sequence[int],
        *,
        activation: str = "relu",
        latent_activation: str = "identity",
        output_activation: str = "identity",
        tied_weights: bool = False,
        variational: bool = False,
        latent_index: int | None = None,
    ) -> Topology:
        """A dense autoencoder: widths from the input over the code to the output.

        The code is the middle width, or `widths[latent_index]`. With `tied_weights` decoder weights are the encoder's,
        transposed, in reverse order; widths must then be symmetric. `variational` codes have an identity activation.

        Raises ValueError for fewer than three widths, widths below 1, unknown names and what can't be tied.
        """
        widths = layers.widths("widths must be a sequence of integers such as (784, 32, 784)", widths)
        checks.integer(0, None)("latent_index", latent_index)
        for name, value in (("tied_weights", tied_weights), ("variational", variational)):
            checks.boolean(name, value)
        if len(widths) < 3:
            raise ValueError(f"widths need an input, a code and an output, but are {list(widths)}")
        latent = len(widths) // 2 if latent_index is None else latent_index
        if latent_index is None and len(widths) % 2 == 0:
            raise ValueError(f"{len(widths)} widths have no middle; give latent_index=")
        if not 0 < latent < len(widths) - 1:
            raise ValueError(f"latent_index must be in [1, {len(widths) - 2}], but is {latent}")
        for name in (activation, latent_activation, output_activation):
            activations.get(name)
        if tied_weights and widths != widths[::-1]:
            raise ValueError(f"tied weights need symmetric widths, but got {widths}")
        if tied_weights and variational:
            raise ValueError(
                "tied_weights can't be had with variational: the encoder puts out two values per code unit"
            )
        if variational and latent_activation != "identity":
            raise ValueError(
                f"a variational code's mean is unbounded: latent_activation must be 'identity', not {latent_activation!r}"
            )
        made: list[AnyLayer] = []
        last = len(widths) - 1
        for i in range(last):
            encodes = i < latent
            output = i + 1
            act = (
                latent_activation if output == latent else output_activation if output == last else activation
            )
            double = 2 if variational and output == latent else 1
            made.append(
                Layer(
                    f"encoder.{i}" if encodes else f"decoder.{i - latent}",
                    widths[i],
                    widths[output] * double,
                    act,
                    f"encoder.{last - 1 - i}" if tied_weights and not encodes else None,
                )
            )
        return Topology(tuple(made), latent, variational)

    @staticmethod
    def conv(
        image_shape: Sequence[int],
        *,
        channels: Sequence[int] = (32, 64),
        n_components: int | None = 32,
        kernel_size: Pair = 3,
        stride: Pair = 2,
        padding: Padding = "same",
        dilation: Pair = 1,
        groups: int = 1,
        hidden_layer_sizes: Sequence[int] = (),
        decoder: str = "transpose",
        pooling: str | None = None,
        activation: str = "relu",
        latent_activation: str = "identity",
        output_activation: str = "identity",
        variational: bool = False,
        layout: str = "channels_first",
    ) -> Topology:
        """A convolutional autoencoder for rows that are images of image_shape = (channels, height, width).

        The encoder: a convolution for each of `channels`, dense layers of `hidden_layer_sizes`, the dense code. The decoder
        is its mirror, and gives images of exactly the same size.

        `n_components` None: the last map is the code, (height, width, channels) flat. `kernel_size`, `stride`, `dilation`:
        an integer or (y, x); `padding`: see `aefast.geometry.Geometry.of`; `groups`: of every convolution but the one at the
        image, whose channels are few. `decoder`: "transpose", transposed convolutions by the encoder's own geometries;
        "resize", nearest pixels `stride` times, then a convolution. `pooling`: None, the convolution's stride makes maps
        smaller; "max" or "average", the convolution has none and a pool of windows of `stride` pixels follows, while the
        decoder stays that of the strided convolution. `layout`: the order of the data's rows, "channels_first" (channels,
        height, width) or "channels_last" (height, width, channels); `image_shape` doesn't depend on it.

        Raises TypeError or ValueError for what isn't that, and where a window doesn't fit or a size can't be reached, with
        the arithmetic.
        """
        made, n_encoder = convolutional.layers_of(
            image_shape,
            convolutional.Choices(
                channels=channels,
                n_components=n_components,
                kernel_size=kernel_size,
                stride=stride,
                padding=padding,
                dilation=dilation,
                groups=groups,
                hidden_layer_sizes=hidden_layer_sizes,
                decoder=decoder,
                pooling=pooling,
                activation=activation,
                latent_activation=latent_activation,
                output_activation=output_activation,
                variational=variational,
            ),
        )
        checks.choice(convolutional.LAYOUTS)("layout", layout)
        first = layout == "channels_first"
        return Topology(tuple(made), n_encoder, variational, int(image_shape[0]) if first else 0)

    @property
    def n_features(self) -> int:
        """d, the width of input and output."""
        return self.layers[0].n_in

    @property
    def n_components(self) -> int:
        """L, the width of the code."""
        return self.layers[self.n_encoder].n_in

    @property
    def code_activation(self) -> str:
        """The activation that puts out the code, or what a pool makes the code of: its range is the code's."""
        weighted = (layer for layer in reversed(self.layers[: self.n_encoder]) if layer.weight_shape)
        return next((layer.activation for layer in weighted), "identity")

    def channels_last(self, rows: NDArray[Any]) -> NDArray[Any]:
        """(..., d) of the data's order, rows or weights of features, in the order in which the layers have them."""
        images = rows.reshape(*rows.shape[:-1], self.channels_first or 1, -1)
        return images.swapaxes(-1, -2).reshape(rows.shape)

    @cached_property
    def parameters(self) -> dict[str, Parameter]:
        """Every parameter by name. Stored weights come first, so that weight decay is a prefix; then the biases."""
        stored: dict[str, Parameter] = {}
        offset = 0
        for kind in ("weight", "bias"):
            for layer in self.layers:
                dimensions = layer.weight_shape
                if dimensions is None or (kind == "weight" and layer.tied_to is not None):
                    continue
                bias = kind == "bias"
                rows, cols = (1, layer.bias_size) if bias else (dimensions[0], math.prod(dimensions[1:]))
                name = f"{layer.name}.{kind}"
                stored[name] = Parameter(
                    name, offset, rows, cols, cols, vector=bias, dimensions=() if bias else dimensions
                )
                offset += math.ceil(rows * cols / ALIGNMENT) * ALIGNMENT
        for layer in self.layers:
            if layer.tied_to is not None:
                stored[f"{layer.name}.weight"] = stored[f"{layer.tied_to}.weight"].transposed
        order = [f"{layer.name}.{kind}" for layer in self.layers for kind in ("weight", "bias")]
        return {name: stored[name] for name in order if name in stored}

    @cached_property
    def n_decayed(self) -> int:
        """Elements of the flat buffer that are weights; the biases follow."""
        return min(p.offset for n, p in self.parameters.items() if n.endswith(".bias"))

    @cached_property
    def n_flat(self) -> int:
        """Elements of the flat buffer, alignment included."""
        ends = (p.offset + p.rows * p.cols for p in self.parameters.values())
        return math.ceil(max(ends) / ALIGNMENT) * ALIGNMENT

    @property
    def n_parameters(self) -> int:
        """Learned numbers; a tied weight counts once."""
        return sum(p.rows * p.cols for p in self.parameters.values() if not p.alias)

    def to_dict(self) -> dict[str, Any]:
        """Plain data from which `from_dict` makes an equal topology. Of dense layers alone it is what it always was."""
        data: dict[str, Any] = {
            "layers": tuple(layers.to_dict(layer) for layer in self.layers),
            "n_encoder": self.n_encoder,
            "variational": self.variational,
        }
        return data | ({"channels_first": self.channels_first} if self.channels_first else {})

    @staticmethod
    def from_dict(data: dict[str, Any]) -> Topology:
        """The inverse of `to_dict`."""
        layers.check_keys("a topology", data, Topology)
        if not isinstance(data["layers"], (list, tuple)):
            raise checks.wrong_type("a topology's layers must be a list of dictionaries", data["layers"])
        made = tuple(layers.from_dict(layer) for layer in data["layers"])
        return Topology(**{**data, "layers": made})
