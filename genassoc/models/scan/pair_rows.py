"""Rows of an interaction in a model fitted by likelihood, being filled: K tests of one trait in V variants."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Self

import numpy as np

from genassoc.models.scan.genotypic import neg_log_10_p_chi2_2
from genassoc.models.scan.interaction import Terms, contrast_estimates
from genassoc.shapes import Array, BoolArray, Float64Array, Int64Array
from genassoc.stats.tails import Z_975, neg_log_10_p_z, z_from_neg_log_10_p


@dataclass(frozen=True)
class PairFit:
    """The maximum of a likelihood in the coefficients of g and g e: theta (D,), covariance (D, D), iterations."""

    theta: Float64Array
    covariance: Float64Array
    iterations: int


@dataclass(frozen=True)
class OneFit:
    """The estimates, and the objective at them."""

    pair: PairFit
    objective: float


# Objective at the maximum with columns H (n, D) of genotypes, coefficients from ``n_free`` on held at 0; None without one.
Objective = Callable[[Float64Array, int], float | None]


@dataclass
class PairRows:
    """Estimates with their tests, of the minor allele until `finished` turns them to ALT: arrays (V, K) or (V,)."""

    terms: Terms
    beta: Float64Array
    model_error: Float64Array
    error: Float64Array
    statistic: Float64Array
    iterations: Int64Array
    method: Array
    code: Array

    @classmethod
    def empty(cls, terms: Terms, V: int) -> Self:
        """Rows without an estimate."""
        beta, model_error, error, statistic = (np.full((V, len(terms.tests)), np.nan) for _ in range(4))
        iterations, method, code = np.zeros(V, np.int64), np.zeros(V, np.uint8), np.zeros(V, np.uint8)
        return cls(terms, beta, model_error, error, statistic, iterations, method, code)

    def put_wald(
        self, at: Int64Array, theta: Float64Array, covariance: Float64Array, iterations: Int64Array | int, method: int
    ) -> None:
        """Wald tests of coefficients (R, D) with covariances (R, D, D)."""
        beta, error = contrast_estimates(self.terms, theta, covariance)
        self.beta[at], self.model_error[at], self.error[at] = beta, error, error
        with np.errstate(invalid="ignore", divide="ignore"):
            self.statistic[at] = beta / error
            if self.terms.joint >= 0:
                b, d = theta[:, 0], theta[:, 1]
                v, c, u = covariance[:, 0, 0], covariance[:, 0, 1], covariance[:, 1, 1]
                self.statistic[at, self.terms.joint] = (u * b * b - 2 * c * b * d + v * d * d) / (v * u - c * c)
        self.iterations[at], self.method[at], self.code[at] = iterations, method, 0

    def put_ratio(self, v: int, fit: PairFit, gains: Float64Array, method: int) -> None:
        """Likelihood ratio tests of one variant: ``gains`` (K,) are twice the differences of log likelihood.

        Standard errors are those of the tests: ``|beta| / |z|``.
        """
        beta, error = contrast_estimates(self.terms, fit.theta, fit.covariance)
        z = np.copysign(np.sqrt(gains), beta)
        with np.errstate(invalid="ignore", divide="ignore"):
            own = np.where(z == 0.0, error, np.abs(beta) / np.abs(z))
        if self.terms.joint >= 0:
            z[self.terms.joint], own[self.terms.joint] = gains[self.terms.joint], np.nan
        self.beta[v], self.model_error[v], self.error[v], self.statistic[v] = beta, error, own, z
        self.iterations[v], self.method[v], self.code[v] = fit.iterations, method, 0

    def put_p(self, at: Int64Array, neg_log_10_p: Float64Array, method: int) -> None:
        """The p (R,) of another test of g alone, for estimates that are there; statistic and standard error follow it."""
        z, beta = z_from_neg_log_10_p(neg_log_10_p), self.beta[at, 0]
        with np.errstate(invalid="ignore", divide="ignore"):
            self.error[at, 0] = np.where(z == 0.0, self.model_error[at, 0], np.abs(beta) / z)
        self.statistic[at, 0], self.method[at] = np.copysign(z, beta), method

    def fail(self, at: Array | int, code: int) -> None:
        """No estimate, and why."""
        for values in (self.beta, self.model_error, self.error, self.statistic):
            values[at] = np.nan
        self.iterations[at], self.method[at], self.code[at] = 0, 0, code

    def neg_log_10_p(self) -> Float64Array:
        """-log10 p of every test (V, K)."""
        return self._tails(self.statistic)

    def neg_log_10_p_of(self, v: int) -> Float64Array:
        """Those of one variant, (1, K)."""
        return self._tails(self.statistic[v : v + 1])

    def _tails(self, statistic: Float64Array) -> Float64Array:
        logp = neg_log_10_p_z(statistic)
        if self.terms.joint >= 0:
            logp[:, self.terms.joint] = neg_log_10_p_chi2_2(statistic[:, self.terms.joint])
        return logp

    def half_intervals(self) -> Float64Array:
        """Half of the 95 % intervals (V, K)."""
        return np.asarray(Z_975 * self.error)

    def finished(self, flipped: BoolArray) -> dict[str, Array]:
        """Columns (V, K) of ALT."""
        K = len(self.terms.tests)
        sign = np.where(flipped, -1.0, 1.0)[:, None]
        beta, signed, half = self.beta * sign, self.statistic * sign, self.half_intervals()
        if self.terms.joint >= 0:
            signed[:, self.terms.joint] = self.statistic[:, self.terms.joint]
        return {
            "beta": beta,
            "standard_error": self.error,
            "standard_error_model": self.model_error,
            "ci_lower": beta - half,
            "ci_upper": beta + half,
            "statistic": signed,
            "neg_log_10_p_value": self.neg_log_10_p(),
            "iterations": np.repeat(self.iterations[:, None], K, axis=1),
            "method": np.repeat(self.method[:, None], K, axis=1),
            "code": np.repeat(self.code[:, None], K, axis=1),
        }


def rotations(terms: Terms) -> list[tuple[int, Float64Array]]:
    """For each test of one degree of freedom an orthonormal M (D, D): of ``H M``, the last coefficient is what it tests.

    Log determinants, and so Firth's penalty, are those of H.
    """
    found = []
    for k, contrast in enumerate(terms.contrasts):
        if k == terms.joint:
            continue
        last = contrast / np.sqrt(contrast @ contrast)
        M = last[:, None] if last.size == 1 else np.column_stack([[-last[1], last[0]], last])
        found.append((k, M))
    return found


def ratio_tests(objective: Objective, H: Float64Array, C: int, terms: Terms, fit: OneFit) -> Float64Array | None:
    """Twice the gains of (penalised) log likelihood over every test's null (K,); None where one has no maximum.

    H (n, D) are the columns of genotypes, after C of covariates; every null but that of "joint_2df" has one of them left.
    """
    D = H.shape[1]
    nulls = [(k, H @ M, C + D - 1) for k, M in rotations(terms)]
    if terms.joint >= 0:
        nulls.append((terms.joint, H, C))
    gains = np.full(len(terms.tests), np.nan)
    for k, columns, n_free in nulls:
        at_null = objective(columns, n_free)
        if at_null is None:
            return None
        gains[k] = max(0.0, 2.0 * (fit.objective - at_null))
    return gains
