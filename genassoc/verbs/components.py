"""Principal components of a cohort's genotypes: fitted on unrelated samples, the others projected."""

import logging
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import polars as pl

from genassoc.analyses.components.products import LeadingComponents
from genassoc.analyses.components.projection import Loadings, Projected, information
from genassoc.analyses.components.relationship import Relationship
from genassoc.analyses.components.subspace import signs
from genassoc.data.cohort.cohort import Cohort
from genassoc.data.forks import check_not_forked
from genassoc.data.memory import parse_memory, settle
from genassoc.engine.executors import Executor, Threads, single_threaded_blas
from genassoc.engine.parts import WorkFolder
from genassoc.engine.passes import KeptBlocks, run_passes
from genassoc.engine.plan import fingerprint
from genassoc.engine.resources import granted_memory
from genassoc.errors import GenassocError, InputError
from genassoc.progress import Progress, Silent
from genassoc.shapes import BoolArray, Float64Array, Int64Array
from genassoc.stats.components import Spectrum
from genassoc.verbs.arguments import check_cohort, check_executor
from genassoc.verbs.component_files import ComponentFields, read_components, write_components
from genassoc.verbs.component_tables import EXACT, PLACES, RANDOMISED, component_names, score_table
from genassoc.verbs.component_variants import FittedVariants, plan_of, variants_to_fit
from genassoc.verbs.projection import ProjectedScores, project

# Samples up to which the whole matrix is no more work than passes over thin ones: a call costs n multiplications in the one, ten passes
# of twice 16 to 32 columns in the other, and the decomposition is over in a second.
_FEW_SAMPLES = 1000
LEVEL = 0.01  # of the Tracy-Widom test
_SPREAD = 1e-6  # of the first eigenvalue: one below it is rounding of float32 products
log = logging.getLogger("genassoc")


@dataclass(frozen=True, eq=False, kw_only=True)
class PrincipalComponents(ComponentFields):
    """Principal components of genotypes. Made by `pca`, or read back by `read`; its fields are those of `ComponentFields`."""

    @property
    def variance_explained(self) -> Float64Array:
        """Share of the total variance of each component, (k,)."""
        return self.eigenvalues / self.total_variance

    def summary_lines(self) -> list[str]:
        """What was done, in words."""
        shares = ", ".join(f"{name} {100 * share:.3g} %" for name, share in zip(self.names, self.variance_explained))
        return [*self.notes, f"variance explained, of a total of {self.total_variance:,.6g}: {shares}"]

    def project(
        self,
        cohort: Cohort,
        *,
        min_overlap: float = 0.5,
        executor: Executor | None = None,
        progress: Progress | None = None,
    ) -> ProjectedScores:
        """Scores of the samples of another cohort; see `genassoc.verbs.projection.project`."""
        return project(self, cohort, min_overlap=min_overlap, executor=executor, progress=progress)

    def write(self, path: str | Path, *, overwrite: bool = False) -> Path:
        """Write them as a folder that `read` reads; see `genassoc.verbs.component_files`."""
        return write_components(self, Path(path), overwrite=overwrite)

    @classmethod
    def read(cls, path: str | Path) -> "PrincipalComponents":
        """Read what `write` wrote.

        Raises
        ------
        InputError
            It is no such folder, or its files are damaged.
        """
        return cls(**vars(read_components(Path(path))))

    def __repr__(self) -> str:
        return f"PrincipalComponents({self.k} of {int(self.fitted.sum()):,} samples and {self.loadings.height:,} variants; {'; '.join(self.notes)})"


@dataclass(frozen=True)
class _Found:
    """What a fit gives: vectors (n, k) of unit length, eigenvalues (k,), and how well they are known."""

    vectors: Float64Array
    spectrum: Spectrum
    angles: Float64Array
    passes: int


@dataclass(frozen=True)
class _Choices:
    """What decides the numbers, beside the genotypes."""

    k: int
    min_maf: float
    method: str
    seed: int
    most_passes: int
    samples: int
    variants: int


@dataclass(frozen=True)
class _Run:
    """Where and how passes are run."""

    executor: Executor
    progress: Progress
    work: WorkFolder | None
    kept: KeptBlocks


