"""Arrays of a store whose chunks are compressed, hashed and written as their rows come, and not kept: dosages, columns of text.

Of each there is a chunk's rows in memory, those of a few chunks that are being compressed, and nothing else of a part.
"""

from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import Executor, Future
from functools import partial
from pathlib import Path
from typing import Generic, NamedTuple, TypeVar

import numpy as np

from genassoc.data import schema
from genassoc.data.block import MOST_STEPS, NO_DOSAGE, DosageRows
from genassoc.data.store.pieces import Piece, hash_of
from genassoc.data.store.shard_file import Encoded, ShardFile, compressed, encode_dosages
from genassoc.data.store.variant_columns import TextColumn, joined_text, vlen_utf8
from genassoc.errors import InputError
from genassoc.kernels.genotypes.dosage_rows import (
    KNOWN,
    N_SUMS,
    StoredRows,
    first_impossible,
    shift_homozygous,
    sum_rows,
)
from genassoc.kernels.genotypes.pair_bounds import bound_pairs
from genassoc.shapes import Int64Array, UInt8Array, UInt16Array

R = TypeVar("R")
_IN_FLIGHT = 4  # chunks of an array that are compressed at once, or wait for those before them


class _InOrder(Generic[R]):
    """Jobs run side by side, whose results are taken in their order; who gives one waits while too many are under way."""

    def __init__(self, pool: Executor, take: Callable[[R], None]) -> None:
        self._pool, self._take = pool, take
        self._waiting: deque[Future[R]] = deque()

    def submit(self, job: Callable[[], R]) -> None:
        if len(self._waiting) >= _IN_FLIGHT:
            self._take(self._waiting.popleft().result())
        self._waiting.append(self._pool.submit(job))

    def finish(self) -> None:
        while self._waiting:
            self._take(self._waiting.popleft().result())


class Written(NamedTuple):
    """What became of an array in one part: its name, the piece of its file (None: no chunk), its chunks within the part, what is behind the number in its key."""

    name: str
    piece: Piece | None
    chunks: list[int]
    behind: str

    def key(self, number: int) -> str:
        """The key of its file in part ``number``."""
        return f"{self.name}/c/{number}{self.behind}"


class _File:
    """The file of one array in a part, and the chunks that are in it."""

    def __init__(self, name: str, folder: Path, key: tuple[int, str], n_chunks: int) -> None:
        self._name, self._behind = name, key[1]
        self._shard = ShardFile(folder / name / "c" / f"{key[0]}{key[1]}", n_chunks)
        self._n, self._chunks = 0, list[int]()

    def add(self, chunk: Encoded | None) -> None:
        self._shard.add(chunk)
        if chunk is not None:
            self._chunks.append(self._n)
        self._n += 1

    def finish(self) -> Written:
        return Written(self._name, self._shard.finish(), self._chunks, self._behind)

    def close(self) -> None:
        self._shard.close()


# dosages -----------------------------------------------------------------------------------------------------


class _DosageChunk(NamedTuple):
    """The rows of one chunk: R of them have room."""

    values: UInt16Array  # (R, N)
    homozygous: UInt16Array  # (R, N), or (0, 0) where the store has none
    haploid: UInt8Array  # (R, ceil(N / 8))
    steps: UInt16Array  # (R,)


class _DosageResult(NamedTuple):
    values: Encoded | None
    homozygous: Encoded | None
    digest: str
    steps: UInt16Array
    sums: Int64Array


