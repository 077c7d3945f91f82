"""Builds the native module with CMake. pyproject.toml holds everything else.

AEFAST_CPU=auto (default) installs pure Python where the native build fails; on fails with it; off doesn't try.
CMAKE_ARGS is passed on, e.g. CMAKE_ARGS="-DAEFAST_SANITIZE=address". aefast/_build_info.json tells the outcome.
"""

from __future__ import annotations

import importlib
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

from setuptools import Extension, setup
from setuptools.command.build_ext import build_ext

ROOT = Path(__file__).resolve().parent
MODES = ("auto", "on", "off")


class BuildError(Exception):
    """The native build can't be done; the message is one line."""


def mode() -> str:
    value = os.environ.get("AEFAST_CPU", "auto").lower()
    if value not in MODES:
        raise SystemExit(f"AEFAST_CPU must be one of {', '.join(MODES)}, but is {value!r}")
    return value


def program(name: str, directory: str) -> str | None:
    """The pip package's program where there is one (it fits the build's requirements), else PATH's."""
    try:
        package = importlib.import_module(name)
    except ImportError:
        return shutil.which(name)
    file = Path(getattr(package, directory), name + (".exe" if os.name == "nt" else ""))
    return str(file) if file.exists() else shutil.which(name)


def cores() -> int:
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def run(command: list[str]) -> None:
    """Prints what it runs and its output; BuildError with the first telling line where it fails."""
    print("aefast:", " ".join(command), flush=True)
    done = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False)
    print(done.stdout, flush=True)
    if done.returncode == 0:
        return
    lines = [line.strip() for line in done.stdout.splitlines() if line.strip()]
    telling = ("error:", "No CMAKE_CXX_COMPILER", "is not able to compile", "not found", "Could not find")
    reason = next(
        (line for line in lines if any(mark in line for mark in telling)), lines[-1] if lines else ""
    )
    raise BuildError(f"{Path(command[0]).name} failed: {reason}")


class CMakeBuild(build_ext):
    """Runs CMake for the one extension; leaves it out where that fails and may fail."""

    def run(self) -> None:
        wanted = mode()
        info = {"cpu": "off", "reason": "installed with AEFAST_CPU=off", "compiler": ""}
        if wanted != "off":
            try:
                info = {"cpu": "built", "reason": "", "compiler": self.build_native()}
            except BuildError as error:
                if wanted == "on":
                    raise SystemExit(
                        f"aefast: AEFAST_CPU=on, but the native build failed: {error}"
                    ) from error
                print(
                    f"aefast: WARNING: the native build failed ({error}). Installing without it, on Numba. "
                    "AEFAST_CPU=on makes this an error, AEFAST_CPU=off leaves the build out.",
                    file=sys.stderr,
                    flush=True,
                )
                info = {"cpu": "failed", "reason": str(error), "compiler": ""}
        if info["cpu"] != "built":
            self.extensions = []
        self.write_info(info)
        if self.inplace and self.extensions:
            self.copy_extensions_to_source()

    def build_native(self) -> str:
        """Configures, builds and puts the module under build_lib; the compiler's name and version."""
        import pybind11

        cmake = program("cmake", "CMAKE_BIN_DIR")
        if cmake is None:
            raise BuildError("no cmake on PATH (pip install cmake)")
        ninja = program("ninja", "BIN_DIR")
        (extension,) = self.extensions
        inplace, self.inplace = self.inplace, False
        target = Path(self.get_ext_fullpath(extension.name)).resolve()
        self.inplace = inplace
        build = Path(self.build_temp).resolve() / "cmake"
        build.mkdir(parents=True, exist_ok=True)
        configure = [
            *(cmake, "-S", str(ROOT), "-B", str(build)),
            f"-DPython_EXECUTABLE={sys.executable}",
            f"-Dpybind11_DIR={pybind11.get_cmake_dir()}",
            f"-DCMAKE_BUILD_TYPE={'Debug' if self.debug else 'Release'}",
            *(["-G", "Ninja", f"-DCMAKE_MAKE_PROGRAM={ninja}"] if ninja else []),
            *os.environ.get("CMAKE_ARGS", "").split(),
        ]
        run(configure)
        run([cmake, "--build", str(build), "--config", "Release", "--parallel", str(cores())])
        built = [file for file in build.rglob(target.name) if file.is_file()]
        if not built:
            raise BuildError(f"the build left no {target.name}")
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy2(built[0], target)
        return (build / "compiler.txt").read_text().strip()

    def write_info(self, info: dict[str, str]) -> None:
        folders = [Path(self.build_lib, "aefast")]
        if self.inplace:
            folders.append(ROOT / "aefast")
            if info["cpu"] != "built":  # an older module would be taken for this build's
                for stale in (ROOT / "aefast").glob("_cpu.*.so"):
                    stale.unlink()
        for folder in folders:
            folder.mkdir(parents=True, exist_ok=True)
            (folder / "_build_info.json").write_text(json.dumps(info, indent=2) + "\n")


setup(ext_modules=[Extension("aefast._cpu", sources=[])], cmdclass={"build_ext": CMakeBuild})
