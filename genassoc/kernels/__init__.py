"""The kernel room: plain loops, compiled. Arrays in, arrays out.

Rules of the room
-----------------
- numba and numpy only; nothing of ours but ``shapes``.
- One decorator, `jit`: no GIL, one thread (the executor owns parallelism), cached on disk.
- No fast-math unless a comment argues it. Outputs are passed in. Letters: V, N, T, C, K, B.
- The plain formula stands in a comment above the fast line; a slow twin of the same name stands in
  ``tests/oracles/``.
- Explicit signatures are avoided; callers pass C-contiguous arrays of one dtype, so each kernel compiles once.

The cache
---------
numba's own cache does not see edits in the *other* files a kernel calls. The cache folder is therefore keyed
by a hash of every file in this room, and lies in the user's cache folder (``GENASSOC_CACHE_DIR`` or
``NUMBA_CACHE_DIR`` override it), so that read-only site-packages and shared homes work.
"""

import hashlib
import os
import sys
import tempfile
from collections.abc import Callable
from functools import lru_cache
from pathlib import Path
from typing import Any, TypeVar, cast

import numba  # the only door of numba is this folder
from numba.core import config as _numba_config

F = TypeVar("F", bound=Callable[..., Any])


@lru_cache(maxsize=1)
def cache_folder() -> Path:
    """Where compiled kernels are kept: the first writable of the user's cache folder and a temporary one."""
    digest = hashlib.sha256()
    for source in sorted(Path(__file__).parent.glob("*.py")):
        digest.update(source.read_bytes())
    key = f"kernels-{digest.hexdigest()[:16]}-py{sys.version_info[0]}{sys.version_info[1]}-numba{numba.__version__}"
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


def jit(function: F) -> F:
    """Compile a kernel: nogil, single thread, cached in `cache_folder`.

    numba chooses the cache folder when the decorator runs, from a global setting; it is set for the length of
    the decoration only, so that other libraries of the process keep their own.
    """
    settings: Any = _numba_config
    before = settings.CACHE_DIR
    settings.CACHE_DIR = str(cache_folder())
    try:
        compiled: Any = numba.njit(nogil=True, cache=True)(function)
        return cast(F, compiled)
    finally:
        settings.CACHE_DIR = before
