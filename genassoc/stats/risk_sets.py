"""Who is at risk when, as Cox's partial likelihood takes it; and covariates within strata."""

import numpy as np

from genassoc.kernels.likelihoods.cox_sums import RiskSets
from genassoc.shapes import BoolArray, Float64Array, Int64Array


def risk_sets(
    time: Float64Array, event: BoolArray, entry: Float64Array, stratum: Int64Array, efron: bool = True
) -> tuple[RiskSets, Float64Array]:
    """Number the event times of samples (n,) stratum by stratum, and find the run that each sample is at risk of.

    Returns
    -------
    RiskSets
    times : float64 array (K,)
        The event times.
    """
    n = time.size
    first, last = np.zeros(n, np.int64), np.zeros(n, np.int64)
    ends: list[BoolArray] = []
    times: list[Float64Array] = []
    before = 0
    for s in np.unique(stratum):
        genotypes = stratum == s
        distinct = np.unique(time[genotypes & event])
        # At risk at t: entry < t <= time.
        first[genotypes] = before + np.searchsorted(distinct, entry[genotypes], side="right")
        last[genotypes] = before + np.searchsorted(distinct, time[genotypes], side="right")
        before += distinct.size
        times.append(distinct)
        end = np.zeros(distinct.size, bool)
        end[-1:] = True
        ends.append(end)
    joined = np.concatenate(ends) if ends else np.zeros(0, bool)
    found = np.concatenate(times) if times else np.zeros(0)
    return RiskSets(np.ascontiguousarray(event), first, last, joined, bool(efron)), found


def within_strata(X: Float64Array, stratum: Int64Array) -> Float64Array:
    """Covariates, the constant but for, less their means in each stratum: the likelihood knows no more of them."""
    out = X.copy()
    largest = np.abs(X).max(axis=0, initial=0.0)
    strata = np.unique(stratum)
    for s in strata if strata.size > 1 else ():
        genotypes = stratum == s
        out[genotypes, 1:] -= X[genotypes, 1:].mean(axis=0)
    # Constant within strata up to rounding is constant.
    lost = np.abs(out).max(axis=0, initial=0.0) <= 1e-12 * largest
    out[:, lost] = 0.0
    return out
