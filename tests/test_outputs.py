"""Outputs never take the place of what is read, lie in no store or work folder, and never hold nothing in silence."""

import os
import signal
import subprocess
import sys
import time

import polars as pl
import pytest
from commands import assoc, edited, refused
from small_cohort import make_files

import genassoc as ga
from genassoc.data.output import check_outputs
from genassoc.errors import GenassocError, InputError, OutputError


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    return make_files(tmp_path_factory.mktemp("cohort"))


def write_config(files, path, **changes):
    tables = {
        "input": {"store": str(files.store), "phenotypes": str(files.phenotypes)},
        "model": {"kind": "linear", "traits": ["ldl"]},
        "output": {"path": str(path.parent / "o.parquet")},
    }
    for section, table in changes.items():
        tables.setdefault(section, {}).update(table)
    import tomli_w

    path.write_text(tomli_w.dumps(tables))
    return path


# The guard ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["tsv", "parquet"])
def test_the_phenotypes_are_never_overwritten(files, tmp_path, genassoc, kind):
    table = tmp_path / f"p.{kind}"
    frame = pl.read_csv(files.phenotypes, separator="\t", null_values="NA")
    frame.write_parquet(table) if kind == "parquet" else table.write_bytes(files.phenotypes.read_bytes())
    before = table.read_bytes()
    link = tmp_path / f"link.{kind}"
    link.symlink_to(table)
    for out in (table, link, tmp_path / "absent" / ".." / table.name):
        if ".." in out.parts:
            (tmp_path / "absent").mkdir()
        refused(genassoc(*assoc(files, out, phenotypes=table)), None, "read by this very command")
    config = write_config(files, tmp_path / "g.toml", input={"phenotypes": str(table)}, output={"path": table.name})
    for command in (["run", config], ["check", config], ["plan", config, tmp_path / "w0", "--parts", 1]):
        refused(genassoc(*command), None, "read by this very command")
    cohort = ga.Cohort.align(ga.open_store(files.store), table)
    with pytest.raises(OutputError, match="read by this very command"):
        ga.associate(cohort, ga.Linear(["ldl"]), out=table)
    config = write_config(files, tmp_path / "h.toml", input={"phenotypes": str(table)})
    assert genassoc("plan", config, tmp_path / "work", "--parts", 1)[0] == 0
    assert genassoc("part", tmp_path / "work", 0)[0] == 0
    refused(genassoc("merge", tmp_path / "work", table), None, "read by this very command")
    refused(genassoc("merge", tmp_path / "work", tmp_path / "work" / "o.tsv"), None, "work folder")
    assert table.read_bytes() == before
    assert genassoc("merge", tmp_path / "work", tmp_path / "o.tsv")[0] == 0
    assert genassoc("merge", tmp_path / "work", tmp_path / "o.tsv")[0] == 0  # older results may be replaced


def test_joined_tables_are_inputs_too(files, tmp_path):
    more = tmp_path / "more.tsv"
    ids = pl.read_csv(files.phenotypes, separator="\t", infer_schema=False)["IID"]
    more.write_text(pl.DataFrame({"IID": ids, "batch": range(len(ids))}).write_csv(separator="\t"))
    cohort = ga.Cohort.align(files.store, files.phenotypes).with_covariates(more)
    with pytest.raises(OutputError, match="very command"):
        ga.associate(cohort, ga.Linear(["ldl"], ["batch"]), out=more)


def test_nothing_is_written_into_a_store(files, tmp_path, genassoc):
    inside = files.store / "x.tsv"
    refused(genassoc(*assoc(files, inside)), None, "genotype store")
    refused(genassoc("qc", files.store, "--out", inside), None, "genotype store")
    refused(genassoc("convert", files.vcf, files.store / "y.zarr"), None, "genotype store")
    config = write_config(files, tmp_path / "g.toml")
    refused(genassoc("plan", config, files.store / "work", "--parts", 2), None, "genotype store")
    assert genassoc(*assoc(files, tmp_path / "r.tsv"))[0] == 0
    refused(genassoc("plot", tmp_path / "r.tsv", "--out", files.store / "plots"), None, "genotype store")
    assert not inside.exists() and not (files.store / "y.zarr").exists()
    ga.open_store(files.store)


def test_a_dialect_of_any_name_spares_the_vcf(files, genassoc):
    before = files.vcf.read_bytes()
    refused(genassoc(*assoc(files, files.vcf, "--dialect", "regenie")), None, "is a VCF")
    assert files.vcf.read_bytes() == before


def test_two_outputs_are_two_files(files, tmp_path, genassoc):
    out = tmp_path / "same.tsv"
    refused(genassoc("qc", files.store, "--out", out, "--samples-out", out), out, "asked for twice")
    with pytest.raises(OutputError, match="twice"):
        check_outputs([tmp_path / "a", tmp_path / "b" / ".." / "a"])


