"""``python -m genassoc``: the command line."""

from genassoc.cli import main

main()
