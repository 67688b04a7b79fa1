"""Eight decimal numbers of text at a time, spelt out for the compiler: ``0``, ``0.5``, ``1.00001``.

A number is loaded as one word of eight bytes, the first digit lowest; eight words are one vector. The point is taken out, and
digits are joined to pairs, fours and eights. No loop over bytes, and none over words read from anywhere, is made into that by
numba's vectoriser. Whole numbers, so that results do not depend on the width of the machine's registers.

The plain twin of the same name is what runs when the JIT is off (and what the tests compare with).
"""

from typing import Any

from genassoc.kernels import when_compiling
from genassoc.shapes import Int32Array, UInt8Array, UInt32Array

NUMBERS = 8  # at a time
UNIT = 100  # billionths: seven decimals
NOT_SHORT = 4_294_967_295


def short_numbers(text: UInt8Array, at: int, ends: Int32Array, first: int, out: UInt32Array) -> None:
    """Read the parts ``first`` to ``first + 7`` of a line of parts, part t being from ``ends[t - 1] + 1`` to ``ends[t]`` behind ``at``.

    ``out[t]`` is a number in units of `UNIT` billionths where part t is one digit, or one with a point and one to five digits
    more; else `NOT_SHORT`. Eight bytes are read from where each part begins, whatever its length.
    """
    for t in range(first, first + NUMBERS):
        part = bytes(text[at + int(ends[t - 1]) + 1 : at + int(ends[t])])
        digits = part[:1] + part[2:]
        short = len(part) == 1 or (2 < len(part) < 8 and part[1:2] == b".")
        out[t] = int(digits.ljust(8, b"0")) if short and digits.isdigit() else NOT_SHORT


@when_compiling
def _spell_out() -> None:
    """Tell numba how to compile the function above."""
    from llvmlite import ir
    from numba.core import cgutils, types
    from numba.extending import intrinsic, overload

    _BYTE, _SHORT, _WORD = ir.IntType(8), ir.IntType(32), ir.IntType(64)
    _SHORTS, _WORDS = ir.VectorType(_SHORT, NUMBERS), ir.VectorType(_WORD, NUMBERS)

    def _all(value: int) -> Any:
        return ir.Constant(_WORDS, [value] * NUMBERS)

    def _data(context: Any, builder: Any, array_type: Any, array: Any) -> Any:
        return cgutils.create_struct_proxy(array_type)(context, builder, value=array).data

    def _loaded(builder: Any, pointer: Any, kind: Any) -> Any:
        value = builder.load(builder.bitcast(pointer, kind.as_pointer()))
        value.align = 1
        return value

    @intrinsic
    def _short_numbers(typingctx: Any, text: Any, at: Any, ends: Any, first: Any, out: Any) -> Any:
        signature = types.void(text, types.intp, ends, types.intp, out)

        def codegen(context: Any, builder: Any, sig: Any, args: Any) -> Any:
            begin = builder.gep(_data(context, builder, sig.args[0], args[0]), [args[1]])
            marks = _data(context, builder, sig.args[2], args[2])
            before = builder.gep(marks, [builder.sub(args[3], ir.Constant(_WORD, 1))])
            starts = builder.add(_loaded(builder, before, _SHORTS), ir.Constant(_SHORTS, [1] * NUMBERS))
            stops = _loaded(builder, builder.gep(marks, [args[3]]), _SHORTS)
            n = builder.zext(builder.sub(stops, starts), _WORDS)
            words = ir.Constant(_WORDS, ir.Undefined)
            for lane in range(NUMBERS):
                # from memory again: taking lanes out of a vector costs more
                end = _loaded(builder, builder.gep(before, [ir.Constant(_WORD, lane)]), _SHORT)
                start = builder.add(builder.zext(end, _WORD), ir.Constant(_WORD, 1))
                word = _loaded(builder, builder.gep(begin, [start]), _WORD)
                words = builder.insert_element(words, word, _SHORT(lane))
            # digits, and zeros behind the end
            bits = builder.and_(builder.shl(n, _all(3)), _all(56))
            there = builder.sub(builder.shl(_all(1), bits), _all(1))
            digits = builder.and_(builder.xor(words, _all(0x3030303030303030)), there)
            low = builder.and_(digits, _all(0xFF))
            rest = builder.lshr(digits, _all(8))
            point = builder.and_(rest, _all(0xFF))
            joined = builder.or_(low, builder.and_(rest, _all(0xFFFFFFFFFFFFFF00)))
            beyond_nine = builder.or_(builder.add(joined, _all(0x7676767676767676)), joined)
            odd = builder.and_(beyond_nine, _all(0x8080808080808080))
            several = builder.icmp_unsigned(">", n, _all(1))
            odd = builder.or_(odd, builder.xor(point, builder.select(several, _all(46 ^ 48), _all(0))))
            # one byte, or three to seven
            short = builder.or_(
                builder.icmp_unsigned("==", n, _all(1)),
                builder.icmp_unsigned("<", builder.sub(n, _all(3)), _all(5)),
            )
            # a b c d e f g h: 10 a + b, 100 (10 a + b) + (10 c + d), ...
            tens = builder.add(builder.shl(joined, _all(3)), builder.shl(joined, _all(1)))
            pairs = builder.and_(builder.add(tens, builder.lshr(joined, _all(8))), _all(0x00FF00FF00FF00FF))
            hundreds = builder.add(
                builder.add(builder.shl(pairs, _all(6)), builder.shl(pairs, _all(5))), builder.shl(pairs, _all(2))
            )
            fours = builder.and_(builder.add(hundreds, builder.lshr(pairs, _all(16))), _all(0x0000FFFF0000FFFF))
            upper = builder.mul(builder.and_(fours, _all(0xFFFFFFFF)), _all(10_000))
            value = builder.trunc(builder.add(upper, builder.lshr(fours, _all(32))), _SHORTS)
            sound = builder.and_(short, builder.icmp_unsigned("==", odd, _all(0)))
            value = builder.select(sound, value, ir.Constant(_SHORTS, [NOT_SHORT] * NUMBERS))
            target = builder.gep(_data(context, builder, sig.args[4], args[4]), [args[3]])
            builder.store(value, builder.bitcast(target, _SHORTS.as_pointer())).align = 1
            return context.get_dummy_value()

        return signature, codegen

    @overload(short_numbers)
    def _short_numbers_compiled(text, at, ends, first, out):  # type: ignore[no-untyped-def]
        def compiled(text, at, ends, first, out):  # type: ignore[no-untyped-def]
            return _short_numbers(text, at, ends, first, out)  # type: ignore[call-arg]

        return compiled
