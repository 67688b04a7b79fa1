"""An analysis as gwas.toml describes it: loaded, checked, run, or planned for a job array."""

import difflib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from genassoc import api
from genassoc.config import Config
from genassoc.data.cohort import Cohort
from genassoc.data.output import check_writable
from genassoc.data.result_table import table_suffix
from genassoc.data.schema import RESULT_COLUMNS
from genassoc.data.store import GenotypeStore
from genassoc.engine.executors import Executor, Threads
from genassoc.engine.parts import Merged, Status, WorkFolder, merge
from genassoc.engine.plan import Plan
from genassoc.engine.run import run_part
from genassoc.errors import GenassocError, InputError, PlanError
from genassoc.methods.registry import MODELS, choices_of
from genassoc.progress import Progress, Silent
from genassoc.provenance import Recorder
from genassoc.results import Results, write_provenance
from genassoc.shapes import packed_bytes

_TOML = "gwas.toml"
_ROW_BYTES = 60  # of a row in a results parquet, measured on real cohorts; for the preflight's estimate only


def make_model(config: Config) -> Any:
    """The model of ``[model]``.

    Raises
    ------
    InputError
        The kind is unknown, or the model has no such choice (shows those it has).
    """
    choices = dict(config.model)
    kind = choices.pop("kind")
    if kind not in MODELS:
        raise InputError(f"[model] kind = {kind!r}: there is no such model; there are {', '.join(MODELS)}.")
    known = choices_of(kind)
    for name in choices:
        if name not in known:
            close = difflib.get_close_matches(name, known, n=1)
            meant = f" (is '{close[0]}' meant?)" if close else ""
            raise InputError(f"[model] {kind} has no choice '{name}'{meant}; it has {', '.join(known)}.")
    try:
        return MODELS[kind](**choices)
    except (TypeError, ValueError) as error:
        raise InputError(f"[model] {error}.") from error


def make_store(config: Config, *, threads: int | None = None, progress: Progress | None = None) -> GenotypeStore:
    """Open ``[input] store``; a VCF is converted first, into ``<name>.zarr`` beside the results."""
    if not config.is_vcf:
        return api.open_store(config.store)
    name = config.store.name
    stem = name[: name.rindex(".vcf")] if ".vcf" in name else name.removesuffix(".bcf")
    return api.convert(config.store, config.out.parent / f"{stem}.zarr", threads=threads, progress=progress)


def make_cohort(config: Config, store: GenotypeStore) -> Cohort:
    """Align ``[input] phenotypes`` with the store and apply ``[variants]``."""
    chosen = config.input
    codes = chosen.get("missing_codes")
    cohort = Cohort.align(
        store,
        config.phenotypes,
        sample_id=chosen.get("sample_id"),
        sex=chosen.get("sex"),
        missing_codes=None if codes is None else list(codes),
        min_overlap=float(chosen.get("min_overlap", 0.5)),
    )
    if chosen.get("keep_samples"):
        cohort = cohort.keep_samples(list(chosen["keep_samples"]))
    for predicate in config.predicates():
        cohort = cohort.keep_variants(predicate)
    return cohort


def run(
    path: str | Path,
    *,
    executor: Executor | None = None,
    progress: Progress | None = None,
    restart: bool = False,
) -> Results:
    """Do what the gwas.toml at ``path`` says; see `run_config`."""
    return run_config(Config.read(path), executor=executor, progress=progress, restart=restart)


def run_config(
    config: Config,
    *,
    executor: Executor | None = None,
    progress: Progress | None = None,
    restart: bool = False,
) -> Results:
    """Do what a gwas.toml says and write its results.

    Raises
    ------
    GenassocError
        Bad input, found before any work where it can be; see `genassoc.api.associate`.
    """
    model = make_model(config)
    table_suffix(config.out)
    check_writable(config.out)
    threads = executor.n if isinstance(executor, Threads) else None
    cohort = make_cohort(config, make_store(config, threads=threads, progress=progress))
    return api.associate(cohort, model, out=config.out, executor=executor, progress=progress, restart=restart)


@dataclass(frozen=True)
class Preflight:
    """What a check found.

    Attributes
    ----------
    problems : tuple of str
        What stops the run; empty when it can go.
    lines : tuple of str
        What would be done, and what it will cost.
    """

    problems: tuple[str, ...]
    lines: tuple[str, ...]


