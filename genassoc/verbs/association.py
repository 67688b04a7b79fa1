"""The verb `associate`: every selected variant against every trait."""

import tempfile
import warnings
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from genassoc.data.cohort.cohort import Cohort
from genassoc.data.cohort.offset_tables import check_offsets, with_offsets
from genassoc.data.cohort.records import multi_allelic_records
from genassoc.data.forks import check_not_forked
from genassoc.data.integrity import FileDigest
from genassoc.data.memory import settle
from genassoc.data.output import check_outputs
from genassoc.data.phenotypes.offsets import PredictionTables
from genassoc.data.schema import block_variants, working_variants
from genassoc.data.sidecar import Record, write_record
from genassoc.data.store.notes import unread_dosages
from genassoc.engine.association import AssociationJob
from genassoc.engine.budget import check_before_fitting, fitted
from genassoc.engine.executors import Executor, single_threaded_blas
from genassoc.engine.parts import Merged
from genassoc.engine.plan import Plan, fingerprint
from genassoc.engine.run import run_to_file
from genassoc.engine.sets import SetJob
from genassoc.errors import PhenotypeError, ReusedWarning, StructureWarning, UnreadDosagesWarning
from genassoc.explanation.audit import audited
from genassoc.models.base import AssociationModel
from genassoc.models.scan.genome import Scan, ScanState
from genassoc.progress import Progress, phase
from genassoc.provenance import Recorder
from genassoc.results import Results
from genassoc.verbs.arguments import check_cohort, check_model
from genassoc.verbs.inflation import record_inflation
from genassoc.verbs.options import DEFAULT, RunOptions
from genassoc.verbs.relatedness import structure_of
from genassoc.verbs.relationships import computed, related
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
from genassoc.verbs.set_plans import plan_sets, results_of, rows_of_variant, set_job, set_tests

if TYPE_CHECKING:
    from genassoc.data.cohort.kinship import Given as KinshipGiven
    from genassoc.data.cohort.offset_tables import Given


def cohort_for(
    cohort: Cohort, model: AssociationModel, offsets: "Given | None", kinship: "KinshipGiven | None" = None
) -> Cohort:
    """The cohort with offsets of the model's traits, where any are given or it has them already, and the relationships it analyses by.

    Raises
    ------
    GenassocError
        They do not fit.
    """
    if offsets is not None:
        tables = getattr(offsets, "tables", None)
        given = tables if isinstance(tables, PredictionTables) else offsets  # of whole-genome predictions in memory
        cohort = with_offsets(cohort, given, model.traits, model.outcome, getattr(model, "rank_normalise", False))
    if cohort.offsets is not None:
        check_offsets(cohort, model.traits)
    return related(cohort, model, kinship)


def plan_association(
    cohort: Cohort, model: AssociationModel, *, n_parts: int = 1, settings: dict[str, Any] | None = None
) -> Plan:
    """The tasks of an association run; its fingerprint covers all that decides the numbers."""
    identity = fingerprint(cohort=cohort.fingerprint, model=repr(model))
    if cohort.sets is not None:
        return plan_sets(cohort, model, identity, n_parts=n_parts, settings=settings)
    store = cohort.store
    # As the store would be laid out by default, however it is: each task makes a row group of the results.
    cut = block_variants(store.n_samples, cohort.has_dosages)
    if getattr(model, "alleles", "separate") == "joint":
        records = multi_allelic_records(cohort)
        return Plan.by_set(
            records, store.contig_runs(), store.block_variants, identity, cut=cut, n_parts=n_parts, settings=settings
        )
    return Plan.by_block(
        store.contig_runs(), store.block_variants, identity,
        cut=cut, rows_per_variant=model.rows_per_variant, n_parts=n_parts, settings=settings,
    )  # fmt: skip


DOSAGE_CHUNKS = 4  # of about two megabytes


def association_job(
    cohort: Cohort, model: AssociationModel, plan: Plan, options: RunOptions = DEFAULT
) -> AssociationJob[ScanState]:
    """The job that the engine runs; the null models are fitted here, so that bad input is found before any work."""
    scan: Scan = Scan(model)
    of_sets = None if cohort.sets is None else set_tests(cohort, model)
    settle()  # of reading tables
    whole = computed(cohort, model, options.executor, options.progress)
    fits = f"null model{'' if len(model.traits) == 1 else f's of {len(model.traits):,} traits'}"
    with phase(options.progress, fits), single_threaded_blas():
        state: ScanState = scan.prepare(whole) if of_sets is None else of_sets.prepare(whole)
    _check_enough_samples(cohort, model, state)
    if of_sets is not None:
        return set_job(cohort, of_sets, plan, state)
    if not plan.largest_set:
        # A block of each kind has costs of its own, as tables of a product: of dosages several chunks are taken together.
        chunks = DOSAGE_CHUNKS if cohort.has_dosages else 1
        at_once = min(plan.block_variants, chunks * working_variants(cohort.block_width, cohort.has_dosages))
        return AssociationJob(cohort, scan, at_once, state)
    records = multi_allelic_records(cohort)
    tested = sum(members.size for members in records)
    note = (
        f"alleles='joint': the {tested:,} ALTs of {len(records):,} records with several are tested, a row a record; the "
        f"{cohort.n_variants - tested:,} records with one ALT have no row here: theirs is that of alleles='separate'"
    )
    return SetJob(cohort, scan, plan.block_variants, replace(state, notes=(*state.notes, note)), records)


