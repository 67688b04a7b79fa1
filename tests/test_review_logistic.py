"""Logistic regression where it is hard: separation, outliers, rows that lose a covariate, the size of rare tests."""

import numpy as np
import pytest
from oracles import logistic as oracle
from scipy.stats import hypergeom
from test_logistic import codes_of, complete, methods_of, run

from genassoc.models.logistic import family as logistic_null
from genassoc.models.logistic.model import Logistic


@pytest.fixture
def without_exact_tests_of_common_carriers(monkeypatch):
    """Firth where the exact test would take over, from 10 minor alleles on: the estimate is Firth's in both."""
    monkeypatch.setattr(logistic_null, "EXACT_BELOW_EXPECTED", 0.0)


def carriers(n, cases, controls, n_cases):
    """One variant: so many heterozygous cases (which come first) and controls."""
    codes = np.zeros((1, n), np.uint8)
    codes[0, :cases] = 1
    codes[0, n_cases : n_cases + controls] = 1
    return codes, np.repeat([1.0, 0.0], [n_cases, n - n_cases])[:, None]


@pytest.mark.parametrize(("n", "n_cases", "a", "b"), [(3000, 60, 10, 0), (3000, 60, 9, 1), (20_000, 200, 10, 2)])
def test_firth_converges_where_most_carriers_are_cases(without_exact_tests_of_common_carriers, n, n_cases, a, b):
    codes, y = carriers(n, a, b, n_cases)
    result = run(Logistic("y", correction="firth"), codes, y, [])
    assert codes_of(result) == [None] and methods_of(result) == ["firth"]
    # With a saturated model Firth's penalty adds one half to every cell (Heinze & Schemper 2002).
    odds = (a + 0.5) * (n - n_cases - b + 0.5) / ((b + 0.5) * (n_cases - a + 0.5))
    np.testing.assert_allclose(result["beta"][0, 0], np.log(odds), rtol=1e-5)  # the stopping rule


@pytest.mark.parametrize(("n", "n_cases", "a", "b"), [(3000, 200, 10, 0), (20_000, 200, 12, 0)])
def test_approximate_firth_finds_the_highest_maximum(without_exact_tests_of_common_carriers, n, n_cases, a, b):
    codes, y = carriers(n, a, b, n_cases)
    result = run(Logistic("y"), codes, y, [])
    _, outcome, g = complete(codes, y, np.empty((n, 0)), 0)
    rest = (g - g.mean())[:, None]
    offset = np.full(n, np.log((n_cases + 0.5) / (n - n_cases + 0.5)))
    at = [oracle.penalised_log_likelihood(rest, outcome, np.array([b]), offset) for b in np.arange(0.0, 15.0, 0.05)]
    beta = result["beta"][0, 0]
    assert abs(beta - 0.05 * np.argmax(at)) < 0.05
    ratio = 2 * (max(at) - at[0])
    assert result["statistic"][0, 0] ** 2 > ratio - 1e-6


def test_a_row_that_loses_a_covariate_is_corrected_like_any_other(without_exact_tests_of_common_carriers):
    rng = np.random.default_rng(1)
    n = 4000
    site = np.zeros(n)
    site[3000:3010] = 1
    X = np.column_stack([site, rng.standard_normal(n)])
    codes = np.zeros((2, n), np.uint8)
    codes[0, [0, 1, *range(100, 120)]] = 1
    codes[1, [0, 1, *range(100, 104)]] = 1
    codes[:, 3000:3010] = 3
    y = (np.arange(n) < 20).astype(float)[:, None]
    result = run(Logistic("y"), codes, y, X)
    assert codes_of(result) == ["covariate_collinear"] * 2
    assert methods_of(result) == ["firth_approx", "exact"]


def outlier(seed=0, n=400):
    """A covariate with one sample 1000 standard deviations away, fitted perfectly; carriers enriched in cases."""
    rng = np.random.default_rng(seed)
    x = rng.standard_normal(n)
    y = (rng.random(n) < 1 / (1 + np.exp(2 + x))).astype(float)
    x[0], y[0] = 1000.0, 0.0
    codes = np.zeros((1, n), np.uint8)
    codes[0, [0, *np.flatnonzero(y == 1)[:12]]] = 1
    return codes, y[:, None], x[:, None]


def test_the_saddlepoint_of_a_sample_without_information_costs_no_run():
    codes, y, x = outlier()
    result = run(Logistic("y", correction="spa"), codes, y, x)
    assert methods_of(result) == ["spa"] or codes_of(result) == ["spa_failed"]


def test_a_sample_without_information_does_not_hide_a_hit_from_approximate_firth():
    codes, y, x = outlier()
    full = run(Logistic("y", correction="firth"), codes, y, x)["neg_log_10_p_value"][0, 0]
    approximate = run(Logistic("y"), codes, y, x)["neg_log_10_p_value"][0, 0]
    assert full > 7
    assert approximate > 0.7 * full  # the same hit; the two penalties differ


def test_float32_sums_where_the_minor_allele_of_the_trait_is_the_major_of_the_cohort():
    rng = np.random.default_rng(2)
    n = 20_000
    trait = np.arange(12_000, n)
    y = np.full((n, 1), np.nan)
    y[trait, 0] = rng.random(8000) < 0.1
    codes = np.zeros((3, n), np.uint8)
    codes[:, trait] = 2
    for v, count in enumerate((11, 15, 30)):
        codes[v, rng.choice(trait, count, replace=False)] = 1
    result = run(Logistic("y", correction=None), codes, y, [])
    for v in range(3):
        _, information = oracle.score(*complete(codes, y, np.empty((n, 0)), v))
        # statistics.md: |d SE| <= 1e-5 SE
        assert abs(result["standard_error"][v, 0] * np.sqrt(information) - 1) <= 1e-5


@pytest.mark.parametrize(("n", "n_cases"), [(5000, 10), (20_000, 20), (20_000, 100)])
@pytest.mark.parametrize("mac", [10, 15, 20])
def test_the_size_of_rare_variants_by_enumeration(n, n_cases, mac):
    last = min(mac, n_cases)
    codes = np.concatenate([carriers(n, a, mac - a, n_cases)[0] for a in range(last + 1)])
    y = carriers(n, 0, 0, n_cases)[1]
    logp = run(Logistic("y"), codes, y, [])["neg_log_10_p_value"][:, 0]
    chance = hypergeom.pmf(np.arange(last + 1), n, mac, n_cases)
    for alpha in (0.01, 1e-3, 1e-4, 1e-6):
        # The test is discrete: it may be too small, never too large (a tenth for the Firth approximation).
        assert chance[logp >= -np.log10(alpha)].sum() <= 1.1 * alpha, alpha
