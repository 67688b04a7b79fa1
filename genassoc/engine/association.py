"""An association scan as a job: blocks of the cohort through an analysis, into rows of results."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Generic

import numpy as np
import polars as pl

from genassoc.data.analysis import BlockAnalysis, State
from genassoc.data.block import GenotypeBlock
from genassoc.data.cohort.contigs import shown
from genassoc.data.cohort.dosage_statistics import quality_of, sums_of
from genassoc.data.cohort.kinds import by_kind
from genassoc.data.cohort.ploidy import half_calls, refused_calls
from genassoc.data.result_table import RESULT_SCHEMA
from genassoc.data.schema import INFO_SOURCE
from genassoc.engine.job import Counts, TaskOutput
from genassoc.engine.plan import Task
from genassoc.shapes import Array, BoolArray, Int64Array

if TYPE_CHECKING:
    from genassoc.data.cohort.cohort import Cohort
    from genassoc.models.base import BlockResult


_UNPREPARED: Any = None


@dataclass(frozen=True)
class AssociationJob(Generic[State]):
    """Every variant of a cohort through one analysis.

    Attributes
    ----------
    cohort : Cohort
        Store and phenotypes, aligned.
    analysis : BlockAnalysis
        What is computed of a block.
    block_variants : int
        Variants read at a time (``Plan.block_variants``).
    state : optional
        The analysis' state where it has been prepared already.
    """

    cohort: "Cohort"
    analysis: BlockAnalysis[State, "BlockResult"]
    block_variants: int
    state: State = _UNPREPARED

    def prepare(self) -> State:
        """The analysis' state: null models, once per run."""
        return self.analysis.prepare(self.cohort) if self.state is None else self.state

    def do(self, state: State, task: Task) -> TaskOutput:
        """Rows and counts of the task's variants."""
        frames: list[pl.DataFrame] = []
        counts = Counts()
        apart = getattr(state, "by_contig", None) is not None  # a task of a draft assembly holds several small contigs
        for start, stop in self._blocks(task, apart):
            calls, keep, found = read_selected(
                self.cohort,
                start,
                stop,
                task.contig,
                dosages=True,
                probabilities=self._asks_for_probabilities(start, stop),
            )
            counts += found
            if calls is None:
                continue
            variants = self.cohort.store.variants(start, stop)
            if not keep.all():
                variants = variants.filter(pl.Series(keep))
            if not self.cohort.has_dosages:
                frames.append(result_rows(variants, self.analysis.block(state, calls)))
                continue
            quality = imputation_quality(self.cohort, calls, np.flatnonzero(keep) + start)
            parts = [
                (at, result_rows(variants[at], self.analysis.block(state, block), quality[at]))
                for at, block in by_kind(calls)
            ]
            frames.append(in_order(parts))
        rows = pl.concat(frames) if frames else pl.DataFrame(schema=RESULT_SCHEMA)
        return TaskOutput(rows, counts)

    def _asks_for_probabilities(self, start: int, stop: int) -> bool:
        """Whether those of genotypes are read: an additive model has no use for them, nor has quality that the store knows."""
        additive = getattr(getattr(self.analysis, "model", None), "genetic_model", "") == "additive"
        return not additive or bool(self.cohort.selection.on_genotypes) or not kept_sums_hold(self.cohort, start, stop)

    def _blocks(self, task: Task, by_contig: bool) -> Iterator[tuple[int, int]]:
        """The task's pieces (start, stop); none holds two contigs where nulls differ ``by_contig``."""
        for start, stop in task.blocks(self.block_variants):
            if not by_contig:
                yield start, stop
                continue
            while start < stop:
                last = min(stop, self.cohort.end_of_contig(start))
                yield start, last
                start = last

    def label(self, task: Task) -> str:
        """The model and the positions, as "linear chr7:12,000,001-12,400,000"."""
        store = self.cohort.store
        first, last = store.position(task.start), store.position(task.stop - 1)
        return f"{type(self.analysis).__name__.lower()} {shown(task.contig)}:{first:,}-{last:,}"

    def __getstate__(self) -> dict[str, Any]:
        """For a worker, which gets the state apart from the job: what blocks need, and no table of phenotypes."""
        return {**self.__dict__, "cohort": for_blocks(self.cohort), "state": None}


def read_selected(
    cohort: "Cohort", start: int, stop: int, contig: str, *, dosages: bool = False, probabilities: bool = True
) -> tuple[GenotypeBlock | None, BoolArray, Counts]:
    """The selected variants from start to stop, on a contig, with their dosages where these are asked for.

    Returns
    -------
    block : GenotypeBlock or None
        Those that are kept; None where none is.
    keep : bool array (stop - start,)
    counts : Counts
        What became of them.
    """
    if cohort.selected_without_genotypes(start, stop).any():
        calls = cohort.read(start, stop, dosages=dosages, probabilities=probabilities)
    else:  # dropped without their calls, as by a region: they are not read
        calls = GenotypeBlock(np.empty((0, 0), dtype=np.uint8), 0, start)
    keep, dropped = cohort.select_variants(start, stop, calls)
    n_kept = int(np.count_nonzero(keep))
    reasons = {str(reason): n for reason, n in dropped.group_by("reason").len().iter_rows()}
    by_contig = {reason: {contig: n} for reason, n in reasons.items()}
    half = half_calls(calls, contig)  # of those left out too: they may be why
    counts = Counts(stop - start, n_kept, 0, reasons, half, by_contig)
    if n_kept == 0:
        return None, keep, counts
    if n_kept < stop - start:
        calls = calls.take(keep)
    return calls, keep, counts + Counts(refused=refused_calls(calls))


