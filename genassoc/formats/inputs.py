"""The files of a conversion, and whether they fit together: globs, one set of samples, one way to name contigs."""

import glob
import re
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path

import numpy as np

from genassoc.data.cohort.builds import Build
from genassoc.data.cohort.contigs import RANK, XY, Contigs, chromosome_of, dialect_of
from genassoc.errors import InputError
from genassoc.formats import bgzf
from genassoc.formats.bgen.header import is_bgen
from genassoc.formats.identity import identified
from genassoc.formats.reading import AS_IT_IS, Reading
from genassoc.formats.source import MAX_HEADER_BYTES, Region, Source, build_of_source, merge_regions, parse_region
from genassoc.shapes import Int64Array

_INDEXES = (".tbi", ".csi", ".bgi", ".sample")  # and what else lies beside files of genotypes


def expand(inputs: str | Path | Sequence[str | Path]) -> list[Path]:
    """Files from paths and globs: those of a glob in natural order (chr2 before chr10), a list in its order.

    Raises
    ------
    InputError
        A glob matches nothing, a file is absent or given twice.
    """
    given = [inputs] if isinstance(inputs, str | Path) else inputs
    if not isinstance(given, Collection) or not all(isinstance(item, str | Path) for item in given):
        raise InputError(f"{str(inputs)[:80]!r} is neither a path of a file nor a list of paths")
    paths: list[Path] = []
    for item in given:
        path = Path(item)
        if path.exists() or not glob.has_magic(str(item)):
            paths.append(_of_prefix(path))
            continue
        # a pattern like chr*.vcf.gz* also matches the indexes, and chr* the lists beside a BED or a PGEN
        matches = glob.glob(str(item), recursive=True)  # noqa: PTH207 (Path.glob refuses absolute patterns)
        files = [p for p in matches if not p.endswith(_INDEXES) and not _is_beside(Path(p), set(matches))]
        if not files:
            raise InputError(f"{item}: no file matches; check the folder and the pattern")
        paths += [Path(p) for p in sorted(files, key=natural_order)]
    if not paths:
        raise InputError("no input files were given")
    seen: dict[Path, Path] = {}
    for path in paths:
        if str(path) == "-" or path.is_fifo() or path.is_char_device() or path.is_socket():
            raise InputError(
                f"{path}: a pipe cannot be converted, since files are read more than once; write it to a file first "
                "(bcftools view -Ob -o cohort.bcf ...)"
            )
        if not path.exists():
            raise InputError(f"{path}: no such file")
        if path.is_dir() and not any(known.recognises(path, b"") for known in FOLDERS):
            raise InputError(f"{path}: is a folder; give the files in it ({path}/*.vcf.gz)")
        if path.resolve() in seen:
            raise InputError(f"{path}: is given twice; its variants would be in the store twice")
        seen[path.resolve()] = path
    return paths


def _of_prefix(path: Path) -> Path:
    """The BED or PGEN of PLINK's ``--bfile`` or ``--pfile`` of this name, where no file has the name itself."""
    if path.exists():
        return path
    found = [whole for suffix in (".pgen", ".bed") if (whole := path.with_name(path.name + suffix)).is_file()]
    if len(found) > 1:
        raise InputError(f"{path}: both {found[0].name} and {found[1].name} are there; say which")
    return found[0] if found else path


def _is_beside(path: Path, matches: set[str]) -> bool:
    """Whether a file is a list of a BED or a PGEN that is matched too."""
    name = path.name.removesuffix(".zst")
    lists = {".bim": (".bed", ".pgen"), ".fam": (".bed", ".pgen"), ".pvar": (".pgen",), ".psam": (".pgen",)}
    stem, dot, suffix = name.rpartition(".")
    return any(str(path.with_name(stem + whole)) in matches for whole in lists.get(dot + suffix, ()))


def natural_order(name: str) -> list[tuple[int, int, str]]:
    """Sort key in which numbers count as numbers."""
    pieces = re.split(r"(\d+)", name)
    return [(0, int(p), p) if p.isdigit() else (1, 0, p) for p in pieces if p]


