"""Logistic regression in words and names."""

from genassoc.models.about import About

ABOUT = About(
    outcome="binary",
    likelihood="binary",
    reference="binomial",
    counts="shares",
    scale="log odds",
    ratio="odds ratio",
    among="{n} of them cases",
    events="cases",
    with_event="cases",
    either_side=True,
    risks=True,
    instead={"matched": "matched"},
)
