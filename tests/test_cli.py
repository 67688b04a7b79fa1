"""The commands as a user types them: what they print, what they leave, how they fail."""

import gzip
import json
import os
import subprocess
import sys
from pathlib import Path

import polars as pl
import pytest
from commands import assoc, edited, refused
from small_cohort import make_files


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    return make_files(tmp_path_factory.mktemp("cohort"))


# What works --------------------------------------------------------------------------------------------------------


def test_from_vcf_to_plots(files, tmp_path, genassoc):
    store, out = tmp_path / "c.zarr", tmp_path / "ldl.parquet"
    code, printed, _ = genassoc("convert", files.vcf, store, "--threads", 2)
    assert code == 0 and "2,400 variants x 300 samples" in printed
    code, printed, _ = genassoc("convert", files.vcf, store)
    assert code == 0 and "nothing to do" in printed
    code, printed, _ = genassoc("info", store, "--json")
    assert code == 0 and json.loads(printed)["n_variants"] == 2400
    code, printed, _ = genassoc("info", store)
    assert code == 0 and "2,400 variants x 300 samples" in printed
    code, printed, errors = genassoc(*assoc(files, out, "--covar", "age,sex,PC1:PC4", "--maf", 0.01, store=store))
    assert code == 0, errors
    assert "lambda_GC" in printed and "left out by maf_above(0.01)" in printed
    assert pl.read_parquet(out).height > 500
    record = json.loads((tmp_path / "ldl.parquet.provenance.json").read_text())
    assert record["variants"]["read"] == 2400
    assert record["variants"]["kept"] + sum(record["variants"]["dropped"].values()) == 2400
    assert record["samples"]["analysed"]["ldl"] <= 300
    code, printed, _ = genassoc("plot", out, "--out", tmp_path / "plots")
    assert code == 0
    assert {Path(line).name for line in printed.split()} == {"ldl.manhattan.png", "ldl.qq.png"}
    assert all(path.stat().st_size > 5000 for path in (tmp_path / "plots").iterdir())


def test_qc(files, tmp_path, genassoc):
    code, _, _ = genassoc(
        "qc", files.store, "--out", tmp_path / "qc.parquet", "--samples-out", tmp_path / "samples.tsv"
    )
    assert code == 0
    variants = pl.read_parquet(tmp_path / "qc.parquet")
    samples = pl.read_csv(tmp_path / "samples.tsv", separator="\t", null_values="NA")
    assert variants.height == 2400 and samples.height == 300
    # Two ways to count the calls that are missing.
    missing = (variants["missing_rate"] * 300).sum()
    assert abs(missing - (samples["missing_rate"] * 2400).sum()) < 1e-6
    hets = (samples["heterozygosity"] * samples["n_variants"]).sum()
    assert abs(hets - variants["n_het"].sum()) < 1e-6
    assert variants["hwe_p"].is_between(0, 1).all()


def test_qc_of_a_phenotype_file_and_in_controls(files, tmp_path, genassoc):
    out = tmp_path / "qc.parquet"
    code, _, errors = genassoc(
        "qc", files.store, "--out", out, "--pheno", files.phenotypes, "--cases", "t2d", "--sex", "sex"
    )
    assert code == 0, errors
    table = pl.read_parquet(out)
    assert {"hwe_p_controls", "hwe_midp_controls", "missing_rate_controls"} <= set(table.columns)
    assert table["hwe_p_controls"].is_between(0, 1).all()
    assert (table["hwe_p_controls"] != table["hwe_p"]).any()
    refused(genassoc("qc", files.store, "--out", tmp_path / "b.tsv", "--cases", "t2d"), tmp_path / "b.tsv", "--pheno")
    wrong = genassoc("qc", files.store, "--out", tmp_path / "c.tsv", "--pheno", files.phenotypes, "--cases", "ldl")
    refused(wrong, tmp_path / "c.tsv", "ldl", "0/1")


