"""Genetic models: recodings beside their oracles, PLINK 2's stored files, and statsmodels' fits."""

import dataclasses
import shutil
import subprocess
from functools import partial

import numpy as np
import polars as pl
import pytest
from memory_store import MemoryStore
from oracles import logistic as logistic_oracle
from oracles import recode as oracle
from real_data import real_data
from test_linear_peers import PRINTED, RELATIVE, plink_table

import genassoc as ga
from genassoc.data.block import DosageBlock, GenotypeBlock
from genassoc.data.cohort.cohort import Cohort
from genassoc.data.cohort.variant_selection import variant_ids
from genassoc.kernels.genotypes import recode
from genassoc.kernels.genotypes.counts import mask_words
from genassoc.kernels.laws.sandwich import MODEL
from genassoc.models.logistic.fitted import LogisticCase
from genassoc.models.scan.genetic_models import recoded
from genassoc.models.scan.tested import GENOTYPIC
from genassoc.models.scan.wald import Asked, ratio_gains
from genassoc.verbs import association

RNG = np.random.default_rng(5)
INDICATORS = ("dominant", "recessive", "hetonly")


def codes_of(words, n):
    return GenotypeBlock(words.view(np.uint8), n).codes()


@pytest.mark.parametrize("n", [1, 31, 32, 33, 70])
def test_recodings_are_those_of_the_oracle(n):
    codes = RNG.integers(0, 4, (6, n)).astype(np.uint8)
    block = GenotypeBlock.from_codes(codes)
    words, chosen = block.packed.view(np.uint64), RNG.random(n) < 0.5
    mask = mask_words(np.flatnonzero(chosen), n)
    for name in INDICATORS:
        found = getattr(recode, name)(words)
        np.testing.assert_array_equal(codes_of(found, n), getattr(oracle, name)(codes))
        # the padding stays "not observed"
        assert (codes_of(found, found.shape[1] * 32)[:, n:] == 3).all()
    np.testing.assert_array_equal(codes_of(recode.halved(words, mask), n), oracle.halved(codes, chosen))
    for name in ("heterozygotes", "observed"):
        slots = codes_of(getattr(recode, name)(words, mask), n)
        np.testing.assert_array_equal(slots, getattr(oracle, name)(codes, chosen))
    hidden = recode.not_observed(words, recode.heterozygotes(words, mask))
    np.testing.assert_array_equal(codes_of(hidden, n), oracle.not_observed(codes, (codes == 1) & chosen))


def test_dosages_are_recoded_as_plink2_does():
    dosages = np.array([[0.0, 0.25, 1.0, 1.5, 2.0, np.nan]])
    expected = {
        "dominant": [0, 0.5, 2, 2, 2, np.nan],
        "recessive": [0, 0, 0, 1, 2, np.nan],
        "hetonly": [0, 0.5, 2, 1, 0, np.nan],
    }
    block = DosageBlock.from_dosages(dosages)
    for name, values in expected.items():
        # twice the indicator, in steps of 1 / 32767
        np.testing.assert_allclose(recoded(block, name).dosages()[0], values, atol=2.0 / 32767)
        assert recoded(block, name).genuine is block


# PLINK 2's stored files -----------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def masked(tmp_path_factory):
    store = ga.convert(real_data("kg-masked") / "masked.vcf.gz", tmp_path_factory.mktemp("masked") / "s.zarr")
    return Cohort.align(store, real_data("kg-genome") / "phenotypes.tsv")


TEST_NAMES = {
    "DOM": "dom",
    "REC": "rec",
    "HETONLY": "hetonly",
    "ADD": "add",
    "DOMDEV": "domdev",
    "GENO_2DF": "geno_2df",
}


def beside(results, theirs):
    """Joined rows: every one of theirs is in ours, of the same samples and frequency."""
    theirs = theirs.with_columns(test=pl.col("TEST").replace_strict(TEST_NAMES)).rename({"BETA": "their_beta"})
    both = theirs.join(
        results, left_on=["POS", "ID", "A1", "test"], right_on=["base_pair_location", "rsid", "effect_allele", "test"]
    )
    assert both.height == theirs.height
    np.testing.assert_array_equal(both["n"], both["OBS_CT"])
    np.testing.assert_allclose(both["effect_allele_frequency"], both["A1_FREQ"], rtol=PRINTED)
    return both


