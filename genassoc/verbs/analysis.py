"""An analysis as gwas.toml describes it: loaded, run, or planned for a job array."""

import contextlib
import difflib
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import polars as pl

from genassoc.data.cohort.cohort import Cohort
from genassoc.data.cohort.matching import family_column
from genassoc.data.cohort.ploidy import refused_notes
from genassoc.data.memory import parse_memory
from genassoc.data.output import check_outputs, check_writable
from genassoc.data.phenotypes.columns import read_columns
from genassoc.data.phenotypes.phenotypes import Phenotypes
from genassoc.data.phenotypes.reading import Reading
from genassoc.data.result_table import table_suffix
from genassoc.data.sidecar import write_record
from genassoc.data.store.store import GenotypeStore
from genassoc.engine.budget import check_before_fitting, fitted
from genassoc.engine.executors import Executor, Threads
from genassoc.engine.job import Counts
from genassoc.engine.parts import Merged, Status, WorkFolder, merge
from genassoc.engine.plan import Plan
from genassoc.engine.run import nothing_kept, run_part
from genassoc.errors import InputError, OutputError, PhenotypeError, PlanError
from genassoc.explanation.audit import audit_lines, audited
from genassoc.models.registry import MODELS, choices_of
from genassoc.progress import Progress, Silent
from genassoc.provenance import Recorder
from genassoc.results import Results, check_place
from genassoc.verbs import api
from genassoc.verbs.config import VCF_SUFFIXES, Config
from genassoc.verbs.estimate import estimate

if TYPE_CHECKING:
    from genassoc.formats.convert_parts import ConversionStatus

# The readers of VCF are imported where a conversion is asked for: a scan needs none of them.
_TOML = "gwas.toml"


def make_model(config: Config) -> Any:
    """The model of ``[model]``.

    Raises
    ------
    InputError
        The kind is unknown, or the model has no such choice (shows those it has).
    """
    problems = model_problems(config.model)
    if len(problems) == 1:
        raise InputError(f"{problems[0]}.")
    if problems:
        raise InputError("the model cannot be made:\n" + "\n".join(f"  - {problem}" for problem in problems))
    choices = dict(config.model)
    try:
        return MODELS[choices.pop("kind")](**choices)
    except (TypeError, ValueError) as error:
        raise InputError(f"[model] {error}.") from error


def model_problems(choices: Mapping[str, Any]) -> list[str]:
    """Everything that is wrong with ``[model]``, a choice a line; absent keys are `genassoc.verbs.config`'s."""
    kind = choices.get("kind")
    if kind is None:
        return []
    if not isinstance(kind, str) or kind not in MODELS:
        return [f"[model] kind = {kind!r}: there is no such model; there are {', '.join(MODELS)}"]
    known = choices_of(kind)
    with contextlib.suppress(TypeError, ValueError):
        MODELS[kind](**{name: value for name, value in choices.items() if name != "kind"})
        return []  # some choices are sound beside another only, and are looked at alone below
    problems = [f"[model] {kind} needs '{name}'" for name in MODELS[kind].needs if name not in choices]
    for name, value in choices.items():
        if name == "kind":
            continue
        if name not in known:
            close = difflib.get_close_matches(name, known, n=1)
            meant = f" (is '{close[0]}' meant?)" if close else ""
            problems.append(f"[model] {kind} has no choice '{name}'{meant}; it has {', '.join(known)}")
            continue
        base = dict.fromkeys(MODELS[kind].needs, ("any",))
        if name == "case_value":  # it names columns of other choices
            base |= {other: choices[other] for other in (*MODELS[kind].needs, "interaction") if other in choices}
        try:
            MODELS[kind](**{**base, name: value})
        except (TypeError, ValueError) as error:
            problems.append(f"[model] {error}")
    return problems


def make_store(
    config: Config, *, threads: int | None = None, progress: Progress | None = None, overwrite: bool = False
) -> GenotypeStore:
    """Open ``[input] store``; a VCF is converted first, into ``<name>.zarr`` beside the results.

    ``overwrite`` replaces the store that an earlier run made of another VCF, or of this one before it was edited.
    """
    if not config.is_vcf:
        return api.open_store(config.store)
    return api.convert(config.store, converted(config), threads=threads, progress=progress, overwrite=overwrite)


def converted(config: Config) -> Path:
    """The store that the VCF of a configuration is converted to."""
    name = config.store.name
    stem = name[: name.rindex(".vcf")] if ".vcf" in name else name.removesuffix(".bcf")
    return config.out.parent / f"{stem}.zarr"


def make_cohort(config: Config, store: GenotypeStore) -> Cohort:
    """Align ``[input] phenotypes`` with the store and apply ``[variants]``."""
    cohort = align(config, store, config.input.get("sex"))
    if config.input.get("keep_samples"):
        cohort = cohort.keep_samples(list(config.input["keep_samples"]))
    for predicate in config.predicates():
        cohort = cohort.keep_variants(predicate)
    return cohort


