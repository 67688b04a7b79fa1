"""The p of a linear row by the law of its score given the residuals, by plain sums; see `genassoc.kernels.laws.residual_law`.

Written apart from the rows it checks: every residual is an atom, coefficients are rounded to a thousandth of the largest and not binned,
and the tail is a sum over the tilted characteristic function of all of them.
"""

import numpy as np

from genassoc.refit.fits import DenseFit, NotFittedError, beside, by_normal_deviate, independent, wald_test
from genassoc.refit.likelihoods import Normal
from genassoc.refit.tails import LN10, size_of_z
from genassoc.shapes import Float64Array

_NODES = 4096
_NORMAL_BELOW = 0.05  # of the largest coefficient


def residual_law_test(
    y: Float64Array, X: Float64Array, g: Float64Array, impute: bool = False, weight: Float64Array | None = None
) -> DenseFit:
    """The test of g (n,), NaN where not observed, in least squares of y on X (n, C), which has the intercept.

    With sampling weights (n,) what is drawn is a residual times its weight.

    Raises
    ------
    NotFittedError
        There is no estimate.
    """
    seen = np.isfinite(g)
    g = np.where(seen, g, g[seen].mean()) if impute else g
    keep = np.isfinite(g)
    weight = np.ones(y.size) if weight is None else weight / weight.mean()
    root, spanned = np.sqrt(weight), independent(X[keep])
    D = np.column_stack([spanned, beside(spanned, g[keep, None])])
    fit = wald_test(Normal(D, y[keep], weight[keep], np.zeros(len(D))))
    Q, own = independent(X), independent(root[:, None] * X)
    n, C = Q.shape
    e = root * y
    e = root * (e - own @ (own.T @ e))
    e = e / np.sqrt((e**2).mean())
    score_of = e
    for _ in range(3):  # Huber's residuals: a large one does not pull its level
        centred = e - np.median(e)
        bound = 5.0 * np.median(np.abs(centred))
        e = centred - Q @ (Q.T @ np.clip(centred, -bound, bound))
    spread = _spread_of(e, X)
    centre = float((e / spread).mean())
    atoms = (e / spread - centre) * np.sqrt(n / (n - C))
    if np.ptp(weight) > 0.0 and np.ptp(spread) > 0.0:
        atoms /= np.sqrt(float((spread**2).mean() * ((e / spread - centre) ** 2).mean()))
    left = g[keep] - spanned @ (spanned.T @ g[keep])
    a = left * spread[keep]
    u = float(a @ (score_of[keep] / spread[keep] - centre))
    minor = min(float(g[keep].mean()), 2.0 - float(g[keep].mean()))
    if (atoms**2).max() > 0.2 * (atoms**2).sum() and minor < 0.1:
        a = a + np.copysign(minor, 1.0 - g[keep].mean()) * spread[keep].mean()
    tails = [_log_tail(abs(u), side * a, atoms) for side in (1.0, -1.0)]
    logp = max(0.0, -float(np.logaddexp(tails[0], tails[1])) / LN10)
    return by_normal_deviate(fit, logp)


def _spread_of(e: Float64Array, X: Float64Array) -> Float64Array:
    """exp of the regression of ln |e| on the covariates that enter it one by one, t past 0.01 over their number."""
    n = e.size
    y = np.log(np.maximum(np.abs(e), 1e-3 * np.median(np.abs(e)) + np.finfo(float).tiny))
    candidates = [c for c in range(X.shape[1]) if np.ptp(X[:, c]) > 0.0]
    if not candidates:
        return np.ones(n)
    beyond = size_of_z(-np.log10(0.01 / len(candidates)))
    chosen: list[int] = []
    while len(chosen) < min(len(candidates), n // 20):
        D = np.column_stack([np.ones(n), X[:, chosen]])
        rest = y - D @ np.linalg.lstsq(D, y, rcond=None)[0]
        best, gain = -1, 0.0
        for c in candidates:
            column = X[:, c] - D @ np.linalg.lstsq(D, X[:, c], rcond=None)[0]
            length = float(column @ column)
            if c in chosen or length <= 1e-8 * float(((X[:, c] - X[:, c].mean()) ** 2).sum()):
                continue
            own = float(column @ rest) ** 2 / length
            best, gain = (c, own) if own > gain else (best, gain)
        if best < 0 or gain * (n - len(chosen) - 2) <= beyond**2 * (float(rest @ rest) - gain):
            break
        chosen.append(best)
    if not chosen:
        return np.ones(n)
    D = np.column_stack([np.ones(n), X[:, chosen]])
    fitted = np.exp(D @ np.linalg.lstsq(D, y, rcond=None)[0] - y.mean())
    for _ in range(3):  # by the sizes, at most five times their mean
        ratio = np.abs(e) / fitted
        ratio = np.minimum(ratio / ratio.mean(), 5.0)
        fitted = fitted * np.exp(D @ np.linalg.lstsq(D, ratio / ratio.mean() - 1.0, rcond=None)[0])
    return np.asarray(fitted * np.sqrt(((e / fitted) ** 2).mean()))


def _log_tail(u: float, a: Float64Array, atoms: Float64Array) -> float:
    """``ln P(sum a_i e_i >= u)``, e_i drawn from the atoms (n,)."""
    variance, largest = float((atoms**2).mean()), float(np.abs(a).max())
    near = np.abs(a) <= _NORMAL_BELOW * largest
    rest = max(float((a[near] ** 2).sum()), 1e-4 * float(a @ a)) * variance
    rounded, counts = np.unique(np.round(a[~near] / largest, 3), return_counts=True)
    c = rounded * largest

    def cgf(s: complex) -> complex:
        x = s * c[:, None] * atoms
        top = x.real.max(axis=1)
        return complex(0.5 * rest * s * s + (counts * (top + np.log(np.exp(x - top[:, None]).mean(axis=1)))).sum())

    # By bisection: the derivative of K at s is u.
    low, high, small = 0.0, 1.0 / np.sqrt(float(a @ a) * variance), 1e-5

    def slope(s: float) -> float:
        return (cgf(s * (1 + small)).real - cgf(s * (1 - small)).real) / (2 * small * s)

    while slope(high) < u:
        low, high = high, 2.0 * high
    for _ in range(20):
        middle = 0.5 * (low + high)
        low, high = (middle, high) if slope(middle) < u else (low, middle)
    s = max(high, 1.0 / np.sqrt(float(a @ a) * variance))
    K = cgf(s).real
    period = max(u - K / s + 30.0 / s, 2.5 * largest * float(np.ptp(atoms)), 14.0 * np.sqrt(float(a @ a) * variance))
    h, total, quiet = 2.0 * np.pi / period, 0.5 / s, 0
    for node in range(1, _NODES):
        z = s + 1j * h * node
        term = np.exp(cgf(z) - K - 1j * h * node * u) / z
        total += float(term.real)
        quiet = quiet + 1 if abs(term) * s < 1e-9 else 0
        if quiet > 48:
            if not total > 0.0:
                return -np.inf
            return float(K - s * u + np.log(total * h / np.pi))
    raise NotFittedError("the integral of the residuals' law does not end")
