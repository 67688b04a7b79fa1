"""Intervals of genes in a GTF or GFF3 file."""

from collections.abc import Sequence
from pathlib import Path

import polars as pl

from genassoc.data.cohort.contigs import bare_name, chromosome_of
from genassoc.errors import InputError
from genassoc.formats.sets.text import first_line, read_lines

MOST_INTERVALS = 2**26


def looks_like_gtf(path: Path) -> bool:
    """Whether the first line of a file is one of a GTF or GFF3."""
    fields = first_line(path)[0].split("\t")
    return len(fields) == 9 and fields[3].isdigit() and fields[4].isdigit() and fields[6] in ("+", "-", ".", "?")


def read_intervals(path: Path, feature: str, by: str) -> tuple[pl.DataFrame, list[str]]:
    """Where a feature of genes lies.

    Parameters
    ----------
    path : Path
    feature : str
        The third column: "gene", "exon", "CDS", ...
    by : str
        "gene_id" or "gene_name".

    Returns
    -------
    intervals : DataFrame
        gene, gene_id, contig, start, end (1-based, both included).
    notes : list of str

    Raises
    ------
    InputError
        A line is none of a GTF, or no line is of the feature (names those there are).
    """
    parts, seen, n_unnamed, n_nameless = [], dict[str, None](), 0, 0
    total = 0
    for lines in read_lines(path, blanks=False):
        cells = lines.fields(9)
        for k in range(9):
            if f"field_{k}" not in cells.columns:
                raise InputError(
                    f"{path}:{lines.numbers[0]}: is no line of a GTF: it has fewer than 9 columns separated by tabs"
                )
        lines.refuse(cells["field_8"].is_null(), "is no line of a GTF: it has fewer than 9 columns separated by tabs")
        if len(seen) < 100:
            seen |= dict.fromkeys(cells["field_2"].unique(maintain_order=True).to_list())
        ours = cells["field_2"] == feature
        number = r"^[0-9]{1,12}$"
        lines.refuse(
            ours & ~(cells["field_3"].str.contains(number) & cells["field_4"].str.contains(number)),
            "its start or end is no whole number",
        )
        found = cells.filter(ours).select(
            pl.col("field_0").alias("contig"),
            pl.col("field_3").cast(pl.Int64).alias("start"),
            pl.col("field_4").cast(pl.Int64).alias("end"),
            pl.col("field_8").str.extract(r'(?:^|[; ])(?:gene_id[ =]"?|ID=gene:)([^";]+)').alias("gene_id"),
            pl.col("field_8").str.extract(r'(?:^|[; ])(?:gene_name[ =]"?|Name=)([^";]+)').alias("gene_name"),
        )
        bad = ours & (cells["field_3"].cast(pl.Int64, strict=False) > cells["field_4"].cast(pl.Int64, strict=False))
        lines.refuse(bad.fill_null(False), "it ends before it starts")
        n_unnamed += int(found.select(pl.col("gene_id").is_null() & pl.col("gene_name").is_null()).to_series().sum())
        found = found.filter(pl.col("gene_id").is_not_null() | pl.col("gene_name").is_not_null())
        found = found.with_columns(pl.coalesce("gene_id", "gene_name").alias("gene_id"))
        if by == "gene_name":
            n_nameless += int(found["gene_name"].is_null().sum())
        gene = pl.coalesce("gene_name", "gene_id") if by == "gene_name" else pl.col("gene_id")
        parts.append(found.select(gene.alias("gene"), "gene_id", "contig", "start", "end"))
        total += found.height
        if total > MOST_INTERVALS:
            raise InputError(f"{path}: has more than {MOST_INTERVALS:,} lines of '{feature}'")
    if not total:
        shown = ", ".join(name for name in list(seen)[:12] if name) or "none"
        raise InputError(f"{path}: has no '{feature}' with a gene_id; its features are {shown}")
    notes = []
    if n_unnamed:
        notes.append(f"{path}: {n_unnamed:,} lines of '{feature}' name no gene, and are left out")
    if n_nameless:
        notes.append(
            f"{path}: {n_nameless:,} lines of '{feature}' have no gene_name; their sets are called by the gene_id"
        )
    table = pl.concat(parts).unique(maintain_order=True)
    return _apart(path, table, notes), notes


