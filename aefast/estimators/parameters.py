"""Constructor parameters: what each may be, one row a name, and what "auto" stands for."""

from __future__ import annotations

import math
import types
from collections.abc import Callable, Mapping
from typing import Any, TypeVar

import numpy as np

from aefast import activations, backends, checks, losses, optimizers, regularizers, schedules, threads
from aefast.checks import Check, boolean, choice, integer, real
from aefast.convolutional import DECODERS, LAYOUTS
from aefast.data import scaling
from aefast.estimators import images
from aefast.layers import POOLS

T = TypeVar("T")

AUTO_COMPONENTS = 32
# The numbers below were chosen on tables other than the ten of `python -m bench tables`, or on other splits of them.
# Hidden widths: a ReLU layer needs 2 d units to pass d values through unharmed, and 4 d rebuilt most tables better.
# The least costs nothing (a step of so small a net is overhead). Beyond d = 256 the width sets the time.
AUTO_HIDDEN_FACTOR, AUTO_HIDDEN_LEAST, AUTO_HIDDEN_MOST = 4, 64, 512
AUTO_WIDE, AUTO_HIDDEN_WIDE = 256, 256
# About 64 steps an epoch, so that 50 epochs of any table are some thousand steps: PCA's error is reached after 1,000 to 3,000.
AUTO_STEPS, AUTO_BATCH_LEAST, AUTO_BATCH = 64, 2, 256
# Adam's rate where it falls over the run, and where it stays, as it must when the run's end isn't known.
AUTO_RATE, AUTO_STEADY_RATE = 3e-3, 1e-3
AUTO_RATE_OPTIMIZERS = ("adam", "adamw")
# The penalty on the weights as a part of the summed loss is a constant, so it fades with the number of values, n d;
# held-out errors hardly change between half and twice of it. Below the two bounds it would only bias.
AUTO_DECAY, AUTO_DECAY_ROWS, AUTO_DECAY_FEATURES = 20.0, 100, 40
DTYPES = ("float32", "float64", "bfloat16")


def widths(name: str, value: Any) -> None:
    """The word "auto", or the widths from the input's side to the code; () for none."""
    if isinstance(value, str) and value == "auto":
        return
    sizes = hidden_widths(value)
    if sizes is None:
        raise checks.wrong_type(f"{name} must be 'auto' or a tuple of widths such as (256, 64) or ()", value)
    for size in sizes:
        integer(1)(f"each of {name}", size)


def sizes(name: str, value: Any, *, least: int = 0) -> None:
    """A width or a sequence of at least so many."""
    found = None if isinstance(value, str) else hidden_widths(value)
    if found is None or len(found) < least:
        raise checks.wrong_type(
            f"{name} must be a tuple of sizes such as (32, 64){'' if least else ' or ()'}", value
        )
    for size in found:
        integer(1)(f"each of {name}", size)


def channels(name: str, value: Any) -> None:
    """The number of channels of each convolution's map; one at least."""
    sizes(name, value, least=1)


def by_axis(name: str, value: Any) -> None:
    """An integer of at least 1, or two of them: (y, x)."""
    if isinstance(value, (tuple, list, np.ndarray)) and len(value) == 2:
        for size in value:
            integer(1)(f"each of {name}", size)
    elif checks.is_integer(value):
        integer(1)(name, value)
    else:
        raise checks.wrong_type(f"{name} must be an integer or a pair of them, (y, x)", value)


def padding(name: str, value: Any) -> None:
    """A word, a number of pixels for all sides, or (y, x), each a number or (before, after)."""
    if isinstance(value, str):
        choice(("same", "valid"))(name, value)
        return
    sides = value if isinstance(value, (tuple, list, np.ndarray)) else (value, value)
    flat = [n for side in sides for n in (side if isinstance(side, (tuple, list, np.ndarray)) else (side,))]
    if len(sides) != 2 or len(flat) > 4 or not all(map(checks.is_integer, flat)):
        raise checks.wrong_type(
            f"{name} must be 'same', 'valid', a number of pixels, (y, x) or ((top, bottom), (left, right))",
            value,
        )
    for pixels in flat:
        integer(0)(f"each of {name}", pixels)


