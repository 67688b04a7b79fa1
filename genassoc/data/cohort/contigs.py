"""Names of contigs: which chromosome each means. One table with a column for each dialect; all other modules use it.

The meaning of a name may depend on its source and on the other names: 25 is the pseudo-autosomal part of X in genotype files
(PLINK 1.9 writes it) and MT in GWAS-SSF; in a species with 38 autosomes 23 is not X. `Contigs` decides for all names of a
store or of a results file together, and reports its decisions.
"""

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property, lru_cache
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    import polars as pl

    from genassoc.data.store.store import GenotypeStore

X, Y, XY, MT = "X", "Y", "XY", "MT"
NOT_AUTOSOMES = (X, Y, XY, MT)
_MT_LENGTHS = (16_569, 16_571)  # of the revised Cambridge sequence, and of the one before it (hg19's chrM)
PAR_BEGINS = 10_001  # before it X has no pseudo-autosomal position, in any build of GRCh
SHOWN = 6  # names in a note


class Chromosome(NamedTuple):
    """A chromosome and its names: a row of the table, with a field for each dialect.

    Attributes
    ----------
    name : str
        "1" to "22", "X", "XY" (the pseudo-autosomal part of X where it is a contig of its own), "Y", "MT".
    genotypes : int
        In genotype files (PLINK 1.9, 2): 23 X, 24 Y, 25 XY, 26 MT.
    gwas_ssf : int
        In GWAS-SSF: 23 X, 24 Y, 25 MT.
    refseq, genbank : tuple of str
        Accessions without their version: of GRCh, and of T2T-CHM13.
    words : tuple of str
        Other names, in capitals, without "chr" and separators.
    """

    name: str
    genotypes: int
    gwas_ssf: int
    refseq: tuple[str, ...] = ()
    genbank: tuple[str, ...] = ()
    words: tuple[str, ...] = ()


def _table() -> tuple[Chromosome, ...]:
    numbered = [
        Chromosome(str(n), n, n, (f"NC_{n:06}", f"NC_{60924 + n:06}"), (f"CM{662 + n:06}", f"CP{68278 - n:06}"))
        for n in range(1, 23)
    ]
    return (
        *numbered,
        Chromosome(
            X, 23, 23, ("NC_000023", "NC_060947"), ("CM000685", "CP068255"),
            ("X", "XNONPAR", "NONPARX", "XNOPAR", "XNPAR", "XNONPSEUDOAUTOSOMAL"),
        ),
        Chromosome(Y, 24, 24, ("NC_000024", "NC_060948"), ("CM000686", "CP086569"), ("Y", "YNONPAR", "NONPARY", "YNOPAR")),
        Chromosome(
            XY, 25, 23,
            words=("XY", "PAR", "PAR1", "PAR2", "XPAR", "XPAR1", "XPAR2", "PARX", "PAR1X", "PAR2X", "XYPAR", "XYPAR1", "XYPAR2"),
        ),
        Chromosome(
            MT, 26, 25, ("NC_012920", "NC_001807"), ("J01415", "AY172335", "CP068254"),
            ("MT", "M", "MITO", "MTDNA", "MITOCHONDRION", "MITOCHONDRIA", "MITOCHONDRIAL", "RCRS"),
        ),
    )  # fmt: skip


CHROMOSOMES = _table()
BY_NAME: Mapping[str, Chromosome] = {row.name: row for row in CHROMOSOMES}
RANK: Mapping[str, int] = {row.name: row.genotypes for row in CHROMOSOMES}
_BY_NUMBER = {str(row.genotypes): row.name for row in CHROMOSOMES}
_BY_WORD = {word: row.name for row in CHROMOSOMES for word in row.words}
_BY_ACCESSION = {code: row.name for row in CHROMOSOMES for code in (*row.refseq, *row.genbank)}
# A contig that is no chromosome of the table, but part of a sex chromosome by its name: chrX_KI270880v1_alt, Y_PAR1, X_hap2.
_LIKE_SEX = re.compile(r"(?:^|[^A-Z0-9])(?:X|Y|XY|M|MT|PAR|NONPAR|MITO\w*)[0-9]*(?:$|[^A-Z0-9])")

