"""The Cauchy combination of p-values against mpmath."""

import mpmath as mp
import numpy as np
import pytest

from genassoc.stats.cauchy import acat


def _by_mpmath(neg_log_10_p, weights=None):
    """The definition, in 400 digits."""
    with mp.workdps(400):
        p = [mp.mpf(10) ** -mp.mpf(float(x)) for x in neg_log_10_p]
        p = [min(x, 1 - mp.mpf(1) / len(p)) for x in p] if len(p) > 1 else p
        w = [mp.mpf(1)] * len(p) if weights is None else [mp.mpf(float(x)) for x in weights]
        t = mp.fsum(a * mp.tan(mp.pi * (mp.mpf(1) / 2 - x)) for a, x in zip(w, p)) / mp.fsum(w)
        return float(-mp.log10(mp.mpf(1) / 2 - mp.atan(t) / mp.pi))


@pytest.mark.parametrize(
    "values",
    [
        [0.3, 0.5, 2.0],
        [300.0, 0.1],
        [300.0, 0.0, 0.0],
        [300.0, 299.0, 5.000001],
        [4.99, 5.0, 5.01],
        [0.0, 0.0],
        [1e-9, 0.2, 0.01],
        [0.30102999566, 0.30102999566],
        [7.0] * 20,
        [300.0],
        [1e-3],
    ],
)
def test_against_the_definition(values):
    # p beyond 1e-5 takes the tangent's first term: off by (pi p)^2 / 3, a third of 1e-9 of p.
    assert acat(values) == pytest.approx(_by_mpmath(values), rel=1e-9, abs=1e-9)
    weights = np.arange(1.0, len(values) + 1)
    assert acat(values, weights) == pytest.approx(_by_mpmath(values, weights), rel=1e-9, abs=1e-9)


def test_beyond_float64_and_signs():
    assert acat([5000.0, 0.5]) == pytest.approx(5000.0 - np.log10(2.0), rel=1e-12)
    assert acat([0.0]) == 0.0
    assert not np.signbit(acat([0.0, 0.0])) and acat([0.0, 0.0, 0.0]) > 0.0


def test_what_is_missing_is_left_out():
    table = np.array([[1.0, np.nan, 3.0], [np.nan, np.nan, np.nan], [np.nan, 2.0, np.nan]])
    found = acat(table)
    assert found[0] == pytest.approx(_by_mpmath([1.0, 3.0]), rel=1e-12)
    assert np.isnan(found[1]) and found[2] == 2.0
    np.testing.assert_array_equal(acat([1.0, 4.0], [1.0, 0.0]), 1.0)  # a weight of 0 is left out too
    assert np.isnan(acat(np.empty(0)))


def test_one_row_does_not_depend_on_others():
    table = np.random.default_rng(1).exponential(2.0, (50, 7))
    np.testing.assert_array_equal(acat(table), [acat(row) for row in table])


def test_what_is_refused():
    with pytest.raises(ValueError, match="weights"):
        acat([1.0, 2.0], [1.0, -1.0])
    with pytest.raises(ValueError, match="negative"):
        acat([1.0, -2.0])
