"""Estimates of one effect in several studies: how far they differ."""

from typing import NamedTuple

import numpy as np

from genassoc.shapes import Float64Array
from genassoc.stats.tails import neg_log_10_p_chi2


class Heterogeneity(NamedTuple):
    """Cochran's test that studies estimate one effect."""

    Q: float
    df: int
    neg_log_10_p: float
    I2: float


def heterogeneity(effects: Float64Array, precisions: Float64Array) -> Heterogeneity:
    """Cochran's Q of effects (K,) with precisions (K,), one over their variances; I2 of Higgins and Thompson (2002).

    Q = sum_k precision_k (effect_k - pooled)^2, chi-squared with K - 1 degrees of freedom where all studies have one effect.
    Studies without precision are left out; of fewer than two nothing is known: Q 0, df 0, NaN.
    """
    used = precisions > 0
    effects, precisions = effects[used], precisions[used]
    df = effects.size - 1
    if df < 1:
        return Heterogeneity(0.0, 0, np.nan, np.nan)
    pooled = float(precisions @ effects / precisions.sum())
    Q = float(precisions @ (effects - pooled) ** 2)
    return Heterogeneity(Q, df, float(neg_log_10_p_chi2(Q, df)), max(0.0, (Q - df) / Q) if Q > 0 else 0.0)
