"""The rows of a table of results that are looked at first, shown so that estimates and p are not cut."""

import html
import math

import polars as pl

P_VALUE = "neg_log_10_p_value"
_Z = 1.959963984540054  # of a normal distribution's middle 95 %
_NAMES = ("variant_id", "set_id", "mask", "max_maf", "trait", "test", "effect_allele")
_SEVERAL = ("trait", "test")  # shown where there are several
_ESTIMATES = ("beta", "standard_error")
_WIDTH = 80


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

    def _shown(self) -> pl.DataFrame:
        """What is printed: the names of the rows, estimates, p, and codes where there are any; as text."""
        have = set(self.columns)
        names = [
            name
            for name in _NAMES
            if name in have and (name not in _SEVERAL or self.height == 0 or self[name].n_unique() > 1)
        ]
        columns = {name: [_text(value) for value in self[name]] for name in names}
        columns |= {name: [_number(value) for value in self[name]] for name in _ESTIMATES if name in have}
        for name in ("odds_ratio", "hazard_ratio", "rate_ratio"):
            if name in have and {"ratio_lower", "ratio_upper"} <= have:
                intervals = zip(self[name], self["ratio_lower"], self["ratio_upper"])
                columns[f"{name} (95 %)"] = [
                    "-" if value is None else f"{value:.3g} ({_number(low, 3)} to {_number(high, 3)})"
                    for value, low, high in intervals
                ]
        if P_VALUE in have:
            columns["p_value"] = [p_text(value) for value in self[P_VALUE]]
            columns[P_VALUE] = ["-" if value is None else f"{value:.2f}" for value in self[P_VALUE]]
        if "code" in have and self["code"].null_count() < self.height:
            columns["code"] = [_text(value) for value in self["code"]]
        return pl.DataFrame(columns)

    def _is_whole(self) -> bool:
        """Whether the columns are there by which rows are shown; a selection of a few is shown as any table."""
        return {P_VALUE, "p_value"} <= set(self.columns) and bool({"variant_id", "set_id"} & set(self.columns))

    def __str__(self) -> str:
        if not self._is_whole():
            return super().__str__()
        shown = self._shown()
        with pl.Config(
            tbl_cols=-1, tbl_rows=max(1, min(self.height, 40)), tbl_width_chars=_WIDTH, tbl_hide_dataframe_shape=True,
            tbl_hide_column_data_types=True, fmt_str_lengths=60, tbl_formatting="ASCII_BORDERS_ONLY_CONDENSED",
        ):  # fmt: skip
            table = str(shown)
        return f"{table}\n{self._more()}"

    def __repr__(self) -> str:
        return str(self)

    def _more(self) -> str:
        n = self.height
        return f"{n:,} row{'' if n == 1 else 's'}; {len(self.columns)} columns, of which these are shown"

    def _repr_html_(self, **_: object) -> str:
        if not self._is_whole():
            return super()._repr_html_()
        shown = self._shown()
        head = "".join(f"<th>{html.escape(name)}</th>" for name in shown.columns)
        body = "".join(
            "<tr>" + "".join(f"<td>{html.escape(str(cell))}</td>" for cell in row) + "</tr>"
            for row in shown.head(100).iter_rows()
        )
        return f"<table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table><p>{html.escape(self._more())}</p>"


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


def _number(value: float | None, digits: int = 4) -> str:
    return "-" if value is None else f"{value:.{digits}g}"


def _text(value: object) -> str:
    from genassoc.errors import printable

    return "-" if value is None else f"{value:g}" if isinstance(value, float) else printable(str(value))
