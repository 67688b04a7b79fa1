"""The thin matrix of a run, laid out for the product kernel, and its product with a block."""

from dataclasses import dataclass

import numpy as np

from genassoc.data.block import Block, DosageBlock, GenotypeBlock
from genassoc.kernels.genotypes.carriers import sum_carriers
from genassoc.kernels.genotypes.dosages import decode_dosages, dosage_product
from genassoc.kernels.genotypes.linear import sum_in_float64
from genassoc.kernels.genotypes.listed import Calls, list_calls, list_rows
from genassoc.kernels.genotypes.packed import decode_rows
from genassoc.kernels.genotypes.product import product
from genassoc.kernels.lanes.vector import LANES
from genassoc.shapes import BoolArray, Float32Array, Float64Array, Int64Array, UInt64Array

# With at most one carrier in so many samples, visiting them costs less than tables: measured at 10,000 and 400,000.
RARE = 32

# What the codes 0, 1, 2, 3 count in an additive model; a missing call counts nothing.
DOSAGE = np.array([0.0, 1.0, 2.0, 0.0], dtype=np.float32)
SQUARE = np.array([0.0, 1.0, 4.0, 0.0], dtype=np.float32)


@dataclass(frozen=True)
class ThinMatrix:
    """Z columns over the samples of a block.

    Attributes
    ----------
    columns : float64 array (N, Z)
        Zero for samples that take no part.
    lanes : float32 array (4 * B * Z16,)
        The same, sample-major, padded with zeros to a multiple of sixteen columns.
    values : float32 array (4,)
        What the codes count: `DOSAGE` or `SQUARE`.
    """

    columns: Float64Array
    lanes: Float32Array
    values: Float32Array

    @classmethod
    def of(cls, columns: Float64Array, n_bytes: int, values: Float32Array = DOSAGE) -> "ThinMatrix":
        """Lay out columns (N, Z) for blocks of ``n_bytes`` a variant."""
        N, Z = columns.shape
        lanes = np.zeros((4 * n_bytes, Z + -Z % LANES), dtype=np.float32)
        lanes[:N, :Z] = columns
        return cls(np.ascontiguousarray(columns), lanes.ravel(), values)

    def times(self, block: Block, flipped: BoolArray) -> Float64Array:
        """Genotypes (minor allele counted where ``flipped`` says so) times the columns: (V, Z)."""
        V, Z = block.n_variants, self.columns.shape[1]
        if isinstance(block, DosageBlock):
            out = np.empty((V, Z))
            squares = np.array_equal(self.values, SQUARE)  # not `is`: a state that was sent to a worker has copies
            dosage_product(block.fixed_point, flipped, self.columns, squares, out)
            return out
        # A variant's own carriers choose: its bits are the same in any block.
        carriers = block.carriers(flipped)
        rare = carriers * RARE <= block.n_samples
        out = np.empty((V, Z + -Z % LANES))
        out[carriers == 0] = 0.0
        words = block.packed.view(np.uint64)
        sum_carriers(words, flipped, np.flatnonzero(rare & (carriers > 0)), self.lanes, self.values, out)
        product(words, flipped, np.flatnonzero(~rare), self.lanes, self.values, out)
        return out[:, :Z]

    def times_in_float64(self, block: GenotypeBlock, flipped: BoolArray, variants: Int64Array) -> Float64Array:
        """The same for some variants, summed in float64: (len(variants), Z)."""
        out = np.empty((variants.size, self.columns.shape[1]))
        sum_in_float64(block.packed, flipped, variants, self.columns, out)
        return out


def minor_counts(block: Block, flipped: BoolArray, variants: Int64Array, columns: Int64Array) -> Float64Array:
    """Copies (or dosages) of the minor allele of some variants and samples, NaN where not observed: (R, n)."""
    out = np.empty((variants.size, columns.size))
    if isinstance(block, DosageBlock):
        decode_dosages(block.fixed_point, flipped, variants, columns, out)
    else:
        decode_rows(block.packed, flipped, variants, columns, out)
    return out


def listed_counts(
    block: Block, flipped: BoolArray, variants: Int64Array, columns: Int64Array, mask: UInt64Array
) -> Calls:
    """`minor_counts` as lists of carriers and of missing calls; ``mask`` are the samples ``columns`` (n,) as packed words."""
    calls = Calls.empty(variants.size, columns.size)
    if isinstance(block, DosageBlock):
        list_rows(minor_counts(block, flipped, variants, columns), calls)
    else:
        place = np.zeros(block.n_samples, np.int64)
        place[columns] = np.arange(columns.size)
        list_calls(block.packed.view(np.uint64), flipped, variants, mask, place, calls)
    return calls


def impute_means(calls: Float64Array) -> None:
    """Replace missing calls (R, n) by the mean of the observed ones, in place."""
    missing = np.isnan(calls)
    if missing.any():
        means = np.where(missing, 0.0, calls).sum(axis=1) / np.maximum((~missing).sum(axis=1), 1)
        np.copyto(calls, means[:, None], where=missing)


def rare_counts(
    block: Block, flipped: BoolArray, variants: Int64Array, columns: Int64Array, common: BoolArray
) -> Float64Array:
    """`minor_counts` of the allele that is rare in these samples, as exact tests count it: (R, n).

    ``common`` (R,) says where that is the cohort's major one. Who has one copy and not two carries none of it or one.
    """
    G = minor_counts(block, flipped, variants, columns)
    G[common] = 2.0 - G[common]
    if block.single is not None:
        G -= np.outer(flipped[variants] != common, block.single[columns])
    return G
