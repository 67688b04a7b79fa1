"""Results in the dialects of other tools: round trips, real files of PLINK 2 and REGENIE, tiny p, odd files."""

import gzip
import math
import subprocess
import tracemalloc
from pathlib import Path

import polars as pl
import pytest
from click.testing import CliRunner, Result
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from polars.testing import assert_frame_equal
from real_data import real_data
from small_cohort import Files, make_files

from genassoc import results as results_module
from genassoc.cli import commands as cli
from genassoc.data.result_table import RESULT_SCHEMA
from genassoc.errors import InputError, OutputError
from genassoc.formats.sumstats import columns as sumstats_columns
from genassoc.formats.sumstats import files as sumstats_files
from genassoc.formats.sumstats import sumstats
from genassoc.results import Results
from genassoc.verbs import config
from genassoc.verbs.config import Config

FURTHER = {
    "n_cases": pl.Int64,
    "n_controls": pl.Int64,
    "effect_allele_frequency_cases": pl.Float64,
    "effect_allele_frequency_controls": pl.Float64,
    "standard_error_model": pl.Float64,
    "iterations": pl.Int64,
}
SCHEMA = {**RESULT_SCHEMA, **FURTHER}
PLACE = ["chromosome", "base_pair_location", "effect_allele", "other_allele", "variant_id", "trait", "test"]
ESTIMATE = ["beta", "standard_error", "effect_allele_frequency", "neg_log_10_p_value", "n"]
# What each dialect holds of every row, beside the place and the estimate.
HOLDS = {
    "plink2": ["rsid", "code", "statistic"],
    "regenie": ["rsid"],
    "saige": [
        "rsid", "missing_rate", "mac", "n_cases", "n_controls", "effect_allele_frequency_cases",
        "effect_allele_frequency_controls",
    ],
    "gwas-ssf": [
        "rsid", "ci_lower", "ci_upper", "mac", "method", "code", "statistic", "missing_rate", *FURTHER,
    ],
}  # fmt: skip
LINEAR = [
    "#CHROM", "POS", "ID", "REF", "ALT", "A1", "OMITTED", "A1_FREQ", "TEST", "OBS_CT", "BETA", "SE", "T_STAT", "P",
    "ERRCODE",
]  # fmt: skip
HYBRID = [*LINEAR[:8], "FIRTH?", *LINEAR[8:12], "Z_STAT", "P", "ERRCODE"]
SAIGE = [
    "CHR", "POS", "MarkerID", "Allele1", "Allele2", "AC_Allele2", "AF_Allele2", "MissingRate", "BETA", "SE", "Tstat",
    "var", "p.value", "p.value.NA", "Is.SPA", "AF_case", "AF_ctrl", "N_case", "N_ctrl",
]  # fmt: skip
NAMES = {"plink2": "r.glm.linear", "regenie": "r.regenie.gz", "saige": "r.txt", "gwas-ssf": "r.tsv.gz"}


def table(size: int = 4, /, **columns: object) -> pl.DataFrame:
    """Rows of one binary trait, with some columns replaced."""
    values: dict[str, object] = {
        "chromosome": ["1"] * size,
        "base_pair_location": list(range(1, size + 1)),
        "effect_allele": ["G"] * size,
        "other_allele": ["A"] * size,
        "beta": [0.1 + i / 3 for i in range(size)],
        "standard_error": [0.1] * size,
        "effect_allele_frequency": [0.3] * size,
        "neg_log_10_p_value": [1.0 + i for i in range(size)],
        "rsid": [f"rs{i}" for i in range(size)],
        "n": [500] * size,
        "mac": [300.0] * size,
        "trait": ["t2d"] * size,
        "test": ["add"] * size,
        "method": ["wald"] * size,
        **columns,
    }
    frame = pl.DataFrame(values, schema_overrides={name: kind for name, kind in SCHEMA.items() if name in values})
    absent = [pl.lit(None, kind).alias(name) for name, kind in SCHEMA.items() if name not in frame.columns]
    frame = frame.with_columns(absent)
    place = ["chromosome", "base_pair_location", "other_allele", "effect_allele"]
    return frame.with_columns(pl.concat_str(place, separator="_").alias("variant_id")).select(list(SCHEMA))


def text_of(path: Path) -> list[str]:
    raw = path.read_bytes()
    return (gzip.decompress(raw) if raw[:2] == b"\x1f\x8b" else raw).decode().splitlines()


