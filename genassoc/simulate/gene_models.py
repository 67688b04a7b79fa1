"""Simulated genes: exons, the coding variants in them, what these do, and how annotation programs write it.

Categories are those that masks are made of: "pLoF" (stop gained, frameshift, splice site), "missense", "synonymous". A gene may
overlap the one before it; then a variant may be in the exons of both.
"""

from dataclasses import dataclass

import numpy as np
import polars as pl

from genassoc.shapes import Float64Array, Int64Array
from genassoc.simulate.genotypes import CHROMOSOME_LENGTHS, generator, share_out

CATEGORIES = ("pLoF", "missense", "synonymous")
CATEGORY_SHARES = (0.15, 0.5, 0.35)
OVERLAPPING = 0.05  # of the genes, with the one before
MORE_TRANSCRIPTS = 0.3  # of the variants, which have a second transcript where they are intronic
INFO_FIELDS = (
    '##INFO=<ID=CSQ,Number=.,Type=String,Description="Consequence annotations from Ensembl VEP. Format: '
    'Allele|Consequence|IMPACT|SYMBOL|Gene|Feature_type|Feature|BIOTYPE|CANONICAL|LoF|CADD_PHRED">',
)
_PLOF = ("stop_gained", "frameshift_variant", "splice_donor_variant")
_IMPACT = {
    "stop_gained": "HIGH",
    "frameshift_variant": "HIGH",
    "splice_donor_variant": "HIGH",
    "missense_variant": "MODERATE",
    "synonymous_variant": "LOW",
    "intron_variant": "MODIFIER",
}
_X_OUTSIDE_PAR = (2_781_480, 155_701_382, 156_040_895)
_EXONS = (3, 9)  # at least, below
_BASES = np.array(["A", "C", "G", "T"])


@dataclass(frozen=True)
class Gene:
    """One gene: exons are (first, last) positions, coding from end to end; ``number`` is its place among all genes."""

    number: int
    set_id: str
    gene_id: str
    chromosome: str
    strand: str
    exons: tuple[tuple[int, int], ...]

    @property
    def start(self) -> int:
        """First position."""
        return self.exons[0][0]

    @property
    def end(self) -> int:
        """Last position."""
        return self.exons[-1][1]

    def coding(self, position: int) -> bool:
        """Whether a position is in an exon."""
        return any(first <= position <= last for first, last in self.exons)


