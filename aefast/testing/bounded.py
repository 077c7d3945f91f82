"""Numbers that carry a bound of their rounding error, so that the reference says how far a right kernel may be off.

`Bounded(value, error)` runs through the reference's formulas in place of an array: `value` is the float64 result and
`error` what the same formula, each operation rounded once to a precision of unit roundoff u, may have lost at most
(running error analysis: Higham, "Accuracy and Stability of Numerical Algorithms", 2nd ed., 3.3). Conditioning comes by
itself: a sigmoid forgets its input's error where it saturates, `1 - h * h` keeps an error of u where it cancels. So a
new row of a table gets its tolerance from its own formula. An overflow in the tested precision, or a division by what may
be zero, has an infinite error: no demand is made there.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.lib.mixins import NDArrayOperatorsMixin
from numpy.typing import DTypeLike, NDArray

from aefast.backends.numpy.bfloat16 import rounded
from aefast.testing.tolerances import FUNCTION_ULP

F64 = NDArray[np.float64]
# Functions that are smooth and monotone on their domain, with its lower end: the error is found at the interval's ends.
DOMAIN: dict[str, float] = {"sqrt": 0.0, "log": 5e-324, "log1p": -1.0}


class Truth:
    """A comparison's outcome, and where rounding may turn it."""

    def __init__(self, value: NDArray[np.bool_], uncertain: NDArray[np.bool_]) -> None:
        self.value, self.uncertain = value, uncertain

    def astype(self, dtype: DTypeLike) -> Bounded:
        """1 or 0; an error of 1 where uncertain."""
        return Bounded(self.value, self.uncertain, dtype)

    def __array_function__(self, func: Any, types: Any, args: Any, kwargs: Any) -> Any:
        return _array_function(func, args, kwargs)


