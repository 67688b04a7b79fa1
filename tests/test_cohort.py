"""Cohort: who is matched, who is not and why, what a subset reads, and what is said when nothing fits."""

import pickle

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from memory_store import MemoryStore
from real_data import real_data

from genassoc.data.cohort.cohort import Cohort
from genassoc.data.cohort.matching import near_misses
from genassoc.data.phenotypes.phenotypes import Phenotypes
from genassoc.errors import PhenotypeError, SampleMismatchError

RNG = np.random.default_rng(4)


def store_of(ids, n_variants=20):
    return MemoryStore(RNG.integers(0, 4, (n_variants, len(ids))), ids)


def phenotypes_of(ids, **columns):
    return pl.DataFrame({"IID": [str(name) for name in ids], "y": np.arange(len(ids)) * 1.5, **columns})


# Alignment ----------------------------------------------------------------------------------------------


@settings(max_examples=40, deadline=None)
@given(st.permutations(range(9)), st.sets(st.integers(0, 8)), st.sets(st.integers(0, 8)))
def test_every_sample_of_either_side_is_accounted_for(order, not_genotyped, not_described):
    ids = [f"0{i}" for i in range(9)]
    genotyped = [name for i, name in enumerate(ids) if i not in not_genotyped]
    described = [ids[i] for i in order if i not in not_described]
    both = [name for name in genotyped if name in described]
    if not both:
        return
    frame = pl.DataFrame({"IID": described, "y": [float(name) for name in described]})
    cohort = Cohort.align(store_of(genotyped), frame, min_overlap=0)
    assert cohort.sample_ids.tolist() == both == [genotyped[i] for i in cohort.sample_index]
    assert (np.diff(cohort.sample_index) > 0).all() and cohort.sample_index.dtype == np.int64
    assert cohort.phenotypes.table["y"].gather(cohort.rows).to_list() == [float(name) for name in both]
    rows = cohort.sample_ledger
    assert rows["id"].to_list() == genotyped + [name for name in described if name not in genotyped]
    why = dict(zip(rows["id"], rows["reason"]))
    for name in set(genotyped) | set(described):
        expected = "not_in_phenotypes" if name not in described else None
        assert why[name] == ("not_in_genotypes" if name not in genotyped else expected)
    assert ((rows["status"] == "kept") == rows["reason"].is_null()).all()


def test_leading_zeros_are_not_lost():
    cohort = Cohort.align(store_of(["1", "01", "001"]), phenotypes_of(["001", "1"]))
    assert cohort.sample_ids.tolist() == ["1", "001"]
    assert cohort.phenotypes.table["y"].gather(cohort.rows).to_list() == [1.5, 0.0]


def test_sex():
    ids = [f"S{i}" for i in range(7)]
    words = phenotypes_of(ids, SEX=["M", "f", "Male", "FEMALE", "0", "NA", "1"])
    cohort = Cohort.align(store_of(ids[:6]), words, sex="SEX")
    assert cohort.sex.tolist() == [1, 2, 1, 2, 0, 0] and cohort.sex.dtype == np.int8
    for values in ([1, 2, 1, 2, 0, None, 1], [1.0, 2.0, 1.0, 2.0, 0.0, None, 1.0]):
        assert Cohort.align(store_of(ids[:6]), phenotypes_of(ids, SEX=values), sex="SEX").sex.tolist() == [
            1, 2, 1, 2, 0, 0,
        ]  # fmt: skip
    assert cohort.keep_samples(["S3", "S0"]).sex.tolist() == [1, 2]
    with pytest.raises(PhenotypeError, match=r"'3' in row 2 \(sample S1\)"):
        Cohort.align(store_of(ids), phenotypes_of(ids, SEX=[1, 3, 1, 1, 1, 2, 2]), sex="SEX")
    with pytest.raises(PhenotypeError, match="0 and 1 but no 2"):
        Cohort.align(store_of(ids), phenotypes_of(ids, SEX=[1, 0, 1, 1, 1, 0, 0]), sex="SEX")
    with pytest.raises(PhenotypeError, match="'SEX'"):
        Cohort.align(store_of(ids), phenotypes_of(ids, SEX=[1] * 7), sex="sex")


# Mismatches ---------------------------------------------------------------------------------------------

PEOPLE = [f"HG{i:05d}" for i in range(90, 110)]
NUMBERS = [str(i) for i in range(1, 21)]


