"""Disclosure control: which counts of people may leave, and which groups of a table are withheld so that none can be worked out."""

import itertools
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

import numpy as np

from genassoc.shapes import BoolArray, Int64Array

LEAST = 3  # with 2 only a count of 1 is hidden, and whoever sees that it is knows it
COARSE = 1  # decimals of -log10 p where counts are withheld: p of few carriers is a function of the counts
_TOO_MANY = 12  # groups of a table; of more, whole choices are not enumerated
EDGE = 1e-6  # counts come from frequencies times samples: a whole number with some rounding


@dataclass(frozen=True)
class Policy:
    """What may leave.

    Attributes
    ----------
    name : str
        "snds", "casd", "ukb" or "finngen"; or your own.
    least : int
        The smallest count of people, carriers, alleles, cases or events that may leave; 0 may too.
    secondary : bool
        Whether counts that only a difference of two rows shows are held to it as well: a gene in a wider and in a narrower bin, or
        without one of its variants.
    floor : float
        Frequencies below it are written as it is (and above 1 less it as that); 0: as they are.
    """

    name: str
    least: int
    secondary: bool = False
    floor: float = 0.0

    def __post_init__(self) -> None:
        if isinstance(self.least, bool) or not isinstance(self.least, int) or self.least < LEAST:
            raise ValueError(
                f"least is the smallest count that may leave, a whole number of at least {LEAST}, not {self.least!r}"
            )
        if not 0.0 <= self.floor < 0.5:
            raise ValueError(f"floor is a frequency of at least 0 and below 0.5, not {self.floor!r}")

    def allows(self, n: float) -> bool:
        """Whether a count, or a picture of so many people, may leave: none at all, or at least `least`."""
        return not EDGE < n < self.least - EDGE

    @property
    def rule(self) -> str:
        """What it forbids, in words."""
        return f"policy {self.name}: no count of 1 to {self.least - 1} leaves"


POLICIES: dict[str, Policy] = {
    "snds": Policy("snds", 11),
    "casd": Policy("casd", 11, secondary=True),
    "ukb": Policy("ukb", 5),
    "finngen": Policy("finngen", 5),
}


def policy_of(policy: "Policy | str | None", floor: float | None = None) -> Policy | None:
    """The policy of a name; ``floor`` is its `Policy.floor`.

    Raises
    ------
    ValueError
        There is none of this name; or a floor and no policy.
    """
    if policy is None:
        if floor is not None:
            raise ValueError("a floor of frequencies belongs to a policy: name one")
        return None
    if not isinstance(policy, Policy):
        if policy not in POLICIES:
            raise ValueError(f"there is no policy {policy!r}; there are {', '.join(POLICIES)}")
        policy = POLICIES[policy]
    return policy if floor is None else replace(policy, floor=floor)


@dataclass(frozen=True)
class Withheld:
    """What was withheld from a table, a text or a picture.

    Attributes
    ----------
    policy : Policy
    entries : tuple of str
        What, how much of it, and why; empty where nothing was.
    """

    policy: Policy
    entries: tuple[str, ...] = ()

    def lines(self) -> list[str]:
        """The policy, and what was withheld, a line each."""
        return [self.policy.rule, *(self.entries or ("nothing was withheld",))]

    def __add__(self, other: "Withheld | Iterable[str]") -> "Withheld":
        """The same with more entries."""
        more = other.entries if isinstance(other, Withheld) else tuple(other)
        return replace(self, entries=(*self.entries, *more))

    def __bool__(self) -> bool:
        return bool(self.entries)


def groups_withheld(counts: Int64Array | Sequence[Sequence[Sequence[int]]], policy: Policy) -> BoolArray:
    """Which groups of a table of counts are withheld, whole, in every arm.

    Parameters
    ----------
    counts : int array (A, G, K)
        Of each arm and group (a genotype) the counts that stand in its row: samples, cases, controls. The sums over all groups are taken
        to be known.

    Returns
    -------
    bool array (G,)
        Those with a count of 1 to ``least - 1``; and of the others the fewest (of as many, those with fewest samples), so that what a
        reader gets by subtracting the groups shown from the sums, which is the sum of those withheld, is of two groups at least and may
        leave itself. All, where nothing less does; the sums are then not to be shown either (`sums_leave`).
    """
    table = np.asarray(counts, dtype=np.int64)
    small = (table > 0) & (table < policy.least)
    few: BoolArray = np.asarray(small.any(axis=(0, 2)))
    n_groups = few.size
    if not few.any():
        return few
    everything = np.ones(n_groups, dtype=bool)
    size = table[:, :, 0].sum(axis=0)
    others = np.flatnonzero(~few)
    if others.size > _TOO_MANY:  # then in the order of their sizes, until the sum may leave
        return _in_turn(table, few, others[np.argsort(size[others], kind="stable")], policy)
    for more in range(others.size + 1):
        found = []
        for added in itertools.combinations(others.tolist(), more):
            chosen = few.copy()
            chosen[list(added)] = True
            if _holds(table, chosen, policy):
                found.append((int(size[list(added)].sum()), added, chosen))
        if found:
            return min(found, key=lambda one: one[:2])[2]
    return everything


def _in_turn(table: Int64Array, few: BoolArray, others: Int64Array, policy: Policy) -> BoolArray:
    chosen = few.copy()
    for group in others:
        if _holds(table, chosen, policy):
            break
        chosen[group] = True
    return chosen


def sums_leave(counts: Int64Array | Sequence[Sequence[Sequence[int]]], withheld: BoolArray, policy: Policy) -> bool:
    """Whether the sums over all groups, from which a reader gets that of those ``withheld``, may leave."""
    return not withheld.any() or _holds(np.asarray(counts, dtype=np.int64), withheld, policy)


def _holds(table: Int64Array, chosen: BoolArray, policy: Policy) -> bool:
    """Whether the sum of the groups ``chosen`` is of two at least that have anybody, and may leave."""
    inside = table[:, chosen]
    together = inside.sum(axis=1)
    occupied = (inside[:, :, 0] > 0).any(axis=0).sum()
    enough = max(policy.least, int(occupied) + 1)  # a sum of as many as there are groups: each has one
    return bool(occupied >= 2 and ((together == 0) | (together >= enough)).all())
