"""Of a run of sets: its score statistics in a file, a gene explained by dense formulas, pictures of genes."""

from pathlib import Path

import numpy as np
import polars as pl
import pytest

import genassoc as ga
from genassoc.errors import GenassocError, InputError, OutputError
from genassoc.formats.score_statistics.tables import open_scores
from genassoc.plots.genes import gene_rows
from genassoc.plots.lollipop import spread

OPTIONS = {"max_maf": (0.01, 0.05), "collapse_below": 0, "tests": ("burden", "skat", "skato")}


@pytest.fixture(scope="module")
def genes(tmp_path_factory):
    folder = tmp_path_factory.mktemp("genes")
    made = ga.simulate_genes(
        n_samples=900, n_genes=6, variants_per_gene=10, n_cases=300, max_frequency=0.03, n_chromosomes=2, seed=3
    )
    made.write_store(folder / "c.zarr")
    paths = made.write_sets(folder / "genes")
    cohort = ga.Cohort.align(ga.open_store(folder / "c.zarr"), paths["phenotypes"])
    sets = ga.read_sets(paths["sets"], paths["annotations"], paths["masks"])
    results = {
        name: ga.associate_sets(
            cohort, model, sets, out=folder / f"{name}.parquet", scores_out=folder / f"{name}.scores.parquet", relatedness=False, **OPTIONS
        )
        for name, model in (
            ("biomarker", ga.Linear(["biomarker"], covariates=["age", "sex"])), ("disease", ga.Logistic(["disease"], covariates=["age", "sex"])),
        )
    }  # fmt: skip
    return folder, paths, cohort, sets, results


def joined(genes, trait: str) -> pl.DataFrame:
    folder, _, _, sets, results = genes
    meta = ga.meta_sets([folder / f"{trait}.scores.parquet"], sets, **OPTIONS)
    keys = ["set_id", "mask", "max_maf", "trait", "test"]
    rows = results[trait].table.filter(
        pl.col("test").is_in(["skat", "skato"]) & pl.col("neg_log_10_p_value").is_not_null()
    )
    return rows.join(meta.table, on=keys, suffix="_meta", how="left")


@pytest.mark.parametrize("trait", ["biomarker", "disease"])
def test_meta_of_one_cohort_is_its_run(genes, trait):
    rows = joined(genes, trait)
    by_scores = rows.filter(pl.col("method") == pl.col("method_meta"))  # exact laws of few events need the genotypes
    assert by_scores.height > 5
    # the same scores, added in another order; SKAT-O is integrated
    np.testing.assert_allclose(
        by_scores["neg_log_10_p_value"], by_scores["neg_log_10_p_value_meta"], rtol=1e-8, atol=1e-12
    )
    skat = rows.filter((pl.col("test") == "skat") & pl.col("code_meta").is_null())
    np.testing.assert_allclose(skat["statistic"], skat["statistic_meta"], rtol=1e-9)
    assert rows.filter(pl.col("n_variants") != pl.col("n_variants_meta")).is_empty()


def test_scores_are_the_same_bytes_and_are_kept(genes, tmp_path):
    folder, _, cohort, sets, _ = genes
    model = ga.Linear(["biomarker"], covariates=["age", "sex"])
    again = tmp_path / "s.parquet"
    ga.associate_sets(cohort, model, sets, scores_out=again, executor=ga.Serial(), relatedness=False, **OPTIONS)
    assert again.read_bytes() == (folder / "biomarker.scores.parquet").read_bytes()
    with pytest.warns(ga.ReusedWarning):
        ga.associate_sets(cohort, model, sets, scores_out=again, relatedness=False, **OPTIONS)
    with pytest.raises(OutputError, match=r"written as \.parquet"):
        ga.associate_sets(cohort, model, sets, scores_out=tmp_path / "s.tsv", **OPTIONS)
    table = pl.read_parquet(again)
    assert set(table.columns).isdisjoint({"sample_id", "samples"}) and table["n"].unique().to_list() == [900]
    assert open_scores(again).sets.height == 6


@pytest.mark.parametrize(
    ("column", "value", "words"),
    [
        ("n", -1, "n is absent"),
        ("n_events", 2**40, "n_events is below 0 or above n"),
        ("allele_number", None, "allele_number is absent"),
        ("allele_count", float("nan"), "allele_count is absent"),
        ("n_carriers", 2**62, "n_carriers is below 0"),
        ("n_event_carriers", -1, "n_event_carriers is below 0"),
        ("other_allele", None, "an allele is absent"),
    ],
)
def test_counts_of_a_file_of_scores_are_not_trusted(genes, tmp_path, column, value, words):
    table = pl.read_parquet(genes[0] / "disease.scores.parquet")
    one = pl.when(pl.int_range(pl.len()) == 3).then(pl.lit(value, table.schema[column])).otherwise(column)
    table.with_columns(one.alias(column)).write_parquet(tmp_path / "s.parquet")
    with pytest.raises(InputError, match=words):
        open_scores(tmp_path / "s.parquet")


