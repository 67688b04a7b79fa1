"""The index of a BGEN (.bgi, of bgenix): an SQLite file, read as a stranger's.

It is opened as it lies there, never written, and asked two fixed questions of the table that bgenix makes. What it answers is checked
against the BGEN: an index of another file is not used, and a stretch that it names must lie in the file and hold whole variants.
"""

import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager, suppress
from pathlib import Path
from urllib.parse import quote

from genassoc.errors import InputError
from genassoc.formats.source import LAST_POSITION, Region

_HEAD = 1000  # bytes of the BGEN that the index keeps
_STEPS = 10**6  # of SQLite's machine between two looks
_MOST_LOOKS = 20_000  # an index of 100 million variants needs a tenth of it
_MOST_CONTIGS = 100_000
_LONGEST_VALUE = 2**20
_ALLOWED = {sqlite3.SQLITE_SELECT, sqlite3.SQLITE_READ, sqlite3.SQLITE_FUNCTION}
_NEEDED = {"chromosome", "position", "file_start_position", "size_in_bytes"}


class IndexUnusableError(Exception):
    """An index that is not of this BGEN, or none at all: why."""


def find_index(path: Path) -> Path | None:
    """The index beside a BGEN, if there is one."""
    index = path.with_name(path.name + ".bgi")
    return index if index.exists() else None


class BgenIndex:
    """An index that was found to be of a BGEN.

    Parameters
    ----------
    path : Path
        The index.
    bgen : Path
    size : int
        Bytes of the BGEN.

    Raises
    ------
    IndexUnusableError
        It is of another file, or none.
    """

    def __init__(self, path: Path, bgen: Path, size: int) -> None:
        self.path = path
        with self._open() as ask:
            self._check_table(ask)
            self._check_file(ask, bgen, size)
            self.contigs = tuple(self._names(ask))

    @contextmanager
    def _open(self) -> Iterator[sqlite3.Connection]:
        """The file, read only: no table but those that are read is touched, and no question takes for ever."""
        looks = 0

        def look() -> int:
            nonlocal looks
            looks += 1
            return int(looks > _MOST_LOOKS)

        def allow(action: int, *what: str | None) -> int:
            return sqlite3.SQLITE_OK if action in _ALLOWED else sqlite3.SQLITE_DENY

        try:
            address = f"file:{quote(str(self.path.absolute()))}?mode=ro&immutable=1"
            with closing(sqlite3.connect(address, uri=True, isolation_level=None)) as ask:
                ask.setlimit(sqlite3.SQLITE_LIMIT_LENGTH, _LONGEST_VALUE)
                ask.setlimit(sqlite3.SQLITE_LIMIT_ATTACHED, 0)
                for setting in ("trusted_schema=OFF", "cell_size_check=ON", "mmap_size=0", "temp_store=MEMORY"):
                    ask.execute(f"PRAGMA {setting}")
                ask.set_progress_handler(look, _STEPS)
                ask.set_authorizer(allow)
                yield ask
        except (sqlite3.Error, ValueError, OverflowError, UnicodeDecodeError, MemoryError) as error:
            raise IndexUnusableError(f"cannot be read: {error}") from error

    def _check_table(self, ask: sqlite3.Connection) -> None:
        kinds = dict(
            ask.execute("SELECT name, type FROM sqlite_master WHERE name IN ('Variant', 'Metadata')").fetchall()
        )
        if kinds.get("Variant") != "table":
            raise IndexUnusableError("has no table of variants")
        self._has_metadata = kinds.get("Metadata") == "table"
        row = ask.execute("SELECT * FROM Variant LIMIT 1")
        missing = _NEEDED - {column[0] for column in row.description}
        if missing:
            raise IndexUnusableError(f"its table of variants has no {', '.join(sorted(missing))}")

    def _check_file(self, ask: sqlite3.Connection, bgen: Path, size: int) -> None:
        """Compare what it keeps of its file with the BGEN."""
        if not self._has_metadata:
            raise IndexUnusableError("does not say of which file it is")
        rows = ask.execute("SELECT file_size, first_1000_bytes FROM Metadata LIMIT 2").fetchall()
        if len(rows) != 1 or not isinstance(rows[0][0], int) or not isinstance(rows[0][1], bytes):
            raise IndexUnusableError("does not say of which file it is")
        stated, head = rows[0]
        with bgen.open("rb") as file:
            ours = file.read(_HEAD)
        if stated != size or head != ours:
            raise IndexUnusableError(
                f"is the index of another file (of {stated:,} bytes, this one has {size:,}, or with another beginning)"
            )

    def _names(self, ask: sqlite3.Connection) -> Iterator[str]:
        """The contigs: each looked for behind the one before, which the key of the table answers at once."""
        name, found = "", 0
        while True:
            row = ask.execute("SELECT MIN(chromosome) FROM Variant WHERE chromosome > ?", (name,)).fetchone()
            if row is None or row[0] is None:
                return
            found += 1
            if not isinstance(row[0], str) or found > _MOST_CONTIGS:
                raise IndexUnusableError("its contigs are not the names of contigs")
            name = row[0]
            yield name

    def stretches(self, regions: list[Region], first: int, size: int) -> list[tuple[int, int]]:
        """Where the variants of regions lie in the file, in its order: neighbouring ones in one stretch.

        Parameters
        ----------
        regions : list of Region
            With contigs named as in the file.
        first, size : int
            Where the variants begin in the BGEN, and its bytes.

        Raises
        ------
        InputError
            The index names bytes that the file does not have.
        """
        found: list[tuple[int, int]] = []
        question = (
            "SELECT file_start_position, size_in_bytes FROM Variant WHERE chromosome = ? AND position BETWEEN ? AND ? "
            "ORDER BY position"
        )
        try:
            with self._open() as ask:
                for region in regions:
                    last = min(region.last, LAST_POSITION)
                    run: tuple[int, int] | None = None
                    for begin, length in ask.execute(question, (region.contig, region.first, last)):
                        whole = isinstance(begin, int) and isinstance(length, int)
                        if not whole or length <= 0 or begin < first or begin + length > size:
                            raise InputError(
                                f"{self.path}: places a variant at bytes {begin!r} to {begin!r} + {length!r}, which the BGEN does not "
                                "have: make the index again (bgenix -index -clobber)"
                            )
                        if run is not None and run[1] == begin:
                            run = run[0], begin + length
                        else:
                            found += [run] if run is not None else []
                            run = begin, begin + length
                    found += [run] if run is not None else []
        except IndexUnusableError as error:
            raise InputError(
                f"{self.path}: {error}: make the index again (bgenix -index -clobber), or remove it"
            ) from None
        return _joined(found)


def _joined(stretches: list[tuple[int, int]]) -> list[tuple[int, int]]:
    """Stretches in the order of the file, those that touch or overlap joined."""
    joined: list[tuple[int, int]] = []
    for begin, end in sorted(stretches):
        if joined and begin <= joined[-1][1]:
            joined[-1] = joined[-1][0], max(end, joined[-1][1])
        else:
            joined.append((begin, end))
    return joined


def open_index(bgen: Path, size: int, notes: list[str]) -> BgenIndex | None:
    """The index of a BGEN; None where there is none, or one that is not its own, which is noted."""
    path = find_index(bgen)
    if path is None:
        return None
    with suppress(OSError):
        try:
            return BgenIndex(path, bgen, size)
        except IndexUnusableError as error:
            notes.append(f"{path.name}: is not used, since it {error}")
    return None
