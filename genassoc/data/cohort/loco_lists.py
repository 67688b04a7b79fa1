"""REGENIE's files of step 1 and the list of them: which there are, and their lines."""

import gzip
import zlib
from collections.abc import Iterator
from pathlib import Path

from genassoc.data.phenotypes.columns import listed
from genassoc.errors import InputError

LOCO = "FID_IID"
_PATH = 255  # characters of a path in a message


def text_lines(path: Path) -> Iterator[str]:
    """Lines of a text file, plain or gzipped."""
    try:
        if path.exists() and not path.is_file():  # of a pipe or a device there is no end
            raise InputError(f"{path}: is no plain file")
        with path.open("rb") as raw:
            zipped = raw.read(2) == b"\x1f\x8b"
        opened = gzip.open if zipped else open
        with opened(path, "rt", encoding="utf-8-sig") as file:
            yield from file
    except FileNotFoundError:
        raise InputError(f"{path}: there is no such file") from None
    except (OSError, EOFError, zlib.error, ValueError) as error:  # ValueError: no UTF-8, or a name with a NUL byte
        raise InputError(f"{_shown(path)}: cannot be read ({getattr(error, 'strerror', None) or error})") from None


def is_file(path: Path) -> bool:
    """Whether there is such a file; not of a name that no file can have, as a list of a stranger may hold."""
    try:
        return path.is_file()
    except (OSError, ValueError):
        return False


def _shown(path: Path) -> str:
    """A path in a message, at the length that a name may have."""
    name = str(path)
    return name if len(name) <= _PATH else f"{name[:_PATH]}..."


def _first(path: Path) -> list[str]:
    """Fields of the first line that has any; none of a file that is no text."""
    try:
        return next((fields for line in text_lines(path) if (fields := line.split(maxsplit=3))), [])
    except InputError:
        return []


def is_loco(path: Path) -> bool:
    """Whether a file has REGENIE's layout: a header of samples, a line of predictions for each chromosome."""
    return is_file(path) and _first(path)[:1] == [LOCO]


def pred_list(path: Path) -> dict[str, Path] | None:
    """Traits and their files as REGENIE lists them; None of a file that is no such list."""
    first = _first(path)
    named = path.name.endswith("pred.list") and bool(first)
    if not named and (len(first) != 2 or not is_file(_moved(path, first[1]))):
        return None
    found: dict[str, Path] = {}
    for number, line in enumerate(text_lines(path), 1):
        fields = line.split()
        if not fields:
            continue
        if len(fields) != 2:
            raise InputError(
                f"{path}, line {number}: {len(fields)} fields in place of a trait and the file of its predictions"
            )
        if fields[0] in found:
            raise InputError(f"{path}, line {number}: the trait {fields[0]} is listed twice")
        found[fields[0]] = _moved(path, fields[1])
    return found


def list_in(path: Path) -> Path:
    """The list of predictions that a folder holds; the path itself where it is none.

    Raises
    ------
    InputError
        It holds none, or several.
    """
    try:
        if not path.is_dir():
            return path
        lists = sorted(file for file in path.iterdir() if file.name.endswith("pred.list") and file.is_file())
    except (OSError, ValueError):
        return path
    if len(lists) != 1:
        found = "no list of predictions (..._pred.list), which step 1 writes last: did it finish?"
        if lists:
            found = f"several lists of predictions ({listed([file.name for file in lists])}): name one of them"
        raise InputError(f"{path}: the folder holds {found}")
    return lists[0]


def _moved(path: Path, name: str) -> Path:
    """The file that a list names, or the one of that name beside the list, where both were moved."""
    beside = [path.parent / name, path.parent / Path(name).name]
    return next((file for file in (Path(name), *beside) if is_file(file)), Path(name))
