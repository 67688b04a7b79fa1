"""The k ALTs of a multi-allelic record tested at once: beside statsmodels' joint tests; the same bytes however it is cut."""

import json

import numpy as np
import polars as pl
import pytest
import statsmodels.api as sm
from click.testing import CliRunner
from scipy import stats
from small_cohort import bits

import genassoc as ga
from genassoc.cli.commands import app
from genassoc.data.block import GenotypeBlock
from genassoc.data.store.writer import write_store
from genassoc.explanation.audit import audit

N = 240
SIZES = [1, 2, 1, 3, 1, 1, 2, 4, 1, 2] * 5  # ALTs of each record: blocks of 16 rows cut several of them
X_FROM = 40  # records from here on lie on X


def simulated(rng):
    """Copies of each ALT (V, N), 3 where the record's call is missing."""
    rows = []
    for size in SIZES:
        frequencies = np.array([1.0, *rng.uniform(0.1, 0.3, size)])
        alleles = rng.choice(size + 1, (2, N), p=frequencies / frequencies.sum())
        missing = rng.random(N) < 0.02
        rows += [np.where(missing, 3, (alleles == k).sum(axis=0)) for k in range(1, size + 1)]
    return np.array(rows, dtype=np.uint8)


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """Store, phenotypes, the calls and the first row of each record."""
    folder, rng = tmp_path_factory.mktemp("alleles"), np.random.default_rng(8)
    codes = simulated(rng)
    record = np.repeat(np.arange(len(SIZES)), SIZES)
    index = np.concatenate([np.arange(1, size + 1) for size in SIZES])
    variants = pl.DataFrame(
        {
            "chromosome": np.where(record < X_FROM, "1", "X"), "base_pair_location": 10 * record + 5_000_000,
            "effect_allele": [["C", "G", "T", "AC"][k - 1] for k in index], "other_allele": ["A"] * record.size,
            "rsid": [f"rs{r}" for r in record], "record": record, "alt_index": index.astype(np.int32),
        }
    )  # fmt: skip
    for block in (16, 32):
        write_store(
            folder / f"store{block}.zarr", [f"S{i}" for i in range(N)], [GenotypeBlock.from_codes(codes)], variants,
            block_variants=block,
        )  # fmt: skip
    age = rng.normal(50, 9, N)
    effect = 0.5 * (codes[1] == 1) - 0.4 * (codes[2] > 0)
    time = rng.exponential(np.exp(-effect))
    pl.DataFrame(
        {
            "IID": [f"S{i}" for i in range(N)], "age": age, "sex": rng.integers(1, 3, N), "y": effect + rng.normal(0, 1, N),
            "t2d": (effect + rng.logistic(0, 1, N) > 0).astype(int), "count": rng.poisson(np.exp(effect)),
            "days": np.minimum(time, 2.0).round(6), "death": (time < 2.0).astype(int), "w": rng.uniform(0.5, 2, N),
            "grade": np.digitize(effect + rng.logistic(0, 1, N), [-1, 1]),
        }
    ).write_csv(folder / "phenotypes.tsv", separator="\t")  # fmt: skip
    return folder, codes, record


def cohort_of(made, block=16, **choices):
    return ga.Cohort.align(made[0] / f"store{block}.zarr", made[0] / "phenotypes.tsv", **choices)


def reference(kind, table, G):
    """Statistic and -log10 p of G (n, k) in the complete cases, by statsmodels."""
    k = G.shape[1]
    X = np.column_stack([np.ones(len(G)), table["age"]])
    full = np.column_stack([X, G])
    if kind == "linear":
        F, p, _ = sm.OLS(table["y"].to_numpy(), full).fit().compare_f_test(sm.OLS(table["y"].to_numpy(), X).fit())
        return F, -np.log10(p)
    if kind == "cox":

        def fit(columns):
            return sm.PHReg(table["days"].to_numpy(), columns, table["death"].to_numpy(), ties="efron").fit(disp=0).llf

        gain = 2 * (fit(full[:, 1:]) - fit(X[:, 1:]))
    else:
        name, family = {"logistic": ("t2d", sm.families.Binomial()), "poisson": ("count", sm.families.Poisson())}[kind]
        y = table[name].to_numpy()
        gain = 2 * (sm.GLM(y, full, family).fit(tol=1e-12).llf - sm.GLM(y, X, family).fit(tol=1e-12).llf)
    return gain, -stats.chi2.logsf(gain, k) / np.log(10)


