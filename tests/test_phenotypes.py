"""Phenotypes and designs: what is read, what is refused and in which words, what is left out and recorded."""

import gzip
import subprocess
import sys

import numpy as np
import pandas as pd
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from real_data import real_data

from genassoc.data.phenotypes.design import build_design
from genassoc.data.phenotypes.phenotypes import Phenotypes
from genassoc.data.phenotypes.tables import read_text_table
from genassoc.errors import InputError, PhenotypeError


def table(**columns):
    n = len(next(iter(columns.values())))
    return pl.DataFrame({"IID": [f"S{i}" for i in range(n)], **columns}, strict=False)


def design(frame, traits, covariates=(), *, kind="quantitative", missing_codes=None):
    phenotypes = Phenotypes.read(frame, missing_codes=missing_codes)
    return build_design(phenotypes, np.arange(phenotypes.table.height), traits, covariates, kind)


def write(path, text):
    path.write_bytes(text.encode() if isinstance(text, str) else text)
    return path


# Reading ------------------------------------------------------------------------------------------------

TEXT = "IID\tbmi\tsite\n007\t1.5\tA\nS2\tNA\tB\nS3\t-2\t\n"


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("p.tsv", TEXT),
        ("p.csv", TEXT.replace("\t", ",")),
        ("semicolons.csv", TEXT.replace("\t", ";")),
        ("blanks.txt", "FID IID bmi site\nF  007   1.5 A\n F S2 NA B\nF S3 -2 NA  \n"),
        ("plink.txt", "#FID IID bmi site\n1 007 1.5 A\n1 S2 NaN B\n1 S3 -2 nan\n"),
        ("plink_tabs.txt", "#IID\tbmi\tsite\n007\t1.5\tA\nS2\tnan\tB\nS3\t-2\tNA\n"),
        ("crlf.tsv", TEXT.replace("\n", "\r\n")),
        ("bom.tsv", b"\xef\xbb\xbf" + TEXT.encode()),
        ("quoted.csv", '"IID","bmi","site"\n"007","1.5","A"\n"S2",NA,"B"\n"S3","-2",""\n'),
        ("r_table.txt", '"IID" "bmi" "site"\n"007" 1.5 "A"\n"S2" NA "B"\n"S3" -2 NA\n'),
        ("no_newline.tsv", TEXT.rstrip("\n")),
        ("blank_lines.tsv", "\n##made by hand\n" + TEXT.replace("\nS2", "\n\nS2") + "\n\n"),
        ("spaces.csv", "IID, bmi, site\n007 , 1.5,A\nS2, NA ,B\nS3,-2,  \n"),
        ("gzipped.tsv", gzip.compress(TEXT.encode(), mtime=0)),
    ],
)
def test_every_spelling_of_a_file_reads_the_same(tmp_path, name, content):
    read = Phenotypes.read(write(tmp_path / name, content))
    assert list(read.sample_ids) == ["007", "S2", "S3"]
    assert read.table["bmi"].to_list() == [1.5, None, -2.0]
    assert read.table["site"].to_list() == ["A", "B", None]


@settings(max_examples=80, deadline=None)
@given(
    st.lists(st.lists(st.text("ab1. \t,;é", max_size=4), min_size=3, max_size=3), min_size=1, max_size=8),
    st.sampled_from(["\t", ",", ";"]),
    st.sampled_from(["\n", "\r\n"]),
    st.sampled_from(["", "\n", "\n\n"]),
)
def test_plain_and_quoted_files_are_read_alike(tmp_path_factory, rows, delimiter, newline, end):
    """Files without quotes go through polars, others line by line: the same table, the same lines."""
    folder = tmp_path_factory.mktemp("alike")
    rows = [["".join(c for c in field if c not in "\t,;") for field in row] for row in rows]
    lines = [delimiter.join(row) for row in (["id", "x", "y"], *rows)]
    plain = write(folder / "plain", newline.join(lines) + end)
    lines[0] = delimiter.join(['"id"', "x", "y"])
    quoted = write(folder / "quoted", newline.join(lines) + end)
    if not any(field.strip() for row in rows for field in row):
        for path in (plain, quoted):
            with pytest.raises(InputError, match="no line of data"):
                read_text_table(path)
        return
    one, other = read_text_table(plain), read_text_table(quoted)
    assert one.columns.equals(other.columns) and one.lines.tolist() == other.lines.tolist()


