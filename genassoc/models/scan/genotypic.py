"""The genotypic model, two degrees of freedom: rows "add", "domdev" and "geno_2df", as PLINK 2 names them.

Columns are g, copies of ALT, and h, whether heterozygous: with effects b_het and b_hom of one and of two copies,
``add = b_hom / 2`` and ``domdev = b_het - b_hom / 2``.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from genassoc.data.block import Block, GenotypeBlock
from genassoc.models.base import BlockResult
from genassoc.shapes import Array, BoolArray, Float64Array, Int64Array

TESTS = ("add", "domdev", "geno_2df")
ADD, DOMDEV, JOINT = 0, 1, 2
# From (b_het, b_hom) to (add, domdev).
CONTRAST = np.array([[0.0, 0.5], [1.0, -0.5]])


@dataclass(frozen=True)
class Classes:
    """Samples analysed by genotype, in V variants.

    Attributes
    ----------
    counts : int64 array (V, 4)
        With code 0, 1, 2 and not observed.
    """

    counts: Int64Array

    @property
    def n(self) -> Int64Array:
        """Samples observed (V,)."""
        return np.asarray(self.counts[:, :3].sum(axis=1))

    @property
    def n_present(self) -> Int64Array:
        """How many of the three genotypes occur (V,): with fewer than three, two degrees of freedom are not there."""
        return np.asarray((self.counts[:, :3] > 0).sum(axis=1))

    @property
    def rarest(self) -> Int64Array:
        """Twice the samples of the rarest genotype (V,), to be held against ``min_mac``."""
        return np.asarray(2 * self.counts[:, :3].min(axis=1))

    def without_estimate(self, mac: Float64Array, least: float, n_coefficients: int) -> list[tuple[BoolArray, str]]:
        """Masks (V,) of rows without an estimate and their codes; the first that holds counts."""
        return [
            (self.n == 0, "n_too_small"),
            ((self.n_present <= 1) & (mac > 0), "constant_genotype"),
            (self.n_present <= 1, "monomorphic"),
            (self.n <= n_coefficients, "n_too_small"),
            (self.n_present == 2, "collinear"),
            (np.minimum(mac, self.rarest) < least, "too_few_carriers"),
        ]


def neg_log_10_p_f2(F: Float64Array, df: Float64Array) -> Float64Array:
    """-log10 of the upper tail of F with 2 and df degrees of freedom: ``(df / 2) log10(1 + 2 F / df)``."""
    with np.errstate(invalid="ignore", divide="ignore"):
        return np.asarray(0.5 * df * np.log1p(2.0 * F / df) / np.log(10.0))


def neg_log_10_p_chi2_2(x: Float64Array) -> Float64Array:
    """-log10 of the upper tail of chi-squared with 2 degrees of freedom, ``exp(-x / 2)``."""
    return np.asarray(0.5 * x / np.log(10.0))


def as_rows(
    traits: tuple[str, ...], columns: dict[str, Array], categories: dict[str, tuple[str | None, ...]]
) -> BlockResult:
    """Rows trait by trait, three tests each, of columns (V, T, 3)."""
    flat = {name: values.reshape(values.shape[0], -1) for name, values in columns.items()}
    labels = {"trait": tuple(np.repeat(traits, 3).tolist()), "test": TESTS * len(traits)}
    return BlockResult(flat, labels, categories)


def stacked(by_trait: Sequence[dict[str, Array]]) -> dict[str, Array]:
    """Columns (V, T, 3) of T traits' columns (V, 3)."""
    return {name: np.stack([columns[name] for columns in by_trait], axis=1) for name in by_trait[0]}


def with_genotypes(block: Block) -> GenotypeBlock:
    """The block, of genotypes.

    Raises
    ------
    TypeError
        It holds dosages: a genotype is not known there.
    """
    if not isinstance(block, GenotypeBlock):
        raise TypeError("the genotypic model is of genotypes, not of dosages: use hard calls, or another genetic model")
    return block


def for_three(values: Array) -> Array:
    """A column (V,) of one trait for its three rows."""
    return np.repeat(values[:, None], 3, axis=1)
