"""The work folder: one parquet file for each finished task, and merging them into one table.

::

    cohort.parquet.work/
      plan.json            the plan, for job arrays and for a rerun
      driver.lock          while a driver runs
      broadcast-...        what worker processes of a cluster need, while a driver runs
      part-00003.parquet   the rows of task 3, as the table will have them; its metadata: of which plan, which variants, what was dropped
      wip_part-...         unfinished; removed by the next run
"""

import contextlib
import hashlib
import json
import os
import shutil
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, BinaryIO

import polars as pl

from genassoc.data import strangers
from genassoc.data.integrity import Digesting, FileDigest
from genassoc.data.output import output_error, replacing, sweep_unfinished, target_of
from genassoc.data.parquet import MOST_FOOTER, Footer, ParquetFile, encoded, footer_bytes, pieces_of, read_footer
from genassoc.data.result_table import ParquetTable, TextTable, open_table
from genassoc.data.strangers import MalformedError
from genassoc.engine.broadcast import BROADCAST_NAME
from genassoc.engine.job import Counts, TaskOutput
from genassoc.engine.lock import LOCK_NAME, DriverLock
from genassoc.engine.plan import Plan, Task
from genassoc.errors import GenassocError, PlanError
from genassoc.progress import Progress, phase

PLAN_NAME = "plan.json"
WORK_SUFFIX = ".work"
PASS_NAME = "pass-"
METADATA_KEY = b"genassoc.part"
KEPT = "The finished parts are kept in {folder}; the same command carries on from there."


@dataclass(frozen=True)
class Status:
    """How far a work folder is.

    Attributes
    ----------
    n_tasks, n_done : int
        Tasks of the plan, and those finished.
    n_variants, n_variants_done : int
        The same in variants.
    damaged : tuple of int
        Tasks whose file is damaged or of another plan; they count as missing.
    parts : tuple of (int, int)
        For each part of a job array: tasks done, tasks in all.
    """

    n_tasks: int
    n_done: int
    n_variants: int
    n_variants_done: int
    damaged: tuple[int, ...]
    parts: tuple[tuple[int, int], ...]

    @property
    def complete(self) -> bool:
        """Whether nothing is missing."""
        return self.n_done == self.n_tasks

    @property
    def missing_parts(self) -> tuple[int, ...]:
        """The job array's parts that have tasks left to do."""
        return tuple(part for part, (done, total) in enumerate(self.parts) if done < total)


