"""genassoc: genome-wide association from VCF, exact and fast.

The public names are loaded when they are first used: ``import genassoc`` itself imports nothing heavy.
"""

from importlib import import_module
from typing import Any

_NAMES = {
    "AuditWarning": "genassoc.explanation.audit",
    "UnreadDosagesWarning": "genassoc.errors",
    "ClusterError": "genassoc.errors",
    "CodingWarning": "genassoc.errors",
    "Cohort": "genassoc.data.cohort.cohort",
    "Cox": "genassoc.models.cox.model",
    "Dask": "genassoc.engine.executors_dask",
    "GenassocError": "genassoc.errors",
    "GenotypeStore": "genassoc.data.store.store",
    "InputError": "genassoc.errors",
    "Linear": "genassoc.models.linear.model",
    "Logistic": "genassoc.models.logistic.model",
    "Ordinal": "genassoc.models.ordinal.model",
    "OutputError": "genassoc.errors",
    "PhenotypeError": "genassoc.errors",
    "PlanError": "genassoc.errors",
    "Poisson": "genassoc.models.poisson.model",
    "Results": "genassoc.results",
    "ReusedWarning": "genassoc.errors",
    "SampleMismatchError": "genassoc.errors",
    "Serial": "genassoc.engine.executors",
    "StoreError": "genassoc.errors",
    "Threads": "genassoc.engine.executors",
    "UncheckedWarning": "genassoc.errors",
    "adjust": "genassoc.verbs.adjustment",
    "associate": "genassoc.verbs.association",
    "associate_predictors": "genassoc.verbs.predictors",
    "convert": "genassoc.verbs.stores",
    "demo": "genassoc.verbs.demonstration",
    "explain": "genassoc.explanation",
    "open_store": "genassoc.verbs.stores",
    "permute": "genassoc.verbs.permutation",
    "run": "genassoc.verbs.runs",
    "sample_qc": "genassoc.verbs.quality",
    "simulate_cohort": "genassoc.simulate",
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
