"""Genotypes of families: founders are mosaics of their populations' haplotypes, all others inherit from their parents.

Genes are dropped with recombination, one crossover a Morgan (Haldane), so that relatives share long segments; on these they share all:
common alleles, linkage disequilibrium and the rarest mutations. Nothing is kept but the sites, the pedigree and the seed: calls are drawn
again, the same, whenever they are asked for.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from genassoc.data.block import GenotypeBlock
from genassoc.kernels.genotypes.inheritance import END, Lines, Meioses, copy_segments, drop_genes
from genassoc.shapes import Float64Array, Int32Array, Int64Array, UInt8Array
from genassoc.simulate.genotypes import (
    RECENT_BELOW,
    SEGMENT_LENGTH,
    X_NUMBER,
    Y_NUMBER,
    Sites,
    draw_carriers,
    founder_pool,
    generator,
    hide,
)
from genassoc.simulate.pedigree import FEMALE, MALE, Pedigree

POOL = 400  # haplotypes of each population, which its founders are mosaics of
CENTIMORGANS = 1.2e-6  # a base pair
_RUN_BYTES = 64_000_000  # of alleles held at a time: an allele a byte, of founders and of samples


class Run(NamedTuple):
    """Some variants of a chromosome: numbers from ``start`` of those in the cohort, and codes (V, N) without missing ones."""

    start: int
    rows: slice
    codes: UInt8Array


@dataclass(frozen=True)
class FamilyGenotypes:
    """Draws the calls of any chromosome of a cohort of families, the same each time.

    Attributes
    ----------
    seed : int
    sites : tuple of Sites
    pedigree : Pedigree
    ancestry : float64 array (F, P)
        Of the pedigree's founders.
    drift : tuple of P floats
        F_ST of each population.
    shares : tuple of P floats
        Of the founders.
    reach : float
        Base pairs over which linkage disequilibrium falls.
    """

    seed: int
    sites: tuple[Sites, ...]
    pedigree: Pedigree
    ancestry: Float64Array
    drift: tuple[float, ...]
    shares: tuple[float, ...]
    reach: float

    @property
    def n_samples(self) -> int:
        """N."""
        return int(self.pedigree.genome.size)

    @property
    def run_variants(self) -> int:
        """Variants that are drawn at a time."""
        return max(16, min(4096, _RUN_BYTES // (2 * (len(self.ancestry) + self.n_samples))))

    def lines(self, sites: Sites) -> Lines:
        """What each person's haplotypes (2 M) on a chromosome are of: 2 F haplotypes of founders."""
        meioses = self._meioses(sites)
        counts = meioses.last - meioses.first + 1
        room = np.ones(counts.size, dtype=np.int64)
        generation = np.repeat(self.pedigree.generation, 2)
        for later in range(1, int(generation.max()) + 1):
            h = np.flatnonzero(generation == later)
            parent = meioses.parent[h]
            room[h] = counts[h] + room[2 * parent] + room[2 * parent + 1]
        first = np.concatenate([[0], np.cumsum(room)])
        lines = Lines(first[:-1], np.full(first[-1], END, np.int32), np.zeros(first[-1], np.int32))
        drop_genes(meioses, lines)
        return lines

    def _meioses(self, sites: Sites) -> Meioses:
        """Draw crossovers. Males have one X, their mother's, and one Y, their father's: it stands as both of their haplotypes."""
        rng, pedigree = generator(self.seed, "crossovers", sites.number), self.pedigree
        M = pedigree.father.size
        parent = np.stack([pedigree.father, pedigree.mother], axis=1).reshape(-1)
        founder = np.full(2 * M, -1, dtype=np.int32)
        of_founders = np.repeat(pedigree.father < 0, 2)
        founder[of_founders] = np.arange(of_founders.sum())
        recombining = ~of_founders & (sites.number != Y_NUMBER)
        counts = np.where(recombining, rng.poisson(sites.length * CENTIMORGANS / 100.0, 2 * M), 0)
        last = np.cumsum(counts)
        haplotype = np.repeat(np.arange(2 * M), counts)
        positions = rng.integers(1, sites.length, last[-1])
        positions = positions[np.lexsort((positions, haplotype))].astype(np.int32)
        phase = rng.integers(0, 2, 2 * M).astype(np.uint8)
        first = last - counts
        if sites.number in (X_NUMBER, Y_NUMBER):
            male = np.flatnonzero(pedigree.sex == MALE)
            kept, other = (2 * male + 1, 2 * male) if sites.number == X_NUMBER else (2 * male, 2 * male + 1)
            for column in (parent, founder, phase, first, last):
                column[other] = column[kept]
        return Meioses(parent, founder, phase, first, last, positions)

    def _founder_segments(self, sites: Sites) -> tuple[Int32Array, Int32Array, Int64Array]:
        """Ends and sources in the pool of the segments of the founders' haplotypes, and where those of each begin."""
        rng = generator(self.seed, "segments", sites.number)
        F, P = self.ancestry.shape
        expected = sites.length / SEGMENT_LENGTH
        shape = (2 * F, int(np.ceil(expected + 6.0 * np.sqrt(expected) + 6.0)))  # rarely too few
        gaps = rng.standard_exponential(shape, dtype=np.float32) * np.float32(SEGMENT_LENGTH)
        ends = np.minimum(np.cumsum(gaps, axis=1), END - 1).astype(np.int32)
        ends[:, -1] = END
        choices = rng.random(shape, dtype=np.float32)
        above = np.repeat(np.cumsum(self.ancestry, axis=1), 2, axis=0)
        below = np.concatenate([np.zeros((2 * F, 1)), above], axis=1)[:, :P]
        population = np.zeros(shape, dtype=np.int32)
        for k in range(P - 1):
            population += choices >= above[:, k, None]
        low, width = (np.take_along_axis(bounds, population, axis=1) for bounds in (below, above - below))
        # what is left of the uniform after choosing the population chooses the haplotype within it
        within = ((choices - low) / np.maximum(width, 1e-12) * POOL).astype(np.int32)
        sources = population * np.int32(POOL) + np.clip(within, 0, POOL - 1)
        return ends.reshape(-1), sources.reshape(-1), np.arange(2 * F, dtype=np.int64) * shape[1]

    def runs_of(self, sites: Sites) -> Iterator[tuple[slice, UInt8Array]]:
        """Codes (V, N) of a chromosome, none missing, run after run; a male's one X or Y counts 0 or 2, a female's Y too."""
        # Founders drawn from a pool of H haplotypes have drifted by 1 / H more: (1 - F) = (1 - F') (1 - 1 / H)
        drift = tuple(max(0.0, 1.0 - (1.0 - f) / (1.0 - 1.0 / POOL)) for f in self.drift)
        pool = founder_pool(generator(self.seed, "founders", sites.number), sites, drift, POOL, self.reach)
        carriers = generator(self.seed, "carriers", sites.number)
        ends, sources, founders_at = self._founder_segments(sites)
        lines = self.lines(sites)
        samples_at = lines.first.reshape(-1, 2)[self.pedigree.genome].reshape(-1).copy()
        V, size = len(sites.positions), self.run_variants
        founders = np.empty((min(V, size), founders_at.size), dtype=np.uint8)
        alleles = np.empty((min(V, size), samples_at.size), dtype=np.uint8)
        for first in range(0, V, size):
            rows = slice(first, min(first + size, V))
            ours, theirs = founders[: rows.stop - first], alleles[: rows.stop - first]
            copy_segments(sites.positions[rows], pool[rows], ends, sources, founders_at, ours)
            recent = sites.frequency[rows] < RECENT_BELOW
            ours[recent] = 0
            ours[draw_carriers(carriers, sites.frequency[rows], self.ancestry, self.shares)] = 1
            copy_segments(sites.positions[rows], ours, lines.ends, lines.sources, samples_at, theirs)
            yield rows, theirs[:, 0::2] + theirs[:, 1::2]

    def blocks(self, missing_rate: float) -> Iterator[GenotypeBlock]:
        """Calls of all variants, run after run; none crosses a chromosome."""
        start = 0
        for sites in self.sites:
            missing = generator(self.seed, "missing", sites.number)
            for rows, codes in self.runs_of(sites):
                marks = self._marks(sites.number, codes)
                block = GenotypeBlock.from_codes(codes, start + rows.start)
                hide(missing, missing_rate, self.n_samples, block.packed)
                yield GenotypeBlock(block.packed, self.n_samples, block.start, marks)
            start += len(sites.positions)

    def _marks(self, number: int, codes: UInt8Array) -> UInt8Array | None:
        """Bits of haploid calls (V, ceil(N / 8)); females have no calls on Y, which are taken out of ``codes``."""
        if number not in (X_NUMBER, Y_NUMBER):
            return None
        sex = self.pedigree.sex[self.pedigree.genome]
        if number == Y_NUMBER:
            codes[:, sex == FEMALE] = 3
        return np.tile(np.packbits(sex == MALE, bitorder="little"), (len(codes), 1))

    def shared(self, one: Int64Array, other: Int64Array, step: int = 200_000) -> Float64Array:
        """Share of the autosomes in which pairs of samples have 0, 1 and 2 haplotypes by descent in common, (pairs, 3).

        From the segments, looked at every ``step`` base pairs. The haplotypes of founders count as different ones.
        """
        counts, total = np.zeros((one.size, 3)), 0
        for sites in self.sites:
            if sites.number in (X_NUMBER, Y_NUMBER):
                continue
            lines = self.lines(sites)
            h = np.unique(self.pedigree.genome[np.concatenate([one, other])])
            grid = np.arange(1, sites.length, step, dtype=np.int64)
            sides = [self._sources_at(lines, 2 * h + side, grid) for side in (0, 1)]
            a0, a1, b0, b1 = (
                sides[side][np.searchsorted(h, self.pedigree.genome[who])] for who in (one, other) for side in (0, 1)
            )
            straight = (a0 == b0).astype(np.int8) + (a1 == b1)
            crossed = (a0 == b1).astype(np.int8) + (a1 == b0)
            ibd = np.maximum(straight, crossed)
            for k in range(3):
                counts[:, k] += (ibd == k).sum(axis=1)
            total += grid.size
        return counts / max(total, 1)

    def _sources_at(self, lines: Lines, haplotypes: Int64Array, grid: Int64Array) -> Int32Array:
        """Founders' haplotypes at some positions, (haplotypes, positions)."""
        found = np.empty((haplotypes.size, grid.size), dtype=np.int32)
        bounds = np.append(lines.first, lines.ends.size)
        for row, h in enumerate(haplotypes):
            room = slice(bounds[h], bounds[h + 1])  # behind the last segment it is filled with END
            found[row] = lines.sources[room][np.searchsorted(lines.ends[room], grid)]
        return found