# Round trips ---------------------------------------------------------------------------------------------------------

ALLELES = st.text("ACGT", min_size=1, max_size=4)
FLOATS = st.floats(allow_nan=False, allow_infinity=False, width=64).map(lambda x: x + 0.0)
# Without subnormals: 1 / SE^2 of SAIGE would overflow, and no standard error is that small.
POSITIVE = st.floats(1e-100, 1e100)
FREQUENCY = st.floats(0, 1)
P = st.one_of(
    st.floats(0, 1), st.floats(0, 400), st.floats(0, 1e5), st.sampled_from([0.0, 300.0, 299.999, 307.7, 323.5])
)
CODES = st.sampled_from(
    [None, "monomorphic", "constant_genotype", "n_too_small", "collinear", "too_few_carriers", "separation"]
)


@st.composite
def rows(draw: st.DrawFn, estimates: bool) -> dict[str, object]:
    """One row; without an estimate where it has a code, unless every row is to have one."""
    effect, other = draw(ALLELES), draw(ALLELES)
    code = None if estimates else draw(CODES)
    fine = code is None
    n_cases, n_controls = draw(st.integers(0, 10**6)), draw(st.integers(1, 10**6))
    n = n_cases + n_controls
    count = draw(st.integers(0, 2 * n))
    chromosomes = ["1", "22", "X", "Y", "MT"] if estimates else ["1", "chr7", "X", "MT", "GL000192.1", "HLA-A", "25"]
    return {
        "chromosome": draw(st.sampled_from(chromosomes)),
        "base_pair_location": draw(st.integers(0, 2**40)),
        "effect_allele": effect,
        "other_allele": other,
        "beta": draw(FLOATS) if fine else None,
        "standard_error": draw(POSITIVE) if fine else None,
        "ci_lower": draw(FLOATS) if fine else None,
        "ci_upper": draw(st.none() | FLOATS),
        "effect_allele_frequency": count / (2 * n),
        "neg_log_10_p_value": draw(P) + 0.0 if fine else None,
        "rsid": draw(st.sampled_from([None, "rs1", "rs99", "Affx-1", "1:2:A:C", "rs1;rs2"])),
        "n": n,
        "mac": float(min(count, 2 * n - count)),
        "method": draw(st.sampled_from(["wald", "firth", "score", None])),
        "code": code,
        "missing_rate": draw(st.none() | FREQUENCY),
        "statistic": draw(FLOATS) if fine else None,
        "n_cases": n_cases,
        "n_controls": n_controls,
        "effect_allele_frequency_cases": draw(st.none() | FREQUENCY),
        "effect_allele_frequency_controls": draw(st.none() | FREQUENCY),
        "standard_error_model": draw(st.none() | POSITIVE),
        "iterations": draw(st.none() | st.integers(0, 50)),
    }


@st.composite
def tables(draw: st.DrawFn, estimates: bool = False) -> pl.DataFrame:
    drawn = draw(st.lists(rows(estimates), min_size=1, max_size=6))
    columns = {name: [row[name] for row in drawn] for name in drawn[0]}
    return table(len(drawn), **columns)


def check_round_trip(made: pl.DataFrame, dialect: str, folder: Path) -> None:
    (written,) = Results(made).write(folder / NAMES[dialect], dialect=dialect)
    found = Results.read(written.path)
    again = found.table
    assert found.scan().collect().equals(again)
    for name in [*PLACE, *ESTIMATE, *HOLDS[dialect]]:
        expected = made[name]
        if (
            name == "statistic" and dialect == "plink2"
        ):  # PLINK 2 prints one for every row: beta / SE for want of another
            expected = expected.fill_null(made["beta"] / made["standard_error"])
        if name == "neg_log_10_p_value":
            # P is printed to 17 digits: half a unit in the last of them is 1e-16 in -log10 p, and x itself has
            # 1e-16 of x; three roundings each way, hence 1e-15.
            close = (again[name] - expected).abs() <= 1e-15 * pl.select(pl.max_horizontal(expected, 1.0)).to_series()
            assert again[name].is_null().equals(expected.is_null()) and close.all(), (again[name], expected)
        else:
            assert again[name].to_list() == expected.to_list(), name


