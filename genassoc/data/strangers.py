"""JSON from an untrusted source: read within bounds, the type of each field checked, nothing evaluated."""

import json
import os
import stat
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

MOST_BYTES = (
    2**28
)  # bytes of a record or a plan: the longest of ours, of 4,096 tasks and 10,000 traits, have a few megabytes
MOST_LEVELS = 60  # depth of nesting; ours have ten, and a condition on samples as many as people wrote
MOST_NUMBER = 2**53  # largest count or position: JSON readers hold it exactly


class MalformedError(ValueError):
    """A file, or a field of it, is malformed; the message does not name the file."""


def read_bytes(path: Path, most: int = MOST_BYTES) -> bytes:
    """The bytes of a plain file of at most ``most`` bytes; pipes, which may never end, are refused.

    Raises
    ------
    OSError
        It is not there or cannot be read.
    MalformedError
        It is no plain file, or too long.
    """
    handle = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)  # opening a pipe would wait for a writer
    status = os.fstat(handle)
    if not stat.S_ISREG(status.st_mode):
        os.close(handle)
        raise MalformedError("it is no plain file")
    with os.fdopen(handle, "rb") as file:
        content = file.read(min(status.st_size, most) + 1)  # a read allocates as much memory as it is asked for
    if len(content) > most:
        raise MalformedError(f"it has more than {most:,} bytes")
    return content


def parse_object(content: bytes) -> dict[str, Any]:
    """The JSON object in ``content``.

    Raises
    ------
    MalformedError
        It is none; a name stands in it twice; or it is too deep.
    """
    try:
        value = json.loads(content.decode(), object_pairs_hook=_once)
    except UnicodeDecodeError as error:
        raise MalformedError(f"it is no UTF-8 text (byte {error.start})") from error
    except RecursionError as error:
        raise MalformedError("its values are nested too deeply") from error
    except MalformedError:
        raise
    except ValueError as error:  # of JSON, and of numbers with thousands of digits
        raise MalformedError(f"it is no JSON: {error}") from error
    if not isinstance(value, dict):
        raise MalformedError("it is no JSON object")
    if _too_deep(value):
        raise MalformedError("its values are nested too deeply")
    return value


def read_object(path: Path, most: int = MOST_BYTES) -> dict[str, Any]:
    """The JSON object in a file; see `read_bytes` and `parse_object`."""
    return parse_object(read_bytes(path, most))


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    value = dict(pairs)
    if len(value) < len(pairs):
        raise MalformedError("a name occurs twice in one object")
    return value


def _too_deep(value: object) -> bool:
    level = [value]
    for _ in range(MOST_LEVELS):
        below: list[Any] = []
        for item in level:
            if isinstance(item, dict):
                below += item.values()
            elif isinstance(item, list):
                below += item
        if not below:
            return False
        level = below
    return True


# fields ------------------------------------------------------------------------------------------------------


def text(value: object, name: str) -> str:
    """A text.

    Raises
    ------
    MalformedError
        It is none: names the field. So do the others.
    """
    if not isinstance(value, str):
        raise MalformedError(f"{name} is no text")
    if any("\ud800" <= letter <= "\udfff" for letter in value):
        raise MalformedError(f"{name} holds half a character, which no text has")
    return value


def file_name(value: object, name: str) -> str:
    """A text that a file can have as its path."""
    if "\0" in text(value, name):
        raise MalformedError(f"{name} is no name of a file")
    return str(value)


def whole(value: object, name: str, least: int = 0, most: int = MOST_NUMBER) -> int:
    """A whole number from ``least`` to ``most``."""
    if type(value) is not int:
        raise MalformedError(f"{name} is no whole number")
    if not least <= value <= most:
        raise MalformedError(f"{name} is no number from {least:,} to {most:,}")
    return value


def table(value: object, name: str) -> dict[str, Any]:
    """An object."""
    if not isinstance(value, dict):
        raise MalformedError(f"{name} is no object")
    return value


def items(value: object, name: str) -> list[Any]:
    """A list."""
    if not isinstance(value, list):
        raise MalformedError(f"{name} is no list")
    return value


def texts(value: object, name: str) -> list[str]:
    """A list of texts."""
    return [text(item, name) for item in items(value, name)]


def counts(value: object, name: str) -> dict[str, int]:
    """An object of counts."""
    return {key: whole(item, f"{name}.{key}") for key, item in table(value, name).items()}


def field(content: Mapping[str, Any], name: str, kind: Callable[..., Any], *bounds: int) -> Any:
    """A field of an object, which must be there."""
    if name not in content:
        raise MalformedError(f"it has no '{name}'")
    return kind(content[name], name, *bounds)


def optional(content: Mapping[str, Any], name: str, kind: Callable[..., Any]) -> Any:
    """A field of an object, or None."""
    value = content.get(name)
    return None if value is None else kind(value, name)
