"""The scaling measurements as text and as a figure, from their JSON alone."""

from __future__ import annotations

import json
import statistics
from pathlib import Path
from typing import Any

from bench import figure, machine
from bench.report import us
from bench.scaling import OWN, SWEEPS

Document = dict[str, Any]
COLOURS = {OWN: "#2563eb", "torch-fused": "#c2410c", "jax-scan": "#0f766e"}
OTHERS = ("#7c3aed", "#a16207", "#be185d")
BOUND = "#59636e"


def medians(row: Document) -> dict[str, float]:
    """Seconds a step of who has any."""
    return {
        r["contender"]: statistics.median(r["seconds_a_step"])
        for r in row["results"]
        if r["status"] == "ok" and r["seconds_a_step"]
    }


def line(row: Document) -> str:
    """One net for the terminal."""
    times = medians(row)
    said = [f"{name} {us(value)} us" for name, value in times.items()]
    said += [f"{r['contender']} {r['status']}: {r['detail']}" for r in row["results"] if r["status"] != "ok"]
    limit = row["bound"]
    if limit:
        share = f", {limit['fraction']:.0%}" if limit["fraction"] else ""
        said.append(f"bound {us(limit['seconds'])} us{share}")
    return f"{row['sweep']:8}{row['net']}, {row['threads']} threads: " + ", ".join(said)


def markdown(document: Document) -> str:
    versions: dict[str, str] = {}
    for row in document["rows"]:
        for result in row["results"]:
            versions |= result["versions"]
    roofs = [
        f"{threads} threads: "
        + (
            f"barrier {r['barrier_us']:.2g} us, "
            + ", ".join(f"{_size(b)} {rate:.0f} GB/s" for b, rate in r["bandwidth"])
            if r["status"] == "measured"
            else r["detail"]
        )
        for threads, r in document["roofs"].items()
    ]
    lines = [
        "# How a step's time grows",
        "",
        *machine.lines(document),
        f"- versions: Python {document['python']}, "
        + ", ".join(f"{k} {v}" for k, v in sorted(versions.items())),
        f"- float32; {document['rounds']} turns each, in rotating order, a process each",
        *(f"- {said}" for said in roofs),
        "",
        "Median microseconds a step (forward, backward, Adam). GFLOP/s are those of the unpadded matrix products. The bound is",
        "the cost model's (`bench/model.py`, README), with the FMA peak of the same minutes; of bound: bound / time. 100%",
        "can't be had where the model leaves costs out.",
    ]
    for sweep in dict.fromkeys(row["sweep"] for row in document["rows"]):
        rows = [row for row in document["rows"] if row["sweep"] == sweep]
        names = list(dict.fromkeys(r["contender"] for row in rows for r in row["results"]))
        lines += ["", f"## {sweep}", ""]
        heads = [
            "net/batch",
            "threads",
            *names,
            "aefast GFLOP/s",
            "of peak",
            "bound",
            "of bound",
            "bound's largest part",
        ]
        lines += ["| " + " | ".join(heads) + " |", "|---|" + "---:|" * (len(heads) - 2) + "---|"]
        lines += ["| " + " | ".join(_cells(row, names)) + " |" for row in rows]
    failed = sorted(
        {
            f"- {row['net']}, {r['contender']}: {r['status']}, {r['detail']}"
            for row in document["rows"]
            for r in row["results"]
            if r["status"] != "ok"
        }
    )
    return "\n".join([*lines, *([""] if failed else []), *failed, ""])


def _cells(row: Document, names: list[str]) -> list[str]:
    times = medians(row)
    states = {r["contender"]: r["status"] for r in row["results"]}
    extra = f", {int(row['at'])} rows" if row["sweep"] == "rows" else ""
    cells = [row["net"] + extra, str(row["threads"])]
    cells += [us(times[name]) if name in times else states.get(name, "-") for name in names]
    rate = row["flops"] / times[OWN] / 1e9 if OWN in times else None
    cells.append(f"{rate:.1f}" if rate else "-")
    cells.append(f"{rate / row['peak_gflops']:.0%}" if rate and row["peak_gflops"] else "-")
    limit = row["bound"]
    if not limit:
        return [*cells, "-", "-", "-"]
    largest = max(limit["parts"], key=lambda part: limit["parts"][part])
    share = f"{limit['fraction']:.0%}" if limit["fraction"] else "-"
    return [
        *cells,
        us(limit["seconds"]),
        share,
        f"{largest} {limit['parts'][largest] / limit['seconds']:.0%}",
    ]


