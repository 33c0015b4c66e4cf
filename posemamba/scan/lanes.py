"""Vectors of channels for Numba kernels: a value type of LANES numbers side by side.

Left to itself the compiler must prove that a loop over channels may run as vector instructions, and it
often gives up. A value of this type is such a vector by construction: `load` and `store` move one row of an
array, `+`, `-` and `*` and `exp2` work on all lanes at once. LLVM maps it to whatever the processor has
(SSE, AVX2, AVX-512, NEON).
"""

import math
import operator

from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.extending import intrinsic, models, overload, register_model

#: Channels in a vector.
LANES = 16

# 2^g on [-1/2, 1/2] as 1 + g (c1 + g (c2 + ...)), fitted for the least relative error (1e-7) with 2^0 = 1
# kept exact.
COEFFICIENTS = (
    0.6931470036506653,
    0.24022242426872253,
    0.05550733581185341,
    0.009671512991189957,
    0.0013264723820611835,
)
LOG2E = 1 / math.log(2)


class Vector(types.Type):
    """The Numba type of LANES numbers of one kind."""

    def __init__(self, dtype: types.Float):
        self.dtype = dtype
        super().__init__(name=f"{dtype}x{LANES}")

    def llvm(self) -> ir.VectorType:
        return ir.VectorType(ir.FloatType() if self.dtype == types.float32 else ir.DoubleType(), LANES)


@register_model(Vector)
class _VectorModel(models.PrimitiveModel):
    def __init__(self, manager, fe_type):
        super().__init__(manager, fe_type, fe_type.llvm())


def _constant(kind: ir.VectorType, value: float) -> ir.Constant:
    return ir.Constant(kind, [value] * LANES)


def _spread(builder, scalar, kind: ir.VectorType):
    one = builder.insert_element(ir.Constant(kind, ir.Undefined), scalar, ir.Constant(ir.IntType(32), 0))
    return builder.shuffle_vector(one, one, ir.Constant(ir.VectorType(ir.IntType(32), LANES), [0] * LANES))


def _address(context, builder, array_type, array, row, column, kind):
    """Where LANES numbers of a row of a two-dimensional array begin, as a pointer to a vector."""
    data = context.make_array(array_type)(context, builder, array)
    width = builder.extract_value(data.shape, 1)
    start = builder.gep(data.data, [builder.add(builder.mul(row, width), column)])
    return builder.bitcast(start, kind.as_pointer())


@intrinsic
def load(context, array, row, column):
    """LANES numbers of a row of a two-dimensional array, from a column on, unchecked."""
    vector = Vector(array.dtype)

    def code(context, builder, signature, args):
        loaded = builder.load(_address(context, builder, array, *args, vector.llvm()))
        loaded.align = array.dtype.bitwidth // 8
        return loaded

    return vector(array, types.intp, types.intp), code


@intrinsic
def store(context, array, row, column, value):
    """Write a vector to a row of a two-dimensional array, from a column on."""

    def code(context, builder, signature, args):
        place = _address(context, builder, array, *args[:3], value.llvm())
        builder.store(args[3], place, align=array.dtype.bitwidth // 8)
        return context.get_dummy_value()

    return types.void(array, types.intp, types.intp, value), code


@intrinsic
def spread(context, scalar):
    """The same number in every lane."""
    vector = Vector(scalar)
    return vector(scalar), lambda c, builder, s, args: _spread(builder, args[0], vector.llvm())


@intrinsic
def total(context, vector):
    """The sum over the lanes, added in a tree."""

    def code(context, builder, signature, args):
        kind = vector.llvm()
        name = f"llvm.vector.reduce.fadd.v{LANES}f{vector.dtype.bitwidth}"
        function = cgutils.get_or_insert_function(
            builder.module, ir.FunctionType(kind.element, [kind.element, kind]), name
        )
        return builder.call(function, [ir.Constant(kind.element, -0.0), args[0]], fastmath=("reassoc",))

    return vector.dtype(vector), code


def _operator(symbol, instruction: str):
    @intrinsic
    def apply(context, left, right):
        vector = left if isinstance(left, Vector) else right

        def code(context, builder, signature, args):
            kind = vector.llvm()
            both = [
                a if isinstance(t, Vector) else _spread(builder, a, kind)
                for a, t in zip(args, signature.args, strict=True)
            ]
            # "contract" lets a product and a sum become one fused instruction.
            return getattr(builder, instruction)(*both, flags=("contract",))

        return vector(left, right), code

    @overload(symbol)
    def overloaded(left, right):
        if isinstance(left, Vector) or isinstance(right, Vector):
            return lambda left, right: apply(left, right)
        return None


for _symbol, _instruction in ((operator.add, "fadd"), (operator.sub, "fsub"), (operator.mul, "fmul")):
    _operator(_symbol, _instruction)


@intrinsic
def exp2(context, vector):
    """2 to each lane. float32: relative error below 3e-7, exactly 1 at 0, 0 below -126, inf from 128 on.

    t = whole + g with |g| <= 1/2; 2^g is a polynomial, and the whole part is added to the exponent bits.
    """

    def single(context, builder, signature, args):
        kind, bits = vector.llvm(), ir.VectorType(ir.IntType(32), LANES)
        lowest, highest = _constant(kind, -126.0), _constant(kind, 128.0)
        above = builder.fcmp_ordered(">=", args[0], lowest)
        t = builder.select(above, args[0], lowest)
        t = builder.select(builder.fcmp_ordered("<", t, highest), t, highest)
        # Adding 1.5 * 2^23 to a small float leaves its nearest whole number in the low bits of the sum.
        shifted = builder.fadd(t, _constant(kind, 1.5 * 2**23))
        g = builder.fsub(t, builder.fsub(shifted, _constant(kind, 1.5 * 2**23)))
        power = _constant(kind, COEFFICIENTS[-1])
        for coefficient in (*COEFFICIENTS[-2::-1], 1.0):
            power = builder.fadd(
                builder.fmul(power, g, ("contract",)), _constant(kind, coefficient), ("contract",)
            )
        exponent = builder.shl(builder.bitcast(shifted, bits), ir.Constant(bits, [23] * LANES))
        power = builder.bitcast(builder.add(builder.bitcast(power, bits), exponent), kind)
        number = builder.fcmp_ordered("ord", args[0], args[0])
        return builder.select(above, power, builder.select(number, _constant(kind, 0.0), args[0]))

    def double(context, builder, signature, args):
        kind = vector.llvm()
        function = cgutils.get_or_insert_function(
            builder.module, ir.FunctionType(kind.element, [kind.element]), "exp"
        )
        result = ir.Constant(kind, ir.Undefined)
        for lane in range(LANES):
            place = ir.Constant(ir.IntType(32), lane)
            x = builder.fmul(builder.extract_element(args[0], place), ir.Constant(kind.element, math.log(2)))
            result = builder.insert_element(result, builder.call(function, [x]), place)
        return result

    return vector(vector), single if vector.dtype == types.float32 else double