def assert_close(both, tolerance=RELATIVE, p_tolerance=1e-4, se=True):
    """Effects, standard errors and p within the bar of statistics.md and the six digits printed."""
    column = {name: both[name].to_numpy().astype(float) for name in ("their_beta", "SE", "beta", "standard_error")}
    effects = np.isfinite(column["their_beta"])
    assert effects.any()
    size = np.maximum(np.abs(column["their_beta"]), column["SE"])[effects]
    found = np.abs(column["beta"] - column["their_beta"])[effects] / ((tolerance + PRINTED) * size)
    assert found.max() <= 1.0
    if se:
        ratio = np.abs(column["standard_error"] / column["SE"] - 1.0)[effects]
        assert ratio.max() <= tolerance + PRINTED
        logp = -np.log10(both["P"].to_numpy().astype(float))
        apart = np.abs(both["neg_log_10_p_value"].to_numpy() - logp)
        assert (apart <= (p_tolerance + PRINTED) * np.maximum(1.0, logp)).all()


@pytest.mark.parametrize("model", ["dominant", "recessive", "genotypic"])
def test_linear_agrees_with_plink2_on_every_row(masked, model):
    results = ga.associate(masked, ga.Linear("quant", ["PC1:PC4"], like="plink2", genetic_model=model)).table
    path = real_data("kg-masked") / "expected-plink2" / f"{model}.quant.glm.linear.gz"
    both = beside(results, plink_table(path))
    # What has no number there has none here. Their codes are of columns that are combinations of others.
    assert (both["P"].is_null() == both["neg_log_10_p_value"].is_null()).all()
    codes = {
        "dominant": {(None, None)},
        "recessive": {(None, None), ("VIF_INFINITE", "constant_genotype")},
        "genotypic": {(None, None), ("CORR_TOO_HIGH", "collinear")},
    }
    assert set(both.select("ERRCODE", "code").unique().rows()) == codes[model]
    tested = both.filter(pl.col("P").is_not_null())
    assert tested.height > 6000
    assert_close(tested)


def plink2(folder, *arguments):
    """Run the PLINK 2 of this machine; its log is left in ``folder``."""
    program = shutil.which("plink2")
    if program is None:
        pytest.skip("there is no plink2 on this machine")
    command = [program, *map(str, arguments), "--threads", "1", "--out", str(folder / "p")]
    subprocess.run(command, check=True, capture_output=True)


def penalised_maximum(cohort, variant_id, model, test):
    """Firth's estimate of an indicator, or of a column of the genotypic model, by the oracle's optimiser."""
    design = cohort.design(["case"], ["PC1:PC4"], kind="binary")
    place = cohort.store.variants().with_columns(variant_ids())["id"]
    codes = cohort.read(0, cohort.n_variants).codes()[int((place == variant_id).arg_true()[0])]
    at = (codes != 3) & ~np.isnan(design.y[:, 0])
    X = design.X[at] / np.maximum(design.X[at].std(axis=0), 1e-9)
    X[:, 0] = 1.0
    of_test = (
        {"add": codes, "domdev": codes == 1} if model == "genotypic" else {test: getattr(oracle, model)(codes) / 2.0}
    )
    D = np.column_stack([X, *(column[at].astype(float) for column in of_test.values())])
    return logistic_oracle.fit(D, design.y[at, 0], penalised=True)[0][X.shape[1] + list(of_test).index(test)]