def draw_genes(
    seed: int, n_genes: int, n_chromosomes: int, x_genes: int, variants_per_gene: int
) -> tuple[tuple[Gene, ...], dict[str, int]]:
    """Genes in genome order, and the chromosomes with their lengths."""
    places = [(str(k + 1), 1, CHROMOSOME_LENGTHS[k], CHROMOSOME_LENGTHS[k]) for k in range(n_chromosomes)]
    counts = share_out(n_genes, CHROMOSOME_LENGTHS[:n_chromosomes])
    if x_genes:
        places.append(("X", *_X_OUTSIDE_PAR))
        counts.append(x_genes)
    width = max(4, len(str(n_genes + x_genes)))
    genes: list[Gene] = []
    for k, ((name, low, high, _), count) in enumerate(zip(places, counts, strict=True)):
        rng = generator(seed, "genes", k)
        slot = (high - low) // count
        for i in range(count):
            number = len(genes) + 1
            exons = _exons(rng, variants_per_gene)
            span = exons[-1][1]
            before = genes[-1] if i else None
            if before is not None and rng.random() < OVERLAPPING:
                shift = before.start + int(rng.integers(1, before.end - before.start))  # begins within the gene before
            else:
                shift = low + i * slot + int(rng.integers(1, max(2, slot // 2 - span)))
            exons = tuple((first + shift, last + shift) for first, last in exons)
            strand = "+" if rng.random() < 0.5 else "-"
            genes.append(Gene(number - 1, f"GENE{number:0{width}d}", f"SIMG{number:011d}", name, strand, exons))
    return tuple(genes), {name: length for name, _, _, length in places}


def _exons(rng: np.random.Generator, variants_per_gene: int) -> tuple[tuple[int, int], ...]:
    n = int(rng.integers(*_EXONS))
    sizes = rng.integers(100, 300, n) + 10 * variants_per_gene // n
    introns = rng.integers(300, 2500, n)
    ends = np.cumsum(sizes + introns)
    return tuple((int(end - size), int(end) - 1) for end, size in zip(ends, sizes, strict=True))


@dataclass(frozen=True)
class GeneVariants:
    """Coding variants of all genes.

    Attributes
    ----------
    variants : DataFrame
        ``chromosome, base_pair_location, rsid, other_allele, effect_allele, variant_id, category`` (of the gene that it was drawn
        for), in genome order.
    annotations : DataFrame
        ``set_id, variant_id, consequence, category, cadd``: one row a variant and gene in whose exons it lies.
    gene : int64 array (V,)
        Number of the gene that each variant was drawn for.
    """

    variants: pl.DataFrame
    annotations: pl.DataFrame
    gene: Int64Array


def draw_variants(seed: int, genes: tuple[Gene, ...], chromosomes: tuple[str, ...], per_gene: int) -> GeneVariants:
    """``per_gene`` coding variants of each gene at positions of their own, with their annotations."""
    tables, annotations, owners = [], [], []
    by_chromosome: dict[str, list[Gene]] = {name: [] for name in chromosomes}
    for gene in genes:
        by_chromosome[gene.chromosome].append(gene)
    for k, (name, here) in enumerate(by_chromosome.items()):
        rng = generator(seed, "gene variants", k)
        taken: set[int] = set()
        rows: list[tuple[int, int]] = []
        for gene in here:
            coding = np.concatenate([np.arange(first, last + 1) for first, last in gene.exons])
            free = np.array([p for p in rng.permutation(coding)[: 3 * per_gene].tolist() if p not in taken][:per_gene])
            taken.update(free.tolist())
            rows += [(int(p), gene.number) for p in free]
        rows.sort()
        positions = np.array([p for p, _ in rows], dtype=np.int64)
        owner = np.array([g for _, g in rows], dtype=np.int64)
        table, annotation = _describe(rng, name, positions, owner, {gene.number: gene for gene in here})
        tables.append(table)
        annotations.append(annotation)
        owners.append(owner)
    return GeneVariants(pl.concat(tables), pl.concat(annotations), np.concatenate(owners))


def _describe(
    rng: np.random.Generator, chromosome: str, positions: Int64Array, owner: Int64Array, genes: dict[int, Gene]
) -> tuple[pl.DataFrame, pl.DataFrame]:
    V = positions.size
    first = rng.integers(0, 4, V)
    ref = _BASES[first].astype(object)
    alt = _BASES[(first + rng.integers(1, 4, V)) % 4].astype(object)
    category = rng.choice(len(CATEGORIES), V, p=CATEGORY_SHARES)
    consequence = _consequence(rng, category)
    longer = ref + _BASES[rng.integers(0, 4, V)].astype(object)
    shift, deletion = consequence == "frameshift_variant", rng.random(V) < 0.5
    ref, alt = np.where(shift & deletion, longer, ref), np.where(shift, np.where(deletion, ref, longer), alt)
    cadd = _cadd(rng, category)
    variants = pl.DataFrame(
        {
            "chromosome": pl.Series([chromosome], dtype=pl.String).new_from_index(0, V),
            "base_pair_location": positions,
            "rsid": pl.Series([None], dtype=pl.String).new_from_index(0, V),
            "other_allele": pl.Series(ref.tolist(), dtype=pl.String),
            "effect_allele": pl.Series(alt.tolist(), dtype=pl.String),
            "category": pl.Series([CATEGORIES[c] for c in category], dtype=pl.String),
        }
    ).with_columns(
        variant_id=pl.concat_str("chromosome", "base_pair_location", "other_allele", "effect_allele", separator="_")
    )
    own = _annotation(variants["variant_id"], [genes[g].set_id for g in owner], consequence, category, cadd)
    # In the exons of another gene too: the one before or behind, of which it may be anything else.
    shared = [
        (v, genes[other].set_id)
        for v, g in enumerate(owner.tolist())
        for other in (g - 2, g - 1, g + 1, g + 2)
        if other in genes and genes[other].coding(int(positions[v]))
    ]
    if not shared:
        return variants, own
    where = np.array([v for v, _ in shared])
    other_category = np.where(shift[where], 0, rng.choice(len(CATEGORIES), where.size, p=CATEGORY_SHARES))
    other_consequence = np.where(shift[where], "frameshift_variant", _consequence(rng, other_category, indels=False))
    sets = [set_id for _, set_id in shared]
    other = _annotation(variants["variant_id"][where], sets, other_consequence, other_category, cadd[where])
    order = np.argsort(np.concatenate([np.arange(V), where]), kind="stable")
    return variants, pl.concat([own, other])[order]


def _consequence(rng: np.random.Generator, category: Int64Array, *, indels: bool = True) -> Int64Array:
    names = _PLOF if indels else ("stop_gained", "splice_donor_variant")
    damaging = np.array(names, dtype=object)[rng.integers(0, len(names), category.size)]
    others = np.where(category == 1, "missense_variant", "synonymous_variant").astype(object)
    return np.asarray(np.where(category == 0, damaging, others))


def _cadd(rng: np.random.Generator, category: Int64Array) -> Float64Array:
    """Scores as CADD's: high for what is likely to do harm."""
    mean, spread = np.array([35.0, 22.0, 5.0])[category], np.array([4.0, 6.0, 3.0])[category]
    return np.asarray(np.clip(rng.normal(mean, spread), 0.1, 60.0).round(1))


def _annotation(
    ids: pl.Series, sets: list[str], consequence: Int64Array, category: Int64Array, cadd: Float64Array
) -> pl.DataFrame:
    return pl.DataFrame(
        {
            "set_id": pl.Series(sets, dtype=pl.String),
            "variant_id": ids,
            "consequence": pl.Series(consequence.tolist(), dtype=pl.String),
            "category": pl.Series([CATEGORIES[c] for c in category], dtype=pl.String),
            "cadd": cadd,
        }
    )


def info_text(seed: int, variants: pl.DataFrame, annotations: pl.DataFrame, genes: tuple[Gene, ...]) -> pl.Series:
    """INFO of each variant: CSQ with one entry a gene and some of a second transcript, where it is intronic."""
    gene_ids = pl.DataFrame({"set_id": [g.set_id for g in genes], "gene_id": [g.gene_id for g in genes]})
    more = pl.Series(generator(seed, "gene variants", 99).random(annotations.height) < MORE_TRANSCRIPTS)
    inserted = pl.col("effect_allele").str.slice(1)
    allele = (
        pl.when(pl.col("other_allele").str.len_bytes() > 1)
        .then(pl.lit("-"))
        .when(pl.col("effect_allele").str.len_bytes() > 1)
        .then(inserted)
        .otherwise("effect_allele")
    )
    rows = (
        annotations.with_columns(more=more)
        .join(gene_ids, on="set_id", how="left", maintain_order="left")
        .join(
            variants.select("variant_id", "other_allele", "effect_allele"),
            on="variant_id",
            how="left",
            maintain_order="left",
        )
        .with_columns(
            allele=allele,
            impact=pl.col("consequence").replace_strict(_IMPACT),
            lof=pl.when(pl.col("category") == "pLoF").then(pl.lit("HC")).otherwise(pl.lit("")),
            transcript=pl.col("gene_id").str.replace("SIMG", "SIMT"),
        )
    )
    gene = "{}|{}|Transcript|{}{}|protein_coding|{}|{}|{}"
    first = pl.format(
        "{}|{}|{}|" + gene, "allele", "consequence", "impact", "set_id", "gene_id", "transcript", pl.lit(".1"), pl.lit("YES"),
        "lof", "cadd",
    )  # fmt: skip
    second = pl.format(
        "," + "{}|intron_variant|MODIFIER|" + gene, "allele", "set_id", "gene_id", "transcript", pl.lit(".2"), pl.lit(""),
        pl.lit(""), "cadd",
    )  # fmt: skip
    entries = (
        rows.select("variant_id", entry=pl.when("more").then(pl.concat_str(first, second)).otherwise(first))
        .group_by("variant_id", maintain_order=True)
        .agg(pl.col("entry").str.join(","))
    )
    joined = variants.select("variant_id").join(entries, on="variant_id", how="left", maintain_order="left")
    return joined.select(info=pl.format("CSQ={}", "entry"))["info"]


def gtf_lines(genes: tuple[Gene, ...]) -> list[str]:
    """Genes as GTF: gene, transcript, exon, CDS."""
    lines = ["#!genebuild simulated"]
    for gene in genes:
        of_gene = f'gene_id "{gene.gene_id}"; gene_name "{gene.set_id}"; gene_biotype "protein_coding";'
        transcript = gene.gene_id.replace("SIMG", "SIMT") + ".1"
        of_transcript = f'{of_gene} transcript_id "{transcript}";'
        parts = [("gene", gene.start, gene.end, of_gene), ("transcript", gene.start, gene.end, of_transcript)]
        for k, (first, last) in enumerate(gene.exons, start=1):
            parts += [(kind, first, last, f'{of_transcript} exon_number "{k}";') for kind in ("exon", "CDS")]
        for kind, first, last, attributes in parts:
            frame = "0" if kind == "CDS" else "."
            lines.append(
                f"{gene.chromosome}\tsimulated\t{kind}\t{first}\t{last}\t.\t{gene.strand}\t{frame}\t{attributes}"
            )
    return lines
