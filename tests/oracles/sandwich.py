"""Sandwich covariances of D coefficients and Satterthwaite's and Hotelling's degrees of freedom in plain numpy."""

import numpy as np


def sandwich_covariance(U, E, contrasts, most):
    """Covariance (D, D) of influences U (n, D) with expected products E (n, D, D), and the contrasts' degrees of freedom."""
    D = U.shape[1]
    root = np.linalg.inv(np.linalg.cholesky(E.sum(axis=0)))
    freedom = []
    for contrast in np.asarray(contrasts, dtype=float):
        if contrast.any():
            q = np.array([contrast @ e @ contrast for e in E])
            freedom.append(max(1.0, min(q.sum() ** 2 / (q**2).sum() - 1, most)))
            continue
        # Normal u_i of covariance A: var(u_s u_t) = A_ss A_tt + A_st^2, summed over the entries of u u'.
        spread = 0.0
        for e in E:
            A = root @ e @ root.T
            spread += sum(A[s, s] * A[t, t] + A[s, t] ** 2 for s in range(D) for t in range(D))
        freedom.append(max(1.0, min(D * (D + 1) / spread - D, most) - (D - 1)))
    return U.T @ U, np.array(freedom)
