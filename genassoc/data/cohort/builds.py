"""Builds of the human genome: what tells which one a file's positions are of, and where its pseudo-autosomal regions lie."""

import re
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, NamedTuple

from genassoc.data.cohort.contigs import bare_accession, chromosome_of
from genassoc.errors import InputError

if TYPE_CHECKING:
    from genassoc.data.store.store import GenotypeStore

GRCH37, GRCH38, CHM13 = BUILDS = ("GRCh37", "GRCh38", "T2T-CHM13")

# Pseudo-autosomal regions, first and last position (Genome Reference Consortium; T2T Consortium, chm13v2.0_PAR.bed).
PAR: Mapping[str, Mapping[str, tuple[tuple[int, int], tuple[int, int]]]] = {
    "GRCh37": {"X": ((60_001, 2_699_520), (154_931_044, 155_260_560)), "Y": ((10_001, 2_649_520), (59_034_050, 59_363_566))},
    "GRCh38": {"X": ((10_001, 2_781_479), (155_701_383, 156_030_895)), "Y": ((10_001, 2_781_479), (56_887_903, 57_217_415))},
    "T2T-CHM13": {"X": ((1, 2_394_410), (153_925_835, 154_259_566)), "Y": ((1, 2_458_320), (62_122_810, 62_460_029))},
}  # fmt: skip

# Bases of chromosomes 1 to 22, X, Y (assembly reports of GCF_000001405.25, GCF_000001405.40, GCF_009914755.1). No two builds
# share a length; MT's is the same in all.
_LENGTHS: Mapping[str, tuple[int, ...]] = {
    GRCH37: (
        249_250_621, 243_199_373, 198_022_430, 191_154_276, 180_915_260, 171_115_067, 159_138_663, 146_364_022, 141_213_431, 135_534_747,
        135_006_516, 133_851_895, 115_169_878, 107_349_540, 102_531_392, 90_354_753, 81_195_210, 78_077_248, 59_128_983, 63_025_520,
        48_129_895, 51_304_566, 155_270_560, 59_373_566,
    ),
    GRCH38: (
        248_956_422, 242_193_529, 198_295_559, 190_214_555, 181_538_259, 170_805_979, 159_345_973, 145_138_636, 138_394_717, 133_797_422,
        135_086_622, 133_275_309, 114_364_328, 107_043_718, 101_991_189, 90_338_345, 83_257_441, 80_373_285, 58_617_616, 64_444_167,
        46_709_983, 50_818_468, 156_040_895, 57_227_415,
    ),
    CHM13: (
        248_387_328, 242_696_752, 201_105_948, 193_574_945, 182_045_439, 172_126_628, 160_567_428, 146_259_331, 150_617_247, 134_758_134,
        135_127_769, 133_324_548, 113_566_686, 101_161_492, 99_753_195, 96_330_374, 84_276_897, 80_542_538, 61_707_364, 66_210_255,
        45_090_682, 51_324_926, 154_259_566, 62_460_029,
    ),
}  # fmt: skip
_CHROMOSOMES = (*map(str, range(1, 23)), "X", "Y")
LENGTHS: Mapping[str, Mapping[str, int]] = {
    build: dict(zip(_CHROMOSOMES, lengths, strict=True)) for build, lengths in _LENGTHS.items()
}
_BY_LENGTH = {(name, length): build for build, lengths in LENGTHS.items() for name, length in lengths.items()}
# Versions of the accessions NC_000001 to NC_000024 in GRCh37; in GRCh38 each is one more. CM000663 and on are 1 and 2.
_REFSEQ_37 = (10, 11, 11, 11, 9, 11, 13, 10, 11, 10, 9, 11, 10, 8, 9, 9, 10, 9, 9, 10, 8, 10, 10, 9)
_BY_ACCESSION = {
    f"NC_{n:06}.{version + later}": build
    for n, version in enumerate(_REFSEQ_37, start=1)
    for later, build in ((0, GRCH37), (1, GRCH38))
} | {f"CM{662 + n:06}.{later}": build for n in range(1, 25) for later, build in ((1, GRCH37), (2, GRCH38))}
_T2T = re.compile(r"NC_0609(2[5-9]|3\d|4[0-8])\.\d+|CP0682(5[5-9]|6\d|7[0-7])\.\d+|CP086569\.\d+")
# What files of reference sequences are called, in ##reference, ##assembly and assembly=.
_WORDS = {
    GRCH37: r"grch37|hg19|\bb37|_b37|hs37|g1k_v37|assembly19|gcf_000001405\.(1[3-9]|2[0-5])\b|gca_000001405\.([1-9]|1[0-4])\b",
    GRCH38: r"grch38|hg38|\bb38|_b38|hs38|assembly38|gcf_000001405\.(2[6-9]|[34]\d)\b|gca_000001405\.(1[5-9]|2\d)\b",
    CHM13: r"chm13|\bhs1\b|g[ac][af]_009914755",
}
_NAMES = {
    "grch37": GRCH37, "hg19": GRCH37, "b37": GRCH37, "grch38": GRCH38, "hg38": GRCH38, "b38": GRCH38,
    "t2t-chm13": CHM13, "chm13": CHM13, "t2t": CHM13, "hs1": CHM13,
}  # fmt: skip


