"""The law of a score of least squares given the residuals at hand: who carries the allele is as if drawn by lot.

Under the null the score is ``U = sum a_i e_i``, a_i the genotype that the covariates leave (over the sample's own spread) and e_i
residuals, of which every sample is taken to have drawn one from those of all: what permutation does, but for draws that repeat. So
(as Bi et al. 2020, doi:10.1016/j.ajhg.2020.06.003, do for hazards) ::

    K(t) = sum_i ln mean_j exp(t a_i e_j)

Coefficients that are alike are taken together, and those near 0 as one normal of variance ``rest``. Where one residual is larger
than all others together the law has a mode of its own, which the formula of Lugannani and Rice does not see; tails are therefore
integrated along the line through the saddlepoint s, where the integrand does not cancel (Helstrom 1996, doi:10.1109/26.509322) ::

    P(U >= u) = 1/pi int_0^inf Re[exp(K(s + i y) - (s + i y) u) / (s + i y)] dy

by the trapezoidal rule, whose error is the law one period (2 pi over the step) further on.
"""

import math
from typing import NamedTuple

import numpy as np

from genassoc.kernels import jit
from genassoc.kernels.laws.saddlepoint import log_normal_upper, log_sum
from genassoc.kernels.likelihoods.logistic import cholesky, solve_lower, solve_upper
from genassoc.shapes import Float64Array

N_BINS = 256  # of coefficients, from minus the largest to the largest
RARE = 0.1  # copies a sample, below which the others' coefficients are moved to 0
SMALL = 0.05  # of the largest coefficient: below it a sample's part is of the normal
LEAST_REST = 1e-4  # of the variance: smooths a law of few steps by a hundredth of its standard deviation
MOST_NODES = 8192
QUIET_NODES = 48  # nodes without a contribution after which there is none; a lattice of outcomes comes back sooner
NEGLIGIBLE = 1e-10
BEYOND = 30.0  # in natural logarithms: what the trapezoidal rule may leave, 1e-13 of a tail
_MOST_STEPS = 200
# Columns of the numbers of a row.
LAW, NORMAL, EXCESS = 0, 1, 2
N_NUMBERS = 3


class Law(NamedTuple):
    """The law of one residual over its spread.

    Attributes
    ----------
    atoms, weights : float64 arrays (m,)
        As if each sample had been left out of the fit of the covariates; in ascending order.
    variance, lost : float
        Of one residual by the model, over no spread; and what the atoms lack of their own.
    dominated : bool
        One residual has more than a fifth of all squares.
    """

    atoms: Float64Array
    weights: Float64Array
    variance: float
    lost: float
    dominated: bool


class Residuals(NamedTuple):
    """A basis Q (n, C) of the covariates, gram (C, C) = Q'Q, and residuals r (n,) over ``spread`` (n,), less their mean."""

    Q: Float64Array
    gram: Float64Array
    r: Float64Array
    spread: Float64Array


@jit
def cgf_of(
    t: float, a: Float64Array, counts: Float64Array, rest: float, atoms: Float64Array, weights: Float64Array
) -> tuple[float, float, float]:
    """K(t), K'(t) and K''(t); the coefficient a_k is that of counts_k samples."""
    K, first, second = 0.5 * rest * t * t, rest * t, rest
    for k in range(a.size):
        s = t * a[k]
        top = max(s * atoms[0], s * atoms[atoms.size - 1])
        zero, one, two = 0.0, 0.0, 0.0
        for j in range(atoms.size):
            x = weights[j] * math.exp(s * atoms[j] - top)
            zero += x
            one += x * atoms[j]
            two += x * atoms[j] * atoms[j]
        mean = one / zero
        K += counts[k] * (top + math.log(zero))
        first += counts[k] * a[k] * mean
        second += counts[k] * a[k] * a[k] * max(two / zero - mean * mean, 0.0)
    return K, first, second


@jit
def _place(
    u: float, a: Float64Array, counts: Float64Array, rest: float, atoms: Float64Array, weights: Float64Array
) -> float:
    """The saddlepoint of u > 0, roughly: any point near it serves the integral."""
    _, _, variance = cgf_of(0.0, a, counts, rest, atoms, weights)
    low, high, s = 0.0, math.inf, u / variance
    for _ in range(_MOST_STEPS):
        _, first, second = cgf_of(s, a, counts, rest, atoms, weights)
        if first > u:
            high = s
        else:
            low = s
        proposed = s - (first - u) / second
        if not low < proposed < high:
            proposed = 0.5 * (low + high) if high < math.inf else 2.0 * s
        proposed = min(proposed, 4.0 * s)
        if abs(proposed - s) <= 1e-3 * s:
            break
        s = proposed
    # No nearer to the pole at 0 than a standard error is, unless the law there is all of its largest atoms, whose angles turn together.
    least = 1.0 / math.sqrt(variance)
    while s < least and cgf_of(least, a, counts, rest, atoms, weights)[1] > u + math.sqrt(variance):
        least *= 0.7
    return max(s, least)


