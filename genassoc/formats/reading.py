"""What is read of genotype files, and how: the choices that all formats share."""

from dataclasses import dataclass
from typing import Literal

Dosage = Literal["DS", "GP", "HDS", "GT"]
HalfCalls = Literal["missing", "haploid", "reference"]
READ_FILES = ("id_map", "rsids", "fasta")  # fields that name files: what these hold makes the store


@dataclass(frozen=True)
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
    id_rule : str or None
        How sample ids are changed, by the rules of `genassoc.data.cohort.id_rules`: "iid", "trim+upper", "split:_:2".
    id_map : str or None
        A file of old and new sample ids, two columns; applied before ``id_rule``.
    rsids : str or None
        A VCF with an index (dbSNP): variants get the ids that it has for their position and alleles.
    fasta : str or None
        The reference sequences: REF is checked against them, and indels are left-aligned and trimmed.
    """

    dosage: Dosage | None = None
    pass_only: bool = False
    info: tuple[str, ...] = ()
    min_gq: float | None = None
    min_dp: float | None = None
    allele_balance: tuple[float, float] | None = None
    half_calls: HalfCalls | None = None
    missing_to_ref: bool = False
    id_rule: str | None = None
    id_map: str | None = None
    rsids: str | None = None
    fasta: str | None = None


AS_IT_IS = Reading()
