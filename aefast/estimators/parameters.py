"""Constructor parameters: what each may be, one row a name, and what "auto" stands for."""

from __future__ import annotations

import math
import types
from collections.abc import Callable, Iterable
from numbers import Integral, Real
from typing import Any, TypeVar

import numpy as np

from aefast import activations, backends, losses, optimizers, regularizers, schedules
from aefast.data import scaling
from aefast.errors import unknown_name

Check = Callable[[str, Any], None]
T = TypeVar("T")

AUTO_COMPONENTS = 32
# Beyond this width one hidden layer leaves too steep a step to the code.
AUTO_TWO_LAYERS = 256
AUTO_BATCH = 256
DTYPES = ("float32", "float64", "bfloat16")


def _is_integer(value: Any) -> bool:
    return isinstance(value, Integral) and not isinstance(value, (bool, np.bool_))


def integer(low: int, *words: str | None) -> Check:
    """An integer of at least `low`, or one of `words`."""

    def check(name: str, value: Any) -> None:
        if any(value is w if w is None else isinstance(value, str) and value == w for w in words):
            return
        wanted = f"{name} must be an integer of at least {low}" + "".join(f" or {w!r}" for w in words)
        if not _is_integer(value):
            raise TypeError(f"{wanted}, but is {value!r} ({type(value).__name__})")
        if int(value) < low:
            raise ValueError(f"{wanted}, but is {value!r}")

    return check


def real(
    low: float, high: float = math.inf, *, above: bool = False, below: bool = False, none: bool = False
) -> Check:
    """A finite number in [low, high], without its ends where `above` or `below` is set; None where allowed."""

    def check(name: str, value: Any) -> None:
        if none and value is None:
            return
        interval = f"{'(' if above else '['}{low:g}, {high:g}{')' if below or math.isinf(high) else ']'}"
        wanted = f"{name} must be a number in {interval}" + (" or None" if none else "")
        if isinstance(value, bool) or not isinstance(value, Real):
            raise TypeError(f"{wanted}, but is {value!r} ({type(value).__name__})")
        number = float(value)
        outside = number < low or number > high or (above and number == low) or (below and number == high)
        if not math.isfinite(number) or outside:
            raise ValueError(f"{wanted}, but is {value!r}")

    return check


def choice(known: Iterable[str], *, none: bool = False, extra: tuple[str, ...] = ()) -> Check:
    """A name out of a table (or `extra`), or None where allowed."""
    names = (*known, *extra)

    def check(name: str, value: Any) -> None:
        if none and value is None:
            return
        if not isinstance(value, str) or value not in names:
            raise unknown_name(name, value, [*names, *(["None"] if none else [])])

    return check


def boolean(name: str, value: Any) -> None:
    """True or False, NumPy's included."""
    if not isinstance(value, (bool, np.bool_)):
        raise TypeError(f"{name} must be True or False, but is {value!r} ({type(value).__name__})")


def widths(name: str, value: Any) -> None:
    """The word "auto", or the widths from the input's side to the code; () for none."""
    if isinstance(value, str) and value == "auto":
        return
    sizes = hidden_widths(value)
    if sizes is None:
        raise TypeError(
            f"{name} must be 'auto' or a tuple of widths such as (256, 64) or (), but is {value!r}"
        )
    for size in sizes:
        integer(1)(f"each of {name}", size)


def optimizer(name: str, value: Any) -> None:
    """A name of the table or one of its dataclasses."""
    optimizers.get(value)


def hidden_widths(value: Any) -> tuple[Any, ...] | None:
    """One width or a sequence of them as a tuple; None if it is neither."""
    if _is_integer(value):
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
        cls.__init__ = made  # type: ignore[misc]
        return cls

    return decorate


RULES: dict[str, Check] = {
    "n_components": integer(1, "auto"),
    "hidden_layer_sizes": widths,
    "activation": choice(activations.NAMES),
    "latent_activation": choice(activations.NAMES, extra=("auto",)),
    "output_activation": choice(activations.NAMES, extra=("auto",)),
    "tied_weights": boolean,
    "loss": choice(losses.NAMES),
    "reduction": choice(losses.REDUCTIONS),
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
    "learning_rate": real(0.0),
    "schedule": choice(schedules.NAMES),
    "warmup_steps": integer(0),
    "weight_decay": real(0.0),
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
    "n_threads": integer(1, None),
    "warm_start": boolean,
}


def check(parameters: dict[str, Any]) -> None:
    """TypeError or ValueError for the first parameter that isn't what its row says."""
    for name, value in parameters.items():
        if name in RULES:
            RULES[name](name, value)


def auto_components(n_features: int) -> int:
    """min(32, max(2, ceil(d/4)))."""
    return min(AUTO_COMPONENTS, max(2, math.ceil(n_features / 4)))


def auto_hidden(n_features: int, n_components: int) -> tuple[int, ...]:
    """One hidden layer, the geometric mean of input and code; two, evenly spaced in log width, beyond d = 256.

    Rounded up to a multiple of 8.
    """
    steps = 3 if n_features > AUTO_TWO_LAYERS else 2
    ratio = n_components / n_features
    # Rounded first: an exact power such as 64 comes out as 64.00000000000001.
    return tuple(8 * math.ceil(round(n_features * ratio ** (i / steps), 6) / 8) for i in range(1, steps))


def seed_of(random_state: Any) -> int:
    """An integer is the seed itself; None and a RandomState draw one."""
    from sklearn.utils import check_random_state

    if _is_integer(random_state):
        if not 0 <= int(random_state) < 1 << 64:
            raise ValueError(f"random_state must be in [0, 2**64), but is {random_state!r}")
        return int(random_state)
    return int(check_random_state(random_state).randint(np.iinfo(np.int32).max))
