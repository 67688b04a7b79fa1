"""Variants of several tested columns, screened by a score test of all of them: beside oracles, and beside fits of every row."""

from dataclasses import replace

import numpy as np
import pytest
from glm_cohort import MemoryCohort, run
from oracles import joint_columns as oracle
from oracles import negative_binomial as counts_oracle

import genassoc as ga
from genassoc.data.block import GenotypeBlock
from genassoc.data.phenotypes.modifier import Modifier
from genassoc.kernels.genotypes.counts import mask_words
from genassoc.kernels.laws.sandwich import room
from genassoc.kernels.likelihoods import glm, glm_ratios, joint_score_rows, logistic_ratios, rows
from genassoc.kernels.likelihoods.logistic_columns import LogisticSamples
from genassoc.kernels.likelihoods.weighted import GlmSamples
from genassoc.models.base import METHODS
from genassoc.models.scan import wald
from genassoc.models.scan.joint_screen import MARGINS, ProductScreen, ScoredNull, needs_fit
from genassoc.models.scan.joint_tests import tests_of_columns as as_kernels_take
from genassoc.models.scan.sums import genotype_sums
from genassoc.models.scan.tested import GENOTYPIC
from genassoc.models.scan.tested import tested_with as with_modifier

FLOAT32 = 2e-5  # sums of a block are of single precision in tiles of 256 samples
SCORES = np.array(["score", "score_approx"], dtype=object)


def drawn(n=140, V=5, seed=1, missing=0.01):
    rng = np.random.default_rng(seed)
    codes = rng.binomial(2, rng.uniform(0.3, 0.7, V)[:, None], (V, n)).astype(np.uint8)
    codes[1:][rng.random((V - 1, n)) < missing] = 3
    X = np.ascontiguousarray(np.linalg.qr(np.column_stack([np.ones(n), rng.normal(size=n)]))[0])
    return codes, X, rng.permutation(np.arange(n) % 2).astype(float), rng


def columns_of(tested, codes):
    calls = np.where(codes == 3, np.nan, codes.astype(float))
    return np.ascontiguousarray(tested.columns(calls))


def what_is_tested(what, arm):
    if what == "genotypic":
        return GENOTYPIC
    everyone = np.arange(arm.size)
    return with_modifier(Modifier("arm", arm, (("0", 0.0), ("1", 1.0)), ()), everyone, everyone, arm.size)


def null_at(X, y, log_likelihood):
    beta = oracle.height(X, y, log_likelihood)[1]
    return log_likelihood(X @ beta, y)[1], y - (
        1 / (1 + np.exp(-X @ beta)) if log_likelihood is oracle.binomial else np.exp(X @ beta)
    )


@pytest.mark.kernel
@pytest.mark.parametrize("what", ["genotypic", "arm"])
@pytest.mark.parametrize("flip", [False, True])
def test_scores_from_a_product(what, flip):
    codes, X, arm, rng = drawn()
    y = (rng.random(arm.size) < 0.4).astype(float)
    w, r = null_at(X, y, oracle.binomial)
    tested, everyone, V = what_is_tested(what, arm), np.arange(arm.size), len(codes)
    block, flipped = GenotypeBlock.from_codes(codes), np.full(V, flip)
    genotypes = genotype_sums(block, flipped, everyone, mask_words(everyone, arm.size))
    screen = ProductScreen.of(ScoredNull.of(X, (w, r, 1.0), everyone, arm.size), tested, everyone)
    found = screen.scores(block, flipped, genotypes, False)
    counted = np.where(codes == 3, 3, 2 - codes) if flip else codes
    for v, H in enumerate(columns_of(tested, counted)):
        missing = np.isnan(H[0])
        theta, covariance = oracle.score_sums(np.nan_to_num(H).T, X, w, r, missing)
        errors = np.sqrt(np.diag(covariance))
        np.testing.assert_allclose(found.fits.theta[v] / errors, theta / errors, atol=FLOAT32)
        np.testing.assert_allclose(
            found.fits.covariance[v], covariance, rtol=10 * FLOAT32, atol=FLOAT32 * errors.min() ** 2
        )
        assert found.exact[v] == (not missing.any())


