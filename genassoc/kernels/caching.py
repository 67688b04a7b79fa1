"""Where compiled kernels are kept, and how they are loaded.

numba's own cache does not see edits in the *other* files a kernel calls. The cache folder of a file is therefore
keyed by a hash of it and of every file of this room that it imports, and lies in the user's cache folder
(``GENASSOC_CACHE_DIR`` or ``NUMBA_CACHE_DIR`` override it), so that read-only site-packages and shared homes work.
This file is left out of the hash: it changes no machine code.

What is loaded from there is run, so nobody else may have written it: see `unsafe`. A file that is damaged is made anew;
where nothing can be kept, kernels are compiled in memory. Either is said once.

A kernel that is in the cache is linked without numba's tables of what it could compile: see `LinkedCache`. It follows
that kernels call nothing whose symbols those tables bring along: no BLAS or LAPACK, no hashing of text, no threads.
"""

import contextlib
import grp
import hashlib
import os
import pickle
import pwd
import re
import stat
import sys
import uuid
import warnings
from functools import cache
from pathlib import Path
from typing import Any

import numba
from numba.core.caching import CompileResultCacheImpl, FunctionCache, _CacheLocator
from numba.core.runtime import rtsys
from numba.core.serialize import dumps

_SEAL_BYTES = hashlib.sha256().digest_size
_IN_MEMORY = "kernels are compiled in memory, some seconds to a minute in every process; GENASSOC_CACHE_DIR may name a folder that only you can write to"
_FROM = re.compile(r"^[ \t]*from[ \t]+genassoc\.kernels((?:\.\w+)*)[ \t]+import[ \t]+(\([^)]*\)|[^\n]*)", re.MULTILINE)
_PLAIN = re.compile(r"^[ \t]*import[ \t]+genassoc\.kernels((?:\.\w+)*)", re.MULTILINE)


def _room(source: Path) -> Path:
    """The folder ``kernels`` that a file lies in, at any depth; of a file that lies elsewhere, ours."""
    return next((folder for folder in source.parents if folder.name == "kernels"), Path(__file__).resolve().parent)


def _files(room: Path, dotted: str) -> set[Path]:
    """The file of a module of this room, and what runs when it is imported: the ``__init__.py`` of each folder on the way."""
    *folders, name = ["", *dotted.split(".")] if dotted else [""]
    at, files = room, set()
    for folder in folders:
        at = at / folder
        files.add(at / "__init__.py")
    return files | {at / f"{name}.py", at / name / "__init__.py"}


@cache
def _imported(source: Path) -> frozenset[Path]:
    """Files of this room that a file imports, wherever in it the import stands."""
    text, room = source.read_text(), _room(source)
    dotted = [place.removeprefix(".") for place in _PLAIN.findall(text)]
    for place, names in _FROM.findall(text):
        package = place.removeprefix(".")
        dotted += [package, *(f"{package}.{name}".removeprefix(".") for name in re.findall(r"\w+", names))]
    files = {file for name in ["", *dotted] for file in _files(room, name) if file.exists()}
    return frozenset(files - {room / "caching.py", source})


def _sources(source: Path) -> list[Path]:
    """A file of this room and all it imports from it, directly or not."""
    found, left = {source}, [source]
    while left:
        new = _imported(left.pop()) - found
        found |= new
        left += new
    return sorted(found)


class _Cache:
    """What is wrong with the places of the cache, and whether it was said."""

    refused: tuple[str, ...] = ()
    said: set[str] = set()  # noqa: RUF012 (of the process)
    full = False

    @classmethod
    def say(cls, what: str) -> None:
        """Warn, of each thing once in a process."""
        if what not in cls.said:
            cls.said.add(what)
            warnings.warn(f"the cache of compiled kernels: {what}", UserWarning, stacklevel=2)


def _others_write(status: os.stat_result) -> bool:
    """Whether anybody but the owner can write; a group that is the user's alone is nobody else."""
    if status.st_mode & stat.S_IWOTH:
        return True
    return bool(status.st_mode & stat.S_IWGRP) and not _is_own_group(status.st_gid)


