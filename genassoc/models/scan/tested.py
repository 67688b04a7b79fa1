"""What is tested: D columns made of a variant's calls, and contrasts of their coefficients.

- additive: g, the copies of an allele
- genotypic: g and h, which is 1 in heterozygotes. With effects b_het of one copy and b_hom of two, ``add = b_hom / 2`` and
  ``domdev = b_het - b_hom / 2``, as in PLINK 2
- interaction with a covariate E: g and g e. If E has two values, e is 0 and 1; if E is a number, e is E centred and scaled, so that
  digits do not depend on its units
- several alleles: the copies of each allele of one record

A test is of one linear contrast of the coefficients, or of all coefficients at once.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any

import numpy as np

from genassoc.data.block import Block, DosageBlock, GenotypeBlock
from genassoc.data.phenotypes.modifier import Modifier, check_main_effect, read_modifier, with_main_effect
from genassoc.kernels.genotypes.counts import count_codes, mask_words
from genassoc.models.scan.genetic_models import probabilities
from genassoc.models.scan.product import minor_counts
from genassoc.models.scan.sums import allele_counts, carriers_in_effect
from genassoc.shapes import BoolArray, Float64Array, Int64Array, UInt64Array

LEAST_CARRIERS = 10  # carriers in each arm
LEAST_CARRIERS_OF_NUMBER = 20  # carriers, where E is a number
LEAST_EVENTS = 5.0  # events expected among these carriers


@dataclass(frozen=True)
class Arm:
    """Samples of one trait with one value of E.

    Attributes
    ----------
    columns : int64 array (n,)
        Columns of the block.
    mask : uint64 array (W,)
    rate : float
        Share of samples with the rarer outcome (or the event); 1 where the outcome has no events.
    """

    columns: Int64Array
    mask: UInt64Array
    rate: float


@dataclass(frozen=True)
class Tested:
    """Columns made of calls, and K tests of their coefficients.

    Attributes
    ----------
    tests : tuple of str
        K names.
    contrasts : float64 array (K, D)
        Of the coefficients; zeros mean all of them at once.
    e : float64 array (n,)
        E in a trait's samples, scaled; empty where there is no interaction.
    arms : tuple of Arm
        One for each value of E, or one with all samples where E is a number.
    least_carriers : int
        Needed in each arm; 0 without E.
    heterozygotes : bool
        Whether the second column is h, the heterozygotes (of dosages their probability).
    """

    tests: tuple[str, ...]
    contrasts: Float64Array
    e: Float64Array = field(default_factory=lambda: np.empty(0))
    arms: tuple[Arm, ...] = ()
    least_carriers: int = 0
    heterozygotes: bool = False

    @property
    def n_columns(self) -> int:
        """D."""
        return int(self.contrasts.shape[1])

    @property
    def with_e(self) -> bool:
        """Whether there is an E."""
        return bool(self.arms)

    @cached_property
    def joint(self) -> int:
        """Which test is of all coefficients at once; -1 where there is none."""
        held = np.flatnonzero(~self.contrasts.any(axis=1))
        return int(held[0]) if held.size else -1

    @cached_property
    def rotations(self) -> list[tuple[int, Float64Array]]:
        """For each test of one degree of freedom, its number and an orthonormal M (D, D): the test is of the last coefficient of ``H M``.

        ``H M`` has the log determinants of H, and so the same Firth penalty.
        """
        rotations = []
        for k, contrast in enumerate(self.contrasts):
            if k == self.joint:
                continue
            last = contrast / np.sqrt(contrast @ contrast)
            if last.size == 1:
                M = last[:, None]
            elif last.size == 2:
                M = np.column_stack([[-last[1], last[0]], last])
            else:
                M = np.linalg.qr(np.column_stack([last, np.eye(last.size)]))[0][:, ::-1]
            rotations.append((k, np.ascontiguousarray(M)))
        return rotations

    def of_tests(self, gains: Float64Array) -> Float64Array:
        """Gains (R, T + 1) of the rotations and, the last, of all coefficients at once, in the order of the tests (R, K)."""
        found = np.empty((gains.shape[0], len(self.tests)))
        found[:, [k for k, _ in self.rotations]] = gains[:, :-1]
        if self.joint >= 0:
            found[:, self.joint] = gains[:, -1]
        return found

    def columns(self, calls: Float64Array, one_copy: Float64Array | None = None) -> Float64Array:
        """The tested columns (R, D, n) of calls (R, n), NaN where not observed; of dosages with the probabilities of one copy (R, n)."""
        if self.with_e:
            return np.stack([calls, calls * self.e], axis=1)
        if self.heterozygotes and one_copy is not None:
            return np.stack([calls, one_copy], axis=1)
        if self.heterozygotes:
            return np.stack([calls, np.where(np.isnan(calls), np.nan, calls == 1.0)], axis=1)
        return calls[:, None, :]


ADDITIVE = Tested(("add",), np.ones((1, 1)))
GENOTYPIC = Tested(
    ("add", "domdev", "geno_2df"), np.array([[1.0, 0.0], [0.0, 1.0], [0.0, 0.0]]), heterozygotes=True
)  # fmt: skip


def tests_of(modifier: Modifier | None) -> tuple[str, ...]:
    """Names of the rows of a variant and trait."""
    if modifier is None:
        return ("add",)
    return ("add", "add:E", "joint_2df", *(f"add|E={word}" for word, _ in modifier.arms))


def tested_with(
    modifier: Modifier | None,
    block_columns: Int64Array,
    columns: Int64Array,
    block_width: int,
    event: BoolArray | None = None,
    both_outcomes: bool = False,
) -> Tested:
    """The tested columns and contrasts in the samples ``columns`` (n,) of one trait: g, and g e where there is a modifier.

    Parameters
    ----------
    modifier : Modifier or None
    block_columns : int64 array (N,)
        Columns of the cohort's samples, in the order of the modifier's values.
    event : bool array (n,), optional
        Cases, or samples with the event; with ``both_outcomes`` the rarer of cases and controls is counted.
    """
    if modifier is None:
        return ADDITIVE
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
    for member in members:
        rate = 1.0
        if event is not None:
            share = float(event[member].mean()) if member.any() else 0.0
            rate = min(share, 1.0 - share) if both_outcomes else share
        arms.append(Arm(columns[member], mask_words(columns[member], block_width), rate))
    least = LEAST_CARRIERS if modifier.arms else LEAST_CARRIERS_OF_NUMBER
    return Tested(tests_of(modifier), np.array(contrasts), e, tuple(arms), least)


def too_few(block: Block, tested: Tested) -> BoolArray:
    """Variants (V,) with fewer carriers in an arm, or fewer events expected among them, than an interaction needs."""
    is_too_few = np.zeros(block.n_variants, dtype=bool)
    for arm in tested.arms:
        carriers = carriers_of(block, arm)
        is_too_few |= (carriers < tested.least_carriers) | ((arm.rate < 1.0) & (carriers * arm.rate < LEAST_EVENTS))
    return is_too_few


def fewest_carriers(block: Block, tested: Tested) -> Float64Array:
    """Carriers in the arm with the fewest, (V,); if E is a number, a third of all carriers, since only few of them weigh much in g e."""
    counts = np.min([carriers_of(block, arm) for arm in tested.arms], axis=0)
    return np.asarray(counts / (1.0 if len(tested.arms) > 1 else 3.0))


def carriers_of(block: Block, arm: Arm) -> Float64Array:
    """Samples of the arm that carry its rarer allele, (V,): all observed but the commoner homozygotes; of dosages the effective number."""
    if isinstance(block, DosageBlock):
        return carriers_in_effect(block, arm.columns)
    counts = np.empty((block.n_variants, 4), np.int64)
    count_codes(block.packed.view(np.uint64), arm.mask, counts)
    return np.asarray(counts[:, :3].sum(axis=1) - np.maximum(counts[:, 0], counts[:, 2]), np.float64)


def others_of(block: Block, arm: Arm, carriers: Float64Array) -> Float64Array:
    """Samples of the arm beside its ``carriers`` (V,); of dosages, whose effective number does not ask who is a carrier, half at least."""
    if isinstance(block, DosageBlock):
        return np.full(block.n_variants, 0.5 * arm.columns.size)
    return np.asarray(arm.columns.size - carriers)


@dataclass(frozen=True)
class Classes:
    """How many of the analysed samples have each genotype, in V variants.

    Attributes
    ----------
    counts : float64 array (V, 3)
        Samples with the codes 0, 1 and 2; of dosages those expected.
    n : int64 array (V,)
        Samples observed.
    effective : float64 array (V, 3)
        The same; of dosages at most the effective number of carriers of the genotype.
    """

    counts: Float64Array
    n: Int64Array
    effective: Float64Array

    @classmethod
    def of(cls, block: Block, columns: Int64Array, mask: UInt64Array) -> "Classes":
        """Count the genotypes of the samples ``columns`` (n,), which are a mask (W,).

        Raises
        ------
        DosageError
            The block holds dosages without the probabilities of genotypes.
        """
        if isinstance(block, GenotypeBlock):
            codes = np.empty((block.n_variants, 4), np.int64)
            count_codes(block.packed.view(np.uint64), mask, codes)
            counts = codes[:, :3].astype(np.float64)
            return cls(counts, np.asarray(codes[:, :3].sum(axis=1)), counts)
        one, two, any_copy = probabilities(block)
        n = allele_counts(block, columns, mask).n
        # Who has the genotype 0 is who has not any copy: as many carry it in effect.
        expected = [0.5 * allele_counts(part, columns, mask).coded for part in (any_copy, one, two)]
        counts = np.stack([n - expected[0], expected[1], expected[2]], axis=1)
        carriers = np.stack([carriers_in_effect(part, columns) for part in (any_copy, one, two)], axis=1)
        return cls(counts, n, np.minimum(counts, carriers))

    @property
    def n_present(self) -> Int64Array:
        """How many of the three genotypes occur (V,): a test of two degrees of freedom needs all three."""
        return np.asarray((self.counts > 0).sum(axis=1))

    @property
    def rarest(self) -> Float64Array:
        """Twice the samples of the rarest genotype (V,), to compare with ``min_mac``."""
        return np.asarray(2.0 * self.effective.min(axis=1))

    def without_estimate(self, mac: Float64Array, least: float, n_coefficients: int) -> list[tuple[BoolArray, str]]:
        """Masks (V,) of rows without an estimate and their codes; a row has the code of the first mask it is in."""
        return [
            (self.n == 0, "n_too_small"),
            ((self.n_present <= 1) & (mac > 0), "constant_genotype"),
            (self.n_present <= 1, "monomorphic"),
            (self.n <= n_coefficients, "n_too_small"),
            (self.n_present == 2, "collinear"),
            (np.minimum(mac, self.rarest) < least, "too_few_carriers"),
        ]


def tested_calls(
    tested: Tested, block: Block, flipped: BoolArray, variants: Int64Array, columns: Int64Array
) -> tuple[Float64Array, Float64Array | None]:
    """Copies of the minor allele of some variants and samples (R, n), and of dosages the probability of one copy, where that is tested."""
    calls = minor_counts(block, flipped, variants, columns)
    if not tested.heterozygotes or isinstance(block, GenotypeBlock):
        return calls, None
    one = probabilities(block.take(variants))[0]
    return calls, 0.5 * minor_counts(one, np.zeros(variants.size, np.bool_), np.arange(variants.size), columns)


def contrast_estimates(
    tested: Tested, theta: Float64Array, covariance: Float64Array
) -> tuple[Float64Array, Float64Array]:
    """Estimates and standard errors (..., K) of every test from coefficients (..., D) and covariances (..., D, D).

    The test of all coefficients at once has none.
    """
    beta = np.zeros((*theta.shape[:-1], len(tested.tests)))
    variance = np.zeros(beta.shape)
    # Spelt out: a matrix product may round differently for other shapes, and a row must not depend on the rows computed with it.
    for i in range(tested.n_columns):
        beta = beta + theta[..., i, None] * tested.contrasts[:, i]
        for j in range(tested.n_columns):
            variance = variance + covariance[..., i, j, None] * (tested.contrasts[:, i] * tested.contrasts[:, j])
    if tested.joint >= 0:
        beta[..., tested.joint] = np.nan
        variance[..., tested.joint] = np.nan
    with np.errstate(invalid="ignore"):
        return beta, np.sqrt(variance)


def joint_statistic(theta: Float64Array, covariance: Float64Array) -> Float64Array:
    """``theta' V^-1 theta`` (R,) of coefficients (R, D) and covariances (R, D, D), each column adjusted for those before."""
    rest, V = theta.copy(), covariance.copy()
    total = np.zeros(theta.shape[0])
    with np.errstate(invalid="ignore", divide="ignore"):
        for j in range(theta.shape[1]):
            total = total + rest[:, j] ** 2 / V[:, j, j]
            for k in range(j + 1, theta.shape[1]):
                share = V[:, k, j] / V[:, j, j]
                rest[:, k] = rest[:, k] - share * rest[:, j]
                V[:, k, j + 1 :] = V[:, k, j + 1 :] - share[:, None] * V[:, j, j + 1 :]
    return total


def alleles_at_once(names: Sequence[str]) -> Tested:
    """The D alleles of one record as columns: one test of all of them, with D degrees of freedom."""
    return Tested((f"alleles_{len(names)}df",), np.zeros((1, len(names))))


def with_interaction(model: Any, cohort: Any) -> tuple[Any, tuple[str, ...]]:
    """The model with the covariate of its interaction among its covariates, and a note if it had to be added."""
    if model.interaction is None:
        return model, ()
    covariates, joined = with_main_effect(cohort.phenotypes, model.covariates, model.interaction)
    return replace(model, covariates=covariates), joined


def modifier_of(model: Any, cohort: Any, X: Float64Array, complete: BoolArray) -> Modifier | None:
    """E of an interaction, checked against covariates X (N, C); ``complete`` (N,): samples with all covariates and a weight."""
    if model.interaction is None:
        return None
    modifier = read_modifier(cohort.phenotypes, cohort.rows, model.interaction, complete)
    check_main_effect(modifier, X, complete)
    return modifier
