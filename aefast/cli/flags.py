"""The flags of `aefast fit`: one for every parameter of the estimators' constructors, read from their signatures."""

from __future__ import annotations

import argparse
import inspect
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cache
from typing import Any

from aefast import activations, estimators, losses, optimizers, regularizers, schedules
from aefast.errors import unknown_name
from aefast.estimators import parameters

MODELS: dict[str, type[Any]] = {
    "autoencoder": estimators.Autoencoder,
    "denoising": estimators.DenoisingAutoencoder,
    "sparse": estimators.SparseAutoencoder,
    "vae": estimators.VariationalAutoencoder,
    "conv": estimators.ConvAutoencoder,
}
ALIASES = {"variational": "vae", "convolutional": "conv"}
# Parameters that another flag or the command itself decides.
LEFT_OUT = frozenset({"verbose", "warm_start"})
NONE = "None"
RENAMED = {"random_state": "seed"}


def _of(names: Any) -> str:
    return ", ".join(names)


# What a flag is for, by heading. A parameter without a line here has a flag all the same.
HELP: dict[str, dict[str, str]] = {
    "sizes and activations": {
        "n_components": "width of the code; none: the last map is it",
        "hidden_layer_sizes": "widths from input to code, such as 256,64; none for no hidden layer",
        "activation": f"of hidden layers: {_of(activations.NAMES)}",
        "latent_activation": "of the code: one of the same",
        "output_activation": "of the reconstruction: one of the same; auto: sigmoid for bce, else identity",
        "tied_weights": "the decoder's weights are the encoder's, transposed",
    },
    "images": {
        "image_shape": "C,H,W or H,W; auto: that of DATA, of rows a square grey image; signal: one-dimensional",
        "channels": "of each convolution's map, such as 32,64",
        "kernel_size": "of the convolutions: N or Y,X",
        "stride": "of the convolutions, or of the pooling",
        "padding": "same, valid, or pixels",
        "decoder": "transpose: transposed convolutions; resize: upsampling and convolutions",
        "pooling": "max, average or none: what makes the maps smaller in place of the stride",
        "layout": "order of DATA's axes: channels_first or channels_last",
        "variational": "a Gaussian code, as of vae",
    },
    "loss and penalties": {
        "loss": _of(losses.NAMES),
        "reduction": "mean over the features, or their sum",
        "scaling": "standard, minmax, global (all values alike), pixel (x / 255) or none; auto: pixel for images, none for "
        "bce, else standard",
        "corruption": f"noise on the input: {_of(regularizers.CORRUPTIONS)} or none",
        "corruption_level": "its standard deviation or probability, in scaled space",
        "sparsity": f"penalty on the code: {_of(regularizers.PENALTIES)} or none",
        "sparsity_weight": "its weight in the loss",
        "rho": "wanted mean activation of a code unit (kl)",
        "beta": "weight of the KL term",
        "kl_warmup_epochs": "epochs in which beta grows from 0",
        "free_bits": "nats of KL a row that cost nothing",
    },
    "training": {
        "epochs": "most passes over the rows",
        "batch_size": "rows a step; auto: about n / 64, from 2 to 256",
        "optimizer": _of(optimizers.NAMES),
        "learning_rate": "size of a step",
        "schedule": f"of the learning rate: {_of(schedules.NAMES)}",
        "warmup_steps": "steps in which the learning rate grows from 0",
        "weight_decay": "pull of the weights towards 0",
        "clip_norm": "largest norm of the gradient, or none",
        "ema": "decay of the averaged weights used after training, or none",
        "shuffle": "another order of the rows each epoch",
        "random_state": "same seed, same model; none: another each time",
    },
    "stopping": {
        "tol": "a loss counts as better by this part of its best value",
        "n_iter_no_change": "epochs without a better loss that end training",
        "early_stopping": "watch held-out rows, keep what was best on them",
        "validation_fraction": "part of the rows held out for it, where --validation gives none",
    },
    "arithmetic": {
        "backend": "who does it: auto takes the fastest that runs here",
        "dtype": _of(parameters.DTYPES),
        "n_threads": "threads; none: what the environment allows",
    },
}
OTHER = "other"


