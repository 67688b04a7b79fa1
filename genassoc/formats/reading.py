"""What is read of genotype files, and how: the choices that all formats share."""

from dataclasses import dataclass
from typing import Literal

Dosage = Literal["DS", "GP", "HDS", "GT"]
Reference = Literal["first", "last"]
HalfCalls = Literal["missing", "haploid", "reference"]


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
    reference : {None, "first", "last"}
        Which allele is REF, where the format does not say (BGEN, BED). None: the format's usual one.
    sample_file : str or None
        The .sample file with the ids of a BGEN.
    """

    dosage: Dosage | None = None
    pass_only: bool = False
    info: tuple[str, ...] = ()
    min_gq: float | None = None
    min_dp: float | None = None
    allele_balance: tuple[float, float] | None = None
    half_calls: HalfCalls | None = None
    missing_to_ref: bool = False
    reference: Reference | None = None
    sample_file: str | None = None


AS_IT_IS = Reading()
