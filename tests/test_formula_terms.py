"""Strata of randomisation and products of covariates in the formula, against statsmodels' own formulas."""

import unicodedata

import numpy as np
import polars as pl
import pytest
import statsmodels.formula.api as smf
from small_cohort import bits, make_files

import genassoc as ga
from genassoc.data.phenotypes.formula_parser import parse_formula
from genassoc.data.phenotypes.phenotypes import Phenotypes
from genassoc.errors import PhenotypeError

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


def test_references_within_references_are_bounded(trial):
    cohort, _, _ = trial
    nested = f"C(site, {'Treatment(' * 1500}'B'{')' * 1500})"
    with pytest.raises(PhenotypeError, match="more than 40 deep"):
        ga.associate(cohort, ga.Linear("y", nested))


@pytest.mark.parametrize("covariates", [["site"], "C(site, ref='A\0')", "age:site"])
def test_labels_that_end_in_nul_are_labels_of_their_own(trial, covariates):
    """numpy's fixed-width text leaves trailing NULs out, and "A" and "A\\0" were one category."""
    cohort, frame, _ = trial
    odd = np.arange(frame.height) % 2 == 0
    label = pl.when(pl.Series(odd)).then(pl.col("site") + "\0").otherwise("site")
    names = {"A": 0, "B": 1, "C": 2, "A\0": 3, "B\0": 4, "C\0": 5}
    six = frame.with_columns(site=label)
    plain = six.with_columns(site=pl.col("site").replace_strict({old: f"level {n}" for old, n in names.items()}))
    same = covariates if isinstance(covariates, list) else covariates.replace("A\0", "level 3")
    found = [
        ga.associate(ga.Cohort.align(cohort.store, table), ga.Linear("y", chosen)).table["beta"]
        for table, chosen in ((six, covariates), (plain, same))
    ]
    assert (found[0] - found[1]).abs().max() < 1e-6  # the same columns in another order: rounding of float32 products


def test_an_empty_covar_is_no_wish_for_none(genassoc, tmp_path):
    for empty in ("", " ", ",", " , "):
        code, _, said = genassoc(
            "assoc", tmp_path / "g.zarr", tmp_path / "p.tsv", "--model", "linear", "--trait", "y", "--covar", empty, "--out", "o.tsv"
        )  # fmt: skip
        assert code == 2 and "--covar names nothing" in said


def test_accents_are_composed_either_way():
    """Keyboards and files differ in it, and the eye sees nothing: in names with blanks and brackets too."""
    one, other = (unicodedata.normalize(form, "âge (années)") for form in ("NFC", "NFD"))
    for column, written in ((one, other), (other, one)):
        for formula in (written, f"age + {written}", f"log({written})*age", f"`{written}`"):
            assert column in parse_formula(formula, [column, "age"]).columns
        table = Phenotypes.read(pl.DataFrame({"IID": ["a"], column: [1.0]}))
        with pytest.raises(PhenotypeError, match="composed otherwise"):
            table.resolve([written], "covariate")
    assert parse_formula(one, [one, other]).columns == (one,) and parse_formula(other, [one, other]).columns == (other,)
