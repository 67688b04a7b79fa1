"""Rows of one trait being filled: estimates of the minor allele with their tests, until they are turned to ALT."""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from genassoc.kernels.likelihoods import rows as kernel
from genassoc.models.scan.sums import GenotypeSums
from genassoc.models.scan.tested_rows import FailingRows
from genassoc.shapes import Array, BoolArray, Float64Array, Int64Array
from genassoc.stats.tails import Z_975, neg_log_10_p_t, neg_log_10_p_z, t_quantile_975, z_from_neg_log_10_p

METHODS: tuple[str | None, ...] = (
    None, "score", "score_approx", "wald", "lrt", "spa", "t_hc3", "t_hc0", "wald_hc3", "wald_hc0", "wald_robust",
    "exact",
)  # fmt: skip
CODES: tuple[str | None, ...] = (
    None,
    "monomorphic",
    "constant_genotype",
    "n_too_small",
    "too_few_carriers",
    "collinear",
    "not_converged",
    "null_not_converged",
    "one_outcome",
    "no_variance",
    "covariate_collinear",
    "separated",
    "refit_not_converged",
    "skewed_score",
    "tail_failed",
    "leverage_of_one",
    "no_events",
    "too_few_events",
    "no_carrier_events",
    "few_events",
    "heavy_tails",
)
CHUNK_BYTES = 2**24  # decoded calls held at once


@dataclass
class Rows(FailingRows):
    """V rows; arrays (V,), ``quantile`` times the standard error is half the 95 % interval.

    ``trend`` is -log10 p of the model's own assumption on g (proportional odds), where a row was fitted and it is tested.
    """

    beta: Float64Array
    error: Float64Array
    model_error: Float64Array
    statistic: Float64Array
    neg_log_10_p: Float64Array
    quantile: Float64Array
    dispersion: Float64Array
    trend: Float64Array
    iterations: Int64Array
    method: Array
    code: Array

    @classmethod
    def empty(cls, n_variants: int) -> "Rows":
        """Rows without an estimate."""
        floats = (np.full(n_variants, np.nan) for _ in range(8))
        return cls(*floats, *(np.zeros(n_variants, dtype) for dtype in (np.int64, np.uint8, np.uint8)))

    def put(
        self,
        at: Int64Array,
        method: str,
        beta: Float64Array,
        model_error: Float64Array,
        statistic: Float64Array,
        df: Float64Array | None = None,
    ) -> None:
        """Estimates with their test; z, or t with ``df`` degrees. The standard error is the test's: ``|beta| / |z|``."""
        self.beta[at], self.model_error[at], self.statistic[at] = beta, model_error, statistic
        with np.errstate(invalid="ignore", divide="ignore"):
            own = np.where(statistic == 0.0, model_error, np.abs(beta) / np.abs(statistic))
        # A Wald or score statistic is beta over the model's error already: keep its bits.
        self.error[at] = own if method == "lrt" else model_error
        if df is None:
            self.neg_log_10_p[at], self.quantile[at] = neg_log_10_p_z(statistic), Z_975
        else:
            self.neg_log_10_p[at], self.quantile[at] = neg_log_10_p_t(statistic, df), t_quantile_975(df)
        self.method[at], self.code[at] = METHODS.index(method), 0

    def put_p(self, at: Int64Array, method: str, neg_log_10_p: Float64Array) -> None:
        """The p of another test for estimates that are there; the statistic and the standard error follow it."""
        size = z_from_neg_log_10_p(neg_log_10_p)
        self.statistic[at] = np.copysign(size, self.beta[at])
        with np.errstate(invalid="ignore", divide="ignore"):
            self.error[at] = np.where(size == 0.0, self.model_error[at], np.abs(self.beta[at]) / size)
        self.neg_log_10_p[at], self.quantile[at] = neg_log_10_p, Z_975
        self.method[at] = METHODS.index(method)

    def put_wald(
        self,
        at: Int64Array,
        numbers: Float64Array,
        status: Int64Array,
        dropped: BoolArray,
        method: str,
        failures: Mapping[int, str],
        student: bool = True,
    ) -> None:
        """Rows that a kernel fitted one by one (see `genassoc.kernels.likelihoods.rows`), and the codes of those that have no estimate."""
        fine = status == kernel.FINE
        found, done = numbers[fine], at[fine]
        beta, error, ratio = (found[:, k] for k in (kernel.BETA, kernel.MODEL_SE, kernel.STATISTIC))
        self.put(done, method, beta, error, ratio, found[:, kernel.DF] if student else None)
        self.iterations[done] = found[:, kernel.ITERATIONS].astype(np.int64)
        self.caution(at[dropped & fine], "covariate_collinear")
        self.fail(done[~(error > 0)], "no_variance")
        for failed, code in failures.items():
            self.fail(at[status == failed], code)

    def fail(self, at: Array, code: str) -> None:
        """No estimate, and why."""
        floats = (
            self.beta,
            self.error,
            self.model_error,
            self.statistic,
            self.neg_log_10_p,
            self.dispersion,
            self.trend,
        )
        for values in floats:
            values[at] = np.nan
        self.iterations[at], self.method[at], self.code[at] = 0, 0, CODES.index(code)

    def caution(self, at: Array, code: str) -> None:
        """An estimate to take with care, and why."""
        self.code[at] = CODES.index(code)

    def finished(self, own: GenotypeSums, flipped: BoolArray, n: int, impute: bool) -> dict[str, Array]:
        """Columns of the results, of ALT; ``n`` samples have the trait."""
        sign = np.where(flipped, -1.0, 1.0)
        beta = self.beta * sign
        return {
            "beta": beta,
            "standard_error": self.error,
            "standard_error_model": self.model_error,
            "ci_lower": beta - self.quantile * self.error,
            "ci_upper": beta + self.quantile * self.error,
            "statistic": self.statistic * sign,
            "neg_log_10_p_value": self.neg_log_10_p,
            "effect_allele_frequency": own.frequency,
            "mac": own.mac,
            "missing_rate": 1.0 - own.n / max(n, 1),
            "n": np.full(own.n.size, n) if impute else own.n,
            "iterations": self.iterations,
            "method": self.method,
            "code": self.code,
        }


def unusable(own: GenotypeSums, n_covariates: int, min_mac: float) -> list[tuple[BoolArray, str]]:
    """Rows that have no estimate whatever the outcome, and their codes; the first that holds counts."""
    return [
        (own.n == 0, "n_too_small"),
        (own.constant & (own.mac > 0), "constant_genotype"),
        (own.constant & (own.mac == 0), "monomorphic"),
        (own.n <= n_covariates, "n_too_small"),
        (own.tested_mac < min_mac, "too_few_carriers"),
    ]


def chunks(n_rows: int, n_samples: int) -> list[tuple[int, int]]:
    """Pieces of rows whose dense calls take at most `CHUNK_BYTES`."""
    step = max(1, CHUNK_BYTES // (8 * max(n_samples, 1)))
    return [(first, min(first + step, n_rows)) for first in range(0, n_rows, step)]
