"""Tables as hospitals write them: decimal commas, dates, encodings, workbooks, empty columns, odd types and digits."""

import datetime
import decimal
import gzip
import sys
import zipfile

import numpy as np
import pandas as pd
import polars as pl
import pytest

from genassoc.data.cohort.predictor_cohort import people_of, tables_of
from genassoc.data.phenotypes import endpoints
from genassoc.data.phenotypes.design import build_design
from genassoc.data.phenotypes.phenotypes import Phenotypes
from genassoc.data.phenotypes.reading import Reading
from genassoc.errors import GenassocError, InputError, PhenotypeError


def write(path, text):
    path.write_bytes(text.encode() if isinstance(text, str) else text)
    return path


def design(source, traits, covariates=(), kind="quantitative", levels=None, **reading):
    phenotypes = Phenotypes.read(source, **reading)
    return build_design(phenotypes, np.arange(phenotypes.table.height), traits, covariates, kind, levels)


# Decimal marks ------------------------------------------------------------------------------------------

COMMAS = "IID;age;crp;site\nA;41,5;1,25;x\nB;39;0,5;y\nC;NA;-2,5e1;x\nD;50,25;3;y\nE;33,5;7,5;x\n"


def test_decimal_commas_are_offered_and_read_when_declared(tmp_path):
    path = write(tmp_path / "p.csv", COMMAS)
    for use in (["crp"], ()), (["crp"], ["age"]), ((), ["age"]):
        with pytest.raises(PhenotypeError, match=r"decimal=\",\" \(--decimal ,\)") as error:
            design(path, *use)
        assert "line 2 (sample A)" in str(error.value) and "missing_codes" not in str(error.value)
    read = Phenotypes.read(path, decimal=",")
    assert read.table["age"].to_list() == [41.5, 39, None, 50.25, 33.5]
    assert read.table["crp"].to_list() == [1.25, 0.5, -25, 3, 7.5] and read.table["site"].to_list() == list("xyxyx")
    assert read.notes == ("decimal commas were read in 'age', 'crp'",)
    frame = pl.read_csv(path, separator=";", infer_schema=False)
    assert Phenotypes.read(frame, decimal=",").table["crp"].to_list() == [1.25, 0.5, -25, 3, 7.5]
    assert Phenotypes.read(write(tmp_path / "q.csv", COMMAS.replace(";", "\t")), decimal=",").table["age"][0] == 41.5
    quoted = write(tmp_path / "c.csv", 'IID,x\nA,"1,5"\nB,"2,5"\nC,3\n')
    assert Phenotypes.read(quoted, decimal=",").table["x"].to_list() == [1.5, 2.5, 3]


@pytest.mark.parametrize("values", [["1,5", "1.5", "2,5"], ["1.234", "2.500", "12.345"], ["1.234,5", "2,5", "3,5"]])
def test_a_column_with_points_and_declared_commas_is_not_guessed_at(values):
    frame = pl.DataFrame({"IID": ["A", "B", "C"], "x": values, "y": ["1,5", "2,5", "3"]})
    assert design(frame, ["y"], decimal=",").y[0, 0] == 1.5
    with pytest.raises(PhenotypeError, match="'x'"):
        design(frame, ["x"], decimal=",")


@pytest.mark.parametrize(
    ("value", "words"),
    [
        ("1,234", "decimal mark"),
        ("1 234", "thousands"),
        ("1'234.5", "thousands"),
        ("45%", "percent"),
        ("45,5 %", "percent"),
        ("<0.5", "a bound"),
        ("#REF!", "spreadsheet error"),
        ("#DIV/0!", "spreadsheet error"),
        ("31/12/2020", "date_format"),
        ("1.5e", "correct them"),
        ("１２", "digits as 0 to 9"),
        ("٣٫٥", "digits as 0 to 9"),
        ("\u22125", "digits as 0 to 9"),
        ("१२", "digits as 0 to 9"),
    ],
)
def test_what_is_nearly_a_number_is_named_with_its_line_and_a_remedy(tmp_path, value, words):
    path = write(tmp_path / "p.tsv", f"IID\ty\tx\nA\t1\t1\nB\t2\t{value}\nC\t4\t3\nD\t3\t7\n")
    assert design(path, ["y"]).y.shape == (4, 1)  # a column that is not used does not matter
    for use in (["x"], ()), (["y"], ["x"]):
        with pytest.raises(PhenotypeError) as error:
            design(path, *use)
        assert f"'{value}' in line 3 (sample B)" in str(error.value) and words in str(error.value)
    mostly = write(tmp_path / "m.tsv", "IID\ty\tx\n" + "".join(f"S{i}\t{i}\t{value}\n" for i in range(9)) + "Z\t3\t1\n")
    if words != "correct them":
        with pytest.raises(PhenotypeError, match=words):
            design(mostly, ["x"])


