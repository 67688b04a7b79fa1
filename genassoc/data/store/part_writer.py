"""Parts of a store on their way to the disk: rows are collected in memory, and a separate thread writes them."""

import io
import os
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl

from genassoc.data import schema
from genassoc.data.store.arrays import StoreArrays
from genassoc.data.store.call_counts import count_calls, counts_frame
from genassoc.data.store.parts import digest, joined_frame, journal_line, sync, write_durably
from genassoc.data.store.pieces import hash_of
from genassoc.data.store.shard_file import encode_chunk
from genassoc.data.store.variant_columns import VariantColumns
from genassoc.shapes import UInt8Array, packed_bytes

JOURNAL = "journal.jsonl"
_COMPRESSORS = 2  # threads that compress 400 MB of packed calls a second each: more than any reader delivers


def part_name(number: int) -> str:
    """File name of the table of a part."""
    return f"part-{number:05d}.parquet"


class PartRows:
    """Room for the rows of one part.

    Attributes
    ----------
    packed : uint8 (R, B)
    haploid : uint8 (R, ceil(N / 8)) or None
        None until a haploid call comes.
    runs : list of DataFrame or VariantColumns
        What the rows are.
    filled : int
    chunks : list of Future of bytes
        The chunks that are full, compressed.
    """

    def __init__(self, n_rows: int, n_samples: int) -> None:
        self.packed: UInt8Array = np.empty((n_rows, packed_bytes(n_samples)), dtype=np.uint8)
        self.haploid: UInt8Array | None = None
        self.runs: list[pl.DataFrame | VariantColumns] = []
        self.filled = 0
        self.chunks: list[Future[bytes]] = []
        self._n_samples = n_samples

    @property
    def is_full(self) -> bool:
        """Whether the part is full."""
        return self.filled == len(self.packed)

    def put(self, packed: UInt8Array, haploid: UInt8Array | None, variants: pl.DataFrame | VariantColumns) -> int:
        """Copy as many rows as fit; return their number."""
        take = min(len(packed), len(self.packed) - self.filled)
        rows = slice(self.filled, self.filled + take)
        self.packed[rows] = packed[:take]
        if haploid is not None:
            if self.haploid is None:
                self.haploid = np.zeros((len(self.packed), (self._n_samples + 7) // 8), dtype=np.uint8)
            self.haploid[rows] = haploid[:take]
        self.runs.append(variants[:take])
        self.filled += take
        return take

    def clear(self) -> None:
        """Forget the rows and keep the memory."""
        self.runs, self.filled, self.chunks = [], 0, []
        if self.haploid is not None:
            self.haploid[:] = 0


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
        self._arrays, self._folder, self._block_variants = arrays, folder, block_variants
        self._n_samples = n_samples
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="store")
        self._compressors = ThreadPoolExecutor(_COMPRESSORS, thread_name_prefix="compress")
        self._under_way: Future[dict[str, Any]] | None = None

    def compress(self, rows: PartRows, rest: bool = False) -> None:
        """Begin to compress the chunks of a part that are full by now; with ``rest`` also one that is not."""
        step = self._block_variants
        while (start := len(rows.chunks) * step) < rows.filled and (rest or start + step <= rows.filled):
            chunk = rows.packed[start : min(start + step, rows.filled)]
            rows.chunks.append(self._compressors.submit(encode_chunk, chunk, step, schema.NO_CALLS))

    def begin(self, number: int, rows: PartRows, origin: dict[str, Any] | None, used: int) -> None:
        """Start writing a part. ``rows`` must be left alone until `result` was asked for."""
        self.compress(rows, rest=True)
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
        """Write a part, then its line in the journal; return the line."""
        filled, step = rows.filled, self._block_variants
        packed = rows.packed[:filled]
        haploid = None if rows.haploid is None else rows.haploid[:filled]
        variants = joined_frame(rows.runs)
        blocks_before = number * (len(rows.packed) // step)
        haploid_chunks = [
            blocks_before + start // step
            for start in range(0, filled, step)
            if haploid is not None and haploid[start : start + step].any()
        ]
        if not haploid_chunks:
            haploid = None
        part = {
            "rows": filled,
            "digest": digest(packed, haploid, variants),
            "haploid_chunks": haploid_chunks,
            "origin": origin,
            "used": used,
        }
        chunks = [chunk.result() for chunk in rows.chunks]
        pieces = self._arrays.write_shard(number, filled, chunks, haploid)
        for key in pieces:
            sync(self._arrays.path / key)
        part["pieces"] = {key: [piece.size, piece.seal] for key, piece in pieces.items()}
        buffer = io.BytesIO()
        counts = counts_frame(count_calls(packed, haploid, self._n_samples))
        variants.hstack(counts).write_parquet(buffer, compression="zstd", compression_level=1)
        write_durably(self.table(number), buffer.getvalue())
        part["table"] = hash_of(buffer.getvalue())
        with (self._folder / JOURNAL).open("ab") as journal:
            journal.write(journal_line(part))
            journal.flush()
            os.fsync(journal.fileno())
        return part
