"""The commands that show results: plot, explain, demo. They parse, call and print; no numbers are made here."""

from pathlib import Path
from typing import Annotated, Literal

import click

from genassoc.cli.options import Policy, Threads, check_policy, executor
from genassoc.cli.signatures import Argument, Option, command
from genassoc.cli.speech import progress, say, tell

_GENE = "Genes"


def add_to(app: click.Group) -> None:
    """Add them to the commands."""
    for function in (plot, report, explain, demo):
        app.add_command(command(function, answers=function is explain))


def plot(
    results: Path,
    *,
    out: Annotated[Path, Option(help="Folder for the pictures.")],
    format: Annotated[str, Option(help="png | pdf | svg")] = "png",
    trait: Annotated[str | None, Option(help="Only this trait.")] = None,
    test: Annotated[str | None, Option(help="Only this test.")] = None,
    region: Annotated[
        str | None, Option(help="A variant, or a region as 6:31000000-32000000: its picture, with LD of the cohort.")
    ] = None,
    genes: Annotated[Path | None, Option(help="GTF of genes, for the picture of a region.")] = None,
    by: Annotated[str | None, Option(help="Colours of QQ plots: maf | method")] = None,
    title: Annotated[str | None, Option(help="Of the pictures.")] = None,
    dpi: Annotated[int, Option(min=30, max=1200, help="Of a PNG, and of points in a PDF or SVG.")] = 150,
    page: Annotated[bool, Option(help="One page with all traits, small.")] = False,
) -> None:
    """A Manhattan and a QQ plot of every trait and test; the picture of a region; or a page of all traits."""
    from genassoc.results import Results
    from genassoc.verbs import describe

    if format not in ("png", "pdf", "svg"):
        raise click.BadParameter(f"--format is png, pdf or svg, not {format}")
    named: Literal["maf", "method"] | None = "maf" if by == "maf" else "method" if by == "method" else None
    if by != named:
        raise click.BadParameter(f"--by is maf or method, not {by}")
    wanted = describe.Wanted(
        trait=trait, test=test, region=region, genes=genes, by=named, title=title, dpi=dpi, page=page
    )
    for path in describe.draw_all(Results.read(results), out, format, wanted, progress()):
        say(str(path))


def report(
    results: Path,
    *,
    out: Annotated[Path, Option(help="The page, .html.")],
    lang: Annotated[str, Option(help="en | fr: language of the page.")] = "en",
    title: Annotated[str | None, Option(help="By default the traits.")] = None,
    genes: Annotated[Path | None, Option(help="GTF or GFF3: genes under the pictures of regions.")] = None,
    hits: Annotated[int, Option(min=0, help="Lead variants shown in full; 0 opens no file but the results.")] = 10,
    by: Annotated[str | None, Option(help="Column of arms: outcomes by genotype and its values.")] = None,
    policy: Policy = None,
    config: Annotated[
        Path | None, Option(help="The gwas.toml of the run, where the provenance cannot make the cohort again.")
    ] = None,
) -> None:
    """One HTML page on a run: cohort, quality, plots, lead variants, audit, provenance, methods. No network is needed to read it."""
    from genassoc.results import Results
    from genassoc.verbs import from_config
    from genassoc.verbs.report import report as write_report

    check_policy(policy)
    cohort = None if config is None else from_config.cohort_of(config)
    path = write_report(
        Results.read(results), out, lang=lang, title=title, cohort=cohort, genes=genes, hits=hits, by=by, policy=policy,
        tell=tell,
    )  # fmt: skip
    say(str(path))


def explain(
    results: Path,
    variant: Annotated[
        str, Argument(help="Its rsid, or variant_id as in the results; of results of sets the name of a gene.")
    ],
    *,
    trait: Annotated[str | None, Option(help="Of which trait, where there are several.")] = None,
    test: Annotated[str | None, Option(help="Of which test, where there are several.")] = None,
    by: Annotated[str | None, Option(help="Column of arms: counts and picture by its values too.")] = None,
    config: Annotated[
        Path | None, Option(help="The gwas.toml of the run, where the provenance cannot make the cohort again.")
    ] = None,
    mask: Annotated[str | None, Option(help="By default that of the smallest p.", panel=_GENE)] = None,
    max_maf: Annotated[float | None, Option(help="The bin, likewise.", panel=_GENE)] = None,
    policy: Policy = None,
    sets: Annotated[Path | None, Option(help="The sets of the run.", panel=_GENE)] = None,
    annotations: Annotated[Path | None, Option(help="The annotations of the run.", panel=_GENE)] = None,
    masks: Annotated[Path | None, Option(help="The masks of the run.", panel=_GENE)] = None,
    out: Annotated[Path | None, Option(help="Folder for text, tables and picture.")] = None,
) -> None:
    """One association refitted in full with statsmodels: tests side by side, counts, plain words, a picture."""
    from genassoc.explanation.explain import explain as explain_row
    from genassoc.results import Results
    from genassoc.verbs import from_config
    from genassoc.verbs.sets import read_sets

    check_policy(policy)
    cohort = None if config is None else from_config.cohort_of(config)
    explanation = explain_row(
        Results.read(results), variant, trait=trait, test=test, by=by, cohort=cohort, mask=mask, max_maf=max_maf,
        policy=policy, sets=None if sets is None else read_sets(sets, annotations, masks), tell=tell,
    )  # fmt: skip
    say(repr(explanation))
    for path in [] if out is None else explanation.write(out):
        say(str(path))


def demo(
    folder: Annotated[Path, Argument(metavar="[DIR]")] = Path("genassoc-demo"),
    *,
    samples: Annotated[int, Option(min=1)] = 2000,
    variants: Annotated[int, Option(min=1)] = 50_000,
    seed: Annotated[int, Option(min=0)] = 20,
    threads: Threads = None,
) -> None:
    """Analyse a simulated cohort: VCF + phenotypes -> store -> results -> plots, compared with the truth."""
    from genassoc.verbs.demonstration import demo as run_demo

    run_demo(
        folder, n_samples=samples, n_variants=variants, seed=seed, executor=executor(threads), progress=progress(),
        say=say,
    )  # fmt: skip
