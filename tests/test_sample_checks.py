"""Sex check and heterozygosity: beside PLINK and plain numpy, on real and simulated data, and what is said where little is known."""

import shutil
import subprocess
from dataclasses import replace

import numpy as np
import polars as pl
import pytest
from dosage_cohort import made
from memory_store import MemoryStore, snv_table
from oracles import sample_gaps as slow
from real_data import real_data

import genassoc as ga
from genassoc.data.block import GenotypeBlock
from genassoc.data.cohort.homozygosity import SCALE, expected
from genassoc.data.cohort.ploidy import outside_par
from genassoc.data.cohort.sex_conflicts import sex_conflicts
from genassoc.errors import InputError, PhenotypeError, SampleMismatchError
from genassoc.kernels.genotypes.sample_gaps import sum_where_missing
from genassoc.plots import heterozygosity as draw

PRINTED = 5.1e-6  # PLINK 2 prints 6 significant digits
PRINTED_1 = 5.1e-4  # PLINK 1.9 prints 4
ROUNDED = 1e-10  # 2 p (1 - p) is rounded to 2 ** -36; relative


def f_by_numpy(codes):
    """F over the polymorphic variants, and the observed and expected heterozygotes, by a plain reading of the definition."""
    seen = codes < 3
    n = seen.sum(axis=1)
    p = np.where(seen, codes, 0).sum(axis=1) / np.maximum(2 * n, 1)
    some = (p > 0) & (p < 1)
    wanted = (seen[some] * (2 * p * (1 - p))[some, None]).sum(axis=0)
    het = (codes[some] == 1).sum(axis=0)
    return 1 - het / wanted, het, wanted


def cohort_of(codes, table, people=None, sex=None, block_variants=16, **store):
    names = [f"s{i}" for i in range(codes.shape[1])]
    people = pl.DataFrame({"IID": names}) if people is None else people
    stored = MemoryStore(codes, names, table, block_variants=block_variants, **store)
    return ga.Cohort.align(stored, people, sample_id="IID", sex=sex, build="GRCh38")


