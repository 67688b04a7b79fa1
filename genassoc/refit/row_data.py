"""The data of one row of results: one variant and one trait of a cohort as dense arrays, by a model's choices.

The samples are those of the row. Scans use nothing of this file; `genassoc.explanation` fits these data again.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields, replace
from functools import cached_property
from typing import Any

import numpy as np

from genassoc.data.block import HAPLOID_CHROMOSOME, X_OUTSIDE_PAR, Block, copies_of, places_of, probabilities_of_two
from genassoc.data.cohort.added_covariates import SEX_ON_X, more_covariates, with_sex, with_variants
from genassoc.data.cohort.cohort import Cohort
from genassoc.data.cohort.contig_nulls import at_contig, null_of, nulls_differ
from genassoc.data.cohort.kinship import filled, matrix_of
from genassoc.data.cohort.predictors import PredictorStore
from genassoc.data.phenotypes.codings import with_case_values
from genassoc.data.phenotypes.formula import Formula
from genassoc.data.phenotypes.kinship import Kinship
from genassoc.data.phenotypes.modifier import Modifier, read_modifier, with_main_effect
from genassoc.data.phenotypes.outcomes import exposure_values
from genassoc.data.phenotypes.survival import build_survival, strata_numbers
from genassoc.data.phenotypes.weights import read_weights
from genassoc.errors import GenassocError
from genassoc.models.about import About, about_of
from genassoc.models.registry import MODELS
from genassoc.refit.conditional import Conditional, case_shares
from genassoc.refit.covariates import DenseCovariates, dense_covariates, padded
from genassoc.refit.fits import Likelihood, NotFittedError, Outcome, independent, maximum
from genassoc.refit.hazards import Hazards
from genassoc.refit.likelihoods import Binary, Counts, Levels, Normal
from genassoc.refit.mixed import Mixed, Relations, check_size
from genassoc.refit.overdispersed import OverdispersedCounts
from genassoc.refit.tested_columns import RowModifier, TestedColumns, tested_columns
from genassoc.shapes import BoolArray, Float64Array, Int64Array

# A family's dense twin, by the name in its `genassoc.models.about.About`.
LIKELIHOODS: dict[str, type[Likelihood]] = {
    "normal": Normal,
    "mixed": Mixed,
    "binary": Binary,
    "conditional": Conditional,
    "counts": Counts,
    "overdispersed_counts": OverdispersedCounts,
    "levels": Levels,
    "hazards": Hazards,
}
TESTS: dict[str, tuple[str, ...]] = {
    "additive": ("add",),
    "dominant": ("dom",),
    "recessive": ("rec",),
    "hetonly": ("hetonly",),
    "genotypic": ("add", "domdev", "geno_2df"),
}
# Choices of all models that this file or the fits act on, beside those that a family names itself.
_UNDERSTOOD = {
    "kind", "traits", "covariates", "missing", "min_mac", "like", "genetic_model", "male_x_dosage", "condition_on", "test",
    "correction", "correct_below", "interaction", "variance", "weights", "case_value", "alleles",
}  # fmt: skip
_NOT_FITTED = "a single row of it cannot be fitted again by itself"
_WELL = 0.01  # of the squared lengths of a basis
_UNSET: tuple[Any, ...] = (None, "", False, "model", "auto", "separate", (), [], {})


@dataclass(frozen=True, eq=False, kw_only=True)
class RowData(Outcome):
    """The n samples of one row of results; outcome, weights and offsets are those of `genassoc.refit.fits.Outcome`, weights as in their column.

    Attributes
    ----------
    about : About
        The family.
    X : float64 array (n, C)
        Covariates with the intercept first; on these samples some may be combinations of others.
    covariates : tuple of str
        C names.
    G : float64 array (n, D)
        What is tested: copies of ALT as the model counts them (then whether heterozygous).
    copies : float64 array (n,)
        Copies of ALT as called, NaN where the call is not observed and takes the mean.
    weighted : bool
        Whether there is such a column.
    exposure : float64 array (n,)
        What a count was made over; else 1.
    samples : int64 array (n,)
        Which of the cohort's samples.
    n_missing : int
        Samples with the trait and all covariates whose call is not observed.
    coding : str
        What was recognised of the trait, in words.
    basis : float64 array (n, rank) or None
        An orthonormal basis of the covariates of all samples of the trait, these samples' rows: computed once a trait.
    null : float64 array (rank,) or None
        Coefficients of ``basis`` at the maximum of the null of all samples of the trait: where the fits of a row may begin.
    modifier : RowModifier or None
        E of an interaction.
    predictor : str or None
        The column of a predictor that is no variant: ``copies`` are its values, and G lays their range on 0 to 2.
    unit : float
        What 1 of G is of a predictor, so that ``beta / unit`` is an effect of one unit of it.
    formula : Formula or None
        The covariates, where they were given as one.
    relations : Relations or None
        Of a mixed model, the relationships of the samples.
    """

    about: About
    X: Float64Array
    covariates: tuple[str, ...]
    G: Float64Array
    copies: Float64Array
    exposure: Float64Array
    samples: Int64Array
    weighted: bool = False
    n_missing: int = 0
    coding: str = ""
    basis: Float64Array | None = None
    null: Float64Array | None = None
    modifier: RowModifier | None = None
    predictor: str | None = None
    unit: float = 1.0
    formula: Formula | None = None
    relations: Relations | None = None

    @property
    def likelihood(self) -> type[Likelihood]:
        """The family's dense twin."""
        return LIKELIHOODS[self.about.likelihood]

    @property
    def is_matched(self) -> bool:
        """Whether cases are compared within matched sets."""
        return self.about.likelihood == "conditional"

    @property
    def n(self) -> int:
        """Samples."""
        return int(self.y.size)

    def columns_of(self, test: str) -> TestedColumns:
        """The columns of genotypes of a test."""
        return tested_columns(self.G, self.modifier, test)

    def take(self, keep: BoolArray) -> "RowData":
        """Some of the samples (bool (n,))."""
        arrays = (
            "y",
            "X",
            "G",
            "copies",
            "offset",
            "weight",
            "exposure",
            "time",
            "entry",
            "stratum",
            "samples",
            "basis",
        )
        chosen: dict[str, Any] = {name: _at(getattr(self, name), np.flatnonzero(keep)) for name in arrays}
        modifier = None if self.modifier is None else self.modifier.take(keep)
        return replace(self, **chosen, modifier=modifier)