# Dates --------------------------------------------------------------------------------------------------


def test_dates_are_read_in_the_form_that_is_declared(tmp_path):
    path = write(
        tmp_path / "p.tsv",
        "IID\tborn\tseen\tsite\nA\t31/12/1980\t01/02/2020\tx\nB\t01/02/1990\t\ty\nC\t05/06/1970\t1/3/2021\tx\n",
    )
    read = Phenotypes.read(path, date_format="DD/MM/YYYY")
    assert read.table["born"].to_list() == ["1980-12-31", "1990-02-01", "1970-06-05"]
    assert read.table["seen"].to_list() == ["2020-02-01", None, "2021-03-01"] and "'born', 'seen'" in read.notes[0]
    years = endpoints.years_between(read, "born", "seen")
    expected = (datetime.date(2020, 2, 1) - datetime.date(1980, 12, 31)).days / 365.25
    assert years[0] == expected and years[1] is None and years.name == "seen_years"
    raw = pl.read_csv(path, separator="\t", infer_schema=False)
    assert endpoints.years_between(raw, "born", "seen", date_format="%d/%m/%Y").to_list() == years.to_list()
    with pytest.raises(PhenotypeError, match=r"date_format=\"DD/MM/YYYY\""):
        endpoints.years_between(raw, "born", "seen")
    with pytest.raises(PhenotypeError, match=r"ga\.endpoints\.time_to_event"):
        design(path, ["born"])
    with pytest.raises(PhenotypeError, match=r"'born' has '31/12/1980', which is no date of the form MM/DD/YYYY"):
        design(path, ["born"], date_format="MM/DD/YYYY")
    with pytest.raises(PhenotypeError, match="lies before 'seen'"):
        endpoints.years_between(read, "seen", "born")
    for form in ("DD/MM", "Y-m-d", "%d/%m/%Y %H", 3):
        with pytest.raises(InputError, match="date_format"):
            Reading.of(date_format=form)
    assert (
        Reading.of(date_format="%d.%b.%y").strptime == "%d.%b.%y"
        and Reading.of(date_format="mm-dd-yy").strptime == "%m-%d-%y"
    )


def test_times_to_events_take_a_form_of_dates():
    frame = pl.DataFrame(
        {"IID": ["A", "B"], "s": ["01/01/2020"] * 2, "e": ["31/12/2020"] * 2, "d": ["02/01/2020", None]}
    )
    made = endpoints.time_to_event(frame, "s", "e", "d", date_format="DD/MM/YYYY", censor_at="2020-12-30")
    assert made["time"].to_list() == [1, 364] and made["event"].to_list() == [1, 0]
    moments = frame.with_columns(pl.col("s", "e", "d").str.to_datetime("%d/%m/%Y"))
    assert endpoints.time_to_event(Phenotypes.read(moments), "s", "e", "d")["time"].to_list() == [1, 365]


# Files --------------------------------------------------------------------------------------------------

ACCENTS = "IID\ty\tgroupe\nA\t1\ttémoin\nB\t2\tmalade\n"


@pytest.mark.parametrize(
    ("encoding", "offered"),
    [("latin-1", "latin-1"), ("windows-1252", "windows-1252"), ("iso-8859-15", None), ("utf-16", "utf-16")],
)
def test_other_encodings_are_offered_and_read(tmp_path, encoding, offered):
    text = ACCENTS.replace("malade", "malade’") if encoding == "windows-1252" else ACCENTS
    path = write(tmp_path / "p.tsv", text.encode(Reading.of(encoding=encoding).codec))
    with pytest.raises(InputError) as error:
        Phenotypes.read(path)
    if offered:
        assert f'encoding="{offered}" (--encoding {offered})' in str(error.value)
    if encoding != "utf-16":
        assert "line 2" in str(error.value) and "'témoin'" in str(error.value)
    assert Phenotypes.read(path, encoding=encoding).table["groupe"][0] == "témoin"
    with pytest.raises(InputError, match="encoding is one of"):
        Phenotypes.read(path, encoding="rot13")


