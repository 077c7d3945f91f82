"""What the Trainer's constructor takes: one row an argument, and the classes of its parts."""

from __future__ import annotations

from typing import Any

import numpy as np

from aefast import backends, checks, schedules, threads
from aefast.regularizers import Corruption, Sparsity
from aefast.topology import Topology

_at_least_0 = checks.real(0.0)
# Those that no table or dataclass checks.
RULES: dict[str, checks.Check] = {
    "schedule": checks.choice(schedules.NAMES),
    "nonfinite": checks.choice(backends.NONFINITE_CODES),
    "learning_rate": _at_least_0,
    "weight_decay": _at_least_0,
    "warmup_steps": _at_least_0,
    "beta": _at_least_0,
    "kl_warmup_epochs": _at_least_0,
    "free_bits": _at_least_0,
    "clip_norm": checks.real(0.0, above=True, none=True, infinite=True),
    "ema": checks.real(0.0, 1.0, below=True, none=True),
    "batch_size": checks.integer(1),
    "n_threads": checks.integer(1, None, high=threads.MAX_THREADS),
    "shuffle": checks.boolean,
    "seed": checks.seed,
}


def checked(**arguments: Any) -> dict[str, Any]:
    """The arguments with plain numbers; TypeError or ValueError for the first that isn't what its row says."""
    for name, value in arguments.items():
        RULES[name](name, value)
    return {name: checks.plain(value) for name, value in arguments.items()}


def check_parts(topology: Any, corruption: Any, sparsity: Any, scaling: Any) -> None:
    """TypeError for a part of another class, with what to write instead; ValueError for a scaling of another width."""
    if not isinstance(topology, Topology):
        raise checks.wrong_type("topology must be a Topology, such as Topology.mlp([784, 32, 784])", topology)
    for name, value, kind in (("corruption", corruption, Corruption), ("sparsity", sparsity, Sparsity)):
        if value is not None and not isinstance(value, kind):
            hint = f"; write {kind.__name__}({value!r})" if isinstance(value, str) else ""
            wanted = f"{name} must be an aefast.{kind.__name__} or None{hint}"
            raise checks.wrong_type(wanted, value)
    if scaling is None:
        return
    if lacks := [name for name in ("shift", "scale", "factor", "inverse") if not hasattr(scaling, name)]:
        wanted = "scaling must be an aefast.data.scaling.Scaling, such as Scaling.from_data('standard', X), or None"
        raise checks.wrong_type(f"{wanted} (it needs {', '.join(lacks)})", scaling)
    for name in ("shift", "scale"):
        value = getattr(scaling, name)
        if value is not None and np.shape(value) != (topology.n_features,):
            raise ValueError(
                f"scaling.{name} must have shape ({topology.n_features},), one per feature, but has {np.shape(value)}"
            )
