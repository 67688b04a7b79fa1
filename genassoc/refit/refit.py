"""A row of results computed anew from its dense data by the test that its ``method`` names; see `genassoc.refit.dense`."""

from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

import numpy as np

from genassoc.data.cohort.predictors import STEP
from genassoc.refit import dense, dense_few_events, dense_joint, dense_sandwich
from genassoc.refit.dense import Build, DenseFit, Likelihood, NotFittedError
from genassoc.refit.dense_conditional import Conditional, case_shares, exact_conditional_test, within_sets
from genassoc.refit.dense_likelihoods import Binary, Counts, Hazards, Levels
from genassoc.refit.dense_residual_law import residual_law_test
from genassoc.refit.row_data import TESTS, RowData
from genassoc.refit.tested_columns import JOINT, TestedColumns, plain_test
from genassoc.shapes import BoolArray, Float64Array
from genassoc.stats.information import effective_size, whole_sizes

_WHOLE = 1e-4  # of the squared lengths of a basis: its inverse loses four digits of sixteen at most
_SPARSE = 50  # REGENIE's approximate Firth below this many minor alleles
_LIKELIHOOD_TESTS = ("score", "score_approx", "wald", "lrt")
METHODS = {
    "linear": ("t", "f", "score", "spa", "t_hc3", "f_hc3", "t_hc0"),
    "logistic": (*_LIKELIHOOD_TESTS, "firth", "firth_approx", "wald_hc3", "wald_hc0"),
    "cox": (*_LIKELIHOOD_TESTS, "firth", "firth_approx", "wald_robust"),
    "poisson": _LIKELIHOOD_TESTS,
    "ordinal": _LIKELIHOOD_TESTS,
}
_OF_SETS = ("score", "wald", "lrt", "exact")
_SANDWICHES = ("t_hc0", "wald_hc0", "wald_robust")


def methods_of(kind: str, choices: Mapping[str, Any]) -> tuple[str, ...]:
    """Methods that have a dense twin."""
    return _OF_SETS if choices.get("matched") else METHODS.get(kind, ())


def can_refit(kind: str, test: str, method: str | None, choices: Mapping[str, Any]) -> bool:
    """Whether a row has a dense twin: saddlepoint p but of linear rows have none, exact ones but of matched sets neither."""
    known = TESTS.get(str(choices.get("genetic_model", "additive")), ())
    if method == "exact" and choices.get("matched") and choices.get("missing") == "mean":
        return False  # it is of the calls observed, the data of a row are of all
    if method == "exact" and _is_of_few_events(kind, choices):
        return test in known
    if choices.get("interaction"):
        return (plain_test(test) in known or test in JOINT) and method in methods_of(kind, choices)
    return test in known and method in methods_of(kind, choices)


def refit(row: RowData, test: str, method: str, choices: Mapping[str, Any]) -> DenseFit:
    """Fit a row as ``method`` says, by the unit of what is tested; of one that `needs_everybody` with the samples that lack a call.

    Raises
    ------
    NotFittedError
        It has no estimate: separated, collinear, or with too few samples.
    """
    found = _in_copies(row, test, method, choices)
    if row.unit == 1.0:
        return found
    scaled = {name: getattr(found, name) / row.unit for name in ("beta", "standard_error", "standard_error_model")}
    return replace(found, **scaled)


def _in_copies(row: RowData, test: str, method: str, choices: Mapping[str, Any]) -> DenseFit:
    """Effects of one copy, or half the range of a predictor."""
    columns = row.columns_of(test)
    if method == "exact" and _is_of_few_events(row.kind, choices):
        return _of_few_events(row, choices)
    if row.kind == "linear" and method == "spa":
        return residual_law_test(row.y, row.X, columns.tested[:, 0], choices.get("missing") == "mean", row.weight)
    if row.weight is not None or method in _SANDWICHES:
        return _sandwich(row, columns, method, choices)
    if row.is_matched:
        return _of_sets(row, columns, method)
    if row.kind == "linear":
        return _linear(row, columns, method, choices)
    if np.isnan(row.G).any():
        return _one_step(row, choices)
    build, X = likelihood_of(row, choices, columns.nuisance)
    if columns.tested.shape[1] == 2:
        model = build(np.column_stack([X, columns.tested]), row.offset)
        return _joint(model, method, choices)
    if method == "firth_approx":
        return _approximate_firth(row, choices, build, X)
    model = build(np.column_stack([X, columns.tested[:, 0]]), row.offset)
    if method in ("score", "score_approx"):
        return dense.score_test(model, _dispersion(model, choices), _near(row, X))
    return _one(model, method, choices, float(row.n - X.shape[1] - 1) if _quasi(row, choices) else None)


