"""The list of samples beside a BED or a PGEN: .fam, .psam."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from genassoc.errors import InputError

_FAM = ("FID", "IID", "PAT", "MAT", "SEX", "PHENO1")
_LEAST_OF_FAM = 5  # columns: the phenotype may be absent, as plink2 has it
_OWN = ("FID", "IID", "SID", "PAT", "MAT", "SEX")
_SEX = {"1": 1, "M": 1, "m": 1, "2": 2, "F": 2, "f": 2}


@dataclass(frozen=True)
class SampleList:
    """The samples of a file.

    Attributes
    ----------
    sample_ids : tuple of str
        N names, unique.
    sexes : tuple of int
        1 male, 2 female, 0 not stated; empty where the file has no such column.
    family_ids : tuple of str
        The family of each, where the names are of individuals alone and the file has families.
    notes : list of str
        What the summary says of them.
    """

    sample_ids: tuple[str, ...]
    sexes: tuple[int, ...]
    family_ids: tuple[str, ...] = ()
    notes: list[str] = field(default_factory=list)


def read_samples(path: Path, most_bytes: int) -> SampleList:
    """Read a .fam or a .psam.

    Raises
    ------
    InputError
        It is too large, malformed, or names a sample twice.
    """
    try:
        if path.stat().st_size > most_bytes:
            raise InputError(
                f"{path}: has {path.stat().st_size:,} bytes; at most {most_bytes:,} are read of a list of samples"
            )
        text = path.read_bytes().decode("utf-8-sig")
    except OSError as error:
        raise InputError(f"{path}: cannot be read: {error.strerror or error}") from error
    except UnicodeDecodeError as error:
        raise InputError(f"{path}: is not UTF-8 text ({error.reason} at byte {error.start})") from None
    lines = text.split("\n")
    names, first = _column_names(path, lines)
    families, individuals, others, sexes = [], [], [], []
    at = {name: names.index(name) for name in _OWN if name in names}
    extra = [name for name in names if name not in _OWN]
    for number, line in enumerate(lines[first:], start=first + 1):
        fields = line.split()
        if not fields:
            continue
        if len(fields) < len(names):
            raise InputError(
                f"{path}:{number}: has {len(fields)} columns where {len(names)} are expected ({' '.join(names)[:80]})"
            )
        individuals.append(fields[at["IID"]])
        families.append(fields[at["FID"]] if "FID" in at else "0")
        others.append(fields[at["SID"]] if "SID" in at else "0")
        if "SEX" in at:
            sexes.append(_SEX.get(fields[at["SEX"]], 0))
    if not individuals:
        raise InputError(f"{path}: names no samples")
    ids, how = _ids(path, families, individuals, others)
    notes = [f"{path.name}: {how}"] if how else []
    if any(sexes):
        counts = Counter(sexes)
        notes.append(
            f"{path.name}: states the sex of {counts[1]:,} males and {counts[2]:,} females ({counts[0]:,} not stated), which the store "
            "does not keep: give it with the phenotypes (sex=)"
        )
    if extra:
        shown = (
            "the phenotype"
            if extra == ["PHENO1"]
            else f"columns {', '.join(extra[:5])}{', ...' if len(extra) > 5 else ''}"
        )
        notes.append(
            f"{path.name}: {shown} {'are' if shown.startswith('columns') else 'is'} not read: give phenotypes to the analysis as a table"
        )
    known = "FID" in at and ids == individuals
    return SampleList(tuple(ids), tuple(sexes), tuple(families) if known else (), notes)


def _column_names(path: Path, lines: Sequence[str]) -> tuple[list[str], int]:
    """Names of the columns, and the first line of a sample."""
    header = 0
    while header < len(lines) and lines[header].startswith("#"):
        header += 1
        if lines[header - 1].startswith(("#FID", "#IID")):
            break
    if header == 0:
        n = next((len(line.split()) for line in lines if line.split()), 0)
        if 0 < n < _LEAST_OF_FAM:
            raise InputError(
                f"{path}:1: has {n} column{'s' * (n > 1)} and no line of names; a .fam has six: family, sample, father, mother, sex, "
                "phenotype"
            )
        return list(_FAM[:n]), 0
    names = lines[header - 1].split()
    names[0] = names[0].removeprefix("#")
    if names[0] not in ("FID", "IID") or "IID" not in names[:2]:
        raise InputError(f"{path}:{header}: the column names of a .psam begin with #FID IID or #IID")
    twice = [name for name, n in Counter(names).items() if n > 1]
    if twice:
        raise InputError(f"{path}:{header}: column {twice[0][:40]!r} is there twice")
    return names, header


def _ids(path: Path, families: list[str], individuals: list[str], others: list[str]) -> tuple[list[str], str]:
    """One name a sample, and what to say of it: IID; FID_IID where an IID is in several families; with the SID at last."""
    if len(set(individuals)) == len(individuals):
        return individuals, ""
    repeated = [name for name, n in Counter(individuals).items() if n > 1]
    said = f"{len(repeated):,} sample ids are there more than once ({', '.join(repeated[:3])}{', ...' if len(repeated) > 3 else ''})"
    joined = [f"{family}_{individual}" for family, individual in zip(families, individuals)]
    if len(set(joined)) == len(joined):
        return joined, f"{said}, in several families: samples are named FID_IID"
    joined = [f"{name}_{other}" for name, other in zip(joined, others)]
    if len(set(joined)) == len(joined):
        return joined, f"{said}: samples are named FID_IID_SID"
    twice = next(name for name, n in Counter(joined).items() if n > 1)
    individual = individuals[joined.index(twice)]
    raise InputError(
        f"{path}: sample '{individual}' of one family is there twice, so a call could not be told whose it is; rename one "
        "(plink2 --update-ids)"
    )
