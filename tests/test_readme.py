"""What README.md shows is run: its Python lines here, its two commands by .ci/run."""

from __future__ import annotations

import re
from pathlib import Path

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
    (code,) = _blocks("python")
    assert len(code.splitlines()) <= 12
    monkeypatch.chdir(tmp_path)
    names: dict[str, object] = {}
    exec(compile(code, "README.md", "exec"), names)
    assert names["Z"].shape == (1797, 8)  # type: ignore[attr-defined]
    assert names["R"].shape == names["X"].shape  # type: ignore[attr-defined]


def test_links_into_the_repository_lead_somewhere() -> None:
    for target in re.findall(r"\]\(([^)#:]+)\)", README):
        assert (ROOT / target).exists(), target