def test_a_demo_overwrites_no_files_of_others(files, tmp_path, genassoc):
    (tmp_path / "phenotypes.tsv").write_text("mine")
    small = ["--samples", 60, "--variants", 300]
    refused(genassoc("demo", tmp_path, *small), None, "phenotypes.tsv", "no demo made")
    refused(genassoc("demo", files.store, *small), None, "genotype store")
    assert (tmp_path / "phenotypes.tsv").read_text() == "mine"


# Nothing to test ---------------------------------------------------------------------------------------------------


def test_a_run_in_which_no_variant_is_left_fails(files, tmp_path, genassoc):
    out = tmp_path / "o.parquet"
    result = genassoc(*assoc(files, out, "--mac", 599, "--maf", 0.01))
    refused(result, out, "no variant is left", "maf_above(0.01) left out", "mac_above(599) left out", "2,400")
    assert genassoc(*assoc(files, out))[0] == 0  # other filters are not refused because of what was left
    config = write_config(files, tmp_path / "g.toml", variants={"mac": 599})
    assert genassoc("plan", config, tmp_path / "work", "--parts", 1)[0] == 0
    assert genassoc("part", tmp_path / "work", 0)[0] == 0
    refused(genassoc("merge", tmp_path / "work", tmp_path / "m.tsv"), tmp_path / "m.tsv", "mac_above(599)")
    config = write_config(files, tmp_path / "e.toml", variants={"region": ["1:1-2"]})
    refused(genassoc("check", config), None, "no variant is left", "1:1-2")


@pytest.mark.parametrize(
    ("flag", "value"), [("--maf", 0.6), ("--maf", "nan"), ("--mac", -1), ("--mac", "nan"), ("--hwe", 5), ("--hwe", -1)]
)
def test_impossible_thresholds_are_refused(files, tmp_path, genassoc, flag, value):
    refused(genassoc(*assoc(files, tmp_path / "o.tsv", flag, value)), tmp_path / "o.tsv", "the bound is", str(value))


def test_a_percentage_is_no_fraction():
    with pytest.raises(InputError, match="no minor allele is more frequent"):
        ga.variants.maf_above(5)
    with pytest.raises(InputError, match="number"):
        ga.variants.mac_above("5")


# Samples and parts, told -------------------------------------------------------------------------------------------


def test_lost_samples_are_told(files, tmp_path, genassoc):
    def change(table):
        extra = table.head(2).with_columns(IID=pl.lit("Z") + pl.col("IID"))
        some = pl.int_range(pl.len())
        table = table.with_columns(
            ldl=pl.when(some < 7).then(pl.lit("NA")).otherwise(pl.int_range(pl.len()).cast(pl.String)),
            age=pl.when(some == 20).then(pl.lit("NA")).otherwise("age"),
            half=(some % 2).cast(pl.String),
        )
        return pl.concat([table.slice(0, table.height - 3), extra], how="diagonal")

    table = edited(files, tmp_path, change)
    result = genassoc(*assoc(files, tmp_path / "o.tsv", "--covar", "age", phenotypes=table, trait="ldl,half"))
    assert result[0] == 0, result[2]
    line = "289 of 300 genotyped samples analysed for ldl: 3 have no phenotypes, 1 lack a covariate, 7 lack ldl"
    assert line in " ".join(result[1].split())  # cut at 80 columns
    assert "2 samples of the phenotypes have no genotypes" in result[1]
    assert "half has only two values, 0 and 1" in result[2] and "logistic" in result[2]


def test_more_parts_than_tasks_are_told(files, tmp_path, genassoc):
    config = write_config(files, tmp_path / "g.toml")
    result = genassoc("plan", config, tmp_path / "work", "--parts", 50)
    assert result[0] == 0 and "3 tasks: more than 3 parts do not help" in result[1]


def test_more_covariates_than_samples(files, tmp_path, genassoc):
    def change(table):
        few = pl.int_range(pl.len()) < 6
        return table.with_columns(ldl=pl.when(few).then("ldl").otherwise(pl.lit("NA")), full=pl.col("ldl_change"))

    table = edited(files, tmp_path, change)
    out = tmp_path / "o.tsv"
    covariates = ["--covar", "age,PC1:PC4"]
    refused(genassoc(*assoc(files, out, *covariates, phenotypes=table)), out, "too few samples: ", "6 columns")
    config = write_config(
        files, tmp_path / "g.toml", input={"phenotypes": str(table)}, model={"covariates": ["age", "PC1:PC4"]}
    )
    refused(genassoc("check", config), None, "too few samples")
    result = genassoc(*assoc(files, out, *covariates, phenotypes=table, trait="ldl,ldl_before"))
    assert result[0] == 0 and "too few for" in result[2]


