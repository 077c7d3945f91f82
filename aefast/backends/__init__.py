"""The backends: one contract, a registry of names, and what can be said about each on this machine.

A backend is a package here with `backend() -> Backend`; to add one, write it and add its line to `REGISTRY`.
"""

from __future__ import annotations

import importlib
import sys
import warnings
from dataclasses import dataclass, field
from types import ModuleType
from typing import Any, NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray

from aefast.errors import BackendUnavailableError, FallbackWarning, unknown_name
from aefast.plan import Plan

Array = NDArray[Any]

# "auto" takes the first that runs here and can do the whole plan.
REGISTRY: dict[str, str] = {
    "triton": "aefast.backends.triton",
    "cpu": "aefast.backends.cpu",
    "numba": "aefast.backends.numba",
    "numpy": "aefast.backends.numpy",
}
NAMES: tuple[str, ...] = tuple(REGISTRY)
# Taken only by name, with the reason.
BY_NAME: dict[str, str] = {"triton": "taken only by name, until it has run on a GPU"}
_fallback_told = False
NONFINITE_CODES: dict[str, int] = {"raise": 0, "skip": 1, "propagate": 2}


class Support(NamedTuple):
    """Whether something can be done; if not, why, and whether that is what the installation was told to do."""

    yes: bool
    reason: str = ""
    intended: bool = False

    def __bool__(self) -> bool:
        return self.yes


@dataclass
class State:
    """The flat buffers that the trainer owns and a program works on, all (topology.n_flat,): float64, or else float32.

    `steps` (1,) int64 counts the training steps that they have been through.
    """

    params: Array
    grads: Array
    slots: tuple[Array, ...] = ()
    ema: Array | None = None
    steps: NDArray[np.int64] = field(default_factory=lambda: np.zeros(1, np.int64))


class Lasting:
    """A promise for as long as it lives; see `Feed`."""


@dataclass(slots=True, weakref_slot=True)
class Feed:
    """What a run reads: the data set (n, d) of any numeric dtype and strides, and the order of its rows.

    `index` (int64) holds data rows, consecutive batches in it. `rows` (int64, as long) addresses their noise; None: the data
    rows do. `sample_weight` (n,) float64.
    `shift`, `scale` (d,) float64, or `factor`, scale the rows on their way in.
    """

    data: Array
    index: NDArray[np.int64]
    rows: NDArray[np.int64] | None = None
    sample_weight: NDArray[np.float64] | None = None
    shift: NDArray[np.float64] | None = None
    scale: NDArray[np.float64] | None = None
    factor: float = 1.0
    seed: int = 0
    epoch: int = 0
    lasting: Lasting | None = None
    """While this lives, nobody changes `data`: a device may keep its copy. None: no promise."""


class Outcome(NamedTuple):
    """How many steps were done (skipped ones included), and why the next one wasn't."""

    steps_done: int
    nonfinite: bool = False
    interrupted: bool = False
    error: BaseException | None = None
    """What a signal's handler raised within the run."""


class Program(Protocol):
    """A plan bound to memory."""

    def run_steps(
        self,
        feed: Feed,
        scalars: NDArray[np.float64],
        losses: NDArray[np.float64],
        nonfinite: int,
        clip_norm: float,
        batch: int | None = None,
    ) -> Outcome:
        """Train one batch of `feed.index` after the other: scalars (n, 4) = [lr, c1, c2, beta], losses (n,) written.

        A batch has the plan's rows, or `batch`, fewer. `scalars` is contiguous float64. `nonfinite`: 0 stops before the
        update of a step whose loss or gradient isn't finite, 1 leaves its update out, 2 goes on. `clip_norm` 0 means no
        clipping. The state's `steps` grows by those done before any signal's handler can run. Between two steps it ends
        with `interrupted` where `aefast.interrupts.pending()`: who counts more than `steps` holds signals back until that
        is done.
        """

    def run_phases(self, feed: Feed, start: int, stop: int, beta: float = 1.0) -> None:
        """All phases but the update, once, on the rows index[start:stop]."""

    def buffer(self, name: str) -> Array:
        """A named buffer of the plan: a view, (B, n) or (n,), valid until the next run."""