class Build(NamedTuple):
    """A build of the genome.

    Attributes
    ----------
    name : str
        One of `BUILDS`.
    by : str
        What told it, in words.
    """

    name: str
    by: str


def build_named(name: str | None) -> str | None:
    """ "GRCh37", "GRCh38" or "T2T-CHM13" of one of its names; None of None.

    Raises
    ------
    InputError
        It is another build, or none.
    """
    if name is None:
        return None
    build = _NAMES.get(str(name).strip().lower())
    if build is None:
        raise InputError(f"build = {name!r}: the genome builds are GRCh37 (hg19), GRCh38 (hg38) and T2T-CHM13 (hs1)")
    return build


def detected(lengths: Mapping[str, int], names: Iterable[str] = (), words: str = "") -> tuple[Build | None, list[str]]:
    """The build that a file tells, and notes on what contradicts it.

    Lengths of contigs tell most surely, then the versions of accessions among their names, then the name of the file of
    reference sequences. Where one of them names several builds, none is known.

    Parameters
    ----------
    lengths : mapping
        Contig -> bases.
    names : iterable of str
        Contigs.
    words : str
        What the header says of the reference.
    """
    names = dict.fromkeys([*lengths, *names])
    told: dict[str, set[str | None]] = {
        "lengths of contigs": {_BY_LENGTH.get((chromosome_of(name) or "", int(n))) for name, n in lengths.items()},
        "accessions of contigs": {build_of_accession(name) for name in names},
        "name of the reference": {build for build, pattern in _WORDS.items() if re.search(pattern, words.lower())},
    }
    found: Build | None = None
    notes: list[str] = []
    for by, found_here in told.items():
        builds = {build for build in found_here if build is not None}
        if len(builds) > 1:
            notes.append(f"the {by} are those of {' and '.join(sorted(builds))}: do files of two builds lie in one?")
        elif builds:
            build = builds.pop()
            if found is None:
                found = Build(build, by)
            elif found.name != build:
                notes.append(
                    f"the {by} is that of {build}, the {found.by} are those of {found.name}, which is believed"
                )
    return (None, notes) if any("two builds" in note for note in notes) else (found, notes)


def build_of_accession(name: str) -> str | None:
    """The genome build that the accession of a chromosome tells by its version; None of other names."""
    accession = bare_accession(name)
    return _BY_ACCESSION.get(accession) or (CHM13 if _T2T.fullmatch(accession) else None)


def too_far(largest: Mapping[str, int], build: str) -> dict[str, int]:
    """Contigs whose largest position is behind the end of their chromosome in a build, and that position."""
    ends = LENGTHS[build]
    return {name: last for name, last in largest.items() if last > ends.get(chromosome_of(name) or "", last)}


def build_of(store: "GenotypeStore") -> str | None:
    """The build that the files of a store told (`genassoc.data.cohort.builds.detected`); None where they did not."""
    attributes = getattr(store, "attributes", {})
    told = attributes.get("build")
    if isinstance(told, Mapping) and told.get("name") in BUILDS:
        return str(told["name"])
    lengths = {name: n for name, n in attributes.get("contig_lengths", {}).items() if isinstance(n, int)}
    build, _ = detected(lengths, map(str, store.contigs))
    return None if build is None else build.name


def build_notes(store: "GenotypeStore", given: str | None) -> list[str]:
    """A note where the build that is given is not the one that the store's files told."""
    told, given = None if given is None else build_of(store), build_named(given)
    if told is None or told == given:
        return []
    return [
        f"build {given} was given and is believed, though the files of the genotypes told {told}: check which is right"
    ]
