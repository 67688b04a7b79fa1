"""How much information is behind a row: in events beside carriers, and where it no longer carries a reference distribution.

Few carriers cost a variance degrees of freedom, which families count themselves (Satterthwaite). Few events do something worse: a
sum over a handful of samples is skewed, its variance is estimated from the same handful, and the two depend on each other; no
degrees of freedom say that. What counts is the effective number of events (Kish), ``(sum w)^2 / sum w^2`` of what each adds to the
score's variance by its size (its weight, its count, or both): four events of which one weighs as much as a hundred are one event.

What is counted are margins: outcomes, weights, and which calls are observed. Which of the carriers have the event plays no part, so
that rows with and without a p are told apart by nothing that a test could use. See docs/decisions/0022-few-events.md.
"""

import numpy as np

from genassoc.shapes import Float64Array

# Below so many effective events a Wald test with a sandwich variance finds too much, at any frequency of the allele.
LEAST_OF_SANDWICH = 50.0
# The same in each arm, of an interaction: what is tested there has Hotelling's and Satterthwaite's degrees, and a gate of its own.
LEAST_OF_ARM = 30.0
# Below so many effective events counts are tested by their exact law given the events, above by the law of their residuals.
LEAST_OF_COUNTS = 30.0
# Below so many events expected among the carriers a Wald test of counts finds too much, and the likelihood ratio does not.
LEAST_OF_WALD = 20.0
# Below so many effective samples in the score of ordered levels its p is of the law of the levels.
LEAST_OF_LEVELS = 30.0
LEAST_CARRIERS_OF_LEVELS = 20.0  # minor alleles, likewise
EXACT_LAW = (
    "p come from the exact distribution of which samples have the events, method 'exact'; rows of an interaction with a sandwich "
    "variance have no estimate"
)
FEW_EVENTS = "few_events"  # the code of a row that no law here carries


def effective_number(total: Float64Array, squares: Float64Array) -> Float64Array:
    """Effective number of events of which sizes add to ``total`` and their squares to ``squares``; 0 without any."""
    with np.errstate(invalid="ignore", divide="ignore"):
        return np.where(squares > 0.0, total * total / np.where(squares > 0.0, squares, 1.0), 0.0)


def effective_size(sizes: Float64Array) -> float:
    """`effective_number` of sizes (n,)."""
    return float(effective_number(sizes.sum(), (sizes * sizes).sum()))


def sides_of_binary(y: Float64Array, weight: Float64Array) -> Float64Array:
    """Sizes (2, n) of a binary outcome's cases and controls: what is rarer of them counts."""
    return np.stack([np.where(y == 1.0, weight, 0.0), np.where(y == 1.0, 0.0, weight)])


def squared_scores(residual: Float64Array) -> Float64Array:
    """Sizes (1, n) where no outcome is the event: squares of what the samples add to a score of ordered levels.

    Their effective number is (sum r^2)^2 / sum r^4: of two levels, one of them rare, the number of samples in it.
    """
    return (residual * residual)[None]


STEPS = 100.0  # of the largest size, where sizes are no small whole numbers


def whole_sizes(sizes: Float64Array) -> Float64Array:
    """Sizes (n,) of events as whole numbers: 1 where all are the same, themselves where whole and few, else in steps of the largest.

    Sizes are no outcome but constants of a statistic: of rounded ones it is another statistic, a hair less powerful and as exact.
    """
    there = sizes > 0.0
    if not there.any():
        return np.zeros(sizes.size)
    largest = float(sizes.max())
    if float(sizes[there].min()) == largest:
        return there.astype(np.float64)
    if largest <= STEPS and (sizes == np.floor(sizes)).all():
        return sizes.copy()
    return np.floor(sizes * (STEPS / largest) + 0.5)


def few_note(name: str, effective: float, least: float, instead: str) -> list[str]:
    """What is said, once a trait, where its events are few: ``instead`` is what its rows have."""
    if effective >= least:
        return []
    return [f"{name}: {effective:.3g} effective events, fewer than {least:g}: {instead} (docs/decisions/0022)"]
