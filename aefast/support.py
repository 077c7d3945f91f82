"""What each backend can do, asked of the code: model kinds and ops by backend and dtype.

`python -m aefast.support` prints it as Markdown; with `--write README.md` it replaces the text between the two markers
there. The answers are those of each backend's `supports`, so they are the same on every machine. What no code can know,
on which hardware something has really run, stands in `PLACES`.
"""

from __future__ import annotations

import argparse
import itertools
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple, get_args

import numpy as np

from aefast import (
    activations,
    backends,
    convolutional,
    estimators,
    layers,
    losses,
    ops,
    planner,
    regularizers,
)
from aefast.backends import Backend, Support
from aefast.plan import Plan, Purpose

BEGIN, END = "<!-- support matrix -->", "<!-- end -->"
DTYPES = ("float32", "float64", "bfloat16")
BATCH, FEATURES = 8, 12  # of the typical models: what is supported doesn't depend on sizes
IMAGES = {"image_shape": (3, 2, 2), "channels": (4,)}
MAPS = {"n_components": None, **IMAGES}


class Model(NamedTuple):
    """A row of the matrix: an estimator with each of some values of its parameters, and others the same for all of them."""

    estimator: str
    what: str
    values: Mapping[str, Sequence[Any]] = {}
    same: Mapping[str, Any] = {}


# An estimator without a row here gets one with its defaults; one that can't learn batch by batch wraps another's model.
MODELS: tuple[Model, ...] = (
    Model("Autoencoder", "every activation", {"activation": activations.NAMES}),
    Model("Autoencoder", "every loss", {"loss": losses.NAMES}),
    Model("Autoencoder", "tied weights", {"tied_weights": (True,)}),
    Model("DenoisingAutoencoder", "every corruption", {"corruption": regularizers.CORRUPTIONS}),
    Model("SparseAutoencoder", "every penalty", {"sparsity": regularizers.PENALTIES}),
    Model("VariationalAutoencoder", "free bits too", {"free_bits": (0.0, 1.0)}),
    Model(
        "ConvAutoencoder",
        "every decoder and pooling",
        {"decoder": convolutional.DECODERS, "pooling": (None, *layers.POOLS)},
        IMAGES,
    ),
    Model(
        "ConvAutoencoder",
        "every activation and loss",
        {"activation": activations.NAMES, "loss": losses.NAMES},
        IMAGES,
    ),
    Model(
        "ConvAutoencoder", "variational", {"layout": convolutional.LAYOUTS}, {"variational": True, **IMAGES}
    ),
    Model(
        "ConvAutoencoder",
        "every corruption, a map for the code",
        {"corruption": regularizers.CORRUPTIONS},
        MAPS,
    ),
)


class Place(NamedTuple):
    """Where a backend, or one of its instruction sets (as CMakeLists.txt names it), has run."""

    backend: str
    isa: str
    where: str
    state: str


PLACES: tuple[Place, ...] = (
    Place(
        "triton",
        "",
        "NVIDIA GPUs, compute capability 8.0 and up",
        "compiled, not run on a GPU: its kernels run in Triton's interpreter; `auto` leaves it out",
    ),
    Place("cpu", "avx2", "x86-64 Linux, AVX2 and FMA", "run, timed"),
    Place(
        "cpu",
        "avx512",
        "x86-64 Linux, AVX-512",
        "run and timed on Zen 4, whose 512-bit instructions take two turns of 256 bits",
    ),
    Place(
        "cpu",
        "avx512bf16",
        "x86-64 Linux, AVX-512 with bfloat16",
        "run and timed on Zen 4",
    ),
    Place("cpu", "neon", "aarch64 Linux, NEON", "run only under qemu; not timed"),
    Place("cpu", "baseline", "any other Linux, plain C++", "run on x86-64"),
    Place("numba", "", "wherever Numba is", "run on x86-64 Linux"),
    Place("numpy", "", "wherever NumPy is", "run on x86-64 Linux"),
)


class Row(NamedTuple):
    """answers[backend][dtype] has one Support for each of the row's ways: a parameter's value, an activation, a loss."""

    section: str
    name: str
    answers: dict[str, dict[str, dict[str, Support]]]


def matrix() -> list[Row]:
    """A row for each model kind, then one for each op of the contract.

    Raises BackendUnavailableError where a backend can't even say what it supports: Numba's without Numba.
    """
    known = {name: backends.declared(name) for name in backends.NAMES}
    rows, attrs = [], {name: set[str]() for name in ops.NAMES}
    for model in _models():
        plans = dict(_plans(model))
        for plan in itertools.chain(*plans.values()):
            for call in plan.calls:
                attrs[call.op] |= set(call.attrs)
        rows.append(Row("model", f"`{model.estimator}`, {model.what}", _by_plans(known, plans)))
    return rows + [Row("op", name, _by_op(known, name, attrs[name])) for name in ops.NAMES]


