"""Tables that leave: what of a row stays, and that nothing that leaves counts few people."""

import itertools
import json
from collections import defaultdict

import gene_cohort
import numpy as np
import polars as pl
import pytest
from small_cohort import make_files

import genassoc as ga
from genassoc.data.disclosed_tables import _shown, counts_withheld, masked
from genassoc.data.disclosure import POLICIES, Policy
from genassoc.errors import OutputError

SNDS = POLICIES["snds"]


def variants(cells, **more):
    """Rows of a binary trait; ``cells``: ALT and REF of cases, ALT and REF of controls, all diploid."""
    a, b, c, d = np.array(cells, dtype=float).T
    n_cases, n_controls = (a + b) / 2, (c + d) / 2
    columns = {
        "chromosome": "1", "base_pair_location": 7, "beta": 0.3, "standard_error": 0.1, "ci_lower": 0.1, "ci_upper": 0.5, "statistic": 3.0,
        "effect_allele_frequency": (a + c) / (a + b + c + d), "neg_log_10_p_value": 2.5678, "n": n_cases + n_controls,
        "mac": np.minimum(a + c, b + d), "trait": "t2d", "test": "add", "code": None, "missing_rate": 0.0,
        "effect_allele_frequency_cases": a / (a + b), "effect_allele_frequency_controls": c / (c + d), "n_cases": n_cases,
        "n_controls": n_controls,
    }  # fmt: skip
    frame = pl.DataFrame({name: [value] * a.size if np.ndim(value) == 0 else value for name, value in columns.items()})
    return frame.with_columns(
        pl.col("n", "n_cases", "n_controls").cast(pl.Int64), pl.col("code").cast(pl.String), **more
    )


def test_a_row_with_a_small_count_keeps_names_sizes_and_a_coarse_p():
    rows = variants([(40, 160, 60, 740), (4, 196, 60, 740), (2, 198, 3, 797), (0, 200, 60, 740), (195, 5, 700, 100)])
    left, counted = counts_withheld(rows, SNDS)
    assert left["withheld"].is_null().to_list() == [True, False, False, True, False]
    assert left.drop("withheld")[[0, 3]].equals(rows[[0, 3]])
    row = left.row(1, named=True)
    kept = {"chromosome", "base_pair_location", "n", "n_cases", "n_controls", "trait", "test", "missing_rate", "neg_log_10_p_value", "withheld"}  # fmt: skip
    assert {name for name, value in row.items() if value is not None} == kept
    assert row["neg_log_10_p_value"] == 2.6
    assert counted == {("t2d", "add", "a count under 11"): 3}


@pytest.mark.parametrize("least", [3, 5])
def test_rows_that_look_the_same_differ_in_every_small_count(least):
    """All rows of a few cases and controls: who sees what is left, and knows the rule, cannot tell a small count."""
    n_cases, n_controls = 6, 8
    cells = [(a, 2 * n_cases - a, c, 2 * n_controls - c) for a in range(13) for c in range(17)]
    left = masked(variants(cells), Policy("own", least)).select("n", "n_cases", "n_controls", "mac", "effect_allele_frequency",
        "effect_allele_frequency_cases", "effect_allele_frequency_controls", "beta", "neg_log_10_p_value")  # fmt: skip
    alike = defaultdict(list)
    for cell, row in zip(cells, left.rows()):
        alike[row].append(cell)
    few = 0
    for some in alike.values():
        for column in np.array(some).T:
            small = (column > 0) & (column < least)
            few += small.any()
            assert not small.any() or np.unique(column).size > 1
    assert few > 3


