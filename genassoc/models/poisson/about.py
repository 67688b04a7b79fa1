"""Poisson regression in words and names."""

from genassoc.models.about import About

ABOUT = About(
    outcome="count",
    likelihood="counts",
    reference="poisson",
    counts="rates",
    scale="log rate",
    ratio="rate ratio",
    among="{n} events",
    choices=("exposure", "dispersion"),
)