def test_frames_and_parquet_read_as_the_file_does(tmp_path):
    frame = pl.DataFrame({"IID": ["007", "S2", "S3"], "bmi": [1.5, float("nan"), -2], "site": ["A", "B", None]})
    frame.write_parquet(tmp_path / "p.parquet")
    text = Phenotypes.read(write(tmp_path / "p.tsv", TEXT)).table
    index = pd.DataFrame({"bmi": [1.5, np.nan, -2], "site": ["A", "B", None]})
    index.index = pd.Index(["007", "S2", "S3"], name="IID")
    for source in (frame, frame.lazy().collect(), tmp_path / "p.parquet", frame.to_pandas(), index):
        read = Phenotypes.read(source).table
        assert read.select(text.columns).equals(text), source
    nullable = frame.to_pandas().astype({"bmi": "Float64", "site": "category"})
    assert Phenotypes.read(nullable).table.equals(text)


def test_reading_a_file_imports_neither_pandas_nor_formulaic(tmp_path):
    path = write(tmp_path / "p.tsv", "IID\ty\tage\tsite\nA\t1\t3\tx\nB\t2\t5\ty\nC\t4\t4\tx\n")
    code = (
        "import sys, numpy as np; from genassoc.data.phenotypes.phenotypes import Phenotypes; "
        "from genassoc.data.phenotypes.design import build_design; "
        f"build_design(Phenotypes.read({str(path)!r}), np.arange(3), ['y'], ['site']); "
        "assert not {'pandas', 'formulaic', 'matplotlib', 'zarr'} & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


@pytest.mark.parametrize(
    ("content", "words"),
    [
        ("", ["empty"]),
        ("IID\tx\n", ["no line of data"]),
        ("IID\tx\nA\t1\nB\t2\t3\n", ["line 3", "3 fields", "names 2 columns", "tabs"]),
        ("IID x y\nA 1 2\nB 2\n", ["line 3", "2 fields", "NA"]),
        ("IID x\n1 A 1\n2 B 2\n", ["line 2", "row.names=FALSE"]),
        ("IID\tx\tx\nA\t1\t2\n", ["line 1", "'x' more than once"]),
        ("IID\tx\t\nA\t1\t2\n", ["line 1", "column 3", "no name"]),
        ("1 1 0.3\n2 2 0.4\n", ["line 1", "numbers only", "header"]),
        ('IID,x\nA,"1\nB,2\n', ["line", "quotation mark"]),
        (b"IID\tx\nA\t\xff\xfe1\n", ["line 2", "UTF-8"]),
        (TEXT.encode("utf-16"), ["UTF-16"]),
        (b"PK\x03\x04rest", ["Excel"]),
        (b"IID\tx\0\n", ["not a text file"]),
        (gzip.compress(TEXT.encode() * 50, mtime=0)[:-20], ["cut short"]),
    ],
)
def test_files_that_are_no_tables_are_refused_with_the_line(tmp_path, content, words):
    path = write(tmp_path / "bad.tsv", content)
    with pytest.raises(InputError) as error:
        Phenotypes.read(path)
    for word in [*words, "bad.tsv"]:
        assert word in str(error.value)


def test_absent_files_and_foreign_objects_are_refused(tmp_path):
    for name in ("absent.tsv", "absent.parquet"):
        with pytest.raises(InputError, match="no such file"):
            Phenotypes.read(tmp_path / name)
    with pytest.raises(InputError, match="cannot be read"):
        Phenotypes.read(tmp_path)
    with pytest.raises(InputError, match="Parquet"):
        Phenotypes.read(write(tmp_path / "text.parquet", TEXT))
    with pytest.raises(PhenotypeError, match="not dict"):
        Phenotypes.read({"IID": ["A"]})


def test_the_id_column_is_found_in_a_fixed_order():
    names = ["s", "ID", "Sample", "sample_id", "#IID", "iid"]
    for last in range(1, len(names) + 1):
        frame = pl.DataFrame({name: [f"{name}1"] for name in names[:last]})
        assert Phenotypes.read(frame).sample_id == names[last - 1]
    assert Phenotypes.read(pl.DataFrame({"#IID": ["A"], "x": [1]}), sample_id="IID").sample_id == "#IID"
    with pytest.raises(PhenotypeError, match=r"which column holds the sample ids.*eid, bmi"):
        Phenotypes.read(pl.DataFrame({"eid": ["A"], "bmi": [1]}))
    with pytest.raises(PhenotypeError, match=r"'eid2'.*'eid'"):
        Phenotypes.read(pl.DataFrame({"eid": ["A"], "bmi": [1]}), sample_id="eid2")


def test_ids_are_text_and_unique(tmp_path):
    with pytest.raises(PhenotypeError, match=r"'A' \(lines 2, 5\).*'B' \(lines 3, 4\)"):
        Phenotypes.read(write(tmp_path / "d.tsv", "IID\tx\nA\t1\nB\t2\nB\t2\nA\t3\nC\t1\n"))
    with pytest.raises(PhenotypeError, match=r"'A' \(rows 1, 2\)"):
        Phenotypes.read(pl.DataFrame({"IID": ["A", "A "], "x": [1, 2]}))
    with pytest.raises(PhenotypeError, match="no sample id in 'IID', first line 3"):
        Phenotypes.read(write(tmp_path / "e.tsv", "IID\tx\nA\t1\n\t2\n"))
    with pytest.raises(PhenotypeError, match="Float64 values, not text"):
        Phenotypes.read(pl.DataFrame({"IID": [1.0, 2.0]}))
    assert list(Phenotypes.read(pl.DataFrame({"IID": [1, 2]})).sample_ids) == ["1", "2"]
    assert list(Phenotypes.read(pl.DataFrame({"IID": ["NA", "-9"]}), missing_codes=["-9"]).sample_ids) == [
        "NA",
        "-9",
    ]


@settings(max_examples=60, deadline=None)
@given(st.lists(st.floats(allow_nan=False, allow_infinity=False), min_size=1, max_size=30))
def test_numbers_survive_the_text_to_the_last_bit(values):
    frame = table(x=[repr(value) for value in values])
    read = Phenotypes.read(frame, missing_codes=[])
    assert read.numbers("x", np.arange(len(values))).tobytes() == (np.array(values) + 0.0).tobytes() or np.array_equal(
        read.numbers("x", np.arange(len(values))), np.array(values)
    )


# Values -------------------------------------------------------------------------------------------------


def test_a_value_that_is_no_number_is_named_with_its_line(tmp_path):
    path = write(tmp_path / "p.tsv", "IID\tbmi\nA\t20\nB\t.\nC\t2O\nD\t21\n")
    with pytest.raises(PhenotypeError) as error:
        design(path, ["bmi"])
    for word in (
        "'bmi'",
        "'.' in line 3 (sample B)",
        "'2O' in line 4 (sample C)",
        'missing_codes={"bmi": [".", "2O"]}',
        "--missing-code bmi=. --missing-code bmi=2O",
    ):
        assert word in str(error.value)
    assert design(path, ["bmi"], missing_codes=[".", "2O"]).y[:, 0].tolist()[:1] == [20.0]
    # mostly numbers: not taken for a categorical covariate
    with pytest.raises(PhenotypeError, match=r"used as numbers.*C\(dose\)"):
        design(table(y=[1, 2, 4, 3], dose=["1", "2", "3", "2x"]), ["y"], ["dose"])


@pytest.mark.parametrize("value", ["inf", "-Infinity", "1e999"])
def test_infinities_are_errors(value):
    with pytest.raises(PhenotypeError, match=r"infinite values, first in row 2 \(sample S1\)"):
        design(table(y=["1", value, "3"]), ["y"])


def test_an_undeclared_minus_nine_is_refused_and_a_declared_one_is_not():
    frame = table(y=[1.5, -9, 2, 3.5], b=[1, 2, 2, -9], honest=[-12, -9, 0, 12], low=[-9, -8.5, 3, 1])
    for trait, kind in (("y", "quantitative"), ("b", "quantitative"), ("b", "binary")):
        with pytest.raises(PhenotypeError, match=r"-9 for 1 samples.*missing_codes=\[\"-9\"\].*--missing-code -9"):
            design(frame, [trait], kind=kind)
    with pytest.raises(PhenotypeError, match="'b' has the value -9"):
        design(frame, ["honest"], ["b"])
    with pytest.raises(PhenotypeError, match="'b' has the value -9"):
        design(frame, ["honest"], "b + low")
    assert design(frame, ["honest", "low"]).y[:, 0].tolist() == [-12, -9, 0, 12]
    declared = design(frame, ["y"], missing_codes=["-9"])
    assert np.isnan(declared.y[:, 0]).tolist() == [False, True, False, False]
    assert design(frame, ["y"], missing_codes=[]).y[1, 0] == -9
    assert np.isnan(design(table(y=["-9.0", "1", "2"]), ["y"], missing_codes=["-9"]).y[0, 0])
    with pytest.raises(PhenotypeError, match="-9"):
        design(table(y=[1, 2, 3], site=["A", "-9", "B"]), ["y"], ["site"])


def test_phenotypes_can_be_declared_anew():
    first = Phenotypes.read(table(y=[1, -9, 2]))
    again = Phenotypes.read(first, missing_codes=["-9"])
    assert again.table["y"].to_list() == [1, None, 2] and Phenotypes.read(first) is first
    assert first.fingerprint != again.fingerprint
    assert first.fingerprint == Phenotypes.read(table(y=[1, -9, 2])).fingerprint


def test_constant_and_empty_traits_are_refused():
    frame = table(y=[3.5, 3.5, None], z=[None, None, None], c=[1, 1, 1], x=[1.0, None, 2], w=[1, 2, 1])
    with pytest.raises(PhenotypeError, match=r"'y' is constant: it is 3.5 in all 2"):
        design(frame, ["y"])
    with pytest.raises(PhenotypeError, match="'z' is missing in all of the cohort's 3 samples"):
        design(frame, ["z"])
    with pytest.raises(PhenotypeError, match="'z' is missing in all"):
        design(frame, ["z"], kind="binary")
    with pytest.raises(PhenotypeError, match=r"'c'.*1 \(3 samples\).*constant"):
        design(frame, ["c"], kind="binary")
    with pytest.raises(PhenotypeError, match=r"'w' is constant.*2 samples of the cohort that have all covariates"):
        design(frame, ["w"], ["x"])


def test_a_column_that_is_not_there_is_answered_with_those_like_it():
    frame = table(height=[1, 2, 3], Weight=[2, 1, 3], PC1=[1, 2, 4], PC2=[3, 1, 2])
    with pytest.raises(PhenotypeError, match=r"no column is named 'heigth' \(asked for as a trait\).*'height'"):
        design(frame, ["heigth"])
    with pytest.raises(PhenotypeError, match=r"covariate\).*'Weight'"):
        design(frame, ["height"], ["weight"])
    with pytest.raises(PhenotypeError, match=r"'PC1:PC4' needs 'PC3', 'PC4'"):
        design(frame, ["height"], ["PC1:PC4"])
    with pytest.raises(PhenotypeError, match="backwards"):
        design(frame, ["height"], ["PC2:PC1"])
    with pytest.raises(PhenotypeError, match="sample ids"):
        design(frame, ["height"], ["IID"])
    with pytest.raises(PhenotypeError, match="as a trait and as a covariate"):
        design(frame, ["height"], ["height"])
    with pytest.raises(PhenotypeError, match="more than once"):
        design(frame, ["height", "height"])


# Binary traits ------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("values", "expected", "coding"),
    [
        ([0, 1, None, 1], [0, 1, np.nan, 1], "0 = control, 1 = case"),
        ([1, 2, None, 1], [0, 1, np.nan, 0], "1 = control, 2 = case"),
        ([1.0, 2.0, None, 1.0], [0, 1, np.nan, 0], "1 = control, 2 = case"),
        ([True, False, None, True], [1, 0, np.nan, 1], "0 = control, 1 = case"),
        (["case", "control", "NA", "case"], [1, 0, np.nan, 1], "control = control, case = case"),
        (
            ["affected", "unaffected", "", "affected"],
            [1, 0, np.nan, 1],
            "unaffected = control, affected = case",
        ),
        (["Yes", "No", "", "No"], [1, 0, np.nan, 0], "No = control, Yes = case"),
        (["responder", "non-responder", "", "responder"], [1, 0, np.nan, 1], "non-responder = control"),
        (["t2d", "healthy", "", "t2d"], [1, 0, np.nan, 1], "healthy = control, t2d = case"),
    ],
)
def test_binary_codings(values, expected, coding):
    made = design(table(d=values), ["d"], kind="binary")
    np.testing.assert_array_equal(made.y[:, 0], expected)
    assert coding in made.coding[0] and made.kinds == ("binary",)


