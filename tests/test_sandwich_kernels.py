"""Kernels of sandwich variances on two coefficients against plain numpy, and what their statuses say."""

import numpy as np
import pytest
from oracles import cox_weighted_pairs as cox_oracle
from oracles import sandwich as sandwich_oracle
from oracles import weighted_pairs as glm_oracle

from genassoc.kernels.laws import sandwich
from genassoc.kernels.likelihoods import cox_weighted_pairs, glm, interaction_logistic, rows, weighted, weighted_pairs
from genassoc.models.cox.null import risk_sets

# Newton's method stops when the step left is a millionth of a standard error.
NEWTON = 2e-6
CONTRASTS = np.array([[1.0, 0.0], [0.0, 1.0], [0.0, 0.0], [1.0, 1.0], [1.0, -0.7]])


def covariance_of(row):
    k = interaction_logistic
    return np.array([[row[k.VAR_G], row[k.COVARIANCE]], [row[k.COVARIANCE], row[k.VAR_GE]]])


def room(R):
    numbers, freedom = np.empty((R, interaction_logistic.N_NUMBERS)), np.empty((R, len(CONTRASTS)))
    return numbers, freedom, np.zeros(R, np.int64), np.zeros(R, np.bool_)


@pytest.mark.kernel
def test_pair_variance():
    rng = np.random.default_rng(1)
    n = 9
    U = rng.normal(size=(n, 2)) * [1.0, 30.0]
    root = rng.normal(size=(n, 2, 2)) * [[1.0], [30.0]]
    E = root @ root.transpose(0, 2, 1)
    packed = np.ascontiguousarray(np.stack([E[:, 0, 0], E[:, 0, 1], E[:, 1, 1]], axis=1))
    row, freedom = np.full(interaction_logistic.N_NUMBERS, np.nan), np.empty(len(CONTRASTS))
    for most in (50.0, 1.5):
        assert sandwich.pair_variance(U, packed, CONTRASTS, most, row, freedom)
        covariance, expected = sandwich_oracle.pair_variance(U, E, CONTRASTS, most)
        np.testing.assert_allclose(covariance_of(row), covariance, rtol=1e-12)
        np.testing.assert_allclose(freedom, expected, rtol=1e-10)
    # one sample makes both coefficients: there is no covariance of two
    assert not sandwich.pair_variance(U[:1], packed, CONTRASTS, 50.0, row, freedom)


