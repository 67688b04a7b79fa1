"""Kernels of Wald tests on D tested columns against plain numpy, and what their statuses say."""

import numpy as np
import pytest
from oracles import cox_weighted as cox_oracle
from oracles import sandwich as sandwich_oracle
from oracles import weighted as glm_oracle

from genassoc.kernels.laws import sandwich
from genassoc.kernels.likelihoods import cox_weighted, glm, ordinal_tiles, ordinal_weighted, rows, weighted
from genassoc.kernels.likelihoods.newton import climb_of
from genassoc.stats.risk_sets import risk_sets

# Newton's method stops when the step left is a millionth of a standard error.
NEWTON = 2e-6
CONTRASTS = np.array([[1.0, 0.0], [0.0, 1.0], [0.0, 0.0], [1.0, 1.0], [1.0, -0.7]])
THREE = np.array([[1.0, 0.0, 0.0], [0.0, -1.0, 2.0], [0.0, 0.0, 0.0]])
KINDS = {"gaussian": glm.GAUSSIAN, "binomial": glm.BINOMIAL, "poisson": glm.POISSON}
FAMILIES = {name: glm.Family(kind, 0.0, False) for name, kind in KINDS.items()}


def columns_of(G, *factors):
    """H (R, D, n): g, and g times each factor."""
    return np.ascontiguousarray(np.stack([G, *(G * factor for factor in factors)], axis=1))


def check(fits, row, expected, freedom=True):
    theta, covariance, degrees = expected
    errors = np.sqrt(np.diag(covariance))
    np.testing.assert_allclose(fits.theta[row] / errors, theta / errors, rtol=0, atol=NEWTON)
    np.testing.assert_allclose(fits.covariance[row], covariance, rtol=1e-5, atol=1e-5 * covariance.max())
    if freedom:
        np.testing.assert_allclose(fits.freedom[row], degrees, rtol=1e-5)


@pytest.mark.kernel
@pytest.mark.parametrize("contrasts", [np.ones((1, 1)), CONTRASTS, THREE])
def test_sandwich_covariance(contrasts):
    rng = np.random.default_rng(1)
    n, D = 9, contrasts.shape[1]
    scale = np.array([1.0, 30.0, 0.1])[:D]
    U = rng.normal(size=(n, D)) * scale
    root = rng.normal(size=(n, D, D)) * scale[:, None]
    E = root @ root.transpose(0, 2, 1)
    packed = np.ascontiguousarray(np.stack([E[:, j, k] for j in range(D) for k in range(j + 1)], axis=1))
    covariance, freedom = np.empty((D, D)), np.empty(len(contrasts))
    for most in (50.0, 1.5):
        assert sandwich.sandwich_covariance(U, packed, contrasts, most, covariance, freedom)
        expected, degrees = sandwich_oracle.sandwich_covariance(U, E, contrasts, most)
        np.testing.assert_allclose(covariance, expected, rtol=1e-12)
        np.testing.assert_allclose(freedom, degrees, rtol=1e-10)
    # one sample makes all coefficients: there is no covariance of more than one
    assert sandwich.sandwich_covariance(U[:1], packed, contrasts, 50.0, covariance, freedom) == (D == 1)
    assert not sandwich.sandwich_covariance(0.0 * U, packed, contrasts, 50.0, covariance, freedom)


