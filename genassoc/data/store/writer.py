"""Writing a store: rows in order, a shard at a time, with a journal that a killed run resumes from.

Everything is built in a folder ``wip_<name>`` beside the store and renamed at the end, so a store that has its name
is whole. In it::

    store/                     the Zarr group
    parts/part-00000.npz       what the variants of shard 0 are
    parts/journal.jsonl        one line a finished shard, written after its files have reached the disk
    parts/lock                 held while a process writes

A shard is written by a thread of its own while the next one fills (`genassoc.data.store.part_writer`). A journal line says
where reading resumes: the origin of the rows (as the source describes it) and how many rows from there are already in the
store. What the bytes of a store are depends on its rows alone: not on how they were cut when they came, nor on how often
the writing was interrupted.
"""

import errno
import fcntl
import os
import shutil
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from itertools import takewhile
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from genassoc.data import schema
from genassoc.data.store.arrays import CALLS, Contents, StoreArrays
from genassoc.data.store.folder import read_attributes, work_folder
from genassoc.data.store.location import LocalLocation
from genassoc.data.store.part_writer import JOURNAL, PartWriter, part_name
from genassoc.data.store.parts import PartTable, journal_line, read_journal, rechunked, runs, write_durably
from genassoc.data.store.pieces import Piece, hash_of
from genassoc.data.store.variant_columns import VariantColumns
from genassoc.errors import InputError, OutputError, StoreError
from genassoc.shapes import UInt8Array, packed_bytes

if TYPE_CHECKING:
    import polars as pl

    from genassoc.data.block import Block, DosageRows

_OURS = {"store", "parts"}


