"""Logistic regression against plain oracles, statsmodels and R's logistf, and its invariants."""

import json
from types import SimpleNamespace

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from oracles import logistic as oracle
from real_data import real_data
from scipy.stats import chi2, hypergeom, norm

from genassoc.data.block import DosageBlock, GenotypeBlock
from genassoc.models.base import CODES, METHODS
from genassoc.models.logistic.family import prepare
from genassoc.models.logistic.model import Logistic

# float32 sums against a float64 fit (statistics.md); rows done one by one are float64 and agree to the optimiser's 1e-7.
SCREEN = 1e-5
OPTIMISER = 2e-6


def design_of(y, X, coding=None):
    y = np.asarray(y, float).reshape(len(y), -1)
    X = np.column_stack([np.ones(len(y)), X]) if np.size(X) else np.ones((len(y), 1))
    return SimpleNamespace(
        y=y,
        X=X,
        traits=tuple(f"y{j}" for j in range(y.shape[1])),
        covariates=("intercept", *(f"x{c}" for c in range(1, X.shape[1]))),
        complete=np.ones(len(y), bool),
        dropped_covariates=(),
        coding=("0 = control, 1 = case",) * y.shape[1],
        offset=np.zeros(y.shape),
        offset_unit="trait",
    )


def data(seed, n=300, V=24, traits=1, prevalence=0.25, missing=0.0, phenotype_missing=0.0):
    rng = np.random.default_rng(seed)
    frequency = rng.uniform(0.05, 0.95, V)
    codes = rng.binomial(2, frequency[:, None], (V, n)).astype(np.uint8)
    X = rng.standard_normal((n, 2))
    X[:, 1] += 40
    liability = X[:, :1] * 0.7 + rng.logistic(size=(n, traits)) + 0.6 * codes[0][:, None]
    y = (liability > np.quantile(liability, 1 - prevalence, axis=0)).astype(float)
    codes[rng.random(codes.shape) < missing * rng.choice([0, 1, 10], V)[:, None]] = 3
    y[rng.random(y.shape) < phenotype_missing] = np.nan
    return codes, y, X


def run(model, codes, y, X, block=None):
    n = len(y)
    state = prepare(design_of(y, X), np.arange(n), n)
    result = model.block(state, block or GenotypeBlock.from_codes(codes)).columns
    return {**result, "state": state}


def methods_of(result, j=0):
    return [METHODS[i] for i in result["method"][:, j]]


def codes_of(result, j=0):
    return [CODES[i] for i in result["code"][:, j]]


def complete(codes, y, X, v, j=0):
    keep = (codes[v] < 3) & ~np.isnan(y[:, j])
    n = int(keep.sum())
    return np.column_stack([np.ones(n), X[keep]]), y[keep, j], codes[v][keep].astype(float)


def test_score_of_all_variants():
    codes, y, X = data(1)
    result = run(Logistic("y", correction=None), codes, y, X)
    for v in range(len(codes)):
        U, information = oracle.score(*complete(codes, y, X, v))
        z = U / np.sqrt(information)
        size = max(abs(z), 1.0)
        assert abs(result["statistic"][v, 0] - z) <= 2 * SCREEN * size
        assert abs(result["standard_error"][v, 0] * np.sqrt(information) - 1) <= SCREEN
        assert abs(result["beta"][v, 0] * information - U) <= 2 * SCREEN * size * np.sqrt(information)
        logp = -(norm.logsf(abs(z)) + np.log(2)) / np.log(10)
        assert abs(result["neg_log_10_p_value"][v, 0] - logp) <= 1e-4 * max(1, logp)
    assert set(methods_of(result)) == {"score"}


def test_missing_calls_refit_the_null_where_one_step_is_not_enough():
    codes, y, X = data(2, n=600, V=40, missing=0.004)
    result = run(Logistic("y", correction=None), codes, y, X)
    methods = methods_of(result)
    assert {"score", "score_approx"} <= set(methods)
    for v, method in enumerate(methods):
        U, information = oracle.score(*complete(codes, y, X, v))
        z = U / np.sqrt(information)
        # One Newton step, up to 1 % of calls missing at random: its error is of second order in what is missing.
        allowed = 2 * SCREEN if method == "score" else 2e-3
        assert abs(result["statistic"][v, 0] - z) <= allowed * max(1, abs(z)), method
    below = result["neg_log_10_p_value"][:, 0] > -np.log10(0.05)
    assert "score_approx" not in {methods[v] for v in np.flatnonzero(below)}


