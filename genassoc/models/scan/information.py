"""How many events are behind each row of a block: `genassoc.stats.information` of the samples whose call is observed."""

from dataclasses import dataclass

import numpy as np

from genassoc.models.scan.sums import GenotypeSums
from genassoc.shapes import BoolArray, Float64Array, Int64Array
from genassoc.stats.information import effective_number

REFIT_ABOVE_MISSING = 0.01  # share of calls missing beyond which one Newton step of the null is not enough
REFIT_DIFFERENTIAL = 6.63  # chi-squared (p = 0.01) of missingness against the outcome


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


def missing_at_random(genotypes: GenotypeSums, n: int, residual: Float64Array, weight: Float64Array) -> BoolArray:
    """Rows (V,) with few of n calls missing, and these unrelated to the outcome: the samples' scores, ``residual`` (N,) of variance
    ``weight`` (N,), sum to about zero.
    """
    excess, variance = sum_missing(genotypes, residual), sum_missing(genotypes, weight)
    differential = excess * excess > REFIT_DIFFERENTIAL * variance
    return np.asarray(((n - genotypes.n) <= REFIT_ABOVE_MISSING * n) & ~differential)


def missing_alike(genotypes: GenotypeSums, n: int, n_marked: int, marked: Int64Array) -> BoolArray:
    """Rows (V,) with few calls missing, as many in cases (or events) as elsewhere.

    ``n`` samples have the trait, ``n_marked`` of them are cases; ``marked`` (V,) are cases whose call is observed.
    """
    missing = n - genotypes.n
    with np.errstate(invalid="ignore", divide="ignore"):
        share = missing / n
        expected = n_marked * share
        variance = expected * (1 - share) * (1 - n_marked / n)
        excess = n_marked - marked - expected
        differential = np.where((missing > 0) & (variance > 0), excess**2 / variance, 0.0)
    return np.asarray((share <= REFIT_ABOVE_MISSING) & (differential <= REFIT_DIFFERENTIAL))
