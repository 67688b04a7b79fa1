"""Rows of a packed array read directly from its Zarr shards, if they are laid out as genassoc writes them.

Zarr reads them too, with several copies of every block on the way, and a chunk whole for any row of it; this unpacks a chunk as a
stream, a block at a time. Whatever is not exactly as `genassoc.data.store.store` lays it out (another codec, an absent chunk, a
checksum that fails) is left to Zarr, which then also says what is wrong.
"""

import json
import math
import os
import threading
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import BinaryIO

import numpy as np

from genassoc.shapes import UInt8Array

_INDEX_CODECS = [{"name": "bytes", "configuration": {"endian": "little"}}, {"name": "crc32c"}]
_CRC_BYTES = 4
_ABSENT = 2**64 - 1
_HEADER_BYTES = 18  # of a zstd frame, at most
_READ_BYTES = 2**18  # of a file at a time
_MOST_IDLE = 16  # chunks half unpacked, each a megabyte or so


@dataclass(frozen=True)
class Shards:
    """A uint8 array (rows, width) in shards of whole rows.

    Attributes
    ----------
    folder : Path
        Of the array.
    n_rows, width : int
    chunk, shard : int
        Rows of a chunk, and of a shard (a multiple of it).
    """

    folder: Path
    n_rows: int
    width: int
    chunk: int
    shard: int

    @classmethod
    def of(cls, folder: Path) -> "Shards | None":
        """The array in a folder; None if its layout is another."""
        try:
            content = json.loads((folder / "zarr.json").read_text(encoding="utf-8"))
            n_rows, width = content["shape"]
            shard, whole = content["chunk_grid"]["configuration"]["chunk_shape"]
            (sharding,) = content["codecs"]
            inner = sharding["configuration"]
            chunk, also_whole = inner["chunk_shape"]
            names = [codec["name"] for codec in inner["codecs"]]
            ours = (
                content["data_type"] == "uint8"
                and sharding["name"] == "sharding_indexed"
                and names == ["bytes", "zstd", "crc32c"]
                and inner["index_codecs"] == _INDEX_CODECS
                and inner.get("index_location", "end") == "end"
                and content["chunk_key_encoding"]["name"] == "default"
                and width == whole == also_whole
                and all(type(size) is int and size >= 0 for size in (n_rows, width))
                and all(type(size) is int and size > 0 for size in (chunk, shard))
                and shard % chunk == 0
            )
        except (OSError, ValueError, KeyError, TypeError, RecursionError):
            return None
        return cls(folder, n_rows, width, chunk, shard) if ours else None

    @cached_property
    def _streams(self) -> "_Streams":
        return _Streams()

    def read(self, start: int, stop: int) -> UInt8Array | None:
        """Rows start to stop (not included); None on any irregularity."""
        try:
            out = np.empty((stop - start, self.width), np.uint8)
            for number in range(start // self.chunk, math.ceil(stop / self.chunk)):
                first = number * self.chunk
                from_row, to_row = max(start, first), min(stop, first + self.chunk)
                self._read_chunk(number, from_row - first, out[from_row - start : to_row - start])
        except Exception:  # whatever a damaged file makes of the codecs
            return None
        return out

    def _read_chunk(self, number: int, row: int, out: UInt8Array) -> None:
        """Rows of a chunk from ``row``."""
        stream = self._streams.take(number, row) or self._opened(number)
        stream.read(row, out)
        if stream.row < self.chunk:
            self._streams.keep(stream)

    def _opened(self, number: int) -> "_Stream":
        """A chunk at its first row, once its checksum is right."""
        per_shard = self.shard // self.chunk
        path = self.folder / "c" / str(number // per_shard) / "0"
        with path.open("rb") as file:
            offset, size = _place(file, number % per_shard, per_shard)
            file.seek(offset)
            _check(file, size)
            file.seek(offset)
            # A shorter last chunk is stored in full.
            if _content_bytes(file.read(_HEADER_BYTES)) != self.chunk * self.width:
                raise ValueError("the chunk is not of the size of the array's chunks")
            piece = _Piece(path, _identity(file), offset, size - _CRC_BYTES)
        return _Stream(number, self.width, piece)


class _Piece:
    """Some bytes of a file, read in order; the file, which must stay the same one, is open only while they are read."""

    def __init__(self, path: Path, identity: tuple[int, ...], at: int, left: int) -> None:
        self._path, self._identity, self._at, self._left = path, identity, at, left

    def read(self, n: int = -1) -> bytes:
        """The next bytes, at most n."""
        n = self._left if n < 0 else min(n, self._left)
        with self._path.open("rb") as file:
            if _identity(file) != self._identity:
                raise ValueError("the file was replaced")
            file.seek(self._at)
            data = file.read(n)
        self._at, self._left = self._at + len(data), self._left - len(data)
        return data


class _Stream:
    """A chunk that is being unpacked: its number, and the row that comes next."""

    def __init__(self, number: int, width: int, piece: _Piece) -> None:
        import zstandard

        self.number, self.row, self._width = number, 0, width
        self._reader = zstandard.ZstdDecompressor().stream_reader(piece, read_size=_READ_BYTES)  # type: ignore[arg-type]

    def read(self, row: int, out: UInt8Array) -> None:
        """Rows from ``row`` on; those before it are passed over."""
        step = max(1, _READ_BYTES // self._width)
        while self.row < row:
            self._fill(np.empty((min(step, row - self.row), self._width), np.uint8))
        self._fill(out)

    def _fill(self, rows: UInt8Array) -> None:
        into, filled = rows.reshape(-1).data, 0
        while filled < len(into):
            n = self._reader.readinto(into[filled:])
            if not n:
                raise ValueError("the frame is cut")
            filled += n
        self.row += len(rows)


class _Streams:
    """Chunks that threads have begun to unpack and left: who wants rows further on goes on from there.

    A task reads its blocks in order, so that each thread unpacks a chunk once, and holds no more of it than a block.
    """

    def __init__(self) -> None:
        self._idle: list[_Stream] = []
        self._lock = threading.Lock()

    def take(self, number: int, row: int) -> _Stream | None:
        """The one that is nearest before a row of a chunk, which is then the caller's."""
        with self._lock:
            fitting = [stream for stream in self._idle if stream.number == number and stream.row <= row]
            best = max(fitting, key=lambda stream: stream.row, default=None)
            if best is not None:
                self._idle.remove(best)
            return best

    def keep(self, stream: _Stream) -> None:
        """Leave one for others; the oldest are given up."""
        with self._lock:
            self._idle = [*self._idle, stream][-_MOST_IDLE:]


def _identity(file: BinaryIO) -> tuple[int, ...]:
    """What changes when a file is written anew."""
    stat = os.fstat(file.fileno())
    return stat.st_ino, stat.st_size, stat.st_mtime_ns


def _place(file: BinaryIO, number: int, per_shard: int) -> tuple[int, int]:
    """Where a chunk of a shard lies, and its bytes."""
    file.seek(-(16 * per_shard + _CRC_BYTES), 2)
    index = np.frombuffer(checked(file.read()), "<u8").reshape(per_shard, 2)
    offset, size = (int(value) for value in index[number])
    if offset == _ABSENT:
        raise ValueError("the chunk is not there")
    return offset, size


def chunk_of_shard(path: Path, number: int, per_shard: int) -> memoryview:
    """A chunk as it is compressed, its checksum right; ``ValueError`` otherwise."""
    with path.open("rb") as file:
        offset, size = _place(file, number, per_shard)
        if not _CRC_BYTES <= size <= os.fstat(file.fileno()).st_size - offset:
            raise ValueError("the chunk is cut")
        file.seek(offset)
        return checked(file.read(size))


def _check(file: BinaryIO, size: int) -> None:
    """See that the CRC-32C at the end of the next ``size`` bytes is right."""
    import google_crc32c

    found, left = 0, size - _CRC_BYTES
    while left > 0:
        data = file.read(min(left, _READ_BYTES))
        if not data:
            raise ValueError("the chunk is cut")
        found, left = google_crc32c.extend(found, data), left - len(data)
    if found != int.from_bytes(file.read(_CRC_BYTES), "little"):
        raise ValueError("the checksum is wrong")


def checked(data: bytes) -> memoryview:
    """The bytes before the CRC-32C at the end of ``data``, once that is right."""
    import google_crc32c

    content = memoryview(data)[:-_CRC_BYTES]
    if google_crc32c.value(bytes(content)) != int.from_bytes(data[-_CRC_BYTES:], "little"):
        raise ValueError("the checksum is wrong")
    return content


def unpacked(frame: memoryview, n_bytes: int | None = None) -> UInt8Array:
    """The bytes that a zstd frame, which says its size, unpacks to; `ValueError` before that, where they are not ``n_bytes``."""
    import zstandard

    if n_bytes is not None and _content_bytes(frame) != n_bytes:
        raise ValueError("the chunk is not of the size of the array's chunks")
    return np.frombuffer(zstandard.ZstdDecompressor().decompress(frame), np.uint8)


def _content_bytes(frame: bytes | memoryview) -> int:
    """Bytes that a zstd frame unpacks to, from its header (RFC 8878, 3.1.1.1): the decoder is content with fewer."""
    descriptor = frame[4]
    flag, single = descriptor >> 6, (descriptor >> 5) & 1
    at = 5 + (1 - single) + (0, 1, 2, 4)[descriptor & 3]
    width = (single, 2, 4, 8)[flag]
    if width == 0:
        raise ValueError("the frame does not say its size")
    return int.from_bytes(frame[at : at + width], "little") + (256 if flag == 1 else 0)