def _one(model: Likelihood, method: str, choices: Mapping[str, Any], df: float | None) -> DenseFit:
    """A test of the last coefficient with it in the fit."""
    if _as_plink2(method, choices) and isinstance(model, Binary):
        return dense_joint.plink2_test(model, 1, method == "firth", False)
    if method == "wald":
        return dense.wald_test(model, _dispersion(model, choices), df)
    if method == "lrt":
        return dense.likelihood_ratio_test(model, _dispersion(model, choices), df)
    if method == "wald_hc3" and isinstance(model, Binary):
        return dense_joint.robust_wald_test(model, 1)
    if method == "firth":
        return dense.firth_test(model, choices.get("like") == "regenie")
    raise NotFittedError(f"'{method}' has no dense twin")


def _as_plink2(method: str, choices: Mapping[str, Any]) -> bool:
    return choices.get("like") == "plink2" and method in ("wald", "firth")


def _joint(model: Likelihood, method: str, choices: Mapping[str, Any]) -> DenseFit:
    """A test of the last two coefficients."""
    if _as_plink2(method, choices) and isinstance(model, Binary):
        return dense_joint.plink2_test(model, 2, method == "firth", choices.get("genetic_model") == "genotypic")
    if method == "wald":
        return dense_joint.joint_wald_test(model)
    if method == "wald_hc3" and isinstance(model, Binary):
        return dense_joint.robust_wald_test(model, 2)
    if method in ("lrt", "firth"):
        return dense_joint.joint_ratio_test(model, penalised=method == "firth")
    raise NotFittedError(f"'{method}' of two degrees of freedom has no dense twin")


def _approximate_firth(row: RowData, choices: Mapping[str, Any], build: Build, X: Float64Array) -> DenseFit:
    """Firth's test of g alone, of the rarer allele, whose carriers are few."""
    g, like = row.G[:, 0], choices.get("like")
    flip = -1.0 if g.sum() > row.n else 1.0
    rarer = 2.0 - g if flip < 0 else g
    found = dense.approximate_firth_test(
        build, X, rarer, row.offset, penalised_null=row.kind == "logistic",
        carriers=like == "regenie" and rarer.sum() < _SPARSE, information_error=like == "regenie",
        near=_near(row, X),
    )  # fmt: skip
    return DenseFit(flip * found.beta, found.standard_error, found.neg_log_10_p, found.standard_error_model)


def rounding_of(row: RowData) -> float:
    """How far rounding a predictor to its steps may move beta, in standard errors; 0 of variants.

    Four standard deviations of independent uniform errors of a step, beside what the covariates leave of the predictor.
    """
    if row.predictor is None:
        return 0.0
    keep = np.isfinite(row.G[:, 0])
    g = row.G[keep, 0]
    Q = dense.independent(row.X[keep])
    spread = float(np.sqrt(((g - Q @ (Q.T @ g)) ** 2).mean()))
    return 4.0 * STEP / np.sqrt(12.0) / spread if spread > 0.0 else np.inf


def needs_everybody(kind: str, method: str, choices: Mapping[str, Any]) -> bool:
    """Whether a row's test uses samples without a call too: their null, as it is or moved by a step, or their residuals."""
    if method == "exact":
        return _is_of_few_events(kind, choices)
    return (method == "score_approx" and kind != "cox") or (method == "spa" and kind == "linear")


def _is_of_few_events(kind: str, choices: Mapping[str, Any]) -> bool:
    """Whether an exact p is of the law of few events: of counts, weights and robust variances; others have laws of few carriers."""
    if choices.get("interaction") or choices.get("matched"):
        return False
    sandwich = bool(choices.get("weights")) or choices.get("variance") in ("robust", "hc0")
    return kind == "poisson" or (kind in ("logistic", "cox") and sandwich)


def _of_few_events(row: RowData, choices: Mapping[str, Any]) -> DenseFit:
    """The estimate of the samples with a call, and p by the law of their events under the null of all samples."""
    if choices.get("missing") == "mean":
        row = replace(row, G=np.where(np.isfinite(row.G), row.G, np.nanmean(row.G[:, 0])))
    observed = np.isfinite(row.G[:, 0])
    method = {"cox": "wald_robust", "logistic": "wald_hc0" if choices.get("variance") == "hc0" else "wald_hc3"}
    below = method.get(row.kind, "lrt")
    found = _in_copies(row.take(observed), "add", below, choices)
    weight = np.ones(row.n) if row.weight is None else row.weight
    g = dense_few_events.in_steps(row.G[observed, 0])
    if row.kind == "cox":
        logp = _of_hazards(row, choices, observed, g, weight)
    else:
        build, X = likelihood_of(row, choices, np.empty((row.n, 0)))
        if row.weight is not None and row.kind == "logistic":
            at = dense.maximise(dense_sandwich.WeightedBinary(X, row.y, weight / weight.mean()))[0]
        elif row.weight is not None:
            raise NotFittedError("counts with sampling weights have no dense twin")
        else:
            at = dense.maximise(build(X, row.offset))[0]
        eta = X @ at + row.offset
        logp = _of_outcomes(row, observed, g, weight, eta)
    z = dense_few_events.size_of_z(logp)
    error = abs(found.beta) / z if z > 0.0 else found.standard_error_model
    return replace(found, neg_log_10_p=logp, standard_error=error)