# The same steps twice, for one name and for a column of names (`_bare_column`): capitals; what stands before a name in
# UCSC's and other files, and in graphs' (GRCh38#0#chrX); zeros; the frame and the version of an accession; separators
# within words.
_PREFIX = r"^(?:[^#]+#(?:[0-9]+#)?)?(?:CHR(?:OM(?:OSOME)?)?[ _.:-]*)?"
_ZEROS = r"^0+([0-9])"
_FRAME = r"^(?:GI\|[0-9]+\|)?(?:REF|GB|EMB|DBJ)\|([A-Z_0-9.]+)\|?$"
_VERSION = r"^((?:NC_|CM|CP)[0-9]{6}|J01415|AY172335)\.[0-9]+$"
_SEPARATORS = r"[ _.:-]"


@lru_cache(maxsize=2**17)
def bare_name(name: str) -> str:
    """A contig's name in one spelling: chr1, 1, 01 and Chr_1 are "1", chrX_nonPAR is "XNONPAR", NC_000023.11 "NC_000023"."""
    text = re.sub(_PREFIX, "", name.strip().upper())
    text = re.sub(_ZEROS, r"\1", text)
    if "|" in text or "." in text:
        text = re.sub(_VERSION, r"\1", re.sub(_FRAME, r"\1", text))
    word = re.sub(_SEPARATORS, "", text)
    return word if word in _BY_WORD else text


def _bare_column(column: str) -> "pl.Expr":
    """`bare_name` of each value of a column of text."""
    import polars as pl

    text = pl.col(column).str.strip_chars().str.to_uppercase().str.replace(_PREFIX, "").str.replace(_ZEROS, "${1}")
    text = text.str.replace(_FRAME, "${1}").str.replace(_VERSION, "${1}")
    word = text.str.replace_all(_SEPARATORS, "")
    return pl.when(word.is_in(list(_BY_WORD))).then(word).otherwise(text)


def chromosome_of(name: str) -> str | None:
    """The chromosome that a name means in genotype files, as `Chromosome.name`; None of another contig."""
    bare = bare_name(name)
    return _BY_NUMBER.get(bare) or _BY_WORD.get(bare) or _BY_ACCESSION.get(bare)


def region_keys(name: str) -> tuple[str, ...]:
    """The values of `Contigs.key` that a region named ``name`` asks for."""
    return (chromosome_of(name) or name, f"={bare_name(name)}")


def usual_spellings(name: str) -> list[str]:
    """Names that a file may give the chromosome ``name``, without accessions; for contigs that the header does not list."""
    chromosome = chromosome_of(name)
    if chromosome is None:
        return [name]
    row = BY_NAME[chromosome]
    bare = [row.name, str(row.genotypes), f"{row.genotypes:02}", *(["M"] if chromosome == MT else [])]
    prefixed = [f"{prefix}{word}" for prefix in ("", "chr", "Chr", "CHR") for word in bare]
    return list(dict.fromkeys([name, *prefixed, *(word.lower() for word in bare)]))


def dialect_of(name: str) -> str | None:
    """How a contig of a known chromosome is written: "chr", "number or letter", "RefSeq", "GenBank", "graph"; None of others."""
    if chromosome_of(name) is None:
        return None
    bare = bare_name(name)
    if bare in _BY_ACCESSION:
        return "RefSeq" if bare.startswith("NC_") else "GenBank"
    if "#" in name:
        return "graph"
    return "chr" if name.strip().lower().startswith("chr") else "number or letter"


def is_beyond_mt(name: str) -> bool:
    """Whether a name is a number above those of human chromosomes, 26: another species has it."""
    bare = bare_name(name)
    return bare.isdecimal() and int(bare) > RANK[MT]


def bare_accession(name: str) -> str:
    """A name without the frame of NCBI's files, its version kept: gi|568815575|ref|NC_000023.11| is "NC_000023.11"."""
    return re.sub(_FRAME, r"\1", name.strip().upper())


def looks_like_sex(name: str) -> bool:
    """Whether a contig that is no known chromosome seems to be a part of X, Y or MT by its name."""
    return chromosome_of(name) is None and _LIKE_SEX.search(re.sub(_PREFIX, "", name.strip().upper())) is not None


def shown(name: str) -> str:
    """A contig's name for people, however its file spells it: "chr1" of 1, chr1, NC_000001.11; another name as it is."""
    chromosome = chromosome_of(name)
    return name if chromosome is None else f"chr{chromosome}"


