"""What the record beside a list of predictions says of the files that the list names: of which traits they are, and in which numbers."""

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from genassoc.data.integrity import FileDigest
from genassoc.data.sidecar import Record, read_record

_KIND = "whole_genome"  # of the model in records of genassoc's own predictions


@dataclass(frozen=True)
class RecordedTraits:
    """What predictions were made for.

    Attributes
    ----------
    outcome : str
        What the traits are, as models' ``outcome``.
    ranks : bool
        Whether they were replaced by normal scores of their ranks.
    """

    outcome: str
    ranks: bool


def recorded_traits(
    files: Iterable[Path], listed: Path | None = None
) -> tuple[list[tuple[Path, RecordedTraits]], list[str]]:
    """What records say of ``.loco`` files, and notes of records that are not theirs; of files without a record, as REGENIE's, nothing.

    Parameters
    ----------
    files : iterable of Path
    listed : Path, optional
        The list that names them; else records of lists in their folders are read, if any names them.

    Raises
    ------
    InputError
        A record cannot be read, or was changed.
    """
    known: dict[Path, Record] = {}
    found: list[tuple[Path, RecordedTraits]] = []
    notes: list[str] = []
    for file in files:
        lists = [listed] if listed is not None else sorted(file.parent.glob("*pred.list"))
        for path in lists:
            if path not in known:
                known[path] = read_record(path)
            record = known[path]
            of = _traits_of(record)
            if of is None:
                continue
            if _is_of(record, path, file):
                found.append((file, of))
                break
            if listed is not None:
                notes.append(
                    f"{record.path} is the record of other predictions than {file.name}: what these are of is not known from it"
                )
    return found, list(dict.fromkeys(notes))


def _traits_of(record: Record) -> RecordedTraits | None:
    """What the model of a record is of; None of a record of anything else."""
    parameters = record.content.get("parameters")
    model = parameters.get("model") if isinstance(parameters, dict) else None
    if not isinstance(model, dict) or model.get("kind") != _KIND or not isinstance(model.get("outcome"), str):
        return None
    return RecordedTraits(model["outcome"], model.get("rank_normalise") is True)


def _is_of(record: Record, listed: Path, file: Path) -> bool:
    """Whether a record is of this list and this file: other programs write files of the same names."""
    files = record.content.get("files")
    written = files.get(file.name) if isinstance(files, dict) else None
    if not isinstance(written, dict):
        return False
    try:
        same_size = file.stat().st_size == written.get("bytes")
        return same_size and listed.is_file() and FileDigest.of(listed) == record.digest
    except OSError:
        return False
