"""The comparison's check can fail: what a wrong contender would hand in is outside of its tolerances."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

compare = pytest.importorskip(
    "bench.compare", reason="bench/ is not in this installation; run from the repository"
)
from bench import data, nets, reference, report  # noqa: E402
from bench.contenders import CONTENDERS  # noqa: E402

NET = nets.find("20-12-6-12-20/16")
X = data.data(NET)
INITIAL = nets.initial(NET)
TRUE = reference.truth(NET, X)


def _passes(made: reference.Truth) -> bool:
    return reference.passes(TRUE.errors(made.losses, [a.astype(np.float32) for a in made.end]))


def test_the_reference_in_float32_passes() -> None:
    assert _passes(reference.truth(NET, X, dtype=np.float32))


@pytest.mark.parametrize("net", [name for name, net in nets.TABLE.items() if net.flops < 1e9])
def test_float32_rounding_is_far_inside_of_the_tolerances(net: str) -> None:
    row = nets.find(net)
    x = data.data(row)
    assert reference.passes(reference.float32_alone(row, x, reference.truth(row, x)), 0.05)


def _edit(old: str, new: str) -> Callable[[pytest.MonkeyPatch], None]:
    """The reference with a bug: its source, changed in one place."""

    def plant(monkeypatch: pytest.MonkeyPatch) -> None:
        import inspect

        for name in ("Run", "_loss_and_gradients"):
            source = inspect.getsource(getattr(reference, name))
            if old in source:
                space = dict(vars(reference))
                exec(source.replace(old, new), space)
                monkeypatch.setattr(reference, name, space[name])
                return
        raise AssertionError(f"{old!r} isn't in the reference any more")

    return plant


BUGS = {
    "no bias correction of m": _edit("/ dtype(c1)", ""),
    "no bias correction of v": _edit("np.sqrt(second[i] / dtype(c2))", "np.sqrt(second[i])"),
    "a ReLU without its mask": _edit(" * (activations[i] > 0)", ""),
    "the mask of another row": _edit("(activations[i] > 0)", "(np.roll(activations[i], 1, axis=0) > 0)"),
    "a leaky ReLU's slope": _edit("(activations[i] > 0)", "np.where(activations[i] > 0, 1, 0.01)"),
    "a leaky ReLU": _edit("z = np.maximum(z, 0)", "z = np.maximum(z, 0.01 * z)"),
    "no slope of the sigmoid": _edit("delta *= r * (1 - r)", "pass"),
    "the sigmoid's slope at another point": _edit("delta *= r * (1 - r)", "delta *= x * (1 - x)"),
    "a last layer without bias gradient": _edit(
        "product.bias_gradient(delta), *grads", "0 * product.bias_gradient(delta), *grads"
    ),
    "the last row of the batch left out": _edit(
        "product.weight_gradient(delta, activations[i])",
        "product.weight_gradient(delta[:-1], activations[i][:-1])",
    ),
    "eps inside of the root": _edit(
        "np.sqrt(second[i] / dtype(c2)) + dtype(nets.EPS)", "np.sqrt(second[i] / dtype(c2) + dtype(nets.EPS))"
    ),
    "m forgets too fast": _edit("first[i] += dtype(1 - nets.BETA1)", "first[i] += dtype(0.11)"),
    "eps twenty times larger": lambda monkeypatch: monkeypatch.setattr(nets, "EPS", 2e-7),
    "the learning rate 1% larger": lambda monkeypatch: monkeypatch.setattr(nets, "LEARNING_RATE", 1.01e-3),
    "other initial biases": lambda monkeypatch: monkeypatch.setattr(
        nets, "initial", lambda net: [(w, 0.9 * b) for w, b in INITIAL]
    ),
}


@pytest.mark.parametrize("bug", BUGS)
def test_a_planted_bug_fails(bug: str, monkeypatch: pytest.MonkeyPatch) -> None:
    BUGS[bug](monkeypatch)
    assert not _passes(reference.truth(NET, X))


@pytest.mark.parametrize(
    "made",
    [
        reference.Truth(TRUE.losses[:-1], TRUE.start, TRUE.end),
        reference.Truth([*TRUE.losses[1:], TRUE.losses[-1]], TRUE.start, TRUE.end),
        reference.Truth(TRUE.losses, TRUE.start, TRUE.start),
        reference.Truth(TRUE.losses, TRUE.start, TRUE.end[:-1]),
        reference.Truth([float("nan"), *TRUE.losses[1:]], TRUE.start, TRUE.end),
        reference.Truth(TRUE.losses, TRUE.start, [a * np.nan for a in TRUE.end]),
    ],
    ids=["a loss fewer", "losses of the updated weights", "no update", "a bias fewer", "NaN losses", "NaN"],
)
def test_what_no_contender_may_hand_in_fails(made: reference.Truth) -> None:
    assert not _passes(made)


# Kinks ----------------------------------------------------------------------------------------------------------------


def test_checked_rows_are_clear_of_the_kinks() -> None:
    net = nets.find("784-256-64-256-784/256")
    rows = data.data(net)[: net.n_check_steps * net.batch]
    assert data.clear_of_kinks(nets.initial(net), rows).all()
    assert not np.array_equal(rows, next(data._rows(net))[: len(rows)]), "no row needed to be replaced"


@pytest.mark.parametrize("layer", [0, 1, 2])
def test_a_row_at_a_kink_is_found(layer: int) -> None:
    x, layers = X[:4], nets.initial(NET)
    assert data.clear_of_kinks(layers, x).all()
    h = x[2].astype(np.float64)
    for w, b in layers[:layer]:
        h = np.maximum(w.astype(np.float64) @ h + b, 0.0)
    w, b = layers[layer]
    b[1] = -(w[1].astype(np.float64) @ h)  # rounded to float32: z is about 1e-9
    assert data.clear_of_kinks(layers, x).tolist() == [True, True, False, True]


def test_an_ill_posed_net_is_called_not_checkable() -> None:
    class Told:
        def hear(self) -> dict[str, Any]:
            return {"status": "ready", "versions": {}}

        def ask(self, *, path: str, **_: Any) -> dict[str, Any]:
            np.savez(path, *TRUE.start)
            return {"status": "checked", "losses": TRUE.losses, "seconds": 1.0, "steps": 1}

    wrong = [compare.prepare(Told(), "torch", TRUE, alone).status for alone in ((1e-7, 1e-5), (1e-3, 1e-5))]
    assert wrong == ["check failed", "not checkable"]


# Contenders -----------------------------------------------------------------------------------------------------------


def test_step_flops_leave_out_the_first_layers_input_gradient() -> None:
    net = nets.find("20-12-20/16")
    b, (d, n, _) = net.batch, net.widths
    forward = wgrad = 2 * b * (d * n + n * d)
    assert net.flops == forward + wgrad + 2 * b * n * d


def _contender(name: str, net: nets.Net, x: np.ndarray) -> Any:
    import importlib

    entry = CONTENDERS[name]
    return importlib.import_module(f"bench.contenders.{entry.module}").Contender(net, x, entry.option, "auto")


@pytest.mark.parametrize(
    "name", ["aefast-epoch", "aefast-step", "sklearn", "torch", "torch-fused", "jax-scan"]
)
def test_a_contender_is_within_the_tolerances_of_its_own_formula(name: str) -> None:
    entry = CONTENDERS[name]
    pytest.importorskip(entry.requires)
    contender = _contender(name, NET, X)
    true = reference.truth(NET, X, entry.formula)
    for _ in range(2):  # a check leaves the contender as it found it
        losses, pairs = contender.check()
        errors = true.errors(losses, [array for pair in pairs for array in pair])
        assert reference.passes(errors), errors
    contender.run(1)


def test_a_formula_is_told_from_the_others() -> None:
    formulas = list(reference.FORMULAS.values())
    truths = [reference.truth(NET, X, formula) for formula in formulas]
    for i, one in enumerate(truths):
        same = [reference.passes(one.errors(other.losses, other.end)) for other in truths]
        assert same == [i == j for j in range(len(truths))], formulas[i].what


@pytest.mark.parametrize("kind", [kind for kind in nets.KINDS if kind])
def test_other_kinds_are_held_to_the_own_reference(kind: str) -> None:
    net = nets.find(f"9-5-9/8:{kind}")
    x = data.data(net)
    true = reference.truth(net, x)
    losses, pairs = _contender("aefast-epoch", net, x).check()
    flat = [array for pair in pairs for array in pair]
    assert reference.passes(true.errors(losses, flat))
    assert not reference.passes(true.errors(losses, [1.01 * a for a in flat]))


def test_a_contender_without_its_package_or_with_a_failure_is_shown_as_that(tmp_path: Any) -> None:
    import json
    import subprocess
    import sys

    from bench.turns import Worker

    code = "from bench.worker import serve; serve('no_such_package', None)"
    root = str(Path(compare.__file__).parents[1])
    done = subprocess.run([sys.executable, "-c", code], cwd=root, capture_output=True, text=True, check=True)
    assert json.loads(done.stdout)["status"] == "not installed"
    absent = Worker(["bench.worker", "torch", "20-12/16", "auto", "x.npy"], 1)
    said = absent.hear()
    absent.close()
    assert said["status"] == "error" and "ended with code" in said["detail"]
    np.save(tmp_path / "x.npy", X)
    failing = Worker(
        ["bench.worker", "aefast-epoch", NET.name, "no such backend", str(tmp_path / "x.npy")], 1
    )
    said = failing.hear()
    failing.close()
    assert said["status"] == "error" and "no such backend" in said["detail"]


def test_peers_of_another_computation_are_no_peers() -> None:
    results = [
        {"contender": name, "status": "ok", "detail": "", "seconds_a_step": [seconds]}
        for name, seconds in {"aefast-epoch": 1.0, "torch": 4.0, "sklearn": 2.0, "keras": 3.0}.items()
    ]
    lines = report.summary({"results": results, "flops": 1e9, "peak_gflops": 10.0})
    assert [line["ratio"] for line in lines] == [3.0, 0.75, 1.5, 1.0]


@pytest.mark.parametrize(
    ("seconds", "status", "asked"),
    [([9.0, 9.0, 9.0], "too slow for the budget", 3), ([9.0, 1.0], "ok", 4), ([1.0], "ok", 3)],
    ids=["slow", "slow once", "fast"],
)
def test_who_would_take_the_budget_gets_no_time(seconds: list[float], status: str, asked: int) -> None:
    net = nets.find("20-12-20/16")
    said: list[dict[str, Any]] = [{"status": "checked", "seconds": s, "steps": 10} for s in seconds]

    class Told:
        asked = 0

        def ask(self, *, do: str, **_: Any) -> dict[str, Any]:
            self.asked += 1
            return said.pop(0) if do == "check" else {"status": "ran", "seconds": 1.0}

    told, result = Told(), compare.Result("torch", "ok")
    # 512 steps an epoch, at least three epochs: 154 s by the fast check, and half of the budget is 200 s.
    assert net.n_batches == 512
    compare.calibrate(told, result, net, 0.1, 400.0)
    assert (result.status, told.asked, said) == (status, asked, [])


def test_peers_are_left_out_of_what_only_aefast_can() -> None:
    import argparse

    options = argparse.Namespace(contenders=["torch", "aefast-step"], threads=1, backend="auto", rounds=1)
    row = compare.measure(nets.find("9-5-9/8:tied"), options, 0.1)
    assert [r["status"] for r in row["results"]] == ["left out", "left out"]


def test_the_readme_names_every_command_and_contender(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    from bench import __main__ as command

    monkeypatch.setattr("sys.argv", ["bench", "--help"])
    with pytest.raises(SystemExit, match="0"):
        command.main()
    found = re.search(r"\{([\w,-]+)\}", capsys.readouterr().out)
    assert found is not None
    commands = found[1].split(",")
    told = (Path(compare.__file__).parent / "README.md").read_text(encoding="utf-8")
    assert len(commands) >= 7
    assert all(f"`python -m bench {name}" in told for name in commands)
    assert all(f"| `{name}` |" in told for name in CONTENDERS)
    for name in commands:
        monkeypatch.setattr("sys.argv", ["bench", name, "--help"])
        with pytest.raises(SystemExit, match="0"):
            command.main()


@pytest.mark.parametrize("text", ["64-32", "64/32", "64-32-64", "64-0-64/8", "8-4-8/0", "8-4-8/2:odd", "8"])
def test_what_is_no_net_is_refused(text: str) -> None:
    with pytest.raises(SystemExit, match=re.escape(repr(text))):
        nets.find(text)
