"""Linear regression beside PLINK 2's stored files and the numbers that hail asserts (R's lm)."""

import re

import numpy as np
import polars as pl
import pytest
from real_data import real_data

import genassoc as ga
from genassoc.data.block import DosageBlock

# statistics.md: |d beta| <= 1e-5 max(|beta|, SE), |d SE| <= 1e-5 SE, |d -log10 p| <= 1e-4 max(1, -log10 p);
# PLINK 2 prints six significant digits, which adds half a unit of the sixth.
RELATIVE = 1e-5
PRINTED = 5e-6


def plink_table(path):
    return pl.read_csv(
        path,
        separator="\t",
        null_values=["NA", "."],
        infer_schema_length=100_000,
        schema_overrides={"#CHROM": pl.String},
    )


def linear_run(tmp_path, vcf, phenotypes, traits, covariates, **choices):
    store = ga.convert(vcf, tmp_path / "store.zarr")
    cohort = ga.Cohort.align(store, phenotypes)
    return ga.associate(cohort, ga.Linear(traits, covariates, min_mac=0, **choices))


def compare(ours, theirs, rsid=True):
    """Joined rows of both, after every number has been compared; the count of numbers and the worst share of the bar."""
    both = theirs.rename({"#CHROM": "chromosome", "POS": "base_pair_location"}).join(
        ours.rename({"beta": "our_beta"}),
        left_on=["chromosome", "base_pair_location", "ID", "A1"],
        right_on=["chromosome", "base_pair_location", "rsid", "effect_allele"],
        how="inner",
    )
    tested = both.filter(pl.col("BETA").is_not_null() & pl.col("our_beta").is_not_null())
    if "standard_error_model" in ours.columns:
        # Rows of few carriers may have the larger p of the residuals' own law; the model's error and t stay beside it.
        by_law = pl.col("method") == "spa"
        law = tested.filter(by_law)
        assert law.height < 0.005 * tested.height
        assert (law["neg_log_10_p_value"] < -law["P"].cast(pl.Float64).log10()).all()
        model_error = pl.col("standard_error_model")
        tested = tested.with_columns(
            standard_error=pl.when(by_law).then(model_error).otherwise("standard_error"),
            statistic=pl.when(by_law).then(pl.col("our_beta") / model_error).otherwise("statistic"),
            neg_log_10_p_value=pl.when(by_law)
            .then(-pl.col("P").cast(pl.Float64).log10())
            .otherwise("neg_log_10_p_value"),
        )
    column = {name: tested[name].to_numpy().astype(float) for name in (
        "BETA", "SE", "P", "T_STAT", "A1_FREQ", "OBS_CT", "our_beta", "standard_error", "statistic", "neg_log_10_p_value",
        "effect_allele_frequency", "n",
    )}  # fmt: skip
    size = np.maximum(np.abs(column["BETA"]), column["SE"])
    shares = {
        "beta": np.abs(column["our_beta"] - column["BETA"]) / (RELATIVE * size + PRINTED * np.abs(column["BETA"])),
        "standard_error": np.abs(column["standard_error"] - column["SE"]) / ((RELATIVE + PRINTED) * column["SE"]),
        "statistic": np.abs(column["statistic"] - column["T_STAT"])
        / (2 * RELATIVE * np.maximum(np.abs(column["T_STAT"]), 1) + PRINTED * np.abs(column["T_STAT"])),
        "frequency": np.abs(column["effect_allele_frequency"] - column["A1_FREQ"])
        / (PRINTED * np.maximum(column["A1_FREQ"], 1e-300)),
    }
    logp = -np.log10(column["P"])
    shares["neg_log_10_p"] = np.abs(column["neg_log_10_p_value"] - logp) / (1e-4 * np.maximum(1, logp) + PRINTED)
    np.testing.assert_array_equal(column["n"], column["OBS_CT"])
    for name, share in shares.items():
        assert share.max() <= 1.0, f"{name}: {share.max():.3g} of the tolerance"
    n_numbers = (len(shares) + 1) * tested.height
    print({name: f"{share.max():.3f}" for name, share in shares.items()}, n_numbers, "numbers")
    return both, tested


def test_kg_genome_agrees_with_plink2_on_every_row(tmp_path):
    folder = real_data("kg-genome")
    results = linear_run(tmp_path, folder / "1000G.489.vcf.gz", folder / "phenotypes.tsv", ["quant"], ["PC1:PC4"])
    theirs = plink_table(folder / "expected-plink2" / "quant.glm.linear.gz")
    both, tested = compare(results.table, theirs)
    # --mac 10 leaves rows out of their file; every row of it is in ours, and no row of it is without a number here.
    assert both.height == theirs.height
    assert tested.height == theirs["BETA"].is_not_null().sum() > 70_000


