"""Genotypes of a simulated cohort.

Populations drift apart from common frequencies (Balding and Nichols 1995); founders of each carry haplotypes
with linkage disequilibrium; samples are mosaics of founders (Li and Stephens 2003), most of them of one
population, some admixed; the rarest variants are recent mutations on otherwise unrelated haplotypes. Nothing
is kept but the sites and the seed: calls are drawn again, the same, whenever they are asked for.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from scipy.special import ndtri

from genassoc.data.block import GenotypeBlock
from genassoc.data.schema import block_variants
from genassoc.kernels.genotypes import mosaic
from genassoc.shapes import (
    BoolArray,
    Float64Array,
    Int64Array,
    UInt8Array,
    packed_bytes,
)

# GRCh38, in base pairs.
CHROMOSOME_LENGTHS = (
    248_956_422, 242_193_529, 198_295_559, 190_214_555, 181_538_259, 170_805_979, 159_345_973, 145_138_636,
    138_394_717, 133_797_422, 135_086_622, 133_275_309, 114_364_328, 107_043_718, 101_991_189, 90_338_345,
    83_257_441, 80_373_285, 58_617_616, 64_444_167, 46_709_983, 50_818_468,
)  # fmt: skip

POPULATION_SHARES = (0.6, 0.25, 0.15)  # of the samples, by the population that most of their genome is from
DRIFT = (0.02, 0.06, 0.10)  # F_ST of each population from the common ancestor
FOUNDERS = 200  # haplotypes in each population
RECENT_BELOW = 0.01  # rarer ALT is a recent mutation: 600 founders could not tell such frequencies apart
BRANCH_SHARE = 0.7  # of the variants: on the same branch of the genealogy as one of the few before it
BRANCH_REACH = 6  # variants back
COMMON_ALT_SHARE = 0.1  # of the other variants: ALT is the common allele
SEGMENT_LENGTH = 5_000_000.0  # mean base pairs copied from one founder
LD_LENGTH = 100_000.0  # base pairs over which founders' correlation falls to 1 / e ...
LD_SPACINGS = 40.0  # ... but at least so many variants: thinly spread variants would otherwise show none
X_NUMBER, Y_NUMBER = 23, 24
# Outside the pseudo-autosomal regions of GRCh38, where variants of X and Y are put: first and last position, length of the chromosome.
_SEX_CHROMOSOMES = {X_NUMBER: (2_781_480, 155_701_382, 156_040_895), Y_NUMBER: (2_781_480, 56_887_902, 57_227_415)}
_FOUNDER_ROWS = 1024  # variants whose founders are drawn at a time

_STREAMS = (
    "ancestry",
    "sites",
    "alleles",
    "founders",
    "segments",
    "carriers",
    "missing",
    "planting",
    "traits",
    "trial",
    "admissions",
    "pedigree",
    "crossovers",
    "family traits",
    "genes",
    "gene variants",
    "gene traits",
    "gene missing",
)


def generator(seed: int, stream: str, chromosome: int = 0) -> np.random.Generator:
    """The random numbers of one purpose on one chromosome, independent of all others."""
    return np.random.default_rng(np.random.SeedSequence(seed, spawn_key=(_STREAMS.index(stream), chromosome)))


@dataclass(frozen=True)
class Sites:
    """V sites of one chromosome.

    Attributes
    ----------
    number, length : int
    positions : int64 array (V,)
        Increasing, from 1.
    frequency : float64 array (V,)
        Of ALT, before drift.
    alt_is_old : bool array (V,)
        ALT is the ancestral allele, so mostly the common one: REF is the mutation.
    branch : int64 array (V,)
        The first variant on the same branch of the genealogy: all of one branch have its carriers, but for
        recombination, and its frequency.
    """

    number: int
    length: int
    positions: Int64Array
    frequency: Float64Array
    alt_is_old: BoolArray
    branch: Int64Array

    @property
    def name(self) -> str:
        """Of the chromosome."""
        return {X_NUMBER: "X", Y_NUMBER: "Y"}.get(self.number, str(self.number))

    @property
    def recent(self) -> BoolArray:
        """Recent mutations, which no founder carries, (V,)."""
        return np.asarray(self.frequency < RECENT_BELOW)


def check_chromosomes(n_chromosomes: int) -> None:
    """Refuse numbers of autosomes that man has not.

    Raises
    ------
    ValueError
    """
    if not 1 <= n_chromosomes <= len(CHROMOSOME_LENGTHS):
        raise ValueError(f"n_chromosomes is {n_chromosomes}; it must be 1 to {len(CHROMOSOME_LENGTHS)}.")


def share_out(n_variants: int, lengths: tuple[int, ...]) -> list[int]:
    """Variants of each chromosome in proportion to its length, at least one; their sum is ``n_variants``."""
    edges = np.rint(np.cumsum((0, *lengths)) / sum(lengths) * (n_variants - len(lengths))).astype(int)
    return [int(count) + 1 for count in np.diff(edges)]


def draw_sites(
    rng: np.random.Generator, number: int, count: int, min_frequency: float, branch_share: float = BRANCH_SHARE
) -> Sites:
    """Positions uniform over the chromosome; minor alleles' frequencies uniform in their logarithm."""
    if number in _SEX_CHROMOSOMES:
        low, high, length = _SEX_CHROMOSOMES[number]
    else:
        low, high = 1, (length := CHROMOSOME_LENGTHS[number - 1])
    positions = np.unique(rng.integers(low, high + 1, count))
    while len(positions) < count:
        more = rng.integers(low, high + 1, count - len(positions))
        positions = np.unique(np.concatenate([positions, more]))
    each = np.arange(count)
    shared = rng.random(count) < branch_share
    branch = np.where(shared, np.maximum(0, each - rng.integers(1, BRANCH_REACH + 1, count)), each)
    while np.any(branch[branch] != branch):
        branch = branch[branch]
    frequency = np.exp(rng.uniform(np.log(min_frequency), np.log(0.5), count))[branch]
    swapped = (rng.random(count) < COMMON_ALT_SHARE) & (frequency >= RECENT_BELOW)
    frequency = np.where(swapped, 1.0 - frequency, frequency)
    return Sites(number, length, positions, frequency, swapped, branch)


