"""Which samples are predicted from which: folds drawn by a seed, cases dealt evenly.

Relatives are dealt like all others: what relatives share is predicted from relatives in other folds (decision 0073).
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from genassoc.shapes import BoolArray, Int64Array


@dataclass(frozen=True, eq=False)
class Folds:
    """Folds of samples that stand in fold order: fold k is the samples ``bounds[k]:bounds[k + 1]``.

    Attributes
    ----------
    bounds : int64 array (K + 1,)
    leave_one_out : bool
        Each sample is predicted from all others; ``bounds`` is then (0, n).
    """

    bounds: Int64Array
    leave_one_out: bool = False

    @property
    def n_folds(self) -> int:
        """K; with ``leave_one_out`` 1, all samples."""
        return self.bounds.size - 1

    @property
    def segments(self) -> list[tuple[int, int]]:
        """First sample of each fold, and the first after it."""
        return [(int(a), int(b)) for a, b in zip(self.bounds, self.bounds[1:])]

    def among(self, kept: BoolArray) -> "Folds":
        """Those of some of the samples (bool (n,)), which keep their order."""
        before = np.concatenate([[0], np.cumsum(kept)])
        return Folds(before[self.bounds].astype(np.int64), self.leave_one_out)


def in_store_order(n: int, n_folds: int) -> tuple[Int64Array, Folds]:
    """Runs of ``n // n_folds`` samples; the last fold has the rest too, as in REGENIE."""
    size = n // n_folds
    return np.arange(n, dtype=np.int64), Folds(np.array([*(k * size for k in range(n_folds)), n], dtype=np.int64))


def drawn(n: int, n_folds: int, seed: int, strata: Sequence[Int64Array]) -> tuple[Int64Array, Folds]:
    """Samples in fold order, dealt at random.

    Parameters
    ----------
    n : int
        Samples.
    strata : sequence of int64 arrays (n,)
        Of each binary trait 0, 1, or -1 where it is missing; cases and controls are dealt evenly, most evenly those of the trait with
        the fewest cases.

    Returns
    -------
    order : int64 array (n,)
        Samples, fold after fold.
    folds : Folds
    """
    shuffled = np.random.Generator(np.random.PCG64(seed)).permutation(n)
    rarest_first = sorted(
        strata, key=lambda values: int(min(np.count_nonzero(values == 0), np.count_nonzero(values == 1)))
    )
    keys = [values[shuffled] for values in rarest_first]
    if keys:
        shuffled = shuffled[np.lexsort(keys[::-1])]  # stable: at random within a stratum
    fold = np.empty(n, dtype=np.int64)
    fold[shuffled] = np.arange(n) % n_folds
    order = np.argsort(fold, kind="stable").astype(np.int64)  # within a fold in the order of the cohort
    bounds = np.concatenate([[0], np.cumsum(np.bincount(fold, minlength=n_folds))]).astype(np.int64)
    return order, Folds(bounds)
