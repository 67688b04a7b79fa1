"""CONTRIBUTING.md says where things are; here that is compared with the source."""

import re
from pathlib import Path

import pytest
from house_rules import PACKAGE, PROJECT

PAGE = (PROJECT / "CONTRIBUTING.md").read_text(encoding="utf-8")
HOUSE = PROJECT / PACKAGE
# A line of the drawing: a name of the source, what it gives, the files where it is.
STEP = re.compile(
    r"^ {4}[ |+\-v]*(?P<names>[A-Za-z_.]+(?:\(.*?\))?) {2,}.*?(?P<files>\S+(?:\.py|/)(?:, \S+(?:\.py|/))*)$"
)


def section(title: str) -> str:
    return PAGE.split(f"## {title}\n")[1].split("\n## ")[0]


def steps() -> list[tuple[str, list[str]]]:
    """(name, files) of every line of the drawing that names files."""
    lines = [STEP.match(line) for line in section("A block's way through `associate`").splitlines()]
    return [(line["names"], line["files"].split(", ")) for line in lines if line]


def files_of(place: str) -> list[Path]:
    folder = HOUSE / place.rstrip("/").replace("<family>", "*")
    if not place.endswith("/"):
        return [folder]
    return sorted(path for found in HOUSE.glob(str(folder.relative_to(HOUSE))) for path in found.rglob("*.py"))


def test_the_drawing_is_read():
    assert len(steps()) > 15


@pytest.mark.parametrize("name, places", steps(), ids=lambda value: value if isinstance(value, str) else "")
def test_the_drawing_is_true(name, places):
    places = [place if "/" in place else f"{places[0].rpartition('/')[0]}/{place}" for place in places]
    paths = [path for place in places for path in files_of(place)]
    assert paths and all(path.is_file() for path in paths)
    called = name.split("(")[0].split(".")[-1]
    if name != "fits":  # what is done, not what is called
        assert any(re.search(rf"\b{called}\b", path.read_text(encoding="utf-8")) for path in paths), called


def test_every_room_is_on_the_page():
    rooms = {path.name for path in HOUSE.iterdir() if (path / "__init__.py").exists()}
    assert {room for room in rooms if f"      {room}/" not in section("The house")} == set()
    named = re.findall(r"`((?:[a-z_]+/)+(?:[a-z_]+\.py)?)`", section("The house") + section("Where new code goes"))
    places = [place for place in named if not place.startswith(("tests/", "docs/"))]
    assert len(places) > 15
    roots = (HOUSE, HOUSE / "kernels", PROJECT)
    assert [
        place for place in places if not place.endswith("/x.py") and not any((root / place).exists() for root in roots)
    ] == []
