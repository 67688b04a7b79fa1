"""Linear rows whose variance relatives made too large or too small: chi-squared divided by what a whole-genome regression found."""

from pathlib import Path

import numpy as np
import polars as pl

from genassoc.data.cohort.contigs import chromosome_of
from genassoc.data.forks import check_not_forked
from genassoc.data.phenotypes.offsets import prediction_digest
from genassoc.errors import OutputError, PhenotypeError
from genassoc.results import P_VALUE, Results
from genassoc.shapes import BoolArray
from genassoc.stats.tails import neg_log_10_p_z, z_from_neg_log_10_p
from genassoc.verbs.adjustment import with_columns
from genassoc.verbs.whole_genome import WholeGenomePredictions

CALIBRATED = "neg_log_10_p_calibrated"


def calibrate(
    results: Results,
    predictions: WholeGenomePredictions,
    *,
    out: str | Path | None = None,
    overwrite: bool = False,
) -> Results:
    """Add p of linear rows whose chi-squared is divided by the factor of their trait.

    Parameters
    ----------
    results : Results
        Of `Linear`, with ``predictions`` as offsets.
    predictions : WholeGenomePredictions
        Fitted with ``relatives=``: the factor is what relatives make of the variance of the tests, ``e' Phi e / e'e`` of the residuals.
    out, overwrite
        As of `genassoc.adjust`.

    Returns
    -------
    Results
        The rows in their order, with ``neg_log_10_p_calibrated``. Only rows of the plain t test of additive dosages on autosomes have one: a
        factor on chi-squared does not carry to the laws of few carriers, to X, other genetic models and interactions, whose relatives share
        otherwise, nor to logistic, Cox or any other models.

    Raises
    ------
    PhenotypeError
        The predictions have no factor of a trait; the results are of no linear model, or were computed without these predictions as offsets, or
        in other samples than those that were fitted.
    OutputError
        As of `genassoc.adjust`.
    """
    check_not_forked()
    names = results.scan().collect_schema().names()
    if CALIBRATED in names:
        raise OutputError(f"these results have a column {CALIBRATED} already; calibrate the results it was made of")
    if predictions.outcome != "quantitative":
        raise PhenotypeError(
            f"the predictions are of {predictions.outcome} traits: a factor on chi-squared is of linear rows only, and does not carry to others"
        )
    factors = dict(predictions.summary.select("trait", "factor").drop_nulls().iter_rows())
    columns = ["trait", "method", "test", "chromosome", P_VALUE]
    table = results.scan().select(*(name for name in columns if name in names)).collect()
    if "method" not in names or not (table["method"].cast(pl.String) == "t").any():
        raise PhenotypeError("no row of these results is a t test of a linear model: there is nothing to calibrate")
    absent = sorted(set(table["trait"].cast(pl.String).unique().to_list()) - set(factors))
    if absent or not predictions.provenance.get("relatives"):
        what = f"of {', '.join(absent)}" if absent else "(they were fitted without relatives=)"
        raise PhenotypeError(
            f"the predictions have no factor {what}: fit them with fit_whole_genome(..., relatives=genassoc.kinship(cohort))"
        )
    _check_offsets(results, predictions)
    factor = table["trait"].cast(pl.String).replace_strict(factors, return_dtype=pl.Float64).to_numpy()
    p = table[P_VALUE].cast(pl.Float64).fill_null(float("nan")).to_numpy()
    plain = _is_plain(results, table, predictions) & ~np.isnan(p)
    values = np.full(p.size, np.nan)
    values[plain] = neg_log_10_p_z(z_from_neg_log_10_p(p[plain]) / np.sqrt(factor[plain]))
    record = {**results.provenance, "calibrated": {"factors": factors, "rows": int(plain.sum())}}
    return with_columns(results, {CALIBRATED: values}, record, out, overwrite)


def _check_offsets(results: Results, predictions: WholeGenomePredictions) -> None:
    """Refuse results whose record does not hold these predictions as offsets, sample by sample."""
    recorded = results.provenance.get("inputs", {}).get("offsets", {}).get("predictions", {})
    for trait in results.scan().select(pl.col("trait").cast(pl.String)).unique().collect()["trait"]:
        keys = [None, *predictions.chromosomes]
        own = {prediction_digest(predictions.loco(trait, key)) for key in keys}
        found = set(recorded.get(trait, ()))
        if not found or not found <= own:
            why = "other offsets, or other samples than were fitted" if found else "no offsets of it in their record"
            raise PhenotypeError(
                f"{trait}: the factor is that of tests with these predictions as offsets, and the results have {why}: run associate(cohort, "
                "model, offsets=predictions) with the cohort of fit_whole_genome, and calibrate that"
            )


def _is_plain(results: Results, table: pl.DataFrame, predictions: WholeGenomePredictions) -> BoolArray:
    """Rows that the factor is of: t tests of additive dosages on autosomes, bool (rows,)."""
    model = results.provenance.get("parameters", {}).get("model", {})
    if model.get("genetic_model") != "additive" or model.get("interaction") is not None:
        return np.zeros(table.height, dtype=bool)
    names = table["chromosome"].cast(pl.String).unique().drop_nulls().to_list()
    fitted = set(predictions.chromosomes.values())
    autosomes = [name for name in names if name in fitted or (chromosome_of(name) or "").isdecimal()]
    rows = table.select(
        (pl.col("method").cast(pl.String) == "t")
        & (pl.col("test").cast(pl.String) == "add")
        & pl.col("chromosome").cast(pl.String).is_in(autosomes)
    )
    return rows.to_series().fill_null(False).to_numpy()