@pytest.mark.kernel
@pytest.mark.parametrize(
    "family, power", [("gaussian", 1), ("gaussian", 0), ("binomial", 0), ("binomial", 1), ("poisson", 1)]
)
def test_weighted_pairs(family, power):
    rng = np.random.default_rng(3)
    n = 40
    e = np.arange(n) % 2 * 1.0
    X = np.linalg.qr(np.column_stack([np.ones(n), rng.normal(size=n), e]))[0]
    y = {"gaussian": rng.normal(size=n), "binomial": (np.arange(n) // 2) % 2 * 1.0, "poisson": rng.poisson(2, n) * 1.0}[
        family
    ]
    g = rng.binomial(2, 0.5, n).astype(float)
    g[:4] = [1, np.nan, 2, np.nan]
    in_one_arm = g * e  # g e is g
    never = np.where((e == 1) & (y > 0), 0.0, np.nan_to_num(g))  # in one arm no carrier has the outcome
    G = np.array([g, in_one_arm, X[:, 1], never])
    prior, offset = rng.uniform(0.2, 3, n), 0.3 * np.sin(np.arange(n))
    code = {"gaussian": glm.GAUSSIAN, "binomial": glm.BINOMIAL, "poisson": glm.POISSON}[family]
    numbers, freedom, status, dropped = room(4)
    start = np.zeros(3)
    weighted_pairs.wald_pairs(
        code, G, e, X, y, offset, prior, start, power, False, CONTRASTS, numbers, freedom, status, dropped
    )
    assert status[:3].tolist() == [rows.FINE, rows.COLLINEAR, rows.COLLINEAR] and not dropped.any()
    assert family == "gaussian" or status[3] == rows.NOT_CONVERGED
    assert np.isnan(numbers[1:3]).all() and np.isnan(freedom[1:3]).all()
    for impute, row in ((False, 0), (True, 0)):
        if impute:
            weighted_pairs.wald_pairs(
                code, G[:1], e, X, y, offset, prior, start, power, True, CONTRASTS, numbers, freedom, status, dropped
            )
        mean = np.where(np.isnan(g) & impute, np.nanmean(g), g)
        theta, covariance, expected = glm_oracle.wald_pairs(family, X, y, mean, e, CONTRASTS, offset, prior, power)
        k = interaction_logistic
        errors = np.sqrt(np.diag(covariance))
        np.testing.assert_allclose(numbers[row, [k.G, k.GE]] / errors, theta / errors, rtol=0, atol=NEWTON)
        np.testing.assert_allclose(covariance_of(numbers[row]), covariance, rtol=1e-5, atol=1e-5 * covariance.max())
        np.testing.assert_allclose(freedom[row], expected, rtol=1e-5)


@pytest.mark.kernel
def test_a_sample_that_fits_itself_and_outcomes_without_a_variance():
    n = 30
    e, X = np.arange(n) % 2 * 1.0, np.full((n, 1), n**-0.5)
    y = np.sin(np.arange(n) * 1.7)
    alone = np.zeros(n)
    alone[[2, 4, 6, 5]] = 1.0  # one carrier in the arm
    G = np.array([alone, np.arange(n) // 2 % 3 * 1.0])
    numbers, freedom, status, dropped = room(2)
    weighted_pairs.wald_pairs(
        glm.GAUSSIAN,
        G,
        e,
        X,
        y,
        np.zeros(n),
        np.ones(n),
        np.zeros(1),
        1,
        False,
        CONTRASTS,
        numbers,
        freedom,
        status,
        dropped,
    )
    assert status.tolist() == [weighted.LEVERAGE, rows.FINE]
    weighted_pairs.wald_pairs(
        glm.GAUSSIAN, G, e, X, np.zeros(n), np.zeros(n), np.ones(n), np.zeros(1), 0, False, CONTRASTS, numbers, freedom, status,
        dropped,
    )  # fmt: skip
    assert status.tolist() == [weighted_pairs.NO_VARIANCE] * 2
    weighted_pairs.wald_pairs(
        glm.BINOMIAL, G, e, X, np.ones(n), np.zeros(n), np.ones(n), np.zeros(1), 1, False, CONTRASTS, numbers, freedom, status,
        dropped,
    )  # fmt: skip
    assert status.tolist() == [rows.ONE_OUTCOME] * 2 and np.isnan(numbers).all()


@pytest.mark.kernel
@pytest.mark.parametrize("efron", [True, False])
def test_cox_weighted_pairs(efron):
    rng = np.random.default_rng(8)
    n = 36
    stratum, e = np.repeat([0, 1], n // 2), np.arange(n) % 2 * 1.0
    time, event = np.ceil(rng.exponential(3, n)), rng.random(n) < 0.7
    event[0] = True
    entry, prior = np.where(rng.random(n) < 0.2, time - 1, -np.inf), rng.uniform(0.5, 3, n)
    x = rng.normal(size=n)
    own, X = np.column_stack([x, e]), np.column_stack([x, e])
    for s in (0, 1):
        own[stratum == s] -= own[stratum == s].mean(axis=0)
    Q = np.column_stack([np.full(n, n**-0.5), np.linalg.qr(own)[0]])
    g = rng.binomial(2, 0.5, n).astype(float)
    lost = g.copy()
    lost[[3, 15]] = np.nan
    sets, _ = risk_sets(time, event, entry, stratum, efron)
    never = np.where((e == 1) & event, 0.0, g)
    G = np.array([g, lost, g * e, never, np.where(event, np.nan, g)])
    numbers, freedom, status, dropped = room(5)
    start = np.zeros(2)
    cox_weighted_pairs.wald_pairs(G, e, Q, sets, prior, start, False, CONTRASTS, numbers, freedom, status, dropped)
    assert status.tolist() == [rows.FINE, rows.FINE, rows.COLLINEAR, rows.RUNAWAY, rows.ONE_OUTCOME]
    for row, values in enumerate((g, lost)):
        theta, covariance, expected = cox_oracle.wald_pairs(
            X, prior, values, e, CONTRASTS, time, event, entry, stratum, efron
        )
        k, errors = interaction_logistic, np.sqrt(np.diag(covariance))
        np.testing.assert_allclose(numbers[row, [k.G, k.GE]] / errors, theta / errors, rtol=0, atol=NEWTON)
        np.testing.assert_allclose(covariance_of(numbers[row]), covariance, rtol=1e-5, atol=1e-5 * covariance.max())
        np.testing.assert_allclose(freedom[row], expected, rtol=1e-5)
