"""Results files that are not what was written: flipped bits, cut short, swapped, edited; links; ids that terminals obey."""

import gzip
import hashlib
import json
import os
import random
import warnings
from pathlib import Path

import polars as pl
import pyarrow.parquet as pq
import pytest
from count_cohort import make_cohort, make_job, make_plan, scan
from small_cohort import make_files
from test_results import RECORD, make_table

import genassoc as ga
from genassoc.data import output, sidecar, text_cells
from genassoc.data.integrity import FileDigest
from genassoc.engine.parts import WorkFolder
from genassoc.errors import GenassocError, InputError, OutputError, ReusedWarning, UncheckedWarning, printable
from genassoc.provenance import sidecar as beside
from genassoc.results import Results

N_FLIPS = 100  # of each kind of file: together the 300 that once gave 104 other tables in silence


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    return make_files(tmp_path_factory.mktemp("cohort"), 120, 400)


@pytest.fixture
def cohort(files):
    return ga.Cohort.align(files.store, files.phenotypes)


MODEL = ga.Linear(["ldl"], ["age"])


def table_of(rows: int = 300) -> pl.DataFrame:
    return make_table([0.01 * i for i in range(rows)], ("a", "b"))


# --- damage -------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["r.parquet", "r.tsv.gz", "record"])
def test_no_flipped_bit_is_silent(kind: str, tmp_path: Path) -> None:
    path = Results(table_of(), RECORD).write(tmp_path / (kind if kind != "record" else "r.tsv"))
    target = beside(path) if kind == "record" else path
    whole, rng = target.read_bytes(), random.Random(5)
    for _ in range(N_FLIPS):
        at = rng.randrange(8 * len(whole))
        damaged = bytearray(whole)
        damaged[at // 8] ^= 1 << at % 8
        target.write_bytes(damaged)
        with pytest.raises(InputError, match=r"restore the (table|record) from a copy|not a results file|is no table"):
            Results.read(path)
    target.write_bytes(whole)
    assert Results.read(path).table.equals(table_of())


@pytest.mark.parametrize("suffix", [".parquet", ".tsv", ".tsv.gz"])
def test_what_is_cut_swapped_or_edited_is_refused_by_name(suffix: str, tmp_path: Path) -> None:
    path = Results(table_of(), RECORD).write(tmp_path / f"r{suffix}")
    other = Results(table_of(299), RECORD).write(tmp_path / f"other{suffix}")
    whole = path.read_bytes()
    for content in (whole[:-20], other.read_bytes(), whole + b"\n"):
        path.write_bytes(content)
        with pytest.raises(
            InputError, match=rf"r{suffix} is not the table that was written.*r{suffix}\.provenance\.json"
        ):
            Results.read(path)
    path.write_bytes(whole)
    beside(path).write_bytes(beside(other).read_bytes())
    with pytest.raises(InputError, match="is not the table that was written"):
        Results(path).scan()  # what reads the rows checks them, however it was opened


def test_an_edited_record_is_refused(tmp_path: Path) -> None:
    path = Results(table_of(), RECORD).write(tmp_path / "r.tsv")
    record = json.loads(beside(path).read_text())
    changed = {
        "a count": {**record, "variants": {**record["variants"], "kept": 10}},
        "no mark": {key: value for key, value in record.items() if key != "integrity"},
        "no format": {key: value for key, value in record.items() if key != "format"},
    }
    for content in changed.values():
        beside(path).write_text(json.dumps(content))
        with pytest.raises(InputError, match=r"r\.tsv\.provenance\.json is no record"):
            Results.read(path)
    beside(path).write_text(json.dumps(record, indent=7))  # the same values, laid out by another program
    assert Results.read(path).provenance == RECORD


def test_a_file_that_changes_while_it_is_open_is_noticed(tmp_path: Path) -> None:
    path = Results(table_of()).write(tmp_path / "r.parquet")
    results = Results.read(path)
    assert results.top(1).height == 1
    Results(table_of(299)).write(path)  # with a record of its own
    with pytest.raises(InputError, match="is not the table that was written"):
        results.top(1)
    assert Results.read(path).table.height == 598


@pytest.mark.parametrize("suffix", [".parquet", ".tsv"])
def test_files_of_earlier_versions_are_read_and_it_is_said_once(suffix: str, tmp_path: Path) -> None:
    path = Results(table_of(), RECORD).write(tmp_path / f"r{suffix}")
    beside(path).write_text(json.dumps(RECORD))  # as they wrote it
    with pytest.warns(UncheckedWarning, match="has no digest") as said:
        results = Results.read(path)
        assert results.provenance == RECORD
        assert results.table.equals(table_of())
        results.traits  # noqa: B018  reads once more
    assert len(said) == 1


def test_a_damaged_file_without_a_digest_is_no_error_of_a_library(tmp_path: Path) -> None:
    """Pages of parquet have checksums, gzip has one: what they find is said in our words. (Plain text has none.)"""
    for name in ("r.parquet", "r.tsv.gz"):
        path = Results(table_of()).write(tmp_path / name)
        beside(path).unlink()
        whole, rng = path.read_bytes(), random.Random(6)
        for _ in range(60):
            at = rng.randrange(len(whole))
            path.write_bytes(whole[:at] + bytes([whole[at] ^ (1 << rng.randrange(8))]) + whole[at + 1 :])
            with warnings.catch_warnings():
                warnings.simplefilter("ignore", UncheckedWarning)
                try:
                    results = Results.read(path)
                    results.table, results.top(3), results.traits, repr(results)
                except GenassocError:
                    continue


# --- what is no table of results ----------------------------------------------------------------


def test_parquet_of_other_columns_and_types(tmp_path: Path) -> None:
    path = tmp_path / "r.parquet"
    for table, message in [
        (table_of().drop("trait"), "no column trait"),
        (table_of().with_columns(pl.lit("much").alias("beta")), "column beta holds String instead of Float64"),
        (table_of().with_columns(pl.lit([1]).alias("trait")), "column trait holds List"),
    ]:
        table.write_parquet(path)
        with pytest.warns(UncheckedWarning), pytest.raises(InputError, match=message):
            Results.read(path)
    columns = pq.read_table(Results(table_of()).write(tmp_path / "twice.parquet"))
    pq.write_table(columns.append_column("beta", columns["beta"]), path)
    with pytest.raises(InputError, match=r"r\.parquet cannot be read"), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        Results.read(path)


def test_headers_with_a_name_twice_folders_and_pipes(tmp_path: Path) -> None:
    text = Results(table_of(2)).write(tmp_path / "r.tsv").read_text()
    (tmp_path / "twice.tsv").write_text(text.replace("standard_error\t", "beta\t", 1))
    with pytest.raises(InputError, match="the header has beta more than once"):
        Results.read(tmp_path / "twice.tsv")
    (tmp_path / "folder.parquet").mkdir()
    with pytest.raises(InputError, match="is a folder"):
        Results.read(tmp_path / "folder.parquet")
    os.mkfifo(tmp_path / "pipe.tsv")
    with pytest.raises(InputError, match="a special file"):
        Results.read(tmp_path / "pipe.tsv")
    path = Results(table_of(2)).write(tmp_path / "s.tsv")
    beside(path).unlink()
    os.mkfifo(beside(path))
    with pytest.raises(InputError, match="no plain file"):
        Results.read(path)


def test_a_gzip_bomb_is_refused_in_bounded_memory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("genassoc.formats.sumstats.files._LEAST_BOMB", 2**20)
    head = Results(table_of(1)).write(tmp_path / "r.tsv").read_bytes()
    for name, content in (("rows", b"1\t2\n" * 2**20), ("line", b"0" * 2**22)):
        path = tmp_path / f"{name}.tsv.gz"
        path.write_bytes(gzip.compress(head + content))
        with (
            warnings.catch_warnings(),
            pytest.raises(InputError, match="made to exhaust the memory"),
        ):
            warnings.simplefilter("ignore", UncheckedWarning)
            Results.read(path)


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("parameters", []),
        ("variants", {"read": "many", "kept": 1, "dropped": {}}),
        ("variants", {"read": 10**400, "kept": 1, "dropped": {}}),
        ("notes", "text"),
        ("notes", [1]),
        ("inputs", {"cohort": {"steps": {}}, "store": {"path": "x", "fingerprint": "y"}}),
        ("inputs", {"cohort": {"steps": []}, "store": {"path": 1, "fingerprint": "y"}}),
        ("inputs", {"cohort": {"steps": []}, "store": {"path": "a\0b", "fingerprint": "y"}}),
        ("inputs", {"cohort": {"steps": [{"file": "a\0b"}]}, "store": {"path": "x", "fingerprint": "y"}}),
        ("samples", {"analysed": {"a": "all"}}),
        ("audit", {"line": 3}),
        ("run", "none"),
    ],
)
def test_records_of_strangers_with_other_types(field: str, value: object, tmp_path: Path) -> None:
    path = Results(table_of(2), {**RECORD, field: value}).write(tmp_path / "r.tsv")  # its digests are right
    with pytest.raises(InputError, match="is no record of provenance"):
        Results.read(path)


