"""The program: its commands, by subject in the files beside this one, and how it starts."""

import gc
import os
import warnings
from typing import ClassVar

import click

from genassoc.cli import exports, gene_sets, job_arrays, meta_analysis, results, runs, stores, structure
from genassoc.cli.signatures import WIDTH, command
from genassoc.cli.speech import say
from genassoc.errors import ReusedWarning, StructureWarning


class _InterruptedError(Exception):
    """Ctrl-C: click would exit without a message."""


SHELLS = ("bash", "zsh", "fish")


class _Commands(click.Group):
    """Commands under headings."""

    panels: ClassVar[dict[str, list[str]]] = {}  # heading -> names

    def add_command(self, cmd: click.Command, name: str | None = None) -> None:
        """Add a command under the heading that is open."""
        super().add_command(cmd, name)
        if not cmd.hidden:
            self.panels.setdefault([*self.panels][-1] if self.panels else "Commands", []).append(name or str(cmd.name))

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Each with the first sentence of its help, by subject."""
        widest = max(len(name) for names in self.panels.values() for name in names)
        for heading, names in ((heading, names) for heading, names in self.panels.items() if names):
            with formatter.section(heading):
                formatter.write_dl(
                    [(f"{name:<{widest}}", self.commands[name].get_short_help_str(300)) for name in names]
                )
        formatter.write_paragraph()
        formatter.write_text("genassoc COMMAND --help says more; genassoc demo shows all of it on simulated data.")

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


def _print_completion(ctx: click.Context, option: click.Parameter, shell: str | None) -> None:
    if shell:
        from click.shell_completion import get_completion_class

        found = get_completion_class(shell)
        assert found is not None  # of SHELLS
        made = found(app, {}, "genassoc", "_GENASSOC_COMPLETE")
        click.echo(made.source_template % made.source_vars())
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
        ),
        click.Option(
            ["--completion"],
            type=click.Choice(SHELLS),
            is_eager=True,
            expose_value=False,
            callback=_print_completion,
            help='Print what makes a shell complete commands and options: eval "$(genassoc --completion bash)".',
        ),
    ],
)
_BY_SUBJECT = {
    "Genotypes": (stores, exports),
    "Relatives and ancestry": (structure,),
    "Association": (runs, gene_sets, meta_analysis),
    "Job arrays": (job_arrays,),
    "Results": (results,),
}
for heading, rooms in _BY_SUBJECT.items():
    app.panels[heading] = []
    for room in rooms:
        room.add_to(app)
_version = command(version, answers=True)
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
