"""Which variants a cohort keeps: index selections, and predicates that wait for the pass over the blocks."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from difflib import get_close_matches
from functools import cached_property

import numpy as np
import polars as pl

from genassoc.data import schema
from genassoc.data.cohort.variants import (
    DOSAGE_COLUMNS,
    HWE_COLUMNS,
    KEY_COLUMN,
    METADATA_COLUMNS,
    STATISTICS_COLUMNS,
    Predicate,
    check_contigs,
    regions_of,
    split_predicates,
)
from genassoc.errors import PlanError
from genassoc.shapes import Array, BoolArray

NOT_SELECTED = "not_selected"  # reason of variants left out by an index array or a mask
DROPPED_SCHEMA = {"id": pl.String, "reason": pl.String}
_TEXT_COLUMNS = ("chromosome", KEY_COLUMN, "effect_allele", "other_allele", "rsid")
_WHOLE_COLUMNS = ("base_pair_location", "record", "alt_index", "mac", "n", "n_hom_ref", "n_het", "n_hom_alt")


@dataclass(frozen=True, eq=False)
class VariantSelection:
    """Conditions that all must hold for a variant to be kept.

    Attributes
    ----------
    mask : bool array (n_variants,) or None
        What index arrays and masks selected; None is all.
    predicates : tuple of Predicate
        Expressions over metadata and statistics.
    """

    mask: BoolArray | None = None
    predicates: tuple[Predicate, ...] = ()

    @property
    def selects_all(self) -> bool:
        """Whether there is no condition."""
        return self.mask is None and not self.predicates

    @cached_property
    def on_metadata(self) -> tuple[Predicate, ...]:
        """Predicates that need no genotypes."""
        return tuple(predicate for predicate in self.predicates if not predicate.needs_genotypes)

    @cached_property
    def on_genotypes(self) -> tuple[Predicate, ...]:
        """Predicates that need the pass over the genotypes."""
        return tuple(predicate for predicate in self.predicates if predicate.needs_genotypes)

    @property
    def needs_hwe(self) -> bool:
        """Whether a predicate looks at a Hardy-Weinberg p."""
        return any(not predicate.columns.isdisjoint(HWE_COLUMNS) for predicate in self.predicates)

    @property
    def needs_keys(self) -> bool:
        """Whether a predicate asks for a chromosome, however it is spelled."""
        return any(KEY_COLUMN in predicate.columns for predicate in self.predicates)

    @property
    def needs_neighbours(self) -> bool:
        """Whether a predicate asks if a row shares its record with the row before or after it."""
        return any("multi_allelic" in predicate.columns for predicate in self.predicates)

    @cached_property
    def annotations(self) -> tuple[str, ...]:
        """Further columns of the variants that predicates look at."""
        named = {column for predicate in self.predicates for column in predicate.columns}
        return tuple(sorted(filter(schema.is_annotation, named)))

    @property
    def needs_dosages(self) -> bool:
        """Whether a predicate looks at what only dosages have."""
        return any(not predicate.columns.isdisjoint(DOSAGE_COLUMNS) for predicate in self.predicates)

    def narrowed(
        self,
        choice: pl.Expr | Array | Sequence[int],
        n_variants: int,
        contigs: Sequence[str],
        annotations: Sequence[str] = (),
    ) -> "VariantSelection":
        """Add a condition.

        Parameters
        ----------
        choice : polars expression, or array
            An array holds either variant numbers or one bool for each of ``n_variants``.
        n_variants : int
        contigs, annotations : sequence of str
            Of the store.

        Raises
        ------
        InputError
            The expression asks for a region of a contig that there is not.
        PlanError
            The expression or the array does not fit the variants.
        """
        if isinstance(choice, pl.Expr):
            check_contigs(regions_of(choice), contigs)
            added = split_predicates(choice)
            for predicate in added:
                _check_predicate(predicate, annotations)
            return replace(self, predicates=self.predicates + added)
        mask = _as_mask(choice, n_variants)
        return replace(self, mask=mask if self.mask is None else mask & self.mask)

    def select(
        self,
        start: int,
        stop: int,
        metadata: Callable[[], pl.DataFrame],
        statistics: Callable[[], pl.DataFrame] | None,
    ) -> tuple[BoolArray, list[str | None]]:
        """Decide on the variants from start to stop.

        Parameters
        ----------
        start, stop : int
        metadata, statistics : callables
            Give `METADATA_COLUMNS` and `STATISTICS_COLUMNS` of these variants, called only if needed. Without
            ``statistics``, predicates on genotypes are left open.

        Returns
        -------
        keep : bool array (V,)
        reasons : list (V,)
            Name of the first condition that failed, None where kept.
        """
        keep = np.ones(stop - start, dtype=bool)
        reasons: list[str | None] = [None] * (stop - start)

        def drop(passed: BoolArray, name: str) -> None:
            for i in np.flatnonzero(keep & ~passed):
                reasons[i] = name
            keep[:] &= passed

        if self.mask is not None:
            drop(self.mask[start:stop], NOT_SELECTED)
        if not self.predicates or not keep.any():
            return keep, reasons
        table = metadata()
        for predicate in self.on_metadata:
            drop(_holds(predicate, table), predicate.name)
        if statistics is not None and self.on_genotypes and keep.any():
            table = table.hstack(statistics())
            for predicate in self.on_genotypes:
                drop(_holds(predicate, table), predicate.name)
        return keep, reasons

    def describe(self) -> list[str]:
        """The conditions in words."""
        words = [] if self.mask is None else [f"{int(self.mask.sum()):,} selected by index"]
        return words + [predicate.name for predicate in self.predicates]


def with_neighbours(table: pl.DataFrame, first: int, last: int) -> pl.DataFrame:
    """Rows first to last of the variants' metadata, with ``multi_allelic``: whether their record made several rows.

    A record's rows are neighbours in the store, so ``table`` needs one more row on each side (if there is
    one).
    """
    shared = (pl.col("record") == pl.col("record").shift(1)) | (pl.col("record") == pl.col("record").shift(-1))
    # The first ALT may have been left out in the conversion: a second ALT alone is still of such a record.
    marked = table.with_columns(multi_allelic=shared.fill_null(False) | (pl.col("alt_index") > 1))
    return marked.slice(first, last - first)


def variant_ids() -> pl.Expr:
    """chromosome_position_ref_alt, over the columns of variant metadata."""
    return pl.concat_str(["chromosome", "base_pair_location", "other_allele", "effect_allele"], separator="_").alias(
        "id"
    )


def _holds(predicate: Predicate, table: pl.DataFrame) -> BoolArray:
    """Where a predicate holds (V,); null does not."""
    try:
        result = table.select(predicate.expression.alias("holds"))["holds"]
    except pl.exceptions.PolarsError as error:
        raise PlanError(f"the variant filter {predicate.name} cannot be evaluated: {error}") from None
    if result.dtype not in (pl.Boolean, pl.Null):
        raise PlanError(
            f"the variant filter {predicate.name} gives {result.dtype}, not true or false; compare it with "
            "a bound, as "
            'pl.col("maf") >= 0.01'
        )
    holds = result.cast(pl.Boolean).fill_null(False).to_numpy()
    return holds if holds.size == table.height else np.broadcast_to(holds, (table.height,)).copy()


def _check_predicate(predicate: Predicate, annotations: Sequence[str]) -> None:
    """Refuse a predicate over unknown columns, or one whose answer depends on the cut into blocks."""
    known = (*METADATA_COLUMNS, *STATISTICS_COLUMNS, *DOSAGE_COLUMNS, *annotations)
    for column in sorted(predicate.columns - {*known, KEY_COLUMN}):
        if schema.is_annotation(column):
            raise PlanError(
                f"the variant filter {predicate.name} looks at {column}, which the store does not keep (it keeps: "
                f"{', '.join(annotations) or 'no such column'}). Fields of INFO are kept where convert is told to: --info NAME"
            )
        close = get_close_matches(column, known, n=3)
        hint = f" Did you mean {' or '.join(repr(name) for name in close)}?" if close else ""
        raise PlanError(
            f"the variant filter {predicate.name} looks at '{column}', which variants do not have.{hint} "
            f"Columns: {', '.join(known)}"
        )
    table = _probe(annotations)
    together = _holds(predicate, table)
    apart = np.concatenate([_holds(predicate, table.slice(row, 1)) for row in range(table.height)])
    if not np.array_equal(together, apart):
        raise PlanError(
            f"the variant filter {predicate.name} compares variants with one another (a mean, a rank, a count over rows); its "
            "answer would depend on how the variants are cut into blocks. Compute the numbers with variant_qc first, and give "
            "keep_variants the variants' numbers"
        )


def _probe(annotations: Sequence[str]) -> pl.DataFrame:
    """Made-up variants, all different, to try a predicate on before any pass."""
    n = 12
    rng = np.random.default_rng(7)
    columns: dict[str, Array | list[str]] = {}
    for name in (*METADATA_COLUMNS, *STATISTICS_COLUMNS, *DOSAGE_COLUMNS, *annotations, KEY_COLUMN):
        if name in _TEXT_COLUMNS or (name in annotations and name != schema.INFO_SOURCE):
            columns[name] = [str(value) for value in rng.permutation(n)]
        elif name in ("multi_allelic", "has_dosages"):
            columns[name] = rng.random(n) < 0.5
        elif name in _WHOLE_COLUMNS:
            columns[name] = rng.permutation(n).astype(np.int64) + 1
        else:
            columns[name] = rng.random(n)
    return pl.DataFrame(columns).with_columns(pl.col("alt_index").cast(pl.Int32))


def _as_mask(choice: Array | Sequence[int], n_variants: int) -> BoolArray:
    """A mask (n_variants,) from a mask or from variant numbers."""
    array = np.asarray(choice)
    if array.ndim != 1 or array.size == 0 or array.dtype.kind not in "biu":
        raise PlanError(
            "keep_variants takes a polars expression, variant numbers, or one true or false for each variant; given was an array "
            f"of {array.dtype} of shape {array.shape}"
        )
    if array.dtype.kind == "b":
        if array.size != n_variants:
            raise PlanError(f"the mask is for {array.size} variants, the store has {n_variants}")
        mask = array.astype(bool)
    else:
        if array.min() < 0 or array.max() >= n_variants:
            bad = array[(array < 0) | (array >= n_variants)][0]
            raise PlanError(f"variant number {bad} does not exist; the store's are 0 to {n_variants - 1}")
        mask = np.zeros(n_variants, dtype=bool)
        mask[array] = True
    if not mask.any():
        raise PlanError("the selection keeps no variant at all")
    return mask
