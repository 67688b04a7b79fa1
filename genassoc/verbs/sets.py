"""Sets of variants for tests of genes: read from files, made from annotations of a VCF or a store, or from a GTF."""

from collections.abc import Mapping, Sequence
from pathlib import Path

import polars as pl

from genassoc.data.sets.variant_sets import ANNOTATION, SET, VARIANT, VariantSets, sets_of
from genassoc.errors import InputError
from genassoc.formats.sets.files import read_files
from genassoc.formats.sets.regenie import read_masks


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
