"""VCF Zarr as an output of an export: the layout that bio2zarr writes, which vcztools and sgkit read."""

import contextlib
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from genassoc.data.block import NO_DOSAGE
from genassoc.data.store.variant_columns import FILTER, INFO_SOURCE
from genassoc.errors import OutputError
from genassoc.formats.joined_records import joined
from genassoc.formats.writing import ExportHeader, ExportRows
from genassoc.provenance import genassoc_version
from genassoc.shapes import Array

if TYPE_CHECKING:
    import zarr

VERSION = "0.4"
CHUNK_RECORDS, CHUNK_SAMPLES = 1000, 10_000  # bio2zarr's
_CHUNK_BYTES = 2**26  # of the records of a chunk, all samples: they are held until it is full
_INFO = "INFO/"
# VCF Zarr 0.4: what is not known, and what is not there since others have more
MISSING_FLOAT, FILL_FLOAT = (np.array([bits], np.uint32).view(np.float32)[0] for bits in (0x7F800001, 0x7F800002))
_TEXT = "text"


class _Records(NamedTuple):
    """L records: the values of each array, and what there is to say of them."""

    values: dict[str, Array]
    apart: int
    unclear: int
    without_gp: int


class VczWriter:
    """Writes a folder; see `genassoc.formats.writing.Writer`."""

    def __init__(self, folder: Path, name: str, header: ExportHeader) -> None:
        import zarr

        self._header = header
        self._name = name
        self._contigs = {contig: number for number, contig in enumerate(header.contigs)}
        self._filters = list(
            dict.fromkeys(("PASS", *(f for text in header.filters for f in text.split(";") if f not in ("", "."))))
        )
        self._group = zarr.open_group(str(folder / name), mode="w-", zarr_format=2)
        self._alts = max(1, header.most_alts)
        self._arrays: dict[str, Any] = {}
        self._waiting: list[dict[str, Array]] = []
        self._n_waiting = self._n = 0
        self._index: list[tuple[int, ...]] = []
        self._apart = self._unclear = self._without_gp = 0
        self._genotypes = 3 if header.has_probabilities else 0
        N = len(header.sample_ids)
        row = N * (4 + 4 * ((self._alts if header.has_dosages else 0) + self._genotypes))
        self._chunk = max(1, min(CHUNK_RECORDS, _CHUNK_BYTES // max(row, 1)))
        self._make(N)

    @staticmethod
    def files(name: str) -> tuple[str, ...]:
        """The folder."""
        return (name,)

    def _make(self, N: int) -> None:
        """The arrays, as long as there are rows at most."""
        header = self._header
        self._group.attrs.update(
            {
                "vcf_zarr_version": VERSION,
                "source": f"genassoc-{genassoc_version()}",
                "vcf_meta_information": [["fileformat", "VCFv4.3"]],
            }
        )
        self._whole("sample_id", list(header.sample_ids), "samples", _TEXT)
        self._whole("contig_id", list(header.contigs), "contigs", _TEXT)
        if all(header.contigs.values()):
            self._whole("contig_length", list(header.contigs.values()), "contigs", np.int64)
        self._whole("filter_id", self._filters, "filters", _TEXT)
        self._whole("filter_description", ["As in the input"] * len(self._filters), "filters", _TEXT)
        allele = np.int8 if self._alts < 127 else np.int16
        contig = np.int16 if len(self._contigs) < 2**15 else np.int32
        longest = max((n or 0 for n in header.contigs.values()), default=0)
        position = np.int32 if longest < 2**31 else np.int64
        calls = ("samples", "ploidy")
        self._of_variants("variant_contig", contig)
        self._of_variants("variant_position", position)
        self._of_variants("variant_length", np.int32)
        self._of_variants("variant_id", _TEXT)
        self._of_variants("variant_id_mask", bool)
        self._of_variants("variant_allele", _TEXT, ("alleles",), (self._alts + 1,))
        self._of_variants("variant_filter", bool, ("filters",), (len(self._filters),))
        for name, _ in self._info:
            self._of_variants(f"variant_{name}", _TEXT)
        if self._has_source:
            self._of_variants("variant_R2", np.float32)
        self._of_variants("call_genotype", allele, calls, (N, 2))
        self._of_variants("call_genotype_mask", bool, calls, (N, 2))
        self._of_variants("call_genotype_phased", bool, calls[:1], (N,))
        if header.has_dosages:
            self._of_variants("call_DS", np.float32, ("samples", "alt_alleles"), (N, self._alts))
        if self._genotypes:
            self._of_variants("call_GP", np.float32, ("samples", "genotypes"), (N, 3))

    @property
    def _info(self) -> list[tuple[str, str]]:
        """INFO fields and their annotations."""
        return [(name.removeprefix(_INFO), name) for name in self._header.annotations if name.startswith(_INFO)]

    @property
    def _has_source(self) -> bool:
        return INFO_SOURCE in self._header.annotations and "R2" not in dict(self._info)

    def _create(
        self, name: str, dtype: type | str, shape: tuple[int, ...], chunks: tuple[int, ...], dimensions: tuple[str, ...]
    ) -> "zarr.Array":
        import numcodecs

        kind: Any = str if dtype == _TEXT else np.dtype(dtype)
        shuffle = numcodecs.Blosc.BITSHUFFLE if dtype != _TEXT and kind.itemsize == 1 else numcodecs.Blosc.SHUFFLE
        array = self._group.create_array(
            name=name, shape=shape, chunks=chunks, dtype=kind, compressors=numcodecs.Blosc("zstd", clevel=5, shuffle=shuffle),
            fill_value="" if dtype == _TEXT else 0,
            config={"write_empty_chunks": True},  # an absent chunk would be read as REF, or be a lost one
        )  # fmt: skip
        array.attrs["_ARRAY_DIMENSIONS"] = list(dimensions)
        return array

    def _whole(self, name: str, values: Sequence[object], dimension: str, dtype: type | str) -> None:
        array = self._create(name, dtype, (len(values),), (max(1, len(values)),), (dimension,))
        array[...] = np.array(values, dtype=object if dtype == _TEXT else dtype)

    def _of_variants(
        self, name: str, dtype: type | str, dimensions: tuple[str, ...] = (), shape: tuple[int, ...] = ()
    ) -> None:
        chunks = tuple(
            min(n, CHUNK_SAMPLES) if dimension == "samples" else n for dimension, n in zip(dimensions, shape)
        )
        rows = max(1, self._header.most_rows)
        self._arrays[name] = self._create(
            name, dtype, (rows, *shape), (self._chunk, *chunks), ("variants", *dimensions)
        )

    def encode(self, rows: ExportRows) -> _Records:
        """The values of the arrays."""
        N = len(self._header.sample_ids)
        records = joined(rows, N)
        first = records.first[:-1]
        L = first.size
        n_alts = np.diff(records.first)
        table = rows.table[first]
        alleles = np.full((L, self._alts + 1), "", dtype=object)
        alleles[:, 0] = table["other_allele"].to_list()
        number = np.arange(len(rows)) - np.repeat(first, n_alts) + 1
        alleles[np.repeat(np.arange(L), n_alts), number] = rows.table["effect_allele"].to_list()
        rsid = np.array(table["rsid"].fill_null(".").to_list(), dtype=object)
        values: dict[str, Array] = {
            "variant_contig": np.array([self._contigs[name] for name in table["chromosome"].to_list()], np.int64),
            "variant_position": table["base_pair_location"].to_numpy(),
            "variant_length": np.array([len(text) for text in alleles[:, 0]], np.int32),
            "variant_id": rsid,
            "variant_id_mask": rsid == ".",
            "variant_allele": alleles,
            "call_genotype": records.alleles.astype(self._arrays["call_genotype"].dtype),
        }
        if FILTER not in self._header.annotations:
            values["variant_filter"] = np.zeros((L, len(self._filters)), bool)
        columns = [("variant_filter", FILTER), *((f"variant_{field}", column) for field, column in self._info)]
        for name, column in (*columns, ("variant_R2", INFO_SOURCE)):
            if column in rows.table.columns and name in self._arrays:
                texts = rows.table[column]
                of_records = (texts[a : a + n].to_list() for a, n in zip(first.tolist(), n_alts.tolist()))
                values[name] = self._annotation(name, [list(dict.fromkeys(of_it)) for of_it in of_records])
        without_gp = self._dosages(rows, records.first, records.alleles, values)
        return _Records(values, records.apart, records.unclear, without_gp)

    def _annotation(self, name: str, texts: list[list[str]]) -> Array:
        """Values of FILTER or of an INFO field from those, each once, of the rows of each record."""
        if name == "variant_filter":
            number = {text: k for k, text in enumerate(self._filters)}
            found = np.zeros((len(texts), len(self._filters)), bool)
            for record, of_it in enumerate(texts):
                for one in {part for text in of_it for part in text.split(";")} - {".", ""}:
                    found[record, number[one]] = True
            return found
        if name == "variant_R2":
            return np.array([_number(of_it[0]) for of_it in texts], np.float32)
        return np.array([",".join(of_it) for of_it in texts], dtype=object)

    def _dosages(self, rows: ExportRows, first: Array, alleles: Array, values: dict[str, Array]) -> int:
        """Set DS and GP of the records, where arrays have room for them; the records that have P(two copies) and no GP."""
        if not self._header.has_dosages:
            return 0
        L, N = alleles.shape[:2]
        ds = np.full((L, N, self._alts), FILL_FLOAT, np.float32)
        gp = np.full((L, N, 3), MISSING_FLOAT, np.float32)
        single = alleles[:, :, 1] == -2
        without = 0
        if rows.dosages is not None:
            steps = rows.dosages.steps
            at = np.cumsum(steps > 0) - 1
            for record in range(L):
                of_it = range(int(first[record]), int(first[record + 1]))
                if not any(steps[v] for v in of_it):
                    continue
                for k, v in enumerate(of_it):
                    if not steps[v]:
                        copies = (alleles[record] == k + 1).sum(axis=1)
                        ds[record, :, k] = copies
                        ds[record, alleles[record, :, 0] < 0, k] = MISSING_FLOAT
                        continue
                    value = rows.dosages.values[at[v]]
                    both = None if rows.dosages.homozygous is None else rows.dosages.homozygous[at[v]]
                    dosage = value / float(steps[v])
                    seen = value != NO_DOSAGE
                    # the missing value is set by itself: arithmetic would change its bits
                    ds[record, :, k] = dosage / np.where(single[record], 2, 1)
                    ds[record, ~seen, k] = MISSING_FLOAT
                    if both is None or not (both != NO_DOSAGE).any():
                        continue
                    if len(of_it) > 1:
                        without += k == 0
                        continue
                    two, known = both / float(steps[v]), seen & ((both != NO_DOSAGE) | single[record])
                    three = np.stack([1 - dosage + two, dosage - 2 * two, two], axis=1)
                    three = np.where(
                        single[record][:, None], np.stack([1 - dosage / 2, dosage / 2, np.zeros(N)], axis=1), three
                    )
                    gp[record] = np.maximum(three, 0)
                    gp[record, ~known] = MISSING_FLOAT
                    gp[record, single[record] & known, 2] = FILL_FLOAT
        values["call_DS"] = ds
        if self._genotypes:
            values["call_GP"] = gp
        return without

    def write(self, encoded: _Records) -> None:
        """Take records; whole chunks of them are written."""
        self._waiting.append(encoded.values)
        self._n_waiting += len(encoded.values["variant_contig"])
        self._apart += encoded.apart
        self._unclear += encoded.unclear
        self._without_gp += encoded.without_gp
        self._flush(last=False)

    def _flush(self, *, last: bool) -> None:
        n = self._n_waiting if last else self._n_waiting // self._chunk * self._chunk
        if not n:
            return
        joined_values = {name: np.concatenate([part[name] for part in self._waiting]) for name in self._waiting[0]}
        for name, values in joined_values.items():
            self._arrays[name][self._n : self._n + n] = values[:n]
        for start in range(0, n, self._chunk):  # what follows from the calls is made a chunk at a time
            calls = joined_values["call_genotype"][start : min(start + self._chunk, n)]
            rows = slice(self._n + start, self._n + start + len(calls))
            self._arrays["call_genotype_mask"][rows] = calls < 0
            self._arrays["call_genotype_phased"][rows] = np.zeros(calls.shape[:2], bool)
        for start in range(0, n, self._chunk):
            part = slice(start, min(start + self._chunk, n))
            self._add_to_index(
                (self._n + start) // self._chunk,
                *(joined_values[f"variant_{name}"][part] for name in ("contig", "position", "length")),
            )
        self._n += n
        self._n_waiting -= n
        self._waiting = [{name: values[n:] for name, values in joined_values.items()}] if self._n_waiting else []

    def _add_to_index(self, chunk: int, contigs: Array, positions: Array, lengths: Array) -> None:
        """Runs of one contig in a chunk: first, last and largest end of their positions, and how many."""
        edges = np.flatnonzero(np.diff(contigs)) + 1
        for a, b in zip([0, *edges.tolist()], [*edges.tolist(), len(contigs)]):
            ends = positions[a:b] + lengths[a:b] - 1
            self._index.append(
                (chunk, int(contigs[a]), int(positions[a]), int(positions[b - 1]), int(ends.max()), b - a)
            )

    def close(self) -> list[str]:
        """Write what waits, and cut the arrays to the records that there are."""
        self._flush(last=True)
        if self._n == 0:
            raise OutputError(f"{self._name}: no records to write.")
        for array in self._arrays.values():
            array.resize((self._n, *array.shape[1:]))
        index = np.array(self._index, np.int64)
        self._create(
            "region_index", np.int64, index.shape, index.shape, ("region_index_values", "region_index_fields")
        )[...] = index
        notes = ["not in a store, so not written: phase, QUAL, FORMAT fields other than GT, DS and GP"]
        if self._apart:
            notes.append(f"{self._apart:,} multi-allelic records are written one ALT a record: their rows are not those of one genotype any more")  # fmt: skip
        if self._unclear:
            notes.append(f"{self._unclear:,} calls of multi-allelic records with dosages near no copy are not observed beside their DS")  # fmt: skip
        if self._without_gp:
            notes.append(f"{self._without_gp:,} multi-allelic records have DS and no GP: probabilities are known for each ALT alone")  # fmt: skip
        return notes

    def abandon(self) -> None:
        """Nothing is open."""
        with contextlib.suppress(AttributeError):
            self._waiting.clear()


def _number(text: str) -> np.float32:
    """A number of INFO; missing where it is none."""
    try:
        return np.float32(text)
    except ValueError:
        return MISSING_FLOAT
