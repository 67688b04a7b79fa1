"""Eight float64 lanes at a time: the inner loops of logistic regressions, spelt out for the compiler.

As in `genassoc.kernels.lanes.vector`, and for the same reason: LLVM may not reorder a float64 sum, so a plain loop over
samples runs one addition at a time. Here sample i of a tile goes to lane i % 8, in order; what the lanes hold is added
up by the caller at the end. The order depends on the number of samples alone. Multiplication and addition are one
instruction where the processor has it (``llvm.fmuladd``), so that bits may differ between kinds of processors.

Columns of a tile lie one after another, `TILE` samples each. Each function has a plain twin of the same name, which is
what runs when the JIT is off (and what the tests compare with).
"""

from typing import Any

from genassoc.kernels.later import cgutils, intrinsic, ir, overload, types
from genassoc.shapes import Float64Array

LANES64 = 8
TILE = 128  # samples: the columns of 12 covariates take 16 KB, half of a first-level cache
FOUR = 4  # columns that a loop takes at once: sixteen sums fit the registers


def _vector() -> Any:
    return ir.VectorType(ir.DoubleType(), LANES64)


def _data(context: Any, builder: Any, array_type: Any, array: Any) -> Any:
    return cgutils.create_struct_proxy(array_type)(context, builder, value=array).data


def _load(builder: Any, base: Any, offset: Any) -> Any:
    value = builder.load(builder.bitcast(builder.gep(base, [offset]), _vector().as_pointer()))
    value.align = 8
    return value


def _store(builder: Any, value: Any, base: Any, offset: Any) -> None:
    builder.store(value, builder.bitcast(builder.gep(base, [offset]), _vector().as_pointer())).align = 8


def _multiply_add(builder: Any, a: Any, b: Any, c: Any) -> Any:
    function = cgutils.get_or_insert_function(
        builder.module, ir.FunctionType(_vector(), [_vector()] * 3), "llvm.fmuladd.v8f64"
    )
    return builder.call(function, [a, b, c])


def _broadcast(builder: Any, scalar: Any) -> Any:
    lane = builder.insert_element(ir.Constant(_vector(), ir.Undefined), scalar, ir.IntType(32)(0))
    zeros = ir.Constant(ir.VectorType(ir.IntType(32), LANES64), [0] * LANES64)
    return builder.shuffle_vector(lane, ir.Constant(_vector(), ir.Undefined), zeros)


def _at(builder: Any, start: Any, steps: int) -> Any:
    return builder.add(start, ir.Constant(start.type, steps))


def _over_tile(builder: Any, like: Any) -> Any:
    """A loop over the samples of a tile, eight at a time."""
    number = like.type
    return cgutils.for_range_slice(
        builder, ir.Constant(number, 0), ir.Constant(number, TILE), ir.Constant(number, LANES64), number
    )


@intrinsic
def _add_gram(typingctx: Any, w: Any, w_at: Any, T: Any, j_at: Any, k_at: Any, sums: Any, to: Any) -> Any:
    signature = types.void(w, types.intp, T, types.intp, types.intp, sums, types.intp)

    def codegen(context: Any, builder: Any, sig: Any, args: Any) -> Any:
        weight = _data(context, builder, sig.args[0], args[0])
        columns = _data(context, builder, sig.args[2], args[2])
        out = _data(context, builder, sig.args[5], args[5])
        places = [_at(builder, args[6], LANES64 * s) for s in range(FOUR * FOUR)]
        kept = [cgutils.alloca_once_value(builder, _load(builder, out, place)) for place in places]
        with _over_tile(builder, args[1]) as (i, _):
            x = _load(builder, weight, builder.add(args[1], i))
            left = [_load(builder, columns, builder.add(_at(builder, args[3], TILE * j), i)) for j in range(FOUR)]
            left = [builder.fmul(x, value) for value in left]
            right = [_load(builder, columns, builder.add(_at(builder, args[4], TILE * k), i)) for k in range(FOUR)]
            for j in range(FOUR):
                for k in range(FOUR):
                    slot = kept[FOUR * j + k]
                    builder.store(_multiply_add(builder, left[j], right[k], builder.load(slot)), slot)
        for slot, place in zip(kept, places):
            _store(builder, builder.load(slot), out, place)
        return context.get_dummy_value()

    return signature, codegen


