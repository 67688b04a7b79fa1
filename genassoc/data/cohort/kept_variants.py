"""Variants of a store that were chosen by name or by an analysis, such as pruning: what `Cohort.keep_variants` takes."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np
import polars as pl

from genassoc.errors import PlanError
from genassoc.shapes import Array, BoolArray, Int64Array

if TYPE_CHECKING:
    from genassoc.data.store.store import GenotypeStore


@dataclass(frozen=True, eq=False)
class KeptVariants:
    """Some variants of a store.

    Attributes
    ----------
    store : GenotypeStore
    mask : bool array (n_variants,)
        Which.
    label : str
        What chose them, as "r2 <= 0.1 within 1,000 kb".
    dropped : mapping of str to int
        Reason -> variants that are not among them.
    notes : tuple of str
        What is to be known of the choice.
    """

    store: "GenotypeStore"
    mask: BoolArray
    label: str
    dropped: Mapping[str, int] = field(default_factory=dict)
    notes: tuple[str, ...] = ()

    @property
    def numbers(self) -> Int64Array:
        """Their numbers in the store, ascending."""
        return np.flatnonzero(self.mask)

    def __len__(self) -> int:
        return int(np.count_nonzero(self.mask))

    def __array__(self, dtype: "np.dtype[np.generic] | None" = None, copy: bool | None = None) -> Array:
        """The mask."""
        return np.array(self.mask, dtype=dtype)

    def of_store(self, store: "GenotypeStore") -> BoolArray:
        """The mask, for a cohort of that store.

        Raises
        ------
        PlanError
            The variants are those of another store.
        """
        if self.mask.size != store.n_variants or self.store.fingerprint != store.fingerprint:
            raise PlanError(
                f"these variants ({self.label}) were chosen in another store: numbers of variants mean nothing here. Write them to a file "
                "(.write) and read that for this store (genassoc.read_variants)"
            )
        return self.mask

    def table(self) -> pl.DataFrame:
        """Their chromosome, base_pair_location, rsid, other_allele and effect_allele."""
        columns = ["chromosome", "base_pair_location", "rsid", "other_allele", "effect_allele"]
        step, parts = 65_536, []
        for start in range(0, self.mask.size, step):
            here = self.mask[start : start + step]
            if here.any():
                parts.append(self.store.variants(start, start + here.size).select(columns).filter(pl.Series(here)))
        return pl.concat(parts) if parts else self.store.variants(0, 0).select(columns)

    def lines(self) -> list[str]:
        """How many are kept of how many, and why the others are not."""
        why = ", ".join(f"{n:,} {reason}" for reason, n in self.dropped.items() if n)
        return [
            f"{len(self):,} of {self.mask.size:,} variants kept: {self.label}" + (f"; dropped: {why}" if why else ""),
            *self.notes,
        ]

    def __repr__(self) -> str:
        return f"KeptVariants({'; '.join(self.lines())})"
