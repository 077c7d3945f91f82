"""The commands on images: `aefast fit --model conv`, and what the others make of such a model."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from image_cases import COLOUR, FLAT, GREY

import aefast
from aefast import cli
from aefast.cli import flags

SMALL = [
    "--model",
    "conv",
    "--channels",
    "3,4",
    "--n-components",
    "5",
    "--epochs",
    "1",
    "--seed",
    "0",
    "--backend",
    "numpy",
    "-q",
]


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with images in it, as arrays of two, three and four axes."""
    monkeypatch.chdir(tmp_path)
    np.save("flat.npy", FLAT)
    np.save("grey.npy", GREY[:, 0])
    np.save("colour.npy", COLOUR)
    np.save("last.npy", COLOUR.transpose(0, 2, 3, 1))
    return tmp_path


def fit(*arguments: str) -> int:
    return cli.main(["fit", *SMALL, *arguments, "-o", "m.safetensors"])


def refused(capsys: pytest.CaptureFixture[str], *arguments: str) -> str:
    try:
        code = fit(*arguments)
    except SystemExit as end:
        code = int(str(end.code))
    err = capsys.readouterr().err
    assert code == 2 and err.startswith("aefast: ") and err.count("\n") == 1, err
    assert not Path("m.safetensors").exists()
    return err


@pytest.mark.parametrize(
    ("text", "name", "value"),
    [
        ("1,28,28", "image_shape", (1, 28, 28)),
        ("auto", "image_shape", "auto"),
        ("32,64", "channels", (32, 64)),
        ("32", "channels", (32,)),
        ("5", "kernel_size", 5),
        ("3,5", "kernel_size", (3, 5)),
        ("2", "stride", 2),
        ("same", "padding", "same"),
        ("1", "padding", 1),
        ("1,2", "padding", (1, 2)),
        ("none", "pooling", None),
        ("none", "n_components", None),
        ("none", "hidden_layer_sizes", ()),
    ],
)
def test_a_flag_becomes_the_constructors_argument(text: str, name: str, value: object) -> None:
    parsed = flags.flags()[name].parse(text)
    assert parsed == value and type(parsed) is type(value)


@pytest.mark.parametrize(
    ("source", "given", "shape"),
    [
        ("flat.npy", [], (1, 8, 8)),
        ("flat.npy", ["--image-shape", "2,8,4"], (2, 8, 4)),
        ("grey.npy", [], (1, 8, 8)),
        ("colour.npy", [], (3, 8, 5)),
        ("last.npy", ["--layout", "channels_last"], (3, 8, 5)),
        ("digits", [], (1, 8, 8)),
    ],
)
def test_the_image_shape_comes_from_the_data(source: str, given: list[str], shape: tuple[int, ...]) -> None:
    assert fit(source, *given) == 0
    model = aefast.load("m.safetensors")
    assert model.image_shape_ == shape and model.scaling_.factor == 1 / 255


def test_a_folder_of_images() -> None:
    image = pytest.importorskip("PIL.Image")
    Path("pictures").mkdir()
    for i, picture in enumerate(COLOUR[:20]):
        image.fromarray(picture.transpose(1, 2, 0)).save(f"pictures/{i:02}.png")
    assert fit("pictures") == 0
    model = aefast.load("m.safetensors")
    assert model.image_shape_ == (3, 8, 5) and model.row_shape_ == (3, 8, 5)
    assert cli.main(["reconstruct", "m.safetensors", "pictures", "-o", "r.npy", "-q"]) == 0
    np.testing.assert_array_equal(np.load("r.npy"), model.reconstruct(COLOUR[:20]).reshape(20, -1))


def test_the_other_commands(capsys: pytest.CaptureFixture[str]) -> None:
    assert fit("colour.npy") == 0
    model = aefast.load("m.safetensors")
    for command, expected in (
        ("transform", model.transform(COLOUR)),
        ("reconstruct", model.reconstruct(COLOUR).reshape(300, -1)),
        ("score", -model.score_samples(COLOUR)[:, None]),
    ):
        assert cli.main(f"{command} m.safetensors colour.npy -o out.npy -q".split()) == 0
        np.testing.assert_allclose(np.load("out.npy").reshape(expected.shape), expected, rtol=1e-6)
    capsys.readouterr()
    assert cli.main(["info", "m.safetensors"]) == 0
    told = capsys.readouterr().out
    for words in (
        "ConvAutoencoder",
        "8x5x3-4x3x3-2x2x4-5-16-4x3x3-8x5x3",
        "channels=(3, 4)",
        "scaling: pixel",
    ):
        assert words in told, told
    assert cli.main(["sample", "m.safetensors", "-n", "3", "-o", "s.npy"]) == 2
    assert "--model conv --variational" in capsys.readouterr().err


def test_a_variational_model() -> None:
    assert fit("colour.npy", "--variational") == 0
    model = aefast.load("m.safetensors")
    assert cli.main(["sample", "m.safetensors", "-n", "3", "-o", "s.npy", "-q"]) == 0
    np.testing.assert_array_equal(np.load("s.npy"), model.sample(3).reshape(3, -1))
    assert cli.main(["score", "m.safetensors", "colour.npy", "-o", "e.npy", "-q"]) == 0
    errors = np.load("e.npy")
    np.testing.assert_allclose(errors[:, 1], -model.score_samples(COLOUR), rtol=1e-6)
    np.testing.assert_allclose(errors[:, 0], model.error_map(COLOUR).sum(axis=(1, 2, 3)), rtol=1e-5)


BAD = {
    "flat.npy --image-shape 3,8,8": "holds 192 values, but X has 64",
    "flat.npy --image-shape 8": "image_shape must be",
    "colour.npy --layout channels_last": "looks like 'channels_first'",
    "colour.npy --drop 1": "no columns to drop",
    "grey.npy --channels none": "channels must be",
    "grey.npy --decoder transposed": "Did you mean 'transpose'",
    "grey.npy --tied-weights": "the model conv takes no --tied-weights",
    "grey.npy --hidden-layer-sizes auto": "the model conv: hidden_layer_sizes must be a tuple",
    "grey.npy --variational --n-components none": "a variational code is a vector",
    "grey.npy --validation colour.npy": "colour.npy has 120 columns, but grey.npy has 64",
}


@pytest.mark.parametrize("given", BAD)
def test_wrong_usage(given: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert BAD[given] in refused(capsys, *given.split())


def test_none_is_for_the_convolutional_code_alone(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["fit", "flat.npy", "-o", "m.safetensors", "--n-components", "none"]) == 2
    assert "the model autoencoder: n_components must be an integer" in capsys.readouterr().err
