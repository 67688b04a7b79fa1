"""The commands: they parse, call the api and print. No numbers are made here."""

import csv
import gc
import os
import warnings
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
import typer.core

from genassoc.cli import results as cli_results
from genassoc.cli import values as cli_values
from genassoc.errors import ReusedWarning, printable

if TYPE_CHECKING:
    from genassoc.verbs.config import Config


class _InterruptedError(Exception):
    """Ctrl-C: typer would exit without a message."""


class _Commands(typer.core.TyperGroup):
    def invoke(self, ctx: Any) -> Any:
        try:
            return super().invoke(ctx)
        except KeyboardInterrupt:
            raise _InterruptedError from None


app = typer.Typer(
    name="genassoc",
    cls=_Commands,
    help="Exact, fast genome-wide association from VCF: on a laptop, in a job array, in a pipeline.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)

Threads = Annotated[
    int | None, typer.Option(min=1, help="Threads; by default all usable CPUs. Results do not depend on it.")
]
Memory = Annotated[
    str | None,
    typer.Option(metavar="SIZE", help="Memory limit of this process, such as 4GiB; sets threads and blocks."),
]
Dask = Annotated[
    str | None, typer.Option(metavar="ADDRESS", help="Run on a Dask scheduler, or local:N for N processes.")
]
Json = Annotated[bool, typer.Option("--json", help="Print JSON for programs.")]
IdRule = Annotated[
    str | None,
    typer.Option(
        metavar="RULE[+RULE]",
        help="How sample ids are changed before they are compared: exact, trim, casefold, nfc, strip_zeros, iid, fid_iid, ...",
    ),
]
Audit = Annotated[int, typer.Option(min=0, help="Rows fitted again by independent dense code; 0: none.")]
Force = Annotated[
    bool, typer.Option("--force", help="Start again: replace results, unfinished work, or a store of another VCF.")
]


def _say(text: str = "") -> None:
    typer.echo(printable(text))


def _tell(text: str) -> None:
    """What happens, for people: standard error, so that standard output stays the answer."""
    typer.echo(printable(text), err=True)


def _executor(threads: int | None) -> Any:
    from genassoc.engine.executors import Threads as Executor

    return Executor(threads)


def _progress() -> Any:
    from genassoc.progress import default_progress

    return default_progress()


def _names(texts: list[str]) -> list[str]:
    """Names of options, each split at commas; a name with a comma in it stands in double quotes."""
    found = [name.strip() for text in texts for name in next(csv.reader([text], skipinitialspace=True), [])]
    return [name for name in found if name]


def _print_version(wanted: bool) -> None:
    if wanted:
        version()
        raise typer.Exit


@app.callback()
def _options(
    version: Annotated[
        bool, typer.Option("--version", callback=_print_version, is_eager=True, help="Print the version.")
    ] = False,
) -> None:
    pass


@app.command()
def convert(
    files: Annotated[
        list[str],
        typer.Argument(metavar="IN... OUT.zarr", help="VCF, VCF.gz or BCF files (globs too), then the store."),
    ],
    threads: Threads = None,
    region: Annotated[list[str] | None, typer.Option(help="chr or chr:first-last, by POS; may be repeated.")] = None,
    samples: Annotated[Path | None, typer.Option(help="File with one sample id a line: only these.")] = None,
    memory: Memory = None,
    force: Annotated[
        bool, typer.Option(help="Replace a store that is damaged, has no root, or is made of other inputs.")
    ] = False,
) -> None:
    """VCF, VCF.gz, BCF -> a genotype store. A killed conversion continues when run again."""
    from genassoc.formats.convert import convert as convert_files

    if len(files) < 2:
        raise typer.BadParameter(
            "name at least one input and the store to write, as in: convert cohort.vcf.gz cohort.zarr"
        )
    summary = convert_files(
        files[:-1], files[-1], region=region or None, samples=samples, threads=threads, progress=_progress(),
        overwrite=force, memory=memory,
    )  # fmt: skip
    for line in summary.lines():
        _say(line)


@app.command()
def info(
    store: Path,
    json: Json = False,
    verify: Annotated[bool, typer.Option("--verify", help="Read all files and check that each is unchanged.")] = False,
) -> None:
    """Show what a store holds, and from which files it was converted."""
    from genassoc.verbs import describe

    chosen = (store, verify, _progress())
    _say(describe.store_json(*chosen) if json else "\n".join(describe.store_lines(*chosen)))


@app.command()
def qc(
    store: Path,
    out: Annotated[Path, typer.Option(help="Table of variants: .parquet, .tsv or .tsv.gz.")],
    samples_out: Annotated[Path | None, typer.Option(help="Also write a table of samples.")] = None,
    pheno: Annotated[Path | None, typer.Option(help="Phenotypes: only samples in both files are counted.")] = None,
    sample_id: Annotated[str | None, typer.Option(help="Phenotypes: column of sample ids.")] = None,
    cases: Annotated[
        str | None, typer.Option(help="Phenotypes: binary trait; adds Hardy-Weinberg in controls.")
    ] = None,
    case_value: Annotated[
        str | None,
        typer.Option(metavar="TRAIT=VALUE", help="The value that is the case, if the two values do not show it."),
    ] = None,
    missing_code: Annotated[list[str] | None, typer.Option(metavar="COLUMN=VALUE", help="As in assoc.")] = None,
    sex: Annotated[str | None, typer.Option(help="Phenotypes: column of sex: 1 / 2, M / F, H / F, ...")] = None,
    id_rule: IdRule = None,
    threads: Threads = None,
) -> None:
    """Counts, frequencies, missing rates, exact Hardy-Weinberg; heterozygosity of each sample."""
    from genassoc.verbs import describe, quality

    targets = [path for path in (out, samples_out) if path is not None]
    describe.check_tables(targets, [store] if pheno is None else [store, pheno])
    codes = cli_values.missing_codes(missing_code)
    cohort = quality.counted_cohort(
        store, pheno, sample_id=sample_id, sex=sex, cases=cases, missing_codes=codes, id_rule=id_rule
    )
    value = (cli_values.case_values([case_value]) or {}).get(cases or "") if case_value else None
    if case_value and value is None:
        raise typer.BadParameter(f"--case-value {case_value} is of another trait than --cases {cases}")
    notes = quality.case_notes(cohort, cases, value) if cases else ()
    for note in (*cohort.notes, *notes):
        _tell(note)
    variants, samples = quality.quality(
        cohort, cases=cases, case_value=value, by_sample=samples_out is not None, executor=_executor(threads),
        progress=_progress(),
    )  # fmt: skip
    for path, table in zip(targets, (variants, samples)):
        describe.write_frame(path, table)
        _say(f"{path}: {table.height:,} {'variants' if table is variants else 'samples'}")


@app.command()
def check(
    config: Annotated[Path, typer.Argument(metavar="gwas.toml")], threads: Threads = None, memory: Memory = None
) -> None:
    """Check a gwas.toml before a run: report all problems at once, and the cost of the run."""
    from genassoc.verbs import preflight

    found = preflight.check(config, _executor(threads).n, memory)
    for line in found.lines:
        _say(line)
    for problem in found.problems:
        _tell(f"problem: {problem}")
    if found.problems:
        raise typer.Exit(1)
    _say("no problem found")


@app.command()
def run(
    config: Annotated[Path, typer.Argument(metavar="gwas.toml")],
    threads: Threads = None,
    dask: Dask = None,
    memory: Memory = None,
    force: Force = False,
    audit: Audit = 200,
) -> None:
    """Run the analysis of a gwas.toml. A killed run continues when run again."""
    from genassoc.verbs.config import Config

    _run(Config.read(config), threads, dask, force, memory, audit)


def _run(config: "Config", threads: int | None, dask: str | None, force: bool, memory: str | None, audit: int) -> None:
    from genassoc.formats.sumstats.metadata import check_fields
    from genassoc.verbs import describe, runs

    check_fields(config.output.get("metadata") or {})
    told: list[str] = []

    def tell_before(note: str) -> None:
        told.append(note)
        _tell(note)

    if threads is not None and dask is not None:
        raise typer.BadParameter("--threads is for this machine, --dask for a cluster: give one of them")
    with runs.workers(threads, dask, _tell) as executor:
        results = runs.run_config(
            config, executor=executor, progress=_progress(), restart=force, audit=audit, memory=memory, tell=tell_before
        )
    for note in results.provenance["notes"]:
        if note not in told:
            _tell(note)
    for line in describe.result_lines(results):
        _say(line)
    for line in runs.write_dialect(config, results, force):
        _say(line)


@app.command()
def assoc(
    store: Annotated[Path, typer.Argument(help="A store, or a VCF to convert first.")],
    pheno: Annotated[Path, typer.Argument(help="Phenotypes: TSV, CSV, blank-delimited or parquet.")],
    model: Annotated[str, typer.Option(help="linear | logistic | cox | poisson | ordinal")],
    out: Annotated[Path, typer.Option(help="Results: .parquet, .tsv or .tsv.gz.")],
    trait: Annotated[list[str] | None, typer.Option(help="NAME[,NAME...], or '\"LDL, fasting\"'.")] = None,
    time: Annotated[list[str] | None, typer.Option(help="Cox: column of the time to the event.")] = None,
    event: Annotated[list[str] | None, typer.Option(help="Cox: column of the event, in place of a trait.")] = None,
    entry: Annotated[str | None, typer.Option(help="Cox: column of the time of entry (left truncation).")] = None,
    strata: Annotated[
        str | None, typer.Option(help="Cox: NAME[,NAME...]: each stratum has its own baseline hazard.")
    ] = None,
    cause: Annotated[str | None, typer.Option(help="Cox: the event's code; others are censored.")] = None,
    ties: Annotated[str | None, typer.Option(help="Cox: efron | breslow.")] = None,
    ph_time: Annotated[
        str | None, typer.Option(help="Cox: time scale of the test of proportional hazards: km | rank.")
    ] = None,
    covar: Annotated[
        str | None, typer.Option(help="NAME[,NAME...], ranges such as PC1:PC10, or a formula with ~.")
    ] = None,
    covar_file: Annotated[
        list[Path] | None, typer.Option(help="A table to join to the phenotypes, for example PCs; may be repeated.")
    ] = None,
    sample_id: Annotated[str | None, typer.Option(help="Column of sample ids.")] = None,
    id_rule: IdRule = None,
    sex: Annotated[str | None, typer.Option(help="Column of sex: 1 / 2, M / F, H / F, ...")] = None,
    maf: Annotated[float | None, typer.Option(help="Minimum minor allele frequency.")] = None,
    mac: Annotated[float | None, typer.Option(help="Minimum minor allele count in the cohort.")] = None,
    missing_rate: Annotated[float | None, typer.Option(help="Maximum share of missing calls.")] = None,
    hwe: Annotated[float | None, typer.Option(help="Minimum exact Hardy-Weinberg p.")] = None,
    region: Annotated[list[str] | None, typer.Option(help="chr or chr:first-last; may be repeated.")] = None,
    build: Annotated[
        str | None, typer.Option(help="GRCh37 | GRCh38 | T2T-CHM13: sets the pseudo-autosomal regions of X.")
    ] = None,
    genetic_model: Annotated[
        str | None, typer.Option(help="additive | dominant | recessive | hetonly | genotypic, of ALT.")
    ] = None,
    x_model: Annotated[
        int | None, typer.Option(min=1, max=2, help="An ALT of a male on X counts as 2 (default) or 1.")
    ] = None,
    condition: Annotated[
        list[str] | None, typer.Option(help="Variants (rsid or variant_id) added to the covariates; may be repeated.")
    ] = None,
    missing: Annotated[str | None, typer.Option(help="Missing calls: complete | mean.")] = None,
    min_mac: Annotated[float | None, typer.Option(help="Rows with fewer minor alleles have no estimate (5).")] = None,
    rank_normalise: Annotated[bool, typer.Option(help="Linear: normal scores of each trait (Blom).")] = False,
    test: Annotated[str | None, typer.Option(help="Logistic, Cox: score | wald | lrt.")] = None,
    correction: Annotated[str | None, typer.Option(help="firth_approx | firth | firth_fallback | spa | none.")] = None,
    correct_below: Annotated[float | None, typer.Option(help="Correct rows with p below this (0.05).")] = None,
    exposure: Annotated[str | None, typer.Option(help="Poisson: column of the exposure, for example years.")] = None,
    levels: Annotated[str | None, typer.Option(help="Ordinal: NAME,NAME,... from the lowest to the highest.")] = None,
    interaction: Annotated[
        str | None, typer.Option(help="Covariate that may change the effect: add, add:E, joint_2df, effects by arm.")
    ] = None,
    variance: Annotated[str | None, typer.Option(help="model | robust | hc0; cox: model | robust.")] = None,
    weights: Annotated[str | None, typer.Option(help="Column of sampling weights.")] = None,
    matched: Annotated[str | None, typer.Option(help="Logistic: column of matched sets (conditional).")] = None,
    like: Annotated[
        str | None, typer.Option(help="Imitate plink2 | regenie; explicit choices take precedence.")
    ] = None,
    missing_code: Annotated[
        list[str] | None,
        typer.Option(
            metavar="COLUMN=VALUE",
            help="A value that means missing in a column; VALUE alone: in every column, such as -9; 'none': no codes; may be repeated.",
        ),
    ] = None,
    case_value: Annotated[
        list[str] | None,
        typer.Option(metavar="TRAIT=VALUE", help="The value that is the case (event, arm 1); may be repeated."),
    ] = None,
    decimal: Annotated[str | None, typer.Option(help="Decimal mark of the phenotypes: . | ,")] = None,
    date_format: Annotated[str | None, typer.Option(help="Format of dates, such as DD/MM/YYYY.")] = None,
    encoding: Annotated[str | None, typer.Option(help="utf-8 | latin-1 | windows-1252 | utf-16 ...")] = None,
    min_overlap: Annotated[
        float | None, typer.Option(min=0, max=1, help="Minimum share of ids that match (0.5).")
    ] = None,
    dialect: Annotated[
        str | None, typer.Option(help="--out as gwas-ssf | plink2 | regenie | saige, beside a parquet of all columns.")
    ] = None,
    for_spreadsheets: Annotated[
        bool, typer.Option("--for-spreadsheets", help="Text: an apostrophe before ids that begin with = + - @.")
    ] = False,
    threads: Threads = None,
    dask: Dask = None,
    memory: Memory = None,
    force: Force = False,
    audit: Audit = 200,
    print_toml: Annotated[bool, typer.Option(help="Print the equivalent gwas.toml and stop.")] = False,
) -> None:
    """Association in one line: the same as `run` with a gwas.toml."""
    from genassoc.verbs.config import Config

    choices: dict[str, Any] = {
        "kind": model, "missing": missing, "min_mac": min_mac, "test": test, "rank_normalise": rank_normalise or None,
        "correction": correction, "correct_below": correct_below, "like": like, "entry": entry, "cause": cause, "ties": ties,
        "ph_time": ph_time,
        "genetic_model": genetic_model, "male_x_dosage": x_model, "exposure": exposure,
        "interaction": interaction, "variance": variance, "weights": weights, "matched": matched,
        "case_value": cli_values.case_values(case_value),
    }  # fmt: skip
    lists = {
        "traits": trait, "time": time, "event": event, "strata": [strata] if strata else None,
        "condition_on": condition, "levels": [levels] if levels else None,
    }  # fmt: skip
    choices |= {name: _names(texts) for name, texts in lists.items() if texts}
    if covar is not None:
        if not covar.strip(" ,"):
            raise typer.BadParameter("--covar names nothing: leave it out for a model without covariates")
        choices["covariates"] = (covar.strip().removeprefix("~").strip() or "~") if "~" in covar else _names([covar])
    tables = {
        "input": {
            "store": str(store), "phenotypes": str(pheno), "sample_id": sample_id, "sex": sex, "min_overlap": min_overlap,
            "build": build, "id_rule": id_rule, "covariate_files": [str(path) for path in covar_file] if covar_file else None,
            "missing_codes": cli_values.missing_codes(missing_code),
            "decimal": decimal, "date_format": date_format, "encoding": encoding,
        },
        "model": choices,
        "variants": {"maf": maf, "mac": mac, "missing": missing_rate, "hwe": hwe, "region": region or None},
        "output": {"path": str(out), "dialect": dialect, "for_spreadsheets": for_spreadsheets or None},
    }  # fmt: skip
    chosen = {name: {key: value for key, value in table.items() if value is not None} for name, table in tables.items()}
    config = Config.of({name: table for name, table in chosen.items() if table}, "the command line", Path())
    if print_toml:
        _say(config.to_toml().rstrip())
        return
    _run(config, threads, dask, force, memory, audit)


@app.command()
def plan(
    files: Annotated[list[str], typer.Argument(metavar="gwas.toml|IN... WORK")],
    parts: Annotated[int, typer.Option(min=1, help="Jobs of the array.")],
    json: Json = False,
    convert: Annotated[bool, typer.Option("--convert", help="Convert VCF, VCF.gz or BCF files.")] = False,
    samples: Annotated[Path | None, typer.Option(help="With --convert: file of sample ids to keep.")] = None,
    memory: Memory = None,
    force: Force = False,
) -> None:
    """Divide a run, or a conversion, into parts for a job array: `part WORK 0` ... `part WORK N-1`, then `merge WORK OUT`."""
    from genassoc.verbs import describe, job_arrays
    from genassoc.verbs.config import Config

    if convert:
        _say("\n".join(describe.conversion_plan(files, parts, samples, json, force)))
        return
    if len(files) != 2:
        raise typer.BadParameter("name a gwas.toml and the work folder, or --convert, the inputs and the work folder")
    config, work = map(Path, files)
    made = job_arrays.make_plan(Config.read(config), work, parts, _progress(), restart=force, memory=memory, tell=_tell)
    _say(describe.plan_json(made) if json else "\n".join(describe.plan_lines(made, work)))


@app.command()
def part(
    work: Path,
    number: Annotated[int, typer.Argument(metavar="I", help="From 0.")],
    threads: Threads = None,
    memory: Memory = None,
) -> None:
    """Do one part of a planned run. Repeating a part is harmless; a killed part continues when run again."""
    from genassoc.verbs import job_arrays

    job_arrays.do_part(work, number, _executor(threads), _progress(), memory, _tell)
    _say(f"part {number} of {work} is done")


@app.command()
def status(work: Path, json: Json = False) -> None:
    """Show the progress of a planned run, and which parts are missing."""
    from genassoc.verbs import describe, job_arrays

    state = job_arrays.status(work)
    _say(describe.status_json(state) if json else "\n".join(describe.status_lines(state)))


@app.command()
def merge(work: Path, out: Path, audit: Audit = 200, force: Force = False) -> None:
    """Join the parts of a planned run into one results file, with the same bytes as `run` writes."""
    from genassoc.verbs import job_arrays

    lines, warnings = job_arrays.merge_lines(work, out, audit, force, _tell)
    for warning in warnings:
        _tell(warning)
    _say("\n".join(lines))


cli_results.add_to(app)


@app.command()
def demo(
    folder: Annotated[Path, typer.Argument(metavar="[DIR]")] = Path("genassoc-demo"),
    samples: Annotated[int, typer.Option(min=1)] = 2000,
    variants: Annotated[int, typer.Option(min=1)] = 50_000,
    seed: Annotated[int, typer.Option(min=0)] = 20,
    threads: Threads = None,
) -> None:
    """Analyse a simulated cohort: VCF + phenotypes -> store -> results -> plots, compared with the truth."""
    from genassoc.verbs.demonstration import demo as run_demo

    run_demo(
        folder, n_samples=samples, n_variants=variants, seed=seed, executor=_executor(threads), progress=_progress(),
        say=_say,
    )  # fmt: skip


@app.command(hidden=True)
def version() -> None:
    """The version."""
    from genassoc.provenance import genassoc_version

    _say(genassoc_version())


def main() -> None:
    """Entry point: 0 done, 1 bad input or a failed run (a message, never a traceback), 2 bad usage."""
    from genassoc.cli.exits import run_guarded, show_warning

    for message in (
        "AUDIT FAILED",
        "imputed dosages",
        "how columns were read",
    ):  # they are among the notes, which are printed
        warnings.filterwarnings("ignore", message=message)
    warnings.filterwarnings("ignore", category=ReusedWarning)  # likewise
    warnings.showwarning = show_warning
    gc.set_threshold(200_000, 20, 20)  # importing makes a million objects and hardly any garbage
    os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")  # as the engine pins it; idle pools start up and spin
    if os.environ.get("GENASSOC_TRACEBACK"):
        app()
        return
    run_guarded(app, _InterruptedError)


if __name__ == "__main__":
    main()