def test_a_cohort_does_not_count_twice(genes, tmp_path):
    path = genes[0] / "disease.scores.parquet"
    (tmp_path / "copy.parquet").write_bytes(path.read_bytes())
    with pytest.raises(InputError, match="A and B are the same file"):
        ga.meta_sets({"A": path, "B": path})
    with pytest.raises(InputError, match="has the very content of"):
        ga.meta_sets({"A": path, "B": tmp_path / "copy.parquet"})


@pytest.mark.parametrize("trait", ["biomarker", "disease"])
def test_a_gene_explained(genes, trait, tmp_path):
    _, _, _, sets, results = genes
    rows = results[trait].table.filter(pl.col("method").is_in(["inversion"]) & (pl.col("test") == "skat"))
    row = rows.row(0, named=True)
    explained = ga.explain(results[trait], row["set_id"], mask=row["mask"], max_maf=row["max_maf"])
    skat = explained.tests.filter(pl.col("test") == "skat").row(0, named=True)
    assert skat["neg_log_10_p_value"] == pytest.approx(
        row["neg_log_10_p_value"], rel=1e-6
    )  # dense against carriers, nulls to 1e-10
    assert explained.variants.height == row["n_variants"] and explained.variants["mac"].sum() == row["mac"]
    assert explained.tests.height == 9 and explained.tests["neg_log_10_p_value"].is_not_null().all()
    if trait == "disease":
        counts = explained.variants.select("n_carriers", "n_carriers_cases", "n_carriers_controls").to_numpy()
        assert (counts[:, 0] == counts[:, 1] + counts[:, 2]).all() and explained.n_cases == 300
    names = [path.name for path in explained.write(tmp_path)]
    assert len(names) == 5 and names[-1].endswith(".png") and (tmp_path / names[-1]).stat().st_size > 10_000
    assert "SKAT" in explained.text and "In the results the smallest p is of" in explained.text
    fewer = sets.with_masks({row["mask"]: sets.masks[row["mask"]]})
    other = ga.explain(results[trait], row["set_id"], mask=row["mask"], max_maf=row["max_maf"], sets=fewer)
    assert "these are not the sets of the run" in other.text


def test_a_gene_with_weights_of_a_column_and_a_trait_that_not_all_have(genes, tmp_path):
    """Bins and weights go by the whole cohort, and weights of a column are those of the run."""
    folder, paths, _, sets, _ = genes
    table = pl.read_csv(paths["phenotypes"], separator="\t", infer_schema_length=None)
    some = pl.when(pl.int_range(pl.len()) % 3 > 0).then("biomarker").alias("biomarker")
    table.with_columns(some).write_csv(tmp_path / "some.tsv", separator="\t", null_value="NA")
    cohort = ga.Cohort.align(folder / "c.zarr", tmp_path / "some.tsv")
    named = sets.table.with_columns(
        pl.col("set_id", "annotation").cast(pl.String), CADD=pl.int_range(pl.len()) % 7 * 1.0
    )
    weighted = ga.read_sets(named, masks=sets.masks)
    results = ga.associate_sets(
        cohort,
        ga.Linear(["biomarker"], ["age", "sex"]),
        weighted,
        weights="CADD",
        calibrated=False,
        relatedness=False,
        **OPTIONS,
    )
    for row in (
        results.table.filter(pl.col("method") == "inversion", pl.col("test") == "skat").head(4).iter_rows(named=True)
    ):
        found = ga.explain(results, row["set_id"], mask=row["mask"], max_maf=row["max_maf"])
        assert not any("not the sets of the run" in note for note in found.notes)
        assert found.variants["weight"].is_in([0.0, 1, 2, 3, 4, 5, 6]).all()
        tests = found.tests.filter(pl.col("test").is_in(["skat", "skato"]) | (pl.col("kind") == "fitted")).drop_nulls(
            "in_results"
        )
        # genotypes of a burden are held in 2**-16 steps of their range
        np.testing.assert_allclose(tests["neg_log_10_p_value"], tests["in_results"], rtol=1e-4)
    with pytest.raises(GenassocError, match="no weights called 'CADD'"):
        ga.explain(results, row["set_id"], sets=sets)


