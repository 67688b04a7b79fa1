"""The cohort of predictors that are not variants: a table's columns beside the phenotypes of the same samples."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import polars as pl

from genassoc.data.cohort.cohort import Cohort
from genassoc.data.cohort.predictors import PredictorStore
from genassoc.data.cohort.recipe import origin_of
from genassoc.data.phenotypes.phenotypes import Phenotypes
from genassoc.errors import PhenotypeError
from genassoc.shapes import Float64Array

EFFECTS = ("beta", "standard_error", "ci_lower", "ci_upper", "standard_error_model")
CODES = {"monomorphic": "constant_predictor", "constant_genotype": "constant_predictor"}


def people_of(cohort: object, sample_id: str | None = None) -> Phenotypes:
    """The table of the samples analysed: that of the cohort, or the table that was given; see `tables_of`."""
    if not isinstance(cohort, Cohort):
        return _by_ids(cohort, sample_id)
    table = cohort.phenotypes
    rows = np.asarray(cohort.rows)
    lines = None if table.lines is None else table.lines[rows]
    return replace(table, table=table.table[rows], lines=lines)


def tables_of(
    cohort: object, predictors: object, sample_id: str | None = None, missing_codes: object = None
) -> tuple[Phenotypes, Phenotypes]:
    """The tables of the samples analysed and of the predictors.

    ``sample_id`` names the column of ids of both; where one of them has no such column its ids have the usual names.

    Raises
    ------
    PhenotypeError
        Neither has that column; or as `Phenotypes.read`.
    """
    people, table = people_of(cohort, sample_id), _by_ids(predictors, sample_id, missing_codes)
    id_columns = [table.sample_id] if isinstance(cohort, Cohort) else [table.sample_id, people.sample_id]
    if sample_id is not None and sample_id.lstrip("#") not in [name.lstrip("#") for name in id_columns]:
        Phenotypes.read(predictors, sample_id=sample_id)  # raises: there is no such column
    return people, table


def _by_ids(source: Any, sample_id: str | None, missing_codes: Any = None) -> Phenotypes:
    """A table read with a named column of ids, or with one of the usual names if it lacks that column."""
    try:
        return Phenotypes.read(source, sample_id=sample_id, missing_codes=missing_codes)
    except PhenotypeError as error:
        try:
            table = Phenotypes.read(source, missing_codes=missing_codes)
        except PhenotypeError:
            raise error from None
        if sample_id is None or {sample_id, f"#{sample_id}"} & set(table.table.columns):
            raise  # it has that column, whose values cannot be ids
        return table


def predictor_cohort(people: Phenotypes, table: Phenotypes, columns: Sequence[str] | None) -> Cohort:
    """Predictors, the ``columns`` (all) of a table, beside the phenotypes of the samples that both have.

    Raises
    ------
    PhenotypeError, SampleMismatchError
        A predictor is absent, no number or missing throughout; the samples do not match.
    """
    store: Any = PredictorStore.of(table, columns)
    aligned = Cohort.align(store, people)
    if aligned.n_samples < table.table.height:
        store = PredictorStore.of(table, columns, np.asarray(aligned.sample_index))
        aligned = Cohort.align(store, people)
    return aligned


def record_of(table: Phenotypes, cohort: Cohort, people: Mapping[str, Any]) -> dict[str, Any]:
    """The predictors as the provenance holds them, with all that makes their cohort again; ``people`` says how samples were chosen."""
    store: Any = cohort.store
    return {
        "source": table.source,
        "fingerprint": store.fingerprint,
        "table": origin_of(table),
        "columns": list(store.names),
        "people": dict(people),
    }


def by_unit(cohort: Cohort, numbers: object) -> Float64Array | None:
    """What effects of one copy are multiplied by to be of one unit of the predictors ``numbers``; None where there are none."""
    store: Any = cohort.store
    return store.per_unit(np.asarray(numbers)) if isinstance(store, PredictorStore) else None


def rows_by_unit(table: pl.DataFrame, cohort: Cohort) -> pl.DataFrame:
    """Rows of the results of a scan (of each the predictor's number plus one is the position) by predictor and its unit."""
    factors = pl.Series("units", by_unit(cohort, table["base_pair_location"].to_numpy() - 1))
    return table.with_columns(
        pl.col("rsid").alias("variant_id"),
        pl.lit(None, dtype=pl.String).alias("rsid"),
        pl.col("code").replace(CODES),
        *[pl.col(name) * factors for name in EFFECTS if name in table.columns],
    )
