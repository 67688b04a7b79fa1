"""Simulated cohorts with relatives and population structure, whose truth is known."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
import polars as pl

from genassoc.data.block import GenotypeBlock
from genassoc.data.forks import check_not_forked
from genassoc.shapes import Float64Array
from genassoc.simulate.cohort import describe, named
from genassoc.simulate.family_traits import SimulatedTrait, draw_family_traits
from genassoc.simulate.genotypes import (
    BRANCH_SHARE,
    CHROMOSOME_LENGTHS,
    X_NUMBER,
    Y_NUMBER,
    check_chromosomes,
    draw_sites,
    generator,
    share_out,
)
from genassoc.simulate.inheritance import FamilyGenotypes
from genassoc.simulate.pedigree import Pedigree, draw_pedigree, first_sample_of, numbers_of_families
from genassoc.simulate.simulated import Simulated


@dataclass(frozen=True, kw_only=True)
class SimulatedFamilies(Simulated):
    """A cohort with families and populations. Made by `simulate_families`.

    Attributes
    ----------
    sample_ids : tuple of str
        N names, in random order as to families.
    contigs : dict of str to int
        Chromosomes and their lengths (GRCh38), in order.
    variants : DataFrame
        ``chromosome, base_pair_location, rsid, other_allele, effect_allele, variant_id``, sorted.
    samples : DataFrame
        ``IID, FID, family`` (the kind), ``sex`` (1 male, 2 female), ``father, mother`` (null where they are not in the cohort),
        ``population`` (from 1; that of most of the genome) and ``ancestry1`` to ``ancestryP``, the expected proportions.
    phenotypes : DataFrame
        ``IID, sex, age`` (which has no effect) and the traits; of a time to event NAME the column NAME is 1 for an event, 0 where
        follow-up ended first, and NAME_time the years.
    relatives : DataFrame
        Every related pair: ``sample_id_1, sample_id_2, relationship, kinship`` (expected of the pedigree). Relationships are duplicates,
        twins, parent_offspring, full_siblings, half_siblings, grandparent, avuncular, first_cousins.
    truth : DataFrame
        Effects: ``trait, variant_id, rsid, chromosome, base_pair_location, effect`` (of one more ALT; of a quantitative trait, of a
        liability of variance 1, or of the log hazard in the same unit).
    genetic_values : DataFrame
        ``IID`` and what variants contribute to each trait.
    seed : int
    missing_rate : float
    """

    samples: pl.DataFrame
    phenotypes: pl.DataFrame
    relatives: pl.DataFrame
    truth: pl.DataFrame
    genetic_values: pl.DataFrame
    genotypes: FamilyGenotypes = field(repr=False)

    def blocks(self) -> Iterator[tuple[pl.DataFrame, GenotypeBlock]]:
        """Runs of variants (rows of `variants`) with their calls, in order; none crosses a chromosome.

        Drawn when asked for, the same each time: memory is that of one run and of one chromosome's founders.
        """
        for block in self.genotypes.blocks(self.missing_rate):
            yield self.variants[block.start : block.start + block.n_variants], block

    def realised_kinship(self) -> pl.DataFrame:
        """`relatives` with what their genomes have in common: ``ibd0, ibd1, ibd2`` and ``realised_kinship``.

        Shares of the autosomes by descent from the pedigree's founders. Full siblings differ around a kinship of 1/4, cousins around 1/16.
        """
        place = {name: i for i, name in enumerate(self.sample_ids)}
        one, other = (
            np.array([place[name] for name in self.relatives[column]], dtype=np.int64)
            for column in ("sample_id_1", "sample_id_2")
        )
        ibd = self.genotypes.shared(one, other)
        columns = {f"ibd{k}": ibd[:, k] for k in range(3)}
        return self.relatives.with_columns(**columns, realised_kinship=ibd[:, 1] / 4.0 + ibd[:, 2] / 2.0)


def simulate_families(
    n_samples: int = 3000,
    n_variants: int = 50_000,
    *,
    families: float | Mapping[str, int] = 0.5,
    fst: Sequence[float] = (0.01, 0.05),
    shares: Sequence[float] | None = None,
    admixed: float = 0.0,
    traits: Mapping[str, SimulatedTrait] | None = None,
    seed: int = 20,
    n_chromosomes: int = 22,
    x_variants: int = 0,
    y_variants: int = 0,
    missing_rate: float = 0.002,
    min_frequency: float = 0.005,
    ld_length: float = 100_000.0,
) -> SimulatedFamilies:
    """Simulate a cohort with relatives, populations and traits. The same arguments give the same cohort.

    Parameters
    ----------
    n_samples, n_variants : int
        N, and the variants of the autosomes together, spread in proportion to their lengths.
    families : float, or mapping of str to int
        Share of the samples that are in families, the same for each kind; or the number of families of each kind: "duplicates", "twins",
        "trios" (both parents and a child), "siblings", "half_siblings", "cousins" (two samples each), "three_generations" (ten). All
        other samples are unrelated.
    fst : sequence of P floats
        F_ST of each population from their common ancestor, 0 or more: between populations of F and G, Hudson's is about (F + G) / 2.
    shares : sequence of P floats, optional
        Of the families in each population; equal by default.
    admixed : float
        Share of the families whose founders are admixed: proportions uniform over all that add up to 1, different in each founder.
    traits : mapping of str to SimulatedTrait, optional
        By the names of their columns.
    seed : int
        0 or more.
    n_chromosomes : int
        Chromosomes "1", "2", ..., at most 22.
    x_variants, y_variants : int
        Variants of X and Y outside the pseudo-autosomal regions, where calls of males are haploid.
    missing_rate : float
        Mean share of calls not observed; it differs between variants.
    min_frequency : float
        The rarest allele's frequency before drift. Frequencies are uniform in their logarithm up to 0.5.
    ld_length : float
        Base pairs over which the latent correlation of haplotypes falls to 1 / e.

    Raises
    ------
    ValueError
        An argument is out of its range.

    Notes
    -----
    Founders are mosaics of 400 haplotypes a population (Li and Stephens 2003), which drifted from common frequencies (Balding and Nichols
    1995); children inherit with one crossover a Morgan, at 1.2 cM a Mb. Variants below 1 % are recent mutations of founders, so of some
    nobody in the cohort may be a carrier.
    """
    check_not_forked()
    shares = tuple(shares) if shares is not None else (1.0 / max(len(fst), 1),) * len(fst)
    _check(n_samples, n_variants, n_chromosomes, x_variants, y_variants)
    _check_rates(fst, shares, admixed, missing_rate, min_frequency, ld_length)
    chosen = numbers_of_families(families, n_samples)
    pedigree = draw_pedigree(generator(seed, "pedigree"), n_samples, chosen)
    founders, ancestry = _draw_ancestry(generator(seed, "ancestry"), pedigree, shares, admixed)
    counts = dict(enumerate(share_out(n_variants, CHROMOSOME_LENGTHS[:n_chromosomes]), start=1))
    counts |= {number: n for number, n in ((X_NUMBER, x_variants), (Y_NUMBER, y_variants)) if n}
    spacing = sum(CHROMOSOME_LENGTHS[:n_chromosomes]) / n_variants
    branch_share = BRANCH_SHARE * float(np.exp(-spacing / ld_length))  # far apart, each variant has a branch of its own
    sites = tuple(
        draw_sites(generator(seed, "sites", number), number, count, min_frequency, branch_share)
        for number, count in counts.items()
    )
    variants = named([describe(generator(seed, "alleles", each.number), each) for each in sites])
    width = len(str(n_samples))
    sample_ids = tuple(f"S{i:0{width}d}" for i in range(1, n_samples + 1))
    genotypes = FamilyGenotypes(seed, sites, pedigree, founders, tuple(fst), shares, ld_length)
    phenotypes, truth, genetic = draw_family_traits(seed, traits or {}, sample_ids, variants, genotypes, ancestry)
    names = np.array(sample_ids, dtype=object)
    pairs = pedigree.pairs
    return SimulatedFamilies(
        sample_ids=sample_ids,
        contigs={each.name: each.length for each in sites},
        variants=variants,
        samples=_sample_table(pedigree, names, ancestry),
        phenotypes=phenotypes,
        relatives=pl.DataFrame(
            {
                "sample_id_1": [sample_ids[one] for one, *_ in pairs],
                "sample_id_2": [sample_ids[other] for _, other, *_ in pairs],
                "relationship": [name for _, _, name, _ in pairs],
                "kinship": [phi for *_, phi in pairs],
            },
            schema={
                "sample_id_1": pl.String,
                "sample_id_2": pl.String,
                "relationship": pl.String,
                "kinship": pl.Float64,
            },
        ),
        truth=truth,
        genetic_values=genetic,
        seed=seed,
        missing_rate=missing_rate,
        genotypes=genotypes,
    )


def _check(n_samples: int, n_variants: int, n_chromosomes: int, x_variants: int, y_variants: int) -> None:
    if n_samples < 2:
        raise ValueError(f"n_samples is {n_samples}; it must be at least 2.")
    check_chromosomes(n_chromosomes)
    if n_variants < n_chromosomes:
        raise ValueError(f"n_variants is {n_variants}; {n_chromosomes} chromosomes need at least one each.")
    if min(x_variants, y_variants) < 0:
        raise ValueError(f"x_variants and y_variants are {x_variants} and {y_variants}; they must be 0 or more.")


def _check_rates(
    fst: Sequence[float],
    shares: Sequence[float],
    admixed: float,
    missing_rate: float,
    min_frequency: float,
    ld_length: float,
) -> None:
    if not fst or not all(0.0 <= f < 1.0 for f in fst):
        raise ValueError(f"fst is {tuple(fst)}; it needs a value for each population, at least 0 and below 1.")
    if len(shares) != len(fst) or min(shares) <= 0.0 or abs(sum(shares) - 1.0) > 1e-6:  # given in a few decimals
        raise ValueError(
            f"shares is {tuple(shares)}; it needs one above 0 for each of {len(fst)} populations, of sum 1."
        )
    if not 0.0 <= admixed <= 1.0:
        raise ValueError(f"admixed is {admixed}; it must be 0 to 1.")
    if not 0.0 <= missing_rate < 0.5:
        raise ValueError(f"missing_rate is {missing_rate}; it must be at least 0 and below 0.5.")
    if not 0.0 < min_frequency < 0.5:
        raise ValueError(f"min_frequency is {min_frequency}; it must be above 0 and below 0.5.")
    if not ld_length > 0.0:
        raise ValueError(f"ld_length is {ld_length}; it must be above 0.")


def _draw_ancestry(
    rng: np.random.Generator, pedigree: Pedigree, shares: Sequence[float], admixed: float
) -> tuple[Float64Array, Float64Array]:
    """Proportions of the founders (F, P) and, as expected, of the samples (N, P); founders of a family are of one population."""
    P, n_families = len(shares), len(pedigree.kinds)
    home = rng.choice(P, n_families, p=np.asarray(shares) / sum(shares))
    mixed = rng.random(n_families) < admixed
    of_person = np.zeros((pedigree.father.size, P))
    founders = pedigree.founders
    family = pedigree.family[founders]
    pure = np.eye(P)[home[family]]
    of_person[founders] = np.where(mixed[family][:, None], rng.dirichlet(np.ones(P), founders.size), pure)
    for generation in range(1, int(pedigree.generation.max()) + 1):
        who = np.flatnonzero(pedigree.generation == generation)
        of_person[who] = 0.5 * (of_person[pedigree.father[who]] + of_person[pedigree.mother[who]])
    return of_person[founders], of_person[pedigree.genome]


def _sample_table(pedigree: Pedigree, names: "np.ndarray", ancestry: Float64Array) -> pl.DataFrame:
    """`SimulatedFamilies.samples`."""
    of_person = first_sample_of(pedigree, names)
    family = pedigree.family[pedigree.genome]
    parents = {
        column: [None if k < 0 else of_person[k] for k in parent[pedigree.genome]]
        for column, parent in (("father", pedigree.father), ("mother", pedigree.mother))
    }
    return pl.DataFrame(
        {
            "IID": names.tolist(),
            "FID": [f"F{k + 1}" for k in family],
            "family": [pedigree.kinds[k] for k in family],
            "sex": pedigree.sex[pedigree.genome],
            **{column: pl.Series(values, dtype=pl.String) for column, values in parents.items()},
            "population": 1 + ancestry.argmax(axis=1),
            **{f"ancestry{k + 1}": ancestry[:, k] for k in range(ancestry.shape[1])},
        }
    )