def pca(
    cohort: Cohort,
    k: int = 10,
    *,
    fit_on: Sequence[str] | BoolArray | None = None,
    unrelated: pl.DataFrame | str | Path | None = None,
    max_kinship: float = 0.0442,
    min_maf: float = 0.01,
    long_range_ld: bool | None = None,
    build: str | None = None,
    method: str | None = None,
    seed: int = 1,
    most_passes: int = 20,
    memory: str | int | None = None,
    work: str | Path | None = None,
    executor: Executor | None = None,
    progress: Progress | None = None,
) -> PrincipalComponents:
    """Principal components of the genotypes of a cohort.

    Calls are standardised, ``(copies - 2p) / sqrt(2p(1 - p))``, a missing one taking the mean, as by EIGENSOFT and PLINK 2. Variants in linkage
    disequilibrium should have been pruned: ``cohort.keep_variants(ga.ld_prune(cohort))``.

    Parameters
    ----------
    cohort : Cohort
        The variants that its filters leave take part, those on autosomes; filters on genotypes are of the samples of the fit.
    k : int
        Components.
    fit_on : sequence of sample ids, or bool array (N,), optional
        The samples that components are fitted on; the others are projected, their scores made good for shrinkage. By default all.
    unrelated : DataFrame or path, optional
        A table of kinship (`genassoc.kinship`, plink2's or KING's): of these samples components are fitted on those that
        `Cohort.keep_unrelated` keeps.
    max_kinship : float
        Largest kinship of two samples of the fit, for ``unrelated``.
    min_maf : float
        Least minor allele frequency in the samples of the fit.
    long_range_ld : bool, optional
        Whether regions of long-range LD take part. By default they do not, where the build is known; False makes an unknown build an error.
    build : {None, "GRCh37", "GRCh38"}
        Of the genome; by default what the cohort or its store knows.
    method : {None, "exact", "randomised"}
        "exact" decomposes the whole relationship matrix; "randomised" is a block Krylov method that goes on until the components above noise are
        known to an angle of 1e-4. By default the cheaper: the former up to 1,000 samples.
    seed : int
        Of the random start.
    most_passes : int
        Of the randomised method.
    memory : str or int, optional
        Bytes of genotypes that stay in memory between passes; by default a quarter of what this process may use.
    work : path, optional
        Folder that keeps finished tasks, so that a killed run carries on from them; removed at the end.
    executor, progress : optional

    Returns
    -------
    PrincipalComponents

    Raises
    ------
    InputError
        ``k`` is not below the number of samples of the fit, or above that of variants; or samples of ``fit_on`` are not in the cohort.
    GenassocError
        No variant is left; fewer than k components have any variance.
    """
    check_not_forked()
    check_cohort(cohort, "pca(cohort)")
    check_executor(executor)
    for value, name, least in ((k, "k", 1), (seed, "seed", 0), (most_passes, "most_passes", 1)):
        if isinstance(value, bool) or not isinstance(value, int | np.integer) or value < least:
            raise InputError(f"{name} is a whole number of at least {least}, not {value!r}")
    if method not in (None, EXACT, RANDOMISED):
        raise InputError(f"method={method!r}: it is '{EXACT}' or '{RANDOMISED}', or None for the cheaper")
    if not 0.0 <= min_maf < 0.5:
        raise InputError(f"min_maf={min_maf!r}: a minor allele frequency is at least 0 and below 0.5")
    fit, fitted = _fit_samples(cohort, fit_on, unrelated, max_kinship)
    n = fit.n_samples
    if k >= n:
        raise InputError(
            f"{n:,} samples have at most {n - 1:,} principal components, since scores are centred, and {k} are asked for: "
            + (f"ask for fewer (k={n - 1}, -k on the command line)" if n > 1 else "fit on more samples")
        )
    chosen = variants_to_fit(
        fit, min_maf=min_maf, long_range_ld=long_range_ld, build=build, executor=executor, progress=progress
    )
    if chosen.numbers.size < k:
        raise InputError(
            f"{chosen.numbers.size:,} variants have at most as many principal components, and {k} are asked for"
            + "".join(f"; {count:,} variants were {_were(reason)}" for reason, count in chosen.dropped.items())
        )
    exact = method == EXACT or (method is None and (n <= _FEW_SAMPLES or 4 * k > n))
    choices = _Choices(
        int(k), float(min_maf), EXACT if exact else RANDOMISED, int(seed), int(most_passes), n, int(chosen.numbers.size)
    )
    kept = KeptBlocks(_room(memory))
    folder = None if work is None else WorkFolder(work)
    if folder is None:
        return _run(cohort, fit, fitted, chosen, choices, _Run(executor or Threads(), progress or Silent(), None, kept))
    folder.ensure()
    with folder.lock():
        found = _run(
            cohort, fit, fitted, chosen, choices, _Run(executor or Threads(), progress or Silent(), folder, kept)
        )
        folder.remove()
    return found


