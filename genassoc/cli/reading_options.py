"""Options that say how genotypes are read: the fields of `genassoc.formats.reading.Reading`, a line each."""

import inspect
from collections.abc import Callable
from functools import wraps
from typing import Annotated, Any

import click

from genassoc.cli.signatures import Option
from genassoc.cli.values import names

_PANEL = "How genotypes are read"


def _balance(text: str) -> tuple[float, ...]:
    """The bounds of ``--allele-balance``."""
    try:
        return tuple(float(part) for part in text.split(","))
    except ValueError:
        raise click.BadParameter(f"--allele-balance is LEAST,LARGEST, as 0.2,0.8, not {text!r}") from None


def _as_is(value: object) -> object:
    return value


# Field -> the type of what is typed, what stands for it in the help, the help, and what makes the choice of it.
READING_OPTIONS: dict[str, tuple[Any, str | None, str, Callable[[Any], Any]]] = {
    "dosage": (str, "DS|GP|HDS|GT", "Field that dosages come from; GT: hard calls. Default: the best a record has.", _as_is),
    "pass_only": (bool, None, "Leave out records whose FILTER is neither PASS nor '.'; counted by FILTER.", _as_is),
    "info": (list[str], "NAME[,NAME...]", "INFO fields to keep, such as CSQ,ANN,R2; may be repeated.", names),
    "min_gq": (float, "N", "Calls of less genotype quality (GQ) are not observed.", _as_is),
    "min_dp": (float, "N", "Calls of fewer reads (DP) are not observed.", _as_is),
    "allele_balance": (str, "LEAST,LARGEST", "Heterozygous calls whose share of ALT reads (AD) lies outside are not observed.", _balance),
    "half_calls": (str, "missing|haploid|reference", "What 0/. and ./1 mean; default: haploid in males on X, Y, MT, else missing.", _as_is),
    "called_sites": (str, "BED", "Of a Parquet lake: regions in which all samples were called; elsewhere who is not listed is not observed.", _as_is),
    "missing_to_ref": (bool, None, "Samples and sites that a file does not hold are homozygous for REF.", _as_is),
    "id_rule": (str, "RULE", "How sample ids are changed: iid, fid_iid, split:_:2, trim+upper, nfc, ...; joined by +.", _as_is),
    "id_map": (str, "FILE", "Old and new sample ids, two columns; applied before --id-rule.", _as_is),
    "rsids": (str, "FILE.vcf.gz", "Ids of variants from a VCF with an index (dbSNP), by position and alleles.", _as_is),
    "fasta": (str, "FASTA", "Check REF against reference sequences (with .fai); left-align and trim indels.", _as_is),
    "reference": (str, "first|last", "Which allele is REF where the format does not say; default: first in BGEN, last in BED.", _as_is),
    "sample_file": (str, "FILE", "The .sample file with the ids of a BGEN; default: its own, or the file beside it.", _as_is),
}  # fmt: skip


_FLAGS = {"fasta": "--reference", "reference": "--reference-allele"}  # those that are not named as the field


def with_reading(function: Callable[..., None]) -> Callable[..., None]:
    """The function with these options in place of its ``**reading``; what is not given is left out."""
    fixed = [p for p in inspect.signature(function).parameters.values() if p.kind is not inspect.Parameter.VAR_KEYWORD]

    @wraps(function)
    def command(**given: object) -> None:
        for name, (_, _, _, made) in READING_OPTIONS.items():
            value = given.pop(name)
            if value not in (None, [], False):
                given[name] = made(value)
        function(**given)

    made = [_parameter(name, kind, metavar, words) for name, (kind, metavar, words, _) in READING_OPTIONS.items()]
    command.__signature__ = inspect.Signature([*fixed, *made])  # type: ignore[attr-defined]
    command.__annotations__ = {p.name: p.annotation for p in (*fixed, *made)}
    return command


def _parameter(name: str, kind: object, metavar: str | None, words: str) -> inspect.Parameter:
    """A choice of reading as a parameter of a function."""
    flag = _FLAGS.get(name) or "--" + name.replace("_", "-")
    option = Option(flag, help=words, metavar=metavar, panel=_PANEL)
    hint: Any = kind
    annotation: Any = Annotated[hint, option] if kind is bool else Annotated[hint | None, option]
    return inspect.Parameter(
        name, inspect.Parameter.KEYWORD_ONLY, default=False if kind is bool else None, annotation=annotation
    )
