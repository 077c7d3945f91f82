"""`python tests/native_stub.py` writes aefast/_cpu.pyi from the compiled module; with --check it compares the two.

Needs pybind11-stubgen and ruff (the extra "dev"). Numbers are narrowed to int and float, arrays get a dtype.
"""

from __future__ import annotations

import difflib
import subprocess
import sys
import tempfile
from pathlib import Path

STUB = Path(__file__).resolve().parents[1] / "aefast" / "_cpu.pyi"
HEADER = "# Written by tests/native_stub.py from the compiled module.\n"
# What pybind11 accepts, by version -> what a caller should pass.
NARROWED = {
    "typing.SupportsInt | typing.SupportsIndex": "int",
    "typing.SupportsFloat | typing.SupportsIndex": "float",
    "typing.SupportsInt": "int",
    "typing.SupportsFloat": "float",
    "def arena(self) -> numpy.ndarray": "def arena(self) -> numpy.typing.NDArray[numpy.float32]",
    "def stats(self) -> numpy.ndarray": "def stats(self) -> numpy.typing.NDArray[numpy.float64]",
    "phases: list,": "phases: list[tuple[str, list[dict[str, typing.Any]]]],",
    "import numpy\n": "import numpy\nimport numpy.typing\n",
}


def generate() -> str:
    with tempfile.TemporaryDirectory() as folder:
        command = [sys.executable, "-m", "pybind11_stubgen", "aefast._cpu", "-o", folder]
        subprocess.run(command, check=True, capture_output=True, cwd=folder)
        text = (Path(folder) / "aefast" / "_cpu.pyi").read_text()
    for wide, narrow in NARROWED.items():
        text = text.replace(wide, narrow)
    command = [
        sys.executable,
        "-m",
        "ruff",
        "format",
        "--line-length",
        "110",
        "--stdin-filename",
        "_cpu.pyi",
        "-",
    ]
    return subprocess.run(command, check=True, capture_output=True, text=True, input=HEADER + text).stdout


def main() -> int:
    text = generate()
    if "--check" not in sys.argv:
        STUB.write_text(text)
        return 0
    old = STUB.read_text()
    sys.stdout.writelines(
        difflib.unified_diff(old.splitlines(True), text.splitlines(True), str(STUB), "module")
    )
    return int(old != text)


if __name__ == "__main__":
    raise SystemExit(main())
