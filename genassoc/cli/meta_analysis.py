"""The command that puts cohorts' score statistics together: meta. It parses, calls and prints; no numbers are made here."""

from pathlib import Path
from typing import Annotated

import click

from genassoc.cli.signatures import Argument, Option, command
from genassoc.cli.speech import say


def add_to(app: click.Group) -> None:
    """Add it to the commands."""
    app.add_command(command(meta))


_SETS, _TESTS, _OUTPUT = "Sets", "Tests", "Output"


def meta(
    files: Annotated[
        list[str],
        Argument(
            metavar="[NAME=]FILE...",
            help="Score statistics, one a cohort: genassoc's .parquet, *.singlevar.score.txt[.gz] or *.MetaScore.assoc[.gz].",
        ),
    ],
    *,
    out: Annotated[Path, Option(help="Table of results: .parquet, .tsv or .tsv.gz.", panel=_OUTPUT)],
    sets: Annotated[
        Path | None, Option(help="Sets, as of genassoc sets; by default those of genassoc's files.", panel=_SETS)
    ] = None,
    annotations: Annotated[
        Path | None, Option(help="Annotations of variants (REGENIE's --anno-file).", panel=_SETS)
    ] = None,
    masks: Annotated[Path | None, Option(help="Masks (REGENIE's --mask-def).", panel=_SETS)] = None,
    trait: Annotated[str | None, Option(help="Which trait, where files have several.")] = None,
    tests: Annotated[
        str, Option(metavar="NAME[,NAME...]", help="burden, skat, skato, acatv, acato.", panel=_TESTS)
    ] = "burden,skat,skato,acatv,acato",
    variant_weights: Annotated[str, Option(help="beta(1,25) | beta(a,b) | none | column", panel=_TESTS)] = "beta(1,25)",
    max_maf: Annotated[
        str, Option(metavar="F[,F...]", help="Bins: largest minor allele frequency, of all cohorts.", panel=_TESTS)
    ] = "0.001,0.01",
    collapse_below: Annotated[
        int, Option(min=0, help="Variants with at most so many minor alleles are added up; 0: never.", panel=_TESTS)
    ] = 10,
    absent: Annotated[
        str, Option(help="monomorphic | unknown: what a variant is where a cohort's file has not got it.", panel=_TESTS)
    ] = "monomorphic",
) -> None:
    """Gene tests of several cohorts together, from score statistics and covariances: no genotypes leave a cohort."""
    from genassoc.models.sets.choices import SetChoices
    from genassoc.verbs import meta_analysis as verb

    named = [part.partition("=") if "=" in part and not Path(part).exists() else ("", "", part) for part in files]
    paths = {name or str(number): path for number, (name, _, path) in enumerate(named)}
    given = [name for name, _, _ in named if name]
    if given and (len(given) < len(named) or len(set(given)) < len(given)):
        raise click.UsageError("name every cohort once (NAME=FILE), or none")
    if absent not in (verb.MONOMORPHIC, verb.UNKNOWN):
        raise click.BadParameter(f"--absent is {verb.MONOMORPHIC} or {verb.UNKNOWN}, not {absent}")
    if (annotations or masks) and sets is None:
        raise click.UsageError("--annotations and --masks are of --sets: name the sets too")
    try:
        SetChoices(tests=tests, weights=variant_weights, max_maf=max_maf, collapse_below=collapse_below)  # type: ignore[arg-type]
    except ValueError as error:
        raise click.UsageError(str(error)) from error
    result = verb.meta_to_file(
        paths if given else list(paths.values()), out, sets=sets, annotations=annotations, masks=masks, trait=trait, tests=tests,
        weights=variant_weights, max_maf=max_maf, collapse_below=collapse_below, absent=absent,
    )  # fmt: skip
    for line in result.lines():
        say(line)
    say(
        f"{out}: {result.table.height:,} rows; {out}.variants.tsv.gz: what became of variants, {result.variants.height:,} rows"
    )
