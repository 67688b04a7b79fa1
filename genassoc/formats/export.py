"""A genotype store, or some samples and variants of it, written in a format of others: whole or not at all.

Runs of rows are read, filtered and encoded in threads, and written in the order of the store, into a folder of the export's own
beside the output; when all is there it is synced and renamed.
"""

import contextlib
import os
import shutil
from collections import deque
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

import numpy as np
import polars as pl

from genassoc.data import schema
from genassoc.data.block import take_samples
from genassoc.data.cohort.cohort import Cohort
from genassoc.data.cohort.ploidy import without_half_calls
from genassoc.data.forks import check_not_forked
from genassoc.data.memory import enough_memory, parse_memory, resident_memory, show_memory
from genassoc.data.output import (
    WIP_PREFIX,
    check_outputs,
    host_name,
    output_error,
    process_alive,
    sync_folder,
    target_of,
    wip_path,
)
from genassoc.data.store.store import GenotypeStore
from genassoc.data.store.variant_columns import FILTER
from genassoc.errors import OutputError, PlanError
from genassoc.formats.writing import AS_USUAL, ExportHeader, ExportRows, Writer, Writing, output_format
from genassoc.progress import Progress, Silent

RUN_CALLS = 2**23  # of a run of rows: 2 MB packed, 16 or 32 MB of dosages
_THREAD = 160 * 2**20  # bytes of a run of rows with dosages as it is read, encoded and waits (docs/export.md)


@dataclass(frozen=True, kw_only=True)
class ExportSummary:
    """What was written.

    Attributes
    ----------
    path : Path
    format : str
    n_samples, rows : int
        Written; a row is one ALT.
    n_samples_of, rows_of : int
        Those of the store.
    filters : list of str
        What variants had to fulfil, in words.
    files : list of Path
        All that was made.
    notes : list of str
        What was not kept, and why.
    """

    path: Path
    format: str
    n_samples: int
    rows: int
    n_samples_of: int
    rows_of: int
    filters: list[str] = field(default_factory=list)
    files: list[Path] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)

    def lines(self) -> list[str]:
        """The summary as lines for people."""
        first = f"{self.path}: {self.rows:,} variants x {self.n_samples:,} samples"
        if (self.rows, self.n_samples) != (self.rows_of, self.n_samples_of):
            first += f", of {self.rows_of:,} x {self.n_samples_of:,} in the store"
        text = [first]
        if self.filters:
            text.append(f"variants kept: {'; '.join(self.filters)}")
        others = [path.name for path in self.files if path != self.path]
        if others:
            text.append(f"beside it: {', '.join(others)}")
        return text + self.notes


def export_cohort(
    cohort: Cohort,
    out: str | Path,
    *,
    format: str | None = None,
    threads: int | None = None,
    progress: Progress | None = None,
    overwrite: bool = False,
    memory: str | int | None = None,
    writing: Writing = AS_USUAL,
) -> ExportSummary:
    """Write the samples and variants of a cohort.

    Calls are the store's own: what sex makes impossible (`genassoc.data.cohort.ploidy`) is missing for analyses, and for filters by
    frequency, but not in what is written.

    Parameters
    ----------
    cohort : Cohort
        Its samples, and the variants that its filters keep.
    out : path
        Its end says the format (`genassoc.formats.writing.WRITERS`).
    format : str, optional
        By name.
    threads : int, optional
        The output does not depend on it.
    progress : Progress, optional
    overwrite : bool
        Replace what is there.
    memory : str or int, optional
        A cap for this process, as "1GiB".
    writing : Writing

    Raises
    ------
    OutputError
        The format cannot hold something, a file is there, the disk is full. Nothing is left behind.
    PlanError
        It cannot stay below ``memory``.
    StoreError
        The store is damaged.
    """
    check_not_forked()
    out = target_of(Path(out))
    chosen = output_format(out, format)
    store = cohort.store
    check_outputs([out], [store.path] if isinstance(store.path, Path) else [])
    kind = chosen.load()
    names = kind.files(out.name)
    _check_free([out.with_name(name) for name in names], overwrite)
    n_threads = _threads_below(memory, threads)
    header = _header(cohort, writing)
    sweep(out)
    folder = wip_path(out)
    try:
        folder.mkdir()
    except OSError as error:
        raise output_error(error, out, "Nothing was written.") from error
    try:
        writer = kind(folder, out.name, header)
        try:
            rows = _write_all(cohort, writer, n_threads, progress or Silent(), header.most_alts)
            notes = writer.close()
        except BaseException:
            writer.abandon()
            raise
        files = _publish(folder, out, names)
    except OSError as error:
        raise output_error(error, out, "Nothing was left behind.") from error
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    return ExportSummary(
        path=out, format=chosen.name, n_samples=cohort.n_samples, rows=rows, n_samples_of=int(store.n_samples),
        rows_of=cohort.n_variants, filters=cohort.selection.describe(), files=files,
        notes=[*_sample_notes(cohort), *notes],
    )  # fmt: skip


