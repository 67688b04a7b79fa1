"""Reading offsets: tables of predictions, one for all chromosomes or one a chromosome, and REGENIE's files of step 1.

docs/models/offsets.md has the layouts. Ids of tables are compared as those of phenotypes are, under the cohort's rule; those of
REGENIE's files are FID and IID joined by "_".
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, TypeAlias

import numpy as np
import polars as pl

from genassoc.data.cohort.cohort import Cohort
from genassoc.data.cohort.contigs import chromosome_of, region_keys, usual_spellings
from genassoc.data.cohort.ledger import lacking_predictions
from genassoc.data.cohort.loco_lists import LOCO, is_file, is_loco, list_in, pred_list, text_lines
from genassoc.data.cohort.matching import as_in_phenotypes, family_column, first_few, mismatch_message
from genassoc.data.cohort.prediction_records import recorded_traits
from genassoc.data.cohort.recipe import with_offsets as recipe_step
from genassoc.data.phenotypes.columns import NUMBER, from_pandas, listed, read_columns
from genassoc.data.phenotypes.offsets import Offsets, PredictionTables, Source, Unit
from genassoc.data.phenotypes.phenotypes import Phenotypes
from genassoc.data.phenotypes.reading import Reading
from genassoc.data.phenotypes.tables import TextTable
from genassoc.errors import InputError, PhenotypeError, SampleMismatchError
from genassoc.shapes import BoolArray, Float64Array, Int64Array

if TYPE_CHECKING:
    import pandas as pd

    Table: TypeAlias = str | Path | pl.DataFrame | pd.DataFrame
    Given: TypeAlias = Table | Mapping[str, Table] | Offsets | PredictionTables

ALL = "all"  # the name of predictions that leave no chromosome out
_ALL_NAMES = (ALL, "0")  # REGENIE writes 0 in the file of --print-prs
_CHROMOSOME_COLUMNS = ("chromosome", "chrom", "#chrom", "chr", "contig", "contigname")
PATTERN = "{chromosome}"
_SHOWN = 5  # samples named in a note; the ledger has all
_MISSING = ("NA", "nan", "NaN", "")


@dataclass(frozen=True)
class _Model:
    """The model that the predictions enter: its ``outcome``, and whether it takes normal scores of ranks (None: not told)."""

    outcome: str
    ranks: bool | None = None


@dataclass
class _Read:
    """What was read: a table's name for a chromosome -> predictions (N, T); how, and from which files."""

    tables: dict[str, Float64Array] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)
    files: list[Path] = field(default_factory=list)
    origin: Source | None = None
    unit: Unit = "trait"
    source: str = "the offsets given"

    def add(self, name: str, values: Float64Array, source: str) -> None:
        """Predictions of one more chromosome."""
        if name in self.tables:
            raise InputError(
                f"{source}: the predictions of chromosome {name} are there already; name each chromosome once"
            )
        self.tables[name] = values


def with_offsets(
    cohort: Cohort, offsets: "Given", traits: Sequence[str], kind: str, ranks: bool | None = None
) -> Cohort:
    """The cohort with predictions of traits, which enter its designs with the coefficient 1.

    Parameters
    ----------
    cohort : Cohort
    offsets
        A table (path or DataFrame) with a column of sample ids, a column for each trait and perhaps one of chromosomes; a mapping of
        chromosomes to such tables; a path with ``{chromosome}`` in it; REGENIE's ``pred.list``, or a mapping of traits to its
        ``.loco`` files.
    traits : sequence of str
        Those of the model; ranges are expanded.
    kind : str
        The model's ``outcome``: what is REGENIE's unit depends on it. Predictions that are known to be of others are refused.
    ranks : bool, optional
        Whether the model replaces traits by normal scores of their ranks; where the predictions are of other numbers, a note says so.

    Raises
    ------
    InputError, PhenotypeError
        A trait has no column, a value is no finite number, a chromosome is missing or there twice, a file cannot be read: names
        file, line, column and sample.
    SampleMismatchError
        No sample of the cohort has a prediction, or it is not clear which.
    """
    names = cohort.phenotypes.resolve(tuple(traits), "trait")
    read = _Read()
    if isinstance(offsets, Offsets):
        found = offsets
    else:
        _read(cohort, offsets, names, _Model(kind, ranks), read)
        found = _assigned(cohort, names, read)
    lacking = _lacking(cohort, found)
    notes = [*dict.fromkeys(read.notes), *_notes(cohort, found, lacking)]
    details = [", ".join(trait for trait, lacks in zip(names, row) if lacks) for row in lacking]
    observed = np.stack([cohort.phenotypes.table[name].gather(cohort.rows).is_not_null() for name in names], axis=1)
    for name, has, lacks in zip(names, observed.T, lacking.T):
        if has.any() and not (has & ~lacks).any():
            raise PhenotypeError(
                f"{found.source}: no sample of the cohort that has the trait '{name}' has a prediction of it"
            )
    ledger = lacking_predictions(cohort.sample_ledger, cohort.sample_ids, details, (lacking == observed).all(axis=1))
    return replace(
        cohort,
        offsets=found,
        notes=(*cohort.notes, *notes),
        sample_ledger=ledger,
        recipe=(*cohort.recipe, recipe_step(found.origin, names, kind, found.digest)),
    )


