"""Reads ``.tbi`` and ``.csi``: which stretches of a BGZF file can hold the records of a region.

The stretches are read and scanned like the whole file is, so a region is as fast, as parallel and as resumable as all of
it. (htslib's own iterator would hand over one line at a time.) Layout: the tabix and CSIv1 specifications of samtools.
"""

import struct
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
from isal import isal_zlib

from genassoc.errors import InputError
from genassoc.formats.bgzf import IsalError
from genassoc.formats.source import Region
from genassoc.shapes import Int64Array

_TBI_DEPTH, _TBI_SHIFT = 5, 14
MOST_BYTES = 2**29  # of an index, inflated: those of the largest files have 100 MB
_NEAR = 2**16  # stretches closer than one block are read as one


@dataclass(frozen=True)
class _Bin:
    number: int
    first_offset: int  # csi: lowest offset of records that overlap the bin; 0 in tbi
    chunks: list[tuple[int, int]]


@dataclass(frozen=True)
class TabixIndex:
    """Index of a BGZF-compressed VCF.

    Attributes
    ----------
    path : Path
        The index file.
    contigs : tuple of str
        Contigs that have records, in the file's order.
    """

    path: Path
    contigs: tuple[str, ...]
    _bins: list[dict[int, _Bin]]
    _linear: list[tuple[int, ...]]
    _depth: int
    _shift: int

    def stretches(self, regions: list[Region]) -> list[tuple[int, int]]:
        """Disjoint (first, behind last) virtual offsets, in file order, that hold every record of the regions."""
        chunks: list[tuple[int, int]] = []
        for region in regions:
            if region.contig in self._numbers:
                chunks += self._chunks(self._numbers[region.contig], region)
        merged: list[tuple[int, int]] = []
        for first, stop in sorted(chunks):
            if merged and (first >> 16) <= (merged[-1][1] >> 16) + _NEAR:
                merged[-1] = (merged[-1][0], max(merged[-1][1], stop))
            else:
                merged.append((first, stop))
        return merged

    @cached_property
    def _numbers(self) -> dict[str, int]:
        return {name: number for number, name in reversed(list(enumerate(self.contigs)))}

    @property
    def window(self) -> int:
        """Bases of the index's smallest windows."""
        return 1 << self._shift

    def windows(self, contig: str) -> Int64Array:
        """Virtual offsets, one a window of ``contig``, before which no record that reaches into the window lies; ascending."""
        number = self._numbers[contig]
        base = ((1 << 3 * self._depth) - 1) // 7
        deepest = [bin_ - base for bin_ in self._bins[number] if base <= bin_ < base + (1 << 3 * self._depth)]
        count = max(1, len(self._linear[number]), max(deepest, default=0) + 1)
        offsets = [self._lowest_offset(number, window << self._shift) for window in range(count)]
        starts = [
            a
            for bin_, bin_chunks in self._bins[number].items()
            if bin_ < base + (1 << 3 * self._depth)
            for a, _ in bin_chunks.chunks
        ]
        return np.maximum(np.maximum.accumulate(np.array(offsets, dtype=np.int64)), min(starts, default=0))

    def _chunks(self, contig: int, region: Region) -> list[tuple[int, int]]:
        bins = self._bins[contig]
        begin = max(region.first - 1, 0)
        top = (1 << (self._shift + 3 * self._depth)) - 1
        begin, end = min(begin, top), min(max(region.last, begin + 1), top + 1)
        lowest = self._lowest_offset(contig, begin)
        chunks: list[tuple[int, int]] = []
        for level in range(self._depth + 1):
            shift = self._shift + 3 * (self._depth - level)
            base = ((1 << 3 * level) - 1) // 7
            low, high = base + (begin >> shift), base + ((end - 1) >> shift)
            # a wide region overlaps more bins than exist: walk the shorter of the two lists
            numbers = range(low, high + 1) if high - low < len(bins) else [b for b in bins if low <= b <= high]
            for number in numbers:
                if number in bins:
                    chunks += [(max(a, lowest), b) for a, b in bins[number].chunks if b > lowest]
        return chunks

    def _lowest_offset(self, contig: int, begin: int) -> int:
        """No record that reaches ``begin`` lies before this offset."""
        linear = self._linear[contig]
        if linear:
            return linear[min(begin >> self._shift, len(linear) - 1)]
        number = ((1 << 3 * self._depth) - 1) // 7 + (begin >> self._shift)
        while number > 0 and number not in self._bins[contig]:
            # the bin to the left, or, for the leftmost child, the parent
            parent = (number - 1) >> 3
            number = parent if number == (parent << 3) + 1 else number - 1
        bin_chunks = self._bins[contig].get(number)
        return bin_chunks.first_offset if bin_chunks else 0


