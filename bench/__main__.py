"""`python -m bench compare`, `figure` and `tables`: what the commands take, and nothing else."""

from __future__ import annotations

import argparse
from pathlib import Path

from aefast.data import TABLE_NAMES
from aefast.threads import num_threads
from bench import compare, figure, nets, tables
from bench.contenders import CONTENDERS


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m bench", description=__doc__)
    commands = parser.add_subparsers(dest="command", required=True)
    sub = commands.add_parser("compare", help="time whole training steps beside the peers, in turns")
    sub.add_argument(
        "--rows", nargs="+", metavar="NET", default=list(nets.TABLE), help="nets by name or by number from 1"
    )
    sub.add_argument(
        "--contenders",
        nargs="+",
        choices=sorted(CONTENDERS),
        default=list(CONTENDERS),
        metavar="NAME",
        help=f"of {', '.join(CONTENDERS)}",
    )
    sub.add_argument(
        "--threads",
        type=int,
        default=num_threads(),
        help="the same for all; default: all cores",
    )
    sub.add_argument(
        "--budget", type=float, metavar="SECONDS", help="about how long all turns may take; default 420"
    )
    sub.add_argument("--rounds", type=int, help="turns of each contender per net; default 9")
    sub.add_argument(
        "--quick", action="store_true", help="defaults of 3 rounds and 30 seconds: does the harness work?"
    )
    sub.add_argument("--backend", default="auto", help='aefast\'s backend; default: what "auto" takes')
    sub.add_argument(
        "--note", default="", help="a remark kept with the results, such as what else the machine was doing"
    )
    sub.add_argument(
        "--out", type=Path, default=Path(__file__).parent / "results", help="folder of the JSON and Markdown"
    )
    sub.add_argument("--name", default="compare", help="stem of the two files")
    sub = commands.add_parser(
        "figure", help="draw the results as an SVG beside their JSON, and print its caption"
    )
    sub.add_argument(
        "--source", type=Path, default=figure.RESULTS / "compare.json", help="the JSON of a comparison"
    )
    sub = commands.add_parser("tables", help="the defaults on ten real tables, beside PCA of the same width")
    sub.add_argument("--tables", nargs="+", choices=TABLE_NAMES, default=list(TABLE_NAMES), metavar="NAME")
    sub.add_argument("--seeds", dest="rounds", type=int, default=5, help="splits of each table; default 5")
    sub.add_argument("--note", default="", help="a remark kept with the results")
    sub.add_argument(
        "--out", type=Path, default=Path(__file__).parent / "results", help="folder of the JSON and Markdown"
    )
    sub.add_argument("--name", default="tables", help="stem of the two files")
    sub.set_defaults(threads=num_threads(), backend="auto")
    arguments = parser.parse_args()
    if arguments.command == "figure":
        return figure.run(arguments.source)
    if arguments.command == "tables":
        return tables.run(arguments)
    arguments.rounds = arguments.rounds or (3 if arguments.quick else 9)
    arguments.budget = arguments.budget or (30.0 if arguments.quick else 420.0)
    arguments.rows = [nets.find(row) for row in arguments.rows]
    return compare.run(arguments)


if __name__ == "__main__":
    raise SystemExit(main())
