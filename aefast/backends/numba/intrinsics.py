"""What Numba's Python subset can't say: rows of strided matrices, the bits of a float, sums in any order."""

from __future__ import annotations

from typing import Any

from llvmlite import ir  # type: ignore[import-untyped]
from numba.core import cgutils as typed_cgutils

from aefast.backends.numba.jit import intrinsic, types

cgutils: Any = typed_cgutils

ROUND_SINGLE = 12582912.0
"""1.5 * 2^23: x + ROUND_SINGLE has round(x) in its low bits, for abs(x) < 2^22."""
_ROUND_BITS = 0x4B400000


@intrinsic
def row(context: Any, matrix: Any, i: Any) -> Any:
    """matrix[i] as a contiguous vector, whatever the row stride; the column stride must be one element."""
    result = types.Array(matrix.dtype, 1, "C", readonly=not matrix.mutable)

    def generate(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        array = context.make_array(signature.args[0])(context, builder, args[0])
        stride = builder.extract_value(array.strides, 0)
        columns = builder.extract_value(array.shape, 1)
        data = cgutils.pointer_add(builder, array.data, builder.mul(args[1], stride), array.data.type)
        vector = context.make_array(result)(context, builder)
        context.populate_array(
            vector,
            data=data,
            shape=cgutils.pack_array(builder, [columns]),
            strides=cgutils.pack_array(builder, [array.itemsize]),
            itemsize=array.itemsize,
            meminfo=None,
            parent=None,
        )
        return vector._getvalue()

    return result(matrix, types.intp), generate


@intrinsic
def add_any_order(context: Any, a: Any, b: Any) -> Any:
    """a + b in a sum whose order the compiler may choose, so that it runs over lanes; the order depends on the length alone."""

    def generate(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        return builder.fadd(*args, flags=("reassoc",))

    return a(a, a), generate


@intrinsic
def select(context: Any, condition: Any, yes: Any, no: Any) -> Any:
    """yes if condition else no, without a branch that the optimiser could make of it again and so keep a loop off the lanes."""

    def generate(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        return builder.select(*args)

    return yes(types.boolean, yes, yes), generate


def _power(builder: Any, exponent: Any) -> Any:
    biased = builder.add(exponent, ir.Constant(ir.IntType(32), 127))
    return builder.bitcast(builder.shl(biased, ir.Constant(ir.IntType(32), 23)), ir.FloatType())


def _exponent(builder: Any, shifted: Any) -> Any:
    bits = builder.bitcast(shifted, ir.IntType(32))
    return builder.sub(bits, ir.Constant(ir.IntType(32), _ROUND_BITS))


@intrinsic
def power_of_two(context: Any, shifted: Any) -> Any:
    """2^n in float32 from shifted = n + ROUND_SINGLE; n in [-126, 127]."""

    def generate(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        return _power(builder, _exponent(builder, args[0]))

    return types.float32(types.float32), generate


@intrinsic
def half_power(context: Any, shifted: Any) -> Any:
    """2^floor(n/2) in float32 from shifted = n + ROUND_SINGLE."""

    def generate(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        n = _exponent(builder, args[0])
        return _power(builder, builder.ashr(n, ir.Constant(ir.IntType(32), 1)))

    return types.float32(types.float32), generate


@intrinsic
def rest_power(context: Any, shifted: Any) -> Any:
    """2^(n - floor(n/2)) in float32 from shifted = n + ROUND_SINGLE: with `half_power` it spans the subnormals and infinity."""

    def generate(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        n = _exponent(builder, args[0])
        return _power(builder, builder.sub(n, builder.ashr(n, ir.Constant(ir.IntType(32), 1))))

    return types.float32(types.float32), generate


@intrinsic
def high_half(context: Any, x: Any) -> Any:
    """x with its low twelve bits cleared, so that its square is exact in float32."""

    def generate(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        bits = builder.bitcast(args[0], ir.IntType(32))
        return builder.bitcast(builder.and_(bits, ir.Constant(ir.IntType(32), 0xFFFFF000)), ir.FloatType())

    return types.float32(types.float32), generate


@intrinsic
def exponent(context: Any, x: Any) -> Any:
    """floor(log2(x)) as a float64, for normal float64 x > 0."""

    def generate(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        word = ir.IntType(64)
        bits = builder.lshr(builder.bitcast(args[0], word), ir.Constant(word, 52))
        # The bits of 2^52 + n: an integer to float64 without a conversion that AVX2 lacks.
        shifted = builder.bitcast(builder.or_(bits, ir.Constant(word, 0x4330000000000000)), ir.DoubleType())
        return builder.fsub(shifted, ir.Constant(ir.DoubleType(), 2.0**52 + 1023.0))

    return types.float64(types.float64), generate


@intrinsic
def mantissa(context: Any, x: Any) -> Any:
    """x / 2^exponent(x), in [1, 2)."""

    def generate(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        word = ir.IntType(64)
        bits = builder.and_(builder.bitcast(args[0], word), ir.Constant(word, (1 << 52) - 1))
        return builder.bitcast(builder.or_(bits, ir.Constant(word, 0x3FF0000000000000)), ir.DoubleType())

    return types.float64(types.float64), generate
