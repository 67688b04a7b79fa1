"""Kinship of all pairs of samples: KING-robust, and adjusted for principal components beside it."""

import contextlib
import hashlib
import math
import tempfile
import warnings
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import polars as pl

from genassoc.analyses.kinship.adjusted import IndividualFrequencies, individual_frequencies
from genassoc.analyses.kinship.pairs import (
    FIRST_DEGREE,
    RELATIONSHIPS,
    SECOND_DEGREE,
    THIRD_DEGREE,
    Pairs,
    pairs_of_tiles,
)
from genassoc.analyses.kinship.tiles import Frequencies, TiledBlock, TiledCalls, Tiler, mapped, tiled_block
from genassoc.data.cohort.cohort import Cohort
from genassoc.data.cohort.matching import first_few
from genassoc.data.forks import check_not_forked
from genassoc.data.output import check_outputs, check_writable, replacing, target_of
from genassoc.data.result_table import write_table
from genassoc.engine.association import for_blocks, read_selected
from genassoc.engine.executors import Executor, Serial, Threads, single_threaded_blas
from genassoc.engine.job import Counts, TaskOutput
from genassoc.engine.parts import WorkFolder
from genassoc.engine.plan import Plan, Task, fingerprint
from genassoc.engine.run import in_order, run
from genassoc.errors import InputError, KinshipWarning
from genassoc.kernels.genotypes.sample_pairs import TILE_SAMPLES
from genassoc.progress import Progress, Silent
from genassoc.shapes import Float64Array, packed_bytes
from genassoc.verbs.arguments import check_cohort, check_executor
from genassoc.verbs.stores import chosen_of_store

_IN_MEMORY = 2**31  # bytes of packed calls; more of them lie in a file that memory is mapped to
_MOST_ALL = 50_000_000  # pairs of a table in memory
_CALLS = "pass-1-calls"
_LABEL = "pairs of samples"
_SCHEMA = {
    "sample_id_1": pl.String, "sample_id_2": pl.String, "n_variants": pl.Int64, "hethet": pl.Float64, "ibs0": pl.Float64,
    "kinship": pl.Float64, "kinship_adjusted": pl.Float64, "relationship": pl.String,
}  # fmt: skip


@dataclass(frozen=True)
class Kinship:
    """What was found, and how.

    Attributes
    ----------
    n_samples, n_variants, n_pairs : int
        Samples compared, variants used, rows.
    relationships : mapping of str to int
        Rows of each relationship.
    standard_error : float
        Of the kinship of an unrelated pair, were all variants independent.
    notes : tuple of str
        What is to be known of it.
    """

    n_samples: int
    n_variants: int
    n_pairs: int
    relationships: dict[str, int]
    standard_error: float
    notes: tuple[str, ...]

    def lines(self) -> list[str]:
        """In words."""
        n_all = self.n_samples * (self.n_samples - 1) // 2
        found = [
            f"{self.relationships[name]:,} {name.replace('_', ' ')}"
            for name in reversed(RELATIONSHIPS)
            if self.relationships.get(name)
        ]
        return [
            f"{n_all:,} pairs of {self.n_samples:,} samples compared at {self.n_variants:,} variants",
            *self.notes,
            f"{self.n_pairs:,} pairs listed" + (f": {', '.join(found)}" if found else ""),
        ]


_State = tuple[TiledCalls | None, IndividualFrequencies | None]


