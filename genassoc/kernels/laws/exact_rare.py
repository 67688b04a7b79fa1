"""The exact conditional test of a rare variant: which carriers are cases, given how many cases there are.

Given the number of cases n1, and each sample's null probability mu, the carriers' trait is c in {0, 1}^m with ::

    P(c | n1)  is proportional to  prod mu_c^c (1 - mu_c)^(1 - c) * P_rest(n1 - sum c)

where P_rest is the law of the number of cases among all others. The statistic is the number T of minor alleles in
cases, p the probability of a T as far from E[T | n1] as the observed one, or farther. It is what "efficient
resampling" (Lee et al. 2016, doi:10.1093/biostatistics/kxv033) samples, here summed in full. Multiplying all odds
by a constant changes nothing: the intercept drops out. Without covariates T is the sum of a hypergeometric draw.

Why this centre
---------------
The score is ``U = sum g (y - mu)``; over carriers' outcomes only T varies in it, so a centre must be chosen for
"as far". ``sum g mu`` is nearly E[T | n1], but not quite, and the law that gives p then has a mean that is not 0:
one tail would be favoured. The residualised score is no other choice: ``X'(y - mu) = 0`` makes it the same number
in the data, and given n1 alone it would need the trait of every non-carrier. So T is centred at its own
conditional mean, which without covariates is exactly the score's. Conditioning on n1 and not on all of X'y leaves
T the larger variance, ``g'Wg - (1'Wg)^2 / 1'W`` against V: where covariates matter, p errs upwards.

Outcomes with the same T
------------------------
T of a rare disease takes two or three values, so that p would too, and a test at any level would spend a small part of it. Given T the
carriers' covariates still order the outcomes: those whose cases had less of a chance, ``R = sum c s`` small, s the carriers' log odds
in `LEVELS` steps, are the farther. T comes first, so that more carriers among the cases never has the larger p; R decides among
equal T only. Any order fixed before the trait is seen gives a p that holds its level; this one asks nothing new of the data. Without
covariates, or with more than `MOST_TIED` minor alleles among the cases, all outcomes of one T are tied.

The interval
------------
Under an odds ratio e^b of each allele the law of T is tilted by e^(bT), and the law of R given T is what it was. The interval holds the b
whose two-sided p, of the same order around the mean under b, is above 5 %: it is without 0 exactly where p is below 5 %, but for
gaps, which it covers. Where all minor alleles are in cases, or none is, one end is infinite.

How it is cheap
---------------
T is a + 2 b, of a heterozygous and b homozygous carriers in cases; the law of a and of b, each a
Poisson-binomial, and the m + 1 numbers ``P_rest(n1 - s)`` make the law of T. P_rest comes from the
characteristic function of the number of all cases, kept once a trait on a grid (`CaseCountTable`), divided by
the carriers' factors. Where sums lie far from the mean, the law is tilted (mu's odds times e^lambda) so that no
digit is lost: any tilt is the same law given n1. The trapezoidal sum over L frequencies is exact but for aliasing,
the chance of a count L away, below 1e-20 of the answer by Bernstein's inequality.
"""

import math
from typing import NamedTuple

import numpy as np

from genassoc.kernels import jit
from genassoc.kernels.lanes.copies import put
from genassoc.kernels.laws.exact_law import interval, two_sided
from genassoc.kernels.laws.saddlepoint import log_sum
from genassoc.shapes import Float64Array, Int64Array, UInt8Array

EXACT_FOUND = 0
EXACT_NOT_COUNTS = 1  # a carrier has not one or two minor alleles, or no carrier is given
EXACT_OFF_TABLE = 2  # more carriers, or farther from the table's number of cases, than the table is made for