@pytest.mark.parametrize(
    ("values", "words"),
    [
        ([0, 1, 2, 1], ["0 (1 samples), 1 (2 samples), 2 (1 samples)", "PLINK"]),
        ([0, 2, 2, 2], ["0 (1 samples) and 2 (3 samples)", "--missing-code d=0", "case_value={'d': '2'}"]),
        (["a", "b", "c", "c"], ["a (1 samples)", "missing"]),
        ([1.5, 2.5, 3.5, 1.5], ["1.5 (2 samples)"]),
        ([10, 20, 10, 20], ["10 (2 samples)", "0/1 and 1/2"]),
        ([0.5, 1.5, 2.5, 3.5], ["linear"]),
        (["3", "x", "4", "3"], ["3 (2 samples)"]),
    ],
)
def test_other_values_are_shown_with_their_counts(values, words):
    with pytest.raises(PhenotypeError) as error:
        design(table(d=values), ["d"], kind="binary")
    for word in words:
        assert word in str(error.value)


# Covariates ---------------------------------------------------------------------------------------------


def test_categories_are_treatment_coded_and_ranges_expand():
    n = 8
    frame = table(
        y=list(range(n)),
        site=["B", "C", "A", "A", "B", "C", "A", "B"],
        **{f"PC{k}": np.random.default_rng(k).normal(size=n) for k in range(1, 4)},
    )
    made = design(frame, ["y"], ["site", "PC1:PC3"])
    assert made.covariates == ("intercept", "site[B]", "site[C]", "PC1", "PC2", "PC3")
    np.testing.assert_array_equal(made.X[:, 0], 1)
    np.testing.assert_array_equal(made.X[:, 1], (frame["site"] == "B").to_numpy())
    np.testing.assert_array_equal(made.X[:, 4], frame["PC2"].to_numpy())
    assert made.complete.all() and not made.dropped_covariates and made.dropped_samples.height == 0
    padded = table(y=[1, 2, 3, 5], PC01=[1, 2, 3, 9], PC02=[3, 1, 2, 5])
    assert design(padded, ["y"], ["PC01:PC02"]).covariates == ("intercept", "PC01", "PC02")
    none = design(frame, ["y"])
    assert none.covariates == ("intercept",) and none.X.shape == (n, 1)
    assert design(frame, [], ["PC1"]).y.shape == (n, 0)


