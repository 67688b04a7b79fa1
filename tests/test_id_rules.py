"""Sample ids that nearly match: named, never matched by themselves, and matched under a rule that is asked for."""

import tomllib

import numpy as np
import polars as pl
import pytest
from memory_store import MemoryStore
from test_cohort import phenotypes_of, store_of
from test_genetic_models import rows_of

import genassoc as ga
from genassoc.data.cohort.cohort import Cohort
from genassoc.data.cohort.id_rules import RULES, Rules
from genassoc.errors import InputError, PhenotypeError, SampleMismatchError
from genassoc.verbs.config import Config

PEOPLE = [f"HG{i:03d}" for i in range(12)]

# What the genotypes' id of the last three people becomes, and the rule that mends it.
SPOILT = {
    "trim": lambda name: f"{name}\u00a0",
    "casefold": str.lower,
    "strip_zeros": lambda name: name.replace("HG0", "HG00"),
    "decimal": lambda name: f"{name}.0",
    "halve": lambda name: f"{name}_{name}",
    "iid": lambda name: f"FAM1_{name}",
}


@pytest.mark.parametrize("rule", SPOILT)
def test_a_few_that_nearly_match_are_named_with_the_rule_that_mends_it(rule):
    genotyped = [*PEOPLE[:9], *map(SPOILT[rule], PEOPLE[9:])]
    cohort = Cohort.align(store_of(genotyped), phenotypes_of(PEOPLE))
    assert cohort.n_samples == 9  # never by itself
    (note,) = cohort.notes
    assert "3 would match" in note and f"--id-rule {rule})" in note and repr(PEOPLE[9]) in note
    mended = Cohort.align(store_of(genotyped), phenotypes_of(PEOPLE), id_rule=rule)
    assert mended.n_samples == 12 and mended.rows.tolist() == list(range(12))
    assert mended.sample_ids.tolist() == genotyped
    assert f"id_rule = '{rule}'" in mended.notes[0] and "3 of 12 samples" in mended.notes[0]
    rows = mended.ledger.filter(kind="sample")
    assert (rows["status"] == "kept").all() and rows.filter(pl.col("detail").str.contains("by id_rule")).height == 3
    assert mended.recipe[0]["id_rule"] == rule
    assert mended.fingerprint != cohort.fingerprint


def test_each_kind_of_several_is_named():
    genotyped = [
        *PEOPLE[:6],
        *map(str.lower, PEOPLE[6:8]),
        *(f"{name}\u200b" for name in PEOPLE[8:11]),
        "ＨG011".lower(),
    ]
    cohort = Cohort.align(store_of(genotyped), phenotypes_of(PEOPLE))
    assert cohort.n_samples == 6
    for rule, n in (("trim", 3), ("casefold", 2), ("trim+nfkc+casefold", 6)):
        assert any(f"{n} would match" in note and f"--id-rule {rule})" in note for note in cohort.notes), rule
    assert Cohort.align(store_of(genotyped), phenotypes_of(PEOPLE), id_rule="trim+nfkc+casefold").n_samples == 12
    kept = Cohort.align(store_of(PEOPLE), phenotypes_of(PEOPLE)).keep_samples([*PEOPLE[:3], PEOPLE[4].lower(), "X"])
    assert kept.n_samples == 3 and f"'{PEOPLE[4]}' and '{PEOPLE[4].lower()}'" in kept.notes[-1]


def test_unicode_forms():
    people = ["Ångström", "Émile", "Zoë", "Max", "Ida"]
    decomposed = ["A\u030angstro\u0308m", "E\u0301mile", *people[2:]]
    cohort = Cohort.align(store_of(decomposed), phenotypes_of(people))
    assert "2 would match" in cohort.notes[0] and "--id-rule nfc)" in cohort.notes[0]
    assert Cohort.align(store_of(decomposed), phenotypes_of(people), id_rule="nfc").n_samples == 5
    wide = ["Ｍａｘ", *people[:3], people[4]]
    assert Cohort.align(store_of(wide), phenotypes_of(people), id_rule="nfkc+casefold").n_samples == 5


def test_strangers_are_no_near_misses():
    cohort = Cohort.align(store_of([*PEOPLE[:9], "A1", "A2", "A3"]), phenotypes_of([*PEOPLE[:9], "B1", "B2", "B3"]))
    assert cohort.notes == ()
    assert Cohort.align(store_of(PEOPLE), phenotypes_of(PEOPLE[:5])).notes == ()


def test_a_match_that_would_be_ambiguous_is_not_proposed_and_refused():
    genotyped = [*PEOPLE, "hg000"]
    cohort = Cohort.align(store_of(genotyped), phenotypes_of([*PEOPLE, "Hg000"]))
    assert cohort.notes == ()  # 'hg000' and 'Hg000' would become one with 'HG000'
    with pytest.raises(SampleMismatchError, match="'HG000' and 'hg000' become 'hg000'"):
        Cohort.align(store_of(genotyped), phenotypes_of(PEOPLE), id_rule="casefold")
    with pytest.raises(SampleMismatchError, match=r"'F1_7' and 'F2_7' become '7'"):
        Cohort.align(store_of(["F1_7", "F2_7", "F1_8"]), phenotypes_of(["7", "8"]), id_rule="iid")
    with pytest.raises(SampleMismatchError, match="different ids of the table given"):
        Cohort.align(store_of(PEOPLE), phenotypes_of(["HG001", "hg001"]), id_rule="casefold")


