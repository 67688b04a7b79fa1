"""The command line."""


def main() -> None:
    """Run the command that the arguments of the process name."""
    from genassoc.cli.commands import main as run

    run()