@intrinsic
def _add_dots(typingctx: Any, r: Any, r_at: Any, T: Any, k_at: Any, sums: Any, to: Any) -> Any:
    signature = types.void(r, types.intp, T, types.intp, sums, types.intp)

    def codegen(context: Any, builder: Any, sig: Any, args: Any) -> Any:
        values = _data(context, builder, sig.args[0], args[0])
        columns = _data(context, builder, sig.args[2], args[2])
        out = _data(context, builder, sig.args[4], args[4])
        places = [_at(builder, args[5], LANES64 * k) for k in range(FOUR)]
        kept = [cgutils.alloca_once_value(builder, _load(builder, out, place)) for place in places]
        with _over_tile(builder, args[1]) as (i, _):
            x = _load(builder, values, builder.add(args[1], i))
            for k in range(FOUR):
                right = _load(builder, columns, builder.add(_at(builder, args[3], TILE * k), i))
                builder.store(_multiply_add(builder, x, right, builder.load(kept[k])), kept[k])
        for slot, place in zip(kept, places):
            _store(builder, builder.load(slot), out, place)
        return context.get_dummy_value()

    return signature, codegen


@intrinsic
def _add_combination(typingctx: Any, T: Any, k_at: Any, factors: Any, f_at: Any, out: Any, to: Any) -> Any:
    signature = types.void(T, types.intp, factors, types.intp, out, types.intp)

    def codegen(context: Any, builder: Any, sig: Any, args: Any) -> Any:
        columns = _data(context, builder, sig.args[0], args[0])
        given = _data(context, builder, sig.args[2], args[2])
        total = _data(context, builder, sig.args[4], args[4])
        scalars = [
            _broadcast(builder, builder.load(builder.gep(given, [_at(builder, args[3], k)]))) for k in range(FOUR)
        ]
        with _over_tile(builder, args[1]) as (i, _):
            place = builder.add(args[5], i)
            value = _load(builder, total, place)
            for k in range(FOUR):
                column = _load(builder, columns, builder.add(_at(builder, args[1], TILE * k), i))
                value = _multiply_add(builder, scalars[k], column, value)
            _store(builder, value, total, place)
        return context.get_dummy_value()

    return signature, codegen


def add_gram(w: Float64Array, w_at: int, T: Float64Array, j_at: int, k_at: int, sums: Float64Array, to: int) -> None:
    """Add ``w * column j * column k`` of a tile, four j by four k, to sixteen sums of eight lanes each."""
    for j in range(FOUR):
        for k in range(FOUR):
            for i in range(TILE):
                product = w[w_at + i] * T[j_at + TILE * j + i] * T[k_at + TILE * k + i]
                sums[to + LANES64 * (FOUR * j + k) + i % LANES64] += product


def add_dots(r: Float64Array, r_at: int, T: Float64Array, k_at: int, sums: Float64Array, to: int) -> None:
    """Add ``r * column k`` of a tile, four k, to four sums of eight lanes each."""
    for k in range(FOUR):
        for i in range(TILE):
            sums[to + LANES64 * k + i % LANES64] += r[r_at + i] * T[k_at + TILE * k + i]


def add_combination(T: Float64Array, k_at: int, factors: Float64Array, f_at: int, out: Float64Array, to: int) -> None:
    """Add four columns of a tile, each times its factor, to a column."""
    for i in range(TILE):
        for k in range(FOUR):
            out[to + i] += factors[f_at + k] * T[k_at + TILE * k + i]


@overload(add_gram)
def _add_gram_compiled(w, w_at, T, j_at, k_at, sums, to):  # type: ignore[no-untyped-def]
    def compiled(w, w_at, T, j_at, k_at, sums, to):  # type: ignore[no-untyped-def]
        _add_gram(w, w_at, T, j_at, k_at, sums, to)

    return compiled


@overload(add_dots)
def _add_dots_compiled(r, r_at, T, k_at, sums, to):  # type: ignore[no-untyped-def]
    def compiled(r, r_at, T, k_at, sums, to):  # type: ignore[no-untyped-def]
        _add_dots(r, r_at, T, k_at, sums, to)

    return compiled


@overload(add_combination)
def _add_combination_compiled(T, k_at, factors, f_at, out, to):  # type: ignore[no-untyped-def]
    def compiled(T, k_at, factors, f_at, out, to):  # type: ignore[no-untyped-def]
        _add_combination(T, k_at, factors, f_at, out, to)

    return compiled