@pytest.mark.integration
@pytest.mark.parametrize("model", ["dominant", "recessive", "genotypic"])
def test_logistic_beside_the_plink2_of_this_machine(masked, model, tmp_path):
    folder, phenotypes = real_data("kg-masked"), real_data("kg-genome") / "phenotypes.tsv"
    plink2(
        tmp_path, "--vcf", folder / "masked.vcf.gz", "--pheno", phenotypes, "--pheno-name", "case", "--1", "--covar",
        phenotypes, "--covar-name", "PC1-PC4", "--mac", "10", "--glm", model, "hide-covar", "omit-ref",
        "cols=+beta,+a1freq",
    )  # fmt: skip
    theirs = plink_table(tmp_path / "p.case.glm.logistic.hybrid")
    ours = ga.associate(masked, ga.Logistic("case", ["PC1:PC4"], like="plink2", genetic_model=model)).table
    both = beside(ours, theirs)
    fine = both.filter(pl.col("ERRCODE").is_null())
    # The same rows need Firth's penalty (that PLINK 2 stops some of them unfinished is its own affair).
    assert ((fine["FIRTH?"] == "Y") == (fine["method"] == "firth")).all()
    wald = fine.filter(pl.col("method") == "wald")
    firth = fine.filter(pl.col("method") == "firth")
    assert wald.height > 4000 and firth.height > 200
    # Debian's of 2022 is of single precision, with other standard errors: effects alone are compared, to 1e-4.
    assert_close(wald.filter(pl.col("test") != "geno_2df"), 1e-4, se=False)
    single = firth.filter(pl.col("test") != "geno_2df").with_columns(
        apart=(pl.col("beta") - pl.col("their_beta")).abs() / pl.col("SE")
    )
    # It stops short of the maximum where an indicator has few carriers; there ours is the general optimiser's.
    short = single.filter(pl.col("apart") > 1.1e-3)
    assert short.height <= 0.15 * single.height
    for row in short.sort("apart", descending=True)[:2].iter_rows(named=True):
        assert row["beta"] == pytest.approx(penalised_maximum(masked, row["variant_id"], model, row["test"]), abs=1e-3)
    if model == "genotypic":
        joint = wald.filter(pl.col("test") == "geno_2df")
        logp = -np.log10(joint["P"].to_numpy())
        assert np.abs(joint["neg_log_10_p_value"].to_numpy() - logp).max() < 2e-3


# What the rows mean ---------------------------------------------------------------------------------------


def small_cohort(n=300, n_variants=30, seed=1, missing=0.05):
    rng = np.random.default_rng(seed)
    codes = rng.binomial(2, rng.uniform(0.05, 0.95, (n_variants, 1)), (n_variants, n)).astype(np.uint8)
    codes[rng.random(codes.shape) < missing] = 3
    ids = [f"s{i}" for i in range(n)]
    x = rng.normal(size=n)
    table = pl.DataFrame({"IID": ids, "y": x + rng.normal(size=n), "d": (x + rng.logistic(size=n) > 0.5) * 1, "x": x})
    return Cohort.align(MemoryStore(codes, ids), table), codes, table


def rows_of(cohort, model):
    plan = association.plan_association(cohort, model)
    job = association.association_job(cohort, model, plan)
    found = [job.do(job.state, task).rows for task in plan.tasks]
    return pl.concat([rows for rows in found if rows.height])  # a task without rows has no further columns


@pytest.mark.parametrize("model", INDICATORS)
def test_linear_indicator_is_ordinary_least_squares(model):
    cohort, codes, table = small_cohort()
    rows = rows_of(cohort, ga.Linear("y", ["x"], min_mac=0, genetic_model=model))
    assert rows["beta"].is_not_null().sum() > 20
    assert set(rows["test"]) == {{"dominant": "dom", "recessive": "rec", "hetonly": "hetonly"}[model]}
    for v in range(len(codes)):
        if rows["code"][v] == "constant_genotype":
            continue
        at = codes[v] != 3
        g = getattr(oracle, model)(codes[v])[at] / 2.0
        D = np.column_stack([g, np.ones(at.sum()), table["x"].to_numpy()[at]])
        beta = np.linalg.lstsq(D, table["y"].to_numpy()[at], rcond=None)[0]
        # float32 sums: five digits
        error = rows["standard_error"][v]
        assert abs(rows["beta"][v] - beta[0]) <= 1e-5 * max(abs(beta[0]), error)
        alt = codes[v][at].sum()
        assert rows["effect_allele_frequency"][v] == alt / (2 * at.sum())
        assert rows["mac"][v] == min(alt, 2 * at.sum() - alt)


def newton_fit(sm, y, null, *columns):
    return sm.Logit(y, np.column_stack([*columns, null])).fit(disp=0, method="newton", tol=1e-12)


