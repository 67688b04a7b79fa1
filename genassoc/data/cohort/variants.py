"""Variant filters as named polars expressions, and the bookkeeping that says which one dropped a variant.

The expressions are over the columns of `METADATA_COLUMNS` and `STATISTICS_COLUMNS`; bounds are inclusive.
They are lazy: ``cohort.keep_variants(maf_above(0.01) & missing_below(0.05))`` reads nothing, the pass that
reads the blocks applies it. Any other polars expression over these columns works as well.
"""

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import reduce
from operator import or_

import numpy as np
import polars as pl

from genassoc.data.cohort.contigs import Contigs, region_keys
from genassoc.errors import InputError

METADATA_COLUMNS = (
    "chromosome",
    "base_pair_location",
    "effect_allele",
    "other_allele",
    "rsid",
    "record",
    "alt_index",
    "multi_allelic",
)
KEY_COLUMN = "chromosome_key"  # of contigs that mean the same chromosome the same: for `in_region` alone
HWE_COLUMNS = ("hwe_p", "hwe_midp")
STATISTICS_COLUMNS = (
    "af",
    "maf",
    "mac",
    "missing_rate",
    "n",
    "n_hom_ref",
    "n_het",
    "n_hom_alt",
    *HWE_COLUMNS,
)
DOSAGE_COLUMNS = ("has_dosages", "r2", "info")  # statistics of stores with dosages

_REGION = re.compile(r"(?P<contig>[^\s:]+)(:(?P<start>[\d,]+)(?P<dash>-(?P<stop>[\d,]*))?)?")


def maf_above(x: float) -> pl.Expr:
    """Keep variants whose minor allele frequency is at least ``x``."""
    return (pl.col("maf") >= _fraction("maf_above", x, 0.5)).alias(f"maf_above({x:g})")


def maf_below(x: float) -> pl.Expr:
    """Keep variants whose minor allele frequency is at most ``x``."""
    return (pl.col("maf") <= _fraction("maf_below", x, 0.5)).alias(f"maf_below({x:g})")


def mac_above(x: float) -> pl.Expr:
    """Keep variants whose minor allele count is at least ``x``."""
    return (pl.col("mac") >= _count("mac_above", x)).alias(f"mac_above({x:g})")


def missing_below(x: float) -> pl.Expr:
    """Keep variants whose share of calls not observed is at most ``x``."""
    return (pl.col("missing_rate") <= _fraction("missing_below", x)).alias(f"missing_below({x:g})")


def hwe_above(p: float) -> pl.Expr:
    """Keep variants whose exact Hardy-Weinberg p is at least ``p``.

    Where the test does not apply (Y, MT, X when sex is unknown) the variant is kept.
    """
    return (pl.col("hwe_p") >= _fraction("hwe_above", p)).fill_null(True).alias(f"hwe_above({p:g})")


def hwe_below(p: float) -> pl.Expr:
    """Keep the variants whose exact Hardy-Weinberg p is at most ``p``: what `hwe_above` drops."""
    return (pl.col("hwe_p") <= _fraction("hwe_below", p)).alias(f"hwe_below({p:g})")


def info_above(x: float) -> pl.Expr:
    """Keep variants that were imputed with a quality of at least ``x``, and those that were called.

    The quality is IMPUTE's INFO where the probabilities of genotypes are known, else MaCH's r2, of the cohort's samples. Where neither
    is defined (all have the same dosage) the variant is left out.
    """
    bound = _fraction("info_above", x)
    quality = pl.coalesce("info", "r2") >= bound
    return (~pl.col("has_dosages") | quality.fill_null(False)).alias(f"info_above({x:g})")


def r2_above(x: float) -> pl.Expr:
    """Keep variants that were imputed with a MaCH r2 of at least ``x``, of the cohort's samples, and those that were called."""
    quality = (pl.col("r2") >= _fraction("r2_above", x)).fill_null(False)
    return (~pl.col("has_dosages") | quality).alias(f"r2_above({x:g})")


def info_source_above(x: float) -> pl.Expr:
    """Keep variants for which the file states a quality of imputation of at least ``x``, and those for which it states none."""
    bound = _fraction("info_source_above", x)
    return (pl.col("info_source") >= bound).fill_null(True).alias(f"info_source_above({x:g})")


def passes() -> pl.Expr:
    """Keep variants whose FILTER is PASS or "." (none was applied)."""
    return (pl.col("FILTER") == "PASS").fill_null(True).alias("passes()")


def in_region(*regions: str) -> pl.Expr:
    """Keep variants of any of the regions: "chr", "chr:position", "chr:first-last" or "chr:first-".

    Positions count from 1, both ends belong to the region, commas in numbers are allowed. A chromosome
    is found however it is spelled, in the region or in the store (chr1, 1, 01, NC_000001.11); `Cohort.keep_variants`
    refuses a contig that the store does not have.

    Raises
    ------
    InputError
        A region is not of these forms.
    """
    parsed = [Region.parse(region) for region in regions]
    if not parsed:
        raise InputError('in_region() needs a region such as "chr1:10000-20000"')
    anywhere = reduce(or_, (region.expression() for region in parsed))
    return anywhere.alias(f"in_region({' '.join(str(region) for region in parsed)})")


def has_rsid(names: Iterable[str]) -> pl.Expr:
    """Keep variants whose rsid (the VCF's ID) is one of ``names``."""
    wanted = [names] if isinstance(names, str) else sorted(set(names))
    label = ", ".join(wanted) if len(wanted) <= 3 else f"{len(wanted)} names"
    return pl.col("rsid").is_in(wanted).alias(f"has_rsid({label})")


