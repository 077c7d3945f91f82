"""`python -m bench figure`: one picture of what `compare` measured, drawn from its JSON alone."""

from __future__ import annotations

import io
import json
import statistics
from pathlib import Path
from typing import Any

Document = dict[str, Any]
RESULTS = Path(__file__).parent / "results"
# What a dot stands for: label, its contenders (the fastest of them counts), colour, marker, size, and points above the
# line, so that equal times don't hide each other. The own one comes first, to lie under the smaller ones.
KINDS = (
    ("aefast", ("aefast-epoch", "aefast-step"), "#2563eb", "o", 13.0, 0.0),
    ("JAX, an epoch a scan", ("jax-scan",), "#0f766e", "D", 6.0, 3.0),
    ("JAX, a step a call", ("jax-step",), "#0f766e", "^", 7.0, -3.0),
    ("torch", ("torch", "torch-fused", "torch-compile", "torch-graph"), "#c2410c", "s", 6.5, 0.0),
)
OWN = KINDS[0][0]
INK, FAINT, RULE, CARD, EDGE = "#1f2328", "#59636e", "#e4e7eb", "#ffffff", "#d1d9e0"
WON, LOST = "#15803d", "#b42318"
LEVEL = 0.03  # within this share of each other two medians are called the same: one run's turns scatter more
WIDTH, ROW, HEAD, FOOT = 9.2, 0.45, 1.2, 0.5  # inches
FONT = "system-ui, -apple-system, 'Segoe UI', 'Helvetica Neue', Arial, sans-serif"


def medians(row: Document) -> dict[str, float]:
    """Seconds a step by label of `KINDS`, of each the fastest contender's median; without a valid result, no entry."""
    times = {
        r["contender"]: statistics.median(r["seconds_a_step"]) for r in row["results"] if r["status"] == "ok"
    }
    found = {label: [times[c] for c in contenders if c in times] for label, contenders, *_ in KINDS}
    return {label: min(values) for label, values in found.items() if values}


def verdict(row: Document) -> tuple[str, str, str]:
    """What is written beside a row, its colour, and the line under it."""
    times = medians(row)
    peers = [value for label, value in times.items() if label != OWN]
    if OWN not in times:
        states = {r["status"] for r in row["results"] if r["contender"] in KINDS[0][1]}
        return "no time", LOST, ", ".join(sorted(states)) or "not run"
    factor, unit = next(
        (f, unit) for f, unit in ((1, "s"), (1e3, "ms"), (1e6, "µs")) if times[OWN] * f >= 1 or f == 1e6
    )
    step = f"{times[OWN] * factor:.3g} {unit}"
    if not peers:
        return "no peer", FAINT, step
    ratio = min(peers) / times[OWN]
    if abs(ratio - 1) <= LEVEL:
        return "level", FAINT, step
    return (f"{ratio:.2f}x faster", WON, step) if ratio > 1 else (f"{1 / ratio:.2f}x slower", LOST, step)


def draw(document: Document) -> Any:
    """The Figure: a line a net, a dot a library at its time over the fastest peer's, on a logarithmic axis."""
    from matplotlib.figure import Figure
    from matplotlib.patches import FancyBboxPatch
    from matplotlib.transforms import ScaledTranslation

    rows = document["rows"]
    height = HEAD + ROW * len(rows) + FOOT
    figure = Figure(figsize=(WIDTH, height), dpi=100)
    figure.patch.set_alpha(0)
    # A card of its own colour, since a page may be light or dark.
    card = FancyBboxPatch(
        (0.03, 0.03), WIDTH - 0.06, height - 0.06, boxstyle="round,pad=0,rounding_size=0.12", fc=CARD, ec=EDGE, lw=1, zorder=-1,
        transform=figure.dpi_scale_trans,
    )  # fmt: skip
    figure.add_artist(card)
    left, right = 2.75 / WIDTH, 7.7 / WIDTH
    ax = figure.add_axes((left, FOOT / height, right - left, ROW * len(rows) / height))
    ax.set_facecolor("none")
    farthest, nearest = 1.0, 1.0
    for y, row in enumerate(rows):
        times = medians(row)
        fastest = min((v for label, v in times.items() if label != OWN), default=None)
        points = {label: value / fastest for label, value in times.items()} if fastest else {}
        ax.axhline(y, color=RULE, lw=1, zorder=0)
        for label, _, colour, marker, size, above in KINDS:
            if label in points:
                lifted = ax.transData + ScaledTranslation(0, above / 72, figure.dpi_scale_trans)
                style = {"ms": size, "mec": CARD, "mew": 1, "zorder": 3, "transform": lifted}
                ax.plot(points[label], y, marker, color=colour, **style)
        farthest, nearest = max(farthest, *points.values(), 1.0), min(nearest, *points.values(), 1.0)
        net, batch = row["net"].rsplit("/", 1)
        at = {"xycoords": ("axes fraction", "data"), "va": "center", "textcoords": "offset points"}
        ax.annotate(net, (0, y), (-12, 5), ha="right", color=INK, fontsize=9, **at)
        ax.annotate(f"batch {batch}", (0, y), (-12, -7), ha="right", color=FAINT, fontsize=7.5, **at)
        text, colour, under = verdict(row)
        ax.annotate(text, (1, y), (14, 5), color=colour, fontsize=9, weight="bold", **at)
        ax.annotate(under, (1, y), (14, -7), color=FAINT, fontsize=7.5, **at)
    ax.axvline(1, color=FAINT, lw=1, zorder=1)
    ax.set_xscale("log")
    ax.set_xlim(nearest / 1.18, farthest * 1.18)
    ax.set_ylim(len(rows) - 0.5, -0.5)
    ticks = [
        t for t in (0.1, 0.25, 0.5, 1, 2, 4, 8, 16, 32, 64, 128) if nearest / 1.18 <= t <= farthest * 1.18
    ]
    ax.set_xticks(ticks, [f"{t:g}x" for t in ticks])
    ax.set_xticks([], minor=True)
    ax.set_yticks([])
    ax.tick_params(axis="x", colors=FAINT, labelsize=8.5, length=0, pad=5)
    for spine in ax.spines.values():
        spine.set_visible(False)
    _texts(figure, height, right)
    return figure