def check_offsets(cohort: Cohort, traits: Sequence[str]) -> None:
    """Refuse a model of other traits than those that the cohort has offsets of.

    Raises
    ------
    PhenotypeError
    """
    if cohort.offsets is None:
        return
    absent = [name for name in cohort.phenotypes.resolve(tuple(traits), "trait") if name not in cohort.offsets.traits]
    if absent:
        raise PhenotypeError(
            f"{cohort.offsets.source}: there is no prediction of {listed(absent)}; the cohort has offsets of "
            f"{listed(cohort.offsets.traits)}: give offsets of the model's traits, or a cohort without offsets"
        )


# Kinds of sources --------------------------------------------------------------------------------------------------


def _read(
    cohort: Cohort,
    given: "Table | Mapping[str, Table] | PredictionTables",
    traits: tuple[str, ...],
    model: _Model,
    read: _Read,
) -> None:
    if isinstance(given, PredictionTables):
        _read_predictions(cohort, given, traits, model, read)
        return
    if isinstance(given, Mapping):
        if not given:
            raise InputError("offsets={} names no table: give one for each chromosome, or none at all")
        if all(isinstance(value, str | Path) for value in given.values()):
            read.origin = {str(name): _absolute(value) for name, value in given.items()}
        if set(traits) <= set(given) and all(
            isinstance(given[t], str | Path) and is_loco(Path(given[t])) for t in traits
        ):
            _read_regenie(cohort, {trait: Path(given[trait]) for trait in traits}, traits, model, read)
            return
        for name, table in given.items():
            _read_table(cohort, table, traits, read, str(name))
        return
    if not isinstance(given, str | Path):
        _read_table(cohort, given, traits, read, None)
        return
    path = list_in(Path(given))
    read.source, read.origin = str(path), _absolute(given)
    if PATTERN in str(given):
        for contig, file in _of_pattern(cohort, str(given)).items():
            _read_table(cohort, file, traits, read, contig)
    elif is_loco(path):
        if len(traits) > 1:
            raise InputError(
                f"{path} holds REGENIE's predictions of one trait, and the model has {len(traits)}: name the list of files "
                "that step 1 wrote (..._pred.list), or a file for each trait, offsets={'ldl': 'step1_1.loco', ...}"
            )
        _read_regenie(cohort, {traits[0]: path}, traits, model, read)
    elif (files := pred_list(path)) is not None:
        absent = [trait for trait in traits if trait not in files]
        if absent:
            raise PhenotypeError(
                f"{path}: no file of predictions is listed for {listed(absent)}; it lists {listed(list(files))}"
            )
        read.files.append(path)
        _read_regenie(cohort, {trait: files[trait] for trait in traits}, traits, model, read, path)
    else:
        _read_table(cohort, path, traits, read, None)