def test_samples_that_lack_a_covariate_are_dropped_by_name():
    frame = table(y=[1, 2, 3, 4, 5, 7], age=[30, None, 50, 45, 33, 20], site=["A", "B", None, "B", "A", "A"])
    made = design(frame, ["y"], ["age", "site"])
    assert made.complete.tolist() == [True, False, False, True, True, True]
    assert made.dropped_samples.rows() == [("S1", "age"), ("S2", "site")]
    np.testing.assert_array_equal(made.X[~made.complete], 0)
    assert not np.isnan(made.X).any()
    assert any("2 samples lack a covariate" in line for line in made.summary_lines())
    with pytest.raises(PhenotypeError, match=r"none of 6 samples has all covariates .*empty missing in 6"):
        design(frame.with_columns(empty=pl.lit(None)), ["y"], ["age", "empty"])


def test_collinear_and_constant_covariates_are_dropped_named_and_recorded():
    rng = np.random.default_rng(3)
    age, pc1 = rng.normal(50, 9, 40), rng.normal(size=40)
    frame = table(
        y=rng.normal(size=40),
        age=age,
        copy=age,
        months=12 * age + 3,
        PC1=pc1,
        mixed=age - 2 * pc1,
        flat=np.full(40, 7.0),
        site=["A", "B", "C", "D"] * 10,
        region=["east", "east", "west", "west"] * 10,
        one=["x"] * 40,
    )
    made = design(frame, ["y"], ["age", "copy", "months", "PC1", "mixed", "flat", "site", "region", "one", "age"])
    assert made.covariates == ("intercept", "age", "PC1", "site[B]", "site[C]", "site[D]")
    assert made.X.shape == (40, 6)
    dropped = {str(one) for one in made.dropped_covariates}
    assert {(one.name, one.level) for one in made.dropped_covariates} == {
        ("copy", None),
        ("months", None),
        ("mixed", None),
        ("flat", None),
        ("region", "west"),
        ("one", None),
        ("age", None),
    }
    assert "copy: collinear: a copy of age, up to scale and shift" in dropped
    assert "mixed: collinear: a combination of age, PC1" in dropped
    assert "flat: constant (7)" in dropped
    assert "region[west]: collinear: a combination of site[C], site[D]" in dropped


