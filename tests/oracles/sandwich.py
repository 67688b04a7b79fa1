"""Sandwich covariances of two coefficients and Satterthwaite's and Hotelling's degrees of freedom in plain numpy."""

import numpy as np


def pair_variance(U, E, contrasts, most):
    """Covariance (2, 2) of influences U (n, 2) with expected products E (n, 2, 2), and the contrasts' degrees of freedom."""
    root = np.linalg.inv(np.linalg.cholesky(E.sum(axis=0)))
    freedom = []
    for contrast in np.asarray(contrasts, dtype=float):
        if contrast.any():
            q = np.array([contrast @ e @ contrast for e in E])
            freedom.append(max(1.0, min(q.sum() ** 2 / (q**2).sum() - 1, most)))
            continue
        # Normal u_i of covariance A: var(u_s u_t) = A_ss A_tt + A_st^2, summed over the four entries of u u'.
        spread = 0.0
        for e in E:
            A = root @ e @ root.T
            spread += sum(A[s, s] * A[t, t] + A[s, t] ** 2 for s in range(2) for t in range(2))
        freedom.append(max(1.0, min(6 / spread - 2, most) - 1))
    return U.T @ U, np.array(freedom)
