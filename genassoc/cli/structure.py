"""The commands on relatives and ancestry: prune, pca, kinship, step1, heritability. They parse, call and print; no numbers are made here."""

from pathlib import Path
from typing import Annotated

import click

from genassoc.cli import values
from genassoc.cli.options import Dask, Force, Threads, executor
from genassoc.cli.signatures import Argument, Option, command
from genassoc.cli.speech import progress, say, say_file, say_next, tell


def add_to(app: click.Group) -> None:
    """Add them to the commands."""
    for function in (prune, pca, kinship, step1, heritability):
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
    long_range_ld: Annotated[
        bool,
        Option(
            "--long-range-ld/--no-long-range-ld",
            help="Regions of long-range LD are kept, or left out; by default kept.",
            panel=_VARIANTS,
        ),
    ] = True,
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

    if build is not None and long_range_ld:
        raise click.UsageError(
            "--build says where regions of long-range LD are, which take part without --no-long-range-ld"
        )
    found = pruning.prune_to_file(
        store, out, r2=r2, window=window, variants=variants, keep=keep, maf=maf, missing_rate=missing_rate,
        all_chromosomes=all_chromosomes, long_range_ld=long_range_ld, build=build, restart=force,
        executor=executor(threads), progress=progress(),
    )  # fmt: skip
    for line in found.lines():
        say(line)
    say_file(out, len(found), "variants")
    say_next(
        f"genassoc pca {store} --variants {out} --out pcs.tsv",
        f"genassoc kinship {store} --variants {out} --out kinship.tsv",
    )


_COMPONENTS = "Components"


def pca(
    store: Path,
    *,
    out: Annotated[
        Path, Option(help="The scores, sample_id, PC1, PC2, ...: .tsv, .tsv.gz or .parquet.", panel=_OUTPUT)
    ],
    k: Annotated[int, Option("-k", min=1, help="How many components.", panel=_COMPONENTS)] = 10,
    variants: Annotated[
        Path | None, Option(help="Only variants of a list, as prune writes it.", panel=_VARIANTS)
    ] = None,
    maf: Annotated[
        float, Option(help="Minimum minor allele frequency in the samples of the fit.", panel=_VARIANTS)
    ] = 0.01,
    long_range_ld: Annotated[
        bool | None,
        Option(
            "--long-range-ld/--no-long-range-ld",
            help="Regions of long-range LD are kept, or left out; by default left out where the build is known.",
            panel=_VARIANTS,
        ),
    ] = None,
    build: Annotated[
        str | None, Option(help="GRCh37 | GRCh38: of these regions, where the store does not know it.", panel=_VARIANTS)
    ] = None,
    keep: Annotated[Path | None, Option(help="Only samples of a file, one id a line.", panel=_INPUT)] = None,
    fit_on: Annotated[
        Path | None,
        Option(
            help="Fit on the samples of a file, one id a line, as unrelated ones; the others are projected.",
            panel=_INPUT,
        ),
    ] = None,
    unrelated: Annotated[
        Path | None,
        Option(help="Fit on unrelated samples by a table of genassoc kinship, plink2 or KING.", panel=_INPUT),
    ] = None,
    max_kinship: Annotated[
        float, Option(help="With --unrelated: largest kinship of two samples of the fit.", panel=_INPUT)
    ] = 0.0442,
    project: Annotated[
        Path | None,
        Option(help="Fit nothing: scores on the components of a folder that --save wrote.", panel=_INPUT),
    ] = None,
    min_overlap: Annotated[
        float,
        Option(min=0.0, max=1.0, help="With --project: least share of its variants that must be found.", panel=_INPUT),
    ] = 0.5,
    save: Annotated[
        Path | None, Option(help="Also a folder with loadings, eigenvalues and scores.", panel=_OUTPUT)
    ] = None,
    plot: Annotated[Path | None, Option(help="Also a picture of PC1 and PC2: .png, .pdf, .svg.", panel=_OUTPUT)] = None,
    method: Annotated[str | None, Option(help="exact | randomised; by default the cheaper.", panel=_COMPONENTS)] = None,
    seed: Annotated[int, Option(min=0, help="Of the random start.", panel=_COMPONENTS)] = 1,
    memory: Annotated[
        str | None,
        Option(metavar="SIZE", help="Genotypes kept in memory between passes, such as 4GiB.", panel=_COMPONENTS),
    ] = None,
    force: Force = False,
    threads: Threads = None,
) -> None:
    """Principal components of genotypes, and scores of other samples on them.

    A long run that was killed continues when run again.
    """
    from genassoc.verbs import components_of_store as components

    runner, shown = executor(threads), progress()
    if project is not None:
        unused = {
            "--variants": variants, "--fit-on": fit_on, "--unrelated": unrelated, "--save": save, "--plot": plot, "--method": method,
            "--build": build, "--memory": memory, "-k": None if k == 10 else k, "--maf": None if maf == 0.01 else maf,
            "--seed": None if seed == 1 else seed, "--long-range-ld": long_range_ld,
            "--max-kinship": None if max_kinship == 0.0442 else max_kinship,
        }  # fmt: skip
        if given := [name for name, value in unused.items() if value is not None]:
            raise click.UsageError(f"--project takes components as they are: {', '.join(given)} has no part in it")
        result = components.projected_of_store(
            store, out, project, keep=keep, min_overlap=min_overlap, executor=runner, progress=shown
        )
        lines = result.summary_lines()
        n_samples = result.scores.height
    else:
        if unrelated is None and max_kinship != 0.0442:
            raise click.UsageError("--max-kinship is of --unrelated: name the table of kinship")
        found = components.components_of_store(
            store, out, variants=variants, keep=keep, fit_on=fit_on, unrelated=unrelated, max_kinship=max_kinship, save=save, plot=plot, restart=force, k=k, min_maf=maf,
            long_range_ld=long_range_ld, build=build, method=method, seed=seed, memory=memory,
            executor=runner, progress=shown,
        )  # fmt: skip
        lines, n_samples = found.summary_lines(), found.scores.height
    for line in lines:
        say(line)
    say_file(out, n_samples, "samples")
    for path in (save, plot):
        if path is not None:
            say(str(path))
    say_next(f"genassoc assoc {store} PHENO --covar-file {out} --covar PC1:PC{k} --model ... --trait ... --out ...")


