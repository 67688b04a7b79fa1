"""How many events are behind each row of a block: `genassoc.stats.information` of the samples whose call is observed."""

from dataclasses import dataclass

import numpy as np

from genassoc.models.scan.sums import GenotypeSums
from genassoc.shapes import BoolArray, Float64Array, Int64Array
from genassoc.stats.information import effective_number


@dataclass(frozen=True)
class EventSizes:
    """What the events of a trait weigh; of an outcome with sides (cases and controls; levels beyond a threshold) the rarer counts.

    Attributes
    ----------
    sizes : float64 array (S, N)
        Of each side, in the columns of a block: 0 for samples that are not on it.
    """

    sizes: Float64Array

    @classmethod
    def of(cls, sides: Float64Array, columns: Int64Array, block_width: int) -> "EventSizes":
        """Sides (S, n), or one (n,), of a trait's samples, which are ``columns`` of a block."""
        sides = np.atleast_2d(sides)
        wide = np.zeros((sides.shape[0], block_width))
        wide[:, columns] = sides
        return cls(wide)

    def effective(self, genotypes: GenotypeSums, impute: bool) -> Float64Array:
        """Effective number of events (V,) of the rarest side, among the samples whose call is observed unless all have one."""
        counted = np.full(genotypes.n.size, np.inf)
        for side in self.sizes:
            counted = np.minimum(counted, self._of_side(side, genotypes, impute))
        return counted

    def few(self, genotypes: GenotypeSums, impute: bool, least: float) -> BoolArray:
        """Rows (V,) with fewer than ``least`` effective events."""
        return np.asarray(self.effective(genotypes, impute) < least)

    @staticmethod
    def _of_side(side: Float64Array, genotypes: GenotypeSums, impute: bool) -> Float64Array:
        total, squares = np.full(genotypes.n.size, side.sum()), np.full(genotypes.n.size, (side * side).sum())
        if not impute:
            total = total - sum_missing(genotypes, side)
            squares = squares - sum_missing(genotypes, side * side)
        # What is left of a sum of which all was taken is rounding.
        squares[squares <= 1e-12 * (side * side).sum()] = 0.0
        return effective_number(total, squares)


def sum_missing(genotypes: GenotypeSums, values: Float64Array) -> Float64Array:
    """Sums of values (N,) over the samples whose call is missing, (V,); a variant's bits do not depend on the others."""
    total = np.zeros(genotypes.n.size)
    some = np.flatnonzero(np.diff(genotypes.pointers))
    if some.size:
        total[some] = np.add.reduceat(values[genotypes.indices], genotypes.pointers[some])
    return total