def _of_outcomes(row: RowData, observed: BoolArray, g: Float64Array, weight: Float64Array, eta: Float64Array) -> float:
    """Of counts, or of the rarer of cases and controls, by the null's linear predictor eta (n,)."""
    events, odds = row.y * weight, np.exp(eta)
    single = row.weight is None and row.y.max() <= 1.0
    if row.kind == "logistic":
        against = weight * (1.0 - row.y)
        if effective_size(against) < effective_size(events):
            events, odds = against, np.exp(-eta)
        odds = odds if single else weight * odds / (1.0 + odds)
    sizes, odds = whole_sizes(events)[observed], odds[observed]
    there = sizes > 0.0
    if single and (g <= 2.0).all():
        return dense_few_events.neg_log_10_p_of_sets(g, odds, there)
    shares = np.repeat(dense_few_events.shares_of(g, odds), int(there.sum()), axis=0)
    return dense_few_events.neg_log_10_p_of_draws(g, shares, sizes[there], float(g @ sizes))


def _of_hazards(
    row: RowData, choices: Mapping[str, Any], observed: BoolArray, g: Float64Array, weight: Float64Array
) -> float:
    """Of times to an event, which each fall on somebody at risk."""
    time, entry, stratum = row.time, row.entry, row.stratum
    assert time is not None and entry is not None and stratum is not None
    X = within_sets(row.X, stratum)
    basis = dense.independent(X) if X.any() else np.zeros((row.n, 0))
    efron = choices.get("ties", "efron") == "efron"
    eta = np.zeros(row.n)
    if basis.shape[1]:
        model = dense_sandwich.WeightedHazards(basis, time, row.y, entry, stratum, weight / weight.mean(), efron)
        eta = basis @ dense.maximise(model)[0]
    sizes = whole_sizes(row.y * weight)[observed]
    died = np.flatnonzero(sizes > 0.0)
    at_risk = dense_few_events.at_risk_at(time[observed], entry[observed], stratum[observed], died)
    shares = dense_few_events.shares_of(g, (weight * np.exp(eta - eta.max()))[observed], at_risk)
    return dense_few_events.neg_log_10_p_of_draws(g, shares, sizes[died], float(g @ sizes))


def _one_step(row: RowData, choices: Mapping[str, Any]) -> DenseFit:
    keep = ~np.isnan(row.G[:, 0])
    build, X = likelihood_of(row, choices, np.empty((row.n, 0)))
    everybody = build(np.column_stack([X, np.where(keep, row.G[:, 0], 0.0)]), row.offset)
    part, _ = likelihood_of(row.take(keep), choices, np.empty((int(keep.sum()), 0)))
    observed = part(np.column_stack([X, row.G[:, 0]])[keep], row.offset[keep])
    return dense.score_test_after_one_step(everybody, observed, _dispersion(everybody, choices), _near(row, X))


def likelihood_of(row: RowData, choices: Mapping[str, Any], nuisance: Float64Array) -> tuple[Build, Float64Array]:
    """``build(D, offset)`` of the row's outcome, and a basis of covariates and ``nuisance`` (n, rank): with a constant where one counts."""
    y = row.y
    if row.kind in ("cox", "ordinal"):
        X = np.column_stack([row.X[:, 1:], nuisance])
        centred = X - X.mean(axis=0)
        basis = dense.independent(centred) if centred.any() else np.zeros((row.n, 0))
        if row.kind == "ordinal":
            return (lambda D, offset: Levels(D, y.astype(np.int64))), basis
        time, entry, stratum = row.time, row.entry, row.stratum
        assert time is not None and entry is not None and stratum is not None
        efron = choices.get("ties", "efron") == "efron"
        return (lambda D, offset: Hazards(D, time, y, entry, stratum, efron, offset)), basis
    make = Counts if row.kind == "poisson" else Binary
    return (lambda D, offset: make(D, y, offset)), _basis(row, nuisance)


