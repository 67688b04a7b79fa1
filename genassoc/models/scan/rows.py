"""Rows of results being filled: estimates of the minor allele with their tests, until they are turned to ALT."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from genassoc.kernels.likelihoods import rows as kernel
from genassoc.kernels.likelihoods.rows import Fits
from genassoc.models.base import CODE, METHOD, BlockResult
from genassoc.models.scan.sums import GenotypeSums
from genassoc.shapes import Array, BoolArray, Float64Array, Int64Array
from genassoc.stats.tails import (
    Z_975,
    neg_log_10_p_chi2,
    neg_log_10_p_t,
    neg_log_10_p_z,
    t_quantile_975,
    z_from_neg_log_10_p,
)

CHUNK_BYTES = 2**24  # decoded calls held at once
_RATIOS = ("lrt", "lrt_f", "firth", "firth_approx")  # tests whose standard error is not that of the information
_ESTIMATES = (
    "beta", "error", "model_error", "statistic", "neg_log_10_p", "df", "lower", "upper", "dispersion", "trend",
)  # fmt: skip


@dataclass(kw_only=True)
class Rows:
    """Rows of V variants: arrays (V,) of one test, or (V, K) of K tests of a variant (or traits).

    Attributes
    ----------
    beta, error, model_error, statistic, neg_log_10_p : float64 arrays
        ``error`` is that of the test, ``model_error`` that of the information. A test of several coefficients has no beta and a statistic
        without a sign.
    df : float64 array
        Degrees of freedom of Student's t; NaN where the statistic is a z.
    lower, upper : float64 arrays
        An interval of the row's own (by a profile likelihood, or of an exact test), NaN where beta and its standard error make it.
    dispersion : float64 array
    trend : float64 array
        -log10 p of the model's own assumption on g (proportional odds or hazards), where it is tested.
    iterations : int64 array
    method, code : uint8 arrays
        Numbers in `genassoc.models.base.METHODS` and ``CODES``.
    """

    beta: Float64Array
    error: Float64Array
    model_error: Float64Array
    statistic: Float64Array
    neg_log_10_p: Float64Array
    df: Float64Array
    lower: Float64Array
    upper: Float64Array
    dispersion: Float64Array
    trend: Float64Array
    iterations: Int64Array
    method: Array
    code: Array

    @classmethod
    def empty(cls, *shape: int) -> "Rows":
        """Rows without an estimate, of shape (V,) or (V, K)."""
        floats = {name: np.full(shape, np.nan) for name in _ESTIMATES}
        method, code = np.zeros(shape, np.uint8), np.zeros(shape, np.uint8)
        return cls(**floats, iterations=np.zeros(shape, np.int64), method=method, code=code)

    def put(
        self,
        at: Int64Array | slice,
        method: str,
        beta: Float64Array,
        model_error: Float64Array,
        statistic: Float64Array,
        df: Float64Array | None = None,
    ) -> None:
        """Estimates of some variants with their test; z, or t with ``df`` degrees.

        The standard error of a likelihood ratio test is that of its statistic, ``|beta| / |z|``; else the model's, to the bit.
        """
        self.beta[at], self.model_error[at], self.statistic[at], self.error[at] = (
            beta,
            model_error,
            statistic,
            model_error,
        )
        if method in _RATIOS:
            with np.errstate(invalid="ignore", divide="ignore"):
                self.error[at] = np.where(statistic == 0.0, model_error, np.abs(beta) / np.abs(statistic))
        if df is None:
            self.neg_log_10_p[at], self.df[at] = neg_log_10_p_z(statistic), np.nan
        else:
            self.neg_log_10_p[at], self.df[at] = neg_log_10_p_t(statistic, df), df
        self.lower[at] = self.upper[at] = np.nan
        self.method[at], self.code[at] = METHOD[method], 0

    def put_joint(
        self, at: Int64Array | slice, k: int, method: str, statistic: Float64Array, neg_log_10_p: Float64Array
    ) -> None:
        """The test of several coefficients, the k-th of the variants' K."""
        self.beta[at, k] = self.error[at, k] = self.model_error[at, k] = np.nan
        self.statistic[at, k], self.neg_log_10_p[at, k], self.method[at, k] = statistic, neg_log_10_p, METHOD[method]

    def put_p(self, at: Int64Array, method: str, neg_log_10_p: Float64Array) -> None:
        """The p of another test for estimates that are there; the statistic and the standard error follow it."""
        size = z_from_neg_log_10_p(neg_log_10_p)
        self.statistic[at] = np.copysign(size, self.beta[at])
        with np.errstate(invalid="ignore", divide="ignore"):
            # an exact p of 1 is 1 but for rounding, and says nothing of the size of the error
            self.error[at] = np.where(size < 1e-12, self.model_error[at], np.abs(self.beta[at]) / size)
        self.neg_log_10_p[at], self.df[at] = neg_log_10_p, np.nan
        self.method[at] = METHOD[method]

    def put_fits(
        self, at: Int64Array, method: str, fits: Fits, codes: Mapping[int, str], *, student: bool = False, keep: bool = False
    ) -> None:  # fmt: skip
        """Rows that a kernel fitted one by one, and the codes of those that have no estimate.

        Parameters
        ----------
        at : int64 array (R,)
        method : str
        fits : Fits
        codes : mapping of int to str
            Of the kernel's statuses.
        student : bool
            Statistics are t with the degrees of freedom of the fit; else z.
        keep : bool
            A row whose fit failed stays as it was, with the code as a caution.
        """
        fine = fits.status == kernel.FINE
        self._put_some(at[fine], method, fits.numbers[fine], student)
        self.caution(at[fits.dropped & fine], "covariate_collinear")
        away = (fits.status == kernel.RUNAWAY) & ~np.isnan(fits.numbers[:, kernel.NEG_LOG_P])
        if away.any():
            # An infinite estimate has no Wald test, but a likelihood ratio.
            self._put_some(at[away], "exact" if method == "exact" else "lrt", fits.numbers[away], student)
            self.caution(at[away], codes[kernel.RUNAWAY])
        if fine.all():
            return
        for failed, code in codes.items():
            (self.caution if keep else self.fail)(at[(fits.status == failed) & ~away], code)

    def _put_some(self, at: Int64Array, method: str, numbers: Float64Array, student: bool) -> None:
        beta, error, statistic = (numbers[:, k] for k in (kernel.BETA, kernel.MODEL_SE, kernel.STATISTIC))
        self.put(at, method, beta, error, statistic, numbers[:, kernel.DF] if student else None)
        self.iterations[at] = numbers[:, kernel.ITERATIONS].astype(np.int64)
        self.dispersion[at] = numbers[:, kernel.DISPERSION]
        trend = numbers[:, kernel.TREND]
        self.trend[at] = trend if np.isnan(trend).all() else neg_log_10_p_chi2(trend, numbers[:, kernel.DF])
        self.bound(at, numbers[:, kernel.LOWER], numbers[:, kernel.UPPER])
        tested = ~np.isnan(numbers[:, kernel.NEG_LOG_P])
        if tested.any():
            # A sum of chances may be above 1 by rounding.
            self.put_p(at[tested], method, np.maximum(numbers[tested, kernel.NEG_LOG_P], 0.0) / np.log(10.0))
        worthless = ~(error > 0)
        if worthless.any():
            self.fail(at[worthless], "no_variance")

    def bound(self, at: Int64Array, lower: Float64Array, upper: Float64Array) -> None:
        """The interval of estimates that are there."""
        self.lower[at], self.upper[at] = lower, upper

    def fail(self, at: Array | int, code: str) -> None:
        """No estimate, and why."""
        for name in _ESTIMATES:
            getattr(self, name)[at] = np.nan
        self.iterations[at], self.method[at], self.code[at] = 0, 0, CODE[code]

    def caution(self, at: Array | int, code: str) -> None:
        """An estimate to take with care, and why."""
        self.code[at] = CODE[code]

    def fail_unusable(self, reasons: Iterable[tuple[BoolArray, str]], failure: str | None) -> BoolArray:
        """Rows without an estimate whatever is tested, the first reason that holds counting; the others (V,)."""
        usable = np.ones(self.beta.shape[0], dtype=bool)
        for bad, code in reasons:
            lost = bad & usable
            if lost.any():
                self.fail(lost, code)
                usable &= ~bad
        if failure is not None:
            self.fail(usable, failure)
            usable[:] = False
        return usable

    def finished(
        self,
        genotypes: GenotypeSums,
        flipped: BoolArray,
        n: int | Int64Array,
        impute: bool,
        without: tuple[str, ...] = (),
    ) -> dict[str, Array]:
        """Columns of the results, of ALT, in the shape of the rows; ``n`` samples (of each trait) have it, ``without`` leaves columns out."""
        shape = self.beta.shape

        def of_variants(values: Array) -> Array:
            """A column (V,), or one of each trait, for every test."""
            return np.broadcast_to(values if values.ndim == len(shape) else values[:, None], shape)

        minor = of_variants(flipped)
        sign = np.where(minor, -1.0, 1.0)
        beta = self.beta * sign
        half = (
            Z_975 if np.isnan(self.df).all() else np.where(np.isnan(self.df), Z_975, t_quantile_975(self.df))
        ) * self.error
        bounded = ~np.isnan(self.lower) & ~np.isnan(self.upper)
        columns = {
            "beta": beta,
            "standard_error": self.error,
            "standard_error_model": self.model_error,
            "ci_lower": np.where(bounded, np.where(minor, -self.upper, self.lower), beta - half),
            "ci_upper": np.where(bounded, np.where(minor, -self.lower, self.upper), beta + half),
            "statistic": np.where(np.isnan(self.beta), self.statistic, self.statistic * sign),
            "neg_log_10_p_value": self.neg_log_10_p,
            "effect_allele_frequency": of_variants(genotypes.frequency),
            "mac": of_variants(genotypes.mac),
            "missing_rate": of_variants(1.0 - genotypes.n / np.maximum(n, 1)),
            "n": np.broadcast_to(n, shape) if impute else of_variants(genotypes.n),
            "iterations": self.iterations,
            "method": self.method,
            "code": self.code,
        }
        return {name: values for name, values in columns.items() if name not in without}