def _sample_notes(cohort: Cohort) -> list[str]:
    return [note for note in cohort.notes if note.startswith("keep_samples")]


def _header(cohort: Cohort, writing: Writing) -> ExportHeader:
    store = cohort.store
    lengths = store.attributes.get("contig_lengths", {})
    exact = not cohort.selection.on_genotypes
    most = cohort.n_variants
    if exact and not cohort.selection.selects_all:
        most = sum(
            int(np.count_nonzero(cohort.selected_without_genotypes(start, min(start + schema.METADATA_CHUNK, most))))
            for start in range(0, most, schema.METADATA_CHUNK)
        )
        if not most:
            raise OutputError("no variant of the store passes the filters: there is nothing to export.")
    filters: dict[str, None] = {}
    if FILTER in store.annotations:
        for start in range(0, cohort.n_variants, schema.METADATA_CHUNK):
            column = store.annotation(FILTER, start, min(start + schema.METADATA_CHUNK, cohort.n_variants))
            filters |= dict.fromkeys(column.drop_nulls().unique(maintain_order=True).to_list())
    sex = np.zeros(cohort.n_samples, np.int8) if cohort.sex is None else cohort.sex.astype(np.int8)
    return ExportHeader(
        sample_ids=tuple(str(name) for name in cohort.sample_ids),
        sex=sex,
        contigs={name: lengths.get(name) for name in store.contigs},
        most_rows=most,
        most_rows_exact=exact,
        has_dosages=store.has_dosages,
        has_probabilities=store.has_probabilities,
        has_haploid=True,
        annotations=tuple(store.annotations),
        filters=tuple(filters),
        most_alts=_most_alts(store),
        writing=writing,
    )


def _most_alts(store: GenotypeStore) -> int:
    """Rows of one record at most."""
    most, step, at = 1, 2**20, 0
    while at < store.n_variants:
        stop = min(at + step, store.n_variants)
        records = store.records(at, stop)
        edges = np.flatnonzero(np.diff(records)) + 1
        most = max(most, int(np.diff(np.concatenate([[0], edges, [records.size]])).max()))
        at = max(at + 1, at + int(edges[-1])) if edges.size and stop < store.n_variants else stop
    return most


def _threads_below(memory: str | int | None, threads: int | None) -> int:
    """Threads for which there is room."""
    wanted = threads or (len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1)
    if memory is None:
        return max(1, wanted)
    cap, fixed = parse_memory(memory), resident_memory()
    n = (cap - fixed) // _THREAD
    if n < 1:
        raise PlanError(
            f"--memory {show_memory(cap)} is too little to export: the program takes {show_memory(fixed)}, rows as they are read "
            f"and written {show_memory(_THREAD)}. Give at least --memory {enough_memory(fixed + _THREAD)}."
        )
    return int(min(wanted, n))


# rows --------------------------------------------------------------------------------------------------------


def _write_all(cohort: Cohort, writer: Writer[object], n_threads: int, progress: Progress, most_alts: int) -> int:
    """Read, encode and write all rows; how many there were."""
    rows = 0
    progress.begin("export", cohort.n_variants, "variants")
    pool = ThreadPoolExecutor(n_threads, thread_name_prefix="export")
    waiting: deque[tuple[int, Future[tuple[int, object] | None]]] = deque()

    def done() -> int:
        n, future = waiting.popleft()
        made = future.result()
        progress.advance(n)
        if made is None:
            return 0
        writer.write(made[1])
        return made[0]

    try:
        for start, stop in _runs(cohort, most_alts):
            waiting.append((stop - start, pool.submit(partial(_encoded, cohort, writer, start, stop))))
            if len(waiting) > n_threads:
                rows += done()
        while waiting:
            rows += done()
    finally:
        pool.shutdown(wait=True, cancel_futures=True)
        progress.end()
    if not rows:
        raise OutputError("no variant of the store passes the filters: there is nothing to export.")
    return rows


