"""Where compiled kernels are kept, and how they are loaded.

numba's own cache does not see edits in the *other* files a kernel calls. The cache folder of a file is therefore
keyed by a hash of it and of every file of this room that it imports, and lies in the user's cache folder
(``GENASSOC_CACHE_DIR`` or ``NUMBA_CACHE_DIR`` override it), so that read-only site-packages and shared homes work.
This file is left out of the hash: it changes no machine code.

A kernel that is in the cache is linked without numba's tables of what it could compile: see `LinkedCache`. It follows
that kernels call nothing whose symbols those tables bring along: no BLAS or LAPACK, no hashing of text, no threads.
"""

import hashlib
import os
import re
import sys
import tempfile
from functools import cache
from pathlib import Path
from typing import Any

import numba
from numba.core.caching import CompileResultCacheImpl, FunctionCache, _CacheLocator
from numba.core.runtime import rtsys

_IMPORT = re.compile(r"^from genassoc\.kernels(?:\.(\w+) import| import (\w+))", re.MULTILINE)


def _imported(source: Path) -> set[Path]:
    """Files of this room that one of them imports."""
    named = [source.with_name(f"{file or name}.py") for file, name in _IMPORT.findall(source.read_text())]
    files = {file for file in named if file.exists()} | {source.with_name("__init__.py")}
    return files - {source.with_name("caching.py")}


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


class _ContentLocator(_CacheLocator):
    """Where the compiled code of a kernel lies: `cache_folder` alone says it.

    numba would add the path of the file and its time of change. The folder is named after the text, so that two checkouts,
    or a fresh install of the same release, share what one of them compiled.
    """

    def __init__(self, py_func: Any, py_file: str) -> None:
        self._folder = cache_folder(Path(py_file).resolve())
        self._line = py_func.__code__.co_firstlineno

    def get_cache_path(self) -> str:
        """The folder of the file's text."""
        return str(self._folder)

    def get_source_stamp(self) -> str:
        """The name of the folder, which holds a hash of the text."""
        return self._folder.name

    def get_disambiguator(self) -> str:
        """The line where the kernel begins."""
        return str(self._line)

    @classmethod
    def from_function(cls, py_func: Any, py_file: str) -> "_ContentLocator":
        """Always here, whatever numba's settings say."""
        return cls(py_func, py_file)


class _ContentCache(CompileResultCacheImpl):
    """numba's way to write machine code to files, into `_ContentLocator`'s folder."""

    _locator_classes: Any = (_ContentLocator,)


class LinkedCache(FunctionCache):
    """numba's cache of a function, without the preparations for compiling when nothing is compiled.

    numba fills its tables of types and operations before it looks into the cache, and imports scipy.linalg for them: about
    half a second of CPU in every process. Machine code needs none of it, but for the run-time system of arrays. A kernel
    that is not in the cache is compiled, and the compiler fills the tables itself.
    """

    _impl_class = _ContentCache

    def load_overload(self, sig: Any, target_context: Any) -> Any:
        """The compiled function of a signature; None where the cache has none."""
        rtsys.initialize(target_context)
        with self._guard_against_spurious_io_errors():
            return self._load_overload(sig, target_context)
