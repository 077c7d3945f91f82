"""`python -m aefast.testing`: every op of the backends against the reference, on as many random cases as wanted.

Prints one line an op: cases, failures, and the largest error in parts of what its bound allows. Exit code 1 on failures.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator
from dataclasses import replace

import numpy as np

from aefast import backends
from aefast.testing.cases import Case, for_op, ops, variants
from aefast.testing.compare import check
from aefast.testing.targets import Target, targets


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
    """All of the op's cases, then again in other orders until there are n."""
    count = seed = 0
    while count < n or seed == 0:
        for variant in variants(op):
            for case in for_op(op, variant):
                yield shuffled(case, seed)
                count += 1
        seed += 1


def report(target: Target, op: str, n: int) -> int:
    """Runs and prints one line; the number of failures, the first three of them told."""
    backend_ops, count, worst = target.ops, 0, 0.0
    failures: list[str] = []
    with target.active():
        for case in cases(op, n):
            verdict = check(backend_ops, case, target.dtype)
            failures += verdict.failures
            worst, count = max(worst, verdict.worst), count + 1
    print(f"{target!s:24} {op:26} {count:7} cases  {len(failures):5} failures  worst {worst:.3f}", flush=True)
    for failure in failures[:3]:
        print(f"    {failure}")
    return len(failures)


def main(arguments: list[str] | None = None) -> int:
    """The command."""
    parser = argparse.ArgumentParser(prog="python -m aefast.testing", description=__doc__)
    parser.add_argument(
        "--backend", choices=backends.NAMES, action="append", help="only this one (may be repeated)"
    )
    parser.add_argument("--op", choices=ops(), action="append", help="only this one (may be repeated)")
    parser.add_argument("--cases", type=int, default=0, help="at least so many for each op")
    chosen = parser.parse_args(arguments)
    failures = 0
    for target in targets():
        if chosen.backend and target.backend not in chosen.backend:
            continue
        support = backends.available(target.backend)
        if not support:
            print(f"{target!s:24} skipped: {support.reason}")
            continue
        failures += sum(report(target, op, chosen.cases) for op in chosen.op or ops())
    return 1 if failures else 0


if __name__ == "__main__":
    sys.exit(main())
