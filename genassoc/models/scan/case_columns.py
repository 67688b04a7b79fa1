"""Columns of binary traits that are counted by case status."""

import numpy as np

from genassoc.data.block import Block
from genassoc.models.scan.sums import GenotypeSums, allele_counts, frequency
from genassoc.shapes import Array, BoolArray, Int64Array, UInt64Array


def case_columns(
    block: Block,
    genotypes: GenotypeSums,
    columns: Int64Array,
    is_case: BoolArray,
    case_mask: UInt64Array,
    n_imputed: int | None,
) -> dict[str, Array]:
    """Frequencies and counts by case status, (V,) each.

    Parameters
    ----------
    block : Block
    genotypes : GenotypeSums
        Of all samples of the trait.
    columns, is_case : arrays (n,)
        Their columns in the block, and which are cases; ``case_mask`` the cases as packed words.
    n_imputed : int or None
        Samples of every row where missing calls take the mean; None where they leave the sample out.
    """
    cases = allele_counts(block, columns[is_case], case_mask)
    n = genotypes.n if n_imputed is None else np.full(genotypes.n.size, n_imputed)
    n_cases = cases.n if n_imputed is None else np.full(genotypes.n.size, int(is_case.sum()))
    return {
        "effect_allele_frequency_cases": frequency(cases.allele_count, cases.n_alleles),
        "effect_allele_frequency_controls": frequency(
            genotypes.allele_count - cases.allele_count, genotypes.n_alleles - cases.n_alleles
        ),
        "n_cases": n_cases,
        "n_controls": n - n_cases,
    }
