"""The command line: `aefast COMMAND`, also as `python -m aefast`. One module a group of commands, loaded when called.

Exit codes: 0 done; 1 failed on the way (a full disk, a loss that isn't finite, a benchmark whose check is red); 2 wrong usage
or bad input of any kind, found before the work begins where that can be; 130 interrupted. Whatever is anticipated is one line
on stderr; anything else is a bug and shows its trace.
"""

from __future__ import annotations

import argparse
import importlib
import os
import sys
import warnings
from collections.abc import Sequence
from typing import Any, NoReturn

from aefast import __version__
from aefast.errors import BackendUnavailableError, NonFiniteError, nearest

DID_YOU_MEAN = ": did you mean {!r}?"

# Command -> (module of this package with `configure_COMMAND(parser)`, its line in the help).
COMMANDS: dict[str, tuple[str, str]] = {
    "fit": ("fit", "train a model on a table, images or a named data set"),
    "transform": ("apply", "the code of each row"),
    "reconstruct": ("apply", "each row, encoded and decoded"),
    "score": ("apply", "each row's reconstruction error: large is unusual"),
    "sample": ("apply", "new rows, out of a variational model"),
    "info": ("info", "what runs on this machine; or what a model file holds"),
    "demo": ("demo", "train autoencoders on real images, with pictures"),
    "bench": ("bench", "check and time the kernels on this machine"),
}
EXAMPLES = """\
examples:
  aefast demo
  aefast fit measurements.csv -o model.safetensors --n-components 8 --epochs 100
  aefast score model.safetensors new.csv > errors.csv
  aefast fit mnist -o vae.safetensors --model vae --loss bce
  aefast sample vae.safetensors -n 16 -o digits.npy

`aefast COMMAND --help` tells what a command takes.
"""
BAD_INPUT = (
    ValueError,
    FileNotFoundError,
    FileExistsError,
    IsADirectoryError,
    NotADirectoryError,
    PermissionError,
    BackendUnavailableError,
)
FAILED = (OSError, NonFiniteError, MemoryError)


class Parser(argparse.ArgumentParser):
    """argparse with whole flags only, and errors of one line."""

    def __init__(self, **options: Any) -> None:
        super().__init__(allow_abbrev=False, formatter_class=_formatter, **options)

    def error(self, message: str) -> NoReturn:
        """One line and exit code 2."""
        self.exit(2, f"aefast: {message} (see: {self.prog} --help)\n")


def _formatter(prog: str) -> argparse.HelpFormatter:
    # Wide enough for most flags to keep their help beside them.
    return argparse.RawDescriptionHelpFormatter(prog, max_help_position=28)


def main(argv: Sequence[str] | None = None) -> int:
    """Runs one command and gives its exit code; wrong usage leaves by SystemExit(2)."""
    try:
        with warnings.catch_warnings():
            warnings.showwarning = _show_warning
            arguments = _parse(sys.argv[1:] if argv is None else argv)
            code: int | None = arguments.command(arguments)
            sys.stdout.flush()
            return code or 0
    except BrokenPipeError:
        # The reader, `head` say, has gone; Python's own flush at exit must not meet the pipe again.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1
    except BAD_INPUT as error:
        return _tell(error, 2)
    except ModuleNotFoundError as error:
        if error.name is not None:  # not one that says what to install
            raise
        return _tell(error, 2)
    except FAILED as error:
        return _tell(error, 1)
    except KeyboardInterrupt:
        print("aefast: interrupted", file=sys.stderr)
        return 130


def _tell(error: BaseException, code: int) -> int:
    # An OSError's own text begins with a number that tells a user nothing.
    text = str(error)
    if isinstance(error, OSError) and error.strerror:
        text = f"{error.filename}: {error.strerror}" if error.filename else error.strerror
    if isinstance(error, MemoryError):
        text = f"out of memory{': ' if text else ''}{text}"
    print(f"aefast: {' '.join(text.split())}", file=sys.stderr)
    return code


def _show_warning(message: Warning | str, *rest: object, **options: object) -> None:
    print(f"aefast: warning: {message}", file=sys.stderr)


def _parse(argv: Sequence[str]) -> argparse.Namespace:
    named = next((word for word in argv if not word.startswith("-")), None)
    parser, chosen = _parser(named)
    if named is not None and named not in COMMANDS:
        parser.error(
            f"there is no command {named!r}{nearest(named, COMMANDS, DID_YOU_MEAN)}; known: {', '.join(COMMANDS)}"
        )
    arguments, unknown = parser.parse_known_args(argv)
    if unknown:
        flag = unknown[0].partition("=")[0]
        where = chosen or parser
        where.error(f"unknown argument {flag!r}{nearest(flag, where._option_string_actions, DID_YOU_MEAN)}")
    return arguments


def _parser(named: str | None) -> tuple[Parser, Parser | None]:
    """The parser, and that of the named command, which alone is filled in: the flags of `fit` need scikit-learn."""
    parser = Parser(
        prog="aefast",
        usage="aefast COMMAND ... | --help | --version",
        description="Autoencoders, trained fast. New here? Run: aefast demo\n\ncommands:\n"
        + "\n".join(f"  {name:12} {line}" for name, (_, line) in COMMANDS.items()),
        epilog=EXAMPLES,
    )
    parser.add_argument("--version", action="version", version=f"aefast {__version__}")
    parser.set_defaults(command=lambda arguments: parser.print_help())
    commands = parser.add_subparsers(prog="aefast", metavar="COMMAND", help=argparse.SUPPRESS)
    chosen: Parser | None = None
    for name, (module, _) in COMMANDS.items():
        sub = commands.add_parser(name)
        if name == named:
            chosen = sub
            getattr(importlib.import_module(f"aefast.cli.{module}"), f"configure_{name}")(sub)
    return parser, chosen
