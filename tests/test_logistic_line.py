"""Firth's regression of rare variants along a polynomial: beside the plain twin, from few carriers to too many."""

import numpy as np
import pytest
from oracles import logistic as plain

from genassoc.kernels.likelihoods.logistic_line import firth_of_rare
from genassoc.kernels.likelihoods.rows import BETA, MODEL_SE, N_NUMBERS, STATISTIC

# What six derivatives leave out of what non-carriers add, and the twin's last step.
TOLERANCE = 1e-5


def data(seed, n, frequency, share=0.3, missing=0):
    rng = np.random.default_rng(seed)
    eta = np.log(share / (1 - share)) + 0.3 * rng.normal(size=n)
    y = (rng.random(n) < 1 / (1 + np.exp(-eta))).astype(float)
    calls = rng.binomial(2, frequency, n).astype(float)
    calls[rng.choice(n, missing, replace=False)] = np.nan
    mu = 1 / (1 + np.exp(-eta))
    w = np.where(np.isnan(calls), 0.0, mu * (1 - mu))
    g = np.nan_to_num(calls)
    d = np.where(np.isnan(calls), 0.0, g - (w @ g) / w.sum())
    return d, eta, y, calls


@pytest.mark.kernel
@pytest.mark.parametrize("missing", [0, 12])
@pytest.mark.parametrize("frequency", [0.005, 0.02])
def test_rare_variants_beside_the_plain_twin(frequency, missing):
    d, eta, y, calls = data(2, 400, frequency, missing=missing)
    there = ~np.isnan(calls)
    row = np.full(N_NUMBERS, np.nan)
    assert firth_of_rare(d, eta, y, calls, row)
    beta, error, statistic = plain.firth_one(d[there], y[there], eta[there])[:3]
    assert abs(row[BETA] - beta) <= TOLERANCE * error
    np.testing.assert_allclose(row[MODEL_SE], error, rtol=TOLERANCE)
    np.testing.assert_allclose(row[STATISTIC], statistic, rtol=TOLERANCE, atol=TOLERANCE)


def test_no_case_carries_it():
    d, eta, y, calls = data(3, 3000, 0.002)
    y[calls > 0] = 0.0
    row = np.full(N_NUMBERS, np.nan)
    assert firth_of_rare(d, eta, y, calls, row)
    beta, error, statistic = plain.firth_one(d, y, eta)[:3]
    assert np.isfinite(beta) and abs(row[BETA] - beta) <= TOLERANCE * error
    np.testing.assert_allclose(row[STATISTIC], statistic, rtol=TOLERANCE)


def test_what_it_is_not_for_is_left():
    d, eta, y, calls = data(4, 400, 0.2)
    assert not firth_of_rare(d, eta, y, calls, np.full(N_NUMBERS, np.nan))


def test_others_may_move_far():
    d, eta, y, calls = data(5, 400, 0.01)
    steep = d + 0.5 * np.where(calls > 0, 0.0, np.sign(y - 0.5))  # they lean on the covariates
    row = np.full(N_NUMBERS, np.nan)
    assert firth_of_rare(steep, eta, y, calls, row)
    beta, error, statistic = plain.firth_one(steep, y, eta)[:3]
    assert abs(row[BETA] - beta) <= TOLERANCE * error
    np.testing.assert_allclose(row[STATISTIC], statistic, rtol=TOLERANCE, atol=TOLERANCE)
