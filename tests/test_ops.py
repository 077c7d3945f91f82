"""Every backend x op x variant x case: against the float64 reference, within the bound that its own formula gives."""

from __future__ import annotations

import pytest

from aefast import testing


@pytest.mark.parametrize("op", testing.ops())
@pytest.mark.parametrize("target", testing.targets(), ids=str)
def test_op(target: testing.Target, op: str) -> None:
    backend = target.open()
    failures: list[str] = []
    count = 0
    with target.active():
        for variant in testing.variants(op):
            for case in testing.for_op(op, variant):
                count += 1
                failures += testing.check(backend.ops, case, target.dtype).failures
    assert not failures, f"{len(failures)} of {count} cases:\n" + "\n".join(failures[:20])