def test_calls_missing_in_cases_more_than_in_controls_refit_the_null():
    rng = np.random.default_rng(5)
    codes, y, X = data(3, n=3000, V=4)
    gone = rng.choice(np.flatnonzero(y[:, 0] == 1), 20, replace=False)
    codes[1, gone] = 3
    codes[2, rng.choice(3000, 20, replace=False)] = 3
    methods = methods_of(run(Logistic("y", correction=None, correct_below=0), codes, y, X))
    assert methods[1] == "score" and methods[2] == "score_approx"


@pytest.mark.parametrize("missing", [0.0, 0.02])
def test_wald_and_likelihood_ratio(missing):
    codes, y, X = data(4, missing=missing)
    for test in ("wald", "lrt"):
        result = run(Logistic("y", test=test, correction=None), codes, y, X)
        assert set(methods_of(result)) == {test}
        for v in range(len(codes)):
            part = complete(codes, y, X, v)
            beta, error = oracle.wald(*part)
            # Newton stops when the step left is below 1e-6 standard errors.
            np.testing.assert_allclose(result["beta"][v, 0], beta, rtol=1e-6, atol=2e-6 * error)
            np.testing.assert_allclose(result["standard_error_model"][v, 0], error, rtol=1e-6)
            if test == "wald":
                np.testing.assert_allclose(result["standard_error"][v, 0], error, rtol=1e-6)
                z = beta / error
            else:
                z = np.sign(beta) * np.sqrt(oracle.likelihood_ratio(*part))
                # The standard error reproduces the row's p.
                np.testing.assert_allclose(result["beta"][v, 0] / result["standard_error"][v, 0], z, rtol=1e-5)
            np.testing.assert_allclose(result["statistic"][v, 0], z, rtol=1e-5, atol=1e-7)


def test_agrees_with_statsmodels():
    import statsmodels.api as sm

    codes, y, X = data(6, V=6)
    result = run(Logistic("y", test="wald", correction=None), codes, y, X)
    for v in range(6):
        D, outcome, g = complete(codes, y, X, v)
        found = sm.Logit(outcome, np.column_stack([D, g])).fit(disp=0, tol=1e-12)
        np.testing.assert_allclose(result["beta"][v, 0], found.params[-1], rtol=1e-6)
        np.testing.assert_allclose(result["standard_error"][v, 0], found.bse[-1], rtol=1e-6)


@pytest.mark.parametrize("correction", ["firth", "firth_approx"])
def test_firth(correction):
    codes, y, X = data(7, n=120, V=8, missing=0.01, prevalence=0.15)
    result = run(Logistic("y", correction=correction, correct_below=1.0, min_mac=0), codes, y, X)
    methods = methods_of(result)
    # The approximation gives way to the full model where the covariates would move.
    assert correction in methods and set(methods) <= {correction, "firth"}
    for v, method in enumerate(methods):
        twin = oracle.firth if method == "firth" else oracle.firth_approx
        beta, ratio = twin(*complete(codes, y, X, v))
        np.testing.assert_allclose(result["beta"][v, 0], beta, rtol=1e-4, atol=OPTIMISER)
        np.testing.assert_allclose(result["statistic"][v, 0] ** 2, ratio, rtol=1e-4, atol=OPTIMISER)
        expected = -np.log10(chi2.sf(ratio, 1))
        np.testing.assert_allclose(result["neg_log_10_p_value"][v, 0], expected, rtol=1e-3, atol=OPTIMISER)


