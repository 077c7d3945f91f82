"""`aefast demo`."""

from __future__ import annotations

import argparse

from aefast import backends
from aefast.cli import sources
from aefast.data import datasets


def configure_demo(parser: argparse.ArgumentParser) -> None:
    """Which images, how long, where to."""
    parser.description = demo.__doc__
    parser.add_argument("--data", choices=datasets.NAMES, default="mnist", help="the images (default: mnist)")
    parser.add_argument(
        "--out",
        metavar="DIR",
        default="aefast-demo",
        help="the folder for what it makes (default: aefast-demo)",
    )
    parser.add_argument(
        "--epochs",
        metavar="N",
        type=sources.integer(1),
        help="passes over the images (default: what the data set needs)",
    )
    parser.add_argument(
        "--backend",
        choices=("auto", *backends.NAMES),
        default="auto",
        help="who does the arithmetic (default: the fastest that runs here)",
    )
    parser.add_argument(
        "--seed",
        metavar="N",
        type=sources.integer(0, 2**64),
        default=0,
        help="same seed, same result (default: 0)",
    )
    parser.set_defaults(command=demo)


def demo(arguments: argparse.Namespace) -> None:
    """Train dense and convolutional autoencoders on real images and leave models, a table and pictures in a folder."""
    from aefast.demo import run

    run(
        arguments.data,
        arguments.out,
        epochs=arguments.epochs,
        backend=arguments.backend,
        seed=arguments.seed,
    )