@jit
def _total(x: Float64Array) -> float:
    """The sum of x (m,), four at a time: additions need not wait for each other."""
    a, b, c, d = 0.0, 0.0, 0.0, 0.0
    whole = x.size - x.size % 4
    for j in range(0, whole, 4):
        a += x[j]
        b += x[j + 1]
        c += x[j + 2]
        d += x[j + 3]
    for j in range(whole, x.size):
        a += x[j]
    return (a + b) + (c + d)


@jit
def log_upper_tail(
    u: float, a: Float64Array, counts: Float64Array, rest: float, atoms: Float64Array, weights: Float64Array
) -> float:
    """``ln P(U >= u)`` of u > 0; NaN where the integral takes more than `MOST_NODES`.

    Parameters
    ----------
    a, counts : float64 arrays (k,)
    rest : float
        Above 0.
    atoms, weights : float64 arrays (m,)
        Residuals in ascending order, of mean 0, and their probabilities.
    """
    m, n_groups = atoms.size, a.size
    s = _place(u, a, counts, rest, atoms, weights)
    K, first, second = cgf_of(s, a, counts, rest, atoms, weights)
    largest = 0.0
    for k in range(n_groups):
        largest = max(largest, abs(a[k]))
    period = max(u - K / s + BEYOND / s, 12.0 * math.sqrt(second) + abs(first - u))
    period = max(period, 2.2 * largest * (atoms[m - 1] - atoms[0]))
    h = 2.0 * math.pi / period
    # Tilted probabilities of every group, and how far their angles turn at a node.
    real, imaginary = np.empty((n_groups, m)), np.zeros((n_groups, m))
    turn_real, turn_imaginary = np.empty((n_groups, m)), np.empty((n_groups, m))
    for k in range(n_groups):
        top = max(s * a[k] * atoms[0], s * a[k] * atoms[m - 1])
        total = 0.0
        for j in range(m):
            real[k, j] = weights[j] * math.exp(s * a[k] * atoms[j] - top)
            total += real[k, j]
        for j in range(m):
            real[k, j] /= total
            turn_real[k, j], turn_imaginary[k, j] = math.cos(h * a[k] * atoms[j]), math.sin(h * a[k] * atoms[j])
    total, quiet = 0.5 / s, 0
    for node in range(1, MOST_NODES):
        y = h * node
        size, angle = -0.5 * rest * y * y, y * (rest * s - u)
        for k in range(n_groups):
            for j in range(m):
                x = real[k, j] * turn_real[k, j] - imaginary[k, j] * turn_imaginary[k, j]
                imaginary[k, j] = real[k, j] * turn_imaginary[k, j] + imaginary[k, j] * turn_real[k, j]
                real[k, j] = x
            re, im = _total(real[k]), _total(imaginary[k])
            length = re * re + im * im
            size += counts[k] * 0.5 * math.log(length) if length > 0.0 else -math.inf
            angle += counts[k] * math.atan2(im, re)
        length = s * s + y * y
        weight = math.exp(size)
        # exp(i angle) / (s + i y)
        total += weight * (s * math.cos(angle) + y * math.sin(angle)) / length
        quiet = quiet + 1 if weight * s < NEGLIGIBLE * math.sqrt(length) else 0
        if quiet >= QUIET_NODES or 0.5 * rest * y * y > BEYOND:
            return K - s * u + math.log(total * h / math.pi) if total > 0.0 else -math.inf
    return math.nan


@jit
def gather(a: Float64Array, variance: float, means: Float64Array, counts: Float64Array) -> tuple[int, float]:
    """Take coefficients a (n,) that are alike together; how many groups there are, and the variance of what is left of them.

    Parameters
    ----------
    variance : float
        Of the residuals.
    means, counts : float64 arrays (N_BINS + 1,)
        Filled, as many as there are groups.
    """
    largest = 0.0
    for i in range(a.size):
        largest = max(largest, abs(a[i]))
    squares, rest = np.zeros(N_BINS + 1), 0.0
    means[:] = 0.0
    counts[:] = 0.0
    for i in range(a.size):
        if abs(a[i]) <= SMALL * largest:
            rest += a[i] * a[i]
            continue
        k = int(0.5 * N_BINS * (1.0 + a[i] / largest))
        means[k] += a[i]
        counts[k] += 1.0
        squares[k] += a[i] * a[i]
    found, whole = 0, rest
    for k in range(N_BINS + 1):
        if counts[k] > 0.0:
            mean, count = means[k] / counts[k], counts[k]
            whole += squares[k]
            rest += max(squares[k] - count * mean * mean, 0.0)
            means[found], counts[found] = mean, count
            found += 1
    return found, variance * max(rest, LEAST_REST * whole)


