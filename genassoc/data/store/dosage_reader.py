"""Dosages of a store, read: the rows that have some, checked to be dosages."""

import math
from collections.abc import Callable, Mapping
from threading import Lock

import numpy as np

from genassoc.data import schema, strangers
from genassoc.data.block import MOST_STEPS, NO_DOSAGE, DosageRows
from genassoc.errors import StoreError
from genassoc.kernels.genotypes.dosage_rows import StoredRows, first_impossible, shift_homozygous
from genassoc.shapes import Array, Int64Array, UInt16Array

_NONE = np.zeros((0, 0), np.uint16)
_NO_BITS = np.zeros((0, 0), np.uint8)


class DosageReader:
    """The dosages of a store.

    Parameters
    ----------
    path : str
        Of the store, for messages.
    rows : callable
        Rows start to stop of an array, by its name.
    shape : (int, int)
        V, N.
    chunk : int
        Variants of a chunk.
    chunks, probability_chunks : frozenset of int
        Numbers of the chunks that are there.
    """

    def __init__(
        self,
        path: str,
        rows: Callable[[str, int, int], Array],
        shape: tuple[int, int],
        chunk: int,
        chunks: frozenset[int],
        probability_chunks: frozenset[int],
    ) -> None:
        self._path, self._rows = path, rows
        self._n_variants, self._n_samples = shape
        self.chunk = chunk
        self._chunks = {schema.DOSAGE: chunks, schema.HOMOZYGOUS: probability_chunks}
        self._kept: dict[str, tuple[int, Array]] = {}
        self._one_reader = Lock()

    @property
    def has_probabilities(self) -> bool:
        """Whether any probabilities are known."""
        return bool(self._chunks[schema.HOMOZYGOUS])

    def steps(self, start: int, stop: int) -> UInt16Array:
        """Steps of a copy of each variant, (V,); 0 where there are calls only."""
        return np.asarray(self._column(schema.VARIANT_STEPS, start, stop), dtype=np.uint16)

    def sums(self, start: int, stop: int) -> Int64Array:
        """Sums over all samples, (V, 11) by `schema.DOSAGE_SUMS`."""
        return np.asarray(self._column(schema.VARIANT_SUMS, start, stop), dtype=np.int64)

    def read(self, start: int, stop: int) -> DosageRows:
        """The dosages of variants start to stop; ``StoreError`` where they can be none."""
        steps = self.steps(start, stop)
        has = steps > 0
        values = self._wide(schema.DOSAGE, start, stop, has)
        homozygous = self._wide(schema.HOMOZYGOUS, start, stop, has)
        if values is None:
            if has.any():
                raise self._damaged(schema.DOSAGE, start + int(np.argmax(has)), "has no dosage, and steps of one")
            return DosageRows(steps, np.zeros((0, self._n_samples), np.uint16))
        rows = StoredRows(values, _NONE if homozygous is None else homozygous, _NO_BITS)
        if homozygous is not None:
            shift_homozygous(rows, steps[has], 1)
        bad = first_impossible(rows, steps[has])
        if bad >= 0:
            number = start + int(np.flatnonzero(has)[bad])
            raise self._damaged(
                schema.DOSAGE, number, "has a dosage above two copies, or probabilities that do not fit it"
            )
        return DosageRows(steps, values, homozygous)

    def _wide(self, name: str, start: int, stop: int, has: Array) -> UInt16Array | None:
        """Those rows of an array that ``has`` (V,) says, (D, N); None where no chunk of it is there."""
        present = self._chunks[name]
        numbers = [n for n in range(start // self.chunk, math.ceil(stop / self.chunk)) if n in present]
        if not numbers:
            return None
        if len(numbers) == 1 and start // self.chunk == (stop - 1) // self.chunk:
            whole = np.asarray(self._rows(name, start, stop))
            # never a view of what is read-only or kept: probabilities are changed in place
            return np.array(whole if has.all() else whole[has], dtype=np.uint16)
        before = np.concatenate([[0], np.cumsum(has)])
        out = np.full((int(before[-1]), self._n_samples), NO_DOSAGE, dtype=np.uint16)
        for number in numbers:
            a, b = max(start, number * self.chunk), min(stop, (number + 1) * self.chunk)
            mine = has[a - start : b - start]
            if mine.any():
                out[before[a - start] : before[b - start]] = self._rows(name, a, b)[mine]
        return out

    def _column(self, name: str, start: int, stop: int) -> Array:
        """Rows of an array of one number or a few a variant; its last chunk is kept, as neighbouring blocks share it."""
        step = schema.METADATA_CHUNK
        found = []
        for first in range(start // step * step, stop, step):
            with self._one_reader:
                kept_first, column = self._kept.get(name, (-1, None))
                if kept_first != first or column is None:
                    column = self._checked(name, first, min(first + step, self._n_variants))
                    self._kept[name] = first, column
            found.append(column[max(start - first, 0) : stop - first])
        if len(found) == 1:
            return found[0]
        wide = (len(schema.DOSAGE_SUMS),) if name == schema.VARIANT_SUMS else ()
        return np.concatenate(found) if found else np.zeros((0, *wide), np.int64)

    def _checked(self, name: str, start: int, stop: int) -> Array:
        column = self._rows(name, start, stop)
        if name == schema.VARIANT_STEPS:
            bad = column > MOST_STEPS
        else:
            sums = column.astype(np.float64)
            observed, most = sums[:, 0], 2.0 * MOST_STEPS
            bad = (column < 0).any(axis=1) | (observed > self._n_samples) | (sums[:, 1] > most * observed)
            bad |= (sums[:, 2] > most**2 * observed) | (sums[:, [3, 6]] > observed[:, None]).any(axis=1)
            bad |= sums[:, 8:].sum(axis=1) > sums[:, 6]
        if bad.any():
            raise self._damaged(name, start + int(np.argmax(bad)), "cannot be what the dosages give")
        return column

    def _damaged(self, name: str, variant: int, fault: str) -> StoreError:
        return StoreError(f"{self._path}: is damaged: {name}: variant {variant} {fault}; convert it again")


def check_chunk(path: str, chunk: int, block_variants: int, n_samples: int) -> None:
    """Raise `StoreError` for chunks of dosages that are larger than any of ours: one would be unpacked whole."""
    if block_variants % chunk or chunk > schema.working_variants(n_samples, dosages=True):
        raise StoreError(
            f"{path}: is damaged: {schema.DOSAGE} has chunks of {chunk} variants, which are none of a store of {n_samples} samples in "
            f"blocks of {block_variants}; convert it again"
        )


def runs_of_chunks(attributes: Mapping[str, object], name: str, n_chunks: int) -> frozenset[int]:
    """Numbers of the chunks, of ``n_chunks``, that an attribute says are there, as runs [first, behind last].

    Raises
    ------
    strangers.MalformedError
        They are no runs of chunks of this store.
    """
    chunks: set[int] = set()
    what = name.replace("_", " ")
    for run in strangers.field(attributes, name, strangers.items):
        ends = strangers.items(run, f"a run of {what}")
        if len(ends) != 2:
            raise strangers.MalformedError(f"a run of {what} is no first and last number")
        first = strangers.whole(ends[0], f"the first of a run of {what}", 0, n_chunks)
        chunks.update(range(first, strangers.whole(ends[1], f"the end of a run of {what}", first, n_chunks)))
    return frozenset(chunks)
