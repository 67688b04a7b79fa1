"""Words and runs of bytes at any offset, spelt out for the compiler: what an inflater reads and copies with.

numba indexes bytes one at a time. These load eight bytes as one word, and store 32 bytes as one vector. Each has a plain twin
of the same name, which is what runs when the JIT is off (and what the tests compare with). None checks bounds: callers
leave room.
"""

from typing import Any

import numpy as np

from genassoc.kernels import when_compiling
from genassoc.shapes import UInt8Array

WORD = 8
STEP = 32  # bytes a store


def word_at(data: UInt8Array, at: int) -> np.uint64:
    """Eight bytes from ``at`` on, as a little-endian number."""
    return np.uint64(int.from_bytes(data[at : at + WORD].tobytes(), "little"))


def copy_step(data: UInt8Array, source: int, target: int) -> None:
    """Copy `STEP` bytes within ``data``; all are read before the first is written."""
    data[target : target + STEP] = data[source : source + STEP].copy()


def copy_word(data: UInt8Array, source: int, target: int) -> None:
    """Copy `WORD` bytes within ``data``; all are read before the first is written."""
    data[target : target + WORD] = data[source : source + WORD].copy()


def fill_step(data: UInt8Array, target: int, word: np.uint64) -> None:
    """Write a word `STEP` / `WORD` times from ``target`` on, little-endian."""
    data[target : target + STEP] = np.frombuffer(int(word).to_bytes(WORD, "little") * (STEP // WORD), dtype=np.uint8)


@when_compiling
def _spell_out() -> None:
    """Tell numba how to compile the functions above."""
    from llvmlite import ir
    from numba.core import cgutils, types
    from numba.extending import intrinsic, overload

    _WORD = ir.IntType(64)
    _STEP = ir.VectorType(_WORD, STEP // WORD)

    def _at(context: Any, builder: Any, array_type: Any, array: Any, at: Any, kind: Any) -> Any:
        """Pointer to what lies at an offset of an array of bytes."""
        data = cgutils.create_struct_proxy(array_type)(context, builder, value=array).data
        return builder.bitcast(builder.gep(data, [at]), kind.as_pointer())

    def _load(builder: Any, pointer: Any) -> Any:
        value = builder.load(pointer)
        value.align = 1
        return value

    @intrinsic
    def _word_at(typingctx: Any, data: Any, at: Any) -> Any:
        signature = types.uint64(data, types.intp)

        def codegen(context: Any, builder: Any, sig: Any, args: Any) -> Any:
            return _load(builder, _at(context, builder, sig.args[0], args[0], args[1], _WORD))

        return signature, codegen

    def _copying(kind: Any) -> Any:
        """An intrinsic that copies one value of a kind: loaded whole before any of it is stored."""

        def copying(typingctx: Any, data: Any, source: Any, target: Any) -> Any:
            def codegen(context: Any, builder: Any, sig: Any, args: Any) -> Any:
                value = _load(builder, _at(context, builder, sig.args[0], args[0], args[1], kind))
                builder.store(value, _at(context, builder, sig.args[0], args[0], args[2], kind)).align = 1
                return context.get_dummy_value()

            return types.void(data, types.intp, types.intp), codegen

        return intrinsic(copying)

    _copy_step, _copy_word = _copying(_STEP), _copying(_WORD)

    @intrinsic
    def _fill_step(typingctx: Any, data: Any, target: Any, word: Any) -> Any:
        signature = types.void(data, types.intp, types.uint64)

        def codegen(context: Any, builder: Any, sig: Any, args: Any) -> Any:
            lane = builder.insert_element(ir.Constant(_STEP, ir.Undefined), args[2], ir.IntType(32)(0))
            zeros = ir.Constant(ir.VectorType(ir.IntType(32), STEP // WORD), [0] * (STEP // WORD))
            value = builder.shuffle_vector(lane, ir.Constant(_STEP, ir.Undefined), zeros)
            builder.store(value, _at(context, builder, sig.args[0], args[0], args[1], _STEP)).align = 1
            return context.get_dummy_value()

        return signature, codegen

    @overload(word_at)
    def _word_at_compiled(data, at):  # type: ignore[no-untyped-def]
        def compiled(data, at):  # type: ignore[no-untyped-def]
            return _word_at(data, at)  # type: ignore[call-arg]

        return compiled

    @overload(copy_step)
    def _copy_step_compiled(data, source, target):  # type: ignore[no-untyped-def]
        def compiled(data, source, target):  # type: ignore[no-untyped-def]
            return _copy_step(data, source, target)

        return compiled

    @overload(copy_word)
    def _copy_word_compiled(data, source, target):  # type: ignore[no-untyped-def]
        def compiled(data, source, target):  # type: ignore[no-untyped-def]
            return _copy_word(data, source, target)

        return compiled

    @overload(fill_step)
    def _fill_step_compiled(data, target, word):  # type: ignore[no-untyped-def]
        def compiled(data, target, word):  # type: ignore[no-untyped-def]
            return _fill_step(data, target, word)  # type: ignore[call-arg]

        return compiled
