"""The arrays of a store that is being written: their metadata, and their chunks.

The files are those that Zarr would write (zarr-specs, version 3.1: "core", "sharding_indexed" 1.0; the codecs vlen-utf8, bytes, zstd and crc32c),
byte for byte, which the tests hold against Zarr. They are written here, since Zarr takes a fifth of a second to import, and copies what it writes.
"""

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from genassoc.data import schema
from genassoc.data.block import NO_DOSAGE
from genassoc.data.store.location import LocalLocation
from genassoc.data.store.parts import write_durably
from genassoc.data.store.pieces import PIECES, ROOT, Piece, Pieces, is_piece, piece_of, pieces_text, root_of
from genassoc.data.store.shard_file import (
    BLOSC,
    LEVEL,
    Encoded,
    compressed,
    encode_chunk,
    write_chunk_file,
    write_shard_file,
)
from genassoc.data.store.variant_columns import TextColumn, vlen_utf8
from genassoc.shapes import Array, UInt8Array, packed_bytes

_COMPRESSED: list[dict[str, Any]] = [
    {"name": "zstd", "configuration": {"level": LEVEL, "checksum": False}},
    {"name": "crc32c"},
]
_LITTLE = {"endian": "little"}
_TEXT = "string"


def array_metadata(
    name: str,
    shape: Sequence[int],
    dtype: str,
    chunk: Sequence[int],
    *,
    fill: int | float | str = 0,
    shard: Sequence[int] = (),
) -> dict[str, object]:
    """The content of an array's zarr.json.

    Parameters
    ----------
    name : str
        Of the array; `schema` has its dimensions.
    shape : sequence of int
    dtype : str
        A data type of Zarr: "uint8", "int64", "string", ...
    chunk : sequence of int
        Shape of a chunk.
    fill : int, float or str
        Of what is not there.
    shard : sequence of int
        Shape of a shard; empty where each chunk is a file of its own.
    """
    if name in (schema.DOSAGE, schema.HOMOZYGOUS):
        codecs = [
            {"name": "bytes", "configuration": _LITTLE},
            {"name": "blosc", "configuration": BLOSC},
            {"name": "crc32c"},
        ]
    elif dtype == _TEXT:
        codecs = [{"name": "vlen-utf8", "configuration": {}}, *_COMPRESSED]
    elif np.dtype(dtype).itemsize == 1:
        codecs = [{"name": "bytes"}, *_COMPRESSED]
    else:
        codecs = [{"name": "bytes", "configuration": _LITTLE}, *_COMPRESSED]
    if shard:
        inner = {
            "chunk_shape": list(chunk),
            "codecs": codecs,
            "index_codecs": [{"name": "bytes", "configuration": _LITTLE}, {"name": "crc32c"}],
            "index_location": "end",
        }
        codecs = [{"name": "sharding_indexed", "configuration": inner}]
    return {
        "shape": list(shape),
        "data_type": dtype,
        "chunk_grid": {"name": "regular", "configuration": {"chunk_shape": list(shard or chunk)}},
        "chunk_key_encoding": {"name": "default", "configuration": {"separator": "/"}},
        "fill_value": "NaN" if fill != fill else fill,
        "codecs": codecs,
        "attributes": {},
        "dimension_names": list(schema.dimensions_of(name)),
        "zarr_format": 3,
        "node_type": "array",
        "storage_transformers": [],
    }


def _padded(values: Array, n_rows: int) -> Array:
    """Rows, and rows of zeros behind them."""
    if len(values) == n_rows:
        return np.ascontiguousarray(values)
    padded = np.zeros((n_rows, *values.shape[1:]), dtype=values.dtype)
    padded[: len(values)] = values
    return padded


@dataclass(frozen=True)
class Contents:
    """What a store holds beside calls.

    Attributes
    ----------
    dosages, probabilities : bool
        Whether rows may have dosages, and probabilities of genotypes.
    annotations : tuple of str
        Further columns of the variants ("FILTER", "info_source", "INFO/CSQ"); "." in rows without.
    """

    dosages: bool = False
    probabilities: bool = False
    annotations: tuple[str, ...] = ()


CALLS = Contents()


