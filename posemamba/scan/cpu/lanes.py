"""Vectors of channels for Numba kernels: a value type of LANES numbers side by side.

Left to itself the compiler must prove that a loop over channels may run as vector instructions, and it
often gives up. A value of this type is such a vector by construction: `load` and `store` move part of a row
of an array, `+`, `-`, `*` and the functions below work on all lanes at once. LLVM maps it to whatever the
processor has (SSE, AVX2, AVX-512, NEON).
"""

import operator
import platform

from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.extending import intrinsic, models, overload, register_model

#: Channels in a vector.
LANES = 16


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


def constant(kind: ir.VectorType, value: float) -> ir.Constant:
    """The same number in every lane, known when compiling."""
    return ir.Constant(kind, [value] * LANES)


def _spread(builder, scalar, kind: ir.VectorType):
    one = builder.insert_element(ir.Constant(kind, ir.Undefined), scalar, ir.Constant(ir.IntType(32), 0))
    return _shuffle(builder, one, one, [0] * LANES)


def _shuffle(builder, left, right, lanes: list[int]):
    return builder.shuffle_vector(left, right, ir.Constant(ir.VectorType(ir.IntType(32), LANES), lanes))


def _address(context, builder, array_type, array, row, column, kind):
    """Where LANES numbers of a row of a two-dimensional array begin, as a pointer to a vector."""
    data = context.make_array(array_type)(context, builder, array)
    line = builder.mul(row, builder.extract_value(data.strides, 0))  # in bytes; rows may lie anywhere
    place = builder.gep(builder.bitcast(data.data, ir.IntType(8).as_pointer()), [line])
    place = builder.gep(builder.bitcast(place, kind.element.as_pointer()), [column])
    return builder.bitcast(place, kind.as_pointer())


def _read(context, builder, array_type, *where):
    kind = Vector(array_type.dtype).llvm()
    return builder.load(
        _address(context, builder, array_type, *where, kind), align=array_type.dtype.bitwidth // 8
    )