def _check_enough_samples(cohort: Cohort, model: AssociationModel, state: ScanState) -> None:
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
    model: AssociationModel,
    *,
    offsets: "Given | None" = None,
    kinship: "KinshipGiven | None" = None,
    out: str | Path | None = None,
    executor: Executor | None = None,
    progress: Progress | None = None,
    restart: bool = False,
    audit: int | None = None,
    memory: str | int | None = None,
    for_spreadsheets: bool = False,
    relatedness: bool = True,
) -> Results:
    """Test every selected variant of a cohort against every trait of a model.

    Parameters
    ----------
    cohort : Cohort
    model : Linear, ...
        Choices, never data.
    offsets : path, DataFrame or mapping, optional
        Predictions of the traits that enter the model with the coefficient 1, as those of a whole-genome regression: one table for
        all chromosomes or one a chromosome; see docs/models/offsets.md.
    kinship : path or array, optional
        Of `LinearMixed`: the relationships of the store's samples, in their order: a square matrix in a file of text (GEMMA's
        ``cXX.txt``) or ``.npy``, or an array. Without it they are computed of the store's autosomal variants; see docs/models/mixed.md.
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
    relatedness : bool
        Whether relatives, leading components of ancestry that are no covariates, and an inflation beyond chance are looked for, and warned
        of (`StructureWarning`); docs/structure/warnings.md. The results do not depend on it.

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
    options = RunOptions(
        executor=executor, progress=progress, restart=restart, audit=audit, memory=memory, relatedness=relatedness
    )
    cohort = cohort_for(cohort, model, offsets, kinship)
    if out is not None:
        return associate_to_file(cohort, model, Path(out), options, for_spreadsheets=for_spreadsheets)
    folder = tempfile.TemporaryDirectory(prefix="genassoc-")
    results = associate_to_file(cohort, model, Path(folder.name) / "results.parquet", options)
    results.folder = folder
    return results


def associate_to_file(
    cohort: Cohort, model: AssociationModel, out: Path, options: RunOptions, *, for_spreadsheets: bool = False
) -> Results:
    """The results of a run in a file; see `associate`. Warnings name the caller of the function that calls this one."""
    check_outputs([out], input_files(cohort))
    for note in unread_dosages(cohort.store):
        warnings.warn(note, UnreadDosagesWarning, stacklevel=3)
    with phase(options.progress, "reading inputs"):
        recorder = Recorder(parameters=describe(cohort, model), inputs=inputs_of(cohort))
        plan = plan_association(cohort, model)
        identity = run_of(plan.fingerprint, for_spreadsheets)
        existing = None if options.restart else there_already(out, recorder, identity)
    if existing is not None:
        return _reused(out, existing, cohort, options)
    check_before_fitting(cohort, model, options.memory)
    job = association_job(cohort, model, plan, options)
    warn_of_columns(job.state.cautions, job.state.notes)
    with phase(options.progress, "relatives and ancestry"):
        structure = structure_of(cohort, model, options)
    for note in structure.warned:
        warnings.warn(note, StructureWarning, stacklevel=3)
    with phase(options.progress, "measuring a block"):
        run = fitted(job, plan, options.executor, options.memory, rows_of_variant(cohort, model))
    record: dict[str, Any] = {}

    def seal(merged: Merged) -> None:
        record.update(finish_record(recorder, cohort, model, job.state, merged.counts.to_dict(), identity))
        record["notes"] += [*structure.notes, *run.notes]
        record.update(structure.record)
        write_record(out, record, merged.digest)

    merged = run_to_file(
        run.job, run.plan, run.executor, out, options.shown,
        restart=options.restart, seal=seal, for_spreadsheets=for_spreadsheets,
    )  # fmt: skip
    results = results_of(out, record, cohort).vouched(merged.digest)
    if options.relatedness and cohort.sets is None:
        with phase(options.progress, "inflation"):
            inflated = record_inflation(results, merged.digest, cohort, model)
        for note in inflated:
            warnings.warn(note, StructureWarning, stacklevel=3)
    return _audited(results, merged.digest, cohort, options)


def _reused(out: Path, existing: Record, cohort: Cohort, options: RunOptions) -> Results:
    """The results that exist already; audited if they never were."""
    assert existing.digest is not None
    results = results_of(out, existing.content, cohort).vouched(existing.digest)
    if "audit" not in existing.content and cohort.sets is None:
        results = _audited(results, existing.digest, cohort, options)
    note = reused_note(out)
    results.provenance["notes"] = [note, *results.provenance.get("notes", [])]
    warnings.warn(note, ReusedWarning, stacklevel=4)
    return results


def _audited(results: Results, digest: FileDigest, cohort: Cohort, options: RunOptions) -> Results:
    """The same results with an audit of rows in their record, in memory and beside the file."""
    if options.audit and cohort.sets is None:
        record = results.provenance
        with phase(options.progress, f"audit of {options.audit:,} rows"):
            results.provenance = audited(record, results, cohort, record["parameters"]["model"], options.audit)
        assert results.path is not None
        write_record(results.path, results.provenance, digest)
    return results
