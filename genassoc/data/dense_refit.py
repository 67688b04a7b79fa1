"""A row of results computed anew from its dense data by the test that its ``method`` names; see `genassoc.stats.dense`."""

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from genassoc.data.row_data import TESTS, RowData
from genassoc.shapes import Float64Array
from genassoc.stats import dense
from genassoc.stats.dense import DenseFit, Likelihood, NotFittedError
from genassoc.stats.dense_likelihoods import Binary, Counts, Hazards, Levels

_WHOLE = 1e-4  # of the squared lengths of a basis: its inverse loses four digits of sixteen at most
_SPARSE = 50  # REGENIE's approximate Firth below this many minor alleles
_LIKELIHOOD_TESTS = ("score", "score_approx", "wald", "lrt")
METHODS = {
    "linear": ("t", "f", "score"),
    "logistic": (*_LIKELIHOOD_TESTS, "firth", "firth_approx"),
    "cox": (*_LIKELIHOOD_TESTS, "firth", "firth_approx"),
    "poisson": _LIKELIHOOD_TESTS,
    "ordinal": _LIKELIHOOD_TESTS,
}


def can_refit(kind: str, test: str, method: str | None, choices: Mapping[str, Any]) -> bool:
    """Whether a row has a dense twin: exact and saddlepoint p, and two degrees of freedom but linear ones, have none."""
    model = str(choices.get("genetic_model", "additive"))
    known = test in TESTS.get(model, ()) and method in METHODS.get(kind, ())
    return known and (model != "genotypic" or kind == "linear")


def refit(row: RowData, test: str, method: str, choices: Mapping[str, Any]) -> DenseFit:
    """Fit a row as ``method`` says; of one that `needs_everybody` with the samples that lack a call.

    Raises
    ------
    NotFittedError
        It has no estimate: separated, collinear, or with too few samples.
    """
    if row.kind == "linear":
        return _linear(row, test, method)
    if np.isnan(row.G).any():
        return _one_step(row, choices)
    build, X = likelihood_of(row, choices)
    g = row.G[:, 0]
    model = build(np.column_stack([X, g]), row.offset)
    like = choices.get("like")
    if method in ("score", "score_approx"):
        return dense.score_test(model, _dispersion(model, choices), _near(row, X))
    df = float(row.n - X.shape[1] - 1) if _quasi(row, choices) else None
    if method == "wald":
        return dense.wald_test(model, _dispersion(model, choices), df)
    if method == "lrt":
        return dense.likelihood_ratio_test(model, _dispersion(model, choices), df)
    if method == "firth":
        if like == "plink2":
            return dense.plink2_firth_test(model)  # type: ignore[arg-type]
        return dense.firth_test(model, like == "regenie")
    if method != "firth_approx":
        raise NotFittedError(f"'{method}' has no dense twin")
    flip = -1.0 if g.sum() > row.n else 1.0  # of the rarer allele, whose carriers are few
    rarer = 2.0 - g if flip < 0 else g
    found = dense.approximate_firth_test(
        build, X, rarer, row.offset, penalised_null=row.kind == "logistic",
        carriers=like == "regenie" and rarer.sum() < _SPARSE, information_error=like == "regenie",
        near=_near(row, X),
    )  # fmt: skip
    return DenseFit(flip * found.beta, found.standard_error, found.neg_log_10_p, found.standard_error_model)


def needs_everybody(kind: str, method: str) -> bool:
    """Whether a row's test uses the null of samples without a call too, moved by one Newton step."""
    return method == "score_approx" and kind != "cox"


def _one_step(row: RowData, choices: Mapping[str, Any]) -> DenseFit:
    keep = ~np.isnan(row.G[:, 0])
    build, X = likelihood_of(row, choices)
    everybody = build(np.column_stack([X, np.where(keep, row.G[:, 0], 0.0)]), row.offset)
    part, _ = likelihood_of(row.take(keep), choices)
    observed = part(np.column_stack([X, row.G[:, 0]])[keep], row.offset[keep])
    return dense.score_test_after_one_step(everybody, observed, _dispersion(everybody, choices), _near(row, X))


def likelihood_of(
    row: RowData, choices: Mapping[str, Any]
) -> tuple[Callable[[Float64Array, Float64Array | float], Likelihood], Float64Array]:
    """``build(D, offset)`` of the row's outcome, and a basis of its covariates (n, rank): with a constant where one counts."""
    y = row.y
    if row.kind in ("cox", "ordinal"):
        X = row.X[:, 1:]
        centred = X - X.mean(axis=0)
        basis = dense.independent(centred) if centred.any() else np.zeros((row.n, 0))
        if row.kind == "ordinal":
            return (lambda D, offset: Levels(D, y.astype(np.int64))), basis
        time, entry, stratum = row.time, row.entry, row.stratum
        assert time is not None and entry is not None and stratum is not None
        efron = choices.get("ties", "efron") == "efron"
        return (lambda D, offset: Hazards(D, time, y, entry, stratum, efron, offset)), basis
    make = Counts if row.kind == "poisson" else Binary
    return (lambda D, offset: make(D, y, offset)), _basis(row)


def _basis(row: RowData) -> Float64Array:
    """A basis of the covariates of these samples: the trait's, unless the samples that are not here carried a part of it."""
    if row.basis is not None:
        lengths = np.linalg.eigvalsh(row.basis.T @ row.basis)
        if lengths[0] > _WHOLE * lengths[-1]:
            return row.basis
    return dense.independent(row.X)


def _near(row: RowData, X: Float64Array) -> Float64Array | None:
    """The trait's null, where X is its basis."""
    return row.null if X is row.basis else None


def _quasi(row: RowData, choices: Mapping[str, Any]) -> bool:
    return row.kind == "poisson" and choices.get("dispersion", "quasi") == "quasi"


def _dispersion(model: Likelihood, choices: Mapping[str, Any]) -> Callable[[Float64Array, int], float] | None:
    if isinstance(model, Counts) and choices.get("dispersion", "quasi") == "quasi":
        return lambda beta, P: model.dispersion(beta[: model.D.shape[1]], P)
    return None


def _linear(row: RowData, test: str, method: str) -> DenseFit:
    X = _basis(row)
    if method == "f":
        return dense.joint_f_test(row.y, X, row.G)
    if method == "score":
        return dense.chi_squared_of_null(row.y, X, row.G[:, 0])
    return dense.least_squares(row.y, X, row.G)[1 if test == "domdev" else 0]