def test_rules_are_a_closed_list_and_combine():
    with pytest.raises(InputError, match=r"'casefol' \(did you mean 'casefold'\?\); the rules are exact, trim"):
        Rules.parse("iid+casefol")
    assert str(Rules.parse(None)) == "exact" and Rules.parse("exact").exact
    genotyped = [f"F{i // 2}_{name.lower()}" for i, name in enumerate(PEOPLE)]
    assert Cohort.align(store_of(genotyped), phenotypes_of(PEOPLE), id_rule="iid+casefold").n_samples == 12
    # the phenotypes' side where that is the one with FID_IID
    assert Cohort.align(store_of(PEOPLE), phenotypes_of(genotyped), id_rule="iid+casefold").n_samples == 12
    assert all(rule.key("A_1") for rule in RULES.values())


def test_family_and_individual_joined():
    people = phenotypes_of(PEOPLE).with_columns(FID=pl.Series([f"F{i // 2}" for i in range(12)]))
    genotyped = [f"F{i // 2}_{name}" for i, name in enumerate(PEOPLE)]
    mixed = [*PEOPLE[:8], *genotyped[8:]]
    assert any("--id-rule fid_iid" in note for note in Cohort.align(store_of(mixed), people).notes)
    cohort = Cohort.align(store_of(genotyped), people, id_rule="fid_iid")
    assert cohort.n_samples == 12
    with pytest.raises(SampleMismatchError, match="has no column FID"):
        Cohort.align(store_of(genotyped), phenotypes_of(PEOPLE), id_rule="fid_iid")
    # tables without FID join by the phenotypes' ids all the same
    joined = cohort.with_covariates(pl.DataFrame({"IID": PEOPLE, "age": range(12)}))
    assert joined.phenotypes.table["age"].null_count() == 0


# Tables that are joined ------------------------------------------------------------------------------------------------


def test_joined_tables_follow_the_rule_of_the_cohort():
    genotyped = [f"F_{name}" for name in PEOPLE]
    cohort = Cohort.align(store_of(genotyped), phenotypes_of(PEOPLE), id_rule="iid")
    by_phenotype = cohort.with_covariates(pl.DataFrame({"IID": PEOPLE[::-1], "age": range(12)}))
    by_genotype = cohort.with_covariates(pl.DataFrame({"IID": genotyped[::-1], "age": range(12)}))
    for joined in (by_phenotype, by_genotype):
        assert joined.phenotypes.table["age"][joined.rows].to_list() == list(range(12))[::-1]
    lacking = cohort.with_covariates(pl.DataFrame({"IID": PEOPLE[2:], "age": range(10)}))
    rows = lacking.ledger.filter(reason="not_in_covariates")
    assert rows["id"].to_list() == genotyped[:2] and rows["status"].unique().to_list() == ["kept"]
    near = Cohort.align(store_of(PEOPLE), phenotypes_of(PEOPLE)).with_covariates(
        pl.DataFrame({"IID": [*PEOPLE[:9], *(name.lower() for name in PEOPLE[9:])], "age": range(12)})
    )
    assert any("--id-rule casefold" in note for note in near.notes)