def svg(document: Document) -> str:
    """The picture as SVG, the same text for the same document."""
    return rendered(draw(document))


def rendered(made: Any) -> str:
    """A figure as SVG, the same text for the same figure."""
    import matplotlib as mpl

    # Letters as text in the reader's own font, so that they are crisp; laid out with one that is wider than most.
    style = {"svg.hashsalt": "aefast", "svg.fonttype": "none", "font.family": "DejaVu Sans"}
    out = io.StringIO()
    with mpl.rc_context(style):
        nothing = dict.fromkeys(("Date", "Creator", "Format", "Type"))
        made.savefig(out, format="svg", transparent=True, metadata=nothing)
    return out.getvalue().replace("'DejaVu Sans'", FONT)


def caption(document: Document) -> str:
    """What must stand beside the picture, in Markdown."""
    versions: dict[str, str] = {}
    for row in document["rows"]:
        for result in row["results"]:
            versions |= result["versions"]
    named = ", ".join(f"{name} {versions[name]}" for name in ("aefast", "torch", "jax") if name in versions)
    sets = " ".join(document["instruction_sets"])
    note = f"; {document['note']}" if document["note"] else ""
    ran = {r["contender"] for row in document["rows"] for r in row["results"] if r["status"] == "ok"}
    ways = [[f"`{c}`" for c in contenders if c in ran] for _, contenders, *_ in KINDS]
    return (
        f"Median of {document['rounds']} turns, float32, {document['threads']} threads each; of aefast and torch the "
        f"fastest way ({'; '.join(' or '.join(way) for way in ways if len(way) > 1)}).\n"
        f"{document['machine']}, {document['cores']} cores, {document['system']}, {sets}{note}; {named}; "
        f"{document['date'][:10]}, commit {document['commit'][:7]},\n`{document['command']}`; "
        "drawn by `python -m bench figure`."
    )


def command_of(source: Path) -> str:
    """The command that wrote a JSON: the word behind `python -m bench`."""
    words = json.loads(source.read_text(encoding="utf-8"))["command"].split()
    return str(words[3])


def run(source: Path = RESULTS / "compare.json") -> int:
    """Writes the SVG beside its JSON and prints what goes under it."""
    document = json.loads(source.read_text(encoding="utf-8"))
    path = source.with_suffix(".svg")
    path.write_text(svg(document), encoding="utf-8")
    print(f"{path}\n\n{caption(document)}")
    return 0


def _texts(figure: Any, height: float, right: float) -> None:
    """Title, what the axis means, and which dot is which, in a line above the rows."""
    margin = 0.28 / WIDTH
    figure.text(
        margin,
        1 - 0.34 / height,
        "Time of a training step",
        color=INK,
        fontsize=14,
        weight="bold",
        va="center",
    )
    what = (
        "forward, backward and Adam, beside the fastest peer on the same net (= 1x); further left is faster"
    )
    figure.text(margin, 1 - 0.62 / height, what, color=FAINT, fontsize=9.5, va="center")
    x, y = margin + 0.08 / WIDTH, 1 - 0.93 / height
    for label, _, colour, marker, size, _ in KINDS:
        figure.add_artist(_dot(x, y, colour, marker, size))
        weight = "bold" if label == OWN else "normal"
        figure.text(x + 0.13 / WIDTH, y, label, color=INK, fontsize=9, va="center", weight=weight)
        x += (0.45 + 0.072 * len(label)) / WIDTH
    at = (right + 14 / 72 / WIDTH, y)
    figure.text(*at, OWN, color=KINDS[0][2], fontsize=9, weight="bold", va="center")


def _dot(x: float, y: float, colour: str, marker: str, size: float) -> Any:
    from matplotlib.lines import Line2D

    return Line2D([x], [y], marker=marker, color=colour, ms=size, mec=CARD, mew=1, ls="none")
