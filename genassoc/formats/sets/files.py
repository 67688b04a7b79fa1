"""Files of sets, annotations and masks: which format each is, by its first line, and what they are together."""

from collections.abc import Mapping, Sequence
from pathlib import Path

import polars as pl

from genassoc.data.cohort.matching import first_few
from genassoc.data.sets.variant_sets import ANNOTATION, SET, VARIANT, VariantSets, sets_of
from genassoc.errors import InputError
from genassoc.formats.sets.regenie import Pieces, looks_like_set_list, read_annotations, read_masks, read_set_list
from genassoc.formats.sets.saige import looks_like_groups, looks_like_old_groups, read_groups, read_old_groups
from genassoc.formats.sets.tables import header_of, read_table
from genassoc.formats.sets.text import first_line

Masks = Mapping[str, Sequence[str] | str]


def read_files(
    sets: Path, annotations: Path | None, masks: "Path | Masks | None", weights: Sequence[str] | None = None
) -> VariantSets:
    """Sets from files; the format of each is told by its first line.

    Raises
    ------
    InputError
        A file is of no known format, or a line of it is malformed (names file and line).
    """
    found = _sets(sets, weights)
    given = read_masks(masks) if isinstance(masks, Path) else dict(masks or {})
    if annotations is None:
        return sets_of(
            found.parts, str(sets), masks=given, weights=found.weights, chromosomes=found.chromosomes, notes=found.notes
        )
    more = _annotations(annotations, weights)
    table, names, notes = _annotated(found, more, sets, annotations)
    if not given and table[ANNOTATION].null_count() < table.height:
        notes.append(
            f"{annotations}: there are no masks, so that all variants of a set are tested together, whatever their annotation"
        )
    return sets_of(
        [table],
        str(sets),
        masks=given,
        weights=names,
        chromosomes=found.chromosomes,
        notes=[*found.notes, *more.notes, *notes],
    )


def _sets(path: Path, weights: Sequence[str] | None) -> Pieces:
    line, number = first_line(path, lambda line: header_of(line) is not None)
    if not line.strip():
        raise InputError(f"{path} is empty: it should name sets and their variants")
    if looks_like_groups(line):
        return read_groups(path)
    if looks_like_set_list(line):
        return read_set_list(path)
    if header_of(line) is not None:
        return read_table(path, line, number, weights)
    if looks_like_old_groups(line):
        return read_old_groups(path)
    raise InputError(
        f"{path}: the first line, '{line[:80]}', is none of a file of sets: a table with a header (set_id, variant[, annotation, weight]); "
        "REGENIE's set list (set, chromosome, position, variants joined by commas); SAIGE's group file (set, var, variants)"
    )


def _annotations(path: Path, weights: Sequence[str] | None) -> Pieces:
    line, number = first_line(path, lambda line: header_of(line) is not None)
    if not line.strip():
        raise InputError(f"{path} is empty: it should have annotations of variants")
    if header_of(line) is not None:
        return read_table(path, line, number, weights, annotates=True)
    if len(line.split()) < 3:
        raise InputError(
            f"{path}: the first line, '{line[:80]}', is none of a file of annotations: a table with a header (variant[, set_id], annotation), "
            "or REGENIE's variant, set, annotation"
        )
    return read_annotations(path)


def _annotated(
    found: Pieces, more: Pieces, sets: Path, source: Path
) -> tuple[pl.DataFrame, tuple[str, ...], list[str]]:
    """The sets' table with annotations and weights of another file; names of the weights; notes."""
    if not found.parts or not more.parts:
        raise InputError(f"{sets if not found.parts else source}: has no line of data")
    left, right = pl.concat(found.parts), pl.concat(more.parts)
    both = set(found.weights) & set(more.weights)
    if ANNOTATION in left.columns and left[ANNOTATION].null_count() < left.height:
        raise InputError(f"{sets} has annotations of its own, and {source} has others: give one of the two")
    if both:
        raise InputError(f"{sets} and {source} both have weights '{sorted(both)[0]}': leave one out")
    left = left.drop(ANNOTATION, strict=False)
    on = [SET, VARIANT] if SET in right.columns else [VARIANT]
    notes = []
    if SET in right.columns and found.chromosomes and more.notes:
        left = _with_domains(left, right, found)
    table = left.join(right, on=on, how="left")
    if (
        table.height > left.height
    ):  # lines for the same variant and set: equal ones count once, others are several annotations
        n_before = right.height
        right = right.unique()
        if right.height < n_before:
            notes.append(f"{source}: {n_before - right.height:,} lines are there twice")
        table = left.join(right, on=on, how="left")
    if len(on) == 1 or table.height - int(table[ANNOTATION].null_count()) != right.height:
        strays = right.join(left, on=on, how="anti")
        _refuse_all_strays(strays, right, left, (sets, source))
        if strays.height:
            notes.append(
                f"{source}: {strays.height:,} annotations are of variants that are in no set (or not in the set they name): "
                f"{first_few(strays[VARIANT].unique().sort())}"
            )
    bare = int(table[ANNOTATION].null_count())
    if bare:
        notes.append(f"{source}: {bare:,} variants in sets have no annotation there")
    return table, (*found.weights, *more.weights), notes


def _refuse_all_strays(strays: pl.DataFrame, right: pl.DataFrame, left: pl.DataFrame, paths: tuple[Path, Path]) -> None:
    """Refuse annotations of which none is of a variant in a set.

    Raises
    ------
    InputError
    """
    if strays.height == right.height:
        named = (
            pl.concat_str([VARIANT, pl.col(SET).cast(pl.String)], separator=" of ")
            if SET in right.columns
            else pl.col(VARIANT)
        )
        theirs, ours = (first_few(table.head(4).select(named).to_series()) for table in (strays, left))
        raise InputError(
            f"{paths[1]}: none of its {right.height:,} annotations is of a variant in a set of {paths[0]}: they name {theirs}, and the sets have "
            f"{ours}. Variants and sets are to be written alike in both files"
        )


def _with_domains(left: pl.DataFrame, right: pl.DataFrame, found: Pieces) -> pl.DataFrame:
    """The sets' table with those of domains, which annotations alone name."""
    known = left[SET].unique()
    extra = right.select(SET, VARIANT).filter(~pl.col(SET).is_in(known.implode()))
    genes = extra.with_columns(
        pl.col(SET).cast(pl.String).str.replace(r"\.[^.]*$", "").cast(pl.Categorical).alias("gene")
    )
    inside = genes.join(left.select(pl.col(SET).alias("gene"), VARIANT), on=["gene", VARIANT], how="semi")
    if not inside.height:
        return left
    for name, gene in inside.select(pl.col(SET).cast(pl.String), pl.col("gene").cast(pl.String)).unique().iter_rows():
        found.chromosomes[name] = found.chromosomes.get(gene, "")
    lacking = [pl.lit(None, dtype=pl.Float64).alias(name) for name in found.weights]
    return pl.concat([left, inside.select(SET, VARIANT, *lacking).select(left.columns)])
