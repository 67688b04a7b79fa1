"""Sixteen float32 lanes at a time, spelt out for the compiler.

numba switches LLVM's straight-line vectoriser off, and its loop vectoriser gives up on loops as short as these
(the check that arrays do not overlap costs more than the loop). The two operations of the product kernel are
therefore written as vector instructions; on machines without 512-bit registers LLVM splits them into narrower
ones, lane by lane the same additions in the same order, so the bits do not depend on the vector width.

Each has a plain twin of the same name, which is what runs when the JIT is off (and what the tests compare with).
"""

from typing import Any

import numpy as np
from llvmlite import ir
from numba.core import cgutils, types
from numba.core import config as numba_config
from numba.extending import intrinsic, overload

from genassoc.shapes import Float32Array

LANES = 16

_VECTOR = ir.VectorType(ir.FloatType(), LANES)


def _load(builder: Any, pointer: Any) -> Any:
    """Load one vector; float32 arrays promise 4-byte alignment and no more."""
    value = builder.load(builder.bitcast(pointer, _VECTOR.as_pointer()))
    value.align = 4
    return value


def _store(builder: Any, value: Any, pointer: Any) -> None:
    builder.store(value, builder.bitcast(pointer, _VECTOR.as_pointer())).align = 4


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
        lane = builder.insert_element(ir.Constant(_VECTOR, ir.Undefined), args[5], ir.IntType(32)(0))
        zeros = ir.Constant(ir.VectorType(ir.IntType(32), LANES), [0] * LANES)
        factors = builder.shuffle_vector(lane, ir.Constant(_VECTOR, ir.Undefined), zeros)
        before = _load(builder, builder.gep(rows_at, [args[2]]))
        added = builder.fadd(before, builder.fmul(factors, values))
        _store(builder, added, builder.gep(rows_at, [args[1]]))
        return context.get_dummy_value()

    return signature, codegen


def add_four_rows(total: Float32Array, to: int, table: Float32Array, a: int, b: int, c: int, d: int) -> None:
    """Add ``((table[a:] + table[b:]) + (table[c:] + table[d:]))`` to ``total[to:]``, sixteen values each."""
    for k in range(LANES):
        four = (table[a + k] + table[b + k]) + (table[c + k] + table[d + k])
        total[to + k] = total[to + k] + four


def extend_row(table: Float32Array, to: int, source: int, column: Float32Array, at: int, factor: np.float32) -> None:
    """Set ``table[to:]`` to ``table[source:] + factor * column[at:]``, sixteen values each."""
    for k in range(LANES):
        table[to + k] = table[source + k] + factor * column[at + k]


if not numba_config.DISABLE_JIT:  # type: ignore[attr-defined]

    @overload(add_four_rows)
    def _add_four_rows_compiled(total, to, table, a, b, c, d):  # type: ignore[no-untyped-def]
        def compiled(total, to, table, a, b, c, d):  # type: ignore[no-untyped-def]
            _add_four_rows(total, to, table, a, b, c, d)  # type: ignore[call-arg]

        return compiled

    @overload(extend_row)
    def _extend_row_compiled(table, to, source, column, at, factor):  # type: ignore[no-untyped-def]
        def compiled(table, to, source, column, at, factor):  # type: ignore[no-untyped-def]
            _extend_row(table, to, source, column, at, factor)  # type: ignore[call-arg]

        return compiled
