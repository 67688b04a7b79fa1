"""The header of a BGEN and the samples it names."""

import struct
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from genassoc.errors import InputError
from genassoc.kernels.text.bgen_blocks import NONE, ZLIB, ZSTD

MAGIC = b"bgen"
LEAST_HEADER = 20  # bytes
MAX_RECORD_BYTES = 2**29  # half a million samples with a thousand bytes each
HAS_SAMPLES = 1 << 31
_FIRST = struct.Struct("<IIII4s")  # offset, bytes of the header, variants, samples, magic
_SAMPLES = struct.Struct("<II")  # bytes of the block, samples
COMPRESSIONS = {NONE: "not compressed", ZLIB: "zlib", ZSTD: "zstd"}


@dataclass(frozen=True)
class BgenHeader:
    """What a BGEN says of itself.

    Attributes
    ----------
    n_variants, n_samples : int
        M, N.
    layout : int
        1 or 2.
    compression : int
        `genassoc.kernels.text.bgen_blocks.NONE`, ``ZLIB`` or ``ZSTD``.
    first : int
        Where the first variant block begins.
    sample_ids : tuple of str or None
        None where it names none.
    """

    n_variants: int
    n_samples: int
    layout: int
    compression: int
    first: int
    sample_ids: tuple[str, ...] | None

    @property
    def version(self) -> str:
        """The version of the format that has all of it."""
        return "1.1" if self.layout == 1 else ("1.3" if self.compression == ZSTD else "1.2")


def is_bgen(path: Path, head: bytes) -> bool:
    """Whether a file is a BGEN, by its first 24 bytes; the magic number may be left out where the name says it."""
    return head[16:20] == MAGIC or (path.suffix == ".bgen" and head[16:20] == bytes(4))


def read_header(path: Path, file: BinaryIO, size: int, max_bytes: int) -> BgenHeader:
    """Read the header of an open file of ``size`` bytes.

    Raises
    ------
    InputError
        It is cut, says what cannot be, or is longer than ``max_bytes``.
    """
    start = file.read(_FIRST.size + 4)
    if len(start) < _FIRST.size + 4:
        raise InputError(f"{path}: has {size:,} bytes, less than the header of a BGEN: it is cut")
    offset, length, n_variants, n_samples, _ = _FIRST.unpack_from(start)
    first = offset + 4
    if length < LEAST_HEADER or length > offset or first > size:
        raise InputError(
            f"{path}: says that its header has {length:,} bytes and its first variant begins at byte {first:,} of {size:,}, which "
            "cannot be: it is cut or damaged; copy it again"
        )
    if first > max_bytes:
        raise InputError(
            f"{path}: says that {first:,} bytes lie before its first variant; at most {max_bytes:,} are read: it is damaged, or "
            "--memory is too little for its samples"
        )
    rest = start[_FIRST.size :] + file.read(first - len(start))
    if len(rest) < first - _FIRST.size:
        raise InputError(f"{path}: ends in its header: it is cut; copy it again")
    at = length + 4 - _FIRST.size
    flags = int.from_bytes(rest[at - 4 : at], "little")
    compression, layout = flags & 3, (flags >> 2) & 15
    if layout not in (1, 2) or compression not in COMPRESSIONS or (layout == 1 and compression == ZSTD):
        why = "layout 0 is of BGEN 1.0; export it anew as 1.2 (qctool, plink2)" if layout == 0 else "it may be damaged"
        raise InputError(
            f"{path}: has layout {layout} and compression {compression}, which is none of BGEN 1.1, 1.2 or 1.3: {why}"
        )
    if n_samples == 0:
        raise InputError(f"{path}: has no samples; genotypes are needed")
    names = _samples(path, rest[at:], n_samples) if flags & HAS_SAMPLES else None
    return BgenHeader(n_variants, n_samples, layout, compression, first, names)


def _samples(path: Path, block: bytes, n_samples: int) -> tuple[str, ...]:
    """The names in the sample block, each with its length before it."""
    if len(block) < _SAMPLES.size:
        raise InputError(
            f"{path}: says that it names its samples, but there is no room for them before the first variant"
        )
    length, n_names = _SAMPLES.unpack_from(block)
    if n_names != n_samples:
        raise InputError(f"{path}: names {n_names:,} samples, but says that it has {n_samples:,}: it is damaged")
    if length > len(block):
        raise InputError(
            f"{path}: says that its samples' names take {length:,} bytes, where {len(block):,} lie before the first variant: it is "
            "damaged"
        )
    names = []
    at = _SAMPLES.size
    for number in range(1, n_names + 1):
        end = at + 2 + int.from_bytes(block[at : at + 2], "little")
        if at + 2 > length or end > length:
            raise InputError(f"{path}: the name of sample {number:,} ends behind the block of names: it is damaged")
        try:
            names.append(block[at + 2 : end].decode("utf-8"))
        except UnicodeDecodeError:
            raise InputError(
                f"{path}: the name of sample {number:,} is not UTF-8 text: {block[at + 2 : end][:40]!r}"
            ) from None
        at = end
    return tuple(names)


def check_names(origin: str, names: tuple[str, ...]) -> None:
    """Refuse names that are empty, not printable or there twice.

    Raises
    ------
    InputError
    """
    for number, name in enumerate(names, start=1):
        if not name.strip() or not name.isprintable():
            raise InputError(f"{origin}: the name of sample {number:,} is {name[:40]!r}, which is no name")
    if len(set(names)) < len(names):
        seen: set[str] = set()
        twice = [name for name in names if name in seen or seen.add(name)]  # type: ignore[func-returns-value]
        raise InputError(
            f"{origin}: duplicated sample ids, so a call could not be told whose it is: "
            + ", ".join(dict.fromkeys(twice[:5]))
        )
