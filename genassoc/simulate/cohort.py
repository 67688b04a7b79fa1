"""A simulated cohort: its sites, its genotypes when asked for, its phenotypes and the truth behind them."""

from collections.abc import Iterator
from dataclasses import dataclass, field

import numpy as np
import polars as pl

from genassoc.data.block import GenotypeBlock
from genassoc.data.forks import check_not_forked
from genassoc.shapes import Float64Array
from genassoc.simulate.genotypes import (
    CHROMOSOME_LENGTHS,
    RECENT_BELOW,
    Genotypes,
    Sites,
    check_chromosomes,
    draw_ancestry,
    draw_sites,
    generator,
    share_out,
)
from genassoc.simulate.simulated import Simulated
from genassoc.simulate.traits import draw_traits

_SINGLE_BASES = ("A", "C", "G", "T")
_INDEL_SHARE = 0.03
_FIRST_ID = 9_000_000_001  # beyond dbSNP's numbers, so that no simulated variant is taken for a real one


@dataclass(frozen=True, kw_only=True)
class SimulatedCohort(Simulated):
    """A cohort whose truth is known. Made by `simulate_cohort`.

    Attributes
    ----------
    sample_ids : tuple of str
        N names.
    contigs : dict of str to int
        Chromosomes and their lengths, in order.
    variants : DataFrame
        ``chromosome, base_pair_location, rsid, other_allele, effect_allele, variant_id``, sorted.
    ancestry : float64 array (N, 3)
        Proportions of the three populations in each sample's genome.
    phenotypes : DataFrame
        ``IID, age, sex`` (1 male, 2 female), ``PC1`` to ``PC4``, ``statin`` ("placebo" or "statin"),
        ``ldl_before, ldl, ldl_change`` (mmol/L: at baseline, at the end of the trial, the difference),
        ``t2d`` (0, 1), ``muscle_pain`` (0, 1), ``years`` of follow-up, ``cardiac_event`` (0, 1) at their end
        and ``admissions`` to hospital in them (a negative binomial count).
        Nulls are missing values.
    truth : DataFrame
        The planted effects: ``trait, variant_id, rsid, chromosome, base_pair_location, effect`` (of one more
        ALT), ``unit, term`` ("main", or "interaction": only in those on statin).
    seed : int
    missing_rate : float
        Mean share of calls not observed.
    """

    ancestry: Float64Array
    phenotypes: pl.DataFrame
    truth: pl.DataFrame
    genotypes: Genotypes = field(repr=False)

    def blocks(self) -> Iterator[tuple[pl.DataFrame, GenotypeBlock]]:
        """Runs of variants (rows of `variants`) with their calls, in order; none crosses a chromosome.

        Drawn when asked for, the same each time: memory is that of one run and of one chromosome's founders.
        """
        for start, packed in self.genotypes.runs(self.missing_rate):
            yield self.variants[start : start + len(packed)], GenotypeBlock(packed, self.n_samples, start)


