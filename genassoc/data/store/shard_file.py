"""The file of a shard, as Zarr's sharding codec writes it: compressed chunks one after another, then where each lies.

Zarr encodes a shard when all of it is there, and copies it several times on the way. Here a chunk is compressed as soon
as its rows are known, straight from them. The bytes are the same (zarr-specs, "sharding_indexed" version 1.0, with the
codecs bytes, zstd and crc32c for chunks, bytes and crc32c for an index at the end).
"""

import struct
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any, BinaryIO, NamedTuple

import google_crc32c
import numpy as np

from genassoc.data.block import NO_DOSAGE
from genassoc.data.store.pieces import Piece, shard_piece
from genassoc.shapes import Array, UInt8Array, UInt16Array

# zstd 1: on 1000 Genomes calls 6.9 times smaller and as fast to read as lz4 (3.5 times); higher levels gain nothing.
LEVEL = 1
# Bits, or bytes, of equal weight lie together, of 256 Ki dosages: smaller than zstd alone by a seventh (docs/decisions, 0060, 0068).
# What is said here of the shuffle is for a writer; a frame says its own, and readers go by that.
BLOSC: dict[str, Any] = {"typesize": 2, "cname": "zstd", "clevel": LEVEL, "shuffle": "bitshuffle", "blocksize": 2**19}
_ABSENT = 2**64 - 1
_TRIED_ROWS, _TRIED_SAMPLES = 8, 4096  # of a chunk: 64 KB tell which shuffle makes it smaller


class Encoded(NamedTuple):
    """A chunk as it is stored: what zstd made of it, and the CRC-32C of that."""

    content: bytes
    checksum: bytes

    def __len__(self) -> int:
        return len(self.content) + len(self.checksum)


def compressed(content: Array) -> Encoded:
    """Compress an array; it leaves the interpreter while it does."""
    from numcodecs.zstd import Zstd

    return _with_checksum(Zstd(level=LEVEL).encode(content))


def encode_dosages(rows: UInt16Array, n_rows: int) -> Encoded:
    """Compress up to ``n_rows`` rows (V, N) of dosages as one chunk; absent rows are not observed.

    Not to be called by the main thread, where several threads would write blocks in the order in which they are ready.
    """
    from numcodecs import blosc

    if len(rows) < n_rows:
        whole = np.full((n_rows, rows.shape[1]), NO_DOSAGE, dtype=np.uint16)
        whole[: len(rows)] = rows
        rows = whole
    tried = np.ascontiguousarray(rows[:: max(1, n_rows // _TRIED_ROWS), :_TRIED_SAMPLES])
    bits, whole_bytes = (len(_blosc(tried, shuffle)) for shuffle in (blosc.BITSHUFFLE, blosc.SHUFFLE))
    return _with_checksum(_blosc(rows, blosc.BITSHUFFLE if bits < whole_bytes else blosc.SHUFFLE))


def _blosc(rows: UInt16Array, shuffle: int) -> bytes:
    from numcodecs import blosc

    packed: bytes = blosc.compress(rows, BLOSC["cname"].encode(), LEVEL, shuffle, BLOSC["blocksize"], BLOSC["typesize"])
    return packed


def encode_chunk(rows: UInt8Array, n_rows: int, fill: int) -> Encoded:
    """Compress up to ``n_rows`` rows (V, B) as one chunk, which is whole: absent rows are ``fill``."""
    if len(rows) < n_rows:
        whole = np.full((n_rows, rows.shape[1]), fill, dtype=np.uint8)
        whole[: len(rows)] = rows
        rows = whole
    return compressed(rows)


def write_chunk_file(path: Path, chunk: Encoded) -> None:
    """Write the file of a chunk that is in no shard."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(b"".join(chunk))


def write_shard_file(path: Path, chunks: Sequence[Encoded | None], n_chunks: int) -> Piece:
    """Write chunks (None: not there), and the index of a shard of ``n_chunks``; the piece of the store that the file is."""
    shard = ShardFile(path, n_chunks)
    try:
        for chunk in chunks:
            shard.add(chunk)
        piece = shard.finish()
    finally:
        shard.close()
    assert piece is not None, "a shard without a chunk is not written"
    return piece


class ShardFile:
    """The file of a shard that is written as its chunks come; there is none until one does.

    Parameters
    ----------
    path : Path
        What a run that was killed here has left is removed.
    n_chunks : int
        Chunks of a whole shard.
    """

    def __init__(self, path: Path, n_chunks: int) -> None:
        self._path, self._n_chunks = path, n_chunks
        self._index: list[int] = []
        self._checksums: list[bytes] = []
        self._at = 0
        self._file: BinaryIO | None = None
        path.unlink(missing_ok=True)

    def add(self, chunk: Encoded | None) -> None:
        """Write the next chunk (None: not there)."""
        if chunk is None:
            self._index += [_ABSENT, _ABSENT]
            return
        if self._file is None:
            self._path.parent.mkdir(parents=True, exist_ok=True)
            self._file = self._path.open("wb")
        self._file.writelines(chunk)
        self._index += [self._at, len(chunk)]
        self._at += len(chunk)
        self._checksums.append(chunk.checksum)

    def finish(self) -> Piece | None:
        """Write the index; the piece of the store that the file is, None where no chunk came."""
        if self._file is None:
            return None
        self._index += [_ABSENT] * (2 * self._n_chunks - len(self._index))
        packed = b"".join(_with_checksum(struct.pack(f"<{len(self._index)}Q", *self._index)))
        self._file.write(packed)
        self._file.close()
        self._file = None
        return shard_piece(packed, self._checksums, self._at + len(packed))

    def close(self) -> None:
        """Close the file of a shard that will not be finished; what the disk has no room for is dropped."""
        file, self._file = self._file, None
        if file is not None:
            with suppress(OSError):
                file.close()


def _with_checksum(data: bytes) -> Encoded:
    return Encoded(data, struct.pack("<I", google_crc32c.value(data)))
