"""Errors that say what was expected, what came and what to do."""

from __future__ import annotations

import difflib
import os
from collections.abc import Iterable


class BackendUnavailableError(RuntimeError):
    """A backend was asked for by name and can't run here, or can't do the whole plan."""


class FallbackWarning(UserWarning):
    """`backend="auto"` works without the native kernels, which this installation couldn't build or load."""


class CorruptFileError(ValueError):
    """A file isn't what aefast saved: damaged, cut off, changed, of another kind or of another version.

    Attributes
    ----------
    path : str
    reason : str
        What was expected, what came, and what to do.
    """

    def __init__(self, path: str | os.PathLike[str], reason: str) -> None:
        super().__init__(f"{os.fspath(path)} {reason}")
        self.path = os.fspath(path)
        self.reason = reason

    def __reduce__(self) -> tuple[type[CorruptFileError], tuple[str, str]]:
        return type(self), (self.path, self.reason)


class NonFiniteError(FloatingPointError):
    """A training step met NaN or infinity; the parameters are those of the last good step.

    Attributes
    ----------
    where : str
        The input, layer, loss or gradient in which the first non-finite value stood.
    step : int
        The step (counted from 0 over the trainer's life) that was given up.
    """

    def __init__(self, where: str, step: int) -> None:
        super().__init__(
            f"step {step}: {where} is not finite; the parameters are those before that step. "
            "Lower learning_rate, set clip_norm, check the data's scaling, "
            'or give a Trainer nonfinite="skip" to leave such steps out.'
        )
        self.where = where
        self.step = step

    def __reduce__(self) -> tuple[type[NonFiniteError], tuple[str, int]]:
        return type(self), (self.where, self.step)


def nearest(name: object, known: Iterable[str], form: str = " (did you mean {!r}?)") -> str:
    """The known name that `name` may have been meant to be, put into `form`; "" where none is near."""
    near = difflib.get_close_matches(str(name), list(known), n=1, cutoff=0.55)
    return form.format(near[0]) if near else ""


def unknown_name(what: str, name: object, known: Iterable[str]) -> ValueError:
    """A ValueError for a name that stands in no table, with the nearest one that does."""
    names = list(known)
    hint = nearest(name, names, " Did you mean {!r}?")
    return ValueError(f"unknown {what} {name!r}; known: {', '.join(names)}.{hint}")