@pytest.mark.parametrize(
    ("genotypes", "phenotypes", "words"),
    [
        ([f"F_{p}" for p in PEOPLE], PEOPLE, "20 would match if the genotypes' FID_IID were cut to IID"),
        (PEOPLE, [f"F_{p}" for p in PEOPLE], "20 would match if the phenotypes' FID_IID were cut to IID"),
        ([f"{p}_{p}" for p in PEOPLE], PEOPLE, "20 would match if the genotypes' ids, doubled as 'A_A'"),
        (PEOPLE, [f"{p}_{p}" for p in PEOPLE], "20 would match if the phenotypes' ids, doubled"),
        ([n.zfill(4) for n in NUMBERS], NUMBERS, "20 would match if leading zeros were removed"),
        ([f"S{n.zfill(4)}" for n in NUMBERS], [f"S{n}" for n in NUMBERS], "leading zeros were removed"),
        (PEOPLE, [p.lower() for p in PEOPLE], "20 would match if letter case were ignored"),
        ([f"NA {n}" for n in NUMBERS], [f"NA{n}" for n in NUMBERS], "if blanks were removed"),
        (NUMBERS, [f"{n}.0" for n in NUMBERS], "stored as decimals"),
        ([f"{p}_sorted.bam" for p in PEOPLE], PEOPLE, "20 would match if only the part before the first"),
        ([f"run-{p}" for p in PEOPLE], PEOPLE, "20 would match if the genotypes' FID_IID were cut"),
        ([f"a-{p}.x" for p in PEOPLE], [f"a_{p}_x" for p in PEOPLE], "treated as equal"),
        (
            [f"chr{n}" for n in NUMBERS],
            [n.zfill(2) for n in NUMBERS],
            "letters before the number were removed",
        ),
        ([f"ID-{n}" for n in NUMBERS], [f"id_0{n}" for n in NUMBERS], "all ignored"),
        ([f"{p.lower()}_x" for p in PEOPLE], PEOPLE, "before the first separator were kept, and case"),
    ],
)
def test_near_misses_are_recognised(genotypes, phenotypes, words):
    with pytest.raises(SampleMismatchError) as error:
        Cohort.align(store_of(genotypes), phenotypes_of(phenotypes))
    message = str(error.value)
    assert words in message and "0 of 20 genotyped samples are among the 20" in message
    assert f"'{genotypes[0]}'" in message and f"'{phenotypes[0]}'" in message
    assert f"'{genotypes[0]}' and '{phenotypes[0]}', '{genotypes[1]}' and '{phenotypes[1]}'" in message


def test_strangers_are_said_to_be_strangers():
    with pytest.raises(SampleMismatchError, match="are these files of the same people"):
        Cohort.align(store_of(["alpha", "beta"]), phenotypes_of(["gamma", "delta"]))


def test_ambiguous_ids_are_no_near_miss():
    assert near_misses(["A", "B"], ["a_1", "a_2"]) == []


def test_a_better_column_is_proposed():
    frame = phenotypes_of(NUMBERS, FID=[f"F{n}" for n in NUMBERS], vcf_name=PEOPLE)
    with pytest.raises(SampleMismatchError, match=r"the column 'vcf_name' holds 20.*sample_id='vcf_name'"):
        Cohort.align(store_of(PEOPLE), frame)
    with pytest.raises(SampleMismatchError, match="20 match FID and IID joined by '_'"):
        Cohort.align(store_of([f"F{n}_{n}" for n in NUMBERS]), frame)


def test_a_low_overlap_is_refused_unless_allowed():
    frame = phenotypes_of([*PEOPLE[:4], *(p.lower() for p in PEOPLE[4:])])
    with pytest.raises(SampleMismatchError, match="4 of 20") as error:
        Cohort.align(store_of(PEOPLE), frame)
    assert "16 would match if letter case" in str(error.value) and "min_overlap=0.2" in str(error.value)
    assert Cohort.align(store_of(PEOPLE), frame, min_overlap=0.2).n_samples == 4
    # a few phenotypes in a large store are no accident
    assert Cohort.align(store_of(PEOPLE), phenotypes_of(PEOPLE[:2])).n_samples == 2


# Samples ------------------------------------------------------------------------------------------------