@dataclass(frozen=True)
class _KinshipJob:
    """Kinship as a job: a task is the pairs whose first sample is in a tile of samples."""

    ids: tuple[str, ...]
    least: float
    unrelated_ibs0: float
    calls: TiledCalls | None
    frequencies: IndividualFrequencies | None

    def prepare(self) -> _State:
        return self.calls, self.frequencies

    def do(self, state: _State, task: Task) -> TaskOutput:
        calls, frequencies = state
        assert calls is not None
        pairs = pairs_of_tiles(calls, task.start // TILE_SAMPLES, self.least, frequencies)
        rows = self.rows(pairs, frequencies is not None)
        return TaskOutput(rows, Counts(pairs.n, pairs.n, pairs.n))

    def rows(self, pairs: Pairs, adjusted: bool) -> pl.DataFrame:
        names = pl.Series(self.ids, dtype=pl.String)
        over = np.maximum(pairs.n_variants, 1)
        frame = pl.DataFrame(
            {
                "sample_id_1": names.gather(pairs.left),
                "sample_id_2": names.gather(pairs.right),
                "n_variants": pairs.n_variants,
                "hethet": pairs.hethet / over,
                "ibs0": pairs.ibs0 / over,
                "kinship": pairs.kinship,
                "kinship_adjusted": pairs.adjusted,
                "relationship": pl.Series(RELATIONSHIPS, dtype=pl.String).gather(
                    pairs.relationships(self.unrelated_ibs0)
                ),
            },
            schema=_SCHEMA,
        ).with_columns(pl.col("kinship", "kinship_adjusted").fill_nan(None))
        return frame if adjusted else frame.drop("kinship_adjusted")

    def label(self, task: Task) -> str:
        return f"kinship of samples {task.start + 1:,}-{task.stop:,}"

    def __getstate__(self) -> dict[str, object]:
        return {**self.__dict__, "calls": None, "frequencies": None}


def kinship(
    cohort: Cohort,
    *,
    min_kinship: float | None = THIRD_DEGREE,
    components: pl.DataFrame | None = None,
    executor: Executor | None = None,
    progress: Progress | None = None,
) -> pl.DataFrame:
    """KING-robust kinship of all pairs of samples, and those that are related.

    Parameters
    ----------
    cohort : Cohort
        Its selected variants on autosomes are used; best some ten thousand that are pruned (`genassoc.ld_prune`) and frequent.
    min_kinship : float or None
        Pairs with less are not listed; by default 0.0442, the least of the third degree. None lists all pairs.
    components : DataFrame, optional
        Principal components of the samples, sample_id (or IID) and a column each: adds PC-adjusted kinship, for cohorts of several or
        mixed ancestries; a pair is listed if either kinship is large enough.
    executor, progress : optional

    Returns
    -------
    DataFrame
        sample_id_1, sample_id_2 (in the order of the store), n_variants (observed in both), hethet and ibs0 (shares of these, as PLINK 2 and
        KING give them), kinship (null where a sample has no heterozygous call), kinship_adjusted (with ``components``), relationship:
        duplicate (or identical twins), parent_offspring, full_siblings, second_degree, third_degree, unrelated.

    Raises
    ------
    InputError
        Less than two samples, no polymorphic variant on an autosome; or the components are none of these samples'.

    Warns
    -----
    KinshipWarning
        Too few variants to tell relatives of the third degree from others; samples without a heterozygous call.
    """
    check_not_forked()
    check_cohort(cohort, "kinship(cohort)")
    check_executor(executor)
    if min_kinship is None and (n := cohort.n_samples * (cohort.n_samples - 1) // 2) > _MOST_ALL:
        raise InputError(
            f"all {n:,} pairs would be rows of a table in memory: give min_kinship, or write a file (genassoc kinship --all-pairs --out)"
        )
    with _prepared(cohort, min_kinship, components, executor, progress, None) as (job, plan, found):
        state = job.prepare()

        def rows(task: Task) -> pl.DataFrame:
            return job.do(state, task).rows

        with single_threaded_blas():
            made = in_order(rows, plan.tasks, executor or Threads(), progress or Silent(), label=_LABEL, unit="samples")
            table = pl.concat(made)
    for note in found.notes[1:]:
        warnings.warn(note, KinshipWarning, stacklevel=2)
    return table


def kinship_to_file(
    store: Path | Cohort,
    out: Path,
    *,
    min_kinship: float | None = THIRD_DEGREE,
    components: pl.DataFrame | Path | None = None,
    variants: Path | None = None,
    keep: Path | None = None,
    unrelated_out: Path | None = None,
    restart: bool = False,
    executor: Executor | None = None,
    progress: Progress | None = None,
) -> Kinship:
    """`kinship` of a cohort, or of a store's samples or those of a list, into a file; a killed run is taken up from ``<out>.work``.

    ``unrelated_out`` gets the ids of the samples that `Cohort.keep_unrelated` keeps, one a line: no two have a kinship above
    ``min_kinship`` (of all pairs: the third degree's).
    """
    if isinstance(store, Cohort):
        cohort, inputs = store, []
    else:
        inputs = [path for path in (store, variants, keep, components) if isinstance(path, Path)]
        check_outputs([out, *([unrelated_out] if unrelated_out is not None else [])], inputs)
        if unrelated_out is not None:
            check_writable(unrelated_out)
        cohort = chosen_of_store(store, variants=variants, keep=keep)
    least = THIRD_DEGREE if min_kinship is None else float(min_kinship)
    if unrelated_out is not None and least < 0.0:
        raise InputError(
            f"min_kinship is {least:g}: unrelated samples have a kinship about 0, so that a least kinship below 0 chooses none; leave it out "
            "(0.0442, the third degree), or list all pairs"
        )
    work = WorkFolder.beside(out)
    if restart:
        work.remove()
    work.ensure()
    with work.lock():
        try:
            with _prepared(cohort, min_kinship, components, executor, progress, work) as (job, plan, found):
                run(job, plan, executor or Threads(), work, progress or Silent(), label=_LABEL, unit="samples")
                tally: dict[str, int] = {}

                def parts() -> Iterator[pl.DataFrame]:
                    for task in plan.tasks:
                        rows = work.part_rows(plan, task)
                        for name, n in rows["relationship"].value_counts().iter_rows():
                            tally[name] = tally.get(name, 0) + n
                        yield rows

                write_table(out, parts(), f"The finished parts are kept in {work.path}.")
        except BaseException:
            if not work.has_parts():
                work.remove()
            raise
        work.remove()
    notes = (*found.notes, *cohort.notes) if not isinstance(store, Cohort) else found.notes
    if unrelated_out is not None:
        apart = cohort.keep_unrelated(out, least)
        with replacing(target_of(unrelated_out)) as file:
            file.write("".join(f"{name}\n" for name in apart.sample_ids).encode())
        notes = (*notes, f"{unrelated_out}: {apart.n_samples:,} samples of which no two have a kinship above {least:g}")
    return Kinship(found.n_samples, found.n_variants, sum(tally.values()), tally, found.standard_error, notes)


@contextlib.contextmanager
def _prepared(
    cohort: Cohort,
    min_kinship: float | None,
    components: pl.DataFrame | Path | None,
    executor: Executor | None,
    progress: Progress | None,
    work: WorkFolder | None,
) -> Iterator[tuple[_KinshipJob, Plan, Kinship]]:
    """The job, its plan, and what is known of it beforehand; the calls lie in memory, or in a file while the block lasts."""
    least = -np.inf if min_kinship is None else float(min_kinship)
    if np.isnan(least) or least > 0.5:
        raise InputError(
            f"min_kinship is {min_kinship}: a kinship is at most 0.5 (of duplicates); None lists all pairs"
        )
    if cohort.n_samples < 2:
        raise InputError("kinship is of pairs of samples, and the cohort has only one")
    runs = [run for run in cohort.store.contig_runs() if run[2] > run[1]]
    taken = [run for run in runs if cohort.contigs.autosomal(run[0])]
    elsewhere = sum(stop - start for _, start, stop in runs) - sum(stop - start for _, start, stop in taken)
    if not taken:
        raise InputError(
            f"kinship is of variants on autosomes, and the store has none ({elsewhere:,} on {first_few([name for name, *_ in runs])})"
        )
    by_component = None if components is None else _components(cohort, components)
    mark = fingerprint(
        analysis="kinship", cohort=cohort.fingerprint, least=repr(least),
        components="" if by_component is None else hashlib.sha256(by_component.tobytes()).hexdigest(),
    )  # fmt: skip
    tasks = tuple(
        Task(number, first, min(first + TILE_SAMPLES, cohort.n_samples), "of the pairs")
        for number, first in enumerate(range(0, cohort.n_samples, TILE_SAMPLES))
    )
    plan = Plan(tasks, mark, TILE_SAMPLES)
    if work is not None:
        work.open(plan)
    with contextlib.ExitStack() as stack:
        file = _file_of_calls(cohort, taken, executor, work, stack)
        calls, counts = _read_calls(cohort, taken, executor or Threads(), progress or Silent(), file)
        frequencies = Frequencies.of(calls.variants)
        if not frequencies.polymorphic:
            raise InputError(_nothing(cohort, calls, counts))
        by_sample = None
        if by_component is not None:
            with single_threaded_blas():
                try:
                    by_sample = individual_frequencies(calls, by_component)
                except ValueError:
                    raise InputError(
                        "the components are collinear, or one is the same in all samples: leave some out"
                    ) from None
        ids = tuple(str(name) for name in cohort.sample_ids)
        notes = _notes(cohort, calls, counts, frequencies, elsewhere)
        job = _KinshipJob(ids, least, frequencies.unrelated_ibs0, calls, by_sample)
        yield job, plan, Kinship(cohort.n_samples, calls.n_variants, 0, {}, frequencies.standard_error, notes)


def _file_of_calls(
    cohort: Cohort,
    runs: list[tuple[str, int, int]],
    executor: Executor | None,
    work: WorkFolder | None,
    stack: contextlib.ExitStack,
) -> Path | None:
    """Where the calls lie if memory is not to hold them: in the work folder, which all workers see, else in a temporary one."""
    n = sum(stop - start for _, start, stop in runs)
    if cohort.selection.mask is not None:
        n = int(np.count_nonzero(cohort.selection.mask))
    if n * packed_bytes(cohort.n_samples) <= _IN_MEMORY:
        return None
    if work is not None:
        folder = work.path / _CALLS
        folder.mkdir(exist_ok=True)
        return folder / "calls.bin"
    if executor is not None and not isinstance(executor, Serial | Threads):
        raise InputError(
            f"{n:,} variants of {cohort.n_samples:,} samples are more than workers are sent: select fewer (some ten thousand, pruned, "
            "are enough), or write a file, beside which they find the calls (genassoc kinship --out)"
        )
    return Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="genassoc-kinship-"))) / "calls.bin"


