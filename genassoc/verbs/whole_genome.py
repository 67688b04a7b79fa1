"""Whole-genome regression: predictions of traits from all variants, a set for each chromosome without its own."""

import hashlib
import logging
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl

from genassoc.analyses.kinship.pairs import THIRD_DEGREE
from genassoc.analyses.whole_genome.choices import WholeGenomeRegression
from genassoc.analyses.whole_genome.frame import Fitted, Frame, Prior, SampleGroup, TraitFailure, TraitFit
from genassoc.analyses.whole_genome.groups import check_variants, make_frame
from genassoc.analyses.whole_genome.mixture import Mixture
from genassoc.analyses.whole_genome.outcomes import OUTCOMES
from genassoc.analyses.whole_genome.relatives import variance_ratio
from genassoc.analyses.whole_genome.responses import response_of
from genassoc.analyses.whole_genome.ridge import R, Ridge, RidgeBlocks
from genassoc.analyses.whole_genome.sweeps import Basis
from genassoc.analyses.whole_genome.usable import UsableVariants, Variation, block_spans
from genassoc.data.analysis import RereadingAnalysis, State, SummedAnalysis, Sums
from genassoc.data.cohort.cohort import Cohort
from genassoc.data.cohort.dosed_variants import dosage_notes
from genassoc.data.cohort.matching import family_column
from genassoc.data.cohort.relatives import related_of
from genassoc.data.forks import check_not_forked
from genassoc.data.memory import parse_memory, show_memory
from genassoc.engine.executors import Executor, Threads, single_threaded_blas
from genassoc.engine.parts import WorkFolder
from genassoc.engine.passes import digest_of, run_passes, run_pieces, run_pieces_part
from genassoc.engine.plan import MAX_TASKS, Plan, Task, fingerprint
from genassoc.engine.rereading import run_batches
from genassoc.errors import InputError, PhenotypeError, PlanError
from genassoc.progress import Progress, Silent
from genassoc.provenance import Recorder
from genassoc.verbs.arguments import check_cohort, check_executor, kind_of
from genassoc.verbs.predictions import WholeGenomePredictions
from genassoc.verbs.run_record import inputs_of, run_of

PRIORS: Mapping[str, Prior] = {"ridge": Ridge(), "mixture": Mixture()}
_MOST_PREDICTIONS = 2 * 2**30  # bytes of level 0 held at once, where nobody says
Relatives = pl.DataFrame | str | Path

_SHOWN = 5
_CHANCE_R2 = 0.01  # r2 of a trait that nothing predicts, from which it is said: of such a size are polygenic scores of many traits


def fit_whole_genome(
    cohort: Cohort,
    model: WholeGenomeRegression,
    *,
    relatives: Relatives | None = None,
    work: str | Path | None = None,
    memory: str | int | None = None,
    executor: Executor | None = None,
    progress: Progress | None = None,
) -> WholeGenomePredictions:
    """Predict traits from all variants of the autosomes, for each chromosome without its own.

    Parameters
    ----------
    cohort : Cohort
        Its variants pruned (`genassoc.ld_prune`): hundreds of thousands suffice.
    model : WholeGenomeRegression
        Choices, never data.
    relatives : DataFrame or path, optional
        Pairs of samples, as `genassoc.kinship` gives them (sample_id_1, sample_id_2, kinship; those of the third degree and closer count).
        Of quantitative traits the summary then has a ``factor``: what chi-squared of linear rows is to be divided by
        (`genassoc.calibrate`). Predictions do not depend on it.
    work : path, optional
        A folder for what is finished: a killed run carries on from it. It is left there; without it all is kept in memory.
    memory : str or int, optional
        Bytes of blocks' predictions that are held at once, as "8GiB"; by default 2 GiB. Traits beyond it are fitted in another pass over
        the genotypes, which a note counts; one trait is always held whole (``20 N B`` bytes for N samples and B blocks). A trait's
        predictions depend on the traits of its pass in the last digits of float32 (1e-6 of a standard deviation).
    executor : Serial, Threads, Dask, optional
        `Threads()` by default. The predictions do not depend on it.
    progress : Progress, optional

    Returns
    -------
    WholeGenomePredictions

    Raises
    ------
    PhenotypeError
        No trait can be fitted; says of each why. A column is not there, or a trait is named twice.
    InputError
        No variant varies, or relatives are no pairs of samples.
    """
    check_not_forked()
    check_cohort(cohort, "fit_whole_genome(cohort, model)")
    check_executor(executor)
    if not isinstance(model, WholeGenomeRegression):
        raise TypeError(
            "fit_whole_genome(cohort, model): the model is one such as genassoc.WholeGenomeRegression(traits=['ldl']), not "
            f"{kind_of(model)}"
        )
    folder = None if work is None else WorkFolder(work)
    run = _Run(cohort, model, executor or Threads(), progress or Silent(), folder, _room(memory))
    if run.work is None:
        return run.predictions(relatives)
    run.work.ensure()
    with run.work.lock():
        return run.predictions(relatives)