@dataclass(frozen=True)
class Format:
    """A format of genotypes.

    Attributes
    ----------
    name : str
    recognises : callable
        Whether a file (path, its first `HEAD_BYTES`) is one: told by its bytes, not by its name.
    source : str
        ``module:class`` of its `Source`, which is imported when it is needed:
        ``Source(path, regions, max_header_bytes, exact=..., reading=...)``.
    """

    name: str
    recognises: Callable[[Path, bytes], bool]
    source: str

    def open(
        self, path: Path, regions: list[Region], max_header_bytes: int, *, exact: bool, reading: Reading
    ) -> Source:
        """The source for a file."""
        module, name = self.source.split(":")
        made: Source = getattr(import_module(module), name)(
            path, regions, max_header_bytes, exact=exact, reading=reading
        )
        return made


HEAD_BYTES = 24


def _is_bcf(path: Path, _: bytes) -> bool:
    layout = bgzf.sniff(path)
    return layout == "bcf" or (layout != "plain" and bgzf.inflated_head(path).startswith(b"BCF"))


def _is_vcf_zarr(path: Path, head: bytes) -> bool:
    from genassoc.formats.vcz.files import is_zarr_folder, is_zarr_zip

    return is_zarr_folder(path) if path.is_dir() else is_zarr_zip(path, head)


def _is_lake(path: Path, _: bytes) -> bool:
    if not path.is_dir():
        return False
    from genassoc.formats.sake.lake import is_lake

    return is_lake(path)


# Folders that are one input.
FOLDERS: tuple[Format, ...] = (
    Format("VCF Zarr", _is_vcf_zarr, "genassoc.formats.vcz.source:VczSource"),
    Format("sake", _is_lake, "genassoc.formats.sake.source:SakeSource"),
)
# The first that recognises a file reads it.
SOURCES: tuple[Format, ...] = (
    *FOLDERS,
    Format("BGEN", is_bgen, "genassoc.formats.bgen.bgen:BgenSource"),
    Format(
        "BED", lambda _, head: head[:3] in (b"\x6c\x1b\x01", b"\x6c\x1b\x00"), "genassoc.formats.plink.bed:BedSource"
    ),
    Format("PGEN", lambda _, head: head[:2] == b"\x6c\x1b", "genassoc.formats.plink.pgen:PgenSource"),
    Format("BCF", _is_bcf, "genassoc.formats.vcf.bcf:BcfSource"),
    Format("VCF", lambda *_: True, "genassoc.formats.vcf.vcf:VcfSource"),
)


def open_source(
    path: Path,
    regions: list[Region],
    max_header_bytes: int = MAX_HEADER_BYTES,
    *,
    exact: bool = False,
    reading: Reading = AS_IT_IS,
) -> Source:
    """The source for a file, recognised by its bytes and not by its name.

    Regions ask for a chromosome, whatever the file calls it; ``exact``: for the contigs of just these names.
    """
    _refuse_companions(path)
    try:
        with path.open("rb") as file:
            head = file.read(HEAD_BYTES)
    except OSError:
        head = b""  # `bgzf.sniff` says why it cannot be opened
    found = next(known for known in SOURCES if known.recognises(path, head))
    if reading.called_sites is not None and found.name != "sake":
        raise InputError(f"{path}: called_sites is of Parquet lakes (sake), which list carriers alone; leave it out")
    return identified(found.open(path, regions, max_header_bytes, exact=exact, reading=reading), reading)


def check_choices(sources: Sequence[Source], reading: Reading) -> None:
    """Refuse choices that are of formats which none of the files has.

    Raises
    ------
    InputError
        ``sample_file`` without a BGEN, ``reference`` without a file that leaves open which allele is REF.
    """
    kinds = dict.fromkeys(source.kind for source in sources)
    named = f"{sources[0].path}: is {', '.join(kinds)}"
    if reading.sample_file is not None and not any(kind.startswith("BGEN") for kind in kinds):
        raise InputError(f"{named}: --sample-file is of a BGEN; leave it out")
    if reading.reference is not None and not any(kind.startswith(("BGEN", "BED", "PGEN")) for kind in kinds):
        raise InputError(f"{named}, which says itself which allele is REF: leave out --reference-allele")


