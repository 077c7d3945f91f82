"""Whole convolutional models on the reference backend: gradients, the order of channels, what data they take, files."""

from __future__ import annotations

import copy
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from conftest import require
from models import CONV_MODELS, IMAGE, image_data, make
from test_gradients import check

from aefast import Topology, Trainer, engine
from aefast.backends import get
from aefast.errors import CorruptFileError, NonFiniteError
from aefast.io import checkpoint, container, headers

C, HEIGHT, WIDTH = IMAGE
D = C * HEIGHT * WIDTH
every_model = pytest.mark.parametrize("name", CONV_MODELS)


def made(name: str, dtype: str = "float64", **settings: Any) -> Trainer:
    """The model, its parameters moved off their symmetric start."""
    trainer = make(name, "numpy", dtype, **settings)
    flat = trainer.flat_buffers["params"]
    flat += 0.1 * np.random.default_rng(1).standard_normal(len(flat)).astype(flat.dtype)
    if "ema" in trainer.flat_buffers:
        trainer.flat_buffers["ema"][...] = flat
    return trainer


def last(x: np.ndarray) -> np.ndarray:
    """Rows (C, H, W) as (H, W, C)."""
    return x.reshape(-1, C, HEIGHT * WIDTH).transpose(0, 2, 1).reshape(len(x), -1)


@every_model
def test_gradients_of_a_whole_model(name: str) -> None:
    check(made(name), image_data(4).astype(float), np.array([0.5, 1.0, 0.0, 2.0]))


@every_model
def test_training_lowers_the_loss(name: str) -> None:
    trainer, x = make(name, "numpy", learning_rate=1e-2), image_data()
    before = trainer.evaluate(x)
    curve = trainer.fit(x, epochs=30).loss
    assert trainer.evaluate(x) < before and curve[-1] < curve[0]


@every_model
def test_decoded_codes_are_reconstructions(name: str) -> None:
    trainer, x = made(name), image_data().astype(float)
    codes, found = trainer.encode(x), trainer.reconstruct(x)
    assert codes.shape == (60, trainer.topology.n_components) and found.shape == x.shape
    assert np.allclose(trainer.decode(codes), found, rtol=1e-12)


@pytest.mark.parametrize("choices", [{}, {"n_components": None}, {"pooling": "max", "decoder": "resize"}])
def test_both_orders_of_channels_are_one_model(choices: dict[str, Any]) -> None:
    x, weight = image_data().astype(float), np.linspace(0.1, 2.0, D)
    settings: dict[str, Any] = {"backend": "numpy", "dtype": "float64", "batch_size": 20, "shuffle": False}
    first, second = (
        Trainer(
            Topology.conv(IMAGE, layout=layout, **{"channels": (4, 6), "n_components": 4, **choices}),
            feature_weight=weight if layout == "channels_first" else last(weight[None])[0],
            **settings,
        )
        for layout in ("channels_first", "channels_last")
    )
    loss, gradients = first.gradients(x)
    other_loss, other_gradients = second.gradients(last(x))
    assert loss == other_loss
    assert all((gradients[name] == other_gradients[name]).all() for name in gradients)
    assert first.fit(x, epochs=2).loss == second.fit(last(x), epochs=2).loss
    assert (first.encode(x) == second.encode(last(x))).all()
    assert (last(first.reconstruct(x)) == second.reconstruct(last(x))).all()
    assert (last(first.decode(first.encode(x))) == second.reconstruct(last(x))).all()
    assert (first.sample_losses(x) == second.sample_losses(last(x))).all()


@pytest.mark.parametrize("name", ["conv", "conv channels last"])
def test_losses_are_those_of_the_datas_own_order(name: str) -> None:
    weight = np.linspace(0.0, 2.0, D)
    trainer, x = made(name, feature_weight=weight, loss="mse"), image_data().astype(float)
    wanted = np.mean(weight * (trainer.reconstruct(x) - x) ** 2, axis=1)
    assert np.allclose(trainer.sample_losses(x), wanted, rtol=1e-12)


def test_noise_is_addressed_in_the_datas_own_order() -> None:
    trainer, x = made("conv denoising"), image_data(16).astype(float)
    trainer.gradients(x)
    program = trainer._program("train", 16)[1]
    corrupted = program.buffer("corrupted")
    assert (program.buffer("input") == x).all()
    assert (program.buffer("input.channels_last") == last(x)).all()
    assert (program.buffer("corrupted.channels_last") == last(corrupted)).all()
    wanted = np.empty_like(x)
    plan = trainer._program("train", 16)[0]
    call = next(call for call in plan.calls if call.op == "corrupt")
    get("numpy").ops.corrupt(x, **call.attrs, seed=trainer.seed, epoch=0, rows=np.arange(16), out=wanted)
    assert (corrupted == wanted).all() and (wanted == 0).any()


