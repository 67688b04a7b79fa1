"""Lists of variants in files: ids one a line, or tables of places and alleles; which variants of a store they name."""

import gzip
import io
import zlib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import polars as pl

from genassoc.data.cohort.contigs import contigs_of
from genassoc.data.cohort.kept_variants import KeptVariants
from genassoc.data.cohort.matching import first_few
from genassoc.data.cohort.variant_places import variant_numbers
from genassoc.data.cohort.variant_selection import variant_ids
from genassoc.data.output import replacing
from genassoc.data.store.store import GenotypeStore
from genassoc.errors import InputError
from genassoc.shapes import BoolArray, Int64Array

if TYPE_CHECKING:
    from genassoc.data.cohort.cohort import Cohort

COLUMNS = ("chromosome", "base_pair_location", "rsid", "other_allele", "effect_allele")
# Names of these columns in the tables of other programs, in small letters.
_NAMES: Mapping[str, tuple[str, ...]] = {
    "chromosome": ("chromosome", "#chrom", "chrom", "chr", "#chr"),
    "base_pair_location": ("base_pair_location", "position", "pos", "bp", "genpos"),
    "rsid": ("rsid", "id", "variant_id", "snp", "snpid"),
    "other_allele": ("other_allele", "ref", "allele0"),
    "effect_allele": ("effect_allele", "alt", "allele1"),
}
_KEY = ("chromosome", "base_pair_location", "other_allele", "effect_allele")
_MOST = 4 * 2**30  # bytes of text, unpacked: 100 million ids
_VARIANTS = 65_536  # of the store read at a time


def read_variants(path: str | Path, store: "GenotypeStore | Cohort | str | Path") -> KeptVariants:
    """The variants of a store that a file names.

    Parameters
    ----------
    path : path
        Text (``.gz`` too) or parquet: a table with chromosome, position and both alleles under genassoc's, VCF's or PLINK's names; or one id
        (rsid) a line, as PLINK's ``.prune.in``. Columns of a table are separated by tabs, commas or blanks.
    store : GenotypeStore, Cohort, or the path of a store
        A place is found however the chromosome is spelled; alleles must be the same, in the same order.

    Raises
    ------
    InputError
        The file is no such list, or names no variant of the store: shows near misses.
    """
    path = Path(path)
    store = GenotypeStore.of(getattr(store, "store", store))
    table = _table(path)
    if not table.height:
        raise InputError(f"{path} names no variant: it has a header and nothing below it, or no id")
    if set(_KEY) <= set(table.columns):
        return _by_place(path, table, store)
    return _by_id(path, table["rsid"], store)


def write_variants(path: Path, kept: KeptVariants) -> None:
    """Write what `read_variants` reads, whole or not at all: a table for ``.tsv``, ``.tsv.gz`` and ``.parquet``, else ids, one a line.

    Raises
    ------
    InputError
        Ids are asked for, and some variants have none, or share one with a variant that is not kept.
    """
    from genassoc.data.result_table import write_table

    table = kept.table()
    if path.name.endswith((".tsv", ".tsv.gz", ".parquet")):
        write_table(path, [table])
        return
    ids = table["rsid"]
    nameless = int(ids.is_null().sum()) + int((ids == ".").sum())
    if nameless:
        raise InputError(
            f"{path}: {nameless:,} of the variants kept have no id: write a table of places and alleles, as {path.stem}.tsv"
        )
    found = read_ids(ids, kept.store)
    if not np.array_equal(found[0], kept.mask):
        raise InputError(
            f"{path}: some ids are of several variants, not all of which are kept: write a table, as {path.stem}.tsv"
        )
    with replacing(path) as file:
        file.write(("\n".join(ids.to_list()) + "\n").encode())


