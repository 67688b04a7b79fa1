"""Wald tests of rows in plain numpy: each on the samples observed, by the fits of `oracles.logistic`."""

import numpy as np

from oracles import logistic


def wald_rows(X, y, G, what):
    """beta, standard error (and iterations as R counts them, where asked for) of the rows G (R, n), NaN not observed."""
    found = []
    for row in G:
        keep = ~np.isnan(row)
        part = X[keep], y[keep], row[keep]
        if what == "wald_plink2":
            beta, errors, iterations = logistic.fit_as_r(np.column_stack([part[0], part[2]]), part[1])
            found.append((beta[-1], errors[-1], iterations))
        else:
            found.append((logistic.wald if what == "wald" else logistic.firth_plink2)(*part))
    return np.array(found)
