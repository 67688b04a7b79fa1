"""What of FILTER and INFO the rows of a VCF or a .pvar keep: columns of text, and how many records have each value."""

import re
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np

from genassoc.data.store.variant_columns import FILTER, INFO_SOURCE, TextColumn
from genassoc.formats.reading import Reading
from genassoc.formats.summary import UNEVEN
from genassoc.kernels.text import vcf_annotations as kernels
from genassoc.shapes import BoolArray, Int32Array, Int64Array, UInt8Array

# INFO fields in which imputation programs state their quality, the first that a header declares a number is taken:
# minimac and the Michigan and TOPMed servers; Beagle 4.1 and 5; IMPUTE 5, GLIMPSE, the Sanger server; QUILT and STITCH; Beagle 4.0.
QUALITY_FIELDS = ("R2", "DR2", "INFO", "INFO_SCORE", "AR2")
_SHOWN = 200  # bytes of a FILTER that is counted; the whole is stored


_SUBFIELDS = re.compile(rb"""Description="[^"]*?(?:Format:|')([^"':]*\|[^"']*)""")
_MOST_SUBFIELDS = 2**16  # bytes; VEP with all its plugins writes ten thousand


@dataclass(frozen=True)
class InfoField:
    """A field of INFO as its header line has it: ``Number``, ``Type``, and what its values consist of ("Allele|Consequence|...")."""

    number: str
    type: str
    subfields: str = ""


def subfields_of(line: bytes) -> str:
    """The parts of a field's values that its header line describes, as VEP ("Format: Allele|Consequence|...") and SnpEff ('Allele | Annotation') do."""
    found = _SUBFIELDS.search(line[:_MOST_SUBFIELDS])
    return "|".join(part.strip().decode("utf-8", "replace") for part in found[1].split(b"|")) if found else ""


@dataclass(frozen=True)
class Annotations:
    """What the rows of one file keep of FILTER and INFO.

    Attributes
    ----------
    fields : tuple of (str, bytes, bool)
        Annotation, INFO field, and whether the field has a value for each ALT, of which a row takes its own.
    notes : tuple of str
        What to say about them.
    source : str
        The field that the imputation quality is taken from; "" where the file has none.
    subfields : mapping
        Annotation -> the parts of its values, where the header tells.
    """

    fields: tuple[tuple[str, bytes, bool], ...] = ()
    notes: tuple[str, ...] = ()
    source: str = ""
    subfields: Mapping[str, str] = field(default_factory=dict)

    @classmethod
    def of(cls, name: str, declared: Mapping[str, InfoField], reading: Reading) -> "Annotations":
        """What a file called ``name`` has, by its header."""
        fields: dict[str, tuple[str, bytes, bool]] = {}
        notes = []
        for key in dict.fromkeys((*reading.info, *(["END"] if reading.blocks else []))):
            known = declared.get(key)
            if known is None and key in reading.info:
                notes.append(
                    f"{name}: INFO field {key} is not declared in the header: kept whole where a record has it"
                )
            fields[f"INFO/{key}"] = (f"INFO/{key}", key.encode(), known is not None and known.number == "A")
        numbers = (f for f in QUALITY_FIELDS if f in declared and declared[f].type == "Float")
        source = next((f for f in numbers if declared[f].number in ("1", "A", ".")), "")
        if source:
            fields[INFO_SOURCE] = (INFO_SOURCE, source.encode(), declared[source].number == "A")
        kept = [name for name in reading.info if name in declared and declared[name].subfields]
        return cls(
            tuple(fields.values()), tuple(notes), source, {f"INFO/{name}": declared[name].subfields for name in kept}
        )

    @property
    def names(self) -> tuple[str, ...]:
        """The annotations of each row."""
        return (FILTER, *(name for name, _, _ in self.fields))

    def take(
        self, text: UInt8Array, places: "Places", first_of_record: BoolArray
    ) -> tuple[dict[str, TextColumn], dict[str, int], dict[str, int]]:
        """Take the annotations of V rows.

        Parameters
        ----------
        text : uint8 (L,)
            The lines that the rows come from.
        places : Places
        first_of_record : bool (V,)
            Rows that count in the second result.

        Returns
        -------
        columns : dict
            By annotation.
        filters : dict
            FILTER -> records.
        annotated : dict
            Annotation of INFO -> rows that have a value; ``"uneven"`` under its name and a blank where a list did not fit ALT, or a quality
            was no single number.
        """
        n = len(first_of_record)
        spans, changes = np.empty((n, 4), dtype=np.int64), np.empty(n, dtype=np.uint8)
        kernels.find_columns(text, places.alternates, spans, changes)
        columns = {FILTER: column_of(text, spans[:, :2])}
        values, annotated = self.take_info(text, spans, places)
        return columns | values, counted_runs(text, spans[:, :2], np.flatnonzero(changes), first_of_record), annotated

    def take_info(
        self, text: UInt8Array, spans: Int64Array, places: "Places"
    ) -> tuple[dict[str, TextColumn], dict[str, int]]:
        """Take the INFO fields of V rows, whose INFO stands at the last two of ``spans`` (V, 4); the first and last result of `take`."""
        n = len(spans)
        columns: dict[str, TextColumn] = {}
        annotated: dict[str, int] = {}
        whole = np.empty(0, dtype=np.int64)
        for name, written, by_allele in self.fields:
            values = np.empty((n, 2), dtype=np.int64)
            starts = places.alternates if by_allele and places.alternates.size == n else whole
            key = np.frombuffer(written, dtype=np.uint8)
            uneven = kernels.find_values(text, spans, key, starts, places.alt_index, values)
            if name == INFO_SOURCE:
                uneven = _without_words(text, values)
            columns[name] = column_of(text, values)
            has = int(np.count_nonzero(values[:, 0] != kernels.ABSENT))
            annotated |= ({name: has} if has else {}) | ({f"{name} {UNEVEN}": uneven} if uneven else {})
        return columns, annotated


