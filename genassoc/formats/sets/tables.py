"""Sets in a table with a header: set_id, variant, annotation, weights, under the names that programs give these columns."""

import re
from collections.abc import Mapping, Sequence
from pathlib import Path

import polars as pl

from genassoc.data.sets.variant_sets import ANNOTATION, SET, VARIANT
from genassoc.errors import InputError
from genassoc.formats.sets.numbers import weights_of
from genassoc.formats.sets.regenie import Pieces
from genassoc.formats.sets.text import Lines, read_lines

_NAMES: Mapping[str, tuple[str, ...]] = {
    SET: ("set_id", "set", "setid", "gene", "gene_id", "geneid", "gene_name", "symbol", "region", "group"),
    VARIANT: ("variant", "variant_id", "variantid", "id", "snp", "snpid", "snp_id", "rsid", "markerid"),
    ANNOTATION: ("annotation", "anno", "annot", "consequence", "csq", "category"),
    "chromosome": ("chromosome", "chrom", "chr"),
    "position": ("position", "pos", "bp", "base_pair_location", "genpos"),
    "ref": ("ref", "other_allele", "allele0"),
    "alt": ("alt", "effect_allele", "allele1"),
}
_PLACE = ("chromosome", "position", "ref", "alt")
_WEIGHTS = re.compile(
    r"weights?([_.-].*)?|.*_weights?|(cadd|revel|alphamissense|am_pathogenicity|spliceai|eigen|linsight|fathmm|mpc|primateai)([_. -].*)?|.*_phred",
    re.I,
)


def header_of(line: str) -> dict[str, int] | None:
    """Column -> its place, of the header of such a table; None of a line that is none."""
    fields = [field.strip().strip('"') for field in line.lstrip("#").split(mark_of(line))]
    places: dict[str, int] = {}
    for at, name in enumerate(fields):
        ours = next((ours for ours, names in _NAMES.items() if name.lower() in names and ours not in places), None)
        if ours is not None:
            places[ours] = at
    return places if VARIANT in places or set(_PLACE) <= set(places) else None


def mark_of(line: str) -> str | None:
    """What separates the fields of a header: tab, comma, or (None) blanks."""
    return "\t" if "\t" in line else "," if "," in line else None


def read_table(
    path: Path, header: str, number: int, weights: Sequence[str] | None, *, annotates: bool = False
) -> Pieces:
    """Sets, or annotations, from a table.

    Parameters
    ----------
    path : Path
    header : str
        The line for which `header_of` found columns.
    number : int
        Its number.
    weights : sequence of str or None
        Columns that are weights; None: those whose names say so (weight, CADD_phred, REVEL, ...).
    annotates : bool
        It is a table of annotations, which need no set: they are then of the variant in all of its sets.

    Raises
    ------
    InputError
        There is no column of sets, of variants, or of a weight that was asked for; a line has too few or too many fields; a weight is no number of
        at least 0 (names file and line).
    """
    mark = mark_of(header)
    fields = [field.strip().strip('"') for field in header.lstrip("#").split(mark)]
    places = header_of(header) or {}
    if SET not in places and not annotates:
        raise InputError(f"{path}: its header has no column of sets (set_id or gene): it has {', '.join(fields[:20])}")
    if annotates and ANNOTATION not in places:
        raise InputError(
            f"{path}: its header has no column of annotations (annotation or consequence): it has {', '.join(fields[:20])}"
        )
    chosen = _weights(path, fields, places, weights)
    found = Pieces(weights=tuple(chosen))
    used = {fields[at] for at in places.values()} | set(chosen)
    unread = [name for name in fields if name not in used]
    if unread:
        found.notes.append(
            f"{path}: columns that are not read: {', '.join(unread[:10])}{', ...' if len(unread) > 10 else ''}"
        )
    for lines in read_lines(path, blanks=mark is None, after=number):
        found.add(path, _rows(lines, len(fields), mark or "\t", places, chosen), lines)
    return found.done(path)


def _rows(lines: Lines, n: int, mark: str, places: Mapping[str, int], chosen: Mapping[str, int]) -> pl.DataFrame:
    cells = lines.fields(n, mark)
    lines.refuse(cells[f"field_{n - 1}"].is_null(), f"has fewer fields than the header, which has {n}")
    lines.refuse(cells[f"field_{n}"].is_not_null(), f"has more fields than the header, which has {n}")
    clean = cells.select(pl.col(f"field_{at}").str.strip_chars().str.strip_chars('"') for at in range(n))
    if VARIANT in places:
        variant = clean[f"field_{places[VARIANT]}"]
    else:
        variant = clean.select(pl.concat_str([f"field_{places[name]}" for name in _PLACE], separator="_")).to_series()
    part = pl.DataFrame({VARIANT: variant})
    for name in (SET, ANNOTATION):
        if name in places:
            part = part.with_columns(clean[f"field_{places[name]}"].alias(name))
            if name == SET:
                lines.refuse(part[SET].str.len_bytes() == 0, "the set has no name")
            else:
                part = part.with_columns(pl.when(~pl.col(name).is_in(["", ".", "NA"])).then(pl.col(name)).alias(name))
    lines.refuse(part[VARIANT].is_in(["", ".", "NA"]), "the variant has no name")
    if ANNOTATION not in places:
        part = part.with_columns(pl.lit(None, dtype=pl.String).alias(ANNOTATION))
    return part.with_columns(weights_of(lines, clean[f"field_{at}"]).alias(name) for name, at in chosen.items())


def _weights(path: Path, fields: list[str], places: Mapping[str, int], asked: Sequence[str] | None) -> dict[str, int]:
    """Columns of weights and their places."""
    taken = set(places.values())
    if asked is None:
        return {name: at for at, name in enumerate(fields) if at not in taken and _WEIGHTS.fullmatch(name)}
    for name in asked:
        if name not in fields:
            raise InputError(f"{path}: has no column '{name}' of weights: it has {', '.join(fields[:20])}")
    return {name: fields.index(name) for name in asked}