@cache
def _is_own_group(number: int) -> bool:
    """Whether a group is the one that many systems make for each user, with no one else in it."""
    try:
        user, group = pwd.getpwuid(os.geteuid()), grp.getgrgid(number)
    except KeyError:
        return False
    return number == user.pw_gid and group.gr_name == user.pw_name and not set(group.gr_mem) - {user.pw_name}


def _foreign(status: os.stat_result) -> bool:
    """Whether somebody else than the user and the administrator owns it."""
    return status.st_uid not in (os.geteuid(), 0)


def unsafe(folder: Path) -> str | None:
    """Why code from a folder, its links followed, must not be run; None where only the user and root can have put it there.

    The folder is theirs and nobody else writes to it, nor to a folder above it, where it could be exchanged; above it a
    folder with the sticky bit (as /tmp has) will do, since what is in it can be renamed by its owner alone.
    """
    folder = folder.resolve()
    status = folder.lstat()
    if not stat.S_ISDIR(status.st_mode):
        return f"{folder} is no folder"
    if _foreign(status):
        return f"{folder} belongs to another user"
    if _others_write(status):
        return f"others can write to {folder} (chmod 700 it)"
    for above in folder.parents:
        status = above.lstat()
        if _others_write(status) and not status.st_mode & stat.S_ISVTX:
            return f"others can write to {above}, in which it lies"
    return None


def _made_private(folder: Path) -> None:
    """Make a folder of ours, readable by the user alone; one that is there and that others can write to is emptied."""
    with contextlib.suppress(FileExistsError):
        folder.mkdir(mode=0o700)
    status = folder.lstat()
    if stat.S_ISDIR(status.st_mode) and status.st_uid == os.geteuid() and _others_write(status):
        folder.chmod(0o700)
        for file in folder.glob("*.nb?"):
            file.unlink(missing_ok=True)


@cache
def _base() -> Path | None:
    """The first folder that compiled kernels can be kept in; None where there is none."""
    named = [given for name in ("GENASSOC_CACHE_DIR", "NUMBA_CACHE_DIR") if (given := os.environ.get(name))]
    ours = Path(os.environ.get("XDG_CACHE_HOME") or "~/.cache") / "genassoc"
    refused: list[str] = []
    for path in [*map(Path, named), ours]:
        base = path
        try:
            base = path.expanduser().absolute()
            base.parent.mkdir(parents=True, exist_ok=True)
            if path is ours:
                _made_private(base)
            else:  # may be anything: its mode is the user's affair
                base.mkdir(mode=0o700, exist_ok=True)
            reason = unsafe(base)
        except (OSError, RuntimeError) as error:  # RuntimeError: no home
            reason = f"{base} cannot be used: {getattr(error, 'strerror', None) or error}"
        if reason is None:
            _Cache.refused = tuple(refused)
            return base.resolve()
        refused.append(reason)
    _Cache.refused = tuple(refused)
    return None


@cache
def cache_folder(source: Path) -> Path | None:
    """Where compiled kernels of a file are kept; None where they cannot be."""
    base = _base()
    if base is None:
        return None
    digest = hashlib.sha256()
    for file in _sources(source):
        digest.update(file.read_bytes())
    version = f"py{sys.version_info[0]}{sys.version_info[1]}-numba{numba.__version__}"
    folder = base / f"{source.stem}-{digest.hexdigest()[:16]}-{version}"
    try:
        _made_private(folder)
        reason = "it is a link" if folder.is_symlink() else unsafe(folder)
    except OSError as error:
        reason = f"{folder} cannot be made: {error.strerror}"
    if reason is not None:
        _Cache.refused += (reason,)
        return None
    return folder


class _ContentLocator(_CacheLocator):
    """Where the compiled code of a kernel lies: `cache_folder` alone says it.

    numba would add the path of the file and its time of change. The folder is named after the text, so that two checkouts,
    or a fresh install of the same release, share what one of them compiled.
    """

    def __init__(self, py_func: Any, py_file: str) -> None:
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
    def from_function(cls, py_func: Any, py_file: str) -> "_ContentLocator":
        """Always here, whatever numba's settings say."""
        return cls(py_func, py_file)