def test_levels_and_constancy_are_of_complete_samples():
    frame = table(y=[1, 2, 3, 4, 6], site=["A", "B", "B", "C", "B"], age=[1, 4, 3, None, 8], d=[1, 1, 1, 2, 1])
    made = design(frame, ["y"], ["site", "age", "d"])
    assert made.covariates == ("intercept", "site[B]", "age")
    assert [str(one) for one in made.dropped_covariates] == ["d: constant (1)"]


def test_a_categorical_with_a_level_for_almost_everybody_is_refused():
    frame = table(y=list(range(60)), code=[f"c{i}" for i in range(60)])
    with pytest.raises(PhenotypeError, match="60 different values among 60 samples"):
        design(frame, ["y"], ["code"])


# Formulas -----------------------------------------------------------------------------------------------


def test_a_formula_keeps_the_rows_aligned():
    frame = table(
        y=[1, 2, 3, 4, 5, 7, 8],
        age=[30, 40, None, 45, 33, 20, 61],
        site=["A", "B", "C", None, "C", "A", "B"],
        unused=[None] * 7,
    )
    made = design(frame, ["y"], "age + I(age**2) + C(site)")
    assert made.covariates == ("intercept", "age", "I(age ** 2)", "C(site)[B]", "C(site)[C]")
    assert made.complete.tolist() == [True, True, False, False, True, True, True]
    assert made.dropped_samples.rows() == [("S2", "age"), ("S3", "site")]
    age = frame["age"].fill_null(0).to_numpy() * made.complete
    np.testing.assert_array_equal(made.X[:, 1], age)
    np.testing.assert_array_equal(made.X[:, 2], age**2)
    np.testing.assert_array_equal(made.X[:, 4], made.complete & (frame["site"] == "C").fill_null(False).to_numpy())


