"""Step 1 as gwas.toml describes it: the whole-genome regression of its model's traits, written as files."""

from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import Any

import polars as pl

from genassoc.analyses.whole_genome.choices import WholeGenomeRegression
from genassoc.analyses.whole_genome.outcomes import OUTCOMES
from genassoc.data.cohort import variants as predicates
from genassoc.data.cohort.cohort import Cohort
from genassoc.data.cohort.variant_lists import read_variants
from genassoc.data.output import check_outputs, check_writable
from genassoc.engine.parts import WorkFolder
from genassoc.errors import InputError, OutputError
from genassoc.models.base import AssociationModel
from genassoc.verbs.config import Config
from genassoc.verbs.from_config import make_cohort, make_model, make_store
from genassoc.verbs.options import DEFAULT, RunOptions
from genassoc.verbs.predictions import LIST, check_names, standing_predictions
from genassoc.verbs.run_record import input_files, run_of
from genassoc.verbs.whole_genome import fit_part, fit_whole_genome, identity_of, pairs_among, recorder_of

_FILTERS = {"maf": predicates.maf_above, "missing": predicates.missing_below}
_TAKEN = ("rank_normalise", "case_value")  # choices of an association that the regression has too
_TAKEN_OF_TIMES = ("time", "entry", "strata", "cause")  # of times to an event


def step1(
    config: Config, out: str | Path, options: RunOptions = DEFAULT, part: tuple[int, int] | None = None
) -> list[str]:
    """Fit the whole-genome regression of a gwas.toml and write its predictions into a folder; what there is to say, in lines.

    Variants are those of ``[variants]``, and of ``[step1]`` where it has conditions; ``[output]`` is that of the association, and is not
    written. A killed run carries on from ``<out>/step1_pred.list.work``, where ``part`` i of n (i from 0) of a job array leaves its blocks.

    Raises
    ------
    GenassocError
        Bad input; see `genassoc.verbs.whole_genome.fit_whole_genome`. Or the folder holds other predictions, and not
        ``options.restart``.
    """
    out = Path(out)
    model = regression_of(config, make_model(config))
    store = make_store(config, threads=options.n_threads, progress=options.progress, overwrite=options.restart)
    cohort = step1_cohort(config, make_cohort(config, store))
    relatives = config.step1_files.get("relatives")
    check_names(cohort, model.traits)
    listed = out / LIST
    check_outputs([listed], [config.store, *config.tables, *config.step1_files.values(), *input_files(cohort)])
    recorder = recorder_of(cohort, model)
    identity = run_of(identity_of(cohort, model, pairs_among(cohort, relatives)[0]))
    if not options.restart:
        found = standing_predictions(out, identity, {"parameters": recorder.parameters, "inputs": recorder.inputs})
        if found is not None and found.same:
            WorkFolder.beside(listed).remove()  # a run that was killed at its very end left it
            return [
                f"{listed} already holds the predictions of this fit: they were not computed again; --force computes them again"
            ]
        if found is not None:
            raise OutputError(
                f"{listed} exists already and is of another fit: {found.why}. Nothing was computed: write into another folder, or replace "
                "it (--force)"
            )
    made = not out.exists()
    try:
        out.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise OutputError(f"{out} cannot be made: {error.strerror}") from error
    work = WorkFolder.beside(listed)
    try:
        check_writable(listed)
        if part is not None:
            fit_part(
                cohort, model, part, work.path,
                relatives=relatives, memory=options.memory, executor=options.executor, progress=options.progress,
            )  # fmt: skip
            return [
                f"part {part[0] + 1} of {part[1]} is done: when all are, the same command without --part fits the rest"
            ]
        if options.restart:
            work.remove()
        predictions = fit_whole_genome(
            cohort, model, relatives=relatives, work=work.path, memory=options.memory, executor=options.executor,
            progress=options.progress,
        )  # fmt: skip
    except BaseException:
        # Of a job array other parts may be at work there.
        if part is None and work.path.is_dir() and not any(work.path.rglob("part-*.parquet")):
            work.remove()  # nothing to take up: leave nothing behind
        if made and not any(out.iterdir()):
            out.rmdir()
        raise
    options.say(predictions.notes)
    written = predictions.write(out, overwrite=options.restart)
    work.remove()
    return [*summary_lines(predictions.summary), *(str(path) for path in written)]


def regression_of(config: Config, model: AssociationModel) -> WholeGenomeRegression:
    """The regression of the traits and covariates of a model, with the choices of ``[step1]``.

    Raises
    ------
    InputError
        There is none of such a model, or a choice has a wrong value.
    """
    if model.outcome not in OUTCOMES:
        raise InputError(
            f"step 1 has no regression of the traits of such a model ({model.outcome}); it has those of {', '.join(OUTCOMES)} traits"
        )
    if getattr(model, "baseline", None) is not None:
        raise InputError(
            "step 1 does not know changes from a baseline: make the change a column, or put the baseline among the covariates"
        )
    own: dict[str, Any] = {
        name: value for name, value in config.step1.items() if name not in ("variants", "relatives", *_FILTERS)
    }
    taken = (*_TAKEN, *_TAKEN_OF_TIMES) if model.outcome == "survival" else _TAKEN
    own |= {name: getattr(model, name) for name in taken if getattr(model, name, None)}
    try:
        return WholeGenomeRegression(
            traits=tuple(dict.fromkeys(model.traits)), covariates=model.covariates, outcome=model.outcome, **own
        )
    except (TypeError, ValueError) as error:
        raise InputError(f"[step1] {error}.") from error


def step1_cohort(config: Config, cohort: Cohort) -> Cohort:
    """The cohort with the variants that ``[step1]`` asks for besides."""
    for name, condition in _FILTERS.items():
        if name in config.step1:
            cohort = cohort.keep_variants(partial(condition, float(config.step1[name]))())
    path = config.step1_files.get("variants")
    return cohort if path is None else cohort.keep_variants(read_variants(path, cohort.store))


def check_inputs(config: Config, cohort: Cohort, model: AssociationModel) -> None:
    """See, before any work, that predictions can be named in files, and that the table of relatives is one.

    Raises
    ------
    InputError
        A name has a blank in it; or the table lacks a column, or a kinship is none.
    SampleMismatchError
        None of the table's samples is in the cohort.
    """
    check_names(cohort, model.traits)
    pairs_among(cohort, config.step1_files.get("relatives"))


def summary_lines(summary: pl.DataFrame) -> list[str]:
    """A line for each trait."""
    return [_line(row) for row in summary.iter_rows(named=True)]


def _line(row: Mapping[str, object]) -> str:
    if row["failure"] is not None:
        return f"{row['trait']}: not fitted ({row['failure']})"
    how = "each sample from all others" if row["n_folds"] == 0 else f"{row['n_folds']} folds"
    loss = "" if row["neg_log_likelihood"] is None else f", -log likelihood {row['neg_log_likelihood']:.4g} a sample"
    penalty = "" if row["h2"] is None else f", penalty of h2 {row['h2']:g}"
    r2 = "" if row["r2"] is None else f": r2 {row['r2']:.4g}"
    return f"{row['trait']}: {row['n']:,} samples, {how}{penalty}{r2}{loss}"
