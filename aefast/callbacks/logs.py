"""Callbacks that tell how a fit goes: logs as CSV and JSON lines, the progress bar."""

from __future__ import annotations

import csv
import json
import math
import os
import time
from typing import Any, TextIO

from aefast import checks
from aefast.callbacks.contract import Callback, History, Steps, trainer_of


class _Log(Callback):
    """A row an epoch, and with `every` a row each so many steps, on the disk as soon as it is known."""

    COLUMNS = ("event", "epoch", "step", "loss", "validation_loss", "seconds", "rows_per_second")

    def __init__(self, path: str | os.PathLike[str], *, every: int = 0, append: bool = False) -> None:
        checks.integer(0)("every", every)
        checks.boolean("append", append)
        self.path, self.every, self.append = checks.file_path("path", path), every, append
        self._file: TextIO | None = None
        self._started = self._last = 0.0
        self._n_rows = 0

    def on_start(self, model: Any, epochs: int, n_rows: int) -> None:
        """Opens the file; OSError where that can't be."""
        self.close()
        self._file = self.path.open("a" if self.append else "w", encoding="utf-8", newline="")
        self._started = self._last = time.perf_counter()
        self._n_rows = n_rows
        self._begin(empty=self._file.tell() == 0)

    def on_step(self, model: Any, steps: Steps) -> object:
        """Writes a row."""
        self._row("step", model, steps.epoch + 1, float(steps.losses.mean()), None, None)
        return None

    def on_epoch(self, model: Any, history: History) -> object:
        """Writes a row."""
        now = time.perf_counter()
        rate = self._n_rows / max(now - self._last, 1e-9)
        self._last = now
        validation = history.validation_loss[-1] if history.validation_loss else None
        self._row("epoch", model, trainer_of(model).epoch, history.loss[-1], validation, rate)
        return None

    def on_end(self, model: Any, history: History) -> None:
        """Closes the file."""
        self.close()

    def close(self) -> None:
        """Closes the file, if it is open."""
        if self._file is not None:
            self._file.close()
            self._file = None

    def _row(
        self, event: str, model: Any, epoch: int, loss: float, validation: float | None, rate: float | None
    ) -> None:
        assert self._file is not None
        seconds = round(time.perf_counter() - self._started, 6)
        values = (event, epoch, trainer_of(model).n_steps, loss, validation, seconds, rate and round(rate, 1))
        self._write(dict(zip(self.COLUMNS, values, strict=True)))
        self._file.flush()

    def _begin(self, *, empty: bool) -> None:
        """What stands before the first row."""

    def _write(self, row: dict[str, Any]) -> None:
        raise NotImplementedError


class CSVLogger(_Log):
    """Logs a fit as CSV: a row an epoch, and with `every` one each so many steps; readable while the fit runs.

    Columns: event ("epoch" or "step"), epoch (counted from 1), step, loss (of an epoch, or the mean of the steps since the last
    row), validation_loss, seconds since the start, rows_per_second. A file that is there is written anew; `append` goes on
    with it.
    """

    def _begin(self, *, empty: bool) -> None:
        if empty:
            csv.writer(self._file).writerow(self.COLUMNS)  # type: ignore[arg-type]

    def _write(self, row: dict[str, Any]) -> None:
        csv.writer(self._file).writerow(["" if v is None else v for v in row.values()])  # type: ignore[arg-type]


class JSONLLogger(_Log):
    """Logs a fit as JSON lines: the columns of `CSVLogger` as keys, null for what is empty or not finite."""

    def _write(self, row: dict[str, Any]) -> None:
        finite = {k: None if isinstance(v, float) and not math.isfinite(v) else v for k, v in row.items()}
        print(json.dumps(finite), file=self._file)


class ProgressBar(Callback):
    """A bar on standard error: epoch, loss, rows a second, time left."""

    # Steps between two looks double until one takes this long: short enough to see it move, long enough to cost nothing.
    SECONDS = 0.1

    def __init__(self) -> None:
        self.every = 1
        self._bar: Any = None
        self._last = 0.0
        self._epochs = 0
        self._first_epoch = 0

    def on_start(self, model: Any, epochs: int, n_rows: int) -> None:
        """Draws the empty bar."""
        from tqdm.auto import tqdm

        self.every, self._epochs, self._first_epoch = 1, epochs, trainer_of(model).epoch
        self._bar = tqdm(
            total=epochs * n_rows,
            unit=" rows",
            unit_scale=True,
            desc=f"{type(model).__name__} epoch 1/{epochs}",
            bar_format="{desc} {percentage:3.0f}% |{bar:24}| {elapsed}<{remaining}, {rate_fmt}{postfix}",
        )
        self._last = time.perf_counter()

    def on_step(self, model: Any, steps: Steps) -> object:
        """Moves the bar."""
        now = time.perf_counter()
        if now - self._last < self.SECONDS:
            self.every *= 2
        self._last = now
        self._bar.set_description_str(
            f"{type(model).__name__} epoch {steps.epoch - self._first_epoch + 1}/{self._epochs}",
            refresh=False,
        )
        self._bar.update(steps.rows)
        return None

    def on_epoch(self, model: Any, history: History) -> object:
        """Shows the losses."""
        shown = {"loss": history.loss[-1]}
        if history.validation_loss and math.isfinite(history.validation_loss[-1]):
            shown["validation_loss"] = history.validation_loss[-1]
        self._bar.set_postfix({name: f"{value:.4g}" for name, value in shown.items()}, refresh=False)
        return None

    def on_end(self, model: Any, history: History) -> None:
        """Leaves the bar as it stands."""
        if self._bar is not None:
            self._bar.close()
            self._bar = None
