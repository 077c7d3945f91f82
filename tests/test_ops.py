"""Every backend x op x variant x case: against the float64 reference, within the bound that its own formula gives."""

from __future__ import annotations

import pytest

from aefast import backends, testing
from aefast.backends.numpy import bfloat16

PRODUCTS = {op.__name__ for op in bfloat16.PRODUCTS}
CALLS = [
    pytest.param(target, op, id=f"{target}-{op}")
    for op in testing.ops()
    for target in testing.targets()
    if op in PRODUCTS or target.dtype != "bfloat16"  # what isn't a product is float32's
    if backends.declared(target.backend).supports(op, dtype=target.dtype)
]


@pytest.mark.parametrize(("target", "op"), CALLS)
def test_op(target: testing.Target, op: str) -> None:
    ops = target.ops
    failures: list[str] = []
    count = 0
    with target.active():
        for variant in testing.variants(op):
            for case in testing.for_op(op, variant):
                count += 1
                failures += testing.check(ops, case, target.dtype).failures
    assert not failures, f"{len(failures)} of {count} cases:\n" + "\n".join(failures[:20])