def _write(context, builder, array_type, array, row, column, value):
    place = _address(context, builder, array_type, array, row, column, value.type)
    builder.store(value, place, align=array_type.dtype.bitwidth // 8)


@intrinsic
def load(context, array, row, column):
    """LANES numbers of a row of a two-dimensional array, from a column on; unchecked."""

    def code(context, builder, signature, args):
        return _read(context, builder, array, *args)

    return Vector(array.dtype)(array, types.intp, types.intp), code


@intrinsic
def store(context, array, row, column, value):
    """Write a vector to a row of a two-dimensional array, from a column on."""

    def code(context, builder, signature, args):
        _write(context, builder, array, *args)
        return context.get_dummy_value()

    return types.void(array, types.intp, types.intp, value), code


@intrinsic
def prefetch(context, array, row, column):
    """Ask for the line of memory that holds an element, and do not wait for it."""

    def code(context, builder, signature, args):
        whole, byte = ir.IntType(32), ir.IntType(8).as_pointer()
        place = builder.bitcast(_address(context, builder, array, *args, Vector(array.dtype).llvm()), byte)
        kind = ir.FunctionType(ir.VoidType(), [byte, whole, whole, whole])
        function = cgutils.get_or_insert_function(builder.module, kind, "llvm.prefetch.p0")
        builder.call(function, [place, whole(0), whole(2), whole(1)])  # to read, second-level cache, data
        return context.get_dummy_value()

    return types.void(array, types.intp, types.intp), code


@intrinsic
def get(context, cache, row):
    """A row of a kernel's own array (rows, LANES) that begins on a line of the cache."""
    vector = Vector(cache.dtype)

    def code(context, builder, signature, args):
        return builder.load(_row(context, builder, cache, *args), align=64)

    return vector(cache, types.intp), code


@intrinsic
def put(context, cache, row, value):
    """Write a row of such an array."""

    def code(context, builder, signature, args):
        builder.store(args[2], _row(context, builder, cache, *args[:2]), align=64)
        return context.get_dummy_value()

    return types.void(cache, types.intp, value), code


def _row(context, builder, cache, data, row):
    # The stride is known when compiling: all tiles of a kernel then share one address register.
    data = context.make_array(cache)(context, builder, data).data
    return builder.gep(builder.bitcast(data, Vector(cache.dtype).llvm().as_pointer()), [row])


@intrinsic
def at(context, array, offset, column):
    """The number of a two-dimensional array that lies so many bytes past the start of a column."""

    def code(context, builder, signature, args):
        data = context.make_array(array)(context, builder, args[0])
        across = builder.mul(args[2], builder.extract_value(data.strides, 1))
        start = builder.gep(builder.bitcast(data.data, ir.IntType(8).as_pointer()), [across])
        return builder.load(builder.bitcast(builder.gep(start, [args[1]]), data.data.type))

    return array.dtype(array, types.intp, types.intp), code


def _square(context, builder, array_type, array, row, column):
    """LANES vectors: those from a column on, of as many rows."""
    number = context.get_constant
    rows = [builder.add(row, number(types.intp, i)) for i in range(LANES)]
    return [_read(context, builder, array_type, array, place, column) for place in rows]


def _exchange(builder, a, b, g: int):
    """Two vectors of which the second has taken the first's upper blocks of g lanes, and given its lower."""
    lanes = range(LANES)
    low = [lane if lane & g == 0 else LANES + lane - g for lane in lanes]
    high = [lane + g if lane & g == 0 else LANES + lane for lane in lanes]
    return _shuffle(builder, a, b, low), _shuffle(builder, a, b, high)


_HALVES = [LANES >> i for i in range(1, LANES.bit_length())]  # 8, 4, 2, 1


@intrinsic
def transpose(context, source, row, column, out, first):
    """out[first + i, j] = source[row + j, column + i] for i, j < LANES: a square turned over in registers.

    In step g = 8, 4, 2, 1 vectors g apart exchange the blocks of g lanes that are not yet at home.
    """

    def code(context, builder, signature, args):
        (data, row, column, into, first), index = args, signature.args[1]
        rows, number = _square(context, builder, source, data, row, column), context.get_constant
        for g in _HALVES:
            for i in range(LANES):
                if i & g == 0:
                    rows[i], rows[i + g] = _exchange(builder, rows[i], rows[i + g], g)
        for i in range(LANES):
            place = builder.add(first, number(index, i))
            _write(context, builder, out, into, place, number(index, 0), rows[i])
        return context.get_dummy_value()

    return types.void(source, types.intp, types.intp, out, types.intp), code


@intrinsic
def totals(context, array, row):
    """The sums of LANES consecutive rows of LANES numbers, one sum a lane.

    Two vectors are folded into one that holds the half sums of both, and so on: 15 additions for all sums.
    """
    vector = Vector(array.dtype)

    def code(context, builder, signature, args):
        rows = _square(context, builder, array, *args, context.get_constant(types.intp, 0))
        for g in _HALVES:
            rows = [builder.fadd(*_exchange(builder, rows[i], rows[i + g], g)) for i in range(g)]
        return rows[0]

    return vector(array, types.intp), code


@intrinsic
def spread(context, scalar):
    """The same number in every lane."""
    vector = Vector(scalar)
    return vector(scalar), lambda c, builder, s, args: _spread(builder, args[0], vector.llvm())


@intrinsic
def larger(context, left, right):
    """The larger magnitude, lane by lane; NaN counts as larger than infinity."""

    def code(context, builder, signature, args):
        bits = ir.VectorType(ir.IntType(left.dtype.bitwidth), LANES)
        clear = ir.Constant(bits, [2 ** (left.dtype.bitwidth - 1) - 1] * LANES)
        # Without their signs, floats are ordered as their bits are when read as whole numbers.
        a, b = (builder.and_(builder.bitcast(arg, bits), clear) for arg in args)
        return builder.bitcast(builder.select(builder.icmp_signed(">", a, b), a, b), args[0].type)

    return left(left, right), code


@intrinsic
def largest(context, vector):
    """The largest of all lanes, none of which is negative; NaN counts as larger than infinity."""

    def code(context, builder, signature, args):
        whole = ir.IntType(vector.dtype.bitwidth)
        bits = ir.VectorType(whole, LANES)
        name = f"llvm.vector.reduce.smax.v{LANES}i{vector.dtype.bitwidth}"
        function = cgutils.get_or_insert_function(builder.module, ir.FunctionType(whole, [bits]), name)
        return builder.bitcast(builder.call(function, [builder.bitcast(args[0], bits)]), args[0].type.element)

    return vector.dtype(vector), code


@intrinsic
def claim(context, counter, amount):
    """Add to the first number of an array and return what it was before, with no other thread in between."""

    def code(context, builder, signature, args):
        data = context.make_array(counter)(context, builder, args[0]).data
        return builder.atomic_rmw("add", data, args[1], "monotonic")

    return types.int64(counter, types.int64), code


@intrinsic
def called(context):
    """Keep the function in which this stands a function: copies of it would only cost time to compile."""

    def code(context, builder, signature, args):
        builder.function.attributes.add("noinline")
        return context.get_dummy_value()

    return types.void(), code


@intrinsic
def flush_denormals(context, state):
    """Have this thread take numbers below 2^-126 as 0, where the state is -1; else bring back that state.

    Returns the former state. Without it a fading memory would cost a hundred times as much on x86.
    """
    x86, arm = (platform.machine().lower() in names for names in (("x86_64", "amd64"), ("arm64", "aarch64")))

    def code(context, builder, signature, args):
        whole = ir.IntType(64)
        asked = builder.icmp_signed("==", args[0], whole(-1))
        if x86:
            word = ir.IntType(32)
            place = cgutils.alloca_once(builder, word)
            pointer = builder.bitcast(place, ir.IntType(8).as_pointer())
            kind = ir.FunctionType(ir.VoidType(), [pointer.type])
            names = (f"llvm.x86.sse.{name}mxcsr" for name in ("st", "ld"))
            read, write = (cgutils.get_or_insert_function(builder.module, kind, name) for name in names)
            builder.call(read, [pointer])
            former = builder.load(place)
            new = builder.select(asked, builder.or_(former, word(0x8040)), builder.trunc(args[0], word))
            builder.store(new, place)
            builder.call(write, [pointer])
            return builder.zext(former, whole)
        if arm:
            get = ir.FunctionType(whole, [])
            put = ir.FunctionType(ir.VoidType(), [whole])
            former = builder.call(
                cgutils.get_or_insert_function(builder.module, get, "llvm.aarch64.get.fpcr"), []
            )
            new = builder.select(asked, builder.or_(former, whole(1 << 24)), args[0])
            builder.call(cgutils.get_or_insert_function(builder.module, put, "llvm.aarch64.set.fpcr"), [new])
            return former
        return args[0]

    return types.int64(types.int64), code


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