class Bounded(NDArrayOperatorsMixin):
    """A float64 array and the bound of its error, for computations in `precision` (float32 or float64)."""

    def __init__(self, value: Any, error: Any, precision: DTypeLike) -> None:
        self.value: F64 = np.asarray(value, np.float64)
        self.error: F64 = np.asarray(error, np.float64)
        self.precision = np.dtype(precision)

    # What the reference's formulas ask of an array --------------------------------------------------------------

    @property
    def shape(self) -> tuple[int, ...]:
        """Of the value."""
        return self.value.shape

    @property
    def dtype(self) -> np.dtype[Any]:
        """The precision, whose constants the formulas then take."""
        return self.precision

    @property
    def T(self) -> Bounded:
        """Transposed views."""
        return self._like(self.value.T, self.error.T)

    def __len__(self) -> int:
        return len(self.value)

    def __getitem__(self, key: Any) -> Bounded:
        return self._like(self.value[key], self.error[key])

    def __setitem__(self, key: Any, item: Any) -> None:
        other = (
            item if isinstance(item, Bounded) else self._rounded(np.asarray(item, np.float64), np.zeros(()))
        )
        other = other.astype(self.precision)
        self.value[key] = other.value
        self.error[key] = other.error

    def astype(self, dtype: DTypeLike) -> Bounded:
        """The same numbers in another precision; rounded where it is narrower."""
        precision = np.dtype(dtype)
        same = Bounded(self.value, self.error, precision)
        return same._rounded(self.value, self.error) if precision.itemsize < self.precision.itemsize else same

    def sum(self, axis: int | None = None) -> Bounded:
        """In any order: an error of (n - 1) u sum |x|."""
        n = self.value.size if axis is None else self.value.shape[axis]
        rounding = n * self._roundoff * np.abs(self.value).sum(axis=axis)
        return self._checked(self.value.sum(axis=axis), self.error.sum(axis=axis) + rounding)

    def reshape(self, *shape: Any) -> Bounded:
        """The same numbers in another shape."""
        return self._like(self.value.reshape(*shape), self.error.reshape(*shape))

    def copy(self) -> Bounded:
        """A copy."""
        return self._like(self.value.copy(), self.error.copy())

    # NumPy's protocols ------------------------------------------------------------------------------------------

    def __array_ufunc__(self, ufunc: Any, method: str, *inputs: Any, out: Any = None, **kwargs: Any) -> Any:
        if method != "__call__" or kwargs:
            return NotImplemented
        name = ufunc.__name__.partition(" ")[0]
        with np.errstate(all="ignore"):
            if name == "isfinite":
                return np.isfinite(self.value)
            if name in COMPARISONS:
                return self._compare(ufunc, *(self._lift(x) for x in inputs))
            widest = max((x.precision for x in inputs if isinstance(x, Bounded)), key=lambda p: p.itemsize)
            operands = [Bounded(self.value, self.error, widest)._lift(x) for x in inputs]
            operands = [Bounded(x.value, x.error, widest) for x in operands]
            if name in RULES:
                result = RULES[name](*operands)
            elif len(operands) == 1:
                result = operands[0]._smooth(ufunc, name)
            else:
                return NotImplemented
        if out is None:
            return result
        out[0][...] = result
        return out[0]

    def __array_function__(self, func: Any, types: Any, args: Any, kwargs: Any) -> Any:
        return _array_function(func, args, kwargs)

    # The pieces -------------------------------------------------------------------------------------------------

    @property
    def _roundoff(self) -> float:
        return float(np.finfo(self.precision).eps) / 2

    def _like(self, value: Any, error: Any) -> Bounded:
        return Bounded(value, error, self.precision)

    def _lift(self, x: Any) -> Bounded:
        """A constant or plain array, off by what the precision can't hold."""
        if isinstance(x, Bounded):
            return x
        exact = np.asarray(x, np.float64)
        lost = np.abs(exact - exact.astype(self.precision).astype(np.float64))
        return self._like(exact, np.where(np.isfinite(lost), lost, 0.0))

    def _checked(self, value: F64, error: F64) -> Bounded:
        """Adds the loss by underflow, flushed to zero or not; no demand where the precision overflows."""
        info = np.finfo(self.precision)
        error = error + float(info.tiny)
        over = (np.abs(value) + error >= float(info.max)) & np.isfinite(value)
        return self._like(value, np.where(over, np.inf, error))

    def _rounded(self, value: F64, error: F64, ulp: float = 1.0) -> Bounded:
        return self._checked(value, error + ulp * self._roundoff * np.abs(value))

    def _smooth(self, ufunc: Any, name: str) -> Bounded:
        def f(x: F64) -> F64:
            return np.asarray(ufunc(np.maximum(x, DOMAIN.get(name, -np.inf))), np.float64)

        at = f(self.value)
        spread = np.maximum(np.abs(f(self.value + self.error) - at), np.abs(f(self.value - self.error) - at))
        spread = np.where(self.error == 0.0, 0.0, np.where(np.isnan(spread) & ~np.isnan(at), np.inf, spread))
        return self._rounded(at, spread, FUNCTION_ULP.get(name, FUNCTION_ULP["other"]))

    def _compare(self, ufunc: Any, a: Bounded, b: Bounded) -> Truth:
        reach = a.error + b.error
        return Truth(ufunc(a.value, b.value), (np.abs(a.value - b.value) <= reach) & (reach > 0))


def _add(a: Bounded, b: Bounded) -> Bounded:
    return a._rounded(a.value + b.value, a.error + b.error)


def _subtract(a: Bounded, b: Bounded) -> Bounded:
    return a._rounded(a.value - b.value, a.error + b.error)


def _multiply(a: Bounded, b: Bounded) -> Bounded:
    cross = (
        _product(np.abs(a.value), b.error) + _product(np.abs(b.value), a.error) + _product(a.error, b.error)
    )
    return a._rounded(a.value * b.value, cross)


def _product(a: F64, error: F64) -> F64:
    """No error times an infinite value is no error, zero times an error without bound is one (0 * inf would be NaN)."""
    return np.where(error == 0.0, 0.0, np.where((a == 0.0) & np.isinf(error), np.inf, a * error))


def _divide(a: Bounded, b: Bounded) -> Bounded:
    quotient = a.value / b.value
    room = np.abs(b.value) - b.error
    error = np.where(room > 0, (a.error + _product(np.abs(quotient), b.error)) / room, np.inf)
    return a._rounded(quotient, error)


def _matmul(a: Bounded, b: Bounded) -> Bounded:
    return bilinear(np.matmul, a, b, a.value.shape[-1])


