"""Rows fitted together are the rows fitted one by one; what does not go smoothly is left to the latter."""

import numpy as np
import pytest
from endpoint_cohort import COVARIATES, make

import genassoc as ga
from genassoc.explanation import audit
from genassoc.refit.row_batches import RowBatches
from genassoc.refit.row_data import RowSource

MODELS = {
    "linear": ga.Linear(["ldl"], COVARIATES, min_mac=0),
    "linear genotypic": ga.Linear(["ldl"], COVARIATES, genetic_model="genotypic"),
    "linear arm": ga.Linear(["ldl"], COVARIATES, interaction="statin"),
    "linear regenie": ga.Linear(["ldl"], COVARIATES, like="regenie"),
    "logistic": ga.Logistic(["t2d", "rare"], COVARIATES, correct_below=0.3),
    "logistic regenie": ga.Logistic(["t2d"], COVARIATES, like="regenie", correct_below=0.5),
    "firth": ga.Logistic(["rare"], COVARIATES, correction="firth", correct_below=0.5),
    "wald": ga.Logistic(["t2d"], COVARIATES, test="wald", genetic_model="genotypic"),
    "counts": ga.Poisson(["attacks"], COVARIATES, exposure="years", correct_below=0.3),
    "counts of an arm": ga.Poisson(["attacks"], COVARIATES, exposure="years", interaction="statin", correct_below=0.3),
}


@pytest.fixture(scope="module")
def cohort(tmp_path_factory):
    files = make(tmp_path_factory.mktemp("together"), n_samples=300, n_variants=50)
    return ga.Cohort.align(files.store, files.phenotypes, sex="sex")


@pytest.mark.parametrize("name", MODELS)
def test_together_as_by_itself(cohort, name, monkeypatch):
    results = ga.associate(cohort, MODELS[name])
    choices = results.provenance["parameters"]["model"]
    source = RowSource(cohort, choices)
    rows, _, _ = audit.draw(results, source.about, choices, 10_000, 1)
    taken: list[int] = []
    fitted = RowBatches.fitted

    def counted(self, asked):
        found = fitted(self, asked)
        taken.extend(found)
        return found

    monkeypatch.setattr(RowBatches, "fitted", counted)
    together = list(audit.refits(rows, source, choices))
    assert len(taken) >= 0.8 * rows.height  # else nothing was compared
    monkeypatch.setattr(RowBatches, "fitted", lambda self, asked: {})
    for one, alone in zip(together, audit.refits(rows, RowSource(cohort, choices), choices)):
        assert one.row == alone.row and isinstance(one.fitted, str) == isinstance(alone.fitted, str)
        if isinstance(one.fitted, str):
            assert one.fitted == alone.fitted
            continue
        assert one.n == alone.n
        for field in ("beta", "standard_error", "neg_log_10_p", "standard_error_model", "degrees_of_freedom"):
            # Newton's method stops within 1e-8 of a standard error, Firth's within 1e-6.
            size = max(1.0, abs(alone.fitted.beta) / alone.fitted.standard_error) * alone.fitted.standard_error
            bound = 3e-6 * (size if field != "neg_log_10_p" else max(1.0, alone.fitted.neg_log_10_p))
            mine, own = getattr(one.fitted, field), getattr(alone.fitted, field)
            assert mine == own or np.isnan([mine, own]).all() or abs(mine - own) <= bound, (one.row, field, mine, own)
