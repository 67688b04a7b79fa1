"""What a terminal shows: progress of every phase, a summary that fits, JSON, quiet, help by subject, completion, Ctrl-C."""

import io
import json
import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import click
import polars as pl
import pytest
from click.shell_completion import ShellComplete
from small_cohort import make_files

import genassoc as ga
from genassoc import progress
from genassoc.cli.commands import app
from genassoc.verbs.summary import WIDTH, answering, counted, lines_and_facts, wrapped

PROJECT = Path(__file__).parents[1]


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    return make_files(tmp_path_factory.mktemp("cohort"))


@pytest.fixture(scope="module")
def trial(files, tmp_path_factory):
    """Results of a model with an interaction, of two traits."""
    cohort = ga.Cohort.align(ga.open_store(files.store), files.phenotypes, sample_id="IID")
    model = ga.Linear(["ldl"], ["age"], interaction="sex")
    out = tmp_path_factory.mktemp("trial") / "trial.parquet"
    return ga.associate(cohort, model, out=out, executor=ga.Serial(), relatedness=False)


def assoc(files, out, *more):
    return ("assoc", files.store, files.phenotypes, "--model", "linear", "--trait", "ldl", "--sample-id", "IID",
            "--no-relatedness", "--audit", "10", "--threads", "1", "--out", out, *more)  # fmt: skip


# --- progress -------------------------------------------------------------------------------------------------


class Heard:
    """A progress that keeps what it is told."""

    def __init__(self) -> None:
        self.said: list[tuple[object, ...]] = []

    def begin(self, label, total, unit):
        self.said.append(("begin", label, total, unit))

    def advance(self, amount):
        self.said.append(("advance", amount))

    def end(self):
        self.said.append(("end",))


def test_a_phase_is_told_of_once_it_has_lasted(monkeypatch):
    monkeypatch.setattr(progress, "PHASE_SECONDS", 0.05)
    heard = Heard()
    with progress.phase(heard, "merging", 10.0, "variants") as advance:
        advance(3.0)  # told with the beginning
        deadline = time.monotonic() + 10
        while not heard.said and time.monotonic() < deadline:
            time.sleep(0.01)
        advance(7.0)
    assert heard.said == [
        ("begin", "merging", 10.0, "variants"), ("advance", 3.0), ("advance", 7.0), ("end",),
    ]  # fmt: skip


def test_a_short_phase_leaves_no_trace_and_an_error_ends_a_long_one(monkeypatch):
    heard = Heard()
    with progress.phase(heard, "audit") as advance:
        advance(1.0)
    with progress.phase(None, "audit") as advance:
        advance(1.0)
    assert heard.said == []
    monkeypatch.setattr(progress, "PHASE_SECONDS", 0.0)
    with pytest.raises(ValueError, match="bad"), progress.phase(heard, "audit"):
        while not heard.said:
            time.sleep(0.01)
        raise ValueError("bad")
    assert heard.said[-1] == ("end",)


def test_every_phase_of_a_run_is_told_of(files, tmp_path, monkeypatch):
    """As though each lasted: what was silent between the bar of the tests and the prompt."""

    class Told:
        def __init__(self, shown, label, total, unit):
            shown.said.append(("begin", label, total, unit))

        def advance(self, amount):
            pass

        def end(self):
            pass

    monkeypatch.setattr(progress, "_Late", Told)
    heard = Heard()
    cohort = ga.Cohort.align(ga.open_store(files.store), files.phenotypes, sample_id="IID")
    ga.associate(
        cohort,
        ga.Linear(["ldl", "ldl_before"]),
        out=tmp_path / "o.parquet",
        audit=5,
        progress=heard,
        executor=ga.Serial(),
    )
    begun = [said[1] for said in heard.said if said[0] == "begin"]
    phases = ["reading inputs", "null models of 2 traits", "relatives and ancestry", "measuring a block", "testing",
              "merging", "inflation", "audit of 5 rows"]  # fmt: skip
    assert begun == phases


def test_lines_of_a_phase_without_a_total():
    stream = io.StringIO()
    lines = progress.Lines(stream, iter([0.0, 12.0]).__next__)
    lines.begin("audit", None, "")
    lines.end()
    assert stream.getvalue() == "audit\naudit: 12 s\n"


@pytest.mark.parametrize("value", ["", "1"])
def test_no_color_is_honoured(monkeypatch, value):
    """A bar on a terminal has colours, and none where NO_COLOR is set to something."""
    monkeypatch.setenv("NO_COLOR", value)
    monkeypatch.setenv("TERM", "xterm-256color")
    monkeypatch.setenv("COLUMNS", "80")
    stream = io.StringIO()
    bar = progress.Terminal(stream)
    bar.begin("testing", 10.0, "variants")
    bar.advance(10.0)
    bar.end()
    coloured = re.search(r"\x1b\[[0-9;]*3[0-9]|\x1b\[38;", stream.getvalue())
    assert "testing" in stream.getvalue() and bool(coloured) == (value == "")