# A store that is made again -----------------------------------------------------------------------------------------


def test_an_edited_vcf_is_converted_again_with_force(files, tmp_path, genassoc):
    import gzip

    text = gzip.decompress(files.vcf.read_bytes()).decode()
    vcf = tmp_path / "x.vcf"
    vcf.write_text(text)
    out = tmp_path / "o.tsv"
    assert genassoc(*assoc(files, out, store=vcf))[0] == 0
    vcf.write_text("\n".join(text.split("\n")[:-100]) + "\n")
    refused(genassoc(*assoc(files, out, store=vcf)), None, "--force", "overwrite=True")
    assert genassoc(*assoc(files, out, "--force", store=vcf))[0] == 0
    assert ga.open_store(tmp_path / "x.zarr").n_variants == 2400 - 99


# check, all at once -------------------------------------------------------------------------------------------------


def test_problems_of_all_layers_at_once(files, tmp_path, genassoc):
    config = write_config(
        files,
        tmp_path / "g.toml",
        input={"phenotype": "x"},
        model={"traits": ["ldl", "tall", "sex"], "covariates": ["age", "weight", "hips"], "min_mac": True, "rank": 1},
        variants={"maf": 0.7, "hwe": -1, "region": ["77"]},
        output={"path": "nowhere/o.parquet"},
    )
    words = [
        "'phenotype'", "tall", "weight", "hips", "min_mac", "'rank'", "maf_above(0.7)", "hwe_above(-1", "'77'", "nowhere",
    ]  # fmt: skip
    refused(genassoc("check", config), None, *words)
    config = write_config(
        files, tmp_path / "h.toml", model={"covariates": ["age", "hips"]}, input={"store": "absent.zarr"}
    )
    refused(genassoc("check", config), None, "absent.zarr", "hips")
    text = config.read_text().replace("traits", "trait")
    config.write_text(text)
    for command in ("check", "run"):
        refused(genassoc(command, config), None, "needs 'traits'", "is 'traits' meant?")


@pytest.mark.parametrize(
    ("choices", "word"),
    [
        ({"rank_normalise": "no"}, "rank_normalise is true or false"),
        ({"min_mac": True}, "min_mac"),
        ({"min_mac": "7"}, "min_mac"),
        ({"min_mac": float("nan")}, "min_mac"),
        ({"min_mac": -1}, "min_mac"),
        ({"traits": 5}, "traits is a list of names"),
        ({"traits": [5]}, "write '5' in quotes"),
        ({"covariates": 7}, "covariates is a list of names"),
        ({"covariates": ["PC1", 3]}, "write '3' in quotes"),
        ({"missing": 1}, "missing is one of"),
        ({"kind": "logistic", "correct_below": "0.05"}, "correct_below"),
        ({"kind": "logistic", "test": ["wald"]}, "test is one of"),
        ({"kind": 3}, "no such model"),
    ],
)
def test_choices_of_the_wrong_type(files, tmp_path, genassoc, choices, word):
    config = write_config(files, tmp_path / "g.toml", model=choices)
    for command in ("run", "check"):
        refused(genassoc(command, config), tmp_path / "o.parquet", word)


def test_a_byte_order_mark_is_no_matter(files, tmp_path, genassoc):
    config = write_config(files, tmp_path / "g.toml")
    config.write_bytes(b"\xef\xbb\xbf" + config.read_bytes())
    assert genassoc("check", config)[0] == 0


# Names, versions, other formats ------------------------------------------------------------------------------------


def test_names_with_commas_and_repeated_traits(files, tmp_path, genassoc):
    table = tmp_path / "p.parquet"
    frame = pl.read_csv(files.phenotypes, separator="\t", null_values="NA").rename({"ldl": "LDL, fasting"})
    frame.write_parquet(table)
    out = tmp_path / "o.parquet"
    result = genassoc(*assoc(files, out, "--trait", "ldl_before", phenotypes=table, trait='"LDL, fasting"'))
    assert result[0] == 0, result[2]
    assert ga.Results.read(out).traits == ["LDL, fasting", "ldl_before"]


def test_version_and_module(genassoc):
    printed = subprocess.run(
        [sys.executable, "-m", "genassoc", "--version"], capture_output=True, text=True, check=True
    )
    assert printed.stdout.strip() == ga.__version__ == genassoc("--version")[1].strip()


def test_min_overlap_is_a_flag(files, tmp_path, genassoc):
    def change(table):
        return table.with_columns(
            IID=pl.when(pl.int_range(pl.len()) < 100).then("IID").otherwise(pl.lit("Z") + pl.col("IID"))
        )

    table = edited(files, tmp_path, change)
    refused(genassoc(*assoc(files, tmp_path / "o.tsv", phenotypes=table)), tmp_path / "o.tsv")
    assert genassoc(*assoc(files, tmp_path / "o.tsv", "--min-overlap", 0.2, phenotypes=table))[0] == 0