def _read_calls(
    cohort: Cohort, runs: list[tuple[str, int, int]], executor: Executor, progress: Progress, file: Path | None
) -> tuple[TiledCalls, Counts]:
    """The selected calls, laid out for pairs, and what became of the variants."""
    plan = Plan.by_block(runs, cohort.store.block_variants)
    step = plan.block_variants if not cohort.has_dosages else cohort.store.working_variants
    lean, columns = for_blocks(cohort), cohort.block_columns

    def do(task: Task) -> tuple[list[TiledBlock], Counts]:
        found, counts = [], Counts()
        for start, stop in task.blocks(step):
            block, _, tally = read_selected(lean, start, stop, task.contig)
            counts += tally
            if block is not None:
                found.append(tiled_block(block, columns))
        return found, counts

    counts = Counts()
    with contextlib.ExitStack() as stack:
        stream = None if file is None else stack.enter_context(replacing(file, private=True))
        tiler = Tiler(cohort.n_samples, stream)
        for blocks, tally in in_order(do, plan.tasks, executor, progress, label="reading"):
            counts += tally
            for block in blocks:
                tiler.put(block)
        calls = tiler.finish()
    if file is not None and calls.n_variants:
        calls = replace(calls, file=file, chunks=mapped(file, cohort.n_samples, calls.n_variants))
    return calls, counts


