"""Eight rows of whole numbers by eight columns, turned and made float64, spelt out for the compiler.

Written one at a time, the 64 numbers cost a load, a conversion and a store to a line of memory of their own each; here they are eight loads,
24 shuffles of narrow vectors and eight stores.
"""

from typing import Any

import numpy as np

from genassoc.kernels.lanes.vector import DOUBLES, _data, _eight, _eight_times, _store_doubles
from genassoc.kernels.later import cgutils, intrinsic, ir, overload, types
from genassoc.shapes import Array, Float64Array


def _turned(builder: Any, rows: list[Any]) -> list[Any]:
    """Columns of eight vectors of eight: rows k and k + 4 are interleaved three times over."""
    masks = [[0, 8, 1, 9, 2, 10, 3, 11], [4, 12, 5, 13, 6, 14, 7, 15]]
    kind = ir.VectorType(ir.IntType(32), DOUBLES)
    for _ in range(3):
        pairs = [(rows[k], rows[k + 4]) for k in range(4)]
        rows = [builder.shuffle_vector(a, b, ir.Constant(kind, mask)) for a, b in pairs for mask in masks]
    return rows


@intrinsic
def _lay_turned(
    typingctx: Any, values: Any, row: Any, column: Any, missing: Any, base: Any, sign: Any, square: Any, out: Any, to: Any
) -> Any:  # fmt: skip
    signature = types.void(values, types.intp, types.intp, types.intp, base, sign, types.boolean, out, types.intp)

    def codegen(context: Any, builder: Any, sig: Any, args: Any) -> Any:
        values, row, column, missing, _, _, square, out, to = args
        whole = context.get_value_type(sig.args[0].dtype)
        kind = ir.VectorType(whole, DOUBLES)
        width = builder.extract_value(cgutils.create_struct_proxy(sig.args[0])(context, builder, value=values).shape, 1)
        data, rows = _data(context, builder, sig.args[0], values), []
        for k in range(DOUBLES):
            at = builder.add(builder.mul(builder.add(row, row.type(k)), width), column)
            loaded = builder.load(builder.bitcast(builder.gep(data, [at]), kind.as_pointer()))
            loaded.align = whole.width // 8
            rows.append(loaded)
        zero = ir.Constant(_eight(), [0.0] * DOUBLES)
        bases, signs = (
            builder.load(builder.bitcast(_data(context, builder, sig.args[k], args[k]), _eight().as_pointer()))
            for k in (4, 5)
        )
        bases.align = signs.align = 8
        absent = _eight_times(builder, builder.sitofp(missing, ir.DoubleType()))
        ones = ir.Constant(_eight(), [1.0] * DOUBLES)
        wanted = builder.insert_element(
            ir.Constant(ir.VectorType(ir.IntType(1), DOUBLES), ir.Undefined), square, ir.IntType(32)(0)
        )
        mask = ir.Constant(ir.VectorType(ir.IntType(32), DOUBLES), [0] * DOUBLES)
        wanted = builder.shuffle_vector(wanted, wanted, mask)
        for k, column_of in enumerate(_turned(builder, rows)):
            x = builder.uitofp(column_of, _eight())
            g = builder.fadd(bases, builder.fmul(signs, x))
            g = builder.select(builder.fcmp_ordered("==", x, absent), zero, g)
            g = builder.fmul(g, builder.select(wanted, g, ones))
            _store_doubles(context, builder, sig.args[7], out, builder.add(to, to.type(DOUBLES * k)), g)
        return context.get_dummy_value()

    return signature, codegen


def lay_turned(
    values: Array, row: int, column: int, missing: int, base: Float64Array, sign: Float64Array, square: bool, out: Float64Array, to: int
) -> None:  # fmt: skip
    """Set ``out[to + 8 * i + k]`` to ``g = base[k] + sign[k] * values[row + k, column + i]`` for eight i and eight k.

    It is 0 where the value is ``missing``; where ``square`` it is ``g * g``. All are whole numbers, and exact.
    """
    for k in range(DOUBLES):
        for i in range(DOUBLES):
            x = int(np.int64(values[row + k, column + i]))
            g = 0.0 if x == missing else base[k] + sign[k] * x
            out[to + DOUBLES * i + k] = g * g if square else g


@overload(lay_turned)
def _lay_turned_compiled(values, row, column, missing, base, sign, square, out, to):  # type: ignore[no-untyped-def]
    def compiled(values, row, column, missing, base, sign, square, out, to):  # type: ignore[no-untyped-def]
        _lay_turned(values, row, column, missing, base, sign, square, out, to)

    return compiled
