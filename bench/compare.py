"""The side-by-side comparison: each contender is checked first, then timed in turns.

The driver starts one process a contender, all with the same threads, and hands out turns over pipes: while
one runs, the others block on a read. The order rotates from round to round. The machine's FMA peak takes a
turn in every round too, so that the fraction of peak is one of the same minutes.
"""

from __future__ import annotations

import argparse
import statistics
import sys
import tempfile
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from bench import machine, nets, peak, reference, report
from bench.contenders import CONTENDERS, of
from bench.data import data
from bench.turns import Worker, rounds

FEWEST_ROUNDS = 3
# A contender gets no time where its fewest turns alone would take more than this part of a net's budget.
GREEDY, ESTIMATES = 0.5, 3
FAILURES = ("error", "check failed")


@dataclass
class Result:
    """One contender on one net."""

    contender: str
    status: str
    detail: str = ""
    versions: dict[str, str] = field(default_factory=dict)
    loss_error: float | None = None
    way_error: float | None = None
    steps_a_turn: int = 0
    seconds_a_step: list[float] = field(default_factory=list)


def run(arguments: argparse.Namespace) -> int:
    """All rows; returns the exit code: 1 if a contender that is installed failed."""
    document = machine.describe(arguments)
    print(report.heading(document), flush=True)
    for net in arguments.rows:
        row = measure(net, arguments, arguments.budget / len(arguments.rows))
        document["rows"].append(row)
        print(report.row_table(row), flush=True)
        report.write(document, arguments.out, arguments.name)
    paths = report.write(document, arguments.out, arguments.name)
    print("written: " + ", ".join(map(str, paths)))
    return int(any(r["status"] in FAILURES for row in document["rows"] for r in row["results"]))


def measure(net: nets.AnyNet, arguments: argparse.Namespace, budget: float) -> dict[str, Any]:
    """One net: start, check, calibrate, take turns. Of `arguments`: contenders, threads, backend, rounds.

    Contenders of other families of nets are not mentioned.
    """
    contenders = [name for name in arguments.contenders if name in of(net.family)]
    workers: dict[str, Worker] = {}
    results: dict[str, Result] = {}
    meter = Worker(["bench.peak"], arguments.threads)
    peaks: list[float] = []
    with tempfile.TemporaryDirectory() as folder:
        try:
            meter_says = meter.hear()
            x = data(net)
            path = Path(folder) / "data.npy"
            np.save(path, x)
            truths = {reference.USUAL: reference.truth(net, x)}
            alone = reference.float32_alone(net, x, truths[reference.USUAL])
            for name in contenders:
                if net.kind != nets.PLAIN and not CONTENDERS[name].kinds:
                    results[name] = Result(name, "left out", f"only nets without :{net.kind}")
                    continue
                formula = CONTENDERS[name].formula
                if formula not in truths:
                    truths[formula] = reference.truth(net, x, formula)
                _progress(f"{net.name}: {name} starts and is checked")
                command = ["bench.worker", name, net.name, arguments.backend, str(path)]
                workers[name] = Worker(command, arguments.threads, CONTENDERS[name].environment)
                results[name] = prepare(workers[name], name, truths[formula], alone)
            running = [name for name in contenders if results[name].status == "ok"]
            share = budget / max(1, len(running)) / arguments.rounds
            epochs: dict[str, int] = {}
            for name in list(running):
                _progress(f"{net.name}: {name} warms up")
                epochs[name] = calibrate(workers[name], results[name], net, share, budget)
                results[name].steps_a_turn = epochs[name] * net.n_batches
                if results[name].status != "ok":
                    running.remove(name)
            start = time.monotonic()

            def out_of_time(i: int) -> bool:
                # On a machine that others use as well, a turn may take much longer than when it was calibrated.
                return i >= FEWEST_ROUNDS and time.monotonic() - start > 1.5 * budget

            for i, name in rounds(arguments.rounds, [*running, ""], out_of_time):
                if not name:
                    peaks.append(meter.ask(do="measure")["gflops"])
                    _progress(
                        f"{net.name}: round {i + 1} of {arguments.rounds}, {time.monotonic() - start:.0f} s"
                    )
                elif results[name].status == "ok":
                    said = workers[name].ask(do="run", epochs=epochs[name])
                    if said["status"] == "ran":
                        results[name].seconds_a_step.append(said["seconds"] / results[name].steps_a_turn)
                    else:
                        results[name].status, results[name].detail = said["status"], said["detail"]
        finally:
            for worker in (meter, *workers.values()):
                worker.close()
            _progress("")
    return {
        "net": net.name,
        "flops": net.flops,
        "n_batches": net.n_batches,
        "threads": arguments.threads,
        "float32_alone": alone,
        "peak_gflops": statistics.median(peaks) if peaks else None,
        "peak_method": meter_says.get("method", peak.UNKNOWN),
        "results": [vars(results[name]) for name in contenders],
    }


