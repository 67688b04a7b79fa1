"""An association explained as it may leave; pictures of few people; the commands."""

import re
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from endpoint_cohort import COVARIATES, make

import genassoc as ga
from genassoc.data.disclosure import POLICIES, Policy
from genassoc.errors import WithheldError
from genassoc.explanation.disclosed import counts_of, groups_hidden, picture_that_leaves
from genassoc.explanation.pictures import located

SNDS, FOUR = POLICIES["snds"], Policy("four", 4)


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    return make(tmp_path_factory.mktemp("leaving"))


@pytest.fixture(scope="module")
def cohort(files):
    return ga.Cohort.align(files.store, files.phenotypes, sex="sex")


@pytest.fixture(scope="module")
def logistic(cohort, tmp_path_factory):
    out = tmp_path_factory.mktemp("r") / "t2d.parquet"
    return ga.associate(cohort, ga.Logistic(["t2d"], COVARIATES), out=out, relatedness=False)


def with_few(results, low, high, mac=(60, 10_000)):
    """A variant whose rarer homozygotes are ``low`` to ``high``: of those with some alleles."""
    for row in results.table.filter(pl.col("mac").is_between(*mac) & pl.col("beta").is_not_null()).iter_rows(
        named=True
    ):
        counts = counts_of(located(results, row["variant_id"]))[0, :3, 0]
        if low <= counts[2] <= high and counts[0] > 100:
            return row["variant_id"], counts
    raise AssertionError("no such variant")


def test_genotypes_go_together_and_the_words_count_nobody(logistic, tmp_path):
    variant, counts = with_few(logistic, 1, 3)
    found = ga.explain(logistic, variant, policy=FOUR)
    shown = found.counts.filter(pl.col("copies").is_not_null())
    assert shown["n"].is_null().all() and shown.height >= 2
    assert found.row["mac"] is not None  # two equations, three unknown genotypes
    with pytest.raises(WithheldError, match="no picture by genotype"):
        found.figure()
    words = found.text
    assert "Withheld: policy four" in words and "the picture" in words
    numbers = {
        int(text)
        for text in re.findall(r"(?<![\d.e-])\d+(?![\d.])", words.replace(FOUR.rule, "").replace("under 4", ""))
    }
    assert not numbers & {int(n) for n in counts[1:]}
    assert "no call" not in words.split("Withheld")[0]
    assert [path.suffix for path in found.write(tmp_path)] == [".txt", ".tsv", ".tsv"]
    assert not {str(sample) for sample in logistic.cohort.sample_ids} & set(re.findall(r"\S+", repr(found)))
    assert ga.explain(logistic, variant).counts["n"].null_count() == 0


def test_nothing_is_withheld_of_many(logistic):
    policy = Policy("own", 3)
    for variant in logistic.table.filter(pl.col("mac") > 150)["variant_id"]:
        found = ga.explain(logistic, variant, policy=policy)
        if not groups_hidden(found, policy).any() and found.row["withheld"] is None:
            break
    assert not found.withheld and found.text == ga.explain(logistic, variant).text
    assert len(found.figure().axes) == 1


def test_a_row_of_few_carriers_has_no_estimate(logistic):
    rare = logistic.table.filter(pl.col("mac").is_between(4, 9) & pl.col("beta").is_not_null())["variant_id"][0]
    found = ga.explain(logistic, rare, policy="casd")
    assert found.row["beta"] is None and found.row["mac"] is None and found.row["n"] is not None
    p = found.table["neg_log_10_p_value"].drop_nulls()
    assert np.allclose(p, p.round(1)) and found.table["beta"].is_null().all()
    assert "odds ratio of" not in found.text and "Withheld: policy casd" in repr(found)
    assert "of the row" in found._repr_html_()


def test_survival_is_drawn_while_enough_are_followed(cohort):
    results = ga.associate(cohort, ga.Cox("days", "death", COVARIATES), relatedness=False)
    for variant in results.table.filter(pl.col("mac") > 100)["variant_id"]:
        whole = located(results, variant)
        if not groups_hidden(whole, SNDS)[:-1].any():
            break
    try:
        cut = picture_that_leaves(whole, SNDS)
    except WithheldError:
        cut = picture_that_leaves(whole, SNDS.__class__("own", 3))
    least = cut.policy.least
    for group in whole.groups.present:
        some = whole.groups.which == group
        assert (cut.data.time[some] == cut.data.time.max()).sum() >= least
        assert cut.data.y[some].sum() == 0 or cut.data.y[some].sum() >= least


