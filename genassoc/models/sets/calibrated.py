"""Set tests whose p holds where few events, or few carriers, make the score: exact laws, adjusted variances, and who is tested at all.

SKAT's Q refers to a mixture of chi-squared variables as if scores were normal. With 100 cases among 50,000 samples a variant of 20 carriers expects
0.04 cases among them: its score is a constant that jumps when one carrier is a case, and normal p are far too small. Here Q, the burden S and
SKAT-O have the law that they have if the outcomes of the carriers are drawn from the null model (`OutcomeLaw`), carrier by carrier, and the
columns' carriers are different samples: `genassoc.kernels.laws.set_law`. What that leaves out, samples that carry several columns and the
covariates that were fitted, acts through the covariance of the scores alone: an observed Q is moved to the Q that the mixture
without it gives the same p (`equal_quantile`), S is scaled. Both are exact where carriers differ, and where scores are normal.

Who is tested depends on genotypes, covariates and the number of events, never on which carriers have them.
"""

import math
from dataclasses import dataclass

import numpy as np
from scipy.special import chdtrc, chdtri

from genassoc.kernels.laws.set_law import BERNOULLI, NEGATIVE_BINOMIAL, POISSON, set_points, set_tails
from genassoc.shapes import Float64Array, Int64Array

LEAST_CARRIERS, LEAST_EVENTS = 10, 20
RHO = np.array([0.0, 0.01, 0.04, 0.09, 0.16, 0.25, 0.5, 1.0])
KINDS = {"bernoulli": BERNOULLI, "hazard": POISSON, "poisson": POISSON, "negative_binomial": NEGATIVE_BINOMIAL}
DOSE_STEP = 0.125  # of doses that are no whole numbers; they are rounded, and the score of what is rounded is tested
SIZES = (1024, 129, 192)  # cells of a grid: p of Q is right to 2 %, of SKAT-O within a factor of 1.5, above
JOINT_BELOW = 0.1  # SKAT-O: where p of Q and of S are both above it, Sidak's p of the two, which is near
SHARED = 0.05
RARE_EVENTS = 0.1  # a sample: with more, a residual is skewed by its own hazard, to the other side
MOST_WORK = 4e7  # products of the laws of a set's counts, some 50 ms
ADJUSTED_ABOVE = float(
    chdtri(1.0, 0.05)
)  # squares of normal scores over their variance from which this follows a calibrated p
LEAST_QUANTILE = float(chdtri(1.0, 0.5))  # of a calibrated p that is nearly 1
NEG_LOG_10_LEAST = 110.0  # laws are cut at 1e-120


@dataclass(frozen=True)
class OutcomeLaw:
    """The law of each sample's outcome under the null.

    Attributes
    ----------
    kind : str
        "bernoulli": residuals are ``y - mean``; "poisson": the same, of counts; "hazard": of times to an event, whose number of events is
        Poisson with the cumulative hazard as mean where events are rare (`RARE_EVENTS`), and has no law here elsewhere; "negative_binomial": of variance ``mean + alpha mean^2``.
    mean : float64 (N,)
        Of each sample.
    alpha : float64 (N,) or float
        Of negative binomial outcomes. An overdispersed Poisson model (variance phi mean) has ``(phi - 1) / mean``.
    slope : bool
        Residuals are ``(y - mean) / (1 + alpha mean)``, as the score of a negative binomial model is.
    """

    kind: str
    mean: Float64Array
    alpha: Float64Array | float = 0.0
    slope: bool = False


@dataclass(frozen=True)
class Columns:
    """The carriers of the m tested columns of a set (a collapsed one is one column), in compressed rows.

    Attributes
    ----------
    offsets : int64 (m + 1,)
        Where each column's carriers start.
    samples : int64 (n,)
        Rows of `OutcomeLaw.mean`, ascending in each column.
    doses : float64 or integer (n,)
        Of the minor allele, above 0.
    """

    offsets: Int64Array
    samples: Int64Array
    doses: Float64Array


@dataclass(frozen=True)
class RareTests:
    """-log10 p of SKAT, SKAT-O and the weighted sum of one set and trait; NaN where the counts are too large for exact laws.

    ``shared`` is the share of carriers that carry another column as well, of other carriers. Above `SHARED` the law, which takes columns as
    independent, is not enough: the larger p of this and of the mixture with `variance_factors` holds.
    """

    skat: float
    skat_o: float
    burden: float
    method: str = "exact_set"
    shared: float = 0.0


