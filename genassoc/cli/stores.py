"""The commands on genotype stores: convert, info, qc. They parse, call and print; no numbers are made here."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import click

from genassoc.cli import values
from genassoc.cli.options import IdRule, Json, Memory, Threads, executor
from genassoc.cli.reading_options import with_reading
from genassoc.cli.signatures import Argument, Option, command
from genassoc.cli.speech import progress, say, say_file, say_next, tell

if TYPE_CHECKING:
    from genassoc.data.cohort.sample_checks import SampleCheck


def add_to(app: click.Group) -> None:
    """Add them to the commands."""
    for function in (convert, info, qc):
        app.add_command(command(with_reading(function) if function is convert else function, answers=function is info))


def convert(
    files: Annotated[
        list[str],
        Argument(
            metavar="IN... OUT.zarr",
            help="VCF, BCF, BGEN, PGEN, BED, VCF Zarr or a Parquet lake (globs too), then the store.",
        ),
    ],
    *,
    threads: Threads = None,
    region: Annotated[list[str] | None, Option(help="chr or chr:first-last, by POS; may be repeated.")] = None,
    samples: Annotated[Path | None, Option(help="File with one sample id a line: only these.")] = None,
    memory: Memory = None,
    force: Annotated[
        bool, Option(help="Replace a store that is damaged, has no root, or is made of other inputs.")
    ] = False,
    **reading: object,
) -> None:
    """Genotype files of any format -> a genotype store. A killed conversion continues when run again."""
    from genassoc.formats.convert import convert as convert_files
    from genassoc.formats.reading import Reading

    if len(files) < 2:
        raise click.BadParameter(
            "name at least one input and the store to write, as in: convert cohort.vcf.gz cohort.zarr"
        )
    summary = convert_files(
        files[:-1], files[-1], region=region or None, samples=samples, threads=threads, progress=progress(),
        overwrite=force, memory=memory, reading=Reading.of(reading),
    )  # fmt: skip
    for line in summary.lines():
        say(line)
    out = files[-1]
    say_next(f"genassoc info {out}", f"genassoc assoc {out} PHENO --model linear --trait NAME --out results.parquet")


def info(
    store: Path,
    *,
    json: Json = False,
    verify: Annotated[bool, Option("--verify", help="Read all files and check that each is unchanged.")] = False,
) -> None:
    """Show what a store holds, and from which files it was converted."""
    from genassoc.verbs import describe

    chosen = (store, verify, progress())
    say(describe.store_json(*chosen) if json else "\n".join(describe.store_lines(*chosen)))


def qc(
    store: Path,
    *,
    out: Annotated[Path, Option(help="Table of variants: .parquet, .tsv or .tsv.gz.")],
    samples_out: Annotated[
        Path | None, Option(help="Also a table of samples: missing rate, heterozygosity, F and its outliers.")
    ] = None,
    het_limit: Annotated[
        float, Option(help="Of samples: F beyond so many standard deviations from its mean is an outlier.")
    ] = 3.0,
    check_sex: Annotated[
        Path | None, Option(help="Also a table of samples: F on X, calls on Y, and the sex these tell.")
    ] = None,
    pheno: Annotated[Path | None, Option(help="Phenotypes: only samples in both files are counted.")] = None,
    sample_id: Annotated[str | None, Option(help="Phenotypes: column of sample ids.")] = None,
    cases: Annotated[
        str | None,
        Option(
            help="Phenotypes: binary trait; adds Hardy-Weinberg in controls, missing calls and INFO by case status."
        ),
    ] = None,
    depth: Annotated[str | None, Option(help="With --cases: column of each sample's mean depth, compared too.")] = None,
    case_value: Annotated[
        str | None,
        Option(metavar="TRAIT=VALUE", help="The value that is the case, if the two values do not show it."),
    ] = None,
    missing_code: Annotated[list[str] | None, Option(metavar="COLUMN=VALUE", help="As in assoc.")] = None,
    sex: Annotated[str | None, Option(help="Phenotypes: column of sex: 1 / 2, M / F, H / F, ...")] = None,
    id_rule: IdRule = None,
    threads: Threads = None,
) -> None:
    """Counts, frequencies, missing rates, exact Hardy-Weinberg; heterozygosity of each sample."""
    from genassoc.verbs import describe, quality

    if not het_limit > 0.0:
        raise click.BadParameter(f"{het_limit:g} is no limit above 0 standard deviations", param_hint="--het-limit")
    if samples_out is None and het_limit != 3.0:
        raise click.UsageError("--het-limit is of the table of samples: name it with --samples-out")
    targets = [path for path in (out, samples_out) if path is not None]
    describe.check_tables(
        [*targets, *([] if check_sex is None else [check_sex])], [store] if pheno is None else [store, pheno]
    )
    codes = values.missing_codes(missing_code)
    cohort = quality.counted_cohort(
        store, pheno, sample_id=sample_id, sex=sex, cases=cases, missing_codes=codes, id_rule=id_rule
    )
    if depth is not None and cases is None:
        raise click.UsageError("--depth is compared between cases and controls: name the trait with --cases")
    value = values.case_values([case_value]).get(cases or "") if case_value else None
    if case_value and value is None:
        raise click.BadParameter(f"--case-value {case_value} is of another trait than --cases {cases}")
    notes = quality.case_notes(cohort, cases, value) if cases else ()
    for note in (*cohort.notes, *notes):
        tell(note)
    if check_sex is None:
        sexes = None
    else:  # first: it may be impossible, and then nothing is written
        from genassoc.verbs import sample_checks

        sexes = sample_checks.check_sex(cohort, executor=executor(threads), progress=progress())
    variants, samples = quality.quality(
        cohort, cases=cases, case_value=value, by_sample=samples_out is not None or cases is not None, executor=executor(threads),
        progress=progress(),
    )  # fmt: skip
    describe.write_frame(out, variants)
    say_file(out, variants.height, "variants")
    if cases is not None:
        by_status = quality.samples_by_status(cohort, samples, cases, depth=depth, case_value=value)
        for line in quality.CaseQuality(variants, by_status).lines():
            say(f"  {line}")
    if samples_out is not None:
        from genassoc.verbs import sample_checks

        _write_check(samples_out, sample_checks.judged(cohort, samples, het_limit))
    if check_sex is not None and sexes is not None:
        _write_check(check_sex, sexes)


def _write_check(path: Path, found: "SampleCheck") -> None:
    """Write a table of samples, and say what was found."""
    from genassoc.verbs import describe

    describe.write_frame(path, found.table)
    say_file(path, found.table.height, "samples")
    for line in found.lines():
        say(f"  {line}")
