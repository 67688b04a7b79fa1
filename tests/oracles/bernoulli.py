"""Probabilities and log likelihood of a binary outcome, one sample at a time, by the library's functions."""

import numpy as np
from scipy.special import expit


def exp_minus_abs(eta):
    """``exp(-|eta|)``."""
    return np.exp(-np.abs(eta))


def weigh(eta, y):
    """mu, mu (1 - mu), and the sum of ``y eta - log(1 + exp(eta))``."""
    mu, rest = expit(eta), expit(-eta)
    return mu, mu * rest, float(np.sum(y * eta - np.logaddexp(0, eta)))
