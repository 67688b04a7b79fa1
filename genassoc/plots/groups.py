"""Which points of a QQ plot belong together: by allele frequency, by method, by analysis; or all."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
import polars as pl

from genassoc.errors import GenassocError
from genassoc.plots.figure import DARK_BLUE, DISTINCT
from genassoc.plots.genes import gene_tests, is_of_genes
from genassoc.plots.ranks import GROUP
from genassoc.plots.series import P_VALUE, ResultsLike, Series, gather, read_series, scan_of

MAF_BINS = (0.001, 0.01, 0.05)
_FREQUENCY = "effect_allele_frequency"
_COMMON_TO_RARE = ("inferno", 0.0, 0.82)  # steps of lightness that stay apart for the colour-blind; rare ones stand out
_PROBES = 1000  # variants looked up to see whether methods share variants


@dataclass(frozen=True)
class Grouped:
    """P-values with the group of each.

    Attributes
    ----------
    rows : LazyFrame
        ``group``, an index into ``labels``, and ``neg_log_10_p_value``.
    n_rows : int
        How many they are.
    labels : tuple of str
        A name for each group; groups without rows have one too.
    colours : tuple of str
        One for each.
    together : bool
        Whether the groups are parts of one ranking.
    name : str
        Of the whole, for a title.
    caption : str
        What is left out, and how to read what is drawn where it is not plain.
    """

    rows: pl.LazyFrame
    n_rows: int
    labels: tuple[str, ...]
    colours: tuple[str, ...]
    together: bool
    name: str
    caption: str


def ungrouped(results: ResultsLike, by: str | None, *, trait: str | None, test: str | None) -> Grouped:
    """All of one trait and test."""
    if by is not None:
        raise GenassocError(f"by={by!r}: a QQ plot is coloured by 'maf' or by 'method'; without by=, in one colour.")
    series = read_series(results, (P_VALUE,), trait=trait, test=test)
    rows = series.rows.select(P_VALUE, pl.lit(0).alias(GROUP))
    return Grouped(rows, series.n_rows, ("",), (DARK_BLUE,), False, series.name, series.caption)


def by_maf(results: ResultsLike, bins: Sequence[float], *, trait: str | None, test: str | None) -> Grouped:
    """Groups of minor allele frequency, common ones first; rows without a frequency are left out and counted."""
    edges = [0.0, *bins, 0.5]
    if not bins or any(not low < high for low, high in pairwise(edges)):
        raise GenassocError(
            f"maf_bins={list(bins)}: give frequencies between 0 and 0.5, each larger than the one before."
        )
    series = read_series(results, (P_VALUE, _FREQUENCY), trait=trait, test=test)
    frequency = pl.col(_FREQUENCY)
    maf = pl.min_horizontal(frequency, 1.0 - frequency)
    index = pl.sum_horizontal([(maf < edge).cast(pl.Int64) for edge in bins])
    known = frequency.is_finite().fill_null(False)
    n_known = int(gather(series.rows.select(known.sum())).item())
    if not n_known:
        raise GenassocError(
            f"None of the {series.n_rows:,} rows with a p-value has an {_FREQUENCY}: draw without by='maf'."
        )
    unknown = series.n_rows - n_known
    captions = [series.caption, f"{unknown:,} without an allele frequency not drawn" if unknown else ""]
    rows = series.rows.filter(known).select(P_VALUE, index.alias(GROUP))
    labels = [f"MAF ≥ {_percent(bins[-1])}"]
    labels += [f"{_percent(low, sign=False)}–{_percent(high)}" for low, high in reversed(list(pairwise(bins)))]
    labels += [f"< {_percent(bins[0])}"]
    caption = "\n".join(line for line in captions if line)
    return Grouped(rows, n_known, tuple(labels), _shades(len(labels)), False, series.name, caption)


def by_method(results: ResultsLike, *, trait: str | None, test: str | None) -> Grouped:
    """Groups of the test that made the p, the most frequent first."""
    series = read_series(results, (P_VALUE, "method", "variant_id"), trait=trait, test=test)
    method = pl.col("method").cast(pl.String).fill_null("no method")
    counts = gather(series.rows.group_by(method).len("n")).sort("n", "method", descending=[True, False])
    names = counts["method"].to_list()
    together = len(names) > 1 and not _share_variants(series, method, names)
    lines = [series.caption]
    if together:
        lines.append("one ranking of all methods; λ of each at the rank of its median")
    # comparisons run piece by piece; a lookup would hold the whole column
    index = pl.sum_horizontal([(method == name).cast(pl.Int64) * k for k, name in enumerate(names)])
    rows = series.rows.select(P_VALUE, index.alias(GROUP))
    caption = "\n".join(line for line in lines if line)
    return Grouped(rows, series.n_rows, tuple(names), _distinct(len(names)), together, series.name, caption)


def by_mask(
    results: ResultsLike | Mapping[str, ResultsLike], *, trait: str | None, test: str | None, max_maf: float | None
) -> Grouped:
    """Groups of masks of genes, in order of appearance, of one test and bin."""
    if isinstance(results, Mapping) or not is_of_genes(results):
        raise GenassocError("by='mask' is of one table of results of genes.")
    if max_maf is None:
        max_maf = gather(scan_of(results).select(pl.col("max_maf").max())).item()
    table, chosen = gene_tests(results, trait=trait, test=test, max_maf=max_maf)
    series = read_series(table, (P_VALUE, "mask"), trait=trait, test=chosen)
    names = gather(series.rows.select(pl.col("mask").unique(maintain_order=True)))["mask"].to_list()
    index = pl.sum_horizontal([(pl.col("mask") == name).cast(pl.Int64) * k for k, name in enumerate(names)])
    rows = series.rows.select(P_VALUE, index.alias(GROUP))
    lines = (f"{chosen}, MAF at most {_percent(float(max_maf or 0.0))}", series.caption)
    return Grouped(
        rows,
        series.n_rows,
        tuple(map(str, names)),
        _distinct(len(names)),
        False,
        series.trait or "",
        "\n".join(filter(None, lines)),
    )


def by_name(results: Mapping[str, ResultsLike], by: str | None, *, trait: str | None, test: str | None) -> Grouped:
    """One group for each of several results, in their order."""
    if by is not None:
        raise GenassocError(f"by={by!r} and several results: their names are the colours already; draw one at a time.")
    if not results:
        raise GenassocError("Nothing to draw: the mapping of names to results is empty.")
    series = [read_series(each, (P_VALUE,), trait=trait, test=test) for each in results.values()]
    rows = [one.rows.select(P_VALUE, pl.lit(k).alias(GROUP)) for k, one in enumerate(series)]
    titles = {one.name for one in series}
    captions = [f"{label}: {one.caption}" for label, one in zip(results, series) if one.caption]
    return Grouped(
        pl.concat(rows),
        sum(one.n_rows for one in series),
        tuple(str(label) for label in results),
        _distinct(len(series)),
        False,
        titles.pop() if len(titles) == 1 else "",
        "\n".join(captions),
    )


def _share_variants(series: Series, method: pl.Expr, names: list[str]) -> bool:
    """Whether the methods tested the same variants: whether most of the rarest's have rows of others."""
    rarest = method == names[-1]
    some = gather(series.rows.filter(rarest).select("variant_id").head(_PROBES))["variant_id"].unique()
    others = series.rows.filter(~rarest, pl.col("variant_id").is_in(some.implode())).select("variant_id").unique()
    return 2 * gather(others).height > some.len()


def _percent(share: float, sign: bool = True) -> str:
    return f"{100 * share:.6g}" + (" %" if sign else "")


def _distinct(n: int) -> tuple[str, ...]:
    return tuple(DISTINCT[k % len(DISTINCT)] for k in range(n))


def _shades(n: int) -> tuple[str, ...]:
    """``n`` colours from common to rare."""
    from matplotlib import colormaps
    from matplotlib.colors import to_hex

    name, first, last = _COMMON_TO_RARE
    return tuple(to_hex(colormaps[name](place)) for place in np.linspace(first, last, n))
