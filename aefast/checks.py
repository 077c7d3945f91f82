"""Checks of arguments: each is a function of (name, value) that raises a TypeError or ValueError with the name in it."""

from __future__ import annotations

import math
import os
from collections.abc import Callable, Iterable
from numbers import Integral, Real
from pathlib import Path
from typing import Any

import numpy as np

from aefast.errors import unknown_name

Check = Callable[[str, Any], None]
INT64_MAX = 2**63 - 1
SHOWN = 80  # characters of a value in a message


def is_integer(value: Any) -> bool:
    """Whether it is an integer, Python's or NumPy's, and no bool."""
    return isinstance(value, Integral) and not isinstance(value, (bool, np.bool_))


def shown(value: Any) -> str:
    """The value's repr on one line, cut where it is long."""
    try:
        text = " ".join(repr(value).split())
    except ValueError:  # Python writes no integer of more than some thousand digits
        return f"an integer of {int(value).bit_length()} bits"
    return text if len(text) <= SHOWN else f"{text[: SHOWN - 4]} ..."


def wrong_type(wanted: str, value: Any) -> TypeError:
    """A TypeError that tells what was wanted and what came; `wanted` begins with the name."""
    return TypeError(f"{wanted}, but is {shown(value)} ({type(value).__name__})")


def integer(low: int, *words: str | None, high: int = INT64_MAX) -> Check:
    """An integer in [low, high], or one of `words`."""
    power = high.bit_length() if high >= 2**31 and high & (high + 1) == 0 else 0
    interval = f"in [{low}, {f'2^{power})' if power else f'{high}]'}"
    floor = f"of at least {low}"
    ending = "".join(f" or {word!r}" for word in words)

    def check(name: str, value: Any) -> None:
        if any(value is w if w is None else isinstance(value, str) and value == w for w in words):
            return
        fits = is_integer(value)
        if fits and low <= int(value) <= high:
            return
        bound = floor if high == INT64_MAX and not (fits and int(value) > high) else interval
        wanted = f"{name} must be an integer {bound}{ending}"
        raise ValueError(f"{wanted}, but is {shown(value)}") if fits else wrong_type(wanted, value)

    return check


def real(
    low: float,
    high: float = math.inf,
    *,
    above: bool = False,
    below: bool = False,
    none: bool = False,
    auto: bool = False,
    infinite: bool = False,
) -> Check:
    """A finite number in [low, high], without its ends where `above` or `below` is set; None, "auto", inf where allowed."""
    ends = "(" if above else "[", ")" if below or (math.isinf(high) and not infinite) else "]"
    numbers = "a finite number" if math.isinf(low) else f"a number in {ends[0]}{low:g}, {high:g}{ends[1]}"
    wanted = f"must be {numbers}{' or None' if none else ''}{' or ' + repr('auto') if auto else ''}"

    def check(name: str, value: Any) -> None:
        if (none and value is None) or (auto and isinstance(value, str) and value == "auto"):
            return
        if isinstance(value, bool) or not isinstance(value, Real):
            raise wrong_type(f"{name} {wanted}", value)
        try:
            number = float(value)
        except OverflowError:
            raise ValueError(f"{name} {wanted}, but is {shown(value)}") from None
        outside = number < low or number > high or (above and number == low) or (below and number == high)
        if math.isnan(number) or outside or (math.isinf(number) and not infinite):
            raise ValueError(f"{name} {wanted}, but is {shown(value)}")

    return check


def choice(known: Iterable[str], *, none: bool = False, extra: tuple[str, ...] = ()) -> Check:
    """A name out of a table (or `extra`), or None where allowed."""
    names = (*known, *extra)

    def check(name: str, value: Any) -> None:
        if none and value is None:
            return
        if not isinstance(value, str) or value not in names:
            raise unknown_name(name, value, [*names, *(["None"] if none else [])])

    return check


def boolean(name: str, value: Any) -> None:
    """True or False, NumPy's included."""
    if not isinstance(value, (bool, np.bool_)):
        raise wrong_type(f"{name} must be True or False", value)


finite = real(-math.inf)
seed = integer(0, high=2**64 - 1)


def plain(value: Any) -> Any:
    """A checked number as Python's own int or float, as files and the native code take it; anything else as it is."""
    if isinstance(value, (bool, np.bool_)) or not isinstance(value, Real):
        return value
    return int(value) if isinstance(value, Integral) else float(value)


def file_path(name: str, value: Any) -> Path:
    """A str or path-like object as a Path."""
    if not isinstance(value, (str, os.PathLike)):
        raise wrong_type(f"{name} must be a path (str or os.PathLike)", value)
    return Path(value)


def dtype_name(value: Any) -> Any:
    """The name of an np.dtype, np.float32 or np.float64; anything else as it is."""
    if isinstance(value, np.dtype) or any(value is known for known in (np.float32, np.float64)):
        return np.dtype(value).name
    return value
