"""What a run does task by task, and what a task leaves behind: rows, and the count of its variants."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol

import polars as pl

from genassoc.data import strangers
from genassoc.data.analysis import State
from genassoc.engine.plan import Task

MISSING_CALLS = "missing calls of tested variants"  # of sets: counted in `Counts.refused`


@dataclass(frozen=True)
class Counts:
    """What became of the variants of a task or of a run.

    Attributes
    ----------
    read, kept : int
        Variants read, and variants that have rows.
    dropped : dict of str to int
        Reason -> variants; they sum to ``read - kept``.
    rows : int
        Rows of results.
    refused : dict of str to int
        Reason -> calls of the variants kept that were taken for missing, as heterozygous males' on X.
    dropped_by_contig : dict of str to dict
        Reason -> contig -> variants: ``dropped``, place by place.
    """

    read: int = 0
    kept: int = 0
    rows: int = 0
    dropped: dict[str, int] = field(default_factory=dict)
    refused: dict[str, int] = field(default_factory=dict)
    dropped_by_contig: dict[str, dict[str, int]] = field(default_factory=dict)

    def __add__(self, other: "Counts") -> "Counts":
        reasons = sorted({*self.dropped_by_contig, *other.dropped_by_contig})
        by_contig = {
            reason: _sums(self.dropped_by_contig.get(reason, {}), other.dropped_by_contig.get(reason, {}))
            for reason in reasons
        }
        return Counts(
            self.read + other.read, self.kept + other.kept, self.rows + other.rows,
            _sums(self.dropped, other.dropped), _sums(self.refused, other.refused), by_contig,
        )  # fmt: skip

    def to_dict(self) -> dict[str, Any]:
        """As JSON values."""
        counts: dict[str, Any] = {
            "read": self.read, "kept": self.kept, "rows": self.rows, "dropped": dict(self.dropped),
        }  # fmt: skip
        if self.refused:
            counts["refused"] = dict(self.refused)
        if self.dropped_by_contig:
            counts["dropped_by_contig"] = {reason: dict(found) for reason, found in self.dropped_by_contig.items()}
        return counts

    @classmethod
    def from_dict(cls, content: Mapping[str, Any]) -> "Counts":
        """What `to_dict` gave.

        Raises
        ------
        MalformedError
            A field is absent or no count.
        """
        read, kept, rows = (strangers.field(content, name, strangers.whole) for name in ("read", "kept", "rows"))
        refused = strangers.optional(content, "refused", strangers.counts) or {}
        places = strangers.optional(content, "dropped_by_contig", strangers.table) or {}
        by_contig = {reason: strangers.counts(found, f"dropped_by_contig.{reason}") for reason, found in places.items()}
        return cls(read, kept, rows, strangers.field(content, "dropped", strangers.counts), refused, by_contig)


def missing_notes(refused: Mapping[str, int]) -> list[str]:
    """How many calls of tested variants are missing, in words."""
    n = refused.get(MISSING_CALLS, 0)
    return [f"{n:,} calls of tested variants are missing: each counts as the mean of its variant"] if n else []


def _sums(one: dict[str, int], other: dict[str, int]) -> dict[str, int]:
    """Counts by reason, added up."""
    return {reason: one.get(reason, 0) + other.get(reason, 0) for reason in sorted({*one, *other})}


@dataclass(frozen=True)
class TaskOutput:
    """What one task leaves behind: rows in the order of the final table, and the count of its variants."""

    rows: pl.DataFrame
    counts: Counts


class Job(Protocol[State]):
    """Something that a run does task by task: an analysis, a conversion. The engine knows no more of it."""

    def prepare(self) -> State:
        """What every task needs, made once per run; picklable."""

    def do(self, state: State, task: Task) -> TaskOutput:
        """One task, alone: the same output whoever does it, whenever, in whatever company."""

    def label(self, task: Task) -> str:
        """A word for what is done, a blank, and where, as people write it."""
