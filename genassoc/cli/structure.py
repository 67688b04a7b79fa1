"""The commands on relatives and ancestry: prune, step1. They parse, call and print; no numbers are made here."""

from pathlib import Path
from typing import Annotated

import click

from genassoc.cli.options import Dask, Force, Threads, executor, progress, say, tell
from genassoc.cli.signatures import Argument, Option, command


def add_to(app: click.Group) -> None:
    """Add them to the commands."""
    for function in (prune, step1):
        app.add_command(command(function))


_INPUT, _VARIANTS, _OUTPUT = "Input", "Variants", "Output"


def prune(
    store: Path,
    *,
    out: Annotated[
        Path,
        Option(
            help="The variants kept: .tsv, .tsv.gz or .parquet; of another suffix: ids, one a line.",
            panel=_OUTPUT,
        ),
    ],
    r2: Annotated[float, Option(help="Largest r2 of two variants that are kept.")] = 0.1,
    window: Annotated[
        str,
        Option(help="1000kb, 1Mb: how far apart two that are compared may be; 500: among so many variants."),
    ] = "1000kb",
    keep: Annotated[
        Path | None,
        Option(help="Only samples of a file, one id a line: founders, for example.", panel=_INPUT),
    ] = None,
    variants: Annotated[
        Path | None,
        Option(help="Only variants of a list: ids, or a table of places and alleles.", panel=_VARIANTS),
    ] = None,
    maf: Annotated[float | None, Option(help="Minimum minor allele frequency.", panel=_VARIANTS)] = None,
    missing_rate: Annotated[float | None, Option(help="Maximum share of missing calls.", panel=_VARIANTS)] = None,
    all_chromosomes: Annotated[
        bool, Option("--all-chromosomes", help="X, Y and MT too; by default autosomes.", panel=_VARIANTS)
    ] = False,
    no_long_range_ld: Annotated[
        bool, Option("--no-long-range-ld", help="Leave out regions of long-range LD.", panel=_VARIANTS)
    ] = False,
    build: Annotated[
        str | None,
        Option(help="GRCh37 | GRCh38: of these regions, where the store does not know it.", panel=_VARIANTS),
    ] = None,
    force: Force = False,
    threads: Threads = None,
) -> None:
    """Variants of which no two within a window are in LD. A killed run continues when run again.

    The list is what --variants of other commands takes.
    """
    from genassoc.verbs import pruning

    found = pruning.prune_to_file(
        store, out, r2=r2, window=window, variants=variants, keep=keep, maf=maf, missing_rate=missing_rate,
        all_chromosomes=all_chromosomes, long_range_ld=not no_long_range_ld, build=build, restart=force,
        executor=executor(threads), progress=progress(),
    )  # fmt: skip
    for line in found.lines():
        say(line)
    say(f"{out}: {len(found):,} variants")


def step1(
    config: Annotated[Path, Argument(metavar="gwas.toml")],
    *,
    out: Annotated[
        Path, Option(metavar="DIR", help="Folder of the predictions; assoc --loco DIR reads it.", panel=_OUTPUT)
    ],
    force: Force = False,
    threads: Threads = None,
    dask: Dask = None,
) -> None:
    """Whole-genome regression of the traits of a gwas.toml: predictions without each chromosome.

    Writes a .loco file for each trait and their list, as REGENIE's step 1 does. A killed run continues when run again.
    """
    from genassoc.verbs import runs
    from genassoc.verbs import step1 as verb
    from genassoc.verbs.config import Config
    from genassoc.verbs.options import RunOptions

    if threads is not None and dask is not None:
        raise click.BadParameter("--threads is for this machine, --dask for a cluster: give one of them")
    with runs.workers(threads, dask, tell) as workers:
        options = RunOptions(executor=workers, progress=progress(), restart=force, tell=tell)
        for line in verb.step1(Config.read(config), out, options):
            say(line)
