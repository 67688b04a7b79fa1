"""The kernel room: plain loops, compiled. Arrays in, arrays out.

Rules of the room
-----------------
- numba and numpy only; nothing of ours but ``shapes``.
- One decorator, `jit`: no GIL, one thread (the executor owns parallelism), cached on disk.
- No fast-math unless a comment argues it. Outputs are passed in. Letters: V, N, T, C, K, B.
- The plain formula stands in a comment above the fast line; a slow twin of the same name stands in
  ``tests/oracles/``.
- Explicit signatures are avoided; callers pass C-contiguous arrays of one dtype, so each kernel compiles once.
- What a kernel calls is compiled into it, once for all its calls there (`genassoc.kernels.compiling`). An array is set from
  another by `genassoc.kernels.lanes.copies.put`, not by slices.
- Machine code is kept by `genassoc.kernels.caching`.
"""

from collections.abc import Callable
from typing import Any, TypeVar, cast

from numba.core import config as _numba_config  # the only door of numba is this folder

from genassoc.kernels import compiling
from genassoc.kernels.caching import LinkedCache

F = TypeVar("F", bound=Callable[..., Any])


def jit(function: F) -> F:
    """Compile a kernel: nogil, single thread, cached in `cache_folder`."""
    settings: Any = _numba_config
    if settings.DISABLE_JIT:
        return function
    compiled = compiling.compiled(function)
    compiled._cache = LinkedCache(function)
    return cast(F, compiled)