def _table(path: Path) -> pl.DataFrame:
    """The columns of `COLUMNS` that a file has; a list of ids is a table of ``rsid``."""
    if path.exists() and not path.is_file():
        raise InputError(f"{path} is no plain file: a list of variants is text or parquet")
    try:
        if path.suffix == ".parquet":
            lazy = pl.scan_parquet(path, glob=False)  # a name with [1] in it is no pattern
            names = _renamed(lazy.collect_schema().names())
            found = lazy.select(list(names)).collect().rename(names)
            return _checked(path, found)
        text = _text(path)
    except OSError as error:
        raise InputError(f"{path} cannot be read: {error.strerror or error}") from error
    except pl.exceptions.PolarsError as error:
        raise InputError(f"{path} is no parquet table: {error}") from error
    lines = iter(io.StringIO(text))
    header = next((line for line in lines if line.strip() and not line.startswith("##")), "").strip("\r\n")
    if not header.strip():
        raise InputError(f"{path} is empty: it should name variants, one a line")
    mark = "\t" if "\t" in header else "," if "," in header else None
    fields = [field.strip() for field in header.split(mark)]
    names = _renamed(fields)
    if set(names.values()) >= set(_KEY) or (len(fields) > 1 and "rsid" in names.values()):
        rows = [line.strip("\r\n").split(mark) for line in lines if line.strip()]
        ragged = next((n for n, row in enumerate(rows) if len(row) != len(fields)), None)
        if ragged is not None:
            raise InputError(
                f"{path}: row {ragged + 1} below the header has {len(rows[ragged])} fields, the header has {len(fields)}"
            )
        at = {names[name]: fields.index(name) for name in names}
        columns = {name: [row[k].strip() for row in rows] for name, k in at.items()}
        return _checked(path, pl.DataFrame(columns, schema=dict.fromkeys(columns, pl.String)))
    if len(fields) > 1:
        raise InputError(
            f"{path}: the first line has {len(fields)} fields ({first_few(fields)}), which are not the names of the columns of variants: "
            f"chromosome, position, ref and alt (or {', '.join(_KEY)}), or id. A list of ids has one a line"
        )
    first = [] if names and fields[0].lower() in _NAMES["rsid"] else [fields[0]]
    ids = [*first, *(line.strip() for line in lines)]
    several = next((name for name in ids if len(name.split()) > 1), None)
    if several is not None:
        raise InputError(f"{path}: '{several[:60]}' is more than one id: a list has one a line")
    return pl.DataFrame({"rsid": pl.Series([name for name in ids if name], dtype=pl.String)})


def _text(path: Path) -> str:
    """The text of a file, unpacked, of at most `_MOST` bytes."""
    with path.open("rb") as file:
        packed = file.read(2) == b"\x1f\x8b"
    try:
        with gzip.open(path) if packed else path.open("rb") as file:
            raw = file.read(_MOST + 1)
    except (EOFError, zlib.error, gzip.BadGzipFile) as error:
        raise InputError(f"{path} is damaged: it cannot be unpacked ({error})") from error
    if len(raw) > _MOST:
        raise InputError(f"{path} has more than {_MOST // 2**30} GiB of text, which is no list of variants")
    try:
        text = raw.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise InputError(
            f"{path} is no text in UTF-8 (byte {error.start:,}): a list of variants is text or parquet"
        ) from error
    if "\0" in text:
        raise InputError(
            f"{path} is no text (byte {raw.index(bytes(1)):,} is zero): a list of variants is text or parquet"
        )
    return text


def _renamed(columns: Sequence[str]) -> dict[str, str]:
    """Columns of a table that name variants -> ours; of two with one meaning the first of the table."""
    found: dict[str, str] = {}
    for name in columns:
        ours = next((ours for ours, names in _NAMES.items() if name.strip().lower() in names), None)
        if ours is not None and ours not in found.values():
            found[name] = ours
    return found


def _checked(path: Path, table: pl.DataFrame) -> pl.DataFrame:
    """Texts, and positions as whole numbers."""
    if not {"rsid"} <= set(table.columns) and not set(_KEY) <= set(table.columns):
        raise InputError(f"{path} has neither {', '.join(_KEY)} nor ids (rsid): it names no variants")
    table = table.with_columns(pl.col(name).cast(pl.String) for name in table.columns)
    if "base_pair_location" in table.columns:
        places = table["base_pair_location"].cast(pl.Int64, strict=False)
        if places.null_count():
            row = int(places.is_null().arg_max() or 0)
            raise InputError(
                f"{path}: row {row + 1} has the position '{table['base_pair_location'][row]}', which is no whole number"
            )
        table = table.with_columns(places)
    return table


