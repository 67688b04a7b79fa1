"""Run by test_faults.py in a process of its own: a genassoc command that kills itself (SIGKILL) at its n-th touch of a folder.

``python die_at_event.py FOLDER NUMBER COMMAND...``; a touch is an open, an fsync or a rename of a file in the folder: so it
dies with a file just begun, written but not renamed, or renamed and not yet reported. NUMBER 0 never dies.
"""

import itertools
import os
import signal
import sys
from typing import Any

from genassoc.cli import commands as cli


def main(folder: str, number: str, *command: str) -> None:
    touches = itertools.count(1)

    def touch() -> None:
        if next(touches) == int(number):
            os.kill(os.getpid(), signal.SIGKILL)

    def hook(event: str, details: tuple[Any, ...]) -> None:
        if event in ("open", "os.rename", "os.remove") and str(details[0]).startswith(folder):
            touch()

    fsync = os.fsync

    def synced(handle: int) -> None:
        touch()
        fsync(handle)

    os.fsync = synced
    sys.addaudithook(hook)
    sys.argv = ["genassoc", *command]
    cli.main()


if __name__ == "__main__":
    main(*sys.argv[1:])
