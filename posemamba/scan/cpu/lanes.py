"""Vectors of channels for Numba kernels: a value type of LANES numbers side by side.

Left to itself the compiler must prove that a loop over channels may run as vector instructions, and it
often gives up. A value of this type is such a vector by construction: `load` and `store` move part of a row
of an array, `+`, `-`, `*` and the functions below work on all lanes at once. LLVM maps it to whatever the
processor has (SSE, AVX2, AVX-512, NEON).
"""

import operator
import platform
from functools import update_wrapper
from inspect import signature

from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.extending import intrinsic, models, overload, register_model

#: Channels in a vector.
LANES = 16
WORD, BYTES = ir.IntType(32), ir.IntType(8).as_pointer()


class Vector(types.Type):
    """The Numba type of LANES numbers of one kind: that of a number, of an array's or of a vector's."""

    def __init__(self, kind: types.Type):
        self.dtype = getattr(kind, "dtype", kind)
        super().__init__(name=f"{self.dtype}x{LANES}")

    def llvm(self) -> ir.VectorType:
        return ir.VectorType(ir.FloatType() if self.dtype == types.float32 else ir.DoubleType(), LANES)


@register_model(Vector)
class _VectorModel(models.PrimitiveModel):
    def __init__(self, manager, fe_type):
        super().__init__(manager, fe_type, fe_type.llvm())


def emits(result):
    """Make a function for kernels of one that emits its instructions, (context, builder, types, *values).

    `result` is its type, or gives it from that of the first argument. Whole numbers are taken as intp.
    """

    def make(emit):
        def resolve(_, *kinds):
            kinds = tuple(types.intp if isinstance(kind, types.Integer) else kind for kind in kinds)

            def code(context, builder, _, values):
                value = emit(context, builder, kinds, *values)
                return context.get_dummy_value() if value is None else value

            return (result if isinstance(result, types.Type) else result(kinds[0]))(*kinds), code

        update_wrapper(resolve, emit)
        resolve.__signature__ = signature(emit).replace(parameters=[*signature(emit).parameters.values()][2:])
        return intrinsic(resolve)

    return make


def constant(kind: ir.VectorType, value: float) -> ir.Constant:
    """The same number in every lane, known when compiling."""
    return ir.Constant(kind, [value] * LANES)


def external(builder, name: str, result, *takes):
    """A function of LLVM or of the C library."""
    return cgutils.get_or_insert_function(builder.module, ir.FunctionType(result, takes), name)


def _shuffle(builder, left, right, lanes: list[int]):
    return builder.shuffle_vector(left, right, ir.Constant(ir.VectorType(WORD, LANES), lanes))


def _spread(context, builder, kinds, scalar):
    """The same number in every lane."""
    nothing = ir.Constant(Vector(kinds[0]).llvm(), ir.Undefined)
    one = builder.insert_element(nothing, scalar, WORD(0))
    return _shuffle(builder, one, one, [0] * LANES)


spread = emits(Vector)(_spread)


def _address(context, builder, kind, array, row, column):
    """Where LANES numbers of a row of a two-dimensional array begin, as a pointer to a vector."""
    data, kind = context.make_array(kind)(context, builder, array), Vector(kind.dtype).llvm()
    line = builder.mul(row, builder.extract_value(data.strides, 0))  # in bytes; rows may lie anywhere
    place = builder.gep(builder.bitcast(data.data, BYTES), [line])
    place = builder.gep(builder.bitcast(place, kind.element.as_pointer()), [column])
    return builder.bitcast(place, kind.as_pointer())


