"""`python -m bench COMMAND`: what the commands take, and nothing else."""

from __future__ import annotations

import argparse
from collections.abc import Callable
from pathlib import Path

from aefast.data import TABLE_NAMES
from aefast.threads import num_threads
from bench import compare, figure, fitting, memory, nets, scaling, scaling_report, tables
from bench.contenders import CONTENDERS
from bench.fits import subject


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m bench", description=__doc__)
    commands = parser.add_subparsers(dest="command", required=True)

    def command(
        name: str, run: Callable[[argparse.Namespace], int], about: str, budget: float, rounds: int
    ) -> argparse.ArgumentParser:
        """A measurement with the options that all have."""
        sub = commands.add_parser(name, help=about, description=about)
        sub.add_argument("--threads", type=int, default=num_threads(), help="for all; default: all cores")
        sub.add_argument(
            "--budget", type=float, default=budget, metavar="SECONDS",
            help=f"about how long all turns may take, starts and checks apart; default {budget:.0f}",
        )  # fmt: skip
        sub.add_argument(
            "--note", default="", help="a remark kept with the results, such as what else was running"
        )
        sub.add_argument("--out", type=Path, default=figure.RESULTS, help="folder of JSON and Markdown")
        sub.add_argument("--name", default=name, help=f"stem of the files; default {name}")
        sub.set_defaults(run=run, rounds=rounds, backend="auto")
        return sub

    sub = command("compare", _compare, "time whole training steps beside the peers, in turns", 420, 9)
    sub.add_argument(
        "--set", choices=list(nets.SETS), default="dense", help="nets of which the rows are; default dense"
    )
    sub.add_argument(
        "--rows", nargs="+", metavar="NET", help="nets by name or number from 1; default: the set's"
    )
    _names(sub, "--contenders", list(CONTENDERS))
    sub.add_argument("--rounds", type=int, help="turns of each contender a net; default 9")
    sub.set_defaults(name=None)
    sub.add_argument("--quick", action="store_true", help="3 rounds and 30 seconds: does the harness work?")

    sub = command(
        "scaling", scaling.run, "sweeps of batch, width, depth, rows, threads; odd shapes; the bound", 420, 5
    )
    _names(sub, "--sweeps", list(scaling.SWEEPS))
    sub.add_argument("--peers", nargs="*", choices=sorted(CONTENDERS), default=scaling.PEERS, metavar="NAME")
    sub.add_argument("--rounds", type=int, help="turns of each contender a net; default 5")

    for name, budget in (("pyod", 900.0), ("fashion", 300.0), ("fashion-conv", 1800.0)):
        about = subject(name)
        sub = command(name, fitting.run, about.title, budget, 5)
        _names(sub, "--contenders", list(about.contenders))
        sub.add_argument(
            "--data", nargs="+", choices=list(about.data), metavar="NAME", help=f"of {', '.join(about.data)}"
        )
        sub.add_argument("--seeds", dest="rounds", type=int, help="fits of each contender; default 5")
        sub.add_argument("--epochs", type=int, default=about.epochs, help=f"default {about.epochs}")

    sub = command("memory", memory.run, "peak memory of a fit against the promise", 120, 1)
    _names(sub, "--cases", list(memory.CASES))

    sub = command(
        "tables", tables.run, "the defaults on ten real tables, beside PCA of the same width", 600, 5
    )
    _names(sub, "--tables", list(TABLE_NAMES))
    sub.add_argument("--seeds", dest="rounds", type=int, help="splits of each table; default 5")

    sub = commands.add_parser(
        "figure", help="draw results as an SVG beside their JSON, and print their caption"
    )
    sub.add_argument(
        "--source", type=Path, default=figure.RESULTS / "compare.json", help="JSON of compare or scaling"
    )
    sub.set_defaults(run=_figure)
    for name in ("compare", "scaling", "memory"):
        commands.choices[name].add_argument("--backend", help='aefast\'s; default: what "auto" takes')
    arguments = parser.parse_args()
    return int(arguments.run(arguments))


def _names(sub: argparse.ArgumentParser, flag: str, names: list[str]) -> None:
    sub.add_argument(
        flag, nargs="+", choices=names, default=names, metavar="NAME", help=f"of {', '.join(names)}"
    )


def _compare(arguments: argparse.Namespace) -> int:
    if arguments.quick:
        arguments.rounds, arguments.budget = 3, 30.0
    rows = arguments.rows or list(nets.SETS[arguments.set])
    arguments.rows = [nets.find(row, arguments.set) for row in rows]
    if arguments.name is None:
        arguments.name = "compare" if arguments.set == "dense" else arguments.set
    return compare.run(arguments)


def _figure(arguments: argparse.Namespace) -> int:
    command = figure.command_of(arguments.source)
    return scaling_report.run(arguments.source) if command == "scaling" else figure.run(arguments.source)


if __name__ == "__main__":
    raise SystemExit(main())
