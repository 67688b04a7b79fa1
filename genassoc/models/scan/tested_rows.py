"""Rows of one binary or event trait being filled: estimates of the minor allele with a z, until they are turned to ALT."""

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import ClassVar, Self

import numpy as np

from genassoc.models.scan.sums import GenotypeSums
from genassoc.shapes import Array, BoolArray, Float64Array, Int64Array
from genassoc.stats.tails import Z_975, neg_log_10_p_z, z_from_neg_log_10_p

REFIT_ABOVE_MISSING = 0.01  # share of calls missing beyond which one Newton step of the null is not enough
REFIT_DIFFERENTIAL = 6.63  # chi-squared (p = 0.01) of missingness against the outcome
EXACT_BELOW_MAC = 10  # minor alleles below which rows are tested exactly: Firth exceeds its level (docs/calibration.md, docs/models/cox.md)
EXACT_BELOW_EXPECTED = 2.0  # minor alleles expected in the smaller group, or among the events, likewise
# Approximate Firth keeps the covariates' coefficients as the null has them. Where the estimate is beyond this log ratio and the minor
# allele is this frequent (copies a sample; of a binary trait in cases or in controls), they move, and the full model is fitted.
FULL_ABOVE_BETA = 1.0
FULL_ABOVE_COPIES = 0.1
# A row whose corrected p would be below ``correct_below`` has a score p below this many times that, by the minor alleles expected in the
# smaller group (or among the events) from which it holds: so are under 1e-4 of rows on the wrong side (docs/calibration.md).
MARGINS = ((50.0, 1.1), (10.0, 1.2), (EXACT_BELOW_EXPECTED, 1.8), (0.0, 6.0))


def trigger(correct_below: float, expected: Float64Array, tested_mac: Float64Array) -> Float64Array:
    """p of the first test below which a row is corrected (V,): wider where events or carriers are few."""
    factors = np.select([expected >= least for least, _ in MARGINS], [factor for _, factor in MARGINS], MARGINS[-1][1])
    factors[tested_mac < EXACT_BELOW_MAC] = MARGINS[-1][1]
    return np.minimum(correct_below * factors, 1.0)


class FailingRows:
    """Rows of which some have no estimate; ``beta`` (V,)."""

    beta: Float64Array

    def fail(self, rows: Array, code: str) -> None:
        """No estimate, and why."""
        raise TypeError(f"{type(self).__name__} do not say how a row fails")

    def fail_unusable(self, reasons: Iterable[tuple[BoolArray, str]], failure: str | None) -> BoolArray:
        """Rows without an estimate whatever is tested, the first reason that holds counting; the others (V,)."""
        usable = np.ones(self.beta.size, dtype=bool)
        for bad, code in reasons:
            self.fail(bad & usable, code)
            usable &= ~bad
        if failure is not None:
            self.fail(usable, failure)
            usable[:] = False
        return usable


@dataclass
class TestedRows(FailingRows):
    """V rows, arrays (V,); a model's own has its ``methods`` and ``codes``.

    ``lower`` and ``upper`` are an interval of their own (by a profile likelihood, or of an exact test), NaN where beta and its standard
    error make it.
    """

    methods: ClassVar[tuple[str | None, ...]]
    codes: ClassVar[tuple[str | None, ...]]

    beta: Float64Array
    error: Float64Array
    model_error: Float64Array
    z: Float64Array
    neg_log_10_p: Float64Array
    iterations: Int64Array
    method: Array
    code: Array
    lower: Float64Array = field(init=False)
    upper: Float64Array = field(init=False)

    def __post_init__(self) -> None:
        self.lower, self.upper = np.full(self.beta.size, np.nan), np.full(self.beta.size, np.nan)

    @classmethod
    def empty(cls, V: int) -> Self:
        """Rows without an estimate."""
        floats = (np.full(V, np.nan) for _ in range(5))
        return cls(*floats, *(np.zeros(V, dtype) for dtype in (np.int64, np.uint8, np.uint8)))

    def put(
        self, rows: Int64Array, method: str, beta: Float64Array, model_error: Float64Array, z: Float64Array
    ) -> None:
        """An estimate with its test; the standard error is that of the test: ``|beta| / |z|``."""
        self.beta[rows], self.model_error[rows], self.z[rows] = beta, model_error, z
        with np.errstate(invalid="ignore", divide="ignore"):
            self.error[rows] = np.where(z == 0.0, model_error, np.abs(beta) / np.abs(z))
        self.neg_log_10_p[rows] = neg_log_10_p_z(z)
        self.method[rows] = self.methods.index(method)
        self.code[rows] = 0
        self.lower[rows] = self.upper[rows] = np.nan

    def bound(self, rows: Int64Array, lower: Float64Array, upper: Float64Array) -> None:
        """The interval of estimates that are there."""
        self.lower[rows], self.upper[rows] = lower, upper

    def interval(self, error: Float64Array, flipped: BoolArray) -> dict[str, Float64Array]:
        """``ci_lower`` and ``ci_upper`` of ALT: the rows' own interval, elsewhere beta +- 1.96 standard errors."""
        beta = np.where(flipped, -self.beta, self.beta)
        lower, upper = beta - Z_975 * error, beta + Z_975 * error
        own = ~np.isnan(self.lower) & ~np.isnan(self.upper)
        lower[own] = np.where(flipped, -self.upper, self.lower)[own]
        upper[own] = np.where(flipped, -self.lower, self.upper)[own]
        return {"ci_lower": lower, "ci_upper": upper}

    def put_p(self, rows: Int64Array, method: str, neg_log_10_p: Float64Array) -> None:
        """The p of another test for estimates that are there; the standard error follows it."""
        size = z_from_neg_log_10_p(neg_log_10_p)
        self.z[rows] = np.copysign(size, self.beta[rows])
        with np.errstate(invalid="ignore", divide="ignore"):
            self.error[rows] = np.where(size == 0.0, self.model_error[rows], np.abs(self.beta[rows]) / size)
        self.neg_log_10_p[rows] = neg_log_10_p
        self.method[rows] = self.methods.index(method)

    def fail(self, rows: Array, code: str) -> None:
        """No estimate, and why."""
        for values in (self.beta, self.error, self.model_error, self.z, self.neg_log_10_p, self.lower, self.upper):
            values[rows] = np.nan
        self.iterations[rows] = 0
        self.method[rows] = 0
        self.code[rows] = self.codes.index(code)


TestedRows.__test__ = False  # type: ignore[attr-defined]  # its name is not a test's


def one_step_is_enough(own: GenotypeSums, n: int, n_marked: int, marked: Int64Array) -> BoolArray:
    """Where few calls are missing, as many in cases (or events) as elsewhere: one Newton step of the null corrects for them.

    ``n`` samples have the trait, ``n_marked`` of them are cases; ``marked`` (V,) are cases whose call is observed.
    """
    missing = n - own.n
    with np.errstate(invalid="ignore", divide="ignore"):
        share = missing / n
        expected = n_marked * share
        variance = expected * (1 - share) * (1 - n_marked / n)
        excess = n_marked - marked - expected
        differential = np.where((missing > 0) & (variance > 0), excess**2 / variance, 0.0)
    return np.asarray((share <= REFIT_ABOVE_MISSING) & (differential <= REFIT_DIFFERENTIAL))
