"""The law of the score of ordered levels: its saddlepoint by scipy's root finder, and all of it by listing the outcomes."""

import itertools
import math

import numpy as np
from scipy.optimize import brentq
from scipy.special import logsumexp
from scipy.stats import norm

from oracles import ordinal


def score_parts(D, g, parameters, M):
    """What each sample adds to the efficient score at each level, and the chances of the levels: (n, K) both."""
    at = np.concatenate([parameters, [0.0]])
    full = np.column_stack([D, g])
    J = ordinal.expected_information(full, at, M)
    b = np.linalg.solve(J[:-1, :-1], J[:-1, -1])
    p = ordinal.chances(parameters[:M], D @ parameters[M:])
    slopes = np.stack([ordinal.gradient(full, np.full(len(g), k), at, M) for k in range(M + 1)], axis=1)
    return slopes[:, :, -1] - slopes[:, :, :-1] @ b, p


def finite_neg_log_p(u, c, p):
    """-ln p, two-sided, by Barndorff-Nielsen's formula."""

    def cgf(t):
        tilted = logsumexp(t * c, b=p, axis=1)
        share = p * np.exp(t * c - tilted[:, None])
        mean = (share * c).sum(axis=1)
        return tilted.sum(), mean.sum(), ((share * c**2).sum(axis=1) - mean**2).sum()

    logs = []
    for side in (u, -u):
        far = np.sign(side)
        while abs(cgf(far)[1]) < abs(side):
            far *= 2
            if abs(far) > 1e6:
                break
        if abs(cgf(far)[1]) < abs(side):
            logs.append(-np.inf)
            continue
        t = brentq(lambda t, at: cgf(t)[1] - at, *sorted((0.0, far)), xtol=1e-14, rtol=1e-14, args=(side,))
        w = np.sqrt(2 * (t * side - cgf(t)[0]))
        logs.append(norm.logsf(w + np.log(abs(t) * np.sqrt(cgf(t)[2]) / w) / w))
    return -logsumexp(logs)


def level_rows(D, level, g, parameters, M):
    """-ln p of one row; NaN in g is left out."""
    keep = ~np.isnan(g)
    c, p = score_parts(D[keep], g[keep], parameters, M)
    return finite_neg_log_p(c[np.arange(keep.sum()), level[keep]].sum(), c, p)


def exact(D, level, g, parameters, M):
    """-ln of the chance of a score as far from 0, or farther, by listing every outcome of every sample."""
    c, p = score_parts(D, g, parameters, M)
    u = abs(c[np.arange(len(g)), level].sum())
    far = 0.0
    for outcome in itertools.product(range(M + 1), repeat=len(g)):
        if abs(sum(c[i, k] for i, k in enumerate(outcome))) >= u * (1 - 1e-9):
            far += math.prod(p[i, k] for i, k in enumerate(outcome))
    return -math.log(far)


def carriers_neg_log_p(g, r, p, level):
    """-ln of the chance of a sum of few carriers' scores as far from its mean, or farther: every outcome listed, r in steps of 1/128."""
    steps = np.floor((r - r.min(axis=1, keepdims=True)) * g[:, None] * 128 + 0.5).astype(int)
    rows = np.arange(len(g))
    mean, observed, far = (p * steps).sum(), steps[rows, level].sum(), 0.0
    for outcome in itertools.product(range(p.shape[1]), repeat=len(g)):
        if abs(steps[rows, outcome].sum() - mean) >= abs(observed - mean) * (1 - 1e-9):
            far += math.prod(p[rows, outcome])
    return -math.log(far)
