"""Rows of results laid out together for `genassoc.refit.together`: rows of any variants and traits that share covariates and a test."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from genassoc.data.block import Block, DosageBlock, places_of
from genassoc.errors import PhenotypeError
from genassoc.refit import together
from genassoc.refit.fits import DenseFit, Outcome
from genassoc.refit.likelihoods import OfPredictor
from genassoc.refit.row_data import LIKELIHOODS, Cases, RowSource
from genassoc.refit.tested_columns import RowModifier, tested_columns
from genassoc.refit.together import Basis, Rows
from genassoc.shapes import BoolArray, Float64Array

_NUMBERS = 2**16  # of an array (B, N): half a megabyte: what a step needs stays in a core's cache
_METHODS = ("t", "f", "wald", "score", "score_approx", "lrt", "firth", "firth_approx")


@dataclass(frozen=True, eq=False)
class Asked:
    """One row of results: its variant's number in the store, the variant as a block of one, its trait, test and method."""

    number: int
    block: Block
    trait: str
    test: str
    method: str


class RowBatches:
    """Rows of one source, fitted together.

    Parameters
    ----------
    source : RowSource
    """

    def __init__(self, source: RowSource) -> None:
        self.source, self.choices = source, source.choices
        self._likelihood = LIKELIHOODS[source.about.likelihood]
        self._bases: dict[int, Basis] = {}
        self._nulls: dict[int, Float64Array] = {}

    def takes(self, row: Asked) -> bool:
        """Whether rows of such a method, of variants, may be fitted together."""
        as_plink2 = self.choices.get("like") == "plink2" and row.method in ("wald", "firth")
        known = issubclass(self._likelihood, OfPredictor) and row.method in _METHODS
        of_variant = not (isinstance(row.block, DosageBlock) and row.block.of_predictor)
        return known and of_variant and not as_plink2

    def fitted(self, asked: Mapping[int, Asked]) -> dict[int, tuple[DenseFit, int]]:
        """Fits of rows, by their numbers, and how many samples they have; rows that are not there have to be fitted by themselves."""
        found: dict[int, tuple[DenseFit, int]] = {}
        groups: dict[tuple[Any, ...], list[tuple[int, Cases]]] = {}
        for number, row in asked.items():
            if not self.takes(row):
                continue
            ploidy = int(places_of(row.block).ploidy[0])
            try:
                cases = self.source.outcome(*self.source.case_key(row.trait, row.number, ploidy))
            except PhenotypeError:
                continue  # by itself it says why
            groups.setdefault((id(cases.common), ploidy, row.test, row.method), []).append((number, cases))
        for (_, ploidy, test, method), members in groups.items():
            step = max(1, _NUMBERS // max(len(members[0][1].complete), 1))
            for first in range(0, len(members), step):
                some = members[first : first + step]
                blocks = [asked[number].block for number, _ in some]
                fits = self._fitted(blocks, [cases for _, cases in some], ploidy, test, method)
                found |= {number: fit for (number, _), fit in zip(some, fits) if fit is not None}
        return found

    def _fitted(
        self, blocks: list[Any], cases: list[Cases], ploidy: int, test: str, method: str
    ) -> list[tuple[DenseFit, int] | None]:
        """Rows of one test that share a basis."""
        whole = method == "score_approx" and not self._likelihood.screened
        copies, two = (np.concatenate(part) for part in zip(*(self.source.genotypes(block) for block in blocks)))
        G = self.source.tested(copies, ploidy, two)
        complete, observed = np.stack([one.complete for one in cases]), ~np.isnan(G[0])
        seen = complete if self.source.imputes else complete & observed
        if self.source.imputes:
            means = [np.where(seen & observed, g, 0.0).sum(axis=1) for g in G]
            counts = np.maximum((seen & observed).sum(axis=1), 1)
            G = tuple(np.where(observed, g, (mean / counts)[:, None]) for g, mean in zip(G, means))
        try:
            columns, k = self._columns(np.stack([np.where(seen, g, 0.0) for g in G], axis=-1), cases, test)
        except KeyError:
            return [None] * len(cases)  # no such arm: by itself it says so
        rows = self._rows(cases, complete if whole else seen, np.where(seen, columns, 0.0))
        try:
            with np.errstate(all="ignore"):  # what becomes NaN is fitted by itself
                fits = self._tests(rows, seen, k, method, self._near(rows, cases))
        except np.linalg.LinAlgError:
            return [None] * len(cases)
        n = seen.sum(axis=1).tolist()
        return [None if fit is None else (fit, many) for fit, many in zip(fits, n)]

    def _columns(self, G: Float64Array, cases: list[Cases], test: str) -> tuple[Float64Array, int]:
        """Columns (K, B, N) of a test, those tested last, and how many these are; of G (B, N, 1 or 2)."""
        made = []
        for g, one in zip(G, cases):
            modifier = None
            if one.modifier is not None:
                known = np.where(one.complete, one.modifier.values, 0.0)
                modifier = RowModifier(one.modifier.name, known, one.modifier.arms)
            columns = tested_columns(g, modifier, test)
            k = columns.tested.shape[1]
            made.append(np.column_stack([columns.nuisance, columns.tested]))
        return np.moveaxis(np.stack(made), -1, 0), k

    def _rows(self, cases: list[Cases], here: BoolArray, E: Float64Array) -> Rows:
        """Rows of samples ``here`` (B, N)."""
        weight = np.stack([np.where(one.complete, one.weight, 0.0) for one in cases]) * here
        weight /= np.maximum(weight.sum(axis=1), 1e-300)[:, None] / np.maximum(here.sum(axis=1), 1)[:, None]
        y, offset = (
            np.stack([np.where(one.complete, getattr(one, name), 0.0) for one in cases]) for name in ("y", "offset")
        )
        basis = self._bases.setdefault(id(cases[0].common), Basis(cases[0].common))
        model: Any = self._likelihood.of(basis.Q, Outcome(y=y, weight=weight, offset=offset), self.choices)
        return Rows(basis, model, here, E)

    def _near(self, rows: Rows, cases: list[Cases]) -> Float64Array | None:
        """The null of each row's trait in all its samples (B, C), where fits of a row begin; None in closed forms."""
        if self._likelihood.closed_form:
            return None
        new = list({id(one): one for one in cases if id(one) not in self._nulls}.values())
        if new:
            whole = self._rows(
                new, np.stack([one.complete for one in new]), np.empty((0, len(new), rows.here.shape[1]))
            )
            maximum = together.maximise(whole)
            at = np.where(maximum.found[:, None], maximum.at.beta, whole.start)
            self._nulls |= {id(one): null for one, null in zip(new, at)}
        return np.stack([self._nulls[id(one)] for one in cases])

    def _tests(
        self, rows: Rows, seen: BoolArray, k: int, method: str, near: Float64Array | None
    ) -> list[DenseFit | None]:
        """Fits by a method; ``seen`` (B, N) have a call."""
        as_regenie, firth = self.choices.get("like") == "regenie", method == "firth"
        if method == "firth_approx":
            return together.approximate_firth_tests(rows, near, carriers=as_regenie, information_error=as_regenie)
        rows = rows.beside()
        if method in ("score", "score_approx"):
            return together.score_tests(rows, k, near, rows.part(seen))
        if method in ("lrt", "firth"):
            return together.ratio_tests(rows, k, near, firth=firth, information_error=firth and as_regenie)
        return together.wald_tests(rows, k, near)
