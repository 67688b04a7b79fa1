"""Simulated cohorts with rare coding variants in annotated genes, for tests of genes, whose truth is known."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import polars as pl

from genassoc.data.block import GenotypeBlock
from genassoc.data.forks import check_not_forked
from genassoc.data.output import replacing
from genassoc.data.schema import block_variants
from genassoc.kernels.genotypes import mosaic
from genassoc.shapes import BoolArray, Int64Array, UInt8Array, packed_bytes
from genassoc.simulate.gene_models import (
    INFO_FIELDS,
    Gene,
    draw_genes,
    draw_variants,
    gtf_lines,
    info_text,
)
from genassoc.simulate.gene_traits import DAMAGING, Carried, draw_people, draw_phenotypes, plant
from genassoc.simulate.genotypes import check_chromosomes, generator, hide
from genassoc.simulate.simulated import Simulated

MASKS = {"pLoF": ("pLoF",), "pLoF_missense": ("pLoF", "missense"), "synonymous": ("synonymous",)}
SECOND_POPULATION = 0.2  # of the samples; rare variants are of one population
COUNT_EXPONENT = 1.5  # P(k copies) falls as k to minus this: four in ten are seen once, as in sequenced cohorts
COMMON_SHARE = 0.01  # of the variants, by default; with frequencies up to COMMON_UP_TO: masks leave them out
COMMON_UP_TO = 0.3
ALT_MAJOR_SHARE = 0.005  # of the variants: REF is the rare allele
RARE_BELOW = 0.01
FALSE_CALLS = 0.15  # of the cases, in a variant of an uneven gene
NOT_COVERED = 0.4  # of the controls, in that variant; half of it in the gene's others


@dataclass(frozen=True, kw_only=True)
class SimulatedGenes(Simulated):
    """A cohort with rare variants in annotated genes. Made by `simulate_genes`.

    Attributes
    ----------
    sample_ids : tuple of str
        N names.
    contigs : dict of str to int
        Chromosomes and their lengths (GRCh38), in order.
    variants : DataFrame
        ``chromosome, base_pair_location, rsid`` (null), ``other_allele, effect_allele, variant_id, category`` and ``info`` (``CSQ``
        as VEP writes it; lines of the header: `info_fields`), sorted.
    annotations : DataFrame
        ``set_id, variant_id, consequence, category`` ("pLoF", "missense", "synonymous"), ``cadd``: one row a gene and variant.
    genes : DataFrame
        ``set_id, gene_id, chromosome, start, end, strand, n_variants, uneven``.
    phenotypes : DataFrame
        ``IID, age, sex`` (1 male, 2 female), ``PC1, PC2, arm`` ("placebo", "drug"), ``disease`` (0, 1: the rare one), ``biomarker`` and
        ``response`` (quantitative), ``event`` (0, 1) at the end of ``years``, ``episodes`` (a negative binomial count in these years),
        ``grade`` (0 to 3).
    truth : DataFrame
        Planted genes: ``trait, set_id, kind`` ("burden": all damaging variants do the same; "skat": half of them the opposite), ``term``
        ("main", or "interaction": only in those on the drug), ``effect`` (of one more allele), ``unit, n_variants, n_carriers``.
    effects : DataFrame
        Variants with an effect: ``trait, set_id, variant_id, effect``.
    seed : int
    missing_rate : float
    """

    variants: pl.DataFrame
    annotations: pl.DataFrame
    genes: pl.DataFrame
    phenotypes: pl.DataFrame
    truth: pl.DataFrame
    effects: pl.DataFrame
    info_fields: tuple[str, ...] = INFO_FIELDS
    models: tuple[Gene, ...] = field(repr=False)
    calls: "Calls" = field(repr=False)

    def blocks(self) -> Iterator[tuple[pl.DataFrame, GenotypeBlock]]:
        """Runs of variants (rows of `variants`) with their calls, in order; none crosses a chromosome. The same each time."""
        for block in self.calls.blocks(self.seed, self.missing_rate):
            yield self.variants[block.start : block.start + block.n_variants], block

    def write_sets(self, folder: str | Path) -> dict[str, Path]:
        """Write what tells genes: REGENIE's three files, SAIGE's group file and a GTF, with the phenotypes beside them.

        Returns
        -------
        dict of str to Path
            ``annotations`` (variant, gene, category), ``sets`` (gene, chromosome, start, variants), ``masks`` (name, categories),
            ``groups`` (SAIGE's: variants, categories and CADD as weights), ``gtf``, ``phenotypes`` (TSV).
            Variants are named chromosome_position_ref_alt, SAIGE's chromosome:position:ref:alt.

        Raises
        ------
        OutputError
            The folder cannot be written.
        """
        folder = Path(folder)
        folder.mkdir(parents=True, exist_ok=True)
        lists = self.annotations.group_by("set_id", maintain_order=True).agg("variant_id", "category", "cadd")
        starts = self.genes.select("set_id", "chromosome", "start")
        ordered = starts.join(lists, on="set_id", how="inner", maintain_order="left")
        group_lines = []
        for row in ordered.iter_rows(named=True):
            ids = [name.replace("_", ":") for name in row["variant_id"]]
            weights = [f"{value:g}" for value in row["cadd"]]
            for kind, values in (("var", ids), ("anno", row["category"]), ("weight", weights)):
                group_lines.append(" ".join([row["set_id"], kind, *values]))
        texts = {
            "annotations.txt": [
                " ".join(row) for row in self.annotations.select("variant_id", "set_id", "category").rows()
            ],
            "sets.txt": [
                f"{row['set_id']} {row['chromosome']} {row['start']} {','.join(row['variant_id'])}"
                for row in ordered.iter_rows(named=True)
            ],
            "masks.txt": [f"{name} {','.join(categories)}" for name, categories in MASKS.items()],
            "groups.txt": group_lines,
            "genes.gtf": gtf_lines(self.models),
            "phenotypes.tsv": self.phenotypes.write_csv(separator="\t").splitlines(),
        }
        paths = {}
        for name, lines in texts.items():
            path = folder / name
            with replacing(path) as file:
                file.write(("\n".join(lines) + "\n").encode())
            paths["gtf" if path.suffix == ".gtf" else path.stem] = path
        return paths


def simulate_genes(
    n_samples: int = 5000,
    n_genes: int = 200,
    variants_per_gene: int = 20,
    *,
    n_cases: int | None = None,
    odds_ratio: float | None = 10.0,
    max_frequency: float = RARE_BELOW,
    common_share: float = COMMON_SHARE,
    n_chromosomes: int = 22,
    x_genes: int = 0,
    uneven_genes: int = 0,
    missing_rate: float = 0.002,
    seed: int = 20,
) -> SimulatedGenes:
    """Simulate a cohort with rare variants in annotated genes. The same arguments give the same cohort.

    Parameters
    ----------
    n_samples : int
        N, four fifths of one population.
    n_genes, variants_per_gene : int
        Genes of the autosomes, and coding variants in each: pLoF, missense and synonymous. One gene in twenty overlaps another.
    n_cases : int, optional
        Cases of the disease; all others are population controls. One in 500 by default, at least 20.
    odds_ratio : float or None
        Of the disease, for one more damaging allele of a planted gene (for its inverse, of half of the alleles of a gene of the kind "skat").
        Other traits have genes planted in them, too. None: nothing is planted.
    max_frequency : float
        Of rare variants. Copies k are drawn with probability k**-1.5 up to it.
    common_share : float
        Of the variants that are frequent: up to 0.3.
    n_chromosomes, x_genes : int
        Autosomes "1", "2", ...; genes of X outside the pseudo-autosomal regions, where calls of males are haploid.
    uneven_genes : int
        Genes that cases and controls were sequenced unevenly in: one missense variant is called falsely in 15 % of the cases and not at
        all in 40 % of the controls, the others not in 20 % of the controls. What a reviewer looks for.
    missing_rate : float
        Mean share of calls not observed; it differs between variants.
    seed : int
        0 or more.

    Raises
    ------
    ValueError
        An argument is out of its range.

    Notes
    -----
    Variants of one gene are independent of one another but for the population that they are of. Cases are those with the greatest
    liability of a logistic model with age, sex, population and the planted genes. Nine genes are planted; where fewer have two damaging
    variants of their own, only the first traits get theirs. Alleles are drawn with replacement, so that frequent
    variants have a little fewer than was drawn.
    """
    check_not_forked()
    n_cases = max(20, n_samples // 500) if n_cases is None else n_cases
    _check(n_samples, n_genes, variants_per_gene, n_cases, missing_rate, max_frequency)
    if odds_ratio is not None and not 0.0 < odds_ratio < np.inf:
        raise ValueError(f"odds_ratio is {odds_ratio}; it must be positive and finite, or None.")
    if not 0.0 <= common_share <= 1.0:
        raise ValueError(f"common_share is {common_share}; it must be from 0 to 1.")
    check_chromosomes(n_chromosomes)
    if x_genes < 0 or not 0 <= uneven_genes <= n_genes // 2:
        raise ValueError(
            f"x_genes is {x_genes}, uneven_genes {uneven_genes}; at least 0, uneven at most half of the genes."
        )
    if n_genes < n_chromosomes:
        raise ValueError(f"n_genes is {n_genes}; each of the {n_chromosomes} chromosomes needs one.")
    genes, contigs = draw_genes(seed, n_genes, n_chromosomes, x_genes, variants_per_gene)
    drawn = draw_variants(seed, genes, tuple(contigs), variants_per_gene)
    people = draw_people(generator(seed, "gene traits"), n_samples, SECOND_POPULATION)
    rng = generator(seed, "carriers", 99)
    on_x = (drawn.variants["chromosome"] == "X").to_numpy()
    counts, common = _counts(rng, drawn.variants.height, n_samples, (max_frequency, common_share))
    carried = _carriers(rng, counts, common, people.population, np.where(on_x, 1, 0), people.sex == 1)
    flipped = rng.random(counts.size) < ALT_MAJOR_SHARE
    uneven = _uneven(genes, drawn.gene, drawn.variants, common | flipped, uneven_genes)
    members = _plantable(genes, drawn.gene, drawn.annotations, drawn.variants, common | flipped | on_x | (uneven > 0))
    planted = plant(generator(seed, "planting", 99), drawn.variants, members, carried, odds_ratio)
    width = len(str(n_samples))
    sample_ids = tuple(f"S{i:0{width}d}" for i in range(1, n_samples + 1))
    phenotypes = draw_phenotypes(seed, sample_ids, people, planted, n_cases)
    calls = Calls(
        carried=carried,
        chromosome=drawn.variants["chromosome"].to_list(),
        flipped=flipped,
        uneven=uneven,
        cases=(phenotypes["disease"] == 1).to_numpy(),
        male=people.sex == 1,
    )
    info = info_text(seed, drawn.variants, drawn.annotations, genes)
    return SimulatedGenes(
        sample_ids=sample_ids,
        contigs=contigs,
        variants=drawn.variants.with_columns(info),
        annotations=drawn.annotations,
        genes=_gene_table(genes, drawn.annotations, set(drawn.gene[uneven > 0].tolist())),
        phenotypes=phenotypes,
        truth=planted.truth,
        effects=planted.effects,
        seed=seed,
        missing_rate=missing_rate,
        models=genes,
        calls=calls,
    )


def _check(
    n_samples: int, n_genes: int, per_gene: int, n_cases: int, missing_rate: float, max_frequency: float
) -> None:
    if n_samples < 50:
        raise ValueError(f"n_samples is {n_samples}; it must be at least 50.")
    if n_genes < 1 or not 3 <= per_gene <= 2000:
        raise ValueError(f"{n_genes} genes of {per_gene} variants; at least one, of 3 to 2000.")
    if not 0 < n_cases < n_samples:
        raise ValueError(f"n_cases is {n_cases}; it must be above 0 and below n_samples, {n_samples}.")
    if not 0.0 <= missing_rate < 0.5:
        raise ValueError(f"missing_rate is {missing_rate}; it must be at least 0 and below 0.5.")
    if not 0.0 < max_frequency <= 0.1:
        raise ValueError(f"max_frequency is {max_frequency}; it must be above 0 and at most 0.1.")


def _counts(rng: np.random.Generator, V: int, N: int, spectrum: tuple[float, float]) -> tuple[Int64Array, BoolArray]:
    """Copies of each variant's rare allele (V,), and which are frequent; ``spectrum`` is max_frequency and common_share."""
    max_frequency, common_share = spectrum
    most = np.arange(1, max(2, int(2 * N * max_frequency)) + 1)
    shares = most**-COUNT_EXPONENT
    counts = rng.choice(most, V, p=shares / shares.sum())
    common = rng.random(V) < common_share
    frequent = np.rint(2 * N * rng.uniform(2 * max_frequency, COMMON_UP_TO, V)).astype(np.int64)
    return np.where(common, frequent, counts), common


def _carriers(
    rng: np.random.Generator,
    counts: Int64Array,
    common: BoolArray,
    population: Int64Array,
    on_x: Int64Array,
    male: BoolArray,
) -> Carried:
    """Haplotypes with each variant: of one population where it is rare, of all where it is frequent."""
    N = population.size
    home = (rng.random(counts.size) < SECOND_POPULATION).astype(np.int64)
    variant = np.repeat(np.arange(counts.size), counts)
    u = rng.random(variant.size)
    sample = np.floor(u * N).astype(np.int64)
    for k in (0, 1):
        here = np.flatnonzero(population == k)
        ours = (home[variant] == k) & ~common[variant]
        if here.size:
            sample[ours] = here[np.floor(u[ours] * here.size).astype(np.int64)]
    haplotype = 2 * sample + rng.integers(0, 2, variant.size)
    hemizygous = (on_x[variant] == 1) & male[sample]  # his one X stands as both of his haplotypes
    variant = np.concatenate([variant, variant[hemizygous]])
    haplotype = np.concatenate([haplotype, haplotype[hemizygous] ^ 1])
    key = np.unique(variant * (2 * N) + haplotype)
    variant, haplotype = key // (2 * N), key % (2 * N)
    return Carried(np.searchsorted(variant, np.arange(counts.size + 1)), haplotype, N)


def _uneven(
    genes: tuple[Gene, ...], owner: Int64Array, variants: pl.DataFrame, excluded: BoolArray, n_uneven: int
) -> UInt8Array:
    """0, or 1 for a variant of an uneven gene, 2 for the one with false calls: genes spread over the genome."""
    uneven = np.zeros(owner.size, dtype=np.uint8)
    missense = (variants["category"] == "missense").to_numpy() & ~excluded
    found = 0
    for number in range(1, len(genes), 2):
        own = owner == number
        if found == n_uneven:
            break
        if genes[number].chromosome != "X" and (own & missense).any():
            uneven[own] = 1
            uneven[np.flatnonzero(own & missense)[0]] = 2
            found += 1
    return uneven


def _plantable(
    genes: tuple[Gene, ...], owner: Int64Array, annotations: pl.DataFrame, variants: pl.DataFrame, excluded: BoolArray
) -> dict[str, Int64Array]:
    """Damaging rare variants of each gene that shares no variant with another."""
    shared = annotations.group_by("variant_id").len().filter(pl.col("len") > 1)["variant_id"]
    alone = ~variants["variant_id"].is_in(shared.implode()).to_numpy()
    damaging = variants["category"].is_in(list(DAMAGING)).to_numpy() & ~excluded
    order = np.argsort(owner, kind="stable")
    bounds = np.searchsorted(owner[order], np.arange(len(genes) + 1))
    members = {}
    for gene in genes:
        own = np.sort(order[bounds[gene.number] : bounds[gene.number + 1]])
        if alone[own].all() and damaging[own].sum() >= 2:
            members[gene.set_id] = own[damaging[own]]
    return members


def _gene_table(genes: tuple[Gene, ...], annotations: pl.DataFrame, uneven: set[int]) -> pl.DataFrame:
    counts = annotations.group_by("set_id").agg(pl.len().cast(pl.Int64).alias("n_variants"))
    table = pl.DataFrame(
        {
            "set_id": [gene.set_id for gene in genes],
            "gene_id": [gene.gene_id for gene in genes],
            "chromosome": [gene.chromosome for gene in genes],
            "start": [gene.start for gene in genes],
            "end": [gene.end for gene in genes],
            "strand": [gene.strand for gene in genes],
            "uneven": [gene.number in uneven for gene in genes],
        }
    )
    joined = table.join(counts, on="set_id", how="left", maintain_order="left").with_columns(
        pl.col("n_variants").fill_null(0)
    )
    return joined.select("set_id", "gene_id", "chromosome", "start", "end", "strand", "n_variants", "uneven")


@dataclass(frozen=True)
class Calls:
    """What the calls of the V variants are made of.

    Attributes
    ----------
    carried : Carried
    chromosome : list of V str
    flipped : bool array (V,)
        REF is the rare allele.
    uneven : uint8 array (V,)
        1 where a part of the controls is not covered, 2 where there are false calls of cases too.
    cases, male : bool array (N,)
    """

    carried: Carried
    chromosome: list[str]
    flipped: BoolArray
    uneven: UInt8Array
    cases: BoolArray
    male: BoolArray

    def blocks(self, seed: int, missing_rate: float) -> Iterator[GenotypeBlock]:
        """Packed calls, run after run of variants of one chromosome."""
        N, size, start = self.carried.n_samples, block_variants(self.carried.n_samples), 0
        haploid = np.packbits(self.male, bitorder="little")
        while start < len(self.chromosome):
            name = self.chromosome[start]
            stop = start + self.chromosome[start:].index(name) + self.chromosome.count(name)
            rng = generator(seed, "gene missing", start)
            for first in range(start, stop, size):
                rows = np.arange(first, min(first + size, stop))
                packed = self._packed(rows)
                hide(rng, missing_rate, N, packed)
                self._make_uneven(generator(seed, "carriers", 100 + first), rows, packed)
                marks = np.tile(haploid, (rows.size, 1)) if name == "X" else None
                yield GenotypeBlock(packed, N, first, marks)
            start = stop

    def _packed(self, rows: Int64Array) -> UInt8Array:
        N, first = self.carried.n_samples, self.carried.first
        packed = np.zeros((rows.size, packed_bytes(N)), dtype=np.uint8)
        bounds = first[rows[0] : rows[-1] + 2]
        own = self.carried.haplotypes[bounds[0] : bounds[-1]].astype(np.int32)
        mosaic.set_carriers(bounds - bounds[0], own, N, packed)
        if (turned := np.flatnonzero(self.flipped[rows])).size:
            codes = 2 - GenotypeBlock(packed[turned], N).codes()
            packed[turned] = GenotypeBlock.from_codes(codes.astype(np.uint8)).packed
        return packed

    def _make_uneven(self, rng: np.random.Generator, rows: Int64Array, packed: UInt8Array) -> None:
        N = self.carried.n_samples
        for k in np.flatnonzero(self.uneven[rows]).tolist():
            false_calls = self.uneven[rows[k]] == 2
            codes = GenotypeBlock(packed[k : k + 1], N).codes()
            share = NOT_COVERED if false_calls else NOT_COVERED / 2
            u = rng.random(N)
            codes[0, ~self.cases & (u < share)] = 3
            if false_calls:
                codes[0, self.cases & (u < FALSE_CALLS) & (codes[0] == 0)] = 1
            packed[k] = GenotypeBlock.from_codes(codes).packed[0]
