"""The plan of a conversion as a job array: the stretches of files that each part reads.

A file with a ``.tbi`` or ``.csi`` beside it is cut where its index says that as many bytes lie before as behind; any other
belongs to one part as a whole. A record belongs to the stretch that its POS is in, so no record is in two.
"""

import json
import shutil
import sys
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from genassoc.data import strangers
from genassoc.data.output import check_outputs, output_error, replacing
from genassoc.data.strangers import MalformedError
from genassoc.errors import PlanError
from genassoc.formats import bgzf
from genassoc.formats import inputs as choosing
from genassoc.formats.convert import check_contigs, conversion_identity
from genassoc.formats.reading import AS_IT_IS, Reading, reading_of
from genassoc.formats.source import LAST_POSITION, Region, size_of
from genassoc.formats.vcf import tabix

PLAN_NAME = "plan.json"
PLAN_FORMAT = "genassoc-conversion-plan"
PLAN_VERSION = 2
_PIECES_A_PART = 8  # stretches that a part is made of before neighbours are joined: parts differ by an eighth at most


@dataclass(frozen=True)
class Stretch:
    """Records of one file: those of ``region``, or all of them.

    Attributes
    ----------
    source : int
        Number of the input.
    region : Region or None
    n_bytes : int
        Of the file, about.
    """

    source: int
    region: Region | None
    n_bytes: int


@dataclass(frozen=True)
class ConversionPlan:
    """What each part of a conversion reads.

    Attributes
    ----------
    inputs : tuple of str
        Absolute paths.
    samples : tuple of str or None
        Ids to keep; all if None.
    identity : dict
        Of the whole conversion: fingerprints of the inputs, samples.
    parts : tuple of tuple of Stretch
        In the order of the store.
    reading : Reading
    """

    inputs: tuple[str, ...]
    samples: tuple[str, ...] | None
    identity: dict[str, Any]
    parts: tuple[tuple[Stretch, ...], ...]
    reading: Reading = AS_IT_IS

    def to_json(self) -> str:
        """The plan as JSON text."""
        return json.dumps({"format": PLAN_FORMAT, "version": PLAN_VERSION, **asdict(self)}, indent=1)

    @classmethod
    def read(cls, work: Path) -> "ConversionPlan":
        """The plan of a work folder.

        Raises
        ------
        PlanError
            There is none, or one of another version.
        """
        try:
            content = strangers.read_object(work / PLAN_NAME)
            if content.get("format") != PLAN_FORMAT or content.get("version") != PLAN_VERSION:
                raise PlanError(f"{work} holds a plan of another kind or version of genassoc; plan again.")
            inputs = tuple(
                strangers.file_name(name, "an input") for name in strangers.field(content, "inputs", strangers.items)
            )
            samples = strangers.optional(content, "samples", strangers.texts)
            parts = tuple(
                tuple(_stretch(item, len(inputs)) for item in strangers.items(part, "a part"))
                for part in strangers.field(content, "parts", strangers.items)
            )
            identity = strangers.field(content, "identity", strangers.table)
            reading = reading_of(strangers.field(content, "reading", strangers.table))
            return cls(inputs, None if samples is None else tuple(samples), identity, parts, reading)
        except FileNotFoundError as error:
            raise PlanError(f"{work} is no work folder of genassoc's: it has no {PLAN_NAME}.") from error
        except OSError as error:
            raise PlanError(f"{work}/{PLAN_NAME} cannot be read: {error.strerror or error}.") from error
        except MalformedError as error:
            raise PlanError(f"{work}/{PLAN_NAME} is damaged ({error}); plan again into another folder.") from error

    def lines(self, work: Path) -> list[str]:
        """For people, with what to type next."""
        sizes = [sum(stretch.n_bytes for stretch in part) for part in self.parts]
        empty = sum(not part for part in self.parts)
        few = (
            [f"{empty} parts have nothing to do: the inputs cannot be cut finer (is there an index?)"] if empty else []
        )
        return [
            *few,
            f"{len(self.inputs)} files in {len(self.parts)} parts of {min(sizes) / 1e6:,.1f} to {max(sizes) / 1e6:,.1f} MB",
            f"each job: genassoc part {work} I, with I from 0 to {len(self.parts) - 1}; then: genassoc merge {work} OUT.zarr",
        ]


def _stretch(item: object, n_inputs: int) -> Stretch:
    """One stretch of a plan, read from JSON."""
    content = strangers.table(item, "a stretch")
    region = strangers.optional(content, "region", strangers.items)
    if region is not None:
        if len(region) != 3:
            raise MalformedError("a region is no contig, first and last place")
        first = strangers.whole(region[1], "the first place of a region")
        last = strangers.whole(region[2], "the last place of a region", first)
        region = Region(strangers.text(region[0], "the contig of a region"), first, last)
    if n_inputs == 0:
        raise MalformedError("it has stretches of files, and no files")
    source = strangers.field(content, "source", strangers.whole, 0, n_inputs - 1)
    return Stretch(source, region, strangers.field(content, "n_bytes", strangers.whole))


def is_conversion(work: Path) -> bool:
    """Whether a work folder is a conversion's."""
    try:
        return f'"{PLAN_FORMAT}"'.encode() in strangers.read_bytes(work / PLAN_NAME)[:200]
    except (OSError, MalformedError):
        return False


# planning ----------------------------------------------------------------------------------------------------