@pytest.mark.parametrize(
    "text", ["", "[]", "{", '{"a":' * 10**4, "\x00", '{"a": 1, "a": 2}', '{"a": ' + "9" * 10**4 + "}"]
)
def test_records_that_are_garbage(text: str, tmp_path: Path) -> None:
    path = Results(table_of(2)).write(tmp_path / "r.tsv")
    beside(path).write_text(text)
    with pytest.raises(InputError, match="is no record of provenance"):
        Results.read(path)


# --- what is there already ----------------------------------------------------------------------


def test_the_same_run_is_returned_and_another_refused(cohort, tmp_path: Path) -> None:
    out = tmp_path / "ldl.parquet"
    first = ga.associate(cohort, MODEL, out=out, executor=ga.Serial())
    before = out.stat().st_mtime_ns
    with pytest.warns(ReusedWarning, match="not computed again"):
        again = ga.associate(cohort, MODEL, out=out, audit=4)
    assert out.stat().st_mtime_ns == before and again.table.equals(first.table)
    assert again.provenance["notes"][0].startswith(str(out))
    assert Results.read(out).provenance["audit"]["rows"] == 4  # what was not there yet
    with pytest.raises(
        OutputError, match=r"is not what this run would write: .*covariates was \[\"age\"\], now it is \[\]"
    ):
        ga.associate(cohort, ga.Linear(["ldl"]), out=out)
    with pytest.raises(OutputError, match="the variants were"):
        ga.associate(cohort.keep_variants(ga.variants.maf_above(0.1)), MODEL, out=out)
    content = out.read_bytes()
    out.write_bytes(content[:-1] + b"\0")
    with pytest.raises(OutputError, match="is not the table that was written"):
        ga.associate(cohort, MODEL, out=out)
    assert ga.associate(cohort, MODEL, out=out, restart=True).path.read_bytes() == content
    assert not list(tmp_path.glob("*.work"))


