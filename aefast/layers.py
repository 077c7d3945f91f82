"""The kinds of layers: what each reads and writes, and which op does it."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import MISSING, asdict, dataclass, fields
from typing import Any, ClassVar

from aefast import activations, checks
from aefast.errors import unknown_name
from aefast.geometry import Geometry

POOLS: tuple[str, ...] = ("max", "average")
POOL_CODES: dict[str, int] = {name: code for code, name in enumerate(POOLS)}
# (height, width, channels) of a row that is an image or a map
Shape = tuple[int, int, int]


@dataclass(frozen=True)
class Layer:
    """A dense layer: h = activation(x Wᵀ + b), W (n_out, n_in), b (n_out,). It takes a map as a flat row.

    `tied_to` names the dense layer whose weight, transposed, is this layer's weight.
    """

    name: str
    n_in: int
    n_out: int
    activation: str
    tied_to: str | None = None

    op: ClassVar[str] = "linear"
    in_shape: ClassVar[Shape | None] = None
    out_shape: ClassVar[Shape | None] = None

    def check(self) -> None:
        """TypeError or ValueError for what makes no layer; a `Topology` asks it of all of its layers."""
        _check_name(self.name)
        if self.tied_to is not None and not isinstance(self.tied_to, str):
            raise checks.wrong_type("a layer's tied_to must be another layer's name or None", self.tied_to)
        for width in (self.n_in, self.n_out):
            checks.integer(1)("a width", width)
        activations.get(self.activation)

    @property
    def weight_shape(self) -> tuple[int, ...]:
        """(n_out, n_in)."""
        return self.n_out, self.n_in

    @property
    def bias_size(self) -> int:
        """n_out."""
        return self.n_out

    @property
    def fans(self) -> tuple[float, float]:
        """How many inputs an output sums, and how many outputs an input goes to."""
        return self.n_in, self.n_out


@dataclass(frozen=True)
class _Spatial:
    """A layer between the two sides of a geometry."""

    name: str
    geometry: Geometry

    op: ClassVar[str]
    tied_to: ClassVar[str | None] = None
    transposed: ClassVar[bool] = False
    """Whether it reads the map and writes the image."""

    def check(self) -> None:
        """TypeError or ValueError for what makes no layer; a `Topology` asks it of all of its layers."""
        _check_name(self.name)
        if not isinstance(self.geometry, Geometry):
            raise checks.wrong_type(
                f"{self.name}'s geometry must be an aefast.geometry.Geometry (Geometry.of makes one)",
                self.geometry,
            )

    @property
    def in_shape(self) -> Shape:
        """(height, width, channels) of what it reads."""
        return self.geometry.map_shape if self.transposed else self.geometry.image_shape

    @property
    def out_shape(self) -> Shape:
        """(height, width, channels) of what it writes."""
        return self.geometry.image_shape if self.transposed else self.geometry.map_shape

    @property
    def n_in(self) -> int:
        """Elements of what it reads."""
        return math.prod(self.in_shape)

    @property
    def n_out(self) -> int:
        """Elements of what it writes."""
        return math.prod(self.out_shape)


@dataclass(frozen=True)
class Conv2d(_Spatial):
    """map = activation(conv(image, W) + b), W geometry.weight_shape, b (out_channels,)."""

    activation: str = "identity"

    op: ClassVar[str] = "conv2d"

    def check(self) -> None:
        """As of every layer; also whether its geometry is one that it can do."""
        super().check()
        activations.get(self.activation)

    @property
    def weight_shape(self) -> tuple[int, ...]:
        """(out_channels, kernel_height, kernel_width, channels / groups), of the transposed kind too."""
        return self.geometry.weight_shape

    @property
    def bias_size(self) -> int:
        """Channels of what it writes."""
        return self.out_shape[2]

    @property
    def fans(self) -> tuple[float, float]:
        """How many inputs an output sums, and how many outputs an input goes to: on average, where strides skip taps."""
        g = self.geometry
        taps = g.kernel_height * g.kernel_width
        by_map, by_image = taps * g.channels / g.groups, taps * g.out_channels / g.groups
        by_image /= g.stride_y * g.stride_x
        return (by_image, by_map) if self.transposed else (by_map, by_image)


@dataclass(frozen=True)
class ConvTranspose2d(Conv2d):
    """image = activation(transposed conv(map, W) + b), W geometry.weight_shape, b (channels,)."""

    op: ClassVar[str] = "conv_transpose2d"
    transposed: ClassVar[bool] = True


@dataclass(frozen=True)
class _Weightless(_Spatial):
    """Each channel by itself, without anything to learn."""

    activation: ClassVar[str] = "identity"
    weight_shape: ClassVar[None] = None
    bias_size: ClassVar[int] = 0
    fans: ClassVar[tuple[float, float]] = (1.0, 1.0)

    def check(self) -> None:
        """As of every layer; also whether its geometry is one that it can do."""
        super().check()
        g = self.geometry
        if not g.groups == g.channels == g.out_channels:
            raise ValueError(
                f"{self.name} works on each channel by itself: groups and out_channels must be channels ({g.channels}), "
                f"but are {g.groups} and {g.out_channels}"
            )


@dataclass(frozen=True)
class Pool2d(_Weightless):
    """map = the largest, or the average, of each window's pixels that lie inside the image; kind of `POOLS`."""

    kind: str = "max"

    op: ClassVar[str] = "pool2d"

    def check(self) -> None:
        """As of every layer; also whether its geometry is one that it can do."""
        super().check()
        if not isinstance(self.kind, str) or self.kind not in POOLS:
            raise unknown_name("pooling", self.kind, POOLS)
        g = self.geometry
        for axis, size, out, kernel, stride, pad, dilation in (
            ("height", g.height, g.out_height, g.kernel_height, g.stride_y, g.pad_top, g.dilation_y),
            ("width", g.width, g.out_width, g.kernel_width, g.stride_x, g.pad_left, g.dilation_x),
        ):
            first, last = (kernel - 1) * dilation - pad, (out - 1) * stride - pad
            if first < 0 or last >= size or (kernel > 1 and dilation > size):
                raise ValueError(
                    f"{self.name} has windows without a pixel of the image in the {axis}: it has {size} pixels, the first "
                    f"window ends at pixel {first}, the last begins at {last}, dilation is {dilation}; take less padding"
                )