@pytest.mark.parametrize("newline", ["\n", "\r\n"])
@pytest.mark.parametrize("mark", ["\t", ",", ";"])
def test_empty_columns_at_the_end_are_left_out_and_said(tmp_path, newline, mark):
    lines = ["IID,x,y,,", "A,1,2,,", "B,,3,,", "C,2,4,, "]
    path = write(tmp_path / "p.csv", newline.join(line.replace(",", mark) for line in lines) + newline)
    read = Phenotypes.read(path)
    assert read.columns == ["x", "y"] and read.table["y"].to_list() == [2, 3, 4]
    assert read.notes == ("2 empty columns without a name, at the end of each line, left out",)
    beyond = write(tmp_path / "q.csv", newline.join(["IID,x", "A,1,,", "B,2", "C,3,"]).replace(",", mark))
    read = Phenotypes.read(beyond)
    assert read.table["x"].to_list() == [1, 2, 3] and "3 empty fields beyond" in read.notes[0]
    filled = write(tmp_path / "r.csv", newline.join(["IID,x,", "A,1,", "B,2,7"]).replace(",", mark))
    with pytest.raises(InputError, match=r"line 1: column 3 of the header has no name, and line 3 has '7' in it"):
        Phenotypes.read(filled)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("IID\tx\tx\nA\t1\t2\n", "'x' more than once"),
        ("IID\tx\nA\t1\nB\t2\t3\n", "line 3: 3 fields"),
        ("IID\tx\ty\nA\t1\t1\nB\t2\n", "line 3: 2 fields"),
        ("IID\t\tx\nA\t1\t2\n", "column 2 of the header has no name"),
        ('IID\tx\nA\t"1\nB\t2\n', "quotation mark"),
        ("1,5\t2,5\n3,5\t1,5\n", "numbers only"),
    ],
)
def test_broken_lines_are_refused_with_their_place(tmp_path, text, words):
    for content in (
        text.encode(),
        b"\xef\xbb\xbf" + text.replace("\n", "\r\n").encode(),
        gzip.compress(text.encode(), mtime=0),
    ):
        with pytest.raises(InputError, match=words):
            Phenotypes.read(write(tmp_path / "p.tsv", content))


# Workbooks ----------------------------------------------------------------------------------------------

_MAIN = "http://schemas.openxmlformats.org/spreadsheetml/2006/main"
_RELATIONS = "http://schemas.openxmlformats.org/officeDocument/2006/relationships"
_PACKAGE = "http://schemas.openxmlformats.org/package/2006"