def draw_ancestry(rng: np.random.Generator, n_samples: int) -> Float64Array:
    """Proportions (N, P): mostly one population's, with admixture that differs from sample to sample."""
    home = rng.permutation(np.repeat(np.arange(len(POPULATION_SHARES)), share_out(n_samples, _as_lengths())))
    weights = np.full((n_samples, len(POPULATION_SHARES)), 0.15)
    weights[np.arange(n_samples), home] = 6.0
    drawn = rng.gamma(weights)
    return np.asarray(drawn / drawn.sum(axis=1, keepdims=True))


def _as_lengths() -> tuple[int, ...]:
    return tuple(round(1000 * share) for share in POPULATION_SHARES)


def segments_at_start(rng: np.random.Generator, n_samples: int, length: int) -> mosaic.Segments:
    """Draw all segments of a chromosome; lengths are exponential."""
    expected = length / SEGMENT_LENGTH
    shape = (2 * n_samples, int(np.ceil(expected + 6.0 * np.sqrt(expected) + 6.0)))  # rarely too few
    gaps = rng.standard_exponential(shape, dtype=np.float32) * np.float32(SEGMENT_LENGTH)
    choices = rng.random(shape, dtype=np.float32)
    start = np.full(2 * n_samples, -1, dtype=np.int32)
    return mosaic.Segments(gaps, choices, start, np.zeros(2 * n_samples), np.zeros(2 * n_samples, dtype=np.int32))


def founder_pool(
    rng: np.random.Generator, sites: Sites, drift: tuple[float, ...], n_haplotypes: int, reach: float
) -> UInt8Array:
    """Alleles (V, P * n_haplotypes) of the haplotypes that each population has.

    Parameters
    ----------
    rng : Generator
    sites : Sites
    drift : tuple of P floats
        F_ST of each population from the common ancestor, below 1; at 0 it has the ancestor's frequencies.
    n_haplotypes : int
        Of each population.
    reach : float
        Base pairs over which the latent correlation of haplotypes falls to 1 / e.
    """
    V, H = len(sites.positions), len(drift) * n_haplotypes
    mutated = np.where(sites.alt_is_old, 1.0 - sites.frequency, sites.frequency)[:, None]
    drifted = _drifted(rng, mutated, np.array(drift))[sites.branch]
    # REF and ALT change places where both signs do: [-s z < -q] = 1 - [s z < q]
    sign = np.where(sites.alt_is_old, -1.0, 1.0).astype(np.float32)
    threshold = ndtri(np.where(sites.recent[:, None], 0.0, drifted)).astype(np.float32) * sign[:, None]
    correlation = np.exp(-np.diff(sites.positions, prepend=-np.inf) / reach).astype(np.float32)
    direction = rng.choice(np.array([-1.0, 1.0], dtype=np.float32), V)[sites.branch] * sign
    latent = np.zeros(H, dtype=np.float32)
    alleles = np.empty((V, H), dtype=np.uint8)
    for first in range(0, V, _FOUNDER_ROWS):
        rows = slice(first, min(first + _FOUNDER_ROWS, V))
        noise = rng.standard_normal((rows.stop - first, H), dtype=np.float32)
        mosaic.founder_haplotypes(noise, correlation[rows], direction[rows], threshold[rows], latent, alleles[rows])
    return alleles


def _drifted(rng: np.random.Generator, frequency: Float64Array, drift: Float64Array) -> Float64Array:
    """Frequencies (V, P) after drift: Balding-Nichols, Beta(p (1 - F) / F, (1 - p) (1 - F) / F) in each population."""
    if drift.all():
        size = (1.0 - drift) / drift
        return np.asarray(rng.beta(frequency * size, (1.0 - frequency) * size))
    drifted = np.repeat(frequency, drift.size, axis=1)
    if (some := drift > 0.0).any():
        drifted[:, some] = _drifted(rng, frequency, drift[some])
    return drifted


