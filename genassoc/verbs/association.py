"""The verb `associate`: every selected variant against every trait."""

import tempfile
import warnings
from pathlib import Path
from typing import Any

from genassoc.data.arguments import check_cohort, check_executor, check_model
from genassoc.data.cohort.cohort import Cohort
from genassoc.data.forks import check_not_forked
from genassoc.data.integrity import FileDigest
from genassoc.data.output import check_outputs
from genassoc.data.sidecar import Record, write_record
from genassoc.data.store.notes import unread_dosages
from genassoc.engine.association import AssociationJob
from genassoc.engine.budget import check_before_fitting, fitted
from genassoc.engine.executors import Executor, single_threaded_blas
from genassoc.engine.parts import Merged
from genassoc.engine.plan import Plan, fingerprint
from genassoc.engine.run import run_to_file
from genassoc.errors import PhenotypeError, ReusedWarning, UnreadDosagesWarning
from genassoc.explanation.audit import audited, check_rows
from genassoc.models.scan.genome import Scan
from genassoc.progress import Progress, Silent
from genassoc.provenance import Recorder
from genassoc.results import Results
from genassoc.verbs.run_record import (
    describe,
    finish_record,
    input_files,
    inputs_of,
    reused_note,
    run_of,
    there_already,
    warn_of_columns,
)


def plan_association(cohort: Cohort, model: Any, *, n_parts: int = 1, settings: dict[str, Any] | None = None) -> Plan:
    """The tasks of an association run; its fingerprint covers all that decides the numbers."""
    return Plan.by_block(
        cohort.store.contig_runs(),
        cohort.store.block_variants,
        fingerprint(cohort=cohort.fingerprint, model=repr(model)),
        rows_per_variant=model.rows_per_variant,
        n_parts=n_parts,
        settings=settings,
    )


def association_job(cohort: Cohort, model: Any, plan: Plan) -> AssociationJob:
    """What the engine runs; the null models are fitted here, so that bad input is found before any work."""
    scan = Scan(model)
    with single_threaded_blas():
        state = scan.prepare(cohort)
    _check_enough_samples(cohort, model, state)
    return AssociationJob(cohort, scan, plan.block_variants, state)


def _check_enough_samples(cohort: Cohort, model: Any, state: Any) -> None:
    """Refuse a run in which no trait has more samples than the model has coefficients."""
    sizes = [(null.n, getattr(null, "n_covariates", None) or null.Q.shape[1]) for null in getattr(state, "nulls", ())]
    if not sizes or any(n > C + 1 for n, C in sizes):  # the genotype's coefficient is one more
        return
    design = cohort.design((), model.covariates)
    C = len(design.covariates) + len(design.dropped_covariates)
    raise PhenotypeError(
        f"too few samples: {max(state.n_by_trait)} have a trait and all covariates, and the model has {C} columns of "
        "covariates, the intercept included, beside the genotype: no estimate is possible. Use fewer covariates."
    )


def associate(
    cohort: Cohort,
    model: Any,
    *,
    out: str | Path | None = None,
    executor: Executor | None = None,
    progress: Progress | None = None,
    restart: bool = False,
    audit: int | None = None,
    memory: str | int | None = None,
    for_spreadsheets: bool = False,
) -> Results:
    """Test every selected variant of a cohort against every trait of a model.

    Parameters
    ----------
    cohort : Cohort
    model : Linear, ...
        Choices, never data.
    out : path, optional
        Results file (.parquet, .tsv, .tsv.gz). Rows stream to parts beside it; a killed run carries on from them.
        Without it the rows lie in a temporary file that lives as long as the `Results`.
    executor : Serial, Threads, optional
        `Threads()` by default. The results do not depend on it.
    progress : Progress, optional
    restart : bool
        Begin anew: throw away the parts of an interrupted run, and replace results that are at ``out`` already.
    audit : int, optional
        Rows to fit again by independent dense code (half at random, half with the smallest p); what it found is in the
        provenance, and rows beyond tolerance are an `AuditWarning`. 200 on the command line.
    memory : str or int, optional
        A cap for this process, as "4GiB": threads, blocks and tasks follow from it.
    for_spreadsheets : bool
        Text only: an apostrophe before ids that a spreadsheet would compute (those that begin with = + - @).

    Returns
    -------
    Results
        One row for each variant x trait x test, in store order. Where ``out`` holds these very results already, whole, they
        are returned as they are, with a `ReusedWarning`.

    Raises
    ------
    PhenotypeError
        A trait or covariate is absent, constant or not of the kind the model needs.
    OutputError, PlanError
        As `genassoc.engine.run.run_to_file`; ``out`` is an input of the run, or holds other results (says what differs).
    GenassocError
        No variant is left to test.
    TypeError
        An argument is not of its kind.
    """
    check_not_forked()
    check_cohort(cohort, "associate(cohort, model)")
    check_model(model)
    check_executor(executor)
    n_rows = check_rows(audit)
    if out is None:
        folder = tempfile.TemporaryDirectory(prefix="genassoc-")
        results = associate(
            cohort,
            model,
            out=Path(folder.name) / "results.parquet",
            executor=executor,
            progress=progress,
            audit=audit,
            memory=memory,
        )
        results.folder = folder
        return results
    out = Path(out)
    check_outputs([out], input_files(cohort))
    for note in unread_dosages(cohort.store):
        warnings.warn(note, UnreadDosagesWarning, stacklevel=2)
    recorder = Recorder(parameters=describe(cohort, model), inputs=inputs_of(cohort))
    plan = plan_association(cohort, model)
    identity = run_of(plan.fingerprint, for_spreadsheets)
    found = None if restart else there_already(out, recorder, identity)
    if found is not None:
        return _reused(out, found, cohort, n_rows)
    check_before_fitting(cohort, model, memory)
    job = association_job(cohort, model, plan)
    warn_of_columns(job.state.cautions, job.state.notes)
    run = fitted(job, plan, executor, memory, model.rows_per_variant)
    record: dict[str, Any] = {}

    def seal(merged: Merged) -> None:
        record.update(finish_record(recorder, cohort, model, job.state, merged.counts.to_dict(), identity))
        record["notes"] += run.notes
        write_record(out, record, merged.digest)

    merged = run_to_file(
        run.job, run.plan, run.executor, out, progress or Silent(),
        restart=restart, seal=seal, for_spreadsheets=for_spreadsheets,
    )  # fmt: skip
    return _audited(Results(out, record, cohort).vouched(merged.digest), merged.digest, cohort, n_rows)


def _reused(out: Path, found: Record, cohort: Cohort, n_rows: int) -> Results:
    """The results that are there, whole; audited where they never were."""
    assert found.digest is not None
    results = Results(out, found.content, cohort).vouched(found.digest)
    if "audit" not in found.content:
        results = _audited(results, found.digest, cohort, n_rows)
    note = reused_note(out)
    results.provenance["notes"] = [note, *results.provenance.get("notes", [])]
    warnings.warn(note, ReusedWarning, stacklevel=3)
    return results


def _audited(results: Results, digest: FileDigest, cohort: Cohort, n_rows: int) -> Results:
    """The same results with an audit of rows in their record, in memory and beside the file."""
    if n_rows:
        record = results.provenance
        results.provenance = audited(record, results, cohort, record["parameters"]["model"], n_rows)
        assert results.path is not None
        write_record(results.path, results.provenance, digest)
    return results