class WorkFolder:
    """A folder of finished parts, which a killed run leaves and the next one takes up.

    Parameters
    ----------
    path : str or Path
        The folder; `create` or `open` makes it.
    """

    def __init__(self, path: str | Path) -> None:
        self.path = Path(path)

    @classmethod
    def beside(cls, out: str | Path) -> "WorkFolder":
        """The folder that belongs to the output ``out``: ``<out>.work``."""
        out = Path(out)
        return cls(out.with_name(out.name + WORK_SUFFIX))

    def __reduce__(self) -> tuple[Any, ...]:
        return (WorkFolder, (self.path.absolute(),))  # another process may stand in another folder

    def __repr__(self) -> str:
        return f"WorkFolder({str(self.path)!r})"

    # --- the plan --------------------------------------------------------------------------------

    def ensure(self) -> None:
        """Make the folder, if it is not there.

        Raises
        ------
        OutputError
            If it cannot be made.
        """
        try:
            self.path.mkdir(exist_ok=True)
        except OSError as error:
            raise output_error(error, self.path) from error

    def open(self, plan: Plan, restart: bool = False) -> bool:
        """Make the folder for ``plan``, or take up a folder with parts of the same fingerprint.

        Parameters
        ----------
        restart : bool
            Throw away what the folder holds first.

        Returns
        -------
        bool
            Whether there was something to take up.

        Raises
        ------
        PlanError
            If the folder holds the work of another store, model, phenotypes or version of genassoc, or
            things that are not genassoc's.
        OutputError
            If it cannot be made or written.
        """
        self.ensure()
        names = [entry.name for entry in self.path.iterdir()]
        if PLAN_NAME not in names and any(name.startswith("part-") or not _is_ours(name) for name in names):
            raise PlanError(f"{self.path} is not empty and holds no plan of genassoc's: name or empty another folder.")
        sweep_unfinished(self.path)
        for left in self.path.glob(f"{BROADCAST_NAME}*"):  # of a driver that was killed
            left.unlink(missing_ok=True)
        if PLAN_NAME in names and not restart:
            if self.plan().fingerprint != plan.fingerprint:
                raise PlanError(
                    f"{self.path} holds the unfinished work of another run: the store, the phenotypes, the "
                    "model or the version of genassoc differ. Start anew (--force, restart=True), or choose "
                    "another output."
                )
            self._write_plan(plan)
            return True
        if restart:
            self._clear()
        self._write_plan(plan)
        return False

    def _write_plan(self, plan: Plan) -> None:
        text = plan.to_json()
        if not (self.path / PLAN_NAME).exists() or self.plan().to_json() != text:
            with replacing(self.path / PLAN_NAME) as file:
                file.write(text.encode())

    def plan(self) -> Plan:
        """The plan that the folder was made for.

        Raises
        ------
        PlanError
            If the folder has none, or what stands there is none of this genassoc's.
        """
        try:
            content = strangers.read_bytes(self.path / PLAN_NAME)
        except FileNotFoundError as error:
            raise PlanError(f"{self.path} is no work folder of genassoc's: it has no {PLAN_NAME}.") from error
        except OSError as error:
            raise PlanError(f"{self.path / PLAN_NAME} cannot be read: {error.strerror or error}.") from error
        except MalformedError as error:
            raise PlanError(f"{self.path / PLAN_NAME} is no plan: {error}; plan again into another folder.") from error
        try:
            return Plan.from_json(content)
        except PlanError as error:
            raise PlanError(f"{self.path / PLAN_NAME}: {error}") from error

    def lock(self) -> DriverLock:
        """The driver's lock on this folder."""
        return DriverLock(self.path)

    # --- parts -----------------------------------------------------------------------------------

    def part_path(self, task: Task) -> Path:
        """Where the rows of ``task`` are."""
        return self.path / f"part-{task.index:05d}.parquet"

    def write_part(self, plan: Plan, task: Task, output: TaskOutput) -> Counts:
        """Keep the output of ``task``: whole and on the disk, or not at all.

        Raises
        ------
        OutputError
            If the disk is full or cannot be written.
        """
        counts = replace(output.counts, rows=output.rows.height)
        metadata = {**_identity(plan, task), "counts": counts.to_dict(), DIGEST: _UNSIGNED}
        with replacing(self.part_path(task), KEPT.format(folder=self.path)) as file:
            digesting = Digesting(file)
            part = ParquetFile(digesting)
            group, content = encoded(output.rows)
            part.add(group, [content])
            part.close({METADATA_KEY: json.dumps(metadata).encode()})
            _sign(file, digesting.digest)
        return counts

    def part_counts(self, plan: Plan, task: Task, thorough: bool = False) -> Counts | None:
        """Counts of a finished part; None where it is absent, damaged or of other variants.

        Parameters
        ----------
        thorough : bool
            Read the whole file too and check its digest.
        """
        path = self.part_path(task)
        try:
            if not path.is_file():  # a pipe of that name would be waited for
                return None
            with path.open("rb") as file:
                found = _sound(file, plan, task, thorough)
            return None if found is None else found[0]
        except OSError:
            return None

    def part_rows(self, plan: Plan, task: Task) -> pl.DataFrame:
        """The rows of a finished part, read whole.

        Raises
        ------
        PlanError
            It is absent, damaged or of other variants.
        """
        if self.part_counts(plan, task, thorough=True) is None:
            raise PlanError(
                f"{self.part_path(task)} was damaged or removed while it was read; the same command computes it again."
            )
        return pl.read_parquet(self.part_path(task), glob=False)

    def of_pass(self, plan: Plan) -> "WorkFolder":
        """The folder of one pass, in this one: ``pass-1-means``."""
        name = "".join(c if c.isalnum() else "-" for c in plan.pass_name)
        self.ensure()
        return WorkFolder(self.path / f"{PASS_NAME}{plan.pass_number + 1}-{name}")

    def counts(self, plan: Plan) -> dict[Task, Counts]:
        """Counts of each finished part."""
        found = ((task, self.part_counts(plan, task)) for task in plan.tasks)
        return {task: counts for task, counts in found if counts is not None}

    def has_parts(self) -> bool:
        """Whether any part is finished."""
        return any(self.path.glob("part-*.parquet"))

    def missing(self, plan: Plan, tasks: Sequence[Task] | None = None, thorough: bool = False) -> list[Task]:
        """Tasks (of ``tasks``, else of the plan) without a sound part."""
        chosen = plan.tasks if tasks is None else tasks
        return [task for task in chosen if self.part_counts(plan, task, thorough) is None]

    def status(self, plan: Plan | None = None, thorough: bool = False) -> Status:
        """How far the work is."""
        plan = self.plan() if plan is None else plan
        missing = self.missing(plan, thorough=thorough)
        left = {task.index for task in missing}
        return Status(
            n_tasks=len(plan.tasks),
            n_done=len(plan.tasks) - len(missing),
            n_variants=plan.n_variants,
            n_variants_done=plan.n_variants - sum(task.n_variants for task in missing),
            damaged=tuple(task.index for task in missing if self.part_path(task).exists()),
            parts=tuple((sum(t.index not in left for t in group), len(group)) for group in plan.groups()),
        )

    # --- the end ---------------------------------------------------------------------------------

    def _clear(self, locked: bool = True) -> None:
        """Remove what is genassoc's, but the lock while it is held."""
        for entry in list(self.path.iterdir()):
            if not _is_ours(entry.name) or (locked and entry.name.startswith(LOCK_NAME)):
                continue
            if entry.is_dir() and not entry.is_symlink():
                shutil.rmtree(entry, ignore_errors=True)
            else:
                with contextlib.suppress(OSError):
                    entry.unlink()

    def remove(self) -> None:
        """Remove the folder: the results are where they were wanted. What is not genassoc's stays, and the folder with it."""
        if not self.path.is_dir():
            return
        self._clear(locked=False)
        with contextlib.suppress(OSError):
            self.path.rmdir()