MODELS = {
    "linear": ga.Linear("y", "age", alleles="joint"),
    "logistic": ga.Logistic("t2d", "age", test="lrt", correction=None, alleles="joint"),
    "poisson": ga.Poisson("count", "age", dispersion="poisson", test="lrt", alleles="joint"),
    "cox": ga.Cox("days", "death", "age", test="lrt", correction=None, alleles="joint"),
}


@pytest.mark.parametrize("kind", MODELS)
def test_all_alleles_at_once(made, kind):
    _, codes, record = made
    rows = ga.associate(cohort_of(made), MODELS[kind]).table
    several = [r for r, size in enumerate(SIZES) if size > 1]
    assert rows["base_pair_location"].to_list() == [10 * r + 5_000_000 for r in several]
    table = cohort_of(made).phenotypes.table
    for r, row in zip(several, rows.iter_rows(named=True)):
        size = SIZES[r]
        assert row["test"] == f"alleles_{size}df" and row["df"] == size and row["beta"] is None
        assert row["effect_allele"] == ",".join(["C", "G", "T", "AC"][:size])
        assert row["variant_id"] == f"{row['chromosome']}_{row['base_pair_location']}_A_{row['effect_allele']}"
        G = codes[record == r].T.astype(float)
        use = (G < 3).all(axis=1)
        statistic, logp = reference(kind, table.filter(pl.Series(use)), G[use])
        assert row["n"] == use.sum() and row["code"] is None
        # Newton's method stops at 1e-8 of the likelihood there; the linear F is exact in float64
        assert row["statistic"] == pytest.approx(statistic, rel=2e-6, abs=1e-6)
        assert row["neg_log_10_p_value"] == pytest.approx(logp, rel=2e-6, abs=1e-6)
        if kind == "linear":
            assert row["degrees_of_freedom"] == use.sum() - 2 - size and row["method"] == "f"
    assert rows["neg_log_10_p_value"].max() > 2


@pytest.mark.parametrize("kind", ["linear", "logistic"])
def test_the_same_bytes_however_it_is_cut(made, kind, tmp_path):
    first = ga.associate(cohort_of(made), MODELS[kind], executor=ga.Serial()).table
    for block, executor in ((32, ga.Serial()), (16, ga.Threads(3))):
        assert bits(ga.associate(cohort_of(made, block), MODELS[kind], executor=executor, memory="4GiB").table) == bits(
            first
        )
    from genassoc.verbs import job_arrays
    from genassoc.verbs.config import Config
    from genassoc.verbs.options import RunOptions

    trait = MODELS[kind].traits[0]
    more = {"test": "lrt", "correction": "none"} if kind == "logistic" else {}
    config = Config.of(
        {
            "input": {"store": str(made[0] / "store16.zarr"), "phenotypes": str(made[0] / "phenotypes.tsv")},
            "model": {"kind": kind, "traits": [trait], "covariates": ["age"], "alleles": "joint", **more},
            "output": {"path": "run.parquet"},
        },
        "test", tmp_path,
    )  # fmt: skip
    plan = job_arrays.make_plan(config, tmp_path / "work", 3, RunOptions(tell=lambda line: None))
    assert plan.largest_set == 4
    for part in (1, 2, 0):
        job_arrays.do_part(tmp_path / "work", part)
    job_arrays.merge_parts(tmp_path / "work", tmp_path / "merged.parquet", RunOptions(audit=20))
    merged = ga.Results.read(tmp_path / "merged.parquet")
    assert bits(merged.table) == bits(first)
    assert merged.provenance["audit"]["passed"] and merged.provenance["audit"]["rows"] == 20
    content = json.loads((tmp_path / "work/plan.json").read_text())
    content["tasks"][-1]["n_sets"] -= 1
    (tmp_path / "work/plan.json").write_text(json.dumps(content))
    with pytest.raises(ga.PlanError, match="damaged or edited"):
        job_arrays.do_part(tmp_path / "work", 0)