def test_no_sample_is_a_point_under_a_policy(cohort):
    results = ga.associate(cohort, ga.Linear(["ldl"], COVARIATES), relatedness=False)
    variant = next(
        name for name in results.table.filter(pl.col("mac") > 100)["variant_id"]
        if not groups_hidden(located(results, name), SNDS)[:-1].any()
    )  # fmt: skip
    marks = [
        max(len(line.get_xdata()) for line in ga.plots.effect_by_genotype(results, variant, policy=policy).lines)
        for policy in (None, "snds")
    ]
    assert marks[0] > 50 and marks[1] < 11


def test_a_lollipop_of_few_carriers_has_no_stem():
    n = 15
    variants = pl.DataFrame({"base_pair_location": range(100, 100 + n), "variant_id": [f"v{i}" for i in range(n)], "annotation": ["lof"] * n,
                             "n_carriers": [40] * (n - 1) + [3]})  # fmt: skip
    heights = [
        sorted(y for line in ga.plots.lollipop(variants, policy=policy).lines for y in np.ravel(line.get_ydata()))
        for policy in (None, "snds")
    ]
    assert 3.0 in heights[0] and 3.0 not in heights[1]


def test_the_commands(files, tmp_path, genassoc):
    common = [
        files.store,
        files.phenotypes,
        "--model",
        "linear",
        "--trait",
        "ldl",
        "--out",
        tmp_path / "r.tsv.gz",
        "--no-relatedness",
    ]
    code, said, errors = genassoc("assoc", *common, "--policy", "snds", "--frequency-floor", "0.02", "--region", "1")
    assert code == 0, errors
    assert "policy snds: no count of 1 to 10 leaves" in said and "r.snds.tsv.gz" in said
    whole, left = (ga.Results.read(tmp_path / name).table for name in ("r.tsv.gz", "r.snds.tsv.gz"))
    assert whole.height == left.height and "withheld" not in whole.columns
    assert left["effect_allele_frequency"].drop_nulls().min() >= 0.02
    code, toml, _ = genassoc("assoc", *common, "--policy", "casd", "--print-toml")
    assert code == 0 and 'policy = "casd"' in toml
    code, _, errors = genassoc("assoc", *common, "--policy", "nhs")
    assert code == 2 and "snds, casd, ukb, finngen" in errors
    config = tmp_path / "gwas.toml"
    config.write_text(toml.replace('"casd"', '"nhs"'))
    code, _, errors = genassoc("run", config)
    assert code == 1 and "[output] policy: there is no policy 'nhs'" in errors
    variant = whole.filter(pl.col("mac").cast(pl.Float64) < 9).filter(pl.col("beta").is_not_null())["variant_id"][0]
    code, said, errors = genassoc("explain", tmp_path / "r.tsv.gz", variant, "--policy", "ukb")
    assert code == 0 and ("Withheld" in said or "policy" not in said), errors


def test_a_report_that_leaves(logistic, tmp_path):
    lead = logistic.table.filter(pl.col("mac").is_between(4, 9) & pl.col("beta").is_not_null()).row(0, named=True)
    frame = logistic.table.with_columns(
        pl.when(pl.col("variant_id") == lead["variant_id"])
        .then(9.4321)
        .otherwise("neg_log_10_p_value")
        .alias("neg_log_10_p_value")
    )
    record = {**logistic.provenance, "notes": ["ids nearly match: 'S-17 ' and 'S-17'"]}
    whole, left = (
        ga.report(ga.Results(frame, record, logistic.cohort), tmp_path / "r.html", policy=policy).read_text(
            encoding="utf-8"
        )
        for policy in (None, "snds")
    )
    error = repr(lead["standard_error"])
    assert error in whole and "S-17" in whole
    assert (
        error not in left and "S-17" not in left and str(tmp_path) not in left and str(logistic.path.parent) not in left
    )
    assert "policy snds: no count of 1 to 10 leaves" in left and "pseudonymised" in left
    assert not {str(sample) for sample in logistic.cohort.sample_ids} & set(re.findall(r"[\w.-]+", left))


def test_what_is_pseudonymised_is_not_called_otherwise():
    word = "anonymi"
    root = Path(__file__).parents[1]
    files = [
        *root.glob("*.md"),
        *(path for folder in ("genassoc", "docs", "notebooks", "tests") for path in (root / folder).rglob("*")),
    ]
    texts = {
        path: path.read_text(encoding="utf-8").lower()
        for path in files
        if path.suffix in (".py", ".md", ".ipynb", ".rst", ".toml")
    }
    assert len(texts) > 300
    found = [path.name for path, text in texts.items() if re.search(rf"(?<!pseud){word}[sz]", text)]
    assert found == []
