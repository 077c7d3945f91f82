"""Whole fits side by side: what is fitted alike, what a table tells, and how a fit that can't be is shown."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

import numpy as np
import pytest

fits = pytest.importorskip("bench.fits", reason="bench/ is not in this installation; run from the repository")
from bench import fitting, machine  # noqa: E402
from bench.fits import anomaly, conv_images, images  # noqa: E402

SEED = 0


def test_anomalies_are_found_in_data_that_are_easy() -> None:
    data = anomaly.breast_cancer(SEED)
    assert data.anomaly is not None and data.anomaly.sum() == 212 and len(data.train) == 214
    assert not (data.test[~data.anomaly][:, None] == data.train[:3]).all(axis=2).any(), (
        "a learned row is tested"
    )
    fitted = anomaly.aefast(data, SEED, 10)
    assert fitted.scores["AUROC"] > 0.8
    assert 0 < fitted.seconds["train"] < fitted.seconds["fit"]


def test_the_scores_are_those_of_what_stands_there() -> None:
    data = fits.Data(np.zeros((1, 2)), np.zeros((4, 2)), np.array([False, True, False, True]))
    errors = np.array([1.0, 9.0, 3.0, 2.0])
    assert anomaly._scores(errors, errors, data) == {"error": 2.0, "AUROC": 0.75}


@pytest.mark.parametrize("contender", ["pyod", "pyod_default"])
def test_pyods_net_is_the_one_that_aefast_fits(contender: str) -> None:
    pytest.importorskip("pyod")
    data = anomaly.breast_cancer(SEED)
    fitted = getattr(anomaly, contender)(data, SEED, 1)
    assert 0 < fitted.seconds["train"] < fitted.seconds["fit"] and 0 <= fitted.scores["AUROC"] <= 1


def test_torch_and_aefast_learn_the_same_pictures_as_well(torch: Any) -> None:
    rng = np.random.default_rng(0)
    z = rng.standard_normal((2000, 4)) @ rng.standard_normal((4, 784))
    pixels = (255 / (1 + np.exp(-z))).astype(np.uint8)
    data = fits.Data(pixels[:1600], pixels[1600:])
    before, own = (images.aefast(data, SEED, epochs).scores["test MSE"] for epochs in (1, 6))
    peer = images.torch(data, SEED, 6).scores["test MSE"]
    assert own < 0.7 * before
    assert peer == pytest.approx(own, rel=0.25)


def test_torch_and_aefast_learn_pictures_by_convolutions(torch: Any) -> None:
    """Not as well after so few steps: the initial weights are each library's own."""
    rng = np.random.default_rng(0)
    z = rng.standard_normal((1300, 4)) @ rng.standard_normal((4, 784))
    pixels = (255 / (1 + np.exp(-z))).astype(np.uint8)
    data = fits.Data(pixels[:1000], pixels[1000:])
    for learn in (conv_images.aefast, conv_images.torch):
        before, after = (learn(data, SEED, epochs).scores["test MSE"] for epochs in (1, 6))
        assert after < 0.8 * before
    assert conv_images.torch_channels_last(data, SEED, 6).scores["test MSE"] == pytest.approx(after, rel=0.05)


def test_torchs_convolutional_net_has_the_size_of_aefasts(
    torch: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    import aefast

    made: list[int] = []

    def counted(make: Any, *_: Any, **__: Any) -> fits.Fitted:
        made.append(sum(p.numel() for p in make().parameters()))
        return fits.Fitted({}, {})

    monkeypatch.setattr(images, "fit_torch", counted)
    conv_images.torch(fits.Data(np.zeros(0), np.zeros(0)), SEED, 1)
    topology = aefast.Topology.conv((1, 28, 28), channels=(32, 64), n_components=32)
    assert made == [topology.n_parameters]


def test_pca_is_told_by_the_same_error() -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (200, 40)).astype(np.uint8)
    data = fits.Data(pixels[:150], pixels[150:])
    centred = data.train / 255.0 - (mean := data.train.mean(axis=0) / 255.0)
    basis = np.linalg.svd(centred)[2][:32]
    test = data.test / 255.0 - mean
    expected = np.mean((test - test @ basis.T @ basis) ** 2)
    assert conv_images.pca(data, SEED, 1).scores["test MSE"] == pytest.approx(expected, rel=1e-6)


