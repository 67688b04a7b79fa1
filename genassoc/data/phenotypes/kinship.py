"""Relationships of a cohort's samples as a matrix; `genassoc.data.cohort.kinship` reads or computes it."""

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

import numpy as np

from genassoc.shapes import BoolArray, Float64Array

Scaling = Literal["standardised", "centred"]


@dataclass(frozen=True, eq=False, kw_only=True)
class Kinship:
    """Relationships of a cohort's samples.

    Attributes
    ----------
    values : float64 array (N, N) or None
        The matrix; of the store's variants their sum, before it is divided by their number, None until it is computed.
    digest : str
        Hash of the content of a given matrix; of the store's, the rule, since the store and the samples say the rest.
    source : str
        Where it came from, in words.
    origin : str or None
        The absolute path of its file.
    scaling : {"standardised", "centred"} or None
        Of the store's variants: each has variance 1 (GEMMA's ``-gk 2``), or is less its mean (``-gk 1``). None of a given matrix.
    maf : float
        Least frequency of the rarer allele among the cohort's samples.
    n_variants : int
    loco : bool
        Each autosome has the matrix of the others.
    left_out : str
        The key of the chromosome (`genassoc.data.cohort.kinship.chromosome_key`) whose variants are to be left out; "" where none is.
    """

    values: Float64Array | None
    digest: str
    source: str
    origin: str | None = None
    scaling: Scaling | None = None
    maf: float = 0.0
    n_variants: int = 0
    loco: bool = False
    left_out: str = ""

    @classmethod
    def of_store(cls, scaling: Scaling, maf: float, loco: bool) -> "Kinship":
        """That of the autosomal variants of a cohort's store; not computed yet."""
        made = f"{scaling} relationships, maf >= {maf:g}{', chromosome by chromosome' if loco else ''}"
        return cls(values=None, digest=made, source="the store", scaling=scaling, maf=maf, loco=loco)

    @property
    def files(self) -> tuple[Path, ...]:
        """Its file, if it has one."""
        return () if self.origin is None else (Path(self.origin),)

    def take(self, keep: BoolArray) -> "Kinship":
        """That of some of the samples (bool (N,)); of the store's it is to be computed again, since frequencies are the samples'."""
        if self.scaling is not None:
            return replace(self, values=None, n_variants=0)
        assert self.values is not None
        return replace(self, values=self.values[np.ix_(keep, keep)])

    def at(self, key: str) -> "Kinship":
        """That for variants of a chromosome, by its key."""
        return replace(self, left_out=key) if self.loco else self
