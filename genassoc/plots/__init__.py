"""Plots of results: functions of a results table. matplotlib's only door; imported when a plot is drawn.

Pictures that need the samples or the genotypes of a cohort live above this storey, in `genassoc.explanation.pictures`: this room lends them
its name, and loads them when they are first asked for.
"""

from importlib import import_module
from typing import TYPE_CHECKING

from genassoc.formats.sets.gtf import read_genes
from genassoc.plots.case_status import case_status
from genassoc.plots.components import pca
from genassoc.plots.figure import save_figure
from genassoc.plots.forest import forest
from genassoc.plots.hover import hovering, svg
from genassoc.plots.lollipop import lollipop
from genassoc.plots.manhattan import manhattan
from genassoc.plots.miami import miami
from genassoc.plots.pages import page
from genassoc.plots.qq import qq
from genassoc.plots.relatives import kinship
from genassoc.plots.samples import heterozygosity

if TYPE_CHECKING:
    from genassoc.explanation.pictures import effect_by_arm as effect_by_arm
    from genassoc.explanation.pictures import effect_by_genotype as effect_by_genotype
    from genassoc.explanation.pictures import kaplan_meier as kaplan_meier
    from genassoc.explanation.pictures import regional as regional

_OF_COHORTS = ("effect_by_arm", "effect_by_genotype", "kaplan_meier", "regional")

__all__ = [
    "case_status", "effect_by_arm", "effect_by_genotype", "forest", "heterozygosity", "hovering", "kaplan_meier", "kinship", "lollipop", "manhattan", "miami",
    "page", "pca", "qq", "read_genes", "regional", "save_figure", "svg",
]  # fmt: skip


def __getattr__(name: str) -> object:
    if name not in _OF_COHORTS:
        raise AttributeError(f"module 'genassoc.plots' has no attribute {name!r}")
    found: object = getattr(import_module("genassoc.explanation.pictures"), name)
    globals()[name] = found
    return found


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
