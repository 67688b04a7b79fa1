"""The dense fits that the audit compares rows with, against scipy, statsmodels and the plain oracles."""

import numpy as np
import pytest
import statsmodels.api as sm
from oracles import cox as cox_oracle
from oracles import logistic as logistic_oracle
from oracles import ordinal as ordinal_oracle
from scipy import stats

from genassoc.refit.fits import (
    NotFittedError,
    approximate_firth_test,
    beside,
    independent,
    ratio_test,
    score_test,
    wald_test,
)
from genassoc.refit.hazards import Hazards
from genassoc.refit.likelihoods import Binary, Counts, Levels, Normal
from genassoc.refit.tails import neg_log_10_p, neg_log_10_p_normal


def drawn(n=120, seed=3):
    rng = np.random.default_rng(seed)
    X = np.column_stack([np.ones(n), rng.normal(40, 9, n), rng.integers(0, 2, n)])
    return rng, X, rng.binomial(2, 0.3, n).astype(float)


def plain(n):
    """Weights of 1 and no offset."""
    return np.ones(n), np.zeros(n)


@pytest.mark.parametrize("df", [3.0, 80.0, 4000.0])
@pytest.mark.parametrize("t", [0.01, 2.0, 12.0])
def test_student_tail(t, df):
    expected = -np.log10(2 * stats.t.sf(t, df))
    assert neg_log_10_p(t * t, 1, df) == pytest.approx(expected, rel=1e-10, abs=1e-11)  # near p = 1, x is 1


@pytest.mark.parametrize("k", [1, 2, 3, 4, 7])
def test_tails_of_several_coefficients(k):
    for Q in (0.0, 1e-3, 4.0, 90.0):
        assert neg_log_10_p(Q, k) == pytest.approx(-stats.chi2.logsf(Q, k) / np.log(10), rel=1e-10, abs=1e-14)
        for df in (5.0, 300.0):
            expected = -stats.f.logsf(Q / k, k, df) / np.log(10)
            assert neg_log_10_p(Q, k, df) == pytest.approx(expected, rel=1e-9, abs=1e-11)


def test_tails_where_p_underflows():
    mpmath = pytest.importorskip("mpmath")
    t, df = 45.0, 5000.0
    with mpmath.workdps(40):
        p = mpmath.betainc(df / 2, 0.5, 0, df / (df + t * t), regularized=True)
        expected = float(-mpmath.log10(p))
    assert expected > 300
    assert neg_log_10_p(t * t, 1, df) == pytest.approx(expected, rel=1e-10)
    with mpmath.workdps(40):
        expected = float(-mpmath.log10(mpmath.erfc(40 / mpmath.sqrt(2))))
    assert neg_log_10_p_normal(40.0) == pytest.approx(expected, rel=1e-12)
    Q, df = 2500.0, 900.0
    with mpmath.workdps(40):
        p = mpmath.betainc(df / 2, 1.5, 0, df / (df + Q), regularized=True)
        chi2 = mpmath.gammainc(1.5, Q / 2, regularized=True)
        expected, of_chi2 = float(-mpmath.log10(p)), float(-mpmath.log10(chi2))
    assert neg_log_10_p(Q, 3, df) == pytest.approx(expected, rel=1e-10)
    assert neg_log_10_p(Q, 3) == pytest.approx(of_chi2, rel=1e-12)


def test_least_squares_is_statsmodels():
    rng, X, g = drawn()
    y = X @ [1.0, 0.1, -2.0] + 0.3 * g + rng.normal(size=g.size)
    G, n = np.column_stack([g, g == 1]), g.size
    fit = sm.OLS(y, np.column_stack([X, G])).fit()
    redundant = np.column_stack([X, X[:, 1] - X[:, 2]])
    for k in range(2):
        Q = independent(np.column_stack([redundant, G[:, 1 - k]]))
        own = wald_test(Normal(np.column_stack([Q, beside(Q, G[:, [k]])]), y, *plain(n)))
        assert own.beta == pytest.approx(fit.params[3 + k], rel=1e-9)
        assert own.standard_error == pytest.approx(fit.bse[3 + k], rel=1e-9)
        assert own.neg_log_10_p == pytest.approx(-np.log10(fit.pvalues[3 + k]), rel=1e-8)
    Q = independent(redundant)
    joint = wald_test(Normal(np.column_stack([Q, beside(Q, G)]), y, *plain(n)), 2)
    assert joint.neg_log_10_p == pytest.approx(-np.log10(fit.compare_f_test(sm.OLS(y, X).fit())[1]), rel=1e-8)


def test_what_is_a_covariate_has_no_fit():
    _, X, g = drawn()
    with pytest.raises(NotFittedError, match="combination"):
        beside(independent(np.column_stack([X, g])), g[:, None])
    with pytest.raises(NotFittedError, match="combination"):
        beside(independent(X), np.column_stack([g, 2.0 * g - X[:, 1]]))
    y = (g > 0).astype(float)
    with pytest.raises(NotFittedError, match=r"no maximum|singular"):
        wald_test(Binary(np.column_stack([X, g]), y, *plain(g.size)))


