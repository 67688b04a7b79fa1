"""Times to an event: Cox's model of the covariates, and a ridge regression by its partial likelihood at level 1."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
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

TIME, ENTRY, STRATUM, EVENT = range(4)  # columns of the response


@dataclass(frozen=True)
class PartialLikelihood:
    """Cox's partial likelihood of n samples.

    Attributes
    ----------
    response : float64 array (n, 4)
        Time, entry, stratum and event.
    eta : float64 array (n,)
        Log hazards of the covariates.
    """

    response: Float64Array
    eta: Float64Array

    @cached_property
    def sets(self) -> RiskSets:
        """Who is at risk when."""
        return sets_of(self.response)

    def at(self, eta: Float64Array) -> State:
        """Martingale residuals are the score; their variance is the number of events expected."""
        sums = risk_sums(self.sets, 0)
        none = np.zeros((eta.size, 0))
        value = partial_likelihood(none, self.eta + eta, np.zeros(0), self.sets, sums, np.zeros(0), np.zeros((0, 0)))
        return State(value, self.sets.event - sums.expected, sums.expected)

    def of(self, samples: BoolArray) -> "PartialLikelihood":
        """That of some samples: no other is at risk."""
        return PartialLikelihood(self.response[samples], self.eta[samples])


def sets_of(response: Float64Array) -> RiskSets:
    """Who is at risk when, of samples without a missing value; ties as Efron's."""
    stratum = response[:, STRATUM].astype(np.int64)
    return risk_sets(response[:, TIME], response[:, EVENT] == 1, response[:, ENTRY], stratum)[0]


def _time_of(cohort: "Cohort", choices: WholeGenomeRegression, trait: str) -> str:
    """The column of the time of an event.

    Raises
    ------
    PhenotypeError
        There is not one for all events or one for each.
    """
    events = cohort.phenotypes.resolve(choices.traits, "trait")
    times = cohort.phenotypes.resolve(choices.time, "time")
    if len(times) not in (1, len(events)):
        raise PhenotypeError(
            f"time is one column for all events or one for each: there are {len(events)} events ({', '.join(events)}) and {len(times)} times "
            f"({', '.join(times)})"
        )
    return times[0] if len(times) == 1 else times[events.index(trait)]


class TimeToEvent:
    """A time, and whether the event happened then; named as the event's column."""

    name: ClassVar[str] = "survival"
    unit: ClassVar[Unit] = "trait"
    penalty_factor: ClassVar[float] = 1.0

    def null(self, cohort: "Cohort", choices: WholeGenomeRegression, trait: str) -> TraitNull:
        """See `genassoc.analyses.whole_genome.frame.Outcome.null`."""
        design = build_survival(
            cohort.phenotypes, cohort.rows, (_time_of(cohort, choices, trait),), (trait,), choices.covariates, entry=choices.entry,
            strata=choices.strata, cause=None if choices.cause is None else str(choices.cause),
        )  # fmt: skip
        (endpoint,) = design.endpoints
        observed: BoolArray = design.complete & ~np.isnan(endpoint.time)
        N = observed.size
        response = np.column_stack([endpoint.time, design.entry, design.stratum.astype(np.float64), endpoint.event])
        own = response[observed]
        sets = sets_of(own)
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
        return TraitNull(
            name=trait, observed=observed, response=response, eta=eta, working=working, scale=scale, strata=strata, n_covariates=P + 1,
            notes=notes,
        )  # fmt: skip

    def level1(
        self, null: TraitNull, X: Float32Array, folds: Folds, penalties: Float64Array, chromosomes: Sequence[slice]
    ) -> TraitFit:
        """See `genassoc.analyses.whole_genome.frame.Outcome.level1`."""
        return cross_validated(null.name, PartialLikelihood(null.response, null.eta), X, folds, penalties, chromosomes)