def test_other_numbers_are_other_results(cohort, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    out = tmp_path / "ldl.parquet"
    ga.associate(cohort, MODEL, out=out)
    for module in ("genassoc.engine.plan", "genassoc.verbs.run_record"):
        monkeypatch.setattr(f"{module}.NUMBERS", 10**6)
    with pytest.raises(
        OutputError, match=r"its numbers have version [0-9]+, those of this genassoc have version 1000000"
    ):
        ga.associate(cohort, MODEL, out=out)


def test_write_spares_other_results(cohort, tmp_path: Path) -> None:
    one = ga.associate(cohort, MODEL)
    two = ga.associate(cohort, ga.Linear(["ldl_before"]))
    for dialect, name in ((None, "r.tsv.gz"), ("regenie", "r.regenie")):
        out = tmp_path / name
        one.write(out, dialect)
        content, record = out.read_bytes(), beside(out).read_bytes()
        one.write(out, dialect)  # the same run
        with pytest.raises(OutputError, match="does not hold these results: model: traits was"):
            two.write(out, dialect)
        assert (out.read_bytes(), beside(out).read_bytes()) == (content, record)
        two.write(out, dialect, overwrite=True)
        assert Results.read(out).top(1).height == 1
    (tmp_path / "empty.tsv").touch()  # as some workflow engines make their outputs
    one.write(tmp_path / "empty.tsv")
    with pytest.raises(OutputError, match="its columns are others"):
        ga.adjust(one, out=tmp_path / "empty.tsv")
    ga.adjust(one, out=tmp_path / "adjusted.parquet")
    with pytest.raises(OutputError, match="its columns are others"):  # of the same run, and not what it writes
        ga.associate(cohort, MODEL, out=tmp_path / "adjusted.parquet")


def test_the_command_line_says_so_and_takes_force(files, tmp_path: Path, genassoc) -> None:
    out = tmp_path / "ldl.parquet"
    command = ["assoc", files.store, files.phenotypes, "--model", "linear", "--trait", "ldl", "--out", out]
    assert genassoc(*command)[0] == 0
    code, _, said = genassoc(*command)
    assert code == 0 and "not computed again" in said and "Warning" not in said
    code, _, said = genassoc(*command, "--covar", "age")
    assert code == 1 and "model: covariates was [], now it is" in said and "--force" in said
    assert genassoc(*command, "--covar", "age", "--force")[0] == 0
    out.write_bytes(out.read_bytes()[:-7])
    for reader in (["plot", out, "--out", tmp_path / "plots"], ["explain", out, "1_1_A_G"]):
        code, _, said = genassoc(*reader)
        assert code == 1 and "is not the table that was written" in said and "Traceback" not in said


def test_a_refused_file_in_a_dialect_keeps_what_lies_beside_it(cohort, tmp_path: Path) -> None:
    one, two = (ga.associate(cohort, ga.Linear([trait])) for trait in ("ldl", "ldl_before"))
    out = tmp_path / "r.tsv"
    for results in (one, two):  # rows that the dialect cannot hold
        chromosome = pl.when(pl.int_range(pl.len()) < 3).then(pl.lit("GL1")).otherwise(pl.col("chromosome"))
        results._table = results.table.with_columns(chromosome.alias("chromosome"))
    one.write(out, "gwas-ssf")
    before = {path.name: path.read_bytes() for path in tmp_path.iterdir()}
    assert "r.not-in-gwas-ssf.tsv.gz" in before
    with pytest.raises(OutputError, match="does not hold these results"):
        two.write(out, "gwas-ssf")
    assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == before


def test_force_is_for_the_dialect_too_and_others_are_refused_before_the_work(files, tmp_path: Path, genassoc) -> None:
    command = ["assoc", files.store, files.phenotypes, "--model", "linear", "--trait", "ldl", "--audit", 0]
    command += ["--dialect", "plink2", "--out", tmp_path / "r.glm"]
    assert genassoc(*command)[0] == 0
    (made,) = tmp_path.glob("*.parquet")
    made.unlink()
    beside(made).unlink()
    content = (tmp_path / "r.glm").read_bytes()
    code, _, said = genassoc(*command, "--covar", "age")
    assert code == 1 and "r.glm exists already" in said and "--force" in said
    assert (tmp_path / "r.glm").read_bytes() == content and not made.exists()
    assert genassoc(*command, "--covar", "age", "--force")[0] == 0
    assert (tmp_path / "r.glm").read_bytes() != content
    assert genassoc(*command, "--force")[0] == 0  # and back, where both are there
    assert (tmp_path / "r.glm").read_bytes() == content
    tsv = [
        *command[:-4],
        "--out",
        tmp_path / "r.tsv",
    ]  # of the same run, and no table of its rows: another tool's columns
    assert genassoc(*tsv, "--dialect", "gwas-ssf")[0] == 0
    code, _, said = genassoc(*tsv)
    assert code == 1 and "its columns are others" in said


def test_check_and_qc_know_results_that_are_there(files, tmp_path: Path, genassoc) -> None:
    out = tmp_path / "r.parquet"
    command = ["assoc", files.store, files.phenotypes, "--model", "linear", "--trait", "ldl", "--out", out]
    toml = tmp_path / "g.toml"
    toml.write_text(genassoc(*command, "--print-toml")[1])
    assert genassoc("check", toml)[0] == 0
    assert genassoc(*command)[0] == 0
    code, told, _ = genassoc("check", toml)
    assert code == 0 and "already holds the results of this run" in told
    toml.write_text(genassoc(*command, "--covar", "age", "--print-toml")[1])
    code, _, said = genassoc("check", toml)
    assert code == 1 and "covariates was [], now it is" in said
    content = out.read_bytes()
    code, _, said = genassoc("qc", files.store, "--out", out)
    assert code == 1 and "holds the results of an association run" in said and out.read_bytes() == content
    for _ in range(2):  # tables of quality control are made again as one likes
        assert genassoc("qc", files.store, "--out", tmp_path / "qc.tsv")[0] == 0


def test_spreadsheets_on_the_command_line(files, tmp_path: Path, genassoc) -> None:
    """The same rows with the flag are another file: it is refused over the one without."""
    table = pl.read_csv(files.phenotypes, separator="\t", infer_schema=False).rename({"ldl": "-ldl"})
    (tmp_path / "p.tsv").write_text(table.write_csv(separator="\t"))
    out = tmp_path / "r.tsv"
    command = ["assoc", files.store, tmp_path / "p.tsv", "--model", "linear", "--trait=ldl_before", "--out"]
    assert genassoc(*command, out)[0] == 0
    assert genassoc(*command, out, "--for-spreadsheets")[0] == 1
    assert genassoc(*command, out, "--for-spreadsheets", "--force")[0] == 0
    assert Results.read(out).provenance["run"]["for_spreadsheets"] is True
    code, _, said = genassoc(*command, tmp_path / "r.parquet", "--for-spreadsheets")
    assert code == 1 and "for_spreadsheets is for text" in said
    code, _, said = genassoc(*command[:-2], "--trait=-ldl", "--out", tmp_path / "s.tsv", "--for-spreadsheets")
    assert code == 1 and "the name of the trait '-ldl'" in said


def test_the_table_appears_with_its_record_or_not_at_all(
    cohort, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A disk that fills while the record is written leaves the old table with the old record, and the parts."""
    out = tmp_path / "ldl.parquet"
    ga.associate(cohort, ga.Linear(["ldl_before"]), out=out)
    held = out.read_bytes(), beside(out).read_bytes()

    def full(path, *_args, **_options):
        raise output.output_error(OSError(28, "No space left on device"), Path(path))

    with monkeypatch.context() as broken:
        broken.setattr(sidecar, "replacing", full)
        with pytest.raises(OutputError, match="no space left"):
            ga.associate(cohort, MODEL, out=out, restart=True)
    assert (out.read_bytes(), beside(out).read_bytes()) == held
    assert list(tmp_path.glob("*.work/part-*")) and not list(tmp_path.glob("wip_*"))
    with pytest.raises(OutputError):
        ga.associate(cohort, MODEL, out=out)
    out.unlink()
    assert ga.associate(cohort, MODEL, out=out).table.height  # from the parts
    assert Results.read(out).traits == ["ldl"]


# --- links --------------------------------------------------------------------------------------


def test_an_output_that_is_a_link_stays_one(cohort, tmp_path: Path) -> None:
    (tmp_path / "disk").mkdir()
    for name in ("there.parquet", "not_yet.parquet"):
        target, link = tmp_path / "disk" / name, tmp_path / f"link_{name}"
        if name == "there.parquet":
            target.touch()
        link.symlink_to(target)
        ga.associate(cohort, MODEL, out=link)
        assert link.is_symlink() and not target.is_symlink() and target.stat().st_size > 1000
        assert Results.read(link).provenance["run"]
    made, staged = Results(table_of(3), RECORD).write(tmp_path / "disk" / "s.tsv"), tmp_path / "staged.tsv"
    staged.symlink_to(made)  # as Nextflow stages the table alone
    assert Results.read(staged).provenance == RECORD


# --- ids that a terminal or a spreadsheet obeys -------------------------------------------------

EVIL = "rs1\x1b[2Jx\ty\nz\x9b\u202e"


def test_links_in_a_circle_are_said(cohort, tmp_path: Path) -> None:
    circle = tmp_path / "r.parquet"
    circle.symlink_to("r.parquet")
    with pytest.raises(OutputError, match="a link that leads to itself"):
        ga.associate(cohort, MODEL, out=circle)
    with pytest.raises(OutputError, match="a link that leads to itself"):
        Results(table_of(2)).write(circle)
    assert circle.is_symlink()


def test_control_bytes_are_written_as_text(tmp_path: Path) -> None:
    table = table_of(2).with_columns(rsid=pl.Series([EVIL, "=1+1", "rs°", "-"]), trait=pl.lit("a"))
    for name, dialect in (("r.tsv", None), ("r.txt", "plink2")):
        out = Results(table).write(tmp_path / name, dialect)
        content = (out if isinstance(out, Path) else out[0].path).read_text()
        assert (r"rs1\x1b[2Jx\ty\nz\x9b\u202e" if dialect is None else r"rs1\x1b[2Jx_y_z\x9b\u202e") in content
        assert not set(content) & set("\x1b\x9b\u202e\r") and content.count("\n") == 5
    assert Results.read(tmp_path / "r.tsv").table["rsid"].to_list()[1:] == ["=1+1", "rs°", "-"]
    out = Results(table).write(tmp_path / "s.tsv", for_spreadsheets=True)
    assert pl.read_csv(out, separator="\t")["rsid"].to_list()[1:] == ["'=1+1", "rs°", "'-"]
    assert pl.read_csv(out, separator="\t", null_values="NA")["beta"].dtype == pl.Float64  # numbers stay numbers
    with pytest.raises(OutputError, match="spreadsheets read text"):
        Results(table).write(tmp_path / "s.parquet", for_spreadsheets=True)


def test_nothing_that_a_terminal_obeys_is_said(tmp_path: Path, genassoc) -> None:
    assert printable("a\x1b[31m\tb\n") == "a\\x1b[31m\tb\n"
    assert "\x1b" not in str(GenassocError(f"no column {EVIL}"))
    path = Results(table_of(1).with_columns(trait=pl.lit(EVIL))).write(tmp_path / "r.parquet")
    assert "\x1b" not in repr(Results.read(path))
    for command in (
        ["explain", path, EVIL],
        ["explain", tmp_path / f"{EVIL}.tsv", "x"],
        ["plot", path, "--out", tmp_path / "p"],
    ):
        _, told, said = genassoc(*command)
        assert not set(told + said) & set("\x1b\x9b\u202e")


def test_plain_cells_are_left_alone() -> None:
    frame = pl.DataFrame({"a": ["x", None, 'q"'], "b": [1.5, None, 2.0]})
    assert text_cells.written(frame, "\t", "NA") == b'x\t1.5\nNA\tNA\n"q"""\t2.0\n'


# --- parts --------------------------------------------------------------------------------------


def test_a_flipped_bit_in_a_part_is_computed_again(tmp_path: Path) -> None:
    """Anywhere in the file: pages, footer, counts."""
    cohort = make_cohort()
    plan = make_plan(cohort)
    job, task, work = make_job(cohort, plan), plan.tasks[0], WorkFolder(tmp_path / "work")
    work.open(plan)
    work.write_part(plan, task, job.do(job.prepare(), task))
    path, rng = work.part_path(task), random.Random(7)
    whole = path.read_bytes()
    assert work.part_counts(plan, task, thorough=True) is not None
    for _ in range(N_FLIPS):
        at = rng.randrange(8 * len(whole))
        damaged = bytearray(whole)
        damaged[at // 8] ^= 1 << at % 8
        path.write_bytes(damaged)
        assert work.part_counts(plan, task, thorough=True) is None


def test_the_digest_is_that_of_sha256sum(tmp_path: Path) -> None:
    merged = scan(tmp_path / "r.tsv.gz")
    content = merged.path.read_bytes()
    assert merged.digest == FileDigest(len(content), hashlib.sha256(content).hexdigest()) == FileDigest.of(merged.path)
