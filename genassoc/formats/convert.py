"""Files of genotypes into a genotype store: in parts, resumable, parallel.

Reading is sequential, inflating and scanning run in threads, one writer takes the rows in order. A batch of rows is
known by its origin: file, place in the file, and everything counted before it, so that a conversion that was killed
goes on there and ends with the same bytes.
"""

import json
import os
from collections import deque
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from copy import copy
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np

from genassoc.data.block import NO_DOSAGE
from genassoc.data.cohort.builds import too_far
from genassoc.data.cohort.contigs import Contigs, chromosome_of, is_beyond_mt
from genassoc.data.forks import check_not_forked
from genassoc.data.memory import parse_memory, resident_memory
from genassoc.data.output import check_outputs, target_of
from genassoc.data.schema import HALF_ALLELES
from genassoc.data.store.arrays import Contents
from genassoc.data.store.folder import read_attributes, work_folder
from genassoc.data.store.location import check_local
from genassoc.data.store.pieces import hash_of
from genassoc.data.store.writer import StoreWriter, check_output
from genassoc.errors import InputError, PlanError, StoreError
from genassoc.formats import inputs as choosing
from genassoc.formats.convert_memory import ConversionSizes, header_bytes
from genassoc.formats.inputs import ContigCheck, SampleChoice
from genassoc.formats.reading import AS_IT_IS, READ_FILES, Reading
from genassoc.formats.source import Piece, Place, RecordError, Region, Source, VariantBatch, fingerprint, size_of
from genassoc.formats.summary import (
    CALL_CHANGES,
    DOSAGE_FIELDS,
    DROP_REASONS,
    ROW_KINDS,
    VARIANT_CHANGES,
    ConversionSummary,
    by_number,
    unmet,
)
from genassoc.progress import Progress, Silent
from genassoc.provenance import package_versions
from genassoc.shapes import Int64Array

CONVERSION_VERSION = 3  # raised when the same input would give another store
_VERSIONS = ("genassoc", "numpy", "zarr", "pysam", "isal")
_SUMMED = (
    "records",
    "file_records",
    "split",
    "haploid_calls",
    "half_missing_calls",
    "polyploid_calls",
    "outside_regions",
    *ROW_KINDS,
    *CALL_CHANGES,
    *(f"dosages_{name}" for name in DOSAGE_FIELDS),
    *DROP_REASONS,
    *VARIANT_CHANGES,
)


