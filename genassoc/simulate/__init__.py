"""Seeded cohorts whose truth is known: genotypes with LD, ancestry and relatives, phenotypes with planted effects."""

from genassoc.simulate.cohort import SimulatedCohort, simulate_cohort
from genassoc.simulate.families import SimulatedFamilies, simulate_families
from genassoc.simulate.family_traits import SimulatedTrait

__all__ = ["SimulatedCohort", "SimulatedFamilies", "SimulatedTrait", "simulate_cohort", "simulate_families"]
