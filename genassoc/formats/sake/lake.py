"""The Parquet lake of a sequencing laboratory, as SeqOIA's sake lays it out: which files there are, and reading them in bounds.

Names of files are names, not patterns (``p[1].parquet`` is a file), and what polars says of a file that it cannot read becomes an
`InputError` that names it.
"""

import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import polars as pl

from genassoc.errors import InputError

GENOTYPES, VARIANTS, PATIENTS = "genotypes", "variants", "patients.parquet"
SAMPLES, PARTITIONS = "samples", "partitions"  # the two layouts of genotypes
SLICE_ROWS = 2**20  # of a file of genotypes that are read at a time
_PART = re.compile(r"id_part=\d+")


@dataclass(frozen=True)
class Lake:
    """The files of a lake.

    Attributes
    ----------
    path : Path
        As it was named.
    layout : str
        "samples" (a file a prescription) or "partitions" (a folder a hash of variants).
    genotypes, variants : tuple of Path
        In natural order.
    patients : Path or None
    both : bool
        Whether both layouts are there; one of them is read.
    """

    path: Path
    layout: str
    genotypes: tuple[Path, ...]
    variants: tuple[Path, ...]
    patients: Path | None
    both: bool

    @classmethod
    def of(cls, path: Path) -> "Lake":
        """The lake at a path: its folder, that of one target in it (``germline``), or one of its layouts.

        Raises
        ------
        InputError
            Files are missing, or there are several targets.
        """
        root, layout = _root(path)
        if root is None:
            raise InputError(
                f"{path}: is no lake of genotypes: it has no {GENOTYPES}/{SAMPLES} or {GENOTYPES}/{PARTITIONS}"
            )
        found = {name: _parquet(root / GENOTYPES / name) for name in (SAMPLES, PARTITIONS)}
        chosen = layout or (PARTITIONS if found[PARTITIONS] else SAMPLES)
        if not found[chosen]:
            raise InputError(f"{path}: {root / GENOTYPES / chosen} holds no .parquet")
        single = root / f"{VARIANTS}.parquet"
        variants = (single,) if single.is_file() else tuple(_parquet(root / VARIANTS))
        if not variants:
            raise InputError(f"{path}: has no variants: {single} or {root / VARIANTS}/<chromosome>.parquet")
        tables = (folder / SAMPLES / PATIENTS for folder in (root, root.parent))
        patients = next((table for table in tables if table.is_file()), None)
        return cls(path, chosen, tuple(found[chosen]), variants, patients, all(found.values()))


def is_lake(path: Path) -> bool:
    """Whether a folder is one."""
    try:
        return _root(path)[0] is not None
    except InputError:
        return True  # which says what is wrong


def _root(path: Path) -> tuple[Path | None, str | None]:
    """The folder that ``genotypes`` and ``variants`` are in, and the layout that the path names."""
    if not path.is_dir():
        return None, None
    if path.name in (SAMPLES, PARTITIONS) and path.parent.name == GENOTYPES:
        return path.parent.parent, path.name
    if _has_genotypes(path):
        return path, None
    targets = sorted(folder for folder in path.iterdir() if folder.is_dir() and _has_genotypes(folder))
    if len(targets) > 1:
        raise InputError(
            f"{path}: holds {', '.join(folder.name for folder in targets)}, whose calls are not of one kind; name one of them "
            f"({targets[0]})"
        )
    return (targets[0], None) if targets else (None, None)


def _has_genotypes(path: Path) -> bool:
    return any((path / GENOTYPES / name).is_dir() for name in (SAMPLES, PARTITIONS))


def _parquet(folder: Path) -> list[Path]:
    """The .parquet files of a folder, and of folders ``id_part=...`` in it, in natural order."""
    if not folder.is_dir():
        return []
    found = []
    for entry in folder.iterdir():
        if entry.is_dir() and _PART.fullmatch(entry.name):
            found += [file for file in entry.iterdir() if _is_parquet(file)]
        elif _is_parquet(entry):
            found.append(entry)
    return sorted(found, key=lambda file: _natural(str(file)))


def _is_parquet(path: Path) -> bool:
    return path.suffix == ".parquet" and not path.name.startswith((".", "wip_")) and path.is_file()


def _natural(name: str) -> list[tuple[int, int, str]]:
    pieces = re.split(r"(\d+)", name)
    return [(0, int(p), p) if p.isdigit() else (1, 0, p) for p in pieces if p]


@contextmanager
def reading(path: Path) -> Iterator[None]:
    """What polars makes of a damaged file is an `InputError` that names it."""
    try:
        yield
    except (pl.exceptions.PolarsError, pl.exceptions.PanicException, OSError, OverflowError) as error:
        reason = " ".join(str(error).split())[:200] or type(error).__name__
        raise InputError(f"{path}: cannot be read as Parquet: {reason}") from error


def scan(path: Path, columns: Sequence[str]) -> pl.LazyFrame:
    """Some columns of a file; `InputError` names those that it lacks."""
    with reading(path):
        # a folder's name (id_part=3) is no column here
        frame = pl.scan_parquet(path, glob=False, hive_partitioning=False)
        known = frame.collect_schema()
    absent = [name for name in columns if name not in known]
    if absent:
        raise InputError(f"{path}: has no column {', '.join(absent)}; it has {', '.join(known)[:300]}")
    return frame.select(columns)


def length(path: Path, columns: Sequence[str]) -> int:
    """Rows of a file."""
    frame = scan(path, columns)
    with reading(path):
        return int(frame.select(pl.len()).collect().item())


def slices(path: Path, columns: Sequence[str], n_rows: int, keep: pl.Expr | None = None) -> Iterator[pl.DataFrame]:
    """The rows of a file for which an expression holds, a million at a time."""
    frame = scan(path, columns)
    with reading(path):
        for start in range(0, n_rows, SLICE_ROWS):
            part = frame.slice(start, SLICE_ROWS) if n_rows > SLICE_ROWS else frame
            table = (part if keep is None else part.filter(keep)).collect()
            if table.height:
                yield table
