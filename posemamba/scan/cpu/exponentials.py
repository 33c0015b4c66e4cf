"""Exponentials of vectors of channels, for the Numba kernels. See lanes.py for the vectors.

In float32 these are polynomials; in float64, which serves tests, the C library's functions lane by lane.
"""

import math

import numpy as np
from llvmlite import ir

from posemamba.scan.cpu.lanes import LANES, WORD, Vector, constant, emits, external

LOG2E = 1 / math.log(2)
#: |t| up to which `decay` is valid: 2^t is then a normal float32.
SAFE = 125.0

# 2^g on [-1/2, 1/2] as 1 + g (c1 + g (c2 + ...)), fitted for the least relative error (1e-7) with 2^0 = 1
# kept exact.
COEFFICIENTS = (0.693146978, 0.240222421, 0.0555073373, 0.00967151273, 0.00132647273)
# log1p(t) / t on [0, 1], likewise, to 4e-8: no division, which costs as much as all of it.
LOG1P = (-0.49999648, 0.333213226, -0.248571637, 0.191536549)
LOG1P += (-0.13753802, 0.0792045308, -0.0300657884, 0.00536482315)

_SHIFT = 1.5 * 2**23  # added to a small float, leaves its nearest whole number in the low bits of the sum


def _single(x) -> bool:
    return isinstance(x.type.element, ir.FloatType)


def _fused(builder, a, b, c):
    """a b + c in one instruction with one rounding, where the processor has it."""
    return builder.call(external(builder, f"llvm.fmuladd.v{LANES}f32", *[a.type] * 4), [a, b, c])


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
    kind, bits = x.type, ir.VectorType(WORD, LANES)
    shifted = _fused(builder, x, y, constant(kind, _SHIFT))
    g = _fused(builder, x, y, builder.fsub(constant(kind, _SHIFT), shifted))
    exponent = builder.shl(builder.bitcast(shifted, bits), constant(bits, 23))
    fraction = builder.bitcast(_polynomial(builder, g, COEFFICIENTS), bits)
    return builder.bitcast(builder.add(fraction, exponent), kind)


def _clamp(builder, x, sign: str, bound: float):
    """x where it compares so with the bound, else the bound."""
    bound = constant(x.type, bound)
    return builder.select(builder.fcmp_ordered(sign, x, bound), x, bound)


def _ends(builder, x, lowest: float, value):
    """`value` where x >= lowest, 0 below, NaN where x is."""
    below = builder.select(builder.fcmp_ordered("ord", x, x), constant(x.type, 0.0), x)
    return builder.select(builder.fcmp_ordered(">=", x, constant(x.type, lowest)), value, below)


def _lanewise(builder, name: str, x):
    """A function of the C library, lane by lane."""
    result, function = ir.Constant(x.type, ir.Undefined), external(builder, name, *[x.type.element] * 2)
    for lane in range(LANES):
        value = builder.call(function, [builder.extract_element(x, WORD(lane))])
        result = builder.insert_element(result, value, WORD(lane))
    return result


def _exp2(builder, x):
    return _lanewise(builder, "exp", builder.fmul(x, constant(x.type, math.log(2))))


def _one(builder, x):
    """exp(-|x|), which is in [0, 1]."""
    width = 32 if _single(x) else 64
    bits = ir.VectorType(ir.IntType(width), LANES)
    negative = builder.bitcast(
        builder.or_(builder.bitcast(x, bits), constant(bits, 2 ** (width - 1))), x.type
    )
    if width == 64:
        return _lanewise(builder, "exp", negative)
    # What rounding takes from LOG2E would cost 1e-6 at x = -80; it is put back to first order.
    rounded = float(np.float32(LOG2E))
    inside = _clamp(builder, negative, ">", -87.0)
    rest = builder.fmul(inside, constant(x.type, LOG2E * math.log(2) - rounded * math.log(2)))
    power = _power(builder, inside, constant(x.type, rounded))
    return _ends(builder, negative, -87.0, _fused(builder, power, rest, power))


@emits(Vector)
def exp2(context, builder, kinds, x):
    """2 to each lane. float32: relative error below 3e-7, exactly 1 at 0, 0 below -126, inf from 128 on."""
    if not _single(x):
        return _exp2(builder, x)
    inside = _clamp(builder, _clamp(builder, x, ">", -126.0), "<", 128.0)
    return _ends(builder, x, -126.0, _power(builder, inside, constant(x.type, 1.0)))


@emits(Vector)
def decay(context, builder, kinds, step, rate):
    """2^(step rate), as `exp2` but for half the price; in float32 only where |step rate| < SAFE."""
    return _power(builder, step, rate) if _single(step) else _exp2(builder, builder.fmul(step, rate))


@emits(Vector)
def softplus(context, builder, kinds, x):
    """log(1 + exp(x)) = max(x, 0) + log1p(exp(-|x|))."""
    t = _one(builder, x)
    rest = builder.fmul(t, _polynomial(builder, t, LOG1P)) if _single(x) else _lanewise(builder, "log1p", t)
    return builder.fadd(_clamp(builder, x, ">", 0.0), rest)


@emits(Vector)
def sigmoid(context, builder, kinds, x):
    """1 / (1 + exp(-x)), the slope of `softplus`."""
    t, one = _one(builder, x), constant(x.type, 1.0)
    positive = builder.fcmp_ordered(">", x, constant(x.type, 0.0))
    return builder.fdiv(builder.select(positive, one, t), builder.fadd(one, t))
