"""Slow twins of `genassoc.kernels.genotypes.nearest_calls`."""


def hard_calls(values, steps):
    """Codes (D, N): the copy nearest to each dosage where it is within a tenth of one, else 3."""
    rows = []
    for row, one in zip(values, steps):
        codes = []
        for x in map(int, row):
            copies = [c for c in (0, 1, 2) if 10 * abs(x - c * int(one)) <= int(one)]
            codes.append(copies[0] if copies and x != 65535 else 3)
        rows.append(codes)
    return rows
