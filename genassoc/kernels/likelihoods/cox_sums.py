"""Sums over the risk sets of Cox's partial likelihood: its value, gradient and information in one scan.

Samples at risk at an event time t are those with ``entry < t <= time`` of the event's stratum. The distinct event times
of all strata are numbered 0 to K - 1, stratum by stratum and upwards within one, so that every sample is at risk in one
run ``first <= k < last`` of them, and sums over risk sets are running sums. With m deaths tied at a time, Efron's
likelihood (1977) has m terms, in the l-th of which (l = 0 .. m - 1) the tied deaths count ``1 - l / m``; Breslow's has
m times the term l = 0 ::

    log L = sum_deaths eta_i - sum_kl log den_kl        den_kl = sum_i a_ikl exp(eta_i)        p_ikl = a_ikl exp(eta_i) / den_kl
    U     = sum_deaths x_i - sum_kl mean_kl             mean_kl = sum_i p_ikl x_i
    J     = sum_i c_i x_i x_i' - sum_kl mean_kl mean_kl'           c_i = sum_kl p_ikl, the events expected of sample i

Running sums take a sample's row of covariates at a time, padded to whole vectors; the information and the gradient
``sum_i (event_i - c_i) x_i`` take tiles of 128 samples (and of 128 terms) column by column, as `logistic_tiles` does.
"""

import math
from typing import NamedTuple

import numpy as np

from genassoc.kernels import jit
from genassoc.kernels.lanes.arranged import Covariates, arranged, vectors
from genassoc.kernels.lanes.copies import put
from genassoc.kernels.lanes.tiles import collect, combine, tile_width
from genassoc.kernels.lanes.vector import DOUBLES, add_scaled
from genassoc.kernels.lanes.vector64 import TILE
from genassoc.kernels.likelihoods.bernoulli import exp_minus_abs
from genassoc.kernels.likelihoods.logistic_tiles import add_tile, sums_size
from genassoc.shapes import BoolArray, Float64Array, Int64Array

# Sums of the risk sets are multiplied before the logarithm is taken, as long as the product is between these.
LEAST_PRODUCT, MOST_PRODUCT = 1e-150, 1e150


class RiskSets(NamedTuple):
    """Who is at risk when.

    Attributes
    ----------
    event : bool array (n,)
        Samples that have the event; it is the last one they are at risk of, ``last - 1``.
    first, last : int64 arrays (n,)
        The run of event times at which each sample is at risk; empty where it is at risk at none.
    ends : bool array (K,)
        Event times that are the last of their stratum.
    efron : bool
        Efron's ties, else Breslow's.
    """

    event: BoolArray
    first: Int64Array
    last: Int64Array
    ends: BoolArray
    efron: bool


class RiskSums(NamedTuple):
    """Sums over the risk sets at one estimate.

    Attributes
    ----------
    s0, d0 : float64 arrays (K,)
        Sum of exp(eta) over the risk set, and over the deaths at that time.
    s1, d1 : float64 arrays (K * W,)
        The same of exp(eta) x, W being P padded to vectors.
    deaths : int64 array (K,)
    hazard : float64 array (K + 1,)
        Sum over the times before of ``sum_l 1 / den_kl``.
    tied : float64 array (K,)
        ``sum_l (l / m) / den_kl``, what the deaths at that time are spared.
    means : float64 array (E * W,)
        Mean of x in each term, in the order of k and l.
    w, expected : float64 arrays (n,)
        exp(eta) up to a factor, and c.
    """

    s0: Float64Array
    d0: Float64Array
    s1: Float64Array
    d1: Float64Array
    deaths: Int64Array
    hazard: Float64Array
    tied: Float64Array
    means: Float64Array
    w: Float64Array
    expected: Float64Array


