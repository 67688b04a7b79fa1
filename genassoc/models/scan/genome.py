"""A model over a whole genome: what depends on the chromosome, and on variants that it is conditioned on.

Around any model: on X outside the pseudo-autosomal regions the null has sex among its covariates and males count as
the model says; on Y and MT one copy is all there is, so that the effect is that of the copy; elsewhere nothing changes.
Where offsets differ by chromosome, so do the null models: each is fitted in the process that needs it, when it does.
"""

import threading
from collections.abc import Mapping
from dataclasses import dataclass, field, fields, is_dataclass, replace
from typing import Any, Generic, TypeVar

import numpy as np

from genassoc.data.block import (
    AUTOSOMAL,
    HAPLOID_CHROMOSOME,
    X_OUTSIDE_PAR,
    Block,
    DosageBlock,
    places_of,
)
from genassoc.data.cohort.added_covariates import SEX_ON_X, more_covariates, with_sex, with_variants
from genassoc.data.cohort.cohort import Cohort
from genassoc.data.cohort.contig_nulls import at_contig, n_nulls, null_of, nulls_differ
from genassoc.data.cohort.contigs import X
from genassoc.data.cohort.sex_conflicts import conflict_notes, sex_conflicts
from genassoc.data.phenotypes.codings import with_case_values
from genassoc.data.phenotypes.column_notes import ColumnNotes, column_notes
from genassoc.data.schema import DOSAGE_SUMS, METADATA_CHUNK
from genassoc.errors import DosageError, PhenotypeError
from genassoc.kernels.genotypes import recode
from genassoc.models.base import AssociationModel, BlockResult, ModelState
from genassoc.models.scan.alleles import set_block
from genassoc.models.scan.genetic_models import NO_PROBABILITIES, labelled, scaled
from genassoc.models.scan.wald import FittedState
from genassoc.shapes import BoolArray, Int64Array, UInt64Array

KEPT_NULLS = 3  # chromosomes whose null models a process keeps: its tasks follow each other along the genome
_ESTIMATES = ("beta", "standard_error", "ci_lower", "ci_upper", "statistic", "neg_log_10_p_value")


Fitted = TypeVar("Fitted", bound=ModelState)


class NullsByContig(Generic[Fitted]):
    """States of a model by chromosome, fitted when a block asks for them; the last few are kept, in each process its own.

    Parameters
    ----------
    model, x_model : AssociationModel
        Of X outside PAR the second, which may have sex among its covariates.
    cohort, x_cohort : Cohort
        With offsets that differ by chromosome.
    """

    def __init__(
        self, model: AssociationModel[Fitted], cohort: Cohort, x_model: AssociationModel[Fitted], x_cohort: Cohort
    ) -> None:
        self._fits = ((model, cohort), (x_model, x_cohort))
        kept = getattr(model, "kept_nulls", KEPT_NULLS)
        self.most = max(1, min(kept, n_nulls(cohort)))  # states in memory at once
        self._kept: dict[tuple[str, bool], Fitted] = {}
        self._fitting = threading.Lock()

    def __reduce__(self) -> tuple[object, ...]:
        (model, cohort), (x_model, x_cohort) = self._fits
        return (NullsByContig, (model, cohort, x_model, x_cohort))  # a worker fits its own

    def of(self, contig: str, on_x: bool) -> Fitted:
        """The state of the model on a contig, outside PAR of X or elsewhere.

        Raises
        ------
        ValueError
            It is not known on which contig.
        """
        model, cohort = self._fits[on_x]
        key = null_of(cohort, contig), on_x and model is not self._fits[0][0]
        state = self._kept.get(key)
        if state is not None:
            return state
        with self._fitting:  # threads that need the same one wait for it
            if key not in self._kept:
                state = model.prepare(at_contig(cohort, contig))
                while len(self._kept) >= self.most:
                    self._kept.pop(next(iter(self._kept)))
                self._kept[key] = state
            return self._kept[key]