@pytest.mark.parametrize("dialect", ["plink2", "regenie", "saige"])
@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(made=tables())
def test_round_trip(dialect: str, made: pl.DataFrame, tmp_path: Path) -> None:
    check_round_trip(made, dialect, tmp_path)


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(made=tables(estimates=True))
def test_round_trip_gwas_ssf(made: pl.DataFrame, tmp_path: Path) -> None:
    check_round_trip(made, "gwas-ssf", tmp_path)


@pytest.mark.parametrize("dialect", list(NAMES))
def test_the_same_bytes_from_memory_parquet_and_tsv(
    dialect: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = table(50)
    record = {"finished": "2026-01-02T00:00:00"}
    (first,) = Results(made, record).write(tmp_path / NAMES[dialect], dialect=dialect)
    expected = first.path.read_bytes()
    assert expected[4:8] == bytes(4) or not first.path.name.endswith(".gz")  # gzip's time of writing
    # Small pieces of rows, as a large table comes.
    monkeypatch.setattr(results_module, "ROW_GROUP", 7)
    monkeypatch.setattr(sumstats_files, "_CHUNK_BYTES", 1000)
    for source in [
        Results(made, record),
        *(Results.read(Results(made, record).write(tmp_path / f"t{end}")) for end in (".parquet", ".tsv.gz")),
    ]:
        (again,) = source.write(tmp_path / f"again.{NAMES[dialect]}", dialect=dialect)
        assert text_of(again.path) == text_of(first.path)


def test_every_dialect_is_named_everywhere() -> None:
    assert [*results_module.DIALECTS, *sumstats.DIALECTS] == list(config.DIALECTS)


# P-values ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("1e-400", 400.0),
        ("3.1622776601683795e-401", 400.5),
        ("2.5E-0310", 310 - math.log10(2.5)),
        ("4.94066e-324", 324 - math.log10(4.94066)),
        ("0.05", -math.log10(0.05)),
        ("1", 0.0),
        (".5", -math.log10(0.5)),
        ("1e+0", 0.0),
    ],
)
def test_p_is_parsed_without_underflow(text: str, expected: float) -> None:
    frame = pl.DataFrame({"P": [text]})
    found = frame.select(sumstats_columns.neg_log_10_of_text("P")).item()
    assert found == pytest.approx(expected, rel=1e-15, abs=1e-16)  # one logarithm and one subtraction
    assert math.copysign(1, found) == 1


def test_p_is_written_without_underflow(tmp_path: Path) -> None:
    (file,) = Results(table(3, neg_log_10_p_value=[400.5, 123456.75, 5.0])).write(tmp_path / "r.txt", dialect="plink2")
    lines = text_of(file.path)
    column = lines[0].split("\t").index("P")
    mantissa, exponent = lines[1].split("\t")[column].split("e")
    assert float(mantissa) == pytest.approx(10**0.5, rel=1e-15) and exponent == "-401"
    assert lines[2].split("\t")[column].endswith("e-123457")
    assert float(lines[3].split("\t")[column]) == 1e-5


def test_p_that_a_peer_printed_as_zero_comes_from_z_and_is_marked(tmp_path: Path) -> None:
    from genassoc.stats.tails import neg_log_10_p_z

    path = tmp_path / "x.glm.linear"
    path.write_text(
        "#CHROM\tPOS\tID\tREF\tALT\tA1\tTEST\tOBS_CT\tBETA\tSE\tT_STAT\tP\tERRCODE\n"
        "1\t5\trs1\tA\tG\tG\tADD\t9\t-40\t1\t-40\t0\t.\n1\t6\trs2\tA\tG\tG\tADD\t9\t2\t1\t2\t0.0\t.\n"
    )
    found = Results.read(path).table
    # The series' last term kept is 15 / z^6, the next 105 / z^8 = 2e-11 of ln p.
    assert found["neg_log_10_p_value"][0] == pytest.approx(float(neg_log_10_p_z(40.0)), abs=1e-10)
    assert found["neg_log_10_p_value"][1] is None  # z = 2 and p = 0: one of them is wrong
    assert found["code"].to_list() == ["p_underflow", "p_underflow"]


# Alleles and codes ---------------------------------------------------------------------------------------------------


