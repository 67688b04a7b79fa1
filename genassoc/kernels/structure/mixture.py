"""Coordinate updates of effects under a mixture of two normals, within a chunk of variants, on the chunk's Gram matrix alone."""

import math
from typing import NamedTuple

import numpy as np

from genassoc.kernels import jit
from genassoc.shapes import Float32Array, Float64Array


class MixturePriors(NamedTuple):
    """What each of C columns (a trait under one choice of the prior) supposes of an effect.

    An effect is of the normal with the larger variance with probability ``share``, else of the other. With a share of 1 all effects are of one
    normal, the prior of a ridge regression; with a second variance of 0 the other is a spike.

    Attributes
    ----------
    share, larger, smaller : float64 arrays (C,)
        Probability of the first normal, and the variances of both.
    noise : float64 array (C,)
        What stands for the variance of the residual in the posterior of an effect: of a likelihood that is no normal's the inverse
        of its mean curvature.
    part : float64 array (C,)
        The share of the samples of the Gram matrix that the column has.
    """

    share: Float64Array
    larger: Float64Array
    smaller: Float64Array
    noise: Float64Array
    part: Float64Array


@jit
def sweep(
    gram: Float32Array, product: Float64Array, priors: MixturePriors, effects: Float32Array, change: Float32Array
) -> None:
    """Update each effect of a chunk once, in order, to its posterior mean given all others.

    The Gram matrix stands in for the residuals within the chunk: an effect's change moves the other variants' products by its column. Of a
    column that lacks samples it is an estimate, ``part`` of that of all; what it gets wrong ends with the chunk, after which products are made
    of the residuals themselves, so that the effects at rest do not depend on it.

    Parameters
    ----------
    gram : float32 array (V, V)
        ``X X'`` of the chunk's variants, in all samples.
    product : float64 array (C, V)
        ``X r`` of each column's residuals, or its score; overwritten.
    priors : MixturePriors
    effects : float32 array (C, V)
        Updated.
    change : float32 array (C, V)
        Overwritten with what was added to the effects.
    """
    C, V = product.shape
    for c in range(C):
        noise, part = priors.noise[c], priors.part[c]
        larger, smaller = priors.larger[c], priors.smaller[c]
        if priors.share[c] < 1.0:
            odds = math.log(priors.share[c] / (1.0 - priors.share[c]))
        else:
            odds = np.inf
        for j in range(V):
            d = part * gram[j, j]
            if d <= 0.0:
                change[c, j] = 0.0
                continue
            # b ~ N(0, v1) or N(0, v2), and b + its error of variance s is seen: the mean of each normal, weighted by what each gives b
            s = noise / d
            b = effects[c, j] + product[c, j] / d
            one, two = larger + s, smaller + s
            logit = odds + 0.5 * (math.log(two / one) + b * b * (1.0 / two - 1.0 / one))
            weight = 1.0 / (1.0 + math.exp(-logit)) if logit > -700.0 else 0.0
            mean = np.float32(b * (weight * larger / one + (1.0 - weight) * smaller / two))
            moved = mean - effects[c, j]
            effects[c, j], change[c, j] = mean, moved
            if moved != 0.0:
                step = part * moved
                for k in range(V):
                    product[c, k] -= step * gram[j, k]