def _nothing(cohort: Cohort, calls: TiledCalls, counts: Counts) -> str:
    """Why there is no kinship."""
    if not calls.n_variants:
        reasons = ", ".join(f"{reason} left out {n:,}" for reason, n in counts.dropped.items() if n)
        return f"no variant on an autosome is left: {reasons or '; '.join(cohort.selection.describe())}"
    return (
        f"none of {calls.n_variants:,} variants differs among the {cohort.n_samples:,} samples, so that nothing tells who is related: "
        "use variants that are frequent among them"
    )


def _notes(
    cohort: Cohort, calls: TiledCalls, counts: Counts, frequencies: Frequencies, elsewhere: int
) -> tuple[str, ...]:
    """How precise, first; then what to beware of."""
    error = frequencies.standard_error
    used = f"kinship of an unrelated pair has a standard error of {error:.4f} or more ({frequencies.polymorphic:,} polymorphic variants"
    used += f"; {elsewhere:,} on X, Y or MT were not used" if elsewhere else ""
    left_out = ", ".join(f"{reason}: {n:,}" for reason, n in counts.dropped.items() if n)
    notes = [used + (f"; left out by {left_out})" if left_out else ")")]
    middle = frequencies.unrelated_kinship
    by_chance = [
        _expected(cohort.n_samples, (bound - middle) / error) for bound in (THIRD_DEGREE, SECOND_DEGREE, FIRST_DEGREE)
    ]
    if by_chance[0] >= 1:
        safe = next((name for name, n in zip(("second", "first"), by_chance[1:]) if n < 1), "")
        notes.append(
            f"at {frequencies.polymorphic:,} polymorphic variants up to about {by_chance[0]:,.0f} pairs of no relation reach a kinship of 0.0442, the "
            "third degree, by chance (more if variants are in LD; half of it or fewer if they are not): "
            + (f"trust the {safe} degree and closer, or use more variants" if safe else "use more variants")
        )
    bare = np.flatnonzero(calls.totals[0] == 0)
    if bare.size:
        notes.append(
            f"{bare.size:,} samples have no heterozygous call ({first_few(cohort.sample_ids[bare])}): their kinship is not known, and their "
            "pairs are listed only where all pairs are"
        )
    return tuple(notes)


