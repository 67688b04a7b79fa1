"""The header of a PGEN, checked before Pgenlib sees the file: counts, record types, record lengths and where blocks begin.

Pgenlib is C++ that trusts a header: a mutated one made it read beyond its arrays. All that it takes sizes and offsets from is
checked here against the size of the file. Layout: PLINK 2 file format specification, section 2.2.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

import numpy as np

from genassoc.errors import InputError
from genassoc.shapes import UInt8Array, UInt64Array

FIXED_BYTES = 12  # magic, mode, counts, how the rest is laid out
BLOCK = 2**16  # variants of a block
STANDARD = 0x10
FIXED_WIDTH = {0x02: 0x00, 0x03: 0x40, 0x04: 0xC0}  # mode -> the type of every record
MOST_VARIANTS, MOST_SAMPLES = 2**31 - 4, 2**31 - 2
MULTIALLELIC, PHASED, DOSAGES, PHASED_DOSAGES = 0x08, 0x10, 0x60, 0x80  # bits of a record's type
LD = (2, 3)  # kinds of calls that are told by those of a record before
_RECORD_SLACK = 2**16
_BYTES_A_SAMPLE = 32  # of a record at most: calls, alleles of 16 bits, phase, dosages, twice


@dataclass(frozen=True)
class PgenHeader:
    """The header of a PGEN.

    Attributes
    ----------
    n_variants, n_samples : int
    types : uint8 (V,)
        Type of each record; of `FIXED_WIDTH` files one for all (read-only, without memory of its own).
    provisional : int
        0 not said here, 1 no REF allele is provisional, 2 all are, 3 some are.
    longest : int
        Bytes of the longest record.
    counts_alleles : bool
        Whether it states how many alleles each variant has.
    """

    n_variants: int
    n_samples: int
    types: UInt8Array
    provisional: int
    longest: int
    counts_alleles: bool = False

    @property
    def has_dosages(self) -> bool:
        """Whether records have dosages."""
        return bool((self.types & DOSAGES).any())

    @property
    def is_phased(self) -> bool:
        """Whether records tell phase."""
        return bool((self.types & (PHASED | PHASED_DOSAGES)).any())


def read_header(path: Path, most_bytes: int) -> PgenHeader:
    """Read and check the header.

    Parameters
    ----------
    path : Path
    most_bytes : int
        Memory that the types of the records, and what Pgenlib keeps of each, may take.

    Raises
    ------
    InputError
        It is no PGEN, of a kind that is not read, damaged, cut, or too large.
    """
    size = path.stat().st_size
    with path.open("rb") as file:
        head = file.read(FIXED_BYTES)
        if head[:2] != b"\x6c\x1b":
            raise InputError(f"{path}: does not begin as a PGEN does (6c 1b)")
        if len(head) < FIXED_BYTES:
            raise InputError(f"{path}: is cut: has {len(head)} bytes, and a PGEN's header alone has {FIXED_BYTES}")
        mode, layout = head[2], head[11]
        n_variants, n_samples = int.from_bytes(head[3:7], "little"), int.from_bytes(head[7:11], "little")
        if mode in (0x11, 0x20, 0x21):
            why = "has extensions in its header" if mode == 0x11 else "keeps its index apart (.pgi)"
            raise InputError(
                f"{path}: {why}, which is not read; write it as one plain file: plink2 --pfile {path.with_suffix('')} --make-pgen"
            )
        if mode != STANDARD and mode not in FIXED_WIDTH:
            raise InputError(f"{path}: is a PGEN of mode {mode:#04x}, which is not known; is it damaged?")
        if not 0 < n_variants <= MOST_VARIANTS or not 0 < n_samples <= MOST_SAMPLES:
            raise InputError(
                f"{path}: says that it has {n_variants:,} variants and {n_samples:,} samples; it is damaged"
            )
        if mode in FIXED_WIDTH:
            return _fixed_width(path, size, mode, layout, n_variants, n_samples)
        if 9 * n_variants > most_bytes:
            raise InputError(
                f"{path}: has {n_variants:,} variants, of which more is kept in memory than there is room for; give more (--memory), or "
                "split it by chromosome (plink2 --chr N --make-pgen)"
            )
        return _standard(path, file, size, layout, n_variants, n_samples)


def _fixed_width(path: Path, size: int, mode: int, layout: int, n_variants: int, n_samples: int) -> PgenHeader:
    """A file whose records have one size and type."""
    if layout & 0x3F:
        raise InputError(f"{path}: its header is damaged (byte 11 is {layout:#04x})")
    flags = (n_variants + 7) // 8 if layout >> 6 == 3 else 0
    record = (n_samples + 3) // 4 + {0x02: 0, 0x03: 2, 0x04: 4}[mode] * n_samples
    expected = FIXED_BYTES + flags + n_variants * record
    if size != expected:
        raise InputError(f"{path}: has {size:,} bytes where its header tells of {expected:,}; it is cut or damaged")
    types = np.broadcast_to(np.uint8(FIXED_WIDTH[mode]), n_variants)
    return PgenHeader(n_variants, n_samples, types, layout >> 6, record)


def _standard(path: Path, file: BinaryIO, size: int, layout: int, n_variants: int, n_samples: int) -> PgenHeader:
    """A file whose records have types and lengths of their own."""
    kind, allele_bytes, provisional = layout & 15, (layout >> 4) & 3, layout >> 6
    if kind > 7:
        known = "of single samples" if kind < 10 else "unknown"
        raise InputError(
            f"{path}: keeps its records in a way that is not read (header kind {kind}, {known}); write it again: "
            f"plink2 --pfile {path.with_suffix('')} --make-pgen"
        )
    if allele_bytes > 1:
        raise InputError(f"{path}: has variants of more than 255 alleles, which Pgenlib does not read; leave them out")
    n_blocks = -(-n_variants // BLOCK)
    starts = np.frombuffer(_read(path, file, 8 * n_blocks), dtype="<u8")
    if int(starts.max()) > size:
        raise InputError(
            f"{path}: variants are said to begin at byte {int(starts.max()):,} of {size:,}; it is cut or damaged"
        )
    type_bits, length_bytes = (8 if kind & 4 else 4), (kind & 3) + 1
    per = n_variants * (type_bits + 8 * length_bytes + 8 * allele_bytes + (provisional == 3)) // 8
    if FIXED_BYTES + 8 * n_blocks + per > size:
        raise InputError(
            f"{path}: is cut, or damaged: its header tells of {n_variants:,} variants and does not fit into {size:,} bytes"
        )
    types = np.empty(n_variants, dtype=np.uint8)
    ends = np.empty(n_blocks, dtype=np.uint64)
    longest = 0
    for block in range(n_blocks):
        first = block * BLOCK
        n = min(BLOCK, n_variants - first)
        raw = np.frombuffer(_read(path, file, (n * type_bits + 7) // 8), dtype=np.uint8)
        found = raw if type_bits == 8 else np.stack([raw & 15, raw >> 4], axis=1).reshape(-1)[:n]
        types[first : first + n] = found
        parts = np.frombuffer(_read(path, file, n * length_bytes), dtype=np.uint8).reshape(n, length_bytes)
        lengths = parts.astype(np.uint64) @ (np.uint64(256) ** np.arange(length_bytes, dtype=np.uint64))
        _read(path, file, n * allele_bytes)
        _read(path, file, (n + 7) // 8 if provisional == 3 else 0)
        _check_types(path, types, first, n)
        longest = max(longest, int(lengths.max()))
        ends[block] = starts[block] + lengths.sum(dtype=np.uint64)
    if longest > _RECORD_SLACK + _BYTES_A_SAMPLE * n_samples:
        raise InputError(
            f"{path}: a record of {longest:,} bytes is longer than calls of {n_samples:,} samples can be; it is damaged"
        )
    _check_places(path, starts, ends, file.tell(), size)
    return PgenHeader(n_variants, n_samples, types, provisional, longest, allele_bytes > 0)


def _read(path: Path, file: BinaryIO, n: int) -> bytes:
    data = file.read(n)
    if len(data) < n:
        raise InputError(f"{path}: is cut within its header")
    return data


def _check_types(path: Path, types: UInt8Array, first: int, n: int) -> None:
    """Types that exist, and no record told by one before that is in another block."""
    found = types[first : first + n]
    kinds = found & 7
    bad = np.flatnonzero((found & PHASED_DOSAGES > 0) & (found & DOSAGES == 0))
    if np.isin(kinds[0], LD):
        bad = np.zeros(1, np.int64)
    if bad.size:
        at = first + int(bad[0])
        raise InputError(
            f"{path}: record {at + 1:,} is of type {types[at]:#04x}, which cannot be there; the header is damaged"
        )


def _check_places(path: Path, starts: UInt64Array, ends: UInt64Array, header_end: int, size: int) -> None:
    """Blocks begin where those before end, behind the header, and end with the file."""
    expected = np.concatenate([np.array([header_end], np.uint64), ends[:-1]])
    wrong = np.flatnonzero(starts != expected)
    if wrong.size:
        raise InputError(
            f"{path}: variant {int(wrong[0]) * BLOCK + 1:,} is said to begin at byte {int(starts[wrong[0]]):,}, and those before end at "
            f"{int(expected[wrong[0]]):,}; the header is damaged"
        )
    if int(ends[-1]) > size:
        raise InputError(f"{path}: has {size:,} bytes where its header tells of {int(ends[-1]):,}; it is cut")