def _read_predictions(
    cohort: Cohort, given: PredictionTables, traits: tuple[str, ...], model: _Model, read: _Read
) -> None:
    """Predictions of `PredictionTables`; an autosome that has none of its own gave nothing to any of them."""
    _check_traits(given.source, given.outcome, given.ranks, model, read)
    absent = [trait for trait in traits if trait not in given.everywhere.columns]
    if absent:
        raise PhenotypeError(
            f"{given.source}: there is no prediction of {listed(absent)}; there are those of {listed(given.everywhere.columns[1:])}"
        )
    read.source, read.unit = given.source, given.unit
    for name, table in given.tables.items():
        _read_table(cohort, table, traits, read, name)
    for contig in cohort.contigs.chromosomes:
        key = cohort.contigs.key(contig)
        if key.removeprefix("=").isdecimal() and not any(key in region_keys(name) for name in read.tables):
            _read_table(cohort, given.everywhere, traits, read, contig)
    _read_table(cohort, given.everywhere, traits, read, ALL)


def _check_traits(source: str, outcome: str, ranks: bool, model: _Model, read: _Read) -> None:
    """Refuse predictions of traits of another kind than the model's; a note where they are of other numbers."""
    if outcome != model.outcome:
        raise PhenotypeError(
            f"{source} are of {outcome} traits, and the model is of {model.outcome} ones, whose linear predictor has another unit: fit "
            f"them anew with outcome='{model.outcome}'"
        )
    if model.ranks is not None and ranks != model.ranks:
        theirs, own = ("normal scores of ranks", "the values themselves")[:: 1 if ranks else -1]
        read.notes.append(
            f"{source} are of {theirs}, and the model is of {own}: they predict other numbers than it tests, and take less away. Fit "
            f"them anew with rank_normalise={model.ranks}"
        )


def _absolute(path: str | Path) -> str:
    return str(Path(path).expanduser().absolute())


def _of_pattern(cohort: Cohort, pattern: str) -> dict[str, Path]:
    """The file of each chromosome of the store for which there is one, and of all chromosomes."""
    found: dict[str, Path] = {}
    seen: dict[str, list[str]] = {}
    for contig in [*cohort.contigs.chromosomes, ALL]:
        spelt = dict.fromkeys([contig, *usual_spellings(contig)])
        files = [name for name in spelt if is_file(Path(pattern.replace(PATTERN, name)))]
        key = ALL if contig == ALL else cohort.contigs.key(contig)
        if len(files) > 1:
            raise InputError(
                f"{pattern}: there are several files of chromosome {contig}, named by {listed(files)}: keep one of them"
            )
        if files and key not in seen:
            found[contig], seen[key] = Path(pattern.replace(PATTERN, files[0])), files
    if not found:
        raise InputError(
            f"{pattern}: there is no file of any chromosome of the store ({listed(list(cohort.contigs.chromosomes))})"
        )
    return found


# Tables ------------------------------------------------------------------------------------------------------------


def _read_table(cohort: Cohort, given: "Table", traits: tuple[str, ...], read: _Read, chromosome: str | None) -> None:
    """Predictions of a table: of the chromosome that is told, of those in its column, or of all."""
    if isinstance(given, str | Path):
        path = Path(given)
        columns, source = read_columns(path, Reading(encoding=cohort.phenotypes.reading.encoding)), str(path)
        read.files.append(path)
    else:
        frame = given if isinstance(given, pl.DataFrame) else from_pandas(given)
        columns, source = (
            TextTable(frame, None),
            read.source if chromosome is None else f"the table of chromosome {chromosome}",
        )
    own = next((n for n in columns.columns.columns if n.lower() in _CHROMOSOME_COLUMNS and n not in traits), None)
    if own is None:
        table = Phenotypes.of_columns(columns, source, missing_codes=[])
        read.add(chromosome or ALL, _values(cohort, table, traits, read), source)
        return
    for name, part in _parts(columns, own, source):
        if chromosome is not None and not _same(name, chromosome):
            raise InputError(f"{source} is given for chromosome {chromosome}, but its column '{own}' has {name}")
        table = Phenotypes.of_columns(part, f"{source} (chromosome {name})", missing_codes=[])
        read.add(chromosome or name, _values(cohort, table, traits, read), source)


