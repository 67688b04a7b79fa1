"""Association of predictors that are not variants, through the same models."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import polars as pl

from genassoc.data.cohort.cohort import Cohort
from genassoc.data.cohort.predictor_cohort import predictor_cohort, record_of, rows_by_unit, tables_of
from genassoc.data.cohort.recipe import origin_of
from genassoc.data.forks import check_not_forked
from genassoc.data.output import check_outputs
from genassoc.data.phenotypes.phenotypes import Phenotypes
from genassoc.engine.executors import Executor
from genassoc.explanation.audit import audited, check_rows
from genassoc.models.base import AssociationModel
from genassoc.models.choices.choices import Choices
from genassoc.models.registry import MODELS
from genassoc.progress import Progress
from genassoc.results import Results
from genassoc.verbs.arguments import check_model
from genassoc.verbs.association import associate
from genassoc.verbs.run_record import inputs_of

if TYPE_CHECKING:
    import pandas as pd

_OF_ALLELES = (
    "chromosome", "base_pair_location", "effect_allele", "other_allele", "effect_allele_frequency", "mac",
    "effect_allele_frequency_cases", "effect_allele_frequency_controls", "effect_allele_frequency_events",
)  # fmt: skip


def associate_predictors(
    cohort: "Cohort | str | Path | pl.DataFrame | pd.DataFrame | Phenotypes",
    predictors: "str | Path | pl.DataFrame | pd.DataFrame | Phenotypes",
    model: AssociationModel,
    *,
    columns: Sequence[str] | None = None,
    sample_id: str | None = None,
    missing_codes: Sequence[str] | None = None,
    out: str | Path | None = None,
    executor: Executor | None = None,
    progress: Progress | None = None,
    audit: int | None = None,
    overwrite: bool = False,
) -> Results:
    """Test columns of numbers (activity scores, copies of HLA alleles, burdens) as if they were variants.

    Parameters
    ----------
    cohort : Cohort, or a table of phenotypes
        Who is analysed, with traits and covariates. Of a cohort its samples; its genotypes are not read.
    predictors : path, DataFrame or Phenotypes
        One row a sample, matched by id. Numbers of any scale.
    model : Linear, Logistic, Cox, Poisson or Ordinal
        Additive; missing values leave the sample out of the row, or take the mean (``missing="mean"``).
    columns : sequence of str, optional
        Predictors to test; all columns by default.
    sample_id : str, optional
        The column of ids of both tables; the other has the usual names where only one of them has it.
    missing_codes : optional
        Of ``predictors``, as of `genassoc.data.phenotypes.phenotypes.Phenotypes.read`.
    out, executor, progress, audit : optional
        As of `genassoc.verbs.association.associate`.
    overwrite : bool
        Replace other results that are at ``out``.

    Returns
    -------
    Results
        One row for each predictor x trait: ``variant_id`` is the predictor, ``beta`` the effect of one unit of it;
        chromosome, position, alleles, frequency and allele count are null.

    Raises
    ------
    TypeError, ValueError
        The model is another, or asks for what only genotypes have.
    PhenotypeError, SampleMismatchError
        A predictor is absent, no number or missing throughout; the samples do not match.
    """
    check_not_forked()
    _check_model(model)
    n_rows = check_rows(audit)
    people, table = tables_of(cohort, predictors, sample_id, missing_codes)
    aligned = predictor_cohort(people, table, columns)
    if out is not None:
        check_outputs([Path(out)], [*table.files, *people.files])
    results = associate(aligned, model, executor=executor, progress=progress)
    origin = inputs_of(cohort) if isinstance(cohort, Cohort) else {"phenotypes": origin_of(people)}
    record = {**results.provenance, "predictors": record_of(table, aligned, origin)}
    made = Results(_without_alleles(rows_by_unit(results.table, aligned)), record, aligned)
    made.provenance = audited(record, made, aligned, record["parameters"]["model"], n_rows)
    if out is None:
        return made
    made.write(out, overwrite=overwrite)
    return Results(Path(out), made.provenance, aligned)


def _check_model(model: object) -> None:
    check_model(model)
    if not isinstance(model, Choices):
        raise TypeError(f"associate_predictors takes a model ({', '.join(MODELS)}), not {type(model).__name__}")
    if model.genetic_model != "additive":
        raise ValueError(f"genetic_model='{model.genetic_model}' is of alleles; recode the predictor itself")
    if model.condition_on:
        raise ValueError("condition_on names variants; put the calls of the variant among the covariates instead")


def _without_alleles(table: pl.DataFrame) -> pl.DataFrame:
    """The table with null in the columns that only alleles have."""
    here = [name for name in _OF_ALLELES if name in table.columns]
    return table.with_columns(pl.lit(None, dtype=table.schema[name]).alias(name) for name in here)
