"""Slow twin of `genassoc.kernels.genotypes.probabilities`: exact fractions, one sample and genotype at a time."""

import struct
from fractions import Fraction
from itertools import combinations_with_replacement
from math import floor
from typing import NamedTuple

NO_DOSAGE = 65535


class OracleRow(NamedTuple):
    """One row: steps of a copy (0: calls only), dosages, probabilities of two copies, calls, haploid samples."""

    steps: int
    values: list[int]
    homozygous: list[int]
    codes: list[int]
    haploid: list[bool]


def _round(x: Fraction) -> int:
    return floor(x + Fraction(1, 2))


def _row(calls: list[tuple[int, dict[tuple[int, ...], Fraction]] | None], allele: int, steps: int) -> OracleRow:
    """A row from the probabilities of each sample's genotypes."""
    values, pairs, codes, haploid = [], [], [], []
    whole = True
    for call in calls:
        if call is None:
            values.append(NO_DOSAGE)
            pairs.append(NO_DOSAGE)
            codes.append(3)
            haploid.append(False)
            continue
        ploidy, of = call
        copies = sum((p * g.count(allele) for g, p in of.items()), Fraction(0))
        two = sum((p for g, p in of.items() if g.count(allele) == 2), Fraction(0))
        if ploidy == 1:
            pair = _round(copies * steps)
            value = 2 * pair
        else:
            value, pair = _round(copies * steps), _round(two * steps)
            pair = max(min(pair, value // 2), value - steps)
        haploid.append(ploidy == 1)
        # what of this allele there is, is certain
        whole = whole and max(_of_allele(of, allele).values()) == 1
        values.append(value)
        pairs.append(pair)
        code = next((c for c in range(3) if 10 * abs(value - c * steps) <= steps), 3)
        codes.append(3 if ploidy == 1 and code == 1 else code)
    return OracleRow(0 if whole else steps, values, pairs, codes, haploid)


def _of_allele(of: dict[tuple[int, ...], Fraction], allele: int) -> dict[int, Fraction]:
    counted: dict[int, Fraction] = {}
    for genotype, p in of.items():
        counted[genotype.count(allele)] = counted.get(genotype.count(allele), Fraction(0)) + p
    return counted


def layout_1(inner: bytes, reference_last: bool = False) -> list[OracleRow]:
    """Rows of a block of layout 1."""
    calls: list[tuple[int, dict[tuple[int, ...], Fraction]] | None] = []
    for p in struct.iter_unpack("<HHH", inner):
        total = sum(p)
        if total > 1.01 * 32768:
            raise ValueError("more than 1")
        genotypes = [(0, 0), (0, 1), (1, 1)]
        calls.append((2, {g: Fraction(x, total) for g, x in zip(genotypes, p)}) if total else None)
    return [_row(calls, 0 if reference_last else 1, 32767)]


def layout_2(inner: bytes, reference_last: bool = False) -> list[OracleRow]:
    """Rows of a block of layout 2; ValueError where it is malformed."""
    N, K, least, most = struct.unpack_from("<IHBB", inner)
    flags = inner[8 : 8 + N]
    phased, bits = inner[8 + N], inner[9 + N]
    stream = int.from_bytes(inner[10 + N :], "little")
    ones = (1 << bits) - 1
    at = 0

    def take(n: int) -> list[Fraction]:
        nonlocal at
        found = [Fraction((stream >> (at + k * bits)) & ones, ones) for k in range(n)]
        at += n * bits
        return found

    calls: list[tuple[int, dict[tuple[int, ...], Fraction]] | None] = []
    for flag in flags:
        ploidy = flag & 63
        if not least <= ploidy <= most:
            raise ValueError("ploidy")
        genotypes = sorted(combinations_with_replacement(range(K), ploidy), key=lambda g: g[::-1])
        n = ploidy * (K - 1) if phased else len(genotypes) - 1
        values = take(n)
        if flag & 128 or ploidy not in (1, 2):
            calls.append(None)
            continue
        of: dict[tuple[int, ...], Fraction] = {}
        if phased:
            haplotypes = []
            for h in range(ploidy):
                p = values[h * (K - 1) : (h + 1) * (K - 1)]
                haplotypes.append([*p, 1 - sum(p)])
                if sum(p) > 1:
                    raise ValueError("more than 1")
            if ploidy == 1:
                of = {(k,): p for k, p in enumerate(haplotypes[0])}
            else:
                for j, p in enumerate(haplotypes[0]):
                    for k, q in enumerate(haplotypes[1]):
                        of[(j, k)] = p * q
        else:
            if sum(values) > 1:
                raise ValueError("more than 1")
            of = dict(zip(genotypes, [*values, 1 - sum(values)]))
        calls.append((ploidy, of))
    if (at + 7) // 8 != len(inner) - 10 - N:
        raise ValueError("size")
    steps = min(ones, 32767)
    return [_row(calls, k, steps) for k in range(K) if k != (K - 1 if reference_last else 0)]
