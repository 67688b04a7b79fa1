"""The genotypic Cox model against statsmodels and the oracle: two degrees of freedom, on X, beside other variants."""

import dataclasses

import numpy as np
import polars as pl
import pytest
from oracles import cox as oracle
from statsmodels.duration.hazard_regression import PHReg
from test_cox import cohort_of, drawn
from test_genetic_models import rows_of
from test_sex_chromosomes import SEX, N, mixed_cohort, written

import genassoc as ga
from genassoc.data.block import DosageBlock

# Two Newton fits of float64 that each stop at a step of a millionth of a standard error.
FITTED = 1e-5


@pytest.fixture(scope="module")
def small():
    codes, table = drawn(seed=4, n=300, V=16, missing=0.01)
    return cohort_of(codes, table), codes, table


def fitted(time, event, covariates, g, entry=None):
    """PHReg of copies and heterozygotes beside covariates: coefficients, covariance, twice the gain over none of the two."""
    D = np.column_stack([g, g == 1, *covariates])
    scale = D.std(axis=0)
    given = {} if entry is None else {"entry": entry}
    model = PHReg(time, D / scale, event, ties="efron", **given)
    fit = model.fit(disp=0)
    held = [[1, *range(2, D.shape[1])], [0, *range(2, D.shape[1])], [*range(2, D.shape[1])]]
    # statsmodels' llf of a fit without columns is not there: every null has the covariate
    gains = [
        2 * (fit.llf - PHReg(time, (D / scale)[:, keep], event, ties="efron", **given).fit(disp=0).llf) for keep in held
    ]
    return fit.params[:2] / scale[:2], fit.cov_params()[:2, :2] / np.outer(scale[:2], scale[:2]), gains


@pytest.mark.parametrize("test", ["wald", "lrt"])
def test_rows_are_those_of_statsmodels(small, test):
    cohort, codes, table = small
    model = ga.Cox("T", "E", ["x"], genetic_model="genotypic", test=test, correction=None, min_mac=0)
    assert model.rows_per_variant == 3
    rows = rows_of(cohort, model)
    compared = 0
    for v in range(len(codes)):
        add, domdev, joint = rows[3 * v : 3 * v + 3].to_dicts()
        assert [row["test"] for row in (add, domdev, joint)] == ["add", "domdev", "geno_2df"]
        at = codes[v] != 3
        g, part = codes[v][at].astype(float), table.filter(pl.Series(at))
        events = [int(part["E"].to_numpy()[g == copies].sum()) for copies in range(3)]
        if min(events) == 0:  # a genotype without events has no finite effect, and one that is not there none at all
            assert add["code"] in ("not_converged", "collinear") and joint["neg_log_10_p_value"] is None
            continue
        compared += 1
        theta, covariance, gains = fitted(part["T"].to_numpy(), part["E"].to_numpy(), [part["x"].to_numpy()], g)
        errors = np.sqrt(np.diag(covariance))
        for k, row in enumerate((add, domdev)):
            assert abs(row["beta"] - theta[k]) <= FITTED * errors[k]
            assert row["standard_error_model"] == pytest.approx(errors[k], rel=FITTED)
            if test == "lrt":
                assert row["statistic"] ** 2 == pytest.approx(gains[k], rel=1e-5, abs=1e-7)
        expected = gains[2] if test == "lrt" else theta @ np.linalg.solve(covariance, theta)
        assert joint["method"] == test and joint["beta"] is None
        assert joint["statistic"] == pytest.approx(expected, rel=2e-5, abs=1e-7)
        assert joint["neg_log_10_p_value"] == pytest.approx(joint["statistic"] / 2 / np.log(10), rel=1e-12)
        assert add["n"] == at.sum() and add["n_events"] == part["E"].sum()
    assert compared > 8


def test_firth_rows_are_the_oracles(small):
    cohort, codes, table = small
    v = next(v for v in range(len(codes)) if min((codes[v] == copies).sum() for copies in range(3)) > 20)
    kept = cohort.keep_variants(np.array([v]))
    rows = rows_of(kept, ga.Cox("T", "E", ["x"], genetic_model="genotypic", correct_below=1.0))
    assert set(rows["method"]) == {"firth"}
    at = codes[v] != 3
    part, g = table.filter(pl.Series(at)), codes[v][at].astype(float)
    event = part["E"].to_numpy()
    A = oracle.terms(part["T"].to_numpy(), event)
    x = part["x"].to_numpy()
    columns = np.column_stack([x, g == 1, g])
    beta, top = oracle.fit(columns, event, A, firth=True)
    gains = [2 * (top - oracle.fit(columns, event, A, firth=True, held=1)[1])]  # without g
    gains += [2 * (top - oracle.fit(columns[:, [0, 2, 1]], event, A, firth=True, held=1)[1])]  # without het
    gains += [2 * (top - oracle.fit(columns, event, A, firth=True, held=2)[1])]
    # Nelder-Mead's own precision
    np.testing.assert_allclose(rows["beta"][:2], beta[[2, 1]], rtol=1e-4, atol=1e-6)
    np.testing.assert_allclose(
        [*(rows["statistic"][:2].to_numpy() ** 2), rows["statistic"][2]], gains, rtol=1e-4, atol=1e-6
    )


