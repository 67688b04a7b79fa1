"""The look at relatives and ancestry in front of a run, and lambda beyond chance after it: what is warned of, and what never changes."""

import json
import warnings
from dataclasses import asdict

import numpy as np
import polars as pl
import pytest

import genassoc as ga
from genassoc.analyses.leading_components import leading_components
from genassoc.data.block import GenotypeBlock
from genassoc.data.store.writer import write_store
from genassoc.errors import StructureWarning
from genassoc.verbs import inflation, relatedness

COVARIATES = ("age", "sex", "PC1:PC4")
MODEL = ga.Linear(["ldl"], COVARIATES)


@pytest.fixture(autouse=True)
def own_cache(tmp_path, monkeypatch):
    """What is kept for the next run, in a folder of the test."""
    monkeypatch.setattr(relatedness, "base_folder", lambda: tmp_path)
    return tmp_path / "structure"


@pytest.fixture(scope="module")
def made():
    """Samples of several populations, none related."""
    return ga.simulate_cohort(250, 6000, 5, seed=3, missing_rate=0.01)


@pytest.fixture(scope="module")
def codes(made):
    return np.concatenate([block.codes() for _, block in made.blocks()])


@pytest.fixture(scope="module")
def cohorts(made, codes, tmp_path_factory):
    """The samples, and a cohort with every person entered twice."""
    folder, found = tmp_path_factory.mktemp("relatedness"), []
    for name, times in (("once", 1), ("twice", 2)):
        ids = [f"{one}{'again' * k}" for k in range(times) for one in made.sample_ids]
        write_store(folder / name, ids, [GenotypeBlock.from_codes(np.tile(codes, (1, times)))], made.variants)
        table = pl.concat([made.phenotypes.with_columns(IID=pl.col("IID") + "again" * k) for k in range(times)])
        found.append(ga.Cohort.align(folder / name, table))
    return found


def told(cohort, model=MODEL, **options):
    """The warnings of a run on structure, and its results."""
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        results = ga.associate(cohort, model, **options)
    of_structure = [warning for warning in caught if warning.category is StructureWarning]
    assert all(warning.filename == __file__ for warning in of_structure)
    return [str(warning.message) for warning in of_structure], results


def test_a_cohort_with_every_person_entered_twice_is_warned_of(cohorts):
    notes, results = told(cohorts[1])
    assert "relatives: among the 482 samples analysed are 241 pairs of duplicates or identical twins (by" in notes[0]
    assert "keep_unrelated" in notes[0] and "step1" in notes[0]
    assert f"lambda_GC above what chance gives: ldl {results.lambda_gc():.3f} (up to 1." in notes[1]
    assert len(notes) == 2 and set(notes) <= set(results.provenance["notes"])
    assert results.lambda_gc() > 1.9
    assert results.provenance["structure"]["pairs"]["duplicates"] == 241


def test_unrelated_samples_with_their_components_are_not(cohorts):
    notes, results = told(cohorts[0])
    assert notes == []
    assert results.provenance["structure"]["components"] >= 1


def test_components_that_are_no_covariates_are_warned_of(cohorts):
    notes, _ = told(cohorts[0], ga.Linear(["ldl"], ["age"]))
    assert "the covariates hold none of them (R2 0.0" in notes[0]
    assert "genassoc pca" in notes[0]


def test_it_can_be_turned_off_and_changes_no_byte(cohorts, tmp_path):
    notes, results = told(cohorts[1], out=tmp_path / "off.parquet", relatedness=False)
    assert notes == [] and "structure" not in results.provenance
    told(cohorts[1], out=tmp_path / "on.parquet")
    assert (tmp_path / "off.parquet").read_bytes() == (tmp_path / "on.parquet").read_bytes()


def test_relatives_that_offsets_account_for_are_said_to_be(cohorts):
    offsets = pl.DataFrame({"IID": list(cohorts[1].sample_ids), "ldl": np.zeros(cohorts[1].n_samples)})
    notes, _ = told(cohorts[1], offsets=offsets)
    assert "the offsets account for them" in notes[0] and "keep_unrelated" not in notes[0]
    assert "duplicates" in notes[1]


