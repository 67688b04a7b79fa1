"""Score statistics of a run of sets in a file: what other cohorts get in place of genotypes."""

import warnings
from pathlib import Path

from genassoc.data.cohort.cohort import Cohort
from genassoc.data.output import check_outputs
from genassoc.data.score_statistics import SCORE_SCHEMA
from genassoc.data.sidecar import write_record
from genassoc.engine.parts import Merged
from genassoc.engine.plan import Plan, fingerprint
from genassoc.engine.run import run_to_file
from genassoc.engine.set_scores import ScoreJob
from genassoc.errors import OutputError, ReusedWarning
from genassoc.models.base import AssociationModel
from genassoc.models.sets.analysis import SetTests
from genassoc.provenance import Recorder
from genassoc.verbs.association import association_job
from genassoc.verbs.options import RunOptions
from genassoc.verbs.run_record import (
    describe,
    finish_record,
    input_files,
    inputs_of,
    reused_note,
    run_of,
    there_already,
)
from genassoc.verbs.set_plans import plan_sets

_PARTS = "scores"  # enters the fingerprint: parts of results are never taken for parts of scores


def check_scores_out(scores_out: Path, out: Path | None, cohort: Cohort) -> None:
    """Refuse a place for score statistics before anything is computed.

    Raises
    ------
    OutputError
        It does not end in .parquet, is an input or the results' own file, or cannot be written.
    """
    if scores_out.suffix != ".parquet":
        raise OutputError(f"{scores_out}: score statistics are written as .parquet; genassoc meta reads it.")
    check_outputs([scores_out] if out is None else [out, scores_out], input_files(cohort))


def scores_to_file(cohort: Cohort, model: AssociationModel, scores_out: Path, options: RunOptions) -> Path:
    """Write scores and covariances of a cohort's sets, set by set, for `genassoc.meta_sets`; a killed run is taken up from its parts.

    Parameters
    ----------
    cohort : Cohort
        With sets (`genassoc.verbs.set_plans.with_sets`).
    model : AssociationModel
    scores_out : Path
        Ends in .parquet; its record lies beside it. A file that holds these very statistics already is kept.
    options : RunOptions
    """
    recorder = Recorder(parameters=describe(cohort, model), inputs=inputs_of(cohort))
    identity = fingerprint(cohort=cohort.fingerprint, model=repr(model), what=_PARTS)
    plan: Plan = plan_sets(cohort, model, identity)
    run = run_of(plan.fingerprint, False)
    if not options.restart and there_already(scores_out, recorder, run) is not None:
        warnings.warn(reused_note(scores_out), ReusedWarning, stacklevel=3)
        return scores_out
    made = association_job(cohort, model, plan, options)
    assert isinstance(made.analysis, SetTests)
    job = ScoreJob(cohort, made.analysis, made.block_variants, made.state, made.members)  # type: ignore[attr-defined]

    def seal(merged: Merged) -> None:
        record = finish_record(recorder, cohort, model, job.state, merged.counts.to_dict(), run)
        write_record(scores_out, {**record, "score_statistics": {"columns": list(SCORE_SCHEMA)}}, merged.digest)

    from genassoc.engine.executors import Threads

    run_to_file(job, plan, options.executor or Threads(), scores_out, options.shown, restart=options.restart, seal=seal)
    return scores_out