def prepare(worker: Worker, name: str, true: reference.Truth, alone: tuple[float, float]) -> Result:
    """Start-up and check; a status other than "ok" takes no turns."""
    said = worker.hear()
    if said["status"] != "ready":
        return Result(name, said["status"], said.get("detail", ""))
    result = Result(name, "ok", versions=said["versions"])
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "params.npz"
        said = worker.ask(do="check", path=str(path))
        if said["status"] != "checked":
            result.status, result.detail = said["status"], said["detail"]
            return result
        with np.load(path) as archive:
            arrays = [archive[key] for key in archive.files]
    result.loss_error, result.way_error = errors = true.errors(said["losses"], arrays)
    if not reference.passes(errors):
        result.status = "check failed"
        result.detail = (
            f"loss off by {errors[0]:.2g} of its change (allowed {reference.LOSS_TOLERANCE}), "
            f"parameters by {errors[1]:.2g} of their way (allowed {reference.WAY_TOLERANCE})"
        )
        if not reference.passes(alone, 0.5):
            result.status = "not checkable"
            result.detail += f"; but float32 NumPy itself is off by {alone[0]:.2g} and {alone[1]:.2g} here"
    return result


def calibrate(worker: Worker, result: Result, net: nets.AnyNet, share: float, budget: float) -> int:
    """Epochs that fill `share` seconds, from a warm-up of a fifth of it; 1 if a single one takes longer.

    Before the first epoch its time is estimated by the check, done again, the best of up to three: what compiles has
    compiled then.
    """
    a_step = float("inf")
    for _ in range(ESTIMATES):
        with tempfile.TemporaryDirectory() as folder:
            said = worker.ask(do="check", path=str(Path(folder) / "params.npz"))
        a_step = min(a_step, said["seconds"] / said["steps"]) if said["status"] == "checked" else 0.0
        too_slow = a_step * net.n_batches * FEWEST_ROUNDS > GREEDY * budget
        if not too_slow:
            break
    else:
        result.status = "too slow for the budget"
        result.detail = f"about {a_step:.2g} s a step by its check, {net.n_batches} steps an epoch"
        return 1
    spent, epochs, said = 0.0, 1, worker.ask(do="run", epochs=1)
    while said["status"] == "ran" and spent < 0.2 * share:
        said = worker.ask(do="run", epochs=epochs)
        if said["status"] != "ran":
            break
        spent += said["seconds"]
        per_epoch = said["seconds"] / epochs
        epochs = max(1, min(int(share / per_epoch), epochs * 8))
    if said["status"] != "ran":
        result.status, result.detail = said["status"], said["detail"]
    return epochs


def _progress(text: str) -> None:
    """A line that overwrites itself on a terminal; elsewhere one a message."""
    if sys.stderr.isatty():
        print(f"\r\033[K{text}", end="", file=sys.stderr, flush=True)
    elif text:
        print(text, file=sys.stderr, flush=True)