def test_a_disease_in_one_line_and_as_toml(files, tmp_path, genassoc):
    out = tmp_path / "t2d.parquet"
    flags = assoc(files, out, "--covar", "age,sex,PC1:PC2", "--maf", 0.01, trait="t2d", model="logistic")
    code, printed, errors = genassoc(*flags)
    assert code == 0, errors
    assert "cases" in errors and "controls" in errors  # the coding that was recognised
    assert "lambda_GC" in printed
    table = pl.read_parquet(out)
    assert {"score", "firth_approx"} <= set(table["method"].drop_nulls())
    assert (table["n_cases"] + table["n_controls"] == table["n"]).all()
    below = table.filter(pl.col("method").str.starts_with("score"))
    assert below["neg_log_10_p_value"].max() < 1.302  # p = 0.05: all rows below it were corrected
    config = tmp_path / "gwas.toml"
    config.write_text(genassoc(*flags, "--print-toml")[1].replace("t2d.parquet", "b.parquet"))
    assert genassoc("check", config)[0] == 0
    assert genassoc("run", config)[0] == 0
    assert (tmp_path / "b.parquet").read_bytes() == out.read_bytes()


@pytest.mark.parametrize(
    ("flags", "methods", "model"),
    [
        (["--correction", "none"], {"score", "score_approx"}, {"correction": None}),
        (["--test", "wald", "--correction", "none"], {"wald"}, {"test": "wald", "correction": None}),
        (["--correction", "firth", "--correct-below", 1, "--min-mac", 10], {"firth", "exact"}, {"correct_below": 1.0}),
        (["--like", "plink2"], {"wald", "firth"}, {"like": "plink2", "missing": "auto"}),
        (["--like", "regenie", "--correction", "spa"], {"score", "spa"}, {"like": "regenie", "missing": "auto"}),
        (
            ["--like", "regenie", "--missing", "complete"],
            {"score", "score_approx", "firth_approx"},
            {"missing": "complete"},
        ),
    ],
    ids=["score alone", "wald", "firth for all", "plink2", "regenie", "regenie, complete"],
)
def test_choices_of_a_disease(files, tmp_path, genassoc, flags, methods, model):
    out = tmp_path / "o.parquet"
    code, _, errors = genassoc(*assoc(files, out, "--maf", 0.02, *flags, trait="t2d", model="logistic"))
    assert code == 0, errors
    assert set(pl.read_parquet(out)["method"].drop_nulls()) <= methods
    chosen = json.loads((tmp_path / "o.parquet.provenance.json").read_text())["parameters"]["model"]
    assert chosen.items() >= {"kind": "logistic", **model}.items()


def test_choices_that_do_not_fit_the_model(files, tmp_path, genassoc):
    out = tmp_path / "o.parquet"
    disease = {"trait": "t2d", "model": "logistic"}
    refused(genassoc(*assoc(files, out, "--test", "wald")), out, "linear has no choice 'test'", "cox", code=2)
    refused(
        genassoc(*assoc(files, out, "--rank-normalise", **disease)),
        out,
        "logistic has no choice 'rank_normalise'",
        code=2,
    )
    refused(genassoc(*assoc(files, out, "--correction", "bayes", **disease)), out, "firth_approx", "bayes")
    refused(genassoc(*assoc(files, out, "--like", "saige", **disease)), out, "plink2", "saige")
    refused(genassoc(*assoc(files, out, trait="ldl", model="logistic")), out, "ldl")
    refused(genassoc(*assoc(files, out, trait="ldl", model="probit")), out, "probit", "linear", "ordinal", code=2)