def test_few_cases_haploids_missing_calls_and_unknown_counts():
    few = variants([(8, 12, 60, 740)])  # ten cases
    assert masked(few, SNDS).select("n", "n_cases", "n_controls").row(0) == (None, None, None)
    assert masked(few, POLICIES["ukb"]).select("n", "n_cases").row(0) == (410, 10)
    haploid = variants([(40, 160, 20, 780)], mac=pl.lit(30.0))  # half of the alleles: one copy each; of controls 10
    assert masked(haploid, SNDS)["withheld"][0] is not None
    # 100 cases with a frequency of 0.06: 12 alleles if all have a call, 9 if the 5 % of 500 that have none are cases
    sure, unsure = variants([(12, 188, 60, 740)]), variants([(12, 188, 60, 740)], missing_rate=pl.lit(0.05))
    assert masked(sure, SNDS)["withheld"][0] is None and masked(unsure, SNDS)["withheld"][0] is not None
    unknown = variants([(40, 160, 60, 740)]).with_columns(
        pl.lit(None, pl.Float64).alias("mac"), pl.lit(None, pl.Int64).alias("n")
    )
    assert masked(unknown, SNDS)["beta"][0] is None
    predictor = unknown.with_columns(pl.lit(None, pl.String).alias("chromosome"), pl.lit(None, pl.Float64).alias("effect_allele_frequency"))  # fmt: skip
    assert (
        masked(predictor.drop("effect_allele_frequency_cases", "effect_allele_frequency_controls"), SNDS)["beta"][0]
        == 0.3
    )
    events = variants([(12, 188, 60, 740)]).rename({"n_cases": "n_events", "effect_allele_frequency_cases": "effect_allele_frequency_events"}).drop("n_controls", "effect_allele_frequency_controls")  # fmt: skip
    assert masked(events, SNDS)["withheld"][0] is None
    assert masked(events.with_columns(pl.lit(0.072 + 0.003).alias("effect_allele_frequency"), mac=75.0, effect_allele_frequency_events=pl.lit(0.35)), SNDS)["withheld"][0] is not None  # fmt: skip


def test_frequencies_are_floored():
    rows = variants([(40, 160, 60, 740), (15, 985, 15, 8985)])
    left = masked(rows, Policy("own", 5, floor=0.01))
    assert left["effect_allele_frequency"].to_list() == [0.1, 0.01]
    assert left["mac"].to_list() == [100.0, None]


def sets_of(carriers, **more):
    n = len(carriers)
    columns = {
        "set_id": ["G"] * n, "mask": ["lof"] * n, "max_maf": np.linspace(0.001, 0.1, n), "trait": ["y"] * n, "test": ["burden"] * n,
        "left_out": [None] * n, "mac": [float(c) for c in carriers], "n_carriers": carriers, "n_carriers_cases": [None] * n,
        "n_carriers_controls": [None] * n, "n": [1000] * n, "beta": [0.1] * n, "neg_log_10_p_value": [1.234] * n, "code": [None] * n,
        "top_variants": ["v"] * n,
    }  # fmt: skip
    kinds = {"left_out": pl.String, "n_carriers_cases": pl.Int64, "n_carriers_controls": pl.Int64, "code": pl.String}
    return pl.DataFrame(columns, schema_overrides=kinds).with_columns(**more)


def test_bins_that_differ_by_few_carriers():
    rows = sets_of([4, 50, 55, 58, 90])
    for policy, shown in ((SNDS, [None, 50, 55, 58, 90]), (POLICIES["casd"], [None, None, None, 58, 90])):
        assert masked(rows, policy)["n_carriers"].to_list() == shown
    nearly_all = masked(rows.with_columns(n=pl.lit(60)), SNDS)["n_carriers"].to_list()
    assert nearly_all == [None, None, None, None, 90]  # 10, 5 and 2 samples are no carriers


def test_the_fewest_units_are_withheld():
    generator = np.random.default_rng(3)
    for _ in range(100):
        counts = [(float(c),) for c in generator.integers(11, 60, 6)]
        shown = _shown(counts, POLICIES["casd"])
        fitting = [
            some for size in range(7) for some in itertools.combinations(range(6), size)
            if all(SNDS.allows(abs(counts[a][0] - counts[b][0])) for a, b in itertools.combinations(some, 2))
        ]  # fmt: skip
        assert tuple(sorted(shown)) in fitting and len(shown) == max(map(len, fitting))


