"""Slow twin of `genassoc.formats.bgen`: a whole BGEN after its specification, with Python's own libraries."""

import struct
import zlib
from dataclasses import dataclass

import zstandard

from oracles import probabilities


@dataclass
class OracleVariant:
    """A record."""

    contig: str
    position: int
    rsid: str
    alleles: list[str]
    rows: list[probabilities.OracleRow]


def read(content: bytes, reference_last: bool = False) -> list[OracleVariant]:
    """All records; an error of some kind where the file is malformed."""
    first, header, M, N = struct.unpack_from("<IIII", content)
    flags = struct.unpack_from("<I", content, header)[0]
    compression, layout = flags & 3, flags >> 2 & 15
    at = first + 4

    def take(n: int) -> bytes:
        nonlocal at
        if at + n > len(content):
            raise ValueError("cut")
        at += n
        return content[at - n : at]

    def number(width: int) -> int:
        return int.from_bytes(take(width), "little")

    found = []
    for _ in range(M):
        if layout == 1 and number(4) != N:
            raise ValueError("samples")
        _, rsid, contig = (take(number(2)).decode() for _ in range(3))
        position = number(4)
        K = number(2) if layout == 2 else 2
        alleles = [take(number(4)).decode() for _ in range(K)]
        if layout == 1:
            packed, size = take(number(4) if compression else 6 * N), 6 * N
        else:
            n = number(4)
            size = number(4) if compression else n
            packed = take(n - 4 if compression else n)
        inner = {0: bytes, 1: zlib.decompress, 2: _zstd}[compression](packed)
        if len(inner) != size:
            raise ValueError("size")
        if layout == 1:
            rows = probabilities.layout_1(inner, reference_last)
        else:
            if struct.unpack_from("<IH", inner) != (N, K):
                raise ValueError("head")
            rows = probabilities.layout_2(inner, reference_last) if K > 1 else []
        found.append(OracleVariant(contig, position, rsid, alleles, rows))
    if at != len(content):
        raise ValueError("more")
    return found


def _zstd(packed: bytes) -> bytes:
    return zstandard.ZstdDecompressor().decompress(packed, max_output_size=10**6)