def test_alleles_are_told_by_name_not_by_place(tmp_path: Path) -> None:
    """PLINK 2's A1 may be REF; REGENIE's and SAIGE's columns may come in any order."""
    plink = tmp_path / "q.glm.linear"
    plink.write_text(
        "#CHROM\tPOS\tID\tREF\tALT\tPROVISIONAL_REF?\tA1\tOMITTED\tTEST\tOBS_CT\tOR\tLOG(OR)_SE\tZ_STAT\tP\n"
        "1\t5\trs1\tA\tG\tN\tA\tG\tADD\t9\t2\t1\t0.7\t0.5\n1\t6\t.\tA\tC,T\tN\tT\tA\tADD\t9\t1\t1\t0\t1\n"
    )
    regenie = tmp_path / "x.regenie"
    regenie.write_text("LOG10P SE BETA N ALLELE1 ALLELE0 ID GENPOS CHROM\n3 1 2 9 G A rs1 5 1\n")
    saige = tmp_path / "x.txt"
    saige.write_text("Allele2 Allele1 POS CHR MarkerID p.value SE BETA\nG A 5 1 1_5_A_G 1e-3 1 2\n")
    first = Results.read(plink).table
    assert first.select("effect_allele", "other_allele", "variant_id").rows() == [
        ("A", "G", "1_5_A_G"),
        ("T", "A", "1_6_A_T"),
    ]
    assert first["beta"].to_list() == [math.log(2), 0.0]
    assert first["rsid"].to_list() == ["rs1", None]
    for path, rsid in ((regenie, "rs1"), (saige, None)):
        row = Results.read(path).table.row(0, named=True)
        assert (row["effect_allele"], row["other_allele"], row["beta"], row["rsid"]) == ("G", "A", 2.0, rsid)
        assert row["neg_log_10_p_value"] == pytest.approx(3, rel=1e-15)
    # Written again, REF stays REF though it is the effect allele.
    (again,) = Results.read(plink).write(tmp_path / "again.glm.linear", dialect="plink2")
    assert text_of(again.path)[1].split("\t")[3:7] == ["A", "G", "A", "G"]
    assert Results.read(again.path).table["variant_id"].to_list() == first["variant_id"].to_list()


@pytest.mark.parametrize("methods", [("t_hc3", "f_hc3"), ("t_hc0", "f_hc0")])
def test_students_t_with_a_sandwich_variance_is_no_z(methods: tuple[str, str], tmp_path: Path) -> None:
    made = table(2, method=methods, test=["add:E", "joint_2df"])
    (file,) = Results(made).write(tmp_path / "r.glm.linear", dialect="plink2")
    header = text_of(file.path)[0].split("\t")
    assert "T_OR_F_STAT" in header and "FIRTH?" not in header
    assert Results.read(file.path).table["method"].to_list() == ["t", "f"]


def test_codes_become_plink2s_words(tmp_path: Path) -> None:
    codes = ["monomorphic", "n_too_small", "not_converged", "not_converged", "too_few_carriers", None]
    made = table(
        6,
        code=codes,
        method=["wald", "wald", "wald", "firth", "wald", "firth_approx"],
        neg_log_10_p_value=[None] * 5 + [2.0],
    )
    (file,) = Results(made).write(tmp_path / "r.glm.logistic.hybrid", dialect="plink2")
    lines = [line.split("\t") for line in text_of(file.path)]
    assert lines[0] == HYBRID
    assert [line[-1] for line in lines[1:]] == [
        "CONST_OMITTED_ALLELE", "SAMPLE_CT<=PREDICTOR_CT", "LOGISTIC_CONVERGE_FAIL", "FIRTH_CONVERGE_FAIL",
        "TOO_FEW_CARRIERS", ".",
    ]  # fmt: skip
    assert [line[8] for line in lines[1:]] == ["N", "N", "N", "Y", "N", "Y"]
    again = Results.read(file.path).table
    assert again["code"].to_list() == codes
    assert again["method"].to_list() == ["wald", "wald", "wald", "firth", "wald", "firth"]


def test_linear_results_have_the_columns_of_glm_linear(tmp_path: Path) -> None:
    made = table(2, method=["t", None], code=[None, "monomorphic"], test=["add", "add:my drug"])
    (file,) = Results(made).write(tmp_path / "r.glm.linear.gz", dialect="plink2")
    lines = text_of(file.path)
    assert lines[0] == "\t".join(LINEAR)
    assert "\tADDxmy_drug\t" in lines[2]
    assert Results.read(file.path).table["test"].to_list() == ["add", "add:my_drug"]


