"""REGENIE's files: set list (set, chromosome, position, variants), annotations (variant, set[, domain], annotation[, weights]), masks."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import polars as pl

from genassoc.data.cohort.matching import first_few
from genassoc.data.sets.variant_sets import ANNOTATION, MOST_ROWS, SET, VARIANT
from genassoc.errors import InputError
from genassoc.formats.sets.numbers import weights_of
from genassoc.formats.sets.text import Lines, first_line, read_lines


@dataclass
class Pieces:
    """What is read of a file: pieces of the table, and what was found.

    Attributes
    ----------
    parts : list of DataFrame
    weights : tuple of str
    chromosomes : dict
        Set -> its chromosome as stated.
    notes : list of str
    """

    parts: list[pl.DataFrame] = field(default_factory=list)
    weights: tuple[str, ...] = ()
    chromosomes: dict[str, str] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)
    n_rows: int = 0
    n_comments: int = 0

    def add(self, path: Path, part: pl.DataFrame, lines: Lines) -> None:
        """Take a piece.

        Raises
        ------
        InputError
            There are more rows than sets have.
        """
        self.n_rows += part.height
        self.n_comments += lines.n_comments
        if self.n_rows > MOST_ROWS:
            raise InputError(f"{path}: has more than {MOST_ROWS:,} variants in sets")
        names = {SET: pl.Categorical} | ({ANNOTATION: pl.Categorical} if ANNOTATION in part.columns else {})
        self.parts.append(part.cast({name: dtype for name, dtype in names.items() if name in part.columns}))

    def done(self, path: Path) -> "Pieces":
        """The same, with a note on comments."""
        if self.n_comments:
            self.notes.append(f"{path}: {self.n_comments:,} lines that begin with '#' are comments")
        return self


def looks_like_set_list(line: str) -> bool:
    """Whether a line is a set, its chromosome, a position and variants."""
    fields = line.split()
    return len(fields) == 4 and fields[2].isdigit()


def read_set_list(path: Path) -> Pieces:
    """Sets from a set list.

    Raises
    ------
    InputError
        Names file and line: fields are missing or too many, a position is no number, a set has no variant or two chromosomes.
    """
    found = Pieces()
    seen: dict[str, int] = {}
    again: list[str] = []
    n_empty = 0
    for lines in read_lines(path):
        fields = lines.fields(4)
        lines.refuse(
            fields["field_3"].is_null(),
            "a set list has four fields: set, chromosome, position, and variants joined by commas",
        )
        if "field_4" in fields.columns:
            lines.refuse(
                fields["field_4"].is_not_null(),
                "a set list has four fields; are the variants joined by commas without blanks?",
            )
        lines.refuse(
            ~fields["field_2"].str.contains(r"^[0-9]{1,12}$"),
            "the third field of a set list, the position, is no whole number",
        )
        for name, chromosome, line in zip(
            fields["field_0"].to_list(), fields["field_1"].to_list(), lines.numbers.to_list()
        ):
            if name in seen:
                again.append(name)
                if found.chromosomes[name] != chromosome:
                    raise InputError(
                        f"{path}:{line}: the set '{name}' is on chromosome {chromosome} here, and on {found.chromosomes[name]} in line "
                        f"{seen[name]}: a set is tested on one. Give them different names"
                    )
            seen[name] = line
            found.chromosomes[name] = chromosome
        part = fields.select(
            pl.col("field_0").cast(pl.Categorical).alias(SET), pl.col("field_3").str.split(",").alias(VARIANT)
        )
        part = part.explode(VARIANT).with_columns(pl.col(VARIANT).str.strip_chars())
        full = part.filter(pl.col(VARIANT).str.len_bytes() > 0)
        n_empty += part.height - full.height
        lines.refuse(~fields["field_0"].is_in(full[SET].unique().cast(pl.String).implode()), "the set has no variant")
        found.add(path, full, lines)
    if again:
        found.notes.append(f"{path}: {len(again):,} sets have several lines, which are joined: {first_few(again)}")
    if n_empty:
        found.notes.append(
            f"{path}: {n_empty:,} names of variants are empty (two commas in a row, or one at an end) and left out"
        )
    return found.done(path)


def read_annotations(path: Path) -> Pieces:
    """Annotations without a header: variant, set, annotation and weights; or variant, set, domain, annotation and weights.

    The fourth field of the first line tells which: it is a number, or a word. With domains there is, as in REGENIE, a set for each domain of
    a gene, named GENE.domain, beside the set of the whole gene.

    Raises
    ------
    InputError
        Names file and line: a field is missing, or a weight is no number of at least 0.
    """
    fields = first_line(path)[0].split()
    has_domain = len(fields) > 3 and not _is_number(fields[3])
    n = 4 if has_domain else 3
    n_weights = max(len(fields) - n, 0)
    names = tuple("weight" if k == 0 else f"weight_{n + k + 1}" for k in range(n_weights))
    found = Pieces(weights=names)
    order = "variant, set, domain, annotation" if has_domain else "variant, set, annotation"
    for lines in read_lines(path):
        cells = lines.fields(n + n_weights)
        last = f"field_{n + n_weights - 1}"
        lines.refuse(
            cells[last].is_null(), f"has fewer fields than the first line, which has {n + n_weights} ({order})"
        )
        if f"field_{n + n_weights}" in cells.columns:
            lines.refuse(
                cells[f"field_{n + n_weights}"].is_not_null(),
                f"has more fields than the first line, which has {n + n_weights}",
            )
        part = cells.select(
            pl.col("field_1").alias(SET), pl.col("field_0").alias(VARIANT), pl.col(f"field_{n - 1}").alias(ANNOTATION)
        ).with_columns(weights_of(lines, cells[f"field_{n + k}"]).alias(name) for k, name in enumerate(names))
        if has_domain:
            of_domain = part.with_columns(pl.concat_str([cells["field_1"], cells["field_2"]], separator=".").alias(SET))
            part = pl.concat([part, of_domain])
        found.add(path, part, lines)
    if has_domain:
        found.notes.append(f"{path}: its third field is taken for domains: a set GENE.domain for each, beside GENE")
    if n_weights > 1:
        found.notes.append(f"{path}: {n_weights} columns of weights: {', '.join(names)}")
    return found.done(path)


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return text in ("NA", ".")
    return True


def read_masks(path: Path) -> dict[str, tuple[str, ...]]:
    """Masks: a name, blanks, and annotations joined by commas.

    Raises
    ------
    InputError
        Names file and line: a mask without annotations, or a name twice.
    """
    masks: dict[str, tuple[str, ...]] = {}
    for name, of, line in _mask_lines(path):
        annotations = tuple(part for part in (piece.strip() for piece in of.replace(";", ",").split(",")) if part)
        if not annotations:
            raise InputError(
                f"{path}:{line}: the mask '{name}' names no annotation: a mask is a name, a blank, and annotations joined by commas"
            )
        if name in masks:
            raise InputError(f"{path}:{line}: there are two masks '{name}': give one another name")
        masks[name] = annotations
        if len(masks) > 10_000:
            raise InputError(f"{path}: has more than 10,000 masks; is it a file of masks?")
    if not masks:
        raise InputError(f"{path} has no mask: a mask is a name, a blank, and annotations joined by commas")
    return masks


def _mask_lines(path: Path) -> Iterator[tuple[str, str, int]]:
    for lines in read_lines(path):
        for text, line in zip(lines.text.to_list(), lines.numbers.to_list()):
            name, _, of = text.partition("\t")
            yield name, of.replace("\t", ","), line