def _refuse_companions(path: Path) -> None:
    """Name the file that a .bim, .fam, .pvar or .psam belongs to, where that lies beside it."""
    for suffix, of in ((".bim", ".bed"), (".fam", ".bed"), (".pvar", ".pgen"), (".psam", ".pgen")):
        whole = path.with_suffix(of)
        if path.suffix == suffix and whole.is_file():
            raise InputError(f"{path}: belongs to {whole.name}; give that: the files beside it are found")


def parse_regions(region: str | Sequence[str] | None) -> list[Region]:
    """Disjoint regions of one or several texts; an empty list for None."""
    if region is None:
        return []
    texts = [region] if isinstance(region, str) else region
    if not isinstance(texts, Collection) or not all(isinstance(text, str) for text in texts):
        raise InputError(f"region={str(region)[:80]!r} is no text such as 'chr1:1-1000', and no list of such texts")
    if not texts:
        raise InputError("an empty list of regions was given; leave it out to convert everything")
    return merge_regions([parse_region(text) for text in texts])


def in_genome_order(sources: Sequence[Source]) -> list[Source]:
    """Files by the place of their first record, whatever order a shell gave them in (chr10 before chr2).

    Files that begin at the same place keep their order; all do where one does not tell its place.
    """
    places = [source.first_site() for source in sources]
    if any(place is None for place in places):
        return list(sources)

    def key(number: int) -> tuple[int, list[tuple[int, int, str]], int]:
        contig, position = places[number] or ("", 0)
        chromosome = chromosome_of(contig)
        # other contigs behind the chromosomes
        return RANK.get(chromosome or "", len(RANK) + 4), [] if chromosome else natural_order(contig), position

    return [sources[number] for number in sorted(range(len(sources)), key=key)]


def sample_groups(sources: Sequence[Source]) -> list[list[Source]]:
    """Files by their sets of samples, in the order of the files.

    Returns
    -------
    list of list of Source
        One group where all hold the same samples; also where sets overlap, which `choose_samples` refuses.
    """
    groups: dict[frozenset[str], list[Source]] = {}
    for source in sources:
        groups.setdefault(frozenset(source.sample_ids), []).append(source)
    apart = len(frozenset().union(*groups)) == sum(map(len, groups))
    return list(groups.values()) if apart else [list(sources)]


@dataclass(frozen=True)
class SampleChoice:
    """The samples of the store, and where each is in each file.

    Attributes
    ----------
    sample_ids : tuple of str
        N names, in the order of the first file.
    columns : list of int64 (N,)
        For each file, the sample column of each.
    """

    sample_ids: tuple[str, ...]
    columns: list[Int64Array]


def choose_samples(sources: Sequence[Source], samples: Sequence[str] | Path | None) -> SampleChoice:
    """Align the files by sample id; keep those asked for.

    Parameters
    ----------
    sources : sequence of Source
        The first one's order is the store's.
    samples : sequence of str, Path or None
        Ids to keep, or a file with one in the first column of each line; all if None. A str is a path.

    Raises
    ------
    InputError
        The files do not hold the same samples; ids asked for are in none.
    """
    first = sources[0]
    for other in sources[1:]:
        if set(other.sample_ids) != set(first.sample_ids):
            missing = [name for name in first.sample_ids if name not in set(other.sample_ids)]
            extra = [name for name in other.sample_ids if name not in set(first.sample_ids)]
            parts = [
                f"{len(names)} {fault} ({', '.join(names[:3])}{', ...' if len(names) > 3 else ''})"
                for names, fault in ((missing, "missing"), (extra, "not in the first"))
                if names
            ]
            raise InputError(
                f"{other.path}: holds other samples than {first.path}: {'; '.join(parts)}; the files of one store must "
                "hold the same samples (in any order)"
            )
    chosen = first.sample_ids if samples is None else _asked_for(first, samples)
    columns = []
    for source in sources:
        at = {name: column for column, name in enumerate(source.sample_ids)}
        columns.append(np.array([at[name] for name in chosen], dtype=np.int64))
    return SampleChoice(chosen, columns)


