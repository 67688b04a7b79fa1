"""Predictors of any scale through logistic, Cox, Poisson and ordinal models, against statsmodels and slow oracles."""

import math

import numpy as np
import polars as pl
import pytest
import statsmodels.api as sm
from oracles import cox as cox_oracle
from oracles import exact_rare as exact_oracle
from oracles import logistic as oracle
from scipy import stats
from statsmodels.duration.hazard_regression import PHReg
from statsmodels.miscmodels.ordinal_model import OrderedModel

import genassoc as ga

# Two Newton fits that stop at a millionth of a standard error, and a predictor rounded to 2.4e-7 of its range.
FITTED = 1e-5
# Score tests: float32 products (docs/audit.md).
SCORE = 5e-5
NAMES = ("score", "copies", "burden", "large")


@pytest.fixture(scope="module")
def tables():
    """Phenotypes without effects but of ``score``; predictors of many scales, in another order of samples."""
    rng, n = np.random.default_rng(21), 500
    ids = [f"s{i}" for i in range(n)]
    score = rng.choice([0, 0.25, 0.5, 1, 1.5, 2, 2.25], n)
    large = rng.normal(5e6, 3e5, n)
    large[rng.random(n) < 0.15] = np.nan
    age = rng.uniform(20, 80, n)
    d = (rng.random(n) < 1 / (1 + np.exp(0.4 * score + 0.02 * (age - 50)))).astype(float)
    d[rng.random(n) < 0.05] = np.nan
    phenotypes = pl.DataFrame(
        {
            "IID": ids, "age": age, "d": pl.Series(d).fill_nan(None), "days": np.ceil(rng.exponential(40, n)),
            "dead": (rng.random(n) < 0.5).astype(int), "attacks": rng.poisson(2.0, n), "grade": rng.integers(0, 3, n),
            "arm": rng.integers(0, 2, n), "few": (rng.random(n) < 0.05).astype(int),
        }
    )  # fmt: skip
    rare = np.zeros(n, int)
    rare[np.flatnonzero(phenotypes["few"].to_numpy())[:3]] = 1
    rare[np.flatnonzero(phenotypes["few"].to_numpy() == 0)[:1]] = 1
    rare_fraction = rare * np.where(np.arange(n) == np.flatnonzero(rare)[0], 0.7, 1.0)
    predictors = pl.DataFrame(
        {
            "IID": ids, "score": score, "copies": rng.binomial(2, 0.1, n), "burden": rng.gamma(2.0, 1e-4, n),
            "large": pl.Series(large).fill_nan(None), "same": [1.5] * n, "rare": rare, "rare_fraction": rare_fraction,
        }
    )  # fmt: skip
    return phenotypes, predictors.sample(fraction=1.0, shuffle=True, seed=1)


def complete(tables, trait, name, *more):
    """Trait(s) and the columns of a regression on a predictor: constant, covariates, predictor."""
    phenotypes, predictors = tables
    joined = phenotypes.join(predictors, on="IID", maintain_order="left").select(trait, *more, "age", name).drop_nulls()
    values = joined.cast(pl.Float64).to_numpy()
    y, x = values[:, : 1 + len(more)], values[:, -1]
    return y, np.column_stack([np.ones(len(x)), values[:, -2] / 10]), x


def row(tables, model, name, test="add"):
    found = ga.associate_predictors(*tables, model, columns=[name]).table
    return found.filter(pl.col("test") == test).row(0, named=True)


def close(found, beta, error, logp, tolerance):
    assert abs(found["beta"] - beta) <= tolerance * max(abs(beta), error)
    assert found["standard_error"] == pytest.approx(error, rel=tolerance)
    assert abs(found["neg_log_10_p_value"] - logp) <= 2 * tolerance * max(1.0, logp) * max(1.0, abs(beta / error))


def two_sided(z):
    return -np.log10(2 * stats.norm.sf(abs(z)))