def kinship(
    store: Path,
    *,
    out: Annotated[Path, Option(help="Table of related pairs: .parquet, .tsv or .tsv.gz.", panel=_OUTPUT)],
    min_kinship: Annotated[
        float, Option(help="Least kinship of pairs that are listed: 0.0442 is the third degree.", panel=_OUTPUT)
    ] = 0.0442,
    all_pairs: Annotated[bool, Option("--all-pairs", help="List all pairs.", panel=_OUTPUT)] = False,
    unrelated_out: Annotated[
        Path | None,
        Option(
            help="Also the ids of samples of which no two are related so: for --keep, and pca --fit-on.", panel=_OUTPUT
        ),
    ] = None,
    components: Annotated[
        Path | None,
        Option(help="Principal components: a sample id and a column each. Adds PC-adjusted kinship.", panel=_INPUT),
    ] = None,
    keep: Annotated[Path | None, Option(help="Only samples of a file, one id a line.", panel=_INPUT)] = None,
    variants: Annotated[
        Path | None,
        Option(help="Only variants of a list, as prune writes it.", panel=_VARIANTS),
    ] = None,
    force: Force = False,
    threads: Threads = None,
) -> None:
    """KING-robust kinship of all pairs of samples: relatives and duplicates. A killed run continues when run again."""
    from genassoc.verbs import kinship as verb
    from genassoc.verbs.describe import check_tables

    inputs = [path for path in (store, variants, keep, components) if path is not None]
    check_tables([out], inputs)
    found = verb.kinship_to_file(
        store, out, min_kinship=None if all_pairs else min_kinship, components=components, variants=variants, keep=keep,
        unrelated_out=unrelated_out, restart=force, executor=executor(threads), progress=progress(),
    )  # fmt: skip
    for line in found.lines():
        say(line)
    say_file(out, found.n_pairs, "pairs")
    if unrelated_out is not None:
        say_next(f"genassoc pca {store} --fit-on {unrelated_out} --out pcs.tsv")