def simulate_cohort(
    n_samples: int = 2000,
    n_variants: int = 50_000,
    n_chromosomes: int = 22,
    *,
    seed: int = 20,
    missing_rate: float = 0.002,
    min_frequency: float = 0.001,
) -> SimulatedCohort:
    """Simulate a cohort. The same arguments give the same cohort.

    Parameters
    ----------
    n_samples, n_variants : int
        N, and the variants of all chromosomes together, spread in proportion to their lengths (GRCh38).
    n_chromosomes : int
        Chromosomes "1", "2", ..., at most 22.
    seed : int
        0 or more.
    missing_rate : float
        Mean share of calls not observed; it differs between variants.
    min_frequency : float
        The rarest allele's frequency before drift. Frequencies are uniform in their logarithm up to 0.5, so
        that a smaller bound makes more of the variants rare.

    Raises
    ------
    ValueError
        An argument is out of its range.

    Notes
    -----
    Effects are planted by the share of variance they explain. With 2,000 samples most loci pass 5e-8; one or
    two a trait are meant not to. With far fewer samples none need pass.
    """
    check_not_forked()
    _check(n_samples, n_variants, n_chromosomes, missing_rate, min_frequency)
    ancestry = draw_ancestry(generator(seed, "ancestry"), n_samples)
    sites: list[Sites] = []
    tables: list[pl.DataFrame] = []
    for number, count in enumerate(share_out(n_variants, CHROMOSOME_LENGTHS[:n_chromosomes]), start=1):
        sites.append(draw_sites(generator(seed, "sites", number), number, count, min_frequency))
        tables.append(describe(generator(seed, "alleles", number), sites[-1]))
    variants = named(tables)
    genotypes = Genotypes(seed, tuple(sites), ancestry)
    width = len(str(n_samples))
    sample_ids = tuple(f"S{i:0{width}d}" for i in range(1, n_samples + 1))
    phenotypes, truth = draw_traits(seed, sample_ids, variants, genotypes)
    return SimulatedCohort(
        sample_ids=sample_ids,
        contigs={chromosome.name: chromosome.length for chromosome in sites},
        variants=variants,
        ancestry=ancestry,
        phenotypes=phenotypes,
        truth=truth,
        seed=seed,
        missing_rate=missing_rate,
        genotypes=genotypes,
    )


def _check(n_samples: int, n_variants: int, n_chromosomes: int, missing_rate: float, min_frequency: float) -> None:
    if n_samples < 10:
        raise ValueError(f"n_samples is {n_samples}; three populations and two arms need at least 10.")
    check_chromosomes(n_chromosomes)
    fewest = max(20, 10 * n_chromosomes)
    if n_variants < fewest:
        raise ValueError(f"n_variants is {n_variants}; {n_chromosomes} chromosomes need at least {fewest}.")
    if not 0.0 <= missing_rate < 0.5:
        raise ValueError(f"missing_rate is {missing_rate}; it must be at least 0 and below 0.5.")
    if not 0.0 < min_frequency < RECENT_BELOW:
        raise ValueError(f"min_frequency is {min_frequency}; it must be above 0 and below {RECENT_BELOW}.")


def named(tables: list[pl.DataFrame]) -> pl.DataFrame:
    """The variants of all chromosomes, with the columns of `SimulatedCohort.variants`."""
    variants = pl.concat(tables).with_columns(
        rsid="rs" + (pl.int_range(pl.len(), dtype=pl.Int64) + _FIRST_ID).cast(pl.String),
        variant_id=pl.concat_str("chromosome", "base_pair_location", "other_allele", "effect_allele", separator="_"),
    )
    return variants.select("chromosome", "base_pair_location", "rsid", "other_allele", "effect_allele", "variant_id")


def describe(rng: np.random.Generator, sites: Sites) -> pl.DataFrame:
    """Position and alleles of each site: mostly single bases, some short insertions and deletions."""
    V = len(sites.positions)
    bases = np.array(_SINGLE_BASES)
    first = rng.integers(0, 4, V)
    second = (first + rng.integers(1, 4, V)) % 4
    ref, alt = bases[first].astype(object), bases[second].astype(object)
    kind = rng.random(V)
    longer = bases[first].astype(object) + bases[second].astype(object)
    ref = np.where(kind < _INDEL_SHARE / 2, longer, ref)
    alt = np.where(kind < _INDEL_SHARE / 2, bases[first], alt)
    insertion = (kind >= _INDEL_SHARE / 2) & (kind < _INDEL_SHARE)
    alt = np.where(insertion, longer, alt)
    return pl.DataFrame(
        {
            "chromosome": pl.Series([sites.name], dtype=pl.String).new_from_index(0, V),
            "base_pair_location": sites.positions,
            "other_allele": ref.tolist(),
            "effect_allele": alt.tolist(),
        }
    )
