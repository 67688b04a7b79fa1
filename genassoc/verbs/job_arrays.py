"""A run or a conversion in parts: planned, done part by part, merged."""

import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from genassoc.data.cohort.cohort import Cohort
from genassoc.data.cohort.ploidy import refused_notes
from genassoc.data.memory import parse_memory
from genassoc.data.output import check_outputs, check_writable
from genassoc.data.result_table import table_suffix
from genassoc.data.sidecar import write_record
from genassoc.data.store.store import GenotypeStore
from genassoc.engine.budget import check_before_fitting, fitted
from genassoc.engine.executors import Executor
from genassoc.engine.job import Counts
from genassoc.engine.parts import Merged, Status, WorkFolder, merge
from genassoc.engine.plan import Plan
from genassoc.engine.run import nothing_kept, run_part
from genassoc.errors import PlanError
from genassoc.explanation.audit import audit_lines, audited
from genassoc.progress import Progress, Silent
from genassoc.provenance import Recorder
from genassoc.results import Results
from genassoc.verbs.association import association_job, plan_association
from genassoc.verbs.config import Config
from genassoc.verbs.estimate import estimate
from genassoc.verbs.from_config import converted, make_cohort, make_model, make_store
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
from genassoc.verbs.stores import open_store

if TYPE_CHECKING:
    from genassoc.formats.convert_parts import ConversionStatus


# The readers of VCF are imported where a conversion is asked for: a scan needs none of them.
_TOML = "gwas.toml"


def make_plan(
    config: Config,
    work: Path,
    n_parts: int,
    progress: Progress | None = None,
    restart: bool = False,
    *,
    memory: str | int | None = None,
    tell: Callable[[str], None] | None = None,
) -> Plan:
    """Write the plan of a job array into a work folder that all its jobs see.

    Parameters
    ----------
    restart : bool
        Throw another plan away.
    memory : str or int, optional
        The cap of each part: tasks follow from it, and a part that cannot fit is refused now.
    tell : callable, optional
        Told what the parts will cost: one block is read and computed for it.
    """
    model = make_model(config)
    table_suffix(config.out)
    check_outputs([work, config.out], [config.store, *config.tables])
    folder = WorkFolder(work)
    folder.ensure()
    with folder.lock():
        store = make_store(config, progress=progress, overwrite=restart)
        began = time.perf_counter()
        cohort = make_cohort(config, store)
        aligned = time.perf_counter() - began
        if tell is not None:
            for note in cohort.notes:
                tell(note)
        settings = {"toml": config.to_toml(), **({} if memory is None else {"memory": parse_memory(memory)})}
        plan = plan_association(cohort, model, n_parts=n_parts, settings=settings)
        check_before_fitting(cohort, model, memory)
        began = time.perf_counter()
        job = association_job(cohort, model, plan)  # bad input is found now, not in the queue
        fitted_in = time.perf_counter() - began
        if tell is not None:
            for note in dict.fromkeys((*job.state.cautions, *job.state.notes, *trait_notes(cohort, model, job.state))):
                tell(note)
        if memory is not None or tell is not None:
            cost = estimate(cohort, model, job, plan, 1, memory, aligned=aligned, fitted=fitted_in)
            cost.check_space(folder.path)
            plan = plan.finer(cost.fit.task_variants) if memory is not None else plan
            if tell is not None:
                for line in cost.lines():
                    tell(line)
        folder.open(plan, restart)
    return plan


def _planned_config(plan: Plan, work: Path) -> Config:
    return Config.parse(plan.settings["toml"], f"{work}/{_TOML}", Path("/"))


def planned_store(config: Config) -> GenotypeStore:
    """The store of a plan, opened and never made: a VCF was converted when the plan was made."""
    return open_store(converted(config) if config.is_vcf else config.store)


