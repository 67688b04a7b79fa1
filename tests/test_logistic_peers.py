"""Logistic regression beside PLINK 2's and REGENIE's stored files and the numbers that hail asserts (R's glm)."""

import numpy as np
import polars as pl
import pytest
from real_data import real_data
from test_linear_peers import plink_table, posterior_mean

import genassoc as ga
from genassoc.data.block import DosageBlock

# statistics.md, and half a unit of the sixth digit that peers print.
WALD, FIRTH, PRINTED = 5e-5, 1e-3, 5e-6


def shares(ours, theirs, tolerance):
    """Largest deviation of beta, SE and -log10 p as shares of their bars; ``ours`` and ``theirs`` are dicts of arrays."""
    size = np.maximum(np.abs(theirs["beta"]), theirs["se"])
    logp = np.maximum(1, theirs["logp"])
    p_bar = 1e-4 if tolerance == WALD else 1e-3
    return {
        "beta": (np.abs(ours["beta"] - theirs["beta"]) / ((tolerance + PRINTED) * size)).max(),
        "se": (np.abs(ours["se"] - theirs["se"]) / ((tolerance + PRINTED) * theirs["se"])).max(),
        "logp": (np.abs(ours["logp"] - theirs["logp"]) / ((p_bar + PRINTED) * logp)).max(),
    }


def check(ours, theirs, tolerance, label):
    found = shares(ours, theirs, tolerance)
    print(label, 3 * theirs["beta"].size, "numbers", {name: f"{value:.3f}" for name, value in found.items()})
    assert max(found.values()) <= 1.0, (label, found)


def numbers(table, names, sign=1):
    column = {key: table[name].to_numpy().astype(float) for key, name in names.items()}
    column["beta"] = sign * column["beta"]
    return column


OURS = {"beta": "our_beta", "se": "standard_error", "logp": "neg_log_10_p_value"}


def beside_plink(results, theirs):
    """Joined rows; asserts that the same rows are there and have numbers."""
    theirs = theirs.with_columns(logp=-pl.col("P").log10()).rename({"BETA": "beta"})
    ours = results.rename({"beta": "our_beta", "code": "our_code"})
    both = theirs.join(
        ours, left_on=["#CHROM", "POS", "ID", "A1"],
        right_on=["chromosome", "base_pair_location", "rsid", "effect_allele"], how="inner",
    )  # fmt: skip
    assert both.height == theirs.height
    np.testing.assert_array_equal(both["n"], both["OBS_CT"])
    np.testing.assert_allclose(both["effect_allele_frequency"], both["A1_FREQ"], rtol=PRINTED)
    return both


THEIRS = {"beta": "beta", "se": "SE", "logp": "logp"}


def test_kg_genome_agrees_with_plink2_on_every_row(tmp_path):
    folder = real_data("kg-genome")
    cohort = ga.Cohort.align(ga.convert(folder / "1000G.489.vcf.gz", tmp_path / "s.zarr"), folder / "phenotypes.tsv")
    results = ga.associate(cohort, ga.Logistic("case", ["PC1:PC4"], like="plink2"))
    both = beside_plink(results.table, plink_table(folder / "expected-plink2" / "case.glm.logistic.hybrid.gz"))
    assert ((both["FIRTH?"] == "Y") == (both["method"] == "firth")).all()
    for method, tolerance in (("wald", WALD), ("firth", FIRTH)):
        part = both.filter(pl.col("method") == method)
        assert part.height > 1000
        check(numbers(part, OURS), numbers(part, THEIRS), tolerance, f"PLINK 2 {method}")


def test_kg_masked_agrees_with_plink2_and_codes_are_explained(tmp_path):
    folder = real_data("kg-masked")
    store = ga.convert(folder / "masked.vcf.gz", tmp_path / "s.zarr")
    cohort = ga.Cohort.align(store, real_data("kg-genome") / "phenotypes.tsv")
    results = ga.associate(cohort, ga.Logistic("case", ["PC1:PC4"], like="plink2"))
    both = beside_plink(results.table, plink_table(folder / "expected-plink2" / "case.glm.logistic.hybrid.gz"))
    differ = both.filter(pl.col("beta").is_null() != pl.col("our_beta").is_null())
    print(differ.select("ID", "ERRCODE", "our_code", "beta", "our_beta"))
    print(both.group_by("ERRCODE", "our_code").len())
    assert differ.height == 0
    tested = both.filter(pl.col("beta").is_not_null())
    same = (tested["FIRTH?"] == "Y") == (tested["method"] == "firth")
    assert same.all(), tested.filter(~same).select("ID", "FIRTH?", "method", "beta", "our_beta")
    for method, tolerance in (("wald", WALD), ("firth", FIRTH)):
        part = tested.filter(pl.col("method") == method)
        check(numbers(part, OURS), numbers(part, THEIRS), tolerance, f"PLINK 2 masked {method}")


