"""The plan: every call has its arguments, buffers don't overlap, phases end where the batch is needed whole."""

from __future__ import annotations

import inspect

import numpy as np
import pytest
from models import CONV_MODELS, MODELS, make

from aefast import backends
from aefast.backends.interpreter import FEED_ARGS, STEP_ARGS
from aefast.engine import INFERENCE_SIZES
from aefast.plan import Call, Plan, Ref
from aefast.planner import build

PURPOSES = ("train", "encode", "decode", "reconstruct", "loss")
# What an op writes among names that other ops read.
WRITES = {
    "linear_loss_grad": ("row_loss", "delta"),
    "linear_loss": ("row_loss",),
    "linear_wgrad": ("dw", "db", "partials"),
    "bias_grad": ("db", "partials"),
    "gaussian_latent": ("z", "kl"),
    "sparsity_penalty": ("mean", "value"),
    "update": ("w", "s0", "s1", "ema"),
    "linear_act": ("out", "pre"),
}


every_model = pytest.mark.parametrize("model", [*MODELS, *CONV_MODELS])


def writes_of(call: Call) -> tuple[str, ...]:
    """The names that it writes; a convolution's are those of the dense op of its part."""
    part = call.op.rpartition("2d_")[2]
    return WRITES.get(call.op, WRITES.get(f"linear_{part}", ("out",)))


def plan(model: str, purpose: str = "train", batch: int = 37) -> Plan:
    made = make(model, "numpy")
    return build(made.topology, made.settings, batch, purpose)  # type: ignore[arg-type]


def cells(ref: Ref) -> np.ndarray:
    rows, cols = np.arange(ref.rows)[:, None], np.arange(ref.cols)
    return np.asarray(ref.offset + rows * ref.row_stride + cols * ref.col_stride).ravel()


@every_model
def test_every_call_fills_its_ops_signature(model: str) -> None:
    ops = backends.get("numpy").ops
    for call in (call for purpose in PURPOSES for call in plan(model, purpose).calls):
        names = set(inspect.signature(getattr(ops, call.op)).parameters)
        given = {*call.args, *call.attrs, *(("geometry",) if call.geometry is not None else ())}
        assert given <= names, (call.op, given - names)
        assert names - given <= {*FEED_ARGS, *STEP_ARGS}, (call.op, names - given)


@every_model
def test_buffers_lie_in_their_space_and_apart(model: str) -> None:
    for purpose in PURPOSES:
        check_buffers(plan(model, purpose))


def check_buffers(made: Plan) -> None:
    flat = made.topology.n_flat
    sizes = {"arena": made.arena_size, "stats": made.stats_size}
    for call in made.calls:
        for name, ref in call.args.items():
            if ref is not None:
                place = cells(ref)
                assert place.min() >= 0 and place.max() < sizes.get(ref.space, flat), (call.op, name)
    for space, size in sizes.items():
        named = {name: ref for name, ref in made.buffers.items() if ref.space == space and name != "code"}
        taken = np.zeros(size, int)
        for ref in {(r.offset, r.cols): r for r in named.values()}.values():
            taken[cells(ref)] += 1
        assert taken.max(initial=0) <= 1


@every_model
def test_nothing_is_read_before_it_is_written(model: str) -> None:
    for purpose in PURPOSES:
        made = plan(model, purpose)
        known = {ref.offset for name, ref in made.buffers.items() if name == "feature_weight"}
        for call in made.calls:
            writes = writes_of(call)
            accumulates = call.attrs.get("accumulate")
            for name, ref in call.args.items():
                if ref is not None and ref.space == "arena" and name not in writes and name != "mean":
                    assert ref.offset in known, (purpose, call.op, name)
                if accumulates and name == "dw" and ref is not None:
                    assert ("grads", ref.offset) in known
            known |= {
                ref.offset
                for name in writes
                if (ref := call.args.get(name)) is not None and ref.space == "arena"
            }
            known |= {
                ("grads", ref.offset)
                for name in writes
                if (ref := call.args.get(name)) and ref.space == "grads"
            }


@every_model
def test_every_gradient_is_written_once_or_accumulated_and_counted_once(model: str) -> None:
    made = plan(model)
    written, counted = np.zeros(made.topology.n_flat, int), np.zeros(made.topology.n_flat, int)
    for call in made.calls:
        if not call.op.endswith(("_wgrad", "bias_grad")):
            continue
        for name in ("dw", "db"):
            ref = call.args.get(name)
            if ref is not None:
                written[cells(ref)] += 1 - int(call.attrs.get("accumulate", 0))
                counted[cells(ref)] += call.args["partials"] is not None
    used = np.zeros(made.topology.n_flat, int)
    for p in made.topology.parameters.values():
        if not p.alias:
            used[p.offset : p.offset + p.rows * p.cols] = 1
    assert (written == used).all() and (counted == used).all()


@every_model
def test_phases_end_with_the_update(model: str) -> None:
    made = plan(model)
    kinds = [phase.kind for phase in made.phases]
    sparsity = made.settings.sparsity
    assert kinds[-1] == "update" and kinds.count("update") == 1
    # only KL sparsity needs the whole batch's code before the decoder
    assert kinds.count("rows") == (2 if sparsity is not None and sparsity.kind == "kl" else 1)
    assert all(phase.kind == "rows" for purpose in PURPOSES[1:] for phase in plan(model, purpose).phases)


@every_model
def test_rows_calls_work_on_batch_rows(model: str) -> None:
    """What a rows phase writes is addressed by batch row, so that any block of rows can be done by itself."""
    for phase in plan(model).phases:
        if phase.kind == "rows":
            for call in phase.calls:
                for name in writes_of(call):
                    ref = call.args.get(name)
                    assert ref is None or ref.batch in (0, 1), (call.op, name)


def test_a_program_refuses_more_rows_than_its_plan_holds() -> None:
    made = make("vanilla mse", "numpy")
    program = made._program("encode", INFERENCE_SIZES[0])[1]
    n = INFERENCE_SIZES[0] + 1
    feed = made._feed(np.zeros((n, 13)), np.arange(n), None, 0)
    with pytest.raises(ValueError, match=f"the plan holds {n - 1} rows a batch, but got {n}"):
        program.run_phases(feed, 0, n)