def _runs(cohort: Cohort, most_alts: int) -> Iterator[tuple[int, int]]:
    """Runs of rows (start, stop) of about `RUN_CALLS` calls, which cut no record and end where a contig does."""
    store = cohort.store
    # a number for each ALT of a record, and three probabilities, where there are dosages
    numbers = 4 + most_alts if store.has_dosages else 1
    step = max(1, min(RUN_CALLS // max(store.n_samples * numbers, 1), schema.METADATA_CHUNK))
    if store.has_dosages:  # whose chunks are unpacked whole
        step = max(1, step // store.working_variants) * store.working_variants
    for _, first, last in store.contig_runs():
        start = first
        while start < last:
            stop = min(start + step, last)
            while stop < last and _is_cut(store, stop):
                stop += 1
            yield start, stop
            start = stop


def _is_cut(store: GenotypeStore, at: int) -> bool:
    """Whether the rows before and after ``at`` are of one record."""
    before, after = store.records(at - 1, at + 1)
    return bool(before == after)


def _encoded(cohort: Cohort, writer: Writer[object], start: int, stop: int) -> tuple[int, object] | None:
    """The rows from start to stop that the cohort keeps, encoded, and how many they are; None if there are none."""
    rows = read_rows(cohort, start, stop)
    return None if rows is None else (len(rows), writer.encode(rows))


def read_rows(cohort: Cohort, start: int, stop: int) -> ExportRows | None:
    """The rows from start to stop that the cohort keeps; None if there are none."""
    keep = cohort.selected_without_genotypes(start, stop)
    if not keep.any():
        return None
    store = cohort.store
    if cohort.selection.on_genotypes:
        keep, _ = cohort.select_variants(start, stop, cohort.read(start, stop, dosages=cohort.has_dosages))
        if not keep.any():
            return None
    block = store.read(start, stop)
    dosages = store.read_dosages(start, stop) if store.has_dosages else None
    if not keep.all():
        block = block.take(keep)
        dosages = None if dosages is None else dosages.take(keep)
    if cohort.n_samples < store.n_samples:
        block = take_samples(block, cohort.sample_index)
        dosages = None if dosages is None else dosages.of_samples(cohort.sample_index)
    if dosages is not None and not dosages.steps.any():
        dosages = None
    whole = without_half_calls(block, np.ones(len(block.packed), bool) if dosages is None else dosages.steps == 0)
    kept = None
    # stores of earlier versions do not keep which allele a half call has
    if block.haploid is not None and store.attributes.get(schema.HALF_ALLELES):
        kept = (
            None
            if whole.haploid is not None and np.array_equal(whole.haploid, block.haploid)
            else (block.packed, block.haploid)
        )
    table = _table(store, start, stop)
    haploid = whole.haploid if whole.haploid is not None and whole.haploid.any() else None
    return ExportRows(table if keep.all() else table.filter(keep), whole.packed, haploid, dosages, kept)


def _table(store: GenotypeStore, start: int, stop: int) -> pl.DataFrame:
    """Variants and their annotations, these as text."""
    table = store.variants(start, stop, annotations=store.annotations)
    texts = [pl.col(name).cast(pl.String).fill_null(".") for name in store.annotations]
    return table.with_columns(texts) if texts else table


# the end -----------------------------------------------------------------------------------------------------


def _check_free(paths: list[Path], overwrite: bool) -> None:
    """Refuse to replace what is there, unless asked to; folders only if they are of the format."""
    for path in paths:
        if not os.path.lexists(path):
            continue
        if not overwrite:
            raise OutputError(f"{path} is there already: --force (overwrite=True) replaces it, or choose another name.")
        if path.is_dir() and not _is_vcf_zarr(path):
            raise OutputError(f"{path} is a folder and no VCF Zarr; choose another name.")


def _is_vcf_zarr(path: Path) -> bool:
    for name in (".zattrs", "zarr.json"):
        with contextlib.suppress(OSError):
            if (path / name).is_file() and b'"vcf_zarr_version"' in (path / name).read_bytes()[: 2**20]:
                return True
    return False


def sweep(out: Path) -> None:
    """Remove what killed exports of ``out`` of this machine have left behind."""
    with contextlib.suppress(OSError):
        for folder in out.parent.glob(f"{WIP_PREFIX}*"):
            owner = folder.name.rsplit(".", 3)  # wip_<name>, host, pid, token
            ours = len(owner) == 4 and owner[:2] == [WIP_PREFIX + out.name, host_name()] and owner[2].isdigit()
            if ours and folder.is_dir() and not process_alive(int(owner[2])):
                shutil.rmtree(folder, ignore_errors=True)


def _publish(folder: Path, out: Path, names: tuple[str, ...]) -> list[Path]:
    """Sync what was made and rename it to its place, the main file last; what it replaces goes."""
    _sync(folder)
    made = [name for name in names if (folder / name).exists()]
    for name in names:
        target = out.with_name(name)
        if name not in made or target.is_dir():  # an index of the file that is replaced
            _remove(target, folder)
    for name in made:
        (folder / name).replace(out.with_name(name))
    sync_folder(out.parent)
    return [out.with_name(name) for name in made]


def _remove(path: Path, folder: Path) -> None:
    """Remove what is replaced; a folder is moved away first, so that no reader finds half of it."""
    if path.is_dir() and not path.is_symlink():
        path.replace(folder / f"replaced-{path.name}")
    else:
        path.unlink(missing_ok=True)


def _sync(folder: Path) -> None:
    """Have all files of a folder on the disk."""
    for parent, _, files in os.walk(folder):
        for name in files:
            with (Path(parent) / name).open("rb") as file:
                os.fsync(file.fileno())
        sync_folder(Path(parent))
