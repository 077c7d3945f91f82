"""Fitted estimators as .safetensors files: arrays as tensors, the rest as JSON in the header; nothing in it is code.

A file holds what inference needs (with `ema`, the averaged weights), not the optimizer's state.
"""

from __future__ import annotations

import dataclasses
import os
from numbers import Integral
from typing import Any

import numpy as np
from numpy.typing import NDArray

from aefast import optimizers
from aefast.data.scaling import Scaling
from aefast.errors import unknown_name
from aefast.io import container, headers
from aefast.regularizers import Corruption
from aefast.topology import Topology

FORMAT = "aefast-model"
VERSION = 2
WEIGHTS = "parameters."


@dataclasses.dataclass(frozen=True)
class Learned:
    """Attributes that go into the header, and back, as they are."""

    n_features_in_: int
    n_components_: int
    n_iter_: int
    loss_curve_: list[float]
    validation_loss_curve_: list[float]


@dataclasses.dataclass(frozen=True)
class Header:
    """What the file says besides its tensors; see `container` for the file."""

    estimator: str
    params: dict[str, Any]
    learned: Learned
    feature_names: list[str]
    hidden_layer_sizes: list[int]
    topology: Topology
    factor: float
    corruption: Corruption | None
    seed: int
    batch_size: int
    weight_decay: float
    n_steps: int
    epoch: int

    def __post_init__(self) -> None:
        learned, d = self.learned, self.topology.n_features
        headers.check_counts(n_iter_=learned.n_iter_, n_steps=self.n_steps, epoch=self.epoch)
        if (learned.n_features_in_, learned.n_components_) != (d, self.topology.n_components):
            raise ValueError("n_features_in_ and n_components_ aren't those of its topology")
        if self.feature_names and len(self.feature_names) != d:
            raise ValueError(f"there are {len(self.feature_names)} feature_names, but {d} features")
        if any(width < 1 for width in self.hidden_layer_sizes):
            raise ValueError(f"hidden_layer_sizes must be at least 1, but are {self.hidden_layer_sizes}")
        if not (np.isfinite(self.factor) and self.factor > 0):
            raise ValueError(f"factor must be finite and above 0, but is {self.factor}")


def save(estimator: Any, path: str | os.PathLike[str]) -> None:
    """Writes a fitted estimator to `path`, whole or not at all: a new file takes the old one's place at the end.

    Raises sklearn's NotFittedError for an estimator that isn't fitted, OSError where the file can't be written.
    """
    from sklearn.utils.validation import check_is_fitted

    check_is_fitted(estimator, "trainer_")
    trainer = estimator.trainer_
    stored = [name for name, p in trainer.topology.parameters.items() if not p.alias]
    weights = trainer.ema_parameters
    tensors: dict[str, NDArray[Any]] = {WEIGHTS + name: weights[name] for name in stored}
    if trainer.scaling.shift is not None:
        tensors |= {"scaling.shift": trainer.scaling.shift, "scaling.scale": trainer.scaling.scale}
    params = {name: _plain(value) for name, value in estimator.get_params(deep=False).items()}
    header = Header(
        estimator=type(estimator).__name__,
        params=params | {"random_state": _seed(estimator.random_state, trainer.seed)},
        learned=Learned(**{f.name: getattr(estimator, f.name) for f in dataclasses.fields(Learned)}),
        feature_names=list(getattr(estimator, "feature_names_in_", ())),
        hidden_layer_sizes=list(estimator.hidden_layer_sizes_),
        topology=trainer.topology,
        factor=trainer.scaling.factor,
        corruption=trainer.settings.corruption,
        seed=trainer.seed,
        batch_size=trainer.batch_size,
        weight_decay=trainer.settings.weight_decay,
        n_steps=trainer.n_steps,
        epoch=trainer.epoch,
    )
    container.write(path, FORMAT, VERSION, dataclasses.asdict(header), tensors)


