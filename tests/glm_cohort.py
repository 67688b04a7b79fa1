"""Small cohorts in memory for models of counts and ordered levels."""

import numpy as np
import polars as pl

from genassoc.data.block import GenotypeBlock
from genassoc.data.phenotypes.design import build_design
from genassoc.data.phenotypes.phenotypes import Phenotypes


def calls(rng, n, V, missing=0.0, low=0.05):
    frequency = rng.uniform(low, 1 - low, V)
    codes = rng.binomial(2, frequency[:, None], (V, n)).astype(np.uint8)
    codes[rng.random(codes.shape) < missing * rng.choice([0, 1, 8], V)[:, None]] = 3
    return codes


class MemoryCohort:
    """What `prepare` asks of a cohort, from arrays: columns of a table, all samples in the block."""

    offsets = None

    def __init__(self, **columns):
        n = len(next(iter(columns.values())))
        table = pl.DataFrame({"IID": [f"s{i}" for i in range(n)], **columns})
        self.phenotypes = Phenotypes.read(table, sample_id="IID", missing_codes=["NA"])
        self.rows = np.arange(n)
        self.block_columns, self.block_width = np.arange(n), n

    def design(self, traits, covariates=(), **choices):
        return build_design(self.phenotypes, self.rows, traits, covariates, offsets=self.offsets, **choices)


def run(model, cohort, codes):
    """Columns of the block (V, T), methods and codes by name."""
    block = codes if not isinstance(codes, np.ndarray) else GenotypeBlock.from_codes(codes)
    state = model.prepare(cohort)
    result = model.block(state, block)
    named = {name: np.array(words, dtype=object)[result.columns[name]] for name, words in result.categories.items()}
    return dict(result.columns) | named | {"state": state}