def test_keep_samples_by_expression_and_by_id():
    ids = [f"S{i}" for i in range(6)]
    frame = phenotypes_of(ids[::-1], age=[20, 30, None, 50, 15, 60])
    cohort = Cohort.align(store_of(ids), frame)
    adults = cohort.keep_samples(pl.col("age") > 18)
    assert adults.sample_ids.tolist() == ["S0", "S2", "S4", "S5"]
    assert cohort.n_samples == 6  # the first is as it was
    few = adults.keep_samples(["S5", "S0", "unknown"])
    assert few.sample_index.tolist() == [0, 5]
    rows = few.sample_ledger.filter(pl.col("status") == "dropped").sort("id")
    assert rows.columns == ["kind", "id", "status", "reason", "detail"]
    assert rows["id"].to_list() == ["S1", "S2", "S3", "S4"] and set(rows["reason"]) == {"keep_samples"}
    assert "a value is missing" in rows["detail"][2] and "age" in rows["detail"][0]
    assert "(1 not in the cohort)" in rows["detail"][1]
    assert few.design(["y"]).y[:, 0].tolist() == [7.5, 0.0]
    words = "\n".join(few.summary_lines())
    assert "6 of 6 genotyped samples have phenotypes" in words and "4 of 6 samples kept by" in words


def test_keep_samples_that_cannot_be_meant():
    ids = [f"S{i}" for i in range(6)]
    cohort = Cohort.align(store_of(ids), phenotypes_of(ids, age=[1, 2, 3, 4, 5, 6], site=list("AABBAB")))
    for choice, words in (
        (pl.col("Age") > 3, "'age'"),
        (pl.col("age") > 30, "leaves none of 6 samples"),
        (pl.col("age") * 2, "not true or false"),
        (pl.col("age").max() > 2, "gives 1 values"),
        (pl.col("site") > 2, "cannot be evaluated"),
    ):
        with pytest.raises(PhenotypeError, match=words):
            cohort.keep_samples(choice)
    with pytest.raises(SampleMismatchError, match=r"none of the 2 ids.*2 would match if letter case"):
        cohort.keep_samples(["s1", "s2"])


def test_with_covariates():
    ids = [f"S{i}" for i in range(6)]
    cohort = Cohort.align(store_of(ids), phenotypes_of(ids))
    scores = pl.DataFrame({"sample_id": ids[4::-1], "PC1": [4.0, 3, 2, 1, 0]})
    joined = cohort.with_covariates(scores)
    made = joined.design(["y"], ["PC1"])
    assert made.complete.tolist() == [True] * 5 + [False]
    assert made.X[:5, 1].tolist() == [0, 1, 2, 3, 4]
    ledger = joined.design_ledger(made)
    assert ledger.row(5) == ("sample", "S5", "dropped", "missing_covariate", "PC1")
    assert (ledger["status"][:5] == "kept").all()
    assert any("1 samples are not in it" in line for line in joined.summary_lines())
    with pytest.raises(PhenotypeError, match="'PC1' is already"):
        joined.with_covariates(scores)
    with pytest.raises(SampleMismatchError, match="letter case"):
        cohort.with_covariates(pl.DataFrame({"IID": ["s1", "s2"], "PC2": [1, 2]}))
    assert joined.fingerprint != cohort.fingerprint


def test_the_ledger_of_a_design_names_missing_traits():
    ids = [f"S{i}" for i in range(4)]
    frame = pl.DataFrame({"IID": ids, "a": [1, None, None, 4], "b": [1, 2, None, 5]})
    cohort = Cohort.align(store_of(ids), frame)
    rows = cohort.design_ledger(cohort.design(["a", "b"]))
    assert rows["status"].to_list() == ["kept", "kept", "dropped", "kept"]
    assert rows["reason"][2] == "missing_trait" and rows["detail"][1] == "missing in 1 of 2 traits"


# Blocks -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("n", [70, 35, 34, 1])
def test_blocks_hold_the_cohorts_samples_at_block_columns(n):
    ids = [f"S{i}" for i in range(70)]
    haploid = RNG.random((20, 70)) < 0.2
    codes = RNG.integers(0, 4, (20, 70))
    codes[haploid & (codes % 2 == 1)] = (
        2  # with a mark, codes 1 and 3 are half calls, which are not observed and lose it
    )
    store = MemoryStore(codes, ids, haploid=haploid)
    chosen = list(RNG.permutation(ids)[:n])
    cohort = Cohort.align(store, phenotypes_of(chosen))
    block = cohort.read(3, 12)
    assert block.start == 3 and block.n_samples == cohort.block_width == (n if n < 35 else 70)
    np.testing.assert_array_equal(block.codes()[:, cohort.block_columns], store.codes[3:12, cohort.sample_index])
    marks = np.unpackbits(block.haploid, axis=1, bitorder="little", count=block.n_samples)
    np.testing.assert_array_equal(marks[:, cohort.block_columns], haploid[3:12, cohort.sample_index])
    assert block.packed.shape[1] % 8 == 0


