"""Sets of variants for tests of genes: read from files, made from annotations of a VCF or a store, or from a GTF."""

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import numpy as np
import polars as pl

from genassoc.data.cohort.cohort import Cohort
from genassoc.data.cohort.contigs import contigs_of
from genassoc.data.cohort.matching import first_few
from genassoc.data.cohort.variant_selection import variant_ids
from genassoc.data.sets.variant_sets import ANNOTATION, MOST_ROWS, SET, VARIANT, VariantSets, sets_of
from genassoc.data.store.store import GenotypeStore
from genassoc.errors import InputError
from genassoc.formats.sets.consequences import CLASSES, MASKS, SNPEFF, TRANSCRIPTS, Choice, Layout
from genassoc.formats.sets.files import read_files
from genassoc.formats.sets.gtf import looks_like_gtf, read_intervals
from genassoc.formats.sets.regenie import read_masks
from genassoc.formats.sets.sites import declares, named_alleles, read_sites, subfields_in
from genassoc.formats.sets.text import header_lines
from genassoc.shapes import Int64Array

_VARIANTS = 65_536  # of a store at a time
Classes = Mapping[str, Sequence[str]]


def read_sets(
    sets: str | Path | pl.DataFrame,
    annotations: str | Path | None = None,
    masks: str | Path | Mapping[str, Sequence[str] | str] | None = None,
    *,
    weights: Sequence[str] | None = None,
) -> VariantSets:
    """Sets of variants from files.

    Parameters
    ----------
    sets : path, or polars DataFrame
        Text (``.gz`` too), whose format the first line tells: a table with a header (``set_id``, ``variant``, and maybe ``annotation`` and weights;
        in place of ``variant`` also chromosome, position, ref and alt); REGENIE's set list; SAIGE's group file.
    annotations : path, optional
        REGENIE's annotation file, or a table with a header (``variant``, ``annotation``, and maybe ``set_id`` and weights).
    masks : path, or mapping, optional
        REGENIE's mask file, or name -> annotations. Without masks all variants of a set are tested.
    weights : sequence of str, optional
        Columns of tables that are weights; if left out, those named weight, CADD_phred, REVEL and the like.

    Returns
    -------
    VariantSets
        ``print("\\n".join(sets.lines()))`` shows what was found.

    Raises
    ------
    InputError
        A file is of no known format, damaged, or has a line that cannot be read (names file and line).
    """
    chosen = Path(masks) if isinstance(masks, str | Path) else masks
    if isinstance(sets, pl.DataFrame):
        if annotations is not None:
            raise InputError(
                "read_sets: a table of sets has its annotations in the column 'annotation'; annotations= is for files"
            )
        return _of_table(sets, read_masks(chosen) if isinstance(chosen, Path) else chosen, weights)
    return read_files(Path(sets), None if annotations is None else Path(annotations), chosen, weights)


def sets_for(
    store: "GenotypeStore | Cohort",
    path: str | Path,
    annotations: str | Path | None = None,
    masks: str | Path | Mapping[str, Sequence[str] | str] | None = None,
) -> VariantSets:
    """Sets from whatever a path is: files as of `read_sets`, an annotated VCF (VEP's CSQ, else SnpEff's ANN), a GTF, or the store itself, which kept one of these fields.

    Raises
    ------
    InputError
        As `read_sets`, `sets_from_vep` and `sets_from_gtf`; annotations go with files of sets only.
    """
    path = Path(path)
    opened = GenotypeStore.of(getattr(store, "store", store))
    is_store, head = path.is_dir(), b"" if path.is_dir() else next(header_lines(path), b"")
    is_vcf = head.startswith(b"##fileformat=VCF")
    is_gtf = not is_vcf and not is_store and looks_like_gtf(path)
    if not (is_store or is_vcf or is_gtf):
        return read_sets(path, annotations, masks)
    if annotations is not None:
        raise InputError(f"{path} has what is known of genes by itself: leave annotations out, or give a file of sets")
    chosen = read_masks(Path(masks)) if isinstance(masks, str | Path) else masks
    if is_gtf:
        found = sets_from_gtf(path, opened)
        return found if chosen is None else found.with_masks(chosen)
    kept = (
        GenotypeStore.of(path).annotations
        if is_store
        else [f"INFO/{name}" for name in ("CSQ", "ANN") if declares(path, name)]
    )
    field = next((name for name in ("CSQ", "ANN") if f"INFO/{name}" in kept), "CSQ")
    return sets_from_vep(GenotypeStore.of(path) if is_store else path, field, masks=chosen)


