"""What README.md shows is run: its Python lines here, its two commands by .ci/run."""

from __future__ import annotations

import re
import shlex
from pathlib import Path
from typing import Any

import numpy as np
import pytest

ROOT = Path(__file__).parent.parent
README = (ROOT / "README.md").read_text()


def _blocks(language: str, text: str = README) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```$", text, re.MULTILINE | re.DOTALL)


def test_the_start_section_is_two_commands() -> None:
    section = re.search(r"^## Start\n(.*?)(?=^## )", README, re.MULTILINE | re.DOTALL)
    assert section is not None
    blocks = _blocks("sh", section.group(1))
    assert len(blocks) == 2
    for block in blocks:
        assert len(block.splitlines()) == 1
        # Debian's Python takes no packages outside of a virtual environment.
        assert block.startswith("python3 -m venv ")
        assert "sudo" not in block
    assert "aefast demo" in blocks[0]
    assert "[test]" in blocks[1]
    assert "pytest" in blocks[1]


def test_the_ten_lines_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    code = _blocks("python")[0]
    assert len(code.splitlines()) <= 10
    monkeypatch.chdir(tmp_path)
    names: dict[str, object] = {}
    exec(compile(code, "README.md", "exec"), names)
    assert names["Z"].shape == (1797, 8)  # type: ignore[attr-defined]
    assert names["R"].shape == names["X"].shape  # type: ignore[attr-defined]


def test_the_lines_on_embedding_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    names: dict[str, object] = {}
    exec(compile(_blocks("python")[2], "README.md", "exec"), names)
    assert names["Z"].shape == (2000, 8)  # type: ignore[attr-defined]
    assert (names["h"] >= 0).all()  # type: ignore[operator]
    assert set(names["gradients"]) == set(names["weights"])  # type: ignore[call-overload]
    assert (tmp_path / "run.csv").read_text().startswith("event,epoch,step")


def test_the_lines_on_torch_run(torch: Any) -> None:
    names: dict[str, Any] = {}
    torch.manual_seed(0)
    exec(compile(_blocks("python")[3], "README.md", "exec"), names)
    assert names["rows"].shape == (100,)
    assert np.mean(names["curve"][-5:]) < np.mean(names["curve"][:5])


def test_the_lines_on_images_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    names: dict[str, object] = {}
    exec(compile(_blocks("python")[1], "README.md", "exec"), names)
    assert 0 <= names["worst"] < 64  # type: ignore[operator]


def test_the_command_lines_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    from aefast import cli

    monkeypatch.chdir(tmp_path)
    lines = _blocks("sh")[2].splitlines()
    assert {line.split()[1] for line in lines} >= {"fit", "info", "score", "transform", "sample"}
    for line in lines:
        program, *arguments = shlex.split(line)
        assert program == "aefast"
        assert cli.main(arguments) == 0, line
    assert np.load(tmp_path / "digits.npy").shape == (16, 64)
    assert np.load(tmp_path / "codes.npy").shape == (178, 4)
    assert np.load(tmp_path / "reconstructions.npy").shape == (364, 64)
    errors = (tmp_path / "errors.csv").read_text().splitlines()
    assert errors[0] == "reconstruction_error"
    assert len(errors) == 179
    assert "VariationalAutoencoder" not in capsys.readouterr().out


def test_links_into_the_repository_lead_somewhere() -> None:
    for target in re.findall(r"\]\(([^)#:]+)\)", README):
        assert (ROOT / target).exists(), target