def optimizer(name: str, value: Any) -> None:
    """A name of the table or one of its dataclasses."""
    optimizers.get(value)


def random_state(name: str, value: Any) -> None:
    """None, a seed, or one of NumPy's generators, from which a seed is drawn."""
    if value is None or value is np.random or isinstance(value, (np.random.RandomState, np.random.Generator)):
        return
    if not checks.is_integer(value):
        raise checks.wrong_type(
            f"{name} must be None, an integer in [0, 2^64), a numpy.random.RandomState or a numpy.random.Generator",
            value,
        )
    checks.seed(name, value)


def verbosity(name: str, value: Any) -> None:
    """True or False, or an integer of at least 0."""
    if not isinstance(value, (bool, np.bool_)):
        integer(0)(name, value)


def hidden_widths(value: Any) -> tuple[Any, ...] | None:
    """One width or a sequence of them as a tuple; None if it is neither."""
    if isinstance(value, np.ndarray) and value.ndim == 0:
        value = value.item()
    if checks.is_integer(value):
        return (value,)
    if isinstance(value, (tuple, list, np.ndarray)):
        return tuple(value)
    return None


def preset(**defaults: Any) -> Callable[[type[T]], type[T]]:
    """Decorates a subclass: its constructor is its base's, with these defaults in place of the base's.

    A function of its own, so that scikit-learn, `help` and the command line read the defaults out of its signature.
    """

    def decorate(cls: type[T]) -> type[T]:
        base: Any = cls.__mro__[1].__init__  # type: ignore[misc]
        made = types.FunctionType(base.__code__, base.__globals__, base.__name__, base.__defaults__)
        made.__kwdefaults__ = {**base.__kwdefaults__, **defaults}
        made.__annotations__, made.__qualname__ = base.__annotations__, f"{cls.__qualname__}.__init__"
        setattr(cls, "__init__", made)  # noqa: B010 (mypy takes no assignment to a method)
        return cls

    return decorate


RULES: dict[str, Check] = {
    "n_components": integer(1, "auto"),
    "hidden_layer_sizes": widths,
    "activation": choice(activations.NAMES),
    "latent_activation": choice(activations.NAMES, extra=("auto",)),
    "output_activation": choice(activations.NAMES, extra=("auto",)),
    "tied_weights": boolean,
    "image_shape": images.check_image_shape,
    "channels": channels,
    "kernel_size": by_axis,
    "stride": by_axis,
    "padding": padding,
    "decoder": choice(DECODERS),
    "pooling": choice(POOLS, none=True),
    "layout": choice(LAYOUTS),
    "variational": boolean,
    "loss": choice(losses.NAMES),
    "reduction": choice(losses.REDUCTIONS, extra=("auto",)),
    "scaling": choice(scaling.TABLE, none=True, extra=("auto",)),
    "corruption": choice(regularizers.CORRUPTIONS, none=True),
    "corruption_level": real(0.0),
    "sparsity": choice(regularizers.PENALTIES, none=True),
    "sparsity_weight": real(0.0),
    "rho": real(0.0, 1.0, above=True, below=True),
    "beta": real(0.0),
    "kl_warmup_epochs": real(0.0),
    "free_bits": real(0.0),
    "optimizer": optimizer,
    "learning_rate": real(0.0, auto=True),
    "schedule": choice(schedules.NAMES, extra=("auto",)),
    "warmup_steps": integer(0),
    "weight_decay": real(0.0, auto=True),
    "clip_norm": real(0.0, above=True, none=True),
    "ema": real(0.0, 1.0, below=True, none=True),
    "batch_size": integer(1, "auto"),
    "epochs": integer(1),
    "shuffle": boolean,
    "tol": real(0.0),
    "early_stopping": boolean,
    "validation_fraction": real(0.0, 1.0, above=True, below=True),
    "n_iter_no_change": integer(1),
    "backend": choice(backends.NAMES, extra=("auto",)),
    "dtype": choice(DTYPES),
    "n_threads": integer(1, None, high=threads.MAX_THREADS),
    "warm_start": boolean,
    "random_state": random_state,
    "verbose": verbosity,
}


