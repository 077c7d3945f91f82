"""`aefast bench`: micro-benchmarks of what is installed; no time is told of what computes something else."""

from __future__ import annotations

import argparse
import datetime as dt
import json
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from typing import Any

from aefast import __version__, backends
from aefast.cli import machine
from aefast.data.writers import check_target
from aefast.testing import speed
from aefast.threads import num_threads

# Seconds for the samples of one row. With their checks, all rows of three backends take under a minute on two cores.
BUDGET, QUICK_BUDGET = 0.08, 0.03
STEP = "train_step"
COLUMNS = "{:26} {:>24} {:>8} {:>12} {:>8} {:>16}"


@dataclass
class Row:
    """One line of the table: `status` is "ok", "failed" (with the reason in `detail`) or "unsupported"."""

    op: str
    size: str
    backend: str
    status: str = "ok"
    detail: str = ""
    median_seconds: float | None = None
    spread: float | None = None
    samples: int = 0
    rate: float | None = None
    unit: str = ""


def configure_bench(parser: argparse.ArgumentParser) -> None:
    """Which backends and ops, how long, where to."""
    parser.description = (
        "Time every op of every backend that runs here, and whole training steps. Each result is first compared with the\n"
        "float64 reference: what is wrong says FAILED and gets no time, and the exit code is then 1."
    )
    parser.add_argument(
        "--backend",
        metavar="NAME",
        action="append",
        choices=backends.NAMES,
        help=f"only this one of {', '.join(backends.NAMES)}; may be repeated",
    )
    parser.add_argument(
        "--op",
        metavar="NAME",
        action="append",
        choices=(*speed.OPS, STEP),
        help=f"only this one; may be repeated: {', '.join((*speed.OPS, STEP))}",
    )
    parser.add_argument("--quick", action="store_true", help="the smaller sizes, for a few seconds")
    parser.add_argument("--json", metavar="FILE", help="write all numbers to this file, too")
    parser.set_defaults(command=bench)


def bench(arguments: argparse.Namespace) -> int:
    """Prints as it goes; 1 if a check was red."""
    if arguments.json:
        check_target(arguments.json)
    for name in arguments.backend or ():
        backends.get(name)  # an explicit choice that can't run is an error, not a line
    running = [name for name in arguments.backend or backends.NAMES if backends.available(name)]
    about = describe(arguments)
    print("\n".join(machine.heading()))
    print(", ".join(f"{name} {version}" for name, version in about["packages"].items()))
    print(f"{about['threads']} threads, {about['date']}; spread: half the distance of the quartiles\n")
    print(COLUMNS.format("op", "size", "backend", "median µs", "spread", "rate"), flush=True)
    rows = []
    for row in measured(running, arguments.op, arguments.quick):
        rows.append(row)
        print(line(row), flush=True)
    if arguments.json:
        from aefast.io.files import replace_file

        document = {**about, "rows": [asdict(row) for row in rows]}
        replace_file(arguments.json, (json.dumps(document, indent=1) + "\n").encode())
    failed = sum(row.status == "failed" for row in rows)
    if failed:
        print(f"\n{failed} of {len(rows)} results are wrong; python -m aefast.testing looks closer")
    return 1 if failed else 0


def describe(arguments: argparse.Namespace) -> dict[str, Any]:
    """Where, with what and when."""
    return {
        "date": dt.datetime.now(dt.UTC).isoformat(timespec="seconds"),
        "aefast": __version__,
        "heading": machine.heading(),
        "machine": machine.processor(),
        "instruction_sets": machine.instruction_sets(),
        "native_kernels": machine.native(),
        "threads": num_threads(),
        "packages": {name: machine.version_of(name) for name in ("numpy", "numba")},
        "quick": arguments.quick,
    }


def measured(names: list[str], ops: list[str] | None, quick: bool) -> Iterator[Row]:
    """Every row, the backends side by side."""
    budget = QUICK_BUDGET if quick else BUDGET
    for size in list(speed.SIZES)[: 1 if quick else None]:
        for op in speed.OPS:
            if ops is None or op in ops:
                made = speed.case(op, size)
                for name in names:
                    yield _op_row(made, size, name, budget)
    if ops is None or STEP in ops:
        for net in list(speed.NETS)[: 2 if quick else None]:
            truth = speed.step_truth(net)
            for name in names:
                yield _step_row(net, name, truth, budget)


def line(row: Row) -> str:
    """As the table shows it."""
    if row.status != "ok" or row.median_seconds is None or row.spread is None or row.rate is None:
        return f"{row.op:26} {row.size:>24} {row.backend:>8}  {row.status.upper()}: {row.detail}"
    return COLUMNS.format(
        row.op,
        row.size,
        row.backend,
        f"{row.median_seconds * 1e6:,.1f}",
        f"{row.spread:.0%}",
        f"{row.rate:,.1f} {row.unit}",
    )


def _op_row(made: Any, size: str, name: str, budget: float) -> Row:
    from aefast import activations, losses

    backend, row = backends.get(name), Row(made.op, size, name)
    act, loss = made.attrs.get("act"), made.attrs.get("loss")
    can = backend.supports(
        made.op,
        act=None if act is None else activations.NAMES[act],
        loss=None if loss is None else losses.NAMES[loss],
    )
    if not can:
        row.status, row.detail = "unsupported", can.reason
        return row
    verdict = speed.verdict(backend.ops, made)
    if not verdict:
        row.status, row.detail = "failed", verdict.failures[0]
        return row
    function, arguments = getattr(backend.ops, made.op), speed.arguments(made)
    return _timed(row, speed.measure(lambda: function(**arguments), budget), speed.work(made))


def _step_row(net: str, name: str, truth: Any, budget: float) -> Row:
    row = Row(STEP, net, name)
    row.detail = speed.step_failure(net, name, truth)
    if row.detail:
        row.status = "failed"
        return row
    made, rows = speed.trainer(net, name), speed.net_rows(net)
    steps = len(rows) // made.batch_size
    timing = speed.measure(lambda: made.fit_epoch(rows), budget)
    each = speed.Timing(timing.median / steps, timing.spread, timing.samples)
    return _timed(row, each, speed.net_work(net))


def _timed(row: Row, timing: speed.Timing, work: speed.Work) -> Row:
    row.median_seconds, row.spread, row.samples = timing.median, timing.spread, timing.samples
    row.rate, row.unit = work.rate(timing.median)
    return row
