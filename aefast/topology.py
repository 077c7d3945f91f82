"""Layers and their shapes, and where every parameter lies in one flat buffer."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import MISSING, asdict, dataclass, fields
from functools import cached_property
from typing import Any

from aefast import activations, checks

ALIGNMENT = 16  # elements: every parameter starts on a 64-byte line in float32


@dataclass(frozen=True)
class Layer:
    """h = activation(x Wᵀ + b), W (n_out, n_in), b (n_out,).

    `tied_to` names the layer whose weight, transposed, is this layer's weight.
    """

    name: str
    n_in: int
    n_out: int
    activation: str
    tied_to: str | None = None


@dataclass(frozen=True)
class Parameter:
    """Where a parameter lies in the flat buffer: shape (rows, cols) and strides in elements; a bias has rows 1."""

    name: str
    offset: int
    rows: int
    cols: int
    row_stride: int
    col_stride: int = 1
    alias: bool = False
    vector: bool = False

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
    layers : tuple of Layer
        Encoder layers first.
    n_encoder : int
        How many of them are the encoder; both halves hold at least one.
    variational : bool
        The encoder's last layer puts out [mean | log variance] (width 2 L), from which the code (width L) is drawn.
    """

    layers: tuple[Layer, ...]
    n_encoder: int
    variational: bool = False

    def __post_init__(self) -> None:
        self._check_types()
        if not 1 <= self.n_encoder < len(self.layers):
            raise ValueError(
                f"n_encoder must leave at least one layer on both sides of {len(self.layers)}, but is {self.n_encoder}"
            )
        code = self.layers[self.n_encoder].n_in
        for before, after in zip(self.layers, self.layers[1:], strict=False):
            is_code = before is self.layers[self.n_encoder - 1]
            width = 2 * code if is_code and self.variational else after.n_in
            if before.n_out != width:
                raise ValueError(
                    f"{before.name} puts out {before.n_out} values, but {after.name} needs {width}; widths must chain"
                )
        if self.layers[-1].n_out != self.layers[0].n_in:
            raise ValueError(
                f"the output has {self.layers[-1].n_out} features, but the input has {self.layers[0].n_in}; "
                "an autoencoder gives back what it gets"
            )
        self._check_layers()

    def _check_types(self) -> None:
        layers: Any = self.layers
        if not isinstance(layers, (tuple, list)) or not all(isinstance(each, Layer) for each in layers):
            raise checks.wrong_type(
                "layers must be a tuple of aefast.topology.Layer (Topology.mlp makes them)", layers
            )
        checks.integer(1)("n_encoder", self.n_encoder)
        checks.boolean("variational", self.variational)
        for layer in self.layers:
            if not isinstance(layer.name, str):
                raise checks.wrong_type("a layer's name must be a string", layer.name)
            if layer.tied_to is not None and not isinstance(layer.tied_to, str):
                raise checks.wrong_type(
                    "a layer's tied_to must be another layer's name or None", layer.tied_to
                )
            _width(layer.n_in), _width(layer.n_out), activations.get(layer.activation)
        # As every copy and every file has them.
        plain = {
            "layers": tuple(layers),
            "n_encoder": int(self.n_encoder),
            "variational": bool(self.variational),
        }
        for name, value in plain.items():
            object.__setattr__(self, name, value)

    def _check_layers(self) -> None:
        layers = {layer.name: layer for layer in self.layers}
        if len(layers) < len(self.layers):
            raise ValueError(
                f"every layer needs a name of its own, but they are {[x.name for x in self.layers]}"
            )
        for layer in self.layers:
            if layer.tied_to is None:
                continue
            source = layers.get(layer.tied_to)
            if source is None or source.tied_to is not None:
                raise ValueError(f"{layer.name} is tied to {layer.tied_to!r}, which stores no weight")
            if (source.n_out, source.n_in) != (layer.n_in, layer.n_out):
                raise ValueError(
                    f"{layer.name} is tied to {source.name}, whose weight isn't its transpose: "
                    f"({source.n_out}, {source.n_in}) and ({layer.n_out}, {layer.n_in})"
                )

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
        if isinstance(widths, (str, bytes, Mapping)) or not _iterable(widths):
            raise checks.wrong_type("widths must be a sequence of integers such as (784, 32, 784)", widths)
        widths = [_width(w) for w in widths]
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
        layers = []
        last = len(widths) - 1
        for i in range(last):
            encodes = i < latent
            output = i + 1
            act = (
                latent_activation if output == latent else output_activation if output == last else activation
            )
            double = 2 if variational and output == latent else 1
            layers.append(
                Layer(
                    f"encoder.{i}" if encodes else f"decoder.{i - latent}",
                    widths[i],
                    widths[output] * double,
                    act,
                    f"encoder.{last - 1 - i}" if tied_weights and not encodes else None,
                )
            )
        return Topology(tuple(layers), latent, variational)

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
        """The activation that puts out the code."""
        return self.layers[self.n_encoder - 1].activation

    @cached_property
    def parameters(self) -> dict[str, Parameter]:
        """Every parameter by name. Stored weights come first, so that weight decay is a prefix; then the biases."""
        stored: dict[str, Parameter] = {}
        offset = 0
        for kind in ("weight", "bias"):
            for layer in self.layers:
                if kind == "weight" and layer.tied_to is None:
                    shape = (layer.n_out, layer.n_in)
                elif kind == "bias":
                    shape = (1, layer.n_out)
                else:
                    continue
                name = f"{layer.name}.{kind}"
                stored[name] = Parameter(name, offset, *shape, row_stride=shape[1], vector=kind == "bias")
                offset += math.ceil(shape[0] * shape[1] / ALIGNMENT) * ALIGNMENT
        for layer in self.layers:
            if layer.tied_to is not None:
                stored[f"{layer.name}.weight"] = stored[f"{layer.tied_to}.weight"].transposed
        order = [f"{layer.name}.{kind}" for layer in self.layers for kind in ("weight", "bias")]
        return {name: stored[name] for name in order}

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
        """Plain data from which `from_dict` makes an equal topology."""
        return asdict(self)

    @staticmethod
    def from_dict(data: dict[str, Any]) -> Topology:
        """The inverse of `to_dict`."""
        _check_keys("a topology", data, Topology)
        if not isinstance(data["layers"], (list, tuple)):
            raise checks.wrong_type("a topology's layers must be a list of dictionaries", data["layers"])
        for layer in data["layers"]:
            _check_keys("a layer", layer, Layer)
        layers = tuple(Layer(**layer) for layer in data["layers"])
        return Topology(layers, data["n_encoder"], data.get("variational", False))


def _iterable(value: object) -> bool:
    try:
        iter(value)  # type: ignore[call-overload]
    except TypeError:  # also an array without dimensions
        return False
    return True


def _check_keys(what: str, data: Any, kind: Any) -> None:
    """TypeError or ValueError where `data` isn't a dictionary of that dataclass's fields."""
    if not isinstance(data, Mapping):
        raise checks.wrong_type(f"{what} must be a dictionary as Topology.to_dict gives", data)
    known = {field.name: field.default is MISSING for field in fields(kind)}
    if lacks := [name for name, needed in known.items() if needed and name not in data]:
        raise ValueError(f"{what} lacks {', '.join(lacks)}; Topology.to_dict gives a whole one")
    if unknown := [str(name) for name in data if name not in known]:
        raise ValueError(f"{what} has no {', '.join(unknown)}; known: {', '.join(known)}")


def _width(value: object) -> int:
    checks.integer(1)("a width", value)
    width: int = checks.plain(value)
    return width