def plan_conversion(
    inputs: Sequence[str | Path],
    work: Path,
    n_parts: int,
    *,
    samples: Sequence[str] | Path | None = None,
    restart: bool = False,
    reading: Reading = AS_IT_IS,
) -> ConversionPlan:
    """Divide a conversion into parts, and write the plan into ``work``.

    Parameters
    ----------
    inputs, samples, reading
        As in `genassoc.formats.convert.convert`.
    n_parts : int
        Jobs of the array.
    restart : bool
        Throw away the parts of another plan.

    Raises
    ------
    InputError
        The inputs do not fit each other.
    PlanError
        ``work`` holds something else.
    """
    paths = choosing.expand(list(inputs))
    sources = choosing.in_genome_order([choosing.open_source(path, [], reading=reading) for path in paths])
    paths = [source.path for source in sources]
    if len(choosing.sample_groups(sources)) > 1:
        raise PlanError(
            f"{paths[0]} and other files hold different samples, and are merged as they are read: convert them in one job "
            "(genassoc convert), not in parts."
        )
    choice = choosing.choose_samples(sources, samples)
    check_contigs(sources, [])
    check_outputs([work], paths)
    identity = conversion_identity(paths, [], choice, reading, sources)
    kept = None if samples is None else choice.sample_ids
    plan = ConversionPlan(
        tuple(str(path.absolute()) for path in paths), kept, identity, _cut(paths, n_parts), reading.absolute()
    )
    _write_plan(plan, work, restart)
    return plan


def _write_plan(plan: ConversionPlan, work: Path, restart: bool) -> None:
    try:
        work.mkdir(exist_ok=True)
        held = sorted(entry.name for entry in work.iterdir())
    except OSError as error:
        raise output_error(error, work) from error
    if held and not is_conversion(work):
        raise PlanError(f"{work} is not empty and holds no plan of a conversion: name or empty another folder.")
    if held and not restart:
        if ConversionPlan.read(work) == plan:
            return
        raise PlanError(
            f"{work} holds another conversion's plan: --force throws its parts away, or name another folder."
        )
    for name in held:
        remove(work / name)
    with replacing(work / PLAN_NAME) as file:
        file.write(plan.to_json().encode())


def _cut(paths: Sequence[Path], n_parts: int) -> tuple[tuple[Stretch, ...], ...]:
    """All stretches in about equal parts, neighbours joined."""
    if n_parts < 1:
        raise PlanError(f"cannot divide the work into {n_parts} parts: at least 1 is needed.")
    target = max(1, sum(size_of(path) for path in paths) // (n_parts * _PIECES_A_PART))
    stretches = [stretch for number, path in enumerate(paths) for stretch in _stretches(number, path, target)]
    total = max(1, sum(stretch.n_bytes for stretch in stretches))
    parts: list[list[Stretch]] = [[] for _ in range(n_parts)]
    done = 0
    for stretch in stretches:
        part = parts[min(n_parts - 1, (2 * done + stretch.n_bytes) * n_parts // (2 * total))]
        last = part[-1] if part else None
        if (
            last
            and last.source == stretch.source
            and last.region
            and stretch.region
            and last.region.contig == stretch.region.contig
        ):
            joined = Region(last.region.contig, last.region.first, stretch.region.last)
            part[-1] = Stretch(last.source, joined, last.n_bytes + stretch.n_bytes)
        else:
            part.append(stretch)
        done += stretch.n_bytes
    return tuple(tuple(part) for part in parts)


def check_whole(plan: ConversionPlan, work: Path) -> None:
    """Check that the parts of a plan read every record of its inputs exactly once.

    Raises
    ------
    PlanError
        A stretch is missing, or twice there: the plan was damaged or edited.
    """
    paths = [Path(path) for path in plan.inputs]
    uncut = [stretch for number, path in enumerate(paths) for stretch in _stretches(number, path, sys.maxsize)]
    if _joined(stretch for part in plan.parts for stretch in part) != _joined(uncut):
        raise PlanError(
            f"the parts in {work}/{PLAN_NAME} do not read every record of the inputs once: it was damaged or edited, or the indexes "
            "of the inputs are others: plan again into another folder."
        )


def _joined(stretches: Iterable[Stretch]) -> list[tuple[int, Region | None]]:
    """Stretches of files, neighbours joined however finely they were cut."""
    joined: list[tuple[int, Region | None]] = []
    for stretch in stretches:
        source, region = joined[-1] if joined else (-1, None)
        here = stretch.region
        if region and here and (source, region.contig, region.last + 1) == (stretch.source, here.contig, here.first):
            joined[-1] = source, Region(region.contig, region.first, here.last)
        else:
            joined.append((stretch.source, here))
    return joined


def _stretches(number: int, path: Path, target: int) -> Iterator[Stretch]:
    """A file in stretches of about ``target`` bytes, by its index; in one piece if it has none."""
    index_path = None if path.is_dir() or bgzf.sniff(path) != "bgzf" else tabix.find_index(path)
    if index_path is None:
        yield Stretch(number, None, size_of(path))
        return
    index = tabix.read_index(index_path)
    starts = [index.windows(contig) for contig in index.contigs]
    firsts = [int(offsets[0]) >> 16 for offsets in starts]
    for at, contig in enumerate(index.contigs):
        behind = firsts[at + 1] if at + 1 < len(firsts) else size_of(path)
        offsets = starts[at] >> 16
        cuts = [0]
        for window in range(1, len(offsets)):
            if offsets[window] - offsets[cuts[-1]] >= target:
                cuts.append(window)
        for cut, following in zip(cuts, [*cuts[1:], None]):
            first = cut * index.window + 1 if cut else 0
            last = LAST_POSITION if following is None else following * index.window
            end = behind if following is None else int(offsets[following])
            yield Stretch(number, Region(contig, first, last), max(1, end - int(offsets[cut])))


def remove(path: Path) -> None:
    """Remove a file, or a folder with all in it."""
    if path.is_dir():
        shutil.rmtree(path, ignore_errors=True)
    else:
        path.unlink(missing_ok=True)
