"""VCF Zarr as a `Source`: a chunk of its variants becomes lines of VCF, which go the way all lines go.

So a VCF Zarr and the VCF it was made from give the same store, by construction, in calls, dosages, masks and annotations. Chunks are read
and unpacked in parallel.
"""

import json
import math
import re
from collections.abc import Iterator
from functools import partial
from itertools import pairwise
from typing import NamedTuple

import numpy as np

from genassoc.data.store.variant_columns import TextColumn
from genassoc.errors import InputError
from genassoc.formats.annotations import QUALITY_FIELDS
from genassoc.formats.source import Piece, Place, RecordError, Region, VariantBatch, size_of, spelled_as
from genassoc.formats.vcf.header import parse_header
from genassoc.formats.vcf.line_source import LineSource
from genassoc.formats.vcf.scan import LineScanner
from genassoc.formats.vcz.arrays import ZarrArray
from genassoc.formats.vcz.files import MOST_METADATA_BYTES, files_of
from genassoc.kernels.text import vcz_text as kernels
from genassoc.shapes import Array, Int64Array, UInt8Array

PIECE_NUMBERS = 2**23  # alleles, and numbers four times, of the records of a piece
MOST_ALLELES = 32_767
_GROUP_FILES = (".zattrs", "zarr.json")
_CONTROL = re.compile(r"[\x00-\x20]")
_MOST_NAMES_BYTES = 2**30  # of samples and contigs, sixteen for each


class _Field(NamedTuple):
    """A FORMAT field: its array, ``Number`` and ``Type``, and how many numbers a call has."""

    name: str
    array: ZarrArray
    number: str
    type: str
    kind: int