def check(config: Config, n_threads: int) -> Preflight:
    """Everything that can be known before the queue: every problem at once, and the cost."""
    problems: list[str] = []
    lines: list[str] = []

    def attempt(step: Any) -> Any:
        try:
            return step()
        except GenassocError as error:
            problems.append(str(error))
            return None

    attempt(lambda: table_suffix(config.out))
    attempt(lambda: check_writable(config.out))
    model = attempt(lambda: make_model(config))
    if config.is_vcf:
        if not config.store.exists():
            problems.append(f"{config.store} does not exist")
        lines.append(f"{config.store.name} will be converted first; its samples are checked then")
        return Preflight(tuple(problems), tuple(lines))
    store = attempt(lambda: api.open_store(config.store))
    cohort = attempt(lambda: make_cohort(config, store)) if store is not None else None
    if cohort is None or model is None:
        return Preflight(tuple(problems), tuple(lines))
    lines += cohort.summary_lines()
    for trait in model.traits:
        attempt(lambda trait=trait: cohort.design([trait], (), kind="quantitative"))
    design = attempt(lambda: cohort.design(model.traits[:1], model.covariates, kind="quantitative"))
    if design is not None:
        lines += [f"covariate dropped: {dropped}" for dropped in design.dropped_covariates]
        lines.append(f"{int(design.complete.sum()):,} samples have all covariates ({', '.join(design.covariates)})")
        lines += cost_lines(cohort, model, len(design.covariates), n_threads)
    # The first trait may be reported by both attempts: once is enough.
    return Preflight(tuple(dict.fromkeys(problems)), tuple(lines))


def cost_lines(cohort: Cohort, model: Any, n_covariates: int, n_threads: int) -> list[str]:
    """Tests, memory and size of the results, in words."""
    plan = api.plan_association(cohort, model)
    rows = cohort.n_variants * len(model.traits)
    block = plan.block_variants * packed_bytes(cohort.block_width)
    columns = len(model.traits) * (n_covariates + 1)
    fixed = cohort.block_width * columns * (4 + 8 + 8)
    task_rows = max((task.n_variants for task in plan.tasks), default=0) * len(model.traits)
    # A task holds its block twice (compressed and not) and its rows as arrays, polars and Arrow columns.
    each = 2 * block + task_rows * len(RESULT_COLUMNS) * 8 * 3
    memory = 250e6 + fixed + 2 * n_threads * each
    return [
        f"{cohort.n_variants:,} variants x {len(model.traits)} traits = {rows:,} tests at most, in {len(plan.tasks)} tasks",
        f"memory: about {memory / 1e6:,.0f} MB with {n_threads} threads",
        f"results: about {rows * _ROW_BYTES / 1e6:,.1f} MB as parquet",
    ]


# Job arrays ---------------------------------------------------------------------------------------------------


def make_plan(config: Config, work: Path, n_parts: int, progress: Progress | None = None) -> Plan:
    """Write the plan of a job array into a work folder that all its jobs see."""
    model = make_model(config)
    folder = WorkFolder(work)
    folder.ensure()
    with folder.lock():
        cohort = make_cohort(config, make_store(config, progress=progress))
        settings = {"toml": config.to_toml()}
        plan = api.plan_association(cohort, model, n_parts=n_parts, settings=settings)
        api.association_job(cohort, model, plan)  # bad input is found now, not in the queue
        folder.open(plan)
    return plan


def _planned(work: Path) -> tuple[WorkFolder, Plan, Cohort, Any]:
    """The plan of a work folder with its cohort and model, which must still be what they were."""
    folder = WorkFolder(work)
    plan = folder.plan()
    if "toml" not in plan.settings:
        raise PlanError(f"{work} is the work folder of a single run, not of 'genassoc plan'.")
    config = Config.parse(plan.settings["toml"], f"{work}/{_TOML}", Path("/"))
    model = make_model(config)
    cohort = make_cohort(config, make_store(config))
    if api.plan_association(cohort, model).fingerprint != plan.fingerprint:
        raise PlanError(
            f"the store, the phenotypes or genassoc are no longer those that {work} was planned with: "
            "plan again into another folder."
        )
    return folder, plan, cohort, model


def do_part(work: Path, part: int, executor: Executor | None = None, progress: Progress | None = None) -> Plan:
    """Part ``part`` (from 0) of a job array; doing it twice is harmless."""
    folder, plan, cohort, model = _planned(work)
    if not 0 <= part < plan.n_parts:
        raise PlanError(f"the plan in {work} has parts 0 to {plan.n_parts - 1}; there is no part {part}.")
    job = api.association_job(cohort, model, plan)
    return run_part(job, folder, part, executor or Threads(), progress or Silent())


def status(work: Path) -> Status:
    """How far a job array is."""
    return WorkFolder(work).status()


def merge_parts(work: Path, out: Path) -> Merged:
    """One results file of all parts, the same bytes as a single run's; the work folder stays."""
    recorder = Recorder()
    table_suffix(out)
    check_writable(out)
    folder, plan, cohort, model = _planned(work)
    with folder.lock():
        merged = merge(folder, plan, out)
    recorder.parameters, recorder.inputs = api.describe(cohort, model), api.inputs_of(cohort)
    state = api.association_job(cohort, model, plan).state
    write_provenance(out, api.finish_record(recorder, cohort, model, state, merged.counts.to_dict()))
    return merged
