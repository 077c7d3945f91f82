"""Checks what a wheel and an sdist hold: `python3 check_dist.py FOLDER` with one of each in it."""

from __future__ import annotations

import fnmatch
import sys
import tarfile
import zipfile
from pathlib import Path

WANTED_WHEEL = (
    "aefast/__init__.py",
    "aefast/py.typed",
    "aefast/trainer.py",
    "aefast/_cpu.*.so",
    "aefast/_cpu.pyi",
    "aefast/backends/numpy/*.py",
    "aefast/backends/numba/*.py",
    "aefast/backends/cpu/*.py",
    "aefast-*.dist-info/entry_points.txt",
    "aefast-*.dist-info/*LICENSE",
)
WANTED_SDIST = (
    "pyproject.toml",
    "setup.py",
    "CMakeLists.txt",
    "LICENSE",
    "README.md",
    "csrc/cpu/*.cpp",
    "csrc/common/*.h",
    "csrc/bindings/*.cpp",
    "aefast/trainer.py",
    "tests/test_*.py",
)
UNWANTED = ("*.pyc", "*/__pycache__/*", "*.o", "*/build/*", "*/.venv*", "*/.ci/*")


def problems(names: list[str], wanted: tuple[str, ...], also_unwanted: tuple[str, ...] = ()) -> list[str]:
    """What is missing and what shouldn't be there."""
    missing = [f"missing: {pattern}" for pattern in wanted if not fnmatch.filter(names, pattern)]
    extra = [f"unwanted: {n}" for p in (*UNWANTED, *also_unwanted) for n in fnmatch.filter(names, p)]
    return missing + extra


def main() -> int:
    """Prints sizes and problems; the exit code."""
    folder = Path(sys.argv[1])
    (wheel,), (sdist,) = folder.glob("*.whl"), folder.glob("*.tar.gz")
    in_wheel = zipfile.ZipFile(wheel).namelist()
    with tarfile.open(sdist) as archive:
        in_sdist = [name.partition("/")[2] for name in archive.getnames()]
    found = [f"{wheel.name}: {p}" for p in problems(in_wheel, WANTED_WHEEL, ("tests/*", "bench/*", "csrc/*"))]
    found += [f"{sdist.name}: {p}" for p in problems(in_sdist, WANTED_SDIST, ("*.so",))]
    print(f"{wheel.name}: {len(in_wheel)} files, {wheel.stat().st_size / 1e6:.2f} MB")
    print(f"{sdist.name}: {len(in_sdist)} files, {sdist.stat().st_size / 1e6:.2f} MB")
    print("\n".join(found))
    return 1 if found else 0


if __name__ == "__main__":
    raise SystemExit(main())