def test_saige_says_which_rows_are_saddlepoint(tmp_path: Path) -> None:
    made = table(2, method=["spa", "score"], n_cases=[20, 20], n_controls=[480, 480], standard_error_model=[0.05, 0.1])
    (file,) = Results(made).write(tmp_path / "r.txt", dialect="saige")
    header, first, second = (line.split("\t") for line in text_of(file.path))
    assert header == SAIGE
    assert (first[14], second[14]) == ("true", "false")
    assert float(first[13]) == pytest.approx(
        math.erfc(2 / math.sqrt(2)), rel=1e-12
    )  # beta / SE of the information: 0.1 / 0.05
    again = Results.read(file.path).table
    assert again["method"].to_list() == ["spa", "score"] and again["n"].to_list() == [500, 500]


# Several traits ------------------------------------------------------------------------------------------------------


def test_one_file_a_trait(tmp_path: Path) -> None:
    made = pl.concat(
        [
            table(3),
            table(3, trait=["ldl"] * 3, method=["t"] * 3),
            table(3, trait=["a/b"] * 3),
            table(2, trait=["a:b"] * 2),
        ]
    )
    files = Results(made).write(tmp_path / "gwas.tsv.gz", dialect="plink2")
    assert [(file.path.name, file.trait, file.n_rows) for file in files] == [
        ("gwas.t2d.tsv.gz", "t2d", 3), ("gwas.ldl.tsv.gz", "ldl", 3), ("gwas.a_b.tsv.gz", "a/b", 3),
        ("gwas.a_b-2.tsv.gz", "a:b", 2),
    ]  # fmt: skip
    assert "T_STAT" in text_of(files[1].path)[0] and "Z_STAT" in text_of(files[0].path)[0]
    for file in files:
        assert Results.read(file.path).traits == [file.trait]
    (first, *_) = Results(made).write(tmp_path / "gwas.regenie", dialect="regenie")
    assert first.path.name == "gwas_t2d.regenie"


def test_one_file_a_test_where_there_is_no_column_for_it(tmp_path: Path) -> None:
    made = pl.concat([table(2), table(2, test=["dom"] * 2)])
    files = Results(made).write(tmp_path / "r.txt.gz", dialect="saige")
    assert [file.path.name for file in files] == ["r.add.txt.gz", "r.dom.txt.gz"]
    assert Results.read(files[1].path).table["test"].to_list() == ["dom", "dom"]
    (only,) = Results(made).write(tmp_path / "r.regenie", dialect="regenie")
    assert Results.read(only.path).table["test"].to_list() == ["add", "add", "dom", "dom"]


def test_many_traits_take_several_passes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("genassoc.formats.sumstats.writer._FILES_AT_ONCE", 2)
    made = pl.concat([table(3, trait=[f"t{i}"] * 3) for i in range(5)])
    files = Results(made).write(tmp_path / "r.txt", dialect="plink2")
    assert [file.n_rows for file in files] == [3] * 5


def test_no_rows_are_a_header(tmp_path: Path) -> None:
    for dialect, name in NAMES.items():
        (file,) = Results(table(0)).write(tmp_path / f"{dialect}.{name}", dialect=dialect)
        assert len(text_of(file.path)) == 1 and file.n_rows == 0
        assert Results.read(file.path).table.height == 0


# Whose scripts read it -----------------------------------------------------------------------------------------------

AWK = """
NR == 1 { for (i = 1; i <= NF; i++) column[$i] = i; next }
$column["EXTRA"] ~ /TEST_FAIL/ { failed++; next }
$8 == "ADD" && $12 > 7.3 { print $1, $2, $3, $4, $5, $6, $7, $9, $10, $column["LOG10P"]; sum += $11 }
END { print "failed", failed + 0, "chisq", sum }
"""


def test_a_regenie_users_script_reads_ours(tmp_path: Path) -> None:
    """By name and by place, as scripts made for REGENIE's own files do, and in pandas."""
    import pandas as pd

    made = table(
        4,
        neg_log_10_p_value=[8.0, None, 350.25, 2.0],
        code=[None, "monomorphic", None, None],
        chromosome=["1", "1", "X", "22"],
        rsid=["rs1", None, None, "rs4"],
    )
    (file,) = Results(made).write(tmp_path / "t2d.regenie", dialect="regenie")
    assert text_of(file.path)[0] == "CHROM GENPOS ID ALLELE0 ALLELE1 A1FREQ N TEST BETA SE CHISQ LOG10P EXTRA"
    said = subprocess.run(["awk", AWK, file.path], capture_output=True, text=True, check=True).stdout.splitlines()
    assert said[0].split() == ["1", "1", "rs1", "A", "G", "0.3", "500", "0.1", "0.1", "8.0"]
    assert said[1].split()[:3] == ["X", "3", "X_3_A_G"] and said[1].split()[-1] == "350.25"
    assert said[-1].split()[:2] == ["failed", "1"]
    frame = pd.read_csv(file.path, sep=" ")
    assert frame["CHISQ"].iloc[3] == pytest.approx(6.634896601021213)  # chi-squared of p = 0.01, 1 degree of freedom
    assert frame["EXTRA"].isna().tolist() == [True, False, True, True]
    assert (frame["BETA"] / frame["SE"]).notna().all()


