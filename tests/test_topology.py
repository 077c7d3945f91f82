"""Layers, and where their parameters lie in the flat buffer."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from aefast import Topology
from aefast.topology import ALIGNMENT, Layer

SHAPES: dict[str, dict[str, Any]] = {
    "deep": {"widths": [20, 13, 5, 13, 20]},
    "shallow": {"widths": [7, 3, 7]},
    "tied": {"widths": [20, 13, 5, 13, 20], "tied_weights": True},
    "variational": {"widths": [20, 13, 5, 13, 20], "variational": True},
    "lopsided": {"widths": [20, 13, 9, 5, 20], "latent_index": 3},
    "of ones": {"widths": [1, 1, 1]},
}


def topology(name: str) -> Topology:
    settings = dict(SHAPES[name])
    return Topology.mlp(settings.pop("widths"), **settings)


@pytest.mark.parametrize("name", SHAPES)
def test_stored_parameters_lie_apart_and_on_lines(name: str) -> None:
    made = topology(name)
    taken = np.zeros(made.n_flat, int)
    for p in made.parameters.values():
        if not p.alias:
            assert p.offset % ALIGNMENT == 0
            taken[p.offset : p.offset + p.rows * p.cols] += 1
    assert taken.max() == 1 and taken.sum() == made.n_parameters


@pytest.mark.parametrize("name", SHAPES)
def test_weights_come_before_biases(name: str) -> None:
    made = topology(name)
    for parameter, p in made.parameters.items():
        assert (p.offset >= made.n_decayed) == parameter.endswith(".bias")


def test_a_tied_weight_is_the_encoders_transposed() -> None:
    made = topology("tied")
    own, alias = made.parameters["encoder.0.weight"], made.parameters["decoder.1.weight"]
    assert (alias.offset, alias.rows, alias.cols) == (own.offset, own.cols, own.rows)
    assert (alias.row_stride, alias.col_stride) == (own.col_stride, own.row_stride)
    assert made.n_parameters == 20 * 13 + 13 * 5 + 13 + 5 + 13 + 20


def test_names_widths_and_activations() -> None:
    made = Topology.mlp(
        [9, 6, 2, 6, 9], activation="relu", latent_activation="tanh", output_activation="sigmoid"
    )
    assert [layer.name for layer in made.layers] == ["encoder.0", "encoder.1", "decoder.0", "decoder.1"]
    assert [layer.activation for layer in made.layers] == ["relu", "tanh", "relu", "sigmoid"]
    assert (made.n_features, made.n_components, made.code_activation) == (9, 2, "tanh")
    assert topology("variational").layers[1].n_out == 10 and topology("variational").n_components == 5
    assert topology("lopsided").n_components == 5 and topology("lopsided").n_encoder == 3


@pytest.mark.parametrize("name", SHAPES)
def test_plain_data_and_back(name: str) -> None:
    import json

    made = topology(name)
    assert Topology.from_dict(json.loads(json.dumps(made.to_dict()))) == made


@pytest.mark.parametrize(
    ("settings", "error", "words"),
    [
        ({"widths": [5, 3]}, ValueError, "an input, a code and an output"),
        ({"widths": [5, 3, 2, 5]}, ValueError, "no middle; give latent_index="),
        ({"widths": [5, 3, 5], "latent_index": 2}, ValueError, r"latent_index must be in \[1, 1\], but is 2"),
        ({"widths": [5, 0, 5]}, ValueError, "at least 1, but is 0"),
        ({"widths": [5, 2.0, 5]}, TypeError, "must be an integer"),
        ({"widths": [5, True, 5]}, TypeError, "bool"),
        ({"widths": [5, 3, 6]}, ValueError, "6 features, but the input has 5"),
        ({"widths": [5, 3, 5], "activation": "rleu"}, ValueError, "Did you mean 'relu'"),
        ({"widths": [5, 4, 3, 5, 5], "tied_weights": True}, ValueError, "symmetric"),
        (
            {"widths": [5, 3, 5], "tied_weights": True, "variational": True},
            ValueError,
            "two values per code unit",
        ),
        ({"widths": [5, 3, 5], "variational": True, "latent_activation": "relu"}, ValueError, "unbounded"),
    ],
)
def test_what_makes_no_autoencoder_is_refused(
    settings: dict[str, Any], error: type[Exception], words: str
) -> None:
    with pytest.raises(error, match=words):
        Topology.mlp(settings.pop("widths"), **settings)


def test_layers_must_chain() -> None:
    with pytest.raises(ValueError, match=r"encoder\.0 puts out 3 values, but decoder.0 needs 4"):
        Topology((Layer("encoder.0", 5, 3, "relu"), Layer("decoder.0", 4, 5, "relu")), 1)
    with pytest.raises(ValueError, match="n_encoder"):
        Topology((Layer("encoder.0", 5, 3, "relu"), Layer("decoder.0", 3, 5, "relu")), 2)


@pytest.mark.parametrize(
    ("first", "last", "words"),
    [
        (Layer("a", 5, 3, "relu"), Layer("a", 3, 5, "relu"), "a name of its own"),
        (Layer("a", 5, 3, "rleu"), Layer("b", 3, 5, "relu"), "Did you mean 'relu'"),
        (Layer("a", 5, 3, "relu"), Layer("b", 3, 5, "relu", "c"), "tied to 'c', which stores no weight"),
        (Layer("a", 5, 3, "relu"), Layer("b", 3, 5, "relu", "b"), "tied to 'b', which stores no weight"),
        (Layer("a", 5, 0, "relu"), Layer("b", 0, 5, "relu"), "at least 1"),
    ],
)
def test_layers_must_make_sense(first: Layer, last: Layer, words: str) -> None:
    with pytest.raises(ValueError, match=words):
        Topology((first, last), 1)


def test_a_tied_weight_is_its_sources_transpose() -> None:
    layers = (
        Layer("a", 5, 4, "relu"),
        Layer("b", 4, 3, "relu"),
        Layer("c", 3, 4, "relu", "a"),
        Layer("d", 4, 5, "relu"),
    )
    with pytest.raises(ValueError, match="isn't its transpose"):
        Topology(layers, 2)


def test_numpy_integers_are_widths() -> None:
    assert Topology.mlp(np.array([5, 3, 5])) == Topology.mlp([5, 3, 5])
