"""Genetic models: what of ALT is tested, as a recoding of the block before a model sees it.

An indicator becomes the codes 0 and 2, so that all that a model does with counts of an allele (counting the rarer,
carriers only, Firth, saddlepoint, exact tests) holds; one carrier is two copies, so effects and standard errors are
then doubled. Frequencies, counts of alleles and `min_mac` stay those of the true genotypes (``genuine``).

Of dosages an indicator is the probability of its genotypes. Where probabilities are not known, but the dosage alone, it is what this leaves of
them (`is_approximate`), and rows say so: "approximate_genotypes".
"""

from collections.abc import Callable
from dataclasses import replace
from functools import wraps
from typing import Any

import numpy as np

from genassoc.data.block import HAPLOID_CHROMOSOME, Block, DosageBlock, GenotypeBlock, places_of
from genassoc.errors import DosageError
from genassoc.kernels.genotypes import recode
from genassoc.kernels.genotypes.dosage_genotypes import ANY_COPY, ONE_COPY, TWO_COPIES, twice_probabilities
from genassoc.models.base import CODE, METHOD, BlockResult
from genassoc.shapes import Array, BoolArray

TESTS = {"additive": "add", "dominant": "dom", "recessive": "rec", "hetonly": "hetonly"}
_WORDS = {"dominant": recode.dominant, "recessive": recode.recessive, "hetonly": recode.hetonly}
_GENOTYPES = {"dominant": ANY_COPY, "recessive": TWO_COPIES, "hetonly": ONE_COPY}
_SCALED = ("beta", "standard_error", "ci_lower", "ci_upper")

Test = Callable[[Any, Any, Block], BlockResult]


def of_calls(block: Block) -> GenotypeBlock:
    """The block, which holds calls."""
    assert isinstance(block, GenotypeBlock)
    return block


def recoded(block: Block, genetic_model: str) -> Block:
    """The block with an indicator in place of ALT copies: codes 0 and 2; ``genuine`` keeps the calls."""
    if isinstance(block, DosageBlock):
        return _probabilities(block, genetic_model)
    return block.recoded(_WORDS[genetic_model](np.ascontiguousarray(block.packed).view(np.uint64)))


def _probabilities(block: DosageBlock, genetic_model: str) -> DosageBlock:
    """Twice the probability of the genotypes of an indicator."""
    found = np.empty_like(block.values)
    unknown: Array = np.empty((0, block.n_samples), block.values.dtype)
    homozygous = unknown if block.homozygous is None else np.ascontiguousarray(block.homozygous)
    haploid = np.empty((0, 0), np.uint8) if block.haploid is None else np.ascontiguousarray(block.haploid)
    twice_probabilities(block.fixed_point, homozygous, haploid, _GENOTYPES[genetic_model], found)
    return block.recoded(found)


def probabilities(block: DosageBlock) -> tuple[DosageBlock, DosageBlock, DosageBlock]:
    """Twice the probabilities of one copy, of two and of any.

    Raises
    ------
    DosageError
        They are not known.
    """
    if block.homozygous is None:
        raise DosageError(NO_PROBABILITIES)
    one, two, any_copy = (_probabilities(block, name) for name in ("hetonly", "recessive", "dominant"))
    return one, two, any_copy


NO_PROBABILITIES = (
    "genetic_model='genotypic' needs the probabilities of genotypes, and these dosages come without: read GP (genassoc convert --dosage "
    "GP; BGEN has them), analyse hard calls (--dosage GT), or choose genetic_model='additive', or 'dominant' and 'recessive', which are "
    "approximate of dosages alone"
)


def is_approximate(block: Block, genetic_model: str) -> bool:
    """Whether the genotypes of an indicator are not known of a block, and where some sample has two copies."""
    if not isinstance(block, DosageBlock) or block.homozygous is not None or genetic_model in ("additive", "genotypic"):
        return False
    return bool((places_of(block).ploidy != HAPLOID_CHROMOSOME).any())


def labelled(result: BlockResult, approximate: bool) -> BlockResult:
    """Rows of dosages: no test of theirs is of whole alleles, and genotypes may be approximate."""
    columns = dict(result.columns)
    method: Array = columns["method"] if "method" in columns else np.zeros(0)
    if (method == METHOD["exact"]).any():
        columns["method"] = np.where(method == METHOD["exact"], np.uint8(METHOD["dosage_law"]), method)
    if approximate:
        tested: BoolArray = np.asarray((columns["code"] == CODE[None]) & ~np.isnan(columns["neg_log_10_p_value"]))
        columns["code"] = np.where(tested, np.uint8(CODE["approximate_genotypes"]), columns["code"])
    return replace(result, columns=columns)


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
            result = test(model, state, block)
        elif chosen == "genotypic":
            result = model.genotypic(state, block)
        else:
            result = scaled(test(model, state, recoded(block, chosen)), 2.0)
            tests = tuple(_renamed(name, TESTS[chosen]) for name in result.labels["test"])
            result = replace(result, labels={**result.labels, "test": tests})
        if isinstance(block, DosageBlock) and not block.of_predictor:
            return labelled(result, is_approximate(block, chosen))
        return result

    return block