EXACT_P, EXACT_MID_P, EXACT_LOWER, EXACT_UPPER = 0, 1, 2, 3  # columns of what is found of a row
LEVELS = 16  # of the carriers' log odds, where outcomes with the same T are put in order
MOST_CASES = (
    64  # among the carriers, as the law is kept: where 16 are expected and 48 seen, 65 have 1e-8 of the chance of 48
)
MOST_TIED = 20  # minor alleles among the cases: from there on T alone has values enough
_ALIKE = 1e-9  # log odds apart by less are the same
_OFF_EDGES = 0.4142
# A sum of terms whose sizes add to S is known to 1e-15 S or so: above this share of S it has ten digits.
_ENOUGH = 1e-5
# Samples this far from 50 % share one power series, so that a million samples with few cases cost one pass:
# its terms fall as (2 * _RARE)^j, and the 19th is below 1e-17 of the first.
_RARE = 1 / 16
_POWERS = 18


class CaseCountTable(NamedTuple):
    """The law of the number of cases among N samples, as J tilted characteristic functions at F frequencies.

    Attributes
    ----------
    n_samples : int
        N.
    tilt, mean, log_mgf, step : float64 arrays (J,)
        Log factor of the odds; mean number of cases under it; ln of the moment generating function there;
        the angle between frequencies, ``2 pi / L`` with L odd (so that pi, where a factor can be 0, is not used).
    n_frequencies : int64 array (J,)
        Frequencies used, from ``step`` on; those left out contribute less than 1e-17.
    real, imag : float64 arrays (J, F)
        ``E exp(i angle (count - mean))``.
    """

    n_samples: int
    tilt: Float64Array
    mean: Float64Array
    log_mgf: Float64Array
    step: Float64Array
    n_frequencies: Int64Array
    real: Float64Array
    imag: Float64Array


class Carriers(NamedTuple):
    """Carriers of V variants, one variant after another: those of variant v from ``starts[v]`` to ``starts[v + 1]``.

    Attributes
    ----------
    starts : int64 array (V + 1,)
    g, mu, y : float64 arrays
        Minor alleles (1 or 2), null probability and trait (0 or 1).
    """

    starts: Int64Array
    g: Float64Array
    mu: Float64Array
    y: Float64Array


@jit
def power_sums(pi: Float64Array, low: Float64Array, high: Float64Array, between: Float64Array) -> int:
    """Sums of powers of rare pi (N,) and of ``1 - pi`` of common ones; the others into ``between`` (N,).

    ``low[j]`` is ``sum pi^(j + 1)`` where pi <= `_RARE`, ``high[j]`` likewise of 1 - pi. Returns how many lie between.
    """
    low[:] = 0.0
    high[:] = 0.0
    n_between = 0
    for i in range(pi.size):
        rare = min(pi[i], 1.0 - pi[i])
        if rare > _RARE:
            between[n_between] = pi[i]
            n_between += 1
            continue
        sums = low if pi[i] < 0.5 else high
        power = 1.0
        for j in range(sums.size):
            power *= rare
            sums[j] += power
    return n_between


@jit
def centred_characteristic_function(
    pi: Float64Array, angles: Float64Array, real: Float64Array, imag: Float64Array
) -> None:
    """``prod (1 - pi + pi e^(i angle)) e^(-i angle pi)`` of pi (N,) at angles (F,), into real and imag (F,)."""
    low = np.empty(_POWERS)
    high = np.empty(_POWERS)
    between = np.empty(pi.size)
    n_between = power_sums(pi, low, high, between)
    for f in range(angles.size):
        sine = math.sin(angles[f])
        half = math.sin(0.5 * angles[f])
        fall = 2.0 * half * half  # 1 - cos
        # rare pi: ln(1 + pi z) = sum (-1)^(j+1) pi^j z^j / j, z = e^(i angle) - 1; common pi: its conjugate in 1 - pi
        z_real, z_imag = -fall, sine
        log_size = low[0] * z_real + high[0] * z_real
        turn = (low[0] - high[0]) * (sine - angles[f])
        for j in range(1, _POWERS):
            z_real, z_imag = -(z_real * -fall - z_imag * sine), -(z_real * sine + z_imag * -fall)
            log_size += (low[j] + high[j]) * z_real / (j + 1)
            turn += (low[j] - high[j]) * z_imag / (j + 1)
        for i in range(n_between):
            # |1 - pi + pi e^(ia)|^2 = 1 - 2 pi (1 - pi) (1 - cos a)
            p = between[i]
            log_size += 0.5 * math.log1p(-2.0 * p * (1.0 - p) * fall)
            turn += math.atan2(p * sine, 1.0 - p * fall) - p * angles[f]
        size = math.exp(log_size)
        real[f] = size * math.cos(turn)
        imag[f] = size * math.sin(turn)


