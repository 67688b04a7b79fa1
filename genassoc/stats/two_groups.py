"""Tests of a difference between two groups: a share by Fisher's exact test, a quantity by ranks."""

import numpy as np

from genassoc.shapes import Float64Array, Int64Array

MOST_POINTS = 2_000  # of a law that is added up; of more, chi-squared, which then differs in the third digit at most where p is above 1e-8
_TIE = (
    1e-7  # tables whose probabilities differ by less, in parts, are equally probable: sums of logarithms of factorials
)


def fisher(first: Int64Array, second: Int64Array, n_first: Int64Array, n_second: Int64Array) -> Float64Array:
    """-log10 of the two-sided exact p that a share is the same in two groups, (V,).

    Parameters
    ----------
    first, second : int64 arrays (V,)
        How many have it in each group.
    n_first, n_second : int64 arrays (V,)
        How many there are.

    Returns
    -------
    float64 array (V,)
        Of tables that are no more probable than the one that was seen; NaN where a group is empty. Where the law has over `MOST_POINTS` points,
        that of Pearson's chi-squared.

    References
    ----------
    Fisher RA (1922). On the interpretation of chi-squared from contingency tables. JRSS 85.
    """
    tables = np.stack([first, second, n_first, n_second], axis=1)
    each, place = np.unique(tables, axis=0, return_inverse=True)
    return np.array([_one(*row) for row in each.tolist()], dtype=np.float64)[place.ravel()]


def _one(a: int, b: int, n_a: int, n_b: int) -> float:
    from scipy.special import gammaln, logsumexp
    from scipy.stats import chi2

    if n_a == 0 or n_b == 0:
        return float("nan")
    m, n = a + b, n_a + n_b
    low, high = max(0, m - n_b), min(m, n_a)
    if high - low > MOST_POINTS:
        share = m / n
        statistic = (a - n_a * share) ** 2 / (n_a * share * (1 - share) * n_b / n)
        return float(-chi2.logsf(statistic, 1) / np.log(10.0))
    x = np.arange(low, high + 1)
    logs = -gammaln(x + 1) - gammaln(n_a - x + 1) - gammaln(m - x + 1) - gammaln(n_b - m + x + 1)
    logs -= logsumexp(logs)
    return float(max(0.0, -logsumexp(logs[logs <= logs[a - low] + _TIE]) / np.log(10.0)))
