"""What is computed of each distinct column of variants (a set, a mask, a bin), for every trait and test; units that are alike share it."""

import math
from dataclasses import dataclass, replace

import numpy as np

from genassoc.data.block import Block, DosageBlock
from genassoc.models.base import AssociationModel
from genassoc.models.scan.genome import Scan, ScanState
from genassoc.models.sets.burden import CohortCounts, Members, carried, most_copies, weighted_sums, with_rows
from genassoc.models.sets.choices import SetChoices
from genassoc.shapes import Array, Float64Array, Int64Array, UInt64Array

COLUMN_BYTES = 64 * 2**20  # of pseudo-variants that are held at a time
FLOATS = ("beta", "standard_error", "statistic", "neg_log_10_p_value")


def empty_rows(shape: tuple[int, ...]) -> dict[str, Array]:
    """Columns of results without anything in them."""
    made: dict[str, Array] = {name: np.full(shape, np.nan) for name in (*FLOATS, "mac")}
    made |= {name: np.full(shape, -1, np.int64) for name in ("n", "n_carriers", "n_carriers_cases")}
    return made | {name: np.zeros(shape, np.uint8) for name in ("method", "code")}


def weight_of(maf: Float64Array, choices: SetChoices) -> Float64Array:
    """Weights of variants by their minor allele frequency: the density of a beta distribution, or 1."""
    shape = choices.beta_shape
    if shape is None:
        return np.ones_like(maf)
    a, b = shape
    maf = np.maximum(maf, 1e-300)  # of what nobody carries, which is in no column
    with np.errstate(divide="ignore"):
        log = math.lgamma(a + b) - math.lgamma(a) - math.lgamma(b) + (a - 1) * np.log(maf) + (b - 1) * np.log1p(-maf)
    return np.asarray(np.exp(log))


@dataclass(frozen=True)
class Columns:
    """D columns of variants of a block.

    Attributes
    ----------
    block : Block
    counts : CohortCounts
        Of its variants.
    members : Members
        Of each column.
    weights : float64 array
        One a member.
    """

    block: Block
    counts: CohortCounts
    members: Members
    weights: Float64Array

    def burdens(self, model: AssociationModel, state: ScanState, kind: str) -> tuple[dict[str, Array], tuple[str, ...]]:
        """Rows (D, T, K) of the burden of each column, and the K names of its tests."""
        D, T = len(self.members), len(state.traits)
        each = (
            16 * self.block.n_samples if kind == "sum" or isinstance(self.block, DosageBlock) else self.block.n_samples
        )
        step = max(1, COLUMN_BYTES // each)
        parts: list[dict[str, Array]] = []
        tests: tuple[str, ...] = ()
        # What is gated by the copies of a sum of weights is gated by those of its variants.
        scan = Scan(replace(model, min_mac=0.0) if kind == "sum" else model)
        for first in range(0, D, step):
            some = self.members.between(first, min(D, first + step))
            unit = np.ones(len(some))
            made: Block
            if kind == "sum":
                made, unit = weighted_sums(
                    self.block, self.counts, some, self.weights[self._of(first, first + len(some))]
                )
            else:
                made = most_copies(self.block, self.counts, some)
                made = carried(made) if kind == "collapse" else made
            result = scan.block(state, made)
            tests = result.labels["test"][: len(result.labels["test"]) // T]
            found = {name: values.reshape(len(some), T, len(tests)) for name, values in result.columns.items()}
            if "statistic" not in found:
                found["statistic"] = found["beta"] / found["standard_error"]
            per_unit = unit[:, None, None]
            parts.append(
                {
                    "beta": found["beta"] / per_unit,
                    "standard_error": found["standard_error"] / per_unit,
                    **{name: found[name] for name in ("statistic", "neg_log_10_p_value", "method", "code", "n")},
                }
            )
        if not parts:
            return {}, tuple(_burden_name(test) for test in tests)
        joined = {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}
        return joined, tuple(_burden_name(test) for test in tests)

    def _of(self, first: int, last: int) -> slice:
        return slice(int(self.members.pointers[first]), int(self.members.pointers[last]))


def _burden_name(test: str) -> str:
    """The name of a scan's test, of a burden: "add" is "burden", "add:E" "burden:E"."""
    if test.startswith("add"):
        return "burden" + test[3:]
    return f"burden:{test}"


@dataclass(frozen=True)
class Markers:
    """What SKAT and its kin are made of: variants of a block, and behind them columns of very rare ones.

    Attributes
    ----------
    block : Block
        (V + E) rows.
    counts : CohortCounts
        Of them.
    lists : tuple of int64 arrays
        Of each of D columns its rows.
    weights : tuple of float64 arrays
        And their weights.
    collapsed : tuple of int
        Variants of each of the E columns.
    """

    block: Block
    counts: CohortCounts
    lists: tuple[Int64Array, ...]
    weights: tuple[Float64Array, ...]
    collapsed: tuple[int, ...]

    @classmethod
    def of(cls, columns: Columns, choices: SetChoices, samples: tuple[Int64Array, UInt64Array]) -> "Markers":
        """The variants of columns, those with few minor alleles in the cohort as one; ``samples`` are the cohort's columns and mask."""
        V = columns.block.n_variants
        lists: list[Int64Array] = []
        weights: list[Float64Array] = []
        together: list[Int64Array] = []
        for d in range(len(columns.members)):
            rows = columns.members[d]
            own = columns.weights[columns._of(d, d + 1)]
            rare = columns.counts.mac[rows] <= choices.collapse_below
            if np.count_nonzero(rare) > 1:
                lists.append(np.append(rows[~rare], V + len(together)))
                # The weight of one column of variants with weights of their own: the largest of them.
                weights.append(np.append(own[~rare], own[rare].max() if choices.weighs_by_column else np.nan))
                together.append(rows[rare])
            else:
                lists.append(rows)
                weights.append(own)
        if not together:
            return cls(columns.block, columns.counts, tuple(lists), tuple(weights), ())
        more = most_copies(columns.block, columns.counts, Members.of(together))
        block = with_rows(columns.block, more)
        counts = CohortCounts.of(block, *samples)
        by_frequency = weight_of(counts.maf, choices)
        for d, own in enumerate(weights):
            if np.isnan(own[-1:]).any():
                own[-1] = by_frequency[lists[d][-1]]
        return cls(block, counts, tuple(lists), tuple(weights), tuple(rows.size for rows in together))