@dataclass(frozen=True)
class ScanState(Generic[Fitted]):
    """States of the model, and what the blocks need beside them.

    Attributes
    ----------
    elsewhere : state of the model
        Where chromosomes come in pairs, and on Y and MT; where offsets differ by chromosome, of the first one.
    x : state of the model
        On X outside PAR.
    males : uint64 array (W,)
        Males as packed words.
    conditioned : int64 array
        Variants, as numbered in the store, that are among the covariates.
    notes : tuple of str
        The model's, and what is done on X, Y and MT.
    cautions : tuple of str
        Those of them that say how columns were read: what is to be seen in Python too.
    codings : mapping
        Column -> which of its two values is 0 and which 1.
    by_contig : NullsByContig or None
        The states by chromosome, where offsets differ by chromosome.
    """

    elsewhere: Fitted
    x: Fitted
    males: UInt64Array
    conditioned: Int64Array
    notes: tuple[str, ...]
    cautions: tuple[str, ...] = ()
    codings: Mapping[str, Mapping[str, str]] = field(default_factory=dict)
    by_contig: NullsByContig[Fitted] | None = None

    def of(self, contig: str, on_x: bool) -> Fitted:
        """The state of the model for variants of a contig."""
        if self.by_contig is not None:
            return self.by_contig.of(contig, on_x)
        return self.x if on_x else self.elsewhere

    @property
    def traits(self) -> tuple[str, ...]:
        """T names."""
        return self.elsewhere.traits

    @property
    def cohort_columns(self) -> Int64Array:
        """The cohort's samples as columns of a block, (N,)."""
        return np.asarray(self.elsewhere.cohort_columns)

    @property
    def nulls(self) -> tuple[Any, ...]:
        """Null models of the chromosomes that come in pairs."""
        return tuple(getattr(self.elsewhere, "nulls", ()))

    @property
    def n_incomplete(self) -> int:
        """Samples that lack a covariate."""
        return self.elsewhere.n_incomplete

    @property
    def n_by_trait(self) -> list[int]:
        """Complete samples of each trait."""
        return list(self.elsewhere.n_by_trait)


