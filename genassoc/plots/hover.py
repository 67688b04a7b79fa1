"""Pictures as SVG whose hits say what they are when the pointer is on them."""

import html
import io
import re
import sys
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any
from weakref import WeakKeyDictionary

from genassoc.errors import OutputError
from genassoc.plots.figure import figure_of
from genassoc.plots.words import alleles, cut, p_equals

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

MOST_HITS = 300  # of one picture that have words: each is a shape of its own in the file
_NAME = 80  # letters
_texts: "WeakKeyDictionary[Figure, dict[str, str]]" = WeakKeyDictionary()
_REFERENCE = re.compile(r'(\bid="|href="#|url\(#)')


def add_words(ax: "Axes", x: Sequence[float], y: Sequence[float], words: Sequence[str]) -> None:
    """Lay an unseen disc over each point, whose words an SVG shows when the pointer is on it."""
    figure = ax.get_figure(root=True)
    if figure is None:
        return
    texts = _texts.setdefault(figure, {})
    for across, up, text in list(zip(x, y, words))[:MOST_HITS]:
        name = f"hit{len(texts)}"
        ax.plot(
            [across], [up], marker="h", markersize=10, markeredgewidth=0, color="white", alpha=0.0, gid=name, zorder=9
        )
        texts[name] = text


def words_of_row(row: Mapping[str, Any]) -> str:
    """What a row of results says when the pointer is on its point: name, place, alleles, p, effect, as far as it has them."""
    rsid, name = row.get("rsid"), row.get("variant_id")
    lines = [cut(str(text), _NAME) for text in dict.fromkeys((rsid, name)) if text not in (None, "", ".")]
    place = f"{row['chromosome']}:{row['base_pair_location']:,}"
    if row.get("effect_allele") is not None and row.get("other_allele") is not None:
        place += f" {alleles(row['other_allele'], row['effect_allele'])}"
    lines += [place, p_equals(row.get("neg_log_10_p_value"))]
    beta, error = row.get("beta"), row.get("standard_error")
    if beta is not None:
        lines.append(f"beta {beta:.4g}" + (f", standard error {error:.3g}" if error is not None else ""))
    frequency = row.get("effect_allele_frequency")
    if frequency is not None:
        lines.append(f"effect allele frequency {frequency:.4g}")
    return "\n".join(lines)


def svg(drawn: "Axes | tuple[Axes, Axes] | Figure", *, prefix: str = "", label: str = "", dpi: int = 150) -> str:
    """A picture as the text of an ``<svg>`` element, to be put into a page.

    Equal pictures give equal text: no date, no random names. All text of the picture is drawn as shapes, so no font is needed; what hits say
    is in ``<title>`` elements, which browsers show beside the pointer and screen readers read.

    Parameters
    ----------
    drawn : Axes, pair of Axes, or Figure
    prefix : str
        Put before the names of its parts: pictures of one page need different ones.
    label : str
        What the whole picture is, for screen readers.
    dpi : int
        Of the points, which are one image.

    Returns
    -------
    str
        From ``<svg`` to ``</svg>``.

    Raises
    ------
    OutputError
        The axes belong to no figure.
    """
    from matplotlib import rc_context

    figure = figure_of(drawn)
    if figure is None:
        raise OutputError("these axes belong to no figure, so there is nothing to draw.")
    buffer = io.StringIO()
    with rc_context({"svg.hashsalt": "genassoc", "svg.fonttype": "path"}):
        figure.savefig(buffer, format="svg", dpi=dpi, metadata={"Date": None})
    text = buffer.getvalue()
    text = text[text.index("<svg") :].rstrip()
    text = re.sub(r"<!--.*?-->\s*", "", text, flags=re.S)  # of each text, what it says
    text = re.sub(r"<metadata>.*?</metadata>\s*", "", text, flags=re.S)
    for name, words in _texts.get(figure, {}).items():
        text = text.replace(f'<g id="{name}">', f'<g id="{name}"><title>{html.escape(words)}</title>', 1)
    if prefix:
        text = _REFERENCE.sub(lambda match: match[1] + prefix, text)
    named = f'<svg role="img" aria-label="{html.escape(label)}"' if label else '<svg role="img"'
    return text.replace("<svg", named, 1)


class Hovering:
    """A picture that a notebook shows with words on its hits."""

    def __init__(self, text: str) -> None:
        self._text = text

    def _repr_html_(self) -> str:
        return self._text


def hovering(drawn: "Axes | tuple[Axes, Axes] | Figure", *, prefix: str = "") -> Hovering:
    """A picture for the end of a notebook's cell: put the pointer on a hit, and it says what it is.

    Parameters
    ----------
    drawn : Axes, pair of Axes, or Figure
        What a plot function returned.
    prefix : str
        As in `svg`.
    """
    figure = figure_of(drawn)
    text = svg(drawn, prefix=prefix)
    if figure is not None and "matplotlib.pyplot" in sys.modules:
        from matplotlib import pyplot

        pyplot.close(figure)  # or the notebook shows it once more, without words
    return Hovering(text)
