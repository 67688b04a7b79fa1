"""The commands of a job array: plan, part, status, merge. They parse, call and print; no numbers are made here."""

from pathlib import Path
from typing import Annotated

import click

from genassoc.cli.options import Audit, Force, Json, Memory, Threads, executor
from genassoc.cli.reading_options import with_reading
from genassoc.cli.signatures import Argument, Option, command
from genassoc.cli.speech import progress, say, say_next, tell


def add_to(app: click.Group) -> None:
    """Add them to the commands."""
    for function in (plan, part, status, merge):
        app.add_command(command(with_reading(function) if function is plan else function))


def plan(
    files: Annotated[list[str], Argument(metavar="gwas.toml|IN... WORK")],
    *,
    parts: Annotated[int, Option(min=1, help="Jobs of the array.")],
    json: Json = False,
    convert: Annotated[bool, Option("--convert", help="Convert files of genotypes, as `convert` does.")] = False,
    samples: Annotated[Path | None, Option(help="With --convert: file of sample ids to keep.")] = None,
    memory: Memory = None,
    force: Force = False,
    **reading: object,
) -> None:
    """Divide a run, or a conversion, into parts for a job array.

    Then `part WORK 0` to `part WORK N-1`, a job each, and `merge WORK OUT`.
    """
    from genassoc.verbs import describe, job_arrays
    from genassoc.verbs.config import Config
    from genassoc.verbs.options import RunOptions

    if convert:
        say("\n".join(describe.conversion_plan(files, parts, samples, json, force, **reading)))
        return
    if reading:
        option = "--" + next(iter(reading)).replace("_", "-")
        raise click.BadParameter(f"{option} says how genotypes are read: it goes with --convert")
    if len(files) != 2:
        raise click.BadParameter("name a gwas.toml and the work folder, or --convert, the inputs and the work folder")
    config, work = map(Path, files)
    options = RunOptions(progress=progress(), restart=force, memory=memory, tell=tell)
    made = job_arrays.make_plan(Config.read(config), work, parts, options)
    say(describe.plan_json(made) if json else "\n".join(describe.plan_lines(made, work)))


def part(
    work: Path,
    number: Annotated[int, Argument(metavar="I", help="From 0.")],
    *,
    threads: Threads = None,
    memory: Memory = None,
) -> None:
    """Do one part of a planned run. Repeating a part is harmless; a killed part continues when run again."""
    from genassoc.verbs import job_arrays
    from genassoc.verbs.options import RunOptions

    options = RunOptions(executor=executor(threads), progress=progress(), memory=memory, tell=tell)
    job_arrays.do_part(work, number, options)
    say(f"part {number} of {work} is done")


def status(work: Path, *, json: Json = False) -> None:
    """Show the progress of a planned run, and which parts are missing."""
    from genassoc.verbs import describe, job_arrays

    state = job_arrays.status(work)
    say(describe.status_json(state) if json else "\n".join(describe.status_lines(state)))


def merge(work: Path, out: Path, *, audit: Audit = 200, force: Force = False) -> None:
    """Join the parts of a planned run into one results file, with the same bytes as `run` writes."""
    from genassoc.verbs import job_arrays
    from genassoc.verbs.options import RunOptions

    lines, warnings = job_arrays.merge_lines(
        work, out, RunOptions(audit=audit, restart=force, tell=tell, progress=progress())
    )
    for warning in warnings:
        tell(warning, caution=warning.startswith("AUDIT FAILED"))
    say("\n".join(lines))
    if out.is_file():
        say_next(f"genassoc plot {out} --out plots")
