"""Rows of SKAT, SKAT-O and ACAT-V: scores once a set and null model, laws once a distinct column of it."""

import math
from collections.abc import Sequence
from dataclasses import dataclass, field, replace

import numpy as np

from genassoc.data.block import Block
from genassoc.models.base import CODE, METHOD
from genassoc.models.scan.set_null import SetNull
from genassoc.models.sets import calibrated
from genassoc.models.sets.calibrated import OutcomeLaw, RareTests
from genassoc.models.sets.columns import Markers, empty_rows
from genassoc.models.sets.residual_sets import ResidualLaws, residual_tests
from genassoc.models.sets.scores import Carriers, SetScores, carriers_of_any, set_scores
from genassoc.models.sets.shared_carriers import Draw, drawn_tests, outcomes_of
from genassoc.models.sets.tests import skat, skat_o
from genassoc.shapes import Array, BoolArray, Float64Array, Int64Array, UInt64Array
from genassoc.stats.cauchy import acat

N_TOP = 3
SCREENED = (
    1.0  # -log10 p of normal scores below which many expected events let it stand, as where a scan corrects nothing
)
DRAWN = 2.0  # -log10 p from which columns with carriers in common are checked by drawn outcomes
FEW_EXPECTED = 10.0  # events among the carriers of a column: with fewer, exact laws whatever the p
LAWS = {"binary": "bernoulli", "survival": "hazard"}  # of outcomes, by what a model's traits are


