"""The files of a Zarr store that a stranger made, in a folder or a .zip: each is bounded, and none is outside the store."""

import os
import stat
import zipfile
from pathlib import Path, PurePosixPath
from typing import IO, Protocol

from genassoc.errors import InputError

MOST_METADATA_BYTES = 2**24  # of a file of metadata
ZIP_MAGIC = b"PK\x03\x04"


class Files(Protocol):
    """The files of a store by key: "call_genotype/.zarray"."""

    def read(self, key: str, most: int) -> bytes | None:
        """The content of a file; None if it is not there; `InputError` if it has more than ``most`` bytes."""
        ...

    def names(self) -> list[str]:
        """The folders right below the root: the arrays."""
        ...


def files_of(path: Path) -> Files:
    """The files of a store at a path."""
    return _Folder(path) if path.is_dir() else _Zip(path)


def is_zarr_folder(path: Path) -> bool:
    """Whether a folder is a Zarr group: it has its metadata."""
    return any((path / name).is_file() for name in (".zgroup", ".zattrs", "zarr.json"))


def is_zarr_zip(path: Path, head: bytes) -> bool:
    """Whether a file is a .zip with a Zarr group in it."""
    if not head.startswith(ZIP_MAGIC):
        return False
    try:
        return _Zip(path).has_group
    except InputError:
        return False


class _Folder:
    """A folder. Links in it are followed as far as they stay in it: others would read what the user did not name."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._root = Path(os.path.realpath(path))

    def read(self, key: str, most: int) -> bytes | None:
        """See `Files.read`."""
        file = self._root / _safe(key, self._path)
        real = Path(os.path.realpath(file))
        if real != file and not real.is_relative_to(self._root):
            raise InputError(f"{self._path}: {key} is a link that leads out of the store; put the file itself there")
        try:
            # a pipe would be waited for
            handle = os.open(real, os.O_RDONLY | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_BINARY", 0))
        except (FileNotFoundError, NotADirectoryError):
            return None
        except OSError as error:
            raise InputError(f"{self._path}: {key} cannot be read: {error.strerror or error}") from error
        with os.fdopen(handle, "rb") as content:
            status = os.fstat(content.fileno())
            if not stat.S_ISREG(status.st_mode):
                raise InputError(f"{self._path}: {key} is no file")
            return _read_at_most(content, key, status.st_size, most, self._path)

    def names(self) -> list[str]:
        """See `Files.names`."""
        try:
            return sorted(entry.name for entry in os.scandir(self._root) if entry.is_dir())
        except OSError as error:
            raise InputError(f"{self._path}: cannot be read: {error.strerror or error}") from error


class _Zip:
    """A .zip, with the group at its root or in one folder at its root."""

    def __init__(self, path: Path) -> None:
        self._path = path
        try:
            self._zip = zipfile.ZipFile(path)
            found = self._zip.namelist()
        except (OSError, zipfile.BadZipFile, RuntimeError, ValueError, UnicodeDecodeError) as error:
            raise InputError(f"{path}: is no .zip that can be read: {error}") from error
        self._prefix = ""
        tops = {name.partition("/")[0] for name in found}
        marks = {".zgroup", ".zattrs", "zarr.json"}
        if not marks & set(found) and len(tops) == 1:
            self._prefix = f"{tops.pop()}/"
        self._known = {name for name in found if name.startswith(self._prefix)}
        if len(set(found)) < len(found):
            raise InputError(f"{path}: has two files of one name; pack the store again")
        self.has_group = any(self._prefix + mark in self._known for mark in marks)

    def read(self, key: str, most: int) -> bytes | None:
        """See `Files.read`."""
        name = self._prefix + str(_safe(key, self._path))
        if name not in self._known:
            return None
        try:
            with self._zip.open(name) as content:
                size = self._zip.getinfo(name).file_size
                return _read_at_most(content, key, size, most, self._path)
        except (OSError, zipfile.BadZipFile, RuntimeError, EOFError, ValueError) as error:
            raise InputError(f"{self._path}: {key} cannot be unpacked: {error}") from error
        except Exception as error:  # zlib.error, lzma.LZMAError: of the packing that the .zip chose
            raise InputError(f"{self._path}: {key} is damaged: {error}") from error

    def names(self) -> list[str]:
        """See `Files.names`."""
        inside = (name.removeprefix(self._prefix) for name in self._known)
        return sorted({name.partition("/")[0] for name in inside if "/" in name})


def _read_at_most(content: IO[bytes], key: str, size: int, most: int, path: Path) -> bytes:
    """All of a file, which says that it has ``size`` bytes."""
    data = content.read(most + 1) if size <= most else b""
    if size > most or len(data) > most:
        raise InputError(
            f"{path}: {key} has {max(size, len(data)):,} bytes where at most {most:,} can be; is it damaged?"
        )
    return data


def _safe(key: str, path: Path) -> PurePosixPath:
    """A key without steps out of the store."""
    parts = key.split("/")
    if any(part in ("", ".", "..") or "\\" in part or "\0" in part for part in parts):
        raise InputError(f"{path}: {key!r} is no name of a file of a store")
    return PurePosixPath(*parts)
