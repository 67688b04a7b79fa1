"""Conditional logistic regression of matched sets: likelihood, gradient and information of n cases to m controls, exact.

Given that a set of M samples has m cases, who they are has the likelihood (Breslow & Day 1980, chapter 7)

    L = prod_cases exp(eta_i) / sum over all choices S of m samples of prod_S exp(eta_i)        eta = D beta

whose gradient is ``sum_cases x - E[sum_S x]`` and whose information the covariance of ``sum_S x`` over the choices. They come by
the recursion over samples of Gail, Lubin & Rubinstein (1981, doi:10.1093/biomet/68.3.703), written in chances: samples drawn
independently with chance ``p = 1 / (1 + exp(c - eta))``, given that m are drawn, are those choices whatever c is; c at which m
are expected keeps every number of the recursion near 1. With f_k the chance of k drawn so far and A_k, B_k the expectations
of ``sum_S x`` and of its square where k are drawn ::

    f_k <- q f_k + p f_k-1        A_k <- q A_k + p (A_k-1 + x f_k-1)        B_k <- q B_k + p (B_k-1 + x A_k-1' + A_k-1 x' + xx' f_k-1)
"""

import math
from typing import NamedTuple

import numpy as np

from genassoc.kernels import jit
from genassoc.kernels.lanes.copies import put
from genassoc.kernels.laws.exact_law import exact_tails
from genassoc.kernels.likelihoods.newton import BEST, UNDER_WAY, ascend, climb_of
from genassoc.kernels.likelihoods.rows import MAX_ITERATIONS, NOT_CONVERGED
from genassoc.shapes import Float64Array, Int64Array

TILT_STEPS, TILT_HALVINGS = 30, 50


class MatchedSets(NamedTuple):
    """Samples (n,) in sets, one after another.

    Attributes
    ----------
    y : float64 array (n,)
        1 of cases, else 0.
    pointers : int64 array (S + 1,)
        Set s is the samples from ``pointers[s]`` to ``pointers[s + 1]``; without a case or without a control it counts nothing.
    offset : float64 array (n,)
        Part of eta that is given.
    """

    y: Float64Array
    pointers: Int64Array
    offset: Float64Array


@jit
def tilt(eta: Float64Array, m: int) -> float:
    """c at which about m of the samples are expected: any value is right, this one keeps digits.

    Newton's steps, then halves of what is left: of samples far apart, as a fit that runs away makes them, the chance of m is 0 at
    another c.
    """
    M = eta.size
    level = math.log((M - m) / m)
    low, high = eta.min() + level, eta.max() + level
    c = eta.mean() + level
    for iteration in range(TILT_STEPS + TILT_HALVINGS):
        expected, spread = 0.0, 0.0
        for i in range(M):
            p = 1.0 / (1.0 + math.exp(min(c - eta[i], 700.0)))
            expected += p
            spread += p * (1.0 - p)
        step = (expected - m) / max(spread, 1e-3)
        if expected > m:
            low = c
        else:
            high = c
        c += min(max(step, -5.0), 5.0)
        if abs(expected - m) < 0.1:
            break
        if iteration >= TILT_STEPS:
            c = (low + high) / 2.0
    return c


@jit
def _one_case(x: Float64Array, eta: Float64Array, mean: Float64Array, second: Float64Array) -> float:
    """Log of the sum of exp(eta); fills the mean of x and the lower triangle of its second moments."""
    M, P = x.shape
    largest = eta.max()
    total = 0.0
    mean[:] = 0.0
    second[:, :] = 0.0
    for i in range(M):
        w = math.exp(eta[i] - largest)
        total += w
        for j in range(P):
            mean[j] += w * x[i, j]
            for k in range(j + 1):
                second[j, k] += w * x[i, j] * x[i, k]
    for j in range(P):
        mean[j] /= total
        for k in range(j + 1):
            second[j, k] /= total
    return largest + math.log(total)


@jit
def _several_cases(x: Float64Array, eta: Float64Array, m: int, mean: Float64Array, second: Float64Array) -> float:
    """Log of the sum over all choices of m samples of exp(sum of eta); fills mean and second moments of their sums of x."""
    M, P = x.shape
    c = tilt(eta, m)
    f, A, B = np.zeros(m + 1), np.zeros((m + 1, P)), np.zeros((m + 1, P, P))
    f[0] = 1.0
    log_rest = 0.0  # of the chance of nobody: log of the product of q
    for i in range(M):
        p = 1.0 / (1.0 + math.exp(min(c - eta[i], 700.0)))
        q = 1.0 - p
        log_rest -= math.log1p(math.exp(min(eta[i] - c, 700.0)))
        for n in range(min(m, i + 1), max(0, m - (M - i - 1)) - 1, -1):
            if n > 0:
                for j in range(P):
                    for k in range(j + 1):
                        joined = (
                            B[n - 1, j, k]
                            + x[i, j] * A[n - 1, k]
                            + x[i, k] * A[n - 1, j]
                            + x[i, j] * x[i, k] * f[n - 1]
                        )
                        B[n, j, k] = q * B[n, j, k] + p * joined
                for j in range(P):
                    A[n, j] = q * A[n, j] + p * (A[n - 1, j] + x[i, j] * f[n - 1])
                f[n] = q * f[n] + p * f[n - 1]
            else:
                f[0] *= q
    for j in range(P):
        mean[j] = A[m, j] / f[m]
        for k in range(j + 1):
            second[j, k] = B[m, j, k] / f[m]
    # f_m = sum over choices of prod p prod q = exp(sum eta - m c) prod q
    return math.log(f[m]) + m * c - log_rest


