"""The program: its commands, by subject in the files beside this one, and how it starts."""

import gc
import os
import warnings

import click

from genassoc.cli import exports, gene_sets, job_arrays, meta_analysis, results, runs, stores, structure
from genassoc.cli.options import say
from genassoc.cli.signatures import WIDTH, command
from genassoc.errors import ReusedWarning, StructureWarning


class _InterruptedError(Exception):
    """Ctrl-C: click would exit without a message."""


class _Commands(click.Group):
    def invoke(self, ctx: click.Context) -> object:
        try:
            return super().invoke(ctx)
        except KeyboardInterrupt:
            raise _InterruptedError from None


def version() -> None:
    """The version."""
    from genassoc.provenance import genassoc_version

    say(genassoc_version())


def _print_version(ctx: click.Context, option: click.Parameter, wanted: bool) -> None:
    if wanted:
        version()
        ctx.exit()


app = _Commands(
    "genassoc",
    help="Exact, fast genome-wide association from VCF, BGEN, PLINK's and other files: on a laptop, in a job array, in a pipeline.",
    no_args_is_help=True,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": WIDTH},
    params=[
        click.Option(
            ["--version"],
            is_flag=True,
            is_eager=True,
            expose_value=False,
            callback=_print_version,
            help="Print the version.",
        )
    ],
)
for commands in (stores, exports, runs, gene_sets, meta_analysis, structure, job_arrays, results):
    commands.add_to(app)
_version = command(version)
_version.hidden = True
app.add_command(_version)


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
    warnings.filterwarnings("ignore", category=StructureWarning)
    warnings.showwarning = show_warning
    gc.set_threshold(200_000, 20, 20)  # importing makes a million objects and hardly any garbage
    os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")  # as the engine pins it; idle pools start up and spin
    os.environ.setdefault(
        "_RJEM_MALLOC_CONF", "dirty_decay_ms:0,muzzy_decay_ms:0"
    )  # polars keeps none of what it frees
    if os.environ.get("GENASSOC_TRACEBACK"):
        app()
        return
    run_guarded(app, _InterruptedError)


if __name__ == "__main__":
    main()