def code_of_sets(n_carriers: int, n_events: int, n_controls: int | None = None) -> str:
    """Why a set has no SKAT, SKAT-O or ACAT-V, by its margins; "" if it has. The exact burden is tested all the same."""
    if n_carriers < LEAST_CARRIERS:
        return "too_few_carriers"
    return "few_events" if min(n_events, n_events if n_controls is None else n_controls) < LEAST_EVENTS else ""


def satterthwaite(eigenvalues: Float64Array) -> tuple[float, float]:
    """Scale and degrees of freedom of the chi-squared variable with the mean and the variance of the mixture."""
    first, second = float(eigenvalues.sum()), float((eigenvalues**2).sum())
    return second / first, first * first / second


def equal_quantile(q: float, of: Float64Array, to: Float64Array) -> float:
    """The value that the mixture ``to`` gives the p that the mixture ``of`` (eigenvalues, both) gives ``q``."""
    of, to = of[of > 0.0], to[to > 0.0]
    if not of.size or not to.size:
        return q
    (a, k), (b, h) = satterthwaite(of), satterthwaite(to)
    p = float(chdtrc(k, q / a))
    if p < 1e-280:  # there all that differs is the scale of the largest term
        return q * float(to.max() / of.max())
    return b * float(chdtri(h, p))


def _work(columns: Columns, mean: Float64Array, kind: str) -> float:
    """Products that the laws of the columns' counts take."""
    n = np.diff(columns.offsets)
    total = np.add.reduceat(np.append(mean[columns.samples], 0.0), columns.offsets[:-1]) * (n > 0)
    width = np.minimum(n, 60.0 + total + 45.0 * np.sqrt(total))
    if kind == "negative_binomial":
        width = width * 4.0
    return float((n * width).sum())


def rare_tests(
    U: Float64Array,
    V: Float64Array,
    weights: Float64Array,
    columns: Columns,
    law: OutcomeLaw,
    *,
    skat_o: bool = True,
    joint_below: float = JOINT_BELOW,
    coarse_above: float = 1.0,
) -> RareTests:
    """-log10 p of a set by the exact law of its statistics.

    Parameters
    ----------
    U, V : float64 (m,), (m, m)
        Scores and their covariance, covariates eliminated.
    weights : float64 (m,)
        Of columns.
    columns : Columns
        Their carriers.
    law : OutcomeLaw
        Of the outcomes.
    skat_o : bool
        Whether SKAT-O is wanted, which costs more where p is below ``joint_below``.
    joint_below, coarse_above : float
        As `genassoc.kernels.laws.set_law.set_tails` takes them: other values are for simulations that count small p.
    """
    nothing = RareTests(math.nan, math.nan, math.nan, "")
    if law.kind == "hazard" and float(law.mean.sum()) > RARE_EVENTS * np.count_nonzero(law.mean):
        return nothing
    if not weights.size or _work(columns, law.mean, law.kind) > MOST_WORK:
        return nothing
    doses = np.asarray(columns.doses, dtype=np.float64)
    step = 1.0 if np.all(doses == np.rint(doses)) else DOSE_STEP
    alpha = np.broadcast_to(np.asarray(law.alpha, dtype=np.float64), law.mean.shape)
    first, u, u2, chance, unit, moments = set_points(
        KINDS[law.kind],
        law.mean,
        np.ascontiguousarray(alpha),
        (columns.offsets, columns.samples, np.rint(doses / step).astype(np.int64)),
        step,
        weights,
    )
    expected, variance, w1, w2 = moments.T
    wanted = (weights[:, None] * V) * weights
    spread, independent = float(wanted.sum()), float((w1 * w1 * variance).sum())
    if not spread > 0.0 or not independent > 0.0:
        return nothing
    if not law.slope:
        # The observed counts, without what missing calls and rounded doses add to scores: what ties with them is as extreme.
        U = step * np.rint((U + expected[unit]) / step) - expected[unit]
    S, Q = abs(float(weights @ U)), float(((weights * U) ** 2).sum())
    one = step * float(np.sqrt(w2.min()))  # what an event of one copy adds, at least
    eigenvalues = np.asarray(np.linalg.eigvalsh(wanted), dtype=np.float64)
    s = _moved(S, S * math.sqrt(independent / spread), one)
    q = _moved(math.sqrt(Q), math.sqrt(equal_quantile(Q, eigenvalues, w2 * variance)), one) ** 2
    p_q, p_s, p_o = set_tails(
        first, (u, u2, chance), s, q, RHO if skat_o else RHO[:0], SIZES, joint_below, coarse_above
    )
    return RareTests(_neg_log_10(p_q), _neg_log_10(p_o), _neg_log_10(p_s), shared=share_of_several(columns, unit))


