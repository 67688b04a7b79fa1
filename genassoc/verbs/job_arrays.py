"""A run or a conversion in parts: planned, done part by part, merged."""

import time
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from genassoc.data.cohort.cohort import Cohort
from genassoc.data.cohort.ploidy import refused_notes
from genassoc.data.memory import parse_memory, resident_memory
from genassoc.data.output import check_outputs, check_writable
from genassoc.data.result_table import table_suffix
from genassoc.data.sidecar import write_record
from genassoc.data.store.store import GenotypeStore
from genassoc.engine.budget import check_before_fitting, fitted
from genassoc.engine.job import Counts
from genassoc.engine.parts import Merged, Status, WorkFolder, merge
from genassoc.engine.plan import Plan
from genassoc.engine.run import run_part
from genassoc.errors import PlanError
from genassoc.explanation.audit import audit_lines, audited
from genassoc.models.base import AssociationModel
from genassoc.progress import phase
from genassoc.provenance import Recorder
from genassoc.verbs.association import association_job, plan_association
from genassoc.verbs.config import Config
from genassoc.verbs.estimate import estimate
from genassoc.verbs.from_config import converted, make_cohort, make_model, make_store
from genassoc.verbs.inflation import record_inflation
from genassoc.verbs.options import DEFAULT, RunOptions
from genassoc.verbs.relatedness import structure_of
from genassoc.verbs.run_record import (
    describe,
    finish_record,
    input_files,
    inputs_of,
    reused_note,
    run_of,
    there_already,
    trait_notes,
)
from genassoc.verbs.runs import write_dialect
from genassoc.verbs.set_plans import results_of, rows_of_variant
from genassoc.verbs.stores import open_store

if TYPE_CHECKING:
    from genassoc.formats.convert_parts import ConversionStatus


# The readers of VCF are imported where a conversion is asked for: a scan needs none of them.
_TOML = "gwas.toml"


def make_plan(config: Config, work: Path, n_parts: int, options: RunOptions = DEFAULT) -> Plan:
    """Write the plan of a job array into a work folder that all its jobs see.

    With ``options.restart`` another plan that is there is thrown away. ``options.memory`` is the cap of each part: tasks follow
    from it, and a part that cannot fit is refused now. ``options.tell`` hears what the parts will cost, for which one block is
    read and computed.
    """
    if config.scores_out is not None:
        raise PlanError(
            "[sets] scores_out is of one process: a job array does not write score statistics. Leave it out, and write them by genassoc run."
        )
    model = make_model(config)
    table_suffix(config.out)
    check_outputs([work, config.out], [config.store, *config.tables])
    folder = WorkFolder(work)
    folder.ensure()
    with folder.lock():
        store = make_store(config, progress=options.progress, overwrite=options.restart)
        began, program = time.perf_counter(), resident_memory()
        cohort = make_cohort(config, store, model)
        aligned = time.perf_counter() - began
        options.say(cohort.notes)
        memory = options.memory
        settings = {"toml": config.to_toml(), **({} if memory is None else {"memory": parse_memory(memory)})}
        plan = plan_association(cohort, model, n_parts=n_parts, settings=settings)
        check_before_fitting(cohort, model, memory)
        began = time.perf_counter()
        job = association_job(cohort, model, plan, options)  # bad input is found now, not in the queue
        fitted_in = time.perf_counter() - began
        options.say(dict.fromkeys((*job.state.cautions, *job.state.notes, *trait_notes(cohort, model, job.state))))
        if memory is not None or options.tell is not None:
            cost = estimate(cohort, model, job, plan, 1, memory, aligned=aligned, fitted=fitted_in, program=program)
            cost.check_space(folder.path)
            plan = plan.finer(cost.fit.task_variants) if memory is not None else plan
            options.say(cost.lines())
        folder.open(plan, options.restart)
    return plan


def _planned_config(plan: Plan, work: Path) -> Config:
    return Config.parse(plan.settings["toml"], f"{work}/{_TOML}", Path("/"))


def planned_store(config: Config) -> GenotypeStore:
    """The store of a plan, opened and never made: a VCF was converted when the plan was made."""
    return open_store(converted(config) if config.is_vcf else config.store)


def _planned(work: Path, options: RunOptions) -> tuple[WorkFolder, Plan, Cohort, AssociationModel]:
    """The plan of a work folder with its cohort and model, checked to be unchanged.

    ``options.tell`` hears which files are opened because the plan names them, before they are.
    """
    folder = WorkFolder(work)
    plan = folder.plan()
    if "toml" not in plan.settings:
        raise PlanError(f"{work} is the work folder of a single run, not of 'genassoc plan'.")
    config = _planned_config(plan, work)
    model = make_model(config)
    store = converted(config) if config.is_vcf else config.store
    *others, last = [store, *config.tables]
    options.say([f"reading {', '.join(map(str, others))} and {last}: the plan in {work} names them"])
    for path in config.tables:
        if path.exists() and not path.is_file():  # a pipe or a device has no end
            raise PlanError(f"{path}, which the plan in {work} names as a table, is no plain file; it was not opened.")
    cohort = make_cohort(config, planned_store(config), model)
    now = plan_association(cohort, model)
    if now.fingerprint != plan.fingerprint:
        raise PlanError(
            f"the store, the phenotypes, the offsets, the kinship matrix, the sets or genassoc are no longer those that {work} was planned with: "
            "plan again into another folder."
        )
    if now.stretches() != plan.stretches():
        raise PlanError(
            f"the tasks in the plan of {work} are not all variants of its cohort, so that rows would be missing or others': the file "
            "was damaged or edited; plan again into another folder."
        )
    return folder, plan, cohort, model