def _expected(n_samples: int, z: float) -> float:
    """Pairs of unrelated samples expected beyond z standard errors."""
    return n_samples * (n_samples - 1) / 4 * math.erfc(z / math.sqrt(2))


def _components(cohort: Cohort, components: pl.DataFrame | Path) -> Float64Array:
    """Components (N, K) of the cohort's samples.

    Raises
    ------
    InputError
        They lack samples, or have a value that is no finite number.
    """
    from genassoc.data.phenotypes.phenotypes import Phenotypes

    table = Phenotypes.read(getattr(components, "scores", components))
    at = {name: row for row, name in enumerate(table.table[table.sample_id].to_list())}
    absent = [str(name) for name in cohort.sample_ids if str(name) not in at]
    if absent:
        raise InputError(
            f"{table.source}: no components of {len(absent):,} of {cohort.n_samples:,} samples, as {first_few(absent)}: all need them"
        )
    names = [
        name
        for name in table.table.columns
        if name != table.sample_id and name.upper().lstrip("#") not in ("FID", "IID")
    ]
    rows = table.table[[at[str(name)] for name in cohort.sample_ids]]
    values = np.empty((cohort.n_samples, len(names)))
    for k, name in enumerate(names):
        column = rows[name].cast(pl.Float64, strict=False).fill_null(float("nan")).to_numpy()
        if not np.isfinite(column).all():
            first = int(np.flatnonzero(~np.isfinite(column))[0])
            raise InputError(f"{table.source}: {name} of {cohort.sample_ids[first]} is no finite number")
        values[:, k] = column
    if not 0 < len(names) < cohort.n_samples - 1:
        raise InputError(
            f"{table.source}: {len(names)} components of {cohort.n_samples} samples; some fewer than samples are needed"
        )
    return values
