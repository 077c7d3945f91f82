"""`python -m bench pyod` and `fashion`: whole fits side by side, a seed a round, in turns.

A fit of one epoch comes first: it warms up and tells how long a round will take. A round that would end beyond the budget
isn't begun, and the number of seeds says so.
"""

from __future__ import annotations

import argparse
import statistics
import sys
import time
from typing import Any

from bench import machine
from bench.fits import Subject, subject
from bench.turns import Worker, rounds

Document = dict[str, Any]
OVERRUN = 1.5  # of a data set's share of the budget: what the warm-up under-estimated


def run(arguments: argparse.Namespace) -> int:
    """All data sets; the exit code: 1 if a contender that is installed failed."""
    about = subject(arguments.command)
    document = machine.describe(arguments) | {"subject": arguments.command, "versions": {}}
    print(
        f"command  {document['command']}\nmachine  {document['machine']}, {document['cores']} cores",
        flush=True,
    )
    missing = {}
    wanted = arguments.data or [name for name in about.data if name != about.fallback]
    for name in wanted:
        try:
            about.data[name](0)
        except (FileNotFoundError, ModuleNotFoundError) as error:
            missing[name] = str(error)
            print(f"{name} left out: {error}", flush=True)
    here = [name for name in wanted if name not in missing] or [about.fallback] * bool(about.fallback)
    document["missing"] = missing
    for name in here:
        row = measure(arguments, about, name, arguments.budget / len(here), document["versions"])
        document["rows"].append(row)
        print("\n".join(table([row], about)), flush=True)
        write(document, about, arguments)
    write(document, about, arguments)
    print(f"written: {arguments.out / arguments.name}.json, .md")
    return int(any(r["status"] == "error" for row in document["rows"] for r in row["results"].values()))


def measure(
    arguments: argparse.Namespace, about: Subject, data: str, budget: float, versions: dict[str, str]
) -> Document:
    """One data set: a warm-up each, then a fit each a seed."""
    results: dict[str, Document] = {}
    workers: dict[str, Worker] = {}
    expected = 0.0
    try:
        for name in arguments.contenders:
            workers[name] = Worker(["bench.fit_worker", arguments.command, name], arguments.threads)
            said = workers[name].hear()
            if said["status"] == "ready":
                # The second one: the first also imports and compiles.
                for _ in range(2):
                    said = workers[name].ask(data=data, seed=0, epochs=1)
                    if said["status"] != "ran":
                        break
            results[name] = {"status": said["status"], "detail": said.get("detail", ""), "runs": []}
            if said["status"] == "ran":
                results[name]["status"] = "ok"
                expected += said["seconds"][about.main] * arguments.epochs
                versions |= said["versions"]
            print(f"{data}: {name} {results[name]['status']}", file=sys.stderr, flush=True)
        start = time.monotonic()

        def out_of_time(i: int) -> bool:
            spent = time.monotonic() - start
            a_round = spent / i if i else expected
            return i > 0 and spent + a_round > OVERRUN * budget

        for seed, name in rounds(arguments.rounds, arguments.contenders, out_of_time):
            if results[name]["status"] != "ok":
                continue
            said = workers[name].ask(data=data, seed=seed, epochs=arguments.epochs)
            if said["status"] != "ran":
                results[name] |= {"status": said["status"], "detail": said["detail"]}
                continue
            results[name]["runs"].append({"seed": seed, "seconds": said["seconds"], "scores": said["scores"]})
            told = ", ".join(f"{k} {v:.4g}" for k, v in (said["seconds"] | said["scores"]).items())
            print(f"{data}: seed {seed}, {name}: {told}", file=sys.stderr, flush=True)
    finally:
        for worker in workers.values():
            worker.close()
    return {
        "data": data,
        "epochs": arguments.epochs,
        "expected_seconds_a_round": expected,
        "results": results,
    }