def test_complete_separation_has_the_full_model_s_estimate():
    """Approximate Firth, the covariates held where the null has them, has beta 22 to 140 where the full model has 5 to 11."""
    codes, y, X = data(7, n=300, V=3, missing=0.0, prevalence=0.15)
    codes[0] = 2 * y[:, 0]
    codes[1] = y[:, 0]
    codes[2] = 1 - y[:, 0]
    for correction in ("firth_approx", "spa"):
        result = run(Logistic("y", correction=correction), codes, y, X)
        for v in range(3):
            beta, _ = oracle.firth(*complete(codes, y, X, v))
            np.testing.assert_allclose(result["beta"][v, 0], beta, rtol=1e-3, atol=OPTIMISER)
            assert result["ci_lower"][v, 0] < result["beta"][v, 0] < result["ci_upper"][v, 0]
    held = run(Logistic("y", like="regenie"), codes, y, X)  # REGENIE's number is REGENIE's
    assert set(methods_of(held)) == {"firth_approx"}


def test_intervals_leave_out_0_where_p_is_below_005():
    codes, y, X = data(9, n=400, V=60, missing=0.01, prevalence=0.05)
    result = run(Logistic("y", correct_below=1.0), codes, y, X)
    methods, low, high = np.array(methods_of(result)), result["ci_lower"][:, 0], result["ci_upper"][:, 0]
    firth = np.isin(methods, ["firth", "firth_approx"])
    assert firth.sum() > 20
    # 3.84 of the penalised likelihood on both sides; an end is found to 1e-5 of a standard error
    clear = np.abs(result["neg_log_10_p_value"][:, 0] + np.log10(0.05)) > 1e-4
    outside = (low > 0) | (high < 0)
    assert (outside == (result["neg_log_10_p_value"][:, 0] > -np.log10(0.05)))[firth & clear].all()
    assert (low < result["beta"][:, 0])[firth].all() and (result["beta"][:, 0] < high)[firth].all()


@pytest.mark.parametrize("name", ["sex2", "endometrial"])
def test_firth_on_the_tables_of_logistf(name):
    folder = real_data("firth")
    expected = json.loads((folder / "EXPECTED_logistf.json").read_text())[name]
    table = pl.read_csv(folder / f"{name}.csv")
    outcome = "case" if name == "sex2" else "HG"
    covariates = ["age", "oc", "vic", "vicl", "vis", "dia"] if name == "sex2" else ["NV", "PI", "EH"]
    y = table[outcome].to_numpy().astype(float)
    for place, covariate in enumerate(covariates):
        values = table[covariate].to_numpy().astype(float)
        if set(values) - {0.0, 1.0, 2.0}:
            continue  # not a genotype
        X = table.select(name for name in covariates if name != covariate).to_numpy().astype(float)
        result = run(
            Logistic("y", correction="firth", correct_below=1.0, min_mac=0),
            values[None].astype(np.uint8),
            y[:, None],
            X,
        )
        # logistf stops at 1e-5 of the gradient and prints 8 digits
        np.testing.assert_allclose(result["beta"][0, 0], expected["coef"][place], rtol=1e-3)


def test_the_same_bits_alone_and_among_others_and_in_any_block():
    codes, y, X = data(8, V=30, traits=3, missing=0.01, phenotype_missing=0.1)
    together = run(Logistic(["a", "b", "c"]), codes, y, X)
    del together["state"]
    for j in range(3):
        alone = run(Logistic("a"), codes, y[:, j : j + 1], X)
        pieces = [run(Logistic("a"), codes[s : s + 7], y[:, j : j + 1], X) for s in range(0, 30, 7)]
        for name in together:
            assert together[name][:, j].tobytes() == alone[name][:, 0].tobytes(), name
            assert np.concatenate([piece[name] for piece in pieces]).tobytes() == alone[name].tobytes(), name


