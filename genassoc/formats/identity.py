"""Who the samples and which the variants of a file are, said otherwise than in the file: ids, known variants, the reference.

`identified` wraps any `Source`: its format knows nothing of this.
"""

from collections.abc import Callable, Iterator
from dataclasses import replace
from functools import lru_cache, partial
from pathlib import Path
from threading import Lock
from typing import cast

from genassoc.data.cohort.builds import Build
from genassoc.data.cohort.id_rules import Rules
from genassoc.errors import InputError
from genassoc.formats.reading import Reading
from genassoc.formats.reference import Mismatch, Reference
from genassoc.formats.rsids import VariantIds
from genassoc.formats.sample_ids import renamed
from genassoc.formats.source import Piece, Place, Source, VariantBatch, build_of_source
from genassoc.shapes import Int64Array

_SHOWN = 3  # mismatches in a note


def identified(source: Source, reading: Reading) -> Source:
    """The source with what ``reading`` says of ids and of the reference; itself where it says nothing.

    Raises
    ------
    InputError, SampleMismatchError
        A file does not fit, or is of another genome build; two samples would have one id.
    """
    if reading.id_map is not None or reading.id_rule is not None:
        id_map = None if reading.id_map is None else Path(reading.id_map)
        families = source.family_ids or None
        rules = Rules.parse(reading.id_rule)
        source.sample_ids, notes = renamed(source.path, source.sample_ids, families, id_map, rules)
        source.notes = [*source.notes, *notes]
    if reading.fasta is None and reading.rsids is None:
        return source
    reference = None if reading.fasta is None else _reference(Path(reading.fasta), _state(reading.fasta))
    known = None if reading.rsids is None else _variant_ids(Path(reading.rsids), _state(reading.rsids))
    return cast(Source, Identified(source, reference, known))


# A conversion of chr1 to chr22 opens each once.
@lru_cache(maxsize=2)
def _reference(path: Path, _: tuple[int, ...]) -> Reference:
    return Reference(path)


@lru_cache(maxsize=2)
def _variant_ids(path: Path, _: tuple[int, ...]) -> VariantIds:
    return VariantIds(path)


def _state(path: str) -> tuple[int, ...]:
    """What changes where a file is another one."""
    try:
        about = Path(path).stat()
    except OSError:
        return ()
    return about.st_size, about.st_mtime_ns, about.st_ino


class Identified:
    """A source whose variants are checked against a reference and given known ids; all else is the source's own.

    Parameters
    ----------
    source : Source
    reference : Reference or None
    known : VariantIds or None
    """

    def __init__(self, source: Source, reference: Reference | None, known: VariantIds | None) -> None:
        self._source, self._reference, self._known = source, reference, known
        self._lock, self._mismatches = Lock(), dict[tuple[str, int], Mismatch]()
        if reference is not None:
            _check_build(source, reference.path, reference.build)
        if known is not None:
            _check_build(source, known.path, known.build)

    def __getattr__(self, name: str) -> object:
        return getattr(self._source, name)

    @property
    def max_line_bytes(self) -> int:
        """As the source's; a conversion with a cap sets it."""
        return self._source.max_line_bytes

    @max_line_bytes.setter
    def max_line_bytes(self, n_bytes: int) -> None:
        """Set the source's."""
        self._source.max_line_bytes = n_bytes

    @property
    def notes(self) -> list[str]:
        """The source's, and which REF are not the reference's."""
        if not self._mismatches or self._reference is None:
            return self._source.notes
        first = [self._mismatches[key] for key in sorted(self._mismatches)[:_SHOWN]]
        shown = ", ".join(f"{m.contig}:{m.position:,} has REF {m.ref}, the reference {m.there}" for m in first)
        return [
            *self._source.notes,
            f"{self._source.path.name}: REF is not that of {self._reference.path.name}, as at {shown}",
        ]

    def pieces(self, columns: Int64Array, start: Place | None) -> Iterator[Piece]:
        """The source's pieces, whose batches are changed where they are decoded."""
        for piece in self._source.pieces(columns, start):
            yield replace(piece, decode=partial(self._decoded, piece.decode))

    def _decoded(self, decode: Callable[[], VariantBatch]) -> VariantBatch:
        batch = decode()
        counters = dict(batch.counters)
        columns = batch.columns
        if self._reference is not None:
            columns, counts, mismatches = self._reference.aligned(columns)
            counters |= counts
            with self._lock:
                self._mismatches |= {(m.contig, m.position): m for m in mismatches}
                for key in sorted(self._mismatches)[_SHOWN:]:
                    del self._mismatches[key]
        if self._known is not None:
            columns, counts = self._known.given(columns)
            counters |= counts
        return replace(batch, columns=columns, counters=counters)


def _check_build(source: Source, path: Path, build: Build | None) -> None:
    theirs, _ = build_of_source(source)
    if build is not None and theirs is not None and theirs.name != build.name:
        raise InputError(
            f"{path}: is of {build.name} by the {build.by}, {source.path} of {theirs.name} by the {theirs.by}: give the file "
            f"of {theirs.name}"
        )
