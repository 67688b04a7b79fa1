"""Variance components of one relationship matrix: the basis in which it is diagonal, and the null model there."""

from dataclasses import dataclass

import numpy as np

from genassoc.shapes import Float64Array

# ln of the ratio of variances, of a matrix whose mean diagonal is 1: GEMMA's bounds, and its ten stretches between them.
LEAST, MOST, STRETCHES = np.log(1e-5), np.log(1e5), 10
ROUNDING = 1e-6  # of the largest eigenvalue: what is below zero by less is rounding


@dataclass(frozen=True)
class Rotation:
    """A relationship matrix made diagonal among the error contrasts of covariates.

    Attributes
    ----------
    d : float64 array (M,)
        Eigenvalues among M = n - C contrasts, of the matrix scaled so that its mean diagonal, centred, is 1; none below 0.
    T : float64 array (M, n)
        Contrasts as rows: orthonormal, orthogonal to the covariates.
    scale : float
        Mean diagonal of the matrix less its mean in rows and columns.
    all_d : float64 array (n,) or (0,)
        Eigenvalues of the centred matrix in all samples, where asked for.
    n_negative, most_negative : int, float
        Eigenvalues that were below 0 by more than rounding, now 0, and the least, as a share of the largest.
    """

    d: Float64Array
    T: Float64Array
    scale: float
    all_d: Float64Array
    n_negative: int = 0
    most_negative: float = 0.0


class NoVarianceError(ValueError):
    """The matrix says nothing of these samples: all alike."""


def rotation(K: Float64Array, X: Float64Array, whole: bool = False) -> Rotation:
    """Make a matrix K (n, n), which is overwritten, diagonal among the contrasts of X (n, C), of full rank with the constant in it.

    Householder's reflections of X leave n - C contrasts in the last rows; K among these is decomposed. ``whole``: eigenvalues of
    all samples too, for maximum likelihood. Three n x n arrays at once.

    Raises
    ------
    NoVarianceError
    """
    from scipy.linalg import eigh, lapack  # slow to import

    n, C = X.shape
    means = K.mean(axis=0)
    # The constant is in X: contrasts do not see means, and eigenvalues of all samples should not either (GEMMA centres too).
    K -= means
    K -= (means - means.mean())[:, None]
    scale = float(np.trace(K)) / n
    largest = float(np.abs(K).max(initial=0.0))
    if not (np.isfinite(scale) and scale > 1e-12 * max(largest, 1e-300)):
        raise NoVarianceError
    K /= scale
    all_d = np.empty(0)
    if whole:
        all_d = np.maximum(eigh(K, eigvals_only=True, driver="evr", check_finite=False), 0.0)
    (qr, tau), _ = _householder(X)
    size = 64 * n
    # K is symmetric: its transpose is the same matrix in the order that LAPACK overwrites in place
    Kt, _, _ = lapack.dormqr("L", "T", qr, tau, K.T, size, overwrite_c=1)
    Kt, _, _ = lapack.dormqr("R", "N", qr, tau, Kt, size, overwrite_c=1)
    d, V = eigh(Kt[C:, C:].copy(order="F"), driver="evr", overwrite_a=True, check_finite=False)
    del Kt
    padded = np.zeros((n, n - C), order="F")
    padded[C:] = V
    del V
    T, _, _ = lapack.dormqr("L", "N", qr, tau, padded, size, overwrite_c=1)
    top = max(float(d.max(initial=0.0)), 0.0)
    below = d < -ROUNDING * max(top, 1e-300)
    least = float(d.min(initial=0.0)) / top if top > 0 else 0.0
    # T is Fortran's (n, M): its transpose is C's (M, n), as products with genotypes want it
    return Rotation(np.maximum(d, 0.0), np.ascontiguousarray(T.T), scale, all_d, int(below.sum()), min(least, 0.0))


def _householder(X: Float64Array) -> tuple[tuple[Float64Array, Float64Array], Float64Array]:
    from scipy.linalg import qr

    (reflections, tau), R = qr(X, mode="raw", check_finite=False)
    return (np.asfortranarray(reflections), tau), R


