"""Numbers out of a CSV file: NumPy's C parser reads; what it stumbles over is looked up line by line and named.

Columns are separated by comma, semicolon or tab, whichever splits the first line most; quotes are double. The first line
is a header where its fields aren't numbers while those below are, or where it counts 0, 1, 2 and so on.
"""

from __future__ import annotations

import csv
import gzip
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import islice
from pathlib import Path
from typing import IO, Any, NoReturn

import numpy as np
from numpy.typing import NDArray

from aefast.data.selection import MISSING, Selection, drop_hint, listed

SEPARATORS = (",", ";", "\t")
# What stands for "no value"; NumPy reads only "nan" of these.
ABSENT = frozenset({"", "na", "n/a", "nan", "null", "none", "-", "?"})
# Numeric columns of so many names or more that count up from 0 are a data frame's default header, not a row.
COUNTED_HEADER = 3


def read_csv(
    path: Path, selection: Selection
) -> tuple[NDArray[np.float64], tuple[str, ...] | None, tuple[str, ...]]:
    """(X (n, d) float64, names or None, notes).

    Raises ValueError naming line and column of a ragged line, a missing value or a field that isn't a number.
    """
    with _text(path) as file:
        head = [line for line in islice(file, 50) if line.strip()]
    if not head:
        raise ValueError(f"{path} is empty")
    separator = max(SEPARATORS, key=lambda s: len(next(csv.reader(head, delimiter=s), [])))
    first, *others = islice(csv.reader(head, delimiter=separator), 2)
    header = (
        _is_header(first, others[0] if others else None) if selection.header is None else selection.header
    )
    names = _names(first, path) if header else None
    wanted = selection.of(names, len(first), path)
    if header and not others:
        raise ValueError(f"{path} has a header, but no rows")
    X, error = _parse(path, separator, header, wanted, len(first))
    if error or not np.isfinite(X).all():
        _explain(path, separator, names, wanted, len(first), error)
    notes = selection.note(names, path.name)
    if names is not None and first[0].strip() == "" and 0 in wanted and _counts(X[:, wanted.index(0)]):
        notes += (
            f"{path.name}: the first column has no name and counts the rows; leave it out with --drop 1",
        )
    return X, None if names is None else tuple(names[i] for i in wanted), notes


@contextmanager
def _text(path: Path) -> Iterator[IO[str]]:
    """The file as UTF-8, with or without byte order mark."""
    try:
        if path.suffix.lower() == ".gz":
            with gzip.open(path, "rt", encoding="utf-8-sig", newline="") as file:
                yield file
        else:
            with path.open(encoding="utf-8-sig", newline="") as file:
                yield file
    except UnicodeDecodeError as error:
        raise ValueError(f"{path} isn't UTF-8 text ({error.reason} at byte {error.start})") from None
    except (gzip.BadGzipFile, EOFError) as error:
        raise ValueError(f"{path} isn't a whole gzip file: {error}") from None
    except csv.Error as error:
        raise ValueError(f"{path}: {error}") from None


def _parse(
    path: Path, separator: str, header: bool, wanted: list[int], width: int
) -> tuple[NDArray[np.float64], str]:
    """The wanted columns; with a complaint where a line isn't what it should be."""
    whole = wanted == list(range(width))
    with _text(path) as file:
        if header:
            # By the reader, for a quoted name may hold a line's end.
            next(row for row in csv.reader(iter(file.readline, ""), delimiter=separator) if row)
        try:
            X = np.loadtxt(
                file,
                delimiter=separator,
                quotechar='"',
                comments=None,
                ndmin=2,
                usecols=None if whole else wanted,
            )
        except UnicodeDecodeError:
            raise
        except ValueError as error:
            return np.empty((0, 0)), str(error)
    # NumPy looks only at the columns that it is asked for.
    return X, "" if X.shape[1] == len(wanted) and (whole or _even(path, separator, width)) else "uneven lines"


def _even(path: Path, separator: str, width: int) -> bool:
    with _text(path) as file:
        return all(len(row) in (0, width) for row in csv.reader(file, delimiter=separator))


def _explain(
    path: Path, separator: str, names: list[str] | None, wanted: list[int], width: int, error: str
) -> NoReturn:
    """Raises the ValueError that says what NumPy's parser met, or what became NaN."""
    words: dict[int, tuple[int, str]] = {}
    absent: tuple[int, int] | None = None
    n_absent = 0
    infinite: tuple[int, int, str] | None = None

    def column(i: int) -> str:
        return f"column {names[i]!r}" if names else f"column {i + 1}"

    with _text(path) as file:
        reader = csv.reader(file, delimiter=separator)
        skipped = names is None
        for row in reader:
            if not row or (len(row) == 1 and not row[0].strip() and width > 1):
                continue
            if not skipped:
                skipped = True
                continue
            if len(row) != width:
                raise ValueError(
                    f"{path}: line {reader.line_num} has {len(row)} fields, but the first line has {width}"
                )
            for i in wanted:
                text = row[i].strip()
                if text.lower() in ABSENT:
                    n_absent += 1
                    absent = absent or (reader.line_num, i)
                elif not _is_number(text):
                    words.setdefault(i, (reader.line_num, text))
                elif infinite is None and not np.isfinite(float(text)):
                    infinite = reader.line_num, i, text
    if words:
        called = [names[i] if names else str(i + 1) for i in words]
        line, text = words[next(iter(words))]
        raise ValueError(
            f"{path}: {listed(called, 'column')} {'is' if len(words) == 1 else 'are'} not numeric "
            f"(line {line}: {text[:40]!r}); {drop_hint(called)}"
        )
    if absent is not None:
        more = f" ({n_absent} values are missing in all)" if n_absent > 1 else ""
        raise ValueError(f"{path}: line {absent[0]}, {column(absent[1])} has no value{more}; {MISSING}")
    if infinite is not None:
        line, i, text = infinite
        raise ValueError(f"{path}: line {line}, {column(i)} is {text}, which isn't finite; {MISSING}")
    raise ValueError(f"{path} can't be read as rows of numbers: {error}")


def _is_header(first: list[str], second: list[str] | None) -> bool:
    numbers = [_is_number(field) for field in first]
    if all(numbers):
        counts = [field.strip() for field in first] == [str(i) for i in range(len(first))]
        return counts and len(first) >= COUNTED_HEADER and second is not None
    if not any(number and field.strip() for number, field in zip(numbers, first, strict=True)):
        # Words only. A row of words can't be learned from, whatever it is.
        return not all(field.strip().lower() in ABSENT for field in first)
    if second is None or len(second) != len(first):
        return False
    return any(
        not number and name.strip().lower() not in ABSENT and _is_number(below)
        for number, name, below in zip(numbers, first, second, strict=True)
    )


def _names(first: list[str], path: Path) -> list[str]:
    names = [name.strip() or f"column {i}" for i, name in enumerate(first, start=1)]
    for i, name in enumerate(names):
        if name in names[:i]:
            raise ValueError(
                f"{path}: the header has the name {name!r} twice (columns {names.index(name) + 1} and {i + 1}); "
                "rename one"
            )
    return names


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return "_" not in text  # Python's own way to write numbers


def _counts(values: NDArray[Any]) -> bool:
    return len(values) > 1 and bool((np.diff(values) == 1).all())
