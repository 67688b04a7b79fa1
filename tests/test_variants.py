"""Variant filters: bounds, regions, what they are called in the ledger, and the numbers they look at."""

import pickle

import numpy as np
import polars as pl
import pytest
from memory_store import MemoryStore, snv_table
from oracles import variant_statistics as oracle
from real_data import real_data

from genassoc.data.cohort import variants
from genassoc.data.cohort.cohort import Cohort
from genassoc.errors import InputError, PlanError

RNG = np.random.default_rng(11)


def cohort_of(store, sex=None, n=None, **columns):
    ids = store.sample_ids[: n or store.n_samples]
    frame = pl.DataFrame({"IID": ids.tolist(), "y": np.arange(len(ids)), **columns})
    return Cohort.align(store, frame, sex=sex, min_overlap=0)


def simulated(n_variants=40, n_samples=70, table=None, haploid=None):
    frequency = RNG.uniform(0, 0.5, (n_variants, 1))
    codes = RNG.binomial(2, frequency, (n_variants, n_samples)).astype(np.uint8)
    codes[RNG.random(codes.shape) < 0.05] = 3
    codes[0] = 0
    codes[1] = 3
    codes[2] = 2
    if haploid is not None:
        codes[haploid & (codes == 1)] = 2
    return MemoryStore(codes, [f"S{i}" for i in range(n_samples)], table, haploid=haploid)


def applied(cohort):
    """Kept variants and the reasons of the others, block by block."""
    keep, dropped = [], []
    step = cohort.store.block_variants
    for start in range(0, cohort.n_variants, step):
        stop = min(start + step, cohort.n_variants)
        k, d = cohort.select_variants(start, stop, cohort.read(start, stop))
        keep.append(k)
        dropped.append(d)
    return np.concatenate(keep), pl.concat(dropped)


# Statistics ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("n", [70, 40, 30])  # 30 of 70: the blocks are repacked
@pytest.mark.parametrize("with_haploid", [False, True])
def test_statistics_equal_counting_one_call_at_a_time(n, with_haploid):
    haploid = (RNG.random((40, 70)) < 0.3) if with_haploid else None
    if with_haploid:
        haploid[5:9] = False
    store = simulated(haploid=haploid)
    ids = list(RNG.permutation(store.sample_ids)[:n])
    cohort = Cohort.align(store, pl.DataFrame({"IID": ids, "y": range(n)}))
    assert cohort.repacks == (n == 30)
    columns = np.flatnonzero(np.isin(store.sample_ids.astype(str), ids))
    got = cohort.variant_statistics(cohort.read(0, 40))
    for v in range(40):
        marks = haploid[v, columns] if with_haploid else np.zeros(n, dtype=bool)
        expected = oracle.variant_statistics(store.codes[v, columns], marks)
        row = got.row(v, named=True)
        assert {name: row[name] for name in expected} == expected
        diploid = store.codes[v, columns][~marks]
        p = oracle.hardy_weinberg(*(int((diploid == code).sum()) for code in range(3)))
        # 1e-12: the exact test sums some tens of terms in double precision
        assert row["hwe_p"] == (None if p is None else pytest.approx(p, rel=1e-12))
    assert "hwe_p" not in cohort.variant_statistics(cohort.read(0, 16), hwe=False).columns


def test_hardy_weinberg_of_sex_chromosomes_and_missing_rate_of_y():
    table = pl.concat([snv_table(6, name) for name in ("chr1", "X", "chrY", "MT")])
    store = simulated(24, 60, table)
    sex = np.array([1, 2, 0] * 20)
    known = cohort_of(store, sex="SEX", SEX=sex)
    unknown = cohort_of(store)
    got, without = (c.variant_statistics(c.read(4, 24)) for c in (known, unknown))
    chromosome = table["chromosome"].to_numpy()[4:]
    assert got["hwe_p"].is_null().to_numpy()[np.isin(chromosome, ["chrY", "MT"])].all()
    assert without["hwe_p"].is_null().to_numpy()[chromosome != "chr1"].all()
    assert not without["hwe_p"].is_null().to_numpy()[chromosome == "chr1"].any()
    for v in np.flatnonzero(chromosome == "X"):
        females = store.codes[4 + v, sex == 2]
        expected = oracle.hardy_weinberg(*(int((females == code).sum()) for code in range(3)))
        assert got["hwe_p"][int(v)] == pytest.approx(expected, rel=1e-12)  # as above
    for v in np.flatnonzero(chromosome == "chrY"):
        # nobody is heterozygous on Y: such calls are not observed
        assert got["missing_rate"][int(v)] == np.isin(store.codes[4 + v, sex != 2], [1, 3]).mean()


# Filters ------------------------------------------------------------------------------------------------


