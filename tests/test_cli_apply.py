"""`aefast transform`, `reconstruct`, `score`, `sample` and `info MODEL`."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from conftest import require

import aefast
from aefast import cli, data
from aefast.data.readers import read

WINE = data.load_table("wine")
NAMES = WINE.feature_names


def table(path: str, columns: dict[str, Any]) -> None:
    lines = [",".join(columns), *(",".join(map(str, row)) for row in zip(*columns.values(), strict=True))]
    Path(path).write_text("\n".join(lines) + "\n")


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Models of the wine table: one with names, a variational one, one for bce; and the rows."""
    folder = tmp_path_factory.mktemp("models")
    kinds = {
        "ae": aefast.Autoencoder(3, hidden_layer_sizes=8, epochs=5, random_state=0),
        "vae": aefast.VariationalAutoencoder(
            3, hidden_layer_sizes=8, epochs=5, random_state=0, scaling="minmax", loss="bce"
        ),
        "vae-mse": aefast.VariationalAutoencoder(3, hidden_layer_sizes=8, epochs=5, random_state=0),
    }
    for name, model in kinds.items():
        model.fit(WINE.X)
        if name != "vae-mse":
            model.feature_names_in_ = np.array(NAMES, dtype=object)
        model.save(folder / f"{name}.st")
    np.save(folder / "wine.npy", WINE.X)
    return folder


