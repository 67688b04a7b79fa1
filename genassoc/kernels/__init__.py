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
  another by `genassoc.kernels.copies.put`, not by slices.

The cache
---------
numba's own cache does not see edits in the *other* files a kernel calls. The cache folder of a file is therefore
keyed by a hash of it and of every file of this room that it imports, and lies in the user's cache folder
(``GENASSOC_CACHE_DIR`` or ``NUMBA_CACHE_DIR`` override it), so that read-only site-packages and shared homes work.

A kernel that is in the cache is linked without numba's tables of what it could compile: see `_LinkedCache`. It follows
that kernels call nothing whose symbols those tables bring along: no BLAS or LAPACK, no hashing of text, no threads.
"""

import hashlib
import inspect
import os
import re
import sys
import tempfile
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any, TypeVar, cast

import numba  # the only door of numba is this folder
from numba.core import config as _numba_config
from numba.core.caching import FunctionCache
from numba.core.runtime import rtsys

from genassoc.kernels import compiling

_IMPORT = re.compile(r"^from genassoc\.kernels(?:\.(\w+) import| import (\w+))", re.MULTILINE)

F = TypeVar("F", bound=Callable[..., Any])


def _imported(source: Path) -> set[Path]:
    """Files of this room that one of them imports."""
    named = [source.with_name(f"{file or name}.py") for file, name in _IMPORT.findall(source.read_text())]
    return {file for file in named if file.exists()} | {source.with_name("__init__.py")}


def _sources(source: Path) -> list[Path]:
    """A file of this room and all it imports from it, directly or not."""
    found, left = {source}, [source]
    while left:
        new = _imported(left.pop()) - found
        found |= new
        left += new
    return sorted(found)


@cache
def cache_folder(source: Path) -> Path:
    """Where compiled kernels of a file are kept: the first writable of the user's cache folder and a temporary one."""
    digest = hashlib.sha256()
    for file in _sources(source):
        digest.update(file.read_bytes())
    version = f"py{sys.version_info[0]}{sys.version_info[1]}-numba{numba.__version__}"
    key = f"{source.stem}-{digest.hexdigest()[:16]}-{version}"
    bases = [os.environ.get(name) for name in ("GENASSOC_CACHE_DIR", "NUMBA_CACHE_DIR")]
    xdg = os.environ.get("XDG_CACHE_HOME") or str(Path("~/.cache").expanduser())
    candidates = [Path(base) for base in bases if base] + [Path(xdg) / "genassoc"]
    candidates.append(Path(tempfile.gettempdir()) / f"genassoc-{os.getuid()}")
    for base in candidates:
        folder = base / key
        try:
            folder.mkdir(parents=True, exist_ok=True)
        except OSError:
            continue
        if os.access(folder, os.W_OK):
            return folder
    return candidates[-1] / key


class _LinkedCache(FunctionCache):
    """numba's cache of a function, without the preparations for compiling when nothing is compiled.

    numba fills its tables of types and operations before it looks into the cache, and imports scipy.linalg for them: about
    half a second of CPU in every process. Machine code needs none of it, but for the run-time system of arrays. A kernel
    that is not in the cache is compiled, and the compiler fills the tables itself.
    """

    def load_overload(self, sig: Any, target_context: Any) -> Any:
        """The compiled function of a signature; None where the cache has none."""
        rtsys.initialize(target_context)
        with self._guard_against_spurious_io_errors():
            return self._load_overload(sig, target_context)


def jit(function: F) -> F:
    """Compile a kernel: nogil, single thread, cached in `cache_folder`.

    numba chooses the cache folder when the decorator runs, from a global setting; it is set for the length of
    the decoration only, so that other libraries of the process keep their own.
    """
    settings: Any = _numba_config
    before = settings.CACHE_DIR
    settings.CACHE_DIR = str(cache_folder(Path(inspect.getfile(function)).resolve()))
    try:
        if settings.DISABLE_JIT:
            return function
        compiled = compiling.compiled(function)
        compiled._cache = _LinkedCache(function)
        return cast(F, compiled)
    finally:
        settings.CACHE_DIR = before
