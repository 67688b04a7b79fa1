"""The tests of sets of variants: pseudo-variants through the scan, scores and their covariance, laws; put together into rows."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from genassoc.data.block import X_OUTSIDE_PAR, Block, places_of
from genassoc.data.cohort.cohort import Cohort
from genassoc.data.sets.matched import MatchedSets
from genassoc.errors import PhenotypeError
from genassoc.kernels.genotypes.counts import mask_words
from genassoc.models.base import CODE, METHOD, AssociationModel
from genassoc.models.scan.genome import Scan, ScanState, halved_in_males
from genassoc.models.sets.burden import CohortCounts, Members, most_copies
from genassoc.models.sets.choices import ChosenSets, SetChoices
from genassoc.models.sets.columns import FLOATS, Columns, Markers, empty_rows, weight_of
from genassoc.models.sets.null import SetNull, set_nulls
from genassoc.models.sets.score_tests import N_TOP, ScoreTests
from genassoc.shapes import Array, BoolArray, Float64Array, Int64Array, UInt64Array
from genassoc.stats.cauchy import acat

ALL_MASKS = -1  # of rows that combine the p of a set
_WITHOUT = ("burden", "skat")  # tests that are done again without each variant
WITHOUT = ":without"
_NORMAL = [METHOD[name] for name in ("score", "score_approx", "t")]


@dataclass(frozen=True)
class Unit:
    """A set, a mask and a bin of frequency: one column of variants.

    Attributes
    ----------
    number : int
        Of the set.
    mask, bin : int
    rows : int64 array
        Rows of the block.
    left_out : int
        The row that is left out of them; -1 where none is.
    """

    number: int
    mask: int
    bin: int
    rows: Int64Array
    left_out: int = -1


@dataclass(frozen=True)
class SetRows:
    """Rows of results of some sets, in their order.

    Attributes
    ----------
    columns : mapping of arrays (R,)
        "set", "mask", "bin", "trait" and "test" are numbers (`ALL_MASKS`: of all); "method" and "code" as
        `genassoc.models.sets.columns` has them; "left_out" a row of the block or -1; the rest as in the table, -1 for no count.
    tests : tuple of str
        What the numbers of "test" mean.
    top : int64 array (R, 3)
        Rows of the block, those beyond it of ``collapsed``; -1 where there is none.
    collapsed : tuple of int
        Variants of each column of very rare ones.
    n_missing : int
        Calls of variants in a mask that are missing.
    """

    columns: dict[str, Array]
    tests: tuple[str, ...]
    top: Int64Array
    collapsed: tuple[int, ...] = ()
    n_missing: int = 0


@dataclass(frozen=True)
class SetTests:
    """An analysis of matched sets of variants under one model.

    Attributes
    ----------
    model : AssociationModel
    chosen : ChosenSets
        The sets, and what is tested of them by this model (`SetChoices.for_model`).
    """

    model: AssociationModel
    chosen: ChosenSets

    @property
    def choices(self) -> SetChoices:
        """What is tested."""
        return self.chosen.choices

    @property
    def matched(self) -> MatchedSets:
        """The sets."""
        return self.chosen.matched

    def prepare(self, cohort: Cohort) -> ScanState:
        """The null models, as of a scan."""
        state: ScanState = Scan(self.model).prepare(cohort)
        self._nulls(state.elsewhere)  # which says now what has no scores
        notes = self._notes()
        if state.conditioned.size:
            n = np.unique(np.concatenate([np.intersect1d(one, state.conditioned) for one in self.matched.members])).size
            notes.append(f"condition_on: {n:,} variants of sets are covariates, and left out of every mask")
        return replace(state, notes=(*state.notes, *notes))

    def _notes(self) -> list[str]:
        below, tests = self.choices.collapse_below, self.choices.tests or ()
        notes = [
            "sets: minor alleles are counted; frequencies are those of the cohort's samples; a missing call counts as the mean of its variant"
            + (", and in a burden of the most copies as none" if self.choices.burden != "sum" else "")
        ]
        if below and {"skat", "skato", "acatv"} & set(tests):
            notes.append(
                f"skat, skato, acatv: the variants of a mask with at most {below:g} minor alleles in the cohort are one variant"
            )
        return notes

    def rows(self, state: ScanState, block: Block, found: Sequence[tuple[int, Int64Array, Int64Array]]) -> SetRows:
        """Rows of some sets.

        Parameters
        ----------
        block : Block
            Of calls, or of dosages of one kind; the rows of a set lie anywhere in it.
        found : sequence of (number, which, rows)
            Of each set, which of its members are there, and their rows of the block; all on X outside the pseudo-autosomal regions, or none.
        """
        columns = state.cohort_columns
        samples = columns, mask_words(columns, block.n_samples)
        counts, places = CohortCounts.of(block, *samples), places_of(block)
        on_x = any(bool((places.ploidy[rows] == X_OUTSIDE_PAR).any()) for _, _, rows in found)
        usable = (counts.mac > 0) & ~np.isin(places.numbers, state.conditioned)
        units = [unit for one in found for unit in self._units(*one, counts, usable)]
        distinct, of_unit = _distinct(units)
        members = Members.of([units[u].rows for u in distinct])
        numbers = np.array([units[u].number for u in distinct], np.int64)
        weights = self._weights(found, members.rows, counts)
        made, top, names, collapsed = self._columns(
            state, Columns(block, counts, members, weights), samples, numbers, on_x
        )
        tested = np.zeros(block.n_variants, np.bool_)
        tested[members.rows] = True
        rows, top = self._rows(state, units, of_unit, made, top, names)
        return SetRows(rows, (*names, *self._more_tests(names)), top, collapsed, int(counts.n_missing[tested].sum()))

    def _more_tests(self, names: tuple[str, ...]) -> tuple[str, ...]:
        """Tests beyond those of a mask."""
        return ("acato", *(name + WITHOUT for name in names))

    def _units(
        self, number: int, which: Int64Array, rows: Int64Array, counts: CohortCounts, usable: BoolArray
    ) -> list[Unit]:
        """The columns of a set, mask by mask and bin by bin."""
        choices, matched = self.choices, self.matched
        annotation = matched.annotation[number][which]
        ours, maf, mac = usable[rows], counts.maf[rows], counts.mac[rows]
        bins = [ours & (maf <= bound) for bound in choices.max_maf]
        if choices.singletons:
            bins.append(ours & (mac == 1))
        units = []
        for m, mask in enumerate(matched.masks):
            inside = np.isin(annotation, list(mask.annotations)) if mask.annotations else np.ones(rows.size, bool)
            for b, within in enumerate(bins):
                mine = rows[inside & within]
                units.append(Unit(number, m, b, mine))
                if choices.leave_one_out and mine.size > 1:
                    units += [Unit(number, m, b, np.delete(mine, k), int(row)) for k, row in enumerate(mine)]
        return units

    def _weights(
        self, found: Sequence[tuple[int, Int64Array, Int64Array]], rows: Int64Array, counts: CohortCounts
    ) -> Float64Array:
        """The weight of each member (rows of the block)."""
        given = self.chosen.weights
        if given is None:
            return weight_of(counts.maf, self.choices)[rows]
        of_row = np.zeros(counts.maf.size)
        for number, which, at in found:
            of_row[at] = given[number][which]
        return of_row[rows]

    def _columns(
        self,
        state: ScanState,
        columns: Columns,
        samples: tuple[Int64Array, UInt64Array],
        numbers: Int64Array,
        on_x: bool,
    ) -> tuple[dict[str, Array], Int64Array, tuple[str, ...], tuple[int, ...]]:
        """Rows (D, T, K) of distinct columns, what weighs most in them, the K names of tests, variants of the columns of very rare ones."""
        choices, tests = self.choices, self.choices.tests or ()
        members, D, T = columns.members, len(columns.members), len(state.traits)
        burdens: dict[str, Array] = {}
        names: tuple[str, ...] = ()
        if "burden" in tests:
            burdens, names = columns.burdens(self.model, state, choices.burden)
            names = names or ("burden",)
        by_scores = tuple(test for test in tests if test in ("skat", "skato", "acatv"))
        made = empty_rows((D, T, len(names) + len(by_scores)))
        for name, values in burdens.items():
            made[name][:, :, : len(names)] = values
        top = np.full((D, T, N_TOP), -1, np.int64)
        nulls = self._nulls(state.of(columns.block.contig, on_x)) if D else ()
        if not nulls:
            self._count_in_cohort(columns, samples, made)
            return made, top, (*names, *by_scores), ()
        markers = Markers.of(columns, choices, samples)
        shown: Block = markers.block
        if on_x and getattr(self.model, "male_x_dosage", 2) == 1:
            shown = halved_in_males(shown, state.males)
        single, corrected = self.single(state, markers.block) if by_scores else (None, None)
        scored, top = ScoreTests(
            tests=by_scores,
            markers=markers,
            sets=numbers,
            raw=[members[d] for d in range(D)],
            shown=shown,
            samples=samples,
            single=single,
            corrected=corrected,
            burden=self._known_burden(markers, burdens, columns),
            outcome=str(getattr(self.model, "outcome", "")),
        ).rows(nulls, T)
        for name, values in scored.items():
            if by_scores:
                made[name][:, :, len(names) :] = values
            if name in ("mac", "n_carriers", "n_carriers_cases"):
                made[name][:, :, : len(names)] = values[:, :, :1]
        if choices.burden == "sum":
            _gate(made, len(names), least_mac(self.model))
        return made, top, (*names, *by_scores), markers.collapsed

    def _nulls(self, fitted: object) -> tuple[SetNull, ...]:
        """The nulls of scores; none where the model has none and no test needs them.

        Raises
        ------
        PhenotypeError
            Some test needs them.
        """
        try:
            return set_nulls(fitted)
        except PhenotypeError:
            if set(self.choices.tests or ()) <= {"burden", "acato"}:
                return ()
            raise

    def _count_in_cohort(
        self, columns: Columns, samples: tuple[Int64Array, UInt64Array], made: dict[str, Array]
    ) -> None:
        """Alleles and carriers among the cohort's samples, where there are no nulls whose samples could be counted."""
        members = columns.members
        if not len(members):
            return
        most = most_copies(columns.block, columns.counts, members)
        carried = CohortCounts.of(most, *samples).carriers
        for d in range(len(members)):
            made["mac"][d] = columns.counts.mac[members[d]].sum()
            made["n_carriers"][d] = carried[d]
        if self.choices.burden == "sum":
            _gate(made, made["mac"].shape[2], least_mac(self.model))

    def _known_burden(self, markers: Markers, burdens: dict[str, Array], columns: Columns) -> Float64Array | None:
        """-log10 p (D, T) of the weighted sum of the markers, where the burden that is tested is that sum."""
        if not burdens or self.choices.burden != "sum":
            return None
        p = burdens["neg_log_10_p_value"][:, :, 0].copy()
        p[~_corrected(burdens["method"][:, :, 0])] = np.nan
        V = columns.block.n_variants
        p[[bool((rows >= V).any()) for rows in markers.lists]] = np.nan
        return p

    def single(self, state: ScanState, block: Block) -> tuple[Float64Array, BoolArray | None]:
        """-log10 p (V, T) of each variant by itself, however rare, and whether by another law than that of normal scores."""
        alone = Scan(replace(self.model, min_mac=1.0))
        columns = alone.block(state, block).columns
        p = np.asarray(columns["neg_log_10_p_value"])
        if not self.choices.calibrated:
            return p, None
        return p, _corrected(columns["method"])

    def _rows(
        self,
        state: ScanState,
        units: Sequence[Unit],
        of_unit: Int64Array,
        made: dict[str, Array],
        top: Int64Array,
        names: tuple[str, ...],
    ) -> tuple[dict[str, Array], Int64Array]:
        """Rows of units, and after those of a set the combination of its p: set, mask, bin, trait, test, variant left out."""
        T, K, U = len(state.traits), len(names), len(units)
        there = of_unit >= 0
        values = empty_rows((U, T, K))
        values["code"][:] = CODE["no_variants"]
        for name, found in made.items():
            values[name][there] = found[of_unit[there]]
        shown = np.full((U, T, K, N_TOP), -1, np.int64)
        shown[there] = top[of_unit[there]][:, :, None]
        number, mask, bin_, left_out = (
            np.array([getattr(unit, name) for unit in units], np.int64)
            for name in ("number", "mask", "bin", "left_out")
        )
        n_variants = np.array([unit.rows.size for unit in units], np.int64)
        test = np.arange(K)
        alone = np.array([name in _WITHOUT for name in names], bool)
        keep = np.broadcast_to((left_out < 0)[:, None, None] | alone, (U, T, K))
        test_of = np.where((left_out >= 0)[:, None, None], test + K + 1, test)
        grid = np.broadcast_to(np.arange(T)[:, None], (U, T, K))

        def wide(of_unit: Array) -> Array:
            return np.broadcast_to(of_unit[:, None, None], (U, T, K))[keep]

        rows: dict[str, Array] = {
            "set": wide(number), "mask": wide(mask), "bin": wide(bin_), "trait": grid[keep],
            "test": np.broadcast_to(test_of, (U, T, K))[keep], "left_out": wide(left_out), "n_variants": wide(n_variants),
            **{name: found[keep] for name, found in values.items()},
        }  # fmt: skip
        first, unit_of = _first_of_each(number), np.repeat(np.arange(U), keep.sum(axis=(1, 2)))
        order = np.searchsorted(np.flatnonzero(first), unit_of, side="right") - 1
        if "acato" in (self.choices.tests or ()):
            combined = self._combined(values, number, left_out, first, names)
            order = np.concatenate([order, np.repeat(np.arange(int(first.sum())), T)])
            unit_of = np.concatenate([unit_of, np.full(combined["set"].size, U)])
            rows = {name: np.concatenate([found, combined[name]]) for name, found in rows.items()}
            shown_rows = np.concatenate([shown[keep], np.full((combined["set"].size, N_TOP), -1, np.int64)])
        else:
            shown_rows = shown[keep]
        by = np.lexsort((rows["test"], rows["trait"], unit_of, order))
        return {name: found[by] for name, found in rows.items()}, shown_rows[by]

    def _combined(
        self,
        values: dict[str, Array],
        number: Int64Array,
        left_out: Int64Array,
        first: BoolArray,
        names: tuple[str, ...],
    ) -> dict[str, Array]:
        """A row a set and trait: the Cauchy combination of the p of its masks, bins and tests."""
        T = values["code"].shape[1]
        starts = np.append(np.flatnonzero(first), number.size)
        S = starts.size - 1
        rows = {name: found.reshape(-1) for name, found in empty_rows((S, T)).items()}
        p = np.full((S, T), np.nan)
        alike: dict[int, list[int]] = {}
        main = left_out < 0
        one = np.array([name in ("burden", "skat", "skato", "acatv") for name in names], bool)
        for s in range(S):
            mine = np.flatnonzero(main[starts[s] : starts[s + 1]]) + starts[s]
            alike.setdefault(mine.size, []).append(s)
        for sets in alike.values():
            at = np.stack([np.flatnonzero(main[starts[s] : starts[s + 1]]) + starts[s] for s in sets])
            # (sets, units, T, K) -> (sets, T, units * K)
            found = values["neg_log_10_p_value"][at][..., one].transpose(0, 2, 1, 3).reshape(len(sets), T, -1)
            p[sets] = acat(found)
        rows["neg_log_10_p_value"] = p.reshape(-1)
        has = np.isfinite(rows["neg_log_10_p_value"])
        rows["method"][:] = np.where(has, METHOD["cauchy"], 0)
        # Where nothing has a p, the reason is that of the widest column.
        why = values["code"][[np.flatnonzero(main[: starts[s + 1]])[-1] for s in range(S)]]
        rows["code"][:] = np.where(has, 0, why[:, :, 0].reshape(-1))
        rows["n"] = np.array(
            [values["n"][starts[s] : starts[s + 1]].max(axis=(0, 2)) for s in range(S)], np.int64
        ).reshape(-1)
        n = S * T
        return {
            **rows, "set": np.repeat(number[first], T), "mask": np.full(n, ALL_MASKS), "bin": np.full(n, ALL_MASKS),
            "trait": np.tile(np.arange(T), S), "test": np.full(n, len(names)), "left_out": np.full(n, -1),
            "n_variants": np.full(n, -1),
        }  # fmt: skip