@pytest.mark.parametrize("name", NAMES)
def test_logistic_against_statsmodels(tables, name):
    y, X, x = complete(tables, "d", name)
    wide = x.max() - x.min()
    fit = sm.Logit(y[:, 0], np.column_stack([X, x / wide])).fit(disp=0, tol=1e-12, maxiter=100)
    found = row(tables, ga.Logistic("d", ["age"], test="wald", correction=None), name)
    assert found["n"] == len(x) and found["n_cases"] == y.sum() and found["method"] == "wald"
    close(found, fit.params[2] / wide, fit.bse[2] / wide, two_sided(fit.tvalues[2]), FITTED)
    assert found["standard_error_model"] == pytest.approx(fit.bse[2] / wide, rel=FITTED)
    assert found["effect_allele_frequency"] is None and found["effect_allele_frequency_cases"] is None
    null = sm.Logit(y[:, 0], X).fit(disp=0, tol=1e-12)
    ratio = row(tables, ga.Logistic("d", ["age"], test="lrt", correction=None), name)
    assert abs(ratio["statistic"]) == pytest.approx(np.sqrt(2 * (fit.llf - null.llf)), rel=FITTED, abs=1e-6)
    U, J = oracle.score(X, y[:, 0], x / wide)
    score = row(tables, ga.Logistic("d", ["age"], correction=None), name)
    assert score["method"] in ("score", "score_approx")
    if score["method"] == "score":  # else the null is one Newton step away
        close(score, U / J / wide, 1 / np.sqrt(J) / wide, two_sided(U / np.sqrt(J)), SCORE)


@pytest.mark.parametrize("name", ["score", "burden"])
def test_firth_is_an_optimisers(tables, name):
    y, X, x = complete(tables, "d", name)
    wide = x.max() - x.min()
    D = np.column_stack([X, x / wide])
    beta, top = oracle.fit(D, y[:, 0], penalised=True)
    _, held = oracle.fit(D, y[:, 0], penalised=True, held=1)
    found = row(tables, ga.Logistic("d", ["age"], correction="firth", correct_below=1.0), name)
    assert found["method"] == "firth"
    # Nelder-Mead's own precision
    assert found["beta"] * wide == pytest.approx(beta[-1], rel=1e-4)
    assert found["statistic"] ** 2 == pytest.approx(2 * (top - held), rel=1e-4)
    approximate = row(tables, ga.Logistic("d", ["age"], correct_below=1.0), name)
    assert approximate["method"] == "firth_approx"
    assert approximate["beta"] == pytest.approx(found["beta"], abs=0.02 * found["standard_error"])
    tail = row(tables, ga.Logistic("d", ["age"], correction="spa", correct_below=1.0), name)
    # 450 samples of a mild skew: the saddlepoint's p is that of the score to a few percent of -log10 p.
    plain = row(tables, ga.Logistic("d", ["age"], correction=None), name)
    assert tail["method"] == "spa" and tail["neg_log_10_p_value"] == pytest.approx(
        plain["neg_log_10_p_value"], rel=0.05
    )


def test_rare_carriers_are_tested_exactly_where_they_are_counted(tables):
    """Four carriers, three of them cases: exact where the predictor is 0 or 1, and in steps where it is a number."""
    model = ga.Logistic("few", ["age"], min_mac=2)
    found = row(tables, model, "rare")
    y, X, x = complete(tables, "few", "rare")
    mu = oracle.weights(X, oracle.newton(X, y[:, 0]))[0]
    who = x > 0
    neg_log_p, _ = exact_oracle.exact_rare_test([2] * 4, mu[who], y[who, 0], mu[~who], int(y.sum()))
    assert found["method"] == "exact"
    assert found["neg_log_10_p_value"] == pytest.approx(neg_log_p / math.log(10), rel=1e-6)
    fraction = row(tables, model, "rare_fraction")
    # A number is tested in steps of 1 / 32, by the law of few events: one carrier counts 0.7 in place of 1.
    assert fraction["method"] == "exact" and abs(fraction["statistic"]) < 6
    assert fraction["neg_log_10_p_value"] == pytest.approx(found["neg_log_10_p_value"], rel=0.3)
    few = row(tables, ga.Logistic("few", ["age"], min_mac=20), "rare")
    assert few["code"] == "too_few_carriers" and few["beta"] is None
    assert row(tables, model, "same")["code"] == "constant_predictor"


def test_missing_values(tables):
    mean = row(tables, ga.Logistic("d", ["age"], test="wald", correction=None, missing="mean"), "large")
    phenotypes, predictors = tables
    filled = predictors.with_columns(pl.col("large").fill_null(9e9))
    joined = phenotypes.join(filled, on="IID", maintain_order="left").drop_nulls("d")
    x = joined["large"].to_numpy().copy()
    x[x > 1e9] = x[x < 1e9].mean()
    D = np.column_stack([np.ones(len(x)), joined["age"] / 10, (x - 5e6) / 3e5])
    fit = sm.Logit(joined["d"].to_numpy(), D).fit(disp=0, tol=1e-12)
    assert mean["n"] == len(x)
    close(mean, fit.params[2] / 3e5, fit.bse[2] / 3e5, two_sided(fit.tvalues[2]), FITTED)