def convert(
    inputs: str | Path | Sequence[str | Path],
    out: str | Path,
    *,
    region: str | Sequence[str] | None = None,
    samples: Sequence[str] | Path | None = None,
    threads: int | None = None,
    progress: Progress | None = None,
    overwrite: bool = False,
    memory: str | int | None = None,
    reading: Reading = AS_IT_IS,
) -> ConversionSummary:
    """Convert files of genotypes, of any format that is read, into one genotype store.

    Parameters
    ----------
    inputs : path, glob, or sequence of them
        Files are read in the order of the genome, by their first records, whatever order they are given in. Files of the
        same samples (in any order) are joined one after another; files of different samples are merged by position, REF and
        ALT as they are read (`genassoc.formats.merge`).
    out : path
        The store to be. If it is there already, made of the same inputs, nothing is done. An interrupted conversion
        (``wip_<name>`` beside it) is resumed if inputs and parameters are the same, else begun anew.
    region : str or sequence of str, optional
        ``contig`` or ``contig:first-last``, 1-based, both included. A record belongs to a region by its POS alone, so
        neighbouring regions share no record. Several regions are united; rows keep the file's order. With a ``.tbi`` or
        ``.csi`` beside the file only the stretches needed are read.
    samples : sequence of str, or path, optional
        Ids to keep, or a file with one at the start of each line. The order stays that of the first file.
    threads : int, optional
        For inflating and scanning; the processors this process may use if None. The store does not depend on it.
    progress : Progress, optional
        Told about bytes read.
    overwrite : bool
        Replace a store made of other inputs.
    memory : str or int, optional
        A cap for this process, as "1GiB". The store does not depend on it.
    reading : Reading
        Which calls and dosages are read, and how.

    Returns
    -------
    ConversionSummary

    Raises
    ------
    InputError
        An input is malformed, truncated or does not fit the others (names file, line, sample). Nothing is left behind.
    OutputError
        The store cannot be written. What was written is kept if a rerun can resume from it.
    PlanError
        It cannot stay below ``memory`` (says what it could).
    """
    check_not_forked()
    check_local(out)
    if threads is not None and (not isinstance(threads, int) or threads < 0):
        raise PlanError(f"threads={threads!r} is no number of threads")
    out = target_of(Path(out))
    paths = choosing.expand(inputs)
    regions = choosing.parse_regions(region)
    longest_header = header_bytes(memory)
    opened = [choosing.open_source(path, regions, longest_header, reading=reading) for path in paths]
    files = choosing.in_genome_order(opened)
    check_contigs(files, regions)
    choosing.check_choices(files, reading)
    sources = merged_sources(files, regions, reading, threads or processors(), memory)
    choice = choosing.choose_samples(sources, samples)
    identity = conversion_identity([source.path for source in files], regions, choice, reading, files)
    attributes = read_attributes(out)
    made_of_these = attributes is not None and attributes.get("identity", {}).get("source") == identity
    if attributes is not None and made_of_these and _is_sound(out, overwrite):
        if not (work_folder(out) / "store").exists() and (work_folder(out) / "parts").exists():
            StoreWriter.clear_work(out)
        return ConversionSummary.from_stored(out, attributes["summary"])
    check_output(out, overwrite)
    check_outputs([out])
    content = content_of(sources)
    sizes = ConversionSizes.fit(memory, len(choice.sample_ids), threads or processors(), content.dosages)
    writer = StoreWriter(out, choice.sample_ids, identity, overwrite=overwrite, ahead=sizes.ahead, contents=content)
    if files != opened:
        names = [source.path.name for source in files]
        more = f", ... ({len(names):,} files)" if len(names) > 4 else ""
        said = f"read in the order of the genome: {', '.join(names[:4])}{more}"
        sources[0].notes = [*sources[0].notes, said]
    try:
        conversion = Conversion(sources, choice, regions, writer, threads, progress or Silent(), sizes, reading)
        summary = conversion.run()
    except InputError:
        writer.abandon()
        raise
    except BaseException:
        writer.close()
        raise
    return summary


def merged_sources(
    files: list[Source], regions: list[Region], reading: Reading, threads: int, memory: str | int | None
) -> list[Source]:
    """Files of one set of samples as they are; those of several sets as one source that merges them.

    Raises
    ------
    PlanError
        There are too many sets to be read at once below ``memory``.
    """
    groups = choosing.sample_groups(files)
    if len(groups) == 1:
        return files
    from genassoc.formats.merge import MEMORY_A_GROUP, MergedSource

    if memory is not None and parse_memory(memory) < len(groups) * MEMORY_A_GROUP + resident_memory():
        raise PlanError(
            f"--memory {memory} is too little to merge files of {len(groups):,} sets of samples, which are read at once and take "
            f"about {MEMORY_A_GROUP >> 20} MB each: give more, or merge some of them before (bcftools merge)"
        )
    with_blocks, most = replace(reading, blocks=True), header_bytes(memory)
    opened = [
        [choosing.open_source(file.path, regions, most, reading=with_blocks) for file in group] for group in groups
    ]
    return [MergedSource(opened, reading, threads)]


def content_of(sources: Sequence[Source]) -> Contents:
    """What a store of these files holds beside calls: what any of them has."""
    return Contents(
        any(source.has_dosages for source in sources),
        any(source.has_probabilities for source in sources),
        tuple(dict.fromkeys(name for source in sources for name in source.annotations)),
    )