def test_a_cohort_pickles_and_its_fingerprint_follows_what_matters():
    ids = [f"S{i}" for i in range(10)]
    frame = phenotypes_of(ids, SEX=[1, 2] * 5)
    store = store_of(ids)
    cohort = Cohort.align(store, frame, sex="SEX").keep_variants(pl.col("maf") > 0.01)
    again = pickle.loads(pickle.dumps(cohort))
    assert again.fingerprint == cohort.fingerprint and again.ledger.equals(cohort.ledger)
    others = [
        Cohort.align(store, frame, sex="SEX"),
        Cohort.align(store, frame, sex="SEX").keep_variants(pl.col("maf") > 0.02),
        Cohort.align(store, frame).keep_variants(pl.col("maf") > 0.01),
        cohort.keep_samples(ids[:9]),
        cohort.keep_variants([0, 1]),
        Cohort.align(store, frame.with_columns(y=-pl.col("y")), sex="SEX").keep_variants(pl.col("maf") > 0.01),
    ]
    assert len({one.fingerprint for one in [cohort, *others]}) == 7
    assert "10 samples" in repr(cohort) and "5 male, 5 female" in repr(cohort)


def test_the_1000_genomes_phenotypes_align_with_their_vcf():
    import gzip

    folder = real_data("kg-genome")
    with gzip.open(folder / "1000G.489.vcf.gz", "rt") as lines:
        ids = next(line for line in lines if line.startswith("#CHROM")).split()[9:]
    cohort = Cohort.align(store_of(ids), folder / "phenotypes.tsv", sample_id="IID")
    assert cohort.n_samples == 489
    assert cohort.summary_lines()[0] == "489 of 489 genotyped samples have phenotypes"


def test_joined_covariates_take_the_missing_codes_of_the_cohort():
    ids = [f"S{i}" for i in range(6)]
    joined = pl.DataFrame({"IID": ids, "bmi": [22.0, -9, 25, 24, -9, 21]})
    declared = Cohort.align(store_of(ids), phenotypes_of(ids), missing_codes=["-9"])
    undeclared = Cohort.align(store_of(ids), phenotypes_of(ids, z=[-9, 1, 2, 3, 4, 5]))
    missing = [False, True, False, False, True, False]
    for cohort in (
        declared.with_covariates(joined),
        undeclared.with_covariates(joined, missing_codes=["-9"]),
        declared.with_covariates(Phenotypes.read(joined)),
    ):
        assert (~cohort.design(["y"], ["bmi"]).complete).tolist() == missing
    for cohort in (declared, undeclared):
        real = cohort.with_covariates(joined, missing_codes=[])
        assert real.design(["y"], ["bmi"]).X[:, 1].tolist() == joined["bmi"].to_list()
    for cohort, name in ((undeclared.with_covariates(joined), "bmi"), (real, "z")):
        with pytest.raises(PhenotypeError, match="value -9"):
            cohort.design(["y"], [name])


def test_a_block_knows_its_contig():
    ids = [f"s{i}" for i in range(7)]
    variants = store_of(ids, 8).table.with_columns(
        chromosome=pl.Series(["1", "1", "1", "chrX", "chrX", "1", "1", "MT"])
    )
    store = MemoryStore(RNG.integers(0, 4, (8, 7)), ids, variants)
    whole = Cohort.align(store, phenotypes_of(ids, sex=["M", "F"] * 3 + ["M"]), sex="sex", build="GRCh38")
    few = Cohort.align(store, phenotypes_of(ids[:2]), min_overlap=0)
    for cohort in (whole, few):
        assert [cohort.read(v, v + 1).contig for v in range(8)] == variants["chromosome"].to_list()
        assert cohort.read(0, 3).contig == "1" and cohort.read(0, 4).contig == "" and cohort.read(0, 7).contig == ""
        block = cohort.read(3, 5)
        assert block.take(np.array([True, False])).contig == "chrX"
        assert block.recoded(block.packed.view(np.uint64)).contig == "chrX"
