"""SAIGE's group file: lines GENE var, GENE anno, GENE weight; and its older form, a gene and its variants in one line."""

from pathlib import Path

import numpy as np
import polars as pl

from genassoc.data.sets.variant_sets import ANNOTATION, SET, VARIANT
from genassoc.errors import InputError
from genassoc.formats.sets.numbers import weights_of
from genassoc.formats.sets.regenie import Pieces
from genassoc.formats.sets.text import Lines, first_line, read_lines

_KINDS = r"^(var|anno|weight(:.+)?)$"


def looks_like_groups(line: str) -> bool:
    """Whether a line is one of a group file: a set, "var", and variants."""
    fields = line.split(maxsplit=2)
    return len(fields) == 3 and fields[1] == "var"


def looks_like_old_groups(line: str) -> bool:
    """Whether a line is a set and variants as chr:pos_ref/alt."""
    fields = line.split()
    return len(fields) > 1 and all(":" in name and "/" in name for name in fields[1:])


def read_groups(path: Path) -> Pieces:
    """Sets from a group file.

    Raises
    ------
    InputError
        Names file and line: a line of another kind, a set without variants or with two lists of them, lists of different lengths, a weight that is
        no number of at least 0.
    """
    found = Pieces()
    held: Lines | None = None
    names: dict[str, None] = {}
    closed: set[str] = set()
    for lines in read_lines(path):
        whole = (
            lines
            if held is None
            else Lines(path, held.text.append(lines.text), held.numbers.append(lines.numbers), lines.n_comments)
        )
        of_set = whole.fields(1)["field_0"]
        last = int((of_set != of_set[-1]).arg_true()[-1]) + 1 if (of_set != of_set[-1]).any() else 0
        held = Lines(path, whole.text[last:], whole.numbers[last:])
        if last:
            _take(found, Lines(path, whole.text[:last], whole.numbers[:last], whole.n_comments), names, closed)
        else:
            found.n_comments += whole.n_comments
    if held is not None:
        _take(found, held, names, closed)
    found.weights = tuple(names)
    found.parts = [
        part.with_columns(pl.lit(None, dtype=pl.Float64).alias(n) for n in names if n not in part.columns)
        for part in found.parts
    ]
    return found.done(path)


def _take(found: Pieces, lines: Lines, names: dict[str, None], closed: set[str]) -> None:
    """Add the sets of some lines, each with all of its lines."""
    cells = lines.fields(2)
    for column in ("field_1", "field_2"):
        if column not in cells.columns:
            cells = cells.with_columns(pl.lit(None, dtype=pl.String).alias(column))
    lines.refuse(
        ~cells["field_1"].str.contains(_KINDS).fill_null(False),
        "a line of a group file is a set, then var, anno or weight, then values",
    )
    lines.refuse(cells["field_2"].is_null(), "the line has no values")
    table = cells.select(
        pl.col("field_0").alias(SET),
        pl.col("field_1").alias("kind"),
        pl.col("field_2").str.split("\t").alias("values"),
        pl.int_range(pl.len()).alias("line"),
    )
    twice = table.select(
        pl.struct(SET, "kind").is_duplicated() & ~pl.struct(SET, "kind").is_first_distinct()
    ).to_series()
    lines.refuse(twice, "the set has this line twice: join them, or give one set another name")
    variants = table.filter(pl.col("kind") == "var").drop("kind")
    known = set(variants[SET].to_list())
    lines.refuse(~table[SET].is_in(list(known)), "the set has no line of variants (var) beside this one")
    lines.refuse(
        table[SET].is_in(list(closed & known)),
        "the set has lines elsewhere in the file: all lines of a set follow each other",
    )
    closed |= known
    part = variants.select(SET, pl.col("values").alias(VARIANT)).explode(VARIANT)
    for kind in [kind for kind in table["kind"].unique(maintain_order=True).to_list() if kind != "var"]:
        of_kind = variants.select(SET, pl.col("values").list.len().alias("n")).join(
            table.filter(pl.col("kind") == kind).select(SET, "values", "line"),
            on=SET,
            how="left",
            maintain_order="left",
        )
        ragged = of_kind.filter(pl.col("values").is_not_null() & (pl.col("values").list.len() != pl.col("n")))
        if ragged.height:
            row = ragged.row(0, named=True)
            only = pl.int_range(0, lines.text.len(), eager=True) == row["line"]
            lines.refuse(only, f"has {len(row['values']):,} values, and the set has {row['n']:,} variants")
        full = of_kind.with_columns(pl.col("values").fill_null(pl.lit(None, dtype=pl.String).repeat_by("n")))
        values = full.select("line", "values").explode("values")
        if kind == "anno":
            part = part.with_columns(values["values"].alias(ANNOTATION))
        else:
            name = kind.removeprefix("weight:")
            names[name] = None
            part = part.with_columns(weights_of(lines, values["values"], values["line"]).alias(name))
    if ANNOTATION not in part.columns:
        part = part.with_columns(pl.lit(None, dtype=pl.String).alias(ANNOTATION))
    found.add(lines.path, part, lines)


def read_old_groups(path: Path) -> Pieces:
    """Sets from the older form: GENE, then chr:pos_ref/alt, or chr:pos_ref/alt;weight, in one line.

    Raises
    ------
    InputError
        Names file and line: a set has no variant, or a weight is no number of at least 0.
    """
    has_weights = ";" in first_line(path)[0]
    found = Pieces(weights=("weight",) if has_weights else ())
    for lines in read_lines(path):
        cells = lines.fields(1)
        if "field_1" not in cells.columns:
            raise InputError(f"{path}: its lines are no sets with variants")
        lines.refuse(cells["field_1"].is_null(), "the set has no variant")
        part = cells.select(
            pl.col("field_0").alias(SET),
            pl.col("field_1").str.split("\t").alias(VARIANT),
            pl.Series("line", np.arange(lines.text.len())),
        ).explode(VARIANT)
        if has_weights:
            halves = part[VARIANT].str.splitn(";", 2).struct.unnest()
            part = part.with_columns(
                halves["field_0"].alias(VARIANT), weights_of(lines, halves["field_1"], part["line"]).alias("weight")
            )
        found.add(path, part.drop("line").with_columns(pl.lit(None, dtype=pl.String).alias(ANNOTATION)), lines)
    return found.done(path)
