"""Compiled kernels are kept by the text they were made of, so that an edit never meets stale code."""

import ast
import os
import pickle
import shutil
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from genassoc import kernels
from genassoc.kernels import cache_files as caching
from genassoc.kernels import registrations

ROOM = Path(kernels.__file__).parent


@pytest.fixture(autouse=True)
def _forgotten():
    """What this process found out about its own cache is found out again."""

    def forget():
        for found in (caching.cache_folder, caching.base_folder, caching._is_own_group, caching._imported):
            found.cache_clear()

    refused, said, full = caching.Cache.refused, set(caching.Cache.said), caching.Cache.full
    forget()
    yield
    forget()
    caching.Cache.refused, caching.Cache.said, caching.Cache.full = refused, said, full


def folder(room: Path, name: str) -> str:
    caching.cache_folder.cache_clear()
    caching._imported.cache_clear()
    caching.base_folder.cache_clear()
    return caching.cache_folder(room / f"{name}.py").name


def test_an_edit_in_a_file_that_is_called_makes_another_folder(tmp_path, monkeypatch):
    monkeypatch.setenv("GENASSOC_CACHE_DIR", str(tmp_path / "cache"))
    room = tmp_path / "kernels"
    shutil.copytree(ROOM, room)
    callers = ("likelihoods/logistic_rows", "genotypes/product")
    before = {name: folder(room, name) for name in callers}
    with (room / "laws" / "tails.py").open("a") as file:  # logistic_rows calls saddlepoint, which calls tails
        file.write("\n# an edit\n")
    assert folder(room, callers[0]) != before[callers[0]]
    assert folder(room, callers[1]) == before[callers[1]]


WAYS = {
    "from genassoc.kernels.deep.er.called import add": "deep/er/called.py",
    "from genassoc.kernels.deep.er import called": "deep/er/called.py",
    "from genassoc.kernels.deep.er import (\n    other,\n    called as renamed,\n)": "deep/er/called.py",
    "import genassoc.kernels.deep.er.called as called": "deep/er/called.py",
    "def late():\n    from genassoc.kernels.deep.er.called import add": "deep/er/called.py",
    "from genassoc.kernels.deep.er.called import *": "deep/er/__init__.py",
    "from genassoc.kernels.deep import er": "deep/er/__init__.py",
}


@pytest.mark.parametrize("caller", ["caller.py", "near/caller.py", "near/by/caller.py"])
@pytest.mark.parametrize("way", WAYS)
def test_an_edit_is_seen_at_any_depth(tmp_path, monkeypatch, way, caller):
    monkeypatch.setenv("GENASSOC_CACHE_DIR", str(tmp_path / "cache"))
    room = tmp_path / "kernels"
    for name in ("__init__", "deep/__init__", "deep/er/__init__", "deep/er/called", "deep/er/other", "near/__init__"):
        (room / f"{name}.py").parent.mkdir(parents=True, exist_ok=True)
        (room / f"{name}.py").write_text("")
    (room / caller).parent.mkdir(parents=True, exist_ok=True)
    (room / caller).write_text(way)
    before = folder(room, caller.removesuffix(".py"))
    (room / WAYS[way]).write_text("# an edit")
    assert folder(room, caller.removesuffix(".py")) != before


def imported_by_syntax(file: Path) -> set[Path]:
    """What Python's own parser says a file of the room imports from it."""
    names = set()
    for node in ast.walk(ast.parse(file.read_text())):
        if isinstance(node, ast.ImportFrom):
            assert not node.level, f"{file.name}: imports within the room are absolute: the cache reads no others"
            whole = node.module == "genassoc" and any(alias.name == "kernels" for alias in node.names)
            assert not whole, f"{file.name}: of a kernel reached as kernels.x.y the cache would not know the file"
            names |= {node.module, *(f"{node.module}.{alias.name}" for alias in node.names)}
        elif isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
    ours = {name.removeprefix("genassoc.kernels").strip(".") for name in names if name.startswith("genassoc.kernels")}
    places = [ROOM.joinpath(*name.split(".")) for name in ours if name]
    found = {place.with_suffix(".py") for place in places} | {place / "__init__.py" for place in places}
    return {place for place in found if place.exists()} - {ROOM / name for name in caching._UNHASHED}


def test_every_import_within_the_room_is_followed():
    for file in ROOM.rglob("*.py"):
        if file.name not in caching._UNHASHED:
            missed = imported_by_syntax(file) - set(caching._sources(file))
            assert not missed, f"{file}: {missed}"
    reached = {source.stem for source in caching._sources(ROOM / "text" / "vcf.py")}
    assert {"vcf", "vcf_calls", "vcf_fields", "__init__"} <= reached