def test_degrees_are_those_of_the_pedigree(tmp_path):
    families = {"duplicates": 3, "trios": 10, "siblings": 8, "half_siblings": 12, "cousins": 4}
    made = ga.simulate_families(400, 9000, seed=5, families=families, fst=(0.0,), min_frequency=0.15)
    made.write_store(tmp_path / "store")
    cohort = ga.Cohort.align(tmp_path / "store", made.phenotypes)
    found = relatedness.look_at(cohort, np.arange(400))
    assert found.n_degrees == 3 and found.scores == ()  # one population
    # Realised kinship of half siblings varies about 1/8 (SD 0.02) and is told with an error of 0.015: 2 of 12 may lie below 0.0884.
    assert found.pairs[:2] == (3, 28) and 9 <= found.pairs[2] <= 14
    some = relatedness.look_at(cohort, np.arange(0, 400, 2))
    assert sum(some.pairs) < sum(found.pairs) and some.n_samples == 200


def test_families_are_no_ancestry_where_variants_are_too_few_to_tell_them(tmp_path):
    families = {"siblings": 60, "trios": 30}
    for n_variants, told in ((450, 1), (1200, 2)):
        made = ga.simulate_families(240, n_variants, seed=5, families=families, fst=(0.0,), min_frequency=0.2)
        made.write_store(tmp_path / f"{n_variants}")
        cohort = ga.Cohort.align(tmp_path / f"{n_variants}", made.phenotypes)
        found = relatedness.look_at(cohort, np.arange(240))
        assert found.n_degrees == told and found.scores == ()
        assert "second degree cannot be told by so few" in relatedness._nothing(found, ancestry=False)


def test_beyond_so_many_samples_a_random_part_is_looked_at(cohorts, monkeypatch):
    monkeypatch.setattr(relatedness, "MOST_SAMPLES", 300)
    notes, _ = told(cohorts[1])
    assert "among 300 of the 482 samples analysed, drawn at random (seed" in notes[0]


def test_few_variants_tell_nothing_and_that_is_kept(cohorts):
    few = cohorts[0].keep_samples([str(name) for name in cohorts[0].sample_ids[:4]])
    structure = relatedness.structure_of(few, ga.Linear(["ldl"]), relatedness.RunOptions())
    assert not structure.notes and structure.record["structure"]["components"] == 0
    assert "relatives" in structure.lines[0]


# Components ------------------------------------------------------------------------------------------------------------