def test_bounds_are_inclusive_and_reasons_are_named():
    codes = np.zeros((5, 100), dtype=np.uint8)
    codes[1, :2] = 1  # maf 0.01 exactly
    codes[2, :1] = 1  # maf 0.005
    codes[3, :2], codes[3, 10:15] = 1, 3  # missing 0.05 exactly
    codes[4, :40], codes[4, 50:56] = 1, 3  # missing 0.06
    store = MemoryStore(codes, range(100))
    cohort = cohort_of(store).keep_variants(variants.maf_above(0.01) & variants.missing_below(0.05))
    keep, dropped = applied(cohort)
    assert keep.tolist() == [False, True, False, True, False]
    assert dropped.rows() == [
        ("1_10_A_G", "maf_above(0.01)"),
        ("1_30_A_G", "maf_above(0.01)"),
        ("1_50_A_G", "missing_below(0.05)"),
    ]
    assert applied(cohort_of(store).keep_variants(variants.maf_below(0.005)))[0].tolist() == [1, 0, 1, 0, 0]
    assert applied(cohort_of(store).keep_variants(variants.mac_above(2)))[0].tolist() == [0, 1, 0, 1, 1]


def test_statistics_are_of_the_cohorts_samples():
    codes = np.zeros((1, 20), dtype=np.uint8)
    codes[0, :5] = 1
    store = MemoryStore(codes, [f"S{i}" for i in range(20)])
    cohort = cohort_of(store).keep_variants(variants.mac_above(5))
    assert applied(cohort)[0].all()
    assert not applied(cohort.keep_samples([f"S{i}" for i in range(1, 20)]))[0].any()
    assert applied(cohort.keep_samples([f"S{i}" for i in range(5)]))[0].all()


def test_hardy_weinberg_filters():
    codes = np.array([[1] * 60, [0, 1, 1, 2] * 15, [3] * 60], dtype=np.uint8)
    store = MemoryStore(codes, range(60))
    keep, dropped = applied(cohort_of(store).keep_variants(variants.hwe_above(1e-6)))
    assert keep.tolist() == [False, True, True] and dropped["reason"].to_list() == ["hwe_above(1e-06)"]
    assert applied(cohort_of(store).keep_variants(variants.hwe_below(1e-6)))[0].tolist() == [
        True,
        False,
        False,
    ]
    on_x = MemoryStore(codes, range(60), snv_table(3, "X"))
    assert applied(cohort_of(on_x).keep_variants(variants.hwe_above(1e-6)))[0].all()


def test_regions():
    table = pl.concat([snv_table(5, "chr1"), snv_table(5, "chr2")])
    store = MemoryStore(np.zeros((10, 8)), range(8), table)

    def kept(*regions):
        return np.flatnonzero(applied(cohort_of(store).keep_variants(variants.in_region(*regions)))[0]).tolist()

    assert kept("chr1") == [0, 1, 2, 3, 4]
    assert kept("chr1:20-40") == [1, 2, 3]
    assert kept("chr2:30") == [7]
    assert kept("chr2:40-") == [8, 9]
    assert kept("chr1:10-10", "chr2:45-1,000") == [0, 9]
    for text, words in (("chr1:5-x", "not understood"), ("chr1:9-3", "ends before"), ("", "not understood")):
        with pytest.raises(InputError, match=words):
            variants.in_region(text)
    with pytest.raises(InputError, match="needs a region"):
        variants.in_region()
    for text in ("1:20-40", "01:20-40", "CHR1:20-40", "NC_000001.11:20-40"):
        assert kept(text) == [1, 2, 3], text
    assert applied(cohort_of(store).keep_variants(~variants.in_region("2")))[0].sum() == 5
    with pytest.raises(InputError, match=r"no contig '3'. It has: chr1, chr2"):
        kept("3")
    with pytest.raises(InputError, match="no contig 'chr9'"):
        cohort_of(store).keep_variants(~variants.in_region("chr2", "chr9:1-2") & variants.is_snv())


def test_what_variants_are():
    table = snv_table(8).with_columns(
        effect_allele=pl.Series(["G", "T", "GT", "<DEL>", "*", "c", "G", "G"]),
        other_allele=pl.Series(["A", "A", "G", "A", "A", "t", "AC", "A"]),
        record=pl.Series([0, 0, 1, 2, 3, 4, 5, 5]),
        alt_index=pl.Series([1, 2, 1, 1, 2, 1, 1, 2], dtype=pl.Int32),
    )
    for block_variants in (1, 3, 8):  # a record's rows may lie in two blocks
        store = MemoryStore(np.zeros((8, 4)), range(4), table, block_variants=block_variants)
        cohort = cohort_of(store)
        assert applied(cohort.keep_variants(variants.biallelic()))[0].tolist() == [0, 0, 1, 1, 0, 1, 0, 0]
        assert applied(cohort.keep_variants(variants.is_snv()))[0].tolist() == [1, 1, 0, 0, 0, 1, 0, 1]
        both = cohort.keep_variants(variants.biallelic()).keep_variants(variants.is_snv())
        keep, dropped = applied(both)
        assert keep.tolist() == [0, 0, 0, 0, 0, 1, 0, 0]
        assert dropped["reason"].to_list()[2:4] == ["is_snv()", "is_snv()"]
    by_name = cohort.keep_variants(variants.has_rsid(["rs0", "rs5", "rs77"]))
    assert np.flatnonzero(applied(by_name)[0]).tolist() == [0, 5]
    assert np.flatnonzero(applied(cohort.keep_variants(variants.has_rsid("rs1")))[0]).tolist() == [1]


