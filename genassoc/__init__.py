"""genassoc: genome-wide association from VCF, BGEN, PLINK's and other files, exact and fast.

The public names are loaded when they are first used: ``import genassoc`` itself imports nothing heavy.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

# For editors and type checkers, which do not call `__getattr__`; a test compares it with the tables below.
if TYPE_CHECKING:
    from genassoc import plots as plots
    from genassoc.analyses.whole_genome.choices import WholeGenomeRegression as WholeGenomeRegression
    from genassoc.data.cohort import variants as variants
    from genassoc.data.cohort.cohort import Cohort as Cohort
    from genassoc.data.cohort.kept_variants import KeptVariants as KeptVariants
    from genassoc.data.cohort.long_range_ld import outside_long_range_ld as outside_long_range_ld
    from genassoc.data.cohort.variant_lists import read_variants as read_variants
    from genassoc.data.phenotypes import endpoints as endpoints
    from genassoc.data.sets.matched import match_sets as match_sets
    from genassoc.data.sets.variant_sets import VariantSets as VariantSets
    from genassoc.data.store.store import GenotypeStore as GenotypeStore
    from genassoc.engine.executors import Serial as Serial
    from genassoc.engine.executors import Threads as Threads
    from genassoc.engine.executors_dask import Dask as Dask
    from genassoc.errors import ClusterError as ClusterError
    from genassoc.errors import CodingWarning as CodingWarning
    from genassoc.errors import DosageError as DosageError
    from genassoc.errors import GenassocError as GenassocError
    from genassoc.errors import InputError as InputError
    from genassoc.errors import KinshipWarning as KinshipWarning
    from genassoc.errors import OutputError as OutputError
    from genassoc.errors import PhenotypeError as PhenotypeError
    from genassoc.errors import PlanError as PlanError
    from genassoc.errors import ReusedWarning as ReusedWarning
    from genassoc.errors import SampleMismatchError as SampleMismatchError
    from genassoc.errors import StoreError as StoreError
    from genassoc.errors import StructureWarning as StructureWarning
    from genassoc.errors import UncheckedWarning as UncheckedWarning
    from genassoc.errors import UnreadDosagesWarning as UnreadDosagesWarning
    from genassoc.errors import WithheldError as WithheldError
    from genassoc.explanation.audit import AuditWarning as AuditWarning
    from genassoc.explanation.explain import explain as explain
    from genassoc.formats.sake.patients import read_sake_patients as read_sake_patients
    from genassoc.models.cox.model import Cox as Cox
    from genassoc.models.linear.model import Linear as Linear
    from genassoc.models.logistic.model import Logistic as Logistic
    from genassoc.models.mixed.model import LinearMixed as LinearMixed
    from genassoc.models.negative_binomial.model import NegativeBinomial as NegativeBinomial
    from genassoc.models.ordinal.model import Ordinal as Ordinal
    from genassoc.models.poisson.model import Poisson as Poisson
    from genassoc.provenance import genassoc_version
    from genassoc.results import Results as Results
    from genassoc.results import SetResults as SetResults
    from genassoc.simulate import SimulatedTrait as SimulatedTrait
    from genassoc.simulate import simulate_cohort as simulate_cohort
    from genassoc.simulate import simulate_families as simulate_families
    from genassoc.simulate import simulate_genes as simulate_genes
    from genassoc.verbs.adjustment import adjust as adjust
    from genassoc.verbs.arrays import to_allel as to_allel
    from genassoc.verbs.arrays import to_dask as to_dask
    from genassoc.verbs.association import associate as associate
    from genassoc.verbs.calibration import calibrate as calibrate
    from genassoc.verbs.clumping import clump as clump
    from genassoc.verbs.components import PrincipalComponents as PrincipalComponents
    from genassoc.verbs.components import pca as pca
    from genassoc.verbs.demonstration import demo as demo
    from genassoc.verbs.exports import export as export
    from genassoc.verbs.gene_sets import associate_sets as associate_sets
    from genassoc.verbs.heritability import heritability as heritability
    from genassoc.verbs.kinship import kinship as kinship
    from genassoc.verbs.meta_analysis import meta_sets as meta_sets
    from genassoc.verbs.permutation import permute as permute
    from genassoc.verbs.predictions import WholeGenomePredictions as WholeGenomePredictions
    from genassoc.verbs.predictors import associate_predictors as associate_predictors
    from genassoc.verbs.pruning import ld_prune as ld_prune
    from genassoc.verbs.quality import case_quality as case_quality
    from genassoc.verbs.quality import sample_qc as sample_qc
    from genassoc.verbs.quality import variant_qc as variant_qc
    from genassoc.verbs.report import report as report
    from genassoc.verbs.runs import run as run
    from genassoc.verbs.sample_checks import check_heterozygosity as check_heterozygosity
    from genassoc.verbs.sample_checks import check_sex as check_sex
    from genassoc.verbs.sets import read_sets as read_sets
    from genassoc.verbs.sets import sets_from_gtf as sets_from_gtf
    from genassoc.verbs.sets import sets_from_vep as sets_from_vep
    from genassoc.verbs.stores import convert as convert
    from genassoc.verbs.stores import open_store as open_store
    from genassoc.verbs.whole_genome import fit_whole_genome as fit_whole_genome

    __version__ = genassoc_version()

_NAMES = {
    "KeptVariants": "genassoc.data.cohort.kept_variants",
    "outside_long_range_ld": "genassoc.data.cohort.long_range_ld",
    "read_variants": "genassoc.data.cohort.variant_lists",
    "VariantSets": "genassoc.data.sets.variant_sets",
    "match_sets": "genassoc.data.sets.matched",
    "ld_prune": "genassoc.verbs.pruning",
    "AuditWarning": "genassoc.explanation.audit",
    "UnreadDosagesWarning": "genassoc.errors",
    "ClusterError": "genassoc.errors",
    "CodingWarning": "genassoc.errors",
    "Cohort": "genassoc.data.cohort.cohort",
    "Cox": "genassoc.models.cox.model",
    "Dask": "genassoc.engine.executors_dask",
    "DosageError": "genassoc.errors",
    "GenassocError": "genassoc.errors",
    "GenotypeStore": "genassoc.data.store.store",
    "InputError": "genassoc.errors",
    "KinshipWarning": "genassoc.errors",
    "Linear": "genassoc.models.linear.model",
    "Logistic": "genassoc.models.logistic.model",
    "Ordinal": "genassoc.models.ordinal.model",
    "OutputError": "genassoc.errors",
    "WithheldError": "genassoc.errors",
    "PhenotypeError": "genassoc.errors",
    "PlanError": "genassoc.errors",
    "LinearMixed": "genassoc.models.mixed.model",
    "NegativeBinomial": "genassoc.models.negative_binomial.model",
    "Poisson": "genassoc.models.poisson.model",
    "Results": "genassoc.results",
    "SetResults": "genassoc.results",
    "ReusedWarning": "genassoc.errors",
    "SampleMismatchError": "genassoc.errors",
    "Serial": "genassoc.engine.executors",
    "StoreError": "genassoc.errors",
    "StructureWarning": "genassoc.errors",
    "Threads": "genassoc.engine.executors",
    "UncheckedWarning": "genassoc.errors",
    "PrincipalComponents": "genassoc.verbs.components",
    "WholeGenomePredictions": "genassoc.verbs.predictions",
    "WholeGenomeRegression": "genassoc.analyses.whole_genome.choices",
    "adjust": "genassoc.verbs.adjustment",
    "associate": "genassoc.verbs.association",
    "associate_predictors": "genassoc.verbs.predictors",
    "associate_sets": "genassoc.verbs.gene_sets",
    "calibrate": "genassoc.verbs.calibration",
    "check_heterozygosity": "genassoc.verbs.sample_checks",
    "check_sex": "genassoc.verbs.sample_checks",
    "clump": "genassoc.verbs.clumping",
    "convert": "genassoc.verbs.stores",
    "demo": "genassoc.verbs.demonstration",
    "explain": "genassoc.explanation.explain",
    "export": "genassoc.verbs.exports",
    "heritability": "genassoc.verbs.heritability",
    "fit_whole_genome": "genassoc.verbs.whole_genome",
    "kinship": "genassoc.verbs.kinship",
    "meta_sets": "genassoc.verbs.meta_analysis",
    "open_store": "genassoc.verbs.stores",
    "pca": "genassoc.verbs.components",
    "permute": "genassoc.verbs.permutation",
    "read_sake_patients": "genassoc.formats.sake.patients",
    "read_sets": "genassoc.verbs.sets",
    "sets_from_gtf": "genassoc.verbs.sets",
    "sets_from_vep": "genassoc.verbs.sets",
    "report": "genassoc.verbs.report",
    "run": "genassoc.verbs.runs",
    "case_quality": "genassoc.verbs.quality",
    "sample_qc": "genassoc.verbs.quality",
    "SimulatedTrait": "genassoc.simulate",
    "simulate_cohort": "genassoc.simulate",
    "simulate_families": "genassoc.simulate",
    "simulate_genes": "genassoc.simulate",
    "to_allel": "genassoc.verbs.arrays",
    "to_dask": "genassoc.verbs.arrays",
    "variant_qc": "genassoc.verbs.quality",
}
_MODULES = {
    "endpoints": "genassoc.data.phenotypes.endpoints",
    "plots": "genassoc.plots",
    "variants": "genassoc.data.cohort.variants",
}

__all__ = sorted([*_NAMES, *_MODULES])


def __getattr__(name: str) -> Any:
    if name in _MODULES:
        return import_module(_MODULES[name])
    if name in _NAMES:
        # Kept: a module of the same name would stand in its place from the second use on.
        globals()[name] = getattr(import_module(_NAMES[name]), name)
        return globals()[name]
    if name == "__version__":
        from genassoc.provenance import genassoc_version

        return genassoc_version()
    raise AttributeError(f"module 'genassoc' has no attribute {name!r}")


def __dir__() -> list[str]:
    return [*__all__, "__version__"]