# Real files ----------------------------------------------------------------------------------------------------------

PLINK_FILES = ["kg-genome", "kg-masked", "kg-x", "glow-gwas"]


def oracle(path: Path) -> dict[str, list[str]]:
    """Column -> values as text, read by another library."""
    import pandas as pd

    frame = pd.read_csv(path, sep=r"\s+", dtype=str, keep_default_na=False)
    return {str(name): list(frame[name]) for name in frame.columns}


def values(texts: list[str]) -> list[float | None]:
    return [None if text == "NA" else float(text) for text in texts]


@pytest.mark.parametrize("name", PLINK_FILES)
def test_plink2s_own_files(name: str) -> None:
    paths = sorted((real_data(name) / "expected-plink2").glob("*.glm.*"))
    assert paths
    for path in paths:
        found = Results.read(path)
        trait = path.name.split(".glm.")[0].split(".")[-1]
        assert found.traits == [trait]
        frame, expected = found.table, oracle(path)
        names = (("beta", "BETA"), ("standard_error", "SE"), ("effect_allele_frequency", "A1_FREQ"), ("n", "OBS_CT"))
        for column, theirs in names:
            assert frame[column].to_list() == values(expected[theirs]), (path, column)
        assert frame["effect_allele"].to_list() == expected["A1"]
        assert frame["other_allele"].to_list() == expected["OMITTED"]
        p = [None if x is None else -math.log10(x) for x in values(expected["P"])]
        close = (frame["neg_log_10_p_value"] - pl.Series(p)).abs() < 1e-14  # a logarithm of another library
        assert frame["neg_log_10_p_value"].is_null().to_list() == [x is None for x in p] and close.all()
        assert frame["code"].is_null().to_list() == [code == "." for code in expected["ERRCODE"]]


def test_regenies_own_files() -> None:
    paths = sorted((real_data("kg-genome") / "expected-regenie").glob("step2*"))
    paths.append(real_data("regenie-example") / "example.test_bin_out_firth_Y1.regenie")
    for path in paths:
        frame, expected = Results.read(path).table, oracle(path)
        names = (("beta", "BETA"), ("standard_error", "SE"), ("neg_log_10_p_value", "LOG10P"), ("n", "N"))
        for column, theirs in names:
            assert frame[column].to_list() == values(expected[theirs]), (path, column)
        assert frame["effect_allele"].to_list() == expected["ALLELE1"]
        assert frame["base_pair_location"].to_list() == [int(text) for text in expected["GENPOS"]]


def test_the_two_tools_agree_once_alleles_are_matched_by_name() -> None:
    """REGENIE's ALLELE1 is the VCF's REF there: by place the betas would have the wrong sign."""
    folder = real_data("kg-genome")
    plink = Results.read(folder / "expected-plink2" / "quant.glm.linear.gz").table
    regenie = Results.read(folder / "expected-regenie" / "step2_noloco_quant.regenie.gz").table
    both = plink.join(regenie, on=["chromosome", "base_pair_location", "rsid"], suffix="_r")
    swapped = pl.col("effect_allele") == pl.col("other_allele_r")
    both = both.with_columns(pl.when(swapped).then(-pl.col("beta_r")).otherwise(pl.col("beta_r")).alias("beta_r"))
    assert both.height > 70_000
    # Six printed digits, and REGENIE fits the covariates by projection in single steps: the same regression.
    difference = (both["beta"] - both["beta_r"]).abs() / both["standard_error"]
    assert difference.max() < 1e-4


