"""Estimates of one variant with their intervals, one below another: traits, arms, cohorts."""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Literal

import numpy as np
import polars as pl

from genassoc.errors import GenassocError
from genassoc.plots.figure import DARK_BLUE, GREY, INK, PALE, VERMILION, dress, new_axes, size_in_points, write_title
from genassoc.plots.series import P_VALUE, ResultsLike, gather, scan_of
from genassoc.plots.words import cut, p_equals, p_value, plain
from genassoc.shapes import Float64Array
from genassoc.stats.tails import Z_975, neg_log_10_p_chi2, neg_log_10_p_z

if TYPE_CHECKING:
    from matplotlib.axes import Axes

By = Literal["trait", "arm", "cohort"]
_MOST = 200  # rows
_NEEDED = ("beta", "standard_error")
_LIMITS = ("ci_lower", "ci_upper")
_ARM = "|E="


def forest(
    results: ResultsLike | Mapping[str, ResultsLike],
    variant: str | None = None,
    *,
    by: By = "trait",
    trait: str | None = None,
    test: str | None = None,
    ratio: bool = False,
    scale: str | None = None,
    title: str | None = None,
    ax: "Axes | None" = None,
) -> "Axes":
    """Draw the estimates of one variant with their 95 % intervals.

    Parameters
    ----------
    results : Results, DataFrame, LazyFrame; or a mapping of names to them
        A mapping is of cohorts: their estimates, oriented to one allele, and below them that of a fixed-effect meta-analysis (weights: inverse
        variances), with Cochran's Q and I2.
    variant : str, optional
        Its rsid or variant_id; not needed where there is but one.
    by : "trait", "arm" or "cohort"
        What differs from row to row. Arms are the tests ``add|E=...`` of a model with an interaction; their caption has the p of the
        interaction, which is the test of a difference. Traits share no samples' independence, so nothing is pooled over them.
    trait, test : str, optional
        Where there are several.
    ratio : bool
        Whether to show exp(beta), on a logarithmic axis: odds, hazard and rate ratios.
    scale : str, optional
        What the axis shows.
    title : str, optional
    ax : Axes, optional

    Returns
    -------
    Axes

    Raises
    ------
    GenassocError
        There is no such variant, no estimate, or it is not clear which trait or test is meant.
    """
    if by not in ("trait", "arm", "cohort"):
        raise GenassocError(f"by={by!r}: rows are by 'trait', 'arm' or 'cohort'.")
    notes: list[str] = []
    if isinstance(results, Mapping):
        rows, by = _of_cohorts(results, variant, trait, test, notes), "cohort"
    else:
        rows = _of_one(results, variant, by, trait, test, notes)
    unknown = rows.filter(~_has_estimate())
    rows = rows.filter(_has_estimate())
    if unknown.height:
        notes.append(f"no estimate: {', '.join(cut(str(name), 30) for name in unknown['_name'].head(6))}")
    if rows.is_empty():
        raise GenassocError("there is no estimate with a standard error to draw.")
    if rows.height > _MOST:
        raise GenassocError(f"{rows.height:,} estimates are too many for one picture; draw at most {_MOST} of them.")
    pooled = None
    if by == "cohort" and rows.height > 1:
        pooled = _pooled(rows["beta"].to_numpy(), rows["standard_error"].to_numpy())
        _, _, q, i2 = pooled
        heterogeneity = float(neg_log_10_p_chi2(q, rows.height - 1))
        notes.append(
            f"fixed effect, inverse variances; heterogeneity: Q = {q:.3g} on {rows.height - 1} df, {p_equals(heterogeneity)}, I² = {100 * i2:.0f} %"
        )
    ax = new_axes(7.0, 1.5 + 0.3 * (rows.height + (pooled is not None))) if ax is None else ax
    _draw(ax, rows, pooled, ratio)
    first = rows.row(0, named=True)
    allele = f" per copy of {cut(str(first['effect_allele']), 12)}" if first.get("effect_allele") else ""
    ax.set_xlabel(plain(scale or ("Ratio" if ratio else "Effect (beta)")) + plain(allele), color=INK, fontsize=9)
    name = first.get("rsid") if first.get("rsid") not in (None, "", ".") else first.get("variant_id")
    size_in_points(ax)  # the caption's lines are as long as the axes will be
    whole = [str(name or variant or "")] + ([str(first["trait"])] if by != "trait" and first.get("trait") else [])
    write_title(ax, " and ".join(filter(None, whole)) if title is None else title, "; ".join(["bars: 95 %", *notes]))
    return ax


