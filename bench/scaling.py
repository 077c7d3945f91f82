"""`python -m bench scaling`: how a step's time grows with batch, width, depth, rows and threads, and what shapes that nobody
tuned for take, beside the bound of `bench.model`. Every net is checked and timed as by `compare`.
"""

from __future__ import annotations

import argparse
import dataclasses
import statistics
from typing import Any

from bench import compare, machine, model, nets, peak
from bench.turns import Worker

Document = dict[str, Any]
BASE = "784-256-64-256-784/256"
OWN = "aefast-epoch"
PEERS = ("torch-fused", "jax-scan")
# Name of the sweep -> what is on its axis, and the nets. Rows: the epoch's length, for one net.
SWEEPS: dict[str, tuple[str, tuple[str, ...]]] = {
    "batch": ("batch", tuple(f"784-256-64-256-784/{b}" for b in (1, 4, 16, 64, 256, 1024, 4096))),
    "width": ("width", tuple(f"{w}-{w}-{w // 2}-{w}-{w}/256" for w in (32, 64, 128, 256, 512, 1024, 2048))),
    "depth": ("layers", tuple("-".join(["256"] * (n + 1)) + "/256" for n in (2, 4, 8, 16))),
    "rows": ("rows", ("784-256-64-256-784/256",) * 4),
    "threads": ("threads", ("784-256-64-256-784/256", "64-32-64/32", "1024-1024-1024/512")),
    "untuned": (
        "",
        (
            "3-2-3/1",
            "3-2-3/1000",
            "13-7-13/100",
            "31-17-5-17-31/1",
            "97-31-97/100",
            "97-31-97/100:tanh-mae",
            "97-31-97/100:tied",
            "97-31-97/100:variational",
            "97-31-97/100:denoising",
            "211-101-17-101-211/100",
            "211-101-17-101-211/1",
            "211-101-17-101-211/100:variational",
            "1009-127-1009/64",
            "1009-127-1009/1",
            "1009-127-1009/64:tied",
            "1009-127-1009/64:denoising",
            "2053-509-2053/257",
        ),
    ),
}
ROWS = (512, 4096, 32768, 131072)


@dataclasses.dataclass(frozen=True)
class Job:
    """One measurement: a net, its threads, its place on the sweep's axis, who takes part."""

    sweep: str
    net: nets.Net
    threads: int
    at: float
    contenders: tuple[str, ...]


def jobs(sweeps: list[str], threads: int, peers: tuple[str, ...]) -> list[Job]:
    """What will be measured; nets of a kind of their own are aefast's alone."""
    found = []
    for sweep in sweeps:
        for i, name in enumerate(SWEEPS[sweep][1]):
            net = nets.parse(name)
            who = (OWN, *(peers if net.kind == nets.PLAIN and sweep != "rows" else ()))
            if sweep == "threads":
                counts = sorted({*(2**k for k in range(threads.bit_length()) if 2**k <= threads), threads})
                found += [Job(sweep, net, t, t, who) for t in counts]
            elif sweep == "rows":
                rows = ROWS[i]
                found.append(Job(sweep, dataclasses.replace(net, rows=rows), threads, rows, who))
            else:
                at = {
                    "batch": net.batch,
                    "width": net.widths[0],
                    "depth": len(net.widths) - 1,
                    "untuned": i,
                }[sweep]
                found.append(Job(sweep, net, threads, at, who))
    return found


def run(arguments: argparse.Namespace) -> int:
    """All jobs; the exit code: 1 if a contender failed."""
    from bench import scaling_report

    document = machine.describe(arguments) | {"roofs": {}}
    print(
        f"command  {document['command']}\nmachine  {document['machine']}, {document['cores']} cores",
        flush=True,
    )
    planned = jobs(arguments.sweeps, arguments.threads, tuple(arguments.peers))
    for threads in sorted({job.threads for job in planned}):
        document["roofs"][str(threads)] = measured_roofs(threads)
    for i, job in enumerate(planned):
        row = compare.measure(
            job.net,
            argparse.Namespace(
                contenders=job.contenders,
                threads=job.threads,
                backend=arguments.backend,
                rounds=arguments.rounds,
            ),
            arguments.budget / len(planned),
        )
        row |= {"sweep": job.sweep, "at": job.at}
        row["bound"] = bound_of(row, job, document["roofs"][str(job.threads)])
        document["rows"].append(row)
        print(f"[{i + 1}/{len(planned)}] {scaling_report.line(row)}", flush=True)
        machine.write(document, scaling_report.markdown(document), arguments.out, arguments.name)
    scaling_report.write_figure(document, arguments.out / f"{arguments.name}.svg")
    print(f"written: {arguments.out / arguments.name}.json, .md, .svg")
    return int(any(r["status"] in compare.FAILURES for row in document["rows"] for r in row["results"]))


def measured_roofs(threads: int) -> Document:
    """Bandwidth and barrier for so many threads; {"status": "error", ...} without a compiler."""
    meter = Worker(["bench.peak"], threads)
    try:
        meter.hear()
        return meter.ask(do="roofs")
    finally:
        meter.close()


def bound_of(row: Document, job: Job, roofs: Document) -> Document | None:
    """The model's bound with this row's FMA peak, and aefast's fraction of it; None where it isn't known."""
    own = next(r for r in row["results"] if r["contender"] == OWN)
    if roofs["status"] != "measured" or row["peak_gflops"] is None or row["peak_method"] != peak.LOOP:
        return None
    found = model.bound(
        job.net,
        model.Roofs(row["peak_gflops"], [tuple(p) for p in roofs["bandwidth"]], roofs["barrier_us"]),
        job.threads,
        model.tile_of(own["versions"].get("aefast instruction set", "baseline")),
    )
    taken = statistics.median(own["seconds_a_step"]) if own["status"] == "ok" else None
    return dataclasses.asdict(found) | {"fraction": found.seconds / taken if taken else None}
