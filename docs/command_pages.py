"""Pages of the commands, written before Sphinx reads: what ``--help`` says, as tables.

The help is formatted by the commands themselves, with a formatter that writes Markdown: headings and options are those of the terminal.
"""

import re
from collections.abc import Sequence
from pathlib import Path

import click
from sphinx.application import Sphinx

FOLDER = Path(__file__).parent / "reference" / "commands"
_LEVEL = "## "


class _Markdown(click.HelpFormatter):
    """Click's formatter, whose paragraphs, headings and lists are Markdown."""

    def write_usage(self, prog: str, args: str = "", prefix: str | None = None) -> None:
        self.write(f"```text\n{prog} {args}\n```\n\n")

    def write_heading(self, heading: str) -> None:
        self.write(f"{_LEVEL}{heading}\n\n")

    def write_text(self, text: str) -> None:
        self.write("\n\n".join(_words(part) for part in re.split(r"\n\s*\n", text)) + "\n\n")

    def write_dl(self, rows: Sequence[tuple[str, str]], col_max: int = 30, col_spacing: int = 2) -> None:
        self.write("| | |\n|---|---|\n")
        for name, text in rows:
            bars = name.strip().replace("|", "\\|")
            self.write(f"| `{bars}` | {_words(text)} |\n")
        self.write("\n")


def _words(text: str) -> str:
    """Running text: flags as code, and what Markdown would obey escaped, but for text between backquotes."""
    line = re.sub(r"\s+", " ", text.replace("\b", "").strip())
    line = re.sub(r"(?<![`\w-])(--[a-z][\w-]*)(?!`)", r"`\1`", line)
    parts = re.split(r"(`[^`]*`)", line)
    return "".join(part if part[:1] == "`" else re.sub(r"([\\*_<>\[\]{}|#$~])", r"\\\1", part) for part in parts)


def page_of(command: click.Command, name: str, parent: click.Context | None = None) -> str:
    """A command's help as a page of Markdown."""
    context = command.make_context(name, [], parent, resilient_parsing=True)
    formatter = _Markdown()
    context.command.format_help(context, formatter)
    return f"# {name if parent is None else f'genassoc {name}'}\n\n{formatter.getvalue()}"


def pages() -> dict[str, str]:
    """A page for each command, and ``index``."""
    from genassoc.cli.commands import app

    context = click.Context(app, info_name="genassoc")
    made = {}
    for name in app.list_commands(context):
        command = app.get_command(context, name)
        if command is not None and not command.hidden:
            made[name] = page_of(command, name, context)
    index = page_of(app, "genassoc").replace("# genassoc\n", "# Commands\n", 1)
    for name in made:
        index = index.replace(f"| `{name}` |", f"| [`{name}`]({name}.md) |")
    names = "\n".join(made)
    return {"index": f"{index}\n```{{toctree}}\n:hidden:\n\n{names}\n```\n", **made}


def write(app: Sphinx) -> None:
    """The pages that changed, so that Sphinx reads no other again."""
    FOLDER.mkdir(exist_ok=True)
    made = {f"{name}.md": text for name, text in pages().items()}
    for old in FOLDER.glob("*.md"):
        if old.name not in made:
            old.unlink()
    for name, text in made.items():
        path = FOLDER / name
        if not path.exists() or path.read_text(encoding="utf-8") != text:
            path.write_text(text, encoding="utf-8")


def setup(app: Sphinx) -> dict[str, bool]:
    """As Sphinx calls it."""
    app.connect("builder-inited", write)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
