"""Whose genotypes a BGEN holds: named in its header, or in a .sample file of Oxford's form."""

from dataclasses import dataclass
from pathlib import Path

from genassoc.errors import InputError
from genassoc.formats.bgen.header import BgenHeader, check_names

MAX_SAMPLE_BYTES = 2**30
TYPES = frozenset("0DCPB")  # second line: nothing, discrete, continuous, phenotype, binary


@dataclass(frozen=True)
class SampleFile:
    """A .sample file.

    Attributes
    ----------
    path : Path
    sample_ids : tuple of str
        ID_2, or the only id there is.
    other_columns : tuple of str
        What else it says of the samples, which is not read.
    """

    path: Path
    sample_ids: tuple[str, ...]
    other_columns: tuple[str, ...]


def read_sample_file(path: Path, max_bytes: int = MAX_SAMPLE_BYTES) -> SampleFile:
    """Read the ids of a .sample file: two lines of names and types, then a line a sample.

    Raises
    ------
    InputError
        It cannot be read or is none.
    """
    try:
        if path.stat().st_size > max_bytes:
            raise InputError(f"{path}: has {path.stat().st_size:,} bytes; a .sample file has at most {max_bytes:,}")
        lines = path.read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"{path}: the .sample file cannot be read: {error}") from error
    columns, types = (line.split() for line in [*lines, "", ""][:2])
    if not columns or len(types) != len(columns) or types[0] != "0" or not set(types) <= TYPES:
        raise InputError(
            f"{path}: is no .sample file: its first line names columns (ID_1 ID_2 missing sex), its second their types (0 0 0 D)"
        )
    # the second of two columns of ids is the person's, the first the family's
    at = 1 if len(columns) > 1 and types[1] == "0" and columns[1].lower() != "missing" else 0
    names = []
    for number, line in enumerate(lines[2:], start=3):
        fields = line.split()
        if not fields:
            continue
        if len(fields) != len(columns):
            raise InputError(f"{path}:{number}: {len(fields)} columns where the first line names {len(columns)}")
        names.append(fields[at])
    check_names(str(path), tuple(names))
    read = {columns[0].lower(), columns[at].lower(), "missing"}
    return SampleFile(path, tuple(names), tuple(name for name in columns if name.lower() not in read))


def beside(path: Path) -> Path | None:
    """The .sample file that belongs to a BGEN: NAME.sample, or the only one whose name begins so (NAME_s487203.sample).

    Raises
    ------
    InputError
        There are several, none of them NAME.sample.
    """
    exact = path.with_suffix(".sample")
    if exact.exists():
        return exact
    near = path.with_name(path.name + ".sample")
    if near.exists():
        return near
    # UK Biobank's names say how many samples there are: ukb22828_c1_b0_v3_s487203.sample
    found = sorted(
        entry for entry in path.parent.glob("*.sample") if entry.name.startswith((path.stem + "_", path.stem + "."))
    )
    if len(found) > 1:
        shown = ", ".join(entry.name for entry in found[:5])
        raise InputError(f"{path}: several .sample files may be its own ({shown}); say which (--sample-file)")
    return found[0] if found else None


def choose_ids(path: Path, header: BgenHeader, given: str | None, notes: list[str]) -> tuple[str, ...]:
    """The ids of the samples of a BGEN: of the file given, else its own, else of the .sample file beside it.

    Raises
    ------
    InputError
        There are none, or not as many as samples.
    """
    if header.sample_ids is not None and given is None:
        check_names(str(path), header.sample_ids)
        _compare(path, header.sample_ids, notes)
        return header.sample_ids
    found = beside(path) if given is None else Path(given)
    if found is None:
        raise InputError(
            f"{path}: names no samples, and {path.with_suffix('.sample').name} is not beside it; say where its .sample file is "
            "(--sample-file)"
        )
    sample_file = read_sample_file(found)
    if len(sample_file.sample_ids) != header.n_samples:
        raise InputError(
            f"{found}: names {len(sample_file.sample_ids):,} samples, {path.name} holds {header.n_samples:,}: it belongs to another "
            "file; say which is its own (--sample-file)"
        )
    notes.append(f"sample ids are those of {found.name}")
    if header.sample_ids is not None and header.sample_ids != sample_file.sample_ids:
        notes.append(f"{path.name}: its own sample ids are not used (the first is {header.sample_ids[0]})")
    _note_columns(sample_file, notes)
    return sample_file.sample_ids


def _compare(path: Path, names: tuple[str, ...], notes: list[str]) -> None:
    """Say what a .sample file beside a BGEN that names its samples has, which is not read."""
    try:
        found = beside(path)
        sample_file = None if found is None else read_sample_file(found)
    except InputError:
        return  # it is not needed
    if sample_file is None:
        return
    if sample_file.sample_ids != names:
        notes.append(
            f"{sample_file.path.name}: names other samples than {path.name} does; its own are used (--sample-file takes those of the file)"
        )
    else:
        _note_columns(sample_file, notes)


def _note_columns(sample_file: SampleFile, notes: list[str]) -> None:
    others = sample_file.other_columns
    if not others:
        return
    shown = ", ".join(others[:6]) + (", ..." if len(others) > 6 else "")
    notes.append(
        f"{sample_file.path.name}: its other columns ({shown}) are not read: the analysis takes this file as a table of phenotypes"
    )
