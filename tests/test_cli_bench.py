"""`aefast bench`: every op is there, is checked before it is timed, and a wrong one gets no time."""

from __future__ import annotations

import json
import types
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from aefast import backends, cli, testing
from aefast.cli import bench
from aefast.testing import speed


def wrong(op: str, spoil: Any) -> Any:
    """NumPy's ops, one of them spoilt after it ran."""
    real = backends.get("numpy").ops

    def spoilt(**arguments: Any) -> None:
        getattr(real, op)(**arguments)
        spoil(arguments)

    return types.SimpleNamespace(**{name: getattr(real, name) for name in speed.OPS} | {op: spoilt})


def test_the_ops_are_those_of_the_contract() -> None:
    assert set(speed.OPS) <= set(testing.ops())


@pytest.mark.parametrize("op", speed.OPS)
def test_a_case_is_right_with_the_reference_and_can_be_repeated(op: str) -> None:
    made = speed.case(op, "128x784x64")
    ops = backends.get("numpy").ops
    assert speed.verdict(ops, made)
    arguments = speed.arguments(made)
    for _ in range(2):
        getattr(ops, op)(**arguments)
    for name in made.outputs:
        assert np.isfinite(arguments[name]).all(), name
    assert speed.work(made).flops + speed.work(made).bytes > 0


@pytest.mark.parametrize(
    ("op", "output"),
    [
        ("linear_act", "out"),
        ("linear_loss_grad", "delta"),
        ("linear_loss", "row_loss"),
        ("linear_wgrad", "db"),
        ("gather", "out"),
        ("update", "s1"),
        ("permutation", "out"),
        ("corrupt", "out"),
    ],
)
@pytest.mark.parametrize("bug", ["one number is off", "the tail is missing"])
def test_a_wrong_op_gets_no_time(
    op: str, output: str, bug: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def spoil(arguments: dict[str, Any]) -> None:
        flat = arguments[output].reshape(-1)
        if bug == "one number is off":
            flat[len(flat) // 2] *= 1.01
            flat[len(flat) // 2] += 1
        else:
            flat[-1] = np.nan if flat.dtype.kind == "f" else -1

    real = backends.get("numpy")
    fake = types.SimpleNamespace(name="numpy", ops=wrong(op, spoil), supports=real.supports)
    monkeypatch.setattr(bench.backends, "get", lambda name: fake)
    assert cli.main(["bench", "--quick", "--backend", "numpy", "--op", op]) == 1
    out = capsys.readouterr().out
    assert f"FAILED: {op}[" in out and "GB/s" not in out and "GFLOP/s" not in out


def test_wrong_training_steps_get_no_time(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    net = "64-32-64/32"
    truth = speed.step_truth(net)
    assert speed.step_failure(net, "numpy", truth) == ""
    gradients, losses = truth
    name = "encoder.0.bias"
    assert "gradient of encoder.0.bias" in speed.step_failure(
        net, "numpy", ({**gradients, name: 0 * gradients[name]}, losses)
    )
    assert "losses" in speed.step_failure(net, "numpy", (gradients, losses[[0, 0, 0, 0, 0]]))
    monkeypatch.setattr(speed, "step_failure", lambda *arguments: "it is wrong")
    assert cli.main(["bench", "--quick", "--backend", "numpy", "--op", "train_step"]) == 1
    out = capsys.readouterr().out
    assert out.count("FAILED: it is wrong") == 2 and "GFLOP/s" not in out


def test_the_table_and_its_json(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "bench.json"
    given = ["--quick", "--backend", "numpy", "--op", "gather", "--op", "linear_act", "--op", "train_step"]
    assert cli.main(["bench", *given, "--json", str(path)]) == 0
    out, document = capsys.readouterr().out, json.loads(path.read_text())
    rows = document["rows"]
    assert [(row["op"], row["unit"]) for row in rows] == [
        ("gather", "GB/s"),
        ("linear_act", "GFLOP/s"),
        ("train_step", "GFLOP/s"),
        ("train_step", "GFLOP/s"),
    ]
    for row in rows:
        assert f"{row['median_seconds'] * 1e6:,.1f}" in out and row["samples"] >= 5 and row["rate"] > 0
    flops = 2 * 128 * 784 * 64
    assert rows[1]["rate"] == pytest.approx(flops / rows[1]["median_seconds"] / 1e9)
    for word in ("processor", "instruction sets", "threads", "numpy"):
        assert word in out
    assert document["threads"] >= 1 and document["machine"] is not None


def test_every_backend_that_runs_here_is_measured(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["bench", "--quick", "--op", "linear_dgrad"]) == 0
    lines = [line for line in capsys.readouterr().out.splitlines() if line.startswith("linear_dgrad")]
    assert [line.split()[2] for line in lines] == [
        name for name in backends.NAMES if backends.available(name)
    ]


def test_an_op_that_a_backend_cannot_do_says_so(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    real = backends.get("numpy")
    no = lambda *arguments, **options: backends.Support(False, "not yet")  # noqa: E731
    monkeypatch.setattr(
        bench.backends, "get", lambda name: types.SimpleNamespace(name=name, ops=real.ops, supports=no)
    )
    assert cli.main(["bench", "--quick", "--backend", "numpy", "--op", "gather"]) == 0
    assert "UNSUPPORTED: not yet" in capsys.readouterr().out


def test_a_backend_that_cannot_run_here_is_exit_code_2(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("aefast.backends.numba.available", lambda: backends.Support(False, "no compiler"))
    assert cli.main(["bench", "--backend", "numba"]) == 2
    assert "no compiler" in capsys.readouterr().err
    assert cli.main(["bench", "--json", "no/such/folder.json"]) == 2
