"""Tests of a set of variants from their scores: burden, SKAT, SKAT-O. Pure functions of arrays.

``U ~ N(0, V)`` under the null hypothesis. ``w_j`` is the weight of variant j's genotype, so the scores of weighted genotypes are
``w_j U_j`` with covariance ``w_i w_j V_ij``. Traits of the same samples share V up to a number, ``V_t = scale_t V``, and so the
eigenvalues, which are found once.
"""

from dataclasses import dataclass

import numpy as np

from genassoc.shapes import Array, Float64Array
from genassoc.stats.quadratic_forms import neg_log_10_p_quadratic
from genassoc.stats.tails import neg_log_10_p_z


@dataclass(frozen=True)
class Tested:
    """A test of a set, a value a trait.

    Attributes
    ----------
    statistic : float64 array (T,)
    neg_log_10_p : float64 array (T,)
        NaN where the scores have no variance.
    method : array of str (T,)
        How the p was found.
    rho : float64 array (T,) or None
        Of SKAT-O: the share of the burden with the smallest p.
    beta, standard_error : float64 array (T,) or None
        Of a burden: the effect of one unit of ``sum_j w_j G_j``, by one step from the null.
    """

    statistic: Float64Array
    neg_log_10_p: Float64Array
    method: Array
    rho: Float64Array | None = None
    beta: Float64Array | None = None
    standard_error: Float64Array | None = None


def score_burden(U: Float64Array, V: Float64Array, scale: Float64Array, weights: Float64Array) -> Tested:
    """The score test of ``sum_j w_j G_j``: ``(w'U)^2 / (scale w'Vw)``, chi-squared with one degree of freedom.

    Parameters
    ----------
    U : float64 array (T, m)
        Scores of each trait.
    V : float64 array (m, m)
        Their covariance, over ``scale``.
    scale : float64 array (T,)
    weights : float64 array (m,)
        Of the genotypes.
    """
    variance = scale * float(weights @ V @ weights)
    score = U @ weights
    usable = variance > _rounding(V, weights) * scale
    with np.errstate(divide="ignore", invalid="ignore"):
        z = np.where(usable, score / np.sqrt(variance), np.nan)
        beta = np.where(usable, score / variance, np.nan)
        error = np.where(usable, 1.0 / np.sqrt(variance), np.nan)
    return Tested(z * z, neg_log_10_p_z(z), np.full(z.shape, "score", dtype=object), beta=beta, standard_error=error)


def skat(U: Float64Array, V: Float64Array, scale: Float64Array, weights: Float64Array, method: str = "auto") -> Tested:
    """SKAT (Wu et al. 2011): ``Q = sum_j (w_j U_j)^2``, a sum of chi-squared variables weighted by the eigenvalues of ``W V W``.

    R's SKAT prints half of this Q.

    Parameters
    ----------
    U : float64 array (T, m)
        Scores of each trait.
    V : float64 array (m, m)
        Their covariance, over ``scale``.
    scale : float64 array (T,)
    weights : float64 array (m,)
        Of the genotypes.
    method : str
        As `neg_log_10_p_quadratic`.
    """
    q = np.square(U * weights).sum(axis=1)
    eigenvalues = np.linalg.eigvalsh(weighted(V, weights)) if weights.size else np.zeros(0)
    neg_log_10_p, methods = neg_log_10_p_quadratic(q / scale, eigenvalues, method)
    if not (eigenvalues > 0.0).any():
        neg_log_10_p = np.full(q.shape, np.nan)  # no variance: nothing is tested, even where Q is 0
    return Tested(q, neg_log_10_p, methods)


def weighted(V: Float64Array, weights: Float64Array) -> Float64Array:
    """``W V W``."""
    return np.asarray(weights[:, None] * V * weights, dtype=np.float64)


def _rounding(V: Float64Array, weights: Float64Array) -> float:
    """What a variance of ``sum_j w_j U_j`` may be by rounding alone."""
    return float(weights.size * np.finfo(float).eps * (np.abs(weights) @ np.abs(V) @ np.abs(weights)))