def _has_estimate() -> pl.Expr:
    return pl.col("beta").is_finite().fill_null(False) & (pl.col("standard_error") > 0).fill_null(False)


def _rows(results: ResultsLike, variant: str | None, trait: str | None) -> pl.DataFrame:
    """The rows of one variant, with what is absent as nulls."""
    table = scan_of(results)
    names = table.collect_schema().names()
    if absent := [name for name in _NEEDED if name not in names]:
        raise GenassocError(f"the results lack {', '.join(absent)}; a forest plot needs {', '.join(_NEEDED)}.")
    words = ("rsid", "variant_id", "effect_allele", "other_allele", "trait", "test")
    table = table.select(
        *(pl.col(name).cast(pl.String) if name in names else pl.lit(None, pl.String).alias(name) for name in words),
        *(
            pl.col(name).cast(pl.Float64) if name in names else pl.lit(None, pl.Float64).alias(name)
            for name in (*_NEEDED, *_LIMITS, P_VALUE)
        ),
    )
    if variant is not None:
        table = table.filter((pl.col("rsid") == variant) | (pl.col("variant_id") == variant))
    if trait is not None:
        table = table.filter(pl.col("trait") == trait)
    rows = gather(table.head(100 * _MOST))
    if rows.is_empty():
        raise GenassocError(f"the results have no row of '{variant}'" + (f" and trait '{trait}'." if trait else "."))
    ids = rows["variant_id"].unique(maintain_order=True).to_list()
    if len(ids) > 1:
        raise GenassocError(
            f"a forest plot is of one variant, and here are {len(ids)}{' or more' if len(ids) > 8 else ''}: "
            f"{', '.join(str(one) for one in ids[:8])}; name one by its variant_id."
        )
    return rows


def _of_one(
    results: ResultsLike, variant: str | None, by: str, trait: str | None, test: str | None, notes: list[str]
) -> pl.DataFrame:
    rows = _rows(results, variant, trait)
    tests = rows["test"].drop_nulls().unique(maintain_order=True).to_list()
    if by == "arm":
        traits = rows["trait"].unique(maintain_order=True).to_list()
        if len(traits) > 1:
            raise GenassocError(f"pass trait= one of {', '.join(map(str, traits[:12]))}: arms are drawn of one.")
        arms = rows.filter(pl.col("test").str.contains(_ARM, literal=True))
        if arms.is_empty():
            raise GenassocError(
                f"the results have no effects in arms (tests add{_ARM}...), only {', '.join(tests) or 'none'}: fit a model with interaction=."
            )
        between = rows.filter(pl.col("test").str.ends_with(":E"))
        if between.height:
            notes.append(f"interaction: {p_equals(between[P_VALUE][0])}, which is the test of a difference")
        return arms.with_columns(_name=pl.col("test").str.splitn(_ARM, 2).struct.field("field_1"))
    if test is None and len(tests) > 1:
        raise GenassocError(f"pass test= one of {', '.join(tests)}: a row is one test of a {by}.")
    if test is not None and test not in tests:
        raise GenassocError(f"the results have no test '{test}' of it; they have {', '.join(tests)}.")
    if test is not None:
        rows = rows.filter(pl.col("test") == test)
    return rows.with_columns(_name=pl.col("trait").fill_null(""))


def _of_cohorts(
    cohorts: Mapping[str, ResultsLike], variant: str | None, trait: str | None, test: str | None, notes: list[str]
) -> pl.DataFrame:
    """A row a cohort, all of the first one's effect allele."""
    parts, alleles = [], None
    for name, results in cohorts.items():
        try:
            rows = _rows(results, variant, trait)
        except GenassocError as error:
            if "no row" not in str(error):
                raise
            notes.append(f"not in {cut(name, 30)}")
            continue
        if test is not None:
            rows = rows.filter(pl.col("test") == test)
        if rows.height != 1:
            raise GenassocError(f"cohort '{name}' has {rows.height} rows of it: pass trait= and test=.")
        pair = (rows["effect_allele"][0], rows["other_allele"][0])
        alleles = alleles or pair
        if pair == alleles[::-1] and pair != alleles:
            notes.append(f"{cut(name, 30)}: alleles swapped")
            rows = rows.with_columns(
                -pl.col("beta"),
                ci_lower=-pl.col("ci_upper"),
                ci_upper=-pl.col("ci_lower"),
                effect_allele=pl.lit(alleles[0]),
                other_allele=pl.lit(alleles[1]),
            )
        elif pair != alleles:
            raise GenassocError(
                f"cohort '{name}' has the alleles {pair[0]} and {pair[1]}, the first one {alleles[0]} and {alleles[1]}: not the same variant."
            )
        parts.append(rows.with_columns(_name=pl.lit(name)))
    if not parts:
        raise GenassocError(f"no cohort has a row of '{variant}'.")
    return pl.concat(parts)


