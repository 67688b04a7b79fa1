"""What is read of genotype files, and how: the choices that all formats share."""

import sys
from collections.abc import Collection, Mapping
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import Any, Literal, get_args

from genassoc.data import strangers
from genassoc.data.cohort.id_rules import Rules
from genassoc.data.schema import is_info_name
from genassoc.data.strangers import MalformedError
from genassoc.errors import InputError

Dosage = Literal["DS", "GP", "HDS", "GT"]
Reference = Literal["first", "last"]
HalfCalls = Literal["missing", "haploid", "reference"]
# fields that name files: what these hold makes the store
READ_FILES = ("id_map", "rsids", "fasta", "sample_file", "called_sites")


@dataclass(frozen=True, kw_only=True)
class Reading:
    """How genotypes are read.

    Attributes
    ----------
    dosage : {None, "DS", "GP", "HDS", "GT"}
        Which field dosages come from; "GT": hard calls alone. None: the best that a record has (GP, then DS, then HDS).
    pass_only : bool
        Leave out records whose FILTER is neither PASS nor ".".
    info : tuple of str
        INFO fields that are kept.
    min_gq, min_dp : float or None
        A call of less genotype quality, or of fewer reads, is not observed.
    allele_balance : (float, float) or None
        A heterozygous call whose share of ALT reads (AD) lies outside is not observed.
    half_calls : {None, "missing", "haploid", "reference"}
        What a call with one allele of two means. None: haploid in males on X, Y, MT where the sexes are known, else missing.
    missing_to_ref : bool
        Samples and sites that a file does not hold are homozygous for REF.
    called_sites : str or None
        Of a lake, which lists carriers alone: a BED file of the regions in which all samples were called, so that who is not listed is
        REF there, and not observed elsewhere.
    id_rule : str or None
        How sample ids are changed, by the rules of `genassoc.data.cohort.id_rules`: "iid", "trim+upper", "split:_:2".
    id_map : str or None
        A file of old and new sample ids, two columns; applied before ``id_rule``.
    rsids : str or None
        A VCF with an index (dbSNP): variants get the ids that it has for their position and alleles.
    fasta : str or None
        The reference sequences: REF is checked against them, and indels are left-aligned and trimmed.
    reference : {None, "first", "last"}
        Which allele is REF, where the format does not say (BGEN, BED). None: the format's usual one.
    sample_file : str or None
        The .sample file with the ids of a BGEN.
    blocks : bool
        Records that say where calls are reference make rows too; no choice of users: set where files of different samples are
        merged.
    """

    dosage: Dosage | None = None
    pass_only: bool = False
    info: tuple[str, ...] = ()
    min_gq: float | None = None
    min_dp: float | None = None
    allele_balance: tuple[float, float] | None = None
    half_calls: HalfCalls | None = None
    missing_to_ref: bool = False
    called_sites: str | None = None
    id_rule: str | None = None
    id_map: str | None = None
    rsids: str | None = None
    fasta: str | None = None
    reference: Reference | None = None
    sample_file: str | None = None
    blocks: bool = False

    def __post_init__(self) -> None:
        _check_word("dosage", self.dosage, get_args(Dosage))
        _check_word("half_calls", self.half_calls, get_args(HalfCalls))
        _check_word("reference", self.reference, get_args(Reference))
        for name in ("pass_only", "missing_to_ref", "blocks"):
            if not isinstance(getattr(self, name), bool):
                raise InputError(f"{name}={getattr(self, name)!r} is neither True nor False")
        for name in READ_FILES:
            if (file := getattr(self, name)) is not None:
                if not isinstance(file, str | Path) or not str(file).strip() or "\0" in str(file):
                    raise InputError(f"{name}={file!r} is no path of a file")
                object.__setattr__(self, name, str(file))
        if isinstance(self.info, str):
            object.__setattr__(self, "info", tuple(name.strip() for name in self.info.split(",") if name.strip()))
        if not isinstance(self.info, Collection) or not all(isinstance(name, str) for name in self.info):
            raise InputError(f"info={self.info!r}: name the INFO fields to keep, as in CSQ,ANN,R2")
        object.__setattr__(self, "info", tuple(dict.fromkeys(name.removeprefix("INFO/") for name in self.info)))
        for name in self.info:
            if not is_info_name(name):
                raise InputError(
                    f"info: {name[:120]!r} is no name of an INFO field (letters, digits, _ and ., at most 100); name those to keep as "
                    "in CSQ,ANN,R2"
                )
        for name in ("min_gq", "min_dp"):
            least = getattr(self, name)
            if least is not None and not (_is_number(least) and least >= 0):
                raise InputError(f"{name}={least!r} is no number from 0 on")
        if self.allele_balance is not None:
            given = self.allele_balance
            bounds: Any = tuple(given) if isinstance(given, Collection) else ()
            if len(bounds) != 2 or not all(map(_is_number, bounds)) or not 0 <= bounds[0] <= bounds[1] <= 1:
                raise InputError(
                    f"allele_balance={self.allele_balance!r}: give the least and the largest share of ALT reads of a heterozygous "
                    "call, from 0 to 1, as in 0.2,0.8"
                )
            object.__setattr__(self, "allele_balance", bounds)
        Rules.parse(self.id_rule)

    def absolute(self) -> "Reading":
        """The same for processes that run in other folders."""
        files: dict[str, Any] = {
            name: str(Path(file).absolute()) for name in READ_FILES if (file := getattr(self, name, None)) is not None
        }
        return replace(self, **files)

    @classmethod
    def of(cls, choices: Mapping[str, object]) -> "Reading":
        """The reading with some choices, by name; `InputError` of a name or a value that there is not."""
        unknown = [name for name in choices if name not in {field.name for field in fields(cls)}]
        if unknown:
            raise InputError(
                f"{unknown[0]!r} is no choice of reading: {', '.join(field.name for field in fields(cls))}"
            )
        given: dict[str, Any] = dict(choices)
        return cls(**given)


def _check_word(name: str, value: object, words: tuple[str, ...]) -> None:
    if value is not None and (not isinstance(value, str) or value not in words):
        raise InputError(f"{name}={value!r} is not known; choose from {', '.join(words)}")


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and abs(value) <= sys.float_info.max


AS_IT_IS = Reading()


def reading_of(content: Mapping[str, object]) -> Reading:
    """The reading that a file of a stranger states.

    Raises
    ------
    MalformedError
        It states none: a field is missing, unknown, or of another type.
    """
    known = {field.name: field for field in fields(Reading)}
    if set(content) != set(known):
        raise MalformedError("its choices of reading are not those of this version")
    for name, value in content.items():
        usual = known[name].default
        if isinstance(usual, bool) and not isinstance(value, bool):
            raise MalformedError(f"reading.{name} is neither true nor false")
        if name == "info":
            strangers.texts(value, f"reading.{name}")
        if isinstance(value, list):
            if not all(isinstance(item, str | int | float) for item in value):
                raise MalformedError(f"reading.{name} is no list of texts or numbers")
        elif value is not None and not isinstance(value, str | int | float):
            raise MalformedError(f"reading.{name} is no choice of reading")
    try:
        return Reading.of({name: tuple(value) if isinstance(value, list) else value for name, value in content.items()})
    except (InputError, TypeError, ValueError, AttributeError) as error:
        raise MalformedError(f"reading: {error}") from error
