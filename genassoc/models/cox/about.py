"""Proportional hazards regression in words and names."""

from genassoc.models.about import About

ABOUT = About(
    outcome="survival",
    likelihood="hazards",
    reference="proportional_hazards",
    counts="followed",
    scale="log hazard",
    ratio="hazard ratio",
    among="{n} with the event",
    events="events",
    with_event="samples with the event",
    choices=("time", "event", "entry", "strata", "cause", "ties", "ph_time"),
)