def workbook(path, rows):
    """An .xlsx of one sheet, of texts, numbers, dates (a tuple of the day's number) and errors ("#...")."""

    def cell(place, value):
        if value is None:
            return ""
        if isinstance(value, str) and not value.startswith("#"):
            return f'<c r="{place}" t="inlineStr"><is><t>{value}</t></is></c>'
        if isinstance(value, str):
            return f'<c r="{place}" t="e"><v>{value}</v></c>'
        style, number = (' s="1"', value[0]) if isinstance(value, tuple) else ("", value)
        return f'<c r="{place}"{style}><v>{number}</v></c>'

    body = "".join(
        f'<row r="{i}">' + "".join(cell(f"{chr(65 + j)}{i}", value) for j, value in enumerate(row)) + "</row>"
        for i, row in enumerate(rows, start=1)
    )
    kind = "application/vnd.openxmlformats-"
    parts = {
        "[Content_Types].xml": f'<Types xmlns="{_PACKAGE}/content-types"><Default Extension="rels" '
        f'ContentType="{kind}package.relationships+xml"/><Default Extension="xml" ContentType="application/xml"/><Override '
        f'PartName="/xl/workbook.xml" ContentType="{kind}officedocument.spreadsheetml.sheet.main+xml"/></Types>',
        "_rels/.rels": f'<Relationships xmlns="{_PACKAGE}/relationships"><Relationship Id="r1" '
        f'Type="{_RELATIONS}/officeDocument" Target="xl/workbook.xml"/></Relationships>',
        "xl/workbook.xml": f'<workbook xmlns="{_MAIN}" xmlns:r="{_RELATIONS}"><sheets><sheet name="Data" sheetId="1" r:id="r1"/>'
        "</sheets></workbook>",
        "xl/_rels/workbook.xml.rels": f'<Relationships xmlns="{_PACKAGE}/relationships"><Relationship Id="r1" '
        f'Type="{_RELATIONS}/worksheet" Target="worksheets/sheet1.xml"/><Relationship Id="r2" Type="{_RELATIONS}/styles" '
        'Target="styles.xml"/></Relationships>',
        "xl/styles.xml": f'<styleSheet xmlns="{_MAIN}"><cellXfs count="2"><xf numFmtId="0"/><xf numFmtId="14" '
        'applyNumberFormat="1"/></cellXfs></styleSheet>',
        "xl/worksheets/sheet1.xml": f'<worksheet xmlns="{_MAIN}"><sheetData>{body}</sheetData></worksheet>',
    }
    with zipfile.ZipFile(path, "w") as file:
        for name, text in parts.items():
            file.writestr(name, '<?xml version="1.0"?>' + text)
    return path


def test_a_workbook_reads_as_the_table_it_shows(tmp_path):
    pytest.importorskip("fastexcel", reason="the extra 'excel' is not installed")
    rows = [
        ["IID", "ldl", "visit", "site", None], ["001", 3.5, (44000,), "A", None], [], ["002", 2, (44001,), "é", None],
        ["003", "#REF!", None, "B", None],
    ]  # fmt: skip
    read = Phenotypes.read(workbook(tmp_path / "p.xlsx", rows))
    assert list(read.sample_ids) == ["001", "002", "003"] and read.lines.tolist() == [2, 4, 5]
    assert read.table["visit"].to_list() == ["2020-06-18", "2020-06-19", None] and read.columns == [
        "ldl",
        "visit",
        "site",
    ]
    assert "the sheet 'Data' of p.xlsx was read" in read.notes
    with pytest.raises(PhenotypeError, match=r"'#REF!' in line 5 \(sample 003\).*spreadsheet error"):
        read.numbers("ldl", np.arange(3))
    with pytest.raises(InputError, match="has 1 rows"):
        Phenotypes.read(workbook(tmp_path / "e.xlsx", [["IID", "x"]]))
    with pytest.raises(InputError, match="cannot be read as a workbook"):
        Phenotypes.read(write(tmp_path / "bad.xlsx", "IID\tx\n"))


def test_numbers_of_a_workbook_keep_all_their_digits(tmp_path):
    """fastexcel writes nine decimals: 1e-10 was 0, a third 0.333333333."""
    pytest.importorskip("fastexcel", reason="the extra 'excel' is not installed")
    values = [1e-10, 1 / 3, -1.23456789e-7, 1e22, 0.1 + 0.2, 5]
    rows = [["IID", "x", "t"], *([f"S{i}", value, "0,5"] for i, value in enumerate(values)), ["007", 2, "1.50"]]
    read = Phenotypes.read(workbook(tmp_path / "p.xlsx", rows))
    assert read.table["x"].to_list() == [*values, 2]
    assert read.table["IID"][-1] == "007" and read.table["t"].to_list() == ["0,5"] * len(values) + ["1.50"]


def test_without_fastexcel_a_workbook_is_refused_with_the_way_to_it(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "fastexcel", None)
    with pytest.raises(InputError, match=r"pip install 'genassoc\[excel\]'"):
        Phenotypes.read(workbook(tmp_path / "p.xlsx", [["IID", "x"], ["A", 1]]))
    with pytest.raises(InputError, match="no such file"):
        Phenotypes.read(tmp_path / "absent.xlsx")


# Types of frames ----------------------------------------------------------------------------------------

