"""The commands that run an association: check, run, assoc; and warm, which compiles what they need. They parse, call and print; no numbers are made here."""

import inspect
from collections.abc import Callable, Collection, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import click

from genassoc.cli import values
from genassoc.cli.options import (
    Audit,
    Dask,
    Force,
    IdRule,
    Memory,
    NoRelatedness,
    Policy,
    Threads,
    check_policy,
    executor,
)
from genassoc.cli.signatures import Argument, Command, Option, command
from genassoc.cli.speech import fact, progress, say, say_next, tell

if TYPE_CHECKING:
    from genassoc.verbs.config import Config

_INPUT, _VARIANTS, _OUTPUT = "Input", "Variants", "Output"
SETS = "\0sets"  # the table of sets among the choices that `assoc` is called with


class OfModel(Command):
    """A function with the choices of the model that the arguments name: only that one is imported; without one, all are."""

    def __init__(self, function: Callable[..., None]) -> None:
        super().__init__(function.__name__, help=inspect.getdoc(function))
        self._function = function

    def make_context(
        self, info_name: str | None, args: list[str], parent: click.Context | None = None, **extra: Any
    ) -> click.Context:
        """The arguments as the command of their model reads them."""
        from genassoc.cli.model_options import choices_of, with_choices
        from genassoc.models.registry import MODELS

        kind = _model_in(args)
        kinds = [kind] if kind is not None and kind in MODELS else list(MODELS)
        try:
            return command(with_choices(self._function, kinds)).make_context(info_name, list(args), parent, **extra)
        except click.UsageError as error:
            flag = getattr(error, "option_name", None)  # of an option that is none
            for choice in choices_of(list(MODELS)).values() if kind in MODELS and flag else ():
                if choice.flag == flag:
                    raise click.BadParameter(
                        f"{kind} has no choice '{choice.name}' ({flag}): it is of {', '.join(choice.models)}"
                    ) from error
            raise


def models(ctx: click.Context) -> list[str]:
    """Names of models, for a shell."""
    from genassoc.models.registry import MODELS

    return list(MODELS)


def _model_in(args: Sequence[str]) -> str | None:
    """The model that the arguments name, whichever way."""
    kind = None
    for arg, after in zip(args, [*args[1:], None]):
        if arg == "--model":
            kind = after
        elif arg.startswith("--model="):
            kind = arg.partition("=")[2]
    return kind


def add_to(app: click.Group) -> None:
    """Add them to the commands."""
    app.add_command(command(check, answers=True))
    app.add_command(command(run))
    app.add_command(command(warm))
    app.add_command(OfModel(assoc))


def check(
    config: Annotated[Path, Argument(metavar="gwas.toml")],
    *,
    threads: Threads = None,
    memory: Memory = None,
    no_relatedness: NoRelatedness = False,
) -> None:
    """Check a gwas.toml before a run: report all problems at once, and the cost of the run."""
    from genassoc.verbs import preflight

    preflight_result = preflight.check(config, executor(threads).n, memory, not no_relatedness)
    for line in preflight_result.lines:
        say(line)
    for problem in preflight_result.problems:
        tell(f"problem: {problem}")
    if preflight_result.problems:
        raise click.exceptions.Exit(1)
    say("no problem found")
    say_next(f"genassoc run {config}")


def run(
    config: Annotated[Path, Argument(metavar="gwas.toml")],
    *,
    threads: Threads = None,
    dask: Dask = None,
    memory: Memory = None,
    force: Force = False,
    audit: Audit = 200,
    no_relatedness: NoRelatedness = False,
    policy: Policy = None,
) -> None:
    """Run the analysis of a gwas.toml. A killed run continues when run again."""
    from dataclasses import replace

    from genassoc.verbs.config import Config

    check_policy(policy)
    read = Config.read(config)
    read = read if policy is None else replace(read, output={**read.output, "policy": policy})
    _run(read, threads, dask, memory=memory, force=force, audit=audit, no_relatedness=no_relatedness)


