"""Results: reading, writing, the best rows, inflation; progress beside them."""

import gzip
import io
import json
import math
from itertools import pairwise
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from count_cohort import scan

from genassoc import provenance
from genassoc.data import result_table
from genassoc.data.result_table import RESULT_SCHEMA, SUFFIXES
from genassoc.errors import GenassocError, InputError, OutputError
from genassoc.progress import Lines, Progress, Silent, Terminal, default_progress
from genassoc.results import Results, read_provenance, write_provenance

RECORD = {
    "parameters": {"traits": ["a", "b"]},
    "variants": {"read": 12, "kept": 9, "dropped": {"maf": 2, "missing": 1}},
}


def make_table(p: list[float | None], traits: tuple[str, ...] = ("a",)) -> pl.DataFrame:
    """A row for each p and trait, in store order."""
    n = len(p) * len(traits)
    frame = pl.DataFrame(
        {
            "chromosome": ["1"] * n,
            "base_pair_location": [i // len(traits) + 1 for i in range(n)],
            "effect_allele": ["G"] * n,
            "other_allele": ["A"] * n,
            "beta": [0.1 + i / 3 for i in range(n)],
            "neg_log_10_p_value": [value for value in p for _ in traits],
            "variant_id": [f"1_{i // len(traits) + 1}_A_G" for i in range(n)],
            "trait": list(traits) * len(p),
            "test": ["add"] * n,
            "code": [None if value is not None else "monomorphic" for value in p for _ in traits],
        },
        schema_overrides={"neg_log_10_p_value": pl.Float64, "code": pl.String},
    )
    missing = [
        pl.lit(None, dtype=dtype).alias(name) for name, dtype in RESULT_SCHEMA.items() if name not in frame.columns
    ]
    return frame.with_columns(missing).select(list(RESULT_SCHEMA))


def test_top_is_sorted_without_nulls_and_ties_stay_in_store_order() -> None:
    results = Results(make_table([1.0, None, 5.0, 3.0, 5.0, float("nan"), 1.0]))
    assert results.top(10)["base_pair_location"].to_list() == [3, 5, 4, 1, 7]
    assert results.top(2)["neg_log_10_p_value"].to_list() == [5.0, 5.0]
    assert results.top().columns == [*RESULT_SCHEMA, "p_value"]


def test_top_of_one_trait() -> None:
    results = Results(make_table([1.0, 2.0], ("a", "b")))
    assert results.top(trait="b")["trait"].to_list() == ["b", "b"]
    with pytest.raises(GenassocError, match="no trait 'c' in these results; they hold a, b"):
        results.top(trait="c")


@pytest.mark.parametrize("n", [1, 2, 501, 1000])
def test_lambda_is_the_median_chi2(n: int) -> None:
    from scipy import stats

    chi2 = np.random.default_rng(n).chisquare(1, n) * 1.3
    p = -stats.chi2.logsf(chi2, 1) / math.log(10)
    found = Results(make_table([*p.tolist(), None])).lambda_gc()
    # Two special functions and back: relative error of a few ulp each, hence 1e-9.
    assert found == pytest.approx(np.median(chi2) / stats.chi2(1).median(), rel=1e-9)


def test_lambda_of_strong_signals_does_not_pass_through_p() -> None:
    # -log10 p = 400 underflows as a p; z there is 42.8... and chi2 / 0.4549 about 4000.
    found = Results(make_table([400.0])).lambda_gc()
    assert isinstance(found, float) and 4000 < found < 4100


def test_lambda_for_each_trait_and_test() -> None:
    results = Results(make_table([0.3, 1.0, None], ("a", "b")))
    table = results.lambda_gc()
    assert isinstance(table, pl.DataFrame)
    assert table.select("trait", "test", "n_variants").rows() == [("a", "add", 2), ("b", "add", 2)]
    assert results.lambda_gc("b") == table["lambda_gc"][1]
    assert math.isnan(Results(make_table([None])).lambda_gc())  # type: ignore[arg-type]


def test_codes_are_counted() -> None:
    assert Results(make_table([1.0, None, None])).codes().rows() == [
        ("a", "add", None, 1),
        ("a", "add", "monomorphic", 2),
    ]


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_what_is_written_is_read_back(suffix: str, tmp_path: Path) -> None:
    # Floats that a fixed number of digits would spoil.
    values: list[float | None] = [0.1 + 0.2, 1e-300, 1 / 3, 123456.789e10, None, 2.0**-1074, 1e300]
    table = make_table(values, ("a", "b"))
    path = Results(table, RECORD).write(tmp_path / f"r{suffix}")
    again = Results.read(path)
    assert again.table.equals(table)
    assert again.provenance == RECORD
    assert sorted(entry.name for entry in tmp_path.iterdir()) == [path.name, f"{path.name}.provenance.json"]
    copy = again.write(tmp_path / f"copy{suffix}")
    assert copy.read_bytes() == path.read_bytes()


def test_any_form_can_be_written_in_any_other(tmp_path: Path) -> None:
    made = scan(tmp_path / "run.parquet").path
    text = Results.read(made).write(tmp_path / "r.tsv.gz")
    # The same rows in other row groups: those of a run are its tasks'.
    assert Results.read(Results.read(text).write(tmp_path / "r.parquet")).table.equals(pl.read_parquet(made))
    plain = Results.read(made).write(tmp_path / "r.tsv")
    assert gzip.decompress(text.read_bytes()) == plain.read_bytes()
    assert text.read_bytes()[4:8] == bytes(4)  # gzip's time of writing
    lines = plain.read_text().splitlines()
    assert lines[0].split("\t") == [*RESULT_SCHEMA, "n_cases"]
    assert lines[1].split("\t")[5] == "NA"


def test_dialects(tmp_path: Path) -> None:
    results = Results(make_table([1.0]))
    assert results.write(tmp_path / "r.parquet", dialect="parquet").exists()
    with pytest.raises(OutputError, match="no dialect 'klingon'; there are parquet, tsv"):
        results.write(tmp_path / "x.tsv", dialect="klingon")
    with pytest.raises(OutputError, match=r"ends in \.parquet"):
        results.write(tmp_path / "x.tsv", dialect="parquet")
    with pytest.raises(OutputError, match="one of"):
        results.write(tmp_path / "x.xlsx")
    assert sorted(entry.name for entry in tmp_path.iterdir()) == ["r.parquet", "r.parquet.provenance.json"]


def test_reading_what_is_no_table_of_results(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="there is no results file"):
        Results.read(tmp_path / "absent.parquet")
    for name, content, message in [
        ("notes.docx", b"", "name ends in none of"),
        ("bad.parquet", b"PAR1 not parquet", "cannot be read"),
        ("empty.tsv", b"", "cannot be read"),
        ("other.tsv", b"chromosome\tpos\n1\t2\n", "no column base_pair_location, effect_allele"),
    ]:
        (tmp_path / name).write_bytes(content)
        with pytest.raises(InputError, match=message):
            Results.read(tmp_path / name)


def test_a_damaged_provenance_is_said(tmp_path: Path) -> None:
    path = Results(make_table([1.0])).write(tmp_path / "r.tsv")
    assert Results.read(path).provenance == {}
    provenance.sidecar(path).write_text("{half")
    with pytest.raises(InputError, match="no record of provenance"):
        Results.read(path)


def test_ledger_accounts_for_every_variant() -> None:
    ledger = Results(make_table([1.0]), RECORD).ledger
    assert ledger.rows() == [
        ("read", None, 12),
        ("kept", None, 9),
        ("dropped", "maf", 2),
        ("dropped", "missing", 1),
    ]
    assert Results(make_table([1.0])).ledger.is_empty()


def test_the_ledger_of_a_run(tmp_path: Path) -> None:
    merged = scan(tmp_path / "r.parquet")
    write_provenance(merged.path, provenance.Recorder({"a": 1}).finish(variants=merged.counts.to_dict()))
    ledger = Results.read(merged.path).ledger
    kept, dropped = ledger.filter(pl.col("status") == "kept"), ledger.filter(pl.col("status") == "dropped")
    assert kept["n_variants"].sum() + dropped["n_variants"].sum() == 1500


def test_repr_is_short() -> None:
    assert repr(Results(make_table([1.0, 2.0], ("a", "b")))) == "Results(in memory: 4 rows; traits a, b)"
    many = Results(make_table([1.0], tuple(f"t{i}" for i in range(8))))
    assert repr(many) == "Results(in memory: 8 rows; traits t0, t1, t2, t3, t4 and 3 more)"


def test_a_file_is_read_only_when_needed(tmp_path: Path) -> None:
    path = Results(make_table([1.0])).write(tmp_path / "r.parquet")
    results = Results.read(path)
    assert results._table is None
    assert isinstance(results.scan(), pl.LazyFrame)
    assert results.table.height == 1
    assert read_provenance(path) == {}
    assert json.loads(write_provenance(path, {"x": path}).read_text())["x"] == str(path)
    assert read_provenance(path) == {"x": str(path)}


def test_rows_in_groups_keep_their_order() -> None:
    table = make_table([float(i) for i in range(23)])
    for cuts in ([0, 23], [0, 1, 2, 22, 23], [0, 5, 5, 10, 23]):
        groups = list(result_table.in_groups([table[a:b] for a, b in pairwise(cuts)], 5))
        assert [group.height for group in groups] == [5, 5, 5, 5, 3]
        assert pl.concat(groups).equals(table)
    assert [group.height for group in result_table.in_groups([table.clear()])] == [0]


# --- progress -----------------------------------------------------------------------------------


def test_lines_are_few() -> None:
    stream, now = io.StringIO(), [0.0]
    lines = Lines(stream, clock=lambda: now[0])
    lines.begin("testing", 100_000, "variants")
    for _ in range(1000):
        now[0] += 1.0
        lines.advance(100)
    lines.end()
    lines.end()
    said = stream.getvalue().splitlines()
    assert said[0] == "testing: 100,000 variants"
    assert said[1] == "testing: 10,000 of 100,000 variants (10%), 100 variants/s, 15 min 0 s left"
    assert said[-1] == "testing: 100,000 variants in 16 min 40 s"
    assert len(said) == 12


def test_lines_without_a_total_or_in_a_slow_run() -> None:
    stream, now = io.StringIO(), [0.0]
    lines = Lines(stream, clock=lambda: now[0])
    lines.begin("reading", None, "records")
    for _ in range(9):
        now[0] += 100.0
        lines.advance(1)
    lines.end()
    assert len(stream.getvalue().splitlines()) == 5  # begin, every 300 s, end


@pytest.mark.parametrize("progress", [Silent(), Terminal(), Lines(io.StringIO())])
def test_progress_has_one_interface(progress: Progress, capsys: pytest.CaptureFixture[str]) -> None:
    assert isinstance(progress, Progress)
    progress.advance(1)
    for total in (10, None):
        progress.begin("testing", total, "variants")
        progress.advance(5)
        progress.advance(5)
        progress.end()
    progress.end()
    assert capsys.readouterr().out == ""  # standard output is for results


def test_a_log_file_gets_lines() -> None:
    assert isinstance(default_progress(), Lines | Terminal)


def test_results_are_written_under_a_name_that_is_text(tmp_path):
    with pytest.raises(OutputError, match="no UTF-8 text"):
        result_table.table_suffix(tmp_path / "r\udcff.parquet")
