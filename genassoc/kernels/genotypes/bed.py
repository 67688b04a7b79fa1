"""PLINK 1's BED: four calls a byte as ours, in other codes, and rows that end at a byte.

In a BED the two bits of a call are 0 two copies of A1, 1 not observed, 2 one of each, 3 two copies of A2. With A1 as ALT our
code's high bit is their high bit turned over; with A2 as ALT it is their low bit; our low bit is where theirs differ.
"""

from genassoc.kernels import native
from genassoc.shapes import Int64Array, UInt8Array


@native
def from_bed(bed: UInt8Array, columns: Int64Array, in_order: bool, a2_is_alt: bool, packed: UInt8Array) -> None:
    """Recode rows of a BED.

    Parameters
    ----------
    bed : uint8 (V, ceil(file's samples / 4))
        What pads a row is not looked at.
    columns : int64 (N,)
        The file's column of each sample.
    in_order : bool
        Whether these are 0, 1, 2, ...
    a2_is_alt : bool
        ALT is A2; otherwise A1.
    packed : uint8 (V, B)
        Filled: two bits a call (`genassoc.kernels.genotypes.packed`), the padding 3.
    """
    V, B = packed.shape
    N = columns.shape[0]
    whole = N >> 2
    for v in range(V):
        done = 0
        if in_order:
            for b in range(whole):
                x = int(bed[v, b])
                high = (x << 1) & 0xAA if a2_is_alt else ~x & 0xAA
                packed[v, b] = high | ((x ^ (x >> 1)) & 0x55)
            done = whole
        for b in range(done, B):
            byte = 0
            for j in range(4):
                i = 4 * b + j
                code = 3
                if i < N:
                    source = columns[i]
                    x = (int(bed[v, source >> 2]) >> (2 * (source & 3))) & 3
                    high = (x & 1) << 1 if a2_is_alt else (x & 2) ^ 2
                    code = high | ((x & 1) ^ (x >> 1))
                byte |= code << (2 * j)
            packed[v, b] = byte


@native
def to_bed(packed: UInt8Array, n_samples: int, bed: UInt8Array) -> None:
    """Recode packed calls (V, B) to rows of a BED (V, ceil(n_samples / 4)), A1 being ALT; what pads a row is 0."""
    V, n_bytes = bed.shape
    for v in range(V):
        for b in range(n_bytes):
            x = int(packed[v, b])
            bed[v, b] = (~x & 0xAA) | ((~(x ^ (x >> 1))) & 0x55)
        used = n_samples & 3
        if used:
            bed[v, n_bytes - 1] &= (1 << (2 * used)) - 1