# --- summaries ------------------------------------------------------------------------------------------------


def test_the_row_that_answers_comes_first(trial):
    lines, facts = lines_and_facts(trial)
    assert max(map(len, lines)) <= max(WIDTH, max(len(word) for line in lines for word in line.split()) + 1)
    best = next(line for line in lines if line.startswith("  best: "))
    place = lines.index(best)
    assert "does the effect differ by sex? The test is add:E" in lines[place - 1]
    rows = trial.table.filter((pl.col("test") == "add:E") & pl.col("neg_log_10_p_value").is_not_null())
    top = rows.sort("neg_log_10_p_value", descending=True, maintain_order=True).row(0, named=True)
    assert top["variant_id"] in best and "change of beta" in best
    assert facts["answering_test"] == "add:E" and facts["traits"][0]["best"][0]["variant_id"] == top["variant_id"]
    assert facts["traits"][0]["best"][0]["test"] == "add:E"
    assert len(lines) <= 24  # of a screen
    assert not any("add" in line.split("(")[-1].split(",") for line in lines)


def test_answering():
    assert answering(["add"]) == "add" and answering(["add", "add:E", "joint_2df"]) == "add:E"
    assert answering(["geno_hom", "geno_het"]) is None


def test_many_traits_have_a_line_each(files, tmp_path):
    """As many as there are: still a screen."""
    table = pl.read_csv(files.phenotypes, separator="\t", null_values="NA")
    names = [f"a trait with a rather long name {i}" for i in range(30)]
    table = table.select(
        "IID", *(((pl.col("age") * (i + 1)) % 17 + pl.col("age") / 99).alias(n) for i, n in enumerate(names))
    )
    cohort = ga.Cohort.align(ga.open_store(files.store), table, sample_id="IID")
    cohort = cohort.keep_variants(ga.variants.in_region("1"))
    found = ga.associate(cohort, ga.Linear(names), out=tmp_path / "t.parquet", executor=ga.Serial(), relatedness=False)
    lines, facts = lines_and_facts(found)
    assert len(lines) <= 24 and all(len(line) <= WIDTH for line in lines[1:])
    assert "  and 18 traits more: --json has them all" in lines and len(facts["traits"]) == 30
    at = next(i for i, line in enumerate(lines) if line.split()[:2] == ["trait", "n"])
    shown = [
        float(line[len(lines[at]) - len("  best") - 8 : len(lines[at]) - len("  best")])
        for line in lines[at + 1 : at + 13]
    ]
    assert shown == sorted(shown, reverse=True)


def test_words():
    assert counted(1, "set") == "1 set" and counted(2, "set") == "2 sets" and counted(1_000, "row") == "1,000 rows"
    assert counted(1, "test has", "tests have") == "1 test has"
    assert wrapped(["  a" * 40])[1].startswith("      a")
    path = "/a" * 60
    assert wrapped([f"{path}: 3 rows"])[0] == f"{path}:"  # a path is never cut


# --- JSON and quiet -------------------------------------------------------------------------------------------


def test_json_of_a_run_is_one_object(files, tmp_path, genassoc):
    code, out, err = genassoc(*assoc(files, tmp_path / "o.parquet", "--json"))
    assert code == 0, err
    said = json.loads(out)
    table = pl.read_parquet(tmp_path / "o.parquet")
    assert said["command"] == "assoc" and said["path"] == str(tmp_path / "o.parquet")
    assert said["traits"][0]["best"][0]["neg_log_10_p_value"] == table["neg_log_10_p_value"].max()
    assert said["variants"]["kept"] == table.height and said["lines"] and "next:" not in err


def test_quiet_says_nothing_of_a_run_and_answers_what_was_asked(files, tmp_path, genassoc):
    assert genassoc(*assoc(files, tmp_path / "o.parquet", "--quiet")) == (0, "", "")
    assert (tmp_path / "o.parquet").is_file()
    code, out, err = genassoc("info", files.store, "-q")
    assert code == 0 and "variants x" in out and err == ""
    code, out, err = genassoc(*assoc(files, tmp_path / "p.parquet", "--print-toml", "-q"))
    assert code == 0 and "[model]" in out
    code, out, err = genassoc("info", tmp_path / "absent.zarr", "--quiet")
    assert code == 1 and "absent.zarr" in err  # an error is said


def test_every_command_takes_both():
    context = click.Context(app)
    for name in app.list_commands(context):
        found = app.commands[name]
        options = [option for parameter in found.get_params(context) for option in parameter.opts]
        if not options or options == ["--help"] or name in ("assoc", "sets"):  # whose options depend on the model
            inner = found.make_context(name, [], resilient_parsing=True).command
            options = [option for parameter in inner.params for option in parameter.opts]
        assert {"--json", "--quiet"} <= set(options), name


