"""Tests of a set of variants from their scores: burden, SKAT, SKAT-O. Pure functions of arrays.

``U ~ N(0, V)`` under the null hypothesis. ``w_j`` is the weight of variant j's genotype, so the scores of weighted genotypes are
``w_j U_j`` with covariance ``w_i w_j V_ij``. Traits of the same samples share V up to a number, ``V_t = scale_t V``, and so the
eigenvalues, which are found once.
"""

import math
from dataclasses import dataclass

import numpy as np

from genassoc.kernels.laws import skat_o as kernels
from genassoc.shapes import Array, Float64Array, Int64Array
from genassoc.stats.quadratic_forms import INVERSION, neg_log_10_p_quadratic
from genassoc.stats.tails import neg_log_10_p_z

RHO = np.array([0.0, 0.01, 0.04, 0.09, 0.16, 0.25, 0.5, 1.0])  # as R's SKAT
BOUND = "bound"
_LN_10 = math.log(10.0)


def _gauss_kronrod() -> Float64Array:
    """Nodes of Kronrod's rule with 15, its weights, and those of Gauss's with 7 (QUADPACK's numbers)."""
    nodes = [
        0.991455371120812639206854697526329,
        0.949107912342758524526189684047851,
        0.864864423359769072789712788640926,
        0.741531185599394439863864773280788,
        0.586087235467691130294144691693013,
        0.405845151377397166906606412076961,
        0.207784955007898467600689403773245,
        0.0,
    ]
    kronrod = [
        0.022935322010529224963732008058970,
        0.063092092629978553290700663189204,
        0.104790010322250183839876322541518,
        0.140653259715525918745189590510238,
        0.169004726639267902826583426598550,
        0.190350578064785409913256402421014,
        0.204432940075298892414161999234649,
        0.209482141084727828012999174891714,
    ]
    gauss = [0.0] * 8
    gauss[1::2] = [
        0.129484966168869693270611432679082,
        0.279705391489276667901467771423780,
        0.381830050505118944950369775488975,
        0.417959183673469387755102040816327,
    ]
    rule = np.array([nodes, kronrod, gauss])
    return np.ascontiguousarray(np.hstack([rule, rule[:, -2::-1] * np.array([[-1.0], [1.0], [1.0]])]))


_RULE = _gauss_kronrod()


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


def skat_o(U: Float64Array, V: Float64Array, scale: Float64Array, weights: Float64Array) -> Tested:
    """SKAT-O (Lee, Wu & Lin 2012): the smallest p of ``Q_rho = (1 - rho) sum (w_j U_j)^2 + rho (sum w_j U_j)^2`` over `RHO`, and its p.

    Each p is exact, and so are the quantiles that they are compared at and the joint law of all Q_rho given the burden
    (`genassoc.kernels.laws.skat_o`): the p has no error but that of a quadrature. It lies between the smallest p and `RHO.size`
    times it; should the quadrature fail, that bound is the p, with method "bound".

    Parameters
    ----------
    U : float64 array (T, m)
        Scores of each trait.
    V : float64 array (m, m)
        Their covariance, over ``scale``.
    scale : float64 array (T,)
    weights : float64 array (m,)
        Of the genotypes.

    Returns
    -------
    Tested
        The statistic is the smallest -log10 p; ``rho`` the first with it.
    """
    T = U.shape[0]
    kernel = weighted(V, weights)
    variance = float(kernel.sum())
    usable = np.isfinite(scale) & (scale > 0.0)
    burden = variance > _rounding(V, weights)
    values = np.linalg.eigvalsh(kernel) if weights.size else np.zeros(0)
    methods = np.full(T, INVERSION, dtype=object)
    nothing = np.full(T, np.nan)
    if not (values > 0.0).any() or not usable.any():
        return Tested(nothing, nothing.copy(), methods, rho=nothing.copy())
    scores = (U * weights)[usable] / np.sqrt(scale[usable])[:, None]
    grid = RHO if burden else RHO[:1]  # a burden without variance adds nothing
    q = (1.0 - grid) * np.square(scores).sum(axis=1)[:, None] + grid * np.square(scores.sum(axis=1))[:, None]
    spectra, sizes = _spectra(kernel, grid)
    ln_each, passed_at = np.empty_like(q), np.empty_like(q)
    kernels.quantiles(q, spectra, sizes, ln_each, passed_at)
    for k in np.flatnonzero(np.isnan(ln_each).any(axis=0)):  # sums that do not agree
        lost = np.isnan(ln_each[:, k])
        ln_each[lost, k] = -_LN_10 * neg_log_10_p_quadratic(q[lost, k], spectra[k, : sizes[k]])[0]
        passed_at[lost] = np.nan
    least = ln_each.argmin(axis=1)
    ln_p = ln_each[np.arange(len(q)), least]
    smallest = ln_p / -_LN_10
    combined, names = smallest.copy(), np.full(len(q), INVERSION, dtype=object)
    rest = _given_burden(kernel) if burden else None
    if rest is not None:
        passed = np.empty(len(q))
        kernels.ln_any_passes(ln_p, passed_at, RHO, *rest, _RULE, passed)
        bad = np.isnan(passed)
        passed = np.where(bad, np.inf, passed)
        # It lies between the smallest p and the sum of all.
        combined = -np.clip(passed, ln_p, np.minimum(ln_p + np.log(grid.size), 0.0)) / _LN_10
        names[bad] = BOUND
    return Tested(
        _spread(smallest, usable),
        _spread(combined, usable),
        _spread(names, usable, methods),
        rho=_spread(grid[least], usable),
    )


