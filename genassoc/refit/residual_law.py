"""The p of a linear row by the law of its score given the residuals, by plain sums; see `genassoc.kernels.laws.residual_law`.

Written apart from the rows it checks: every residual is an atom, coefficients are rounded to a thousandth of the largest and not binned,
and the tail is a sum over the tilted characteristic function of all of them.
"""

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np

from genassoc.refit.fits import DenseFit, NotFittedError, beside, by_normal_deviate, independent, wald_test
from genassoc.refit.likelihoods import Normal
from genassoc.refit.tails import LN10, size_of_z
from genassoc.shapes import Float64Array

_NODES = 4096
_NORMAL_BELOW = 0.05  # of the largest coefficient
_BINS = 512  # of the atoms


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
    law = _Law(rounded * largest, counts.astype(np.float64), _binned(atoms), rest)
    spread = np.sqrt(float(a @ a) * variance)
    s = max(law.saddlepoint(u, spread), 1.0 / spread)
    K = law.cgf(s)[0]
    period = max(u - K / s + 30.0 / s, 2.5 * largest * float(np.ptp(atoms)), 14.0 * spread)
    h, total, quiet = 2.0 * np.pi / period, 0.5 / s, 0
    for node, value in enumerate(law.along(s, h), 1):
        z = s + 1j * h * node
        term = np.exp(value - K - 1j * h * node * u) / z
        total += float(term.real)
        quiet = quiet + 1 if abs(term) * s < 1e-9 else 0
        if quiet > 48:
            if not total > 0.0:
                return -np.inf
            return float(K - s * u + np.log(total * h / np.pi))
    raise NotFittedError("the integral of the residuals' law does not end")


class _Atoms(NamedTuple):
    """Atoms in bins: means, shares and variances within (bins,)."""

    mean: Float64Array
    share: Float64Array
    variance: Float64Array


def _binned(atoms: Float64Array) -> _Atoms:
    """Bins of one width; the farthest atoms are alone in theirs."""
    low, width = atoms.min(), np.ptp(atoms) / _BINS or 1.0
    _, which, counts = np.unique(np.floor((atoms - low) / width), return_inverse=True, return_counts=True)
    mean = np.bincount(which, atoms) / counts
    return _Atoms(mean, counts / atoms.size, np.bincount(which, (atoms - mean[which]) ** 2) / counts)


class _Law(NamedTuple):
    """The law of a sum of ``counts`` (K,) draws with each coefficient (K,), and of a normal deviate of variance ``rest``.

    Within its bin an atom is drawn as a normal deviate of the bin's variance.
    """

    c: Float64Array
    counts: Float64Array
    atoms: _Atoms
    rest: float

    def _exponents(self, s: float) -> Float64Array:
        """``ln E exp(s c e)`` of each bin (K, bins), with its share."""
        reach = self.c[:, None]
        bent = 0.5 * (s * reach) ** 2 * self.atoms.variance
        return np.asarray(s * reach * self.atoms.mean + bent + np.log(self.atoms.share))

    def cgf(self, s: float) -> tuple[float, float, float]:
        """Cumulant generating function at s, and its two derivatives."""
        x = self._exponents(s)
        top = x.max(axis=1, keepdims=True)
        w = np.exp(x - top)
        whole = w.sum(axis=1)
        w /= whole[:, None]
        slope = self.c[:, None] * self.atoms.mean + s * self.c[:, None] ** 2 * self.atoms.variance
        first = (w * slope).sum(axis=1)
        second = (w * (slope**2 + self.c[:, None] ** 2 * self.atoms.variance)).sum(axis=1) - first**2
        value = 0.5 * self.rest * s * s + float(self.counts @ (top[:, 0] + np.log(whole)))
        return value, self.rest * s + float(self.counts @ first), self.rest + float(self.counts @ second)

    def saddlepoint(self, u: float, spread: float) -> float:
        """Where the first derivative is u: Newton's method within a bracket; a few per cent are enough."""
        low, high = 0.0, np.inf
        s = u / spread**2
        for _ in range(60):
            _, slope, bend = self.cgf(s)
            if abs(slope - u) <= 1e-3 * spread:
                break
            low, high = (s, high) if slope < u else (low, s)
            s = s + (u - slope) / bend
            if not low < s < high:
                s = 0.5 * (low + high) if np.isfinite(high) else 2.0 * low
        return s

    def along(self, s: float, h: float) -> Iterator[complex]:
        """The cgf at s + i h, s + 2 i h, ...: from each node to the next the summands are multiplied by factors that turn and shrink."""
        x, reach = self._exponents(s), self.c[:, None]
        top = x.max(axis=1, keepdims=True)
        bent = h * reach**2 * self.atoms.variance
        values = np.exp(x - top).astype(np.complex128)
        turn = np.exp(1j * (h * reach * self.atoms.mean + s * bent) - 0.5 * h * bent)
        shrink = np.exp(-h * bent)
        for node in range(1, _NODES):
            values *= turn
            turn *= shrink
            z = s + 1j * h * node
            yield complex(0.5 * self.rest * z * z + self.counts @ (top[:, 0] + np.log(values.sum(axis=1))))