def test_a_formula_equals_the_list_where_both_can_say_it():
    rng = np.random.default_rng(8)
    frame = table(y=rng.normal(size=30), age=rng.normal(size=30), site=["B", "A", "C"] * 10, b=[True, False] * 15)
    by_list, by_formula = design(frame, ["y"], ["age", "site", "b"]), design(frame, ["y"], "age + site + b")
    columns = [by_formula.covariates.index(name) for name in by_list.covariates]
    np.testing.assert_array_equal(by_formula.X[:, columns], by_list.X)
    without = design(frame, ["y"], "0 + site")
    assert without.covariates[0] == "intercept" and len(without.dropped_covariates) == 1
    assert design(frame, ["y"], "").covariates == design(frame, ["y"], "1").covariates == ("intercept",)


def test_interactions_and_collinear_terms_of_formulas():
    rng = np.random.default_rng(8)
    frame = table(y=rng.normal(size=30), x1=rng.normal(size=30), x2=rng.normal(size=30))
    made = design(frame, ["y"], "x1*x2 + I(2*x1)")
    np.testing.assert_allclose(made.X[:, made.covariates.index("x1:x2")], frame["x1"] * frame["x2"], rtol=1e-15)
    assert [one.name for one in made.dropped_covariates] == ["I(2 * x1)"]


@pytest.mark.parametrize(
    ("formula", "words"),
    [
        ("y2 ~ age", "'~'"),
        ("age +* site", "cannot be understood"),
        ("age, site", "covariates as a list"),
        ("agee + site", "'age'"),
        ("PC1:PC3", r'covariates=\["PC1:PC3"\]'),
        ("age + PC1:PC3", "product of two columns"),
        ("log(zero)", "samples, first in row 2"),
        ("nosuchfunction(age)", r"'nosuchfunction\(\)' is not allowed"),
        ("exp(age, 1, 2, 3, 4)", "takes one argument"),
    ],
)
def test_formulas_that_cannot_be_meant(formula, words):
    rng = np.random.default_rng(8)
    frame = table(
        y=[1, 2, 3, 4],
        age=[3, 4, 9, 1],
        site=list("ABAB"),
        zero=[1, 0, 2, 3],
        PC1=rng.normal(size=4),
        PC3=rng.normal(size=4),
    )
    with pytest.raises(PhenotypeError, match=words):
        design(frame, ["y"], formula)


# Real data ----------------------------------------------------------------------------------------------


