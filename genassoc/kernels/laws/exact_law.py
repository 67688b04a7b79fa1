"""The two-sided p of an exact law of whole numbers, and the interval that it leaves: one rule for all exact tests.

T is the number of minor alleles among the cases (or events), its law the one given what is conditioned on: the number of cases, those
of each matched set, or the risk sets. p is the chance of a T at least as far from its mean ``E[T]`` as what is observed. That is

- valid: P(p <= a) <= a, since outcomes are ordered by one number, their distance, before the trait is seen;
- unimodal: p falls on both sides of the mean, whatever the law. Summing the outcomes that are no more likely than the observed
  one (Fisher's rule) is not: with homozygous carriers a law has holes at odd T near the mean, and p would be small there;
- the score test's order, |U|, so that p joins those of score and Firth's tests above and below;
- whole where one tail is empty: doubling the smaller tail spends half of the level on a tail that a rare disease does not have.

Under a log odds (or hazard) ratio b of each allele the law is ``law(T) e^(bT)``, normed. The interval holds every b whose p, by the same
rule under that law, is above 5 %. It is without 0 exactly where p is below 5 %, but for gaps between such b, which it covers.
"""

import math

import numpy as np

from genassoc.kernels import jit
from genassoc.kernels.laws.saddlepoint import log_sum
from genassoc.shapes import Float64Array

_TIE = 1.0 - 1e-9  # T - E[T] is known to 1e-12; distances that differ by less are the same distance
_SCAN, _HALVES = 32, 30  # steps inwards to an interval's end, then halves of the last: to 1e-9 of it
_FARTHEST = 64.0  # of log odds
_REACH = 12  # times as many alleles as are observed or expected: under no b of a 95 % interval are as many likely


@jit
def two_sided(log_law: Float64Array, observed: int, share: float) -> tuple[float, float]:
    """-ln p and -ln mid-p of T = observed, by distance from the mean, under a law of T = 0, 1, ... given as logs, normed or not.

    ``share`` of the outcomes with T as observed are at least as far as the observed one; with another T at the same distance, all.
    """
    log_total = -math.inf
    for T in range(log_law.size):
        log_total = log_sum(log_total, log_law[T])
    centre = 0.0
    for T in range(log_law.size):
        centre += T * math.exp(log_law[T] - log_total)
    distance = abs(observed - centre)
    beyond, opposite, own = -math.inf, -math.inf, log_law[observed]
    for T in range(log_law.size):
        away = abs(T - centre)
        if T == observed:
            continue
        if away >= _TIE * distance and distance >= _TIE * away:
            opposite = log_law[T]
        elif away > distance:
            beyond = log_sum(beyond, log_law[T])
    mid = log_sum(beyond, log_sum(own, opposite) - math.log(2.0))
    whole = log_sum(log_sum(beyond, opposite), own + math.log(share))
    return max(log_total - whole, 0.0), log_total - mid


@jit
def _tilted_p(
    log_law: Float64Array, observed: int, share: float, b: float, weight: Float64Array
) -> tuple[float, float]:
    """p as of `two_sided` under the law tilted by e^(bT), and its mean; ``weight`` is room for the law."""
    largest = -math.inf
    for T in range(log_law.size):
        weight[T] = log_law[T] + b * T
        largest = max(largest, weight[T])
    total = centre = 0.0
    for T in range(log_law.size):
        weight[T] = math.exp(weight[T] - largest)
        total += weight[T]
        centre += T * weight[T]
    centre /= total
    distance, far = abs(observed - centre), share * weight[observed]
    for T in range(log_law.size):
        if T != observed and abs(T - centre) >= _TIE * distance:
            far += weight[T]
    return far / total, centre


@jit
def interval(log_law: Float64Array, observed: int, share: float, ends: Float64Array) -> None:
    """The least and the largest b whose two-sided p under the law tilted by e^(bT) is above 5 %, into ``ends`` (2,).

    Infinite where T is as small, or as large, as it can be.
    """
    first, last = 0, log_law.size - 1
    while last > 0 and log_law[last] == -math.inf:
        last -= 1
    while first < last and log_law[first] == -math.inf:
        first += 1
    weight = np.empty(log_law.size)
    _, centre = _tilted_p(log_law, observed, share, 0.0, weight)
    # Outcomes that no b near the interval makes likely are left out: T of a thousand alleles costs no more than of some.
    size = min(last + 1, int(_REACH * (1.0 + max(float(observed), centre))))
    law = log_law[:size]
    last = min(last, size - 1)
    # The b under which about as many are expected as observed: p is near 1 there.
    aim = min(max(float(observed), first + 0.25), last - 0.25)
    low, high = -_FARTHEST, _FARTHEST
    for _ in range(_HALVES):
        middle = 0.5 * (low + high)
        if _tilted_p(law, observed, share, middle, weight)[1] < aim:
            low = middle
        else:
            high = middle
    near = 0.5 * (low + high)
    at_zero, _ = _tilted_p(law, observed, share, 0.0, weight)
    for end in range(2):
        side = 2.0 * end - 1.0
        ends[end] = side * math.inf
        if (observed <= first and end == 0) or (observed >= last and end == 1):
            continue
        # Far out nothing on the other side of the mean is as far as what is observed, and p falls to 0: double until there.
        step = 1.0
        while step < _FARTHEST:
            p, centre = _tilted_p(law, observed, share, near + side * step, weight)
            other = 2.0 * centre - observed
            if p < 0.05 and (other < first if end == 0 else other > last):
                break
            step *= 2.0
        # From there inwards, where p jumps as outcomes on the other side come as near: the first b with p above 5 %. It may be so for a
        # short way only, which steps pass over; not where it matters, at b = 0.
        out, inside, zero = step, 0.0, -side * near
        for k in range(1, _SCAN + 1):
            inside = step * (1.0 - k / _SCAN)
            if at_zero >= 0.05 and inside <= zero < out:
                inside = zero
                break
            if _tilted_p(law, observed, share, near + side * inside, weight)[0] >= 0.05:
                break
            out = inside
        for _ in range(_HALVES):
            middle = 0.5 * (inside + out)
            if _tilted_p(law, observed, share, near + side * middle, weight)[0] >= 0.05:
                inside = middle
            else:
                out = middle
        ends[end] = near + side * out


@jit
def exact_tails(law: Float64Array, observed: int, ends: Float64Array) -> float:
    """-ln p of T = observed under a law of T = 0, 1, ..., and the interval into ``ends`` (2,)."""
    log_law = np.empty(law.size)
    for T in range(law.size):
        log_law[T] = math.log(law[T]) if law[T] > 0.0 else -math.inf
    if log_law[observed] == -math.inf:
        ends[:] = math.nan
        return math.nan
    interval(log_law, observed, 1.0, ends)
    return two_sided(log_law, observed, 1.0)[0]
