"""Exponentials of vectors of channels, for the Numba kernels. See lanes.py for the vectors.

In float32 these are polynomials; in float64, which serves tests, the C library's functions lane by lane.
"""

import math

import numpy as np
from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.extending import intrinsic

from posemamba.scan.cpu.lanes import LANES, constant

LOG2E = 1 / math.log(2)
#: |t| up to which `decay` is valid: 2^t is then a normal float32.
SAFE = 125.0

# 2^g on [-1/2, 1/2] as 1 + g (c1 + g (c2 + ...)), fitted for the least relative error (1e-7) with 2^0 = 1
# kept exact.
COEFFICIENTS = (
    0.693146977598356,
    0.2402224208401649,
    0.055507337438111655,
    0.00967151272870191,
    0.0013264727302624722,
)
# log1p(t) / t on [0, 1], likewise, to 4e-8: no division, which costs as much as all of it.
LOG1P = (
    -0.49999647963626165,
    0.333213226195369,
    -0.24857163664476312,
    0.1915365486728701,
    -0.13753802059564163,
    0.079204530771746,
    -0.030065788449200936,
    0.005364823149397083,
)

_SHIFT = 1.5 * 2**23  # added to a small float, leaves its nearest whole number in the low bits of the sum


def _fused(builder, a, b, c):
    """a b + c in one instruction with one rounding, where the processor has it."""
    name = f"llvm.fmuladd.v{LANES}f32"
    function = cgutils.get_or_insert_function(builder.module, ir.FunctionType(a.type, [a.type] * 3), name)
    return builder.call(function, [a, b, c])


def _polynomial(builder, x, coefficients):
    """1 + x (c1 + x (c2 + ...))."""
    value = constant(x.type, coefficients[-1])
    for coefficient in (*coefficients[-2::-1], 1.0):
        value = _fused(builder, value, x, constant(x.type, coefficient))
    return value


def _power(builder, x, y):
    """2^(x y), where that is a normal float32.

    The product is split into a whole number and g, |g| <= 1/2; the whole number is added to the exponent
    bits of 2^g. Both uses of the product are fused with an addition, so that it is never rounded.
    """
    kind, bits = x.type, ir.VectorType(ir.IntType(32), LANES)
    shifted = _fused(builder, x, y, constant(kind, _SHIFT))
    g = _fused(builder, x, y, builder.fsub(constant(kind, _SHIFT), shifted))
    exponent = builder.shl(builder.bitcast(shifted, bits), ir.Constant(bits, [23] * LANES))
    fraction = builder.bitcast(_polynomial(builder, g, COEFFICIENTS), bits)
    return builder.bitcast(builder.add(fraction, exponent), kind)


def _ends(builder, x, lowest: float, value):
    """`value` where x >= lowest, 0 below, NaN where x is."""
    below = builder.select(builder.fcmp_ordered("ord", x, x), constant(x.type, 0.0), x)
    return builder.select(builder.fcmp_ordered(">=", x, constant(x.type, lowest)), value, below)


def _least(builder, x, lowest: float):
    bound = constant(x.type, lowest)
    return builder.select(builder.fcmp_ordered(">", x, bound), x, bound)


def _exp2(builder, t):
    """2^t for any float32 t: clamped into the normal range, then the ends put right."""
    kind = t.type
    inside = _least(builder, t, -126.0)
    inside = builder.select(
        builder.fcmp_ordered("<", inside, constant(kind, 128.0)), inside, constant(kind, 128.0)
    )
    return _ends(builder, t, -126.0, _power(builder, inside, constant(kind, 1.0)))


def _lanewise(builder, name: str, x):
    """A function of the C library, lane by lane."""
    kind, result = x.type, ir.Constant(x.type, ir.Undefined)
    function = cgutils.get_or_insert_function(
        builder.module, ir.FunctionType(kind.element, [kind.element]), name
    )
    for lane in range(LANES):
        place = ir.Constant(ir.IntType(32), lane)
        result = builder.insert_element(
            result, builder.call(function, [builder.extract_element(x, place)]), place
        )
    return result


def _one(builder, x, single: bool):
    """exp(-|x|), which is in [0, 1]."""
    bits = ir.VectorType(ir.IntType(32 if single else 64), LANES)
    sign = ir.Constant(bits, [2 ** (31 if single else 63)] * LANES)
    negative = builder.bitcast(builder.or_(builder.bitcast(x, bits), sign), x.type)
    if single:
        # What rounding takes from LOG2E would cost 1e-6 at x = -80; it is put back to first order.
        rounded = float(np.float32(LOG2E))
        inside = _least(builder, negative, -87.0)
        rest = builder.fmul(inside, constant(x.type, LOG2E * math.log(2) - rounded * math.log(2)))
        power = _power(builder, inside, constant(x.type, rounded))
        return _ends(builder, negative, -87.0, _fused(builder, power, rest, power))
    return _lanewise(builder, "exp", negative)


@intrinsic
def exp2(context, vector):
    """2 to each lane. float32: relative error below 3e-7, exactly 1 at 0, 0 below -126, inf from 128 on."""

    def code(context, builder, signature, args):
        if vector.dtype == types.float32:
            return _exp2(builder, args[0])
        return _lanewise(builder, "exp", builder.fmul(args[0], constant(args[0].type, math.log(2))))

    return vector(vector), code


@intrinsic
def decay(context, step, rate):
    """2^(step rate), as `exp2` but for half the price; in float32 only where |step rate| < SAFE."""

    def code(context, builder, signature, args):
        if step.dtype == types.float32:
            return _power(builder, *args)
        t = builder.fmul(*args)
        return _lanewise(builder, "exp", builder.fmul(t, constant(t.type, math.log(2))))

    return step(step, rate), code


@intrinsic
def softplus(context, vector):
    """log(1 + exp(x)) = max(x, 0) + log1p(exp(-|x|))."""
    single = vector.dtype == types.float32

    def code(context, builder, signature, args):
        x, kind = args[0], args[0].type
        t, zero = _one(builder, x, single), constant(kind, 0.0)
        rest = builder.fmul(t, _polynomial(builder, t, LOG1P)) if single else _lanewise(builder, "log1p", t)
        return builder.fadd(builder.select(builder.fcmp_ordered(">", x, zero), x, zero), rest)

    return vector(vector), code


@intrinsic
def sigmoid(context, vector):
    """1 / (1 + exp(-x)), the slope of `softplus`."""
    single = vector.dtype == types.float32

    def code(context, builder, signature, args):
        x, kind = args[0], args[0].type
        t, one = _one(builder, x, single), constant(kind, 1.0)
        positive = builder.fcmp_ordered(">", x, constant(kind, 0.0))
        return builder.fdiv(builder.select(positive, one, t), builder.fadd(one, t))

    return vector(vector), code