def test_nothing_of_the_leaves_is_compiled_into_a_kernel():
    """A constant of `genassoc.shapes` stands in the machine code, and its file is no part of the key."""
    for file in ROOM.rglob("*.py"):
        tree = ast.parse(file.read_text())
        imports = [node for node in tree.body if isinstance(node, ast.ImportFrom)]
        leaves = {
            alias.asname or alias.name
            for node in imports
            if node.module and node.module.startswith("genassoc.") and not node.module.startswith("genassoc.kernels")
            for alias in node.names
        }
        for function in (node for node in tree.body if isinstance(node, ast.FunctionDef)):
            if any(isinstance(decorator, ast.Name) and decorator.id == "jit" for decorator in function.decorator_list):
                used = {node.id for line in function.body for node in ast.walk(line) if isinstance(node, ast.Name)}
                assert not used & leaves, f"{file.name}: {function.name} is compiled with {used & leaves}"


def test_a_kernel_made_in_a_function_holds_none_of_its_variables():
    def made(factor):
        @kernels.jit
        def times(x):
            return factor * x

        return times

    if kernels.DISABLE_JIT:
        pytest.skip("nothing is compiled")
    with pytest.raises(TypeError, match="give it arguments"):
        made(2.0)


def test_compiled_code_does_not_know_where_the_package_lies(tmp_path):
    """A copy elsewhere, with other times of change, finds what the first one compiled."""
    cache = tmp_path / "cache"
    script = (
        "import numpy as np\nfrom genassoc.kernels.genotypes.packed import pack\n"
        "pack(np.zeros((1, 4), np.uint8), np.zeros((1, 1), np.uint8))\nprint(len(pack.stats.cache_hits))"
    )
    hits = []
    for place in ("first", "second"):
        root = tmp_path / place
        shutil.copytree(ROOM.parent, root / "genassoc", ignore=shutil.ignore_patterns("__pycache__"))
        environment = {**os.environ, "PYTHONPATH": str(root), "GENASSOC_CACHE_DIR": str(cache)}
        run = subprocess.run(
            [sys.executable, "-c", script], env=environment, capture_output=True, text=True, check=True
        )
        hits.append(run.stdout.strip())
    assert hits == ["0", "1"]


# who may have written what is run ----------------------------------------------------------------------------

PROGRAM = """
import numpy as np
from genassoc.kernels.genotypes.packed import pack
packed = np.zeros((2, 1), np.uint8)
pack(np.full((2, 4), 2, np.uint8), packed)
print(packed[0, 0], len(pack.stats.cache_hits))
"""
OTHER = PROGRAM.replace("2, np.uint8)", "2, np.uint8, 'F')")  # the same kernel for another signature


