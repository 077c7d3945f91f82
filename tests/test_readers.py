"""Rows out of every kind of source, and what a source that can't be read says."""

from __future__ import annotations

import gzip
import sys
from pathlib import Path

import numpy as np
import pytest
from conftest import require

from aefast import data
from aefast.data import writers
from aefast.data.readers import read
from aefast.data.selection import Selection

X = np.arange(12.0).reshape(4, 3) + 0.25


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


def text(content: str, name: str = "a.csv") -> str:
    Path(name).write_text(content, encoding="utf-8")
    return name


# Each kind --------------------------------------------------------------------------------------------------------


def test_npy_is_mapped_not_read(folder: Path) -> None:
    np.save("a.npy", X)
    rows = read("a.npy")
    assert isinstance(rows.X, np.memmap) and (rows.X == X).all() and rows.names is None and not rows.notes


def test_npz_gives_the_first_matrix_or_the_named_one(folder: Path) -> None:
    np.savez("a.npz", y=np.zeros(4), first=X, second=2 * X)
    rows = read("a.npz")
    assert (rows.X == X).all() and "'first'" in rows.notes[0] and "a.npz:second" in rows.notes[0]
    assert (read("a.npz:second").X == 2 * X).all() and not read("a.npz:second").notes
    with pytest.raises(ValueError, match=r"no array 'secnd'.*did you mean 'second'"):
        read("a.npz:secnd")


@pytest.mark.parametrize("kind", ["csr", "csc", "coo"])
def test_scipys_npz_gives_csr(folder: Path, kind: str) -> None:
    from scipy import sparse

    matrix = sparse.random_array((7, 5), density=0.4, format=kind, rng=np.random.default_rng(0))
    sparse.save_npz("a.npz", matrix)
    rows = read("a.npz")
    assert rows.X.format == "csr" and (rows.X.toarray() == matrix.toarray()).all()


CSVS = {
    "header": ("a,b,c\n{}\n", ("a", "b", "c")),
    "no header": ("{}\n", None),
    "quoted names": ('"a, x","b ""q""",c\n{}\n', ("a, x", 'b "q"', "c")),
    "a name that is a number": ("a,2020,c\n{}\n", ("a", "2020", "c")),
    "a name over two lines": ('"a\nx",b,c\n{}\n', ("a\nx", "b", "c")),
    "counted header": ("0,1,2\n{}\n", ("0", "1", "2")),
    "byte order mark": ("\ufeffa,b,c\n{}\n", ("a", "b", "c")),
    "blank lines": ("\na,b,c\n\n{}\n\n", ("a", "b", "c")),
}


@pytest.mark.parametrize("end", ["\n", "\r\n"], ids=["unix", "windows"])
@pytest.mark.parametrize("separator", [",", ";", "\t"], ids=["comma", "semicolon", "tab"])
@pytest.mark.parametrize("kind", CSVS)
def test_csv(folder: Path, kind: str, separator: str, end: str) -> None:
    template, names = CSVS[kind]
    lines = "\n".join(",".join(f"{v}" for v in row) for row in X)
    content = template.format(lines)
    if separator != ",":
        content = content.replace("a, x", "a x").replace(",", separator)
        names = None if names is None else tuple(name.replace(",", "") for name in names)
    Path("a.csv").write_bytes(content.replace("\n", end).encode())
    rows = read("a.csv")
    assert (rows.X == X).all() and rows.X.dtype == np.float64
    if names is not None and "\n" in "".join(names):
        assert rows.names is not None and rows.names[1:] == names[1:]
    else:
        assert rows.names == names


def test_csv_in_gzip_and_values_in_quotes(folder: Path) -> None:
    with gzip.open("a.csv.gz", "wt") as file:
        file.write('a,b\n"1","2.5"\n3,-4e-3\n')
    rows = read("a.csv.gz")
    assert rows.X.tolist() == [[1, 2.5], [3, -4e-3]] and rows.names == ("a", "b")
    assert read(text("a\tb\n1\t2\n", "a.tsv")).X.tolist() == [[1, 2]]


