"""Rows whose carriers are few for the tails of what a mixed model leaves: p by the shape of its law.

g'P y is about a sum over carriers of what covariates and relationships leave of each. Where that has heavy tails the sum is no normal until carriers
are many: p is then Student's times what the law of such a sum, of the model's variance, says more than a normal's.
"""

import numpy as np

from genassoc.data.block import Block, DosageBlock
from genassoc.kernels.laws import shape_law as kernel
from genassoc.models.mixed.null import MixedNull, MixedTrait
from genassoc.models.scan.product import impute_means, minor_counts
from genassoc.models.scan.residual_law import MARGIN, SCREEN, TRIED_BELOW, put_law, withhold
from genassoc.models.scan.rows import chunks
from genassoc.models.scan.sums import GenotypeSums, carriers_in_effect
from genassoc.shapes import Array, BoolArray

_LN10 = float(np.log(10.0))


def correct_tails(
    rows: dict[str, Array], null: MixedNull, fit: MixedTrait, genotypes: GenotypeSums, block: Block, flipped: BoolArray
) -> None:
    """Give the rows (V,) of one trait the p of the law where a normal's does not hold; in place."""
    law = fit.law
    if law is None:
        return
    logp, statistic = rows["neg_log_10_p_value"], rows["statistic"]
    with np.errstate(invalid="ignore"):
        tried = np.flatnonzero(logp > TRIED_BELOW)
    if not tried.size:
        return
    z = np.abs(statistic[tried])
    excess = law.excess_of(genotypes, tried, z)
    if isinstance(block, DosageBlock) and not block.of_predictor:
        excess = np.maximum(excess, law.excess_of_carriers(carriers_in_effect(block.take(tried), null.columns), z))
    tried = tried[excess.max(axis=0) > SCREEN]
    spread = fit.spread * law.spread if law.spread.size else fit.spread
    for first, last in chunks(tried.size, null.n):
        some = tried[first:last]
        coefficients = minor_counts(block, flipped, some, null.columns)
        impute_means(coefficients)
        for g in coefficients:  # one by one: a product of several rows is added up otherwise for other rows beside it
            g -= null.Q @ (null.Q.T @ g)
            g *= spread
        tails = np.empty((some.size, kernel.N_TAILS))
        kernel.shape_rows(coefficients, law.atoms, law.weights, law.lost, np.ascontiguousarray(statistic[some]), tails)
        heavier = tails[:, kernel.NORMAL] - tails[:, kernel.LAW]
        with np.errstate(invalid="ignore"):
            chosen = heavier > MARGIN
        put_law(rows, some[chosen], np.maximum(logp[some][chosen] - heavier[chosen] / _LN10, 0.0))
        withhold(rows, some[np.isnan(tails[:, kernel.LAW])])
