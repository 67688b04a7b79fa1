"""Families of simulated cohorts: who is whose child, who is sampled, and how alike relatives are expected to be."""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from typing import NamedTuple

import numpy as np

from genassoc.shapes import Array, Float64Array, Int64Array

MALE, FEMALE = 1, 2


class Member(NamedTuple):
    """One person of a kind of family.

    Attributes
    ----------
    father, mother : int
        Members named before; -1 of a founder.
    n_samples : int
        Times the person is in the cohort: 0, once, or twice.
    copies : str
        What a second sample is: "duplicates" (of one person) or "twins" (two persons of one genome).
    """

    father: int = -1
    mother: int = -1
    n_samples: int = 1
    copies: str = "duplicates"


_PARENT = Member(n_samples=0)  # not in the cohort
KINDS: Mapping[str, tuple[Member, ...]] = {
    "duplicates": (Member(n_samples=2),),
    "twins": (Member(n_samples=2, copies="twins"),),
    "trios": (Member(), Member(), Member(0, 1)),
    "siblings": (_PARENT, _PARENT, Member(0, 1), Member(0, 1)),
    "half_siblings": (_PARENT, _PARENT, _PARENT, Member(0, 1), Member(0, 2)),
    "cousins": (
        _PARENT, _PARENT, Member(0, 1, 0), Member(0, 1, 0), _PARENT, _PARENT, Member(2, 4), Member(5, 3),
    ),
    "three_generations": (
        Member(), Member(), Member(0, 1), Member(0, 1), Member(), Member(), Member(2, 4), Member(2, 4), Member(5, 3), Member(5, 3),
    ),
}  # fmt: skip


class Pair(NamedTuple):
    """Two samples of a family, by their order in it: what they are to each other and their expected kinship."""

    one: int
    other: int
    relationship: str
    kinship: float


@dataclass(frozen=True, kw_only=True)
class Pedigree:
    """M persons, of whom N samples were taken.

    Attributes
    ----------
    father, mother : int64 array (M,)
        Persons before; -1 of founders.
    generation : int64 array (M,)
        0 of founders, else one more than the later parent's.
    sex : int64 array (M,)
        1 male, 2 female.
    family : int64 array (M,)
    genome : int64 array (N,)
        The person of each sample; twins are one here.
    person : int64 array (N,)
        As ``genome``, but twins are two.
    kinds : tuple of str
        The kind of each family: one of `KINDS`, or "unrelated".
    pairs : list of (sample, sample, relationship, kinship)
        All samples of a family that are related.
    """

    father: Int64Array
    mother: Int64Array
    generation: Int64Array
    sex: Int64Array
    family: Int64Array
    genome: Int64Array
    person: Int64Array
    kinds: tuple[str, ...]
    pairs: list[tuple[int, int, str, float]]

    @property
    def first_of_person(self) -> Int64Array:
        """The first sample of the person of each sample, (N,): what is drawn for it holds for all of that person."""
        _, first, inverse = np.unique(self.person, return_index=True, return_inverse=True)
        return np.asarray(first[inverse])

    @property
    def founders(self) -> Int64Array:
        """Persons without parents, (F,)."""
        return np.flatnonzero(self.father < 0)


@cache
def kinship_of_members(kind: str) -> Float64Array:
    """Expected kinship of the members of a family, (members, members)."""
    members = KINDS[kind]
    phi = np.zeros((len(members), len(members)))
    for i, member in enumerate(members):
        if member.father >= 0:
            phi[i, :i] = phi[:i, i] = 0.5 * (phi[member.father, :i] + phi[member.mother, :i])
            phi[i, i] = 0.5 + 0.5 * phi[member.father, member.mother]
        else:
            phi[i, i] = 0.5
    return phi


@cache
def related_pairs(kind: str) -> tuple[Pair, ...]:
    """Samples of a family of a kind that are related, numbered in the order of its members."""
    members = KINDS[kind]
    sampled = [i for i, member in enumerate(members) for _ in range(member.n_samples)]
    phi = kinship_of_members(kind)
    return tuple(
        Pair(one, other, _relationship(members, i, j), float(phi[i, j]))
        for one, i in enumerate(sampled)
        for other, j in enumerate(sampled[one + 1 :], start=one + 1)
        if phi[i, j] > 0.0
    )