class Backend(Protocol):
    """What a backend must offer."""

    name: str

    @property
    def ops(self) -> Any:
        """The op functions of the contract, by name, on this backend's arrays."""

    def ops_for(self, dtype: str) -> Any:
        """`ops` for a dtype that is supported. For "bfloat16" the arrays are float32, and the products round their operands."""

    def supports(
        self, op: str, *, act: str | None = None, loss: str | None = None, dtype: str = "float32"
    ) -> Support:
        """Whether it can do this op, and if not, why. The same answer on every machine, also where it can't run."""

    def bind(self, plan: Plan, state: State, n_threads: int | None) -> Program:
        """A program that runs the plan on that state."""


def available(name: str) -> Support:
    """Whether this backend runs on this machine; if not, why. Imports nothing heavy."""
    if not isinstance(name, str) or name not in REGISTRY:
        raise unknown_name("backend", name, ("auto", *NAMES))
    support: Support = importlib.import_module(REGISTRY[name]).available()
    return support


def get(name: str) -> Backend:
    """The backend of that name; BackendUnavailableError with the reason where it can't run."""
    support = available(name)
    if not support:
        raise BackendUnavailableError(f"backend {name!r} can't run here: {support.reason}")
    return declared(name)


def declared(name: str) -> Backend:
    """The backend of that name whether or not it can run here; where it can't, it only answers `supports`."""
    if not isinstance(name, str) or name not in REGISTRY:
        raise unknown_name("backend", name, NAMES)
    backend: Backend = importlib.import_module(REGISTRY[name]).backend()
    return backend


def supports_plan(backend: Backend, plan: Plan, dtype: str) -> Support:
    """Whether a backend can do every call of the plan."""
    from aefast import activations, losses

    for call in plan.calls:
        act = activations.NAMES[int(call.attrs["act"])] if "act" in call.attrs else None
        loss = losses.NAMES[int(call.attrs["loss"])] if "loss" in call.attrs else None
        support = backend.supports(call.op, act=act, loss=loss, dtype=dtype)
        if not support:
            return Support(False, f"{call.op}: {support.reason}")
    return Support(True)


def choose(name: str, plan: Plan, dtype: str) -> Backend:
    """The named backend, or for "auto" the first that can do the plan; BackendUnavailableError says why not."""
    reasons = []
    for candidate in NAMES if name == "auto" else (name,):
        if name == "auto" and candidate in BY_NAME:
            reasons.append(f"{candidate}: {BY_NAME[candidate]}")
            continue
        try:
            backend = get(candidate)
        except BackendUnavailableError as error:
            if name != "auto":
                raise
            reasons.append(str(error))
            continue
        can = supports_plan(backend, plan, dtype)
        if can:
            if name == "auto":
                _tell_fallback(candidate)
            return backend
        reasons.append(f"{candidate}: {can.reason}")
    raise BackendUnavailableError(f"no backend for this model with dtype {dtype}: " + "; ".join(reasons))


def _tell_fallback(chosen: str) -> None:
    """Once a process: that the native kernels are missing, unless whoever installed wanted it so."""
    global _fallback_told
    native = available("cpu")
    if native or native.intended or _fallback_told:
        return
    _fallback_told = True
    message = f'backend="auto" takes {chosen!r}, which is slower: {native.reason} `aefast info` tells more.'
    warnings.warn(message, FallbackWarning, stacklevel=2)


def backends() -> dict[str, str]:
    """Every backend by name: "available", or why it can't run here."""
    return {name: "available" if (support := available(name)) else support.reason for name in NAMES}


class _CallablePackage(ModuleType):
    """`aefast.backends` is this package, and as a function tells which backends run here."""

    def __call__(self) -> dict[str, str]:
        return backends()


sys.modules[__name__].__class__ = _CallablePackage
