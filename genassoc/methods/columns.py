"""The thin matrix of a run, laid out for the product kernel, and its product with a block."""

from dataclasses import dataclass

import numpy as np

from genassoc.data.block import Block, DosageBlock, GenotypeBlock
from genassoc.kernels.linear import sum_dosages, sum_in_float64
from genassoc.kernels.product import product
from genassoc.kernels.vector import LANES
from genassoc.shapes import BoolArray, Float32Array, Float64Array, Int64Array

# What the codes 0, 1, 2, 3 count in an additive model; a missing call counts nothing.
DOSAGE = np.array([0.0, 1.0, 2.0, 0.0], dtype=np.float32)


@dataclass(frozen=True)
class ThinMatrix:
    """K columns over the samples of a block.

    Attributes
    ----------
    columns : float64 array (N, K)
        Zero for samples that take no part.
    lanes : tuple of float32 arrays (4 * B * 16,)
        The same, sixteen columns at a time, sample-major, padded with zeros.
    """

    columns: Float64Array
    lanes: tuple[Float32Array, ...]

    @classmethod
    def of(cls, columns: Float64Array, n_bytes: int) -> "ThinMatrix":
        """Lay out columns (N, K) for blocks of ``n_bytes`` a variant."""
        N, K = columns.shape
        lanes = []
        for start in range(0, K, LANES):
            group = np.zeros((4 * n_bytes, LANES), dtype=np.float32)
            width = min(LANES, K - start)
            group[:N, :width] = columns[:, start : start + width]
            lanes.append(group.ravel())
        return cls(np.ascontiguousarray(columns), tuple(lanes))

    def times(self, block: Block, flipped: BoolArray) -> Float64Array:
        """Genotypes (minor allele counted where ``flipped`` says so) times the columns: (V, K)."""
        V, K = block.n_variants, self.columns.shape[1]
        if isinstance(block, DosageBlock):
            out = np.empty((V, K))
            sum_dosages(block.values, block.not_observed, float(block.scale), self.columns, out)
            return _flip_dosage_sums(block, flipped, self.columns, out)
        out = np.empty((V, len(self.lanes) * LANES))
        part = np.empty((V, LANES))
        for group, lanes in enumerate(self.lanes):
            product(block.packed, flipped, lanes, DOSAGE, part)
            out[:, group * LANES : (group + 1) * LANES] = part
        return out[:, :K]

    def times_in_float64(
        self, block: GenotypeBlock, flipped: BoolArray, variants: Int64Array, which: Int64Array
    ) -> Float64Array:
        """The same for some variants and columns, summed in float64: (len(variants), len(which))."""
        out = np.empty((variants.size, which.size))
        chosen = np.ascontiguousarray(self.columns[:, which])
        sum_in_float64(block.packed, flipped, variants, chosen, out)
        return out


def _flip_dosage_sums(
    block: DosageBlock, flipped: BoolArray, columns: Float64Array, sums: Float64Array
) -> Float64Array:
    """Turn sums over ALT dosages x into sums over 2 - x where ``flipped``, on the samples observed."""
    rows = np.flatnonzero(flipped)
    if rows.size:
        observed = block.observed()[rows].astype(np.float64)
        sums[rows] = 2.0 * (observed @ columns) - sums[rows]
    return sums