@dataclass(frozen=True)
class Places:
    """Where rows stand in their text: the beginning of ALT (V,), and which ALT each is (V,). Without the first, lists stay whole."""

    alternates: Int64Array
    alt_index: Int32Array


def _without_words(text: UInt8Array, values: Int64Array) -> int:
    """Take away values that are no single number, and return how many these are: a quality is a number."""
    rows = np.flatnonzero(values[:, 0] != kernels.ABSENT)
    bad = 0
    for row in rows.tolist():
        start, end = values[row].tolist()
        if start < 0 or not _is_number(text[start:end].tobytes()):
            bad += int(start < 0 or end - start != 1 or text[start] != ord("."))
            values[row, 0] = kernels.ABSENT
    return bad


def _is_number(shown: bytes) -> bool:
    try:
        float(shown)
    except ValueError:
        return False
    return True


def column_of(text: UInt8Array, values: Int64Array) -> TextColumn:
    """The values at the places (V, 2) of a text as a column."""
    lengths = np.where(values[:, 0] < 0, 1, values[:, 1] - values[:, 0])
    offsets = np.empty(len(values) + 1, dtype=np.int64)
    data = np.empty(int(lengths.sum()), dtype=np.uint8)
    kernels.take_values(text, np.ascontiguousarray(values), offsets, data)
    return TextColumn(offsets, data)


def counted_runs(text: UInt8Array, spans: Int64Array, starts: Int64Array, counts: BoolArray) -> dict[str, int]:
    """How many rows that count have each value, from runs of equal ones."""
    found: Counter[str] = Counter()
    if starts.size:
        for at, n in zip(starts.tolist(), np.add.reduceat(counts.astype(np.int64), starts).tolist()):
            found[_shown(text, *spans[at].tolist())] += n
    return {value: n for value, n in found.items() if n}


def counted_spans(text: UInt8Array, spans: Int64Array) -> dict[str, int]:
    """How often each value stands at the places (any, 2) of a text."""
    return dict(Counter(_shown(text, start, end) for start, end in spans.tolist()))


def _shown(text: UInt8Array, start: int, end: int) -> str:
    return text[start : min(end, start + _SHOWN)].tobytes().decode("utf-8", "replace")
