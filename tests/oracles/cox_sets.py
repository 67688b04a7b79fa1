"""Slow obvious twin of `genassoc.kernels.likelihoods.cox_sets`: the whole information of a dense partial likelihood."""

import numpy as np

from . import cox
from .set_scores import efficient, imputed


def subtract_means(G, X, time, event, entry, strata, efron, offset):
    """U and V of hazards, by the information of the partial likelihood; X (n, C) without a constant."""
    G, A = imputed(G), cox.terms(time, event, entry, strata, efron)
    beta = cox.newton(X, event, A, offset)
    D = np.column_stack([G.T, X])
    _, U, J, _ = cox.partial_likelihood(D, np.concatenate([np.zeros(len(G)), beta]), event, A, offset)
    return U[: len(G)], efficient(J, len(G))
