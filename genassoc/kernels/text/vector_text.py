"""Sixty-four bytes of text at a time, spelt out for the compiler: where each kind of byte stands, as 64-bit masks.

Bit i of a mask speaks of byte ``at + i``. Comparing 64 bytes and gathering the answers into one word is an instruction
or two on any x86-64 or ARM machine, but no loop over bytes is made into that by numba's vectoriser. Masks are exact,
so they do not depend on the width of the machine's registers.

Each has a plain twin of the same name, which is what runs when the JIT is off (and what the tests compare with).
"""

from typing import Any

import numpy as np

from genassoc.kernels import when_compiling
from genassoc.shapes import UInt8Array

WIDTH = 64


def call_masks(
    text: UInt8Array, at: int, top: np.uint8, wanted: np.uint8
) -> tuple[np.uint64, np.uint64, np.uint64, np.uint64, np.uint64]:
    """Masks of bytes that are: an allele 0 to ``top`` or ``.``; ``/`` or ``|``; a tab; allele ``wanted``; ``.``."""
    masks = [0, 0, 0, 0, 0]
    for i in range(WIDTH):
        byte = int(text[at + i])
        digit = byte - 48
        found = (0 <= digit <= int(top) or byte == 46, byte in (47, 124), byte == 9, digit == int(wanted), byte == 46)
        for kind in range(5):
            masks[kind] |= int(found[kind]) << i
    return np.uint64(masks[0]), np.uint64(masks[1]), np.uint64(masks[2]), np.uint64(masks[3]), np.uint64(masks[4])


def field_masks(text: UInt8Array, at: int) -> tuple[np.uint64, np.uint64]:
    """Masks of bytes that are: a digit or one of ``+ - . , :``; a colon."""
    plain = colon = 0
    for i in range(WIDTH):
        byte = chr(text[at + i])
        plain |= int(byte in "0123456789+-.,:") << i
        colon |= int(byte == ":") << i
    return np.uint64(plain), np.uint64(colon)


def separator_masks(text: UInt8Array, at: int) -> tuple[np.uint64, np.uint64, np.uint64, np.uint64]:
    """Masks of bytes that are: a tab, a line end, or one of ``, :``; a newline; a tab; a comma."""
    masks = [0, 0, 0, 0]
    for i in range(WIDTH):
        byte = int(text[at + i])
        for kind, found in enumerate((9 <= byte <= 13 or byte in (44, 58), byte == 10, byte == 9, byte == 44)):
            masks[kind] |= int(found) << i
    return np.uint64(masks[0]), np.uint64(masks[1]), np.uint64(masks[2]), np.uint64(masks[3])


def trailing_zeros(mask: np.uint64) -> int:
    """Zeros below the lowest one of a mask; 64 where there is none."""
    value = int(mask)
    return (value & -value).bit_length() - 1 if value else WIDTH


def ones(mask: np.uint64) -> int:
    """How many bits of a mask are set."""
    return int(mask).bit_count()