@jit
def tilted(mu: float, tilt: float) -> float:
    """The probability whose odds are ``e^tilt`` times those of mu."""
    if tilt > 0.0:
        return mu / (mu + (1.0 - mu) * math.exp(-tilt))
    return mu * math.exp(tilt) / (1.0 + mu * math.expm1(tilt))


@jit
def removed_mean_and_log_mgf(mu: Float64Array, tilt: float) -> tuple[float, float]:
    """Mean count of samples mu (n,) under the tilt, and ln of their moment generating function there."""
    mean = 0.0
    log_mgf = 0.0
    for i in range(mu.size):
        mean += tilted(mu[i], tilt)
        log_mgf += math.log1p(mu[i] * math.expm1(tilt))
    return mean, log_mgf


@jit
def add_frequency(
    row: int,
    f: int,
    removed: Float64Array,
    offset: float,
    wanted: Int64Array,
    table: CaseCountTable,
    sums: Float64Array,
) -> float:
    """Add frequency f of tilt ``row`` to the sums (m + 1,) of the counts that want this tilt; returns its size."""
    angle = (f + 1) * table.step[row]
    cosine = math.cos(angle)
    sine = math.sin(angle)
    # the removed samples' factors: prod (1 - pi + pi e^(i angle))
    real = 1.0
    imag = 0.0
    for i in range(removed.size):
        a = 1.0 - removed[i] + removed[i] * cosine
        b = removed[i] * sine
        real, imag = real * a - imag * b, real * b + imag * a
    square = real * real + imag * imag
    total_real = table.real[row, f]
    total_imag = table.imag[row, f]
    rest_real = (total_real * real + total_imag * imag) / square
    rest_imag = (total_imag * real - total_real * imag) / square
    # times e^(i angle (mean - n1 + s)), s = 0, 1, ...
    turn_real = math.cos(angle * offset)
    turn_imag = math.sin(angle * offset)
    for s in range(sums.size):
        if wanted[s] == row:
            sums[s] += 2.0 * (rest_real * turn_real - rest_imag * turn_imag)
        turn_real, turn_imag = turn_real * cosine - turn_imag * sine, turn_real * sine + turn_imag * cosine
    return 2.0 * math.sqrt(rest_real * rest_real + rest_imag * rest_imag)


@jit
def log_pmf_of_rest(removed_mu: Float64Array, n_cases: int, table: CaseCountTable, log_pmf: Float64Array) -> bool:
    """ln of the chance of ``n_cases - s`` cases among the samples not removed, into ``log_pmf[s]`` (m + 1,).

    False where the table does not reach: a number would have fewer than ten digits.
    """
    n_rest = table.n_samples - removed_mu.size
    # Each count is computed under the tilt whose mean is next to it.
    wanted = np.full(log_pmf.size, -1, np.int64)
    distance = np.full(log_pmf.size, np.inf)
    for row in range(table.tilt.size):
        mean, _ = removed_mean_and_log_mgf(removed_mu, table.tilt[row])
        for s in range(log_pmf.size):
            away = abs(table.mean[row] - mean - (n_cases - s))
            if 0 <= n_cases - s <= n_rest and away < distance[s]:
                distance[s] = away
                wanted[s] = row
    removed = np.empty(removed_mu.size)
    sums = np.ones(log_pmf.size)
    for row in range(table.tilt.size):
        if not np.any(wanted == row):
            continue
        for i in range(removed.size):
            removed[i] = tilted(removed_mu[i], table.tilt[row])
        size = 1.0
        for f in range(table.n_frequencies[row]):
            size += add_frequency(row, f, removed, table.mean[row] - n_cases, wanted, table, sums)
        _, log_mgf = removed_mean_and_log_mgf(removed_mu, table.tilt[row])
        for s in range(log_pmf.size):
            if wanted[s] == row:
                if sums[s] < _ENOUGH * size:
                    return False
                # P(k) = M(tilt) e^(-tilt k) P_tilted(k),  P_tilted(k) = sums / L,  1 / L = step / (2 pi)
                scale = table.log_mgf[row] - log_mgf - table.tilt[row] * (n_cases - s)
                log_pmf[s] = scale + math.log(sums[s] * table.step[row] / (2.0 * math.pi))
    for s in range(log_pmf.size):
        if wanted[s] < 0:
            log_pmf[s] = -math.inf
    return True