def test_toml_flags_and_job_array_are_one_thing(files, tmp_path, genassoc):
    flags = assoc(files, tmp_path / "a.parquet", "--covar", "~ age + C(sex)", "--maf", 0.01, "--missing", "mean")
    code, text, _ = genassoc(*flags, "--print-toml")
    assert code == 0
    config = tmp_path / "gwas.toml"
    config.write_text(text.replace("a.parquet", "b.parquet"))
    assert genassoc(*flags)[0] == 0
    code, printed, _ = genassoc("check", config)
    assert code == 0 and "no problem found" in printed and "memory" in printed
    assert genassoc("run", config)[0] == 0
    assert (tmp_path / "a.parquet").read_bytes() == (tmp_path / "b.parquet").read_bytes()
    work = tmp_path / "work"
    code, printed, _ = genassoc("plan", config, work, "--parts", 2, "--json")
    assert code == 0 and json.loads(printed)["n_parts"] == 2
    assert genassoc("part", work, 0)[0] == 0
    code, printed, _ = genassoc("status", work)
    assert code == 0 and "missing parts: 1" in printed
    code, _, errors = genassoc("merge", work, tmp_path / "c.parquet")
    assert code == 1 and "no finished part" in errors
    assert genassoc("part", work, 1)[0] == 0
    assert genassoc("merge", work, tmp_path / "c.parquet")[0] == 0
    assert (tmp_path / "a.parquet").read_bytes() == (tmp_path / "c.parquet").read_bytes()


def test_merge_writes_the_dialect_that_was_planned(files, tmp_path, genassoc):
    flags = assoc(files, tmp_path / "one.regenie", "--dialect", "regenie", "--print-toml")
    config = tmp_path / "g.toml"
    config.write_text(genassoc(*flags)[1])
    assert genassoc("run", config)[0] == 0
    assert genassoc("plan", config, tmp_path / "work", "--parts", 1)[0] == 0
    assert genassoc("part", tmp_path / "work", 0)[0] == 0
    code, printed, _ = genassoc("merge", tmp_path / "work", tmp_path / "two.regenie")
    assert code == 0 and "two.regenie" in printed and "two.parquet" in printed
    for name in ("one.parquet", "one.regenie"):
        assert (tmp_path / name).read_bytes() == (tmp_path / name.replace("one", "two")).read_bytes()


def test_a_vcf_is_converted_first_and_the_store_kept(files, tmp_path, genassoc):
    code, _, _ = genassoc(*assoc(files, tmp_path / "a.tsv", store=files.vcf))
    assert code == 0 and (tmp_path / "cohort.zarr").is_dir()
    assert (
        (tmp_path / "a.tsv").read_text().startswith("chromosome\tbase_pair_location\teffect_allele\tother_allele\tbeta")
    )


def test_demo(tmp_path, genassoc):
    code, printed, errors = genassoc("demo", tmp_path / "d", "--samples", 900, "--variants", 3000, "--threads", 2)
    assert code == 0, errors
    assert "planted effects" in printed and "found" in printed
    assert {"ldl.manhattan.png", "ldl_change.qq.png", "ldl.parquet", "truth.tsv"} <= {
        p.name for p in (tmp_path / "d").iterdir()
    }
    again = genassoc("demo", tmp_path / "d", "--samples", 900, "--variants", 3000)
    assert again[0] == 0 and "is there already" in again[1]
    assert "planted effects" in again[1]


