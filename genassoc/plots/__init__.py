"""Plots of results: functions of a results table. matplotlib's only door; imported when a plot is drawn."""

from genassoc.plots.components import pca
from genassoc.plots.figure import save_figure
from genassoc.plots.lollipop import lollipop
from genassoc.plots.manhattan import manhattan
from genassoc.plots.miami import miami
from genassoc.plots.qq import qq
from genassoc.plots.relatives import kinship
from genassoc.plots.samples import heterozygosity

__all__ = ["heterozygosity", "kinship", "lollipop", "manhattan", "miami", "pca", "qq", "save_figure"]