def _parts(table: TextTable, column: str, source: str) -> Iterator[tuple[str, TextTable]]:
    """The rows of each chromosome of a table, without the column that names it."""
    names = table.columns[column].cast(pl.String).str.strip_chars()
    empty = (names.is_null() | (names == "")).arg_max()
    if empty is not None and not names[empty]:
        where = f"row {empty + 1}" if table.lines is None else f"line {table.lines[empty]}"
        raise InputError(f"{source}, {where}: the column '{column}' names no chromosome")
    for name in names.unique(maintain_order=True):
        rows = np.flatnonzero((names == name).to_numpy())
        lines = rows + 1 if table.lines is None else table.lines[rows]
        yield name, TextTable(table.columns[rows].drop(column), lines)


def _values(cohort: Cohort, table: Phenotypes, traits: tuple[str, ...], read: _Read) -> Float64Array:
    """Predictions of the cohort's samples (N, T), NaN where the table has none."""
    table.resolve(traits, "prediction")
    theirs, found, said = as_in_phenotypes(cohort.phenotypes, cohort.rows, cohort.sample_ids, cohort.id_rule, table)
    if not found.any():
        raise SampleMismatchError(mismatch_message(list(cohort.sample_ids), table, 0, 0.0, cohort.id_rule))
    at = {name: row for row, name in enumerate(theirs.table[theirs.sample_id])}
    ids = cohort.phenotypes.table[cohort.phenotypes.sample_id].gather(cohort.rows)
    rows = np.array([at[name] for name, here in zip(ids, found) if here], dtype=np.int64)
    values = np.full((cohort.n_samples, len(traits)), np.nan)
    for t, trait in enumerate(traits):
        _refuse_texts(table, trait, rows)
        values[found, t] = table.numbers(trait, rows)
    read.notes += said
    return values


def _refuse_texts(table: Phenotypes, trait: str, rows: Int64Array) -> None:
    """Refuse predictions that are no numbers; what would mend a phenotype (a code for missing, a decimal mark) is none of theirs."""
    values = table.table[trait].gather(rows)
    if values.dtype != pl.String:
        return
    bad = np.flatnonzero((values.is_not_null() & ~values.str.contains(NUMBER)).to_numpy())
    if bad.size:
        more = f"; {bad.size - 1:,} more are not" if bad.size > 1 else ""
        raise PhenotypeError(
            f"{table.source}, {table.where(int(rows[bad[0]]), trait)}: '{values[int(bad[0])]}' in the column '{trait}' is no "
            f"number{more}; write predictions with a decimal point, and NA where a sample has none"
        )


# REGENIE ------------------------------------------------------------------------------------------------------------


def _read_regenie(
    cohort: Cohort,
    files: Mapping[str, Path],
    traits: tuple[str, ...],
    model: _Model,
    read: _Read,
    listed_in: Path | None = None,
) -> None:
    """Predictions of REGENIE's step 1, or of genassoc's: a file a trait. What they are of is known where genassoc's record is there."""
    read.unit = "residual_sd" if model.outcome == "quantitative" else "trait"
    known, notes = recorded_traits(files.values(), listed_in)
    read.notes += notes
    for path, of in known:
        source = f"the predictions of {listed_in or path}"
        _check_traits(source, of.outcome, of.ranks, model, read)
    of_trait = {trait: _loco(cohort, path, read) for trait, path in files.items()}
    names = list(dict.fromkeys(name for tables in of_trait.values() for name in tables))
    for name in names:
        lacking = [trait for trait in traits if name not in of_trait[trait]]
        if lacking:
            raise InputError(
                f"{files[lacking[0]]} has no line of chromosome {name}, which the files of other traits have"
            )
        read.add(name, np.stack([of_trait[trait][name] for trait in traits], axis=1), str(files[traits[0]]))