def cohort_of(path: str | Path) -> Cohort:
    """The cohort of the gwas.toml at ``path``."""
    config = Config.read(path)
    return make_cohort(config, make_store(config))


def align(config: Config, store: GenotypeStore, sex: str | None) -> Cohort:
    """The cohort of the samples in both files, before any selection, with the columns of ``covariate_files``."""
    phenotypes = read_table(config, config.phenotypes)
    elsewhere = bool(config.covariate_files) and sex is not None and sex not in phenotypes.columns
    cohort = Cohort.align(
        store,
        phenotypes,
        sex=None if elsewhere else sex,
        min_overlap=float(config.input.get("min_overlap", 0.5)),
        build=config.input.get("build"),
        id_rule=config.input.get("id_rule"),
    )
    for path in config.covariate_files:
        cohort = cohort.with_covariates(read_table(config, path))
    return cohort.with_sex(sex) if elsewhere and sex is not None else cohort


def read_table(config: Config, path: Path) -> Phenotypes:
    """A table of the input; ``sample_id`` names the column of ids where a covariate file has it, else the usual names do."""
    named, reading = config.input.get("sample_id"), config.reading()
    try:
        return Phenotypes.read(path, sample_id=named, **reading)
    except PhenotypeError:
        if (
            named is None
            or path == config.phenotypes
            or named in read_columns(path, Reading.of(encoding=reading.get("encoding"))).columns.columns
        ):
            raise
        return Phenotypes.read(path, **reading)


def joined_tables(config: Config) -> Phenotypes:
    """Phenotypes with the columns of ``covariate_files``, whose ids are compared as they are: for checks without a store."""
    table = read_table(config, config.phenotypes)
    for path in config.covariate_files:
        added = read_table(config, path)
        family = family_column(added.columns)
        if family is not None and family in table.columns:
            added = replace(added, table=added.table.drop(family))
        table = table.with_columns(added)
    return table


def counted_cohort(
    store: Path,
    phenotypes: Path | None,
    *,
    sample_id: str | None,
    sex: str | None,
    cases: str | None,
    missing_codes: Any = None,
    id_rule: str | None = None,
) -> Cohort:
    """The samples that `genassoc qc` counts: all of a store, or those that phenotypes have too.

    Raises
    ------
    InputError
        A column is named, and no table that has it.
    """
    if phenotypes is not None:
        return Cohort.align(
            api.open_store(store),
            phenotypes,
            sample_id=sample_id,
            sex=sex,
            missing_codes=missing_codes,
            id_rule=id_rule,
        )
    for flag, column in (("--cases", cases), ("--sex", sex), ("--sample-id", sample_id)):
        if column is not None:
            raise InputError(f"{flag} {column} names a column of phenotypes: name their file with --pheno.")
    return whole_store(api.open_store(store))


def whole_store(store: GenotypeStore) -> Cohort:
    """All samples of a store as a cohort, without phenotypes."""
    names = [str(name) for name in store.sample_ids]
    return Cohort.align(store, pl.DataFrame({"IID": pl.Series(names, dtype=pl.String)}), sample_id="IID")


def check_files(config: Config) -> None:
    """Refuse outputs that cannot be written, or would take the place of an input."""
    outputs = [config.out] if config.dialect is None else [config.out, config.dialect_out]
    table_suffix(config.out)
    check_outputs(outputs, [config.store, *config.tables])
    for out in outputs:
        check_writable(out)
        if out.exists() and out.name.endswith(VCF_SUFFIXES):
            raise OutputError(
                f"{out} is a VCF, perhaps what the store was made of; choose another name for the output."
            )


@contextlib.contextmanager
def workers(threads: int | None, dask: str | None, tell: Callable[[str], None]) -> Iterator[Executor]:
    """Threads of this process; or, where an address is given, a Dask cluster, of which ``tell`` hears.

    Raises
    ------
    ClusterError
        If no scheduler answers, or the address is none.
    """
    if dask is None:
        yield Threads(threads)
        return
    from genassoc.engine.executors_dask import connected, describe_cluster

    with connected(dask) as executor:
        tell(describe_cluster(executor))
        yield executor


def run(
    path: str | Path,
    *,
    executor: Executor | None = None,
    progress: Progress | None = None,
    restart: bool = False,
    audit: int | None = None,
    memory: str | int | None = None,
) -> Results:
    """Do what the gwas.toml at ``path`` says; see `run_config`. A ``dialect`` is written beside the table."""
    config = Config.read(path)
    results = run_config(config, executor=executor, progress=progress, restart=restart, audit=audit, memory=memory)
    write_dialect(config, results, restart)
    return results


