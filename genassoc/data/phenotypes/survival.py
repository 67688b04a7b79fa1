"""Times to events as arrays: time, event, late entry, strata and causes read from the phenotypes and checked."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import polars as pl

from genassoc.data.phenotypes.case_words import plain_word
from genassoc.data.phenotypes.codings import binary_codes, missing_of_three, text_of
from genassoc.data.phenotypes.design import Design, build_design
from genassoc.data.phenotypes.emptied import category_labels
from genassoc.data.phenotypes.number_spellings import date_offer, declaration, genotype_hint, is_date, looks_missing
from genassoc.data.phenotypes.offsets import Offsets, offset_columns
from genassoc.data.phenotypes.phenotypes import Phenotypes
from genassoc.errors import PhenotypeError
from genassoc.shapes import BoolArray, Float64Array, Int64Array

# Words for a sample that had no event, without letter case, accents and blanks.
_CENSORED = frozenset([
    "0", "censored", "cens", "none", "no", "alive", "noevent", "lebt", "lebend", "zensiert", "keinereignis", "kein", "vivant",
    "vivante", "censure", "censuree", "aucun", "aucune", "pasdevenement", "vivo", "viva", "censurado", "censurada", "censurato",
    "censurata", "nessuno", "ninguno", "sinevento",
])  # fmt: skip
_SHOWN = 6  # values of a column in a message


@dataclass(frozen=True, eq=False)
class Endpoint:
    """One time to event of N samples.

    Attributes
    ----------
    name : str
        The event's column.
    time, event : float64 arrays (N,)
        NaN where either is missing; the event is 1, censoring (or another cause) 0.
    coding : str
        What was recognised, in words.
    n_competing : int
        Events of another cause, censored at their time.
    lacking : tuple of str
        What is missing in how many samples, in words.
    """

    name: str
    time: Float64Array
    event: Float64Array
    coding: str
    n_competing: int
    lacking: tuple[str, ...]


@dataclass(frozen=True, eq=False)
class SurvivalDesign:
    """Endpoints and covariates of a cohort's samples as arrays.

    Attributes
    ----------
    endpoints : tuple of Endpoint
    entry : float64 array (N,)
        Time from which a sample is observed; minus infinity where all are from the start.
    stratum : int64 array (N,)
        Which of the strata, -1 where one of their columns is missing.
    strata : tuple of str
        Their names, as "site=B, arm=1"; one empty name where there are none.
    covariates : Design
        Without traits; its ``complete`` samples have all covariates, entry and strata too.
    complete : bool array (N,)
    notes : tuple of str
        Who lacks an entry time or a stratum.
    offset : float64 array (N, T)
        Log relative hazards that enter with the coefficient 1, 0 where none were given; times and events are NaN where a sample
        lacks the prediction of an endpoint.
    """

    endpoints: tuple[Endpoint, ...]
    entry: Float64Array
    stratum: Int64Array
    strata: tuple[str, ...]
    covariates: Design
    complete: BoolArray
    notes: tuple[str, ...]
    offset: Float64Array


def build_survival(
    phenotypes: Phenotypes,
    rows: Int64Array,
    time: Sequence[str],
    event: Sequence[str],
    covariates: Sequence[str] | str = (),
    *,
    entry: str | None = None,
    strata: Sequence[str] = (),
    cause: str | None = None,
    offsets: Offsets | None = None,
) -> SurvivalDesign:
    """Arrays of endpoints and covariates for some samples.

    Parameters
    ----------
    phenotypes : Phenotypes
    rows : int64 array (N,)
        Rows of its table, in the order wanted.
    time, event : sequences of str
        One pair an endpoint, or one time for all. Events are 0/1, 1/2 or two words; with ``cause`` any codes.
    covariates : sequence of str, or str
        As `build_design`.
    entry : str, optional
        Column of the time at which a sample comes under observation (left truncation).
    strata : sequence of str
        Columns whose combinations have baseline hazards of their own.
    cause : str, optional
        The event code of interest; all other codes are censored at their time (cause-specific hazard).
    offsets : Offsets, optional
        Predictions of the endpoints in the same samples, of one chromosome or all.

    Raises
    ------
    PhenotypeError
        A column is absent or not what it is used as, a time is negative or not after its entry, or nobody has the event.
    """
    times = tuple(time) * (len(event) if len(time) == 1 else 1)
    names = phenotypes.resolve([*times, *event], "time or event")
    times, events = names[: len(times)], names[len(times) :]
    _check_apart(phenotypes, times, events, covariates, entry, strata)
    design = build_design(phenotypes, rows, (), covariates)
    start = np.full(rows.size, -np.inf)
    notes = []
    if entry is not None:
        (entry,) = phenotypes.resolve([entry], "entry time")
        start = phenotypes.numbers(entry, rows)
        _refuse(phenotypes, rows, entry, start, start < 0, "is negative in")
        notes += _missing_note(entry, np.isnan(start))
    stratum, labels = strata_numbers(phenotypes, rows, phenotypes.resolve(strata, "stratum"))
    notes += _missing_note(", ".join(strata), stratum < 0)
    complete = design.complete & ~np.isnan(start) & (stratum >= 0)
    offset, lacking = offset_columns(offsets, events, rows.size)
    endpoints = [
        _without(_endpoint(phenotypes, rows, at, name, entry, start, cause, complete & ~lacks), lacks)
        for at, name, lacks in zip(times, events, lacking.T)
    ]
    return SurvivalDesign(tuple(endpoints), start, stratum, labels, design, complete, tuple(notes), offset)


def _without(endpoint: Endpoint, samples: BoolArray) -> Endpoint:
    """The endpoint, missing in some samples (bool (N,))."""
    time, event = (np.where(samples, np.nan, values) for values in (endpoint.time, endpoint.event))
    return replace(endpoint, time=time, event=event)


def _check_apart(
    phenotypes: Phenotypes,
    times: tuple[str, ...],
    events: tuple[str, ...],
    covariates: Sequence[str] | str,
    entry: str | None,
    strata: Sequence[str],
) -> None:
    """Refuse a column that is used in two roles."""
    repeated = sorted({name for name in events if events.count(name) > 1})
    if repeated:
        raise PhenotypeError(f"the event '{repeated[0]}' is asked for more than once; name it once")
    listed: Sequence[str] = covariates
    if isinstance(covariates, str):
        listed = phenotypes.formula(covariates).columns if covariates.strip() else ()
    roles = {
        "a time": times,
        "an event": events,
        "the entry time": (entry,),
        "a stratum": strata,
        "a covariate": listed,
    }
    seen: dict[str, str] = {}
    for role, columns in roles.items():
        for name in columns:
            if name is not None and seen.get(name, role) != role:
                raise PhenotypeError(f"{phenotypes.source}: '{name}' is asked for as {seen[name]} and as {role}")
            if name is not None:
                seen[name] = role


def _missing_note(name: str, missing: BoolArray) -> list[str]:
    n = int(missing.sum())
    return [f"{n:,} samples lack {name} and are left out"] if n else []


def _refuse(
    phenotypes: Phenotypes, rows: Int64Array, column: str, values: Float64Array, bad: BoolArray, fault: str
) -> None:
    """Raise, naming the first samples where ``bad`` holds."""
    at = np.flatnonzero(bad)
    if at.size:
        shown = ", ".join(f"{values[i]:g} in {phenotypes.where(int(rows[i]), column)}" for i in at[:3])
        raise PhenotypeError(
            f"{phenotypes.source}: '{column}' {fault} {at.size:,} samples: {shown}; correct them or write NA"
        )


def strata_numbers(
    phenotypes: Phenotypes, rows: Int64Array, columns: tuple[str, ...]
) -> tuple[Int64Array, tuple[str, ...]]:
    """Number of each sample's stratum, and the names of the strata."""
    if not columns:
        return np.zeros(rows.size, np.int64), ("",)
    values = [category_labels(phenotypes, name, rows).to_list() for name in columns]
    missing = np.array([any(value is None for value in sample) for sample in zip(*values)])
    names = [
        ", ".join(f"{name}={value}" for name, value in zip(columns, sample)) for sample in zip(*values)
    ]  # fmt: skip
    labels, codes = np.unique(np.array(names, dtype=object), return_inverse=True)
    used = np.zeros(labels.size, bool)
    used[codes[~missing]] = True
    numbers = np.cumsum(used) - 1
    return np.where(missing, -1, numbers[codes]), tuple(str(label) for label in labels[used])


