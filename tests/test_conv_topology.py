"""Convolutional topologies: what is made, what is refused and in which words, and plain data there and back."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import pytest

from aefast import Topology
from aefast.geometry import Geometry
from aefast.layers import Conv2d, ConvTranspose2d, Layer, Pool2d, Upsample2d

SHAPE = (3, 9, 7)
CHOICES: dict[str, dict[str, Any]] = {
    "plain": {},
    "resize": {"decoder": "resize"},
    "max": {"pooling": "max"},
    "average, resize": {"pooling": "average", "decoder": "resize"},
    "map code": {"n_components": None},
    "pooled map code": {"n_components": None, "pooling": "max"},
    "hidden": {"hidden_layer_sizes": (10, 8)},
    "variational": {"variational": True},
    "groups": {"groups": 2},
    "dilated": {"dilation": 2, "padding": 2},
    "valid": {"padding": "valid", "stride": (2, 1)},
    "valid, resize": {"padding": "valid", "decoder": "resize"},
    "valid, max": {"padding": "valid", "pooling": "max"},
    "no stride": {"stride": 1, "decoder": "resize"},
    "even kernel": {"kernel_size": (4, 2), "decoder": "resize"},
}


def made(name: str, **changes: Any) -> Topology:
    return Topology.conv(SHAPE, **{"channels": (4, 6), "n_components": 5, **CHOICES[name], **changes})


def test_layers_of_the_usual_net() -> None:
    t = Topology.conv((1, 28, 28), activation="elu", output_activation="sigmoid", latent_activation="tanh")
    first = Geometry.of((1, 28, 28), 32, 3, stride=2, padding="same")
    second = Geometry.of((32, 14, 14), 64, 3, stride=2, padding="same")
    assert t.layers == (
        Conv2d("encoder.0", first, "elu"),
        Conv2d("encoder.1", second, "elu"),
        Layer("encoder.2", 7 * 7 * 64, 32, "tanh"),
        Layer("decoder.0", 32, 7 * 7 * 64, "elu"),
        ConvTranspose2d("decoder.1", second, "elu"),
        ConvTranspose2d("decoder.2", first, "sigmoid"),
    )
    assert (t.n_features, t.n_components, t.n_encoder, t.code_activation) == (784, 32, 3, "tanh")
    assert t.channels_first == 0  # one channel: both orders are the same


def test_pools_and_resizing() -> None:
    t = Topology.conv((3, 28, 28), pooling="average", decoder="resize", channels=(8,), n_components=4)
    wide = Geometry.of((3, 28, 28), 8, 3, padding="same")
    halves = Geometry.of((8, 28, 28), 8, 2, stride=2, groups=8)
    assert t.layers == (
        Conv2d("encoder.0", wide, "relu"),
        Pool2d("encoder.1", halves, "average"),
        Layer("encoder.2", 14 * 14 * 8, 4, "identity"),
        Layer("decoder.0", 4, 14 * 14 * 8, "relu"),
        Upsample2d("decoder.1", halves),
        Conv2d("decoder.2", Geometry.of((8, 28, 28), 3, 3, padding="same"), "identity"),
    )
    assert t.channels_first == 3


@pytest.mark.parametrize("name", CHOICES)
def test_every_choice_gives_back_the_very_size(name: str) -> None:
    t = made(name)
    assert t.layers[0].in_shape == t.layers[-1].out_shape == (9, 7, 3)
    assert t.channels_first == 3 and made(name, layout="channels_last").channels_first == 0


@pytest.mark.parametrize("name", CHOICES)
def test_plain_data_and_back(name: str) -> None:
    t = made(name)
    assert Topology.from_dict(json.loads(json.dumps(t.to_dict()))) == t


def test_dense_topologies_keep_their_plain_data() -> None:
    assert Topology.mlp([5, 3, 5]).to_dict() == {
        "layers": (
            {"name": "encoder.0", "n_in": 5, "n_out": 3, "activation": "identity", "tied_to": None},
            {"name": "decoder.0", "n_in": 3, "n_out": 5, "activation": "identity", "tied_to": None},
        ),
        "n_encoder": 1,
        "variational": False,
    }


def test_parameters_have_four_dimensions_and_lie_in_rows() -> None:
    t = made("groups")
    p = t.parameters["encoder.1.weight"]
    assert p.shape == (6, 3, 3, 2) and (p.rows, p.cols, p.row_stride) == (6, 18, 18)
    assert t.parameters["encoder.1.bias"].shape == (6,)
    assert t.parameters["decoder.1.bias"].shape == (4,) and t.parameters["decoder.2.bias"].shape == (3,)
    pooled = made("average, resize")
    assert "encoder.1.weight" not in pooled.parameters and "encoder.1.bias" not in pooled.parameters
    assert t.n_parameters == sum(np.prod(p.shape) for p in t.parameters.values())


def test_one_order_where_both_are_the_same() -> None:
    assert Topology.conv((1, 8, 8)).channels_first == 0
    assert Topology.conv((8, 1, 1), kernel_size=1, stride=1).channels_first == 0
    assert Topology(Topology.mlp([6, 2, 6]).layers, 1, channels_first=2).channels_first == 2


def test_range_of_a_pooled_code_is_its_activations() -> None:
    assert made("pooled map code", latent_activation="sigmoid").code_activation == "sigmoid"
    pooled_input = (
        Pool2d("a", Geometry.of((1, 4, 4), 1, 2, stride=2)),
        ConvTranspose2d("b", Geometry.of((1, 4, 4), 1, 2, stride=2)),
    )
    assert Topology(pooled_input, 1).code_activation == "identity"


MAP = Geometry.of((2, 6, 4), 3, 3, stride=2, padding="same")  # (6, 4, 2) -> (3, 2, 3)
TURNED = Geometry.of((2, 6, 4), 3, 3, stride=(3, 1), padding=((1, 1), (0, 1)))  # -> (2, 3, 3)
POOL = Geometry.of((2, 6, 4), 2, 2, stride=2, groups=2)
CASES: list[tuple[Any, type[Exception], str]] = [
    (
        lambda: Topology((Conv2d("a", MAP, "relu"), ConvTranspose2d("b", TURNED, "relu")), 1),
        ValueError,
        r"a puts out a map \(height, width, channels\) of \(3, 2, 3\), but b takes \(2, 3, 3\)",
    ),
    (
        lambda: Topology((Conv2d("a", MAP), Layer("b", 18, 20, "relu"), Layer("c", 20, 47, "relu")), 1),
        ValueError,
        "the output has 47 features, but the input has 48",
    ),
    (
        lambda: Topology((Layer("a", 48, 17, "relu"), ConvTranspose2d("b", MAP)), 1),
        ValueError,
        r"a puts out 17 values, but b needs 18 values, a map \(3, 2, 3\); widths must chain",
    ),
    (
        lambda: Topology((Conv2d("a", MAP), ConvTranspose2d("b", MAP)), 1, True),
        ValueError,
        r"a puts out 18 values, a map \(3, 2, 3\), but b needs 36 values",
    ),
    (
        lambda: Topology((Conv2d("a", MAP), Layer("b", 9, 48, "relu")), 1, True),
        ValueError,
        r"a variational code needs a dense layer before it, but a puts out a map \(3, 2, 3\)",
    ),
    (
        lambda: Topology((Pool2d("a", POOL), Upsample2d("b", POOL)), 1),
        ValueError,
        "the last layer, b, has no weights; end with a dense layer or a convolution",
    ),
    (
        lambda: Topology((Conv2d("a", MAP), Layer("b", 18, 48, "relu", "a")), 1),
        ValueError,
        "b is tied to a, a convolution; only dense layers can share a weight",
    ),
    (
        lambda: Topology((Conv2d("a", MAP), ConvTranspose2d("b", MAP)), 1, channels_first=3),
        ValueError,
        r"channels_first is 3, but images \(height, width, channels\) are \(6, 4, 2\); give 2, or 0",
    ),
    (
        lambda: Topology(Topology.mlp([7, 2, 7]).layers, 1, channels_first=3),
        ValueError,
        "channels_first must divide the 7 features, but is 3",
    ),
    (
        lambda: Topology(Topology.mlp([7, 2, 7]).layers, 1, channels_first="C"),
        TypeError,
        "channels_first must be",
    ),
    (
        lambda: made("plain", kernel_size=12, padding="valid"),
        ValueError,
        "a window of 12 pixels .* into 9 . 0 . 0",
    ),
    (
        lambda: made("plain", kernel_size=1, stride=2, decoder="resize"),
        ValueError,
        r"decoder='resize' can't reach the height of 5 pixels: 3 \* 2 = 6 pixels, of which a window of 1 takes off at most "
        r"0, are at least 6; take a larger kernel_size, another stride",
    ),
    (lambda: made("plain", stride=1, pooling="max"), ValueError, "pooling takes windows of `stride` pixels"),
    (lambda: made("plain", channels=()), ValueError, "channels must hold a number for each convolution"),
    (
        lambda: made("plain", channels=5),
        TypeError,
        r"channels must be a sequence of integers such as \(32, 64\)",
    ),
    (lambda: made("plain", channels=(4, 0)), ValueError, "at least 1, but is 0"),
    (lambda: made("plain", hidden_layer_sizes="ab"), TypeError, "hidden_layer_sizes must be a sequence"),
    (
        lambda: made("map code", hidden_layer_sizes=(3,)),
        ValueError,
        r"hidden_layer_sizes must be \(\), but is \(3,\)",
    ),
    (lambda: made("map code", variational=True), ValueError, "give n_components, its width"),
    (
        lambda: made("variational", latent_activation="relu"),
        ValueError,
        "unbounded: latent_activation must be",
    ),
    (lambda: made("plain", n_components=2.0), TypeError, "n_components must be an integer"),
    (
        lambda: made("plain", groups=4),
        ValueError,
        r"out_channels must be a multiple of groups \(4\), but is 6",
    ),
    (
        lambda: made("plain", channels=(4,), groups=2),
        ValueError,
        "groups .2. is for convolutions between maps",
    ),
    (
        lambda: made("plain", decoder="mirror"),
        ValueError,
        "unknown decoder 'mirror'; known: transpose, resize",
    ),
    (lambda: made("plain", pooling="mean"), ValueError, "unknown pooling 'mean'; known: max, average, None"),
    (
        lambda: made("plain", layout="NCHW"),
        ValueError,
        "unknown layout 'NCHW'; known: channels_first, channels_last",
    ),
    (lambda: made("plain", activation="rleu"), ValueError, "Did you mean 'relu'"),
    (lambda: made("plain", variational=1), TypeError, "variational must be True or False"),
    (lambda: Topology.conv((28, 28)), ValueError, r"image_shape must be \(channels, height, width\)"),
]


@pytest.mark.parametrize(
    ("call", "error", "words"), CASES, ids=[f"{i} {c[2][:30]}" for i, c in enumerate(CASES)]
)
def test_what_can_not_be_is_named(call: Any, error: type[Exception], words: str) -> None:
    with pytest.raises(error, match=words):
        call()


def changed(place: tuple[Any, ...], value: Any) -> dict[str, Any]:
    data: Any = json.loads(json.dumps(made("average, resize").to_dict()))
    inner = data
    for step in place[:-1]:
        inner = inner[step]
    if value is None:
        del inner[place[-1]]
    else:
        inner[place[-1]] = value
    whole: dict[str, Any] = data
    return whole


@pytest.mark.parametrize(
    ("place", "value", "error", "words"),
    [
        (("layers", 0, "op"), "conv3d", ValueError, "unknown kind of layer 'conv3d'"),
        (("layers", 0, "op"), 5, ValueError, "unknown kind of layer 5"),
        (("layers", 0, "op"), "linear", ValueError, "unknown kind of layer 'linear'"),
        (("layers", 0, "op"), None, ValueError, "a layer lacks n_in, n_out"),
        (("layers", 0, "geometry"), None, ValueError, "a conv2d layer lacks geometry"),
        (("layers", 0, "geometry"), [1, 2], TypeError, "geometry of a conv2d layer must be a dictionary"),
        (
            ("layers", 0, "bias"),
            True,
            ValueError,
            "a conv2d layer has no bias; known: name, geometry, activation",
        ),
        (("layers", 0, "tied_to"), "a", ValueError, "a conv2d layer has no tied_to"),
        (("layers", 0, "geometry", "height"), None, ValueError, "lacks height"),
        (("layers", 0, "geometry", "depth"), 1, ValueError, "has no depth"),
        (("layers", 0, "geometry", "height"), 9.0, TypeError, "height must be an integer"),
        (("layers", 0, "geometry", "height"), True, TypeError, "height must be an integer"),
        (("layers", 0, "geometry", "stride_y"), -1, ValueError, "stride_y must be an integer of at least 1"),
        (("layers", 0, "geometry", "height"), 2**40, ValueError, "elements, but at most 2147483647"),
        (("layers", 0, "activation"), 3, ValueError, "unknown activation"),
        (("layers", 1, "kind"), "min", ValueError, "unknown pooling 'min'"),
        (("layers", 1, "activation"), "relu", ValueError, "a pool2d layer has no activation"),
        (("channels_first",), 2, ValueError, "channels_first is 2"),
        (("channels_first",), True, TypeError, "channels_first must be an integer"),
    ],
)
def test_plain_data_are_not_believed(
    place: tuple[Any, ...], value: Any, error: type[Exception], words: str
) -> None:
    with pytest.raises(error, match=words):
        Topology.from_dict(changed(place, value))
