"""A checkpoint continues the run bit for bit; anything else is refused by name."""

import copy
import dataclasses
import inspect
import pickle
import signal

import numpy as np
import pytest

from aefast import CorruptFileError, Corruption, Sparsity, Topology, Trainer, optim
from aefast.data.scaling import Scaling
from aefast.io import checkpoint

X = np.random.default_rng(0).random((103, 8))


def make(**changes):
    topology = Topology.mlp([8, 6, 3, 6, 8], latent_activation="sigmoid", tied_weights=True)
    options = {
        "corruption": Corruption("masking", 0.2),
        "sparsity": Sparsity("kl", 0.1),
        "ema": 0.9,
        "batch_size": 16,
        "schedule": "cosine",
        "clip_norm": 1.0,
        "feature_weight": np.linspace(0.5, 1.5, 8),
        "backend": "numpy",
        "seed": 7,
    }
    return Trainer(topology, **{**options, **changes})


def state(trainer):
    return {**trainer.parameters, **{f"ema.{k}": v for k, v in trainer.ema_parameters.items()}}


def assert_same_bits(a, b):
    for name, value in state(a).items():
        np.testing.assert_array_equal(value, state(b)[name], err_msg=name)


@pytest.mark.parametrize("optimizer", ["adam", "lion", "momentum", "sgd"])
def test_a_loaded_checkpoint_continues_bit_for_bit(tmp_path, optimizer):
    straight = make(optimizer=optimizer)
    expected = straight.fit(X, epochs=4).loss
    first = make(optimizer=optimizer)
    for _ in range(2):
        first.fit_epoch(X, total_epochs=4)
    first.save_checkpoint(tmp_path / "run.safetensors")
    resumed = Trainer.load_checkpoint(tmp_path / "run.safetensors")
    losses = [resumed.fit_epoch(X, total_epochs=4) for _ in range(2)]
    assert losses == expected[2:]
    assert_same_bits(straight, resumed)


def test_an_interrupted_epoch_continues_where_it_stopped(tmp_path):
    straight = make()
    expected = straight.fit(X, epochs=2).loss
    broken = make()
    program = broken._program("train", 16)[1]
    run_steps = program.run_steps

    def interrupted(feed, scalars, losses, nonfinite, clip_norm, batch):
        outcome = run_steps(feed, scalars[:3], losses[:3], nonfinite, clip_norm, batch)
        signal.raise_signal(signal.SIGINT)
        return outcome._replace(interrupted=True)

    program.run_steps = interrupted
    with pytest.raises(KeyboardInterrupt):
        broken.fit_epoch(X, total_epochs=2)
    assert broken.position == 3
    broken.save_checkpoint(tmp_path / "run.safetensors")
    resumed = Trainer.load_checkpoint(tmp_path / "run.safetensors")
    losses = [resumed.fit_epoch(X, total_epochs=2) for _ in range(2)]
    np.testing.assert_allclose(losses, expected, rtol=1e-14)
    assert_same_bits(straight, resumed)


@pytest.mark.parametrize("copied", [copy.deepcopy, lambda t: pickle.loads(pickle.dumps(t))])
def test_copies_continue_alike_and_apart(copied):
    trainer = make()
    trainer.fit(X, epochs=1)
    other = copied(trainer)
    before = state(trainer)
    other.fit_epoch(X, total_epochs=2)
    for name, value in before.items():
        np.testing.assert_array_equal(value, state(trainer)[name])
    trainer.fit_epoch(X, total_epochs=2)
    assert_same_bits(trainer, other)


def test_what_is_no_checkpoint_is_refused(tmp_path):
    path = tmp_path / "run.safetensors"
    with pytest.raises(FileNotFoundError):
        Trainer.load_checkpoint(path)
    make().save_checkpoint(path)
    whole = path.read_bytes()
    path.write_bytes(whole[: len(whole) // 2])
    with pytest.raises(CorruptFileError, match="not a whole checkpoint"):
        Trainer.load_checkpoint(path)
    from safetensors.numpy import save_file

    save_file({"a": np.zeros(3)}, path)
    with pytest.raises(CorruptFileError, match="not a checkpoint that aefast saved"):
        Trainer.load_checkpoint(path)


def test_every_argument_of_the_trainer_is_saved():
    """Else a resumed run would go on with a default in its place, and nothing would tell."""
    arguments = set(inspect.signature(Trainer).parameters)
    options = {
        f.name for cls in (checkpoint.Options, checkpoint.PlanOptions) for f in dataclasses.fields(cls)
    }
    others = {"topology", "optimizer", "corruption", "sparsity", "feature_weight", "scaling", "backend"}
    assert options | others == arguments


@pytest.mark.parametrize(
    "changes",
    [
        {"clip_norm": float("inf")},
        {"n_threads": 2, "shuffle": np.False_, "batch_size": np.int64(16), "learning_rate": np.float32(1e-3)},
        {"optimizer": optim.AdamW(beta1=0.5, weight_decay=0.1), "nonfinite": "skip", "dtype": "float64"},
        {"scaling": Scaling(np.full(8, 0.25), np.full(8, 2.0)), "ema": None, "sparsity": None},
        {"scaling": Scaling(factor=1 / 255), "feature_weight": None, "corruption": None},
    ],
    ids=["infinite", "scalars", "dataclass", "scaled", "pixels"],
)
def test_settings_come_back(tmp_path, changes):
    saved = make(**changes)
    saved.fit_epoch(X)
    saved.epoch_loss = float("nan")
    saved.save_checkpoint(tmp_path / "run.safetensors")
    loaded = Trainer.load_checkpoint(tmp_path / "run.safetensors")
    assert loaded.settings == saved.settings and loaded.clip_norm == saved.clip_norm
    assert (loaded.scaling is None) == (saved.scaling is None) and np.isnan(loaded.epoch_loss)
    for trainer in (saved, loaded):
        trainer.epoch_loss = 0.0
        trainer.fit_epoch(X)
    assert_same_bits(saved, loaded)
    again = tmp_path / "again.safetensors"
    for trainer, path in ((saved, tmp_path / "run.safetensors"), (loaded, again)):
        trainer.save_checkpoint(path)
    assert again.read_bytes() == (tmp_path / "run.safetensors").read_bytes()


def test_a_failed_save_leaves_the_old_file(tmp_path, monkeypatch):
    path = tmp_path / "run.safetensors"
    trainer = make()
    trainer.save_checkpoint(path)
    old = path.read_bytes()

    def full(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("os.fsync", full)
    trainer.fit_epoch(X)
    with pytest.raises(OSError, match="No space left"):
        trainer.save_checkpoint(path)
    assert path.read_bytes() == old
    assert list(tmp_path.iterdir()) == [path]