def _by_place(path: Path, table: pl.DataFrame, store: GenotypeStore) -> KeptVariants:
    """Variants by chromosome, position and alleles."""
    contigs = contigs_of(store)
    spelled = {
        name: (contigs.same(name) or [name])[0] for name in table["chromosome"].unique().to_list() if name is not None
    }
    wanted = table.select(_KEY).with_columns(pl.col("chromosome").replace(spelled))
    numbers, counts = variant_numbers(store, wanted)
    mask = np.zeros(store.n_variants, dtype=bool)
    mask[numbers[numbers >= 0]] = True
    notes = _twice(
        path,
        [
            f"{a}:{b}:{c}:{d}"
            for a, b, c, d in wanted.filter(wanted.is_duplicated()).unique(maintain_order=True).iter_rows()
        ],
    )
    several = int((counts > 1).sum())
    if several:
        notes.append(f"{path}: {several:,} of its variants are in the store more than once; the first is kept")
    lost = np.flatnonzero(numbers < 0)
    if lost.size:
        missing = wanted[lost]
        swapped = missing.rename({"other_allele": "effect_allele", "effect_allele": "other_allele"})
        near, _ = variant_numbers(store, swapped.select(_KEY))
        n_swapped = int((near >= 0).sum())
        shown = first_few([f"{a}:{b}:{c}:{d}" for a, b, c, d in missing.head(4).iter_rows()])
        hint = f"; {n_swapped:,} of them are there with their alleles exchanged" if n_swapped else ""
        lacking = [name for name, same in spelled.items() if not contigs.same(name)]
        hint += f"; the store has no chromosome {first_few(lacking)}" if lacking else ""
        notes.append(_absent(path, lost.size, table.height, f"{shown}{hint}", mask))
    return KeptVariants(store, mask, f"variants of {path.name}", {"not in the list": int((~mask).sum())}, tuple(notes))


def read_ids(ids: pl.Series, store: GenotypeStore) -> tuple[BoolArray, Int64Array]:
    """Variants of the store (n_variants,) whose id, or whose chromosome_position_ref_alt, is one of ``ids``; and how many variants each of these names."""
    wanted = pl.DataFrame({"id": ids}).with_row_index("at").unique("id", keep="first")
    mask, counts = np.zeros(store.n_variants, dtype=bool), np.zeros(len(ids), dtype=np.int64)
    for start in range(0, store.n_variants, _VARIANTS):
        names = store.variants(start, min(start + _VARIANTS, store.n_variants)).select("rsid", variant_ids())
        both = names.with_row_index("n").unpivot(index="n", value_name="name").select("n", "name").drop_nulls().unique()
        found = both.join(wanted, left_on="name", right_on="id", how="inner")
        mask[start + found["n"].to_numpy()] = True
        np.add.at(counts, found["at"].to_numpy(), 1)
    return mask, counts


def _by_id(path: Path, ids: pl.Series, store: GenotypeStore) -> KeptVariants:
    """Variants by their rsid, or by chromosome_position_ref_alt as in results: of an id that several have, all."""
    ids = ids.drop_nulls()
    ids = ids.filter(ids != ".")
    if not len(ids):
        raise InputError(f"{path} names no variant: it has no id, or '.' alone")
    mask, counts = read_ids(ids, store)
    twice = ids.filter(ids.is_duplicated()).unique(maintain_order=True).to_list()
    notes = _twice(path, twice)
    several = ids.filter(pl.Series(counts > 1)).to_list()
    if several:
        notes.append(f"{path}: {len(several):,} ids are of several variants, which are all kept: {first_few(several)}")
    first = ids.is_first_distinct().to_numpy()
    lost = ids.filter(pl.Series((counts == 0) & first)).to_list()
    if lost:
        notes.append(_absent(path, len(lost), int(first.sum()), first_few(lost) + _near_ids(lost, store), mask))
    return KeptVariants(store, mask, f"variants of {path.name}", {"not in the list": int((~mask).sum())}, tuple(notes))


def _near_ids(lost: list[str], store: GenotypeStore) -> str:
    """How ids of the store look, if the ids that are not there look otherwise."""
    shown = store.variants(0, min(store.n_variants, 4))["rsid"].to_list()
    folded = {name.strip().casefold() for name in lost[:100_000]}
    near = 0
    for start in range(0, store.n_variants, _VARIANTS):
        names = store.variants(start, min(start + _VARIANTS, store.n_variants))["rsid"].drop_nulls()
        near += int(names.str.to_lowercase().is_in(list(folded)).sum())
    alike = f"; {near:,} would be there if capitals did not matter" if near else ""
    return f"{alike}; ids of the store are {', '.join('absent' if name is None else name for name in shown)}, ..."


def _twice(path: Path, names: list[str]) -> list[str]:
    return [f"{path} names {len(names):,} variants more than once: {first_few(names)}"] if names else []


def _absent(path: Path, n: int, n_all: int, shown: str, mask: BoolArray) -> str:
    """The note on variants that are not in the store; an error if none is.

    Raises
    ------
    InputError
    """
    said = f"{path}: {n:,} of {n_all:,} variants are not in the store: {shown}"
    if not mask.any():
        raise InputError(
            f"{said}. None is left: is it a list of this store's variants, on the same build, with the same alleles?"
        )
    return said