@pytest.fixture(autouse=True)
def folder(made: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    for path in made.iterdir():
        (tmp_path / path.name).symlink_to(path)
    monkeypatch.chdir(tmp_path)
    table("wine.csv", dict(zip(NAMES, WINE.X.T, strict=True)))
    return tmp_path


def model(name: str) -> Any:
    found = aefast.load(f"{name}.st")
    if hasattr(found, "feature_names_in_"):
        del found.feature_names_in_
    return found


@pytest.mark.parametrize("source", ["wine.npy", "wine.csv"])
@pytest.mark.parametrize("out", ["o.npy", "o.npz", "o.csv", "o.parquet"])
@pytest.mark.parametrize("name", ["ae", "vae"])
def test_what_is_written_is_what_the_model_says(source: str, out: str, name: str) -> None:
    if out.endswith("parquet"):
        require("pyarrow")
    told, X = model(name), WINE.X
    for command, expected in (("transform", told.transform(X)), ("reconstruct", told.reconstruct(X))):
        assert cli.main([command, f"{name}.st", source, "-o", out]) == 0
        rows = read(out)
        assert (np.asarray(rows.X, np.float32) == expected).all()
        if rows.names is not None:
            assert rows.names == (
                NAMES
                if command == "reconstruct"
                else tuple(f"{type(told).__name__.lower()}{i}" for i in range(3))
            )


def test_score_is_minus_score_samples(capsys: pytest.CaptureFixture[str]) -> None:
    for out in ([], ["-o", "-"]):
        assert cli.main(["score", "ae.st", "wine.csv", *out]) == 0
        streams = capsys.readouterr()
        header, *values = streams.out.split()
        assert header == "reconstruction_error" and not streams.err
        assert (np.float32(values) == -model("ae").score_samples(WINE.X)).all()


@pytest.mark.parametrize("name", ["vae", "vae-mse"])
def test_score_of_a_variational_model(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["score", f"{name}.st", "wine.npy", "-o", "o.csv"]) == 0
    rows, told = read("o.csv"), model(name)
    assert rows.names == ("reconstruction_error", "negative_elbo")
    assert (rows.X[:, 1].astype(np.float32) == -told.score_samples(WINE.X)).all()
    r = told.scaling_.forward(told.inverse_transform(told.transform(WINE.X)))
    t = told.scaling_.forward(WINE.X)
    each = (r - t) ** 2 if name == "vae-mse" else -t * np.log(r) - (1 - t) * np.log(1 - r)
    np.testing.assert_allclose(rows.X[:, 0], each.sum(axis=1), rtol=2e-5)


def test_sparse_rows_are_scored_as_dense_ones() -> None:
    from scipy import sparse

    sparse.save_npz("s.npz", sparse.csr_array(WINE.X))
    for name in ("ae", "vae"):
        assert cli.main(["score", f"{name}.st", "s.npz", "-o", "s.npy"]) == 0
        assert cli.main(["score", f"{name}.st", "wine.npy", "-o", "d.npy"]) == 0
        np.testing.assert_allclose(np.load("s.npy"), np.load("d.npy"), rtol=1e-5)


def test_columns_are_found_by_name(capsys: pytest.CaptureFixture[str]) -> None:
    columns = dict(reversed(list(zip(NAMES, WINE.X.T, strict=True))))
    table("mixed.csv", {"vineyard": ["Gut"] * len(WINE.X), **columns})
    assert cli.main(["transform", "ae.st", "mixed.csv", "-o", "o.npy"]) == 0
    assert (np.load("o.npy") == model("ae").transform(WINE.X)).all()
    assert (
        capsys.readouterr().err
        == "aefast: mixed.csv: leaving out column 'vineyard', not known to the model\n"
    )


def test_sample(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["sample", "vae.st", "-n", "4", "--seed", "5", "-o", "o.npy"]) == 0
    assert (np.load("o.npy") == model("vae").sample(4, random_state=5)).all()
    assert cli.main(["sample", "vae.st"]) == 0
    header, row = capsys.readouterr().out.splitlines()
    assert tuple(header.split(",")) == NAMES
    assert (np.float32(row.split(",")) == model("vae").sample(1)[0]).all()


def test_info_of_a_model(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["info", "vae.st"]) == 0
    out, told = capsys.readouterr().out, model("vae")
    n = sum(value.size for value in told.trainer_.parameters.values())
    for word in (
        "VariationalAutoencoder",
        "13-8-3-8-13",
        f"{n:,} numbers",
        "loss='bce'",
        "5 epochs",
        "minmax",
    ):
        assert word in out
    assert f"{told.loss_curve_[-1]:.5g} at the end" in out and NAMES[0] in out and "and 1 more" in out
    assert cli.main(["info", "vae-mse.st"]) == 0
    assert "without names" in capsys.readouterr().out


def test_the_backend_can_be_another(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["transform", "ae.st", "wine.npy", "--backend", "numpy", "-o", "o.npy"]) == 0
    np.testing.assert_allclose(np.load("o.npy"), model("ae").transform(WINE.X), rtol=1e-4, atol=1e-5)


REFUSED = {
    "score wine.csv ae.st": "wine.csv",
    "score none.st wine.csv": "none.st",
    "score cut.st wine.csv": "cut.st",
    "score ae.st none.csv": "there is no file none.csv",
    "score ae.st narrow.npy": "narrow.npy has 2 columns, but ae.st was fitted on 13",
    "score ae.st narrow.csv": "narrow.csv lacks columns 'alcohol'",
    "score ae.st wine.csv --drop proline": "lacks column 'proline'",
    "score ae.st holes.csv": "line 3, column 'ash' has no value",
    "score ae.st holes.npy": "NaN",
    "score vae.st far.npy": "needs targets in [0, 1]",
    "score ae.st wine.csv -o o.txt": "must end in .npy, .npz, .csv, .parquet",
    "score ae.st wine.csv -o no/o.csv": "there is no folder no",
    "transform ae.st wine.csv -o wine.csv": "is read by this command",
    "transform ae.st wine.csv --backend numby": "invalid choice: 'numby'",
    "transform ae.st wine.csv --out o.csv --seed 3": "unknown argument '--seed'",
    "sample ae.st": "holds a model of the class Autoencoder, which can't make up rows",
    "sample vae.st -n 0": "at least 1",
    "sample vae.st -n few": "a whole number",
    "sample vae.st -n 3 -o no/o.csv": "there is no folder no",
    "info wine.csv": "wine.csv",
    "info none.st": "none.st",
}


@pytest.mark.parametrize("command", REFUSED)
def test_bad_input_is_one_line_code_2_and_nothing_written(
    command: str, capsys: pytest.CaptureFixture[str]
) -> None:
    Path("cut.st").write_bytes(Path("ae.st").read_bytes()[:-50])
    np.save("narrow.npy", WINE.X[:, :2])
    table("narrow.csv", {"a": [1, 2], "b": [3, 4]})
    holes = [list(column[:3]) for column in WINE.X.T]
    holes[2][1] = ""
    table("holes.csv", dict(zip(NAMES, holes, strict=True)))
    X = WINE.X[:3].copy()
    X[1, 2] = np.nan
    np.save("holes.npy", X)
    np.save("far.npy", 3 * WINE.X)
    before = {path: path.read_bytes() for path in Path().iterdir()}
    try:
        code: Any = cli.main(command.split())
    except SystemExit as end:
        code = end.code
    streams = capsys.readouterr()
    assert code == 2 and not streams.out, streams
    assert streams.err.startswith("aefast: ") and streams.err.count("\n") == 1
    assert REFUSED[command] in streams.err
    assert {path: path.read_bytes() for path in Path().iterdir()} == before


def test_where_to_is_checked_before_anything_is_read(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def reading(*arguments: Any, **options: Any) -> None:
        raise AssertionError("the model was read")

    monkeypatch.setattr("aefast.io.load", reading)
    for command in ("transform ae.st wine.csv", "score ae.st wine.csv", "sample vae.st"):
        assert cli.main([*command.split(), "-o", "no/o.csv"]) == 2
    assert capsys.readouterr().err.count("there is no folder no") == 3
