"""Negative binomial regression in words and names."""

from genassoc.models.about import About

ABOUT = About(
    outcome="count",
    likelihood="overdispersed_counts",
    reference="negative_binomial",
    counts="rates",
    scale="log rate",
    ratio="rate ratio",
    among="{n} events",
    choices=("exposure",),
)
