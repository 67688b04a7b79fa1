"""Slow twins of `genassoc.kernels.genotypes.bed`: one call at a time."""

A1_A1, UNKNOWN, A1_A2, A2_A2 = 0, 1, 2, 3


def from_bed(bed, columns, a2_is_alt):
    """Codes (V, N): copies of ALT, 3 not observed."""
    meaning = {A1_A1: 0 if a2_is_alt else 2, UNKNOWN: 3, A1_A2: 1, A2_A2: 2 if a2_is_alt else 0}
    return [[meaning[(int(row[c // 4]) >> (2 * (c % 4))) & 3] for c in columns] for row in bed]


def to_bed(codes):
    """Rows of a BED as bytes, A1 being ALT."""
    meaning = {0: A2_A2, 1: A1_A2, 2: A1_A1, 3: UNKNOWN}
    rows = []
    for row in codes:
        out = bytearray((len(row) + 3) // 4)
        for i, code in enumerate(row):
            out[i // 4] |= meaning[int(code)] << (2 * (i % 4))
        rows.append(bytes(out))
    return rows
