"""Times to an event: Cox's model of the covariates, and a ridge regression by its partial likelihood at level 1."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

import numpy as np

from genassoc.analyses.whole_genome.choices import WholeGenomeRegression
from genassoc.analyses.whole_genome.folds import Folds
from genassoc.analyses.whole_genome.frame import TraitFit, TraitNull
from genassoc.analyses.whole_genome.penalised import State, cross_validated
from genassoc.data.phenotypes.offsets import Unit
from genassoc.data.phenotypes.survival import build_survival
from genassoc.errors import PhenotypeError
from genassoc.kernels.likelihoods import cox
from genassoc.kernels.likelihoods.cox_sums import RiskSets, partial_likelihood, risk_sums
from genassoc.kernels.likelihoods.newton import FitOptions
from genassoc.kernels.likelihoods.rows import FINE
from genassoc.shapes import BoolArray, Float32Array, Float64Array
from genassoc.stats.linalg import orthonormal_basis
from genassoc.stats.risk_sets import risk_sets, within_strata

if TYPE_CHECKING:
    from genassoc.data.cohort.cohort import Cohort

TIME, EVENT, ENTRY, STRATUM = range(4)  # columns of the response


@dataclass(frozen=True)
class PartialLikelihood:
    """Cox's partial likelihood of n samples.

    Attributes
    ----------
    response : float64 array (n, 4)
        Time, event, entry and stratum.
    eta : float64 array (n,)
        Log hazards of the covariates.
    efron : bool
        Efron's ties, else Breslow's.
    """

    response: Float64Array
    eta: Float64Array
    efron: bool = True

    def __post_init__(self) -> None:
        sets = sets_of(self.response, self.efron)
        object.__setattr__(self, "sets", sets)

    def at(self, eta: Float64Array) -> State:
        """Martingale residuals are the score; their variance is the number of events expected."""
        sets: RiskSets = self.sets  # type: ignore[attr-defined]
        sums = risk_sums(sets, 0)
        none = np.zeros((eta.size, 0))
        value = partial_likelihood(none, self.eta + eta, np.zeros(0), sets, sums, np.zeros(0), np.zeros((0, 0)))
        return State(value, sets.event - sums.expected, sums.expected)

    def of(self, samples: BoolArray) -> "PartialLikelihood":
        """That of some samples: no other is at risk."""
        return PartialLikelihood(self.response[samples], self.eta[samples], self.efron)


def sets_of(response: Float64Array, efron: bool = True) -> RiskSets:
    """Who is at risk when, of samples without a missing value."""
    stratum = response[:, STRATUM].astype(np.int64)
    return risk_sets(response[:, TIME], response[:, EVENT] == 1, response[:, ENTRY], stratum, efron)[0]


class TimeToEvent:
    """A time, and whether the event happened then; named as the event's column."""

    name: ClassVar[str] = "survival"
    unit: ClassVar[Unit] = "trait"
    penalty_factor: ClassVar[float] = 1.0

    def null(self, cohort: "Cohort", choices: WholeGenomeRegression, trait: str) -> TraitNull:
        """See `genassoc.analyses.whole_genome.frame.Outcome.null`."""
        design = build_survival(
            cohort.phenotypes, cohort.rows, (choices.time_of(trait),), (trait,), choices.covariates, entry=choices.entry,
            strata=choices.strata, cause=choices.cause,
        )  # fmt: skip
        (endpoint,) = design.endpoints
        observed: BoolArray = design.complete & ~np.isnan(endpoint.time)
        N = observed.size
        response = np.column_stack([endpoint.time, endpoint.event, design.entry, design.stratum.astype(np.float64)])
        own = response[observed]
        sets = sets_of(own, choices.ties == "efron")
        basis = orthonormal_basis(within_strata(design.covariates.X[observed], design.stratum[observed]))
        X = np.ascontiguousarray(basis.Q[:, 1:])
        n, P = X.shape
        beta, sums, L = np.zeros(P), risk_sums(sets, P), np.zeros((P, P))
        n_events = int(own[:, EVENT].sum())
        if n_events <= P or n <= P + 1:
            raise PhenotypeError(
                f"{n_events:,} events of '{trait}' do not determine the {P} columns of its covariates: choose fewer covariates"
            )
        status, _, _ = cox.fit(X, np.zeros(n), sets, FitOptions(False, True, P), beta, sums, L)
        if status != FINE:
            raise PhenotypeError(
                f"Cox's model of '{trait}' on the covariates alone has no maximum: a covariate tells events apart; leave it out"
            )
        eta, working, strata = np.zeros(N), np.zeros(N), np.full(N, -1, dtype=np.int64)
        eta[observed] = X @ beta
        residual = sets.event - sums.expected
        # What covariates leave: blocks are regressed on variants without the covariates.
        scale = float(np.sqrt((residual @ residual) / max(n - P - 1, 1)))
        working[observed] = residual / scale
        strata[observed] = sets.event
        notes = (f"{trait}: {endpoint.coding}", *endpoint.lacking, *design.notes)
        return TraitNull(trait, observed, response, eta, working, scale, strata, P + 1, notes)

    def level1(
        self, null: TraitNull, X: Float32Array, folds: Folds, penalties: Float64Array, chromosomes: Sequence[slice]
    ) -> TraitFit:
        """See `genassoc.analyses.whole_genome.frame.Outcome.level1`."""
        return cross_validated(
            null.name, PartialLikelihood(null.response, null.eta), X, folds, penalties, chromosomes
        )
