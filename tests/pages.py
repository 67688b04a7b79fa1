"""The Python of a page of the documentation, run from top to bottom as a reader would."""

import re
from pathlib import Path
from typing import Any

DOCS = Path(__file__).parents[1] / "docs"


def run_page(page: str, n_blocks: int, **given: Any) -> dict[str, Any]:
    """Run the blocks of a page in the present folder: the names that they leave.

    Parameters
    ----------
    page : str
        Its path below docs/.
    n_blocks : int
        How many blocks it has, so that none is lost to the pattern.
    **given
        Names that the page takes from another.
    """
    blocks = re.findall(r"```python\n(.*?)```", (DOCS / page).read_text(encoding="utf-8"), re.S)
    assert len(blocks) == n_blocks
    names = dict(given)
    for block in blocks:
        exec(compile(block, page, "exec"), names)  # the page's own text
    return names