def _is_sound(path: Path, overwrite: bool) -> bool:
    """Whether a store is whole, so that it need not be converted again. With ``overwrite`` all of it is read to find out.

    Raises
    ------
    StoreError
        It is damaged, and not ``overwrite``.
    """
    from genassoc.data.store.store import GenotypeStore

    try:
        store = GenotypeStore.open(path)
        if overwrite:
            problems = (problem for _, _, problem in store.verified() if problem is not None)
            return store.root is not None and next(problems, None) is None
    except StoreError as error:
        if not overwrite:
            raise StoreError(f"{error} (--force, overwrite=True)") from error
        return False
    return True


def conversion_identity(
    paths: list[Path],
    regions: list[Region],
    choice: SampleChoice,
    reading: Reading = AS_IT_IS,
    sources: Sequence[Source] = (),
) -> dict[str, Any]:
    """The identity of a conversion: all that must be equal for an interrupted one to be continued.

    Files beside an input that belong to it (`companions` of its source) are part of it.
    """
    beside: dict[Path, Sequence[Path]] = {source.path: source.companions for source in sources}
    return identity_reading(reading) | {
        "conversion_version": CONVERSION_VERSION,
        "inputs": [_identity_of(path, beside.get(path, ())) for path in paths],
        "regions": [list(region) for region in regions],
        "samples": hash_of(*(name.encode() for name in choice.sample_ids)),
    }


def _identity_of(path: Path, companions: Sequence[Path]) -> dict[str, object]:
    """Name, size and hash of an input, and of the files that belong to it."""
    own: dict[str, object] = {"name": path.name, "size": size_of(path), "fingerprint": fingerprint(path)}
    return own | ({"with": [_identity_of(other, ()) for other in companions]} if companions else {})


def identity_reading(reading: Reading) -> dict[str, Any]:
    """The choices of a reading that are not the usual ones, under "reading", as JSON gives them back; empty without any."""
    usual = asdict(AS_IT_IS)
    chosen = {name: value for name, value in asdict(reading).items() if value != usual[name]}
    for name in set(READ_FILES) & set(chosen):
        file = Path(chosen[name])
        chosen[name] = {"name": file.name, "fingerprint": fingerprint(file)} if file.is_file() else file.name
    return json.loads(json.dumps({"reading": chosen})) if chosen else {}


def _facts(source: Source) -> dict[str, str | dict[str, str]]:
    """What a store says of a file: its kind, the INFO field that its imputation quality is taken from, and what its annotations consist of."""
    facts: dict[str, str | dict[str, str]] = {"kind": source.kind}
    if source.info_source:
        facts["info_source"] = source.info_source
    if source.subfields:
        facts["subfields"] = dict(source.subfields)
    return facts


def check_contigs(sources: list[Source], regions: list[Region]) -> None:
    """Find mismatches of contig names that are cheap to find before hours of reading."""
    choosing.check_builds(sources)
    check = ContigCheck(lengths_of(sources))
    for source in sources:
        first = source.first_contig()
        if first is not None:
            check.see(source.path, [first])
    if regions and all(source.contigs_complete for source in sources):
        choosing.check_regions(regions, list(dict.fromkeys(c for source in sources for c in source.contigs)))


def lengths_of(sources: Sequence[Source]) -> dict[str, int]:
    """Contig -> its bases, where a file tells."""
    return {name: n for source in sources for name, n in source.contig_lengths.items()}


def _build_of(sources: Sequence[Source], largest: Mapping[str, int]) -> tuple[dict[str, str], list[str]]:
    """The genome build of the files (name, what told it; empty where nothing did), and what contradicts it.

    ``largest`` is the largest position on each known chromosome.
    """
    told = [choosing.build_of_source(source) for source in sources]
    notes = list(dict.fromkeys(note for _, said in told for note in said))
    build = next((build for build, _ in told if build is not None), None)
    if build is None:
        return {}, notes
    if far := too_far(largest, build.name):
        name, last = next(iter(far.items()))
        more = f" (and so are positions on {len(far) - 1} more)" if len(far) > 1 else ""
        notes.append(
            f"{name}:{last:,} is behind the end of its chromosome in {build.name}{more}: are positions of another build?"
        )
    return build._asdict(), notes


