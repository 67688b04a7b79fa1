"""Rows of a packed array read directly from its Zarr shards, if they are laid out as genassoc writes them.

Zarr reads them too, with several copies of every block on the way; this reads a block in half the time. Whatever is not
exactly as `genassoc.data.store.store` lays it out (another codec, an absent chunk, a checksum that fails) is left to Zarr,
which then also says what is wrong.
"""

import json
import math
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from genassoc.shapes import UInt8Array

_INDEX_CODECS = [{"name": "bytes", "configuration": {"endian": "little"}}, {"name": "crc32c"}]
_CRC_BYTES = 4
_ABSENT = 2**64 - 1


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
                and shard % chunk == 0
            )
        except (OSError, ValueError, KeyError, TypeError):
            return None
        return cls(folder, n_rows, width, chunk, shard) if ours else None

    def read(self, start: int, stop: int) -> UInt8Array | None:
        """Rows start to stop (not included); None on any irregularity."""
        try:
            out = np.empty((stop - start, self.width), np.uint8)
            for number in range(start // self.chunk, math.ceil(stop / self.chunk)):
                self._read_chunk(number, start, stop, out)
        except Exception:  # whatever a damaged file makes of the codecs
            return None
        return out

    def _read_chunk(self, number: int, start: int, stop: int, out: UInt8Array) -> None:
        """Put the rows of a chunk that lie between start and stop where they belong in ``out``."""
        per_shard = self.shard // self.chunk
        with (self.folder / "c" / str(number // per_shard) / "0").open("rb") as file:
            file.seek(-(16 * per_shard + _CRC_BYTES), 2)
            index = np.frombuffer(checked(file.read()), "<u8").reshape(per_shard, 2)
            offset, size = (int(value) for value in index[number % per_shard])
            if offset == _ABSENT:
                raise ValueError("the chunk is not there")
            file.seek(offset)
            compressed = checked(file.read(size))
        first = number * self.chunk
        from_row, to_row = max(start, first), min(stop, first + self.chunk)
        rows = out[from_row - start : to_row - start]
        whole = to_row - from_row == self.chunk
        # A shorter last chunk is stored in full.
        into = rows if whole else np.empty((self.chunk, self.width), np.uint8)
        if _content_bytes(compressed) != into.size:
            raise ValueError("the chunk is not of the size of the array's chunks")
        unpack(compressed, into)
        if not whole:
            rows[:] = into[from_row - first : to_row - first]


def checked(data: bytes) -> memoryview:
    """The bytes before the CRC-32C at the end of ``data``, once that is right."""
    import google_crc32c

    content = memoryview(data)[:-_CRC_BYTES]
    if google_crc32c.value(bytes(content)) != int.from_bytes(data[-_CRC_BYTES:], "little"):
        raise ValueError("the checksum is wrong")
    return content


def unpack(frame: memoryview, into: UInt8Array) -> None:
    """Unpack a zstd frame into an array of just its size."""
    import zstandard

    with zstandard.ZstdDecompressor().stream_reader(frame) as reader:
        if reader.readinto(memoryview(into).cast("B")) != into.nbytes:  # type: ignore[arg-type]
            raise ValueError("the frame is cut")


def unpacked(frame: memoryview) -> UInt8Array:
    """The bytes that a zstd frame, which says its size, unpacks to."""
    import zstandard

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
