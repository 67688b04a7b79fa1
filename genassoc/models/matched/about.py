"""Conditional logistic regression of matched sets in words and names."""

from genassoc.models.about import About

ABOUT = About(
    outcome="binary",
    likelihood="conditional",
    reference="conditional_logistic",
    counts="shares",
    scale="log odds",
    ratio="odds ratio",
    among="{n} of them cases",
    events="cases",
    with_event="cases",
    either_side=True,
    choices=("matched",),
)
