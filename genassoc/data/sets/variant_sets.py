"""Sets of variants (genes) as files name them: which variants, their annotations and weights, and masks. No store is needed yet."""

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from difflib import get_close_matches
from functools import cached_property

import polars as pl

from genassoc.data.cohort.matching import first_few
from genassoc.errors import InputError

SET, VARIANT, ANNOTATION = "set_id", "variant", "annotation"
MOST_ROWS = 2**27  # variants of all sets: a biobank's exomes have ten million
_ROWS = 2**20  # digested at a time


@dataclass(frozen=True, eq=False, repr=False)
class VariantSets:
    """Sets of variants, such as genes, with annotations, weights and masks.

    Attributes
    ----------
    table : polars DataFrame
        ``set_id``, ``variant`` (a name: rsid, chromosome_position_ref_alt, chr:pos:ref:alt, ...), ``annotation`` (null where it has
        none), and a column for each weight. A variant with two annotations in a set has two rows.
    masks : mapping of str to tuple of str
        Name of a mask -> the annotations whose variants it takes.
    weights : tuple of str
        Which columns are weights.
    chromosomes : mapping of str to str
        Set -> its chromosome, where the file states it.
    notes : tuple of str
        What was found in the files.
    source : str
        Where they are from, for messages.
    """

    table: pl.DataFrame
    masks: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    weights: tuple[str, ...] = ()
    chromosomes: Mapping[str, str] = field(default_factory=dict)
    notes: tuple[str, ...] = ()
    source: str = "sets"

    @property
    def n_sets(self) -> int:
        """How many sets there are."""
        return int(self.table[SET].n_unique())

    @cached_property
    def annotations(self) -> tuple[str, ...]:
        """The annotations that variants have, in alphabetical order."""
        return tuple(sorted(self.table[ANNOTATION].drop_nulls().unique().cast(pl.String).to_list()))

    @cached_property
    def digest(self) -> str:
        """SHA-256 of the content: sets, names, annotations, weights, masks; not of paths, and not of the order of rows."""
        digest = hashlib.sha256(repr(sorted((name, sorted(of)) for name, of in self.masks.items())).encode())
        columns = [SET, VARIANT, ANNOTATION, *sorted(self.weights)]
        digest.update(repr(columns).encode())
        text = self.table.select(columns).with_columns(pl.col(SET, ANNOTATION).cast(pl.String))
        ordered = text.unique().sort(columns)
        for start in range(0, ordered.height, _ROWS):
            digest.update(ordered[start : start + _ROWS].write_csv(include_header=False, quote_style="always").encode())
        return digest.hexdigest()

    def with_masks(self, masks: Mapping[str, Sequence[str] | str]) -> "VariantSets":
        """The same with other masks: name -> annotations (several also as "LoF,missense").

        Raises
        ------
        InputError
            A mask has no name or no annotation.
        """
        made, notes = checked_masks(masks, self.annotations, self.source)
        return VariantSets(self.table, made, self.weights, self.chromosomes, (*self.notes, *notes), self.source)

    def lines(self) -> list[str]:
        """What they are, and what was found."""
        names = self.table[VARIANT].n_unique()
        words = [f"{self.source}: {self.n_sets:,} sets of {names:,} variants"]
        if self.annotations:
            words.append(f"annotations: {first_few(self.annotations, 6)}")
        words += [f"mask {name}: {', '.join(of)}" for name, of in self.masks.items()]
        if self.weights:
            words.append(f"weights: {', '.join(self.weights)}")
        return [*words, *self.notes]

    def __repr__(self) -> str:
        parts = [f"{self.n_sets:,} sets, {self.table.height:,} variants in sets"]
        for n, what in (
            (len(self.annotations), "annotation"),
            (len(self.masks), "mask"),
            (len(self.weights), "weight"),
        ):
            if n:
                parts.append(f"{n:,} {what}{'s' if n > 1 else ''}")
        return f"VariantSets({', '.join(parts)})"


def checked_masks(
    masks: Mapping[str, Sequence[str] | str], known: Sequence[str], source: str
) -> tuple[dict[str, tuple[str, ...]], list[str]]:
    """Masks with their annotations as tuples, and notes on those that no variant has.

    Raises
    ------
    InputError
        A mask has no name or no annotation.
    """
    made: dict[str, tuple[str, ...]] = {}
    notes = []
    for name, given in masks.items():
        parts = given.replace(";", ",").split(",") if isinstance(given, str) else given
        of = tuple(dict.fromkeys(part.strip() for part in parts if part.strip()))
        if not str(name).strip() or not of:
            raise InputError(
                f"{source}: the mask '{name}' names no annotation, so it has no variant: name some, or remove it"
            )
        made[str(name)] = of
        for lacking in [part for part in of if part not in known]:
            close = get_close_matches(lacking, known, n=1) or [k for k in known if k.casefold() == lacking.casefold()]
            hint = f" (there is '{close[0]}')" if close else ""
            notes.append(f"mask {name} names the annotation '{lacking}', which no variant has{hint}")
        if not any(part in known for part in of):
            notes.append(f"mask {name} is empty: no variant has any of its annotations")
    return made, notes


def sets_of(
    parts: Sequence[pl.DataFrame],
    source: str,
    *,
    masks: Mapping[str, Sequence[str] | str] | None = None,
    weights: Sequence[str] = (),
    chromosomes: Mapping[str, str] | None = None,
    notes: Sequence[str] = (),
) -> VariantSets:
    """Sets from pieces of their table; what is the same twice in a set is said.

    Raises
    ------
    InputError
        There is no variant in any set; a mask is empty of names.
    """
    columns = [SET, VARIANT, ANNOTATION, *weights]
    made = [part if ANNOTATION in part.columns else part.with_columns(pl.lit(None).alias(ANNOTATION)) for part in parts]
    table = (
        pl.concat([part.select(columns).cast({SET: pl.Categorical, ANNOTATION: pl.Categorical}) for part in made])
        if made
        else None
    )
    if table is None or not table.height:
        raise InputError(f"{source}: names no variant of any set")
    known = tuple(sorted(table[ANNOTATION].drop_nulls().unique().cast(pl.String).to_list()))
    checked, more = checked_masks(masks or {}, known, source)
    if checked and not known:
        raise InputError(
            f"{source}: masks are combinations of annotations, and no variant has an annotation: give annotations too"
        )
    return VariantSets(table, checked, tuple(weights), dict(chromosomes or {}), (*notes, *more), source)
