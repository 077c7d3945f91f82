"""What a case is, and the shapes and kinds of numbers that cases are made of. `for_op` walks all tables of an op.

Add an op: write a generator in `linear.py`, `conv.py`, `images.py`, `noise.py` or `whole.py` and its line in `GENERATORS`. A
new row of a table needs nothing here.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from functools import cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from aefast.testing.guards import LAYOUTS, Layout

Array = NDArray[Any]

# Around the tiles that kernels are made of (4, 6, 8, 16, 32), primes, and a fan-in of more than one block.
EDGES = (1, 2, 3, 4, 5, 6, 7, 8, 9, 13, 15, 16, 17, 31, 32, 33, 37, 61, 97)
DEEP = (127, 256, 311)
# More rows than a block, deeper than what a row block keeps in L2, gradients wide enough to be packed.
LARGE = ((260, 840, 70), (260, 70, 840))


@dataclass(frozen=True)
class Output:
    """A buffer that the op writes: NaN before, or `start`.

    `wide`: float64 in every precision. `free`: this case leaves its content open.
    """

    shape: tuple[int, ...]
    start: Array | None = None
    wide: bool = False
    integer: bool = False
    free: bool = False


@dataclass(frozen=True)
class Case:
    """One call of an op.

    Parameters
    ----------
    inputs : dict
        Arrays in float64, rounded to the tested precision before use; None where the argument is left out.
    given : dict
        Arrays (or SparseRows) that are passed as they are, whatever the precision: the data set, row numbers, weights of rows.
    attrs : dict
        Numbers, and the geometry.
    transposed : set of str
        Arguments that lie in memory as their transpose.
    packed : set of str
        Arguments whose rows follow each other in every layout.
    exact : bool
        The same bits as the reference in that precision; otherwise within the reference's own error bound.
    extra_error : function(precision) -> {output: error}
        Allowed beyond that bound: what the reference takes as exact, such as normals.
    """

    op: str
    label: str
    outputs: dict[str, Output]
    inputs: dict[str, Array | None] = field(default_factory=dict)
    given: dict[str, Any] = field(default_factory=dict)
    attrs: dict[str, Any] = field(default_factory=dict)
    transposed: frozenset[str] = frozenset()
    packed: frozenset[str] = frozenset()
    layout: Layout = LAYOUTS[0]
    exact: bool = False
    extra_error: Callable[[np.dtype[Any]], dict[str, Array]] | None = None

    def layout_of(self, name: str) -> Layout:
        """How that argument lies in memory."""
        return replace(self.layout, padding=0) if name in self.packed else self.layout

    def __str__(self) -> str:
        return f"{self.op}[{self.label}, {self.layout.name}{', transposed' if self.transposed else ''}]"


@dataclass(frozen=True)
class Numbers:
    """A kind of input: scales of activations and weights, and where NaN stands."""

    name: str
    x: float = 1.0
    w: float = 1.0
    nan: bool = False


PLAIN = Numbers("plain")
KINDS = (
    PLAIN,
    Numbers("saturated", 6.0, 6.0),  # every bounded activation at its ends, exponentials below u
    Numbers("huge", 1e12, 1e3),  # products near the end of float32's range, squares within it
    Numbers("tiny", 1e-20, 1e-21),  # subnormal products
    Numbers("zero", 0.0, 1.0),
    Numbers("nan", 1.0, 1.0, nan=True),  # in one row: it must come out of that row, and of no other
)


@dataclass(frozen=True)
class Shape:
    """(B, M, N) with the layout and orientation of that case."""

    b: int
    m: int
    n: int
    layout: Layout
    transposed: bool

    def __str__(self) -> str:
        return f"B={self.b} M={self.m} N={self.n}"


@cache
def shapes() -> tuple[Shape, ...]:
    """Each edge in each dimension, the other two drawn from all; layouts and orientations in turn."""
    rng = np.random.default_rng(0)
    sizes = [(1, 1, 1), (97, 61, 37)]
    for place in range(3):
        for edge in EDGES:
            size = list(map(int, rng.choice(EDGES, 3)))
            size[place] = edge
            sizes.append((size[0], size[1], size[2]))
    for k in DEEP:
        sizes += [(5, k, 33), (k, 7, 9), (3, 17, k)]
    sizes += LARGE
    return tuple(
        Shape(*size, layout=LAYOUTS[i % len(LAYOUTS)], transposed=i // len(LAYOUTS) % 2 == 1)
        for i, size in enumerate(sizes)
    )


@cache
def few_shapes() -> tuple[Shape, ...]:
    """For variants whose indexing isn't in question."""
    return tuple(
        Shape(*size, layout=LAYOUTS[i % len(LAYOUTS)], transposed=i == 1)
        for i, size in enumerate(((4, 9, 17), (17, 33, 5), (7, 13, 61)))
    )


def rng_of(*key: object) -> np.random.Generator:
    """A generator that depends on the case alone."""
    return np.random.default_rng([sum(map(ord, str(part))) + 31 * i for i, part in enumerate(key)])


def normal(rng: np.random.Generator, shape: tuple[int, ...], scale: float = 1.0) -> Array:
    """Normals times `scale`, one in sixteen of them exactly zero."""
    values: Array = scale * rng.standard_normal(shape)
    values[rng.random(shape) < 1 / 16] = 0.0
    return values


def shares(rng: np.random.Generator, n: int) -> Array:
    """Row weights that sum to one, some of them zero."""
    w = rng.uniform(0.1, 2.0, n) * (rng.random(n) > 0.1)
    return np.asarray(w / max(float(w.sum()), 0.1))


Generator = Callable[[str], Iterator[Case]]


def _registry() -> dict[str, tuple[tuple[str, ...], Generator]]:
    from aefast.testing import conv, images, linear, noise, whole

    modules = linear, conv, images, noise, whole
    return {op: generator for module in modules for op, generator in module.GENERATORS.items()}


def ops() -> tuple[str, ...]:
    """Every op of the contract."""
    return tuple(_registry())


def variants(op: str) -> tuple[str, ...]:
    """The op's variants by name, such as an activation or "sigmoid/bce"."""
    return _registry()[op][0]


def for_op(op: str, variant: str) -> Iterator[Case]:
    """Every case of one variant."""
    return _registry()[op][1](variant)