def test_a_bad_pixel_is_named_by_its_column_in_the_data() -> None:
    x = image_data(16)
    x[3, 7] = np.nan
    with pytest.raises(NonFiniteError, match=r"the input \(row 3, column 7\)"):
        made("conv").fit(x, epochs=1)


@pytest.mark.parametrize("name", ["conv", "conv channels last", "conv max"])
def test_sparse_rows_are_the_dense_ones(name: str) -> None:
    sparse = require("scipy.sparse")
    x = np.where(image_data() > 0.5, image_data(), 0)
    dense, spread = (make(name, "numpy", "float32") for _ in range(2))
    assert dense.fit(x, epochs=2).loss == spread.fit(sparse.csr_array(x), epochs=2).loss
    assert (dense.reconstruct(x) == spread.reconstruct(sparse.csr_array(x))).all()


def test_bfloat16_is_near() -> None:
    x = image_data()
    exact, low = (made("conv max", dtype).gradients(x[:16]) for dtype in ("float32", "bfloat16"))
    assert low[0] != exact[0] and low[0] == pytest.approx(exact[0], rel=2e-2)


def test_inference_of_wide_maps_takes_few_rows_at_a_time(monkeypatch: pytest.MonkeyPatch) -> None:
    """So that its memory stays bounded."""
    x = image_data(200)
    whole = made("conv", "float32")
    wanted, width = whole.reconstruct(x), sum(layer.n_out for layer in whole.topology.layers)
    assert [batch for _, batch in whole._programs] == [1024]
    for rows in (16, 128):
        monkeypatch.setattr(engine, "INFERENCE_ELEMENTS", rows * width)
        trainer = made("conv", "float32")
        assert np.allclose(trainer.reconstruct(x), wanted, rtol=1e-6)
        assert [batch for _, batch in trainer._programs] == [rows]
    monkeypatch.setattr(engine, "INFERENCE_ELEMENTS", 1)
    assert made("conv", "float32")._chunk_rows == 16


def test_initial_weights_are_bounded_by_what_flows_in_and_out() -> None:
    trainer = Trainer(
        Topology.conv((2, 12, 12), channels=(64, 48), groups=2, activation="relu"), backend="numpy"
    )
    # fan_in = kh kw c / groups, fan_out = kh kw n / groups / (strides), gain 2 of the relu kind.
    bounds = {
        "encoder.0": 2 * 6 / (9 * 2 + 9 * 64 / 4),
        "encoder.1": 2 * 6 / (9 * 32 + 9 * 24 / 4),
        "decoder.1": 2 * 6 / (9 * 32 + 9 * 24 / 4),
        "decoder.2": 6 / (9 * 2 + 9 * 64 / 4),
    }
    for name, squared in bounds.items():
        weight = trainer.parameters[f"{name}.weight"]
        assert 0.97 * squared**0.5 < np.abs(weight).max() <= squared**0.5
        assert not trainer.parameters[f"{name}.bias"].any()


def test_weights_come_and_go_in_four_dimensions() -> None:
    trainer, other = made("conv groups"), make("conv groups", "numpy", "float64")
    named = trainer.parameters
    assert named["encoder.1.weight"].shape == (4, 3, 3, 1)
    other.load_parameters(named)
    assert (other.reconstruct(image_data()) == trainer.reconstruct(image_data())).all()
    with pytest.raises(
        ValueError, match=r"encoder.1.weight must have shape \(4, 3, 3, 1\), but has \(4, 9\)"
    ):
        other.load_parameters({**named, "encoder.1.weight": named["encoder.1.weight"].reshape(4, 9)})


@every_model
def test_a_checkpoint_goes_on_with_the_same_bits(name: str, tmp_path: Path) -> None:
    x, path = image_data(), tmp_path / "run.safetensors"
    whole, half = make(name, "numpy"), make(name, "numpy")
    whole.fit(x, epochs=2)
    half.fit_epoch(x, total_epochs=2)
    half.save_checkpoint(path)
    again = Trainer.load_checkpoint(path)
    assert again.topology == whole.topology
    again.fit_epoch(x, total_epochs=2)
    for key, flat in whole.flat_buffers.items():
        assert (again.flat_buffers[key] == flat).all(), key
    assert (copy.deepcopy(again).reconstruct(x) == whole.reconstruct(x)).all()