class _Reader:
    """Numbers out of bytes; `InputError` where they end early."""

    def __init__(self, data: bytes, path: Path) -> None:
        self.data, self.path, self.at = data, path, 0

    def take(self, layout: str) -> tuple[int, ...]:
        try:
            values = struct.unpack_from("<" + layout, self.data, self.at)
        except struct.error:
            raise InputError(f"{self.path}: damaged index: it ends early; make it again (bcftools index)") from None
        self.at += struct.calcsize("<" + layout)
        return values

    def count(self, each: int) -> int:
        """A count of things of at least ``each`` bytes; one that cannot fit is damage."""
        (number,) = self.take("i")
        if number < 0 or number * each > len(self.data) - self.at:
            raise InputError(f"{self.path}: damaged index: impossible count {number}; make it again (bcftools index)")
        return number

    def text(self, length: int) -> bytes:
        self.at += length
        return self.data[self.at - length : self.at]


def find_index(path: Path) -> Path | None:
    """The ``.csi`` or ``.tbi`` beside ``path``, if there is one."""
    for suffix in (".csi", ".tbi"):
        candidate = path.with_name(path.name + suffix)
        if candidate.exists():
            return candidate
    return None


def read_index(path: Path) -> TabixIndex:
    """Read a ``.tbi`` or ``.csi`` of a VCF.

    Raises
    ------
    InputError
        It is damaged or is no such index.
    """
    try:
        data = path.read_bytes()
        if data[:2] == b"\x1f\x8b":
            data = _inflate_members(data)
    except OSError as error:
        raise InputError(f"{path}: cannot be read: {error.strerror}") from error
    except IsalError as error:
        raise InputError(f"{path}: damaged index ({error}); make it again (bcftools index)") from error
    reader = _Reader(data, path)
    magic = reader.text(4)
    if magic == b"TBI\1":
        n_contigs = reader.count(8)
        contigs = _names(reader)
        depth, shift = _TBI_DEPTH, _TBI_SHIFT
        bins, linear = _contig_bins(reader, n_contigs, is_csi=False)
    elif magic == b"CSI\1":
        shift, depth = reader.take("ii")
        if not 1 <= shift <= 40 or not 1 <= depth <= 10:
            raise InputError(f"{path}: damaged index: depth {depth}, shift {shift}; make it again (bcftools index)")
        auxiliary = reader.count(1)
        after = reader.at + auxiliary
        contigs = _names(reader) if auxiliary >= 28 else ()
        reader.at = after
        n_contigs = reader.count(4)
        bins, linear = _contig_bins(reader, n_contigs, is_csi=True)
    else:
        raise InputError(f"{path}: is no tbi or csi index")
    if len(contigs) != n_contigs:
        raise InputError(f"{path}: the index names {len(contigs)} contigs and holds {n_contigs}; make it again")
    return TabixIndex(path, contigs, bins, linear, depth, shift)


def _inflate_members(data: bytes) -> bytes:
    """All members of a gzip file."""
    pieces, size = [], 0
    while data[:2] == b"\x1f\x8b":
        inflater = isal_zlib.decompressobj(wbits=31)
        pieces.append(inflater.decompress(data, MOST_BYTES - size + 1))
        size += len(pieces[-1])
        if size > MOST_BYTES:
            raise IsalError(f"it has more than {MOST_BYTES >> 20} MB")
        if not inflater.eof:
            raise IsalError("it ends early")
        data = inflater.unused_data
    return b"".join(pieces)


def _names(reader: _Reader) -> tuple[str, ...]:
    reader.take("6i")  # format, columns, comment character, lines to skip
    names = reader.text(reader.count(1))
    return tuple(name.decode("utf-8", "replace") for name in names.split(b"\0")[:-1])


def _contig_bins(reader: _Reader, n_contigs: int, is_csi: bool) -> tuple[list[dict[int, _Bin]], list[tuple[int, ...]]]:
    """Bins and linear index of each contig."""
    all_bins: list[dict[int, _Bin]] = []
    all_linear: list[tuple[int, ...]] = []
    for _ in range(n_contigs):
        bins: dict[int, _Bin] = {}
        for _ in range(reader.count(8)):
            (number,) = reader.take("I")
            first_offset = reader.take("q")[0] if is_csi else 0
            flat = reader.take(f"{2 * reader.count(16)}q")
            bins[number] = _Bin(number, first_offset, list(zip(flat[::2], flat[1::2])))
        all_bins.append(bins)
        all_linear.append(() if is_csi else reader.take(f"{reader.count(8)}q"))
    return all_bins, all_linear