def is_snv() -> pl.Expr:
    """Keep variants whose two alleles are one base each."""
    bases = ["A", "C", "G", "T", "a", "c", "g", "t"]
    return (pl.col("effect_allele").is_in(bases) & pl.col("other_allele").is_in(bases)).alias("is_snv()")


def biallelic() -> pl.Expr:
    """Keep variants whose record has this one ALT only."""
    return (~pl.col("multi_allelic")).alias("biallelic()")


def _fraction(name: str, x: float, most: float = 1) -> float:
    """``x``, which must be a fraction: a percentage is the usual slip."""
    if not _is_number(x) or not 0 <= x <= most:
        of_minor = ": no minor allele is more frequent" if most == 0.5 else ""
        raise InputError(f"{name}({x}): the bound is a fraction between 0 and {most:g}{of_minor} (1 % is 0.01)")
    return float(x)


def _count(name: str, x: float) -> float:
    """``x``, which must be a count."""
    if not _is_number(x) or not 0 <= x < float("inf"):
        raise InputError(f"{name}({x}): the bound is a count of alleles, a number of at least 0")
    return x


def _is_number(x: object) -> bool:
    return isinstance(x, int | float | np.integer | np.floating) and not isinstance(x, bool)


@dataclass(frozen=True)
class Region:
    """A run of positions, from 1, both ends included; None is "to the end"."""

    contig: str
    start: int | None = None
    stop: int | None = None

    @classmethod
    def parse(cls, text: str) -> "Region":
        """Read "chr", "chr:position", "chr:first-last" or "chr:first-"."""
        match = _REGION.fullmatch(text.strip())
        if match is None:
            raise InputError(f"the region '{text}' is not understood; write it as chr1, chr1:12345 or chr1:10000-20000")
        start = int(match["start"].replace(",", "")) if match["start"] else None
        stop = start if start is not None and not match["dash"] else None
        if match["stop"]:
            stop = int(match["stop"].replace(",", ""))
        if start is not None and stop is not None and start > stop:
            raise InputError(f"the region '{text}' ends before it begins; write the smaller position first")
        return cls(match["contig"], start, stop)

    def __str__(self) -> str:
        if self.start is None:
            return self.contig
        if self.start == self.stop:
            return f"{self.contig}:{self.start}"
        return f"{self.contig}:{self.start}-{'' if self.stop is None else self.stop}"

    def expression(self) -> pl.Expr:
        """An expression: whether a variant lies in the region."""
        inside = (pl.col("chromosome") == self.contig) | pl.col(KEY_COLUMN).is_in(list(region_keys(self.contig)))
        if self.start is not None:
            inside = inside & (pl.col("base_pair_location") >= self.start)
        if self.stop is not None:
            inside = inside & (pl.col("base_pair_location") <= self.stop)
        return inside


@dataclass(frozen=True)
class Predicate:
    """One condition of a filter: what must hold, its name in the ledger, the columns it looks at."""

    expression: pl.Expr
    name: str
    columns: frozenset[str]

    @property
    def needs_genotypes(self) -> bool:
        """Whether it looks at numbers that only a pass over the genotypes gives."""
        return not self.columns.isdisjoint((*STATISTICS_COLUMNS, *DOSAGE_COLUMNS))


def split_predicates(expression: pl.Expr) -> tuple[Predicate, ...]:
    """Take ``a & b & c`` apart, so that the ledger can say which of them dropped a variant."""
    halves = _and_operands(expression)
    if halves is not None:
        return split_predicates(halves[0]) + split_predicates(halves[1])
    name = _root_alias(expression) or str(expression)
    return (Predicate(expression, name, frozenset(expression.meta.root_names())),)


def _and_operands(expression: pl.Expr) -> tuple[pl.Expr, pl.Expr] | None:
    """``(a, b)`` if the expression is ``a & b``.

    polars has no public way to ask what an expression's root is, so it is rebuilt from its inputs.
    """
    inputs = expression.meta.pop()
    if len(inputs) != 2:
        return None
    for a, b in ((inputs[0], inputs[1]), (inputs[1], inputs[0])):
        if str(a & b) == str(expression):
            return a, b
    return None


def _root_alias(expression: pl.Expr) -> str | None:
    """The name given by ``.alias(...)`` to the expression itself (not to a part of it)."""
    inputs = expression.meta.pop()
    if len(inputs) != 1:
        return None
    name = expression.meta.output_name(raise_if_undetermined=False)
    return name if name is not None and str(inputs[0].alias(name)) == str(expression) else None


def regions_of(expression: pl.Expr) -> list[Region]:
    """All regions that an expression asks for through `in_region`, however deep."""
    asked = re.findall(r'\.alias\("in_region\((.*?)\)"\)', str(expression))
    return [Region.parse(text) for regions in asked for text in regions.split()]


def check_contigs(regions: Sequence[Region], contigs: Sequence[str]) -> None:
    """Refuse a region of a contig that the store does not have, under this or another name of the chromosome.

    Raises
    ------
    InputError
        Names the contig and those there are.
    """
    for region in regions:
        if region.contig not in contigs and not Contigs.of(contigs).same(region.contig):
            shown = ", ".join(contigs[:30]) + (", ..." if len(contigs) > 30 else "")
            raise InputError(f"in_region({region}): the store has no contig '{region.contig}'. It has: {shown}")
