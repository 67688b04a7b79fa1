"""Outer products of four samples at a time, added in one pass over their sum; one row added to several sums, rows of
a list added to one; and asking for memory ahead of its use. Arrays are contiguous.

Calls are put in place of their names (``inline="always"``): as functions these would be too long for the compiler to do so, and
each call would pass seven numbers an array.
"""

from typing import Any

import numpy as np

from genassoc.kernels.lanes.vector import DOUBLES, _data, _doubles, _eight_times, _store_doubles
from genassoc.kernels.later import cgutils, intrinsic, ir, overload, types
from genassoc.shapes import Array, Float32Array, Float64Array, Int64Array, UInt32Array

AHEAD = 16  # rows: about as long as memory takes


@intrinsic
def _add_outer(
    typingctx: Any, total: Any, to: Any, stride: Any, first: Any, stop: Any,
    factors: Any, a: Any, b: Any, c: Any, d: Any, rows: Any, at_a: Any, at_b: Any, at_c: Any, at_d: Any,
) -> Any:  # fmt: skip
    places = [types.intp] * 4
    signature = types.void(total, *places, factors, *places, rows, *places)

    def codegen(context: Any, builder: Any, sig: Any, args: Any) -> Any:
        total, to, stride, first, stop, factors = args[:6]
        # Loaded once: the compiler cannot know that storing to the total leaves them as they are.
        rows = [_doubles(context, builder, sig.args[10], args[10], at) for at in args[11:]]
        data = _data(context, builder, sig.args[5], factors)
        with cgutils.for_range_slice(builder, first, stop, ir.Constant(first.type, 1)) as (i, _):
            at = builder.add(to, builder.mul(i, stride))
            four = [_eight_times(builder, builder.load(builder.gep(data, [builder.add(f, i)]))) for f in args[6:10]]
            terms = [builder.fmul(factor, row) for factor, row in zip(four, rows)]
            added = builder.fadd(builder.fadd(terms[0], terms[1]), builder.fadd(terms[2], terms[3]))
            before = _doubles(context, builder, sig.args[0], total, at)
            _store_doubles(context, builder, sig.args[0], total, at, builder.fadd(before, added))
        return context.get_dummy_value()

    return signature, codegen


@intrinsic
def _add_to_rows(
    typingctx: Any, total: Any, to: Any, width: Any, which: Any, first: Any, stop: Any, row: Any, at: Any, factors: Any, f_at: Any
) -> Any:  # fmt: skip
    places = [types.intp] * 2
    signature = types.void(total, *places, which, *places, row, types.intp, factors, types.intp)

    def codegen(context: Any, builder: Any, sig: Any, args: Any) -> Any:
        total, to, width, which, first, stop, row, at, factors, f_at = args
        number = width.type
        numbers = _data(context, builder, sig.args[3], which)

        def added(k: Any, n_vectors: int, begins: bool) -> None:
            """Add some vectors of the row, from k, which stay in registers."""
            places = [builder.add(k, number(DOUBLES * i)) for i in range(n_vectors)]
            values = [_doubles(context, builder, sig.args[6], row, builder.add(at, place)) for place in places]
            scales = [_doubles(context, builder, sig.args[8], factors, builder.add(f_at, number(DOUBLES)))] * n_vectors
            if begins:
                values[0] = builder.insert_element(values[0], ir.Constant(ir.DoubleType(), 1.0), ir.IntType(32)(0))
                scales[0] = _doubles(context, builder, sig.args[8], factors, f_at)
            terms = [builder.fmul(scale, value) for scale, value in zip(scales, values)]
            with cgutils.for_range_slice(builder, first, stop, number(1)) as (m, _):
                start = builder.add(to, builder.mul(builder.load(builder.gep(numbers, [m])), width))
                here = [builder.add(start, place) for place in places]
                # Loaded before any is stored: the compiler cannot know that they do not overlap.
                before = [_doubles(context, builder, sig.args[0], total, at) for at in here]
                for at_one, value, term in zip(here, before, terms):
                    _store_doubles(context, builder, sig.args[0], total, at_one, builder.fadd(value, term))

        with builder.if_else(builder.icmp_signed("==", width, number(DOUBLES))) as (narrow, wide):
            with narrow:
                added(number(0), 1, True)
            with wide:
                added(number(0), 2, True)
                rest = number(2 * DOUBLES)
                with cgutils.for_range_slice(builder, rest, width, number(DOUBLES)) as (k, _):
                    added(k, 1, False)
        return context.get_dummy_value()

    return signature, codegen


