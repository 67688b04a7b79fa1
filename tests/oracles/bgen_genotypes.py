"""Slow twin of `genassoc.kernels.genotypes.bgen_genotypes`: probabilities in fractions, rounded as BGEN's specification says."""

from fractions import Fraction
from math import floor


def rounded(probabilities: list[Fraction], bits: int) -> list[int]:
    """Whole numbers that sum to 2^bits - 1: rounded down, what is missing goes to the largest remainders, the first among equals."""
    ones = 2**bits - 1
    whole = [floor(p * ones) for p in probabilities]
    order = sorted(range(len(whole)), key=lambda k: (whole[k] - probabilities[k] * ones, k))
    for k in order[: ones - sum(whole)]:
        whole[k] += 1
    return whole


def put_row(
    codes: list[int], haploid: list[bool], values: list[int], homozygous: list[int], steps: int, bits: int
) -> list[tuple[int, list[int]] | None]:
    """Of each sample its copies and the numbers that are stored; None where not observed. Without steps the codes count."""
    found: list[tuple[int, list[int]] | None] = []
    for i, code in enumerate(codes):
        if steps == 0:
            if code == 3 or (haploid[i] and code == 1):
                found.append(None)
                continue
            genotypes = [Fraction(int(code == k)) for k in range(3)]
        elif values[i] == 65535:
            found.append(None)
            continue
        else:
            dosage = Fraction(values[i], steps)
            if haploid[i]:
                genotypes = [1 - dosage / 2, Fraction(0), dosage / 2]
            else:
                two = max(dosage - 1, Fraction(0)) if homozygous[i] == 65535 else Fraction(homozygous[i], steps)
                genotypes = [1 - dosage + two, dosage - 2 * two, two]
        if haploid[i]:
            found.append((1, rounded([genotypes[0], genotypes[2]], bits)[:1]))
        else:
            found.append((2, rounded(genotypes, bits)[:2]))
    return found


def put_alleles(alleles: list[tuple[int, int]], K: int) -> list[tuple[int, list[int]] | None]:
    """As `put_row`, of a record of K alleles, in 8 bits."""
    pairs = [(a, b) for b in range(K) for a in range(b + 1)]
    found: list[tuple[int, list[int]] | None] = []
    for low, high in alleles:
        if low < 0:
            found.append(None)
        elif high < 0:
            found.append((1, [255 * (k == low) for k in range(K - 1)]))
        else:
            found.append((2, [255 * (pair == (low, high)) for pair in pairs[:-1]]))
    return found