def load(path: str | os.PathLike[str], *, backend: str | None = None) -> Any:
    """The estimator that `save` wrote, fitted; `backend` overrides the one that it was made with.

    Raises CorruptFileError (a ValueError) for a file that isn't a whole model of a known version, FileNotFoundError where
    there is none, BackendUnavailableError where its backend can't run here.
    """
    if backend is not None:
        from aefast.estimators import parameters

        parameters.check({"backend": backend})  # an argument's fault isn't the file's
    content, tensors = container.read(path, FORMAT, (VERSION,))
    with container.blaming(path, FORMAT):
        return _restored(headers.build(Header, content), tensors, backend)


def _restored(header: Header, tensors: dict[str, NDArray[Any]], backend: str | None) -> Any:
    estimator = _unfitted(header)
    if backend is not None:
        estimator.set_params(backend=backend)
    topology = header.topology
    shapes = headers.parameter_shapes(topology)
    expected = {WEIGHTS + name: (shape, ("float32", "float64")) for name, shape in shapes.items()}
    headers.check_tensors(tensors, expected | headers.scaling_tensors(tensors, topology.n_features))
    scaling = Scaling(tensors.get("scaling.shift"), tensors.get("scaling.scale"), float(header.factor))
    trainer = estimator.make_trainer(
        topology,
        scaling,
        header.corruption,
        seed=header.seed,
        batch_size=header.batch_size,
        weight_decay=header.weight_decay,
    )
    trainer.load_parameters({name: tensors[WEIGHTS + name] for name in shapes})
    trainer.n_steps, trainer.epoch = header.n_steps, header.epoch
    for field in dataclasses.fields(Learned):
        setattr(estimator, field.name, getattr(header.learned, field.name))
    if header.feature_names:
        estimator.feature_names_in_ = np.array(header.feature_names, dtype=object)
    estimator.hidden_layer_sizes_ = tuple(header.hidden_layer_sizes)
    estimator.scaling_, estimator.trainer_ = scaling, trainer
    return estimator


def _unfitted(header: Header) -> Any:
    """The estimator with its constructor's parameters, each checked as `fit` would."""
    from aefast import estimators

    known = {name: getattr(estimators, name) for name in estimators.__all__}
    if header.estimator not in known:
        raise unknown_name("model class", header.estimator, known)
    cls = known[header.estimator]
    names = cls().get_params(deep=False)
    for name in header.params:
        if name not in names:
            raise unknown_name(f"parameter of {header.estimator}", name, names)
    params = {name: _revived(value) for name, value in header.params.items()}
    estimator = cls(**params)
    estimator._check_parameters()
    headers.check_threads(params.get("n_threads"))
    for name in ("random_state", "verbose"):
        value = params.get(name)
        if not (value is None or isinstance(value, int)):
            raise TypeError(f"{name} must be an integer, but is {type(value).__name__}")
    return estimator


def _plain(value: Any) -> Any:
    """A parameter as JSON knows it."""
    if isinstance(value, optimizers.Optimizer):
        return {"optimizer": value.name, **dataclasses.asdict(value)}
    if isinstance(value, (np.generic, np.ndarray)):
        return value.tolist()
    if isinstance(value, (tuple, list)):
        return {"tuple": [_plain(item) for item in value]}
    return value if value is None or isinstance(value, (bool, int, float, str)) else None


def _revived(value: Any) -> Any:
    if isinstance(value, dict) and "optimizer" in value:
        fields = {name: item for name, item in value.items() if name != "optimizer"}
        return headers.build(type(optimizers.get(value["optimizer"])), fields, "the optimizer")
    if isinstance(value, dict):
        if list(value) != ["tuple"] or not isinstance(value["tuple"], list):
            raise TypeError(f"a parameter can't be an object of {', '.join(value)}")
        return tuple(_revived(item) for item in value["tuple"])
    return value


def _seed(random_state: Any, drawn: int) -> int | None:
    """An integer or None as given; of a RandomState, the seed that it drew."""
    if random_state is None:
        return None
    return int(random_state) if isinstance(random_state, Integral) else drawn