def share_of_several(columns: Columns, unit: Int64Array) -> float:
    """The share of carriers that carry columns of several units."""
    one = np.unique(unit, return_index=True)[1]
    carriers = np.concatenate([columns.samples[columns.offsets[j] : columns.offsets[j + 1]] for j in one])
    _, times = np.unique(carriers, return_counts=True)
    return float(times[times > 1].sum() / max(carriers.size, 1))


def _moved(observed: float, to: float, one: float) -> float:
    """Where an observed value moves; outwards by less than asked, by one event, so that outcomes that tie with it stay as extreme."""
    return min(to, max(observed, to - one))


def _neg_log_10(p: float) -> float:
    if math.isnan(p):
        return math.nan
    return min(max(-math.log10(p), 0.0), NEG_LOG_10_LEAST) if p > 0.0 else NEG_LOG_10_LEAST


def variance_factors(
    U: Float64Array, V: Float64Array, single: Float64Array, burden: float, weights: Float64Array
) -> Float64Array:
    """A covariance that agrees with calibrated p of single columns and of their sum, for laws that take scores as normal.

    A column's variance becomes ``U^2 / x``, of x the chi-squared quantile of its calibrated p, but no less than V's; correlations stay. Where
    normal scores have a p of 0.05 or more nothing changes: x is near 0 there, and so is U. Then all is multiplied, by 1 at least, so that the
    weighted sum of the scores has the p of the calibrated burden (SAIGE-GENE+; Zhou et al. 2022).

    Parameters
    ----------
    U, V : float64 (m,), (m, m)
        Scores and covariance.
    single : float64 (m,)
        Calibrated -log10 p of each column; NaN where there is none: its variance stays.
    burden : float
        Calibrated -log10 p of the weighted sum, or NaN.
    weights : float64 (m,)
        Of columns.
    """
    variance = np.diag(V).copy()
    x = np.maximum(_chi_squared(single), LEAST_QUANTILE)
    with np.errstate(divide="ignore", invalid="ignore"):
        asked = np.where(np.isfinite(x) & (ADJUSTED_ABOVE * variance < U * U), U * U / x, variance)
        factor = np.sqrt(np.where(variance > 0.0, np.maximum(asked, variance) / variance, 1.0))
    adjusted = factor[:, None] * V * factor
    spread, square = float(weights @ adjusted @ weights), float(weights @ U) ** 2
    if not math.isnan(burden) and spread > 0.0 and square > ADJUSTED_ABOVE * spread:
        x_burden = max(float(_chi_squared(np.array([burden]))[0]), LEAST_QUANTILE)
        adjusted = adjusted * max(1.0, square / x_burden / spread)
    return adjusted


def score_factors(
    U: Float64Array, V: Float64Array, single: Float64Array, burden: float, weights: Float64Array
) -> Float64Array:
    """The roots (m,) of the variances of `variance_factors` over those of V, at least 1; 1 where a column has no variance."""
    with np.errstate(divide="ignore", invalid="ignore"):
        ratio = np.diag(variance_factors(U, V, single, burden, weights)) / np.diag(V)
    return np.where(np.isfinite(ratio) & (ratio > 1.0), np.sqrt(ratio), 1.0)


def _chi_squared(neg_log_10_p: Float64Array) -> Float64Array:
    """Quantiles of one degree of freedom. Below 1e-280: the tail's leading terms, x + ln x + 2 / x = -2 ln p - ln(pi / 2), solved."""
    shallow = np.minimum(np.nan_to_num(neg_log_10_p, nan=0.0), 280.0)
    x = chdtri(1.0, 10.0**-shallow)
    deep = neg_log_10_p > 280.0
    if np.any(deep):
        aim = 2.0 * math.log(10.0) * neg_log_10_p[deep] - math.log(math.pi / 2.0)
        y = aim.copy()
        for _ in range(20):
            y = aim - np.log(y) - 2.0 / y
        x[deep] = y
    return np.where(np.isnan(neg_log_10_p), np.nan, x)
