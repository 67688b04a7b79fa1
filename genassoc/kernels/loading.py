"""Kernels that run without numba being imported: their machine code is loaded by llvmlite and called by ctypes.

numba takes a third of a second and 60 MB to import, of which a kernel that is compiled already needs nothing: an array is to machine
code a pointer with lengths and strides. So the machine code of a kernel is kept (`genassoc.kernels.cache_files`) with its name,
and called as numba's own functions call each other (numba's "Notes on Numba's calling convention": a pointer for the result, one for an
exception, then the arguments taken apart). numba is imported where there is nothing to load, and compiles it; and where an argument is
of another kind, such as an array in another order, and calls it.

A call costs some microseconds more than numba's. It suits kernels that do much at a time. They own no memory (all arrays are
passed in), raise nothing, and take arrays in C order, whole numbers, bools and tuples of these; they return nothing or a whole number.
"""

import ctypes
import os
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from genassoc.kernels.cache_files import SealedFiles, cache_folder

_WORD = ctypes.c_int64
_NUMBERS = {bool: ctypes.c_uint8, int: _WORD}
_COMPILING = threading.Lock()  # what numba is told before must be told whole
CALLED = ("NRT_MemInfo_call_dtor",)  # named by code that gives memory back, which no memory of ours reaches


class Code(NamedTuple):
    """Machine code, and the name of its function."""

    machine_code: bytes
    name: str
    returns: bool


class _Engine:
    """What loads machine code, once in a process."""

    _lock = threading.Lock()
    _engine: Any = None

    @classmethod
    def load(cls, code: Code) -> int:
        """The address of a function."""
        import llvmlite.binding as llvm

        with cls._lock:
            if cls._engine is None:
                llvm.initialize_native_target()
                llvm.initialize_native_asmprinter()
                machine = llvm.Target.from_default_triple().create_target_machine(jit=True)
                cls._engine = llvm.create_mcjit_compiler(llvm.parse_assembly(""), machine)
            abort = ctypes.cast(ctypes.CDLL(None).abort, ctypes.c_void_p).value
            for name in CALLED:
                if llvm.address_of_symbol(name) is None:  # numba's, where it was imported
                    llvm.add_symbol(name, abort)
            cls._engine.add_object_file(llvm.ObjectFileRef.from_data(code.machine_code))
            cls._engine.finalize_object()
            return int(cls._engine.get_function_address(code.name))


def _kind(value: Any) -> Any:
    """The type of an argument, as a key; `TypeError` where it is none of ours."""
    kind = type(value)
    if kind is np.ndarray:
        if not (value.flags.c_contiguous and value.flags.aligned):
            raise TypeError("an array is not in C order, or begins between two numbers")
        return value.dtype.str, value.ndim
    if kind in _NUMBERS:
        return kind.__name__
    if isinstance(value, tuple):
        return kind.__qualname__, *map(_kind, value)
    raise TypeError(f"{kind} is no argument of a native kernel")


def _words(kind: Any) -> Iterator[Any]:
    """The types of what an argument is taken apart to."""
    if isinstance(kind, str):
        yield _NUMBERS[{"bool": bool, "int": int}[kind]]
    elif len(kind) == 2 and isinstance(kind[1], int):
        yield from [_WORD] * (5 + 2 * kind[1])
    else:
        for member in kind[1:]:
            yield from _words(member)


def _take_apart(value: Any, words: list[int]) -> None:
    """Append what an argument is to machine code: of an array owner, parent, size, bytes of an item, address, shape, strides."""
    if type(value) is np.ndarray:
        words += (0, 0, value.size, value.itemsize, value.__array_interface__["data"][0], *value.shape, *value.strides)
    elif isinstance(value, tuple):
        for member in value:
            _take_apart(member, words)
    else:
        words.append(value)


class NativeKernel:
    """A kernel that is called without numba.

    Parameters
    ----------
    kernel : callable
        The kernel as numba knows it, of `genassoc.kernels.jit`.
    """

    def __init__(self, kernel: Any) -> None:
        self.kernel = kernel
        self._function: Callable[..., Any] = kernel.py_func
        self.__doc__, self.__name__ = self._function.__doc__, self._function.__name__
        self._entries: dict[Any, tuple[Any, bool]] = {}
        self._lock = threading.Lock()

    def __call__(self, *args: Any) -> Any:
        """Call it; the interpreter is free meanwhile."""
        try:
            kinds = tuple(map(_kind, args))
        except TypeError:
            return self.kernel(*args)
        entry = self._entries.get(kinds)
        if entry is None:
            with self._lock:
                entry = self._entries.get(kinds) or self._loaded(kinds, args)
                self._entries[kinds] = entry
        function, returns = entry
        if function is None:
            return self.kernel(*args)
        result, exception = _WORD(0), ctypes.c_void_p()
        words: list[int] = []
        for value in args:
            _take_apart(value, words)
        if function(ctypes.byref(result), ctypes.byref(exception), *words):
            raise RuntimeError(f"the kernel {self.__name__} failed")
        return result.value if returns else None

    def _loaded(self, kinds: tuple[Any, ...], args: tuple[Any, ...]) -> tuple[Any, bool]:
        """A function, and whether it returns a number; None where numba has to call it."""
        if os.environ.get("NUMBA_BOUNDSCHECK", "0") not in ("", "0"):  # which raises
            return None, False
        code = self._code(kinds, args)
        if code is None:
            return None, False
        words = [word for kind in kinds for word in _words(kind)]
        made = ctypes.CFUNCTYPE(ctypes.c_int32, ctypes.c_void_p, ctypes.c_void_p, *words)
        return made(_Engine.load(code)), code.returns

    def _code(self, kinds: tuple[Any, ...], args: tuple[Any, ...]) -> Code | None:
        """The machine code for arguments of these kinds: kept, or compiled and kept; None with a numba whose insides are unknown."""
        import llvmlite.binding as llvm

        source = Path(self._function.__code__.co_filename).resolve()
        folder = cache_folder(source)
        processor = (llvm.get_host_cpu_name(), llvm.get_host_cpu_features().flatten())
        settings = sorted(item for item in os.environ.items() if item[0].startswith("NUMBA_"))
        key = (kinds, *processor, settings)
        files = None if folder is None else SealedFiles(folder, f"{self.__name__}-native")
        kept = None if files is None else files.load(key)
        if kept is not None:
            return Code(*kept)
        from genassoc.kernels.compiling import KNOWN, machine_code

        if not KNOWN:
            return None
        with _COMPILING:
            code = Code(*machine_code(self._function, args, CALLED))
        if files is not None:
            files.keep(key, tuple(code))
        return code
