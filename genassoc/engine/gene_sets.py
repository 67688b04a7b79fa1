"""Tests of sets of variants as a job: neighbouring sets read together, one table of rows a task."""

from collections.abc import Iterator
from dataclasses import dataclass, replace

import numpy as np
import polars as pl

from genassoc.data.block import X_OUTSIDE_PAR, Block, GenotypeBlock, places_of
from genassoc.data.cohort.contigs import shown
from genassoc.data.cohort.kinds import together
from genassoc.data.result_table import SET_SCHEMA
from genassoc.engine.job import MISSING_CALLS, Counts, TaskOutput
from genassoc.engine.plan import Task
from genassoc.engine.sets import WholeSets
from genassoc.models.base import CODES, METHODS
from genassoc.models.scan.genome import ScanState
from genassoc.models.sets.analysis import SetRows, SetTests
from genassoc.models.sets.choices import SetChoices
from genassoc.shapes import Int64Array

_NUMBER = "\0set"  # a column that no table has


@dataclass(frozen=True)
class GeneSetJob(WholeSets[ScanState]):
    """Every test of every set; a set has its rows whether or not a variant of it is left."""

    analysis: SetTests  # type: ignore[assignment]

    def do(self, state: ScanState, task: Task) -> TaskOutput:
        """Rows of the task's sets, in the order of the sets, and counts of their variants."""
        frames: list[pl.DataFrame] = []
        counts = Counts()
        for sets, block, kept, tally in self._read(task):
            counts += tally
            frame, missing = self._rows(state, block, kept, sets, task)
            frames.append(frame)
            if missing:
                counts += Counts(refused={MISSING_CALLS: missing})
        return TaskOutput(pl.concat(frames), counts)

    def label(self, task: Task) -> str:
        """The model and the positions, as "linear sets of chr7:12,000,001-12,400,000"."""
        store = self.cohort.store
        first, last = store.position(task.start), store.position(task.stop - 1)
        model = type(self.analysis.model).__name__.lower()
        return f"{model} sets of {shown(task.contig)}:{first:,}-{last:,}"

    def __getstate__(self) -> dict[str, object]:
        """For a worker: the cohort's sets are the analysis' own."""
        content = super().__getstate__()
        return {**content, "cohort": replace(content["cohort"], sets=None)}

    def _rows(
        self, state: ScanState, block: GenotypeBlock | None, kept: Int64Array, sets: range, task: Task
    ) -> tuple[pl.DataFrame, int]:
        """Rows of a run of sets in their order, and how many calls of tested variants are missing."""
        found = [self._found(number, kept) for number in sets]
        if block is None:
            columns = self.cohort.block_width
            block = replace(GenotypeBlock.from_codes(np.zeros((0, columns), np.uint8)), contig=task.contig)
        ids = self._ids(kept)
        frames, missing = [], 0
        for some, mine, at in sets_by_kind_of_block(block, found):
            rows = self.analysis.rows(state, some, mine)
            missing += rows.n_missing
            frames.append(self._frame(state, rows, ids if at is None else ids.gather(at)))
        frame = frames[0] if len(frames) == 1 else pl.concat(frames).sort(_NUMBER, maintain_order=True)
        return frame.drop(_NUMBER), missing

    def _found(self, number: int, kept: Int64Array) -> tuple[int, Int64Array, Int64Array]:
        """Which members of a set are kept, and their places among the variants kept."""
        members = self.members[number]
        at = np.searchsorted(kept, members)
        there = at < kept.size
        there[there] = kept[at[there]] == members[there]
        return number, np.flatnonzero(there), at[there]

    def _ids(self, kept: Int64Array) -> pl.Series:
        """Names of variants, as results have them."""
        if not kept.size:
            return pl.Series(dtype=pl.String)
        start = int(kept[0])
        variants = self.cohort.store.variants(start, int(kept[-1]) + 1)[kept - start]
        place = ["chromosome", pl.col("base_pair_location").cast(pl.String), "other_allele", "effect_allele"]
        return variants.select(pl.concat_str(place, separator="_"))["chromosome"]

    def _frame(self, state: ScanState, rows: SetRows, ids: pl.Series) -> pl.DataFrame:
        """Rows as a table of results, with the numbers of their sets."""
        columns, matched, choices = rows.columns, self.analysis.matched, self.analysis.choices
        numbers = columns["set"]
        first = int(numbers[0])
        mine = range(first, int(numbers[-1]) + 1)
        at = numbers - first
        names = pl.concat([ids, pl.Series([f"({n} rare variants as one)" for n in rows.collapsed], dtype=pl.String)])
        top = pl.DataFrame([_texts(names, rows.top[:, k], str(k)) for k in range(rows.top.shape[1])])
        bins = np.array([*choices.max_maf, *([np.nan] if choices.singletons else []), np.nan])
        made = {
            "set_id": _texts(pl.Series([str(matched.ids[number]) for number in mine]), at),
            "chromosome": _texts(pl.Series([str(matched.contigs[number]) for number in mine]), at),
            "start": pl.Series([self._position(number, 0) for number in mine]).gather(at),
            "end": pl.Series([self._position(number, -1) for number in mine]).gather(at),
            "mask": _texts(pl.Series([_mask_name(mask.name, choices, b) for mask in matched.masks for b in range(choices.n_bins)]), _of_bin(columns, choices.n_bins)),
            "max_maf": pl.Series(bins[columns["bin"]]).fill_nan(None),
            "trait": _texts(pl.Series(state.traits), columns["trait"]),
            "test": _texts(pl.Series(rows.tests), columns["test"]),
            "left_out": _texts(ids, columns["left_out"]),
            "n_carriers_controls": _counted(np.where(columns["n_carriers_cases"] < 0, -1, columns["n_carriers"] - columns["n_carriers_cases"])),
            "method": _texts(pl.Series(METHODS, dtype=pl.String), columns["method"]),
            "code": _texts(pl.Series(CODES, dtype=pl.String), columns["code"]),
            "top_variants": top.select(pl.concat_str(pl.all(), separator=", ", ignore_nulls=True)).to_series().replace("", None),
        }  # fmt: skip
        for name in ("n_variants", "n", "n_carriers", "n_carriers_cases"):
            made[name] = _counted(columns[name])
        for name in ("beta", "standard_error", "statistic", "neg_log_10_p_value", "mac"):
            made[name] = pl.Series(columns[name]).fill_nan(None)
        frame = pl.DataFrame({name: made[name] for name in SET_SCHEMA}).cast(dict(SET_SCHEMA))  # type: ignore[arg-type]
        return frame.with_columns(pl.Series(_NUMBER, numbers))

    def _position(self, number: int, which: int) -> int:
        return self.cohort.store.position(int(self.members[number][which]))


