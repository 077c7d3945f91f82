"""What decides on the device, so that the host needn't look between steps: which rows are next, how far gradients are clipped,
and whether a step's update takes place.

`control` (4,) int64: the step's number within the run, steps done, 1 while the run goes on, 1 where this step's update
takes place.
"""

from __future__ import annotations

import triton
import triton.language as tl

STOP, SKIP, PROPAGATE = tl.constexpr(0), tl.constexpr(1), tl.constexpr(2)  # of a step that isn't finite


@triton.jit
def begin_step(
    control, scalars, places, sources, settings, index, index_now, rows, rows_now, n_places, batch, BLOCK: tl.constexpr
):  # fmt: skip
    """index_now, rows_now (B,) = this step's part of index and rows; settings[places] = its scalars (4,), by `sources`."""
    step = tl.load(control)
    at = tl.program_id(0).to(tl.int64) * BLOCK + tl.arange(0, BLOCK)
    begin = step * batch
    tl.store(index_now + at, tl.load(index + begin + at, mask=at < batch, other=0), mask=at < batch)
    tl.store(rows_now + at, tl.load(rows + begin + at, mask=at < batch, other=0), mask=at < batch)
    if tl.program_id(0) == 0:
        for start in range(0, n_places, BLOCK):
            i = tl.arange(0, BLOCK).to(tl.int64) + start
            source = tl.load(sources + i, mask=i < n_places, other=0)
            place = tl.load(places + i, mask=i < n_places, other=0)
            tl.store(
                settings + place, tl.load(scalars + step * 4 + source, mask=i < n_places), mask=i < n_places
            )


@triton.jit
def judge_step(
    control, policy, clip_norm, loss, losses, stats, partials, settings, clips, n_partials, n_clips, BLOCK: tl.constexpr
):  # fmt: skip
    """losses[step] = loss; settings[clips] = min(1, clip_norm / (norm + 1e-6)), or 1 without clipping (Pascanu et al. 2013,
    algorithm 1). `partials` (n,) int64: where in `stats` the pairs [square norm, not finite] stand. One program.
    """
    step, going = tl.load(control), tl.load(control + 2) != 0
    value = tl.load(loss)
    square = tl.load(clip_norm) * 0.0
    bad = square
    for i in range(n_partials):
        pair = tl.load(partials + i)
        square += tl.load(stats + pair)
        bad += tl.load(stats + pair + 1)
    finite = (tl.abs(value) <= 1.7976931348623157e308) & (bad == 0.0)
    rule = tl.load(policy)
    stays = going & (finite | (rule != STOP))
    takes = stays & (finite | (rule == PROPAGATE))
    tl.store(losses + step, tl.where(going, value, tl.load(losses + step)))
    tl.store(control + 1, tl.load(control + 1) + stays.to(tl.int64))
    tl.store(control + 2, stays.to(tl.int64))
    tl.store(control + 3, takes.to(tl.int64))
    tl.store(control, step + 1)
    most = tl.load(clip_norm)
    norm = tl.sqrt(square)
    share = most / (norm + 1e-6)
    share = tl.where(share > 1.0, 1.0, share)
    share = tl.where(most > 0.0, tl.where(norm == norm, share, norm), 1.0)
    for start in range(0, n_clips, BLOCK):
        at = tl.arange(0, BLOCK).to(tl.int64) + start
        place = tl.load(clips + at, mask=at < n_clips, other=0)
        tl.store(settings + place, tl.zeros((BLOCK,), tl.float64) + share, mask=at < n_clips)
