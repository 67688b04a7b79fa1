"""Slow twin of genassoc.kernels.genotypes.alleles."""


def join_alleles(codes, haploid, halves=False):
    """The genotype of one sample from its codes for the ALTs of a record: (first, second) and whether they conflict."""
    if haploid and halves and set(codes) <= {1, 3} and codes.count(1) < 2:
        return ((-1, codes.index(1) + 1) if 1 in codes else (0, -1)), False
    if haploid and halves and 1 in codes:
        return (-1, -2), True
    if any(code == 3 for code in codes):
        return ((-1, -2) if haploid else (-1, -1)), any(code != 3 for code in codes)
    found = []
    for number, code in enumerate(codes, 1):
        found += [number] * ((1 if code else 0) if haploid else code)
    if len(found) > (1 if haploid else 2):
        return ((-1, -2) if haploid else (-1, -1)), True
    if haploid:
        return (found[0] if found else 0, -2), False
    low, high = sorted([0] * (2 - len(found)) + found)
    return (low, high), False