def _of_table(
    table: pl.DataFrame, masks: Mapping[str, Sequence[str] | str] | None, weights: Sequence[str] | None
) -> VariantSets:
    """Sets from a table in memory."""
    lacking = [name for name in (SET, VARIANT) if name not in table.columns]
    if lacking:
        raise InputError(f"read_sets: the table has no column '{lacking[0]}'; it has {', '.join(table.columns[:20])}")
    rest = [name for name in table.columns if name not in (SET, VARIANT, ANNOTATION)]
    chosen = list(weights) if weights is not None else [name for name in rest if table[name].dtype.is_numeric()]
    for name in chosen:
        if name not in table.columns or not table[name].dtype.is_numeric():
            raise InputError(f"read_sets: '{name}' is no column of numbers of the table")
        bad = table.filter(
            pl.col(name).is_not_null() & ~(pl.col(name).cast(pl.Float64).is_finite() & (pl.col(name) >= 0))
        )
        if bad.height:
            raise InputError(
                f"read_sets: the weight '{name}' of '{bad[VARIANT][0]}' is {bad[name][0]}: weights are numbers of at least 0"
            )
    if table[SET].null_count() or table[VARIANT].null_count():
        raise InputError("read_sets: a set or a variant of the table has no name")
    unread = [name for name in rest if name not in chosen]
    notes = [f"columns of the table that are not read: {', '.join(unread)}"] if unread else []
    text = table.with_columns(pl.col(SET, VARIANT).cast(pl.String), *(pl.col(name).cast(pl.Float64) for name in chosen))
    return sets_of([text], "the table of sets", masks=masks, weights=chosen, notes=notes)


