"""Columns of variants as a scan of text produces them: numbers and bytes. A table is made from many such runs at once."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from itertools import pairwise
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from genassoc.data.schema import FILTER as FILTER
from genassoc.data.schema import INFO_SOURCE as INFO_SOURCE
from genassoc.data.schema import is_annotation
from genassoc.kernels.text.texts import put_texts
from genassoc.shapes import Int32Array, Int64Array, UInt8Array

if TYPE_CHECKING:
    import polars as pl

LENGTH_BYTES = 4  # before each string, and their number before all
_MARK = 10  # a line feed: no field of a VCF has one


class TextColumn(NamedTuple):
    """Strings as UTF-8 bytes one after another: string v is ``data[offsets[v] : offsets[v + 1]]``.

    Attributes
    ----------
    offsets : int64 (V + 1,)
    data : uint8 (bytes,)
    """

    offsets: Int64Array
    data: UInt8Array

    @classmethod
    def of(cls, texts: Iterable[str]) -> "TextColumn":
        """A column of strings."""
        return cls.of_bytes([text.encode() for text in texts])

    @classmethod
    def of_bytes(cls, encoded: Sequence[bytes]) -> "TextColumn":
        """A column of strings that are UTF-8 bytes."""
        offsets = np.zeros(len(encoded) + 1, dtype=np.int64)
        np.cumsum([len(text) for text in encoded], out=offsets[1:])
        return cls(offsets, np.frombuffer(bytearray(b"".join(encoded)), dtype=np.uint8))

    def texts(self) -> list[str]:
        """As a list of strings."""
        data, ends = self.data.tobytes(), self.offsets.tolist()
        return [data[begin:end].decode() for begin, end in pairwise(ends)]

    def joined_by(self, mark: int) -> UInt8Array:
        """The bytes of all strings (at least one), a byte ``mark`` between them."""
        ends = self.offsets[1:] - self.offsets[0]
        data = self.data[self.offsets[0] : self.offsets[-1]]
        marked = np.full(data.size + ends.size, mark, np.uint8)
        theirs = np.ones(marked.size, bool)
        theirs[ends + np.arange(ends.size)] = False
        marked[theirs] = data
        return marked[:-1]

    def series(self) -> "pl.Series":
        """As a polars column, without a Python object for each string."""
        import polars as pl

        n = self.offsets.size - 1
        if not n:
            return pl.Series([], dtype=pl.String)
        # polars cuts one string at its marks. pyarrow would take the arrays as they are, but costs 0.1 s and 30 MB to import.
        texts = pl.Series([self.joined_by(_MARK).tobytes().decode()]).str.split(chr(_MARK)).explode()
        if texts.len() != n:
            raise ValueError("a string has a mark of the end in it")
        return texts


@dataclass(frozen=True)
class VariantColumns:
    """V variants in columns; `frame` gives those of `GenotypeStore.variants`.

    Making a table costs a millisecond however few its rows are, so the runs of a few hundred rows that a scan gives stay
    in this form until a shard is full.

    Attributes
    ----------
    contigs : tuple of (str, int)
        Runs of neighbouring rows on one contig: name and length.
    positions : int64 (V,)
    effect_allele, other_allele, rsid : TextColumn
        ALT, REF and ID; "." where there is no ID.
    record : int64 (V,)
    alt_index : int32 (V,)
    annotations : dict
        Further columns of text by name, "." where a row has none: `FILTER` (as VCF writes it), `INFO_SOURCE` (the imputation
        quality that the file states), "INFO/CSQ" and so on. Each batch of a source has the same names in the same order.
    """

    contigs: tuple[tuple[str, int], ...]
    positions: Int64Array
    effect_allele: TextColumn
    other_allele: TextColumn
    rsid: TextColumn
    record: Int64Array
    alt_index: Int32Array
    annotations: dict[str, TextColumn] = field(default_factory=dict)

    def __len__(self) -> int:
        return len(self.positions)

    def __getitem__(self, rows: slice) -> "VariantColumns":
        start, stop, _ = rows.indices(len(self))
        if start == 0 and stop == len(self):
            return self
        contigs = []
        begin = 0
        for name, length in self.contigs:
            kept = min(begin + length, stop) - max(begin, start)
            if kept > 0:
                contigs.append((name, kept))
            begin += length
        alt, ref, rsid = (TextColumn(text.offsets[start : stop + 1], text.data) for text in self.texts())
        positions, record, alt_index = self.positions[start:stop], self.record[start:stop], self.alt_index[start:stop]
        annotations = {
            name: TextColumn(text.offsets[start : stop + 1], text.data) for name, text in self.annotations.items()
        }
        return VariantColumns(tuple(contigs), positions, alt, ref, rsid, record, alt_index, annotations)

    def texts(self) -> tuple[TextColumn, TextColumn, TextColumn]:
        """ALT, REF, ID."""
        return self.effect_allele, self.other_allele, self.rsid

    def without_annotations(self) -> "VariantColumns":
        """The same without further columns."""
        return replace(self, annotations={}) if self.annotations else self

    def numbered_from(self, records_before: int) -> "VariantColumns":
        """The same with ``records_before`` added to the record numbers."""
        return replace(self, record=self.record + records_before)

    @classmethod
    def of(cls, frame: "pl.DataFrame") -> "VariantColumns":
        """The columns of a table such as `GenotypeStore.variants` gives."""
        names, lengths = frame["chromosome"].rle().struct.unnest().get_columns()[::-1]
        alt, ref, rsid = (
            TextColumn.of(frame[name].fill_null(".").to_list()) for name in ("effect_allele", "other_allele", "rsid")
        )
        numbers = (frame["base_pair_location"], frame["record"], frame["alt_index"])
        positions, record, alt_index = (np.array(column.to_numpy()) for column in numbers)
        annotations = {name: TextColumn.of(_texts(frame[name])) for name in frame.columns if is_annotation(name)}
        return cls(
            tuple(zip(names.to_list(), lengths.to_list())), positions, alt, ref, rsid, record, alt_index, annotations
        )

    def chromosomes(self) -> TextColumn:
        """The contig of each row."""
        data = [name.encode() for name, _ in self.contigs]
        lengths = [length for _, length in self.contigs]
        offsets = np.zeros(len(self) + 1, dtype=np.int64)
        np.cumsum(np.repeat([len(name) for name in data], lengths), out=offsets[1:])
        whole = bytearray(b"".join(name * length for name, length in zip(data, lengths)))
        return TextColumn(offsets, np.frombuffer(whole, dtype=np.uint8))

    def frame(self) -> "pl.DataFrame":
        """V rows in the columns of `GenotypeStore.variants`."""
        import polars as pl

        names = pl.Series([name for name, _ in self.contigs], dtype=pl.String)
        lengths = [length for _, length in self.contigs]
        rsid = self.rsid.series()
        return pl.DataFrame(
            {
                "chromosome": names.gather(np.repeat(np.arange(len(lengths)), lengths)),
                "base_pair_location": self.positions,
                "effect_allele": self.effect_allele.series(),
                "other_allele": self.other_allele.series(),
                "rsid": rsid.set(rsid == ".", None),
                "record": self.record,
                "alt_index": self.alt_index,
            }
        )

    @classmethod
    def joined(cls, parts: Sequence["VariantColumns"]) -> "VariantColumns":
        """Columns joined one after another (at least one); neighbouring runs of one contig may stay separate."""
        if len(parts) == 1:
            return parts[0]
        alt, ref, rsid = (joined_text(texts) for texts in zip(*(part.texts() for part in parts), strict=True))
        return cls(
            tuple(run for part in parts for run in part.contigs),
            np.concatenate([part.positions for part in parts]),
            alt,
            ref,
            rsid,
            np.concatenate([part.record for part in parts]),
            np.concatenate([part.alt_index for part in parts]),
            {name: joined_text([part.annotations[name] for part in parts]) for name in parts[0].annotations},
        )

    @classmethod
    def empty(cls) -> "VariantColumns":
        """No variants."""
        none = TextColumn(np.zeros(1, np.int64), np.empty(0, np.uint8))
        return cls((), np.empty(0, np.int64), none, none, none, np.empty(0, np.int64), np.empty(0, np.int32))


def _texts(column: "pl.Series") -> list[str]:
    """Values as texts that give them back, "." where there is none."""
    return ["." if value is None or value != value else str(value) for value in column.to_list()]


def joined_text(parts: Sequence[TextColumn]) -> TextColumn:
    """Columns of strings joined one after another (at least one)."""
    lengths = np.concatenate([np.diff(part.offsets) for part in parts])
    offsets = np.zeros(len(lengths) + 1, dtype=np.int64)
    np.cumsum(lengths, out=offsets[1:])
    return TextColumn(offsets, np.concatenate([p.data[p.offsets[0] : p.offsets[-1]] for p in parts]))


def vlen_utf8(columns: Sequence[TextColumn], n_rows: int) -> UInt8Array:
    """Strings as Zarr's codec vlen-utf8 writes a chunk of ``n_rows`` rows of one string a column; absent rows are empty strings."""
    lengths = np.stack([np.diff(column.offsets) for column in columns], axis=1)
    starts = np.cumsum(lengths + LENGTH_BYTES).reshape(lengths.shape) - lengths + LENGTH_BYTES
    n = n_rows * len(columns)
    out = np.zeros(LENGTH_BYTES * (1 + n) + int(lengths.sum()), dtype=np.uint8)
    out[:LENGTH_BYTES].view("<u4")[0] = n
    for column, begin in zip(columns, starts.T):
        put_texts(column.offsets, column.data, np.ascontiguousarray(begin), True, out)
    return out
