"""Tests of a set from score statistics added over cohorts: fixed effects, so one effect in all of them."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from genassoc.models.sets import tests as law
from genassoc.models.sets.calibrated import LEAST_CARRIERS, LEAST_EVENTS
from genassoc.models.sets.choices import SetChoices
from genassoc.models.sets.columns import weight_of
from genassoc.shapes import Array, BoolArray, Float64Array
from genassoc.stats.cauchy import acat
from genassoc.stats.meta_analysis import Heterogeneity, heterogeneity
from genassoc.stats.tails import neg_log_10_p_z

_ONE = np.ones(1)
LEAST_EXPECTED = (
    5.0  # events, or samples without, among carriers under the null: below, the normal law of scores is not theirs
)
_SMALL = 1e-12  # of a variance of a sum, against that of the same scores if nothing cancelled: rounding


@dataclass(frozen=True)
class Pooled:
    """Score statistics of a set's variants, m of them, in K cohorts, of the allele that is rarer in all of them together.

    Attributes
    ----------
    U : float64 array (K, m)
    V : float64 array (K, m, m)
    mac, maf : float64 arrays (m,)
        Of all cohorts.
    n_carriers, event_carriers : float64 arrays (m,)
        NaN where a cohort with the variant does not tell.
    n : int
    n_events : int or None
        None where a cohort does not tell, or the trait has none.
    """

    U: Float64Array
    V: Float64Array
    mac: Float64Array
    maf: Float64Array
    n_carriers: Float64Array
    event_carriers: Float64Array
    n: int
    n_events: int | None

    def take(self, at: BoolArray) -> "Pooled":
        """Some of the variants."""
        return Pooled(
            self.U[:, at], self.V[:, at][:, :, at], self.mac[at], self.maf[at], self.n_carriers[at], self.event_carriers[at],
            self.n, self.n_events,
        )  # fmt: skip

    def together(self, rare: BoolArray, weights: Float64Array, choices: SetChoices) -> tuple["Pooled", Float64Array]:
        """Variants that are ``rare`` as one, the sum of their alleles, behind the others; and the weights of all.

        Genotypes are not there to say who carries two of them: where a run takes the most that a sample has of any, this adds up.
        """
        if np.count_nonzero(rare) < 2:
            return self, weights
        A = np.zeros((self.mac.size, np.count_nonzero(~rare) + 1))
        A[np.flatnonzero(~rare), np.arange(A.shape[1] - 1)] = 1.0
        A[rare, -1] = 1.0
        maf = np.append(self.maf[~rare], min(self.maf[rare].sum(), 1.0))
        of_sum = weights[rare].max() if choices.weighs_by_column else weight_of(maf[-1:], choices)[0]
        made = Pooled(
            self.U @ A,
            A.T @ self.V @ A,
            self.mac @ A,
            maf,
            self.n_carriers @ A,
            self.event_carriers @ A,
            self.n,
            self.n_events,
        )
        return made, np.append(weights[~rare], of_sum)


@dataclass(frozen=True)
class PooledTest:
    """One row: a test of a set, a mask and a bin.

    Attributes
    ----------
    test : str
    statistic, neg_log_10_p, beta, standard_error : float
        NaN where there is none.
    method, code : str or None
    """

    test: str
    statistic: float = np.nan
    neg_log_10_p: float = np.nan
    beta: float = np.nan
    standard_error: float = np.nan
    method: str | None = None
    code: str | None = None


def pooled_tests(pooled: Pooled, weights: Float64Array, choices: SetChoices, tests: Sequence[str]) -> list[PooledTest]:
    """Burden, SKAT, SKAT-O and ACAT-V of the sums over cohorts.

    Parameters
    ----------
    pooled : Pooled
        Of the variants of a mask and a bin.
    weights : float64 array (m,)
    choices : SetChoices
    tests : sequence of str
    """
    code = too_few(pooled)
    if code is not None:
        return [PooledTest(test, code=code) for test in tests]
    U, V = pooled.U.sum(axis=0), pooled.V.sum(axis=0)
    few, of_few = pooled.together(pooled.mac <= choices.collapse_below, weights, choices)
    U_few, V_few = few.U.sum(axis=0)[None], few.V.sum(axis=0)
    rows = []
    for test in tests:
        if test == "burden":
            rows.append(_row(test, law.score_burden(U[None], V, _ONE, weights)))
        elif test == "skat":
            rows.append(_row(test, law.skat(U_few, V_few, _ONE, of_few)))
        elif test == "skato":
            rows.append(_row(test, law.skat_o(U_few, V_few, _ONE, of_few)))
        else:
            p = acat(single_p(U_few[0], V_few), of_few**2 * few.maf * (1 - few.maf))
            rows.append(_made(test, np.nan, float(p), "cauchy"))
    return rows


def too_few(pooled: Pooled) -> str | None:
    """Why nothing is tested: the normal law of scores does not hold for so few."""
    carriers = pooled.n_carriers.sum() if np.isfinite(pooled.n_carriers).all() else pooled.mac.sum()
    if carriers < LEAST_CARRIERS:
        return "too_few_carriers"
    if pooled.n_events is None:
        return None
    if min(pooled.n_events, pooled.n - pooled.n_events) < LEAST_EVENTS:
        return "few_events"
    rarer = min(pooled.n_events, pooled.n - pooled.n_events) / max(pooled.n, 1)
    return "few_events" if carriers * rarer < LEAST_EXPECTED else None


def single_p(U: Float64Array, V: Float64Array) -> Float64Array:
    """-log10 p of each variant (m,) by its score; NaN where it has no variance."""
    variance = V.diagonal()
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.asarray(
            np.where(variance > 0, neg_log_10_p_z(np.where(variance > 0, U / np.sqrt(variance), 0.0)), np.nan)
        )


def _row(test: str, tested: "law.Tested") -> PooledTest:
    def of(values: Array | None) -> float:
        return np.nan if values is None else float(values[0])

    return _made(
        test,
        of(tested.statistic),
        of(tested.neg_log_10_p),
        str(tested.method[0]),
        of(tested.beta),
        of(tested.standard_error),
    )


def _made(
    test: str, statistic: float, p: float, method: str, beta: float = np.nan, standard_error: float = np.nan
) -> PooledTest:
    if np.isnan(p):
        return PooledTest(test, code="no_variance")
    return PooledTest(test, statistic, p, beta, standard_error, method)


@dataclass(frozen=True)
class CohortBurdens:
    """The burden in each cohort.

    Attributes
    ----------
    beta, standard_error : float64 arrays (K,)
        NaN where a cohort has no carrier.
    between : Heterogeneity
    """

    beta: Float64Array
    standard_error: Float64Array
    between: Heterogeneity

    @property
    def direction(self) -> str:
        """A sign a cohort: +, - or ?."""
        return "".join("?" if np.isnan(beta) else "+" if beta >= 0 else "-" for beta in self.beta)


def cohort_burdens(pooled: Pooled, weights: Float64Array) -> CohortBurdens:
    """The burden in each cohort by itself, and whether they differ."""
    score = pooled.U @ weights
    information = np.einsum("i,kij,j->k", weights, pooled.V, weights)
    most = np.einsum("i,kij,j->k", np.abs(weights), np.abs(pooled.V), np.abs(weights))
    information = np.where(information > _SMALL * most, information, 0.0)
    with np.errstate(divide="ignore", invalid="ignore"):
        beta = np.where(information > 0, score / information, np.nan)
        error = np.where(information > 0, 1.0 / np.sqrt(information), np.nan)
    return CohortBurdens(beta, error, heterogeneity(np.nan_to_num(beta), information))