@dataclass(frozen=True)
class Scan(Generic[Fitted]):
    """An analysis that runs a model along the chromosomes.

    Attributes
    ----------
    model : AssociationModel
    """

    model: AssociationModel[Fitted]

    def prepare(self, cohort: Cohort) -> ScanState[Fitted]:
        """Fit the null models: without sex, and with it where the store has variants of X and sex is known.

        Raises
        ------
        InputError
            A variant to condition on is not there, or the build of the genome is not known and matters.
        DosageError
            The model needs probabilities of genotypes, and dosages of the store are without.
        PhenotypeError
            As the model's.
        """
        model = self.model
        ask = getattr(model, "relationships", None)
        if ask is not None and cohort.kinship is None:
            cohort = replace(cohort, kinship=ask())
        told_of_dosages = _of_probabilities(str(getattr(model, "genetic_model", "additive")), cohort)
        cohort = with_case_values(cohort, getattr(model, "case_value", ()))
        said = _column_notes(model, cohort)
        names = getattr(model, "condition_on", ())
        conditioned, notes = np.zeros(0, np.int64), []
        if names:
            found = with_variants(
                cohort, names, male_x_dosage=self._male_x_dosage, impute=bool(getattr(model, "imputes", False))
            )
            cohort, conditioned, notes = found.cohort, found.numbers, list(found.notes)
            model = with_covariates(model, names)
        cohort.ploidy.check_build(cohort.store)
        by_sex, said_of_x = self._on_x(cohort)
        x_model, x_cohort = (with_covariates(model, (SEX_ON_X,)), with_sex(cohort)) if by_sex else (model, cohort)
        nulls = NullsByContig(model, cohort, x_model, x_cohort)
        state = x = nulls.of(_first(cohort), False)
        x_notes = list(said_of_x)
        if by_sex:
            try:
                x = nulls.of(_first(cohort, X), True)
            except PhenotypeError as error:
                raise PhenotypeError(f"on X, where sex is a covariate: {error}") from error
            x_notes += [f"on X: {note}" for note in x.notes if note not in state.notes]
        by_contig = nulls if nulls_differ(cohort) else None
        doubts = conflict_notes(sex_conflicts(cohort)) if cohort.sex is not None else []
        told = (*said.lines, *state.notes, *told_of_dosages, *notes, *x_notes, *doubts)
        return ScanState(state, x, cohort.ploidy.males, conditioned, told, said.lines, said.codings, by_contig)

    @property
    def _male_x_dosage(self) -> int:
        return int(getattr(self.model, "male_x_dosage", 2))

    def _on_x(self, cohort: Cohort) -> tuple[bool, list[str]]:
        """Whether sex is a covariate on X outside PAR, and what there is to say of it."""
        if not cohort.ploidy.has_x or not _first(cohort, X):
            return False, []
        if cohort.sex is None:
            return False, [
                "X: no sex is stated, so its variants are analysed as autosomal, haploid calls as 0 or 2 copies and as one "
                "in frequencies; name the column of sex (Cohort.align(sex=...), --sex) to count and adjust for males"
            ]
        counted = f"X outside PAR: one ALT of a male counts {self._male_x_dosage}"
        n_unknown = int((cohort.sex == 0).sum())
        if getattr(self.model, "like", None) == "regenie" or n_unknown == cohort.n_samples:
            return False, [f"{counted}; sex is not among the covariates unless you put it there"]
        out = f"; {n_unknown:,} samples of unknown sex are left out" if n_unknown else ""
        return True, [f"{counted}, and sex is a covariate{out}"]

    def block(self, state: ScanState[Fitted], block: Block) -> BlockResult:
        """The model's rows, each variant by the rules of its chromosome; dosages that are calls in all samples as calls."""
        if isinstance(block, DosageBlock) and not block.of_predictor:
            if getattr(self.model, "genetic_model", "") == "additive":
                block = replace(
                    block, homozygous=None
                )  # not asked for: a dosage of 1 is one copy, whatever it may be made of
            whole = block.whole(state.cohort_columns)
            if whole.all():
                return self._rows(state, block.as_calls())
            if whole.any():
                masks = [whole, ~whole]
                parts = [self._rows(state, block.take(whole).as_calls()), self._rows(state, block.take(~whole))]
                return _joined(parts, masks)
        return self._rows(state, block)

    def _rows(self, state: ScanState[Fitted], block: Block) -> BlockResult:
        places = places_of(block)
        kinds = np.unique(places.ploidy)
        if kinds.size <= 1:
            result = self._one_kind(state, block, int(kinds[0]) if kinds.size else AUTOSOMAL)
        else:
            masks = [places.ploidy == kind for kind in kinds]
            parts = [self._one_kind(state, block.take(at), int(kind)) for kind, at in zip(kinds, masks)]
            result = _joined(parts, masks)
        return _collinear(result, np.isin(places.numbers, state.conditioned))

    def sets(self, state: ScanState[Fitted], block: Block, size: int) -> BlockResult:
        """A row a trait for each set of ``size`` alleles of a record, which stand one after another in the block."""
        parts, masks = [], []
        calls: BoolArray = np.zeros(block.n_variants // size, dtype=bool)
        if isinstance(block, DosageBlock):
            calls = np.asarray(block.whole(state.cohort_columns).reshape(-1, size).all(axis=1))
        kinds = places_of(block).ploidy[::size]  # alleles of a record lie at one place
        for kind, as_calls in {(int(kind), bool(called)): None for kind, called in zip(kinds, calls)}:
            at = (kinds == kind) & (calls == as_calls)
            some = block.take(np.repeat(at, size))
            parts.append(
                self._sets(state, some.as_calls() if as_calls and isinstance(some, DosageBlock) else some, size)
            )
            masks.append(at)
        conditioned: BoolArray = np.asarray(
            np.isin(places_of(block).numbers, state.conditioned).reshape(-1, size).any(axis=1)
        )
        return _collinear(parts[0] if len(parts) == 1 else _joined(parts, masks), conditioned)

    def _sets(self, state: ScanState[Fitted], block: Block, size: int) -> BlockResult:
        model: Any = self.model
        on_x = bool(places_of(block).ploidy[0] == X_OUTSIDE_PAR)
        if on_x and self._male_x_dosage == 1:
            block = halved_in_males(block, state.males)
        fitted = state.of(block.contig, on_x)
        if not isinstance(fitted, FittedState):
            raise TypeError(
                f"{type(model).__name__} was not prepared for several alleles at once: choose alleles='joint'"
            )
        result = set_block(model.asked(), fitted, block, size)
        return labelled(result, False) if isinstance(block, DosageBlock) else result

    def _one_kind(self, state: ScanState[Fitted], block: Block, kind: int) -> BlockResult:
        model = self.model
        if kind == AUTOSOMAL:
            return model.block(state.of(block.contig, False), block)
        if kind == HAPLOID_CHROMOSOME:
            result = model.block(state.of(block.contig, False), block)
            # Codes are 0 and 2; there is one copy. Indicators are of one copy already.
            additive = getattr(model, "genetic_model", "additive") == "additive"
            return scaled(result, 2.0) if additive else result
        if self._male_x_dosage == 1:
            block = halved_in_males(block, state.males)
        return model.block(state.of(block.contig, True), block)


def _of_probabilities(genetic_model: str, cohort: Cohort) -> list[str]:
    """What is to be said of rows with dosages that lack the probabilities of genotypes; the genotypic model is refused before any work.

    Raises
    ------
    DosageError
    """
    store: Any = cohort.store
    if genetic_model == "additive" or not getattr(store, "has_dosages", False):
        return []
    lacking = 0
    for start in range(0, cohort.n_variants, METADATA_CHUNK):
        stop = min(start + METADATA_CHUNK, cohort.n_variants)
        sums = store.dosage_sums(start, stop)
        known = sums[:, DOSAGE_SUMS.index("known")] >= sums[:, DOSAGE_SUMS.index("observed")]
        alone = (store.dosage_steps(start, stop) > 0) & ~known
        if alone.any():
            lacking += int((alone & cohort.selected_without_genotypes(start, stop)).sum())
    if not lacking:
        return []
    if genetic_model == "genotypic":
        raise DosageError(f"{lacking:,} variants of the store have dosages alone: {NO_PROBABILITIES}")
    return [
        f"{lacking:,} variants have dosages without the probabilities of genotypes: what is tested is only about genetic_model="
        f"'{genetic_model}', and their rows have the code approximate_genotypes"
    ]


def _first(cohort: Cohort, chromosome: str | None = None) -> str:
    """The first contig (that is a ``chromosome``), of those with offsets where there are any; "" where there is none."""
    kinds = cohort.contigs.chromosomes
    with_offsets = kinds if cohort.offsets is None else cohort.offsets.chromosomes
    return next((name for name in kinds if name in with_offsets and chromosome in (None, kinds[name])), "")


def _column_notes(model: AssociationModel[Fitted], cohort: Cohort) -> ColumnNotes:
    """What is to be said of the columns that the model names."""
    if not is_dataclass(model):
        return ColumnNotes()
    choices = {choice.name: getattr(model, choice.name) for choice in fields(model)}
    return column_notes(cohort.phenotypes, cohort.rows, choices, str(getattr(model, "outcome", "")))


def with_covariates(model: AssociationModel[Fitted], names: tuple[str, ...]) -> AssociationModel[Fitted]:
    """The model with more covariates, after its own."""
    return replace(model, covariates=more_covariates(model.covariates, names))


def halved_in_males(block: Block, males: UInt64Array) -> Block:
    """The block with males' 0 and 2 as 0 and 1; ``genuine`` keeps the calls."""
    slots = np.unpackbits(males.view(np.uint8), bitorder="little")[::2][: block.n_samples].astype(bool)
    if isinstance(block, DosageBlock):
        return block.halved(slots)
    return block.recoded(recode.halved(np.ascontiguousarray(block.packed).view(np.uint64), males), slots)


def _joined(parts: list[BlockResult], masks: list[BoolArray]) -> BlockResult:
    """Rows of variants (each mask (V,) says whose) in the order of the block."""
    columns = {}
    for name, first in parts[0].columns.items():
        joined = np.empty((masks[0].size, first.shape[1]), first.dtype)
        for part, at in zip(parts, masks):
            joined[at] = part.columns[name]
        columns[name] = joined
    return replace(parts[0], columns=columns)


def _collinear(result: BlockResult, which: BoolArray) -> BlockResult:
    """No estimate, and "collinear", in the rows of variants (bool (V,)) that are covariates themselves."""
    if not which.any():
        return result
    columns = {name: values.copy() for name, values in result.columns.items()}
    for name, values in columns.items():
        if name.startswith(_ESTIMATES):
            values[which] = np.nan
    columns["code"][which] = result.categories["code"].index("collinear")
    if "method" in columns:
        columns["method"][which] = result.categories["method"].index(None)
    return replace(result, columns=columns)