@pytest.mark.kernel
@pytest.mark.parametrize("family", ["binomial", "poisson", "quasi", "negative binomial"])
def test_scores_and_ratios_from_columns(family):
    codes, X, arm, rng = drawn(seed=2)
    n, tested = arm.size, GENOTYPIC
    binary = family == "binomial"
    law = oracle.binomial if binary else oracle.poisson
    spread = rng.gamma(1.5, 1 / 1.5, n) if family == "negative binomial" else 1.0
    y = (rng.random(n) < 0.4).astype(float) if binary else rng.poisson(2.5 * spread * np.ones(n)).astype(float)
    H = columns_of(tested, codes)
    if family == "negative binomial":
        beta, alpha = counts_oracle.fit(X, y)
        start = np.append(beta, alpha)
    else:
        start = oracle.height(X, y, law)[1]
    samples = GlmSamples(X, y, np.zeros(n), np.ones(n), start)
    scored, fitted, gains = room(len(H), 2, 3), room(len(H), 2, 3), np.full((len(H), 3), np.nan)
    if family == "negative binomial":
        joint_score_rows.negative_binomial_rows(H, samples, scored)
        glm_ratios.negative_binomial_rows(H, samples, as_kernels_take(tested), fitted, gains)
    else:
        kind = glm.Family(glm.BINOMIAL if binary else glm.POISSON, 0.0, family == "quasi")
        joint_score_rows.glm_rows(kind, H, samples, scored)
        glm_ratios.glm_rows(kind, H, samples, as_kernels_take(tested), fitted, gains)
    for v in (0, 2):  # one with all calls, one without
        keep = ~np.isnan(H[v, 0])
        x, own, columns = X[keep], y[keep], H[v][:, keep].T
        if family == "negative binomial":
            beta, alpha = counts_oracle.fit(x, own)
            mu = np.exp(x @ beta)
            theta, covariance = oracle.score_columns(columns, x, mu / (1 + alpha * mu), (own - mu) / (1 + alpha * mu))
            heights = [
                counts_oracle.log_likelihood(D, own, *counts_oracle.fit(D, own))
                for D in (
                    np.column_stack([x, part]) for part in (columns, columns[:, 1:], columns[:, :1], columns[:, :0])
                )
            ]
            expected, phi = 2 * (heights[0] - np.array(heights[1:])), 1.0
        else:
            w, r = null_at(x, own, law)
            theta, covariance = oracle.score_columns(columns, x, w, r)
            dispersion = (r**2 / w).sum() / (keep.sum() - 2) if family == "quasi" else 1.0
            covariance = covariance * dispersion
            at, model, expected = oracle.ratio_rows(columns, x, own, law)
            phi = 1.0
            if family == "quasi":
                mu = np.exp(np.column_stack([x, columns]) @ oracle.height(np.column_stack([x, columns]), own, law)[1])
                phi = ((own - mu) ** 2 / mu).sum() / (keep.sum() - 4)
            # A simplex finds a maximum to its square root of rounding.
            np.testing.assert_allclose(fitted.theta[v], at, atol=1e-5)
            np.testing.assert_allclose(fitted.covariance[v], phi * model, rtol=1e-4)
        np.testing.assert_allclose(scored.theta[v], theta, rtol=1e-4, atol=1e-6)
        np.testing.assert_allclose(scored.covariance[v], covariance, rtol=1e-4)
        np.testing.assert_allclose(gains[v], expected / phi, rtol=1e-4, atol=1e-6)
    assert (scored.status == rows.FINE).all() and (fitted.status == rows.FINE).all()