def for_blocks(cohort: "Cohort") -> "Cohort":
    """The cohort with what reading and selecting blocks needs; its tables keep their columns and lose their rows."""
    return replace(
        cohort,
        phenotypes=replace(cohort.phenotypes, table=cohort.phenotypes.table.clear(), lines=None),
        rows=cohort.rows[:0],
        sample_ids=cohort.sample_ids[:0],
        sample_ledger=cohort.sample_ledger.clear(),
        offsets=None,
        kinship=None,
    )


def imputation_quality(cohort: "Cohort", block: GenotypeBlock, numbers: Int64Array) -> pl.DataFrame:
    """r2, info and, where the store has it, info_source of a block's variants, whose numbers are given (V,): of the cohort's samples."""
    assert block.dosages is not None
    first, last = int(numbers[0]), int(numbers[-1]) + 1
    kept = cohort.store.dosage_sums(first, last) if kept_sums_hold(cohort, first, last) else None
    sums = sums_of(block, cohort.block_columns) if kept is None else kept[numbers - first]
    quality = quality_of(sums, block.dosages.steps)
    if INFO_SOURCE not in cohort.store.annotations:
        return quality
    stated = cohort.store.annotation(INFO_SOURCE, first, last)
    return quality.with_columns(stated[numbers - first])


def kept_sums_hold(cohort: "Cohort", start: int, stop: int) -> bool:
    """Whether the sums that the store keeps of these variants are of the cohort: it has all samples, and no rule of sex or ploidy is at work."""
    return cohort.n_samples == cohort.store.n_samples and not cohort.ploidy.kinds(start, stop)


def in_order(parts: Sequence[tuple[Int64Array, pl.DataFrame]]) -> pl.DataFrame:
    """Rows of results of the parts of a block, in the order of its variants: ``parts`` are numbers of variants (V,) and V * T * K rows."""
    if len(parts) == 1:
        return parts[0][1]
    variants = np.concatenate([np.repeat(at, rows.height // at.size) for at, rows in parts])
    return pl.concat([rows for _, rows in parts])[np.argsort(variants, kind="stable")]


def result_rows(variants: pl.DataFrame, result: "BlockResult", quality: pl.DataFrame | None = None) -> pl.DataFrame:
    """Rows of the results table: variant by variant, and for each the analysis' rows in its order.

    Parameters
    ----------
    variants : DataFrame
        V rows: chromosome, base_pair_location, effect_allele, other_allele, rsid.
    result : BlockResult
        Columns (V, T * K), labels of that length.
    quality : DataFrame or None
        V rows of further columns, behind those of the analysis.

    Returns
    -------
    DataFrame
        V * T * K rows; the columns of the schema, null where the analysis gives none, then the analysis' own.
        NaN is null.

    Raises
    ------
    ValueError
        If a column of the analysis has another shape.
    """
    n_variants, n_rows = variants.height, _rows_per_variant(result)
    columns = _variant_columns(variants, n_rows)
    for name, label in result.labels.items():
        values = pl.Series(name, list(label), dtype=pl.String)
        columns[name] = values.gather(np.tile(np.arange(n_rows), n_variants))
    for name, array in result.columns.items():
        if array.shape != (n_variants, n_rows):
            raise ValueError(f"column '{name}' of the analysis is {array.shape}, not {(n_variants, n_rows)}")
        columns[name] = _column(name, array.reshape(-1), result.categories)
    ordered = [columns.pop(name, None) for name in RESULT_SCHEMA]
    nulls = {
        name: pl.Series(name, [None], dtype=dtype).new_from_index(0, n_variants * n_rows)
        for (name, dtype), series in zip(RESULT_SCHEMA.items(), ordered)
        if series is None
    }
    known = [nulls[name] if series is None else series for name, series in zip(RESULT_SCHEMA, ordered)]
    more = [] if quality is None else quality[np.repeat(np.arange(n_variants), n_rows)].get_columns()
    frame = pl.DataFrame([*known, *columns.values(), *more])
    return frame.cast(dict(RESULT_SCHEMA))  # type: ignore[arg-type]


def _rows_per_variant(result: "BlockResult") -> int:
    """The length of the labels."""
    lengths = {len(label) for label in result.labels.values()}
    if len(lengths) != 1:
        raise ValueError(f"the labels of the analysis are of unequal lengths: {sorted(lengths)}")
    return lengths.pop()


def _variant_columns(variants: pl.DataFrame, n_rows: int) -> dict[str, pl.Series]:
    """What the rows say of their variant, each variant ``n_rows`` times."""
    allele = pl.col("effect_allele")
    place = [
        pl.col("chromosome"),
        pl.col("base_pair_location").cast(pl.String),
        pl.col("other_allele"),
        allele,
    ]
    named = variants.select(
        "chromosome",
        "base_pair_location",
        "effect_allele",
        "other_allele",
        pl.concat_str(place, separator="_").alias("variant_id"),
        pl.when(pl.col("rsid").is_in([".", ""])).then(None).otherwise(pl.col("rsid")).alias("rsid"),
    )
    if n_rows != 1:
        named = named[np.repeat(np.arange(variants.height), n_rows)]
    return {series.name: series for series in named}


def _column(name: str, values: Array, categories: Mapping[str, tuple[str | None, ...]]) -> pl.Series:
    """One column of the analysis as polars: codes by name, NaN as null."""
    if name in categories:
        return pl.Series(name, list(categories[name]), dtype=pl.String).gather(values.astype(np.int64))
    series = pl.Series(name, values)
    return series.fill_nan(None) if series.dtype.is_float() else series
