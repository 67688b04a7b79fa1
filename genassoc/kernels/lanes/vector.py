"""Sixteen float32 or eight float64 lanes at a time, spelt out for the compiler.

numba switches LLVM's straight-line vectoriser off, and its loop vectoriser gives up on loops as short as these
(the check that arrays do not overlap costs more than the loop). The two operations of the product kernel are
therefore written as vector instructions; on machines without 512-bit registers LLVM splits them into narrower
ones, lane by lane the same additions in the same order, so the bits do not depend on the vector width.

Each has a plain twin of the same name, which is what runs when the JIT is off (and what the tests compare with).
"""

from typing import Any

import numpy as np

from genassoc.kernels.later import cgutils, intrinsic, ir, overload, types
from genassoc.shapes import Float32Array, Float64Array

LANES = 16
DOUBLES = 8


def _vector() -> Any:
    return ir.VectorType(ir.FloatType(), LANES)


def _eight() -> Any:
    return ir.VectorType(ir.DoubleType(), DOUBLES)


def _load(builder: Any, pointer: Any) -> Any:
    """Load one vector; float32 arrays promise 4-byte alignment and no more."""
    value = builder.load(builder.bitcast(pointer, _vector().as_pointer()))
    value.align = 4
    return value


def _store(builder: Any, value: Any, pointer: Any) -> None:
    builder.store(value, builder.bitcast(pointer, _vector().as_pointer())).align = 4


def _data(context: Any, builder: Any, array_type: Any, array: Any) -> Any:
    return cgutils.create_struct_proxy(array_type)(context, builder, value=array).data


@intrinsic
def _add_four_rows(typingctx: Any, total: Any, to: Any, table: Any, a: Any, b: Any, c: Any, d: Any) -> Any:
    signature = types.void(total, types.intp, table, types.intp, types.intp, types.intp, types.intp)

    def codegen(context: Any, builder: Any, sig: Any, args: Any) -> Any:
        target = builder.gep(_data(context, builder, sig.args[0], args[0]), [args[1]])
        rows_at = _data(context, builder, sig.args[2], args[2])
        rows = [_load(builder, builder.gep(rows_at, [offset])) for offset in args[3:7]]
        first, second = builder.fadd(rows[0], rows[1]), builder.fadd(rows[2], rows[3])
        added = builder.fadd(_load(builder, target), builder.fadd(first, second))
        _store(builder, added, target)
        return context.get_dummy_value()

    return signature, codegen


@intrinsic
def _extend_row(typingctx: Any, table: Any, to: Any, source: Any, column: Any, at: Any, factor: Any) -> Any:
    signature = types.void(table, types.intp, types.intp, column, types.intp, types.float32)

    def codegen(context: Any, builder: Any, sig: Any, args: Any) -> Any:
        rows_at = _data(context, builder, sig.args[0], args[0])
        values = _load(builder, builder.gep(_data(context, builder, sig.args[3], args[3]), [args[4]]))
        lane = builder.insert_element(ir.Constant(_vector(), ir.Undefined), args[5], ir.IntType(32)(0))
        zeros = ir.Constant(ir.VectorType(ir.IntType(32), LANES), [0] * LANES)
        factors = builder.shuffle_vector(lane, ir.Constant(_vector(), ir.Undefined), zeros)
        before = _load(builder, builder.gep(rows_at, [args[2]]))
        added = builder.fadd(before, builder.fmul(factors, values))
        _store(builder, added, builder.gep(rows_at, [args[1]]))
        return context.get_dummy_value()

    return signature, codegen


def _doubles(context: Any, builder: Any, array_type: Any, array: Any, at: Any) -> Any:
    """Load eight values, float64 or float32, as float64."""
    pointer = builder.gep(_data(context, builder, array_type, array), [at])
    whole = array_type.dtype == types.float64
    kind = _eight() if whole else ir.VectorType(ir.FloatType(), DOUBLES)
    value = builder.load(builder.bitcast(pointer, kind.as_pointer()))
    value.align = 4
    return value if whole else builder.fpext(value, _eight())


def _store_doubles(context: Any, builder: Any, array_type: Any, array: Any, at: Any, value: Any) -> None:
    pointer = builder.gep(_data(context, builder, array_type, array), [at])
    builder.store(value, builder.bitcast(pointer, _eight().as_pointer())).align = 4


def _eight_times(builder: Any, scalar: Any) -> Any:
    lane = builder.insert_element(ir.Constant(_eight(), ir.Undefined), scalar, ir.IntType(32)(0))
    zeros = ir.Constant(ir.VectorType(ir.IntType(32), DOUBLES), [0] * DOUBLES)
    return builder.shuffle_vector(lane, ir.Constant(_eight(), ir.Undefined), zeros)


@intrinsic
def _add_scaled(typingctx: Any, total: Any, to: Any, row: Any, at: Any, factor: Any) -> Any:
    signature = types.void(total, types.intp, row, types.intp, types.float64)

    def codegen(context: Any, builder: Any, sig: Any, args: Any) -> Any:
        before = _doubles(context, builder, sig.args[0], args[0], args[1])
        values = _doubles(context, builder, sig.args[2], args[2], args[3])
        added = builder.fadd(before, builder.fmul(_eight_times(builder, args[4]), values))
        _store_doubles(context, builder, sig.args[0], args[0], args[1], added)
        return context.get_dummy_value()

    return signature, codegen