@pytest.mark.kernel
@pytest.mark.parametrize("penalised", [False, True])
def test_logistic_ratios(penalised):
    codes, X, arm, rng = drawn(V=4, seed=3)
    y = (rng.random(arm.size) < 0.4).astype(float)
    codes[3] = np.where((codes[3] == 2) & (y == 1), 1, codes[3])  # a genotype without cases
    tested, start = GENOTYPIC, oracle.height(X, y, oracle.binomial)[1]
    H = columns_of(tested, codes)
    fits, gains = room(4, 2, 3), np.full((4, 3), np.nan)
    rules = logistic_ratios.Rules(penalised, True)
    logistic_ratios.ratio_rows(
        H, LogisticSamples(X, y, np.zeros(y.size), start), as_kernels_take(tested), rules, fits, gains
    )
    assert fits.status.tolist() == [rows.FINE] * 3 + [rows.FINE if penalised else rows.RUNAWAY]
    for v in (0, 1, 3) if penalised else (0, 1):
        keep = ~np.isnan(H[v, 0])
        theta, covariance, expected = oracle.ratio_rows(H[v][:, keep].T, X[keep], y[keep], oracle.binomial, penalised)
        np.testing.assert_allclose(fits.theta[v], theta, atol=2e-5)
        np.testing.assert_allclose(fits.covariance[v], covariance, rtol=1e-4)
        np.testing.assert_allclose(gains[v], expected, rtol=1e-5, atol=1e-6)


# whole models ------------------------------------------------------------------------------------------------------------


def cohort(seed, n=500, V=60):
    """Common and rare variants, one with a recessive, one with an arm's effect; few cases in one trait; two arms of unequal size."""
    rng = np.random.default_rng(seed)
    frequency = np.exp(rng.uniform(np.log(0.03), np.log(0.5), V))
    frequency[:2] = 0.45
    codes = rng.binomial(2, frequency[:, None], (V, n)).astype(np.uint8)
    codes[::2] = 2 - codes[::2]
    x, arm = rng.normal(size=n), (rng.random(n) < 0.3).astype(float)
    eta = 0.4 * x + 0.3 * arm + 0.5 * (codes[0] == 2) + 0.4 * (codes[1] - 1.0) * arm
    columns = {
        "x": x, "arm": arm, "half": (rng.random(n) < 1 / (1 + np.exp(-eta))).astype(float),
        "few": (rng.random(n) < 1 / (1 + np.exp(2.0 - eta))).astype(float), "count": rng.poisson(np.exp(eta)).astype(float),
    }  # fmt: skip
    codes[rng.random(codes.shape) < 0.005] = 3
    return codes, MemoryCohort(**columns)


MODELS = {
    "genotypic": ga.Logistic(["half", "few"], ["x"], genetic_model="genotypic"),
    "interaction": ga.Logistic(["half", "few"], ["x"], interaction="arm"),
    "counts": ga.Poisson(["count"], ["x"], genetic_model="genotypic", dispersion="poisson"),
    "number": ga.NegativeBinomial(["count"], ["arm"], interaction="x"),
}


def method_of(columns):
    return np.array(METHODS, dtype=object)[columns["method"]]


@pytest.mark.parametrize("name", MODELS)
def test_no_row_below_the_threshold_is_lost(name):
    model = MODELS[name]
    K = model.rows_per_trait if name != "number" else 3
    lost = kept = 0
    for seed in range(3):
        codes, samples = cohort(seed)
        state, block, asked = model.prepare(samples), GenotypeBlock.from_codes(codes), model.asked()
        ours, fits = (wald.test_block(each, state, block).columns for each in (asked, replace(asked, screens=False)))
        is_score = np.isin(method_of(ours), SCORES).reshape(len(codes), -1, K)
        assert (is_score.all(axis=2) | ~is_score.any(axis=2)).all()  # all rows of a variant have one test
        screened = is_score[:, :, 0]
        p = 10.0 ** -np.asarray(fits["neg_log_10_p_value"]).reshape(len(codes), -1, K)
        lost += (screened & (p.min(axis=2) < 0.05)).sum()
        kept += screened.sum()
        # The other rows are those of a run that fits all, to the bit.
        for column, values in ours.items():
            np.testing.assert_array_equal(
                values[~is_score.reshape(values.shape)], fits[column][~is_score.reshape(values.shape)]
            )
        # Where an effect is small one step is nearly the fit, in units of its error.
        one = is_score.reshape(ours["beta"].shape) & ~np.isnan(ours["beta"])
        gap = np.abs(ours["beta"] - fits["beta"])[one] / fits["standard_error_model"][one]
        assert np.quantile(gap, 0.9) < 0.2
    assert lost == 0 and kept > 20


