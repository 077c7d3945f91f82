"""What the commands share: where rows come from, where results go, how loud to be."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from aefast.data import writers
from aefast.data.readers import Rows, read
from aefast.data.selection import Selection

DATA_HELP = (
    "a .npy, .npz (file.npz:name for one array of several; SciPy's sparse ones too), .csv or .parquet file, a folder of "
    "images of one size, or a named data set: mnist, mnist:test, digits, wine ..."
)
OUT_HELP = "a .npy, .npz, .csv or .parquet file (default: CSV on standard output)"
STDOUT = "-"


def integer(low: int, high: int | None = None) -> Any:
    """A type of argparse: a whole number from `low` up to below `high`."""

    def parse(text: str) -> int:
        try:
            value = int(text)
        except ValueError:
            raise argparse.ArgumentTypeError(f"must be a whole number, but is {text!r}") from None
        if value < low or (high is not None and value >= high):
            raise argparse.ArgumentTypeError(
                f"must be at least {low}{'' if high is None else f' and below {high}'}, but is {text}"
            )
        return value

    return parse


def add_data(parser: argparse.ArgumentParser) -> None:
    """DATA, and how to take it."""
    parser.add_argument("data", metavar="DATA", help=DATA_HELP)
    parser.add_argument(
        "--drop",
        metavar="A,B",
        type=names,
        default=(),
        help="columns to leave out, by name or counted from 1",
    )
    parser.add_argument(
        "--header",
        action=argparse.BooleanOptionalAction,
        default=None,
        help="whether a CSV file's first line holds names (default: look at it)",
    )


def add_quiet(parser: argparse.ArgumentParser) -> None:
    """--quiet and --verbose."""
    loud = parser.add_mutually_exclusive_group()
    loud.add_argument("-q", "--quiet", action="store_true", help="only errors")
    loud.add_argument("-v", "--verbose", action="store_true", help="a progress bar, also into a pipe")


def names(text: str) -> tuple[str, ...]:
    """Comma-separated names, quoted as in a CSV line where one holds a comma."""
    import csv

    found = [name.strip() for name in next(csv.reader([text], skipinitialspace=True), [])]
    if not all(found):
        raise argparse.ArgumentTypeError(f"names are expected, separated by commas, but got {text!r}")
    return tuple(found)


def rows(arguments: argparse.Namespace, source: str, columns: tuple[str, ...] | None = None) -> Rows:
    """The rows of `source`; notes about them on stderr unless --quiet."""
    found = read(source, Selection(columns, arguments.drop, arguments.header))
    for note in found.notes:
        say(arguments, note)
    return found


def say(arguments: argparse.Namespace, line: str) -> None:
    """One line on stderr unless --quiet."""
    if not arguments.quiet:
        print(f"aefast: {line}", file=sys.stderr)


def not_an_input(target: str, *sources: str | None) -> None:
    """ValueError where writing `target` would destroy what is read."""
    path = Path(target)
    for source in sources:
        if source and path.exists() and Path(source).exists() and path.samefile(source):
            raise ValueError(f"{target} is read by this command; write to another file")


@contextmanager
def sparse_is_input(X: Any) -> Iterator[None]:
    """A model that takes no sparse rows says so by a TypeError, which is then about the input."""
    try:
        yield
    except TypeError as error:
        if not hasattr(X, "tocsr"):
            raise
        raise ValueError(f"this model takes no sparse rows ({error}); save them as a dense .npy") from error


def check_out(out: str | None) -> None:
    """Before the work: whether `out` can come to be."""
    if out not in (None, STDOUT):
        writers.check_target(out, writers.SUFFIXES)


def write(out: str | None, values: NDArray[Any], columns: list[str], what: str) -> None:
    """To the file, or as CSV to standard output."""
    if out is None or out == STDOUT:
        writers.write_csv(sys.stdout, np.asarray(values), columns)
    else:
        writers.write(out, values, columns, what)
