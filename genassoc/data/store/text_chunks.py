"""Strings of the variants' table read directly from their Zarr chunks, if they are laid out as genassoc writes them.

Zarr makes a Python object of each string on the way; here they stay bytes. As in `genassoc.data.store.shards`, whatever is not
exactly as `genassoc.data.store.arrays` lays it out, or fails its checksum, is left to Zarr, which says what is wrong.
"""

import json
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import polars as pl

from genassoc.data.store.shards import checked, unpacked
from genassoc.data.store.variant_columns import TextColumn
from genassoc.kernels.text.texts import take_texts


@dataclass(frozen=True)
class TextChunks:
    """An array of strings (rows,) or (rows, width) in chunks of whole rows.

    Attributes
    ----------
    folder : Path
        Of the array.
    chunk, width : int
        Rows of a chunk, strings of a row.
    place : str
        The file of a chunk within ``c/``, to be filled with its number.
    """

    folder: Path
    chunk: int
    width: int
    place: str

    @classmethod
    def of(cls, folder: Path) -> "TextChunks | None":
        """The array in a folder; None if its layout is another."""
        try:
            content = json.loads((folder / "zarr.json").read_text(encoding="utf-8"))
            chunk, *wide = content["chunk_grid"]["configuration"]["chunk_shape"]
            ours = (
                content["data_type"] == "string"
                and [codec["name"] for codec in content["codecs"]] == ["vlen-utf8", "zstd", "crc32c"]
                and content["chunk_key_encoding"] == {"name": "default", "configuration": {"separator": "/"}}
                and content["shape"][1:] == wide
                and len(wide) < 2
            )
        except (OSError, ValueError, KeyError, TypeError):
            return None
        return cls(folder, chunk, wide[0] if wide else 1, "{}/0" if wide else "{}") if ours else None

    def read(self, number: int, n_rows: int) -> list[pl.Series] | None:
        """The first rows of a chunk, a column for each string of a row; None on any irregularity."""
        try:
            content = unpacked(checked((self.folder / "c" / self.place.format(number)).read_bytes()))
        except Exception:  # whatever a damaged file makes of the codecs
            return None
        columns = []
        for first in range(self.width):
            offsets, data = np.zeros(n_rows + 1, np.int64), np.empty(content.size, np.uint8)
            size = take_texts(content, first, self.width, offsets, data)
            if size < 0:
                return None
            try:
                columns.append(TextColumn(offsets, data[:size]).series())
            except ValueError:  # no UTF-8, or with a line feed in it
                return None
        return columns
