"""Survival curves and cumulative incidence, with their variances: for reports on a variant, not for testing."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from genassoc.shapes import Float64Array, Int64Array
from genassoc.stats.tails import Z_975, neg_log_10_p_chi2


@dataclass(frozen=True)
class Curve:
    """A step function of time, right-continuous: what holds from ``time[k]`` until before ``time[k + 1]``.

    Attributes
    ----------
    time : float64 array (K,)
        Distinct event times, upwards.
    at_risk, events : int64 arrays (K,)
        Samples at risk just before each, and events at it (of the cause of interest).
    estimate, variance : float64 arrays (K,)
    lower, upper : float64 arrays (K,)
        95 % confidence limits, on the scale of log(-log): within 0 and 1.
    """

    time: Float64Array
    at_risk: Int64Array
    events: Int64Array
    estimate: Float64Array
    variance: Float64Array
    lower: Float64Array
    upper: Float64Array


def kaplan_meier(time: ArrayLike, event: ArrayLike, entry: ArrayLike | None = None) -> Curve:
    """Share without the event: ``S(t) = prod_(s <= t) (1 - d_s / Y_s)`` (Kaplan & Meier 1958), variance by Greenwood (1926).

    Parameters
    ----------
    time, event : arrays (n,)
        Times, and whether the event happened then (else censored).
    entry : array (n,), optional
        Late entry: at risk at t if ``entry < t <= time``.

    Raises
    ------
    ValueError
        Times are not of the same length, or not after their entry.
    """
    t, Y, d, _ = _counts(time, np.asarray(event).astype(bool), None, entry)
    survival = np.asarray(np.cumprod(1.0 - d / Y), dtype=np.float64)
    with np.errstate(divide="ignore", invalid="ignore"):
        greenwood = np.cumsum(d / (Y * (Y - d)))
        variance = np.asarray(np.where(survival > 0, survival**2 * greenwood, 0.0), dtype=np.float64)
    return Curve(t, Y, d, survival, variance, *_limits(survival, variance))


@dataclass(frozen=True)
class LogRank:
    """A log-rank test: chi-squared, its degrees of freedom, -log10 p; 0 degrees and NaN where no event can be compared."""

    chi2: float
    df: int
    neg_log_10_p: float


def log_rank(time: ArrayLike, event: ArrayLike, group: ArrayLike, entry: ArrayLike | None = None) -> LogRank:
    """Whether the hazards of groups differ: observed less expected events, over their hypergeometric variance (Mantel 1966; Peto & Peto 1972).

    Parameters
    ----------
    time, event : arrays (n,)
        As `kaplan_meier`.
    group : array (n,)
        Any values.
    entry : array (n,), optional
    """
    happened = np.asarray(event).astype(bool)
    names, which = np.unique(np.asarray(group), return_inverse=True)
    times = np.asarray(time, dtype=np.float64)
    start = np.full(times.size, -np.inf) if entry is None else np.asarray(entry, dtype=np.float64)
    at = np.unique(times[happened])
    Y, d = (np.zeros((names.size, at.size)) for _ in range(2))
    for k in range(names.size):
        own = which == k
        left = np.searchsorted(np.sort(times[own]), at, side="left")
        late = np.searchsorted(np.sort(start[own]), at, side="left")
        Y[k] = late - left
        ended = np.sort(times[own & happened])
        d[k] = np.searchsorted(ended, at, side="right") - np.searchsorted(ended, at, side="left")
    n, events = Y.sum(axis=0), d.sum(axis=0)
    share = Y / n
    factor = events * (n - events) / np.maximum(n - 1.0, 1.0)
    difference = (d - events * share).sum(axis=1)
    V = np.diag((share * factor).sum(axis=1)) - (share * factor) @ share.T
    compared = (Y[:, (n > Y.max(axis=0))] > 0).any(axis=1)  # at risk at an event together with another group
    df = int(np.linalg.matrix_rank(V)) if compared.any() else 0
    if df < 1:
        return LogRank(float("nan"), 0, float("nan"))
    chi2 = float(difference @ np.linalg.pinv(V, hermitian=True) @ difference)
    return LogRank(chi2, df, float(neg_log_10_p_chi2(chi2, df)))


def cumulative_incidence(
    time: ArrayLike, cause: ArrayLike, of: object = 1, censored: object = 0, entry: ArrayLike | None = None
) -> Curve:
    """Share that had one cause of event by t, others competing: ``F(t) = sum_(s <= t) S(s-) d_s / Y_s`` (Aalen & Johansen 1978).

    The variance is Aalen's, by the delta method (Marubini & Valsecchi 1995, eq. 10.12). One minus Kaplan-Meier, which
    takes competing events for censoring, is larger.

    Parameters
    ----------
    time, cause : arrays (n,)
        Times, and what happened then.
    of, censored : object
        The cause of interest, and the value that means censoring.
    entry : array (n,), optional

    Raises
    ------
    ValueError
        As `kaplan_meier`; or nobody has the cause.
    """
    causes = np.asarray(cause)
    own = causes == of
    if not own.any():
        raise ValueError(f"no event has the cause {of!r}")
    t, Y, d, d1 = _counts(time, causes != censored, own, entry)
    before = np.concatenate([[1.0], np.cumprod(1.0 - d / Y)[:-1]])
    F = np.cumsum(before * d1 / Y)
    with np.errstate(divide="ignore", invalid="ignore"):
        a = np.where(d < Y, d / (Y * (Y - d)), 0.0)
    b, c = before**2 * d1 * (Y - d1) / Y**3, before * d1 / Y**2
    # sum_s (F_t - F_s)^2 a_s + b_s - 2 (F_t - F_s) c_s, its square multiplied out
    variance = F**2 * np.cumsum(a) - 2 * F * np.cumsum(F * a) + np.cumsum(F**2 * a)
    variance = np.maximum(variance + np.cumsum(b) - 2 * (F * np.cumsum(c) - np.cumsum(F * c)), 0.0)
    return Curve(t, Y, d1, F, variance, *_limits(F, variance))


def _counts(
    time: ArrayLike, event: Float64Array, own: Float64Array | None, entry: ArrayLike | None
) -> tuple[Float64Array, Int64Array, Int64Array, Int64Array]:
    """Distinct event times, samples at risk, all events and those of the own cause at each."""
    times = np.asarray(time, dtype=np.float64)
    start = np.full(times.size, -np.inf) if entry is None else np.asarray(entry, dtype=np.float64)
    if not times.shape == np.shape(event) == start.shape:
        raise ValueError(
            f"times {times.shape}, events {np.shape(event)} and entries {start.shape} are not of one length"
        )
    if np.isnan(times).any() or not (start < times).all():
        raise ValueError("every time is a number after its entry; leave the other samples out")
    at = np.unique(times[event])
    n_left = times.size - np.searchsorted(np.sort(times), at, side="left")
    n_late = times.size - np.searchsorted(np.sort(start), at, side="left")
    counted = []
    for kind in (event, event if own is None else own):
        ordered = np.sort(times[kind])
        counted.append(np.searchsorted(ordered, at, side="right") - np.searchsorted(ordered, at, side="left"))
    return at, n_left - n_late, counted[0], counted[1]


def _limits(estimate: Float64Array, variance: Float64Array) -> tuple[Float64Array, Float64Array]:
    """95 % limits by ``log(-log)``; the estimate itself where it is 0 or 1."""
    with np.errstate(divide="ignore", invalid="ignore"):
        log = np.log(estimate)
        half = Z_975 * np.sqrt(variance) / np.abs(estimate * log)
        low, high = estimate ** np.exp(half), estimate ** np.exp(-half)
    inside = (estimate > 0) & (estimate < 1)
    return np.where(inside, low, estimate), np.where(inside, high, estimate)
