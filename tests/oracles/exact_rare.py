"""The exact rare-variant test by listing every outcome of the carriers, and laws of counts by convolution."""

import itertools
import math

import numpy as np


def case_count_law(mu):
    """The chance of 0, 1, ..., N cases among independent samples: one convolution a sample, all terms positive."""
    law = np.ones(1)
    for m in mu:
        law = np.convolve(law, [1 - m, m])
    return law


def centred_characteristic_function(pi, angles):
    """E exp(i angle (count - mean)): the product over samples, as it is written."""
    turned = np.exp(1j * np.asarray(angles))[:, None]
    factors = (1 - pi + pi * turned) * np.exp(-1j * np.asarray(angles)[:, None] * pi)
    return factors.prod(axis=1)


def score_law(g, mu, mu_rest, n_cases):
    """{T: probability} of the minor alleles in cases, given the number of cases: all 2^m outcomes."""
    rest = case_count_law(mu_rest)
    law = {}
    for c in itertools.product((0, 1), repeat=len(g)):
        others = n_cases - sum(c)
        if 0 <= others < rest.size:
            weight = math.prod(m if case else 1 - m for m, case in zip(mu, c)) * rest[others]
            T = int(sum(count for count, case in zip(g, c) if case))
            law[T] = law.get(T, 0.0) + weight
    total = math.fsum(law.values())
    return {T: weight / total for T, weight in law.items()}


def levels(mu, steps=16, off_edges=0.4142, alike=1e-9):
    """The carriers' log odds in steps; no order where they are alike."""
    odds = np.log(mu) - np.log1p(-np.asarray(mu))
    spread = odds.max() - odds.min()
    return (
        np.floor((odds - odds.min()) / spread * (steps - 1) + off_edges).astype(int)
        if spread > alike
        else np.zeros(len(mu), int)
    )


def outcomes(g, mu, mu_rest, n_cases, b=0.0, most=20):
    """{(T, R): probability} of all 2^m outcomes given the number of cases, each allele's odds times e^b; R is 0 where T > ``most``."""
    rest, level = case_count_law(mu_rest), levels(mu)
    law = {}
    for c in itertools.product((0, 1), repeat=len(g)):
        others = n_cases - sum(c)
        if 0 <= others < rest.size:
            T = int(sum(count for count, case in zip(g, c) if case))
            R = int(sum(s for s, case in zip(level, c) if case)) if most >= T else 0
            weight = math.prod(m if case else 1 - m for m, case in zip(mu, c)) * rest[others] * math.exp(b * T)
            law[T, R] = law.get((T, R), 0.0) + weight
    total = math.fsum(law.values())
    return {key: weight / total for key, weight in law.items()}


def exact_rare_p(g, mu, y, mu_rest, n_cases, b=0.0):
    """p: outcomes farther from the conditional mean than the observed one, and of those with the same T the less likely cases."""
    law = outcomes(g, mu, mu_rest, n_cases, b)
    centre = math.fsum(T * p for (T, _), p in law.items())
    T_seen = int(sum(count for count, case in zip(g, y) if case))
    R_seen = int(sum(s for s, case in zip(levels(mu), y) if case)) if T_seen <= 20 else 0
    distance = abs(T_seen - centre)
    return math.fsum(
        p for (T, R), p in law.items() if (abs(T - centre) >= distance * (1 - 1e-9) if T_seen != T else R_seen >= R)
    )


def exact_rare_test(g, mu, y, mu_rest, n_cases):
    """-ln p and -ln mid-p: outcomes at least as far from the conditional mean as the observed one."""
    law = score_law(g, mu, mu_rest, n_cases)
    centre = math.fsum(T * p for T, p in law.items())
    distance = abs(sum(count for count, case in zip(g, y) if case) - centre)
    tied = math.fsum(p for T, p in law.items() if math.isclose(abs(T - centre), distance, rel_tol=1e-9))
    beyond = math.fsum(p for T, p in law.items() if abs(T - centre) > distance * (1 + 1e-9))
    return -math.log(exact_rare_p(g, mu, y, mu_rest, n_cases)), -math.log(beyond + tied / 2)
