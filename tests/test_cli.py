"""The command line, as a user meets it."""

from __future__ import annotations

import json
import subprocess
import sys
import warnings

import numpy as np
import pytest

import aefast
from aefast import cli, data
from aefast.errors import NonFiniteError


def aefast_command(*arguments, **options):
    command = [sys.executable, "-P", "-m", "aefast", *arguments]
    return subprocess.run(command, capture_output=True, text=True, timeout=120, **options)


@pytest.fixture(scope="module")
def demo(tmp_path_factory):
    """One short demo on the digits, run as a user would, on the fastest backend."""
    pytest.importorskip("matplotlib")
    folder = tmp_path_factory.mktemp("demo") / "made by aefast"
    arguments = ("demo", "--data", "digits", "--epochs", "15", "--out", str(folder))
    result = aefast_command(*arguments)
    assert result.returncode == 0, result.stderr
    return result, folder


def test_demo_talks_to_a_newcomer(demo):
    result, folder = demo
    first = result.stdout.splitlines()[0]
    assert "1,433 images to train on, 364 held out" in first and "8 x 8" in first
    assert str(folder) in result.stdout and "Try next" in result.stdout
    assert "VariationalAutoencoder" in result.stderr  # the progress bar


def test_demo_leaves_models_table_and_pictures(demo):
    result, folder = demo
    made = {path.name for path in folder.iterdir()}
    models = {
        "autoencoder",
        "denoising",
        "sparse",
        "variational",
        "conv",
        "conv_denoising",
        "conv_variational",
    }
    pictures = {
        "reconstructions",
        "denoising",
        "samples",
        "filters",
        "latent_map",
        "loss_curves",
        "conv_samples",
    }
    files = {f"{m}.safetensors" for m in models} | {f"{p}.png" for p in pictures}
    assert made == files | {"results.md", "results.json"}
    assert all((folder / f"{p}.png").read_bytes().startswith(b"\x89PNG") for p in pictures)
    rows = {row["model"]: row for row in json.loads((folder / "results.json").read_text())["models"]}
    assert set(rows) == models
    table = (folder / "results.md").read_text().split("\n\n")[2].strip()
    assert table in result.stdout and len({len(line) for line in table.splitlines()}) == 1


def test_demo_numbers_are_those_of_the_saved_models(demo):
    _, folder = demo
    rows = {row["model"]: row for row in json.loads((folder / "results.json").read_text())["models"]}
    X = data.load("digits").X_test
    model = aefast.load(folder / "autoencoder.safetensors")
    error = np.mean((model.reconstruct(X) / 255.0 - X / 255.0) ** 2)
    assert rows["autoencoder"]["test_mse"] == pytest.approx(error, rel=1e-4)
    assert rows["autoencoder"]["test_mse"] < 0.9 * rows["autoencoder"]["pca_mse"]
    assert rows["denoising"]["test_mse"] < 0.75 * rows["denoising"]["pca_mse"]
    assert rows["sparse"]["pca_mse"] is None  # as many components as pixels
    assert rows["sparse"]["mean_activation"] < 0.2 and rows["sparse"]["inactive"] > 0.1
    assert -40 < rows["variational"]["elbo"] < -20
    assert rows["conv"]["test_mse"] < rows["conv"]["pca_mse"]
    assert rows["conv_denoising"]["test_mse"] < 0.85 * rows["conv_denoising"]["pca_mse"]
    assert -40 < rows["conv_variational"]["elbo"] < -20
    fastest = next(name for name in aefast.backends.NAMES if aefast.backends.available(name))
    assert {row["backend"] for row in rows.values()} == {fastest}
    assert all(
        row["samples_per_second"] == pytest.approx(15 * 1433 / row["seconds"]) for row in rows.values()
    )


def test_a_slow_backend_leaves_the_convolutions_out_and_says_so(tmp_path):
    from aefast import demo

    lines = []
    results = demo.run("digits", tmp_path, epochs=1, backend="numpy", say=lines.append)
    assert [result.model for result in results] == ["autoencoder", "denoising", "sparse", "variational"]
    (told,) = [line for line in lines if "Left out" in line]
    assert "conv, conv_denoising, conv_variational" in told and "numpy" in told
    assert not list(tmp_path.glob("conv*"))


def test_the_demos_pca_is_pca():
    from sklearn.decomposition import PCA

    from aefast import demo_pictures

    images = data.load("digits")
    X, T = images.X_train / 255.0, images.X_test / 255.0
    pca = PCA(8).fit(X)
    np.testing.assert_allclose(
        demo_pictures.pca(images, 8)(T), pca.inverse_transform(pca.transform(T)), atol=1e-3
    )


def test_info_tells_every_backend_and_version(capsys):
    assert cli.main(["info"]) == 0
    out = capsys.readouterr().out
    for word in (aefast.__version__, *aefast.backends.NAMES, "numpy", np.__version__, "threads", "Python"):
        assert word in out


def test_without_a_command_there_is_help(capsys):
    assert cli.main([]) == 0
    out = capsys.readouterr().out
    assert "aefast demo" in out and all(f"{name} " in out for name in cli.COMMANDS)
    assert all(line in out for _, line in cli.COMMANDS.values()) and "aefast fit mnist" in out


def test_version(capsys):
    with pytest.raises(SystemExit) as end:
        cli.main(["--version"])
    assert end.value.code == 0 and aefast.__version__ in capsys.readouterr().out


