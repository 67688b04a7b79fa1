"""Missing codes: values that mean "missing", of one column or of all columns of a table."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from genassoc.errors import PhenotypeError

EVERY_COLUMN = "*"


@dataclass(frozen=True)
class MissingCodes:
    """Which values mean "missing" in which columns.

    Attributes
    ----------
    everywhere : tuple of str or None
        Codes for every column; None if none were declared for every column, which keeps the check for an undeclared -9 on.
    columns : mapping of str to tuple of str
        Codes for single columns, in addition to those for every column.
    """

    everywhere: tuple[str, ...] | None = None
    columns: Mapping[str, tuple[str, ...]] = field(default_factory=dict)

    @classmethod
    def of(cls, given: "Sequence[str] | Mapping[str, Sequence[str]] | MissingCodes | None") -> "MissingCodes":
        """Read a list of codes for every column, or a mapping of columns to lists ("*" means every column).

        Raises
        ------
        PhenotypeError
            It is neither.
        """
        if given is None:
            return cls()
        if isinstance(given, MissingCodes):
            return given
        if isinstance(given, Mapping):
            lists = {str(name): _codes(codes, f"missing_codes['{name}']") for name, codes in given.items()}
            return cls(lists.pop(EVERY_COLUMN, None), lists)
        return cls(_codes(given, "missing_codes"))

    def for_column(self, name: str) -> tuple[str, ...]:
        """The codes of a column."""
        return (*(self.everywhere or ()), *self.columns.get(name, ()))

    def covers(self, name: str) -> bool:
        """Whether codes were declared for a column, so that an undeclared -9 is not searched for."""
        return self.everywhere is not None or name in self.columns

    def beside(self, other: "MissingCodes") -> "MissingCodes":
        """The codes of a table that was read with other codes and then with these: both sets were set to missing."""
        both = [codes for codes in (other.everywhere, self.everywhere) if codes is not None]
        everywhere = tuple(dict.fromkeys(code for codes in both for code in codes)) if both else None
        names = dict.fromkeys((*other.columns, *self.columns))
        columns = {
            name: tuple(dict.fromkeys((*other.columns.get(name, ()), *self.columns.get(name, ())))) for name in names
        }
        return MissingCodes(everywhere, columns)

    def plain(self) -> Any:
        """As JSON and TOML have it: None, a list, or a table."""
        if not self.columns:
            return None if self.everywhere is None else list(self.everywhere)
        by_column = {name: list(codes) for name, codes in self.columns.items()}
        return by_column if self.everywhere is None else {EVERY_COLUMN: list(self.everywhere), **by_column}

    def key(self) -> Any:
        """The codes as a fingerprint has them; a plain list stays as in earlier versions."""
        return self.everywhere if not self.columns else (self.everywhere, sorted(self.columns.items()))


def _codes(given: object, place: str) -> tuple[str, ...]:
    if isinstance(given, str):
        given = (given,)
    if not isinstance(given, Sequence | set | frozenset):
        raise PhenotypeError(
            f'{place} must be a list of values such as ["-9"], or a mapping of columns to such lists, not {given!r}'
        )
    return tuple(_plain(code) for code in given)


def _plain(code: object) -> str:
    text = str(code).strip()
    return text.removesuffix(".0") if isinstance(code, float) else text
