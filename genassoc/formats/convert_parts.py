"""A conversion as a job array: its parts, and merging them into the store that one conversion would write.

::

    WORK/
      plan.json           inputs with fingerprints, samples, the stretches of each part (`genassoc.formats.convert_plan`)
      part-00003.zarr     the rows of part 3, as a store; absent where it has none
      part-00003.json     written last: what was read, split and dropped
"""

import json
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from genassoc.data import strangers
from genassoc.data.output import check_outputs, replacing, target_of
from genassoc.data.store.store import GenotypeStore
from genassoc.data.store.writer import StoreWriter, check_output
from genassoc.data.strangers import MalformedError
from genassoc.errors import PlanError
from genassoc.formats import inputs as choosing
from genassoc.formats.convert import BY_NAME, Conversion, Tally, content_of, conversion_identity, processors
from genassoc.formats.convert_memory import ConversionSizes, header_bytes
from genassoc.formats.convert_plan import ConversionPlan, check_whole, remove
from genassoc.formats.source import MAX_HEADER_BYTES, Region
from genassoc.formats.summary import ConversionSummary
from genassoc.progress import Progress, Silent


@dataclass(frozen=True)
class ConversionStatus:
    """How far a conversion in parts is.

    Attributes
    ----------
    n_parts : int
    missing_parts : tuple of int
    """

    n_parts: int
    missing_parts: tuple[int, ...]

    @property
    def complete(self) -> bool:
        """Whether nothing is missing."""
        return not self.missing_parts

    def lines(self) -> list[str]:
        """For people."""
        missing = f"missing parts: {','.join(map(str, self.missing_parts))}"
        done = self.n_parts - len(self.missing_parts)
        return [
            f"{done} of {self.n_parts} parts converted",
            missing if self.missing_parts else "complete: ready to merge",
        ]


# one part ----------------------------------------------------------------------------------------------------


def convert_part(
    work: Path,
    part: int,
    *,
    threads: int | None = None,
    progress: Progress | None = None,
    memory: str | int | None = None,
) -> None:
    """Convert one part (from 0). Doing it twice is harmless; a killed part carries on from its last finished shard.

    Raises
    ------
    PlanError
        There is no such part, the inputs are no longer what they were, or ``memory`` (a cap, as "1GiB") is too little.
    InputError, OutputError
        As in `genassoc.formats.convert.convert`.
    """
    plan = ConversionPlan.read(work)
    if not 0 <= part < len(plan.parts):
        raise PlanError(f"the plan in {work} has parts 0 to {len(plan.parts) - 1}; there is no part {part}.")
    if _finished(work, plan, part) is not None:
        return
    stretches = plan.parts[part]
    wanted: dict[int, list[Region]] = {}
    for stretch in stretches:
        wanted.setdefault(stretch.source, []).extend([stretch.region] if stretch.region else [])
    longest = header_bytes(memory)
    whole = _whole(plan, work, longest)
    sources = [
        choosing.open_source(Path(plan.inputs[number]), regions, longest, exact=True, reading=plan.reading)
        for number, regions in wanted.items()
    ]
    columns = [whole.choice.columns[number] for number in wanted]
    choice = choosing.SampleChoice(whole.choice.sample_ids, columns)
    store = _part_store(work, part)
    identity = {"part": part, **plan.identity, "stretches": [asdict(stretch) for stretch in stretches]}
    if store.exists():  # finished and killed before it was recorded; or made of an input that was edited since
        remove(store)
    content = content_of(
        whole.sources
    )  # of all files, so that parts of those without dosages are laid out as the others
    sizes = ConversionSizes.fit(memory, len(choice.sample_ids), threads or processors(), content.dosages)
    writer = StoreWriter(store, choice.sample_ids, identity, ahead=sizes.ahead, contents=content)
    try:
        tally = Conversion(sources, choice, [], writer, threads, progress or Silent(), sizes).scan()
        rows = writer.n_rows_appended
        if rows:
            writer.finish({"summary": {"rows": rows}})
        else:
            writer.abandon()
    except BaseException:
        writer.close()
        raise
    records = [0] * len(plan.inputs)
    for number, count in zip(wanted, tally.source_records):
        records[number] = count
    fingerprint = GenotypeStore.open(store).fingerprint if rows else None
    record = {
        "identity": plan.identity,
        "stretches": _cuts(plan, part),
        "rows": rows,
        "counts": tally.counts,
        **{name: getattr(tally, name) for name in BY_NAME},
        "source_records": records,
        "fingerprint": fingerprint,
    }
    with replacing(_part_facts(work, part)) as file:
        file.write(json.dumps(record, indent=1).encode())


@dataclass(frozen=True)
class _Whole:
    """The inputs of the whole conversion, opened."""

    sources: list[Any]
    choice: choosing.SampleChoice


def _whole(plan: ConversionPlan, work: Path, max_header_bytes: int = MAX_HEADER_BYTES) -> _Whole:
    """All inputs, checked to be unchanged since the plan."""
    paths = choosing.expand(list(plan.inputs))
    sources = [choosing.open_source(path, [], max_header_bytes, reading=plan.reading) for path in paths]
    choice = choosing.choose_samples(sources, plan.samples)
    if conversion_identity(paths, [], choice, plan.reading, sources) != plan.identity:
        raise PlanError(f"the inputs or genassoc are no longer those that {work} was planned with: plan again.")
    check_whole(plan, work)
    return _Whole(sources, choice)


