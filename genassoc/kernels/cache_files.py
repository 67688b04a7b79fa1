"""The files that compiled kernels are kept in. Nothing here needs numba.

numba's own cache does not see edits in the *other* files a kernel calls. The cache folder of a file is therefore
keyed by a hash of it and of every file of this room that it imports, and lies in the user's cache folder
(``GENASSOC_CACHE_DIR`` or ``NUMBA_CACHE_DIR`` override it), so that read-only site-packages and shared homes work.
The files that find, check and load what is kept are left out of the hash: they change no machine code.

What is loaded from there is run, so nobody else may have written it: see `unsafe`. A file that is damaged is made anew;
where nothing can be kept, kernels are compiled in memory. Either is said once.
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
from collections.abc import Callable
from functools import cache
from importlib.util import find_spec
from pathlib import Path
from typing import Any

_SEAL_BYTES = hashlib.sha256().digest_size
IN_MEMORY = "kernels are compiled in memory, some seconds to a minute in every process; GENASSOC_CACHE_DIR may name a folder that only you can write to"
_UNHASHED = ("caching.py", "cache_files.py", "loading.py")
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
    return frozenset(files - {source, *(room / name for name in _UNHASHED)})


def _sources(source: Path) -> list[Path]:
    """A file of this room and all it imports from it, directly or not."""
    found, left = {source}, [source]
    while left:
        new = _imported(left.pop()) - found
        found |= new
        left += new
    return sorted(found)


class Cache:
    """What is wrong with the places of the cache, and whether it was said."""

    refused: tuple[str, ...] = ()
    said: set[str] = set()  # noqa: RUF012 (of the process)
    full = False
    shared = False  # whether others may read what is written
    kept: list[str] = []  # noqa: RUF012 (of the process)
    used: list[str] = []  # noqa: RUF012

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
    """Make a folder of ours, which others read only where it is shared; one that is there and that others can write to is emptied."""
    with contextlib.suppress(FileExistsError):
        folder.mkdir(mode=0o700)
        if Cache.shared:
            folder.chmod(0o755)
    status = folder.lstat()
    if stat.S_ISDIR(status.st_mode) and status.st_uid == os.geteuid() and _others_write(status):
        folder.chmod(0o700)
        for file in folder.glob("*.nb?"):
            file.unlink(missing_ok=True)


@cache
def base_folder() -> Path | None:
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
            Cache.refused = tuple(refused)
            return base.resolve()
        refused.append(reason)
    Cache.refused = tuple(refused)
    return None


@cache
def numba_version() -> str:
    """The version of numba, which need not be imported for it."""
    module = sys.modules.get("numba")
    if module is not None:
        return str(module.__version__)
    spec = find_spec("numba")
    text = (Path(spec.origin).parent / "_version.py").read_text() if spec and spec.origin else ""
    found = re.search(r'"version": "([^"]+)"', text)
    if found is None:
        import numba

        return str(numba.__version__)
    return found[1]


@cache
def cache_folder(source: Path) -> Path | None:
    """Where compiled kernels of a file are kept; None where they cannot be."""
    base = base_folder()
    if base is None:
        return None
    digest = hashlib.sha256()
    for file in _sources(source):
        digest.update(file.read_bytes())
    version = f"py{sys.version_info[0]}{sys.version_info[1]}-numba{numba_version()}"
    folder = base / f"{source.stem}-{digest.hexdigest()[:16]}-{version}"
    try:
        _made_private(folder)
        reason = "it is a link" if folder.is_symlink() else unsafe(folder)
    except OSError as error:
        reason = f"{folder} cannot be made: {error.strerror}"
    if reason is not None:
        Cache.refused += (reason,)
        return None
    return folder


def share(folder: Path) -> None:
    """Keep kernels from now on in a folder that others may read; nobody else may write to it."""
    Cache.shared = True
    folder = folder.expanduser().absolute()
    os.environ["GENASSOC_CACHE_DIR"] = str(folder)
    base_folder.cache_clear()
    cache_folder.cache_clear()
    with contextlib.suppress(OSError):  # `base_folder` says what is wrong with it
        folder.parent.mkdir(parents=True, exist_ok=True)
        if not folder.exists():
            _made_private(folder)


class SealedFiles:
    """One file for each kernel and signature: what numba serialises (a pickle), then its SHA-256.

    The name is a hash of the key, so that processes that write at once never write two things under one name (numba's own
    cache numbers its files, and two processes may choose the same number). A file takes its place whole, by a rename.

    Parameters
    ----------
    folder : Path
    stem : str
        Of the files' names: kernel, line, Python.
    loads : callable
        Reads the pickle.
    """

    def __init__(self, folder: Path, stem: str, loads: Callable[[bytes], Any] = pickle.loads) -> None:
        self._folder, self._stem, self._loads = folder, stem, loads

    def path(self, key: object) -> Path:
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
            Cache.say(f"{path} cannot be read ({error.strerror}): the kernel is compiled again")
            return None
        if _foreign(status) or _others_write(status):
            Cache.say(f"others can have written {path}: it is not used, and the kernel is compiled again")
            return None
        content, seal = sealed[:-_SEAL_BYTES], sealed[-_SEAL_BYTES:]
        if hashlib.sha256(content).digest() != seal:
            Cache.say(f"{path} is damaged: the kernel is compiled again")
            return None
        saved_key, saved = self._loads(content)
        if saved_key != key:
            return None
        Cache.used.append(self._stem)
        return saved

    def save(self, key: object, value: object) -> None:
        """Keep a value under a key."""
        from numba.core.serialize import dumps

        content = dumps((key, value))
        path = self.path(key)
        beside = path.with_name(f"{path.name}.{uuid.uuid4().hex[:16]}")
        try:
            with beside.open("xb") as file:
                os.fchmod(file.fileno(), 0o644 if Cache.shared else 0o600)
                file.write(content + hashlib.sha256(content).digest())
            beside.replace(path)
            Cache.kept.append(self._stem)
        except BaseException:
            with contextlib.suppress(OSError):
                beside.unlink()
            raise

    def keep(self, key: object, value: object) -> None:
        """Keep a value under a key, where the disk allows it."""
        if Cache.full:
            return
        try:
            self.save(key, value)
        except OSError as error:
            Cache.full = True
            Cache.say(f"{self._folder} cannot be written ({error.strerror}): {IN_MEMORY}")

    def flush(self) -> None:
        """Forget all of the kernel."""
        for path in self._folder.glob(f"{self._stem}.*.nbc"):
            path.unlink(missing_ok=True)