BY_NAME = ("half_calls", "filters", "left_out", "annotated")  # fields of a `VariantBatch` and a `Tally`
MOST_NAMES = 1000  # that are counted apart
OTHER_NAMES = "(others)"


def _row_kinds(batch: VariantBatch) -> dict[str, int]:
    """Rows of a batch by what they hold."""
    n_rows = len(batch.packed)
    if batch.dosages is None:
        return {"rows_calls": n_rows}
    n_dosages = len(batch.dosages.values)
    known = batch.dosages.homozygous
    n_known = 0
    if known is not None and known.size:
        # One sample tells it of nearly every row: all are looked at in the others.
        told = known[:, 0] != NO_DOSAGE
        n_known = int(np.count_nonzero(told) + np.count_nonzero((known[~told] != NO_DOSAGE).any(axis=1)))
    return {"rows_calls": n_rows - n_dosages, "rows_dosages": n_dosages, "rows_probabilities": n_known}


@dataclass(kw_only=True)
class Tally:
    """Counts up to some place of the input. The journal holds them, so that a resumed conversion continues to count."""

    counts: dict[str, int] = field(default_factory=lambda: dict.fromkeys(_SUMMED, 0))
    source_records: list[int] = field(default_factory=list)
    lines: int = 0  # of the current source
    contigs: dict[str, int] = field(default_factory=dict)  # in order, with their rows
    last_contig: str | None = None
    last_position: int = 0
    unsorted: int = 0
    contig_returns: int = 0
    half_calls: dict[str, int] = field(default_factory=dict)  # by contig
    largest: dict[str, int] = field(default_factory=dict)  # position on each contig that means a chromosome
    filters: dict[str, int] = field(default_factory=dict)  # records kept, and left out, by FILTER
    left_out: dict[str, int] = field(default_factory=dict)
    annotated: dict[str, int] = field(default_factory=dict)  # rows that have a value, by annotation

    def state(self) -> dict[str, Any]:
        """The counts as they are now, from which another tally can go on."""
        return {name: copy(value) for name, value in vars(self).items()}

    def add(self, source: int, batch: VariantBatch) -> list[str]:
        """Count a batch; return the contigs of its rows."""
        for name in _SUMMED:
            self.counts[name] += batch.counters.get(name, 0)
        for name, n in _row_kinds(batch).items():
            self.counts[name] += n
        self.source_records[source] += batch.counters.get("records", 0)
        self.lines += batch.lines
        self.count_by_name({name: getattr(batch, name) for name in BY_NAME})
        self.see_rows(batch.columns.contigs, batch.columns.positions)
        return [contig for contig, _ in batch.columns.contigs]

    def count_by_name(self, counts: Mapping[str, Mapping[str, int]]) -> None:
        """Count more half calls by contig, records by FILTER, ...: those of `BY_NAME`."""
        for field_name in BY_NAME:
            mine: dict[str, int] = getattr(self, field_name)
            for name, n in counts[field_name].items():
                # a file may have as many values of FILTER as records
                name = name if name in mine or len(mine) < MOST_NAMES else OTHER_NAMES
                mine[name] = mine.get(name, 0) + n

    def see_rows(self, runs: Sequence[tuple[str, int]], positions: Int64Array) -> None:
        """Count what is out of order: runs of rows on one contig (name, length), and the rows' positions."""
        start = 0
        for contig, length in runs:
            stop = start + length
            if contig != self.last_contig:
                self.contig_returns += contig in self.contigs
                self.contigs.setdefault(contig, 0)
                self.last_contig, self.last_position = contig, 0
            of_run = positions[start:stop]
            self.unsorted += int(of_run[0] < self.last_position) + int(np.count_nonzero(of_run[1:] < of_run[:-1]))
            self.last_position = int(of_run[-1])
            self.contigs[contig] += length
            if chromosome_of(contig) is not None:
                self.largest[contig] = max(self.largest.get(contig, 0), int(of_run.max()))
            start = stop


