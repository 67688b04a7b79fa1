"""The function of time in the test of proportional hazards, made of the samples that a row analyses.

Of R's ``cox.zph`` (survival 3): "km" is one less the Kaplan-Meier estimate just before each time, over all strata together; "rank" the
rank of each time among those of all samples, events and not. Both are those of the samples in the fit, so that a row with missing
calls has its own.
"""

from typing import NamedTuple

import numpy as np

from genassoc.kernels import jit
from genassoc.shapes import BoolArray, Float64Array, Int64Array


class Times(NamedTuple):
    """When samples (n,) leave and enter, as numbers among their distinct times (S).

    Attributes
    ----------
    slot, entry : int64 arrays (n,)
        The number of each sample's time, and of the first time that it is at risk at.
    event_slot : int64 array (K,)
        The number of each event time.
    n_slots : int
        S.
    by_rank : bool
        Ranks, else Kaplan-Meier.
    """

    slot: Int64Array
    entry: Int64Array
    event_slot: Int64Array
    n_slots: int
    by_rank: bool


@jit
def clock_of(times: Times, who: Int64Array, event: BoolArray, clock: Float64Array) -> None:
    """The function of time at each event time, into ``clock`` (K,), less its mean over the events of the samples ``who`` (m,).

    Ranks are divided by the number of samples: the scale changes no test.
    """
    S, m = times.n_slots, who.size
    value, leaving, deaths, entering = np.zeros(S), np.zeros(S), np.zeros(S), np.zeros(S + 1)
    for j in range(m):
        leaving[times.slot[who[j]]] += 1.0
        entering[min(times.entry[who[j]], times.slot[who[j]])] += 1.0
        if event[j]:
            deaths[times.slot[who[j]]] += 1.0
    below, at_risk, alive = 0.0, 0.0, 1.0
    mean, total = 0.0, 0.0
    for s in range(S):
        if times.by_rank:
            value[s] = (below + 0.5 * (leaving[s] + 1.0)) / max(m, 1)
        else:
            value[s] = 1.0 - alive
        at_risk += entering[s]
        if at_risk > 0.0:
            alive *= 1.0 - deaths[s] / at_risk
        at_risk -= leaving[s]
        below += leaving[s]
        mean += deaths[s] * value[s]
        total += deaths[s]
    mean /= max(total, 1.0)
    for k in range(clock.size):
        clock[k] = value[times.event_slot[k]] - mean
