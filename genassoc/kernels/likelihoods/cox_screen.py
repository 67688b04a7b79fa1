"""The screen of a Cox scan: scores of a block from its product, and between which bounds their information lies.

With c_i the events expected of sample i under the null and mean_kl(g) the mean of g in a term of the likelihood, the
information of g given the covariates is ::

    I = sum_i c_i g_i^2 - g'Mg - |B'g|^2         g'Mg = sum_kl mean_kl(g)^2         B = cross L^-T, so that |B'g|^2 = J_gX J_XX^-1 J_Xg

The first and last terms are products with thin matrices; M is not thin. Scaled by the weights, ``c^-1/2 M c^-1/2`` is
symmetric with eigenvalues from 0 to 1 (a mean of squares is not below the squared mean). With its J largest ones
``lambda_j``, functions v_j orthonormal in the weights c, and lambda the next one ::

    sum_j lambda_j (v_j'cg)^2  <=  g'Mg  <=  sum_j lambda_j (v_j'cg)^2 + lambda (sum_i c_i g_i^2 - sum_j (v_j'cg)^2)
"""

from typing import NamedTuple

import numpy as np

from genassoc.kernels import jit
from genassoc.kernels.lanes.copies import put
from genassoc.kernels.likelihoods.cox_sums import RiskSets, RiskSums, suffix_sums
from genassoc.kernels.likelihoods.rows import Missing, Scores
from genassoc.shapes import Float64Array


@jit
def times_means(v: Float64Array, sets: RiskSets, sums: RiskSums, out: Float64Array) -> None:
    """``out = M v``: the means of v (n,) in every term, and their sums over the terms that a sample is in."""
    n, K = v.size, sets.ends.size
    s, d = np.zeros((K, 1)), np.zeros(K)
    for i in range(n):
        if sets.last[i] <= sets.first[i]:
            continue
        k, before, x = sets.last[i] - 1, sets.first[i] - 1, sums.w[i] * v[i]
        s[k, 0] += x
        if sets.event[i]:
            d[k] += x
        if before >= 0 and not sets.ends[before]:
            s[before, 0] -= x
    suffix_sums(s, sets.ends)
    prefix, spared = np.zeros(K + 1), np.zeros(K)
    for k in range(K):
        m = sums.deaths[k]
        prefix[k + 1] = prefix[k]
        for tie in range(m):
            part = tie / m if sets.efron else 0.0
            den = sums.s0[k] - part * sums.d0[k]
            mean = (s[k, 0] - part * d[k]) / den
            prefix[k + 1] += mean / den
            spared[k] += part * mean / den
    for i in range(n):
        out[i] = 0.0
        if sets.last[i] <= sets.first[i]:
            continue
        total = prefix[sets.last[i]] - prefix[sets.first[i]]
        if sets.event[i]:
            total -= spared[sets.last[i] - 1]
        out[i] = sums.w[i] * total


class Basis(NamedTuple):
    """What bounds the information of every variant; N samples of the block, J functions v_j.

    Attributes
    ----------
    columns : float64 array (N, K)
        ``c v_j`` (J), then B (C), then the residuals r.
    moves : float64 array (N, K - 1)
        What each sample adds to the null's scores, in the same directions: they sum to 0 over the trait's samples.
    weight : float64 array (N,)
        c.
    share : float64 array (J,)
        The eigenvalues.
    rest : float
        A bound of the other eigenvalues.
    """

    columns: Float64Array
    moves: Float64Array
    weight: Float64Array
    share: Float64Array
    rest: float


@jit
def screen(
    product: Float64Array,
    squares: Float64Array,
    missing: Missing,
    basis: Basis,
    mean: Float64Array,
    impute: bool,
    scores: Scores,
) -> None:
    """Scores of all variants, and the largest and smallest information they may have.

    Where calls are missing, U takes one Newton step of the null (the baseline hazard of every stratum by a
    factor, the covariates by B): ``U = g'r - sum_k (column_k'g) (moves_k' of those observed)``. Their bounds are approximate.

    Parameters
    ----------
    product : float64 array (V, K)
        Of genotypes with the basis's columns.
    squares : float64 array (V,)
        ``sum c g^2``.
    missing : Missing
    basis : Basis
    mean : float64 array (V,)
        With ``impute`` what a missing call counts.
    scores : Scores
        Filled; ``weakest`` is the smallest information that a variant may have.
    """
    pointers, indices = missing.pointers, missing.indices
    columns, moves, weight, share = basis.columns, basis.moves, basis.weight, basis.share
    U, information, least = scores.U, scores.information, scores.weakest
    V, K = product.shape
    J = share.size
    own = np.empty(K)
    for v in range(V):
        put(own, 0, product[v])
        total = squares[v]
        for m in range(pointers[v], pointers[v + 1]):
            s = indices[m]
            if impute:
                total += mean[v] * mean[v] * weight[s]
                for k in range(K):
                    own[k] += mean[v] * columns[s, k]
        score = own[K - 1]
        if not impute:
            for m in range(pointers[v], pointers[v + 1]):
                s = indices[m]
                for k in range(K - 1):
                    score += own[k] * moves[s, k]
        left, most = total, total
        for k in range(J):
            left -= own[k] * own[k]
            most -= share[k] * own[k] * own[k]
        for k in range(J, K - 1):
            most -= own[k] * own[k]
        U[v] = score
        information[v] = most
        least[v] = most - basis.rest * max(left, 0.0)