def test_x_is_adjusted_for_sex_and_conditioned_under_a_rule():
    rng = np.random.default_rng(2)
    n = 60
    ids = [f"S{i}" for i in range(n)]
    codes = rng.integers(0, 3, (3, n), dtype=np.uint8)
    table = MemoryStore(codes, ids).table.with_columns(
        chromosome=pl.Series(["1", "1", "chrX"]), base_pair_location=pl.Series([1, 2, 50_000_000])
    )
    people = pl.DataFrame({"IID": ids, "SEX": [1, 2] * (n // 2), "y": rng.normal(size=n)})
    model = ga.Linear("y", condition_on=["rs0"])
    plain = Cohort.align(MemoryStore(codes, ids, table), people, sex="SEX")
    named = Cohort.align(MemoryStore(codes, [f"F_{i}" for i in ids], table), people, sex="SEX", id_rule="iid")
    one, other = (rows_of(cohort, model) for cohort in (plain, named))
    assert one.equals(other) and one["beta"].is_not_null().sum() == 2


@pytest.fixture
def files(tmp_path):
    """A VCF of FID_IID, phenotypes by IID, principal components with FID, a table with sex and age."""
    rng = np.random.default_rng(11)
    n = 40
    ids = [f"P{i}" for i in range(n)]
    calls = np.array(["0/0", "0/1", "1/1"])
    lines = ["##fileformat=VCFv4.2", "\t".join(["#CHROM", "POS", "ID", "REF", "ALT", "QUAL", "FILTER", "INFO", "FORMAT"]
             + [f"F{i // 2}_{name}" for i, name in enumerate(ids)])]  # fmt: skip
    lines += [
        "\t".join(["1", str(k + 1), f"rs{k}", "A", "C", ".", ".", ".", "GT", *calls[rng.integers(0, 3, n)]])
        for k in range(4)
    ]
    (tmp_path / "g.vcf").write_text("\n".join(lines) + "\n")
    pl.DataFrame({"IID": ids, "y": rng.normal(size=n)}).write_csv(tmp_path / "p.tsv", separator="\t")
    families = [f"F{i // 2}" for i in range(n)]
    pcs = pl.DataFrame({"FID": families, "IID": ids, "PC1": rng.normal(size=n), "PC2": rng.normal(size=n)})
    pcs[2:].write_csv(tmp_path / "pcs.tsv", separator="\t")
    more = pl.DataFrame({"#IID": ids, "sex": [1, 2] * (n // 2), "age": rng.normal(50, 9, n)})
    more.write_csv(tmp_path / "more.tsv", separator="\t")
    return tmp_path


def arguments(files, out, *more):
    tables = ("--covar-file", files / "pcs.tsv", "--covar-file", files / "more.tsv")
    choices = ("--model", "linear", "--trait", "y", "--covar", "PC1:PC2,age", "--sex", "sex", "--id-rule", "iid")
    return ["assoc", files / "g.vcf", files / "p.tsv", *choices, *tables, "--out", out, *more]


def test_covariate_files_on_the_command_line_and_in_toml(files, genassoc):
    code, printed, errors = genassoc(*arguments(files, files / "a.tsv"))
    assert code == 0, errors
    assert "38 of 40 genotyped samples analysed for y: 2 lack a covariate" in printed
    assert "PC1, PC2 joined from" in errors and "2 samples are not in it" in errors and "id_rule = 'iid'" in errors
    assert errors.index("id_rule = 'iid'") < errors.index("testing")  # before the run
    # the same numbers as from one table, written by hand
    whole = pl.read_csv(files / "p.tsv", separator="\t")
    for name in ("pcs.tsv", "more.tsv"):
        table = pl.read_csv(files / name, separator="\t").rename({"#IID": "IID"}, strict=False)
        whole = whole.join(table.drop("FID", strict=False), on="IID", how="left")
    store = ga.open_store(files / "g.zarr")
    by_hand = ga.associate(
        Cohort.align(store, whole, id_rule="iid"), ga.Linear("y", ["PC1", "PC2", "age"]), executor=ga.Serial()
    )
    found = pl.read_csv(files / "a.tsv", separator="\t", null_values="NA")
    assert found["beta"].to_list() == by_hand.table["beta"].to_list()

    toml = genassoc(*arguments(files, files / "b.tsv", "--print-toml"))[1]
    assert tomllib.loads(toml)["input"]["covariate_files"] == [str(files / "pcs.tsv"), str(files / "more.tsv")]
    (files / "gwas.toml").write_text(toml.replace(str(files / "g.vcf"), str(files / "g.zarr")))
    code, printed, errors = genassoc("check", files / "gwas.toml")
    assert code == 0 and "2 samples are not in it" in printed, errors
    assert genassoc("plan", files / "gwas.toml", files / "work", "--parts", 1)[0] == 0
    assert genassoc("part", files / "work", 0)[0] == 0
    assert genassoc("merge", files / "work", files / "b.tsv")[0] == 0
    assert (files / "a.tsv").read_bytes() == (files / "b.tsv").read_bytes()
    code, printed, errors = genassoc("explain", files / "a.tsv", "rs1")
    assert code == 0, errors
    # the contents of the table are part of what was planned
    (files / "pcs.tsv").write_text((files / "pcs.tsv").read_text().replace("P5\t", "P5\t1"))
    assert "planned with" in genassoc("part", files / "work", 0)[2]


def test_a_column_in_two_files_is_an_error_that_names_both(files, genassoc):
    (files / "again.tsv").write_text("IID\tPC1\nP0\t1\n")
    result = genassoc(*arguments(files, files / "a.tsv", "--covar-file", files / "again.tsv"))
    assert result[0] == 1 and "again.tsv: the column 'PC1'" in result[2] and "pcs.tsv" in result[2]
    config = Config.of(
        {
            "input": {"store": "g.vcf", "phenotypes": "p.tsv", "covariate_files": ["pcs.tsv", "again.tsv"]},
            "model": {"kind": "linear", "traits": ["y"]},
            "output": {"path": "o.tsv"},
        },
        "test",
        files,
    )
    (files / "bad.toml").write_text(config.to_toml())
    code, _, errors = genassoc("check", files / "bad.toml")
    assert code == 1 and errors.count("again.tsv: the column 'PC1'") == 1


def test_a_table_of_no_sample_is_an_error(files):
    cohort = Cohort.align(store_of(PEOPLE), phenotypes_of(PEOPLE))
    with pytest.raises(SampleMismatchError, match="0 of 12"):
        cohort.with_covariates(pl.DataFrame({"IID": ["Q1"], "age": [1]}))
    with pytest.raises(PhenotypeError, match="already among"):
        cohort.with_covariates(pl.DataFrame({"IID": PEOPLE, "y": range(12)}))