def check(parameters: dict[str, Any], own: Mapping[str, Check] | None = None) -> None:
    """TypeError or ValueError for the first parameter that isn't what its row, or its model kind's own, says."""
    rules = {**RULES, **(own or {})}
    for name, value in parameters.items():
        if name in rules:
            rules[name](name, value)


# What a model that learns on can take up anew; everything else it was made from.
CHANGEABLE = frozenset(
    {
        *("learning_rate", "schedule", "warmup_steps", "clip_norm", "batch_size", "epochs", "shuffle"),
        *("tol", "n_iter_no_change", "early_stopping", "validation_fraction"),
        *("n_threads", "warm_start", "random_state", "verbose"),
    }
)


def check_unchanged(estimator: Any, fitted: dict[str, Any]) -> None:
    """ValueError for a parameter that has changed since the fit and that the fitted model can't take up."""
    for name, value in estimator.get_params(deep=False).items():
        if name not in CHANGEABLE and not _same(value, fitted[name]):
            raise ValueError(
                f"the model was fitted with {name}={fitted[name]!r} and can't learn on with {value!r}; set it back, or fit "
                "anew with warm_start=False"
            )


def _same(a: Any, b: Any) -> bool:
    sizes = hidden_widths(a), hidden_widths(b)
    return bool(a == b) if None in sizes else list(sizes[0] or ()) == list(sizes[1] or ())


def auto_components(n_features: int) -> int:
    """min(32, max(2, ceil(d/4)))."""
    return min(AUTO_COMPONENTS, max(2, math.ceil(n_features / 4)))


def sparse_activation(penalty: str) -> str:
    """The code's activation that fits a penalty: KL needs values in (0, 1)."""
    return "sigmoid" if penalty == "kl" else "relu"


def auto_hidden(n_features: int) -> tuple[int, ...]:
    """One hidden layer of 4 d units, at least 64 and at most 512; of 256 beyond d = 256."""
    if n_features > AUTO_WIDE:
        return (AUTO_HIDDEN_WIDE,)
    return (
        min(AUTO_HIDDEN_MOST, max(AUTO_HIDDEN_LEAST, 8 * math.ceil(AUTO_HIDDEN_FACTOR * n_features / 8))),
    )


def auto_batch(n: int) -> int:
    """The power of two nearest to n / 64, from 2 to 256, and not above n."""
    power = 1 << max(0, round(math.log2(n / AUTO_STEPS)))
    return min(n, max(AUTO_BATCH_LEAST, min(AUTO_BATCH, power)))


def auto_rate(
    learning_rate: Any, schedule: str, rule: optimizers.Optimizer, whole_run: bool
) -> tuple[Any, str]:
    """Learning rate and schedule with "auto" resolved; `whole_run` says that the run's end is known.

    Both auto: Adam's rate falls along a cosine over the whole run. A rate that was chosen stays, and so does every
    other optimizer's.
    """
    chosen = not isinstance(learning_rate, str) or rule.learning_rate is not None
    tuned = rule.name in AUTO_RATE_OPTIMIZERS
    if schedule == "auto":
        schedule = "cosine" if whole_run and tuned and not chosen else "constant"
    if isinstance(learning_rate, str):
        learning_rate = AUTO_RATE if tuned and schedule != "constant" else AUTO_STEADY_RATE
    return learning_rate, schedule


def auto_decay(n: int, d: int, reduction: str, rule: optimizers.Optimizer) -> float:
    """20 / (max(n, 100) max(d, 40)), times d where the loss is summed over features; 0 where decay is decoupled.

    A decoupled decay is a rate and no part of the loss, so that n and d don't tell what it should be.
    """
    if rule.decoupled_decay:
        return 0.0
    mean = AUTO_DECAY / (max(n, AUTO_DECAY_ROWS) * max(d, AUTO_DECAY_FEATURES))
    return mean if reduction == "mean" else mean * d


def seed_of(value: Any) -> int:
    """The seed that a `random_state` stands for: an integer is the seed itself; None and generators draw one."""
    from sklearn.utils import check_random_state

    random_state("random_state", value)
    if checks.is_integer(value):
        return int(value)
    most = np.iinfo(np.int32).max
    if isinstance(value, np.random.Generator):
        return int(value.integers(most))
    return int(check_random_state(value).randint(most))