@dataclass(frozen=True)
class Flag:
    """One constructor parameter: its name, and per model that takes it the default and the annotation."""

    name: str
    defaults: dict[str, Any]
    annotation: str

    @property
    def option(self) -> str:
        """As it is typed."""
        return "--" + RENAMED.get(self.name, self.name).replace("_", "-")

    def parse(self, text: str) -> Any:
        """The Python value; ArgumentTypeError where the parameter's rule refuses it."""
        value = _value(text, self.annotation)
        try:
            if self.name == "random_state":
                value is None or parameters.seed_of(value)
            elif (
                value is not None and self.name in parameters.RULES
            ):  # which model takes None, its own rule says
                parameters.RULES[self.name](self.name, value)
        except (TypeError, ValueError) as error:
            raise argparse.ArgumentTypeError(str(error)) from None
        return value

    def default_text(self) -> str:
        """`auto`, or `mean; sparse, vae: sum` where the models differ."""
        by_value: dict[str, list[str]] = {}
        for model, value in self.defaults.items():
            by_value.setdefault(_text(value), []).append(model)
        (first, _), *others = by_value.items()
        return "; ".join([first, *(f"{_of(models)}: {value}" for value, models in others)])


def model_name(text: str) -> str:
    """A name of `MODELS`, from it or its alias."""
    name = ALIASES.get(text, text)
    if name not in MODELS:
        raise argparse.ArgumentTypeError(str(unknown_name("model", text, [*MODELS, *ALIASES])))
    return name


@cache
def flags() -> dict[str, Flag]:
    """By parameter, in the order of the signatures."""
    found: dict[str, Flag] = {}
    for model, kind in MODELS.items():
        for name, parameter in inspect.signature(kind).parameters.items():
            if name not in LEFT_OUT:
                annotation = str(parameter.annotation)
                flag = found.setdefault(name, Flag(name, {}, annotation))
                if NONE in annotation.split(" | ") and NONE not in flag.annotation:
                    flag = found[name] = Flag(name, flag.defaults, f"{flag.annotation} | {NONE}")
                flag.defaults[model] = parameter.default
    return found


def add(parser: argparse.ArgumentParser) -> None:
    """Adds every flag, grouped; what wasn't typed is absent from the namespace."""
    for heading, entries in _grouped():
        group = parser.add_argument_group(heading)
        for flag, help_text in entries:
            only = [] if len(flag.defaults) == len(MODELS) else [f"{_of(flag.defaults)} only"]
            notes = "; ".join([*only, f"default: {flag.default_text()}"])
            options: dict[str, Any] = {
                "dest": flag.name,
                "default": argparse.SUPPRESS,
                "help": f"{help_text} ({notes})".replace("%", "%%").lstrip(),
            }
            if flag.annotation == "bool":
                group.add_argument(flag.option, action=argparse.BooleanOptionalAction, **options)
            else:
                group.add_argument(flag.option, type=flag.parse, metavar=_metavar(flag), **options)


def chosen(arguments: argparse.Namespace, model: str) -> dict[str, Any]:
    """What was typed, as constructor arguments of `model`; ValueError for a flag that it doesn't take."""
    given = {name: getattr(arguments, name) for name in flags() if hasattr(arguments, name)}
    for name in given:
        flag = flags()[name]
        if model not in flag.defaults:
            raise ValueError(
                f"the model {model} takes no {flag.option}; models that do: {_of(flag.defaults)} (--model)"
            )
    try:
        MODELS[model](**given)._check_parameters()
    except TypeError as error:  # of a value that another model takes
        raise ValueError(f"the model {model}: {error}") from None
    return given


def _grouped() -> Iterator[tuple[str, list[tuple[Flag, str]]]]:
    left = dict(flags())
    for heading, lines in HELP.items():
        yield heading, [(left.pop(name), text) for name, text in lines.items() if name in left]
    if left:
        yield OTHER, [(flag, "") for flag in left.values()]


def _value(text: str, annotation: str) -> Any:
    """The text as the number, widths, None or word that it looks like."""
    word = text.strip()
    if "Sequence" in annotation:
        if word.lower() in ("", "none", "()"):
            return ()
        if word[0].isdigit() and "," not in word and "int" in annotation.partition("Sequence")[0]:
            return _number(word)
        if word[0].isdigit() or "," in word:
            return tuple(_number(part.strip()) for part in word.strip("()").rstrip(",").split(","))
        return word
    if word.lower() == "none" and ("None" in annotation or annotation == "Any"):
        return None
    return _number(word)


def _number(word: str) -> Any:
    kinds: tuple[Callable[[str], Any], ...] = (int, float)
    for kind in kinds:
        try:
            return kind(word)
        except ValueError:
            pass
    return word


def _text(value: Any) -> str:
    """A default as it would be typed."""
    if value is None:
        return "none"
    if isinstance(value, bool):
        return "yes" if value else "no"
    return ",".join(map(str, value)) or "none" if isinstance(value, tuple) else str(value)


def _metavar(flag: Flag) -> str:
    if "Sequence" in flag.annotation:
        return "N,N"
    if "int" in flag.annotation or flag.name == "random_state":
        return "N"
    return "X" if "float" in flag.annotation else "NAME"
