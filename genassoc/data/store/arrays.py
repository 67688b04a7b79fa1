"""The arrays of a store that is being written; with `genassoc.data.store.store` the only code that touches Zarr."""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from genassoc.data import schema
from genassoc.data.store.location import LocalLocation
from genassoc.data.store.parts import write_durably
from genassoc.data.store.pieces import PIECES, ROOT, Piece, Pieces, is_piece, piece_of, pieces_text, root_of
from genassoc.data.store.shard_file import LEVEL, write_shard_file
from genassoc.shapes import Array, UInt8Array, packed_bytes


class StoreArrays:
    """The arrays of a store that is being written; used by `genassoc.data.store.writer` alone.

    Parameters
    ----------
    path : Path
        Folder of the Zarr group; made if absent, opened if a conversion resumes.
    sample_ids : sequence of str
        N names.
    block_variants : int
        Variants a chunk.
    """

    def __init__(self, path: Path, sample_ids: list[str], block_variants: int) -> None:
        import zarr

        self.path = path
        self._location = LocalLocation(path)
        self.shard_variants = block_variants * schema.BLOCKS_PER_SHARD
        if (path / schema.HAPLOID / "zarr.json").exists():
            self._group = zarr.open_group(str(path), mode="r+", zarr_format=3)
            return
        self._group = zarr.open_group(str(path), mode="w", zarr_format=3)
        n_samples = len(sample_ids)
        self._create(schema.SAMPLE_ID, (n_samples,), str, (max(n_samples, 1),))[:] = np.array(sample_ids, dtype=object)
        for name, width, fill in (
            (schema.GENOTYPES, packed_bytes(n_samples), schema.NO_CALLS),
            (schema.HAPLOID, (n_samples + 7) // 8, 0),
        ):
            self._create(
                name,
                (0, width),
                "uint8",
                (block_variants, width),
                shards=(self.shard_variants, width),
                fill_value=fill,
            )

    def _create(self, name: str, shape: tuple[int, ...], dtype: Any, chunks: tuple[int, ...], **options: Any) -> Any:
        from zarr.codecs import Crc32cCodec, ZstdCodec

        self._group.create_array(
            name,
            shape=shape,
            dtype=dtype,
            chunks=chunks,
            compressors=[ZstdCodec(level=LEVEL), Crc32cCodec()],
            dimension_names=(schema.DIMENSIONS | schema.OPTIONAL_DIMENSIONS)[name],
            overwrite=True,
            **options,
        )
        return self._writable(name)

    def _writable(self, name: str) -> Any:
        """An array to write to. A chunk that is not there means damage, except where hardly any call is haploid."""
        array: Any = self._group[name]
        return array.with_config({"write_empty_chunks": name != schema.HAPLOID})

    def _grown(self, name: str, n_variants: int) -> Any:
        array = self._writable(name)
        array.resize((n_variants, *array.shape[1:]))
        return array

    def write_shard(
        self, number: int, n_rows: int, chunks: Sequence[bytes], haploid: UInt8Array | None
    ) -> dict[str, Piece]:
        """Write a whole shard (the last may be shorter) of compressed chunks; the files written, by their keys."""
        start = number * self.shard_variants
        calls, bits = (f"{name}/c/{number}/0" for name in (schema.GENOTYPES, schema.HAPLOID))
        for key in (calls, bits):
            (self.path / key).unlink(missing_ok=True)  # left by a run that was killed here
        self._grown(schema.GENOTYPES, start + n_rows)
        pieces = {calls: write_shard_file(self.path / calls, chunks, schema.BLOCKS_PER_SHARD)}
        array = self._grown(schema.HAPLOID, start + n_rows)
        if haploid is not None:
            array[start : start + n_rows] = haploid
        if (size := self._location.size(bits)) is not None:
            pieces[bits] = piece_of(self._location, bits, size, schema.BLOCKS_PER_SHARD)
        return pieces

    def write_metadata(self, start: int, columns: dict[str, Array], n_variants: int) -> None:
        """Write rows of the variants' arrays from ``start``, a multiple of `schema.METADATA_CHUNK`."""
        for name, values in columns.items():
            if start == 0:
                dimensions = values.shape[1:]
                dtype = str if values.dtype == object else values.dtype
                self._create(name, (n_variants, *dimensions), dtype, (schema.METADATA_CHUNK, *dimensions))
            self._writable(name)[start : start + len(values)] = values

    def complete(self, contigs: list[str], attributes: dict[str, Any], written: Mapping[str, Piece]) -> None:
        """Write what is known only at the end: contigs, attributes, the list of pieces and the root over all.

        Parameters
        ----------
        written : mapping
            Pieces that are known from when they were written; the others are looked at here.
        """
        names = np.array(contigs, dtype=object)
        self._create(schema.CONTIG_ID, (len(contigs),), str, (max(len(contigs), 1),))[:] = names
        self._group.attrs.put(attributes)
        pieces = Pieces(str(self.path), self._location, None)
        found = {}
        for partial in self.path.rglob("*.partial"):  # zarr's files, left by a run that was killed
            partial.unlink()
        for key in filter(is_piece, self._location.files()):
            found[key] = written.get(key) or piece_of(
                self._location, key, self._location.size(key) or 0, pieces.per_shard(key)
            )
        listed = pieces_text(found)
        write_durably(self.path / PIECES, listed)
        root = root_of(json.loads(self._location.read("zarr.json")), listed)
        self._group.attrs.put({**attributes, ROOT: root})