@dataclass(frozen=True, kw_only=True)
class ScoreTests:
    """The tests of D distinct columns by scores.

    Attributes
    ----------
    tests : tuple of str
        Of "skat", "skato", "acatv".
    markers : Markers
    sets : int64 array (D,)
        Which set each column is of; columns of a set stand together.
    raw : sequence of int64 arrays
        Of each column its variants, as rows of the block.
    shown : Block
        The markers' block as the model counts it.
    samples : (int64 array, uint64 array)
        The cohort's columns and mask.
    single : float64 array (V + E, T) or None
        -log10 p of each row of the markers' block by itself.
    corrected : bool array (V + E, T) or None
        Where that p is of another law than that of normal scores; None where normal laws are asked for.
    burden : float64 array (D, T) or None
        -log10 p of the weighted sum of the markers, NaN where it is not known.
    outcome : str
        What the traits are.
    """

    tests: tuple[str, ...]
    markers: Markers
    sets: Int64Array
    raw: Sequence[Int64Array]
    shown: Block
    samples: tuple[Int64Array, UInt64Array]
    single: Float64Array | None
    corrected: BoolArray | None
    burden: Float64Array | None
    outcome: str

    def rows(self, nulls: Sequence[SetNull], n_traits: int) -> tuple[dict[str, Array], Int64Array]:
        """Rows (D, T, K), and the rows of the markers' block that weigh most in the scores (D, T, 3)."""
        D, K = self.sets.size, len(self.tests)
        made = empty_rows((D, n_traits, max(K, 1)))
        top = np.full((D, n_traits, N_TOP), -1, np.int64)
        carriers = Carriers.of(self.shown, *self.samples, self.markers.counts.flipped)
        edges = np.flatnonzero(np.append(True, np.diff(self.sets) != 0)) if D else np.zeros(0, np.int64)
        for null in nulls:
            law = self._laws(null)
            for first, last in zip(edges, [*edges[1:], D]):
                self._of_set(null, law, carriers, range(int(first), int(last)), made, top)
        if "acatv" in self.tests:
            self._combine_variants(made, self.tests.index("acatv"))
        return made, top

    def _combine_variants(self, made: dict[str, Array], k: int) -> None:
        """ACAT-V of all columns: the Cauchy combination of the p of their rows, weighted by w^2 maf (1 - maf); columns of one size together."""
        assert self.single is not None
        maf = self.markers.counts.maf
        sizes = np.array([rows.size for rows in self.markers.lists])
        for size in np.unique(sizes):
            columns = np.flatnonzero(sizes == size)
            rows = np.stack([self.markers.lists[d] for d in columns])
            weights = np.stack([self.markers.weights[d] for d in columns])
            of_variant = weights**2 * maf[rows] * (1 - maf[rows])
            p = acat(self.single[rows].transpose(0, 2, 1), of_variant[:, None])
            coded = made["code"][columns, :, k] > 0
            made["neg_log_10_p_value"][columns, :, k] = np.where(coded, np.nan, p)
            lacking = ~coded & np.isnan(p)
            made["method"][columns, :, k] = np.where(coded | lacking, 0, METHOD["cauchy"])
            made["code"][columns, :, k] = np.where(lacking, CODE["no_variance"], made["code"][columns, :, k])

    def _laws(self, null: SetNull) -> "Laws | None":
        """The laws of outcomes and of residuals; None where laws of normal scores are asked for."""
        if null.failure is not None or self.corrected is None:
            return None
        outcome, kind = None, LAWS.get(self.outcome)
        if self.outcome == "count":
            outcome = _law_of_counts(null)
        elif kind is not None:
            event = np.zeros(null.width)
            event[null.events] = 1.0
            outcome = OutcomeLaw(kind, event - null.residual[0])
        return Laws(outcome, null)

    def _of_set(
        self,
        null: SetNull,
        law: "Laws | None",
        carriers: Carriers,
        columns: range,
        made: dict[str, Array],
        top: Int64Array,
    ) -> None:
        """Fill the rows of the columns of one set, for the traits of a null."""
        t = np.array(null.traits)
        lists = self.markers.lists
        union = np.unique(np.concatenate([lists[d] for d in columns] + [self.raw[d] for d in columns]))
        scores = set_scores(null, carriers, union)
        for d in columns:
            at, of_raw = np.searchsorted(union, lists[d]), np.searchsorted(union, self.raw[d])
            n_carriers, n_events = carriers_of_any(null, carriers, self.raw[d])
            made["mac"][d, t] = scores.mac[of_raw].sum()
            made["n"][d, t] = null.n
            made["n_carriers"][d, t] = n_carriers
            if null.events.size:
                made["n_carriers_cases"][d, t] = n_events
            code = null.failure or self._too_few(null, n_carriers)
            if null.failure is None:
                share = np.square(self.markers.weights[d] * scores.U[:, at])
                order = np.argsort(-share, axis=1, kind="stable")[:, :N_TOP]
                top[d, t, : order.shape[1]] = lists[d][order]
            if code is not None:
                made["code"][d, t] = CODE[code]
            else:
                self._of_column(null, law, carriers, d, scores.take(at), made)

    def _too_few(self, null: SetNull, n_carriers: int) -> str | None:
        """Why a column has no test by scores: its burden alone has laws that hold."""
        n_events = null.n_informative
        controls = null.n - n_events if self.outcome == "binary" else None
        return calibrated.code_of_sets(n_carriers, n_events, controls) or None

    def _of_column(
        self,
        null: SetNull,
        law: "Laws | None",
        carriers: Carriers,
        d: int,
        scores: SetScores,
        made: dict[str, Array],
    ) -> None:
        """Fill the rows of one column."""
        t, rows, weights = np.array(null.traits), self.markers.lists[d], self.markers.weights[d]
        p, methods = made["neg_log_10_p_value"], made["method"]
        quadratic = [test for test in self.tests if test in ("skat", "skato")]
        by_test = {test: k for k, test in enumerate(self.tests)}
        if not quadratic:
            return
        factors = self._factors(d, rows, t, scores)
        alike = np.flatnonzero((factors == 1.0).all(axis=1))
        groups = [(alike, scores.V)] if alike.size else []
        for i in np.flatnonzero((factors != 1.0).any(axis=1)):
            groups.append((np.array([i]), factors[i][:, None] * scores.V * factors[i]))
        for some, V in groups:
            adjusted = V is not scores.V
            for test in quadratic:
                k = by_test[test]
                tested = (skat if test == "skat" else skat_o)(scores.U[some], V, scores.scale[some], weights)
                made["statistic"][d, t[some], k] = tested.statistic
                p[d, t[some], k] = tested.neg_log_10_p
                methods[d, t[some], k] = (
                    METHOD["adjusted"] if adjusted else [METHOD[str(name)] for name in tested.method]
                )
        if law is not None:
            self._by_law(law, carriers, d, scores, by_test, made)
        for test in quadratic:
            k = by_test[test]
            lacking = np.isnan(p[d, t, k])
            made["code"][d, t[lacking], k] = CODE["no_variance"]
            methods[d, t[lacking], k] = 0

    def _factors(self, d: int, rows: Int64Array, t: Int64Array, scores: SetScores) -> Float64Array:
        """What scores are multiplied by (T_p, m) so that variances agree with calibrated p of single variants; 1 where these are normal."""
        factors = np.ones((t.size, rows.size))
        if self.corrected is None or self.single is None:
            return factors
        corrected = self.corrected[np.ix_(rows, t)]
        for i in np.flatnonzero(corrected.any(axis=0)):
            single = np.where(corrected[:, i], self.single[rows, t[i]], np.nan)
            V = scores.scale[i] * scores.V
            burden = np.nan if self.burden is None else float(self.burden[d, t[i]])
            factors[i] = calibrated.score_factors(scores.U[i], V, single, burden, self.markers.weights[d])
        return factors

    def _by_law(
        self,
        laws: "Laws",
        carriers: Carriers,
        d: int,
        scores: SetScores,
        by_test: dict[str, int],
        made: dict[str, Array],
    ) -> None:
        """Put the p of laws of their own in place of those of normal scores, where these may be wrong."""
        wanted = [test for test in ("skat", "skato") if test in by_test]
        p, null = made["neg_log_10_p_value"][d], laws.null
        columns: calibrated.Columns | None = None
        for i, trait in enumerate(null.traits):
            likely = max((p[trait, by_test[test]] for test in wanted), default=0.0)
            if laws.outcome is None and not likely > SCREENED:
                continue
            columns = self._carriers(null, carriers, d) if columns is None else columns
            found = None
            if laws.outcome is not None:
                expected = float(laws.outcome.mean[columns.samples].sum())
                if expected >= FEW_EXPECTED and likely < SCREENED:
                    continue
                found = calibrated.rare_tests(
                    scores.U[i] / scores.scale[i], scores.V / scores.scale[i], self.markers.weights[d], columns, laws.outcome,
                    skat_o="skato" in by_test,
                )  # fmt: skip
            draw = None if laws.outcome is None else outcomes_of(laws.outcome)
            if found is not None and self.outcome == "count":
                self._put(found, (d, trait), by_test, made)
            if found is None or math.isnan(found.skat) or self.outcome == "count":
                found, draw = self._by_residuals(laws, i, columns, d, scores, "skato" in by_test), laws.drawn(i)
            if found is None:
                continue
            self._put(found, (d, trait), by_test, made)
            least = max(p[trait, by_test[test]] for test in wanted)
            if found.shared > calibrated.SHARED and least > DRAWN and draw is not None:
                scale = float(scores.scale[i])
                drawn = drawn_tests(scores.U[i] / scale, scores.V, self.markers.weights[d], columns, draw, null.weight)
                self._put(replace(found, skat=drawn.skat, skat_o=drawn.skat_o), (d, trait), by_test, made)

    def _by_residuals(
        self, laws: "Laws", i: int, columns: calibrated.Columns, d: int, scores: SetScores, skat_o: bool
    ) -> RareTests | None:
        """The p of the law of the residuals of the null's i-th trait; None where scores are as good as normal."""
        residuals, scale = laws.residuals(i), float(scores.scale[i])
        if residuals is None or not residuals.are_needed(np.diff(columns.offsets)) or not scale > 0.0:
            return None
        return residual_tests(
            scores.U[i] / scale, scores.V, self.markers.weights[d], columns, laws.null.weight, residuals, skat_o=skat_o
        )

    def _put(self, found: RareTests, row: tuple[int, int], by_test: dict[str, int], made: dict[str, Array]) -> None:
        """The p of a law into a row. Of one column SKAT-O is SKAT."""
        alone = self.markers.lists[row[0]].size == 1
        for test, value in (("skat", found.skat), ("skato", found.skat if alone else found.skat_o)):
            if test not in by_test or not np.isfinite(value):
                continue
            at = *row, by_test[test]
            before = made["neg_log_10_p_value"][at]
            # Where samples carry several of the columns, these are not independent, and counts may have other laws: the larger p of both. The
            # law of the residuals is for tails that are heavier than a normal's.
            larger = found.shared > calibrated.SHARED or found.method == "residual_set" or self.outcome == "count"
            if before < value and larger:
                continue
            made["neg_log_10_p_value"][at] = max(value, 0.0)
            made["method"][at] = METHOD[found.method]

    def _carriers(self, null: SetNull, carriers: Carriers, d: int) -> calibrated.Columns:
        """The carriers of a column's variants among a null's samples."""
        entries, status = carriers.entries, null.status
        pointers = entries.pointers
        offsets, samples, doses = [0], [], []
        for row in self.markers.lists[d]:
            of_row = slice(int(pointers[row]), int(pointers[row + 1]))
            columns, copies = entries.samples[of_row] >> 1, entries.copies[of_row]
            known = ~np.isnan(copies) & (status[columns] > 0)
            samples.append(columns[known])
            doses.append(copies[known])
            offsets.append(offsets[-1] + int(known.sum()))
        return calibrated.Columns(
            np.array(offsets, np.int64), np.concatenate(samples).astype(np.int64), np.concatenate(doses)
        )


