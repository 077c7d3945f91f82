"""The comparison's check can fail: what a wrong contender would hand in is outside of its tolerances."""

from __future__ import annotations

import numpy as np
import pytest

compare = pytest.importorskip(
    "bench.compare", reason="bench/ is not in this installation; run from the repository"
)
from bench import nets  # noqa: E402

NET = nets.find("20-12-20/16")


def _handed_in(params: nets.Parameters) -> list[np.ndarray]:
    return [array.astype(np.float32) for layer in params for array in layer]


def _passes(losses: list[float], arrays: list[np.ndarray]) -> bool:
    reference, params = nets.reference(NET)
    loss_error, way_error = compare.compare(NET, reference, params, losses, arrays)
    return bool(loss_error <= compare.LOSS_TOLERANCE and way_error <= compare.WAY_TOLERANCE)


def test_the_reference_itself_passes() -> None:
    losses, params = nets.reference(NET)
    assert _passes([float(np.float32(loss)) for loss in losses], _handed_in(params))


@pytest.mark.parametrize(
    "bug", ["one step fewer", "no bias gradient", "loss of the updated weights", "plain eps", "no update"]
)
def test_a_planted_bug_fails(bug: str, monkeypatch: pytest.MonkeyPatch) -> None:
    losses, params = nets.reference(NET)
    arrays = _handed_in(params)
    if bug == "one step fewer":
        losses = losses[:-1]
    elif bug == "no bias gradient":
        arrays[1::2] = [b for _, b in nets.initial(NET)]
    elif bug == "loss of the updated weights":
        losses = [*losses[1:], losses[-1]]
    elif bug == "plain eps":
        monkeypatch.setattr(nets, "EPS", 1e-3)
        losses, params = nets.reference(NET)
        monkeypatch.undo()
        arrays = _handed_in(params)
    else:
        arrays = [a for layer in nets.initial(NET) for a in layer]
    assert not _passes(losses, arrays)


def test_step_flops_leave_out_the_first_layers_input_gradient() -> None:
    b, (d, n, _) = NET.batch, NET.widths
    forward = wgrad = 2 * b * (d * n + n * d)
    assert NET.flops == forward + wgrad + 2 * b * n * d
