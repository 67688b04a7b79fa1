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
numba's own cache does not see edits in the *other* files a kernel calls. The cache folder of a file is therefore
keyed by a hash of it and of every file of this room that it imports, and lies in the user's cache folder
(``GENASSOC_CACHE_DIR`` or ``NUMBA_CACHE_DIR`` override it), so that read-only site-packages and shared homes work.
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


def jit(function: F) -> F:
    """Compile a kernel: nogil, single thread, cached in `cache_folder`.

    numba chooses the cache folder when the decorator runs, from a global setting; it is set for the length of
    the decoration only, so that other libraries of the process keep their own.
    """
    settings: Any = _numba_config
    before = settings.CACHE_DIR
    settings.CACHE_DIR = str(cache_folder(Path(inspect.getfile(function)).resolve()))
    try:
        compiled: Any = numba.njit(nogil=True, cache=True)(function)
        return cast(F, compiled)
    finally:
        settings.CACHE_DIR = before
