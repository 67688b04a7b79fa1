"""Heritability by moments, with the trace of squared relationships from random probes: one pass over the genotypes, no n x n matrix.

E[y'K y] = s2_g tr(K K) + s2_e tr(K) and E[y'y] = s2_g tr(K) + s2_e (n - C), all among what covariates leave (Haseman & Elston 1972); tr(K K) is the mean
of |K b|^2 over random b (Wu & Sankararaman 2018, doi:10.1093/bioinformatics/bty253). K b and y'K y are sums over variants, so that a block
jackknife over runs of variants gives the standard error (Pazokitoroudi et al. 2020, doi:10.1038/s41467-020-17576-9).
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from genassoc.data.block import take_samples
from genassoc.data.cohort.cohort import Cohort
from genassoc.data.cohort.kinship import chromosome_key, standardised_pieces
from genassoc.data.schema import working_variants
from genassoc.shapes import Float32Array, Float64Array, Int64Array
from genassoc.stats.linalg import orthonormal_basis

N_PROBES = 20
N_GROUPS = 50  # of the jackknife


@dataclass(frozen=True)
class Probes:
    """The samples of some traits and what genotypes are multiplied with.

    Attributes
    ----------
    columns : int64 array (n,)
        Of a block.
    Q : float64 array (n, C)
        An orthonormal basis of the covariates.
    random : float64 array (n, b)
        Random vectors less what covariates explain of them.
    y : float64 array (n, T)
        Traits less what covariates explain, of mean square n / (n - C).
    together : float32 array (n, b + C + T)
        All of them.
    """

    columns: Int64Array
    Q: Float64Array
    random: Float64Array
    y: Float64Array
    together: Float32Array

    @classmethod
    def of(cls, columns: Int64Array, X: Float64Array, y: Float64Array, n_probes: int, seed: int) -> "Probes":
        """Of traits y (n, T) and covariates X (n, C), the constant first."""
        Q = orthonormal_basis(X).Q
        n, C = Q.shape
        random = np.random.default_rng(seed).standard_normal((n, n_probes))
        random -= Q @ (Q.T @ random)
        left = y - Q @ (Q.T @ y)
        size = np.sqrt((left**2).sum(axis=0) / (n - C))
        left = left / np.where(size > 1e-10 * np.abs(y).max(axis=0), size, np.nan)
        together = np.hstack([random, Q, left]).astype(np.float32)
        return cls(columns, Q, random, left, np.ascontiguousarray(together))


@dataclass(frozen=True)
class Moments:
    """Sums over the variants of a group.

    Attributes
    ----------
    n : int
        Variants.
    products : float64 array (n, b)
        Sum of z z'b.
    trace : float
        Of z z', among what covariates leave.
    quadratic : float64 array (T,)
        Sum of (z'y)^2.
    """

    n: int
    products: Float64Array
    trace: float
    quadratic: Float64Array


def groups_of(cohort: Cohort) -> list[tuple[tuple[int, int], ...]]:
    """At most `N_GROUPS` groups of neighbouring autosomal variants, about alike in size: pieces (start, stop), none on two contigs."""
    runs = [(first, last) for contig, first, last in cohort.store.contig_runs() if chromosome_key(cohort, contig)]
    total = sum(last - first for first, last in runs)
    size = max(1, -(-total // N_GROUPS))
    groups: list[tuple[tuple[int, int], ...]] = []
    own: list[tuple[int, int]] = []
    room = size
    for first, last in runs:
        while first < last:
            stop = min(last, first + room)
            own.append((first, stop))
            room -= stop - first
            first = stop
            if room == 0:
                groups.append(tuple(own))
                own, room = [], size
    return [*groups, tuple(own)] if own else groups


def moments_of(cohort: Cohort, probes: Probes, pieces: Sequence[tuple[int, int]], maf: float) -> Moments:
    """Sums over the variants of a group that are common enough among the samples."""
    n, (b, C) = probes.columns.size, (probes.random.shape[1], probes.Q.shape[1])
    products, quadratic = np.zeros((n, b)), np.zeros(probes.y.shape[1])
    used, trace = 0, 0.0
    for Z in _standardised(cohort, probes.columns, pieces, maf):
        W = Z @ probes.together
        products += Z.T @ np.ascontiguousarray(W[:, :b])
        rest = W[:, b:].astype(np.float64)
        trace += float(n) * len(Z) - float((rest[:, :C] ** 2).sum())
        quadratic += (rest[:, C:] ** 2).sum(axis=0)
        used += len(Z)
    return Moments(used, products, trace, quadratic)


def _standardised(
    cohort: Cohort, columns: Int64Array, pieces: Sequence[tuple[int, int]], maf: float
) -> Iterator[Float32Array]:
    step = working_variants(cohort.block_width, cohort.has_dosages)
    for first, last in pieces:
        for start in range(first, last, step):
            block = cohort.read(start, min(start + step, last))
            if columns.size != block.n_samples:
                block = take_samples(block, columns)
            yield from standardised_pieces(block, "standardised", maf)


def shares(groups: Sequence[Moments], probes: Probes) -> tuple[Float64Array, Float64Array]:
    """Heritability of each trait (T,) and its standard error by the jackknife over groups; NaN where there is none."""
    some = [group for group in groups if group.n]
    n, C = probes.Q.shape
    total = Moments(
        sum(group.n for group in some),
        np.sum([group.products for group in some], axis=0),
        sum(group.trace for group in some),
        np.sum([group.quadratic for group in some], axis=0),
    )

    def solved(left_out: Moments | None) -> Float64Array:
        M = total.n - (0 if left_out is None else left_out.n)
        S = total.products if left_out is None else total.products - left_out.products
        S = S - probes.Q @ (probes.Q.T @ S)
        squares = float((S**2).sum()) / S.shape[1] / M**2
        trace = (total.trace - (0.0 if left_out is None else left_out.trace)) / M
        quadratic = (total.quadratic - (0.0 if left_out is None else left_out.quadratic)) / M
        rest = float(n - C)
        # y'y is n - C: traits are scaled so
        determinant = squares * rest - trace * trace
        genetic = (rest * quadratic - trace * rest) / determinant
        error = (squares * rest - trace * quadratic) / determinant
        size = trace / rest
        return np.asarray(genetic * size / (genetic * size + error))

    found = solved(None)
    if len(some) < 2:
        return found, np.full(found.size, np.nan)
    without = np.stack([solved(group) for group in some])
    J = len(some)
    return found, np.sqrt((J - 1) / J * ((without - without.mean(axis=0)) ** 2).sum(axis=0))
