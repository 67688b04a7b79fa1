"""Seeded cohorts whose truth is known: genotypes with LD, ancestry and relatives, rare variants of genes, phenotypes with planted effects."""

from genassoc.simulate.cohort import SimulatedCohort, simulate_cohort
from genassoc.simulate.families import SimulatedFamilies, simulate_families
from genassoc.simulate.family_traits import SimulatedTrait
from genassoc.simulate.genes import SimulatedGenes, simulate_genes

__all__ = [
    "SimulatedCohort",
    "SimulatedFamilies",
    "SimulatedGenes",
    "SimulatedTrait",
    "simulate_cohort",
    "simulate_families",
    "simulate_genes",
]