@pytest.mark.parametrize("dialect", list(NAMES))
def test_a_real_file_survives_the_journey(dialect: str, tmp_path: Path) -> None:
    source = Results.read(real_data("kg-masked") / "expected-plink2" / "quant.glm.linear.gz")
    (written,) = source.write(tmp_path / NAMES[dialect], dialect=dialect)
    held = source.table.filter(pl.col("beta").is_not_null()) if dialect == "gwas-ssf" else source.table
    columns = [*PLACE, *ESTIMATE, "rsid"]
    again = Results.read(written.path)
    # p to 17 digits, see check_round_trip; everything else exactly.
    assert_frame_equal(again.table.select(columns), held.select(columns), abs_tol=1e-15, rel_tol=1e-14)
    assert again.lambda_gc() == pytest.approx(source.lambda_gc(), rel=1e-12)


# Odd files -----------------------------------------------------------------------------------------------------------

REGENIE = "CHROM GENPOS ID ALLELE0 ALLELE1 A1FREQ N TEST BETA SE CHISQ LOG10P EXTRA\n"
ROW = "1 5 rs1 A G 0.1 9 ADD 1 1 1 0.5 NA\n"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (REGENIE + ROW + ROW.replace(" 0.5 ", " x5 "), r"line 3: LOG10P is 'x5', which is no number"),
        (REGENIE + ROW + "1 5 rs1 A G", r"line 3: 5 fields, where the header has 13"),
        ("## made by us\n\n" + REGENIE + ROW + ROW[:-4] + "\n", r"line 5: 12 fields"),
        (REGENIE.replace("BETA SE", "BETA.Y1 SE.Y1"), "several traits side by side"),
        (REGENIE.replace("A1FREQ", "N"), "has N more than once"),
    ],
)
def test_damaged_files_are_told_by_line(text: str, message: str, tmp_path: Path) -> None:
    for name, content in (("x.regenie", text.encode()), ("x.regenie.gz", gzip.compress(text.encode()))):
        (tmp_path / name).write_bytes(content)
        with pytest.raises(InputError, match=message):
            _ = Results.read(tmp_path / name).table


