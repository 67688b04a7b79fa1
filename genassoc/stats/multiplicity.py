"""p-values adjusted for how many tests were made, by logarithms throughout."""

from typing import Literal

import numpy as np

from genassoc.shapes import Float64Array

Method = Literal["bonferroni", "fdr_bh", "fdr_by"]
METHODS: tuple[Method, ...] = ("bonferroni", "fdr_bh", "fdr_by")


def adjusted_neg_log_10_p(neg_log_10_p: Float64Array, method: Method) -> Float64Array:
    """-log10 of adjusted p of one family of tests.

    Parameters
    ----------
    neg_log_10_p : float64 array (m,)
        NaN is no test: it does not count and stays NaN.
    method : {"bonferroni", "fdr_bh", "fdr_by"}
        ``min(1, m p)``; or the least false discovery rate at which a test is a discovery, of tests that are independent
        or positively dependent (Benjamini and Hochberg 1995, J R Stat Soc B 57), or of any dependence (Benjamini and
        Yekutieli 2001, Ann Stat 29): ``min over j >= i of p_(j) m c / j``, c = 1 or 1 + 1/2 + ... + 1/m.

    Returns
    -------
    float64 array (m,)
    """
    out = np.full(neg_log_10_p.shape, np.nan)
    tested = np.flatnonzero(~np.isnan(neg_log_10_p))
    m = tested.size
    if not m:
        return out
    logs = neg_log_10_p[tested]
    if method == "bonferroni":
        out[tested] = np.maximum(logs - np.log10(m), 0.0)
        return out
    order = np.argsort(-logs, kind="stable")
    ranks = np.arange(1, m + 1)
    price = np.log10(m) + (np.log10((1.0 / ranks).sum()) if method == "fdr_by" else 0.0)
    # The least adjusted p of this and all larger p is the greatest of the logarithms.
    steps = logs[order] + np.log10(ranks) - price
    out[tested[order]] = np.maximum(np.maximum.accumulate(steps[::-1])[::-1], 0.0)
    return out