def grid() -> Float64Array:
    """ln ratio from the least to the greatest, (K,)."""
    return np.linspace(LEAST, MOST, STRETCHES + 1)


def weights(d: Float64Array) -> Float64Array:
    """1 / (ratio d + 1) on the grid, then its square: (M, 2 K)."""
    w = 1.0 / (np.exp(grid())[None, :] * d[:, None] + 1.0)
    return np.hstack([w, w * w])


@dataclass(frozen=True)
class NullFit:
    """A trait's variance components without a variant.

    Attributes
    ----------
    ln_ratio : float
        ln of genetic over residual variance, of the scaled matrix.
    residual_variance : float
    log_likelihood : float
        But for the constant that `genassoc.kernels.likelihoods.mixed.log_likelihood` leaves out.
    at_bound : bool
        The maximum lies at the end of what is looked at: no genetic variance, or nothing else.
    share, standard_error : float
        Genetic variance over all of it (heritability, if the matrix is of relationships), by the information of the ratio; at a bound
        by the expected information.
    """

    ln_ratio: float
    residual_variance: float
    log_likelihood: float
    at_bound: bool
    share: float
    standard_error: float


def fit_null(d: Float64Array, eta: Float64Array, all_d: Float64Array | None = None) -> NullFit:
    """The maximum of REML, or with ``all_d`` (n,) of the likelihood, for a trait eta (M,) among contrasts with eigenvalues d (M,)."""
    traced = d if all_d is None else all_d
    q = float(traced.size)

    def parts(u: float) -> tuple[float, float, float]:
        w = 1.0 / (np.exp(u) * d + 1.0)
        wt = w if all_d is None else 1.0 / (np.exp(u) * all_d + 1.0)
        P, PP, PPP = (float((w**k * eta**2).sum()) for k in (1, 2, 3))
        share = PP / P
        first = float(wt.sum()) - q * share
        second = float((wt**2).sum() - wt.sum()) - q * (2.0 * PPP / P - share - share**2)
        value = -0.5 * (float(np.log1p(np.exp(u) * traced).sum()) + q * np.log(P))
        return first, second, value

    points = grid()
    slopes = [parts(u)[0] for u in points]
    candidates = [points[0]] if slopes[0] <= 0 else []
    candidates += [
        _zero(parts, points[k - 1], points[k]) for k in range(1, len(points)) if slopes[k - 1] > 0 >= slopes[k]
    ]
    candidates += [points[-1]] if slopes[-1] > 0 else []
    u = max(candidates, key=lambda at: parts(at)[2])
    _, second, value = parts(u)
    ratio = float(np.exp(u))
    at_bound = bool(u in (points[0], points[-1]))
    variance = float((eta**2 / (ratio * d + 1.0)).sum()) / d.size
    share = ratio / (1.0 + ratio)
    # d share / d ln ratio = share (1 - share); the information of ln ratio at a maximum is minus half of `second`
    information = -0.5 * second
    if at_bound or not information > 0:
        w = 1.0 / (ratio * d + 1.0)
        s = 1.0 - w  # ratio d / (ratio d + 1)
        information = 0.5 * float(((s - s.mean()) ** 2).sum())  # expected, the residual variance profiled out
        error = share * (1.0 - share) / np.sqrt(information) if information > 0 else np.nan
    else:
        error = share * (1.0 - share) / np.sqrt(information)
    return NullFit(float(u), variance, value, at_bound, share, float(error))


def _zero(parts, low: float, high: float) -> float:  # type: ignore[no-untyped-def]
    """Where the slope, positive at ``low``, is zero: Newton's method between bounds."""
    u = 0.5 * (low + high)
    for _ in range(100):
        first, second, _ = parts(u)
        low, high = (u, high) if first > 0 else (low, u)
        following = u - first / second if second < 0 else np.inf
        if not low <= following <= high:
            following = 0.5 * (low + high)
        moved, u = abs(following - u), following
        if moved < 1e-9 or high - low < 1e-12:
            break
    return float(u)
