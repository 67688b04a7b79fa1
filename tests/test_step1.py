"""Step 1 in files: .loco and pred.list there and back, the command, a killed run, Dask, the wrong input."""

import gzip
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from real_data import real_data
from test_whole_genome import N, draw_codes, draw_table, model_of, store_of

import genassoc as ga

TOML = """
[input]
store = "store.zarr"
phenotypes = "pheno.tsv"
[model]
kind = "{kind}"
traits = [{traits}]
covariates = ["sex", "age"]
[step1]
block_size = 40
{more}
[output]
path = "out.parquet"
"""


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    path = tmp_path_factory.mktemp("step1")
    codes = draw_codes()
    store_of(path, codes)
    draw_table(codes).write_csv(path / "pheno.tsv", separator="\t", null_value="NA")
    return path


def written_toml(folder, name="gwas.toml", traits='"y", "gaps"', kind="linear", more=""):
    path = folder / name
    path.write_text(TOML.format(kind=kind, traits=traits, more=more))
    return path


@pytest.fixture(scope="module")
def cohort(folder):
    return ga.Cohort.align(folder / "store.zarr", folder / "pheno.tsv")


@pytest.fixture(scope="module")
def fitted(cohort):
    return ga.fit_whole_genome(cohort, model_of("y", "gaps"))


def files_of(folder):
    return {path.name: path.read_bytes() for path in folder.iterdir() if path.suffix == ".loco"}


def test_files_give_the_predictions_back(cohort, fitted, tmp_path):
    written = fitted.write(tmp_path / "out")
    assert [path.name for path in written] == ["step1_1.loco", "step1_2.loco", "step1_pred.list"]
    lines = (tmp_path / "out/step1_2.loco").read_text().splitlines()
    observed = [i for i in range(N) if i % 17]
    assert lines[0].split() == ["FID_IID", *(f"S{i}_S{i}" for i in observed)]
    assert [line.split()[0] for line in lines[1:]] == [str(c) for c in range(1, 24)]
    of_line = {line.split()[0]: np.array(line.split()[1:], dtype=float) for line in lines[1:]}
    np.testing.assert_array_equal(of_line["2"], fitted.loco("gaps", "2")[observed])
    np.testing.assert_array_equal(of_line["23"], fitted.loco("gaps")[observed])
    np.testing.assert_array_equal(of_line["9"], of_line["23"])  # no variant of chromosome 9 is in it
    model = ga.Linear(["y", "gaps"], ["sex", "age"])
    direct = ga.associate(cohort, model, offsets=fitted).table
    for given in (tmp_path / "out", tmp_path / "out/step1_pred.list"):
        read = ga.associate(cohort, model, offsets=given).table
        assert read.equals(direct)  # to the last bit
    record = json.loads((tmp_path / "out/step1_pred.list.provenance.json").read_text())
    assert record["parameters"]["model"]["kind"] == "whole_genome"
    assert set(record["files"]) == {"step1_1.loco", "step1_2.loco"}
    assert fitted.write(tmp_path / "out") == written  # the same again: found there
    other = ga.fit_whole_genome(cohort, model_of("y", seed=2))
    with pytest.raises(ga.OutputError, match="of another fit"):
        other.write(tmp_path / "out")
    assert len(other.write(tmp_path / "out", overwrite=True)) == 2