class _ContentCache(CompileResultCacheImpl):
    """numba's way to write machine code to files, into `_ContentLocator`'s folder."""

    _locator_classes: Any = (_ContentLocator,)


class SealedFiles:
    """One file for each kernel and signature: what numba serialises (a pickle), then its SHA-256.

    The name is a hash of the key, so that processes that write at once never write two things under one name (numba's own
    cache numbers its files, and two processes may choose the same number). A file takes its place whole, by a rename.

    Parameters
    ----------
    folder : Path
    stem : str
        Of the files' names: kernel, line, Python.
    """

    def __init__(self, folder: Path, stem: str) -> None:
        self._folder, self._stem = folder, stem

    def path(self, key: Any) -> Path:
        """The file of a key."""
        return self._folder / f"{self._stem}.{hashlib.sha256(repr(key).encode()).hexdigest()[:20]}.nbc"

    def load(self, key: Any) -> Any:
        """What was saved under a key; None where nothing was, or it is not as it was saved."""
        path = self.path(key)
        try:
            with open(os.open(path, os.O_RDONLY | os.O_NOFOLLOW), "rb") as file:  # noqa: PTH123 (a link is no file of ours)
                status = os.fstat(file.fileno())
                sealed = file.read()
        except FileNotFoundError:
            return None
        except OSError as error:
            _Cache.say(f"{path} cannot be read ({error.strerror}): the kernel is compiled again")
            return None
        if _foreign(status) or _others_write(status):
            _Cache.say(f"others can have written {path}: it is not used, and the kernel is compiled again")
            return None
        content, seal = sealed[:-_SEAL_BYTES], sealed[-_SEAL_BYTES:]
        if hashlib.sha256(content).digest() != seal:
            _Cache.say(f"{path} is damaged: the kernel is compiled again")
            return None
        saved_key, saved = pickle.loads(content)
        return saved if saved_key == key else None

    def save(self, key: Any, value: Any) -> None:
        """Keep a value under a key."""
        content = dumps((key, value))
        path = self.path(key)
        beside = path.with_name(f"{path.name}.{uuid.uuid4().hex[:16]}")
        try:
            with beside.open("xb") as file:
                os.fchmod(file.fileno(), 0o600)
                file.write(content + hashlib.sha256(content).digest())
            beside.replace(path)
        except BaseException:
            with contextlib.suppress(OSError):
                beside.unlink()
            raise

    def flush(self) -> None:
        """Forget all of the kernel."""
        for path in self._folder.glob(f"{self._stem}.*.nbc"):
            path.unlink(missing_ok=True)


class LinkedCache(FunctionCache):
    """numba's cache of a function, without the preparations for compiling when nothing is compiled.

    numba fills its tables of types and operations before it looks into the cache, and imports scipy.linalg for them: about
    half a second of CPU in every process. Machine code needs none of it, but for the run-time system of arrays. A kernel
    that is not in the cache is compiled, and the compiler fills the tables itself.
    """

    _impl_class = _ContentCache

    def __init__(self, py_func: Any) -> None:
        if py_func.__closure__:
            # numba's key of such a kernel differs in every process, and the folder would not follow what the cells call.
            raise TypeError(
                f"kernel {py_func.__qualname__} holds variables of the function it is made in: give it arguments"
            )
        super().__init__(py_func)
        folder = self._impl.locator.folder
        if folder is None:
            self.disable()
        else:
            self._cache_file: Any = SealedFiles(folder, self._impl.filename_base)

    def load_overload(self, sig: Any, target_context: Any) -> Any:
        """The compiled function of a signature; None where the cache has none."""
        if _Cache.refused:
            kept = f"kernels are kept in {_base()}" if self._enabled else _IN_MEMORY
            _Cache.say(f"{'; '.join(_Cache.refused)}: {kept}")
        rtsys.initialize(target_context)
        return self._load_overload(sig, target_context)

    def save_overload(self, sig: Any, data: Any) -> None:
        """Keep a compiled function, where the disk allows it."""
        if _Cache.full:
            return
        try:
            self._save_overload(sig, data)
        except OSError as error:
            _Cache.full = True
            _Cache.say(f"{self.cache_path} cannot be written ({error.strerror}): {_IN_MEMORY}")