@pytest.mark.parametrize("what", ["score", "wald", "lrt", "firth", "firth_approx"])
def test_logistic_is_the_oracle(what):
    rng, X, g = drawn()
    y = (rng.random(g.size) < 1 / (1 + np.exp(-(0.5 * g - 1)))).astype(float)
    X = np.column_stack([X[:, 0], (X[:, 1] - 40) / 9])
    [[beta, z]] = logistic_oracle.analyse_rows(X, y, g[None], what)
    ones, none = plain(g.size)
    model = Binary(np.column_stack([X, g]), y, ones, none)
    found = {
        "score": lambda: score_test(model),
        "wald": lambda: wald_test(model),
        "lrt": lambda: ratio_test(model),
        "firth": lambda: ratio_test(model, firth=True),
        "firth_approx": lambda: approximate_firth_test(lambda D, offset: Binary(D, y, ones, offset), X, g, none),
    }[what]()
    # The oracle's optimiser stops at 1e-10 of a coefficient, the square of which is lost in the likelihood.
    assert found.beta == pytest.approx(beta, rel=1e-6)
    assert found.beta / found.standard_error == pytest.approx(z, rel=1e-6)


@pytest.mark.parametrize("efron", [True, False])
def test_hazards_are_the_oracle(efron):
    rng, X, g = drawn(n=70)
    time, event = np.ceil(rng.exponential(9, g.size)), (rng.random(g.size) < 0.6).astype(float)
    entry = np.where(rng.random(g.size) < 0.4, time - rng.integers(1, 4, g.size), -np.inf)
    stratum = rng.integers(0, 2, g.size)
    D, beta = np.column_stack([(X[:, 1] - 40) / 9, g]), np.array([0.2, -0.4])
    A = cox_oracle.terms(time, event, entry, stratum, efron)
    model = Hazards(D, time, event, entry, stratum, *plain(g.size), efron)
    value, U, J, _ = cox_oracle.partial_likelihood(D, beta, event, A)
    found = model.evaluate(beta)
    assert found[0] == pytest.approx(value, rel=1e-12)
    np.testing.assert_allclose(found[1], U, rtol=1e-10)
    np.testing.assert_allclose(found[2], J, rtol=1e-10)
    np.testing.assert_allclose(model.penalty(beta), cox_oracle.add_firth_gradient(D, beta, event, A), rtol=1e-9)
    ratio = ratio_test(model, firth=True)
    expected = cox_oracle.firth(D[:, :1], g, event, A)
    assert ratio.beta == pytest.approx(expected[0], rel=1e-5)  # where the oracle's optimiser stops
    assert (ratio.beta / ratio.standard_error) ** 2 == pytest.approx(expected[1], rel=1e-6)


@pytest.mark.parametrize("what", ["score", "wald", "lrt"])
def test_levels_are_the_oracle(what):
    rng, X, g = drawn()
    x = (X[:, 1:2] - 40) / 9
    level = np.digitize(0.4 * g + rng.logistic(size=g.size), [-0.5, 1.0, 2.0])
    beta, error, z = ordinal_oracle.analyse_rows(x, level, g, what)
    model = Levels(np.column_stack([x, g]), level, *plain(g.size))
    test = {"score": score_test, "wald": wald_test, "lrt": ratio_test}[what]
    found = test(model)
    assert found.beta == pytest.approx(beta, rel=1e-6)
    assert found.standard_error_model == pytest.approx(error, rel=1e-6)  # the oracle's differences hold eight digits
    assert found.beta / found.standard_error == pytest.approx(z, rel=1e-6)


def test_counts_are_statsmodels():
    rng, X, g = drawn()
    offset = np.log(rng.uniform(1, 4, g.size))
    y = rng.poisson(np.exp(offset + 0.2 * g - 1)).astype(float)
    D = np.column_stack([X, g])
    fit = sm.GLM(y, D, family=sm.families.Poisson(), offset=offset).fit(scale="X2", tol=1e-12)
    found = wald_test(Counts(D, y, np.ones(y.size), offset, quasi=True))
    assert found.beta == pytest.approx(fit.params[-1], rel=1e-8)
    assert found.standard_error == pytest.approx(fit.bse[-1], rel=1e-8)
    t = fit.params[-1] / fit.bse[-1]
    assert found.neg_log_10_p == pytest.approx(-np.log10(2 * stats.t.sf(abs(t), fit.df_resid)), rel=1e-8)


def test_plink2s_logistic_fit_is_r_glms():
    """Start, stopping rule and the weights of the last step, of two columns of which both are tested."""
    rng = np.random.default_rng(12)
    D = np.column_stack([np.ones(150), rng.normal(size=150), rng.integers(0, 3, 150), rng.integers(0, 2, 150)])
    y = (rng.random(150) < 0.3).astype(float)
    beta, errors, _ = logistic_oracle.fit_as_r(D, y)
    found, covariance = Binary(D, y, *plain(150)).as_r()
    # the same steps in float64
    np.testing.assert_allclose(found, beta, rtol=1e-9, atol=1e-12)
    np.testing.assert_allclose(np.sqrt(np.diag(covariance)), errors, rtol=1e-9)
    y[D[:, 3] == 1] = 1.0  # the last column separates: its odds rise until R is content; a Wald test has no estimate
    assert np.sqrt(Binary(D, y, *plain(150)).as_r()[1][3, 3]) > 100
    with pytest.raises(NotFittedError, match=r"separated|singular"):
        wald_test(Binary(D, y, *plain(150)))