def sets_by_kind_of_block(
    block: GenotypeBlock, found: list[tuple[int, Int64Array, Int64Array]]
) -> Iterator[tuple[Block, list[tuple[int, Int64Array, Int64Array]], Int64Array | None]]:
    """Sets of calls together, those on X apart, and each set with dosages by itself: block, sets with their rows of it, and which rows of
    all these are."""
    on_x = places_of(block).ploidy == X_OUTSIDE_PAR
    has = np.zeros(block.n_variants, bool) if block.dosages is None else block.dosages.steps > 0
    calls = replace(block, dosages=None)
    for of_x in (False, True):
        mine = [one for one in found if not has[one[2]].any() and bool(on_x[one[2]].any()) == of_x]
        if mine:
            yield calls, mine, None
    for number, which, rows in found:
        if has[rows].any():
            yield together(block.take(rows)), [(number, which, np.arange(rows.size))], rows


def _texts(words: pl.Series, numbers: np.ndarray, name: str = "") -> pl.Series:
    """Words by their numbers; null for -1."""
    at = pl.Series(np.where(numbers < 0, 0, numbers).astype(np.int64)).set(pl.Series(numbers < 0), None)
    if not len(words):
        return pl.Series(name, [None], dtype=pl.String).new_from_index(0, len(numbers))
    return words.cast(pl.String).gather(at).alias(name)


def _counted(values: np.ndarray) -> pl.Series:
    """Counts; null for -1."""
    return pl.Series(values).cast(pl.Int64).set(pl.Series(values < 0), None)


def _of_bin(columns: dict[str, np.ndarray], n_bins: int) -> np.ndarray:
    """Mask and bin as one number; -1 of all masks."""
    return np.where(columns["mask"] < 0, -1, columns["mask"] * n_bins + columns["bin"])


def _mask_name(name: str, choices: SetChoices, bin_: int) -> str:
    """A mask's name, of its bin of singletons with ".singleton" behind it, as REGENIE has it."""
    return name if bin_ < len(choices.max_maf) else f"{name}.singleton"
