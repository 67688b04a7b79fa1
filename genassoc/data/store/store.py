"""The genotype store, read. Layout in `genassoc.data.schema`; `genassoc.data.store.arrays` writes it."""

import json
import math
import warnings
from collections import OrderedDict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from functools import cache
from pathlib import Path
from threading import Lock
from typing import Any, cast

import numpy as np
import polars as pl

from genassoc.data import schema, strangers
from genassoc.data.block import DosageRows, GenotypeBlock
from genassoc.data.forks import check_not_forked
from genassoc.data.shown import html_facts
from genassoc.data.store.dosage_reader import DosageReader, check_chunk, runs_of_chunks
from genassoc.data.store.folder import WORK_PREFIX, work_folder
from genassoc.data.store.location import LocalLocation, RemoteLocation, url_of
from genassoc.data.store.pieces import ROOT, Pieces
from genassoc.data.store.stored_array import StoredArray
from genassoc.data.store.text_chunks import TextChunks
from genassoc.errors import StoreError, printable
from genassoc.shapes import Array, Int32Array, Int64Array, UInt8Array, UInt16Array, packed_bytes

_CACHED_METADATA_CHUNKS = 4

VARIANT_SCHEMA: dict[str, Any] = {
    "chromosome": pl.String,
    "base_pair_location": pl.Int64,
    "effect_allele": pl.String,
    "other_allele": pl.String,
    "rsid": pl.String,
    "record": pl.Int64,
    "alt_index": pl.Int32,
}