ODD = {
    "duration": pl.Series([datetime.timedelta(days=i) for i in range(6)]),
    "binary": pl.Series([b"x"] * 6),
    "lists": pl.Series([[i] for i in range(6)]),
    "array": pl.Series([[i, i] for i in range(6)], dtype=pl.Array(pl.Int64, 2)),
    "struct": pl.Series([{"a": i} for i in range(6)]),
    "object": pl.Series([{i} for i in range(6)], dtype=pl.Object),
}
KIND = {
    "date": pl.Series([datetime.date(2020, 1, 1 + i) for i in range(6)]),
    "moment": pl.Series([datetime.datetime(2020, 1, 1 + i) for i in range(6)]),
    "time": pl.Series([datetime.time(i) for i in range(6)]),
    "decimal": pl.Series([decimal.Decimal(i) / 4 for i in range(6)], dtype=pl.Decimal(10, 2)),
    "category": pl.Series(list("abcabc"), dtype=pl.Categorical),
    "enum": pl.Series(list("abcabc"), dtype=pl.Enum(["a", "b", "c"])),
    "nothing": pl.Series([None] * 6, dtype=pl.Null),
    "big": pl.Series(range(6), dtype=pl.Int128),
}


@pytest.mark.parametrize("name", [*ODD, *KIND])
def test_columns_of_odd_types_are_ignored_unless_used(tmp_path, name):
    column = {**ODD, **KIND}[name]
    frame = pl.DataFrame({"IID": list("ABCDEF"), "y": [1.0, 2, 4, 3, 7, 5]}).with_columns(column.alias("z"))
    read = Phenotypes.read(frame)
    assert read.fingerprint and design(read, ["y"]).y.shape == (6, 1)
    joined = Phenotypes.read(frame.select("IID", "y")).with_columns(Phenotypes.read(frame.select("IID", "z")))
    for table in (read, joined):
        for use in (["z"], ()), (["y"], ["z"]):
            if name in ODD:
                with pytest.raises(PhenotypeError, match="the column 'z' holds"):
                    design(table, *use)
        if name in ODD:
            for kind in ("binary", "ordinal", "count"):
                with pytest.raises(PhenotypeError, match="the column 'z' holds"):
                    design(table, ["z"], kind=kind)
    if name in ("category", "enum"):
        assert design(read, ["y"], ["z"]).covariates == ("intercept", "z[b]", "z[c]")
    if name in ("decimal", "big"):
        assert design(read, ["z"]).y[1, 0] == (0.25 if name == "decimal" else 1)
    if name in ("date", "moment"):
        with pytest.raises(PhenotypeError, match=r"ga\.endpoints"):
            design(read, ["z"])
    if name != "object":
        frame.write_parquet(tmp_path / "p.parquet")
        assert Phenotypes.read(tmp_path / "p.parquet").fingerprint


def test_ids_of_odd_types_and_pandas_columns_of_objects_are_refused_by_name():
    for column in (*ODD.values(), KIND["decimal"]):
        with pytest.raises(PhenotypeError, match="sample ids in 'IID' are"):
            Phenotypes.read(pl.DataFrame({"y": [1.0] * 6}).with_columns(column.alias("IID")))
    frame = pd.DataFrame({"IID": list("AB"), "y": [1.0, 2], "z": [[1], [2]], "d": pd.to_timedelta([1, 2], unit="D")})
    read = Phenotypes.read(frame)
    for name in ("z", "d"):
        with pytest.raises(PhenotypeError, match=f"the column '{name}' holds"):
            design(read, [name])


def test_levels_are_compared_as_written():
    frame = pl.DataFrame(
        {"IID": list("ABC"), "v": ["v1.0", "v2.0", "v3.0"], "n": ["1.0", "2.0", "3.0"], "f": [1.0, 2.0, 3.0]}
    )
    for name, levels in (
        ("v", ("v1.0", "v2.0", "v3.0")),
        ("n", ("1.0", "2.0", "3.0")),
        ("f", ("1.0", "2.0", "3.0")),
        ("n", ("1", "2", "3")),
    ):
        made = design(frame, [name], kind="ordinal", levels=levels)
        assert made.y[:, 0].tolist() == [0, 1, 2]
    with pytest.raises(PhenotypeError, match=r"'v1.0', 'v2.0', 'v3.0', which are not among"):
        design(frame, ["v"], kind="ordinal", levels=("v1", "v2", "v3"))