def _load(context, builder, kinds, array, row, column):
    """LANES numbers of a row of a two-dimensional array, from a column on; unchecked."""
    place = _address(context, builder, kinds[0], array, row, column)
    return builder.load(place, align=kinds[0].dtype.bitwidth // 8)


def _store(context, builder, kinds, array, row, column, value):
    """Write a vector to a row of a two-dimensional array, from a column on."""
    place = _address(context, builder, kinds[0], array, row, column)
    builder.store(value, place, align=kinds[0].dtype.bitwidth // 8)


load, store = emits(Vector)(_load), emits(types.void)(_store)


@emits(types.void)
def prefetch(context, builder, kinds, array, row, column):
    """Ask for the line of memory that holds an element, and do not wait for it."""
    place = builder.bitcast(_address(context, builder, kinds[0], array, row, column), BYTES)
    function = external(builder, "llvm.prefetch.p0", ir.VoidType(), BYTES, WORD, WORD, WORD)
    builder.call(function, [place, WORD(0), WORD(2), WORD(1)])  # to read, second-level cache, data


def _row(context, builder, kind, cache, row):
    # The stride is known when compiling: all tiles of a kernel then share one address register.
    data = context.make_array(kind)(context, builder, cache).data
    return builder.gep(builder.bitcast(data, Vector(kind.dtype).llvm().as_pointer()), [row])


@emits(Vector)
def get(context, builder, kinds, cache, row):
    """A row of a kernel's own array (rows, LANES) that begins on a line of the cache."""
    return builder.load(_row(context, builder, kinds[0], cache, row), align=64)


@emits(types.void)
def put(context, builder, kinds, cache, row, value):
    """Write a row of such an array."""
    builder.store(value, _row(context, builder, kinds[0], cache, row), align=64)


@emits(lambda array: array.dtype)
def at(context, builder, kinds, array, offset, column):
    """The number of a two-dimensional array that lies so many bytes past the start of a column."""
    data = context.make_array(kinds[0])(context, builder, array)
    across = builder.mul(column, builder.extract_value(data.strides, 1))
    start = builder.gep(builder.bitcast(data.data, BYTES), [across])
    return builder.load(builder.bitcast(builder.gep(start, [offset]), data.data.type))


def _square(context, builder, kinds, array, row, column):
    """LANES vectors: those from a column on, of as many rows."""
    rows = [builder.add(row, context.get_constant(types.intp, i)) for i in range(LANES)]
    return [_load(context, builder, kinds, array, place, column) for place in rows]


def _exchange(builder, a, b, g: int):
    """Two vectors of which the second has taken the first's upper blocks of g lanes, and given its lower."""
    low = [lane if lane & g == 0 else LANES + lane - g for lane in range(LANES)]
    high = [lane + g if lane & g == 0 else LANES + lane for lane in range(LANES)]
    return _shuffle(builder, a, b, low), _shuffle(builder, a, b, high)


_HALVES = [LANES >> i for i in range(1, LANES.bit_length())]  # 8, 4, 2, 1


@emits(types.void)
def transpose(context, builder, kinds, source, row, column, out, first):
    """out[first + i, j] = source[row + j, column + i] for i, j < LANES: a square turned over in registers.

    In step g = 8, 4, 2, 1 vectors g apart exchange the blocks of g lanes that are not yet at home.
    """
    rows, number = _square(context, builder, kinds, source, row, column), context.get_constant
    for g in _HALVES:
        for i in range(LANES):
            if i & g == 0:
                rows[i], rows[i + g] = _exchange(builder, rows[i], rows[i + g], g)
    for i in range(LANES):
        place = builder.add(first, number(types.intp, i))
        _store(context, builder, kinds[3:], out, place, number(types.intp, 0), rows[i])


@emits(Vector)
def totals(context, builder, kinds, array, row):
    """The sums of LANES consecutive rows of LANES numbers, one sum a lane.

    Two vectors are folded into one that holds the half sums of both, and so on: 15 additions for all sums.
    """
    rows = _square(context, builder, kinds, array, row, context.get_constant(types.intp, 0))
    for g in _HALVES:
        rows = [builder.fadd(*_exchange(builder, rows[i], rows[i + g], g)) for i in range(g)]
    return rows[0]


@emits(Vector)
def larger(context, builder, kinds, left, right):
    """The larger magnitude, lane by lane; NaN counts as larger than infinity."""
    width = kinds[0].dtype.bitwidth
    bits = ir.VectorType(ir.IntType(width), LANES)
    clear = constant(bits, 2 ** (width - 1) - 1)
    # Without their signs, floats are ordered as their bits are when read as whole numbers.
    a, b = (builder.and_(builder.bitcast(value, bits), clear) for value in (left, right))
    return builder.bitcast(builder.select(builder.icmp_signed(">", a, b), a, b), left.type)


@emits(lambda vector: vector.dtype)
def largest(context, builder, kinds, vector):
    """The largest of all lanes, none of which is negative; NaN counts as larger than infinity."""
    whole = ir.IntType(kinds[0].dtype.bitwidth)
    bits = ir.VectorType(whole, LANES)
    function = external(builder, f"llvm.vector.reduce.smax.v{LANES}i{whole.width}", whole, bits)
    return builder.bitcast(builder.call(function, [builder.bitcast(vector, bits)]), vector.type.element)


@emits(types.intp)
def claim(context, builder, kinds, counter, amount):
    """Add to the first number of an array and return what it was before, with no other thread in between."""
    data = context.make_array(kinds[0])(context, builder, counter).data
    return builder.atomic_rmw("add", data, amount, "monotonic")


@emits(types.void)
def called(context, builder, kinds):
    """Keep the function in which this stands a function: copies of it would only cost time to compile."""
    builder.function.attributes.add("noinline")


@emits(types.intp)
def flush_denormals(context, builder, kinds, state):
    """Have this thread take numbers below 2^-126 as 0, where the state is -1; else bring back that state.

    Returns the former state. Without it a fading memory would cost a hundred times as much on x86.
    """
    whole, nothing, machine = ir.IntType(64), ir.VoidType(), platform.machine().lower()
    asked = builder.icmp_signed("==", state, whole(-1))
    if machine in ("x86_64", "amd64"):
        place = cgutils.alloca_once(builder, WORD)
        pointer = builder.bitcast(place, BYTES)
        builder.call(external(builder, "llvm.x86.sse.stmxcsr", nothing, BYTES), [pointer])
        former = builder.load(place)
        new = builder.select(asked, builder.or_(former, WORD(0x8040)), builder.trunc(state, WORD))
        builder.store(new, place)
        builder.call(external(builder, "llvm.x86.sse.ldmxcsr", nothing, BYTES), [pointer])
        return builder.zext(former, whole)
    if machine in ("arm64", "aarch64"):
        former = builder.call(external(builder, "llvm.aarch64.get.fpcr", whole), [])
        new = builder.select(asked, builder.or_(former, whole(1 << 24)), state)
        builder.call(external(builder, "llvm.aarch64.set.fpcr", nothing, whole), [new])
        return former
    return state


def _operator(symbol, instruction: str):
    @emits(Vector)
    def apply(context, builder, kinds, left, right):
        vector, both = Vector(kinds[0]).llvm(), (left, right)
        both = [v if v.type == vector else _spread(context, builder, kinds, v) for v in both]
        # "contract" lets a product and a sum become one fused instruction.
        return getattr(builder, instruction)(*both, flags=("contract",))

    @overload(symbol)
    def overloaded(left, right):
        if isinstance(left, Vector) or isinstance(right, Vector):
            return lambda left, right: apply(left, right)
        return None


for _symbol, _instruction in ((operator.add, "fadd"), (operator.sub, "fsub"), (operator.mul, "fmul")):
    _operator(_symbol, _instruction)
