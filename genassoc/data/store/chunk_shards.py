"""Whole chunks read directly from shards that are laid out as genassoc writes them: dosages, and columns of text or numbers in shards.

As `genassoc.data.store.shards`, for arrays whose chunks are small enough to be unpacked whole. A chunk that is not there or fails its
checksum is an error here: Zarr would fill it, and what was imputed would look as if it was never observed.
"""

import json
import math
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from genassoc.data.store.shards import chunk_of_shard, unpacked
from genassoc.shapes import Array, UInt8Array

_BLOSC_HEADER = (
    16  # bytes; c-blosc, README_CHUNK_FORMAT.rst: version, version of the codec, flags, size of an item, three lengths
)
_ZSTD = 4  # in the three highest of the flags
_CODECS = {
    "uint16": ["bytes", "blosc", "crc32c"],
    "float64": ["bytes", "zstd", "crc32c"],
    "string": ["vlen-utf8", "zstd", "crc32c"],
}
_DTYPES = {"uint16": "<u2", "float64": "<f8"}
_INDEX = [{"name": "bytes", "configuration": {"endian": "little"}}, {"name": "crc32c"}]
_KEYS = {"name": "default", "configuration": {"separator": "/"}}


@dataclass(frozen=True)
class ChunkShards:
    """An array (rows,) or (rows, width) in shards of whole rows.

    Attributes
    ----------
    folder : Path
        Of the array.
    dtype : str
        "uint16", "float64" or "string".
    shape : tuple of int
    chunk, shard : int
        Rows of a chunk, and of a shard (a multiple of it).
    """

    folder: Path
    dtype: str
    shape: tuple[int, ...]
    chunk: int
    shard: int

    @classmethod
    def of(cls, folder: Path) -> "ChunkShards | None":
        """The array in a folder; None if its layout is another."""
        try:
            content = json.loads((folder / "zarr.json").read_text(encoding="utf-8"))
            shape, dtype = tuple(content["shape"]), content["data_type"]
            shard, *wide = content["chunk_grid"]["configuration"]["chunk_shape"]
            (sharding,) = content["codecs"]
            inner = sharding["configuration"]
            chunk, *also_wide = inner["chunk_shape"]
            first = inner["codecs"][0]
            ours = (
                dtype in _CODECS
                and content["node_type"] == "array"
                and sharding["name"] == "sharding_indexed"
                and [codec["name"] for codec in inner["codecs"]] == _CODECS[dtype]
                and (first["name"] != "bytes" or first["configuration"] == {"endian": "little"})
                and inner["index_codecs"] == _INDEX
                and inner.get("index_location", "end") == "end"
                and content["chunk_key_encoding"] == _KEYS
                and content["chunk_grid"]["name"] == "regular"
                and list(shape[1:]) == wide == also_wide
                and len(shape) < 3
                and all(type(size) is int and size >= 0 for size in shape)
                and all(type(size) is int and size > 0 for size in (chunk, shard))
                and shard % chunk == 0
            )
        except (OSError, ValueError, KeyError, TypeError, RecursionError):
            return None
        return cls(folder, dtype, shape, chunk, shard) if ours else None

    def read(self, start: int, stop: int) -> Array:
        """Rows start to stop (not included); strings as objects.

        Raises
        ------
        OSError, ValueError
            A chunk is not there, is cut, fails its checksum or is of another size.
        """
        number, behind = divmod(start, self.chunk)
        if behind == 0 and stop - start == min(self.chunk, self.shape[0] - start):  # a chunk, as analyses read them
            return self._chunk(number)[: stop - start]
        out = np.empty((stop - start, *self.shape[1:]), object if self.dtype == "string" else np.dtype(self.dtype))
        for number in range(start // self.chunk, math.ceil(stop / self.chunk)):
            first = number * self.chunk
            from_row, to_row = max(start, first), min(stop, first + self.chunk)
            out[from_row - start : to_row - start] = self._chunk(number)[from_row - first : to_row - first]
        return out

    def _chunk(self, number: int) -> Array:
        """All rows of a chunk; a shorter last chunk is stored in full."""
        frame = self.frame(number)
        shape = (self.chunk, *self.shape[1:])
        n_bytes = math.prod(shape) * np.dtype(_DTYPES.get(self.dtype, "u1")).itemsize
        if self.dtype == "string":
            return texts_of(unpacked(frame).tobytes(), self.chunk)
        content = _unshuffled(frame, n_bytes) if self.dtype == "uint16" else unpacked(frame, n_bytes)
        return content.view(_DTYPES[self.dtype]).reshape(shape)

    def frame(self, number: int) -> memoryview:
        """A chunk as it is compressed, its checksum right."""
        per_shard = self.shard // self.chunk
        path = self.folder / "c" / (str(number // per_shard) + "/0" * (len(self.shape) - 1))
        return chunk_of_shard(path, number % per_shard, per_shard)


def _unshuffled(frame: memoryview, n_bytes: int) -> UInt8Array:
    """The bytes that a frame of blosc unpacks to; ``ValueError`` before that, where it is none of ours or its sizes are others."""
    from numcodecs import blosc

    sizes = np.frombuffer(frame[4:_BLOSC_HEADER], "<i4") if len(frame) >= _BLOSC_HEADER else np.zeros(3, "<i4")
    if int(sizes[0]) != n_bytes or int(sizes[2]) != len(frame):
        raise ValueError("the chunk is not of the size of the array's chunks")
    if frame[2] >> 5 != _ZSTD or frame[3] != 2 or not 0 < int(sizes[1]) <= max(n_bytes, 1):
        raise ValueError("the chunk is compressed in another way than the array's chunks")
    out = np.empty(n_bytes, np.uint8)
    if blosc.use_threads is not False:
        blosc.use_threads = (
            False  # who reads side by side is for the executor to say, and a main thread would start threads
        )
    blosc.decompress(bytes(frame), out)
    return out


def texts_of(content: bytes, n: int) -> Array:
    """Strings as Zarr's codec "vlen-utf8" packs them: their number, then each as its length and its bytes."""
    if int.from_bytes(content[:4], "little") != n:
        raise ValueError("the chunk has another number of strings")
    texts = np.empty(n, dtype=object)
    at = 4
    for i in range(n):
        stop = at + 4 + int.from_bytes(content[at : at + 4], "little")
        texts[i] = content[at + 4 : stop].decode()
        at = stop
    if at != len(content):
        raise ValueError("the chunk is cut, or has more in it")
    return texts
