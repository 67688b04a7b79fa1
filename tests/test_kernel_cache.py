"""Compiled kernels are kept by the text they were made of, so that an edit never meets stale code."""

import re
import shutil
from pathlib import Path

from genassoc import kernels

ROOM = Path(kernels.__file__).parent


def folder(room: Path, name: str) -> str:
    kernels.cache_folder.cache_clear()
    return kernels.cache_folder(room / f"{name}.py").name


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
        assert len(lines) == len(kernels._IMPORT.findall(file.read_text())), file.name
    reached = {source.stem for source in kernels._sources(ROOM / "vcf.py")}
    assert {"vcf", "vcf_calls", "vcf_fields", "__init__"} <= reached
