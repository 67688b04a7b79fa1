"""REGENIE's documentation example (``example.test_bin_out_firth_Y1.regenie``): 500 samples, 1,000 variants, one disease.

It was run with LOCO predictions of step 1, which are not stored. The example has one chromosome, so that they leave out
every variant: the offset is 0, and its score tests are ours to the last digit. Its Firth rows are of an
early REGENIE (no column EXTRA), which residualised g on the covariates without the null's weights; REGENIE 4.1.2,
with which `test_logistic_peers` agrees to 1.5e-4, takes them. So these rows are compared with the older rule in plain
numpy, where all digits agree, and ours with them only as near as the two rules are.
"""

import numpy as np
import polars as pl
import pytest
from oracles import logistic as oracle
from real_data import real_data
from scipy.stats import chi2

import genassoc as ga
from genassoc.data.block import GenotypeBlock
from genassoc.data.store.writer import write_store

PRINTED = 5e-6  # REGENIE prints six significant digits


def read_bed(folder):
    """Copies of the .bim's first allele (V, N), 3 not observed, with variants and sample ids."""
    bim = pl.read_csv(
        folder / "example.bim", separator="\t", has_header=False, infer_schema=False,
        new_columns=["chromosome", "rsid", "morgan", "base_pair_location", "effect_allele", "other_allele"],
    )  # fmt: skip
    samples = [line.split()[1] for line in (folder / "example.fam").read_text().splitlines()]
    content = np.fromfile(folder / "example.bed", np.uint8)
    assert content[:3].tolist() == [0x6C, 0x1B, 1]  # magic, variant by variant
    rows = content[3:].reshape(bim.height, -1)
    pairs = (rows[:, :, None] >> np.array([0, 2, 4, 6])) & 3
    # 00 two copies of the first allele, 01 not observed, 10 heterozygous, 11 none
    codes = np.array([2, 3, 1, 0], np.uint8)[pairs.reshape(bim.height, -1)[:, : len(samples)]]
    places = bim.select(
        "chromosome", pl.col("base_pair_location").cast(pl.Int64), "effect_allele", "other_allele", "rsid"
    )
    return codes, places, samples


@pytest.fixture(scope="module")
def example(tmp_path_factory):
    folder = real_data("regenie-example")
    codes, places, samples = read_bed(folder)
    path = tmp_path_factory.mktemp("regenie") / "example.zarr"
    write_store(path, samples, [GenotypeBlock.from_codes(codes)], places)
    traits = pl.read_csv(folder / "phenotype_bin.txt", separator=" ").select("IID", "Y1")
    table = traits.join(pl.read_csv(folder / "covariates.txt", separator=" ").drop("FID"), on="IID")
    removed = {line.split()[1] for line in (folder / "fid_iid_to_remove.txt").read_text().splitlines()}
    table = table.with_columns(pl.col("IID").cast(pl.String)).filter(~pl.col("IID").is_in(removed))
    model = ga.Logistic("Y1", ["V1:V3"], like="regenie", correct_below=0.01)  # the example's --pThresh 0.01
    ours = ga.associate(ga.Cohort.align(path, table), model).table
    theirs = pl.read_csv(folder / "example.test_bin_out_firth_Y1.regenie", separator=" ").with_columns(
        pl.col("ID").cast(pl.String), pl.col("CHROM").cast(pl.String)
    )
    both = theirs.join(ours, left_on=["CHROM", "GENPOS", "ID"], right_on=["chromosome", "base_pair_location", "rsid"])
    keep = np.array([name not in removed for name in samples])
    covariates = np.column_stack([np.ones(table.height), table.select("V1", "V2", "V3").to_numpy()])
    dosages = np.where(codes == 3, np.nan, codes)[:, keep]
    dosages = np.where(np.isnan(dosages), np.nanmean(dosages, axis=1)[:, None], dosages)
    assert table["IID"].to_list() == [name for name in samples if name not in removed]
    return both, theirs, (covariates, table["Y1"].to_numpy().astype(float), dosages)


def test_samples_and_frequencies_are_the_same(example):
    both, theirs, _ = example
    assert both.height == theirs.height == 1000
    assert (both["ALLELE1"].cast(pl.String) == both["effect_allele"]).all()
    np.testing.assert_array_equal(both["n"], both["N"])
    np.testing.assert_allclose(both["effect_allele_frequency"], both["A1FREQ"], rtol=PRINTED)


def test_score_rows_are_the_same_to_the_digits_printed(example):
    part = example[0].filter(pl.col("method") == "score").with_columns(chi2=pl.col("statistic") ** 2)
    assert part.height == 980
    error = part["SE"].to_numpy()
    # Ours add 1e-5 of float32 sums (statistics.md) to half a unit of the sixth digit.
    for ours, theirs, size in (("beta", "BETA", error), ("standard_error", "SE", error), ("chi2", "CHISQ", 1.0)):
        found, printed = part[ours].to_numpy(), part[theirs].to_numpy()
        assert np.all(np.abs(found - printed) <= 2e-5 * np.maximum(np.abs(printed), size)), ours
    logp = part["LOG10P"].to_numpy()
    assert np.all(np.abs(part["neg_log_10_p_value"].to_numpy() - logp) <= 1e-4 * np.maximum(1.0, logp))


def test_firth_rows_are_those_of_g_residualised_without_weights(example):
    both, _, (X, y, dosages) = example
    part = both.filter(pl.col("method") == "firth_approx")
    assert part.height == 20
    offset = X @ oracle.fit(X, y, penalised=True)[0]
    for row in part.iter_rows(named=True):
        rest = oracle.residualise(X, np.ones(y.size), dosages[row["GENPOS"] - 1])[:, None]  # positions count from 1
        beta, full = oracle.fit(rest, y, offset, penalised=True)
        ratio = 2.0 * (full - oracle.penalised_log_likelihood(rest, y, np.zeros(1), offset))
        assert beta[0] == pytest.approx(row["BETA"], rel=2 * PRINTED)
        assert -np.log10(chi2.sf(ratio, 1)) == pytest.approx(row["LOG10P"], rel=2 * PRINTED)
    # What the weights change, in 121 cases and 373 controls: at most 6 % of a standard error, 2 % of -log10 p.
    difference = (part["beta"] - part["BETA"]).abs() / part["SE"]
    assert 0.005 < difference.max() < 0.07
    np.testing.assert_allclose(part["standard_error"], part["SE"], rtol=0.015)
    np.testing.assert_allclose(part["neg_log_10_p_value"], part["LOG10P"], rtol=0.02)
    assert np.corrcoef(part["beta"], part["BETA"])[0, 1] > 0.9999
