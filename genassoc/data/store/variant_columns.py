"""Columns of variants as a scan of text produces them: numbers and bytes. A table is made from many such runs at once."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import NamedTuple

import numpy as np
import polars as pl

from genassoc.shapes import Int32Array, Int64Array, UInt8Array

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

    def series(self) -> pl.Series:
        """As a polars column, without a Python object for each string."""
        ends = self.offsets[1:] - self.offsets[0]
        if not ends.size:
            return pl.Series([], dtype=pl.String)
        # polars cuts one string at its marks. pyarrow would take the arrays as they are, but costs 0.1 s and 30 MB to import.
        data = self.data[self.offsets[0] : self.offsets[-1]]
        marked = np.full(data.size + ends.size, _MARK, np.uint8)
        theirs = np.ones(marked.size, bool)
        theirs[ends + np.arange(ends.size)] = False
        marked[theirs] = data
        texts = pl.Series([marked[:-1].tobytes().decode()]).str.split(chr(_MARK)).explode()
        if texts.len() != ends.size:
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
    """

    contigs: tuple[tuple[str, int], ...]
    positions: Int64Array
    effect_allele: TextColumn
    other_allele: TextColumn
    rsid: TextColumn
    record: Int64Array
    alt_index: Int32Array

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
        alt, ref, rsid = (TextColumn(text.offsets[start : stop + 1], text.data) for text in self._texts())
        positions, record, alt_index = self.positions[start:stop], self.record[start:stop], self.alt_index[start:stop]
        return VariantColumns(tuple(contigs), positions, alt, ref, rsid, record, alt_index)

    def _texts(self) -> tuple[TextColumn, TextColumn, TextColumn]:
        return self.effect_allele, self.other_allele, self.rsid

    def numbered_from(self, records_before: int) -> "VariantColumns":
        """The same with ``records_before`` added to the record numbers."""
        return replace(self, record=self.record + records_before)

    def frame(self) -> pl.DataFrame:
        """V rows in the columns of `GenotypeStore.variants`."""
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
        alt, ref, rsid = (_joined_text(texts) for texts in zip(*(part._texts() for part in parts), strict=True))
        return cls(
            tuple(run for part in parts for run in part.contigs),
            np.concatenate([part.positions for part in parts]),
            alt,
            ref,
            rsid,
            np.concatenate([part.record for part in parts]),
            np.concatenate([part.alt_index for part in parts]),
        )

    @classmethod
    def empty(cls) -> "VariantColumns":
        """No variants."""
        none = TextColumn(np.zeros(1, np.int64), np.empty(0, np.uint8))
        return cls((), np.empty(0, np.int64), none, none, none, np.empty(0, np.int64), np.empty(0, np.int32))


def _joined_text(parts: Sequence[TextColumn]) -> TextColumn:
    lengths = np.concatenate([np.diff(part.offsets) for part in parts])
    offsets = np.zeros(len(lengths) + 1, dtype=np.int64)
    np.cumsum(lengths, out=offsets[1:])
    return TextColumn(offsets, np.concatenate([p.data[p.offsets[0] : p.offsets[-1]] for p in parts]))
