"""The picture of the comparison is what its command draws from the JSON, and tells what was lost and what is missing."""

from __future__ import annotations

import copy
import json
import re
from pathlib import Path
from typing import Any

import pytest

figure = pytest.importorskip(
    "bench.figure", reason="bench/ is not in this installation; run from the repository"
)
pytest.importorskip("matplotlib")
DOCUMENT = json.loads((figure.RESULTS / "compare.json").read_text(encoding="utf-8"))


def parts(svg: str) -> tuple[list[str], list[tuple[str, ...]], list[float]]:
    """Everything but letters; what is written, in which colour and size; and where."""
    lines = svg.splitlines()
    shapes = [line for line in lines if "<text" not in line]
    written, places = [], []
    for line in (line for line in lines if "<text" in line):
        found = [re.search(p, line) for p in (r">([^<]+)<", r"fill: (#\w+)", r"([\d.]+)px")]
        written.append(tuple(match[1] for match in found if match))
        places += [float(value) for value in re.findall(r' [xy]="([\d.-]+)"', line)]
    return shapes, written, places


def same(one: str, other: str) -> bool:
    """Releases of matplotlib order a letter's style in another way and measure its height a little otherwise."""
    (shapes, written, places), (shapes2, written2, places2) = parts(one), parts(other)
    return shapes == shapes2 and written == written2 and places == pytest.approx(places2, abs=0.5)


def changed(net: int, contender: str, **result: Any) -> dict[str, Any]:
    document = copy.deepcopy(DOCUMENT)
    found = [r for r in document["rows"][net]["results"] if r["contender"] == contender]
    found[0].update(result)
    return document


def row(**times: float | str) -> dict[str, Any]:
    """A net's results: seconds a step, or why there are none."""
    results = [
        {"contender": name.replace("_", "-"), "status": "ok", "seconds_a_step": [value, value, 9.0]}
        if isinstance(value, float)
        else {"contender": name.replace("_", "-"), "status": value}
        for name, value in times.items()
    ]
    return {"net": "8-4-8/16", "results": results}


def test_the_picture_in_results_is_drawn_from_the_json_beside_it() -> None:
    stored = (figure.RESULTS / "compare.svg").read_text(encoding="utf-8")
    assert same(stored, figure.svg(DOCUMENT)), "compare.svg is behind compare.json: python -m bench figure"
    assert "dc:date" not in stored and len(stored) < 50_000


def test_it_is_the_same_each_time_and_another_for_other_times() -> None:
    drawn = figure.svg(DOCUMENT)
    assert drawn == figure.svg(copy.deepcopy(DOCUMENT))
    assert not same(drawn, figure.svg(changed(0, "jax-step", seconds_a_step=[9e-5])))
    assert not same(drawn, figure.svg(changed(0, "aefast-epoch", status="check failed")))


def test_the_fastest_way_of_a_library_counts() -> None:
    assert figure.medians(row(aefast_epoch=2.0, aefast_step=3.0, torch=6.0, torch_fused=5.0)) == {
        "aefast": 2.0,
        "torch": 5.0,
    }


@pytest.mark.parametrize(
    ("times", "text", "colour"),
    [
        ({"aefast_epoch": 1.0, "torch": 8.0, "jax_scan": 2.0}, "2.00x faster", figure.WON),
        ({"aefast_epoch": 3.0, "torch": 8.0, "jax_scan": 2.0}, "1.50x slower", figure.LOST),
        ({"aefast_epoch": 3.0, "aefast_step": 2.02, "jax_scan": 2.0}, "level", figure.FAINT),
        ({"aefast_epoch": "check failed", "jax_scan": 2.0}, "no time", figure.LOST),
        ({"jax_scan": 2.0}, "no time", figure.LOST),
        ({"aefast_epoch": 3.0, "torch": "not installed"}, "no peer", figure.FAINT),
    ],
)
def test_what_was_lost_and_what_is_missing_is_said(
    times: dict[str, float | str], text: str, colour: str
) -> None:
    assert figure.verdict(row(**times))[:2] == (text, colour)
    document = {**DOCUMENT, "rows": [row(**times), row(aefast_epoch=1.0, torch=1.5)]}
    written = [words[:2] for words in parts(figure.svg(document))[1]]
    assert (text, colour) in written


def test_under_no_time_stands_why() -> None:
    assert (
        figure.verdict(row(aefast_epoch="check failed", aefast_step="crashed"))[2] == "check failed, crashed"
    )
    assert figure.verdict(row(torch=1.0))[2] == "not run"
    assert [figure.verdict(row(aefast_epoch=t))[2] for t in (2e-5, 9.68e-4, 0.06, 2.149)] == [
        "20 µs", "968 µs", "60 ms", "2.15 s",
    ]  # fmt: skip


def test_a_dot_is_at_its_time_over_the_fastest_peers() -> None:
    drawn = figure.draw(
        {**DOCUMENT, "rows": [row(aefast_epoch=1.0, torch=8.0, jax_scan=2.0, jax_step="crashed")]}
    )
    dots = {
        line.get_marker(): tuple(line.get_xdata())
        for line in drawn.axes[0].lines
        if len(line.get_xdata()) == 1
    }
    assert dots == {"o": (0.5,), "s": (4.0,), "D": (1.0,)}
    low, high = drawn.axes[0].get_xlim()
    assert low < 0.5 and high > 4.0 and drawn.axes[0].get_xscale() == "log"


def test_the_command_writes_the_picture_and_prints_its_caption(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    source = tmp_path / "other.json"
    source.write_text(json.dumps(DOCUMENT), encoding="utf-8")
    assert figure.run(source) == 0
    assert (tmp_path / "other.svg").read_text(encoding="utf-8") == figure.svg(DOCUMENT)
    printed = capsys.readouterr().out
    for said in ("machine", "command", "note"):
        assert DOCUMENT[said] in printed
    assert DOCUMENT["date"][:10] in printed and DOCUMENT["commit"][:7] in printed
