"""HTML by functions: every text that goes in is escaped, so that no name of a trait or variant is ever markup."""

import base64
import html
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from io import BytesIO
from typing import TYPE_CHECKING

from genassoc.errors import GenassocError, printable
from genassoc.reporting.words import Words

if TYPE_CHECKING:
    from genassoc.plots.figure import Axes


class Html(str):
    """Text that is markup already; all other text is escaped where it is put in."""

    __slots__ = ()


_EMPTY = {"img", "meta", "br", "hr"}


def tag(name: str, /, *content: object, **attributes: object) -> Html:
    """An element; of attributes ``class_`` is class, ``data_x`` is data-x, and those that are None are left out."""
    written = "".join(
        f' {key.rstrip("_").replace("_", "-")}="{escaped(value)}"'
        for key, value in attributes.items()
        if value is not None
    )
    if name in _EMPTY:
        return Html(f"<{name}{written}>")
    return Html(f"<{name}{written}>{joined(content)}</{name}>")


def escaped(value: object) -> str:
    """Text as it may stand in HTML, in an attribute too: no markup, no control characters."""
    return html.escape(printable(str(value)), quote=True)


def joined(parts: Iterable[object]) -> Html:
    """Elements and texts after one another; None is nothing."""
    return Html("".join(part if isinstance(part, Html) else escaped(part) for part in parts if part is not None))


@dataclass(frozen=True)
class Cell:
    """A cell of a table.

    Attributes
    ----------
    shown : str
        For people.
    value : float, int, str or None
        The very value, which goes into the attribute ``data-value``: a float as the shortest text that gives it back.
    """

    shown: object
    value: float | int | str | None = None


def table(
    name: str,
    columns: Sequence[tuple[str, str]],
    rows: Sequence[Sequence[Cell]],
    *,
    caption: str = "",
    keys: Sequence[str] = (),
) -> Html:
    """A table; ``columns`` are pairs of a name (attribute ``data-column``) and a heading, ``keys`` say what each row is of."""
    head = tag("tr", *(tag("th", heading, scope="col") for _, heading in columns))
    body = [
        tag(
            "tr",
            *(_cell(column, cell) for (column, _), cell in zip(columns, row, strict=True)),
            data_key=keys[number] if keys else None,
        )
        for number, row in enumerate(rows)
    ]
    title = tag("caption", caption) if caption else None
    inner = tag("table", title, tag("thead", head), tag("tbody", *body), data_table=name)
    return tag("div", inner, class_="scroll")


def _cell(column: str, cell: Cell) -> Html:
    number = isinstance(cell.value, int | float)
    value = repr(float(cell.value)) if isinstance(cell.value, float) else cell.value
    return tag("td", cell.shown, class_="number" if number else None, data_column=column, data_value=value)


def number(words: Words, value: object, digits: int = 3) -> Cell:
    """A cell with a number; a dash where there is none."""
    if value is None or value != value:
        return Cell("\N{EN DASH}")
    if isinstance(value, bool) or not isinstance(value, int | float):
        return Cell(str(value), str(value))
    return Cell(words.whole(value) if isinstance(value, int) else words.decimal(value, digits), value)


def paragraphs(*texts: str | None) -> Html:
    """A paragraph each; None is nothing."""
    return joined(tag("p", text) for text in texts if text)


def bullets(texts: Iterable[object]) -> Html | None:
    """A list; None where it is empty."""
    items = [tag("li", text) for text in texts]
    return tag("ul", *items) if items else None


def section(anchor: str, title: str, *content: object, level: int = 2) -> Html:
    """A heading with what belongs to it, and an anchor for the contents."""
    return tag("section", tag(f"h{level}", title), *content, id=anchor, class_=f"level{level}")


class Pictures:
    """Draws pictures into the page, within a number of bytes for all of them.

    Attributes
    ----------
    n_expected : int
        How many there may be: each has its share of the bytes.
    hover : bool
        Whether hits may say what they are: their effect and frequency among it, which a policy may hold back.
    failures : list of str
        Which could not be drawn, and why.
    """

    budget = 3_000_000  # of 5 MB that a report may have, a third more as base64
    _dpi = (140, 110, 90, 70, 55)

    def __init__(self, n_expected: int, *, hover: bool = True) -> None:
        self.n_expected = max(1, n_expected)
        self._hover = hover
        self.failures: list[str] = []
        self.n_drawn = 0

    def draw(self, drawn: "Callable[[], Axes]", alt: str, caption: str = "", *, hover: bool = False) -> Html:
        """A picture with words for those who cannot see it; where it cannot be drawn, why.

        With ``hover`` its hits say what they are under the pointer (SVG), if that fits into the picture's share of the bytes.
        """
        try:
            ax = drawn()
        except GenassocError as error:
            self.failures.append(f"{alt}: {error}")
            return tag("p", f"{alt}: {error}", class_="absent")
        self.n_drawn += 1
        image = self._svg(ax, alt) if hover and self._hover else None
        return tag("figure", image or self._png(ax, alt), tag("figcaption", caption) if caption else None)

    def _svg(self, ax: "Axes", alt: str) -> Html | None:
        from genassoc.plots import svg

        text = svg(ax, prefix=f"p{self.n_drawn}-", label=printable(alt), dpi=130)
        return Html(text) if len(text) <= 1.33 * self.budget / self.n_expected else None

    def _png(self, ax: "Axes", alt: str) -> Html:
        figure, png = ax.get_figure(root=True), b""
        assert figure is not None
        for dpi in self._dpi:
            file = BytesIO()
            figure.savefig(file, format="png", dpi=dpi, metadata={"Software": None})
            png = file.getvalue()
            if len(png) <= self.budget / self.n_expected:
                break
        return Html(f'<img alt="{escaped(alt)}" src="data:image/png;base64,{base64.b64encode(png).decode("ascii")}">')