def test_kg_masked_agrees_with_plink2_and_rows_without_numbers_are_the_same(tmp_path):
    folder = real_data("kg-masked")
    phenotypes = real_data("kg-genome") / "phenotypes.tsv"
    results = linear_run(tmp_path, folder / "masked.vcf.gz", phenotypes, ["quant"], ["PC1:PC4"])
    theirs = plink_table(folder / "expected-plink2" / "quant.glm.linear.gz")
    ours = results.table
    both, tested = compare(ours, theirs)
    assert both.height == theirs.height == ours.height
    differ = both.filter(pl.col("BETA").is_null() != pl.col("our_beta").is_null())
    print(differ.select("ID", "ERRCODE", "code"))
    assert differ.height == 0
    coded = both.filter(pl.col("code").is_not_null())
    # Constant in ALT or in REF (their omitted allele): we call both monomorphic.
    assert set(coded["ERRCODE"]) <= {"CONST_ALLELE", "CONST_OMITTED_ALLELE"}
    assert set(coded["code"]) <= {"monomorphic"}
    assert tested.height > 10_000


def test_glow_all_quantitative_traits_in_one_run_agree_with_plink2(tmp_path):
    folder = real_data("glow-gwas")
    phenotypes = pl.read_csv(folder / "continuous-phenotypes.csv.gz").join(
        pl.read_csv(folder / "covariates.csv.gz"), on="sample_id"
    )
    traits = [f"Continuous_Trait_{i}" for i in range(1, 11)]
    covariates = [name for name in phenotypes.columns if "onfounder" in name]
    assert len(covariates) == 6
    results = linear_run(tmp_path, folder / "genotypes.vcf.gz", phenotypes, traits, covariates)
    for trait in traits:
        theirs = plink_table(folder / "expected-plink2" / f"c.{trait}.glm.linear.gz")
        both, tested = compare(results.table.filter(pl.col("trait") == trait), theirs)
        assert both.height == tested.height == 13


# What hail asserts -------------------------------------------------------------------------------------------------

CASES = [
    "test_linear_regression_with_cov",
    "test_linear_regression_with_import_fam_boolean",
    "test_linear_regression_with_import_fam_quant",
    "test_linear_regression_pl",
    "test_linear_regression_with_dosage",
]


def hail_phenotypes(folder, case):
    covariates = pl.read_csv(folder / "regressionLinear.cov", separator="\t")
    if "fam" not in case:
        y = pl.read_csv(folder / "regressionLinear.pheno", separator="\t").rename({"Pheno": "y"})
        y = y.with_columns(pl.when(pl.col("y") != 0).then(pl.col("y")))  # hail reads it with missing="0"
        return covariates.join(y, on="Sample", how="left")
    rows = [
        re.split(r"\s+", line.strip()) for line in (folder / "regressionLinear.fam").read_text().splitlines() if line
    ]
    y = pl.DataFrame({"Sample": [row[1] for row in rows], "y": [row[5] for row in rows]}).with_columns(
        pl.col("y").replace({"0": None, "-9": None, "N/A": None, "NA": None}).cast(pl.Float64)
    )
    return covariates.join(y, on="Sample", how="left")


def posterior_mean(triples):
    """Mean copies of ALT of probabilities (V, N, 3); NaN where there are none."""
    total = triples.sum(axis=2)
    with np.errstate(invalid="ignore"):
        return np.where(total > 0, (triples[..., 1] + 2 * triples[..., 2]) / total, np.nan)


def hail_dosages(folder, case):
    """Dosages as hail makes them of PL or of a .gen file, and their samples."""
    if case.endswith("_pl"):
        lines = [line.split("\t") for line in (folder / "regressionLinear.vcf").read_text().splitlines()]
        samples = next(line for line in lines if line[0] == "#CHROM")[9:]
        calls = [[call.split(":")[-1] for call in line[9:]] for line in lines if not line[0].startswith("#")]
        likelihoods = [
            [[10 ** (-int(x) / 10) for x in call.split(",")] if "," in call else [0, 0, 0] for call in row]
            for row in calls
        ]
        return np.array(samples), posterior_mean(np.array(likelihoods))
    samples = [line.split()[1] for line in (folder / "regressionLinear.sample").read_text().splitlines()[2:] if line]
    rows = [line.split() for line in (folder / "regressionLinear.gen").read_text().splitlines() if line]
    numbers = np.array([[float(x) for x in row[-3 * len(samples) :]] for row in rows])
    return np.array(samples), posterior_mean(numbers.reshape(len(rows), -1, 3))


