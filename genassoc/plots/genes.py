"""Results of sets (genes) as points along the genome and in QQ plots: one a gene, whatever masks and bins it was tested with."""

from dataclasses import dataclass

import polars as pl

from genassoc.errors import GenassocError
from genassoc.plots.series import P_VALUE, ResultsLike, gather, scan_of

SET = "set_id"
ALL_TESTS = "acato"  # the combination of all tests of a gene, where there is one
_NEEDED = (SET, "chromosome", "start", "end", "mask", "max_maf", "trait", "test", P_VALUE)


@dataclass(frozen=True)
class GeneRows:
    """One row a gene, for plots of variants.

    Attributes
    ----------
    rows : LazyFrame
        chromosome, base_pair_location (its middle), neg_log_10_p_value, variant_id (the gene's name), trait, test, code.
    n_tests : int
        How many p-values those drawn were chosen from, all masks and bins counted.
    caption : str
        What was chosen.
    """

    rows: pl.LazyFrame
    n_tests: int
    caption: str


def is_of_genes(results: ResultsLike) -> bool:
    """Whether the rows are of sets of variants."""
    return SET in scan_of(results).collect_schema().names()


def gene_tests(
    results: ResultsLike, *, trait: str | None, test: str | None, mask: str | None = None, max_maf: float | None = None
) -> tuple[pl.LazyFrame, str]:
    """The rows of one test of sets, of all masks and bins or of those named, and the test.

    Raises
    ------
    GenassocError
        A column is absent; the test, mask or bin is none of the results'; several traits or tests, and none is named.
    """
    table = scan_of(results)
    present = table.collect_schema().names()
    if absent := [name for name in _NEEDED if name not in present]:
        raise GenassocError(f"The results of sets lack {', '.join(absent)}; this plot needs {', '.join(_NEEDED)}.")
    if "left_out" in present:
        table = table.filter(pl.col("left_out").is_null())
    if trait is not None:
        table = table.filter(pl.col("trait") == trait)
    tests = [str(name) for name in gather(table.select(pl.col("test").unique(maintain_order=True)))["test"]]
    chosen = test or (
        ALL_TESTS if ALL_TESTS in tests and mask is None and max_maf is None else tests[0] if len(tests) == 1 else None
    )
    if chosen is None or chosen not in tests:
        raise GenassocError(f"pass test= one of {', '.join(tests) or 'none'}: a plot shows one test of each gene.")
    table = table.filter(pl.col("test") == chosen)
    for name, wanted in (("mask", mask), ("max_maf", max_maf)):
        if wanted is not None:
            known = gather(table.select(pl.col(name).unique().sort()))[name].drop_nulls().to_list()
            if wanted not in known:
                raise GenassocError(
                    f"there is no {name} {wanted!r} of {chosen}; there are {', '.join(map(str, known)) or 'none'}."
                )
            table = table.filter(pl.col(name) == wanted)
    return table, chosen


def gene_rows(
    results: ResultsLike, *, trait: str | None, test: str | None, mask: str | None = None, max_maf: float | None = None
) -> GeneRows:
    """Each gene's row of one test; of several masks and bins the one with the smallest p."""
    table, chosen = gene_tests(results, trait=trait, test=test, mask=mask, max_maf=max_maf)
    code = pl.col("code") if "code" in table.collect_schema().names() else pl.lit(None, pl.String).alias("code")
    usable = pl.col(P_VALUE).is_finite().fill_null(False)
    numbers = gather(table.select(usable.sum().alias("tests"), pl.struct("mask", "max_maf").n_unique().alias("units")))
    n_tests, units = numbers.row(0)
    order = pl.when(usable).then(pl.col(P_VALUE)).otherwise(-1.0).alias("_order")
    one = (
        table.with_columns(order, code.cast(pl.String).alias("code"))
        .sort("_order", descending=True, maintain_order=True)
        .unique((SET, "trait"), keep="first", maintain_order=True)
        .select(
            pl.col("chromosome").cast(pl.String), ((pl.col("start") + pl.col("end")) // 2).alias("base_pair_location"), P_VALUE,
            pl.col(SET).cast(pl.String).alias("variant_id"), "trait", "test", "code",
        )
    )  # fmt: skip
    words = f"{chosen}: the smallest p of {units} masks and bins a gene" if units > 1 else chosen
    if mask is not None or max_maf is not None:
        words += "".join(
            f", {name} {value}" for name, value in (("mask", mask), ("MAF at most", max_maf)) if value is not None
        )
    return GeneRows(gather(one).lazy(), int(n_tests), words)
