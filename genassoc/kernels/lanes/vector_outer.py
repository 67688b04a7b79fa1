"""Outer products of four samples at a time, added in one pass over their sum; and asking for memory ahead of its use."""

from typing import Any

from genassoc.kernels.lanes.vector import DOUBLES, _data, _doubles, _eight_times, _store_doubles
from genassoc.kernels.later import cgutils, intrinsic, ir, overload, types
from genassoc.shapes import Array, Float64Array


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
def _prefetch(typingctx: Any, values: Any, at: Any) -> Any:
    signature = types.void(values, types.intp)

    def codegen(context: Any, builder: Any, sig: Any, args: Any) -> Any:
        byte, number = ir.IntType(8).as_pointer(), ir.IntType(32)
        kind = ir.FunctionType(ir.VoidType(), [byte, number, number, number])
        name = "llvm.prefetch.p0i8" if hasattr(byte, "pointee") else "llvm.prefetch.p0"
        place = builder.gep(_data(context, builder, sig.args[0], args[0]), [args[1]])
        # To be read, kept in every cache, data.
        wanted = [builder.bitcast(place, byte), number(0), number(3), number(1)]
        builder.call(cgutils.get_or_insert_function(builder.module, kind, name), wanted)
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


def prefetch(values: Array, at: int) -> None:
    """Ask for the cache line of ``values[at]``, which is read soon; no result depends on it."""


@overload(add_outer)
def _add_outer_compiled(  # type: ignore[no-untyped-def]
    total, to, stride, first, stop, factors, a, b, c, d, rows, at_a, at_b, at_c, at_d
):
    def compiled(  # type: ignore[no-untyped-def]
        total, to, stride, first, stop, factors, a, b, c, d, rows, at_a, at_b, at_c, at_d
    ):
        _add_outer(total, to, stride, first, stop, factors, a, b, c, d, rows, at_a, at_b, at_c, at_d)

    return compiled


@overload(prefetch)
def _prefetch_compiled(values, at):  # type: ignore[no-untyped-def]
    def compiled(values, at):  # type: ignore[no-untyped-def]
        _prefetch(values, at)

    return compiled