def _apart(path: Path, table: pl.DataFrame, notes: list[str]) -> pl.DataFrame:
    """Genes of one name apart: by their ids, and on several contigs by these."""
    table, names = _called_apart(table, "gene_id")
    if names.len():
        notes.append(
            f"{path}: {names.len():,} names are of several genes, as '{names[0]}': these sets are called NAME:gene_id"
        )
    table, torn = _called_apart(table, "contig")
    if torn.len():
        notes.append(
            f"{path}: {torn.len():,} genes are on several contigs, as '{torn[0]}': a set for each, called GENE:contig"
        )
    return table


def _called_apart(table: pl.DataFrame, by: str) -> tuple[pl.DataFrame, pl.Series]:
    """Genes of one name that differ in a column are called NAME:value; and those names."""
    counts = table.group_by("gene", maintain_order=True).agg(pl.col(by).n_unique().alias("n"))
    shared = counts.filter(pl.col("n") > 1)["gene"]
    called = pl.when(pl.col("gene").is_in(shared.implode())).then(pl.format("{}:{}", "gene", by)).otherwise("gene")
    return (table.with_columns(called.alias("gene")) if shared.len() else table), shared


def read_genes(path: str | Path, regions: Sequence[tuple[str, int, int]]) -> pl.DataFrame:
    """Genes and their exons that lie in some regions, for pictures: the file is read once, a stretch of lines at a time.

    Parameters
    ----------
    path : path
        GTF or GFF3, plain or gzip.
    regions : sequence of (contig, first, last)
        Contigs in whatever spelling: chr6, 6.

    Returns
    -------
    DataFrame
        contig (as in ``regions``), feature ("gene" or "exon"), gene (its name, else its id), start, end, strand.

    Raises
    ------
    InputError
        A line is none of a GTF.
    """
    path = Path(path)
    spelt: dict[str, str] = {}

    def key(name: str) -> str:
        return spelt.setdefault(name, chromosome_of(name) or bare_name(name))

    parts: list[pl.DataFrame] = []
    for lines in read_lines(path, blanks=False):
        cells = lines.fields(9)
        if "field_8" not in cells.columns:
            raise InputError(
                f"{path}:{lines.numbers[0]}: is no line of a GTF: it has fewer than 9 columns separated by tabs"
            )
        lines.refuse(cells["field_8"].is_null(), "is no line of a GTF: it has fewer than 9 columns separated by tabs")
        names = {name: key(name) for name in cells["field_0"].unique().to_list()}
        start, end = (pl.col(name).cast(pl.Int64, strict=False) for name in ("field_3", "field_4"))
        for contig, first, last in regions:
            ours = [name for name, value in names.items() if value == key(contig)]
            if not ours:
                continue
            found = cells.filter(
                pl.col("field_0").is_in(ours), pl.col("field_2").is_in(["gene", "exon"]), start <= last, end >= first
            )
            parts.append(
                found.select(
                    pl.lit(contig).alias("contig"),
                    pl.col("field_2").alias("feature"),
                    pl.coalesce(
                        pl.col("field_8").str.extract(r'(?:^|[; ])(?:gene_name[ =]"?|Name=)([^";]+)'),
                        pl.col("field_8").str.extract(r'(?:^|[; ])(?:gene_id[ =]"?|ID=gene:)([^";]+)'),
                    ).alias("gene"),
                    start.alias("start"),
                    end.alias("end"),
                    pl.col("field_6").alias("strand"),
                ).drop_nulls("gene")
            )
            if sum(part.height for part in parts) > MOST_INTERVALS:
                raise InputError(f"{path}: has more than {MOST_INTERVALS:,} genes and exons in these regions")
    numbers = ("start", "end")
    order = ("contig", "feature", "gene", "start", "end", "strand")
    if not parts:
        return pl.DataFrame(schema={name: pl.Int64 if name in numbers else pl.String for name in order})
    return pl.concat(parts).select(order).unique(maintain_order=True)
