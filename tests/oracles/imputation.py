"""Quality of imputation by its definitions, a sample at a time, from probabilities of genotypes or dosages; nothing of genassoc's."""

import math


def mach_r2(dosages, haploid):
    """Of dosages (copies of ALT; 0 to 1 where ``haploid``), None where not observed: observed variance over that of Hardy-Weinberg."""
    there = [(d, 1 if h else 2) for d, h in zip(dosages, haploid) if d is not None]
    p = sum(d for d, _ in there) / sum(m for _, m in there)
    expected = sum(m * p * (1 - p) for _, m in there)
    return sum((d - m * p) ** 2 for d, m in there) / expected if expected > 0 else math.nan


def qctool_info(probabilities, haploid):
    """qctool's and SNPTEST's info: 1 - mean of (f - e^2) over 2 theta (1 - theta); of a haploid sample e - e^2 over theta (1 - theta).

    ``probabilities`` are triples (0, 1, 2 copies), pairs of haploid samples, or None where not observed.
    """
    e, f, m = [], [], []
    for triple, single in zip(probabilities, haploid):
        if triple is None:
            continue
        if single:
            e.append(triple[1])
            f.append(triple[1])
            m.append(1)
        else:
            e.append(triple[1] + 2 * triple[2])
            f.append(triple[1] + 4 * triple[2])
            m.append(2)
    theta = sum(e) / sum(m)
    if not 0 < theta < 1:
        return math.nan
    return 1 - sum(b - a * a for a, b in zip(e, f)) / (theta * (1 - theta) * sum(m))
