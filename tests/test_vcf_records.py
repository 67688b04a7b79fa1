"""Kernels that join the rows of a record and write it: as their slow twins do, on tiny shapes."""

from fractions import Fraction
from itertools import pairwise

import numpy as np
import pytest
from oracles import alleles as alleles_oracle
from oracles import vcf_records as text_oracle

from genassoc.data.block import GenotypeBlock
from genassoc.kernels.genotypes.alleles import join_alleles
from genassoc.kernels.text.vcf_records import NUMBER_BYTES, RecordDosages, write_records

pytestmark = pytest.mark.kernel
NONE = 65535


def cohort(seed, N=5, sizes=(1, 2, 1, 3, 11)):
    """Codes (V, N) of records of some sizes, most of them of a genotype; haploid marks by record."""
    rng = np.random.default_rng(seed)
    first = np.concatenate([[0], np.cumsum(sizes)]).astype(np.int64)
    codes = np.zeros((first[-1], N), np.uint8)
    haploid = np.zeros((first[-1], N), bool)
    for start, stop in pairwise(first):
        for i in range(N):
            single = rng.random() < 0.3
            haploid[start:stop, i] = single
            for _ in range(1 if single else 2):
                allele = rng.integers(0, stop - start + 1)
                if allele:
                    codes[start + allele - 1, i] += 2 if single else 1
            if rng.random() < 0.2:
                codes[start:stop, i] = 3
            elif rng.random() < 0.1:  # a contradiction
                codes[rng.integers(start, stop), i] = rng.integers(0, 4) if not single else 2
    return first, codes, haploid


@pytest.mark.parametrize("seed", range(4))
def test_alleles_are_joined(seed):
    first, codes, haploid = cohort(seed)
    bits = np.packbits(haploid, axis=1, bitorder="little")
    L, N = len(first) - 1, codes.shape[1]
    alleles, conflicts = np.empty((L, N, 2), np.int16), np.empty(L, np.int64)
    halves = np.random.default_rng(seed).random(L) < 0.5
    for record in np.flatnonzero(halves):  # the calls of one sample are half calls, of an ALT or of REF
        rows = slice(first[record], first[record + 1])
        codes[rows, 0], haploid[rows, 0] = 3, True
        codes[first[record], 0] = 1 if seed % 2 else 3
    bits = np.packbits(haploid, axis=1, bitorder="little")
    join_alleles(first, GenotypeBlock.from_codes(codes).packed, bits, halves, alleles, conflicts)
    for record in range(L):
        rows = slice(first[record], first[record + 1])
        expected = [
            alleles_oracle.join_alleles(codes[rows, i].tolist(), bool(haploid[rows, i][0]), bool(halves[record]))
            for i in range(N)
        ]
        assert [tuple(pair) for pair in alleles[record].tolist()] == [genotype for genotype, _ in expected]
        assert conflicts[record] == sum(conflict for _, conflict in expected)


@pytest.mark.parametrize("seed", range(4))
def test_lines_are_those_of_the_oracle(seed):
    first, codes, haploid = cohort(seed)
    rng = np.random.default_rng(100 + seed)
    L, N, V = len(first) - 1, codes.shape[1], len(codes)
    alleles, conflicts = np.empty((L, N, 2), np.int16), np.empty(L, np.int64)
    bits = np.packbits(haploid, axis=1, bitorder="little")
    join_alleles(first, GenotypeBlock.from_codes(codes).packed, bits, np.zeros(L, bool), alleles, conflicts)
    written = np.array([rng.integers(0, 3 if first[k + 1] == first[k] + 1 else 2) for k in range(L)], np.uint8)
    row, steps = np.full(V, -1, np.int64), np.zeros(V, np.uint16)
    for k in np.flatnonzero(written):
        for v in range(first[k], first[k + 1]):
            if v == first[k] or rng.random() < 0.7:
                row[v], steps[v] = 0, rng.choice([255, 1000, 16384, 32767])
    D = np.count_nonzero(steps)
    row[steps > 0] = np.arange(D)
    values = np.array([rng.integers(0, 2 * int(s) + 1, N) for s in steps[steps > 0]], np.uint16).reshape(D, N)
    homozygous = (values // 3).astype(np.uint16)
    values[rng.random((D, N)) < 0.2] = NONE
    homozygous[rng.random((D, N)) < 0.2] = NONE
    prefixes = [f"1\t{k}\t.".encode() for k in range(L)]
    ends = np.cumsum([len(p) for p in prefixes]).astype(np.int64)
    text = np.empty(int(ends[-1]) + L + L * N * (12 + 15 * NUMBER_BYTES), np.uint8)
    dosages = RecordDosages(first, row, steps, values, homozygous, written)
    n = write_records(np.frombuffer(b"".join(prefixes), np.uint8), ends, alleles, dosages, text)

    def shown(k, i):
        if not written[k]:
            return text_oracle.write_records(alleles[k, i].tolist())
        of_alts = []
        for v in range(first[k], first[k + 1]):
            if row[v] >= 0:
                x = int(values[row[v], i])
                of_alts.append(None if x == NONE else Fraction(x, int(steps[v])))
            elif alleles[k, i, 0] < 0:
                of_alts.append(None)
            else:  # of calls: whole copies, of a haploid call doubled as dosages are
                copies = int((alleles[k, i] == v - first[k] + 1).sum())
                of_alts.append(Fraction(2 * copies if alleles[k, i, 1] == -2 else copies))
        if written[k] == 1:
            return text_oracle.write_records(alleles[k, i].tolist(), of_alts)
        d = row[first[k]]
        both = "?" if homozygous[d, i] == NONE else Fraction(int(homozygous[d, i]), int(steps[first[k]]))
        return text_oracle.write_records(alleles[k, i].tolist(), of_alts, both)

    lines = ["\t".join([prefixes[k].decode(), *(shown(k, i) for i in range(N))]) for k in range(L)]
    assert text[:n].tobytes().decode() == "\n".join(lines) + "\n"
