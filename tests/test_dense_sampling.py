"""Dense fits of weighted and matched samples, which the audit compares rows with, against statsmodels, lifelines and all choices listed."""

import numpy as np
import pandas as pd
import pytest
import statsmodels.api as sm
from lifelines import CoxPHFitter
from oracles import conditional as oracle
from oracles import cox_weighted, ordinal_weighted, weighted
from scipy import stats
from scipy.special import gammaln
from statsmodels.discrete.conditional_models import ConditionalLogit

from genassoc.refit.conditional import Conditional
from genassoc.refit.fits import (
    NotFittedError,
    Sandwich,
    beside,
    by_normal_deviate,
    independent,
    maximise,
    ratio_test,
    satterthwaite,
    wald_test,
    within_sets,
)
from genassoc.refit.hazards import Hazards
from genassoc.refit.likelihoods import Binary, Counts, Levels, Normal

# Newton's method here stops at 1e-8 of a standard error, statsmodels' at 1e-12 of the deviance: both are then rounding.
SAME = 1e-9


def drawn(seed=4, n=180):
    rng = np.random.default_rng(seed)
    X = np.column_stack([np.ones(n), rng.normal(40, 9, n), rng.integers(0, 2, n)])
    g = rng.binomial(2, 0.2, n).astype(float)
    return rng, X, g, rng.uniform(0.3, 9.0, n)


def two_sided(t, df):
    return -(stats.t.logsf(abs(t), df) + np.log(2)) / np.log(10)


def least_squares(y, X, g, w, hc3):
    Q = independent(X)
    model = Normal(np.column_stack([Q, beside(Q, g[:, None])]), y, w, np.zeros(y.size))
    return wald_test(model, 1, Sandwich(1) if hc3 else Sandwich(0, "residual"))


@pytest.mark.parametrize("hc3", [True, False])
def test_weighted_least_squares_is_wls(hc3):
    rng, X, g, w = drawn()
    y = X @ [1.0, 0.1, -2.0] + 0.4 * g + rng.normal(size=g.size) * (1 + g)
    fit = sm.WLS(y, np.column_stack([X, g]), weights=w).fit(cov_type="HC3" if hc3 else "HC0", use_t=True)
    found = least_squares(y, X, g, w, hc3)
    assert found.beta == pytest.approx(fit.params[-1], rel=SAME)
    assert found.standard_error == pytest.approx(fit.bse[-1], rel=SAME)
    assert found.degrees_of_freedom == fit.df_resid if not hc3 else 1 < found.degrees_of_freedom < (g > 0).sum()
    expected = two_sided(fit.tvalues[-1], found.degrees_of_freedom)
    assert found.neg_log_10_p == pytest.approx(expected, rel=1e-8)
    scaled = least_squares(y, X, g, 1e-6 * w, hc3)  # the unit of the weights
    assert scaled.neg_log_10_p == pytest.approx(found.neg_log_10_p, rel=1e-9)
    with pytest.raises(NotFittedError, match="combination"):
        least_squares(y, X, 2.0 * X[:, 1] - X[:, 2], w, hc3)
    with pytest.raises(NotFittedError, match="too few"):
        least_squares(y[:4], X[:4], g[:4], w[:4], hc3)
    alone = np.zeros(g.size)
    alone[5] = 1.0
    if hc3:
        with pytest.raises(NotFittedError, match="leverage of 1"):
            least_squares(y, X, alone, w, hc3)


def test_degrees_of_freedom_are_satterthwaites():
    """By simulation: a sum of squares of normal deviates with variances q has mean^2 / variance of half its degrees."""
    q = np.array([5.0, 1.0, 1.0, 0.5, 0.1])
    sums = (np.random.default_rng(1).normal(size=(200_000, 5)) ** 2) @ q
    # less one for the coefficient; the variance of 200,000 such sums is known to 1 %
    assert satterthwaite(q[:, None, None], np.inf) + 1.0 == pytest.approx(2.0 * sums.mean() ** 2 / sums.var(), rel=0.03)