def draw_carriers(
    rng: np.random.Generator, frequency: Float64Array, ancestry: Float64Array, shares: tuple[float, ...]
) -> tuple[Int64Array, Int64Array]:
    """Rows and haplotypes (2 N of them) of the carriers of recent mutations, at least one a row, mostly of one population.

    Parameters
    ----------
    rng : Generator
    frequency : float64 array (V,)
        Of ALT; rows at `RECENT_BELOW` or above get no carriers.
    ancestry : float64 array (N, P)
    shares : tuple of P floats
        How often each population is the one.
    """
    N = len(ancestry)
    recent = np.flatnonzero(frequency < RECENT_BELOW)
    counts = np.maximum(1, rng.poisson(2 * N * frequency[recent]))
    home = rng.choice(len(shares), len(recent), p=shares)
    row, haplotype = [], []
    for population in range(len(shares)):
        ours = home == population
        reach = np.cumsum(ancestry[:, population])
        sample = np.searchsorted(reach, rng.random(counts[ours].sum()) * reach[-1], side="right")
        haplotype.append(2 * np.minimum(sample, N - 1) + rng.integers(0, 2, len(sample)))
        row.append(np.repeat(recent[ours], counts[ours]))
    return np.concatenate(row), np.concatenate(haplotype)


def hide(rng: np.random.Generator, missing_rate: float, n_samples: int, packed: UInt8Array) -> None:
    """Make calls missing at random, at rates that differ between variants (gamma, shape 1/2)."""
    rates = np.minimum(0.5, 2.0 * missing_rate * rng.standard_gamma(0.5, len(packed)))
    rows = np.repeat(np.arange(len(packed)), rng.binomial(n_samples, rates))
    mosaic.hide_calls(rows, rng.integers(0, n_samples, len(rows)), packed)


@dataclass(frozen=True)
class Genotypes:
    """Draws the calls of any variants of a cohort, the same each time.

    Attributes
    ----------
    seed : int
    sites : tuple of Sites
    ancestry : float64 array (N, P)
    """

    seed: int
    sites: tuple[Sites, ...]
    ancestry: Float64Array

    def frequency(self) -> Float64Array:
        """Frequency of ALT before drift, of all chromosomes' variants; 0 for recent mutations."""
        return np.concatenate([np.where(sites.recent, 0.0, sites.frequency) for sites in self.sites])

    def complete_codes(self, wanted: Int64Array) -> UInt8Array:
        """Codes 0, 1, 2 (V, N) of the variants numbered ``wanted``, increasing, none a recent mutation."""
        parts, start = [], 0
        for sites in self.sites:
            stop = start + len(sites.positions)
            here = wanted[(wanted >= start) & (wanted < stop)] - start
            if here.size:
                packed = self._copy(sites, self._founders(sites), here, self._start(sites))
                parts.append(GenotypeBlock(packed, len(self.ancestry)).codes())
            start = stop
        return np.concatenate(parts)

    def runs(self, missing_rate: float) -> Iterator[tuple[int, UInt8Array]]:
        """Number of the first variant and packed calls (V, B), run after run of variants."""
        start, size = 0, block_variants(len(self.ancestry))
        for sites in self.sites:
            founders, state = self._founders(sites), self._start(sites)
            carriers = generator(self.seed, "carriers", sites.number)
            missing = generator(self.seed, "missing", sites.number)
            for first in range(0, len(sites.positions), size):
                rows = np.arange(first, min(first + size, len(sites.positions)))
                packed = self._copy(sites, founders, rows, state)
                self._add_recent(carriers, sites.frequency[rows], packed)
                hide(missing, missing_rate, len(self.ancestry), packed)
                yield start + first, packed
            start += len(sites.positions)

    def _start(self, sites: Sites) -> mosaic.Segments:
        return segments_at_start(generator(self.seed, "segments", sites.number), len(self.ancestry), sites.length)

    def _founders(self, sites: Sites) -> UInt8Array:
        """Alleles (V, P * FOUNDERS) of the founders' haplotypes."""
        reach = max(LD_LENGTH, LD_SPACINGS * sites.length / len(sites.positions))
        return founder_pool(generator(self.seed, "founders", sites.number), sites, DRIFT, FOUNDERS, reach)

    def _copy(self, sites: Sites, founders: UInt8Array, rows: Int64Array, state: mosaic.Segments) -> UInt8Array:
        """Packed calls (V, B) at ``rows``, complete; recent mutations are still 0."""
        cumulative = np.cumsum(self.ancestry, axis=1)
        cumulative[:, -1] = 1.0
        packed = np.empty((len(rows), packed_bytes(len(cumulative))), dtype=np.uint8)
        mosaic.draw_mosaic(sites.positions[rows], founders[rows], cumulative, state, packed)
        return packed

    def _add_recent(self, rng: np.random.Generator, frequency: Float64Array, packed: UInt8Array) -> None:
        """Give every recent mutation its carriers."""
        rows, haplotypes = draw_carriers(rng, frequency, self.ancestry, POPULATION_SHARES)
        order = np.lexsort((haplotypes, rows))
        first = np.searchsorted(rows[order], np.arange(len(packed) + 1))
        mosaic.set_carriers(first, haplotypes[order].astype(np.int32), len(self.ancestry), packed)