# What fails, and how -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda t: t.with_columns(IID="X_" + pl.col("IID")), ["X_S001", "S001"]),
        (lambda t: t.with_columns(IID=pl.col("IID") + "_" + pl.col("IID")), ["S001_S001"]),
        (lambda t: t.with_columns(IID=pl.col("IID").str.to_lowercase()), ["case"]),
        (lambda t: pl.concat([t, t.head(2)]), ["S001", "S002"]),
        (lambda t: t.with_columns(ldl=pl.lit("3.5")), ["ldl", "3.5", "constant"]),
        (
            lambda t: t.with_columns(ldl=pl.when(pl.col("IID") == "S003").then(pl.lit("-9")).otherwise("ldl")),
            ["ldl", "-9"],
        ),
        (
            lambda t: t.with_columns(ldl=pl.when(pl.col("IID") == "S004").then(pl.lit("high")).otherwise("ldl")),
            ["ldl", "high"],
        ),
        (
            lambda t: t.with_columns(ldl=pl.when(pl.col("IID") == "S004").then(pl.lit("inf")).otherwise("ldl")),
            ["ldl", "inf"],
        ),
        (lambda t: t.rename({"ldl": "LDL_C"}), ["ldl"]),
        (lambda t: t.with_columns(ldl=pl.lit("NA")), ["ldl"]),
        (lambda t: t.clear(), []),
    ],
    ids=[
        "prefix",
        "doubled",
        "case",
        "duplicated",
        "constant",
        "minus9",
        "text",
        "infinite",
        "absent",
        "missing",
        "empty",
    ],
)
def test_phenotypes_that_cannot_be_used(files, tmp_path, genassoc, change, words):
    out = tmp_path / "o.parquet"
    result = genassoc(*assoc(files, out, phenotypes=edited(files, tmp_path, change)))
    refused(result, out, *words)


def test_a_declared_minus_nine_is_missing(files, tmp_path, genassoc):
    table = edited(
        files,
        tmp_path,
        lambda t: t.with_columns(ldl=pl.when(pl.col("IID") == "S003").then(pl.lit("-9")).otherwise("ldl")),
    )
    code, _, errors = genassoc(*assoc(files, tmp_path / "o.tsv", "--missing-code", "-9", phenotypes=table))
    assert code == 0, errors


def test_a_covariate_that_copies_another_is_dropped_by_name(files, tmp_path, genassoc):
    table = edited(files, tmp_path, lambda t: t.with_columns(age2=pl.col("age")))
    code, _, errors = genassoc(*assoc(files, tmp_path / "a.parquet", "--covar", "age,age2,sex", phenotypes=table))
    assert code == 0 and "age2" in errors and "dropped" in errors
    notes = json.loads((tmp_path / "a.parquet.provenance.json").read_text())["notes"]
    assert any("age2" in note for note in notes)
    assert genassoc(*assoc(files, tmp_path / "b.parquet", "--covar", "age,sex", phenotypes=table))[0] == 0
    a, b = (pl.read_parquet(tmp_path / name) for name in ("a.parquet", "b.parquet"))
    assert a.equals(b)


def test_inputs_that_are_not_what_they_say(files, tmp_path, genassoc):
    text = gzip.decompress(files.vcf.read_bytes())
    (tmp_path / "plain.vcf.gz").write_bytes(text)
    (tmp_path / "cut.vcf.gz").write_bytes(files.vcf.read_bytes()[:20_000])
    (tmp_path / "one.vcf").write_bytes(text)
    other = text.replace(b"\n2\t", b"\nchr2\t").replace(b"\n1\t", b"\nchr1\t").replace(b"\n3\t", b"\nchr3\t")
    (tmp_path / "two.vcf").write_bytes(other.replace(b"contig=<ID=", b"contig=<ID=chr"))
    out = tmp_path / "o.zarr"
    refused(genassoc("convert", tmp_path / "plain.vcf.gz", out), out, "plain.vcf.gz", "not compressed")
    refused(genassoc("convert", tmp_path / "cut.vcf.gz", out), out, "cut.vcf.gz", "truncated")
    refused(genassoc("convert", tmp_path / "one.vcf", tmp_path / "two.vcf", out), out, "chr")
    refused(genassoc("convert", tmp_path / "absent.vcf", out), out, "absent.vcf")
    header = text.split(b"\n#CHROM")[0]
    twice = text.replace(b"\tS002\t", b"\tS001\t", 1)
    assert header and twice != text
    (tmp_path / "twice.vcf").write_bytes(twice)
    refused(genassoc("convert", tmp_path / "twice.vcf", out), out, "S001")


