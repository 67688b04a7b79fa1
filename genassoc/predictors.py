"""Association of predictors that are not variants, through the same models."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import polars as pl

from genassoc.api import associate
from genassoc.data.arguments import check_model
from genassoc.data.cohort import Cohort
from genassoc.data.output import check_outputs
from genassoc.data.phenotypes import Phenotypes
from genassoc.data.predictors import PredictorStore
from genassoc.engine.executors import Executor
from genassoc.methods.base import AssociationModel
from genassoc.methods.genotype_choices import GenotypeChoices
from genassoc.methods.registry import MODELS
from genassoc.progress import Progress
from genassoc.results import Results

if TYPE_CHECKING:
    import pandas as pd

_EFFECTS = ("beta", "standard_error", "ci_lower", "ci_upper", "standard_error_model")
_OF_ALLELES = (
    "chromosome", "base_pair_location", "effect_allele", "other_allele", "effect_allele_frequency", "mac",
    "effect_allele_frequency_cases", "effect_allele_frequency_controls", "effect_allele_frequency_events",
)  # fmt: skip
_CODES = {"monomorphic": "constant_predictor", "constant_genotype": "constant_predictor"}


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
    sample_id, missing_codes : optional
        Of ``predictors``, as of `genassoc.data.phenotypes.Phenotypes.read`.
    out, executor, progress : optional
        As of `genassoc.api.associate`.

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
    _check_model(model)
    table = Phenotypes.read(predictors, sample_id=sample_id, missing_codes=missing_codes)
    people = _phenotypes(cohort)
    store: Any = PredictorStore.of(table, columns)
    aligned = Cohort.align(store, people)
    if aligned.n_samples < table.table.height:
        rows = np.asarray(aligned.sample_index)
        store = PredictorStore.of(table, columns, rows)
        aligned = Cohort.align(store, people)
    if out is not None:
        check_outputs([Path(out)], [*table.files, *people.files])
    results = associate(aligned, model, executor=executor, progress=progress)
    frame = _rows(results.table, store)
    record = {**results.provenance, "predictors": {"source": table.source, "fingerprint": store.fingerprint}}
    made = Results(frame, record)
    if out is None:
        return made
    made.write(out)
    return Results(Path(out), record)


def _check_model(model: Any) -> None:
    check_model(model)
    if not isinstance(model, GenotypeChoices):
        raise TypeError(f"associate_predictors takes a model ({', '.join(MODELS)}), not {type(model).__name__}")
    if model.genetic_model != "additive":
        raise ValueError(f"genetic_model='{model.genetic_model}' is of alleles; recode the predictor itself")
    if model.condition_on:
        raise ValueError("condition_on names variants; put the calls of the variant among the covariates instead")


def _phenotypes(cohort: Any) -> Phenotypes:
    """The table of the samples analysed."""
    if not isinstance(cohort, Cohort):
        return Phenotypes.read(cohort)
    own = cohort.phenotypes
    rows = np.asarray(cohort.rows)
    lines = None if own.lines is None else own.lines[rows]
    return Phenotypes(own.table[rows], own.sample_id, own.source, own.missing_codes, lines, own.declared, own.files)


def _rows(table: pl.DataFrame, store: PredictorStore) -> pl.DataFrame:
    """The rows by predictor, effects by its unit: a dosage of 2 is the range."""
    wide = store.widths[table["base_pair_location"].to_numpy() - 1]
    units = pl.Series("units", 2.0 / np.where(wide > 0, wide, 1.0))
    nothing = [pl.lit(None, dtype=table.schema[name]).alias(name) for name in _OF_ALLELES if name in table.columns]
    return table.with_columns(
        pl.col("rsid").alias("variant_id"),
        pl.lit(None, dtype=pl.String).alias("rsid"),
        pl.col("code").replace(_CODES),
        *[pl.col(name) * units for name in _EFFECTS if name in table.columns],
        *nothing,
    )
