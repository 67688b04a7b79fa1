"""Heritability by moments, with the trace of squared relationships from random probes: one pass over the genotypes, no n x n matrix.

E[y'K y] = s2_g tr(K K) + s2_e tr(K) and E[y'y] = s2_g tr(K) + s2_e (n - C), all among what covariates leave (Haseman & Elston 1972); tr(K K) is the mean
of |K b|^2 over random b (Wu & Sankararaman 2018, doi:10.1093/bioinformatics/bty253).

Standard errors are the larger of two. K b and y'K y are sums over variants: a block jackknife over runs of variants (Pazokitoroudi et al. 2020,
doi:10.1038/s41467-020-17576-9). It takes y as given, and misses what all variants share, as in families and in populations; so a second pass gives
the variance over y: with q = y'K y / y'y and u = (K - q) y it is 2 tr ((K - q) V (K - q) V), whose estimate is 2 u'V u, V = s2_g K + s2_e.
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


def moments_of(
    cohort: Cohort, probes: Probes, pieces: Sequence[tuple[int, int]], maf: float
) -> tuple[Moments, Float64Array]:
    """Sums over the variants of a group that are common enough among the samples; and the sum of z z'y, (n, T)."""
    n, (b, C) = probes.columns.size, (probes.random.shape[1], probes.Q.shape[1])
    products, quadratic = np.zeros((n, b)), np.zeros(probes.y.shape[1])
    of_y = np.zeros(probes.y.shape)
    used, trace = 0, 0.0
    for Z in _standardised(cohort, probes.columns, pieces, maf):
        W = Z @ probes.together
        products += Z.T @ np.ascontiguousarray(W[:, :b])
        of_y += Z.T @ np.ascontiguousarray(W[:, b + C :])
        rest = W[:, b:].astype(np.float64)
        trace += float(n) * len(Z) - float((rest[:, :C] ** 2).sum())
        quadratic += (rest[:, C:] ** 2).sum(axis=0)
        used += len(Z)
    return Moments(used, products, trace, quadratic), of_y


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


@dataclass(frozen=True)
class Shares:
    """Estimates of T traits.

    Attributes
    ----------
    h2, jackknife : float64 arrays (T,)
        Heritability, and its standard error by the jackknife over groups; NaN where there is none.
    slope : float
        What h2 gains for 1 of ``quotient``.
    quotient : float64 array (T,)
        y'K y / y'y.
    size : float
        Mean of K's diagonal among what covariates leave: the quotient where h2 is 0.
    n_variants : int
    """

    h2: Float64Array
    jackknife: Float64Array
    slope: float
    quotient: Float64Array
    size: float
    n_variants: int


def shares(groups: Sequence[Moments], probes: Probes) -> Shares:
    """Heritability of each trait, from the moments of all groups."""
    some = [group for group in groups if group.n]
    n, C = probes.Q.shape
    rest = float(n - C)  # y'y: traits are scaled so
    total = Moments(
        sum(group.n for group in some),
        np.sum([group.products for group in some], axis=0),
        sum(group.trace for group in some),
        np.sum([group.quadratic for group in some], axis=0),
    )

    def solved(left_out: Moments | None) -> tuple[float, float, Float64Array]:
        """Slope, the quotient at which h2 is 0, and the quotients."""
        M = total.n - (0 if left_out is None else left_out.n)
        S = total.products if left_out is None else total.products - left_out.products
        S = S - probes.Q @ (probes.Q.T @ S)
        squares = float((S**2).sum()) / S.shape[1] / M**2
        trace = (total.trace - (0.0 if left_out is None else left_out.trace)) / M
        quadratic = (total.quadratic - (0.0 if left_out is None else left_out.quadratic)) / M
        # Both equations solved: the variances sum to y'y / (n - C), which is 1
        return trace * rest / (squares * rest - trace * trace), trace / rest, quadratic / rest

    slope, size, quotient = solved(None)
    found = slope * (quotient - size)
    if len(some) < 2:
        return Shares(found, np.full(found.size, np.nan), slope, quotient, size, total.n)
    without = np.stack([a * (q - b) for a, b, q in (solved(group) for group in some)])
    J = len(some)
    error = np.sqrt((J - 1) / J * ((without - without.mean(axis=0)) ** 2).sum(axis=0))
    return Shares(found, error, slope, quotient, size, total.n)


def deviations(found: Shares, probes: Probes, of_y: Float64Array) -> Probes:
    """What the second pass multiplies genotypes with: u = (K - q) y of each trait (n, T), from the sum of z z'y of all groups."""
    products = of_y - probes.Q @ (probes.Q.T @ of_y)
    u = products / found.n_variants - found.quotient * probes.y
    none = np.zeros((len(u), 0))
    together = np.ascontiguousarray(np.hstack([probes.Q, u]).astype(np.float32))
    return Probes(probes.columns, probes.Q, none, u, together)


def standard_errors(found: Shares, second: Probes, quadratic: Float64Array) -> Float64Array:
    """The larger of both standard errors (T,); ``quadratic`` is the sum of (z'u)^2 over all variants."""
    n, C = second.Q.shape
    share = np.clip(found.h2, 0.0, 1.0)
    # s2_g size = h2, s2_e = 1 - h2
    variance = 2.0 * (share / found.size * quadratic / found.n_variants + (1.0 - share) * (second.y**2).sum(axis=0))
    return np.fmax(found.jackknife, np.abs(found.slope) * np.sqrt(variance) / (n - C))
