"""Laws of sums of independent draws on lattices: convolved, every term positive, so that a tail of 1e-25 is as right as one of 0.1.

Steps are powers of two of one unit; a law that grows too long is put on a lattice twice as coarse. A point between two of its cells is split
among them, with its mean kept. That adds at most a quarter of a squared step to the variance, where a law of so many cells has a standard
deviation of many steps.
"""

from dataclasses import dataclass

import numpy as np

from genassoc.shapes import Float64Array

MOST_CELLS = 1024
NEGLIGIBLE = 1e-30  # of either end, which is kept at the last cell: no p below `LEAST` is given
LEAST = 1e-25
_WIDE = 3.0  # standard deviations from the middle, up to which the points of `LatticeLaw.points` are as dense as in the middle


@dataclass(frozen=True)
class LatticeLaw:
    """The law of a sum.

    Attributes
    ----------
    power : int
        The step is ``2 ** power`` units.
    first : int
        The first cell, in steps.
    chance : float64 array (m,)
    """

    power: int
    first: int
    chance: Float64Array

    @classmethod
    def of(cls, values: Float64Array, unit: float) -> "LatticeLaw":
        """That of one of ``values`` (n,), all of the same chance, on a lattice of step ``unit``."""
        x = values / unit
        low = np.floor(x).astype(np.int64)
        part, first = x - low, int(low.min())
        m = int(low.max()) - first + 2
        counts = np.bincount(low - first, 1.0 - part, m) + np.bincount(low - first + 1, part, m)
        return cls(0, first, counts / values.size).short()

    def times(self, eighths: int) -> "LatticeLaw":
        """The law of the sum times so many eighths."""
        stride, power = (eighths // 8, self.power) if eighths % 8 == 0 else (eighths, self.power - 3)
        chance = np.zeros((self.chance.size - 1) * stride + 1)
        chance[::stride] = self.chance
        return LatticeLaw(power, self.first * stride, chance).short()

    def coarser(self) -> "LatticeLaw":
        """The same law on a lattice of twice the step."""
        first, chance = self.first, self.chance
        if first % 2:
            first, chance = first - 1, np.append(0.0, chance)
        if chance.size % 2 == 0:
            chance = np.append(chance, 0.0)
        made = chance[::2].copy()
        odd = 0.5 * chance[1::2]
        made[:-1] += odd
        made[1:] += odd
        return LatticeLaw(self.power + 1, first // 2, made)

    def short(self) -> "LatticeLaw":
        """The same law without cells of no chance, on a lattice so coarse that it has at most `MOST_CELLS`."""
        low = int(np.searchsorted(np.cumsum(self.chance), NEGLIGIBLE))
        high = self.chance.size - int(np.searchsorted(np.cumsum(self.chance[::-1]), NEGLIGIBLE))
        chance = self.chance[low:high].copy()
        chance[0] += self.chance[:low].sum()
        chance[-1] += self.chance[high:].sum()
        law = LatticeLaw(self.power, self.first + low, chance)
        while law.chance.size > MOST_CELLS:
            law = law.coarser()
        return law

    def plus(self, other: "LatticeLaw") -> "LatticeLaw":
        """The law of the sum of both."""
        one = self
        while one.power < other.power:
            one = one.coarser()
        while other.power < one.power:
            other = other.coarser()
        return LatticeLaw(one.power, one.first + other.first, np.convolve(one.chance, other.chance)).short()

    def values(self, unit: float) -> Float64Array:
        """What the cells stand for, (m,)."""
        return np.asarray((self.first + np.arange(self.chance.size)) * (unit * 2.0**self.power))

    def points(self, unit: float, least: float) -> tuple[Float64Array, Float64Array, Float64Array]:
        """The law less its mean in fewer points: means of x and of x^2, ascending, and their chances (k,).

        They are ``least`` standard deviations apart in the middle, and farther out; 0 keeps all cells.
        """
        x = self.values(unit)
        x = x - float(self.chance @ x)
        deviation = float(np.sqrt(self.chance @ (x * x)))
        if not least * deviation > 0.0:
            there = self.chance > 0.0
            return x[there], x[there] ** 2, self.chance[there]
        cell = np.rint(np.arcsinh(x / (_WIDE * deviation)) * (_WIDE / least)).astype(np.int64)
        cell -= cell[0]
        chance: Float64Array = np.asarray(np.bincount(cell, self.chance), dtype=np.float64)
        there = chance > 0.0
        mean, square = (np.bincount(cell, self.chance * power)[there] / chance[there] for power in (x, x * x))
        return mean, square, chance[there]