@pytest.mark.parametrize(
    "arguments",
    [
        ("dmeo",),
        ("demo", "--data", "minst"),
        ("demo", "--epochs", "0"),
        ("demo", "--epochs", "x"),
        ("demo", "--seed", "-1"),
        ("demo", "--backend", "numby"),
    ],
    ids=" ".join,
)
def test_wrong_usage_is_exit_code_2(arguments, capsys):
    with pytest.raises(SystemExit) as end:
        cli.main(arguments)
    assert end.value.code == 2 and "Traceback" not in capsys.readouterr().err


def test_bad_input_is_one_line_and_exit_code_2(tmp_path, capsys, monkeypatch):
    (tmp_path / "file").write_text("in the way")
    assert cli.main(["demo", "--data", "digits", "--out", str(tmp_path / "file" / "below")]) == 2
    assert cli.main(["demo", "--data", "digits", "--out", str(tmp_path / "file")]) == 2
    from aefast.data import datasets

    monkeypatch.setattr(datasets, "_fashion_folders", list)
    monkeypatch.setitem(sys.modules, "pooch", None)
    assert cli.main(["demo", "--data", "fashion-mnist", "--out", str(tmp_path / "never")]) == 2
    lines = capsys.readouterr().err.strip().splitlines()
    assert len(lines) == 3 and all(line.startswith("aefast: ") for line in lines)
    assert "AEFAST_DATA" in lines[2] and not (tmp_path / "never").exists()


@pytest.mark.parametrize(
    ("error", "line"),
    [
        (OSError(28, "No space left on device"), "aefast: No space left on device"),
        (OSError(5, "Input/output error", "a.csv"), "aefast: a.csv: Input/output error"),
        (MemoryError("can't hold 8 TB"), "aefast: out of memory: can't hold 8 TB"),
        (NonFiniteError("the loss", 3), "aefast: step 3: the loss is not finite"),
    ],
    ids=lambda value: type(value).__name__,
)
def test_a_failure_on_the_way_is_one_line_and_exit_code_1(error, line, monkeypatch, capsys):
    def failing(*arguments, **options):
        raise error

    monkeypatch.setattr("aefast.demo.run", failing)
    assert cli.main(["demo"]) == 1
    err = capsys.readouterr().err
    assert err.startswith(line) and err.count("\n") == 1


def test_ctrl_c_is_exit_code_130(monkeypatch, capsys):
    def interrupted(*arguments, **options):
        raise KeyboardInterrupt

    monkeypatch.setattr("aefast.demo.run", interrupted)
    assert cli.main(["demo"]) == 130
    assert "interrupted" in capsys.readouterr().err


@pytest.mark.parametrize("bug", [ZeroDivisionError, TypeError, KeyError, AttributeError])
def test_a_bug_is_not_hidden(bug, monkeypatch):
    def broken(*arguments, **options):
        raise bug

    monkeypatch.setattr("aefast.demo.run", broken)
    with pytest.raises(bug):
        cli.main(["demo"])


def test_a_broken_installation_is_not_hidden(monkeypatch):
    monkeypatch.setitem(sys.modules, "aefast.demo", None)
    with pytest.raises(ModuleNotFoundError):
        cli.main(["demo"])


def test_a_warning_is_one_line(monkeypatch, capsys):
    monkeypatch.setattr(
        "aefast.demo.run", lambda *a, **o: warnings.warn("look here", UserWarning, stacklevel=1)
    )
    assert cli.main(["demo"]) == 0
    assert capsys.readouterr().err == "aefast: warning: look here\n"


@pytest.mark.parametrize(
    ("arguments", "hint"),
    [
        (["scroe"], "did you mean 'score'?"),
        (["demo", "--epoch", "3"], "'--epoch': did you mean '--epochs'?"),
        (["demo", "--oot=x"], "'--oot': did you mean '--out'?"),
        (["demo", "extra"], "unknown argument 'extra'"),
        (["fit"], "required: DATA, -o/--out"),
    ],
    ids=str,
)
def test_wrong_usage_is_one_line_with_a_hint(arguments, hint, capsys):
    with pytest.raises(SystemExit) as end:
        cli.main(arguments)
    err = capsys.readouterr().err
    assert end.value.code == 2 and hint in err and err.count("\n") == 1 and err.startswith("aefast: ")


@pytest.mark.parametrize("command", cli.COMMANDS)
def test_every_command_has_help(command, capsys):
    with pytest.raises(SystemExit) as end:
        cli.main([command, "--help"])
    assert end.value.code == 0 and capsys.readouterr().out.startswith(f"usage: aefast {command} ")


def test_top_level_help_is_quick_and_loads_no_scikit_learn():
    code = "import sys, aefast.cli; aefast.cli.main([]); sys.exit('sklearn' in sys.modules)"
    assert subprocess.run([sys.executable, "-P", "-c", code], capture_output=True, timeout=60).returncode == 0


@pytest.mark.parametrize("unbuffered", ["", "1"])
@pytest.mark.parametrize("arguments", ["info", "transform model.safetensors digits"])
def test_a_reader_that_leaves_early_makes_no_noise(arguments, unbuffered, tmp_path):
    aefast.Autoencoder(2, epochs=1).fit(data.load("digits").X_train).save(tmp_path / "model.safetensors")
    # Buffered, the pipe is met when Python flushes at its end; unbuffered, at the first word.
    command = f"PYTHONUNBUFFERED={unbuffered} {sys.executable} -P -m aefast {arguments} | true"
    result = subprocess.run(["bash", "-c", command], capture_output=True, text=True, timeout=60, cwd=tmp_path)
    assert result.stderr == ""