@pytest.mark.parametrize("hc3", [True, False])
def test_weighted_logistic_is_glm(hc3):
    rng, X, g, w = drawn()
    y = (0.4 * g - 0.8 + rng.logistic(size=g.size) > 0).astype(float)
    D = np.column_stack([independent(X), g])
    fit = sm.GLM(y, D, sm.families.Binomial(), var_weights=w).fit(cov_type="HC0", tol=1e-14, maxiter=100)
    found = wald_test(Binary(D, y, w, np.zeros(y.size)), 1, Sandwich(int(hc3)))
    assert found.beta == pytest.approx(fit.params[-1], rel=SAME)
    if not hc3:
        assert found.standard_error == pytest.approx(fit.bse[-1], rel=SAME)
        # statsmodels refers the same ratio to a normal law; rows have Satterthwaite's degrees of freedom.
        t = 2 * stats.t.sf(abs(fit.params[-1] / fit.bse[-1]), found.degrees_of_freedom)
        assert found.degrees_of_freedom < g.size
        assert found.neg_log_10_p == pytest.approx(-np.log10(t), rel=1e-8)
        return
    # HC3 spelt out: B sum (v_i (y_i - mu_i) / (1 - h_i))^2 x_i x_i' B
    mu = fit.fittedvalues
    v = w * mu * (1 - mu)
    B = np.linalg.inv(D.T @ (v[:, None] * D))
    h = v * np.einsum("ij,jk,ik->i", D, B, D)
    r = w * (y - mu) / (1 - h)
    covariance = B @ (D.T @ ((r**2)[:, None] * D)) @ B
    assert found.standard_error == pytest.approx(np.sqrt(covariance[-1, -1]), rel=SAME)
    assert found.neg_log_10_p == pytest.approx(two_sided(found.beta / found.standard_error, found.degrees_of_freedom))
    with pytest.raises(NotFittedError):
        wald_test(Binary(np.column_stack([D[:, :3], y * (g > 0)]), y, w, np.zeros(y.size)), 1, Sandwich(1))


@pytest.mark.parametrize("weighted", [True, False])
def test_hazards_are_lifelines_robust(weighted):
    rng, X, g, w = drawn()
    n = g.size
    time = rng.exponential(np.exp(-0.3 * g))  # no ties: lifelines' robust variance of Efron's is not R's
    event, site = (rng.random(n) < 0.7) * 1.0, rng.integers(0, 2, n)
    w = w if weighted else np.ones(n)
    table = pd.DataFrame({"t": time, "e": event, "x": (X[:, 1] - 40) / 9, "g": g, "w": w, "site": site})
    fit = CoxPHFitter().fit(
        table, "t", "e", weights_col="w", robust=True, strata=["site"], fit_options={"precision": 1e-13}
    )
    D = within_sets(table[["x", "g"]].to_numpy(), site)
    found = wald_test(Hazards(D, time, event, np.full(n, -np.inf), site, w, np.zeros(n)), 1, Sandwich(0))
    assert found.beta == pytest.approx(fit.params_["g"], rel=1e-7)
    assert found.standard_error == pytest.approx(fit.standard_errors_["g"], rel=1e-6)  # lifelines' own last step
    assert found.neg_log_10_p == pytest.approx(two_sided(found.beta / found.standard_error, found.degrees_of_freedom))
    assert 2 < found.degrees_of_freedom <= (g > 0).sum()


@pytest.mark.parametrize("efron", [True, False])
def test_weighted_hazards_with_ties_and_late_entry(efron):
    """Score and information by differences of the likelihood; weights of 2 are two samples at Breslow's ties."""
    rng, X, g, w = drawn(n=70)
    time, event = np.ceil(rng.exponential(4, 70)), (rng.random(70) < 0.6) * 1.0
    entry = np.where(rng.random(70) < 0.3, time - 1.0, -np.inf)
    D, site = np.column_stack([(X[:, 1] - 40) / 9, g]), rng.integers(0, 2, 70)
    model = Hazards(D, time, event, entry, site, w, np.zeros(70), efron)
    beta, step = np.array([0.2, -0.3]), 1e-5
    _, U, J = model.evaluate(beta)
    for k in range(2):
        move = step * np.eye(2)[k]
        up, down = model.evaluate(beta + move), model.evaluate(beta - move)
        assert U[k] == pytest.approx((up[0] - down[0]) / (2 * step), rel=1e-6)
        np.testing.assert_allclose(J[k], -(up[1] - down[1]) / (2 * step), rtol=1e-6)
    own, expected = model.influences(beta, np.eye(2), 2, 0)
    np.testing.assert_allclose(own.sum(axis=0), U, rtol=1e-9)
    assert (np.linalg.eigvalsh(expected) > -1e-12).all()
    if not efron:
        twice = Hazards(D, time, event, entry, site, np.full(70, 2.0), np.zeros(70), efron)
        both = Hazards(*(np.concatenate([part, part]) for part in (D, time, event, entry, site, np.ones(70), np.zeros(70))), efron)  # fmt: skip
        for a, b in zip(twice.evaluate(beta), both.evaluate(beta)):
            np.testing.assert_allclose(a, b, rtol=1e-10)