@intrinsic
def _add_listed(
    typingctx: Any, total: Any, rows: Any, width: Any, listed: Any, n: Any, one: Any, two: Any
) -> Any:  # fmt: skip
    signature = types.void(total, rows, types.intp, listed, types.intp, types.float64, types.float64)

    def codegen(context: Any, builder: Any, sig: Any, args: Any) -> Any:
        total, rows, width, listed, n, one, two = args
        number = width.type
        numbers = _data(context, builder, sig.args[3], listed)
        last = builder.sub(n, number(1))

        def entry(e: Any) -> Any:
            return builder.zext(builder.load(builder.gep(numbers, [e])), number)

        def added(k: Any, n_vectors: int) -> None:
            """Some vectors of all rows listed, from column k, in sums that stay in registers."""
            places = [builder.add(k, number(DOUBLES * i)) for i in range(n_vectors)]
            before = [_doubles(context, builder, sig.args[0], total, place) for place in places]
            sums = [cgutils.alloca_once_value(builder, value) for value in before]
            with cgutils.for_range_slice(builder, number(0), n, number(1)) as (e, _):
                ahead = builder.add(e, number(AHEAD))
                ahead = builder.select(builder.icmp_signed("<", ahead, last), ahead, last)
                later = builder.mul(builder.lshr(entry(ahead), number(1)), width)
                for place in places[::2]:
                    _ask_for(context, builder, sig.args[1], rows, builder.add(later, place))
                here = entry(e)
                at = builder.mul(builder.lshr(here, number(1)), width)
                has_two = builder.trunc(here, ir.IntType(1))
                factor = _eight_times(builder, builder.select(has_two, two, one))
                for place, kept in zip(places, sums):
                    term = builder.fmul(factor, _doubles(context, builder, sig.args[1], rows, builder.add(at, place)))
                    builder.store(builder.fadd(builder.load(kept), term), kept)
            for place, kept in zip(places, sums):
                _store_doubles(context, builder, sig.args[0], total, place, builder.load(kept))

        whole = builder.and_(width, number(-8 * DOUBLES))
        with cgutils.for_range_slice(builder, number(0), whole, number(8 * DOUBLES)) as (k, _):
            added(k, 8)
        with cgutils.for_range_slice(builder, whole, width, number(2 * DOUBLES)) as (k, _):
            added(k, 2)
        return context.get_dummy_value()

    return signature, codegen


def _ask_for(context: Any, builder: Any, array_type: Any, values: Any, at: Any) -> None:
    byte, number = ir.IntType(8).as_pointer(), ir.IntType(32)
    kind = ir.FunctionType(ir.VoidType(), [byte, number, number, number])
    name = "llvm.prefetch.p0i8" if hasattr(byte, "pointee") else "llvm.prefetch.p0"
    place = builder.gep(_data(context, builder, array_type, values), [at])
    # To be read, kept in every cache, data.
    wanted = [builder.bitcast(place, byte), number(0), number(3), number(1)]
    builder.call(cgutils.get_or_insert_function(builder.module, kind, name), wanted)


@intrinsic
def _prefetch(typingctx: Any, values: Any, at: Any) -> Any:
    signature = types.void(values, types.intp)

    def codegen(context: Any, builder: Any, sig: Any, args: Any) -> Any:
        _ask_for(context, builder, sig.args[0], args[0], args[1])
        return context.get_dummy_value()

    return signature, codegen