def test_the_phenotypes_of_the_1000_genomes_example():
    path = real_data("kg-genome") / "phenotypes.tsv"
    read = Phenotypes.read(path)
    made = build_design(read, np.arange(489), ["quant"], ["PC1:PC4"])
    assert made.X.shape == (489, 5) and 0.05 < np.isnan(made.y).mean() < 0.07
    case = build_design(read, np.arange(489), ["case"], ["PC1:PC4"], "binary")
    assert (np.nansum(case.y), case.coding) == (60, ("0 = control, 1 = case",))


def test_the_phenotypes_of_other_programs_examples():
    regenie = real_data("regenie-example")
    read = Phenotypes.read(regenie / "phenotype_bin_wNA.txt")
    made = build_design(read, np.arange(500), ["Y1", "Y2"], (), "binary")
    assert np.isnan(made.y).any() and read.sample_id == "IID"
    hail = real_data("hail")
    boolean = Phenotypes.read(hail / "regressionLogisticBoolean.pheno")
    assert boolean.table["isCase"].value_counts().height == 3  # "0" as well
    known = np.flatnonzero((boolean.table["isCase"] != "0").to_numpy())
    assert build_design(boolean, known, ["isCase"], (), "binary").coding == ("false = control, true = case",)
    glow = Phenotypes.read(real_data("glow-gwas") / "continuous-phenotypes.csv.gz")
    assert glow.table.height > 2000


# Codes that nobody declared -----------------------------------------------------------------------------------------


def spoilt(values, code, n):
    """``values`` with ``n`` of them replaced by a code."""
    values = np.array(values, dtype=float)
    values[:: values.size // n][:n] = code
    return values


@pytest.mark.parametrize(
    ("values", "code", "n"),
    [
        (np.random.default_rng(1).normal(0, 5, 400), -9, 30),  # values on both sides of it
        (np.random.default_rng(2).normal(0, 30, 400), -99, 20),
        (np.random.default_rng(3).normal(5, 1, 400), -99, 1),
        (np.random.default_rng(4).normal(5, 1, 400), 999, 1),
        (np.random.default_rng(5).integers(18, 90, 400), -999, 2),
        (np.random.default_rng(6).integers(0, 2, 400), 999, 3),
        (np.random.default_rng(7).uniform(100, 2000, 400), 999, 12),  # within, but a spike
    ],
)
def test_undeclared_codes_that_stand_out_are_refused(values, code, n):
    frame = table(y=spoilt(values, code, n).tolist())
    words = rf"{code} for {n} samples.*missing_codes=\[\"{code}\"\].*--missing-code {code}\).*--missing-code none"
    with pytest.raises(PhenotypeError, match=words):
        design(frame, ["y"])
    assert int(np.isnan(design(frame, ["y"], missing_codes=[str(code)]).y).sum()) == n
    assert not np.isnan(design(frame, ["y"], missing_codes=[]).y).any()
    text = table(y=[f"{value:.1f}" for value in spoilt(np.round(values, 1), code, n)])
    with pytest.raises(PhenotypeError, match=f"{code} for"):
        design(text, ["y"])


@pytest.mark.parametrize(
    "values",
    [
        np.random.default_rng(1).integers(-12, 13, 600),
        np.random.default_rng(2).integers(-100, 101, 5000),
        np.random.default_rng(3).integers(1, 1200, 3000),
        np.arange(1, 1000),
        np.random.default_rng(4).binomial(40, 0.3, 3000) - 21,  # a change score whose mode is at -9
        np.repeat(np.arange(-10, 11), [9, 60, *[9] * 19]),  # 60 are not five times 9 ... and -10 is below
        np.round(np.random.default_rng(5).normal(-9, 0.5, 3000), 1),
    ],
    ids=["-12..12", "-100..100", "sites", "counting", "change", "floor", "around -9"],
)
def test_honest_scales_pass(values):
    if list(values[:2]) == [-10, -10]:
        values = np.repeat(np.arange(-10, 11), [20, 60, *[20] * 19])
    frame = table(y=values.tolist())
    assert design(frame, ["y"]).y[:, 0].tolist() == list(values)


@pytest.mark.parametrize(
    ("formula", "word"), [("a + (a", r"1 '\(' and 0 '\)'"), ("a + C(a", r"1 '\('"), ("a + 'b", "not closed")]
)
def test_an_unbalanced_formula_says_so(formula, word):
    with pytest.raises(PhenotypeError, match=word):
        design(table(y=[1, 2, 3], a=[1, 2, 2]), ["y"], formula)