class VczSource(LineSource):
    """A VCF Zarr in a folder or a .zip; see `genassoc.formats.source.Source` for its attributes.

    Parameters
    ----------
    path : Path
    regions : list of Region
        Records to keep, by POS; everything if empty. Chunks without any are not read but for their positions.
    exact : bool
        Regions name contigs as the file does; otherwise they ask for chromosomes, however called.
    reading : Reading

    Raises
    ------
    InputError
        It is no VCF Zarr, it is damaged, it has no samples or no calls.
    """

    def _prepare(self, regions: list[Region], max_header_bytes: int, exact: bool) -> None:
        path = self.path
        self._noted: set[str] = set()
        self._files = files_of(path)
        version = self._version()
        self.kind = f"VCF Zarr {version} ({'folder' if path.is_dir() else 'zip'})"
        self._names = self._files.names()
        self._contig = self._array("variant_contig", 1)
        self._position = self._array("variant_position", 1, like=self._contig)
        self._allele = self._array("variant_allele", 2, like=self._contig)
        self._id, self._id_mask = self._optional("variant_id", 1), self._optional("variant_id_mask", 1)
        self._filter = self._optional("variant_filter", 2)
        most = min(_MOST_NAMES_BYTES, 4 * max_header_bytes)
        names = self._array("sample_id", 1).whole(most)
        self._samples = np.array([k for k, name in enumerate(names) if str(name)], dtype=np.int64)
        if self._samples.size < len(names):
            self.notes.append(f"{path.name}: {len(names) - self._samples.size:,} samples without a name are masked")
        contigs = [str(name) for name in self._array("contig_id", 1).whole(most)]
        lengths = self._optional("contig_length", 1, rows=len(contigs))
        self.contig_lengths = (
            {}
            if lengths is None
            else {name: int(n) for name, n in zip(contigs, lengths.whole(most)) if n == n and n > 0}
        )
        filters = self._optional("filter_id", 1, rows=None)
        self._filter_ids = [] if filters is None else [str(name) for name in filters.whole(most)]
        if self._filter is not None and self._filter.shape[1] != len(self._filter_ids):
            raise InputError(
                f"{path}: variant_filter is of {self._filter.shape[1]} filters, filter_id of {len(self._filter_ids)}"
            )
        for name in (*contigs, *self._filter_ids):
            self._check_word(name, "a contig or filter")
        self._fields = self._formats(len(names))
        self._genotype = self._optional("call_genotype", 3)
        # genotypes of local alleles (VCF 4.5), where there are no others
        self._local = None if self._genotype else self._optional("call_LGT", 2)
        self._local_alleles = None if self._local is None else self._array("call_LAA", 3, like=self._contig)
        self._has_calls = self._genotype is not None or self._local is not None
        if not self._has_calls and not any(field.name in ("DS", "GP", "HDS") for field in self._fields):
            raise InputError(f"{path}: has no call_genotype and no dosages: genotypes are needed")
        for array in (self._genotype, self._local, self._local_alleles, *(field.array for field in self._fields)):
            if array is not None and array.shape[1] != len(names):
                raise InputError(f"{path}: {array.name} is of {array.shape[1]:,} samples, sample_id of {len(names):,}")
        self._info = self._info_fields()
        header = self._header_text([str(names[k]) for k in self._samples], contigs)
        self._header = parse_header(path, header)
        self.sample_ids, self.contigs = self._header.sample_ids, tuple(contigs)
        self._choose_annotations(self._header)
        self._choose_sample_fields(self._header, b"")
        self.regions = regions if exact else spelled_as(regions, self.contigs, self.notes)
        self.work = float(size_of(path))

    @property
    def _wide(self) -> list[ZarrArray]:
        """Arrays of variants x samples that are read."""
        calls = (self._genotype, self._local, self._local_alleles)
        return [array for array in calls if array is not None] + [field.array for field in self._fields]

    # opening -------------------------------------------------------------------------------------------------

    def _version(self) -> str:
        """The version that the group says it is of."""
        for name in _GROUP_FILES:
            content = self._files.read(name, MOST_METADATA_BYTES)
            if content is None:
                continue
            try:
                document = json.loads(content)
                attributes = document["attributes"] if name == "zarr.json" else document
                version = attributes.get("vcf_zarr_version")
                ours = attributes.get("format") == "genassoc-store"
            except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
                raise InputError(f"{self.path}: {name} is no metadata of a Zarr group: {error!r:.200}") from error
            if isinstance(version, str):
                return version[:20]
            if ours:
                raise InputError(f"{self.path}: is a genotype store already: it need not be converted")
        raise InputError(
            f"{self.path}: is a Zarr group and no VCF Zarr: it has no vcf_zarr_version (bio2zarr's vcf2zarr makes one)"
        )

    def _array(self, name: str, n_dimensions: int, like: ZarrArray | None = None) -> ZarrArray:
        array = ZarrArray.open(self.path, self._files, name)
        if array is None:
            raise InputError(f"{self.path}: has no array {name}, which a VCF Zarr has; copy the store again")
        return self._shaped(array, n_dimensions, None if like is None else len(like))

    def _shaped(self, array: ZarrArray, n_dimensions: int, rows: int | None) -> ZarrArray:
        if len(array.shape) != n_dimensions or (rows is not None and len(array) != rows):
            expected = f"{n_dimensions} dimensions" + ("" if rows is None else f" and {rows:,} rows")
            raise InputError(f"{self.path}: {array.name} has the shape {array.shape} where {expected} are needed")
        return array

    def _optional(self, name: str, n_dimensions: int, rows: int | None = -1) -> ZarrArray | None:
        """An array that may be absent; of the variants, unless ``rows`` says of how many (None: of any)."""
        array = ZarrArray.open(self.path, self._files, name) if name in self._names else None
        return None if array is None else self._shaped(array, n_dimensions, len(self._contig) if rows == -1 else rows)

    def _formats(self, n_samples: int) -> list[_Field]:
        """The FORMAT fields that are read."""
        reading = self.reading
        wanted: dict[str, tuple[str, str, int]] = {}
        if reading.dosage != "GT":
            wanted |= {
                "DS": ("A", "Float", kernels.BY_ALT),
                "GP": ("G", "Float", kernels.WHOLE),
                "HDS": (".", "Float", kernels.WHOLE),
            }
        if reading.min_gq is not None:
            wanted["GQ"] = ("1", "Float", kernels.WHOLE)
        if reading.min_dp is not None:
            wanted["DP"] = ("1", "Float", kernels.WHOLE)
        if reading.allele_balance is not None:
            wanted["AD"] = ("R", "Integer", kernels.BY_ALLELE)
        fields = []
        for name, (number, type_, kind) in wanted.items():
            array = ZarrArray.open(self.path, self._files, f"call_{name}") if f"call_{name}" in self._names else None
            if array is None:
                continue
            self._shaped(array, len(array.shape) if len(array.shape) in (2, 3) else 3, len(self._contig))
            if array.dtype is None or array.dtype.kind not in "fiu":
                raise InputError(f"{self.path}: {array.name} holds no numbers")
            fields.append(_Field(name, array, number, type_, kind))
        return fields

    def _info_fields(self) -> list[_Field]:
        """The INFO fields that are kept, and the first that states the imputation quality."""
        fields = []
        for name in dict.fromkeys((*self.reading.info, *QUALITY_FIELDS)):
            array = (
                ZarrArray.open(self.path, self._files, f"variant_{name}") if f"variant_{name}" in self._names else None
            )
            if array is None:
                continue
            self._shaped(array, len(array.shape) if len(array.shape) in (1, 2) else 2, len(self._contig))
            by_alt = len(array.shape) == 2 and array.dimensions[1:] == ("alt_alleles",)
            number = "A" if by_alt else ("1" if len(array.shape) == 1 else ".")
            kind = (
                "String"
                if array.dtype is None
                else "Flag"
                if array.dtype.kind == "b"
                else "Float"
                if array.dtype.kind == "f"
                else "Integer"
            )
            fields.append(_Field(name, array, "0" if kind == "Flag" else number, kind, kernels.WHOLE))
        return fields

    def _check_word(self, text: str, what: str) -> None:
        if not text or _CONTROL.search(text):
            raise InputError(
                f"{self.path}: {text[:40]!r} cannot be the name of {what}: it is empty, or has a blank in it"
            )

    def _header_text(self, samples: list[str], contigs: list[str]) -> bytes:
        """The header of the VCF that it stands for."""
        if not samples:
            raise InputError(f"{self.path}: has no samples; genotypes are needed")
        for name in samples:
            if re.search(r"[\t\r\n]", name):
                raise InputError(
                    f"{self.path}: the name of a sample has a tab or the end of a line in it: {name[:40]!r}"
                )
        lines = ["##fileformat=VCFv4.3", *(f"##contig=<ID={name}>" for name in contigs)]
        lines += [f'##INFO=<ID={f.name},Number={f.number},Type={f.type},Description="">' for f in self._info]
        lines.append('##FORMAT=<ID=GT,Number=1,Type=String,Description="">')
        lines += [
            f'##FORMAT=<ID={f.name},Number={f.number},Type={f.type},Description="{f.array.description}">'
            for f in self._fields
        ]
        lines.append("\t".join(("#CHROM", "POS", "ID", "REF", "ALT", "QUAL", "FILTER", "INFO", "FORMAT", *samples)))
        return "\n".join(lines).encode("utf-8", "surrogatepass") + b"\n"

    def first_contig(self) -> str | None:
        """Contig of the first record; None in regions."""
        if self.regions or not len(self._contig):
            return None
        return self._contig_names(self._contig.rows(0, 1))[0]

    def locate(self, line: int) -> str:
        """Which record it is; nothing in regions, where not all are read."""
        return "" if self.regions else f": record {line + 1}"

    # reading -------------------------------------------------------------------------------------------------

    def pieces(self, columns: Int64Array, start: Place | None) -> Iterator[Piece]:
        """Runs of records within a chunk; see `Source.pieces`. ``address`` is the number of the first."""
        chosen = self._samples[columns]
        scan = LineScanner(
            tuple(self.sample_ids[column] for column in columns), np.arange(columns.size), tuple(self.regions),
            self._header.numeric_formats, annotations=self._annotations, pass_only=self.reading.pass_only,
            fields=self._sample_fields,
        )  # fmt: skip
        wide = self._wide
        numbers = sum(
            math.prod(array.shape[2:]) * (1 if array is self._genotype else 4 if array.dtype else 16) for array in wide
        )
        step = max(1, PIECE_NUMBERS // max(1, columns.size * numbers))
        chunk, V = wide[0].chunks[0], len(self._contig)
        unpacked = max(math.prod(array.chunks) * (array.dtype.itemsize if array.dtype else 16) for array in wide)
        first = 0 if start is None else start.address
        while first < V:
            stop = min(first + step, (first // chunk + 1) * chunk, V)
            memory = 8 * (stop - first) * columns.size * numbers + unpacked
            yield Piece(self.work * (stop - first) / V, memory, partial(self._decode, scan, chosen, first, stop))
            first = stop

    def _decode(self, scan: LineScanner, columns: Int64Array, start: int, stop: int) -> VariantBatch:
        place = Place(0, start)
        contigs = self._contig.rows(start, stop)
        positions = self._position.rows(start, stop)
        keep = self._within(contigs, positions)
        if not keep.any():
            return scan(b"", place)
        alleles = self._allele.rows(start, stop)[keep]
        n_alts = np.array([sum(1 for text in row[1:] if text) for row in alleles], dtype=np.int64)
        fields = self._fields
        values = self._numbers(start, stop, columns)[keep]
        bounds = np.cumsum([0, *(math.prod(field.array.shape[2:]) for field in fields)]).astype(np.int64)
        # a record without any value of a field has not that field
        known = ~np.isnan(values)
        written = np.array([known[:, :, a:b].any(axis=(1, 2)) for a, b in pairwise(bounds)], dtype=np.uint8)
        written = np.ascontiguousarray(written.reshape(len(fields), len(values)).T)
        prefixes, ends = self._prefixes(start, stop, keep, contigs[keep], positions[keep], alleles, written)
        calls = self._calls(start, stop, columns)[keep]
        self._note_absent()
        L, N, P = calls.shape
        room = len(prefixes) + L * (
            N * (2 + kernels.CALL_BYTES * P + kernels.NUMBER_BYTES * values.shape[2] + len(fields)) + 1
        )
        text = np.empty(room, np.uint8)
        kinds = np.array([field.kind for field in fields], dtype=np.int64)
        length = kernels.write_calls(
            prefixes, ends, calls, kernels.Numbers(values, bounds, kinds, n_alts, written), text
        )
        return scan(text[:length].data, place)

    def _note_absent(self) -> None:
        """Say once of an array that chunks of it are not there."""
        for array in self._wide:
            if array.absent and array.name not in self._noted:
                self._noted.add(array.name)
                means = " (REF)" if array is self._genotype and array.fill == 0 else ""
                self.notes.append(
                    f"{self.path.name}: chunks of {array.name} are not there: by the rules of Zarr all their values are "
                    f"{array.fill}{means}; if files may have been lost, copy it again"
                )

    def _within(self, contigs: Array, positions: Array) -> Array:
        """Records (L,) that are in a region."""
        if not self.regions:
            return np.ones(len(contigs), bool)
        keep = np.zeros(len(contigs), bool)
        number = {name: k for k, name in enumerate(self.contigs)}
        for region in self.regions:
            if region.contig in number:
                here = (contigs == number[region.contig]) & (positions >= region.first) & (positions <= region.last)
                keep |= here
        return keep

    def _calls(self, start: int, stop: int, columns: Int64Array) -> Array:
        """Alleles (L, N, P) of the samples asked for."""
        if self._local is not None and self._local_alleles is not None:
            return _calls_of_local(
                self._local.rows(start, stop, columns), self._local_alleles.rows(start, stop, columns)
            )
        if self._genotype is None:
            return np.empty((stop - start, columns.size, 0), np.int16)
        calls = self._genotype.rows(start, stop, columns)
        if calls.dtype.kind not in "iu" or (calls.dtype.itemsize > 1 and calls.size and calls.max() > MOST_ALLELES):
            raise RecordError(
                0, f"call_genotype holds no alleles ({calls.dtype}, up to {calls.max() if calls.size else 0})"
            )
        if calls.size and calls.min() < -2:
            at = int(np.argmax((calls < -2).any(axis=(1, 2))))
            raise RecordError(
                at, f"call_genotype holds {calls.min()}: alleles are numbers from 0, -1 not observed, -2 none"
            )
        return np.ascontiguousarray(calls, dtype=np.int16)

    def _numbers(self, start: int, stop: int, columns: Int64Array) -> Array:
        """Numbers (L, N, F) of all fields, NaN where there is none."""
        fields = self._fields
        width = sum(math.prod(field.array.shape[2:]) for field in fields)
        values = np.empty((stop - start, columns.size, width), np.float32)
        at = 0
        for field in fields:
            found = field.array.rows(start, stop, columns)
            found = found.reshape(stop - start, columns.size, -1)
            here = values[:, :, at : at + found.shape[2]]
            here[...] = found
            if found.dtype.kind in "iu":
                here[found < 0] = np.nan  # -1 not known, -2 none
            at += found.shape[2]
        return values

    def _contig_names(self, contigs: Array) -> list[str]:
        if contigs.dtype.kind not in "iu" or (
            contigs.size and not 0 <= contigs.min() <= contigs.max() < len(self.contigs)
        ):
            raise RecordError(0, f"variant_contig is no number of one of the {len(self.contigs):,} contigs")
        return [self.contigs[number] for number in contigs.tolist()]

    def _prefixes(
        self, start: int, stop: int, keep: Array, contigs: Array, positions: Array, alleles: Array, written: Array
    ) -> tuple[UInt8Array, Int64Array]:
        """CHROM to FORMAT of each record, joined, and where each ends."""
        names = self._contig_names(contigs)
        if positions.dtype.kind not in "iu" or (positions.size and positions.min() < 0):
            raise RecordError(0, "variant_position holds no positions")
        ids = np.full(len(names), ".", object) if self._id is None else self._id.rows(start, stop)[keep]
        if self._id_mask is not None:
            ids = np.where(self._id_mask.rows(start, stop)[keep].astype(bool), ".", ids)
        filters, info = self._filters(start, stop, keep), self._info_texts(start, stop, keep)
        forms = {
            bits: ":".join(
                (
                    *(["GT"] if self._has_calls else []),
                    *(f.name for f, bit in zip(self._fields, bits) if bit),
                )
            )
            for bits in set(map(tuple, written.tolist()))
        }
        lines = []
        for k, (name, position, row) in enumerate(zip(names, positions.tolist(), alleles)):
            texts = [str(text) for text in row if text]
            if not row[0]:
                raise RecordError(k, f"the record at {name}:{position} has no REF")
            parts = (str(ids[k]) or ".", texts[0], ",".join(texts[1:]) or ".", ".", filters[k], info[k])
            if _CONTROL.search("".join(parts)):
                bad = next(part for part in parts if _CONTROL.search(part))
                raise RecordError(k, f"the record at {name}:{position} has a blank or a control byte in {bad[:40]!r}")
            lines.append("\t".join((name, str(position), *parts, forms[tuple(written[k].tolist())] or ".")))
        column = TextColumn.of(lines)
        return column.data, column.offsets[1:]

    def _filters(self, start: int, stop: int, keep: Array) -> list[str]:
        """FILTER of each record."""
        if self._filter is None:
            return ["."] * int(keep.sum())
        found = self._filter.rows(start, stop)[keep].astype(bool)
        if not found.size:
            return ["."] * len(found)
        kinds, which = np.unique(found, axis=0, return_inverse=True)
        texts = [";".join(np.array(self._filter_ids, object)[kind]) or "." for kind in kinds]
        return [texts[k] for k in which.reshape(-1)]

    def _info_texts(self, start: int, stop: int, keep: Array) -> list[str]:
        """INFO of each record: the fields that are kept."""
        texts: list[list[str]] = [[] for _ in range(int(keep.sum()))]
        for field in self._info:
            for text, value in zip(texts, field.array.rows(start, stop)[keep]):
                if field.type == "Flag":
                    text += [field.name] if value else []
                elif shown := _info_value(np.atleast_1d(value)):
                    text.append(f"{field.name}={shown}")
        return [";".join(text) or "." for text in texts]


def _calls_of_local(texts: Array, listed: Array) -> Array:
    """Alleles (L, N, 2) by LGT (L, N), whose numbers count the alleles that LAA (L, N, any) lists: k is the k-th of these, 0 is REF."""
    if texts.dtype != object or listed.dtype.kind not in "iu" or (listed.size and listed.max() > MOST_ALLELES):
        raise RecordError(0, "call_LGT holds no genotypes, or call_LAA no numbers of alleles")
    known, which = np.unique(texts.astype(str), return_inverse=True)
    which = which.reshape(texts.shape)
    calls = np.empty((*texts.shape, 2), np.int16)
    of_local = np.concatenate([np.zeros((*texts.shape, 1), np.int64), listed.astype(np.int64)], axis=2)
    for number, text in enumerate(known.tolist()):
        local = _local_genotype(text)
        if local is None or max(local) > listed.shape[2]:
            at = int(np.argmax((which == number).any(axis=1)))
            raise RecordError(
                at,
                f"call_LGT holds {text[:40]!r}, which is no genotype of at most two of {listed.shape[2]} local alleles",
            )
        here = which == number
        for copy, allele in enumerate(local):
            # an allele that is not listed is no call of anything
            calls[here, copy] = (
                allele if allele <= 0 else np.where(of_local[here, allele] > 0, of_local[here, allele], -3)
            )
    bad = np.unique(np.argwhere(calls < -2)[:, 0])
    if bad.size:
        raise RecordError(int(bad[0]), "call_LAA does not list an allele of call_LGT")
    return calls


def _local_genotype(text: str) -> tuple[int, int] | None:
    """A genotype of at most two alleles as it is written, -1 not observed, -2 none; None where it is none."""
    parts = re.split(r"[/|]", text.lstrip("/|") or ".")
    if len(parts) > 2 or not all(part == "." or (part.isdecimal() and len(part) < 5) for part in parts):
        return None
    alleles = [-1 if part == "." else int(part) for part in parts]
    return alleles[0], alleles[1] if len(alleles) > 1 else -2


def _info_value(values: Array) -> str:
    """A value of INFO as VCF writes it; empty where it is absent."""
    if values.dtype == object:
        shown = [str(value) for value in values]
    elif values.dtype.kind == "f":
        shown = ["." if value != value else np.format_float_positional(value, trim="-") for value in values]
    else:
        shown = ["" if value == -2 else "." if value == -1 else str(value) for value in values.tolist()]
        while shown and not shown[-1]:
            shown.pop()
    while shown and shown[-1] in (".", ""):
        shown.pop()
    return ",".join(one or "." for one in shown)
