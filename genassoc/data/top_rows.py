"""The rows of a table of results that are looked at first, shown so that estimates and p are not cut."""

import html
import math
from collections.abc import Mapping

import polars as pl

P_VALUE = "neg_log_10_p_value"
RATIOS = ("odds ratio", "hazard ratio", "rate ratio")  # what exp(beta) may be called
_Z = 1.959963984540054  # of a normal distribution's middle 95 %
_NAMES = ("variant_id", "set_id", "mask", "max_maf", "trait", "test", "effect_allele")
_SEVERAL = ("trait", "test")  # shown where there are several
_ESTIMATES = ("beta", "standard_error")
_HEADINGS = {"effect_allele": "allele", "standard_error": "SE"}  # as they are printed
_WIDTH = 80
_MOST_ROWS = 40
_MOST_NAME = 24  # characters of a name; the frame has it whole


class TopRows(pl.DataFrame):
    """A table with all columns of the results, of which those that are read are printed, and none of these is cut.

    Beside the table's own columns: ``p_value``, and of models of risks ``odds_ratio``, ``hazard_ratio`` or ``rate_ratio`` with
    ``ratio_lower`` and ``ratio_upper``, its interval at 95 %.
    """

    @classmethod
    def of(cls, rows: pl.DataFrame, ratio: str | None) -> "TopRows":
        """The rows, p as p too, and exp(beta) under its name where a model has one ("odds ratio")."""
        more = [(10.0 ** -pl.col(P_VALUE)).alias("p_value")]
        if ratio is not None and {*_ESTIMATES} <= set(rows.columns):
            low, high = (pl.col("beta") + sign * _Z * pl.col("standard_error") for sign in (-1, 1))
            if {"ci_lower", "ci_upper"} <= set(rows.columns):  # of the model: profile likelihood, or t
                low, high = pl.col("ci_lower").fill_null(low), pl.col("ci_upper").fill_null(high)
            more += [pl.col("beta").exp().alias(ratio.replace(" ", "_"))]
            more += [low.exp().alias("ratio_lower"), high.exp().alias("ratio_upper")]
        return cls(rows.with_columns(more))

    def _shown(self, short: bool = False) -> dict[str, list[str]]:
        """What is printed, by heading: names of the rows, estimates, p, and codes where there are any.

        ``short``: without the allele where the ids end in it, and without -log10 p beside p.
        """
        have = set(self.columns)
        columns: dict[str, list[str]] = {}
        for name in _NAMES:
            if name not in have or (name in _SEVERAL and self[name].n_unique() <= 1):
                continue
            cells = [_text(value) for value in self[name]]
            if name == "effect_allele" and short and "variant_id" in have:
                ids = self["variant_id"].cast(pl.String)
                if all(one.endswith(f"_{allele}") for one, allele in zip(ids.fill_null(""), cells)):
                    continue
            columns[_HEADINGS.get(name, name)] = cells
        columns |= {
            _HEADINGS.get(name, name): [_number(value) for value in self[name]] for name in _ESTIMATES if name in have
        }
        for name in (ratio.replace(" ", "_") for ratio in RATIOS):
            if {name, "ratio_lower", "ratio_upper"} <= have:
                intervals = zip(self[name], self["ratio_lower"], self["ratio_upper"])
                columns[f"{name.replace('_', ' ')} (95 %)"] = [
                    "-" if value is None else f"{_number(value)} ({_number(low)}-{_number(high)})"
                    for value, low, high in intervals
                ]
        columns["p"] = [p_text(value) for value in self[P_VALUE]]
        if not short:
            columns["-log10 p"] = ["-" if value is None else f"{value:.2f}" for value in self[P_VALUE]]
        if "code" in have and self["code"].null_count() < self.height:
            columns["code"] = [_text(value) for value in self["code"]]
        return columns

    def _is_whole(self) -> bool:
        """Whether the columns are there by which rows are shown; a selection of a few is shown as any table."""
        return {P_VALUE, "p_value"} <= set(self.columns) and bool({"variant_id", "set_id"} & set(self.columns))

    def __str__(self) -> str:
        if not self._is_whole():
            return super().__str__()
        lines = _aligned(self._shown())
        if max(map(len, lines)) > _WIDTH:
            lines = _aligned(self._shown(short=True))
        shown = lines[: _MOST_ROWS + 1]
        more = [f"... and {len(lines) - len(shown):,} more rows"] if len(lines) > len(shown) else []
        return "\n".join([*shown, *more, self._more()])

    def __repr__(self) -> str:
        return str(self)

    def _more(self) -> str:
        n = self.height
        return f"{n:,} row{'' if n == 1 else 's'} of {len(self.columns)} columns, whose names are in .columns"

    def _repr_html_(self, **_: object) -> str:
        if not self._is_whole():
            return super()._repr_html_()
        shown = self._shown()
        head = "".join(f"<th>{html.escape(name)}</th>" for name in shown)
        rows = list(zip(*shown.values()))[:100]
        body = "".join("<tr>" + "".join(f"<td>{html.escape(cell)}</td>" for cell in row) + "</tr>" for row in rows)
        return f"<table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table><p>{html.escape(self._more())}</p>"


def ratio_of(record: Mapping[str, object]) -> str | None:
    """What a record of provenance calls exp(beta); None where it has no such word."""
    effect = record.get("effect")
    ratio = effect.get("ratio") if isinstance(effect, Mapping) else None
    return ratio if ratio in RATIOS else None


def _aligned(columns: dict[str, list[str]]) -> list[str]:
    """Columns of text, a heading first: names to the left, numbers to the right."""
    names = {*_NAMES, *_HEADINGS.values(), "code"} - {"SE"}
    cut = {
        name: [cell if len(cell) <= _MOST_NAME else f"{cell[: _MOST_NAME - 1]}…" for cell in cells] if name in names else cells
        for name, cells in columns.items()
    }  # fmt: skip
    widths = {name: max(len(name), *map(len, cells), 0) for name, cells in cut.items()}
    lines = [list(cut), *map(list, zip(*cut.values()))]
    return [
        "  ".join(f"{cell:{'<' if name in names else '>'}{widths[name]}}" for name, cell in zip(cut, line)).rstrip()
        for line in lines
    ]


def p_text(neg_log_10: float | None) -> str:
    """A p as p, though it be less than a double holds: "3.2e-412"."""
    if neg_log_10 is None or math.isnan(neg_log_10):
        return "-"
    if neg_log_10 < 3:
        return f"{10.0**-neg_log_10:.3g}"
    exponent = math.ceil(neg_log_10)
    mantissa = 10.0 ** (exponent - neg_log_10)
    if mantissa >= 9.995:  # rounds to 10.0
        exponent, mantissa = exponent - 1, mantissa / 10
    return f"{mantissa:.2f}e-{exponent:02d}"


def _number(value: float | None) -> str:
    return "-" if value is None else f"{value:.3g}"


def _text(value: object) -> str:
    from genassoc.errors import printable

    return "-" if value is None else f"{value:g}" if isinstance(value, float) else printable(str(value))