@settings(max_examples=10, deadline=None)
@given(seed=st.integers(0, 10_000), correction=st.sampled_from([None, "firth_approx", "firth", "spa"]))
def test_swapping_alleles_and_outcomes_and_permuting_samples(seed, correction):
    codes, y, X = data(seed, n=150, V=12, missing=0.01)
    model = Logistic("y", correction=correction)
    one = run(model, codes, y, X)
    swapped = np.where(codes == 3, 3, 2 - codes.astype(int)).astype(np.uint8)
    two = run(model, swapped, y, X)
    three = run(model, codes, 1 - y, X)
    order = np.random.default_rng(seed).permutation(150)
    four = run(model, codes[:, order], y[order], X[order])
    for other, sign in ((two, -1), (three, -1), (four, 1)):
        # Rounding of float32 sums only; a row at p = 0.05 may fall on either side of its correction.
        edge = np.abs(one["neg_log_10_p_value"] + np.log10(0.05)) < 0.2
        np.testing.assert_allclose((sign * other["beta"])[~edge], one["beta"][~edge], rtol=2e-4, atol=2e-5)
        np.testing.assert_allclose(
            other["neg_log_10_p_value"][~edge], one["neg_log_10_p_value"][~edge], rtol=5e-4, atol=2e-5
        )


def test_rare_variants_are_tested_exactly_given_the_number_of_cases():
    rng = np.random.default_rng(2)
    n, n_cases = 400, 60
    y = np.zeros((n, 1))
    y[:n_cases] = 1
    codes = np.zeros((6, n), np.uint8)
    for v, in_cases in enumerate([0, 1, 2, 3, 5, 6]):
        codes[v, :in_cases] = 1
        codes[v, n_cases : n_cases + 6 - in_cases] = 1
    order = rng.permutation(n)
    result = run(Logistic("y"), codes[:, order], y[order], np.empty((n, 0)))
    assert set(methods_of(result)) == {"exact"}
    k = np.arange(7)
    law = hypergeom(n, n_cases, 6).pmf(k)
    far = np.abs(k - 6 * n_cases / n)
    for v, in_cases in enumerate([0, 1, 2, 3, 5, 6]):
        p = law[far >= far[in_cases] - 1e-9].sum()
        np.testing.assert_allclose(result["neg_log_10_p_value"][v, 0], -np.log10(p), rtol=1e-9, atol=1e-12)
        if p < 0.9:
            z = result["beta"][v, 0] / result["standard_error"][v, 0]
            np.testing.assert_allclose(2 * norm.sf(abs(z)), p, rtol=1e-9)


def test_98_of_99_carriers_without_the_trait_give_no_spurious_hit():
    rng = np.random.default_rng(300)
    n = 2000
    codes = np.zeros((1, n), np.uint8)
    codes[0, rng.choice(n, 99, replace=False)] = 1
    y = (rng.random((n, 1)) < 0.05).astype(float)
    carriers = np.flatnonzero(codes[0])
    y[carriers[:98]] = np.nan
    y[carriers[98]] = 1
    X = rng.standard_normal((n, 3))
    for model in (Logistic("y"), Logistic("y", min_mac=1)):
        result = run(model, codes, y, X)
        logp = result["neg_log_10_p_value"][0, 0]
        assert np.isnan(logp) or logp < 2.0
        assert result["mac"][0, 0] == 1 and result["n"][0, 0] == n - 98


def test_rows_without_an_estimate_say_why():
    rng = np.random.default_rng(0)
    n = 100
    x = rng.binomial(2, 0.4, n)
    y = (rng.random((n, 1)) < 0.3).astype(float)
    lone = np.zeros(n, int)
    lone[3] = 1
    lost = rng.binomial(2, 0.4, n)
    lost[y[:, 0] == 1] = 3
    rows = [np.zeros(n), np.ones(n), np.full(n, 3), x, lone, lost, rng.binomial(2, 0.3, n)]
    codes = np.array(rows).astype(np.uint8)
    result = run(Logistic("y"), codes, y, x[:, None])
    assert codes_of(result) == [
        "monomorphic", "constant_genotype", "n_too_small", "collinear", "too_few_carriers", "one_outcome", None,
    ]  # fmt: skip
    assert np.isnan(result["neg_log_10_p_value"][:6]).all() and np.isnan(result["beta"][:6]).all()


