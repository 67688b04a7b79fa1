"""Parts of a store on their way to the disk: rows are collected in memory, and a separate thread writes them."""

import os
from collections import deque
from collections.abc import Iterator, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from genassoc.data import schema
from genassoc.data.block import DosageRows
from genassoc.data.store.arrays import StoreArrays
from genassoc.data.store.call_counts import count_calls
from genassoc.data.store.parts import PartTable, digest, journal_line, sync, write_durably
from genassoc.data.store.pieces import Piece, Stretches, hash_of
from genassoc.data.store.shard_file import Encoded
from genassoc.data.store.streamed import AnnotationStream, DosageStream, FinishedDosages, Written, chunk_numbers
from genassoc.data.store.variant_columns import VariantColumns
from genassoc.shapes import Int32Array, UInt8Array, packed_bytes

JOURNAL = "journal.jsonl"
_COMPRESSORS = 2  # threads that compress 400 MB of packed calls a second each: more than any reader delivers


def part_name(number: int) -> str:
    """File name of the table of a part."""
    return f"part-{number:05d}.npz"


class Room(NamedTuple):
    """Room for the rows of one chunk: calls (R, B), and bits of haploid calls (R, ceil(N / 8)), which are used where there are any."""

    packed: UInt8Array
    haploid: UInt8Array


class ChunkRows:
    """The rows of one chunk, waiting.

    Attributes
    ----------
    filled : int
    has_haploid : bool
        Whether bits of haploid calls came with any row.
    """

    def __init__(self, room: Room) -> None:
        self._room = room
        self.filled = 0
        self.has_haploid = False

    @property
    def packed(self) -> UInt8Array:
        """Calls of the rows that are there."""
        return self._room.packed[: self.filled]

    @property
    def haploid(self) -> UInt8Array | None:
        """Bits of the rows that are there; None where none came."""
        return self._room.haploid[: self.filled] if self.has_haploid else None

    @property
    def is_full(self) -> bool:
        """Whether there is room for no more."""
        return self.filled == len(self._room.packed)

    def put(self, packed: UInt8Array, haploid: UInt8Array | None) -> int:
        """Copy as many rows as fit; return their number."""
        take = min(len(packed), len(self._room.packed) - self.filled)
        rows = slice(self.filled, self.filled + take)
        self._room.packed[rows] = packed[:take]
        if haploid is not None and not self.has_haploid:
            self._room.haploid[: self.filled] = 0
            self.has_haploid = True
        if self.has_haploid:
            self._room.haploid[rows] = 0 if haploid is None else haploid[:take]
        self.filled += take
        return take

    def released(self) -> Room:
        """Its memory, once nobody needs the rows."""
        return self._room