def _run(
    config: "Config",
    threads: int | None,
    dask: str | None,
    *,
    memory: str | None,
    force: bool,
    audit: int,
    no_relatedness: bool,
) -> None:
    from genassoc.formats.sumstats.metadata import check_fields
    from genassoc.progress import phase
    from genassoc.verbs import runs, summary
    from genassoc.verbs.options import RunOptions

    check_fields(config.output.get("metadata") or {})
    told: list[str] = []

    def tell_before(note: str) -> None:
        told.append(note)
        tell(note)

    if threads is not None and dask is not None:
        raise click.BadParameter("--threads is for this machine, --dask for a cluster: give one of them")
    with runs.workers(threads, dask, tell) as workers:
        options = RunOptions(
            executor=workers,
            progress=progress(),
            restart=force,
            audit=audit,
            memory=memory,
            tell=tell_before,
            relatedness=not no_relatedness,
        )
        results = runs.run_config(config, options)
    for note in results.provenance["notes"]:
        if note not in told:
            tell(note, caution=note.startswith("AUDIT FAILED"))
    with phase(progress(), "summary"):
        lines, facts = summary.lines_and_facts(results)
    fact(**facts)
    for line in lines:
        say(line)
    with phase(progress(), "writing the dialect"):
        written = [*runs.write_dialect(config, results, force), *runs.write_leaving(config, results, force)]
    for line in written:
        say(line)
    best = summary.best_name(facts)
    say_next(
        f"genassoc plot {config.out} --out plots",
        *([f"genassoc explain {config.out} {best}"] if best else []),
        *([f"genassoc report {config.out} --out report.html"] if "report" in _others() else []),
    )


def _others() -> Collection[str]:
    """Names of the program's commands."""
    parent = click.get_current_context().find_root().command
    return parent.commands if isinstance(parent, click.Group) else ()


def warm(
    *,
    model: Annotated[
        list[str] | None, Option(metavar="NAME[,NAME...]", help="Only what these models need; by default all.")
    ] = None,
    into: Annotated[
        Path | None, Option(help="A folder that other users read too; GENASSOC_CACHE_DIR names it to their runs.")
    ] = None,
) -> None:
    """Compile kernels ahead, for images and clusters.

    The first run then need not compile them. Runs a conversion and each model on a small simulated cohort.
    """
    from genassoc.verbs import warming

    base, done = warming.warm(values.names(model or ()), into=into, tell=lambda family: say(family.line()))
    say(f"{sum(family.compiled for family in done)} kernels compiled, kept in {base}")