def test_copies_of_an_allele_are_counted():
    frame = pl.DataFrame(
        {"IID": list("ABCDEF"), "rs": ["A/A", "G/A", "a|g", "./.", "GG", None], "x": ["A/G", "no", "A", "T", "C", "G"]}
    )
    assert endpoints.count_allele(frame, "rs", "G").to_list() == [0, 1, 1, None, 2, None]
    assert endpoints.count_allele(frame, "rs", "A").to_list() == [2, 1, 1, None, 0, None]
    with pytest.raises(PhenotypeError, match="its alleles are A, G"):
        endpoints.count_allele(frame, "rs", "T")
    with pytest.raises(PhenotypeError, match="'no' in row 2"):
        endpoints.count_allele(frame, "x", "A")


def test_one_name_of_ids_serves_both_tables_of_predictors():
    people = pl.DataFrame({"patient": ["A", "B"], "y": [1.0, 2.0]})
    assert people_of(people, "patient").sample_id == "patient"
    assert people_of(people.rename({"patient": "IID"}), "patient").sample_id == "IID"
    scores = pl.DataFrame({"patient": ["B", "A"], "score": [0.5, 1.5]})
    for one, other in (
        (people, scores),
        (people.rename({"patient": "IID"}), scores),
        (people, scores.rename({"patient": "s"})),
    ):
        assert [set(found.sample_ids) for found in tables_of(one, other, "patient")] == [{"A", "B"}] * 2
    with pytest.raises(PhenotypeError, match="no column is named 'eid'"):
        tables_of(people.rename({"patient": "IID"}), scores.rename({"patient": "IID"}), "eid")
    with pytest.raises(PhenotypeError, match="more than once"):
        tables_of(people, pl.DataFrame({"patient": ["A", "A"], "IID": ["A", "B"], "score": [1, 2]}), "patient")


# Files beside each other --------------------------------------------------------------------------------


@pytest.mark.parametrize("encoding", ["latin-1", "windows-1250", "utf-16"])
@pytest.mark.parametrize("mark", ["", "\ufeff"])
def test_utf8_beside_files_of_another_encoding_is_read_as_it_is(tmp_path, encoding, mark):
    path = write(tmp_path / "p.csv", f"{mark}IID;ville\nA;Besan\u00e7on\nB;Orl\u00e9ans\n")
    read = Phenotypes.read(path, encoding=encoding)
    assert read.table["ville"].to_list() == ["Besan\u00e7on", "Orl\u00e9ans"] and read.sample_id == "IID"
    assert read.notes == (f"p.csv was read as UTF-8, which its bytes are, and not as {encoding}",)


@pytest.mark.parametrize(
    "text",
    [
        "IID;CRP (mg/l, fasting);y\nA;1;2\nB;3;4\n",
        'IID;"CRP (mg/l, fasting)";y\nA;1;2\nB;3;4\n',
        "sep=;\nIID;CRP (mg/l, fasting);y\nA;1;2\nB;3;4\n",
        "IID;CRP (mg/l, fasting);y;;\nA;1;2\nB;3;4;\n",
    ],
)
def test_the_delimiter_is_told_from_marks_within_names(tmp_path, text):
    read = Phenotypes.read(write(tmp_path / "p.csv", text))
    assert read.table.rows() == [("A", 1, 2), ("B", 3, 4)] and read.columns == ["CRP (mg/l, fasting)", "y"]


def test_a_parquet_file_is_read_by_its_name_and_not_by_a_pattern(tmp_path):
    pl.DataFrame({"IID": ["A"], "y": [1]}).write_parquet(tmp_path / "p[1].parquet")
    pl.DataFrame({"IID": ["A"], "y": [2]}).write_parquet(tmp_path / "p1.parquet")
    assert Phenotypes.read(tmp_path / "p[1].parquet").table["y"].to_list() == [1]


