"""What missing codes emptied of the columns that are used, where they would empty too much, and levels that look missing."""

from collections.abc import Sequence
from difflib import get_close_matches

import numpy as np
import polars as pl

from genassoc.data.number_spellings import declaration, is_missing_mark, is_missing_word, looks_missing
from genassoc.data.phenotypes import Phenotypes
from genassoc.data.undeclared import stands_out_of
from genassoc.errors import PhenotypeError
from genassoc.shapes import Int64Array


def check_columns(phenotypes: Phenotypes) -> None:
    """Refuse missing codes of columns that the table does not have.

    Raises
    ------
    PhenotypeError
    """
    for name, codes in phenotypes.missing_codes.columns.items():
        if name not in phenotypes.table.columns:
            close = get_close_matches(name, phenotypes.columns, n=2)
            meant = f" (is {' or '.join(map(repr, close))} meant?)" if close else ""
            raise PhenotypeError(
                f"{phenotypes.source}: the missing code {', '.join(codes) or '(none)'} is declared for the column '{name}', which the "
                f"table does not have{meant}"
            )


def emptied_lines(phenotypes: Phenotypes, used: Sequence[str]) -> list[str]:
    """How many values the declared codes emptied in which of the columns that are used; and where they emptied none."""
    lines = []
    for name in used:
        for code, n in phenotypes.emptied.get(name, {}).items():
            share = n / max(phenotypes.table.height, 1)
            lines.append(f"missing code {code} emptied {n:,} values of '{name}' ({100 * share:.3g} %)")
    for name, codes in phenotypes.missing_codes.columns.items():
        unseen = [code for code in codes if code not in phenotypes.emptied.get(name, {})]
        if unseen and name in phenotypes.table.columns:
            lines.append(f"missing code {', '.join(unseen)} does not occur in '{name}'")
    return lines


def check_emptied(phenotypes: Phenotypes, used: Sequence[str], rows: Int64Array) -> None:
    """Refuse a code of every column that is an ordinary value of a column that is used beside others, or leaves it constant.

    Raises
    ------
    PhenotypeError
        Says in which columns it occurs, and how to declare it for one.
    """
    for code in phenotypes.missing_codes.everywhere or ():
        where = {name: phenotypes.emptied[name][code] for name in used if code in phenotypes.emptied.get(name, {})}
        where = {name: n for name, n in where.items() if code not in phenotypes.missing_codes.columns.get(name, ())}
        ordinary = [name for name in where if _is_ordinary(phenotypes, name, code, where[name])]
        lost = [name for name in ordinary if phenotypes.table[name].gather(rows).drop_nulls().n_unique() < 2]
        if not lost and not (ordinary and len(where) > 1):
            continue
        shown = ", ".join(f"'{name}' ({n:,} values)" for name, n in where.items())
        left = f", and would leave nothing to compare in {', '.join(map(repr, lost))}" if lost else ""
        usual = [name for name in ordinary if name not in lost]
        left += f"; in {', '.join(map(repr, usual))} it is a value like the others" if usual else ""
        _, flags = declaration("COLUMN", [code])
        raise PhenotypeError(
            f"{phenotypes.source}: the missing code {code} was declared for every column; it empties {shown}{left}. A code belongs to "
            f'a column: missing_codes={{"COLUMN": ["{code}"]}} ({flags}), for each column in which it means missing'
        )


def _is_ordinary(phenotypes: Phenotypes, name: str, code: str, n: int) -> bool:
    """Whether a code that was emptied ``n`` times was a value like the others of its column."""
    column = phenotypes.table[name]
    if not column.dtype.is_numeric():
        return not looks_missing(code) and not _stands_apart(code)
    try:
        value = float(code)
    except ValueError:
        return False
    others = column.cast(pl.Float64).drop_nulls().to_numpy()
    return not stands_out_of(np.asarray(others, dtype=np.float64), n, value)


def _stands_apart(code: str) -> bool:
    """Whether a code is a number, which stands out of words."""
    try:
        float(code)
    except ValueError:
        return False
    return True


def category_labels(phenotypes: Phenotypes, column: str, rows: Int64Array) -> pl.Series:
    """Values of a column of categories as text, null where missing; a level that can only mean missing is refused.

    Raises
    ------
    PhenotypeError
        Names the levels, and how to say whether they mean missing.
    """
    labels = phenotypes.labels(column, rows)
    if column in phenotypes.missing_codes.columns:
        return labels
    counts = labels.drop_nulls().value_counts(sort=True)
    marks = [(str(value), int(n)) for value, n in counts.rows() if is_missing_mark(str(value))]
    if marks:
        shown = ", ".join(f"'{value}' ({n:,} samples)" for value, n in marks[:5])
        codes, flags = declaration(column, [value for value, _ in marks])
        _, none = declaration(column, [""])
        raise PhenotypeError(
            f"{phenotypes.source}: the column '{column}' is used as categories, and {shown} would be one of them, though many "
            f"programs write missing values so. If it means missing, declare it: missing_codes={codes} ({flags}); if it is a "
            f'category: missing_codes={{"{column}": []}} ({none})'
        )
    return labels


def word_levels(phenotypes: Phenotypes, column: str, rows: Int64Array) -> list[str]:
    """Levels of a used category that are words for missing, in words."""
    if column in phenotypes.missing_codes.columns or phenotypes.table[column].dtype != pl.String:
        return []
    counts = phenotypes.table[column].gather(rows).drop_nulls().value_counts(sort=True)
    lines = []
    for value, n in counts.rows():
        if is_missing_word(str(value)):
            codes, flags = declaration(column, [str(value)])
            lines.append(
                f"'{value}' is a category of '{column}' ({n:,} samples), like any other: if it means missing, declare it: "
                f"missing_codes={codes} ({flags})"
            )
    return lines