class DosageStream:
    """The dosages of one part.

    Parameters
    ----------
    folder : Path
        Of the store.
    number : int
        Of the part.
    n_samples : int
        N.
    chunk, n_chunks : int
        Variants of a chunk, chunks of a part.
    probabilities : bool
        Whether the store keeps probabilities.
    pool : Executor
        Compresses.
    """

    def __init__(
        self,
        folder: Path,
        number: int,
        n_samples: int,
        chunk: int,
        n_chunks: int,
        *,
        probabilities: bool,
        pool: Executor,
    ) -> None:
        self._n, self._rows, self._probabilities = n_samples, chunk, probabilities
        names = (schema.DOSAGE, schema.HOMOZYGOUS)[: 2 if probabilities else 1]
        self._files = [_File(name, folder, (number, "/0"), n_chunks) for name in names]
        self._order = _InOrder(pool, self._take)
        self._chunk: _DosageChunk | None = None
        self._free: deque[_DosageChunk] = (
            deque()
        )  # memory of chunks that are compressed: fresh memory costs as much as filling it
        self._filled = 0
        self._digests: list[str] = []
        self._steps: list[UInt16Array] = []
        self._sums: list[Int64Array] = []

    def put(self, n_rows: int, dosages: DosageRows | None, haploid: UInt8Array | None) -> None:
        """Take the next rows; ``InputError`` where they cannot be dosages."""
        done = 0
        while done < n_rows:
            if self._chunk is None:
                self._chunk, self._filled = self._room(), 0
            take = min(n_rows - done, self._rows - self._filled)
            rows, of = slice(self._filled, self._filled + take), slice(done, done + take)
            if haploid is not None:
                self._chunk.haploid[rows] = haploid[of]
            if dosages is not None:
                self._copy(dosages[of], rows)
            self._filled, done = self._filled + take, done + take
            if self._filled == self._rows:
                self._encode()

    def _room(self) -> _DosageChunk:
        """Room for a chunk: no steps, nobody haploid; dosages are arbitrary until `_encoded` clears rows that have none."""
        try:
            chunk = self._free.pop()
        except IndexError:
            shape = (self._rows, self._n)
            return _DosageChunk(
                np.empty(shape, np.uint16),
                np.empty(shape if self._probabilities else (0, 0), np.uint16),
                np.zeros((self._rows, (self._n + 7) // 8), np.uint8),
                np.zeros(self._rows, np.uint16),
            )
        chunk.steps[:] = 0
        chunk.haploid[:] = 0
        return chunk

    def _copy(self, dosages: DosageRows, rows: slice) -> None:
        assert self._chunk is not None
        if dosages.steps.max(initial=0) > MOST_STEPS:
            raise InputError(
                f"a row has {dosages.steps.max()} steps of a copy; {MOST_STEPS} is the most that 16 bits hold"
            )
        self._chunk.steps[rows] = dosages.steps
        there = dosages.steps > 0
        at = rows if there.all() else np.flatnonzero(there) + rows.start
        self._chunk.values[at] = dosages.values
        if self._probabilities:
            self._chunk.homozygous[at] = NO_DOSAGE if dosages.homozygous is None else dosages.homozygous

    def _encode(self) -> None:
        assert self._chunk is not None
        self._order.submit(partial(self._encoded, self._chunk, self._filled))
        self._chunk = None

    def _encoded(self, chunk: _DosageChunk, n: int) -> _DosageResult:
        sums = np.zeros((n, N_SUMS), np.int64)
        steps = chunk.steps[:n]
        if not steps.any():
            self._free.append(chunk)
            return _DosageResult(None, None, "", steps.copy(), sums)
        if not steps.all():
            chunk.values[:n][steps == 0] = NO_DOSAGE
            if self._probabilities:
                chunk.homozygous[:n][steps == 0] = NO_DOSAGE
        haploid = chunk.haploid[:n] if chunk.haploid.any() else np.zeros((0, 0), np.uint8)
        rows = StoredRows(chunk.values[:n], chunk.homozygous[:n], haploid)
        if self._probabilities:
            # Both were rounded: a step at most lies between them and what is possible.
            bound_pairs(rows.values, rows.homozygous, steps)
        if (bad := first_impossible(rows, steps)) >= 0:
            raise InputError(
                f"a row has a dosage of more than two copies (of {chunk.steps[bad]} steps each), or probabilities that do not fit it"
            )
        sum_rows(rows, steps, np.ones(self._n, np.uint8), sums)
        known = bool(sums[:, KNOWN].any())
        if known:
            shift_homozygous(rows, steps, -1)
        values = encode_dosages(rows.values, self._rows)
        homozygous = encode_dosages(rows.homozygous, self._rows) if known else None
        # Of the frames, which are a fourth of the rows and follow from them alone.
        digest = hash_of(values.content, *([homozygous.content] if homozygous else []))
        result = _DosageResult(values, homozygous, digest, steps.copy(), sums)
        self._free.append(chunk)
        return result

    def _take(self, result: _DosageResult) -> None:
        for file, chunk in zip(self._files, (result.values, result.homozygous)):
            file.add(chunk)
        self._digests.append(result.digest)
        self._steps.append(result.steps)
        self._sums.append(result.sums)

    def finish(self) -> "FinishedDosages":
        """Write the rest."""
        if self._chunk is not None:
            self._encode()
        self._order.finish()
        written = [file.finish() for file in self._files]
        return FinishedDosages(written, self._digests, np.concatenate(self._steps), np.concatenate(self._sums))

    def close(self) -> None:
        """Close the files of a part that is not finished."""
        for file in self._files:
            file.close()


class FinishedDosages(NamedTuple):
    """What became of the dosages of a part: steps (V,) and sums (V, 11), a hash of each chunk."""

    written: list[Written]
    digests: list[str]
    steps: UInt16Array
    sums: Int64Array


# text --------------------------------------------------------------------------------------------------------


class AnnotationStream:
    """One further column of the variants of one part.

    Parameters
    ----------
    folder : Path
        Of the store.
    number : int
        Of the part.
    name : str
        "FILTER", "info_source", "INFO/CSQ", ...
    chunk, n_chunks : int
        Variants of a chunk, chunks of a part.
    pool : Executor
        Compresses.
    """

    def __init__(self, folder: Path, number: int, name: str, chunk: int, n_chunks: int, *, pool: Executor) -> None:
        self._rows, self._numeric = chunk, name == schema.INFO_SOURCE
        self._file = _File(schema.annotation_array(name), folder, (number, ""), n_chunks)
        self._order = _InOrder(pool, self._take)
        self._waiting: list[TextColumn] = []
        self._filled = 0
        self._digests: list[str] = []

    def put(self, texts: TextColumn | None, n_rows: int) -> None:
        """Take the next rows; None where the source has no such column: "." in each."""
        texts = texts or TextColumn(np.arange(n_rows + 1), np.full(n_rows, ord("."), np.uint8))
        done = 0
        while done < n_rows:
            take = min(n_rows - done, self._rows - self._filled)
            self._waiting.append(TextColumn(texts.offsets[done : done + take + 1], texts.data))
            self._filled, done = self._filled + take, done + take
            if self._filled == self._rows:
                self._encode()

    def _encode(self) -> None:
        self._order.submit(partial(self._encoded, joined_text(self._waiting)))
        self._waiting, self._filled = [], 0

    def _encoded(self, texts: TextColumn) -> tuple[Encoded, str]:
        if not self._numeric:
            return compressed(vlen_utf8([texts], self._rows)), hash_of(texts.joined_by(0).data.cast("B"))
        numbers = np.full(self._rows, np.nan)
        numbers[: texts.offsets.size - 1] = _numbers(texts)
        return compressed(numbers), hash_of(numbers.data.cast("B"))  # of equal numbers, however they are written

    def _take(self, result: tuple[Encoded, str]) -> None:
        self._file.add(result[0])
        self._digests.append(result[1])

    def finish(self) -> tuple[Written, list[str]]:
        """Write the rest; the file, and a hash of each chunk."""
        if self._waiting:
            self._encode()
        self._order.finish()
        return self._file.finish(), self._digests

    def close(self) -> None:
        """Close the file of a part that is not finished."""
        self._file.close()


def _numbers(texts: TextColumn) -> list[float]:
    """Numbers of texts; NaN of "."."""
    whole = texts.joined_by(10).tobytes().decode().split("\n")
    try:
        return [float("nan") if text in (".", "") else float(text) for text in whole]
    except ValueError as error:
        raise InputError(f"a quality of imputation is no number: {error}") from error


def chunk_numbers(written: Sequence[Written], name: str, before: int) -> list[int]:
    """Numbers of the chunks of an array in the store, ``before`` of which are in the parts before."""
    return [before + chunk for one in written if one.name == name for chunk in one.chunks]