def _basis(row: RowData, nuisance: Float64Array) -> Float64Array:
    """A basis of covariates and ``nuisance``: without any the trait's, unless the samples that are not here carried a part of it."""
    if row.basis is not None:
        lengths = np.linalg.eigvalsh(row.basis.T @ row.basis)
        if lengths[0] > _WHOLE * lengths[-1]:
            return row.basis if not nuisance.size else _with_column(dense.independent(row.basis), nuisance[:, 0])
    return dense.independent(np.column_stack([row.X, nuisance]))


def _with_column(Q: Float64Array, column: Float64Array) -> Float64Array:
    """An orthonormal basis Q (n, rank) and what a column (n,) adds to it, unless that is rounding."""
    left = column - Q @ (Q.T @ column)
    left = left - Q @ (Q.T @ left)
    length, whole = float(np.sqrt(left @ left)), float(np.sqrt(column @ column))
    return Q if length <= 1e-10 * whole else np.column_stack([Q, left / length])


def _near(row: RowData, X: Float64Array) -> Float64Array | None:
    """The trait's null, where X is its basis."""
    return row.null if X is row.basis else None


def _quasi(row: RowData, choices: Mapping[str, Any]) -> bool:
    return row.kind == "poisson" and choices.get("dispersion", "quasi") == "quasi"


def _dispersion(model: Likelihood, choices: Mapping[str, Any]) -> Callable[[Float64Array, int], float] | None:
    if isinstance(model, Counts) and choices.get("dispersion", "quasi") == "quasi":
        return lambda beta, P: model.dispersion(beta[: model.D.shape[1]], P)
    return None


def _linear(row: RowData, columns: TestedColumns, method: str, choices: Mapping[str, Any]) -> DenseFit:
    X, G = _basis(row, columns.nuisance), columns.tested
    if method == "f":
        return dense.joint_f_test(row.y, X, G)
    if method == "score":
        return dense.chi_squared_of_null(row.y, X, G[:, 0])
    if method in ("t_hc3", "f_hc3"):
        as_regenie = choices.get("like") == "regenie" and choices.get("variance", "auto") == "auto"
        return dense_joint.robust_least_squares(row.y, X, G, few=not as_regenie)
    return dense.least_squares(row.y, X, G)[0]


def _sandwich(
    row: RowData, columns: TestedColumns, method: str, choices: Mapping[str, Any]
) -> dense_sandwich.SandwichFit:
    """Sampling weights, of mean 1 (all 1 where there are none), and the variance that ``method`` names."""
    if columns.nuisance.size or columns.tested.shape[1] != 1:
        raise NotFittedError("sampling weights and their variances are of one column here")
    weight = np.ones(row.n) if row.weight is None else row.weight / row.weight.mean()
    g, hc3 = columns.tested[:, 0], method.endswith("hc3")
    if row.kind == "linear":
        return dense_sandwich.weighted_least_squares(row.y, _basis(row, columns.nuisance), g, weight, hc3)
    if row.kind == "logistic":
        D = np.column_stack([dense.independent(row.X), g])
        return dense_sandwich.weighted_logistic_test(dense_sandwich.WeightedBinary(D, row.y, weight), hc3)
    time, entry, stratum = row.time, row.entry, row.stratum
    assert time is not None and entry is not None and stratum is not None
    D = _beside_sets(row, g)
    efron = choices.get("ties", "efron") == "efron"
    model = dense_sandwich.WeightedHazards(D, time, row.y, entry, stratum, weight, efron)
    return dense_sandwich.robust_hazards_test(model)


def _of_sets(row: RowData, columns: TestedColumns, method: str) -> DenseFit:
    """Tests of matched sets."""
    # Of dosages an exact law is of whole alleles.
    g, sets = np.rint(columns.tested[:, 0]) if method == "exact" else columns.tested[:, 0], row.stratum
    assert sets is not None
    shares = case_shares(row.y, sets)
    says = (shares > 0.0) & (shares < 1.0)
    model = Conditional(_beside_sets(row.take(says), g[says]), row.y[says], sets[says])
    if method == "score":
        return dense.score_test(model)
    if method == "wald":
        return dense.wald_test(model)
    if method == "lrt":
        return dense.likelihood_ratio_test(model)
    return exact_conditional_test(model, g[says])


def _beside_sets(row: RowData, g: Float64Array) -> Float64Array:
    """A basis of the covariates within strata or sets, and g centred there: (n, rank + 1)."""
    assert row.stratum is not None
    within = within_sets(np.column_stack([row.X, g]), row.stratum)
    X = within[:, :-1]
    if not (within[:, -1] ** 2).sum() > 0.0:
        raise NotFittedError("what is tested is the same within every set")
    return np.column_stack([dense.independent(X) if X.any() else np.zeros((row.n, 0)), within[:, -1]])