def _loco(cohort: Cohort, path: Path, read: _Read) -> dict[str, Float64Array]:
    """The predictions (N,) of each line of a file: the chromosome left out, then a value for each sample of the header."""
    read.files.append(path)
    ids: list[str] = []
    columns, found = np.zeros(0, np.int64), np.zeros(0, np.int64)
    tables: dict[str, Float64Array] = {}
    for number, line in enumerate(text_lines(path), 1):
        fields = line.split()
        if not fields:
            continue
        if not ids:
            if fields[0] != LOCO or len(fields) == 1:
                raise InputError(
                    f"{path}, line {number}: this is no file of REGENIE's predictions: the header of one is {LOCO} and the samples"
                )
            ids = fields[1:]
            columns, found = _matched(cohort, ids, path, number, read)
            continue
        if len(fields) != len(ids) + 1:
            raise InputError(
                f"{path}, line {number}: {len(fields) - 1:,} predictions of {len(ids):,} samples; the file was cut short or damaged"
            )
        if fields[0] in tables:
            raise InputError(f"{path}, line {number}: chromosome {fields[0]} is there twice")
        values = np.full(cohort.n_samples, np.nan)
        values[found] = _numbers(fields[1:], ids, path, number)[columns]
        tables[fields[0]] = values
    if not tables:
        raise InputError(f"{path}: there is no line of predictions")
    return tables


def _numbers(fields: list[str], ids: list[str], path: Path, line: int) -> Float64Array:
    """A line's predictions, NaN where NA; what is no finite number is refused by its place."""
    try:
        values = np.array(fields, dtype=np.float64)
    except ValueError:
        values = np.array([_number(text) for text in fields])
    if any("_" in text for text in fields):  # Python reads 1_0 as 10
        values[["_" in text for text in fields]] = np.inf
    bad = [i for i in np.flatnonzero(~np.isfinite(values)) if fields[i] not in _MISSING]
    if bad:
        i = int(bad[0])
        raise InputError(
            f"{path}, line {line}, column {i + 2} (sample {ids[i]}): '{fields[i]}' is no finite number"
            + (f"; {len(bad) - 1:,} more are not" if len(bad) > 1 else "")
        )
    return values


def _number(text: str) -> float:
    try:
        return float(text)
    except ValueError:
        return np.nan if text in _MISSING else np.inf


def _matched(cohort: Cohort, ids: list[str], path: Path, line: int, read: _Read) -> tuple[Int64Array, Int64Array]:
    """Which of a file's ids are of which samples of the cohort: FID_IID as the phenotypes have them, else their IID."""
    at: dict[str, int] = {}
    for place, name in enumerate(ids):
        if at.setdefault(name, place) != place:
            raise InputError(
                f"{path}, line {line}: the sample {name} is there twice, in columns {at[name] + 2} and {place + 2}"
            )
    table = cohort.phenotypes.table
    family = family_column(cohort.phenotypes.columns)
    families = None if family is None else table[family].cast(pl.String).gather(cohort.rows).to_list()
    endings = _endings(ids)
    columns: list[int] = []
    found: list[int] = []
    cut: list[tuple[str, str]] = []
    for i, name in enumerate(map(str, cohort.sample_ids)):
        joined = at.get(f"{name if families is None else families[i]}_{name}")
        column: int | None = at.get(name, joined)
        if column is None:
            alike = endings.get(name, [])
            if len(alike) > 1:
                raise SampleMismatchError(
                    f"{path}, line {line}: {first_few([ids[c] for c in alike])} are all FID_IID of an IID {name}: name the "
                    "families in a column FID of the phenotypes"
                )
            column = alike[0] if alike else None
            cut += [] if column is None else [(ids[column], name)]
        if column is not None:
            columns.append(column)
            found.append(i)
    if not found:
        raise SampleMismatchError(
            f"{path}: none of its {len(ids):,} samples ({first_few(ids)}) is in the cohort ({first_few(cohort.sample_ids)}); ids are "
            "FID and IID joined by '_'"
        )
    if cut:
        read.notes.append(f"{path}: samples are named FID_IID there, as {cut[0][0]} of {cut[0][1]}")
    return np.array(columns, dtype=np.int64), np.array(found, dtype=np.int64)


def _endings(ids: Iterable[str]) -> dict[str, list[int]]:
    """What follows an "_" of each id -> the columns of these ids."""
    found: dict[str, list[int]] = {}
    for column, name in enumerate(ids):
        at = name.find("_")
        while at >= 0:
            found.setdefault(name[at + 1 :], []).append(column)
            at = name.find("_", at + 1)
    return found


# Chromosomes -------------------------------------------------------------------------------------------------------