def gwas_ssf_code(column: str = "chromosome", position: str = "base_pair_location") -> "pl.Expr":
    """GWAS-SSF's number, 1 to 25, of each contig of a column of genotype files' names; null where it has none.

    A 25 is the pseudo-autosomal part of X, coded 23, from position 16,570 on; before that it may be MT, and has no number.
    """
    import polars as pl

    codes = {
        word: BY_NAME[name].gwas_ssf
        for names in (_BY_NUMBER, _BY_WORD, _BY_ACCESSION)
        for word, name in names.items()
    }  # fmt: skip
    bare = _bare_column(column)
    code = bare.replace_strict(codes, default=None, return_dtype=pl.Int64)
    return pl.when((bare != "25") | (pl.col(position) > max(_MT_LENGTHS))).then(code)


def from_gwas_ssf(column: str = "chromosome") -> "pl.Expr":
    """The names of a GWAS-SSF file's chromosomes: 23, 24, 25 become X, Y, MT; other texts stay."""
    import polars as pl

    names = {str(row.gwas_ssf): row.name for row in CHROMOSOMES if row.name in (X, Y, MT)}
    return pl.coalesce(_bare_column(column).replace_strict(names, default=None, return_dtype=pl.String), pl.col(column))


@dataclass(frozen=True)
class Contigs:
    """The contigs of a store, or of some results, and the chromosome that each means.

    Attributes
    ----------
    chromosomes : mapping
        Contig -> its `Chromosome.name`; None for others (scaffolds, decoys, other species'), which are analysed as autosomes.
    many : bool
        The contigs are those of a species with more than 26 numbered chromosomes: 23 to 26 are autosomes like others.
    doubts : tuple of str
        Notes on what was decided about ambiguous names.
    """

    chromosomes: Mapping[str, str | None]
    many: bool = False
    doubts: tuple[str, ...] = ()

    @classmethod
    def of(
        cls,
        names: Iterable[str],
        lengths: Mapping[str, int] | None = None,
        last_position: Callable[[str], int] | None = None,
    ) -> "Contigs":
        """Decide which chromosome each contig means.

        Parameters
        ----------
        names : iterable of str
        lengths : mapping, optional
            Contig -> bases, where it is known; of contigs without variants too, whose numbers tell another species.
        last_position : callable, optional
            The largest position on a contig; asked of a 25 alone.
        """
        chromosomes = {name: chromosome_of(name) for name in dict.fromkeys(names)}
        numbers = {name: int(bare) for name in chromosomes if (bare := bare_name(name)).isdecimal()}
        beyond = [int(bare_name(name)) for name in (*chromosomes, *(lengths or ())) if is_beyond_mt(name)]
        if beyond:
            chromosomes |= {name: None for name, number in numbers.items() if number > 22}
            return cls(chromosomes, True, (_many_note(max(beyond)),))
        doubts = []
        for name in [name for name, number in numbers.items() if number == 25]:
            is_mt = (lengths or {}).get(name) in _MT_LENGTHS
            if is_mt:
                chromosomes[name] = MT
            doubts.append(_doubt(name, is_mt, chromosomes, last_position))
        return cls(chromosomes, False, tuple(doubts))

    def key(self, name: str) -> str:
        """A key that all contigs of one chromosome share; another contig has a key to itself."""
        return f"={bare_name(name)}" if self.many else (self.chromosomes.get(name) or name)

    def autosomal(self, name: str) -> bool:
        """Whether a contig is no X, Y or MT; contigs of unknown names are taken for autosomes."""
        return self.chromosomes.get(name) not in NOT_AUTOSOMES

    def same(self, name: str) -> list[str]:
        """Contigs that mean the chromosome ``name``, however spelled; ``name`` itself first where it is one of them."""
        wanted = region_keys(name)
        contigs = [other for other in self.chromosomes if other == name or self.key(other) in wanted]
        return sorted(contigs, key=lambda other: other != name)

    @property
    def decided(self) -> dict[str, str | None]:
        """Contigs whose meaning depends on the other contigs of the store: an MT called 25, the chromosome 23 of a dog."""
        return {name: kind for name, kind in self.chromosomes.items() if kind != chromosome_of(name)}

    def apart(self, asked: Iterable[str]) -> list[str]:
        """That regions of X among those ``asked`` for leave out what is pseudo-autosomal in a contig of its own, in words."""
        keys = {key for name in asked for key in region_keys(name)}
        names = [name for name, kind in self.chromosomes.items() if kind == XY]
        if X not in keys or XY in keys or not names:
            return []
        return [
            f"a region of X leaves out {_listed(names)}, its pseudo-autosomal part in a contig of its own: ask for that by its name"
        ]

    @cached_property
    def twice(self) -> dict[str, list[str]]:
        """Chromosomes that several contigs mean, and these."""
        by_chromosome: dict[str, list[str]] = {}
        for name, chromosome in self.chromosomes.items():
            if chromosome is not None:
                by_chromosome.setdefault(self.key(name), []).append(name)
        return {key.removeprefix("="): names for key, names in by_chromosome.items() if len(names) > 1}

    @property
    def others(self) -> list[str]:
        """Contigs that are no known chromosome and no number."""
        return [name for name, kind in self.chromosomes.items() if kind is None and not bare_name(name).isdecimal()]

    def notes(self, *, sex: bool = False) -> list[str]:
        """Notes on the names; with ``sex``, also which unknown contigs are analysed as autosomes."""
        lines = list(self.doubts)
        if any(kind == XY for kind in self.chromosomes.values()):
            names = [name for name, kind in self.chromosomes.items() if kind == XY and bare_name(name) != "25"]
            if names:
                lines.append(f"{_listed(names)}: the pseudo-autosomal part of X, with two copies in males and females")
        for chromosome, names in self.twice.items():
            if chromosome == XY and {bare_name(name) for name in names} <= {"PAR1", "PAR2", "XPAR1", "XPAR2"}:
                continue  # two ends of one chromosome
            lines.append(f"{_listed(names)} are names of one chromosome, {chromosome}, and are read as this chromosome")
        if sex and self.others:
            lines.append(
                f"contigs analysed as autosomes, since their names are not those of a known chromosome: {_listed(self.others)}. "
                "If one of them is X, Y or MT, rename it (bcftools annotate --rename-chrs)"
            )
        elif like := [name for name in self.others if looks_like_sex(name)]:
            lines.append(
                f"{_listed(like)}: may be a part of X, Y or MT by the name, and is analysed as an autosome. If it is the "
                "chromosome itself, rename it (bcftools annotate --rename-chrs)"
            )
        return lines

    def unplaced(self, n_variants: Mapping[str, int]) -> list[str]:
        """A note on variants (contig -> how many) of contigs that are no known chromosome, where there are some."""
        others = [name for name in self.others if n_variants.get(name)]
        if not others or self.many:
            return []
        n, contigs = sum(n_variants[name] for name in others), "contig" if len(others) == 1 else "contigs"
        return [
            f"{n:,} variants on {len(others):,} unplaced {contigs} (no known chromosome), analysed as autosomes: {_listed(others)}"
        ]


