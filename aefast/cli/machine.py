"""What a measurement or a bug report should say about the machine."""

from __future__ import annotations

import platform
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from aefast import __version__, backends

PACKAGES = (
    "numpy",
    "numba",
    "scikit-learn",
    "safetensors",
    "tqdm",
    "matplotlib",
    "pyarrow",
    "pillow",
)
# Words of /proc/cpuinfo worth telling, in the order of their width.
INSTRUCTION_SETS = ("sse4_2", "avx", "avx2", "fma", "avx512f", "avx512_bf16", "amx_bf16", "asimd", "sve")


def heading() -> list[str]:
    """Version, Python, processor and instruction sets, a line each."""
    return [
        f"aefast {__version__}",
        f"Python {platform.python_version()} on {platform.system()} {platform.machine()}",
        f"processor: {processor() or 'unknown'}",
        f"instruction sets: {' '.join(instruction_sets()) or 'unknown'}; native kernels use {native()}",
    ]


def version_of(package: str) -> str | None:
    """Of an installed package."""
    try:
        return version(package)
    except PackageNotFoundError:
        return None


def processor() -> str:
    """Its name; "" where the system doesn't tell."""
    return _cpuinfo("model name") or platform.processor()


def instruction_sets() -> list[str]:
    """Those of the table that the processor has."""
    flags = set(_cpuinfo("flags", "Features").split())
    return [name for name in INSTRUCTION_SETS if name in flags]


def native() -> str:
    """The instruction set that the native kernels use, of those that they could."""
    if not backends.available("cpu"):
        return "none"
    from aefast import _cpu

    return f"{_cpu.isa()} of {', '.join(_cpu.available_isas())}"


def _cpuinfo(*keys: str) -> str:
    """The first line of /proc/cpuinfo with one of these keys; "" on other systems."""
    try:
        with Path("/proc/cpuinfo").open(encoding="utf-8") as file:
            for line in file:
                key, _, value = line.partition(":")
                if key.strip() in keys:
                    return value.strip()
    except OSError:
        pass
    return ""
