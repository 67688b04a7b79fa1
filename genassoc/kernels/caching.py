"""How numba finds the kernels that are kept (`genassoc.kernels.cache_files`) and links them.

A kernel that is in the cache is linked without numba's tables of what it could compile: see `LinkedCache`. It follows
that kernels call nothing whose symbols those tables bring along: no BLAS or LAPACK, no hashing of text, no threads.
"""

import io
import pickle
from functools import cache
from pathlib import Path
from types import FunctionType
from typing import Any

import llvmlite.binding as llvm
from numba.core.caching import CompileResultCacheImpl, FunctionCache, _CacheLocator
from numba.core.environment import Environment, _rebuild_env, lookup_environment
from numba.core.runtime import rtsys

from genassoc.kernels.cache_files import IN_MEMORY, Cache, SealedFiles, base_folder, cache_folder
from genassoc.kernels.compiling import KNOWN


class _ContentLocator(_CacheLocator):
    """Where the compiled code of a kernel lies: `cache_folder` alone says it.

    numba would add the path of the file and its time of change. The folder is named after the text, so that two checkouts,
    or a fresh install of the same release, share what one of them compiled.
    """

    def __init__(self, py_func: FunctionType, py_file: str) -> None:
        self.folder = cache_folder(Path(py_file).resolve())
        self._py_file = py_file
        self._line = py_func.__code__.co_firstlineno

    def get_cache_path(self) -> str:
        """The folder of the file's text."""
        return str(self.folder or "")

    def ensure_cache_path(self) -> None:
        """Made already; whether it can be written shows when it is."""

    def get_source_stamp(self) -> str:
        """The name of the folder, which holds a hash of the text."""
        return self.folder.name if self.folder else ""

    def get_disambiguator(self) -> str:
        """The line where the kernel begins."""
        return str(self._line)

    @classmethod
    def from_function(cls, py_func: FunctionType, py_file: str) -> "_ContentLocator":
        """Always here, whatever numba's settings say."""
        return cls(py_func, py_file)


@cache
def _no_code() -> bytes:
    """LLVM's form of nothing."""
    return bytes(llvm.parse_assembly("").as_bitcode())


class _ContentCache(CompileResultCacheImpl):
    """numba's way to write machine code to files, into `_ContentLocator`'s folder."""

    _locator_classes: Any = (_ContentLocator,)

    def rebuild(self, target_context: Any, payload: Any) -> Any:
        """The compiled function; of a file's content, its code in LLVM's form is left unread.

        That is for kernels that link it, and ours link parts: several times the machine code, in memory for good. numba reads names from it too, of
        which those of the function and its wrappers are asked for.
        """
        (name, kind, code), described, *others = payload
        if not KNOWN or kind != "object":
            return super().rebuild(target_context, payload)
        wrappers = (described.llvm_cpython_wrapper_name, described.llvm_cfunc_wrapper_name)
        target_context.codegen()._engine._defined_symbols.update((described.llvm_func_name, *wrappers))
        found = super().rebuild(target_context, ((name, kind, (code[0], _no_code())), described, *others))
        found.library._shared_module = None  # whoever links it nevertheless is told that there is nothing to link
        return found


class _Kept(pickle.Unpickler):
    """Reads what numba has serialised, without importing the modules of numba that its parts were written in.

    The constants of each function that a kernel was made of lie in an `Environment`, which names the function's module: of
    ``g.sum()`` it is ``numba.np.arraymath``, and importing that fills half of the compiler's tables. Machine code reads the
    constants alone; a module's globals are asked for by code that runs on Python's objects, which kernels are not.
    """

    def find_class(self, module: str, name: str) -> Any:
        """As ever, but for environments."""
        found = super().find_class(module, name)
        return _constants if found is _rebuild_env else found


def _constants(module: str, constants: list[Any], name: str) -> Any:
    """The environment of that name, which there is but once in a process."""
    known = lookup_environment(name)
    if known is None:
        known = Environment({"__name__": module})
        known.consts[:] = constants
        known.env_name = name
        Environment._memo[name] = known
    return known


class LinkedCache(FunctionCache):
    """numba's cache of a function, without the preparations for compiling when nothing is compiled.

    numba fills its tables of types and operations before it looks into the cache, and imports scipy.linalg for them: about
    half a second of CPU in every process. Machine code needs none of it, but for the run-time system of arrays. A kernel
    that is not in the cache is compiled, and the compiler fills the tables itself.
    """

    _impl_class = _ContentCache

    def __init__(self, py_func: FunctionType) -> None:
        super().__init__(py_func)
        folder = self._impl.locator.folder
        if folder is None:
            self.disable()
        else:
            self._cache_file: Any = SealedFiles(
                folder, self._impl.filename_base, lambda kept: _Kept(io.BytesIO(kept)).load()
            )

    def load_overload(self, sig: Any, target_context: Any) -> Any:
        """The compiled function of a signature; None where the cache has none."""
        if Cache.refused:
            kept = f"kernels are kept in {base_folder()}" if self._enabled else IN_MEMORY
            Cache.say(f"{'; '.join(Cache.refused)}: {kept}")
        rtsys.initialize(target_context)
        return self._load_overload(sig, target_context)

    def save_overload(self, sig: Any, data: Any) -> None:
        """Keep a compiled function, where the disk allows it."""
        if Cache.full:
            return
        try:
            self._save_overload(sig, data)
        except OSError as error:
            Cache.full = True
            Cache.say(f"{self.cache_path} cannot be written ({error.strerror}): {IN_MEMORY}")
