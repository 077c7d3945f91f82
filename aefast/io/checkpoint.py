"""Checkpoints of a trainer: everything that the next step depends on, as one safetensors file."""

from __future__ import annotations

import dataclasses
import json
import os
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from aefast import optimizers
from aefast.data.scaling import Scaling
from aefast.io.files import replace_file
from aefast.regularizers import Corruption, Sparsity
from aefast.topology import Topology

if TYPE_CHECKING:
    from aefast.trainer import Trainer

FORMAT = "aefast-checkpoint"
VERSION = 1
# Constructor arguments that are attributes of the trainer, and those that are attributes of its settings.
TRAINER_FIELDS = (
    *("learning_rate", "schedule", "warmup_steps", "clip_norm", "batch_size", "beta", "kl_warmup_epochs"),
    *("dtype", "n_threads", "nonfinite", "shuffle", "seed"),
)
SETTINGS_FIELDS = ("loss", "reduction", "weight_decay", "ema", "free_bits")
PROGRESS_FIELDS = ("n_steps", "epoch", "position", "epoch_loss")


def save(trainer: Trainer, path: str | os.PathLike[str]) -> None:
    """Writes parameters, slots, averages, counters and settings; see `Trainer.save_checkpoint`."""
    from safetensors.numpy import save as to_bytes

    settings = trainer.settings
    tensors = {
        f"{space}.{name}": np.ascontiguousarray(view)
        for space, flat in trainer.flat_buffers.items()
        for name, view in trainer.views(flat).items()
        if not trainer.topology.parameters[name].alias
    }
    scaling = trainer.scaling
    if trainer.feature_weight is not None:
        tensors["feature_weight"] = trainer.feature_weight
    if scaling is not None and scaling.shift is not None:
        tensors |= {"scaling.shift": scaling.shift, "scaling.scale": scaling.scale}
    header: dict[str, Any] = {name: getattr(trainer, name) for name in TRAINER_FIELDS}
    header |= {name: getattr(settings, name) for name in SETTINGS_FIELDS}
    header |= {
        "topology": trainer.topology.to_dict(),
        "backend": trainer.backend_name,
        "optimizer": {"name": settings.optimizer.name, **dataclasses.asdict(settings.optimizer)},
        "corruption": settings.corruption and dataclasses.asdict(settings.corruption),
        "sparsity": settings.sparsity and dataclasses.asdict(settings.sparsity),
        "factor": None if scaling is None else scaling.factor,
        "progress": {name: getattr(trainer, name) for name in PROGRESS_FIELDS},
    }
    metadata = {"format": FORMAT, "version": str(VERSION), "trainer": json.dumps(header)}
    replace_file(path, to_bytes(tensors, metadata))


def load(cls: type[Trainer], path: str | os.PathLike[str], backend: str | None) -> Trainer:
    """The trainer that `save` wrote; see `Trainer.load_checkpoint`."""
    header, tensors = _read(path)
    rule = dict(header["optimizer"])
    optimizer = type(optimizers.get(rule.pop("name")))(**rule)
    factor, shift, scale = header["factor"], tensors.get("scaling.shift"), tensors.get("scaling.scale")
    trainer = cls(
        Topology.from_dict(header["topology"]),
        optimizer=optimizer,
        corruption=header["corruption"] and Corruption(**header["corruption"]),
        sparsity=header["sparsity"] and Sparsity(**header["sparsity"]),
        feature_weight=tensors.get("feature_weight"),
        scaling=None if factor is None else Scaling(shift, scale, factor),
        backend=backend or header["backend"],
        **{name: header[name] for name in (*TRAINER_FIELDS, *SETTINGS_FIELDS)},
    )
    for space, flat in trainer.flat_buffers.items():
        for name, view in trainer.views(flat).items():
            if not trainer.topology.parameters[name].alias:
                stored = tensors.get(f"{space}.{name}")
                if stored is None or stored.shape != view.shape or stored.dtype != view.dtype:
                    raise ValueError(
                        f"{os.fspath(path)}: {space}.{name} isn't the {view.dtype} {view.shape} expected"
                    )
                view[...] = stored
    for name in PROGRESS_FIELDS:
        setattr(trainer, name, header["progress"][name])
    return trainer


def _read(path: str | os.PathLike[str]) -> tuple[dict[str, Any], dict[str, NDArray[Any]]]:
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(path, framework="numpy") as file:
            metadata = file.metadata() or {}
            if (metadata.get("format"), metadata.get("version")) != (FORMAT, str(VERSION)):
                raise ValueError(
                    f"{os.fspath(path)} holds {metadata.get('format')!r} version {metadata.get('version')!r}, "
                    f"but a {FORMAT!r} of version {VERSION} was expected"
                )
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 (not a mapping)
            header: dict[str, Any] = json.loads(metadata["trainer"])
    except (SafetensorError, json.JSONDecodeError, KeyError) as error:
        raise ValueError(f"{os.fspath(path)} is not a whole checkpoint ({error})") from error
    return header, tensors