# every axis of every likelihood -------------------------------------------------------------------------------------------

PAIR = [[1, 0], [0, 1], [0, 0]]  # both coefficients, and both at once


def pair_drawn(n=160):
    """Covariates, g, E, weights and an offset."""
    rng, X, g, w = drawn(n=n)
    X[:, 1] = (X[:, 1] - 40) / 9
    return rng, X, g, X[:, 2], w / w.mean(), rng.normal(0, 0.3, n)


def check_pair(found_of, theta, covariance, freedom):
    """`found_of(names of the tested columns)` beside coefficients of g and g E, their covariance and degrees of freedom."""
    for k, own in enumerate((found_of([0]), found_of([1]))):
        # two Newton's methods, each stopped by its own rule at 1e-7 of a step or less
        assert own.beta == pytest.approx(theta[k], rel=1e-6)
        assert own.standard_error == pytest.approx(np.sqrt(covariance[k, k]), rel=1e-6)
        assert own.degrees_of_freedom == pytest.approx(freedom[k], rel=1e-5)
        assert own.neg_log_10_p == pytest.approx(two_sided(own.beta / own.standard_error, freedom[k]), rel=1e-6)
    both = found_of([0, 1])
    Q, df = theta @ np.linalg.solve(covariance, theta), freedom[2]
    assert both.degrees_of_freedom == pytest.approx(df, rel=1e-5)
    assert both.neg_log_10_p == pytest.approx(-stats.f.logsf(Q / 2 * df / (df + 1), 2, df) / np.log(10), rel=1e-5)


@pytest.mark.parametrize("power", [0, 1])
@pytest.mark.parametrize("family", ["gaussian", "binomial", "poisson"])
def test_weighted_pairs_beside_an_offset_are_the_oracle(family, power):
    rng, X, g, e, w, offset = pair_drawn()
    eta = 0.3 * g + 0.4 * g * e - 0.5 + offset
    y = {
        "gaussian": eta + rng.normal(size=g.size) * (1 + g),
        "binomial": (eta + rng.logistic(size=g.size) > 0) * 1.0,
        "poisson": rng.poisson(np.exp(eta)) * 1.0,
    }[family]
    like = {"gaussian": Normal, "binomial": Binary, "poisson": Counts}[family]
    theta, covariance, freedom = weighted.wald_columns(
        family, X, y, np.column_stack([g, g * e]), PAIR, offset, w, power
    )
    G = np.column_stack([g, g * e])

    def found_of(tested):
        others = np.column_stack([X, np.delete(G, tested, axis=1)])
        return wald_test(like(np.column_stack([others, G[:, tested]]), y, w, offset), len(tested), Sandwich(power))

    check_pair(found_of, theta, covariance, freedom)


@pytest.mark.parametrize("efron", [True, False])
def test_weighted_pairs_of_hazards_are_the_oracle(efron):
    rng, X, g, e, w, _ = pair_drawn(n=120)
    time, event = np.ceil(rng.exponential(5, g.size)), rng.random(g.size) < 0.7
    entry, site = np.where(rng.random(g.size) < 0.3, time - 1.0, -np.inf), rng.integers(0, 2, g.size)
    theta, covariance, freedom = cox_weighted.wald_columns(
        X[:, 1:], w, np.column_stack([g, g * e]), PAIR, time, event, entry, site, efron
    )
    G = np.column_stack([g, g * e])

    def found_of(tested):
        D = within_sets(np.column_stack([X[:, 1:], np.delete(G, tested, axis=1), G[:, tested]]), site)
        model = Hazards(D, time, event * 1.0, entry, site, w, np.zeros(g.size), efron)
        return wald_test(model, len(tested), Sandwich(0))

    check_pair(found_of, theta, covariance, freedom)


