"""Fitted estimators as .safetensors files: arrays as tensors, the rest as JSON in the header; nothing in it is code.

A file holds what inference needs (with `ema`, the averaged weights), not the optimizer's state.
"""

from __future__ import annotations

import dataclasses
import json
import os
from collections.abc import Mapping
from numbers import Integral
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from aefast import optimizers
from aefast.data.scaling import Scaling
from aefast.errors import unknown_name
from aefast.io.files import replace_file
from aefast.regularizers import Corruption
from aefast.topology import Topology

Array = NDArray[Any]
FORMAT = "aefast-model"
VERSION = 1
WEIGHTS = "parameters."
SCALING = "scaling."
# Attributes that go into the header as they are.
PLAIN = ("n_features_in_", "n_components_", "n_iter_", "loss_curve_", "validation_loss_curve_")


def save(estimator: Any, path: str | os.PathLike[str]) -> None:
    """Writes a fitted estimator to `path`, whole or not at all: a new file takes the old one's place at the end.

    Raises sklearn's NotFittedError for an estimator that isn't fitted, OSError where the file can't be written.
    """
    from safetensors.numpy import save as to_bytes
    from sklearn.utils.validation import check_is_fitted

    check_is_fitted(estimator, "trainer_")
    trainer = estimator.trainer_
    stored = [name for name, p in trainer.topology.parameters.items() if not p.alias]
    tensors = {WEIGHTS + name: np.ascontiguousarray(trainer.ema_parameters[name]) for name in stored}
    if trainer.scaling.shift is not None:
        tensors |= {SCALING + "shift": trainer.scaling.shift, SCALING + "scale": trainer.scaling.scale}
    corruption = trainer.settings.corruption
    header = {
        "class": type(estimator).__name__,
        "params": {name: _plain(value) for name, value in estimator.get_params(deep=False).items()},
        "learned": {name: getattr(estimator, name) for name in PLAIN},
        "feature_names": getattr(estimator, "feature_names_in_", np.empty(0)).tolist(),
        "hidden_layer_sizes": list(estimator.hidden_layer_sizes_),
        "topology": trainer.topology.to_dict(),
        "factor": trainer.scaling.factor,
        "corruption": None if corruption is None else dataclasses.asdict(corruption),
        "trainer": {"seed": trainer.seed, "batch_size": trainer.batch_size},
        "progress": {"n_steps": trainer.n_steps, "epoch": trainer.epoch},
    }
    header["params"]["random_state"] = _seed(estimator.random_state, trainer.seed)
    # One entry: the order of several is random, and the same model should be the same bytes.
    metadata = {FORMAT: json.dumps({"version": VERSION, **header})}
    replace_file(path, to_bytes(tensors, metadata))


def load(path: str | os.PathLike[str], *, backend: str | None = None) -> Any:
    """The estimator that `save` wrote, fitted; `backend` overrides the one that it was made with.

    Raises ValueError for a file that isn't a model of a known version, FileNotFoundError where there is none.
    """
    header, tensors = _read(Path(path))
    from aefast import estimators

    known = {name: getattr(estimators, name) for name in estimators.__all__}
    if header["class"] not in known:
        raise unknown_name("model class", header["class"], known)
    params = {name: _revive(value) for name, value in header["params"].items()}
    estimator = known[header["class"]](**params)
    if backend is not None:
        estimator.set_params(backend=backend)
    topology = Topology.from_dict(header["topology"])
    weights = {
        name.removeprefix(WEIGHTS): value for name, value in tensors.items() if name.startswith(WEIGHTS)
    }
    _check_shapes(topology, weights, path)
    scaling = Scaling(tensors.get(SCALING + "shift"), tensors.get(SCALING + "scale"), float(header["factor"]))
    corruption = None if header["corruption"] is None else Corruption(**header["corruption"])
    trainer = estimator.make_trainer(topology, scaling, corruption, **header["trainer"])
    trainer.load_parameters(weights)
    trainer.n_steps, trainer.epoch = int(header["progress"]["n_steps"]), int(header["progress"]["epoch"])
    for name in PLAIN:
        setattr(estimator, name, header["learned"][name])
    if header["feature_names"]:
        estimator.feature_names_in_ = np.array(header["feature_names"], dtype=object)
    estimator.hidden_layer_sizes_ = tuple(header["hidden_layer_sizes"])
    estimator.scaling_, estimator.trainer_ = scaling, trainer
    return estimator


def _read(path: Path) -> tuple[dict[str, Any], dict[str, Array]]:
    from safetensors import SafetensorError, safe_open

    if not path.is_file():
        raise FileNotFoundError(f"there is no file {path}")
    try:
        with safe_open(path, framework="numpy") as file:
            metadata = file.metadata() or {}
            if FORMAT not in metadata:
                raise ValueError(f"{path} is a safetensors file, but not a model that aefast saved")
            header: dict[str, Any] = json.loads(metadata[FORMAT])
            if header["version"] != VERSION:
                raise ValueError(
                    f"{path} has model format {header['version']}, but this aefast reads {VERSION}; upgrade aefast"
                )
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 (not a mapping)
    except (SafetensorError, json.JSONDecodeError, KeyError) as error:
        raise ValueError(f"{path} is not a whole .safetensors model file ({error})") from error
    return header, tensors


def _check_shapes(topology: Topology, weights: Mapping[str, Array], path: object) -> None:
    """Before anything is allocated for the widths that the header claims."""
    expected = {
        name: (p.cols,) if p.vector else (p.rows, p.cols)
        for name, p in topology.parameters.items()
        if not p.alias
    }
    if expected != {name: value.shape for name, value in weights.items()}:
        raise ValueError(f"{path}: the tensors' names and shapes aren't those of its topology")


def _plain(value: Any) -> Any:
    """A parameter as JSON knows it."""
    if isinstance(value, optimizers.Optimizer):
        return {"optimizer": value.name, **dataclasses.asdict(value)}
    if isinstance(value, (np.generic, np.ndarray)):
        return value.tolist()
    if isinstance(value, (tuple, list)):
        return {"tuple": [_plain(item) for item in value]}
    return value if value is None or isinstance(value, (bool, int, float, str)) else None


def _revive(value: Any) -> Any:
    if isinstance(value, dict) and "optimizer" in value:
        fields = {name: item for name, item in value.items() if name != "optimizer"}
        return type(optimizers.get(value["optimizer"]))(**fields)
    if isinstance(value, dict):
        return tuple(_revive(item) for item in value["tuple"])
    return value


def _seed(random_state: Any, drawn: int) -> int | None:
    """An integer or None as given; of a RandomState, the seed that it drew."""
    if random_state is None:
        return None
    return int(random_state) if isinstance(random_state, Integral) else drawn