def _part_store(work: Path, part: int) -> Path:
    return work / f"part-{part:05d}.zarr"


def _part_facts(work: Path, part: int) -> Path:
    return work / f"part-{part:05d}.json"


def _cuts(plan: ConversionPlan, part: int) -> list[list[Any]]:
    """The stretches that a part reads, as JSON: a job of an earlier plan may still run when another plan is made."""
    return [[stretch.source, None if stretch.region is None else list(stretch.region)] for stretch in plan.parts[part]]


def _finished(work: Path, plan: ConversionPlan, part: int) -> dict[str, Any] | None:
    """The record of a finished part; None if it is unfinished, damaged or of other inputs."""
    try:
        record = strangers.read_object(_part_facts(work, part))
        if record.get("identity") != plan.identity or record.get("stretches") != _cuts(plan, part):
            return None  # made of other inputs, or under a plan that cut them otherwise
        rows = strangers.field(record, "rows", strangers.whole)
        strangers.field(record, "counts", strangers.counts)
        for name in BY_NAME:
            strangers.field(record, name, strangers.counts)
        records = [strangers.whole(n, "a count") for n in strangers.field(record, "source_records", strangers.items)]
        attributes = {}
        if rows:
            store = strangers.read_object(_part_store(work, part) / "zarr.json")
            attributes = strangers.field(store, "attributes", strangers.table)
        known = set(record["counts"]) <= set(Tally().counts) and len(records) == len(plan.inputs)
        return record if known and attributes.get("fingerprint") == record.get("fingerprint") else None
    except (OSError, MalformedError):
        return None


def conversion_status(work: Path) -> ConversionStatus:
    """How far a conversion in parts is."""
    plan = ConversionPlan.read(work)
    missing = tuple(part for part in range(len(plan.parts)) if _finished(work, plan, part) is None)
    return ConversionStatus(len(plan.parts), missing)


# the end -----------------------------------------------------------------------------------------------------


def merge_conversion(work: Path, out: Path, *, overwrite: bool = False) -> ConversionSummary:
    """Join the parts into one store, the same bytes as one conversion's; a killed merge carries on. The parts stay.

    Raises
    ------
    PlanError
        Parts are missing (names them), or the inputs are no longer what they were.
    StoreError
        A part is damaged.
    OutputError
        The store cannot be written.
    """
    plan = ConversionPlan.read(work)
    missing = conversion_status(work).missing_parts
    if missing:
        shown = ", ".join(map(str, missing[:10])) + (", ..." if len(missing) > 10 else "")
        raise PlanError(
            f"{len(missing)} of {len(plan.parts)} parts are not converted yet ({shown}): do them, then merge again."
        )
    whole = _whole(plan, work)
    out = target_of(out)
    check_output(out, overwrite)
    check_outputs([out], [work])
    content = content_of(whole.sources)
    writer = StoreWriter(out, whole.choice.sample_ids, plan.identity, overwrite=overwrite, contents=content)
    try:
        resumed = writer.n_rows
        tally = _append_parts(work, plan, writer, len(whole.sources))
        conversion = Conversion(whole.sources, whole.choice, [], writer, None, Silent(), reading=plan.reading)
        return conversion.finish(tally, resumed)
    except BaseException:
        writer.close()
        raise


def _append_parts(work: Path, plan: ConversionPlan, writer: StoreWriter, n_sources: int) -> Tally:
    """Append the rows of all parts in order, except those that the writer has already; return the counts."""
    tally = Tally(source_records=[0] * n_sources)
    skip = writer.n_rows
    for part in range(len(plan.parts)):
        record = _finished(work, plan, part)
        if record is None:
            raise PlanError(f"part {part} of {work} has gone while it was merged: do it again, then merge again.")
        if record["rows"]:
            store = GenotypeStore.open(_part_store(work, part))
            for start in range(0, store.n_variants, store.block_variants):
                stop = min(start + store.block_variants, store.n_variants)
                table = store.variants(start, stop, annotations=store.annotations)
                runs = [
                    (run["value"], run["len"]) for run in table["chromosome"].rle().struct.unnest().rows(named=True)
                ]
                tally.see_rows(runs, table["base_pair_location"].to_numpy())
                dropped = min(skip, stop - start)
                skip -= dropped
                if dropped < stop - start:
                    block = store.read(start + dropped, stop)
                    rows = table[dropped:].with_columns(table["record"][dropped:] + tally.counts["records"])
                    dosages = store.read_dosages(start + dropped, stop) if store.has_dosages else None
                    origin = {"part": part, "start": start}
                    writer.append(block.packed, block.haploid, rows, origin, dropped, dosages=dosages)
        for name, count in record["counts"].items():
            tally.counts[name] += count if name != "outside_regions" else 0  # of the parts' own stretches
        tally.count_by_name(record)
        tally.source_records = [a + b for a, b in zip(tally.source_records, record["source_records"])]
    return tally
