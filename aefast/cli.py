"""The command line: `aefast demo` and `aefast info`, also as `python -m aefast`."""

from __future__ import annotations

import argparse
import os
import platform
import sys
from collections.abc import Callable, Sequence
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from aefast import __version__, backends
from aefast.data import datasets
from aefast.errors import BackendUnavailableError, NonFiniteError
from aefast.threads import num_threads

# What a wrong argument, a missing file or a backend that can't run is reported by; anything else is a bug and shows its trace.
REPORTED = (
    ValueError,
    FileNotFoundError,
    PermissionError,
    NotADirectoryError,
    BackendUnavailableError,
    NonFiniteError,
)
PACKAGES = ("numpy", "numba", "scikit-learn", "safetensors", "tqdm", "matplotlib")
# Words of /proc/cpuinfo worth telling, in the order of their width.
INSTRUCTION_SETS = ("sse4_2", "avx", "avx2", "fma", "avx512f", "avx512_bf16", "amx_bf16", "asimd", "sve")


def main(argv: Sequence[str] | None = None) -> int:
    """Runs one command; the exit code: 0 done, 1 failed with a message, 2 wrong usage, 130 interrupted."""
    parser = _parser()
    arguments = parser.parse_args(argv)
    if arguments.command is None:
        parser.print_help()
        return 0
    command: Callable[[argparse.Namespace], None] = arguments.command
    try:
        command(arguments)
    except REPORTED as error:
        # An OSError's own text begins with a number that tells a user nothing.
        what = (
            f"{error.filename}: {error.strerror}"
            if isinstance(error, OSError) and error.filename
            else str(error)
        )
        print(f"aefast: {what}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("aefast: interrupted", file=sys.stderr)
        return 130
    except (
        BrokenPipeError
    ):  # the reader, `head` say, has gone; Python's own flush at exit must not meet the pipe again
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1
    return 0


def demo(arguments: argparse.Namespace) -> None:
    """Trains four autoencoders on real images and leaves models, a table and pictures in a folder."""
    from aefast.demo import run

    run(
        arguments.data,
        arguments.out,
        epochs=arguments.epochs,
        backend=arguments.backend,
        seed=arguments.seed,
    )


def info(arguments: argparse.Namespace) -> None:
    """Prints what runs here, and of the rest why not: what a bug report should hold."""
    print(f"aefast {__version__}")
    print(f"Python {platform.python_version()} on {platform.system()} {platform.machine()}")
    print(f"processor: {_processor() or 'unknown'}")
    print(f"instruction sets: {' '.join(_instruction_sets()) or 'unknown'}; native kernels use {_native()}")
    print(f"threads: {num_threads()} of {os.cpu_count()} processors")
    print("backends, in the order that backend='auto' tries:")
    for name, state in backends.backends().items():
        print(f"  {name:8} {state}")
    print("packages:")
    for name in PACKAGES:
        print(f"  {name:12} {_version(name) or 'not installed'}")


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="aefast", description="The fastest way to train an autoencoder. New here? Run: aefast demo"
    )
    parser.add_argument("--version", action="version", version=f"aefast {__version__}")
    parser.set_defaults(command=None)
    commands = parser.add_subparsers(metavar="COMMAND")

    p = commands.add_parser(
        "demo",
        help="train four autoencoders on real images, with pictures",
        description=demo.__doc__,
    )
    p.add_argument("--data", choices=datasets.NAMES, default="mnist", help="the images (default: mnist)")
    p.add_argument(
        "--out",
        metavar="DIR",
        default="aefast-demo",
        help="the folder for what it makes (default: aefast-demo)",
    )
    p.add_argument(
        "--epochs",
        metavar="N",
        type=_positive,
        help="passes over the images (default: what the data set needs)",
    )
    p.add_argument(
        "--backend",
        choices=("auto", *backends.NAMES),
        default="auto",
        help="who does the arithmetic (default: the fastest that runs here)",
    )
    p.add_argument(
        "--seed", metavar="N", type=_natural, default=0, help="same seed, same result (default: 0)"
    )
    p.set_defaults(command=demo)

    p = commands.add_parser("info", help="what runs on this machine, and versions", description=info.__doc__)
    p.set_defaults(command=info)
    return parser


def _positive(text: str) -> int:
    value = int(text)
    if value < 1:
        raise argparse.ArgumentTypeError(f"must be at least 1, but is {value}")
    return value


def _natural(text: str) -> int:
    value = int(text)
    if not 0 <= value < 2**64:
        raise argparse.ArgumentTypeError(f"must be in [0, 2^64), but is {value}")
    return value


def _version(package: str) -> str | None:
    try:
        return version(package)
    except PackageNotFoundError:
        return None


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


def _processor() -> str:
    return _cpuinfo("model name") or platform.processor()


def _native() -> str:
    if not backends.available("cpu"):
        return "none"
    from aefast import _cpu

    return f"{_cpu.isa()} of {', '.join(_cpu.available_isas())}"


def _instruction_sets() -> list[str]:
    flags = set(_cpuinfo("flags", "Features").split())
    return [name for name in INSTRUCTION_SETS if name in flags]