class DosageCohort:
    """A cohort whose blocks are dosages: what a BGEN or DS reader will give the same model."""

    def __init__(self, cohort, order):
        self.design, self.block_columns, self.block_width = cohort.design, order, order.size


@pytest.mark.parametrize("case", CASES)
def test_hail_asserts_the_same(tmp_path, case):
    folder = real_data("hail")
    expected = pl.read_csv(folder / "EXPECTED_statgen.tsv", separator="\t").filter(pl.col("hail_test") == case)
    assert expected.height >= 12
    store = ga.convert(folder / "regressionLinear.vcf", tmp_path / "store.zarr")
    cohort = ga.Cohort.align(store, hail_phenotypes(folder, case), sample_id="Sample", min_overlap=0.1)
    # hail gives missing calls the mean of the samples analysed.
    model = ga.Linear("y", ["Cov1", "Cov2"], missing="mean", min_mac=0)
    fixed_point = 0.0
    if case.endswith(("_pl", "_dosage")):
        samples, dosages = hail_dosages(folder, case)
        place = {str(name): i for i, name in enumerate(samples)}
        order = np.array([place[str(name)] for name in cohort.sample_ids])
        state = model.prepare(DosageCohort(cohort, np.arange(order.size)))
        result = model.block(state, DosageBlock.from_dosages(dosages[:, order]))
        # 16-bit dosages are rounded to 1/65534, a relative error of up to 2e-5 in these tiny samples.
        fixed_point = 5e-5
    else:
        state = model.prepare(cohort)
        result = model.block(state, cohort.read(0, cohort.n_variants))
    columns = {
        "beta": result.columns["beta"],
        "standard_error": result.columns["standard_error"],
        "t_stat": result.columns["statistic"],
        "p_value": 10.0 ** -result.columns["neg_log_10_p_value"],
    }
    for _, variant, field, value, tolerance, _ in expected.iter_rows():
        found = columns[field][int(variant.removeprefix("pos=")) - 1, 0]
        if value == "nan":
            assert np.isnan(found), (variant, field)
        else:
            allowed = float(tolerance.removeprefix("abs=")) + fixed_point * abs(float(value))
            # float32 sums: five digits
            assert abs(found - float(value)) <= allowed + RELATIVE * abs(float(value)), (
                variant,
                field,
                found,
                value,
            )


def test_kg_genome_agrees_with_regenie_on_every_row(tmp_path):
    folder = real_data("kg-genome")
    store = ga.convert(folder / "1000G.489.vcf.gz", tmp_path / "store.zarr")
    cohort = ga.Cohort.align(store, folder / "phenotypes.tsv")
    table = ga.associate(cohort, ga.Linear("quant", ["PC1:PC4"], like="regenie")).table
    path = folder / "expected-regenie" / "step2_noloco_quant.regenie.gz"
    theirs = pl.read_csv(path, separator=" ", null_values=["NA"], schema_overrides={"CHROM": pl.String})
    both = theirs.join(
        table, left_on=["CHROM", "GENPOS", "ID"], right_on=["chromosome", "base_pair_location", "rsid"], how="inner"
    )
    assert both.height == theirs.height > 70_000
    sign = np.where((both["ALLELE1"] == both["effect_allele"]).to_numpy(), 1.0, -1.0)
    column = {name: both[name].to_numpy().astype(float) for name in (
        "BETA", "SE", "LOG10P", "N", "beta", "standard_error", "neg_log_10_p_value", "n",
    )}  # fmt: skip
    np.testing.assert_array_equal(column["n"], column["N"])
    size = np.maximum(np.abs(column["BETA"]), column["SE"])
    logp = np.maximum(1, column["LOG10P"])
    found = {
        "beta": np.abs(sign * column["beta"] - column["BETA"]) / ((RELATIVE + PRINTED) * size),
        "se": np.abs(column["standard_error"] - column["SE"]) / ((RELATIVE + PRINTED) * column["SE"]),
        "logp": np.abs(column["neg_log_10_p_value"] - column["LOG10P"]) / ((1e-4 + PRINTED) * logp),
    }
    print("REGENIE", 4 * both.height, "numbers", {name: f"{share.max():.3f}" for name, share in found.items()})
    assert max(share.max() for share in found.values()) <= 1.0