def assembled(
    traits: tuple[str, ...], by_trait: Sequence[Mapping[str, Array]], tests: tuple[str, ...] = ("add",)
) -> BlockResult:
    """Rows trait by trait, K tests each, of each trait's columns (V,) or (V, K); a column (V,) is for all K."""
    T, K = len(by_trait), len(tests)
    columns: dict[str, Array] = {}
    for name, first in by_trait[0].items():
        if T == K == 1:
            columns[name] = first.reshape(-1, 1)
            continue
        joined = np.empty((first.shape[0], T, K), np.result_type(*(rows[name] for rows in by_trait)))
        for trait, rows in enumerate(by_trait):
            joined[:, trait] = rows[name] if rows[name].ndim == 2 else rows[name][:, None]
        columns[name] = joined.reshape(-1, T * K)
    return BlockResult(columns, {"trait": tuple(trait for trait in traits for _ in tests), "test": tests * len(traits)})


def unusable(genotypes: GenotypeSums, n_covariates: int, min_mac: float) -> list[tuple[BoolArray, str]]:
    """Rows that have no estimate whatever the outcome, and their codes; the first that holds counts."""
    return [
        (genotypes.n == 0, "n_too_small"),
        (genotypes.constant & (genotypes.mac > 0), "constant_genotype"),
        (genotypes.constant & (genotypes.mac == 0), "monomorphic"),
        (genotypes.n <= n_covariates, "n_too_small"),
        (genotypes.tested_mac < min_mac, "too_few_carriers"),
    ]


def chunks(n_rows: int, n_samples: int) -> list[tuple[int, int]]:
    """Pieces of rows whose dense calls take at most `CHUNK_BYTES`."""
    step = max(1, CHUNK_BYTES // (8 * max(n_samples, 1)))
    return [(first, min(first + step, n_rows)) for first in range(0, n_rows, step)]
