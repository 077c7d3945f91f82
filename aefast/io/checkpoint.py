"""Checkpoints of a trainer: everything that the next step depends on, as one sealed safetensors file."""

from __future__ import annotations

import dataclasses
import os
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from aefast import backends, optimizers
from aefast.data.scaling import Scaling
from aefast.errors import unknown_name
from aefast.io import container, headers
from aefast.regularizers import Corruption, Sparsity
from aefast.topology import Topology

if TYPE_CHECKING:
    from aefast.trainer import Trainer

FORMAT = "aefast-checkpoint"


@dataclasses.dataclass(frozen=True)
class Options:
    """Constructor arguments that are attributes of the trainer."""

    learning_rate: float
    schedule: str
    warmup_steps: float
    clip_norm: float | None
    batch_size: int
    beta: float
    kl_warmup_epochs: float
    dtype: str
    n_threads: int | None
    nonfinite: str
    shuffle: bool
    seed: int


@dataclasses.dataclass(frozen=True)
class PlanOptions:
    """Constructor arguments that are attributes of the trainer's settings."""

    loss: str
    reduction: str
    weight_decay: float
    ema: float | None
    free_bits: float


@dataclasses.dataclass(frozen=True)
class Progress:
    """Counters, the place in the data, and what the running epoch has added to its loss."""

    n_steps: int
    epoch: int
    first_epoch: int
    position: int
    epoch_loss: float
    epoch_skipped: float

    def __post_init__(self) -> None:
        counts = {name: value for name, value in vars(self).items() if not isinstance(value, float)}
        headers.check_counts(**counts)


@dataclasses.dataclass(frozen=True)
class Header:
    """What the file says besides its tensors; see `container` for the file."""

    options: Options
    plan: PlanOptions
    topology: Topology
    backend: str
    optimizer: dict[str, Any]
    corruption: Corruption | None
    sparsity: Sparsity | None
    factor: float | None
    progress: Progress


def save(trainer: Trainer, path: str | os.PathLike[str]) -> None:
    """Writes parameters, slots, averages, counters and settings; see `Trainer.save_checkpoint`."""
    settings, scaling = trainer.settings, trainer.scaling
    tensors: dict[str, NDArray[Any]] = {
        f"{space}.{name}": view
        for space, flat in trainer.flat_buffers.items()
        for name, view in trainer.views(flat).items()
        if not trainer.topology.parameters[name].alias
    }
    if trainer.feature_weight is not None:
        tensors["feature_weight"] = trainer.feature_weight
    if scaling is not None and scaling.shift is not None:
        tensors |= {"scaling.shift": scaling.shift, "scaling.scale": scaling.scale}
    options = Options(**{f.name: getattr(trainer, f.name) for f in dataclasses.fields(Options)})
    header = Header(
        options=dataclasses.replace(options, shuffle=bool(options.shuffle)),
        plan=PlanOptions(**{f.name: getattr(settings, f.name) for f in dataclasses.fields(PlanOptions)}),
        topology=trainer.topology,
        backend=trainer.backend_name,
        optimizer={"name": settings.optimizer.name, **dataclasses.asdict(settings.optimizer)},
        corruption=settings.corruption,
        sparsity=settings.sparsity,
        factor=None if scaling is None else scaling.factor,
        progress=Progress(**{f.name: getattr(trainer, f.name) for f in dataclasses.fields(Progress)}),
    )
    container.write(path, FORMAT, headers.version(trainer.topology), headers.plain(header), tensors)


def load(cls: type[Trainer], path: str | os.PathLike[str], backend: str | None) -> Trainer:
    """The trainer that `save` wrote; see `Trainer.load_checkpoint`.

    Raises CorruptFileError (a ValueError) for what isn't a whole checkpoint, FileNotFoundError, BackendUnavailableError.
    """
    if backend is not None and backend not in (*backends.NAMES, "auto"):
        raise unknown_name("backend", backend, ("auto", *backends.NAMES))
    content, tensors = container.read(path, FORMAT, headers.VERSIONS)
    with container.blaming(path, FORMAT):
        return _restored(cls, headers.build(Header, content), tensors, backend)


def _restored(
    cls: type[Trainer], header: Header, tensors: dict[str, NDArray[Any]], backend: str | None
) -> Trainer:
    rule = dict(header.optimizer)
    optimizer = headers.build(type(optimizers.get(rule.pop("name", None))), rule, "the optimizer")
    _check_tensors(header, optimizer.n_slots, tensors)
    shift, scale = tensors.get("scaling.shift"), tensors.get("scaling.scale")
    trainer = cls(
        header.topology,
        optimizer=optimizer,
        corruption=header.corruption,
        sparsity=header.sparsity,
        feature_weight=tensors.get("feature_weight"),
        scaling=None if header.factor is None else Scaling(shift, scale, header.factor),
        backend=backend or header.backend,
        **dataclasses.asdict(header.options),
        **dataclasses.asdict(header.plan),
    )
    for space, flat in trainer.flat_buffers.items():
        for name, view in trainer.views(flat).items():
            if not trainer.topology.parameters[name].alias:
                view[...] = tensors[f"{space}.{name}"]
    for field in dataclasses.fields(Progress):
        setattr(trainer, field.name, getattr(header.progress, field.name))
    return trainer


def _check_tensors(header: Header, n_slots: int, tensors: dict[str, NDArray[Any]]) -> None:
    """Before anything is allocated for the widths that the header claims."""
    d, real = header.topology.n_features, "float64" if header.options.dtype == "float64" else "float32"
    spaces = [
        "params",
        *(f"slot{i}" for i in range(n_slots)),
        *(["ema"] if header.plan.ema is not None else []),
    ]
    shapes = headers.parameter_shapes(header.topology)
    expected: dict[str, tuple[headers.Shape, headers.Dtypes]] = {
        f"{space}.{name}": (shape, (real,)) for space in spaces for name, shape in shapes.items()
    }
    if "feature_weight" in tensors:
        expected["feature_weight"] = (d,), ("float64",)
    if header.factor is not None:
        expected |= headers.scaling_tensors(tensors, d)
        if not (np.isfinite(header.factor) and header.factor > 0):
            raise ValueError(f"factor must be finite and above 0, but is {header.factor}")
    headers.check_tensors(tensors, expected)