def _run(
    cohort: Cohort, fit: Cohort, fitted: BoolArray, chosen: FittedVariants, choices: _Choices, how: _Run
) -> PrincipalComponents:
    """Fit, then loadings and the scores of the others."""
    standard = chosen.standardisation
    total = standard.total_variance(chosen.counts)
    selected = chosen.of(fit)
    mark = fingerprint(analysis="pca", cohort=selected.fingerprint, **asdict(choices))
    plan = plan_of(fit, chosen.numbers, mark)
    settle()
    if choices.method == EXACT:
        relationship = Relationship(standard)
        sums = run_passes(relationship, selected, plan, how.executor, how.progress, how.work, kept=how.kept)
        with single_threaded_blas():
            values, vectors = relationship.eigen(sums)
        k = choices.k
        found = _Found(vectors[:, :k], Spectrum.of_all(values, k), np.zeros(k), 1)
    else:
        leading = LeadingComponents(standard, fit.n_samples, choices.k, total, choices.seed, choices.most_passes)
        products = run_passes(leading, selected, plan, how.executor, how.progress, how.work, kept=how.kept)
        with single_threaded_blas():
            ritz = leading.ritz(products)
            passes = -(-products.basis.shape[1] // leading.columns)
            found = _Found(ritz.vectors[:, : leading.k], leading.spectrum(ritz), ritz.angles()[: leading.k], passes)
    rank = int((found.spectrum.leading > _SPREAD * found.spectrum.leading[0]).sum())
    if rank < choices.k:
        raise GenassocError(
            f"only {rank} principal components have any variance, and {choices.k} are asked for: are samples there several times?"
        )
    vectors = found.vectors * signs(found.vectors)
    projected = np.flatnonzero(~fitted)
    everyone = chosen.of(cohort) if projected.size else selected
    places = np.flatnonzero(fitted) if projected.size else np.arange(fit.n_samples)
    loadings = Loadings(standard, vectors, found.spectrum.leading, places, projected)
    kept = how.kept if everyone is selected else KeptBlocks(0)
    made = run_passes(loadings, everyone, plan, how.executor, how.progress, how.work, kept=kept)
    return _assembled(cohort, fitted, chosen, choices, found, vectors, made)


def _assembled(
    cohort: Cohort,
    fitted: BoolArray,
    chosen: FittedVariants,
    choices: _Choices,
    found: _Found,
    vectors: Float64Array,
    made: Projected,
) -> PrincipalComponents:
    shrinkage = found.spectrum.shrinkage()
    scores = np.empty((cohort.n_samples, vectors.shape[1]))
    scores[fitted] = vectors
    notes = [_fit_note(choices, found)]
    notes += [f"{count:,} variants {_were(reason)}" for reason, count in chosen.dropped.items()]
    notes += chosen.notes
    if cohort.selection.mask is None:
        notes.append(
            "variants were not pruned: components of variants in LD may describe that (ga.ld_prune, genassoc prune)"
        )
    if not fitted.all():
        scores[~fitted] = made.solved(information(made.loadings, chosen.call_rate)) / shrinkage
        unknown = int(np.isnan(scores[~fitted]).any(axis=1).sum())
        notes.append(
            f"{int((~fitted).sum()):,} samples projected, their scores divided by {shrinkage[0]:.3f} (PC1) to {shrinkage[-1]:.3f} "
            f"(PC{shrinkage.size})" + (f"; {unknown:,} of them have too few calls for a score" if unknown else "")
        )
    above = found.spectrum.above_noise(LEVEL)
    notes += _noise_notes(above, found)
    for note in notes:
        log.info(note)
    return PrincipalComponents(
        scores=score_table(cohort.sample_ids, scores),
        fitted=fitted,
        loadings=_loading_table(cohort, chosen, made.loadings),
        eigenvalues=found.spectrum.leading.copy(),
        total_variance=chosen.standardisation.total_variance(chosen.counts),
        shrinkage=shrinkage,
        angles=found.angles,
        above_noise=above,
        method=choices.method,
        passes=found.passes,
        seed=choices.seed,
        notes=tuple(notes),
        record={**asdict(choices), "store": cohort.store.fingerprint, "dropped": dict(chosen.dropped)},
    )


def _fit_note(choices: _Choices, found: _Found) -> str:
    how = "exact, of the whole relationship matrix"
    if choices.method == RANDOMISED:
        how = f"randomised, {found.passes} passes over the genotypes, seed {choices.seed}"
    return (
        f"principal components of {choices.samples:,} samples and {choices.variants:,} variants with a minor allele frequency of "
        f"at least {choices.min_maf:g} ({how})"
    )


def _noise_notes(above: int, found: _Found) -> list[str]:
    k = found.angles.size
    notes = [f"{above} of {k} components stand above noise (Tracy-Widom at {LEVEL:g})"]
    if above and found.angles[above - 1] > 1e-3:
        notes.append(
            f"these are not settled: their space may be off by an angle of {found.angles[above - 1]:.2g}: allow more passes (most_passes)"
        )
    if above < k and found.angles.any():
        beyond = f"PC{above + 1} lies" if above + 1 == k else f"PC{above + 1} to PC{k} lie"
        notes.append(f"{beyond} within noise, where no gap holds components apart: approximate")
    return notes


def _were(reason: str) -> str:
    return reason if reason.startswith("left out") else f"left out: {reason}"


def _fit_samples(
    cohort: Cohort,
    fit_on: Sequence[str] | BoolArray | None,
    unrelated: pl.DataFrame | str | Path | None,
    max_kinship: float,
) -> tuple[Cohort, BoolArray]:
    """The cohort of the samples of the fit, and which of the cohort's they are.

    Raises
    ------
    InputError
        Ids that the cohort does not have; a mask of another length.
    """
    if unrelated is not None:
        of_these, _ = _fit_samples(cohort, fit_on, None, max_kinship)
        fit = of_these.keep_unrelated(unrelated, max_kinship)
        mask = np.isin(cohort.sample_index, fit.sample_index)
        return (cohort, mask) if mask.all() else (fit, mask)
    if fit_on is None:
        return cohort, np.ones(cohort.n_samples, dtype=bool)
    given = np.asarray(fit_on)
    if given.dtype == bool:
        if given.shape != (cohort.n_samples,):
            raise InputError(f"fit_on has {given.size:,} values, and the cohort {cohort.n_samples:,} samples")
        mask = given
    else:
        wanted = {str(name) for name in given.tolist()}
        unknown = sorted(wanted - {str(name) for name in cohort.sample_ids})
        if unknown:
            raise InputError(
                f"fit_on: {len(unknown):,} samples are not in the cohort, such as {', '.join(unknown[:3])}"
            )
        mask = np.isin(cohort.sample_ids.astype(str), np.array(sorted(wanted), dtype=str))
    if not mask.any():
        raise InputError("fit_on chooses no sample")
    if mask.all():
        return cohort, mask
    return cohort.keep_samples([str(name) for name in cohort.sample_ids[mask]]), mask


def _room(memory: str | int | None) -> int:
    """Bytes of genotypes that may stay in memory."""
    if memory is not None:
        return parse_memory(memory)
    grant = granted_memory()
    return 2**30 if grant is None else grant.n_bytes // 4


def _loading_table(cohort: Cohort, chosen: FittedVariants, loadings: Float64Array) -> pl.DataFrame:
    numbers: Int64Array = chosen.numbers
    block = cohort.store.block_variants
    parts = []
    for start in range(0, cohort.n_variants, block):
        stop = min(start + block, cohort.n_variants)
        here = numbers[np.searchsorted(numbers, start) : np.searchsorted(numbers, stop)]
        if here.size:
            parts.append(cohort.store.variants(start, stop)[here - start].select(PLACES))
    places = pl.concat(parts)
    frequency = pl.Series("effect_allele_frequency", 0.5 * chosen.standardisation.mean)
    named = [
        pl.Series(name, np.ascontiguousarray(column))
        for name, column in zip(component_names(loadings.shape[1]), loadings.T)
    ]
    return places.with_columns(frequency, pl.Series("call_rate", chosen.call_rate), *named)
