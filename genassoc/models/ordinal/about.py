"""Proportional odds regression of ordered levels in words and names."""

from genassoc.models.about import About

ABOUT = About(
    outcome="ordinal",
    likelihood="levels",
    reference="proportional_odds",
    counts="levels",
    scale="log odds of a higher level",
    ratio="odds ratio",
    choices=("levels",),
)