def assoc(
    store: Annotated[Path, Argument(help="A store, or a VCF to convert first.")],
    pheno: Annotated[Path, Argument(help="Phenotypes: TSV, CSV, blank-delimited or parquet.")],
    *,
    model: Annotated[
        str, Option(help="linear | logistic | cox | ...; with --help: its choices alone.", complete=models)
    ],
    out: Annotated[Path, Option(help="Results: .parquet, .tsv or .tsv.gz.", panel=_OUTPUT)],
    covar_file: Annotated[
        list[Path] | None,
        Option(help="A table to join to the phenotypes, for example PCs; may be repeated.", panel=_INPUT),
    ] = None,
    offsets: Annotated[
        str | None,
        Option(
            metavar="FILE",
            help="Predictions of the traits: a table, FILE with {chromosome}, REGENIE's pred.list.",
            panel=_INPUT,
        ),
    ] = None,
    kinship: Annotated[
        Path | None,
        Option(
            metavar="FILE",
            help="Of --model mixed: relationships of the store's samples, a square matrix: text (GEMMA's cXX.txt) or .npy.",
            panel=_INPUT,
        ),
    ] = None,
    loco_folder: Annotated[
        Path | None,
        Option(
            "--loco", metavar="DIR", help="The same of a folder that step1 wrote, or REGENIE's step 1.", panel=_INPUT
        ),
    ] = None,
    sample_id: Annotated[str | None, Option(help="Column of sample ids.", panel=_INPUT)] = None,
    id_rule: IdRule = None,
    sex: Annotated[str | None, Option(help="Column of sex: 1 / 2, M / F, H / F, ...", panel=_INPUT)] = None,
    missing_code: Annotated[
        list[str] | None,
        Option(
            metavar="COLUMN=VALUE",
            help="A value that means missing in a column; VALUE alone: in every column, such as -9; 'none': no codes; may be repeated.",
            panel=_INPUT,
        ),
    ] = None,
    decimal: Annotated[str | None, Option(help="Decimal mark of the phenotypes: . | ,", panel=_INPUT)] = None,
    date_format: Annotated[str | None, Option(help="Format of dates, such as DD/MM/YYYY.", panel=_INPUT)] = None,
    encoding: Annotated[str | None, Option(help="utf-8 | latin-1 | windows-1252 | utf-16 ...", panel=_INPUT)] = None,
    min_overlap: Annotated[
        float | None,
        Option(min=0, max=1, help="Minimum share of ids that match (0.5).", panel=_INPUT),
    ] = None,
    build: Annotated[
        str | None,
        Option(help="GRCh37 | GRCh38 | T2T-CHM13: sets the pseudo-autosomal regions of X.", panel=_INPUT),
    ] = None,
    maf: Annotated[float | None, Option(help="Minimum minor allele frequency.", panel=_VARIANTS)] = None,
    mac: Annotated[float | None, Option(help="Minimum minor allele count in the cohort.", panel=_VARIANTS)] = None,
    missing_rate: Annotated[float | None, Option(help="Maximum share of missing calls.", panel=_VARIANTS)] = None,
    hwe: Annotated[float | None, Option(help="Minimum exact Hardy-Weinberg p.", panel=_VARIANTS)] = None,
    info: Annotated[
        float | None,
        Option(help="Minimum quality of imputation (IMPUTE's INFO, else MaCH's r2); calls stay.", panel=_VARIANTS),
    ] = None,
    info_source: Annotated[
        float | None, Option(help="Minimum quality of imputation that the file states.", panel=_VARIANTS)
    ] = None,
    pass_only: Annotated[bool, Option("--pass-only", help="Only FILTER PASS or '.'.", panel=_VARIANTS)] = False,
    region: Annotated[list[str] | None, Option(help="chr or chr:first-last; may be repeated.", panel=_VARIANTS)] = None,
    variants: Annotated[
        Path | None,
        Option(
            help="Only variants of a list, as `prune` writes it: ids, or a table of places and alleles.",
            panel=_VARIANTS,
        ),
    ] = None,
    dialect: Annotated[
        str | None,
        Option(
            help="--out as gwas-ssf | plink2 | regenie | saige, beside a parquet of all columns.",
            panel=_OUTPUT,
        ),
    ] = None,
    for_spreadsheets: Annotated[
        bool,
        Option(
            "--for-spreadsheets",
            help="Text: an apostrophe before ids that begin with = + - @.",
            panel=_OUTPUT,
        ),
    ] = False,
    policy: Annotated[
        str | None,
        Option(
            metavar="snds|casd|ukb|finngen",
            help="Also FILE.POLICY: the table as it may leave, without small counts of people.",
            panel=_OUTPUT,
        ),
    ] = None,
    frequency_floor: Annotated[
        float | None, Option(help="With --policy: smaller frequencies are written as this.", panel=_OUTPUT)
    ] = None,
    threads: Threads = None,
    dask: Dask = None,
    memory: Memory = None,
    force: Force = False,
    audit: Audit = 200,
    no_relatedness: NoRelatedness = False,
    print_toml: Annotated[bool, Option(help="Print the equivalent gwas.toml and stop.")] = False,
    **choices: Any,
) -> None:
    """Association in one line: the same as `run` with a gwas.toml.

    Options that take names may be repeated, and are split at commas; a name with a comma in it stands in double quotes.
    """
    from genassoc.models.registry import MODELS
    from genassoc.verbs.config import Config

    if model not in MODELS:
        raise click.BadParameter(f"there is no model {model!r}; there are {', '.join(MODELS)}", param_hint="--model")
    check_policy(policy)
    sets = choices.pop(SETS, None)
    if loco_folder is not None and offsets is not None:
        raise click.BadParameter("--loco and --offsets are both predictions of the traits: give one of them")
    if loco_folder is not None and not loco_folder.is_dir():
        raise click.BadParameter(
            f"{loco_folder} is no folder: a file of predictions is named by --offsets", param_hint="--loco"
        )
    tables = {
        "input": {
            "store": str(store), "phenotypes": str(pheno), "sample_id": sample_id, "sex": sex, "min_overlap": min_overlap,
            "build": build, "id_rule": id_rule, "covariate_files": [str(path) for path in covar_file or ()] or None,
            "missing_codes": values.missing_codes(missing_code),
            "decimal": decimal, "date_format": date_format, "encoding": encoding,
        },
        "model": {"kind": model, **choices},
        "offsets": {"path": offsets if loco_folder is None else str(loco_folder)},
        "kinship": {"path": None if kinship is None else str(kinship)},
        "variants": {"maf": maf, "mac": mac, "missing": missing_rate, "hwe": hwe, "info": info, "info_source": info_source, "region": region or None,
                     "pass_only": pass_only or None, "list": None if variants is None else str(variants)},
        "sets": sets or {},
        "output": {"path": str(out), "dialect": dialect, "for_spreadsheets": for_spreadsheets or None, "policy": policy,
                   "frequency_floor": frequency_floor},
    }  # fmt: skip
    chosen = {name: {key: value for key, value in table.items() if value is not None} for name, table in tables.items()}
    config = Config.of({name: table for name, table in chosen.items() if table}, "the command line", Path())
    if print_toml:
        say(config.to_toml().rstrip(), asked=True)
        return
    _run(config, threads, dask, memory=memory, force=force, audit=audit, no_relatedness=no_relatedness)
