"""The cost model counts what it says, and the scaling's report tells fractions, failures and gaps."""

from __future__ import annotations

import dataclasses
from typing import Any

import pytest

model = pytest.importorskip(
    "bench.model", reason="bench/ is not in this installation; run from the repository"
)
from bench import nets, scaling, scaling_report  # noqa: E402

AVX2 = (6, 16)
FREE = 1e12  # GB/s or GFLOP/s: of no account


def roofs(gflops: float = FREE, gbs: float = FREE, barrier_us: float = 0.0) -> Any:
    return model.Roofs(gflops, [(1e4, gbs), (1e9, gbs)], barrier_us)


def test_whole_tiles_make_the_flops_of_the_net() -> None:
    net = nets.parse("96-48-96/48")  # multiples of both tile sizes
    found = model.bound(net, roofs(gflops=1.0), 1, AVX2)
    epilogue = 2 * net.batch * (48 + 28 * 96) / 1e9
    assert found.seconds == pytest.approx(net.flops / 1e9 + epilogue, rel=1e-9)


@pytest.mark.parametrize(("batch", "rows"), [(1, 6), (6, 6), (7, 12), (100, 102)])
def test_rows_are_padded_to_the_tile(batch: int, rows: int) -> None:
    net = nets.parse(f"96-48-96/{batch}")
    found = model.bound(net, roofs(gflops=1.0), 1, AVX2)
    fma = 2 * rows * (96 * 48 * 2 + 96 * 48) + 2 * rows * (48 + 28 * 96)
    assert found.parts["rows"] == pytest.approx(fma / 1e9, rel=1e-9)
    assert found.parts["gradients"] == pytest.approx(2 * batch * 2 * 96 * 48 / 1e9, rel=1e-9)


def test_a_column_beyond_a_panel_costs_a_panel() -> None:
    whole, more = (
        model.bound(nets.parse(f"{d}-48-{d}/48"), roofs(gflops=1.0), 1, AVX2).seconds for d in (96, 97)
    )
    assert more > whole * 1.05


def test_columns_are_padded_to_the_panel_forward_and_back() -> None:
    forward, back = nets.parse("48-96-47/48"), nets.parse("96-47-96/48")
    rows = [
        model.bound(net, roofs(gflops=1.0), 1, AVX2).parts["rows"] * 1e9 / (2 * 48) for net in (forward, back)
    ]
    assert rows[0] == pytest.approx(48 * 96 + 96 * 48 + 47 * 96 + 96 + 28 * 47, rel=1e-9)
    assert rows[1] == pytest.approx(96 * 48 + 47 * 96 + 96 * 48 + 47 + 28 * 96, rel=1e-9)


def test_bytes_barriers_and_threads() -> None:
    net = nets.parse("96-48-96/48")
    stored = 2 * 96 * 48 + 48 + 96
    assert model.bound(net, roofs(gbs=1.0), 1, AVX2).parts["update"] == pytest.approx(
        36 * stored / 1e9, rel=1e-9
    )
    cheap, dear = (model.bound(net, roofs(gflops=100.0, barrier_us=us), 2, AVX2) for us in (0.01, 1e4))
    assert (cheap.threads, dear.threads) == (2, 1)
    assert cheap.parts["barriers"] == pytest.approx(3e-8)
    assert cheap.seconds < dear.seconds
    # A batch of one tile can't be shared out: the second thread only helps with the gradients.
    one, two = (model.bound(nets.parse("96-48-96/6"), roofs(gflops=t * 100.0), t, AVX2).parts for t in (1, 2))
    assert two["rows"] == pytest.approx(one["rows"]) and two["gradients"] == pytest.approx(
        one["gradients"] / 2
    )


def test_bandwidth_lies_between_the_measured_ones() -> None:
    r = model.Roofs(1.0, [(1e4, 100.0), (1e6, 10.0)], 0.0)
    rates = [1.0 / r.seconds(1e9, size, 1.0) for size in (1.0, 1e4, 1e5, 1e6, 1e12)]
    assert rates == pytest.approx([100.0, 100.0, 55.0, 10.0, 10.0])