@dataclass(frozen=True)
class Upsample2d(_Weightless):
    """image[y, x] = map[y // stride_y, x // stride_x]: the nearest pixel."""

    op: ClassVar[str] = "upsample2d"
    transposed: ClassVar[bool] = True

    def check(self) -> None:
        """As of every layer; also whether its geometry is one that it can do."""
        super().check()
        g = self.geometry
        kernel, stride = (g.kernel_height, g.kernel_width), (g.stride_y, g.stride_x)
        sizes = (g.out_height * g.stride_y, g.out_width * g.stride_x)
        plain = kernel == stride and g.pad_top == g.pad_left == 0 and g.dilation_y == g.dilation_x == 1
        if not plain or sizes != (g.height, g.width):
            raise ValueError(
                f"{self.name} repeats pixels: its kernel must be its stride, without padding and dilation, and its image "
                f"stride times its map, {sizes}, but they are {g}; Geometry.of_transposed(map_shape, channels, s, "
                "stride=s, groups=channels) makes one"
            )


AnyLayer = Layer | Conv2d | ConvTranspose2d | Pool2d | Upsample2d
# By what plain data have in "op"; a dense layer's have none.
KINDS: dict[str, type[Conv2d | ConvTranspose2d | Pool2d | Upsample2d]] = {
    kind.op: kind for kind in (Conv2d, ConvTranspose2d, Pool2d, Upsample2d)
}


def to_dict(layer: AnyLayer) -> dict[str, Any]:
    """Plain data from which `from_dict` makes an equal layer."""
    data = asdict(layer)
    return data if isinstance(layer, Layer) else {"op": layer.op, **data}


def from_dict(data: Any) -> AnyLayer:
    """The inverse of `to_dict`; TypeError or ValueError for anything that it wouldn't give."""
    if not isinstance(data, Mapping) or "op" not in data:
        check_keys("a layer", data, Layer)
        return Layer(**data)
    op, values = data["op"], {name: value for name, value in data.items() if name != "op"}
    if not isinstance(op, str) or op not in KINDS:
        raise unknown_name("kind of layer", op, KINDS)
    check_keys(f"a {op} layer", values, KINDS[op])
    check_keys(f"the geometry of a {op} layer", values["geometry"], Geometry)
    return KINDS[op](**{**values, "geometry": Geometry(**values["geometry"])})


def check_keys(what: str, data: Any, kind: Any) -> None:
    """TypeError or ValueError where `data` isn't a dictionary of that dataclass's fields."""
    if not isinstance(data, Mapping):
        raise checks.wrong_type(f"{what} must be a dictionary as Topology.to_dict gives", data)
    known = {field.name: field.default is MISSING for field in fields(kind)}
    if lacks := [name for name, needed in known.items() if needed and name not in data]:
        raise ValueError(f"{what} lacks {', '.join(lacks)}; Topology.to_dict gives a whole one")
    if unknown := [str(name) for name in data if name not in known]:
        raise ValueError(f"{what} has no {', '.join(unknown)}; known: {', '.join(known)}")


def widths(wanted: str, value: Any) -> list[int]:
    """A sequence of integers of at least 1 as a list; TypeError of what was `wanted`, or ValueError."""
    try:
        items = None if isinstance(value, (str, bytes, Mapping)) else list(value)
    except TypeError:  # also an array without dimensions
        items = None
    if items is None:
        raise checks.wrong_type(wanted, value)
    for item in items:
        checks.integer(1)("a width", item)
    return [int(item) for item in items]


def _check_name(name: Any) -> None:
    if not isinstance(name, str):
        raise checks.wrong_type("a layer's name must be a string", name)