class StoreWriter:
    """Writes a store, or continues an interrupted one.

    Parameters
    ----------
    path : str or Path
        The store to be; nothing may be there unless ``overwrite`` and it is a store.
    sample_ids : sequence of str
        N names.
    identity : dict
        What makes this writing the same as an interrupted one (JSON): sources and parameters.
    overwrite : bool
        Replace a store that is there, at the very end.
    block_variants : int or None
        Variants a chunk; by `schema.block_variants` if None.
    ahead : bool
        Fill a part while the one before is written: twice the memory.
    resume : bool
        Go on with an interrupted writing of the same identity; else begin anew.
    contents : Contents
        What rows may have beside calls.

    Attributes
    ----------
    origin : dict or None
        Where the rows after those come from, as `append` was told; None at the beginning.
    rows_of_origin : int
        Rows from ``origin`` on that are already in the store.
    resumed, discarded : bool
        An interrupted writing with the same (resumed) or another identity (discarded) was there.

    Raises
    ------
    OutputError
        The folder cannot be written, something is in the way, or another process writes it.
    """

    def __init__(
        self,
        path: str | Path,
        sample_ids: Sequence[str],
        identity: dict[str, Any],
        *,
        overwrite: bool = False,
        block_variants: int | None = None,
        resume: bool = True,
        ahead: bool = True,
        contents: Contents = CALLS,
    ) -> None:
        self.path = Path(path)
        self.sample_ids = [str(name) for name in sample_ids]
        n_samples = len(self.sample_ids)
        self.contents = _checked(self.path, contents)
        self.block_variants = block_variants or schema.block_variants(n_samples, contents.dosages)
        self._version = schema.DOSAGES_VERSION if contents.dosages else schema.CALLS_VERSION
        self.identity: dict[str, Any] = {
            "format_version": self._version,
            "block_variants": self.block_variants,
            "blocks_per_shard": schema.BLOCKS_PER_SHARD,
            "samples": hash_of(*(name.encode() for name in self.sample_ids)),
            "source": identity,
        }
        if self.contents != CALLS:  # of a store of calls there was never anything to say
            self.identity |= {
                "probabilities": self.contents.probabilities,
                "annotations": list(self.contents.annotations),
            }
        self.overwrite, self._ahead = overwrite, ahead
        check_output(self.path, overwrite)
        self._work = work_folder(self.path)
        self._parts: list[dict[str, Any]] = []
        self.resumed = self.discarded = False
        with self._writing():
            self._lock_folder()
        try:
            with self._writing():
                self._begin(resume)
        except BaseException:
            self._lock.close()
            if not self._parts:
                shutil.rmtree(self._work, ignore_errors=True)
            raise
        self._n_rows = sum(part["rows"] for part in self._parts)
        self._parts_begun = len(self._parts)
        self.origin: dict[str, Any] | None = self._parts[-1]["origin"] if self._parts else None
        self.rows_of_origin: int = self._parts[-1]["used"] if self._parts else 0
        self._rows = self._writer.new_part(self._parts_begun)
        # (origin, its rows before) of the rows appended last
        self._last: tuple[dict[str, Any] | None, int] = (self.origin, self.rows_of_origin)

    def _lock_folder(self) -> None:
        """Make the work folder this process' own."""
        if self._work.exists() and not {entry.name for entry in self._work.iterdir()} <= _OURS:
            raise OutputError(f"{self._work}: is in the way and holds files of others; move it elsewhere")
        parts = self._work / "parts"
        parts.mkdir(parents=True, exist_ok=True)
        self._lock = (parts / "lock").open("w")
        try:
            fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            if error.errno in (errno.EAGAIN, errno.EACCES):
                self._lock.close()
                raise OutputError(f"{self.path}: another process is writing it now; wait for it or stop it") from None
            # file systems without locks: go on unlocked

    def _begin(self, resume: bool) -> None:
        """Continue with the parts in the work folder, or clear it."""
        parts = self._work / "parts"
        journal = parts / JOURNAL
        identity, found = read_journal(journal)
        if resume and identity == self.identity:
            self._parts = [part for _, part in takewhile(lambda part: self._is_sound(*part), enumerate(found))]
        self.resumed, self.discarded = bool(self._parts), bool(found) and not self._parts
        if not self._parts:
            shutil.rmtree(self._work / "store", ignore_errors=True)
        for part in parts.glob("part-*"):  # of an earlier version's too
            if part.name not in {part_name(number) for number in range(len(self._parts))}:
                part.unlink()
        lines = [{"identity": self.identity}, *self._parts]
        write_durably(journal, b"".join(map(journal_line, lines)))
        self._arrays = StoreArrays(self._work / "store", self.sample_ids, self.block_variants, self.contents)
        self._writer = PartWriter(self._arrays, parts, self.block_variants, len(self.sample_ids))

    def _is_sound(self, number: int, part: dict[str, Any]) -> bool:
        """Whether the files of a part match its line in the journal."""
        store, table = self._work / "store", self._work / "parts" / part_name(number)
        location = LocalLocation(store)
        try:
            return (
                (store / schema.GENOTYPES / "c" / str(number) / "0").exists()
                and all(location.size(key) == size for key, (size, _) in part.get("pieces", {}).items())
                and hash_of(table.read_bytes()) == part.get("table")
            )
        except (OSError, StoreError):
            return False

    def _table(self, number: int) -> PartTable:
        """The table of a part's variants, as it was written."""
        content = self._writer.table(number).read_bytes()
        if hash_of(content) != self._parts[number]["table"]:
            raise OutputError(
                f"{self._writer.table(number)}: was damaged since it was written; run the same command again, which carries on "
                "from the parts before it"
            )
        return PartTable.from_bytes(content)

    def append(
        self,
        packed: UInt8Array,
        haploid: UInt8Array | None,
        variants: "pl.DataFrame | VariantColumns",
        origin: dict[str, Any] | None = None,
        origin_rows: int = 0,
        *,
        dosages: "DosageRows | None" = None,
    ) -> None:
        """Append rows, in order.

        Parameters
        ----------
        packed : uint8 (V, B)
        haploid : uint8 (V, ceil(N / 8)) or None
        variants : polars.DataFrame or VariantColumns
            V rows in the columns of `GenotypeStore.variants`.
        origin : dict or None
            From where these rows can be read again (JSON).
        origin_rows : int
            Rows of ``origin`` before the first of these.
        dosages : DosageRows or None
            Dosages of those of the V rows that have some.

        Raises
        ------
        InputError
            A dosage cannot be one.
        OutputError
            The disk is full or fails. What the journal holds is kept.
        """
        columns = variants if isinstance(variants, VariantColumns) else VariantColumns.of(variants)
        self._check_expected(dosages, columns)
        done = 0
        while done < len(packed):
            bits = None if haploid is None else haploid[done:]
            copies = None if dosages is None else dosages[done:]
            with self._writing():
                done += self._writer.put(self._rows, packed[done:], bits, columns[done:], copies)
            self._last = (origin, origin_rows + done)
            if self._rows.is_full:
                self._flush()

    def _check_expected(self, dosages: "DosageRows | None", columns: VariantColumns) -> None:
        """Raise ``ValueError`` for what the store has no array for: it would be lost."""
        if dosages is not None and not self.contents.dosages:
            raise ValueError("rows have dosages, and the store was begun without")
        if dosages is not None and dosages.homozygous is not None and not self.contents.probabilities:
            raise ValueError("rows have probabilities of genotypes, and the store was begun without")
        if unknown := set(columns.annotations).difference(self.contents.annotations):
            raise ValueError(f"rows have the columns {sorted(unknown)}, and the store was begun without")

    def _flush(self) -> None:
        """Begin to write the waiting rows as one part, once the part before is written."""
        self._settle()
        self._writer.begin(self._parts_begun, self._rows, *self._last)
        self._parts_begun += 1
        self._n_rows += self._rows.filled
        self._rows = self._writer.new_part(self._parts_begun)
        if not self._ahead:
            self._settle()

    def _settle(self) -> None:
        """Wait for the part that is being written."""
        with self._writing():
            part = self._writer.result()
        if part is not None:
            self._parts.append(part)
            self.origin, self.rows_of_origin = part["origin"], part["used"]

    @property
    def n_rows(self) -> int:
        """Rows that are safe on disk; waits for a part being written. More rows may wait for their shard to fill."""
        self._settle()
        return self._n_rows

    def finish(self, attributes: dict[str, Any]) -> None:
        """Write the rest, assemble the variants' arrays, give the store its name.

        Parameters
        ----------
        attributes : dict
            Beside the format's own: sources, parameters, summary (JSON; no times, so that equal inputs give equal bytes).

        Raises
        ------
        OutputError
            The disk is full or fails; or the store's name was taken meanwhile.
        """
        if self._rows.filled:
            self._flush()
        self._settle()
        self._writer.close()
        with self._writing():
            contigs = self._write_metadata()
            mandatory = {
                "format": schema.FORMAT_NAME,
                "format_version": self._version,
                "block_variants": self.block_variants,
                "fingerprint": hash_of(
                    *(name.encode() for name in self.sample_ids),
                    *(part["digest"].encode() for part in self._parts),
                ),
                "haploid_chunks": runs([chunk for part in self._parts for chunk in part["haploid_chunks"]]),
                "identity": self.identity,
            }
            if self.contents.dosages:
                for name in ("dosage_chunks", "probability_chunks"):
                    mandatory[name] = runs([chunk for part in self._parts for chunk in part[name]])
            if self.contents.annotations:
                mandatory["annotations"] = list(self.contents.annotations)
            written = {key: Piece(*piece) for part in self._parts for key, piece in part.get("pieces", {}).items()}
            self._arrays.complete(contigs, {**attributes, **mandatory}, written)
            self._rename()

    def _write_metadata(self) -> list[str]:
        """Assemble the variants' arrays from the parts; contigs in order of first appearance."""
        contigs: dict[str, int] = {}
        start = 0
        for table in rechunked(map(self._table, range(len(self._parts)))):
            variants = table.columns
            numbers = [contigs.setdefault(name, len(contigs)) for name, _ in variants.contigs]
            lengths = [length for _, length in variants.contigs]
            columns: dict[str, Any] = {
                schema.VARIANT_CONTIG: np.repeat(np.array(numbers, dtype=np.int32), lengths),
                schema.VARIANT_POSITION: variants.positions,
                schema.VARIANT_ID: [variants.rsid],
                schema.VARIANT_ALLELE: [variants.other_allele, variants.effect_allele],
                schema.VARIANT_RECORD: variants.record,
                schema.VARIANT_ALT_INDEX: variants.alt_index,
                schema.VARIANT_CALL_COUNTS: table.counts,
            }
            if table.steps is not None and table.sums is not None:
                columns |= {schema.VARIANT_STEPS: table.steps, schema.VARIANT_SUMS: table.sums}
            self._arrays.write_metadata(start, columns, self._n_rows)
            start += len(variants)
        return list(contigs)

    def _rename(self) -> None:
        check_output(self.path, self.overwrite)
        old = self._work / "parts" / "replaced"
        if self.path.exists():
            shutil.rmtree(old, ignore_errors=True)
            self.path.rename(old)
        (self._work / "store").rename(self.path)
        self._lock.close()
        shutil.rmtree(self._work, ignore_errors=True)

    def close(self) -> None:
        """Stop writing. Parts in the journal are kept for a rerun; if there are none, nothing is left."""
        with suppress(OutputError, InputError):  # why writing stops is known already
            self._settle()
        self._writer.close()
        self._rows.close()
        self._lock.close()
        if not self._parts:
            shutil.rmtree(self._work, ignore_errors=True)

    def abandon(self) -> None:
        """Stop writing and leave nothing."""
        with suppress(OutputError, InputError):
            self._settle()
        self._parts = []
        self.close()

    @property
    def n_rows_appended(self) -> int:
        """Rows appended, those that wait for their shard included."""
        return self._n_rows + self._rows.filled

    @staticmethod
    def clear_work(path: Path) -> None:
        """Remove the work folder of a run that was killed after renaming the store and before cleaning up."""
        shutil.rmtree(work_folder(path), ignore_errors=True)

    @contextmanager
    def _writing(self) -> Iterator[None]:
        """Turn errors of the disk into messages."""
        try:
            yield
        except OSError as error:
            kept = "; what is written so far is kept, and a rerun resumes" if self._parts else ""
            if error.errno in (errno.ENOSPC, errno.EDQUOT):
                raise OutputError(f"{self.path}: the disk is full ({error.strerror}): free some space{kept}") from error
            reason = error.strerror or str(error)
            raise OutputError(f"{self.path}: cannot be written: {reason}{kept}") from error