@jit
def risk_sums(sets: RiskSets, P: int) -> RiskSums:
    """Room for the sums of P covariates."""
    n, K, W = sets.first.size, sets.ends.size, vectors(P)
    return RiskSums(
        np.empty(K), np.empty(K), np.empty(K * W), np.empty(K * W), np.empty(K, np.int64), np.empty(K + 1),
        np.empty(K), np.empty(sets.event.sum() * W), np.empty(n), np.empty(n),
    )  # fmt: skip


@jit
def suffix_sums(values: Float64Array, ends: BoolArray) -> None:
    """Running sums of values (K, P) from each stratum's last event time backwards, in place."""
    K, P = values.shape
    for k in range(K - 2, -1, -1):
        if not ends[k]:
            for j in range(P):
                values[k, j] += values[k + 1, j]


@jit
def _exponentials(X: Covariates, offset: Float64Array, beta: Float64Array, sets: RiskSets, w: Float64Array) -> float:
    """Fills w with ``exp(eta - largest)`` of who is at risk, 0 of others; the sum of the deaths' ``eta - largest``."""
    n, width = w.size, tile_width(beta.size)
    factors, eta = np.zeros(width), np.empty(TILE)
    put(factors, 0, beta)
    largest = -np.inf
    for start in range(0, n, TILE):
        size = min(TILE, n - start)
        put(eta, 0, offset[start : start + size])
        combine(X.tiles, start * width, factors, 0, width, eta)
        for i in range(size):
            w[start + i] = eta[i]
            if sets.last[start + i] > sets.first[start + i]:
                largest = max(largest, eta[i])
    total = 0.0
    scaled, x = np.empty(TILE), np.empty(TILE)
    for start in range(0, n, TILE):
        size = min(TILE, n - start)
        for i in range(size):
            eta[i] = w[start + i] - largest
            if sets.event[start + i]:
                total += eta[i]
        # Nobody at risk is above the largest: minus the absolute value is the value.
        exp_minus_abs(eta, scaled, x, size)
        for i in range(size):
            w[start + i] = x[i] if sets.last[start + i] > sets.first[start + i] else 0.0
    return total


@jit
def gather(rows: Float64Array, W: int, sets: RiskSets, sums: RiskSums) -> None:
    """Fill s0, s1, d0, d1 and deaths of w."""
    s0, d0, s1, d1, w = sums.s0, sums.d0, sums.s1, sums.d1, sums.w
    s0[:] = 0.0
    d0[:] = 0.0
    s1[:] = 0.0
    d1[:] = 0.0
    sums.deaths[:] = 0
    for i in range(w.size):
        if sets.last[i] <= sets.first[i]:
            continue
        k, before, x = sets.last[i] - 1, sets.first[i] - 1, w[i]
        s0[k] += x
        for c in range(0, W, DOUBLES):
            add_scaled(s1, k * W + c, rows, i * W + c, x)
        if sets.event[i]:
            sums.deaths[k] += 1
            d0[k] += x
            for c in range(0, W, DOUBLES):
                add_scaled(d1, k * W + c, rows, i * W + c, x)
        if before >= 0 and not sets.ends[before]:
            # Entered late: not at risk at the earlier times of the stratum.
            s0[before] -= x
            for c in range(0, W, DOUBLES):
                add_scaled(s1, before * W + c, rows, i * W + c, -x)
    for k in range(s0.size - 2, -1, -1):
        if not sets.ends[k]:
            s0[k] += s0[k + 1]
            for c in range(0, W, DOUBLES):
                add_scaled(s1, k * W + c, s1, (k + 1) * W + c, 1.0)


