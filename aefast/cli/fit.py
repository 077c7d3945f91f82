"""`aefast fit`: a model file out of rows."""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from typing import Any

from aefast.cli import flags, info, sources
from aefast.data import writers
from aefast.errors import NonFiniteError

LOGS = {".csv": "CSVLogger", ".jsonl": "JSONLLogger"}
DESCRIPTION = """\
Train a model on the rows of DATA and write it to a file.

  aefast fit measurements.csv -o model.safetensors --n-components 8 --epochs 100
  aefast fit mnist -o vae.safetensors --model vae --n-components 16 --hidden-layer-sizes 256,64 --loss bce
  aefast fit photographs/ -o conv.safetensors --model conv --channels 32,64 --n-components 32

Ctrl-C ends the training early: the model is saved as far as it has come."""


def configure_fit(parser: argparse.ArgumentParser) -> None:
    """DATA, where to, and the constructors' parameters."""
    parser.description = DESCRIPTION
    parser.usage = "aefast fit DATA -o MODEL [--model NAME] [flags]"
    sources.add_data(parser)
    parser.add_argument("-o", "--out", metavar="MODEL", required=True, help="the .safetensors file to write")
    parser.add_argument(
        "--model",
        metavar="NAME",
        type=flags.model_name,
        default="autoencoder",
        help=f"{', '.join(flags.MODELS)} (default: autoencoder)",
    )
    parser.add_argument(
        "--validation", metavar="DATA", help="rows whose loss is shown, and watched with --early-stopping"
    )
    parser.add_argument("--log", metavar="FILE", help="a line an epoch, into a .csv or .jsonl file")
    sources.add_quiet(parser)
    flags.add(parser)
    parser.set_defaults(command=fit)


def fit(arguments: argparse.Namespace) -> int:
    """Checks all that can be checked, trains, saves; 130 where Ctrl-C ended it."""
    chosen = flags.chosen(arguments, arguments.model)
    writers.check_target(arguments.out)
    sources.not_an_input(arguments.out, arguments.data, arguments.validation)
    if arguments.log:
        writers.check_target(arguments.log, tuple(LOGS))
        sources.not_an_input(arguments.log, arguments.data, arguments.validation, arguments.out)
    data = sources.rows(arguments, arguments.data)
    X_val = None
    if arguments.validation:
        X_val = sources.rows(arguments, arguments.validation, data.names).X
        if X_val.shape[1] != data.X.shape[1]:
            raise ValueError(
                f"{arguments.validation} has {X_val.shape[1]} columns, but {arguments.data} has {data.X.shape[1]}"
            )
    if data.pixels and chosen.get("scaling", "auto") == "auto":
        chosen["scaling"] = "pixel"
    image = arguments.model == "conv"
    X = data.images if image and "image_shape" not in chosen else data.X
    show = arguments.verbose or (sys.stderr.isatty() and not arguments.quiet)
    model = flags.MODELS[arguments.model](**chosen, verbose=int(show))
    began, ended = time.perf_counter(), None
    with ExitStack() as stack:
        callbacks = _loggers(arguments.log, stack)
        try:
            with sources.sparse_is_input(data.X):
                model.fit(X, X_val=X_val, callbacks=callbacks)
        except (KeyboardInterrupt, NonFiniteError, OSError) as error:
            if not hasattr(model, "trainer_"):  # nothing was learned
                raise
            ended = error
    seconds = time.perf_counter() - began
    if data.names is not None:
        import numpy as np

        model.feature_names_in_ = np.array(data.names, dtype=object)
    model.save(arguments.out)
    held_out = model.early_stopping and X_val is None
    seen = _rows_seen(model, data.X.shape[0], model.validation_fraction if held_out else 0.0)
    line = _summary(model, data.X.shape[0], seen / seconds, seconds)
    if ended is not None:
        stopped = isinstance(ended, KeyboardInterrupt)
        why = "interrupted" if stopped else str(ended)
        print(f"aefast: {why}; {line}; saved as far as it has come to {arguments.out}", file=sys.stderr)
        return 130 if stopped else 1
    sources.say(arguments, f"{line}; saved to {arguments.out}")
    return 0


def _loggers(path: str | None, stack: ExitStack) -> tuple[Callable[..., object], ...]:
    if path is None:
        return ()
    from aefast import callbacks

    logger = getattr(callbacks, LOGS[Path(path).suffix.lower()])(path)
    stack.callback(logger.close)
    return (logger,)


def _rows_seen(model: Any, n: int, held_out: float) -> float:
    """Rows that went through training, the begun epoch's included."""
    trainer = model.trainer_
    return float(model.n_iter_ * n) * (1.0 - held_out) + int(trainer.position) * min(
        int(trainer.batch_size), n
    )


def _summary(model: Any, n: int, rows_per_second: float, seconds: float) -> str:
    trainer = model.trainer_
    epochs = f"{model.n_iter_} epoch{'' if model.n_iter_ == 1 else 's'}"
    if trainer.position:
        epochs += f" and {trainer.position} steps"
    loss = f", loss {model.loss_curve_[-1]:.5g}" if model.loss_curve_ else ""
    if model.validation_loss_curve_:
        loss += f", validation loss {model.validation_loss_curve_[-1]:.5g}"
    return (
        f"{type(model).__name__} {info.sizes(model)} on {n:,} rows of {model.n_features_in_:,} features, "
        f"scaling {info.scaling(model)}: {epochs}{loss}, "
        f"{seconds:.1f} s, {rows_per_second:,.0f} rows/s, backend {trainer.backend_name}"
    )
