"""What one row of results was computed from: one variant and one trait of a cohort as dense arrays, by a model's choices.

The samples are those of the row. Nothing here is used by a scan; `genassoc.explanation.audit` and `genassoc.explanation` fit it anew.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import numpy as np
from scipy import special

from genassoc.data.block import HAPLOID_CHROMOSOME, X_OUTSIDE_PAR, Block, GenotypeBlock, places_of
from genassoc.data.cohort.added_covariates import SEX_ON_X, more_covariates, with_sex, with_variants
from genassoc.data.cohort.cohort import Cohort
from genassoc.data.cohort.predictors import PredictorStore
from genassoc.data.phenotypes.codings import with_case_values
from genassoc.data.phenotypes.formula import Formula
from genassoc.data.phenotypes.modifier import Modifier, read_modifier, with_main_effect
from genassoc.data.phenotypes.outcomes import exposure_values
from genassoc.data.phenotypes.survival import build_survival
from genassoc.data.schema import NOT_OBSERVED
from genassoc.errors import GenassocError
from genassoc.refit.covariates import DenseCovariates, dense_covariates
from genassoc.refit.dense import NotFittedError, independent, maximum
from genassoc.refit.dense_likelihoods import Binary, Counts
from genassoc.refit.sampling import matched_sets, sampling_weights
from genassoc.refit.tested_columns import RowModifier, TestedColumns, tested_columns
from genassoc.shapes import BoolArray, Float64Array, Int64Array

KINDS = {"linear": "quantitative", "logistic": "binary", "poisson": "count", "ordinal": "ordinal", "cox": "survival"}
TESTS: dict[str, tuple[str, ...]] = {
    "additive": ("add",),
    "dominant": ("dom",),
    "recessive": ("rec",),
    "hetonly": ("hetonly",),
}
TESTS["genotypic"] = ("add", "domdev", "geno_2df")
# Choices that this file or the fits act on; any other that is set means a model that they do not know.
_UNDERSTOOD = {
    "kind", "traits", "covariates", "missing", "min_mac", "rank_normalise", "like", "genetic_model", "male_x_dosage",
    "condition_on", "test", "correction", "correct_below", "exposure", "dispersion", "levels", "time", "event", "entry",
    "strata", "cause", "ties", "ph_time", "baseline", "adjust_baseline", "interaction", "variance", "weights", "matched",
    "case_value",
}  # fmt: skip
_UNSET: tuple[Any, ...] = (None, "", False, "model", "auto", (), [], {})


@dataclass(frozen=True, eq=False)
class RowData:
    """The n samples of one row of results.

    Attributes
    ----------
    kind : str
        "linear", "logistic", "poisson", "ordinal" or "cox".
    y : float64 array (n,)
        The outcome; of "cox" the event (1) or not (0), of "ordinal" levels from 0 upwards.
    X : float64 array (n, C)
        Covariates with the intercept first; on these samples some may be combinations of others.
    covariates : tuple of str
        C names.
    G : float64 array (n, 1), or (n, 2) for the genotypic model
        What is tested: copies of ALT as the model counts them (then whether heterozygous).
    copies : float64 array (n,)
        Copies of ALT as called, NaN where the call is not observed and takes the mean.
    offset : float64 array (n,)
        Log exposure, else 0.
    time, entry : float64 arrays (n,) or None
        Of "cox"; the entry is minus infinity where all are at risk from the start.
    stratum : int64 array (n,) or None
        Of "cox"; of matched sets ("logistic") the set.
    samples : int64 array (n,)
        Which of the cohort's samples.
    n_missing : int
        Samples with the trait and all covariates whose call is not observed.
    coding : str
        What was recognised of the trait, in words.
    basis : float64 array (n, rank) or None
        An orthonormal basis of the covariates of all samples of the trait, these samples' rows: computed once a trait.
    null : float64 array (rank,) or None
        Coefficients of ``basis`` at the maximum of a binary trait's or a count's null, of all its samples: where the fits
        of a row may begin.
    modifier : RowModifier or None
        E of an interaction.
    weight : float64 array (n,) or None
        Sampling weights, as they are in their column.
    predictor : str or None
        The column of a predictor that is no variant: ``copies`` are its values, and G lays their range on 0 to 2.
    unit : float
        What 1 of G is of a predictor, so that ``beta / unit`` is an effect of one unit of it.
    formula : Formula or None
        The covariates, where they were given as one.
    """

    kind: str
    y: Float64Array
    X: Float64Array
    covariates: tuple[str, ...]
    G: Float64Array
    copies: Float64Array
    offset: Float64Array
    time: Float64Array | None
    entry: Float64Array | None
    stratum: Int64Array | None
    samples: Int64Array
    n_missing: int
    coding: str
    basis: Float64Array | None = None
    null: Float64Array | None = None
    modifier: RowModifier | None = None
    weight: Float64Array | None = None
    predictor: str | None = None
    unit: float = 1.0
    formula: Formula | None = None

    @property
    def n(self) -> int:
        """Samples."""
        return int(self.y.size)

    @property
    def is_matched(self) -> bool:
        """Whether cases are compared within matched sets."""
        return self.kind == "logistic" and self.stratum is not None

    def columns_of(self, test: str) -> TestedColumns:
        """The columns of genotypes of a test."""
        return tested_columns(self.G, self.modifier, test)

    def take(self, keep: BoolArray) -> "RowData":
        """Some of the samples (bool (n,))."""
        arrays = ("y", "X", "G", "copies", "offset", "time", "entry", "stratum", "samples", "basis", "weight")
        chosen: dict[str, Any] = {name: _at(getattr(self, name), np.flatnonzero(keep)) for name in arrays}
        modifier = None if self.modifier is None else self.modifier.take(keep)
        return replace(self, **chosen, modifier=modifier)


@dataclass(frozen=True, eq=False)
class _Outcome:
    """One trait of all samples of a cohort (N), and who is complete."""

    kind: str
    y: Float64Array
    complete: BoolArray
    X: Float64Array
    covariates: tuple[str, ...]
    offset: Float64Array
    time: Float64Array | None
    entry: Float64Array | None
    stratum: Int64Array | None
    coding: str
    modifier: Modifier | None
    weight: Float64Array | None = None
    formula: Formula | None = None

    @cached_property
    def basis(self) -> Float64Array:
        """An orthonormal basis (N, rank) of the covariates of complete samples; others have zeros."""
        found = independent(self.X[self.complete])
        basis = np.zeros((self.complete.size, found.shape[1]))
        basis[self.complete] = found
        return basis

    @cached_property
    def null(self) -> Float64Array | None:
        """Coefficients of the basis at the maximum of the null."""
        if self.kind not in ("logistic", "poisson") or self.weight is not None or self.stratum is not None:
            return None
        likelihood = Binary if self.kind == "logistic" else Counts
        try:
            return maximum(likelihood(self.basis[self.complete], self.y[self.complete], self.offset[self.complete]))
        except (NotFittedError, np.linalg.LinAlgError):
            return None


class RowSource:
    """The data of any row that a model gave on a cohort.

    Parameters
    ----------
    cohort : Cohort
    choices : mapping
        ``kind`` and the model's choices, as the provenance has them.

    Raises
    ------
    GenassocError
        The model has a choice that is not understood here.
    """

    def __init__(self, cohort: Cohort, choices: Mapping[str, Any]) -> None:
        self.cohort, self.choices = with_case_values(cohort, choices.get("case_value")), dict(choices)
        kind = self.choices.get("kind")
        strange = [f"{name}={value!r}" for name, value in self.choices.items() if _strange(name, value)]
        strange += _apart(str(kind), self.choices)
        strange += ["offsets"] if cohort.offsets is not None else []
        if kind not in KINDS or strange:
            what = f"the model '{kind}'" if kind not in KINDS else f"{kind} with {', '.join(strange)}"
            raise GenassocError(f"a single row of {what} cannot be fitted again by itself")
        self.kind = str(kind)
        self._outcomes: dict[tuple[str, bool], _Outcome] = {}
        self._designs: dict[tuple[str, tuple[str, ...] | str], DenseCovariates] = {}

    @property
    def imputes(self) -> bool:
        """Whether missing calls take the mean of the observed ones."""
        missing = self.choices.get("missing", "complete")
        return missing == "mean" or (missing == "auto" and self.choices.get("like") == "regenie")

    def row(self, number: int, trait: str, block: Block | None = None, *, observed_only: bool = True) -> RowData:
        """The data of a variant, by its number in the store, and a trait.

        Parameters
        ----------
        number : int
        trait : str
        block : GenotypeBlock, optional
            Of that variant alone, where it has been read.
        observed_only : bool
            False: samples without a call too, for counting them; what is tested is NaN there.
        """
        block = self.cohort.read(number, number + 1) if block is None else block
        ploidy = int(places_of(block).ploidy[0])
        outcome = self._outcome(trait, ploidy == X_OUTSIDE_PAR)
        copies, tested, unit, predictor = self._values(number, block)
        missing = np.isnan(copies)
        keep = outcome.complete if self.imputes or not observed_only else outcome.complete & ~missing
        at = np.flatnonzero(keep)
        G = self._tested(tested, ploidy)[at]
        if observed_only and self.imputes and np.isnan(G).any():
            G = np.where(np.isnan(G), np.nanmean(G, axis=0), G)
        y = outcome.y[at]
        if self.kind == "ordinal":
            y = np.unique(y, return_inverse=True)[1].astype(np.float64)
        return RowData(
            kind=self.kind, y=y, X=outcome.X[at], covariates=outcome.covariates, G=G, copies=copies[at],
            offset=outcome.offset[at], time=_at(outcome.time, at), entry=_at(outcome.entry, at),
            stratum=None if outcome.stratum is None else outcome.stratum[at], samples=at,
            n_missing=int((outcome.complete & missing).sum()), coding=outcome.coding, basis=outcome.basis[at],
            null=outcome.null,
            modifier=_modifier_at(outcome.modifier, at), weight=_at(outcome.weight, at), predictor=predictor, unit=unit,
            formula=outcome.formula,
        )  # fmt: skip

    def _values(self, number: int, block: Block) -> tuple[Float64Array, Float64Array, float, str | None]:
        """Copies of ALT of the cohort's samples (N,), twice; of a predictor its values and these on 0 to 2, their unit, its name."""
        store: Any = self.cohort.store
        if isinstance(store, PredictorStore):
            values, scale = store.exact(number)[self.cohort.sample_index], float(store.per_unit(np.array([number]))[0])
            return values, (values - store.lowest[number]) * scale, 1.0 / scale, store.names[number]
        assert isinstance(block, GenotypeBlock)
        codes = block.codes()[0, self.cohort.block_columns]
        copies = np.where(codes == NOT_OBSERVED, np.nan, codes.astype(np.float64))
        return copies, copies, 1.0, None

    def _tested(self, copies: Float64Array, ploidy: int) -> Float64Array:
        """Columns that are tested (N, 1 or 2), NaN where the call is not observed."""
        g = copies
        if ploidy == X_OUTSIDE_PAR and int(self.choices.get("male_x_dosage", 2)) == 1:
            assert self.cohort.sex is not None
            g = np.where(self.cohort.sex == 1, copies / 2.0, copies)
        model = self.choices.get("genetic_model", "additive")
        het = np.where(np.isnan(g), np.nan, (g == 1.0).astype(np.float64))
        if model == "genotypic":
            return np.column_stack([g, het])
        if model == "additive":
            return (g / 2.0 if ploidy == HAPLOID_CHROMOSOME else g)[:, None]
        held = {"dominant": g >= 1.0, "recessive": g == 2.0, "hetonly": g == 1.0}[str(model)]
        return np.where(np.isnan(g), np.nan, held.astype(np.float64))[:, None]

    @cached_property
    def _conditioned(self) -> tuple[Cohort, tuple[str, ...] | str]:
        """The cohort with the variants that are covariates, and the covariates."""
        names = tuple(self.choices.get("condition_on") or ())
        covariates = _given(self.choices.get("covariates"))
        if not names:
            return self.cohort, covariates
        dosage = int(self.choices.get("male_x_dosage", 2))
        found = with_variants(self.cohort, names, male_x_dosage=dosage, impute=self.imputes)
        return found.cohort, more_covariates(covariates, names)

    def _outcome(self, trait: str, on_x: bool) -> _Outcome:
        if (trait, on_x) not in self._outcomes:
            cohort, covariates = self._conditioned
            sex = cohort.sex
            if on_x and sex is not None and self.choices.get("like") != "regenie" and (sex != 0).any():
                cohort, covariates = with_sex(cohort), more_covariates(covariates, (SEX_ON_X,))
            if self.choices.get("interaction"):
                covariates, _ = with_main_effect(cohort.phenotypes, covariates, self.choices["interaction"])
            make = self._survival if self.kind == "cox" else self._plain
            made = make(cohort, trait, covariates)
            # Traits of the same samples share a basis, which is the largest array here.
            same = (
                old
                for old in self._outcomes.values()
                if old.X is made.X and np.array_equal(old.complete, made.complete)
            )
            made.__dict__["basis"] = next(same, made).basis
            self._outcomes[trait, on_x] = made
        return self._outcomes[trait, on_x]

    def _plain(self, cohort: Cohort, trait: str, covariates: tuple[str, ...] | str) -> _Outcome:
        before: Float64Array | float = 0.0
        if self.choices.get("baseline"):
            baseline = _names(self.choices["baseline"])[_names(self.choices["traits"]).index(trait)]
            before = cohort.phenotypes.numbers(cohort.phenotypes.resolve((baseline,), "trait")[0], cohort.rows)
            if self.choices.get("adjust_baseline", True):
                covariates = more_covariates(covariates, (baseline,))
        shared = self._covariates(cohort, covariates)
        design = cohort.design(
            [trait], (), kind=KINDS[self.kind], levels=self.choices.get("levels")  # type: ignore[arg-type]
        )  # fmt: skip
        y, offset = design.y[:, 0] - before, np.zeros(shared.complete.size)
        complete = shared.complete & ~np.isnan(y)
        if self.choices.get("exposure"):
            exposure = exposure_values(cohort.phenotypes, str(self.choices["exposure"]), cohort.rows)
            complete &= ~np.isnan(exposure)
            offset = np.log(np.where(complete, exposure, 1.0))
        weight, complete = sampling_weights(cohort, self.choices, complete)
        sets, complete = matched_sets(cohort, self.choices, y, complete)
        if self.choices.get("rank_normalise"):
            y[complete] = _normal_scores(y[complete])
        modifier = self._modifier(cohort, shared.complete)
        return _Outcome(
            self.kind, y, complete, shared.X, shared.names, offset, None, None, sets, design.coding[0], modifier, weight,
            shared.formula,
        )  # fmt: skip

    def _modifier(self, cohort: Cohort, complete: BoolArray) -> Modifier | None:
        """E of the cohort's samples; ``complete`` (N,) have all covariates."""
        name = self.choices.get("interaction")
        return None if not name else read_modifier(cohort.phenotypes, cohort.rows, name, complete)

    def _covariates(self, cohort: Cohort, covariates: tuple[str, ...] | str) -> DenseCovariates:
        """The covariates, by other code than the run's: made, and in memory, once for all traits that have the same."""
        key = (cohort.fingerprint, covariates)
        if key not in self._designs:
            self._designs[key] = dense_covariates(cohort.phenotypes, cohort.rows, covariates)
        return self._designs[key]

    def _survival(self, cohort: Cohort, trait: str, covariates: tuple[str, ...] | str) -> _Outcome:
        times, events = _names(self.choices["time"]), _names(self.choices["event"])
        time = times[0] if len(times) == 1 else times[events.index(trait)]
        cause = self.choices.get("cause")
        design = build_survival(
            cohort.phenotypes, cohort.rows, (time,), (trait,), (), entry=self.choices.get("entry"),
            strata=_names(self.choices.get("strata") or ()), cause=None if cause is None else str(cause),
        )  # fmt: skip
        endpoint, shared = design.endpoints[0], self._covariates(cohort, covariates)
        covered = design.complete & shared.complete
        weight, complete = sampling_weights(cohort, self.choices, covered & ~np.isnan(endpoint.time))
        return _Outcome(
            self.kind, endpoint.event, complete, shared.X, shared.names, np.zeros(complete.size),
            endpoint.time, design.entry, design.stratum, endpoint.coding, self._modifier(cohort, covered),
            weight, shared.formula,
        )  # fmt: skip