@jit
def _move(a: Float64Array, calls: Float64Array, mean: float, spread: Float64Array, impute: bool) -> None:
    """Move coefficients a (n,) so that those who do not carry the allele are about 0; in place.

    Residuals sum to 0, so that a constant beside every coefficient changes no score. Where one residual outweighs the others it is
    either among the carriers or not: as draws of their own, the others' share of it would blur where it puts the score. The variance
    grows by the share of carriers.
    """
    total, seen = 0.0, 0
    for i in range(a.size):
        if impute or not math.isnan(calls[i]):
            total += spread[i]
            seen += 1
    for i in range(a.size):
        if impute or not math.isnan(calls[i]):
            a[i] += mean * total / seen


@jit
def law_rows(
    G: Float64Array, residuals: Residuals, law: Law, impute: bool, statistic: Float64Array, numbers: Float64Array
) -> None:
    """The two-sided p of the score of each row, by the law of the residuals.

    Parameters
    ----------
    G : float64 array (R, n)
        Copies of the minor allele, NaN where not observed.
    residuals : Residuals
    law : Law
    impute : bool
        Missing calls take the mean of the observed ones.
    statistic : float64 array (R,)
        How far off, in standard errors, another test of these rows stands.
    numbers : float64 array (R, N_NUMBERS)
        Filled: -ln p by the law, -ln p of a normal of the model's variance, and by how much more than a normal's the logarithm of
        a tail grows out to ``statistic``. NaN where there is none.
    """
    R, n = G.shape
    Q, gram, r, spread = residuals.Q, residuals.gram, residuals.r, residuals.spread
    atoms, weights, variance, lost = law.atoms, law.weights, law.variance, law.lost
    C = Q.shape[1]
    A, L = np.empty((C, C)), np.zeros((C, C))
    b, z, along = np.empty(C), np.empty(C), np.empty(C)
    a, means, counts = np.empty(n), np.empty(N_BINS + 1), np.empty(N_BINS + 1)
    own = lost
    for j in range(atoms.size):
        own += weights[j] * atoms[j] * atoms[j]
    for row in range(R):
        for k in range(N_NUMBERS):
            numbers[row, k] = np.nan
        seen, total = 0, 0.0
        for i in range(n):
            if not math.isnan(G[row, i]):
                seen += 1
                total += G[row, i]
        mean = total / max(seen, 1)
        for c in range(C):
            b[c] = 0.0
            for d in range(C):
                A[c, d] = gram[c, d]
        for i in range(n):
            g = G[row, i]
            if math.isnan(g) and not impute:
                for c in range(C):
                    for d in range(c + 1):
                        A[c, d] -= Q[i, c] * Q[i, d]
                continue
            x = mean if math.isnan(g) else g
            if x != 0.0:
                for c in range(C):
                    b[c] += x * Q[i, c]
        if math.isnan(cholesky(A, L, C)):
            continue
        solve_lower(L, b, z, C)
        solve_upper(L, z, along, C)
        u, information = 0.0, 0.0
        for i in range(n):
            g = G[row, i]
            a[i] = 0.0
            if math.isnan(g) and not impute:
                continue
            x = mean if math.isnan(g) else g
            for c in range(C):
                x -= Q[i, c] * along[c]
            information += x * x
            a[i] = x * spread[i]
            u += a[i] * r[i]
        if not information > 0.0:
            continue
        if law.dominated and mean < RARE:
            _move(a, G[row], mean, spread, impute)
        groups, rest = gather(a, own, means, counts)
        if lost > 0.0:
            for k in range(groups):
                rest += counts[k] * means[k] * means[k] * lost
        size = abs(u)
        numbers[row, NORMAL] = -math.log(2.0) - log_normal_upper(size / math.sqrt(variance * information))
        _, _, whole = cgf_of(0.0, means[:groups], counts[:groups], rest, atoms, weights)
        far = abs(statistic[row]) / math.sqrt(whole)
        up = cgf_of(far, means[:groups], counts[:groups], rest, atoms, weights)[0]
        down = cgf_of(-far, means[:groups], counts[:groups], rest, atoms, weights)[0]
        numbers[row, EXCESS] = max(up, down) - 0.5 * far * far * whole
        if size == 0.0:
            numbers[row, LAW] = 0.0
            continue
        same = log_upper_tail(size, means[:groups], counts[:groups], rest, atoms, weights)
        for k in range(groups):
            means[k] = -means[k]
        opposite = log_upper_tail(size, means[:groups], counts[:groups], rest, atoms, weights)
        # Which of the two is of the side observed does not matter to their sum. NaN stays: max(0, NaN) is 0, a p of 1.
        either = -log_sum(same, opposite)
        numbers[row, LAW] = 0.0 if either < 0.0 else either