def test_files_keep_the_kind_of_their_traits(cohort, fitted, tmp_path):
    """What predictions in memory refuse and note, the files refuse and note, by the record beside the list."""
    out = tmp_path / "out"
    fitted.write(out)
    same = ["y"], ["sex", "age"]
    for given in (fitted, out, out / "step1_pred.list", out / "step1_1.loco", {"y": out / "step1_1.loco"}):
        with pytest.raises(ga.PhenotypeError, match="are of quantitative traits, and the model is of binary ones"):
            ga.associate(cohort, ga.Logistic(*same), offsets=given)
        one = cohort.keep_variants(ga.variants.in_region("X"))
        notes = ga.associate(one, ga.Linear(*same, rank_normalise=True), offsets=given).provenance["notes"]
        assert any("rank_normalise=True" in note for note in notes)
        notes = ga.associate(one, ga.Linear(*same), offsets=given).provenance["notes"]
        assert not any("rank_normalise" in note for note in notes)
    ranks = ga.fit_whole_genome(cohort, model_of("y", rank_normalise=True))
    ranks.write(tmp_path / "ranks")
    for given in (ranks, tmp_path / "ranks"):
        notes = ga.associate(one, ga.Linear(*same), offsets=given).provenance["notes"]
        assert any("rank_normalise=False" in note for note in notes)
    binary = ga.fit_whole_genome(cohort, model_of("disease", outcome="binary", folds=4))
    binary.write(tmp_path / "binary")
    with pytest.raises(ga.PhenotypeError, match="are of binary traits"):
        ga.associate(cohort, ga.Linear(["disease"]), offsets=tmp_path / "binary")


def test_the_record_of_other_files_says_nothing(cohort, fitted, tmp_path):
    """Another program wrote files of the same names over them: the record is not believed, and that is said; a damaged one is refused."""
    fitted.write(tmp_path)
    path = tmp_path / "step1_1.loco"
    path.write_text(path.read_text() + "\n")
    one = cohort.keep_variants(ga.variants.in_region("X"))
    res = ga.associate(one, ga.Logistic(["disease"]), offsets={"disease": path})
    assert res.provenance["notes"]
    res = ga.associate(one, ga.Linear(["y"]), offsets=tmp_path)
    assert any("is the record of other predictions than step1_1.loco" in note for note in res.provenance["notes"])
    record = tmp_path / "step1_pred.list.provenance.json"
    record.write_text(record.read_text()[:-40])
    with pytest.raises(ga.InputError, match="no record of provenance"):
        ga.associate(one, ga.Linear(["y"]), offsets=tmp_path)
    record.unlink()  # as REGENIE's
    assert ga.associate(one, ga.Linear(["y"]), offsets=tmp_path).table.height > 0


def test_ids_with_underscores_and_families_are_found_again(cohort, tmp_path):
    table = draw_table(draw_codes()).with_columns(FID=pl.Series([f"F_{i // 2}" for i in range(N)]))
    with_families = ga.Cohort.align(cohort.store, table, sample_id="IID")
    found = ga.fit_whole_genome(with_families, model_of("y"))
    found.write(tmp_path / "families")
    assert (tmp_path / "families/step1_1.loco").read_text().split()[1] == "F_0_S0"
    direct = ga.associate(with_families, ga.Linear(["y"], ["sex", "age"]), offsets=found).table
    read = ga.associate(with_families, ga.Linear(["y"], ["sex", "age"]), offsets=tmp_path / "families").table
    np.testing.assert_allclose(read["beta"], direct["beta"], atol=1e-6)  # as above


def test_the_command_writes_what_assoc_reads(folder, fitted, tmp_path, genassoc):
    toml = written_toml(folder)
    out = tmp_path / "loco"
    code, said, told = genassoc("step1", toml, "--out", out)
    assert code == 0, told
    assert "y: 120 samples, 5 folds" in said
    fitted.write(tmp_path / "direct")
    assert files_of(out) == files_of(tmp_path / "direct")
    assert not list(out.glob("*.work"))
    code, said, _ = genassoc("step1", toml, "--out", out)
    assert code == 0
    assert "already holds" in said
    code, _, told = genassoc(
        "assoc", folder / "store.zarr", folder / "pheno.tsv", "--model", "linear", "--trait", "y,gaps", "--covar", "sex,age",
        "--loco", out, "--out", tmp_path / "res.parquet",
    )  # fmt: skip
    assert code == 0, told
    assert "offsets of 'y', 'gaps'" in told
    code, _, told = genassoc("step1", written_toml(folder, "b.toml", more="seed = 2"), "--out", out)
    assert code == 1
    assert "of another fit" in told
    assert genassoc("step1", folder / "b.toml", "--out", out, "--force")[0] == 0