@intrinsic
def _subtract_product(typingctx: Any, total: Any, to: Any, a: Any, at: Any, b: Any, place: Any) -> Any:
    signature = types.void(total, types.intp, a, types.intp, b, types.intp)

    def codegen(context: Any, builder: Any, sig: Any, args: Any) -> Any:
        before = _doubles(context, builder, sig.args[0], args[0], args[1])
        first = _doubles(context, builder, sig.args[2], args[2], args[3])
        second = _doubles(context, builder, sig.args[4], args[4], args[5])
        left = builder.fsub(before, builder.fmul(first, second))
        _store_doubles(context, builder, sig.args[0], args[0], args[1], left)
        return context.get_dummy_value()

    return signature, codegen


@intrinsic
def _scale_lanes(typingctx: Any, values: Any, at: Any, factors: Any, place: Any) -> Any:
    signature = types.void(values, types.intp, factors, types.intp)

    def codegen(context: Any, builder: Any, sig: Any, args: Any) -> Any:
        before = _doubles(context, builder, sig.args[0], args[0], args[1])
        scaled = builder.fmul(before, _doubles(context, builder, sig.args[2], args[2], args[3]))
        _store_doubles(context, builder, sig.args[0], args[0], args[1], scaled)
        return context.get_dummy_value()

    return signature, codegen


@intrinsic
def _invert_roots(typingctx: Any, values: Any, at: Any, least: Any) -> Any:
    signature = types.void(values, types.intp, types.float64)

    def codegen(context: Any, builder: Any, sig: Any, args: Any) -> Any:
        before = _doubles(context, builder, sig.args[0], args[0], args[1])
        kind = ir.FunctionType(_eight(), [_eight()])
        sqrt = cgutils.get_or_insert_function(builder.module, kind, "llvm.sqrt.v8f64")
        ones = ir.Constant(_eight(), [1.0] * DOUBLES)
        inverse = builder.fdiv(ones, builder.call(sqrt, [before]))
        kept = builder.fcmp_ordered(">", before, _eight_times(builder, args[2]))
        chosen = builder.select(kept, inverse, ir.Constant(_eight(), [0.0] * DOUBLES))
        _store_doubles(context, builder, sig.args[0], args[0], args[1], chosen)
        return context.get_dummy_value()

    return signature, codegen


def add_scaled(total: Float64Array, to: int, row: Float32Array | Float64Array, at: int, factor: float) -> None:
    """Add ``factor * row[at:]`` to ``total[to:]``, eight values each, in float64."""
    for k in range(DOUBLES):
        total[to + k] += factor * np.float64(row[at + k])


def subtract_product(total: Float64Array, to: int, a: Float64Array, at: int, b: Float64Array, place: int) -> None:
    """Subtract ``a[at:] * b[place:]`` from ``total[to:]``, eight values each."""
    for k in range(DOUBLES):
        total[to + k] -= a[at + k] * b[place + k]


def scale_lanes(values: Float64Array, at: int, factors: Float64Array, place: int) -> None:
    """Multiply ``values[at:]`` by ``factors[place:]``, eight values each."""
    for k in range(DOUBLES):
        values[at + k] *= factors[place + k]


def invert_roots(values: Float64Array, at: int, least: float) -> None:
    """Replace eight ``values[at:]`` by one over their square roots; by 0 where they are not above ``least``."""
    for k in range(DOUBLES):
        values[at + k] = 1.0 / np.sqrt(values[at + k]) if values[at + k] > least else 0.0


def add_four_rows(total: Float32Array, to: int, table: Float32Array, a: int, b: int, c: int, d: int) -> None:
    """Add ``((table[a:] + table[b:]) + (table[c:] + table[d:]))`` to ``total[to:]``, sixteen values each."""
    for k in range(LANES):
        four = (table[a + k] + table[b + k]) + (table[c + k] + table[d + k])
        total[to + k] = total[to + k] + four


def extend_row(table: Float32Array, to: int, source: int, column: Float32Array, at: int, factor: np.float32) -> None:
    """Set ``table[to:]`` to ``table[source:] + factor * column[at:]``, sixteen values each."""
    for k in range(LANES):
        table[to + k] = table[source + k] + factor * column[at + k]


@overload(add_four_rows)
def _add_four_rows_compiled(total, to, table, a, b, c, d):  # type: ignore[no-untyped-def]
    def compiled(total, to, table, a, b, c, d):  # type: ignore[no-untyped-def]
        _add_four_rows(total, to, table, a, b, c, d)

    return compiled


@overload(extend_row)
def _extend_row_compiled(table, to, source, column, at, factor):  # type: ignore[no-untyped-def]
    def compiled(table, to, source, column, at, factor):  # type: ignore[no-untyped-def]
        _extend_row(table, to, source, column, at, factor)

    return compiled


@overload(add_scaled)
def _add_scaled_compiled(total, to, row, at, factor):  # type: ignore[no-untyped-def]
    def compiled(total, to, row, at, factor):  # type: ignore[no-untyped-def]
        _add_scaled(total, to, row, at, factor)

    return compiled


@overload(subtract_product)
def _subtract_product_compiled(total, to, a, at, b, place):  # type: ignore[no-untyped-def]
    def compiled(total, to, a, at, b, place):  # type: ignore[no-untyped-def]
        _subtract_product(total, to, a, at, b, place)

    return compiled


@overload(scale_lanes)
def _scale_lanes_compiled(values, at, factors, place):  # type: ignore[no-untyped-def]
    def compiled(values, at, factors, place):  # type: ignore[no-untyped-def]
        _scale_lanes(values, at, factors, place)

    return compiled


@overload(invert_roots)
def _invert_roots_compiled(values, at, least):  # type: ignore[no-untyped-def]
    def compiled(values, at, least):  # type: ignore[no-untyped-def]
        _invert_roots(values, at, least)

    return compiled
