"""Digests of files: they show, by reading a file once, whether it is the one that was written or was edited since."""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

_CHUNK = 2**20


@dataclass(frozen=True)
class FileDigest:
    """Size and SHA-256 of a file: ``sha256sum`` prints the same."""

    n_bytes: int
    sha256: str

    @classmethod
    def of(cls, path: Path) -> "FileDigest":
        """The digest of a file, which is read once, piece by piece."""
        digest, n_bytes = hashlib.sha256(), 0
        with path.open("rb", buffering=0) as file:
            while chunk := file.read(_CHUNK):
                digest.update(chunk)
                n_bytes += len(chunk)
        return cls(n_bytes, digest.hexdigest())


class Digesting:
    """A file that computes the digest of the bytes written to it, from the start to the end."""

    def __init__(self, file: BinaryIO) -> None:
        self._file = file
        self._digest = hashlib.sha256()
        self._n_bytes = 0

    def write(self, data: bytes) -> int:
        """Append ``data``."""
        self._file.write(data)
        self._digest.update(data)
        self._n_bytes += len(data)
        return len(data)

    @property
    def digest(self) -> FileDigest:
        """The digest of the bytes written so far."""
        return FileDigest(self._n_bytes, self._digest.hexdigest())


def record_digest(record: Mapping[str, Any]) -> str:
    """SHA-256 of JSON values: the same whatever blanks and order the file has them in."""
    text = json.dumps(record, sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()


def signature(path: Path) -> tuple[int, ...]:
    """Device, number, size and time of a file: they change when it is written again."""
    status = path.stat()
    return (status.st_dev, status.st_ino, status.st_size, status.st_mtime_ns)