def sets_from_vep(
    source: "GenotypeStore | Cohort | str | Path",
    field: str = "CSQ",
    *,
    gene: str = "id",
    transcripts: str = "best",
    classes: Classes | None = None,
    masks: Mapping[str, Sequence[str] | str] | None = None,
    weights: Sequence[str] = (),
    subfields: str | None = None,
) -> VariantSets:
    """Genes as sets, from the consequences that VEP (INFO/CSQ) or SnpEff (INFO/ANN) wrote.

    A variant has one annotation in a gene: the class of its most severe consequence there.

    Parameters
    ----------
    source : store, cohort, or a path
        A store that keeps the field (``genassoc convert --info CSQ``); or an annotated VCF (``.gz`` too), which may have no samples.
    field : str
        "CSQ", "ANN", or what the field was called.
    gene : {"id", "name"}
        What sets are called by: Gene or SYMBOL (SnpEff: Gene_ID or Gene_Name).
    transcripts : {"best", "mane", "canonical", "pick", "all"}
        Whose consequences count. "best": of a variant in a gene those of the MANE Select transcript, if there are none those of the canonical
        one, else of all; where the file does not mark these, of all.
    classes : mapping of str to sequence of str, optional
        Class -> terms of the Sequence Ontology, in place of `genassoc.formats.sets.consequences.CLASSES`: "pLoF", "missense", "inframe",
        "synonymous"; what is in none is "other". Where LOFTEE's LoF is given, pLoF that are not "HC" are "LoF_low_confidence".
    masks : mapping, optional
        Name -> classes, in place of "pLoF", "missense", "pLoF_missense" (both with inframe) and "synonymous".
    weights : sequence of str
        Parts of the field that are weights, such as "CADD_PHRED": of several numbers in a gene the largest counts.
    subfields : str, optional
        "Allele|Consequence|...", where the header does not tell what the field consists of.

    Returns
    -------
    VariantSets
        Variants are called chromosome_position_ref_alt.

    Raises
    ------
    InputError
        The field, or a part of it that is needed, is not there; a weight is negative or no number.
    """
    if gene not in ("id", "name"):
        raise ValueError(f"gene is 'id' or 'name', not {gene!r}")
    if transcripts not in TRANSCRIPTS:
        raise ValueError(f"transcripts is one of {', '.join(TRANSCRIPTS)}, not {transcripts!r}")
    name = field.removeprefix("INFO/")
    choice = Choice(gene, transcripts, classes or CLASSES, tuple(weights))
    path = Path(source) if isinstance(source, str | Path) else None
    if path is not None and path.exists() and not path.is_dir():
        said, rows, where = subfields_in(path, name), read_sites(path, name), str(path)
    else:
        store = GenotypeStore.of(getattr(source, "store", source))
        said, rows, where = _subfields_of(store, name), _rows_of_store(store, name), str(store.path)
    parts = subfields or said or (SNPEFF if name == "ANN" else "")
    if not parts:
        raise InputError(
            f"{where}: nothing says what INFO/{name} consists of; give subfields='Allele|Consequence|...' as the header line of {name} has it"
        )
    layout = Layout.of(f"{where} ({name})", parts, choice)
    made: list[pl.DataFrame] = []
    total = 0
    for table in rows:
        bare = int(table["value"].is_null().sum())
        layout.count(f"variants have no {name}", bare)
        made.append(layout.genes(table).cast({SET: pl.Categorical, ANNOTATION: pl.Categorical}))
        total += made[-1].height
        if total > MOST_ROWS:
            raise InputError(f"{where}: has more than {MOST_ROWS:,} variants in genes")
    chosen: Mapping[str, Sequence[str] | str] = masks or {}
    if masks is None and classes is None:
        known = {value for table in made for value in table[ANNOTATION].unique().cast(pl.String).to_list()}
        here = {mask: [name for name in of if name in known] for mask, of in MASKS.items()}
        chosen = {mask: of for mask, of in here.items() if of}
    return sets_of(made, layout.source, masks=chosen, weights=list(layout.weights_at), notes=layout.said())


def _subfields_of(store: GenotypeStore, name: str) -> str:
    """What the values of an INFO field of a store consist of, as the headers of its files told.

    Raises
    ------
    InputError
        The store does not keep the field, or its files differ in it.
    """
    column = f"INFO/{name}"
    if column not in store.annotations:
        kept = ", ".join(store.annotations) or "none"
        raise InputError(
            f"{store.path}: keeps no {column} (it keeps: {kept}). Convert with --info {name} to keep it, or give the annotated VCF"
        )
    told = {
        str(found[column])
        for file in store.attributes.get("sources", [])
        if isinstance(found := file.get("subfields"), dict) and column in found
    }
    if len(told) > 1:
        raise InputError(
            f"{store.path}: its files do not agree on what {column} consists of: annotate them alike, or give each VCF"
        )
    return told.pop() if told else ""


def _rows_of_store(store: GenotypeStore, name: str) -> Iterator[pl.DataFrame]:
    """Rows as of `read_sites`; those of a record stay together."""
    rest: pl.DataFrame | None = None
    columns = {
        "chromosome": "chromosome",
        "base_pair_location": "position",
        "other_allele": "ref",
        "effect_allele": "alt",
    }
    for start in range(0, store.n_variants, _VARIANTS):
        table = store.variants(start, min(start + _VARIANTS, store.n_variants), annotations=[f"INFO/{name}"])
        rows = table.rename(columns | {f"INFO/{name}": "value"}).select(
            *columns.values(), "record", "alt_index", "value"
        )
        rows = rows if rest is None else pl.concat([rest, rows])
        last = rows["record"] == rows["record"][-1]
        rest, rows = rows.filter(last), rows.filter(~last)
        if rows.height:
            yield named_alleles(rows)
    if rest is not None:
        yield named_alleles(rest)