@when_compiling
def _spell_out() -> None:
    """Tell numba how to compile the functions above."""
    from llvmlite import ir
    from numba.core import cgutils, types
    from numba.extending import intrinsic, overload

    _BYTE = ir.IntType(8)
    _MASK = ir.IntType(WIDTH)
    _BYTES = ir.VectorType(_BYTE, WIDTH)

    def _load(context: Any, builder: Any, array_type: Any, array: Any, at: Any) -> Any:
        """Load 64 bytes from anywhere."""
        data = cgutils.create_struct_proxy(array_type)(context, builder, value=array).data
        value = builder.load(builder.bitcast(builder.gep(data, [at]), _BYTES.as_pointer()))
        value.align = 1
        return value

    def _all(byte: int) -> Any:
        return ir.Constant(_BYTES, [byte] * WIDTH)

    def _splat(builder: Any, byte: Any) -> Any:
        lane = builder.insert_element(ir.Constant(_BYTES, ir.Undefined), byte, ir.IntType(32)(0))
        zeros = ir.Constant(ir.VectorType(ir.IntType(32), WIDTH), [0] * WIDTH)
        return builder.shuffle_vector(lane, ir.Constant(_BYTES, ir.Undefined), zeros)

    def _is(builder: Any, values: Any, byte: str) -> Any:
        return builder.icmp_unsigned("==", values, _all(ord(byte)))

    def _answer(context: Any, builder: Any, signature: Any, lanes: list[Any]) -> Any:
        """Comparisons as a tuple of masks."""
        return context.make_tuple(builder, signature.return_type, [builder.bitcast(lane, _MASK) for lane in lanes])

    @intrinsic
    def _call_masks(typingctx: Any, text: Any, at: Any, top: Any, wanted: Any) -> Any:
        signature = types.UniTuple(types.uint64, 5)(text, types.intp, types.uint8, types.uint8)

        def codegen(context: Any, builder: Any, sig: Any, args: Any) -> Any:
            values = _load(context, builder, sig.args[0], args[0], args[1])
            digits = builder.sub(values, _all(ord("0")))
            absent = _is(builder, values, ".")
            allele = builder.icmp_unsigned("<=", digits, _splat(builder, args[2]))
            counted = builder.icmp_unsigned("==", digits, _splat(builder, args[3]))
            separator = builder.or_(_is(builder, values, "/"), _is(builder, values, "|"))
            lanes = [builder.or_(allele, absent), separator, _is(builder, values, "\t"), counted, absent]
            return _answer(context, builder, sig, lanes)

        return signature, codegen

    @intrinsic
    def _field_masks(typingctx: Any, text: Any, at: Any) -> Any:
        signature = types.UniTuple(types.uint64, 2)(text, types.intp)

        def codegen(context: Any, builder: Any, sig: Any, args: Any) -> Any:
            values = _load(context, builder, sig.args[0], args[0], args[1])
            # + , - . / and the digits and : are neighbours in ASCII
            near = builder.icmp_unsigned("<=", builder.sub(values, _all(ord("+"))), _all(ord(":") - ord("+")))
            plain = builder.and_(near, builder.icmp_unsigned("!=", values, _all(ord("/"))))
            return _answer(context, builder, sig, [plain, _is(builder, values, ":")])

        return signature, codegen

    @intrinsic
    def _separator_masks(typingctx: Any, text: Any, at: Any) -> Any:
        signature = types.UniTuple(types.uint64, 4)(text, types.intp)

        def codegen(context: Any, builder: Any, sig: Any, args: Any) -> Any:
            values = _load(context, builder, sig.args[0], args[0], args[1])
            ends = builder.icmp_unsigned("<=", builder.sub(values, _all(ord("\t"))), _all(ord("\r") - ord("\t")))
            comma = _is(builder, values, ",")
            inner = builder.or_(comma, _is(builder, values, ":"))
            lanes = [builder.or_(ends, inner), _is(builder, values, "\n"), _is(builder, values, "\t"), comma]
            return _answer(context, builder, sig, lanes)

        return signature, codegen

    @intrinsic
    def _trailing_zeros(typingctx: Any, mask: Any) -> Any:
        signature = types.intp(types.uint64)

        def codegen(context: Any, builder: Any, sig: Any, args: Any) -> Any:
            return builder.cttz(args[0], ir.IntType(1)(0))

        return signature, codegen

    @intrinsic
    def _ones(typingctx: Any, mask: Any) -> Any:
        signature = types.intp(types.uint64)

        def codegen(context: Any, builder: Any, sig: Any, args: Any) -> Any:
            return builder.ctpop(args[0])

        return signature, codegen

    @overload(call_masks)
    def _call_masks_compiled(text, at, top, wanted):  # type: ignore[no-untyped-def]
        def compiled(text, at, top, wanted):  # type: ignore[no-untyped-def]
            return _call_masks(text, at, top, wanted)  # type: ignore[call-arg]

        return compiled

    @overload(field_masks)
    def _field_masks_compiled(text, at):  # type: ignore[no-untyped-def]
        def compiled(text, at):  # type: ignore[no-untyped-def]
            return _field_masks(text, at)  # type: ignore[call-arg]

        return compiled

    @overload(separator_masks)
    def _separator_masks_compiled(text, at):  # type: ignore[no-untyped-def]
        def compiled(text, at):  # type: ignore[no-untyped-def]
            return _separator_masks(text, at)  # type: ignore[call-arg]

        return compiled

    @overload(trailing_zeros)
    def _trailing_zeros_compiled(mask):  # type: ignore[no-untyped-def]
        def compiled(mask):  # type: ignore[no-untyped-def]
            return _trailing_zeros(mask)  # type: ignore[call-arg]

        return compiled

    @overload(ones)
    def _ones_compiled(mask):  # type: ignore[no-untyped-def]
        def compiled(mask):  # type: ignore[no-untyped-def]
            return _ones(mask)  # type: ignore[call-arg]

        return compiled