class GenotypeStore:
    """Genotypes of V variants x N samples on disk, read in blocks.

    Open one with `GenotypeStore.open`. It holds no file open and pickles as its path: workers open it themselves.

    Attributes
    ----------
    path : Path or str
        The folder; its address where it lies in an object store (``s3://bucket/cohort.zarr``).
    n_variants, n_samples : int
        V of the whole store, N.
    sample_ids : array of str (N,)
        Object dtype.
    contigs : tuple of str
        In order of first appearance.
    block_variants : int
        Variants in one Zarr chunk: reads that start and stop at its multiples decode nothing twice.
    attributes : dict
        Sources with their fingerprints, versions, parameters, the summary of the conversion.
    fingerprint : str
        Short hash of the content.
    root : str or None
        Short hash of all its files (`genassoc.data.store.pieces`); None in a store of an earlier version.
    annotations : tuple of str
        Further columns that `variants` gives when asked: "FILTER", "info_source", "INFO/CSQ", ...
    """

    path: Path | str
    n_variants: int
    n_samples: int
    sample_ids: Array
    contigs: tuple[str, ...]
    block_variants: int
    attributes: dict[str, Any]
    fingerprint: str
    root: str | None
    annotations: tuple[str, ...]

    def __init__(self, path: str | Path) -> None:
        check_not_forked()
        url = url_of(path)
        self.path = Path(path) if url is None else url
        self._location = LocalLocation(Path(path)) if url is None else RemoteLocation(url)
        self._is_local = url is None
        if self._is_local:
            _require_store(Path(path))
        elif not self._location.exists("zarr.json"):
            raise StoreError(f"{self.path}: no store is there: it has no zarr.json")
        reading = "zarr.json"
        try:
            self.attributes = _group_attributes(self._location.read(reading))
            if self.attributes.get("format") != schema.FORMAT_NAME:
                raise StoreError(f"{self.path}: is no genassoc store (its format is {self.attributes.get('format')!r})")
            self._check_version()
            self.pieces = Pieces.of(str(self.path), self._location)
            known = [*schema.DIMENSIONS, *schema.OPTIONAL_DIMENSIONS, *schema.DOSAGE_DIMENSIONS]
            self.pieces.check_opened(known, sizes=self._is_local)
            _check_attributes(self.attributes)
            self.root = self.attributes.get(ROOT)
            self.block_variants = self.attributes["block_variants"]
            self.fingerprint = self.attributes["fingerprint"]
            self._arrays = {(reading := name): self._array(name) for name in schema.DIMENSIONS}
            reading = schema.VARIANT_CALL_COUNTS
            if self._location.exists(f"{reading}/zarr.json"):
                self._arrays[reading] = self._array(reading)
            elif self._is_local and (Path(path) / reading).exists():
                raise self.pieces.missing(f"{reading}/zarr.json")
            self.sample_ids = np.asarray(self._whole(schema.SAMPLE_ID), dtype=object)
            self.contigs = tuple(str(name) for name in self._whole(schema.CONTIG_ID))
            self.n_samples = len(self.sample_ids)
            self.n_variants = int(self._arrays[schema.GENOTYPES].shape[0])
            self._check_shapes(schema.DIMENSIONS)
            reading = "zarr.json"
            n_chunks = math.ceil(self.n_variants / self.block_variants)
            self._haploid_chunks = runs_of_chunks(self.attributes, "haploid_chunks", n_chunks)
            reading = schema.DOSAGE
            self._dosages = self._open_dosages()
            reading = "annotations"
            self.annotations = self._open_annotations()
        except StoreError:
            raise
        except Exception as error:
            # Whatever a damaged file makes zarr or json say.
            raise StoreError(f"{self.path}: is damaged: {reading}: {_reason(error)}; convert it again") from error
        if self.root is None:
            _say_without_root(str(self.path))
        self._text_chunks: dict[str, TextChunks | None] = {}
        self._one_reader = Lock()  # threads on neighbouring blocks want the same chunk: one reads it, the others wait
        self._metadata: OrderedDict[int, pl.DataFrame] = OrderedDict()
        self._counts: tuple[int, Int32Array] = (-1, np.zeros((0, len(schema.CALL_COUNTS)), dtype=np.int32))
        self._positions: tuple[int, Array] = (-1, np.zeros(0, dtype=np.int64))
        self._runs: list[tuple[str, int, int]] | None = None

    @classmethod
    def open(cls, path: str | Path) -> "GenotypeStore":
        """Open a store.

        Raises
        ------
        StoreError
            Nothing is there, a conversion has not finished, it is damaged, or a newer genassoc wrote it.
        """
        return cls(path)

    @classmethod
    def of(cls, store: object) -> "GenotypeStore":
        """A store, opened where its path is given; ``TypeError`` for anything else."""
        if isinstance(store, str | Path):
            return cls.open(store)
        if not hasattr(store, "sample_ids") or hasattr(store, "phenotypes"):
            raise TypeError(
                f"Cohort.align(store, phenotypes): the first is a genotype store or its path, not {type(store).__name__}"
            )
        return cast("GenotypeStore", store)

    def __reduce__(self) -> tuple[Any, ...]:
        # A worker may have another working folder.
        return (GenotypeStore, (self.path.absolute() if isinstance(self.path, Path) else self.path,))

    def __repr__(self) -> str:
        return printable(
            f"GenotypeStore({str(self.path)!r}: {self.n_variants:,} variants x {self.n_samples:,} samples)"
        )

    def _repr_html_(self) -> str:
        kept = "calls and dosages" if self.has_dosages else "calls"
        return html_facts(
            "GenotypeStore", {"path": self.path, "variants": self.n_variants, "samples": self.n_samples, "holds": kept}
        )

    def _check_version(self) -> None:
        version = self.attributes.get("format_version")
        if not isinstance(version, int) or version > schema.FORMAT_VERSION:
            raise StoreError(
                f"{self.path}: has format version {version}; this genassoc reads up to {schema.FORMAT_VERSION}: "
                "upgrade genassoc, or convert the data again with this one"
            )

    def _open_dosages(self) -> DosageReader | None:
        """The arrays of dosages; None in a store of calls."""
        if self.attributes["format_version"] < schema.DOSAGES_VERSION:
            return None
        names = [name for name in schema.DOSAGE_DIMENSIONS if name != schema.HOMOZYGOUS]
        if strangers.field(self.attributes, "probability_chunks", strangers.items):
            names.append(schema.HOMOZYGOUS)
        for name in names:
            if self._is_local and not self._location.exists(f"{name}/zarr.json"):
                raise self.pieces.missing(f"{name}/zarr.json")
            self._arrays[name] = self._array(name)
        self._check_shapes(names)
        chunk = self._arrays[schema.DOSAGE].chunk
        for name in {schema.DOSAGE, schema.HOMOZYGOUS} & set(names):
            check_chunk(str(self.path), self._arrays[name].chunk, self.block_variants, self.n_samples)
            if self._arrays[name].chunk != chunk:
                raise ValueError(f"its chunks are not those of {name}")
        n = math.ceil(self.n_variants / chunk)
        chunks, known = (runs_of_chunks(self.attributes, name, n) for name in ("dosage_chunks", "probability_chunks"))
        shape = (self.n_variants, self.n_samples)
        return DosageReader(str(self.path), self._slice, shape, chunk, chunks, known)

    def _open_annotations(self) -> tuple[str, ...]:
        """The arrays of further columns of the variants; their names."""
        names = tuple(dict.fromkeys(strangers.texts(self.attributes.get("annotations", []), "annotations")))
        for array in map(schema.annotation_array, names):
            if self._is_local and not self._location.exists(f"{array}/zarr.json"):
                raise self.pieces.missing(f"{array}/zarr.json")
            self._arrays[array] = self._array(array)
            if self._arrays[array].chunk != self.block_variants:
                raise ValueError(f"{array} has chunks of {self._arrays[array].chunk} variants")
        self._check_shapes(map(schema.annotation_array, names))
        return names

    def _check_shapes(self, names: Iterable[str]) -> None:
        expected = {
            "variants": self.n_variants,
            "samples": self.n_samples,
            "contigs": len(self.contigs),
            "alleles": 2,
            "bytes": packed_bytes(self.n_samples),
            "bits": (self.n_samples + 7) // 8,
            "sums": len(schema.DOSAGE_SUMS),
        }
        for name in names:
            shape = tuple(expected[dimension] for dimension in schema.dimensions_of(name))
            if tuple(self._arrays[name].shape) != shape:
                raise StoreError(
                    f"{self.path}: is damaged: array {name} has shape {self._arrays[name].shape}, not {shape}; convert it again"
                )

    def _array(self, name: str) -> StoredArray:
        return StoredArray(str(self.path), name, local=self._is_local)

    def _whole(self, name: str) -> Array:
        return self._slice(name, 0, int(self._arrays[name].shape[0]))

    def _slice(self, name: str, start: int, stop: int) -> Array:
        """Rows of an array. Zarr fills absent files silently; here they are an error."""
        for key in self._vouched(name, start, stop):
            if not self._location.exists(key):
                raise self.pieces.missing(key)
        try:
            return self._arrays[name].rows(start, stop)
        except Exception as error:
            bad = self._first_bad_chunk(name, start, stop)
            raise StoreError(
                f"{self.path}: is damaged: {name}, {bad} cannot be read: {_reason(error)}; convert it again"
            ) from error

    def _vouched(self, name: str, start: int, stop: int) -> list[str]:
        """The files with rows of an array, checked to be those that were written; `StoreError` otherwise."""
        array = self._arrays[name]
        keys = []
        for number in range(start // array.file, math.ceil(stop / array.file)):
            keys.append(f"{name}/c/{number}{array.behind}")
            self.pieces.check(keys[-1])  # before the next check: a false shape may claim billions of rows
        return keys

    def _first_bad_chunk(self, name: str, start: int, stop: int) -> str:
        array = self._arrays[name]
        step = array.chunk
        for number in range(start // step, math.ceil(stop / step)):
            after = min((number + 1) * step, array.shape[0])
            try:
                array.rows(number * step, after)
            except Exception:
                file = f"{name}/c/{number * step // array.file}{array.behind}"
                return f"chunk {number} (rows {number * step} to {after - 1}) in the file {file}"
        return f"rows {start} to {stop - 1}"

    def read(self, start: int, stop: int) -> GenotypeBlock:
        """Read the calls of variants ``start`` to ``stop`` (not included), all samples; joins chunks.

        Raises
        ------
        StoreError
            The range is not within the store, or a chunk is missing or fails its checksum (named).
        """
        self._check_range(start, stop)
        packed = np.ascontiguousarray(self._slice(schema.GENOTYPES, start, stop), dtype=np.uint8)
        return GenotypeBlock(packed, self.n_samples, start, self._read_haploid(start, stop))

    @property
    def has_dosages(self) -> bool:
        """Whether rows may have dosages; else there are calls only."""
        return self._dosages is not None

    @property
    def has_probabilities(self) -> bool:
        """Whether there are probabilities of genotypes beside dosages."""
        return self._dosages is not None and self._dosages.has_probabilities

    def dosage_steps(self, start: int, stop: int) -> UInt16Array:
        """Steps of one copy in the dosages of each variant from start to stop, (V,); 0 where there are calls only."""
        self._check_range(start, stop)
        return np.zeros(stop - start, np.uint16) if self._dosages is None else self._dosages.steps(start, stop)

    def dosage_sums(self, start: int, stop: int) -> Int64Array | None:
        """Sums of all samples' dosages of each variant from start to stop, (V, 11) by `schema.DOSAGE_SUMS`; None in a store of calls."""
        self._check_range(start, stop)
        return None if self._dosages is None else self._dosages.sums(start, stop)

    def read_dosages(self, start: int, stop: int, *, probabilities: bool = True) -> DosageRows:
        """Read the dosages of variants ``start`` to ``stop`` (not included), all samples; ``probabilities``: those of genotypes too.

        Returns
        -------
        DosageRows
            ``steps`` of all V variants, dosages of those that have some.

        Raises
        ------
        StoreError
            The range is not within the store; a chunk is missing, fails its checksum, or holds what cannot be dosages (named).
        """
        self._check_range(start, stop)
        if self._dosages is None:
            return DosageRows(np.zeros(stop - start, np.uint16), np.zeros((0, self.n_samples), np.uint16))
        return self._dosages.read(start, stop, probabilities)

    @property
    def working_variants(self) -> int:
        """Variants that are best read at a time: a part of a chunk of calls, a chunk of dosages."""
        return schema.working_variants(self.n_samples) if self._dosages is None else self._dosages.chunk

    @property
    def streams(self) -> bool:
        """Whether calls are unpacked as far as they are read: a chunk is then never held whole."""
        return self._arrays[schema.GENOTYPES].streams

    def _read_haploid(self, start: int, stop: int) -> UInt8Array | None:
        """Haploid bits; chunks without any are not on disk."""
        chunks = range(start // self.block_variants, math.ceil(stop / self.block_variants))
        if self._haploid_chunks.isdisjoint(chunks):
            return None
        bits = np.zeros((stop - start, (self.n_samples + 7) // 8), dtype=np.uint8)
        for chunk in chunks:
            if chunk in self._haploid_chunks:
                a, b = max(start, chunk * self.block_variants), min(stop, (chunk + 1) * self.block_variants)
                bits[a - start : b - start] = self._slice(schema.HAPLOID, a, b)
        return bits if bits.any() else None

    def _check_range(self, start: int, stop: int) -> None:
        if not 0 <= start <= stop <= self.n_variants:
            raise StoreError(f"{self.path}: variants {start} to {stop} asked for; there are {self.n_variants}")

    def verified(self) -> Iterator[tuple[str, int, StoreError | None]]:
        """Read all files of the store whole: of each its name, its size and what is wrong with it (None: nothing).

        In a store without a root each chunk is held against its checksum alone.
        """
        if self.root is None:
            for name, array in self._arrays.items():
                if name not in (schema.HAPLOID, schema.DOSAGE, schema.HOMOZYGOUS):
                    try:
                        self._vouched(name, 0, array.shape[0])
                    except StoreError as error:
                        yield name, 0, error
        yield from self.pieces.verified()

    def variants(self, start: int = 0, stop: int | None = None, *, annotations: Sequence[str] = ()) -> pl.DataFrame:
        """A table of the variants ``start`` to ``stop``, one row each.

        Parameters
        ----------
        start, stop : int
        annotations : sequence of str
            Further columns, of those that the attribute ``annotations`` names.

        Returns
        -------
        polars.DataFrame
            ``chromosome``, ``base_pair_location``, ``effect_allele`` (ALT), ``other_allele`` (REF), ``rsid`` (null
            where the VCF has "."), ``record`` (rows split from one VCF record share it), ``alt_index`` (from 1); the further
            columns under their names (``info_source`` a number, the others text), null where the file has none.
        """
        check_not_forked()
        stop = self.n_variants if stop is None else stop
        self._check_range(start, stop)
        step = schema.METADATA_CHUNK
        frames = []
        for number in range(start // step, math.ceil(stop / step)):
            first = number * step
            with self._one_reader:
                frame = self._metadata_chunk(number)
            frames.append(frame[max(start - first, 0) : min(stop - first, len(frame))])
        table = pl.concat(frames) if frames else pl.DataFrame(schema=VARIANT_SCHEMA)
        return table.with_columns(self.annotation(name, start, stop) for name in annotations)

    def annotation(self, name: str, start: int, stop: int) -> pl.Series:
        """One further column of the variants start to stop, null where the file has none.

        Raises
        ------
        StoreError
            The store has no such column, or it is damaged.
        """
        self._check_range(start, stop)
        if name not in self.annotations:
            has = ", ".join(self.annotations) or "none"
            raise StoreError(
                f"{self.path}: keeps no column {name} of its variants (it keeps: {has}); convert with --info to keep fields of INFO"
            )
        dtype = pl.Float64 if name == schema.INFO_SOURCE else pl.String
        values: Any = self._slice(schema.annotation_array(name), start, stop) if stop > start else []
        column = pl.Series(name, values, dtype=dtype)
        return column.fill_nan(None) if dtype == pl.Float64 else column.set(column == ".", None)

    def records(self, start: int, stop: int) -> Int64Array:
        """Number of the VCF record of each variant from start to stop, (V,): ALTs of one record share it, and follow each other."""
        self._check_range(start, stop)
        return np.asarray(self._slice(schema.VARIANT_RECORD, start, stop), dtype=np.int64)

    def position(self, variant: int) -> int:
        """The position of one variant on its contig, in base pairs from 1; 40 times faster than its row of `variants`."""
        self._check_range(variant, variant + 1)
        first = variant - variant % schema.METADATA_CHUNK
        with self._one_reader:
            if self._positions[0] != first:
                stop = min(first + schema.METADATA_CHUNK, self.n_variants)
                self._positions = first, self._slice(schema.VARIANT_POSITION, first, stop)
            return int(self._positions[1][variant - first])

    def _metadata_chunk(self, number: int) -> pl.DataFrame:
        """One chunk of the variants' table; the last few are kept, as neighbouring blocks share one."""
        frame = self._metadata.get(number)
        if frame is None:
            start = number * schema.METADATA_CHUNK
            frame = self._read_variants(start, min(start + schema.METADATA_CHUNK, self.n_variants))
            self._metadata[number] = frame
            while len(self._metadata) > _CACHED_METADATA_CHUNKS:
                self._metadata.popitem(last=False)
        return frame

    def _texts(self, name: str, start: int, stop: int) -> list[pl.Series]:
        """Strings of one chunk of the variants' table: a column, or one for each string of a row."""
        if name not in self._text_chunks:
            self._text_chunks[name] = None if not self._is_local else TextChunks.of(Path(self.path) / name)
        chunks = self._text_chunks[name]
        self._vouched(name, start, stop)
        if chunks and chunks.chunk == schema.METADATA_CHUNK:
            columns = chunks.read(start // chunks.chunk, stop - start)
            if columns is not None:
                return columns
        texts = self._slice(name, start, stop).astype(object).reshape(stop - start, -1)
        return [pl.Series(column.tolist(), dtype=pl.String) for column in texts.T]

    def _read_variants(self, start: int, stop: int) -> pl.DataFrame:
        def column(name: str) -> Array:
            return self._slice(name, start, stop)

        other_allele, effect_allele = self._texts(schema.VARIANT_ALLELE, start, stop)
        (rsid,) = self._texts(schema.VARIANT_ID, start, stop)
        contigs = pl.Series(self.contigs, dtype=pl.String)
        return pl.DataFrame(
            {
                "chromosome": contigs.gather(column(schema.VARIANT_CONTIG)),
                "base_pair_location": column(schema.VARIANT_POSITION),
                "effect_allele": effect_allele,
                "other_allele": other_allele,
                "rsid": rsid.set(rsid == ".", None),
                "record": column(schema.VARIANT_RECORD),
                "alt_index": column(schema.VARIANT_ALT_INDEX),
            },
            schema_overrides=VARIANT_SCHEMA,
        )

    def call_counts(self, start: int, stop: int) -> Int32Array | None:
        """Counts of all samples' calls of the variants start to stop, (V, 6) by `schema.CALL_COUNTS`; None if not kept.

        Raises
        ------
        StoreError
            The range is not within the store, or the counts are damaged.
        """
        self._check_range(start, stop)
        step = schema.METADATA_CHUNK
        if schema.VARIANT_CALL_COUNTS not in self._arrays:
            return None
        found = [np.zeros((0, len(schema.CALL_COUNTS)), dtype=np.int32)]
        for first in range(start // step * step, stop, step):
            with self._one_reader:
                counts = self._counts_from(first, min(first + step, self.n_variants))
            found.append(counts[max(start - first, 0) : stop - first])
        return np.concatenate(found)

    def _counts_from(self, first: int, stop: int) -> Int32Array:
        """One chunk of the counts; the last is kept, as neighbouring blocks share it."""
        kept_first, counts = self._counts
        if kept_first != first:
            counts = np.asarray(self._slice(schema.VARIANT_CALL_COUNTS, first, stop), dtype=np.int32)
            complete = counts.shape == (stop - first, len(schema.CALL_COUNTS))
            if not complete or (counts[:, :4].sum(axis=1) != self.n_samples).any():
                raise StoreError(
                    f"{self.path}: is damaged: {schema.VARIANT_CALL_COUNTS} does not add up to {self.n_samples}; convert it again"
                )
            self._counts = first, counts
        return counts

    def contig_runs(self) -> list[tuple[str, int, int]]:
        """Maximal runs (contig, start, stop) of neighbouring variants on one contig, in store order."""
        if self._runs is None:
            runs: list[tuple[str, int, int]] = []
            step = 16 * schema.METADATA_CHUNK
            for start in range(0, self.n_variants, step):
                stop = min(start + step, self.n_variants)
                contigs = self._slice(schema.VARIANT_CONTIG, start, stop)
                edges = np.flatnonzero(np.diff(contigs)) + 1
                for a, b in zip([0, *edges.tolist()], [*edges.tolist(), stop - start]):
                    name = self.contigs[int(contigs[a])]
                    if runs and runs[-1][0] == name and runs[-1][2] == start + a:
                        runs[-1] = (name, runs[-1][1], start + b)
                    else:
                        runs.append((name, start + a, start + b))
            self._runs = runs
        return list(self._runs)


def _require_store(path: Path) -> None:
    """Raise `StoreError` if there is no store to open; the message says what is there instead."""
    if not path.exists():
        if work_folder(path).exists():
            raise StoreError(
                f"{path}: its conversion has not finished; rerun convert with the same inputs to resume it"
            )
        raise StoreError(f"{path}: no such store; make one with genassoc convert")
    if not path.is_dir():
        raise StoreError(f"{path}: is a file and no store (a store is a folder); convert it first")
    if path.name.startswith(WORK_PREFIX):
        raise StoreError(f"{path}: is an unfinished conversion; rerun convert with the same inputs to resume it")
    if not (path / "zarr.json").is_file():  # a pipe would be waited for
        raise StoreError(f"{path}: is no store: it has no zarr.json")


def _reason(error: BaseException) -> str:
    return " ".join(str(error).split())[:200] or type(error).__name__


@cache
def _say_without_root(path: str) -> None:
    """Say, once in a process, that a store is of an earlier version."""
    warnings.warn(
        f"{path}: was written by an earlier genassoc: each chunk has a checksum, but nothing proves that its files belong to each "
        "other. Convert it again (--force, overwrite=True) to have that too.",
        UserWarning,
        stacklevel=4,
    )


def _group_attributes(content: bytes) -> dict[str, Any]:
    """The attributes of a Zarr group of version 3, of its zarr.json."""
    document = json.loads(content)
    if document.get("zarr_format") != 3 or document.get("node_type") != "group":
        raise ValueError("is of no Zarr group of version 3")
    return dict(document["attributes"])


# Attributes, which a stranger may have written: those that reading depends on have the types that they must have.


def _check_attributes(attributes: Mapping[str, Any]) -> None:
    """Check the types of the attributes that reading depends on; those that earlier versions did not write may be absent.

    Raises
    ------
    strangers.MalformedError
        Names the attribute.
    """
    strangers.field(attributes, "block_variants", strangers.whole, 1)
    strangers.field(attributes, "fingerprint", strangers.text)
    strangers.optional(attributes, "root", strangers.text)
    strangers.optional(attributes, "versions", strangers.table)
    strangers.optional(attributes, "identity", strangers.table)
    if "contig_lengths" in attributes:
        strangers.field(attributes, "contig_lengths", strangers.counts)
    if "summary" not in attributes:
        return
    summary = strangers.field(attributes, "summary", strangers.table)
    for source in strangers.items(summary.get("sources", []), "summary.sources"):
        made_of = strangers.table(source, "a source")
        for name, kind in (("name", strangers.text), ("kind", strangers.text), ("size", strangers.whole)):
            strangers.field(made_of, name, kind)
    strangers.counts(summary.get("dosages", {}), "summary.dosages")
    strangers.texts(summary.get("contig_notes", []), "summary.contig_notes")