def _spread(values: Array, usable: Array, out: Array | None = None) -> Array:
    """Of usable traits, among all of them."""
    out = np.full(usable.size, np.nan) if out is None else out
    out[usable] = values
    return out


def _spectra(kernel: Float64Array, rho: Float64Array) -> tuple[Float64Array, Int64Array]:
    """Eigenvalues of ``R^(1/2) K R^(1/2)``, ``R = (1 - rho) I + rho 1 1'``, for each rho (K, m), descending; how many are positive (K,)."""
    m = len(kernel)
    alike = np.sqrt(1.0 - rho)
    beside = (np.sqrt(1.0 - rho + rho * m) - alike) / m
    # (a I + b 1 1') K (a I + b 1 1')
    rows = kernel.sum(axis=1)
    a, b = alike[:, None, None], beside[:, None, None]
    product = a * a * kernel + a * b * (rows[:, None] + rows) + b * b * rows.sum()
    spectra = np.ascontiguousarray(np.linalg.eigvalsh(product)[:, ::-1])
    rounding = m * np.finfo(float).eps * np.maximum(spectra[:, :1], 0.0)
    return spectra, np.count_nonzero(spectra > rounding, axis=1)


def _given_burden(kernel: Float64Array) -> tuple[Float64Array, Float64Array, Float64Array] | None:
    """What the scores are given their sum: eigenvalues of their covariance, squares of the slope along its eigenvectors,
    and the variance of the sum with the square of the slope outside. None where the sum leaves nothing."""
    rows = kernel.sum(axis=1)
    variance = float(rows.sum())
    slope = rows / np.sqrt(variance)
    values, vectors = np.linalg.eigh(kernel - np.outer(slope, slope))
    kept = values > len(values) * np.finfo(float).eps * np.trace(kernel)
    if not kept.any():
        return None
    along = np.square(vectors.T @ slope)[kept][::-1]
    outside = max(float(slope @ slope) - float(along.sum()), 0.0)
    return np.ascontiguousarray(values[kept][::-1]), np.ascontiguousarray(along), np.array([variance, outside])


def weighted(V: Float64Array, weights: Float64Array) -> Float64Array:
    """``W V W``."""
    return np.asarray(weights[:, None] * V * weights, dtype=np.float64)


def _rounding(V: Float64Array, weights: Float64Array) -> float:
    """What a variance of ``sum_j w_j U_j`` may be by rounding alone."""
    return float(weights.size * np.finfo(float).eps * (np.abs(weights) @ np.abs(V) @ np.abs(weights)))
