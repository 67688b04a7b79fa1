"""Tables of related pairs, as `genassoc.kinship` makes them, PLINK 2 (--make-king-table) and KING; and who is left out because of whom."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import polars as pl

from genassoc.data.cohort.loco_lists import text_lines
from genassoc.data.cohort.matching import first_few
from genassoc.data.phenotypes.design import build_design
from genassoc.data.phenotypes.phenotypes import Phenotypes
from genassoc.data.phenotypes.tables import read_text_table
from genassoc.errors import InputError, PhenotypeError, SampleMismatchError
from genassoc.shapes import Array, BoolArray, Float64Array, Int64Array
from genassoc.stats.unrelated import unrelated_set

# Columns in capitals without "#": of genassoc, of PLINK 2's and KING's .kin0 (two families), of KING's .kin (one family).
_FIRST, _SECOND = ("SAMPLE_ID_1", "IID1", "ID1"), ("SAMPLE_ID_2", "IID2", "ID2")
_FAMILIES = (("FID1", "FID2"), ("FID", "FID"))
_KINSHIP = ("KINSHIP_ADJUSTED", "KINSHIP")
_LEAST, _MOST = -1e6, 0.5 + 1e-6  # of KING-robust kinship, which has no lower bound; files have some digits


def related_of(
    sample_ids: Array, kin: "pl.DataFrame | str | Path", max_kinship: float
) -> tuple[pl.DataFrame, list[str]]:
    """Pairs of a cohort's samples above a kinship, as left, right (positions), kinship; and notes.

    Raises
    ------
    InputError
        The table cannot be read, lacks a column, or a kinship is no number (names the row).
    SampleMismatchError
        None of its samples is in the cohort.
    """
    source, table = _read(kin)
    columns = {name.lstrip("#").upper(): name for name in table.columns}
    one, two = (_column(columns, names, source) for names in (_FIRST, _SECOND))
    kinship, column = _kinship(table, columns, source)
    n_rows = table.height
    related = np.flatnonzero(kinship > max_kinship)
    families = next((pair for pair in _FAMILIES if all(name in columns for name in pair)), None)
    at = {str(name): i for i, name in enumerate(sample_ids)}
    places, known = [], 0
    for k, name in enumerate((one, two)):
        ids = table[name].cast(pl.String)
        fids = None if families is None else table[columns[families[k]]].cast(pl.String)
        places.append(_positions(at, ids, fids, related))
        known += sum(value in at for value in ids.unique().to_list()) if n_rows else 0
        if fids is not None and not known and n_rows:
            known += sum(value in at for value in pl.select(fids + "_" + ids).to_series().unique().to_list())
    if n_rows and not known:
        raise SampleMismatchError(
            f"{source}: none of its samples is in the cohort. Cohort: {first_few(sample_ids)}; there: {first_few(table[one].to_list())}"
        )
    within = (places[0] >= 0) & (places[1] >= 0)
    itself = within & (places[0] == places[1])
    chosen = np.flatnonzero(within & ~itself)
    chosen = chosen[_once(places[0][chosen], places[1][chosen], kinship[related][chosen])]
    notes = [f"{chosen.size:,} pairs of the cohort's samples have a {column.lower()} above {max_kinship:g} in {source}"]
    if (n := int((~within).sum())) > 0:
        notes.append(f"{n:,} pairs above it have a sample that is not in the cohort, and count for nothing")
    if (n := int(itself.sum())) > 0:
        notes.append(f"{n:,} rows above it are of a sample and itself, and count for nothing")
    if (n := int(within.sum()) - int(itself.sum()) - chosen.size) > 0:
        notes.append(
            f"{n:,} rows above it are of a pair that is there already: of each pair the largest kinship counts"
        )
    frame = {"left": places[0][chosen], "right": places[1][chosen], "kinship": kinship[related][chosen]}
    return pl.DataFrame(frame), notes


def _once(left: Int64Array, right: Int64Array, kinship: Float64Array) -> Int64Array:
    """Rows (ascending) that hold each pair, in whichever order, once: the one of its largest kinship."""
    low, high = np.minimum(left, right), np.maximum(left, right)
    order = np.lexsort((-kinship, high, low))  # stable: of equal ones the first
    low, high = low[order], high[order]
    first = np.ones(order.size, dtype=bool)
    first[1:] = (low[1:] != low[:-1]) | (high[1:] != high[:-1])
    return np.sort(order[first])


def _read(kin: "pl.DataFrame | str | Path") -> tuple[str, pl.DataFrame]:
    if isinstance(kin, pl.DataFrame):
        return "the table of kinship", kin
    if not isinstance(kin, str | Path):
        raise TypeError(
            f"keep_unrelated(kin): a table of genassoc.kinship, or the path of one, not a {type(kin).__name__}"
        )
    return str(kin), pair_table(Path(kin))


def pair_table(path: Path) -> pl.DataFrame:
    """The columns of a file of related pairs, of whichever program.

    Raises
    ------
    InputError
        It cannot be read.
    """
    if path.suffix == ".parquet":
        try:
            return pl.read_parquet(path, glob=False)
        except (OSError, pl.exceptions.PolarsError) as error:
            raise InputError(f"{path}: the table of kinship cannot be read: {error}") from error
    header = _header_alone(path)
    return read_text_table(path).columns if header is None else pl.DataFrame(schema=dict.fromkeys(header, pl.String))


def _header_alone(path: Path) -> list[str] | None:
    """The columns of a table of text that has no pair, as of a cohort without relatives; None of any other."""
    if not path.is_file():
        return None
    lines = (line for line in text_lines(path) if line.strip())
    first = next(lines, "")
    return None if not first or next(lines, None) is not None else list(dict.fromkeys(first.split()))


def _column(columns: dict[str, str], names: Sequence[str], source: str) -> str:
    for name in names:
        if name in columns:
            return columns[name]
    raise InputError(
        f"{source}: no column {' or '.join(names)} (whatever the case); its columns are {first_few(list(columns.values()))}. A table of "
        "genassoc.kinship, of plink2 --make-king-table (.kin0) or of KING (.kin0, .kin) is needed"
    )


def _kinship(table: pl.DataFrame, columns: dict[str, str], source: str) -> tuple[Float64Array, str]:
    """Kinship of each row, -inf where it is missing, and the name of the column: the adjusted one where there is one."""
    name = _column(columns, [name for name in _KINSHIP if name in columns] or _KINSHIP, source)
    text = table[name]
    if not text.dtype.is_numeric():
        text = text.replace({"NA": None, "": None, "nan": None, "NaN": None, "-nan": None, "-inf": None})
    numbers = text.cast(pl.Float64, strict=False).fill_nan(None)
    wrong = np.flatnonzero(
        (numbers.is_null() & text.cast(pl.String).is_not_null() & (text.cast(pl.String) != "NaN")).to_numpy()
    )
    values = numbers.fill_null(-np.inf).to_numpy()
    out = np.flatnonzero((values > _MOST) | (np.isfinite(values) & (values < _LEAST)))
    for rows, why in ((wrong, "is no number"), (out, "is no kinship, which is 0.5 at most")):
        if rows.size:
            raise InputError(f"{source}, row {int(rows[0]) + 1}: '{table[name][int(rows[0])]}' in column {name} {why}")
    return values, name


def _positions(at: dict[str, int], ids: pl.Series, fids: pl.Series | None, rows: Array) -> Array:
    """Positions of the samples of some rows, by their id, or by family and id joined, as PLINK joins them; -1 of others."""
    chosen = ids.gather(rows).to_list()
    found = [at.get(name, -1) for name in chosen]
    if fids is not None:
        families = fids.gather(rows).to_list()
        found = [at.get(f"{f}_{name}", -1) if k < 0 else k for k, f, name in zip(found, families, chosen)]
    return np.array(found, dtype=np.int64)


def unrelated_of(
    sample_ids: Array,
    phenotypes: Phenotypes,
    rows: Int64Array,
    kin: "pl.DataFrame | str | Path",
    max_kinship: float,
    prefer: "pl.Expr | str | None",
    quality: pl.DataFrame | None,
) -> tuple[BoolArray, Array, list[str]]:
    """The unrelated set of a cohort (N,), the ledger's details (N,) of those left out, and notes; see `Cohort.keep_unrelated`.

    Whom the rule leaves out: `genassoc.stats.unrelated.unrelated_set`.

    Raises
    ------
    InputError
        ``max_kinship`` is none, or a table lacks a column or has a kinship that is none.
    PhenotypeError
        ``prefer`` is no trait or expression.
    SampleMismatchError
        No sample of the table is in the cohort.
    """
    if isinstance(max_kinship, bool) or not isinstance(max_kinship, int | float) or not 0 <= max_kinship < 0.5:
        raise InputError(f"max_kinship is {max_kinship!r}: a kinship from 0 to below 0.5, as 0.0442 (third degree)")
    pairs, notes = related_of(sample_ids, kin, float(max_kinship))
    preferred, words = _preferred(phenotypes, rows, prefer)
    rates = None if quality is None else _missing_rates(sample_ids, quality)
    left, right = pairs["left"].to_numpy(), pairs["right"].to_numpy()
    found = unrelated_set(
        sample_ids.size, left, right, pairs["kinship"].to_numpy(), preferred=preferred, missing_rate=rates
    )
    details = np.full(sample_ids.size, None, dtype=object)
    for i in np.flatnonzero(~found.keep):
        details[i] = f"related to {sample_ids[found.because[i]]} (kinship {found.kinship[i]:.4f})"
    return found.keep, details, [*notes, *words]


def _preferred(
    phenotypes: Phenotypes, rows: Int64Array, prefer: "pl.Expr | str | None"
) -> tuple[BoolArray | None, list[str]]:
    """Samples to keep rather than others: where an expression holds, or the cases of a binary trait."""
    if prefer is None:
        return None, []
    if isinstance(prefer, pl.Expr):
        keep, missing = phenotypes.samples_where(prefer, rows)
        label, n_missing = str(prefer), int(missing.sum())
    elif isinstance(prefer, str):
        cases = build_design(phenotypes, rows, [prefer], (), "binary").y[:, 0]
        keep, label, n_missing = cases == 1, f"the cases of {prefer}", int(np.isnan(cases).sum())
    else:
        raise PhenotypeError(
            f"prefer is the name of a binary trait or an expression over the phenotypes, not {prefer!r}"
        )
    note = f"{int(keep.sum()):,} samples are kept rather than their relatives: {label}"
    return keep, [note + (f" ({n_missing:,} have no value and are not preferred)" if n_missing else "")]


def _missing_rates(sample_ids: Array, quality: pl.DataFrame) -> Float64Array:
    absent = [name for name in ("sample_id", "missing_rate") if name not in quality.columns]
    if absent:
        raise InputError(f"quality has no column {' or '.join(absent)}: give the table of genassoc.sample_qc(cohort)")
    rates = dict(
        zip(quality["sample_id"].cast(pl.String).to_list(), quality["missing_rate"].cast(pl.Float64).to_list())
    )
    return np.array([rates.get(str(name), np.nan) for name in sample_ids], dtype=np.float64)
