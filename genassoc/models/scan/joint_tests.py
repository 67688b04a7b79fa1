"""Tests of D coefficients put into rows: Wald's of contrasts and of all at once, and likelihood ratios."""

import numpy as np

from genassoc.kernels.likelihoods.nulls import Tests
from genassoc.models.scan.rows import Rows
from genassoc.models.scan.tested import Tested, contrast_estimates, joint_statistic
from genassoc.shapes import Float64Array, Int64Array
from genassoc.stats.tails import neg_log_10_p_f


def tests_of_columns(tested: Tested) -> Tests:
    """The tests of tested columns, as kernels take them."""
    D = tested.n_columns
    numbers = np.array([k for k, _ in tested.rotations], dtype=np.int64)
    return Tests(numbers, np.array([M for _, M in tested.rotations]).reshape(-1, D, D), tested.joint)


def put_wald(
    rows: Rows,
    at: Int64Array,
    tested: Tested,
    estimates: tuple[Float64Array, Float64Array, Float64Array],
    names: tuple[str, str],
    hotelling: bool,
) -> None:
    """Wald tests of coefficients (R, D) with covariances (R, D, D) and degrees of freedom (R, K); ``hotelling``: the joint one's are F's."""
    theta, covariance, freedom = estimates
    beta, error = contrast_estimates(tested, theta, covariance)
    with np.errstate(invalid="ignore", divide="ignore"):
        statistic = beta / error
    rows.put(at, names[0], beta, error, statistic, None if np.isinf(freedom).all() else freedom)
    if tested.joint < 0:
        return
    D, df = tested.n_columns, freedom[:, tested.joint]
    total = joint_statistic(theta, covariance)
    F = total / D
    with np.errstate(invalid="ignore"):
        scaled = np.where(np.isfinite(df), F * df / (df + (D - 1.0)), F) if hotelling else F
    shown = F if names[1].startswith("f") and names[1] != "firth" else total
    rows.put_joint(at, tested.joint, names[1], shown, neg_log_10_p_f(scaled, D, df))


def put_ratios(
    rows: Rows,
    at: Int64Array,
    tested: Tested,
    estimates: tuple[Float64Array, Float64Array, Float64Array],
    gains: Float64Array,
    test: str,
) -> None:
    """Likelihood ratio tests of coefficients (R, D), covariances (R, D, D) and degrees of freedom (R, K).

    ``gains`` (R, K) are twice the differences of log likelihood, over the dispersion.
    """
    theta, covariance, freedom = estimates
    beta, error = contrast_estimates(tested, theta, covariance)
    z = np.copysign(np.sqrt(gains), beta)
    rows.put(at, test, beta, error, z, None if np.isinf(freedom).all() else freedom)
    if tested.joint >= 0:
        total = gains[:, tested.joint]
        logp = neg_log_10_p_f(total / tested.n_columns, tested.n_columns, freedom[:, tested.joint])
        rows.put_joint(at, tested.joint, test, total, logp)
