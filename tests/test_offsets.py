"""Offsets: read from tables and from REGENIE's files, one chromosome or all; what a model makes of them; what is refused."""

import gzip
import json

import numpy as np
import polars as pl
import pytest
import statsmodels.api as sm
from click.testing import CliRunner
from memory_store import snv_table
from real_data import real_data
from small_cohort import bits

import genassoc as ga
from genassoc.cli.commands import app
from genassoc.data.block import GenotypeBlock
from genassoc.data.cohort.offset_tables import with_offsets
from genassoc.data.store.writer import write_store
from genassoc.models.scan import genome
from genassoc.verbs import job_arrays, runs
from genassoc.verbs.config import Config

N = 180
CONTIGS = ["1"] * 40 + ["2"] * 40 + ["X"] * 24 + ["MT"] * 8
NAMES = ("1", "2", "X")  # of tables; MT has that of X
MODELS = {
    "linear": ga.Linear(["ldl", "hdl"], ["age"]),
    "logistic": ga.Logistic(["t2d"], ["age"], test="wald"),
}


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    """A store of chromosomes 1, 2, X and MT, and phenotypes."""
    folder, rng = tmp_path_factory.mktemp("offsets"), np.random.default_rng(5)
    ids = [f"S{i:03}" for i in range(N)]
    codes = rng.binomial(2, rng.uniform(0.1, 0.5, (len(CONTIGS), 1)), (len(CONTIGS), N)).astype(np.uint8)
    codes[rng.random(codes.shape) < 0.01] = 3
    variants = snv_table(len(CONTIGS)).with_columns(
        chromosome=pl.Series(CONTIGS), base_pair_location=pl.col("base_pair_location") + 5_000_000
    )
    write_store(folder / "store.zarr", ids, [GenotypeBlock.from_codes(codes)], variants, block_variants=16)
    age, polygenic = rng.normal(50, 9, N), rng.normal(0, 1, N)
    table = pl.DataFrame(
        {
            "IID": ids, "age": age, "sex": rng.integers(1, 3, N), "polygenic": polygenic,
            "ldl": 0.02 * age + polygenic + rng.normal(0, 1, N), "hdl": rng.normal(0, 1, N),
            "t2d": (polygenic + rng.logistic(0, 1, N) > 0.5).astype(int),
        }
    ).with_columns(hdl=pl.when(pl.int_range(N) % 9 == 0).then(None).otherwise("hdl"))  # fmt: skip
    table.write_csv(folder / "phenotypes.tsv", separator="\t", null_value="NA")
    return folder


def cohort_of(files):
    return ga.Cohort.align(files / "store.zarr", files / "phenotypes.tsv", sex="sex", build="GRCh38")


def predictions(seed, traits=("ldl", "hdl", "t2d")):
    """A table of predictions, in an order of its own."""
    rng = np.random.default_rng(seed)
    columns = {trait: np.round(rng.normal(0, 0.7, N), 6) for trait in traits}
    return pl.DataFrame({"IID": [f"S{i:03}" for i in range(N)], **columns}).sample(
        fraction=1.0, shuffle=True, seed=seed
    )


@pytest.fixture(scope="module")
def tables():
    return {name: predictions(seed) for seed, name in enumerate(NAMES)}


@pytest.fixture(scope="module")
def by_chromosome(files, tables):
    return {
        kind: ga.associate(cohort_of(files), model, offsets=tables, executor=ga.Serial())
        for kind, model in MODELS.items()
    }