def glm_data(family):
    rng = np.random.default_rng(3)
    n = 40
    e = np.arange(n) % 2 * 1.0
    X = np.linalg.qr(np.column_stack([np.ones(n), rng.normal(size=n), e]))[0]
    y = {"gaussian": rng.normal(size=n), "binomial": (np.arange(n) // 2) % 2 * 1.0, "poisson": rng.poisson(2, n) * 1.0}[
        family
    ]
    g = rng.binomial(2, 0.5, n).astype(float)
    g[:4] = [1, np.nan, 2, np.nan]
    return rng, e, X, y, g


@pytest.mark.kernel
@pytest.mark.parametrize(
    "family, power",
    [("gaussian", 1), ("gaussian", 0), ("binomial", 0), ("binomial", 1), ("poisson", 1), ("poisson", None)],
)
def test_weighted_rows(family, power):
    rng, e, X, y, g = glm_data(family)
    n = y.size
    in_one_arm = g * e  # g e is g
    never = np.where((e == 1) & (y > 0), 0.0, np.nan_to_num(g))  # in one arm no carrier has the outcome
    H = columns_of(np.array([g, in_one_arm, X[:, 1], never]), e)
    prior, offset = rng.uniform(0.2, 3, n), 0.3 * np.sin(np.arange(n))
    samples = weighted.GlmSamples(X, y, offset, prior, np.zeros(3))
    variance = sandwich.MODEL if power is None else power
    fits = sandwich.room(4, 2, len(CONTRASTS))
    weighted.wald_rows(FAMILIES[family], H, samples, variance, CONTRASTS, fits)
    assert fits.status[:3].tolist() == [rows.FINE, rows.COLLINEAR, rows.COLLINEAR] and not fits.dropped.any()
    assert family == "gaussian" or fits.status[3] == rows.NOT_CONVERGED
    assert np.isnan(fits.theta[1:3]).all() and np.isnan(fits.freedom[1:3]).all()
    expected = glm_oracle.wald_columns(family, X, y, H[0].T, CONTRASTS, offset, prior, power)
    check(fits, 0, expected, power is not None)
    if power is None:  # the likelihood too, and no tested column at all
        whole, _, _ = glm_oracle.glm.fit(family, np.column_stack([X, H[0].T])[~np.isnan(g)], *(
            values[~np.isnan(g)] for values in (y, offset, prior)
        ))  # fmt: skip
        D = np.column_stack([X, H[0].T])[~np.isnan(g)]
        own = y[~np.isnan(g)], offset[~np.isnan(g)], prior[~np.isnan(g)]
        at = glm_oracle.glm.log_likelihood(family, D, own[0], whole, own[1], own[2])
        assert fits.objective[0] == pytest.approx(at, rel=1e-10) and np.isinf(fits.freedom[0]).all()
        null = sandwich.room(1, 0, 0)
        weighted.wald_rows(FAMILIES[family], H[:1, :0], samples, variance, np.zeros((0, 0)), null)
        assert null.status[0] == rows.FINE and null.objective[0] < fits.objective[0]


@pytest.mark.kernel
def test_three_columns_and_a_dispersion():
    rng, e, X, y, g = glm_data("poisson")
    H = columns_of(np.array([g]), e, rng.normal(size=y.size))
    prior, offset = np.ones(y.size), 0.3 * np.sin(np.arange(y.size))
    samples = weighted.GlmSamples(X, y, offset, prior, np.zeros(3))
    fits = sandwich.room(1, 3, len(THREE))
    weighted.wald_rows(FAMILIES["poisson"], H, samples, sandwich.HC3, THREE, fits)
    check(fits, 0, glm_oracle.wald_columns("poisson", X, y, H[0].T, THREE, offset, prior, 1))
    weighted.wald_rows(FAMILIES["poisson"], H, samples, sandwich.QUASI, THREE, fits)
    theta, covariance, _ = glm_oracle.wald_columns("poisson", X, y, H[0].T, THREE, offset, prior, None)
    keep = ~np.isnan(g)
    D = np.column_stack([X, H[0].T])[keep]
    mu = glm_oracle.glm.fit("poisson", D, y[keep], offset[keep])[1]
    dispersion = glm_oracle.glm.pearson_dispersion("poisson", y[keep], mu, 6)
    assert fits.dispersion[0] == pytest.approx(dispersion, rel=1e-6)
    check(fits, 0, (theta, dispersion * covariance, np.full(3, keep.sum() - 6.0)))


@pytest.mark.kernel
def test_a_sample_that_fits_itself_and_outcomes_without_a_variance():
    n = 30
    e, X = np.arange(n) % 2 * 1.0, np.full((n, 1), n**-0.5)
    alone = np.zeros(n)
    alone[[2, 4, 6, 5]] = 1.0  # one carrier in the arm
    H = columns_of(np.array([alone, np.arange(n) // 2 % 3 * 1.0]), e)
    fits = sandwich.room(2, 2, len(CONTRASTS))

    def run(family, y, variance):
        samples = weighted.GlmSamples(X, y, np.zeros(n), np.ones(n), np.zeros(1))
        weighted.wald_rows(family, H, samples, variance, CONTRASTS, fits)
        return fits.status.tolist()

    assert run(FAMILIES["binomial"], np.ones(n), sandwich.HC3) == [rows.ONE_OUTCOME] * 2 and np.isnan(fits.theta).all()
    assert run(FAMILIES["gaussian"], np.sin(np.arange(n) * 1.7), sandwich.HC3) == [rows.LEVERAGE, rows.FINE]
    assert run(FAMILIES["gaussian"], np.zeros(n), sandwich.HC0) == [rows.NO_VARIANCE] * 2


@pytest.mark.kernel
@pytest.mark.parametrize("efron", [True, False])
def test_cox_rows(efron):
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
    H = columns_of(np.array([g, lost, g * e, never, np.where(event, np.nan, g)]), e)
    samples = cox_weighted.CoxSamples(Q, sets, np.zeros(n), prior, np.zeros(2))
    fits = sandwich.room(5, 2, len(CONTRASTS))
    cox_weighted.wald_rows(H, samples, CONTRASTS, fits)
    assert fits.status.tolist() == [rows.FINE, rows.FINE, rows.COLLINEAR, rows.RUNAWAY, rows.ONE_OUTCOME]
    for row in range(2):
        check(fits, row, cox_oracle.wald_columns(X, prior, H[row].T, CONTRASTS, time, event, entry, stratum, efron))


@pytest.mark.kernel
def test_an_offset_is_a_column_with_its_coefficient():
    """The coefficients of a second fit, the first one's of a covariate held in the offset, are the first's."""
    rng = np.random.default_rng(5)
    n = 60
    x, z = rng.normal(size=n), rng.normal(size=n)
    g, prior, none = rng.binomial(2, 0.4, n).astype(float), rng.uniform(0.5, 2, n), np.zeros(n)
    H, only = np.array([[g]]), np.ones((1, 1))
    fits = sandwich.room(1, 1, 1)
    with_x, alone = np.linalg.qr(np.column_stack([np.ones(n), x]))[0], np.full((n, 1), n**-0.5)

    time, event, stratum = rng.exponential(3, n), rng.random(n) < 0.7, np.zeros(n, int)
    sets, _ = risk_sets(np.sort(time), event, np.full(n, -np.inf), stratum, True)
    centred = np.column_stack([alone, (x - x.mean()) / np.linalg.norm(x - x.mean())])
    whole = cox_weighted.CoxSamples(centred, sets, none, prior, np.zeros(1))
    cox_weighted.wald_rows(H, whole, only, fits)
    beta, w, L = np.zeros(2), np.empty(n), np.zeros((2, 2))
    D = np.column_stack([centred[:, 1], g])
    cox_weighted.fit(cox_weighted.CoxSamples(D, sets, none, prior, beta), 1, beta, w, L)
    assert fits.theta[0, 0] == pytest.approx(beta[1], rel=1e-6)
    held = cox_weighted.CoxSamples(alone, sets, beta[0] * centred[:, 1], prior, np.zeros(0))
    again = sandwich.room(1, 1, 1)
    cox_weighted.wald_rows(H, held, only, again)
    assert again.theta[0, 0] == pytest.approx(beta[1], rel=1e-5)

    level = np.searchsorted([-0.8, 0.6], x + 0.4 * z + rng.logistic(size=n))
    start = np.array([-0.8, 0.6, 0.0])
    whole = ordinal_weighted.OrdinalSamples(with_x, level, 3, none, prior, start)
    for variance in (sandwich.MODEL, sandwich.HC0):
        tests = ordinal_weighted.Tests(rows.WALD, variance, only, np.empty((0, 1, 1)))
        ordinal_weighted.fit_rows(H, whole, tests, fits, np.empty((1, 1)))
        parameters = np.append(start, 0.0)
        D = np.column_stack([with_x[:, 1], g])
        samples = ordinal_tiles.laid_out(D, level, none, prior, 2)
        ordinal_tiles.fit(samples, 4, 1, parameters, climb_of(np.zeros((4, 4))))
        held = ordinal_weighted.OrdinalSamples(alone, level, 3, parameters[2] * with_x[:, 1], prior, start[:2])
        ordinal_weighted.fit_rows(H, held, tests, again, np.empty((1, 1)))
        assert fits.theta[0, 0] == pytest.approx(parameters[3], rel=1e-5)
        assert again.theta[0, 0] == pytest.approx(parameters[3], rel=1e-5)
        assert again.covariance[0, 0, 0] <= fits.covariance[0, 0, 0] * 1.01  # one coefficient less is estimated
