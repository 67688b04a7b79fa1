"""What a model of association is, and the rows that it gives."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, ClassVar, Protocol

from genassoc.data.analysis import BlockAnalysis, State
from genassoc.shapes import Array

# The tests that a row can have, and why a row has no estimate or one to take with care: numbers of the columns "method" and "code".
METHODS: tuple[str | None, ...] = (
    None, "score", "score_approx", "wald", "lrt", "firth", "firth_approx", "spa", "exact", "t", "f", "t_hc3", "t_hc0",
    "f_hc3", "f_hc0", "wald_hc3", "wald_hc0", "wald_robust", "dosage_law", "lrt_f",
    # of sets of variants
    "inversion", "kuonen", "liu", "cauchy", "bound", "exact_set", "adjusted", "residual_set",
)  # fmt: skip
CODES: tuple[str | None, ...] = (
    None,
    "monomorphic",
    "constant_genotype",
    "n_too_small",
    "too_few_carriers",
    "collinear",
    "covariate_collinear",
    "not_converged",
    "null_not_converged",
    "refit_not_converged",
    "one_outcome",
    "no_events",
    "too_few_events",
    "no_carrier_events",
    "few_events",
    "separation",
    "separated",
    "no_variance",
    "no_residual_variance",
    "perfect_fit",
    "leverage_of_one",
    "skewed_score",
    "tail_failed",
    "spa_failed",
    "heavy_tails",
    "overdispersed",
    "approximate_genotypes",
    "no_variants",
)
METHOD = {name: number for number, name in enumerate(METHODS)}
CODE = {name: number for number, name in enumerate(CODES)}
CATEGORIES: Mapping[str, tuple[str | None, ...]] = {"method": METHODS, "code": CODES}


@dataclass(frozen=True)
class BlockResult:
    """Rows of one block: V variants x T traits x K tests.

    Attributes
    ----------
    columns : mapping of arrays (V, T * K)
        float64 or int64 values, or uint8 indices into ``categories[name]``.
    labels : mapping of tuples of length T * K
        What is constant along a column of rows: "trait" and "test".
    categories : mapping of tuples
        What the uint8 columns ("method", "code") mean; None is "no code".
    """

    columns: Mapping[str, Array]
    labels: Mapping[str, tuple[str, ...]]
    categories: Mapping[str, tuple[str | None, ...]] = field(default_factory=lambda: CATEGORIES)


class ModelState(Protocol):
    """What every model's state says of itself."""

    @property
    def traits(self) -> tuple[str, ...]:
        """T names."""

    @property
    def notes(self) -> tuple[str, ...]:
        """What there is to say of the traits and covariates."""

    @property
    def n_incomplete(self) -> int:
        """Samples of the cohort that lack a covariate."""

    @property
    def n_by_trait(self) -> list[int]:
        """Complete samples of each trait."""

    @property
    def cohort_columns(self) -> Array:
        """The cohort's samples as columns of a block, (N,)."""


class AssociationModel(BlockAnalysis[State, BlockResult], Protocol[State]):
    """A model of the literature: a frozen dataclass of choices, never of data.

    Attributes
    ----------
    outcome : str
        What its traits are: "quantitative", "binary", ... (see `genassoc.data.phenotypes.design.build_design`).
    needs : tuple of str
        Choices without which there is no model.
    traits : tuple of str
        Names of the outcomes, as the rows' column "trait" has them.
    covariates : tuple of str, or str
        Names, or a formula.
    rows_per_variant : int
        Rows of results a variant: traits x tests.
    """

    __dataclass_fields__: ClassVar[dict[str, Any]]

    needs: ClassVar[tuple[str, ...]]

    @property
    def outcome(self) -> str:
        """What its traits are."""

    @property
    def traits(self) -> tuple[str, ...]:
        """T names."""

    @property
    def covariates(self) -> tuple[str, ...] | str:
        """Names, or a formula."""

    @property
    def rows_per_variant(self) -> int:
        """Rows of results a variant."""