@pytest.mark.parametrize("test", ["wald", "lrt"])
def test_logistic_genotypic_is_statsmodels_fit(test):
    sm = pytest.importorskip("statsmodels.api")
    cohort, codes, table = small_cohort(seed=3)
    model = ga.Logistic("d", ["x"], min_mac=0, genetic_model="genotypic", test=test, correction=None)
    rows = rows_of(cohort, model)
    n_tested = 0
    for v in range(len(codes)):
        at = codes[v] != 3
        y, g = table["d"].to_numpy()[at], codes[v][at].astype(float)
        add, domdev, joint = rows[3 * v : 3 * v + 3].to_dicts()
        cells = [[((g == k) & (y == c)).sum() for k in range(3)] for c in (0, 1)]
        if np.min(cells) == 0:
            assert joint["code"] in ("separation", "collinear") and joint["neg_log_10_p_value"] is None
            continue
        n_tested += 1
        null = np.column_stack([np.ones(at.sum()), table["x"].to_numpy()[at]])
        fit = partial(newton_fit, sm, y, null)
        both = fit(g, g == 1)
        np.testing.assert_allclose([add["beta"], domdev["beta"]], both.params[:2], rtol=1e-6, atol=1e-8)
        if test == "wald":
            # The information is that of the last Newton step but one: 1e-5 of itself
            np.testing.assert_allclose([add["standard_error"], domdev["standard_error"]], both.bse[:2], rtol=1e-4)
            chi2 = both.params[:2] @ np.linalg.solve(both.cov_params()[:2, :2], both.params[:2])
            np.testing.assert_allclose(joint["statistic"], chi2, rtol=1e-4)
        else:
            held = [fit(g == 1), fit(g), fit()]
            gains = [2 * (both.llf - other.llf) for other in held]
            found = [add["statistic"] ** 2, domdev["statistic"] ** 2, joint["statistic"]]
            np.testing.assert_allclose(found, gains, rtol=1e-6, atol=1e-7)  # differences of log likelihoods of some 100
            assert joint["neg_log_10_p_value"] == pytest.approx(joint["statistic"] / 2 / np.log(10), rel=1e-12)
    assert n_tested > 15


def test_dominant_on_swapped_alleles_is_recessive_of_the_other():
    cohort, codes, table = small_cohort()
    swapped = np.where(codes == 3, 3, 2 - codes).astype(np.uint8)
    other = Cohort.align(MemoryStore(swapped, table["IID"].to_list()), table)
    for kind, trait in ((ga.Linear, "y"), (ga.Logistic, "d")):
        dominant = rows_of(cohort, kind(trait, ["x"], min_mac=0, genetic_model="dominant"))
        recessive = rows_of(other, kind(trait, ["x"], min_mac=0, genetic_model="recessive"))
        # float32 sums in another order
        np.testing.assert_allclose(dominant["beta"], -recessive["beta"], rtol=1e-4, atol=1e-6)
        np.testing.assert_allclose(
            dominant["neg_log_10_p_value"], recessive["neg_log_10_p_value"], rtol=1e-4, atol=1e-6
        )


def test_few_carriers_of_what_is_tested_give_a_code():
    cohort, codes, table = small_cohort(missing=0.0)
    codes = codes[:1].copy()
    codes[0] = 0
    codes[0, :40], codes[0, 40:42] = 1, 2
    cohort = Cohort.align(MemoryStore(codes, table["IID"].to_list()), table)
    for model, code in (("additive", None), ("dominant", None), ("recessive", "too_few_carriers")):
        rows = rows_of(cohort, ga.Linear("y", ["x"], genetic_model=model))
        assert rows["mac"][0] == 44 and rows["code"][0] == code  # two homozygotes count 4, below min_mac = 5
    rows = rows_of(cohort, ga.Linear("y", ["x"], genetic_model="genotypic"))
    assert rows["code"].to_list() == ["too_few_carriers"] * 3 and rows["beta"].is_null().all()


def test_genotypic_rows_are_the_same_in_any_company_and_block():
    cohort, _, table = small_cohort()
    table = table.with_columns(z=pl.when(pl.col("x") > -1.5).then(pl.col("y") ** 2))
    cohort = Cohort.align(cohort.store, table)
    for kind, traits in ((ga.Linear, ["y", "z"]), (ga.Logistic, ["d"])):
        model = kind(traits, ["x"], genetic_model="genotypic")
        assert model.rows_per_variant == 3 * len(traits)
        together = rows_of(cohort, model)
        assert together.height == 90 * len(traits)
        for trait in traits:
            alone = rows_of(cohort, dataclasses.replace(model, traits=(trait,)))
            assert together.filter(pl.col("trait") == trait).equals(alone)
        cohort.store.block_variants = 7
        assert rows_of(cohort, model).equals(together)
        cohort.store.block_variants = 16