def _doubt(
    name: str, is_mt: bool, chromosomes: Mapping[str, str | None], last_position: Callable[[str], int] | None
) -> str:
    """How a contig called 25 is understood, and why."""
    if is_mt:
        return f"{name}: read as MT, because its length in the header is that of MT (PLINK writes MT as 26)"
    taken = f"{name}: read as the pseudo-autosomal part of X, as in PLINK, with two copies in males and females"
    last = None if last_position is None else last_position(name)
    if last is None or last > max(_MT_LENGTHS) or any(kind == MT for kind in chromosomes.values()):
        return taken
    early = f", and X has no pseudo-autosomal position before {PAR_BEGINS:,}" if last < PAR_BEGINS else ""
    return (
        f"{taken}. This is ambiguous: other files write MT as 25, no contig here is MT, and no position is beyond "
        f"{max(_MT_LENGTHS):,}{early}. If it is MT, rename it (bcftools annotate --rename-chrs)"
    )


def _many_note(most: int) -> str:
    return f"chromosomes are numbered up to {most}: this is another species, and 23 to {most} are analysed as autosomes"


def _listed(names: Sequence[str]) -> str:
    return ", ".join(f"'{name}'" for name in names[:SHOWN]) + (
        f" and {len(names) - SHOWN:,} more" if len(names) > SHOWN else ""
    )


def contigs_of(store: "GenotypeStore") -> Contigs:
    """The chromosomes that the contigs of a store mean; positions are read only if a contig is called 25."""
    runs = list(store.contig_runs())

    def last_position(name: str) -> int:
        step = 65_536
        return max(
            int(store.variants(at, min(at + step, stop))["base_pair_location"].to_numpy().max())
            for contig, start, stop in runs
            if contig == name
            for at in range(start, stop, step)
        )

    lengths = getattr(store, "attributes", {}).get("contig_lengths", {})
    return Contigs.of((str(contig) for contig, _, _ in runs), lengths, last_position)
