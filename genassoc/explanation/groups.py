"""What samples are counted and drawn by: genotypes, or the levels or thirds of a predictor."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from genassoc.explanation.arms import thirds
from genassoc.refit.row_data import RowData
from genassoc.shapes import Int64Array

_LEVELS = 8  # of a predictor; of more, its thirds


@dataclass(frozen=True, eq=False)
class Groups:
    """Groups of the n samples of a row.

    Attributes
    ----------
    heading : str
        "genotype" or "level".
    names : tuple of str
    which : int64 array (n,)
        Number of each sample's group, -1 without a call or value.
    missing : str
        What those are called.
    """

    heading: str
    names: tuple[str, ...]
    which: Int64Array
    missing: str

    @property
    def present(self) -> list[int]:
        """Groups with samples."""
        return [number for number in range(len(self.names)) if (self.which == number).any()]


def genotype_names(other: str, effect: str, longest: int = 8) -> tuple[str, str, str]:
    """Genotypes with 0, 1 and 2 copies of ALT; long alleles are cut."""
    ref, alt = (allele if len(allele) <= longest else f"{allele[: longest - 3]}..." for allele in (other, effect))
    return f"{ref}/{ref}", f"{ref}/{alt}", f"{alt}/{alt}"


def groups_of(data: RowData, row: Mapping[str, Any]) -> Groups:
    """Groups of the samples of a row, those without a call too."""
    known = ~np.isnan(data.copies)
    which = np.full(data.n, -1, dtype=np.int64)
    if data.predictor is None:
        which[known] = np.rint(data.copies[known]).astype(np.int64)  # of dosages the nearest genotype
        return Groups("genotype", genotype_names(str(row["other_allele"]), str(row["effect_allele"])), which, "no call")
    levels, at = np.unique(data.copies[known], return_inverse=True)
    names = [f"{level:.6g}" for level in levels]
    if levels.size > _LEVELS:
        labels, at = np.unique(thirds(data.copies[known]), return_inverse=True)
        names = [str(label) for label in labels]
    which[known] = at
    return Groups("level", tuple(names), which, "missing")