def _same(name: str, other: str) -> bool:
    return bool(set(region_keys(name)) & set(region_keys(other)))


def _assigned(cohort: Cohort, traits: tuple[str, ...], read: _Read) -> Offsets:
    """Which predictions each contig has: its own; those of all chromosomes on X, Y, MT and unplaced contigs.

    Raises
    ------
    InputError
        A chromosome with variants to test has none, or several.
    """
    names = [name for name in read.tables if name.lower() not in _ALL_NAMES]
    everywhere = next((name for name in read.tables if name.lower() in _ALL_NAMES), None)
    left_out_none = everywhere or next((name for name in names if chromosome_of(name) == "X"), None)
    chosen: dict[str, str] = {}
    for contig in cohort.contigs.chromosomes:
        key = cohort.contigs.key(contig)
        own = [name for name in names if key in region_keys(name)]
        if len(own) > 1:
            raise InputError(f"{read.source}: {listed(own)} all name chromosome {contig}: keep one of them")
        autosome = key.removeprefix("=").isdecimal()
        table = own[0] if own else (everywhere if not names else None if autosome else left_out_none)
        if table is not None:
            chosen[contig] = table
        elif _has_variants(cohort, contig):
            raise InputError(
                f"{read.source}: there is no prediction of chromosome {contig}, which has variants to test; there are those of "
                f"{listed(list(read.tables))}. "
                + (
                    "Give one that leaves this chromosome out, or leave the chromosome out by a region"
                    if autosome
                    else f"X, Y, MT and unplaced contigs take the one of all chromosomes: name it X or {ALL}"
                )
            )
    missing = np.logical_or.reduce([np.isnan(read.tables[name]) for name in set(chosen.values())])
    values = {name: np.where(missing, np.nan, read.tables[name]) for name in dict.fromkeys(chosen.values())}
    return Offsets(traits, values, chosen, read.unit, read.source, read.origin, tuple(dict.fromkeys(read.files)))


def _has_variants(cohort: Cohort, contig: str) -> bool:
    """Whether any variant of a contig is selected, as far as can be told without genotypes."""
    step = cohort.store.block_variants
    return any(
        cohort.selected_without_genotypes(at, min(at + step, stop)).any()
        for name, start, stop in cohort.store.contig_runs()
        if name == contig
        for at in range(start, stop, step)
    )


# What there is to say ----------------------------------------------------------------------------------------------


def _lacking(cohort: Cohort, offsets: Offsets) -> BoolArray:
    """Samples that have a trait and lack its prediction, (N, T)."""
    missing = np.isnan(next(iter(offsets.values.values())))
    for t, trait in enumerate(offsets.traits):
        missing[:, t] &= cohort.phenotypes.table[trait].gather(cohort.rows).is_not_null().to_numpy()
    return missing


def _notes(cohort: Cohort, offsets: Offsets, lacking: BoolArray) -> list[str]:
    """Where offsets came from and what they are; who lacks one."""
    scale = (
        "in standard deviations of the trait's residuals, as REGENIE writes them"
        if offsets.unit == "residual_sd"
        else "on the scale of the linear predictor"
    )
    many = f"one for each of {len(offsets.values)} chromosomes" if offsets.by_chromosome else "one for all chromosomes"
    notes = [f"offsets of {listed(offsets.traits)} from {offsets.source}: {many}, {scale}"]
    shared: dict[str, list[str]] = {}
    for contig, name in offsets.chromosomes.items():
        if offsets.by_chromosome and not (_same(contig, name) and cohort.contigs.key(contig) in region_keys(name)):
            shared.setdefault(name, []).append(contig)
    notes += [f"{listed(contigs)}: the offset is the prediction named {name}" for name, contigs in shared.items()]
    for t, trait in enumerate(offsets.traits):
        at = np.flatnonzero(lacking[:, t])
        if at.size:
            more = f" and {at.size - _SHOWN:,} more" if at.size > _SHOWN else ""
            who = ", ".join(str(name) for name in cohort.sample_ids[at[:_SHOWN]])
            notes.append(
                f"{at.size:,} samples have no prediction of {trait} and are left out of its analysis: {who}{more}"
            )
    return notes
