"""``python -m genassoc``: the command line."""

from genassoc.cli.commands import main

main()