@jit
def log_poisson_binomial(g: Float64Array, mu: Float64Array, count: float, log_pmf: Float64Array) -> int:
    """ln of the law of the cases among those with this minor allele count, as far as ``log_pmf`` goes; how many they are."""
    n = 0
    log_pmf[0] = 0.0
    for i in range(g.size):
        if g[i] == count:
            case = math.log(mu[i])
            control = math.log1p(-mu[i])
            if n + 1 < log_pmf.size:
                log_pmf[n + 1] = log_pmf[n] + case
            for k in range(min(n, log_pmf.size - 1), 0, -1):
                log_pmf[k] = log_sum(log_pmf[k] + control, log_pmf[k - 1] + case)
            log_pmf[0] += control
            n += 1
    return n


@jit
def _levels(mu: Float64Array, level: Int64Array) -> int:
    """The carriers' log odds in steps, from 0 (the least likely case), into ``level``; the highest, 0 where they are alike."""
    low, high = math.inf, -math.inf
    for i in range(mu.size):
        odds = math.log(mu[i]) - math.log1p(-mu[i])
        low, high = min(low, odds), max(high, odds)
    if not high - low > _ALIKE:
        level[:] = 0
        return 0
    for i in range(mu.size):
        odds = math.log(mu[i]) - math.log1p(-mu[i])
        # Off the edges of steps, so that evenly spaced covariates do not lie on them.
        level[i] = math.floor((odds - low) / (high - low) * (LEVELS - 1) + _OFF_EDGES)
    return LEVELS - 1


@jit
def _tied_laws(g: Float64Array, mu: Float64Array, level: Int64Array, count: float, most: int, law: Float64Array) -> int:
    """Sums of products of odds over choices of k carriers with this count and R levels, into ``law`` (most + 1, R); how many they are."""
    law[:, :] = 0.0
    law[0, 0] = 1.0
    n = 0
    for i in range(g.size):
        if g[i] != count:
            continue
        n += 1
        odds, s = mu[i] / (1.0 - mu[i]), level[i]
        for k in range(min(n, most), 0, -1):
            for r in range(law.shape[1] - 1, s - 1, -1):
                law[k, r] += odds * law[k - 1, r - s]
    return n