def _planned(work: Path, tell: Callable[[str], None] | None = None) -> tuple[WorkFolder, Plan, Cohort, Any]:
    """The plan of a work folder with its cohort and model, which must still be what they were.

    ``tell`` hears which files are opened because the plan names them, before they are.
    """
    folder = WorkFolder(work)
    plan = folder.plan()
    if "toml" not in plan.settings:
        raise PlanError(f"{work} is the work folder of a single run, not of 'genassoc plan'.")
    config = _planned_config(plan, work)
    model = make_model(config)
    if tell is not None:
        store = converted(config) if config.is_vcf else config.store
        tables = [str(path) for path in config.tables]
        tell(f"reading {', '.join([str(store), *tables[:-1]])} and {tables[-1]}: the plan in {work} names them")
    for path in config.tables:
        if path.exists() and not path.is_file():  # of a pipe or a device there is no end
            raise PlanError(f"{path}, which the plan in {work} names as a table, is no plain file; it was not opened.")
    cohort = make_cohort(config, planned_store(config))
    now = plan_association(cohort, model)
    if now.fingerprint != plan.fingerprint:
        raise PlanError(
            f"the store, the phenotypes or genassoc are no longer those that {work} was planned with: "
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


def do_part(
    work: Path,
    part: int,
    executor: Executor | None = None,
    progress: Progress | None = None,
    memory: str | int | None = None,
    tell: Callable[[str], None] | None = None,
) -> None:
    """Part ``part`` (from 0) of a job array; doing it twice is harmless. The plan's cap holds, unless ``memory`` is another.

    ``tell`` hears which files are opened because the plan names them.
    """
    if _is_conversion(work):
        from genassoc.formats.convert_parts import convert_part
        from genassoc.formats.convert_plan import ConversionPlan

        if tell is not None:
            tell(f"reading {', '.join(ConversionPlan.read(work).inputs)}: the plan in {work} names them")
        convert_part(work, part, threads=getattr(executor, "n", None), progress=progress, memory=memory)
        return
    folder, plan, cohort, model = _planned(work, tell)
    if not 0 <= part < plan.n_parts:
        raise PlanError(f"the plan in {work} has parts 0 to {plan.n_parts - 1}; there is no part {part}.")
    memory = plan.settings.get("memory") if memory is None else memory
    check_before_fitting(cohort, model, memory)
    job = association_job(cohort, model, plan)
    run = fitted(job, plan, executor, memory, model.rows_per_variant, recut=False)
    run_part(run.job, folder, part, run.executor, progress or Silent())


def status(work: Path) -> "Status | ConversionStatus":
    """How far a job array is."""
    if not _is_conversion(work):
        return WorkFolder(work).status()
    from genassoc.formats.convert_parts import conversion_status

    return conversion_status(work)


def merge_parts(
    work: Path, out: Path, audit: int | None = None, restart: bool = False, tell: Callable[[str], None] | None = None
) -> tuple[Merged, list[str], list[str]]:
    """One results file of all parts, the same bytes as a single run's; the work folder stays.

    Files in the dialect that the plan's ``[output]`` names are written besides, as a single run would. ``tell`` hears which
    files are opened because the plan names them.

    Returns
    -------
    merged : Merged
    written : list of str
        Files in the dialect, in words; before them, that ``out`` held these results already.
    checked : list of str
        What an audit of ``audit`` rows found, in one line, and its warning if there is one.

    Raises
    ------
    OutputError
        ``out`` holds other results, and not ``restart``.
    """
    recorder = Recorder()
    folder, plan, cohort, model = _planned(work, tell)
    planned = _planned_config(plan, work)
    config = replace(planned, output={**planned.output, "path": str(out.absolute())})
    table_suffix(config.out)
    check_writable(config.out)
    outputs = [config.out] if config.dialect is None else [config.out, config.dialect_out]
    check_outputs(outputs, [config.store, *input_files(cohort)])
    recorder.parameters, recorder.inputs = describe(cohort, model), inputs_of(cohort)
    for_spreadsheets = bool(planned.output.get("for_spreadsheets"))
    identity = run_of(plan.fingerprint, for_spreadsheets)
    found = None if restart else there_already(config.out, recorder, identity)
    if found is not None and found.digest is not None:
        merged = Merged(config.out, Counts.from_dict(found.content["variants"]), found.digest)
        results = Results(config.out, found.content).vouched(found.digest)
        files = [reused_note(config.out), *write_dialect(config, results, restart)]
        return merged, files, audit_lines(found.content)
    with folder.lock():
        if not folder.missing(plan) and not folder.counts(plan).kept:
            raise nothing_kept(folder, plan)
        state = association_job(cohort, model, plan).state
        record: dict[str, Any] = {}

        def seal(merged: Merged) -> None:
            record.update(finish_record(recorder, cohort, model, state, merged.counts.to_dict(), identity))
            write_record(config.out, record, merged.digest)

        merged = merge(folder, plan, config.out, seal, for_spreadsheets=for_spreadsheets)
    results = Results(merged.path, record).vouched(merged.digest)
    if audit:
        results.provenance = audited(record, results, cohort, record["parameters"]["model"], audit)
        write_record(merged.path, results.provenance, merged.digest)
    return merged, write_dialect(config, results, restart), audit_lines(results.provenance)


def merge_lines(
    work: Path, out: Path, audit: int | None = None, restart: bool = False, tell: Callable[[str], None] | None = None
) -> tuple[list[str], list[str]]:
    """Join the parts of a run or of a conversion; what was written, and what the audit warns of, in words."""
    if _is_conversion(work):
        from genassoc.formats.convert_parts import merge_conversion

        return merge_conversion(work, out).lines(), []
    merged, written, checked = merge_parts(work, out, audit, restart, tell)
    lines = [f"{merged.path}: {merged.counts.rows:,} rows of {merged.counts.kept:,} variants", *written, *checked[:1]]
    return lines, [*refused_notes(merged.counts.to_dict().get("refused", {})), *checked[1:]]
