"""Consequences of variants as VEP (INFO/CSQ) and SnpEff (INFO/ANN) write them: one a gene, by severity, as classes that masks combine."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

import polars as pl

from genassoc.data.sets.variant_sets import ANNOTATION, SET, VARIANT
from genassoc.errors import InputError

# Sequence Ontology terms from the most to the least severe, as Ensembl orders them; SnpEff's own beside their nearest.
SEVERITY = (
    "transcript_ablation", "exon_loss_variant", "splice_acceptor_variant", "splice_donor_variant", "stop_gained", "frameshift_variant",
    "stop_lost", "start_lost", "initiator_codon_variant", "transcript_amplification", "feature_elongation", "feature_truncation",
    "disruptive_inframe_insertion", "disruptive_inframe_deletion", "conservative_inframe_insertion", "conservative_inframe_deletion",
    "inframe_insertion", "inframe_deletion", "missense_variant", "protein_altering_variant", "splice_donor_5th_base_variant",
    "splice_region_variant", "splice_donor_region_variant", "splice_polypyrimidine_tract_variant", "incomplete_terminal_codon_variant",
    "start_retained_variant", "stop_retained_variant", "synonymous_variant", "coding_sequence_variant", "mature_miRNA_variant",
    "5_prime_UTR_premature_start_codon_gain_variant", "5_prime_UTR_variant", "3_prime_UTR_variant", "non_coding_transcript_exon_variant",
    "intron_variant", "NMD_transcript_variant", "non_coding_transcript_variant", "coding_transcript_variant",
)  # fmt: skip
_RANK = {term: rank for rank, term in enumerate(SEVERITY)}
OUTSIDE = (
    "upstream_gene_variant",
    "downstream_gene_variant",
    "intergenic_variant",
    "intergenic_region",
    "intragenic_variant",
)

LOF, LOW_CONFIDENCE, MISSENSE, INFRAME, SYNONYMOUS, OTHER = (
    "pLoF",
    "LoF_low_confidence",
    "missense",
    "inframe",
    "synonymous",
    "other",
)
# What a variant is in a gene, by its most severe term there. Terms that are in none are "other".
CLASSES: Mapping[str, tuple[str, ...]] = {
    LOF: (
        "transcript_ablation", "exon_loss_variant", "splice_acceptor_variant", "splice_donor_variant", "stop_gained", "frameshift_variant",
    ),
    MISSENSE: ("missense_variant", "stop_lost", "start_lost", "initiator_codon_variant", "protein_altering_variant"),
    INFRAME: (
        "inframe_insertion", "inframe_deletion", "disruptive_inframe_insertion", "disruptive_inframe_deletion",
        "conservative_inframe_insertion", "conservative_inframe_deletion",
    ),
    SYNONYMOUS: ("synonymous_variant", "stop_retained_variant", "start_retained_variant"),
}  # fmt: skip
MASKS: Mapping[str, tuple[str, ...]] = {
    "pLoF": (LOF,),
    "missense": (MISSENSE, INFRAME),
    "pLoF_missense": (LOF, MISSENSE, INFRAME),
    "synonymous": (SYNONYMOUS,),
}
TRANSCRIPTS = ("best", "mane", "canonical", "pick", "all")

# Parts of a value: ours -> VEP's, SnpEff's.
_PARTS: Mapping[str, tuple[str, ...]] = {
    "allele": ("Allele",),
    "number": ("ALLELE_NUM",),
    "terms": ("Consequence", "Annotation"),
    "id": ("Gene", "Gene_ID"),
    "name": ("SYMBOL", "Gene_Name"),
    "mane": ("MANE_SELECT",),
    "canonical": ("CANONICAL",),
    "pick": ("PICK",),
    "lof": ("LoF",),
}
SNPEFF = (
    "Allele|Annotation|Annotation_Impact|Gene_Name|Gene_ID|Feature_Type|Feature_ID|Transcript_BioType|Rank|HGVS.c|HGVS.p|"
    "cDNA.pos / cDNA.length|CDS.pos / CDS.length|AA.pos / AA.length|Distance|ERRORS / WARNINGS / INFO"
)


class Choice(NamedTuple):
    """What is taken of consequences.

    Attributes
    ----------
    gene : str
        "id" or "name": what sets are called by.
    transcripts : str
        One of `TRANSCRIPTS`.
    classes : mapping
        Class -> terms.
    weights : tuple of str
        Parts of a value that are weights.
    """

    gene: str
    transcripts: str
    classes: Mapping[str, Sequence[str]]
    weights: tuple[str, ...]


@dataclass
class Layout:
    """Where the parts of a value are, and what is taken of them.

    Attributes
    ----------
    at : dict of str to int
        Part, by our name, -> its place.
    counts : dict of str to int
        What happened to consequences, in words -> how often.
    """

    source: str
    choice: Choice
    at: dict[str, int]
    weights_at: dict[str, int]
    n_parts: int
    counts: dict[str, int] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)

    @classmethod
    def of(cls, source: str, subfields: str, choice: Choice) -> "Layout":
        """The layout that a header describes.

        Raises
        ------
        InputError
            A part that is needed is not there.
        """
        names = [name.strip() for name in subfields.split("|")]
        at = {ours: names.index(name) for ours, theirs in _PARTS.items() for name in theirs if name in names}
        has = ", ".join(names[:40])
        for needed, what in (("allele", "Allele"), ("terms", "Consequence (VEP) or Annotation (SnpEff)")):
            if needed not in at:
                raise InputError(f"{source}: its consequences have no part {what}; they have {has}")
        notes = []
        if choice.gene not in at:
            other = "name" if choice.gene == "id" else "id"
            if other not in at:
                raise InputError(f"{source}: its consequences name no gene (Gene or SYMBOL); they have {has}")
            notes.append(f"{source}: consequences have no {choice.gene} of genes; sets are called by their {other}")
            choice = choice._replace(gene=other)
        wanted = choice.transcripts
        if wanted not in ("all", "best") and wanted not in at:
            raise InputError(
                f"{source}: transcripts='{wanted}' needs the part {_PARTS[wanted][0]}, which consequences here do not have (run VEP with "
                f"--{wanted}), or choose transcripts='all'; they have {has}"
            )
        for name in choice.weights:
            if name not in names:
                raise InputError(f"{source}: its consequences have no part '{name}' for weights; they have {has}")
        return cls(source, choice, at, {name: names.index(name) for name in choice.weights}, len(names), {}, notes)

    def count(self, what: str, n: int) -> None:
        """Note that something happened n times."""
        if n:
            self.counts[what] = self.counts.get(what, 0) + n

    def said(self) -> list[str]:
        """Notes on all that was read."""
        return [*self.notes, *(f"{self.source}: {n:,} {what}" for what, n in self.counts.items())]

    def genes(self, rows: pl.DataFrame) -> pl.DataFrame:
        """The class of each variant in each of its genes.

        Parameters
        ----------
        rows : DataFrame
            ``variant``; ``ref``, ``alt``; ``full`` and ``trimmed``, how consequences may name the ALT (null where it has one name);
            ``alt_index``, from 1; ``value``, what INFO has.

        Returns
        -------
        DataFrame
            set_id, variant, annotation, weights.
        """
        value = pl.col("value").str.split(",")
        entries = rows.with_row_index("row").filter(pl.col("value").is_not_null()).with_columns(value).explode("value")
        cells = pl.col("value").str.split("|")
        entries = entries.with_columns(
            *(cells.list.get(k, null_on_oob=True).str.strip_chars().alias(f"_{name}") for name, k in self.at.items()),
            *(cells.list.get(k, null_on_oob=True).alias(f"={name}") for name, k in self.weights_at.items()),
            n_parts=cells.list.len(),
        )
        torn = entries.filter(pl.col("n_parts") != self.n_parts)
        if (
            self.at["terms"] >= 0
            and torn.height
            and (torn["_terms"].is_null().any() or torn["_allele"].is_null().any())
        ):
            row = torn.row(0, named=True)
            raise InputError(
                f"{self.source}: {row[VARIANT]}: the consequence '{row['value'][:60]}' has {row['n_parts']} parts, the header names {self.n_parts}"
            )
        entries = self._of_allele(entries)
        entries = self._inside(entries)
        entries = self._of_transcripts(entries)
        return self._classified(entries)

    def _of_allele(self, entries: pl.DataFrame) -> pl.DataFrame:
        """Entries of the row's own ALT."""
        if "number" in self.at:
            number = pl.col("_number").cast(pl.Int64, strict=False)
            named = number.is_not_null().all().over("row")
            same = pl.when(named).then(number == pl.col("alt_index")).otherwise(pl.col("_allele") == pl.col("full"))
            return entries.filter(same)
        first = pl.col("_allele") == pl.col("full")
        second = pl.col("_allele") == pl.col("trimmed")
        kept = entries.filter(pl.when(first.any().over("row")).then(first).otherwise(second.fill_null(False)))
        lost = entries.select("row").unique().height - kept.select("row").unique().height
        self.count("variants have consequences of other alleles only", lost)
        return kept

    def _inside(self, entries: pl.DataFrame) -> pl.DataFrame:
        """Entries that are in a gene."""
        gene = pl.col(f"_{self.choice.gene}")
        named = entries.filter(gene.is_not_null() & ~gene.is_in(["", "."]))
        self.count(
            "consequences name no gene (between genes, regulatory features), and are left out",
            entries.height - named.height,
        )
        inside = named.filter(~pl.col("_terms").str.split("&").list.eval(pl.element().is_in(list(OUTSIDE))).list.all())
        self.count("consequences are upstream or downstream of a gene, and are left out", named.height - inside.height)
        return inside.with_columns(gene.alias(SET))

    def _of_transcripts(self, entries: pl.DataFrame) -> pl.DataFrame:
        """Entries of the transcripts that count."""
        wanted = self.choice.transcripts
        if wanted == "all":
            return entries
        told: dict[str, pl.Expr] = {
            name: pl.col(f"_{name}").is_not_null() & ~pl.col(f"_{name}").is_in(["", "."])
            for name in ("mane", "canonical", "pick")
            if name in self.at
        }
        if wanted != "best":
            kept = entries.filter(told[wanted])
            self.count(
                f"consequences are of transcripts that are not '{wanted}', and are left out",
                entries.height - kept.height,
            )
            return kept
        ranked = pl.lit(2)
        for level, name in ((1, "canonical"), (0, "mane")):
            if name in told:
                ranked = pl.when(told[name]).then(pl.lit(level)).otherwise(ranked)
        entries = entries.with_columns(level=ranked)
        return entries.filter(pl.col("level") == pl.col("level").min().over("row", SET))

    def _classified(self, entries: pl.DataFrame) -> pl.DataFrame:
        """The most severe class of each variant in a gene, and its weights."""
        spelled = entries["_terms"].unique().to_list()
        worst = {
            text: min(text.split("&"), key=lambda term: _RANK.get(term, len(_RANK)))
            for text in spelled
            if text is not None
        }
        unknown = {text for text, term in worst.items() if term not in _RANK}
        if unknown:
            self.count(
                f"consequences have terms that are not known here, and are '{OTHER}'",
                int(entries["_terms"].is_in(list(unknown)).sum()),
            )
        of_term = {term: name for name, terms in self.choice.classes.items() for term in terms}
        table = pl.DataFrame(
            {
                "_terms": list(worst),
                "rank": [_RANK.get(term, len(_RANK)) for term in worst.values()],
                ANNOTATION: [of_term.get(term, OTHER) for term in worst.values()],
            },
            schema={"_terms": pl.String, "rank": pl.Int64, ANNOTATION: pl.String},
        )
        entries = entries.join(table, on="_terms", how="inner", maintain_order="left")
        if "lof" in self.at and LOF in self.choice.classes:
            doubted = (pl.col(ANNOTATION) == LOF) & (pl.col("_lof").fill_null("") != "HC")
            self.count(
                "consequences that would be pLoF have no high confidence by LOFTEE: " + LOW_CONFIDENCE,
                entries.filter(doubted).height,
            )
            entries = entries.with_columns(
                pl.when(doubted).then(pl.lit(LOW_CONFIDENCE)).otherwise(pl.col(ANNOTATION)).alias(ANNOTATION),
                pl.when(doubted).then(pl.col("rank") + 0.5).otherwise(pl.col("rank").cast(pl.Float64)).alias("rank"),
            )
        entries = entries.with_columns(self._weight(entries, name) for name in self.weights_at)
        return (
            entries.sort("row", SET, "rank", maintain_order=True)
            .group_by("row", SET, maintain_order=True)
            .agg(pl.col(VARIANT).first(), pl.col(ANNOTATION).first(), *(pl.col(name).max() for name in self.weights_at))
            .select(SET, VARIANT, ANNOTATION, *self.weights_at)
        )

    def _weight(self, entries: pl.DataFrame, name: str) -> pl.Series:
        """A weight of each entry: the largest of its numbers ("0.1&0.3"); null where it has none."""
        texts = entries[f"={name}"].str.split("&").list.eval(pl.element().filter(~pl.element().is_in(["", ".", "NA"])))
        numbers = texts.list.eval(pl.element().cast(pl.Float64, strict=False))
        bad = (
            numbers.list.eval(~(pl.element().is_finite() & (pl.element() >= 0)).fill_null(False))
            .list.any()
            .fill_null(False)
        )
        if bad.any():
            row = entries.row(int(bad.arg_max() or 0), named=True)
            raise InputError(
                f"{self.source}: {row[VARIANT]}: {name} is '{row[f'={name}'][:40]}': weights are numbers of at least 0"
            )
        return numbers.list.max().alias(name)
