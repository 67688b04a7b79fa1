"""How the samples of one trait were sampled, for fitting its rows anew: sampling weights, matched sets."""

from collections.abc import Mapping
from typing import Any

import numpy as np

from genassoc.data.cohort.cohort import Cohort
from genassoc.data.phenotypes.survival import strata_numbers
from genassoc.data.phenotypes.weights import read_weights
from genassoc.shapes import BoolArray, Float64Array, Int64Array


def sampling_weights(
    cohort: Cohort, choices: Mapping[str, Any], complete: BoolArray
) -> tuple[Float64Array | None, BoolArray]:
    """Weights of a cohort's samples (N,), NaN where there is none, and who of the ``complete`` ones (N,) has one."""
    if not choices.get("weights"):
        return None, complete
    found = read_weights(cohort.phenotypes, cohort.rows, str(choices["weights"]))
    return found.values, complete & found.there


def matched_sets(
    cohort: Cohort, choices: Mapping[str, Any], y: Float64Array, complete: BoolArray
) -> tuple[Int64Array | None, BoolArray]:
    """Numbers of matched sets (N,), and who of the ``complete`` samples (N,) is in one with a case and a control.

    Parameters
    ----------
    cohort : Cohort
    choices : mapping
        ``matched`` names the column.
    y : float64 array (N,)
        1 of cases, 0 of controls.
    complete : bool array (N,)
    """
    if not choices.get("matched"):
        return None, complete
    column = cohort.phenotypes.resolve([str(choices["matched"])], "matched set")
    sets, _ = strata_numbers(cohort.phenotypes, cohort.rows, column)
    complete = complete & (sets >= 0)
    n_sets = int(sets.max(initial=-1)) + 1
    members = np.bincount(sets[complete], minlength=n_sets)
    cases = np.bincount(sets[complete], y[complete], minlength=n_sets)
    says = np.append((cases > 0) & (cases < members), False)  # the last one for who is in no set
    return sets, complete & says[sets]
