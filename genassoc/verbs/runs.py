"""A run as gwas.toml describes it, on the workers of the command line."""

import contextlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from genassoc.data.cohort.cohort import Cohort
from genassoc.engine.executors import Executor, Threads
from genassoc.models.base import AssociationModel
from genassoc.progress import Progress, phase
from genassoc.provenance import Recorder
from genassoc.results import Results, check_place
from genassoc.verbs.association import associate_to_file, plan_association
from genassoc.verbs.config import Config
from genassoc.verbs.from_config import check_files, make_cohort, make_model, make_store
from genassoc.verbs.options import DEFAULT, RunOptions
from genassoc.verbs.run_record import (
    describe,
    inputs_of,
    reused_note,
    run_of,
    there_already,
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
    relatedness: bool = True,
) -> Results:
    """Do what the gwas.toml at ``path`` says; see `run_config`. A ``dialect``, and what may leave under a ``policy``, are written beside the table."""
    config = Config.read(path)
    options = RunOptions(
        executor=executor, progress=progress, restart=restart, audit=audit, memory=memory, relatedness=relatedness
    )
    results = run_config(config, options)
    write_dialect(config, results, restart)
    write_leaving(config, results, restart)
    return results


def write_dialect(config: Config, results: Results, overwrite: bool = False) -> list[str]:
    """Write the files of ``[output] dialect``, if there is one; what was written, in words."""
    if config.dialect is None:
        return []
    metadata = config.output.get("metadata")
    written = results.write(config.dialect_out, config.dialect, metadata=metadata, overwrite=overwrite)
    return [str(file) for file in written] if isinstance(written, list) else [str(written)]


def write_leaving(config: Config, results: Results, overwrite: bool = False) -> list[str]:
    """Write the table as it may leave, where ``[output] policy`` asks for it; what was written and withheld, in words."""
    if config.policy is None:
        return []
    out, metadata = config.leaving_out, config.output.get("metadata")
    written = results.write(
        out, config.dialect, metadata=metadata, overwrite=overwrite, policy=config.policy,
        for_spreadsheets=bool(config.output.get("for_spreadsheets")),
    )  # fmt: skip
    files = [str(file) for file in written] if isinstance(written, list) else [str(written)]
    told = out.with_name(f"{out.name}.withheld.txt").read_text(encoding="utf-8").splitlines()
    return [*files, *(f"  {line}" for line in told)]


def run_config(config: Config, options: RunOptions = DEFAULT) -> Results:
    """Do what a gwas.toml says and write its results.

    Raises
    ------
    GenassocError
        Bad input, found before any work where it can be; see `genassoc.verbs.association.associate`.
    """
    model = make_model(config)
    check_files(config)
    store = make_store(config, threads=options.n_threads, progress=options.progress, overwrite=options.restart)
    with phase(options.progress, "reading phenotypes"):
        cohort = make_cohort(config, store, model)
    options.say(cohort.notes)
    if not options.restart:
        _check_dialect(config, cohort, model)
    for_spreadsheets = bool(config.output.get("for_spreadsheets"))
    scores_out = config.scores_out
    if scores_out is None:
        return associate_to_file(cohort, model, config.out, options, for_spreadsheets=for_spreadsheets)
    from genassoc.verbs.score_files import check_scores_out, scores_to_file  # of sets alone

    check_scores_out(scores_out, config.out, cohort)
    results = associate_to_file(cohort, model, config.out, options, for_spreadsheets=for_spreadsheets)
    scores_to_file(cohort, model, scores_out, options)
    return results


def stands(config: Config, cohort: Cohort, model: AssociationModel) -> list[str]:
    """A note on results that exist where a run would write its own; empty if there are none.

    Raises
    ------
    OutputError
        They are of another run: says what differs.
    """
    recorder, identity = _asked_for(config, cohort, model)
    existing = there_already(config.out, recorder, identity)
    _check_dialect(config, cohort, model)
    return [] if existing is None else [reused_note(config.out)]


def _asked_for(config: Config, cohort: Cohort, model: AssociationModel) -> tuple[Recorder, dict[str, Any]]:
    """The record of a run's choices and inputs, and its identity."""
    recorder = Recorder(parameters=describe(cohort, model), inputs=inputs_of(cohort))
    fingerprint = plan_association(cohort, model).fingerprint
    return recorder, run_of(fingerprint, bool(config.output.get("for_spreadsheets")))


def _check_dialect(config: Config, cohort: Cohort, model: AssociationModel) -> None:
    """Refuse, before hours of work, to replace other results with the file in a dialect, where its name is known by now."""
    if config.dialect is None or len(model.traits) > 1 or model.rows_per_variant > 1:
        return
    recorder, identity = _asked_for(config, cohort, model)
    written = {"dialect": config.dialect}
    check_place(
        config.dialect_out,
        {"parameters": recorder.parameters, "inputs": recorder.inputs, "run": identity, "written": written},
    )