@pytest.mark.parametrize("name", NAMES)
def test_cox_against_statsmodels(tables, name):
    y, X, x = complete(tables, "days", name, "dead")
    wide = x.max() - x.min()
    fit = PHReg(y[:, 0], np.column_stack([X[:, 1], x / wide]), y[:, 1], ties="efron").fit(disp=0)
    found = row(tables, ga.Cox("days", "dead", ["age"], test="wald", correction=None), name)
    assert found["n"] == len(x) and found["n_events"] == y[:, 1].sum()
    close(found, fit.params[1] / wide, fit.bse[1] / wide, two_sided(fit.tvalues[1]), FITTED)
    assert found["effect_allele_frequency_events"] is None


def test_cox_tests_rare_carriers_exactly_where_they_are_counted(tables):
    phenotypes, predictors = tables
    y, X, x = complete((phenotypes.with_columns(dead=pl.col("few")), predictors), "days", "rare", "dead")
    model = ga.Cox("days", "few", ["age"], min_mac=2)
    found = row(tables, model, "rare")
    A = cox_oracle.terms(y[:, 0], y[:, 1])
    beta = cox_oracle.newton(X[:, 1:], y[:, 1], A)
    law = cox_oracle.exact_neg_log_p(2 * x.astype(int), cox_oracle.partial_likelihood(X[:, 1:], beta, y[:, 1], A)[3])
    observed = int(2 * x[y[:, 1] == 1].sum())
    below = sum(chance for chance in law.values() if chance <= law[observed] * (1 + 1e-7))
    assert found["method"] == "exact" and found["neg_log_10_p_value"] == pytest.approx(-np.log10(below), rel=1e-5)
    assert row(tables, model, "rare_fraction")["method"] == "exact"


def test_counts_and_grades_against_statsmodels(tables):
    y, X, x = complete(tables, "attacks", "score")
    fit = sm.GLM(y[:, 0], np.column_stack([X, x]), family=sm.families.Poisson()).fit(tol=1e-12)
    found = row(tables, ga.Poisson("attacks", ["age"], test="wald", dispersion="poisson"), "score")
    close(found, fit.params[2], fit.bse[2], two_sided(fit.tvalues[2]), FITTED)
    y, X, x = complete(tables, "grade", "score")
    ordered = OrderedModel(y[:, 0].astype(int), np.column_stack([X[:, 1], x]), distr="logit").fit(
        method="newton", disp=0, tol=1e-12
    )
    found = row(tables, ga.Ordinal("grade", ["age"], test="wald"), "score")
    # statsmodels' second derivatives are by finite differences
    close(found, ordered.params[1], ordered.bse[1], two_sided(ordered.tvalues[1]), 1e-4)


@pytest.mark.parametrize("name", ["score", "burden"])
def test_interactions_with_an_arm_against_statsmodels(tables, name):
    y, X, x = complete(tables, "d", name, "arm")
    wide, E = x.max() - x.min(), y[:, 1]
    D = np.column_stack([x / wide, x / wide * E, X, E])
    fit = sm.Logit(y[:, 0], D).fit(disp=0, tol=1e-12)
    model = ga.Logistic("d", ["age"], interaction="arm", test="wald", correction=None)
    for test, contrast in (("add", (1, 0)), ("add:E", (0, 1)), ("add|E=1", (1, 1))):
        found, c = row(tables, model, name, test), np.array(contrast, float)
        beta, error = c @ fit.params[:2], np.sqrt(c @ fit.cov_params()[:2, :2] @ c)
        close(found, beta / wide, error / wide, two_sided(beta / error), FITTED)


def test_columns_do_not_touch_each_other(tables):
    for model in (ga.Logistic("d", ["age"]), ga.Cox("days", "dead", ["age"])):
        every = ga.associate_predictors(*tables, model).table
        for name in ("score", "large", "rare"):
            alone = ga.associate_predictors(*tables, model, columns=[name]).table
            assert every.filter(pl.col("variant_id") == name).equals(alone)


def test_what_is_of_variants_only(tables):
    for model, words in (
        (ga.Logistic("d", genetic_model="genotypic"), "recode the predictor"),
        (ga.Cox("days", "dead", genetic_model="recessive"), "recode the predictor"),
        (ga.Logistic("d", condition_on=["rs1"]), "condition_on names variants"),
    ):
        with pytest.raises(ValueError, match=words):
            ga.associate_predictors(*tables, model)
