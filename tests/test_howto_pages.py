"""How-to pages, typed word by word on the files of the demo; options named anywhere in these pages exist."""

import contextlib
import io
import re
import shlex
import shutil
import subprocess
from pathlib import Path

import pytest
from pages import DOCS

from genassoc.cli.commands import app

FOLDERS = ("howto", "coming_from", "recipes")
PAGES = sorted(path for folder in FOLDERS for path in (DOCS / folder).glob("*.md")) + [
    DOCS / name for name in ("faq.md", "clinicians.md", "limits.md", "peers.md")
]
BLOCK = re.compile(r"^```(\w*)\n(.*?)^```", re.S | re.M)
ON_THE_DEMO = [
    *(f"howto/{name}" for name in ("case_control", "imputed_data", "survival", "trial", "hpc")),
    *(f"coming_from/{name}" for name in ("plink2", "regenie", "saige", "hail")),
    "clinicians",
]
# What a page says to do first; here it was done once, for all pages.
DONE = ("genassoc demo", "cd genassoc-demo")


def named(path):
    return str(path.relative_to(DOCS))


def numbers(text):
    """What a reader compares: words with a digit, without the frames of tables and the marks around them."""
    words = re.split(r"[\s│┆|;=()]+", text)
    return [word.strip(".,:%") for word in words if re.search(r"\d", word)]


@pytest.fixture(scope="module")
def demo(tmp_path_factory):
    folder = tmp_path_factory.mktemp("demo")
    with contextlib.chdir(folder), contextlib.redirect_stdout(io.StringIO()):
        app(["demo"], standalone_mode=False)
    return folder / "genassoc-demo"


def typed(line, genassoc):
    """One line of a shell: what it printed. Commands of genassoc run in this process, as they would in their own."""
    line, _, comment = line.partition("  # ")
    line, _, to = line.partition(" > ")
    words = shlex.split(line)
    if words[0] != "genassoc":
        done = subprocess.run(["bash", "-c", line], capture_output=True, text=True, check=True)
        return done.stdout
    code, out, errors = genassoc(*words[1:])
    assert code == (1 if comment.startswith("refused") else 0), (line, errors)
    if to:
        Path(to).write_text(out)
        return errors
    return out + errors


def follow(page, genassoc, capsys):
    """Do what the page says, block by block; every number that it shows was printed before."""
    names, printed, kinds = {}, "", []
    for kind, text in BLOCK.findall((DOCS / page).read_text(encoding="utf-8")):
        kinds.append(kind)
        if kind == "bash":
            for line in text.splitlines():
                if line not in DONE:
                    printed += typed(line, genassoc)
        elif kind == "python":
            exec(compile(text, page, "exec"), names)  # the page's own text
            printed += capsys.readouterr().out
        elif kind == "text":
            lacking = set(numbers(text)) - set(numbers(printed))
            assert not lacking, f"{page} shows {sorted(lacking)}; printed was:\n{printed}"
    assert set(kinds) <= {"bash", "python", "text", "console"} and {"bash", "python"} & set(kinds)
    return names


@pytest.mark.integration
@pytest.mark.filterwarnings("ignore::UserWarning")
@pytest.mark.parametrize("page", ON_THE_DEMO)
def test_a_page_on_the_demo(page, demo, tmp_path, monkeypatch, genassoc, capsys):
    shutil.copytree(demo, tmp_path / "demo")
    monkeypatch.chdir(tmp_path / "demo")
    names = follow(f"{page}.md", genassoc, capsys)
    if page == "howto/case_control":
        assert names["best"]["variant_id"] == "20_35628957_T_G"


@pytest.mark.integration
@pytest.mark.filterwarnings("ignore::UserWarning")
@pytest.mark.parametrize("page", ["relatives", "genes"])
def test_a_page_that_simulates(page, tmp_path, monkeypatch, genassoc, capsys):
    monkeypatch.chdir(tmp_path)
    follow(f"howto/{page}.md", genassoc, capsys)


def commands(text):
    """Lines of genassoc in blocks and in backticks, those that a backslash continues as one."""
    text = text.replace("\\\n", " ")
    blocks = [line for kind, block in BLOCK.findall(text) if kind != "python" for line in block.splitlines()]
    inline = re.findall(r"`(genassoc [^`]*)`", BLOCK.sub("", text))
    for line in blocks + inline:
        yield from re.findall(r"\bgenassoc ([a-z]\w*[^|;&#)]*)", line)


@pytest.mark.parametrize("path", PAGES, ids=named)
def test_options_exist(path, genassoc):
    """Of every command that a page names, also where it runs on another machine only."""
    for line in commands(path.read_text(encoding="utf-8")):
        name, *words = line.replace("'", " ").replace('"', " ").split()
        assert name in app.commands, f"{named(path)}: genassoc {name}"
        if not any(word.startswith("--") for word in words):
            continue
        known = set(re.findall(r"--[a-z][\w-]*", genassoc(name, "--help")[1]))
        for word in words:
            if word.startswith("--"):
                assert word.partition("=")[0] in known, f"{named(path)}: genassoc {name} {word}"


@pytest.mark.parametrize("path", PAGES, ids=named)
def test_links_lead_somewhere(path):
    for link in re.findall(r"\]\(([^)#\s]+)(?:#[^)]*)?\)", path.read_text(encoding="utf-8")):
        if not link.startswith("http"):
            assert (path.parent / link).resolve().exists(), f"{named(path)}: {link}"


def test_the_check_of_options_can_fail():
    text = "```console\ngenassoc assoc --made-up\n```\nand `genassoc nothing`"
    assert list(commands(text)) == ["assoc --made-up", "nothing"]
    assert numbers("n 1,965, p = 2.4e-26 (-log10 p 25.62)\n│ T/T ┆ 0 │") == ["1,965", "2.4e-26", "-log10", "25.62", "0"]