@dataclass(frozen=True, eq=False, kw_only=True)
class Cases(Outcome):
    """One trait of all samples of a cohort (N), and who is complete."""

    complete: BoolArray
    shared: DenseCovariates
    exposure: Float64Array
    coding: str
    modifier: Modifier | None

    @cached_property
    def basis(self) -> Float64Array:
        """An orthonormal basis (N, rank) of the covariates of complete samples; others have zeros."""
        return padded(independent(self.shared.basis[self.complete]), self.complete)

    @cached_property
    def common(self) -> Float64Array:
        """The basis of all samples that have the covariates, where these samples determine its coefficients well; else their own."""
        here = self.shared.basis[self.complete]
        lengths = np.linalg.eigvalsh(here.T @ here)
        return self.shared.basis if lengths.size and lengths[0] > _WELL * lengths[-1] else self.basis

    def null(self, likelihood: type[Likelihood], choices: Mapping[str, Any]) -> Float64Array | None:
        """Coefficients of the basis at the maximum of the null, where the likelihood takes iterations to it."""
        if likelihood.closed_form or not likelihood.constant:
            return None
        here = self.complete
        some = Outcome(y=self.y[here], weight=self.weight[here], offset=self.offset[here])
        try:
            return maximum(likelihood.of(self.basis[here], some, choices))
        except (NotFittedError, np.linalg.LinAlgError):
            return None


