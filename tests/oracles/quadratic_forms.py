"""Tails of weighted sums of chi-squared variables in many digits: slow, obvious, right.

Where the kernel integrates along a path through the complex plane, this pulls the path onto the cuts of the characteristic function,
which leaves real integrals between pairs of branch points ``1 / (2 lambda)``.
"""

import mpmath as mp
import numpy as np

DIGITS = 20


@mp.workdps(DIGITS)
def ln_tail(q, eigenvalues):
    """ln P(sum_j lambda_j chi2_1 >= q), eigenvalues all different.

    ``1 / pi sum_i (-1)^i integral from b_2i to b_2i+1 of exp(-q s) / (s prod_j |1 - 2 lambda_j s|^(1/2)) ds``, b the branch
    points in ascending order, the last one infinite where their number is odd.
    """
    weights = sorted((mp.mpf(float(x)) for x in eigenvalues), reverse=True)
    q = mp.mpf(float(q))
    ends = [1 / (2 * x) for x in weights] + ([mp.inf] if len(weights) % 2 else [])

    def integrand(s):
        product = mp.fprod(abs(1 - 2 * x * s) for x in weights)
        return mp.exp(-q * (s - ends[0])) / (s * mp.sqrt(product)) if product else mp.mpf(0)

    total = mp.mpf(0)
    for i in range(0, len(ends), 2):
        # exp(-q s) falls within a few 1 / q: the singular end gets an interval of its own
        between = [x for x in (ends[i] + mp.mpf(k) / q for k in (1, 8, 64)) if x < ends[i + 1]]
        total += (-1) ** (i // 2) * mp.quad(integrand, [ends[i], *between, ends[i + 1]])
    return mp.log(total / mp.pi) - q * ends[0]


def ln_tails(q, eigenvalues, out):
    """`ln_tail` of each q."""
    out[:] = [float(ln_tail(x, eigenvalues)) for x in q]


def ln_tail_of_pairs(q, means):
    """The same where each eigenvalue occurs twice: a sum of exponentials with these means, all different, in closed form."""
    means, q = [mp.mpf(float(x)) for x in means], mp.mpf(float(q))
    with mp.workdps(200):  # the sum alternates
        terms = [
            mp.exp(-q / means[i]) * mp.fprod(means[i] / (means[i] - other) for j, other in enumerate(means) if j != i)
            for i in range(len(means))
        ]
        return mp.log(mp.fsum(terms))


def cumulant_slopes(s, eigenvalues):
    """Derivatives of ``-1/2 sum ln(1 - 2 lambda s)`` by mpmath."""

    def cumulants(x):
        return -sum(mp.log(1 - 2 * mp.mpf(float(value)) * x) for value in eigenvalues) / 2

    return tuple(float(mp.diff(cumulants, s, k)) for k in (1, 2, 3))


def saddlepoint(q, eigenvalues):
    """The root of K'(s) = q by bisection."""
    low, high = -len(eigenvalues) / float(q), 0.5 / max(eigenvalues)
    for _ in range(200):
        s = (low + high) / 2
        low, high = (s, high) if np.sum(eigenvalues / (1 - 2 * eigenvalues * s)) < q else (low, s)
    return s
