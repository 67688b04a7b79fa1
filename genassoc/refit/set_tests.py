"""Tests of a set of variants by dense formulas on the whole matrix of genotypes: what an explanation stands on, apart from kernels and lists of carriers."""

from dataclasses import dataclass, replace
from typing import NamedTuple

import numpy as np

from genassoc.errors import GenassocError
from genassoc.models.sets import tests as law
from genassoc.shapes import Float64Array
from genassoc.stats.cauchy import acat
from genassoc.stats.tails import neg_log_10_p_chi2, neg_log_10_p_t, neg_log_10_p_z

FAMILIES = {"linear": "linear", "logistic": "logistic", "poisson": "poisson"}
_STEPS, _CLOSE = 60, 1e-10


class Fit(NamedTuple):
    """A maximum: coefficients, log likelihood, mean, weight."""

    b: Float64Array
    log_likelihood: float
    mean: Float64Array
    weight: Float64Array


class Line(NamedTuple):
    """One test."""

    test: str
    kind: str  # "score" or "fitted"
    beta: float
    standard_error: float
    neg_log_10_p: float


@dataclass(frozen=True)
class DenseSet:
    """A trait, covariates and minor alleles of m variants of the same n samples.

    Attributes
    ----------
    family : str
        Of `FAMILIES`.
    y : float64 array (n,)
    X : float64 array (n, C)
        With the intercept.
    G : float64 array (n, m)
        Minor alleles; a call that is not observed has the mean.
    offset : float64 array (n,)
    """

    family: str
    y: Float64Array
    X: Float64Array
    G: Float64Array
    offset: Float64Array

    def fit(self, more: Float64Array | None = None) -> Fit:
        """The maximum with the covariates, and one column more.

        Raises
        ------
        GenassocError
            Newton's method does not end, as of separated outcomes.
        """
        X = self.X if more is None else np.column_stack([self.X, more])
        if self.family == "linear":
            b = np.asarray(np.linalg.lstsq(X, self.y - self.offset, rcond=None)[0], np.float64)
            mean = X @ b + self.offset
            rss = float(np.square(self.y - mean).sum())
            return Fit(b, -0.5 * self.y.size * float(np.log(rss / self.y.size)), mean, np.ones(self.y.size))
        b = np.zeros(X.shape[1])
        for _ in range(_STEPS):
            eta = np.clip(X @ b + self.offset, -700.0, 700.0)
            mean = 1.0 / (1.0 + np.exp(-eta)) if self.family == "logistic" else np.exp(eta)
            weight = mean * (1.0 - mean) if self.family == "logistic" else mean
            step = np.linalg.lstsq((X.T * weight) @ X, X.T @ (self.y - mean), rcond=None)[0]
            b = b + np.clip(step, -5.0, 5.0)
            if np.abs(step).max() < _CLOSE:
                log = eta * self.y - (np.logaddexp(0.0, eta) if self.family == "logistic" else mean)
                return Fit(b, float(log.sum()), mean, weight)
        raise GenassocError("a fit does not end: the outcomes are separated.")

    def scores(self) -> tuple[Float64Array, Float64Array]:
        """U (m,) and its covariance V (m, m), covariates taken out."""
        null = self.fit()
        residual, W, X = self.y - null.mean, null.weight, self.X
        scale = 1.0
        if self.family == "linear":
            scale = (self.y.size - np.linalg.matrix_rank(X)) / float(residual @ residual)
        A = (X.T * W) @ self.G
        V = (self.G.T * W) @ self.G - A.T @ np.linalg.lstsq((X.T * W) @ X, A, rcond=None)[0]
        return scale * (self.G.T @ residual), scale * V

    def without(self, k: int) -> "DenseSet":
        """The same without variant k."""
        return replace(self, G=np.delete(self.G, k, axis=1))

    def burdens(self, weights: Float64Array) -> dict[str, Float64Array]:
        """Columns (n,): the weighted sum, the most copies of any variant, whether any is carried."""
        most = self.G.max(axis=1)
        return {
            "burden, sum": self.G @ weights,
            "burden, max": most,
            "burden, collapse": (most > 0.5).astype(np.float64),
        }

    def column_tests(self, name: str, column: Float64Array) -> list[Line]:
        """A column's score test and, where it can be fitted, its likelihood ratio (linear: t)."""
        alone = replace(self, G=column[:, None])
        U, V = (float(values.ravel()[0]) for values in alone.scores())
        lines = [
            Line(name, "score", U / V, V**-0.5, float(neg_log_10_p_z(U * V**-0.5)))
            if V > 0
            else Line(name, "score", *[np.nan] * 3)
        ]
        try:
            null, fit = self.fit(), self.fit(column)
        except GenassocError:
            return [*lines, Line(name, "fitted", np.nan, np.nan, np.nan)]
        if self.family == "linear":
            full = np.column_stack([self.X, column])
            df = self.y.size - np.linalg.matrix_rank(full)
            residual = self.y - fit.mean
            error = float(np.sqrt(residual @ residual / df * np.linalg.pinv(full.T @ full)[-1, -1]))
            return [*lines, Line(name, "fitted", float(fit.b[-1]), error, float(neg_log_10_p_t(fit.b[-1] / error, df)))]
        ratio = max(0.0, 2.0 * (fit.log_likelihood - null.log_likelihood))
        error = abs(float(fit.b[-1])) / np.sqrt(ratio) if ratio > 0 else np.nan
        return [*lines, Line(name, "fitted", float(fit.b[-1]), float(error), float(neg_log_10_p_chi2(ratio, 1)))]

    def set_tests(self, weights: Float64Array, maf: Float64Array) -> list[Line]:
        """SKAT, SKAT-O and ACAT-V of the scores."""
        U, V = self.scores()
        one = np.ones(1)
        made = {"skat": law.skat(U[None], V, one, weights), "skato": law.skat_o(U[None], V, one, weights)}
        lines = [Line(name, "score", np.nan, np.nan, float(tested.neg_log_10_p[0])) for name, tested in made.items()]
        single = self.single()[2]
        return [*lines, Line("acatv", "score", np.nan, np.nan, float(acat(single, weights**2 * maf * (1.0 - maf))))]

    def single(self) -> tuple[Float64Array, Float64Array, Float64Array]:
        """beta, standard error and -log10 p (m,) of each variant by its score."""
        U, V = self.scores()
        variance = V.diagonal()
        with np.errstate(divide="ignore", invalid="ignore"):
            z = np.where(variance > 0, U / np.sqrt(variance), np.nan)
            return U / variance, variance**-0.5, np.where(np.isfinite(z), neg_log_10_p_z(np.nan_to_num(z)), np.nan)

    def left_out(self, weights: Float64Array) -> tuple[Float64Array, Float64Array]:
        """-log10 p (m,) of SKAT and of the burden (score) without each variant; NaN of a set of one."""
        U, V = self.scores()
        m, one = U.size, np.ones(1)
        skat, burden = np.full(m, np.nan), np.full(m, np.nan)
        for k in range(m if m > 1 else 0):
            at = np.delete(np.arange(m), k)
            part = U[None, at], V[np.ix_(at, at)], one, weights[at]
            skat[k] = law.skat(*part).neg_log_10_p[0]
            burden[k] = law.score_burden(*part).neg_log_10_p[0]
        return skat, burden
