"""Sets of variants from end to end: rows against dense numpy, the same bytes whoever runs them, what is refused and what is coded."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import gene_cohort
import numpy as np
import polars as pl
import pytest
from gene_cohort import COVARIATES, Column, Files, rows_of, run
from scipy import stats
from small_cohort import rewrite_store

import genassoc as ga
from genassoc.data.sets.matched import match_sets
from genassoc.data.store.writer import write_store
from genassoc.models.sets.choices import SetChoices
from genassoc.stats.quadratic_forms import neg_log_10_p_quadratic

BINS = (0.005, 0.05)


@pytest.fixture(scope="module")
def files(tmp_path_factory) -> Files:
    return gene_cohort.make_files(tmp_path_factory.mktemp("genes"))


@pytest.fixture(scope="module")
def reference(files, tmp_path_factory):
    out = tmp_path_factory.mktemp("reference") / "sets.parquet"
    results = run(files, out, ga.Serial())
    return out.read_bytes(), results


@pytest.fixture(scope="module")
def codes(files):
    store = ga.open_store(files.store)
    return store.read(0, store.n_variants).codes()


def columns_of(files, codes):
    """Set, mask, bin and dense column of all masks that somebody carries."""
    cohort = files.cohort()
    matched = match_sets(files.read_sets(), cohort)
    for number, set_id in enumerate(matched.ids):
        for mask in matched.masks:
            inside = mask.of(matched.annotation[number])
            for most in BINS:
                column = Column.of(codes[matched.members[number][inside]], most)
                yield set_id, mask.name, most, column


def design(files, trait):
    cohort = files.cohort()
    made = cohort.design((trait,), COVARIATES, kind="binary" if trait == "disease" else "quantitative")
    return made.X, made.y[:, 0]


def beta_weights(maf):
    return stats.beta.pdf(maf, 1, 25)


def scores(G, residual, weight, X):
    """U and V of minor alleles G (m, N), the covariates eliminated."""
    XW = X * weight[:, None]
    GX = G @ XW
    return G @ residual, (G * weight) @ G.T - GX @ np.linalg.solve(X.T @ XW, GX.T)


def test_linear_rows_are_those_of_dense_regression(files, codes, reference):
    X, y = design(files, "biomarker")
    n, C = X.shape
    Q = np.linalg.qr(X)[0]
    residual = y - Q @ (Q.T @ y)
    table = run(files, None, ga.Serial(), calibrated=False, tests=("burden", "skat")).table
    table = table.filter(pl.col("trait") == "biomarker")
    seen = 0
    for set_id, mask, most, column in columns_of(files, codes):
        row = table.filter(set_id=set_id, mask=mask, max_maf=most)
        if column.G.shape[0] == 0:
            assert row["code"].to_list() == ["no_variants"] * 2
            continue
        burden, skat = row.row(0, named=True), row.row(1, named=True)
        assert burden["n_variants"] == column.G.shape[0] and burden["n"] == n
        # mac and carriers are of calls, not of means
        assert burden["mac"] == np.where(column.observed, column.G, 0).sum()
        assert burden["n_carriers"] == (np.where(column.observed, column.G, 0) > 0).any(axis=0).sum()
        b = beta_weights(column.maf) @ column.G
        if column.mac.sum() >= 5:
            own = b - Q @ (Q.T @ b)
            beta = own @ y / (own @ own)
            error = np.sqrt(((residual - beta * own) ** 2).sum() / (n - C - 1) / (own @ own))
            # steps of 2^-20 of half the largest sum: 1e-6 of a carrier's value
            assert burden["beta"] == pytest.approx(beta, rel=2e-5, abs=1e-7)
            if burden["method"] == "t":  # of others beta / standard_error is the statistic of their p
                assert burden["standard_error"] == pytest.approx(error, rel=2e-5)
        else:
            assert burden["code"] == "too_few_carriers"
        if skat["code"] is not None:
            assert skat["code"] == "too_few_carriers" and skat["n_carriers"] < 10
            continue
        merged = column.collapsed()
        w = beta_weights(merged.maf)
        sigma2 = residual @ residual / (n - C)
        U, V = scores(merged.G, residual / sigma2, np.full(n, 1 / sigma2), X)
        p = neg_log_10_p_quadratic(np.array([((w * U) ** 2).sum()]), np.linalg.eigvalsh(w[:, None] * V * w))[0]
        assert skat["statistic"] == pytest.approx(((w * U) ** 2).sum(), rel=1e-8)
        assert skat["neg_log_10_p_value"] == pytest.approx(float(p[0]), rel=1e-6)
        seen += 1
    assert seen > 20


def test_logistic_rows_are_those_of_a_dense_score_test(files, codes):
    X, y = design(files, "disease")
    beta = np.zeros(X.shape[1])
    for _ in range(30):
        mu = 1 / (1 + np.exp(-X @ beta))
        beta += np.linalg.solve((X.T * (mu * (1 - mu))) @ X, X.T @ (y - mu))
    mu = 1 / (1 + np.exp(-X @ beta))
    model = ga.Logistic(("disease",), COVARIATES)
    results = ga.associate_sets(
        files.cohort(),
        model,
        files.read_sets(),
        tests=("burden", "skat"),
        max_maf=BINS,
        calibrated=False,
        executor=ga.Serial(),
    )
    seen = 0
    for set_id, mask, most, column in columns_of(files, codes):
        row = results.table.filter(set_id=set_id, mask=mask, max_maf=most)
        burden, skat = row.row(0, named=True), row.row(1, named=True)
        if column.G.shape[0] == 0:
            continue
        carries = (np.where(column.observed, column.G, 0) > 0).any(axis=0)
        assert burden["n_carriers_cases"] == carries[y == 1].sum()
        assert burden["n_carriers_controls"] == carries[y == 0].sum()
        if skat["code"] is not None:
            continue
        w = beta_weights(column.maf)
        U, V = scores((w @ column.G)[None], y - mu, mu * (1 - mu), X)
        if burden["method"] == "score":
            assert burden["statistic"] == pytest.approx(float(U[0] / np.sqrt(V[0, 0])), rel=1e-4, abs=1e-5)
        merged = column.collapsed()
        w = beta_weights(merged.maf)
        U, V = scores(merged.G, y - mu, mu * (1 - mu), X)
        p = neg_log_10_p_quadratic(np.array([((w * U) ** 2).sum()]), np.linalg.eigvalsh(w[:, None] * V * w))[0]
        assert skat["statistic"] == pytest.approx(((w * U) ** 2).sum(), rel=1e-6)
        assert skat["neg_log_10_p_value"] == pytest.approx(float(p[0]), rel=1e-6)
        seen += 1
    assert seen > 20


def test_same_bytes_on_any_executor_and_with_blocks_of_any_size(files, reference, tmp_path):
    assert run(files, tmp_path / "threads.parquet", ga.Threads(3)).path.read_bytes() == reference[0]
    store = rewrite_store(files.store, tmp_path / "small.zarr", 32)
    cohort = ga.Cohort.align(store, files.phenotypes, sex="sex")
    model = ga.Linear(("biomarker", "response"), COVARIATES)
    out = tmp_path / "blocks.parquet"
    ga.associate_sets(cohort, model, files.read_sets(), max_maf=BINS, out=out, executor=ga.Serial())
    assert out.read_bytes() == reference[0]


def test_many_traits_are_one_at_a_time(files, reference):
    for trait in ("biomarker", "response"):
        alone = ga.associate_sets(
            files.cohort(), ga.Linear((trait,), COVARIATES), files.read_sets(), max_maf=BINS, executor=ga.Serial()
        ).table
        # The samples that have both traits share sums with neither company nor order.
        assert alone.equals(rows_of(reference[1], trait=trait))


def test_killed_and_resumed(files, reference, tmp_path):
    out = tmp_path / "out.parquet"
    work = Path(f"{out}.work")
    project = Path(__file__).parents[1]
    environment = {**os.environ, "PYTHONPATH": f"{project}{os.pathsep}{os.environ.get('PYTHONPATH', '')}"}
    command = [sys.executable, gene_cohort.__file__, files.store.parent, out, "0.5"]
    with subprocess.Popen([str(part) for part in command], env=environment) as process:
        deadline = time.monotonic() + 120
        while not list(work.glob("part-*.parquet")) and time.monotonic() < deadline:
            time.sleep(0.02)
        process.send_signal(signal.SIGKILL)
    assert not out.exists() and list(work.glob("part-*.parquet"))
    run(files, out, ga.Serial())
    assert out.read_bytes() == reference[0]


def config_of(files, out):
    from genassoc.verbs.config import Config

    tables = {
        "input": {"store": str(files.store), "phenotypes": str(files.phenotypes), "sex": "sex"},
        "model": {"kind": "linear", "traits": ["biomarker", "response"], "covariates": list(COVARIATES)},
        "sets": {
            "path": str(files.sets), "annotations": str(files.annotations), "masks": str(files.masks), "max_maf": list(BINS),
        },
        "output": {"path": str(out)},
    }  # fmt: skip
    return Config.of(tables, "test", out.parent)


def test_gwas_toml_and_job_array_give_the_same_bytes(files, reference, tmp_path):
    from genassoc.verbs import job_arrays, preflight, runs

    config = config_of(files, tmp_path / "run.parquet")
    (tmp_path / "gwas.toml").write_text(config.to_toml())
    checked = preflight.check(tmp_path / "gwas.toml", relatedness=False)
    assert not checked.problems
    results = runs.run(tmp_path / "gwas.toml", relatedness=False)
    assert isinstance(results, ga.SetResults)
    assert (tmp_path / "run.parquet").read_bytes() == reference[0]
    work = tmp_path / "work"
    plan = job_arrays.make_plan(config, work, 2)
    for part in range(plan.n_parts):
        job_arrays.do_part(work, part)
    assert job_arrays.status(work).complete
    job_arrays.merge_lines(work, tmp_path / "merged.parquet")
    assert (tmp_path / "merged.parquet").read_bytes() == reference[0]


def test_other_sets_are_another_run(files, tmp_path):
    out = tmp_path / "sets.parquet"
    run(files, out, ga.Serial(), tests="burden")
    with pytest.warns(ga.ReusedWarning):
        run(files, out, ga.Serial(), tests="burden")
    fewer = ga.read_sets(files.sets, files.annotations, {"all": ["pLoF"]})
    with pytest.raises(ga.OutputError, match="exists already"):
        ga.associate_sets(
            files.cohort(),
            ga.Linear(("biomarker", "response"), COVARIATES),
            fewer,
            max_maf=BINS,
            tests="burden",
            out=out,
        )


def flipped_store(files, path, columns=None, samples=None):
    """A store of the same variants with REF and ALT swapped in every other row, and of some order of samples."""
    old = ga.open_store(files.store)
    block = old.read(0, old.n_variants)
    codes = block.codes()
    variants = old.variants()
    ids = list(old.sample_ids)
    if samples is not None:
        codes, ids = codes[:, samples], [ids[i] for i in samples]
    if columns is not None:
        swapped = codes[columns]
        codes[columns] = np.where(swapped == 3, 3, 2 - np.minimum(swapped, 2))
    from genassoc.data.block import GenotypeBlock

    write_store(path, ids, [GenotypeBlock.from_codes(codes)], variants, block_variants=64)
    return ga.open_store(path)


@pytest.mark.parametrize("what", ["alleles", "samples"])
def test_p_do_not_depend_on_the_alleles_counted_or_on_the_order_of_samples(files, what, tmp_path):
    store = ga.open_store(files.store)
    choice = {"columns": np.arange(store.n_variants) % 2 == 0} if what == "alleles" else {}
    if what == "samples":
        choice = {"samples": np.random.default_rng(1).permutation(store.n_samples)}
    model = ga.Logistic(("disease",), COVARIATES)
    tables = []
    for one in (flipped_store(files, tmp_path / "a.zarr"), flipped_store(files, tmp_path / "b.zarr", **choice)):
        cohort = ga.Cohort.align(one, files.phenotypes)
        # weights by frequency and by none, since a frequency is that of the minor allele
        tables.append(ga.associate_sets(cohort, model, files.read_sets(), max_maf=0.05, executor=ga.Serial()).table)
    one, other = tables
    assert one["code"].equals(other["code"]) and one["n_carriers"].equals(other["n_carriers"])
    for name in ("beta", "neg_log_10_p_value", "mac"):
        a, b = one[name].to_numpy(), other[name].to_numpy()
        # sums in another order, and fits to the tolerance of Newton's method
        assert np.allclose(a, b, rtol=1e-6, atol=1e-9, equal_nan=True)


def test_an_interaction_of_a_burden(files):
    model = ga.Linear(("response",), COVARIATES, interaction="arm")
    cohort, sets = files.cohort(), files.read_sets()
    with pytest.raises(ga.PlanError, match="skat have no interaction with arm"):
        ga.associate_sets(cohort, model, sets, tests=("burden", "skat"))
    table = ga.associate_sets(cohort, model, sets, max_maf=0.05, burden="collapse", executor=ga.Serial()).table
    tests = table["test"].unique(maintain_order=True).to_list()
    assert tests[:3] == ["burden", "burden:E", "burden:joint_2df"] and all(test.startswith("burden") for test in tests)
    few = table.filter(pl.col("n_carriers") < 20)  # at least 10 in each arm
    assert few.height and few["neg_log_10_p_value"].null_count() == few.height and few["code"].null_count() == 0
    assert table.filter(pl.col("code").is_null()).height > 0


def test_conditional_on_a_variant(files, codes):
    matched = match_sets(files.read_sets(), files.cohort())
    number = int(np.argmax([(codes[members] == 1).sum() for members in matched.members]))
    members = matched.members[number]
    variant = int(members[np.argmax((codes[members] == 1).sum(axis=1))])
    store = ga.open_store(files.store)
    row = store.variants(variant, variant + 1).row(0, named=True)
    name = f"{row['chromosome']}_{row['base_pair_location']}_{row['other_allele']}_{row['effect_allele']}"
    model = ga.Linear(("biomarker",), COVARIATES, condition_on=(name,), missing="mean")
    results = ga.associate_sets(
        files.cohort(), model, files.read_sets(), max_maf=0.5, weights="none", tests="burden", executor=ga.Serial()
    )
    assert any("left out of every mask" in note for note in results.provenance["notes"])
    X, y = design(files, "biomarker")
    known = codes[variant] != 3
    copies = np.where(known, codes[variant], 0).astype(float)
    copies[~known] = copies[known].mean()
    Z = np.column_stack([X, copies])
    for mask in matched.masks:
        inside = members[mask.of(matched.annotation[number])]
        column = Column.of(codes[inside[inside != variant]], 0.5)
        row = rows_of(results, set_id=matched.ids[number], mask=mask.name).row(0, named=True)
        if row["code"] is None:
            b = column.G.sum(axis=0)
            expected = np.linalg.lstsq(np.column_stack([Z, b]), y, rcond=None)[0][-1]
            assert row["n_variants"] == column.G.shape[0]
            assert row["beta"] == pytest.approx(expected, rel=1e-5)  # the column in steps of 2^-20


def test_rows_without_each_of_the_variants(files, codes):
    results = run(
        files, None, ga.Serial(), leave_one_out=True, tests=("burden", "skat", "skato", "acato"), max_maf=0.05
    )
    plain = run(files, None, ga.Serial(), tests=("burden", "skat", "skato", "acato"), max_maf=0.05)
    assert results.table.filter(pl.col("left_out").is_null()).equals(plain.table)
    assert set(results.table.drop_nulls("left_out")["test"]) == {"burden:without", "skat:without"}
    assert results.top(3)["left_out"].null_count() == 3 and results.multiplicity.equals(plain.multiplicity)
    of_units = results.table.drop_nulls("left_out").filter(test="burden:without", trait="response")
    counted = of_units.group_by("set_id", "mask").len()
    whole = rows_of(plain, test="burden", trait="response").join(counted, on=["set_id", "mask"])
    assert (whole["len"] == whole["n_variants"]).all()


def test_sets_with_nothing_left_have_rows_that_say_so(files):
    sets = ga.read_sets(
        pl.DataFrame({"set_id": ["A", "A", "B"], "variant": _names(files, 3), "annotation": ["x", "x", "y"]}),
        masks={"X": ["x"], "Y": ["y"]},
    )
    cohort = files.cohort().keep_variants(np.arange(2))  # none of B is selected
    table = ga.associate_sets(
        cohort, ga.Linear(("biomarker",), COVARIATES), sets, max_maf=0.5, executor=ga.Serial()
    ).table
    assert set(table["set_id"]) == {"A", "B"}
    assert set(table.filter(set_id="B")["code"]) == {"no_variants"}
    assert set(table.filter(set_id="A", mask="Y")["code"]) == {"no_variants"}
    assert table.filter(set_id="A", mask="X")["n_variants"][0] == 2


def _names(files, n):
    rows = ga.open_store(files.store).variants(0, n).rows(named=True)
    return [f"{r['chromosome']}_{r['base_pair_location']}_{r['other_allele']}_{r['effect_allele']}" for r in rows]


def test_memory_never_cuts_a_set(files, tmp_path):
    with pytest.raises(ga.PlanError, match="too little"):
        run(files, tmp_path / "x.parquet", ga.Serial(), memory="100MiB")


def test_results_are_read_back(files, reference, tmp_path):
    results = reference[1]
    text = results.write(tmp_path / "sets.tsv.gz")
    again = ga.Results.read(text)
    assert isinstance(again, ga.SetResults) and again.table.equals(results.table)
    counts = results.multiplicity
    p = results.table["neg_log_10_p_value"].is_not_null().sum()
    assert counts["n_tests"].sum() == p and results.threshold() == pytest.approx(0.05 / p)
    assert (
        results.provenance["inputs"]["sets"]["digest"]
        and results.provenance["parameters"]["sets"]["weights"] == "beta(1,25)"
    )


def test_the_command(files, reference, tmp_path, genassoc):
    out = tmp_path / "sets.parquet"
    code, said, told = genassoc(
        "sets", files.store, files.phenotypes, "--sets", files.sets, "--annotations", files.annotations, "--masks", files.masks,
        "--model", "linear", "--trait", "biomarker,response", "--covar", "age,sex", "--sex", "sex", "--max-maf", "0.005,0.05", "--out", out,
        "--no-relatedness",
    )  # fmt: skip
    assert code == 0, told
    assert out.read_bytes() == reference[0]
    assert "every mask, bin of frequency and trait counted" in " ".join(said.split()) and "best: " in said
    code, _, told = genassoc("sets", files.store, files.phenotypes, "--sets", files.sets, "--model", "linear", "--trait", "biomarker",
                             "--tests", "vote", "--out", tmp_path / "y.parquet")  # fmt: skip
    assert code == 2 and "tests are burden, skat" in told
    code, _, told = genassoc("sets", files.store, files.phenotypes, "--sets", files.sets, "--model", "linear", "--trait", "biomarker",
                             "--tests", "", "--out", tmp_path / "y.parquet")  # fmt: skip
    assert code == 2 and "it is empty" in told


def test_an_interrupted_command_says_that_it_carries_on():
    from genassoc.cli.exits import _afterwards

    assert "carries on" in _afterwards(["sets"]) and "begins anew" in _afterwards(["meta"])


def test_choices_have_synonyms_and_refuse_others():
    choices = SetChoices(tests=["SKAT-O", "acat_v", "Burden"], weights="beta(1, 25)", max_maf=0.01, burden="CMC")
    assert choices.tests == ("burden", "skato", "acatv") and choices.burden == "collapse" and choices.max_maf == (0.01,)
    for bad in (
        {"tests": ["t"]}, {"tests": []}, {"weights": "beta(0,1)"}, {"max_maf": 0.7}, {"max_maf": []}, {"burden": "mean"},
        {"collapse_below": -1}, {"max_maf": "x"},
    ):  # fmt: skip
        with pytest.raises(ValueError):
            SetChoices(**bad)


def test_a_burden_of_dosages_is_their_sum(tmp_path):
    rng = np.random.default_rng(1)
    n = 300
    genotypes = rng.binomial(2, 0.03, (8, n))
    dosages = np.clip(genotypes + rng.normal(0, 0.1, (8, n)) * (genotypes > 0), 0, 2).round(3)
    calls = ("0/0", "0/1", "1/1")
    lines = [
        "##fileformat=VCFv4.2",
        "##contig=<ID=1>",
        '##FORMAT=<ID=GT,Number=1,Type=String,Description="">',
        '##FORMAT=<ID=DS,Number=A,Type=Float,Description="">',
        "\t".join(
            ["#CHROM", "POS", "ID", "REF", "ALT", "QUAL", "FILTER", "INFO", "FORMAT", *(f"S{i}" for i in range(n))]
        ),
    ]
    for v in range(8):
        cells = (f"{calls[g]}:{d}" for g, d in zip(genotypes[v], dosages[v]))
        lines.append("\t".join(["1", str(100 + v), ".", "A", "G", ".", "PASS", ".", "GT:DS", *cells]))
    (tmp_path / "a.vcf").write_text("\n".join(lines) + "\n")
    store = ga.convert(tmp_path / "a.vcf", tmp_path / "a.zarr", dosage="DS")
    y = rng.normal(size=n)
    cohort = ga.Cohort.align(store, pl.DataFrame({"IID": [f"S{i}" for i in range(n)], "y": y}))
    sets = ga.read_sets(pl.DataFrame({"set_id": "A", "variant": [f"1_{100 + v}_A_G" for v in range(8)]}))
    table = ga.associate_sets(
        cohort, ga.Linear(("y",)), sets, max_maf=0.5, weights="none", executor=ga.Serial(), relatedness=False
    ).table
    X = np.column_stack([np.ones(n), dosages.sum(axis=0)])
    # the column in steps of 2^-20
    assert table["beta"][0] == pytest.approx(np.linalg.lstsq(X, y, rcond=None)[0][1], rel=1e-5)
    assert table["mac"][0] == pytest.approx(dosages.sum())
    assert table["n_carriers"][0] == (dosages >= 0.5).any(axis=0).sum()
    assert table["code"].null_count() == table.height


@pytest.mark.parametrize("model", (ga.Poisson, ga.NegativeBinomial, ga.Ordinal))
@pytest.mark.parametrize("n_events", (12, 60))
def test_few_events_of_counts_and_grades(files, model, n_events):
    """Scores of few events are not normal: coded, or (counts) by the law of counts and no smaller than the burden allows."""
    rng = np.random.default_rng(n_events)
    phenotypes = pl.read_csv(files.phenotypes, separator="\t", null_values="NA")
    y = np.zeros(phenotypes.height, np.int64)
    y[rng.choice(y.size, n_events, replace=False)] = rng.integers(1, 3, n_events)
    cohort = ga.Cohort.align(files.store, phenotypes.with_columns(rare=pl.Series(y)), sex="sex")
    table = ga.associate_sets(cohort, model(("rare",), ("age",)), files.read_sets(), max_maf=0.05).table
    skat = table.filter((pl.col("test") == "skat") & (pl.col("n_carriers") >= 10))
    assert skat.height > 10
    if n_events < 20:
        assert set(skat["code"]) == {"few_events"} and skat["neg_log_10_p_value"].is_null().all()
    else:
        assert skat["code"].is_null().all() and skat["neg_log_10_p_value"].max() < 3.5
    if n_events >= 20 and model is not ga.Ordinal:
        assert "exact_set" in set(skat["method"])
