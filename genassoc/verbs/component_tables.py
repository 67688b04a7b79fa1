"""Tables of principal components: their columns, scores by sample."""

from collections.abc import Iterable

import numpy as np
import polars as pl

from genassoc.shapes import Float64Array

EXACT, RANDOMISED = "exact", "randomised"  # methods
PLACES = ("chromosome", "base_pair_location", "rsid", "other_allele", "effect_allele")  # of a variant that has loadings


def component_names(k: int) -> list[str]:
    """PC1, ..., PCk."""
    return [f"PC{i + 1}" for i in range(k)]


def score_table(sample_ids: Iterable[object], scores: Float64Array) -> pl.DataFrame:
    """Scores (N, k) as a table by sample; null where there is none."""
    columns = {"sample_id": pl.Series([str(name) for name in sample_ids], dtype=pl.String)}
    for name, values in zip(component_names(scores.shape[1]), scores.T):
        columns[name] = pl.Series(name, np.ascontiguousarray(values)).fill_nan(None)
    return pl.DataFrame(columns)
