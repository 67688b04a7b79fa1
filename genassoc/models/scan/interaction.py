"""What interactions with a covariate E have in common in all models: E among the samples, tests, gate, rows.

Columns are g and g e, with ``e`` for E: 0 and 1 of two values, else E centred and scaled (digits do not depend on its
units); every test is a linear contrast of their two coefficients, or both at once. Without E, g is the only column.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np

from genassoc.data.block import Block, DosageBlock
from genassoc.data.phenotypes.modifier import Modifier
from genassoc.kernels.genotypes.counts import count_codes, mask_words
from genassoc.kernels.genotypes.dosages import count_rounded
from genassoc.models.base import BlockResult
from genassoc.shapes import Array, BoolArray, Float64Array, Int64Array, UInt64Array

LEAST_CARRIERS = 10  # in each arm
LEAST_CARRIERS_OF_NUMBER = 20  # of a continuous E
LEAST_EVENTS = 5.0  # expected among them


@dataclass(frozen=True)
class Arm:
    """Samples of one trait with one value of E.

    Attributes
    ----------
    columns : int64 array (n,)
        Columns of the block.
    mask : uint64 array (W,)
    rate : float
        Share of the rarer outcome (or of events) among them; 1 where there are no events to expect.
    """

    columns: Int64Array
    mask: UInt64Array
    rate: float


@dataclass(frozen=True)
class RefitState:
    """Null models of a model that fits every row, and E in the samples of each trait.

    Attributes
    ----------
    model : state of the model without an interaction
        E among its covariates; its notes say what E is.
    tests : tuple of str
        K names.
    terms : tuple of Terms
        One a trait.
    """

    model: Any
    tests: tuple[str, ...]
    terms: tuple["Terms", ...]

    @property
    def traits(self) -> tuple[str, ...]:
        """T names."""
        return tuple(self.model.traits)

    @property
    def nulls(self) -> tuple[Any, ...]:
        """One a trait."""
        return tuple(self.model.nulls)

    @property
    def n_incomplete(self) -> int:
        """Samples that lack a covariate, E among them."""
        return int(self.model.n_incomplete)

    @property
    def n_by_trait(self) -> list[int]:
        """Complete samples of each trait."""
        return list(self.model.n_by_trait)

    @property
    def notes(self) -> tuple[str, ...]:
        """For people: what E is, codings, dropped covariates."""
        return tuple(self.model.notes)


@dataclass(frozen=True)
class Terms:
    """E in the samples of one trait, and the tests.

    Attributes
    ----------
    e : float64 array (n,)
        E in these samples, scaled; empty where there is no interaction.
    tests : tuple of str
        K names, "add" first; with E "joint_2df" the third.
    contrasts : float64 array (K, 1 or 2)
        Of the coefficients of g and g e; zeros for "joint_2df".
    arms : tuple of Arm
        One for each value of E, or one of all samples where it is a number.
    least_carriers : int
        Of each arm; 0 without E.
    """

    e: Float64Array
    tests: tuple[str, ...]
    contrasts: Float64Array
    arms: tuple[Arm, ...]
    least_carriers: int

    @property
    def with_e(self) -> bool:
        """Whether there is an E."""
        return self.contrasts.shape[1] == 2

    @property
    def joint(self) -> int:
        """Which test is "joint_2df"; -1 where there is none."""
        return 2 if self.with_e else -1


def tests_of(modifier: Modifier | None) -> tuple[str, ...]:
    """Names of the rows of a variant and trait."""
    if modifier is None:
        return ("add",)
    return ("add", "add:E", "joint_2df", *(f"add|E={word}" for word, _ in modifier.arms))


def terms_of(
    modifier: Modifier | None,
    block_columns: Int64Array,
    columns: Int64Array,
    block_width: int,
    event: BoolArray | None = None,
    both_outcomes: bool = False,
) -> Terms:
    """E in the samples ``columns`` (n,) of one trait.

    Parameters
    ----------
    modifier : Modifier or None
    block_columns : int64 array (N,)
        Columns of the cohort's samples, in the order of the modifier's values.
    event : bool array (n,), optional
        Cases, or who has the event; ``both_outcomes`` counts the rarer of cases and controls.
    """
    tests = tests_of(modifier)
    if modifier is None:
        return Terms(np.empty(0), tests, np.ones((1, 1)), (), 0)
    wide = np.zeros(block_width)
    wide[block_columns] = modifier.values
    E = wide[columns]
    if modifier.arms:
        zero, unit = modifier.arms[0][1], modifier.arms[1][1] - modifier.arms[0][1]
        e = np.where(zero == E, 0.0, 1.0)
        members: list[BoolArray] = [e == 0.0, e == 1.0]
    else:
        zero = float(E.mean()) if E.size else 0.0
        unit = float(np.sqrt(((E - zero) ** 2).mean())) if E.size else 1.0
        unit = unit if unit > 0 else 1.0
        e = (E - zero) / unit
        members = [np.ones(E.size, dtype=bool)]
    at_zero = -zero / unit
    contrasts = [[1.0, at_zero], [0.0, 1.0 / unit], [0.0, 0.0], *([1.0, float(k)] for k in range(len(modifier.arms)))]
    arms = []
    for own in members:
        rate = 1.0
        if event is not None:
            share = float(event[own].mean()) if own.any() else 0.0
            rate = min(share, 1.0 - share) if both_outcomes else share
        arms.append(Arm(columns[own], mask_words(columns[own], block_width), rate))
    least = LEAST_CARRIERS if modifier.arms else LEAST_CARRIERS_OF_NUMBER
    return Terms(e, tests, np.array(contrasts), tuple(arms), least)


def too_few(block: Block, terms: Terms) -> BoolArray:
    """Variants (V,) with fewer carriers in an arm, or fewer events expected among them, than an interaction needs."""
    found = np.zeros(block.n_variants, dtype=bool)
    for arm in terms.arms:
        carriers = carriers_of(block, arm)
        found |= (carriers < terms.least_carriers) | ((arm.rate < 1.0) & (carriers * arm.rate < LEAST_EVENTS))
    return found


def fewest_carriers(block: Block, terms: Terms) -> Float64Array:
    """Carriers in the arm that has fewest, (V,); of a number E a third of all, since few of them weigh much in g e."""
    counts = np.min([carriers_of(block, arm) for arm in terms.arms], axis=0)
    return np.asarray(counts / (1.0 if len(terms.arms) > 1 else 3.0))


def carriers_of(block: Block, arm: Arm) -> Int64Array:
    """Samples of the arm that carry the allele that is rarer there, (V,): all observed but the commoner homozygotes."""
    if isinstance(block, DosageBlock):
        selected = np.zeros(block.n_samples, np.bool_)
        selected[arm.columns] = True
        counts = np.empty((block.n_variants, 3), np.int64)
        count_rounded(block.fixed_point, selected, counts)
    else:
        counts = np.empty((block.n_variants, 4), np.int64)
        count_codes(block.packed.view(np.uint64), arm.mask, counts)
    return np.asarray(counts[:, :3].sum(axis=1) - np.maximum(counts[:, 0], counts[:, 2]))


def contrast_estimates(
    terms: Terms, theta: Float64Array, covariance: Float64Array
) -> tuple[Float64Array, Float64Array]:
    """Estimates and standard errors (..., K) of every test from coefficients (..., D) and covariances (..., D, D).

    "joint_2df" has none.
    """
    beta = np.zeros((*theta.shape[:-1], len(terms.tests)))
    variance = np.zeros(beta.shape)
    # Spelt out: a product of matrices may round differently for other shapes, and rows must not depend on the company.
    D = terms.contrasts.shape[1]
    for i in range(D):
        beta = beta + theta[..., i, None] * terms.contrasts[:, i]
        for j in range(D):
            variance = variance + covariance[..., i, j, None] * (terms.contrasts[:, i] * terms.contrasts[:, j])
    if terms.joint >= 0:
        beta[..., terms.joint] = np.nan
        variance[..., terms.joint] = np.nan
    with np.errstate(invalid="ignore"):
        return beta, np.sqrt(variance)


def for_tests(values: Array, K: int) -> Array:
    """A column (V,) for each of the K rows of a trait."""
    return np.repeat(values[:, None], K, axis=1)


def as_rows(
    traits: tuple[str, ...],
    tests: tuple[str, ...],
    columns: dict[str, Array],
    categories: dict[str, tuple[str | None, ...]],
) -> BlockResult:
    """Rows trait by trait, K tests each, of columns (V, T, K)."""
    flat = {name: values.reshape(values.shape[0], -1) for name, values in columns.items()}
    labels = {"trait": tuple(np.repeat(traits, len(tests)).tolist()), "test": tests * len(traits)}
    return BlockResult(flat, labels, categories)