def glow(tmp_path, model):
    folder = real_data("glow-gwas")
    phenotypes = pl.read_csv(folder / "binary-phenotypes.csv.gz").join(
        pl.read_csv(folder / "covariates.csv.gz"), on="sample_id"
    )
    covariates = [name for name in phenotypes.columns if "onfounder" in name]
    cohort = ga.Cohort.align(ga.convert(folder / "genotypes.vcf.gz", tmp_path / "s.zarr"), phenotypes)
    traits = [f"Binary_Trait_{i}" for i in range(1, 11)]
    return ga.associate(cohort, model(traits, covariates)).table, folder / "expected-plink2", traits


def test_glow_without_firth_agrees_with_plink2(tmp_path):
    table, folder, traits = glow(tmp_path, lambda t, c: ga.Logistic(t, c, like="plink2", correction=None))
    for trait in traits:
        both = beside_plink(table.filter(pl.col("trait") == trait), plink_table(folder / f"b.{trait}.glm.logistic.gz"))
        # What PLINK 2 calls separated does not converge here.
        differ = both.filter(pl.col("beta").is_null() != pl.col("our_beta").is_null())
        assert differ.height == 0, differ.select("ID", "ERRCODE", "our_code", "beta", "our_beta")
        tested = both.filter(pl.col("beta").is_not_null())
        check(numbers(tested, OURS), numbers(tested, THEIRS), WALD, f"glow {trait}")


def test_glow_firth_for_all_agrees_with_plink2(tmp_path):
    table, folder, traits = glow(
        tmp_path, lambda t, c: ga.Logistic(t, c, like="plink2", correction="firth", correct_below=1.0)
    )
    for trait in traits:
        both = beside_plink(table.filter(pl.col("trait") == trait), plink_table(folder / f"f.{trait}.glm.firth.gz"))
        assert both["our_beta"].is_not_null().all()
        check(numbers(both, OURS), numbers(both, THEIRS), FIRTH, f"glow firth {trait}")


REGENIE = {"beta": "BETA", "se": "SE", "logp": "LOG10P"}


def beside_regenie(results, path):
    theirs = pl.read_csv(path, separator=" ", null_values=["NA"], schema_overrides={"CHROM": pl.String})
    both = theirs.join(
        results, left_on=["CHROM", "GENPOS", "ID"], right_on=["chromosome", "base_pair_location", "rsid"], how="inner"
    )
    assert both.height == theirs.height
    np.testing.assert_array_equal(both["n"], both["N"])
    # Orient by alleles, never by column.
    sign = np.where((both["ALLELE1"] == both["effect_allele"]).to_numpy(), 1, -1)
    same = (both["ALLELE1"] == both["effect_allele"]) | (both["ALLELE1"] == both["other_allele"])
    assert same.all()
    return both, sign


@pytest.mark.parametrize("correction", ["firth_approx", "spa"])
def test_kg_genome_agrees_with_regenie(tmp_path, correction):
    folder = real_data("kg-genome")
    cohort = ga.Cohort.align(ga.convert(folder / "1000G.489.vcf.gz", tmp_path / "s.zarr"), folder / "phenotypes.tsv")
    results = ga.associate(cohort, ga.Logistic("case", ["PC1:PC4"], like="regenie", correction=correction))
    name = f"step2_noloco_case_{correction}.regenie.gz"
    both, sign = beside_regenie(results.table, folder / "expected-regenie" / name)
    for method, tolerance in (("score", WALD), (correction, FIRTH)):
        chosen = (both["method"] == method).to_numpy()
        assert chosen.sum() > 2000
        ours = numbers(both.filter(pl.Series(chosen)), {**OURS, "beta": "beta"}, sign[chosen])
        check(ours, numbers(both.filter(pl.Series(chosen)), REGENIE), tolerance, f"REGENIE {correction}: {method}")


# What hail asserts -------------------------------------------------------------------------------------------------