def _is_ours(name: str) -> bool:
    return name.startswith(("part-", "wip_", LOCK_NAME, BROADCAST_NAME, PASS_NAME)) or name == PLAN_NAME


def _identity(plan: Plan, task: Task) -> dict[str, Any]:
    """What a part must say of itself to be taken for the output of ``task``."""
    of_sets = {"first_set": task.first_set, "n_sets": task.n_sets} if task.n_sets else {}
    return {"fingerprint": plan.fingerprint, "start": task.start, "stop": task.stop, "contig": task.contig, **of_sets}


# A part carries its own digest: taken with zeros in its place, which lies in the footer's metadata.
DIGEST = "sha256"
_UNSIGNED = "0" * 64


def _sign(file: BinaryIO, digest: FileDigest) -> None:
    """Put the digest of a part, just written, into it."""
    size = digest.n_bytes
    file.seek(size - 8)
    footer = size - footer_bytes(file.read(8), size, MOST_FOOTER)
    file.seek(footer)
    at = file.read().index(_UNSIGNED.encode())
    file.seek(footer + at)
    file.write(digest.sha256.encode())
    file.seek(0, os.SEEK_END)


def _sound(file: BinaryIO, plan: Plan, task: Task, thorough: bool) -> tuple[Counts, Footer] | None:
    """Counts and footer of an open part; None where it is damaged or of other variants."""
    try:
        footer = read_footer(file)
        metadata = strangers.parse_object(footer.metadata[METADATA_KEY])
        if any(metadata.get(key) != value for key, value in _identity(plan, task).items()):
            return None
        counts = Counts.from_dict(strangers.field(metadata, "counts", strangers.table))
        signed = strangers.field(metadata, DIGEST, strangers.text)
        if counts.rows != footer.n_rows or (thorough and not _is_signed(file, signed)):
            return None
        return counts, footer
    except (OSError, KeyError, ValueError):
        return None


def _is_signed(file: BinaryIO, signed: str) -> bool:
    """Whether the bytes of a part are those that were signed; memory holds a piece of them."""
    digest, size = hashlib.sha256(), file.seek(0, os.SEEK_END)
    file.seek(size - 8)
    before = size - footer_bytes(file.read(8), size, MOST_FOOTER)
    file.seek(0)
    while before:
        chunk = file.read(min(before, 2**20))
        if not chunk:
            return False
        digest.update(chunk)
        before -= len(chunk)
    footer = file.read(MOST_FOOTER)
    digest.update(footer.replace(signed.encode(), _UNSIGNED.encode(), 1))
    return digest.hexdigest() == signed


@dataclass(frozen=True)
class Merged:
    """The table that the parts were merged into, the count of its variants, and the digest of the file."""

    path: Path
    counts: Counts
    digest: FileDigest


class EmptyRunError(GenassocError):
    """A finished run of which no variant is left."""


