"""Effects on the absolute scale: against their definitions, numeric derivatives and a simulation's truth."""

import numpy as np
import pytest
import statsmodels.api as sm

from genassoc.stats.absolute import Estimate, absolute_effects, number_needed, reri, standardised_risks

BETA = np.array([-1.0, 0.3, -0.8, 0.4, 0.5])  # intercept, g, e, g e, x
G, E, GE = 1, 2, 3


def design(n, seed):
    rng = np.random.default_rng(seed)
    g, e = rng.binomial(2, 0.3, n).astype(float), rng.integers(0, 2, n).astype(float)
    return np.column_stack([np.ones(n), g, e, g * e, rng.standard_normal(n)])


def fitted(n, seed):
    X = design(n, seed)
    y = np.random.default_rng(seed + 1).random(n) < 1 / (1 + np.exp(-X @ BETA))
    fit = sm.Logit(y.astype(float), X).fit(disp=0)
    return fit.params, fit.cov_params(), X


def mean_risk(beta, X, copies, arm):
    at = X.copy()
    at[:, G], at[:, E], at[:, GE] = copies, arm, copies * arm
    return (1 / (1 + np.exp(-at @ beta))).mean()


def gradient(function, beta):
    step = 1e-6
    return np.array([(function(beta + step * d) - function(beta - step * d)) / (2 * step) for d in np.eye(beta.size)])


def test_risks_and_differences():
    beta, covariance, X = fitted(800, 1)
    found = absolute_effects(beta, covariance, X, g=G, e=E, ge=GE)
    assert [arm.genotype for arm in found.arms] == [0, 1, 2]
    for effect in found.arms:
        copies = effect.genotype
        for estimate, function in (
            (effect.untreated, lambda b, c=copies: mean_risk(b, X, c, 0)),
            (effect.treated, lambda b, c=copies: mean_risk(b, X, c, 1)),
            (effect.difference, lambda b, c=copies: mean_risk(b, X, c, 1) - mean_risk(b, X, c, 0)),
        ):
            slope = gradient(function, beta)
            np.testing.assert_allclose(estimate.value, function(beta), rtol=1e-12)
            # Central differences of 1e-6 are right to 1e-9 or so.
            np.testing.assert_allclose(estimate.standard_error, np.sqrt(slope @ covariance @ slope), rtol=1e-6)
            np.testing.assert_allclose(estimate.ci_upper - estimate.value, 1.959963984540054 * estimate.standard_error)
    np.testing.assert_allclose(found.arms[1].number_needed.value, -1 / found.arms[1].difference.value)


def test_reri_of_one_copy():
    beta, covariance, X = fitted(800, 1)
    odds = np.exp

    def excess(b):
        return odds(b[G] + b[E] + b[GE]) - odds(b[G]) - odds(b[E]) + 1

    slope = gradient(excess, beta)
    found = absolute_effects(beta, covariance, X, g=G, e=E, ge=GE).reri
    np.testing.assert_allclose(found.value, excess(beta), rtol=1e-12)
    np.testing.assert_allclose(found.standard_error, np.sqrt(slope @ covariance @ slope), rtol=1e-6)
    # Hosmer & Lemeshow's own case: no interaction on either scale means RERI = (OR_g - 1)(OR_e - 1).
    plain = reri(np.log([2.0, 3.0, 6.0]), np.eye(3))
    np.testing.assert_allclose(plain.value, 2.0)


def test_other_codes_of_the_arm_change_nothing():
    beta, covariance, X = fitted(800, 1)
    found = absolute_effects(beta, covariance, X, g=G, e=E, ge=GE)
    # E + 1 in the columns e and g e: the same model in other coefficients.
    change = np.eye(5)
    change[0, E], change[G, GE] = -1.0, -1.0
    shifted = X.copy()
    shifted[:, E] += 1
    shifted[:, GE] = shifted[:, G] * shifted[:, E]
    other = absolute_effects(
        change @ beta, change @ covariance @ change.T, shifted, g=G, e=E, ge=GE, arms=(1.0, 2.0)
    )  # fmt: skip
    np.testing.assert_allclose(other.reri.value, found.reri.value)
    np.testing.assert_allclose(other.reri.standard_error, found.reri.standard_error)
    for one, two in zip(found.arms, other.arms):
        np.testing.assert_allclose(two.difference.standard_error, one.difference.standard_error)
        np.testing.assert_allclose(two.treated.value, one.treated.value)


def test_number_needed():
    benefit = number_needed(Estimate(-0.1, 0.02, -0.125, -0.05))
    assert (benefit.value, benefit.ci_lower, benefit.ci_upper) == (10, 8, 20) and not benefit.through_infinity
    unsure = number_needed(Estimate(-0.1, 0.1, -0.25, 0.05))
    assert unsure.through_infinity and (unsure.ci_lower, unsure.ci_upper) == (-20, 4)
    assert number_needed(Estimate(0.0, 0.1, -0.2, 0.2)).value == float("inf")


def test_the_difference_is_covered():
    """95 % intervals hold the truth in 95 % of trials, of which none is left out."""
    truth = {}
    big = design(400_000, 9)
    for copies in (0, 1, 2):
        truth[copies] = mean_risk(BETA, big, copies, 1) - mean_risk(BETA, big, copies, 0)
    covered = []
    for seed in range(100, 300):
        found = absolute_effects(*fitted(600, 2 * seed), g=G, e=E, ge=GE)
        covered += [a.difference.ci_lower <= truth[a.genotype] <= a.difference.ci_upper for a in found.arms[:2]]
    # Two intervals a trial, correlated: as if 200, 0.95 within 4 standard deviations.
    assert 0.888 <= np.mean(covered) <= 1.0


def test_shapes():
    with pytest.raises(ValueError, match="4 coefficients need a design of 4 columns"):
        absolute_effects(np.zeros(4), np.eye(4), np.ones((3, 5)), g=1, e=2, ge=3)
    risks, spread = standardised_risks(np.zeros(2), np.eye(2), [np.ones((3, 2))])
    assert risks == [0.5] and spread.shape == (1, 1)
