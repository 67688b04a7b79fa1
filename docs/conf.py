"""How Sphinx builds the documentation: ``python -m sphinx -W --keep-going docs docs/_build``, from the folder above."""

import re
import sys
from pathlib import Path

HERE = Path(__file__).parent
sys.path[:0] = [str(HERE.parent), str(HERE)]

from sphinx.application import Sphinx  # noqa: E402

from genassoc.provenance import genassoc_version  # noqa: E402

project = "genassoc"
author = "The genassoc authors"
copyright = author
version = release = genassoc_version()

extensions = [
    "myst_parser",
    "command_pages",
    "sphinx.ext.autodoc",
    "sphinx.ext.autosummary",
    "sphinx.ext.napoleon",
    "sphinx_copybutton",
    "sphinx_design",
]
exclude_patterns = ["_build", "_templates"]
templates_path = ["_templates"]
nitpicky = False

# Pages are Markdown that GitHub shows too: headings have GitHub's anchors, and plain links from page to page.
myst_heading_anchors = 4
myst_enable_extensions = ["colon_fence", "deflist"]

autosummary_generate = True
autodoc_member_order = "bysource"
autodoc_typehints = "none"
default_role = "py:obj"  # single backquotes of docstrings: a link where the name is documented
napoleon_google_docstring = False
napoleon_use_rtype = False
napoleon_use_param = False
napoleon_use_ivar = True

copybutton_prompt_text = r"\$ |>>> "
copybutton_prompt_is_regexp = True

html_theme = "furo"
html_title = "genassoc"
html_static_path = ["_static"]
html_css_files = ["site.css"]
html_show_sphinx = False
html_copy_source = False
html_show_sourcelink = False


# A link whose words are the name of its file, as GitHub's readers know it: on the site the title of that page.
_NAMED_BY_FILE = re.compile(r"\[[\w./]+\.md\](\([^)\s]+\))")


def _as_the_site_has_it(app: Sphinx, page: str, text: list[str]) -> None:
    """Titles in place of names of files, and no patterns that no page fits: Sphinx warns of these, under no name to be quiet about."""
    text[0] = _NAMED_BY_FILE.sub(r"[]\1", text[0])
    if page == "index":
        lines = text[0].splitlines(keepends=True)
        text[0] = "".join(
            line for line in lines if not line.rstrip().endswith("*") or any(HERE.glob(f"{line.strip()}.md"))
        )


def setup(app: Sphinx) -> None:
    """As Sphinx calls it."""
    app.connect("source-read", _as_the_site_has_it)
