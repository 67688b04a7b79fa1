"""Checks of a model's choices: each gives the value in its plain form, or says what the choice takes."""

import math
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np


def names(value: Any, field: str) -> tuple[str, ...]:
    """Names of columns; a single text is one name.

    Raises
    ------
    ValueError
        It is no text and no list of texts, or one of them is empty.
    """
    if isinstance(value, str):
        value = (value,)
    if not isinstance(value, Iterable) or isinstance(value, bytes | Mapping | set | frozenset):
        raise ValueError(f"{field} is a list of names such as {field}=['age'], not {value!r}")
    found = tuple(value)
    for name in found:
        if not isinstance(name, str):
            raise ValueError(f"{field} is a list of names, and {name!r} in it is no text: write '{name}' in quotes")
        if not name.strip():
            raise ValueError(f"{field} holds an empty name")
    return tuple(str(name) for name in found)


def column(value: Any, field: str, meaning: str = "") -> None:
    """The name of one column, as a text; ``meaning`` says of what.

    Raises
    ------
    ValueError
        It is no text (a list of one name neither), or empty.
    """
    if not isinstance(value, str) or not value.strip():
        raise ValueError(f"{field} is the name of one column{meaning}, a text, not {value!r}")


def names_or_formula(value: Any, field: str) -> tuple[str, ...] | str:
    """Names of columns, or a text: a Wilkinson formula."""
    return value if isinstance(value, str) else names(value, field)


def pairs(value: Any, field: str, every: tuple[str, ...]) -> tuple[tuple[str, str], ...]:
    """Pairs of a column and a value, of a mapping or of pairs; a single value is of each of the columns ``every``.

    Raises
    ------
    ValueError
        It is neither, or a column stands there twice.
    """
    if value is None:
        return ()
    if isinstance(value, str | int | float | np.integer):
        if not every or any(":" in name for name in every):
            raise ValueError(f"{field} is a mapping of columns to values, {field}={{'t2d': {value!r}}}, not {value!r}")
        value = dict.fromkeys(every, value)
    try:
        items = list(value.items()) if isinstance(value, Mapping) else [(name, said) for name, said in value]
    except (TypeError, ValueError):
        raise ValueError(
            f"{field} is a mapping of columns to values, {field}={{'t2d': 'malade'}}, not {value!r}"
        ) from None
    for name, said in items:
        if not isinstance(name, str) or not isinstance(said, str | int | float | np.integer) or not str(said).strip():
            raise ValueError(f"{field} is a mapping of columns to values, {field}={{'t2d': 'malade'}}, not {value!r}")
    if len({name for name, _ in items}) < len(items):
        raise ValueError(f"{field} names a column more than once: {', '.join(name for name, _ in items)}")
    return tuple((name, str(said).strip()) for name, said in items)


def number(value: Any, field: str, meaning: str, low: float, high: float = math.inf) -> Any:
    """A finite number from ``low`` to ``high``, as it was given; ``meaning`` says what it counts.

    Raises
    ------
    ValueError
        It is no number (a text, true or false), not finite, or outside.
    """
    is_number = isinstance(value, int | float | np.integer | np.floating) and not isinstance(value, bool)
    if not is_number or not math.isfinite(value) or not low <= value <= high:
        bounds = f"from {low:g} to {high:g}" if math.isfinite(high) else f"of at least {low:g}"
        raise ValueError(f"{field} is {meaning}, a number {bounds}, not {value!r}")
    return value


def flag(value: Any, field: str) -> bool:
    """True or false.

    Raises
    ------
    ValueError
        It is anything else, as "no" or 1.
    """
    if not isinstance(value, bool | np.bool_):
        raise ValueError(f"{field} is true or false (without quotes), not {value!r}")
    return bool(value)


def choice(value: Any, field: str, allowed: Sequence[str | None]) -> Any:
    """One of the values allowed.

    Raises
    ------
    ValueError
        It is none of them (shows them).
    """
    if not (value is None or isinstance(value, str)) or value not in allowed:
        raise ValueError(f"{field} is one of {', '.join(map(repr, allowed))}, not {value!r}")
    return value
