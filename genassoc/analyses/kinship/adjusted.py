"""PC-adjusted kinship (PC-Relate, Conomos et al. 2016): allele frequencies of each individual, from principal components."""

from dataclasses import dataclass

import numpy as np

from genassoc.analyses.kinship.tiles import TiledCalls
from genassoc.kernels.genotypes.sample_pairs import TILE_SAMPLES
from genassoc.kernels.genotypes.standardised import decode_by_table
from genassoc.shapes import Array, Float32Array, Float64Array, UInt64Array

# Frequencies of an individual beyond these are none that its ancestry can have (a line is not bounded): left out, as GENESIS does.
LEAST_FREQUENCY = 0.01


@dataclass(frozen=True)
class IndividualFrequencies:
    """``E(dosage of variant v in sample i) = coefficients[v] . design[i]``.

    Attributes
    ----------
    design : float32 array (T * TILE_SAMPLES, C)
        1 and the components, standardised; 0 of samples that are none.
    coefficients : tuple of float32 array (v, C)
        Of each chunk.
    """

    design: Float32Array
    coefficients: tuple[Float32Array, ...]

    def moments(self, calls: TiledCalls, chunk: int, tile: int) -> tuple[Float32Array, Float32Array]:
        """Residual ``x - 2 mu`` and ``sqrt(mu (1 - mu))`` of a tile's calls (v, TILE_SAMPLES), 0 where not observed or ``mu`` is none."""
        dosages = _dosages(calls.chunks[chunk][tile], np.array([0, 1, 2, -1], np.float32))
        first = tile * TILE_SAMPLES
        mean = self.coefficients[chunk] @ self.design[first : first + TILE_SAMPLES].T
        known = (dosages >= 0) & (mean > 2 * LEAST_FREQUENCY) & (mean < 2 - 2 * LEAST_FREQUENCY)
        spread = np.sqrt(np.where(known, mean * (2 - mean), 0)) / 2
        return np.where(known, dosages - mean, 0).astype(np.float32), spread.astype(np.float32)


def individual_frequencies(calls: TiledCalls, components: Float64Array) -> IndividualFrequencies:
    """Regress dosages on components (N, K), by least squares; calls that are not observed are their variant's mean.

    Raises
    ------
    ValueError
        The components, with a constant, are collinear.
    """
    N, K = components.shape
    spread = components.std(axis=0)
    X = np.column_stack([np.ones(N), (components - components.mean(axis=0)) / np.where(spread > 0, spread, 1)])
    if np.linalg.matrix_rank(X) <= K:
        raise ValueError("collinear")
    projection = np.linalg.solve(X.T @ X, X.T).T  # (N, C)
    padded = np.zeros((2, calls.n_tiles * TILE_SAMPLES, K + 1), np.float32)
    padded[0, :N], padded[1, :N] = X, projection
    coefficients: list[Float32Array] = []
    done = 0
    for chunk in calls.chunks:
        v = chunk.shape[1]
        counts = calls.variants[done : done + v]
        done += v
        mean = (counts[:, 1] + 2 * counts[:, 2]) / np.maximum(counts[:, :3].sum(axis=1), 1)
        table = np.stack([-mean, 1 - mean, 2 - mean, np.zeros(v)], axis=1).astype(np.float32)
        fitted = np.zeros((v, K + 1))
        for tile in range(calls.n_tiles):
            first = tile * TILE_SAMPLES
            fitted += _dosages(chunk[tile], table) @ padded[1, first : first + TILE_SAMPLES]
        fitted[:, 0] += mean
        coefficients.append(fitted.astype(np.float32))
    return IndividualFrequencies(padded[0], tuple(coefficients))


def _dosages(words: UInt64Array, table: Float32Array) -> Float32Array:
    """Packed calls of a tile (v, TILE_WORDS) as numbers (v, TILE_SAMPLES); ``table`` is (4,) or (v, 4)."""
    packed = np.ascontiguousarray(words).view(np.uint8)
    out = np.empty((len(packed), TILE_SAMPLES), np.float32)
    decode_by_table(packed, np.ascontiguousarray(np.broadcast_to(table, (len(packed), 4))), out)
    return out


def adjusted_tile(frequencies: IndividualFrequencies, calls: TiledCalls, row: int, columns: range) -> list[Array]:
    """PC-adjusted kinship of the samples of tile ``row`` with those of some others, each (TILE_SAMPLES, TILE_SAMPLES).

    NaN where no variant is left. ``sum (x - 2 mu)(x' - 2 mu') / (4 sum sqrt(mu (1 - mu) mu' (1 - mu')))`` over variants observed in both.
    """
    sums = np.zeros((len(columns), 2, TILE_SAMPLES, TILE_SAMPLES))
    for chunk in range(len(calls.chunks)):
        residual, spread = frequencies.moments(calls, chunk, row)
        for k, column in enumerate(columns):
            other = (residual, spread) if column == row else frequencies.moments(calls, chunk, column)
            sums[k, 0] += residual.T @ other[0]
            sums[k, 1] += spread.T @ other[1]
    with np.errstate(divide="ignore", invalid="ignore"):
        return [np.where(below > 0, above / (4 * below), np.nan) for above, below in sums]