class StoreArrays:
    """The arrays of a store that is being written; used by `genassoc.data.store.writer` alone.

    Parameters
    ----------
    path : Path
        Folder of the Zarr group; made if absent, gone on with if a conversion resumes.
    sample_ids : sequence of str
        N names.
    block_variants : int
        Variants a chunk.
    contents : Contents
    """

    def __init__(self, path: Path, sample_ids: list[str], block_variants: int, contents: Contents = CALLS) -> None:
        self.path, self.n_samples, self.contents = path, len(sample_ids), contents
        self.dosage_chunk = schema.dosage_chunk(block_variants, len(sample_ids))
        self._location = LocalLocation(path)
        self.block_variants = block_variants
        self._widths = {
            schema.GENOTYPES: packed_bytes(len(sample_ids)),
            schema.HAPLOID: (len(sample_ids) + 7) // 8,
        }
        self.shard_variants = block_variants * schema.BLOCKS_PER_SHARD
        self._write_group({})
        self._write_whole(schema.SAMPLE_ID, sample_ids)

    def _write_group(self, attributes: Mapping[str, object]) -> None:
        self._write_json("zarr.json", {"attributes": attributes, "zarr_format": 3, "node_type": "group"})

    def _write_json(self, key: str, content: Mapping[str, object]) -> None:
        file = self.path / key
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(json.dumps(content, indent=2), encoding="utf-8")

    def _write_whole(self, name: str, texts: Sequence[str]) -> None:
        """An array of strings in one chunk."""
        n, chunk = len(texts), max(len(texts), 1)
        self._write_json(f"{name}/zarr.json", array_metadata(name, (n,), _TEXT, (chunk,), fill=""))
        if n:
            write_chunk_file(self.path / name / "c" / "0", compressed(vlen_utf8([TextColumn.of(texts)], chunk)))

    def encode_calls(self, rows: UInt8Array) -> Encoded:
        """The chunk of up to a block of rows (V, B) of calls; threads may run it side by side."""
        return encode_chunk(rows, self.block_variants, schema.NO_CALLS)

    def encode_haploid(self, rows: UInt8Array | None) -> Encoded | None:
        """The chunk of up to a block of rows of bits; None where no call is haploid, as hardly any is."""
        return None if rows is None or not rows.any() else encode_chunk(rows, self.block_variants, 0)

    def write_shard(
        self, number: int, n_rows: int, chunks: Sequence[Encoded], haploid: Sequence[Encoded | None]
    ) -> dict[str, Piece]:
        """Write a whole shard (the last may be shorter) of compressed chunks; the files written, by their keys."""
        n_variants = number * self.shard_variants + n_rows
        pieces = {}
        for name, fill, encoded in ((schema.GENOTYPES, schema.NO_CALLS, chunks), (schema.HAPLOID, 0, haploid)):
            key, width = f"{name}/c/{number}/0", self._widths[name]
            (self.path / key).unlink(missing_ok=True)  # left by a run that was killed here
            chunk, shard = (self.block_variants, width), (self.shard_variants, width)
            content = array_metadata(name, (n_variants, width), "uint8", chunk, fill=fill, shard=shard)
            self._write_json(f"{name}/zarr.json", content)
            if any(one is not None for one in encoded):
                pieces[key] = write_shard_file(self.path / key, encoded, schema.BLOCKS_PER_SHARD)
        return pieces

    def write_streamed_metadata(self, n_variants: int) -> None:
        """Describe the arrays of dosages and further columns, whose chunks are written elsewhere."""
        described: list[tuple[str, tuple[int, ...], str, int, int | float | str]] = []
        for name in [schema.DOSAGE] * self.contents.dosages + [schema.HOMOZYGOUS] * self.contents.probabilities:
            described.append((name, (self.n_samples,), "uint16", self.dosage_chunk, NO_DOSAGE))
        for annotation in self.contents.annotations:
            name = schema.annotation_array(annotation)
            numeric = annotation == schema.INFO_SOURCE
            kind: tuple[str, float | str] = ("float64", math.nan) if numeric else (_TEXT, "")
            described.append((name, (), kind[0], self.block_variants, kind[1]))
        for name, width, dtype, chunk, fill in described:
            content = array_metadata(
                name, (n_variants, *width), dtype, (chunk, *width), fill=fill, shard=(self.shard_variants, *width)
            )
            self._write_json(f"{name}/zarr.json", content)

    def write_metadata(self, start: int, columns: Mapping[str, Array | list[TextColumn]], n_variants: int) -> None:
        """Write rows of the variants' arrays from ``start``, a multiple of `schema.METADATA_CHUNK`."""
        step = schema.METADATA_CHUNK
        for name, values in columns.items():
            width: tuple[int, ...]
            fill: int | str
            if isinstance(values, list):
                width, dtype, fill, content = (len(values),)[len(values) == 1 :], _TEXT, "", vlen_utf8(values, step)
            else:
                width, dtype, fill, content = values.shape[1:], str(values.dtype), 0, _padded(values, step)
            if start == 0:
                shape, chunk = (n_variants, *width), (step, *width)
                self._write_json(f"{name}/zarr.json", array_metadata(name, shape, dtype, chunk, fill=fill))
            file = self.path / name / "c" / "/".join([str(start // step), *("0" for _ in width)])
            write_chunk_file(file, compressed(content))

    def complete(self, contigs: list[str], attributes: dict[str, Any], written: Mapping[str, Piece]) -> None:
        """Write what is known only at the end: contigs, attributes, the list of pieces and the root over all.

        Parameters
        ----------
        written : mapping
            Pieces that are known from when they were written; the others are looked at here.
        """
        self._write_whole(schema.CONTIG_ID, contigs)
        self._write_group(attributes)
        pieces = Pieces(str(self.path), self._location, None)
        found = {}
        for key in filter(is_piece, self._location.files()):
            found[key] = written.get(key) or piece_of(
                self._location, key, self._location.size(key) or 0, pieces.per_shard(key)
            )
        listed = pieces_text(found)
        write_durably(self.path / PIECES, listed)
        root = root_of(json.loads(self._location.read("zarr.json")), listed)
        self._write_group({**attributes, ROOT: root})