def bilinear(f: Callable[[F64, F64], F64], a: Bounded, b: Bounded, n: F64 | int) -> Bounded:
    """Sums of n products each, any order of summation, fused or not: gamma_n |a| |b| (Higham, eq. 3.13)."""
    size_a, size_b = np.abs(a.value), np.abs(b.value)
    unit = n * a._roundoff
    magnitude = f(size_a, size_b)
    exact = not (a.error.any() or b.error.any())
    carried = 0.0 if exact else f(size_a, b.error) + f(a.error, size_b) + f(a.error, b.error)
    info = np.finfo(a.precision)
    # A partial sum may overflow where the whole one doesn't.
    error = np.where(
        magnitude >= float(info.max), np.inf, unit / (1 - unit) * magnitude + carried + n * float(info.tiny)
    )
    return a._checked(f(a.value, b.value), error)


def _square(a: Bounded) -> Bounded:
    return _multiply(a, a)


def _power(a: Bounded, exponent: Bounded) -> Bounded:
    return _square(a) if exponent.value == 2 else NotImplemented


def _negative(a: Bounded) -> Bounded:
    return a._like(-a.value, a.error)


def _absolute(a: Bounded) -> Bounded:
    return a._like(np.abs(a.value), a.error)


def _maximum(a: Bounded, b: Bounded) -> Bounded:
    return a._like(np.maximum(a.value, b.value), _taken(a, b, a.value > b.value))


def _minimum(a: Bounded, b: Bounded) -> Bounded:
    return a._like(np.minimum(a.value, b.value), _taken(a, b, a.value < b.value))


def _taken(a: Bounded, b: Bounded, first: NDArray[np.bool_]) -> F64:
    """The error of the side taken, or the greater one where rounding may take the other."""
    near = np.abs(a.value - b.value) <= a.error + b.error
    return np.where(near, np.maximum(a.error, b.error), np.where(first, a.error, b.error))


def _sign(a: Bounded) -> Bounded:
    jump = (np.abs(a.value) <= a.error) & (a.error > 0)
    return a._like(np.sign(a.value), np.where(jump, 2.0, 0.0))


def _where(condition: Any, a: Any, b: Any) -> Bounded:
    sides = [x for x in (a, b) if isinstance(x, Bounded)]
    precision = sides[0].precision if sides else np.float32
    a, b = (x if isinstance(x, Bounded) else Bounded(x, np.zeros(np.shape(x)), precision) for x in (a, b))
    truth = (
        condition if isinstance(condition, Truth) else Truth(condition, np.zeros(np.shape(condition), bool))
    )
    value = np.where(truth.value, a.value, b.value)
    chosen = np.where(truth.value, a.error, b.error)
    either = np.abs(a.value - b.value) + a.error + b.error
    return Bounded(value, np.where(truth.uncertain, either, chosen), precision)


@rounded.register
def _(x: Bounded) -> Bounded:
    """Exact for exact numbers of float32; else the spread of the interval's ends, as rounding is monotone."""

    def to_bfloat16(value: F64) -> F64:
        return np.asarray(rounded(value.astype(np.float32)), np.float64)

    at = to_bfloat16(x.value)
    spread = [np.abs(to_bfloat16(x.value + sign * x.error) - at) for sign in (-1, 1)]
    return x._like(at, np.where(x.error == 0.0, 0.0, np.maximum(*spread)))


def _array_function(func: Any, args: Any, kwargs: Any) -> Any:
    if func is np.where:
        return _where(*args)
    if func is np.sum:
        return args[0].sum(**kwargs)
    if func is np.clip:
        x, low, high = args
        return np.minimum(np.maximum(x, low), high)
    if func is np.ones_like:
        return np.ones(args[0].shape)
    return NotImplemented


COMPARISONS = ("greater", "greater_equal", "less", "less_equal")
RULES: dict[str, Callable[..., Bounded]] = {
    "add": _add,
    "subtract": _subtract,
    "multiply": _multiply,
    "divide": _divide,
    "matmul": _matmul,
    "square": _square,
    "power": _power,
    "negative": _negative,
    "absolute": _absolute,
    "maximum": _maximum,
    "minimum": _minimum,
    "sign": _sign,
}
