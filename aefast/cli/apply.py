"""`aefast transform`, `reconstruct`, `score` and `sample`: what a model file makes of rows."""

from __future__ import annotations

import argparse
from typing import Any

import numpy as np

from aefast.cli import sources

SCORE = """\
Write each row's reconstruction_error: the loss of its reconstruction in scaled space, as the model was trained on it.
Large is unusual. It is minus the model's score_samples.

Of a variational model, whose score_samples is the evidence lower bound (ELBO), there are two columns:
reconstruction_error, the loss of what the mean of the code decodes to, and negative_elbo, which is minus
score_samples, in nats."""


def configure_transform(parser: argparse.ArgumentParser) -> None:
    """MODEL DATA -o OUT."""
    _configure(parser, "Write the code of each row (of a variational model: its mean).", transform)


def configure_reconstruct(parser: argparse.ArgumentParser) -> None:
    """MODEL DATA -o OUT."""
    _configure(parser, "Write each row as the model gives it back, in DATA's units.", reconstruct)


def configure_score(parser: argparse.ArgumentParser) -> None:
    """MODEL DATA -o OUT."""
    _configure(parser, SCORE, score)


def configure_sample(parser: argparse.ArgumentParser) -> None:
    """MODEL -n N -o OUT."""
    parser.description = "Write new rows, drawn from a variational model, in the units that it was fitted on."
    _model(parser)
    parser.add_argument(
        "-n", metavar="N", type=sources.integer(1), default=1, help="how many rows (default: 1)"
    )
    parser.add_argument(
        "--seed",
        metavar="N",
        type=sources.integer(0, 2**64),
        help="same seed, same rows (default: the seed of the training)",
    )
    _out(parser)
    parser.set_defaults(command=sample)


def transform(arguments: argparse.Namespace) -> None:
    """The codes."""
    model, X, _ = _inputs(arguments)
    codes = model.transform(X)
    sources.write(arguments.out, codes, list(map(str, model.get_feature_names_out())), "codes")


def reconstruct(arguments: argparse.Namespace) -> None:
    """The reconstructions."""
    model, X, names = _inputs(arguments)
    R = model.reconstruct(X)
    sources.write(arguments.out, R.reshape(len(R), -1), names, "reconstructions")


def score(arguments: argparse.Namespace) -> None:
    """The errors."""
    from aefast.estimators import elements

    model, X, _ = _inputs(arguments)
    scores = -model.score_samples(X)
    if model.variational:
        columns = np.column_stack((elements.row_losses(model, X), scores))
        sources.write(arguments.out, columns, ["reconstruction_error", "negative_elbo"], "scores")
    else:
        sources.write(arguments.out, scores[:, None], ["reconstruction_error"], "scores")


def sample(arguments: argparse.Namespace) -> None:
    """The new rows."""
    sources.check_out(arguments.out)
    model = load(arguments)
    if not model.variational:
        raise ValueError(
            f"{arguments.model} holds a model of the class {type(model).__name__}, which can't make up rows; "
            "a model of `aefast fit --model vae` can, or of `--model conv --variational`"
        )
    rows = model.sample(arguments.n, random_state=arguments.seed)
    sources.write(arguments.out, rows.reshape(len(rows), -1), _feature_names(model), "samples")


def load(arguments: argparse.Namespace) -> Any:
    """The model of the file."""
    from aefast.io import load as load_model

    return load_model(arguments.model, backend=arguments.backend)


def _configure(parser: argparse.ArgumentParser, description: str, command: Any) -> None:
    parser.description = description
    _model(parser)
    sources.add_data(parser)
    _out(parser)
    parser.set_defaults(command=command)


def _model(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("model", metavar="MODEL", help="a file that `aefast fit` or a model's save() wrote")


def _out(parser: argparse.ArgumentParser) -> None:
    from aefast import backends

    parser.add_argument("-o", "--out", metavar="OUT", help=sources.OUT_HELP)
    parser.add_argument(
        "--backend",
        metavar="NAME",
        choices=("auto", *backends.NAMES),
        help=f"auto, {', '.join(backends.NAMES)} (default: the model's own)",
    )
    parser.add_argument("-q", "--quiet", action="store_true", help="only errors")


def _inputs(arguments: argparse.Namespace) -> tuple[Any, Any, list[str]]:
    """The model, its rows and its features' names.

    Columns go by the names that the model was fitted on, where both have names, else by place.
    """
    sources.check_out(arguments.out)
    model = load(arguments)
    if arguments.out not in (None, sources.STDOUT):
        sources.not_an_input(arguments.out, arguments.model, arguments.data)
    names = _feature_names(model)
    columns = tuple(names) if hasattr(model, "feature_names_in_") else None
    data = sources.rows(arguments, arguments.data, columns)
    if data.X.shape[1] != model.n_features_in_:
        raise ValueError(
            f"{arguments.data} has {data.X.shape[1]} columns, but {arguments.model} was fitted on "
            f"{model.n_features_in_}; --drop leaves columns out"
        )
    if columns is not None:
        del model.feature_names_in_  # an array has no names, and the model would miss them
    return model, data.X, names


def _feature_names(model: Any) -> list[str]:
    """As fitted, or x0, x1 and so on."""
    return list(getattr(model, "feature_names_in_", ())) or [f"x{i}" for i in range(model.n_features_in_)]
