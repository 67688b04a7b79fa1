"""Checks of missing codes: how many values each code set to missing, codes that are refused, and levels that look missing."""

from collections.abc import Sequence
from difflib import get_close_matches

import numpy as np
import polars as pl

from genassoc.data.phenotypes.number_spellings import declaration, is_missing_mark, is_missing_word, looks_missing
from genassoc.data.phenotypes.phenotypes import Phenotypes
from genassoc.data.phenotypes.undeclared import stands_out_of
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
            meant = f" (did you mean {' or '.join(map(repr, close))}?)" if close else ""
            raise PhenotypeError(
                f"{phenotypes.source}: the missing code {', '.join(codes) or '(none)'} is declared for the column '{name}', but the "
                f"table has no such column{meant}"
            )


def emptied_lines(phenotypes: Phenotypes, used: Sequence[str]) -> list[str]:
    """How many values of each used column each declared code set to missing; and which codes do not occur."""
    lines = []
    for name in used:
        for code, n in phenotypes.emptied.get(name, {}).items():
            share = n / max(phenotypes.table.height, 1)
            lines.append(f"missing code {code}: {n:,} values of '{name}' were set to missing ({100 * share:.3g} %)")
    for name, codes in phenotypes.missing_codes.columns.items():
        unseen = [code for code in codes if code not in phenotypes.emptied.get(name, {})]
        if unseen and name in phenotypes.table.columns:
            lines.append(f"missing code {', '.join(unseen)} does not occur in '{name}'")
    return lines


def check_emptied(phenotypes: Phenotypes, used: Sequence[str], rows: Int64Array) -> None:
    """Refuse a code for every column if it is an ordinary value of a used column and occurs in others, or leaves one constant.

    Raises
    ------
    PhenotypeError
        The message lists the columns in which it occurs, and shows how to declare it for one.
    """
    for code in phenotypes.missing_codes.everywhere or ():
        where = {name: phenotypes.emptied[name][code] for name in used if code in phenotypes.emptied.get(name, {})}
        where = {name: n for name, n in where.items() if code not in phenotypes.missing_codes.columns.get(name, ())}
        ordinary = [name for name in where if _is_ordinary(phenotypes, name, code, where[name])]
        lost = [name for name in ordinary if phenotypes.table[name].gather(rows).drop_nulls().n_unique() < 2]
        if not lost and not (ordinary and len(where) > 1):
            continue
        shown = ", ".join(f"'{name}' ({n:,} values)" for name, n in where.items())
        consequence = f", and would leave fewer than two values in {', '.join(map(repr, lost))}" if lost else ""
        usual = [name for name in ordinary if name not in lost]
        consequence += f"; in {', '.join(map(repr, usual))} it is an ordinary value" if usual else ""
        _, flags = declaration("COLUMN", [code])
        raise PhenotypeError(
            f"{phenotypes.source}: the missing code {code} was declared for every column; it sets to missing {shown}{consequence}. Declare "
            f'it for each column in which it means missing: missing_codes={{"COLUMN": ["{code}"]}} ({flags})'
        )


def _is_ordinary(phenotypes: Phenotypes, name: str, code: str, n: int) -> bool:
    """Whether a code that was set to missing ``n`` times was an ordinary value of its column."""
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
    """Whether a code is a number in a column of words."""
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
        The message shows the levels, and how to declare whether they mean missing.
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
            f"{phenotypes.source}: the column '{column}' is used as categories, and {shown} would be one of them, but many "
            f"programs write missing values in this way. If it means missing, declare it: missing_codes={codes} ({flags}); if it is a "
            f'category, declare that: missing_codes={{"{column}": []}} ({none})'
        )
    return labels


def word_levels(phenotypes: Phenotypes, column: str, rows: Int64Array) -> list[str]:
    """A note for each level of a used category that is a word for missing."""
    if column in phenotypes.missing_codes.columns or phenotypes.table[column].dtype != pl.String:
        return []
    counts = phenotypes.table[column].gather(rows).drop_nulls().value_counts(sort=True)
    lines = []
    for value, n in counts.rows():
        if is_missing_word(str(value)):
            codes, flags = declaration(column, [str(value)])
            lines.append(
                f"'{value}' ({n:,} samples) is used as a category of '{column}'; if it means missing, declare it: "
                f"missing_codes={codes} ({flags})"
            )
    return lines
