"""The support matrix: README's is the code's, the same on every machine, and it changes where the code does."""

from __future__ import annotations

import re
import sys
from pathlib import Path

import pytest

from aefast import activations, backends, estimators, ops, support
from aefast.backends import Support

ROOT = Path(__file__).parent.parent
README = ROOT / "README.md"


def cells(text: str, line: str) -> dict[str, str]:
    (found,) = [row for row in text.splitlines() if row.startswith(f"| {line}")]
    return dict(zip(backends.NAMES, (cell.strip() for cell in found.strip("|").split("|")[1:]), strict=True))


def test_readme_shows_what_the_code_says() -> None:
    text = README.read_text(encoding="utf-8")
    fresh = support.replaced(text, support.markdown())
    assert text == fresh, "README.md is behind the code: python -m aefast.support --write README.md"


def test_every_estimator_and_every_op_has_a_row() -> None:
    rows = support.matrix()
    models = " ".join(row.name for row in rows if row.section == "model")
    for name in estimators.__all__:
        assert f"`{name}`" in models or not hasattr(getattr(estimators, name), "partial_fit"), name
    assert [row.name for row in rows if row.section == "op"] == list(ops.NAMES)
    for row in rows:
        assert list(row.answers) == list(backends.NAMES)
        assert all(list(by_dtype) == list(support.DTYPES) for by_dtype in row.answers.values())
    # The ops that take an activation or a loss are found in the plans.
    ways = {row.name: set(row.answers["numpy"]["float32"]) for row in rows if row.section == "op"}
    assert ways["linear_act"] == {"", *activations.NAMES} and "mse" in ways["linear_loss_grad"]
    assert ways["permutation"] == {""}


def test_it_does_not_depend_on_what_runs_here(monkeypatch: pytest.MonkeyPatch) -> None:
    here = support.markdown()
    for name in [name for name in sys.modules if name.startswith("aefast.backends.cpu.")]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "aefast._cpu", None)
    assert not backends.available("cpu")
    assert support.markdown() == here


def test_a_backend_has_the_ops_that_it_says(backend: str) -> None:
    made = backends.get(backend)
    for op in ops.NAMES:
        assert bool(made.supports(op)) == hasattr(made.ops, op), op


def test_what_a_backend_lacks_is_shown(monkeypatch: pytest.MonkeyPatch) -> None:
    from aefast.backends import cpu, numba

    declared = numba.NumbaBackend.supports

    def no_gelu(self: object, op: str, *, act: str | None = None, **rest: str) -> Support:
        return Support(False, "no gelu") if act == "gelu" else declared(self, op, act=act, **rest)

    monkeypatch.setattr(numba.NumbaBackend, "supports", no_gelu)
    monkeypatch.setattr(cpu, "LACKS", frozenset({"corrupt"}))
    monkeypatch.setattr(cpu, "DTYPES", ("float32",))
    text = support.markdown()
    assert cells(text, "`DenoisingAutoencoder`") == {
        "triton": "float32, bfloat16",
        "cpu": "no",
        "numba": "float32, float64",
        "numpy": "float32, float64, bfloat16",
    }
    assert cells(text, "`SparseAutoencoder`")["cpu"] == "float32"
    assert cells(text, "ops: `corrupt`")["cpu"] == "no"
    without = "float32 (not gelu), float64 (not gelu)"
    assert cells(text, "ops: `linear_act`, `linear_loss_grad`")["numba"] == without
    assert cells(text, "`Autoencoder`, every activation")["numba"] == without.replace(
        "gelu", "activation=gelu"
    )


def test_every_backend_and_instruction_set_says_where_it_has_run() -> None:
    assert {place.backend for place in support.PLACES} == set(backends.NAMES)
    built = set(re.findall(r"aefast_instruction_set\((\w+)", (ROOT / "CMakeLists.txt").read_text()))
    emulated = {name for name in built if name.endswith(("_emulated", "_simde"))}
    assert {place.isa for place in support.PLACES if place.backend == "cpu"} == built - emulated - {"name"}


def test_the_command_replaces_what_stands_between_the_markers(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "page.md"
    path.write_text(f"before\n{support.BEGIN}\nold\n{support.END}\nafter\n", encoding="utf-8")
    support.main(["--write", str(path)])
    support.main([])
    printed = capsys.readouterr().out
    assert path.read_text(encoding="utf-8") == f"before\n{support.BEGIN}\n\n{printed}\n{support.END}\nafter\n"
    for text in (
        "no markers",
        f"{support.END} {support.BEGIN}",
        f"{support.BEGIN} {support.END} {support.END}",
    ):
        with pytest.raises(ValueError, match="needs one <!-- support matrix -->"):
            support.replaced(text, "new")