@dataclass
class Laws:
    """The laws of a null's outcomes, where they are events, and of its residuals, made when they are first asked for."""

    outcome: OutcomeLaw | None
    null: SetNull
    made: dict[int, ResidualLaws | None] = field(default_factory=dict)

    def residuals(self, i: int) -> ResidualLaws | None:
        """Of the null's i-th trait."""
        if i not in self.made:
            self.made[i] = ResidualLaws.of(self.null, i)
        return self.made[i]

    def drawn(self, i: int) -> Draw | None:
        """Draws of the residuals of the null's i-th trait."""
        laws = self.residuals(i)
        return None if laws is None else laws.draws(self.null, i)


def _law_of_counts(null: SetNull) -> OutcomeLaw:
    """Poisson counts, or with more variance negative binomial ones: with the model's alpha, or of the variance that was estimated."""
    if null.alpha > 0.0:
        mean = null.weight / (1.0 - null.alpha * null.weight)
        return OutcomeLaw("negative_binomial", mean, null.alpha, slope=True)
    dispersion = 1.0 / float(null.scale[0])
    if not dispersion > 1.0:
        return OutcomeLaw("poisson", null.weight)
    seen = null.weight > 0.0
    alpha = np.divide(dispersion - 1.0, null.weight, out=np.zeros(null.width), where=seen)
    return OutcomeLaw("negative_binomial", null.weight, alpha)