def nothing_kept(counts: Counts) -> EmptyRunError:
    """The error of a finished run without any variant."""
    reasons = ", ".join(f"{reason} left out {n:,}" for reason, n in counts.dropped.items())
    return EmptyRunError(
        f"no variant is left to test: of {counts.read:,} read, {reasons or 'none was kept'}. Nothing was written; "
        "widen the filters or the regions."
    )


def merge(
    work: WorkFolder,
    plan: Plan,
    out: str | Path,
    seal: Callable[[Merged], None] | None = None,
    *,
    for_spreadsheets: bool = False,
    progress: Progress | None = None,
) -> Merged:
    """Put the parts, in store order, into one table in the format of ``out``'s suffix.

    The bytes depend on the rows alone: not on how they were cut into parts, who computed them and when.
    Parquet is copied from the parts (`Plan.row_groups`); memory holds a megabyte, of text the rows of a row group.

    Parameters
    ----------
    seal : callable, optional
        Called when the table is whole and before it appears at ``out``: what it writes (the record) is there first.
    for_spreadsheets : bool
        See `genassoc.data.result_table.open_table`.
    progress : Progress, optional
        Told of every row group, where they take longer than a second.

    Raises
    ------
    PlanError
        If parts are missing or damaged (names them).
    EmptyRunError
        If no variant was kept: a table of no rows would be taken for a result.
    OutputError
        If ``out`` cannot be written, or its suffix names no format.
    """
    out = Path(out)
    found = work.counts(plan)
    missing = [task for task in plan.tasks if task not in found]
    if missing:
        shown = ", ".join(str(task.index) for task in missing[:10]) + (", ..." if len(missing) > 10 else "")
        raise PlanError(
            f"{len(missing)} of {len(plan.tasks)} tasks have no finished part in {work.path} "
            f"(tasks {shown}): do the parts that 'genassoc status {work.path}' names, then merge again."
        )
    total = sum(found.values(), Counts())
    if not total.kept:
        raise nothing_kept(total)
    filled = {task for task, counts in found.items() if counts.rows}
    target = target_of(out)
    sweep_unfinished(target.parent, target.name)
    merged: list[Merged] = []

    def sealed(digest: FileDigest) -> None:
        merged.append(Merged(out, total, digest))
        if seal is not None:
            seal(merged[0])

    kept = KEPT.format(folder=work.path)
    with (
        phase(progress, "merging", plan.n_variants, "variants") as advance,
        open_table(out, kept, seal=sealed, for_spreadsheets=for_spreadsheets) as table,
    ):
        for tasks in plan.row_groups():
            _append(work, plan, [task for task in tasks if task in filled], table)
            advance(sum(task.n_variants for task in tasks))
    return merged[0]


def _append(work: WorkFolder, plan: Plan, tasks: Sequence[Task], table: ParquetTable | TextTable) -> None:
    """Put the rows of a row group into the table: byte by byte where one part holds them all, else encoded anew.

    Whether a row group has one part or several, its bytes are those of its rows.
    """
    if len(tasks) == 1 and isinstance(table, ParquetTable):
        with _read(work, plan, tasks[0]) as (file, footer):
            for group, at in footer.groups:
                table.add(group, pieces_of(file, group, at))
        return
    frames: list[pl.DataFrame] = []
    for task in tasks:
        with _read(work, plan, task) as (file, _):
            frames.append(pl.read_parquet(file))
            if frames[-1].schema != frames[0].schema:
                raise MalformedError("its columns are not those of the rows before it")
    if frames:
        table.write(pl.concat(frames))


@contextlib.contextmanager
def _read(work: WorkFolder, plan: Plan, task: Task) -> Iterator[tuple[BinaryIO, Footer]]:
    """A part, checked against its digest, to be read; one that is damaged is removed, for the next run to redo."""
    path = work.part_path(task)
    try:
        if not path.is_file():
            raise MalformedError("it is not there any more")
        with path.open("rb") as file:  # what is read is what was checked, though another take its name meanwhile
            part = _sound(file, plan, task, thorough=True)
            if part is None:
                raise MalformedError("its content does not match its digest")
            file.seek(0)
            yield file, part[1]
    except (pl.exceptions.PolarsError, MalformedError) as error:
        with contextlib.suppress(OSError):
            path.unlink()
        raise PlanError(
            f"{path} was damaged ({error}) and has been removed; the same command computes it again."
        ) from error
