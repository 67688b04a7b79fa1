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

import os
from collections.abc import Callable
from functools import cached_property
from threading import Lock
from typing import Any, TypeVar, cast

F = TypeVar("F", bound=Callable[..., Any])
DISABLE_JIT = os.environ.get("NUMBA_DISABLE_JIT", "0") not in ("", "0")
_registrations: list[Callable[[], None]] = []
_known: list[type] = []
_one_at_a_time = Lock()


def when_compiling(register: Callable[[], None]) -> Callable[[], None]:
    """Decorate what tells numba of functions that it compiles in a way of their own; it runs before the first kernel is compiled."""
    if not DISABLE_JIT:
        _registrations.append(register)
    return register


def ready() -> None:
    """Tell numba all that it has to know before it compiles."""
    from genassoc.kernels import compiling

    with _one_at_a_time:
        if not _known:
            compiling.know(Kernel)
            _known.append(Kernel)
        while _registrations:
            _registrations[-1]()
            _registrations.pop()


class Kernel:
    """A kernel, which numba comes to know when it is first called, or is called by one that is compiled.

    Parameters
    ----------
    py_func : callable
        Its Python code.
    """

    def __init__(self, py_func: Callable[..., object]) -> None:
        self.py_func = py_func
        self.__doc__, self.__name__, self.__module__ = py_func.__doc__, py_func.__name__, py_func.__module__
        self.__wrapped__ = py_func

    @cached_property
    def dispatcher(self) -> Callable[..., object]:
        """What numba makes of it."""
        from genassoc.kernels import compiling
        from genassoc.kernels.caching import LinkedCache

        ready()
        compiled = compiling.compiled(self.py_func)
        compiled._cache = LinkedCache(self.py_func)
        return compiled

    def __call__(self, *args: object) -> object:
        """Call it, compiled."""
        return self.dispatcher(*args)

    def __getattr__(self, name: str) -> object:
        if name.startswith("__"):
            raise AttributeError(name)
        return getattr(self.dispatcher, name)


def jit(function: F) -> F:
    """Compile a kernel: nogil, single thread, cached in `cache_folder`."""
    return function if DISABLE_JIT else cast(F, Kernel(function))


def native(function: F) -> F:
    """As `jit`, for a kernel that is called without numba; no kernel calls it."""
    if DISABLE_JIT:
        return function
    from genassoc.kernels.loading import NativeKernel

    return cast(F, NativeKernel(Kernel(function)))
