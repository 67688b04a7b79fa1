"""Quality of variants and samples against PLINK 2 and a plain reading of the VCF."""

import csv
import gzip

import numpy as np
import polars as pl
import pytest
from memory_store import MemoryStore, snv_table
from oracles import hardy_weinberg as hardy_weinberg_oracle
from real_data import real_data

import genassoc as ga
from genassoc.analyses.qc import SampleCounts, SampleQuality, SamplesCounted
from genassoc.data.block import GenotypeBlock
from genassoc.data.cohort.variant_statistics import SampleMasks, variant_statistics

CODES = {"0/0": 0, "0/1": 1, "1/1": 2, "./.": 3, ".": 3}
PRINTED = 5.1e-6  # PLINK prints 6 significant digits


@pytest.fixture(scope="module")
def masked():
    """Ids, ALTs and codes (V, N) of the masked 1000 Genomes calls, by splitting the text."""
    ids, codes = [], []
    with gzip.open(real_data("kg-masked") / "masked.vcf.gz", "rt") as lines:
        for line in lines:
            if not line.startswith("#"):
                cells = line.rstrip("\n").split("\t")
                ids.append(cells[2])
                codes.append([CODES[call] for call in cells[9:]])
    return ids, np.array(codes, dtype=np.uint8)


def _plink(name):
    with gzip.open(real_data("kg-masked") / "expected-plink2" / name, "rt") as lines:
        return list(csv.DictReader(lines, delimiter="\t"))


def statistics(block, columns=None, sex=None, kind="1"):
    """The columns of `variant_statistics`, arrays with NaN for null; of all samples, on one kind of chromosome."""
    columns = np.arange(block.n_samples) if columns is None else columns
    masks = SampleMasks.build(columns, block.n_samples, sex)
    table = variant_statistics(block, np.full(block.n_variants, kind, dtype=object), masks, hwe=True)
    return {column.name: column.to_numpy() for column in table}


def _column(rows, name, dtype=float):
    return np.array([dtype(row[name]) for row in rows])


def test_plink2_counts_missing_and_hardy(masked):
    ids, codes = masked
    found = statistics(GenotypeBlock.from_codes(codes))
    acount, vmiss, hardy = _plink("acount.gz"), _plink("vmiss.gz"), _plink("hardy.gz")
    for rows in (acount, vmiss, hardy):
        assert [row["ID"] for row in rows] == ids
    alt = found["n_het"] + 2 * found["n_hom_alt"]
    np.testing.assert_array_equal(alt, _column(acount, "ALT_CTS", int))
    np.testing.assert_array_equal(2 * found["n"], _column(acount, "OBS_CT", int))
    np.testing.assert_array_equal(codes.shape[1] - found["n"], _column(vmiss, "MISSING_CT", int))
    np.testing.assert_allclose(found["missing_rate"], _column(vmiss, "F_MISS"), rtol=PRINTED)
    np.testing.assert_array_equal(found["n_het"], _column(hardy, "HET_A1_CT", int))
    np.testing.assert_allclose(found["hwe_p"], _column(hardy, "P"), rtol=PRINTED)
    af = alt / (2 * found["n"])
    np.testing.assert_array_equal(found["af"], af)
    np.testing.assert_allclose(found["maf"], np.minimum(af, 1 - af), rtol=1e-14, atol=1e-16)  # 1 - af rounds
    np.testing.assert_array_equal(found["mac"], np.minimum(alt, 2 * found["n"] - alt))


def test_samples_of_the_vcf(masked):
    _, codes = masked
    quality, everyone = SampleQuality(), SamplesCounted.all_of(codes.shape[1])
    whole = quality.block(everyone, GenotypeBlock.from_codes(codes))
    parts = quality.block(everyone, GenotypeBlock.from_codes(codes[:3000]))
    for start in range(3000, len(codes), 700):
        parts = quality.combine(parts, quality.block(everyone, GenotypeBlock.from_codes(codes[start : start + 700])))
    for name, sums in vars(whole).items():
        np.testing.assert_array_equal(getattr(parts, name), sums)
    observed = codes != 3
    np.testing.assert_array_equal(whole.n, observed.sum(axis=0))
    np.testing.assert_array_equal(whole.missing_rate, (codes == 3).sum(axis=0) / len(codes))
    np.testing.assert_array_equal(whole.heterozygosity, (codes == 1).sum(axis=0) / observed.sum(axis=0))


def _random_block(n_variants=40, n_samples=77):
    codes = np.random.default_rng(5).integers(0, 4, (n_variants, n_samples)).astype(np.uint8)
    return codes, GenotypeBlock.from_codes(codes)


