"""The kernel room: plain loops, compiled. Arrays in, arrays out.

Rules of the room
-----------------
- numba and numpy only; nothing of ours but ``shapes``.
- One decorator, `jit`: no GIL, one thread (the executor owns parallelism), cached on disk. numba is imported when the first kernel is
  called. `native` in its place: the kernel is called without numba (`genassoc.kernels.loading` says which can be).
- No fast-math unless a comment argues it. Outputs are passed in. Letters: V, N, T, C, K, B.
- The plain formula stands in a comment above the fast line; a slow twin of the same name stands in
  ``tests/oracles/``.
- Explicit signatures are avoided; callers pass C-contiguous arrays of one dtype, so each kernel compiles once.
- What a kernel calls is compiled into it, once for all its calls there (`genassoc.kernels.compiling`). An array is set from
  another by `genassoc.kernels.lanes.copies.put`, not by slices.
- Machine code is kept by `genassoc.kernels.caching` in `genassoc.kernels.cache_files`.
"""

from collections.abc import Callable
from functools import cached_property
from types import FunctionType
from typing import Any, TypeVar, cast

from genassoc.kernels.registrations import DISABLE_JIT as DISABLE_JIT
from genassoc.kernels.registrations import ready
from genassoc.kernels.registrations import when_compiling as when_compiling

F = TypeVar("F", bound=Callable[..., Any])


class Kernel:
    """A kernel, which numba comes to know when it is first called, or is called by one that is compiled.

    Parameters
    ----------
    py_func : callable
        Its Python code.
    """

    def __init__(self, py_func: FunctionType) -> None:
        if py_func.__closure__:
            # numba's key of such a kernel differs in every process, and the folder would not follow what the cells call.
            raise TypeError(
                f"kernel {py_func.__qualname__} holds variables of the function it is made in: give it arguments"
            )
        self.py_func = py_func
        self.__doc__, self.__name__, self.__module__ = py_func.__doc__, py_func.__name__, py_func.__module__
        self.__wrapped__ = py_func

    @cached_property
    def dispatcher(self) -> Any:
        """What numba makes of it."""
        from genassoc.kernels import compiling
        from genassoc.kernels.caching import LinkedCache

        ready()
        compiled = compiling.compiled(self.py_func)
        compiled._cache = LinkedCache(self.py_func)
        return compiled

    def __call__(self, *args: Any) -> Any:
        """Call it, compiled."""
        return self.dispatcher(*args)

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(name)
        return getattr(self.dispatcher, name)


def jit(function: F) -> F:
    """Compile a kernel: nogil, single thread, cached in `cache_folder`."""
    return function if DISABLE_JIT else cast(F, Kernel(cast(FunctionType, function)))


def native(function: F) -> F:
    """As `jit`, for a kernel that is called without numba; no kernel calls it."""
    if DISABLE_JIT:
        return function
    from genassoc.kernels.loading import NativeKernel

    return cast(F, NativeKernel(Kernel(cast(FunctionType, function))))