def fit_part(
    cohort: Cohort,
    model: WholeGenomeRegression,
    part: tuple[int, int],
    work: str | Path,
    *,
    relatives: Relatives | None = None,
    memory: str | int | None = None,
    executor: Executor | None = None,
    progress: Progress | None = None,
) -> None:
    """The blocks of part i of n, ``part`` (i from 0), of a job array, left in the folder ``work``; doing it twice is harmless.

    When all parts are done `fit_whole_genome` with this folder and the same ``memory`` has their predictions to read, and level 1 to fit.

    Raises
    ------
    PlanError
        There is no such part, or more parts than blocks; or the folder is of another fit.
    """
    if not 0 <= part[0] < part[1]:
        raise PlanError(f"there is no part {part[0] + 1} of {part[1]}: parts are numbered from 1")
    run = _Run(cohort, model, executor or Threads(), progress or Silent(), WorkFolder(work), _room(memory))
    run.part(relatives, part)


def _room(memory: str | int | None) -> int:
    """Bytes of blocks' predictions to hold at once."""
    return _MOST_PREDICTIONS if memory is None else parse_memory(memory)


@dataclass(frozen=True, kw_only=True)
class _Framed:
    """What is to be fitted.

    Attributes
    ----------
    frame : Frame
        With its blocks.
    batches : list of Frame
        The frame cut by traits, one for each pass over the genotypes.
    plan : Plan
        A task for each block.
    found : Variation
        The variants that are used, and those that are constant.
    names : dict
        Key of a chromosome -> a contig of it.
    notes : list of str
    identity : str
        Of the fit.
    pairs : DataFrame or None
        Related pairs.
    """

    frame: Frame
    batches: list[Frame]
    plan: Plan
    found: Variation
    names: dict[str, str]
    notes: list[str]
    identity: str
    pairs: pl.DataFrame | None


