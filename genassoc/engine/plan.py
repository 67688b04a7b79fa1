"""Which variants are worked on together: frozen, readable, the same on every machine."""

import hashlib
import json
from bisect import bisect_right
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import KW_ONLY, asdict, dataclass, field, replace
from itertools import groupby, pairwise
from typing import Any

import numpy as np

from genassoc.data import strangers
from genassoc.data.strangers import MalformedError
from genassoc.errors import PlanError
from genassoc.provenance import NUMBERS, genassoc_version
from genassoc.shapes import Int64Array

PLAN_FORMAT = "genassoc-plan"
PLAN_VERSION = 4  # of 2 and 3 the parts held rows that were written again
SETS_VERSION = 5  # of plans by sets, which an earlier genassoc would take for plans of variants
_PLAIN = ("index", "start", "stop", "contig")  # of a task that owns no sets
MAX_PARTS = 1_000_000  # jobs of an array
MAX_TASKS = 4096  # each task leaves one file behind: thousands are fine on a shared disk, millions are not
MANY_CONTIGS = 1000  # more than any finished genome has; beyond it a task holds several
MAX_TASK_ROWS = (
    2**17
)  # rows of results a task holds at once, one row group: about 20 MB in 20 columns, whatever the traits


@dataclass(frozen=True)
class Task:
    """A run of consecutive variants of one contig, or whole sets of variants, worked on by one worker.

    Attributes
    ----------
    index : int
        Number of the task in its plan, from 0.
    start, stop : int
        Variants ``start <= i < stop`` of the store; of sets the span that holds their variants, which other tasks may read too.
    contig : str
        Their contig.
    first_set, n_sets : int
        The sets that the task owns, as numbered in `Plan.by_set`; none where it owns its variants.
    """

    index: int
    start: int
    stop: int
    contig: str
    first_set: int = 0
    n_sets: int = 0

    @property
    def n_variants(self) -> int:
        """How many variants."""
        return self.stop - self.start

    def blocks(self, block_variants: int) -> Iterator[tuple[int, int]]:
        """The task's (start, stop) pieces, cut at multiples of ``block_variants``."""
        start = self.start
        while start < self.stop:
            stop = min(self.stop, (start // block_variants + 1) * block_variants)
            yield start, stop
            start = stop

    def head(self, n_variants: int) -> "Task":
        """A small task where this one begins: at most ``n_variants``, or its first set."""
        if self.n_sets:
            return replace(self, n_sets=1)
        return replace(self, stop=min(self.stop, self.start + n_variants))

    def __str__(self) -> str:
        where = f"chromosome {self.contig}, task {self.index}"
        if self.n_sets:
            return f"sets {self.first_set} to {self.first_set + self.n_sets - 1} ({where})"
        return f"variants {self.start} to {self.stop - 1} of the store ({where})"


@dataclass(frozen=True)
class Plan:
    """The tasks of a run.

    Attributes
    ----------
    tasks : tuple of Task
        In store order. No task crosses a contig, but where there are more than `MANY_CONTIGS`.
    fingerprint : str
        Hash of all that decides the numbers (see `fingerprint`): parts of another are never mixed in.
    block_variants : int
        Variants read at a time; tasks are cut at its multiples.
    n_parts : int
        Into how many parts a job array divides the tasks.
    settings : mapping
        What a worker on another machine needs to do a part, e.g. the text of ``gwas.toml``; JSON values only.
    largest_set : int
        Variants of the largest set, which are held at once; 0 where tasks own variants and not sets.
    pass_number : int
        Which pass over the genotypes this is, from 0, of an analysis that makes several.
    pass_name : str
        What the pass does.
    lines : (int, int)
        Where row groups of the results are cut, beside contigs: at multiples of the first number, and from each at multiples of the
        second. They follow from the cohort and the model, never from how the store is laid out or the work is done.
    """

    tasks: tuple[Task, ...]
    fingerprint: str
    block_variants: int
    n_parts: int = 1
    settings: Mapping[str, Any] = field(default_factory=dict)
    largest_set: int = 0
    pass_number: int = 0
    pass_name: str = ""
    _: KW_ONLY
    lines: tuple[int, int] = (1, 1)

    @classmethod
    def by_block(
        cls,
        runs: Iterable[tuple[str, int, int]],
        block_variants: int,
        fingerprint: str = "",
        *,
        cut: int | None = None,
        rows_per_variant: int = 1,
        n_parts: int = 1,
        settings: Mapping[str, Any] | None = None,
    ) -> "Plan":
        """Cut at contig changes (where there are not thousands), at multiples of the store's block, and where row groups end.

        Parameters
        ----------
        runs : iterable of (contig, start, stop)
            Runs of one contig in store order (``GenotypeStore.contig_runs()``).
        block_variants : int
            The store's block: variants read at a time.
        fingerprint : str
            See `fingerprint`.
        cut : int, optional
            Variants of a row group; a multiple when there would be more than `MAX_TASKS`, a fraction when its rows would be more than
            `MAX_TASK_ROWS`. The store's block by default; where rows become a results file, the block that a store of as many samples
            has by default, so that the file does not depend on that of this store. A task makes a row group, or some make one.
        rows_per_variant : int
            Results rows of one variant: traits x tests.

        Raises
        ------
        PlanError
            If the runs overlap, are not in order or hold no variant.
        """
        if block_variants < 1 or n_parts < 1 or rows_per_variant < 1:
            raise PlanError("the block size, the number of parts and the rows of a variant must be at least 1.")
        if n_parts > MAX_PARTS:
            raise PlanError(f"{n_parts:,} parts are more than the {MAX_PARTS:,} that a plan may have.")
        cut = block_variants if cut is None else cut
        ordered = _joined_where_many(_checked(runs), cut)
        n_variants = sum(stop - start for _, start, stop in ordered)
        # A fraction of a block is counted from the block's own border, and never crosses it.
        lines, of_store = (
            (max(step, block), step)
            for block in (cut, block_variants)
            for step in [_task_variants(n_variants, block, rows_per_variant)]
        )
        tasks: list[Task] = []
        for contig, start, last in ordered:
            while start < last:
                stop = min(last, _line_after(start, lines), _line_after(start, of_store))
                tasks.append(Task(len(tasks), start, stop, contig))
                start = stop
        held = min(of_store[1], block_variants)
        return cls(tuple(tasks), fingerprint, held, n_parts, dict(settings or {}), lines=lines)

    @classmethod
    def by_set(
        cls,
        sets: Sequence[Int64Array],
        runs: Iterable[tuple[str, int, int]],
        block_variants: int,
        fingerprint: str = "",
        *,
        cut: int | None = None,
        n_parts: int = 1,
        settings: Mapping[str, Any] | None = None,
    ) -> "Plan":
        """Whole sets of variants, such as genes or multi-allelic records; nothing ever cuts one.

        Parameters
        ----------
        sets : sequence of int64 arrays
            The variants of each set, ascending; sets in the order of their first variants. They may share variants, and a variant may be in
            none. What is in which set enters the fingerprint.
        runs, block_variants, cut, n_parts, settings
            As of `by_block`. A task is as many neighbouring sets of one contig as hold ``cut`` variants, at least one; more when
            there would be more than `MAX_TASKS`.
        fingerprint : str
            Of all else that decides the numbers.

        Raises
        ------
        PlanError
            A set is empty, not ascending, out of order, not within the store, or lies on two contigs (names it).
        """
        if block_variants < 1 or n_parts < 1 or n_parts > MAX_PARTS:
            raise PlanError(
                f"the block size and the number of parts must be at least 1, and the latter at most {MAX_PARTS:,}."
            )
        ordered = _checked(runs)
        digest = hashlib.sha256(fingerprint.encode())
        placed: list[tuple[str, int, int, int]] = []
        for number, members in enumerate(sets):
            placed.append(_placed(number, members, placed[-1][1] if placed else -1, ordered))
            digest.update(len(members).to_bytes(8, "little") + np.ascontiguousarray(members, dtype=np.int64).tobytes())
        if not placed:
            raise PlanError("there is no set of variants to work on.")
        total = sum(n for *_, n in placed)
        step = max(cut or block_variants, -(-total // MAX_TASKS))
        tasks: list[Task] = []
        held = 0
        for number, (contig, start, stop, n) in enumerate(placed):
            if tasks and tasks[-1].contig == contig and held + n <= step:
                last = tasks[-1]
                tasks[-1] = replace(last, stop=max(last.stop, stop), n_sets=last.n_sets + 1)
                held += n
            else:
                tasks.append(Task(len(tasks), start, stop, contig, number, 1))
                held = n
        largest = max(n for *_, n in placed)
        made = dict(settings or {})
        return cls(tuple(tasks), digest.hexdigest(), max(block_variants, largest), n_parts, made, largest)

    @property
    def n_variants(self) -> int:
        """Variants in all tasks."""
        return sum(task.n_variants for task in self.tasks)

    def stretches(self) -> list[tuple[str, int, int]]:
        """What all tasks cover together, (contig, start, stop): the same however finely they are cut.

        Of sets, which nothing cuts, the span of each task and then (contig, first set, end of its sets).
        """
        if self.largest_set:
            spans = [(task.contig, task.start, task.stop) for task in self.tasks]
            return spans + [(task.contig, task.first_set, task.first_set + task.n_sets) for task in self.tasks]
        found: list[tuple[str, int, int]] = []
        for task in self.tasks:
            if found and found[-1][0] == task.contig and found[-1][2] == task.start:
                found[-1] = (task.contig, found[-1][1], task.stop)
            else:
                found.append((task.contig, task.start, task.stop))
        return found

    def groups(self, n_parts: int | None = None) -> tuple[tuple[Task, ...], ...]:
        """Tasks in ``n_parts`` contiguous groups of about as many variants; a group may be empty.

        Raises
        ------
        PlanError
            If ``n_parts`` is less than 1.
        """
        n_parts = self.n_parts if n_parts is None else n_parts
        if n_parts < 1:
            raise PlanError(f"cannot divide the work into {n_parts} parts: at least 1 is needed.")
        groups: list[list[Task]] = [[] for _ in range(n_parts)]
        total, done = self.n_variants, 0
        for task in self.tasks:
            # A task goes where its middle lies: integers, so every machine agrees.
            groups[(2 * done + task.n_variants) * n_parts // (2 * total)].append(task)
            done += task.n_variants
        return tuple(tuple(group) for group in groups)

    def finer(self, most_variants: int) -> "Plan":
        """The same variants in tasks of at most ``most_variants``, which are also read at a time; itself where none is larger, or of sets.

        Raises
        ------
        PlanError
            If ``most_variants`` is less than 1.
        """
        if most_variants < 1:
            raise PlanError(f"tasks of {most_variants} variants cannot be cut: at least 1 is needed.")
        if self.largest_set or (
            all(task.n_variants <= most_variants for task in self.tasks) and self.block_variants <= most_variants
        ):
            return self
        tasks: list[Task] = []
        for task in self.tasks:
            for start in range(task.start, task.stop, most_variants):
                tasks.append(Task(len(tasks), start, min(task.stop, start + most_variants), task.contig))
        return replace(self, tasks=tuple(tasks), block_variants=min(self.block_variants, most_variants))

    def row_groups(self) -> Iterator[list[Task]]:
        """Neighbouring tasks whose rows make one row group of the results: one, unless tasks were cut finer than row groups."""
        for _, tasks in groupby(self.tasks, self._row_group):
            yield list(tasks)

    def _row_group(self, task: Task) -> tuple[int, str]:
        return (task.index if task.n_sets else _line_before(task.start, self.lines)), task.contig

    def of_pass(self, number: int, name: str, before: str) -> "Plan":
        """The plan of one pass over the same variants; its fingerprint covers ``before``, the digest of what the pass in front gave."""
        digest = hashlib.sha256(f"{self.fingerprint} pass {number} {name} {before}".encode()).hexdigest()
        return replace(self, fingerprint=digest, pass_number=number, pass_name=name)

    def to_json(self) -> str:
        """The plan as JSON text."""
        content = {
            "format": PLAN_FORMAT,
            "version": SETS_VERSION if self.largest_set else PLAN_VERSION,
            "genassoc": genassoc_version(),
            "numbers": NUMBERS,
            "fingerprint": self.fingerprint,
            "block_variants": self.block_variants,
            "n_parts": self.n_parts,
            "lines": list(self.lines),
            "settings": dict(self.settings),
            **({"largest_set": self.largest_set} if self.largest_set else {}),
            **({"pass_number": self.pass_number, "pass_name": self.pass_name} if self.pass_name else {}),
            "tasks": [{k: v for k, v in asdict(task).items() if task.n_sets or k in _PLAIN} for task in self.tasks],
        }
        return json.dumps(content, indent=1)

    @classmethod
    def from_json(cls, text: str | bytes) -> "Plan":
        """Read what `to_json` wrote: every field is checked, since the folder may be a stranger's.

        Raises
        ------
        PlanError
            If the text is no plan, or of a version, of the format or of the numbers, that is not this genassoc's.
        """
        try:
            content = strangers.parse_object(text.encode() if isinstance(text, str) else text)
            if content.get("format") != PLAN_FORMAT:
                raise MalformedError(f"its format is not '{PLAN_FORMAT}'")
            _check_version(content)
            block_variants = strangers.field(content, "block_variants", strangers.whole, 1)
            of_sets = content["version"] == SETS_VERSION
            lines = [strangers.whole(item, "lines", 1) for item in strangers.field(content, "lines", strangers.items)]
            if len(lines) != 2:
                raise MalformedError("lines are no two numbers")
            largest = strangers.field(content, "largest_set", strangers.whole, 1, block_variants) if of_sets else 0
            plan = cls(
                tuple(
                    _task(item, number, of_sets)
                    for number, item in enumerate(strangers.field(content, "tasks", strangers.items))
                ),
                strangers.field(content, "fingerprint", strangers.text),
                block_variants,
                strangers.field(content, "n_parts", strangers.whole, 1, MAX_PARTS),
                strangers.field(content, "settings", strangers.table),
                largest,
                strangers.optional(content, "pass_number", strangers.whole) or 0,
                strangers.optional(content, "pass_name", strangers.text) or "",
                lines=(lines[0], lines[1]),
            )
            for name, kind in (("toml", strangers.text), ("memory", strangers.whole)):
                strangers.optional(plan.settings, name, kind)
            if of_sets:
                _check_sets(plan.tasks)
            else:
                _checked((task.contig, task.start, task.stop) for task in plan.tasks)
            return plan
        except MalformedError as error:
            raise PlanError(f"this is not a plan that genassoc wrote ({error}); make it again.") from error


def _check_version(content: Mapping[str, Any]) -> None:
    """Refuse the plan of a genassoc that wrote plans otherwise, or computed other numbers.

    Raises
    ------
    PlanError
        Names both versions.
    """
    version = strangers.field(content, "version", strangers.whole)
    if version not in (PLAN_VERSION, SETS_VERSION):
        raise PlanError(
            f"the plan has version {version}; this genassoc reads version {PLAN_VERSION}: plan again into another folder, or finish "
            "the plan with the genassoc that made it."
        )
    numbers = strangers.field(content, "numbers", strangers.whole)
    if numbers != NUMBERS:
        made = strangers.field(content, "genassoc", strangers.text)
        raise PlanError(
            f"the plan was made by genassoc {made}, whose numbers have version {numbers}; those of this genassoc "
            f"({genassoc_version()}) have version {NUMBERS}, and the two must not be mixed: plan again into another folder, or "
            "finish the plan with the genassoc that made it."
        )


def _task(item: Any, number: int, of_sets: bool) -> Task:
    """One task of a plan that is read; no range is empty."""
    content = strangers.table(item, f"task {number}")
    start = strangers.field(content, "start", strangers.whole)
    stop = strangers.field(content, "stop", strangers.whole, start + 1)
    strangers.field(content, "index", strangers.whole, number, number)
    contig = strangers.field(content, "contig", strangers.text)
    if not of_sets:
        return Task(number, start, stop, contig)
    first = strangers.field(content, "first_set", strangers.whole)
    return Task(number, start, stop, contig, first, strangers.field(content, "n_sets", strangers.whole, 1))


def _check_sets(tasks: tuple[Task, ...]) -> None:
    """See that the tasks of a plan that is read own each set once, in order.

    Raises
    ------
    MalformedError
    """
    if not tasks:
        raise MalformedError("it has no task")
    number = 0
    for task in tasks:
        if task.first_set != number:
            raise MalformedError(f"task {task.index} does not begin with set {number}")
        number += task.n_sets


def _placed(
    number: int, members: Int64Array, before: int, runs: list[tuple[str, int, int]]
) -> tuple[str, int, int, int]:
    """Contig, span and size of a set; ``before`` is the first variant of the set before it.

    Raises
    ------
    PlanError
    """
    if not len(members):
        raise PlanError(f"set {number} holds no variant: leave it out.")
    first, last = int(members[0]), int(members[-1])
    if np.any(np.diff(members) <= 0):
        raise PlanError(f"the variants of set {number} are not ascending, or one is there twice.")
    if first < before:
        raise PlanError(
            f"set {number} begins with variant {first}, before the set in front of it: sort sets by their first variant."
        )
    at = bisect_right(runs, first, key=lambda run: run[1]) - 1
    contig, start, stop = runs[at]
    if at < 0 or not start <= first < stop:
        raise PlanError(f"set {number} holds variant {first}, which is not in the store.")
    if last >= stop:
        raise PlanError(
            f"set {number} begins on chromosome {contig} and ends on another: a set lies on one chromosome, since null models may "
            "differ by chromosome. Make a set of each chromosome."
        )
    return contig, first, last + 1, len(members)


def _checked(runs: Iterable[tuple[str, int, int]]) -> list[tuple[str, int, int]]:
    """The runs that hold variants, as plain integers.

    Raises
    ------
    PlanError
        If they overlap, are not in order or are all empty.
    """
    ordered = [(str(contig), int(start), int(stop)) for contig, start, stop in runs if stop > start]
    for (_, _, stop), (contig, start, _) in pairwise(ordered):
        if start < stop:
            raise PlanError(f"the runs of variants overlap or are not in store order at variant {start} ({contig}).")
    if not ordered:
        raise PlanError("there is no variant to work on: the store, or the region chosen, is empty.")
    return ordered


def _joined_where_many(ordered: list[tuple[str, int, int]], block_variants: int) -> list[tuple[str, int, int]]:
    """Runs of contigs; where there are very many, as in a draft assembly, neighbours joined up to a block.

    Each variant is computed by the rules of its own contig, so that the rows are the same; a task of one variant costs as much
    as one of a thousand.
    """
    if len(ordered) <= MANY_CONTIGS:
        return ordered
    joined: list[tuple[str, int, int]] = []
    first_name = ""
    for contig, start, stop in ordered:
        if joined and joined[-1][2] == start and stop - joined[-1][1] <= block_variants:
            joined[-1] = (f"{first_name} to {contig}", joined[-1][1], stop)
        else:
            joined.append((contig, start, stop))
            first_name = contig
    return joined


def _line_before(variant: int, lines: tuple[int, int]) -> int:
    """The last line up to a variant (`Plan.lines`)."""
    whole, step = lines
    return variant - variant % whole % step


def _line_after(variant: int, lines: tuple[int, int]) -> int:
    """The first line beyond a variant."""
    whole, step = lines
    return min(_line_before(variant, lines) + step, variant - variant % whole + whole)


def _task_variants(n_variants: int, cut: int, rows_per_variant: int) -> int:
    """Variants of a task: a multiple of ``cut``, or about a whole fraction of it where its results are too many."""
    fitting = max(1, MAX_TASK_ROWS // rows_per_variant)
    if fitting < cut:
        return -(-cut // -(-cut // fitting))
    wanted = -(-n_variants // (cut * MAX_TASKS))
    return cut * max(1, min(wanted, fitting // cut))


def fingerprint(**ingredients: Any) -> str:
    """Hash of all that decides the numbers: store's fingerprint, model's parameters, phenotypes' hash.

    The version of genassoc and that of its numbers (`genassoc.provenance.NUMBERS`, which also tells checkouts of one
    version apart) always enter: another version's parts are never mixed in.

    Parameters
    ----------
    **ingredients
        JSON values, or objects whose ``repr`` is their meaning (frozen dataclasses of choices).
    """
    named = {"genassoc": genassoc_version(), "numbers": NUMBERS, **ingredients}
    text = json.dumps(named, sort_keys=True, default=repr, separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()