def write_dialect(config: Config, results: Results, overwrite: bool = False) -> list[str]:
    """Write the files of ``[output] dialect``, if there is one; what was written, in words."""
    if config.dialect is None:
        return []
    metadata = config.output.get("metadata")
    written = results.write(config.dialect_out, config.dialect, metadata=metadata, overwrite=overwrite)
    return [str(file) for file in written] if isinstance(written, list) else [str(written)]


def run_config(
    config: Config,
    *,
    executor: Executor | None = None,
    progress: Progress | None = None,
    restart: bool = False,
    audit: int | None = None,
    memory: str | int | None = None,
    tell: Callable[[str], None] | None = None,
) -> Results:
    """Do what a gwas.toml says and write its results; ``memory`` is a cap such as "4GiB".

    ``tell`` hears, before anything is computed, what there is to say of the inputs.

    Raises
    ------
    GenassocError
        Bad input, found before any work where it can be; see `genassoc.verbs.api.associate`.
    """
    model = make_model(config)
    check_files(config)
    threads = executor.n if isinstance(executor, Threads) else None
    cohort = make_cohort(config, make_store(config, threads=threads, progress=progress, overwrite=restart))
    if tell is not None:
        for note in cohort.notes:
            tell(note)
    if not restart:
        _check_dialect(config, cohort, model)
    return api.associate(
        cohort, model, out=config.out, executor=executor, progress=progress, restart=restart, audit=audit, memory=memory,
        for_spreadsheets=bool(config.output.get("for_spreadsheets")),
    )  # fmt: skip


def stands(config: Config, cohort: Cohort, model: Any) -> list[str]:
    """What there is to say of the results that are where a run's are to be; nothing where none are.

    Raises
    ------
    OutputError
        They are of another run: says what differs.
    """
    recorder, identity = _asked_for(config, cohort, model)
    found = api.there_already(config.out, recorder, identity)
    _check_dialect(config, cohort, model)
    return [] if found is None else [api.reused_note(config.out)]


def _asked_for(config: Config, cohort: Cohort, model: Any) -> tuple[Recorder, dict[str, Any]]:
    """Choices and inputs of a run, and what makes it the same as another."""
    recorder = Recorder(parameters=api.describe(cohort, model), inputs=api.inputs_of(cohort))
    fingerprint = api.plan_association(cohort, model).fingerprint
    return recorder, api.run_of(fingerprint, bool(config.output.get("for_spreadsheets")))


def _check_dialect(config: Config, cohort: Cohort, model: Any) -> None:
    """Refuse, before hours of work, to replace other results with the file in a dialect, where its name is known by now."""
    if config.dialect is None or len(model.traits) > 1 or model.rows_per_variant > 1:
        return
    recorder, identity = _asked_for(config, cohort, model)
    written = {"dialect": config.dialect}
    check_place(
        config.dialect_out,
        {"parameters": recorder.parameters, "inputs": recorder.inputs, "run": identity, "written": written},
    )


# Job arrays ---------------------------------------------------------------------------------------------------


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
        plan = api.plan_association(cohort, model, n_parts=n_parts, settings=settings)
        check_before_fitting(cohort, model, memory)
        began = time.perf_counter()
        job = api.association_job(cohort, model, plan)  # bad input is found now, not in the queue
        fitted_in = time.perf_counter() - began
        if tell is not None:
            for note in dict.fromkeys(
                (*job.state.cautions, *job.state.notes, *api.trait_notes(cohort, model, job.state))
            ):
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
    return api.open_store(converted(config) if config.is_vcf else config.store)


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
    now = api.plan_association(cohort, model)
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
    job = api.association_job(cohort, model, plan)
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
    check_outputs(outputs, [config.store, *api.input_files(cohort)])
    recorder.parameters, recorder.inputs = api.describe(cohort, model), api.inputs_of(cohort)
    for_spreadsheets = bool(planned.output.get("for_spreadsheets"))
    identity = api.run_of(plan.fingerprint, for_spreadsheets)
    found = None if restart else api.there_already(config.out, recorder, identity)
    if found is not None and found.digest is not None:
        merged = Merged(config.out, Counts.from_dict(found.content["variants"]), found.digest)
        results = Results(config.out, found.content).vouched(found.digest)
        files = [api.reused_note(config.out), *write_dialect(config, results, restart)]
        return merged, files, audit_lines(found.content)
    with folder.lock():
        if not folder.missing(plan) and not folder.counts(plan).kept:
            raise nothing_kept(folder, plan)
        state = api.association_job(cohort, model, plan).state
        record: dict[str, Any] = {}

        def seal(merged: Merged) -> None:
            record.update(api.finish_record(recorder, cohort, model, state, merged.counts.to_dict(), identity))
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