@dataclass
class _Run:
    """One fit: what its passes share."""

    cohort: Cohort
    model: WholeGenomeRegression
    executor: Executor
    progress: Progress
    work: WorkFolder | None
    room: int  # bytes of blocks' predictions to hold at once
    passes: int = 1  # made so far, after the one that chooses variants

    def part(self, relatives: Relatives | None, part: tuple[int, int]) -> None:
        """The blocks of part i of n of a job array, in the work folder."""
        assert self.work is not None
        prior = PRIORS[self.model.prior]
        if not isinstance(prior, Ridge):
            raise InputError(
                f"a job array takes parts of the blocks, which prior='{self.model.prior}' fits one after another: run it whole"
            )
        autosomes, _ = _autosomes(self.cohort)
        spans = [stop - start for contig, start, stop in self.cohort.store.contig_runs() if contig in autosomes]
        _check_parts(part[1], sum(-(-span // self.model.block_size) for span in spans))  # before genotypes are read
        made = self._framed(relatives, None)
        _check_parts(part[1], len(made.plan.tasks))
        self.work.ensure()
        for number, batch in enumerate(made.batches, self.passes):
            run_pieces_part(
                RidgeBlocks(batch), self.cohort, made.plan, part, self.executor, self.progress, self.work, number=number
            )

    def predictions(self, relatives: Relatives | None) -> WholeGenomePredictions:
        """All passes, and what they give."""
        recorder = recorder_of(self.cohort, self.model)
        made = self._framed(relatives, self.work)
        fitted = [self._fit(part, made.plan) for part in made.batches]
        pairs = made.pairs
        if pairs is not None:
            fitted = [_with_factors(part, self.cohort, self.model.outcome, pairs) for part in fitted]
        result = _result(self.cohort, made, fitted)
        return replace(
            result,
            provenance=recorder.finish(
                run=run_of(made.identity), relatives=0 if pairs is None else pairs.height, **result.provenance
            ),
        )

    def _framed(self, relatives: Relatives | None, work: WorkFolder | None) -> "_Framed":
        """The pass that chooses variants, and what follows from it."""
        pairs, notes = pairs_among(self.cohort, relatives)
        with single_threaded_blas():
            frame = make_frame(self.cohort, self.model)
        autosomes, others = _autosomes(self.cohort)
        identity = identity_of(self.cohort, self.model, pairs)
        runs = [run for run in self.cohort.store.contig_runs() if run[0] in autosomes]
        if not runs:
            raise InputError(
                f"there is no autosome among the contigs of {self.cohort.store.path} ({', '.join(list(others)[:_SHOWN])}): a whole-genome "
                "regression takes chromosomes with numbers"
            )
        found = self._usable(frame, runs, identity, work)
        check_variants(found.varying.size, found.constant.size)
        keys = list(dict.fromkeys(autosomes.values()))
        blocks = block_spans(
            found.varying, runs, {contig: keys.index(key) for contig, key in autosomes.items()}, self.model.block_size
        )
        blocks = tuple(sorted(blocks, key=lambda block: block.chromosome))  # a chromosome may be several runs
        used = [keys[h] for h in dict.fromkeys(block.chromosome for block in blocks)]
        blocks = tuple(replace(block, chromosome=used.index(keys[block.chromosome])) for block in blocks)
        frame = replace(frame, blocks=blocks, chromosomes=tuple(used))
        batches = _batches(frame, self.room)
        notes += [*_notes_of_variants(frame, found, others), *dosage_notes(self.cohort, found.varying)]
        notes += _notes_of_passes(batches)
        together = [[null.name for group in batch.groups for null in group.nulls] for batch in batches]
        plan = _plan(frame, f"{identity} {digest_of(found)} {together}", self.cohort)
        names = {key: next(contig for contig, other in autosomes.items() if other == key) for key in used}
        return _Framed(
            frame=frame, batches=batches, plan=plan, found=found, names=names, notes=notes, identity=identity, pairs=pairs
        )  # fmt: skip

    def _usable(
        self, frame: Frame, runs: Sequence[tuple[str, int, int]], identity: str, work: WorkFolder | None
    ) -> Variation:
        plan = Plan.by_block(runs, self.cohort.store.block_variants, identity)
        if not any(self.cohort.selected_without_genotypes(task.start, task.stop).any() for task in plan.tasks):
            raise InputError(
                "no variant of an autosome is left by the selection of variants, and a whole-genome regression takes chromosomes with numbers"
            )
        return run_passes(UsableVariants(frame.columns), self.cohort, plan, self.executor, self.progress, work)

    def _fit(self, frame: Frame, plan: Plan) -> Fitted:
        with single_threaded_blas():
            return PRIORS[self.model.prior].fit(frame, BlockRunner(self, plan))


@dataclass(frozen=True)
class BlockRunner:
    """The `genassoc.analyses.whole_genome.frame.Runner` of a run; a task of ``plan`` is a block."""

    of: _Run
    plan: Plan

    def __call__(self, analysis: SummedAnalysis[State, Sums], before: Sums | None = None) -> Iterator[Sums]:
        """One pass; see `genassoc.engine.passes.run_pieces`."""
        number = self.of.passes
        self.of.passes += 1
        return run_pieces(
            analysis, self.of.cohort, self.plan, self.of.executor, self.of.progress, self.of.work,
            number=number, before=before,
        )  # fmt: skip

    def batches(self, analysis: RereadingAnalysis[State, Sums]) -> Iterator[Sums]:
        """Batches of traits that read the blocks many times; see `genassoc.engine.rereading.run_batches`."""
        number = self.of.passes
        self.of.passes += 1
        return run_batches(
            analysis, self.of.cohort, self.plan, self.of.executor, self.of.progress, self.of.work, number=number
        )


def recorder_of(cohort: Cohort, model: WholeGenomeRegression) -> Recorder:
    """Started: the choices and the inputs of a fit."""
    choices = {"kind": "whole_genome", **asdict(model)}
    return Recorder(parameters={"model": choices, "variants": cohort.selection.describe()}, inputs=inputs_of(cohort))


def identity_of(cohort: Cohort, model: WholeGenomeRegression, pairs: pl.DataFrame | None) -> str:
    """Of a fit: all on which its predictions and its factors depend."""
    related = "" if pairs is None else hashlib.sha256(repr(pairs.rows()).encode()).hexdigest()[:16]
    return fingerprint(cohort=cohort.fingerprint, model=repr(model), relatives=related, part="whole genome")


def pairs_among(cohort: Cohort, relatives: Relatives | None) -> tuple[pl.DataFrame | None, list[str]]:
    """Related pairs of the cohort's samples (left, right, kinship), and what is said of them.

    Raises
    ------
    InputError
        The table lacks a column, or none of its samples is in the cohort.
    """
    if relatives is None:
        return None, []
    if not isinstance(relatives, pl.DataFrame | str | Path):
        raise InputError(
            "relatives is a table of pairs and their kinship, as genassoc.kinship gives, or the path of one"
        )
    return related_of(cohort.sample_ids, relatives, THIRD_DEGREE)


def _with_factors(fitted: Fitted, cohort: Cohort, outcome: str, pairs: pl.DataFrame) -> Fitted:
    """Fits with the ratio that relatives give linear tests; of outcomes that are no numbers it is only said."""
    fits = []
    for group, fit in fitted.fits:
        null = next(null for null in group.nulls if null.name == fit.name)
        loco = np.where(null.observed, fit.contributions.sum(axis=0) - fit.contributions, 0.0)
        train = np.repeat(null.observed[None], len(loco), axis=0)
        score = response_of(outcome, null).score(loco, train)
        residuals = Basis.of(group.Q.astype(np.float64), null.observed).rest(score)
        place = np.full(cohort.n_samples, -1)
        place[group.samples] = np.arange(group.n)
        first, second = place[pairs["left"].to_numpy()], place[pairs["right"].to_numpy()]
        here = (first >= 0) & (second >= 0)
        ratio = float(variance_ratio(residuals, first[here], second[here], pairs["kinship"].to_numpy()[here]).mean())
        if outcome == "quantitative":
            fits.append((group, replace(fit, factor=ratio)))
        else:
            note = f"by relatives alone lambda would be {ratio:.3f}; no factor is applied to {outcome} traits"
            fits.append((group, replace(fit, notes=(*fit.notes, note))))
    return replace(fitted, fits=tuple(fits))


def _autosomes(cohort: Cohort) -> tuple[dict[str, str], dict[str, int]]:
    """Contigs that are chromosomes with a number, with their keys; and the variants of the others."""
    keys = {contig: cohort.contigs.key(contig) for contig in cohort.contigs.chromosomes}
    autosomes = {contig: key for contig, key in keys.items() if key.removeprefix("=").isdecimal()}
    others: dict[str, int] = {}
    for contig, start, stop in cohort.store.contig_runs():
        if contig not in autosomes:
            others[contig] = others.get(contig, 0) + stop - start
    return autosomes, others


def _plan(frame: Frame, identity: str, cohort: Cohort) -> Plan:
    """A task for each block."""
    if len(frame.blocks) > MAX_TASKS:
        raise InputError(
            f"{frame.n_variants:,} variants in blocks of {frame.choices.block_size} make {len(frame.blocks):,} blocks, more than the "
            f"{MAX_TASKS:,} that one fit takes: choose a larger block_size, or prune the variants"
        )
    tasks = tuple(Task(i, block.start, block.stop, block.contig) for i, block in enumerate(frame.blocks))
    return Plan(tasks, hashlib.sha256(identity.encode()).hexdigest(), cohort.store.block_variants)


def _check_parts(n_parts: int, n_blocks: int) -> None:
    """Refuse a job array of which some parts have nothing to do.

    Raises
    ------
    PlanError
    """
    if n_parts > n_blocks:
        raise PlanError(
            f"{n_parts:,} parts are more than the blocks, of which there are {n_blocks:,} at most: divide the work into fewer parts"
        )


def _held(group: SampleGroup, n_blocks: int) -> int:
    """Bytes of the predictions that blocks give of one trait."""
    return 4 * R * group.n * n_blocks


def _batches(frame: Frame, most: int) -> list[Frame]:
    """The frame, or frames of some of its traits each, so that the predictions of blocks that are held at once are bounded."""
    batches: list[list[SampleGroup]] = [[]]
    held = 0
    for group in frame.groups:
        each = _held(group, len(frame.blocks))
        first = 0
        while first < len(group.nulls):
            room = max((most - held) // each, 0 if held else 1)
            if room == 0:
                batches.append([])
                held = 0
                continue
            stop = min(len(group.nulls), first + int(room))
            batches[-1].append(replace(group, nulls=group.nulls[first:stop], working=group.working[:, first:stop]))
            held += each * (stop - first)
            first = stop
    return [replace(frame, groups=tuple(groups)) for groups in batches]


def _notes_of_passes(batches: Sequence[Frame]) -> list[str]:
    """What it takes that the predictions of blocks do not fit into the memory for them."""
    if len(batches) == 1:
        return []
    n_traits = sum(len(group.nulls) for batch in batches for group in batch.groups)
    whole = sum(_held(group, len(batch.blocks)) * len(group.nulls) for batch in batches for group in batch.groups)
    return [
        f"the genotypes are read {len(batches)} times for {n_traits} traits, whose predictions of blocks take {show_memory(whole)}: with more "
        "memory= (--memory) they are read less often"
    ]


def _notes_of_r2(fits: Sequence[tuple[SampleGroup, TraitFit]], frame: Frame) -> list[str]:
    """How good r2 is of a trait that nothing predicts, where it is not next to nothing; see `WholeGenomePredictions.summary`."""
    least = min(int(np.count_nonzero(~np.isnan(fit.contributions[0]))) for _, fit in fits)
    n_blocks, largest = len(frame.blocks), max(block.n_variants for block in frame.blocks)
    if (
        least < largest
    ):  # of blocks of 500, pure noise in 350 samples still has 6 / 356, in 250 five times that, in 150 forty times
        return [
            f"a trait has fewer samples ({least:,}) than a block has variants ({largest:,}): its predictions may hold its own values, most of "
            "all with folds='loocv'; r2 then says nothing, and effects that are estimated with these predictions as offsets shrink. "
            f"Choose a block_size below {least:,}, or 5 folds"
        ]
    chance = n_blocks / (n_blocks + least)
    if chance < _CHANCE_R2:
        return []
    return [
        f"r2 is too good in few samples: with {n_blocks:,} blocks and {least:,} samples a trait that no variant predicts has about {chance:.2g} "
        "(stacking sees each fold a little; p values of associations do not suffer). Fewer, larger blocks make it smaller"
    ]


def _notes_of_variants(frame: Frame, found: Variation, others: Mapping[str, int]) -> list[str]:
    notes = [
        f"{frame.n_variants:,} variants of {len(frame.chromosomes)} chromosomes in {len(frame.blocks):,} blocks of up to "
        f"{frame.choices.block_size:,}"
    ]
    if found.constant.size:
        notes.append(f"{found.constant.size:,} variants have one genotype in all samples and are left out")
    if others:
        shown = ", ".join(f"{name} {n:,}" for name, n in list(others.items())[:_SHOWN])
        more = f" and {len(others) - _SHOWN} more" if len(others) > _SHOWN else ""
        notes.append(f"variants of contigs that are no autosome are not used ({shown}{more})")
    if len(frame.chromosomes) == 1:
        notes.append(
            f"there is one chromosome, {frame.chromosomes[0]}: the prediction without it is 0 for every sample, and changes nothing there"
        )
    smallest = min(block.n_variants for block in frame.blocks)
    if frame.n_variants < frame.choices.block_size:
        notes.append(
            f"there are fewer variants ({frame.n_variants:,}) than a block holds ({frame.choices.block_size:,}): predictions of so few "
            "say little"
        )
    elif smallest < 10:
        notes.append(f"the smallest block holds {smallest} variants: chromosomes of few variants have small blocks")
    return notes


def _result(cohort: Cohort, made: _Framed, fitted: Sequence[Fitted]) -> WholeGenomePredictions:
    frame = made.frame
    outcome = OUTCOMES[frame.choices.outcome]
    failures = [*frame.failures, *(failure for part in fitted for failure in part.failures)]
    fits = {fit.name: (group, fit) for part in fitted for group, fit in part.fits}
    if not fits:
        raise PhenotypeError(
            "no trait can be fitted. " + "; ".join(f"{failure.name}: {failure.reason}" for failure in failures)
        )
    order = cohort.phenotypes.resolve(frame.choices.traits, "trait")
    traits = tuple(name for name in order if name in fits)
    contributions = {}
    for name in traits:
        group, fit = fits[name]
        values = np.full((len(frame.chromosomes), cohort.n_samples), np.nan, dtype=np.float32)
        values[:, group.samples] = fit.contributions
        contributions[name] = values
    left_out = {"constant": made.found.constant}
    for part in fitted[:1]:
        left_out |= part.left_out
    said = [note for part in fitted for note in part.notes]
    if frame.choices.prior == "ridge":
        said += _notes_of_r2(list(fits.values()), frame)
    said += [f"{name}: {note}" for name in traits for note in fits[name][1].notes]
    said += [f"{failure.name} is left out: {failure.reason}" for part in fitted for failure in part.failures]
    said += [
        f"{values.size:,} variants are {reason} and take no part"
        for reason, values in left_out.items()
        if values.size and reason != "constant"
    ]
    notes = list(dict.fromkeys([*cohort.notes, *frame.notes, *made.notes, *said]))
    for note in notes:
        logging.getLogger("genassoc").info(note)
    summary = _summary(order, fits, failures, frame)
    return WholeGenomePredictions(
        sample_ids=tuple(str(name) for name in cohort.sample_ids),
        family_ids=_family_ids(cohort),
        traits=traits,
        chromosomes=made.names,
        contributions=contributions,
        outcome=frame.choices.outcome,
        unit=outcome.unit,
        summary=summary,
        penalties=pl.DataFrame([{"trait": name, **row} for name in traits for row in fits[name][1].table]),
        left_out=pl.concat(
            [
                pl.DataFrame({"variant": values, "reason": pl.Series([reason] * values.size, dtype=pl.String)})
                for reason, values in left_out.items()
            ]
        ).sort("variant"),
        notes=tuple(notes),
        provenance={
            "notes": notes,
            "summary": summary.to_dicts(),
            "left_out": {reason: int(values.size) for reason, values in left_out.items()},
        },
    )


def _family_ids(cohort: Cohort) -> tuple[str, ...] | None:
    column = family_column(cohort.phenotypes.columns)
    if column is None:
        return None
    return tuple(cohort.phenotypes.table[column].cast(pl.String).fill_null("0").gather(cohort.rows))


def _summary(
    order: Sequence[str],
    fits: Mapping[str, tuple[SampleGroup, TraitFit]],
    failures: Sequence[TraitFailure],
    frame: Frame,
) -> pl.DataFrame:
    why = {failure.name: failure.reason for failure in failures}
    rows = []
    for name in order:
        if name in fits:
            group, fit = fits[name]
            n = int(np.count_nonzero(~np.isnan(fit.contributions[0])))
            folds = 0 if group.folds.leave_one_out else group.folds.n_folds
            rows.append({"trait": name, "n": n, "n_folds": folds, **fit.chosen, "factor": fit.factor})
        else:
            rows.append({"trait": name, "failure": why[name]})
    schema: dict[str, Any] = {
        "trait": pl.String, "n": pl.Int64, "n_folds": pl.Int64, "h2": pl.Float64, "r2": pl.Float64, "mse": pl.Float64,
        "neg_log_likelihood": pl.Float64, "log_likelihood_gained": pl.Float64, "h2_standard_error": pl.Float64, "share": pl.Float64,
        "small": pl.Float64, "slope": pl.Float64, "sweeps": pl.Int64, "factor": pl.Float64, "failure": pl.String,
    }  # fmt: skip
    table = pl.DataFrame(rows, schema=schema)
    sizes = {"n_variants": frame.n_variants, "n_blocks": len(frame.blocks)}
    return table.with_columns(**{name: pl.lit(value) for name, value in sizes.items()})