def test_alleles_that_filters_leave_out_are_not_tested(made):
    _, codes, record = made
    cohort = cohort_of(made)
    keep = np.ones(record.size, dtype=bool)
    r = SIZES.index(3)
    keep[np.flatnonzero(record == r)[1]] = False  # G of C, G, T
    keep[record == SIZES.index(2)] = False
    rows = ga.associate(cohort.keep_variants(keep), MODELS["linear"])
    row = rows.table.filter(pl.col("rsid") == f"rs{r}").row(0, named=True)
    assert row["effect_allele"] == "C,T" and row["test"] == "alleles_2df" and row["df"] == 2
    G = codes[record == r][[0, 2]].T.astype(float)
    use = (G < 3).all(axis=1)
    _, logp = reference("linear", cohort.phenotypes.table.filter(pl.Series(use)), G[use])
    assert row["neg_log_10_p_value"] == pytest.approx(logp, rel=1e-9)
    assert rows.table.filter(pl.col("rsid") == f"rs{SIZES.index(2)}").height == 0
    several = sum(size for size in SIZES if size > 1)
    explained = ga.explain(rows, row["variant_id"])
    assert explained.reproduced and "The alleles C,T are tested together" in explained.text
    assert explained.table["reference"][0] == "statsmodels OLS"
    assert rows.provenance["variants"]["read"] == several and rows.provenance["variants"]["kept"] == several - 3
    assert f"the {several} ALTs of {sum(size > 1 for size in SIZES)} records" in " ".join(rows.provenance["notes"])


def test_the_order_of_alleles_does_not_matter(made, tmp_path):
    folder, codes, record = made
    old = ga.open_store(folder / "store16.zarr")
    order = np.lexsort([-np.arange(record.size), record])
    variants = old.variants()[order].with_columns(alt_index=old.variants()["alt_index"])
    write_store(tmp_path / "turned.zarr", list(old.sample_ids), [GenotypeBlock.from_codes(codes[order])], variants)
    turned = ga.Cohort.align(tmp_path / "turned.zarr", folder / "phenotypes.tsv")
    for kind in ("linear", "logistic"):
        ours, theirs = (
            ga.associate(c, MODELS[kind]).table["neg_log_10_p_value"].to_numpy() for c in (cohort_of(made), turned)
        )
        np.testing.assert_allclose(ours, theirs, rtol=1e-7)  # the order of columns rounds


OTHER_MODELS = [
    ga.Linear("y", "age", alleles="joint", variance="robust"),
    ga.Linear("y", "age", alleles="joint", weights="w"),
    ga.Logistic("t2d", "age", alleles="joint", weights="w"),
    ga.Poisson("count", "age", alleles="joint"),
    ga.Ordinal("grade", "age", alleles="joint"),
    ga.Logistic("t2d", "age", alleles="joint"),
    ga.Cox("days", "death", "age", alleles="joint"),
    ga.Logistic("t2d", "age", alleles="joint", test="wald", missing="mean"),
]


@pytest.mark.parametrize("model", OTHER_MODELS, ids=str)
def test_other_variances_agree_with_the_models_where_it_holds(made, model):
    rows = ga.associate(cohort_of(made), model).table
    fine = rows["code"].is_null()
    # weights times residuals have heavier tails than residuals: the rarest alleles have no p
    assert fine.sum() > 5 if model.weights and model.traits == ("y",) else fine.all()
    assert (rows["neg_log_10_p_value"].is_not_null() == fine).all()
    plain = {"y": "linear", "t2d": "logistic", "count": "poisson", "grade": "linear", "death": "cox"}[model.traits[0]]
    expected = ga.associate(cohort_of(made), MODELS[plain]).table["neg_log_10_p_value"].to_numpy()
    if model.traits[0] != "grade":
        # other tests of the same hypotheses in the same samples: alike, not equal
        both = [values[fine.to_numpy()] for values in (rows["neg_log_10_p_value"].to_numpy(), expected)]
        assert np.corrcoef(*both)[0, 1] > 0.8
    assert rows["neg_log_10_p_value"].median() < 1.5


