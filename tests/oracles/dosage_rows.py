"""Slow twins of `genassoc.kernels.genotypes.dosage_rows`: by the definitions, a sample at a time."""

import numpy as np

NOT_KNOWN = 65535


def _samples(rows, steps, v):
    """Of each sample observed: number, dosage, probability of two ALTs or None, whether haploid; in steps."""
    haploid = np.zeros(rows.values.shape[1], bool)
    if rows.haploid.shape[0]:
        haploid = np.unpackbits(rows.haploid[v], bitorder="little", count=rows.values.shape[1]).astype(bool)
    for i, x in enumerate(rows.values[v].tolist()):
        if x != NOT_KNOWN:
            h = int(rows.homozygous[v, i]) if rows.homozygous.shape[0] else NOT_KNOWN
            yield i, x, (None if h == NOT_KNOWN else h), bool(haploid[i])


def sum_rows(rows, steps, selected, sums):
    for v in range(len(rows.values)):
        sums[v] = 0
        if steps[v] == 0:
            continue
        for i, x, h, haploid in _samples(rows, steps, v):
            if not selected[i]:
                continue
            sums[v, :3] += 1, x, x * x
            if haploid:
                sums[v, 3:6] += 1, x, x * x
            if h is not None:
                sums[v, 6] += 1
                if not haploid:
                    sums[v, 7] += h
                    probabilities = [int(steps[v]) - x + h, x - 2 * h, h]
                    sums[v, 8 + probabilities.index(max(probabilities))] += 1


def first_impossible(rows, steps):
    for v in range(len(rows.values)):
        for i in range(rows.values.shape[1]):
            x, h = int(rows.values[v, i]), int(rows.homozygous[v, i]) if rows.homozygous.shape[0] else NOT_KNOWN
            if x != NOT_KNOWN and not 0 <= x <= 2 * int(steps[v]):
                return v
            if h != NOT_KNOWN and (x == NOT_KNOWN or min(h, x - 2 * h, int(steps[v]) - x + h) < 0):
                return v
    return -1


def rows_with_probabilities(rows, out):
    for v in range(len(rows.values)):
        observed = rows.values[v] != NOT_KNOWN
        out[v] = bool((rows.homozygous[v][observed] != NOT_KNOWN).all())


def shift_homozygous(rows, steps, sign):
    for v in range(len(rows.values)):
        for i in range(rows.values.shape[1]):
            x, h = int(rows.values[v, i]), int(rows.homozygous[v, i])
            if h != NOT_KNOWN:
                least = max(0, x - int(steps[v])) if x != NOT_KNOWN else 0
                rows.homozygous[v, i] = min(max(h + sign * least, 0), NOT_KNOWN - 1)