@jit
def tied_share(g: Float64Array, mu: Float64Array, y: Float64Array, log_rest: Float64Array) -> float:
    """The chance, given T, of cases among the carriers that had no more of a chance than the observed ones."""
    T = R = 0
    level = np.empty(g.size, np.int64)
    top = _levels(mu, level)
    for i in range(g.size):
        if y[i] == 1.0:
            T += int(g[i])
            R += level[i]
    if top == 0 or T == 0 or T > MOST_TIED:
        return 1.0
    het, hom = np.zeros((T + 1, T * top + 1)), np.zeros((T // 2 + 1, (T // 2) * top + 1))
    n_het = _tied_laws(g, mu, level, 1.0, T, het)
    n_hom = _tied_laws(g, mu, level, 2.0, T // 2, hom)
    reference = log_rest.max()
    total = within = 0.0
    for b in range(min(n_hom, T // 2) + 1):
        a = T - 2 * b
        if a > n_het or log_rest[a + b] == -math.inf:
            continue
        weight = math.exp(log_rest[a + b] - reference)
        for s in range(b * top + 1):
            for r in range(a * top + 1):
                part = weight * hom[b, s] * het[a, r]
                total += part
                if r + s <= R:
                    within += part
    # 0 / 0 where the odds are too small for a double: no order among them.
    return min(within / total, 1.0) if within > 0.0 and total < math.inf else 1.0


@jit
def exact_rare_test(
    g: Float64Array,
    mu: Float64Array,
    y: Float64Array,
    mu_missing: Float64Array,
    n_cases: int,
    table: CaseCountTable,
    out: Float64Array,
) -> int:
    """One rare variant by the exact law of its carriers given the number of cases: p, mid-p, interval; the status.

    Parameters
    ----------
    g, mu, y : float64 arrays (m,)
        Minor alleles (1 or 2), null probability and trait (0 or 1) of the carriers.
    mu_missing : float64 array (k,)
        Null probabilities of samples that are in the table but whose genotype is missing: they are taken out.
    n_cases : int
        Cases among the samples analysed: carriers included, those with missing genotype not.
    table : CaseCountTable
        The trait's; see `genassoc.stats.exact_rare.case_count_table`.
    out : float64 array (4,)
        Filled: -ln p and -ln mid-p (which counts outcomes as far as the observed one by half), and the log odds ratios of
        the minor allele between which the interval lies. NaN unless found.

    Returns
    -------
    status : int
        `EXACT_FOUND`, `EXACT_NOT_COUNTS` or `EXACT_OFF_TABLE`.
    """
    m = g.size
    k = mu_missing.size
    observed = 0
    out[:] = math.nan
    for i in range(m):
        if g[i] != 1.0 and g[i] != 2.0:
            return EXACT_NOT_COUNTS
        if y[i] == 1.0:
            observed += int(g[i])
    if m == 0:
        return EXACT_NOT_COUNTS
    removed_mu = np.empty(m + k)
    put(removed_mu, 0, mu)
    put(removed_mu, m, mu_missing)
    # Of many carriers the law is kept as far as it matters: more cases among them have no chance beside those kept.
    size = m if 4 * mu.sum() > MOST_CASES or 4 * y.sum() > 3 * MOST_CASES else min(m, MOST_CASES)
    log_rest = np.empty(size + 1)
    if not log_pmf_of_rest(removed_mu, n_cases, table, log_rest):
        return EXACT_OFF_TABLE
    log_het = np.empty(size + 1)
    log_hom = np.empty(size + 1)
    n_het = min(log_poisson_binomial(g, mu, 1.0, log_het), size)
    n_hom = min(log_poisson_binomial(g, mu, 2.0, log_hom), size)
    log_law = np.full(n_het + 2 * n_hom + 1, -math.inf)
    for a in range(n_het + 1):
        for b in range(min(n_hom, size - a) + 1):
            T = a + 2 * b
            log_law[T] = log_sum(log_law[T], log_het[a] + log_hom[b] + log_rest[a + b])
    share = tied_share(g, mu, y, log_rest)
    out[EXACT_P], out[EXACT_MID_P] = two_sided(log_law, observed, share)
    interval(log_law, observed, share, out[EXACT_LOWER:])
    return EXACT_FOUND


@jit
def exact_rare_neg_log_p_rows(
    carriers: Carriers,
    n_cases: int,
    table: CaseCountTable,
    neg_log_p: Float64Array,
    neg_log_midp: Float64Array,
    status: UInt8Array,
) -> None:
    """`exact_rare_test` of V variants without missing genotypes, into outputs (V,)."""
    none, out = np.empty(0), np.empty(4)
    for v in range(carriers.starts.size - 1):
        rows = slice(carriers.starts[v], carriers.starts[v + 1])
        g, mu, y = carriers.g[rows], carriers.mu[rows], carriers.y[rows]
        status[v] = exact_rare_test(g, mu, y, none, n_cases, table, out)
        neg_log_p[v], neg_log_midp[v] = out[EXACT_P], out[EXACT_MID_P]