def test_a_truncated_gzip_is_said(tmp_path: Path) -> None:
    whole = gzip.compress((REGENIE + ROW * 5000).encode())
    (tmp_path / "x.regenie.gz").write_bytes(whole[: len(whole) // 2])
    with pytest.raises(InputError, match="damaged or cut short"):
        _ = Results.read(tmp_path / "x.regenie.gz").table


def test_comments_windows_ends_blocks_of_gzip_and_zstd(tmp_path: Path) -> None:
    import pyarrow as pa

    text = ("##comment\n" + REGENIE + ROW * 3).encode()
    (tmp_path / "a.regenie").write_bytes(text.replace(b"\n", b"\r\n"))
    (tmp_path / "b.regenie").write_bytes(gzip.compress(text[:100]) + gzip.compress(text[100:]))  # as bgzip makes them
    with pa.CompressedOutputStream(str(tmp_path / "c.regenie.zst"), "zstd") as file:
        file.write(text)
    (tmp_path / "d.regenie").write_bytes(text.rstrip(b"\n"))
    for name in ("a.regenie", "b.regenie", "c.regenie.zst", "d.regenie"):
        results = Results.read(tmp_path / name)
        assert results.table.height == 3, name
        assert results.scan().collect().equals(results.table), name
        assert results.table["code"].to_list() == [None] * 3


def test_dialect_and_trait_may_be_said(tmp_path: Path) -> None:
    (tmp_path / "x").write_text(REGENIE + ROW)
    found = Results.read(tmp_path / "x", dialect="regenie", trait="ldl", test="dom")
    assert found.traits == ["ldl"] and found.table["test"].to_list() == ["add"]  # TEST says it
    with pytest.raises(InputError, match=r"no file of the dialect 'saige': its header has no CHR, POS"):
        Results.read(tmp_path / "x", dialect="saige")
    with pytest.raises(InputError, match="no dialect 'klingon'"):
        Results.read(tmp_path / "x", dialect="klingon")


def test_what_cannot_be_written(tmp_path: Path) -> None:
    results = Results(table(2))
    for name, dialect, metadata, message in [
        ("r.csv", "gwas-ssf", None, r"ends in \.tsv or \.tsv\.gz"),
        ("r.parquet", "plink2", None, "not as r.parquet"),
        ("r.txt", "plink2", {"sex": "M"}, "beside GWAS-SSF files only"),
        ("r.tsv", None, {"sex": "M"}, "use dialect='gwas-ssf'"),
        ("r.tsv", "klingon", None, "no dialect 'klingon'"),
        ("absent/r.txt", "saige", None, "the folder does not exist"),
    ]:
        with pytest.raises(OutputError, match=message):
            results.write(tmp_path / name, dialect=dialect, metadata=metadata)
    assert list(tmp_path.iterdir()) == []


def test_memory_does_not_grow_with_the_rows(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Python's own allocations; polars frames of one piece are outside of it and bounded by the piece."""
    monkeypatch.setattr(sumstats_files, "_CHUNK_BYTES", 2**16)
    peaks = []
    for n in (2_000, 40_000):
        path = tmp_path / f"{n}.regenie.gz"
        path.write_bytes(gzip.compress((REGENIE + ROW * n).encode()))
        source = Results.read(path)
        tracemalloc.start()
        source.write(tmp_path / "out.txt.gz", dialect="saige")
        peaks.append(tracemalloc.get_traced_memory()[1])
        tracemalloc.stop()
        assert source._table is None
    assert peaks[1] < 2 * peaks[0] + 2**20


# From the command line -----------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> Files:
    return make_files(tmp_path_factory.mktemp("cohort"), n_samples=60, n_variants=200)


def run(*arguments: object) -> Result:
    return CliRunner().invoke(cli.app, [str(argument) for argument in arguments])


def test_assoc_writes_a_dialect_beside_the_whole_table(files: Files, tmp_path: Path) -> None:
    out = tmp_path / "gwas.regenie.gz"
    command = ["assoc", files.store, files.phenotypes, "--model", "linear", "--trait", "ldl,ldl_before", "--out", out]
    done = run(*command, "--dialect", "regenie")
    assert done.exit_code == 0, done.output
    whole = Results.read(tmp_path / "gwas.parquet")
    for trait in ("ldl", "ldl_before"):
        written = Results.read(tmp_path / f"gwas_{trait}.regenie.gz")
        assert f"{written.path}: {written.table.height:,} rows of {trait} in the dialect regenie" in done.output
        assert written.traits == [trait]
        expected = whole.table.filter(pl.col("trait") == trait)
        assert written.table["beta"].to_list() == expected["beta"].to_list()
    printed = run(*command, "--dialect", "regenie", "--print-toml").stdout
    assert Config.parse(printed, "gwas.toml", Path()).dialect_out == out


@pytest.mark.parametrize(
    ("name", "dialect", "message"),
    [
        ("r.tsv", "klingon", "dialect = 'klingon': there are parquet, tsv, gwas-ssf, plink2, regenie, saige"),
        ("r.txt", "gwas-ssf", "a file in the dialect 'gwas-ssf' ends in .tsv or .tsv.gz"),
        ("r.parquet", "saige", "the dialect 'saige' is text"),
    ],
)
def test_a_dialect_is_checked_before_the_work(
    name: str, dialect: str, message: str, files: Files, tmp_path: Path
) -> None:
    done = run(
        "assoc", files.store, files.phenotypes, "--model", "linear", "--trait", "ldl", "--out", tmp_path / name, "--dialect",
        dialect,
    )  # fmt: skip
    assert isinstance(done.exception, InputError) and message in str(done.exception)
    assert list(tmp_path.iterdir()) == []


def test_gwas_toml_may_hold_the_metadata() -> None:
    tables = {
        "input": {"store": "c.zarr", "phenotypes": "p.tsv"},
        "model": {"kind": "linear", "traits": ["ldl"]},
        "output": {"path": "ldl.tsv.gz", "dialect": "gwas-ssf", "metadata": {"genome_assembly": "GRCh38"}},
    }
    made = Config.of(tables, "gwas.toml", Path("/data"))
    assert (made.out, made.dialect, made.dialect_out) == (
        Path("/data/ldl.parquet"),
        "gwas-ssf",
        Path("/data/ldl.tsv.gz"),
    )
    assert Config.parse(made.to_toml(), "again", Path()).output["metadata"] == {"genome_assembly": "GRCh38"}
    tables["output"] = {"path": "ldl.tsv.gz", "metadata": {}}
    with pytest.raises(InputError, match="metadata is for dialect = 'gwas-ssf'"):
        Config.of(tables, "gwas.toml", Path())
    tables["output"] = {"path": "ldl.tsv.gz", "dialect": "tsv"}
    assert Config.of(tables, "gwas.toml", Path("/data")).out == Path("/data/ldl.tsv.gz")