def test_separated_genotypes_fail_wald_alone_and_fall_back_to_firth_as_plink_does():
    rng = np.random.default_rng(1)
    n = 200
    y = (rng.random((n, 1)) < 0.4).astype(float)
    codes = np.zeros((1, n), np.uint8)
    codes[0, np.flatnonzero(y[:, 0] == 1)[:15]] = 1
    X = rng.standard_normal((n, 2))
    alone = run(Logistic("y", test="wald", correction=None), codes, y, X)
    assert codes_of(alone) == ["not_converged"] and np.isnan(alone["beta"][0, 0])
    like = run(Logistic("y", like="plink2"), codes, y, X)
    assert methods_of(like) == ["firth"] and np.isfinite(like["beta"][0, 0])


def test_a_separated_covariate_is_named_and_a_failed_trait_leaves_the_others():
    codes, y, X = data(9, traits=3)
    site = np.zeros(len(y))
    site[np.flatnonzero(y[:, 1] == 1)[:8]] = 1
    y[:, 2] = np.where(np.arange(len(y)) < 2, y[:, 2], np.nan)
    result = run(Logistic(["a", "b", "c"]), codes, y, np.column_stack([X, site]))
    notes = result["state"].notes
    assert any("x3" in note and "y1" in note and "by itself" in note for note in notes)
    assert not any("x3" in note and "y0" in note and "by itself" in note for note in notes)
    assert set(codes_of(result, 2)) <= {"n_too_small", "too_few_carriers", "monomorphic", "constant_genotype"}
    alone = run(Logistic("a"), codes, y[:, :1], np.column_stack([X, site]))
    assert alone["beta"][:, 0].tobytes() == result["beta"][:, 0].tobytes()
    # What separates is as good as leaving its samples out.
    without = run(Logistic("b", correction=None), codes[:, site == 0], y[site == 0, 1:2], X[site == 0])
    with_it = run(Logistic("b", correction=None), codes, y[:, 1:2], np.column_stack([X, site]))
    np.testing.assert_allclose(with_it["statistic"], without["statistic"], rtol=1e-4, atol=1e-4)


def test_counts_by_case_status():
    codes, y, X = data(10, missing=0.05, phenotype_missing=0.05)
    result = run(Logistic("y"), codes, y, X)
    for v in range(len(codes)):
        _, outcome, g = complete(codes, y, X, v)
        assert result["n_cases"][v, 0] == outcome.sum() and result["n_controls"][v, 0] == (1 - outcome).sum()
        np.testing.assert_allclose(
            result["effect_allele_frequency_cases"][v, 0], g[outcome == 1].mean() / 2, rtol=1e-12
        )
        np.testing.assert_allclose(
            result["effect_allele_frequency_controls"][v, 0], g[outcome == 0].mean() / 2, rtol=1e-12
        )


@pytest.mark.parametrize("missing", ["complete", "mean"])
@pytest.mark.parametrize("test", ["score", "wald"])
def test_dosages_give_what_their_hard_calls_give(missing, test):
    codes, y, X = data(11, missing=0.01)
    model = Logistic("y", test=test, missing=missing, correction=None)
    hard = run(model, codes, y, X)
    block = DosageBlock.from_dosages(np.where(codes == 3, np.nan, codes))
    soft = run(model, codes, y, X, block)
    for name in ("beta", "standard_error", "neg_log_10_p_value"):
        # dosage 1 is 32767 / 32767: only the order of sums and float32 differ
        np.testing.assert_allclose(soft[name], hard[name], rtol=1e-4, atol=1e-5)


def test_choices():
    assert Logistic("y").choices().correction == "firth_approx" and Logistic("y").choices().min_mac == 5
    plink = Logistic("y", like="plink2").choices()
    assert (plink.test, plink.correction, plink.min_mac, plink.impute) == ("wald", "firth_fallback", 0, False)
    regenie = Logistic("y", like="regenie", missing="complete").choices()
    assert (regenie.test, regenie.correction, regenie.impute) == ("score", "firth_approx", False)
    for wrong in ({"test": "z"}, {"correction": "bayes"}, {"like": "saige"}, {"correct_below": 5}, {"min_mac": -1}):
        with pytest.raises(ValueError):
            Logistic("y", **wrong)
    with pytest.raises(ValueError):
        Logistic([])