def test_males_on_x_count_as_the_model_says(made):
    _, codes, record = made
    cohort = cohort_of(made, sex="sex", build="GRCh38")
    two, one = (
        ga.associate(cohort, ga.Linear("y", "age", alleles="joint", male_x_dosage=dosage)).table for dosage in (2, 1)
    )
    here = two["chromosome"] == "X"
    assert bits(two.filter(~here)) == bits(one.filter(~here)) and bits(two.filter(here)) != bits(one.filter(here))
    r = next(r for r in range(X_FROM, len(SIZES)) if SIZES[r] == 2)
    G = codes[record == r].T.astype(float)
    male = cohort.phenotypes.table["sex"].to_numpy() == 1
    G[male[:, None] & (G == 1)] = np.nan  # a male has one X
    use = ((G < 3) & ~np.isnan(G)).all(axis=1)
    G[male] /= 2
    table = cohort.phenotypes.table.filter(pl.Series(use))
    X = np.column_stack([np.ones(use.sum()), table["age"], table["sex"]])
    y = table["y"].to_numpy()
    _, p, _ = sm.OLS(y, np.column_stack([X, G[use]])).fit().compare_f_test(sm.OLS(y, X).fit())
    row = one.filter(pl.col("rsid") == f"rs{r}").row(0, named=True)
    assert row["n"] == use.sum() and row["neg_log_10_p_value"] == pytest.approx(-np.log10(p), rel=1e-9)


def test_rare_alleles_and_absent_ones(made):
    few = cohort_of(made).keep_samples([f"S{i}" for i in range(130)])
    rows = ga.associate(few, ga.Linear("y", "age", alleles="joint", min_mac=30)).table
    assert set(rows["code"].drop_nulls()) == {"too_few_carriers"}
    assert (rows["mac"].to_numpy() < 30).tolist() == rows["code"].is_not_null().to_list()
    assert rows.filter(pl.col("code").is_not_null())["neg_log_10_p_value"].is_null().all()


def test_a_rare_reference_is_a_rare_allele(tmp_path):
    """Both ALTs are common; their sum is 2 in all but few samples, which decide a test of both."""
    rng, kept = np.random.default_rng(5), (3, 5, 0)
    codes = []
    for copies in kept:
        alleles = rng.choice([1, 2], (2, N))
        alleles[0, rng.choice(N, copies, replace=False)] = 0
        codes += [(alleles == allele).sum(axis=0) for allele in (1, 2)]
    variants = pl.DataFrame(
        {
            "chromosome": ["1"] * 6, "base_pair_location": np.repeat([10, 20, 30], 2), "effect_allele": ["C", "G"] * 3,
            "other_allele": ["A"] * 6, "rsid": [f"rs{r}" for r in range(6)], "record": np.repeat([0, 1, 2], 2),
            "alt_index": np.tile([1, 2], 3).astype(np.int32),
        }
    )  # fmt: skip
    block = GenotypeBlock.from_codes(np.array(codes, dtype=np.uint8))
    write_store(tmp_path / "s.zarr", [f"S{i}" for i in range(N)], [block], variants)
    table = pl.DataFrame(
        {"IID": [f"S{i}" for i in range(N)], "normal": rng.normal(size=N), "tails": rng.gamma(2, size=N)}
    )
    cohort = ga.Cohort.align(tmp_path / "s.zarr", table)

    def rows(trait, **choices):
        return ga.associate(cohort, ga.Linear(trait, alleles="joint", **choices)).table

    assert rows("normal")["mac"].to_list() == [3, 5, 0]
    assert rows("normal")["code"].to_list() == ["too_few_carriers", None, "too_few_carriers"]
    assert rows("tails")["code"].to_list() == ["too_few_carriers", "heavy_tails", "too_few_carriers"]
    assert rows("normal", min_mac=0)["code"].to_list() == [None, None, "collinear"]