class Rooms:
    """Memory of chunks, used again and again: fresh memory costs as much as filling it does."""

    def __init__(self, n_rows: int, n_samples: int) -> None:
        self._n_rows, self._n_samples = n_rows, n_samples
        self._free: deque[Room] = deque()

    def take(self) -> Room:
        """Get room; its content is arbitrary."""
        try:
            return self._free.pop()
        except IndexError:
            n, width = self._n_rows, packed_bytes(self._n_samples)
            # what is never written to takes no memory
            return Room(np.empty((n, width), np.uint8), np.empty((n, (self._n_samples + 7) // 8), np.uint8))

    def give(self, room: Room) -> None:
        """Take back room that is no longer in use."""
        self._free.append(room)


class Finished(NamedTuple):
    """What is made of the rows of a chunk, beside their hash."""

    calls: Encoded
    haploid: Encoded | None
    counts: Int32Array


class PartRows:
    """The rows of one part, a chunk after another.

    Attributes
    ----------
    chunks : list of ChunkRows
    runs : list of VariantColumns
        What the rows are.
    filled : int
    finished : list of Future of Finished
        Of the chunks that are full.
    dosages : DosageStream or None
        Where the dosages go; None in a store of calls.
    annotations : dict
        Where each further column of the variants goes.
    """

    def __init__(
        self,
        n_rows: int,
        dosages: DosageStream | None = None,
        annotations: Mapping[str, AnnotationStream] | None = None,
    ) -> None:
        self._n_rows = n_rows
        self.dosages, self.annotations = dosages, dict(annotations or {})
        self.chunks: list[ChunkRows] = []
        self.runs: list[VariantColumns] = []
        self.filled = 0
        self.finished: list[Future[Finished]] = []

    @property
    def is_full(self) -> bool:
        """Whether the part is full."""
        return self.filled == self._n_rows

    def close(self) -> None:
        """Close the files of a part that will not be written."""
        for stream in (self.dosages, *self.annotations.values()):
            if stream is not None:
                stream.close()


class PartWriter:
    """Writes parts in order, one at a time, beside whoever fills the next.

    Parameters
    ----------
    arrays : StoreArrays
        The store's.
    folder : Path
        For the parts' tables and their journal.
    block_variants : int
        Variants a chunk.
    n_samples : int
        N.
    """

    def __init__(self, arrays: StoreArrays, folder: Path, block_variants: int, n_samples: int) -> None:
        self._arrays, self._folder = arrays, folder
        self._n_samples = n_samples
        self._rooms = Rooms(block_variants, n_samples)
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="store")
        self._compressors = ThreadPoolExecutor(_COMPRESSORS, thread_name_prefix="compress")
        self._under_way: Future[dict[str, Any]] | None = None

    def new_part(self, number: int) -> PartRows:
        """An empty part."""
        arrays = self._arrays
        chunk, shard = arrays.dosage_chunk, arrays.shard_variants
        dosages = None
        if arrays.contents.dosages:
            dosages = DosageStream(
                arrays.path, number, self._n_samples, chunk, shard // chunk, probabilities=arrays.contents.probabilities,
                pool=self._compressors,
            )  # fmt: skip
        annotations = {
            name: AnnotationStream(
                arrays.path, number, name, arrays.block_variants, shard // arrays.block_variants, pool=self._compressors
            )
            for name in arrays.contents.annotations
        }
        return PartRows(shard, dosages, annotations)

    def put(
        self,
        rows: PartRows,
        packed: UInt8Array,
        haploid: UInt8Array | None,
        variants: VariantColumns,
        dosages: DosageRows | None = None,
    ) -> int:
        """Copy as many rows as the present chunk of a part has room for; return their number. A chunk that is full is finished."""
        if len(rows.chunks) == len(rows.finished):
            rows.chunks.append(ChunkRows(self._rooms.take()))
        chunk = rows.chunks[-1]
        taken = chunk.put(packed, haploid)
        rows.runs.append(variants[:taken].without_annotations())
        if rows.dosages is not None:
            rows.dosages.put(taken, None if dosages is None else dosages[:taken], haploid)
        for name, stream in rows.annotations.items():
            stream.put(variants.annotations.get(name), taken)
        rows.filled += taken
        if chunk.is_full:
            rows.finished.append(self._compressors.submit(self._finish, chunk))
        return taken

    def _finish(self, chunk: ChunkRows) -> Finished:
        """Compress and count the rows of a chunk."""
        counts = count_calls(chunk.packed, chunk.haploid, self._n_samples)
        return Finished(self._arrays.encode_calls(chunk.packed), self._arrays.encode_haploid(chunk.haploid), counts)

    def begin(self, number: int, rows: PartRows, origin: dict[str, Any] | None, used: int) -> None:
        """Start writing a part. ``rows`` must be left alone."""
        if len(rows.chunks) > len(rows.finished):
            rows.finished.append(self._compressors.submit(self._finish, rows.chunks[-1]))
        self._under_way = self._thread.submit(self.write, number, rows, origin, used)

    def result(self) -> dict[str, Any] | None:
        """Wait for the last part begun and return its line of the journal, once; None if no part is being written.

        Raises
        ------
        OSError
            It could not be written.
        """
        under_way, self._under_way = self._under_way, None
        return None if under_way is None else under_way.result()

    def close(self) -> None:
        """Wait until nothing is written any more."""
        self._thread.shutdown(wait=True)
        self._compressors.shutdown(wait=True, cancel_futures=True)

    def table(self, number: int) -> Path:
        """Where the table of a part is."""
        return self._folder / part_name(number)

    def write(self, number: int, rows: PartRows, origin: dict[str, Any] | None, used: int) -> dict[str, Any]:
        """Write a part, then its line in the journal; return the line. No file of the part stays open, whatever happens."""
        try:
            return self._write(number, rows, origin, used)
        finally:
            rows.close()

    def _write(self, number: int, rows: PartRows, origin: dict[str, Any] | None, used: int) -> dict[str, Any]:
        variants = VariantColumns.joined(rows.runs)
        dosages = None if rows.dosages is None else rows.dosages.finish()
        annotations = [stream.finish() for stream in rows.annotations.values()]
        hashes = [*(dosages.digests if dosages else ()), *(one for _, digests in annotations for one in digests)]
        digest_of_content = self._digest(rows, variants, hashes)
        finished = [chunk.result() for chunk in rows.finished]
        blocks_before = number * (self._arrays.shard_variants // self._arrays.block_variants)
        part = {
            "rows": rows.filled,
            "digest": digest_of_content,
            "haploid_chunks": [blocks_before + k for k, chunk in enumerate(finished) if chunk.haploid is not None],
            "origin": origin,
            "used": used,
        }
        calls, haploid = [chunk.calls for chunk in finished], [chunk.haploid for chunk in finished]
        pieces = self._arrays.write_shard(number, rows.filled, calls, haploid)
        self._add_streamed(part, pieces, number, rows.filled, [written for written, _ in annotations], dosages)
        for key in pieces:
            sync(self._arrays.path / key)
        part["pieces"] = {key: [piece.size, piece.seal] for key, piece in pieces.items()}
        counts = np.concatenate([chunk.counts for chunk in finished])
        steps, sums = (dosages.steps, dosages.sums) if dosages else (None, None)
        table = PartTable(variants, counts, steps, sums).to_bytes()
        write_durably(self.table(number), table)
        part["table"] = hash_of(table)
        with (self._folder / JOURNAL).open("ab") as journal:
            journal.write(journal_line(part))
            journal.flush()
            os.fsync(journal.fileno())
        return part

    def _add_streamed(
        self,
        part: dict[str, object],
        pieces: dict[str, Piece],
        number: int,
        n_rows: int,
        annotations: list[Written],
        dosages: FinishedDosages | None,
    ) -> None:
        """Add the files of dosages and further columns to those of a part."""
        written = [*annotations, *(dosages.written if dosages else ())]
        self._arrays.write_streamed_metadata(number * self._arrays.shard_variants + n_rows)
        pieces |= {one.key(number): one.piece for one in written if one.piece is not None}
        if dosages is not None:
            before = number * (self._arrays.shard_variants // self._arrays.dosage_chunk)
            part["dosage_chunks"] = chunk_numbers(written, schema.DOSAGE, before)
            part["probability_chunks"] = chunk_numbers(written, schema.HOMOZYGOUS, before)

    def _digest(self, rows: PartRows, variants: VariantColumns, others: list[str]) -> str:
        """Hash of a part's content; the memory of its chunks is given back as soon as they are hashed."""
        marked = any(chunk.haploid is not None and chunk.haploid.any() for chunk in rows.chunks)
        width = (self._n_samples + 7) // 8
        zeros = np.zeros((self._arrays.block_variants if marked else 0, width), dtype=np.uint8)

        def buffers(of_haploid: bool, last: bool) -> Iterator[memoryview]:
            for chunk, finished in zip(rows.chunks, rows.finished):
                bits = zeros[: chunk.filled] if chunk.haploid is None else chunk.haploid
                yield (bits if of_haploid else chunk.packed).data.cast("B")
                if last:
                    finished.result()  # compressed too
                    self._rooms.give(chunk.released())

        calls = Stretches(rows.filled * packed_bytes(self._n_samples), buffers(False, not marked))
        haploid = Stretches(rows.filled * width, buffers(True, True)) if marked else Stretches(0, ())
        return digest(calls, haploid, variants, others)
