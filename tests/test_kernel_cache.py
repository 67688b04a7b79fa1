"""Compiled kernels are kept by the text they were made of, so that an edit never meets stale code."""

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

from genassoc import kernels
from genassoc.kernels import caching

ROOM = Path(kernels.__file__).parent


def folder(room: Path, name: str) -> str:
    caching.cache_folder.cache_clear()
    return caching.cache_folder(room / f"{name}.py").name


def test_an_edit_in_a_file_that_is_called_makes_another_folder(tmp_path, monkeypatch):
    monkeypatch.setenv("GENASSOC_CACHE_DIR", str(tmp_path / "cache"))
    room = tmp_path / "kernels"
    shutil.copytree(ROOM, room)
    before = {name: folder(room, name) for name in ("logistic_rows", "product")}
    with (room / "tails.py").open("a") as file:  # logistic_rows calls saddlepoint, which calls tails
        file.write("\n# an edit\n")
    assert folder(room, "logistic_rows") != before["logistic_rows"]
    assert folder(room, "product") == before["product"]


def test_every_import_within_the_room_is_followed():
    for file in ROOM.glob("*.py"):
        lines = [
            line for line in file.read_text().splitlines() if re.match(r"\s*(from|import) genassoc\.kernels", line)
        ]
        assert len(lines) == len(caching._IMPORT.findall(file.read_text())), file.name
    reached = {source.stem for source in caching._sources(ROOM / "vcf.py")}
    assert {"vcf", "vcf_calls", "vcf_fields", "__init__"} <= reached


def test_compiled_code_does_not_know_where_the_package_lies(tmp_path):
    """A copy elsewhere, with other times of change, finds what the first one compiled."""
    cache = tmp_path / "cache"
    script = (
        "import numpy as np\nfrom genassoc.kernels.packed import pack\n"
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
