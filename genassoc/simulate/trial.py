"""What happens to the people of a simulated statin trial: an adverse event, the time to a cardiac one, and admissions to hospital.

The first two depend on arm by genotype: one variant raises the odds of muscle pain on statin alone (as SLCO1B1's c.521T>C
does), another adds to what statin takes off the hazard of a cardiac event. Sizes are larger than life, so that 2,000
people show them.
"""

from dataclasses import dataclass

import numpy as np
import polars as pl

from genassoc.shapes import BoolArray, Float64Array, Int64Array
from genassoc.simulate.genotypes import Genotypes, generator

ODDS_RATIO = 4.0  # of muscle pain for one more ALT, on statin
HAZARD_RATIO = 0.5  # of a cardiac event for one more ALT, on statin
STATIN_HAZARD_RATIO = 0.75
_PAIN = 0.05  # of those on placebo
_HAZARD = 0.05  # a year, on placebo
_FOLLOW_UP = (3.0, 6.0)  # years
_ADMISSIONS = 0.4  # a year
_ALPHA = 1.0  # how much the rates of admissions differ between people
_FREQUENCIES = {"muscle_pain": 0.17, "cardiac_event": 0.35}
_UNITS = {"muscle_pain": "log odds", "cardiac_event": "log hazard"}


@dataclass(frozen=True)
class Trial:
    """Outcomes of N people, and the planted effects.

    Attributes
    ----------
    outcomes : DataFrame (N rows)
        ``muscle_pain`` (0, 1), ``years`` (of follow-up, to the event or the end), ``cardiac_event`` (0, 1), ``admissions`` (a count
        over these years, negative binomial).
    effects : tuple of (trait, variant, effect, unit)
        ``variant`` is its number in the cohort; effects are of one more ALT on statin.
    """

    outcomes: pl.DataFrame
    effects: tuple[tuple[str, int, float, str], ...]


def draw_trial(
    seed: int, genotypes: Genotypes, age: Float64Array, treated: BoolArray, frequency: Float64Array, taken: Int64Array
) -> Trial:
    """Draw the outcomes of a trial.

    Parameters
    ----------
    seed : int
    genotypes : Genotypes
    age : float64 array (N,)
        Years.
    treated : bool array (N,)
        Who is on statin.
    frequency : float64 array (V,)
        Of ALT.
    taken : int64 array
        Variants with effects on other traits.
    """
    rng = generator(seed, "trial")
    N = age.size
    chosen = _choose(rng, frequency, taken)
    dosage = {trait: genotypes.complete_codes(np.array([v]))[0].astype(np.float64) for trait, v in chosen.items()}
    none = np.zeros(N)
    on_statin = {trait: np.where(treated, dosage.get(trait, none), 0.0) for trait in _FREQUENCIES}
    log_odds = np.log(_PAIN / (1 - _PAIN)) + 0.02 * (age - 58.0) + np.log(ODDS_RATIO) * on_statin["muscle_pain"]
    pain = rng.random(N) < 1.0 / (1.0 + np.exp(-log_odds))
    log_hazard = np.log(_HAZARD) + 0.04 * (age - 58.0) + np.log(STATIN_HAZARD_RATIO) * treated
    log_hazard = log_hazard + np.log(HAZARD_RATIO) * on_statin["cardiac_event"]
    event = rng.exponential(1.0, N) / np.exp(log_hazard)
    end = rng.uniform(*_FOLLOW_UP, N)
    years = np.maximum(np.minimum(event, end), 0.001).round(3)
    of_counts = generator(seed, "admissions")  # a stream of its own: the others stay as they were
    rate = _ADMISSIONS * years * np.exp(0.03 * (age - 58.0)) * of_counts.gamma(1.0 / _ALPHA, _ALPHA, N)
    outcomes = pl.DataFrame(
        {
            "muscle_pain": pain.astype(np.int64),
            "years": years,
            "cardiac_event": (event <= end).astype(np.int64),
            "admissions": of_counts.poisson(rate),
        }
    )
    sizes = {"muscle_pain": float(np.log(ODDS_RATIO)), "cardiac_event": float(np.log(HAZARD_RATIO))}
    effects = tuple((trait, variant, round(sizes[trait], 3), _UNITS[trait]) for trait, variant in chosen.items())
    return Trial(outcomes, effects)


def _choose(rng: np.random.Generator, frequency: Float64Array, taken: Int64Array) -> dict[str, int]:
    """A variant for each outcome: of about the frequency wanted, free of other effects; none in a toy without any."""
    free = np.ones(frequency.size, dtype=bool)
    free[taken] = False
    chosen: dict[str, int] = {}
    for trait, wanted in _FREQUENCIES.items():
        near = np.flatnonzero(free & (np.abs(frequency - wanted) < 0.05))
        if near.size:
            chosen[trait] = int(rng.choice(near))
            free[chosen[trait]] = False
    return chosen