HAIL = {
    "test_logistic_regression_wald_test": ("wald", "vcf"),
    "test_logistic_regression_wald_test_apply_multi_pheno": ("wald", "vcf"),
    "test_logistic_regression_wald_test_pl": ("wald", "pl"),
    "test_logistic_regression_wald_dosage": ("wald", "gen"),
    "test_logistic_regression_lrt": ("lrt", "vcf"),
    "test_logistic_regression_score": ("score", "vcf"),
}


def hail_dosages(folder, kind):
    if kind == "pl":
        lines = [line.split("\t") for line in (folder / "regressionLogistic.vcf").read_text().splitlines()]
        samples = next(line for line in lines if line[0] == "#CHROM")[9:]
        calls = [[call.split(":")[-1] for call in line[9:]] for line in lines if not line[0].startswith("#")]
        likelihoods = [
            [[10 ** (-int(x) / 10) for x in call.split(",")] if "," in call else [0, 0, 0] for call in row]
            for row in calls
        ]
        return samples, posterior_mean(np.array(likelihoods))
    samples = [line.split()[1] for line in (folder / "regressionLogistic.sample").read_text().splitlines()[2:] if line]
    rows = [line.split() for line in (folder / "regressionLogistic.gen").read_text().splitlines() if line]
    values = np.array([[float(x) for x in row[-3 * len(samples) :]] for row in rows])
    return samples, posterior_mean(values.reshape(len(rows), -1, 3))


class DosageCohort:
    """A cohort whose blocks are dosages."""

    def __init__(self, cohort):
        self.design = cohort.design
        self.block_columns, self.block_width = np.arange(cohort.n_samples), cohort.n_samples


@pytest.mark.parametrize("case", HAIL)
def test_hail_asserts_the_same(tmp_path, case):
    folder = real_data("hail")
    test, kind = HAIL[case]
    expected = pl.read_csv(folder / "EXPECTED_statgen.tsv", separator="\t").filter(pl.col("hail_test") == case)
    assert expected.height >= 5
    covariates = pl.read_csv(folder / "regressionLogistic.cov", separator="\t")
    y = pl.read_csv(folder / "regressionLogisticBoolean.pheno", separator="\t", null_values=["0", "NA"])
    y = y.rename({"isCase": "y"}).with_columns(pl.col("y").cast(pl.String).str.to_lowercase())
    y = y.with_columns(pl.col("y").replace({"true": "1", "false": "0"}).cast(pl.Int64))
    store = ga.convert(folder / "regressionLogistic.vcf", tmp_path / "s.zarr")
    cohort = ga.Cohort.align(store, covariates.join(y, on="Sample", how="left"), sample_id="Sample", min_overlap=0.1)
    # hail gives missing calls the mean of the samples analysed.
    model = ga.Logistic("y", ["Cov1", "Cov2"], test=test, correction=None, missing="mean", min_mac=0)
    fixed_point = 0.0
    if kind == "vcf":
        result = model.block(model.prepare(cohort), cohort.read(0, cohort.n_variants))
    else:
        samples, dosages = hail_dosages(folder, kind)
        place = {name: i for i, name in enumerate(samples)}
        order = np.array([place[str(name)] for name in cohort.sample_ids])
        result = model.block(model.prepare(DosageCohort(cohort)), DosageBlock.from_dosages(dosages[:, order]))
        fixed_point = 5e-5  # 16-bit dosages are rounded to 1/65534
    from genassoc.models.base import CODES

    for _, variant, field, value, tolerance, _ in expected.iter_rows():
        v = int(variant.removeprefix("pos=")) - 1
        column = {name: values[v, 0] for name, values in result.columns.items()}
        code = CODES[int(column["code"])]
        if field == "fit.converged":
            assert code == "not_converged" and np.isnan(column["beta"])
        elif field == "constant/uninformative":
            assert code in ("monomorphic", "constant_genotype", "collinear") and np.isnan(column["neg_log_10_p_value"])
        else:
            found = {
                "beta": column["beta"],
                "standard_error": column["standard_error_model"],
                "z_stat": column["statistic"],
                "chi_sq_stat": column["statistic"] ** 2,
                "p_value": 10.0 ** -column["neg_log_10_p_value"],
            }[field]
            allowed = float(tolerance.removeprefix("abs=")) + (fixed_point + 2e-6) * max(1.0, abs(float(value)))
            assert abs(found - float(value)) <= allowed, (variant, field, found, value)