# What a model makes of them -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", MODELS)
def test_an_offset_is_a_column_whose_coefficient_is_one(files, tables, kind):
    found = ga.associate(cohort_of(files), MODELS[kind], offsets=tables["1"]).table.filter(pl.col("chromosome") == "1")
    codes = cohort_of(files).read(0, 40).codes().astype(float)
    phenotypes = cohort_of(files).phenotypes.table
    given = phenotypes.join(tables["1"], on="IID", maintain_order="left", suffix="_offset")
    family = sm.families.Gaussian() if kind == "linear" else sm.families.Binomial()
    for row in found.rows(named=True)[::7]:
        g = codes[row["base_pair_location"] // 10 - 500_001]
        use = (g < 3) & given[row["trait"]].is_not_null().to_numpy()
        X = np.column_stack([np.ones(N), given["age"], g])[use]
        fit = sm.GLM(
            given[row["trait"]].to_numpy()[use], X, family, offset=given[row["trait"] + "_offset"].to_numpy()[use]
        )
        fit = fit.fit(tol=1e-12)
        # 1e-5 of a standard error: the bar of float32 products of the linear model
        assert abs(row["beta"] - fit.params[2]) < 1e-5 * fit.bse[2], row["variant_id"]
        assert row["standard_error"] == pytest.approx(fit.bse[2], rel=2e-5)


@pytest.mark.parametrize("kind", MODELS)
def test_a_chromosome_has_the_rows_of_its_table_alone(files, tables, by_chromosome, kind):
    rows = by_chromosome[kind].table
    for contig, name in {"1": "1", "2": "2", "X": "X", "MT": "X"}.items():
        alone = ga.associate(cohort_of(files), MODELS[kind], offsets=tables[name]).table
        here = pl.col("chromosome") == contig
        assert bits(rows.filter(here)) == bits(alone.filter(here)), contig
    without = ga.associate(cohort_of(files), MODELS[kind]).table
    assert rows["beta"].to_list() != without["beta"].to_list()


def test_zeros_are_no_offset(files):
    zeros = predictions(0).with_columns(ldl=0.0, hdl=0.0)
    one = ga.associate(cohort_of(files), MODELS["linear"], offsets=zeros).table
    assert bits(one) == bits(ga.associate(cohort_of(files), MODELS["linear"]).table)


def test_the_same_bytes_however_it_is_run(files, tables, by_chromosome, tmp_path):
    expected = bits(by_chromosome["linear"].table)
    many = ga.associate(cohort_of(files), MODELS["linear"], offsets=tables, executor=ga.Threads(3), memory="4GiB")
    assert bits(many.table) == expected
    for name, table in tables.items():
        table.write_csv(tmp_path / f"chr{name}.tsv", separator="\t")
    config = Config.of(
        {
            "input": {"store": str(files / "store.zarr"), "phenotypes": str(files / "phenotypes.tsv"), "sex": "sex", "build": "GRCh38"},
            "model": {"kind": "linear", "traits": ["ldl", "hdl"], "covariates": ["age"]},
            "offsets": {"path": "chr{chromosome}.tsv"},
            "output": {"path": "run.parquet"},
        },
        "test", tmp_path,
    )  # fmt: skip
    assert Config.parse(config.to_toml(), "again", tmp_path).offset_path == config.offset_path
    assert bits(runs.run_config(config).table) == expected
    job_arrays.make_plan(config, tmp_path / "work", 3)
    for part in (2, 0, 1):
        job_arrays.do_part(tmp_path / "work", part)
    job_arrays.merge_parts(tmp_path / "work", tmp_path / "merged.parquet")
    assert (tmp_path / "merged.parquet").read_bytes() == (tmp_path / "run.parquet").read_bytes()
    lines = (tmp_path / "chr2.tsv").read_text().splitlines()
    (tmp_path / "chr2.tsv").write_text(
        "\n".join([lines[0], "S000\t1\t2\t3", *[x for x in lines[1:] if "S000" not in x]])
    )
    with pytest.raises(ga.PlanError, match="offsets"):
        job_arrays.do_part(tmp_path / "work", 0)
    with pytest.raises(ga.OutputError, match="offsets differ"):
        runs.run_config(config)


@pytest.mark.parametrize("kind", MODELS)
def test_rows_are_audited_and_explained_with_the_offset_of_their_chromosome(files, tables, tmp_path, kind):
    for name, table in tables.items():
        table.write_csv(tmp_path / f"chr{name}.tsv", separator="\t")
    out = tmp_path / "out.parquet"
    cohort = ga.Cohort.align(files / "store.zarr", files / "phenotypes.tsv", sex="sex", build="GRCh38")
    ga.associate(cohort, MODELS[kind], offsets=str(tmp_path / "chr{chromosome}.tsv"), out=out, audit=60)
    again = ga.Results.read(out)
    audit = again.provenance["audit"]
    assert audit["passed"] and audit["rows"] > 50, audit["line"]
    row = again.table.filter((pl.col("chromosome") == "2") & pl.col("code").is_null()).row(3, named=True)
    explained = str(ga.explain(again, row["variant_id"], trait=row["trait"]))  # the cohort is made again from the files
    assert f"In {row['n']} samples" in explained
    table = tables["2"].with_columns(pl.col("ldl", "t2d") + 0.5)
    table.write_csv(tmp_path / "chr2.tsv", separator="\t")
    with pytest.raises(ga.InputError, match=r"the offsets of .* are no longer what the results were computed from"):
        ga.explain(ga.Results.read(out), row["variant_id"], trait=row["trait"])


@pytest.mark.integration
def test_workers_of_dask_fit_their_own_nulls(files, tables, by_chromosome):
    from genassoc.engine.executors_dask import connected

    with connected("local:2") as dask:
        found = ga.associate(cohort_of(files), MODELS["logistic"], offsets=tables, executor=dask)
    assert bits(found.table) == bits(by_chromosome["logistic"].table)


def test_a_process_keeps_the_nulls_of_few_chromosomes(files, tables, monkeypatch):
    monkeypatch.setattr(genome, "KEPT_NULLS", 2)
    cohort = with_offsets(cohort_of(files), tables, ["ldl"], "quantitative")
    scan = genome.Scan(ga.Linear("ldl", ["age"]))
    state = scan.prepare(cohort)
    for at in (0, 40, 80, 104, 0):
        scan.block(state, cohort.read(at, at + 8))
        assert len(state.by_contig._kept) <= 2
    with pytest.raises(ValueError, match="one chromosome at a time"):
        scan.block(state, cohort.read(36, 44))


# Samples -------------------------------------------------------------------------------------------------------------


def test_samples_without_a_prediction_are_left_out_and_named(files, tables):
    lacking = pl.col("IID").is_in(["S001", "S002"])
    second = tables["2"].with_columns(
        ldl=pl.when(lacking).then(None).otherwise("ldl"),
        hdl=pl.when(pl.col("IID") == "S002").then(None).otherwise("hdl"),
    )
    given = {**tables, "2": second, "X": tables["X"].filter(pl.col("IID") != "S003")}
    results = ga.associate(cohort_of(files), MODELS["linear"], offsets=given)
    assert results.provenance["samples"]["analysed"] == {"ldl": N - 3, "hdl": N - 20 - 2}
    n = results.table.filter(pl.col("trait") == "ldl").group_by("chromosome").agg(pl.max("n"))
    assert n["n"].max() <= N - 3  # of a chromosome that lacks nobody's prediction too
    notes = "\n".join(results.provenance["notes"])
    assert "3 samples have no prediction of ldl and are left out of its analysis: S001, S002, S003" in notes
    ledger = with_offsets(cohort_of(files), given, ["ldl", "hdl"], "quantitative").sample_ledger
    rows = ledger.filter(pl.col("reason") == "no_prediction").select("id", "status", "detail").rows()
    assert rows == [
        ("S001", "kept", "no prediction of ldl"),
        ("S002", "dropped", "no prediction of ldl, hdl"),
        ("S003", "dropped", "no prediction of ldl, hdl"),
    ]


def test_the_digest_is_of_the_content(files, tables, tmp_path):
    def digest(given):
        return with_offsets(cohort_of(files), given, ["ldl"], "quantitative").offsets.digest

    tidy = pl.concat([table.with_columns(chromosome=pl.lit(f"chr{name}")) for name, table in tables.items()])
    for name, table in tables.items():
        table.sort("IID", descending=True).write_csv(tmp_path / f"{name}.csv")
    tidy.write_parquet(tmp_path / "tidy.parquet")
    paths = {name: tmp_path / f"{name}.csv" for name in tables}
    assert digest(tables) == digest(paths)  # other files, names and order of rows
    changed = {**tables, "2": tables["2"].with_columns(ldl=pl.col("ldl") + 1e-9)}
    assert digest(changed) != digest(tables)
    assert with_offsets(cohort_of(files), tmp_path / "tidy.parquet", ["ldl"], "quantitative").offsets.chromosomes == {
        "1": "chr1", "2": "chr2", "X": "chrX", "MT": "chrX",
    }  # fmt: skip


# What is refused -----------------------------------------------------------------------------------------------------


def refused(files, given, words, model=MODELS["linear"]):
    with pytest.raises(ga.GenassocError, match=words):
        ga.associate(cohort_of(files), model, offsets=given)


def test_what_is_wrong_is_named_by_its_place(files, tables, tmp_path):
    def written(*lines):
        path = tmp_path / "offsets.tsv"
        path.write_text("\n".join("\t".join(line) for line in lines) + "\n")
        return path

    head = ("IID", "ldl", "hdl")
    refused(files, written(("IID", "ldl"), ("S001", "1")), r"offsets.tsv.*'hdl'.*prediction")
    refused(
        files, written(head, ("S001", "1", "2"), ("S002", "inf", "2")), r"offsets.tsv.*'ldl'.*line 3 \(sample S002\)"
    )
    refused(
        files,
        written(head, ("S001", "1", "2"), ("S002", "1", "?")),
        r"offsets.tsv, line 3 \(sample S002\): '\?' in the column 'hdl' is no number; write predictions with a decimal point",
    )
    refused(files, written(head, ("S001", "1", "2"), ("S001", "1", "2")), r"offsets.tsv.*'S001' \(lines 2, 3\)")
    refused(files, written(head, ("T1", "1", "2")), "0 of 180")
    keyed = ("IID", "chromosome", "ldl", "hdl")
    refused(
        files, written(keyed, ("S001", "1", "1", "2"), ("S001", "1", "1", "2")), r"chromosome 1.*'S001' \(lines 2, 3\)"
    )
    refused(files, written(keyed, ("S001", "1", "1", "2"), ("S001", "", "1", "2")), "line 3.*names no chromosome")
    refused(
        files, {name: tables[name] for name in ("1", "X")}, "no prediction of chromosome 2, which has variants to test"
    )
    refused(files, {name: tables[name] for name in ("1", "2")}, "name it X or all")
    refused(files, {**tables, "chr1": tables["1"]}, "'1', 'chr1' all name chromosome 1")
    refused(files, tmp_path / "{chromosome}.gone", "no file of any chromosome")
    refused(files, tmp_path / f"{'a' * 5000}{{chromosome}}", "no file of any chromosome")
    refused(files, tmp_path / ("a" * 5000), "a.*cannot be read")
    refused(files, {}, "names no table")
    refused(
        files, written(head, ("S001", "1", "NA"), ("S002", "1", "NA")), "no sample .* the trait 'hdl' has a prediction"
    )
    cohort = with_offsets(cohort_of(files), tables["1"], ["ldl"], "quantitative")
    with pytest.raises(ga.PhenotypeError, match="no prediction of 'hdl'"):
        ga.associate(cohort, MODELS["linear"])
    some = {name: tables[name] for name in ("1", "2")}
    chosen = cohort_of(files).keep_variants(ga.variants.in_region("1", "2"))
    assert ga.associate(chosen, MODELS["linear"], offsets=some).table["chromosome"].unique().sort().to_list() == [
        "1",
        "2",
    ]


# REGENIE's files ------------------------------------------------------------------------------------------------------


def write_loco(path, tables, trait, ids=None):
    """REGENIE's layout: a header of samples, a line a chromosome."""
    first = next(iter(tables.values()))
    lines = [" ".join(["FID_IID", *(ids or [f"F_{name}" for name in first["IID"]])])]
    for name, table in tables.items():
        values = first.select("IID").join(table, on="IID", maintain_order="left")[trait]
        lines.append(" ".join(["23" if name == "X" else name, *(f"{value:.6g}" for value in values)]))
    path.write_text("\n".join(lines) + "\n")
    return path


def test_regenie_lists_and_files(files, tables, tmp_path):
    folder = tmp_path / "moved"
    folder.mkdir()
    for number, trait in enumerate(("ldl", "hdl"), 1):
        write_loco(folder / f"fit_{number}.loco", tables, trait)
    (folder / "fit_pred.list").write_text("hdl /gone/fit_2.loco\nldl /gone/fit_1.loco\nother /gone/fit_3.loco\n")
    listed = with_offsets(cohort_of(files), folder / "fit_pred.list", ["ldl", "hdl"], "quantitative").offsets
    mapped = {"ldl": folder / "fit_1.loco", "hdl": folder / "fit_2.loco"}
    assert with_offsets(cohort_of(files), mapped, ["ldl", "hdl"], "quantitative").offsets.digest == listed.digest
    assert listed.unit == "residual_sd" and listed.chromosomes["MT"] == "23"
    tidy = with_offsets(cohort_of(files), tables, ["ldl", "hdl"], "quantitative").offsets
    for ours, theirs in (("1", "1"), ("2", "2"), ("X", "23")):
        np.testing.assert_allclose(listed.values[theirs], tidy.values[ours], rtol=1e-5)  # six digits are printed
    binary = with_offsets(cohort_of(files), write_loco(tmp_path / "t2d.loco", tables, "t2d"), ["t2d"], "binary").offsets
    assert binary.unit == "trait"
    refused(files, folder / "fit_1.loco", "predictions of one trait, and the model has 2")
    refused(files, folder / "fit_pred.list", "no file of predictions is listed for 't2d'", ga.Logistic("t2d"))


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("secret.txt", "secret.txt, line 1: this is no file of REGENIE's predictions"),
        ("two words.loco", "pred.list, line 1: 3 fields in place of a trait"),
        ("a\0b", "cannot be read"),
        ("a" * 5000, "cannot be read"),
        ("/dev/zero", "no plain file"),
        ("x_pred.list", "no file of REGENIE's predictions"),
    ],
)
def test_lists_of_strangers_are_refused_in_words(files, tmp_path, name, words):
    (tmp_path / "secret.txt").write_text("root:x:0:0:hidden\n")
    path = tmp_path / "x_pred.list"
    path.write_text(f"\ufeffldl {name}\n")
    with pytest.raises(ga.GenassocError, match=words) as refusal:
        with_offsets(cohort_of(files), path, ["ldl"], "quantitative")
    assert "hidden" not in str(refusal.value) and len(str(refusal.value)) < 1000


