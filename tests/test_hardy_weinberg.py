"""The exact Hardy-Weinberg test against rational arithmetic and PLINK 2."""

import csv
import gzip
from math import lgamma, log

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from oracles import hardy_weinberg as oracle
from real_data import real_data
from scipy.stats import chi2

from genassoc.stats.hardy_weinberg import hardy_weinberg


def _check_against_fractions(counts, rtol):
    p, midp = hardy_weinberg(*np.transpose(counts))
    expected = [oracle.hardy_weinberg(*(int(count) for count in row)) for row in counts]
    np.testing.assert_allclose(p, [float(e[0]) for e in expected], rtol=rtol)
    np.testing.assert_allclose(midp, [float(e[1]) for e in expected], rtol=rtol)


@pytest.mark.kernel
def test_every_table_of_up_to_8_samples():
    counts = [(a, b, n - a - b) for n in range(1, 9) for a in range(n + 1) for b in range(n + 1 - a)]
    _check_against_fractions(counts, rtol=1e-14)  # a few steps, each rounding by 2e-16


def test_every_table_of_23_and_24_samples():
    # An odd and an even number, so that exact ties of both parities occur.
    counts = [(a, b, n - a - b) for n in (23, 24) for a in range(n + 1) for b in range(n + 1 - a)]
    _check_against_fractions(counts, rtol=1e-13)


@settings(max_examples=60, deadline=None)
@given(st.tuples(st.integers(0, 400), st.integers(0, 400), st.integers(0, 400)).filter(any))
def test_tables_of_hundreds_of_samples(counts):
    _check_against_fractions([counts], rtol=1e-12)  # 600 steps of two roundings of 1.1e-16


def test_swapping_the_alleles_changes_nothing():
    counts = np.random.default_rng(3).integers(0, 300, (3, 200))
    for ours, swapped in zip(hardy_weinberg(*counts), hardy_weinberg(*counts[::-1])):
        np.testing.assert_array_equal(ours, swapped)


@pytest.mark.kernel
def test_monomorphic_and_unobserved_variants():
    p, midp = hardy_weinberg([5, 0, 0], [0, 0, 0], [0, 7, 0])
    np.testing.assert_array_equal(p, [1.0, 1.0, np.nan])
    np.testing.assert_array_equal(midp, [0.5, 0.5, np.nan])


def test_a_million_samples():
    # At this size the number of heterozygotes is a discrete normal: mid-p follows chi-squared with one degree
    # to a relative O(z^2 / sqrt(n)), under 1 % at the z of 4 reached here.
    n, f = 1_000_000, 0.3
    het = 420_000 + np.array([0, 600, -1000, 1680])
    hom_alt = (600_000 - het) // 2
    p, midp = hardy_weinberg(n - het - hom_alt, het, hom_alt)
    statistic = n * (1 - het / n / (2 * f * (1 - f))) ** 2
    assert p[0] == 1.0
    np.testing.assert_allclose(midp[1:], chi2.sf(statistic[1:], 1), rtol=0.01)
    assert (p > midp).all()


def test_the_tail_reaches_the_smallest_numbers_and_then_zero():
    # All homozygous: P(0) = n! / (n/2)!^2 / ((2 n)! / n!^2)
    n = 1000
    p, _ = hardy_weinberg([500, 5000], [0, 0], [500, 5000])
    ln_p = lgamma(n + 1) - 2 * lgamma(n // 2 + 1) - lgamma(2 * n + 1) + 2 * lgamma(n + 1)
    # lgamma(2001) is about 13,000, so its last bit is 2e-12.
    assert log(p[0]) == pytest.approx(ln_p, abs=1e-10)
    assert p[1] == 0.0


@pytest.mark.parametrize(
    ("counts", "why"),
    [(([1], [2], [-1]), "negative"), (([1, 2], [1], [1]), "shape"), (([1.0], [2.0], [1.5]), "whole")],
)
def test_impossible_counts_are_refused(counts, why):
    with pytest.raises(ValueError, match=why):
        hardy_weinberg(*counts)


def test_plink2_hardy():
    with gzip.open(real_data("kg-masked") / "expected-plink2" / "hardy.gz", "rt") as lines:
        rows = list(csv.DictReader(lines, delimiter="\t"))
    assert len(rows) > 10_000
    counts = np.array([[int(r[c]) for c in ("HOM_A1_CT", "HET_A1_CT", "TWO_AX_CT")] for r in rows])
    p, _ = hardy_weinberg(*counts.T)
    expected = np.array([float(r["P"]) for r in rows])
    observed = counts.sum(axis=1) > 0
    # PLINK prints 6 significant digits: half of the last one is 5e-6 of the value at most.
    np.testing.assert_allclose(p[observed], expected[observed], rtol=5.1e-6)