def test_firth_genotypic_is_the_penalised_maximum():
    rng = np.random.default_rng(8)
    n = 60
    g = rng.integers(0, 3, n).astype(float)
    y = (rng.random(n) < 0.4).astype(float)
    y[g == 2] = 0.0  # no case among homozygotes
    X = np.full((n, 1), 1 / np.sqrt(n))
    H = np.column_stack([g, g == 1]).astype(float)
    case = LogisticCase(H, True, X, y, np.zeros(n), False, True)
    asked = Asked("lrt", MODEL, "firth", 0.05, False, 0.0)
    assert case.unfit(asked, "lrt") == "separation" and case.unfit(asked, "firth") is None
    fit = case.maximum(H, 2, "firth", asked)
    gains = ratio_gains(asked, case, GENOTYPIC, fit, "firth")
    D = np.column_stack([X, g, g == 1])
    beta, top = logistic_oracle.fit(D, y, penalised=True)
    _, held = logistic_oracle.fit(D, y, penalised=True, held=2)
    # Nelder-Mead's own precision
    np.testing.assert_allclose(fit.theta, beta[1:], rtol=1e-4)
    np.testing.assert_allclose(gains[2], 2 * (top - held), rtol=1e-5)


@pytest.mark.parametrize(
    "choices, words",
    [
        ({"genetic_model": "dominance"}, "genetic_model is one of"),
        ({"male_x_dosage": 3}, "male_x_dosage is 2"),
        ({"condition_on": ["rs1", "rs1"]}, "twice"),
        ({"genetic_model": "genotypic", "like": "regenie"}, "REGENIE has no genotypic test"),
        ({"genetic_model": "genotypic", "missing": "mean"}, "complete genotypes"),
    ],
)
def test_choices_that_cannot_be_are_refused(choices, words):
    for kind in (ga.Linear, ga.Logistic):
        with pytest.raises(ValueError, match=words):
            kind("y", **choices)


def test_genotypic_of_dosages_is_refused():
    cohort, _, _ = small_cohort()
    model = ga.Linear("y", genetic_model="genotypic")
    with pytest.raises(ga.DosageError, match="these dosages come without: read GP"):
        model.block(model.prepare(cohort), DosageBlock.from_dosages(np.ones((1, 300))))


@pytest.mark.parametrize("model", INDICATORS)
def test_counts_and_grades_are_tested_on_the_indicator_too(model):
    cohort, codes, table = small_cohort()
    rng = np.random.default_rng(9)
    table = table.with_columns(k=pl.Series(rng.poisson(2.0, 300)), o=pl.Series(rng.integers(0, 3, 300)))
    indicator = np.where(codes == 3, 3, getattr(oracle, model)(codes) // 2).astype(np.uint8)
    cohort = Cohort.align(cohort.store, table)
    # The indicator as if it were copies of an allele: the same estimate, the same p.
    plain = Cohort.align(MemoryStore(indicator, table["IID"].to_list()), table)
    for kind, trait in ((ga.Poisson, "k"), (ga.Ordinal, "o"), (ga.Logistic, "d")):
        choices = {"correct_below": 0.0} if kind is ga.Logistic else {"correction": None}
        found = rows_of(cohort, kind(trait, ["x"], min_mac=0, genetic_model=model, **choices))
        expected = rows_of(plain, kind(trait, ["x"], min_mac=0, **choices))
        # Which rows are tested exactly hangs on the count of what is tested.
        fine = found["beta"].is_not_null() & expected["beta"].is_not_null() & (found["method"] == expected["method"])
        assert fine.sum() > 10
        # float32 sums in another order
        for name in ("beta", "standard_error", "neg_log_10_p_value"):
            np.testing.assert_allclose(found.filter(fine)[name], expected.filter(fine)[name], rtol=1e-3, atol=1e-5)