# Report ---------------------------------------------------------------------------------------------------------------


def result(seconds: list[float], scores: list[float], status: str = "ok") -> dict[str, Any]:
    runs = [
        {"seed": i, "seconds": {"train": s, "fit": 2 * s}, "scores": {"AUROC": a}}
        for i, (s, a) in enumerate(zip(seconds, scores, strict=True))
    ]
    return {"status": status, "detail": "" if status == "ok" else "why", "runs": runs}


ROW = {
    "data": "shuttle",
    "epochs": 10,
    "results": {
        "aefast": result([1.0, 2.0, 4.0], [0.9, 0.8, 0.7]),
        "pyod-default": result([40.0, 40.0], [0.5, 0.6]),
        "pyod": result([10.0, 30.0, 20.0], [0.9, 0.9, 0.9]),
    },
}


def test_ratios_are_of_the_fits_of_one_round() -> None:
    lines = {line["contender"]: line for line in fitting.summary(ROW, anomaly.SUBJECT)}
    assert lines["pyod"]["ratio"] == 10.0  # of 10, 15 and 5; the medians' would be the same here
    assert lines["pyod-default"]["ratio"] == 30.0  # of 40 and 20, not 40 / 2
    assert lines["pyod-default"]["seeds"] == 2
    assert lines["aefast"]["train [s]"] == [2.0, 1.0, 4.0]
    assert lines["aefast"]["AUROC"] == pytest.approx([0.8, 0.1])


def test_another_computation_stands_last_and_is_called_so() -> None:
    told = fitting.table([ROW], anomaly.SUBJECT)
    rows = [line for line in told if line.startswith(("| aefast", "| pyod"))]
    assert [row.split("|")[1].strip() for row in rows] == [
        "aefast", "pyod", "pyod-default (not the same computation)",
    ]  # fmt: skip
    assert rows[1].endswith("| 0.9 ± 0 | 10.00x |")


def test_who_failed_is_shown_as_that() -> None:
    row = {**ROW, "results": {"aefast": ROW["results"]["aefast"], "pyod": result([], [], "not installed")}}
    told = "\n".join(fitting.table([row], anomaly.SUBJECT))
    assert "| pyod | not installed |" in told and "pyod: not installed, why" in told


def test_the_command_measures_and_writes(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    pytest.importorskip("bench.memory")
    arguments = argparse.Namespace(
        command="pyod", contenders=["aefast"], data=["breast-cancer"], threads=1, rounds=2, epochs=1, budget=5.0,
        backend="auto", note="", out=tmp_path, name="made",
    )  # fmt: skip
    assert fitting.run(arguments) == 0
    assert "| aefast | 2 |" in (tmp_path / "made.md").read_text()
    assert "written" in capsys.readouterr().out


def test_data_that_isnt_here_is_left_out(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def absent(seed: int) -> Any:
        raise FileNotFoundError("nowhere")

    monkeypatch.setitem(anomaly.SUBJECT.data, "shuttle", absent)
    arguments = argparse.Namespace(
        command="pyod", contenders=[], data=["shuttle"], threads=1, rounds=1, epochs=1, budget=1.0,
        backend="auto", note="", out=tmp_path, name="made",
    )  # fmt: skip
    assert fitting.run(arguments) == 0
    assert "shuttle left out: nowhere" in (tmp_path / "made.md").read_text()


def test_results_tell_where_they_come_from() -> None:
    arguments = argparse.Namespace(threads=1, backend="auto", note="quiet", rounds=1)
    told = "\n".join(machine.lines(machine.describe(arguments)))
    assert "python -m bench" in told and "commit" in told and "- note: quiet" in told