def test_results_need_no_place(folder, tmp_path, genassoc):
    toml = written_toml(folder, "c.toml")
    toml.write_text(toml.read_text().partition("[output]")[0])
    code, _, told = genassoc("step1", toml, "--out", tmp_path / "c")
    assert code == 0, told
    assert genassoc("run", toml)[0] == 1


def test_a_binary_model_of_the_command(folder, tmp_path, genassoc):
    toml = written_toml(folder, "d.toml", '"disease"', "logistic", 'folds = "loocv"')
    code, said, told = genassoc("step1", toml, "--out", tmp_path / "d")
    assert code == 0, told
    assert "each sample from all others" in said
    assert "log likelihood" in said
    code, said, told = genassoc("check", toml)
    assert code == 0, told


@pytest.mark.parametrize(
    ("traits", "kind", "more", "words"),
    [
        ('"flat"', "linear", "", "constant"),
        ('"y"', "linear", "folds = 1", "folds"),
        ('"y"', "linear", "folds = 0.5", "folds"),
        ('"y"', "linear", 'variants = "none.txt"', "none.txt"),
        ('"y"', "linear", 'relatives = "pheno.tsv"', "no column SAMPLE_ID_1"),
        ('"y"', "linear", "block = 3", "block_size"),
        ('"y"', "linear", "maf = 0.6", "0.6"),
        ('"nowhere"', "linear", "", "nowhere"),
    ],
)
def test_wrong_input_leaves_nothing(folder, tmp_path, genassoc, traits, kind, more, words):
    toml = written_toml(folder, "bad.toml", traits, kind, more)
    code, said, told = genassoc("step1", toml, "--out", tmp_path / "bad")
    assert (code, said) == (1, "")
    assert words in told
    assert "Traceback" not in told
    assert not (tmp_path / "bad").exists()


def test_a_folder_without_predictions(folder, cohort, tmp_path, genassoc):
    with pytest.raises(ga.InputError, match="no list of predictions"):
        ga.associate(cohort, ga.Linear(["y"]), offsets=tmp_path)
    command = (
        "assoc",
        folder / "store.zarr",
        folder / "pheno.tsv",
        "--model",
        "linear",
        "--trait",
        "y",
        "--out",
        tmp_path / "r.parquet",
    )
    assert genassoc(*command, "--loco", tmp_path)[0] == 1
    assert genassoc(*command, "--loco", tmp_path / "none")[0] == 2
    assert genassoc(*command, "--loco", tmp_path, "--offsets", tmp_path)[0] == 2
    for name in ("a_pred.list", "b_pred.list"):
        (tmp_path / name).write_text("y y.loco\n")
    with pytest.raises(ga.InputError, match="several lists"):
        ga.associate(cohort, ga.Linear(["y"]), offsets=tmp_path)


def test_parts_of_a_job_array(folder, fitted, tmp_path, genassoc):
    toml, out = written_toml(folder), tmp_path / "parts"
    for part in ("2/3", "1/3", "1/3", "3/3"):
        code, said, told = genassoc("step1", toml, "--out", out, "--part", part)
        assert code == 0, told
        assert "is done" in said
    kept = {path: path.stat().st_mtime_ns for path in out.rglob("pass-2*/part-*.parquet")}
    assert len(kept) == 7
    code, said, told = genassoc("step1", toml, "--out", out)
    assert code == 0, told
    fitted.write(tmp_path / "direct")
    assert files_of(out) == files_of(tmp_path / "direct")
    assert genassoc("step1", toml, "--out", out, "--part", "4/3")[0] == 2
    for parts in ("1/99999999", "1/8"):
        code, said, told = genassoc("step1", toml, "--out", tmp_path / "more", "--part", parts)
        assert (code, said) == (1, "")
        assert "more than the blocks, of which there are 7" in told
    assert not (tmp_path / "more").exists()