def test_any_expression_over_the_columns_works_and_blocks_do_not_matter():
    store = simulated()
    choice = (
        ((pl.col("af") > 0.1) | variants.has_rsid(["rs0"])) & ~variants.hwe_below(0.05) & (pl.col("chromosome") == "1")
    )
    results = []
    for block_variants in (1, 7, 40):
        store.block_variants = block_variants
        keep, dropped = applied(cohort_of(store).keep_variants(choice))
        results.append((keep.tolist(), dropped.rows()))
    assert results[0] == results[1] == results[2] and 0 < sum(results[0][0]) < 40
    reasons = {reason for _, reason in results[0][1]}
    assert len(reasons) == 2  # the two conditions on genotypes, each by its own name
    again = pickle.loads(pickle.dumps(cohort_of(store).keep_variants(choice)))
    assert applied(again)[0].tolist() == results[0][0]


@pytest.mark.parametrize(
    ("choice", "words"),
    [
        (pl.col("mfa") > 0.1, "'mfa'.*'maf'"),
        (pl.col("maf") > pl.col("maf").mean(), "cut into blocks"),
        (pl.col("maf").rank() > 3, "cut into blocks"),
        (pl.col("maf") + 1, "not true or false"),
        (pl.col("chromosome") > 3, "cannot be evaluated"),
        (np.array([1, 40]), "variant number 40 does not exist"),
        ([-1], "variant number -1"),
        (np.ones(39, dtype=bool), "mask is for 39 variants"),
        (np.zeros(40, dtype=bool), "keeps no variant"),
        (np.array([0.5]), "float64"),
        ([], "takes a polars expression"),
    ],
)
def test_choices_that_do_not_fit(choice, words):
    with pytest.raises(PlanError, match=words):
        cohort_of(simulated()).keep_variants(choice)


def test_percentages_are_refused():
    with pytest.raises(InputError, match=r"maf_above\(5\): the bound is a fraction"):
        variants.maf_above(5)


def test_index_selections_and_their_ledger():
    store = simulated()
    cohort = cohort_of(store).keep_variants([3, 1, 30]).keep_variants(np.arange(40) > 1)
    keep, dropped = applied(cohort)
    assert np.flatnonzero(keep).tolist() == [3, 30]
    assert set(dropped["reason"]) == {"not_selected"}
    rows = cohort.variant_ledger()
    assert rows["status"].to_list() == ["kept" if k else "dropped" for k in keep]
    waiting = cohort.keep_variants(variants.in_region("1:1-100") & variants.maf_above(0.01)).ledger
    of_variants = waiting.filter(pl.col("kind") == "variant")
    assert of_variants.height == 40
    assert of_variants["status"].value_counts().sort("status").rows() == [("dropped", 39), ("pending", 1)]
    assert of_variants.row(30)[3] == "in_region(1:1-100)"
    assert of_variants.row(3) == ("variant", "1_40_A_G", "pending", None, "awaits a run: maf_above(0.01)")


def test_no_block_is_read_to_know_that_metadata_excludes_it():
    store = simulated()
    cohort = cohort_of(store).keep_variants(variants.in_region("1:1-100") & variants.maf_above(0.01))
    assert cohort.selected_without_genotypes(0, 16).tolist() == [True] * 10 + [False] * 6
    assert not cohort.selected_without_genotypes(16, 32).any()
    assert store.n_reads == 0
    everything = cohort_of(store).select_variants(0, 16, None)
    assert everything[0].all() and everything[1].height == 0


def test_statistics_are_plink_2s_on_calls_masked_at_random(tmp_path):
    from genassoc.data.store.store import GenotypeStore
    from genassoc.formats.convert import convert

    folder = real_data("kg-masked")
    convert(folder / "masked.vcf.gz", tmp_path / "masked.zarr")
    store = GenotypeStore.open(tmp_path / "masked.zarr")
    cohort = Cohort.align(store, real_data("kg-genome") / "phenotypes.tsv")
    got = cohort.variant_statistics(cohort.read(0, store.n_variants))
    counts, hardy, missing = (
        pl.read_csv(folder / "expected-plink2" / f"{name}.gz", separator="\t") for name in ("acount", "hardy", "vmiss")
    )
    assert (got["n_het"] + 2 * got["n_hom_alt"]).equals(counts["ALT_CTS"], check_names=False)
    assert (2 * got["n"]).equals(counts["OBS_CT"], check_names=False)
    assert (got["n_het"]).equals(hardy["HET_A1_CT"], check_names=False)
    # PLINK prints six digits: half a unit of the last is 5e-6 of the value
    np.testing.assert_allclose(got["hwe_p"], hardy["P"], rtol=6e-6)
    np.testing.assert_allclose(got["missing_rate"], missing["F_MISS"], rtol=6e-6)
