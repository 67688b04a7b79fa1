"""genassoc: genome-wide association from VCF, exact and fast.

The public names are loaded when they are first used: ``import genassoc`` itself imports nothing heavy.
"""

from importlib import import_module
from typing import Any

_NAMES = {
    "AuditWarning": "genassoc.audit",
    "UnreadDosagesWarning": "genassoc.errors",
    "ClusterError": "genassoc.errors",
    "CodingWarning": "genassoc.errors",
    "Cohort": "genassoc.data.cohort",
    "Cox": "genassoc.methods.cox",
    "Dask": "genassoc.engine.executors_dask",
    "GenassocError": "genassoc.errors",
    "GenotypeStore": "genassoc.data.store",
    "InputError": "genassoc.errors",
    "Linear": "genassoc.methods.linear",
    "Logistic": "genassoc.methods.logistic",
    "Ordinal": "genassoc.methods.ordinal",
    "OutputError": "genassoc.errors",
    "PhenotypeError": "genassoc.errors",
    "PlanError": "genassoc.errors",
    "Poisson": "genassoc.methods.poisson",
    "Results": "genassoc.results",
    "ReusedWarning": "genassoc.errors",
    "SampleMismatchError": "genassoc.errors",
    "Serial": "genassoc.engine.executors",
    "StoreError": "genassoc.errors",
    "Threads": "genassoc.engine.executors",
    "UncheckedWarning": "genassoc.errors",
    "adjust": "genassoc.adjustment",
    "associate": "genassoc.api",
    "associate_predictors": "genassoc.predictors",
    "convert": "genassoc.api",
    "demo": "genassoc.demonstration",
    "explain": "genassoc.explanation",
    "open_store": "genassoc.api",
    "permute": "genassoc.permutation",
    "run": "genassoc.analysis",
    "sample_qc": "genassoc.api",
    "simulate_cohort": "genassoc.simulate",
    "to_allel": "genassoc.api",
    "to_dask": "genassoc.api",
    "variant_qc": "genassoc.api",
}
_MODULES = {"endpoints": "genassoc.data.endpoints", "plots": "genassoc.plots", "variants": "genassoc.data.variants"}

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