def test_copies_are_counted_in_the_samples_that_have_all_calls(tmp_path):
    """Of 12 carriers of the second ALT 9 lack the call of the first one: 3 are left."""
    rng = np.random.default_rng(6)
    first, second = rng.binomial(2, 0.3, N), np.zeros(N, dtype=int)
    first[:12], second[:12] = 0, 1
    first[:9] = 3
    variants = pl.DataFrame(
        {
            "chromosome": ["1"] * 2, "base_pair_location": [10] * 2, "effect_allele": ["C", "G"], "other_allele": ["A"] * 2,
            "rsid": ["rs0"] * 2, "record": [0, 0], "alt_index": np.array([1, 2], dtype=np.int32),
        }
    )  # fmt: skip
    block = GenotypeBlock.from_codes(np.array([first, second], dtype=np.uint8))
    write_store(tmp_path / "s.zarr", [f"S{i}" for i in range(N)], [block], variants)
    table = pl.DataFrame({"IID": [f"S{i}" for i in range(N)], "y": rng.normal(size=N)})
    cohort = ga.Cohort.align(tmp_path / "s.zarr", table)
    for choices, expected in (
        ({}, (3, "too_few_carriers")),
        ({"min_mac": 3}, (3, None)),
        ({"missing": "mean"}, (12, None)),
    ):
        row = ga.associate(cohort, ga.Linear("y", alleles="joint", **choices)).table.row(0, named=True)
        assert (row["mac"], row["code"]) == expected and (row["neg_log_10_p_value"] is None) == bool(row["code"])


def test_rare_alleles_of_a_trait_with_heavy_tails_have_no_p(made):
    table = cohort_of(made).phenotypes.table.with_columns(y=pl.Series(np.random.default_rng(3).normal(0, 1, N) ** 5))
    cohort = ga.Cohort.align(made[0] / "store16.zarr", table)
    rows = ga.associate(cohort, MODELS["linear"])
    heavy = rows.table.filter(pl.col("code") == "heavy_tails")
    assert heavy.height and heavy["neg_log_10_p_value"].is_null().all()
    assert "heavier tails" in " ".join(rows.provenance["notes"])


def test_what_does_not_go_together_is_refused(made, tmp_path):
    for choices in ({"interaction": "age"}, {"genetic_model": "dominant"}, {"like": "plink2"}, {"baseline": "age"}):
        with pytest.raises(ValueError, match="alleles='joint'"):
            ga.Linear("y", alleles="joint", **choices)
    with pytest.raises(ValueError, match="alleles"):
        ga.Logistic("t2d", matched="site", alleles="joint")
    with pytest.raises(ValueError, match="alleles"):
        ga.Linear("y", alleles="both")
    old = ga.open_store(made[0] / "store16.zarr")
    write_store(
        tmp_path / "split.zarr", list(old.sample_ids), [old.read(0, 8)], old.variants(0, 8).drop("record", "alt_index")
    )
    split = ga.Cohort.align(tmp_path / "split.zarr", made[0] / "phenotypes.tsv")
    with pytest.raises(ga.PlanError, match="bcftools norm -m"):
        ga.associate(split, MODELS["linear"])


def test_the_command_line_has_it(made, tmp_path):
    out = tmp_path / "out.tsv"
    command = ["assoc", str(made[0] / "store16.zarr"), str(made[0] / "phenotypes.tsv"), "--model", "linear", "--trait", "y",
               "--covar", "age", "--alleles", "joint", "--out", str(out)]  # fmt: skip
    done = CliRunner().invoke(app, command)
    assert done.exit_code == 0, done.output
    assert pl.read_csv(out, separator="\t")["test"].unique().sort().to_list() == [
        "alleles_2df",
        "alleles_3df",
        "alleles_4df",
    ]


@pytest.mark.parametrize("model", [*MODELS.values(), *OTHER_MODELS], ids=str)
def test_rows_are_fitted_again_and_a_wrong_one_is_found(made, model):
    """By the dense twin, on the same columns at once, of records across the border of two blocks too."""
    results = ga.associate(cohort_of(made), model)
    choices = results.provenance["parameters"]["model"]
    found = audit(results, results.cohort, choices, 10_000)
    fine = results.table["code"].is_null()
    assert found.passed and found.compared.height == fine.sum(), found.line()
    at = int(np.flatnonzero(fine)[-1])
    wrong = (
        pl.when(pl.int_range(pl.len()) == at).then(pl.col("neg_log_10_p_value") + 0.01).otherwise("neg_log_10_p_value")
    )
    table = results.table.with_columns(wrong.alias("neg_log_10_p_value"))
    beyond = audit(ga.Results(table, results.provenance), results.cohort, choices, 10_000).beyond
    assert beyond["variant_id"].to_list() == [table["variant_id"][at]]
