"""A row of results computed anew from its dense data by the test that its ``method`` names; see `genassoc.refit.fits`.

A method is a statistic and a variance: "wald_hc3" is Wald's test with HC3, "t" is Wald's of least squares. Families, weights, offsets
and tested columns are values here: what differs between families is said by their `Likelihood`.
"""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np

from genassoc.data.cohort.predictors import STEP
from genassoc.models.about import About
from genassoc.refit import fits
from genassoc.refit.conditional import steps_of_copy
from genassoc.refit.fits import Build, DenseFit, Likelihood, NotFittedError, Sandwich, by_normal_deviate, maximise
from genassoc.refit.mixed import mixed_test
from genassoc.refit.residual_law import residual_law_test
from genassoc.refit.row_data import LIKELIHOODS, TESTS, RowData
from genassoc.refit.tested_columns import JOINT, is_of_set, plain_test
from genassoc.shapes import BoolArray, Float64Array

_WHOLE = 1e-4  # of the squared lengths of a basis: its inverse loses four digits of sixteen at most
LAWS = ("exact", "dosage_law")  # of the outcome given the genotypes, or given dosages
_WALD = ("wald", "t", "f")


def methods_of(about: About) -> tuple[str, ...]:
    """Methods that have a dense twin."""
    return LIKELIHOODS[about.likelihood].methods


def can_refit(about: About, test: str, method: str | None, choices: Mapping[str, Any]) -> bool:
    """Whether a row has a dense twin: a saddlepoint p has none but in least squares, an exact one where it is of few carriers."""
    known = (
        *TESTS.get(str(choices.get("genetic_model", "additive")), ()),
        *(JOINT if choices.get("interaction") else ()),
    )
    test = plain_test(test) if choices.get("interaction") else test
    if is_of_set(test):
        return choices.get("alleles") == "joint" and method in methods_of(about)
    if method in LAWS:
        # of matched sets it is of the calls observed, and the data of a row that takes means are of all
        whole = LIKELIHOODS[about.likelihood].whole_null or choices.get("missing") != "mean"
        return test in known and whole and _law_is_of_events(about, choices)
    return test in known and method in methods_of(about)


def needs_everybody(about: About, method: str, choices: Mapping[str, Any]) -> bool:
    """Whether a row's test uses samples without a call too: their null, as it is or moved by a step, or their residuals."""
    likelihood = LIKELIHOODS[about.likelihood]
    if method in LAWS:
        return likelihood.whole_null and _law_is_of_events(about, choices)
    return (method == "score_approx" and not likelihood.screened) or (method == "spa" and likelihood.closed_form)


def _law_is_of_events(about: About, choices: Mapping[str, Any]) -> bool:
    """Whether an exact p is of the law of few events: of counts and sets, of weights and sandwiches; others have laws of few carriers."""
    exact = LIKELIHOODS[about.likelihood].exact
    sandwich = bool(choices.get("weights")) or choices.get("variance") in ("robust", "hc0")
    return not choices.get("interaction") and (exact == "always" or (exact == "sandwich" and sandwich))


def refit(row: RowData, test: str, method: str, choices: Mapping[str, Any]) -> DenseFit:
    """Fit a row as ``method`` says, by the unit of what is tested; of one that `needs_everybody` with the samples that lack a call.

    Raises
    ------
    NotFittedError
        It has no estimate: separated, collinear, or with too few samples.
    """
    row = replace(row, weight=row.weight / row.weight.mean())
    informative = row.likelihood.informative(row)
    found = _in_copies(row if informative.all() else row.take(informative), test, method, choices)
    if row.unit == 1.0:
        return found
    scaled = {name: getattr(found, name) / row.unit for name in ("beta", "standard_error", "standard_error_model")}
    return replace(found, **scaled)