def run(cache: Path, program: str = PROGRAM, **more: str) -> tuple[str, list[str]]:
    """What a process prints whose cache is there, and its warnings."""
    environment = {**os.environ, "PYTHONPATH": str(ROOM.parents[1]), "GENASSOC_CACHE_DIR": str(cache), **more}
    done = subprocess.run([sys.executable, "-c", program], env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return done.stdout.strip(), [line for line in done.stderr.splitlines() if "UserWarning" in line]


@pytest.fixture(scope="module")
def filled(tmp_path_factory) -> Path:
    """A cache that holds one kernel."""
    cache = tmp_path_factory.mktemp("cache") / "kernels"
    assert run(cache) == ("170 0", [])
    return cache


@pytest.fixture
def cache(filled, tmp_path) -> Path:
    shutil.copytree(filled, tmp_path / "kernels")
    return tmp_path / "kernels"


def kernel_file(cache: Path) -> Path:
    (file,) = cache.rglob("*.nbc")
    return file


def test_what_is_made_is_the_users_alone(filled):
    made = [filled, *filled.rglob("*")]
    assert len(made) > 2 and all(path.stat().st_mode & 0o077 == 0 for path in made)
    assert run(filled) == ("170 1", [])


class Stranger:
    """A pickle that leaves a trace when it is loaded."""

    def __init__(self, trace: Path) -> None:
        self.trace = trace

    def __reduce__(self):
        return (Path.touch, (self.trace,))


@pytest.mark.parametrize("damage", ["flip", "cut", "empty", "stranger", "folder", "link"])
def test_a_damaged_file_is_made_anew_and_never_loaded(cache, tmp_path, damage):
    file = kernel_file(cache)
    content = file.read_bytes()
    if damage == "flip":
        file.write_bytes(content[:2000] + bytes([content[2000] ^ 1]) + content[2001:])
    elif damage == "cut":
        file.write_bytes(content[: len(content) // 2])
    elif damage == "stranger":
        file.write_bytes(pickle.dumps(Stranger(tmp_path / "loaded")))
    elif damage == "empty":
        file.write_bytes(b"")
    else:
        file.unlink()
        if damage == "folder":
            file.mkdir()
        else:
            (tmp_path / "elsewhere").write_bytes(content)
            file.symlink_to(tmp_path / "elsewhere")
    said, warnings = run(cache)
    assert said == "170 0" and len(warnings) in (1, 2) and str(file) in warnings[0]
    assert not (tmp_path / "loaded").exists()
    if damage == "flip":  # made anew; nothing can take the place of a folder
        assert run(cache) == ("170 1", [])


@pytest.mark.parametrize("mode", [0o777, 0o1777, 0o775])
def test_a_folder_that_others_can_write_is_refused(cache, tmp_path, mode, monkeypatch):
    """The one that the environment names is left as it is; the user's own takes its place, and both are named."""
    cache.chmod(mode)
    shutil.copytree(cache, tmp_path / "home" / "genassoc")
    (tmp_path / "home" / "genassoc").chmod(0o777)
    own_group = mode == 0o775 and caching._is_own_group(cache.stat().st_gid)
    said, warnings = run(cache, XDG_CACHE_HOME=str(tmp_path / "home"))
    assert cache.stat().st_mode & 0o7777 == mode and said == "170 1"
    assert own_group or (
        len(warnings) == 1 and f"others can write to {cache}" in warnings[0] and "kept in" in warnings[0]
    )
    assert own_group or (tmp_path / "home" / "genassoc").stat().st_mode & 0o077 == 0


def test_a_folder_of_ours_that_others_could_write_is_emptied(cache):
    file = kernel_file(cache)
    file.parent.chmod(0o777)
    assert run(cache) == ("170 0", [])
    assert file.parent.stat().st_mode & 0o077 == 0


def test_a_file_that_others_can_write_is_not_loaded(cache):
    file = kernel_file(cache)
    file.chmod(0o666)
    said, warnings = run(cache)
    assert said == "170 0" and "others can have written" in warnings[0]


def test_without_a_cache_kernels_are_compiled_in_memory(tmp_path):
    """Neither place can be made: files stand there. Nothing is put into a shared temporary folder."""
    for name in ("named", "home"):
        (tmp_path / name).write_text("a file")
    (tmp_path / "tmp").mkdir()
    places = {"XDG_CACHE_HOME": str(tmp_path / "home"), "TMPDIR": str(tmp_path / "tmp"), "NUMBA_CACHE_DIR": ""}
    said, warnings = run(tmp_path / "named", **places)
    assert said == "170 0" and len(warnings) == 1 and "in memory" in warnings[0]
    assert str(tmp_path / "named") in warnings[0] and str(tmp_path / "home") in warnings[0]
    assert list((tmp_path / "tmp").iterdir()) == []


def test_a_full_disk_is_said_once(tmp_path):
    full = """
import errno
from pathlib import Path
def replace(self, target):
    raise OSError(errno.ENOSPC, "No space left on device")
Path.replace = replace
from genassoc.kernels.genotypes.packed import unpack
"""
    said, warnings = run(tmp_path / "kernels", full + PROGRAM + OTHER)
    assert said.splitlines() == ["170 0", "170 0"] and len(warnings) == 1
    assert "No space left on device" in warnings[0] and str(tmp_path / "kernels") in warnings[0]
    assert not any(path.is_file() for path in tmp_path.rglob("*"))


@pytest.mark.parametrize("who", ["base", "above", "file"])
def test_what_belongs_to_another_user_is_refused(cache, monkeypatch, who):
    """Asked of the rule itself: only root can make folders of others."""
    real = os.geteuid() + 1

    class Of:
        def __init__(self, status, user):
            self.st_mode, self.st_uid, self.st_gid = status.st_mode, user, status.st_gid

    status = cache.stat()
    if who == "file":
        assert caching._foreign(Of(status, real)) and not caching._foreign(Of(status, 0))
        return
    if who == "above":
        cache.parent.chmod(0o777)
        assert "in which it lies" in caching.unsafe(cache)
        cache.parent.chmod(0o1777)
        assert caching.unsafe(cache) is None
        return
    monkeypatch.setattr(caching, "_foreign", lambda status: True)
    assert "another user" in caching.unsafe(cache)


def test_processes_that_write_at_once_leave_a_sound_cache(tmp_path):
    """Two signatures of one kernel, compiled by several processes from an empty cache."""
    environment = {**os.environ, "PYTHONPATH": str(ROOM.parents[1]), "GENASSOC_CACHE_DIR": str(tmp_path / "kernels")}
    started = [
        subprocess.Popen([sys.executable, "-c", text], env=environment, stdout=subprocess.PIPE)
        for text in (PROGRAM, OTHER)
    ]
    assert all(b"170" in process.communicate()[0] for process in started)
    assert [run(tmp_path / "kernels", text) for text in (PROGRAM, OTHER)] == 2 * [("170 1", [])]


def test_who_comes_while_numba_is_told_waits(monkeypatch):
    """The list is empty before its last entry has been told: a kernel that is compiled then would lack its instructions."""
    began, may_end, told = threading.Event(), threading.Event(), []

    def slow():
        began.set()
        may_end.wait(10)
        told.append("all")

    monkeypatch.setattr(registrations, "_registrations", [slow])
    seen = []
    first = threading.Thread(target=registrations.ready)
    second = threading.Thread(target=lambda: (registrations.ready(), seen.extend(told or ["nothing"])))
    first.start()
    assert began.wait(10)
    second.start()
    second.join(0.05)
    may_end.set()
    first.join()
    second.join()
    assert seen == ["all"]
