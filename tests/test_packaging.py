"""Packages: what is in them, that they say the same version everywhere, and that they install into an empty environment."""

import os
import re
import subprocess
import sys
import tarfile
import tomllib
import zipfile
from pathlib import Path

import pytest
import yaml

import genassoc as ga
from genassoc.provenance import VERSION

PROJECT = Path(__file__).resolve().parents[1]
PYPROJECT = tomllib.loads((PROJECT / "pyproject.toml").read_text(encoding="utf-8"))
# Names that conda-forge has for what PyPI calls otherwise: without Qt, without what dask brings for tables, and the bindings of isa-l.
CONDA_NAMES = {"matplotlib": "matplotlib-base", "dask": "dask-core", "isal": "python-isal"}
NEVER_PACKED = re.compile(
    r"__pycache__|\.pyc$|\.venv|genassoc-demo|\.zarr/|wip_|_build/|docs/reference/(generated|commands)/|\.ruff_cache|\.pytest_cache"
)


def built(target: str, root: Path, into: Path) -> Path:
    """A wheel or an sdist of the project at ``root``: what `python -m build` makes, without an environment of its own."""
    pytest.importorskip("hatchling", reason="hatchling, the build backend, is not installed")
    code = f"from hatchling.build import build_{target}; print(build_{target}({str(into)!r}))"
    done = subprocess.run([sys.executable, "-c", code], cwd=root, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return into / done.stdout.split()[-1]


@pytest.fixture(scope="module")
def wheel(tmp_path_factory):
    return built("wheel", PROJECT, tmp_path_factory.mktemp("wheel"))


@pytest.fixture(scope="module")
def sdist(tmp_path_factory):
    return built("sdist", PROJECT, tmp_path_factory.mktemp("sdist"))


def own_files(*folders: str) -> set[str]:
    """Files of the project below some folders, without what programs leave behind."""
    found = (path for folder in folders for path in (PROJECT / folder).rglob("*") if path.is_file())
    return {name for path in found if not NEVER_PACKED.search(name := path.relative_to(PROJECT).as_posix())}


def test_the_wheel_is_the_package_and_says_that_it_has_types(wheel):
    with zipfile.ZipFile(wheel) as archive:
        names = set(archive.namelist())
        (metadata,) = (archive.read(name).decode() for name in names if name.endswith(".dist-info/METADATA"))
        (entries,) = (archive.read(name).decode() for name in names if name.endswith("/entry_points.txt"))
    inside = {name for name in names if not re.match(r"genassoc-[^/]+\.dist-info/", name)}
    assert inside == own_files("genassoc")
    assert "genassoc/py.typed" in inside
    assert "genassoc = genassoc.cli:main" in entries
    assert f"\nVersion: {VERSION}\n" in metadata and "\nLicense-Expression: Apache-2.0\n" in metadata
    assert wheel.name == f"genassoc-{VERSION}-py3-none-any.whl"


def test_the_sdist_has_what_tests_need_and_nothing_that_lies_about(sdist):
    with tarfile.open(sdist) as archive:
        names = {name.partition("/")[2] for name in archive.getnames()}
    assert [name for name in names if NEVER_PACKED.search(name)] == []
    assert names >= own_files("genassoc", "tests", "notebooks", "conda-recipe", ".ci")
    for needed in (
        "README.md",
        "CHANGELOG.md",
        "CITATION.cff",
        "LICENSE",
        "pyproject.toml",
        "docs/index.md",
        "PKG-INFO",
    ):
        assert needed in names
    folders = {name.partition("/")[0] for name in names if "/" in name}
    assert folders == {".ci", "benchmarks", "conda-recipe", "docs", "genassoc", "notebooks", "tests"}


def test_the_wheel_of_the_sdist_is_the_wheel_of_the_checkout(wheel, sdist, tmp_path):
    with tarfile.open(sdist) as archive:
        archive.extractall(tmp_path, filter="data")
    again = built("wheel", tmp_path / sdist.name.removesuffix(".tar.gz"), tmp_path)
    assert again.read_bytes() == wheel.read_bytes()


def test_the_unpacked_wheel_runs_from_elsewhere(wheel, tmp_path):
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(tmp_path / "site")
    (tmp_path / "empty").mkdir()
    environment = {**os.environ, "PYTHONPATH": str(tmp_path / "site")}
    for arguments in (["--version"], ["--help"]):
        done = subprocess.run(
            [sys.executable, "-m", "genassoc", *arguments],
            cwd=tmp_path / "empty", env=environment, capture_output=True, text=True,
        )  # fmt: skip
        assert done.returncode == 0, done.stderr
        assert (VERSION if arguments == ["--version"] else "python -m genassoc [OPTIONS]") in done.stdout


@pytest.mark.slow
@pytest.mark.integration
def test_it_installs_into_an_empty_environment(sdist, tmp_path):
    """With pip, as a user would: all dependencies come from an index; skipped where there is none. The wheel is that of the sdist."""
    package = sdist
    python = tmp_path / "venv" / "bin" / "python"
    subprocess.run([sys.executable, "-m", "venv", tmp_path / "venv"], check=True)
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    probe = [python, "-m", "pip", "download", "-q", "--no-deps", "--dest", tmp_path, "click>=8.1"]
    if subprocess.run(probe, env=environment, capture_output=True).returncode:
        pytest.skip("no index of packages can be reached")
    run = {"env": environment, "cwd": tmp_path, "capture_output": True, "text": True}
    install = subprocess.run([python, "-m", "pip", "install", "-q", package], **run)
    assert install.returncode == 0, install.stderr
    assert subprocess.run([python, "-m", "pip", "check"], **run).returncode == 0
    version = subprocess.run([python.with_name("genassoc"), "--version"], **run)
    assert version.stdout.strip() == VERSION, version.stderr
    every = "import genassoc as ga; print(len([getattr(ga, name) for name in ga.__all__]))"
    names = subprocess.run([python, "-c", every], **run)
    assert names.stdout.strip() == str(len(ga.__all__)), names.stderr


# --- one version --------------------------------------------------------------------------------------------


def test_one_version_everywhere(genassoc):
    citation = yaml.safe_load((PROJECT / "CITATION.cff").read_text(encoding="utf-8"))
    recipe = yaml.safe_load((PROJECT / "conda-recipe" / "recipe.yaml").read_text(encoding="utf-8"))
    assert PYPROJECT["project"]["dynamic"] == ["version"] and "version" not in PYPROJECT["project"]
    assert PYPROJECT["tool"]["hatch"]["version"] == {"path": "genassoc/provenance.py"}
    printed = genassoc("--version")[1].strip()
    assert {ga.__version__, printed, citation["version"], recipe["context"]["version"]} == {VERSION}


def test_the_citation_has_the_date_of_the_release():
    citation = yaml.safe_load((PROJECT / "CITATION.cff").read_text(encoding="utf-8"))
    changelog = (PROJECT / "CHANGELOG.md").read_text(encoding="utf-8")
    dated = dict(re.findall(r"^## \[(\d[^\]]*)\] - (\d{4}-\d\d-\d\d)$", changelog, re.M))
    assert citation["date-released"] == dated[VERSION]  # a text, as the schema of CITATION.cff has it
    assert citation["cff-version"] == "1.2.0" and {"message", "title", "authors", "license"} <= set(citation)


def test_a_tag_on_this_commit_is_the_version():
    """Where a commit is a release: its tag is v<VERSION>."""
    git = ["git", "-C", str(PROJECT), "tag", "--points-at", "HEAD", "v*"]
    done = subprocess.run(git, capture_output=True, text=True)
    if done.returncode or not done.stdout.strip():
        pytest.skip("this commit has no tag of a version")
    assert f"v{VERSION}" in done.stdout.split()


# --- the conda recipe, the extras ---------------------------------------------------------------------------


def test_the_conda_recipe_asks_for_what_the_package_asks_for():
    recipe = yaml.safe_load((PROJECT / "conda-recipe" / "recipe.yaml").read_text(encoding="utf-8"))
    project = PYPROJECT["project"]
    needed = dict(re.fullmatch(r"([\w-]+)(>=.+)", line).groups() for line in project["dependencies"])
    asked = dict(line.split(" ", 1) for line in recipe["requirements"]["run"])
    assert asked.pop("python") == ">=${{ python_min }}"
    assert project["requires-python"] == ">=" + recipe["context"]["python_min"]
    assert asked == {CONDA_NAMES.get(name, name): bound for name, bound in needed.items()}
    assert recipe["build"]["noarch"] == "python"
    (script,) = recipe["build"]["python"]["entry_points"]
    assert script == " = ".join(*project["scripts"].items())
    (backend,) = PYPROJECT["build-system"]["requires"]
    assert backend.replace(">", " >", 1) in recipe["requirements"]["host"]


def test_pythons_named_in_the_recipe_are_those_of_the_classifiers():
    recipe = yaml.safe_load((PROJECT / "conda-recipe" / "recipe.yaml").read_text(encoding="utf-8"))
    prefix = "Programming Language :: Python :: "
    named = [line.removeprefix(prefix) for line in PYPROJECT["project"]["classifiers"] if line.startswith(prefix)]
    assert recipe["tests"][0]["python"]["python_version"] == [f"{version}.*" for version in named]


def test_every_extra_is_documented():
    page = (PROJECT / "docs" / "install.md").read_text(encoding="utf-8")
    rows = dict(re.findall(r"^\| `(\w+)` \| ([^|]+) \|", page, re.M))
    extras = PYPROJECT["project"]["optional-dependencies"]
    assert set(rows) == set(extras)
    for extra, packages in extras.items():
        named = {re.match(r"[\w-]+", package).group() for package in packages} - {"genassoc"}
        assert set(re.findall(r"`([\w-]+)`", rows[extra])) >= named, extra