def test_what_is_wrong_in_regenie_files_is_named_by_its_place(files, tables, tmp_path):
    path, model = tmp_path / "a.loco", ga.Linear("ldl")
    lines = write_loco(path, tables, "ldl").read_text().splitlines()

    def edited(number, change):
        changed = [change(line.split()) if i == number else line.split() for i, line in enumerate(lines, 1)]
        path.write_text("\n".join(" ".join(fields) for fields in changed) + "\n")
        return path

    refused(
        files, edited(3, lambda f: [*f[:4], "inf", *f[5:]]), r"a.loco, line 3, column 5 \(sample F_S\d+\): 'inf'", model
    )
    refused(files, edited(3, lambda f: [*f[:4], "1,5", *f[5:]]), r"line 3, column 5 \(sample F_S\d+\): '1,5'", model)
    refused(files, edited(3, lambda f: f[:-1]), "line 3: 179 predictions of 180 samples", model)
    refused(
        files,
        edited(1, lambda f: [*f[:2], f[1], *f[3:]]),
        r"line 1: the sample F_S\d+ is there twice, in columns 2 and 3",
        model,
    )
    refused(files, edited(3, lambda f: ["1", *f[1:]]), "line 3: chromosome 1 is there twice", model)
    refused(files, edited(1, lambda f: [*f[:1], *(f"{name}x" for name in f[1:])]), "none of its 180 samples", model)
    refused(files, edited(1, lambda f: [*f[:1], "A_S000", "B_S000", *f[3:]]), "all FID_IID of an IID S000", model)
    refused(files, edited(3, lambda f: [*f[:4], "1_0", *f[5:]]), r"line 3, column 5 \(sample F_S\d+\): '1_0'", model)
    missing = edited(3, lambda f: [*f[:4], "NA", *f[5:]])
    assert ga.associate(cohort_of(files), model, offsets=missing).provenance["samples"]["analysed"] == {"ldl": N - 1}