def sets_from_gtf(
    gtf: str | Path,
    store: "GenotypeStore | Cohort | str | Path",
    feature: str = "gene",
    flank: int = 0,
    *,
    by: str = "gene_id",
) -> VariantSets:
    """Genes as sets: all variants of a store that lie in them.

    Parameters
    ----------
    gtf : path
        A GTF or GFF3 (``.gz`` too), however it spells chromosomes.
    store : GenotypeStore, Cohort, or the path of a store
    feature : str
        Which lines: "gene", "exon", "CDS", ...; of several lines of a gene, what any of them covers.
    flank : int
        Bases on both sides of each line that belong to it.
    by : {"gene_id", "gene_name"}
        What sets are called by.

    Returns
    -------
    VariantSets
        Without annotations; a variant is in a gene by its position.

    Raises
    ------
    InputError
        A line is none of a GTF, there is no such feature, or no variant lies in any.
    """
    if by not in ("gene_id", "gene_name"):
        raise ValueError(f"by is 'gene_id' or 'gene_name', not {by!r}")
    if isinstance(flank, bool) or not isinstance(flank, int) or flank < 0:
        raise ValueError(f"flank is a whole number of bases, of at least 0, not {flank!r}")
    path = Path(gtf)
    opened = GenotypeStore.of(getattr(store, "store", store))
    intervals, notes = read_intervals(path, feature, by)
    contigs = contigs_of(opened)
    names = {name: contigs.same(name) for name in intervals["contig"].unique(maintain_order=True).to_list()}
    lacking = [name for name, same in names.items() if not same]
    if lacking:
        n = intervals.filter(pl.col("contig").is_in(lacking))["gene"].n_unique()
        notes.append(f"{path}: {n:,} genes are on contigs that the store does not have: {first_few(lacking)}")
    by_contig: dict[str, pl.DataFrame] = {}
    for name, same in names.items():
        for contig in same:
            here = intervals.filter(pl.col("contig") == name)
            by_contig[contig] = here if contig not in by_contig else pl.concat([by_contig[contig], here])
    made: list[pl.DataFrame] = []
    total = 0
    for contig, start, stop in opened.contig_runs():
        for first in range(start, stop, _VARIANTS) if contig in by_contig else ():
            made.append(_inside(opened.variants(first, min(first + _VARIANTS, stop)), by_contig[contig], flank))
            total += made[-1].height
            if total > MOST_ROWS:
                raise InputError(f"{path}: its genes have more than {MOST_ROWS:,} variants of the store")
    if not total:
        raise InputError(
            f"{path}: no variant of {opened.path} lies in a '{feature}': are both of the same genome build?"
        )
    table = pl.concat(made)
    n_genes, n_with = intervals["gene"].n_unique(), table[SET].n_unique()
    if n_with < n_genes:
        notes.append(f"{path}: {n_genes - n_with:,} of {n_genes:,} genes have no variant in the store")
    words = f"{path} ({feature}{f', {flank:,} bases on both sides' if flank else ''})"
    return sets_of([table], words, notes=notes)


def _inside(variants: pl.DataFrame, intervals: pl.DataFrame, flank: int) -> pl.DataFrame:
    """set_id and variant of those variants that lie in intervals of their contig."""
    position = variants["base_pair_location"].to_numpy().astype(np.int64)
    order = np.argsort(position, kind="stable")
    first = np.searchsorted(position[order], intervals["start"].to_numpy() - flank)
    last = np.searchsorted(position[order], intervals["end"].to_numpy() + flank, side="right")
    counts = last - first
    which = np.repeat(np.arange(counts.size), counts)
    at: Int64Array = np.arange(which.size) - np.repeat(np.cumsum(counts) - counts, counts) + np.repeat(first, counts)
    found = pl.DataFrame({SET: intervals["gene"].gather(which), "at": order[at]}).unique(maintain_order=True)
    names = variants.select(variant_ids())["id"].gather(found["at"])
    return pl.DataFrame(
        {
            SET: found[SET].cast(pl.Categorical),
            VARIANT: names,
            ANNOTATION: pl.Series([None] * found.height, dtype=pl.Categorical),
        }
    )
