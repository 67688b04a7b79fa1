"""How the commands end: what is said of a failure, and the exit code."""

import atexit
import gc
import logging
import os
import sys
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

from genassoc.errors import GenassocError, printable


def run_guarded(app: Callable[[], object], interruption: type[BaseException]) -> None:
    """Run the commands: 0 done, 1 bad input or a failed run (a message, never a traceback), 130 interrupted."""
    atexit.register(gc.freeze)  # a last look for garbage among all that was imported takes 0.3 s
    # A matplotlib that cannot write its cache, or builds it, is no concern of who asked for a plot.
    logging.getLogger("matplotlib").setLevel(logging.ERROR)
    warnings.showwarning = _warn
    try:
        app()
    except GenassocError as error:
        _fail(str(error))
    except (interruption, KeyboardInterrupt):
        _fail(f"interrupted; {_afterwards(sys.argv[1:2])}", 130)
    except BrokenPipeError:
        # The reader of our output has gone, as `head` does: nothing is left to say.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(1)
    except MemoryError as error:
        _fail(f"out of memory ({error}): ask for more, or use fewer --threads")
    except OSError as error:
        _fail(f"{error.filename or 'the system'}: {error.strerror or error}")
    except Exception as error:
        notes = "; ".join(getattr(error, "__notes__", []))
        _fail(
            f"this is a defect of genassoc: {type(error).__name__}: {error}{f' ({notes})' if notes else ''}. Please "
            "report it with the output of the same command under GENASSOC_TRACEBACK=1"
        )


def show_warning(message: Warning | str, category: type[Warning], filename: str, *more: Any, **named: Any) -> None:
    """Print a warning as one line for people; those of libraries with their place."""
    ours = "genassoc" in Path(filename).parts
    print(f"genassoc: warning: {message}" if ours else f"{filename}: {category.__name__}: {message}", file=sys.stderr)


def _afterwards(command: list[str]) -> str:
    """What an interrupted command leaves behind."""
    if command and command[0] in (
        "convert",
        "run",
        "assoc",
        "sets",
        "part",
        "demo",
        "prune",
        "pca",
        "kinship",
        "step1",
    ):
        return "what was finished is kept, and the same command carries on from there"
    return "nothing unfinished is left behind; the same command begins anew"


def _fail(message: str, code: int = 1) -> None:
    print(printable(f"genassoc: error: {message}"), file=sys.stderr)
    sys.exit(code)


def _warn(message: Warning | str, *_: object, **__: object) -> None:
    """A warning as a line for people: without the place in the source, and without bytes that a terminal obeys."""
    print(printable(f"genassoc: warning: {message}"), file=sys.stderr)