def _asked_for(source: Source, samples: Sequence[str] | Path) -> tuple[str, ...]:
    if not isinstance(samples, Collection | Path):
        raise InputError(f"samples={samples!r} is neither a list of sample ids nor the path of one")
    if isinstance(samples, str | Path):
        path = Path(samples)
        try:
            lines = path.read_text(encoding="utf-8").splitlines()
        except (OSError, UnicodeDecodeError) as error:
            raise InputError(f"{path}: the list of samples cannot be read: {error}") from error
        wanted = [line.split()[0] for line in lines if line.strip() and not line.startswith("#")]
        origin = f"{path}: "
    else:
        wanted, origin = [str(name) for name in samples], ""
    if not wanted:
        raise InputError(f"{origin}no sample ids to keep")
    known = set(source.sample_ids)
    unknown = [name for name in dict.fromkeys(wanted) if name not in known]
    if unknown:
        raise InputError(
            f"{origin}{len(unknown)} of {len(wanted)} sample ids are not in {source.path}: {', '.join(unknown[:5])}; "
            f"there, ids look like {', '.join(source.sample_ids[:3])}"
        )
    keep = set(wanted)
    return tuple(name for name in source.sample_ids if name in keep)


class ContigCheck:
    """Refuses files that name contigs differently (chr1, 1), and one file whose chr1 and 1 have different lengths.

    The variants of two files would never be joined. A file that has both names of one chromosome was joined of two: its
    records are read as one chromosome's, and the summary says so, unless the header shows that they are of two builds.

    Parameters
    ----------
    lengths : mapping, optional
        Contig -> bases, of all files.
    """

    def __init__(self, lengths: Mapping[str, int] | None = None) -> None:
        self._lengths = lengths or {}
        self._styles: dict[str, tuple[Path, str]] = {}
        self._names: dict[str, str] = {}
        self._seen: set[tuple[str, str]] = set()

    def see(self, path: Path, contigs: Sequence[str]) -> None:
        """Take note of contigs of records of ``path``."""
        for contig in contigs:
            if (str(path), contig) in self._seen:
                continue
            self._seen.add((str(path), contig))
            style = dialect_of(contig)
            if style is None:
                continue
            for known, other in self._styles.items():
                if known != style and other[0] != path:
                    raise InputError(
                        f"{path}: names its contigs like '{contig}', {other[0]} like '{other[1]}'; rename the contigs of "
                        "one (bcftools annotate --rename-chrs), so that both say the same"
                    )
            self._styles.setdefault(style, (path, contig))
            self._see_name(path, contig)

    def _see_name(self, path: Path, contig: str) -> None:
        chromosome = chromosome_of(contig) or contig
        other = self._names.setdefault(chromosome, contig)
        ours, theirs = self._lengths.get(contig), self._lengths.get(other)
        if chromosome != XY and ours and theirs and ours != theirs:
            raise InputError(
                f"{path}: has records of '{contig}' ({ours:,} bases) and of '{other}' ({theirs:,} bases), both chromosome "
                f"{chromosome}: files of two genome builds were joined; convert them apart, or lift one over"
            )


def check_builds(sources: Sequence[Source]) -> None:
    """Raise `InputError` for files of two genome builds, as far as they tell."""
    first: tuple[Path, Build] | None = None
    for source in sources:
        build, _ = build_of_source(source)
        if build is None:
            continue
        if first is not None and first[1].name != build.name:
            raise InputError(
                f"{source.path}: is of {build.name} by the {build.by}, {first[0]} of {first[1].name} by the {first[1].by}; "
                "the files of one store must be of one genome build: convert them apart, or lift one over"
            )
        first = first or (source.path, build)


def check_regions(regions: list[Region], contigs: Sequence[str]) -> None:
    """Raise `InputError` for a region whose contig the inputs do not have under any of its names."""
    for region in regions:
        if contigs and region.contig not in contigs and not Contigs.of(contigs).same(region.contig):
            shown = ", ".join(contigs[:30]) + (", ..." if len(contigs) > 30 else "")
            raise InputError(f"region on contig '{region.contig}', which no input has; the contigs are: {shown}")
