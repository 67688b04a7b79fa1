"""Slow obvious twin of `genassoc.kernels.genotypes.sample_gaps`."""


def sum_where_missing(codes, weights):
    return [
        [sum(int(w[k]) for c, w in zip(column, weights) if c == 3) for k in range(weights.shape[1])]
        for column in codes.T
    ]
