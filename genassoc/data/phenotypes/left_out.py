"""Samples dropped from a design for another reason than a covariate: no sampling weight, no matched set."""

from dataclasses import replace

import numpy as np
import polars as pl

from genassoc.data.phenotypes.design import Design
from genassoc.data.phenotypes.phenotypes import Phenotypes
from genassoc.errors import PhenotypeError
from genassoc.shapes import BoolArray, Int64Array


def without_samples(
    design: Design, lacking: BoolArray, reason: str, phenotypes: Phenotypes, rows: Int64Array
) -> Design:
    """The design without the samples ``lacking`` (N,), which are recorded as dropped for the reason ``reason``.

    Raises
    ------
    PhenotypeError
        Nobody is left.
    """
    complete = design.complete & ~lacking
    if not complete.any():
        raise PhenotypeError(
            f"{phenotypes.source}: none of {rows.size:,} samples has all covariates and {reason}: there is nothing to analyse"
        )
    ids = phenotypes.table[phenotypes.sample_id].gather(rows).cast(pl.String)
    lacks = pl.Series("reason", lacking).replace_strict({True: reason, False: None}, return_dtype=pl.String)
    both = pl.DataFrame({"id": ids, "reason": lacks}).join(
        design.dropped_samples, on="id", how="left", maintain_order="left"
    )
    dropped = both.filter(pl.any_horizontal(pl.col("covariate", "reason").is_not_null()))
    joined = pl.concat_str("covariate", "reason", separator=", ", ignore_nulls=True)
    return replace(
        design,
        complete=complete,
        X=np.where(complete[:, None], design.X, 0.0),
        dropped_samples=dropped.select("id", joined.alias("covariate")),
    )