def blocks(n, n_variants, fst, seed):
    """Calls of two populations of n / 2 that drifted apart by F_ST."""
    rng = np.random.default_rng(seed)
    p = rng.uniform(0.2, 0.8, n_variants)
    drift = (1 - fst) / max(fst, 1e-9)
    each = [rng.beta(p * drift, (1 - p) * drift) if fst else p for _ in range(2)]
    codes = np.concatenate([rng.binomial(2, q[:, None], (n_variants, n // 2)) for q in each], axis=1)
    return GenotypeBlock.from_codes(codes.astype(np.uint8)), np.arange(n_variants) % 2


def test_components_are_found_where_populations_differ_and_nowhere_else():
    assert [leading_components(*blocks(200, 1500, 0.0, seed), 1).n for seed in range(12)] == [0] * 12
    found = leading_components(*blocks(200, 1500, 0.02, 1), 1)
    assert found.n == 1 and 0.8 < found.reliability[0] <= 1
    population = np.repeat([0.0, 1.0], 100)
    held = found.held_by(np.column_stack([np.ones(200), population]))
    assert abs(held[0] - found.reliability[0]) < 0.1  # what a covariate without noise explains is the reliability
    assert found.held_by(np.ones((200, 1)))[0] < 1e-9


def test_ld_within_a_half_is_no_component():
    block, half = blocks(200, 1500, 0.0, 3)
    codes = block.codes()
    codes[::2][:300] = codes[0]  # a region of one half in complete LD
    assert leading_components(GenotypeBlock.from_codes(codes), half, 1).n == 0


# What is kept for the next run -----------------------------------------------------------------------------------------


def test_what_was_found_is_kept_for_the_same_samples_alone(cohorts, own_cache, monkeypatch):
    first, _ = told(cohorts[1])
    (file,) = own_cache.iterdir()
    monkeypatch.setattr(relatedness, "_look", lambda *_: pytest.fail("looked again"))
    again, _ = told(cohorts[1])
    assert first == again
    with pytest.raises(pytest.fail.Exception):
        told(cohorts[1].keep_samples([str(name) for name in cohorts[1].sample_ids[5:]]))
    assert [*own_cache.iterdir()] == [file]


def test_a_file_of_a_stranger_is_not_believed(cohorts, own_cache, monkeypatch):
    analysed = np.arange(250)
    sound = relatedness.look_at(cohorts[0], analysed)
    (file,) = own_cache.iterdir()
    content = asdict(sound)
    wrong = [
        b"", b"[]", b"\xff", b"{" * 100_000, json.dumps({**content, "pairs": [1, 2]}).encode(),
        *(json.dumps({**content, name: value}).encode() for name, value in {
            "pairs": [10**12, 0, 0], "n_looked_at": 251, "samples": [*range(2000)], "reliability": ["x"],
            "n_variants": -1, "n_degrees": 4, "scores": [[2.0] * len(sound.samples)] * len(sound.scores),
        }.items() if name in content),
        b'{"pairs": [0, 0, 0]}', b" " * 2_000_000,
    ]  # fmt: skip
    looks = []
    monkeypatch.setattr(relatedness, "_look", lambda *_: looks.append(1) or sound)
    for text in wrong:
        file.write_bytes(text)
        assert relatedness.look_at(cohorts[0], analysed) == sound
    assert len(looks) == len(wrong)


def test_what_is_kept_is_bounded(cohorts, own_cache, monkeypatch):
    own_cache.mkdir()
    for k in range(205):
        (own_cache / f"{k}.json").write_text("{}")
    relatedness.look_at(cohorts[0], np.arange(100))
    assert len([*own_cache.iterdir()]) == 200


# Commands --------------------------------------------------------------------------------------------------------------


def test_commands_say_it(cohorts, tmp_path, genassoc):
    table = tmp_path / "p.tsv"
    cohorts[1].phenotypes.table.write_csv(table, separator="\t", null_value="NA")
    options = ["--trait", "ldl", "--covar", "age,sex,PC1:PC4", "--model", "linear", "--audit", "0"]
    command = ["assoc", cohorts[1].store.path, table, *options, "--out", tmp_path / "o.parquet"]
    code, _, err = genassoc(*command)
    assert code == 0 and err.count("relatives: among") == 1 and err.count("lambda_GC above") == 1
    code, _, err = genassoc(*command, "--force", "--no-relatedness")
    assert code == 0 and "relatives:" not in err and "lambda_GC above" not in err
    names = cohorts[1].store.variants(0, 300)["rsid"].to_list()
    (tmp_path / "names").write_text("\n".join([*names, "rs404"]))
    code, toml, _ = genassoc(*command, "--variants", tmp_path / "names", "--print-toml")
    assert 'list = "' in toml
    (tmp_path / "gwas.toml").write_text(toml.replace("o.parquet", "p.parquet"))
    code, out, err = genassoc("check", tmp_path / "gwas.toml")
    assert code == 0 and "relatives: among the 482" in out
    assert (
        "300 of 6,000 variants kept: variants of names" in out
        and "1 of 301 variants are not in the store: 'rs404'" in out
    )
    code, out, err = genassoc("run", tmp_path / "gwas.toml")
    assert code == 0 and "300 of 6,000 variants tested" in out
    code, out, err = genassoc("check", tmp_path / "gwas.toml", "--no-relatedness")
    assert code == 0 and "relatives:" not in out


# Lambda ----------------------------------------------------------------------------------------------------------------


def test_the_error_of_lambda_counts_ld():
    rng = np.random.default_rng(1)
    n = np.full(400, 64)
    iid = [inflation._upper(rng.binomial(64, 0.5, 400), n) for _ in range(300)]
    linked = [
        inflation._upper(np.repeat(rng.binomial(4, 0.5, 400), 1) * 16, n) for _ in range(300)
    ]  # 16 rows are as one
    for found, effective in ((iid, 64 * 400), (linked, 4 * 400)):
        z, error = np.array(found).T
        # SE of a median of chi-squared: 1 / (2 f m sqrt(M)); 300 replicates tell a mean SE to 1 %, a SD to 4 %
        assert abs(error.mean() * np.sqrt(effective) / 2.333 - 1) < 0.05
        assert 0.85 < z.std() < 1.2
    assert inflation._upper(np.array([40, 40]), np.array([64, 64])) == (0.0, np.inf)


def test_students_t_has_wider_tails():
    # R: qt(0.999, 39) = 3.3128, qt(0.9999, 39) = 4.1047; the first order leaves 1 %
    assert abs(inflation._quantile(0.999) / 3.3128 - 1) < 0.01 and abs(inflation._quantile(0.9999) / 4.1047 - 1) < 0.015