def _apart(kind: str, choices: Mapping[str, Any]) -> list[str]:
    """Choices that the dense fits know one by one and not together, or not of this kind."""
    sampled = [f"{name}={choices[name]!r}" for name in ("weights", "matched") if choices.get(name)]
    if kind not in ("linear", "logistic", "cox"):
        return sampled
    if kind == "cox" and choices.get("variance") == "robust":
        sampled.append("variance='robust'")
    return [*sampled, "an interaction"] if sampled and choices.get("interaction") else []


def _strange(name: str, value: Any) -> bool:
    return name not in _UNDERSTOOD and value not in _UNSET


def _given(value: Any) -> tuple[str, ...] | str:
    """The covariates of a record, which somebody else may have written: names or a formula.

    Raises
    ------
    GenassocError
        It is neither.
    """
    names = () if value is None else value
    if isinstance(names, str):
        return names
    if not isinstance(names, list | tuple) or not all(isinstance(name, str) for name in names):
        raise GenassocError(f"the covariates of the record are a list of names or a formula, not {value!r}")
    return tuple(names)


def _names(value: Sequence[str] | str) -> tuple[str, ...]:
    return (value,) if isinstance(value, str) else tuple(value)


def _modifier_at(modifier: Modifier | None, at: Int64Array) -> RowModifier | None:
    return None if modifier is None else RowModifier(modifier.name, modifier.values[at], modifier.arms)


def _at(values: Float64Array | None, at: Int64Array) -> Float64Array | None:
    return None if values is None else values[at]


def _normal_scores(y: Float64Array) -> Float64Array:
    """Blom's normal scores, ties sharing their mean rank."""
    _, which, counts = np.unique(y, return_inverse=True, return_counts=True)
    last = np.cumsum(counts)
    rank = (last - (counts - 1) / 2.0)[which]
    return np.asarray(special.ndtri((rank - 0.375) / (y.size + 0.25)))
