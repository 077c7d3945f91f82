"""`aefast fit`: flags, what it learns from, what it says, and what it leaves when it can't."""

from __future__ import annotations

import inspect
import io
import json
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import aefast
from aefast import cli, data
from aefast.cli import flags


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with a table in it, as CSV and .npy."""
    monkeypatch.chdir(tmp_path)
    wine = data.load_table("wine")
    np.save("wine.npy", wine.X)
    np.savetxt(
        "wine.csv", wine.X, delimiter=",", header=",".join(wine.feature_names), comments="", fmt="%.17g"
    )
    return tmp_path


def fit(*arguments: str) -> int:
    return cli.main(["fit", *arguments, "-o", "m.safetensors"])


def refused(capsys: pytest.CaptureFixture[str], *arguments: str) -> str:
    """The one line of a run that must end with 2 and leave nothing."""
    before = set(Path().rglob("*"))
    try:
        code: Any = cli.main(list(arguments))
    except SystemExit as end:
        code = end.code
    err = capsys.readouterr().err
    assert code == 2 and err.startswith("aefast: ") and err.count("\n") == 1, err
    assert set(Path().rglob("*")) == before
    return err


# Flags ------------------------------------------------------------------------------------------------------------


def test_every_parameter_of_every_model_is_a_flag_with_help(capsys: pytest.CaptureFixture[str]) -> None:
    taken = {name for kind in flags.MODELS.values() for name in inspect.signature(kind).parameters}
    told = {name for lines in flags.HELP.values() for name in lines}
    assert set(flags.flags()) == told == taken - flags.LEFT_OUT
    with pytest.raises(SystemExit):
        cli.main(["fit", "--help"])
    out = capsys.readouterr().out
    assert all(f"{flag.option} " in out or f"{flag.option}," in out for flag in flags.flags().values())


@pytest.mark.parametrize(
    ("text", "name", "value"),
    [
        ("16", "n_components", 16),
        ("auto", "n_components", "auto"),
        ("256,64", "hidden_layer_sizes", (256, 64)),
        ("256", "hidden_layer_sizes", (256,)),
        ("none", "hidden_layer_sizes", ()),
        ("auto", "hidden_layer_sizes", "auto"),
        ("none", "scaling", None),
        ("none", "clip_norm", None),
        ("0.5", "clip_norm", 0.5),
        ("1e-4", "learning_rate", 1e-4),
        ("bce", "loss", "bce"),
        ("none", "random_state", None),
        ("7", "random_state", 7),
    ],
)
def test_a_flag_becomes_the_constructors_argument(text: str, name: str, value: Any) -> None:
    parsed = flags.flags()[name].parse(text)
    assert parsed == value and type(parsed) is type(value)


def test_the_model_is_the_one_that_the_same_arguments_make_in_python(
    capsys: pytest.CaptureFixture[str],
) -> None:
    given = "--model sparse --n-components 5 --tied-weights --no-shuffle --rho 0.1 --epochs 4 --seed 3 --scaling minmax"
    assert fit("wine.npy", *given.split()) == 0
    same = aefast.SparseAutoencoder(
        5, tied_weights=True, shuffle=False, rho=0.1, epochs=4, random_state=3, scaling="minmax"
    ).fit(np.load("wine.npy"))
    made = aefast.load("m.safetensors")
    assert type(made) is type(same) and made.loss_curve_ == same.loss_curve_
    assert (made.transform(np.load("wine.npy")) == same.transform(np.load("wine.npy"))).all()
    line = capsys.readouterr().err
    for word in ("SparseAutoencoder", "13-5-13", "178 rows", "minmax", "4 epochs", "rows/s", "m.safetensors"):
        assert word in line
    assert f"loss {same.loss_curve_[-1]:.5g}" in line and line.count("\n") == 1


@pytest.mark.parametrize("name", [*flags.MODELS, *flags.ALIASES])
def test_every_model(name: str) -> None:
    rows = ["--image-shape", "signal"] if flags.ALIASES.get(name, name) == "conv" else []
    assert fit("wine.csv", "--model", name, "--epochs", "1", "-q", *rows) == 0
    assert type(aefast.load("m.safetensors")) is flags.MODELS[flags.ALIASES.get(name, name)]


BAD_FLAGS = {
    "--n-componets 4": "'--n-componets': did you mean '--n-components'?",
    "--beta 2": "the model autoencoder takes no --beta; models that do: vae",
    "--model vae --no-tied-weights": "models that do: autoencoder, denoising, sparse",
    "--model vea": "Did you mean 'vae'?",
    "--loss bec": "Did you mean 'bce'?",
    "--epochs 0": "at least 1",
    "--epochs 1.5": "an integer",
    "--learning-rate fast": "a number",
    "--learning-rate nan": "a number",
    "--hidden-layer-sizes 16,x": "'x'",
    "--seed -1": "[0, 2^64)",
    "--loss none": "unknown loss 'none'",
    "--verbose --quiet": "not allowed with",
    "--warm-start": "unknown argument",
    "--loss bce": "needs targets in [0, 1]",
    "--model vae --reduction mean": "must be 'sum'",
    "--validation wine_.csv": "there is no file wine_.csv",
    "--log epochs.txt": "must end in .csv, .jsonl",
    "--log no/epochs.csv": "there is no folder no",
    "--backend none": "unknown backend",
    "--drop nothing": "no column 'nothing' to drop",
}


@pytest.mark.parametrize("given", BAD_FLAGS)
def test_wrong_flags(given: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert BAD_FLAGS[given] in refused(capsys, "fit", "wine.csv", "-o", "m.st", *given.split())


# Data and files ---------------------------------------------------------------------------------------------------


def test_names_of_a_csv_are_the_models(capsys: pytest.CaptureFixture[str]) -> None:
    assert fit("wine.csv", "--epochs", "1", "--drop", "proline") == 0
    assert tuple(aefast.load("m.safetensors").feature_names_in_) == data.load_table("wine").feature_names[:-1]


def test_images_are_scaled_as_pixels_unless_told(capsys: pytest.CaptureFixture[str]) -> None:
    assert fit("digits", "--epochs", "1", "--loss", "bce") == 0
    assert aefast.load("m.safetensors").scaling == "pixel" and "scaling pixel" in capsys.readouterr().err
    assert fit("digits", "--epochs", "1", "--scaling", "standard") == 0
    assert aefast.load("m.safetensors").scaling == "standard"


def test_sparse_rows_learn_what_dense_ones_do() -> None:
    from scipy import sparse

    X = np.load("wine.npy")
    X[X < 2] = 0
    sparse.save_npz("sparse.npz", sparse.csr_array(X))
    np.save("dense.npy", X)
    curves = []
    for source in ("sparse.npz", "dense.npy"):
        assert (
            fit(source, "--seed", "0", "--epochs", "3", "--scaling", "none", "--learning-rate", "1e-5") == 0
        )
        curves.append(aefast.load("m.safetensors").loss_curve_)
    assert curves[0] == pytest.approx(curves[1], rel=1e-5)


def test_validation_rows_by_name(capsys: pytest.CaptureFixture[str]) -> None:
    X = np.load("wine.npy")
    names = data.load_table("wine").feature_names
    header = ",".join((*names[::-1], "more"))
    np.savetxt("val.csv", np.c_[X[:, ::-1], X[:, 0]], delimiter=",", header=header, comments="", fmt="%.17g")
    assert fit("wine.csv", "--validation", "val.csv", "--epochs", "2", "--seed", "0") == 0
    model = aefast.load("m.safetensors")
    same = aefast.Autoencoder(epochs=2, random_state=0).fit(X, X_val=X)
    assert model.validation_loss_curve_ == pytest.approx(same.validation_loss_curve_, rel=1e-6)
    assert "leaving out column 'more'" in capsys.readouterr().err


def test_log() -> None:
    assert fit("wine.npy", "--epochs", "3", "--log", "epochs.jsonl", "-q") == 0
    lines = [json.loads(line) for line in Path("epochs.jsonl").read_text().splitlines()]
    assert [line["loss"] for line in lines] == pytest.approx(aefast.load("m.safetensors").loss_curve_)
    assert fit("wine.npy", "--epochs", "3", "--log", "epochs.csv", "-q") == 0
    assert "loss" in Path("epochs.csv").read_text().splitlines()[0]


def test_more_components_than_features_is_allowed() -> None:
    assert fit("wine.npy", "--n-components", "40", "--epochs", "1", "-q") == 0
    assert aefast.load("m.safetensors").n_components_ == 40


BAD_FILES = {
    "fit none.csv -o m.st": "there is no file none.csv",
    "fit wine.csv -o no/m.st": "there is no folder no",
    "fit wine.csv -o .": "is a folder",
    "fit wine.csv -o wine.csv": "is read by this command",
    "fit wine.npy -o m.st --validation digits": "has 64 columns, but wine.npy has 13",
    "fit wine.npy -o wine.npy": "is read by this command",
}


@pytest.mark.parametrize("command", BAD_FILES)
def test_wrong_files(
    command: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def trained(*arguments: Any, **options: Any) -> None:
        raise AssertionError("the training began")

    monkeypatch.setattr(aefast.Trainer, "fit_epoch", trained)
    assert BAD_FILES[command] in refused(capsys, *command.split())


def test_a_folder_that_takes_no_files_is_found_before_the_training(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def readonly(*arguments: Any, **options: Any) -> Any:
        raise OSError(30, "Read-only file system")

    monkeypatch.setattr("tempfile.TemporaryFile", readonly)
    assert "Read-only file system" in refused(capsys, "fit", "wine.csv", "-o", "m.st")


def test_a_full_disk_is_exit_code_1_and_leaves_the_old_model(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    assert fit("wine.npy", "--epochs", "1") == 0
    before = Path("m.safetensors").read_bytes()

    def full(*arguments: Any, **options: Any) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("os.fsync", full)
    assert fit("wine.npy", "--epochs", "2") == 1
    assert "No space left" in capsys.readouterr().err
    assert Path("m.safetensors").read_bytes() == before and len(list(Path().glob("*m.safe*"))) == 1


# Talk, and Ctrl-C -------------------------------------------------------------------------------------------------


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


@pytest.mark.parametrize(
    ("terminal", "given", "bar", "line"),
    [
        (True, [], True, True),
        (True, ["--quiet"], False, False),
        (False, [], False, True),
        (False, ["--verbose"], True, True),
        (False, ["-q"], False, False),
    ],
)
def test_a_bar_on_a_terminal_alone(
    terminal: bool, given: list[str], bar: bool, line: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    screen = Terminal() if terminal else io.StringIO()
    monkeypatch.setattr(sys, "stderr", screen)
    assert fit("wine.npy", "--epochs", "2", *given) == 0
    assert ("%" in screen.getvalue()) == bar and ("saved to" in screen.getvalue()) == line


@pytest.mark.parametrize("after", [0, 2])
def test_ctrl_c_keeps_what_was_learned(
    after: int, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    real = aefast.Trainer.epoch_in_pieces

    def interrupted(self: aefast.Trainer, *arguments: Any, **options: Any) -> Any:
        if self.epoch == after:
            raise KeyboardInterrupt
        return real(self, *arguments, **options)

    with monkeypatch.context() as patch:
        patch.setattr(aefast.Trainer, "epoch_in_pieces", interrupted)
        assert (
            fit("wine.csv", "--epochs", "50", "--seed", "0", "--schedule", "constant", "--log", "l.csv")
            == 130
        )
    err = capsys.readouterr().err
    assert "interrupted" in err and err.count("\n") == 1
    assert Path("m.safetensors").exists() == bool(after)
    if after:
        same = aefast.Autoencoder(epochs=after, random_state=0, schedule="constant").fit(np.load("wine.npy"))
        made = aefast.load("m.safetensors")
        assert "2 epochs" in err and made.n_iter_ == 2 and made.loss_curve_ == same.loss_curve_
        assert (made.transform(np.load("wine.npy")) == same.transform(np.load("wine.npy"))).all()


def test_ctrl_c_from_a_keyboard() -> None:
    given = "fit digits -o m.safetensors --epochs 1000000 --tol 0 --n-iter-no-change 1000000 --log log.csv"
    command = [sys.executable, "-P", "-m", "aefast", *given.split()]
    process = subprocess.Popen(command, stderr=subprocess.PIPE, text=True)
    deadline = time.monotonic() + 60
    while not (Path("log.csv").exists() and len(Path("log.csv").read_text().splitlines()) > 2):
        assert process.poll() is None and time.monotonic() < deadline
        time.sleep(0.05)
    process.send_signal(signal.SIGINT)
    err = process.communicate(timeout=60)[1]
    assert process.returncode == 130 and "interrupted" in err and "Traceback" not in err, err
    assert aefast.load("m.safetensors").n_iter_ >= 2