def test_outputs_that_cannot_be_written(files, tmp_path, genassoc):
    (tmp_path / "file").write_text("")
    refused(genassoc(*assoc(files, tmp_path / "absent" / "o.parquet")), None, "absent")
    refused(genassoc(*assoc(files, tmp_path / "file" / "o.parquet")), None, "file")
    refused(genassoc(*assoc(files, tmp_path / "o.xlsx")), tmp_path / "o.xlsx", ".parquet")
    refused(genassoc("convert", files.vcf, tmp_path / "file" / "o.zarr"), None, "file")
    refused(genassoc("demo", tmp_path / "file" / "demo", "--samples", 20, "--variants", 300), None, "file")
    refused(genassoc("plot", tmp_path / "absent.parquet", "--out", tmp_path / "plots"), None, "absent.parquet")


@pytest.mark.skipif(os.geteuid() != 0 or sys.platform != "linux", reason="mounting a small disk needs root on Linux")
def test_a_full_disk(files, tmp_path, genassoc):
    disk = tmp_path / "disk"
    disk.mkdir()
    if subprocess.run(["mount", "-t", "tmpfs", "-o", "size=60k", "tmpfs", disk], capture_output=True).returncode:
        pytest.skip("a small disk cannot be mounted here")
    try:
        refused(genassoc("convert", files.vcf, disk / "o.zarr"), None, "space")
        assert not (disk / "o.zarr").exists()
        refused(genassoc(*assoc(files, disk / "o.parquet")), None, "space")
        assert not (disk / "o.parquet").exists()
        refused(genassoc("qc", files.store, "--out", disk / "qc.parquet"), disk / "qc.parquet", "space")
    finally:
        subprocess.run(["umount", disk], check=True)


def test_usage_errors_leave_with_2(files, tmp_path, genassoc):
    refused(genassoc("assoc"), None, code=2)
    refused(genassoc("convert", files.vcf), None, "store", code=2)
    refused(genassoc("nonsense"), None, code=2)
    refused(genassoc(*assoc(files, tmp_path / "o.parquet", "--threads", 0)), None, code=2)


def test_every_problem_of_a_toml_at_once(files, tmp_path, genassoc):
    config = tmp_path / "gwas.toml"
    config.write_text(
        '[input]\nstore = "x.zarr"\nphenotype = "p.tsv"\n[model]\nkind = "linear"\n[variants]\nmaf = "low"\n[output]\npath = "o.parquet"\n'
    )
    refused(genassoc("check", config), None, "'phenotypes'", "phenotype", "'traits'", "maf")
    config.write_text(
        f'[input]\nstore = "{files.store}"\nphenotypes = "{files.phenotypes}"\n[model]\nkind = "linear"\n'
        'traits = ["ldl", "height"]\ncovariates = ["age", "weight"]\n[output]\npath = "nowhere/o.parquet"\n'
    )
    refused(genassoc("check", config), None, "height", "weight", "nowhere")
    config.write_text("[input\n")
    refused(genassoc("run", config), None, "no TOML")
    config.write_text(
        f'[input]\nstore = "{files.store}"\nphenotypes = "{files.phenotypes}"\n[model]\nkind = "linear"\n'
        'traits = ["ldl"]\ncovariate = ["age"]\n[output]\npath = "o.parquet"\n'
    )
    refused(genassoc("run", config), None, "covariate", "covariates")


def test_a_flaw_of_ours_is_a_message_too(files, tmp_path, genassoc, monkeypatch):
    monkeypatch.setattr("genassoc.verbs.describe.store_lines", lambda *chosen: 1 / 0)
    refused(genassoc("info", files.store), None, "defect", "ZeroDivisionError")


@pytest.mark.integration
def test_help_and_import_are_light():
    heavy = "import sys, genassoc.cli; print([m for m in ('numpy', 'numba', 'polars', 'zarr', 'pysam', 'matplotlib') if m in sys.modules])"
    printed = subprocess.run([sys.executable, "-c", heavy], capture_output=True, text=True, check=True).stdout
    assert printed.strip() == "[]"