class RowSource:
    """The data of any row that a model gave on a cohort.

    Parameters
    ----------
    cohort : Cohort
    choices : mapping
        ``kind`` and the model's choices, as the provenance has them.

    Attributes
    ----------
    about : About
        The family.
    unfitted : tuple of str
        Choices, "name=value", that are the model's and that the dense fits do not know: no row can be fitted again.

    Raises
    ------
    GenassocError
        There is no such model, or it has no such choice.
    """

    def __init__(self, cohort: Cohort, choices: Mapping[str, Any]) -> None:
        self.cohort, self.choices = with_case_values(cohort, choices.get("case_value")), dict(choices)
        if self.cohort.kinship is None and "grm" in self.choices:
            made = Kinship.of_store(self.choices["grm"], float(self.choices["grm_maf"]), bool(self.choices.get("loco")))
            self.cohort = replace(self.cohort, kinship=made)
        kind = str(self.choices.get("kind"))
        if kind not in MODELS:
            raise GenassocError(f"there is no model '{kind}': {_NOT_FITTED}")
        self.about = about_of(self.choices)
        known = _UNDERSTOOD | set(self.about.choices)
        strange = [name for name, value in self.choices.items() if name not in known and value not in _UNSET]
        self.unfitted = tuple(f"{name}={self.choices[name]!r}" for name in strange)
        foreign = [name for name in strange if name not in {choice.name for choice in fields(MODELS[kind])}]
        if foreign:
            named = ", ".join(f"{name}={self.choices[name]!r}" for name in foreign)
            raise GenassocError(f"the model '{kind}' has no {named}: {_NOT_FITTED}")
        self._outcomes: dict[tuple[str, bool, str], Cases] = {}
        self._nulls: dict[tuple[str, bool, str], Float64Array | None] = {}
        self._relations: dict[tuple[bytes, str], Relations] = {}
        self._designs: dict[tuple[str, tuple[str, ...] | str], DenseCovariates] = {}

    @property
    def imputes(self) -> bool:
        """Whether missing calls take the mean of the observed ones."""
        missing = self.choices.get("missing", "complete")
        return missing == "mean" or (missing == "auto" and self.choices.get("like") == "regenie")

    def row(
        self, number: int | Int64Array, trait: str, block: Block | None = None, *, observed_only: bool = True
    ) -> RowData:
        """The data of a variant, by its number in the store, and a trait.

        Parameters
        ----------
        number : int or int64 array (k,)
            Several of alleles that are tested at once, ascending.
        trait : str
        block : GenotypeBlock, optional
            Of these variants alone, where it has been read.
        observed_only : bool
            False: samples without a call too, for counting them; what is tested is NaN there.
        """
        numbers = np.atleast_1d(number)
        first = int(numbers[0])
        if block is None:
            block = self.cohort.block_of(numbers)
        ploidy = int(places_of(block).ploidy[0])
        key = self.case_key(trait, first, ploidy)
        outcome = self.outcome(*key)
        copies, tested, two, unit, predictor = self._values(first, block)
        missing = np.isnan(copies)
        keep = outcome.complete if self.imputes or not observed_only else outcome.complete & ~missing
        at = np.flatnonzero(keep)
        G = np.column_stack([column for allele in tested for column in self.tested(allele, ploidy, two)])[at]
        if observed_only and self.imputes and np.isnan(G).any():
            G = np.where(np.isnan(G), np.nanmean(G, axis=0), G)
        y = outcome.y[at]
        if self.about.outcome == "ordinal":
            y = np.unique(y, return_inverse=True)[1].astype(np.float64)
        if key not in self._nulls:
            self._nulls[key] = outcome.null(LIKELIHOODS[self.about.likelihood], self.choices)
        shared, modifier = outcome.shared, outcome.modifier
        relations = (
            self._related(outcome.complete, key[2]) if self.about.likelihood == "mixed" and observed_only else None
        )
        return RowData(
            about=self.about, y=y, X=shared.X[at], covariates=shared.names, G=G, copies=copies[at],
            offset=outcome.offset[at], weight=outcome.weight[at], exposure=outcome.exposure[at], weighted=bool(self.choices.get("weights")), samples=at, time=_at(outcome.time, at),
            entry=_at(outcome.entry, at), stratum=None if outcome.stratum is None else outcome.stratum[at],
            n_missing=int((outcome.complete & missing).sum()), coding=outcome.coding, basis=outcome.basis[at],
            null=self._nulls[key], predictor=predictor, unit=unit, formula=shared.formula,
            modifier=None if modifier is None else RowModifier(modifier.name, modifier.values[at], modifier.arms),
            relations=relations,
        )  # fmt: skip

    def _related(self, complete: BoolArray, contig: str) -> Relations:
        """The relationships of the ``complete`` samples (N,), for variants of a contig where these differ."""
        key = np.packbits(complete).tobytes(), null_of(self.cohort, contig) if contig else ""
        if key not in self._relations:
            check_size(int(complete.sum()))
            self.cohort = filled(self.cohort)
            kinship = (at_contig(self.cohort, contig) if contig else self.cohort).kinship
            assert kinship is not None
            self._relations = {key: Relations.of(matrix_of(self.cohort, kinship)[np.ix_(complete, complete)])}
        return self._relations[key]

    def _values(
        self, number: int, block: Block
    ) -> tuple[Float64Array, Float64Array, Float64Array | None, float, str | None]:
        """Copies of ALT of the cohort's samples (N,), and of each allele (k, N), and of one the probability of two copies (N,).

        Of a predictor its values and these on 0 to 2; then their unit, and its name.
        """
        store: Any = self.cohort.store
        if isinstance(store, PredictorStore):
            values, scale = store.exact(number)[self.cohort.sample_index], float(store.per_unit(np.array([number]))[0])
            return values, (values - store.lowest[number])[None] * scale, None, 1.0 / scale, store.names[number]
        alleles, two = self.genotypes(block)
        return alleles.sum(axis=0), alleles, two[0] if len(two) == 1 else None, 1.0, None

    def genotypes(self, block: Block) -> tuple[Float64Array, Float64Array]:
        """Copies of ALT of the cohort's samples, and the probability of two (V, N); of dosages that come without, what these leave of it."""
        copies, two = copies_of(block), probabilities_of_two(block)
        if two is None:
            two = np.maximum(copies - 1.0, 0.0)
            if block.haploid is not None:
                # One copy that is doubled is all of them.
                marks = np.unpackbits(block.haploid, axis=1, bitorder="little", count=block.n_samples).astype(bool)
                two = np.where(marks, copies / 2.0, two)
        return copies[:, self.cohort.block_columns], two[:, self.cohort.block_columns]

    def tested(self, copies: Float64Array, ploidy: int, two: Float64Array | None) -> tuple[Float64Array, ...]:
        """The one or two columns that are tested of copies of ALT (..., N), NaN where the call is not observed.

        ``two`` (..., N): the probability of two copies; None where nothing asks for it.
        """
        g, both = copies, np.zeros_like(copies) if two is None else two
        if ploidy == X_OUTSIDE_PAR and int(self.choices.get("male_x_dosage", 2)) == 1:
            assert self.cohort.sex is not None
            g = np.where(self.cohort.sex == 1, copies / 2.0, copies)
            both = np.where((self.cohort.sex == 1) & ~np.isnan(both), 0.0, both)
        model = self.choices.get("genetic_model", "additive")
        if model == "additive":
            return (g / 2.0 if ploidy == HAPLOID_CHROMOSOME else g,)
        if model == "genotypic":
            return g, g - 2.0 * both
        return ({"dominant": g - both, "recessive": both, "hetonly": g - 2.0 * both}[str(model)],)

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

    def case_key(self, trait: str, number: int, ploidy: int) -> tuple[str, bool, str]:
        """Trait, whether on X, contig where offsets differ between contigs: what the outcome of a variant depends on."""
        apart = self.cohort.offsets is not None or nulls_differ(self.cohort)
        contig = self.cohort.contig_of(number, number + 1) if apart else ""
        return trait, ploidy == X_OUTSIDE_PAR, contig

    def outcome(self, trait: str, on_x: bool, contig: str) -> Cases:
        """One trait of the cohort's samples, as `case_key` says."""
        if (trait, on_x, contig) not in self._outcomes:
            cohort, covariates = self._conditioned
            cohort = at_contig(cohort, contig) if contig else cohort
            sex = cohort.sex
            if on_x and sex is not None and self.choices.get("like") != "regenie" and (sex != 0).any():
                cohort, covariates = with_sex(cohort), more_covariates(covariates, (SEX_ON_X,))
            if self.choices.get("interaction"):
                covariates, _ = with_main_effect(cohort.phenotypes, covariates, self.choices["interaction"])
            make = self._survival if self.about.outcome == "survival" else self._plain
            made = make(cohort, trait, covariates)
            # Traits of the same samples share a basis, which is the largest array here.
            same = (
                old
                for old in self._outcomes.values()
                if old.shared is made.shared and np.array_equal(old.complete, made.complete)
            )
            made.__dict__["basis"] = next(same, made).basis
            self._outcomes[trait, on_x, contig] = made
        return self._outcomes[trait, on_x, contig]

    def _plain(self, cohort: Cohort, trait: str, covariates: tuple[str, ...] | str) -> Cases:
        before: Float64Array | float = 0.0
        if self.choices.get("baseline"):
            baseline = _names(self.choices["baseline"])[_names(self.choices["traits"]).index(trait)]
            before = cohort.phenotypes.numbers(cohort.phenotypes.resolve((baseline,), "trait")[0], cohort.rows)
            if self.choices.get("adjust_baseline", True):
                covariates = more_covariates(covariates, (baseline,))
        shared = self._covariates(cohort, covariates)
        kind: Any = self.about.outcome
        design = cohort.design([trait], (), kind=kind, levels=self.choices.get("levels"))
        y, exposure = design.y[:, 0] - before, np.ones(shared.complete.size)
        complete = shared.complete & ~np.isnan(y)
        if self.choices.get("exposure"):
            exposure = exposure_values(cohort.phenotypes, str(self.choices["exposure"]), cohort.rows)
            complete &= ~np.isnan(exposure)
            exposure = np.where(complete, exposure, 1.0)
        weight, complete = self._weights(cohort, complete)
        sets, complete = self._sets(cohort, y, complete)
        if self.choices.get("rank_normalise"):
            y[complete] = _normal_scores(y[complete])
        offset = design.offset[:, 0]
        if design.offset_unit == "residual_sd":
            Q = independent(shared.X[complete])
            left = y[complete] - Q @ (Q.T @ y[complete])
            offset = offset * np.sqrt((left @ left) / (left.size - Q.shape[1]))
        return Cases(
            y=y, complete=complete, shared=shared, offset=offset + np.log(exposure), weight=weight, exposure=exposure, stratum=sets, coding=design.coding[0],
            modifier=self._modifier(cohort, shared.complete),
        )  # fmt: skip

    def _weights(self, cohort: Cohort, complete: BoolArray) -> tuple[Float64Array, BoolArray]:
        """Sampling weights of the cohort's samples (N,), and who of the ``complete`` ones (N,) has one."""
        if not self.choices.get("weights"):
            return np.ones(complete.size), complete
        found = read_weights(cohort.phenotypes, cohort.rows, str(self.choices["weights"]))
        return found.values, complete & found.there

    def _sets(self, cohort: Cohort, y: Float64Array, complete: BoolArray) -> tuple[Int64Array | None, BoolArray]:
        """Numbers of matched sets (N,), and who of the ``complete`` samples (N,) is in one with a case and a control."""
        if not self.choices.get("matched"):
            return None, complete
        column = cohort.phenotypes.resolve([str(self.choices["matched"])], "matched set")
        sets, _ = strata_numbers(cohort.phenotypes, cohort.rows, column)
        at = np.flatnonzero(complete & (sets >= 0))
        shares = case_shares(y[at], sets[at])
        says = np.zeros(complete.size, dtype=bool)
        says[at] = (shares > 0.0) & (shares < 1.0)
        return sets, says

    def _modifier(self, cohort: Cohort, complete: BoolArray) -> Modifier | None:
        """E of the cohort's samples; ``complete`` (N,) have all covariates."""
        name = self.choices.get("interaction")
        return None if not name else read_modifier(cohort.phenotypes, cohort.rows, name, complete)

    def _covariates(self, cohort: Cohort, covariates: tuple[str, ...] | str) -> DenseCovariates:
        """The covariates, by other code than the run's: made, and in memory, once for all traits that have the same."""
        key = (cohort.phenotypes.fingerprint, covariates)  # the same on all chromosomes, whatever their offsets
        if key not in self._designs:
            self._designs[key] = dense_covariates(cohort.phenotypes, cohort.rows, covariates)
        return self._designs[key]

    def _survival(self, cohort: Cohort, trait: str, covariates: tuple[str, ...] | str) -> Cases:
        times, events = _names(self.choices["time"]), _names(self.choices["event"])
        time = times[0] if len(times) == 1 else times[events.index(trait)]
        cause = self.choices.get("cause")
        design = build_survival(
            cohort.phenotypes, cohort.rows, (time,), (trait,), (), entry=self.choices.get("entry"),
            strata=_names(self.choices.get("strata") or ()), cause=None if cause is None else str(cause),
            offsets=cohort.offsets,
        )  # fmt: skip
        endpoint, shared = design.endpoints[0], self._covariates(cohort, covariates)
        covered = design.complete & shared.complete
        weight, complete = self._weights(cohort, covered & ~np.isnan(endpoint.time))
        return Cases(
            y=endpoint.event, complete=complete, shared=shared, offset=design.offset[:, 0], weight=weight, exposure=np.ones(complete.size),
            time=endpoint.time, entry=design.entry, stratum=design.stratum, coding=endpoint.coding,
            modifier=self._modifier(cohort, covered),
        )  # fmt: skip


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


def _at(values: Float64Array | None, at: Int64Array) -> Float64Array | None:
    return None if values is None else values[at]


def _normal_scores(y: Float64Array) -> Float64Array:
    """Blom's normal scores, ties sharing their mean rank."""
    from scipy import special

    _, which, counts = np.unique(y, return_inverse=True, return_counts=True)
    last = np.cumsum(counts)
    rank = (last - (counts - 1) / 2.0)[which]
    return np.asarray(special.ndtri((rank - 0.375) / (y.size + 0.25)))