def _in_copies(row: RowData, test: str, method: str, choices: Mapping[str, Any]) -> DenseFit:
    """Effects of one copy, or of half the range of a predictor."""
    if method in LAWS:
        return _exact(row, test, choices)
    if method == "spa":
        return residual_law_test(row.y - row.offset, row.X, row.G[:, 0], choices.get("missing") == "mean", row.weight)
    if row.relations is not None:
        return mixed_test(row.relations, row.y - row.offset, row.X, row.G[:, 0], method)
    build = build_of(row, choices)
    if np.isnan(row.G).any():
        return _one_step(row, test, choices)
    columns, statistic = row.columns_of(test), method.partition("_")[0]
    k, Q = columns.tested.shape[1], basis_of(row, columns.nuisance[:, :0] if statistic == "score" else columns.nuisance)
    near = row.null if Q is row.basis else None
    if method == "firth_approx":
        return _approximate_firth(row, choices, build, Q, near)
    own = columns.all_columns if statistic == "score" else columns.tested
    model = build(np.column_stack([Q, fits.beside(Q, within(row, own))]), row.offset)
    as_plink2 = choices.get("like") == "plink2"
    if as_plink2 and method in ("wald", "firth"):
        return fits.plink2_test(model, k, method == "firth", choices.get("genetic_model") == "genotypic")
    variance = method.partition("_")[2]
    if statistic in _WALD:
        return fits.wald_test(model, k, _sandwich(row, variance, k, choices) if variance else None)
    if statistic == "score":
        return fits.score_test(model, k, near, held=own.shape[1])
    if method in ("lrt", "firth"):
        firth = method == "firth"
        return fits.ratio_test(model, k, firth=firth, information_error=firth and choices.get("like") == "regenie")
    raise NotFittedError(f"'{method}' has no dense twin")


def _sandwich(row: RowData, variance: str, k: int, choices: Mapping[str, Any]) -> Sandwich:
    """The variance that a method's name ends with, and what its p is of."""
    power = int(variance == "hc3")
    if row.likelihood.closed_form:
        as_regenie = choices.get("like") == "regenie" and choices.get("variance", "auto") == "auto"
        plain = as_regenie if power else k == 1 and not choices.get("interaction")
        return Sandwich(power, "residual" if plain else "satterthwaite")
    normal = row.likelihood.normal_hc3 and power and not choices.get("weights")
    return Sandwich(power, "none" if normal else "satterthwaite")


# columns -------------------------------------------------------------------------------------------------------------------


def build_of(row: RowData, choices: Mapping[str, Any]) -> Build:
    """``build(D, offset)``: the likelihood of the row's outcome."""

    def build(D: Float64Array, offset: Float64Array) -> Likelihood:
        return row.likelihood.of(D, replace(row, offset=offset), choices)

    return build


def within(row: RowData, columns: Float64Array) -> Float64Array:
    """Columns (n, k) as the likelihood sees them: less their means in strata where it has no constant."""
    if row.likelihood.constant:
        return columns
    return fits.within_sets(columns, np.zeros(row.n, np.int64) if row.stratum is None else row.stratum)


def basis_of(row: RowData, nuisance: Float64Array) -> Float64Array:
    """A basis of covariates and ``nuisance``: without any the trait's, unless the samples that are not here carried a part of it."""
    if not row.likelihood.constant:
        return fits.independent(within(row, np.column_stack([row.X, nuisance])))
    if row.basis is not None:
        lengths = np.linalg.eigvalsh(row.basis.T @ row.basis)
        if lengths[0] > _WHOLE * lengths[-1]:
            return row.basis if not nuisance.size else _with_column(fits.independent(row.basis), nuisance[:, 0])
    return fits.independent(np.column_stack([row.X, nuisance]))


def _with_column(Q: Float64Array, column: Float64Array) -> Float64Array:
    """An orthonormal basis Q (n, rank) and what a column (n,) adds to it, unless that is rounding."""
    left = column - Q @ (Q.T @ column)
    left = left - Q @ (Q.T @ left)
    length, whole = float(np.sqrt(left @ left)), float(np.sqrt(column @ column))
    return Q if length <= 1e-10 * whole else np.column_stack([Q, left / length])