@dataclass
class Conversion:
    """One conversion, running."""

    sources: list[Source]
    choice: SampleChoice
    regions: list[Region]
    writer: StoreWriter
    threads: int | None
    progress: Progress
    sizes: ConversionSizes | None = None
    reading: Reading = AS_IT_IS

    def run(self) -> ConversionSummary:
        """Read, scan, write, finish."""
        resumed_rows = self.writer.n_rows
        return self.finish(self.scan(), resumed_rows)

    def scan(self) -> Tally:
        """Read, scan and write all rows; return the counts."""
        origin = self.writer.origin
        tally = Tally(source_records=[0] * len(self.sources))
        first, place = 0, None
        if origin is not None:
            tally = Tally(**origin["tally"])
            first, place = origin["source"], Place(*origin["place"])
        skip = self.writer.rows_of_origin
        sizes = self.sizes or ConversionSizes(self.threads or processors())
        check = ContigCheck(lengths_of(self.sources))
        for source in self.sources:
            source.max_line_bytes = sizes.line_bytes
        self.progress.begin("convert", sum(source.work for source in self.sources), "B")
        pool = ThreadPoolExecutor(max(1, sizes.threads), thread_name_prefix="convert")
        try:
            for number in range(first, len(self.sources)):
                if number > first or place is None:
                    tally.lines = 0
                skip = self._source(number, place, tally, skip, check, pool, sizes)
                place = None
        finally:
            pool.shutdown(wait=True, cancel_futures=True)
            self.progress.end()
        return tally

    def _source(
        self,
        number: int,
        place: Place | None,
        tally: Tally,
        skip: int,
        check: ContigCheck,
        pool: ThreadPoolExecutor,
        sizes: ConversionSizes,
    ) -> int:
        """Convert one source from ``place``, without the first ``skip`` rows, which are written; return the rows still to skip."""
        source = self.sources[number]
        pieces = source.pieces(self.choice.columns[number], place)
        for piece, future in _ahead(pieces, pool, sizes):
            try:
                batch = future.result()
            except RecordError as error:
                raise InputError(f"{source.path}{source.locate(tally.lines + error.line)}: {error.message}") from None
            origin = {"source": number, "place": list(batch.place), "tally": tally.state()}
            variants = batch.columns.numbered_from(tally.counts["records"])
            check.see(source.path, tally.add(number, batch))
            n_rows = len(batch.packed)
            dropped = min(skip, n_rows)
            skip -= dropped
            if n_rows > dropped:
                haploid = None if batch.haploid is None else batch.haploid[dropped:]
                copies = None if batch.dosages is None else batch.dosages[dropped:]
                self.writer.append(batch.packed[dropped:], haploid, variants[dropped:], origin, dropped, dosages=copies)
            self.progress.advance(piece.work)
        return skip

    def finish(self, tally: Tally, resumed_rows: int) -> ConversionSummary:
        """Check that the input had records and genotypes, and rename the store to its final name."""
        named = dict.fromkeys(c for source in self.sources for c in source.contigs) | tally.contigs
        choosing.check_regions(self.regions, list(named))
        dropped = {reason: tally.counts[name] for name, reason in DROP_REASONS.items() if tally.counts[name]}
        identity = self.writer.identity["source"]["inputs"]
        lengths = lengths_of(self.sources)
        # files that were merged are one source, whose records are counted together
        files = [file for source in self.sources for file in getattr(source, "files", [source])]
        of_files = tally.source_records if len(files) == len(self.sources) else [None] * len(files)
        build, doubts = _build_of(self.sources, tally.largest)
        contigs = Contigs.of(tally.contigs, lengths, lambda name: tally.largest.get(name, 0))
        summary = ConversionSummary(
            path=self.writer.path,
            n_samples=len(self.choice.sample_ids),
            records=tally.counts["file_records"] or tally.counts["records"],
            rows=self.writer.n_rows_appended,
            split=tally.counts["split"],
            dropped=dropped,
            haploid_calls=tally.counts["haploid_calls"],
            half_missing_calls=tally.counts["half_missing_calls"],
            polyploid_calls=tally.counts["polyploid_calls"],
            unsorted=tally.unsorted,
            contig_returns=tally.contig_returns,
            outside_regions=tally.counts["outside_regions"],
            half_calls=tally.half_calls,
            filters=by_number(tally.filters),
            left_out=by_number(tally.left_out),
            annotated=dict(sorted(({f"INFO/{name}": 0 for name in self.reading.info} | tally.annotated).items())),
            row_kinds={name: n for name in ROW_KINDS if (n := tally.counts[name])},
            call_changes={name: n for name in CALL_CHANGES if (n := tally.counts[name])},
            dosages={name: n for name in DOSAGE_FIELDS if (n := tally.counts[f"dosages_{name}"])},
            variant_changes={name: n for name in VARIANT_CHANGES if (n := tally.counts[name])},
            build=build,
            contig_notes=[*contigs.notes(), *contigs.unplaced(tally.contigs), *doubts],
            sources=[
                {**known_as, **_facts(source), **({} if records is None else {"records": records})}
                for known_as, source, records in zip(identity, files, of_files)
            ],
            notes=[
                *dict.fromkeys(note for source in self.sources for note in source.notes),
                *unmet(self.reading, tally.counts, [source.kind for source in files]),
            ],
            resumed_rows=resumed_rows,
        )
        if summary.rows == 0:
            names = ", ".join(str(source.path) for source in self.sources[:3])
            raise InputError(f"{names}: no variants to write: " + "; ".join(summary.lines()[1:]))
        if self.writer.discarded:
            summary.notes.append(
                "an interrupted conversion of other inputs or parameters, or of an earlier version, was there: begun anew"
            )
        versions = {name: version for name, version in package_versions().items() if name in _VERSIONS}
        attributes: dict[str, Any] = {"summary": summary.stored(), "sources": summary.sources, "versions": versions}
        attributes["build"] = build
        if tally.half_calls and self.reading.half_calls is None:
            attributes[HALF_ALLELES] = True
        reading = identity_reading(self.reading)
        attributes["parameters"] = {"regions": [list(region) for region in self.regions], **reading}
        known = [*tally.contigs, *filter(is_beyond_mt, lengths)]  # numbers beyond 26 mean another species
        attributes["contig_lengths"] = {name: lengths[name] for name in dict.fromkeys(known) if name in lengths}
        self.writer.finish(attributes)
        return summary


def processors() -> int:
    """Processors this process may use (a batch system may allow fewer than there are)."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def _ahead(
    pieces: Iterator[Piece], pool: ThreadPoolExecutor, sizes: ConversionSizes
) -> Iterator[tuple[Piece, Future[VariantBatch]]]:
    """Decode pieces in the pool and yield them in order, with no more in flight than threads need and ``sizes`` allow."""
    depth = 2 * sizes.threads + 8
    waiting: deque[tuple[Piece, Future[VariantBatch]]] = deque()
    memory = 0
    for piece in pieces:
        waiting.append((piece, pool.submit(piece.decode)))
        memory += piece.memory
        while len(waiting) >= depth or (waiting and not sizes.has_room(memory)):
            memory -= waiting[0][0].memory
            yield waiting.popleft()
    while waiting:
        yield waiting.popleft()
