"""Strata of randomisation and products of covariates in the formula, against statsmodels' own formulas."""

import numpy as np
import polars as pl
import pytest
import statsmodels.formula.api as smf
from small_cohort import bits, make_files

import genassoc as ga

# Sums of a block hold 1e-5 of a standard error (docs/models/linear.md); logistic rows below p = 0.05 are fitted.
RELATIVE = 1e-5


@pytest.fixture(scope="module")
def trial(tmp_path_factory):
    """A cohort with sites, arms and a trait in which age acts in one arm only; and its calls."""
    files = make_files(tmp_path_factory.mktemp("trial"), n_samples=250, n_variants=60)
    store = ga.open_store(files.store)
    codes = store.read(0, store.n_variants).codes().astype(float)
    codes[codes == 3] = np.nan
    rng = np.random.default_rng(2)
    frame = pl.read_csv(files.phenotypes, separator="\t", null_values="NA").select("IID", "age")
    n = frame.height
    site, arm = rng.choice(["A", "B", "C"], n), rng.choice(["drug", "placebo"], n)
    y = 0.05 * frame["age"].to_numpy() * (arm == "drug") + (site == "B") + rng.normal(0, 1, n)
    frame = frame.with_columns(site=pl.Series(site), arm=pl.Series(arm), centre=pl.Series(site).replace_strict(
        {"A": 1, "B": 2, "C": 3}), y=y, case=(y > np.median(y)).astype(int))  # fmt: skip
    return ga.Cohort.align(files.store, frame), frame, codes


@pytest.mark.parametrize(
    "formula", ["age + C(site)", "age * arm + C(site)", "age + arm + age:arm + site", "C(centre) * arm"]
)
def test_linear(trial, formula):
    cohort, frame, codes = trial
    rows = ga.associate(cohort, ga.Linear("y", formula)).table
    chosen = np.flatnonzero(rows["beta"].is_not_null().to_numpy())[:15]
    assert chosen.size == 15
    for v in chosen:
        data = frame.to_pandas().assign(g=codes[v])
        fit = smf.ols(f"y ~ {formula} + g", data.dropna()).fit()
        row = rows.row(int(v), named=True)
        assert abs(row["beta"] - fit.params["g"]) <= RELATIVE * max(abs(fit.params["g"]), fit.bse["g"])
        assert abs(row["standard_error"] - fit.bse["g"]) <= RELATIVE * fit.bse["g"]


def test_text_is_a_stratum_without_a_formula(trial):
    cohort = trial[0]
    named = ga.associate(cohort, ga.Linear("y", ["age", "site"])).table
    formula = ga.associate(cohort, ga.Linear("y", "age + C(site)")).table
    assert bits(named) == bits(formula)


def test_logistic(trial):
    cohort, frame, codes = trial
    model = ga.Logistic("case", "age * arm + C(site)", test="wald", correction="none")
    rows = ga.associate(cohort, model).table
    common = rows.with_row_index("v").filter(pl.col("beta").is_not_null() & (pl.col("mac") > 50)).head(8)
    assert common.height == 8
    for row in common.iter_rows(named=True):
        data = frame.to_pandas().assign(g=codes[row["v"]])
        fit = smf.logit("case ~ age * arm + C(site) + g", data.dropna()).fit(disp=0, tol=1e-10)
        # both fits have converged to far below this share of a standard error
        assert abs(row["beta"] - fit.params["g"]) <= 1e-4 * fit.bse["g"]
        assert abs(row["standard_error"] - fit.bse["g"]) <= 1e-4 * fit.bse["g"]