def test_what_to_type_next(files, tmp_path, genassoc):
    code, out, err = genassoc(*assoc(files, tmp_path / "o.parquet"))
    assert code == 0 and "next:" not in out
    following = [line[6:] for line in err.splitlines() if line.startswith(("next: ", "      genassoc"))]
    assert following[0] == f"genassoc plot {tmp_path / 'o.parquet'} --out plots"
    explained = next(line for line in following if line.startswith("genassoc explain"))
    code, out, err = genassoc(*explained.split()[1:])  # as it is typed
    assert code == 0 and explained.split()[-1] in out, err


# --- help and completion --------------------------------------------------------------------------------------


def test_help_has_every_command_under_a_heading():
    text = app.get_help(click.Context(app, info_name="genassoc", terminal_width=80, max_content_width=80))
    headings = [line[:-1] for line in text.splitlines() if re.fullmatch(r"[A-Z][a-z ]+:", line)]
    assert headings == ["Options", "Genotypes", "Relatives and ancestry", "Association", "Job arrays", "Results"]
    shown = {line.split()[0] for line in text.splitlines() if re.match(r"  [a-z0-9]+ ", line)}
    assert {name for name, found in app.commands.items() if not found.hidden} <= shown
    assert max(map(len, text.splitlines())) <= 80 and "..." not in text.replace("[ARGS]...", "")


def completed(*words: str) -> set[str]:
    *before, last = words
    return {item.value for item in ShellComplete(app, {}, "genassoc", "_C").get_completions(list(before), last)}


def test_completion_of_commands_options_and_values(files):
    assert {"pca", "part", "plan", "plot", "prune"} <= completed("p")
    assert {"--trait", "--threads"} <= completed("assoc", "--t")
    assert completed("assoc", "--model", "lo") == {"logistic"}
    assert "--ties" in completed("assoc", "--model", "cox", "--ti")
    assert completed("plot", "r.parquet", "--format", "p") == {"png", "pdf"}
    store, table = str(files.store), str(files.phenotypes)
    assert completed("assoc", store, table, "--trait", "ld") >= {"ldl"}
    assert completed("assoc", store, table, "--covar", "age,PC") >= {"age,PC1", "age,PC2"}
    assert "ldl" not in completed("assoc", store, "/nowhere", "--trait", "ld")


@pytest.mark.integration
def test_bash_takes_the_completion_that_is_printed(genassoc, tmp_path):
    code, script, _ = genassoc("--completion", "bash")
    assert code == 0
    bin_ = tmp_path / "bin"
    bin_.mkdir()
    (bin_ / "genassoc").write_text(
        f"#!{sys.executable}\nimport sys\nsys.argv[0] = 'genassoc'\nfrom genassoc.cli import main\nmain()\n"
    )
    (bin_ / "genassoc").chmod(0o755)
    typed = "COMP_WORDS=(genassoc kin); COMP_CWORD=1; _genassoc_completion genassoc; echo ${COMPREPLY[@]}"
    path = f"{bin_}{os.pathsep}{os.environ['PATH']}"
    environment = {
        **os.environ,
        "PATH": path,
        "PYTHONPATH": os.pathsep.join([str(PROJECT), os.environ.get("PYTHONPATH", "")]),
    }
    done = subprocess.run(["bash", "-c", f"{script}\n{typed}"], env=environment, capture_output=True, text=True)
    assert done.stdout.split() == ["kinship"], done.stderr
    for shell in ("zsh", "fish"):
        assert "_GENASSOC_COMPLETE" in genassoc("--completion", shell)[1]


# --- Ctrl-C ---------------------------------------------------------------------------------------------------


@pytest.mark.integration
def test_an_interruption_while_commands_load_has_no_traceback():
    """The signal comes while an import is under way: held up there, so that no clock decides."""
    program = (
        "import builtins, os, signal, sys\n"
        "from genassoc.cli import main\n"
        "real = builtins.__import__\n"
        "def held(name, *rest):\n"
        "    if name == 'genassoc.cli.commands' or name == 'click':\n"
        "        os.kill(os.getpid(), signal.SIGINT)\n"
        "    return real(name, *rest)\n"
        "builtins.__import__ = held\n"
        "sys.argv = ['genassoc', '--version']\n"
        "main()\n"
    )
    path = os.pathsep.join([str(PROJECT), os.environ.get("PYTHONPATH", "")])
    done = subprocess.run(
        [sys.executable, "-c", program], env={**os.environ, "PYTHONPATH": path}, capture_output=True, text=True
    )
    assert done.returncode == 128 + signal.SIGINT and done.stdout == "", done.stderr
    assert done.stderr == "genassoc: error: interrupted; nothing was begun\n"
