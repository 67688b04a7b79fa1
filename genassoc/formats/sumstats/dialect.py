"""A dialect: how its header is recognised, its columns are read and ours are written."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

import polars as pl


@dataclass(frozen=True)
class Group:
    """The rows that one file holds, and what its columns depend on.

    Attributes
    ----------
    trait : str
    test : str or None
        None where the file holds all tests of the trait.
    columns : frozenset of str
        Columns of the table.
    methods, tests : frozenset of str
        Values of `method` and `test` among the rows.
    other_ids : bool
        Whether some `rsid` is no rs number.
    """

    trait: str
    test: str | None
    columns: frozenset[str]
    methods: frozenset[str] = field(default_factory=frozenset)
    tests: frozenset[str] = field(default_factory=frozenset)
    other_ids: bool = False


@dataclass(frozen=True, kw_only=True)
class Dialect:
    """One way of writing results down.

    Attributes
    ----------
    name : str
    needs : tuple of tuple of str
        A header of this dialect has one name of each.
    numbers : tuple of str
        Columns that hold numbers, where they are there.
    read : callable
        Names of a header -> result column -> expression over columns of text.
    write : callable
        Group -> expressions over result columns, with the file's names, in its order.
    separator, missing : str
        As written.
    suffixes : tuple of str
        What names of files end in; the first that fits is set apart when the trait is put into the name.
    only_suffixes : bool
        Whether other names are refused.
    joint : str
        Between the parts of such a name.
    one_test : bool
        Whether a file holds one test only.
    reason : expression or None
        Why the dialect cannot hold a row; null where it can.
    trait_of : callable
        The trait that the name of a file tells.
    """

    name: str
    needs: tuple[tuple[str, ...], ...]
    numbers: tuple[str, ...]
    read: Callable[[Sequence[str]], Mapping[str, pl.Expr]]
    write: Callable[[Group], list[pl.Expr]]
    suffixes: tuple[str, ...]
    trait_of: Callable[[str], str]
    separator: str = "\t"
    missing: str = "NA"
    only_suffixes: bool = False
    joint: str = "."
    one_test: bool = False
    reason: pl.Expr | None = None

    def owns(self, names: Sequence[str]) -> bool:
        """Whether a header with these names is of this dialect."""
        return all(any(choice in names for choice in choices) for choices in self.needs)

    def split_name(self, name: str) -> tuple[str, str]:
        """Stem and suffix of a file name; (name, "") where it ends in none of the suffixes."""
        for suffix in sorted(self.suffixes, key=len, reverse=True):
            if name.lower().endswith(suffix) and len(name) > len(suffix):
                return name[: -len(suffix)], name[-len(suffix) :]
        return name, ""

    def stem_of(self, name: str) -> str:
        """A file name without its suffix."""
        return self.split_name(name)[0]


def with_gzip(*suffixes: str) -> tuple[str, ...]:
    """The suffixes, each plain and with .gz."""
    return tuple(suffix + end for suffix in suffixes for end in ("", ".gz"))