def test_header_can_be_told(folder: Path) -> None:
    source = text("0,1,2\n5,6,7\n")
    assert read(source, Selection(header=False)).X.tolist() == [[0, 1, 2], [5, 6, 7]]
    assert read(source, Selection(header=True)).X.tolist() == [[5, 6, 7]]


def test_one_column_and_one_row(folder: Path) -> None:
    assert read(text("a\n1\n2\n")).X.tolist() == [[1], [2]]
    assert read(text("1,2\n")).X.tolist() == [[1, 2]]


def test_columns_go_by_name_and_the_rest_is_told(folder: Path) -> None:
    source = text("id,b,a\nx,1,2\ny,3,4\n")
    rows = read(source, Selection(columns=("a", "b")))
    assert rows.X.tolist() == [[2, 1], [4, 3]] and rows.names == ("a", "b") and "'id'" in rows.notes[0]
    rows = read(source, Selection(drop=("id",)))
    assert rows.X.tolist() == [[1, 2], [3, 4]] and rows.names == ("b", "a") and not rows.notes
    assert read(source, Selection(drop=("1", "a"))).X.tolist() == [[1], [3]]
    np.save("a.npy", X)
    assert (X[:, [0, 2]] == read("a.npy", Selection(drop=("2",))).X).all()


def test_a_column_that_counts_rows_is_told(folder: Path) -> None:
    assert "--drop 1" in read(text(",x\n0,5\n1,6\n2,8\n")).notes[0]
    assert not read(text(",x\n0,5\n3,6\n2,8\n")).notes


def test_parquet(folder: Path) -> None:
    pa = require("pyarrow")
    from pyarrow import parquet

    columns = {"a": pa.array([1, 2], pa.int8()), "b": pa.array([0.5, 1.5], pa.float32())}
    parquet.write_table(pa.table({**columns, "c": pa.array([True, False])}), "a.parquet")
    rows = read("a.parquet")
    assert rows.X.tolist() == [[1, 0.5, 1], [2, 1.5, 0]] and rows.names == ("a", "b", "c")
    parquet.write_table(pa.table({**columns, "s": pa.array(["x", "y"])}), "b.parquet")
    with pytest.raises(ValueError, match=r"column 's' is not numeric \(string\); leave out with --drop s"):
        read("b.parquet")
    assert read("b.parquet", Selection(columns=("b", "a"))).X.tolist() == [[0.5, 1], [1.5, 2]]
    parquet.write_table(pa.table({"a": pa.array([1.0, None])}), "c.parquet")
    with pytest.raises(ValueError, match="column 'a' has no value in row 2"):
        read("c.parquet")
    with pytest.raises(ValueError, match=r"can't be read as a \.parquet file"):
        read(text("no", "d.parquet"))