def _relationship(members: tuple[Member, ...], i: int, j: int) -> str:
    """What member j is to member i, named before."""
    one, other = members[i], members[j]
    if i == j:
        return one.copies
    if i in (other.father, other.mother):
        return "parent_offspring"
    shared = {one.father, one.mother} & {other.father, other.mother} - {-1}
    if shared:
        return "full_siblings" if len(shared) == 2 else "half_siblings"
    return _by_degree(members, i, j)


def _by_degree(members: tuple[Member, ...], i: int, j: int) -> str:
    """What relatives beyond siblings are called."""

    def parents(k: int) -> set[int]:
        return {members[k].father, members[k].mother} - {-1}

    if any(i in parents(parent) for parent in parents(j)):
        return "grandparent"
    for one, other in ((i, j), (j, i)):
        if any(len(parents(one) & parents(parent)) == 2 for parent in parents(other)):
            return "avuncular"
    return "first_cousins"


def numbers_of_families(families: float | Mapping[str, int], n_samples: int) -> dict[str, int]:
    """Families of each kind; a number is the share of all samples that are in families, the same of each kind.

    Raises
    ------
    ValueError
        There is no such kind, or more of them than samples.
    """
    if isinstance(families, Mapping):
        if unknown := sorted(set(families) - set(KINDS)):
            raise ValueError(f"families has {unknown}; the kinds are {list(KINDS)}.")
        chosen = {kind: int(families.get(kind, 0)) for kind in KINDS}
    else:
        if not 0.0 <= families <= 1.0:
            raise ValueError(f"families is {families}; as a share of the samples it must be 0 to 1.")
        chosen = {kind: int(families * n_samples / len(KINDS) / samples_of(kind)) for kind in KINDS}
    needed = sum(number * samples_of(kind) for kind, number in chosen.items())
    if needed > n_samples or min(chosen.values()) < 0:
        raise ValueError(f"families need {needed} samples, and n_samples is {n_samples}; none of them may be below 0.")
    return chosen


def samples_of(kind: str) -> int:
    """Samples of one family of a kind."""
    return sum(member.n_samples for member in KINDS[kind])


def draw_pedigree(rng: np.random.Generator, n_samples: int, families: Mapping[str, int]) -> Pedigree:
    """Families in the numbers asked for, all other samples unrelated; the samples are in random order."""
    alone = n_samples - sum(number * samples_of(kind) for kind, number in families.items())
    kinds = [kind for kind, number in families.items() for _ in range(number)] + ["unrelated"] * alone
    people: list[tuple[int, int, int, int]] = []  # father, mother, generation, family
    fixed: dict[int, int] = {}  # sexes of parents
    genome: list[int] = []
    person: list[int] = []
    pairs: list[tuple[int, int, str, float]] = []
    n_people = 0  # twins counted twice
    for family, kind in enumerate(kinds):
        first, taken = len(people), len(genome)
        for member in KINDS.get(kind, (Member(),)):
            father, mother = (-1 if k < 0 else first + k for k in (member.father, member.mother))
            generation = 0 if father < 0 else 1 + max(people[father][2], people[mother][2])
            if father >= 0:
                fixed[father], fixed[mother] = MALE, FEMALE
            for _ in range(member.n_samples):
                genome.append(len(people))
                person.append(n_people)
                n_people += member.copies == "twins"
            n_people += member.copies != "twins"
            people.append((father, mother, generation, family))
        if kind in KINDS:
            pairs += [(taken + one, taken + other, name, phi) for one, other, name, phi in related_pairs(kind)]
    table = np.array(people, dtype=np.int64)
    sex = rng.integers(MALE, FEMALE + 1, len(people))
    sex[list(fixed)] = list(fixed.values())
    order = rng.permutation(n_samples)  # of the samples in the cohort: where each comes from
    place = np.argsort(order)
    pairs = [(*sorted((int(place[one]), int(place[other]))), name, phi) for one, other, name, phi in pairs]  # type: ignore[misc]
    fathers, mothers, generations, family_of = (np.ascontiguousarray(column) for column in table.T)
    genomes, persons = np.array(genome)[order], np.array(person)[order]
    return Pedigree(
        father=fathers,
        mother=mothers,
        generation=generations,
        sex=sex,
        family=family_of,
        genome=genomes,
        person=persons,
        kinds=tuple(kinds),
        pairs=sorted(pairs),
    )


def first_sample_of(pedigree: Pedigree, names: Array) -> Array:
    """Name of the first sample of each person (M,); None of those who are not in the cohort."""
    of_person = np.full(pedigree.father.size, None, dtype=object)
    of_person[pedigree.genome[::-1]] = names[::-1]
    return of_person