def _is_conversion(work: Path) -> bool:
    from genassoc.formats.convert_plan import is_conversion

    return is_conversion(work)


def do_part(work: Path, part: int, options: RunOptions = DEFAULT) -> None:
    """Part ``part`` (from 0) of a job array; doing it twice is harmless.

    The plan's cap on memory holds, unless the options have another. ``options.tell`` hears which files are opened because the
    plan names them.
    """
    if _is_conversion(work):
        from genassoc.formats.convert_parts import convert_part
        from genassoc.formats.convert_plan import ConversionPlan

        options.say([f"reading {', '.join(ConversionPlan.read(work).inputs)}: the plan in {work} names them"])
        convert_part(work, part, threads=options.n_threads, progress=options.progress, memory=options.memory)
        return
    folder, plan, cohort, model = _planned(work, options)
    if not 0 <= part < plan.n_parts:
        raise PlanError(f"the plan in {work} has parts 0 to {plan.n_parts - 1}; there is no part {part}.")
    memory = plan.settings.get("memory") if options.memory is None else options.memory
    check_before_fitting(cohort, model, memory)
    job = association_job(cohort, model, plan, options)
    run = fitted(job, plan, options.executor, memory, rows_of_variant(cohort, model), recut=False)
    run_part(run.job, folder, part, run.executor, options.shown)


def status(work: Path) -> "Status | ConversionStatus":
    """The progress of a job array."""
    if not _is_conversion(work):
        return WorkFolder(work).status()
    from genassoc.formats.convert_parts import conversion_status

    return conversion_status(work)


def merge_parts(work: Path, out: Path, options: RunOptions = DEFAULT) -> tuple[Merged, list[str], list[str]]:
    """One results file of all parts, the same bytes as a single run's; the work folder stays.

    Files in the dialect that the plan's ``[output]`` names are written besides, as a single run would. ``options.tell``
    hears which files are opened because the plan names them.

    Returns
    -------
    merged : Merged
    written : list of str
        Files in the dialect, in words; before them, that ``out`` held these results already.
    checked : list of str
        What the audit found, in one line, and its warning if there is one.

    Raises
    ------
    OutputError
        ``out`` holds other results, and not ``options.restart``.
    """
    recorder = Recorder()
    folder, plan, cohort, model = _planned(work, options)
    planned = _planned_config(plan, work)
    config = replace(planned, output={**planned.output, "path": str(out.absolute())})
    table_suffix(config.out)
    check_writable(config.out)
    outputs = [config.out] if config.dialect is None else [config.out, config.dialect_out]
    check_outputs(outputs, [config.store, *input_files(cohort)])
    recorder.parameters, recorder.inputs = describe(cohort, model), inputs_of(cohort)
    for_spreadsheets = bool(planned.output.get("for_spreadsheets"))
    identity = run_of(plan.fingerprint, for_spreadsheets)
    existing = None if options.restart else there_already(config.out, recorder, identity)
    if existing is not None and existing.digest is not None:
        merged = Merged(config.out, Counts.from_dict(existing.content["variants"]), existing.digest)
        results = results_of(config.out, existing.content, cohort).vouched(existing.digest)
        files = [reused_note(config.out), *write_dialect(config, results, options.restart)]
        return merged, files, audit_lines(existing.content)
    with folder.lock():
        state = association_job(cohort, model, plan, options).state
        with phase(options.progress, "relatives and ancestry"):
            structure = structure_of(cohort, model, options)
        record: dict[str, Any] = {}

        def seal(merged: Merged) -> None:
            record.update(finish_record(recorder, cohort, model, state, merged.counts.to_dict(), identity))
            record["notes"] += structure.notes
            record.update(structure.record)
            write_record(config.out, record, merged.digest)

        merged = merge(folder, plan, config.out, seal, for_spreadsheets=for_spreadsheets, progress=options.progress)
    results = results_of(merged.path, record, cohort).vouched(merged.digest)
    if cohort.sets is not None:
        return merged, write_dialect(config, results, options.restart), []
    if options.relatedness:
        with phase(options.progress, "inflation"):
            inflated = record_inflation(results, merged.digest, cohort, model)
        options.say(inflated)
    if options.audit:
        with phase(options.progress, f"audit of {options.audit:,} rows"):
            results.provenance = audited(record, results, cohort, record["parameters"]["model"], options.audit)
        write_record(merged.path, results.provenance, merged.digest)
    return merged, write_dialect(config, results, options.restart), audit_lines(results.provenance)


def merge_lines(work: Path, out: Path, options: RunOptions = DEFAULT) -> tuple[list[str], list[str]]:
    """Join the parts of a run or of a conversion; what was written, and what the audit warns of, in words."""
    if _is_conversion(work):
        from genassoc.formats.convert_parts import merge_conversion

        return merge_conversion(work, out, overwrite=options.restart).lines(), []
    merged, written, checked = merge_parts(work, out, options)
    lines = [f"{merged.path}: {merged.counts.rows:,} rows of {merged.counts.kept:,} variants", *written, *checked[:1]]
    return lines, [*refused_notes(merged.counts.to_dict().get("refused", {})), *checked[1:]]
