"""Whether samples have leading components of ancestry, by a few thousand variants: components that two halves of the genome agree on.

Components of one half of the chromosomes are tried on the other half: without structure a component of one half is a random direction for the
other, whatever the LD within either, since chromosomes are inherited apart. So no law of eigenvalues is asked for, which LD would void.
"""

from dataclasses import dataclass

import numpy as np

from genassoc.data.block import GenotypeBlock
from genassoc.kernels.genotypes.standardised import decode_by_table
from genassoc.shapes import Float32Array, Float64Array, Int64Array

MOST_COMPONENTS = 4
_SPARE = 8  # directions beside them, with which the iteration settles
_ROUNDS = 12  # of subspace iteration: components that stand out by a tenth are found to 1e-2 or better
_PERMUTATIONS = 100
# In standard deviations of the permuted: of eight looks (four components, two halves, both of which must agree) one passes by chance in 10^8 cohorts.
_LEAST_Z = 4.0


@dataclass(frozen=True)
class LeadingComponents:
    """Components that both halves of the genome have.

    Attributes
    ----------
    scores : float64 array (n, K)
        Of the samples, orthonormal columns; K is 0 to 4.
    reliability : float64 array (K,)
        The share of each one's variance that is ancestry and no noise of the few variants, by how well the halves agree
        (Spearman-Brown): the R2 that a component known without noise would have.
    """

    scores: Float64Array
    reliability: Float64Array

    @property
    def n(self) -> int:
        """K."""
        return int(self.reliability.size)

    def held_by(self, X: Float64Array) -> Float64Array:
        """R2 of each component on covariates X (n, C), an intercept among them: (K,)."""
        basis, _ = np.linalg.qr(X)
        centred = self.scores - self.scores.mean(axis=0)
        projected = basis @ (basis.T @ centred)
        return np.asarray((projected**2).sum(axis=0) / (centred**2).sum(axis=0))


def leading_components(block: GenotypeBlock, half: Int64Array, seed: int) -> LeadingComponents:
    """Components of all samples of a block that its two halves of variants agree on.

    Parameters
    ----------
    block : GenotypeBlock
        Some thousand variants (V, n) that vary, pruned; n is a few hundred to two thousand.
    half : int64 array (V,)
        0 or 1: of which half each is, whole chromosomes where there are several.
    seed : int
        Of the first directions and the permutations.
    """
    n = block.n_samples
    rng = np.random.default_rng(seed)
    start = rng.normal(size=(n, MOST_COMPONENTS + _SPARE)).astype(np.float32)
    relations = [_relations(block.take(half == which)) for which in (0, 1)]
    one, two = (_leading(relation, start) for relation in relations)
    permuted = np.argsort(rng.random((_PERMUTATIONS, n)), axis=1)
    z = np.minimum(_z(relations[1], one, permuted), _z(relations[0], two, permuted))
    k = int(np.argmin(np.append(z > _LEAST_Z, False)))  # before the first that fails
    if not k:
        return LeadingComponents(np.zeros((n, 0)), np.zeros(0))
    agreement = np.linalg.svd(one[:, :k].T @ two[:, :k], compute_uv=False).clip(0, 1)
    scores = _leading(relations[0] + relations[1], start)[:, :k].astype(np.float64)
    return LeadingComponents(scores, 2 * agreement / (1 + agreement))


def _relations(block: GenotypeBlock) -> Float32Array:
    """The relationship matrix (n, n) of standardised calls, its mean diagonal 1."""
    counts = block.counts[:, :3].astype(float)
    n = counts.sum(axis=1)
    mean = (counts[:, 1] + 2 * counts[:, 2]) / n
    sd = np.sqrt((counts[:, 1] + 4 * counts[:, 2]) / n - mean**2)
    table = np.zeros((block.n_variants, 4), np.float32)
    table[:, :3] = (np.arange(3) - mean[:, None]) / sd[:, None]
    Z = np.empty((block.n_variants, block.n_samples), np.float32)
    decode_by_table(np.ascontiguousarray(block.packed), table, Z)
    return np.asarray(Z.T @ Z / np.float32(block.n_variants))


def _leading(relation: Float32Array, start: Float32Array) -> Float32Array:
    """The leading eigenvectors (n, 4), by subspace iteration; scores without the samples' mean."""
    basis = start - start.mean(axis=0)
    for _ in range(_ROUNDS):
        basis, _ = np.linalg.qr(relation @ basis)
        basis -= basis.mean(axis=0)
    small = basis.T @ (relation @ basis)
    _, vectors = np.linalg.eigh((small + small.T) / 2)
    return np.asarray(basis @ vectors[:, ::-1][:, :MOST_COMPONENTS])


def _z(relation: Float32Array, vectors: Float32Array, permuted: Int64Array) -> Float64Array:
    """How much of the variance of one half's genotypes components of the other explain, (K,): standard deviations above what they do permuted."""
    found = np.einsum("ik,ik->k", vectors, relation @ vectors).astype(float)
    z = np.empty(vectors.shape[1])
    for k, vector in enumerate(vectors.T):
        shuffled = np.ascontiguousarray(vector[permuted].T)
        of_chance = np.einsum("ip,ip->p", shuffled, relation @ shuffled).astype(float)
        z[k] = (found[k] - of_chance.mean()) / of_chance.std(ddof=1)
    return z