def markdown(rows: Sequence[Row] | None = None) -> str:
    """The matrix (by default that of the code) and `PLACES` as Markdown; ops of equal cells share a line."""
    rows = matrix() if rows is None else rows
    lines = [
        f"The dtypes ({', '.join(DTYPES)} were asked for) in which a backend does all of a line, by "
        "`python -m aefast.support`:",
        "",
        "| | " + " | ".join(f"`{name}`" for name in backends.NAMES) + " |",
        "|---|" + "---|" * len(backends.NAMES),
    ]
    lines += [_line(row.name, _cells(row)) for row in rows if row.section == "model"]
    alike: dict[tuple[str, ...], list[str]] = {}
    for row in rows:
        if row.section == "op":
            alike.setdefault(_cells(row), []).append(f"`{row.name}`")
    lines += [_line(f"ops: {', '.join(names)}", cells) for cells, names in alike.items()]
    lines += ["", "| backend | where | so far |", "|---|---|---|"]
    lines += [_line(f"`{place.backend}`", place[2:]) for place in PLACES]
    return "\n".join(lines)


def replaced(text: str, new: str) -> str:
    """`text` with `new` between the markers; ValueError unless each stands there once, in order."""
    if text.count(BEGIN) != 1 or text.count(END) != 1 or text.index(BEGIN) > text.index(END):
        raise ValueError(f"the text needs one {BEGIN} and after it one {END}, between which the matrix goes")
    head, _, rest = text.partition(BEGIN)
    return f"{head}{BEGIN}\n\n{new}\n\n{END}{rest.partition(END)[2]}"


def main(argv: Sequence[str] | None = None) -> None:
    """Prints the Markdown, or writes it into a file."""
    parser = argparse.ArgumentParser(prog="python -m aefast.support", description=main.__doc__)
    parser.add_argument(
        "--write", type=Path, metavar="FILE", help=f"replace what stands between {BEGIN} and {END}"
    )
    path: Path | None = parser.parse_args(argv).write
    if path is None:
        print(markdown())
    else:
        path.write_text(replaced(path.read_text(encoding="utf-8"), markdown()), encoding="utf-8")


def _models() -> list[Model]:
    named = {model.estimator for model in MODELS}
    rest = (name for name in estimators.__all__ if name not in named)
    return [*MODELS, *(Model(n, "defaults") for n in rest if hasattr(getattr(estimators, n), "partial_fit"))]


def _plans(model: Model) -> Iterator[tuple[str, list[Plan]]]:
    """The plans of every purpose, by what the estimator was given."""
    X = np.random.default_rng(0).random((BATCH, FEATURES))
    for values in itertools.product(*model.values.values()):
        given = dict(zip(model.values, values, strict=True))
        # The reference backend runs everywhere, and fitting gives the plan exactly as the estimator sets it up.
        made = getattr(estimators, model.estimator)(backend="numpy", random_state=0, **given, **model.same)
        trainer = made.partial_fit(X).trainer_
        way = ", ".join(f"{name}={value}" for name, value in given.items())
        purposes: tuple[Purpose, ...] = get_args(Purpose)
        yield way, [planner.build(trainer.topology, trainer.settings, BATCH, p) for p in purposes]


def _by_plans(
    known: Mapping[str, Backend], plans: Mapping[str, list[Plan]]
) -> dict[str, dict[str, dict[str, Support]]]:
    def answer(backend: Backend, dtype: str, way: str) -> Support:
        said = (backends.supports_plan(backend, plan, dtype) for plan in plans[way])
        return next((support for support in said if not support), Support(True))

    return {
        name: {dtype: {way: answer(backend, dtype, way) for way in plans} for dtype in DTYPES}
        for name, backend in known.items()
    }


def _by_op(
    known: Mapping[str, Backend], op: str, attrs: set[str]
) -> dict[str, dict[str, dict[str, Support]]]:
    ways: dict[str, dict[str, str]] = {"": {}}
    if "act" in attrs:
        ways |= {name: {"act": name} for name in activations.NAMES}
    if "loss" in attrs:
        ways |= {name: {"loss": name} for name in losses.NAMES}
    return {
        name: {
            dtype: {way: backend.supports(op, **given, dtype=dtype) for way, given in ways.items()}
            for dtype in DTYPES
        }
        for name, backend in known.items()
    }


def _cells(row: Row) -> tuple[str, ...]:
    return tuple(_cell(row.answers[name]) for name in backends.NAMES)


def _cell(answers: Mapping[str, Mapping[str, Support]]) -> str:
    """The dtypes that work, each with what it lacks; "no" where none does."""
    parts = []
    for dtype, by_way in answers.items():
        lacking = [way for way, support in by_way.items() if not support]
        if len(lacking) < len(by_way) and "" not in lacking:
            parts.append(dtype + (f" (not {', '.join(lacking)})" if lacking else ""))
    return ", ".join(parts) or "no"


def _line(name: str, cells: Sequence[str]) -> str:
    return f"| {name} | " + " | ".join(cells) + " |"


if __name__ == "__main__":
    main()
