"""Chromosomes X, Y and MT, and conditioning: ploidy beside loops over samples, scans beside PLINK 2 and least squares."""

import dataclasses

import numpy as np
import polars as pl
import pytest
from memory_store import MemoryStore, snv_table
from oracles import counts as counts_oracle
from oracles import hardy_weinberg as hwe_oracle
from real_data import real_data
from test_genetic_models import plink2, rows_of
from test_linear_peers import PRINTED, RELATIVE, plink_table

import genassoc as ga
from genassoc.data.block import GenotypeBlock
from genassoc.data.cohort.builds import build_of
from genassoc.data.cohort.cohort import Cohort
from genassoc.data.cohort.ploidy import half_calls, in_par, refused_notes
from genassoc.data.cohort.sex_conflicts import sex_conflicts
from genassoc.data.store.writer import write_store
from genassoc.errors import InputError
from genassoc.kernels.genotypes import counts as kernels
from genassoc.verbs import association


@pytest.mark.kernel
@pytest.mark.parametrize("n", [1, 7, 33, 70])
def test_haploid_calls_are_counted(n):
    rng = np.random.default_rng(n)
    codes, haploid = rng.integers(0, 4, (5, n)).astype(np.uint8), rng.random((5, n)) < 0.4
    columns = rng.permutation(n)[: n // 2 + 1]
    counts = np.empty((5, 2), np.int64)
    words = GenotypeBlock.from_codes(codes).packed.view(np.uint64)
    marks = np.packbits(haploid, axis=1, bitorder="little")
    kernels.count_haploid(words, marks, kernels.mask_words(columns, n), counts)
    np.testing.assert_array_equal(counts, counts_oracle.count_haploid(codes, haploid, columns))


def test_pseudo_autosomal_regions_of_both_builds():
    x = np.array(
        [60_000, 60_001, 2_699_520, 2_699_521, 154_931_043, 154_931_044, 155_260_560, 155_701_383, 156_030_895]
    )
    np.testing.assert_array_equal(in_par("X", x, "GRCh37"), [0, 1, 1, 0, 0, 1, 1, 0, 0])
    np.testing.assert_array_equal(in_par("X", x, "GRCh38"), [1, 1, 1, 1, 0, 0, 0, 1, 1])
    clear = np.array([1_000_000, 50_000_000])
    np.testing.assert_array_equal(in_par("X", clear, None), [True, False])  # both builds agree
    with pytest.raises(InputError, match="GRCh37 and GRCh38"):
        in_par("X", x, None)


def test_build_is_told_by_the_lengths_of_contigs(tmp_path):
    header = "##fileformat=VCFv4.2\n##contig=<ID=chrX,length=156040895>\n#CHROM\tPOS\tID\tREF\tALT\tQUAL\tFILTER\tINFO\tFORMAT\ta\tb\n"
    (tmp_path / "x.vcf").write_text(header + "chrX\t2750000\trs1\tA\tC\t.\t.\t.\tGT\t0/1\t1\n")
    store = ga.convert(tmp_path / "x.vcf", tmp_path / "x.zarr")
    assert build_of(store) == "GRCh38"
    with pytest.raises(InputError, match="genome builds are"):
        Cohort.align(store, pl.DataFrame({"IID": ["a", "b"]}), build="NCBI36")


N = 120
SEX = np.array([1, 2, 0] * (N // 3))


def mixed_cohort(haploid=None, seed=2, sex="SEX", n_each=4, **align):
    """1, X in and out of PAR, Y, MT; heterozygous males and females on Y among the calls."""
    rng = np.random.default_rng(seed)
    table = pl.concat([snv_table(n_each, name) for name in ("1", "X", "X", "Y", "MT")])
    position = np.concatenate([np.arange(n_each) + at for at in (100, 1_000_000, 50_000_000, 20_000_000, 50)])
    table = table.with_columns(
        base_pair_location=pl.Series(position.astype(np.int64)),
        rsid=pl.Series([f"rs{i}" for i in range(5 * n_each)]),
    )
    codes = rng.integers(0, 4, (5 * n_each, N), dtype=np.uint8)
    if haploid is not None:
        haploid &= codes % 2 == 0  # with the others a mark means a half call
    ids = [f"s{i}" for i in range(N)]
    y = rng.normal(size=N)
    phenotypes = pl.DataFrame(
        {"IID": ids, "SEX": SEX, "y": y, "d": (y > 0.1).astype(int), "x": rng.normal(size=N)}
    ).with_columns(SEX=pl.when(pl.col("SEX") > 0).then(pl.col("SEX")))
    return (
        Cohort.align(MemoryStore(codes, ids, table, haploid=haploid), phenotypes, sex=sex, **align),
        codes,
        phenotypes,
    )


@pytest.mark.parametrize("kept", [True, False])
@pytest.mark.parametrize("sex", ["SEX", None])
def test_half_calls_are_whole_in_males_where_their_allele_is_kept(sex, kept):
    table = snv_table(5, "X").with_columns(
        base_pair_location=pl.Series([2_000_000, 50_000_000, 50_000_001, 50_000_002, 50_000_003])
    )
    # 1 and 3 with a mark: a half call of ALT, and of another allele
    codes = np.array([[1] * 4, [1] * 4, [3] * 4, [1, 2, 0, 3], [0] * 4], np.uint8)
    haploid = np.array([[1] * 4, [1] * 4, [1] * 4, [0, 1, 1, 0], [0] * 4], bool)
    store = MemoryStore(codes, list("abcd"), table, haploid=haploid)
    store.attributes = {"half_calls_kept": kept}
    phenotypes = pl.DataFrame({"IID": list("abcd"), "SEX": [1, 2, None, 1], "y": [0.0, 1, 2, 3]})
    cohort = Cohort.align(store, phenotypes, sex=sex, build="GRCh38")
    block = cohort.read(0, 5)
    read = bool(sex) and kept
    expected = [[3] * 4, [2, 3, 3, 2] if read else [3] * 4, [0, 3, 3, 0] if read else [3] * 4, [1, 2, 0, 3], [0] * 4]
    if sex:
        expected[3][0] = 3  # heterozygous males
    assert block.codes().tolist() == expected
    reasons = half_calls(block, "X")
    assert sum(reasons.values()) == 12
    assert reasons.get("half_call_as_haploid: males on X", 0) == (4 if read else 0)
    notes = refused_notes(reasons)
    assert any("not observed" in note for note in notes)
    assert any("read as haploid" in note for note in notes) == read


@pytest.mark.parametrize("sex", ["SEX", None])
def test_blocks_hold_calls_that_can_be(sex):
    haploid = np.random.default_rng(1).random((20, N)) < 0.2
    cohort, codes, _ = mixed_cohort(haploid, sex=sex)
    block = cohort.read(2, 20)
    marks = np.unpackbits(block.haploid, axis=1, bitorder="little", count=N).astype(bool)
    found = block.codes()
    for v in range(2, 20):
        kind = ["1", "PAR", "X", "Y", "MT"][v // 4]
        for i in range(N):
            code, mark, male, female = codes[v, i], haploid[v, i], SEX[i] == 1, SEX[i] == 2
            if kind == "X" and sex:
                mark = male or (mark and not female)
                code = 3 if male and code == 1 else code
            elif kind in ("Y", "MT"):
                mark = True
                code = 3 if code == 1 or (kind == "Y" and female and sex) else code
            assert (found[v - 2, i], marks[v - 2, i]) == (code, mark), (v, i)
    assert block.places.ploidy.tolist() == [0] * 2 + [0] * 4 + [1 if sex else 0] * 4 + [2] * 8
    on_x = int((codes[8:12, SEX == 1] == 1).sum()) if sex else 0
    assert block.places.refused[6:10, 0].sum() == on_x
    few = cohort.keep_samples(list(cohort.sample_ids[10:50]))
    assert few.repacks
    part = few.read(2, 20)
    np.testing.assert_array_equal(part.codes(), found[:, 10:50])
    np.testing.assert_array_equal(
        np.unpackbits(part.haploid, axis=1, bitorder="little", count=40), marks[:, 10:50].astype(np.uint8)
    )


def least_squares(g, X, y):
    """beta and SE of g (n,) beside X, on the samples where all are known."""
    at = ~np.isnan(np.column_stack([g, X, y])).any(axis=1)
    D = np.column_stack([g[at], X[at]])
    beta = np.linalg.lstsq(D, y[at], rcond=None)[0]
    left = y[at] - D @ beta
    covariance = np.linalg.inv(D.T @ D) * (left @ left) / (at.sum() - D.shape[1])
    return beta[0], np.sqrt(covariance[0, 0]), at


@pytest.mark.parametrize("male_x_dosage", [1, 2])
def test_effects_are_of_true_copies_and_sex_is_a_covariate_on_x(male_x_dosage):
    cohort, codes, phenotypes = mixed_cohort()
    rows = rows_of(cohort, ga.Linear("y", ["x"], min_mac=0, male_x_dosage=male_x_dosage))
    y, x = (phenotypes[name].to_numpy() for name in ("y", "x"))
    ones, sex = np.ones(N), np.where(SEX > 0, SEX, np.nan).astype(float)
    for v in range(20):
        kind = ["1", "PAR", "X", "Y", "MT"][v // 4]
        g = np.where(codes[v] == 3, np.nan, codes[v].astype(float))
        X = np.column_stack([ones, x, sex] if kind == "X" else [ones, x])
        copies, n_alleles = g.copy(), np.full(N, 2)
        if kind in ("X", "Y", "MT"):
            one = SEX == 1 if kind == "X" else np.ones(N, bool)
            g[one & (codes[v] == 1)] = np.nan
            if kind == "Y":
                g[SEX == 2] = np.nan
            copies, n_alleles = np.where(one, g / 2, g), np.where(one, 1, 2)
            g = copies if kind != "X" or male_x_dosage == 1 else g
        beta, error, at = least_squares(g, X, y)
        row = rows.row(v, named=True)
        # statistics.md's bar: products of float32
        assert abs(row["beta"] - beta) <= RELATIVE * max(abs(beta), error)
        assert abs(row["standard_error"] - error) <= RELATIVE * error
        assert row["n"] == at.sum()
        assert row["effect_allele_frequency"] == pytest.approx(copies[at].sum() / n_alleles[at].sum(), rel=1e-12)
        alt = copies[at].sum()
        assert row["mac"] == min(alt, n_alleles[at].sum() - alt)


def test_logistic_and_genetic_models_on_x_see_the_same_calls():
    cohort, codes, _ = mixed_cohort()
    for model in ("dominant", "recessive", "genotypic", "hetonly"):
        linear = rows_of(cohort, ga.Linear("y", ["x"], min_mac=0, genetic_model=model))
        logistic = rows_of(cohort, ga.Logistic("d", ["x"], min_mac=0, genetic_model=model))
        for name in ("n", "mac", "effect_allele_frequency", "test"):
            assert linear[name].equals(logistic[name])
    recessive = rows_of(cohort, ga.Linear("y", ["x"], min_mac=0, genetic_model="recessive")).row(8, named=True)
    g = np.where(codes[8] == 3, np.nan, codes[8] == 2)
    g[(SEX == 1) & (codes[8] == 1)] = np.nan
    y, x = cohort.phenotypes.table["y"].to_numpy(), cohort.phenotypes.table["x"].to_numpy()
    beta, error, _ = least_squares(g, np.column_stack([np.ones(N), x, np.where(SEX > 0, SEX, np.nan)]), y)
    assert abs(recessive["beta"] - beta) <= RELATIVE * max(abs(beta), error)


def written(cohort, folder):
    """The same cohort on disk, for runs to a file."""
    store = cohort.store
    path = folder / "s.zarr"
    write_store(path, list(store.sample_ids), [store.read(0, store.n_variants)], store.variants(), block_variants=16)
    return dataclasses.replace(cohort, store=ga.open_store(path))


def test_notes_say_what_was_done(tmp_path):
    cohort, codes, _ = mixed_cohort()
    results = ga.associate(written(cohort, tmp_path), ga.Linear("y", ["x"]), executor=ga.Serial())
    notes = "\n".join(results.provenance["notes"])
    hets = int((codes[8:12, SEX == 1] == 1).sum() + (codes[12:] == 1).sum())
    assert "one ALT of a male counts 2, and sex is a covariate; 40 samples of unknown sex are left out" in notes
    assert f"{hets:,} heterozygous calls where a sample has one copy" in notes
    females = int(np.isin(codes[12:16][:, SEX == 2], [0, 2]).sum())
    assert results.provenance["variants"]["refused"] == {"heterozygous_where_haploid": hets, "female_on_Y": females}
    regenie = rows_of(cohort, ga.Linear("y", ["x"], like="regenie"))
    assert regenie.row(8, named=True)["n"] == N  # no sex among the covariates: nobody is left out
    unstated = mixed_cohort(sex=None)[0]
    assert "X: no sex is stated" in "\n".join(association.association_job(
        unstated, ga.Linear("y"), association.plan_association(unstated, ga.Linear("y"))
    ).state.notes)  # fmt: skip


def test_unknown_build_is_refused_only_where_it_matters():
    cohort, _, _ = mixed_cohort()
    table = cohort.store.table.with_columns(
        base_pair_location=pl.when(pl.col("base_pair_location") == 50_000_000)
        .then(2_750_000)
        .otherwise("base_pair_location")
    )
    store = MemoryStore(cohort.store.codes, cohort.store.sample_ids, table)
    phenotypes = cohort.phenotypes
    with pytest.raises(InputError, match="--build GRCh38"):
        rows_of(Cohort.align(store, phenotypes, sex="SEX"), ga.Linear("y"))
    n = {
        build: rows_of(Cohort.align(store, phenotypes, sex="SEX", build=build), ga.Linear("y")).row(8, named=True)["n"]
        for build in ("hg19", "hg38")
    }
    assert n["hg38"] > n["hg19"]  # in PAR of GRCh38: no sex covariate, heterozygous males stay
    rows_of(Cohort.align(store, phenotypes), ga.Linear("y"))  # without sex nothing hangs on it


def test_conflicts_of_sex_and_calls_are_named():
    rng = np.random.default_rng(4)
    table = pl.concat([snv_table(60, name) for name in ("X", "Y")]).with_columns(
        base_pair_location=pl.Series(np.tile(np.arange(60) + 10_000_000, 2))
    )
    codes = np.where(SEX == 1, 2 * rng.integers(0, 2, (120, N)), rng.binomial(2, 0.5, (120, N))).astype(np.uint8)
    codes[60:, SEX != 1] = 3
    haploid = np.zeros((120, N), bool)
    haploid[:, SEX == 1] = True
    codes[:60, 0], haploid[:, 0] = rng.binomial(2, 0.5, 60), False  # stated male
    codes[60:, 1], haploid[:60, 4] = 0, True  # stated females
    ids = [f"s{i}" for i in range(N)]
    phenotypes = pl.DataFrame({"IID": ids, "SEX": SEX, "y": rng.normal(size=N)})
    cohort = Cohort.align(MemoryStore(codes, ids, table, haploid=haploid), phenotypes, sex="SEX")
    found = sex_conflicts(cohort)
    assert found["id"].to_list() == ["s0", "s1", "s4"] and set(found["reason"]) == {"sex_conflict"}
    assert "male, heterozygous in" in found["detail"][0]
    assert found["detail"][1] == "female, 60 calls on Y" and "are haploid" in found["detail"][2]
    plan = association.plan_association(cohort, ga.Linear("y"))
    notes = association.association_job(cohort, ga.Linear("y"), plan).state.notes
    assert any("3 samples does not go with" in note and "s4 (female" in note for note in notes)


# kg-x -------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def kg_x(tmp_path_factory):
    folder = real_data("kg-x")
    store = ga.convert(folder / "x.vcf.gz", tmp_path_factory.mktemp("kgx") / "s.zarr")
    phenotypes = plink_table(real_data("kg-genome") / "phenotypes.tsv")
    return store, phenotypes.join(plink_table(folder / "sex.tsv"), on="IID")


def beside(rows, theirs, tolerance, printed=PRINTED, se=True):
    both = theirs.rename({"BETA": "their_beta"}).join(
        rows, left_on=["POS", "ID", "A1"], right_on=["base_pair_location", "rsid", "effect_allele"]
    )
    assert both.height == theirs.height > 3000
    assert both["ERRCODE"].is_null().all() and both["beta"].is_not_null().all()
    np.testing.assert_array_equal(both["n"], both["OBS_CT"])
    size = np.maximum(both["their_beta"].abs(), both["SE"])
    assert ((both["beta"] - both["their_beta"]).abs() / size).max() <= tolerance + printed
    if se:
        assert (both["standard_error"] / both["SE"] - 1).abs().max() <= tolerance + printed
        logp = -both["P"].log10().to_numpy()
        apart = np.abs(both["neg_log_10_p_value"].to_numpy() - logp)
        assert (apart <= (10 * tolerance + printed) * np.maximum(1.0, logp)).all()
    return both


def test_kg_x_as_a_bed_has_the_same_rows(kg_x, tmp_path):
    # PLINK writes two alleles of males: the store of a BED has no marks of haploid calls, and the sexes say all that they did
    store, phenotypes = kg_x
    sexes = tmp_path / "sexes"
    sexes.write_text(
        "#IID\tSEX\n" + "".join(f"{name}\t{sex}\n" for name, sex in phenotypes.select("IID", "SEX").rows())
    )
    vcf = real_data("kg-x") / "x.vcf.gz"
    plink2(tmp_path, "--vcf", vcf, "--update-sex", sexes, "--make-bed")
    of_bed = ga.convert(tmp_path / "p.bed", tmp_path / "x.zarr")
    model = ga.Linear(["quant"], ["PC1:PC4"])
    tables = [
        ga.associate(ga.Cohort.align(one, phenotypes, sample_id="IID", sex="SEX"), model).table
        for one in (store, of_bed)
    ]
    assert tables[0].equals(tables[1].with_columns(tables[0]["chromosome"])) and tables[0].height > 3000


def test_kg_x_without_sex_agrees_with_the_stored_files(kg_x):
    # The stored PLINK 2 outputs were made without the sexes (978 = 2 x 489 alleles in acount.gz, and the two models are
    # one file): all diploid, no covariate of sex. That is what we do where no sex is stated.
    store, phenotypes = kg_x
    folder = real_data("kg-x") / "expected-plink2"
    cohort = Cohort.align(store, phenotypes)
    linear = rows_of(cohort, ga.Linear("quant", ["PC1:PC4"], like="plink2"))
    for name in ("quant.glm.linear.gz", "xchr-model-1.quant.glm.linear.gz"):
        beside(linear, plink_table(folder / name), RELATIVE)
    logistic = rows_of(cohort, ga.Logistic("case", ["PC1:PC4"], like="plink2"))
    theirs = plink_table(folder / "case.glm.logistic.hybrid.gz")
    for firth, tolerance in (("N", 5e-5), ("Y", 1e-3)):
        part = theirs.filter(pl.col("FIRTH?") == firth)
        rows = logistic.join(part, left_on="rsid", right_on="ID", how="semi")
        if firth == "N":
            beside(rows, part, tolerance)
        else:
            assert (rows["method"] == "firth").all()
    # Frequencies of ours are of true copies, by the ploidy marks.
    acount = plink_table(folder / "acount.gz")
    table = cohort.variant_statistics(cohort.read(0, store.n_variants))
    codes = cohort.read(0, store.n_variants).codes()
    np.testing.assert_array_equal(acount["ALT_CTS"], np.where(codes == 3, 0, codes).sum(axis=1))
    males = phenotypes["SEX"].to_numpy() == 1
    copies = codes[:, ~males].sum(axis=1) + codes[:, males].sum(axis=1) // 2
    np.testing.assert_array_equal(table["mac"], np.minimum(copies, 2 * (~males).sum() + males.sum() - copies))


@pytest.mark.integration
@pytest.mark.parametrize("model", [1, 2])
def test_kg_x_beside_the_plink2_of_this_machine(kg_x, model, tmp_path):
    store, phenotypes = kg_x
    folder, table = real_data("kg-x"), real_data("kg-genome") / "phenotypes.tsv"
    (tmp_path / "sex").write_text("#IID\tSEX\n" + "".join(f"{a}\t{b}\n" for a, b in phenotypes["IID", "SEX"].rows()))
    common = (
        "--vcf", folder / "x.vcf.gz", "--update-sex", tmp_path / "sex", "--pheno", table, "--covar", table, "--covar-name",
        "PC1-PC4", "--mac", "10", "--xchr-model", model, "--glm", "hide-covar", "omit-ref",
    )  # fmt: skip
    cohort = Cohort.align(store, phenotypes, sex="SEX", build="GRCh37")
    plink2(tmp_path, *common, "--pheno-name", "quant")
    ours = rows_of(cohort, ga.Linear("quant", ["PC1:PC4"], like="plink2", male_x_dosage=model))
    beside(ours, plink_table(tmp_path / "p.quant.glm.linear"), RELATIVE)
    plink2(tmp_path, *common, "cols=+beta", "--pheno-name", "case", "--1")
    ours = rows_of(cohort, ga.Logistic("case", ["PC1:PC4"], like="plink2", male_x_dosage=model))
    theirs = plink_table(tmp_path / "p.case.glm.logistic.hybrid")
    # Debian's of 2022: single precision, other standard errors
    both = beside(ours, theirs, 2e-3, se=False)
    assert ((both["FIRTH?"] == "Y") == (both["method"] == "firth")).all()


@pytest.mark.integration
def test_kg_x_counts_and_hardy_weinberg_beside_plink2(kg_x, tmp_path):
    store, phenotypes = kg_x
    (tmp_path / "sex").write_text("#IID\tSEX\n" + "".join(f"{a}\t{b}\n" for a, b in phenotypes["IID", "SEX"].rows()))
    vcf = real_data("kg-x") / "x.vcf.gz"
    plink2(tmp_path, "--vcf", vcf, "--update-sex", tmp_path / "sex", "--freq", "counts", "--hardy")
    ours = ga.variant_qc(Cohort.align(store, phenotypes, sex="SEX"))
    counts, hardy = plink_table(tmp_path / "p.acount"), plink_table(tmp_path / "p.hardy.x")
    assert ours.height == counts.height == hardy.height
    np.testing.assert_allclose(ours["af"], counts["ALT_CTS"] / counts["OBS_CT"], rtol=1e-12)
    np.testing.assert_array_equal(ours["mac"], np.minimum(counts["ALT_CTS"], counts["OBS_CT"] - counts["ALT_CTS"]))
    # Their P of X tests males' frequency too (Graffelman & Weir 2016); ours is of females alone, as their counts give it.
    females = hardy.select("FEMALE_HOM_A1_CT", "FEMALE_HET_A1_CT", "FEMALE_TWO_AX_CT").rows()
    some = np.linspace(0, ours.height - 1, 200).astype(int)
    expected = [float(hwe_oracle.hardy_weinberg(*females[i])[0]) for i in some]
    np.testing.assert_allclose(ours["hwe_p"].to_numpy()[some], expected, rtol=1e-9)


# Conditioning -----------------------------------------------------------------------------------------------


def test_conditioning_is_the_variant_as_a_covariate():
    cohort, codes, phenotypes = mixed_cohort()
    model = ga.Linear("y", ["x"], min_mac=0, condition_on=["rs1", "1_103_A_G"])
    rows = rows_of(cohort, model)
    known = np.where(codes == 3, np.nan, codes.astype(float))
    y, x = (phenotypes[name].to_numpy() for name in ("y", "x"))
    X = np.column_stack([np.ones(N), x, known[1], known[3]])
    for v in (0, 2):
        beta, error, at = least_squares(known[v], X, y)
        assert abs(rows["beta"][v] - beta) <= RELATIVE * max(abs(beta), error)
        assert abs(rows["standard_error"][v] - error) <= RELATIVE * error
        assert rows["n"][v] == at.sum()
    for v in (1, 3):
        row = rows.row(v, named=True)
        assert row["code"] == "collinear" and row["beta"] is None and row["method"] is None and row["n"] > 0
    formula = rows_of(cohort, dataclasses.replace(model, covariates="x"))
    np.testing.assert_allclose(formula["beta"], rows["beta"], rtol=1e-9)
    logistic = rows_of(cohort, ga.Logistic("d", "x", min_mac=0, condition_on=("rs1",)))
    assert logistic["code"][1] == "collinear" and logistic["beta"][1] is None and logistic["beta"][0] is not None
    again = rows_of(cohort.keep_variants(np.array([1, 2])), model)  # variants left out do not shift the numbers
    assert again["code"].to_list() == ["collinear", None]


def test_conditioning_says_whom_it_leaves_out():
    cohort, codes, _ = mixed_cohort()
    n_missing = int((codes[0] == 3).sum())
    for missing, fate in (("complete", "are left out"), ("mean", "have the mean of the others")):
        model = ga.Linear("y", ["x"], condition_on=["rs0"], missing=missing)
        state = association.association_job(cohort, model, association.plan_association(cohort, model)).state
        assert f"conditioned on rs0 (additive in ALT): {n_missing} samples without its call {fate}" in state.notes
        assert state.n_incomplete == (n_missing if missing == "complete" else 0)
    assert rows_of(cohort, model)["code"][0] == "collinear"


@pytest.mark.parametrize(
    "names, words",
    [(["rs99"], "no variant 'rs99'.*1_100_A_G"), (["rs0", "same"], "name of 2 variants .*variant_id")],
)
def test_unknown_and_ambiguous_variants_are_refused(names, words):
    cohort, _, _ = mixed_cohort()
    table = cohort.store.table.with_columns(
        rsid=pl.when(pl.col("rsid").is_in(["rs2", "rs3"])).then(pl.lit("same")).otherwise("rsid")
    )
    store = MemoryStore(cohort.store.codes, cohort.store.sample_ids, table)
    with pytest.raises(InputError, match=words):
        rows_of(Cohort.align(store, cohort.phenotypes), ga.Linear("y", condition_on=names))


def test_the_command_line_takes_all_of_it(tmp_path, genassoc):
    cohort, _, phenotypes = mixed_cohort()
    written(cohort, tmp_path)
    phenotypes.write_csv(tmp_path / "p.tsv", separator="\t", null_value="NA")
    out = tmp_path / "r.parquet"
    arguments = [
        "assoc", tmp_path / "s.zarr", tmp_path / "p.tsv", "--model", "linear", "--trait", "y", "--sex", "SEX", "--build",
        "GRCh37", "--genetic-model", "dominant", "--x-model", "1", "--condition", "rs0,rs4", "--out", out, "--min-mac", "0",
    ]  # fmt: skip
    status, toml, errors = genassoc(*arguments, "--print-toml")
    assert status == 0, errors
    for line in ('build = "GRCh37"', 'genetic_model = "dominant"', "male_x_dosage = 1", '"rs4"'):
        assert line in toml
    assert genassoc(*arguments)[0] == 0
    model = ga.Linear("y", genetic_model="dominant", male_x_dosage=1, condition_on=("rs0", "rs4"), min_mac=0)
    expected = rows_of(Cohort.align(cohort.store, phenotypes, sex="SEX"), model)
    assert pl.read_parquet(out).equals(expected)
