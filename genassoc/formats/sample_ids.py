"""Sample ids as a store is to have them: by a file of old and new ids, and by rules."""

from collections.abc import Sequence
from pathlib import Path

from genassoc.data.cohort.id_rules import Rules, unique
from genassoc.errors import InputError

MOST_BYTES = 2**30  # of a file of ids: 20 million lines
_FEW = 3


def read_id_map(path: Path) -> dict[str, str]:
    """Old id -> new id, from lines of two columns (separated by tabs, else blanks); lines that begin with # are left out.

    Raises
    ------
    InputError
        It cannot be read; a line has not two columns; an old id stands twice with different new ones.
    """
    try:
        if path.stat().st_size > MOST_BYTES:
            raise InputError(f"{path}: is larger than {MOST_BYTES >> 20} MB; is it a file of sample ids?")
        text = path.read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"{path}: the file of sample ids cannot be read: {error}") from error
    ids: dict[str, str] = {}
    for number, line in enumerate(text.splitlines(), start=1):
        if not line.strip() or line.startswith("#"):
            continue
        columns = [column.strip() for column in line.split("\t")] if "\t" in line else line.split()
        if len(columns) != 2 or not all(columns):
            raise InputError(f"{path}:{number}: two columns are expected, the old and the new sample id: {line[:60]!r}")
        old, new = columns
        if ids.setdefault(old, new) != new:
            raise InputError(f"{path}:{number}: gives sample '{old}' the id '{new}', an earlier line '{ids[old]}'")
    if not ids:
        raise InputError(f"{path}: has no sample ids")
    return ids


def renamed(
    path: Path, sample_ids: Sequence[str], families: Sequence[str] | None, id_map: Path | None, rules: Rules
) -> tuple[tuple[str, ...], list[str]]:
    """The ids of a file's samples as the store is to have them, and notes on what was changed.

    Parameters
    ----------
    path : Path
        The file, for messages.
    sample_ids : sequence of str
        N ids as they are in the file.
    families : sequence of str or None
        The N samples' families, where the file has them: the rule "fid_iid" joins both.
    id_map : Path or None
        Applied first.
    rules : Rules

    Raises
    ------
    InputError, SampleMismatchError
        The mapping fits no sample; two samples get one id.
    """
    ids, notes = list(sample_ids), []
    if id_map is not None:
        new = read_id_map(id_map)
        ids = [new.get(name, name) for name in sample_ids]
        mapped = sum(name in new for name in sample_ids)
        if not mapped:
            raise InputError(
                f"{id_map}: has none of the sample ids of {path}, which look like {', '.join(sample_ids[:_FEW])}; the first "
                f"column holds old ids, like {', '.join(list(new)[:_FEW])}"
            )
        kept = [name for name in sample_ids if name not in new]
        own = f", {len(kept):,} keep their own ({_few(kept)})" if kept else ""
        absent = len(new) - mapped
        more = f"; {absent:,} of its ids are not in the file" if absent else ""
        notes.append(f"{path.name}: {mapped:,} samples have their ids from {id_map.name}{own}{more}")
        unique(ids, sample_ids, Rules((f"the mapping {id_map.name}",)), str(path))
    if not rules.exact:
        before = ids
        if rules.joins_family:
            if families is None:
                raise InputError(
                    f"{path}: has no family ids, so id_rule = '{rules}' has nothing to join (BED and PGEN have them in .fam and .psam)"
                )
            ids = [
                name if family in ("", "0") else f"{family}_{name}" for family, name in zip(families, ids, strict=True)
            ]
        ids = [rules.key(name, cut=True) for name in ids]
        empty = next((old for old, name in zip(before, ids) if not name.strip()), None)
        if empty is not None:
            raise InputError(f"{path}: id_rule = '{rules}' leaves nothing of sample id '{empty}'")
        unique(ids, before, rules, str(path))
        changed = [(old, name) for old, name in zip(before, ids) if old != name]
        shown = f" ('{changed[0][0]}' became '{changed[0][1]}')" if changed else ""
        notes.append(f"{path.name}: {len(changed):,} of {len(ids):,} sample ids changed, {rules.words}{shown}")
    return tuple(ids), notes


def _few(names: Sequence[str]) -> str:
    return ", ".join(names[:_FEW]) + (", ..." if len(names) > _FEW else "")
