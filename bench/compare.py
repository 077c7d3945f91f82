"""The side-by-side comparison: each contender is checked first, then timed in turns.

The driver starts one process a contender, all with the same threads, and hands out turns over pipes: while
one runs, the others block on a read. The order rotates from round to round. The machine's FMA peak takes a
turn in every round too, so that the fraction of peak is one of the same minutes.
"""

from __future__ import annotations

import argparse
import json
import os
import select
import statistics
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from bench import machine, nets, peak, report

# A contender's losses must follow the reference's within this part of what the loss changed on the way, its
# parameters within this part of the way that they went. Adam divides by sqrt(v), so a gradient near zero
# turns float32 noise into a full step: float32 peers were seen at up to 1e-5 and 0.006. A forgotten bias
# correction or bias gradient is beyond 0.1.
LOSS_TOLERANCE, WAY_TOLERANCE = 1e-4, 0.02
# Thread pools that spin at the end of a turn must have gone to sleep before the next begins.
PAUSE = 0.02
TIMEOUT = 600.0


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


class Worker:
    """The driver's end of a contender's process."""

    def __init__(self, command: list[str], threads: int) -> None:
        everywhere = os.sched_getaffinity(0)
        cores = sorted(everywhere)[:threads]
        # XLA counts the cores that it may use and takes no other instruction; a child inherits them.
        os.sched_setaffinity(0, cores)
        self.process = subprocess.Popen(
            [sys.executable, "-m", *command],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            cwd=Path(__file__).parent.parent,
            env=_environment(len(cores)),
        )
        os.sched_setaffinity(0, everywhere)

    def ask(self, **command: Any) -> dict[str, Any]:
        assert self.process.stdin is not None
        try:
            self.process.stdin.write(json.dumps(command) + "\n")
            self.process.stdin.flush()
        except BrokenPipeError:
            pass
        return self.hear()

    def hear(self) -> dict[str, Any]:
        assert self.process.stdout is not None
        if not select.select([self.process.stdout], [], [], TIMEOUT)[0]:
            return {"status": "error", "detail": f"no answer within {TIMEOUT:.0f} s"}
        line = self.process.stdout.readline()
        if not line:
            return {"status": "error", "detail": f"the process ended with code {self.process.wait()}"}
        message: dict[str, Any] = json.loads(line)
        return message

    def close(self) -> None:
        """Ends the process; one that is in the middle of something after two seconds by force."""
        try:
            self.process.communicate(timeout=2)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.communicate()


def _environment(threads: int) -> dict[str, str]:
    names = ("OMP", "OPENBLAS", "MKL", "NUMBA", "AEFAST")
    env = {**os.environ, **{f"{name}_NUM_THREADS": str(threads) for name in names}}
    env |= {"JAX_PLATFORMS": "cpu", "CUDA_VISIBLE_DEVICES": "", "NPROC": str(threads)}
    return env


def run(arguments: argparse.Namespace) -> int:
    """All rows; returns the exit code: 1 if a contender that is installed failed."""
    document = machine.describe(arguments)
    print(report.heading(document), flush=True)
    for net in arguments.rows:
        row = measure(net, arguments, arguments.budget / len(arguments.rows))
        document["rows"].append(row)
        print(report.row_table(row), flush=True)
    paths = report.write(document, arguments.out, arguments.name)
    print("written: " + ", ".join(map(str, paths)))
    failed = [
        r for row in document["rows"] for r in row["results"] if r["status"] in ("error", "check failed")
    ]
    return 1 if failed else 0


def measure(net: nets.Net, arguments: argparse.Namespace, budget: float) -> dict[str, Any]:
    """One net: start, check, calibrate, take turns."""
    losses, params = nets.reference(net)
    workers: dict[str, Worker] = {}
    results: dict[str, Result] = {}
    meter = Worker(["bench.peak"], arguments.threads)
    peaks: list[float] = []
    try:
        meter_says = meter.hear()
        for name in arguments.contenders:
            workers[name] = Worker(["bench.worker", name, net.name, arguments.backend], arguments.threads)
            results[name] = prepare(workers[name], name, net, losses, params)
        running = [name for name in arguments.contenders if results[name].status == "ok"]
        share = budget / max(1, len(running)) / arguments.rounds
        epochs = {name: calibrate(workers[name], share) for name in running}
        for name in running:
            results[name].steps_a_turn = epochs[name] * net.n_batches
        start = time.monotonic()
        for i in range(arguments.rounds):
            # On a machine that others use as well, a turn may take much longer than when it was calibrated.
            if i >= 3 and time.monotonic() - start > 1.5 * budget:
                break
            shift = i % max(1, len(running))
            for name in running[shift:] + running[:shift]:
                time.sleep(PAUSE)
                said = workers[name].ask(do="run", epochs=epochs[name])
                if said["status"] != "ran":
                    results[name].status, results[name].detail = said["status"], said["detail"]
                    epochs.pop(name)
                    continue
                results[name].seconds_a_step.append(said["seconds"] / (epochs[name] * net.n_batches))
            running = [name for name in running if name in epochs]
            time.sleep(PAUSE)
            peaks.append(meter.ask(do="measure")["gflops"])
    finally:
        for worker in (meter, *workers.values()):
            worker.close()
    return {
        "net": net.name,
        "flops": net.flops,
        "n_batches": net.n_batches,
        "peak_gflops": statistics.median(peaks) if peaks else None,
        "peak_method": meter_says.get("method", peak.UNKNOWN),
        "results": [vars(results[name]) for name in arguments.contenders],
    }


def prepare(worker: Worker, name: str, net: nets.Net, losses: list[float], params: nets.Parameters) -> Result:
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
    result.loss_error, result.way_error = compare(net, losses, params, said["losses"], arrays)
    if not (result.loss_error <= LOSS_TOLERANCE and result.way_error <= WAY_TOLERANCE):
        result.status = "check failed"
        result.detail = (
            f"loss off by {result.loss_error:.2g} of its change (allowed {LOSS_TOLERANCE}), "
            f"parameters by {result.way_error:.2g} of their way (allowed {WAY_TOLERANCE})"
        )
    return result


def compare(
    net: nets.Net,
    losses: list[float],
    params: nets.Parameters,
    got_losses: list[float],
    got: list[np.ndarray[Any, Any]],
) -> tuple[float, float]:
    """(largest loss error / largest loss change, worst layer's parameter error / its way), against the
    reference."""
    wanted = [array for layer in params for array in layer]
    if len(got_losses) != len(losses) or [a.shape for a in got] != [a.shape for a in wanted]:
        return float("inf"), float("inf")
    change = max(abs(loss - losses[0]) for loss in losses)
    loss_error = max(abs(a - b) for a, b in zip(losses, got_losses, strict=True)) / change
    start = [array for layer in nets.initial(net) for array in layer]
    way_error = max(
        float(np.linalg.norm(b - a) / np.linalg.norm(a - s))
        for a, b, s in zip(wanted, got, start, strict=True)
    )
    return loss_error, way_error


def calibrate(worker: Worker, share: float) -> int:
    """Epochs that fill `share` seconds, from a warm-up of a fifth of it; 1 if a single one takes longer."""
    spent, epochs, said = 0.0, 1, worker.ask(do="run", epochs=1)
    while said["status"] == "ran" and spent < 0.2 * share:
        said = worker.ask(do="run", epochs=epochs)
        if said["status"] != "ran":
            break
        spent += said["seconds"]
        per_epoch = said["seconds"] / epochs
        epochs = max(1, min(int(share / per_epoch), epochs * 8))
    return epochs
