"""Small seeded cohorts: genotypes with LD and ancestry structure, phenotypes with planted effects."""

from genassoc.simulate.cohort import SimulatedCohort, simulate_cohort

__all__ = ["SimulatedCohort", "simulate_cohort"]