def test_pipes_are_refused_by_name(tmp_path, genassoc):
    os.mkfifo(tmp_path / "pipe")
    for given in ("-", tmp_path / "pipe"):
        refused(genassoc("convert", given, tmp_path / "o.zarr"), tmp_path / "o.zarr", "a pipe cannot be converted")


def test_a_damaged_store_says_what_is_damaged(files, tmp_path, genassoc):
    import shutil

    shutil.copytree(files.store, tmp_path / "c.zarr")
    for meta in sorted((tmp_path / "c.zarr").glob("*/zarr.json")):
        text = meta.read_text()
        meta.unlink()
        refused(genassoc("info", tmp_path / "c.zarr"), None, "is damaged", meta.parent.name, "convert the input again")
        meta.write_text(text[:30])
        refused(genassoc("info", tmp_path / "c.zarr"), None, "is damaged", meta.parent.name, "convert the input again")
        meta.write_text(text)


@pytest.mark.integration
def test_ctrl_c_says_what_is_left(files, tmp_path):
    code = (
        "import sys, time; from genassoc import cli; from genassoc.verbs import quality\n"
        "def wait(*a, **k): print('here', flush=True); time.sleep(60)\n"
        "quality.open_store = wait; cli.main()"
    )
    command = [sys.executable, "-c", code, "qc", files.store, "--out", tmp_path / "q.tsv"]
    child = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    assert child.stdout.readline().strip() == "here"
    time.sleep(0.2)
    child.send_signal(signal.SIGINT)
    _, errors = child.communicate(timeout=30)
    assert child.returncode == 130 and "interrupted" in errors and "Traceback" not in errors


# Arguments ---------------------------------------------------------------------------------------------------------


def test_arguments_of_the_wrong_kind_are_named(files, tmp_path):
    store = ga.open_store(files.store)
    cohort = ga.Cohort.align(files.store, files.phenotypes)  # a path is opened
    model = ga.Linear(["ldl"])
    calls = {
        "is a Cohort, not a GenotypeStore": lambda: ga.associate(store, model),
        "is a Cohort, not a DataFrame": lambda: ga.associate(pl.DataFrame(), model),
        "the cohort comes first": lambda: ga.associate(model, cohort),
        "not a dict": lambda: ga.associate(cohort, {"traits": ["ldl"]}),
        "not Linear": lambda: ga.associate(cohort, ga.Linear),
        "is a Cohort, not a GenotypeStor": lambda: ga.variant_qc(store),
        r"executor=genassoc.Threads\(8\)": lambda: ga.associate(cohort, model, executor=8),
        "whole number such as 8, not '2'": lambda: ga.Threads("2"),
        "not a int": lambda: ga.open_store(5),
        "not Cohort": lambda: ga.Cohort.align(cohort, files.phenotypes),
    }
    for words, call in calls.items():
        with pytest.raises(TypeError, match=words):
            call()
    results = ga.associate(cohort.keep_variants(ga.variants.in_region("1")), model)
    with pytest.raises(GenassocError, match="at least 0, not -1"):
        results.top(-1)
    with pytest.raises(ValueError, match="traits is a list"):
        ga.Linear(5)


def test_arrays_hold_the_variants_that_are_kept(files):
    pytest.importorskip("dask.array")
    cohort = ga.Cohort.align(files.store, files.phenotypes)
    kept = cohort.keep_variants(ga.variants.maf_above(0.05)).keep_variants(ga.variants.in_region("1", "3"))
    whole = ga.to_dask(cohort).compute()
    numbers = ga.variant_qc(cohort)
    expected = ((numbers["maf"] >= 0.05) & numbers["chromosome"].is_in(["1", "3"])).to_numpy()
    assert 0 < expected.sum() < expected.size and whole.shape[0] == 2400
    array = ga.to_dask(kept)
    assert array.shape == (expected.sum(), 300)
    assert (array.compute() == whole[expected]).all()
    # Both in one graph: the names of their tasks must differ.
    import dask

    one, two = dask.compute(ga.to_dask(cohort), ga.to_dask(cohort.keep_samples(list(cohort.sample_ids[:200]))))
    assert (one[:, :200] == two).all()
    nothing = cohort.keep_variants(ga.variants.mac_above(599))
    assert ga.to_dask(nothing).shape == (0, 300)
    pytest.importorskip("allel")
    calls = ga.to_allel(kept).to_n_alt(fill=-1)
    assert (calls == whole[expected]).all()
    assert ga.to_allel(kept, 100, 300).shape[0] == expected[100:300].sum()
