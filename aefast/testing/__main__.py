"""`python -m aefast.testing`: every op of the backends against the reference, on as many random cases as wanted.

`--op conv` stands for all ops of images; `--backend torch` puts PyTorch's products of images in a backend's place. Prints one
line an op: cases, failures, and the largest error in parts of what its bound allows. Exit code 1 on failures.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator
from dataclasses import replace
from itertools import islice
from typing import Any

import numpy as np

from aefast import backends
from aefast.testing import conv, images
from aefast.testing.cases import Case, for_op, ops, variants
from aefast.testing.compare import check
from aefast.testing.targets import Target, targets

TORCH = "torch"
IMAGE_OPS = (*conv.MAKERS, *images.MAKERS, "bias_grad")


def shuffled(case: Case, seed: int) -> Case:
    """The case with the numbers of each input in another order: other sums of the same size.

    A case that draws noise stays as it is: its error is that of its numbers.
    """
    if seed == 0 or "rows" in case.given:
        return case
    rng = np.random.default_rng(seed)
    inputs = {
        name: None if x is None else rng.permutation(x.ravel()).reshape(x.shape)
        for name, x in case.inputs.items()
    }
    return replace(case, label=f"{case.label}, order {seed}", inputs=inputs)


def cases(op: str, n: int) -> Iterator[Case]:
    """All of the op's cases, then until there are n: of images other geometries, or again in other orders."""
    count = seed = 0
    for module in (conv, images):
        if op in module.MAKERS:
            fixed = [case for variant in variants(op) for case in for_op(op, variant)]
            yield from fixed
            yield from islice(module.random_cases(op, 0), max(0, n - len(fixed)))
            return
    while count < n or seed == 0:
        for variant in variants(op):
            for case in for_op(op, variant):
                yield shuffled(case, seed)
                count += 1
        seed += 1


def report(target: Target, op: str, n: int, others: Any = None) -> int:
    """Runs and prints one line; the number of failures, the first three of them told. `others` instead of its own ops."""
    backend_ops, count, worst = others or target.ops, 0, 0.0
    different = getattr(others, "DIFFERENT", {}).get(op)
    failures: list[str] = []
    with target.active():
        for case in cases(op, n):
            if different is not None and different in case.label:
                continue
            verdict = check(backend_ops, case, target.dtype)
            failures += verdict.failures
            worst, count = max(worst, verdict.worst), count + 1
    print(f"{target!s:24} {op:26} {count:7} cases  {len(failures):5} failures  worst {worst:.3f}", flush=True)
    for failure in failures[:3]:
        print(f"    {failure}")
    return len(failures)


def _against_torch(wanted: list[str], n: int) -> int:
    from aefast.testing import torch_images

    targets_ = [Target(TORCH, dtype) for dtype in ("float32", "float64")]
    offered = [op for op in wanted if hasattr(torch_images, op)]
    return sum(report(target, op, n, torch_images) for target in targets_ for op in offered)


def main(arguments: list[str] | None = None) -> int:
    """The command."""
    parser = argparse.ArgumentParser(prog="python -m aefast.testing", description=__doc__)
    parser.add_argument(
        "--backend",
        choices=(*backends.NAMES, TORCH),
        action="append",
        help="only this one (may be repeated)",
    )
    parser.add_argument(
        "--op", choices=(*ops(), "conv"), action="append", help="only this one (may be repeated)"
    )
    parser.add_argument("--cases", type=int, default=0, help="at least so many for each op")
    chosen = parser.parse_args(arguments)
    wanted = [op for name in chosen.op or ops() for op in (IMAGE_OPS if name == "conv" else (name,))]
    failures = 0
    if chosen.backend and TORCH in chosen.backend:
        failures += _against_torch(wanted, chosen.cases)
    for target in targets():
        if chosen.backend and target.backend not in chosen.backend:
            continue
        support = backends.available(target.backend)
        if not support:
            print(f"{target!s:24} skipped: {support.reason}")
            continue
        for op in wanted:
            support = target.open().supports(op, dtype=target.dtype)
            if support:
                failures += report(target, op, chosen.cases)
            else:
                print(f"{target!s:24} {op:26} skipped: {support.reason}")
    return 1 if failures else 0


if __name__ == "__main__":
    sys.exit(main())