@pytest.mark.parametrize(("kind", "file"), [("quant", "step2_loco_quant"), ("case", "step2_loco_case_firth_approx")])
def test_step_2_of_regenie_with_its_predictions(tmp_path_factory, tmp_path, kind, file):
    """REGENIE 4.1.2 with its own LOCO predictions, `like="regenie"`: three chromosomes of 1000 Genomes."""
    folder = real_data("kg-genome")
    store = ga.convert(folder / "1000G.489.vcf.gz", tmp_path / "kg.zarr", region=["2:1-60000000", "21", "22"])
    with gzip.open(folder / f"expected-regenie/step1_{kind}.loco.gz", "rt") as text:
        (tmp_path / "step1.loco").write_text(text.read())
    choose = ga.Linear if kind == "quant" else ga.Logistic
    model = choose([kind], ["PC1:PC4"], like="regenie", min_mac=10)
    cohort = ga.Cohort.align(store, folder / "phenotypes.tsv", missing_codes=[])
    ours = ga.associate(cohort, model, offsets=tmp_path / "step1.loco").table
    theirs = pl.read_csv(
        folder / f"expected-regenie/{file}.regenie.gz",
        separator=" ",
        null_values="NA",
        schema_overrides={"CHROM": pl.String},
    )
    both = ours.join(theirs, left_on=["chromosome", "base_pair_location", "rsid"], right_on=["CHROM", "GENPOS", "ID"])
    assert both.height > 3000
    sign = pl.when(pl.col("ALLELE1") == pl.col("effect_allele")).then(1).otherwise(-1)
    beta = both.select(
        (pl.col("beta") - sign * pl.col("BETA")).abs() / pl.max_horizontal(pl.col("BETA").abs(), "SE")
    ).to_series()
    logp = both.select(
        (pl.col("neg_log_10_p_value") - pl.col("LOG10P")).abs() / pl.max_horizontal(1.0, "LOG10P")
    ).to_series()
    # Six digits are printed; Firth's approximation stops at 1e-4 there. REGENIE does not take the covariates out of the
    # quantitative offset again, which is 1e-4 of chi-squared.
    assert beta.max() < 3e-4 and logp.max() < (6e-4 if kind == "quant" else 1e-4)
    assert beta.median() < 1e-6