def step1(
    config: Annotated[Path, Argument(metavar="gwas.toml")],
    *,
    out: Annotated[
        Path, Option(metavar="DIR", help="Folder of the predictions; assoc --loco DIR reads it.", panel=_OUTPUT)
    ],
    part: Annotated[
        str | None, Option(metavar="I/N", help="Only the blocks of part I of N (from 1) of a job array.", panel=_OUTPUT)
    ] = None,
    memory: Annotated[
        str | None,
        Option(
            metavar="SIZE",
            help="Predictions of blocks held at once, 2GiB by default; traits beyond them are another pass.",
        ),
    ] = None,
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
        options = RunOptions(executor=workers, progress=progress(), restart=force, memory=memory, tell=tell)
        for line in verb.step1(Config.read_inputs(config), out, options, _part(part)):
            say(line)
    if part is None:
        say_next(f"genassoc assoc STORE PHENO --loco {out} --model ... --trait ... --out ...")


def heritability(
    store: Path,
    pheno: Annotated[Path, Argument(help="Phenotypes: TSV, CSV, blank-delimited or parquet.")],
    *,
    trait: Annotated[list[str], Option(metavar="NAME[,NAME...]", help="Quantitative traits, or diseases as numbers.")],
    out: Annotated[Path, Option(help="Table of estimates: .tsv, .tsv.gz or .parquet.", panel=_OUTPUT)],
    covar: Annotated[
        str | None, Option(metavar="NAME[,NAME...] | FORMULA", help="Covariates, for example PCs.", panel=_INPUT)
    ] = None,
    covar_file: Annotated[
        list[Path] | None, Option(help="A table to join to the phenotypes; may be repeated.", panel=_INPUT)
    ] = None,
    sample_id: Annotated[str | None, Option(help="Column of sample ids.", panel=_INPUT)] = None,
    missing_code: Annotated[list[str] | None, Option(metavar="COLUMN=VALUE", help="As in assoc.", panel=_INPUT)] = None,
    kinship: Annotated[
        Path | None,
        Option(
            metavar="FILE",
            help="Relationships of the store's samples, as in assoc; else of its variants.",
            panel=_INPUT,
        ),
    ] = None,
    method: Annotated[
        str,
        Option(help="auto | reml | randomised: exact, or by random probes, which auto takes above 10,000 samples."),
    ] = "auto",
    prevalence: Annotated[
        list[str] | None,
        Option(
            metavar="TRAIT=SHARE",
            help="Share of the population with a disease: adds h2 of its liability; may be repeated.",
        ),
    ] = None,
    grm: Annotated[str, Option(help="standardised | centred: how variants count in relationships.")] = "standardised",
    grm_maf: Annotated[float, Option(help="Minor allele frequency from which variants count.")] = 0.01,
    seed: Annotated[int, Option(min=0, help="Of the random probes.")] = 1,
    threads: Threads = None,
) -> None:
    """Share of a trait's variance that goes with the genotypes, and its standard error."""
    from genassoc.verbs import describe
    from genassoc.verbs import heritability as verb

    describe.check_tables([out], [path for path in (store, pheno, kinship, *(covar_file or ())) if path is not None])
    found = verb.heritability_of(
        store, pheno, values.names(trait), () if covar is None else values.covariates(covar), covariate_files=covar_file or (),
        sample_id=sample_id, missing_codes=values.missing_codes(missing_code), kinship=kinship, method=method,
        prevalence=values.shares(prevalence or ()), grm=grm, grm_maf=grm_maf, seed=seed, executor=executor(threads),
        progress=progress(), tell=tell,
    )  # fmt: skip
    describe.write_frame(out, found)
    for line in verb.lines_of(found):
        say(line)
    say_file(out, found.height, "traits")


def _part(text: str | None) -> tuple[int, int] | None:
    """Part and parts of "3/8", the part from 0."""
    if text is None:
        return None
    one, slash, all_parts = text.partition("/")
    if not slash or not one.isdecimal() or not all_parts.isdecimal() or not 1 <= int(one) <= int(all_parts):
        raise click.BadParameter(f"{text!r} is no part: the third of eight is 3/8", param_hint="--part")
    return int(one) - 1, int(all_parts)
