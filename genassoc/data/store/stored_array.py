"""One array of a store, read: from its files where they are laid out as genassoc writes them, else by Zarr.

Importing Zarr takes longer than most reads. Whatever is not exactly as `genassoc.data.store.arrays` lays it out (another codec, an
absent chunk, a checksum that fails, an object store) is left to it, which then also says what is wrong.
"""

import json
import math
from pathlib import Path
from typing import Any

import numpy as np

from genassoc.data.store.chunk_shards import ChunkShards, texts_of
from genassoc.data.store.shards import Shards, checked, unpacked
from genassoc.shapes import Array

_NUMBERS = {"int32": "<i4", "int64": "<i8", "uint8": "<u1", "uint16": "<u2"}
_TEXT = "string"
_KEYS = {"name": "default", "configuration": {"separator": "/"}}


class StoredArray:
    """An array of a store.

    Parameters
    ----------
    store : str
        Path or address of the store.
    name : str
        Of the array.
    local : bool
        Whether the store is a folder; an object store is read by Zarr.

    Attributes
    ----------
    shape : tuple of int
    chunk : int
        Rows of a chunk.
    file : int
        Rows of a file: of a shard, or of a chunk.

    Raises
    ------
    Exception
        Whatever Zarr makes of an array that is not there or damaged.
    """

    def __init__(self, store: str, name: str, *, local: bool) -> None:
        self._store, self._name = store, name
        self._by_zarr: Any = None
        self._shards: Shards | None = None
        self._chunks: ChunkShards | None = None
        self._dtype = ""
        folder = Path(store).absolute() / name  # the process may go to another folder
        self._folder = folder
        if local and self._is_ours(folder):
            return
        array = self._zarr()
        self.shape, self.chunk = tuple(array.shape), array.chunks[0]
        self.file = (array.shards or array.chunks)[0]

    def _is_ours(self, folder: Path) -> bool:
        """Take the layout from the array's zarr.json; False where it is another than ours."""
        try:
            content = json.loads((folder / "zarr.json").read_text(encoding="utf-8"))
            self.shape = tuple(content["shape"])
            self._shards = Shards.of(folder)
            if self._shards is not None:
                self.chunk, self.file = self._shards.chunk, self._shards.shard
                return True
            self._chunks = ChunkShards.of(folder)
            if self._chunks is not None:
                self.chunk, self.file = self._chunks.chunk, self._chunks.shard
                return True
            self.chunk, *wide = content["chunk_grid"]["configuration"]["chunk_shape"]
            self.file = self.chunk
            self._dtype = content["data_type"]
            first = "vlen-utf8" if self._dtype == _TEXT else "bytes"
            return bool(
                content["node_type"] == "array"
                and self._dtype in (_TEXT, *_NUMBERS)
                and [codec["name"] for codec in content["codecs"]] == [first, "zstd", "crc32c"]
                and (first != "bytes" or content["codecs"][0]["configuration"] == {"endian": "little"})
                and content["chunk_key_encoding"] == _KEYS
                and content["chunk_grid"]["name"] == "regular"
                and list(self.shape[1:]) == wide
                and all(type(size) is int and size >= 0 for size in self.shape)
                and type(self.chunk) is int
                and self.chunk > 0
            )
        except (OSError, ValueError, KeyError, TypeError, RecursionError):
            return False

    def _zarr(self) -> Any:
        if self._by_zarr is None:
            import zarr

            self._by_zarr = zarr.open_group(self._store, mode="r", zarr_format=3)[self._name]
        return self._by_zarr

    @property
    def streams(self) -> bool:
        """Whether a chunk is unpacked as far as it is read, and never held whole."""
        return self._shards is not None

    @property
    def behind(self) -> str:
        """What stands behind the number of a file in its key."""
        return "/0" * (len(self.shape) - 1)

    def rows(self, start: int, stop: int) -> Array:
        """Rows start to stop (not included).

        Raises
        ------
        Exception
            Whatever Zarr makes of a file that is damaged.
        """
        if self._chunks is not None:
            return self._chunks.read(start, stop)
        rows = self._own_rows(start, stop)
        return np.asarray(self._zarr()[start:stop]) if rows is None else rows

    def _own_rows(self, start: int, stop: int) -> Array | None:
        """The rows, read here; None where that must be left to Zarr."""
        if self._shards is not None:
            return self._shards.read(start, stop)
        if not self._dtype:
            return None
        dtype = object if self._dtype == _TEXT else np.dtype(_NUMBERS[self._dtype]).newbyteorder("=")
        out = np.empty((stop - start, *self.shape[1:]), dtype=dtype)
        try:
            for number in range(start // self.chunk, math.ceil(stop / self.chunk)):
                first = number * self.chunk
                from_row, to_row = max(start, first), min(stop, first + self.chunk)
                out[from_row - start : to_row - start] = self._whole_chunk(number)[from_row - first : to_row - first]
        except Exception:  # whatever a damaged file makes of the codecs
            return None
        return out

    def _whole_chunk(self, number: int) -> Array:
        """All rows of a chunk; a shorter last chunk is stored in full."""
        frame = checked((self._folder / "c" / f"{number}{self.behind}").read_bytes())
        shape = (self.chunk, *self.shape[1:])
        if self._dtype == _TEXT:
            return texts_of(unpacked(frame).tobytes(), math.prod(shape)).reshape(shape)
        rows = unpacked(frame, math.prod(shape) * np.dtype(_NUMBERS[self._dtype]).itemsize).view(_NUMBERS[self._dtype])
        return rows.reshape(shape)
