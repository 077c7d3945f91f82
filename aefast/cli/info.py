"""`aefast info`: what runs on this machine, or what a model file holds."""

from __future__ import annotations

import argparse
import inspect
import os
from pathlib import Path
from typing import Any

from aefast import backends
from aefast.cli import machine
from aefast.threads import num_threads

SHOWN_NAMES = 12


def configure_info(parser: argparse.ArgumentParser) -> None:
    """[MODEL]."""
    parser.description = (
        "Print what runs here, and of the rest why not: what a bug report should hold.\n"
        "With MODEL, print what that file is."
    )
    parser.add_argument("model", metavar="MODEL", nargs="?", help="a model file")
    parser.set_defaults(command=info)


def info(arguments: argparse.Namespace) -> None:
    """About the machine or the model."""
    if arguments.model is None:
        about_machine()
    else:
        about_model(Path(arguments.model))


def about_machine() -> None:
    """Versions, processor, threads, backends and packages."""
    print("\n".join(machine.heading()))
    print(f"threads: {num_threads()} of {os.cpu_count()} processors")
    print("backends, in the order that backend='auto' tries:")
    for name, state in backends.backends().items():
        print(f"  {name:8} {state}")
    print("packages:")
    for name in machine.PACKAGES:
        print(f"  {name:12} {machine.version_of(name) or 'not installed'}")


def about_model(path: Path) -> None:
    """Class, sizes, parameters, how the training ended, feature names."""
    from aefast.io import load

    model = load(path)
    trainer, d = model.trainer_, model.n_features_in_
    n = sum(value.size for name, value in trainer.parameters.items() if not _alias(trainer, name))
    print(f"{type(model).__name__}, {path} ({path.stat().st_size:,} bytes)")
    print(f"sizes: {sizes(model)}; the code has {model.n_components_}")
    print(f"weights: {n:,} numbers, {model.dtype}")
    print(f"parameters: {_settings(model)}")
    print(f"scaling: {scaling(model)}; loss: {model.loss}, {trainer.settings.reduction} over the features")
    print(f"training: {_training(model)}")
    names = list(getattr(model, "feature_names_in_", ()))
    more = f" and {len(names) - SHOWN_NAMES} more" if len(names) > SHOWN_NAMES else ""
    print(f"features: {d:,}, {', '.join(names[:SHOWN_NAMES]) + more if names else 'without names'}")
    print(f"backend here: {trainer.backend_name}")


def sizes(model: Any) -> str:
    """Widths from input to output."""
    topology = model.trainer_.topology
    first = topology.layers[0]
    if first.in_shape is not None:
        outputs = [layer.out_shape or layer.n_out for layer in topology.layers]
        if topology.variational:  # its layer puts out means and variances
            outputs[topology.n_encoder - 1] = topology.n_components
        return "-".join(map(_size, (first.in_shape, *outputs)))
    d, hidden, code = model.n_features_in_, model.hidden_layer_sizes_, model.n_components_
    return "-".join(map(str, (d, *hidden, code, *hidden[::-1], d)))


def _size(shape: int | tuple[int, int, int]) -> str:
    """A width, or height x width x channels."""
    return str(shape) if isinstance(shape, int) else "x".join(map(str, shape))


def scaling(model: Any) -> str:
    """By name, what "auto" became."""
    found = model.scaling_
    if found.shift is None:
        return "none" if found.factor == 1.0 else "pixel"
    return str(model.auto_scaling if model.scaling == "auto" else model.scaling)


def _alias(trainer: Any, name: str) -> bool:
    return bool(trainer.topology.parameters[name].alias)


def _settings(model: Any) -> str:
    """The constructor's parameters that differ from their defaults."""
    defaults = {name: p.default for name, p in inspect.signature(type(model)).parameters.items()}
    set_ = [
        f"{name}={value!r}" for name, value in model.get_params(deep=False).items() if value != defaults[name]
    ]
    return f"{', '.join(set_)}; all others are the defaults" if set_ else "the defaults"


def _training(model: Any) -> str:
    trainer = model.trainer_
    told = f"{model.n_iter_:,} epochs, {trainer.n_steps:,} steps"
    for what, curve in (("loss", model.loss_curve_), ("validation loss", model.validation_loss_curve_)):
        if curve:
            told += f"; {what} {curve[0]:.5g} at first, {curve[-1]:.5g} at the end"
            told += f", best {min(curve):.5g}" if min(curve) < curve[-1] else ""
    return told
