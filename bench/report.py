"""Results as text: the table on stdout, the JSON and the Markdown file."""

from __future__ import annotations

import statistics
from pathlib import Path
from typing import Any

from bench import machine
from bench.contenders import CONTENDERS
from bench.reference import told

Document = dict[str, Any]


def heading(document: Document) -> str:
    lines = [
        f"command  {document['command']}",
        f"machine  {document['machine']}, {document['cores']} cores, {document['system']}, "
        f"{' '.join(document['instruction_sets'])}; load before {document['load_before']:.2f}",
        f"run      {document['date']}, commit {document['commit']}, Python {document['python']}, "
        f"{document['threads']} threads each, {document['rounds']} turns each, "
        f"aefast's backend {document['backend']}",
    ]
    return "\n".join(lines + [f"note     {document['note']}"] * bool(document["note"]))


def summary(row: Document) -> list[Document]:
    """Per contender of a row: median, quartiles, extremes (seconds a step), rate, fraction of peak, ratio.

    The ratio is the best peer's median over the contender's: above 1 is faster than the best peer. A contender of the
    project itself is never a peer, nor is one with another output activation.
    """
    medians = {
        r["contender"]: statistics.median(r["seconds_a_step"]) for r in row["results"] if r["status"] == "ok"
    }
    best = min((value for name, value in medians.items() if is_peer(name)), default=None)
    lines = []
    for result in row["results"]:
        line: Document = {
            "contender": result["contender"],
            "status": result["status"],
            "detail": result["detail"],
        }
        if result["status"] == "ok":
            times, median = sorted(result["seconds_a_step"]), medians[result["contender"]]
            quartiles = (
                statistics.quantiles(times, n=4, method="inclusive") if len(times) > 1 else [median] * 3
            )
            gflops = row["flops"] / median / 1e9
            line |= {
                "median": median,
                "quartiles": [quartiles[0], quartiles[2]],
                "extremes": [times[0], times[-1]],
                "gflops": gflops,
                "of_peak": gflops / row["peak_gflops"] if row["peak_gflops"] else None,
                "ratio": best / median if best else None,
            }
        lines.append(line)
    return lines


def is_peer(contender: str) -> bool:
    """Somebody else's, and the same computation."""
    return not contender.startswith("aefast") and CONTENDERS[contender].formula.sigmoid


def row_table(row: Document) -> str:
    """The plain table of one net."""
    peak = f"{row['peak_gflops']:.0f} GFLOP/s" if row["peak_gflops"] else "unknown"
    lines = [
        "",
        f"{row['net']}: {row['flops'] / 1e6:.4g} MFLOP a step, epochs of {row['n_batches']} batches; "
        f"peak {peak}",
        f"  peak by: {row['peak_method']}",
        f"  {'contender':28}{'us a step':>12}{'quartiles':>24}{'GFLOP/s':>10}"
        f"{'of peak':>9}{'vs best peer':>14}",
    ]
    for line in summary(row):
        if line["status"] != "ok":
            lines.append(
                f"  {line['contender']:28}{line['status']}{': ' if line['detail'] else ''}{line['detail']}"
            )
            continue
        low, high = (us(value) for value in line["quartiles"])
        share = f"{line['of_peak']:.0%}" if line["of_peak"] else "-"
        ratio = f"{line['ratio']:.2f}x" if line["ratio"] else "-"
        lines.append(
            f"  {line['contender']:28}{us(line['median']):>12}{low + ' .. ' + high:>24}"
            f"{line['gflops']:>10.1f}{share:>9}{ratio:>14}"
        )
    return "\n".join(lines)


def markdown(document: Document) -> str:
    versions: dict[str, str] = {}
    for row in document["rows"]:
        for result in row["results"]:
            versions |= result["versions"]
    # Rows of one kind of nets, which the same contenders can do, have a table.
    tables: dict[tuple[str, ...], list[Document]] = {}
    for row in document["rows"]:
        tables.setdefault(tuple(result["contender"] for result in row["results"]), []).append(row)
    lines = [
        "# Training steps beside the peers",
        "",
        *machine.lines(document),
        f"- versions: Python {document['python']}, "
        + ", ".join(f"{k} {v}" for k, v in sorted(versions.items())),
        f"- {document['threads']} threads each; float32; "
        f"{document['rounds']} turns each, in rotating order, a process each",
        "",
        f"Median microseconds a step ({_step_of(document)}) and quartiles. The last column is the best",
        "peer's median over aefast's best: above 1 aefast is faster; contenders with another output activation don't count.",
        "The peak is of the same minutes.",
    ]
    for names, rows in tables.items():
        lines += _table(names, rows)
    lines += ["", "Peak by: " + "; ".join(sorted({row["peak_method"] for row in document["rows"]})) + ".", ""]
    told_of = dict.fromkeys(name for names in tables for name in names)
    lines += [f"- `{name}`: {CONTENDERS[name].what}{_deviation(name)}" for name in told_of]
    details = sorted(
        {
            f"- {row['net']}, {r['contender']}: {r['status']}{', ' if r['detail'] else ''}{r['detail']}"
            for row in document["rows"]
            for r in row["results"]
            if r["status"] != "ok"
        }
    )
    return "\n".join(lines + ([""] if details else []) + details) + "\n"


def _table(names: tuple[str, ...], rows: list[Document]) -> list[str]:
    lines = [
        "",
        "| net/batch | " + " | ".join(names) + " | aefast GFLOP/s (of peak) | vs best peer |",
        "|---|" + "---|" * (len(names) + 2),
    ]
    for row in rows:
        cells, own = [], None
        for line in summary(row):
            if line["status"] != "ok":
                cells.append(line["status"])
                continue
            low, high = (us(value) for value in line["quartiles"])
            cells.append(f"{us(line['median'])} ({low} .. {high})")
            if line["contender"].startswith("aefast") and (own is None or line["median"] < own["median"]):
                own = line
        share = f" ({own['of_peak']:.0%})" if own and own["of_peak"] else ""
        cells.append(f"{own['gflops']:.1f}{share}" if own else "-")
        cells.append(f"{own['ratio']:.2f}x" if own and own["ratio"] else "-")
        lines.append(f"| {row['net']} | " + " | ".join(cells) + " |")
    return lines


def write(document: Document, folder: Path, stem: str) -> list[Path]:
    """STEM.json (every turn of every contender) and STEM.md."""
    for row in document["rows"]:
        row["summary"] = summary(row)
    return machine.write(document, markdown(document), folder, stem)


def _step_of(document: Document) -> str:
    steps = ["forward, backward, Adam"]
    if any(row["net"].startswith("layer:") for row in document["rows"]):
        steps.append("of a single layer: output and gradients by input, weight and bias, no Adam")
    return "; ".join(steps)


def _deviation(contender: str) -> str:
    said = told(CONTENDERS[contender].formula)
    return f" ({said}; checked against that formula)" if said else ""


def us(seconds: float) -> str:
    return f"{seconds * 1e6:.4g}" if seconds < 0.01 else f"{seconds * 1e6:.0f}"