def _checked(path: Path, contents: Contents) -> Contents:
    """Contents with each further column once; `OutputError` where two would have one file."""
    kept = tuple(dict.fromkeys(contents.annotations))
    arrays = [schema.annotation_array(name).lower() for name in kept]
    if twice := [name for name, array in zip(kept, arrays) if arrays.count(array) > 1]:
        raise OutputError(
            f"{path}: the columns {', '.join(twice)} differ in upper and lower case alone, and so would files of theirs, which some disks "
            "take for one: keep one of them"
        )
    return Contents(contents.dosages, contents.dosages and contents.probabilities, kept)


def check_output(path: Path, overwrite: bool) -> None:
    """Raise `OutputError` where a store cannot be made at ``path``: before hours are spent reading."""
    parent = path.absolute().parent
    if not parent.is_dir():
        fault = "is no folder" if parent.exists() else "does not exist; make it first"
        raise OutputError(f"{path}: cannot be written: the folder {parent} {fault}")
    if not os.access(parent, os.W_OK | os.X_OK):
        raise OutputError(f"{path}: cannot be written: no permission to write in {parent}; choose another folder")
    if path.exists():
        if read_attributes(path) is None:
            raise OutputError(f"{path}: something that is no genassoc store is there; choose another name")
        if not overwrite:
            raise OutputError(
                f"{path}: a store made of other inputs or parameters, or by another version, is there; replace it "
                "(--force, overwrite=True), or name another store"
            )