def add_outer(
    total: Float64Array, to: int, stride: int, first: int, stop: int,
    factors: Float64Array, a: int, b: int, c: int, d: int, rows: Float64Array, at_a: int, at_b: int, at_c: int, at_d: int,
) -> None:  # fmt: skip
    """Add ``(fa ra + fb rb) + (fc rc + fd rd)`` to ``total[to + i * stride:]`` for i from first to stop.

    ``fa`` is ``factors[a + i]``, ``ra`` the eight values ``rows[at_a:]``, and so on.
    """
    for i in range(first, stop):
        for k in range(DOUBLES):
            one = factors[a + i] * rows[at_a + k] + factors[b + i] * rows[at_b + k]
            two = factors[c + i] * rows[at_c + k] + factors[d + i] * rows[at_d + k]
            total[to + i * stride + k] += one + two


def add_to_rows(
    total: Float64Array, to: int, width: int, which: Int64Array, first: int, stop: int, row: Float64Array, at: int,
    factors: Float64Array, f_at: int,
) -> None:  # fmt: skip
    """Add ``row[at:]``, ``width`` values (a multiple of eight), 1 in place of the first, to several rows of a total.

    These are ``total[to + which[m] * width:]`` for m from first to stop. The first eight values are multiplied with
    ``factors[f_at:]``, eight others each with ``factors[f_at + 8:]``.
    """
    for m in range(first, stop):
        place = to + which[m] * width
        total[place] += factors[f_at]
        for k in range(1, width):
            total[place + k] += factors[f_at + (k if k < DOUBLES else DOUBLES + k % DOUBLES)] * row[at + k]


def add_listed(
    total: Float64Array, rows: Float32Array, width: int, listed: UInt32Array, n: int, one: float, two: float
) -> None:
    """Add the first n rows listed, ``width`` values each (a multiple of sixteen), to ``total``.

    An entry is a row's number doubled, and one more where it counts ``two`` and not ``one``. Rows are added in their order.
    """
    for e in range(n):
        at, factor = int(listed[e] >> 1) * width, two if listed[e] & 1 else one
        for k in range(width):
            total[k] += factor * np.float64(rows[at + k])


def prefetch(values: Array, at: int) -> None:
    """Ask for the cache line of ``values[at]``, which is read soon; no result depends on it."""


@overload(add_outer, inline="always")
def _add_outer_compiled(  # type: ignore[no-untyped-def]
    total, to, stride, first, stop, factors, a, b, c, d, rows, at_a, at_b, at_c, at_d
):
    def compiled(  # type: ignore[no-untyped-def]
        total, to, stride, first, stop, factors, a, b, c, d, rows, at_a, at_b, at_c, at_d
    ):
        _add_outer(total, to, stride, first, stop, factors, a, b, c, d, rows, at_a, at_b, at_c, at_d)

    return compiled


@overload(add_to_rows, inline="always")
def _add_to_rows_compiled(total, to, width, which, first, stop, row, at, factors, f_at):  # type: ignore[no-untyped-def]
    def compiled(total, to, width, which, first, stop, row, at, factors, f_at):  # type: ignore[no-untyped-def]
        _add_to_rows(total, to, width, which, first, stop, row, at, factors, f_at)

    return compiled


@overload(add_listed, inline="always")
def _add_listed_compiled(total, rows, width, listed, n, one, two):  # type: ignore[no-untyped-def]
    def compiled(total, rows, width, listed, n, one, two):  # type: ignore[no-untyped-def]
        _add_listed(total, rows, width, listed, n, one, two)

    return compiled


@overload(prefetch)
def _prefetch_compiled(values, at):  # type: ignore[no-untyped-def]
    def compiled(values, at):  # type: ignore[no-untyped-def]
        _prefetch(values, at)

    return compiled