def test_leave_one_out_is_the_test_of_the_rest(genes):
    explained = ga.explain(genes[4]["biomarker"], "GENE0001", mask="pLoF_missense", max_maf=0.05)
    assert explained.variants["skat_without"].is_not_null().all()
    best = explained.variants.sort("skat_without")["neg_log_10_p_value"]
    assert best[0] == pytest.approx(
        explained.variants["neg_log_10_p_value"].max(), rel=0.5
    )  # what weighs most is among the strongest


def test_small_counts_are_not_shown(genes):
    whole = ga.explain(genes[4]["disease"], "GENE0001", mask="pLoF_missense", max_maf=0.05).variants
    masked = ga.explain(genes[4]["disease"], "GENE0001", mask="pLoF_missense", max_maf=0.05, policy="ukb").variants
    few = ((whole["n_carriers_cases"].is_between(1, 4)) | (whole["n_carriers_controls"].is_between(1, 4))).to_numpy()
    assert few.any()
    for name in ("n_carriers", "n_carriers_cases", "n_carriers_controls", "mac", "maf", "weight"):
        assert masked[name].is_null().to_numpy()[few].all()


def test_the_commands(genes, tmp_path, genassoc):
    folder, paths, *_ = genes
    sets = ["--sets", paths["sets"], "--annotations", paths["annotations"], "--masks", paths["masks"]]
    code, said, errors = genassoc(
        "explain", folder / "disease.parquet", "GENE0002", *sets, "--mask", "pLoF_missense", "--max-maf", "0.05"
    )
    assert "GENE0002 and disease: mask pLoF_missense" in said and code == 0, errors
    out = tmp_path / "meta.tsv"
    code, said, errors = genassoc(
        "meta", f"A={folder / 'disease.scores.parquet'}", *sets, "--tests", "skat", "--max-maf", "0.05", "--out", out
    )
    assert "Bonferroni's bound" in said and code == 0 and out.exists() and Path(f"{out}.variants.tsv.gz").exists()


def test_what_a_gene_cannot_be_is_said(genes):
    results = genes[4]["disease"]
    with pytest.raises(GenassocError, match="no set 'NOSUCH'"):
        ga.explain(results, "NOSUCH")
    with pytest.raises(GenassocError, match="no row of mask 'x'"):
        ga.explain(results, "GENE0001", mask="x")


def gene_table() -> pl.DataFrame:
    rng = np.random.default_rng(1)
    rows = [
        (f"G{g}", str(1 + g % 3), 1000 * g, 1000 * g + 500, mask, bound, "y", "skat", float(p), None)
        for g in range(60) for mask in ("pLoF", "synonymous") for bound, p in zip((0.001, 0.01), -np.log10(rng.random(2)))
    ]  # fmt: skip
    names = ["set_id", "chromosome", "start", "end", "mask", "max_maf", "trait", "test", "neg_log_10_p_value", "code"]
    table = pl.DataFrame(rows, schema=names, orient="row")
    strong = (pl.col("set_id").is_in(["G7", "G10"])) & (pl.col("mask") == "pLoF")
    return table.with_columns(neg_log_10_p_value=pl.when(strong).then(9.0).otherwise("neg_log_10_p_value"))


def test_manhattan_of_genes_has_a_point_a_gene():
    table = gene_table()
    genes = gene_rows(table, trait=None, test=None)
    assert genes.n_tests == 240 and genes.rows.collect().height == 60
    best = dict(table.group_by("set_id").agg(pl.col("neg_log_10_p_value").max()).iter_rows())
    drawn = dict(genes.rows.select("variant_id", "neg_log_10_p_value").collect().iter_rows())
    assert drawn == best
    ax = ga.plots.manhattan(table)
    # neighbours are both named, though they lie within what is one locus of variants
    assert {"G7", "G10"} <= {text.get_text() for text in ax.texts}
    assert any("p = 0.00021" in text.get_text() for text in ax.texts)  # 0.05 / 240
    with pytest.raises(GenassocError, match="there is no mask 'x'"):
        ga.plots.manhattan(table, mask="x")


def test_qq_by_mask_has_a_lambda_each():
    ax = ga.plots.qq(gene_table(), by="mask")
    labels = [text.get_text() for text in ax.get_legend().get_texts()]
    assert [label.split(":")[0] for label in labels[1:]] == ["pLoF", "synonymous"] and all(
        "lambda" in label for label in labels[1:]
    )


def test_names_of_a_lollipop_do_not_touch():
    centres, widths = np.array([5.0, 6.0, 7.0, 95.0]), np.array([20.0, 20.0, 20.0, 20.0])
    placed = spread(centres, widths, 100.0)
    assert (np.diff(placed) >= 20.0 - 1e-9).all() and placed[0] >= 10.0 - 1e-9 and placed[-1] <= 90.0 + 1e-9