@pytest.mark.parametrize("name", ["genotypic", "interaction"])
def test_alleles_may_be_swapped(name):
    codes, samples = cohort(4)
    swapped = np.where(codes == 3, 3, 2 - codes).astype(np.uint8)
    here, there = (run(MODELS[name], samples, each) for each in (codes, swapped))
    np.testing.assert_array_equal(here["method"], there["method"])
    # The heterozygotes' effect does not ask which allele is counted.
    sign = np.tile([-1.0] * 5 if name == "interaction" else [-1.0, 1.0, 1.0], 2)
    np.testing.assert_allclose(here["neg_log_10_p_value"], there["neg_log_10_p_value"], rtol=1e-6, atol=1e-7)
    np.testing.assert_allclose(here["beta"], there["beta"] * sign, rtol=1e-6, atol=1e-8)


@pytest.mark.parametrize("name", MODELS)
def test_rows_do_not_depend_on_the_block(name):
    codes, samples = cohort(5)
    whole = run(MODELS[name], samples, codes)
    part = run(MODELS[name], samples, codes[13:37])
    for column in ("beta", "standard_error", "statistic", "neg_log_10_p_value", "method", "code"):
        np.testing.assert_array_equal(whole[column][13:37], part[column])


def test_what_asks_for_fits_has_them():
    codes, samples = cohort(6, V=12)
    for choices in ({"test": "wald"}, {"test": "lrt"}, {"like": "plink2"}, {"correct_below": 1.0}):
        for what in ({"genetic_model": "genotypic"}, {"interaction": "arm"}):
            found = run(ga.Logistic(["half"], ["x"], **what, **choices), samples, codes)
            assert not np.isin(found["method"], SCORES).any()


def test_means_of_missing_calls_are_in_the_product():
    codes, samples = cohort(7, V=20)
    codes[3, :40] = 3
    model = ga.Logistic(["half"], ["x"], interaction="arm", missing="mean")
    state = model.prepare(samples)
    found = wald.test_block(model.asked(), state, GenotypeBlock.from_codes(codes)).columns
    by_calls = wald.test_block(model.asked(), replace(state, screens=tuple(replace(s, product=None) for s in state.screens)),
                               GenotypeBlock.from_codes(codes)).columns  # fmt: skip
    assert np.isin(method_of(found), SCORES).any()
    for column in ("beta", "standard_error", "neg_log_10_p_value"):
        np.testing.assert_allclose(found[column], by_calls[column], rtol=1e-4, atol=1e-5)


def test_the_threshold_is_that_of_one_degree():
    (least, factor), far = MARGINS[0], np.array([1e3])
    at = 3.841458820694124  # p 0.05 of one degree
    assert least < far[0] and factor < 1.5
    assert needs_fit(np.array([at]), far, 0.05)[0] and needs_fit(np.array([at]), far, 0.0)[0]
    assert not needs_fit(np.array([0.75 * at]), far, 0.05)[0] and needs_fit(np.array([0.75 * at]), far, 0.5)[0]
    assert needs_fit(np.array([0.0]), np.array([4.9]), 0.05)[0]  # too little is expected in a cell
    assert needs_fit(np.array([np.nan]), far, 0.05)[0]