@jit
def _scan_terms(sets: RiskSets, sums: RiskSums, W: int) -> float:
    """Fill the hazard, ``tied`` and the means of all terms; the sum of ``log den``, NaN where rounding left none of one."""
    s0, d0, s1, d1, means = sums.s0, sums.d0, sums.s1, sums.d1, sums.means
    means[:] = 0.0
    sums.hazard[0] = 0.0
    total, product, term = 0.0, 1.0, 0
    for k in range(s0.size):
        m = sums.deaths[k]
        rate, tied = 0.0, 0.0
        for tie in range(m):
            part = tie / m if sets.efron else 0.0
            den = s0[k] - part * d0[k]
            if not den > 0.0:
                # Who entered later is subtracted: hazards 1e16 times as large leave nothing of those at risk.
                return math.nan
            if not (LEAST_PRODUCT < product < MOST_PRODUCT and LEAST_PRODUCT < den < MOST_PRODUCT):
                total += math.log(product)
                product = 1.0
            product *= den
            inverse = 1.0 / den
            rate += inverse
            tied += part * inverse
            for c in range(0, W, DOUBLES):
                add_scaled(means, term * W + c, s1, k * W + c, inverse)
                if part != 0.0:
                    add_scaled(means, term * W + c, d1, k * W + c, -part * inverse)
            term += 1
        sums.hazard[k + 1] = sums.hazard[k] + rate
        sums.tied[k] = tied
    return total + math.log(product)


@jit
def mean_tile(means: Float64Array, first: int, P: int, tile: Float64Array) -> int:
    """Columns (width * TILE,) of the means of terms from ``first`` on, zeros behind the last; how many they are."""
    W = vectors(P)
    n = means.size // W - first if W > 0 else 0
    n = min(n, TILE)
    if n < TILE:
        tile[:] = 0.0
    for e in range(n):
        for j in range(P):
            tile[j * TILE + e] = means[(first + e) * W + j]
    return n


@jit
def evaluate(
    X: Covariates,
    offset: Float64Array,
    beta: Float64Array,
    sets: RiskSets,
    sums: RiskSums,
    gradient: Float64Array,
    J: Float64Array,
) -> float:
    """`partial_likelihood` of covariates that are laid out; NaN, as are its derivatives, where its digits are lost."""
    n, P = offset.size, beta.size
    W, width = vectors(P), tile_width(P)
    total = _exponentials(X, offset, beta, sets, sums.w)
    gather(X.rows, W, sets, sums)
    total -= _scan_terms(sets, sums, W)
    if math.isnan(total):
        gradient[:] = math.nan
        J[:, :] = math.nan
        return math.nan
    lanes = np.zeros(sums_size(width))
    weight, residual, tile = np.zeros(TILE), np.zeros(TILE), np.zeros(width * TILE)
    for start in range(0, n, TILE):
        weight[:] = 0.0
        residual[:] = 0.0
        for i in range(min(TILE, n - start)):
            at = start + i
            if sets.last[at] > sets.first[at]:
                exposure = sums.hazard[sets.last[at]] - sums.hazard[sets.first[at]]
                died = 0.0
                if sets.event[at]:
                    exposure -= sums.tied[sets.last[at] - 1]
                    died = 1.0
                weight[i] = sums.w[at] * exposure
                residual[i] = died - weight[i]
            sums.expected[at] = weight[i]
        add_tile(X.tiles, start * width, width, 0, 0, weight, residual, lanes)
    weight[:] = -1.0
    residual[:] = 0.0
    for first in range(0, sums.means.size // max(W, 1), TILE):
        mean_tile(sums.means, first, P, tile)
        add_tile(tile, 0, width, 0, 0, weight, residual, lanes)
    collect(lanes, width, J, gradient)
    return total


@jit
def partial_likelihood(
    D: Float64Array,
    offset: Float64Array,
    beta: Float64Array,
    sets: RiskSets,
    sums: RiskSums,
    gradient: Float64Array,
    J: Float64Array,
) -> float:
    """The log partial likelihood at beta; fills the sums, the gradient (P,) and the information J (P, P).

    Parameters
    ----------
    D : float64 array (n, P)
        Covariates; the closer to centred, the fewer digits J loses.
    offset : float64 array (n,)
        Part of eta that is given.
    """
    return float(evaluate(arranged(D), offset, beta, sets, sums, gradient, J))
