"""Linear regression in words and names."""

from genassoc.models.about import About

ABOUT = About(
    outcome="quantitative",
    likelihood="normal",
    reference="least_squares",
    counts="values",
    scale="units of {trait}",
    choices=("rank_normalise", "baseline", "adjust_baseline"),
)