# The command line ----------------------------------------------------------------------------------------------------


def test_the_command_line_takes_a_file(files, tables, tmp_path):
    tables["1"].write_csv(tmp_path / "offsets.tsv", separator="\t")
    options = [
        "--model",
        "linear",
        "--trait",
        "ldl",
        "--covar",
        "age",
        "--region",
        "1",
        "--out",
        str(tmp_path / "out.parquet"),
    ]
    command = [
        "assoc",
        str(files / "store.zarr"),
        str(files / "phenotypes.tsv"),
        "--offsets",
        str(tmp_path / "offsets.tsv"),
        *options,
    ]
    done = CliRunner().invoke(app, command)
    assert done.exit_code == 0, done.output
    record = json.loads((tmp_path / "out.parquet.provenance.json").read_text())
    assert record["inputs"]["offsets"]["files"] == [str(tmp_path / "offsets.tsv")]
    assert record["inputs"]["offsets"]["by_chromosome"] is False and len(record["inputs"]["offsets"]["digest"]) == 16
    assert "offsets of 'ldl'" in " ".join(record["notes"])
    printed = CliRunner().invoke(app, [*command, "--print-toml"]).output
    assert f'[offsets]\npath = "{tmp_path}/offsets.tsv"' in printed
    (tmp_path / "gwas.toml").write_text(printed.replace("offsets.tsv", "gone.tsv"))
    checked = CliRunner().invoke(app, ["check", str(tmp_path / "gwas.toml")])
    assert checked.exit_code == 1 and "gone.tsv: there is no such file" in checked.output
