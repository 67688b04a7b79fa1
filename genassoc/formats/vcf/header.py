"""The header of a VCF: what of it the conversion needs, and what is wrong with it."""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from genassoc.errors import InputError
from genassoc.formats.annotations import InfoField, subfields_of

FIXED_COLUMNS = ("#CHROM", "POS", "ID", "REF", "ALT", "QUAL", "FILTER", "INFO", "FORMAT")
_MOST_WORDS = 1000  # bytes of a line that names the reference
DOSAGE_FORMATS = (b"DS", b"HDS", b"GP")
_ID = re.compile(rb"[<,]ID=([^,>]+)")
_VERSION = re.compile(rb"##fileformat=VCFv(\d+)\.(\d+)")
_LENGTH = re.compile(rb"[<,]length=(\d+)")
_ASSEMBLY = re.compile(rb"[<,]assembly=([^,>]+)")
_NUMBER = re.compile(rb"[<,]Number=([^,>]+)")
_ANY_TYPE = re.compile(rb"[<,]Type=([^,>]+)")
_TYPE = re.compile(rb"[<,]Type=(Integer|Float)\b")


@dataclass(frozen=True, kw_only=True)
class VcfHeader:
    """The header of a VCF.

    Attributes
    ----------
    sample_ids : tuple of str
        N names, unique.
    contigs : tuple of str
        Names in ``##contig`` lines.
    numeric_formats : tuple of bytes
        FORMAT fields declared Integer or Float (GT excepted).
    n_lines : int
        Lines of the header, the column names included.
    leading_phase : bool
        Whether genotypes may begin with a separator (VCF 4.4 and later).
    contig_lengths : mapping
        Contig -> its length in bases, where its line tells.
    reference_words : str
        What ``##reference``, ``##assembly`` and the first ``assembly=`` of a contig say.
    info_fields : mapping
        INFO field -> what its line declares.
    dosage_formats : mapping
        DS, HDS, GP -> the line that declares it.
    """

    sample_ids: tuple[str, ...]
    contigs: tuple[str, ...]
    numeric_formats: tuple[bytes, ...]
    n_lines: int
    leading_phase: bool
    contig_lengths: Mapping[str, int] = field(default_factory=dict)
    reference_words: str = ""
    info_fields: Mapping[str, InfoField] = field(default_factory=dict)
    dosage_formats: Mapping[bytes, bytes] = field(default_factory=dict)


def is_vcf_start(head: bytes | bytearray) -> bool:
    """Whether a file's first bytes are a VCF's."""
    return head.startswith(b"##fileformat=VCF")


def _lines(text: bytes | bytearray, stop: int) -> Iterator[bytes]:
    """Lines before ``stop``, one after another, without their ends: a list of all would take several times the text."""
    start = 0
    while start < stop:
        end = text.find(b"\n", start)
        yield bytes(memoryview(text)[start:end])
        start = end + 1


def parse_header(path: Path, text: bytes | bytearray) -> VcfHeader:
    """Read a header that ends with its ``#CHROM`` line.

    Raises
    ------
    InputError
        Names the line: no VCF, foreign columns, no samples, duplicated or empty sample names.
    """
    if not is_vcf_start(text):
        shown = text[:40].split(b"\n")[0].decode("utf-8", "replace")
        raise InputError(
            f"{path}:1: is no VCF: the first line must be ##fileformat=VCFv4.x, it is {shown!r}; "
            "add that line if the rest is VCF"
        )
    contigs: dict[str, None] = {}
    lengths: dict[str, int] = {}
    numeric: dict[bytes, None] = {}
    reference: list[bytes] = []
    info: dict[str, InfoField] = {}
    dosages: dict[bytes, bytes] = {}
    end = len(text) - text.endswith(b"\n")
    last = text.rfind(b"\n", 0, end) + 1  # where the column names begin
    n_lines = text.count(b"\n", 0, last) + 1
    for number, line in enumerate(_lines(text, last), start=1):
        if not line.startswith(b"##"):
            if line.strip():
                shown = line[:60].decode("utf-8", "replace")
                raise InputError(
                    f"{path}:{number}: a line of the header does not start with ##: {shown!r}; remove it or restore the line it "
                    "belongs to"
                )
            continue
        match = _ID.search(line)
        if match and match[1] in DOSAGE_FORMATS and line.startswith(b"##FORMAT="):
            dosages[match[1]] = line
        if match and line.startswith(b"##contig="):
            name = match[1].strip(b'"').decode("utf-8", "replace")
            contigs[name] = None
            if length := _LENGTH.search(line):
                lengths[name] = int(length[1])
            if not reference and (assembly := _ASSEMBLY.search(line)):
                reference.append(assembly[1])
        elif line.startswith((b"##reference=", b"##assembly=")):
            reference.append(line[:_MOST_WORDS])
        elif match and line.startswith(b"##FORMAT=") and match[1] != b"GT" and _TYPE.search(line):
            numeric[match[1]] = None
        elif match and line.startswith(b"##INFO="):
            said = (_NUMBER.search(line), _ANY_TYPE.search(line))
            n_values, kind = (found[1].decode("utf-8", "replace") if found else "" for found in said)
            declared = InfoField(n_values, kind, subfields_of(line))
            info[match[1].decode("utf-8", "replace")] = declared
    sample_ids = _sample_ids(path, n_lines, bytes(memoryview(text)[last:end]).removesuffix(b"\r"))
    words = b" ".join(reference[:20]).decode("utf-8", "replace")
    version = _VERSION.match(text)
    leading_phase = version is not None and (int(version[1]), int(version[2])) >= (4, 4)
    return VcfHeader(
        sample_ids=sample_ids,
        contigs=tuple(contigs),
        numeric_formats=tuple(numeric),
        n_lines=n_lines,
        leading_phase=leading_phase,
        contig_lengths=lengths,
        reference_words=words,
        info_fields=info,
        dosage_formats=dosages,
    )


def _sample_ids(path: Path, number: int, line: bytes) -> tuple[str, ...]:
    """Samples of the ``#CHROM`` line."""
    try:
        names = tuple(line.decode("utf-8").split("\t"))
    except UnicodeDecodeError as error:
        raise InputError(f"{path}:{number}: the column names are not UTF-8 ({error}); convert the header") from None
    for expected, name in zip(FIXED_COLUMNS, names):
        if name != expected:
            hint = "; columns must be separated by tabs" if " " in name else ""
            raise InputError(f"{path}:{number}: column '{expected}' is expected where '{name}' stands{hint}")
    samples = names[len(FIXED_COLUMNS) :]
    if len(names) < len(FIXED_COLUMNS) - 1:
        raise InputError(f"{path}:{number}: the column '{FIXED_COLUMNS[len(names)]}' is missing")
    if not samples:
        raise InputError(
            f"{path}:{number}: has no samples (a sites-only VCF); genotypes are needed: give the file that "
            "has them (a file of sites gives ids to variants: --rsids)"
        )
    for column, name in enumerate(samples, start=1):
        if not name.strip():
            raise InputError(f"{path}:{number}: the name of sample {column} is empty (a tab too many?)")
    if len(set(samples)) < len(samples):
        seen: set[str] = set()
        twice = [name for name in samples if name in seen or seen.add(name)]  # type: ignore[func-returns-value]
        raise InputError(
            f"{path}:{number}: duplicated sample ids, so a call could not be told whose it is: "
            + ", ".join(dict.fromkeys(twice[:5]))
            + "; rename them (bcftools reheader)"
        )
    return samples