def _endpoint(
    phenotypes: Phenotypes,
    rows: Int64Array,
    time: str,
    event: str,
    entry: str | None,
    start: Float64Array,
    cause: str | None,
    complete: BoolArray,
) -> Endpoint:
    times = phenotypes.numbers(time, rows)
    _refuse(phenotypes, rows, time, times, times < 0, "is a time, and it is negative in")
    if entry is not None:
        late = ~np.isnan(times) & ~np.isnan(start) & (times <= start)
        _refuse(phenotypes, rows, time, times, late, f"is not after the entry time '{entry}' in")
    events, coding, n_competing = _events(phenotypes, rows, event, cause)
    lacking = (*_missing_note(time, np.isnan(times)), *_missing_note(event, np.isnan(events)))
    missing = np.isnan(times) | np.isnan(events)
    times[missing], events[missing] = np.nan, np.nan
    usable = ~missing & complete
    if not (events[usable] == 1).any():
        raise PhenotypeError(
            f"{phenotypes.source}: none of the {int(usable.sum()):,} samples with '{time}', '{event}' and all covariates "
            f"has the event ({coding}); there is nothing to associate"
        )
    return Endpoint(event, times, events, coding, n_competing, lacking)


def _events(phenotypes: Phenotypes, rows: Int64Array, event: str, cause: str | None) -> tuple[Float64Array, str, int]:
    """1 for the event, 0 for censoring, NaN where missing; the coding in words; events of other causes."""
    text = text_of(phenotypes, event, rows)
    values = sorted(text.drop_nulls().unique().to_list())
    if not values:
        raise PhenotypeError(f"{phenotypes.source}: the event '{event}' is missing in all of {rows.size:,} samples")
    if cause is None:
        if values in (["1"], ["0"]):
            coding = "0 = censored, 1 = event"
            return text.cast(pl.Float64).fill_null(float("nan")).to_numpy().copy(), coding, 0
        if len(values) > 2 and event not in phenotypes.case_values:
            raise PhenotypeError(
                f"{phenotypes.source}: the event '{event}' has more than two values: {_counted(text)}. Understood are 0/1, 1/2 "
                f"(censored/event) and two words that say it{_ways(phenotypes, event, values)}"
            )
        codes, coding = binary_codes(phenotypes, event, rows, "censored", "event")
        return codes, coding, 0
    if cause not in values:
        raise PhenotypeError(f"{phenotypes.source}: the event '{event}' has no cause '{cause}': {_counted(text)}")
    category_labels(phenotypes, event, rows)  # what can only mean missing is no competing event
    none = [value for value in values if plain_word(value) in _CENSORED and value != cause]
    if not none and len(values) > 1 and not _is_number(values):
        raise PhenotypeError(
            f"{phenotypes.source}: none of the values of '{event}' says that a sample is censored ({_counted(text)}); "
            "write 0 or 'censored' for it"
        )
    codes = np.where(text.is_null().to_numpy(), np.nan, 0.0)
    codes[(text == cause).fill_null(False).to_numpy()] = 1.0
    others = [value for value in values if value not in none and value != cause]
    n_competing = int(text.is_in(others).fill_null(False).sum())
    words = f"{cause} = event, {', '.join(others) or 'no other'} = competing, {', '.join(none) or 'nobody'} = censored"
    return codes, words, n_competing