def test_images(folder: Path) -> None:
    require("PIL")
    from PIL import Image

    rng = np.random.default_rng(0)
    grey = rng.integers(0, 256, (3, 4, 5), np.uint8)
    (folder / "grey" / "below").mkdir(parents=True)
    for path, image in zip(("a.png", "below/b.bmp", "c.png"), grey, strict=True):
        Image.fromarray(image).save(folder / "grey" / path)
    rows = read("grey")
    assert rows.pixels and rows.X.dtype == np.uint8 and (grey.reshape(3, -1) == rows.X).all()
    colour = rng.integers(0, 256, (4, 5, 3), np.uint8)
    Image.fromarray(colour).save(folder / "grey" / "d.png")
    rows = read("grey")
    assert (rows.X[3] == colour.transpose(2, 0, 1).ravel()).all()
    assert (rows.X[0] == np.tile(grey[0].ravel(), 3)).all()  # one that is in colour makes all RGB
    Image.new("L", (7, 4)).save(folder / "grey" / "e.png")
    with pytest.raises(ValueError, match=r"grey/a.png is 5 x 4 and grey/e.png is 7 x 4"):
        read("grey")
    (folder / "grey" / "e.png").write_bytes(b"no image")
    with pytest.raises(ValueError, match=r"e.png isn't an image"):
        read("grey")
    whole = (folder / "grey" / "d.png").read_bytes()
    (folder / "grey" / "e.png").write_bytes(whole[: len(whole) // 2])
    with pytest.raises(ValueError, match=r"e.png isn't a whole image"):
        read("grey")
    Image.fromarray(grey[0].astype(np.uint16)).save(folder / "grey" / "e.png")
    with pytest.raises(ValueError, match="more than 8 bits"):
        read("grey")
    (folder / "empty").mkdir()
    with pytest.raises(ValueError, match="empty holds no images"):
        read("empty")


@pytest.mark.parametrize(("package", "source"), [("pyarrow", "a.parquet"), ("PIL", "images")])
def test_a_missing_package_says_what_to_install(
    folder: Path, package: str, source: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, package, None)
    (folder / "images").mkdir()
    (folder / "a.parquet").write_bytes(b"")
    with pytest.raises(ModuleNotFoundError, match=r"pip install 'aefast\[io\]'"):
        read(source)


def test_named_data_sets(folder: Path) -> None:
    digits = data.load("digits")
    rows = read("digits")
    assert (digits.X_train == rows.X).all() and rows.pixels
    assert (digits.X_test == read("digits:test").X).all() and (digits.X_train == read("digits:train").X).all()
    with pytest.raises(ValueError, match="digits:train and digits:test"):
        read("digits:tset")
    wine = read("wine", Selection(drop=("alcohol",)))
    assert wine.X.shape == (178, 12) and wine.names is not None and wine.names[0] == "malic_acid"
    with pytest.raises(ValueError, match="wine isn't split"):
        read("wine:test")


# What can't be read -----------------------------------------------------------------------------------------------

CAN_NOT = {
    "": "is empty",
    "\n\n": "is empty",
    "a,b\n": "a header, but no rows",
    "a,b\n1,\n3,4\n": r"line 2, column 'b' has no value;",
    "a,b\n1,2\n,4\nNA,5\n": r"line 3, column 'a' has no value \(2 values are missing in all\)",
    "a,b\n\n1,2\n\n3,\n": r"line 5, column 'b' has no value;",
    "1,2\n3,nan\n": "line 2, column 2 has no value",
    "a,b\n1,2\n3,inf\n": "line 3, column 'b' is inf, which isn't finite",
    "a,b\n1,2\n3\n": "line 3 has 1 fields, but the first line has 2",
    "a,b\n1,2\n3,4,5\n": "line 3 has 3 fields, but the first line has 2",
    "a,b,c\n1,x,2\n3,y,4\n": r"column 'b' is not numeric \(line 2: 'x'\); leave out with --drop b",
    "1,2,setosa\n3,4,virginica\n": r"column '3' is not numeric .*--drop 3",
    "a,b,c\nu,v,1\n": r"columns 'a', 'b' are not numeric .*--drop a,b",
    '"my name",b\nu,1\n': r"--drop 'my name'",
    "a,a\n1,2\n": r"the name 'a' twice \(columns 1 and 2\)",
    "a,b\n1,1_000\n": "column 'b' is not numeric",
    "a,b\nx,y\n": "columns 'a', 'b' are not numeric",
}


@pytest.mark.parametrize("content", CAN_NOT, ids=repr)
def test_a_csv_that_is_wrong_says_where(folder: Path, content: str) -> None:
    with pytest.raises(ValueError, match=r"^a.csv.*" + CAN_NOT[content]):
        read(text(content))


def test_uneven_lines_are_seen_beside_the_wanted_columns(folder: Path) -> None:
    with pytest.raises(ValueError, match="line 3 has 4 fields"):
        read(text("a,b,c\n1,2,x\n3,4,y,9\n"), Selection(drop=("c",)))


def test_wrong_columns(folder: Path) -> None:
    source = text("height,b\n1,2\n")
    with pytest.raises(ValueError, match=r"lacks column 'heigth' .*did you mean 'height'"):
        read(source, Selection(columns=("heigth", "b")))
    with pytest.raises(ValueError, match=r"no column 'c' to drop.*it has columns 'height', 'b'"):
        read(source, Selection(drop=("c",)))
    with pytest.raises(ValueError, match="no column is left"):
        read(source, Selection(drop=("height", "2")))


def _damaged() -> None:
    np.save("cube.npy", np.zeros((2, 3, 4)))
    np.save("clips.npy", np.zeros((1, 2, 3, 4, 5)))
    np.save("row.npy", np.zeros(3))
    np.save("none.npy", np.zeros((0, 3)))
    np.save("words.npy", np.array([["a"]]))
    np.save("objects.npy", np.array([[{}]], object))
    np.savez("rows.npz", y=np.zeros(3))
    np.savez("good.npz", X=X)
    Path("cut.npy").write_bytes(Path("cube.npy").read_bytes()[:150])
    Path("cut.npz").write_bytes(Path("good.npz").read_bytes()[:150])
    for name in ("empty.npy", "empty.npz"):
        Path(name).touch()
    for name in ("text.npy", "text.npz", "a.txt", "latin.csv", "cut.csv.gz"):
        Path(name).write_bytes(b"a,b\n1,\xff")


DAMAGED = {
    "clips.npy": r"shape \(1, 2, 3, 4, 5\).*three or four of images",
    "row.npy": r"shape \(3,\)",
    "none.npy": "0 rows",
    "words.npy": "numbers were expected",
    "objects.npy": "objects",
    "rows.npz": r"none of its arrays has two dimensions.*y \(3,\)",
    "cut.npy": "can't be read",
    "cut.npz": "can't be read",
    "empty.npy": "it is empty",
    "empty.npz": "it is empty",
    "text.npy": "can't be read",
    "text.npz": "can't be read",
    "a.txt": r"files of type .txt aren't read; expected a .npy",
    "latin.csv": "isn't UTF-8 text",
    "cut.csv.gz": "isn't a whole gzip file",
}


@pytest.mark.parametrize("name", DAMAGED)
def test_damaged_files_are_named(folder: Path, name: str) -> None:
    _damaged()
    with pytest.raises(ValueError, match=f"^{name}.*{DAMAGED[name]}"):
        read(name)


@pytest.mark.parametrize("name", ["none.csv", "none.npy", "mnits", "none.npz:X"])
def test_missing_files(folder: Path, name: str) -> None:
    with pytest.raises(FileNotFoundError, match="there is no file") as error:
        read(name)
    assert name != "mnits" or "did you mean 'mnist'" in str(error.value)


# What is written --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("suffix", writers.SUFFIXES)
@pytest.mark.parametrize("dtype", ["float32", "float64", "uint8"])
def test_what_is_written_is_read_bit_by_bit(folder: Path, suffix: str, dtype: str) -> None:
    if suffix == ".parquet":
        require("pyarrow")
    values = (np.random.default_rng(0).standard_normal((5, 2)) * 50 + 100).astype(dtype)
    writers.write(f"a{suffix}", values, ["a", "b, c"], "codes")
    rows = read(f"a{suffix}")
    assert (np.asarray(rows.X).astype(dtype) == values).all()
    assert rows.names == (("a", "b, c") if suffix in (".csv", ".parquet") else None)
    assert [path.name for path in folder.iterdir()] == [f"a{suffix}"]


def test_a_failed_write_leaves_the_old_file(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    writers.write("a.csv", X, ["a", "b", "c"], "x")
    before = Path("a.csv").read_bytes()

    def full(*arguments: object, **options: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("os.fsync", full)
    with pytest.raises(OSError, match="No space"):
        writers.write("a.csv", 2 * X, ["a", "b", "c"], "x")
    assert Path("a.csv").read_bytes() == before and len(list(folder.iterdir())) == 1


@pytest.mark.parametrize("shape", [(5, 4, 3), (5, 3, 4, 2)])
def test_images_are_rows_that_know_their_axes(folder: Path, shape: tuple[int, ...]) -> None:
    X = np.random.default_rng(0).integers(0, 256, shape).astype(np.uint8)
    np.save("images.npy", X)
    rows = read("images.npy")
    assert rows.X.shape == (5, X[0].size) and rows.axes == shape[1:]
    assert (rows.images == X).all() and np.shares_memory(rows.images, rows.X)
    with pytest.raises(ValueError, match="no columns to drop"):
        read("images.npy", Selection(None, ("1",), None))
    assert read("digits").axes == (8, 8) and read("wine").axes is None