def draw(document: Document) -> Any:
    """A panel a sweep: time a step over its axis, everybody's and the bound's; the shapes nobody tuned for as bars."""
    from matplotlib.figure import Figure

    sweeps = list(dict.fromkeys(row["sweep"] for row in document["rows"]))
    n_columns = min(3, len(sweeps))
    n_rows = -(-len(sweeps) // n_columns)
    made = Figure(figsize=(3.6 * n_columns, 3.1 * n_rows), dpi=100, layout="constrained")
    made.patch.set_facecolor(figure.CARD)
    for i, sweep in enumerate(sweeps):
        ax = made.add_subplot(n_rows, n_columns, i + 1)
        rows = [row for row in document["rows"] if row["sweep"] == sweep]
        (_bars if sweep == "untuned" else _curves)(ax, sweep, rows)
        ax.set_title(
            sweep if sweep != "untuned" else "shapes nobody tuned for", color=figure.INK, fontsize=10
        )
        ax.tick_params(which="both", colors=figure.FAINT, labelsize=7)
        for side in ("top", "right"):
            ax.spines[side].set_visible(False)
    return made


def _curves(ax: Any, sweep: str, rows: list[Document]) -> None:
    for group in dict.fromkeys(row["net"] for row in rows) if sweep == "threads" else [None]:
        part = [row for row in rows if group in (None, row["net"])]
        names = list(dict.fromkeys(r["contender"] for row in part for r in row["results"]))
        for k, name in enumerate(names):
            points = [(row["at"], medians(row)[name] * 1e6) for row in part if name in medians(row)]
            colour = COLOURS.get(name, OTHERS[k % len(OTHERS)])
            first = group is None or group == rows[0]["net"]
            if points:
                ax.plot(
                    *zip(*points, strict=True),
                    "o-",
                    color=colour,
                    ms=3.5,
                    lw=1.2,
                    label=name if first else None,
                )
        points = [(row["at"], row["bound"]["seconds"] * 1e6) for row in part if row["bound"]]
        if points:
            first = group is None or group == rows[0]["net"]
            ax.plot(*zip(*points, strict=True), "--", color=BOUND, lw=1, label="bound" if first else None)
    ax.set_xscale("log", base=2)
    ax.set_yscale("log")
    ax.set_xlabel(SWEEPS[sweep][0], color=figure.FAINT, fontsize=8)
    ax.set_ylabel("µs a step", color=figure.FAINT, fontsize=8)
    ax.legend(fontsize=6.5, frameon=False)


def _bars(ax: Any, sweep: str, rows: list[Document]) -> None:
    shares = [(row["bound"] or {}).get("fraction") or 0.0 for row in rows]
    ax.barh(range(len(rows)), [100 * share for share in shares], color=COLOURS[OWN])
    ax.set_yticks(range(len(rows)), [row["net"] for row in rows], fontsize=5.5)
    ax.invert_yaxis()
    ax.set_xlim(0, 100)
    ax.set_xlabel("% of the bound", color=figure.FAINT, fontsize=8)


def svg(document: Document) -> str:
    return figure.rendered(draw(document))


def write_figure(document: Document, path: Path) -> None:
    """Draws it where matplotlib is; says so where it isn't."""
    try:
        path.write_text(svg(document), encoding="utf-8")
    except ModuleNotFoundError as error:
        print(f"no figure: {error}")


def run(source: Path) -> int:
    """The figure again, from the JSON."""
    write_figure(json.loads(source.read_text(encoding="utf-8")), source.with_suffix(".svg"))
    print(source.with_suffix(".svg"))
    return 0


def _size(n_bytes: float) -> str:
    return f"{n_bytes / 2**20:g} MiB" if n_bytes >= 2**20 else f"{n_bytes / 2**10:g} KiB"