def write_store(
    path: str | Path,
    sample_ids: Sequence[str],
    blocks: "Iterable[Block]",
    variants: "pl.DataFrame",
    *,
    attributes: dict[str, Any] | None = None,
    overwrite: bool = False,
    block_variants: int | None = None,
    contents: Contents = CALLS,
) -> None:
    """Write a store from blocks in memory.

    Parameters
    ----------
    path, sample_ids, overwrite, block_variants, contents
        As in `StoreWriter`.
    blocks : iterable of GenotypeBlock or DosageBlock
        V variants in all, in order, of any lengths. Dosages are of 16 bits.
    variants : polars.DataFrame
        V rows; ``chromosome``, ``base_pair_location``, ``effect_allele``, ``other_allele``; ``rsid`` (null),
        ``record`` (the row's number) and ``alt_index`` (1) may be left out. Further columns are those of ``contents``.
    attributes : dict or None
        Kept in the store (JSON).

    Raises
    ------
    OutputError
        The folder cannot be written.
    ValueError
        Blocks and variants do not fit each other.
    """
    import polars as pl

    columns = {
        "rsid": pl.lit(None, dtype=pl.String),
        "record": pl.int_range(pl.len(), dtype=pl.Int64),
        "alt_index": pl.lit(1, dtype=pl.Int32),
    }
    variants = variants.with_columns(**{k: v for k, v in columns.items() if k not in variants.columns})
    identity = {"written": "from memory"}
    writer = StoreWriter(
        path, sample_ids, identity, overwrite=overwrite, block_variants=block_variants, resume=False, contents=contents
    )
    done = 0
    try:
        for block in blocks:
            rows = variants[done : done + block.n_variants]
            if block.n_samples != len(sample_ids) or len(rows) != block.n_variants:
                raise ValueError(
                    f"a block of {block.n_variants} variants x {block.n_samples} samples does not fit "
                    f"{len(variants) - done} variants left x {len(sample_ids)} samples"
                )
            packed, copies = _stored(block)
            writer.append(packed, block.haploid, rows, dosages=copies)
            done += block.n_variants
        if done != len(variants) or done == 0:
            raise ValueError(f"blocks hold {done} variants, the table {len(variants)}; at least one is needed")
        writer.finish(attributes or {})
    except BaseException:
        writer.abandon()
        raise


def _stored(block: "Block") -> "tuple[UInt8Array, DosageRows | None]":
    """Calls and dosages of a block, as a store takes them."""
    from genassoc.data.block import DosageRows, GenotypeBlock
    from genassoc.kernels.genotypes.nearest_calls import hard_calls

    if isinstance(block, GenotypeBlock):
        return block.packed, None
    if block.values.dtype != np.uint16:
        raise ValueError(f"a store keeps dosages of 16 bits, not of {8 * block.values.dtype.itemsize}")
    values = np.ascontiguousarray(block.values, dtype=np.uint16)
    steps = np.full(block.n_variants, block.scale, np.uint16)
    packed = np.empty((block.n_variants, packed_bytes(block.n_samples)), np.uint8)
    hard_calls(values, steps, packed)
    return packed, DosageRows(steps, values, block.homozygous)