@pytest.mark.parametrize("power", [0, 1])
def test_weighted_levels_are_the_oracle(power):
    rng, X, g, _, w, _ = pair_drawn()
    level = np.digitize(0.4 * g + rng.logistic(size=g.size), [-0.5, 1.0, 2.0])
    beta, error, _, df = ordinal_weighted.wald_rows(X[:, 1:], level, g, w, power)
    model = Levels(np.column_stack([X[:, 1:], g]), level, w, np.zeros(g.size))
    found = wald_test(model, 1, Sandwich(power))
    assert found.beta == pytest.approx(beta, rel=1e-6)
    # the oracle's second derivatives are differences of scores: eight digits
    assert found.standard_error == pytest.approx(error, rel=1e-6)
    assert found.degrees_of_freedom == pytest.approx(df, rel=1e-6)
    # of two levels it is logistic regression, whose sandwich of two columns has an oracle
    two, D = (level > 1).astype(np.int64), np.column_stack([X[:, 1:], g, g * X[:, 2]])
    ordinal = wald_test(Levels(D, two, w, np.zeros(g.size)), 2, Sandwich(power))
    logistic = wald_test(Binary(np.column_stack([X[:, :1], D]), two * 1.0, w, np.zeros(g.size)), 2, Sandwich(power))
    assert ordinal.neg_log_10_p == pytest.approx(logistic.neg_log_10_p, rel=1e-8)
    assert ordinal.degrees_of_freedom == pytest.approx(logistic.degrees_of_freedom, rel=1e-8)