def _pooled(beta: Float64Array, error: Float64Array) -> tuple[float, float, float, float]:
    """Fixed effect and its standard error, Cochran's Q, I2 (Higgins & Thompson 2002)."""
    w = 1.0 / error**2
    mean = float((w * beta).sum() / w.sum())
    q = float((w * (beta - mean) ** 2).sum())
    return mean, float(w.sum() ** -0.5), q, max(0.0, 1.0 - (beta.size - 1) / q) if q > 0 else 0.0


def _logarithmic(ax: "Axes") -> None:
    """An axis of ratios, with plain numbers."""
    from matplotlib.ticker import FuncFormatter, LogLocator, NullFormatter, NullLocator

    ax.set_xscale("log")
    ax.xaxis.set_major_locator(LogLocator(subs=(1.0, 2.0, 5.0)))
    ax.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
    ax.xaxis.set_minor_locator(NullLocator())
    ax.xaxis.set_minor_formatter(NullFormatter())


def _draw(ax: "Axes", rows: pl.DataFrame, pooled: tuple[float, float, float, float] | None, ratio: bool) -> None:
    """Squares with bars from top to bottom, a diamond for what is pooled; estimate, interval and p at the right."""
    dress(ax)
    beta, error = rows["beta"].to_numpy(), rows["standard_error"].to_numpy()
    logp = [
        float(neg_log_10_p_z(b / e)) if p is None or not np.isfinite(p) else p
        for b, e, p in zip(beta, error, rows[P_VALUE])
    ]
    names = [cut(str(name), 32) for name in rows["_name"]]
    if pooled is not None:
        beta, error = np.append(beta, pooled[0]), np.append(error, pooled[1])
        logp.append(float(neg_log_10_p_z(pooled[0] / pooled[1])))
        names.append("all, fixed effect")
    low, high = beta - Z_975 * error, beta + Z_975 * error
    own = rows.select(pl.col(name).fill_null(np.nan) for name in _LIMITS).to_numpy()  # as the model has them
    known = np.isfinite(own).all(axis=1).nonzero()[0]
    low[known], high[known] = own[known].T
    shown = [np.exp(np.clip(one, -700.0, 700.0)) if ratio else one for one in (beta, low, high)]
    if ratio:
        _logarithmic(ax)
    y = -np.arange(beta.size, dtype=float)
    ax.axvline(1.0 if ratio else 0.0, color=GREY, linewidth=0.9, zorder=1)
    n = beta.size - (pooled is not None)
    middle, left, right = shown
    ax.hlines(y[:n], left[:n], right[:n], color=DARK_BLUE, linewidth=1.4, zorder=2)
    ax.plot(middle[:n], y[:n], linestyle="none", marker="s", markersize=5.5, color=DARK_BLUE, zorder=3)
    if pooled is not None:
        ax.fill(
            [left[n], middle[n], right[n], middle[n]], [y[n], y[n] + 0.28, y[n], y[n] - 0.28], color=VERMILION, zorder=3
        )
    ax.set_ylim(-(beta.size - 1) - 0.7, 0.7)
    ax.set_yticks(y, [plain(name) for name in names], fontsize=8)
    ax.tick_params(axis="y", length=0)
    ax.spines["left"].set_visible(False)
    ax.grid(axis="x", color=PALE, linewidth=0.5, zorder=0)
    beside = ax.secondary_yaxis("right")
    beside.set_yticks(
        y, [f"{m:.3g} ({a:.3g} to {b:.3g})  p = {p_value(p)}" for m, a, b, p in zip(*shown, logp)], fontsize=8
    )
    beside.tick_params(length=0, colors=INK)
    beside.spines["right"].set_visible(False)
