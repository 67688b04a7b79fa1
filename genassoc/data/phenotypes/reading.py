"""How a table of text is read: its decimal mark, the form of its dates, its encoding."""

import re
from dataclasses import dataclass
from typing import Any

import polars as pl

from genassoc.errors import InputError

# By the name that is asked for, and what Python calls it. A closed list: codecs such as "idna" or "rot13" are none of a table.
ENCODINGS = {
    "utf-8": "utf-8-sig",
    "utf-16": "utf-16",
    "latin-1": "latin-1",
    "iso-8859-1": "latin-1",
    "iso-8859-15": "iso-8859-15",
    "latin-9": "iso-8859-15",
    "windows-1252": "cp1252",
    "cp1252": "cp1252",
    "windows-1250": "cp1250",
    "mac-roman": "mac-roman",
}
_FIRST_YEAR = 1000  # "31/12/45" is read as the year 45 where four digits are meant
_HUMAN = {"yyyy": "%Y", "yy": "%y", "mm": "%m", "dd": "%d"}


@dataclass(frozen=True)
class Reading:
    """Choices of how text becomes values.

    Attributes
    ----------
    decimal : {".", ","}
        The mark before the decimals.
    date_format : str or None
        As "DD/MM/YYYY" or "%d/%m/%Y"; None: only 2020-12-31 is a date.
    encoding : str or None
        Of text files, one of `ENCODINGS`; None is UTF-8.
    """

    decimal: str = "."
    date_format: str | None = None
    encoding: str | None = None

    @classmethod
    def of(cls, decimal: str | None = None, date_format: str | None = None, encoding: str | None = None) -> "Reading":
        """The choices, checked.

        Raises
        ------
        InputError
        """
        if decimal not in (None, ".", ","):
            raise InputError(f"decimal is '.' or ',', not {decimal!r}")
        if encoding is not None and (not isinstance(encoding, str) or encoding.lower() not in ENCODINGS):
            raise InputError(f"encoding is one of {', '.join(ENCODINGS)}, not {encoding!r}")
        made = cls(decimal or ".", date_format, encoding)
        made.strptime  # noqa: B018  # refused now, not at the first date
        return made

    @property
    def codec(self) -> str:
        """What Python calls the encoding."""
        return ENCODINGS[(self.encoding or "utf-8").lower()]

    @property
    def strptime(self) -> str | None:
        """``date_format`` with the marks of strptime.

        Raises
        ------
        InputError
            It does not hold a day, a month and a year, once each.
        """
        form: Any = self.date_format
        if form is None:
            return None
        if not isinstance(form, str):
            raise InputError(f'date_format is a form such as "DD/MM/YYYY", not {form!r}')
        if "%" not in form:
            form = re.sub(r"(?i)yyyy|yy|mm|dd", lambda found: _HUMAN[found[0].lower()], form)
        marks = re.findall(r"%(.)", form)
        kinds = sorted("y" if mark in "yY" else "m" if mark in "mbB" else mark for mark in marks)
        if kinds != ["d", "m", "y"] or re.search(r"[A-Za-z]", re.sub(r"%.", "", form)):
            raise InputError(
                f'date_format="{self.date_format}" is no form of a date: a day, a month and a year, as "DD/MM/YYYY", "MM/DD/YY" or '
                '"%d.%m.%Y"'
            )
        return str(form)

    def beside(self, other: "Reading") -> "Reading":
        """These choices, completed by those that the table was read with before."""
        return Reading(
            other.decimal if self.decimal == "." else self.decimal,
            self.date_format or other.date_format,
            self.encoding or other.encoding,
        )

    def plain(self) -> dict[str, str]:
        """The choices that were made, for the record."""
        made = {
            "decimal": None if self.decimal == "." else self.decimal,
            "date_format": self.date_format,
            "encoding": self.encoding,
        }
        return {name: value for name, value in made.items() if value is not None}


def dates_of(text: pl.Series, form: str) -> pl.Series:
    """Dates from text in a strptime format, null where the text does not match; a year of two digits does not match one of four."""
    dates = text.str.to_date(form, strict=False)
    return dates.set(dates.dt.year() < _FIRST_YEAR, None) if "%Y" in form else dates