@pytest.mark.parametrize("what", ["normal", "binary", "counts", "levels", "hazards", "sets"])
def test_an_offset_is_a_column_with_its_coefficient_fixed(what):
    """At the maximum with a column free, the same as an offset leaves the other coefficients where they are."""
    rng, X, g, _, w, x = pair_drawn()
    n, weight = g.size, w if what != "sets" else np.ones(g.size)
    D, eta = np.column_stack([X, g]), 0.4 * g + x
    sets = np.arange(n) // 4
    y = {
        "normal": eta + rng.normal(size=n), "binary": (eta + rng.logistic(size=n) > 0.5) * 1.0,
        "counts": rng.poisson(np.exp(eta)) * 1.0, "levels": np.digitize(eta + rng.logistic(size=n), [-0.5, 1.0]),
        "hazards": (rng.random(n) < 0.7) * 1.0, "sets": (np.arange(n) % 4 == rng.integers(0, 4, n // 4)[sets]) * 1.0,
    }[what]  # fmt: skip
    time = np.ceil(9 * rng.exponential(np.exp(-eta)))
    if what in ("levels", "hazards", "sets"):
        D = D[:, 1:]

    def model(D, offset):
        if what == "hazards":
            return Hazards(D, time, y, np.full(n, -np.inf), sets % 2, weight, offset)
        if what == "sets":
            return Conditional(within_sets(D, sets), y, sets, offset)
        return {"normal": Normal, "binary": Binary, "counts": Counts, "levels": Levels}[what](D, y, weight, offset)

    free = maximise(model(np.column_stack([x, D]), np.zeros(n)))[0]
    at = free.size - D.shape[1] - 1  # of x: after the thresholds, if any
    held = maximise(model(D, free[at] * x))[0]
    np.testing.assert_allclose(held, np.delete(free, at), rtol=1e-6, atol=1e-7)
    assert np.abs(held - maximise(model(D, np.zeros(n)))[0]).max() > 1e-3  # an offset that is left out is seen


# matched sets ---------------------------------------------------------------------------------------------------------


def sets_of(seed, shapes):
    rng = np.random.default_rng(seed)
    y = np.concatenate([np.repeat([1.0, 0.0], shape) for shape in shapes])
    sets = np.repeat(np.arange(len(shapes)), [sum(shape) for shape in shapes])
    order = rng.permutation(y.size)
    D = np.column_stack([rng.normal(size=y.size) + 0.5 * y, rng.binomial(2, 0.3 + 0.1 * y)])
    return D[order], y[order], sets[order]


MIXED = ((1, 1), (1, 4), (3, 1), (2, 3), (4, 4), (5, 2), (0, 3), (2, 0)) * 4


@pytest.mark.parametrize("beta", [(0.0, 0.0), (0.7, -0.4), (-6.0, 11.0)])
def test_conditional_likelihood_is_that_of_all_choices(beta):
    D, y, sets = sets_of(1, MIXED)
    order = np.argsort(sets, kind="stable")
    pointers = np.concatenate([[0], np.cumsum(np.bincount(sets))])
    expected = oracle.conditional_likelihood(D[order], y[order], pointers, np.array(beta))
    for a, b in zip(Conditional(D, y, sets, np.zeros(y.size)).evaluate(np.array(beta)), expected):
        np.testing.assert_allclose(a, b, rtol=1e-9, atol=1e-10)


def test_wald_is_statsmodels_conditional_logit():
    D, y, sets = sets_of(2, MIXED)
    model = ConditionalLogit(y, D, groups=sets)
    at = model.fit(method="bfgs", disp=0).params
    for _ in range(2):  # its own maximum holds three digits
        at = at - np.linalg.solve(model.hessian(at), model.score(at))
    found = wald_test(Conditional(D, y, sets, np.zeros(y.size)))
    error = np.sqrt(np.linalg.inv(-model.hessian(at))[1, 1])
    assert found.beta == pytest.approx(at[1], rel=1e-6)
    assert found.standard_error == pytest.approx(error, rel=1e-5)  # second derivatives by differences
    lrt = ratio_test(Conditional(D, y, sets, np.zeros(y.size)))
    null = ConditionalLogit(y, D[:, :1], groups=sets)
    first = null.fit(method="bfgs", disp=0).params
    gain = model.loglike(at) - null.loglike(first)  # flat at the maximum: its three digits are six here
    assert lrt.neg_log_10_p == pytest.approx(-stats.chi2.logsf(2 * gain, 1) / np.log(10), rel=1e-4)


@pytest.mark.parametrize("M, m", [(900, 400), (3000, 1500)])
def test_large_sets_keep_their_digits(M, m):
    """No float64 holds the number of choices; a part of the roots of unity is enough."""
    x, y = np.random.default_rng(10).standard_normal((M, 1)), np.repeat([1.0, 0.0], (m, M - m))
    value, U, J = Conditional(x, y, np.zeros(M, np.int64), np.zeros(M)).evaluate(np.zeros(1))
    assert value == pytest.approx(gammaln(m + 1) + gammaln(M - m + 1) - gammaln(M + 1), rel=1e-11)
    # a sample of m without replacement
    assert U[0] == pytest.approx(x[:m].sum() - m * x.mean(), rel=1e-8)
    assert J[0, 0] == pytest.approx(m * (M - m) / M * x.var(ddof=1), rel=1e-8)


def test_exact_is_that_of_all_choices_and_needs_whole_copies():
    D, y, sets = sets_of(3, ((1, 2), (2, 3), (3, 4), (1, 1), (2, 2)) * 3)
    D[:, 1] = np.where(np.arange(y.size) % 6 == 0, 1.0, 0.0)
    model = Conditional(within_sets(D, sets), y, sets, np.zeros(y.size))
    everybody = np.ones(y.size, dtype=bool)
    null = maximise(model, held=1)[0]
    logp = model.law_of_events(null, D[:, 1], everybody)
    found = by_normal_deviate(wald_test(model), logp)
    order = np.argsort(sets, kind="stable")
    pointers = np.concatenate([[0], np.cumsum(np.bincount(sets))])
    X = within_sets(D, sets)[:, :1]
    eta = X[order, 0] * oracle.fit(X[order], y[order], pointers)[0]
    expected = oracle.exact_neg_log_p(D[order, 1], y[order], pointers, eta) / np.log(10)
    assert found.neg_log_10_p == pytest.approx(expected, rel=1e-7)
    assert abs(found.beta / found.standard_error) == pytest.approx(
        stats.norm.isf(10**-found.neg_log_10_p / 2), rel=1e-7
    )
    with pytest.raises(NotFittedError, match="whole"):
        model.law_of_events(null, D[:, 1] / 2, everybody)
    wide = np.zeros(80, np.int64)
    many = Conditional(np.random.default_rng(0).normal(size=(80, 1)), np.arange(80) % 2 * 1.0, wide, np.zeros(80))
    with pytest.raises(NotFittedError, match="too many choices"):
        many.law_of_events(np.zeros(1), np.arange(80) % 3 * 1.0, np.ones(80, dtype=bool))


def test_what_is_constant_in_sets_is_nothing():
    D, _, sets = sets_of(4, MIXED)
    left = within_sets(np.column_stack([D[:, 0], 1e6 + sets]), sets)
    assert (left[:, 1] == 0.0).all()
    for s in range(3):
        assert left[sets == s, 0].mean() == pytest.approx(0.0, abs=1e-12)