def competing_lines(phenotypes: Phenotypes, rows: Int64Array, event: str, cause: str | None) -> list[str]:
    """The values of an event that count as competing causes, in words; empty without any.

    Raises
    ------
    PhenotypeError
        There is no such cause, a value can only mean missing, or without ``cause`` there are more than two.
    """
    _, coding, n_competing = _events(phenotypes, rows, event, cause)
    return [f"{event}: {coding}"] if n_competing else []


def _ways(phenotypes: Phenotypes, event: str, values: list[str]) -> str:
    """Advice on an event with more than two values: genotypes, values that mean missing, or several causes."""
    genotypes = genotype_hint(event, values)
    if genotypes:
        return f"; {genotypes}"
    if 2 * sum(map(is_date, values)) > len(values):
        return f"; {date_offer(values[0])}"
    missing = [value for value in values if looks_missing(value)]
    alone = missing_of_three(phenotypes, event, values) if len(values) == 3 and not missing else None
    codes = missing or ([] if alone is None else [alone])
    ways = ""
    if codes:
        python, flags = declaration(event, codes)
        ways = f"; if {', '.join(map(repr, codes))} means missing, declare it: missing_codes={python} ({flags})"
    causes = [value for value in values if value not in missing and plain_word(value) not in _CENSORED]
    if not causes or len(values) - len(missing) < 3:
        return ways
    return (
        f"{ways}; of several causes name the one of interest: cause='{causes[-1]}' (--cause), the others are then censored at "
        "their time"
    )


def _is_number(values: list[str]) -> bool:
    return all(value.isdigit() for value in values)


def _counted(text: pl.Series) -> str:
    counts = text.drop_nulls().value_counts(sort=True)
    shown = ", ".join(f"{value} ({n:,} samples)" for value, n in counts.head(_SHOWN).rows())
    return shown + (f" and {len(counts) - _SHOWN} more values" if len(counts) > _SHOWN else "")