# tests of one column with a null of their own ------------------------------------------------------------------------------------


def _one_step(row: RowData, test: str, choices: Mapping[str, Any]) -> DenseFit:
    """The score test of the samples with a call, by the null of all of them and one Newton step."""
    keep: BoolArray = np.asarray(~np.isnan(row.G).any(axis=1))
    columns = row.columns_of(test)
    Q, own = basis_of(row, np.empty((row.n, 0))), columns.all_columns
    D = np.column_stack([Q, np.where(keep[:, None], own, 0.0)])
    observed = build_of(row.take(keep), choices)(D[keep], row.offset[keep])
    near = row.null if Q is row.basis else None
    model = build_of(row, choices)(D, row.offset)
    return fits.score_test(model, columns.tested.shape[1], near, observed, held=own.shape[1])


def _approximate_firth(
    row: RowData, choices: Mapping[str, Any], build: Build, Q: Float64Array, near: Float64Array | None
) -> DenseFit:
    """Firth's test of g alone, of the rarer allele, whose carriers are few."""
    g, as_regenie = row.G[:, 0], choices.get("like") == "regenie"
    flip = -1.0 if g.sum() > row.n else 1.0
    rarer = 2.0 - g if flip < 0 else g
    found = fits.approximate_firth_test(
        build, Q, rarer, row.offset, carriers=as_regenie and rarer.sum() < fits.SPARSE, information_error=as_regenie, near=near
    )  # fmt: skip
    return replace(found, beta=flip * found.beta)


def _exact(row: RowData, test: str, choices: Mapping[str, Any]) -> DenseFit:
    """The estimate of the samples with a call, and p by the law of their events under the null of all samples."""
    likelihood = row.likelihood
    if choices.get("missing") == "mean":
        row = replace(row, G=np.where(np.isfinite(row.G), row.G, np.nanmean(row.G[:, 0])))
    observed = np.isfinite(row.G[:, 0])
    # The law is of the rarer allele's copies, twice what is tested of indicators and where one copy is all there is.
    indicator = choices.get("genetic_model", "additive") != "additive"
    unit = 2.0 if indicator or np.array_equal(row.copies[observed], 2.0 * row.G[observed, 0]) else 1.0
    g = unit * row.G[observed, 0]
    common = bool(g.sum() > g.size)
    g = 2.0 - g if common else g
    if not likelihood.whole_null:
        grid = steps_of_copy(g)
        g = np.rint(g * grid)
        tested = row.G.copy()
        tested[observed, 0] = (2.0 - g / grid if common else g / grid) / unit
        row = replace(row, G=tested)
    robust = [method for method in likelihood.methods if method in ("wald_robust", "wald_hc3", "wald_hc0")]
    if choices.get("variance") == "hc0":
        robust = [method for method in robust if method != "wald_hc3"]
    sandwich = bool(choices.get("weights")) or choices.get("variance") in ("robust", "hc0")
    found = _in_copies(row.take(observed), test, robust[0] if sandwich else "lrt", choices)
    null = build_of(row, choices)(basis_of(row, np.empty((row.n, 0))), row.offset)
    at = maximise(null)[0] if null.D.shape[1] else np.zeros(0)
    return by_normal_deviate(found, null.law_of_events(at, g, observed))


def rounding_of(row: RowData) -> float:
    """How far rounding a predictor to its steps may move beta, in standard errors; 0 of variants.

    Four standard deviations of independent uniform errors of a step, beside what the covariates leave of the predictor.
    """
    if row.predictor is None:
        return 0.0
    keep = np.isfinite(row.G[:, 0])
    g = row.G[keep, 0]
    Q = fits.independent(row.X[keep])
    spread = float(np.sqrt(((g - Q @ (Q.T @ g)) ** 2).mean()))
    return 4.0 * STEP / np.sqrt(12.0) / spread if spread > 0.0 else np.inf