def test_a_genotype_without_events_takes_firths_penalty():
    codes, table = drawn(seed=4, n=300, V=1)
    event = np.where(codes[0] == 2, 0, table["E"].to_numpy())
    cohort = cohort_of(codes, table.with_columns(E=pl.Series(event)))
    rows = rows_of(cohort, ga.Cox("T", "E", ["x"], genetic_model="genotypic"))
    assert set(rows["method"]) == {"firth"} and rows["neg_log_10_p_value"].is_finite().all()
    bare = rows_of(cohort, ga.Cox("T", "E", ["x"], genetic_model="genotypic", correction=None))
    assert set(bare["code"]) == {"not_converged"} and bare["beta"].is_null().all()


@pytest.fixture(scope="module")
def on_x(tmp_path_factory):
    cohort, codes, phenotypes = mixed_cohort()
    rng = np.random.default_rng(8)
    table = phenotypes.with_columns(
        days=pl.Series(np.ceil(rng.exponential(40, N))), dead=pl.Series((rng.random(N) < 0.7).astype(int))
    )
    cohort = ga.Cohort.align(cohort.store, table, sex="SEX")
    return written(cohort, tmp_path_factory.mktemp("x")), codes, table


def test_on_x_sex_is_a_covariate_and_males_have_two_or_none(on_x):
    cohort, codes, table = on_x
    model = ga.Cox("days", "dead", ["x"], genetic_model="genotypic", test="wald", correction=None, min_mac=0)
    rows = rows_of(cohort, model)
    time, event, x = (table[name].to_numpy() for name in ("days", "dead", "x"))
    for v in range(8, 12):
        g = np.where(codes[v] == 3, np.nan, codes[v].astype(float))
        g[(SEX == 1) & (codes[v] == 1)] = np.nan
        at = ~np.isnan(g) & (SEX > 0)
        theta, covariance, _ = fitted(time[at], event[at], [x[at], SEX[at].astype(float)], g[at])
        add, domdev = rows.filter(pl.col("base_pair_location") == 50_000_000 + v - 8).to_dicts()[:2]
        for k, row in enumerate((add, domdev)):
            error = np.sqrt(covariance[k, k])
            assert row["n"] == at.sum() and row["chromosome"] == "X"
            assert abs(row["beta"] - theta[k]) <= FITTED * error
            assert row["standard_error"] == pytest.approx(error, rel=FITTED)


def test_beside_another_variant(on_x):
    cohort, codes, table = on_x
    model = ga.Cox(
        "days", "dead", ["x"], genetic_model="genotypic", test="wald", correction=None, min_mac=0, condition_on=["rs1"]
    )
    rows = rows_of(cohort, model)
    time, event, x = (table[name].to_numpy() for name in ("days", "dead", "x"))
    for v in (0, 2, 3):
        at = (codes[v] != 3) & (codes[1] != 3)
        covariates = [x[at], codes[1][at].astype(float)]
        theta, covariance, _ = fitted(time[at], event[at], covariates, codes[v][at].astype(float))
        for k, row in enumerate(rows[3 * v : 3 * v + 2].to_dicts()):
            assert row["n"] == at.sum() and abs(row["beta"] - theta[k]) <= FITTED * np.sqrt(covariance[k, k])
    assert set(rows[3:6]["code"]) == {"collinear"}


def test_the_audit_fits_all_of_it_again(on_x):
    cohort, _, _ = on_x
    for change in ({}, {"male_x_dosage": 1}, {"condition_on": ("rs1",)}, {"test": "wald", "correct_below": 0.5}):
        model = dataclasses.replace(ga.Cox("days", "dead", ["x"], genetic_model="genotypic", min_mac=0), **change)
        found = ga.associate(cohort, model, audit=200).provenance["audit"]
        assert found["passed"] and found["rows"] > 15, found["line"]


def test_rows_are_the_same_in_any_company_and_block(small):
    cohort, _, table = small
    rng = np.random.default_rng(3)
    table = table.with_columns(F=pl.Series(rng.integers(0, 2, table.height)))
    cohort = ga.Cohort.align(cohort.store, table)
    model = ga.Cox("T", ["E", "F"], ["x"], genetic_model="genotypic")
    together = rows_of(cohort, model)
    alone = rows_of(cohort, dataclasses.replace(model, event=("F",)))
    assert together.filter(pl.col("trait") == "F").equals(alone)
    before, cohort.store.block_variants = cohort.store.block_variants, 5
    assert rows_of(cohort, model).equals(together)
    cohort.store.block_variants = before


@pytest.mark.parametrize("change", [{"missing": "mean"}, {"test": "score"}, {"correction": "spa"}])
def test_what_has_no_genotypic_model(change):
    with pytest.raises(ValueError, match=r"complete genotypes|tested by likelihood ratios"):
        ga.Cox("T", "E", genetic_model="genotypic", **change)


def test_dosages_have_none(small):
    model = ga.Cox("T", "E", genetic_model="genotypic")
    with pytest.raises(ga.DosageError, match="these dosages come without"):
        model.block(model.prepare(small[0]), DosageBlock.from_dosages(np.ones((1, 300))))


def test_explained(on_x):
    cohort, _, _ = on_x
    results = ga.associate(cohort, ga.Cox("days", "dead", ["x"], genetic_model="genotypic"))
    variant = results.table.filter(pl.col("beta").is_not_null())["variant_id"][0]
    found = ga.explain(results, variant)
    assert found.row["test"] == "geno_2df" and found.reproduced
    table = found.table.filter(pl.col("reference").is_not_null())
    assert {"wald", "lrt"} <= set(table["method"])
    assert table["difference_neg_log_10_p_value"].abs().max() < 1e-4