def _corrected(method: Array) -> BoolArray:
    """Where a p is of another law than that of normal scores."""
    return ~np.isin(method, [METHOD[None], *_NORMAL])


def least_mac(model: AssociationModel) -> float:
    """Minor alleles below which a burden has no estimate, as a variant has none."""
    own = getattr(model, "min_mac", None)
    if own is not None:
        return float(own)
    return 0.0 if getattr(model, "like", None) == "plink2" else 5.0


def _gate(made: dict[str, Array], n_tests: int, least: float) -> None:
    """No estimate in the first tests of columns with fewer minor alleles than ``least``."""
    few = made["mac"][:, :, :n_tests] < least
    few &= made["code"][:, :, :n_tests] == 0
    for name in FLOATS:
        made[name][:, :, :n_tests][few] = np.nan
    made["method"][:, :, :n_tests][few] = 0
    made["code"][:, :, :n_tests][few] = CODE["too_few_carriers"]


def _first_of_each(number: Int64Array) -> BoolArray:
    """Where the units of a set begin."""
    return np.append(True, np.diff(number) != 0) if number.size else np.zeros(0, bool)


def _distinct(units: Sequence[Unit]) -> tuple[list[int], Int64Array]:
    """Units whose columns differ from all before, and which of them each unit is like; -1 where a unit has no variant."""
    seen: dict[tuple[int, bytes], int] = {}
    distinct: list[int] = []
    like = np.full(len(units), -1, np.int64)
    for u, unit in enumerate(units):
        if not unit.rows.size:
            continue
        key = unit.number, unit.rows.tobytes()
        if key not in seen:
            seen[key] = len(distinct)
            distinct.append(u)
        like[u] = seen[key]
    return distinct, like