def test_a_selection_equals_a_block_of_the_selected():
    codes, block = _random_block()
    columns = np.random.default_rng(6).permutation(77)[:50]
    selected = statistics(block, columns)
    alone = statistics(GenotypeBlock.from_codes(codes[:, columns]))
    assert selected.keys() == alone.keys()
    for name, values in alone.items():
        np.testing.assert_array_equal(selected[name], values)


def test_hardy_weinberg_in_females_only():
    codes, block = _random_block()
    females = np.arange(0, 77, 2)
    sex = np.ones(77, dtype=np.int8)
    sex[females] = 2
    found = statistics(block, sex=sex, kind="X")
    np.testing.assert_array_equal(found["n"], (codes != 3).sum(axis=1))
    for v, row in enumerate(codes[:, females]):
        p, midp = hardy_weinberg_oracle.hardy_weinberg(*(int((row == code).sum()) for code in range(3)))
        assert found["hwe_p"][v] == pytest.approx(float(p), rel=1e-13)  # tens of steps of 2e-16
        assert found["hwe_midp"][v] == pytest.approx(float(midp), rel=1e-13)


def test_swapping_the_alleles():
    codes, block = _random_block()
    swapped = GenotypeBlock.from_codes(np.array([2, 1, 0, 3], dtype=np.uint8)[codes])
    ours, theirs = statistics(block), statistics(swapped)
    for name in ("n", "n_het", "missing_rate", "mac", "maf", "hwe_p", "hwe_midp"):
        np.testing.assert_array_equal(ours[name], theirs[name])
    np.testing.assert_allclose(ours["af"], 1 - theirs["af"], rtol=1e-15)  # 1 - af rounds


def test_nothing_observed_is_nan_and_not_zero():
    found = statistics(GenotypeBlock.from_codes(np.full((1, 5), 3, dtype=np.uint8)))
    assert found["n"].tolist() == [0]
    assert found["missing_rate"].tolist() == [1.0] and found["mac"].tolist() == [0]
    for name in ("af", "maf", "hwe_p", "hwe_midp"):
        assert np.isnan(found[name]).all(), name
    empty = SampleCounts.empty(2)
    assert np.isnan(empty.missing_rate).all() and np.isnan(empty.heterozygosity).all()


def test_other_samples_are_refused():
    _, block = _random_block()
    with pytest.raises(ValueError, match=r"76 samples.* of 77"):
        SampleQuality().block(SamplesCounted.all_of(76), block)


@pytest.mark.parametrize("n_genotyped", [77, 200])  # 200: fewer than half have phenotypes, blocks are repacked
def test_hardy_weinberg_in_controls(n_genotyped):
    rng = np.random.default_rng(8)
    codes = rng.integers(0, 4, (40, n_genotyped)).astype(np.uint8)
    names = [f"s{i}" for i in range(n_genotyped)]
    places = pl.concat([snv_table(30), snv_table(10, "X")])
    status = [[1, 2, None][i] for i in rng.integers(0, 3, 77)]
    sex = rng.integers(1, 3, 77)
    table = pl.DataFrame({"IID": names[:77], "t2d": status, "sex": sex, "ldl": rng.normal(size=77)})
    store = MemoryStore(codes, names, places)
    cohort = ga.Cohort.align(store, table, sample_id="IID", sex="sex")
    quality = ga.variant_qc(cohort, cases="t2d", executor=ga.Serial())
    assert quality.drop(pl.selectors.matches("_cases|_controls|missing_neg")).equals(
        ga.variant_qc(cohort, executor=ga.Serial())
    )
    control = np.array([value == 1 for value in status])
    for v, row in enumerate(quality.iter_rows(named=True)):
        tested = codes[v, :77][control & (sex == 2) if v >= 30 else control]
        p, midp = hardy_weinberg_oracle.hardy_weinberg(*(int((tested == code).sum()) for code in range(3)))
        assert row["hwe_p_controls"] == pytest.approx(float(p), rel=1e-13)  # tens of steps of 2e-16
        assert row["hwe_midp_controls"] == pytest.approx(float(midp), rel=1e-13)
    without_sex = ga.variant_qc(ga.Cohort.align(store, table, sample_id="IID"), cases="t2d")
    assert without_sex["hwe_p_controls"].is_null().to_list() == [False] * 30 + [True] * 10
    for wrong, words in (("ldl", "ldl.*0/1"), ("bmi", "bmi")):
        with pytest.raises(ga.PhenotypeError, match=words):
            ga.variant_qc(cohort, cases=wrong)
    with pytest.raises(TypeError, match="one binary trait"):
        ga.variant_qc(cohort, cases=["t2d"])
