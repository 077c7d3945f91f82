"""Fitted estimators as .safetensors files: arrays as tensors, the rest as JSON in the header; nothing in it is code.

A file holds what inference needs (with `ema`, the averaged weights), not the optimizer's state.
"""

from __future__ import annotations

import dataclasses
import os
from numbers import Integral, Real
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
    epoch: int
    row_shape: list[int] | None = None

    def __post_init__(self) -> None:
        learned, d = self.learned, self.topology.n_features
        headers.check_counts(n_iter_=learned.n_iter_, epoch=self.epoch)
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
    if type(estimator) not in _known().values():
        raise TypeError(
            f"save knows aefast's own estimators ({', '.join(_known())}), but this is a {type(estimator).__name__}; "
            "keep others with joblib.dump"
        )
    trainer = estimator.trainer_
    stored = [name for name, p in trainer.topology.parameters.items() if not p.alias]
    weights = trainer.ema_parameters
    tensors: dict[str, NDArray[Any]] = {WEIGHTS + name: weights[name] for name in stored}
    if trainer.scaling.shift is not None:
        tensors |= {"scaling.shift": trainer.scaling.shift, "scaling.scale": trainer.scaling.scale}
    params = dict(estimator._fitted_parameters)
    if params["random_state"] is not None and not isinstance(params["random_state"], Integral):
        params["random_state"] = trainer.seed  # what a generator drew
    params = {name: _plain(name, value) for name, value in params.items()}
    header = Header(
        estimator=type(estimator).__name__,
        params=params,
        learned=Learned(**{f.name: getattr(estimator, f.name) for f in dataclasses.fields(Learned)}),
        feature_names=list(getattr(estimator, "feature_names_in_", ())),
        hidden_layer_sizes=list(estimator.hidden_layer_sizes_),
        topology=trainer.topology,
        factor=trainer.scaling.factor,
        corruption=trainer.settings.corruption,
        seed=trainer.seed,
        batch_size=trainer.batch_size,
        weight_decay=trainer.settings.weight_decay,
        epoch=trainer.epoch,
        row_shape=list(getattr(estimator, "row_shape_", ())) or None,
    )
    content = headers.plain(header)
    if header.row_shape is None:
        del content["row_shape"]
    container.write(path, FORMAT, headers.version(trainer.topology), content, tensors)


def load(path: str | os.PathLike[str], *, backend: str | None = None) -> Any:
    """The estimator that `save` wrote, fitted; `backend` overrides the one that it was made with.

    Raises CorruptFileError (a ValueError) for a file that isn't a whole model of a known version, FileNotFoundError where
    there is none, BackendUnavailableError where its backend can't run here.
    """
    if backend is not None:
        from aefast.estimators import parameters

        parameters.check({"backend": backend})  # an argument's fault isn't the file's
    content, tensors = container.read(path, FORMAT, headers.VERSIONS)
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
    # The optimizer's slots aren't in the file: they begin anew, and with them its steps.
    trainer.epoch = header.epoch
    for field in dataclasses.fields(Learned):
        setattr(estimator, field.name, getattr(header.learned, field.name))
    if header.feature_names:
        estimator.feature_names_in_ = np.array(header.feature_names, dtype=object)
    estimator.hidden_layer_sizes_ = tuple(header.hidden_layer_sizes)
    estimator.scaling_, estimator.trainer_ = scaling, trainer
    estimator._restore_shape(header.row_shape)
    estimator._fitted_parameters = estimator.get_params(deep=False)
    return estimator


def _unfitted(header: Header) -> Any:
    """The estimator with its constructor's parameters, each checked as `fit` would."""
    known = _known()
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
    return estimator


def _known() -> dict[str, Any]:
    from aefast import estimators

    return {name: getattr(estimators, name) for name in estimators.__all__}


def _plain(name: str, value: Any) -> Any:
    """A parameter as JSON knows it."""
    if isinstance(value, optimizers.Optimizer):
        fields = {field: _plain(f"{name}.{field}", item) for field, item in dataclasses.asdict(value).items()}
        return {"optimizer": value.name, **fields}
    if isinstance(value, np.ndarray):
        value = value.tolist()
    if isinstance(value, (tuple, list)):
        return {"tuple": [_plain(name, item) for item in value]}
    if value is None or isinstance(value, str):
        return value
    if isinstance(value, (bool, np.bool_)):
        return bool(value)
    if isinstance(value, Integral):
        return int(value)
    if isinstance(value, Real):
        return float(value)
    raise TypeError(
        f"{name} is a {type(value).__name__}, which no file can hold; keep the model with joblib.dump"
    )


def _revived(value: Any) -> Any:
    if isinstance(value, dict) and "optimizer" in value:
        fields = {name: item for name, item in value.items() if name != "optimizer"}
        return headers.build(type(optimizers.get(value["optimizer"])), fields, "the optimizer")
    if isinstance(value, dict):
        if list(value) != ["tuple"] or not isinstance(value["tuple"], list):
            raise TypeError(f"a parameter can't be an object of {', '.join(value)}")
        return tuple(_revived(item) for item in value["tuple"])
    return value
