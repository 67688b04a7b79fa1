"""Burden and SKAT from scores: R SKAT's numbers, and what holds of any set."""

import gzip
import json

import numpy as np
import pytest
from pages import run_page
from real_data import real_data

from genassoc.models.sets.tests import score_burden, skat

R_DIGITS = 1e-6  # R prints seven digits, and its Davies stops at an error of 1e-6
R_CASES = ("logistic", "logistic weighted", "linear", "linear weighted", "linear big", "logistic big")


def _scores(G, y, X, logistic):
    """U, V and the dispersion of a null model, in dense algebra."""
    if logistic:
        beta = np.zeros(X.shape[1])
        for _ in range(30):
            mean = 1.0 / (1.0 + np.exp(-X @ beta))
            beta += np.linalg.solve(X.T * (mean * (1.0 - mean)) @ X, X.T @ (y - mean))
        residual, w, sigma2 = y - mean, mean * (1.0 - mean), 1.0
    else:
        residual = y - X @ np.linalg.lstsq(X, y, rcond=None)[0]
        sigma2 = residual @ residual / (len(y) - X.shape[1])
        w = np.ones(len(y))
    GX = G * w @ X
    V = G * w @ G.T - GX @ np.linalg.solve(X.T * w @ X, GX.T)
    return G @ residual / sigma2, V, 1.0 / sigma2


def _r_case(name):
    folder = real_data("skat")
    cases = {case["name"]: case for case in json.loads((folder / "EXPECTED_skat.json").read_text())["cases"]}
    case = cases[name]
    if "big" in name:
        with gzip.open(folder / "skat_genotype_matrix.csv.gz", "rt") as lines:
            G = np.loadtxt(lines, delimiter=",").T
        G = G if G.shape[0] < G.shape[1] else G.T
        y = np.loadtxt(folder / "skat_phenotypes.csv")
        X, weights = np.ones((len(y), 1)), np.ones(len(G))
        y = (y > 2).astype(float) if "logistic" in name else y
    else:
        data = cases[name.split()[0]]
        G, y = np.array(data["genotypes"], float), np.array(data["phenotype"], float)
        X = np.column_stack([np.ones(len(y)), data["covariates"]])
        weights = np.sqrt(case["weights"])  # they are squares of R's argument
    return case, _scores(G, y, X, "logistic" in name), weights


@pytest.mark.parametrize("name", R_CASES)
def test_numbers_of_r_skat(name):
    case, (U, V, scale), weights = _r_case(name)
    scales = np.array([scale])
    # The two p of the big cases are Liu's: R falls back to it where its Davies has no digits left.
    method = "liu" if "big" in name else "auto"
    tested = skat(U[None], V, scales, weights, method)
    # R's Q is half of ours, and of a linear model times sigma^2.
    assert tested.statistic[0] / (2.0 * scale) == pytest.approx(case["Q"], rel=R_DIGITS)
    assert 10.0 ** -tested.neg_log_10_p[0] == pytest.approx(case["p"], rel=R_DIGITS)


def test_deep_tails_where_r_gives_an_approximation():
    for name, wrong in (("linear big", 4.072862e-57), ("logistic big", 2.697155e-24)):
        _case, (U, V, scale), weights = _r_case(name)
        right = skat(U[None], V, np.array([scale]), weights).neg_log_10_p[0]
        assert right < -np.log10(wrong) - 0.3  # Liu's tail is too light: here by 2.5 and 400 times


@pytest.fixture(scope="module")
def scored():
    rng = np.random.default_rng(11)
    G = rng.binomial(2, 0.02, (12, 900)).astype(float)
    X = np.column_stack([np.ones(900), rng.normal(size=(900, 2))])
    traits = rng.normal(size=(5, 900)) * np.array([1.0, 3.0, 0.1, 1.0, 50.0])[:, None]
    traits[3] += 0.8 * G[:6].sum(axis=0)
    found = [_scores(G, y, X, False) for y in traits]
    return np.array([U for U, _, _ in found]), found[0][1], np.array([scale for _, _, scale in found])


def test_traits_together_are_traits_alone(scored):
    U, V, scale = scored
    weights = np.linspace(0.5, 2.0, 12)
    for test in (skat, score_burden):
        together = test(U, V, scale, weights)
        for t in range(5):
            alone = test(U[t : t + 1], V, scale[t : t + 1], weights)
            np.testing.assert_allclose(alone.neg_log_10_p, together.neg_log_10_p[t : t + 1], rtol=1e-12)
            np.testing.assert_allclose(alone.statistic, together.statistic[t : t + 1], rtol=1e-12)


def test_one_variant_is_its_score_test(scored):
    U, V, scale = scored
    one = np.array([3.0])
    burden, quadratic = score_burden(U[:, :1], V[:1, :1], scale, one), skat(U[:, :1], V[:1, :1], scale, one)
    np.testing.assert_allclose(quadratic.neg_log_10_p, burden.neg_log_10_p, rtol=1e-9)
    np.testing.assert_allclose(burden.beta / burden.standard_error, U[:, 0] / np.sqrt(scale * V[0, 0]), rtol=1e-12)
    np.testing.assert_allclose(burden.beta, U[:, 0] / (3.0 * scale * V[0, 0]), rtol=1e-12)


def test_sets_without_variance():
    U, V = np.zeros((2, 3)), np.zeros((3, 3))
    for test in (skat, score_burden):
        assert np.isnan(test(U, V, np.ones(2), np.ones(3)).neg_log_10_p).all()
        assert np.isnan(test(np.zeros((2, 0)), np.zeros((0, 0)), np.ones(2), np.ones(0)).neg_log_10_p).all()
    # Two copies of a variant with opposite weights: the burden is constant, SKAT is not.
    copies = np.ones((2, 2))
    assert np.isnan(score_burden(np.ones((1, 2)), copies, np.ones(1), np.array([1.0, -1.0])).neg_log_10_p).all()
    assert skat(np.ones((1, 2)), copies, np.ones(1), np.array([1.0, -1.0])).neg_log_10_p[0] > 0.0


def test_a_trait_without_scale_is_nan_and_others_are_not(scored):
    U, V, scale = scored
    scale = scale.copy()
    scale[2] = np.nan
    for test in (skat, score_burden):
        found = test(U, V, scale, np.ones(12)).neg_log_10_p
        np.testing.assert_array_equal(np.isnan(found), [False, False, True, False, False])


def test_the_page_runs(capsys):
    run_page("genes/laws.md", 3)
    printed = dict(line.split(" ", 1) for line in capsys.readouterr().out.splitlines())
    assert set(printed) == {"score_burden", "skat", "skat_o"}
    assert all(float(value.strip("[]")) > 3.0 for value in printed.values())  # four of twelve variants add 0.9