def test_a_year_of_two_digits_is_none_of_four():
    """31/12/45 was read as the year 45: an age of 1,900 years, without a word."""
    frame = pl.DataFrame(
        {"IID": ["A", "B", "C"], "born": ["31/12/45", "01/02/1950", "03/04/1960"], "seen": ["01/01/2020"] * 3}
    )
    with pytest.raises(PhenotypeError, match="31/12/45"):
        design(frame, ["born"], date_format="DD/MM/YYYY")
    with pytest.raises(PhenotypeError, match="31/12/45"):
        endpoints.years_between(frame, "born", "seen", date_format="DD/MM/YYYY")
    short = frame.with_columns(born=pl.Series(["31/12/75"] * 3), seen=pl.Series(["01/01/20"] * 3))
    # 16,072 days from 1975-12-31 to 2020-01-01
    assert endpoints.years_between(short, "born", "seen", date_format="DD/MM/YY").to_list() == [16_072 / 365.25] * 3


def test_points_are_no_thousands_where_a_value_begins_with_zero():
    frame = pl.DataFrame({"IID": list("ABC"), "crp": ["1,5", "2,5", "3"], "pc": ["0.012", "-0.504", "1.250"]})
    assert Phenotypes.read(frame, decimal=",").table["pc"].to_list() == [0.012, -0.504, 1.25]


def test_pandas_columns_of_odd_width_are_read_or_refused():
    frame = pd.DataFrame({"IID": ["A", "B"], "y": [1.0, 2.0]})
    frame["days"] = pd.Series([1, 2], dtype="timedelta64[s]")
    frame["long"] = np.array([1.5, 2.5], dtype=np.longdouble)
    frame["arrays"] = [np.array([1]), np.array([2])]
    frame["flag"] = pd.array([True, None], dtype="boolean")
    read = Phenotypes.read(frame)
    assert read.numbers("y", np.arange(2)).tolist() == [1, 2] and read.numbers("long", np.arange(2)).tolist() == [
        1.5,
        2.5,
    ]
    assert read.table["flag"].to_list() == [True, None]
    for name in ("days", "arrays"):
        with pytest.raises(PhenotypeError, match=f"'{name}' holds"):
            read.numbers(name, np.arange(2))


def test_levels_are_found_in_numbers_however_they_are_written():
    frame = pl.DataFrame({"IID": list("ABC"), "g": [1.0, 2.0, 2.5]})
    assert design(frame, ["g"], kind="ordinal", levels=("1.00", "02", "2.50")).y[:, 0].tolist() == [0, 1, 2]
    with pytest.raises(PhenotypeError, match="twice"):
        design(frame, ["g"], kind="ordinal", levels=("1", "1.0", "2", "2.5"))


def test_alleles_that_were_not_read_are_missing():
    """N/N counted as no copy of the allele: a call that nobody made."""
    frame = pl.DataFrame({"IID": list("ABCDEF"), "rs1": ["A/G", "N/N", "G/N", "-/G", "?", "NN"]})
    assert endpoints.count_allele(frame, "rs1", "G").to_list() == [1, None, None, 1, None, None]


def test_random_bytes_are_a_table_or_a_typed_error(tmp_path):
    """Half a thousand mutations of a small table: never another exception."""
    rng = np.random.default_rng(5)
    pieces = [
        b"\xff",
        b"\x00",
        b'"',
        b",",
        b"\t",
        b";",
        b"\r",
        b"\n",
        b"1,5",
        b"NA",
        b"\xc3\xa9",
        "１".encode(),
        b"#REF!",
        b" ",
    ]
    for _ in range(500):
        raw = bytearray(b"IID\tx\tsite\nA\t1\tu\nB\t2\tv\nC\t3\tu\n")
        for _ in range(int(rng.integers(1, 5))):
            at = int(rng.integers(len(raw)))
            raw[at : at + int(rng.integers(0, 3))] = pieces[int(rng.integers(len(pieces)))]
        path = write(tmp_path / "p.tsv", bytes(raw))
        decimal_mark = [None, ","][int(rng.integers(2))]
        try:
            read = Phenotypes.read(path, decimal=decimal_mark, encoding=[None, "latin-1"][int(rng.integers(2))])
            design(read, [read.columns[0]], read.columns[1:])
        except (GenassocError, IndexError) as error:
            assert not isinstance(error, IndexError) or not read.columns