@pytest.mark.parametrize("kind", nets.KINDS)
def test_every_kind_has_a_bound(kind: str) -> None:
    plain, this = (
        model.bound(
            dataclasses.replace(nets.parse("96-48-96/48"), kind=k), roofs(gflops=1.0, gbs=1.0), 1, AVX2
        )
        for k in ("", kind)
    )
    assert 0.5 < this.seconds / plain.seconds < 5
    assert (this.parts["update"] < plain.parts["update"]) == (kind == "tied")


def test_tiles_are_those_of_the_kernels() -> None:
    import re
    from pathlib import Path

    source = Path(model.__file__).parents[1] / "csrc" / "cpu" / "tile.h"
    if not source.is_file():
        pytest.skip("the kernels' sources aren't here")
    heights = re.findall(r"constexpr int MR = (\d+);", source.read_text())
    assert heights == [str(model.TILES[name][0]) for name in ("avx512", "avx2", "neon", "baseline")]
    assert model.tile_of("avx512bf16") == (8, 32) and model.tile_of("generic") == (4, 8)


def test_jobs_name_every_net_with_threads_and_peers() -> None:
    found = scaling.jobs(list(scaling.SWEEPS), 3, ("torch-fused",))
    assert {job.threads for job in found if job.sweep == "threads"} == {1, 2, 3}
    assert all(job.contenders == ("aefast-epoch",) for job in found if job.net.kind or job.sweep == "rows")
    rows = [job for job in found if job.sweep == "rows"]
    assert [job.net.n_batches * job.net.batch for job in rows] == list(scaling.ROWS)
    assert all(nets.parse(job.net.name) == job.net for job in found)


def document() -> dict[str, Any]:
    """What a measurement leaves, with a failure and without a bound in one row each."""

    def row(sweep: str, net: str, at: float, fraction: float | None, **states: float | str) -> dict[str, Any]:
        results = [
            {"contender": name.replace("_", "-"), "versions": {}, "detail": "", "seconds_a_step": []}
            | ({"status": "ok", "seconds_a_step": [value]} if isinstance(value, float) else {"status": value})
            for name, value in states.items()
        ]
        bound = {"seconds": 1e-4, "threads": 2, "parts": {"rows": 7e-5, "update": 3e-5}, "fraction": fraction}
        return {
            "sweep": sweep, "net": net, "at": at, "threads": 2, "flops": 1e6, "peak_gflops": 100.0,
            "results": results, "bound": bound if fraction else None,
        }  # fmt: skip

    return {
        "command": "python -m bench scaling", "machine": "m", "cores": 2, "system": "s", "instruction_sets": [],
        "load_before": 0.0, "date": "d", "commit": "c", "note": "", "python": "3", "rounds": 3, "threads": 2,
        "roofs": {"2": {"status": "error", "detail": "no C++ compiler"}},
        "rows": [
            row("batch", "8-4-8/1", 1, 0.5, aefast_epoch=2e-4, torch_fused="not installed"),
            row("batch", "8-4-8/4", 4, None, aefast_epoch=4e-4, torch_fused=8e-4),
            row("untuned", "3-2-3/1", 0, 0.25, aefast_epoch=4e-4),
        ],
    }  # fmt: skip


def test_the_report_tells_fractions_failures_and_gaps() -> None:
    told = scaling_report.markdown(document())
    assert "| 8-4-8/1 | 2 | 200 | not installed | 5.0 | 5% | 100 | 50% | rows 70% |" in told
    assert "| 8-4-8/4 | 2 | 400 | 800 | 2.5 | 2% | - | - | - |" in told
    assert "no C++ compiler" in told and "- 8-4-8/1, torch-fused: not installed" in told
    assert "bound 100 us, 25%" in scaling_report.line(document()["rows"][2])
    assert "bound" not in scaling_report.line(document()["rows"][1])


def test_the_figure_has_a_panel_a_sweep_and_is_the_same_each_time() -> None:
    pytest.importorskip("matplotlib")
    drawn = scaling_report.draw(document())
    assert [ax.get_title() for ax in drawn.axes] == ["batch", "shapes nobody tuned for"]
    curves = {line.get_label(): list(line.get_ydata()) for line in drawn.axes[0].lines}
    assert curves["aefast-epoch"] == pytest.approx([200.0, 400.0]) and curves["bound"] == pytest.approx(
        [100.0]
    )
    assert [bar.get_width() for bar in drawn.axes[1].patches] == [25.0]
    assert scaling_report.svg(document()) == scaling_report.svg(document())