def summary(row: Document, about: Subject) -> list[Document]:
    """A line a contender: medians of the seconds, the ratio to the own one, mean and spread of the scores."""
    own = _seconds(row["results"].get(next(iter(about.contenders)), {"runs": []}), about.main)
    lines = []
    for name, result in row["results"].items():
        line: Document = {"contender": name, "status": result["status"], "detail": result["detail"]}
        runs, taken = result["runs"], _seconds(result, about.main)
        if runs:
            line["seeds"] = len(runs)
            for key in runs[0]["seconds"]:
                values = [r["seconds"][key] for r in runs]
                line[f"{key} [s]"] = [statistics.median(values), min(values), max(values)]
            # Of each round's two fits: what else the machine did meanwhile hits both.
            pairs = [t / o for seed, t in taken.items() if (o := own.get(seed))]
            line["ratio"] = statistics.median(pairs) if pairs else None
            for key in runs[0]["scores"]:
                values = [r["scores"][key] for r in runs]
                line[key] = [statistics.mean(values), statistics.stdev(values) if len(values) > 1 else None]
        lines.append(line)
    return lines


def _seconds(result: Document, key: str) -> dict[int, float]:
    return {r["seed"]: r["seconds"][key] for r in result["runs"]}


def table(rows: list[Document], about: Subject) -> list[str]:
    """Markdown, the contenders of another computation last and marked."""
    lines = []
    for row in rows:
        summed = sorted(summary(row, about), key=lambda s: not about.contenders[s["contender"]].alike)
        keys = [
            key
            for line in summed
            for key in line
            if key not in ("contender", "status", "detail", "seeds", "ratio")
        ]
        keys = list(dict.fromkeys(keys))
        own = next(iter(about.contenders))
        lines += ["", f"**{row['data']}**, {row['epochs']} epochs", ""]
        lines += ["| | seeds | " + " | ".join([*keys, f"{about.main} over {own}'s"]) + " |"]
        lines += ["|---|" + "---:|" * (len(keys) + 2)]
        for line in summed:
            mark = "" if about.contenders[line["contender"]].alike else " (not the same computation)"
            cells = [line["contender"] + mark]
            if line["status"] != "ok":
                cells.append(line["status"])
            else:
                cells.append(str(line.get("seeds", 0)))
            cells += [_cell(key, line.get(key)) for key in keys]
            cells.append(f"{line['ratio']:.2f}x" if line.get("ratio") else "-")
            lines.append("| " + " | ".join(cells) + " |")
        lines += [f"\n{s['contender']}: {s['status']}, {s['detail']}" for s in summed if s["status"] != "ok"]
    return lines


def _cell(key: str, value: list[Any] | None) -> str:
    if value is None:
        return "-"
    if key.endswith("[s]"):
        middle, low, high = value
        return f"{middle:.3g} ({low:.3g} .. {high:.3g})"
    mean, spread = value
    return f"{mean:.5g}" + (f" ± {spread:.2g}" if spread is not None else "")


def markdown(document: Document, about: Subject) -> str:
    versions = ", ".join(f"{name} {version}" for name, version in sorted(document["versions"].items()))
    return "\n".join(
        [
            f"# {about.title}",
            "",
            *machine.lines(document),
            f"- versions: Python {document['python']}, {versions}",
            f"- {document['threads']} threads each; up to {document['rounds']} seeds, a fit each in turns, a process each",
            "",
            about.about,
            "Seconds are medians (extremes), the ratio is the median of the rounds' own ratios, scores are mean ± standard "
            "deviation over the seeds.",
            *table(document["rows"], about),
            "",
            *(f"- `{name}`: {entry.what}" for name, entry in about.contenders.items()),
            *(f"- {name} left out: {why}" for name, why in document["missing"].items()),
            "",
        ]
    )


def write(document: Document, about: Subject, arguments: argparse.Namespace) -> None:
    for row in document["rows"]:
        row["summary"] = summary(row, about)
    machine.write(document, markdown(document, about), arguments.out, arguments.name)
