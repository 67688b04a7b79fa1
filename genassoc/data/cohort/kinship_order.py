"""Whether a kinship matrix without ids goes with the genotypes of a cohort: of other samples, or in another order, it does not."""

from typing import TYPE_CHECKING

import numpy as np

from genassoc.data.block import take_samples
from genassoc.data.cohort.kinship import chromosome_key, standardised_pieces
from genassoc.shapes import Array, Float64Array

if TYPE_CHECKING:
    from genassoc.data.cohort.cohort import Cohort

_SEED = 15
_SAMPLES = 400  # 80,000 pairs: a correlation of 0.02 stands clear of chance
_CHUNKS, _VARIANTS = 16, 128  # of the store: about 2,000 variants, spread over it
_MAF = 0.05
_PERMUTATIONS = 199  # a matrix that goes with the genotypes beats all of them; one that does not does so once in 200


def order_note(cohort: "Cohort", values: Float64Array, source: str) -> str | None:
    """What is to be said of a matrix (N, N) whose entries have nothing to do with what pairs of samples share in the store; else None.

    Entries outside the diagonal are compared with relationships by some 2,000 variants of the store, of at most 400 samples, and so are
    those of the matrix with its samples permuted (Mantel 1967).
    """
    rng = np.random.default_rng(_SEED)
    n = int(cohort.n_samples)
    some = np.arange(n) if n <= _SAMPLES else np.sort(rng.choice(n, _SAMPLES, replace=False))
    given = _centred(values[np.ix_(some, some)])
    if some.size < 10 or not np.abs(given).max() > 1e-9 * np.abs(values[some]).max():
        return None  # all pairs are alike, as of an identity matrix
    shared, used = _relationships(cohort, some)
    if used < 100:
        return None
    genotypes = _centred(shared)
    found = float((given * genotypes).sum())
    by_chance = 0.0
    for _ in range(_PERMUTATIONS):
        at = rng.permutation(some.size)
        by_chance = max(by_chance, float((given[np.ix_(at, at)] * genotypes).sum()))
    if found > by_chance:
        return None
    return (
        f"{source} does not go with the genotypes: its entries are no more like what pairs of samples share at {used:,} variants than those of "
        "a matrix in random order. Is it of other samples, or in another order than the store's? (One of unrelated samples, made of other "
        "chromosomes than these, looks so too.)"
    )


def _relationships(cohort: "Cohort", some: Array) -> tuple[Float64Array, int]:
    """Sums of products of genotypes of pairs of samples, and of how many variants."""
    runs = [run for run in cohort.store.contig_runs() if chromosome_key(cohort, run[0])]
    starts = np.concatenate([np.arange(a, b, _VARIANTS) for _, a, b in runs]) if runs else np.empty(0, dtype=np.int64)
    ends = {int(start): b for _, a, b in runs for start in range(a, b, _VARIANTS)}
    if starts.size > _CHUNKS:
        starts = starts[np.linspace(0, starts.size - 1, _CHUNKS).round().astype(int)]
    total, used = np.zeros((some.size, some.size)), 0
    for start in starts.tolist():
        block = take_samples(cohort.read(start, min(start + _VARIANTS, ends[start])), cohort.block_columns[some])
        for Z in standardised_pieces(block, "standardised", _MAF):
            total += Z.T @ Z
            used += len(Z)
    return total, used


def _centred(values: Float64Array) -> Float64Array:
    """A matrix without its diagonal, rows and columns less their means."""
    n = len(values)
    off = ~np.eye(n, dtype=bool)
    rows = np.where(off, values, 0.0).sum(axis=1) / (n - 1)
    return np.where(off, values - rows[:, None] - rows + rows.mean(), 0.0)