def test_files_say_from_which_version_on_they_can_be_read(tmp_path: Path) -> None:
    path = tmp_path / "run.safetensors"
    make("conv", "numpy").save_checkpoint(path)
    assert container.read(path, checkpoint.FORMAT, (3,))
    with pytest.raises(CorruptFileError, match="format version 3"):
        container.read(path, checkpoint.FORMAT, (2,))
    Trainer(Topology.mlp([5, 2, 5]), backend="numpy").save_checkpoint(path)
    assert container.read(path, checkpoint.FORMAT, (2,))
    assert headers.version(Topology(Topology.mlp([6, 2, 6]).layers, 1, channels_first=2)) == 3


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda layer: layer.update(op="conv3d"), "unknown kind of layer 'conv3d'"),
        (lambda layer: layer.pop("op"), "a layer lacks n_in, n_out"),
        (lambda layer: layer["geometry"].update(height=5.0), "height must be an integer"),
        (lambda layer: layer["geometry"].update(height=2**50), "elements, but at most"),
        (
            lambda layer: layer["geometry"].update(channels=1),
            "the output has 60 features, but the input has 20",
        ),
        (lambda layer: layer["geometry"].update(pad_top=-1), "pad_top must be an integer of at least 0"),
        (lambda layer: layer["geometry"].update(kernel_width=2), r"tensor 'ema.encoder.0.weight' must be"),
        (lambda layer: layer.update(bias=[]), "a conv2d layer has no bias"),
    ],
)
def test_a_checkpoints_layers_are_not_believed(change: Any, words: str, tmp_path: Path) -> None:
    path = tmp_path / "run.safetensors"
    make("conv all at once", "numpy").save_checkpoint(path)
    header, tensors = container.read(path, checkpoint.FORMAT, headers.VERSIONS)
    change(header["topology"]["layers"][0])
    container.write(path, checkpoint.FORMAT, 3, header, tensors)
    with pytest.raises(CorruptFileError, match=words):
        Trainer.load_checkpoint(path)


def test_pytorch_computes_the_same_net(torch: Any) -> None:
    """Loss and gradients by its modules, with images and weights in its own order."""
    topology = Topology.conv(
        IMAGE, channels=(4, 6), n_components=5, padding=1, groups=2, activation="tanh", pooling=None
    )
    trainer = Trainer(topology, backend="numpy", dtype="float64", seed=4)
    x = image_data(6).astype(float)
    loss, gradients = trainer.gradients(x)
    t = {
        name: torch.tensor(value.transpose(0, 3, 1, 2) if value.ndim == 4 else value, requires_grad=True)
        for name, value in trainer.parameters.items()
    }
    f = torch.nn.functional

    def of(layer: str) -> tuple[Any, Any]:
        return t[f"{layer}.weight"], t[f"{layer}.bias"]

    image = torch.tensor(x).reshape(-1, *IMAGE)
    first = torch.tanh(f.conv2d(image, *of("encoder.0"), stride=2, padding=1))
    second = torch.tanh(f.conv2d(first, *of("encoder.1"), stride=2, padding=1, groups=2))
    code = f.linear(second.permute(0, 2, 3, 1).flatten(1), *of("encoder.2"))
    wide = torch.tanh(f.linear(code, *of("decoder.0"))).reshape(-1, *second.shape[2:], 6).permute(0, 3, 1, 2)
    # 2 x 1 pixels -> 3 x 2 -> 5 x 4: what the output paddings must give.
    up = torch.tanh(
        f.conv_transpose2d(wide, *of("decoder.1"), stride=2, padding=1, output_padding=(0, 1), groups=2)
    )
    out = f.conv_transpose2d(up, *of("decoder.2"), stride=2, padding=1, output_padding=(0, 1))
    wanted = f.mse_loss(out, image)
    wanted.backward()
    assert loss == pytest.approx(wanted.item(), rel=1e-12)
    for name, gradient in gradients.items():
        found = gradient.transpose(0, 3, 1, 2) if gradient.ndim == 4 else gradient
        assert np.allclose(found, t[name].grad.numpy(), rtol=1e-9, atol=1e-14), name
    assert np.allclose(trainer.reconstruct(x), out.detach().numpy().reshape(6, -1), rtol=1e-12)
