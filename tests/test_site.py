"""The documentation as a whole: that nothing public is left out of it and no link leads nowhere. Sphinx itself is run by .ci/run."""

import re

import pytest
from pages import DOCS

import genassoc as ga

PAGES = sorted(path for path in DOCS.rglob("*.md") if not {"_build", "commands"} & set(path.relative_to(DOCS).parts))
MODULES = {"variants", "endpoints", "plots"}


def test_every_public_name_is_in_the_reference():
    text = (DOCS / "reference" / "python.rst").read_text(encoding="utf-8")
    listed = re.findall(r"^   (\w+)$", text, re.M)
    assert sorted(name for name in listed if name != "choices") == sorted(ga.__all__)  # a page of its own
    assert all((DOCS / "reference" / f"{name}.rst").exists() for name in MODULES)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(DOCS)))
def test_links_lead_somewhere(page):
    """As GitHub follows them: relative to the page, to a file of the project."""
    text = re.sub(r"```.*?```|`[^`\n]*`", "", page.read_text(encoding="utf-8"), flags=re.S)
    links = [link.partition("#")[0] for link in re.findall(r"\]\(([^)\s]+)\)", text) if "://" not in link]
    made = {"commands/index.md"}  # by Sphinx
    assert not [link for link in links if link and link not in made and not (page.parent / link).exists()]


def test_commands_have_pages(monkeypatch):
    """Each with the options of its help, as Markdown."""
    pytest.importorskip("sphinx")
    monkeypatch.syspath_prepend(str(DOCS))
    from command_pages import pages

    made = pages()
    assert {"index", "convert", "assoc", "explain", "demo"} <= made.keys()
    assert "| `--baseline" in made["assoc"] and "\n## Choices of the model\n" in made["assoc"]
    assert all(text.startswith("# ") and "| `-h, --help` |" in text for text in made.values())
    assert "[`convert`](convert.md)" in made["index"]
