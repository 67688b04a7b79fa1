"""BGEN files made byte by byte after its specification, for tests: any ploidy, alleles, bits, layout and compression."""

import struct
import zlib
from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import combinations_with_replacement

import zstandard

NONE, ZLIB, ZSTD = 0, 1, 2


def genotypes(n_alleles: int, ploidy: int) -> list[tuple[int, ...]]:
    """Unphased genotypes in the order of the specification: by the last allele first."""
    found = combinations_with_replacement(range(n_alleles), ploidy)
    return sorted(found, key=lambda genotype: genotype[::-1])


@dataclass
class Record:
    """A variant block of layout 2.

    ``calls`` has for each sample None, or the whole numbers that are stored: of all genotypes but the last, or of all alleles
    but the last for each haplotype; ``ploidies`` its copies.
    """

    calls: Sequence[Sequence[int] | None]
    ploidies: Sequence[int] | None = None
    alleles: Sequence[str] = ("A", "G")
    phased: bool = False
    bits: int = 8
    contig: str = "1"
    position: int = 1
    rsid: str = "rs1"
    varid: str = "v1"
    unobserved: int = 0  # numbers of those not observed, which nobody is to read
    changes: dict[str, int] = field(default_factory=dict)

    def n_values(self, ploidy: int) -> int:
        """Numbers of a sample."""
        K = len(self.alleles)
        return ploidy * (K - 1) if self.phased else len(genotypes(K, ploidy)) - 1

    def inner(self) -> bytes:
        """What is compressed."""
        N = len(self.calls)
        ploidies = list(self.ploidies or [2] * N)
        stream, bit = 0, 0
        for call, ploidy in zip(self.calls, ploidies):
            values = [self.unobserved] * self.n_values(ploidy) if call is None else list(call)
            assert len(values) == self.n_values(ploidy)
            for value in values:
                stream |= value << bit
                bit += self.bits
        flags = bytes(p | (128 if call is None else 0) for call, p in zip(self.calls, ploidies))
        said = {
            "N": N,
            "K": len(self.alleles),
            "least": min(ploidies),
            "most": max(ploidies),
            "phased": int(self.phased),
            "bits": self.bits,
        }
        said |= self.changes
        return (
            struct.pack("<IHBB", said["N"], said["K"], said["least"], said["most"])
            + flags
            + bytes([said["phased"], said["bits"]])
            + stream.to_bytes((bit + 7) // 8, "little")
        )

    def head(self, layout: int) -> bytes:
        """What stands before the genotypes."""
        parts = [struct.pack("<I", len(self.calls))] if layout == 1 else []
        for text in (self.varid, self.rsid, self.contig):
            parts.append(struct.pack("<H", len(text.encode())) + text.encode())
        parts.append(struct.pack("<I", self.position))
        if layout == 2:
            parts.append(struct.pack("<H", len(self.alleles)))
        parts += [struct.pack("<I", len(a.encode())) + a.encode() for a in self.alleles]
        return b"".join(parts)

    def block(self, layout: int, compression: int) -> bytes:
        """The whole block; of layout 1 ``calls`` are three numbers a sample."""
        if layout == 1:
            inner = b"".join(struct.pack("<HHH", *(call or (0, 0, 0))) for call in self.calls)
        else:
            inner = self.inner()
        packed = {NONE: bytes, ZLIB: zlib.compress, ZSTD: zstandard.ZstdCompressor().compress}[compression](inner)
        if layout == 1:
            return self.head(1) + (struct.pack("<I", len(packed)) if compression else b"") + packed
        if compression == NONE:
            return self.head(2) + struct.pack("<I", len(packed)) + packed
        size = self.changes.get("size", len(inner))
        return self.head(2) + struct.pack("<II", len(packed) + 4, size) + packed


def bgen(
    records: Sequence[Record],
    names: Sequence[str] | None = None,
    layout: int = 2,
    compression: int = ZLIB,
    *,
    n_variants: int | None = None,
    magic: bytes = b"bgen",
    free: bytes = b"",
) -> bytes:
    """A whole file."""
    N = len(records[0].calls)
    sample_block = b""
    if names is not None:
        texts = b"".join(struct.pack("<H", len(n.encode())) + n.encode() for n in names)
        sample_block = struct.pack("<II", 8 + len(texts), len(names)) + texts
    flags = compression | layout << 2 | (1 << 31 if names is not None else 0)
    M = len(records) if n_variants is None else n_variants
    header = struct.pack("<III4s", 20 + len(free), M, N, magic) + free + struct.pack("<I", flags)
    first = len(header) + len(sample_block)
    return struct.pack("<I", first) + header + sample_block + b"".join(r.block(layout, compression) for r in records)