@pytest.fixture(scope="module")
def results(tmp_path_factory):
    folder = tmp_path_factory.mktemp("disclosed")
    files = make_files(folder, n_samples=200, n_variants=400)
    cohort = ga.Cohort.align(files.store, files.phenotypes)
    made = ga.associate(cohort, ga.Linear(["ldl"]), out=folder / "full.parquet", relatedness=False)
    made.provenance["notes"] = ["ids nearly match: 'S-17 ' and 'S-17'"]
    return folder, made


def test_a_table_written_under_a_policy(results):
    folder, made = results
    whole = (folder / "full.parquet").read_bytes()
    made.write(folder / "out.parquet", policy="snds")
    read = ga.Results.read(folder / "out.parquet")
    few = (made.table["mac"] > 0) & (made.table["mac"] < 11)
    assert 0 < few.sum() < few.len()
    assert read.table["withheld"].is_not_null().to_list() == few.to_list()
    assert (
        read.table.filter(few).select("mac", "beta", "standard_error", "effect_allele_frequency").null_count().row(0)
        == (few.sum(),) * 4
    )
    assert read.table.filter(~few).drop("withheld").equals(made.table.filter(~few))
    lines = (folder / "out.parquet.withheld.txt").read_text().splitlines()
    assert (
        lines[0] == "policy snds: no count of 1 to 10 leaves"
        and f"{few.sum():,} of {few.len():,} rows of ldl, test add" in lines[1]
    )
    record = (folder / "out.parquet.provenance.json").read_text()
    assert "S-17" not in record and str(folder) not in record
    assert (
        json.loads(record)["disclosure"]["policy"] == "snds"
        and "notes" in json.loads(record)["disclosure"]["withheld"][-1]
    )
    assert (folder / "full.parquet").read_bytes() == whole and (made.table["beta"].is_not_null() & few).any()
    for other in ({}, {"policy": "ukb"}):  # other columns and cells than the file has: not replaced unasked
        with pytest.raises(OutputError, match="exists already"):
            made.write(folder / "out.parquet", **other)
    made.write(folder / "out.parquet", policy="snds")  # the same again
    with pytest.raises(OutputError, match="results themselves"):
        made.write(folder / "full.parquet", policy="snds", overwrite=True)


def test_text_and_dialects_under_a_policy(results):
    folder, made = results
    made.write(folder / "out.tsv.gz", policy=Policy("own", 4, floor=0.05))
    assert ga.Results.read(folder / "out.tsv.gz").table["effect_allele_frequency"].drop_nulls().min() == 0.05
    (written,) = made.write(folder / "ssf.tsv.gz", "gwas-ssf", policy="casd")
    assert written.n_rows + sum(written.not_held.values()) == made.table.height
    assert written.n_rows <= made.table.filter(pl.col("mac") >= 11).height
    assert str(folder) not in (folder / "ssf.tsv.gz.provenance.json").read_text()


def test_sets_under_a_policy(tmp_path):
    files = gene_cohort.make_files(tmp_path, n_samples=300, n_genes=5)
    made = gene_cohort.run(files, tests=("burden",), max_maf=(0.005, 0.01, 0.05))
    made.write(tmp_path / "out.parquet", policy="casd")
    left = ga.Results.read(tmp_path / "out.parquet")
    assert isinstance(left, ga.SetResults)
    shown = left.table.filter(pl.col("n_carriers").is_not_null())
    assert 0 < shown.height < left.table.height
    for _, unit in shown.unique(["set_id", "trait", "mask", "max_maf"]).group_by("set_id", "trait"):
        for a, b in itertools.combinations([0, *unit["n_carriers"]], 2):
            assert a == b or abs(a - b) >= 11
