"""Whole-genome regression of times to an event: Cox's ridge regression at level 1 against a general optimiser, and offsets of Cox models."""

from types import SimpleNamespace

import numpy as np
import polars as pl
import pytest
from oracles import cox as oracle
from scipy.optimize import minimize
from test_whole_genome import CONTIGS, N, draw_codes, draw_table, model_of, store_of

import genassoc as ga
from genassoc.analyses.whole_genome.folds import Folds
from genassoc.analyses.whole_genome.penalised import _hessian, _solver, cross_validated, maximise
from genassoc.analyses.whole_genome.survival import PartialLikelihood
from genassoc.verbs.step1 import regression_of


@pytest.fixture(scope="module")
def level1():
    """Predictors X (n, P) and times that they tell, with ties, late entry and strata."""
    rng = np.random.default_rng(8)
    n, P = 150, 12
    X = rng.standard_normal((n, P)).astype(np.float32)
    eta = 0.3 * rng.standard_normal(n)
    time = np.ceil(rng.exponential(np.exp(-X[:, 0] - eta)) * 8)
    event = (rng.random(n) < 0.6) * 1.0
    entry, stratum = np.where(rng.random(n) < 0.2, 0.5, -np.inf), rng.integers(0, 2, n)
    return X, np.column_stack([time, entry, stratum, event]), eta


def plain(X, response, eta, penalty):
    """Coefficients by a general optimiser of the penalised likelihood of the oracle."""
    time, entry, stratum, event = response.T
    A = oracle.terms(time, event, entry, stratum)
    D = X.astype(float)

    def minus(beta):
        value, gradient, _, _ = oracle.partial_likelihood(D, beta, event, A, eta)
        return -value + 0.5 * penalty * beta @ beta, -gradient + penalty * beta

    return minimize(minus, np.zeros(X.shape[1]), jac=True, method="BFGS", options={"gtol": 1e-8}).x


@pytest.mark.parametrize("penalty", [0.5, 30.0])
def test_coefficients_are_those_of_a_general_optimiser(level1, penalty):
    X, response, eta = level1
    likelihood = PartialLikelihood(response, eta)
    solve = _solver(_hessian(X, likelihood.at(np.zeros(len(X))).variance), penalty)
    beta, state = maximise(likelihood, X, penalty, solve)
    # a step that moves no log hazard by 1e-4 is the last; what is left to go is a few such
    np.testing.assert_allclose(X @ beta, X @ plain(X, response, eta, penalty), rtol=0, atol=5e-4)
    assert state.score.sum() == pytest.approx(0.0, abs=1e-9)


def test_cross_validation_is_the_refit_without_each_fold(level1):
    X, response, eta = level1
    folds, penalties = Folds(np.array([0, 50, 100, 150])), np.array([1e4, 300.0, 30.0, 3.0, 0.3])
    fit = cross_validated("t", PartialLikelihood(response, eta), X, folds, penalties, [slice(0, 5), slice(5, 12)])
    gained = np.zeros(5)
    fits = {}
    for a, b in folds.segments:
        others = np.r_[0:a, b : len(X)]
        for j, penalty in enumerate(penalties):
            beta = plain(X[others], response[others], eta[others], penalty)
            fits[a, j] = beta
            for who, sign in ((np.arange(len(X)), 1.0), (others, -1.0)):
                time, entry, stratum, event = response[who].T
                A = oracle.terms(time, event, entry, stratum)
                for at, half in ((beta, 1.0), (beta * 0.0, -1.0)):
                    value = oracle.partial_likelihood(X[who].astype(float), at, event, A, eta[who])[0]
                    gained[j] += sign * half * value
    found = [row["log_likelihood_gained"] for row in fit.table]
    np.testing.assert_allclose(found, gained, rtol=0, atol=2e-3)  # log hazards to 5e-4, of 150 samples
    best = int(np.argmax(gained))
    for a, b in folds.segments:
        np.testing.assert_allclose(fit.contributions.sum(axis=0)[a:b], X[a:b] @ fits[a, best], rtol=0, atol=5e-4)


def test_leave_one_out_is_near_the_refit(level1):
    X, response, eta = level1
    penalties = np.array([300.0, 30.0, 10.0, 3.0, 1.0])
    folds = Folds(np.array([0, len(X)]), leave_one_out=True)
    fit = cross_validated("t", PartialLikelihood(response, eta), X, folds, penalties, [slice(0, 12)])
    best = int(np.argmax([row["log_likelihood_gained"] for row in fit.table]))
    for i in (0, 17, 93):
        others = np.delete(np.arange(len(X)), i)
        refit = X[i] @ plain(X[others], response[others], eta[others], penalties[best])
        # one step, and the risk sets of the others keep the sample: a hundredth of a log hazard of 150 samples
        assert fit.contributions[0, i] == pytest.approx(refit, abs=0.05)


@pytest.fixture(scope="module")
def cohort(tmp_path_factory):
    codes = draw_codes()
    table = draw_table(codes)
    rng = np.random.default_rng(5)
    y = table["y"].to_numpy()
    hazard = np.exp((y - y.mean()) / y.std())
    time, censored = rng.exponential(1.0 / hazard), rng.exponential(1.0, N)
    table = table.with_columns(
        days=np.minimum(time, censored) * 100 + 1, death=(time < censored).astype(int), site=np.arange(N) % 2
    )
    return ga.Cohort.align(store_of(tmp_path_factory.mktemp("survival"), codes), table)


@pytest.mark.parametrize(
    ("prior", "least"), [("ridge", 0.1), ("mixture", 0.0)]
)  # of 120 samples little is to be had out of fold
def test_predictions_are_offsets_of_a_cox_model(cohort, prior, least):
    model = model_of("death", outcome="survival", time="days", strata="site", prior=prior)
    found = ga.fit_whole_genome(cohort, model)
    y = draw_table(draw_codes())["y"].to_numpy()
    assert np.corrcoef(found.loco("death"), y)[0, 1] > least
    res = ga.associate(
        cohort, ga.Cox(time="days", event="death", covariates=["sex", "age"], strata="site"), offsets=found
    )
    assert res.table.height == len(CONTIGS)
    with pytest.raises(ga.PhenotypeError, match="are of survival traits"):
        ga.associate(cohort, ga.Linear(["death"], ["sex", "age"]), offsets=found)


def test_what_cannot_be_fitted(cohort):
    with pytest.raises(ValueError, match="needs the column of times"):
        model_of("death", outcome="survival")
    with pytest.raises(ValueError, match="time: of times to an event"):
        model_of("y", time="days")
    with pytest.raises(ga.PhenotypeError, match="there are 1 events"):
        ga.fit_whole_genome(cohort, model_of("death", outcome="survival", time=["days", "age"]))
    nobody = cohort.with_covariates(pl.DataFrame({"IID": [f"S{i}" for i in range(N)], "none": [0] * N}))
    found = ga.fit_whole_genome(nobody, model_of("death", "none", outcome="survival", time="days"))
    assert found.traits == ("death",)
    assert "has the event" in found.summary.filter(pl.col("trait") == "none")["failure"].item()


def test_step1_takes_the_times_of_a_cox_model(cohort):
    model = ga.Cox(time="days", event="death", covariates=["sex"], strata="site", entry=None)
    found = regression_of(SimpleNamespace(step1={"prior": "mixture"}), model)
    assert (found.outcome, found.traits, found.time, found.strata) == ("survival", ("death",), ("days",), ("site",))
    assert found.prior == "mixture"
