"""Genetic models: what of ALT is tested, as a recoding of the block before a model sees it.

An indicator becomes the codes 0 and 2, so that all that a model does with counts of an allele (counting the rarer,
carriers only, Firth, saddlepoint, exact tests) holds; one carrier is two copies, so effects and standard errors are
then doubled. Frequencies, counts of alleles and `min_mac` stay those of the true genotypes (``genuine``).
"""

from collections.abc import Callable
from dataclasses import replace
from functools import wraps
from typing import Any

import numpy as np

from genassoc.data.block import Block, DosageBlock
from genassoc.kernels.genotypes import recode
from genassoc.models.base import BlockResult
from genassoc.shapes import Array

TESTS = {"additive": "add", "dominant": "dom", "recessive": "rec", "hetonly": "hetonly"}
_WORDS = {"dominant": recode.dominant, "recessive": recode.recessive, "hetonly": recode.hetonly}
_SCALED = ("beta", "standard_error", "ci_lower", "ci_upper")

Test = Callable[[Any, Any, Block], BlockResult]


def recoded(block: Block, genetic_model: str) -> Block:
    """The block with an indicator in place of ALT copies: codes 0 and 2; ``genuine`` keeps the calls.

    Of dosages d the indicators are min(d, 1), max(d - 1, 0) and 1 - abs(d - 1), as in PLINK 2.
    """
    if isinstance(block, DosageBlock):
        # In the values' own type, which holds two copies; what becomes of a missing one is put right at the end.
        d: Array = block.values
        one = d.dtype.type(block.scale)
        if genetic_model == "dominant":
            indicator = np.minimum(d, one)
        elif genetic_model == "recessive":
            indicator = np.maximum(d, one) - one
        else:
            indicator = np.minimum(d, one + one - d)
        return block.recoded(np.where(block.observed(), indicator + indicator, d.dtype.type(block.not_observed)))
    return block.recoded(_WORDS[genetic_model](np.ascontiguousarray(block.packed).view(np.uint64)))


def scaled(result: BlockResult, factor: float, which: Array | None = None) -> BlockResult:
    """Effects, standard errors and intervals times a factor, in the rows of all variants or of ``which`` (bool (V,))."""
    factors = np.where(True if which is None else which[:, None], factor, 1.0)
    columns = {
        name: values * factors if name.startswith(_SCALED) else values for name, values in result.columns.items()
    }
    return replace(result, columns=columns)


def _renamed(test: str, to: str) -> str:
    """The additive test's name as another model's; "add:E" and "add|E=1" too."""
    return to + test[3:] if test == "add" or test.startswith(("add:", "add|")) else test


def by_genetic_model(test: Test) -> Test:
    """Make a model's additive ``block`` do what its ``genetic_model`` says; a genotypic one needs ``genotypic``."""

    @wraps(test)
    def block(model: Any, state: Any, block: Block) -> BlockResult:
        chosen = model.genetic_model
        if chosen == "additive":
            return test(model, state, block)
        if chosen == "genotypic":
            return model.genotypic(state, block)
        result = scaled(test(model, state, recoded(block, chosen)), 2.0)
        tests = tuple(_renamed(name, TESTS[chosen]) for name in result.labels["test"])
        return replace(result, labels={**result.labels, "test": tests})

    return block