@jit
def conditional_likelihood(
    D: Float64Array, sets: MatchedSets, beta: Float64Array, gradient: Float64Array, J: Float64Array
) -> float:
    """The log likelihood at beta (P,); fills gradient (P,) and information (P, P).

    Parameters
    ----------
    D : float64 array (n, P)
        Columns without a constant, the closer to centred in each set the fewer digits are lost.
    sets : MatchedSets
    """
    y, pointers = sets.y, sets.pointers
    P = D.shape[1]
    gradient[:] = 0.0
    J[:, :] = 0.0
    total = 0.0
    mean, second = np.empty(P), np.empty((P, P))
    for s in range(pointers.size - 1):
        first, last = pointers[s], pointers[s + 1]
        M = last - first
        cases = int(y[first:last].sum())
        if cases == 0 or cases == M:
            continue
        # Choosing the cases is choosing the controls: the fewer are chosen.
        turned = 2 * cases > M
        sign, m = (-1.0, M - cases) if turned else (1.0, cases)
        x, eta = np.empty((M, P)), np.empty(M)
        for i in range(M):
            eta[i] = sign * sets.offset[first + i]
            chosen = (y[first + i] == 1.0) != turned
            for j in range(P):
                x[i, j] = sign * D[first + i, j]
                eta[i] += x[i, j] * beta[j]
                if chosen:
                    gradient[j] += x[i, j]
            if chosen:
                total += eta[i]
        total -= _one_case(x, eta, mean, second) if m == 1 else _several_cases(x, eta, m, mean, second)
        for j in range(P):
            gradient[j] -= mean[j]
            for k in range(j + 1):
                J[j, k] += second[j, k] - mean[j] * mean[k]
    for j in range(P):
        for k in range(j):
            J[k, j] = J[j, k]
    return total


@jit
def fit(D: Float64Array, sets: MatchedSets, watch: bool, beta: Float64Array, L: Float64Array) -> tuple[int, float, int]:
    """Maximise the log likelihood by Newton's steps, halved until it does not fall.

    Parameters
    ----------
    D, sets
        As of `conditional_likelihood`.
    watch : bool
        Say RUNAWAY where the last coefficient grows without end.
    beta : float64 array (P,)
        Start in, estimate out.
    L : float64 array (P, P)
        Filled with the factor of the information.

    Returns
    -------
    status, log likelihood, iterations
    """
    climb = climb_of(L)
    for iteration in range(MAX_ITERATIONS):
        objective = conditional_likelihood(D, sets, beta, climb.gradient, climb.J)
        status = ascend(iteration, objective, climb, int(watch), beta)
        if status != UNDER_WAY:
            return status, climb.stand[BEST], iteration
    return NOT_CONVERGED, climb.stand[BEST], MAX_ITERATIONS


@jit
def exact_neg_log_p(g: Float64Array, sets: MatchedSets, eta: Float64Array, ends: Float64Array) -> float:
    """-ln p of the number of alleles among the cases, exact given the sets; NaN where g is no whole number.

    Under the null the cases of a set are a choice with the chances of its eta (n,). p, and the interval of the log odds
    ratio into ``ends`` (2,), are by `genassoc.kernels.laws.exact_law`.
    """
    y, pointers = sets.y, sets.pointers
    size, seen = 1, 0
    for s in range(pointers.size - 1):
        first, last = pointers[s], pointers[s + 1]
        cases = int(y[first:last].sum())
        if cases == 0 or cases == last - first:
            continue
        for i in range(first, last):
            copies = int(g[i])
            if copies != g[i]:
                return np.nan
            size += copies
            seen += copies if y[i] == 1.0 else 0
    law, grown = np.zeros(size), np.zeros(size)
    law[0] = 1.0
    top = 0
    for s in range(pointers.size - 1):
        first, last = pointers[s], pointers[s + 1]
        M, cases = last - first, int(y[first:last].sum())
        alleles = int(g[first:last].sum())
        if cases == 0 or cases == M or alleles == 0:
            continue
        c = tilt(eta[first:last], cases)
        f = np.zeros((cases + 1, alleles + 1))
        f[0, 0] = 1.0
        for i in range(M):
            p = 1.0 / (1.0 + math.exp(min(c - eta[first + i], 700.0)))
            copies = int(g[first + i])
            for n in range(min(cases, i + 1), -1, -1):
                for t in range(alleles, -1, -1):
                    drawn = f[n - 1, t - copies] if n > 0 and t >= copies else 0.0
                    f[n, t] = (1.0 - p) * f[n, t] + p * drawn
        chance = f[cases].sum()
        grown[: top + alleles + 1] = 0.0
        for t in range(top + 1):
            for more in range(alleles + 1):
                grown[t + more] += law[t] * f[cases, more] / chance
        top += alleles
        put(law, 0, grown[: top + 1])
    return exact_tails(law, seen, ends)
