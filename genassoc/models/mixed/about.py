"""The linear mixed model in words and names."""

from genassoc.models.about import About

ABOUT = About(
    outcome="quantitative",
    likelihood="mixed",
    reference="mixed",
    counts="values",
    scale="units of {trait}",
    choices=("rank_normalise", "loco", "grm", "grm_maf"),
)