N, AUTOSOMAL, ON_X, ON_Y = 120, 150, 600, 40
SEX = np.tile([1, 2], N // 2)
PLACES = pl.concat(
    [snv_table(AUTOSOMAL), snv_table(30, "X"), snv_table(ON_X, "X").with_columns(pl.col("base_pair_location") + 50_000_000),
     snv_table(ON_Y, "Y").with_columns(pl.col("base_pair_location") + 10_000_000)]
)  # fmt: skip
PLACES = PLACES.with_columns(
    base_pair_location=pl.when(pl.int_range(pl.len()).is_between(AUTOSOMAL, AUTOSOMAL + 29))
    .then(pl.col("base_pair_location") + 100_000)  # pseudo-autosomal
    .otherwise(pl.col("base_pair_location")),
    record=pl.int_range(pl.len(), dtype=pl.Int64),
)


def calls(seed=0, sex=SEX):
    """Calls on 1, on X in and out of PAR, on Y: independent variants in Hardy-Weinberg proportions, 1 % missing."""
    rng = np.random.default_rng(seed)
    p = rng.uniform(0.1, 0.5, (PLACES.height, 1))
    alleles = rng.random((2, PLACES.height, N)) < p
    one = slice(AUTOSOMAL + 30, None)  # of X and Y: males have one copy
    alleles[1, one, sex == 1] = alleles[0, one, sex == 1]
    codes = alleles.sum(axis=0).astype(np.uint8)
    codes[np.ix_(np.arange(AUTOSOMAL + 30 + ON_X, PLACES.height), sex == 2)] = 3
    codes[rng.random(codes.shape) < 0.01] = 3
    return codes


def people(sex=SEX, **columns):
    return pl.DataFrame({"IID": [f"s{i}" for i in range(N)], "SEX": sex, **columns})


X_ROWS = slice(AUTOSOMAL + 30, AUTOSOMAL + 30 + ON_X)


# ---------------------------------------------------------------- kernel and sums


@pytest.mark.kernel
@pytest.mark.parametrize("n", [1, 33, 70])
def test_weights_are_summed_where_calls_are_missing(n):
    rng = np.random.default_rng(n)
    codes = rng.integers(0, 4, (9, n)).astype(np.uint8)
    weights = rng.integers(0, 1000, (9, 1))
    sums = np.ones((n, 1), np.int64)
    sum_where_missing(GenotypeBlock.from_codes(codes).packed.view(np.uint64), weights, sums)
    assert (sums - 1).tolist() == slow.sum_where_missing(codes, weights)


def test_expected_heterozygotes_are_the_same_for_either_allele():
    rng = np.random.default_rng(0)
    counts = rng.integers(0, 1000, (500, 4))
    h, rows = expected(counts)
    swapped, _ = expected(counts[:, [2, 1, 0, 3]])
    np.testing.assert_array_equal(h, swapped)
    p = (counts[:, 1] + 2 * counts[:, 2]) / (2 * counts[:, :3].sum(axis=1))
    np.testing.assert_allclose(h / SCALE, 2 * p * (1 - p), rtol=0, atol=2.0**-36)
    assert rows.size == 500
    assert expected(np.array([[5, 0, 0, 1], [0, 0, 0, 6], [0, 0, 4, 2]]))[1].size == 0


# ---------------------------------------------------------------- heterozygosity


def test_f_is_that_of_plink2(tmp_path):
    source = real_data("kg-masked") / "masked.vcf.gz"
    if shutil.which("plink2") is None:
        pytest.skip("PLINK 2 is not installed")
    subprocess.run(["plink2", "--vcf", source, "--het", "--out", tmp_path / "p"], check=True, capture_output=True)
    theirs = pl.read_csv(tmp_path / "p.het", separator="\t")
    store = ga.convert(source, tmp_path / "m.zarr")
    names = pl.DataFrame({"IID": [str(name) for name in store.sample_ids]})
    ours = ga.sample_qc(ga.Cohort.align(store, names, sample_id="IID"))
    assert ours["sample_id"].to_list() == theirs["#IID"].to_list()
    assert (ours["n_autosomal"] == theirs["OBS_CT"]).all()
    assert (ours["n_autosomal"] - ours["n_het"] == theirs["O(HOM)"]).all()
    np.testing.assert_allclose(ours["n_autosomal"] - ours["expected_het"], theirs["E(HOM)"], rtol=PRINTED)
    np.testing.assert_allclose(ours["f"], theirs["F"], rtol=PRINTED, atol=1e-6)


@pytest.mark.parametrize("kept", [120, 50])  # 50: fewer than half of the store's, whose blocks are repacked
def test_f_is_of_autosomes_and_of_the_cohorts_own_frequencies(kept):
    codes = calls()
    cohort = cohort_of(codes, PLACES, people()[:kept], sex="SEX")
    table = ga.sample_qc(cohort, executor=ga.Serial())
    f, het, wanted = f_by_numpy(codes[:AUTOSOMAL, :kept])
    np.testing.assert_allclose(table["f"], f, rtol=ROUNDED, atol=ROUNDED)
    np.testing.assert_allclose(table["expected_het"], wanted, rtol=ROUNDED)
    assert table["n_het"].to_list() == het.tolist()
    autosomes = codes[:AUTOSOMAL, :kept]
    np.testing.assert_array_equal(table["heterozygosity"], (autosomes == 1).sum(axis=0) / (autosomes < 3).sum(axis=0))
    # females lack no calls on Y, which they have not
    rest = codes[:-ON_Y, :kept]
    female = SEX[:kept] == 2
    np.testing.assert_allclose(table["missing_rate"].to_numpy()[female], (rest == 3).mean(axis=0)[female], rtol=1e-12)
    np.testing.assert_allclose(
        table["missing_rate"].to_numpy()[~female], (codes[:, :kept] == 3).mean(axis=0)[~female], rtol=1e-12
    )


def test_numbers_depend_neither_on_blocks_nor_executors_nor_alleles_nor_order():
    codes = calls()
    tables = []
    for block_variants, executor in ((16, ga.Serial()), (64, ga.Threads(2)), (1000, ga.Serial())):
        cohort = cohort_of(codes, PLACES, people(), sex="SEX", block_variants=block_variants)
        tables.append(ga.sample_qc(cohort, executor=executor).hstack(ga.check_sex(cohort, executor=executor).table.drop("sample_id")
            .rename(lambda name: f"sex_{name}")))  # fmt: skip
    assert all(table.equals(tables[0]) for table in tables)
    swapped = cohort_of(np.array([2, 1, 0, 3], np.uint8)[codes], PLACES, people(), sex="SEX")
    assert ga.sample_qc(swapped).equals(tables[0][ga.sample_qc(swapped).columns])
    assert ga.check_sex(swapped).table.equals(ga.check_sex(cohort).table)
    order = np.random.default_rng(1).permutation(N)
    turned = cohort_of(codes[:, order], PLACES, people(SEX[order]), sex="SEX")
    for turned_table, whole in (
        (ga.sample_qc(turned), ga.sample_qc(cohort)),
        (ga.check_sex(turned).table, ga.check_sex(cohort).table),
    ):
        assert turned_table.drop("sample_id").equals(whole[order.tolist()].drop("sample_id"))


def test_outliers_of_heterozygosity():
    codes = calls()
    codes[:AUTOSOMAL, 5] = 1  # contaminated
    few = np.flatnonzero(codes[:AUTOSOMAL, 9] == 1)
    codes[few, 9] = 2  # inbred
    cohort = cohort_of(codes, PLACES, people(pop=["a", "b"] * 60), sex="SEX")
    for choices in ({}, {"robust": True}, {"by": "pop"}, {"quality": ga.sample_qc(cohort)[::-1]}):
        found = ga.check_heterozygosity(cohort, **choices)
        assert {"s5", "s9"} <= set(found.dropped["sample_id"]) and found.dropped.height < 6, choices
        assert found.dropped["reason"].unique().to_list() == ["heterozygosity"]
    kept = cohort.keep_samples(found)
    assert kept.n_samples == N - found.dropped.height
    rows = kept.ledger.filter(pl.col("reason") == "heterozygosity")
    assert set(rows["id"]) == set(found.dropped["sample_id"]) and (rows["status"] == "dropped").all()
    assert rows.filter(pl.col("id") == "s5")["detail"][0].startswith("F -")
    assert any("heterozygosity" in line for line in kept.summary_lines())
    f = ga.sample_qc(cohort)["f"].to_numpy()
    plain = ga.check_heterozygosity(cohort, limit=2.0)
    np.testing.assert_allclose(plain.table["z"], (f - f.mean()) / f.std(ddof=1), rtol=1e-9)  # order of sums
    assert (plain.table["keep"] == (plain.table["z"].abs() <= 2.0)).all()


def test_populations_are_judged_by_themselves_or_by_components():
    """Two populations whose F differ: of the pooled frequencies one is all outliers or hides them."""
    made = ga.simulate_families(
        300, 3000, families=0.0, fst=(0.0, 0.3), shares=(0.9, 0.1), admixed=0.0, seed=1, ld_length=1e4
    )
    codes = np.concatenate([block.codes() for _, block in made.blocks()])
    table = made.variants.drop("variant_id").with_columns(
        record=pl.int_range(pl.len(), dtype=pl.Int64), alt_index=pl.lit(1, pl.Int32)
    )
    store = MemoryStore(codes, made.sample_ids, table, block_variants=512)
    columns = made.samples.select("IID", "population", "ancestry1")
    cohort = ga.Cohort.align(store, columns, sample_id="IID")
    minor = (columns["population"] == 2).to_numpy()
    together = ga.check_heterozygosity(cohort).table["keep"].to_numpy()
    assert (~together)[minor].mean() > 0.15  # people of the small population, for being of it
    for choices in ({"by": "population"}, {"covariates": ["ancestry1"]}):
        found = ga.check_heterozygosity(cohort, **choices)
        assert (~found.table["keep"].to_numpy()).mean() < 0.03
        assert any("population" in note or "ancestry1" in note for note in found.notes)


def test_heterozygosity_that_cannot_be_judged(tmp_path):
    codes = calls()
    on_x = cohort_of(codes[X_ROWS], PLACES[X_ROWS].with_columns(record=pl.int_range(pl.len(), dtype=pl.Int64)))
    assert ga.sample_qc(on_x)["f"].null_count() == ga.sample_qc(on_x)["heterozygosity"].null_count() == N
    with pytest.raises(InputError, match="no autosomal variant"):
        ga.check_heterozygosity(on_x)
    cohort = cohort_of(codes, PLACES, people(pop=["a"] * 118 + ["b", None], text=["x"] * N))
    found = ga.check_heterozygosity(cohort, by="pop")
    assert any("pop is missing in 1" in note for note in found.notes) and any(
        "group b of pop" in note for note in found.notes
    )
    assert found.table["z"][-2:].is_null().all() and found.table["keep"][-2:].all()
    alike = ga.check_heterozygosity(cohort_of(np.repeat([[0], [1], [2]], N, axis=1).astype(np.uint8), snv_table(3)))
    assert alike.table["keep"].all() and any("cannot be judged" in note for note in alike.notes)
    for wrong, error, words in (
        ({"by": "site"}, InputError, "site"),
        ({"covariates": ["PC1"]}, PhenotypeError, "PC1"),
        ({"limit": 0.0}, InputError, "limit"),
        ({"quality": pl.DataFrame({"sample_id": ["s1"], "f": [0.1]})}, InputError, "lacks 119"),
        ({"quality": pl.DataFrame({"f": [0.1]})}, InputError, "sample_id"),
    ):
        with pytest.raises(error, match=words):
            ga.check_heterozygosity(cohort, **wrong)
    with pytest.raises(SampleMismatchError, match="none of the samples"):
        cohort.keep_samples(replace(found, table=found.table.with_columns(sample_id="z" + pl.col("sample_id"))))
    some = cohort.keep_samples(replace(found, table=found.table[:50]))
    assert some.n_samples >= 70 and any("70 samples were not checked" in line for line in some.summary_lines())


# ---------------------------------------------------------------- sex


@pytest.mark.parametrize("sex", ["SEX", None])
def test_sexes_are_told_from_the_calls_whatever_is_stated(sex):
    codes = calls()
    stated = SEX.copy()
    stated[:4] = 3 - stated[:4]
    stated[10] = 0
    cohort = cohort_of(codes, PLACES, people(stated).with_columns(SEX=pl.col("SEX").replace(0, None)), sex=sex)
    found = ga.check_sex(cohort, executor=ga.Serial())
    table = found.table
    f, het, _ = f_by_numpy(codes[X_ROWS])
    np.testing.assert_allclose(table["f"], f, rtol=ROUNDED, atol=ROUNDED)
    assert table["het_x"].to_list() == het.tolist()
    assert table["n_y"].to_list() == (codes[-ON_Y:] < 3).sum(axis=0).tolist()
    assert table["genetic_sex"].to_list() == SEX.tolist()
    assert any("40 variants on Y" in note for note in found.notes)
    if sex is None:
        assert table["keep"].all() and table["stated_sex"].null_count() == N
        assert any("no sex is stated" in note for note in found.notes)
        return
    assert found.dropped["sample_id"].to_list() == ["s0", "s1", "s2", "s3"]
    assert table["stated_sex"][10] is None and table["reason"][10] is None
    assert any("sex of 1 samples is not stated" in note for note in found.notes)
    kept = cohort.keep_samples(found)
    rows = kept.ledger.filter(pl.col("reason") == "sex_conflict")
    assert rows["id"].to_list() == ["s0", "s1", "s2", "s3"] and "stated female, F 1.000 on X" in rows["detail"][0]
    assert kept.n_samples == N - 4 and kept.recipe[-1]["step"] == "keep_samples"
    assert sum("4 sex_conflict" in line for line in found.lines()) == 1


def test_x_and_y_that_disagree_are_unclear():
    codes = calls()
    y = slice(PLACES.height - ON_Y, None)
    codes[y, 1] = codes[y, 0]  # two X and a Y
    codes[y, 2] = 3  # one X, no Y
    found = ga.check_sex(cohort_of(codes, PLACES, people(), sex="SEX"))
    odd = found.table.filter(pl.col("reason") == "sex_unclear")
    assert odd["sample_id"].to_list() == ["s1", "s2"] and odd["keep"].all() and odd["genetic_sex"].null_count() == 2
    assert "X is a female's, Y is not" in odd["detail"][0] and "X is a male's, Y is not" in odd["detail"][1]


def test_f_is_that_of_plink(tmp_path):
    folder = real_data("kg-x")
    if shutil.which("plink1.9") is None:
        pytest.skip("PLINK 1.9 is not installed")
    sexes = pl.read_csv(folder / "sex.tsv", separator="\t")
    sexes.select(pl.col("IID").alias("FID"), "IID", "SEX").write_csv(
        tmp_path / "sex.txt", separator="\t", include_header=False
    )

    def plink(*arguments):
        subprocess.run(["plink1.9", *arguments], check=True, capture_output=True, cwd=tmp_path)

    plink("--vcf", folder / "x.vcf.gz", "--double-id", "--make-bed", "--out", "x")
    plink("--bfile", "x", "--check-sex", "--out", "unknown")
    plink("--bfile", "x", "--update-sex", "sex.txt", "--check-sex", "--out", "stated")
    store = ga.convert(folder / "x.vcf.gz", tmp_path / "x.zarr")
    found = ga.check_sex(ga.Cohort.align(store, folder / "sex.tsv", sex="SEX")).table
    # PLINK counts a stated male's allele once in frequencies, genassoc every call twice: F moves by up to 0.005 of females
    for name, tolerance in (("unknown", 0.0), ("stated", 0.005)):
        lines = [line.split() for line in (tmp_path / f"{name}.sexcheck").read_text().splitlines()[1:]]
        assert [line[1] for line in lines] == found["sample_id"].to_list()
        theirs = np.array([float(line[5]) for line in lines])
        np.testing.assert_allclose(found["f"], theirs, rtol=PRINTED_1, atol=tolerance + 1e-6)
        assert [int(line[3]) for line in lines] == found["genetic_sex"].fill_null(0).to_list()
    # The last is of the sexes stated.
    assert [line[4] == "OK" for line in lines] == (found["reason"].is_null()).to_list()


def test_simulated_sexes_through_a_store(tmp_path, genassoc):
    made = ga.simulate_families(
        200, 300, families=0.3, fst=(0.01, 0.02), x_variants=1500, y_variants=60, seed=2, min_frequency=0.05
    )
    store = made.write_store(tmp_path / "s.zarr")
    true = made.phenotypes["sex"].to_numpy()
    swapped = np.where(np.arange(200) < 3, 3 - true, true)
    made.phenotypes.with_columns(sex=pl.Series(swapped)).write_csv(tmp_path / "p.tsv", separator="\t")
    found = ga.check_sex(ga.Cohort.align(store, tmp_path / "p.tsv", sex="sex"))
    assert found.dropped["sample_id"].to_list() == list(made.sample_ids[:3])
    known = found.table["genetic_sex"].is_not_null().to_numpy()
    assert known.mean() > 0.97 and (found.table["genetic_sex"].to_numpy()[known] == true[known]).all()
    arguments = ["qc", store.path, "--out", tmp_path / "v.tsv", "--pheno", tmp_path / "p.tsv", "--sex", "sex"]
    code, printed, errors = genassoc(
        *arguments, "--samples-out", tmp_path / "q.tsv", "--check-sex", tmp_path / "x.tsv", "--het-limit", 2.5
    )
    assert code == 0, errors
    assert "3 sex_conflict" in printed and "beyond 2.5 SD" in printed
    written = pl.read_csv(tmp_path / "x.tsv", separator="\t", null_values="NA")
    assert written.filter(pl.col("reason") == "sex_conflict")["sample_id"].to_list() == list(made.sample_ids[:3])
    table = pl.read_csv(tmp_path / "q.tsv", separator="\t", null_values="NA")
    assert table.filter(~pl.col("keep")).height == table.filter(pl.col("z").abs() > 2.5).height > 0


def test_sexes_that_cannot_be_told(tmp_path, genassoc):
    codes = calls()
    with pytest.raises(InputError, match="needs variants on X"):
        ga.check_sex(cohort_of(codes[:AUTOSOMAL], PLACES[:AUTOSOMAL]))
    alike = codes.copy()
    alike[X_ROWS] = 0
    with pytest.raises(InputError, match="no variant on X outside"):
        ga.check_sex(cohort_of(alike, PLACES))
    cohort = cohort_of(codes, PLACES, people(), sex="SEX")
    with pytest.raises(InputError, match="needs variants on X"):
        ga.check_sex(cohort.keep_variants(ga.variants.mac_above(10**6)))
    with pytest.raises(InputError, match="female_max_f"):
        ga.check_sex(cohort, female_max_f=0.9)
    with pytest.raises(TypeError, match="cohort"):
        ga.check_sex("cohort")
    some = ga.check_sex(cohort.keep_variants(np.r_[X_ROWS][:30]))
    assert any("F is imprecise" in note for note in some.notes) and any(
        "no variant on Y" in note for note in some.notes
    )
    fewer = ga.check_sex(cohort.keep_variants(np.r_[X_ROWS][:12]))
    assert fewer.table["genetic_sex"].null_count() == N and "too few to tell" in fewer.table["detail"][0]
    for code, rows in ((1, 0), (2, 1)):
        one = cohort.keep_samples(pl.col("SEX") == code)
        found = ga.check_sex(one)
        known = found.table["genetic_sex"].drop_nulls()
        assert any("all samples are stated" in note for note in found.notes)
        assert len(known) > 55 and set(known) == {code} and found.table["keep"].all(), rows
    store = tmp_path / "a.zarr"
    ga.simulate_families(20, 100, families=0.0).write_store(store)
    code, _, errors = genassoc("qc", store, "--out", tmp_path / "v.tsv", "--check-sex", tmp_path / "x.tsv")
    assert code == 1 and "needs variants on X" in errors and not (tmp_path / "v.tsv").exists()


def test_half_calls_are_no_heterozygotes():
    """A male's ./1 is kept with the code of a heterozygote and a mark: it counts for nothing, also among the doubts of a run."""
    codes = calls()[X_ROWS]
    marks = np.zeros(codes.shape, bool)
    marks[:, SEX == 1] = True
    half = codes.copy()
    half[::2, SEX == 1] = np.where(codes[::2, SEX == 1] == 2, 1, 3)
    table = PLACES[X_ROWS].with_columns(record=pl.int_range(pl.len(), dtype=pl.Int64))
    cohort = cohort_of(half, table, people(), sex="SEX", haploid=marks)
    found = ga.check_sex(cohort)
    assert found.table["keep"].all() and found.table["het_x"].to_numpy()[SEX == 1].max() == 0
    assert sex_conflicts(cohort).is_empty()


def test_where_the_build_is_not_known_variants_are_outside_the_regions_of_all():
    x = np.array([2_600_000, 2_750_000, 3_000_000, 153_950_000, 155_000_000, 155_800_000])
    np.testing.assert_array_equal(outside_par("X", x, None), [False, False, True, False, False, False])
    np.testing.assert_array_equal(outside_par("X", x, "GRCh37"), [False, True, True, True, False, True])


# ---------------------------------------------------------------- pictures


def test_heterozygosity_is_drawn_with_its_outliers():
    rng = np.random.default_rng(0)
    table = pl.DataFrame(
        {
            "sample_id": [f"s{i}" for i in range(60)], "missing_rate": rng.uniform(0, 0.02, 60),
            "heterozygosity": pl.Series([*rng.normal(0.3, 0.01, 58), 0.4, None]), "z": [0.5] * 58 + [8.0, None],
            "keep": [True] * 58 + [False, True],
        }
    )  # fmt: skip
    ax = draw(table, title="Cohort")
    points = [np.column_stack(line.get_data()) for line in ax.lines if line.get_marker() == "o"]
    assert [len(p) for p in points] == [58, 1] and points[1][0, 1] == 0.4
    texts = [text.get_text() for text in ax.texts]
    assert "s58" in texts and any("59 samples, 1 outliers; 1 without calls" in text for text in texts)
    assert draw(table.drop("z", "keep", "sample_id"), ax=ax) is ax
    for wrong, error in ((table.drop("missing_rate"), InputError), (table[59:], InputError), ("table", TypeError)):
        with pytest.raises(error):
            draw(wrong)


def test_dosages_count_as_the_calls_they_are_near_to_and_that_is_said(tmp_path):
    dosages = made(tmp_path / "d.zarr", n_variants=240)
    cohort = dosages.cohort(sex="sex", build="GRCh38")
    table, found, judged = ga.sample_qc(cohort), ga.check_sex(cohort), ga.check_heterozygosity(cohort)
    near = np.rint(dosages.dosages)
    codes = np.where(np.abs(near - dosages.dosages) <= 0.1 + 1e-6, near, 3).astype(np.uint8)  # NaN compares as false
    autosomes = dosages.variants["chromosome"].to_numpy() == "1"
    f, het, _ = f_by_numpy(codes[autosomes])
    assert table["n_het"].to_list() == het.tolist()
    np.testing.assert_allclose(table["f"], f, rtol=ROUNDED, atol=ROUNDED)
    f, het, _ = f_by_numpy(codes[~autosomes])
    np.testing.assert_allclose(found.table["f"], f, rtol=ROUNDED, atol=ROUNDED)
    n = int((dosages.steps[~autosomes] > 0).sum())
    assert any(f"{n} variants there have dosages" in note for note in found.notes)
    assert any("variants there have dosages" in note for note in judged.notes)


def test_calls_on_y_are_those_of_plink(tmp_path):
    if shutil.which("plink1.9") is None:
        pytest.skip("PLINK 1.9 is not installed")
    simulated = ga.simulate_families(80, 100, families=0.3, x_variants=400, y_variants=50, seed=6, missing_rate=0.03)
    store = simulated.write_store(tmp_path / "s.zarr")
    ga.export(store, tmp_path / "s.bed")
    subprocess.run(
        ["plink1.9", "--bfile", "s", "--check-sex", "ycount", "--out", "p"],
        check=True,
        capture_output=True,
        cwd=tmp_path,
    )
    lines = [line.split() for line in (tmp_path / "p.sexcheck").read_text().splitlines()[1:]]
    names = pl.DataFrame({"IID": list(simulated.sample_ids)})
    found = ga.check_sex(ga.Cohort.align(store, names, sample_id="IID")).table
    assert [line[1] for line in lines] == found["sample_id"].to_list()
    assert [int(line[6]) for line in lines] == found["n_y"].to_list()
    np.testing.assert_allclose(found["f"], [float(line[5]) for line in lines], rtol=PRINTED_1, atol=1e-6)
