"""Calls laid out for pairs of samples: tiles of 256 samples, all variants of a tile and chunk together."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

import numpy as np

from genassoc.data.block import GenotypeBlock
from genassoc.kernels.genotypes.counts import count_codes, count_codes_by_sample, mask_words
from genassoc.kernels.genotypes.packed import gather
from genassoc.kernels.genotypes.sample_pairs import CHUNK_VARIANTS, TILE_SAMPLES, TILE_WORDS
from genassoc.shapes import Int64Array, UInt64Array, packed_bytes

_NOT_OBSERVED = np.uint64(0xFFFFFFFFFFFFFFFF)  # 32 samples


@dataclass(frozen=True)
class Frequencies:
    """Sums over variants of what their allele frequencies p foretell of pairs of unrelated samples.

    Attributes
    ----------
    n_variants, polymorphic : int
        All variants, and those with both alleles.
    ibs0 : float
        Sum of ``2 p^2 q^2``: pairs of two REF with two ALT.
    het, squares, het_squares, products : float
        Sums of: ``2 p q``, a heterozygous call h; the variance of d, the squared difference of the dosages; of h; the covariance of d and h.
    """

    n_variants: int
    polymorphic: int
    ibs0: float
    het: float
    squares: float
    het_squares: float
    products: float

    @classmethod
    def of(cls, counts: Int64Array) -> "Frequencies":
        """Of counts (V, 4) of codes 0, 1, 2, 3 of all variants."""
        n = counts[:, :3].sum(axis=1)
        known = counts[n > 0]
        p = (known[:, 1] + 2 * known[:, 2]) / (2 * n[n > 0])
        pq = p * (1 - p)
        het = 2 * pq
        # E d^2: d is 4 with 2 p^2 q^2, 1 with 4 p q (p^2 + q^2). E d = 4 p q. E (d h): of a heterozygote d is 1 unless the other is one.
        squares = 32 * pq**2 + 4 * pq * (1 - het) - 16 * pq**2
        products = het * (1 - het) - 8 * pq**2
        sums = [float(np.sum(values)) for values in (2 * pq**2, het, squares, het * (1 - het), products)]
        return cls(len(counts), int(np.count_nonzero(pq)), *sums)

    @property
    def unrelated_ibs0(self) -> float:
        """Share of variants in which an unrelated pair of one population is expected to share no allele."""
        return self.ibs0 / max(self.n_variants, 1)

    @property
    def standard_error(self) -> float:
        """Of KING-robust kinship of an unrelated pair, were all variants independent (delta method); NaN without a polymorphic one."""
        if not self.het:
            return float("nan")
        # kinship = 1/2 - sum(d) / (4 sum(h)), where sum(d) = 2 sum(h) on average
        a, b = -1 / (4 * self.het), 1 / (2 * self.het)
        return float(np.sqrt(max(a * a * self.squares + b * b * self.het_squares + 2 * a * b * self.products, 0.0)))

    @property
    def unrelated_kinship(self) -> float:
        """The mean of KING-robust kinship of unrelated pairs: below 0, since the smaller of two counts of heterozygotes is divided by.

        The mean of the smaller of two independent normals is a standard deviation over the root of pi below theirs. NaN without a polymorphic variant.
        """
        if not self.het:
            return float("nan")
        return -0.5 * float(np.sqrt(self.het_squares / np.pi)) / self.het


@dataclass(frozen=True)
class TiledCalls:
    """Calls of N samples and all variants that were put in.

    Attributes
    ----------
    n_samples, n_variants : int
    totals : int64 array (2, N)
        Heterozygous calls of each sample, and calls not observed.
    variants : int64 array (V, 4)
        Samples with code 0, 1, 2, 3 in each variant.
    chunks : sequence of uint64 array (T, v, TILE_WORDS)
        Packed calls of v variants, at most `CHUNK_VARIANTS`, of T tiles of `TILE_SAMPLES`; in memory, or lying in ``file``.
    file : Path or None
        The chunks one after another, where memory would not hold them.
    """

    n_samples: int
    n_variants: int
    totals: Int64Array
    variants: Int64Array
    chunks: Sequence[UInt64Array]
    file: Path | None = None

    @property
    def n_tiles(self) -> int:
        """T."""
        return tiles_of(self.n_samples)

    def tile_totals(self, tile: int) -> Int64Array:
        """Totals of the samples of a tile, (2, TILE_SAMPLES); of samples that are none all calls are not observed."""
        first = tile * TILE_SAMPLES
        held = self.totals[:, first : first + TILE_SAMPLES]
        totals = np.zeros((2, TILE_SAMPLES), np.int64)
        totals[1] = self.n_variants
        totals[:, : held.shape[1]] = held
        return totals

    def __getstate__(self) -> dict[str, object]:
        """For other processes, which read the file themselves."""
        return {**self.__dict__, "chunks": ()} if self.file is not None else dict(self.__dict__)

    def __setstate__(self, state: dict[str, object]) -> None:
        self.__dict__.update(state)
        if self.file is not None:
            self.__dict__["chunks"] = mapped(self.file, self.n_samples, self.n_variants)


def tiles_of(n_samples: int) -> int:
    """T: tiles that hold so many samples."""
    return -(-n_samples // TILE_SAMPLES)


def mapped(file: Path, n_samples: int, n_variants: int) -> list[UInt64Array]:
    """The chunks of a file, which memory is mapped to."""
    T = tiles_of(n_samples)
    words = np.memmap(file, np.uint64, "r", shape=(T * n_variants * TILE_WORDS,))
    chunks = []
    for start in range(0, n_variants, CHUNK_VARIANTS):
        v = min(CHUNK_VARIANTS, n_variants - start)
        first = start * T * TILE_WORDS
        chunks.append(words[first : first + T * v * TILE_WORDS].reshape(T, v, TILE_WORDS))
    return chunks


@dataclass(frozen=True)
class TiledBlock:
    """A block of some samples, as it goes into tiles.

    Attributes
    ----------
    words : uint64 array (V, T * TILE_WORDS)
        Packed calls; samples behind the last are not observed.
    by_sample, by_variant : int64 arrays (N, 4), (V, 4)
        Counts of codes 0, 1, 2, 3.
    """

    words: UInt64Array
    by_sample: Int64Array
    by_variant: Int64Array


def tiled_block(block: GenotypeBlock, columns: Int64Array) -> TiledBlock:
    """The calls of the samples ``columns`` (N,) of a block, in their order."""
    N, V = columns.size, block.n_variants
    packed = np.ascontiguousarray(block.packed)
    if block.n_samples != N or not np.array_equal(columns, np.arange(N)):
        chosen = np.empty((V, packed_bytes(N)), np.uint8)
        gather(packed, columns, chosen)
        packed = chosen
    by_sample, by_variant = np.zeros((N, 4), np.int64), np.empty((V, 4), np.int64)
    count_codes_by_sample(packed, by_sample)
    count_codes(packed.view(np.uint64), mask_words(np.arange(N), N), by_variant)
    words = np.full((V, tiles_of(N) * TILE_WORDS), _NOT_OBSERVED)
    words[:, : packed.shape[1] // 8] = packed.view(np.uint64)
    return TiledBlock(words, by_sample, by_variant)


class Tiler:
    """Takes blocks in the order of the variants, and lays them out.

    Parameters
    ----------
    n_samples : int
    file : binary file, optional
        Where chunks go, one after another; in memory by default.
    """

    def __init__(self, n_samples: int, file: BinaryIO | None = None) -> None:
        self._n_samples, self._file = n_samples, file
        self._totals = np.zeros((2, n_samples), np.int64)
        self._variants: list[Int64Array] = []
        self._waiting: list[UInt64Array] = []
        self._n_waiting = 0
        self._chunks: list[UInt64Array] = []

    def put(self, block: TiledBlock) -> None:
        """Take a block."""
        self._totals += block.by_sample[:, [1, 3]].T
        self._variants.append(block.by_variant)
        for first in range(0, len(block.words), CHUNK_VARIANTS):
            self._waiting.append(block.words[first : first + CHUNK_VARIANTS])
            self._n_waiting += len(self._waiting[-1])
            if self._n_waiting >= CHUNK_VARIANTS:
                words = np.concatenate(self._waiting)
                self._keep(words[:CHUNK_VARIANTS])
                self._waiting = [words[CHUNK_VARIANTS:]]
                self._n_waiting = len(self._waiting[0])

    def _keep(self, words: UInt64Array) -> None:
        chunk = np.ascontiguousarray(words.reshape(len(words), -1, TILE_WORDS).transpose(1, 0, 2))
        if self._file is None:
            self._chunks.append(chunk)
        else:
            self._file.write(chunk.data)

    def finish(self) -> TiledCalls:
        """All that was put in; without chunks where they went to a file."""
        if self._n_waiting:
            self._keep(np.concatenate(self._waiting))
        variants = np.concatenate(self._variants) if self._variants else np.empty((0, 4), np.int64)
        return TiledCalls(self._n_samples, len(variants), self._totals, variants, self._chunks)


def tiled(blocks: Iterable[TiledBlock], n_samples: int) -> TiledCalls:
    """Blocks laid out in memory."""
    tiler = Tiler(n_samples)
    for block in blocks:
        tiler.put(block)
    return tiler.finish()