@pytest.mark.integration
def test_killed_and_run_again(folder, fitted, tmp_path):
    toml, out = written_toml(folder, "kill.toml"), tmp_path / "k"
    environment = {
        **os.environ,
        "PYTHONPATH": os.pathsep.join([str(Path(__file__).parents[1]), os.environ.get("PYTHONPATH", "")]),
    }
    command = [sys.executable, __file__, str(toml), str(out)]
    with subprocess.Popen(command, env=environment) as process:
        deadline = time.monotonic() + 120
        while len(list(out.rglob("pass-2*/part-*.parquet"))) < 2 and time.monotonic() < deadline:
            time.sleep(0.02)
        process.send_signal(signal.SIGKILL)
    kept = {path: path.stat().st_mtime_ns for path in out.rglob("pass-2*/part-*.parquet")}
    assert 2 <= len(kept) < 7
    assert not (out / "step1_pred.list").exists()
    from genassoc.verbs.config import Config
    from genassoc.verbs.step1 import step1

    step1(Config.read(toml), out)
    fitted.write(tmp_path / "direct")
    assert files_of(out) == files_of(tmp_path / "direct")


@pytest.mark.integration
def test_the_same_bytes_on_dask(cohort, fitted, tmp_path):
    from genassoc.engine.executors_dask import connected

    fitted.write(tmp_path / "direct")
    with connected("local:2") as dask:
        for n, work in enumerate((None, tmp_path / "d.work")):
            found = ga.fit_whole_genome(cohort, model_of("y", "gaps"), executor=dask, work=work)
            found.write(tmp_path / f"dask{n}")
            assert files_of(tmp_path / f"dask{n}") == files_of(tmp_path / "direct")


def test_regenie_s_own_predictions(tmp_path):
    """Its folds, penalties and blocks give its predictions."""
    folder = real_data("kg-genome")
    cohort = ga.Cohort.align(ga.convert(folder / "1000G.489.vcf.gz", tmp_path / "kg.zarr"), folder / "phenotypes.tsv")
    wanted = gzip.decompress((folder / "expected-regenie/step1.snplist.gz").read_bytes()).decode().split()
    cohort = cohort.keep_variants(pl.col("rsid").is_in(wanted))
    covariates = ["PC1", "PC2", "PC3", "PC4"]
    for trait, choices in (
        ("quant", {"fold_order": "store", "folds": 5}),
        ("case", {"outcome": "binary", "folds": "loocv"}),
    ):
        model = ga.WholeGenomeRegression(traits=[trait], covariates=covariates, block_size=500, **choices)
        found = ga.fit_whole_genome(cohort, model)
        text = gzip.decompress((folder / f"expected-regenie/step1_{trait}.loco.gz").read_bytes()).decode()
        header, *rows = [line.split() for line in text.splitlines() if line.strip()]
        at = [found.sample_ids.index(name.split("_")[0]) for name in header[1:]]
        assert np.isnan(np.delete(found.loco(trait), at)).all()
        for chromosome, *values in rows:
            # six digits there, float32 here; penalties down to 1 % of the variants leave a condition of some thousands
            np.testing.assert_allclose(found.loco(trait, chromosome)[at], np.array(values, float), atol=1e-3)


if __name__ == "__main__":
    from genassoc.analyses.whole_genome.ridge import RidgeBlocks
    from genassoc.verbs.config import Config
    from genassoc.verbs.step1 import step1

    quick = RidgeBlocks.block

    def slow(self, state, block):
        time.sleep(0.3)
        return quick(self, state, block)

    RidgeBlocks.block = slow
    step1(Config.read(sys.argv[1]), sys.argv[2])
